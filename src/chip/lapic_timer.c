/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lapic_timer.c - the local APIC's timer: one-shot, periodic, TSC-deadline.
 * Intel SDM volume 3A 10.5.4.
 *
 * Nothing counts: the current count is computed from the machine's clock and
 * the bus tick at which the count began.  One event timer per APIC is armed
 * for the next expiry, only while the LVT is not masked.  The event thread
 * fires it; lapic.lock is held around all of this file's state.  Periods too
 * short for a host are stretched so that no guest can keep the event thread
 * busy; missed periods are one interrupt, as they are in IRR.
 */
#include "lapic.h"

#include <vmm/event.h>
#include <vmm/vcpu.h>

/*
 * The bus clock is 128 MiHz, 2^27, so that a tick is exactly
 * 1953125 / 2^18 ns.
 */
#define BUS_TICK_NS_NUM	   1953125u
#define BUS_TICK_NS_SHIFT  18

#define LAPIC_TIMER_MIN_NS 20000u /* between two periodic interrupts */
#define LAPIC_TIMER_NEVER  (UINT64_MAX / 2)

static uint64_t
bus_tick_at(uint64_t ns)
{
	return (uint64_t)(((unsigned __int128)ns << BUS_TICK_NS_SHIFT) /
			  BUS_TICK_NS_NUM);
}

/* The first nanosecond at which bus_tick_at() is `tick`. */
static uint64_t
bus_tick_to_ns(uint64_t tick)
{
	unsigned __int128 ns = (unsigned __int128)tick * BUS_TICK_NS_NUM;

	ns += BIT64(BUS_TICK_NS_SHIFT) - 1;
	return (uint64_t)(ns >> BUS_TICK_NS_SHIFT);
}

static uint64_t
lapic_timer_now(const struct lapic *l)
{
	return bus_tick_at(vm_clock_ns(vcpu_vm(l->vcpu)));
}

/* SDM 3A figure 10-10: bits 3,1,0; 111b divides by one. */
static unsigned int
lapic_timer_divisor(uint32_t divide)
{
	unsigned int code = (divide & 3) | (divide & 8) >> 1;

	return code == 7 ? 1 : 2u << code;
}

static uint64_t
lapic_timer_period(const struct lapic_regs *r)
{
	return (uint64_t)r->initial_count * lapic_timer_divisor(r->divide);
}

static uint32_t
lapic_timer_mode(const struct lapic *l)
{
	return reg_get(&l->regs.lvt[LAPIC_LVT_TIMER]) & LVT_TIMER_MODE;
}

static void
lapic_timer_fire(struct lapic *l)
{
	if (lapic_lvt_fire(l, LAPIC_LVT_TIMER))
		__atomic_fetch_add(&l->timer_intrs, 1, __ATOMIC_RELAXED);
}

/* Is the deadline past?  Then it is used up. */
static bool
lapic_timer_deadline_due_locked(struct lapic *l)
{
	if (l->regs.deadline == 0 || vcpu_rdtsc(l->vcpu) < l->regs.deadline)
		return false;
	l->regs.deadline = 0;
	return true;
}

/* Did the count reach zero, once or often?  Then it is stopped or reloaded. */
static bool
lapic_timer_count_due_locked(struct lapic *l)
{
	struct lapic_regs *r = &l->regs;
	uint64_t period = lapic_timer_period(r);
	uint64_t elapsed;

	if (!r->counting)
		return false;
	elapsed = lapic_timer_now(l) - r->start;
	if (elapsed < period)
		return false;
	if (lapic_timer_mode(l) == LVT_TIMER_PERIODIC)
		r->start += elapsed - elapsed % period;
	else
		r->counting = 0;
	return true;
}

/*
 * Bring the state up to now, with the interrupt that belongs to it (the LVT
 * drops it when masked): a register access may be quicker than the event
 * thread.
 */
static bool
lapic_timer_catch_up_locked(struct lapic *l)
{
	bool due;

	if (lapic_timer_mode(l) == LVT_TIMER_DEADLINE)
		due = lapic_timer_deadline_due_locked(l);
	else
		due = lapic_timer_count_due_locked(l);
	if (due)
		lapic_timer_fire(l);
	return due;
}

/* When the timer would interrupt next. */
static uint64_t
lapic_timer_expiry_locked(const struct lapic *l)
{
	const struct lapic_regs *r = &l->regs;

	if ((reg_get(&r->lvt[LAPIC_LVT_TIMER]) & LVT_MASKED) != 0)
		return LAPIC_TIMER_NEVER;
	if (lapic_timer_mode(l) == LVT_TIMER_DEADLINE)
		return r->deadline == 0
			   ? LAPIC_TIMER_NEVER
			   : vcpu_tsc_to_clock_ns(l->vcpu, r->deadline);
	return r->counting ? bus_tick_to_ns(r->start + lapic_timer_period(r))
			   : LAPIC_TIMER_NEVER;
}

static void
lapic_timer_arm_locked(struct lapic *l, uint64_t not_before)
{
	uint64_t when = lapic_timer_expiry_locked(l);

	if (l->timer_paused || when >= LAPIC_TIMER_NEVER)
		evtimer_disarm(l->timer);
	else
		evtimer_arm(l->timer, MAX(when, not_before));
}

/*
 * The event thread, lock held.  The arming that led here may have been
 * replaced while it waited for the lock; then nothing is due.
 */
static void
lapic_timer_event(void *arg)
{
	struct lapic *l = arg;
	uint64_t now = vm_clock_ns(vcpu_vm(l->vcpu));

	if (l->timer_paused)
		return;
	if (lapic_timer_catch_up_locked(l))
		now += LAPIC_TIMER_MIN_NS;
	lapic_timer_arm_locked(l, now);
}

void
lapic_timer_set_lvt(struct lapic *l, uint32_t lvt)
{
	uint32_t changed;

	lock_acquire(&l->lock);
	lapic_timer_catch_up_locked(l); /* by the rules of the old mode */
	changed = lvt ^ l->regs.lvt[LAPIC_LVT_TIMER];
	reg_set(&l->regs.lvt[LAPIC_LVT_TIMER], lvt);
	/* SDM 3A 10.5.4.1: to or from TSC-deadline mode disarms the timer. */
	if ((changed & LVT_TIMER_DEADLINE) != 0) {
		l->regs.counting = 0;
		l->regs.initial_count = 0;
		l->regs.deadline = 0;
	}
	lapic_timer_arm_locked(l, 0);
	lock_release(&l->lock);
}

void
lapic_timer_set_initial(struct lapic *l, uint32_t count)
{
	lock_acquire(&l->lock);
	lapic_timer_catch_up_locked(l);
	if (lapic_timer_mode(l) != LVT_TIMER_DEADLINE) {
		l->regs.initial_count = count;
		l->regs.counting = count != 0;
		l->regs.start = lapic_timer_now(l);
		lapic_timer_arm_locked(l, 0);
	}
	lock_release(&l->lock);
}

static uint32_t
lapic_timer_current_locked(struct lapic *l)
{
	const struct lapic_regs *r = &l->regs;
	uint64_t elapsed;

	lapic_timer_catch_up_locked(l);
	if (!r->counting)
		return 0;
	elapsed = lapic_timer_now(l) - r->start;
	return r->initial_count -
	       (uint32_t)(elapsed / lapic_timer_divisor(r->divide));
}

/* A periodic timer that this reloads needs no new arming: the old one is due
 * and will find nothing but the next period. */
uint32_t
lapic_timer_current(struct lapic *l)
{
	uint32_t count;

	lock_acquire(&l->lock);
	count = lapic_timer_current_locked(l);
	lock_release(&l->lock);
	return count;
}

/* The count goes on from where it is, at the new rate. */
void
lapic_timer_set_divide(struct lapic *l, uint32_t divide)
{
	struct lapic_regs *r = &l->regs;
	uint32_t done;

	lock_acquire(&l->lock);
	done = r->initial_count - lapic_timer_current_locked(l);
	r->divide = divide & 0xb;
	if (r->counting)
		r->start = lapic_timer_now(l) -
			   (uint64_t)done * lapic_timer_divisor(r->divide);
	lapic_timer_arm_locked(l, 0);
	lock_release(&l->lock);
}

void
lapic_timer_set_deadline(struct lapic *l, uint64_t tsc)
{
	lock_acquire(&l->lock);
	lapic_timer_catch_up_locked(l);
	if (lapic_timer_mode(l) == LVT_TIMER_DEADLINE) {
		l->regs.deadline = tsc;
		/* One in the past needs no trip to the event thread. */
		lapic_timer_catch_up_locked(l);
		lapic_timer_arm_locked(l, 0);
	}
	lock_release(&l->lock);
}

uint64_t
lapic_timer_get_deadline(struct lapic *l)
{
	uint64_t tsc;

	lock_acquire(&l->lock);
	if (lapic_timer_mode(l) == LVT_TIMER_DEADLINE)
		lapic_timer_catch_up_locked(l);
	tsc = l->regs.deadline;
	lock_release(&l->lock);
	return tsc;
}

/* --- life cycle ------------------------------------------------------- */

void
lapic_timer_reset(struct lapic *l)
{
	struct lapic_regs *r = &l->regs;

	r->initial_count = 0;
	r->divide = 0;
	r->counting = 0;
	r->start = 0;
	r->deadline = 0;
	evtimer_disarm(l->timer);
}

void
lapic_timer_pause(struct lapic *l)
{
	l->timer_paused = true;
	evtimer_disarm(l->timer);
}

void
lapic_timer_resume(struct lapic *l)
{
	l->timer_paused = false;
	lapic_timer_arm_locked(l, 0);
}

uint64_t
lapic_timer_elapsed(struct lapic *l)
{
	return l->regs.counting ? lapic_timer_now(l) - l->regs.start : 0;
}

bool
lapic_timer_valid(const struct lapic_regs *r, uint64_t elapsed)
{
	if ((r->divide & ~0xbu) != 0 || (r->counting && !r->initial_count))
		return false;
	if (!r->counting)
		return elapsed == 0;
	/* Longer overdue than any pause could make it is nonsense. */
	return elapsed < BIT64(62);
}

void
lapic_timer_restart(struct lapic *l, uint64_t elapsed)
{
	l->regs.start = l->regs.counting ? lapic_timer_now(l) - elapsed : 0;
	lapic_timer_arm_locked(l, 0);
}

/* The TSC was written: what the deadline means in clock time changed. */
static void
lapic_timer_tsc_changed(void *arg)
{
	struct lapic *l = arg;

	lock_acquire(&l->lock);
	lapic_timer_arm_locked(l, 0);
	lock_release(&l->lock);
}

void
lapic_timer_create(struct lapic *l)
{
	l->timer = evtimer_create(
	    vcpu_vm(l->vcpu), "lapic", &l->lock, lapic_timer_event, l);
	vcpu_tsc_on_change(l->vcpu, lapic_timer_tsc_changed, l);
}

void
lapic_timer_destroy(struct lapic *l)
{
	vcpu_tsc_on_change(l->vcpu, NULL, NULL);
	evtimer_del(l->timer);
}
