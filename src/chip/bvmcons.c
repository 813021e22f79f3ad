/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bvmcons (-b): bhyve's console for FreeBSD's bvm_console driver, port 0x220
 * (docs/bhyve.md 1.7).
 *
 * Unlike bhyve's it is driven by events instead of polling the terminal on
 * every read.
 */
#include <chip/chips.h>

#include "bvmport.h"

static const struct bvmport_type bvmcons_type = {
	.name = "bvmcons",
	.port = 0x220,
	.signature = 'b' << 8 | 'v',
	.byte_read_ff = true, /* a byte-wide probe finds nothing */
};

int
bvmcons_create(struct vmctx *ctx, struct chardev *cd)
{
	return bvmport_create(ctx, &bvmcons_type, cd);
}
