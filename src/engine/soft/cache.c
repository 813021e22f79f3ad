/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cache.c - see cache.h.  General registers only; mapping, and giving back, are
 * done by a vCPU whose FP state is parked.
 */
#include "cache.h"

#include <errno.h>
#include <sys/mman.h>

#include <vmm/event.h>

#define CACHE_PAGE	  4096u
#define BYTES_PER_BUCKET  1024u /* about three blocks */
#define BLOCK_ALIGN	  sizeof(struct insn)
#define IDLE_PERIOD_NS	  1000000000ull
#define IDLE_INSNS_PER_MS 5000u /* some percent of what a vCPU can do */
#define IDLE_KEEP	  (512u << 10)

struct space {
	struct block **hash;
	uint8_t *mem;
	size_t used;
	size_t touched; /* the most that was used since pages were given back */
};

struct block_cache {
	struct jc_entry jc[JC_SIZE]; /* whole pages, and first */
	struct space space[2];
	unsigned int cur;
	unsigned int hash_bits;
	size_t size; /* of a space's mem */
	size_t map_len;
	/* When idleness was last judged. */
	uint64_t idle_ns, idle_insns;
};

static_assert(sizeof(((struct block_cache *)0)->jc) % CACHE_PAGE == 0,
    "given back by itself");

static void
fill_words(void *p, size_t bytes)
{
	uint64_t n = bytes / 8;

	__asm__ volatile("rep stosq" : "+D"(p), "+c"(n) : "a"(0ull) : "memory");
}

static void
copy_words(void *to, const void *from, size_t bytes)
{
	uint64_t n = (bytes + 7) / 8;

	__asm__ volatile("rep movsq"
			 : "+D"(to), "+S"(from), "+c"(n)
			 :
			 : "memory");
}

/* --- spaces --------------------------------------------------------------- */

static struct space *
current(struct block_cache *bc)
{
	return &bc->space[bc->cur];
}

static struct space *
old(struct block_cache *bc)
{
	return &bc->space[bc->cur ^ 1];
}

static void
space_empty(const struct block_cache *bc, struct space *s)
{
	fill_words(s->hash, sizeof(*s->hash) << bc->hash_bits);
	s->used = 0;
}

/* Reads as zeros from here on. */
static void
give_back(void *p, size_t bytes)
{
	(void)madvise(p, ROUND_UP(bytes, (size_t)CACHE_PAGE), MADV_DONTNEED);
}

static void
space_give_back(const struct block_cache *bc, struct space *s)
{
	give_back(s->mem, s->touched);
	give_back(s->hash, sizeof(*s->hash) << bc->hash_bits);
	s->touched = 0;
}

/* The old space's blocks go, the current one's become old. */
static void
turn(struct soft_cpu *c)
{
	struct block_cache *bc = c->bc;

	space_empty(bc, old(bc));
	bc->cur ^= 1;
	fill_words(bc->jc, sizeof(bc->jc));
	c->blk = NULL;
	vcpu_stat_add(c->stats, VMSTAT_CODE_TURNS, 1);
}

void
cache_flush(struct soft_cpu *c)
{
	turn(c);
	space_empty(c->bc, old(c->bc));
}

/* NULL when the current space is full. */
static struct block *
take(struct block_cache *bc, size_t size)
{
	struct space *s = current(bc);
	uint8_t *p = s->mem + s->used;

	size = ROUND_UP(size, BLOCK_ALIGN);
	if (size > bc->size - s->used)
		return NULL;
	s->used += size;
	s->touched = MAX(s->touched, s->used);
	return (struct block *)p;
}

struct block *
cache_alloc(struct soft_cpu *c, size_t size)
{
	struct block *b = take(c->bc, size);

	if (b == NULL) {
		turn(c);
		b = take(c->bc, size);
	}
	return b;
}

/* --- finding -------------------------------------------------------------- */

static struct block **
bucket(const struct block_cache *bc, const struct space *s, uint64_t gpa,
    uint32_t mode)
{
	uint64_t key = gpa ^ ((uint64_t)mode << 20);

	return &s->hash[key * 0x9e3779b97f4a7c15ull >> (64 - bc->hash_bits)];
}

struct block **
cache_bucket(struct block_cache *bc, uint64_t gpa, uint32_t mode)
{
	return bucket(bc, current(bc), gpa, mode);
}

struct block **
cache_old_bucket(struct block_cache *bc, uint64_t gpa, uint32_t mode)
{
	return bucket(bc, old(bc), gpa, mode);
}

void
cache_insert(struct block_cache *bc, struct block *b)
{
	struct block **head = cache_bucket(bc, b->gpa, b->mode);

	b->hash_next = *head;
	*head = b;
}

struct block *
cache_keep(struct soft_cpu *c, const struct block *b)
{
	size_t size = block_size(b->n, b->flags, b->bytes);
	struct block *to = take(c->bc, size);

	if (to == NULL)
		return NULL;
	copy_words(to, b, size);
	to->link[0] = to->link[1] = NULL;
	cache_insert(c->bc, to);
	vcpu_stat_add(c->stats, VMSTAT_BLOCKS_KEPT, 1);
	return to;
}

/* --- idling --------------------------------------------------------------- */

/* Once a period at most: did the vCPU do next to nothing since the last time?
 */
static bool
was_idle(struct soft_cpu *c)
{
	struct block_cache *bc = c->bc;
	uint64_t now = vm_clock_ns(c->ctx), ns = now - bc->idle_ns;
	uint64_t insns = c->insns - bc->idle_insns;

	if (ns < IDLE_PERIOD_NS)
		return false;
	bc->idle_ns = now;
	bc->idle_insns = c->insns;
	return insns < ns / 1000000 * IDLE_INSNS_PER_MS;
}

void
cache_idle(struct soft_cpu *c)
{
	struct block_cache *bc = c->bc;

	if (current(bc)->touched + old(bc)->touched <= IDLE_KEEP ||
	    !was_idle(c))
		return;
	turn(c);
	space_give_back(bc, current(bc));
	give_back(bc->jc, sizeof(bc->jc));
}

/* --- making --------------------------------------------------------------- */

static size_t
space_init(struct block_cache *bc, struct space *s, size_t off)
{
	s->hash = (struct block **)((uint8_t *)bc + off);
	off += ROUND_UP(sizeof(*s->hash) << bc->hash_bits, (size_t)CACHE_PAGE);
	s->mem = (uint8_t *)bc + off;
	return off + ROUND_UP(bc->size, (size_t)CACHE_PAGE);
}

int
cache_create(struct soft_cpu *c)
{
	size_t size = vm_code_cache(c->ctx), hash_bits, head, len;
	struct block_cache *bc;

	size = (size == 0 ? CACHE_SIZE_DEFAULT : size) / 2;
	hash_bits = 63 - (size_t)__builtin_clzll(size / BYTES_PER_BUCKET);
	head = ROUND_UP(sizeof(*bc), (size_t)CACHE_PAGE);
	len =
	    head + 2 * (size + (sizeof(void *) << hash_bits) + 2 * CACHE_PAGE);
	bc = mmap(NULL, len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (bc == MAP_FAILED)
		return -ENOMEM;
	/* A huge page is more than an idle vCPU's blocks. */
	(void)madvise(bc, len, MADV_NOHUGEPAGE);
	host_name_memory(bc, len, "bhyve code cache");
	bc->map_len = len;
	bc->size = size;
	bc->hash_bits = (unsigned int)hash_bits;
	head = space_init(bc, &bc->space[0], head);
	(void)space_init(bc, &bc->space[1], head);
	c->bc = bc;
	c->jc = bc->jc;
	return 0;
}

void
cache_destroy(struct soft_cpu *c)
{
	if (c->bc != NULL)
		munmap(c->bc, c->bc->map_len);
	c->bc = NULL;
	c->jc = NULL;
}
