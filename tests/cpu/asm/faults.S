/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What user mode may not do: which exception, with which error code, and that
 * nothing has changed.  #AC and single-step included.
 */
#include "rt.h"

	.bss
	.balign 64
buf:	.space	128

	.data
	.balign 8
far_bad: .long	0
	.word	0x1234

	.text
	.macro AC_ON
	pushfq
	orq	$FL_AC, (%rsp)
	popfq
	.endm
	.macro AC_OFF
	pushfq
	andq	$~FL_AC, (%rsp)
	popfq
	.endm

MAIN
	TRAPS(EXC_BP, int3)
	TRAPS(EXC_UD, ud2)
	TRAPS(EXC_UD, .byte 0x06)
	TRAPS(EXC_UD, .byte 0x0f; .byte 0x0b)
	TRAPS(EXC_UD, .byte 0x62; .byte 0; .byte 0)
	TRAPS(EXC_UD, .byte 0x0f; .byte 0xff; .byte 0xc0)
	/* LEA of a register. */
	TRAPS(EXC_UD, .byte 0x8d; .byte 0xc0)
	/* INTO, AAA, PUSH CS and others are gone in 64-bit mode. */
	.irp	op, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x60, 0x61, 0x82, \
	    0x9a, 0xce, 0xd4, 0xd6, 0xea
	TRAPS(EXC_UD, .byte \op; .byte 0; .byte 0; .byte 0; .byte 0; .byte 0; .byte 0)
	.endr
	/* More than 15 bytes. */
	TRAPS(EXC_GP, .rept 15; .byte 0x66; .endr; nop)

	/* Privileged. */
	.irp	insn, hlt, clts, invd, wbinvd, sysretq, swapgs, cli, sti
	TRAPS(EXC_GP, \insn)
	EQ(0, trap_err)
	.endr
	TRAPS(EXC_GP, movq %cr0, %rax)
	TRAPS(EXC_GP, movq %rax, %cr3)
	TRAPS(EXC_GP, movq %cr8, %rax)
	TRAPS(EXC_GP, movq %dr7, %rax)
	TRAPS(EXC_GP, lgdt buf)
	TRAPS(EXC_GP, lidt buf)
	TRAPS(EXC_GP, lldt %ax)
	TRAPS(EXC_GP, ltr %ax)
	TRAPS(EXC_GP, lmsw %ax)
	TRAPS(EXC_GP, invlpg buf)
	TRAPS(EXC_GP, inb $0x80, %al)
	TRAPS(EXC_GP, outb %al, %dx)
	TRAPS(EXC_GP, outsb)
	TRAPS(EXC_GP, rdmsr)
	TRAPS(EXC_GP, wrmsr)
	movl	$buf, %edi
	movl	$1, %ecx
	TRAPS(EXC_GP, rep insb)
	EQ(1, %rcx)

	/* Selectors that are not there. */
	movl	$0x1234, %eax
	TRAPS(EXC_GP, movl %eax, %es)
	EQ(0x1234, trap_err)
	TRAPS(EXC_GP, movl %eax, %ss)
	xorl	%eax, %eax
	TRAPS(EXC_GP, movl %eax, %ss)
	EQ(0, trap_err)
	TRAPS(EXC_GP, ljmpl *far_bad)
	EQ(0x1234, trap_err)
	TRAPS(EXC_UD, movl %eax, %cs)

	/* Non-canonical: #GP by any register, #SS by RSP and RBP. */
	movabsq	$0x8000000000000000, %rax
	TRAPS(EXC_GP, movq (%rax), %rcx)
	EQ(0, trap_err)
	movabsq	$0x8000000000000000, %rbp
	movq	$1f, trap_resume
	movq	(%rbp), %rax
	FAIL
1:	cmpl	$12, trap_vector
	OK_IF(e)
	EQ(0, trap_err)
	/* #PF error codes: read, write; present, not. */
	TRAPS(EXC_PF, movb edge_end, %al)
	EQ(4, trap_err)
	TRAPS(EXC_PF, movb %al, edge_end)
	EQ(6, trap_err)
	movb	ro_begin, %al
	TRAPS(EXC_PF, incb ro_begin)
	EQ(7, trap_err)
	cmpq	$ro_begin, trap_cr2
	OK_IF(e)
	movl	$ro_begin, %eax
	TRAPS(EXC_PF, jmpq *%rax)
	EQ(0x15, trap_err)
	/* A read that crosses into the hole: CR2 is the hole's first byte. */
	TRAPS(EXC_PF, movq edge_end - 3, %rax)
	cmpq	$edge_end, trap_cr2
	OK_IF(e)
	/* A write that crosses leaves the first page alone. */
	movl	$0, edge_end - 4
	movq	$-1, %rax
	TRAPS(EXC_PF, movq %rax, edge_end - 4)
	EQL(0, edge_end - 4)

	/* #AC. */
	AC_ON
	TRAPS(EXC_AC, movl buf + 1, %eax)
	EQ(0, trap_err)
	AC_ON
	movl	buf + 4, %eax
	TRAPS(EXC_AC, movq buf + 4, %rax)
	AC_ON
	TRAPS(EXC_AC, movw %ax, buf + 1)
	AC_ON
	movb	buf + 1, %al
	AC_OFF
	TRAPS(EXC_GP, movaps buf + 4, %xmm0)

	/* Single-step: the trap comes after the instruction. */
	xorl	%ecx, %ecx
	movq	$1f, trap_resume
	pushfq
	orq	$0x100, (%rsp)
	popfq
	incl	%ecx
	incl	%ecx
	incl	%ecx
1:	cmpl	$EXC_DB, trap_vector
	OK_IF(e)
	EQL(1, %ecx)
	ret

	.section .note.GNU-stack, "", @progbits
