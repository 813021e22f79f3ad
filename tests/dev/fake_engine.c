/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An engine that runs nothing (see fake_engine.h): every operation that must
 * succeed for a machine to exist does, every other says -ENOTSUP.
 */
#include "fake_engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vmm/debug.h>

static int
fake_probe(char *why, size_t why_len)
{
	snprintf(why, why_len, "always");
	return 0;
}

static int
fake_vm_ok(struct vmctx *ctx)
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
fake_vcpu_ok(struct vcpu *vcpu)
{
	return 0;
}

static void
fake_vcpu_nothing(struct vcpu *vcpu)
{
}

static int
fake_vcpu_run(struct vcpu *vcpu, struct vm_exit *vme)
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

struct fake_ioevents fake_ioevents = { .err = -ENOTSUP };

static bool
same_place(const struct vm_ioevent *a, const struct vm_ioevent *b)
{
	return a->pio == b->pio && a->addr == b->addr && a->len == b->len &&
	       a->match == b->match && (!a->match || a->data == b->data);
}

/* As KVM: the same one twice is -EEXIST, one that is not there -ENOENT. */
static int
fake_ioevent_set(struct vmctx *ctx, const struct vm_ioevent *ev, bool on)
{
	struct fake_ioevents *f = &fake_ioevents;
	unsigned int i = 0;

	f->asked += on;
	if (f->err != 0)
		return f->err;
	while (i < f->n && !same_place(&f->ev[i], ev))
		i++;
	if (on != (i == f->n))
		return on ? -EEXIST : -ENOENT;
	if (!on) {
		if (f->ev[i].fd != ev->fd)
			return -ENOENT;
		f->ev[i] = f->ev[--f->n];
	} else if (f->n == FAKE_IOEVENTS) {
		return -ENOSPC;
	} else {
		f->ev[f->n++] = *ev;
	}
	return 0;
}

bool
fake_ioevent_write(bool pio, uint64_t addr, unsigned int bytes, uint32_t val)
{
	const uint64_t one = 1;

	for (unsigned int i = 0; i < fake_ioevents.n; i++) {
		const struct vm_ioevent *ev = &fake_ioevents.ev[i];

		if (ev->pio == pio && ev->addr == addr &&
		    (ev->len == 0 || ev->len == bytes) &&
		    (!ev->match || ev->data == val))
			return write(ev->fd, &one, sizeof(one)) == sizeof(one);
	}
	return false;
}

const struct vm_engine_ops fake_engine_ops = {
	.name = "fake",
	.summary = "runs nothing",
	.probe = fake_probe,
	.vm_create = fake_vm_ok,
	.vm_destroy = fake_vm_destroy,
	.mem_setup = fake_vm_ok,
	.mem_written = fake_mem_written,
	.vcpu_create = fake_vcpu_ok,
	.vcpu_destroy = fake_vcpu_nothing,
	.vcpu_reset = fake_vcpu_ok,
	.vcpu_run = fake_vcpu_run,
	.vcpu_kick = fake_vcpu_nothing,
	.get_reg = fake_get_reg,
	.set_reg = fake_set_reg,
	.get_desc = fake_get_desc,
	.set_desc = fake_set_desc,
	.get_cap = fake_get_cap,
	.set_cap = fake_set_cap,
	.inject = fake_inject,
	.restart_insn = fake_vcpu_ok,
	.gla2gpa = fake_gla2gpa,
	.set_debug = fake_set_debug,
	.get_xsave = fake_get_xsave,
	.set_xsave = fake_set_xsave,
	.ioevent_set = fake_ioevent_set,
};
