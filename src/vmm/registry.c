/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * registry.c - the machines this process opened by name.
 *
 * The process's own counterpart of /dev/vmm; the only file-level variable of
 * this room, because names are the process's, not a machine's.
 */
#include "vm_priv.h"

static struct lock registry_mutex = LOCK_INITIALIZER;
static struct vmctx *registry_head; /* GUARDED_BY(registry_mutex) */

void
vm_registry_lock(void)
{
	lock_acquire(&registry_mutex);
}

void
vm_registry_unlock(void)
{
	lock_release(&registry_mutex);
}

struct vmctx *
vm_registry_get(const char *name)
{
	struct vmctx *ctx = registry_head;

	while (ctx != NULL && strcmp(ctx->name, name) != 0)
		ctx = ctx->next_open;
	return ctx;
}

void
vm_registry_add(struct vmctx *ctx)
{
	ctx->by_name = true;
	ctx->next_open = registry_head;
	registry_head = ctx;
}

void
vm_registry_remove(struct vmctx *ctx)
{
	struct vmctx **p = &registry_head;

	if (!ctx->by_name)
		return;
	while (*p != ctx)
		p = &(*p)->next_open;
	*p = ctx->next_open;
	ctx->by_name = false;
}

bool
vm_registry_put(struct vmctx *ctx)
{
	if (ctx->open_count > 0)
		ctx->open_count--;
	if (ctx->open_count > 0 || ctx->permanent)
		return false;
	vm_registry_remove(ctx);
	return true;
}
