/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Data between a command's PRD table and the medium.
 *
 * The backend reads and writes guest memory itself, a window of PRDs at a time
 * and whole sectors only.  A sector goes through a buffer when it lies in more
 * pieces than a window has, or reaches beyond the end of a CD image whose size
 * is no multiple of its blocks.
 */
#include "ahci_priv.h"

#define VERIFY_BYTES (64u * 1024)
/* One request, so that a command of 65536 sectors of 4 KiB is no hog. */
#define CHUNK_BYTES (4u << 20)

static void ahci_xfer_next(struct ahci_cmd *);

static void
ahci_xfer_advance(struct ahci_cmd *cmd, uint32_t n)
{
	cmd->off += n;
	cmd->left -= n;
	ahci_xfer_next(cmd);
}

static void
ahci_xfer_direct_done(struct ahci_cmd *cmd, int error)
{
	ahci_sg_drop(cmd, cmd->op == AHCI_XFER_READ);
	if (error != 0) {
		cmd->end(cmd, error);
		return;
	}
	cmd->moved += cmd->chunk;
	ahci_xfer_advance(cmd, cmd->chunk);
}

static void
ahci_xfer_buf_done(struct ahci_cmd *cmd, int error)
{
	enum sg_status st;

	if (error != 0) {
		cmd->end(cmd, error);
		return;
	}
	if (cmd->op == AHCI_XFER_READ) {
		st = ahci_sg_put(cmd, cmd->buf, cmd->chunk);
		if (st != SG_OK) {
			ahci_fault(cmd, st);
			return;
		}
	}
	ahci_xfer_advance(cmd, cmd->chunk);
}

/* `n` bytes through the buffer, of which the medium has the first `have`. */
static void
ahci_xfer_buffered(struct ahci_cmd *cmd, uint32_t n, uint32_t have)
{
	bool write = cmd->op == AHCI_XFER_WRITE;
	enum sg_status st;

	if (cmd->buf == NULL)
		cmd->buf = xcalloc(1, MAX(n, cmd->unit));
	if (have < n)
		memset(cmd->buf + have, 0, n - have);
	if (write) {
		st = ahci_sg_get(cmd, cmd->buf, n);
		if (st != SG_OK) {
			ahci_fault(cmd, st);
			return;
		}
	}
	cmd->chunk = n;
	cmd->buf_iov = (struct iovec){ cmd->buf, have };
	ahci_submit(cmd, write ? BLOCK_WRITE : BLOCK_READ, cmd->off, have,
	    &cmd->buf_iov, 1, ahci_xfer_buf_done);
}

/* Bytes of the medium from cmd->off on. */
static uint64_t
ahci_xfer_have(const struct ahci_cmd *cmd)
{
	uint64_t end = cmd->port->info->bytes;

	return cmd->off < end ? end - cmd->off : 0;
}

static void
ahci_xfer_direct(struct ahci_cmd *cmd)
{
	uint64_t most = MAX(CHUNK_BYTES, cmd->unit);
	uint64_t want = MIN(cmd->left, most);
	enum sg_status st = ahci_sg_fill(cmd, want);
	uint64_t have = ahci_xfer_have(cmd);
	uint64_t n = MIN(cmd->sg.bytes, want);

	if (st == SG_FAULT || (st == SG_SHORT && cmd->sg.bytes < cmd->unit)) {
		ahci_fault(cmd, st);
		return;
	}
	n = MIN(n, have);
	n -= n % cmd->unit;
	if (n == 0) {
		ahci_xfer_buffered(
		    cmd, cmd->unit, (uint32_t)MIN(have, cmd->unit));
		return;
	}
	cmd->chunk = (uint32_t)n;
	ahci_sg_take(&cmd->sg, n);
	ahci_submit(cmd, cmd->op == AHCI_XFER_READ ? BLOCK_READ : BLOCK_WRITE,
	    cmd->off, n, cmd->sg.iov, cmd->sg.used, ahci_xfer_direct_done);
}

static void
ahci_xfer_verify(struct ahci_cmd *cmd)
{
	uint32_t n = MAX(VERIFY_BYTES, cmd->unit);

	if (cmd->buf == NULL)
		cmd->buf = xcalloc(1, n);
	n = (uint32_t)MIN(cmd->left, n);
	ahci_xfer_buffered(cmd, n, n);
}

static void
ahci_xfer_next(struct ahci_cmd *cmd)
{
	if (cmd->left > 0) {
		if (cmd->op == AHCI_XFER_VERIFY)
			ahci_xfer_verify(cmd);
		else
			ahci_xfer_direct(cmd);
	} else if (cmd->op == AHCI_XFER_WRITE && cmd->fua) {
		ahci_submit(cmd, BLOCK_FLUSH, 0, 0, NULL, 0, cmd->end);
	} else {
		cmd->end(cmd, 0);
	}
}

void
ahci_xfer(struct ahci_cmd *cmd, enum ahci_xfer op, uint64_t off, uint64_t len,
    uint32_t unit, void (*end)(struct ahci_cmd *, int error))
{
	cmd->op = op;
	cmd->off = off;
	cmd->left = len;
	cmd->unit = unit;
	cmd->end = end;
	ahci_xfer_next(cmd);
}

void
ahci_flush(struct ahci_cmd *cmd, void (*end)(struct ahci_cmd *, int error))
{
	ahci_submit(cmd, BLOCK_FLUSH, 0, 0, NULL, 0, end);
}
