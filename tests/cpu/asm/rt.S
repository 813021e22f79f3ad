/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rt.S - start, end and traps of the self-checking programs (rt.h).
 *
 * Uses of the system: rt_sigaction, sigaltstack, write, exit.  In a virtual
 * machine run_asm.c answers the last two and ignores the others, and
 * stub.S does what trap_handler does here, through the same .trapctl.
 */
#include "rt.h"

#define SYS_write	 1
#define SYS_rt_sigaction 13
#define SYS_exit	 60
#define SYS_sigaltstack	 131
#define SYS_rt_sigreturn 15

#define SIGILL	4
#define SIGTRAP 5
#define SIGBUS	7
#define SIGFPE	8
#define SIGSEGV 11
#define SA_FLAGS 0x4c000004 /* SIGINFO, RESTORER, ONSTACK, NODEFER */

/* Offsets in ucontext_t (arch/x86/include/uapi/asm/sigcontext.h). */
#define UC_RIP	   168
#define UC_EFLAGS  176
#define UC_ERR	   192
#define UC_TRAPNO  200
#define UC_CR2	   216

	.section .trapctl, "aw", @progbits
	.globl	trap_resume, trap_vector, trap_err, trap_cr2
trap_resume:
	.quad	0
trap_vector:
	.quad	0
trap_err:
	.quad	0
trap_cr2:
	.quad	0

	.data
	.globl	fail_line
fail_line:
	.quad	0
sigaction:
	.quad	trap_handler, SA_FLAGS, trap_return, 0
altstack:
	.quad	sigstack, 0, 65536
message:
	.ascii	"failed at line "
digits:
	.ascii	"00000\n"
	.set	message_len, . - message
stray:
	.ascii	"unexpected exception\n"
	.set	stray_len, . - stray

	.section .rodata
	.globl	rt_values, rt_nvalues
	.balign 8
rt_values:
	.quad	0, 1, 2, 0x0f, 0x10, 0x7f, 0x80, 0xff
	.quad	0x7fff, 0x8000, 0xffff, 0x12345678
	.quad	0x7fffffff, 0x80000000, 0xffffffff
	.quad	0x0123456789abcdef, 0x7fffffffffffffff
	.quad	0x8000000000000000, 0xfffffffffffffff0, 0xffffffffffffffff
rt_nvalues:
	.long	(rt_nvalues - rt_values) / 8

	.text
	.globl	_start, rt_fail, rt_skip
_start:
	xorl	%ebp, %ebp
	movl	$SYS_sigaltstack, %eax
	movl	$altstack, %edi
	xorl	%esi, %esi
	syscall
	.irp	sig, SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV
	movl	$SYS_rt_sigaction, %eax
	movl	$\sig, %edi
	movl	$sigaction, %esi
	xorl	%edx, %edx
	movl	$8, %r10d
	syscall
	.endr
	movl	$dump, %r14d
	cld
	call	main
	xorl	%ebx, %ebx
finish:
	movl	$dump, %esi
1:	movq	%r14, %rdx
	subq	%rsi, %rdx
	jbe	2f
	movl	$SYS_write, %eax
	movl	$1, %edi
	syscall
	addq	%rax, %rsi /* a pipe may take less than all */
	testq	%rax, %rax
	jg	1b
2:	movl	$SYS_exit, %eax
	movl	%ebx, %edi
	syscall
	jmp	2b

rt_skip:
	movl	$STATUS_SKIP, %ebx
	movl	$dump, %r14d
	jmp	finish

rt_fail:
	movl	fail_line, %eax
	movl	$digits + 4, %ecx
	movl	$10, %esi
1:	xorl	%edx, %edx
	divl	%esi
	addl	$'0', %edx
	movb	%dl, (%rcx)
	decl	%ecx
	testl	%eax, %eax
	jnz	1b
	movl	$message, %esi
	movl	$message_len, %edx
complain:
	movl	$SYS_write, %eax
	movl	$2, %edi
	syscall
	movl	$1, %ebx
	jmp	finish

trap_handler:
	xorl	%eax, %eax
	xchgq	%rax, trap_resume
	testq	%rax, %rax
	jz	1f
	movq	%rax, UC_RIP(%rdx)
	andl	$~0x100, UC_EFLAGS(%rdx) /* no second single-step trap */
	movq	UC_TRAPNO(%rdx), %rax
	movq	%rax, trap_vector
	movq	UC_ERR(%rdx), %rax
	movq	%rax, trap_err
	movq	UC_CR2(%rdx), %rax
	movq	%rax, trap_cr2
	ret
1:	cld
	movl	$stray, %esi
	movl	$stray_len, %edx
	jmp	complain
trap_return:
	movl	$SYS_rt_sigreturn, %eax
	syscall

	.bss
	.balign 64
sigstack:
	.space	65536
	.globl	dump
dump:
	.space	8 << 20

	/* Something in each segment of prog.ld. */
	.section .wx, "awx", @progbits
	.quad	0
	.section .edge, "aw", @progbits
	.quad	0
	.section .ro, "a", @progbits
	.quad	0
	.section .note.GNU-stack, "", @progbits
