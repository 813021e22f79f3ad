/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AVX, AVX2, F16C and FMA: results over corner values, zeroing of the upper half,
 * three-operand forms, gathers and masked moves with their faults.
 */
#include "rt.h"

#define ECX_FMA_AVX_F16C 0x38001000 /* FMA, OSXSAVE, AVX, F16C */
#define EBX_AVX2	 0x20

	.section .rodata
	.balign 32
fvals:	.single	0.0, 1.0, -1.5, 3.1415926, 1e30, -1e-30, 123456.7, 0.1
	.long	0x7f800000, 0xff800000, 0x7fc00000, 1, 0x80000000, 0x7f7fffff, 0x00800000
	.long	0x3f800001
	.single	2.0, -3.0, 0.5, 7.0, 1.0, 1.0, 4.0, 5.0
ivals:	.quad	0x0123456789abcdef, 0xfedcba9876543210, 0x7f80ff0001fe8081, 0x8000800080008000
	.quad	0, 0xffffffffffffffff, 0x7fff7fff7fff7fff, 0x0001000100010001
	.quad	3, 0x2100000007, 0x1f0000003f, 0x40
indices: .long	0, 3, -1, 7, 2, 2, 1, 5
mask:	.long	-1, 0, -1, -1, 0, -1, 0, -1

	.bss
	.balign 64
m:	.space	128

	.macro DUMPM
	stmxcsr	m + 96
	movl	m + 96, %eax
	DUMP	%rax
	andl	$~0x3f, m + 96
	ldmxcsr	m + 96
	.endm

	.macro PAIRS vals, m, args:vararg
	xorl	%r12d, %r12d
.Lo\@:	xorl	%r13d, %r13d
.Li\@:	vmovups	\vals(%r12), %ymm1
	vmovups	\vals(%r13), %ymm2
	vmovaps	%ymm1, %ymm0
	\m	\args
	addl	$8, %r13d
	cmpl	$64, %r13d
	jne	.Li\@
	addl	$8, %r12d
	cmpl	$64, %r12d
	jne	.Lo\@
	.endm

	.macro Y3 insn:vararg
	\insn	%ymm2, %ymm1, %ymm0
	DUMPY	%ymm0
	.endm
	.macro X3 insn:vararg
	\insn	%xmm2, %xmm1, %xmm0
	DUMPY	%ymm0
	.endm
	.macro Y2 insn:vararg
	\insn	%ymm2, %ymm0
	DUMPY	%ymm0
	.endm
	.macro F3 insn
	\insn	%ymm2, %ymm1, %ymm0
	DUMPY	%ymm0
	DUMPM
	.endm
	.macro YX insn:vararg
	\insn	%xmm2, %ymm0
	DUMPY	%ymm0
	.endm

MAIN
	NEEDS(1, %ecx, ECX_FMA_AVX_F16C)
	NEEDS(7, %ebx, EBX_AVX2)
	/* A 128-bit VEX instruction clears the upper half, SSE keeps it. */
	vpcmpeqd %ymm0, %ymm0, %ymm0
	vmovdqa	%ymm0, %ymm1
	paddd	%xmm0, %xmm0
	vextracti128 $1, %ymm0, %xmm2
	vpmovmskb %xmm2, %eax
	EQL(0xffff, %eax)
	vpaddd	%xmm1, %xmm1, %xmm1
	vextracti128 $1, %ymm1, %xmm2
	vptest	%xmm2, %xmm2
	OK_IF(e)
	vpcmpeqd %ymm15, %ymm15, %ymm15
	vzeroupper
	vpmovmskb %ymm15, %eax
	EQL(0xffff, %eax)
	vzeroall
	vptest	%ymm15, %ymm15
	OK_IF(e)

	.irp	insn, vaddps, vsubps, vmulps, vdivps, vminps, vmaxps, vaddpd, vmulpd, vdivpd, \
	    vaddsubps, vhaddpd
	PAIRS	fvals, F3, \insn
	.endr
	.irp	insn, vfmadd132ps, vfmadd213ps, vfmadd231ps, vfmsub213pd, vfnmadd231pd, \
	    vfnmsub132ps, vfmaddsub213ps, vfmsubadd231pd
	PAIRS	fvals, F3, \insn
	.endr
	.irp	insn, vaddss, vmulsd, vdivss, vfmadd213ss, vfnmadd231sd, vmovss, vunpcklps, \
	    vsqrtsd, vcvtss2sd
	PAIRS	fvals, X3, \insn
	.endr
	PAIRS	fvals, X3, vroundsd $3,
	.irp	imm, 0, 1, 8, 13, 17, 30
	PAIRS	fvals, Y3, vcmpps $\imm,
	PAIRS	fvals, Y3, vcmppd $\imm,
	.endr
	.irp	insn, vsqrtps, vcvtps2dq, vcvttps2dq, vcvtdq2ps, vmovshdup, vmovddup
	PAIRS	fvals, Y2, \insn
	.endr
	PAIRS	fvals, YX, vcvtps2pd
	PAIRS	fvals, YX, vcvtph2ps
	PAIRS	fvals, YX, vcvtdq2pd
	.irp	insn, vandps, vandnps, vorpd, vxorps, vunpckhps, vunpcklpd, vpermilps
	PAIRS	fvals, Y3, \insn
	.endr
	.irp	insn, vpaddb, vpsubusw, vpmulld, vpmuludq, vpmaddwd, vpsadbw, vpshufb, \
	    vpackuswb, vpunpckhdq, vpcmpgtq, vpmaxud, vpsignw, vphaddd
	PAIRS	ivals, Y3, \insn
	.endr
	.irp	insn, vpsllvd, vpsrlvq, vpsravd, vpermd, vpermps, vpsllvq
	PAIRS	ivals, Y3, \insn
	.endr
	PAIRS	ivals, Y3, vpalignr $5,
	PAIRS	ivals, Y3, vperm2i128 $0x21,
	PAIRS	ivals, Y3, vperm2f128 $0x83,
	PAIRS	ivals, Y3, vpblendd $0x5a,
	PAIRS	ivals, Y3, vshufps $0x1b,
	PAIRS	ivals, Y3, vmpsadbw $0x2a,
	PAIRS	ivals, Y2, vpermq $0x1b,
	PAIRS	ivals, Y2, vpshufd $0x39,
	PAIRS	ivals, Y2, vpabsd
	PAIRS	ivals, YX, vpmovzxbw
	PAIRS	ivals, YX, vpmovsxwd
	PAIRS	ivals, YX, vpbroadcastb
	PAIRS	ivals, YX, vpbroadcastq
	vpsllw	$3, %ymm1, %ymm0
	DUMPY	%ymm0
	vpsrldq	$5, %ymm1, %ymm0
	DUMPY	%ymm0
	vbroadcastss fvals + 4, %ymm0
	DUMPY	%ymm0
	vbroadcasti128 ivals + 8, %ymm0
	DUMPY	%ymm0
	vinserti128 $1, ivals, %ymm0, %ymm3
	DUMPY	%ymm3
	vcvtps2ph $0, %ymm1, m
	vmovdqu	m, %ymm0
	DUMPY	%ymm0
	vpmovmskb %ymm1, %eax
	DUMP	%rax
	vmovmskps %ymm2, %eax
	DUMP	%rax
	vtestps	%ymm1, %ymm2
	DUMPF
	vblendvps %ymm1, %ymm2, %ymm0, %ymm4
	DUMPY	%ymm4

	/* Masked moves: what is masked off may be unmapped. */
	vmovdqa	mask, %ymm5
	vpmaskmovd fvals, %ymm5, %ymm6
	DUMPY	%ymm6
	vmaskmovps %ymm6, %ymm5, m
	vmovdqu	m, %ymm7
	DUMPY	%ymm7
	vmovq	%xmm5, %rax
	vmovq	%rax, %xmm5 /* the first element only */
	vmovd	%eax, %xmm5
	vpmaskmovd edge_end - 4, %ymm5, %ymm6
	DUMPY	%ymm6
	vpmaskmovd %ymm6, %ymm5, edge_end - 4
	vpcmpeqd %ymm5, %ymm5, %ymm5
	TRAPS(EXC_PF, vpmaskmovd edge_end - 4, %ymm5, %ymm6)
	cmpq	$edge_end, trap_cr2
	OK_IF(e)
	/* Gathers clear their mask as they go; a fault keeps what is done. */
	vmovdqa	mask, %ymm5
	vmovdqa	indices, %ymm4
	vpxor	%ymm6, %ymm6, %ymm6
	vpgatherdd %ymm5, fvals + 32(,%ymm4,4), %ymm6
	DUMPY	%ymm6
	DUMPY	%ymm5
	vpcmpeqd %ymm5, %ymm5, %ymm5
	vgatherdpd %ymm5, fvals + 32(,%xmm4,8), %ymm6
	DUMPY	%ymm6
	vpcmpeqd %ymm5, %ymm5, %ymm5
	TRAPS(EXC_PF, vpgatherdd %ymm5, edge_end - 16(,%ymm4,4), %ymm6)
	DUMPY	%ymm6
	DUMPY	%ymm5
	/* Unaligned: VMOVAPS faults, others do not. */
	vaddps	fvals + 4, %ymm1, %ymm0
	DUMPY	%ymm0
	TRAPS(EXC_GP, vmovaps fvals + 4, %ymm0)
	TRAPS(EXC_GP, vmovntdq %ymm0, m + 8)
	/* VEX after a 66 prefix, LOCK or REX is #UD. */
	TRAPS(EXC_UD, .byte 0x66; vaddps %ymm0, %ymm1, %ymm2)
	TRAPS(EXC_UD, .byte 0xf0; vaddps %ymm0, %ymm1, %ymm2)
	TRAPS(EXC_UD, .byte 0x48; vaddps %ymm0, %ymm1, %ymm2)
	/* XGETBV: x87, SSE and AVX on. */
	xorl	%ecx, %ecx
	xgetbv
	andl	$7, %eax
	EQL(7, %eax)
	movl	$0x1234, %ecx
	TRAPS(EXC_GP, xgetbv)
	ret

	.section .note.GNU-stack, "", @progbits
