/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A CD/DVD-ROM drive's packet commands: SPC-4 and MMC-5, through ATA's PACKET
 * (ACS-2 7.21).  The medium is one track of 2048-byte blocks, read-only; what
 * its image lacks of the last block reads as zeroes.
 *
 * Not there on purpose: audio, raw sectors, DVD structures, keys, writing.
 *
 * All run with the device's lock held.
 */
#include "ahci_priv.h"

#include <util/log.h>

uint32_t
atapi_blocks(const struct ahci_port *p)
{
	uint64_t n = (p->info->bytes + CD_BLOCK - 1) / CD_BLOCK;

	return (uint32_t)MIN(n, UINT32_MAX);
}

static uint16_t
be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t
be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

/* --- sense data ----------------------------------------------------------- */

static void
atapi_set_sense(struct ata_state *d, uint8_t key, uint16_t asc)
{
	d->sense_key = key;
	d->asc = (uint8_t)(asc >> 8);
	d->ascq = (uint8_t)asc;
}

/* The interrupt reason in the count: command done (ACS-2 7.21.6). */
#define REASON_CD 0x01
#define REASON_IO 0x02

/* CHECK CONDITION: the sense key is in the error register as well. */
void
atapi_fail(struct ahci_cmd *cmd, uint8_t key, uint16_t asc)
{
	atapi_set_sense(&cmd->port->dev, key, asc);
	cmd->out.count = REASON_CD | REASON_IO;
	ahci_fail(
	    cmd, (uint8_t)(key << 4 |
			   (key == SK_ILLEGAL_REQUEST ? ATA_ERR_ABRT : 0)));
}

static void
atapi_done(struct ahci_cmd *cmd)
{
	cmd->out.count = REASON_CD | REASON_IO;
	ahci_done(cmd);
}

/* Byte count: what a PIO transfer moved. */
static void
atapi_put_count(struct ahci_cmd *cmd, size_t len)
{
	cmd->out.lba1 = (uint8_t)len;
	cmd->out.lba2 = (uint8_t)(len >> 8);
}

static bool
atapi_is_dma(const struct ahci_cmd *cmd)
{
	return (cmd->fis.features & 0x01) != 0;
}

void
atapi_reply(struct ahci_cmd *cmd, const void *buf, size_t len, size_t alloc_len)
{
	len = MIN(len, alloc_len);
	if (!atapi_is_dma(cmd) && len > 0) {
		atapi_put_count(cmd, len);
		cmd->out.count = REASON_IO;
		ahci_post_pio_setup(cmd, true, ATA_STS_OK, (uint32_t)len);
	}
	cmd->out.count = REASON_CD | REASON_IO;
	ahci_reply(cmd, buf, len);
}

/* SPC-4 6.39, fixed format. */
static void
atapi_request_sense(struct ahci_cmd *cmd)
{
	struct ata_state *d = &cmd->port->dev;
	uint8_t b[18] = { 0x70 };

	if (d->ua_asc != 0) {
		atapi_set_sense(d, SK_UNIT_ATTENTION, ASC(d->ua_asc, 0));
		d->ua_asc = 0;
	}
	b[2] = d->sense_key;
	b[7] = sizeof(b) - 8;
	b[12] = d->asc;
	b[13] = d->ascq;
	atapi_set_sense(d, 0, 0);
	atapi_reply(cmd, b, sizeof(b), cmd->acmd[4]);
}

/* --- the tray ------------------------------------------------------------- */

static void
atapi_test_unit_ready(struct ahci_cmd *cmd)
{
	atapi_done(cmd);
}

#define MEDIA_EVENT_EJECT   1
#define MEDIA_EVENT_NEW	    2
#define MEDIA_EVENT_REMOVAL 3

static void
atapi_load(struct ata_state *d, bool eject)
{
	if (d->tray_open == eject)
		return;
	d->tray_open = eject;
	d->event = eject ? MEDIA_EVENT_REMOVAL : MEDIA_EVENT_NEW;
	if (!eject)
		d->ua_asc = ASC_MEDIUM_CHANGED >> 8;
}

/* SBC-3 5.25 and MMC-5 6.43: LoEj says that Start is about the tray. */
static void
atapi_start_stop(struct ahci_cmd *cmd)
{
	struct ata_state *d = &cmd->port->dev;
	bool start = (cmd->acmd[4] & 0x01) != 0;
	bool loej = (cmd->acmd[4] & 0x02) != 0;

	if ((cmd->acmd[4] & 0xf0) != 0 || !loej) { /* power, spin up or down */
		atapi_done(cmd);
		return;
	}
	if (!start && d->locked) {
		atapi_fail(cmd, SK_ILLEGAL_REQUEST, ASC_REMOVAL_PREVENTED);
		return;
	}
	atapi_load(d, !start);
	atapi_done(cmd);
}

static void
atapi_prevent_allow(struct ahci_cmd *cmd)
{
	cmd->port->dev.locked = cmd->acmd[4] & 0x01;
	atapi_done(cmd);
}

/* --- the medium ----------------------------------------------------------- */

static void
atapi_read_capacity(struct ahci_cmd *cmd)
{
	uint32_t last = atapi_blocks(cmd->port) - 1;
	const uint8_t b[8] = { (uint8_t)(last >> 24), (uint8_t)(last >> 16),
		(uint8_t)(last >> 8), (uint8_t)last, 0, 0, CD_BLOCK >> 8, 0 };

	atapi_reply(cmd, b, sizeof(b), sizeof(b));
}

static void
atapi_medium_end(struct ahci_cmd *cmd, int error)
{
	if (error == 0)
		atapi_done(cmd);
	else
		atapi_fail(cmd, SK_MEDIUM_ERROR, ASC_READ_ERROR);
}

static void
atapi_read_blocks(struct ahci_cmd *cmd, uint32_t lba, uint32_t count)
{
	if (!range_ok(lba, count, atapi_blocks(cmd->port))) {
		atapi_fail(cmd, SK_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
		return;
	}
	if (count > 0 && !atapi_is_dma(cmd)) {
		cmd->out.count = REASON_IO;
		ahci_post_pio_setup(cmd, true, ATA_STS_OK, CD_BLOCK);
	}
	cmd->port->dev.power = ATA_ACTIVE;
	ahci_xfer(cmd, AHCI_XFER_READ, (uint64_t)lba * CD_BLOCK,
	    (uint64_t)count * CD_BLOCK, CD_BLOCK, atapi_medium_end);
}

static void
atapi_read_10(struct ahci_cmd *cmd)
{
	atapi_read_blocks(cmd, be32(&cmd->acmd[2]), be16(&cmd->acmd[7]));
}

static void
atapi_read_12(struct ahci_cmd *cmd)
{
	atapi_read_blocks(cmd, be32(&cmd->acmd[2]), be32(&cmd->acmd[6]));
}

/* MMC-5 6.19: user data of Mode 1 sectors, or nothing; no headers, no EDC. */
#define READ_CD_ANY	  0
#define READ_CD_MODE_1	  2
#define READ_CD_USER_DATA 0x10

static void
atapi_read_cd(struct ahci_cmd *cmd)
{
	const uint8_t *c = cmd->acmd;
	unsigned int type = c[1] >> 2 & 7;
	uint32_t count = (uint32_t)c[6] << 16 | be16(&c[7]);

	if (type != READ_CD_ANY && type != READ_CD_MODE_1)
		atapi_fail(cmd, SK_ILLEGAL_REQUEST, ASC_WRONG_TRACK_MODE);
	else if ((c[9] != READ_CD_USER_DATA && c[9] != 0) || (c[10] & 7) != 0)
		atapi_fail(cmd, SK_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
	else
		atapi_read_blocks(cmd, be32(&c[2]), c[9] != 0 ? count : 0);
}

static void
atapi_seek(struct ahci_cmd *cmd)
{
	if (be32(&cmd->acmd[2]) >= atapi_blocks(cmd->port))
		atapi_fail(cmd, SK_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
	else
		atapi_done(cmd);
}

/* SET CD SPEED, SYNCHRONIZE CACHE: nothing to do, nothing wrong. */
static void
atapi_nothing(struct ahci_cmd *cmd)
{
	atapi_done(cmd);
}

/* Only LUN 0. */
static void
atapi_report_luns(struct ahci_cmd *cmd)
{
	const uint8_t b[16] = { 0, 0, 0, 8 };
	uint32_t alloc_len = be32(&cmd->acmd[6]);

	if (cmd->acmd[2] > 2)
		atapi_fail(cmd, SK_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
	else
		atapi_reply(cmd, b, sizeof(b), alloc_len);
}

/* --- dispatch ------------------------------------------------------------- */

#define PKT_MEDIUM BIT(0) /* NOT READY while the tray is open */
#define PKT_NO_UA  BIT(1) /* answered in spite of a unit attention */

static const struct atapi_row {
	void (*fn)(struct ahci_cmd *);
	unsigned int flags;
} atapi_rows[256] = {
	[0x00] = { atapi_test_unit_ready, PKT_MEDIUM },
	[0x03] = { atapi_request_sense, PKT_NO_UA },
	[0x12] = { atapi_inquiry, PKT_NO_UA },
	[0x1a] = { atapi_mode_sense_6, 0 },
	[0x1b] = { atapi_start_stop, 0 },
	[0x1e] = { atapi_prevent_allow, 0 },
	[0x25] = { atapi_read_capacity, PKT_MEDIUM },
	[0x28] = { atapi_read_10, PKT_MEDIUM },
	[0x2b] = { atapi_seek, PKT_MEDIUM },
	[0x35] = { atapi_nothing, PKT_MEDIUM }, /* SYNCHRONIZE CACHE (10) */
	[0x43] = { atapi_read_toc, PKT_MEDIUM },
	[0x46] = { atapi_get_configuration, PKT_NO_UA },
	[0x4a] = { atapi_get_event_status, PKT_NO_UA },
	[0x51] = { atapi_read_disc_information, PKT_MEDIUM },
	[0x52] = { atapi_read_track_information, PKT_MEDIUM },
	[0x5a] = { atapi_mode_sense_10, 0 },
	[0xa0] = { atapi_report_luns, PKT_NO_UA },
	[0xa8] = { atapi_read_12, PKT_MEDIUM },
	[0xbb] = { atapi_nothing, 0 }, /* SET CD SPEED */
	[0xbd] = { atapi_mechanism_status, 0 },
	[0xbe] = { atapi_read_cd, PKT_MEDIUM },
};

static void
atapi_dispatch(struct ahci_cmd *cmd)
{
	struct ata_state *d = &cmd->port->dev;
	const struct atapi_row *row = &atapi_rows[cmd->acmd[0]];
	uint8_t ua = d->ua_asc;

	if (row->fn == NULL) {
		log_debug("%s: port %u: no packet command 0x%02x",
		    pci_dev_name(cmd->port->hba->pd), cmd->port->num,
		    cmd->acmd[0]);
		atapi_fail(cmd, SK_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
	} else if (ua != 0 && (row->flags & PKT_NO_UA) == 0) {
		d->ua_asc = 0;
		atapi_fail(cmd, SK_UNIT_ATTENTION, ASC(ua, 0));
	} else if (d->tray_open && (row->flags & PKT_MEDIUM) != 0) {
		atapi_fail(cmd, SK_NOT_READY, ASC_TRAY_OPEN);
	} else {
		row->fn(cmd);
	}
}

void
atapi_packet(struct ahci_cmd *cmd)
{
	/* The HBA has a packet only where the header says so. */
	if ((cmd->flags & CMD_HDR_A) == 0)
		ahci_fail(cmd, ATA_ERR_ABRT);
	else
		atapi_dispatch(cmd);
}

void
atapi_reset(struct ahci_port *p)
{
	struct ata_state *d = &p->dev;

	atapi_set_sense(d, 0, 0);
	d->ua_asc = ASC_POWER_ON >> 8;
	d->locked = 0;
}
