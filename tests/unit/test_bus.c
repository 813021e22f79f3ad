/* SPDX-License-Identifier: BSD-2-Clause */
/* test_bus.c - ports, MMIO, MSRs: who gets an access, and what it reads. */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include <util/log.h>
#include <vmm/bus.h>

#include "fake_engine.h"

struct seen {
	unsigned int n;
	bool dir; /* in or write */
	uint64_t addr;
	unsigned int bytes;
	uint64_t val, answer;
	int ret;
	struct vmctx *unregister; /* the handler takes itself away */
	struct lock *held;	  /* must be locked meanwhile */
	bool was_held;
};

static bool
lock_is_held(struct lock *l)
{
	if (pthread_mutex_trylock(&l->m) != 0)
		return true;
	pthread_mutex_unlock(&l->m);
	return false;
}

static void
see(struct seen *s, bool dir, uint64_t addr, unsigned int bytes, uint64_t val)
{
	s->n++;
	s->dir = dir;
	s->addr = addr;
	s->bytes = bytes;
	s->val = val;
	if (s->held != NULL)
		s->was_held = lock_is_held(s->held);
}

static int
pio_handler(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct seen *s = arg;

	see(s, in, port, bytes, *val);
	if (in)
		*val = (uint32_t)s->answer;
	if (s->unregister != NULL)
		return bus_pio_unregister(s->unregister, port, 1);
	return s->ret;
}

static int
mmio_handler(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val, void *arg)
{
	struct seen *s = arg;

	see(s, write, gpa, bytes, *val);
	if (!write)
		*val = s->answer + gpa;
	if (s->unregister != NULL)
		return bus_mmio_unregister(s->unregister, gpa, 8);
	return s->ret;
}

static void
drop_line(enum log_level level, const char *line)
{
}

static int
setup(void **state)
{
	log_set_sink(drop_line);
	*state = fake_vm_new(2, NULL);
	return 0;
}

static int
teardown(void **state)
{
	vm_close(*state);
	log_set_sink(NULL);
	return 0;
}

static struct vcpu *
cpu(void **state)
{
	return vm_vcpu_get(*state, 0);
}

static uint32_t
pio_in(void **state, uint16_t port, unsigned int bytes)
{
	uint32_t v = 0x12345678;

	assert_int_equal(bus_pio(cpu(state), true, port, bytes, &v), BUS_OK);
	return v;
}

static uint64_t
mmio_read(void **state, uint64_t gpa, unsigned int bytes)
{
	uint64_t v = 0x12345678;

	bus_mmio(cpu(state), false, gpa, bytes, &v);
	return v;
}

static struct pio_range
pio(uint16_t port, uint32_t len, struct seen *s)
{
	return (struct pio_range){ .name = "test",
		.port = port,
		.len = len,
		.fn = pio_handler,
		.arg = s };
}

static struct mmio_range
mmio(uint64_t base, uint64_t len, struct seen *s)
{
	return (struct mmio_range){ .name = "test",
		.base = base,
		.len = len,
		.fn = mmio_handler,
		.arg = s };
}

static void
pio_widths(void **state)
{
	struct seen s = { .answer = 0xaabbccdd };
	struct pio_range r = pio(0x3f8, 8, &s);
	uint32_t v = 0x11223344;

	assert_int_equal(bus_pio_register(*state, &r), 0);
	assert_int_equal(pio_in(state, 0x3f8, 1), 0xdd);
	assert_int_equal(pio_in(state, 0x3f9, 2), 0xccdd);
	assert_true(pio_in(state, 0x3f8, 4) == 0xaabbccdd);
	assert_true(s.dir && s.bytes == 4 && s.addr == 0x3f8);
	assert_int_equal(bus_pio(cpu(state), false, 0x3fa, 1, &v), BUS_OK);
	assert_int_equal(s.val, 0x44);
	assert_int_equal(v, 0x11223344); /* a write leaves it alone */
	assert_int_equal(bus_pio(cpu(state), false, 0x3fa, 2, &v), BUS_OK);
	assert_int_equal(s.val, 0x3344);
	/* Starts inside: it is this range's, as far as it runs. */
	assert_true(pio_in(state, 0x3ff, 4) == 0xaabbccdd);
	assert_int_equal(s.addr, 0x3ff);
	/* Starts outside: nobody's. */
	assert_true(pio_in(state, 0x3f7, 4) == UINT32_MAX);
	assert_int_equal(s.addr, 0x3ff);
}

static void
pio_unclaimed(void **state)
{
	const struct vm_run_opts strict = {
		.strict_io = true, .pin_base = -1, .pin = { -1 }
	};
	uint32_t v = 5;

	assert_int_equal(pio_in(state, 0x80, 1), 0xff);
	assert_int_equal(pio_in(state, 0x80, 2), 0xffff);
	assert_true(pio_in(state, 0xffff, 4) == UINT32_MAX);
	assert_int_equal(bus_pio(cpu(state), false, 0x80, 1, &v), BUS_OK);
	/* strict_io comes with the run. */
	enum vm_suspend_how how;

	assert_int_equal(vm_suspend(*state, VM_SUSPEND_POWEROFF), 0);
	assert_int_equal(vm_run_all(*state, &strict, &how), 0);
	assert_int_equal(bus_pio(cpu(state), true, 0x80, 1, &v), BUS_UNCLAIMED);
	assert_int_equal(
	    bus_pio(cpu(state), false, 0x80, 1, &v), BUS_UNCLAIMED);
}

static void
pio_overlap(void **state)
{
	struct seen s = { .answer = 1 }, t = { .answer = 2 };
	struct pio_range a = pio(0x10, 4, &s);
	struct pio_range bad[] = { pio(0x13, 1, &t), pio(0x0e, 3, &t),
		pio(0x0e, 16, &t), pio(0x11, 2, &t) };
	struct pio_range inval[] = { pio(0x10, 0, &t), pio(0xffff, 2, &t),
		pio(0, 65537, &t), pio(1, UINT32_MAX, &t),
		{ .name = "nofn", .port = 1, .len = 1 } };
	struct pio_range whole = pio(0, 65536, &t);

	assert_int_equal(bus_pio_register(*state, &a), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(bus_pio_register(*state, &bad[i]), -EEXIST);
	for (size_t i = 0; i < ARRAY_LEN(inval); i++)
		assert_int_equal(bus_pio_register(*state, &inval[i]), -EINVAL);
	/* A refused range left no port behind. */
	assert_int_equal(pio_in(state, 0x0e, 1), 0xff);
	assert_int_equal(bus_pio_unregister(*state, 0x10, 3), -ENOENT);
	assert_int_equal(bus_pio_unregister(*state, 0x11, 3), -ENOENT);
	assert_int_equal(bus_pio_unregister(*state, 0x200, 1), -ENOENT);
	assert_int_equal(pio_in(state, 0x13, 1), 1);
	assert_int_equal(bus_pio_unregister(*state, 0x10, 4), 0);
	assert_int_equal(pio_in(state, 0x13, 1), 0xff);
	assert_int_equal(bus_pio_register(*state, &whole), 0);
	assert_int_equal(pio_in(state, 0xffff, 1), 2);
}

static void
pio_handler_says_no(void **state)
{
	struct seen s = { .answer = 0, .ret = -1 };
	struct pio_range r = pio(0x408, 4, &s);

	assert_int_equal(bus_pio_register(*state, &r), 0);
	assert_int_equal(pio_in(state, 0x408, 1), 0xff);
	assert_true(pio_in(state, 0x408, 4) == UINT32_MAX);
}

static void
handlers_run_locked_and_may_leave(void **state)
{
	struct lock lock = LOCK_INITIALIZER;
	struct seen s = { .answer = 7, .unregister = *state, .held = &lock };
	struct pio_range p = pio(0x99, 1, &s);
	struct mmio_range m = mmio(0xd0000000, 8, &s);

	p.lock = m.lock = &lock;
	assert_int_equal(bus_pio_register(*state, &p), 0);
	assert_int_equal(pio_in(state, 0x99, 1), 7);
	assert_true(s.was_held);
	assert_int_equal(pio_in(state, 0x99, 1), 0xff);
	s.was_held = false;
	assert_int_equal(bus_mmio_register(*state, &m), 0);
	assert_true(mmio_read(state, 0xd0000000, 4) == 0xd0000007);
	assert_true(s.was_held);
	assert_true(mmio_read(state, 0xd0000000, 4) == UINT32_MAX);
	assert_int_equal(s.n, 2);
	assert_false(lock_is_held(&lock));
	/* Nothing was left behind that could stand in the way. */
	assert_int_equal(bus_pio_register(*state, &p), 0);
	assert_int_equal(bus_mmio_register(*state, &m), 0);
}

static void
mmio_overlap(void **state)
{
	struct seen s = { 0 };
	struct mmio_range a = mmio(0x1000, 0x1000, &s);
	struct mmio_range b = mmio(0x3000, 0x1000, &s);
	struct mmio_range between = mmio(0x2000, 0x1000, &s);
	struct mmio_range top = mmio(UINT64_MAX - 7, 8, &s);
	struct mmio_range bad[] = { mmio(0x1fff, 1, &s), mmio(0x0fff, 2, &s),
		mmio(0, 0x5000, &s), mmio(0x2fff, 2, &s) };
	struct mmio_range inval[] = { mmio(0x9000, 0, &s),
		mmio(UINT64_MAX, 2, &s), mmio(2, UINT64_MAX, &s) };

	assert_int_equal(bus_mmio_register(*state, &b), 0);
	assert_int_equal(bus_mmio_register(*state, &a), 0);
	assert_int_equal(bus_mmio_register(*state, &top), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(bus_mmio_register(*state, &bad[i]), -EEXIST);
	for (size_t i = 0; i < ARRAY_LEN(inval); i++)
		assert_int_equal(bus_mmio_register(*state, &inval[i]), -EINVAL);
	assert_int_equal(bus_mmio_register(*state, &between), 0);
	assert_true(mmio_read(state, UINT64_MAX - 7, 8) == UINT64_MAX - 7);
	/* Past the end of the address space there is nobody. */
	assert_true(
	    mmio_read(state, UINT64_MAX - 3, 8) == 0xfffffffffffefdfcull);
	assert_int_equal(bus_mmio_unregister(*state, 0x2000, 1), -ENOENT);
	assert_int_equal(bus_mmio_unregister(*state, 0x2001, 1), -ENOENT);
	assert_int_equal(bus_mmio_unregister(*state, 0x2000, 0x1000), 0);
	assert_true(mmio_read(state, 0x2000, 8) == UINT64_MAX);
}

static void
mmio_hit_goes_stale(void **state)
{
	struct seen s = { .answer = 1 }, t = { .answer = 2 };
	struct mmio_range a = mmio(0x1000, 0x1000, &s);
	struct mmio_range b = mmio(0x1000, 0x1000, &t);

	assert_int_equal(bus_mmio_register(*state, &a), 0);
	assert_int_equal(mmio_read(state, 0x1000, 4), 0x1001);
	assert_int_equal(mmio_read(state, 0x1000, 4), 0x1001);
	assert_int_equal(bus_mmio_unregister(*state, 0x1000, 0x1000), 0);
	assert_true(mmio_read(state, 0x1000, 4) == UINT32_MAX);
	assert_int_equal(bus_mmio_register(*state, &b), 0);
	assert_int_equal(mmio_read(state, 0x1000, 4), 0x1002);
	assert_int_equal(s.n, 2);
}

static void
mmio_split(void **state)
{
	struct seen s = { .answer = 0 }, t = { .answer = 0x10 };
	struct mmio_range a = mmio(0x1000, 6, &s);
	struct mmio_range b = mmio(0x1006, 1, &t);
	uint64_t v = 0x8877665544332211ull;

	assert_int_equal(bus_mmio_register(*state, &a), 0);
	/* The answer is the address: bytes 04 05, then nobody's ff. */
	assert_true(mmio_read(state, 0x1004, 4) == 0xffff0504);
	assert_true(s.bytes == 1 && s.n == 2);
	/* From the front as well. */
	assert_true(mmio_read(state, 0xffe, 4) == 0x0100ffff);
	assert_int_equal(bus_mmio_register(*state, &b), 0);
	assert_true(mmio_read(state, 0x1004, 4) == 0xff160504);
	bus_mmio(cpu(state), true, 0x1005, 8, &v);
	assert_true(s.dir && s.addr == 0x1005 && s.val == 0x11);
	assert_true(t.dir && t.addr == 0x1006 && t.val == 0x22);
	assert_true(v == 0x8877665544332211ull);
}

static void
mmio_widths(void **state)
{
	struct seen s = { .answer = 0xffeeddccbbaa0000ull };
	struct mmio_range r = mmio(0x1000, 0x100, &s);
	uint64_t v = 0x8877665544332211ull;

	assert_int_equal(bus_mmio_register(*state, &r), 0);
	assert_true(mmio_read(state, 0x1000, 1) == 0);
	assert_true(mmio_read(state, 0x1000, 2) == 0x1000);
	assert_true(mmio_read(state, 0x1000, 4) == 0xbbaa1000);
	assert_true(mmio_read(state, 0x1000, 8) == 0xffeeddccbbaa1000ull);
	bus_mmio(cpu(state), true, 0x1010, 2, &v);
	assert_true(s.val == 0x2211);
	s.ret = -1;
	assert_true(mmio_read(state, 0x1000, 2) == 0xffff);
	assert_int_equal(mmio_read(state, 0x5000, 1), 0xff);
}

static int
msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *val, void *arg)
{
	*val = msr + 0x100000000ull;
	return *(int *)arg;
}

static int
msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t val, void *arg)
{
	return val == 0xbad ? -1 : 0;
}

static void
msrs(void **state)
{
	int ret = 0;
	const struct msr_range rw = { "rw", 0x800, 0xbff, msr_read, msr_write,
		&ret, NULL };
	const struct msr_range ro = { "ro", 0x1b, 0x1b, msr_read, NULL, &ret,
		NULL };
	const struct msr_range wo = { "wo", UINT32_MAX, UINT32_MAX, NULL,
		msr_write, &ret, NULL };
	struct msr_range bad = rw;
	struct vcpu *v = cpu(state);
	uint64_t val = 9;

	assert_int_equal(bus_rdmsr(v, 0x800, &val), MSR_UNKNOWN);
	assert_int_equal(bus_msr_register(*state, &rw), 0);
	assert_int_equal(bus_msr_register(*state, &wo), 0);
	assert_int_equal(bus_msr_register(*state, &ro), 0);
	bad.first = bad.last = 0xbff;
	assert_int_equal(bus_msr_register(*state, &bad), -EEXIST);
	bad.first = 0xc00;
	assert_int_equal(bus_msr_register(*state, &bad), -EINVAL);
	assert_int_equal(bus_rdmsr(v, 0xc00, &val), MSR_UNKNOWN);
	assert_int_equal(bus_wrmsr(v, 0x7ff, 1), MSR_UNKNOWN);
	assert_int_equal(val, 9);
	assert_int_equal(bus_rdmsr(v, 0xbff, &val), MSR_OK);
	assert_true(val == 0x100000bffull);
	assert_int_equal(bus_wrmsr(v, 0x800, 1), MSR_OK);
	assert_int_equal(bus_wrmsr(v, 0x800, 0xbad), MSR_GP);
	assert_int_equal(bus_wrmsr(v, 0x1b, 1), MSR_GP);
	assert_int_equal(bus_rdmsr(v, 0x1b, &val), MSR_OK);
	assert_int_equal(bus_rdmsr(v, UINT32_MAX, &val), MSR_GP);
	assert_int_equal(bus_wrmsr(v, UINT32_MAX, 1), MSR_OK);
	ret = -1;
	val = 9;
	assert_int_equal(bus_rdmsr(v, 0x800, &val), MSR_GP);
	assert_int_equal(val, 9);
}

static void
counted(void **state)
{
	const uint64_t *stats = vcpu_stats(cpu(state));
	uint64_t v;

	pio_in(state, 1, 1);
	mmio_read(state, 1, 1);
	assert_int_equal(bus_rdmsr(cpu(state), 1, &v), MSR_UNKNOWN);
	assert_int_equal(bus_wrmsr(cpu(state), 1, 1), MSR_UNKNOWN);
	assert_int_equal(stats[VMSTAT_VMEXIT_INOUT], 1);
	assert_int_equal(stats[VMSTAT_VMEXIT_MMIO], 1);
	assert_int_equal(stats[VMSTAT_VMEXIT_RDMSR], 1);
	assert_int_equal(stats[VMSTAT_VMEXIT_WRMSR], 1);
	assert_int_equal(stats[VMSTAT_VMEXIT_COUNT], 4);
}

/* --- one thread moves ranges while two access them ----------------------- */

#define RACE_ROUNDS 20000

struct race {
	struct vmctx *ctx;
	struct vcpu *vcpu;
	atomic_bool stop;
	atomic_uint wrong;
};

/* The argument is the range's own address: an access must never see another's.
 */
static int
race_pio(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	uint16_t base = (uint16_t)(uintptr_t)arg;

	*val = port >= base && port < base + 16 ? 0x11 : 0x22;
	return 0;
}

static int
race_mmio(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val, void *arg)
{
	uint64_t base = (uintptr_t)arg;

	*val = range_ok(gpa - base, bytes, 16) ? 0x11 : 0x22;
	return 0;
}

static void *
race_access(void *arg)
{
	struct race *r = arg;
	unsigned int i = 0;

	while (!atomic_load(&r->stop)) {
		uint32_t p = 0;
		uint64_t m = 0;

		i = (i + 7) % 128;
		if (bus_pio(r->vcpu, true, (uint16_t)(0x1000 + i), 1, &p) !=
			BUS_OK ||
		    (p != 0x11 && p != 0xff))
			atomic_fetch_add(&r->wrong, 1);
		bus_mmio(r->vcpu, false, 0x1000 + i, 1, &m);
		if (m != 0x11 && m != 0xff)
			atomic_fetch_add(&r->wrong, 1);
	}
	return NULL;
}

static void
race_move(struct vmctx *ctx, unsigned int i)
{
	uint16_t base = (uint16_t)(0x1000 + 16 * (i % 8));
	const struct pio_range p = { .name = "race",
		.port = base,
		.len = 16,
		.fn = race_pio,
		.arg = (void *)(uintptr_t)base };
	const struct mmio_range m = { .name = "race",
		.base = base,
		.len = 16,
		.fn = race_mmio,
		.arg = (void *)(uintptr_t)base };

	if (bus_pio_register(ctx, &p) != 0)
		assert_int_equal(bus_pio_unregister(ctx, base, 16), 0);
	if (bus_mmio_register(ctx, &m) != 0)
		assert_int_equal(bus_mmio_unregister(ctx, base, 16), 0);
}

static void
concurrent(void **state)
{
	struct race r[2] = { 0 };
	pthread_t t[2];

	for (unsigned int i = 0; i < 2; i++) {
		r[i].ctx = *state;
		r[i].vcpu = vm_vcpu_get(*state, i);
		assert_int_equal(
		    pthread_create(&t[i], NULL, race_access, &r[i]), 0);
	}
	for (unsigned int i = 0; i < RACE_ROUNDS; i++)
		race_move(*state, i * 5 + i / 8);
	for (unsigned int i = 0; i < 2; i++) {
		atomic_store(&r[i].stop, true);
		pthread_join(t[i], NULL);
		assert_int_equal(r[i].wrong, 0);
	}
}

/*
 * One slot of the port table goes to and fro between two owners: who looked it
 * up for the one must not call the other.
 */
static int
owner_pio(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	*val = port == (uint16_t)(uintptr_t)arg ? 0x11 : 0x22;
	return 0;
}

static void *
owner_access(void *arg)
{
	struct race *r = arg;
	uint16_t port = (uint16_t)(0x1000 + vcpu_id(r->vcpu));

	while (!atomic_load(&r->stop)) {
		uint32_t v = 0;

		if (bus_pio(r->vcpu, true, port, 1, &v) != BUS_OK ||
		    (v != 0x11 && v != 0xff))
			atomic_fetch_add(&r->wrong, 1);
	}
	return NULL;
}

static void
recycled_slot(void **state)
{
	struct race r[2] = { 0 };
	pthread_t t[2];

	for (unsigned int i = 0; i < 2; i++) {
		r[i].vcpu = vm_vcpu_get(*state, i);
		assert_int_equal(
		    pthread_create(&t[i], NULL, owner_access, &r[i]), 0);
	}
	for (unsigned int i = 0; i < 20 * RACE_ROUNDS; i++) {
		uint16_t port = (uint16_t)(0x1000 + i % 2);
		const struct pio_range p = { .name = "owner",
			.port = port,
			.len = 1,
			.fn = owner_pio,
			.arg = (void *)(uintptr_t)port };

		assert_int_equal(bus_pio_register(*state, &p), 0);
		assert_int_equal(bus_pio_unregister(*state, port, 1), 0);
	}
	for (unsigned int i = 0; i < 2; i++) {
		atomic_store(&r[i].stop, true);
		pthread_join(t[i], NULL);
		assert_int_equal(r[i].wrong, 0);
	}
}

/* The engine hears of what may be late, once, and when it goes. */
static void
posted_ranges(void **state)
{
	struct seen s = { 0 };
	struct pio_range p = pio(0x80, 2, &s);
	struct mmio_range m = mmio(0x1000, 0x100, &s);
	struct fake_vm *f = fake_vm(*state);

	assert_int_equal(bus_pio_register(*state, &p), 0);
	assert_int_equal(bus_pio_unregister(*state, 0x80, 2), 0);
	assert_int_equal(f->posted, 0);
	p.posted = m.posted = true;
	assert_int_equal(bus_pio_register(*state, &p), 0);
	assert_int_equal(f->posted, 1);
	assert_true(f->posted_pio);
	assert_int_equal(f->posted_addr, 0x80);
	assert_int_equal(f->posted_len, 2);
	assert_int_equal(bus_pio_register(*state, &p), -EEXIST);
	assert_int_equal(f->posted, 1);
	assert_int_equal(bus_mmio_register(*state, &m), 0);
	assert_int_equal(f->posted, 2);
	assert_false(f->posted_pio);
	assert_int_equal(f->posted_addr, 0x1000);
	assert_int_equal(bus_mmio_register(*state, &m), -EEXIST);
	assert_int_equal(bus_mmio_unregister(*state, 0x1000, 0x100), 0);
	assert_int_equal(bus_pio_unregister(*state, 0x80, 2), 0);
	assert_int_equal(f->posted, 0);
	/* The place is used again, and not posted. */
	p.posted = false;
	assert_int_equal(bus_pio_register(*state, &p), 0);
	assert_int_equal(bus_pio_unregister(*state, 0x80, 2), 0);
	assert_int_equal(f->posted, 0);
}

static void
bells(void **state)
{
	const struct vm_ioevent ev = { .addr = 0x1000, .fd = -1 };

	/* This engine has none. */
	assert_int_equal(bus_ioevent(*state, &ev, true), -ENOTSUP);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(pio_widths),
		T(pio_unclaimed),
		T(pio_overlap),
		T(pio_handler_says_no),
		T(handlers_run_locked_and_may_leave),
		T(mmio_overlap),
		T(mmio_hit_goes_stale),
		T(mmio_split),
		T(mmio_widths),
		T(msrs),
		T(posted_ranges),
		T(bells),
		T(counted),
		T(concurrent),
		T(recycled_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
