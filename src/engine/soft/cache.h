/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cache.h - where one vCPU's blocks lie, and when they go.
 *
 * Two spaces of equal size.  New blocks are laid one after the other into the
 * current space, and only blocks there are executed, linked or in the jump
 * cache.  When it is full the spaces change roles: the other one, with all that
 * is still in it, is emptied and becomes current, and the full one is old.  A
 * block that is looked up and found in the old space is copied to the current
 * one (cache_keep()), which costs a tenth of decoding it; one that nobody asked
 * for until the next turn is gone.  No link can lead to it, because nothing of
 * the old space is executed.
 *
 * A turn happens only inside block_find(), called by the run loop between
 * blocks, so no block is ever moved under its own feet.
 *
 * A vCPU that has had little to do for a while turns before it sleeps, and
 * gives the pages of the emptied space back to the host.  Two such turns leave
 * no more than what the idle guest runs.
 */
#ifndef ENGINE_SOFT_CACHE_H
#define ENGINE_SOFT_CACHE_H

#include "block.h"

/* Of both spaces, unless vm_set_code_cache() said otherwise. */
#define CACHE_SIZE_DEFAULT (32u << 20)

struct block_cache;

int cache_create(struct soft_cpu *c); /* 0 or -errno */
void cache_destroy(struct soft_cpu *c);
/* Forget everything (reset). */
void cache_flush(struct soft_cpu *c);
/*
 * The vCPU is about to sleep, its FP state is parked: turn and give memory back
 * if it has been idle long enough to have more than it needs.
 */
void cache_idle(struct soft_cpu *c);

static inline size_t
block_size(unsigned int n, unsigned int flags, unsigned int bytes)
{
	return sizeof(struct block) + (n + 1) * sizeof(struct insn) +
	       (flags & BLOCK_UNCERTAIN ? bytes : 0);
}

/* In the current space; may turn.  At most BLOCK_MAX instructions. */
struct block *cache_alloc(struct soft_cpu *c, size_t size);
void cache_insert(struct block_cache *bc, struct block *b);
/* The chain a block with this key is in, of the current and the old space. */
struct block **
cache_bucket(struct block_cache *bc, uint64_t gpa, uint32_t mode);
struct block **
cache_old_bucket(struct block_cache *bc, uint64_t gpa, uint32_t mode);
/* A copy in the current space of b, in the old one; NULL when there is no room
 * (decode it again, which turns). */
struct block *cache_keep(struct soft_cpu *c, const struct block *b);

#endif /* ENGINE_SOFT_CACHE_H */
