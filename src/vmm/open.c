/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * open.c - vm_openf(): machines found by name, and the choice of an engine.
 *
 * Apart from vm.c so that a program which makes its machines with vm_new() need
 * not link the table of engines and the platform's chips.  Opening a machine
 * this process already has gives the same handle once more; the last vm_close()
 * ends it, unless vm_create() made it.
 */
#include "vm_priv.h"

#include <errno.h>

#include <util/log.h>
#include <vmm/platform.h>

#define OPEN_FLAGS                                                             \
	(VMMAPI_OPEN_CREATE | VMMAPI_OPEN_REINIT | VMMAPI_OPEN_DESTROY_ON_CLOSE)

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
	ctx->platform = vm_platform_create;
	ctx->strict_io = true; /* a port nobody has is the program's */
	vm_registry_add(ctx);
	return ctx;
}

static struct vmctx *
open_locked(const char *name, int flags, const char *engine)
{
	struct vmctx *ctx = vm_registry_get(name);

	if (ctx == NULL) {
		errno = ENOENT;
		ctx = (flags & VMMAPI_OPEN_CREATE) != 0 ? open_new(name, engine)
							: NULL;
	} else if (engine != NULL && strcmp(engine, ctx->engine->name) != 0) {
		errno = EEXIST;
		ctx = NULL;
	} else if ((flags & VMMAPI_OPEN_REINIT) != 0 && vm_reinit(ctx) != 0) {
		ctx = NULL;
	}
	if (ctx != NULL)
		ctx->open_count++;
	return ctx;
}

struct vmctx *
vm_openf(const char *name, int flags, const char *engine)
{
	struct vmctx *ctx;

	if (!vm_name_ok(name) || (flags & ~OPEN_FLAGS) != 0) {
		errno = EINVAL;
		return NULL;
	}
	vm_registry_lock();
	ctx = open_locked(name, flags, engine);
	vm_registry_unlock();
	return ctx;
}

struct vmctx *
vm_open(const char *name)
{
	return vm_openf(name, 0, NULL);
}

static int
create_locked(const char *name)
{
	struct vmctx *ctx;

	if (vm_registry_get(name) != NULL)
		return -EEXIST;
	ctx = open_new(name, NULL);
	if (ctx == NULL)
		return -errno;
	ctx->permanent = true;
	return 0;
}

int
vm_create(const char *name)
{
	int err = -EINVAL;

	if (vm_name_ok(name)) {
		vm_registry_lock();
		err = create_locked(name);
		vm_registry_unlock();
	}
	return vm_api_result(err);
}
