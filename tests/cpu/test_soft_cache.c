/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_soft_cache.c - the cache of decoded blocks: what turns keep and lose,
 * code that changes meanwhile, and what an idle vCPU gives back.
 */
#include "sys_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include <vmm/engine.h>
#include <vmm/vm.h>

#include "cache.h"
#include "run.h"

extern const struct vm_engine_ops soft_engine_ops;

/* Apart from the fixture's tables; one block in each page. */
#define CODE	  0x400000ull
#define HOT	  (CODE + 0x100)
#define COLD(k)	  (CODE + 0x1000 + (uint64_t)(k)*0x100)
#define NCOLD	  1000u
#define SECOND_NS 1000000000ull

static int
setup(void **state, size_t bytes)
{
	struct fix *f = xcalloc(1, sizeof(*f));

	assert_int_equal(vm_new("t", &soft_engine_ops, &f->ctx), 0);
	vm_clock_manual(f->ctx);
	assert_int_equal(vm_set_code_cache(f->ctx, bytes), 0);
	assert_int_equal(vm_setup_memory(f->ctx, T_RAM, VM_MMAP_ALL), 0);
	f->vcpu = vm_vcpu_open(f->ctx, 0);
	assert_non_null(f->vcpu);
	f->c = vcpu_engine_state(f->vcpu);
	fix_long(f->c, 0);
	*state = f;
	return 0;
}

static int
setup_tiny(void **state)
{
	return setup(state, VM_CODE_CACHE_MIN);
}

static int
setup_default(void **state)
{
	return setup(state, 0);
}

static struct soft_cpu *
cpu_of(void **state)
{
	return ((struct fix *)*state)->c;
}

/* MOV EAX, val; HLT. */
static void
put_block(struct soft_cpu *c, uint64_t gpa, uint32_t val)
{
	poke(c, gpa, 8, 0xb8u | (uint64_t)val << 8 | 0xf4ull << 40);
}

/* Runs the block there: EAX. */
static uint32_t
run_at(struct soft_cpu *c, uint64_t rip)
{
	c->rip = rip;
	c->gpr[R_RAX] = 0;
	soft_run_until_exception(c, 4);
	assert_false(c->exc.pending);
	assert_int_equal(c->leave, LEAVE_HLT);
	return (uint32_t)c->gpr[R_RAX];
}

static uint64_t
stat_of(const struct soft_cpu *c, enum vm_stat s)
{
	return c->stats[s];
}

static void
put_all(struct soft_cpu *c)
{
	put_block(c, HOT, 0xabc);
	for (unsigned int k = 0; k < NCOLD; k++)
		put_block(c, COLD(k), k);
}

static void
run_cold(struct soft_cpu *c)
{
	for (unsigned int k = 0; k < NCOLD; k++)
		assert_int_equal(run_at(c, COLD(k)), k);
}

static void
test_turns_keep_what_is_used(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	uint64_t turns, built;

	put_all(c);
	for (unsigned int k = 0; k < NCOLD; k++) {
		assert_int_equal(run_at(c, COLD(k)), k);
		assert_int_equal(run_at(c, HOT), 0xabc);
	}
	turns = stat_of(c, VMSTAT_CODE_TURNS);
	built = stat_of(c, VMSTAT_BLOCKS_BUILT);
	assert_in_range(turns, 4, NCOLD / 50);
	assert_in_range(stat_of(c, VMSTAT_BLOCKS_KEPT), 1, turns);
	/* The hot one anew only where it was what filled a space. */
	assert_in_range(built, NCOLD + 1, NCOLD + 1 + turns);
	/* What nobody asked for is gone. */
	assert_int_equal(run_at(c, COLD(0)), 0);
	assert_int_equal(stat_of(c, VMSTAT_BLOCKS_BUILT), built + 1);
}

/* Until the space has turned `n` times more. */
static void
turn_over(struct soft_cpu *c, unsigned int n)
{
	uint64_t until = stat_of(c, VMSTAT_CODE_TURNS) + n;

	for (unsigned int k = 0; k < NCOLD; k++) {
		if (stat_of(c, VMSTAT_CODE_TURNS) >= until)
			return;
		assert_int_equal(run_at(c, COLD(k)), k);
	}
	fail_msg("no turn");
}

static void
test_code_written_while_old(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	put_all(c);
	assert_int_equal(run_at(c, HOT), 0xabc);
	turn_over(c, 1);
	put_block(c, HOT, 0xdef);
	assert_int_equal(run_at(c, HOT), 0xdef);
	turn_over(c, 1);
	assert_int_equal(run_at(c, HOT), 0xdef);
}

/* HOT jumps to a block of its page; links end with the blocks they lead to. */
static void
test_links_and_turns(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	put_all(c);
	poke(c, HOT, 2, 0x0eeb); /* JMP HOT + 16 */
	put_block(c, HOT + 16, 1);
	for (unsigned int turns = 0; turns < 4; turns++) {
		for (unsigned int k = 0; k < 3; k++)
			assert_int_equal(run_at(c, HOT), 1);
		turn_over(c, turns);
	}
	put_block(c, HOT + 16, 2);
	for (unsigned int k = 0; k < 3; k++)
		assert_int_equal(run_at(c, HOT), 2);
}

static void
test_flush(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	uint64_t built;

	put_all(c);
	assert_int_equal(run_at(c, HOT), 0xabc);
	built = stat_of(c, VMSTAT_BLOCKS_BUILT);
	cache_flush(c);
	assert_int_equal(run_at(c, HOT), 0xabc);
	assert_int_equal(stat_of(c, VMSTAT_BLOCKS_BUILT), built + 1);
}

/* --- idling --------------------------------------------------------------- */

static long
resident_kib(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long size, pages;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld %ld", &size, &pages), 2);
	fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* More than an idle vCPU may keep: each run has new code. */
static void
fill(struct soft_cpu *c)
{
	for (unsigned int n = 0; n < 5; n++) {
		for (unsigned int k = 0; k < NCOLD; k++)
			put_block(c, COLD(k), k);
		run_cold(c);
	}
}

static uint64_t
idle_after(struct soft_cpu *c, uint64_t ns)
{
	uint64_t turns = stat_of(c, VMSTAT_CODE_TURNS);

	vm_clock_advance(c->ctx, ns);
	cache_idle(c);
	return stat_of(c, VMSTAT_CODE_TURNS) - turns;
}

static void
test_idle_gives_back(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	long before;
	uint64_t built;

	put_all(c);
	assert_int_equal(run_at(c, HOT), 0xabc);
	fill(c);
	before = resident_kib();
	built = stat_of(c, VMSTAT_BLOCKS_BUILT);
	assert_int_equal(idle_after(c, SECOND_NS / 2), 0);
	assert_int_equal(idle_after(c, 2 * SECOND_NS), 1);
	/* What runs meanwhile is copied ... */
	assert_int_equal(run_at(c, HOT), 0xabc);
	assert_int_equal(idle_after(c, SECOND_NS / 2), 0);
	assert_int_equal(idle_after(c, 2 * SECOND_NS), 1);
	/* ... the rest is given back, and then there is nothing to do. */
	assert_in_range(before - resident_kib(), 400, 100000);
	assert_int_equal(idle_after(c, 3 * SECOND_NS), 0);
	assert_int_equal(run_at(c, HOT), 0xabc);
	assert_int_equal(stat_of(c, VMSTAT_BLOCKS_BUILT), built);
	run_cold(c);
}

/* A vCPU that works and sleeps in turn keeps its code. */
static void
test_busy_keeps(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	put_all(c);
	fill(c);
	for (unsigned int n = 0; n < 5; n++) {
		c->insns += 300000000;
		assert_int_equal(idle_after(c, 3 * SECOND_NS), 0);
	}
	assert_int_equal(idle_after(c, 3 * SECOND_NS), 1);
}

/* --- the setting ---------------------------------------------------------- */

static void
test_sizes(void **state)
{
	static const size_t sizes[] = { VM_CODE_CACHE_MIN,
		VM_CODE_CACHE_MIN + 1, 100001, 1u << 20, VM_CODE_CACHE_MAX };

	(void)state;
	for (size_t n = 0; n < ARRAY_LEN(sizes); n++) {
		void *own;

		setup(&own, sizes[n]);
		put_all(cpu_of(&own));
		run_cold(cpu_of(&own));
		run_cold(cpu_of(&own));
		fix_teardown(&own);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_turns_keep_what_is_used, setup_tiny, fix_teardown),
		cmocka_unit_test_setup_teardown(
		    test_code_written_while_old, setup_tiny, fix_teardown),
		cmocka_unit_test_setup_teardown(
		    test_links_and_turns, setup_tiny, fix_teardown),
		cmocka_unit_test_setup_teardown(
		    test_flush, setup_tiny, fix_teardown),
		cmocka_unit_test_setup_teardown(
		    test_idle_gives_back, setup_default, fix_teardown),
		cmocka_unit_test_setup_teardown(
		    test_busy_keeps, setup_default, fix_teardown),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
