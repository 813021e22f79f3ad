/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bvmport.h - a byte pipe behind one port, the common part of bvmcons and
 * bvmdbg: a signature for probing, 4-byte reads and writes for data.
 */
#ifndef CHIP_BVMPORT_H
#define CHIP_BVMPORT_H

#include <stdint.h>

#include <util/util.h>

struct chardev;
struct vmctx;

struct bvmport_type {
	const char *name;
	uint16_t port;
	uint16_t signature; /* of a 2-byte read */
	bool byte_read_ff;  /* a 1-byte read gives 0xFF, else it is an error */
};

/* Takes cd, unless it fails. */
int bvmport_create(struct vmctx *, const struct bvmport_type *,
    struct chardev *cd) WARN_UNUSED;

#endif /* CHIP_BVMPORT_H */
