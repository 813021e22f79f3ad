/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run.c - the loop around the blocks: events, exceptions, interrupts, traps,
 * sleeping, and leaving to vm_run().  General registers only; everything that
 * belongs to the machine is called after fpu_park().
 *
 * Blocks chain from one to the next without coming back here; they do come back
 * when the event word is non-zero, when an exception is recorded, and after
 * each instruction that ends a block for its own reasons (STI, POPF, IRET, MOV
 * to CR,
 * ...), so that an interrupt they unmask is seen at once.
 */
#include "run.h"

#include <vmm/irq.h>

#include "block.h"
#include "cache.h"
#include "fpu.h"
#include "smc.h"
#include "sys.h"

#define DR6_BS 0x4000u

/* --- leaving
 * --------------------------------------------------------------------- */

static void
exit_with(struct soft_cpu *c, enum vm_exitcode code)
{
	c->exit.exitcode = code;
	c->exit.inst_length = 0;
	c->exit.rip = c->exit_next_rip = c->rip;
	c->leave = LEAVE_EXIT;
}

static void
exit_stopped(struct soft_cpu *c)
{
	enum vm_suspend_how how = vm_suspended(c->ctx);

	exit_with(c,
	    how == VM_SUSPEND_NONE ? VM_EXITCODE_BOGUS : VM_EXITCODE_SUSPENDED);
	if (how != VM_SUSPEND_NONE)
		c->exit.u.suspended.how = how;
}

/* Shutdown (SDM 3A 6.15): as FreeBSD's vmm, the machine ends. */
static void
triple_fault(struct soft_cpu *c)
{
	fpu_park(c);
	(void)vm_suspend(c->ctx, VM_SUSPEND_TRIPLEFAULT);
	exit_stopped(c);
}

/* --- events from other threads
 * ------------------------------------------------------ */

static void
take_init(struct soft_cpu *c)
{
	const struct vcpu_intr_ops *intr;
	void *apic;

	cpu_reset(c, true);
	intr = vcpu_intr(c->vcpu, &apic);
	if (intr != NULL)
		intr->init(apic);
	/* The boot processor starts at the reset vector (SDM 3A 8.4.2). */
	c->wait_sipi = c->id != 0;
}

static void
take_sipi(struct soft_cpu *c)
{
	uint8_t vector = vcpu_sipi_vector(c->vcpu);

	if (!c->wait_sipi)
		return;
	c->wait_sipi = false;
	c->seg[SEG_CS].sel = (uint16_t)(vector << 8);
	c->seg[SEG_CS].base = (uint64_t)vector << 12;
	c->rip = 0;
	cpu_update_mode(c);
}

static void
take_events(struct soft_cpu *c)
{
	uint32_t ev;

	fpu_park(c);
	vcpu_publish_rip(c->vcpu, c->rip);
	ev = vcpu_take(c->vcpu, UINT32_MAX);
	if (ev & VCPU_EV_ENGINE)
		smc_catch_up(c);
	if (ev & VCPU_EV_INIT)
		take_init(c);
	if (ev & VCPU_EV_SIPI)
		take_sipi(c);
	if (ev & VCPU_EV_NMI)
		c->nmi_pending = true;
	if (ev & VCPU_EV_INTR)
		c->intr_check = true;
	if (ev & VCPU_EV_STOP)
		exit_stopped(c);
}

/* --- interrupts
 * ------------------------------------------------------------------------ */

/* A vector that can be taken now, or -1; the APIC keeps it. */
static int
pending_vector(struct soft_cpu *c)
{
	const struct vcpu_intr_ops *intr;
	void *apic;
	int vector;

	if (!c->intr_check)
		return -1;
	fpu_park(c);
	intr = vcpu_intr(c->vcpu, &apic);
	vector = intr == NULL ? -1 : intr->pending(apic);
	if (vector < 0)
		c->intr_check = false;
	return vector;
}

static void
take_interrupt(struct soft_cpu *c)
{
	const struct vcpu_intr_ops *intr;
	void *apic;
	int vector;

	if (pending_vector(c) < 0)
		return;
	intr = vcpu_intr(c->vcpu, &apic);
	vector = intr->accept(apic);
	if (vector < 0)
		return;
	c->halted = false;
	vcpu_stat_add(c->stats, VMSTAT_VMEXIT_EXTINT, 1);
	cpu_deliver_interrupt(c, (unsigned int)vector, false);
}

/* Exceptions first, then NMI, then maskable interrupts (SDM 3A table 6-2). */
static void
deliver(struct soft_cpu *c)
{
	if (c->exc.pending) {
		vcpu_stat_add(c->stats, VMSTAT_VMEXIT_EXCEPTION, 1);
		cpu_deliver_exception(c);
		return;
	}
	/* Waiting for SIPI, a processor takes neither (SDM 3A 8.4.1). */
	if (c->intr_shadow || c->wait_sipi || c->cap[VM_CAP_MASK_HWINTR])
		return;
	if (unlikely(c->nmi_pending) && !c->nmi_blocked) {
		c->nmi_pending = false;
		c->halted = false;
		vcpu_stat_add(c->stats, VMSTAT_NMIS_DELIVERED, 1);
		cpu_deliver_interrupt(c, EXC_NMI, true);
		return;
	}
	if (c->intr_check && (c->rflags & FL_IF))
		take_interrupt(c);
}

/* --- sleeping
 * -----------------------------------------------------------------------------
 */

static void
sleep_until_event(struct soft_cpu *c)
{
	vcpu_publish_rip(c->vcpu, c->rip);
	smc_leave_guest(c);
	if (c->wait_sipi)
		vcpu_sleep_wait_sipi(c->vcpu);
	else
		vcpu_sleep_halted(c->vcpu, (c->rflags & FL_IF) != 0);
	smc_enter_guest(c);
}

/* Something is pending that ends a HLT; deliver() takes it in the next pass. */
static bool
wakes(struct soft_cpu *c)
{
	if (!c->halted)
		return false;
	if (c->nmi_pending && !c->nmi_blocked)
		return true;
	return (c->rflags & FL_IF) && pending_vector(c) >= 0;
}

/* Halted or waiting for SIPI, and no event is waiting. */
static void
idle(struct soft_cpu *c)
{
	fpu_park(c);
	cache_idle(c);
	if (c->halted && c->cap[VM_CAP_HALT_EXIT]) {
		exit_with(c, VM_EXITCODE_HLT);
		c->exit.u.hlt.rflags = cpu_rflags(c);
		return;
	}
	sleep_until_event(c);
}

/* --- running
 * -------------------------------------------------------------------------------
 */

/*
 * After a block of one instruction (MODE_ONE): the shadow it ran under is over,
 * and the traps of single-stepping and data breakpoints are due.
 */
static void
after_one(struct soft_cpu *c, uint32_t tf)
{
	uint64_t dr6 = c->db_pending;

	if (tf && !c->ss_shadow && !c->tf_skip)
		dr6 |= DR6_BS;
	if (dr6 != 0 && !c->exc.pending && !c->ss_shadow &&
	    c->leave != LEAVE_SHUTDOWN) {
		c->db_pending = 0;
		cpu_raise(c, EXC_DB);
		c->exc.dr6 = dr6;
	} else if (c->exc.pending) {
		/* Traps of an instruction that faulted are lost with it. */
		c->db_pending = 0;
	}
	if (unlikely(c->dbg_hit != NULL) && cpu_debug_done(c))
		return;
	if (c->cap[VM_CAP_MTRAP_EXIT] && !c->exc.pending &&
	    c->leave == LEAVE_NONE)
		exit_with(c, VM_EXITCODE_MTRAP);
	cpu_update_mode(c);
}

static void
run_one(struct soft_cpu *c)
{
	uint32_t tf = c->rflags & FL_TF;
	struct block *b;

	if (unlikely(c->dbg_nexec != 0) && cpu_debug_exec(c))
		return;
	if (cpu_has_exec_breakpoints(c) && cpu_exec_breakpoint(c))
		return;
	b = block_find(c);
	if (b == NULL)
		return;
	c->intr_shadow = c->ss_shadow = c->tf_skip = false;
	c->blk = b;
	c->insns += b->n;
	b->insns->fn(c, b->insns, c->rip);
	after_one(c, tf);
}

void
soft_step(struct soft_cpu *c)
{
	c->leave = LEAVE_NONE;
	c->smc_hit = false;
	c->exc.pending = false;
	cpu_update_mode(c);
	run_one(c);
	fpu_park(c);
}

static void
run_block(struct soft_cpu *c)
{
	struct block *b;

	if (unlikely(c->mode & MODE_ONE)) {
		run_one(c);
		return;
	}
	b = block_find(c);
	if (unlikely(b == NULL))
		return;
	c->blk = b;
	c->insns += b->n;
	b->insns->fn(c, b->insns, c->rip);
}

void
soft_run_until_exception(struct soft_cpu *c, unsigned int max)
{
	c->leave = LEAVE_NONE;
	c->exc.pending = false;
	cpu_update_mode(c);
	smc_enter_guest(c);
	while (max-- > 0 && !c->exc.pending && c->leave == LEAVE_NONE) {
		c->smc_hit = false;
		run_block(c);
		if (c->leave == LEAVE_RESYNC)
			c->leave = LEAVE_NONE;
	}
	fpu_park(c);
	smc_leave_guest(c);
}

/* What the last instructions asked for. */
static void
handle_leave(struct soft_cpu *c)
{
	switch (c->leave) {
	case LEAVE_HLT:
		/* With -H the core counts the exit. */
		if (!c->cap[VM_CAP_HALT_EXIT])
			vcpu_stat_add(c->stats, VMSTAT_VMEXIT_HLT, 1);
		c->halted = true;
		break;
	case LEAVE_SHUTDOWN:
		triple_fault(c);
		return;
	case LEAVE_EXIT:
		return;
	case LEAVE_NONE:
	case LEAVE_RESYNC:
		break;
	}
	c->leave = LEAVE_NONE;
}

void
soft_run(struct soft_cpu *c)
{
	c->leave = LEAVE_NONE;
	smc_enter_guest(c);
	if (unlikely(c->reinject != 0))
		cpu_deliver_reinject(c);
	while (c->leave != LEAVE_EXIT) {
		c->smc_hit = false;
		if (__atomic_load_n(c->events, __ATOMIC_ACQUIRE) != 0)
			take_events(c);
		/* At once: chained blocks come back for new events only. */
		if (c->leave == LEAVE_NONE &&
		    (c->exc.pending || c->nmi_pending || c->intr_check))
			deliver(c);
		if (c->leave != LEAVE_NONE) {
			handle_leave(c);
			continue;
		}
		if (unlikely(c->exc.pending))
			continue;
		if (unlikely(c->halted || c->wait_sipi)) {
			if (__atomic_load_n(c->events, __ATOMIC_ACQUIRE) == 0 &&
			    !wakes(c))
				idle(c);
			continue;
		}
		run_block(c);
		if (c->leave != LEAVE_NONE)
			handle_leave(c);
	}
	fpu_park(c);
	smc_leave_guest(c);
	vcpu_publish_rip(c->vcpu, c->rip);
	__atomic_store_n(&c->stats[VMSTAT_INSNS], c->insns, __ATOMIC_RELAXED);
}
