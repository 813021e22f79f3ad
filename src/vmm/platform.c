/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * platform.c - the chips of a machine that vm_openf() made, the thread that
 * turns its event loop, and libvmmapi's questions to the chips.
 *
 * Made late, because how many local APICs there are and what the CMOS says of
 * memory is settled by calls that come after vm_openf().  A machine of
 * vm_new() has the chips its maker gives it, and vm_run_all()'s loop.
 */
#include "vm_priv.h"

#include <errno.h>
#include <signal.h>

#include <util/log.h>
#include <vmm/platform.h>

/* --- the event thread ---------------------------------------------------- */

static void *
event_thread(void *arg)
{
	struct vmctx *ctx = arg;
	int n = 0;

	pthread_setname_np(pthread_self(), "vmm events");
	while (n >= 0 && !__atomic_load_n(&ctx->event_stop, __ATOMIC_SEQ_CST))
		n = vm_event_poll(ctx, -1);
	if (n < 0)
		log_error("event loop: %s", strerror(-n));
	return NULL;
}

/* The program's signals are for its own threads. */
static int
event_thread_start(struct vmctx *ctx)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&ctx->event_thread, NULL, event_thread, ctx);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	ctx->has_event_thread = err == 0;
	return -err;
}

void
vm_platform_stop(struct vmctx *ctx)
{
	if (!ctx->has_event_thread)
		return;
	__atomic_store_n(&ctx->event_stop, true, __ATOMIC_SEQ_CST);
	evloop_wake(ctx->events);
	pthread_join(ctx->event_thread, NULL);
	ctx->has_event_thread = false;
}

/* --- making the chips ---------------------------------------------------- */

static int
platform_open_vcpus(struct vmctx *ctx)
{
	lock_acquire(&ctx->lock);
	ctx->topology_fixed = true;
	lock_release(&ctx->lock);
	for (unsigned int i = 0; i < vm_ncpus(ctx); i++)
		if (vm_vcpu_open(ctx, (int)i) == NULL)
			return -errno;
	return 0;
}

static int
platform_make(struct vmctx *ctx)
{
	const struct vm_platform_opts opts = { .utc = true };
	const char *part = "processors";
	int err = platform_open_vcpus(ctx);

	if (err == 0)
		err = ctx->platform(ctx, &opts, &part);
	if (err == 0) {
		part = "event thread";
		err = event_thread_start(ctx);
	}
	if (err != 0)
		log_error(
		    "machine %s: %s: %s", ctx->name, part, strerror(-err));
	return err;
}

enum { PLATFORM_NONE, PLATFORM_MADE, PLATFORM_FAILED };

int
vm_platform_ready(struct vmctx *ctx)
{
	int err;

	if (ctx->platform == NULL || __atomic_load_n(&ctx->platform_state,
					 __ATOMIC_ACQUIRE) == PLATFORM_MADE)
		return 0;
	lock_acquire(&ctx->platform_lock);
	if (ctx->platform_state == PLATFORM_NONE) {
		/* Half of it may be there: what failed once stays so. */
		ctx->platform_err = platform_make(ctx);
		__atomic_store_n(&ctx->platform_state,
		    ctx->platform_err == 0 ? PLATFORM_MADE : PLATFORM_FAILED,
		    __ATOMIC_RELEASE);
	}
	err = ctx->platform_err;
	lock_release(&ctx->platform_lock);
	return err;
}

/* --- questions to the chips ---------------------------------------------- */

void
vm_set_rtc(struct vmctx *ctx, const struct vm_rtc_ops *ops, void *chip)
{
	ctx->rtc = ops;
	ctx->rtc_chip = chip;
}

void
vm_set_hpet_capabilities(struct vmctx *ctx, uint32_t capabilities)
{
	ctx->hpet_capabilities = capabilities;
}

static int
rtc_ready(struct vmctx *ctx)
{
	int err = vm_platform_ready(ctx);

	return err == 0 && ctx->rtc == NULL ? -ENXIO : err;
}

int
vm_rtc_write(struct vmctx *ctx, int offset, uint8_t val)
{
	int err = rtc_ready(ctx);

	if (err == 0)
		err = ctx->rtc->write(ctx->rtc_chip, offset, val);
	return vm_api_result(err);
}

int
vm_rtc_read(struct vmctx *ctx, int offset, uint8_t *ret_val)
{
	int err = rtc_ready(ctx);

	if (err == 0)
		err = ctx->rtc->read(ctx->rtc_chip, offset, ret_val);
	return vm_api_result(err);
}

int
vm_rtc_settime(struct vmctx *ctx, time_t secs)
{
	int err = rtc_ready(ctx);

	if (err == 0)
		err = ctx->rtc->set_time(ctx->rtc_chip, secs);
	return vm_api_result(err);
}

int
vm_rtc_gettime(struct vmctx *ctx, time_t *ret_secs)
{
	int err = rtc_ready(ctx);

	if (err == 0)
		*ret_secs = (time_t)ctx->rtc->get_time(ctx->rtc_chip);
	return vm_api_result(err);
}

int
vm_get_hpet_capabilities(struct vmctx *ctx, uint32_t *ret_capabilities)
{
	int err = vm_platform_ready(ctx);

	if (err == 0 && ctx->hpet_capabilities == 0)
		err = -ENXIO;
	if (err == 0)
		*ret_capabilities = ctx->hpet_capabilities;
	return vm_api_result(err);
}
