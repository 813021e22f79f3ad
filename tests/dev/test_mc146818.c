/* SPDX-License-Identifier: BSD-2-Clause */
/* Real-time clock: formats, setting, alarm, flags, interrupts, CMOS. */
#include "board.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <chip/chips.h>

#define SEC   0x00
#define MIN_  0x02
#define HOUR  0x04
#define WDAY  0x06
#define DAY   0x07
#define MONTH 0x08
#define YEAR  0x09
#define A     0x0a
#define B     0x0b
#define C     0x0c
#define D     0x0d
#define CENT  0x32

#define SET   0x80
#define PIE   0x40
#define AIE   0x20
#define UIE   0x10
#define DM    0x04
#define H24   0x02
#define IRQF  0x80
#define PF    0x40
#define AF    0x20
#define UF    0x10

/* Thursday 2014-06-12 13:14:15 UTC: all fields differ in BCD and binary. */
#define START_SEC 1402578855

static int64_t wall_step_us; /* what an administrator did to the clock */

static int64_t
wall_us(void *arg)
{
	struct board *b = arg;

	return START_SEC * 1000000ll + wall_step_us +
	       (int64_t)((vm_clock_ns(b->ctx) - b->start_ns) / 1000);
}

static void
setup_opts(struct board *b, bool utc, uint64_t lowmem, uint64_t highmem)
{
	const struct mc146818_opts opts = {
		.utc = utc,
		.lowmem = lowmem,
		.highmem = highmem,
		.now_us = wall_us,
		.now_arg = b,
	};

	wall_step_us = 0;
	board_init(b);
	assert_int_equal(mc146818_create(b->ctx, &opts), 0);
}

static void
setup(struct board *b)
{
	setup_opts(b, true, 256ull << 20, 0);
}

static uint8_t
rd(struct board *b, uint8_t reg)
{
	out8(b, 0x70, reg);
	return in8(b, 0x71);
}

static void
wr(struct board *b, uint8_t reg, uint8_t val)
{
	out8(b, 0x70, reg);
	out8(b, 0x71, val);
}

static void
wait_us(struct board *b, uint64_t us)
{
	vm_clock_advance(b->ctx, us * 1000);
}

static void
assert_regs(struct board *b, const uint8_t *want)
{
	static const uint8_t regs[] = { CENT, YEAR, MONTH, DAY, WDAY, HOUR,
		MIN_, SEC };

	for (size_t i = 0; i < ARRAY_LEN(regs); i++)
		assert_int_equal(rd(b, regs[i]), want[i]);
}

static void
test_bcd_24h(void **state)
{
	static const uint8_t want[] = { 0x20, 0x14, 0x06, 0x12, 0x05, 0x13,
		0x14, 0x15 };
	struct board b;

	setup(&b);
	assert_regs(&b, want);
	assert_int_equal(rd(&b, B), H24);
	assert_int_equal(rd(&b, A), 0x26);
	assert_int_equal(rd(&b, D), 0x80);
	board_fini(&b);
}

static void
test_binary(void **state)
{
	static const uint8_t want[] = { 0x20, 14, 6, 12, 5, 13, 14, 15 };
	struct board b;

	setup(&b);
	wr(&b, B, H24 | DM);
	assert_regs(&b, want);
	board_fini(&b);
}

static void
test_12h(void **state)
{
	static const struct {
		int hour;
		uint8_t bcd, binary;
	} want[] = {
		{ 0, 0x12, 12 },
		{ 1, 0x01, 1 },
		{ 10, 0x10, 10 },
		{ 11, 0x11, 11 },
		{ 12, 0x92, 0x8c },
		{ 13, 0x81, 0x81 },
		{ 22, 0x90, 0x8a },
		{ 23, 0x91, 0x8b },
	};
	struct board b;

	setup(&b);
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		wall_step_us = (want[i].hour - 13) * 3600ll * 1000000;
		wr(&b, B, 0);
		assert_int_equal(rd(&b, HOUR), want[i].bcd);
		wr(&b, B, DM);
		assert_int_equal(rd(&b, HOUR), want[i].binary);
		/* And back. */
		wr(&b, B, SET | DM);
		wr(&b, HOUR, want[i].binary);
		wr(&b, B, DM);
		assert_int_equal(rd(&b, HOUR), want[i].binary);
		wr(&b, B, DM | H24);
		assert_int_equal(rd(&b, HOUR), want[i].hour);
	}
	board_fini(&b);
}

static void
test_time_goes_on(void **state)
{
	static const uint8_t want[] = { 0x20, 0x14, 0x06, 0x13, 0x06, 0x00,
		0x00, 0x00 };
	struct board b;

	setup(&b);
	wait_us(&b, 999999);
	assert_int_equal(rd(&b, SEC), 0x15);
	wait_us(&b, 1);
	assert_int_equal(rd(&b, SEC), 0x16);
	wait_us(&b, 1000000ull * (10 * 3600 + 45 * 60 + 44));
	assert_regs(&b, want);
	board_fini(&b);
}

static void
test_local_time(void **state)
{
	struct board b;

	assert_int_equal(setenv("TZ", "XXX-05:30", 1), 0);
	setup_opts(&b, false, 256ull << 20, 0);
	assert_int_equal(rd(&b, HOUR), 0x18);
	assert_int_equal(rd(&b, MIN_), 0x44);
	board_fini(&b);
	assert_int_equal(setenv("TZ", "UTC0", 1), 0);
	tzset();
}

/* What Linux does: SET, fields, clear SET. */
static void
test_set_time(void **state)
{
	static const uint8_t fields[][2] = { { CENT, 0x19 }, { YEAR, 0x99 },
		{ MONTH, 0x12 }, { DAY, 0x31 }, { WDAY, 0x06 }, { HOUR, 0x23 },
		{ MIN_, 0x59 }, { SEC, 0x58 } };
	static const uint8_t want[] = { 0x20, 0x00, 0x01, 0x01, 0x07, 0x00,
		0x00, 0x01 };
	struct board b;

	setup(&b);
	wait_us(&b, 300000);
	wr(&b, B, H24 | SET);
	assert_int_equal(rd(&b, SEC), 0x15); /* frozen as it was */
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		wr(&b, fields[i][0], fields[i][1]);
	wait_us(&b, 5000000);
	assert_int_equal(rd(&b, SEC), 0x58);
	wr(&b, B, H24);
	assert_int_equal(rd(&b, SEC), 0x58);
	/* The divider went on: the next second begins at its own time. */
	wait_us(&b, 699999);
	assert_int_equal(rd(&b, SEC), 0x58);
	wait_us(&b, 1);
	assert_int_equal(rd(&b, SEC), 0x59);
	wait_us(&b, 2000000);
	assert_regs(&b, want);
	board_fini(&b);
}

static void
test_set_without_freeze(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, HOUR, 0x07);
	wr(&b, WDAY, 0x02); /* the guest's weeks are its own */
	assert_int_equal(rd(&b, HOUR), 0x07);
	assert_int_equal(rd(&b, MIN_), 0x14);
	assert_int_equal(rd(&b, WDAY), 0x02);
	wait_us(&b, 24ull * 3600 * 1000000);
	assert_int_equal(rd(&b, WDAY), 0x03);
	assert_int_equal(rd(&b, DAY), 0x13);
	board_fini(&b);
}

/* Nonsense in the fields stays arithmetic. */
static void
test_garbage(void **state)
{
	struct board b;

	setup(&b);
	for (unsigned int v = 0; v < 256; v++) {
		for (uint8_t reg = 0; reg <= YEAR; reg++)
			wr(&b, reg, (uint8_t)v);
		wr(&b, CENT, (uint8_t)v);
		wr(&b, B, H24 | SET | (v & DM));
		for (uint8_t reg = 0; reg <= YEAR; reg++)
			wr(&b, reg, (uint8_t)(255 - v));
		wr(&b, CENT, (uint8_t)v);
		wr(&b, B, v & DM);
		wait_us(&b, 1000000);
		assert_true((rd(&b, SEC) & 0x7f) < 0x60);
	}
	/* Zeros: the last day of November before year 0. */
	wr(&b, B, H24 | SET);
	for (uint8_t reg = 0; reg <= YEAR; reg++)
		wr(&b, reg, 0);
	wr(&b, CENT, 0);
	wr(&b, B, H24);
	assert_int_equal(rd(&b, MONTH), 0x11);
	assert_int_equal(rd(&b, DAY), 0x30);
	board_fini(&b);
}

/* Setting the host's clock moves the guest's by as much. */
static void
test_host_step(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, HOUR, 0x07);
	wall_step_us = 3600ll * 1000000;
	assert_int_equal(rd(&b, HOUR), 0x08);
	wall_step_us = -3600ll * 1000000;
	assert_int_equal(rd(&b, HOUR), 0x06);
	rd(&b, C);
	wait_us(&b, 1000000);
	assert_int_equal(rd(&b, C) & UF, UF);
	board_fini(&b);
}

static void
test_uip(void **state)
{
	struct board b;

	setup(&b);
	wait_us(&b, 1000000 - 244 - 1984 - 1);
	assert_int_equal(rd(&b, A), 0x26);
	wait_us(&b, 1);
	assert_int_equal(rd(&b, A), 0xa6);
	wait_us(&b, 244 + 1984 - 1);
	assert_int_equal(rd(&b, A), 0xa6);
	assert_int_equal(rd(&b, SEC), 0x15);
	wait_us(&b, 1);
	assert_int_equal(rd(&b, A), 0x26);
	assert_int_equal(rd(&b, SEC), 0x16);
	/* Frozen clocks do not update. */
	wr(&b, B, H24 | SET);
	wait_us(&b, 999000);
	assert_int_equal(rd(&b, A), 0x26);
	wr(&b, A, 0xff);
	assert_int_equal(rd(&b, A), 0x7f);
	board_fini(&b);
}

/* Divider in reset: time stands; the first update half a second after. */
static void
test_divider_reset(void **state)
{
	struct board b;

	setup(&b);
	wait_us(&b, 900000);
	wr(&b, A, 0x70);
	wait_us(&b, 7000000);
	assert_int_equal(rd(&b, SEC), 0x15);
	wr(&b, SEC, 0x30);
	wr(&b, A, 0x26);
	wait_us(&b, 499999);
	assert_int_equal(rd(&b, SEC), 0x30);
	wait_us(&b, 1);
	assert_int_equal(rd(&b, SEC), 0x31);
	wait_us(&b, 1000000);
	assert_int_equal(rd(&b, SEC), 0x32);
	board_fini(&b);
}

static void
test_update_interrupt(void **state)
{
	struct board b;

	setup(&b);
	wait_us(&b, 2500000);
	assert_int_equal(b.edges[8], 0);
	assert_int_equal(rd(&b, C), UF | PF); /* flags without interrupts */
	assert_int_equal(rd(&b, C), 0);
	wr(&b, B, H24 | UIE);
	wait_us(&b, 499999);
	assert_false(b.level[8]);
	wait_us(&b, 1);
	assert_true(b.level[8]);
	wait_us(&b, 3000000); /* not acknowledged: one edge */
	assert_int_equal(b.edges[8], 1);
	assert_int_equal(rd(&b, C) & ~PF, IRQF | UF);
	assert_false(b.level[8]);
	wait_us(&b, 1000000);
	assert_int_equal(b.edges[8], 2);
	/* SET clears UIE. */
	rd(&b, C);
	wr(&b, B, H24 | UIE | SET);
	assert_int_equal(rd(&b, B), H24 | SET);
	wait_us(&b, 2000000);
	assert_int_equal(rd(&b, C) & (IRQF | UF), 0);
	board_fini(&b);
}

/* Enabling with the flag up interrupts at once; disabling ends it. */
static void
test_enable_late(void **state)
{
	struct board b;

	setup(&b);
	wait_us(&b, 1500000);
	assert_false(b.level[8]);
	wr(&b, B, H24 | UIE);
	assert_true(b.level[8]);
	wr(&b, B, H24);
	assert_false(b.level[8]);
	wr(&b, C, 0xff); /* read-only, as is D */
	wr(&b, D, 0x00);
	assert_int_equal(rd(&b, C), UF | PF);
	assert_int_equal(rd(&b, D), 0x80);
	board_fini(&b);
}

static void
test_alarm(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, 0x01, 0x05);
	wr(&b, 0x03, 0x15);
	wr(&b, 0x05, 0x13);
	wr(&b, B, H24 | AIE);
	wait_us(&b, 49999999);
	assert_false(b.level[8]);
	wait_us(&b, 1);
	assert_true(b.level[8]);
	assert_int_equal(rd(&b, C) & ~PF, IRQF | AF | UF);
	/* The next is a day later. */
	wait_us(&b, 24ull * 3600 * 1000000 - 1);
	assert_int_equal(rd(&b, C) & AF, 0);
	wait_us(&b, 1);
	assert_int_equal(rd(&b, C) & AF, AF);
	board_fini(&b);
}

static void
test_alarm_dont_care(void **state)
{
	struct board b;
	unsigned int edges = 0;

	setup(&b);
	wr(&b, 0x01, 0x30);
	wr(&b, 0x03, 0xc0);
	wr(&b, 0x05, 0xff);
	wr(&b, B, H24 | AIE);
	for (unsigned int i = 0; i < 10; i++) { /* each minute at :30 */
		wait_us(&b, i == 0 ? 15000000 : 60000000);
		assert_int_equal(b.edges[8], ++edges);
		rd(&b, C);
	}
	wr(&b, 0x01, 0xc7); /* each second */
	wait_us(&b, 1000000);
	assert_int_equal(b.edges[8], ++edges);
	rd(&b, C);
	wr(&b, 0x01, 0x00); /* each hour, on the hour */
	wr(&b, 0x03, 0x00);
	/* 13:23:31 now: nothing before 14:00:00. */
	wait_us(&b, (36ull * 60 + 28) * 1000000);
	assert_int_equal(b.edges[8], edges);
	wait_us(&b, 1000000);
	assert_int_equal(b.edges[8], edges + 1);
	board_fini(&b);
}

static void
test_alarm_formats(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, B, DM | AIE); /* 12-hour binary: 1 p.m. is 0x81 */
	wr(&b, 0x01, 20);
	wr(&b, 0x03, 14);
	wr(&b, 0x05, 0x01);
	wait_us(&b, 5000000);
	assert_false(b.level[8]); /* that is 1 a.m. */
	wr(&b, 0x01, 25);
	wr(&b, 0x05, 0x81);
	wait_us(&b, 5000000);
	assert_true(b.level[8]);
	rd(&b, C);
	/* Values no clock shows never match, and cost no timer. */
	wr(&b, 0x01, 0x7f);
	wait_us(&b, 2ull * 24 * 3600 * 1000000);
	assert_false(b.level[8]);
	board_fini(&b);
}

/* The flag is found also when nobody looked for days. */
static void
test_alarm_flag_polled(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, 0x01, 0x00);
	wr(&b, 0x03, 0x00);
	wr(&b, 0x05, 0x14);
	rd(&b, C);
	wait_us(&b, 1800ull * 1000000);
	assert_int_equal(rd(&b, C) & AF, 0);
	wait_us(&b, 2000ull * 1000000);
	assert_int_equal(rd(&b, C) & AF, AF);
	board_fini(&b);
}

static unsigned int
count_periods(struct board *b, uint8_t rate, uint64_t us)
{
	unsigned int before = b->edges[8];
	uint64_t step = 20;

	wr(b, A, 0x20 | rate);
	rd(b, C);
	for (uint64_t t = 0; t < us; t += step) {
		wait_us(b, step);
		if (b->level[8])
			rd(b, C);
	}
	return b->edges[8] - before;
}

static void
test_periodic_rates(void **state)
{
	static const struct {
		uint8_t rate;
		unsigned int hz;
	} want[] = { { 1, 256 }, { 2, 128 }, { 3, 8192 }, { 4, 4096 },
		{ 6, 1024 }, { 9, 128 }, { 15, 2 } };
	struct board b;

	setup(&b);
	wr(&b, B, H24 | PIE);
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		assert_int_equal(
		    count_periods(&b, want[i].rate, 1000000), want[i].hz);
	assert_int_equal(count_periods(&b, 0, 1000000), 0);
	/* With the divider in reset nothing ticks. */
	wr(&b, A, 0x66);
	rd(&b, C);
	wait_us(&b, 1000000);
	assert_false(b.level[8]);
	board_fini(&b);
}

/* A guest that is slow gets one interrupt, then the next in step. */
static void
test_periodic_unacknowledged(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, A, 0x2f);
	wr(&b, B, H24 | PIE);
	rd(&b, C);
	wait_us(&b, 3200000);
	assert_int_equal(b.edges[8], 1);
	assert_int_equal(rd(&b, C) & ~UF, IRQF | PF);
	wait_us(&b, 299999);
	assert_int_equal(b.edges[8], 1);
	wait_us(&b, 1);
	assert_int_equal(b.edges[8], 2);
	board_fini(&b);
}

static void
test_ports(void **state)
{
	struct board b;

	setup(&b);
	out8(&b, 0x70, 0x8d); /* NMI mask */
	assert_int_equal(in8(&b, 0x71), 0x80);
	assert_int_equal(in8(&b, 0x70), 0xff);
	assert_int_equal(board_in(&b, 0x70, 2), 0xffff);
	board_out(&b, 0x70, 2, 0x5540);
	assert_int_equal(rd(&b, 0x40), 0);
	assert_int_equal(in8(&b, 0x72), 0xff);
	for (uint8_t reg = 0x0e; reg < 0x80; reg++)
		if (reg != CENT)
			wr(&b, reg, reg ^ 0xa5);
	for (uint8_t reg = 0x0e; reg < 0x80; reg++)
		if (reg != CENT)
			assert_int_equal(rd(&b, reg), reg ^ 0xa5);
	board_fini(&b);
}

static void
test_memory_sizes(void **state)
{
	static const struct {
		uint64_t low, high;
		uint32_t want_low, want_high;
	} sizes[] = {
		{ 256ull << 20, 0, (256 - 16) * 16, 0 },
		{ 8ull << 20, 0, 0, 0 }, /* no underflow */
		{ 16ull << 20, 0, 0, 0 },
		{ 3ull << 30, 5ull << 30, (3072 - 16) * 16, 5 * 16384 },
		{ 3ull << 30, 1ull << 62, (3072 - 16) * 16, 0xffffff },
	};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct board b;
		uint32_t high;

		setup_opts(&b, true, sizes[i].low, sizes[i].high);
		assert_int_equal(
		    rd(&b, 0x34) | rd(&b, 0x35) << 8, sizes[i].want_low);
		high = rd(&b, 0x5b) | (uint32_t)rd(&b, 0x5c) << 8 |
		       (uint32_t)rd(&b, 0x5d) << 16;
		assert_int_equal(high, sizes[i].want_high);
		board_fini(&b);
	}
}

/* The battery keeps time and RAM; enables and flags go. */
static void
test_reset(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, 0x50, 0x77);
	wr(&b, HOUR, 0x03);
	wr(&b, B, H24 | UIE | PIE | AIE);
	wait_us(&b, 2000000);
	assert_true(b.level[8]);
	chips_reset(b.ctx);
	assert_false(b.level[8]);
	assert_int_equal(rd(&b, B), H24);
	assert_int_equal(rd(&b, C), 0);
	assert_int_equal(rd(&b, 0x50), 0x77);
	assert_int_equal(rd(&b, HOUR), 0x03);
	/* A guest that died while it set the clock, in 12-hour binary. */
	wr(&b, B, DM);
	wr(&b, B, SET | DM);
	wr(&b, HOUR, 0x8b);
	chips_reset(b.ctx);
	assert_int_equal(rd(&b, HOUR), 0x23);
	wait_us(&b, 1000000);
	assert_int_equal(rd(&b, SEC), 0x18);
	board_fini(&b);
}

static void
test_pause(void **state)
{
	struct board b;

	setup(&b);
	wr(&b, B, H24 | UIE);
	chips_pause(b.ctx);
	wall_step_us = 5000000; /* the world goes on */
	assert_false(b.level[8]);
	chips_resume(b.ctx);
	assert_true(b.level[8]);
	assert_int_equal(rd(&b, SEC), 0x20);
	board_fini(&b);
}

static void
test_snapshot(void **state)
{
	struct board b, c;

	setup(&b);
	setup(&c);
	wr(&b, HOUR, 0x03);
	wr(&b, 0x50, 0x77);
	wr(&b, A, 0x2f);
	wr(&b, B, H24 | PIE | DM);
	wait_us(&b, 700000);
	assert_true(b.level[8]);
	rd(&b, C);
	out8(&b, 0x70, 0x50);
	wait_us(&b, 200000); /* 100 ms to the next */
	wait_us(&c, 900000);
	assert_int_equal(board_load(&c, board_save(&b)), 0);
	assert_int_equal(in8(&c, 0x71), 0x77);
	assert_int_equal(rd(&c, HOUR), 3);
	wait_us(&c, 99999);
	assert_false(c.level[8]);
	wait_us(&c, 1);
	assert_true(c.level[8]);
	/* index, frozen, weekday, offset beyond all calendars. */
	assert_int_equal(
	    board_load(&c, board_spoil(board_save(&b), "mc146818", 144, 128)),
	    -EINVAL);
	assert_int_equal(
	    board_load(&c, board_spoil(board_save(&b), "mc146818", 145, 2)),
	    -EINVAL);
	assert_int_equal(
	    board_load(&c, board_spoil(board_save(&b), "mc146818", 146, 7)),
	    -EINVAL);
	assert_int_equal(
	    board_load(&c, board_spoil(board_save(&b), "mc146818", 7, 0x7f)),
	    -EINVAL);
	board_fini(&b);
	board_fini(&c);
}

/* The host's clock, as in a real machine. */
static void
test_host_clock(void **state)
{
	const struct mc146818_opts opts = { .utc = true };
	struct board b;
	struct tm tm;
	time_t now;
	int min;

	board_init(&b);
	assert_int_equal(mc146818_create(b.ctx, &opts), 0);
	assert_int_equal(mc146818_create(b.ctx, &opts), -EEXIST);
	wr(&b, B, H24 | DM);
	do {
		now = time(NULL);
		gmtime_r(&now, &tm);
		min = rd(&b, MIN_);
	} while (time(NULL) / 60 != now / 60);
	assert_int_equal(min, tm.tm_min);
	assert_int_equal(rd(&b, YEAR), tm.tm_year % 100);
	board_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bcd_24h),
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_12h),
		cmocka_unit_test(test_time_goes_on),
		cmocka_unit_test(test_local_time),
		cmocka_unit_test(test_set_time),
		cmocka_unit_test(test_set_without_freeze),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_host_step),
		cmocka_unit_test(test_uip),
		cmocka_unit_test(test_divider_reset),
		cmocka_unit_test(test_update_interrupt),
		cmocka_unit_test(test_enable_late),
		cmocka_unit_test(test_alarm),
		cmocka_unit_test(test_alarm_dont_care),
		cmocka_unit_test(test_alarm_formats),
		cmocka_unit_test(test_alarm_flag_polled),
		cmocka_unit_test(test_periodic_rates),
		cmocka_unit_test(test_periodic_unacknowledged),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_memory_sizes),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_snapshot),
		cmocka_unit_test(test_host_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
