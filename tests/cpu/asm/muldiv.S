/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MUL IMUL DIV IDIV: products and quotients of the corner values in all sizes,
 * CF and OF of the multiplications, and #DE where a quotient does not fit.
 * A division is dumped as its result, or as the exception.
 */
#include "rt.h"

	.data
	.balign 8
cell:	.quad	0

	.macro MUL1 op, b
	movq	%r8, %rax
	movq	%r9, %rcx
	movabsq	$0x1111222233334444, %rdx
	\op	\b
	DUMPF	FL_OC
	DUMP	%rax
	DUMP	%rdx
	movq	%r8, %rax
	movq	%r9, cell
	movabsq	$0x1111222233334444, %rdx
	\op	cell
	DUMPF	FL_OC
	DUMP	%rax
	DUMP	%rdx
	.endm

	.macro IMUL2 op, a, b
	movq	%r8, %rax
	movq	%r9, %rcx
	\op	\b, \a
	DUMPF	FL_OC
	DUMP	%rax
	.endm

	.macro IMUL3 op, imm, a, b
	movq	%r8, %rcx
	movabsq	$0x1111222233334444, %rax
	\op	$\imm, \b, \a
	DUMPF	FL_OC
	DUMP	%rax
	.endm

	/* r10: high half of the dividend. */
	.macro DIV1 op, b
	movq	%r8, %rax
	movq	%r10, %rdx
	movq	%r9, %rcx
	movq	$-1, trap_vector
	movq	$1f, trap_resume
	\op	\b
	movq	$0, trap_resume
1:	DUMP	%rax
	DUMP	%rdx
	movq	trap_vector, %rax
	DUMP	%rax
	.endm

	.macro DIVS op, b
	.irp	high, 0, 1, -1, 0x7f
	movq	$\high, %r10
	FOR_PAIRS DIV1, \op, \b
	.endr
	.endm

MAIN
	movl	$0xffffffff, %eax
	mull	%eax
	EQL(1, %eax)
	EQL(-2, %edx)
	movb	$0x80, %al
	movb	$0xff, %cl
	imulb	%cl
	FLAGS(FL_OC, FL_OC)
	cmpw	$0x80, %ax
	OK_IF(e)
	movq	$-7, %rax
	cqto
	movl	$2, %ecx
	idivq	%rcx
	EQ(-3, %rax)
	EQ(-1, %rdx)

	/* #DE: by zero, quotient too big, the most negative by -1. */
	movl	$5, %eax
	xorl	%edx, %edx
	xorl	%ecx, %ecx
	TRAPS(EXC_DE, divl %ecx)
	EQ(5, %rax)
	EQ(0, %rdx)
	movl	$1, %edx
	movl	$1, %ecx
	TRAPS(EXC_DE, divl %ecx)
	EQ(1, %rdx)
	movl	$0x80000000, %eax
	cltd
	movl	$-1, %ecx
	TRAPS(EXC_DE, idivl %ecx)
	movq	$-0x8000000000000000, %rax
	cqto
	movq	$-1, %rcx
	TRAPS(EXC_DE, idivq %rcx)
	EQ(-1, %rdx)
	movw	$0x100, %ax
	movb	$1, %cl
	TRAPS(EXC_DE, divb %cl)
	movw	$-0x8000, %ax
	movb	$-1, %cl
	TRAPS(EXC_DE, idivb %cl)
	/* -128 does fit. */
	movw	$-128, %ax
	movb	$1, %cl
	idivb	%cl
	cmpw	$0x0080, %ax
	OK_IF(e)

	.irp	op, mul, imul
	FOR_PAIRS MUL1, \op\()b, %cl
	FOR_PAIRS MUL1, \op\()b, %ch
	FOR_PAIRS MUL1, \op\()w, %cx
	FOR_PAIRS MUL1, \op\()l, %ecx
	FOR_PAIRS MUL1, \op\()q, %rcx
	.endr
	FOR_PAIRS IMUL2, imulw, %ax, %cx
	FOR_PAIRS IMUL2, imull, %eax, %ecx
	FOR_PAIRS IMUL2, imulq, %rax, %rcx
	.irp	imm, 1, -1, 0x7f, -0x80, 0x1234
	FOR_VALUES IMUL3, imulw, \imm, %ax, %cx
	FOR_VALUES IMUL3, imull, \imm, %eax, %ecx
	FOR_VALUES IMUL3, imulq, \imm, %rax, %rcx
	.endr
	FOR_VALUES IMUL3, imulq, -0x80000000, %rax, %rcx
	DIVS	divb, %cl
	DIVS	divw, %cx
	DIVS	divl, %ecx
	DIVS	divq, %rcx
	DIVS	idivb, %cl
	DIVS	idivw, %cx
	DIVS	idivl, %ecx
	DIVS	idivq, %rcx
	ret

	.section .note.GNU-stack, "", @progbits
