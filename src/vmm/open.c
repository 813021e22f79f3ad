/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * open.c - vm_openf(): machines found by name, and the choice of an engine.
 *
 * Apart from vm.c so that a program which makes its machines with vm_new() need
 * not link the table of engines.  Opening a machine this process already has
 * gives the same handle once more; the last vm_close() ends it.
 */
#include "vm_priv.h"

#include <errno.h>

#include <util/log.h>

/* The one named `name`, or the best that works; NULL with errno. */
static const struct vm_engine_ops *
engine_choose(const char *name)
{
	char why[256];

	errno = name == NULL ? ENODEV : EINVAL;
	for (size_t i = 0; i < vm_engine_table_len; i++) {
		const struct vm_engine_ops *e = vm_engine_table[i];
		int err;

		if (name != NULL && strcmp(name, e->name) != 0)
			continue;
		why[0] = '\0';
		err = e->probe(why, sizeof(why));
		log_debug("engine %s: %s%s%s", e->name,
		    err >= 0 ? "usable" : strerror(-err),
		    why[0] != '\0' ? ": " : "", why);
		if (err == 0 || (err == VM_ENGINE_SLOW && name != NULL))
			return e;
		if (name != NULL)
			errno = -err;
	}
	return NULL;
}

static struct vmctx *
open_new(const char *name, const char *engine)
{
	const struct vm_engine_ops *ops = engine_choose(engine);
	struct vmctx *ctx;
	int err;

	if (ops == NULL)
		return NULL;
	err = vm_new(name, ops, &ctx);
	if (err != 0) {
		errno = -err;
		return NULL;
	}
	vm_registry_add(ctx);
	return ctx;
}

static struct vmctx *
open_locked(const char *name, int flags, const char *engine)
{
	struct vmctx *ctx = vm_registry_get(name);

	if (ctx == NULL) {
		if ((flags & VMMAPI_OPEN_CREATE) != 0)
			return open_new(name, engine);
		errno = ENOENT;
		return NULL;
	}
	if (engine != NULL && strcmp(engine, ctx->engine->name) != 0) {
		errno = EEXIST;
		return NULL;
	}
	ctx->open_count++;
	return ctx;
}

struct vmctx *
vm_openf(const char *name, int flags, const char *engine)
{
	struct vmctx *ctx;

	if (!vm_name_ok(name) || (flags & ~VMMAPI_OPEN_CREATE) != 0) {
		errno = EINVAL;
		return NULL;
	}
	vm_registry_lock();
	ctx = open_locked(name, flags, engine);
	vm_registry_unlock();
	return ctx;
}
