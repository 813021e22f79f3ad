/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * payload.S - the smallest guest that can end in every way a guest can end.
 *
 * An ELF file with a PVH entry, or with -DMULTIBOOT a Multiboot header (both:
 * 32-bit protected mode, no paging), or with -DBOOTSECTOR a boot sector and what
 * follows it (real mode at 0x7c00).  It prints
 * "ready" on com1 and then does what the letters it receives there say:
 *
 *	r  reset (port 0xCF9)		t  triple fault
 *	p  power off (ACPI S5)		h  HLT with interrupts disabled
 *	H  HLT with interrupts enabled, of which none comes
 *	a  switch ACPI on and watch the power button: print "button", power off
 *	i  from then on only print "button"
 *	n  start all other processors, k  say how many came (4 digits)
 *	u  IN from a port that nobody has, m  RDMSR that nobody has (8 digits)
 *	M  1000 times that RDMSR, then say "done"
 *	A  IA32_APIC_BASE (8 digits), P  1000 times PAUSE, then say "done"
 *	s  notify the host (port 0x488): 0x12, 0x3456, 0x789abcde by width
 *	c  select bvmcons, d  select bvmdbg, and on the selected port:
 *	1 2 4  IN of that many bytes, said in hexadecimal
 *	w W o  OUT of the next letter, as 4 bytes (upper ones set), 2, 1
 *	f  OUT of FLOOD bytes, then say "flooded"
 *	e  send back what comes in, until com1 has a letter
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

#define BVMCONS	   0x220
#define BVMDBG	   0x224
#define NO_DATA	   -1
#define FLOOD	   0x100000
#define NOBODY_PORT 0x5678
#define NOBODY_MSR 0xdeadbeef
#define HOST_NOTIFY 0x488
#define APIC_BASE_MSR 0x1b

#define ICR	      0xfee00300
#define INIT_OTHERS   0x000c4500
#define SIPI_OTHERS   0x000c4610
#define AP_BASE	      0x10000 /* SIPI vector 0x10 */
#define AP_COUNT      0x400   /* in AP_BASE's segment */

#define XEN_ELFNOTE_PHYS32_ENTRY 18
/* Multiboot specification 0.6.96, 3.1.1 and 3.2 */
#define MB_HEADER 0x1badb002
#define MB_MEMORY 2
#define MB_LOADER 0x2badb002

#if !defined(MULTIBOOT) && !defined(BOOTSECTOR)
	.section .note.Xen, "a", @note
	.long	4, 4, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz	"Xen"
	.long	start
#endif

	.text
	.globl	start
#ifdef BOOTSECTOR
/* What a BIOS leaves: CS:IP 0:7C00 or 7C0:0, the disk in DL, a stack.  Real mode
 * does interrupts; then protected mode. */
	.code16
start:
	jmp	$0, $2f
1:	popw	%ax			/* the frame of INT 60h */
	cmpw	$3f, %ax
	jne	no_sector
	popw	%ax
	popw	%ax
	lgdt	gdt_pointer
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	jmp	$8, $protected
2:	cmpb	$0x80, %dl
	jne	no_sector
	xorw	%ax, %ax
	movw	%ax, %ds
	pushw	%ax
	popw	%bx
	testw	%bx, %bx
	jnz	no_sector
	movw	$1b, 0x60 * 4
	movw	%ax, 0x60 * 4 + 2
	int	$0x60
3:
no_sector:
	cli
	hlt
	.balign	8
gdt:	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt
	.org	510
	.word	0xaa55
	.code32
protected:
	movw	$16, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
#else
	.code32
start:
	cli
#endif
#ifdef MULTIBOOT
	jmp	1f
no_multiboot:
	hlt
	.balign	4
	.long	MB_HEADER, MB_MEMORY, -(MB_HEADER + MB_MEMORY)
1:	cmpl	$MB_LOADER, %eax
	jne	no_multiboot
	testl	$1, (%ebx)	/* the loader tells of memory */
	jz	no_multiboot
#endif
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
	movl	$commands, %esi
1:	cmpb	$0, (%esi)
	je	2f
	cmpb	(%esi), %al
	je	3f
	addl	$5, %esi
	jmp	1b
2:	call	putc
	jmp	poll
3:	jmp	*1(%esi)

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

halt_open:
	movb	$0xff, %al		/* both 8259s' masks */
	outb	%al, $0x21
	outb	%al, $0xa1
	movl	$msg_halting, %esi
	call	puts
	sti
1:	hlt
	jmp	1b

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

	/* --- processors ------------------------------------------------------ */

others:
	movl	$ap_code, %esi
	movl	$AP_BASE, %edi
	movl	$(ap_code_end - ap_code), %ecx
	rep movsb
	movw	$0, AP_BASE + AP_COUNT
	movl	$INIT_OTHERS, ICR
	call	pause
	movl	$SIPI_OTHERS, ICR
	call	pause
	movl	$SIPI_OTHERS, ICR
	jmp	poll

came:
	movzwl	AP_BASE + AP_COUNT, %ebx
	shll	$16, %ebx
	movl	$4, %ecx
	call	puthex
	jmp	poll

pause:
	movl	$1000, %ecx
1:	outb	%al, $0x80
	loop	1b
	ret

	.code16
ap_code:
	cli
	lock incw %cs:AP_COUNT
1:	hlt
	jmp	1b
ap_code_end:
	.code32

	/* --- ports and MSRs -------------------------------------------------- */

nobody:
	movw	$NOBODY_PORT, %dx
	inl	%dx, %eax
	jmp	say_eax

msr:
	movl	$NOBODY_MSR, %ecx
	rdmsr
say_eax:
	movl	%eax, %ebx
	movl	$8, %ecx
	call	puthex
	jmp	poll

msrs:
	movl	$1000, %edi
1:	movl	$NOBODY_MSR, %ecx
	rdmsr
	decl	%edi
	jnz	1b
	movl	$msg_done, %esi
	call	puts
	jmp	poll

apic_base:
	movl	$APIC_BASE_MSR, %ecx
	rdmsr
	jmp	say_eax

pauses:
	movl	$1000, %edi
1:	pause
	decl	%edi
	jnz	1b
	movl	$msg_done, %esi
	call	puts
	jmp	poll

notify:
	movw	$HOST_NOTIFY, %dx
	movb	$0x12, %al
	outb	%al, %dx
	movw	$0x3456, %ax
	outw	%ax, %dx
	movl	$0x789abcde, %eax
	outl	%eax, %dx
	movl	$msg_done, %esi
	call	puts
	jmp	poll

select_cons:
	movw	$BVMCONS, port
	jmp	poll
select_dbg:
	movw	$BVMDBG, port
	jmp	poll

in1:
	movw	port, %dx
	inb	%dx, %al
	movl	%eax, %ebx
	shll	$24, %ebx
	movl	$2, %ecx
	call	puthex
	jmp	poll
in2:
	movw	port, %dx
	inw	%dx, %ax
	movl	%eax, %ebx
	shll	$16, %ebx
	movl	$4, %ecx
	call	puthex
	jmp	poll
in4:
	movw	port, %dx
	inl	%dx, %eax
	jmp	say_eax

out4:
	call	getc
	movw	port, %dx
	orl	$0xdeadbe00, %eax
	outl	%eax, %dx
	jmp	poll
out2:
	call	getc
	movw	port, %dx
	outw	%ax, %dx
	jmp	poll
out1:
	call	getc
	movw	port, %dx
	outb	%al, %dx
	jmp	poll

flood:
	movl	$FLOOD, %ecx
	movw	port, %dx
1:	movl	%ecx, %eax
	outl	%eax, %dx
	loop	1b
	movl	$msg_flooded, %esi
	call	puts
	jmp	poll

echo:
	movw	port, %dx
	inl	%dx, %eax
	cmpl	$NO_DATA, %eax
	je	1f
	outl	%eax, %dx
1:	movw	$COM1_LSR, %dx
	inb	%dx, %al
	testb	$LSR_DR, %al
	jz	echo
	jmp	poll

	/* --- com1 ------------------------------------------------------------ */

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

	/* The next letter, in EAX. */
getc:
	movw	$COM1_LSR, %dx
1:	inb	%dx, %al
	testb	$LSR_DR, %al
	jz	1b
	movw	$COM1, %dx
	inb	%dx, %al
	movzbl	%al, %eax
	ret

	/* The upper ECX digits of EBX, and the end of the line. */
puthex:
	roll	$4, %ebx
	movl	%ebx, %eax
	andl	$15, %eax
	movb	digits(%eax), %al
	call	putc
	loop	puthex
	movl	$msg_end, %esi
	jmp	puts

	.data
	.macro COMMAND letter, where
	.byte	\letter
	.long	\where
	.endm
commands:
	COMMAND 'r', reset
	COMMAND 't', triple_fault
	COMMAND 'p', power_off
	COMMAND 'h', halt
	COMMAND 'H', halt_open
	COMMAND 'a', watch
	COMMAND 'i', ignore
	COMMAND 'n', others
	COMMAND 'k', came
	COMMAND 'u', nobody
	COMMAND 'm', msr
	COMMAND 'M', msrs
	COMMAND 'A', apic_base
	COMMAND 'P', pauses
	COMMAND 's', notify
	COMMAND 'c', select_cons
	COMMAND 'd', select_dbg
	COMMAND '1', in1
	COMMAND '2', in2
	COMMAND '4', in4
	COMMAND 'w', out4
	COMMAND 'W', out2
	COMMAND 'o', out1
	COMMAND 'f', flood
	COMMAND 'e', echo
	.byte	0
digits:
	.ascii	"0123456789abcdef"
port:
	.word	BVMCONS
no_idt:
	.word	0
	.long	0
watching:
	.byte	0
ignoring:
	.byte	0
msg_end:
	.asciz	"\r\n"
msg_flooded:
	.asciz	"flooded\r\n"
msg_done:
	.asciz	"done\r\n"
msg_halting:
	.asciz	"halting\r\n"
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
