/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PUSH and POP in all forms (RSP as operand, as base, 16-bit), PUSHF POPF, ENTER
 * LEAVE, LAHF SAHF.
 */
#include "rt.h"

	.bss
	.balign 64
	.space	512
area:	.space	512
saved:	.space	8

	.data
	.balign 8
cell:	.quad	0x1122334455667788
frames:	.quad	1, 2, 3, 4, 5, 6, 7, 8

	/* On a stack of its own. */
	.macro STACK
	movq	%rsp, saved
	movl	$area, %esp
	.endm
	.macro UNSTACK
	movq	saved, %rsp
	.endm

MAIN
	STACK
	/* PUSH RSP stores the old value, POP RSP loads the new one. */
	pushq	%rsp
	cmpq	$area - 8, %rsp
	OK_IF(e)
	cmpq	$area, (%rsp)
	OK_IF(e)
	popq	%rsp
	cmpq	$area, %rsp
	OK_IF(e)
	/* POP [RSP]: the address uses RSP after the increment. */
	movq	$0x11, area
	pushq	$0x22
	popq	(%rsp)
	EQ(0x22, area)
	cmpq	$area, %rsp
	OK_IF(e)
	/* PUSH [RSP]: the address uses RSP before the decrement. */
	pushq	(%rsp)
	EQ(0x22, area - 8)
	popq	%rax
	/* 16-bit operands move RSP by 2. */
	pushw	$0x1234
	cmpq	$area - 2, %rsp
	OK_IF(e)
	pushw	cell
	popw	%ax
	cmpw	$0x7788, %ax
	OK_IF(e)
	popw	%ax
	cmpw	$0x1234, %ax
	OK_IF(e)
	pushw	%sp
	movl	$area, %eax
	cmpw	%ax, (%rsp)
	OK_IF(e)
	leaq	2(%rsp), %rsp
	/* Immediates are sign-extended. */
	pushq	$-1
	popq	%rax
	EQ(-1, %rax)
	pushq	$-0x80000000
	popq	%rax
	EQ(-0x80000000, %rax)
	pushq	$0x7f
	popq	%rbx
	EQ(0x7f, %rbx)
	/* Every register. */
	.irp	r, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r15
	movq	cell, %\r
	pushq	%\r
	movq	$0, %\r
	popq	%\r
	DUMP	%\r
	.endr
	pushq	cell
	popq	cell + 8 - 8
	movq	cell, %rax
	DUMP	%rax
	/* Segment registers. */
	movq	$-1, area - 8
	pushq	%fs
	movq	(%rsp), %rax
	popq	%fs
	movl	%fs, %ecx
	cmpw	%cx, %ax
	OK_IF(e)

	/* ENTER and LEAVE. */
	movl	$area - 64, %ebp
	enter	$32, $0
	cmpq	$area - 40, %rsp
	OK_IF(e)
	cmpq	$area - 8, %rbp
	OK_IF(e)
	cmpq	$area - 64, (%rbp)
	OK_IF(e)
	leave
	cmpq	$area, %rsp
	OK_IF(e)
	cmpq	$area - 64, %rbp
	OK_IF(e)
	movl	$frames + 64, %ebp
	enter	$16, $3
	cmpq	$area - 8, %rbp
	OK_IF(e)
	cmpq	$area - 48, %rsp
	OK_IF(e)
	EQ(8, area - 16)
	EQ(7, area - 24)
	cmpq	$area - 8, area - 32
	OK_IF(e)
	leave
	movl	$frames + 64, %ebp
	enter	$0, $33 /* modulo 32: level 1 */
	cmpq	$area - 16, %rsp
	OK_IF(e)
	leave
	movl	$0x10004000, %ebp /* the upper 48 bits stay */
	.byte	0x66
	enter	$4, $0
	cmpq	$area - 6, %rsp
	OK_IF(e)
	.byte	0x66
	leave
	cmpq	$area, %rsp
	OK_IF(e)
	movq	%rbp, %rax
	DUMP	%rax

	/* Flags: user mode cannot change IF or IOPL, TF is left alone here. */
	.irp	val, 0, FL_CF, FL_ZF | FL_OF, FL_OSZAPC, FL_DF, 0x3000, 0x200
	pushq	$\val
	popfq
	pushfq
	popq	%rax
	cld
	andl	$~0x200000, %eax
	DUMP	%rax
	.endr
	pushq	$0
	popfq
	pushfq
	popq	%rax
	testl	$0x200, %eax /* IF stays */
	OK_IF(ne)
	pushw	$FL_CF
	popfw
	OK_IF(c)
	/* ID can be toggled. */
	pushfq
	popq	%rax
	xorl	$0x200000, %eax
	movq	%rax, %rbx
	pushq	%rax
	popfq
	pushfq
	popq	%rax
	xorq	%rbx, %rax
	testl	$0x200000, %eax
	OK_IF(e)
	/* LAHF: bit 1 is one, bits 3 and 5 zero. */
	xorl	%eax, %eax
	movb	$0xff, %ah
	sahf
	lahf
	cmpl	$0xd700, %eax
	OK_IF(e)
	xorl	%eax, %eax
	sahf
	lahf
	cmpl	$0x0200, %eax
	OK_IF(e)
	UNSTACK

	/* A stack that is not there. */
	movq	%rsp, saved
	movl	$edge_begin, %esp
	TRAPS(EXC_PF, pushq %rax)
	cmpq	$edge_begin, %rsp
	OK_IF(e)
	movl	$edge_end - 4, %esp
	TRAPS(EXC_PF, popq %rax)
	cmpq	$edge_end - 4, %rsp
	OK_IF(e)
	/* POP into nowhere leaves RSP. */
	movl	$area, %esp
	xorl	%eax, %eax
	TRAPS(EXC_PF, popq (%rax))
	cmpq	$area, %rsp
	OK_IF(e)
	movl	$edge_begin + 8, %esp
	movl	$0x42, %ebp
	TRAPS(EXC_PF, enter $16, $1)
	cmpq	$edge_begin + 8, %rsp
	OK_IF(e)
	EQ(0x42, %rbp)
	UNSTACK
	ret

	.section .note.GNU-stack, "", @progbits
