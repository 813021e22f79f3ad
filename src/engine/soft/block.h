/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * block.h - cached runs of decoded instructions.
 *
 * A block is a straight run of instructions inside one page, up to a branch, an
 * instruction that may change what decoding depends on, or BLOCK_MAX.  It is
 * keyed by the guest-physical address of its first byte and c->mode, so it
 * survives CR3 switches and is shared by all processes that map the page.  An
 * instruction that crosses into the next page is a block of its own (two pages,
 * never linked).
 *
 * Finding the next block, fastest first:
 *   link[]      direct branch inside the page: the target's block, patched in
 *   jump cache  by linear address, valid for one c->jc_key
 *   hash        by physical address, after a page walk
 *   build.c     decode
 * With a CS limit below 4 GiB (MODE_CSLIMIT) blocks are not linked: whoever
 * enters one asks block_in_limit(), because the same bytes may lie elsewhere in
 * another segment.
 *
 * A block is dead once its page's generation moved on (smc.h); whoever is about
 * to enter it compares.
 *
 * Caches belong to one vCPU, so nothing here is locked; cache.h tells where
 * blocks lie and when they go.
 */
#ifndef ENGINE_SOFT_BLOCK_H
#define ENGINE_SOFT_BLOCK_H

#include "cpu.h"
#include "insn.h"

#define BLOCK_MAX	32u /* instructions */

#define BLOCK_CROSS	0x01u /* one instruction on two pages */
#define BLOCK_UNCERTAIN 0x02u /* compare bytes at each entry (smc.h) */
#define BLOCK_ONCE	0x04u /* not cached: code outside RAM */
#define BLOCK_CHECK	(BLOCK_CROSS | BLOCK_UNCERTAIN | BLOCK_ONCE)

struct block {
	const uint32_t *gen_p; /* the page's generation ... */
	uint32_t gen;	       /* ... at decode */
	uint8_t n;	       /* instructions, without the closing one */
	uint8_t flags;
	uint8_t bytes;	       /* length in guest bytes */
	struct block *link[2]; /* taken / not taken, same page */
	uint64_t gpa;
	struct block *hash_next;
	uint32_t mode;
	uint32_t gen2; /* BLOCK_CROSS: the second page */
	uint64_t gpa2;
	/* n, an op_block_end, and when uncertain block_raw(). */
	struct insn insns[];
};
static_assert(sizeof(struct block) == 64, "one cache line");

/* BLOCK_UNCERTAIN: the bytes it was decoded from. */
static inline uint8_t *
block_raw(const struct block *b)
{
	return (uint8_t *)&b->insns[b->n + 1];
}

static inline bool
block_alive(const struct block *b)
{
	return b->gen == __atomic_load_n(b->gen_p, __ATOMIC_RELAXED);
}

/* All of b, entered at rip, is within the CS limit. */
static inline bool
block_in_limit(const struct soft_cpu *c, const struct block *b, uint64_t rip)
{
	return likely((c->mode & MODE_CSLIMIT) == 0) ||
	       rip + b->bytes - 1 <= c->seg[SEG_CS].limit;
}

/*
 * The jump cache, by linear address.  Holds no block that needs a check
 * (BLOCK_CHECK); `key` is c->jc_key when the entry was made.
 */
#define JC_BITS 14u
#define JC_SIZE (1u << JC_BITS)
struct jc_entry {
	uint64_t la;
	uint64_t key;
	struct block *b;
	uint64_t pad;
};
static_assert(sizeof(struct jc_entry) == 32, "index by shift");

/*
 * The block at c->rip in c->mode, or NULL with an exception recorded (fetch
 * fault, #GP beyond the CS limit or for a non-canonical address).
 */
struct block *block_find(struct soft_cpu *c);

/* build.c (ordinary C): decode at gpa.  Called after fpu_park(). */
struct block *
block_build(struct soft_cpu *c, uint64_t la, uint64_t gpa, uint32_t mode);

/* Linear address of code at rip. */
static inline uint64_t
code_linear(const struct soft_cpu *c, uint64_t rip)
{
	if (likely(c->mode & MODE_64))
		return rip;
	return (uint32_t)(c->seg[SEG_CS].base + rip);
}

static inline struct jc_entry *
jc_slot(const struct soft_cpu *c, uint64_t la)
{
	return &c->jc[(unsigned int)(la ^ (la >> JC_BITS)) & (JC_SIZE - 1)];
}

/* The jump-cache part of block_find() alone: NULL when it is not there. */
static inline struct block *
block_find_fast(const struct soft_cpu *c, uint64_t rip)
{
	uint64_t la = code_linear(c, rip);
	const struct jc_entry *e = jc_slot(c, la);

	if (likely(e->la == la && e->key == c->jc_key) &&
	    likely(block_alive(e->b)))
		return e->b;
	return NULL;
}

#endif /* ENGINE_SOFT_BLOCK_H */
