/* SPDX-License-Identifier: BSD-2-Clause */
/* legacy_call.S - leaving long mode, calling 32-bit code, and coming back. */
#include "layout.h"

#define MSR_EFER 0xc0000080
#define CR0_ON	 0x80010033
#define CR4_ON	 0x620

	.text
	.code64
	.globl	legacy_call
	/* void legacy_call(void (*fn32)(void)): it loads an IDT of its own. */
legacy_call:
	.irp	r, rbx, rbp, r12, r13, r14, r15
	pushq	%\r
	.endr
	movq	%rsp, saved_rsp
	movl	%edi, fn32
	sidt	saved_idtr
	pushq	$SEL_KCODE32
	pushq	$1f
	lretq
	.code32
1:	movl	$SEL_KDATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$stack32, %esp
	movl	%cr0, %eax
	andl	$0x7fffffff, %eax
	movl	%eax, %cr0
	movl	$MSR_EFER, %ecx
	rdmsr
	andl	$~0x100, %eax
	wrmsr
	xorl	%eax, %eax
	movl	%eax, %cr4
	call	*fn32
	movl	$CR4_ON, %eax
	movl	%eax, %cr4
	movl	$page_pml4, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$0x100, %eax
	wrmsr
	movl	$CR0_ON, %eax
	movl	%eax, %cr0
	ljmp	$SEL_KCODE, $2f
	.code64
2:	movl	$SEL_KDATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movq	saved_rsp, %rsp
	lidt	saved_idtr
	.irp	r, r15, r14, r13, r12, rbp, rbx
	popq	%\r
	.endr
	ret

	.data
	.balign 8
saved_idtr:
	.space	16
saved_rsp:
	.quad	0
fn32:	.long	0
	.bss
	.balign	16
	.space	4096
stack32:
	.space	16

	.section .note.GNU-stack, "", @progbits
