/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bus_fast.c - accesses that need not wait for this program (vmm/bus.h): what
 * the buses ask of the engine, which may have nothing of the kind.
 */
#include "vm_priv.h"

#include <errno.h>

int
bus_ioevent(struct vmctx *ctx, const struct vm_ioevent *ev, bool on)
{
	return ctx->engine->ioevent_set != NULL
		   ? ctx->engine->ioevent_set(ctx, ev, on)
		   : -ENOTSUP;
}

void
bus_posted(struct vmctx *ctx, bool pio, uint64_t addr, uint64_t len, bool on)
{
	if (ctx->engine->posted_set != NULL)
		ctx->engine->posted_set(ctx, pio, addr, len, on);
}
