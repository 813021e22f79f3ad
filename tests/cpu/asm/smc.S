/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Code that changes itself: the next instruction, a loop's body, an immediate
 * in a page also used as data, a copy over code by REP MOVS.
 */
#include "rt.h"

	.section .wx
	.balign 4096
	/* Patches the very next instruction. */
next_insn:
	movb	$7, 1f + 1
1:	movl	$1, %eax
	ret
	/* A loop whose body's immediate grows each time. */
loop_body:
	xorl	%eax, %eax
	movl	$100, %ecx
1:	addl	$0, %eax
	incb	1b + 2
	decl	%ecx
	jnz	1b
	ret
	.balign 64
patched:
	movl	$0x11111111, %eax
	ret
data_beside:
	.quad	0
	.balign 4096
copy:	.space	4096

	.text
template1:
	movl	$111, %eax
	ret
template2:
	movl	$222, %eax
	ret

MAIN
	call	next_insn
	EQL(7, %eax)
	movb	$1, next_insn + 8 /* whatever is there: next call patches again */
	call	loop_body
	EQL(4950, %eax)

	/* Data in the same page as code: slow at worst, never wrong. */
	movl	$1000, %ecx
	xorl	%ebx, %ebx
1:	incq	data_beside
	call	patched
	addq	%rax, %rbx
	loop	1b
	movq	data_beside, %rax
	EQ(1000, %rax)
	DUMP	%rbx
	/* An immediate changed from outside, 1, 2, 4 and 8 bytes at a time. */
	movb	$0x22, patched + 1
	call	patched
	DUMP	%rax
	movw	$0x3333, patched + 2
	call	patched
	DUMP	%rax
	movl	$0x44444444, patched + 1
	call	patched
	EQL(0x44444444, %eax)
	movabsq	$0x90c355555555b8, %rax
	movq	%rax, patched
	call	patched
	EQL(0x55555555, %eax)
	lock addl $1, patched + 1
	call	patched
	EQL(0x55555556, %eax)
	movl	$0x66666666, %eax
	xchgl	%eax, patched + 1
	call	patched
	EQL(0x66666666, %eax)

	/* New code over old by string instructions, twice around. */
	movl	$20, %r8d
1:	movl	$template1, %esi
	movl	$copy, %edi
	movl	$6, %ecx
	rep movsb
	call	copy
	EQL(111, %eax)
	movl	$template2, %esi
	movl	$copy, %edi
	movl	$3, %ecx
	rep movsw
	call	copy
	EQL(222, %eax)
	decl	%r8d
	jnz	1b
	/* Across the page's end, by one store of SSE. */
	movdqu	template1, %xmm0
	movdqu	%xmm0, copy - 4
	movl	$copy - 4, %eax
	call	*%rax
	EQL(111, %eax)
	movdqu	template2, %xmm0
	movdqu	%xmm0, copy - 4
	movl	$copy - 4, %eax
	call	*%rax
	EQL(222, %eax)
	ret

	.section .note.GNU-stack, "", @progbits
