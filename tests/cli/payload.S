/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * payload.S - the smallest guest that can end in every way a guest can end.
 *
 * An ELF file with a PVH entry (32-bit protected mode, no paging).  It prints
 * "ready" on com1 and then does what the letters it receives there say:
 *
 *	r  reset (port 0xCF9)		t  triple fault
 *	p  power off (ACPI S5)		h  HLT with interrupts disabled
 *	a  switch ACPI on and watch the power button: print "button", power off
 *	i  from then on only print "button"
 *	else: send the letter back
 */
#define COM1	 0x3f8
#define COM1_LSR 0x3fd
#define LSR_DR	 0x01
#define LSR_THRE 0x20

#define PM1_STS	    0x400
#define PM1_EN	    0x402
#define PM1_CNT	    0x404
#define PM1_PWRBTN  0x0100
#define PM1_S5	    0x3400 /* SLP_EN | SLP_TYP 5 */
#define SMI_CMD	    0xb2
#define ACPI_ENABLE 0xa0
#define RESET_PORT  0xcf9
#define RESET_HARD  6

#define XEN_ELFNOTE_PHYS32_ENTRY 18

	.section .note.Xen, "a", @note
	.long	4, 4, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz	"Xen"
	.long	start

	.text
	.code32
	.globl	start
start:
	cli
	movl	$stack_top, %esp
	movl	$msg_ready, %esi
	call	puts
poll:
	movw	$COM1_LSR, %dx
	inb	%dx, %al
	testb	$LSR_DR, %al
	jnz	command
	cmpb	$0, watching
	je	poll
	movw	$PM1_STS, %dx
	inw	%dx, %ax
	testw	$PM1_PWRBTN, %ax
	jz	poll
	movw	$PM1_PWRBTN, %ax	/* write one to clear */
	outw	%ax, %dx
	movl	$msg_button, %esi
	call	puts
	cmpb	$0, ignoring
	jne	poll
	jmp	power_off

command:
	movw	$COM1, %dx
	inb	%dx, %al
	cmpb	$'r', %al
	je	reset
	cmpb	$'t', %al
	je	triple_fault
	cmpb	$'p', %al
	je	power_off
	cmpb	$'h', %al
	je	halt
	cmpb	$'a', %al
	je	watch
	cmpb	$'i', %al
	je	ignore
	call	putc
	jmp	poll

reset:
	movw	$RESET_PORT, %dx
	movb	$RESET_HARD, %al
	outb	%al, %dx
	jmp	reset

triple_fault:
	lidt	no_idt
	int3

power_off:
	movw	$PM1_CNT, %dx
	movw	$PM1_S5, %ax
	outw	%ax, %dx
	jmp	power_off

halt:
	cli
	hlt
	jmp	halt

watch:
	movb	$ACPI_ENABLE, %al
	outb	%al, $SMI_CMD
	movw	$PM1_EN, %dx
	movw	$PM1_PWRBTN, %ax
	outw	%ax, %dx
	movb	$1, watching
	movl	$msg_acpi, %esi
	call	puts
	jmp	poll

ignore:
	movb	$1, ignoring
	movl	$msg_ignoring, %esi
	call	puts
	jmp	poll

puts:
	lodsb
	testb	%al, %al
	jz	1f
	call	putc
	jmp	puts
1:	ret

putc:
	movb	%al, %ah
	movw	$COM1_LSR, %dx
1:	inb	%dx, %al
	testb	$LSR_THRE, %al
	jz	1b
	movw	$COM1, %dx
	movb	%ah, %al
	outb	%al, %dx
	ret

	.data
no_idt:
	.word	0
	.long	0
watching:
	.byte	0
ignoring:
	.byte	0
msg_ready:
	.asciz	"ready\r\n"
msg_acpi:
	.asciz	"acpi\r\n"
msg_button:
	.asciz	"button\r\n"
msg_ignoring:
	.asciz	"ignoring\r\n"
	.balign	16
	.space	1024
stack_top:
