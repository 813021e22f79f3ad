/* SPDX-License-Identifier: BSD-2-Clause */
/* test_debug.c - holding vCPUs, and exits that are a debugger's. */
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include <vmm/debug.h>
#include <vmm/event.h>

#include "fake_engine.h"

static struct vmctx *ctx;
static pthread_t runner;
static enum vm_suspend_how ended;
static atomic_uint turns[4];	  /* entries into each vCPU */
static atomic_int next_exit = -1; /* what vCPU 0 leaves with next */

/* Turns until asked to stop, or leaves with next_exit. */
static int
guest(struct vcpu *vcpu, struct vm_exit *x)
{
	int code;

	while (!fake_take_stop(vcpu, x)) {
		turns[vcpu_id(vcpu)]++;
		sched_yield();
		code =
		    vcpu_id(vcpu) == 0 ? atomic_exchange(&next_exit, -1) : -1;
		if (code >= 0) {
			x->exitcode = (enum vm_exitcode)code;
			x->rip = 0x1000;
			x->u.bpt.inst_length = 1;
			return 0;
		}
	}
	return 0;
}

static void *
run_thread(void *arg)
{
	const struct vm_run_opts opts = VM_RUN_OPTS_DEFAULT;

	assert_int_equal(vm_run_all(ctx, &opts, &ended), 0);
	return NULL;
}

static void
start(unsigned int ncpus)
{
	alarm(60);
	ctx = fake_vm_new(ncpus, guest);
	for (unsigned int i = 0; i < ARRAY_LEN(turns); i++)
		turns[i] = 0;
	next_exit = -1;
	ended = VM_SUSPEND_LAST;
}

static void
go(void)
{
	assert_int_equal(pthread_create(&runner, NULL, run_thread, NULL), 0);
}

static void
wait_turn(unsigned int cpu)
{
	unsigned int before = turns[cpu];

	while (turns[cpu] == before)
		sched_yield();
}

static void
finish(enum vm_suspend_how how)
{
	pthread_join(runner, NULL);
	assert_int_equal(ended, how);
	vm_close(ctx);
}

static void
test_hold_and_release(void **state)
{
	unsigned int before;
	uint64_t clock;

	start(1);
	go();
	wait_turn(0);
	vm_hold_all(ctx);
	assert_true(vm_is_held(ctx));
	before = turns[0];
	clock = vm_clock_ns(ctx);
	usleep(20000);
	assert_int_equal(turns[0], before);
	assert_int_equal(vm_clock_ns(ctx), clock);
	/* Its registers are anyone's now. */
	assert_int_equal(
	    vm_set_register(vm_vcpu_get(ctx, 0), VM_REG_GUEST_RAX, 7), 0);
	vm_hold_all(ctx); /* again: nothing */
	vm_release_all(ctx);
	assert_false(vm_is_held(ctx));
	wait_turn(0);
	assert_true(vm_clock_ns(ctx) > clock);
	vm_suspend(ctx, VM_SUSPEND_POWEROFF);
	finish(VM_SUSPEND_POWEROFF);
}

/* Held before it runs: the first instruction waits. */
static void
test_hold_first(void **state)
{
	start(1);
	vm_hold_all(ctx);
	go();
	usleep(20000);
	assert_int_equal(turns[0], 0);
	vm_release_one(vm_vcpu_get(ctx, 0));
	wait_turn(0);
	vm_suspend(ctx, VM_SUSPEND_RESET);
	finish(VM_SUSPEND_RESET);
}

/* A machine that ends does not wait for who holds it. */
static void
test_end_while_held(void **state)
{
	start(1);
	go();
	wait_turn(0);
	vm_hold_all(ctx);
	vm_suspend(ctx, VM_SUSPEND_POWEROFF);
	finish(VM_SUSPEND_POWEROFF);
}

static atomic_int seen = -1;
static bool answer;

static bool
on_exit_(struct vcpu *vcpu, const struct vm_exit *x, void *arg)
{
	assert_ptr_equal(arg, &seen);
	seen = (int)x->exitcode;
	return answer;
}

static void
leave_with(enum vm_exitcode code, bool ours)
{
	answer = ours;
	seen = -1;
	next_exit = (int)code;
	while (seen == -1)
		sched_yield();
	assert_int_equal(seen, code);
}

static void
test_debugger_exits(void **state)
{
	static const enum vm_exitcode codes[] = { VM_EXITCODE_MTRAP,
		VM_EXITCODE_BPT, VM_EXITCODE_DB };
	struct vcpu *vcpu;

	start(1);
	vm_set_debugger(ctx, on_exit_, &seen);
	vcpu = vm_vcpu_get(ctx, 0);
	go();
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		unsigned int before;

		leave_with(codes[i], true);
		vm_hold_all(ctx); /* it stands already: returns */
		before = turns[0];
		usleep(5000);
		assert_int_equal(turns[0], before);
		vm_release_all(ctx);
		wait_turn(0);
	}
	/* Not the debugger's: the guest's own INT3 becomes #BP behind it. */
	fake_vcpu(vcpu)->inject_vector = -1;
	leave_with(VM_EXITCODE_BPT, false);
	wait_turn(0);
	vm_hold_all(ctx);
	assert_int_equal(fake_vcpu(vcpu)->inject_vector, 3);
	assert_int_equal(fake_vcpu(vcpu)->reg[VM_REG_GUEST_RIP], 0x1001);
	vm_release_all(ctx);
	vm_suspend(ctx, VM_SUSPEND_HALT);
	finish(VM_SUSPEND_HALT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hold_and_release),
		cmocka_unit_test(test_hold_first),
		cmocka_unit_test(test_end_while_held),
		cmocka_unit_test(test_debugger_exits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
