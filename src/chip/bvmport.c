/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The common part of bvmcons and bvmdbg (docs/bhyve.md 1.7): a pipe of bytes
 * behind one port.
 *
 * Input is fetched by the event thread into a small ring, so that a read
 * from a vCPU thread never makes a system call; the guest polls.  The protocol
 * cannot say "busy": what neither the host nor the backend's buffer takes is
 * lost.
 */
#include "bvmport.h"

#include <stdlib.h>

#include <util/lock.h>
#include <util/log.h>
#include <vmm/bus.h>
#include <vmm/chip.h>
#include <vmm/snap.h>

#include "chario.h"

#define BVMPORT_RING 256u

struct bvmport_regs {
	uint32_t head, len;
	uint8_t ring[BVMPORT_RING];
};
static_assert(sizeof(struct bvmport_regs) == 264, "snapshot format");

struct bvmport {
	struct vmctx *ctx;
	struct lock lock;
	const struct bvmport_type *type;
	struct chario io;
	struct bvmport_regs regs;
};

static void
bvmport_input(void *arg)
{
	struct bvmport *bp = arg;
	struct bvmport_regs *r = &bp->regs;
	uint8_t buf[BVMPORT_RING];
	size_t n = chario_read(&bp->io, buf, BVMPORT_RING - r->len);

	for (size_t i = 0; i < n; i++)
		r->ring[(r->head + r->len++) % BVMPORT_RING] = buf[i];
	chario_want_input(&bp->io, r->len < BVMPORT_RING);
}

static void
bvmport_drained(void *arg)
{
}

static uint32_t
bvmport_get(struct bvmport *bp)
{
	struct bvmport_regs *r = &bp->regs;
	uint8_t byte;

	if (r->len == 0)
		return UINT32_MAX;
	byte = r->ring[r->head];
	r->head = (r->head + 1) % BVMPORT_RING;
	r->len--;
	chario_want_input(&bp->io, true);
	return byte;
}

static int
bvmport_in(struct bvmport *bp, unsigned int bytes, uint32_t *val)
{
	switch (bytes) {
	case 1:
		*val = 0xff;
		return bp->type->byte_read_ff ? 0 : -1;
	case 2:
		*val = bp->type->signature;
		return 0;
	default:
		*val = bvmport_get(bp);
		return 0;
	}
}

static int
bvmport_pio(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct bvmport *bp = arg;
	uint8_t byte;

	if (in)
		return bvmport_in(bp, bytes, val);
	if (bytes != 4)
		return -1;
	byte = (uint8_t)*val;
	if (chario_write(&bp->io, &byte, 1) == 0)
		guest_error(bp->type->name, "output lost: nobody reads it");
	return 0;
}

static void
bvmport_reset(void *arg)
{
	struct bvmport *bp = arg;

	bp->regs = (struct bvmport_regs){ 0 };
	chario_want_input(&bp->io, true);
}

static void
bvmport_pause(void *arg)
{
	struct bvmport *bp = arg;

	chario_want_input(&bp->io, false);
}

static void
bvmport_resume(void *arg)
{
	struct bvmport *bp = arg;

	chario_want_input(&bp->io, bp->regs.len < BVMPORT_RING);
}

static void
bvmport_snapshot(void *arg, struct snap *s)
{
	struct bvmport *bp = arg;
	struct bvmport_regs r = bp->regs;

	if (snap_bytes(s, bp->type->name, &r, sizeof(r)) != 0 ||
	    !snap_loading(s))
		return;
	if (r.head >= BVMPORT_RING || r.len > BVMPORT_RING)
		snap_fail(s);
	else
		bp->regs = r;
}

static void
bvmport_free(struct bvmport *bp)
{
	chario_fini(&bp->io);
	lock_fini(&bp->lock);
	free(bp);
}

static void
bvmport_fini(void *arg)
{
	struct bvmport *bp = arg;

	bus_pio_unregister(bp->ctx, bp->type->port, 1);
	bvmport_free(bp);
}

static const struct chip_ops bvmport_ops = {
	.name = "bvmport",
	.reset = bvmport_reset,
	.pause = bvmport_pause,
	.resume = bvmport_resume,
	.snapshot = bvmport_snapshot,
	.fini = bvmport_fini,
};

/* The port is one long although ACPI reserves four (docs/bhyve.md 1.7). */
static int
bvmport_register(struct bvmport *bp)
{
	const struct pio_range range = {
		.name = bp->type->name,
		.port = bp->type->port,
		.len = 1,
		.fn = bvmport_pio,
		.arg = bp,
		.lock = &bp->lock,
	};
	int error = bus_pio_register(bp->ctx, &range);

	if (error != 0)
		return error;
	error = chario_init(&bp->io);
	if (error != 0)
		bus_pio_unregister(bp->ctx, bp->type->port, 1);
	return error;
}

int
bvmport_create(
    struct vmctx *ctx, const struct bvmport_type *type, struct chardev *cd)
{
	struct bvmport *bp = xcalloc(1, sizeof(*bp));
	int error;

	bp->ctx = ctx;
	bp->type = type;
	lock_init(&bp->lock);
	bp->io = (struct chario){
		.ctx = ctx,
		.cd = cd,
		.lock = &bp->lock,
		.input = bvmport_input,
		.drained = bvmport_drained,
		.arg = bp,
	};
	error = bvmport_register(bp);
	if (error != 0) {
		bp->io.cd = NULL; /* stays the caller's */
		bvmport_free(bp);
		return error;
	}
	chip_add(ctx, &bvmport_ops, bp, &bp->lock);
	return 0;
}
