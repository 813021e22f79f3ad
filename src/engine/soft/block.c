/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * block.c - the block cache of one vCPU: lookup, storage, flushing.  block.h
 * has the overview.  General registers only.
 */
#include "block.h"

#include <sys/mman.h>

#include "fpu.h"
#include "mmu.h"
#include "smc.h"

#define HASH_BITS  17u
#define HASH_SIZE  (1u << HASH_BITS)
#define ARENA_SIZE (48u << 20)

struct block_cache {
	struct jc_entry jc[JC_SIZE];
	struct block *hash[HASH_SIZE];
	uint8_t *arena; /* ARENA_SIZE bytes, touched as used */
	size_t used;
};

static unsigned int
hash_index(uint64_t gpa, uint32_t mode)
{
	return (unsigned int)(((gpa ^ ((uint64_t)mode << 20)) *
				  0x9e3779b97f4a7c15ull) >>
			      (64 - HASH_BITS));
}

static void
fill_words(void *p, size_t bytes)
{
	uint64_t n = bytes / 8;

	__asm__ volatile("rep stosq" : "+D"(p), "+c"(n) : "a"(0ull) : "memory");
}

void
block_cache_flush(struct soft_cpu *c)
{
	struct block_cache *bc = c->bc;

	fill_words(bc->jc, sizeof(bc->jc));
	fill_words(bc->hash, sizeof(bc->hash));
	bc->used = 0;
	c->blk = NULL;
}

struct block *
block_alloc(struct soft_cpu *c, unsigned int n, unsigned int bytes)
{
	struct block_cache *bc = c->bc;
	size_t insns = sizeof(struct block) + n * sizeof(struct insn);
	size_t need = ROUND_UP(insns + bytes, (size_t)64);
	struct block *b;

	if (need > ARENA_SIZE - bc->used)
		block_cache_flush(c);
	b = (struct block *)(bc->arena + bc->used);
	bc->used += need;
	b->raw = (const uint8_t *)b + insns;
	return b;
}

void
block_insert(struct soft_cpu *c, struct block *b)
{
	struct block **head = &c->bc->hash[hash_index(b->gpa, b->mode)];

	b->hash_next = *head;
	*head = b;
}

/* Bytes in guest RAM are still those that were decoded. */
static bool
block_same_bytes(const struct soft_cpu *c, const struct block *b)
{
	uint64_t off = vm_ram_offset(c->ram, b->gpa);
	unsigned int k, in1 = b->bytes;

	if (b->flags & BLOCK_CROSS)
		in1 = (unsigned int)(0x1000 - (b->gpa & 0xfff));
	for (k = 0; k < in1; k++)
		if (host_ld(c->ram->base + off + k, 1) != b->raw[k])
			return false;
	if (!(b->flags & BLOCK_CROSS))
		return true;
	off = vm_ram_offset(c->ram, b->gpa2);
	for (; k < b->bytes; k++)
		if (host_ld(c->ram->base + off + k - in1, 1) != b->raw[k])
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
		if (b->gen2 != __atomic_load_n(b->gen2_p, __ATOMIC_RELAXED))
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

/* In the hash, alive and enterable; dead ones met on the way are dropped. */
static struct block *
hash_find(struct soft_cpu *c, uint64_t la, uint64_t gpa)
{
	struct block **pb = &c->bc->hash[hash_index(gpa, c->mode)];
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

int
block_cache_create(struct soft_cpu *c)
{
	struct block_cache *bc;
	void *p;

	p = mmap(NULL, sizeof(*bc) + ARENA_SIZE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -12; /* ENOMEM */
	bc = p;
	bc->arena = (uint8_t *)p + ROUND_UP(sizeof(*bc), (size_t)64);
	c->bc = bc;
	c->jc = bc->jc;
	return 0;
}

void
block_cache_destroy(struct soft_cpu *c)
{
	if (c->bc != NULL)
		munmap(c->bc, sizeof(*c->bc) + ARENA_SIZE);
	c->bc = NULL;
}
