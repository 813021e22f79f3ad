/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MOVS STOS LODS CMPS SCAS with REP, REPE, REPNE: counts, both directions,
 * overlap, 32-bit addresses, and a fault in the middle, which must leave the
 * registers as if the instruction had been cut there.
 */
#include "rt.h"

#define N 4096

	.bss
	.balign 4096
src:	.space	N
dst:	.space	N

	/* Fill src with a pattern, dst with 0xee. */
	.text
fill:
	cld
	movl	$src, %edi
	xorl	%eax, %eax
1:	imull	$0x45d9f3b, %eax, %eax
	addl	$0x1234567, %eax
	stosl
	cmpl	$src + N, %edi
	jb	1b
	movb	$0xee, %al
	movl	$N, %ecx
	rep stosb
	ret

	/* A hash of both buffers and the registers of a string instruction. */
dump_all:
	DUMP	%rsi
	DUMP	%rdi
	DUMP	%rcx
	DUMP	%rax
	movl	$src, %esi
	xorl	%eax, %eax
1:	rolq	$7, %rax
	xorq	(%rsi), %rax
	addq	$8, %rsi
	cmpl	$dst + N, %esi
	jb	1b
	DUMP	%rax
	ret

	.macro RUN dir, off, count, insn:vararg
	call	fill
	movl	$src + \off, %esi
	movl	$dst + \off, %edi
	movq	$\count, %rcx
	movabsq	$0x8877665544332211, %rax
	\dir
	\insn
	cld
	call	dump_all
	.endm

	.macro SIZES rep, op
	.irp	count, 0, 1, 2, 3, 7, 8, 63, 100
	RUN	cld, 1, \count, \rep \op\()b
	RUN	cld, 1, \count, \rep \op\()w
	RUN	cld, 3, \count, \rep \op\()l
	RUN	cld, 5, \count, \rep \op\()q
	RUN	std, 1801, \count, \rep \op\()b
	RUN	std, 1801, \count, \rep \op\()w
	RUN	std, 1803, \count, \rep \op\()l
	RUN	std, 1805, \count, \rep \op\()q
	.endr
	.endm

	/* src and dst equal up to 1000 bytes: CMPS and SCAS stop there. */
	.macro CMP dir, off, insn:vararg
	call	fill
	movl	$src, %esi
	movl	$dst, %edi
	movl	$1000, %ecx
	rep movsb
	movl	$src + \off, %esi
	movl	$dst + \off, %edi
	movl	$120, %ecx
	movq	dst + \off + 64, %rax
	\dir
	\insn
	DUMPF
	cld
	call	dump_all
	.endm

	.macro OVERLAP dir, delta, insn:vararg
	call	fill
	movl	$src + 512, %esi
	movl	$src + 512 + \delta, %edi
	movl	$100, %ecx
	\dir
	\insn
	cld
	call	dump_all
	.endm

MAIN
	SIZES	"", movs
	SIZES	rep, movs
	SIZES	"", stos
	SIZES	rep, stos
	SIZES	"", lods
	SIZES	rep, lods
	.irp	op, cmpsb, cmpsw, cmpsl, cmpsq, scasb, scasw, scasl, scasq
	.irp	rep, repe, repne
	CMP	cld, 900, \rep \op
	CMP	cld, 990, \rep \op
	CMP	cld, 1200, \rep \op
	CMP	std, 1100, \rep \op
	CMP	std, 990, \rep \op
	.endr
	CMP	cld, 996, \op
	.endr
	.irp	delta, -9, -8, -3, -1, 0, 1, 2, 4, 7, 8, 16, 33
	OVERLAP	cld, \delta, rep movsb
	OVERLAP	cld, \delta, rep movsw
	OVERLAP	cld, \delta, rep movsl
	OVERLAP	cld, \delta, rep movsq
	OVERLAP	std, \delta, rep movsb
	OVERLAP	std, \delta, rep movsq
	.endr

	/* Count 0 with REPE keeps the flags. */
	xorl	%ecx, %ecx
	cmpl	$1, %ecx
	repe cmpsb
	FLAGS(FL_OSZAPC, FL_SF | FL_AF | FL_PF | FL_CF)

	/* 32-bit addresses: RSI and RDI are zero-extended, ECX counts. */
	movabsq	$0x100000000 + src, %rsi
	movabsq	$0x500000000 + dst, %rdi
	movabsq	$0x700000004, %rcx
	addr32 rep movsb
	cmpq	$src + 4, %rsi
	OK_IF(e)
	cmpq	$dst + 4, %rdi
	OK_IF(e)
	EQ(0, %rcx)

	/* Into the page that is not there: 4090 bytes are done, then #PF. */
	movl	$edge_begin + 6, %edi
	movl	$5000, %ecx
	movb	$0x5a, %al
	TRAPS(EXC_PF, rep stosb)
	cmpq	$edge_end, %rdi
	OK_IF(e)
	EQ(5000 - 4090, %rcx)
	cmpq	$edge_end, trap_cr2
	OK_IF(e)
	cmpb	$0x5a, edge_end - 1
	OK_IF(e)
	cmpb	$0, edge_begin + 5
	OK_IF(e)

	/* Words, one straddling the edge: nothing of it is written. */
	movl	$edge_begin + 7, %edi
	movl	$3000, %ecx
	movw	$0x7777, %ax
	TRAPS(EXC_PF, rep stosw)
	cmpq	$edge_end - 1, %rdi
	OK_IF(e)
	EQ(3000 - 2044, %rcx)
	cmpb	$0x5a, edge_end - 1
	OK_IF(e)

	/* Downwards out of the page. */
	movl	$edge_begin + 8, %edi
	movl	$20, %ecx
	std
	TRAPS(EXC_PF, rep stosl)
	cld
	cmpq	$edge_begin - 4, %rdi
	OK_IF(e)
	EQ(17, %rcx)

	/* MOVS whose source ends, and whose destination is read-only. */
	movl	$edge_end - 5, %esi
	movl	$dst, %edi
	movl	$100, %ecx
	TRAPS(EXC_PF, rep movsb)
	cmpq	$edge_end, %rsi
	OK_IF(e)
	cmpq	$dst + 5, %rdi
	OK_IF(e)
	EQ(95, %rcx)
	movl	$src, %esi
	movl	$ro_begin, %edi
	movb	(%rdi), %al /* make it present */
	movl	$100, %ecx
	TRAPS(EXC_PF, rep movsq)
	cmpq	$src, %rsi
	OK_IF(e)
	EQ(100, %rcx)
	EQ(7, trap_err)

	/* SCAS running off the end finds nothing first. */
	movl	$edge_end - 9, %edi
	movl	$100, %ecx
	movb	$0x99, %al
	TRAPS(EXC_PF, repne scasb)
	cmpq	$edge_end, %rdi
	OK_IF(e)
	EQ(91, %rcx)

	/* XLAT. */
	movl	$src, %ebx
	movl	$0x12345607, %eax
	movb	$0x42, src + 7
	xlatb
	EQL(0x12345642, %eax)
	ret

	.section .note.GNU-stack, "", @progbits
