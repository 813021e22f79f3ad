/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory through a command's physical region descriptor table (AHCI
 * 4.2.3.3).  Up to 65535 regions of up to 4 MiB; a window of AHCI_SG_MAX of
 * them is mapped at a time, so that a table costs no more memory than a window.
 */
#include "ahci_priv.h"

void
ahci_sg_init(struct ahci_sg *sg, uint64_t table, uint32_t entries)
{
	sg->table = table;
	sg->left = entries;
	sg->i = sg->n = sg->niov = sg->used = 0;
	sg->bytes = 0;
	sg->rest = (struct iovec){ 0 };
}

static enum sg_status
ahci_sg_batch(struct ahci_cmd *cmd)
{
	struct ahci_sg *sg = &cmd->sg;
	unsigned int n = MIN(sg->left, AHCI_PRD_BATCH);

	if (n == 0)
		return SG_SHORT;
	if (!pci_dma_read(
		cmd->port->hba->pd, sg->table, sg->prd, n * sizeof(sg->prd[0])))
		return SG_FAULT;
	sg->table += n * sizeof(sg->prd[0]);
	sg->left -= n;
	sg->i = 0;
	sg->n = n;
	return SG_OK;
}

static enum sg_status
ahci_sg_next(struct ahci_cmd *cmd)
{
	struct ahci_sg *sg = &cmd->sg;
	enum sg_status st;
	const struct ahci_prd *prd;
	uint64_t gpa;
	size_t len;
	void *hva;

	if (sg->i == sg->n) {
		st = ahci_sg_batch(cmd);
		if (st != SG_OK)
			return st;
	}
	prd = &sg->prd[sg->i++];
	gpa = (uint64_t)prd->dbau << 32 | (prd->dba & ~1u);
	/* Bit 0 "shall always be 1": an even number of bytes. */
	len = (size_t)((prd->dbc & PRD_DBC_MASK) | 1) + 1;
	cmd->prd_intr |= (prd->dbc & PRD_I) != 0;
	hva = pci_dma_map(cmd->port->hba->pd, gpa, len);
	if (hva == NULL)
		return SG_FAULT;
	sg->iov[sg->niov++] = (struct iovec){ hva, len };
	sg->bytes += len;
	return SG_OK;
}

enum sg_status
ahci_sg_fill(struct ahci_cmd *cmd, uint64_t want)
{
	struct ahci_sg *sg = &cmd->sg;
	enum sg_status st = SG_OK;

	while (st == SG_OK && sg->bytes < want && sg->niov < AHCI_SG_MAX)
		st = ahci_sg_next(cmd);
	return st;
}

void
ahci_sg_take(struct ahci_sg *sg, uint64_t len)
{
	uint64_t sum = 0;
	struct iovec *last;

	assert(len > 0 && len <= sg->bytes);
	for (sg->used = 0; sum < len; sg->used++)
		sum += sg->iov[sg->used].iov_len;
	last = &sg->iov[sg->used - 1];
	last->iov_len -= sum - len;
	sg->rest =
	    (struct iovec){ (char *)last->iov_base + last->iov_len, sum - len };
	sg->bytes -= len;
}

void
ahci_sg_drop(struct ahci_cmd *cmd, bool in)
{
	struct ahci_sg *sg = &cmd->sg;
	unsigned int keep = 0;

	for (unsigned int i = 0; in && i < sg->used; i++)
		pci_dma_written(cmd->port->hba->pd, sg->iov[i].iov_base,
		    sg->iov[i].iov_len);
	if (sg->rest.iov_len > 0)
		sg->iov[keep++] = sg->rest;
	memmove(&sg->iov[keep], &sg->iov[sg->used],
	    (sg->niov - sg->used) * sizeof(sg->iov[0]));
	sg->niov -= sg->used - keep;
	sg->used = 0;
	sg->rest = (struct iovec){ 0 };
}

/* One of src (to the guest) and dst (from it) is not NULL. */
static void
ahci_sg_copy_taken(const struct ahci_sg *sg, const uint8_t *src, uint8_t *dst)
{
	size_t at = 0;

	for (unsigned int i = 0; i < sg->used; i++) {
		const struct iovec *v = &sg->iov[i];

		if (src != NULL)
			memcpy(v->iov_base, src + at, v->iov_len);
		else
			memcpy(dst + at, v->iov_base, v->iov_len);
		at += v->iov_len;
	}
}

static enum sg_status
ahci_sg_copy(struct ahci_cmd *cmd, const uint8_t *src, uint8_t *dst, size_t len)
{
	for (size_t at = 0, n; at < len; at += n) {
		enum sg_status st = ahci_sg_fill(cmd, len - at);

		n = MIN(cmd->sg.bytes, len - at);
		if (st != SG_OK)
			return st;
		ahci_sg_take(&cmd->sg, n);
		ahci_sg_copy_taken(&cmd->sg, src != NULL ? src + at : NULL,
		    dst != NULL ? dst + at : NULL);
		ahci_sg_drop(cmd, src != NULL);
		cmd->moved += (uint32_t)n;
	}
	return SG_OK;
}

enum sg_status
ahci_sg_put(struct ahci_cmd *cmd, const void *src, size_t len)
{
	return ahci_sg_copy(cmd, src, NULL, len);
}

enum sg_status
ahci_sg_get(struct ahci_cmd *cmd, void *dst, size_t len)
{
	return ahci_sg_copy(cmd, NULL, dst, len);
}
