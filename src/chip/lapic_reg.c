/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lapic_reg.c - the local APIC as software sees it: the 4 KiB xAPIC page, the
 * x2APIC MSRs, IA32_APIC_BASE, IA32_TSC_DEADLINE, and sending IPIs.
 * Intel SDM volume 3A 10.4.1, 10.6, 10.12 (2023).
 *
 * One table describes both interfaces.  A page access must be an aligned
 * 32-bit one at a multiple of 16; others read 0 and are reported.  Runs on the
 * vCPU's own thread, without a lock.
 */
#include "lapic.h"

#include <util/log.h>
#include <vmm/bus.h>
#include <vmm/vcpu.h>

/* Register numbers: page offset / 16, MSR - 0x800. */
#define LAPIC_REG_ICR_LOW 0x30u
#define LAPIC_NREGS	  0x40u

/* ICR (SDM 3A figures 10-12 and 10-28). */
#define ICR_LOGICAL	   BIT(11)
#define ICR_ASSERT	   BIT(14)
#define ICR_LEVEL	   BIT(15)
#define ICR_SHORTHAND(icr) (((icr) >> 18) & 3)
#define ICR_VALID	   0x000ccfffu /* without delivery status, bit 12 */
#define ICR_DEST_XAPIC	   0xff00000000000000ull
#define ICR_DEST_X2APIC	   0xffffffff00000000ull

enum icr_shorthand {
	ICR_DEST_FIELD,
	ICR_DEST_SELF,
	ICR_DEST_ALL,
	ICR_DEST_ALL_BUT_SELF,
};

const uint32_t lapic_lvt_writable[LAPIC_LVT_COUNT] = {
	[LAPIC_LVT_CMCI] = LVT_VECTOR | LVT_DLM | LVT_MASKED,
	[LAPIC_LVT_TIMER] = LVT_VECTOR | LVT_MASKED | LVT_TIMER_MODE,
	[LAPIC_LVT_THERMAL] = LVT_VECTOR | LVT_DLM | LVT_MASKED,
	[LAPIC_LVT_PERF] = LVT_VECTOR | LVT_DLM | LVT_MASKED,
	[LAPIC_LVT_LINT0] =
	    LVT_VECTOR | LVT_DLM | LVT_POLARITY | LVT_LEVEL | LVT_MASKED,
	[LAPIC_LVT_LINT1] =
	    LVT_VECTOR | LVT_DLM | LVT_POLARITY | LVT_LEVEL | LVT_MASKED,
	[LAPIC_LVT_ERROR] = LVT_VECTOR | LVT_MASKED,
};

/* --- interprocessor interrupts ---------------------------------------- */

/* SDM 3A table 10-3: what a shorthand that includes the sender may carry. */
static bool
lapic_ipi_to_self_ok(const struct lapic *l, enum apic_dlm mode)
{
	if (mode != APIC_DLM_INIT && mode != APIC_DLM_SIPI &&
	    mode != APIC_DLM_SMI)
		return true;
	guest_error("lapic", "vcpu %u: IPI of mode %d to itself by shorthand",
	    l->id, (int)mode);
	return false;
}

static void
lapic_ipi_route(struct lapic *l, struct apic_msg *m, enum icr_shorthand to)
{
	switch (to) {
	case ICR_DEST_FIELD:
		irqchip_send(l->chip, m);
		return;
	case ICR_DEST_SELF:
		if (lapic_ipi_to_self_ok(l, m->mode))
			lapic_receive(l, m);
		return;
	case ICR_DEST_ALL:
		if (lapic_ipi_to_self_ok(l, m->mode))
			irqchip_send_all(l->chip, m, NULL);
		return;
	case ICR_DEST_ALL_BUT_SELF:
		irqchip_send_all(l->chip, m, l);
		return;
	}
}

static void
lapic_send_ipi(struct lapic *l, uint64_t icr)
{
	uint32_t low = (uint32_t)icr;
	struct apic_msg m = {
		.mode = APIC_DLM(low),
		.vector = low & 0xff,
		.logical = (low & ICR_LOGICAL) != 0,
	};

	if (lapic_is_x2apic(l)) {
		m.dest = (uint32_t)(icr >> 32);
		m.broadcast = m.dest == X2APIC_BROADCAST;
	} else {
		m.dest = (uint32_t)(icr >> 56);
		m.broadcast = m.dest == XAPIC_BROADCAST;
	}
	/* INIT level de-assert only set arbitration ids, long ago. */
	if (m.mode == APIC_DLM_INIT &&
	    (low & (ICR_ASSERT | ICR_LEVEL)) == ICR_LEVEL)
		return;
	/* An IPI is never ExtINT (SDM 3A 10.6.1: 111b is reserved). */
	if (m.mode == APIC_DLM_EXTINT || m.mode == APIC_DLM_RESERVED)
		return;
	if (m.mode <= APIC_DLM_LOWEST && m.vector < APIC_FIRST_VECTOR) {
		lapic_error(l, ESR_SEND_ILLEGAL_VECTOR);
		return;
	}
	vcpu_stat_add(l->stats, VMSTAT_VLAPIC_IPIS_SENT, 1);
	lapic_ipi_route(l, &m, (enum icr_shorthand)ICR_SHORTHAND(low));
}

/* --- registers -------------------------------------------------------- */

static uint32_t
lapic_read_id(struct lapic *l, unsigned int reg)
{
	return lapic_is_x2apic(l) ? l->id : l->id << 24;
}

static uint32_t
lapic_read_version(struct lapic *l, unsigned int reg)
{
	return LAPIC_VERSION;
}

static uint32_t
lapic_read_zero(struct lapic *l, unsigned int reg)
{
	return 0;
}

static void
lapic_write_ignored(struct lapic *l, unsigned int reg, uint32_t val)
{
}

static uint32_t
lapic_read_tpr(struct lapic *l, unsigned int reg)
{
	return l->regs.tpr;
}

static void
lapic_write_tpr(struct lapic *l, unsigned int reg, uint32_t val)
{
	lapic_set_tpr(l, val);
}

static uint32_t
lapic_read_ppr(struct lapic *l, unsigned int reg)
{
	return l->ppr;
}

static void
lapic_write_eoi(struct lapic *l, unsigned int reg, uint32_t val)
{
	lapic_eoi(l);
}

static uint32_t
lapic_read_ldr(struct lapic *l, unsigned int reg)
{
	return l->regs.ldr;
}

static void
lapic_write_ldr(struct lapic *l, unsigned int reg, uint32_t val)
{
	reg_set(&l->regs.ldr, val & 0xff000000);
	irqchip_retry(l->chip);
}

static uint32_t
lapic_read_dfr(struct lapic *l, unsigned int reg)
{
	return l->regs.dfr;
}

static void
lapic_write_dfr(struct lapic *l, unsigned int reg, uint32_t val)
{
	reg_set(&l->regs.dfr, val | 0x0fffffff);
	irqchip_retry(l->chip);
}

static uint32_t
lapic_read_svr(struct lapic *l, unsigned int reg)
{
	return l->regs.svr;
}

static void
lapic_write_svr(struct lapic *l, unsigned int reg, uint32_t val)
{
	lapic_set_svr(l, val);
}

static uint32_t
lapic_read_isr(struct lapic *l, unsigned int reg)
{
	return l->regs.isr[reg & 7];
}

static uint32_t
lapic_read_tmr(struct lapic *l, unsigned int reg)
{
	return reg_get(&l->regs.tmr[reg & 7]);
}

static uint32_t
lapic_read_irr(struct lapic *l, unsigned int reg)
{
	return reg_get(&l->regs.irr[reg & 7]);
}

static uint32_t
lapic_read_esr(struct lapic *l, unsigned int reg)
{
	return l->regs.esr;
}

/* SDM 3A 10.5.3: a write shows what came since the last one, and rearms. */
static void
lapic_write_esr(struct lapic *l, unsigned int reg, uint32_t val)
{
	l->regs.esr =
	    __atomic_exchange_n(&l->regs.esr_pending, 0, __ATOMIC_SEQ_CST);
}

static uint32_t
lapic_read_icr(struct lapic *l, unsigned int reg)
{
	return (uint32_t)(reg == LAPIC_REG_ICR_LOW ? l->regs.icr
						   : l->regs.icr >> 32);
}

static void
lapic_write_icr_low(struct lapic *l, unsigned int reg, uint32_t val)
{
	l->regs.icr = (l->regs.icr & ICR_DEST_XAPIC) | (val & ICR_VALID);
	lapic_send_ipi(l, l->regs.icr);
}

static void
lapic_write_icr_high(struct lapic *l, unsigned int reg, uint32_t val)
{
	l->regs.icr =
	    (uint32_t)l->regs.icr | ((uint64_t)val << 32 & ICR_DEST_XAPIC);
}

/* Registers 0x32-0x37 in order; CMCI came later, at 0x2f. */
static enum lapic_lvt
lapic_lvt_of_reg(unsigned int reg)
{
	return reg == 0x2f ? LAPIC_LVT_CMCI
			   : (enum lapic_lvt)(reg - 0x32 + LAPIC_LVT_TIMER);
}

static uint32_t
lapic_read_lvt(struct lapic *l, unsigned int reg)
{
	return reg_get(&l->regs.lvt[lapic_lvt_of_reg(reg)]);
}

static void
lapic_write_lvt(struct lapic *l, unsigned int reg, uint32_t val)
{
	lapic_set_lvt(l, lapic_lvt_of_reg(reg), val);
}

static uint32_t
lapic_read_initial(struct lapic *l, unsigned int reg)
{
	return l->regs.initial_count;
}

static void
lapic_write_initial(struct lapic *l, unsigned int reg, uint32_t val)
{
	lapic_timer_set_initial(l, val);
}

static uint32_t
lapic_read_current(struct lapic *l, unsigned int reg)
{
	return lapic_timer_current(l);
}

static uint32_t
lapic_read_divide(struct lapic *l, unsigned int reg)
{
	return l->regs.divide;
}

static void
lapic_write_divide(struct lapic *l, unsigned int reg, uint32_t val)
{
	lapic_timer_set_divide(l, val);
}

static void
lapic_write_self_ipi(struct lapic *l, unsigned int reg, uint32_t val)
{
	lapic_send_ipi(l, (uint64_t)ICR_DEST_SELF << 18 | (val & 0xff));
}

/*
 * `read` NULL: not on the page, an access there is ESR bit 7.  `msr`: may be
 * read, written or both by MSR; msr_valid: the bits a WRMSR may set, others
 * raise #GP (SDM 3A table 10-6, 10.12.1.2).  Read-only bits of LVTs may be
 * written back.
 */
struct lapic_reg {
	uint32_t (*read)(struct lapic *, unsigned int reg);
	void (*write)(struct lapic *, unsigned int reg, uint32_t val);
	uint8_t msr;
	uint32_t msr_valid;
};

#define MSR_R	  0x1u
#define MSR_W	  0x2u
#define MSR_RW	  (MSR_R | MSR_W)

#define SVR_VALID (SVR_VECTOR | SVR_ENABLE | SVR_FOCUS)
#define LVT_VALID (LVT_VECTOR | LVT_MASKED | LVT_DELIVS)
#define LINT_VALID                                                             \
	(LVT_VALID | LVT_DLM | LVT_POLARITY | LVT_LEVEL | LVT_REMOTE_IRR)

/* clang-format off */
static const struct lapic_reg lapic_reg_table[LAPIC_NREGS] = {
	[0x02] = { lapic_read_id, lapic_write_ignored, MSR_R, 0 },
	[0x03] = { lapic_read_version, lapic_write_ignored, MSR_R, 0 },
	[0x08] = { lapic_read_tpr, lapic_write_tpr, MSR_RW, 0xff },
	/* Arbitration priority, remote read: none since the Pentium 4. */
	[0x09] = { lapic_read_zero, lapic_write_ignored, 0, 0 },
	[0x0a] = { lapic_read_ppr, lapic_write_ignored, MSR_R, 0 },
	[0x0b] = { lapic_read_zero, lapic_write_eoi, MSR_W, 0 },
	[0x0c] = { lapic_read_zero, lapic_write_ignored, 0, 0 },
	[0x0d] = { lapic_read_ldr, lapic_write_ldr, MSR_R, 0 },
	[0x0e] = { lapic_read_dfr, lapic_write_dfr, 0, 0 },
	[0x0f] = { lapic_read_svr, lapic_write_svr, MSR_RW, SVR_VALID },
	[0x10 ... 0x17] = { lapic_read_isr, lapic_write_ignored, MSR_R, 0 },
	[0x18 ... 0x1f] = { lapic_read_tmr, lapic_write_ignored, MSR_R, 0 },
	[0x20 ... 0x27] = { lapic_read_irr, lapic_write_ignored, MSR_R, 0 },
	[0x28] = { lapic_read_esr, lapic_write_esr, MSR_RW, 0 },
	[0x2f] = { lapic_read_lvt, lapic_write_lvt, MSR_RW, LVT_VALID | LVT_DLM },
	/* By MSR the ICR is one register of 64 bits: lapic_x2apic_write(). */
	[0x30] = { lapic_read_icr, lapic_write_icr_low, MSR_RW, ICR_VALID },
	[0x31] = { lapic_read_icr, lapic_write_icr_high, 0, 0 },
	[0x32] = { lapic_read_lvt, lapic_write_lvt, MSR_RW, LVT_VALID | LVT_TIMER_MODE },
	[0x33 ... 0x34] = { lapic_read_lvt, lapic_write_lvt, MSR_RW, LVT_VALID | LVT_DLM },
	[0x35 ... 0x36] = { lapic_read_lvt, lapic_write_lvt, MSR_RW, LINT_VALID },
	[0x37] = { lapic_read_lvt, lapic_write_lvt, MSR_RW, LVT_VALID },
	[0x38] = { lapic_read_initial, lapic_write_initial, MSR_RW, UINT32_MAX },
	[0x39] = { lapic_read_current, lapic_write_ignored, MSR_R, 0 },
	[0x3e] = { lapic_read_divide, lapic_write_divide, MSR_RW, 0xb },
	[0x3f] = { NULL, lapic_write_self_ipi, MSR_W, 0xff },
};
/* clang-format on */

/* --- the page --------------------------------------------------------- */

static struct lapic *
lapic_of(struct vcpu *vcpu)
{
	void *apic = NULL;

	vcpu_intr(vcpu, &apic);
	return apic;
}

int
lapic_mmio(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val, void *arg)
{
	struct lapic *l = lapic_of(vcpu);
	uint64_t off = gpa & (LAPIC_MMIO_SIZE - 1);
	const struct lapic_reg *r = NULL;

	/* Disabled or in x2APIC mode the page is not there (10.12.2). */
	if (l == NULL || !lapic_hw_enabled(l) || lapic_is_x2apic(l)) {
		if (!write)
			*val = UINT64_MAX;
		return 0;
	}
	if (!write)
		*val = 0;
	if (bytes != 4 || off % 16 != 0) {
		guest_error("lapic", "vcpu %u: %u-byte access at offset %#x",
		    l->id, bytes, (unsigned int)off);
		return 0;
	}
	if (off / 16 < LAPIC_NREGS)
		r = &lapic_reg_table[off / 16];
	if (r == NULL || r->read == NULL)
		lapic_error(l, ESR_ILLEGAL_REGISTER);
	else if (write)
		r->write(l, (unsigned int)(off / 16), (uint32_t)*val);
	else
		*val = r->read(l, (unsigned int)(off / 16));
	return 0;
}

/* --- the MSRs --------------------------------------------------------- */

static const struct lapic_reg *
lapic_x2apic_reg(const struct lapic *l, uint32_t msr, uint8_t how)
{
	uint32_t reg = msr - MSR_X2APIC_FIRST;

	if (l == NULL || !lapic_is_x2apic(l) || reg >= LAPIC_NREGS ||
	    (lapic_reg_table[reg].msr & how) == 0)
		return NULL;
	return &lapic_reg_table[reg];
}

static int
lapic_x2apic_read(struct vcpu *vcpu, uint32_t msr, uint64_t *val, void *arg)
{
	struct lapic *l = lapic_of(vcpu);
	const struct lapic_reg *r = lapic_x2apic_reg(l, msr, MSR_R);

	if (r == NULL)
		return -1;
	if (msr == MSR_X2APIC_FIRST + LAPIC_REG_ICR_LOW)
		*val = l->regs.icr;
	else
		*val = r->read(l, msr - MSR_X2APIC_FIRST);
	return 0;
}

static int
lapic_x2apic_write(struct vcpu *vcpu, uint32_t msr, uint64_t val, void *arg)
{
	struct lapic *l = lapic_of(vcpu);
	const struct lapic_reg *r = lapic_x2apic_reg(l, msr, MSR_W);
	bool icr = msr == MSR_X2APIC_FIRST + LAPIC_REG_ICR_LOW;
	uint64_t valid;

	if (r == NULL)
		return -1;
	valid = r->msr_valid | (icr ? ICR_DEST_X2APIC : 0);
	if ((val & ~valid) != 0)
		return -1;
	if (icr) {
		l->regs.icr = val;
		lapic_send_ipi(l, val);
	} else {
		r->write(l, msr - MSR_X2APIC_FIRST, (uint32_t)val);
	}
	return 0;
}

static int
lapic_base_read(struct vcpu *vcpu, uint32_t msr, uint64_t *val, void *arg)
{
	struct lapic *l = lapic_of(vcpu);

	if (l == NULL)
		return -1;
	*val = l->regs.apic_base;
	return 0;
}

static int
lapic_base_write(struct vcpu *vcpu, uint32_t msr, uint64_t val, void *arg)
{
	struct lapic *l = lapic_of(vcpu);

	return l != NULL && lapic_set_base(l, val) ? 0 : -1;
}

/* Outside its mode the deadline reads 0 and ignores writes (10.5.4.1). */
static int
lapic_deadline_read(struct vcpu *vcpu, uint32_t msr, uint64_t *val, void *arg)
{
	struct lapic *l = lapic_of(vcpu);

	if (l == NULL)
		return -1;
	*val = lapic_timer_get_deadline(l);
	return 0;
}

static int
lapic_deadline_write(struct vcpu *vcpu, uint32_t msr, uint64_t val, void *arg)
{
	struct lapic *l = lapic_of(vcpu);

	if (l == NULL)
		return -1;
	lapic_timer_set_deadline(l, val);
	return 0;
}

int
lapic_register_msrs(struct vmctx *ctx)
{
	static const struct msr_range msr_table[] = {
		{ .name = "apic base",
		    .first = MSR_IA32_APIC_BASE,
		    .last = MSR_IA32_APIC_BASE,
		    .read = lapic_base_read,
		    .write = lapic_base_write },
		{ .name = "tsc deadline",
		    .first = MSR_IA32_TSC_DEADLINE,
		    .last = MSR_IA32_TSC_DEADLINE,
		    .read = lapic_deadline_read,
		    .write = lapic_deadline_write },
		{ .name = "x2apic",
		    .first = MSR_X2APIC_FIRST,
		    .last = MSR_X2APIC_LAST,
		    .read = lapic_x2apic_read,
		    .write = lapic_x2apic_write },
	};

	for (size_t i = 0; i < ARRAY_LEN(msr_table); i++) {
		int err = bus_msr_register(ctx, &msr_table[i]);

		if (err != 0)
			return err;
	}
	return 0;
}
