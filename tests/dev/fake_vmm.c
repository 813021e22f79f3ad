/* SPDX-License-Identifier: BSD-2-Clause */
/* fake_vmm.c - see fake_vmm.h. */
#include "fake_vmm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vmm/debug.h>

#include <util/util.h>

/* --- an engine that runs nothing -------------------------------------- */

static int
fake_probe(char *why, size_t why_len)
{
	return 0;
}

static int
fake_vm_op(struct vmctx *ctx)
{
	return 0;
}

static void
fake_vm_destroy(struct vmctx *ctx)
{
}

static void
fake_mem_written(struct vmctx *ctx, uint64_t gpa, size_t len)
{
}

static int
fake_vcpu_op(struct vcpu *vcpu)
{
	return 0;
}

static void
fake_vcpu_void(struct vcpu *vcpu)
{
}

static int
fake_run(struct vcpu *vcpu, struct vm_exit *x)
{
	return -ENOTSUP;
}

static int
fake_get_reg(struct vcpu *vcpu, enum vm_reg_name reg, uint64_t *ret_val)
{
	return -ENOTSUP;
}

static int
fake_set_reg(struct vcpu *vcpu, enum vm_reg_name reg, uint64_t val)
{
	return -ENOTSUP;
}

static int
fake_get_desc(struct vcpu *vcpu, enum vm_reg_name reg, struct seg_desc *ret)
{
	return -ENOTSUP;
}

static int
fake_set_desc(
    struct vcpu *vcpu, enum vm_reg_name reg, const struct seg_desc *desc)
{
	return -ENOTSUP;
}

static int
fake_get_cap(struct vcpu *vcpu, enum vm_cap_type cap, int *ret_val)
{
	return -ENOTSUP;
}

static int
fake_set_cap(struct vcpu *vcpu, enum vm_cap_type cap, int val)
{
	return -ENOTSUP;
}

static int
fake_inject(struct vcpu *vcpu, int vector, bool has_errcode, uint32_t errcode,
    bool restart)
{
	return -ENOTSUP;
}

static int
fake_gla2gpa(struct vcpu *vcpu, uint64_t gla, uint64_t *ret_gpa)
{
	return -ENOTSUP;
}

static int
fake_set_debug(
    struct vcpu *vcpu, const struct vm_debug_point *points, unsigned int n)
{
	return 0;
}

static int
fake_get_xsave(struct vcpu *vcpu, uint8_t *buf)
{
	memset(buf, 0, VM_XSAVE_BYTES);
	return 0;
}

static int
fake_set_xsave(struct vcpu *vcpu, const uint8_t *buf)
{
	return 0;
}

const struct vm_engine_ops fake_engine = {
	.name = "fake",
	.summary = "runs nothing",
	.probe = fake_probe,
	.vm_create = fake_vm_op,
	.vm_destroy = fake_vm_destroy,
	.mem_setup = fake_vm_op,
	.mem_written = fake_mem_written,
	.vcpu_create = fake_vcpu_op,
	.vcpu_destroy = fake_vcpu_void,
	.vcpu_reset = fake_vcpu_op,
	.vcpu_run = fake_run,
	.vcpu_kick = fake_vcpu_void,
	.get_reg = fake_get_reg,
	.set_reg = fake_set_reg,
	.get_desc = fake_get_desc,
	.set_desc = fake_set_desc,
	.get_cap = fake_get_cap,
	.set_cap = fake_set_cap,
	.inject = fake_inject,
	.restart_insn = fake_vcpu_op,
	.gla2gpa = fake_gla2gpa,
	.set_debug = fake_set_debug,
	.get_xsave = fake_get_xsave,
	.set_xsave = fake_set_xsave,
};

/* --- machines --------------------------------------------------------- */

struct vmctx *
fake_vm_new(unsigned int ncpus)
{
	struct vm_topology t = { (uint16_t)ncpus, (uint16_t)ncpus, 1, 1 };
	struct vmctx *ctx;

	assert_int_equal(vm_new("fake", &fake_engine, &ctx), 0);
	vm_clock_manual(ctx);
	/* Far from 0, so that what begins at "now" differs from 0. */
	vm_clock_advance(ctx, 1000 * FAKE_MS - vm_clock_ns(ctx));
	assert_int_equal(vm_set_topology(ctx, &t), 0);
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
