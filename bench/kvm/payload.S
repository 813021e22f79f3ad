/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * payload.S - what an exit costs, seen from inside: a PVH kernel (32-bit, flat,
 * no paging) that times loops of accesses by RDTSC.
 *
 * Its first instructions write a byte to com1.  The command line holds
 * "@" and eight hexadecimal digits: a device's registers, of which offset 0 can
 * be read and offset 0x20 be written with 0.  Prints ROUNDS times
 * "LETTER CYCLES" for COUNT accesses of each kind, then "end", waits for a byte
 * and ends in a triple fault.  bare.c enters it at its first byte.
 */
#define COM1	 0x3f8
#define COM1_LSR 0x3fd
#define COM1_SCR 0x3ff
#define LSR_DR	 0x01
#define LSR_THRE 0x20
#define COUNT	 1000
#define ROUNDS	 21
#define CMDLINE	 24 /* in the start info, which EBX points to */

#define XEN_ELFNOTE_PHYS32_ENTRY 18

	.section .note.Xen, "a", @note
	.long	4, 4, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz	"Xen"
	.long	start

	.section .head, "ax"
	.code32
	.globl	start
start:
	movw	$COM1, %dx
	movb	$'F', %al
	outb	%al, %dx
	movl	$stack_top, %esp
	movb	$'\n', %al
	call	putc
	call	find_mmio
	movl	$ROUNDS, rounds
1:	movl	$kinds, %ebp
2:	call	*4(%ebp)		/* warm */
	rdtsc
	movl	%eax, since
	movl	%edx, since + 4
	call	*4(%ebp)
	rdtsc
	subl	since, %eax
	sbbl	since + 4, %edx
	movl	%eax, since
	movb	(%ebp), %al
	call	putc
	movb	$' ', %al
	call	putc
	movl	%edx, %eax
	call	hex
	movl	since, %eax
	call	hex
	movb	$'\n', %al
	call	putc
	addl	$8, %ebp
	cmpl	$kinds_end, %ebp
	jne	2b
	decl	rounds
	jnz	1b

	movl	$msg_end, %esi
3:	lodsb
	testb	%al, %al
	jz	4f
	call	putc
	jmp	3b
4:	movw	$COM1_LSR, %dx
	inb	%dx, %al
	testb	$LSR_DR, %al
	jz	4b
	lidt	no_idt
	ud2		/* which every KVM knows, unlike INT3 */

	/* The loops: EBX is the device. */
port_in:
	movl	$COUNT, %ecx
	movw	$COM1_SCR, %dx
1:	inb	%dx, %al
	decl	%ecx
	jnz	1b
	ret
port_out:
	movl	$COUNT, %ecx
	movw	$COM1_SCR, %dx
1:	outb	%al, %dx
	decl	%ecx
	jnz	1b
	ret
mmio_read:
	movl	$COUNT, %ecx
1:	movl	(%ebx), %eax
	decl	%ecx
	jnz	1b
	ret
mmio_write:
	movl	$COUNT, %ecx
	xorl	%eax, %eax
1:	movl	%eax, 0x20(%ebx)
	decl	%ecx
	jnz	1b
	ret

find_mmio:
	movl	CMDLINE(%ebx), %esi
1:	lodsb
	cmpb	$'@', %al
	jne	1b
	xorl	%ebx, %ebx
	movl	$8, %ecx
2:	lodsb
	subb	$'0', %al
	cmpb	$10, %al
	jb	3f
	subb	$('a' - '0' - 10), %al
3:	shll	$4, %ebx
	orb	%al, %bl
	loop	2b
	ret

putc:
	movb	%al, %ah
	pushl	%edx
	movw	$COM1_LSR, %dx
1:	inb	%dx, %al
	testb	$LSR_THRE, %al
	jz	1b
	movb	%ah, %al
	movw	$COM1, %dx
	outb	%al, %dx
	popl	%edx
	ret

hex:	/* EAX, eight digits */
	pushl	%edx
	movl	%eax, %edx
	movl	$8, %ecx
1:	roll	$4, %edx
	movb	%dl, %al
	andb	$15, %al
	addb	$'0', %al
	cmpb	$'9', %al
	jbe	2f
	addb	$('a' - '0' - 10), %al
2:	call	putc
	loop	1b
	popl	%edx
	ret

	.data
	.balign	8
kinds:
	.long	'i', port_in
	.long	'o', port_out
	.long	'r', mmio_read
	.long	'w', mmio_write
kinds_end:
since:	.quad	0
rounds:	.long	0
no_idt:	.word	0
	.long	0
msg_end: .asciz	"end\n"
	.balign	16
stack:	.skip	1024
stack_top:
