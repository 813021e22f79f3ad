/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a CD/DVD-ROM drive tells of itself and its medium: INQUIRY, mode pages,
 * table of contents, features, events (SPC-4, MMC-5).  Fixed answers for the
 * most part; each is cut to the allocation length by atapi_reply().
 */
#include "ahci_priv.h"

static uint16_t
be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void
put_be16(uint8_t *p, uint32_t val)
{
	p[0] = (uint8_t)(val >> 8);
	p[1] = (uint8_t)val;
}

static void
put_be32(uint8_t *p, uint32_t val)
{
	put_be16(p, val >> 16);
	put_be16(p + 2, val & 0xffff);
}

static void
atapi_invalid_field(struct ahci_cmd *cmd)
{
	atapi_fail(cmd, SK_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
}

/* Blanks fill up. */
static void
atapi_string(uint8_t *dst, size_t len, const char *s)
{
	memset(dst, ' ', len);
	memcpy(dst, s, MIN(len, strlen(s)));
}

/* --- INQUIRY, SPC-4 6.6 and 7.8 ------------------------------------------- */

#define DEVICE_TYPE_CD 0x05

static void
atapi_inquiry_vpd(struct ahci_cmd *cmd, size_t alloc_len)
{
	uint8_t b[4 + 20] = { DEVICE_TYPE_CD, cmd->acmd[2] };

	switch (cmd->acmd[2]) {
	case 0x00: /* pages there are */
		b[3] = 2;
		b[5] = 0x80;
		atapi_reply(cmd, b, 6, alloc_len);
		break;
	case 0x80: /* serial number */
		b[3] = 20;
		atapi_string(&b[4], 20, cmd->port->ser);
		atapi_reply(cmd, b, sizeof(b), alloc_len);
		break;
	default:
		atapi_invalid_field(cmd);
		break;
	}
}

void
atapi_inquiry(struct ahci_cmd *cmd)
{
	size_t alloc_len = be16(&cmd->acmd[3]);
	uint8_t b[36] = {
		[0] = DEVICE_TYPE_CD,
		[1] = 0x80, /* removable */
		[3] = 0x21, /* ATAPI; response format 1 or 2 */
		[4] = sizeof(b) - 5,
	};

	if ((cmd->acmd[1] & 0x01) != 0) {
		atapi_inquiry_vpd(cmd, alloc_len);
		return;
	}
	if (cmd->acmd[2] != 0) {
		atapi_invalid_field(cmd);
		return;
	}
	atapi_string(&b[8], 8, "BHYVE");
	atapi_string(&b[16], 16, "BHYVE DVD-ROM");
	atapi_string(&b[32], 4, "001");
	atapi_reply(cmd, b, sizeof(b), alloc_len);
}

/* --- mode pages, MMC-5 7.2 ------------------------------------------------ */

#define PAGE_ALL 0x3f

static const uint8_t page_recovery[12] = { 0x01, 10, 0, 5 };
static const uint8_t page_caching[12] = { 0x08, 10 };
static const uint8_t page_capabilities[22] = {
	[0] = 0x2a,
	[1] = 20,
	[2] = 0x0b, /* reads CD-R, CD-RW, DVD-ROM */
	[6] = 0x29, /* tray, ejects, locks */
	[8] = 0x02, /* 706 kB/s, as bhyve says */
	[9] = 0xc2,
	[14] = 0x02,
	[15] = 0xc2,
};

static const struct {
	const uint8_t *bytes;
	uint8_t len;
} atapi_pages[] = {
	{ page_recovery, sizeof(page_recovery) },
	{ page_caching, sizeof(page_caching) },
	{ page_capabilities, sizeof(page_capabilities) },
};

/* The pages asked for: how long they are; 0: there is no such page. */
static size_t
atapi_mode_pages(const struct ahci_port *p, uint8_t code, uint8_t *dst)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(atapi_pages); i++) {
		const uint8_t *page = atapi_pages[i].bytes;

		if (code != PAGE_ALL && code != page[0])
			continue;
		memcpy(dst + n, page, atapi_pages[i].len);
		if (page[0] == 0x2a && p->dev.locked)
			dst[n + 6] |= 0x02;
		n += atapi_pages[i].len;
	}
	return n;
}

#define PC_SAVED 3

static void
atapi_mode_sense(struct ahci_cmd *cmd, size_t hdr_len, size_t alloc_len)
{
	uint8_t b[8 + 64] = { 0 };
	size_t n =
	    atapi_mode_pages(cmd->port, cmd->acmd[2] & 0x3f, b + hdr_len);
	unsigned int pc = cmd->acmd[2] >> 6;

	if (pc == PC_SAVED) {
		atapi_fail(cmd, SK_ILLEGAL_REQUEST, ASC_SAVING_NOT_SUPPORTED);
		return;
	}
	/* Subpages: none but "all" of all. */
	if (n == 0 || (cmd->acmd[3] != 0 && cmd->acmd[3] != 0xff)) {
		atapi_invalid_field(cmd);
		return;
	}
	if (hdr_len == 8) {
		put_be16(b, (uint32_t)(hdr_len + n - 2));
		b[2] = cmd->port->dev.tray_open ? 0x71 : 0x01;
	} else {
		b[0] = (uint8_t)(hdr_len + n - 1);
		b[1] = cmd->port->dev.tray_open ? 0x71 : 0x01;
	}
	atapi_reply(cmd, b, hdr_len + n, alloc_len);
}

void
atapi_mode_sense_6(struct ahci_cmd *cmd)
{
	atapi_mode_sense(cmd, 4, cmd->acmd[4]);
}

void
atapi_mode_sense_10(struct ahci_cmd *cmd)
{
	atapi_mode_sense(cmd, 8, be16(&cmd->acmd[7]));
}

/* --- the medium's structure ----------------------------------------------- */

#define TRACK_LEADOUT 0xaa
#define TOC_DATA      0x14 /* ADR 1, a data track */

/* LBA, or minutes, seconds and frames from the lead-in's beginning. */
static void
atapi_put_addr(uint8_t *p, uint32_t lba, bool msf)
{
	if (!msf) {
		put_be32(p, lba);
		return;
	}
	lba += 150;
	p[0] = 0;
	p[1] = (uint8_t)MIN(lba / (75 * 60), 255u);
	p[2] = (uint8_t)(lba / 75 % 60);
	p[3] = (uint8_t)(lba % 75);
}

static size_t
atapi_toc_track(uint8_t *b, size_t n, uint8_t track, uint32_t lba, bool msf)
{
	b[n + 1] = TOC_DATA;
	b[n + 2] = track;
	atapi_put_addr(&b[n + 4], lba, msf);
	return n + 8;
}

/* Format 0: track 1 and the lead-out, from the track asked for on. */
static size_t
atapi_toc_tracks(const struct ahci_cmd *cmd, uint8_t *b)
{
	bool msf = (cmd->acmd[1] & 0x02) != 0;
	uint8_t first = cmd->acmd[6];
	size_t n = 4;

	if (first > 1 && first != TRACK_LEADOUT)
		return 0;
	b[2] = b[3] = 1;
	if (first <= 1)
		n = atapi_toc_track(b, n, 1, 0, msf);
	return atapi_toc_track(
	    b, n, TRACK_LEADOUT, atapi_blocks(cmd->port), msf);
}

/* Format 1: one session, which begins with track 1. */
static size_t
atapi_toc_sessions(const struct ahci_cmd *cmd, uint8_t *b)
{
	b[2] = b[3] = 1;
	return atapi_toc_track(b, 4, 1, 0, (cmd->acmd[1] & 0x02) != 0);
}

/* Format 2: the lead-in's Q channel: A0, A1, A2 and track 1. */
static size_t
atapi_toc_full(const struct ahci_cmd *cmd, uint8_t *b)
{
	static const uint8_t points[] = { 0xa0, 0xa1, 0xa2, 0x01 };
	bool msf = (cmd->acmd[1] & 0x02) != 0;
	size_t n = 4;

	b[2] = b[3] = 1;
	for (size_t i = 0; i < ARRAY_LEN(points); i++, n += 11) {
		uint8_t *e = &b[n];

		e[0] = 1; /* session */
		e[1] = TOC_DATA;
		e[3] = points[i];
		if (points[i] == 0xa2)
			atapi_put_addr(&e[7], atapi_blocks(cmd->port), msf);
		else if (points[i] == 0x01)
			atapi_put_addr(&e[7], 0, msf);
		else
			e[8] = 1; /* first, last track */
	}
	return n;
}

/* MMC-5 6.25.  Format in CDB byte 2; old drivers put it into byte 9. */
void
atapi_read_toc(struct ahci_cmd *cmd)
{
	uint8_t b[64] = { 0 };
	unsigned int format = cmd->acmd[2] & 0x0f;
	size_t n = 0;

	if (format == 0)
		format = cmd->acmd[9] >> 6;
	if (format == 0)
		n = atapi_toc_tracks(cmd, b);
	else if (format == 1)
		n = atapi_toc_sessions(cmd, b);
	else if (format == 2)
		n = atapi_toc_full(cmd, b);
	if (n == 0) {
		atapi_invalid_field(cmd);
		return;
	}
	put_be16(b, (uint32_t)(n - 2));
	atapi_reply(cmd, b, n, be16(&cmd->acmd[7]));
}

/* MMC-5 6.22: one finished session with one track. */
void
atapi_read_disc_information(struct ahci_cmd *cmd)
{
	static const uint8_t b[34] = {
		[1] = sizeof(b) - 2,
		[2] = 0x0e, /* complete, last session complete */
		[3] = 1,
		[4] = 1,
		[5] = 1,
		[6] = 1,
		[7] = 0x20, /* unrestricted use */
		[16] = 0xff,
		[17] = 0xff,
		[18] = 0xff,
		[19] = 0xff,
		[20] = 0xff,
		[21] = 0xff,
		[22] = 0xff,
		[23] = 0xff,
	};

	if ((cmd->acmd[1] & 7) != 0)
		atapi_invalid_field(cmd);
	else
		atapi_reply(cmd, b, sizeof(b), be16(&cmd->acmd[7]));
}

/* MMC-5 6.27: by LBA, by track or by session there is track 1. */
void
atapi_read_track_information(struct ahci_cmd *cmd)
{
	const uint8_t *c = cmd->acmd;
	uint32_t what = (uint32_t)be16(&c[2]) << 16 | be16(&c[4]);
	uint32_t blocks = atapi_blocks(cmd->port);
	unsigned int type = c[1] & 3;
	uint8_t b[36] = {
		[1] = sizeof(b) - 2,
		[2] = 1, /* track */
		[3] = 1, /* session */
		[5] = 0x04,
		[6] = 0x01, /* data mode 1 */
	};

	if (type == 3 || (type == 0 && what >= blocks) ||
	    (type != 0 && what != 1)) {
		atapi_invalid_field(cmd);
		return;
	}
	put_be32(&b[24], blocks);
	atapi_reply(cmd, b, sizeof(b), be16(&c[7]));
}

/* --- features, MMC-5 5.3 and 6.6 ------------------------------------------ */

#define PROFILE_CD_ROM	0x0008
#define PROFILE_DVD_ROM 0x0010
/* More than this is no CD. */
#define CD_MAX_BLOCKS 405000u /* 90 minutes */

struct atapi_feature {
	uint16_t code;
	uint8_t flags; /* version, persistent, current */
	uint8_t len;
	uint8_t data[12];
};

static const struct atapi_feature atapi_features[] = {
	/* Profile list: filled in. */
	{ 0x0000, 0x03, 8, { 0 } },
	/* Core: ATAPI, DBE. */
	{ 0x0001, 0x0b, 8, { 0, 0, 0, 2, 1 } },
	/* Morphing: synchronous and asynchronous events. */
	{ 0x0002, 0x07, 4, { 0x02 } },
	/* Removable medium: tray, ejects, locks. */
	{ 0x0003, 0x03, 4, { 0x29 } },
	/* Random readable: 2048 bytes a block, one a time. */
	{ 0x0010, 0x01, 8, { 0, 0, CD_BLOCK >> 8, 0, 0, 1 } },
	/* CD read, DVD read. */
	{ 0x001e, 0x09, 4, { 0 } },
	{ 0x001f, 0x01, 4, { 0 } },
	/* Power management. */
	{ 0x0100, 0x03, 0, { 0 } },
};

static uint16_t
atapi_profile(const struct ahci_port *p)
{
	if (p->dev.tray_open)
		return 0;
	return atapi_blocks(p) > CD_MAX_BLOCKS ? PROFILE_DVD_ROM
					       : PROFILE_CD_ROM;
}

/* Profiles, the greatest first; which of them the medium has. */
static void
atapi_put_profiles(uint8_t *p, uint16_t current)
{
	static const uint16_t profiles[] = { PROFILE_DVD_ROM, PROFILE_CD_ROM };

	for (size_t i = 0; i < ARRAY_LEN(profiles); i++) {
		put_be16(&p[4 * i], profiles[i]);
		p[4 * i + 2] = profiles[i] == current;
	}
}

/* Which features: from one on (0), the current of these (1), just one (2). */
static bool
atapi_feature_wanted(
    const struct atapi_feature *f, unsigned int rt, uint16_t start)
{
	if (rt == 2)
		return f->code == start;
	return f->code >= start && (rt == 0 || (f->flags & 1) != 0);
}

void
atapi_get_configuration(struct ahci_cmd *cmd)
{
	uint8_t b[8 + ARRAY_LEN(atapi_features) * 16] = { 0 };
	unsigned int rt = cmd->acmd[1] & 3;
	uint16_t start = be16(&cmd->acmd[2]);
	uint16_t current = atapi_profile(cmd->port);
	size_t n = 8;

	if (rt == 3) {
		atapi_invalid_field(cmd);
		return;
	}
	put_be16(&b[6], current);
	for (size_t i = 0; i < ARRAY_LEN(atapi_features); i++) {
		const struct atapi_feature *f = &atapi_features[i];

		if (!atapi_feature_wanted(f, rt, start))
			continue;
		put_be16(&b[n], f->code);
		b[n + 2] = f->flags;
		b[n + 3] = f->len;
		memcpy(&b[n + 4], f->data, f->len);
		if (f->code == 0)
			atapi_put_profiles(&b[n + 4], current);
		n += 4u + f->len;
	}
	put_be32(b, (uint32_t)(n - 4));
	atapi_reply(cmd, b, n, be16(&cmd->acmd[7]));
}

/* --- events, MMC-5 6.7 ---------------------------------------------------- */

#define EVENT_CLASS_MEDIA 4
#define EVENT_NEA	  0x80 /* no event of a class asked for */

/* Only polled: a drive on SATA has no queue to hold the command in. */
void
atapi_get_event_status(struct ahci_cmd *cmd)
{
	struct ata_state *d = &cmd->port->dev;
	size_t alloc_len = be16(&cmd->acmd[7]);
	uint8_t b[8] = { 0, 0, EVENT_NEA, 1u << EVENT_CLASS_MEDIA };
	size_t n = 4;

	if ((cmd->acmd[1] & 0x01) == 0) {
		atapi_invalid_field(cmd);
		return;
	}
	if ((cmd->acmd[4] & 1u << EVENT_CLASS_MEDIA) != 0) {
		n = sizeof(b);
		b[2] = EVENT_CLASS_MEDIA;
		b[4] = d->event;
		b[5] = d->tray_open ? 0x01 : 0x02; /* open, medium present */
		if (alloc_len > 4)
			d->event = 0;
	}
	put_be16(b, (uint32_t)(n - 2));
	atapi_reply(cmd, b, n, alloc_len);
}

/* MMC-5 6.11: no changer. */
void
atapi_mechanism_status(struct ahci_cmd *cmd)
{
	uint8_t b[8] = { 0 };

	b[1] = cmd->port->dev.tray_open ? 0x10 : 0;
	atapi_reply(cmd, b, sizeof(b), be16(&cmd->acmd[8]));
}
