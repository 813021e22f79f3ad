/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * debug.c - holding vCPUs, and handing a debugger's exits to it.
 *
 * `held` says who must not run, `parked` who stands.  A vCPU thread looks at
 * `held` before each entry (vcpu_park()); who holds posts VCPU_EV_STOP, which
 * brings it there, and waits until all threads stand or have ended.
 */
#include "vm_priv.h"

#include <errno.h>
#include <stdio.h>

#include <util/log.h>
#include <vmm/debug.h>
#include <vmm/exception.h>

#define ALL_CPUS UINT64_MAX

void
vm_hold_init(struct vm_hold *h)
{
	lock_init(&h->lock);
	pthread_cond_init(&h->changed, NULL);
}

void
vm_hold_fini(struct vm_hold *h)
{
	pthread_cond_destroy(&h->changed);
	lock_fini(&h->lock);
}

void
vm_hold_wake(struct vm_hold *h)
{
	lock_acquire(&h->lock);
	pthread_cond_broadcast(&h->changed);
	lock_release(&h->lock);
}

/* --- the vCPU's side ------------------------------------------------------ */

static bool
vcpu_must_stand(const struct vm_hold *h, unsigned int id)
{
	return cpuset_has(&h->held, id) || cpuset_has(&h->paused, id);
}

void
vcpu_park(struct vcpu *vcpu)
{
	struct vm_hold *h = &vcpu->ctx->hold;
	unsigned int id = (unsigned int)vcpu->id;

	if (likely(!vcpu_must_stand(h, id)))
		return;
	lock_acquire(&h->lock);
	cpuset_add(&h->parked, id);
	pthread_cond_broadcast(&h->changed);
	while (vcpu_must_stand(h, id) &&
	       vm_suspended(vcpu->ctx) == VM_SUSPEND_NONE)
		pthread_cond_wait(&h->changed, &h->lock.m);
	cpuset_del(&h->parked, id);
	lock_release(&h->lock);
}

/* A run loop's vCPU parks, so that its owner need not know. */
bool
vcpu_is_paused(struct vcpu *vcpu)
{
	const struct vm_hold *h = &vcpu->ctx->hold;
	unsigned int id = (unsigned int)vcpu->id;

	return cpuset_has(&h->paused, id) && !cpuset_has(&h->threads, id);
}

void
vm_hold_thread_begins(struct vcpu *vcpu)
{
	cpuset_add(&vcpu->ctx->hold.threads, (unsigned int)vcpu->id);
}

void
vm_hold_thread_ends(struct vcpu *vcpu)
{
	struct vm_hold *h = &vcpu->ctx->hold;

	lock_acquire(&h->lock);
	cpuset_del(&h->threads, (unsigned int)vcpu->id);
	pthread_cond_broadcast(&h->changed);
	lock_release(&h->lock);
}

/* Before anyone is told, so that nobody finds it running. */
static void
vcpu_hold_self(struct vcpu *vcpu)
{
	cpuset_add(&vcpu->ctx->hold.held, (unsigned int)vcpu->id);
}

enum vmexit_verdict
exit_debug(struct vmctx *ctx, struct vcpu *vcpu, struct vm_exit *x)
{
	vm_debug_exit_fn fn = ctx->hold.debugger;
	unsigned int id = (unsigned int)vcpu->id;

	if (x->exitcode == VM_EXITCODE_MTRAP)
		vcpu_stat_add(vcpu->stats, VMSTAT_VMEXIT_MTRAP, 1);
	if (fn != NULL) {
		vcpu_hold_self(vcpu);
		if (fn(vcpu, x, ctx->hold.debugger_arg))
			return VMEXIT_CONTINUE;
		/* Unless somebody else holds it too by now. */
		if (!__atomic_load_n(&ctx->hold.all, __ATOMIC_SEQ_CST))
			cpuset_del(&ctx->hold.held, id);
	}
	if (x->exitcode != VM_EXITCODE_BPT)
		return VMEXIT_CONTINUE;
	/* The guest's own INT3: the return address is behind it. */
	if (vm_set_register(vcpu, VM_REG_GUEST_RIP,
		x->rip + (uint64_t)x->u.bpt.inst_length) == 0 &&
	    vm_inject_exception(vcpu, EXC_BP, false, 0, false) == 0)
		return VMEXIT_CONTINUE;
	log_error("vcpu %d: cannot inject #BP: %s", vcpu->id, strerror(errno));
	return VMEXIT_ABORT;
}

/* --- the holder's side ---------------------------------------------------- */

static bool
hold_complete(const struct vmctx *ctx)
{
	const struct vm_hold *h = &ctx->hold;

	return (__atomic_load_n(&h->threads.bits, __ATOMIC_SEQ_CST) &
		   ~__atomic_load_n(&h->parked.bits, __ATOMIC_SEQ_CST)) == 0;
}

static void
hold_kick_all(struct vmctx *ctx)
{
	for (unsigned int i = 0; i < VM_MAXCPU; i++) {
		struct vcpu *vcpu = vm_vcpu_get(ctx, i);

		if (vcpu != NULL)
			vcpu_post(vcpu, VCPU_EV_STOP);
	}
}

void
vm_hold_all(struct vmctx *ctx)
{
	struct vm_hold *h = &ctx->hold;

	__atomic_store_n(&h->all, true, __ATOMIC_SEQ_CST);
	__atomic_store_n(&h->held.bits, ALL_CPUS, __ATOMIC_SEQ_CST);
	hold_kick_all(ctx);
	lock_acquire(&h->lock);
	while (!hold_complete(ctx))
		pthread_cond_wait(&h->changed, &h->lock.m);
	lock_release(&h->lock);
	if (!h->clock_stopped)
		chips_pause(ctx);
	h->clock_stopped = true;
}

void
vm_release_all(struct vmctx *ctx)
{
	struct vm_hold *h = &ctx->hold;

	if (h->clock_stopped)
		chips_resume(ctx);
	h->clock_stopped = false;
	__atomic_store_n(&h->all, false, __ATOMIC_SEQ_CST);
	__atomic_store_n(&h->held.bits, 0, __ATOMIC_SEQ_CST);
	vm_hold_wake(h);
}

void
vm_release_one(struct vcpu *vcpu)
{
	struct vm_hold *h = &vcpu->ctx->hold;

	cpuset_del(&h->held, (unsigned int)vcpu->id);
	vm_hold_wake(h);
}

bool
vm_is_held(struct vmctx *ctx)
{
	return __atomic_load_n(&ctx->hold.all, __ATOMIC_SEQ_CST);
}

/* --- libvmmapi ------------------------------------------------------------ */

int
vm_suspend_cpu(struct vcpu *vcpu)
{
	struct vmctx *ctx = vcpu->ctx;
	unsigned int id = (unsigned int)vcpu->id;

	if (!cpuset_has(&ctx->active, id))
		return vm_api_result(-EINVAL);
	cpuset_add(&ctx->hold.paused, id);
	vcpu_post(vcpu, VCPU_EV_STOP);
	return 0;
}

int
vm_resume_cpu(struct vcpu *vcpu)
{
	struct vm_hold *h = &vcpu->ctx->hold;
	unsigned int id = (unsigned int)vcpu->id;

	if (!cpuset_has(&h->paused, id))
		return vm_api_result(-EINVAL);
	cpuset_del(&h->paused, id);
	vm_hold_wake(h);
	return 0;
}

int
vm_suspend_all_cpus(struct vmctx *ctx)
{
	for (unsigned int i = 0; i < VM_MAXCPU; i++)
		if (cpuset_has(&ctx->active, i))
			(void)vm_suspend_cpu(vm_vcpu_get(ctx, i));
	return 0;
}

int
vm_resume_all_cpus(struct vmctx *ctx)
{
	__atomic_store_n(&ctx->hold.paused.bits, 0, __ATOMIC_SEQ_CST);
	vm_hold_wake(&ctx->hold);
	return 0;
}

static int
cpuset_report(const struct cpuset *set, uint64_t *ret_cpus)
{
	*ret_cpus = __atomic_load_n(&set->bits, __ATOMIC_SEQ_CST);
	return 0;
}

int
vm_active_cpus(struct vmctx *ctx, uint64_t *ret_cpus)
{
	return cpuset_report(&ctx->active, ret_cpus);
}

int
vm_suspended_cpus(struct vmctx *ctx, uint64_t *ret_cpus)
{
	return cpuset_report(&ctx->ended, ret_cpus);
}

int
vm_debug_cpus(struct vmctx *ctx, uint64_t *ret_cpus)
{
	return cpuset_report(&ctx->hold.paused, ret_cpus);
}

/* --- what the engine does for it ------------------------------------------ */

void
vm_set_debugger(struct vmctx *ctx, vm_debug_exit_fn fn, void *arg)
{
	ctx->hold.debugger_arg = arg;
	ctx->hold.debugger = fn;
}

int
vm_set_debug_points(
    struct vmctx *ctx, const struct vm_debug_point *points, unsigned int n)
{
	int err = n > VM_DEBUG_POINTS_MAX ? -ENOSPC : 0;

	for (unsigned int i = 0; i < VM_MAXCPU && err == 0; i++) {
		struct vcpu *vcpu = vm_vcpu_get(ctx, i);

		if (vcpu != NULL)
			err = ctx->engine->set_debug(vcpu, points, n);
	}
	return err;
}

int
vm_get_xsave(struct vcpu *vcpu, uint8_t buf[VM_XSAVE_BYTES])
{
	return vcpu->ctx->engine->get_xsave(vcpu, buf);
}

int
vm_set_xsave(struct vcpu *vcpu, const uint8_t buf[VM_XSAVE_BYTES])
{
	return vcpu->ctx->engine->set_xsave(vcpu, buf);
}
