/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bvmdbg (-g): a pipe from the guest's own gdb stub (FreeBSD's bvm_dbg driver)
 * to a TCP socket, port 0x224 (docs/bhyve.md 1.7).
 *
 * Unlike bhyve's it does not hold the vCPU until a debugger connects (reads
 * say "no data", output is dropped), listens on the loopback address unless
 * told otherwise, and gives bytes above 0x7F without sign extension, so that
 * 0xFF can be told from no data.
 */
#include <chip/chips.h>

#include <errno.h>
#include <stdio.h>

#include <backend/char.h>
#include <util/log.h>

#include "bvmport.h"

static const struct bvmport_type bvmdbg_type = {
	.name = "bvmdbg",
	.port = 0x224,
	.signature = 'B' << 8 | 'V',
};

int
bvmdbg_create(struct vmctx *ctx, const char *addr, uint16_t tcp_port)
{
	bool v6 = addr != NULL && strchr(addr, ':') != NULL;
	struct chardev *cd;
	char spec[300], err[400];
	int error;

	if (addr == NULL)
		addr = "127.0.0.1";
	if ((size_t)snprintf(spec, sizeof(spec),
		v6 ? "tcp=[%s]:%u" : "tcp=%s:%u", addr,
		(unsigned int)tcp_port) >= sizeof(spec))
		return -ENAMETOOLONG;
	error = char_open(spec, &cd, err, sizeof(err));
	if (error != 0) {
		log_debug("bvmdbg: %s", err);
		return error;
	}
	error = bvmport_create(ctx, &bvmdbg_type, cd);
	if (error != 0)
		char_close(cd);
	return error;
}
