/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SHL SHR SAR ROL ROR RCL RCR SHLD SHRD: all sizes, counts 0 to 70 by CL, some
 * immediate ones, memory forms.  A masked count of 0 changes no flag; AF is
 * undefined for shifts, OF defined for a count of 1 only.
 */
#include "rt.h"

	.data
	.balign 8
cell:	.quad	0

	/* r9d: count; mask1, mask: flags to keep for counts of 1 and others. */
	.macro SH_CL op, a, mask1, mask, sizemask
	movq	%r8, %rax
	movl	%r9d, %ecx
	stc
	\op	%cl, \a
	pushfq
	popq	%rbx
	movl	%r9d, %ecx
	andl	$\sizemask, %ecx
	jz	2f
	decl	%ecx
	jz	1f
	andl	$\mask, %ebx
	jmp	3f
1:	andl	$\mask1, %ebx
	jmp	3f
2:	andl	$FL_OSZAPC, %ebx
3:	DUMP	%rbx
	DUMP	%rax
	.endm

	.macro SH_I op, a, imm, mask
	movq	%r8, %rax
	stc
	\op	$\imm, \a
	DUMPF	\mask
	DUMP	%rax
	movq	%r8, cell
	clc
	\op	$\imm, cell
	DUMPF	\mask
	movq	cell, %rax
	DUMP	%rax
	.endm

	/* For each value and each count. */
	.macro COUNTS m, args:vararg
	xorl	%r12d, %r12d
.Lo\@:	movq	rt_values(,%r12,8), %r8
	xorl	%r9d, %r9d
.Li\@:	\m	\args
	incl	%r9d
	cmpl	$71, %r9d
	jne	.Li\@
	incl	%r12d
	cmpl	rt_nvalues, %r12d
	jne	.Lo\@
	.endm

	.macro ALL op, mask1, mask
	COUNTS	SH_CL, \op\()b, %al, \mask1, \mask, 31
	COUNTS	SH_CL, \op\()b, %ah, \mask1, \mask, 31
	COUNTS	SH_CL, \op\()w, %ax, \mask1, \mask, 31
	COUNTS	SH_CL, \op\()l, %eax, \mask1, \mask, 31
	COUNTS	SH_CL, \op\()q, %rax, \mask1, \mask, 63
	.irp	size, b, w, l, q
	COUNTS	SH_CLM, \op\size, \mask
	.endr
	FOR_VALUES SH_I, \op\()b, %al, 1, \mask1
	FOR_VALUES SH_I, \op\()w, %ax, 1, \mask1
	FOR_VALUES SH_I, \op\()l, %eax, 1, \mask1
	FOR_VALUES SH_I, \op\()q, %rax, 1, \mask1
	.irp	imm, 2, 7
	FOR_VALUES SH_I, \op\()b, %al, \imm, \mask
	FOR_VALUES SH_I, \op\()w, %ax, \imm, \mask
	FOR_VALUES SH_I, \op\()l, %eax, \imm, \mask
	FOR_VALUES SH_I, \op\()q, %rax, \imm, \mask
	.endr
	FOR_VALUES SH_I, \op\()l, %eax, 31, \mask
	FOR_VALUES SH_I, \op\()l, %eax, 32, FL_OSZAPC
	FOR_VALUES SH_I, \op\()q, %rax, 33, \mask
	FOR_VALUES SH_I, \op\()q, %rax, 63, \mask
	FOR_VALUES SH_I, \op\()q, %rax, 64, FL_OSZAPC
	.endm

	/* Memory operand; results only, and CF. */
	.macro SH_CLM op, mask
	movq	%r8, cell
	movl	%r9d, %ecx
	clc
	\op	%cl, cell
	DUMPF	FL_CF
	movq	cell, %rax
	DUMP	%rax
	.endm

	/* Double shifts; a count above 15 is undefined for 16 bits. */
	.macro DSH op, a, b, max
	cmpl	$\max, %r9d
	ja	1f
	movq	%r8, %rax
	movabsq	$0x9e3779b97f4a7c15, %rdx
	movl	%r9d, %ecx
	stc
	\op	%cl, \b, \a
	DUMPF	FL_SZPC
	DUMP	%rax
	movq	%r8, cell
	movl	%r9d, %ecx
	\op	%cl, \b, cell
	DUMPF	FL_SZPC
	movq	cell, %rax
	DUMP	%rax
1:
	.endm

	.macro DSH_I op, a, b, imm
	movq	%r8, %rax
	movabsq	$0x9e3779b97f4a7c15, %rdx
	\op	$\imm, \b, \a
	DUMPF	FL_SZPC
	DUMP	%rax
	.endm

MAIN
	/* Count 0, and counts that are 0 when masked, keep every flag. */
	movl	$0x12345678, %eax
	xorl	%ecx, %ecx
	stc
	shll	%cl, %eax
	OK_IF(c)
	movb	$32, %cl
	cmpb	%cl, %cl
	stc
	sarl	%cl, %eax
	FLAGS(FL_OSZPC, FL_ZF | FL_PF | FL_CF)
	EQL(0x12345678, %eax)
	/* ... but a 32-bit destination is still zero-extended. */
	movq	$-1, %rax
	shll	%cl, %eax
	movl	$0xffffffff, %edx
	cmpq	%rdx, %rax
	OK_IF(e)
	/* RCL by 9 of a byte is the identity. */
	movb	$9, %cl
	movb	$0xa5, %al
	stc
	rclb	%cl, %al
	OK_IF(c)
	cmpb	$0xa5, %al
	OK_IF(e)
	/* ROL by 8 of a byte: value kept, CF is bit 0. */
	movb	$8, %cl
	clc
	rolb	%cl, %al
	OK_IF(c)
	cmpb	$0xa5, %al
	OK_IF(e)
	movq	$-0x8000000000000000, %rax
	sarq	$63, %rax
	EQ(-1, %rax)
	movl	$1, %eax
	movl	$0x80000000, %edx
	shldl	$1, %edx, %eax
	EQL(3, %eax)
	shrdl	$4, %edx, %eax
	EQL(0, %eax)

	ALL	sar, FL_OSZPC, FL_SZPC
	/* CF of SHL and SHR past the operand's width is undefined. */
	.irp	op, shl, shr
	COUNTS	SH_CL, \op\()b, %al, FL_OSZPC, FL_SF | FL_ZF | FL_PF, 31
	COUNTS	SH_CL, \op\()w, %ax, FL_OSZPC, FL_SF | FL_ZF | FL_PF, 31
	COUNTS	SH_CL, \op\()l, %eax, FL_OSZPC, FL_SZPC, 31
	COUNTS	SH_CL, \op\()q, %rax, FL_OSZPC, FL_SZPC, 63
	COUNTS	SH_CLM, \op\()l, 0
	COUNTS	SH_CLM, \op\()q, 0
	.irp	imm, 2, 5, 7
	FOR_VALUES SH_I, \op\()b, %al, \imm, FL_SZPC
	FOR_VALUES SH_I, \op\()w, %ax, \imm, FL_SZPC
	FOR_VALUES SH_I, \op\()l, %eax, \imm, FL_SZPC
	FOR_VALUES SH_I, \op\()q, %rax, \imm, FL_SZPC
	.endr
	.endr
	ALL	rol, FL_OSZAPC, FL_SF | FL_ZF | FL_AF | FL_PF | FL_CF
	ALL	ror, FL_OSZAPC, FL_SF | FL_ZF | FL_AF | FL_PF | FL_CF
	ALL	rcl, FL_OSZAPC, FL_SF | FL_ZF | FL_AF | FL_PF | FL_CF
	ALL	rcr, FL_OSZAPC, FL_SF | FL_ZF | FL_AF | FL_PF | FL_CF
	.irp	op, shld, shrd
	COUNTS	DSH, \op\()w, %ax, %dx, 15
	COUNTS	DSH, \op\()l, %eax, %edx, 31
	COUNTS	DSH, \op\()q, %rax, %rdx, 63
	.irp	imm, 1, 8, 13
	FOR_VALUES DSH_I, \op\()w, %ax, %dx, \imm
	FOR_VALUES DSH_I, \op\()l, %eax, %edx, \imm
	FOR_VALUES DSH_I, \op\()q, %rax, %rdx, \imm
	.endr
	FOR_VALUES DSH_I, \op\()q, %rax, %rdx, 45
	.endr
	ret

	.section .note.GNU-stack, "", @progbits
