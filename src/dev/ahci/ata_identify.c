/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IDENTIFY DEVICE (ACS-2 7.18) and IDENTIFY PACKET DEVICE (7.19): 256 words.
 * Strings are docs/bhyve.md 1.16's.
 */
#include "ahci_priv.h"

#define W(n) [n]

/* Two characters a word, the first in the high byte; blanks fill up. */
static void
ata_string(uint16_t *w, unsigned int nwords, const char *s)
{
	for (unsigned int i = 0; i < nwords; i++) {
		uint8_t hi = *s != '\0' ? (uint8_t)*s++ : ' ';
		uint8_t lo = *s != '\0' ? (uint8_t)*s++ : ' ';

		w[i] = (uint16_t)(hi << 8 | lo);
	}
}

static void
ata_put(uint16_t *w, unsigned int nwords, uint64_t val)
{
	for (unsigned int i = 0; i < nwords; i++)
		w[i] = (uint16_t)(val >> 16 * i);
}

/* Word 255: the bytes of all words add up to 0. */
static void
ata_checksum(uint16_t *w)
{
	const uint8_t *b = (const uint8_t *)w;
	uint8_t sum = 0;

	w[255] = 0x00a5;
	for (unsigned int i = 0; i < 511; i++)
		sum += b[i];
	w[255] |= (uint16_t)((uint8_t)-sum << 8);
}

/* Words 62, 63, 88: modes offered, and which of them is chosen. */
static void
ata_modes(const struct ahci_port *p, uint16_t *w)
{
	uint8_t mode = p->dev.xfer_mode;

	w[63] = 0x0007;
	w[88] = 0x007f;
	if ((mode & 0xf8) == 0x20)
		w[63] |= (uint16_t)(0x100u << (mode & 7));
	if ((mode & 0xf8) == 0x40)
		w[88] |= (uint16_t)(0x100u << (mode & 7));
	w[64] = 0x0003;				/* PIO 3 and 4 */
	w[65] = w[66] = w[67] = w[68] = 0x0078; /* cycles of 120 ns */
}

static void
ata_sata_words(const struct ahci_port *p, uint16_t *w)
{
	w[76] = 0x000e; /* Gen1, Gen2, Gen3 */
	w[77] = (uint16_t)((p->regs.ssts & SPD_MASK) >> SPD_SHIFT << 1);
	w[222] = 0x103f; /* serial, up to SATA 3.0 */
}

static void
ata_names(const struct ahci_port *p, uint16_t *w)
{
	ata_string(&w[10], 10, p->ser);
	ata_string(&w[23], 4, p->rev);
	ata_string(&w[27], 20, p->model);
}

static const uint16_t ata_packet_words[256] = {
	W(0) = 0x8580,	/* ATAPI, CD-ROM, removable, 12-byte packets */
	W(49) = 0x0300, /* LBA, DMA */
	W(50) = 0x4000,
	W(53) = 0x0006, /* words 64-70 and 88 are valid */
	W(78) = 0x0020, /* asynchronous notification */
	W(80) = 0x01f0, /* ATA-4 ... ATA8 */
	W(82) = 0x4218, /* NOP, DEVICE RESET, PACKET, power management */
	W(83) = 0x4000,
	W(84) = 0x4000,
	W(85) = 0x4218,
	W(86) = 0x0000,
	W(87) = 0x4000,
};

static void
ata_fill_packet(const struct ahci_port *p, uint16_t *w)
{
	memcpy(w, ata_packet_words, sizeof(ata_packet_words));
	ata_names(p, w);
	ata_modes(p, w);
	ata_sata_words(p, w);
	w[79] = p->dev.notify ? 0x0020 : 0;
}

static const uint16_t ata_disk_words[256] = {
	W(0) = 0x0040, /* a disk, not removable */
	W(3) = ATA_HEADS,
	W(6) = ATA_SPT,
	W(47) = 0x8000 | ATA_MULT_MAX,
	W(48) = 0x4000,
	W(49) = 0x2f00, /* standard standby timer, IORDY, LBA, DMA */
	W(50) = 0x4000,
	W(53) = 0x0007, /* words 54-58, 64-70, 88 are valid */
	W(55) = ATA_HEADS,
	W(56) = ATA_SPT,
	W(75) = 31,	/* queue depth - 1 */
	W(80) = 0x03f0, /* ATA-4 ... ACS-2 */
	W(81) = 0x0110, /* ACS-2 revision 3 */
	W(82) = 0x4068, /* NOP, look-ahead, write cache, power management */
	/* Valid; FLUSH EXT, FLUSH, 48-bit. */
	W(83) = 0x7400,
	/* Valid; FUA, general purpose logging. */
	W(84) = 0x4060,
	W(86) = 0xb400, /* as 83, and words 119-120 are valid */
	W(87) = 0x4060,
	W(119) = 0x4008, /* READ LOG DMA EXT */
	W(120) = 0x4008,
};

/* Word 106 and those it points to: logical sectors, and physical of them. */
static void
ata_sector_words(const struct ahci_port *p, uint16_t *w)
{
	uint32_t lsec = p->info->lsec_bytes, psec = p->info->psec_bytes;

	w[106] = 0x4000;
	if (psec > lsec)
		w[106] |= 0x2000 | (uint16_t)__builtin_ctz(psec / lsec);
	if (lsec > 512) {
		w[106] |= 0x1000;
		ata_put(&w[117], 2, lsec / 2);
	}
	w[209] = 0x4000; /* sector 0 begins a physical one */
}

static void
ata_size_words(const struct ahci_port *p, uint16_t *w)
{
	uint64_t n = ata_sectors(p);
	uint16_t cyl = (uint16_t)ata_cylinders(p);

	w[1] = w[54] = cyl;
	ata_put(&w[57], 2, (uint64_t)cyl * ATA_HEADS * ATA_SPT);
	ata_put(&w[60], 2, MIN(n, ATA_SECTORS_28));
	ata_put(&w[100], 4, n);
}

static void
ata_fill_disk(const struct ahci_port *p, uint16_t *w)
{
	memcpy(w, ata_disk_words, sizeof(ata_disk_words));
	ata_names(p, w);
	ata_modes(p, w);
	ata_sata_words(p, w);
	ata_size_words(p, w);
	ata_sector_words(p, w);
	w[59] = p->dev.mult != 0 ? (uint16_t)(0x0100 | p->dev.mult) : 0;
	w[76] |= 0x0100; /* NCQ */
	w[85] = (uint16_t)(0x4008 | (p->dev.wcache ? 0x20 : 0) |
			   (p->dev.lookahead ? 0x40 : 0));
	w[217] = p->nmrr;
	if (p->info->can_discard && !p->info->ro) {
		w[77] |= 0x0040; /* SEND FPDMA QUEUED */
		w[105] = ATA_DSM_BLOCKS;
		w[169] = 0x0001; /* TRIM */
	}
}

void
ata_identify(struct ahci_cmd *cmd)
{
	uint16_t w[256] = { 0 };

	if (cmd->port->atapi)
		ata_fill_packet(cmd->port, w);
	else
		ata_fill_disk(cmd->port, w);
	ata_checksum(w);
	ahci_reply(cmd, w, sizeof(w));
}
