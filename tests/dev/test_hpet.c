/* SPDX-License-Identifier: BSD-2-Clause */
/* HPET: registers, one-shot and periodic timers, the three kinds of interrupt.
 */
#include "board.h"

#include <errno.h>
#include <time.h>

#include <chip/chips.h>

#define BASE	 0xfed00000ull
#define CAP	 (BASE + 0x000)
#define CONF	 (BASE + 0x010)
#define STA	 (BASE + 0x020)
#define CNT	 (BASE + 0x0f0)
#define TCONF(n) (BASE + 0x100 + 0x20ull * (n))
#define TCOMP(n) (BASE + 0x108 + 0x20ull * (n))
#define TFSB(n)	 (BASE + 0x110 + 0x20ull * (n))

#define LEVEL	 0x0002u
#define ENB	 0x0004u
#define PERIODIC 0x0008u
#define VAL_SET	 0x0040u
#define FSB	 0x4000u
#define ROUTE(n) ((uint32_t)(n) << 9)

#define TICK	 100ull /* ns */

static void
setup(struct board *b)
{
	board_init(b);
	assert_int_equal(hpet_create(b->ctx), 0);
}

static void
ticks(struct board *b, uint64_t n)
{
	vm_clock_advance(b->ctx, n * TICK);
}

static uint32_t
rd(struct board *b, uint64_t gpa)
{
	return (uint32_t)board_read(b, gpa, 4);
}

static void
wr(struct board *b, uint64_t gpa, uint32_t val)
{
	board_write(b, gpa, 4, val);
}

static void
test_capabilities(void **state)
{
	struct board b;

	setup(&b);
	assert_int_equal(rd(&b, CAP), HPET_CAPABILITIES);
	assert_int_equal(rd(&b, CAP + 4), 100000000);
	assert_true(
	    board_read(&b, CAP, 8) == (100000000ull << 32 | 0x80860701));
	wr(&b, CAP, 0);
	assert_int_equal(rd(&b, CAP), 0x80860701);
	for (unsigned int i = 0; i < 8; i++) {
		assert_true(
		    board_read(&b, TCONF(i), 8) == 0x00f0000000008010ull);
		assert_true(board_read(&b, TCOMP(i), 8) == UINT32_MAX);
	}
	/* Reserved registers, a ninth timer. */
	assert_int_equal(rd(&b, BASE + 0x08), 0);
	assert_int_equal(rd(&b, BASE + 0x200), 0);
	assert_int_equal(rd(&b, BASE + 0x3fc), 0);
	wr(&b, BASE + 0x200, 5);
	wr(&b, BASE + 0x3f8, 5);
	wr(&b, TCONF(0) + 0x18, 5);
	assert_int_equal(rd(&b, TCONF(0) + 0x18), 0);
	board_fini(&b);
}

static void
test_counter(void **state)
{
	struct board b;

	setup(&b);
	ticks(&b, 50);
	assert_int_equal(rd(&b, CNT), 0);
	wr(&b, CNT, 1000);
	wr(&b, CONF, 3); /* legacy replacement is not there */
	assert_int_equal(rd(&b, CONF), 1);
	ticks(&b, 50);
	assert_int_equal(rd(&b, CNT), 1050);
	wr(&b, CNT, 7); /* runs: ignored */
	assert_int_equal(rd(&b, CNT), 1050);
	wr(&b, CONF, 0);
	ticks(&b, 50);
	assert_int_equal(rd(&b, CNT), 1050);
	wr(&b, CNT, 0xfffffff0);
	wr(&b, CNT + 4, 0x1234); /* there are 32 bits */
	wr(&b, CONF, 1);
	ticks(&b, 0x20);
	assert_true(board_read(&b, CNT, 8) == 0x10);
	board_fini(&b);
}

static void
test_widths(void **state)
{
	struct board b;

	setup(&b);
	assert_int_equal(board_read(&b, CAP, 1), 0xff);
	assert_int_equal(board_read(&b, CAP, 2), 0xffff);
	assert_int_equal(board_read(&b, CAP + 2, 4), UINT32_MAX);
	assert_true(board_read(&b, CAP + 4, 8) == UINT64_MAX);
	board_write(&b, CONF, 1, 1);
	board_write(&b, CONF, 2, 1);
	board_write(&b, CONF + 2, 4, 1);
	board_write(&b, CONF - 4, 8, 1ull << 32);
	assert_int_equal(rd(&b, CONF), 0);
	board_write(&b, CONF, 8, 1);
	assert_int_equal(rd(&b, CONF), 1);
	board_write(&b, TFSB(1), 8, 0xfee0100000004021ull);
	assert_int_equal(rd(&b, TFSB(1)), 0x4021);
	assert_int_equal(rd(&b, TFSB(1) + 4), 0xfee01000);
	wr(&b, TFSB(1) + 4, 0xfee02000);
	assert_true(board_read(&b, TFSB(1), 8) == 0xfee0200000004021ull);
	board_fini(&b);
}

static void
test_route(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, TCONF(2), ROUTE(21));
	assert_int_equal(rd(&b, TCONF(2)), 0x8010 | ROUTE(21));
	wr(&b, TCONF(2), ROUTE(2));
	assert_int_equal(rd(&b, TCONF(2)), 0x8010);
	wr(&b, TCONF(2), ROUTE(31));
	assert_int_equal(rd(&b, TCONF(2)), 0x8010);
	wr(&b, TCONF(2) + 4, 0);
	assert_int_equal(rd(&b, TCONF(2) + 4), 0x00f00000);
	/* Read-only and reserved bits, VAL_SET without periodic. */
	wr(&b, TCONF(2), 0xffffffff & ~PERIODIC & ~ROUTE(31));
	assert_int_equal(rd(&b, TCONF(2)), 0x8010 | LEVEL | ENB | FSB);
	board_fini(&b);
}

static void
test_one_shot_edge(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, CONF, 1);
	wr(&b, TCONF(0), ENB | ROUTE(20));
	ticks(&b, 10);
	wr(&b, TCOMP(0), 100);
	ticks(&b, 89);
	assert_int_equal(b.edges[20], 0);
	ticks(&b, 1);
	assert_int_equal(b.edges[20], 1);
	assert_false(b.level[20]);
	assert_int_equal(rd(&b, STA), 0);
	/* Still the same tick: it matched already. */
	wr(&b, TCONF(0), ENB | ROUTE(21));
	wr(&b, TCONF(0), ENB | ROUTE(20));
	ticks(&b, 100000);
	assert_int_equal(b.edges[21], 0);
	assert_int_equal(b.edges[20], 1);
	/* The counter comes round. */
	ticks(&b, 0x100000000ull);
	assert_int_equal(b.edges[20], 2);
	/* In the past: a wrap away.  Now: now. */
	wr(&b, TCOMP(0), rd(&b, CNT) - 1);
	ticks(&b, 0xfffffffeull);
	assert_int_equal(b.edges[20], 2);
	ticks(&b, 1);
	assert_int_equal(b.edges[20], 3);
	wr(&b, TCOMP(0), rd(&b, CNT));
	ticks(&b, 0);
	assert_int_equal(b.edges[20], 4);
	board_fini(&b);
}

static void
test_disabled_timer_is_silent(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, CONF, 1);
	wr(&b, TCONF(0), ROUTE(20));
	wr(&b, TCOMP(0), 100);
	wr(&b, TCONF(1), ENB); /* no route */
	wr(&b, TCOMP(1), 100);
	ticks(&b, 200);
	assert_int_equal(b.edges[20], 0);
	/* The global switch. */
	wr(&b, TCONF(0), ENB | ROUTE(20));
	wr(&b, TCOMP(0), 300);
	wr(&b, CONF, 0);
	ticks(&b, 1000);
	assert_int_equal(b.edges[20], 0);
	wr(&b, CONF, 1);
	ticks(&b, 99);
	assert_int_equal(b.edges[20], 0);
	ticks(&b, 1);
	assert_int_equal(b.edges[20], 1);
	board_fini(&b);
}

static void
test_level(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, CONF, 1);
	wr(&b, TCONF(3), LEVEL | ENB | ROUTE(22));
	wr(&b, TCOMP(3), 50);
	ticks(&b, 60);
	assert_true(b.level[22]);
	assert_int_equal(rd(&b, STA), 1 << 3);
	wr(&b, STA, 0xf7); /* others */
	assert_true(b.level[22]);
	wr(&b, CONF, 0); /* no interrupts while halted */
	assert_false(b.level[22]);
	wr(&b, CONF, 1);
	assert_true(b.level[22]);
	wr(&b, TCONF(3), LEVEL | ROUTE(22));
	assert_false(b.level[22]);
	wr(&b, TCONF(3), LEVEL | ENB | ROUTE(23)); /* moves */
	assert_false(b.level[22]);
	assert_true(b.level[23]);
	wr(&b, STA, 1 << 3);
	assert_false(b.level[23]);
	assert_int_equal(rd(&b, STA), 0);
	/* Status without interrupt; edge mode forgets it. */
	wr(&b, TCONF(3), LEVEL | ROUTE(23));
	wr(&b, TCOMP(3), 100);
	ticks(&b, 100);
	assert_int_equal(rd(&b, STA), 1 << 3);
	wr(&b, TCONF(3), ROUTE(23));
	assert_int_equal(rd(&b, STA), 0);
	board_fini(&b);
}

static void
test_level_shared(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, CONF, 1);
	for (unsigned int i = 0; i < 2; i++) {
		wr(&b, TCONF(i), LEVEL | ENB | ROUTE(20));
		wr(&b, TCOMP(i), 50);
	}
	ticks(&b, 60);
	wr(&b, STA, 1);
	assert_true(b.level[20]);
	wr(&b, STA, 2);
	assert_false(b.level[20]);
	board_fini(&b);
}

static void
test_fsb(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, CONF, 1);
	board_write(&b, TFSB(7), 8, 0xfee0300000000045ull);
	wr(&b, TCONF(7), FSB | ENB | ROUTE(20));
	wr(&b, TCOMP(7), 500);
	ticks(&b, 500);
	assert_int_equal(b.msis, 1);
	assert_int_equal(b.msi_addr, 0xfee03000);
	assert_int_equal(b.msi_data, 0x45);
	assert_int_equal(b.edges[20], 0);
	board_fini(&b);
}

/* One write with VAL_SET is period and first match. */
static void
test_periodic(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, TCONF(0), PERIODIC | VAL_SET | ENB | ROUTE(20));
	assert_true(rd(&b, TCONF(0)) & VAL_SET);
	wr(&b, TCOMP(0), 1000);
	assert_false(rd(&b, TCONF(0)) & VAL_SET);
	wr(&b, CONF, 1);
	ticks(&b, 999);
	assert_int_equal(b.edges[20], 0);
	ticks(&b, 1);
	assert_int_equal(b.edges[20], 1);
	assert_int_equal(rd(&b, TCOMP(0)), 2000);
	ticks(&b, 9000);
	assert_int_equal(b.edges[20], 10);
	/* Halted and going on. */
	wr(&b, CONF, 0);
	ticks(&b, 5000);
	assert_int_equal(b.edges[20], 10);
	wr(&b, CONF, 1);
	ticks(&b, 1000);
	assert_int_equal(b.edges[20], 11);
	board_fini(&b);
}

/* The order of Linux: comparator with VAL_SET, then the period. */
static void
test_periodic_linux(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, CONF, 1);
	ticks(&b, 5000);
	wr(&b, TCONF(0), PERIODIC | VAL_SET | ENB | ROUTE(20));
	wr(&b, TCOMP(0), 45000);
	ticks(&b, 10);
	wr(&b, TCOMP(0), 40000);
	assert_int_equal(rd(&b, TCOMP(0)), 45000);
	ticks(&b, 39990);
	assert_int_equal(b.edges[20], 1);
	ticks(&b, 40000);
	assert_int_equal(b.edges[20], 2);
	assert_int_equal(rd(&b, TCOMP(0)), 125000);
	board_fini(&b);
}

/* The same, when the host slept between the two writes. */
static void
test_periodic_late_period(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, CNT, 0x40000000);
	wr(&b, CONF, 1);
	wr(&b, TCONF(0), PERIODIC | VAL_SET | ENB | ROUTE(20));
	wr(&b, TCOMP(0), 0x40000000 + 40000);
	ticks(&b, 100000); /* matched meanwhile */
	assert_int_equal(b.edges[20], 1);
	wr(&b, TCOMP(0), 40000);
	ticks(&b, 20000);
	assert_int_equal(b.edges[20], 2);
	ticks(&b, 40000);
	assert_int_equal(b.edges[20], 3);
	board_fini(&b);
}

/* A period of 0 is no endless loop, and of 1 no storm. */
static void
test_tiny_periods(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, TCONF(0), PERIODIC | VAL_SET | ENB | ROUTE(20));
	wr(&b, TCOMP(0), 0);
	wr(&b, CONF, 1);
	ticks(&b, 1000);
	assert_int_equal(b.edges[20], 1);
	ticks(&b, 0x100000000ull);
	assert_int_equal(b.edges[20], 2);
	wr(&b, TCONF(1), PERIODIC | VAL_SET | ENB | ROUTE(21));
	wr(&b, TCOMP(1), rd(&b, CNT) + 1);
	wr(&b, TCOMP(1), 1);
	vm_clock_advance(b.ctx, 10 * MS);
	assert_in_range(b.edges[21], 10, 500);
	board_fini(&b);
}

/* Many periods late: one interrupt, then in step again. */
static void
test_overdue_fires_once(void **state)
{
	const struct timespec late = { .tv_nsec = 20 * 1000 * 1000 };
	struct board b = { 0 };
	uint32_t count;

	/* The host's clock, and nobody turns the loop for a while. */
	board_init_real_clock(&b);
	assert_int_equal(hpet_create(b.ctx), 0);
	wr(&b, TCONF(0), PERIODIC | VAL_SET | ENB | ROUTE(20));
	wr(&b, TCOMP(0), 30000); /* 3 ms */
	wr(&b, CONF, 1);
	nanosleep(&late, NULL);
	assert_int_equal(vm_event_poll(b.ctx, 0), 1);
	assert_int_equal(b.edges[20], 1);
	chips_pause(b.ctx);
	count = rd(&b, CNT);
	assert_true(count >= 200000);
	assert_int_equal(rd(&b, TCOMP(0)), (count / 30000 + 1) * 30000);
	board_fini(&b);
}

static void
test_pause_fires_what_is_due(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, CONF, 1);
	wr(&b, TCONF(0), ENB | ROUTE(20));
	wr(&b, TCOMP(0), 0); /* due now, the event thread has not come */
	assert_int_equal(b.edges[20], 0);
	chips_pause(b.ctx);
	assert_int_equal(b.edges[20], 1);
	chips_resume(b.ctx);
	ticks(&b, 10);
	assert_int_equal(b.edges[20], 1);
	board_fini(&b);
}

/* An access sees the state of its moment although no event has run. */
static void
test_access_catches_up(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, CONF, 1);
	wr(&b, TCONF(0), ENB | ROUTE(20));
	wr(&b, TCOMP(0), 0);
	wr(&b, TCONF(0), ROUTE(20)); /* too late to stop it */
	assert_int_equal(b.edges[20], 1);
	board_fini(&b);
}

static void
test_reset(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, CONF, 1);
	wr(&b, TCONF(3), LEVEL | ENB | PERIODIC | VAL_SET | ROUTE(22));
	wr(&b, TCOMP(3), 50);
	ticks(&b, 60);
	assert_true(b.level[22]);
	chips_reset(b.ctx);
	assert_false(b.level[22]);
	assert_int_equal(rd(&b, CONF), 0);
	assert_int_equal(rd(&b, CNT), 0);
	assert_int_equal(rd(&b, STA), 0);
	assert_int_equal(rd(&b, TCONF(3)), 0x8010);
	assert_int_equal(rd(&b, TCOMP(3)), UINT32_MAX);
	ticks(&b, 1000);
	assert_int_equal(b.edges[22], 1);
	board_fini(&b);
}

static void
test_snapshot(void **state)
{
	struct board b, c;

	setup(&b);
	setup(&c);
	wr(&b, CONF, 1);
	ticks(&b, 123);
	wr(&b, TCONF(0), PERIODIC | VAL_SET | ENB | ROUTE(20));
	wr(&b, TCOMP(0), 1000);
	wr(&b, TCONF(1), LEVEL | ENB | ROUTE(21));
	wr(&b, TCOMP(1), 200);
	ticks(&b, 400);
	ticks(&c, 99999); /* another machine, another clock */
	assert_int_equal(board_load(&c, board_save(&b)), 0);
	assert_int_equal(rd(&c, CNT), 523);
	assert_true(c.level[21]);
	assert_int_equal(rd(&c, STA), 2);
	ticks(&c, 476);
	assert_int_equal(c.edges[20], 0);
	ticks(&c, 1);
	assert_int_equal(c.edges[20], 1);
	ticks(&c, 1000);
	assert_int_equal(c.edges[20], 2);
	board_fini(&b);
	board_fini(&c);
}

static void
test_bad_snapshot(void **state)
{
	static const struct {
		size_t off;
		uint8_t val;
	} bad[] = {
		{ 0, 2 },     /* enabled */
		{ 5, 1 },     /* status of a ninth timer */
		{ 17, 0x02 }, /* route 1 */
		{ 19, 0x80 }, /* configuration bit 31 */
		{ 40, 2 },    /* val_set */
		{ 41, 2 },    /* matched */
	};
	struct board b;

	setup(&b);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(
		    board_load(&b, board_spoil(board_save(&b), "hpet",
				       bad[i].off, bad[i].val)),
		    -EINVAL);
	assert_int_equal(rd(&b, CONF), 0);
	board_fini(&b);
}

static void
test_taken(void **state)
{
	struct board b;

	setup(&b);
	assert_int_equal(hpet_create(b.ctx), -EEXIST);
	board_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_counter),
		cmocka_unit_test(test_widths),
		cmocka_unit_test(test_route),
		cmocka_unit_test(test_one_shot_edge),
		cmocka_unit_test(test_disabled_timer_is_silent),
		cmocka_unit_test(test_level),
		cmocka_unit_test(test_level_shared),
		cmocka_unit_test(test_fsb),
		cmocka_unit_test(test_periodic),
		cmocka_unit_test(test_periodic_linux),
		cmocka_unit_test(test_periodic_late_period),
		cmocka_unit_test(test_tiny_periods),
		cmocka_unit_test(test_overdue_fires_once),
		cmocka_unit_test(test_pause_fires_what_is_due),
		cmocka_unit_test(test_access_catches_up),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_snapshot),
		cmocka_unit_test(test_bad_snapshot),
		cmocka_unit_test(test_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
