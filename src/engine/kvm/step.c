/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * step.c - an instruction that KVM's emulator does not know (the API's
 * KVM_EXIT_INTERNAL_ERROR): the software CPU executes it on the same state.
 *
 * On hardware that is an access to MMIO by an instruction the emulator lacks; a
 * KVM that emulates a guest's ring 0 comes here for CMPXCHG16B, XRSTOR, INT3
 * and others.  What the instruction did not change is not written back.
 * The kernel's local APIC and I/O APIC do not hear accesses made from here.
 */
#include "step.h"

#include <errno.h>
#include <stdlib.h>

#include <util/log.h>
#include <vmm/step.h>
#include <vmm/vm.h>

struct kvm_step {
	struct step_cpu *cpu;
	struct step_state before, after;
	struct kvm_xcrs xcrs;
	struct kvm_vcpu_events events;
	struct kvm_msrs *msrs;	/* STEP_NMSRS of them */
	struct kvm_xsave xsave; /* last: more may follow it */
};

static struct kvm_step *
step_of(struct kvm_cpu *k)
{
	if (k->step != NULL)
		return k->step;
	k->step = calloc(1, sizeof(*k->step));
	if (k->step == NULL)
		return NULL;
	k->step->msrs = kvm_msrs_alloc(STEP_NMSRS);
	if (k->step->msrs == NULL || step_create(k->vcpu, &k->step->cpu) != 0)
		kvm_step_free(k);
	return k->step;
}

void
kvm_step_free(struct kvm_cpu *k)
{
	if (k->step == NULL)
		return;
	step_destroy(k->step->cpu);
	free(k->step->msrs);
	free(k->step);
	k->step = NULL;
}

static bool
has_desc(unsigned int reg)
{
	return reg >= VM_REG_GUEST_ES && reg <= VM_REG_GUEST_GDTR;
}

/* --- state out of KVM ----------------------------------------------------- */

/*
 * Not the PAE pointers, which either CPU loads anew with CR3, and the
 * descriptor tables have no selector.
 */
static bool
has_value(unsigned int reg)
{
	return reg != VM_REG_GUEST_IDTR && reg != VM_REG_GUEST_GDTR &&
	       !kvm_is_pdpte(reg);
}

static int
fetch_registers(struct kvm_cpu *k, struct step_state *st)
{
	int err = 0;

	for (unsigned int r = 0; r < VM_REG_LAST && err == 0; r++) {
		st->reg[r] = 0;
		if (has_value(r))
			err = kvm_get_reg(
			    k->vcpu, (enum vm_reg_name)r, &st->reg[r]);
		if (err == 0 && has_desc(r))
			err = kvm_get_desc(
			    k->vcpu, (enum vm_reg_name)r, &st->desc[r]);
	}
	return err;
}

static int
fetch_msrs(struct kvm_cpu *k, struct step_state *st)
{
	struct kvm_step *s = k->step;
	int n;

	for (unsigned int i = 0; i < STEP_NMSRS; i++)
		s->msrs->entries[i].index = step_msr_table[i];
	n = kvm_ioctl(k->fd, KVM_GET_MSRS, s->msrs);
	if (n < 0)
		return n;
	for (unsigned int i = 0; i < STEP_NMSRS; i++)
		st->msr[i] = i < (unsigned int)n ? s->msrs->entries[i].data : 0;
	return 0;
}

static int
fetch(struct kvm_cpu *k, struct step_state *st)
{
	struct kvm_step *s = k->step;
	int err = fetch_registers(k, st);

	if (err == 0)
		err = fetch_msrs(k, st);
	if (err == 0)
		err = kvm_ioctl(k->fd, KVM_GET_XSAVE, &s->xsave);
	if (err >= 0)
		err = kvm_ioctl(k->fd, KVM_GET_XCRS, &s->xcrs);
	if (err >= 0)
		err = kvm_ioctl(k->fd, KVM_GET_VCPU_EVENTS, &s->events);
	if (err < 0)
		return err;
	memcpy(st->xsave, s->xsave.region, VM_XSAVE_BYTES);
	st->xcr0 = s->xcrs.xcrs[0].value;
	st->nmi_masked = s->events.nmi.masked != 0;
	return 0;
}

/* --- and back ------------------------------------------------------------- */

static int
put_registers(struct kvm_cpu *k, const struct step_state *old,
    const struct step_state *st)
{
	int err = 0;

	for (unsigned int r = 0; r < VM_REG_LAST && err == 0; r++) {
		if (has_value(r) && r != VM_REG_GUEST_CR8 &&
		    st->reg[r] != old->reg[r])
			err = kvm_set_reg(
			    k->vcpu, (enum vm_reg_name)r, st->reg[r]);
		if (err == 0 && has_desc(r) &&
		    memcmp(&st->desc[r], &old->desc[r], sizeof(st->desc[r])) !=
			0)
			err = kvm_set_desc(
			    k->vcpu, (enum vm_reg_name)r, &st->desc[r]);
	}
	return err;
}

static int
put_msrs(struct kvm_cpu *k, const struct step_state *st)
{
	struct kvm_step *s = k->step;
	int n;

	for (unsigned int i = 0; i < STEP_NMSRS; i++)
		s->msrs->entries[i].data = st->msr[i];
	n = kvm_ioctl(k->fd, KVM_SET_MSRS, s->msrs);
	return MIN(n, 0);
}

/* The header says what is in use, in its own way on either side. */
static bool
same_xsave(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, XSAVE_HEADER) == 0 &&
	       memcmp(a + XSAVE_REST, b + XSAVE_REST,
		   VM_XSAVE_BYTES - XSAVE_REST) == 0;
}

static int
put_xsave(struct kvm_cpu *k, const struct step_state *st)
{
	memcpy(k->step->xsave.region, st->xsave, VM_XSAVE_BYTES);
	return kvm_ioctl(k->fd, KVM_SET_XSAVE, &k->step->xsave);
}

static int
put_xcr0(struct kvm_cpu *k, const struct step_state *st)
{
	k->step->xcrs.xcrs[0].value = st->xcr0;
	return kvm_ioctl(k->fd, KVM_SET_XCRS, &k->step->xcrs);
}

static int
put_nmi_mask(struct kvm_cpu *k, const struct step_state *st)
{
	k->step->events.nmi.masked = st->nmi_masked;
	k->step->events.flags = 0;
	return kvm_ioctl(k->fd, KVM_SET_VCPU_EVENTS, &k->step->events);
}

static int
put(struct kvm_cpu *k, const struct step_state *old,
    const struct step_state *st)
{
	int err = 0;

	if (st->xcr0 != old->xcr0)
		err = put_xcr0(k, st);
	if (err >= 0 && !same_xsave(st->xsave, old->xsave))
		err = put_xsave(k, st);
	if (err >= 0 && memcmp(st->msr, old->msr, sizeof(st->msr)) != 0)
		err = put_msrs(k, st);
	if (err >= 0 && st->nmi_masked != old->nmi_masked)
		err = put_nmi_mask(k, st);
	return err < 0 ? err : put_registers(k, old, st);
}

/* --- the step ------------------------------------------------------------- */

static int
halt(struct kvm_cpu *k)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_HALTED };

	return kvm_ioctl(k->fd, KVM_SET_MP_STATE, &mp);
}

static int
shutdown(struct kvm_cpu *k, struct vm_exit *x)
{
	(void)vm_suspend(k->vm->ctx, VM_SUSPEND_TRIPLEFAULT);
	x->exitcode = VM_EXITCODE_SUSPENDED;
	x->u.suspended.how = vm_suspended(k->vm->ctx);
	return 1;
}

int
kvm_step(struct kvm_cpu *k, struct vm_exit *x)
{
	struct kvm_step *s = step_of(k);
	enum step_result result;
	int err;

	if (s == NULL)
		return -ENOMEM;
	err = fetch(k, &s->before);
	if (err < 0)
		return err;
	s->after = s->before;
	result = step_run(s->cpu, &s->after, k->cap[VM_CAP_BPT_EXIT] != 0, x);
	if (result == STEP_REFUSED)
		return -ENOTSUP;
	err = put(k, &s->before, &s->after);
	if (err < 0)
		return err;
	vcpu_stat_add(vcpu_stats(k->vcpu), VMSTAT_INSNS_STEPPED, 1);
	switch (result) {
	case STEP_HALT:
		return halt(k);
	case STEP_SHUTDOWN:
		return shutdown(k, x);
	case STEP_EXIT:
		k->exit_rip = x->rip;
		return 1;
	default:
		return 0;
	}
}
