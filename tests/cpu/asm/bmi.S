/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * POPCNT LZCNT TZCNT, BMI1 (ANDN BEXTR BLSI BLSMSK BLSR), BMI2 (BZHI MULX PDEP
 * PEXT RORX SARX SHLX SHRX), ADX, CRC32, MOVBE.
 */
#include "rt.h"

	.data
	.balign 8
cell:	.quad	0

	.macro V3 insn, mask, a, b, d
	movq	%r8, %rcx
	movq	%r9, %rdx
	movabsq	$0x1111222233334444, %rax
	stc
	\insn	\a, \b, \d
	DUMPF	\mask
	DUMP	%rax
	.endm

	.macro V2 insn, mask, a, d
	movq	%r8, %rcx
	movabsq	$0x1111222233334444, %rax
	stc
	\insn	\a, \d
	DUMPF	\mask
	DUMP	%rax
	movq	%r8, cell
	clc
	\insn	cell, \d
	DUMPF	\mask
	DUMP	%rax
	.endm

	.macro CRC insn, a, d
	movq	%r8, %rcx
	movq	%r9, %rax
	\insn	\a, \d
	DUMP	%rax
	.endm

	.macro MULX insn, a, b, c
	movq	%r8, %rdx
	movq	%r9, %rcx
	\insn	\a, \b, \c
	DUMP	%rax
	DUMP	%rbx
	.endm

	/* CF and OF in all four combinations. */
	.macro AD insn, a, d, flags
	movq	%r8, %rcx
	movq	%r9, %rax
	pushq	$0x202 + (\flags)
	popfq
	\insn	\a, \d
	DUMPF
	DUMP	%rax
	.endm

#define EBX_BMI1_BMI2_ADX 0x80108
#define ECX_POPCNT_MOVBE_SSE42 0xd00000
#define ECX_ABM 0x20

MAIN
	NEEDS(7, %ebx, EBX_BMI1_BMI2_ADX)
	NEEDS(1, %ecx, ECX_POPCNT_MOVBE_SSE42)
	NEEDS(0x80000001, %ecx, ECX_ABM)

	movl	$0x12345678, %ecx
	popcntl	%ecx, %eax
	EQL(13, %eax)
	xorl	%ecx, %ecx
	lzcntl	%ecx, %eax
	OK_IF(c)
	EQL(32, %eax)
	tzcntq	%rcx, %rax
	OK_IF(c)
	EQ(64, %rax)
	/* CRC-32C of "123456789" is E3069283. */
	movl	$-1, %eax
	movabsq	$0x3837363534333231, %rcx
	crc32q	%rcx, %rax
	movb	$0x39, %cl
	crc32b	%cl, %eax
	notl	%eax
	EQL(-0x1cf96d7d, %eax)
	movl	$0x12345678, %ecx
	movl	$0xff00ff00, %edx
	pextl	%edx, %ecx, %eax
	EQL(0x1256, %eax)
	pdepl	%edx, %eax, %eax
	EQL(0x12005600, %eax)

	.irp	insn, popcntw, lzcntw, tzcntw
	FOR_VALUES V2, \insn, FL_ZF, %cx, %ax
	.endr
	.irp	insn, popcntl, lzcntl, tzcntl, blsil, blsmskl, blsrl
	FOR_VALUES V2, \insn, FL_ZF, %ecx, %eax
	.endr
	.irp	insn, popcntq, lzcntq, tzcntq, blsiq, blsmskq, blsrq
	FOR_VALUES V2, \insn, FL_ZF, %rcx, %rax
	.endr
	.irp	insn, blsil, blsrl, blsmskl
	FOR_VALUES V2, \insn, FL_CF, %ecx, %eax
	.endr
	FOR_PAIRS V3, andnl, FL_SF | FL_ZF | FL_CF | FL_OF, %ecx, %edx, %eax
	FOR_PAIRS V3, andnq, FL_SF | FL_ZF | FL_CF | FL_OF, %rcx, %rdx, %rax
	FOR_PAIRS V3, bextrl, FL_ZF | FL_CF | FL_OF, %ecx, %edx, %eax
	FOR_PAIRS V3, bextrq, FL_ZF | FL_CF | FL_OF, %rcx, %rdx, %rax
	FOR_PAIRS V3, bzhil, FL_SF | FL_ZF | FL_CF | FL_OF, %ecx, %edx, %eax
	FOR_PAIRS V3, bzhiq, FL_SF | FL_ZF | FL_CF | FL_OF, %rcx, %rdx, %rax
	.irp	op, sarx, shlx, shrx, pdep, pext
	FOR_PAIRS V3, \op\()l, FL_OSZAPC, %ecx, %edx, %eax
	FOR_PAIRS V3, \op\()q, FL_OSZAPC, %rcx, %rdx, %rax
	.endr
	FOR_VALUES V3, rorxl, FL_OSZAPC, $7, %ecx, %eax
	FOR_VALUES V3, rorxq, FL_OSZAPC, $41, %rcx, %rax
	FOR_PAIRS MULX, mulxl, %ecx, %eax, %ebx
	FOR_PAIRS MULX, mulxq, %rcx, %rax, %rbx
	FOR_PAIRS MULX, mulxq, %rcx, %rax, %rax
	.irp	flags, 0, FL_CF, FL_OF, FL_CF | FL_OF | FL_ZF
	FOR_PAIRS AD, adcxl, %ecx, %eax, \flags
	FOR_PAIRS AD, adcxq, %rcx, %rax, \flags
	FOR_PAIRS AD, adoxl, %ecx, %eax, \flags
	FOR_PAIRS AD, adoxq, %rcx, %rax, \flags
	.endr
	FOR_PAIRS CRC, crc32b, %cl, %eax
	FOR_PAIRS CRC, crc32b, %ch, %eax
	FOR_PAIRS CRC, crc32w, %cx, %eax
	FOR_PAIRS CRC, crc32l, %ecx, %eax
	FOR_PAIRS CRC, crc32b, %cl, %rax
	FOR_PAIRS CRC, crc32q, %rcx, %rax

	movabsq	$0x0102030405060708, %rax
	movq	$-1, cell
	movbe	%ax, cell
	movq	cell, %rbx
	DUMP	%rbx
	movbe	%eax, cell
	movq	cell, %rbx
	DUMP	%rbx
	movbe	%rax, cell
	movbe	cell, %rbx
	cmpq	%rax, %rbx
	OK_IF(e)
	movq	$-1, %rbx
	movbe	cell, %bx
	DUMP	%rbx
	movbe	cell, %ebx
	DUMP	%rbx
	ret

	.section .note.GNU-stack, "", @progbits
