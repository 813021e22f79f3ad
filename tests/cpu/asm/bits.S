/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BT BTS BTR BTC in registers and in bit strings in memory (offsets reach
 * outside the operand, backwards too), BSF BSR, and their LOCK forms.
 */
#include "rt.h"

	.bss
	.balign 64
	.space	64
string:	.space	64

	.macro BT_R op, a, b
	movq	%r8, %rax
	movq	%r9, %rcx
	\op	\b, \a
	DUMPF	FL_CF
	DUMP	%rax
	.endm

	.macro BT_I op, a, imm
	movq	%r8, %rax
	\op	$\imm, \a
	DUMPF	FL_CF
	DUMP	%rax
	movq	%r8, string
	\op	$\imm, string
	DUMPF	FL_CF
	movq	string, %rax
	DUMP	%rax
	.endm

	/* rsi: offset; dumps the whole neighbourhood. */
	.macro BT_M op, b
	leaq	string - 64, %rdi
	movl	$16, %ecx
	movabsq	$0xa5c3963c5a0ff069, %rax
	cld
	rep stosq
	\op	\b, string
	DUMPF	FL_CF
	leaq	string - 64, %rdi
	xorl	%eax, %eax
	movl	$16, %ecx
1:	rolq	$5, %rax
	xorq	(%rdi), %rax
	addq	$8, %rdi
	loop	1b
	DUMP	%rax
	.endm

	.macro BS op, a, b
	movq	%r8, %rcx
	movabsq	$0x5555666677778888, %rax
	\op	\b, \a
	DUMPF	FL_ZF
	DUMP	%rax
	.endm

MAIN
	/* Bit -1 is bit 7 of the byte before. */
	movq	$0, string - 8
	movl	$-1, %ecx
	btsl	%ecx, string
	OK_IF(nc)
	movq	string - 8, %rax
	EQ64(0x8000000000000000, %rax)
	movq	$-1, %rcx
	btrq	%rcx, string
	OK_IF(c)
	EQ(0, string - 8)
	/* A register operand takes the offset modulo its width. */
	movl	$1, %eax
	movl	$32, %ecx
	btl	%ecx, %eax
	OK_IF(c)
	/* An immediate offset never leaves the operand. */
	movq	$0, string
	movq	$0, string + 8
	btcl	$33, string
	EQ(2, string)
	/* BSF and BSR of 0: ZF, and both vendors keep the destination. */
	movq	$0x1234, %rax
	xorl	%ecx, %ecx
	bsfq	%rcx, %rax
	OK_IF(e)
	EQ(0x1234, %rax)

	.irp	op, bt, bts, btr, btc
	FOR_PAIRS BT_R, \op\()w, %ax, %cx
	FOR_PAIRS BT_R, \op\()l, %eax, %ecx
	FOR_PAIRS BT_R, \op\()q, %rax, %rcx
	.irp	imm, 0, 1, 15, 31
	FOR_VALUES BT_I, \op\()w, %ax, \imm
	FOR_VALUES BT_I, \op\()l, %eax, \imm
	FOR_VALUES BT_I, \op\()q, %rax, \imm
	.endr
	FOR_VALUES BT_I, \op\()q, %rax, 63
	movq	$-512, %rsi
.L\op:	BT_M	\op\()w, %si
	BT_M	\op\()l, %esi
	BT_M	\op\()q, %rsi
	.ifnc	\op, bt
	BT_M	"lock \op\()w", %si
	BT_M	"lock \op\()l", %esi
	BT_M	"lock \op\()q", %rsi
	.endif
	addq	$7, %rsi
	cmpq	$480, %rsi
	jl	.L\op
	.endr
	.irp	op, bsf, bsr
	FOR_VALUES BS, \op\()w, %ax, %cx
	FOR_VALUES BS, \op\()q, %rax, %rcx
	.endr
	ret

	.section .note.GNU-stack, "", @progbits
