/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vcpu.c - a processor's event word, its sleep, and how INIT and SIPI reach it.
 *
 * The event word is the futex: a sleeper announces itself, then waits while
 * the word is 0; a poster sets bits, then looks whether anybody sleeps.  Both
 * sides are sequentially consistent, so one of them sees the other.  A vCPU
 * that polls announces itself too, so that nobody spends a system call on it.
 */
#include "vm_priv.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

int
vcpu_id(const struct vcpu *vcpu)
{
	return vcpu->id;
}

struct vmctx *
vcpu_vm(const struct vcpu *vcpu)
{
	return vcpu->ctx;
}

void
vcpu_set_engine_state(struct vcpu *vcpu, void *state)
{
	vcpu->engine_state = state;
}

void *
vcpu_engine_state(struct vcpu *vcpu)
{
	return vcpu->engine_state;
}

void
vcpu_publish_rip(struct vcpu *vcpu, uint64_t rip)
{
	__atomic_store_n(&vcpu->last_rip, rip, __ATOMIC_RELAXED);
}

/* --- the event word ------------------------------------------------------ */

static long
futex(uint32_t *word, int op, uint32_t val)
{
	return syscall(SYS_futex, word, op, val, NULL, NULL, 0);
}

int32_t
vcpu_tid(struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->running, __ATOMIC_SEQ_CST);
}

uint32_t *
vcpu_events(struct vcpu *vcpu)
{
	return &vcpu->events;
}

void
vcpu_post(struct vcpu *vcpu, uint32_t bits)
{
	uint32_t sleeping;

	/*
	 * Pairs with vcpu_sleep() and vm_run(), which set `sleeping` and
	 * `running` before they look at the event word.
	 */
	__atomic_fetch_or(&vcpu->events, bits, __ATOMIC_SEQ_CST);
	sleeping = __atomic_load_n(&vcpu->sleeping, __ATOMIC_SEQ_CST);
	if (sleeping == VCPU_ASLEEP)
		futex(&vcpu->events, FUTEX_WAKE_PRIVATE, INT_MAX);
	else if (sleeping == VCPU_AWAKE &&
		 __atomic_load_n(&vcpu->running, __ATOMIC_SEQ_CST) != 0)
		vcpu->ctx->engine->vcpu_kick(vcpu);
}

uint32_t
vcpu_take(struct vcpu *vcpu, uint32_t bits)
{
	return __atomic_fetch_and(&vcpu->events, ~bits, __ATOMIC_SEQ_CST) &
	       bits;
}

static void
vcpu_set_wait(struct vcpu *vcpu, enum vcpu_wait wait)
{
	struct vmctx *ctx = vcpu->ctx;

	lock_acquire(&ctx->halt_lock);
	vcpu->wait = wait;
	lock_release(&ctx->halt_lock);
}

/* Until there is an event: how depends on `mode`. */
static void
vcpu_wait_events(struct vcpu *vcpu, enum vcpu_sleeping mode)
{
	while (__atomic_load_n(&vcpu->events, __ATOMIC_SEQ_CST) == 0) {
		if (mode == VCPU_POLLING)
			__builtin_ia32_pause();
		else
			futex(&vcpu->events, FUTEX_WAIT_PRIVATE, 0);
	}
}

static void
vcpu_sleep(struct vcpu *vcpu, enum vcpu_wait wait, enum vcpu_sleeping mode)
{
	uint64_t since = host_now_ns();

	__atomic_store_n(&vcpu->sleeping, mode, __ATOMIC_SEQ_CST);
	if (wait != VCPU_WAIT_NONE) {
		vcpu_set_wait(vcpu, wait);
		vm_halt_check(vcpu->ctx);
	}
	vcpu_wait_events(vcpu, mode);
	if (wait != VCPU_WAIT_NONE)
		vcpu_set_wait(vcpu, VCPU_WAIT_NONE);
	__atomic_store_n(&vcpu->sleeping, VCPU_AWAKE, __ATOMIC_SEQ_CST);
	vcpu_stat_add(vcpu->stats, VMSTAT_IDLE_NS, host_now_ns() - since);
}

void
vcpu_sleep_halted(struct vcpu *vcpu, bool intr_enabled)
{
	vcpu_sleep(vcpu, intr_enabled ? VCPU_WAIT_NONE : VCPU_WAIT_HALTED,
	    vcpu->ctx->hlt_poll ? VCPU_POLLING : VCPU_ASLEEP);
}

void
vcpu_sleep_wait_sipi(struct vcpu *vcpu)
{
	vcpu_sleep(vcpu, VCPU_WAIT_SIPI, VCPU_ASLEEP);
}

/* --- who can still do something ------------------------------------------ */

/*
 * True when some vCPU is halted for good and no active one is anything else.
 * A vCPU leaves its wait state under halt_lock before it takes its events, so
 * one that is in it and has no event cannot be on its way out.
 */
static bool
vm_all_halted_locked(struct vmctx *ctx)
{
	bool halted = false;

	for (unsigned int i = 0; i < VM_MAXCPU; i++) {
		struct vcpu *vcpu = vm_vcpu_get(ctx, i);

		if (vcpu == NULL)
			continue;
		if (!cpuset_has(&ctx->active, i)) {
			if (__atomic_load_n(&vcpu->spinup, __ATOMIC_SEQ_CST))
				return false; /* about to start */
			continue;
		}
		if (vcpu->wait == VCPU_WAIT_NONE ||
		    __atomic_load_n(&vcpu->events, __ATOMIC_SEQ_CST) != 0)
			return false;
		halted |= vcpu->wait == VCPU_WAIT_HALTED;
	}
	return halted;
}

void
vm_halt_check(struct vmctx *ctx)
{
	bool halted;

	lock_acquire(&ctx->halt_lock);
	halted = vm_all_halted_locked(ctx);
	lock_release(&ctx->halt_lock);
	if (halted)
		(void)vm_suspend(ctx, VM_SUSPEND_HALT);
}

int
vm_activate_cpu(struct vcpu *vcpu)
{
	if (!cpuset_add(&vcpu->ctx->active, (unsigned int)vcpu->id))
		return vm_api_result(-EBUSY);
	return 0;
}

void
vcpu_deactivate(struct vcpu *vcpu)
{
	struct vmctx *ctx = vcpu->ctx;

	__atomic_store_n(&vcpu->spinup, 0, __ATOMIC_SEQ_CST);
	if (cpuset_del(&ctx->active, (unsigned int)vcpu->id))
		(void)vm_suspend(ctx, VM_SUSPEND_HALT);
	else
		vm_halt_check(ctx);
}

/* --- INIT and start-up --------------------------------------------------- */

void
vcpu_init_signal(struct vcpu *vcpu)
{
	if (cpuset_has(&vcpu->ctx->active, (unsigned int)vcpu->id) ||
	    __atomic_load_n(&vcpu->spinup, __ATOMIC_SEQ_CST) != 0)
		vcpu_post(vcpu, VCPU_EV_INIT);
	else /* nobody runs it: it is as after INIT, but for its APIC */
		__atomic_store_n(&vcpu->init_latched, 1, __ATOMIC_SEQ_CST);
}

uint8_t
vcpu_sipi_vector(struct vcpu *vcpu)
{
	return (uint8_t)__atomic_load_n(&vcpu->sipi_vector, __ATOMIC_SEQ_CST);
}

/* Makes somebody report the start of `vcpu` soon. */
static void
spinup_announce(struct vcpu *vcpu)
{
	struct vmctx *ctx = vcpu->ctx;
	struct vcpu *sender = vcpu_current();
	unsigned int id = (unsigned int)vcpu->id;

	if (sender == NULL || sender->ctx != ctx) {
		if (__atomic_load_n(&ctx->run_active, __ATOMIC_SEQ_CST) != 0) {
			cpuset_add(&ctx->spinup_async, id);
			evloop_wake(ctx->events);
			return;
		}
		sender = vm_vcpu_get(ctx, 0);
	}
	cpuset_add(&ctx->spinup, id);
	if (sender != NULL)
		vcpu_post(sender, VCPU_EV_STOP);
}

void
vcpu_sipi(struct vcpu *vcpu, uint8_t vector)
{
	uint32_t none = 0;

	if (!cpuset_has(&vcpu->ctx->active, (unsigned int)vcpu->id) &&
	    __atomic_compare_exchange_n(&vcpu->spinup, &none, 1, false,
		__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		__atomic_store_n(
		    &vcpu->spinup_vector, vector, __ATOMIC_SEQ_CST);
		spinup_announce(vcpu);
		return;
	}
	__atomic_store_n(&vcpu->sipi_vector, vector, __ATOMIC_SEQ_CST);
	vcpu_post(vcpu, VCPU_EV_SIPI);
}

bool
vm_spinup_take(struct cpuset *set, struct vmctx *ctx, struct vm_exit *exit)
{
	for (unsigned int i = 0; i < VM_MAXCPU; i++) {
		uint64_t bit = BIT64(i);
		uint64_t old;

		if (!cpuset_has(set, i))
			continue;
		old = __atomic_fetch_and(&set->bits, ~bit, __ATOMIC_SEQ_CST);
		if ((old & bit) == 0)
			continue; /* another vCPU was faster */
		exit->exitcode = VM_EXITCODE_SPINUP_AP;
		exit->u.spinup_ap.vcpu = (int)i;
		exit->u.spinup_ap.rip =
		    (uint64_t)__atomic_load_n(
			&ctx->vcpu[i]->spinup_vector, __ATOMIC_SEQ_CST)
		    << 12;
		return true;
	}
	return false;
}
