/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm.c - the machine object: made, named, arranged, suspended, reset, ended.
 *
 * A machine is built by one thread, then run; vm_suspend() and the look-ups may
 * come from any thread.  Machines live in this process; keeping one in a run
 * directory is not modelled here.
 */
#include "vm_priv.h"

#include <errno.h>
#include <stdlib.h>

int
vm_api_result(int err)
{
	if (err == 0)
		return 0;
	errno = -err;
	return -1;
}

bool
vm_name_ok(const char *name)
{
	size_t len = strnlen(name, VM_MAX_NAMELEN + 1);

	return len > 0 && len <= VM_MAX_NAMELEN && strchr(name, '/') == NULL &&
	       strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static struct vmctx *
vm_alloc(const char *name, const struct vm_engine_ops *engine)
{
	struct vmctx *ctx = xcalloc(1, sizeof(*ctx));

	strcpy(ctx->name, name); /* vm_name_ok() has measured it */
	ctx->engine = engine;
	ctx->ram.fd = -1;
	ctx->lowmem_limit = GPA_LOWMEM_LIMIT;
	ctx->topology = (struct vm_topology){ 1, 1, 1, 1 };
	lock_init(&ctx->lock);
	lock_init(&ctx->halt_lock);
	lock_init(&ctx->platform_lock);
	lock_init(&ctx->irq.lock);
	lock_init(&ctx->irqfd.lock);
	vm_hold_init(&ctx->hold);
	bus_init(ctx);
	return ctx;
}

static void
vm_free(struct vmctx *ctx)
{
	evloop_destroy(ctx->events);
	bus_fini(ctx);
	vm_hold_fini(&ctx->hold);
	lock_fini(&ctx->irqfd.lock);
	lock_fini(&ctx->irq.lock);
	lock_fini(&ctx->platform_lock);
	lock_fini(&ctx->halt_lock);
	lock_fini(&ctx->lock);
	free(ctx);
}

static void
vm_end_all(struct vmctx *ctx)
{
	vm_platform_stop(ctx);
	irqfd_fini(ctx);
	chips_fini(ctx);
	for (size_t i = 0; i < VM_MAXCPU; i++) {
		struct vcpu *vcpu = ctx->vcpu[i];

		if (vcpu != NULL) {
			ctx->engine->vcpu_destroy(vcpu);
			free(vcpu);
		}
	}
	ctx->engine->vm_destroy(ctx);
	vm_mem_fini(ctx);
	vm_free(ctx);
}

int
vm_new(const char *name, const struct vm_engine_ops *engine,
    struct vmctx **ret_ctx)
{
	struct vmctx *ctx;
	int err;

	if (!vm_name_ok(name))
		return -EINVAL;
	ctx = vm_alloc(name, engine);
	err = evloop_create(&ctx->events);
	if (err == 0)
		err = tsc_create(ctx);
	if (err == 0)
		err = engine->vm_create(ctx);
	if (err != 0) {
		chips_fini(ctx);
		vm_free(ctx);
		return err;
	}
	*ret_ctx = ctx;
	return 0;
}

const char *
vm_get_name(const struct vmctx *ctx)
{
	return ctx->name;
}

const char *
vm_get_engine(const struct vmctx *ctx)
{
	return ctx->engine->name;
}

const struct vm_engine_ops *
vm_engine(const struct vmctx *ctx)
{
	return ctx->engine;
}

void
vm_set_engine_state(struct vmctx *ctx, void *state)
{
	ctx->engine_state = state;
}

void *
vm_engine_state(struct vmctx *ctx)
{
	return ctx->engine_state;
}

/* --- processors ---------------------------------------------------------- */

int
vm_topology_set(struct vmctx *ctx, const struct vm_topology *t)
{
	unsigned int product = (unsigned int)t->sockets * t->cores;
	int err = 0;

	if (t->ncpus == 0 || t->ncpus > VM_MAXCPU || product > VM_MAXCPU ||
	    product * t->threads != t->ncpus)
		return -EINVAL;
	lock_acquire(&ctx->lock);
	for (size_t i = 0; i < VM_MAXCPU; i++)
		if (ctx->vcpu[i] != NULL)
			err = -EBUSY;
	if (err == 0) {
		ctx->topology = *t;
		ctx->topology_fixed = true;
	}
	lock_release(&ctx->lock);
	return err;
}

static bool
vm_has_vcpus_locked(const struct vmctx *ctx)
{
	for (size_t i = 0; i < VM_MAXCPU; i++)
		if (ctx->vcpu[i] != NULL)
			return true;
	return false;
}

int
vm_set_hlt_poll(struct vmctx *ctx, bool on)
{
	int err = 0;

	lock_acquire(&ctx->lock);
	if (vm_has_vcpus_locked(ctx))
		err = -EBUSY;
	else
		ctx->hlt_poll = on;
	lock_release(&ctx->lock);
	return err;
}

int
vm_set_code_cache(struct vmctx *ctx, size_t bytes)
{
	int err = 0;

	if (bytes != 0 &&
	    (bytes < VM_CODE_CACHE_MIN || bytes > VM_CODE_CACHE_MAX))
		return -EINVAL;
	lock_acquire(&ctx->lock);
	if (vm_has_vcpus_locked(ctx))
		err = -EBUSY;
	else
		ctx->code_cache = bytes;
	lock_release(&ctx->lock);
	return err;
}

size_t
vm_code_cache(const struct vmctx *ctx)
{
	return ctx->code_cache;
}

bool
vm_hlt_poll(const struct vmctx *ctx)
{
	return ctx->hlt_poll;
}

const struct vm_topology *
vm_topology_get(struct vmctx *ctx)
{
	return &ctx->topology;
}

int
vm_set_topology(struct vmctx *ctx, uint16_t sockets, uint16_t cores,
    uint16_t threads, uint16_t maxcpus)
{
	uint64_t ncpus = (uint64_t)sockets * cores * threads;
	const struct vm_topology t = {
		.ncpus = (uint16_t)ncpus,
		.sockets = sockets,
		.cores = cores,
		.threads = threads,
	};

	if (maxcpus != 0 || ncpus > VM_MAXCPU)
		return vm_api_result(-EINVAL);
	return vm_api_result(vm_topology_set(ctx, &t));
}

int
vm_get_topology(struct vmctx *ctx, uint16_t *sockets, uint16_t *cores,
    uint16_t *threads, uint16_t *maxcpus)
{
	*sockets = ctx->topology.sockets;
	*cores = ctx->topology.cores;
	*threads = ctx->topology.threads;
	*maxcpus = 0;
	return 0;
}

unsigned int
vm_ncpus(struct vmctx *ctx)
{
	return __atomic_load_n(&ctx->topology.ncpus, __ATOMIC_RELAXED);
}

struct vcpu *
vm_vcpu_get(struct vmctx *ctx, unsigned int id)
{
	if (id >= VM_MAXCPU)
		return NULL;
	return __atomic_load_n(&ctx->vcpu[id], __ATOMIC_ACQUIRE);
}

static int
vcpu_create_locked(struct vmctx *ctx, int id, struct vcpu **ret_vcpu)
{
	uint16_t ncpus = (uint16_t)(id + 1);
	struct vcpu *vcpu;
	int err;

	if (ncpus > ctx->topology.ncpus && ctx->topology_fixed)
		return -EINVAL;
	vcpu = xcalloc(1, sizeof(*vcpu));
	vcpu->ctx = ctx;
	vcpu->id = id;
	err = ctx->engine->vcpu_create(vcpu);
	if (err != 0) {
		free(vcpu);
		return err;
	}
	/* Who never said how many gets as many packages as were opened. */
	if (ncpus > ctx->topology.ncpus) {
		ctx->topology.sockets = ncpus;
		__atomic_store_n(&ctx->topology.ncpus, ncpus, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&ctx->vcpu[id], vcpu, __ATOMIC_RELEASE);
	*ret_vcpu = vcpu;
	return 0;
}

struct vcpu *
vm_vcpu_open(struct vmctx *ctx, int id)
{
	struct vcpu *vcpu;
	int err = 0;

	if (id < 0 || id >= VM_MAXCPU) {
		errno = EINVAL;
		return NULL;
	}
	lock_acquire(&ctx->lock);
	vcpu = ctx->vcpu[id];
	if (vcpu == NULL)
		err = vcpu_create_locked(ctx, id, &vcpu);
	lock_release(&ctx->lock);
	if (err != 0)
		errno = -err;
	return vcpu;
}

void
vm_set_cpu_vendor(struct vmctx *ctx, enum vm_cpu_vendor vendor)
{
	ctx->cpu_vendor = vendor;
}

enum vm_cpu_vendor
vm_cpu_vendor(const struct vmctx *ctx)
{
	return ctx->cpu_vendor;
}

/* --- the guest's word to its host ---------------------------------------- */

void
vm_set_host_notify(struct vmctx *ctx, vm_host_notify_fn fn, void *arg)
{
	ctx->host_notify = fn;
	ctx->host_notify_arg = arg;
}

void
vm_host_notify(struct vcpu *vcpu, uint32_t val, unsigned int bytes)
{
	struct vmctx *ctx = vcpu->ctx;

	vcpu_stat_add(vcpu->stats, VMSTAT_HOST_NOTIFY, 1);
	if (ctx->host_notify != NULL)
		ctx->host_notify(vcpu, val, bytes, ctx->host_notify_arg);
}

/* --- ending and starting over -------------------------------------------- */

enum vm_suspend_how
vm_suspended(struct vmctx *ctx)
{
	return (enum vm_suspend_how)__atomic_load_n(
	    &ctx->suspended, __ATOMIC_SEQ_CST);
}

static int
vm_end(struct vmctx *ctx, enum vm_suspend_how how)
{
	uint32_t none = VM_SUSPEND_NONE;

	/* The first reason stands: what follows is its consequence. */
	if (!__atomic_compare_exchange_n(&ctx->suspended, &none, (uint32_t)how,
		false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return -EALREADY;
	for (unsigned int i = 0; i < VM_MAXCPU; i++) {
		struct vcpu *vcpu = vm_vcpu_get(ctx, i);

		if (vcpu != NULL)
			vcpu_post(vcpu, VCPU_EV_STOP);
	}
	vm_hold_wake(&ctx->hold);
	evloop_wake(ctx->events);
	return 0;
}

int
vm_suspend(struct vmctx *ctx, enum vm_suspend_how how)
{
	if (how <= VM_SUSPEND_NONE || how >= VM_SUSPEND_LAST)
		return vm_api_result(-EINVAL);
	return vm_api_result(vm_end(ctx, how));
}

void
vm_abort(struct vmctx *ctx)
{
	(void)vm_end(ctx, VM_SUSPEND_ABORTED);
}

/* --- letting go ----------------------------------------------------------- */

static void
vm_put(struct vmctx *ctx, bool destroy)
{
	bool last;

	vm_registry_lock();
	if (destroy) {
		ctx->permanent = false;
		vm_registry_remove(ctx);
	}
	last = vm_registry_put(ctx);
	/* Before the lock goes: then their vm_close() may free it. */
	if (destroy && !last)
		(void)vm_end(ctx, VM_SUSPEND_DESTROY);
	vm_registry_unlock();
	if (last)
		vm_end_all(ctx);
}

void
vm_close(struct vmctx *ctx)
{
	if (ctx != NULL)
		vm_put(ctx, false);
}

void
vm_destroy(struct vmctx *ctx)
{
	if (ctx != NULL)
		vm_put(ctx, true);
}

static bool
vm_is_running(struct vmctx *ctx)
{
	for (unsigned int i = 0; i < VM_MAXCPU; i++) {
		struct vcpu *vcpu = vm_vcpu_get(ctx, i);

		if (vcpu != NULL &&
		    __atomic_load_n(&vcpu->running, __ATOMIC_SEQ_CST) != 0)
			return true;
	}
	return __atomic_load_n(&ctx->run_threads, __ATOMIC_SEQ_CST) != 0;
}

static int
vcpu_power_on(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->events, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&vcpu->spinup, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&vcpu->init_latched, 0, __ATOMIC_SEQ_CST);
	vcpu->restarted = false;
	return vcpu->ctx->engine->vcpu_reset(vcpu);
}

int
vm_reinit(struct vmctx *ctx)
{
	int err = 0;

	if (vm_is_running(ctx))
		return vm_api_result(-EBUSY);
	ctx->active.bits = 0;
	ctx->ended.bits = 0;
	ctx->hold.paused.bits = 0;
	ctx->spinup.bits = 0;
	ctx->spinup_async.bits = 0;
	chips_reset(ctx);
	for (unsigned int i = 0; i < VM_MAXCPU && err == 0; i++)
		if (ctx->vcpu[i] != NULL)
			err = vcpu_power_on(ctx->vcpu[i]);
	if (err == 0)
		__atomic_store_n(
		    &ctx->suspended, VM_SUSPEND_NONE, __ATOMIC_SEQ_CST);
	return vm_api_result(err);
}

/* bhyve's; 4 stands for every error. */
int
vm_exit_status(enum vm_suspend_how how)
{
	static const int status_table[VM_SUSPEND_LAST] = {
		[VM_SUSPEND_NONE] = 4,
		[VM_SUSPEND_RESET] = 0,
		[VM_SUSPEND_POWEROFF] = 1,
		[VM_SUSPEND_HALT] = 2,
		[VM_SUSPEND_TRIPLEFAULT] = 3,
		[VM_SUSPEND_DESTROY] = 4,
	};

	return how < VM_SUSPEND_LAST ? status_table[how] : 4;
}
