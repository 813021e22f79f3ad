/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * start.S - from the PVH entry (32-bit, no paging) to 64-bit C, the other
 * processors' way there, the 256 interrupt stubs, and the few things C cannot
 * say: guarded calls, going to user mode, context of traps.
 */
#include "layout.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define MSR_EFER 0xc0000080
#define EFER_ON	 0x901	    /* NXE LME SCE */
#define CR0_ON	 0x80010033 /* PG WP NE ET MP PE */
#define CR4_ON	 0x620	    /* OSXMMEXCPT OSFXSR PAE */

	.section .note.Xen, "a", @note
	.long	4, 4, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz	"Xen"
	.long	start

	.text
	.code32
	.globl	start
start:
	cli
	cld
	/* Identity map of 4 GiB in 2 MiB pages. */
	movl	$page_pdpt + 7, page_pml4
	movl	$page_pd + 7, %eax
	movl	$page_pdpt, %edi
	movl	$4, %ecx
1:	movl	%eax, (%edi)
	addl	$0x1000, %eax
	addl	$8, %edi
	loop	1b
	movl	$0x83, %eax
	movl	$page_pd, %edi
	movl	$2048, %ecx
1:	movl	%eax, (%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	loop	1b
	movl	$cpu_blocks + CPU_STACK_TOP, ap_stack
	lgdt	gdtr
enter_long:
	movl	$CR4_ON, %eax
	movl	%eax, %cr4
	movl	$page_pml4, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	movl	$EFER_ON, %eax
	xorl	%edx, %edx
	wrmsr
	movl	$CR0_ON, %eax
	movl	%eax, %cr0
	ljmp	$SEL_KCODE, $start64

	.code64
start64:
	movl	$SEL_KDATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movq	ap_stack, %rsp
	xorl	%ebp, %ebp
	call	cpu_main
1:	hlt
	jmp	1b

	/* Copied to AP_TRAMPOLINE. */
	.code16
	.globl	ap_trampoline, ap_trampoline_end
ap_trampoline:
	cli
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	ap_gdtr - ap_trampoline
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$SEL_KCODE32, $(AP_TRAMPOLINE + ap_32 - ap_trampoline)
	.code32
ap_32:
	movl	$SEL_KDATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$enter_long, %eax
	jmp	*%eax
ap_gdtr:
	.word	gdt_end - gdt - 1
	.long	gdt
ap_trampoline_end:

	/* --- traps ---------------------------------------------------------- */

	.code64
	.balign 16
	.globl	trap_stubs
trap_stubs:
	.set	vec, 0
	.rept	256
	.balign 16
	.if	vec != 8 && (vec < 10 || vec > 14) && vec != 17 && vec != 21
	pushq	$0
	.endif
	pushq	$vec
	jmp	trap_common
	.set	vec, vec + 1
	.endr

trap_common:
	.irp	r, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	pushq	%\r
	.endr
	cld
	movq	%rsp, %rdi
	/* The block of the processor, whose stack we are on. */
	movq	%rsp, %rbx
	andq	$-16, %rsp
	call	trap
	movq	%rbx, %rsp
	.globl	trap_return
trap_return:
	.irp	r, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax
	popq	%\r
	.endr
	addq	$16, %rsp
	iretq

	/*
	 * bool guarded_call(void (*fn)(void *), void *arg): false when fn came
	 * back, true when a trap ended it (trap() goes to guard_landing).
	 */
	.globl	guarded_call, guard_landing
guarded_call:
	.irp	r, rbx, rbp, r12, r13, r14, r15
	pushq	%\r
	.endr
	movq	%rsp, %rax
	andq	$-CPU_BLOCK, %rax
	pushq	CPU_OFF_GUARD(%rax)
	movq	%rsp, CPU_OFF_GUARD(%rax)
	movq	%rdi, %rax
	movq	%rsi, %rdi
	call	*%rax
	xorl	%edx, %edx
	jmp	1f
guard_landing:
	cld
	movl	$1, %edx
1:	movq	%rsp, %rax
	andq	$-CPU_BLOCK, %rax
	popq	CPU_OFF_GUARD(%rax)
	.irp	r, r15, r14, r13, r12, rbp, rbx
	popq	%\r
	.endr
	movl	%edx, %eax
	ret

	/*
	 * void enter_user(const struct user_start *): registers and an IRET
	 * frame from there; returns only through a trap.
	 */
	.globl	enter_user
enter_user:
	movq	%rdi, %rax
	pushq	40(%rax)	/* ss */
	pushq	32(%rax)	/* rsp */
	pushq	24(%rax)	/* rflags */
	pushq	16(%rax)	/* cs */
	pushq	8(%rax)		/* rip */
	movl	$SEL_UDATA | 3, %ecx
	movl	%ecx, %ds
	movl	%ecx, %es
	movq	(%rax), %rdi
	.irp	r, rax, rbx, rcx, rdx, rsi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
	xorq	%\r, %\r
	.endr
	iretq

	/* --- data -------------------------------------------------------------- */

	.data
	.balign 16
	.globl	gdt, gdtr, ap_stack
gdt:
	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
	.quad	0x00cffb000000ffff
	.quad	0x00cff3000000ffff
	.quad	0x00affb000000ffff
	.quad	0x00cf9b000000ffff
	.quad	0x00009b000000ffff
	.quad	0x000093000000ffff
	.org	gdt + SEL_TSS + 16 * GUEST_MAXCPU
gdt_end:
gdtr:
	.word	gdt_end - gdt - 1
	.quad	gdt
	.balign 8
ap_stack:
	.quad	0

	.bss
	.balign CPU_BLOCK
	.globl	cpu_blocks, page_pml4, page_pdpt, page_pd
cpu_blocks:
	.space	CPU_BLOCK * GUEST_MAXCPU
page_pml4:
	.space	0x1000
page_pdpt:
	.space	0x1000
page_pd:
	.space	0x4000

	.section .note.GNU-stack, "", @progbits
