/* SPDX-License-Identifier: BSD-2-Clause */
/* MSRs that do nothing, by the vendor of the guest's processor. */
#include "board.h"

#include <errno.h>

#include <chip/chips.h>

/* What a read and a write of one register come to. */
struct expect {
	uint32_t msr;
	enum msr_result read, write;
	uint64_t value;
};

static void
check(enum vm_cpu_vendor vendor, const struct expect *e, size_t n)
{
	struct board b;

	board_init(&b);
	vm_set_cpu_vendor(b.ctx, vendor);
	assert_int_equal(xmsr_create(b.ctx), 0);
	for (size_t i = 0; i < n; i++) {
		uint64_t val = 0x5555;

		assert_int_equal(bus_wrmsr(b.vcpu, e[i].msr, 7), e[i].write);
		assert_int_equal(bus_rdmsr(b.vcpu, e[i].msr, &val), e[i].read);
		if (e[i].read == MSR_OK) /* the write left no trace */
			assert_true(val == e[i].value);
	}
	board_fini(&b);
}

static void
test_intel(void **state)
{
	static const struct expect table[] = {
		{ 0x17, MSR_OK, MSR_GP, 0 },
		{ 0x79, MSR_GP, MSR_OK, 0 },
		{ 0x8b, MSR_OK, MSR_OK, 0 },
		{ 0x606, MSR_OK, MSR_GP, 0xa1003 },
		{ 0x611, MSR_OK, MSR_GP, 0 },
		{ 0x619, MSR_OK, MSR_GP, 0 },
		{ 0x639, MSR_OK, MSR_GP, 0 },
		{ 0x641, MSR_OK, MSR_GP, 0 },
		{ 0xc24, MSR_GP, MSR_OK, 0 },
		{ 0xd04, MSR_GP, MSR_OK, 0 },
		/* Of the other vendor, and of nobody. */
		{ 0xc0010015, MSR_UNKNOWN, MSR_UNKNOWN, 0 },
		{ 0x607, MSR_UNKNOWN, MSR_UNKNOWN, 0 },
	};

	check(VM_CPU_INTEL, table, ARRAY_LEN(table));
}

static void
test_amd(void **state)
{
	static const struct expect table[] = {
		{ 0x17, MSR_OK, MSR_GP, 0 },
		{ 0x8b, MSR_OK, MSR_OK, 0 },
		{ 0xc0010000, MSR_OK, MSR_OK, 0 },
		{ 0xc0010007, MSR_OK, MSR_OK, 0 },
		{ 0xc0010015, MSR_OK, MSR_OK, 0 },
		{ 0xc001001f, MSR_OK, MSR_OK, 0 },
		{ 0xc0010020, MSR_GP, MSR_OK, 0 },
		{ 0xc0010062, MSR_OK, MSR_OK, 0 },
		{ 0xc0010140, MSR_OK, MSR_OK, 0 },
		{ 0xc0011020, MSR_OK, MSR_OK, 0 },
		{ 0xc0011021, MSR_OK, MSR_OK, 0 },
		{ 0xc0011029, MSR_OK, MSR_OK, 1 },
		{ 0x606, MSR_UNKNOWN, MSR_UNKNOWN, 0 },
		{ 0x79, MSR_UNKNOWN, MSR_UNKNOWN, 0 },
		{ 0xc0010008, MSR_UNKNOWN, MSR_UNKNOWN, 0 },
	};

	check(VM_CPU_AMD, table, ARRAY_LEN(table));
}

static void
test_other(void **state)
{
	static const struct expect table[] = {
		{ 0x0, MSR_OK, MSR_OK, 0 },
		{ 0x1, MSR_OK, MSR_OK, 0 },
		{ 0x8b, MSR_OK, MSR_OK, 0 },
		{ 0xce, MSR_OK, MSR_GP, 0 },
		{ 0x606, MSR_UNKNOWN, MSR_UNKNOWN, 0 },
		{ 0xc0010015, MSR_UNKNOWN, MSR_UNKNOWN, 0 },
	};

	check(VM_CPU_OTHER, table, ARRAY_LEN(table));
}

static int
read_nothing(struct vcpu *vcpu, uint32_t msr, uint64_t *val, void *arg)
{
	return 0;
}

static void
test_taken(void **state)
{
	const struct msr_range range = {
		.name = "x", .first = 0x606, .last = 0x606, .read = read_nothing
	};
	struct board b;

	board_init(&b);
	vm_set_cpu_vendor(b.ctx, VM_CPU_INTEL);
	assert_int_equal(bus_msr_register(b.ctx, &range), 0);
	assert_int_equal(xmsr_create(b.ctx), -EEXIST);
	board_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intel),
		cmocka_unit_test(test_amd),
		cmocka_unit_test(test_other),
		cmocka_unit_test(test_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
