/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bus_mmio.c - memory-mapped I/O (docs/bhyve.md 1.5, 1.17).
 *
 * A sorted array under a reader-writer lock.  A vCPU copies the range out,
 * drops the lock and calls; it remembers the last few ranges and trusts them
 * while the table's generation stands.  As with any look-up, a call that began
 * before bus_mmio_unregister() returned may still run: what a handler uses must
 * live until the vCPUs stand still.
 */
#include "vm_priv.h"

#include <errno.h>
#include <stdlib.h>

#include <util/log.h>

void
bus_mmio_init(struct bus_mmio *mmio)
{
	pthread_rwlock_init(&mmio->lock, NULL);
	mmio->gen = 1;
}

void
bus_mmio_fini(struct bus_mmio *mmio)
{
	free(mmio->range);
	pthread_rwlock_destroy(&mmio->lock);
}

/* Index of the first range that ends above `gpa`, or n. */
static size_t
mmio_search_locked(const struct bus_mmio *mmio, uint64_t gpa)
{
	size_t lo = 0, hi = mmio->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct mmio_range *r = &mmio->range[mid];

		if (r->base + (r->len - 1) < gpa)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void
mmio_changed_locked(struct bus_mmio *mmio)
{
	/* Pairs with the acquiring load in mmio_find(). */
	__atomic_store_n(&mmio->gen, mmio->gen + 1, __ATOMIC_RELEASE);
}

static int
mmio_insert_locked(struct bus_mmio *mmio, const struct mmio_range *r)
{
	size_t i = mmio_search_locked(mmio, r->base);

	if (i < mmio->n && mmio->range[i].base <= r->base + (r->len - 1))
		return -EEXIST;
	if (mmio->n == mmio->cap) {
		size_t cap = mmio->cap == 0 ? 16 : 2 * mmio->cap;
		void *p = realloc(mmio->range, cap * sizeof(mmio->range[0]));

		if (p == NULL)
			return -ENOMEM;
		mmio->range = p;
		mmio->cap = cap;
	}
	memmove(&mmio->range[i + 1], &mmio->range[i],
	    (mmio->n - i) * sizeof(mmio->range[0]));
	mmio->range[i] = *r;
	mmio->n++;
	mmio_changed_locked(mmio);
	return 0;
}

int
bus_mmio_register(struct vmctx *ctx, const struct mmio_range *r)
{
	struct bus_mmio *mmio = &ctx->mmio;
	int err;

	if (r->len == 0 || r->len - 1 > UINT64_MAX - r->base || r->fn == NULL)
		return -EINVAL;
	pthread_rwlock_wrlock(&mmio->lock);
	err = mmio_insert_locked(mmio, r);
	if (err == 0 && r->posted)
		bus_posted(ctx, false, r->base, r->len, true);
	pthread_rwlock_unlock(&mmio->lock);
	return err;
}

static int
mmio_remove_locked(struct vmctx *ctx, uint64_t base, uint64_t len)
{
	struct bus_mmio *mmio = &ctx->mmio;
	size_t i = mmio_search_locked(mmio, base);

	if (i == mmio->n || mmio->range[i].base != base ||
	    mmio->range[i].len != len)
		return -ENOENT;
	if (mmio->range[i].posted)
		bus_posted(ctx, false, base, len, false);
	mmio->n--;
	memmove(&mmio->range[i], &mmio->range[i + 1],
	    (mmio->n - i) * sizeof(mmio->range[0]));
	mmio_changed_locked(mmio);
	return 0;
}

int
bus_mmio_unregister(struct vmctx *ctx, uint64_t base, uint64_t len)
{
	struct bus_mmio *mmio = &ctx->mmio;
	int err;

	pthread_rwlock_wrlock(&mmio->lock);
	err = mmio_remove_locked(ctx, base, len);
	pthread_rwlock_unlock(&mmio->lock);
	return err;
}

enum mmio_found {
	MMIO_NONE,  /* no byte of the access is claimed */
	MMIO_WHOLE, /* all in *r */
	MMIO_SPLIT, /* crosses an edge */
};

static enum mmio_found
mmio_match(const struct mmio_range *r, uint64_t gpa, unsigned int bytes)
{
	if (gpa >= r->base && range_ok(gpa - r->base, bytes, r->len))
		return MMIO_WHOLE;
	if (ranges_overlap(gpa, bytes, r->base, r->len))
		return MMIO_SPLIT;
	return MMIO_NONE;
}

/*
 * On MMIO_WHOLE *ret_r is one of the vCPU's hits, good until its next look-up.
 */
static enum mmio_found
mmio_find(struct vcpu *vcpu, uint64_t gpa, unsigned int bytes,
    const struct mmio_range **ret_r)
{
	struct mmio_hit *hit = &vcpu->mmio_hit[(gpa >> 12) % MMIO_HITS];
	struct bus_mmio *mmio = &vcpu->ctx->mmio;
	enum mmio_found found = MMIO_NONE;
	size_t i;

	*ret_r = &hit->r;
	if (hit->gen == __atomic_load_n(&mmio->gen, __ATOMIC_ACQUIRE) &&
	    mmio_match(&hit->r, gpa, bytes) == MMIO_WHOLE)
		return MMIO_WHOLE;
	pthread_rwlock_rdlock(&mmio->lock);
	i = mmio_search_locked(mmio, gpa);
	if (i < mmio->n)
		found = mmio_match(&mmio->range[i], gpa, bytes);
	if (found == MMIO_WHOLE) {
		hit->r = mmio->range[i];
		hit->gen = mmio->gen;
	}
	pthread_rwlock_unlock(&mmio->lock);
	return found;
}

/* One access that lies inside one range.  A handler may make *r another's. */
static void
mmio_access(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val, const struct mmio_range *r)
{
	uint64_t mask = bytes >= 8 ? UINT64_MAX : (1ull << (8 * bytes)) - 1;
	uint64_t v = write ? *val & mask : mask;
	struct lock *lock = r->lock;
	const char *name = r->name;
	int err;

	if (lock != NULL)
		lock_acquire(lock);
	err = r->fn(vcpu, write, gpa, bytes, &v, r->arg);
	if (lock != NULL)
		lock_release(lock);
	if (err != 0) {
		guest_error(name, "no %u-byte %s 0x%llx", bytes,
		    write ? "write to" : "read of", (unsigned long long)gpa);
		v = mask;
	}
	if (!write)
		*val = v & mask;
}

static void
mmio_access_bytes(struct vcpu *vcpu, bool write, uint64_t gpa,
    unsigned int bytes, uint64_t *val)
{
	uint64_t result = 0;

	for (unsigned int i = 0; i < bytes; i++) {
		uint64_t byte = write ? (*val >> (8 * i)) & 0xff : 0xff;
		const struct mmio_range *r;

		if (mmio_find(vcpu, gpa + i, 1, &r) == MMIO_WHOLE)
			mmio_access(vcpu, write, gpa + i, 1, &byte, r);
		result |= byte << (8 * i);
	}
	if (!write)
		*val = result;
}

void
bus_mmio(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val)
{
	const struct mmio_range *r;
	enum mmio_found found;

	vcpu_stat_add(vcpu->stats, VMSTAT_VMEXIT_COUNT, 1);
	vcpu_stat_add(vcpu->stats, VMSTAT_VMEXIT_MMIO, 1);
	found = mmio_find(vcpu, gpa, bytes, &r);
	if (found == MMIO_WHOLE)
		mmio_access(vcpu, write, gpa, bytes, val, r);
	else if (found == MMIO_SPLIT)
		mmio_access_bytes(vcpu, write, gpa, bytes, val);
	else if (!write)
		*val = bytes >= 8 ? UINT64_MAX : (1ull << (8 * bytes)) - 1;
}
