/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smc.c - self- and cross-modifying code; smc.h tells the idea.
 *
 * Two orders carry the proof.
 *  1. Decoder: mark granules, full fence, read bytes.  Slow store: store, full
 *     fence, look at granules.  One sees the other.
 *  2. Invalidation clears the granules, then moves the generation (release);
 * the decoder reads the generation (acquire), then the granules.  So whoever
 *     finds its granules already marked under the generation it will record may
 *     rely on them: had they been stale, the generation would be too.
 *
 * A page that is rewritten again and again stays a slow-write page after its
 * SMC_HOT_INVALS-th invalidation, so that a JIT does not cause a handshake per
 * function.  It goes back to plain data when many stores found no code in it,
 * because guests recycle pages.
 *
 * Everything here runs on vCPU threads, smc_wrote() also on device threads.
 */
#include "smc.h"
#include "smc_priv.h"
#include "fpu.h"
#include "mmu.h"

#define SMC_HOT_INVALS	 8
#define SMC_IDLE_TO_COLD 256 /* units of 8 bytes */

/* Full fence (StoreLoad); asm because TSan has no fences. */
static inline void
smc_fence(void)
{
	__asm__ volatile("lock; orl $0, (%%rsp)" ::: "memory", "cc");
}

static void
smc_lock(struct smc *s)
{
	while (__atomic_exchange_n(&s->lock, 1, __ATOMIC_ACQUIRE) != 0)
		while (__atomic_load_n(&s->lock, __ATOMIC_RELAXED) != 0)
			__builtin_ia32_pause();
}

static void
smc_unlock(struct smc *s)
{
	__atomic_store_n(&s->lock, 0, __ATOMIC_RELEASE);
}

/* Granules of [off, off+len) in its page; len > 0 and inside the page. */
static inline uint64_t
smc_mask(uint64_t off, size_t len)
{
	unsigned int lo = (off & 0xfff) >> 6;
	unsigned int hi = ((off + len - 1) & 0xfff) >> 6;

	return (UINT64_MAX << lo) & (UINT64_MAX >> (63 - hi));
}

const uint32_t *
smc_gen(const struct soft_vm *vm, uint64_t off)
{
	return &smc_page(vm, off)->gen;
}

bool
smc_is_code(const struct soft_vm *vm, uint64_t off)
{
	return smcp_is_code(smc_page(vm, off));
}

/* --- handshake
 * ---------------------------------------------------------------- */

static uint64_t
smc_acked(const struct smc *s, unsigned int id)
{
	return __atomic_load_n(&s->cpu[id].acked, __ATOMIC_ACQUIRE);
}

void
smc_catch_up(struct soft_cpu *c)
{
	struct smc *s = c->vm->smc;
	uint64_t e = __atomic_load_n(&s->epoch, __ATOMIC_SEQ_CST);

	if (smc_acked(s, c->id) == e)
		return;
	tlb_drop_writable(c);
	/* Release: stores made through the tags are visible before the ack. */
	__atomic_store_n(&s->cpu[c->id].acked, e, __ATOMIC_RELEASE);
}

void
smc_enter_guest(struct soft_cpu *c)
{
	/* Before the epoch is read; partner of smc_wait_mask(). */
	__atomic_fetch_or(
	    &c->vm->smc->in_guest, BIT64(c->id), __ATOMIC_SEQ_CST);
	smc_catch_up(c);
}

void
smc_leave_guest(struct soft_cpu *c)
{
	__atomic_fetch_and(
	    &c->vm->smc->in_guest, ~BIT64(c->id), __ATOMIC_SEQ_CST);
}

/* vCPUs in guest code that have not caught up with epoch e. */
static uint64_t
smc_wait_mask(const struct smc *s, uint64_t e)
{
	uint64_t m = __atomic_load_n(&s->in_guest, __ATOMIC_SEQ_CST), wait = 0;

	for (; m != 0; m &= m - 1) {
		unsigned int id = (unsigned int)__builtin_ctzll(m);

		if (smc_acked(s, id) < e)
			wait |= BIT64(id);
	}
	return wait;
}

/*
 * The page just became a code page under epoch e: this vCPU's own tags go at
 * once; when they were up to date, one page's are enough.
 */
static void
smc_own_tags(struct soft_cpu *c, uint64_t off, uint64_t e)
{
	struct smc *s = c->vm->smc;

	if (smc_acked(s, c->id) + 1 != e) {
		smc_catch_up(c);
		return;
	}
	tlb_drop_writable_page(c, off);
	__atomic_store_n(&s->cpu[c->id].acked, e, __ATOMIC_RELEASE);
}

static void
smc_post(struct soft_cpu *c, uint64_t mask)
{
	if (mask == 0)
		return;
	fpu_park(c);
	for (; mask != 0; mask &= mask - 1) {
		struct soft_cpu *o = c->vm->cpu[__builtin_ctzll(mask)];

		vcpu_post(o->vcpu, VCPU_EV_ENGINE);
	}
}

/* --- decoding
 * ----------------------------------------------------------------- */

/*
 * Plain page to code page, lock held.  CODE is set before the epoch moves: a
 * vCPU that has acked the new epoch sees it when it next fills a write tag.
 */
static uint64_t
smc_make_code(struct smc *s, struct smc_page *p)
{
	__atomic_store_n(&p->flags, SMCP_CODE, __ATOMIC_RELEASE);
	p->epoch = __atomic_add_fetch(&s->epoch, 1, __ATOMIC_SEQ_CST);
	return p->epoch;
}

static uint32_t __attribute__((noinline))
smc_mark(struct soft_cpu *c, uint64_t off, uint64_t mask)
{
	struct smc *s = c->vm->smc;
	struct smc_page *p = smc_page(c->vm, off);
	uint64_t e = 0;
	uint32_t gen;

	smc_lock(s);
	if (!smcp_is_code(p))
		e = smc_make_code(s, p);
	__atomic_store_n(&p->granules, p->granules | mask, __ATOMIC_RELEASE);
	gen = p->gen;
	smc_unlock(s);

	if (e != 0) {
		smc_own_tags(c, off, e);
		smc_post(c, smc_wait_mask(s, e));
	}
	smc_fence(); /* marks before bytes; partner in smc_wrote() */
	return gen;
}

uint32_t
smc_begin_decode(struct soft_cpu *c, uint64_t off, unsigned int len)
{
	const struct smc_page *p = smc_page(c->vm, off);
	uint64_t mask = smc_mask(off, len);
	uint32_t gen = __atomic_load_n(&p->gen, __ATOMIC_ACQUIRE);

	if ((__atomic_load_n(&p->granules, __ATOMIC_ACQUIRE) & mask) == mask)
		return gen;
	return smc_mark(c, off, mask);
}

bool
smc_certain(struct soft_cpu *c, uint64_t off)
{
	struct smc *s = c->vm->smc;
	struct smc_page *p = smc_page(c->vm, off);
	uint64_t e;

	if ((__atomic_load_n(&p->flags, __ATOMIC_ACQUIRE) & SMCP_CERTAIN) != 0)
		return true;
	smc_lock(s);
	e = p->epoch;
	smc_unlock(s);
	smc_catch_up(c);
	if (smc_wait_mask(s, e) != 0)
		return false;
	smc_lock(s);
	if (p->epoch == e && smcp_is_code(p))
		__atomic_store_n(
		    &p->flags, SMCP_CODE | SMCP_CERTAIN, __ATOMIC_RELEASE);
	smc_unlock(s);
	return true;
}

/* --- stores
 * -------------------------------------------------------------------- */

static void __attribute__((noinline)) smc_invalidate(
    struct soft_vm *vm, struct soft_cpu *c, struct smc_page *p, uint64_t mask)
{
	struct smc *s = vm->smc;
	bool hit;

	smc_lock(s);
	hit = (p->granules & mask) != 0;
	if (hit) {
		if (p->ninval < SMC_HOT_INVALS)
			p->ninval++;
		else
			mask = 0; /* stays a slow-write page */
		__atomic_store_n(&p->granules, 0, __ATOMIC_RELEASE);
		__atomic_store_n(&p->idle, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&p->gen, p->gen + 1, __ATOMIC_RELEASE);
		if (mask != 0)
			__atomic_store_n(&p->flags, 0, __ATOMIC_RELEASE);
	}
	smc_unlock(s);
	if (c == NULL)
		return;
	/*
	 * Somebody else's invalidation of the same granules may have come
	 * first; this vCPU's running block is as dead.
	 */
	c->smc_hit = true;
	if (hit)
		vcpu_stat_add(c->stats, VMSTAT_CODE_INVAL, 1);
}

/* A store to a slow-write page without any code; enough make it plain. */
static void
smc_idle_store(struct soft_vm *vm, struct smc_page *p, size_t len)
{
	struct smc *s = vm->smc;
	size_t n = __atomic_load_n(&p->idle, __ATOMIC_RELAXED) + len / 8 + 1;

	if (n < SMC_IDLE_TO_COLD) {
		__atomic_store_n(&p->idle, (uint16_t)n, __ATOMIC_RELAXED);
		return;
	}
	smc_lock(s);
	if (p->granules == 0) {
		__atomic_store_n(&p->idle, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&p->flags, 0, __ATOMIC_RELEASE);
	}
	smc_unlock(s);
}

void
smc_wrote(struct soft_vm *vm, struct soft_cpu *c, uint64_t off, size_t len)
{
	smc_fence(); /* bytes before marks; partner in smc_mark() */
	while (len > 0) {
		struct smc_page *p = smc_page(vm, off);
		size_t n = MIN(len, 0x1000 - (size_t)(off & 0xfff));

		if (unlikely(smcp_is_code(p))) {
			uint64_t g =
			    __atomic_load_n(&p->granules, __ATOMIC_ACQUIRE);

			if ((g & smc_mask(off, n)) != 0)
				smc_invalidate(vm, c, p, smc_mask(off, n));
			else if (g == 0)
				smc_idle_store(vm, p, n);
		}
		off += n;
		len -= n;
	}
}
