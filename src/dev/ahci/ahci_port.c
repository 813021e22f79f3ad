/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port: its registers (AHCI 1.3.1 section 3.3), its link to the device, its
 * resets (10.4) and the command engine's start and stop (10.3).
 *
 * The link comes up in no time.  Aggressive power management and the activity
 * LED are stored and have no effect; the interface's power state changes when
 * PxCMD.ICC says so.  There are no port multipliers.
 */
#include "ahci_priv.h"

#include <vmm/snap.h>

/* --- link ----------------------------------------------------------------- */

static void
ahci_link_down(struct ahci_port *p, uint32_t det)
{
	ahci_cancel(p);
	p->regs.issued = 0;
	p->regs.sig_pending = 0;
	p->regs.ssts = det;
	p->regs.sig = SIG_NONE;
	p->regs.tfd = 0x7f;
}

/* The device was reset by COMRESET, or has power now. */
static void
ahci_link_up(struct ahci_port *p)
{
	uint32_t limit = (p->regs.sctl & SPD_MASK) >> SPD_SHIFT;
	uint32_t spd = SSTS_SPD_GEN3;

	if (!p->present)
		return;
	if (limit != 0 && limit < spd)
		spd = limit;
	p->regs.ssts =
	    SSTS_IPM_ACTIVE << IPM_SHIFT | spd << SPD_SHIFT | SSTS_DET_UP;
	p->regs.sig = p->atapi ? SIG_ATAPI : SIG_DISK;
	ata_reset(p, true);
	ahci_post_signature(p);
}

static bool
ahci_link_wanted(const struct ahci_port *p)
{
	return (p->regs.cmd & PxCMD_SUD) != 0 && (p->regs.sctl & DET_MASK) == 0;
}

/* Spin-up or PxSCTL.DET may have changed. */
static void
ahci_link_update(struct ahci_port *p, bool was_wanted)
{
	bool wanted = ahci_link_wanted(p);

	if (was_wanted && !wanted) {
		bool off = (p->regs.sctl & DET_MASK) == SCTL_DET_OFF;

		ahci_link_down(p, off ? SSTS_DET_OFF : 0);
	} else if (!was_wanted && wanted && p->present) {
		ahci_link_up(p);
		p->regs.serr |= SERR_DIAG_X | SERR_DIAG_N;
	}
}

void
ahci_port_reset(struct ahci_port *p, bool hard)
{
	const struct ahci_port_regs old = p->regs;

	ahci_link_down(p, 0);
	p->regs = (struct ahci_port_regs){
		.cmd = PxCMD_SUD | PxCMD_POD,
		.ccs = AHCI_NSLOTS - 1, /* slot 0 comes first */
		.sig = SIG_NONE,
		.tfd = 0x7f,
	};
	if (!hard) {
		p->regs.clb = old.clb;
		p->regs.clbu = old.clbu;
		p->regs.fb = old.fb;
		p->regs.fbu = old.fbu;
	}
	ahci_link_up(p);
}

/* --- registers with a will of their own ----------------------------------- */

uint32_t
ahci_port_is(const struct ahci_port *p)
{
	uint32_t is = p->regs.is;

	is |= (p->regs.serr & SERR_DIAG_X) != 0 ? PxIS_PCS : 0;
	is |= (p->regs.serr & SERR_DIAG_N) != 0 ? PxIS_PRCS : 0;
	is |= (p->regs.serr & SERR_DIAG_F) != 0 ? PxIS_UFS : 0;
	return is;
}

/* FR and CR follow at once. */
static uint32_t
ahci_port_cmd(const struct ahci_port *p)
{
	uint32_t cmd = p->regs.cmd;

	if ((cmd & PxCMD_ST) != 0)
		cmd |= PxCMD_CR | p->regs.ccs << PxCMD_CCS_SHIFT;
	if ((cmd & PxCMD_FRE) != 0)
		cmd |= PxCMD_FR;
	if (p->present)
		cmd |= PxCMD_CPS;
	return cmd;
}

static void
ahci_port_start(struct ahci_port *p)
{
	p->regs.ccs = AHCI_NSLOTS - 1;
}

/*
 * PxCI, PxSACT and CCS go to 0 (AHCI 3.3.7).  The device knows nothing of it:
 * BSY stays until a reset or CLO, though what it did is cancelled.
 */
static void
ahci_port_stop(struct ahci_port *p)
{
	ahci_cancel(p);
	p->regs.issued = 0;
	p->regs.ci = 0;
	p->regs.sact = 0;
	p->regs.fatal = 0;
	p->regs.ccs = 0;
}

/* Interface power: a transition to active, partial or slumber (AHCI 3.3.7). */
static void
ahci_port_icc(struct ahci_port *p, uint32_t icc)
{
	uint32_t forbidden = (p->regs.sctl & IPM_MASK) >> IPM_SHIFT;

	if ((p->regs.ssts & DET_MASK) != SSTS_DET_UP ||
	    (icc == 2 && (forbidden & 1) != 0) ||
	    (icc == 6 && (forbidden & 2) != 0))
		return;
	if (icc == 1 || icc == 2 || icc == 6)
		p->regs.ssts = (p->regs.ssts & ~IPM_MASK) | icc << IPM_SHIFT;
}

static void
ahci_port_write_cmd(struct ahci_port *p, uint32_t val)
{
	bool wanted = ahci_link_wanted(p);
	uint32_t old = p->regs.cmd;
	uint32_t on = val & ~old, off = old & ~val;

	p->regs.cmd = (val & PxCMD_WRITABLE) | PxCMD_POD;
	if ((off & PxCMD_ST) != 0)
		ahci_port_stop(p);
	if ((val & PxCMD_CLO) != 0 && (old & PxCMD_ST) == 0)
		p->regs.tfd &= ~(uint32_t)(ATA_STS_BSY | ATA_STS_DRQ);
	if ((on & PxCMD_ST) != 0)
		ahci_port_start(p);
	if ((on & PxCMD_FRE) != 0 && p->regs.sig_pending)
		ahci_post_signature(p);
	ahci_link_update(p, wanted);
	ahci_port_icc(p, val >> PxCMD_ICC_SHIFT);
}

static void
ahci_port_write_sctl(struct ahci_port *p, uint32_t val)
{
	bool wanted = ahci_link_wanted(p);

	p->regs.sctl = val & SCTL_WRITABLE;
	ahci_link_update(p, wanted);
}

/* Commands are taken only while the engine runs (AHCI 3.3.13, 3.3.14). */
static void
ahci_port_write_sact(struct ahci_port *p, uint32_t val)
{
	if ((p->regs.cmd & PxCMD_ST) != 0)
		p->regs.sact |= val;
}

static void
ahci_port_write_ci(struct ahci_port *p, uint32_t val)
{
	if ((p->regs.cmd & PxCMD_ST) == 0)
		return;
	p->regs.ci |= val;
	/* Traffic wakes the interface. */
	if (val != 0)
		ahci_port_icc(p, SSTS_IPM_ACTIVE);
}

/* --- the register file ---------------------------------------------------- */

#define FIELD(name) offsetof(struct ahci_port_regs, name)

/*
 * mask: bits that can be written.  clear: writing ones clears them.  A narrow
 * write to a register of actions (clear, or `act`) leaves the other bytes
 * alone; elsewhere it is merged with what stands there.
 */
static const struct ahci_port_reg {
	uint16_t field;
	bool known, clear, act;
	uint32_t mask;
	uint32_t (*read)(const struct ahci_port *);
	void (*write)(struct ahci_port *, uint32_t val);
} ahci_port_regs[AHCI_PORT_STEP / 4] = {
	[PxCLB / 4] = { FIELD(clb), .known = true, .mask = 0xfffffc00 },
	[PxCLBU / 4] = { FIELD(clbu), .known = true, .mask = UINT32_MAX },
	[PxFB / 4] = { FIELD(fb), .known = true, .mask = 0xffffff00 },
	[PxFBU / 4] = { FIELD(fbu), .known = true, .mask = UINT32_MAX },
	[PxIS / 4] = { FIELD(is), .known = true, .clear = true,
	    .mask = PxIS_RWC, .read = ahci_port_is },
	[PxIE / 4] = { FIELD(ie), .known = true, .mask = PxIE_WRITABLE },
	[PxCMD / 4] = { FIELD(cmd), .known = true, .read = ahci_port_cmd,
	    .write = ahci_port_write_cmd },
	[PxTFD / 4] = { FIELD(tfd), .known = true },
	[PxSIG / 4] = { FIELD(sig), .known = true },
	[PxSSTS / 4] = { FIELD(ssts), .known = true },
	[PxSCTL / 4] = { FIELD(sctl), .known = true,
	    .write = ahci_port_write_sctl },
	[PxSERR / 4] = { FIELD(serr), .known = true, .clear = true,
	    .mask = SERR_WRITABLE },
	[PxSACT / 4] = { FIELD(sact), .known = true, .act = true,
	    .write = ahci_port_write_sact },
	[PxCI / 4] = { FIELD(ci), .known = true, .act = true,
	    .write = ahci_port_write_ci },
	[PxSNTF / 4] = { FIELD(sntf), .known = true, .clear = true,
	    .mask = 0xffff },
};

static uint32_t *
ahci_port_field(struct ahci_port *p, const struct ahci_port_reg *r)
{
	return (uint32_t *)(void *)((char *)&p->regs + r->field);
}

uint32_t
ahci_port_read(struct ahci_port *p, unsigned int off)
{
	const struct ahci_port_reg *r = &ahci_port_regs[off / 4];

	if (!r->known)
		return 0;
	return r->read != NULL ? r->read(p) : *ahci_port_field(p, r);
}

void
ahci_port_write(
    struct ahci_port *p, unsigned int off, unsigned int bytes, uint32_t val)
{
	const struct ahci_port_reg *r = &ahci_port_regs[off / 4];
	uint32_t mask = bytes >= 4 ? UINT32_MAX : (1u << 8 * bytes) - 1;
	unsigned int shift = 8 * (off % 4);
	uint32_t *field;

	if (!r->known)
		return;
	field = ahci_port_field(p, r);
	val = (val & mask) << shift;
	if (!r->clear && !r->act)
		val |= *field & ~(mask << shift);
	if (r->write != NULL)
		r->write(p, val);
	else if (r->clear)
		*field &= ~(val & r->mask);
	else
		*field = (*field & ~r->mask) | (val & r->mask);
}

/* --- snapshot ------------------------------------------------------------- */

static bool
ahci_port_state_ok(const struct ahci_port *p, const struct ahci_port_regs *r,
    const struct ata_state *d)
{
	bool up = (r->ssts & DET_MASK) == SSTS_DET_UP;

	return (r->clb & 0x3ff) == 0 && (r->fb & 0xff) == 0 &&
	       (r->is & ~PxIS_RWC) == 0 && (r->ie & ~PxIE_WRITABLE) == 0 &&
	       (r->cmd & ~PxCMD_WRITABLE) == PxCMD_POD &&
	       (r->sctl & ~SCTL_WRITABLE) == 0 &&
	       (r->serr & ~SERR_WRITABLE) == 0 && r->ccs < AHCI_NSLOTS &&
	       (r->issued == 0 || (up && (r->cmd & PxCMD_ST) != 0)) &&
	       up <= p->present && r->fatal <= 1 && r->sig_pending <= 1 &&
	       d->power < ATA_NPOWER && d->mult <= ATA_MULT_MAX &&
	       (d->mult & (d->mult - 1)) == 0 && d->srst <= 1;
}

void
ahci_port_snapshot(struct ahci_port *p, struct snap *s)
{
	struct ahci_port_regs regs = p->regs;
	struct ata_state dev = p->dev;

	if (snap_bytes(s, "ahci_port", &regs, sizeof(regs)) != 0 ||
	    snap_bytes(s, "ahci_device", &dev, sizeof(dev)) != 0 ||
	    !snap_loading(s))
		return;
	if (!ahci_port_state_ok(p, &regs, &dev)) {
		snap_fail(s);
		return;
	}
	p->regs = regs;
	p->dev = dev;
	p->reissue = regs.issued;
}
