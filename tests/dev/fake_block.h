/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_block.h - the block backend without threads: requests wait until the
 * test lets them go, in an order and with an error of its choice.
 *
 * A path is the name of a disk made before by fake_disk(); several may be open.
 */
#ifndef TESTS_DEV_FAKE_BLOCK_H
#define TESTS_DEV_FAKE_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <backend/block.h>

#define FAKE_NDISKS 32

struct fake_disk {
	char name[32];
	struct block_info info;
	uint8_t *data;
	/* What was asked for so far. */
	unsigned int submitted, flushes, discards, drains;
	uint64_t discarded_off, discarded_len;
	struct block_req *last;
	/* Not let go yet, in order of their coming. */
	struct block_req *queue[256];
	bool moved[256]; /* its data was, by a drain */
	unsigned int nqueue;
	bool open;
};

/* Filled with a pattern of its name and the offset.  Never NULL. */
struct fake_disk *fake_disk(const char *name, uint64_t bytes, bool discard);
struct fake_disk *fake_disk_find(const char *name);
void fake_disks_free(void);

/* Lets the i-th go; 0: moves its data, else it fails. */
void fake_disk_end(struct fake_disk *, unsigned int i, int error);
/* All, also those that come while it does so. */
void fake_disk_run(struct fake_disk *);

#endif /* TESTS_DEV_FAKE_BLOCK_H */
