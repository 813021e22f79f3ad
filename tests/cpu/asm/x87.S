/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * x87: arithmetic in all operand forms, rounding and precision control,
 * exception flags and the exception itself, the register stack, conversions,
 * transcendentals, FSAVE and FXSAVE images.
 */
#include "rt.h"

	.section .rodata
	.balign 8
doubles:
	.double	0.0, 1.0, -1.0, 0.5, 3.14159265358979, -2.71828, 1e10, 1e-10
	.quad	0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000
	.quad	0x7ff0000000000001, 1, 0x8000000000000000, 0x7fefffffffffffff
ndoubles = (. - doubles) / 8
third:	.double 0.3333333333333333
cws:	.short	0x37f, 0x77f, 0xb7f, 0xf7f, 0x07f, 0x27f, 0xe7f

	.bss
	.balign 64
t:	.space	16
image:	.space	512
cw:	.space	2
n:	.space	8

	/* 80 bits and the status word. */
	.macro DUMPT
	fnstsw	%ax
	movzwl	%ax, %eax
	andl	$0x47ff, %eax /* without TOP */
	DUMP	%rax
	movq	$0, t + 8
	fstpt	t
	movq	t, %rax
	DUMP	%rax
	movq	t + 8, %rax
	DUMP	%rax
	fnclex
	.endm

	/* Body m for all pairs of doubles, in st(1), st(0). */
	.macro FPAIRS m, args:vararg
	xorl	%r12d, %r12d
.Lo\@:	xorl	%r13d, %r13d
.Li\@:	fninit
	fldcw	cw
	fldl	doubles(,%r12,8)
	fldl	doubles(,%r13,8)
	fnclex
	\m	\args
	incl	%r13d
	cmpl	$ndoubles, %r13d
	jne	.Li\@
	incl	%r12d
	cmpl	$ndoubles, %r12d
	jne	.Lo\@
	.endm

	.macro F2 insn:vararg
	\insn
	DUMPT
	.endm

	.macro F2M insn
	fstp	%st
	\insn	doubles(,%r13,8)
	DUMPT
	.endm

	.macro FCMP insn:vararg
	\insn
	fnstsw	%ax
	andl	$0x45ff, %eax
	DUMP	%rax
	.endm

	.macro FCMPI insn:vararg
	xorl	%eax, %eax
	cmpl	$1, %eax
	\insn
	DUMPF	FL_ZF | FL_PF | FL_CF
	.endm

	.macro FSTORE insn
	movq	$-1, n
	\insn	n
	movq	n, %rax
	DUMP	%rax
	fnstsw	%ax
	andl	$0x47ff, %eax
	DUMP	%rax
	.endm

MAIN
	movw	$0x37f, cw
	fninit
	fnstcw	n
	cmpw	$0x37f, n
	OK_IF(e)
	/* 1 + 1 = 2. */
	fld1
	fld1
	faddp
	fistpl	n
	EQL(2, n)
	/* A value pushed onto a full stack, and popped off an empty one. */
	fninit
	.rept	9
	fldz
	.endr
	fnstsw	%ax
	andl	$0x241, %eax /* C1, SF, IE */
	EQL(0x241, %eax)
	fninit
	fstp	%st
	fnstsw	%ax
	andl	$0x241, %eax
	EQL(0x41, %eax)

	xorl	%ebx, %ebx
modes:	movzwl	cws(,%rbx,2), %eax
	movw	%ax, cw
	FPAIRS	F2, fadd %st(1), %st
	FPAIRS	F2, fsub %st(1), %st
	FPAIRS	F2, fmul %st(1), %st
	FPAIRS	F2, fdiv %st(1), %st
	incl	%ebx
	cmpl	$7, %ebx
	jne	modes
	movw	$0x37f, cw
	FPAIRS	F2, fsubr %st(1), %st
	FPAIRS	F2, fdivr %st(1), %st
	FPAIRS	F2, fsubrp
	FPAIRS	F2, fdivp
	FPAIRS	F2, fscale
	FPAIRS	F2, fprem
	FPAIRS	F2, fprem1
	FPAIRS	F2, fpatan
	FPAIRS	F2, fyl2x
	FPAIRS	F2, frndint
	FPAIRS	F2, fsqrt
	FPAIRS	F2, fabs
	FPAIRS	F2, fchs
	FPAIRS	F2, fxtract
	FPAIRS	F2, fsin
	FPAIRS	F2, fcos
	FPAIRS	F2, f2xm1
	FPAIRS	F2M, faddl
	FPAIRS	F2M, fsubl
	FPAIRS	F2M, fmull
	FPAIRS	F2M, fdivrl
	FPAIRS	F2M, fadds
	FPAIRS	F2M, fiaddl
	FPAIRS	F2M, fidivs
	FPAIRS	FCMP, fcom
	FPAIRS	FCMP, fucom
	FPAIRS	FCMP, fxam
	FPAIRS	FCMP, ftst
	FPAIRS	FCMPI, fcomi %st(1), %st
	FPAIRS	FCMPI, fucomi %st(1), %st
	.irp	insn, fsts, fstl, fists, fistl, fisttps, fisttpl, fisttpll, fistpll, fbstp
	FPAIRS	FSTORE, \insn
	.endr
	/* FCMOV. */
	fninit
	fld1
	fldz
	stc
	fcmovb	%st(1), %st
	fcmovne	%st(1), %st
	DUMPT
	fldlg2
	DUMPT
	fldln2
	DUMPT
	fldl2e
	DUMPT
	fldl2t
	DUMPT
	/* 64-bit integers and BCD. */
	fninit
	movabsq	$0x7fffffffffffffff, %rax
	movq	%rax, n
	fildll	n
	fistpll	n
	cmpq	n, %rax
	OK_IF(e)
	movabsq	$0x3456789012345678, %rcx
	movq	%rcx, t
	movw	$0x8099, t + 8
	fbld	t
	fbstp	t
	cmpw	$0x8099, t + 8
	OK_IF(e)

	/* Rounding to integers of 2.5 and -2.5, in the four modes. */
	.irp	rc, 0x37f, 0x77f, 0xb7f, 0xf7f
	movw	$\rc, cw
	fldcw	cw
	movl	$0x40200000, n
	flds	n
	fistpl	n
	movl	n, %eax
	DUMP	%rax
	movl	$0xc0200000, n
	flds	n
	fistpl	n
	movl	n, %eax
	DUMP	%rax
	.endr

	/* Unmasked: the exception comes with the next waiting instruction. */
	fninit
	movw	$0x37b, cw
	fldcw	cw
	fld1
	fldz
	fdivrp	%st, %st(1)
	nop
	fnstsw	%ax
	testl	$0x8084, %eax
	OK_IF(ne)
	TRAPS(EXC_MF, fwait)
	fnclex
	fninit

	/* Images.  The last instruction's and operand's address are not compared. */
	fld1
	fldpi
	fnsave	image
	movl	image, %eax
	DUMP	%rax
	movl	image + 4, %eax
	andl	$0xffff, %eax
	DUMP	%rax
	movl	image + 8, %eax
	DUMP	%rax
	movq	image + 28, %rax
	DUMP	%rax
	movq	image + 38, %rax
	DUMP	%rax
	frstor	image
	fstpt	t
	movq	t, %rax
	DUMP	%rax
	fxsave	image
	movzwl	image, %eax
	DUMP	%rax
	movzwl	image + 2, %eax
	DUMP	%rax
	movzbl	image + 4, %eax
	DUMP	%rax
	movl	image + 24, %eax
	DUMP	%rax
	movq	image + 32, %rax
	DUMP	%rax
	fninit
	fxrstor	image
	fistpl	n
	EQL(1, n)

	/* MMX shares the registers. */
	movabsq	$0x0102030405060708, %rax
	movq	%rax, %mm0
	paddb	%mm0, %mm0
	movq	%mm0, %rcx
	DUMP	%rcx
	fnstsw	%ax
	testl	$0x3800, %eax /* TOP 0 */
	OK_IF(e)
	punpcklbw %mm0, %mm1
	pmaddwd	%mm0, %mm0
	movq	%mm0, %rcx
	DUMP	%rcx
	emms
	fldz
	fistpl	n
	EQL(0, n)
	ret

	.section .note.GNU-stack, "", @progbits
