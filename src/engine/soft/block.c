/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * block.c - finding the next block.  block.h has the overview.  General
 * registers only.
 */
#include "block.h"

#include "cache.h"
#include "fpu.h"
#include "mmu.h"
#include "smc.h"

/* Bytes in guest RAM are still those that were decoded. */
static bool
block_same_bytes(const struct soft_cpu *c, const struct block *b)
{
	uint64_t off = vm_ram_offset(c->ram, b->gpa);
	const uint8_t *raw = block_raw(b);
	unsigned int k, in1 = b->bytes;

	if (b->flags & BLOCK_CROSS)
		in1 = (unsigned int)(0x1000 - (b->gpa & 0xfff));
	for (k = 0; k < in1; k++)
		if (host_ld(c->ram->base + off + k, 1) != raw[k])
			return false;
	if (!(b->flags & BLOCK_CROSS))
		return true;
	off = vm_ram_offset(c->ram, b->gpa2);
	for (; k < b->bytes; k++)
		if (host_ld(c->ram->base + off + k - in1, 1) != raw[k])
			return false;
	return true;
}

/*
 * May this block be entered?  Handles everything but the plain case: two pages,
 * pages whose writers may not have noticed yet that they hold code.
 */
static bool
block_check(struct soft_cpu *c, struct block *b, uint64_t la)
{
	uint64_t gpa2;

	if (!block_alive(b))
		return false;
	if (b->flags & BLOCK_ONCE)
		return false;
	if (b->flags & BLOCK_CROSS) {
		const uint32_t *gen2 =
		    smc_gen(c->vm, vm_ram_offset(c->ram, b->gpa2));

		if (b->gen2 != __atomic_load_n(gen2, __ATOMIC_RELAXED))
			return false;
		/* A fault on the second page belongs to this instruction. */
		if (!mmu_translate(c, (la & PAGE_MASK_) + 0x1000, ACC_X, &gpa2))
			return false;
		if (gpa2 != b->gpa2)
			return false;
	}
	if (b->flags & BLOCK_UNCERTAIN) {
		bool certain =
		    smc_certain(c, vm_ram_offset(c->ram, b->gpa)) &&
		    (!(b->flags & BLOCK_CROSS) ||
			smc_certain(c, vm_ram_offset(c->ram, b->gpa2)));

		/* Certain first, then compare: no store can slip between. */
		if (!block_same_bytes(c, b))
			return false;
		if (certain)
			b->flags &= (uint8_t)~BLOCK_UNCERTAIN;
	}
	return true;
}

/* In a bucket, alive and enterable; dead ones met on the way are dropped. */
static struct block *
bucket_find(struct soft_cpu *c, struct block **pb, uint64_t la, uint64_t gpa)
{
	struct block *b;

	while ((b = *pb) != NULL) {
		if (b->gpa == gpa && b->mode == c->mode &&
		    block_in_limit(c, b, c->rip)) {
			if (block_check(c, b, la))
				return b;
			if (c->exc.pending)
				return NULL;
			*pb = b->hash_next;
			continue;
		}
		pb = &b->hash_next;
	}
	return NULL;
}

static struct block *
hash_find(struct soft_cpu *c, uint64_t la, uint64_t gpa)
{
	struct block *b =
	    bucket_find(c, cache_bucket(c->bc, gpa, c->mode), la, gpa);

	if (b != NULL || c->exc.pending)
		return b;
	b = bucket_find(c, cache_old_bucket(c->bc, gpa, c->mode), la, gpa);
	return b == NULL ? NULL : cache_keep(c, b);
}

/* The fetch address is legal: canonical, or within the CS limit. */
static bool
fetch_ok(struct soft_cpu *c)
{
	if (c->mode & MODE_64)
		return cpu_is_canonical(c->rip) || cpu_raise_gp(c, 0);
	c->rip = (uint32_t)c->rip;
	return c->rip <= c->seg[SEG_CS].limit || cpu_raise_gp(c, 0);
}

struct block *
block_find(struct soft_cpu *c)
{
	struct block *b = block_find_fast(c, c->rip);
	struct jc_entry *e;
	uint64_t la, gpa;

	if (likely(b != NULL) && block_in_limit(c, b, c->rip))
		return b;
	if (!fetch_ok(c))
		return NULL;
	la = code_linear(c, c->rip);
	c->acc_seg = SEG_CS;
	if (!mmu_translate(c, la, ACC_X, &gpa))
		return NULL;
	e = jc_slot(c, la);
	/* Only the mapping's count moved on, and the page is still there. */
	if (e->la == la && e->b != NULL && e->b->gpa == gpa &&
	    e->b->mode == c->mode && block_alive(e->b) &&
	    block_in_limit(c, e->b, c->rip)) {
		e->key = c->jc_key;
		return e->b;
	}
	b = hash_find(c, la, gpa);
	if (b == NULL) {
		if (c->exc.pending)
			return NULL;
		fpu_park(c);
		b = block_build(c, la, gpa, c->mode);
		if (b == NULL)
			return NULL;
		vcpu_stat_add(c->stats, VMSTAT_BLOCKS_BUILT, 1);
	}
	if (likely((b->flags & BLOCK_CHECK) == 0)) {
		e->la = la;
		e->key = c->jc_key;
		e->b = b;
	}
	return b;
}
