/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port's commands: fetching them from the command list (AHCI 5.3), their end
 * with the FISes the device would send (AHCI 5.4, 5.6), and cancelling.
 *
 * A command that is not queued has the device for itself: BSY stands until its
 * end, and no other is fetched.  A queued one is taken off PxCI at once and
 * ends with its bit of PxSACT.  What waits for the backend is in port->slot[];
 * cancelled ones live on until the backend lets go of them.
 */
#include "ahci_priv.h"

#include <stdlib.h>

#include <util/log.h>

/* --- commands as objects -------------------------------------------------- */

static struct ahci_cmd *
ahci_cmd_get(struct ahci_port *p, unsigned int slot)
{
	unsigned int i = (unsigned int)__builtin_ctzll(p->free_cmds);
	struct ahci_cmd *cmd = &p->cmds[i];

	p->free_cmds &= ~BIT64(i);
	/* The window of PRDs needs no zeroes. */
	memset(cmd, 0, offsetof(struct ahci_cmd, sg));
	memset(&cmd->alone, 0, sizeof(*cmd) - offsetof(struct ahci_cmd, alone));
	cmd->port = p;
	cmd->slot = slot;
	if (p->slot[slot] != NULL) { /* a tag that is in use */
		p->slot[slot]->cancelled = true;
		cmd->reused = true;
	}
	p->slot[slot] = cmd;
	p->regs.issued |= BIT(slot);
	return cmd;
}

static void
ahci_cmd_free(struct ahci_cmd *cmd)
{
	struct ahci_port *p = cmd->port;

	free(cmd->buf);
	cmd->buf = NULL;
	p->free_cmds |= BIT64(cmd - p->cmds);
}

/* The device is through with it. */
static void
ahci_cmd_put(struct ahci_cmd *cmd)
{
	struct ahci_port *p = cmd->port;

	p->slot[cmd->slot] = NULL;
	p->regs.issued &= ~BIT(cmd->slot);
	ahci_cmd_free(cmd);
}

/* Their requests come back some time, and end in ahci_cmd_free(). */
static void
ahci_forget(struct ahci_port *p)
{
	for (unsigned int i = 0; i < AHCI_NSLOTS; i++) {
		if (p->slot[i] != NULL)
			p->slot[i]->cancelled = true;
		p->slot[i] = NULL;
	}
}

void
ahci_cancel(struct ahci_port *p)
{
	ahci_forget(p);
	p->reissue = 0;
	if (p->waiting != NULL)
		ahci_cmd_free(p->waiting);
	p->waiting = NULL;
	if (p->bdev != NULL)
		block_drain(p->bdev);
}

static void
ahci_alone_check(struct ahci_port *p)
{
	struct ahci_cmd *cmd = p->waiting;

	if (cmd == NULL || ~p->free_cmds != BIT64(cmd - p->cmds))
		return;
	p->waiting = NULL;
	p->reissue = 0;
	p->regs.issued = BIT(cmd->slot);
	p->slot[cmd->slot] = cmd;
	cmd->alone(cmd);
}

/*
 * Calls fn when all other commands are gone, without a report of their end.
 * The port fetches nothing in the meantime.  No draining: this may run in a
 * thread of the backend.
 */
static void
ahci_alone(struct ahci_cmd *cmd, void (*fn)(struct ahci_cmd *))
{
	struct ahci_port *p = cmd->port;

	p->slot[cmd->slot] = NULL;
	ahci_forget(p);
	cmd->alone = fn;
	p->waiting = cmd;
	ahci_alone_check(p);
}

static void
ahci_block_done(struct block_req *req, int error)
{
	struct ahci_cmd *cmd = container_of(req, struct ahci_cmd, req);
	struct ahci_port *p = cmd->port;
	struct ahci *hba = p->hba;

	pci_dev_lock(hba->pd);
	if (cmd->cancelled) {
		ahci_cmd_free(cmd);
		ahci_alone_check(p);
	} else {
		cmd->step(cmd, error);
	}
	ahci_run(p);
	ahci_irq(hba, false);
	pci_dev_unlock(hba->pd);
}

void
ahci_submit(struct ahci_cmd *cmd, enum block_op op, uint64_t off, uint64_t len,
    const struct iovec *iov, unsigned int niov,
    void (*step)(struct ahci_cmd *, int error))
{
	cmd->step = step;
	cmd->req = (struct block_req){
		.op = op,
		.off = off,
		.len = len,
		.iov = iov,
		.niov = niov,
		.done = ahci_block_done,
	};
	block_submit(cmd->port->bdev, &cmd->req);
}

/* --- FISes from the device ------------------------------------------------ */

void
ahci_fatal(struct ahci_port *p, uint32_t why, uint32_t serr)
{
	p->regs.is |= why;
	p->regs.serr |= serr;
	p->regs.fatal = 1;
}

static void
ahci_post(struct ahci_port *p, unsigned int off, const void *fis, size_t len)
{
	uint64_t fb = (uint64_t)p->regs.fbu << 32 | p->regs.fb;

	if ((p->regs.cmd & PxCMD_FRE) != 0 &&
	    !pci_dma_write(p->hba->pd, fb + off, fis, len)) {
		guest_error(pci_dev_name(p->hba->pd),
		    "port %u: received FIS area is not RAM", p->num);
		ahci_fatal(p, PxIS_HBFS, 0);
	}
}

static void
ahci_set_tfd(struct ahci_port *p, uint8_t status, uint8_t error)
{
	p->regs.tfd = (uint32_t)error << 8 | status;
}

static void
ahci_post_d2h(struct ahci_port *p, struct fis_reg_d2h *fis, uint8_t status,
    uint8_t error, bool intr)
{
	fis->type = FIS_TYPE_REG_D2H;
	fis->flags = intr ? FIS_I : 0;
	fis->status = status;
	fis->error = error;
	ahci_set_tfd(p, status, error);
	ahci_post(p, RFIS_RFIS, fis, sizeof(*fis));
	if (intr)
		p->regs.is |= PxIS_DHRS;
}

void
ahci_fill_signature(const struct ahci_port *p, struct fis_reg_d2h *fis)
{
	fis->lba0 = 1;
	fis->lba1 = p->atapi ? 0x14 : 0;
	fis->lba2 = p->atapi ? 0xeb : 0;
	fis->lba3 = fis->lba4 = fis->lba5 = 0;
	fis->device = 0;
	fis->count = 1;
	fis->count_exp = 0;
}

/* After a reset; held while the HBA takes no FISes (AHCI 3.3.7, FRE). */
void
ahci_post_signature(struct ahci_port *p)
{
	struct fis_reg_d2h fis = { 0 };

	ahci_fill_signature(p, &fis);
	p->regs.sig_pending = (p->regs.cmd & PxCMD_FRE) == 0;
	ahci_post_d2h(p, &fis,
	    p->atapi ? ATA_STS_DF | ATA_STS_DSC : ATA_STS_OK | ATA_STS_DF, 1,
	    false);
}

void
ahci_post_pio_setup(
    struct ahci_cmd *cmd, bool in, uint8_t status, uint32_t bytes)
{
	struct fis_pio_setup fis = {
		.type = FIS_TYPE_PIO_SETUP,
		.flags = in ? FIS_I | FIS_D : 0,
		.status = status | ATA_STS_DRQ,
		.lba0 = cmd->out.lba0,
		.lba1 = cmd->out.lba1,
		.lba2 = cmd->out.lba2,
		.device = cmd->out.device,
		.lba3 = cmd->out.lba3,
		.lba4 = cmd->out.lba4,
		.lba5 = cmd->out.lba5,
		.count = cmd->out.count,
		.count_exp = cmd->out.count_exp,
		.e_status = status,
		.xfer_count = (uint16_t)MIN(bytes, 0xfffeu),
	};

	ahci_post(cmd->port, RFIS_PSFIS, &fis, sizeof(fis));
	if (in)
		cmd->port->regs.is |= PxIS_PSS;
}

static void
ahci_post_sdb(struct ahci_port *p, uint8_t status, uint8_t error, uint32_t done)
{
	struct fis_sdb fis = {
		.type = FIS_TYPE_SDB,
		.flags = FIS_I,
		.status = status,
		.error = error,
		.sactive = done,
	};

	/* The FIS does not carry BSY and DRQ. */
	ahci_set_tfd(
	    p, (p->regs.tfd & (ATA_STS_BSY | ATA_STS_DRQ)) | status, error);
	p->regs.sact &= ~done;
	p->regs.is |= PxIS_SDBS;
	ahci_post(p, RFIS_SDBFIS, &fis, sizeof(fis));
}

/* The device has queued the command and is free for the next. */
static void
ahci_post_accepted(struct ahci_cmd *cmd)
{
	const struct fis_dma_setup setup = {
		.type = FIS_TYPE_DMA_SETUP,
		.flags = (cmd->flags & CMD_HDR_W) != 0 ? 0 : FIS_D,
		.buffer_id = { cmd->slot, 0 },
	};
	struct ahci_port *p = cmd->port;

	ahci_post_d2h(p, &cmd->out, ATA_STS_OK, 0, false);
	ahci_post(p, RFIS_DSFIS, &setup, sizeof(setup));
	p->regs.ci &= ~BIT(cmd->slot);
}

/* --- the end of a command ------------------------------------------------- */

static uint64_t
ahci_hdr_gpa(const struct ahci_port *p, unsigned int slot)
{
	return ((uint64_t)p->regs.clbu << 32 | p->regs.clb) +
	       slot * sizeof(struct ahci_cmd_hdr);
}

/* What was moved, though not for queued commands (AHCI 5.4.1). */
static void
ahci_put_prdbc(struct ahci_cmd *cmd)
{
	struct ahci_port *p = cmd->port;

	if (cmd->prd_intr)
		p->regs.is |= PxIS_DPS;
	if (cmd->proto != AHCI_NCQ &&
	    !pci_dma_write(p->hba->pd,
		ahci_hdr_gpa(p, cmd->slot) +
		    offsetof(struct ahci_cmd_hdr, prdbc),
		&cmd->moved, sizeof(cmd->moved)))
		ahci_fatal(p, PxIS_HBFS, 0);
}

void
ahci_done(struct ahci_cmd *cmd)
{
	struct ahci_port *p = cmd->port;

	ahci_put_prdbc(cmd);
	switch (cmd->proto) {
	case AHCI_NCQ:
		ahci_post_sdb(p, ATA_STS_OK, 0, BIT(cmd->slot));
		break;
	case AHCI_PIO_IN: /* no FIS after the data: E_STATUS was the end */
		ahci_post_pio_setup(cmd, true, ATA_STS_OK, cmd->moved);
		ahci_set_tfd(p, ATA_STS_OK, 0);
		break;
	case AHCI_D2H:
		ahci_post_d2h(p, &cmd->out, ATA_STS_OK, 0, true);
		break;
	}
	p->regs.ci &= ~BIT(cmd->slot);
	ahci_cmd_put(cmd);
}

void
ahci_diagnosed(struct ahci_cmd *cmd)
{
	struct ahci_port *p = cmd->port;

	ahci_put_prdbc(cmd);
	ahci_post_d2h(p, &cmd->out, ATA_STS_OK, 1, true);
	p->regs.ci &= ~BIT(cmd->slot);
	ahci_cmd_put(cmd);
}

static void
ahci_fail_ncq(struct ahci_cmd *cmd)
{
	struct ahci_port *p = cmd->port;
	uint8_t status = ATA_STS_OK | ATA_STS_ERR;

	ata_log_ncq_error(cmd, status, cmd->error);
	ahci_post_sdb(p, status, cmd->error, 0);
	ahci_fatal(p, PxIS_TFES, 0);
	ahci_cmd_put(cmd);
}

static void
ahci_fail_d2h(struct ahci_cmd *cmd)
{
	struct ahci_port *p = cmd->port;

	ahci_put_prdbc(cmd);
	ahci_post_d2h(p, &cmd->out, ATA_STS_OK | ATA_STS_ERR, cmd->error, true);
	ahci_fatal(p, PxIS_TFES, 0);
	ahci_cmd_put(cmd);
}

/*
 * PxCI or PxSACT keeps the bit and the HBA stops, until software has looked and
 * cleared ST (AHCI 6.2.2).  A device that fails a queued command forgets all
 * others (ACS-2 4.16).
 */
void
ahci_fail(struct ahci_cmd *cmd, uint8_t error)
{
	cmd->error = error;
	ahci_alone(cmd, cmd->proto == AHCI_NCQ ? ahci_fail_ncq : ahci_fail_d2h);
}

/*
 * The HBA cannot go on with the data: no more PRDs (AHCI 6.1.6, "a COMRESET is
 * required") or a PRD that points nowhere (6.1.5).
 */
void
ahci_fault(struct ahci_cmd *cmd, enum sg_status st)
{
	struct ahci_port *p = cmd->port;

	guest_error(pci_dev_name(p->hba->pd), "port %u: command 0x%02x %s",
	    p->num, cmd->fis.command,
	    st == SG_SHORT ? "has too little memory for its data"
			   : "has memory that is not RAM");
	ahci_put_prdbc(cmd);
	p->regs.tfd |= ATA_STS_BSY;
	ahci_fatal(p, st == SG_SHORT ? PxIS_OFS : PxIS_HBFS, 0);
	ahci_cmd_put(cmd);
}

void
ahci_hang(struct ahci_cmd *cmd)
{
	cmd->port->regs.tfd |= ATA_STS_BSY;
	ahci_cmd_put(cmd);
}

void
ahci_reply(struct ahci_cmd *cmd, const void *buf, size_t len)
{
	enum sg_status st = ahci_sg_put(cmd, buf, len);

	if (st != SG_OK)
		ahci_fault(cmd, st);
	else
		ahci_done(cmd);
}

/* --- the start of a command ----------------------------------------------- */

/* The device control register, nobody else at work (SATA 10.5.5). */
static void
ahci_control(struct ahci_cmd *cmd)
{
	struct ahci_port *p = cmd->port;
	bool srst = (cmd->fis.control & CONTROL_SRST) != 0;
	bool reset = p->dev.srst && !srst;

	p->regs.ci &= ~BIT(cmd->slot);
	ahci_cmd_put(cmd);
	p->dev.srst = srst;
	if (reset) {
		ata_reset(p, false);
		ahci_post_signature(p);
	}
}

/* Queued and other commands do not mix (ACS-2 4.16). */
static bool
ahci_mixed(const struct ahci_cmd *cmd)
{
	return cmd->proto != AHCI_NCQ &&
	       (cmd->port->regs.issued & ~BIT(cmd->slot)) != 0;
}

static void
ahci_start(struct ahci_cmd *cmd, bool again)
{
	struct ahci_port *p = cmd->port;
	const struct fis_reg_h2d *f = &cmd->fis;

	cmd->out = (struct fis_reg_d2h){
		.lba0 = f->lba0,
		.lba1 = f->lba1,
		.lba2 = f->lba2,
		.device = f->device,
		.lba3 = f->lba3,
		.lba4 = f->lba4,
		.lba5 = f->lba5,
	};
	if (ata_is_ncq(p, f->command)) {
		cmd->proto = AHCI_NCQ;
		if (!again)
			ahci_post_accepted(cmd);
	} else {
		ahci_set_tfd(p, ATA_STS_OK | ATA_STS_BSY, 0);
	}
	if (cmd->reused || ahci_mixed(cmd))
		ahci_fail(cmd, ATA_ERR_ABRT);
	else
		ata_command(cmd);
}

static void
ahci_device(struct ahci_cmd *cmd, bool again)
{
	const struct ata_state *dev = &cmd->port->dev;

	if ((cmd->fis.flags & FIS_C) == 0)
		ahci_alone(cmd, ahci_control);
	else if (dev->srst || dev->power == ATA_SLEEP)
		ahci_hang(cmd);
	else
		ahci_start(cmd, again);
}

/* The device did not take the FIS: an interface fatal error (AHCI 6.1.3). */
static void
ahci_refused(struct ahci_cmd *cmd, const char *why)
{
	struct ahci_port *p = cmd->port;

	guest_error(pci_dev_name(p->hba->pd), "port %u: %s", p->num, why);
	ahci_fatal(p, PxIS_IFS, SERR_DIAG_H);
	ahci_cmd_put(cmd);
}

/* Header, FIS and packet, each read once. */
static void
ahci_fetch(struct ahci_port *p, unsigned int slot, bool again)
{
	struct ahci_cmd *cmd = ahci_cmd_get(p, slot);
	struct pci_dev *pd = p->hba->pd;
	struct ahci_cmd_hdr hdr;
	uint8_t cfis[CFIS_BYTES] = { 0 };
	uint64_t table;
	unsigned int cfl = 0;
	bool ok = pci_dma_read(pd, ahci_hdr_gpa(p, slot), &hdr, sizeof(hdr));

	if (ok) {
		table = (uint64_t)hdr.ctbau << 32 |
			ROUND_DOWN(hdr.ctba, CMD_TABLE_ALIGN);
		cfl = MIN(hdr.flags & (unsigned int)CMD_HDR_CFL_MASK,
		    CFIS_BYTES / 4u);
		ok = cfl == 0 || pci_dma_read(pd, table, cfis, cfl * 4ul);
	}
	if (ok && (hdr.flags & CMD_HDR_A) != 0)
		ok = pci_dma_read(
		    pd, table + CMD_TABLE_ACMD, cmd->acmd, ACMD_BYTES);
	if (!ok) {
		guest_error(pci_dev_name(pd),
		    "port %u: command list or table is not RAM", p->num);
		ahci_fatal(p, PxIS_HBFS, 0);
		ahci_cmd_put(cmd);
		return;
	}
	cmd->flags = hdr.flags;
	memcpy(&cmd->fis, cfis, sizeof(cmd->fis));
	ahci_sg_init(&cmd->sg, table + CMD_TABLE_PRDT, hdr.prdtl);
	if (cfl < FIS_H2D_DWORDS || (hdr.flags & CMD_HDR_CFL_MASK) > 16)
		ahci_refused(cmd, "command FIS of a wrong length");
	else if (cmd->fis.type != FIS_TYPE_REG_H2D)
		ahci_refused(cmd, "command FIS of an unknown type");
	else
		ahci_device(cmd, again);
}

/* The slot after the last one, as the HBA's pSlotLoc goes (AHCI 5.3.2.3). */
static unsigned int
ahci_next_slot(const struct ahci_port *p)
{
	unsigned int first = (p->regs.ccs + 1) % AHCI_NSLOTS;
	uint32_t above = p->regs.ci & ~(BIT(first) - 1);

	return (unsigned int)__builtin_ctz(above != 0 ? above : p->regs.ci);
}

/* What had begun before a pause. */
static void
ahci_run_again(struct ahci_port *p)
{
	while (p->reissue != 0 && p->free_cmds != 0 && p->waiting == NULL) {
		unsigned int slot = (unsigned int)__builtin_ctz(p->reissue);

		p->reissue &= ~BIT(slot);
		p->regs.issued &= ~BIT(slot);
		ahci_fetch(p, slot, true);
	}
}

static bool
ahci_may_fetch(const struct ahci_port *p)
{
	return p->present && (p->regs.cmd & PxCMD_ST) != 0 && p->regs.ci != 0 &&
	       !p->regs.fatal && p->reissue == 0 && p->waiting == NULL &&
	       p->free_cmds != 0 && (p->regs.ssts & DET_MASK) == SSTS_DET_UP &&
	       (p->regs.tfd & (ATA_STS_BSY | ATA_STS_DRQ)) == 0;
}

void
ahci_run(struct ahci_port *p)
{
	if (p->hba->paused || !pci_bus_master(p->hba->pd))
		return;
	ahci_run_again(p);
	while (ahci_may_fetch(p)) {
		p->regs.ccs = ahci_next_slot(p);
		ahci_fetch(p, p->regs.ccs, false);
	}
	if (p->bdev != NULL)
		block_kick(p->bdev);
}
