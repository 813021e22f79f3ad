/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chip.h - what every platform chip answers, and the list the machine keeps.
 *
 * A chip is created by its own x_create(ctx, ...) which registers its ports,
 * MMIO and timers, and ends with chip_add(): from then on the core resets,
 * pauses, saves and frees it.  Chips are reset in creation order and freed in
 * reverse.  Callbacks run with `lock` held (when not NULL), except fini.
 */
#ifndef VMM_CHIP_H
#define VMM_CHIP_H

#include <util/lock.h>

struct vmctx;
struct snap;

struct chip_ops {
	const char *name;
	void (*reset)(void *chip);  /* power-on state */
	void (*pause)(void *chip);  /* stop timers; optional */
	void (*resume)(void *chip); /* optional */
	void (*snapshot)(void *chip, struct snap *);
	void (*fini)(void *chip); /* frees the chip */
};

void chip_add(
    struct vmctx *, const struct chip_ops *, void *chip, struct lock *lock);

/* For the machine: all chips at once. */
void chips_reset(struct vmctx *);
void chips_pause(struct vmctx *);
void chips_resume(struct vmctx *);
int chips_snapshot(struct vmctx *, struct snap *);

#endif /* VMM_CHIP_H */
