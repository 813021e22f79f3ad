/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch.c - a machine whose processors all halt with interrupts off.
 *
 * The kernel keeps a halted vCPU to itself, so once a second the event thread
 * looks at the processor time of the vCPU threads.  Only when none has used
 * any since the last look is each brought out of the guest to say what it waits
 * for. A guest that is idle but alive has a timer, which costs time.  Where HLT
 * stays in the guest all vCPUs use all time, and each look asks.
 */
#include "kvm_priv.h"

#include <errno.h>
#include <stdlib.h>

#include <vmm/event.h>
#include <vmm/mem.h>
#include <vmm/vm.h>

#define WATCH_NS  1000000000ull
#define RFLAGS_IF 0x200u
#define INSN_HLT  0xf4

enum { RUNS, HALTED, WAITS_SIPI };

struct kvm_watch {
	struct kvm_machine *vm;
	struct lock lock;
	struct evtimer *timer;
	uint64_t used_ns; /* by all vCPU threads, at the last look */
	bool asked;
};

/* --- the vCPU's side ------------------------------------------------------ */

/*
 * HLT that stays in the guest (x86.vmexit_on_hlt=false) is no state that the
 * kernel knows: the instruction before RIP is one, and was when we last asked.
 */
static bool
halted_in_guest(struct kvm_cpu *k, uint64_t rip)
{
	const struct kvm_sregs *s = kvm_sregs(k);
	uint64_t gpa, before = k->halted_rip;
	uint8_t insn = 0;

	k->halted_rip = 0;
	if (!k->vm->hlt_in_guest || s == NULL ||
	    kvm_gla2gpa(k->vcpu, s->cs.base + rip - 1, &gpa) != 0 ||
	    vm_mem_read(k->vm->ctx, gpa, &insn, 1) != 0 || insn != INSN_HLT)
		return false;
	k->halted_rip = rip;
	return rip == before;
}

void
kvm_watch_answer(struct kvm_cpu *k)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kvm_vcpu_events ev = { 0 };
	const struct kvm_regs *regs = kvm_regs(k);
	uint32_t waits = RUNS;

	if (regs != NULL && kvm_ioctl(k->fd, KVM_GET_MP_STATE, &mp) >= 0 &&
	    kvm_ioctl(k->fd, KVM_GET_VCPU_EVENTS, &ev) >= 0) {
		bool halted = halted_in_guest(k, regs->rip) ||
			      mp.mp_state == KVM_MP_STATE_HALTED;

		if (halted && (regs->rflags & RFLAGS_IF) == 0 &&
		    !ev.nmi.pending && !ev.nmi.injected)
			waits = HALTED;
		if (mp.mp_state == KVM_MP_STATE_UNINITIALIZED ||
		    mp.mp_state == KVM_MP_STATE_INIT_RECEIVED)
			waits = WAITS_SIPI;
	}
	__atomic_store_n(&k->waits, waits, __ATOMIC_SEQ_CST);
	__atomic_store_n(&k->asked, 0, __ATOMIC_SEQ_CST);
}

/* --- the event thread's --------------------------------------------------- */

static uint64_t
all_cpu_ns(struct kvm_machine *vm)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < vm_ncpus(vm->ctx); i++) {
		struct vcpu *vcpu = vm_vcpu_get(vm->ctx, i);

		if (vcpu != NULL)
			sum += vcpu_cpu_ns(vcpu);
	}
	return sum;
}

static void
ask_all(struct kvm_machine *vm)
{
	for (unsigned int i = 0; i < vm_ncpus(vm->ctx); i++) {
		struct vcpu *vcpu = vm_vcpu_get(vm->ctx, i);

		if (vcpu == NULL)
			continue;
		__atomic_store_n(&kvm_cpu_of(vcpu)->asked, 1, __ATOMIC_SEQ_CST);
		vcpu_post(vcpu, VCPU_EV_ENGINE);
	}
}

/* At least one is halted for good, and none is anything else but waiting. */
static bool
all_wait(struct kvm_machine *vm)
{
	bool halted = false;

	for (unsigned int i = 0; i < vm_ncpus(vm->ctx); i++) {
		struct vcpu *vcpu = vm_vcpu_get(vm->ctx, i);
		struct kvm_cpu *k = vcpu != NULL ? kvm_cpu_of(vcpu) : NULL;
		uint32_t waits;

		if (k == NULL)
			continue;
		waits = __atomic_load_n(&k->waits, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&k->asked, __ATOMIC_SEQ_CST) != 0 ||
		    waits == RUNS)
			return false;
		halted |= waits == HALTED;
	}
	return halted;
}

static void
watch_look(void *arg)
{
	struct kvm_watch *w = arg;
	uint64_t used = all_cpu_ns(w->vm);

	if (w->asked) {
		w->asked = false;
		if (all_wait(w->vm))
			(void)vm_suspend(w->vm->ctx, VM_SUSPEND_HALT);
		used = all_cpu_ns(w->vm);
	} else if ((used != 0 && used == w->used_ns) || w->vm->hlt_in_guest) {
		w->asked = true;
		ask_all(w->vm);
	}
	w->used_ns = used;
	evtimer_arm(w->timer,
	    vm_clock_ns(w->vm->ctx) + (w->asked ? WATCH_NS / 10 : WATCH_NS));
}

int
kvm_watch_start(struct kvm_machine *vm)
{
	struct kvm_watch *w = xcalloc(1, sizeof(*w));

	w->vm = vm;
	lock_init(&w->lock);
	w->timer =
	    evtimer_create(vm->ctx, "kvm-watch", &w->lock, watch_look, w);
	evtimer_arm(w->timer, vm_clock_ns(vm->ctx) + WATCH_NS);
	vm->watch = w;
	return 0;
}

void
kvm_watch_stop(struct kvm_machine *vm)
{
	if (vm->watch == NULL)
		return;
	evtimer_del(vm->watch->timer);
	lock_fini(&vm->watch->lock);
	free(vm->watch);
	vm->watch = NULL;
}
