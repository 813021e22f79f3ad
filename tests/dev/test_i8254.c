/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_i8254.c - the interval timer's six modes, its registers, port 0x61 and
 * the edges on gsi 0, in virtual time.
 */
#include "fake_vmm.h"

#include <stdlib.h>

#include <chip/chips.h>
#include <util/util.h>

#define HZ 1193182u

struct fixture {
	struct vmctx *ctx;
	struct vcpu *cpu;
	bool level;
	unsigned int edges;
	uint64_t last_ns;
};

static void
set_gsi(void *arg, unsigned int gsi, bool level)
{
	struct fixture *f = arg;

	assert_int_equal(gsi, 0);
	assert_int_equal(f->level, !level);
	f->level = level;
	f->edges += level;
	if (level)
		f->last_ns = vm_clock_ns(f->ctx);
}

static int
msi(void *arg, uint64_t addr, uint32_t data)
{
	return 0;
}

static const struct irqchip_ops fake_chip = {
	.set_gsi = set_gsi,
	.msi = msi,
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->ctx = fake_vm_new(1);
	f->cpu = vm_vcpu_get(f->ctx, 0);
	irq_set_chip(f->ctx, &fake_chip, f);
	assert_int_equal(i8254_create(f->ctx), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	irq_set_chip(f->ctx, NULL, NULL);
	fake_vm_free(f->ctx);
	free(f);
	return 0;
}

static uint64_t
now_tick(struct fixture *f)
{
	return (
	    uint64_t)((unsigned __int128)vm_clock_ns(f->ctx) * HZ / 1000000000);
}

/* To the beginning of the n-th clock pulse from the present one. */
static void
ticks(struct fixture *f, uint64_t n)
{
	uint64_t tick = now_tick(f) + n;
	uint64_t ns =
	    (uint64_t)(((unsigned __int128)tick * 1000000000 + HZ - 1) / HZ);

	vm_clock_advance(f->ctx, ns - vm_clock_ns(f->ctx));
	assert_true(now_tick(f) == tick);
}

static void
program(struct fixture *f, unsigned int n, unsigned int mode, uint16_t count)
{
	fake_out8(f->cpu, 0x43, (uint8_t)(n << 6 | 0x30 | mode << 1));
	fake_out8(f->cpu, (uint16_t)(0x40 + n), (uint8_t)count);
	fake_out8(f->cpu, (uint16_t)(0x40 + n), (uint8_t)(count >> 8));
}

static uint16_t
count(struct fixture *f, unsigned int n)
{
	uint8_t low;

	fake_out8(f->cpu, 0x43, (uint8_t)(n << 6));
	low = fake_in8(f->cpu, (uint16_t)(0x40 + n));
	return (uint16_t)(low | fake_in8(f->cpu, (uint16_t)(0x40 + n)) << 8);
}

static uint8_t
status(struct fixture *f, unsigned int n)
{
	fake_out8(f->cpu, 0x43, (uint8_t)(0xe0 | 2u << n));
	return fake_in8(f->cpu, (uint16_t)(0x40 + n));
}

static bool
out2(struct fixture *f)
{
	return (fake_in8(f->cpu, 0x61) & 0x20) != 0;
}

static void
gate2(struct fixture *f, bool on)
{
	fake_out8(f->cpu, 0x61, on);
}

/* --- modes ------------------------------------------------------------ */

static void
mode0(void **state)
{
	struct fixture *f = *state;

	gate2(f, true);
	program(f, 2, 0, 100);
	assert_false(out2(f));
	assert_int_equal(status(f, 2), 0x40 | 0x30);
	ticks(f, 1); /* loaded */
	assert_int_equal(status(f, 2), 0x30);
	assert_int_equal(count(f, 2), 100);
	ticks(f, 99);
	assert_int_equal(count(f, 2), 1);
	assert_false(out2(f));
	ticks(f, 1); /* N + 1 after the write */
	assert_true(out2(f));
	assert_int_equal(count(f, 2), 0);
	ticks(f, 1);
	assert_int_equal(count(f, 2), 0xffff);
	assert_true(out2(f));
	ticks(f, 65536 * 3);
	assert_int_equal(count(f, 2), 0xffff);
	assert_true(out2(f));
	/* GATE low: stands; high: goes on. */
	program(f, 2, 0, 100);
	ticks(f, 31);
	gate2(f, false);
	ticks(f, 1000);
	assert_int_equal(count(f, 2), 70);
	gate2(f, true);
	ticks(f, 69);
	assert_false(out2(f));
	ticks(f, 1);
	assert_true(out2(f));
	/* The first byte of a new count stops it. */
	program(f, 2, 0, 100);
	ticks(f, 50);
	fake_out8(f->cpu, 0x42, 10);
	ticks(f, 1000);
	assert_false(out2(f));
	fake_out8(f->cpu, 0x42, 0);
	ticks(f, 10);
	assert_false(out2(f));
	ticks(f, 1);
	assert_true(out2(f));
}

static void
mode1(void **state)
{
	struct fixture *f = *state;

	program(f, 2, 1, 50);
	assert_true(out2(f));
	ticks(f, 1000);
	assert_true(out2(f));
	gate2(f, true);
	ticks(f, 1);
	assert_false(out2(f));
	assert_int_equal(count(f, 2), 50);
	ticks(f, 49);
	assert_false(out2(f));
	gate2(f, false); /* no effect */
	ticks(f, 1);
	assert_true(out2(f));
	/* Retriggerable. */
	gate2(f, true);
	ticks(f, 40);
	gate2(f, false);
	gate2(f, true);
	ticks(f, 50);
	assert_false(out2(f));
	ticks(f, 1);
	assert_true(out2(f));
	/* A new count waits for the next trigger. */
	gate2(f, false);
	gate2(f, true);
	ticks(f, 1);
	fake_out8(f->cpu, 0x42, 5);
	fake_out8(f->cpu, 0x42, 0);
	assert_int_equal(status(f, 2) & 0x40, 0x40);
	ticks(f, 49);
	assert_false(out2(f));
	ticks(f, 1);
	assert_true(out2(f));
	gate2(f, false);
	gate2(f, true);
	ticks(f, 5);
	assert_false(out2(f));
	ticks(f, 1);
	assert_true(out2(f));
}

static void
mode2(void **state)
{
	struct fixture *f = *state;

	gate2(f, true);
	program(f, 2, 2, 10);
	assert_int_equal(status(f, 2), 0x80 | 0x40 | 0x34);
	ticks(f, 1);
	for (unsigned int cycle = 0; cycle < 3; cycle++)
		for (unsigned int n = 10; n >= 1; n--) {
			assert_int_equal(count(f, 2), n);
			assert_int_equal(out2(f), n != 1);
			ticks(f, 1);
		}
	/* GATE: OUT high, then from the start. */
	ticks(f, 9);
	assert_false(out2(f));
	gate2(f, false);
	assert_true(out2(f));
	ticks(f, 100);
	assert_true(out2(f));
	gate2(f, true);
	ticks(f, 1);
	assert_int_equal(count(f, 2), 10);
	/* A new count takes over at the end of the cycle. */
	ticks(f, 3);
	fake_out8(f->cpu, 0x42, 20);
	fake_out8(f->cpu, 0x42, 0);
	assert_int_equal(count(f, 2), 7);
	assert_int_equal(status(f, 2) & 0x40, 0x40);
	ticks(f, 6);
	assert_int_equal(count(f, 2), 1);
	ticks(f, 1);
	assert_int_equal(count(f, 2), 20);
	assert_int_equal(status(f, 2) & 0x40, 0);
	ticks(f, 19);
	assert_false(out2(f));
	/* Mode number 6 is 2. */
	program(f, 2, 6, 10);
	assert_int_equal(status(f, 2) & 0x0e, 0x04);
}

static void
mode3(void **state)
{
	struct fixture *f = *state;
	static const unsigned int even[] = { 6, 4, 2, 6, 4, 2 };

	gate2(f, true);
	program(f, 2, 3, 6);
	ticks(f, 1);
	for (unsigned int n = 0; n < 18; n++) {
		assert_int_equal(count(f, 2), even[n % 6]);
		assert_int_equal(out2(f), n % 6 < 3);
		ticks(f, 1);
	}
	program(f, 2, 3, 7); /* odd: high for 4, low for 3 */
	ticks(f, 1);
	for (unsigned int n = 0; n < 21; n++) {
		assert_int_equal(out2(f), n % 7 < 4);
		ticks(f, 1);
	}
	gate2(f, false);
	assert_true(out2(f));
	gate2(f, true);
	ticks(f, 1);
	/* A new count takes over at the end of the half. */
	program(f, 2, 3, 10);
	ticks(f, 3);
	fake_out8(f->cpu, 0x42, 20);
	fake_out8(f->cpu, 0x42, 0);
	ticks(f, 2);
	assert_true(out2(f));
	ticks(f, 1);
	for (unsigned int n = 0; n < 10; n++) {
		assert_false(out2(f));
		assert_int_equal(count(f, 2), 20 - 2 * n);
		ticks(f, 1);
	}
	for (unsigned int n = 0; n < 10; n++) {
		assert_true(out2(f));
		ticks(f, 1);
	}
	assert_false(out2(f));
	program(f, 2, 7, 10);
	assert_int_equal(status(f, 2) & 0x0e, 0x06);
}

static void
mode4(void **state)
{
	struct fixture *f = *state;

	gate2(f, true);
	program(f, 2, 4, 10);
	assert_true(out2(f));
	ticks(f, 10);
	assert_true(out2(f));
	ticks(f, 1);
	assert_false(out2(f)); /* the strobe: one clock */
	assert_int_equal(count(f, 2), 0);
	ticks(f, 1);
	assert_true(out2(f));
	assert_int_equal(count(f, 2), 0xffff);
	ticks(f, 65536 * 2 + 10);
	assert_true(out2(f));
	program(f, 2, 4, 10);
	ticks(f, 5);
	gate2(f, false);
	ticks(f, 100);
	assert_int_equal(count(f, 2), 6);
	gate2(f, true);
	ticks(f, 6);
	assert_false(out2(f));
}

static void
mode5(void **state)
{
	struct fixture *f = *state;

	program(f, 2, 5, 10);
	ticks(f, 100);
	assert_true(out2(f));
	gate2(f, true);
	ticks(f, 10);
	assert_true(out2(f));
	ticks(f, 1);
	assert_false(out2(f));
	ticks(f, 1);
	assert_true(out2(f));
	gate2(f, false);
	gate2(f, true);
	ticks(f, 8);
	gate2(f, false);
	gate2(f, true); /* again before it struck */
	ticks(f, 10);
	assert_true(out2(f));
	ticks(f, 1);
	assert_false(out2(f));
}

/* --- registers -------------------------------------------------------- */

static void
access_modes(void **state)
{
	struct fixture *f = *state;

	gate2(f, true);
	fake_out8(f->cpu, 0x43, 0x90); /* low byte only, mode 0 */
	fake_out8(f->cpu, 0x42, 0x80);
	ticks(f, 1);
	assert_int_equal(fake_in8(f->cpu, 0x42), 0x80);
	assert_int_equal(fake_in8(f->cpu, 0x42), 0x80);
	fake_out8(f->cpu, 0x43, 0xa0); /* high byte only */
	fake_out8(f->cpu, 0x42, 0x12);
	ticks(f, 1);
	assert_int_equal(fake_in8(f->cpu, 0x42), 0x12);
	assert_int_equal(status(f, 2) & 0x30, 0x20);
	program(f, 2, 0, 0x1234);
	ticks(f, 1);
	assert_int_equal(fake_in8(f->cpu, 0x42), 0x34);
	assert_int_equal(fake_in8(f->cpu, 0x42), 0x12);
	assert_int_equal(fake_in8(f->cpu, 0x42), 0x34);
	program(f, 2, 2, 0); /* 0 is 65536 */
	ticks(f, 1);
	assert_int_equal(count(f, 2), 0);
	ticks(f, 1);
	assert_int_equal(count(f, 2), 0xffff);
	ticks(f, 65535);
	assert_int_equal(count(f, 2), 0);
}

static void
latching(void **state)
{
	struct fixture *f = *state;

	gate2(f, true);
	program(f, 2, 0, 1000);
	ticks(f, 1);
	fake_out8(f->cpu, 0x43, 0x80);
	ticks(f, 100);
	fake_out8(f->cpu, 0x43, 0x80); /* the first latch stands */
	ticks(f, 100);
	assert_int_equal(fake_in8(f->cpu, 0x42), 1000 & 0xff);
	assert_int_equal(fake_in8(f->cpu, 0x42), 1000 >> 8);
	assert_int_equal(fake_in8(f->cpu, 0x42), 800 & 0xff);
	assert_int_equal(fake_in8(f->cpu, 0x42), 800 >> 8);
	/* Read-back of status and count: status comes first. */
	fake_out8(f->cpu, 0x43, 0xc8);
	ticks(f, 300);
	assert_int_equal(fake_in8(f->cpu, 0x42), 0x30);
	assert_int_equal(fake_in8(f->cpu, 0x42), 800 & 0xff);
	assert_int_equal(fake_in8(f->cpu, 0x42), 800 >> 8);
	assert_int_equal(fake_in8(f->cpu, 0x42), 500 & 0xff);
	assert_int_equal(fake_in8(f->cpu, 0x42), 500 >> 8);
	/* Several counters at once; the status stays as it was. */
	program(f, 0, 2, 400);
	program(f, 1, 2, 300);
	ticks(f, 1);
	fake_out8(f->cpu, 0x43, 0xce); /* all three, both */
	ticks(f, 1000);
	assert_int_equal(fake_in8(f->cpu, 0x40), 0xb4);
	assert_int_equal(count(f, 0), 400);
	assert_int_equal(fake_in8(f->cpu, 0x41), 0xb4);
	assert_int_equal(count(f, 1), 300);
	assert_int_equal(fake_in8(f->cpu, 0x42), 0x30);
	/* Nothing selected, nothing latched. */
	fake_out8(f->cpu, 0x43, 0xfe);
	fake_out8(f->cpu, 0x43, 0xc0);
}

static void
bcd(void **state)
{
	struct fixture *f = *state;

	gate2(f, true);
	fake_out8(f->cpu, 0x43, 0xb1); /* mode 0, BCD */
	fake_out8(f->cpu, 0x42, 0x00);
	fake_out8(f->cpu, 0x42, 0x10); /* 1000 */
	ticks(f, 2);
	assert_int_equal(count(f, 2), 0x0999);
	ticks(f, 999);
	assert_int_equal(count(f, 2), 0);
	assert_true(out2(f));
	ticks(f, 1);
	assert_int_equal(count(f, 2), 0x9999);
	assert_int_equal(status(f, 2) & 1, 1);
	fake_out8(f->cpu, 0x43, 0xb5); /* mode 2; 0 is 10000 */
	fake_out8(f->cpu, 0x42, 0);
	fake_out8(f->cpu, 0x42, 0);
	ticks(f, 1);
	assert_int_equal(count(f, 2), 0);
	ticks(f, 9999);
	assert_int_equal(count(f, 2), 1);
	assert_false(out2(f));
	/* No decimal digits: something, not a crash. */
	for (unsigned int mode = 0; mode < 6; mode++) {
		fake_out8(f->cpu, 0x43, (uint8_t)(0xb1 | mode << 1));
		fake_out8(f->cpu, 0x42, 0xff);
		fake_out8(f->cpu, 0x42, 0xff);
		gate2(f, false);
		gate2(f, true);
		ticks(f, 123456);
		assert_true((count(f, 2) & 0xf) <= 9);
	}
}

static void
port61(void **state)
{
	struct fixture *f = *state;
	unsigned int toggles = 0;
	uint8_t last;

	fake_out8(f->cpu, 0x61, 0xff);
	assert_int_equal(fake_in8(f->cpu, 0x61) & 0xcf, 0x0f);
	fake_out8(f->cpu, 0x61, 0x00);
	assert_int_equal(fake_in8(f->cpu, 0x61) & 0xcf, 0x00);
	last = fake_in8(f->cpu, 0x61) & 0x10;
	for (unsigned int us = 0; us < 10000; us++) {
		uint8_t bit;

		vm_clock_advance(f->ctx, 1000);
		bit = fake_in8(f->cpu, 0x61) & 0x10;
		toggles += bit != last;
		last = bit;
	}
	assert_in_range(toggles, 660, 666); /* each 15.085 us */
}

static void
bad_accesses(void **state)
{
	struct fixture *f = *state;

	program(f, 2, 2, 1000);
	assert_int_equal(fake_in8(f->cpu, 0x43), 0xff);
	assert_int_equal(fake_in(f->cpu, 0x40, 2), 0xffff);
	assert_int_equal(fake_in(f->cpu, 0x42, 4), 0xffffffff);
	assert_int_equal(fake_in(f->cpu, 0x61, 2), 0xffff);
	fake_out(f->cpu, 0x42, 2, 0);
	fake_out(f->cpu, 0x43, 4, 0xb0);
	fake_out(f->cpu, 0x61, 2, 1);
	assert_int_equal(status(f, 2) & 0x3f, 0x34);
	assert_int_equal(fake_in8(f->cpu, 0x61) & 0x0f, 0);
}

/* A reset part reads 0 and is silent. */
static void
unprogrammed(void **state)
{
	struct fixture *f = *state;

	for (unsigned int n = 0; n < 3; n++)
		assert_int_equal(count(f, n), 0);
	vm_clock_advance(f->ctx, 1000 * FAKE_MS);
	assert_int_equal(f->edges, 0);
	assert_false(f->level);
}

/* --- gsi 0 ------------------------------------------------------------ */

static void
irq_periodic(void **state)
{
	static const unsigned int modes[] = { 2, 3 };
	struct fixture *f = *state;

	for (size_t n = 0; n < ARRAY_LEN(modes); n++) {
		chips_reset(f->ctx);
		program(f, 0, modes[n], 11932); /* 100 Hz */
		assert_true(f->level);
		f->edges = 0;
		ticks(f, 1);
		ticks(f, 11931);
		assert_int_equal(f->edges, 0);
		ticks(f, 1);
		assert_int_equal(f->edges, 1);
		assert_true(f->last_ns == vm_clock_ns(f->ctx));
		vm_clock_advance(f->ctx, 100000 * FAKE_MS);
		assert_in_range(f->edges, 10000, 10001);
		/* Mode 3 holds the line low for half the time. */
		if (modes[n] == 3) {
			while (!f->level)
				ticks(f, 1);
			while (f->level)
				ticks(f, 1);
			ticks(f, 5000);
			assert_false(f->level);
			ticks(f, 1000);
			assert_true(f->level);
		}
	}
}

static void
irq_oneshot(void **state)
{
	struct fixture *f = *state;

	program(f, 0, 0, 1000);
	assert_false(f->level);
	ticks(f, 1000);
	assert_int_equal(f->edges, 0);
	ticks(f, 1);
	assert_int_equal(f->edges, 1);
	assert_true(f->level);
	vm_clock_advance(f->ctx, 1000 * FAKE_MS);
	assert_int_equal(f->edges, 1);
	/* Only the count again: low, then one more edge. */
	fake_out8(f->cpu, 0x40, 0xe8);
	fake_out8(f->cpu, 0x40, 0x03);
	assert_false(f->level);
	ticks(f, 1001);
	assert_int_equal(f->edges, 2);
	program(f, 0, 4, 1000);
	assert_true(f->level);
	ticks(f, 1001);
	assert_int_equal(f->edges, 2);
	ticks(f, 1);
	assert_int_equal(f->edges, 3);
	vm_clock_advance(f->ctx, 1000 * FAKE_MS);
	assert_int_equal(f->edges, 3);
	/* Stopped for good by a control word: how Linux shuts it down. */
	program(f, 0, 2, 1000);
	fake_out8(f->cpu, 0x43, 0x30);
	f->edges = 0;
	vm_clock_advance(f->ctx, 1000 * FAKE_MS);
	assert_int_equal(f->edges, 0);
	assert_false(f->level);
}

static void
irq_new_period(void **state)
{
	struct fixture *f = *state;

	program(f, 0, 2, 1000);
	ticks(f, 501);
	f->edges = 0;
	fake_out8(f->cpu, 0x40, 2000 & 0xff);
	fake_out8(f->cpu, 0x40, 2000 >> 8);
	ticks(f, 499);
	assert_int_equal(f->edges, 0);
	ticks(f, 1);
	assert_int_equal(f->edges, 1); /* the old period's end */
	ticks(f, 1999);
	assert_int_equal(f->edges, 1);
	ticks(f, 1);
	assert_int_equal(f->edges, 2);
	ticks(f, 20000);
	assert_int_equal(f->edges, 12);
}

/* The least counts, for long: bounded by 20 kHz. */
static void
irq_storm(void **state)
{
	struct fixture *f = *state;

	for (unsigned int mode = 2; mode <= 3; mode++)
		for (uint16_t n = 1; n <= 3; n++) {
			program(f, 0, mode, n);
			f->edges = 0;
			vm_clock_advance(f->ctx, 100 * FAKE_MS);
			assert_in_range(f->edges, n == 1 ? 0 : 1900, 2002);
			if (n == 1)
				assert_int_equal(f->edges, 0);
		}
}

/* Edges that came too late are made up for, quickly, but not all of them. */
static void
irq_backlog(void **state)
{
	struct fixture *f = *state;

	program(f, 0, 2, 3);
	vm_clock_advance(f->ctx, 100 * FAKE_MS);
	/* 100 Hz, with what the storm before could not deliver. */
	fake_out8(f->cpu, 0x40, 11932 & 0xff);
	fake_out8(f->cpu, 0x40, 11932 >> 8);
	f->edges = 0;
	vm_clock_advance(f->ctx, 100 * FAKE_MS);
	assert_in_range(f->edges, 10 + 14, 10 + 17);
	f->edges = 0;
	vm_clock_advance(f->ctx, 1000 * FAKE_MS);
	assert_in_range(f->edges, 99, 101);
}

static void
irq_pause(void **state)
{
	struct fixture *f = *state;

	program(f, 0, 2, 11932);
	ticks(f, 5000);
	f->edges = 0;
	chips_pause(f->ctx);
	fake_in8(f->cpu, 0x40);
	vm_clock_advance(f->ctx, 100 * FAKE_MS); /* stands still */
	assert_int_equal(f->edges, 0);
	chips_resume(f->ctx);
	vm_clock_advance(f->ctx, 5 * FAKE_MS);
	assert_int_equal(f->edges, 0);
	vm_clock_advance(f->ctx, 100 * FAKE_MS);
	assert_int_equal(f->edges, 10);
}

/* --- life ------------------------------------------------------------- */

static void
snapshot_round_trip(void **state)
{
	struct fixture *f = *state, *g;
	struct snap *s, *again;
	void *other;

	gate2(f, true);
	program(f, 0, 3, 11932);
	program(f, 1, 2, 18);
	program(f, 2, 0, 50000);
	ticks(f, 3001);
	fake_out8(f->cpu, 0x43, 0x80); /* a latch not yet read */
	fake_out8(f->cpu, 0x40, 100);  /* half a count */
	ticks(f, 1000);
	s = fake_save(f->ctx);
	setup(&other);
	g = other;
	vm_clock_advance(g->ctx, 123456789);
	assert_int_equal(fake_load(g->ctx, s), 0);
	again = fake_save(g->ctx);
	assert_true(fake_same(s, again));
	snap_destroy(again);
	assert_true(g->level);
	assert_int_equal(count(g, 2), 47000);
	assert_int_equal(count(g, 2), 46000);
	ticks(g, 46000);
	assert_true(out2(g));
	fake_out8(g->cpu, 0x40, 0); /* the other half: 100 */
	g->edges = 0;
	vm_clock_advance(g->ctx, 100 * FAKE_MS);
	assert_in_range(g->edges, 1100, 1200);
	snap_destroy(s);
	teardown(&other);
}

static void
snapshot_hostile(void **state)
{
	struct fixture *f = *state;
	unsigned int refused = 0;
	struct snap *s;
	size_t len;

	gate2(f, true);
	program(f, 0, 2, 11932);
	program(f, 2, 3, 1000);
	s = fake_save(f->ctx);
	snap_data(s, &len);
	for (size_t off = 0; off < len; off++)
		for (unsigned int b = 0; b < 256; b += 85) {
			refused +=
			    fake_load_patched(f->ctx, s, off, (uint8_t)b) != 0;
			vm_clock_advance(f->ctx, FAKE_MS);
			out2(f);
			for (unsigned int n = 0; n < 3; n++)
				count(f, n);
		}
	assert_true(refused > 100);
	assert_int_equal(fake_load(f->ctx, s), 0);
	snap_destroy(s);
}

static void
garbage(void **state)
{
	static const uint16_t ports[] = { 0x40, 0x41, 0x42, 0x43, 0x43, 0x61 };
	struct fixture *f = *state;
	uint32_t seed = 99;

	for (unsigned int n = 0; n < 200000; n++) {
		uint16_t port;

		seed = seed * 1664525 + 1013904223;
		port = ports[(seed >> 8) % ARRAY_LEN(ports)];
		if (seed >> 31)
			fake_out8(f->cpu, port, (uint8_t)(seed >> 16));
		else
			fake_in8(f->cpu, port);
		vm_clock_advance(f->ctx, (seed >> 11) & 0xffff);
	}
	chips_reset(f->ctx);
	f->edges = 0;
	unprogrammed(state);
}

static void
reset(void **state)
{
	struct fixture *f = *state;

	program(f, 0, 2, 1000);
	fake_out8(f->cpu, 0x61, 3);
	chips_reset(f->ctx);
	assert_int_equal(fake_in8(f->cpu, 0x61) & 0x2f, 0);
	f->edges = 0;
	unprogrammed(state);
}

static void
ports_taken(void **state)
{
	struct fixture *f = *state;

	assert_true(i8254_create(f->ctx) < 0);
	program(f, 2, 0, 100); /* the first one is whole */
	assert_int_equal(status(f, 2) & 0x3f, 0x30);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(mode0),
		T(mode1),
		T(mode2),
		T(mode3),
		T(mode4),
		T(mode5),
		T(access_modes),
		T(latching),
		T(bcd),
		T(port61),
		T(bad_accesses),
		T(unprogrammed),
		T(irq_periodic),
		T(irq_oneshot),
		T(irq_new_period),
		T(irq_storm),
		T(irq_backlog),
		T(irq_pause),
		T(snapshot_round_trip),
		T(snapshot_hostile),
		T(garbage),
		T(reset),
		T(ports_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
