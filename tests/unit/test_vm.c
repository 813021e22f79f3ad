/* SPDX-License-Identifier: BSD-2-Clause */
/* test_vm.c - opening and closing, names, topology, registers, capabilities. */
#include "test.h"

#include <errno.h>
#include <unistd.h>

#include <util/log.h>
#include <vmm/event.h>
#include <vmm/platform.h>

#include "fake_engine.h"

/* The table that src/engine/table.c has for the real ones. */
static int
probe_fails(char *why, size_t why_len)
{
	snprintf(why, why_len, "never works");
	return -ENOSYS;
}

static const struct vm_engine_ops engine_absent = {
	.name = "absent",
	.probe = probe_fails,
};
const struct vm_engine_ops *const vm_engine_table[] = { &engine_absent,
	&fake_engine, &fake_engine_broken };
const size_t vm_engine_table_len = ARRAY_LEN(vm_engine_table);

/* The chips that src/chip/platform.c has. */
static int platform_err;
static unsigned int platforms_made;
static unsigned int platform_ncpus;
static size_t platform_lowmem;

int
vm_platform_create(struct vmctx *ctx, const struct vm_platform_opts *opts,
    const char **ret_part)
{
	*ret_part = "nothing";
	platforms_made++;
	platform_ncpus = vm_ncpus(ctx);
	platform_lowmem = vm_get_lowmem_size(ctx);
	assert_true(opts->utc && !opts->x2apic);
	for (unsigned int i = 0; i < platform_ncpus; i++)
		assert_non_null(vm_vcpu_get(ctx, i));
	return platform_err;
}

static void
open_close(void **state)
{
	struct vmctx *a, *b, *c;

	assert_null(vm_openf("one", 0, NULL));
	assert_int_equal(errno, ENOENT);
	a = vm_openf("one", VMMAPI_OPEN_CREATE, NULL);
	assert_non_null(a);
	assert_string_equal(vm_get_name(a), "one");
	assert_string_equal(vm_get_engine(a), "fake"); /* absent was skipped */
	assert_ptr_equal(vm_engine(a), &fake_engine);
	b = vm_openf("two", VMMAPI_OPEN_CREATE, "fake");
	assert_non_null(b);
	/* The same machine once more, with and without CREATE. */
	c = vm_openf("one", 0, "fake");
	assert_ptr_equal(c, a);
	assert_null(vm_openf("one", VMMAPI_OPEN_CREATE, "absent"));
	assert_int_equal(errno, EEXIST);
	assert_int_equal(fake_vms_alive, 2);
	vm_close(c);
	assert_int_equal(fake_vms_alive, 2);
	vm_close(a);
	assert_int_equal(fake_vms_alive, 1);
	assert_null(vm_openf("one", 0, NULL));
	assert_int_equal(errno, ENOENT);
	vm_close(b);
	vm_close(NULL);
	assert_int_equal(fake_vms_alive, 0);
}

static void
open_failing_changes_nothing(void **state)
{
	assert_null(vm_openf("x", VMMAPI_OPEN_CREATE, "broken"));
	assert_int_equal(errno, ENODEV);
	assert_null(vm_openf("x", VMMAPI_OPEN_CREATE, "absent"));
	assert_int_equal(errno, ENOSYS);
	assert_null(vm_openf("x", VMMAPI_OPEN_CREATE, "unheard-of"));
	assert_int_equal(errno, EINVAL);
	assert_null(vm_openf("x", 0x80, NULL));
	assert_int_equal(errno, EINVAL);
	assert_null(vm_openf("x", 0, NULL));
	assert_int_equal(errno, ENOENT);
}

/* --- vm_create() and vm_destroy() ----------------------------------------- */

static void
create_open_destroy(void **state)
{
	struct vmctx *a, *b;

	assert_null(vm_open("kept"));
	assert_int_equal(errno, ENOENT);
	assert_int_equal(vm_create("a/b"), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_create("kept"), 0);
	assert_int_equal(vm_create("kept"), -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(fake_vms_alive, 1);
	a = vm_open("kept");
	assert_non_null(a);
	vm_close(a);
	assert_int_equal(fake_vms_alive, 1); /* without a handle, too */
	a = vm_open("kept");
	b = vm_openf("kept", VMMAPI_OPEN_CREATE, "fake");
	assert_ptr_equal(a, b);
	/* The name is free, the other handle hears of it. */
	vm_destroy(a);
	assert_null(vm_open("kept"));
	assert_int_equal(vm_suspended(b), VM_SUSPEND_DESTROY);
	assert_int_equal(fake_vms_alive, 1);
	assert_int_equal(vm_create("kept"), 0);
	assert_int_equal(fake_vms_alive, 2);
	vm_close(b);
	assert_int_equal(fake_vms_alive, 1);
	vm_destroy(vm_open("kept"));
	assert_int_equal(fake_vms_alive, 0);
	vm_destroy(NULL);
	/* What vm_openf() and vm_new() made can be destroyed as well. */
	vm_destroy(vm_openf("x", VMMAPI_OPEN_CREATE, NULL));
	assert_int_equal(vm_new("x", &fake_engine, &a), 0);
	vm_destroy(a);
	assert_int_equal(fake_vms_alive, 0);
}

static void
reinit_on_open(void **state)
{
	struct vmctx *a = vm_openf(
	    "r", VMMAPI_OPEN_CREATE | VMMAPI_OPEN_DESTROY_ON_CLOSE, NULL);
	struct vcpu *v = vm_vcpu_open(a, 0);

	assert_int_equal(vm_suspend(a, VM_SUSPEND_HALT), 0);
	assert_ptr_equal(vm_openf("r", 0, NULL), a);
	assert_int_equal(vm_suspended(a), VM_SUSPEND_HALT);
	assert_ptr_equal(vm_openf("r", VMMAPI_OPEN_REINIT, NULL), a);
	assert_int_equal(vm_suspended(a), VM_SUSPEND_NONE);
	assert_int_equal(fake_vcpu(v)->resets, 1);
	vm_close(a);
	vm_close(a);
	vm_close(a);
	assert_int_equal(fake_vms_alive, 0);
}

/* Opens its own machine with REINIT, while it runs. */
static int
reinit_from_guest(struct vcpu *vcpu, struct vm_exit *x)
{
	assert_null(vm_openf("r", VMMAPI_OPEN_REINIT, NULL));
	assert_int_equal(errno, EBUSY);
	return 0;
}

static void
reinit_of_a_running_machine(void **state)
{
	struct vmctx *a = vm_openf("r", VMMAPI_OPEN_CREATE, NULL);
	struct vm_exit x;

	fake_vm(a)->guest = reinit_from_guest;
	assert_int_equal(vm_run(vm_vcpu_open(a, 0), &x), 0);
	vm_close(a); /* the failed open took no handle */
	assert_int_equal(fake_vms_alive, 0);
}

/* --- the platform comes with the first need ------------------------------- */

static void
platform_on_demand(void **state)
{
	struct vmctx *ctx = vm_openf("p", VMMAPI_OPEN_CREATE, NULL);
	struct vm_exit x;
	uint32_t caps;

	platforms_made = 0;
	assert_non_null(vm_vcpu_open(ctx, 2));
	assert_int_equal(vm_setup_memory(ctx, 2 << 20, VM_MMAP_ALL), 0);
	assert_int_equal(platforms_made, 0);
	vcpu_post(vm_vcpu_open(ctx, 2), VCPU_EV_STOP);
	assert_int_equal(vm_run(vm_vcpu_open(ctx, 2), &x), 0);
	assert_int_equal(platforms_made, 1);
	assert_int_equal(platform_ncpus, 3);
	assert_int_equal(platform_lowmem, 2 << 20);
	vcpu_post(vm_vcpu_open(ctx, 0), VCPU_EV_STOP);
	assert_int_equal(vm_run(vm_vcpu_open(ctx, 0), &x), 0);
	assert_int_equal(platforms_made, 1);
	/* Processors are settled. */
	assert_null(vm_vcpu_open(ctx, 3));
	assert_int_equal(errno, EINVAL);
	/* This one has no chips to answer. */
	assert_int_equal(vm_get_hpet_capabilities(ctx, &caps), -1);
	assert_int_equal(errno, ENXIO);
	vm_close(ctx);
}

static void
drop_line(enum log_level level, const char *line)
{
}

static void
platform_that_fails(void **state)
{
	struct vmctx *ctx = vm_openf("p", VMMAPI_OPEN_CREATE, NULL);
	struct vcpu *v = vm_vcpu_open(ctx, 0);
	struct vm_exit x;
	uint32_t caps;
	uint8_t byte;
	time_t t;

	log_set_sink(drop_line);
	platforms_made = 0;
	platform_err = -ENOSPC;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(vm_run(v, &x), -1);
		assert_int_equal(errno, ENOSPC);
	}
	platform_err = 0;
	assert_int_equal(vm_lapic_msi(ctx, 0xfee00000, 0x41), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(vm_lapic_local_irq(v, VM_LVT_LINT0), -1);
	assert_int_equal(vm_lapic_local_irq_all(ctx, VM_LVT_LINT0), -1);
	assert_int_equal(vm_isa_set_irq_trigger(ctx, 5, LEVEL_TRIGGER), -1);
	assert_int_equal(vm_get_hpet_capabilities(ctx, &caps), -1);
	assert_int_equal(vm_rtc_read(ctx, 0, &byte), -1);
	assert_int_equal(vm_rtc_write(ctx, 0x40, 0), -1);
	assert_int_equal(vm_rtc_gettime(ctx, &t), -1);
	assert_int_equal(vm_rtc_settime(ctx, 0), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(platforms_made, 1); /* once */
	vm_close(ctx);
}

/* Timers go off while the program does nothing. */
static uint32_t fired;

static void
timer_fired(void *arg)
{
	__atomic_store_n(&fired, 1, __ATOMIC_SEQ_CST);
}

static void
event_thread(void **state)
{
	struct vmctx *ctx = vm_openf("p", VMMAPI_OPEN_CREATE, NULL);
	struct evtimer *timer;

	timer = evtimer_create(ctx, "test", NULL, timer_fired, NULL);
	assert_int_equal(vm_lapic_msi(ctx, 0xfee00000, 0x41), -1);
	assert_int_equal(errno, ENXIO); /* no controllers in this platform */
	evtimer_arm(timer, vm_clock_ns(ctx) + 1000000);
	alarm(30);
	while (__atomic_load_n(&fired, __ATOMIC_SEQ_CST) == 0)
		usleep(1000);
	alarm(0);
	evtimer_del(timer);
	vm_close(ctx);
}

static void
names(void **state)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "/",
		"123456789012345678901234567890123" };
	static const char *const good[] = { "a", "...", ".a", "a b",
		"12345678901234567890123456789012" };
	struct vmctx *ctx;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_null(vm_openf(bad[i], VMMAPI_OPEN_CREATE, NULL));
		assert_int_equal(errno, EINVAL);
		assert_int_equal(vm_new(bad[i], &fake_engine, &ctx), -EINVAL);
	}
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(vm_new(good[i], &fake_engine, &ctx), 0);
		assert_string_equal(vm_get_name(ctx), good[i]);
		vm_close(ctx);
	}
}

static void
topology(void **state)
{
	static const struct vm_topology bad[] = { { 0, 0, 0, 0 },
		{ 65, 65, 1, 1 }, { 4, 2, 1, 1 }, { 4, 2, 2, 2 },
		{ 1, 65535, 65535, 65535 }, { 0, 0, 1, 1 } };
	const struct vm_topology good = { 8, 2, 2, 2 };
	struct vmctx *ctx;

	assert_int_equal(vm_new("t", &fake_engine, &ctx), 0);
	assert_int_equal(vm_ncpus(ctx), 1);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(vm_topology_set(ctx, &bad[i]), -EINVAL);
	assert_int_equal(vm_topology_set(ctx, &good), 0);
	assert_int_equal(vm_ncpus(ctx), 8);
	assert_int_equal(vm_topology_get(ctx)->cores, 2);
	assert_non_null(vm_vcpu_open(ctx, 7));
	assert_int_equal(vm_topology_set(ctx, &good), -EBUSY);
	assert_null(vm_vcpu_open(ctx, 8));
	assert_int_equal(errno, EINVAL);
	assert_null(vm_vcpu_open(ctx, -1));
	assert_null(vm_vcpu_open(ctx, VM_MAXCPU));
	assert_ptr_equal(vm_vcpu_open(ctx, 7), vm_vcpu_get(ctx, 7));
	assert_null(vm_vcpu_get(ctx, 3));
	assert_null(vm_vcpu_get(ctx, 64));
	assert_int_equal(vcpu_id(vm_vcpu_get(ctx, 7)), 7);
	assert_ptr_equal(vcpu_vm(vm_vcpu_get(ctx, 7)), ctx);
	vm_close(ctx);
}

static void
topology_of_the_api(void **state)
{
	uint16_t s, c, t, max = 9;
	struct vmctx *ctx;

	assert_int_equal(vm_new("t", &fake_engine, &ctx), 0);
	assert_int_equal(vm_set_topology(ctx, 2, 2, 2, 1), -1);
	assert_int_equal(vm_set_topology(ctx, 65, 1, 1, 0), -1);
	assert_int_equal(vm_set_topology(ctx, 256, 256, 1, 0), -1);
	assert_int_equal(vm_set_topology(ctx, 1, 0, 1, 0), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_set_topology(ctx, 2, 3, 4, 0), 0);
	assert_int_equal(vm_get_topology(ctx, &s, &c, &t, &max), 0);
	assert_true(s == 2 && c == 3 && t == 4 && max == 0);
	assert_int_equal(vm_ncpus(ctx), 24);
	assert_non_null(vm_vcpu_open(ctx, 23));
	assert_int_equal(vm_set_topology(ctx, 2, 3, 4, 0), -1);
	assert_int_equal(errno, EBUSY);
	/* Cores 0-2 of a package, and no core 3 (vmm/topology.h). */
	assert_int_equal(vm_apicid2vcpu(ctx, 0xb), 11);
	assert_int_equal(vm_apicid2vcpu(ctx, 0xc), -1);
	assert_int_equal(vm_apicid2vcpu(ctx, 0x10), 12);
	assert_int_equal(vm_apicid2vcpu(ctx, 0x1b), 23);
	assert_int_equal(vm_apicid2vcpu(ctx, 0x1c), -1);
	assert_int_equal(vm_apicid2vcpu(ctx, -1), -1);
	assert_int_equal(errno, EINVAL);
	vm_close(ctx);
}

/* A program of FreeBSD's that never heard of topologies. */
static void
topology_unsaid(void **state)
{
	struct vmctx *ctx;

	assert_int_equal(vm_new("t", &fake_engine, &ctx), 0);
	assert_non_null(vm_vcpu_open(ctx, 2));
	assert_non_null(vm_vcpu_open(ctx, 0));
	assert_int_equal(vm_ncpus(ctx), 3);
	assert_int_equal(vm_topology_get(ctx)->sockets, 3);
	vm_close(ctx);
}

static void
registers(void **state)
{
	struct vmctx *ctx = fake_vm_new(1, NULL);
	struct vcpu *v = vm_vcpu_get(ctx, 0);
	uint64_t val, base;
	uint32_t limit, access;

	assert_int_equal(vm_set_register(v, VM_REG_GUEST_CR8, 5), 0);
	assert_int_equal(vm_get_register(v, VM_REG_GUEST_CR8, &val), 0);
	assert_int_equal(val, 5);
	assert_int_equal(vm_set_register(v, VM_REG_LAST, 5), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_get_register(v, -1, &val), -1);
	assert_int_equal(
	    vm_set_desc(v, VM_REG_GUEST_GDTR, 0x1234, 0xffff, 0), 0);
	assert_int_equal(
	    vm_get_desc(v, VM_REG_GUEST_GDTR, &base, &limit, &access), 0);
	assert_true(base == 0x1234 && limit == 0xffff && access == 0);
	assert_int_equal(vm_set_desc(v, VM_REG_GUEST_RAX, 0, 0, 0), -1);
	assert_int_equal(
	    vm_get_desc(v, VM_REG_LAST, &base, &limit, &access), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_gla2gpa_nofault(v, 0x5000, &val), 0);
	assert_int_equal(val, 0x5000);
	assert_int_equal(vm_gla2gpa_nofault(v, 1ull << 40, &val), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(vcpu_reset(v), 0);
	assert_int_equal(fake_vcpu(v)->resets, 1);
	vm_close(ctx);
}

static void
capabilities(void **state)
{
	struct vmctx *ctx = fake_vm_new(1, NULL);
	struct vcpu *v = vm_vcpu_get(ctx, 0);
	enum x2apic_state st = X2APIC_STATE_LAST;
	int val;

	for (int i = 0; i < VM_CAP_MAX; i++)
		assert_int_equal(
		    vm_capability_name2type(vm_capability_type2name(i)), i);
	assert_int_equal(vm_capability_name2type("hlt_exit"), VM_CAP_HALT_EXIT);
	assert_int_equal(vm_capability_name2type("nope"), -1);
	assert_null(vm_capability_type2name(VM_CAP_MAX));
	assert_null(vm_capability_type2name(-1));
	assert_int_equal(vm_set_capability(v, VM_CAP_HALT_EXIT, 1), 0);
	assert_int_equal(vm_get_capability(v, VM_CAP_HALT_EXIT, &val), 0);
	assert_int_equal(val, 1);
	assert_int_equal(vm_set_capability(v, VM_CAP_PAUSE_EXIT, 1), -1);
	assert_int_equal(errno, ENOTSUP);
	assert_int_equal(vm_set_capability(v, VM_CAP_MAX, 1), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_get_x2apic_state(v, &st), 0);
	assert_int_equal(st, X2APIC_DISABLED);
	assert_int_equal(vm_set_x2apic_state(v, X2APIC_ENABLED), 0);
	assert_int_equal(vm_get_x2apic_state(v, &st), 0);
	assert_int_equal(st, X2APIC_ENABLED);
	assert_int_equal(vm_set_x2apic_state(v, X2APIC_STATE_LAST), -1);
	vm_close(ctx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_close),
		cmocka_unit_test(open_failing_changes_nothing),
		cmocka_unit_test(create_open_destroy),
		cmocka_unit_test(reinit_on_open),
		cmocka_unit_test(reinit_of_a_running_machine),
		cmocka_unit_test(platform_on_demand),
		cmocka_unit_test(platform_that_fails),
		cmocka_unit_test(event_thread),
		cmocka_unit_test(names),
		cmocka_unit_test(topology),
		cmocka_unit_test(topology_of_the_api),
		cmocka_unit_test(topology_unsaid),
		cmocka_unit_test(registers),
		cmocka_unit_test(capabilities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
