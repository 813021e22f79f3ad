/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Goes before an unpacked kernel (tools/bochshost.py, unpacked_kernel()): from where a
 * boot loader enters, in 32-bit protected mode with boot_params in ESI, to the kernel's
 * 64-bit entry (Linux Documentation/arch/x86/boot.rst, "64-bit BOOT PROTOCOL"), with
 * the first GiB mapped at its own address.  All is at fixed addresses.
 */
#define BASE   0xffc000 /* of this; four pages below the kernel */
#define KERNEL 0x1000000

#define AT(label) (BASE + (label) - start)

	.text
	.code32
start:
	cli
	lgdtl AT(gdt_pointer)
	movl %cr4, %eax
	orl $0x20, %eax			/* PAE */
	movl %eax, %cr4
	movl $AT(pml4), %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx		/* EFER.LME */
	rdmsr
	orl $0x100, %eax
	wrmsr
	movl %cr0, %eax
	orl $0x80000000, %eax		/* PG */
	movl %eax, %cr0
	ljmpl $0x10, $AT(long_mode)

	.code64
long_mode:
	movl $0x18, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $KERNEL, %eax
	jmp *%rax

	.balign 8
gdt:	/* __BOOT_CS and __BOOT_DS of the protocol */
	.quad 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long AT(gdt)

	.org 0x1000
pml4:	.quad AT(pdpt) + 3
	.org 0x2000
pdpt:	.quad AT(pd) + 3
	.org 0x3000
pd:	.set page, 0
	.rept 512
	.quad page * 0x200000 + 0x83	/* P, W, PS */
	.set page, page + 1
	.endr
