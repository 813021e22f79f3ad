/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dirty.c - which pages of RAM changed (vmm/mem.h), for checkpoints.
 *
 * The engine knows what the guest stored; what this program stores is noted
 * here, in a bitmap of its own that any thread adds to without a lock.  Once
 * made it stays as long as the RAM: a device's thread may be about to add.
 */
#include "vm_priv.h"

#include <errno.h>
#include <stdlib.h>

#define WORD_BITS 64u

static size_t
dirty_pages(struct vmctx *ctx)
{
	return (size_t)((ctx->ram.lowmem + ctx->ram.highmem) >> VM_DIRTY_SHIFT);
}

size_t
vm_dirty_words(struct vmctx *ctx)
{
	return (dirty_pages(ctx) + WORD_BITS - 1) / WORD_BITS;
}

int
vm_dirty_start(struct vmctx *ctx)
{
	int err;

	if (ctx->engine->dirty_log == NULL)
		return -ENOTSUP;
	if (ctx->ram.base == NULL)
		return -EINVAL;
	if (__atomic_load_n(&ctx->dirty_on, __ATOMIC_RELAXED))
		return -EBUSY;
	if (ctx->dirty == NULL)
		ctx->dirty = calloc(vm_dirty_words(ctx), sizeof(uint64_t));
	if (ctx->dirty == NULL)
		return -ENOMEM;
	memset(ctx->dirty, 0, vm_dirty_words(ctx) * sizeof(uint64_t));
	err = ctx->engine->dirty_log(ctx, true);
	if (err == 0)
		__atomic_store_n(&ctx->dirty_on, true, __ATOMIC_SEQ_CST);
	return err;
}

void
vm_dirty_stop(struct vmctx *ctx)
{
	if (!__atomic_exchange_n(&ctx->dirty_on, false, __ATOMIC_SEQ_CST))
		return;
	(void)ctx->engine->dirty_log(ctx, false);
}

int
vm_dirty_fetch(struct vmctx *ctx, uint64_t *bits)
{
	size_t n = vm_dirty_words(ctx);

	if (!__atomic_load_n(&ctx->dirty_on, __ATOMIC_RELAXED))
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		bits[i] =
		    __atomic_exchange_n(&ctx->dirty[i], 0, __ATOMIC_SEQ_CST);
	return ctx->engine->dirty_fetch(ctx, bits);
}

/* The store came first, then this: see the contract's last sentence. */
void
vm_dirty_note(struct vmctx *ctx, uint64_t gpa, size_t len)
{
	uint64_t page = vm_ram_offset(&ctx->ram, gpa) >> VM_DIRTY_SHIFT;
	uint64_t last =
	    vm_ram_offset(&ctx->ram, gpa + (len - 1)) >> VM_DIRTY_SHIFT;

	for (; page <= last; page++)
		__atomic_fetch_or(&ctx->dirty[page / WORD_BITS],
		    1ull << page % WORD_BITS, __ATOMIC_SEQ_CST);
}
