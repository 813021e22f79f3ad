/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * General purpose logs, read by READ LOG EXT and READ LOG DMA EXT (ACS-2 7.25,
 * annex A): the directory, the NCQ error log and, for disks that can discard,
 * what SEND FPDMA QUEUED does (ACS-3 9.16).
 */
#include "ahci_priv.h"

#define LOG_PAGE_BYTES	  512u

#define LOG_DIRECTORY	  0x00
#define LOG_NCQ_ERROR	  0x10
#define LOG_NCQ_SEND_RECV 0x13

/* ACS-2 table A.11, and how a page's last byte makes its sum 0. */
#define NCQ_LOG_NQ 0x80 /* the error was not of a queued command */

static void
ata_log_checksum(uint8_t *page)
{
	uint8_t sum = 0;

	for (unsigned int i = 0; i < LOG_PAGE_BYTES - 1; i++)
		sum += page[i];
	page[LOG_PAGE_BYTES - 1] = (uint8_t)-sum;
}

void
ata_log_ncq_error(struct ahci_cmd *cmd, uint8_t status, uint8_t error)
{
	struct ata_state *d = &cmd->port->dev;
	const struct fis_reg_d2h *o = &cmd->out;
	const uint8_t head[sizeof(d->ncq_log)] = {
		[0] = (uint8_t)cmd->slot,
		[2] = status,
		[3] = error,
		[4] = o->lba0,
		[5] = o->lba1,
		[6] = o->lba2,
		[7] = o->device,
		[8] = o->lba3,
		[9] = o->lba4,
		[10] = o->lba5,
		[12] = cmd->fis.count,
		[13] = cmd->fis.count_exp,
	};

	/* The first error is the one that counts. */
	if (!d->ncq_halted)
		memcpy(d->ncq_log, head, sizeof(head));
	d->ncq_halted = 1;
}

static bool
ata_has_send_fpdma(const struct ahci_port *p)
{
	return p->info->can_discard && !p->info->ro;
}

static void
ata_log_directory(struct ahci_port *p, uint8_t *page)
{
	put_le16(page, 0x0001); /* version */
	put_le16(page + 2 * LOG_NCQ_ERROR, 1);
	if (ata_has_send_fpdma(p))
		put_le16(page + 2 * LOG_NCQ_SEND_RECV, 1);
}

/* Reading it is what a failed queue waits for. */
static void
ata_log_ncq(struct ahci_port *p, uint8_t *page)
{
	if (p->dev.ncq_halted) {
		memcpy(page, p->dev.ncq_log, sizeof(p->dev.ncq_log));
		p->dev.ncq_halted = 0;
	} else {
		page[0] = NCQ_LOG_NQ;
	}
	ata_log_checksum(page);
}

static void
ata_log_send_recv(struct ahci_port *p, uint8_t *page)
{
	put_le32(page, 1);     /* the subcommand DATA SET MANAGEMENT */
	put_le32(page + 4, 1); /* with TRIM */
}

static const struct {
	uint8_t address;
	void (*fill)(struct ahci_port *, uint8_t *page);
} ata_logs[] = {
	{ LOG_DIRECTORY, ata_log_directory },
	{ LOG_NCQ_ERROR, ata_log_ncq },
	{ LOG_NCQ_SEND_RECV, ata_log_send_recv },
};

void
ata_read_log(struct ahci_cmd *cmd)
{
	const struct fis_reg_h2d *f = &cmd->fis;
	unsigned int page_no = f->lba1 | (unsigned int)f->lba4 << 8;
	unsigned int pages = f->count | (unsigned int)f->count_exp << 8;
	uint8_t page[LOG_PAGE_BYTES] = { 0 };

	/* Each log is one page long. */
	for (size_t i = 0; i < ARRAY_LEN(ata_logs); i++) {
		if (ata_logs[i].address != f->lba0 || page_no != 0 ||
		    pages != 1 ||
		    (f->lba0 == LOG_NCQ_SEND_RECV &&
			!ata_has_send_fpdma(cmd->port)))
			continue;
		if (cmd->port->dev.ncq_halted && f->lba0 != LOG_NCQ_ERROR)
			break;
		ata_logs[i].fill(cmd->port, page);
		ahci_reply(cmd, page, sizeof(page));
		return;
	}
	cmd->proto = AHCI_D2H;
	ahci_fail(cmd, ATA_ERR_ABRT);
}
