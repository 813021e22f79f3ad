/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ATA command set of the devices behind AHCI ports: ATA/ATAPI-8 and ACS-2
 * for disks, and the few ATA commands a packet device answers.
 *
 * One table row a command; what has no row is aborted.  Not there on purpose:
 * SMART (there is no health to tell of), security, host protected area, power
 * management levels.  The transfer mode is remembered and means nothing.
 *
 * All run with the device's lock held.
 */
#include "ahci_priv.h"

#include <errno.h>

#include <util/log.h>

/* What the fields of a row mean to ata_rw(). */
#define ATA_EXT	  BIT(0) /* 48-bit address, 16-bit count */
#define ATA_WRITE BIT(1)
#define ATA_PIO	  BIT(2)
#define ATA_MULT  BIT(3) /* needs SET MULTIPLE MODE */
#define ATA_FUA	  BIT(4)
#define ATA_NCQ	  BIT(5)
/* Who has the command. */
#define ATA_DISK BIT(6)
#define ATA_CD	 BIT(7)
#define ATA_BOTH (ATA_DISK | ATA_CD)

struct ata_row {
	void (*fn)(struct ahci_cmd *, unsigned int flags);
	unsigned int flags;
};
static const struct ata_row ata_rows[256];

/* --- addresses ------------------------------------------------------------ */

#define ATA_DEV_LBA 0x40

uint64_t
ata_sectors(const struct ahci_port *p)
{
	return p->info->bytes / p->info->lsec_bytes;
}

unsigned int
ata_cylinders(const struct ahci_port *p)
{
	uint64_t n = ata_sectors(p) / (ATA_HEADS * ATA_SPT);

	return n > 16383 ? 16383 : (unsigned int)MAX(n, 1u);
}

uint64_t
ata_lba48(const struct fis_reg_h2d *f)
{
	return f->lba0 | (uint64_t)f->lba1 << 8 | (uint64_t)f->lba2 << 16 |
	       (uint64_t)f->lba3 << 24 | (uint64_t)f->lba4 << 32 |
	       (uint64_t)f->lba5 << 40;
}

/* Cylinder, head, sector in the geometry IDENTIFY tells; UINT64_MAX: none. */
static uint64_t
ata_chs(const struct fis_reg_h2d *f)
{
	unsigned int cyl = f->lba1 | (unsigned int)f->lba2 << 8;
	unsigned int head = f->device & 0xf;

	if (f->lba0 < 1 || f->lba0 > ATA_SPT)
		return UINT64_MAX;
	return ((uint64_t)cyl * ATA_HEADS + head) * ATA_SPT + f->lba0 - 1;
}

static uint64_t
ata_lba(const struct fis_reg_h2d *f, unsigned int flags)
{
	if ((flags & (ATA_EXT | ATA_NCQ)) != 0)
		return ata_lba48(f);
	if ((f->device & ATA_DEV_LBA) == 0)
		return ata_chs(f);
	return f->lba0 | (uint64_t)f->lba1 << 8 | (uint64_t)f->lba2 << 16 |
	       (uint64_t)(f->device & 0xf) << 24;
}

/* 0 stands for the whole range of the field. */
static uint32_t
ata_count(const struct fis_reg_h2d *f, unsigned int flags)
{
	uint32_t n;

	if ((flags & ATA_NCQ) != 0)
		n = f->features | (uint32_t)f->features_exp << 8;
	else if ((flags & ATA_EXT) != 0)
		n = f->count | (uint32_t)f->count_exp << 8;
	else
		return f->count != 0 ? f->count : 256;
	return n != 0 ? n : 65536;
}

/* --- reading and writing -------------------------------------------------- */

static void
ata_put_lba(struct ahci_cmd *cmd, uint64_t lba)
{
	struct fis_reg_d2h *o = &cmd->out;

	o->lba0 = (uint8_t)lba;
	o->lba1 = (uint8_t)(lba >> 8);
	o->lba2 = (uint8_t)(lba >> 16);
	if ((ata_rows[cmd->fis.command].flags & (ATA_EXT | ATA_NCQ)) == 0) {
		o->device = (o->device & 0xf0) | (lba >> 24 & 0xf);
		return;
	}
	o->lba3 = (uint8_t)(lba >> 24);
	o->lba4 = (uint8_t)(lba >> 32);
	o->lba5 = (uint8_t)(lba >> 40);
}

void
ata_medium_end(struct ahci_cmd *cmd, int error)
{
	bool write = cmd->op == AHCI_XFER_WRITE;

	if (error == 0) {
		ahci_done(cmd);
		return;
	}
	log_debug("%s: port %u: command 0x%02x: error %d",
	    pci_dev_name(cmd->port->hba->pd), cmd->port->num, cmd->fis.command,
	    -error);
	ata_put_lba(cmd, cmd->off / cmd->port->info->lsec_bytes);
	ahci_fail(cmd, write ? ATA_ERR_ABRT : ATA_ERR_UNC);
}

static void
ata_flush_end(struct ahci_cmd *cmd, int error)
{
	if (error == 0)
		ahci_done(cmd);
	else
		ahci_fail(cmd, ATA_ERR_ABRT);
}

static bool
ata_range_ok(struct ahci_cmd *cmd, uint64_t lba, uint32_t count)
{
	if (range_ok(lba, count, ata_sectors(cmd->port)))
		return true;
	ahci_fail(cmd, ATA_ERR_IDNF);
	return false;
}

static void
ata_rw(struct ahci_cmd *cmd, unsigned int flags)
{
	struct ahci_port *p = cmd->port;
	uint32_t count = ata_count(&cmd->fis, flags),
		 unit = p->info->lsec_bytes;
	uint64_t lba = ata_lba(&cmd->fis, flags);
	bool write = (flags & ATA_WRITE) != 0;

	if (!ata_range_ok(cmd, lba, count))
		return;
	if ((write && p->info->ro) ||
	    ((flags & ATA_MULT) != 0 && p->dev.mult == 0)) {
		ahci_fail(cmd, ATA_ERR_ABRT);
		return;
	}
	if ((flags & ATA_PIO) != 0 && write)
		ahci_post_pio_setup(cmd, false, ATA_STS_OK, unit);
	else if ((flags & ATA_PIO) != 0)
		cmd->proto = AHCI_PIO_IN;
	cmd->fua = (flags & ATA_FUA) != 0 || !p->dev.wcache ||
		   ((flags & ATA_NCQ) != 0 &&
		       (cmd->fis.device & 0x80) != 0); /* FUA of FPDMA */
	p->dev.power = ATA_ACTIVE;
	ahci_xfer(cmd, write ? AHCI_XFER_WRITE : AHCI_XFER_READ, lba * unit,
	    (uint64_t)count * unit, unit, ata_medium_end);
}

static void
ata_verify(struct ahci_cmd *cmd, unsigned int flags)
{
	uint32_t count = ata_count(&cmd->fis, flags);
	uint32_t unit = cmd->port->info->lsec_bytes;
	uint64_t lba = ata_lba(&cmd->fis, flags);

	if (!ata_range_ok(cmd, lba, count))
		return;
	cmd->port->dev.power = ATA_ACTIVE;
	ahci_xfer(cmd, AHCI_XFER_VERIFY, lba * unit, (uint64_t)count * unit,
	    unit, ata_medium_end);
}

static void
ata_flush(struct ahci_cmd *cmd, unsigned int flags)
{
	if (cmd->port->atapi || cmd->port->info->ro)
		ahci_done(cmd);
	else
		ahci_flush(cmd, ata_flush_end);
}

/* --- queued commands ------------------------------------------------------ */

/*
 * The tag must be the slot (AHCI 9.3.1.1); another is of a command that is
 * under way, or of none.
 */
static bool
ata_tag_ok(struct ahci_cmd *cmd)
{
	if (cmd->fis.count >> 3 == cmd->slot)
		return true;
	ahci_fail(cmd, ATA_ERR_ABRT);
	return false;
}

static void
ata_fpdma(struct ahci_cmd *cmd, unsigned int flags)
{
	if (ata_tag_ok(cmd))
		ata_rw(cmd, flags);
}

/* ACS-3 7.44: of the subcommands, DATA SET MANAGEMENT. */
#define SEND_FPDMA_DSM 0x00

static void
ata_send_fpdma(struct ahci_cmd *cmd, unsigned int flags)
{
	const struct fis_reg_h2d *f = &cmd->fis;

	if (!ata_tag_ok(cmd))
		return;
	if ((f->count_exp & 0x1f) != SEND_FPDMA_DSM ||
	    (f->auxiliary & 1) == 0) {
		ahci_fail(cmd, ATA_ERR_ABRT);
		return;
	}
	ata_trim(cmd, f->features | (unsigned int)f->features_exp << 8);
}

bool
ata_is_ncq(const struct ahci_port *p, uint8_t command)
{
	return !p->atapi && (ata_rows[command].flags & ATA_NCQ) != 0;
}

static void
ata_dsm(struct ahci_cmd *cmd, unsigned int flags)
{
	const struct fis_reg_h2d *f = &cmd->fis;

	if ((f->features & 1) == 0) /* TRIM */
		ahci_fail(cmd, ATA_ERR_ABRT);
	else
		ata_trim(cmd, f->count | (unsigned int)f->count_exp << 8);
}

/* --- settings ------------------------------------------------------------- */

/* SET FEATURES 03h, ACS-2 7.45.4: a mode IDENTIFY offers. */
static bool
ata_set_xfer_mode(struct ahci_port *p, uint8_t mode)
{
	static const struct {
		uint8_t type, max;
	} modes[] = {
		{ 0x00, 1 }, /* PIO default, without IORDY */
		{ 0x08, 4 }, /* PIO with flow control */
		{ 0x20, 2 }, /* multiword DMA */
		{ 0x40, 6 }, /* Ultra DMA */
	};

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if ((mode & 0xf8) == modes[i].type &&
		    (mode & 0x07) <= modes[i].max) {
			p->dev.xfer_mode = mode;
			return true;
		}
	}
	return false;
}

static bool
ata_enable_wcache(struct ahci_port *p, uint8_t count)
{
	p->dev.wcache = 1;
	return !p->atapi;
}

static bool
ata_enable_lookahead(struct ahci_port *p, uint8_t count)
{
	p->dev.lookahead = 1;
	return !p->atapi;
}

static bool
ata_disable_lookahead(struct ahci_port *p, uint8_t count)
{
	p->dev.lookahead = 0;
	return !p->atapi;
}

#define SATA_FEATURE_AN 0x05

static bool
ata_enable_sata(struct ahci_port *p, uint8_t count)
{
	if (!p->atapi || count != SATA_FEATURE_AN)
		return false;
	p->dev.notify = 1;
	return true;
}

static bool
ata_disable_sata(struct ahci_port *p, uint8_t count)
{
	if (!p->atapi || count != SATA_FEATURE_AN)
		return false;
	p->dev.notify = 0;
	return true;
}

/* Software's choice whether settings survive a software reset: they do. */
static bool
ata_keep_settings(struct ahci_port *p, uint8_t count)
{
	return true;
}

#define SF_DISABLE_WCACHE 0x82

static const struct {
	uint8_t feature;
	bool (*fn)(struct ahci_port *, uint8_t count);
} ata_features[] = {
	{ 0x02, ata_enable_wcache },
	{ 0x03, ata_set_xfer_mode },
	{ 0x10, ata_enable_sata },
	{ 0x55, ata_disable_lookahead },
	{ 0x66, ata_keep_settings },
	{ 0x90, ata_disable_sata },
	{ 0xaa, ata_enable_lookahead },
};

static void
ata_wcache_off(struct ahci_cmd *cmd, int error)
{
	if (error == 0)
		cmd->port->dev.wcache = 0;
	ata_flush_end(cmd, error);
}

static void
ata_set_features(struct ahci_cmd *cmd, unsigned int flags)
{
	struct ahci_port *p = cmd->port;

	/* What the cache holds goes to the disk first. */
	if (cmd->fis.features == SF_DISABLE_WCACHE && !p->atapi) {
		ahci_flush(cmd, ata_wcache_off);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(ata_features); i++) {
		if (ata_features[i].feature == cmd->fis.features &&
		    ata_features[i].fn(p, cmd->fis.count)) {
			ahci_done(cmd);
			return;
		}
	}
	ahci_fail(cmd, ATA_ERR_ABRT);
}

static void
ata_set_multiple(struct ahci_cmd *cmd, unsigned int flags)
{
	uint8_t n = cmd->fis.count;

	if (n > ATA_MULT_MAX || (n & (n - 1)) != 0) {
		ahci_fail(cmd, ATA_ERR_ABRT);
		return;
	}
	cmd->port->dev.mult = n;
	ahci_done(cmd);
}

/* The geometry does not change: it is what IDENTIFY tells. */
static void
ata_init_params(struct ahci_cmd *cmd, unsigned int flags)
{
	ahci_done(cmd);
}

/* --- power ---------------------------------------------------------------- */

static void
ata_set_power(struct ahci_cmd *cmd, enum ata_power power)
{
	cmd->port->dev.power = (uint8_t)power;
	ahci_done(cmd);
}

static void
ata_idle(struct ahci_cmd *cmd, unsigned int flags)
{
	ata_set_power(cmd, ATA_IDLE);
}

static void
ata_standby_end(struct ahci_cmd *cmd, int error)
{
	if (error == 0)
		ata_set_power(
		    cmd, cmd->fis.command == 0xe6 ? ATA_SLEEP : ATA_STANDBY);
	else
		ahci_fail(cmd, ATA_ERR_ABRT);
}

/* STANDBY, STANDBY IMMEDIATE, SLEEP: the cache is written first. */
static void
ata_standby(struct ahci_cmd *cmd, unsigned int flags)
{
	if (cmd->port->info->ro)
		ata_standby_end(cmd, 0);
	else
		ahci_flush(cmd, ata_standby_end);
}

static void
ata_check_power(struct ahci_cmd *cmd, unsigned int flags)
{
	static const uint8_t modes[ATA_NPOWER] = {
		[ATA_ACTIVE] = 0xff,
		[ATA_IDLE] = 0x80,
		[ATA_STANDBY] = 0x00,
	};

	cmd->out.count = modes[cmd->port->dev.power];
	ahci_done(cmd);
}

/* --- the rest ------------------------------------------------------------- */

static void
ata_read_log_row(struct ahci_cmd *cmd, unsigned int flags)
{
	if ((flags & ATA_PIO) != 0)
		cmd->proto = AHCI_PIO_IN;
	ata_read_log(cmd);
}

static void
ata_identify_row(struct ahci_cmd *cmd, unsigned int flags)
{
	cmd->proto = AHCI_PIO_IN;
	ata_identify(cmd);
}

/* IDENTIFY DEVICE on a packet device: "not me", by the signature. */
static void
ata_not_disk(struct ahci_cmd *cmd, unsigned int flags)
{
	ahci_fill_signature(cmd->port, &cmd->out);
	ahci_fail(cmd, ATA_ERR_ABRT);
}

static void
ata_packet(struct ahci_cmd *cmd, unsigned int flags)
{
	atapi_packet(cmd);
}

/* EXECUTE DEVICE DIAGNOSTIC, DEVICE RESET. */
static void
ata_signature(struct ahci_cmd *cmd, unsigned int flags)
{
	ata_reset(cmd->port, false);
	ahci_fill_signature(cmd->port, &cmd->out);
	ahci_diagnosed(cmd);
}

static const struct ata_row ata_rows[256] = {
	[0x06] = { ata_dsm, ATA_DISK },
	[0x08] = { ata_signature, ATA_CD }, /* DEVICE RESET */
	[0x20] = { ata_rw, ATA_DISK | ATA_PIO },
	[0x24] = { ata_rw, ATA_DISK | ATA_PIO | ATA_EXT },
	[0x25] = { ata_rw, ATA_DISK | ATA_EXT },
	[0x29] = { ata_rw, ATA_DISK | ATA_PIO | ATA_MULT | ATA_EXT },
	[0x2f] = { ata_read_log_row, ATA_DISK | ATA_PIO },
	[0x30] = { ata_rw, ATA_DISK | ATA_PIO | ATA_WRITE },
	[0x34] = { ata_rw, ATA_DISK | ATA_PIO | ATA_WRITE | ATA_EXT },
	[0x35] = { ata_rw, ATA_DISK | ATA_WRITE | ATA_EXT },
	[0x39] = { ata_rw,
	    ATA_DISK | ATA_PIO | ATA_MULT | ATA_WRITE | ATA_EXT },
	[0x3d] = { ata_rw, ATA_DISK | ATA_WRITE | ATA_EXT | ATA_FUA },
	[0x40] = { ata_verify, ATA_DISK },
	[0x42] = { ata_verify, ATA_DISK | ATA_EXT },
	[0x47] = { ata_read_log_row, ATA_DISK },
	[0x60] = { ata_fpdma, ATA_DISK | ATA_NCQ },
	[0x61] = { ata_fpdma, ATA_DISK | ATA_NCQ | ATA_WRITE },
	[0x64] = { ata_send_fpdma, ATA_DISK | ATA_NCQ | ATA_WRITE },
	[0x90] = { ata_signature, ATA_BOTH }, /* EXECUTE DEVICE DIAGNOSTIC */
	[0x91] = { ata_init_params, ATA_DISK },
	[0xa0] = { ata_packet, ATA_CD },
	[0xa1] = { ata_identify_row, ATA_CD },
	[0xc4] = { ata_rw, ATA_DISK | ATA_PIO | ATA_MULT },
	[0xc5] = { ata_rw, ATA_DISK | ATA_PIO | ATA_MULT | ATA_WRITE },
	[0xc6] = { ata_set_multiple, ATA_DISK },
	[0xc8] = { ata_rw, ATA_DISK },
	[0xca] = { ata_rw, ATA_DISK | ATA_WRITE },
	[0xce] = { ata_rw,
	    ATA_DISK | ATA_PIO | ATA_MULT | ATA_WRITE | ATA_EXT | ATA_FUA },
	[0xe0] = { ata_standby, ATA_BOTH }, /* STANDBY IMMEDIATE */
	[0xe1] = { ata_idle, ATA_BOTH },    /* IDLE IMMEDIATE */
	[0xe2] = { ata_standby, ATA_DISK },
	[0xe3] = { ata_idle, ATA_DISK },
	[0xe5] = { ata_check_power, ATA_BOTH },
	[0xe6] = { ata_standby, ATA_BOTH }, /* SLEEP */
	[0xe7] = { ata_flush, ATA_BOTH },
	[0xea] = { ata_flush, ATA_DISK },
	[0xec] = { ata_identify_row, ATA_DISK },
	[0xef] = { ata_set_features, ATA_BOTH },
	/* NOP (00h) is defined to abort, and so has no row. */
};

void
ata_command(struct ahci_cmd *cmd)
{
	const struct ahci_port *p = cmd->port;
	const struct ata_row *row = &ata_rows[cmd->fis.command];
	bool log = row->fn == ata_read_log_row;

	/* Until the error log was read, nothing else (ACS-2 4.16.3). */
	if (p->dev.ncq_halted && !log) {
		ahci_fail(cmd, ATA_ERR_ABRT);
	} else if ((row->flags & (p->atapi ? ATA_CD : ATA_DISK)) != 0) {
		row->fn(cmd, row->flags);
	} else if (p->atapi && cmd->fis.command == 0xec) {
		ata_not_disk(cmd, 0);
	} else {
		log_debug("%s: port %u: no ATA command 0x%02x",
		    pci_dev_name(p->hba->pd), p->num, cmd->fis.command);
		ahci_fail(cmd, ATA_ERR_ABRT);
	}
}

void
ata_reset(struct ahci_port *p, bool hard)
{
	p->dev.power = ATA_ACTIVE;
	p->dev.ncq_halted = 0;
	p->dev.srst = 0;
	if (hard) {
		p->dev.mult = ATA_MULT_MAX;
		p->dev.xfer_mode = 0x46; /* Ultra DMA 6 */
		p->dev.wcache = 1;
		p->dev.lookahead = 1;
		p->dev.notify = 0;
	}
	if (p->atapi)
		atapi_reset(p);
}
