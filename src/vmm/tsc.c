/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tsc.c - the guest's time-stamp counters: IA32_TIME_STAMP_COUNTER and
 * IA32_TSC_ADJUST.  Intel SDM volume 3B 18.17 (2023).
 *
 * The machine's TSC is the host's minus what that was when the machine was
 * made, less the time it was paused; each vCPU adds its own offset.  When tests
 * drive the clock by hand the TSC follows it exactly.  Reading takes no lock;
 * `lock` guards a vCPU's offset against a snapshot, and the pause.  A snapshot
 * holds values, not the rate: a host of another TSC frequency is not
 * compensated for.
 */
#include "vm_priv.h"

#include <cpuid.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

#include <vmm/event.h>
#include <vmm/snap.h>

#define MSR_IA32_TSC	    0x10u
#define MSR_IA32_TSC_ADJUST 0x3bu

#define NSEC_PER_SEC	    1000000000u

/* CPUID leaves that tell a TSC's frequency. */
#define CPUID_MAX	0u
#define CPUID_TSC	0x15u
#define CPUID_FEATURES	1u
#define CPUID1_ECX_HV	BIT(31)
#define CPUID_HV_MAX	0x40000000u
#define CPUID_HV_TIMING 0x40000010u

/* A sample is right within 20 ns or so: 4 ppm of the longer time. */
#define MEASURE_SHORT_NS 1000000u
#define MEASURE_LONG_NS	 10000000u

struct vcpu_tsc {
	uint64_t offset; /* atomic: the machine's TSC to this vCPU's */
	uint64_t adjust; /* IA32_TSC_ADJUST */
	void (*on_change)(void *arg);
	void *arg;
};

struct vm_tsc {
	struct lock lock;
	struct vmctx *ctx;
	uint64_t hz;
	uint64_t base;	 /* atomic: host TSC of the machine's 0 */
	uint64_t paused; /* atomic: the TSC stands at `stopped_at` */
	uint64_t stopped_at;
	struct vcpu_tsc vcpu[VM_MAXCPU];
};

/* --- the host's frequency --------------------------------------------- */

static uint64_t
tsc_hz_from_cpuid(void)
{
	unsigned int a, b, c, d;

	if (__get_cpuid_count(CPUID_TSC, 0, &a, &b, &c, &d) && a != 0 &&
	    b != 0 && c != 0)
		return (uint64_t)c * b / a;
	__cpuid(CPUID_FEATURES, a, b, c, d);
	if ((c & CPUID1_ECX_HV) == 0)
		return 0;
	__cpuid(CPUID_HV_MAX, a, b, c, d);
	if (a < CPUID_HV_TIMING || a > CPUID_HV_MAX + 0xffff)
		return 0;
	__cpuid(CPUID_HV_TIMING, a, b, c, d);
	return (uint64_t)a * 1000;
}

struct moment {
	uint64_t tsc, ns;
};

/* On both clocks: the least disturbed of a few tries. */
static struct moment
tsc_moment(void)
{
	struct moment m = { 0 };
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		uint64_t before = __rdtsc();
		uint64_t ns = host_now_ns();
		uint64_t took = __rdtsc() - before;

		if (took < best) {
			best = took;
			m = (struct moment){ before + took / 2, ns };
		}
	}
	return m;
}

/* When so much time has gone by since then. */
static uint64_t
tsc_hz_since(const struct moment *then, uint64_t span_ns)
{
	struct timespec rest = { .tv_nsec = 0 };
	uint64_t gone = host_now_ns() - then->ns;
	struct moment now;

	if (gone < span_ns)
		rest.tv_nsec = (long)(span_ns - gone);
	nanosleep(&rest, NULL);
	now = tsc_moment();
	return (uint64_t)((unsigned __int128)(now.tsc - then->tsc) *
			  NSEC_PER_SEC / (now.ns - then->ns));
}

static uint64_t host_hz; /* a fact about the host, found once */

static void
tsc_hz_find(void)
{
	uint64_t told = tsc_hz_from_cpuid();
	struct moment then = tsc_moment();
	uint64_t seen = tsc_hz_since(&then, MEASURE_SHORT_NS);

	/* A hypervisor may scale the counter and not the leaf: believe it
	 * only within one percent. */
	if (told > seen - seen / 100 && told < seen + seen / 100)
		host_hz = told;
	else
		host_hz = tsc_hz_since(&then, MEASURE_LONG_NS);
}

/* --- reading ---------------------------------------------------------- */

static uint64_t
tsc_from_ns(const struct vm_tsc *t, uint64_t ns)
{
	return (uint64_t)((unsigned __int128)ns * t->hz / NSEC_PER_SEC);
}

/* Rounded up: the TSC has got there.  Saturates. */
static uint64_t
tsc_to_ns(const struct vm_tsc *t, unsigned __int128 tsc)
{
	unsigned __int128 ns = (tsc * NSEC_PER_SEC + t->hz - 1) / t->hz;

	return ns > UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}

static uint64_t
vm_rdtsc(struct vm_tsc *t)
{
	if (unlikely(evloop_is_manual(t->ctx->events)))
		return tsc_from_ns(t, vm_clock_ns(t->ctx));
	/* Pairs with tsc_resume(): base is new when paused is off. */
	if (unlikely(__atomic_load_n(&t->paused, __ATOMIC_ACQUIRE) != 0))
		return __atomic_load_n(&t->stopped_at, __ATOMIC_RELAXED);
	return __rdtsc() - __atomic_load_n(&t->base, __ATOMIC_RELAXED);
}

static struct vcpu_tsc *
tsc_of(struct vcpu *vcpu)
{
	return &vcpu->ctx->tsc->vcpu[vcpu->id];
}

uint64_t
vcpu_rdtsc(struct vcpu *vcpu)
{
	return vm_rdtsc(vcpu->ctx->tsc) +
	       __atomic_load_n(&tsc_of(vcpu)->offset, __ATOMIC_RELAXED);
}

bool
vcpu_tsc_source(struct vcpu *vcpu, struct vcpu_tsc_source *ret_src)
{
	ret_src->base = &vcpu->ctx->tsc->base;
	ret_src->offset = &tsc_of(vcpu)->offset;
	return !evloop_is_manual(vcpu->ctx->events);
}

uint64_t
vm_tsc_hz(struct vmctx *ctx)
{
	return ctx->tsc->hz;
}

uint64_t
vcpu_tsc_to_clock_ns(struct vcpu *vcpu, uint64_t tsc)
{
	struct vm_tsc *t = vcpu->ctx->tsc;
	uint64_t now_ns = vm_clock_ns(vcpu->ctx), now = vm_rdtsc(t), ns;
	uint64_t mine =
	    now + __atomic_load_n(&tsc_of(vcpu)->offset, __ATOMIC_RELAXED);

	if (tsc <= mine)
		return now_ns;
	if (evloop_is_manual(vcpu->ctx->events))
		return tsc_to_ns(t, (unsigned __int128)now + (tsc - mine));
	if (__builtin_add_overflow(now_ns, tsc_to_ns(t, tsc - mine), &ns))
		return UINT64_MAX;
	return ns;
}

void
vcpu_tsc_on_change(struct vcpu *vcpu, void (*fn)(void *arg), void *arg)
{
	struct vcpu_tsc *v = tsc_of(vcpu);

	v->on_change = fn;
	v->arg = arg;
}

/* --- the MSRs --------------------------------------------------------- */

/* Either register moves the counter and tells by how much (18.17.3). */
static void
tsc_move(struct vcpu *vcpu, uint64_t delta)
{
	struct vcpu_tsc *v = tsc_of(vcpu);
	struct vm_tsc *t = vcpu->ctx->tsc;

	lock_acquire(&t->lock);
	__atomic_store_n(&v->offset, v->offset + delta, __ATOMIC_RELAXED);
	v->adjust += delta;
	lock_release(&t->lock);
	if (v->on_change != NULL)
		v->on_change(v->arg);
}

static int
tsc_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *val, void *arg)
{
	*val = msr == MSR_IA32_TSC ? vcpu_rdtsc(vcpu) : tsc_of(vcpu)->adjust;
	return 0;
}

static int
tsc_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t val, void *arg)
{
	if (msr == MSR_IA32_TSC)
		tsc_move(vcpu, val - vcpu_rdtsc(vcpu));
	else
		tsc_move(vcpu, val - tsc_of(vcpu)->adjust);
	return 0;
}

/* --- life cycle ------------------------------------------------------- */

/* All counters start at 0, together. */
static void
tsc_reset(void *arg)
{
	struct vm_tsc *t = arg;
	uint64_t now = vm_rdtsc(t);

	for (size_t i = 0; i < VM_MAXCPU; i++) {
		__atomic_store_n(&t->vcpu[i].offset, 0 - now, __ATOMIC_RELAXED);
		t->vcpu[i].adjust = 0;
	}
}

static void
tsc_pause(void *arg)
{
	struct vm_tsc *t = arg;

	__atomic_store_n(&t->stopped_at,
	    __rdtsc() - __atomic_load_n(&t->base, __ATOMIC_RELAXED),
	    __ATOMIC_RELAXED);
	__atomic_store_n(&t->paused, 1, __ATOMIC_RELEASE);
}

static void
tsc_resume(void *arg)
{
	struct vm_tsc *t = arg;

	__atomic_store_n(&t->base, __rdtsc() - t->stopped_at, __ATOMIC_RELAXED);
	__atomic_store_n(&t->paused, 0, __ATOMIC_RELEASE);
}

static void
tsc_snapshot(void *arg, struct snap *s)
{
	struct vm_tsc *t = arg;
	uint64_t tsc[VM_MAXCPU], adjust[VM_MAXCPU];
	uint64_t now = vm_rdtsc(t);

	for (size_t i = 0; i < VM_MAXCPU; i++) {
		tsc[i] = now + t->vcpu[i].offset;
		adjust[i] = t->vcpu[i].adjust;
	}
	snap_var(s, tsc);
	snap_var(s, adjust);
	if (!snap_loading(s) || snap_error(s) != 0)
		return;
	for (size_t i = 0; i < VM_MAXCPU; i++) {
		__atomic_store_n(
		    &t->vcpu[i].offset, tsc[i] - now, __ATOMIC_RELAXED);
		t->vcpu[i].adjust = adjust[i];
	}
}

static void
tsc_fini(void *arg)
{
	struct vm_tsc *t = arg;

	t->ctx->tsc = NULL;
	lock_fini(&t->lock);
	free(t);
}

static const struct chip_ops tsc_chip_ops = {
	.name = "tsc",
	.reset = tsc_reset,
	.pause = tsc_pause,
	.resume = tsc_resume,
	.snapshot = tsc_snapshot,
	.fini = tsc_fini,
};

int
tsc_create(struct vmctx *ctx)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	static const uint32_t msr_table[] = { MSR_IA32_TSC,
		MSR_IA32_TSC_ADJUST };
	struct vm_tsc *t = xcalloc(1, sizeof(*t));
	int err = 0;

	pthread_once(&once, tsc_hz_find);
	t->ctx = ctx;
	t->hz = host_hz;
	t->base = __rdtsc();
	lock_init(&t->lock);
	ctx->tsc = t;
	for (size_t i = 0; i < ARRAY_LEN(msr_table) && err == 0; i++)
		err = bus_msr_register(ctx, &(struct msr_range){ .name = "tsc",
						.first = msr_table[i],
						.last = msr_table[i],
						.read = tsc_msr_read,
						.write = tsc_msr_write });
	if (err != 0) {
		tsc_fini(t);
		return err;
	}
	chip_add(ctx, &tsc_chip_ops, t, &t->lock);
	return 0;
}
