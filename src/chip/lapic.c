/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lapic.c - the local APIC: vectors, priorities, local vector table, life
 * cycle.  Intel SDM volume 3A chapter 10 (2023), xAPIC and x2APIC.
 *
 * Any thread puts vectors into IRR, atomically; only the vCPU's own thread
 * moves them to ISR and ends them, so that asking for work (lapic_pending)
 * is a few loads.  Deliberately missing: focus processor, SMI, relocation of
 * the register page, suppression of EOI broadcasts (the version register says
 * so), and the bus arbitration registers.
 */
#include "lapic.h"

#include <stdlib.h>

#include <util/log.h>
#include <vmm/chip.h>
#include <vmm/event.h>
#include <vmm/snap.h>
#include <vmm/topology.h>
#include <vmm/vcpu.h>
#include <vmmapi.h>

/* --- 256-bit registers ------------------------------------------------ */

static int
lapic_highest_bit(const uint32_t words[8])
{
	for (int w = 7; w >= 0; w--)
		if (words[w] != 0)
			return w * 32 + 31 - __builtin_clz(words[w]);
	return -1;
}

/*
 * irr_sum is set after the irr bit and cleared before the irr word is looked
 * at again, both sequentially consistent: a bit set by another thread is
 * either seen by lapic_irr_take()'s second look or its summary bit comes
 * later.
 */
void
lapic_set_irr(struct lapic *l, uint8_t vector, bool level)
{
	unsigned int w = vector / 32;
	uint32_t bit = BIT(vector % 32);

	if (level)
		__atomic_fetch_or(&l->regs.tmr[w], bit, __ATOMIC_SEQ_CST);
	else if (reg_get(&l->regs.tmr[w]) & bit)
		__atomic_fetch_and(&l->regs.tmr[w], ~bit, __ATOMIC_SEQ_CST);
	if (__atomic_fetch_or(&l->regs.irr[w], bit, __ATOMIC_SEQ_CST) & bit)
		return; /* whoever set it has told or will tell the vCPU */
	__atomic_fetch_or(&l->irr_sum, BIT(w), __ATOMIC_SEQ_CST);
	vcpu_notify_intr(l->vcpu);
}

static void
lapic_irr_take(struct lapic *l, int vector)
{
	int w = vector / 32;
	uint32_t left;

	left = __atomic_and_fetch(
	    &l->regs.irr[w], ~BIT(vector % 32), __ATOMIC_SEQ_CST);
	if (left != 0)
		return;
	__atomic_fetch_and(&l->irr_sum, ~BIT(w), __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&l->regs.irr[w], __ATOMIC_SEQ_CST) != 0)
		__atomic_fetch_or(&l->irr_sum, BIT(w), __ATOMIC_SEQ_CST);
}

static int
lapic_irr_highest(const struct lapic *l)
{
	uint32_t sum = __atomic_load_n(&l->irr_sum, __ATOMIC_ACQUIRE);

	while (sum != 0) {
		int w = 31 - __builtin_clz(sum);
		uint32_t word = reg_get(&l->regs.irr[w]);

		if (word != 0)
			return w * 32 + 31 - __builtin_clz(word);
		sum &= ~BIT(w);
	}
	return -1;
}

/* --- priorities ------------------------------------------------------- */

/* SDM 3A 10.8.3.1: the higher class of TPR and of the vector in service. */
static void
lapic_update_ppr(struct lapic *l)
{
	uint32_t isrv = l->isrv < 0 ? 0 : (uint32_t)l->isrv & 0xf0;
	uint32_t tpr = l->regs.tpr;

	reg_set(&l->ppr, (tpr & 0xf0) >= isrv ? tpr : isrv);
}

static int
lapic_deliverable(const struct lapic *l)
{
	int vector = lapic_irr_highest(l);

	if (vector < 0 || (vector & 0xf0) <= (int)(l->ppr & 0xf0) ||
	    !lapic_hw_enabled(l))
		return -1;
	return vector;
}

/*
 * Does the 8259's INT reach this processor?  Through LINT0 when the guest set
 * it to ExtINT, or through an I/O APIC message.  A hardware-disabled APIC
 * makes LINT0 the INTR pin (SDM 3A 10.4.3), wired to the boot processor only.
 * So does, as in bhyve, a software-disabled one: real machines leave their
 * firmware with LINT0 open, and there may be no firmware here.
 */
static bool
lapic_takes_extint(const struct lapic *l)
{
	uint32_t lvt = reg_get(&l->regs.lvt[LAPIC_LVT_LINT0]);

	if (reg_get(&l->regs.extint) != 0)
		return true;
	if (!lapic_hw_enabled(l) || !lapic_sw_enabled(l))
		return l->id == 0;
	return (lvt & LVT_MASKED) == 0 && APIC_DLM(lvt) == APIC_DLM_EXTINT;
}

static int
lapic_pending(void *arg)
{
	struct lapic *l = arg;

	if (unlikely(irqchip_extint(l->chip)) && lapic_takes_extint(l)) {
		int vector = irqchip_extint_peek(l->chip);

		if (vector >= 0)
			return vector;
	}
	if (likely(__atomic_load_n(&l->irr_sum, __ATOMIC_ACQUIRE) == 0))
		return -1;
	return lapic_deliverable(l);
}

void
lapic_reassess(struct lapic *l)
{
	if (lapic_pending(l) >= 0)
		vcpu_notify_intr(l->vcpu);
}

/* Counters belong to the vCPU's thread; others leave theirs here. */
static void
lapic_fold_stats(struct lapic *l)
{
	if (unlikely(reg_get(&l->timer_intrs) != 0))
		vcpu_stat_add(l->stats, VMSTAT_VLAPIC_TIMER_INTR,
		    __atomic_exchange_n(&l->timer_intrs, 0, __ATOMIC_RELAXED));
	if (unlikely(reg_get(&l->error_intrs) != 0))
		vcpu_stat_add(l->stats, VMSTAT_VLAPIC_ERROR_INTR,
		    __atomic_exchange_n(&l->error_intrs, 0, __ATOMIC_RELAXED));
}

static int
lapic_accept_extint(struct lapic *l)
{
	int vector = irqchip_extint_ack(l->chip);

	__atomic_store_n(&l->regs.extint, 0, __ATOMIC_RELAXED);
	vcpu_stat_add(l->stats, VMSTAT_EXTINTS_DELIVERED, 1);
	lapic_reassess(l);
	return vector;
}

static int
lapic_accept(void *arg)
{
	struct lapic *l = arg;
	int vector;

	if (unlikely(irqchip_extint(l->chip)) && lapic_takes_extint(l))
		return lapic_accept_extint(l);
	vector = lapic_deliverable(l);
	if (vector < 0)
		return -1;
	lapic_irr_take(l, vector);
	l->regs.isr[vector / 32] |= BIT(vector % 32);
	l->isrv = vector; /* its class is above that of every other in ISR */
	lapic_update_ppr(l);
	lapic_fold_stats(l);
	return vector;
}

void
lapic_set_tpr(struct lapic *l, uint32_t tpr)
{
	l->regs.tpr = tpr & 0xff;
	lapic_update_ppr(l);
	lapic_reassess(l);
}

static uint64_t
lapic_get_cr8(void *arg)
{
	struct lapic *l = arg;

	return l->regs.tpr >> 4;
}

static void
lapic_set_cr8(void *arg, uint64_t cr8)
{
	lapic_set_tpr(arg, (uint32_t)(cr8 & 0xf) << 4);
}

/* A level-triggered LVT LINT0 interrupt ended; the 8259 may still hold INT. */
static void
lapic_lint_eoi(struct lapic *l, uint8_t vector)
{
	uint32_t *lvt = &l->regs.lvt[LAPIC_LVT_LINT0];

	if ((reg_get(lvt) & LVT_REMOTE_IRR) == 0 ||
	    (reg_get(lvt) & LVT_VECTOR) != vector)
		return;
	__atomic_fetch_and(lvt, ~LVT_REMOTE_IRR, __ATOMIC_SEQ_CST);
	if (irqchip_extint(l->chip))
		lapic_lvt_fire(l, LAPIC_LVT_LINT0);
}

void
lapic_eoi(struct lapic *l)
{
	int vector = l->isrv;
	uint32_t bit;

	if (vector < 0) {
		vcpu_stat_add(l->stats, VMSTAT_VLAPIC_EOI_SPURIOUS, 1);
		return;
	}
	bit = BIT(vector % 32);
	l->regs.isr[vector / 32] &= ~bit;
	l->isrv = lapic_highest_bit(l->regs.isr);
	lapic_update_ppr(l);
	if (reg_get(&l->regs.tmr[vector / 32]) & bit) {
		lapic_lint_eoi(l, (uint8_t)vector);
		irqchip_eoi(l->chip, (uint8_t)vector);
	}
	lapic_reassess(l);
}

/* --- messages --------------------------------------------------------- */

bool
lapic_accepts(const struct lapic *l)
{
	return lapic_hw_enabled(l) && lapic_sw_enabled(l);
}

/* SDM 3A 10.6.2.2 (flat and cluster model), 10.12.10 (x2APIC). */
static bool
lapic_matches_logical(const struct lapic *l, uint32_t mda)
{
	uint32_t ldr = reg_get(&l->regs.ldr);

	if (lapic_is_x2apic(l))
		return ldr >> 16 == mda >> 16 && (ldr & mda & 0xffff) != 0;
	ldr >>= 24;
	if (mda > 0xff)
		return false;
	switch (reg_get(&l->regs.dfr) >> 28) {
	case 0xf:
		return (ldr & mda) != 0;
	case 0x0:
		return ldr >> 4 == mda >> 4 && (ldr & mda & 0xf) != 0;
	default:
		return false; /* undefined model */
	}
}

bool
lapic_matches(const struct lapic *l, const struct apic_msg *m)
{
	if (m->broadcast)
		return true;
	if (m->logical)
		return lapic_matches_logical(l, m->dest);
	return l->id == m->dest;
}

static bool
lapic_receive_fixed(struct lapic *l, const struct apic_msg *m)
{
	if (!lapic_accepts(l))
		return false;
	if (m->vector < APIC_FIRST_VECTOR) {
		lapic_error(l, ESR_RECV_ILLEGAL_VECTOR);
		return false;
	}
	lapic_set_irr(l, m->vector, m->level);
	return true;
}

bool
lapic_receive(struct lapic *l, const struct apic_msg *m)
{
	if (!lapic_hw_enabled(l))
		return false;
	switch (m->mode) {
	case APIC_DLM_FIXED:
	case APIC_DLM_LOWEST:
		return lapic_receive_fixed(l, m);
	case APIC_DLM_NMI:
		vcpu_nmi(l->vcpu);
		return true;
	case APIC_DLM_INIT:
		vcpu_init_signal(l->vcpu);
		return true;
	case APIC_DLM_SIPI:
		vcpu_sipi(l->vcpu, m->vector);
		return true;
	case APIC_DLM_EXTINT:
		__atomic_store_n(&l->regs.extint, 1, __ATOMIC_SEQ_CST);
		vcpu_notify_intr(l->vcpu);
		return true;
	case APIC_DLM_SMI: /* no system management mode here */
	case APIC_DLM_RESERVED:
		break;
	}
	return false;
}

/* --- local vector table ----------------------------------------------- */

static bool
lapic_is_lint(enum lapic_lvt n)
{
	return n == LAPIC_LVT_LINT0 || n == LAPIC_LVT_LINT1;
}

static bool
lapic_lvt_fire_fixed(struct lapic *l, enum lapic_lvt n, uint32_t lvt)
{
	uint8_t vector = lvt & LVT_VECTOR;
	bool level = lapic_is_lint(n) && (lvt & LVT_LEVEL) != 0;

	if (vector < APIC_FIRST_VECTOR) {
		lapic_error(l, ESR_RECV_ILLEGAL_VECTOR);
		return false;
	}
	if (level && (__atomic_fetch_or(
			  &l->regs.lvt[n], LVT_REMOTE_IRR, __ATOMIC_SEQ_CST) &
			 LVT_REMOTE_IRR) != 0)
		return false;
	lapic_set_irr(l, vector, level);
	return true;
}

bool
lapic_lvt_fire(struct lapic *l, enum lapic_lvt n)
{
	uint32_t lvt = reg_get(&l->regs.lvt[n]);

	if (!lapic_hw_enabled(l) || (lvt & LVT_MASKED) != 0)
		return false;
	/* SDM 3A 10.5.1: hardware masks the counter's entry as it fires. */
	if (n == LAPIC_LVT_PERF)
		__atomic_fetch_or(
		    &l->regs.lvt[n], LVT_MASKED, __ATOMIC_SEQ_CST);
	if (n == LAPIC_LVT_TIMER || n == LAPIC_LVT_ERROR)
		return lapic_lvt_fire_fixed(l, n, lvt);
	switch (APIC_DLM(lvt)) {
	case APIC_DLM_FIXED:
		return lapic_lvt_fire_fixed(l, n, lvt);
	case APIC_DLM_NMI:
		vcpu_nmi(l->vcpu);
		return true;
	case APIC_DLM_INIT:
		vcpu_init_signal(l->vcpu);
		return true;
	default: /* ExtINT is lapic_takes_extint()'s; the rest is reserved */
		return false;
	}
}

void
lapic_lint(struct lapic *l, enum lapic_lvt pin, bool level)
{
	bool is_intr = pin == LAPIC_LVT_LINT0 && lapic_takes_extint(l);

	if (!level) {
		if (pin == LAPIC_LVT_LINT0)
			__atomic_store_n(&l->regs.extint, 0, __ATOMIC_SEQ_CST);
		return;
	}
	if (is_intr)
		vcpu_notify_intr(l->vcpu);
	else if (lapic_hw_enabled(l))
		lapic_lvt_fire(l, pin);
	else if (pin == LAPIC_LVT_LINT1)
		vcpu_nmi(l->vcpu);
}

/* The first error since the last ESR write interrupts (SDM 3A 10.5.3). */
void
lapic_error(struct lapic *l, uint32_t esr_bit)
{
	uint32_t old =
	    __atomic_fetch_or(&l->regs.esr_pending, esr_bit, __ATOMIC_SEQ_CST);

	if (old == 0 && lapic_lvt_fire(l, LAPIC_LVT_ERROR))
		__atomic_fetch_add(&l->error_intrs, 1, __ATOMIC_RELAXED);
}

/* Compare and swap: lapic_lvt_fire() sets bits from other threads. */
static void
lapic_store_lvt(struct lapic *l, enum lapic_lvt n, uint32_t val)
{
	uint32_t *lvt = &l->regs.lvt[n];
	uint32_t old = reg_get(lvt), new;

	do {
		new = val;
		if (val & LVT_LEVEL)
			new |= old &LVT_REMOTE_IRR;
	} while (!__atomic_compare_exchange_n(
	    lvt, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
}

void
lapic_set_lvt(struct lapic *l, enum lapic_lvt n, uint32_t val)
{
	val &= lapic_lvt_writable[n];
	if (!lapic_sw_enabled(l))
		val |= LVT_MASKED;
	if (n == LAPIC_LVT_TIMER) {
		lapic_timer_set_lvt(l, val);
		return;
	}
	lapic_store_lvt(l, n, val);
	if (n != LAPIC_LVT_LINT0)
		return;
	/* A level-triggered pin that is already high counts from now on. */
	if ((val & LVT_LEVEL) != 0 && APIC_DLM(val) == APIC_DLM_FIXED &&
	    irqchip_extint(l->chip))
		lapic_lvt_fire(l, n);
	lapic_reassess(l);
}

void
lapic_set_svr(struct lapic *l, uint32_t svr)
{
	uint32_t changed = svr ^ l->regs.svr;

	reg_set(&l->regs.svr, svr & (SVR_VECTOR | SVR_ENABLE | SVR_FOCUS));
	if ((changed & SVR_ENABLE) == 0)
		return;
	/* SDM 3A 10.4.7.2: disabling sets all mask bits; they stay set. */
	if (!lapic_sw_enabled(l))
		for (int n = 0; n < LAPIC_LVT_COUNT; n++)
			lapic_set_lvt(l, (enum lapic_lvt)n,
			    reg_get(&l->regs.lvt[n]) | LVT_MASKED);
	else
		irqchip_retry(l->chip);
	lapic_reassess(l);
}

/* --- reset and modes -------------------------------------------------- */

/* SDM 3A 10.12.10.2. */
static uint32_t
lapic_x2apic_ldr(const struct lapic *l)
{
	return (l->id >> 4) << 16 | BIT(l->id & 0xf);
}

/* SDM 3A 10.4.7.1 and 10.4.7.3; the base register is the caller's. */
static void
lapic_power_on_locked(struct lapic *l)
{
	struct lapic_regs *r = &l->regs;

	for (int w = 0; w < 8; w++) {
		__atomic_store_n(&r->irr[w], 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(&r->tmr[w], 0, __ATOMIC_SEQ_CST);
		r->isr[w] = 0;
	}
	__atomic_store_n(&l->irr_sum, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&r->extint, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&r->esr_pending, 0, __ATOMIC_SEQ_CST);
	r->esr = 0;
	r->icr = 0;
	r->tpr = 0;
	reg_set(&r->ldr, lapic_is_x2apic(l) ? lapic_x2apic_ldr(l) : 0);
	reg_set(&r->dfr, UINT32_MAX);
	reg_set(&r->svr, SVR_DEFAULT);
	for (int n = 0; n < LAPIC_LVT_COUNT; n++)
		reg_set(&r->lvt[n], LVT_MASKED);
	lapic_timer_reset(l);
	l->isrv = -1;
	lapic_update_ppr(l);
}

static void
lapic_init(void *arg)
{
	struct lapic *l = arg;

	lock_acquire(&l->lock);
	lapic_power_on_locked(l);
	lock_release(&l->lock);
}

static void
lapic_store_base(struct lapic *l, uint64_t base)
{
	__atomic_store_n(&l->regs.apic_base, base, __ATOMIC_SEQ_CST);
}

/* SDM 3A 10.12.5: which of disabled, xAPIC, x2APIC may follow which. */
static bool
lapic_mode_change_ok(uint64_t old, uint64_t new)
{
	bool old_en = (old & APIC_BASE_EN) != 0;
	bool new_en = (new &APIC_BASE_EN) != 0;
	bool old_extd = (old & APIC_BASE_EXTD) != 0;
	bool new_extd = (new &APIC_BASE_EXTD) != 0;

	if (new_extd && !new_en)
		return false; /* the invalid state */
	if (old_extd && new_en && !new_extd)
		return false;	    /* x2APIC to xAPIC */
	return old_en || !new_extd; /* disabled to x2APIC */
}

bool
lapic_set_base(struct lapic *l, uint64_t val)
{
	const uint64_t mode_bits = APIC_BASE_EN | APIC_BASE_EXTD;
	uint64_t old = l->regs.apic_base;
	uint64_t new = (old & ~mode_bits) | (val & mode_bits);

	if ((val & ~(APIC_BASE_ADDR | APIC_BASE_BSP | mode_bits)) != 0 ||
	    !lapic_mode_change_ok(old, val))
		return false;
	if ((val & APIC_BASE_ADDR) != LAPIC_MMIO_BASE)
		guest_error("lapic", "vcpu %u: registers cannot move to %#llx",
		    l->id, (unsigned long long)(val & APIC_BASE_ADDR));
	if (new == old)
		return true;
	lapic_store_base(l, new);
	if (((old ^ new) & APIC_BASE_EN) != 0) {
		/* Disabling loses all state, enabling starts as at power-on. */
		lapic_init(l);
	} else { /* xAPIC to x2APIC (10.12.5.1) */
		reg_set(&l->regs.ldr, lapic_x2apic_ldr(l));
		l->regs.icr &= UINT32_MAX;
	}
	irqchip_retry(l->chip);
	lapic_reassess(l);
	return true;
}

static void
lapic_reset(void *arg)
{
	struct lapic *l = arg;
	uint64_t base = LAPIC_MMIO_BASE | APIC_BASE_EN;

	if (l->id == 0)
		base |= APIC_BASE_BSP;
	if (l->start_x2apic)
		base |= APIC_BASE_EXTD;
	lapic_store_base(l, base);
	lapic_power_on_locked(l);
}

static void
lapic_pause(void *arg)
{
	lapic_timer_pause(arg);
}

static void
lapic_resume(void *arg)
{
	lapic_timer_resume(arg);
}

/* --- snapshot --------------------------------------------------------- */

static bool
lapic_base_valid(const struct lapic *l, uint64_t base)
{
	uint64_t fixed = LAPIC_MMIO_BASE | (l->id == 0 ? APIC_BASE_BSP : 0);
	uint64_t mode = base ^ fixed;

	return mode == 0 || mode == APIC_BASE_EN ||
	       mode == (APIC_BASE_EN | APIC_BASE_EXTD);
}

/* A stream is no more trusted than the guest: only what it could have set. */
static bool
lapic_regs_valid(
    const struct lapic *l, const struct lapic_regs *r, uint64_t elapsed)
{
	const uint32_t illegal = BIT(APIC_FIRST_VECTOR) - 1;
	const uint32_t ro = LVT_REMOTE_IRR;
	bool x2apic = (r->apic_base & APIC_BASE_EXTD) != 0;

	if (x2apic ? r->ldr != lapic_x2apic_ldr(l) : (r->ldr << 8) != 0)
		return false;
	if (!lapic_base_valid(l, r->apic_base) || r->tpr > 0xff ||
	    (r->svr & ~(SVR_VECTOR | SVR_ENABLE | SVR_FOCUS)) != 0 ||
	    ((r->isr[0] | r->irr[0] | r->tmr[0]) & illegal) != 0 ||
	    r->extint > 1 || r->counting > 1)
		return false;
	for (int n = 0; n < LAPIC_LVT_COUNT; n++) {
		if ((r->lvt[n] & ~(lapic_lvt_writable[n] | ro)) != 0)
			return false;
		if ((r->svr & SVR_ENABLE) == 0 && (r->lvt[n] & LVT_MASKED) == 0)
			return false;
	}
	return lapic_timer_valid(r, elapsed);
}

static void
lapic_load(struct lapic *l, const struct lapic_regs *r, uint64_t elapsed)
{
	l->regs = *r;
	l->irr_sum = 0;
	for (int w = 0; w < 8; w++)
		if (r->irr[w] != 0)
			l->irr_sum |= BIT(w);
	l->isrv = lapic_highest_bit(r->isr);
	lapic_update_ppr(l);
	lapic_timer_restart(l, elapsed);
	vcpu_notify_intr(l->vcpu);
}

static void
lapic_snapshot(void *arg, struct snap *s)
{
	struct lapic *l = arg;
	struct lapic_regs r = l->regs;
	uint64_t elapsed = lapic_timer_elapsed(l);

	snap_var(s, r.apic_base);
	snap_var(s, r.icr);
	snap_var(s, r.tpr);
	snap_var(s, r.ldr);
	snap_var(s, r.dfr);
	snap_var(s, r.svr);
	snap_var(s, r.esr);
	snap_var(s, r.esr_pending);
	snap_var(s, r.lvt);
	snap_var(s, r.isr);
	snap_var(s, r.tmr);
	snap_var(s, r.irr);
	snap_var(s, r.extint);
	snap_var(s, r.initial_count);
	snap_var(s, r.divide);
	snap_var(s, r.counting);
	snap_var(s, elapsed);
	snap_var(s, r.deadline);
	if (!snap_loading(s) || snap_error(s) != 0)
		return;
	if (lapic_regs_valid(l, &r, elapsed))
		lapic_load(l, &r, elapsed);
	else
		snap_fail(s);
}

/* --- life cycle ------------------------------------------------------- */

static const struct vcpu_intr_ops lapic_intr_ops = {
	.pending = lapic_pending,
	.accept = lapic_accept,
	.get_cr8 = lapic_get_cr8,
	.set_cr8 = lapic_set_cr8,
	.init = lapic_init,
};

struct lapic *
lapic_create(struct irqchip *chip, struct vcpu *vcpu, bool x2apic)
{
	struct lapic *l = xcalloc(1, sizeof(*l));

	l->chip = chip;
	l->vcpu = vcpu;
	l->id = vcpu_apic_id(vcpu);
	l->stats = vcpu_stats(vcpu);
	l->start_x2apic = x2apic;
	lock_init(&l->lock);
	lapic_timer_create(l);
	lock_acquire(&l->lock);
	lapic_reset(l);
	lock_release(&l->lock);
	vcpu_set_intr(vcpu, &lapic_intr_ops, l);
	return l;
}

void
lapic_destroy(struct lapic *l)
{
	if (l == NULL)
		return;
	vcpu_set_intr(l->vcpu, NULL, NULL);
	lapic_timer_destroy(l);
	lock_fini(&l->lock);
	free(l);
}

static void
lapic_fini(void *arg)
{
	lapic_destroy(arg);
}

static const struct chip_ops lapic_chip_ops = {
	.name = "lapic",
	.reset = lapic_reset,
	.pause = lapic_pause,
	.resume = lapic_resume,
	.snapshot = lapic_snapshot,
	.fini = lapic_fini,
};

void
lapic_chip_add(struct lapic *l)
{
	chip_add(vcpu_vm(l->vcpu), &lapic_chip_ops, l, &l->lock);
}
