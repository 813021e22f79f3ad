/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ADD ADC SUB SBB AND OR XOR CMP TEST INC DEC NEG NOT: flags and results of all
 * sizes and operand forms, over the corner values.
 */
#include "rt.h"

	.data
	.balign 8
cell:	.quad	0

	.macro OP_RR carry, op, a, b
	movq	%r8, %rax
	movq	%r9, %rdx
	\carry
	\op	\b, \a
	DUMPF
	DUMP	%rax
	.endm

	.macro OP_MR carry, op, b
	movq	%r8, cell
	movq	%r9, %rdx
	\carry
	\op	\b, cell
	DUMPF
	movq	cell, %rax
	DUMP	%rax
	.endm

	.macro OP_RM carry, op, a
	movq	%r8, %rax
	movq	%r9, cell
	\carry
	\op	cell, \a
	DUMPF
	DUMP	%rax
	.endm

	.macro OP_I carry, op, a, imm
	movq	%r8, %rax
	\carry
	\op	$\imm, \a
	DUMPF
	DUMP	%rax
	movq	%r8, cell
	\carry
	\op	$\imm, cell
	DUMPF
	movq	cell, %rax
	DUMP	%rax
	.endm

	.macro LOGIC_RR carry, op, a, b
	movq	%r8, cell
	movq	%r8, %rax
	movq	%r9, %rdx
	\carry
	\op	\b, \a
	DUMPF	FL_OSZPC
	DUMP	%rax
	movq	cell, %rax
	DUMP	%rax
	.endm

	.macro OP_1 carry, op, a
	movq	%r8, %rax
	\carry
	\op	\a
	DUMPF
	DUMP	%rax
	.endm

	.macro OP_1M carry, op
	movq	%r8, cell
	\carry
	\op	cell
	DUMPF
	movq	cell, %rax
	DUMP	%rax
	.endm

	.macro ARITH op
	.irp	carry, clc, stc
	FOR_PAIRS OP_RR, \carry, \op\()b, %al, %dl
	FOR_PAIRS OP_RR, \carry, \op\()b, %ah, %dl
	FOR_PAIRS OP_RR, \carry, \op\()w, %ax, %dx
	FOR_PAIRS OP_RR, \carry, \op\()l, %eax, %edx
	FOR_PAIRS OP_RR, \carry, \op\()q, %rax, %rdx
	FOR_PAIRS OP_MR, \carry, \op\()b, %dl
	FOR_PAIRS OP_MR, \carry, \op\()w, %dx
	FOR_PAIRS OP_MR, \carry, \op\()l, %edx
	FOR_PAIRS OP_MR, \carry, \op\()q, %rdx
	FOR_PAIRS OP_RM, \carry, \op\()b, %al
	FOR_PAIRS OP_RM, \carry, \op\()w, %ax
	FOR_PAIRS OP_RM, \carry, \op\()l, %eax
	FOR_PAIRS OP_RM, \carry, \op\()q, %rax
	.irp	imm, 0, 1, 0x7f, -0x80, -1
	FOR_VALUES OP_I, \carry, \op\()b, %al, \imm
	FOR_VALUES OP_I, \carry, \op\()w, %ax, \imm
	FOR_VALUES OP_I, \carry, \op\()l, %eax, \imm
	FOR_VALUES OP_I, \carry, \op\()q, %rax, \imm
	.endr
	FOR_VALUES OP_I, \carry, \op\()w, %ax, 0x1234
	FOR_VALUES OP_I, \carry, \op\()l, %eax, 0x7fffffff
	FOR_VALUES OP_I, \carry, \op\()q, %rax, -0x80000000
	.endr
	.endm

	.macro LOGIC op
	FOR_PAIRS LOGIC_RR, stc, \op\()b, %al, %dl
	FOR_PAIRS LOGIC_RR, stc, \op\()w, %ax, %dx
	FOR_PAIRS LOGIC_RR, stc, \op\()l, %eax, %edx
	FOR_PAIRS LOGIC_RR, stc, \op\()q, %rax, %rdx
	FOR_PAIRS LOGIC_RR, stc, \op\()q, cell, %rdx
	.endm

	.macro ONE op
	.irp	carry, clc, stc
	FOR_VALUES OP_1, \carry, \op\()b, %al
	FOR_VALUES OP_1, \carry, \op\()b, %ah
	FOR_VALUES OP_1, \carry, \op\()w, %ax
	FOR_VALUES OP_1, \carry, \op\()l, %eax
	FOR_VALUES OP_1, \carry, \op\()q, %rax
	.irp	size, b, w, l, q
	FOR_VALUES OP_1M, \carry, \op\size
	.endr
	.endr
	.endm

MAIN
	/* What is known by heart. */
	movl	$0x7fffffff, %eax
	addl	$1, %eax
	FLAGS(FL_OSZAPC, FL_OF | FL_SF | FL_AF | FL_PF)
	movl	$0, %eax
	subq	$1, %rax
	FLAGS(FL_OSZAPC, FL_SF | FL_AF | FL_PF | FL_CF)
	EQ(-1, %rax)
	stc
	movb	$0xff, %al
	adcb	$0, %al
	FLAGS(FL_OSZAPC, FL_ZF | FL_AF | FL_PF | FL_CF)
	stc
	movw	$0x8000, %ax
	sbbw	$0, %ax
	FLAGS(FL_OSZAPC, FL_OF | FL_AF | FL_PF)
	stc
	movl	$0x80000000, %eax
	negl	%eax
	FLAGS(FL_OSZAPC, FL_OF | FL_SF | FL_PF | FL_CF)
	stc
	movb	$0x7f, %al
	incb	%al
	FLAGS(FL_OSZAPC, FL_OF | FL_SF | FL_AF | FL_CF)
	stc
	movq	$-1, %rax
	xorl	%eax, %eax
	FLAGS(FL_OSZPC, FL_ZF | FL_PF)
	EQ(0, %rax)
	stc
	notl	%eax
	FLAGS(FL_CF, FL_CF)
	movl	$0xffffffff, %edx
	cmpq	%rdx, %rax
	OK_IF(e)

	ARITH	add
	ARITH	adc
	ARITH	sub
	ARITH	sbb
	ARITH	cmp
	LOGIC	and
	LOGIC	or
	LOGIC	xor
	LOGIC	test
	ONE	inc
	ONE	dec
	ONE	neg
	ONE	not
	ret

	.section .note.GNU-stack, "", @progbits
