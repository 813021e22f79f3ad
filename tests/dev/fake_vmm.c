/* SPDX-License-Identifier: BSD-2-Clause */
/* fake_vmm.c - see fake_vmm.h. */
#include "fake_vmm.h"

#include <stdlib.h>
#include <string.h>

#include "fake_engine.h"

/* --- machines --------------------------------------------------------- */

struct vmctx *
fake_vm_new(unsigned int ncpus)
{
	struct vm_topology t = { (uint16_t)ncpus, (uint16_t)ncpus, 1, 1 };
	struct vmctx *ctx;

	assert_int_equal(vm_new("fake", &fake_engine_ops, &ctx), 0);
	vm_clock_manual(ctx);
	/* Far from 0, so that what begins at "now" differs from 0. */
	vm_clock_advance(ctx, 1000 * FAKE_MS - vm_clock_ns(ctx));
	assert_int_equal(vm_topology_set(ctx, &t), 0);
	for (unsigned int i = 0; i < ncpus; i++) {
		struct vcpu *vcpu = vm_vcpu_open(ctx, (int)i);

		assert_non_null(vcpu);
		assert_int_equal(vm_activate_cpu(vcpu), 0);
	}
	return ctx;
}

void
fake_vm_free(struct vmctx *ctx)
{
	vm_close(ctx);
}

/* --- accesses --------------------------------------------------------- */

uint32_t
fake_in(struct vcpu *vcpu, uint16_t port, unsigned int bytes)
{
	uint32_t val = 0xdeadbeef;

	assert_int_equal(bus_pio(vcpu, true, port, bytes, &val), BUS_OK);
	return val;
}

void
fake_out(struct vcpu *vcpu, uint16_t port, unsigned int bytes, uint32_t val)
{
	assert_int_equal(bus_pio(vcpu, false, port, bytes, &val), BUS_OK);
}

uint64_t
fake_mmio_read(struct vcpu *vcpu, uint64_t gpa, unsigned int bytes)
{
	uint64_t val = 0xdeadbeefdeadbeef;

	bus_mmio(vcpu, false, gpa, bytes, &val);
	return val;
}

void
fake_mmio_write(
    struct vcpu *vcpu, uint64_t gpa, unsigned int bytes, uint64_t val)
{
	bus_mmio(vcpu, true, gpa, bytes, &val);
}

uint64_t
fake_rdmsr(struct vcpu *vcpu, uint32_t msr)
{
	uint64_t val = 0xdeadbeefdeadbeef;

	assert_int_equal(bus_rdmsr(vcpu, msr, &val), MSR_OK);
	return val;
}

void
fake_wrmsr(struct vcpu *vcpu, uint32_t msr, uint64_t val)
{
	assert_int_equal(bus_wrmsr(vcpu, msr, val), MSR_OK);
}

bool
fake_rdmsr_gp(struct vcpu *vcpu, uint32_t msr)
{
	uint64_t val;

	return bus_rdmsr(vcpu, msr, &val) == MSR_GP;
}

bool
fake_wrmsr_gp(struct vcpu *vcpu, uint32_t msr, uint64_t val)
{
	return bus_wrmsr(vcpu, msr, val) == MSR_GP;
}

/* --- interrupts ------------------------------------------------------- */

int
fake_pending(struct vcpu *vcpu)
{
	void *apic;
	const struct vcpu_intr_ops *ops = vcpu_intr(vcpu, &apic);

	return ops->pending(apic);
}

int
fake_accept(struct vcpu *vcpu)
{
	void *apic;
	const struct vcpu_intr_ops *ops = vcpu_intr(vcpu, &apic);

	return ops->accept(apic);
}

uint32_t
fake_events(struct vcpu *vcpu)
{
	return vcpu_take(vcpu, UINT32_MAX);
}

uint64_t
fake_stat(struct vcpu *vcpu, enum vm_stat stat)
{
	return vcpu_stats(vcpu)[stat];
}

/* --- snapshots -------------------------------------------------------- */

struct snap *
fake_save(struct vmctx *ctx)
{
	struct snap *s = snap_create_save();

	assert_int_equal(chips_snapshot(ctx, s), 0);
	return s;
}

static int
fake_load_bytes(struct vmctx *ctx, const void *data, size_t len)
{
	struct snap *s = snap_create_load(data, len);
	int err = chips_snapshot(ctx, s);

	snap_destroy(s);
	return err;
}

int
fake_load(struct vmctx *ctx, const struct snap *saved)
{
	size_t len;
	const void *data = snap_data(saved, &len);

	return fake_load_bytes(ctx, data, len);
}

int
fake_load_patched(
    struct vmctx *ctx, const struct snap *saved, size_t off, uint8_t byte)
{
	size_t len;
	const void *data = snap_data(saved, &len);
	uint8_t *copy = malloc(len);
	int err;

	assert_non_null(copy);
	assert_true(off < len);
	memcpy(copy, data, len);
	copy[off] = byte;
	err = fake_load_bytes(ctx, copy, len);
	free(copy);
	return err;
}

bool
fake_same(const struct snap *a, const struct snap *b)
{
	size_t alen, blen;
	const void *ap = snap_data(a, &alen), *bp = snap_data(b, &blen);

	return alen == blen && memcmp(ap, bp, alen) == 0;
}
