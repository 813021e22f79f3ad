/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * regs.c - libvmmapi's calls that an engine answers: registers, capabilities,
 * address translation.
 *
 * An engine may be asked only by the vCPU's own thread or while the vCPU does
 * not run (vmm/engine.h); others get EBUSY here.
 */
#include "vm_priv.h"

#include <errno.h>

static const char *const cap_name_table[VM_CAP_MAX] = {
	[VM_CAP_HALT_EXIT] = "hlt_exit",
	[VM_CAP_MTRAP_EXIT] = "mtrap_exit",
	[VM_CAP_PAUSE_EXIT] = "pause_exit",
	[VM_CAP_UNRESTRICTED_GUEST] = "unrestricted_guest",
	[VM_CAP_ENABLE_INVPCID] = "enable_invpcid",
	[VM_CAP_BPT_EXIT] = "bpt_exit",
	[VM_CAP_MASK_HWINTR] = "mask_hwintr",
};

int
vcpu_check(struct vcpu *vcpu)
{
	if (__atomic_load_n(&vcpu->running, __ATOMIC_SEQ_CST) != 0 &&
	    vcpu_current() != vcpu)
		return -EBUSY;
	return 0;
}

static int
reg_check(struct vcpu *vcpu, int reg)
{
	return reg < 0 || reg >= VM_REG_LAST ? -EINVAL : vcpu_check(vcpu);
}

static bool
reg_has_desc(int reg)
{
	return reg >= VM_REG_GUEST_ES && reg <= VM_REG_GUEST_GDTR;
}

int
vm_set_register(struct vcpu *vcpu, int reg, uint64_t val)
{
	int err = reg_check(vcpu, reg);

	if (err == 0)
		err = vcpu->ctx->engine->set_reg(
		    vcpu, (enum vm_reg_name)reg, val);
	return vm_api_result(err);
}

int
vm_get_register(struct vcpu *vcpu, int reg, uint64_t *ret_val)
{
	int err = reg_check(vcpu, reg);

	if (err == 0)
		err = vcpu->ctx->engine->get_reg(
		    vcpu, (enum vm_reg_name)reg, ret_val);
	return vm_api_result(err);
}

int
vm_set_register_set(struct vcpu *vcpu, unsigned int count, const int *regs,
    const uint64_t *vals)
{
	for (unsigned int i = 0; i < count; i++)
		if (vm_set_register(vcpu, regs[i], vals[i]) != 0)
			return -1;
	return 0;
}

int
vm_get_register_set(
    struct vcpu *vcpu, unsigned int count, const int *regs, uint64_t *ret_vals)
{
	for (unsigned int i = 0; i < count; i++)
		if (vm_get_register(vcpu, regs[i], &ret_vals[i]) != 0)
			return -1;
	return 0;
}

int
vm_set_desc(
    struct vcpu *vcpu, int reg, uint64_t base, uint32_t limit, uint32_t access)
{
	const struct seg_desc desc = { base, limit, access };
	int err = reg_has_desc(reg) ? vcpu_check(vcpu) : -EINVAL;

	if (err == 0)
		err = vcpu->ctx->engine->set_desc(
		    vcpu, (enum vm_reg_name)reg, &desc);
	return vm_api_result(err);
}

int
vm_get_desc(struct vcpu *vcpu, int reg, uint64_t *base, uint32_t *limit,
    uint32_t *access)
{
	struct seg_desc desc;
	int err = reg_has_desc(reg) ? vcpu_check(vcpu) : -EINVAL;

	if (err == 0)
		err = vcpu->ctx->engine->get_desc(
		    vcpu, (enum vm_reg_name)reg, &desc);
	if (err != 0)
		return vm_api_result(err);
	*base = desc.base;
	*limit = desc.limit;
	*access = desc.access;
	return 0;
}

int
vm_get_seg_desc(struct vcpu *vcpu, int reg, struct seg_desc *ret_desc)
{
	return vm_get_desc(
	    vcpu, reg, &ret_desc->base, &ret_desc->limit, &ret_desc->access);
}

int
vcpu_reset(struct vcpu *vcpu)
{
	int err = vcpu_check(vcpu);

	if (err == 0)
		err = vcpu->ctx->engine->vcpu_reset(vcpu);
	return vm_api_result(err);
}

int
vm_set_capability(struct vcpu *vcpu, enum vm_cap_type cap, int val)
{
	int err = (unsigned int)cap < VM_CAP_MAX ? vcpu_check(vcpu) : -EINVAL;

	if (err == 0)
		err = vcpu->ctx->engine->set_cap(vcpu, cap, val);
	return vm_api_result(err);
}

int
vm_get_capability(struct vcpu *vcpu, enum vm_cap_type cap, int *ret_val)
{
	int err = (unsigned int)cap < VM_CAP_MAX ? vcpu_check(vcpu) : -EINVAL;

	if (err == 0)
		err = vcpu->ctx->engine->get_cap(vcpu, cap, ret_val);
	return vm_api_result(err);
}

int
vm_capability_name2type(const char *name)
{
	for (int i = 0; i < VM_CAP_MAX; i++)
		if (strcmp(cap_name_table[i], name) == 0)
			return i;
	return -1;
}

const char *
vm_capability_type2name(int type)
{
	return type >= 0 && type < VM_CAP_MAX ? cap_name_table[type] : NULL;
}

int
vm_set_x2apic_state(struct vcpu *vcpu, enum x2apic_state state)
{
	if ((unsigned int)state >= X2APIC_STATE_LAST)
		return vm_api_result(-EINVAL);
	if (vcpu->ctx->irq.ops != NULL) /* too late */
		return vm_api_result(-EBUSY);
	vcpu->x2apic = state;
	return 0;
}

int
vm_get_x2apic_state(struct vcpu *vcpu, enum x2apic_state *ret_state)
{
	*ret_state = vcpu->x2apic;
	return 0;
}

int
vm_gla2gpa_nofault(struct vcpu *vcpu, uint64_t gla, uint64_t *ret_gpa)
{
	int err = vcpu_check(vcpu);

	if (err == 0)
		err = vcpu->ctx->engine->gla2gpa(vcpu, gla, ret_gpa);
	return vm_api_result(err);
}
