/* SPDX-License-Identifier: BSD-2-Clause */
/* test_vcpu.c - the event word, sleeping, and when a machine counts as halted.
 */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include <vmm/irq.h>

#include "fake_engine.h"

static void
post_and_take(void **state)
{
	struct vmctx *ctx = fake_vm_new(1, NULL);
	struct vcpu *v = vm_vcpu_get(ctx, 0);

	assert_int_equal(*vcpu_events(v), 0);
	vcpu_notify_intr(v);
	vcpu_nmi(v);
	assert_int_equal(*vcpu_events(v), VCPU_EV_INTR | VCPU_EV_NMI);
	assert_int_equal(
	    vcpu_take(v, VCPU_EV_INTR | VCPU_EV_INIT), VCPU_EV_INTR);
	assert_int_equal(vcpu_take(v, VCPU_EV_INTR), 0);
	assert_int_equal(*vcpu_events(v), VCPU_EV_NMI);
	assert_int_equal(vm_inject_nmi(v), 0);
	/* It does not run, so there is nobody to kick. */
	assert_int_equal(fake_vcpu(v)->kicks, 0);
	/* With an event there, sleeping is over before it begins. */
	vcpu_sleep_halted(v, true);
	vm_close(ctx);
}

/* --- ping pong: every post must wake the other side ---------------------- */

#define ROUNDS 20000
/* Who polls keeps its CPU; where there is one, a round takes two time slices.
 */
#define ROUNDS_POLL 500

struct pong {
	struct vcpu *self, *peer;
	bool first;
	int rounds;
};

static void *
pong(void *arg)
{
	struct pong *p = arg;

	for (int i = 0; i < p->rounds; i++) {
		if (p->first)
			vcpu_post(p->peer, VCPU_EV_ENGINE);
		do
			vcpu_sleep_halted(p->self, true);
		while (vcpu_take(p->self, VCPU_EV_ENGINE) == 0);
		if (!p->first)
			vcpu_post(p->peer, VCPU_EV_ENGINE);
	}
	return NULL;
}

static void
play_pong(struct vmctx *ctx, int rounds)
{
	struct vcpu *a = vm_vcpu_get(ctx, 0), *b = vm_vcpu_get(ctx, 1);
	struct pong p[2] = { { a, b, true, rounds }, { b, a, false, rounds } };
	pthread_t t[2];

	alarm(60); /* a lost wake-up would hang here */
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, pong, &p[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	alarm(0);
	assert_int_equal(*vcpu_events(a) | *vcpu_events(b), 0);
	assert_true(vcpu_stats(a)[VMSTAT_IDLE_NS] > 0);
	vm_close(ctx);
}

static void
no_lost_wakeup(void **state)
{
	play_pong(fake_vm_new(2, NULL), ROUNDS);
}

/* x86.vmexit_on_hlt=false: nobody sleeps, and nobody misses anything either. */
static void
no_lost_wakeup_polling(void **state)
{
	struct vmctx *ctx = fake_vm_new_polling(2, NULL);

	assert_true(vm_hlt_poll(ctx));
	assert_int_equal(vm_set_hlt_poll(ctx, false), -EBUSY);
	assert_int_equal(vm_set_code_cache(ctx, 0), -EBUSY);
	assert_int_equal(vm_set_code_cache(ctx, 1), -EINVAL);
	play_pong(ctx, ROUNDS_POLL);
}

/* --- halted -------------------------------------------------------------- */

struct sleeper {
	struct vcpu *vcpu;
	bool intr_enabled, wait_sipi;
	pthread_t t;
};

static void *
sleep_thread(void *arg)
{
	struct sleeper *s = arg;

	if (s->wait_sipi)
		vcpu_sleep_wait_sipi(s->vcpu);
	else
		vcpu_sleep_halted(s->vcpu, s->intr_enabled);
	return NULL;
}

static bool
is_asleep(struct vcpu *vcpu)
{
	struct vcpu_brief b;

	vm_vcpu_brief(vcpu_vm(vcpu), (unsigned int)vcpu_id(vcpu), &b);
	return b.halted;
}

static void
sleeper_start(struct sleeper *s)
{
	assert_int_equal(pthread_create(&s->t, NULL, sleep_thread, s), 0);
	while (!is_asleep(s->vcpu) && vm_suspended(vcpu_vm(s->vcpu)) == 0)
		usleep(100);
}

static void
sleeper_end(struct sleeper *s)
{
	vcpu_post(s->vcpu, VCPU_EV_ENGINE);
	pthread_join(s->t, NULL);
}

/*
 * Two active vCPUs, of three that exist; `a` and `b` sleep as described.
 * How the machine ended.
 */
static enum vm_suspend_how
two_asleep(struct vmctx *ctx, struct sleeper a, struct sleeper b)
{
	enum vm_suspend_how how;

	a.vcpu = vm_vcpu_get(ctx, 0);
	b.vcpu = vm_vcpu_get(ctx, 2);
	assert_int_equal(vm_activate_cpu(a.vcpu), 0);
	assert_int_equal(vm_activate_cpu(b.vcpu), 0);
	assert_int_equal(vm_activate_cpu(b.vcpu), -1);
	assert_int_equal(errno, EBUSY);
	sleeper_start(&a);
	assert_int_equal(vm_suspended(ctx), VM_SUSPEND_NONE);
	sleeper_start(&b);
	usleep(20000);
	how = vm_suspended(ctx);
	sleeper_end(&a);
	sleeper_end(&b);
	vm_close(ctx);
	return how;
}

static void
check_halted(struct vmctx *(*vm_of)(unsigned int, fake_guest))
{
	const struct sleeper off = { 0 }, on = { .intr_enabled = true };
	const struct sleeper sipi = { .wait_sipi = true };
	const struct {
		struct sleeper a, b;
		enum vm_suspend_how how;
	} table[] = {
		{ off, off, VM_SUSPEND_HALT },
		{ off, on, VM_SUSPEND_NONE },
		{ on, off, VM_SUSPEND_NONE },
		/* Who waits for a SIPI waits for one of the others. */
		{ sipi, off, VM_SUSPEND_HALT },
		{ off, sipi, VM_SUSPEND_HALT },
		{ sipi, sipi, VM_SUSPEND_NONE },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		assert_int_equal(
		    two_asleep(vm_of(3, NULL), table[i].a, table[i].b),
		    table[i].how);
}

static void
all_halted(void **state)
{
	check_halted(fake_vm_new);
}

static void
all_halted_polling(void **state)
{
	check_halted(fake_vm_new_polling);
}

/* The last vCPU to halt has just woken the one before it. */
struct waker {
	struct vcpu *self, *peer;
	atomic_uint *rounds;
	unsigned int n;
};

static void *
wake_then_halt(void *arg)
{
	struct waker *w = arg;

	for (unsigned int i = 0; i < w->n; i++) {
		vcpu_post(w->peer, VCPU_EV_NMI);
		vcpu_sleep_halted(w->self, false);
		vcpu_take(w->self, VCPU_EV_NMI);
		atomic_fetch_add(w->rounds, 1);
	}
	/* Leave the peer with something to wake for. */
	vcpu_post(w->peer, VCPU_EV_NMI | VCPU_EV_ENGINE);
	return NULL;
}

static void
an_nmi_in_flight_is_no_halt(void **state)
{
	struct vmctx *ctx = fake_vm_new(2, NULL);
	struct vcpu *a = vm_vcpu_get(ctx, 0), *b = vm_vcpu_get(ctx, 1);
	atomic_uint rounds = 0;
	struct waker w[2] = { { a, b, &rounds, 10000 },
		{ b, a, &rounds, 10000 } };
	pthread_t t[2];

	vm_activate_cpu(a);
	vm_activate_cpu(b);
	alarm(60);
	for (int i = 0; i < 2; i++)
		assert_int_equal(
		    pthread_create(&t[i], NULL, wake_then_halt, &w[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	alarm(0);
	assert_int_equal(rounds, 20000);
	/*
	 * Each post comes before its sender's sleep, so there never was a
	 * moment at which both slept without an event.
	 */
	assert_int_equal(vm_suspended(ctx), VM_SUSPEND_NONE);
	vm_close(ctx);
}

/* --- INIT and SIPI without a run loop ------------------------------------ */

static void
sipi_from_outside(void **state)
{
	struct vmctx *ctx = fake_vm_new(3, NULL);
	struct vcpu *bsp = vm_vcpu_get(ctx, 0), *ap = vm_vcpu_get(ctx, 2);
	struct vm_exit x;

	vcpu_init_signal(ap);
	assert_int_equal(*vcpu_events(ap), 0); /* nobody runs it */
	vcpu_sipi(ap, 0x9a);
	vcpu_sipi(ap, 0x9b); /* the second of the usual two: for the engine */
	assert_int_equal(*vcpu_events(ap), VCPU_EV_SIPI);
	assert_int_equal(vcpu_sipi_vector(ap), 0x9b);
	assert_int_equal(vm_run(bsp, &x), 0);
	assert_int_equal(x.exitcode, VM_EXITCODE_SPINUP_AP);
	assert_int_equal(x.u.spinup_ap.vcpu, 2);
	assert_int_equal(x.u.spinup_ap.rip, 0x9a000);
	/* Reported once: now the engine runs, and sees the STOP. */
	assert_int_equal(vm_run(bsp, &x), 0);
	assert_int_equal(x.exitcode, VM_EXITCODE_BOGUS);
	assert_int_equal(vm_activate_cpu(ap), 0);
	vcpu_init_signal(ap);
	vcpu_sipi(ap, 0x77);
	assert_int_equal(*vcpu_events(ap), VCPU_EV_SIPI | VCPU_EV_INIT);
	vm_close(ctx);
}

static void
briefs_and_stats(void **state)
{
	struct vmctx *ctx = fake_vm_new(2, NULL);
	struct vcpu_brief b;
	char text[8192] = "";
	FILE *f = fmemopen(text, sizeof(text), "w");
	int n = 0;

	vcpu_publish_rip(vm_vcpu_get(ctx, 1), 0x1234);
	vcpu_stat_add(vcpu_stats(vm_vcpu_get(ctx, 1)), VMSTAT_VMEXIT_COUNT, 42);
	vm_vcpu_brief(ctx, 1, &b);
	assert_true(!b.active && !b.halted && b.rip == 0x1234);
	assert_int_equal(b.exits, 42);
	vm_vcpu_brief(ctx, 9, &b);
	assert_false(b.active);
	vm_vcpu_brief(ctx, 1000, &b);
	vm_print_stats(ctx, f);
	fclose(f);
	assert_true(strncmp(text, "vcpu0\n", 6) == 0);
	assert_non_null(strstr(
	    text, "vcpu1\ntotal number of vm exits                \t42\n"));
	assert_true(vm_get_stats(vm_vcpu_get(ctx, 1), NULL,
			&n)[VMSTAT_VMEXIT_COUNT] == 42);
	assert_int_equal(n, VMSTAT_COUNT_);
	for (int i = 0; i < n; i++)
		assert_non_null(vm_get_stat_desc(ctx, i));
	assert_null(vm_get_stat_desc(ctx, n));
	assert_null(vm_get_stat_desc(ctx, -1));
	vm_close(ctx);
}

/* What the engine counts stands for the core's own counter, and only that. */
static void
engines_stats(void **state)
{
	struct vmctx *ctx = fake_vm_new(1, NULL);
	struct vcpu *vcpu = vm_vcpu_get(ctx, 0);
	uint64_t now[VMSTAT_COUNT_];
	struct vcpu_brief b;
	int n;

	vcpu_stat_add(vcpu_stats(vcpu), VMSTAT_VMEXIT_COUNT, 3);
	vcpu_stat_add(vcpu_stats(vcpu), VMSTAT_VMEXIT_RDMSR, 5);
	fake_vcpu(vcpu)->stats_have = BIT64(VMSTAT_VMEXIT_COUNT);
	fake_vcpu(vcpu)->stat = 77;
	vcpu_stats_read(vcpu, now);
	assert_int_equal(now[VMSTAT_VMEXIT_COUNT], 77);
	assert_int_equal(now[VMSTAT_VMEXIT_RDMSR], 5);
	assert_int_equal(now[VMSTAT_VMEXIT_HLT], 0);
	vm_vcpu_brief(ctx, 0, &b);
	assert_int_equal(b.exits, 77);
	assert_int_equal(vm_get_stats(vcpu, NULL, &n)[VMSTAT_VMEXIT_COUNT], 77);
	/* The core's is still there for an engine that cannot read its own. */
	fake_vcpu(vcpu)->stats_have = 0;
	assert_int_equal(vm_get_stats(vcpu, NULL, &n)[VMSTAT_VMEXIT_COUNT], 3);
	vm_close(ctx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(post_and_take),
		cmocka_unit_test(no_lost_wakeup),
		cmocka_unit_test(no_lost_wakeup_polling),
		cmocka_unit_test(all_halted),
		cmocka_unit_test(engines_stats),
		cmocka_unit_test(all_halted_polling),
		cmocka_unit_test(an_nmi_in_flight_is_no_halt),
		cmocka_unit_test(sipi_from_outside),
		cmocka_unit_test(briefs_and_stats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
