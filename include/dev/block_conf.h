/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * block_conf.h - the settings that all disks share, docs/bhyve.md 4.2:
 * path, nocache, direct, sync, ro, sectorsize, nodelete, bootindex, aio.
 */
#ifndef DEV_BLOCK_CONF_H
#define DEV_BLOCK_CONF_H

#include <backend/block.h>
#include <vmm/pci.h>

/* Rows of a pci_opt table; `p` comes before each name: "" or "port.*.". */
#define BLOCK_CONF_OPTS(p)                                                     \
	{ p "path", "image file or block device" },                            \
	    { p "nocache", "go around the host's cache (O_DIRECT)" },          \
	    { p "direct", "the same as sync" },                                \
	    { p "sync", "a write is done when it is on the disk (O_DSYNC)" },  \
	    { p "ro", "read-only" },                                           \
	    { p "sectorsize", "bytes of a sector: LOGICAL[/PHYSICAL]" },       \
	    { p "nodelete", "no discard" },                                    \
	    { p "bootindex", "place in the firmware's boot order" },           \
	{                                                                      \
		p "aio", "io_uring or threads (default: what the host allows)" \
	}

/*
 * Reads the settings prefix + "path" and so on into `opts`, which is zeroed but
 * for what the caller sets himself; path NULL: it was not set.  -EINVAL with
 * one line that says what would be right.
 */
int block_conf_read(struct pci_dev *, const char *prefix, struct block_opts *,
    char *err, size_t err_len) WARN_UNUSED;
/* That, and block_open(); -EINVAL without a path. */
int block_conf_open(struct pci_dev *, const char *prefix, struct block_opts *,
    struct blockdev **ret, char *err, size_t err_len) WARN_UNUSED;

#endif /* DEV_BLOCK_CONF_H */
