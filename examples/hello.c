/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hello.c - a virtual machine with nothing but libvmmapi.
 *
 *	cc hello.c -o hello $(pkg-config --cflags --libs vmmapi) && ./hello
 *
 * The guest, in real mode, prints through a serial port that this program
 * plays, sets up the machine's 8259 and 8254, sleeps through three ticks of
 * the timer, and asks for the end at a port nobody has, which is how vm_run()
 * comes back.  An argument names the engine.
 */
#include <stdio.h>
#include <string.h>
#include <vmmapi.h>

#define MEM_BYTES (16u << 20)
#define LOAD_GPA  0x7c00u
#define PORT_COM1 0x3f8
#define PORT_END  0xf4

/* clang-format off */
__asm__(
"	.pushsection .rodata\n"
"	.global	guest_begin, guest_end\n"
"guest_begin:\n"
"	.code16\n"
"	xor	%ax, %ax\n"
"	mov	%ax, %ds\n"
"	mov	%ax, %ss\n"
"	mov	$0x7000, %sp\n"
"	movw	$0x7c00 + tick - guest_begin, 0x20 * 4\n" /* vector of IRQ 0 */
"	movw	%ax, 0x20 * 4 + 2\n"
"	mov	$0x7c00 + hello - guest_begin, %si\n"
"1:	lodsb\n"			/* print it */
"	test	%al, %al\n"
"	jz	2f\n"
"	mov	$0x3f8, %dx\n"
"	out	%al, %dx\n"
"	jmp	1b\n"
"2:	mov	$0x11, %al\n"		/* 8259: vectors from 0x20, all */
"	out	%al, $0x20\n"		/* but IRQ 0 masked */
"	mov	$0x20, %al\n"
"	out	%al, $0x21\n"
"	mov	$0x04, %al\n"
"	out	%al, $0x21\n"
"	mov	$0x01, %al\n"
"	out	%al, $0x21\n"
"	mov	$0xfe, %al\n"
"	out	%al, $0x21\n"
"	mov	$0x34, %al\n"		/* 8254: 1193182 / 11932 = 100 Hz */
"	out	%al, $0x43\n"
"	mov	$11932 & 0xff, %al\n"
"	out	%al, $0x40\n"
"	mov	$11932 >> 8, %al\n"
"	out	%al, $0x40\n"
"	mov	$3, %cx\n"
"3:	cli\n"				/* no tick between look and HLT */
"	jcxz	4f\n"
"	sti\n"
"	hlt\n"
"	jmp	3b\n"
"4:	mov	$42, %al\n"
"	out	%al, $0xf4\n"
"tick:	mov	$'.', %al\n"
"	mov	$0x3f8, %dx\n"
"	out	%al, %dx\n"
"	dec	%cx\n"
"	mov	$0x20, %al\n"		/* end of interrupt */
"	out	%al, $0x20\n"
"	iret\n"
"hello:	.asciz	\"Hello from the guest\"\n"
"	.code64\n"
"guest_end:\n"
"	.popsection\n");
/* clang-format on */
extern const char guest_begin[], guest_end[];

static int
serial(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	if (in)
		*val = 0xff;
	else if (port == PORT_COM1)
		putchar((char)*val);
	return 0;
}

static int
setup(struct vmctx *vm, struct vcpu *cpu)
{
	char *code;

	if (vm_setup_memory(vm, MEM_BYTES, VM_MMAP_ALL) != 0)
		return -1;
	code = vm_map_gpa(vm, LOAD_GPA, (size_t)(guest_end - guest_begin));
	memcpy(code, guest_begin, (size_t)(guest_end - guest_begin));
	/* After reset, but where a PC's firmware starts a boot sector. */
	if (vm_set_register(cpu, VM_REG_GUEST_CS, 0) != 0 ||
	    vm_set_desc(cpu, VM_REG_GUEST_CS, 0, 0xffff, 0x93) != 0 ||
	    vm_set_register(cpu, VM_REG_GUEST_RIP, LOAD_GPA) != 0)
		return -1;
	return vm_register_port(vm, "serial", PORT_COM1, 8, serial, NULL);
}

int
main(int argc, char **argv)
{
	struct vmctx *vm =
	    vm_openf("hello", VMMAPI_OPEN_CREATE, argc > 1 ? argv[1] : NULL);
	struct vcpu *cpu = vm != NULL ? vm_vcpu_open(vm, 0) : NULL;
	struct vm_exit x;

	if (cpu == NULL || setup(vm, cpu) != 0) {
		perror("hello");
		return 1;
	}
	do {
		if (vm_run(cpu, &x) != 0) {
			perror("vm_run");
			return 1;
		}
	} while (x.exitcode == VM_EXITCODE_BOGUS);
	if (x.exitcode == VM_EXITCODE_INOUT && x.u.inout.port == PORT_END)
		printf("\nThe guest says %u.\n", x.u.inout.eax);
	else
		printf("\nexit %d at %#lx\n", x.exitcode, (unsigned long)x.rip);
	vm_close(vm);
	return x.exitcode == VM_EXITCODE_INOUT ? 0 : 1;
}
