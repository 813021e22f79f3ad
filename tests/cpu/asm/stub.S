/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stub.S - the whole operating system below a program of tests/cpu/asm in a
 * virtual machine.  run_asm.c copies [stub_begin, stub_end) to STUB_GPA, so the
 * code is position-independent; it runs in 64-bit mode at CPL 0.
 *
 * A SYSCALL is an OUT, which the host answers by looking at the registers.  A
 * page-table virtual machine goes to LSTAR in ring 3, which faults.  An
 * exception goes on at trap_resume of the program's .trapctl, as rt.S does with
 * signals.
 */
#include "stub.h"

#define MSR_STAR   0xc0000081
#define MSR_LSTAR  0xc0000082
#define MSR_SFMASK 0xc0000084
#define SFMASK	   0x47700 /* as Linux */

#define CPUID1_ECX_XSAVE 0x04000000
#define CR4_FSGSBASE	 0x00010000
#define CR4_OSXSAVE	 0x00040000

#define TRAP_RESUME (STUB_TRAPCTL)
#define TRAP_VECTOR (STUB_TRAPCTL + 8)
#define TRAP_ERR    (STUB_TRAPCTL + 16)
#define TRAP_CR2    (STUB_TRAPCTL + 24)

	.macro SET_MSR msr, low, high
	movl	$\msr, %ecx
	movl	\low, %eax
	movl	\high, %edx
	wrmsr
	.endm

	.section .rodata
	.globl	stub_begin, stub_start, stub_vectors, stub_end
	.balign 16
stub_begin:
	/* Vector n at n * STUB_VECTOR_LEN. */
stub_vectors:
	.set	vec, 0
	.rept	STUB_NVECTORS
	.balign STUB_VECTOR_LEN
	.if	vec != 8 && (vec < 10 || vec > 14) && vec != 17 && vec != 21
	pushq	$0
	.endif
	pushq	$vec
	jmp	trap
	.set	vec, vec + 1
	.endr

trap:	/* vector, error, rip, cs, rflags, rsp, ss */
	pushq	%rax
	leaq	syscall_entry(%rip), %rax
	cmpq	%rax, 24(%rsp)
	je	late_syscall
	movq	TRAP_RESUME, %rax
	testq	%rax, %rax
	jz	stray
	movq	%rax, 24(%rsp)
	movq	$0, TRAP_RESUME
	andl	$~0x100, 40(%rsp)
	movq	8(%rsp), %rax
	movq	%rax, TRAP_VECTOR
	movq	16(%rsp), %rax
	movq	%rax, TRAP_ERR
	movq	%cr2, %rax
	movq	%rax, TRAP_CR2
	popq	%rax
	addq	$16, %rsp
	iretq
stray:
	movq	8(%rsp), %rax
	movq	16(%rsp), %rdi
	movq	24(%rsp), %rsi
	movq	%cr2, %rdx
	outb	%al, $STUB_PORT_TRAP
1:	jmp	1b

late_syscall:
	popq	%rax
	outb	%al, $STUB_PORT_LATE
	movq	%rcx, 16(%rsp)
	movq	%r11, 32(%rsp)
	addq	$16, %rsp
	iretq

syscall_entry:
	outb	%al, $STUB_PORT_SYSCALL
	sysretq

	/* rdi: where the program begins, rsi: its stack. */
stub_start:
	movl	$STUB_UDATA | 3, %eax
	movl	%eax, %ds
	movl	%eax, %es
	leaq	syscall_entry(%rip), %rbx
	SET_MSR	MSR_STAR, $0, $(((STUB_UBASE | 3) << 16) | STUB_KCODE)
	SET_MSR	MSR_LSTAR, %ebx, $0
	SET_MSR	MSR_SFMASK, $SFMASK, $0
	movl	$1, %eax
	cpuid
	testl	$CPUID1_ECX_XSAVE, %ecx
	jz	1f
	movq	%cr4, %rax
	orl	$CR4_OSXSAVE, %eax
	movq	%rax, %cr4
	movl	$0xd, %eax
	xorl	%ecx, %ecx
	cpuid
	andl	$7, %eax
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	xsetbv
1:	movl	$7, %eax
	xorl	%ecx, %ecx
	cpuid
	testl	$1, %ebx
	jz	1f
	movq	%cr4, %rax
	orl	$CR4_FSGSBASE, %eax
	movq	%rax, %cr4
1:	fninit
	pushq	$STUB_UDATA | 3
	pushq	%rsi
	pushq	$0x202
	pushq	$STUB_UCODE | 3
	pushq	%rdi
	.irp	r, eax, ebx, ecx, edx, esi, edi, ebp
	xorl	%\r, %\r
	.endr
	iretq
stub_end:

	.section .note.GNU-stack, "", @progbits
