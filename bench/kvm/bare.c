/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bare.c - the least a program can do to run payload.S in KVM: what an exit
 * costs the kernel, and the measure for a monitor.
 *
 *	bare PAYLOAD.bin
 *
 * One vCPU with the kernel's interrupt controllers, as monitors have it; each
 * exit is looked at as far as the payload needs and answered.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM	   (4u << 20)
#define LOAD	   0x100000u
#define START_INFO 0x1000u
#define CMDLINE	   0x1100u
#define COM1	   0x3f8
#define COM1_LSR   0x3fd

static int
must(int ret, const char *what)
{
	if (ret < 0)
		err(1, "%s", what);
	return ret;
}

static uint8_t *
make_memory(int vm, const char *payload)
{
	uint8_t *ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region mem = { .memory_size = RAM };
	uint64_t cmdline = CMDLINE;
	int fd = must(open(payload, O_RDONLY), payload);

	if (ram == MAP_FAILED)
		err(1, "memory");
	must((int)read(fd, ram + LOAD, RAM - LOAD), payload);
	close(fd);
	memcpy(ram + START_INFO + 24, &cmdline, sizeof(cmdline));
	strcpy((char *)ram + CMDLINE, "@d0000000");
	mem.userspace_addr = (uintptr_t)ram;
	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &mem), "memory region");
	return ram;
}

/* PVH's entry: flat 32-bit segments, EBX: start info. */
static void
set_registers(int vcpu)
{
	struct kvm_regs regs = { .rip = LOAD, .rbx = START_INFO, .rflags = 2 };
	struct kvm_segment seg = { .limit = UINT32_MAX,
		.selector = 0x10,
		.type = 3,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1 };
	struct kvm_sregs s;

	must(ioctl(vcpu, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	s.ds = s.es = s.fs = s.gs = s.ss = s.cs = seg;
	s.cs.selector = 8;
	s.cs.type = 11;
	s.cr0 = 0x21;
	must(ioctl(vcpu, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
	must(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void
port(struct kvm_run *r)
{
	uint8_t *data = (uint8_t *)r + r->io.data_offset;

	if (r->io.direction == KVM_EXIT_IO_IN)
		*data = r->io.port == COM1_LSR ? 0x61 : 0;
	else if (r->io.port == COM1)
		must((int)write(STDOUT_FILENO, data, 1), "stdout");
}

/* True while the guest runs. */
static bool
answer(struct kvm_run *r)
{
	switch (r->exit_reason) {
	case KVM_EXIT_IO:
		port(r);
		return true;
	case KVM_EXIT_MMIO:
		if (!r->mmio.is_write)
			memset(r->mmio.data, 0xff, 8);
		return true;
	case KVM_EXIT_SHUTDOWN: /* kvm.py looks at our memory first */
		(void)getchar();
		return false;
	default:
		errx(1, "exit %u", r->exit_reason);
	}
}

int
main(int argc, char **argv)
{
	int sys, vm, vcpu, bytes;
	struct kvm_run *r;

	if (argc != 2)
		errx(2, "usage: bare PAYLOAD");
	sys = must(open("/dev/kvm", O_RDWR), "/dev/kvm");
	vm = must(ioctl(sys, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	must(ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000), "KVM_SET_TSS_ADDR");
	must(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
	make_memory(vm, argv[1]);
	vcpu = must(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	bytes = must(ioctl(sys, KVM_GET_VCPU_MMAP_SIZE, 0), "mmap size");
	r = mmap(
	    NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (r == MAP_FAILED)
		err(1, "kvm_run");
	set_registers(vcpu);
	do
		must(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
	while (answer(r));
	return 0;
}
