/* SPDX-License-Identifier: BSD-2-Clause */
/* fake_engine.c - see fake_engine.h. */
#include "fake_engine.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include <vmm/debug.h>

unsigned int fake_vms_alive;

struct fake_vm *
fake_vm(struct vmctx *ctx)
{
	return vm_engine_state(ctx);
}

struct fake_vcpu *
fake_vcpu(struct vcpu *vcpu)
{
	return vcpu_engine_state(vcpu);
}

bool
fake_take_stop(struct vcpu *vcpu, struct vm_exit *x)
{
	if (vcpu_take(vcpu, VCPU_EV_STOP) == 0)
		return false;
	x->exitcode = VM_EXITCODE_BOGUS;
	if (vm_suspended(vcpu_vm(vcpu)) != VM_SUSPEND_NONE) {
		x->exitcode = VM_EXITCODE_SUSPENDED;
		x->u.suspended.how = vm_suspended(vcpu_vm(vcpu));
	}
	return true;
}

int
fake_idle(struct vcpu *vcpu, struct vm_exit *x)
{
	while (!fake_take_stop(vcpu, x)) {
		vcpu_sleep_halted(vcpu, true);
		vcpu_take(vcpu, ~(uint32_t)VCPU_EV_STOP);
	}
	return 0;
}

static int
fake_probe(char *why, size_t why_len)
{
	return 0;
}

static int
fake_create(struct vmctx *ctx)
{
	struct fake_vm *f = xcalloc(1, sizeof(*f));

	f->guest = fake_idle;
	vm_set_engine_state(ctx, f);
	fake_vms_alive++;
	return 0;
}

static int
fake_create_fails(struct vmctx *ctx)
{
	return -ENODEV;
}

static void
fake_destroy(struct vmctx *ctx)
{
	assert(fake_vm(ctx)->vcpus_alive == 0);
	free(fake_vm(ctx));
	fake_vms_alive--;
}

static int
fake_mem_setup(struct vmctx *ctx)
{
	return fake_vm(ctx)->mem_setup_err;
}

static void
fake_mem_written(struct vmctx *ctx, uint64_t gpa, size_t len)
{
	fake_vm(ctx)->written_gpa = gpa;
	fake_vm(ctx)->written_len = len;
}

static int
fake_vcpu_create(struct vcpu *vcpu)
{
	vcpu_set_engine_state(vcpu, xcalloc(1, sizeof(struct fake_vcpu)));
	fake_vm(vcpu_vm(vcpu))->vcpus_alive++;
	return 0;
}

static void
fake_vcpu_destroy(struct vcpu *vcpu)
{
	free(fake_vcpu(vcpu));
	fake_vm(vcpu_vm(vcpu))->vcpus_alive--;
}

static int
fake_vcpu_reset(struct vcpu *vcpu)
{
	struct fake_vcpu *v = fake_vcpu(vcpu);

	v->resets++;
	v->reg[VM_REG_GUEST_RIP] = 0xfff0;
	return 0;
}

static int
fake_vcpu_run(struct vcpu *vcpu, struct vm_exit *x)
{
	fake_vcpu(vcpu)->runs++;
	return fake_vm(vcpu_vm(vcpu))->guest(vcpu, x);
}

static void
fake_vcpu_kick(struct vcpu *vcpu)
{
	fake_vcpu(vcpu)->kicks++;
}

static int
fake_get_reg(struct vcpu *vcpu, enum vm_reg_name reg, uint64_t *ret_val)
{
	*ret_val = fake_vcpu(vcpu)->reg[reg];
	return 0;
}

static int
fake_set_reg(struct vcpu *vcpu, enum vm_reg_name reg, uint64_t val)
{
	fake_vcpu(vcpu)->reg[reg] = val;
	return 0;
}

static int
fake_get_desc(struct vcpu *vcpu, enum vm_reg_name reg, struct seg_desc *ret)
{
	*ret = fake_vcpu(vcpu)->desc[reg];
	return 0;
}

static int
fake_set_desc(
    struct vcpu *vcpu, enum vm_reg_name reg, const struct seg_desc *desc)
{
	fake_vcpu(vcpu)->desc[reg] = *desc;
	return 0;
}

static int
fake_get_cap(struct vcpu *vcpu, enum vm_cap_type cap, int *ret_val)
{
	*ret_val = fake_vcpu(vcpu)->cap[cap];
	return 0;
}

/* PAUSE exits stand for what an engine cannot do. */
static int
fake_set_cap(struct vcpu *vcpu, enum vm_cap_type cap, int val)
{
	if (cap == VM_CAP_PAUSE_EXIT)
		return -ENOTSUP;
	fake_vcpu(vcpu)->cap[cap] = val;
	return 0;
}

static int
fake_inject(struct vcpu *vcpu, int vector, bool has_errcode, uint32_t errcode,
    bool restart)
{
	struct fake_vcpu *v = fake_vcpu(vcpu);

	if (v->inject_err != 0)
		return v->inject_err;
	v->inject_vector = vector;
	v->inject_restart = restart;
	v->inject_has_errcode = has_errcode;
	v->inject_errcode = errcode;
	return 0;
}

static int
fake_restart_insn(struct vcpu *vcpu)
{
	fake_vcpu(vcpu)->restarts++;
	return 0;
}

/* Linear addresses below 1 GiB are mapped one to one. */
static int
fake_gla2gpa(struct vcpu *vcpu, uint64_t gla, uint64_t *ret_gpa)
{
	if (gla >= 1u << 30)
		return -EFAULT;
	*ret_gpa = gla;
	return 0;
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

static int
fake_set_intinfo(struct vcpu *vcpu, uint64_t info)
{
	fake_vcpu(vcpu)->intinfo = info;
	return 0;
}

static int
fake_get_intinfo(struct vcpu *vcpu, uint64_t *ret_info1, uint64_t *ret_info2)
{
	*ret_info1 = fake_vcpu(vcpu)->intinfo;
	*ret_info2 = 0;
	return 0;
}

static void
fake_posted_set(
    struct vmctx *ctx, bool pio, uint64_t addr, uint64_t len, bool on)
{
	struct fake_vm *f = fake_vm(ctx);

	f->posted += on ? 1u : -1u;
	f->posted_pio = pio;
	f->posted_addr = addr;
	f->posted_len = len;
}

static int
fake_dirty_log(struct vmctx *ctx, bool on)
{
	if (fake_vm(ctx)->dirty_err == 0)
		fake_vm(ctx)->dirty_on = on;
	return fake_vm(ctx)->dirty_err;
}

static int
fake_dirty_fetch(struct vmctx *ctx, uint64_t *bits)
{
	bits[0] |= fake_vm(ctx)->dirty_word;
	fake_vm(ctx)->dirty_word = 0;
	return 0;
}

static uint64_t
fake_stats(struct vcpu *vcpu, uint64_t *val)
{
	const struct fake_vcpu *f = fake_vcpu(vcpu);

	for (unsigned int i = 0; i < VMSTAT_COUNT_; i++)
		if (f->stats_have & BIT64(i))
			val[i] = f->stat;
	return f->stats_have;
}

#define FAKE_OPS(name_, create)                                                \
	.name = name_, .summary = "for tests", .probe = fake_probe,            \
	.vm_create = create, .vm_destroy = fake_destroy,                       \
	.mem_setup = fake_mem_setup, .mem_written = fake_mem_written,          \
	.vcpu_create = fake_vcpu_create, .vcpu_destroy = fake_vcpu_destroy,    \
	.vcpu_reset = fake_vcpu_reset, .vcpu_run = fake_vcpu_run,              \
	.vcpu_kick = fake_vcpu_kick, .get_reg = fake_get_reg,                  \
	.set_reg = fake_set_reg, .get_desc = fake_get_desc,                    \
	.set_desc = fake_set_desc, .get_cap = fake_get_cap,                    \
	.set_cap = fake_set_cap, .inject = fake_inject,                        \
	.restart_insn = fake_restart_insn, .gla2gpa = fake_gla2gpa,            \
	.set_debug = fake_set_debug, .get_xsave = fake_get_xsave,              \
	.set_xsave = fake_set_xsave, .set_intinfo = fake_set_intinfo,          \
	.get_intinfo = fake_get_intinfo, .posted_set = fake_posted_set,        \
	.dirty_log = fake_dirty_log, .dirty_fetch = fake_dirty_fetch,          \
	.vcpu_stats = fake_stats

const struct vm_engine_ops fake_engine = { FAKE_OPS("fake", fake_create) };
const struct vm_engine_ops fake_engine_broken = { FAKE_OPS(
    "broken", fake_create_fails) };

static struct vmctx *
fake_vm_make(unsigned int ncpus, fake_guest guest, bool hlt_poll)
{
	uint16_t n = (uint16_t)ncpus;
	const struct vm_topology t = { n, n, 1, 1 };
	struct vmctx *ctx;

	if (vm_new("test", &fake_engine, &ctx) != 0 ||
	    vm_topology_set(ctx, &t) != 0 ||
	    vm_set_hlt_poll(ctx, hlt_poll) != 0)
		abort();
	if (guest != NULL)
		fake_vm(ctx)->guest = guest;
	for (unsigned int i = 0; i < ncpus; i++)
		if (vm_vcpu_open(ctx, (int)i) == NULL)
			abort();
	return ctx;
}

struct vmctx *
fake_vm_new(unsigned int ncpus, fake_guest guest)
{
	return fake_vm_make(ncpus, guest, false);
}

struct vmctx *
fake_vm_new_polling(unsigned int ncpus, fake_guest guest)
{
	return fake_vm_make(ncpus, guest, true);
}
