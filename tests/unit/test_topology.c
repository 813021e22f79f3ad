/* SPDX-License-Identifier: BSD-2-Clause */
/* test_topology.c - APIC ids of every machine that can be asked for. */
#include "test.h"

#include <util/util.h>
#include <vmm/topology.h>

static void
check(const struct vm_topology *t)
{
	uint32_t core_mask = BIT(vm_topology_package_bits(t)) - 1;
	bool power = (t->cores & (t->cores - 1)) == 0 &&
		     (t->threads & (t->threads - 1)) == 0;
	int last = -1;

	for (uint32_t id = 0; id < t->ncpus; id++) {
		uint32_t apic = vm_topology_apic_id(t, id);

		/* Rising, so different; 255 is everybody in xAPIC mode. */
		assert_true((int)apic > last && apic < 255);
		last = (int)apic;
		assert_int_equal(apic & (BIT(vm_topology_thread_bits(t)) - 1),
		    id % t->threads);
		assert_int_equal(
		    (apic & core_mask) >> vm_topology_thread_bits(t),
		    id / t->threads % t->cores);
		assert_int_equal(apic >> vm_topology_package_bits(t),
		    id / t->threads / t->cores);
		assert_int_equal(vm_topology_vcpu_of(t, apic), id);
		if (power)
			assert_int_equal(apic, id);
	}
	assert_int_equal(vm_topology_vcpu_of(t, (uint32_t)last + 1), -1);
}

static void
every_topology(void **state)
{
	unsigned int n = 0;

	for (uint16_t s = 1; s <= VM_MAXCPU; s++)
		for (uint16_t c = 1; s * c <= VM_MAXCPU; c++)
			for (uint16_t t = 1; s * c * t <= VM_MAXCPU; t++) {
				check(&(struct vm_topology){
				    (uint16_t)(s * c * t), s, c, t });
				n++;
			}
	assert_true(n > 500);
}

static void
bits(void **state)
{
	static const uint8_t table[][2] = { { 0, 0 }, { 1, 0 }, { 2, 1 },
		{ 3, 2 }, { 4, 2 }, { 5, 3 }, { 8, 3 }, { 9, 4 }, { 64, 6 } };

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		assert_int_equal(
		    vm_topology_bits_for(table[i][0]), table[i][1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_topology),
		cmocka_unit_test(bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
