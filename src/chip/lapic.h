/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lapic.h - the local APIC's inside, for lapic.c (vectors, priorities, LVTs),
 * lapic_reg.c (registers, MMIO, MSRs, IPIs) and lapic_timer.c.
 *
 * Threads: a register is written by its own vCPU's thread (or by anybody
 * while that does not run), so the vCPU needs no lock to use it.  What other
 * threads read (base, ldr, dfr, svr, lvt, ppr) or set (irr, tmr, esr_pending,
 * extint) is accessed atomically.  `lock` guards the timer, which the event
 * thread shares.
 */
#ifndef CHIP_LAPIC_H
#define CHIP_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

#include <util/lock.h>
#include <util/util.h>
#include <vmm/irq.h>

#include "irqchip.h"

struct evtimer;
struct snap;
struct vmctx;

#define LAPIC_MMIO_BASE 0xfee00000ull
#define LAPIC_MMIO_SIZE 0x1000ull

/* IA32_APIC_BASE (SDM 3A 10.4.4, 10.12.1). */
#define MSR_IA32_APIC_BASE    0x1bu
#define APIC_BASE_BSP	      BIT64(8)
#define APIC_BASE_EXTD	      BIT64(10)
#define APIC_BASE_EN	      BIT64(11)
#define APIC_BASE_ADDR	      0x000ffffffffff000ull

#define MSR_IA32_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC_FIRST      0x800u
#define MSR_X2APIC_LAST	      0x8ffu

/*
 * Version 0x14, an xAPIC (SDM 3A 10.4.8): with less, guests take ids for four
 * bits wide and read APR in x2APIC mode, where there is none.  Highest LVT
 * index 6 (CMCI); no EOI-broadcast suppression.
 */
#define LAPIC_VERSION (0x14u | 6u << 16)

#define SVR_VECTOR    0xffu
#define SVR_ENABLE    BIT(8)
#define SVR_FOCUS     BIT(9)
#define SVR_DEFAULT   0xffu

/* LVT bits (SDM 3A figure 10-8). */
#define LVT_VECTOR	   0xffu
#define LVT_DLM		   0x700u
#define LVT_DELIVS	   BIT(12)
#define LVT_POLARITY	   BIT(13)
#define LVT_REMOTE_IRR	   BIT(14)
#define LVT_LEVEL	   BIT(15)
#define LVT_MASKED	   BIT(16)
#define LVT_TIMER_MODE	   0x60000u
#define LVT_TIMER_ONESHOT  0u
#define LVT_TIMER_PERIODIC 0x20000u
#define LVT_TIMER_DEADLINE 0x40000u

enum lapic_lvt {
	LAPIC_LVT_CMCI,
	LAPIC_LVT_TIMER,
	LAPIC_LVT_THERMAL,
	LAPIC_LVT_PERF,
	LAPIC_LVT_LINT0,
	LAPIC_LVT_LINT1,
	LAPIC_LVT_ERROR,
	LAPIC_LVT_COUNT
};

/* ESR bits (SDM 3A 10.5.3). */
#define ESR_SEND_ILLEGAL_VECTOR BIT(5)
#define ESR_RECV_ILLEGAL_VECTOR BIT(6)
#define ESR_ILLEGAL_REGISTER	BIT(7)

/* Guest-visible; what a snapshot holds. */
struct lapic_regs {
	uint64_t apic_base;
	uint64_t icr; /* destination in 63:56 (xAPIC) or 63:32 (x2APIC) */
	uint32_t tpr;
	uint32_t ldr;
	uint32_t dfr;
	uint32_t svr;
	uint32_t esr;
	uint32_t esr_pending; /* becomes esr at the next ESR write */
	uint32_t lvt[LAPIC_LVT_COUNT];
	uint32_t isr[8];
	uint32_t tmr[8];
	uint32_t irr[8];
	uint32_t extint; /* an ExtINT message came; vector is the 8259's */
	/* Timer, guarded by lapic.lock. */
	uint32_t initial_count;
	uint32_t divide;
	uint32_t counting;
	uint64_t start;	   /* bus tick at which the count was initial_count */
	uint64_t deadline; /* IA32_TSC_DEADLINE; 0: disarmed */
};

struct lapic {
	struct lapic_regs regs;
	uint32_t irr_sum; /* bit n: irr[n] may be non-zero */
	uint32_t ppr;
	int isrv; /* highest vector in service, or -1 */
	uint32_t id;
	bool start_x2apic;
	struct irqchip *chip;
	struct vcpu *vcpu;
	uint64_t *stats;
	/* Counted by other threads, added to stats by the vCPU's own. */
	uint32_t timer_intrs;
	uint32_t error_intrs;

	struct lock lock;
	struct evtimer *timer;
	bool timer_paused;
};

/* --- lapic.c ---------------------------------------------------------- */

/* Attaches itself to the vCPU (vcpu_set_intr). */
struct lapic *lapic_create(struct irqchip *, struct vcpu *, bool x2apic);
void lapic_destroy(struct lapic *);
void lapic_chip_add(struct lapic *);

static inline bool
lapic_hw_enabled(const struct lapic *l)
{
	return (__atomic_load_n(&l->regs.apic_base, __ATOMIC_RELAXED) &
		   APIC_BASE_EN) != 0;
}

static inline bool
lapic_is_x2apic(const struct lapic *l)
{
	return (__atomic_load_n(&l->regs.apic_base, __ATOMIC_RELAXED) &
		   APIC_BASE_EXTD) != 0;
}

static inline bool
lapic_sw_enabled(const struct lapic *l)
{
	return (reg_get(&l->regs.svr) & SVR_ENABLE) != 0;
}

/* From any thread. */
bool lapic_matches(const struct lapic *, const struct apic_msg *);
bool lapic_accepts(const struct lapic *); /* could take a fixed interrupt */
bool lapic_receive(struct lapic *, const struct apic_msg *);
bool lapic_lvt_fire(struct lapic *, enum lapic_lvt);
void lapic_lint(struct lapic *, enum lapic_lvt pin, bool level);
void lapic_error(struct lapic *, uint32_t esr_bit);
void lapic_set_irr(struct lapic *, uint8_t vector, bool level);

/* On the vCPU's thread. */
void lapic_eoi(struct lapic *);
void lapic_set_tpr(struct lapic *, uint32_t tpr);
void lapic_set_svr(struct lapic *, uint32_t svr);
void lapic_set_lvt(struct lapic *, enum lapic_lvt, uint32_t val);
bool lapic_set_base(struct lapic *, uint64_t val); /* false: #GP */
void lapic_reassess(struct lapic *); /* something may be deliverable now */

/* --- lapic_reg.c ------------------------------------------------------ */

/* Bits of each LVT that software may write. */
extern const uint32_t lapic_lvt_writable[LAPIC_LVT_COUNT];

/* MMIO and MSR handlers; they find the APIC by the vCPU. */
int lapic_mmio(struct vcpu *, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val, void *arg);
int lapic_register_msrs(struct vmctx *) WARN_UNUSED;

/* --- lapic_timer.c ---------------------------------------------------- */

void lapic_timer_create(struct lapic *);
void lapic_timer_destroy(struct lapic *);
/* Lock held. */
void lapic_timer_reset(struct lapic *);
void lapic_timer_pause(struct lapic *);
void lapic_timer_resume(struct lapic *);
/* Bus ticks since the count began; what a snapshot keeps instead of start. */
uint64_t lapic_timer_elapsed(struct lapic *);
void lapic_timer_restart(struct lapic *, uint64_t elapsed);
bool lapic_timer_valid(const struct lapic_regs *, uint64_t elapsed);
/* Take the lock; the vCPU's thread. */
void lapic_timer_set_lvt(struct lapic *, uint32_t lvt);
void lapic_timer_set_initial(struct lapic *, uint32_t count);
void lapic_timer_set_divide(struct lapic *, uint32_t divide);
void lapic_timer_set_deadline(struct lapic *, uint64_t tsc);
uint64_t lapic_timer_get_deadline(struct lapic *);
uint32_t lapic_timer_current(struct lapic *);

#endif /* CHIP_LAPIC_H */
