/* SPDX-License-Identifier: BSD-2-Clause */
/* test_vm.c - opening and closing, names, topology, registers, capabilities. */
#include "test.h"

#include <errno.h>

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
		assert_int_equal(vm_set_topology(ctx, &bad[i]), -EINVAL);
	assert_int_equal(vm_set_topology(ctx, &good), 0);
	assert_int_equal(vm_ncpus(ctx), 8);
	assert_int_equal(vm_get_topology(ctx)->cores, 2);
	assert_non_null(vm_vcpu_open(ctx, 7));
	assert_int_equal(vm_set_topology(ctx, &good), -EBUSY);
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

/* A program of FreeBSD's that never heard of topologies. */
static void
topology_unsaid(void **state)
{
	struct vmctx *ctx;

	assert_int_equal(vm_new("t", &fake_engine, &ctx), 0);
	assert_non_null(vm_vcpu_open(ctx, 2));
	assert_non_null(vm_vcpu_open(ctx, 0));
	assert_int_equal(vm_ncpus(ctx), 3);
	assert_int_equal(vm_get_topology(ctx)->sockets, 3);
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
		cmocka_unit_test(names),
		cmocka_unit_test(topology),
		cmocka_unit_test(topology_unsaid),
		cmocka_unit_test(registers),
		cmocka_unit_test(capabilities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
