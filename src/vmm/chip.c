/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chip.c - the list of the machine's chips and the verbs applied to all.
 *
 * The list grows while the machine is built, by one thread, and is constant
 * afterwards.  Reset, pause, resume and snapshot go in the order of creation,
 * freeing in reverse; the callers see to it that no vCPU runs.
 */
#include "vm_priv.h"

#include <stdlib.h>

#include <vmm/snap.h>

void
chip_add(struct vmctx *ctx, const struct chip_ops *ops, void *chip,
    struct lock *lock)
{
	if (ctx->nchips == ctx->chips_cap) {
		size_t cap = 2 * ctx->chips_cap + 8;
		struct chip_entry *list = xcalloc(cap, sizeof(list[0]));

		if (ctx->nchips > 0)
			memcpy(list, ctx->chip, ctx->nchips * sizeof(list[0]));
		free(ctx->chip);
		ctx->chip = list;
		ctx->chips_cap = cap;
	}
	ctx->chip[ctx->nchips++] = (struct chip_entry){ ops, chip, lock };
}

static void
chip_call(const struct chip_entry *c, void (*fn)(void *chip))
{
	if (fn == NULL)
		return;
	if (c->lock != NULL)
		lock_acquire(c->lock);
	fn(c->chip);
	if (c->lock != NULL)
		lock_release(c->lock);
}

void
chips_reset(struct vmctx *ctx)
{
	for (size_t i = 0; i < ctx->nchips; i++)
		chip_call(&ctx->chip[i], ctx->chip[i].ops->reset);
	irqfd_reset(ctx);
}

/* The clock stops first: all chips are paused at one moment. */
void
chips_pause(struct vmctx *ctx)
{
	evloop_pause(ctx->events);
	for (size_t i = 0; i < ctx->nchips; i++)
		chip_call(&ctx->chip[i], ctx->chip[i].ops->pause);
}

void
chips_resume(struct vmctx *ctx)
{
	for (size_t i = 0; i < ctx->nchips; i++)
		chip_call(&ctx->chip[i], ctx->chip[i].ops->resume);
	evloop_resume(ctx->events);
}

int
chips_snapshot(struct vmctx *ctx, struct snap *s)
{
	uint32_t n = (uint32_t)ctx->nchips;

	if (snap_bytes(s, "chips", &n, sizeof(n)) == 0 && n != ctx->nchips)
		snap_fail(s);
	for (size_t i = 0; i < ctx->nchips && snap_error(s) == 0; i++) {
		const struct chip_entry *c = &ctx->chip[i];

		/* An empty field names the chip: a section's heading. */
		snap_bytes(s, c->ops->name, &n, 0);
		if (snap_error(s) != 0)
			break;
		if (c->lock != NULL)
			lock_acquire(c->lock);
		c->ops->snapshot(c->chip, s);
		if (c->lock != NULL)
			lock_release(c->lock);
	}
	return snap_error(s);
}

void
chips_fini(struct vmctx *ctx)
{
	while (ctx->nchips > 0) {
		const struct chip_entry *c = &ctx->chip[--ctx->nchips];

		c->ops->fini(c->chip);
	}
	free(ctx->chip);
	ctx->chip = NULL;
	ctx->chips_cap = 0;
}
