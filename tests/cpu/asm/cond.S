/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SETcc, CMOVcc, Jcc in both lengths, LOOP, LOOPE, LOOPNE, JRCXZ and JECXZ for
 * every combination of the flags they look at.
 */
#include "rt.h"

	.data
	.balign 8
cell:	.quad	0

	/* r8: flags to test under. */
	.macro LOADF
	pushq	%r8
	popfq
	.endm

	.macro FLAGBIT n, flag
	btl	$\n, %r9d
	jnc	.Lno\@
	orl	$\flag, %r8d
.Lno\@:
	.endm

	.macro COND cc
	movabsq	$0x1122334455667788, %rax
	movabsq	$0x99aabbccddeeff00, %rcx
	movq	%rcx, cell
	LOADF
	set\cc	%al
	DUMP	%rax
	LOADF
	set\cc	%ah
	DUMP	%rax
	LOADF
	set\cc	cell
	movq	cell, %rdx
	DUMP	%rdx
	movq	%rcx, %rdx
	movq	%rax, %rbx
	LOADF
	cmov\cc\()w	%dx, %bx
	DUMP	%rbx
	/* Not taken, the 32-bit form still clears the upper half. */
	movq	%rax, %rbx
	LOADF
	cmov\cc\()l	%edx, %ebx
	DUMP	%rbx
	movq	%rax, %rbx
	LOADF
	cmov\cc\()q	%rdx, %rbx
	DUMP	%rbx
	movq	%rax, %rbx
	LOADF
	cmov\cc\()q	cell, %rbx
	DUMP	%rbx
	xorl	%ebx, %ebx
	LOADF
	j\cc	.Lshort\@
	incl	%ebx
.Lshort\@:
	LOADF
	j\cc	.Lnear\@
	addl	$2, %ebx
	jmp	.Lafter\@
	.space	200, 0x90
.Lnear\@:
	addl	$4, %ebx
.Lafter\@:
	DUMP	%rbx
	.endm

	.macro LOOPS op
	movl	$3, %ecx
	xorl	%ebx, %ebx
.Ll\@:	incl	%ebx
	LOADF
	\op	.Ll\@
	DUMP	%rbx
	DUMP	%rcx
	.endm

MAIN
	/* An unreadable source faults even when CMOV does not move. */
	clc
	TRAPS(EXC_PF, cmovcl edge_end, %eax)
	movl	$edge_end, %eax
	cmpq	%rax, trap_cr2
	OK_IF(e)

	xorl	%r9d, %r9d
	/* r9 counts through OF SF ZF PF CF. */
next:	xorl	%r8d, %r8d
	FLAGBIT	0, FL_CF
	FLAGBIT	1, FL_PF
	FLAGBIT	2, FL_ZF
	FLAGBIT	3, FL_SF
	FLAGBIT	4, FL_OF
	orl	$0x202, %r8d
	.irp	cc, o, no, b, ae, e, ne, be, a, s, ns, p, np, l, ge, le, g
	COND	\cc
	.endr
	LOOPS	loop
	LOOPS	loope
	LOOPS	loopne
	incl	%r9d
	cmpl	$32, %r9d
	jne	next
	pushq	$0x202
	popfq

	/* RCX and ECX as counters. */
	movabsq	$0x100000000, %rcx
	jrcxz	1f
	jecxz	2f
1:	FAIL
2:	movabsq	$0x100000001, %rcx
	addr32 loop 3f
	cmpq	$0, %rcx
	OK_IF(e)
	jmp	4f
3:	FAIL
4:	movl	$2, %ecx
	xorl	%eax, %eax
5:	incl	%eax
	loop	5b
	EQL(2, %eax)
	ret

	.section .note.GNU-stack, "", @progbits
