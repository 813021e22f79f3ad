/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inject.c - libvmmapi's ways to make a processor take an exception.
 *
 * Runs in the vCPU's own thread or while it does not run, as regs.c.
 */
#include "vm_priv.h"

#include <errno.h>

#include <vmm/exception.h>

#define INTINFO_KNOWN 0xffffffff80000fffull

int
vm_inject_exception(struct vcpu *vcpu, int vector, bool has_errcode,
    uint32_t errcode, bool restart_instruction)
{
	bool restart;
	int err = vector < 0 || vector >= 32 ? -EINVAL : vcpu_check(vcpu);

	if (err != 0)
		return vm_api_result(err);
	restart = restart_instruction && !vcpu->restarted;
	err = vcpu->ctx->engine->inject(
	    vcpu, vector, has_errcode, errcode, restart);
	if (err == 0)
		vcpu->restarted |= restart;
	return vm_api_result(err);
}

int
vm_inject_exception2(struct vcpu *vcpu, int vector, uint32_t errcode)
{
	return vm_inject_exception(vcpu, vector, true, errcode, false);
}

int
vm_inject_fault(
    struct vcpu *vcpu, int vector, bool has_errcode, uint32_t errcode)
{
	return vm_inject_exception(vcpu, vector, has_errcode, errcode, true);
}

int
vm_inject_ud(struct vcpu *vcpu)
{
	return vm_inject_fault(vcpu, EXC_UD, false, 0);
}

int
vm_inject_gp(struct vcpu *vcpu)
{
	return vm_inject_fault(vcpu, EXC_GP, true, 0);
}

int
vm_inject_ss(struct vcpu *vcpu, uint32_t errcode)
{
	return vm_inject_fault(vcpu, EXC_SS, true, errcode);
}

int
vm_inject_ac(struct vcpu *vcpu, uint32_t errcode)
{
	return vm_inject_fault(vcpu, EXC_AC, true, errcode);
}

int
vm_inject_pf(struct vcpu *vcpu, uint32_t errcode, uint64_t cr2)
{
	uint64_t old;
	int err;

	/* CR2 first: an engine takes it from there. */
	if (vm_get_register(vcpu, VM_REG_GUEST_CR2, &old) != 0 ||
	    vm_set_register(vcpu, VM_REG_GUEST_CR2, cr2) != 0)
		return -1;
	if (vm_inject_fault(vcpu, EXC_PF, true, errcode) == 0)
		return 0;
	err = -errno;
	(void)vm_set_register(vcpu, VM_REG_GUEST_CR2, old);
	return vm_api_result(err);
}

/* Once per exit: going back twice would start before the instruction. */
int
vm_restart_instruction(struct vcpu *vcpu)
{
	int err = vcpu_check(vcpu);

	if (err == 0 && !vcpu->restarted)
		err = vcpu->ctx->engine->restart_insn(vcpu);
	if (err == 0)
		vcpu->restarted = true;
	return vm_api_result(err);
}

/* --- events in VMX format ------------------------------------------------ */

static bool
intinfo_ok(uint64_t info)
{
	int vector = VM_INTINFO_VECTOR(info);
	bool has_errcode = (info & VM_INTINFO_DEL_ERRCODE) != 0;

	if (info == 0)
		return true;
	if ((info & VM_INTINFO_VALID) == 0 || (info & ~INTINFO_KNOWN) != 0 ||
	    (!has_errcode && info >> 32 != 0))
		return false;
	switch (info & VM_INTINFO_TYPE) {
	case VM_INTINFO_HWINTR:
	case VM_INTINFO_SWINTR:
		return !has_errcode;
	case VM_INTINFO_NMI:
		return vector == EXC_NMI && !has_errcode;
	case VM_INTINFO_HWEXCEPTION:
		return vector < 32 && vector != EXC_NMI;
	default:
		return false;
	}
}

int
vm_set_intinfo(struct vcpu *vcpu, uint64_t info)
{
	int err = intinfo_ok(info) ? vcpu_check(vcpu) : -EINVAL;

	if (err == 0)
		err = vcpu->ctx->engine->set_intinfo == NULL
			  ? -ENOTSUP
			  : vcpu->ctx->engine->set_intinfo(vcpu, info);
	return vm_api_result(err);
}

int
vm_get_intinfo(struct vcpu *vcpu, uint64_t *ret_info1, uint64_t *ret_info2)
{
	int err = vcpu_check(vcpu);

	if (err == 0)
		err = vcpu->ctx->engine->get_intinfo == NULL
			  ? -ENOTSUP
			  : vcpu->ctx->engine->get_intinfo(
				vcpu, ret_info1, ret_info2);
	return vm_api_result(err);
}
