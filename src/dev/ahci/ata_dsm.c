/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TRIM: ranges of sectors whose contents the guest needs no more (DATA SET
 * MANAGEMENT, ACS-2 7.10; the same by SEND FPDMA QUEUED).  What is read there
 * afterwards is undetermined (IDENTIFY word 69).
 *
 * All ranges are checked before the first is given up.
 */
#include "ahci_priv.h"

#define DSM_BLOCK_BYTES 512u

static uint64_t
ata_range_lba(const struct ahci_cmd *cmd, unsigned int i)
{
	return get_le64(cmd->buf + 8ul * i) & 0xffffffffffffull;
}

static uint32_t
ata_range_count(const struct ahci_cmd *cmd, unsigned int i)
{
	return get_le16(cmd->buf + 8ul * i + 6);
}

/* A range of no sectors fills a block up. */
static void
ata_trim_next(struct ahci_cmd *cmd, int error)
{
	uint64_t unit = cmd->port->info->lsec_bytes;

	while (error == 0 && cmd->range < cmd->nranges) {
		unsigned int i = cmd->range++;
		uint32_t count = ata_range_count(cmd, i);

		if (count == 0)
			continue;
		ahci_submit(cmd, BLOCK_DISCARD, ata_range_lba(cmd, i) * unit,
		    count * unit, NULL, 0, ata_trim_next);
		return;
	}
	if (error == 0)
		ahci_done(cmd);
	else
		ahci_fail(cmd, ATA_ERR_ABRT);
}

static bool
ata_ranges_ok(const struct ahci_cmd *cmd)
{
	for (unsigned int i = 0; i < cmd->nranges; i++)
		if (!range_ok(ata_range_lba(cmd, i), ata_range_count(cmd, i),
			ata_sectors(cmd->port)))
			return false;
	return true;
}

void
ata_trim(struct ahci_cmd *cmd, unsigned int blocks)
{
	const struct block_info *info = cmd->port->info;
	enum sg_status st;

	if (!info->can_discard || info->ro || blocks == 0 ||
	    blocks > ATA_DSM_BLOCKS) {
		ahci_fail(cmd, ATA_ERR_ABRT);
		return;
	}
	cmd->nranges = blocks * DSM_BLOCK_BYTES / 8;
	cmd->buf = xcalloc(blocks, DSM_BLOCK_BYTES);
	st = ahci_sg_get(cmd, cmd->buf, (size_t)blocks * DSM_BLOCK_BYTES);
	if (st != SG_OK)
		ahci_fault(cmd, st);
	else if (ata_ranges_ok(cmd))
		ata_trim_next(cmd, 0);
	else
		ahci_fail(cmd, ATA_ERR_IDNF);
}
