/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inject.c - exceptions and interrupted events for a vCPU, as what KVM calls
 * injected: to be delivered at the next entry (the API, KVM_SET_VCPU_EVENTS).
 *
 * An exception of vm_inject_exception() goes there at once.  The event of
 * vm_set_intinfo() waits here for the entry, because what is queued behind it
 * by then was met while delivering it.  On the vCPU's thread, or any while it
 * does not run.
 */
#include "kvm_priv.h"

#include <errno.h>

#include <vmm/exception.h>
#include <vmm/vm.h>

static int
get_events(struct kvm_cpu *k, struct kvm_vcpu_events *ev)
{
	return kvm_ioctl(k->fd, KVM_GET_VCPU_EVENTS, ev);
}

/* Injected events only; the rest stays as the kernel has it. */
static int
set_events(struct kvm_cpu *k, struct kvm_vcpu_events *ev)
{
	ev->flags = 0;
	return kvm_ioctl(k->fd, KVM_SET_VCPU_EVENTS, ev);
}

int
kvm_stop_waiting(struct kvm_cpu *k)
{
	struct kvm_mp_state mp;
	int err = kvm_ioctl(k->fd, KVM_GET_MP_STATE, &mp);

	if (err < 0 || mp.mp_state == KVM_MP_STATE_RUNNABLE)
		return MIN(err, 0);
	mp.mp_state = KVM_MP_STATE_RUNNABLE;
	return kvm_ioctl(k->fd, KVM_SET_MP_STATE, &mp);
}

/* --- exceptions ----------------------------------------------------------- */

static void
put_exception(
    struct kvm_vcpu_events *ev, int vector, bool has_errcode, uint32_t errcode)
{
	ev->exception.injected = 1;
	ev->exception.nr = (uint8_t)vector;
	ev->exception.has_error_code = has_errcode;
	ev->exception.error_code = errcode;
}

static void
put_interrupt(struct kvm_vcpu_events *ev, int vector)
{
	ev->interrupt.injected = 1;
	ev->interrupt.nr = (uint8_t)vector;
	ev->interrupt.soft = 0;
}

static bool
is_soft(int vector)
{
	return vector == EXC_BP || vector == EXC_OF;
}

static bool
goes_as_interrupt(const struct kvm_cpu *k, int vector)
{
	return is_soft(vector) && !k->vm->has.hardware;
}

/*
 * INT3 and INTO: the processor itself steps over the instruction when it
 * delivers them (SDM 3C 26.6.1.1, APM 2 15.20), so RIP must be at it.  A KVM
 * that emulates executes it again instead; there they go as put_event()'s
 * interrupts, for which RIP must be behind.  `behind`: it is.
 */
static void
put_hwexception(struct kvm_cpu *k, struct kvm_vcpu_events *ev, int vector,
    bool has_errcode, uint32_t errcode, bool behind)
{
	const bool want_behind = goes_as_interrupt(k, vector);
	struct kvm_regs *regs = is_soft(vector) ? kvm_regs(k) : NULL;

	if (regs != NULL && behind != want_behind) {
		regs->rip += want_behind ? 1 : (uint64_t)-1;
		k->regs_dirty = true;
	}
	if (want_behind)
		put_interrupt(ev, vector);
	else
		put_exception(
		    ev, vector, has_errcode && !is_soft(vector), errcode);
}

int
kvm_inject(struct vcpu *vcpu, int vector, bool has_errcode, uint32_t errcode,
    bool restart)
{
	struct kvm_cpu *k = kvm_cpu_of(vcpu);
	struct kvm_regs *regs = kvm_regs(k);
	struct kvm_vcpu_events ev;
	int err = get_events(k, &ev);

	if (err < 0 || regs == NULL)
		return err < 0 ? err : -EIO;
	if (ev.exception.injected || ev.exception.pending ||
	    (ev.interrupt.injected && goes_as_interrupt(k, vector)))
		return -EBUSY;
	if (restart) {
		regs->rip = k->exit_rip;
		k->regs_dirty = true;
	}
	put_hwexception(k, &ev, vector, has_errcode, errcode, !restart);
	err = kvm_regs_flush(k);
	if (err == 0)
		err = set_events(k, &ev);
	return err < 0 ? err : kvm_stop_waiting(k);
}

/* --- interrupted events --------------------------------------------------- */

/* What the kernel itself was delivering when the guest left; 0: nothing. */
static uint64_t
interrupted(const struct kvm_vcpu_events *ev)
{
	if (ev->nmi.injected)
		return VM_INTINFO_VALID | VM_INTINFO_NMI | EXC_NMI;
	if (!ev->interrupt.injected)
		return 0;
	return VM_INTINFO_VALID | ev->interrupt.nr |
	       (ev->interrupt.soft ? VM_INTINFO_SWINTR : VM_INTINFO_HWINTR);
}

static uint64_t
queued(const struct kvm_vcpu_events *ev)
{
	uint64_t info = VM_INTINFO_VALID;

	if (!ev->exception.injected && !ev->exception.pending)
		return ev->nmi.pending ? info | VM_INTINFO_NMI | EXC_NMI : 0;
	info |= VM_INTINFO_HWEXCEPTION | ev->exception.nr;
	if (ev->exception.has_error_code)
		info |= VM_INTINFO_DEL_ERRCODE |
			(uint64_t)ev->exception.error_code << 32;
	return info;
}

int
kvm_get_intinfo(struct vcpu *vcpu, uint64_t *ret_info1, uint64_t *ret_info2)
{
	struct kvm_cpu *k = kvm_cpu_of(vcpu);
	struct kvm_vcpu_events ev;
	int err = get_events(k, &ev);

	if (err < 0)
		return err;
	*ret_info1 = k->intinfo != 0 ? k->intinfo : interrupted(&ev);
	*ret_info2 = queued(&ev);
	return 0;
}

/* Instead of what the kernel was delivering. */
int
kvm_set_intinfo(struct vcpu *vcpu, uint64_t info)
{
	struct kvm_cpu *k = kvm_cpu_of(vcpu);
	struct kvm_vcpu_events ev;
	int err = get_events(k, &ev);

	if (err >= 0 && interrupted(&ev) != 0) {
		ev.nmi.injected = ev.interrupt.injected = 0;
		err = set_events(k, &ev);
	}
	if (err < 0)
		return err;
	k->intinfo = info;
	return 0;
}

/*
 * Delivering `info` met the exception in *ev: that one alone is delivered, or
 * #DF (SDM 3A table 6-5).  False: the processor shuts down.
 */
static bool
combine(struct kvm_vcpu_events *ev, uint64_t info)
{
	enum vm_exc_class first =
	    (info & VM_INTINFO_TYPE) == VM_INTINFO_HWEXCEPTION
		? vm_exc_class_of(VM_INTINFO_VECTOR(info))
		: VM_EXC_BENIGN;
	enum vm_exc_both both =
	    vm_exc_combine(first, vm_exc_class_of(ev->exception.nr));

	if (both == VM_EXC_DOUBLE)
		put_exception(ev, EXC_DF, true, 0);
	return both != VM_EXC_SHUTDOWN;
}

/*
 * A software interrupt goes as one from outside: of its own kind KVM would step
 * over an instruction, whose length nobody knows.  So its gate's DPL is not
 * looked at.
 */
static void
put_event(struct kvm_cpu *k, struct kvm_vcpu_events *ev, uint64_t info)
{
	int vector = VM_INTINFO_VECTOR(info);

	switch (info & VM_INTINFO_TYPE) {
	case VM_INTINFO_HWEXCEPTION:
		put_hwexception(k, ev, vector,
		    (info & VM_INTINFO_DEL_ERRCODE) != 0,
		    (uint32_t)(info >> 32), true);
		break;
	case VM_INTINFO_NMI:
		ev->nmi.injected = 1;
		ev->nmi.masked = 0; /* the delivery itself masks */
		break;
	default:
		put_interrupt(ev, vector);
		break;
	}
}

int
kvm_intinfo_enter(struct kvm_cpu *k)
{
	uint64_t info = k->intinfo;
	struct kvm_vcpu_events ev;
	int err = get_events(k, &ev);

	k->intinfo = 0;
	if (err < 0)
		return err;
	if (!ev.exception.injected && !ev.exception.pending) {
		put_event(k, &ev, info);
	} else if (!combine(&ev, info)) {
		(void)vm_suspend(k->vm->ctx, VM_SUSPEND_TRIPLEFAULT);
		return 0;
	}
	err = kvm_regs_flush(k);
	if (err == 0)
		err = set_events(k, &ev);
	return err < 0 ? err : kvm_stop_waiting(k);
}
