/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine.c - the software CPU as an engine (vmm/engine.h).  Ordinary C.
 */
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmm/debug.h>
#include <vmm/engine.h>

#include "cache.h"
#include "fpu.h"
#include "make.h"
#include "mmu.h"
#include "smc.h"
#include "sys.h"

static struct soft_cpu *
soft(struct vcpu *vcpu)
{
	return vcpu_engine_state(vcpu);
}

static int
soft_probe(char *why, size_t why_len)
{
	(void)snprintf(why, why_len, "the software CPU");
	return 0;
}

static int
soft_vm_create(struct vmctx *ctx)
{
	struct soft_vm *vm = calloc(1, sizeof(*vm));
	int err;

	if (vm == NULL)
		return -ENOMEM;
	err = soft_vm_init(vm, ctx);
	if (err != 0) {
		free(vm);
		return err;
	}
	vm_set_engine_state(ctx, vm);
	vm_set_cpu_vendor(ctx, VM_CPU_AMD);
	return 0;
}

static void
soft_vm_destroy(struct vmctx *ctx)
{
	struct soft_vm *vm = vm_engine_state(ctx);

	if (vm == NULL)
		return;
	soft_vm_fini(vm);
	free(vm);
	vm_set_engine_state(ctx, NULL);
}

static int
soft_mem_setup(struct vmctx *ctx)
{
	struct soft_vm *vm = vm_engine_state(ctx);

	vm->ram = vm_ram(ctx);
	return smc_create(vm);
}

static void
soft_mem_written(struct vmctx *ctx, uint64_t gpa, size_t len)
{
	struct soft_vm *vm = vm_engine_state(ctx);
	uint64_t off = vm_ram_offset(vm->ram, gpa);

	if (off != UINT64_MAX && vm->smc != NULL)
		smc_wrote(vm, NULL, off, len);
}

/* --- vCPUs
 * ---------------------------------------------------------------------- */

static int
soft_vcpu_create(struct vcpu *vcpu)
{
	struct soft_vm *vm = vm_engine_state(vcpu_vm(vcpu));
	struct soft_cpu *c;
	int err =
	    soft_cpu_create(vm, vcpu, vcpu_events(vcpu), vcpu_stats(vcpu), &c);

	if (err == 0)
		vcpu_set_engine_state(vcpu, c);
	return err;
}

static void
soft_vcpu_destroy(struct vcpu *vcpu)
{
	soft_cpu_destroy(soft(vcpu));
	vcpu_set_engine_state(vcpu, NULL);
}

static int
soft_vcpu_reset(struct vcpu *vcpu)
{
	struct soft_cpu *c = soft(vcpu);

	c->exc.pending = false;
	c->nmi_pending = c->halted = c->wait_sipi = false;
	cpu_reset(c, false);
	cache_flush(c);
	return 0;
}

static int
soft_vcpu_run(struct vcpu *vcpu, struct vm_exit *exit)
{
	struct soft_cpu *c = soft(vcpu);

	c->ram = c->vm->ram;
	soft_run(c);
	*exit = c->exit;
	/* The caller finished the instruction, or asks for a restart. */
	c->rip = c->exit_next_rip;
	return 0;
}

/* The event word is polled at every block. */
static void
soft_vcpu_kick(struct vcpu *vcpu)
{
	(void)vcpu;
}

static int
soft_get_reg_op(struct vcpu *vcpu, enum vm_reg_name reg, uint64_t *ret_val)
{
	return soft_get_reg(soft(vcpu), reg, ret_val);
}

static int
soft_set_reg_op(struct vcpu *vcpu, enum vm_reg_name reg, uint64_t val)
{
	return soft_set_reg(soft(vcpu), reg, val);
}

static int
soft_get_desc_op(struct vcpu *vcpu, enum vm_reg_name reg, struct seg_desc *ret)
{
	return soft_get_desc(soft(vcpu), reg, ret);
}

static int
soft_set_desc_op(
    struct vcpu *vcpu, enum vm_reg_name reg, const struct seg_desc *d)
{
	return soft_set_desc(soft(vcpu), reg, d);
}

static int
soft_get_cap(struct vcpu *vcpu, enum vm_cap_type cap, int *ret_val)
{
	switch (cap) {
	case VM_CAP_HALT_EXIT:
	case VM_CAP_MTRAP_EXIT:
	case VM_CAP_PAUSE_EXIT:
	case VM_CAP_BPT_EXIT:
	case VM_CAP_MASK_HWINTR:
		*ret_val = soft(vcpu)->cap[cap];
		return 0;
	case VM_CAP_UNRESTRICTED_GUEST:
	case VM_CAP_ENABLE_INVPCID:
		*ret_val = 1; /* always on */
		return 0;
	default:
		return -ENOTSUP;
	}
}

static int
soft_set_cap(struct vcpu *vcpu, enum vm_cap_type cap, int val)
{
	switch (cap) {
	case VM_CAP_HALT_EXIT:
	case VM_CAP_MTRAP_EXIT:
	case VM_CAP_PAUSE_EXIT:
	case VM_CAP_BPT_EXIT:
	case VM_CAP_MASK_HWINTR:
		soft(vcpu)->cap[cap] = val != 0;
		cpu_update_mode(soft(vcpu));
		return 0;
	case VM_CAP_UNRESTRICTED_GUEST:
	case VM_CAP_ENABLE_INVPCID:
		return val != 0 ? 0 : -ENOTSUP;
	default:
		return -ENOTSUP;
	}
}

static int
soft_restart_insn(struct vcpu *vcpu)
{
	struct soft_cpu *c = soft(vcpu);

	c->rip = c->exit.rip;
	return 0;
}

static int
soft_inject(struct vcpu *vcpu, int vector, bool has_errcode, uint32_t errcode,
    bool restart)
{
	struct soft_cpu *c = soft(vcpu);

	if (c->exc.pending)
		return -EBUSY;
	if (restart)
		c->rip = c->exit.rip;
	c->halted = false;
	c->exc = (struct soft_exc){ .pending = true,
		.has_err = has_errcode,
		.vector = (uint8_t)vector,
		.err = errcode,
		.cr2 = c->cr2 };
	return 0;
}

static int
soft_set_intinfo(struct vcpu *vcpu, uint64_t info)
{
	soft(vcpu)->reinject = info;
	return 0;
}

static int
soft_get_intinfo(struct vcpu *vcpu, uint64_t *ret_info1, uint64_t *ret_info2)
{
	const struct soft_cpu *c = soft(vcpu);
	const struct soft_exc *e = &c->exc;

	*ret_info1 = c->reinject;
	*ret_info2 = 0;
	if (e->pending)
		*ret_info2 =
		    VM_INTINFO_VALID | e->vector |
		    (e->soft ? VM_INTINFO_SWINTR : VM_INTINFO_HWEXCEPTION) |
		    (e->has_err
			    ? VM_INTINFO_DEL_ERRCODE | (uint64_t)e->err << 32
			    : 0);
	else if (c->nmi_pending)
		*ret_info2 = VM_INTINFO_VALID | VM_INTINFO_NMI | EXC_NMI;
	return 0;
}

static int
soft_gla2gpa(struct vcpu *vcpu, uint64_t gla, uint64_t *ret_gpa)
{
	return mmu_translate_debug(soft(vcpu), gla, ret_gpa) ? 0 : -EFAULT;
}

static int
soft_set_debug(
    struct vcpu *vcpu, const struct vm_debug_point *points, unsigned int n)
{
	return cpu_set_debug(soft(vcpu), points, n);
}

/* Offsets in an XSAVE area, SDM 1 13.4. */
#define XSAVE_MXCSR  24u
#define XSAVE_HEADER 512u
#define XSAVE_YMM    576u
#define MXCSR_MASK   0xffffu

static_assert(XSAVE_AREA_MAX >= VM_XSAVE_BYTES, "all of it is there");

/* The vCPU does not run, so its vector state is parked. */
static int
soft_get_xsave(struct vcpu *vcpu, uint8_t *buf)
{
	memcpy(buf, soft(vcpu)->xsave, VM_XSAVE_BYTES);
	return 0;
}

/* All but the header, the x87 pointers and what would fault on loading. */
static int
soft_set_xsave(struct vcpu *vcpu, const uint8_t *buf)
{
	uint8_t *x = soft(vcpu)->xsave;
	uint32_t mxcsr = get_le32(buf + XSAVE_MXCSR) & MXCSR_MASK;

	memcpy(x, buf, 8);
	put_le32(x + XSAVE_MXCSR, mxcsr);
	memcpy(x + XSAVE_MXCSR + 8, buf + XSAVE_MXCSR + 8,
	    XSAVE_HEADER - XSAVE_MXCSR - 8);
	memcpy(x + XSAVE_YMM, buf + XSAVE_YMM, VM_XSAVE_BYTES - XSAVE_YMM);
	put_le64(x + XSAVE_HEADER,
	    get_le64(x + XSAVE_HEADER) | fpu_xcr0_supported());
	return 0;
}

extern const struct vm_engine_ops soft_engine_ops;
const struct vm_engine_ops soft_engine_ops = {
	.name = "soft",
	.summary = "software x86-64 CPU, works on any x86-64 Linux",
	.probe = soft_probe,
	.vm_create = soft_vm_create,
	.vm_destroy = soft_vm_destroy,
	.mem_setup = soft_mem_setup,
	.mem_written = soft_mem_written,
	.vcpu_create = soft_vcpu_create,
	.vcpu_destroy = soft_vcpu_destroy,
	.vcpu_reset = soft_vcpu_reset,
	.vcpu_run = soft_vcpu_run,
	.vcpu_kick = soft_vcpu_kick,
	.get_reg = soft_get_reg_op,
	.set_reg = soft_set_reg_op,
	.get_desc = soft_get_desc_op,
	.set_desc = soft_set_desc_op,
	.get_cap = soft_get_cap,
	.set_cap = soft_set_cap,
	.inject = soft_inject,
	.restart_insn = soft_restart_insn,
	.gla2gpa = soft_gla2gpa,
	.set_debug = soft_set_debug,
	.get_xsave = soft_get_xsave,
	.set_xsave = soft_set_xsave,
	.set_intinfo = soft_set_intinfo,
	.get_intinfo = soft_get_intinfo,
};
