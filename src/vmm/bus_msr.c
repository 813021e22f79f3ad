/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bus_msr.c - model-specific registers that belong to a chip or to the machine.
 *
 * The same shape as bus_mmio.c: sorted ranges, copied out under a reader lock,
 * called without it.  Ranges are never taken away again.  Registers that are
 * the CPU's own (EFER, STAR, ...) are the engine's.
 */
#include "vm_priv.h"

#include <errno.h>
#include <stdlib.h>

void
bus_init(struct vmctx *ctx)
{
	bus_pio_init(&ctx->pio);
	bus_mmio_init(&ctx->mmio);
	bus_msr_init(&ctx->msr);
}

void
bus_fini(struct vmctx *ctx)
{
	bus_pio_fini(&ctx->pio);
	bus_mmio_fini(&ctx->mmio);
	bus_msr_fini(&ctx->msr);
}

void
bus_msr_init(struct bus_msr *msr)
{
	pthread_rwlock_init(&msr->lock, NULL);
	msr->gen = 1;
}

void
bus_msr_fini(struct bus_msr *msr)
{
	free(msr->range);
	pthread_rwlock_destroy(&msr->lock);
}

/* Index of the first range that ends at or above `num`, or n. */
static size_t
msr_search_locked(const struct bus_msr *msr, uint32_t num)
{
	size_t lo = 0, hi = msr->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (msr->range[mid].last < num)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int
msr_insert_locked(struct bus_msr *msr, const struct msr_range *r)
{
	size_t i = msr_search_locked(msr, r->first);

	if (i < msr->n && msr->range[i].first <= r->last)
		return -EEXIST;
	if (msr->n == msr->cap) {
		size_t cap = msr->cap == 0 ? 16 : 2 * msr->cap;
		void *p = realloc(msr->range, cap * sizeof(msr->range[0]));

		if (p == NULL)
			return -ENOMEM;
		msr->range = p;
		msr->cap = cap;
	}
	memmove(&msr->range[i + 1], &msr->range[i],
	    (msr->n - i) * sizeof(msr->range[0]));
	msr->range[i] = *r;
	msr->n++;
	/* Pairs with the acquiring load in msr_find(). */
	__atomic_store_n(&msr->gen, msr->gen + 1, __ATOMIC_RELEASE);
	return 0;
}

int
bus_msr_register(struct vmctx *ctx, const struct msr_range *r)
{
	struct bus_msr *msr = &ctx->msr;
	int err;

	if (r->first > r->last)
		return -EINVAL;
	pthread_rwlock_wrlock(&msr->lock);
	err = msr_insert_locked(msr, r);
	pthread_rwlock_unlock(&msr->lock);
	return err;
}

static bool
msr_find(struct vcpu *vcpu, uint32_t num, struct msr_range *r)
{
	struct bus_msr *msr = &vcpu->ctx->msr;
	struct msr_hit *hit = &vcpu->msr_hit;
	bool found;
	size_t i;

	if (hit->gen == __atomic_load_n(&msr->gen, __ATOMIC_ACQUIRE) &&
	    num >= hit->r.first && num <= hit->r.last) {
		*r = hit->r;
		return true;
	}
	pthread_rwlock_rdlock(&msr->lock);
	i = msr_search_locked(msr, num);
	found = i < msr->n && msr->range[i].first <= num;
	if (found) {
		hit->r = *r = msr->range[i];
		hit->gen = msr->gen;
	}
	pthread_rwlock_unlock(&msr->lock);
	return found;
}

enum msr_result
bus_rdmsr(struct vcpu *vcpu, uint32_t num, uint64_t *val)
{
	struct msr_range r;
	uint64_t v = 0;
	int err;

	vcpu_stat_add(vcpu->stats, VMSTAT_VMEXIT_COUNT, 1);
	vcpu_stat_add(vcpu->stats, VMSTAT_VMEXIT_RDMSR, 1);
	if (!msr_find(vcpu, num, &r))
		return MSR_UNKNOWN;
	if (r.read == NULL)
		return MSR_GP;
	if (r.lock != NULL)
		lock_acquire(r.lock);
	err = r.read(vcpu, num, &v, r.arg);
	if (r.lock != NULL)
		lock_release(r.lock);
	if (err != 0)
		return MSR_GP;
	*val = v;
	return MSR_OK;
}

enum msr_result
bus_wrmsr(struct vcpu *vcpu, uint32_t num, uint64_t val)
{
	struct msr_range r;
	int err;

	vcpu_stat_add(vcpu->stats, VMSTAT_VMEXIT_COUNT, 1);
	vcpu_stat_add(vcpu->stats, VMSTAT_VMEXIT_WRMSR, 1);
	if (!msr_find(vcpu, num, &r))
		return MSR_UNKNOWN;
	if (r.write == NULL)
		return MSR_GP;
	if (r.lock != NULL)
		lock_acquire(r.lock);
	err = r.write(vcpu, num, val, r.arg);
	if (r.lock != NULL)
		lock_release(r.lock);
	return err == 0 ? MSR_OK : MSR_GP;
}
