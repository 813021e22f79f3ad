/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads, stores and read-modify-writes across a page, of every size, and
 * instructions that lie across one.
 */
#include "rt.h"

	.bss
	.balign 4096
	.space	4096
page:	.space	4096

	/* Code whose bytes straddle a page, once for each split. */
	.section .wx
	.balign 4096
	.set	base, .
	.irp	split, 1, 2, 3, 4, 5, 6, 7, 8, 9
	.org	base + \split * 4096 - \split
	.globl	straddle\split
straddle\split:
	movabsq	$0x1122334455667700 + \split, %rax
	ret
	.endr
	.space	64

	.text
MAIN
	.irp	off, -7, -6, -5, -4, -3, -2, -1
	movabsq	$0x0123456789abcdef, %rax
	movq	%rax, page + \off
	movq	page + \off, %rbx
	cmpq	%rax, %rbx
	OK_IF(e)
	movq	page - 8, %rcx
	DUMP	%rcx
	movq	page, %rcx
	DUMP	%rcx
	movl	%eax, page + \off
	movl	page + \off, %ecx
	cmpl	%eax, %ecx
	OK_IF(e)
	addq	%rax, page + \off
	adcl	$7, page + \off
	incw	page + \off
	negq	page + \off
	shlq	$3, page + \off
	notl	page + \off
	xchgq	%rax, page + \off
	DUMP	%rax
	movq	page - 8, %rcx
	DUMP	%rcx
	movq	page, %rcx
	DUMP	%rcx
	pushq	page + \off
	popq	page + \off
	movzwl	page + \off, %ecx
	DUMP	%rcx
	.endr
	/* 16 bytes. */
	.irp	off, -15, -9, -8, -5, -1
	movl	$0x12345678, %eax
	movq	%rax, %xmm1
	pshufd	$0x1b, %xmm1, %xmm1
	movdqu	%xmm1, page + \off
	movups	page + \off, %xmm2
	pcmpeqb	%xmm1, %xmm2
	pmovmskb %xmm2, %eax
	EQL(0xffff, %eax)
	fldpi
	fstpt	page + \off
	fldt	page + \off
	fldpi
	fcomip	%st(1), %st
	fstp	%st
	OK_IF(e)
	.endr
	.irp	split, 1, 2, 3, 4, 5, 6, 7, 8, 9
	call	call\split
	.endr
	ret

	.irp	split, 1, 2, 3, 4, 5, 6, 7, 8, 9
call\split:
	call	straddle\split
	movb	$0, %al
	movabsq	$0x1122334455667700, %rcx
	cmpq	%rcx, %rax
	OK_IF(e)
	ret
	.endr

	.section .note.GNU-stack, "", @progbits
