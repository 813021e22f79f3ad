/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SSE3, SSSE3, SSE4.1, SSE4.2: everything but CRC32 and POPCNT (bmi.S).
 */
#include "rt.h"

#define ECX_SSE3_SSSE3_SSE41_SSE42 0x180201

	.section .rodata
	.balign 16
vals:	.quad	0x0123456789abcdef, 0xfedcba9876543210, 0x7f80ff0001fe8081, 0x8000800080008000
	.quad	0, 0xffffffffffffffff, 0x400921fb54442d18, 0xc004000000000000
	.quad	0x3f8000003fc00000, 0x7fc00000bf000000
nvals = 8
	.balign 16
text:	.ascii	"The quick brown "
word:	.ascii	"own\0abcdefgh\0abc"

	.bss
	.balign 64
m:	.space	64

	.macro PAIRS m, args:vararg
	xorl	%r12d, %r12d
.Lo\@:	xorl	%r13d, %r13d
.Li\@:	movups	vals(,%r12,8), %xmm2
	movups	vals(,%r13,8), %xmm1
	movups	vals(,%r12,4), %xmm0
	\m	\args
	incl	%r13d
	cmpl	$nvals, %r13d
	jne	.Li\@
	incl	%r12d
	cmpl	$nvals, %r12d
	jne	.Lo\@
	.endm

	.macro P2 insn
	\insn	%xmm1, %xmm2
	DUMPX	%xmm2
	.endm
	.macro P2I insn, imm
	\insn	$\imm, %xmm1, %xmm2
	DUMPX	%xmm2
	.endm
	.macro TEST2
	ptest	%xmm1, %xmm2
	DUMPF
	.endm
	.macro EXTR insn, imm
	\insn	$\imm, %xmm1, m
	movq	m, %rax
	DUMP	%rax
	.endm

	.macro STR insn, imm
	movl	$5, %eax
	movl	$14, %edx
	movdqa	text, %xmm1
	movl	$-1, %ecx
	\insn	$\imm, word, %xmm1
	DUMPF
	DUMP	%rcx
	DUMPX	%xmm0
	.endm

MAIN
	NEEDS(1, %ecx, ECX_SSE3_SSSE3_SSE41_SSE42)
	.irp	insn, addsubps, addsubpd, haddps, haddpd, hsubps, hsubpd, movsldup, movshdup, \
	    movddup
	PAIRS	P2, \insn
	.endr
	.irp	insn, pshufb, phaddw, phaddd, phaddsw, phsubw, phsubd, phsubsw, pmaddubsw, \
	    pmulhrsw, psignb, psignw, psignd, pabsb, pabsw, pabsd
	PAIRS	P2, \insn
	.endr
	.irp	insn, blendvps, blendvpd, pblendvb
	PAIRS	P2, \insn
	.endr
	.irp	insn, pcmpeqq, pcmpgtq, packusdw, pmuldq, pmulld, pminsb, pmaxsb, pminuw, \
	    pmaxuw, pminud, pmaxud, pminsd, pmaxsd, phminposuw
	PAIRS	P2, \insn
	.endr
	.irp	insn, pmovsxbw, pmovsxbd, pmovsxbq, pmovsxwd, pmovsxwq, pmovsxdq, pmovzxbw, \
	    pmovzxbd, pmovzxbq, pmovzxwd, pmovzxwq, pmovzxdq
	PAIRS	P2, \insn
	.endr
	.irp	imm, 0, 3, 7, 12, 17, 40
	PAIRS	P2I, palignr, \imm
	.endr
	.irp	imm, 0, 1, 2, 3, 4, 8
	.irp	insn, roundps, roundpd, roundss, roundsd
	PAIRS	P2I, \insn, \imm
	.endr
	.endr
	.irp	insn, blendps, blendpd, pblendw, mpsadbw, insertps
	PAIRS	P2I, \insn, 0x25
	PAIRS	P2I, \insn, 0x9a
	.endr
	PAIRS	P2I, dpps, 0x71
	PAIRS	P2I, dppd, 0x32
	PAIRS	TEST2
	movq	$-1, m
	PAIRS	EXTR, pextrb, 3
	PAIRS	EXTR, pextrw, 5
	PAIRS	EXTR, pextrd, 2
	PAIRS	EXTR, pextrq, 1
	PAIRS	EXTR, extractps, 3
	movabsq	$0x1122334455667788, %rax
	pinsrb	$9, %eax, %xmm1
	pinsrd	$1, %eax, %xmm1
	pinsrq	$1, %rax, %xmm1
	DUMPX	%xmm1
	lddqu	text + 3, %xmm3
	DUMPX	%xmm3
	movntdqa text, %xmm3
	DUMPX	%xmm3
	/* String compares. */
	.irp	imm, 0x00, 0x0c, 0x18, 0x08, 0x04, 0x14, 0x44, 0x4d, 0x30, 0x3a, 0x59
	STR	pcmpistri, \imm
	STR	pcmpistrm, \imm
	STR	pcmpestri, \imm
	STR	pcmpestrm, \imm
	.endr
	/* "own" is found at 12 by an ordered compare of "equal any" bytes. */
	movdqa	word, %xmm1
	pcmpistri $0x0c, text, %xmm1
	EQL(12, %ecx)
	ret

	.section .note.GNU-stack, "", @progbits
