/* SPDX-License-Identifier: BSD-2-Clause */
/* clang-format off */
/*
 * rt.h - what the self-checking programs of tests/cpu/asm share.
 *
 * A program is a static ELF file without a C library.  It defines `main`, which
 * checks what it can know and dumps what only a second CPU can judge, and returns;
 * rt.S exits with status 0 then.  The same file runs as a Linux process and in a
 * virtual machine (run_asm.c); status and dump must be the same.
 *
 * Reserved: r14, where the next dump goes.  Macros that take `__LINE__` are the
 * C preprocessor's, the others the assembler's.  All of them preserve what they
 * do not name, flags included, unless said.
 */
#ifndef TESTS_CPU_ASM_RT_H
#define TESTS_CPU_ASM_RT_H

#define FL_CF	  0x001
#define FL_PF	  0x004
#define FL_AF	  0x010
#define FL_ZF	  0x040
#define FL_SF	  0x080
#define FL_DF	  0x400
#define FL_OF	  0x800
#define FL_AC	  0x40000
#define FL_OSZAPC 0x8d5
#define FL_OSZPC  0x8c5
#define FL_SZPC	  0x0c5
#define FL_OC	  0x801

/* Exceptions, as both worlds number them. */
#define EXC_DE 0
#define EXC_DB 1
#define EXC_BP 3
#define EXC_UD 6
#define EXC_GP 13
#define EXC_PF 14
#define EXC_MF 16
#define EXC_AC 17
#define EXC_XM 19

#define STATUS_SKIP 77

/* Fails at this line. */
#define FAIL                        \
	movl	$__LINE__, fail_line; \
	jmp	rt_fail
/* Fails unless the condition holds: OK_IF(e), OK_IF(nc).  Keeps flags. */
#define OK_IF(cc)  \
	j##cc	77f; \
	FAIL;	   \
	77:
/* Fails unless operand == imm32 (sign-extended).  Clobbers flags. */
#define EQ(val, op)	      \
	cmpq	$(val), op; \
	OK_IF(e)
#define EQL(val, op)	      \
	cmpl	$(val), op; \
	OK_IF(e)
/* 64-bit constant against a register (not rbp); clobbers flags and rbp. */
#define EQ64(val, reg)	   \
	movabsq	$(val), %rbp; \
	cmpq	%rbp, reg; \
	OK_IF(e)
/* Fails unless the flags of `mask` are `val`.  Clobbers flags. */
#define FLAGS(mask, val)		\
	pushfq;				\
	andq	$(mask), (%rsp);	\
	cmpq	$(val), (%rsp);		\
	lea	8(%rsp), %rsp;		\
	OK_IF(e)
/*
 * The instruction must raise `vec`.  Registers and flags stay those of the
 * fault; then trap_err and trap_cr2 may be looked at.  Clobbers flags.
 */
#define TRAPS(vec, ...)			  \
	movq	$78f, trap_resume;	  \
	__VA_ARGS__;			  \
	FAIL;				  \
	78:				  \
	cmpl	$(vec), trap_vector;	  \
	OK_IF(e)

/* CPUID leaf, subleaf 0: skip the program unless `reg` has all of `bits`. */
#define NEEDS(leaf, reg, bits)	\
	movl	$(leaf), %eax;	\
	xorl	%ecx, %ecx;	\
	cpuid;			\
	notl	reg;		\
	testl	$(bits), reg;	\
	jnz	rt_skip

	.macro DUMP reg
	movq	\reg, (%r14)
	leaq	8(%r14), %r14
	.endm

	/* Clobbers flags. */
	.macro DUMPF mask=FL_OSZAPC
	pushfq
	andq	$\mask, (%rsp)
	popq	(%r14)
	leaq	8(%r14), %r14
	.endm

	.macro DUMPX reg
	movdqu	\reg, (%r14)
	leaq	16(%r14), %r14
	.endm

	.macro DUMPY reg
	vmovdqu	\reg, (%r14)
	leaq	32(%r14), %r14
	.endm

	/* `m args` for each pair of rt_values in r8, r9.  Uses r12, r13. */
	.macro FOR_PAIRS m, args:vararg
	xorl	%r12d, %r12d
.Louter\@:
	xorl	%r13d, %r13d
.Linner\@:
	movq	rt_values(,%r12,8), %r8
	movq	rt_values(,%r13,8), %r9
	\m	\args
	incl	%r13d
	cmpl	rt_nvalues, %r13d
	jne	.Linner\@
	incl	%r12d
	cmpl	rt_nvalues, %r12d
	jne	.Louter\@
	.endm

	/* `m args` for each of rt_values in r8.  Uses r12. */
	.macro FOR_VALUES m, args:vararg
	xorl	%r12d, %r12d
.Louter\@:
	movq	rt_values(,%r12,8), %r8
	\m	\args
	incl	%r12d
	cmpl	rt_nvalues, %r12d
	jne	.Louter\@
	.endm

	/* Both values of the carry flag: `m args` with carry = clc, stc. */
	.macro CARRIES m, args:vararg
	\m	clc, \args
	\m	stc, \args
	.endm

	.macro MAIN
	.text
	.globl	main
main:
	.endm

#endif /* TESTS_CPU_ASM_RT_H */
