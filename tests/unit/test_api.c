/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_api.c - libvmmapi's smaller calls on a fake engine: sets of processors,
 * holding one, events, registers in sets, memory seen from outside, handlers.
 */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vmm/bus.h>
#include <vmm/irq.h>
#include <vmm/mem.h>

#include "fake_engine.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static int
setup(void **state)
{
	struct vmctx *ctx = fake_vm_new(4, NULL);

	assert_int_equal(vm_setup_memory(ctx, 2 * MIB, VM_MMAP_ALL), 0);
	*state = ctx;
	return 0;
}

static int
teardown(void **state)
{
	vm_close(*state);
	return 0;
}

/* --- processors ------------------------------------------------------------
 */

static uint64_t
set_of(int (*get)(struct vmctx *, uint64_t *), struct vmctx *ctx)
{
	uint64_t cpus = ~0ull;

	assert_int_equal(get(ctx, &cpus), 0);
	return cpus;
}

static void
sets_of_cpus(void **state)
{
	struct vmctx *ctx = *state;
	struct vm_exit x;

	assert_int_equal(set_of(vm_active_cpus, ctx), 0);
	assert_int_equal(vm_activate_cpu(vm_vcpu_get(ctx, 0)), 0);
	assert_int_equal(vm_activate_cpu(vm_vcpu_get(ctx, 3)), 0);
	assert_int_equal(set_of(vm_active_cpus, ctx), 0x9);
	assert_int_equal(set_of(vm_suspended_cpus, ctx), 0);
	assert_int_equal(vm_suspend(ctx, VM_SUSPEND_RESET), 0);
	assert_int_equal(set_of(vm_suspended_cpus, ctx), 0);
	assert_int_equal(vm_run(vm_vcpu_get(ctx, 3), &x), 0);
	assert_int_equal(x.exitcode, VM_EXITCODE_SUSPENDED);
	assert_int_equal(x.u.suspended.how, VM_SUSPEND_RESET);
	assert_int_equal(set_of(vm_suspended_cpus, ctx), 0x8);
	assert_int_equal(vm_reinit(ctx), 0);
	assert_int_equal(set_of(vm_suspended_cpus, ctx), 0);
	assert_int_equal(set_of(vm_active_cpus, ctx), 0);
}

static void
held_cpu_executes_nothing(void **state)
{
	struct vmctx *ctx = *state;
	struct vcpu *v = vm_vcpu_get(ctx, 1);
	struct vm_exit x;

	assert_int_equal(vm_suspend_cpu(v), -1); /* not active */
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_resume_cpu(v), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_activate_cpu(v), 0);
	assert_int_equal(vm_suspend_cpu(v), 0);
	assert_int_equal(set_of(vm_debug_cpus, ctx), 0x2);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(vm_run(v, &x), 0);
		assert_int_equal(x.exitcode, VM_EXITCODE_DEBUG);
	}
	assert_int_equal(fake_vcpu(v)->runs, 0);
	assert_int_equal(vm_resume_cpu(v), 0);
	assert_int_equal(set_of(vm_debug_cpus, ctx), 0);
	assert_int_equal(vm_run(v, &x), 0); /* takes the kick */
	assert_int_equal(x.exitcode, VM_EXITCODE_BOGUS);
	assert_int_equal(fake_vcpu(v)->runs, 1);
}

static void
hold_all(void **state)
{
	struct vmctx *ctx = *state;
	struct vm_exit x;

	assert_int_equal(vm_activate_cpu(vm_vcpu_get(ctx, 0)), 0);
	assert_int_equal(vm_activate_cpu(vm_vcpu_get(ctx, 2)), 0);
	assert_int_equal(vm_suspend_all_cpus(ctx), 0);
	assert_int_equal(set_of(vm_debug_cpus, ctx), 0x5);
	/* A machine that ends is more urgent. */
	assert_int_equal(vm_suspend(ctx, VM_SUSPEND_POWEROFF), 0);
	assert_int_equal(vm_run(vm_vcpu_get(ctx, 0), &x), 0);
	assert_int_equal(x.exitcode, VM_EXITCODE_SUSPENDED);
	assert_int_equal(vm_resume_all_cpus(ctx), 0);
	assert_int_equal(set_of(vm_debug_cpus, ctx), 0);
	assert_int_equal(vm_suspend_all_cpus(ctx), 0);
	assert_int_equal(vm_reinit(ctx), 0);
	assert_int_equal(set_of(vm_debug_cpus, ctx), 0);
}

static void *
run_to_exit(void *arg)
{
	static struct vm_exit x;

	assert_int_equal(vm_run(arg, &x), 0);
	return &x;
}

/* One that sleeps in vm_run() comes out of it. */
static void
hold_a_sleeper(void **state)
{
	struct vcpu *v = vm_vcpu_get(*state, 0);
	struct vm_exit *x;
	pthread_t t;
	void *ret;

	alarm(30);
	assert_int_equal(pthread_create(&t, NULL, run_to_exit, v), 0);
	while (vm_suspend_cpu(v) != 0) /* active as soon as it runs */
		usleep(100);
	pthread_join(t, &ret);
	alarm(0);
	x = ret;
	assert_int_equal(x->exitcode, VM_EXITCODE_DEBUG);
}

/* In vm_run_all() the thread stands and the program sees nothing. */
static void *
run_all(void *arg)
{
	const struct vm_run_opts opts = VM_RUN_OPTS_DEFAULT;
	static enum vm_suspend_how how;

	assert_int_equal(vm_run_all(arg, &opts, &how), 0);
	return &how;
}

static void
hold_in_a_run_loop(void **state)
{
	struct vcpu *v = vm_vcpu_get(*state, 0);
	unsigned int runs;
	pthread_t t;
	void *how;

	alarm(30);
	assert_int_equal(pthread_create(&t, NULL, run_all, *state), 0);
	while (vm_suspend_cpu(v) != 0)
		usleep(100);
	usleep(20000);
	runs = fake_vcpu(v)->runs;
	vcpu_nmi(v);
	usleep(20000);
	assert_int_equal(fake_vcpu(v)->runs, runs);
	assert_int_equal(vm_resume_cpu(v), 0);
	while (fake_vcpu(v)->runs == runs)
		usleep(100);
	assert_int_equal(vm_suspend(*state, VM_SUSPEND_POWEROFF), 0);
	pthread_join(t, &how);
	alarm(0);
	assert_int_equal(*(enum vm_suspend_how *)how, VM_SUSPEND_POWEROFF);
}

/* --- registers -------------------------------------------------------------
 */

static void
register_sets(void **state)
{
	static const int regs[] = { VM_REG_GUEST_RAX, VM_REG_GUEST_R15,
		VM_REG_GUEST_CR3 };
	static const int wrong[] = { VM_REG_GUEST_RAX, VM_REG_LAST,
		VM_REG_GUEST_CR3 };
	const uint64_t in[] = { 1, 2, 3 }, other[] = { 7, 8, 9 };
	struct vcpu *v = vm_vcpu_get(*state, 0);
	uint64_t out[3] = { 0 };

	assert_int_equal(vm_set_register_set(v, 3, regs, in), 0);
	assert_int_equal(vm_get_register_set(v, 3, regs, out), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(vm_set_register_set(v, 0, NULL, NULL), 0);
	assert_int_equal(vm_set_register_set(v, 3, wrong, other), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_get_register_set(v, 3, regs, out), 0);
	assert_true(out[0] == 7 && out[2] == 3); /* up to the wrong one */
	assert_int_equal(vm_get_register_set(v, 3, wrong, out), -1);
	assert_int_equal(errno, EINVAL);
}

static void
seg_descs(void **state)
{
	struct vcpu *v = vm_vcpu_get(*state, 0);
	struct seg_desc d;

	assert_int_equal(
	    vm_set_desc(v, VM_REG_GUEST_FS, 0x1000, 0xfff, 0x93), 0);
	assert_int_equal(vm_get_seg_desc(v, VM_REG_GUEST_FS, &d), 0);
	assert_true(d.base == 0x1000 && d.limit == 0xfff && d.access == 0x93);
	assert_int_equal(vm_get_seg_desc(v, VM_REG_GUEST_RIP, &d), -1);
	assert_int_equal(errno, EINVAL);
}

static uint64_t
reg_of(struct vcpu *v, int reg)
{
	uint64_t val;

	assert_int_equal(vm_get_register(v, reg, &val), 0);
	return val;
}

static void
desc_is(struct vcpu *v, int reg, uint64_t sel, uint64_t base, uint32_t limit,
    uint32_t access)
{
	struct seg_desc d;

	assert_int_equal(vm_get_seg_desc(v, reg, &d), 0);
	assert_int_equal(reg_of(v, reg), sel);
	assert_true(d.base == base);
	assert_int_equal(d.limit, limit);
	assert_int_equal(d.access, access);
}

/* docs/bhyve.md 2.4 */
static void
freebsd_amd64(void **state)
{
	struct vcpu *v = vm_vcpu_get(*state, 0);
	const uint64_t *gdt = vm_map_gpa(*state, 0x3000, 24);

	assert_int_equal(vm_setup_freebsd_registers(
			     v, 0xffffffff80200000, 0x5000, 0x3000, 0x8000),
	    0);
	assert_true(reg_of(v, VM_REG_GUEST_RIP) == 0xffffffff80200000);
	assert_int_equal(reg_of(v, VM_REG_GUEST_RSP), 0x8000);
	assert_int_equal(reg_of(v, VM_REG_GUEST_CR3), 0x5000);
	assert_int_equal(reg_of(v, VM_REG_GUEST_CR0), 0x80000021);
	assert_int_equal(reg_of(v, VM_REG_GUEST_CR4), 0x20);
	assert_int_equal(reg_of(v, VM_REG_GUEST_EFER), 0x500);
	assert_int_equal(reg_of(v, VM_REG_GUEST_RFLAGS), 2);
	desc_is(v, VM_REG_GUEST_CS, 8, 0, 0, 0x209b);
	desc_is(v, VM_REG_GUEST_SS, 0x10, 0, 0, 0x93);
	desc_is(v, VM_REG_GUEST_GS, 0x10, 0, 0, 0x93);
	desc_is(v, VM_REG_GUEST_TR, 0, 0, 0, 0x8b);
	desc_is(v, VM_REG_GUEST_LDTR, 0, 0, 0xffff, 0x10000);
	desc_is(v, VM_REG_GUEST_GDTR, 0, 0x3000, 23, 0);
	assert_true(gdt[0] == 0 && gdt[1] == 0x0020980000000000 &&
		    gdt[2] == 0x0000900000000000);
	assert_int_equal(
	    vm_setup_freebsd_registers(v, 0, 0, 2 * MIB - 16, 0), -1);
	assert_int_equal(errno, EFAULT); /* the table does not fit */
}

static void
freebsd_i386(void **state)
{
	struct vcpu *v = vm_vcpu_get(*state, 0);
	const uint64_t *gdt = vm_map_gpa(*state, 0x103000, 32);

	assert_int_equal(
	    vm_setup_freebsd_registers_i386(v, 0x1000000, 0x103000, 0x9000), 0);
	assert_int_equal(reg_of(v, VM_REG_GUEST_RIP), 0x1000000);
	assert_int_equal(reg_of(v, VM_REG_GUEST_RSP), 0x9000);
	assert_int_equal(reg_of(v, VM_REG_GUEST_CR0), 0x21);
	assert_int_equal(reg_of(v, VM_REG_GUEST_CR4), 0);
	assert_int_equal(reg_of(v, VM_REG_GUEST_EFER), 0);
	desc_is(v, VM_REG_GUEST_CS, 8, 0, 0xffffffff, 0xc09b);
	desc_is(v, VM_REG_GUEST_DS, 0x10, 0, 0xffffffff, 0xc093);
	desc_is(v, VM_REG_GUEST_TR, 0x18, 0x104000, 103, 0x8b);
	desc_is(v, VM_REG_GUEST_GDTR, 0, 0x103000, 31, 0);
	assert_true(gdt[1] == 0x00cf9a000000ffff);
	assert_true(gdt[3] == 0x0000891040000067);
	assert_int_equal(
	    vm_setup_freebsd_registers_i386(v, 0, 0xfffff000, 0), -1);
	assert_int_equal(errno, EFAULT);
}

/* --- events ----------------------------------------------------------------
 */

static void
faults(void **state)
{
	struct vcpu *v = vm_vcpu_get(*state, 0);
	struct fake_vcpu *f = fake_vcpu(v);
	struct vm_exit x;

	fake_vcpu(v)->reg[VM_REG_GUEST_CR2] = 0x77;
	assert_int_equal(vm_inject_ud(v), 0);
	assert_true(f->inject_vector == 6 && !f->inject_has_errcode);
	assert_true(f->inject_restart);
	vcpu_post(v, VCPU_EV_STOP);
	assert_int_equal(vm_run(v, &x), 0);
	assert_int_equal(vm_inject_gp(v), 0);
	assert_true(f->inject_vector == 13 && f->inject_has_errcode &&
		    f->inject_errcode == 0 && f->inject_restart);
	assert_int_equal(vm_inject_ss(v, 0x18), 0);
	assert_true(f->inject_vector == 12 && f->inject_errcode == 0x18);
	assert_int_equal(vm_inject_ac(v, 1), 0);
	assert_true(f->inject_vector == 17 && f->inject_errcode == 1);
	assert_int_equal(vm_inject_exception2(v, 10, 0x28), 0);
	assert_true(f->inject_vector == 10 && f->inject_errcode == 0x28 &&
		    !f->inject_restart);
	assert_int_equal(vm_inject_fault(v, 5, false, 0), 0);
	assert_true(f->inject_vector == 5 && !f->inject_has_errcode);
	assert_int_equal(vm_inject_fault(v, 32, false, 0), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_inject_pf(v, 6, 0x123456789abc), 0);
	assert_true(f->inject_vector == 14 && f->inject_errcode == 6);
	assert_true(f->reg[VM_REG_GUEST_CR2] == 0x123456789abc);
	/* One that does not come changes nothing. */
	f->inject_err = -EBUSY;
	assert_int_equal(vm_inject_pf(v, 6, 0x9999), -1);
	assert_int_equal(errno, EBUSY);
	assert_true(f->reg[VM_REG_GUEST_CR2] == 0x123456789abc);
}

static void
intinfos(void **state)
{
	static const uint64_t good[] = { 0, 0x800000ef, 0x80000202, 0x80000306,
		0xdead000080000b0e, 0x80000480 };
	static const uint64_t bad[] = { 0xef, /* not valid */
		0x80000203,		      /* an NMI is vector 2 */
		0x80000302,		      /* and no exception */
		0x80000320,		      /* no such exception */
		0x800001ef, 0x800005ef, 0x800006ef, 0x800007ef, /* types */
		0x80000880, 0x80000c80,	  /* error codes, but */
		0x100000080000306,	  /* not announced */
		0x80001306, 0xc0000306 }; /* reserved bits */
	struct vcpu *v = vm_vcpu_get(*state, 0);
	uint64_t i1, i2 = 1;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(vm_set_intinfo(v, bad[i]), -1);
		assert_int_equal(errno, EINVAL);
	}
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(vm_set_intinfo(v, good[i]), 0);
		assert_int_equal(vm_get_intinfo(v, &i1, &i2), 0);
		assert_true(i1 == good[i] && i2 == 0);
	}
}

static void
intinfo_is_optional(void **state)
{
	struct vm_engine_ops ops = fake_engine;
	struct vmctx *ctx;
	uint64_t i1, i2;

	ops.set_intinfo = NULL;
	ops.get_intinfo = NULL;
	assert_int_equal(vm_new("plain", &ops, &ctx), 0);
	assert_int_equal(vm_set_intinfo(vm_vcpu_open(ctx, 0), 0), -1);
	assert_int_equal(errno, ENOTSUP);
	assert_int_equal(vm_get_intinfo(vm_vcpu_open(ctx, 0), &i1, &i2), -1);
	assert_int_equal(errno, ENOTSUP);
	vm_close(ctx);
}

/* Asked by another thread about a vCPU that runs. */
static void
running_cpus_are_busy(void **state)
{
	struct vcpu *v = vm_vcpu_get(*state, 0);
	struct vm_guest_paging pg;
	uint64_t i1, i2, cpus;
	pthread_t t;
	void *ret;

	alarm(30);
	assert_int_equal(pthread_create(&t, NULL, run_to_exit, v), 0);
	while (vm_active_cpus(*state, &cpus) == 0 && cpus == 0)
		usleep(100);
	assert_int_equal(vm_inject_ud(v), -1);
	assert_int_equal(errno, EBUSY);
	assert_int_equal(vm_inject_pf(v, 0, 0), -1);
	assert_int_equal(errno, EBUSY);
	assert_int_equal(vm_restart_instruction(v), -1);
	assert_int_equal(errno, EBUSY);
	assert_int_equal(vm_get_intinfo(v, &i1, &i2), -1);
	assert_int_equal(errno, EBUSY);
	assert_int_equal(vm_set_intinfo(v, 0), -1);
	assert_int_equal(errno, EBUSY);
	assert_int_equal(vm_get_guest_paging(v, &pg), -1);
	assert_int_equal(errno, EBUSY);
	vcpu_post(v, VCPU_EV_STOP);
	pthread_join(t, &ret);
	alarm(0);
}

/* --- interrupt controllers that have not everything ------------------------
 */

static int
no_msi(void *chip, uint64_t addr, uint32_t data)
{
	return -EINVAL;
}

static void
no_gsi(void *chip, unsigned int gsi, bool level)
{
}

static void
questions_to_chips(void **state)
{
	static const struct irqchip_ops plain = { .set_gsi = no_gsi,
		.msi = no_msi };
	struct vcpu *v = vm_vcpu_get(*state, 0);
	uint32_t caps;
	uint8_t byte;

	assert_int_equal(vm_lapic_local_irq(v, VM_LVT_LINT0), -1);
	assert_int_equal(errno, ENXIO);
	assert_int_equal(vm_isa_set_irq_trigger(*state, 5, LEVEL_TRIGGER), -1);
	assert_int_equal(errno, ENXIO);
	assert_int_equal(vm_get_hpet_capabilities(*state, &caps), -1);
	assert_int_equal(errno, ENXIO);
	assert_int_equal(vm_rtc_read(*state, 0, &byte), -1);
	assert_int_equal(errno, ENXIO);
	assert_int_equal(vm_set_x2apic_state(v, X2APIC_ENABLED), 0);
	irq_set_chip(*state, &plain, NULL);
	assert_int_equal(vm_lapic_local_irq(v, VM_LVT_LINT0), -1);
	assert_int_equal(errno, ENOTSUP);
	assert_int_equal(vm_isa_set_irq_trigger(*state, 5, LEVEL_TRIGGER), -1);
	assert_int_equal(errno, ENOTSUP);
	assert_int_equal(vm_isa_set_irq_trigger(*state, 16, EDGE_TRIGGER), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(
	    vm_isa_set_irq_trigger(*state, 5, (enum vm_intr_trigger)2), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_set_x2apic_state(v, X2APIC_DISABLED), -1);
	assert_int_equal(errno, EBUSY);
}

/* --- memory ----------------------------------------------------------------
 */

static void
memory_segments(void **state)
{
	struct vmctx *ctx = fake_vm_new(1, NULL);
	size_t len = 0;
	int wired = 9;

	assert_int_equal(vm_get_memory_seg(ctx, 0, &len, &wired), -1);
	assert_int_equal(errno, EINVAL);
	vm_set_lowmem_limit(ctx, 2 * MIB);
	assert_int_equal(vm_setup_memory(ctx, 3 * MIB, VM_MMAP_ALL), 0);
	assert_int_equal(vm_get_memory_seg(ctx, 0x1234, &len, &wired), 0);
	assert_true(len == 2 * MIB && wired == 0);
	assert_int_equal(vm_get_memory_seg(ctx, 4 * GIB, &len, &wired), 0);
	assert_true(len == MIB);
	assert_int_equal(vm_get_memory_seg(ctx, 2 * MIB, &len, &wired), -1);
	assert_int_equal(
	    vm_get_memory_seg(ctx, 4 * GIB + MIB, &len, &wired), -1);
	vm_close(ctx);
}

static void
memory_flags(void **state)
{
	struct vmctx *ctx = fake_vm_new(1, NULL);
	size_t len;
	int wired;

	assert_int_equal(vm_get_memflags(ctx), 0);
	assert_int_equal(vm_set_memflags(ctx, 4), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_set_memflags(ctx, VM_MEM_F_INCORE), 0);
	assert_int_equal(vm_setup_memory(ctx, MIB, VM_MMAP_ALL), 0);
	assert_int_equal(vm_get_memflags(ctx), VM_MEM_F_INCORE);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	/* Sanitizers swallow mlock(). */
	assert_int_equal(vm_set_memflags(ctx, VM_MEM_F_WIRED), 0);
	assert_int_equal(vm_get_memory_seg(ctx, 0, &len, &wired), 0);
	assert_int_equal(wired, 1);
#endif
	assert_int_equal(vm_set_memflags(ctx, 0), 0);
	assert_int_equal(vm_get_memory_seg(ctx, 0, &len, &wired), 0);
	assert_int_equal(wired, 0);
	vm_close(ctx);
}

static void
pmap(void **state)
{
	struct vmctx *ctx = fake_vm_new(1, NULL);
	uint64_t pte[VM_PMAP_LEVELS];
	int n;

	assert_int_equal(vm_get_gpa_pmap(ctx, 0, pte, &n), 0);
	assert_true(n == 1 && pte[0] == 0); /* no RAM yet */
	vm_set_lowmem_limit(ctx, 4 * MIB);
	assert_int_equal(vm_setup_memory(ctx, 5 * MIB, VM_MMAP_ALL), 0);
	assert_int_equal(vm_get_gpa_pmap(ctx, 0x3fffff, pte, &n), 0);
	assert_int_equal(n, 4);
	assert_true(pte[0] == 7 && pte[1] == 7 && pte[2] == 7);
	assert_true(pte[3] == (0x3ff000 | 6 << 3 | 7)); /* nobody touched it */
	*(volatile char *)vm_map_gpa(ctx, 0x3fffff, 1) = 1;
	assert_int_equal(vm_get_gpa_pmap(ctx, 0x3ff123, pte, &n), 0);
	assert_true(pte[3] == (0x3ff000 | 1 << 8 | 6 << 3 | 7));
	/* In the file, high memory follows low memory. */
	assert_int_equal(vm_get_gpa_pmap(ctx, 4 * GIB + 0x5000, pte, &n), 0);
	assert_true(n == 4 && (pte[3] & ~0x100ull) == (0x405000 | 6 << 3 | 7));
	/* Holes: below the same gigabyte, in another one, far away. */
	assert_int_equal(vm_get_gpa_pmap(ctx, 4 * MIB, pte, &n), 0);
	assert_true(n == 3 && pte[1] == 7 && pte[2] == 0);
	assert_int_equal(vm_get_gpa_pmap(ctx, 2 * GIB, pte, &n), 0);
	assert_true(n == 2 && pte[1] == 0);
	assert_int_equal(vm_get_gpa_pmap(ctx, 4 * GIB + MIB, pte, &n), 0);
	assert_true(n == 4 && pte[3] == 0);
	assert_int_equal(vm_get_gpa_pmap(ctx, 1ull << 45, pte, &n), 0);
	assert_true(n == 1 && pte[0] == 0);
	vm_close(ctx);
}

/* --- a program's devices ---------------------------------------------------
 */

struct access {
	unsigned int n, bytes;
	bool in;
	uint64_t at, val;
};

static int
port(struct vcpu *vcpu, bool in, uint16_t at, unsigned int bytes, uint32_t *val,
    void *arg)
{
	struct access *a = arg;

	a->n++;
	a->in = in;
	a->at = at;
	a->bytes = bytes;
	if (in)
		*val = 0x12345678;
	else
		a->val = *val;
	return bytes == 2 ? -1 : 0;
}

static int
mmio(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val, void *arg)
{
	return port(vcpu, !write, (uint16_t)gpa, bytes, (uint32_t *)val, arg);
}

static void
ports_of_the_program(void **state)
{
	struct vmctx *ctx = *state;
	struct vcpu *v = vm_vcpu_get(ctx, 0);
	struct access a = { 0 };
	uint32_t val = 0;

	assert_int_equal(vm_register_port(ctx, "p", 0x300, 8, port, &a), 0);
	assert_int_equal(vm_register_port(ctx, "q", 0x307, 1, port, &a), -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(vm_register_port(ctx, "q", 0xffff, 2, port, &a), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(bus_pio(v, true, 0x303, 1, &val), BUS_OK);
	assert_true(val == 0x78 && a.at == 0x303 && a.bytes == 1 && a.in);
	val = 0xcafe;
	assert_int_equal(bus_pio(v, false, 0x300, 4, &val), BUS_OK);
	assert_true(a.val == 0xcafe && !a.in);
	assert_int_equal(vm_unregister_port(ctx, 0x300, 8), 0);
	assert_int_equal(vm_unregister_port(ctx, 0x300, 8), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(bus_pio(v, true, 0x303, 1, &val), BUS_OK);
	assert_int_equal(val, 0xff);
	assert_int_equal(a.n, 2);
}

static void
mmio_of_the_program(void **state)
{
	struct vmctx *ctx = *state;
	struct vcpu *v = vm_vcpu_get(ctx, 0);
	struct access a = { 0 };
	uint64_t val = 0;

	assert_int_equal(
	    vm_register_mmio(ctx, "m", 0xd0000000, 0x1000, mmio, &a), 0);
	assert_int_equal(
	    vm_register_mmio(ctx, "n", 0xd0000800, 0x1000, mmio, &a), -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(vm_register_mmio(ctx, "n", 0, 0, mmio, &a), -1);
	assert_int_equal(errno, EINVAL);
	bus_mmio(v, false, 0xd0000010, 4, &val);
	assert_true(val == 0x12345678 && a.in && a.at == 0x10);
	val = 5;
	bus_mmio(v, true, 0xd0000020, 1, &val);
	assert_true(a.val == 5 && !a.in);
	assert_int_equal(vm_unregister_mmio(ctx, 0xd0000000, 0x1000), 0);
	assert_int_equal(vm_unregister_mmio(ctx, 0xd0000000, 0x1000), -1);
	assert_int_equal(errno, ENOENT);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(sets_of_cpus),
		T(held_cpu_executes_nothing),
		T(hold_all),
		T(hold_a_sleeper),
		T(hold_in_a_run_loop),
		T(register_sets),
		T(seg_descs),
		T(freebsd_amd64),
		T(freebsd_i386),
		T(faults),
		T(intinfos),
		T(intinfo_is_optional),
		T(running_cpus_are_busy),
		T(questions_to_chips),
		T(memory_segments),
		T(memory_flags),
		T(pmap),
		T(ports_of_the_program),
		T(mmio_of_the_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
