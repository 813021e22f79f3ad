/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SSE and SSE2: arithmetic under each rounding mode with MXCSR's flags, compares,
 * conversions, moves, and the packed integers; unmasked exceptions.
 */
#include "rt.h"

	.section .rodata
	.balign 16
fvals:	.single	0.0, 1.0, -1.5, 3.1415926, 1e30, -1e-30, 123456.7, 0.1
	.long	0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 1, 0x80000000, 0x7f7fffff
	.long	0x00800000
nfvals = (. - fvals) / 4 - 3
	.balign 16
dvals:	.double	0.0, 1.0, -1.5, 3.14159265358979, 1e300, -1e-300, 123456.789, 0.1
	.quad	0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0x7ff0000000000001
	.quad	1, 0x8000000000000000, 0x7fefffffffffffff, 0x0010000000000000
ndvals = (. - dvals) / 8 - 1
ivals:	.quad	0x0123456789abcdef, 0xfedcba9876543210, 0x7f80ff0001fe8081, 0x8000800080008000
	.quad	0, 0xffffffffffffffff, 0x7fff7fff7fff7fff, 0x0001000100010001
nivals = 7
mxcsrs:	.long	0x1f80, 0x3f80, 0x5f80, 0x7f80, 0x9fc0

	.bss
	.balign 64
m:	.space	64

	.macro DUMPM
	stmxcsr	m
	movl	m, %eax
	DUMP	%rax
	andl	$~0x3f, m
	ldmxcsr	m
	.endm

	.macro XPAIRS vals, size, n, m, args:vararg
	xorl	%r12d, %r12d
.Lo\@:	xorl	%r13d, %r13d
.Li\@:	movups	\vals(,%r12,\size), %xmm0
	movups	\vals(,%r13,\size), %xmm1
	\m	\args
	incl	%r13d
	cmpl	$\n, %r13d
	jne	.Li\@
	incl	%r12d
	cmpl	$\n, %r12d
	jne	.Lo\@
	.endm

	.macro X2 insn:vararg
	\insn	%xmm1, %xmm0
	DUMPX	%xmm0
	DUMPM
	.endm
	.macro X2I insn, imm
	\insn	$\imm, %xmm1, %xmm0
	DUMPX	%xmm0
	.endm
	.macro XI insn, imm
	\insn	$\imm, %xmm0
	DUMPX	%xmm0
	.endm
	.macro XCMP insn
	cmpl	%eax, %eax
	\insn	%xmm1, %xmm0
	DUMPF
	DUMPM
	.endm
	.macro XTOG insn, reg
	movq	$-1, %rax
	\insn	%xmm1, \reg
	DUMP	%rax
	DUMPM
	.endm
	.macro GTOX insn, reg
	movq	%xmm1, %rax
	\insn	\reg, %xmm0
	DUMPX	%xmm0
	DUMPM
	.endm

	/* Integer instructions touch no flags of MXCSR. */
	.macro P2 insn
	movdqa	%xmm0, %xmm2
	\insn	%xmm1, %xmm2
	DUMPX	%xmm2
	.endm

MAIN
	xorl	%ebx, %ebx
modes:	ldmxcsr	mxcsrs(,%rbx,4)
	.irp	insn, addps, subps, mulps, divps, minps, maxps, sqrtps, addss, divss, sqrtss
	XPAIRS	fvals, 4, nfvals, X2, \insn
	.endr
	.irp	insn, addpd, subpd, mulpd, divpd, minpd, maxpd, sqrtpd, subsd, mulsd, sqrtsd
	XPAIRS	dvals, 8, ndvals, X2, \insn
	.endr
	.irp	insn, cvtps2dq, cvttps2dq, cvtdq2ps, cvtps2pd, cvtss2sd
	XPAIRS	fvals, 4, nfvals, X2, \insn
	.endr
	.irp	insn, cvtpd2dq, cvttpd2dq, cvtpd2ps, cvtsd2ss, cvtdq2pd
	XPAIRS	dvals, 8, ndvals, X2, \insn
	.endr
	XPAIRS	fvals, 4, nfvals, XTOG, cvtss2si, %eax
	XPAIRS	fvals, 4, nfvals, XTOG, cvttss2si, %rax
	XPAIRS	dvals, 8, ndvals, XTOG, cvtsd2si, %rax
	XPAIRS	dvals, 8, ndvals, XTOG, cvttsd2si, %eax
	XPAIRS	dvals, 8, ndvals, GTOX, cvtsi2sdl, %eax
	XPAIRS	dvals, 8, ndvals, GTOX, cvtsi2sdq, %rax
	XPAIRS	dvals, 8, ndvals, GTOX, cvtsi2ssq, %rax
	incl	%ebx
	cmpl	$5, %ebx
	jne	modes
	ldmxcsr	mxcsrs

	.irp	imm, 0, 1, 2, 3, 4, 5, 6, 7
	XPAIRS	fvals, 4, nfvals, X2, cmpps $\imm,
	XPAIRS	dvals, 8, ndvals, X2, cmpsd $\imm,
	.endr
	XPAIRS	fvals, 4, nfvals, XCMP, ucomiss
	XPAIRS	fvals, 4, nfvals, XCMP, comiss
	XPAIRS	dvals, 8, ndvals, XCMP, ucomisd
	XPAIRS	dvals, 8, ndvals, XCMP, comisd
	.irp	insn, andps, andnpd, orps, xorpd, unpcklps, unpckhpd, movhlps, movlhps, movss, movsd
	XPAIRS	fvals, 4, 4, X2, \insn
	.endr
	XPAIRS	fvals, 4, 4, X2I, shufps, 0x1b
	XPAIRS	dvals, 8, 4, X2I, shufpd, 1

	.irp	insn, paddb, paddw, paddd, paddq, psubb, psubw, psubd, psubq, paddsb, paddsw, \
	    paddusb, paddusw, psubsb, psubsw, psubusb, psubusw
	XPAIRS	ivals, 8, nivals, P2, \insn
	.endr
	.irp	insn, pmullw, pmulhw, pmulhuw, pmuludq, pmaddwd, psadbw, pavgb, pavgw, \
	    pminub, pmaxub, pminsw, pmaxsw, pcmpeqb, pcmpeqw, pcmpeqd, pcmpgtb, pcmpgtw, \
	    pcmpgtd
	XPAIRS	ivals, 8, nivals, P2, \insn
	.endr
	.irp	insn, pand, pandn, por, pxor, packsswb, packuswb, packssdw, punpcklbw, \
	    punpcklwd, punpckldq, punpcklqdq, punpckhbw, punpckhwd, punpckhdq, punpckhqdq, \
	    psllw, psrlw, psraw, pslld, psrad, psllq, psrlq
	XPAIRS	ivals, 8, nivals, P2, \insn
	.endr
	.irp	imm, 0, 1, 7, 15, 16, 31, 63, 64
	.irp	insn, psllw, psrlw, psraw, pslld, psrld, psrad, psllq, psrlq, pslldq, psrldq
	XPAIRS	ivals, 8, 2, XI, \insn, \imm
	.endr
	.endr
	XPAIRS	ivals, 8, 3, X2I, pshufd, 0x4e
	XPAIRS	ivals, 8, 3, X2I, pshuflw, 0x93
	XPAIRS	ivals, 8, 3, X2I, pshufhw, 0x39

	/* Moves. */
	movdqu	ivals, %xmm3
	pmovmskb %xmm3, %eax
	DUMP	%rax
	movmskps %xmm3, %eax
	DUMP	%rax
	movmskpd %xmm3, %eax
	DUMP	%rax
	pextrw	$5, %xmm3, %eax
	DUMP	%rax
	pinsrw	$2, %eax, %xmm3
	DUMPX	%xmm3
	movd	%xmm3, %eax
	DUMP	%rax
	movq	%xmm3, m
	movlps	m, %xmm4
	movhps	m, %xmm4
	DUMPX	%xmm4
	movhpd	%xmm3, m
	movlpd	%xmm3, m + 8
	movaps	m, %xmm5
	DUMPX	%xmm5
	movntdq	%xmm3, m
	movnti	%rax, m + 16
	movntps	%xmm4, m + 32
	sfence
	movdqa	m, %xmm15
	DUMPX	%xmm15
	movl	$0x80808080, %eax
	movd	%eax, %xmm1
	movl	$m, %edi
	maskmovdqu %xmm1, %xmm5
	movdqa	m, %xmm6
	DUMPX	%xmm6

	/* Unmasked: #XM; the operands stay, the flag is set. */
	movl	$0x1d80, m /* ZM clear */
	ldmxcsr	m
	movsd	dvals + 8, %xmm0
	xorpd	%xmm1, %xmm1
	TRAPS(EXC_XM, divsd %xmm1, %xmm0)
	stmxcsr	m
	EQL(0x1d84, m)
	movq	%xmm0, %rax
	EQ64(0x3ff0000000000000, %rax)
	ldmxcsr	mxcsrs
	TRAPS(EXC_GP, addps m + 4, %xmm0)
	/* Reserved bits of MXCSR. */
	movl	$0xffff0000, m
	TRAPS(EXC_GP, ldmxcsr m)
	ret

	.section .note.GNU-stack, "", @progbits
