/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All platform chips on one board: nobody claims another's port, any access of
 * any width is survived, and the whole set is saved, loaded, reset and paused.
 */
#include "board.h"

#include <stdlib.h>

#include <backend/char.h>
#include <chip/chips.h>
#include <vmm/pci.h>

static int64_t
wall_us(void *arg)
{
	struct board *b = arg;

	return 1402578855000000ll +
	       (int64_t)((vm_clock_ns(b->ctx) - b->start_ns) / 1000);
}

static void
setup(struct board *b)
{
	const struct mc146818_opts rtc = {
		.utc = true,
		.lowmem = 1ull << 30,
		.now_us = wall_us,
		.now_arg = b,
	};
	struct chardev *cd;
	struct pci_bus *bus;
	char err[128];

	board_init(b);
	assert_int_equal(pci_bus_create(b->ctx, &bus), 0);
	assert_int_equal(pci_dev_create(bus, pci_dev_find("lpc"), NULL, 0, 31,
			     0, err, sizeof(err)),
	    0);
	assert_int_equal(hpet_create(b->ctx), 0);
	assert_int_equal(mc146818_create(b->ctx, &rtc), 0);
	assert_int_equal(pmtimer_create(b->ctx), 0);
	assert_int_equal(acpi_pm_create(b->ctx, NULL), 0);
	assert_int_equal(pcport_create(b->ctx), 0);
	assert_int_equal(i8042_create(b->ctx), 0);
	assert_int_equal(comport_create(b->ctx, "com1", 0x3f8, 4, NULL), 0);
	assert_int_equal(char_open("null", &cd, err, sizeof(err)), 0);
	assert_int_equal(comport_create(b->ctx, "com2", 0x2f8, 3, cd), 0);
	assert_int_equal(bvmcons_create(b->ctx, NULL), 0);
}

static uint32_t
next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static const struct {
	uint16_t first, last;
} ports[] = {
	{ 0x60, 0x64 },
	{ 0x70, 0x71 },
	{ 0x80, 0x92 },
	{ 0xb2, 0xb2 },
	{ 0x220, 0x220 },
	{ 0x2f8, 0x2ff },
	{ 0x3f8, 0x3ff },
	{ 0x400, 0x40b },
	{ 0x488, 0x488 },
	{ 0xcf8, 0xcff },
};

static void
random_access(struct board *b, uint32_t *seed)
{
	uint32_t r = next_random(seed), val = next_random(seed) ^ r << 20;
	size_t i = r % (ARRAY_LEN(ports) + 2);
	unsigned int bytes = 1u << (r >> 8) % 4;

	if (i >= ARRAY_LEN(ports)) {
		uint64_t gpa = 0xfed00000 + (r >> 10) % 0x400;

		board_write(b, gpa, bytes, (uint64_t)val << 32 | val);
		board_read(b, gpa, bytes);
		return;
	}
	if (bytes > 4)
		bytes = 1;
	r = ports[i].first + (r >> 10) % (ports[i].last - ports[i].first + 1u);
	board_out(b, (uint16_t)r, bytes, val);
	board_in(b, (uint16_t)r, bytes);
}

/* Values inside their width, whatever was written before. */
static void
test_any_access(void **state)
{
	uint32_t seed = 7;
	struct board b;

	setup(&b);
	for (unsigned int i = 0; i < 60000; i++) {
		random_access(&b, &seed);
		if (i % 16 == 0)
			vm_clock_advance(b.ctx, next_random(&seed) % 300000);
	}
	for (unsigned int port = 0; port < 0x1000; port++) {
		assert_in_range(board_in(&b, (uint16_t)port, 1), 0, 0xff);
		assert_in_range(board_in(&b, (uint16_t)port, 2), 0, 0xffff);
	}
	/* A reset brings it all back. */
	chips_reset(b.ctx);
	assert_int_equal(in8(&b, 0x3fd), 0x60);
	assert_int_equal(board_read(&b, 0xfed00010, 8), 0);
	for (unsigned int gsi = 0; gsi < IRQ_NGSI; gsi++)
		assert_false(b.level[gsi]);
	board_fini(&b);
}

/* A machine that was loaded saves as what it was loaded from. */
static void
test_save_load_save(void **state)
{
	uint32_t seed = 99;

	for (unsigned int round = 0; round < 50; round++) {
		struct board b, c;
		struct snap *s1, *s2;
		const void *d1, *d2;
		size_t n1, n2;

		setup(&b);
		setup(&c);
		for (unsigned int i = 0; i < 500; i++) {
			random_access(&b, &seed);
			vm_clock_advance(b.ctx, next_random(&seed) % 100000);
		}
		chips_pause(b.ctx);
		chips_pause(c.ctx);
		/* Both boards' walls must show the same time. */
		c.start_ns =
		    vm_clock_ns(c.ctx) - (vm_clock_ns(b.ctx) - b.start_ns);
		s1 = board_save(&b);
		assert_int_equal(board_load(&c, board_save(&b)), 0);
		s2 = board_save(&c);
		d1 = snap_data(s1, &n1);
		d2 = snap_data(s2, &n2);
		assert_int_equal(n1, n2);
		assert_memory_equal(d1, d2, n1);
		for (unsigned int gsi = 0; gsi < IRQ_NGSI; gsi++)
			assert_int_equal(c.level[gsi], b.level[gsi]);
		snap_destroy(s1);
		snap_destroy(s2);
		chips_resume(b.ctx);
		chips_resume(c.ctx);
		board_fini(&b);
		board_fini(&c);
	}
}

/* Any stream is loaded or refused; the machine lives on either way. */
static void
test_hostile_streams(void **state)
{
	uint32_t seed = 3;
	struct board b;

	setup(&b);
	for (unsigned int round = 0; round < 3000; round++) {
		struct snap *s = board_save(&b);
		size_t len;
		uint8_t *data = (uint8_t *)(uintptr_t)snap_data(s, &len);

		for (unsigned int i = 0; i < 4; i++)
			data[8 + next_random(&seed) % (len - 8)] =
			    (uint8_t)next_random(&seed);
		(void)board_load(&b, s);
		for (unsigned int i = 0; i < 20; i++)
			random_access(&b, &seed);
		vm_clock_advance(b.ctx, 100000);
	}
	board_fini(&b);
}

/* An idle machine has no timer that fires. */
static void
test_idle_is_idle(void **state)
{
	struct board b;

	setup(&b);
	vm_clock_advance(b.ctx, 3600 * 1000 * MS);
	for (unsigned int gsi = 0; gsi < IRQ_NGSI; gsi++)
		assert_int_equal(b.edges[gsi], 0);
	board_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_access),
		cmocka_unit_test(test_save_load_save),
		cmocka_unit_test(test_hostile_streams),
		cmocka_unit_test(test_idle_is_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
