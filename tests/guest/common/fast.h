/* SPDX-License-Identifier: BSD-2-Clause */
/* What payload/fast.c and pairs_fast.c have in common. */
#ifndef TESTS_GUEST_FAST_H
#define TESTS_GUEST_FAST_H

/* Writes to these may be late; reads of the others say what came. */
#define FAST_POSTED_PORT 0xe80
#define FAST_SEEN_PORT	 0xe84
#define FAST_BELL_PORT	 0xe88
#define FAST_POSTED_MMIO 0xfd000000ul
#define FAST_SEEN_MMIO	 0xfd001000ul
#define FAST_BELL_MMIO	 0xfd002000ul
#define FAST_BELL_DATA	 7

enum {
	FAST_BELLS_ON,
	FAST_BELLS_OFF,
	FAST_RINGS, /* so far; of them to the bus: FAST_BUS_WRITES */
	FAST_BUS_WRITES,
	FAST_DIRTY_START, /* 0, or 1: the engine keeps no log */
	FAST_DIRTY_FETCH, /* 0 */
	FAST_DIRTY_PAGE,  /* of the address: fetched as dirty? */
	FAST_DIRTY_COUNT, /* pages in the last fetch */
	FAST_DIRTY_STORE, /* the host stores a byte at the address */
	FAST_DIRTY_STOP,
};

#endif /* TESTS_GUEST_FAST_H */
