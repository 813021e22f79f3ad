/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_library.c - libvmmapi.so from outside: machines made, run and looked at
 * with nothing but vmmapi.h, on the engine named by the argument; a second one
 * is a pattern of the tests to run.
 *
 * Guests are real-mode snippets at 0x8000; they end, or ask for something, by
 * OUT to a port nobody has.  The vector table's handlers (setup_ivt) report
 * their vector at PORT_TRAP and return.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vmmapi.h>

#define MIB	  (1u << 20)
#define CODE	  0x8000u
#define AP_CODE	  0xa000u
#define HANDLERS  0x9000u /* + 16 * vector */
#define STACK	  0x7000u
#define PORT_STOP 0xf4
#define PORT_TRAP 0xf5

static const char *engine;
/* Engine kvm: a processor that waits to be started waits in vm_run(). */
static bool keeps_idle;

/* clang-format off */
#define GUEST(name, body)						\
	extern const char name##_begin[], name##_end[];			\
	__asm__(".pushsection .rodata\n" #name "_begin:\n.code16\n"	\
	    body "\n.code64\n" #name "_end:\n.popsection")
/* clang-format on */
#define LOAD(m, at, name)                                                      \
	load(m, at, name##_begin, (size_t)(name##_end - name##_begin))

struct machine {
	struct vmctx *vm;
	struct vcpu *cpu;
	struct vm_exit x;
};

static void
load(struct machine *m, uint64_t gpa, const char *code, size_t len)
{
	memcpy(vm_map_gpa(m->vm, gpa, len), code, len);
	vm_mem_written(m->vm, gpa, len);
}

/* Every vector n: mov $n, %al; out %al, $PORT_TRAP; iret. */
static void
setup_ivt(struct machine *m)
{
	uint16_t *ivt = vm_map_gpa(m->vm, 0, 0x400);

	for (unsigned int n = 0; n < 0x100; n++) {
		const uint8_t code[] = { 0xb0, (uint8_t)n, 0xe6, PORT_TRAP,
			0xcf };

		ivt[2 * n] = (uint16_t)(HANDLERS + 16 * n);
		ivt[2 * n + 1] = 0;
		load(m, HANDLERS + 16 * n, (const char *)code, sizeof(code));
	}
}

static void
start_at(struct vcpu *cpu, uint64_t gpa)
{
	assert_int_equal(vcpu_reset(cpu), 0);
	assert_int_equal(vm_set_register(cpu, VM_REG_GUEST_CS, 0), 0);
	assert_int_equal(vm_set_desc(cpu, VM_REG_GUEST_CS, 0, 0xffff, 0x93), 0);
	assert_int_equal(vm_set_register(cpu, VM_REG_GUEST_RIP, gpa), 0);
	assert_int_equal(vm_set_register(cpu, VM_REG_GUEST_RSP, STACK), 0);
}

static int
setup(void **state)
{
	static struct machine m;

	m.vm = vm_openf("guest", VMMAPI_OPEN_CREATE, engine);
	assert_non_null(m.vm);
	m.cpu = vm_vcpu_open(m.vm, 0);
	assert_non_null(m.cpu);
	assert_int_equal(vm_setup_memory(m.vm, 16 * MIB, VM_MMAP_ALL), 0);
	start_at(m.cpu, CODE);
	*state = &m;
	alarm(60);
	return 0;
}

static int
teardown(void **state)
{
	struct machine *m = *state;

	alarm(0);
	vm_close(m->vm);
	return 0;
}

/* Run until something happens. */
static void
run(struct machine *m)
{
	do
		assert_int_equal(vm_run(m->cpu, &m->x), 0);
	while (m->x.exitcode == VM_EXITCODE_BOGUS);
}

static void
run_to_out(struct machine *m, uint16_t port)
{
	run(m);
	assert_int_equal(m->x.exitcode, VM_EXITCODE_INOUT);
	assert_int_equal(m->x.u.inout.port, port);
	assert_false(m->x.u.inout.in);
}

static void
run_to_trap(struct machine *m, unsigned int vector)
{
	run_to_out(m, PORT_TRAP);
	assert_int_equal(m->x.u.inout.eax & 0xff, vector);
}

static void
run_to_end(struct machine *m, enum vm_suspend_how how)
{
	run(m);
	assert_int_equal(m->x.exitcode, VM_EXITCODE_SUSPENDED);
	assert_int_equal(m->x.u.suspended.how, how);
}

static uint64_t
reg(struct vcpu *cpu, int name)
{
	uint64_t val;

	assert_int_equal(vm_get_register(cpu, name, &val), 0);
	return val;
}

/* --- ports and memory ------------------------------------------------------
 */

GUEST(in_out, "	mov	$0x11223344, %eax\n"
	      "	mov	$0x1234, %dx\n"
	      "	in	%dx, %al\n"
	      "	out	%al, $0xf4\n"
	      "	hlt\n");

static void
ports_nobody_has(void **state)
{
	struct machine *m = *state;
	int n;

	LOAD(m, CODE, in_out);
	run(m);
	assert_int_equal(m->x.exitcode, VM_EXITCODE_INOUT);
	assert_true(m->x.u.inout.in && m->x.u.inout.port == 0x1234);
	assert_int_equal(m->x.u.inout.bytes, 1);
	assert_false(m->x.u.inout.string);
	assert_int_equal(vm_set_register(m->cpu, VM_REG_GUEST_RAX,
			     (reg(m->cpu, VM_REG_GUEST_RAX) & ~0xffull) | 0x99),
	    0);
	run_to_out(m, PORT_STOP);
	assert_int_equal(m->x.u.inout.eax & 0xff, 0x99);
	assert_true(reg(m->cpu, VM_REG_GUEST_RAX) == 0x11223399);
	assert_true(vm_get_stats(m->cpu, NULL, &n)[0] >= 2);
	run_to_end(m, VM_SUSPEND_HALT); /* with interrupts off */
	/* Once more from the start. */
	assert_int_equal(vm_reinit(m->vm), 0);
	start_at(m->cpu, CODE);
	run(m);
	assert_true(m->x.u.inout.in);
}

struct log {
	char text[64];
	size_t n;
};

static int
log_port(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct log *l = arg;

	if (in)
		*val = 0x1000u + (uint32_t)l->n++;
	else if (l->n < sizeof(l->text))
		l->text[l->n++] = (char)*val;
	return 0;
}

GUEST(strings, "	mov	$text - strings_begin + 0x8000, %si\n"
	       "	mov	$7, %cx\n"
	       "	mov	$0x300, %dx\n"
	       "	rep outsb\n"
	       "	mov	$0x6000, %di\n"
	       "	mov	$3, %cx\n"
	       "	mov	$0x310, %dx\n"
	       "	rep insw\n"
	       "	out	%al, $0xf4\n"
	       "text:	.ascii	\"strings\"\n");

static void
string_instructions(void **state)
{
	struct machine *m = *state;
	struct log out = { .n = 0 }, in = { .n = 0 };
	static const uint16_t want[] = { 0x1000, 0x1001, 0x1002, 0 };

	LOAD(m, CODE, strings);
	assert_int_equal(
	    vm_register_port(m->vm, "out", 0x300, 1, log_port, &out), 0);
	assert_int_equal(
	    vm_register_port(m->vm, "in", 0x310, 2, log_port, &in), 0);
	run_to_out(m, PORT_STOP);
	assert_int_equal(out.n, 7);
	assert_memory_equal(out.text, "strings", 7);
	assert_memory_equal(
	    vm_map_gpa(m->vm, 0x6000, sizeof(want)), want, sizeof(want));
}

static int
log_mmio(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val, void *arg)
{
	struct log *l = arg;

	if (write)
		l->n = (size_t)(gpa << 32 | *val);
	else
		*val = gpa & 0xff;
	return 0;
}

GUEST(mmio, "	movb	%es:0x42, %al\n"
	    "	movw	$0x1234, %es:0x10\n"
	    "	mov	%es:0x1000, %bx\n"
	    "	out	%al, $0xf4\n");

static void
memory_of_the_program(void **state)
{
	struct machine *m = *state;
	struct log l = { .n = 0 };

	LOAD(m, CODE, mmio);
	assert_int_equal(
	    vm_set_desc(m->cpu, VM_REG_GUEST_ES, 0xd0000000, 0xffff, 0x93), 0);
	assert_int_equal(
	    vm_register_mmio(m->vm, "log", 0xd0000000, 0x100, log_mmio, &l), 0);
	run_to_out(m, PORT_STOP);
	assert_int_equal(m->x.u.inout.eax & 0xff, 0x42);
	assert_true(l.n == (0xd0000010ull << 32 | 0x1234));
	assert_int_equal(reg(m->cpu, VM_REG_GUEST_RBX) & 0xffff, 0xffff);
}

/* --- faults and events -----------------------------------------------------
 */

GUEST(stop_twice, "	out	%al, $0xf4\n" /* two bytes */
		  "	out	%al, $0xf4\n"
		  "	hlt\n");

static uint16_t
stack_top(struct machine *m)
{
	uint16_t ip;

	memcpy(&ip,
	    vm_map_gpa(m->vm, reg(m->cpu, VM_REG_GUEST_RSP) & 0xffff, 2), 2);
	return ip;
}

static void
faults_come_before_the_instruction(void **state)
{
	struct machine *m = *state;

	LOAD(m, CODE, stop_twice);
	setup_ivt(m);
	run_to_out(m, PORT_STOP);
	assert_int_equal(vm_inject_ud(m->cpu), 0);
	assert_int_equal(vm_inject_gp(m->cpu), -1); /* one at a time */
	assert_int_equal(errno, EBUSY);
	run_to_trap(m, 6);
	assert_int_equal(stack_top(m), CODE);
	run_to_out(m, PORT_STOP); /* it runs again */
	assert_int_equal(vm_inject_gp(m->cpu), 0);
	run_to_trap(m, 13);
	run_to_out(m, PORT_STOP);
	assert_int_equal(vm_inject_ss(m->cpu, 0), 0);
	run_to_trap(m, 12);
	run_to_out(m, PORT_STOP);
	assert_int_equal(vm_inject_ac(m->cpu, 0), 0);
	run_to_trap(m, 17);
	run_to_out(m, PORT_STOP);
	assert_int_equal(vm_inject_pf(m->cpu, 0, 0xabcd000), 0);
	run_to_trap(m, 14);
	assert_int_equal(reg(m->cpu, VM_REG_GUEST_CR2), 0xabcd000);
	assert_int_equal(stack_top(m), CODE);
	run_to_out(m, PORT_STOP);
	/* No fault: the instruction is done. */
	assert_int_equal(vm_inject_exception2(m->cpu, 10, 0), 0);
	run_to_trap(m, 10);
	assert_int_equal(stack_top(m), CODE + 2);
	run_to_out(m, PORT_STOP);
	assert_int_equal(vm_restart_instruction(m->cpu), 0);
	run_to_out(m, PORT_STOP);
	assert_int_equal(vm_inject_nmi(m->cpu), 0);
	run_to_trap(m, 2);
	run_to_end(m, VM_SUSPEND_HALT);
}

static void
interrupted_deliveries(void **state)
{
	struct machine *m = *state;
	uint64_t i1, i2;

	LOAD(m, CODE, stop_twice);
	setup_ivt(m);
	run_to_out(m, PORT_STOP);
	/* An interrupt that was accepted comes whatever IF says; but VT-x does
	 * not enter a guest like that (SDM 3C 27.3.1.4). */
	if (keeps_idle)
		assert_int_equal(
		    vm_set_register(m->cpu, VM_REG_GUEST_RFLAGS, 0x202), 0);
	assert_int_equal(vm_set_intinfo(m->cpu, 0x80000033), 0);
	assert_int_equal(vm_get_intinfo(m->cpu, &i1, &i2), 0);
	assert_true(i1 == 0x80000033 && i2 == 0);
	run_to_trap(m, 0x33);
	assert_int_equal(vm_get_intinfo(m->cpu, &i1, &i2), 0);
	assert_true(i1 == 0 && i2 == 0);
	run_to_out(m, PORT_STOP);
	/* With an exception behind it: that one is on top. */
	assert_int_equal(vm_set_intinfo(m->cpu, 0x80000033), 0);
	assert_int_equal(vm_inject_ud(m->cpu), 0);
	assert_int_equal(vm_get_intinfo(m->cpu, &i1, &i2), 0);
	assert_true(i1 == 0x80000033 && i2 == 0x80000306);
	run_to_trap(m, 6);
	run_to_out(m, PORT_STOP);
	/* Two contributory ones are a double fault (SDM 3A table 6-5). */
	assert_int_equal(vm_set_intinfo(m->cpu, 0x80000b0d), 0);
	assert_int_equal(vm_inject_ss(m->cpu, 0), 0);
	assert_int_equal(vm_get_intinfo(m->cpu, &i1, &i2), 0);
	assert_true(i2 == 0x80000b0c);
	run_to_trap(m, 8);
	run_to_out(m, PORT_STOP);
	assert_int_equal(vm_set_intinfo(m->cpu, 0x80000202), 0);
	run_to_trap(m, 2);
	/* A fault in #DF's delivery is a shutdown. */
	assert_int_equal(vm_reinit(m->vm), 0);
	start_at(m->cpu, CODE);
	assert_int_equal(vm_set_intinfo(m->cpu, 0x80000b0d), 0);
	run_to_trap(m, 13);
	assert_int_equal(stack_top(m), CODE);
	run_to_out(m, PORT_STOP);
	assert_int_equal(vm_set_intinfo(m->cpu, 0x80000b08), 0);
	assert_int_equal(vm_inject_gp(m->cpu), 0);
	run_to_end(m, VM_SUSPEND_TRIPLEFAULT);
	assert_int_equal(vm_reinit(m->vm), 0);
	/* Resetting forgets. */
	assert_int_equal(vm_set_intinfo(m->cpu, 0x80000033), 0);
	start_at(m->cpu, CODE);
	assert_int_equal(vm_get_intinfo(m->cpu, &i1, &i2), 0);
	assert_true(i1 == 0);
}

GUEST(int3, "	int3\n");

static void
triple_fault(void **state)
{
	struct machine *m = *state;

	LOAD(m, CODE, int3);
	assert_int_equal(vm_set_desc(m->cpu, VM_REG_GUEST_IDTR, 0, 0, 0), 0);
	run_to_end(m, VM_SUSPEND_TRIPLEFAULT);
}

/* --- the chips -------------------------------------------------------------
 */

GUEST(interrupts, "	movl	$0x1ff, %es:0xf0\n"  /* local APIC on */
		  "	movl	$0x400, %es:0x360\n" /* LINT1: NMI */
		  "	movl	$0x42, %es:0x330\n"  /* thermal */
		  "	mov	$0x11, %al\n" /* 8259: vectors from 0x20 */
		  "	out	%al, $0x20\n"
		  "	mov	$0x20, %al\n"
		  "	out	%al, $0x21\n"
		  "	mov	$0x04, %al\n"
		  "	out	%al, $0x21\n"
		  "	mov	$0x03, %al\n" /* automatic end of interrupt */
		  "	out	%al, $0x21\n"
		  "	mov	$0xf7, %al\n" /* IRQ 3 alone */
		  "	out	%al, $0x21\n"
		  "	movl	$0x700, %es:0x350\n" /* LINT0: the 8259s */
		  "	sti\n"
		  "1:	out	%al, $0xf4\n"
		  "	movl	$0, %es:0xb0\n" /* EOI */
		  "	jmp	1b\n");

static void
interrupts_from_the_program(void **state)
{
	struct machine *m = *state;

	LOAD(m, CODE, interrupts);
	setup_ivt(m);
	assert_int_equal(
	    vm_set_desc(m->cpu, VM_REG_GUEST_ES, 0xfee00000, 0xffff, 0x93), 0);
	run_to_out(m, PORT_STOP);
	assert_int_equal(vm_lapic_irq(m->cpu, 0x40), 0);
	run_to_trap(m, 0x40);
	run_to_out(m, PORT_STOP);
	run_to_out(m, PORT_STOP); /* after the EOI */
	assert_int_equal(vm_lapic_msi(m->vm, 0xfee00000, 0x41), 0);
	assert_int_equal(vm_lapic_msi(m->vm, 0x1fee00000, 0x41), -1);
	assert_int_equal(errno, EINVAL);
	run_to_trap(m, 0x41);
	run_to_out(m, PORT_STOP);
	run_to_out(m, PORT_STOP);
	assert_int_equal(vm_lapic_local_irq(m->cpu, VM_LVT_LINT1), 0);
	run_to_trap(m, 2);
	run_to_out(m, PORT_STOP);
	/* Before the EOI that is due. */
	assert_int_equal(vm_lapic_local_irq_all(m->vm, VM_LVT_THERMAL), 0);
	run_to_trap(m, 0x42);
	run_to_out(m, PORT_STOP);
	run_to_out(m, PORT_STOP);
	/* Masked; and no entry at all. */
	assert_int_equal(vm_lapic_local_irq(m->cpu, VM_LVT_ERROR), 0);
	run_to_out(m, PORT_STOP);
	assert_int_equal(vm_lapic_local_irq(m->cpu, (enum vm_lvt)7), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_isa_pulse_irq(m->vm, 3, 3), 0);
	run_to_trap(m, 0x23);
	run_to_out(m, PORT_STOP);
}

/*
 * Handlers of these vectors end the interrupt themselves: pin 9 is an edge and
 * 0x49, pin 20 a level and 0x6a.
 */
GUEST(wait_for_irqs, "	mov	$0xff, %al\n" /* nothing from the 8259s */
		     "	out	%al, $0x21\n"
		     "	out	%al, $0xa1\n"
		     "	movl	$0x1ff, %es:0xf0\n" /* local APIC on */
		     "	movl	$0x22, %fs:0\n"
		     "	movl	$0x49, %fs:0x10\n"
		     "	movl	$0x38, %fs:0\n"
		     "	movl	$0x806a, %fs:0x10\n"
		     "	sti\n"
		     "	out	%al, $0xf4\n"
		     "1:	hlt\n"
		     "	jmp	1b\n");
GUEST(eoi_iret, "	movl	$0, %es:0xb0\n"
		"	iret\n");
#define VECTOR_PIN    0x49
#define VECTOR_LEVEL  0x6a
#define VECTOR_MSI    0x78
#define VECTOR_MARKER 0x31 /* comes last of all */

static void
start_irq_guest(struct machine *m)
{
	static const unsigned int vectors[] = { VECTOR_PIN, VECTOR_LEVEL,
		VECTOR_MSI, VECTOR_MARKER };

	LOAD(m, CODE, wait_for_irqs);
	setup_ivt(m);
	for (unsigned int i = 0; i < 4; i++)
		LOAD(m, HANDLERS + 16 * vectors[i] + 4, eoi_iret);
	start_at(m->cpu, CODE);
	assert_int_equal(
	    vm_set_desc(m->cpu, VM_REG_GUEST_ES, 0xfee00000, 0xffff, 0x93), 0);
	assert_int_equal(
	    vm_set_desc(m->cpu, VM_REG_GUEST_FS, 0xfec00000, 0xffff, 0x93), 0);
	run_to_out(m, PORT_STOP);
}

static int
eventfd_made(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

/*
 * The next trap is `vector`'s, and it is raised by another process, most likely
 * while the guest is halted.
 */
static void
raised_elsewhere(struct machine *m, int fd, unsigned int vector)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		usleep(20000);
		_exit(eventfd_write(fd, 1) != 0);
	}
	run_to_trap(m, vector);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Nothing is pending that would come before the marker. */
static void
nothing_comes(struct machine *m)
{
	usleep(50000);
	assert_int_equal(vm_lapic_msi(m->vm, 0xfee00000, VECTOR_MARKER), 0);
	run_to_trap(m, VECTOR_MARKER);
}

static void
irqfds(void **state)
{
	struct machine *m = *state;
	int msi = eventfd_made(), pin = eventfd_made();

	start_irq_guest(m);
	assert_int_equal(vm_irqfd_msi(m->vm, msi, 0xfee00000, VECTOR_MSI), 0);
	assert_int_equal(vm_irqfd_pin(m->vm, pin, 9, -1), 0);
	nothing_comes(m);
	for (int i = 0; i < 3; i++) {
		raised_elsewhere(m, msi, VECTOR_MSI);
		raised_elsewhere(m, pin, VECTOR_PIN);
	}
	/* They are the host's: a reset leaves them. */
	assert_int_equal(vm_reinit(m->vm), 0);
	start_irq_guest(m);
	raised_elsewhere(m, msi, VECTOR_MSI);
	raised_elsewhere(m, pin, VECTOR_PIN);
	assert_int_equal(vm_irqfd_remove(m->vm, msi), 0);
	assert_int_equal(vm_irqfd_remove(m->vm, pin), 0);
	assert_int_equal(eventfd_write(msi, 1), 0);
	assert_int_equal(eventfd_write(pin, 1), 0);
	nothing_comes(m);
	/* What nobody took counts. */
	assert_int_equal(vm_irqfd_pin(m->vm, msi, 9, -1), 0);
	run_to_trap(m, VECTOR_PIN);
	assert_int_equal(vm_irqfd_msi(m->vm, pin, 0xfee00000, VECTOR_MSI), 0);
	run_to_trap(m, VECTOR_MSI);
	nothing_comes(m);
	close(msi);
	close(pin); /* bound to the end */
}

static void
irqfds_of_many_messages(void **state)
{
	struct machine *m = *state;
	int fd[3] = { eventfd_made(), eventfd_made(), eventfd_made() };

	start_irq_guest(m);
	for (int i = 0; i < 3; i++)
		assert_int_equal(vm_irqfd_msi(m->vm, fd[i], 0xfee00000,
				     i == 1 ? VECTOR_LEVEL : VECTOR_MSI),
		    0);
	raised_elsewhere(m, fd[1], VECTOR_LEVEL);
	/* The middle one's place is another's now; the rest stay. */
	assert_int_equal(vm_irqfd_remove(m->vm, fd[1]), 0);
	assert_int_equal(vm_irqfd_msi(m->vm, fd[1], 0xfee00000, VECTOR_PIN), 0);
	raised_elsewhere(m, fd[1], VECTOR_PIN);
	raised_elsewhere(m, fd[0], VECTOR_MSI);
	raised_elsewhere(m, fd[2], VECTOR_MSI);
	nothing_comes(m);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
}

static void
irqfd_levels(void **state)
{
	struct machine *m = *state;
	int fd = eventfd_made(), resample = eventfd_made();
	eventfd_t n;

	start_irq_guest(m);
	if (getenv("KVM_SHIM_CAP") != NULL) { /* KVM without irqfds */
		assert_int_equal(vm_irqfd_pin(m->vm, fd, 20, resample), -1);
		assert_int_equal(errno, ENOTSUP);
		goto out;
	}
	assert_int_equal(vm_irqfd_pin(m->vm, fd, 20, resample), 0);
	for (int i = 0; i < 3; i++) {
		raised_elsewhere(m, fd, VECTOR_LEVEL);
		assert_int_equal(eventfd_read(resample, &n), -1);
		nothing_comes(m); /* its EOI comes, and it not again */
		assert_int_equal(eventfd_read(resample, &n), 0);
		assert_int_equal(n, 1);
	}
	/* The EOI is not to come: a reset stands for it. */
	raised_elsewhere(m, fd, VECTOR_LEVEL);
	assert_int_equal(eventfd_read(resample, &n), -1);
	assert_int_equal(vm_reinit(m->vm), 0);
	assert_int_equal(eventfd_read(resample, &n), 0);
	start_irq_guest(m);
	nothing_comes(m);
	raised_elsewhere(m, fd, VECTOR_LEVEL);
	nothing_comes(m);
	assert_int_equal(eventfd_read(resample, &n), 0);
	assert_int_equal(vm_irqfd_remove(m->vm, fd), 0);
	assert_int_equal(eventfd_write(fd, 1), 0);
	nothing_comes(m);
out:
	close(fd);
	close(resample);
}

static void
refused(int ret, int err)
{
	assert_int_equal(ret, -1);
	assert_int_equal(errno, err);
}

static void
irqfds_wrongly_asked_for(void **state)
{
	struct machine *m = *state;
	int fd = eventfd_made(), p[2];

	assert_int_equal(pipe(p), 0);
	refused(vm_irqfd_msi(m->vm, -1, 0xfee00000, 0x40), EBADF);
	refused(vm_irqfd_msi(m->vm, p[0], 0xfee00000, 0x40), EINVAL);
	refused(vm_irqfd_msi(m->vm, fd, 0xfed00000, 0x40), EINVAL);
	refused(vm_irqfd_msi(m->vm, fd, 0x1fee00000, 0x40), EINVAL);
	refused(vm_irqfd_pin(m->vm, fd, 0, -1), EINVAL);
	refused(vm_irqfd_pin(m->vm, fd, 24, -1), EINVAL);
	refused(vm_irqfd_pin(m->vm, fd, 20, p[1]), EINVAL);
	refused(vm_irqfd_remove(m->vm, fd), ENOENT);
	assert_int_equal(vm_irqfd_msi(m->vm, fd, 0xfee00000, 0x40), 0);
	refused(vm_irqfd_msi(m->vm, fd, 0xfee00000, 0x40), EBUSY);
	refused(vm_irqfd_pin(m->vm, fd, 9, -1), EBUSY);
	assert_int_equal(vm_irqfd_remove(m->vm, fd), 0);
	close(fd);
	close(p[0]);
	close(p[1]);
}

/*
 * With tests/kvm/shim, whose kernel refuses the first KVM_IRQFD with ENOMEM:
 * that is the caller's to know, and no harm is done.
 */
static void
irqfd_refused_by_the_kernel(void **state)
{
	struct machine *m = *state;
	int fd = eventfd_made();

	start_irq_guest(m);
	refused(vm_irqfd_msi(m->vm, fd, 0xfee00000, VECTOR_MSI), ENOMEM);
	assert_int_equal(eventfd_write(fd, 1), 0);
	nothing_comes(m);
	assert_int_equal(vm_irqfd_msi(m->vm, fd, 0xfee00000, VECTOR_MSI), 0);
	run_to_trap(m, VECTOR_MSI);
	raised_elsewhere(m, fd, VECTOR_MSI);
	close(fd);
}

GUEST(year, "	mov	$0x09, %al\n"
	    "	out	%al, $0x70\n"
	    "	in	$0x71, %al\n"
	    "	mov	%al, %bl\n"
	    "	mov	$0x5c, %al\n"
	    "	out	%al, $0x70\n"
	    "	in	$0x71, %al\n"
	    "	out	%al, $0xf4\n");

static void
clock_and_cmos(void **state)
{
	struct machine *m = *state;
	time_t t;

	LOAD(m, CODE, year);
	assert_int_equal(vm_rtc_settime(m->vm, 1000000000), 0);
	assert_int_equal(vm_rtc_gettime(m->vm, &t), 0);
	assert_true(t >= 1000000000);
	assert_int_equal(vm_rtc_write(m->vm, 0x5c, 0x3c), 0);
	run_to_out(m, PORT_STOP);
	assert_int_equal(m->x.u.inout.eax & 0xff, 0x3c);
	assert_int_equal(reg(m->cpu, VM_REG_GUEST_RBX) & 0xff, 0x01);
}

/* --- linear addresses ------------------------------------------------------
 */

static const uint8_t code64[] = { 0xb0, 0x05, /* mov $5, %al */
	0xe6, PORT_STOP,		      /* out %al, $PORT_STOP */
	0xeb, 0xfa };			      /* jmp back */

/* Identity, 2 MiB pages; page 4 MiB is read-only for everybody. */
static void
make_tables(struct machine *m)
{
	uint64_t *root = vm_map_gpa(m->vm, 0x1000, 0x3000);

	memset(root, 0, 0x3000);
	root[0] = 0x2000 | 3;
	root[512] = 0x3000 | 3;
	for (uint64_t i = 0; i < 4; i++)
		root[1024 + i] = i << 21 | (i == 2 ? 0x81 : 0x83);
	vm_mem_written(m->vm, 0x1000, 0x3000);
}

static void
freebsd_state_and_linear_addresses(void **state)
{
	struct machine *m = *state;
	struct vm_guest_paging pg;
	const uint8_t seven = 7;
	struct iovec iov[2];
	uint64_t gpa;
	uint8_t back;
	int fault;

	make_tables(m);
	load(m, 0x200000, (const char *)code64, sizeof(code64));
	assert_int_equal(
	    vm_setup_freebsd_registers(m->cpu, 0x200000, 0x1000, 0x4000, STACK),
	    0);
	run_to_out(m, PORT_STOP);
	assert_int_equal(m->x.u.inout.eax & 0xff, 5);
	assert_int_equal(vm_get_guest_paging(m->cpu, &pg), 0);
	assert_int_equal(pg.cpu_mode, CPU_MODE_64BIT);
	assert_int_equal(pg.paging_mode, PAGING_MODE_64);
	assert_int_equal(pg.cpl, 0);
	assert_int_equal(pg.cr3, 0x1000);
	assert_int_equal(
	    vm_gla2gpa(m->cpu, &pg, 0x2abcde, PROT_READ, &gpa, &fault), 0);
	assert_true(fault == 0 && gpa == 0x2abcde);
	assert_int_equal(vm_gla2gpa_nofault(m->cpu, 0x2abcde, &gpa), 0);
	assert_int_equal(gpa, 0x2abcde);
	assert_int_equal(vm_gla2gpa_nofault(m->cpu, 0x40000000, &gpa), -1);
	assert_int_equal(errno, EFAULT);
	/* New code over code that has run: the guest executes it. */
	assert_int_equal(
	    vm_copy_setup(m->cpu, &pg, 0x200001, 1, PROT_WRITE, iov, 2, &fault),
	    0);
	assert_int_equal(fault, 0);
	vm_copyout(m->cpu, &seven, iov, 1);
	vm_copyin(m->cpu, iov, &back, 1);
	assert_int_equal(back, 7);
	vm_copy_teardown(m->cpu, iov, 2);
	run_to_out(m, PORT_STOP);
	assert_int_equal(m->x.u.inout.eax & 0xff, 7);
	/* A right the guest has not: its fault is queued. */
	assert_int_equal(
	    vm_set_register(m->cpu, VM_REG_GUEST_CR0, 0x80010021), 0);
	assert_int_equal(
	    vm_copy_setup(m->cpu, &pg, 0x400000, 1, PROT_WRITE, iov, 2, &fault),
	    0);
	assert_int_equal(fault, 1);
	assert_int_equal(reg(m->cpu, VM_REG_GUEST_CR2), 0x400000);
	assert_int_equal(vm_inject_gp(m->cpu), -1);
	assert_int_equal(errno, EBUSY);
}

/* --- several processors and threads ----------------------------------------
 */

static void *
run_thread(void *arg)
{
	struct machine *m = arg;

	run(m);
	return NULL;
}

GUEST(spin, "1:	inc	%ax\n"
	    "	jmp	1b\n");

static void
held_and_ended_from_outside(void **state)
{
	struct machine *m = *state;
	uint64_t cpus = 0;
	pthread_t t;

	LOAD(m, CODE, spin);
	assert_int_equal(pthread_create(&t, NULL, run_thread, m), 0);
	while (vm_suspend_cpu(m->cpu) != 0)
		usleep(1000);
	pthread_join(t, NULL);
	assert_int_equal(m->x.exitcode, VM_EXITCODE_DEBUG);
	assert_in_range(reg(m->cpu, VM_REG_GUEST_RIP), CODE, CODE + 2);
	assert_int_equal(vm_debug_cpus(m->vm, &cpus), 0);
	assert_int_equal(cpus, 1);
	assert_int_equal(vm_resume_cpu(m->cpu), 0);
	assert_int_equal(pthread_create(&t, NULL, run_thread, m), 0);
	usleep(10000);
	assert_int_equal(vm_suspend(m->vm, VM_SUSPEND_POWEROFF), 0);
	pthread_join(t, NULL);
	assert_int_equal(m->x.exitcode, VM_EXITCODE_SUSPENDED);
	assert_int_equal(m->x.u.suspended.how, VM_SUSPEND_POWEROFF);
	assert_int_equal(vm_suspended_cpus(m->vm, &cpus), 0);
	assert_int_equal(cpus, 1);
}

GUEST(start_ap, "	movl	$0x01000000, %es:0x310\n" /* to APIC 1 */
		"	movl	$0x4500, %es:0x300\n"	  /* INIT */
		"	movl	$0x460a, %es:0x300\n" /* start-up at 0xa000 */
		"1:	cmpb	$1, 0x6000\n"
		"	jne	1b\n"
		"	out	%al, $0xf4\n");
GUEST(ap_code, "	movb	$1, 0x6000\n"
	       "	mov	%cs, %ax\n"
	       "	out	%ax, $0xf4\n");

/* The exit by which a program learns that it is to start it, and where. */
static void
place_second(struct machine *m, struct vcpu *cpu)
{
	run(m);
	assert_int_equal(m->x.exitcode, VM_EXITCODE_SPINUP_AP);
	assert_int_equal(m->x.u.spinup_ap.vcpu, 1);
	assert_int_equal(m->x.u.spinup_ap.rip, AP_CODE);
	start_at(cpu, 0);
	assert_int_equal(
	    vm_set_register(cpu, VM_REG_GUEST_CS, AP_CODE >> 4), 0);
	assert_int_equal(
	    vm_set_desc(cpu, VM_REG_GUEST_CS, AP_CODE, 0xffff, 0x93), 0);
}

static void
second_processor(void **state)
{
	struct machine *m = *state;
	struct machine ap = { m->vm, vm_vcpu_open(m->vm, 1), { 0 } };
	uint64_t cpus;
	pthread_t t;

	assert_non_null(ap.cpu);
	LOAD(m, CODE, start_ap);
	LOAD(m, AP_CODE, ap_code);
	assert_int_equal(
	    vm_set_desc(m->cpu, VM_REG_GUEST_ES, 0xfee00000, 0xffff, 0x93), 0);
	if (!keeps_idle)
		place_second(m, ap.cpu);
	assert_int_equal(vm_activate_cpu(ap.cpu), 0);
	assert_int_equal(pthread_create(&t, NULL, run_thread, &ap), 0);
	run_to_out(m, PORT_STOP);
	assert_int_equal(vm_active_cpus(m->vm, &cpus), 0);
	assert_int_equal(cpus, 3);
	pthread_join(t, NULL);
	assert_int_equal(ap.x.exitcode, VM_EXITCODE_INOUT);
	assert_int_equal(ap.x.u.inout.eax & 0xffff, AP_CODE >> 4);
	assert_null(vm_vcpu_open(m->vm, 2)); /* two it was made with */
}

/* --- machines by name ------------------------------------------------------
 */

static void
machines_by_name(void **state)
{
	struct vmctx *a, *b;

	assert_int_equal(vm_create("kept"), 0);
	assert_int_equal(vm_create("kept"), -1);
	assert_int_equal(errno, EEXIST);
	a = vm_open("kept");
	assert_non_null(a);
	assert_string_equal(vm_get_name(a), "kept");
	vm_close(a);
	b = vm_open("kept");
	assert_ptr_equal(a, b);
	vm_destroy(b);
	assert_null(vm_open("kept"));
	assert_int_equal(errno, ENOENT);
}

/* Nobody runs it, and it has no memory. */
static void
made_and_thrown_away(void **state)
{
	struct vmctx *vm = vm_openf("x", VMMAPI_OPEN_CREATE, engine);

	assert_non_null(vm);
	assert_int_equal(vm_lapic_msi(vm, 0xfee00000, 0x41), 0);
	vm_close(vm);
	vm = vm_openf("x", VMMAPI_OPEN_CREATE, engine);
	assert_non_null(vm);
	vm_close(vm);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(ports_nobody_has),
		T(string_instructions),
		T(memory_of_the_program),
		T(faults_come_before_the_instruction),
		T(interrupted_deliveries),
		T(triple_fault),
		T(interrupts_from_the_program),
		T(irqfds),
		T(irqfds_of_many_messages),
		T(irqfd_levels),
		T(irqfds_wrongly_asked_for),
		T(clock_and_cmos),
		T(freebsd_state_and_linear_addresses),
		T(held_and_ended_from_outside),
		T(second_processor),
		cmocka_unit_test(machines_by_name),
		cmocka_unit_test(made_and_thrown_away),
	};
	const struct CMUnitTest broken[] = { T(irqfd_refused_by_the_kernel) };
	struct vmctx *probe;

	engine = argc > 1 ? argv[1] : "soft";
	keeps_idle = strcmp(engine, "kvm") == 0;
	probe = vm_openf("probe", VMMAPI_OPEN_CREATE, engine);
	if (probe == NULL) {
		printf("engine %s: %s\n", engine, strerror(errno));
		return 77;
	}
	vm_close(probe);
	if (getenv("KVM_SHIM_FAIL") != NULL)
		return cmocka_run_group_tests(broken, NULL, NULL);
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
