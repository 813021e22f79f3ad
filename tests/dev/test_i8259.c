/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_i8259.c - the pair of 8259As by itself: command words, priorities,
 * modes, INTA, poll, ELCR.
 */
#include "fake_vmm.h"

#include <stdlib.h>

#include <util/util.h>

#include "i8259.h"

#define NO_INT (-1)

struct fixture {
	struct vmctx *ctx;
	struct vcpu *cpu;
	struct i8259 *pic;
	bool intr;
	unsigned int rises;
};

static void
out(void *arg, bool level)
{
	struct fixture *f = arg;

	assert_int_equal(f->intr, !level); /* told of changes only */
	f->intr = level;
	f->rises += level;
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->ctx = fake_vm_new(1);
	f->cpu = vm_vcpu_get(f->ctx, 0);
	assert_int_equal(i8259_create(f->ctx, out, f, &f->pic), 0);
	i8259_chip_add(f->pic);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	fake_vm_free(f->ctx);
	free(f);
	return 0;
}

/* As a BIOS: vectors 0x20 and 0x70, all open. */
static void
init_with(struct fixture *f, uint8_t icw1, uint8_t icw4)
{
	fake_out8(f->cpu, 0x20, icw1);
	fake_out8(f->cpu, 0xa0, icw1);
	fake_out8(f->cpu, 0x21, 0x20);
	fake_out8(f->cpu, 0xa1, 0x70);
	fake_out8(f->cpu, 0x21, 0x04);
	fake_out8(f->cpu, 0xa1, 0x02);
	fake_out8(f->cpu, 0x21, icw4);
	fake_out8(f->cpu, 0xa1, icw4 & 0xef);
}

static void
init(struct fixture *f)
{
	init_with(f, 0x11, 0x01);
}

static void
pulse(struct fixture *f, unsigned int irq)
{
	i8259_set_irq(f->pic, irq, true);
	i8259_set_irq(f->pic, irq, false);
}

/* The vector INTA fetches, when INT is high. */
static int
take(struct fixture *f)
{
	int peeked = i8259_peek(f->pic);

	assert_int_equal(peeked >= 0, f->intr);
	if (!f->intr)
		return NO_INT;
	assert_int_equal(peeked, i8259_inta(f->pic));
	return peeked;
}

static uint8_t
irr(struct fixture *f, uint16_t port)
{
	fake_out8(f->cpu, port, 0x0a);
	return fake_in8(f->cpu, port);
}

static uint8_t
isr(struct fixture *f, uint16_t port)
{
	fake_out8(f->cpu, port, 0x0b);
	return fake_in8(f->cpu, port);
}

static void
silent_until_initialised(void **state)
{
	struct fixture *f = *state;

	i8259_set_irq(f->pic, 3, true);
	assert_int_equal(take(f), NO_INT);
	fake_out8(f->cpu, 0x20, 0x11);
	fake_out8(f->cpu, 0x21, 0x20);
	fake_out8(f->cpu, 0x21, 0x04);
	i8259_set_irq(f->pic, 4, true);
	assert_int_equal(take(f), NO_INT);
	fake_out8(f->cpu, 0x21, 0x01);
	/* ICW1 cleared the edge of IRQ 3; IRQ 4 came later. */
	assert_int_equal(take(f), 0x24);
	assert_int_equal(isr(f, 0x20), 0x10);
}

static void
initialisation_lengths(void **state)
{
	struct fixture *f = *state;

	/* Single, no ICW4: two bytes. */
	fake_out8(f->cpu, 0x20, 0x12);
	fake_out8(f->cpu, 0x21, 0x4f); /* low bits are the IR's */
	pulse(f, 1);
	assert_int_equal(take(f), 0x49);
	fake_out8(f->cpu, 0x21, 0xa5); /* this is OCW1 already */
	assert_int_equal(fake_in8(f->cpu, 0x21), 0xa5);
	/* Single with ICW4: three. */
	fake_out8(f->cpu, 0x20, 0x13);
	fake_out8(f->cpu, 0x21, 0x50);
	assert_int_equal(fake_in8(f->cpu, 0x21), 0); /* ICW1 cleared IMR */
	fake_out8(f->cpu, 0x21, 0x01);
	pulse(f, 0);
	assert_int_equal(take(f), 0x50);
	/* Cascade, no ICW4: three. */
	fake_out8(f->cpu, 0x20, 0x10);
	fake_out8(f->cpu, 0x21, 0x60);
	fake_out8(f->cpu, 0x21, 0x04);
	pulse(f, 6);
	assert_int_equal(take(f), 0x66);
}

static void
fully_nested(void **state)
{
	struct fixture *f = *state;

	init(f);
	pulse(f, 5);
	pulse(f, 3);
	assert_int_equal(irr(f, 0x20), 0x28);
	assert_int_equal(take(f), 0x23);
	assert_int_equal(irr(f, 0x20), 0x20);
	assert_int_equal(isr(f, 0x20), 0x08);
	assert_int_equal(take(f), NO_INT);
	pulse(f, 1);
	assert_int_equal(take(f), 0x21); /* nests */
	assert_int_equal(isr(f, 0x20), 0x0a);
	fake_out8(f->cpu, 0x20, 0x20);
	assert_int_equal(isr(f, 0x20), 0x08);
	assert_int_equal(take(f), NO_INT);
	fake_out8(f->cpu, 0x20, 0x20);
	assert_int_equal(take(f), 0x25);
	fake_out8(f->cpu, 0x20, 0x20);
	assert_int_equal(isr(f, 0x20), 0);
}

static void
mask(void **state)
{
	struct fixture *f = *state;

	init(f);
	fake_out8(f->cpu, 0x21, 0x08);
	pulse(f, 3);
	assert_int_equal(take(f), NO_INT);
	assert_int_equal(irr(f, 0x20), 0x08); /* remembered */
	fake_out8(f->cpu, 0x21, 0x00);
	assert_int_equal(take(f), 0x23);
}

static void
cascade(void **state)
{
	struct fixture *f = *state;

	init(f);
	for (unsigned int irq = 8; irq < 16; irq++) {
		pulse(f, irq);
		assert_int_equal(irr(f, 0x20), 0x04);
		assert_int_equal(take(f), 0x70 + irq - 8);
		assert_int_equal(isr(f, 0x20), 0x04);
		assert_int_equal(isr(f, 0xa0), 1 << (irq - 8));
		fake_out8(f->cpu, 0xa0, 0x20);
		fake_out8(f->cpu, 0x20, 0x20);
		assert_int_equal(take(f), NO_INT);
	}
	/* The slave sits at IRQ 2: above 3, below 1. */
	pulse(f, 3);
	pulse(f, 12);
	pulse(f, 1);
	assert_int_equal(take(f), 0x21);
	fake_out8(f->cpu, 0x20, 0x20);
	assert_int_equal(take(f), 0x74);
	/* Its own higher level waits: the master's IR2 is in service. */
	pulse(f, 8);
	assert_int_equal(take(f), NO_INT);
	fake_out8(f->cpu, 0x20, 0x62); /* specific EOI of 2 */
	assert_int_equal(take(f), 0x70);
	fake_out8(f->cpu, 0xa0, 0x60);
	fake_out8(f->cpu, 0xa0, 0x64);
	fake_out8(f->cpu, 0x20, 0x62);
	assert_int_equal(take(f), 0x23);
	/* IRQ 2 itself is nobody's line. */
	fake_out8(f->cpu, 0x20, 0x20);
	pulse(f, 2);
	assert_int_equal(take(f), NO_INT);
	/* Masked at the slave after it was requested: nothing is left. */
	pulse(f, 10);
	fake_out8(f->cpu, 0xa1, 0xff);
	assert_int_equal(take(f), NO_INT);
	assert_int_equal(irr(f, 0x20), 0);
}

static void
special_fully_nested(void **state)
{
	struct fixture *f = *state;

	init_with(f, 0x11, 0x11);
	pulse(f, 12);
	assert_int_equal(take(f), 0x74);
	pulse(f, 13); /* lower in the slave */
	assert_int_equal(take(f), NO_INT);
	pulse(f, 4); /* lower in the master */
	assert_int_equal(take(f), NO_INT);
	pulse(f, 9);
	assert_int_equal(take(f), 0x71);
	fake_out8(f->cpu, 0xa0, 0x20);
	fake_out8(f->cpu, 0xa0, 0x20);
	assert_int_equal(take(f), 0x75);
	/* Only the cascade: another level does not interrupt itself. */
	init_with(f, 0x11, 0x11);
	pulse(f, 4);
	assert_int_equal(take(f), 0x24);
	pulse(f, 4);
	assert_int_equal(take(f), NO_INT);
}

static void
automatic_eoi(void **state)
{
	struct fixture *f = *state;

	init_with(f, 0x11, 0x03);
	pulse(f, 4);
	pulse(f, 5);
	pulse(f, 14);
	assert_int_equal(take(f), 0x76);
	assert_int_equal(isr(f, 0x20), 0);
	assert_int_equal(isr(f, 0xa0), 0);
	assert_int_equal(take(f), 0x24);
	assert_int_equal(take(f), 0x25);
	assert_int_equal(take(f), NO_INT);
	/* Rotation with it: who was served is last. */
	fake_out8(f->cpu, 0x20, 0x80);
	pulse(f, 4);
	assert_int_equal(take(f), 0x24);
	pulse(f, 4);
	pulse(f, 5);
	pulse(f, 0);
	assert_int_equal(take(f), 0x25);
	assert_int_equal(take(f), 0x20);
	assert_int_equal(take(f), 0x24);
	fake_out8(f->cpu, 0x20, 0x00); /* no more: 4 stays last */
	pulse(f, 6);
	assert_int_equal(take(f), 0x26);
	pulse(f, 4);
	pulse(f, 6);
	assert_int_equal(take(f), 0x26);
	assert_int_equal(take(f), 0x24);
}

static void
rotation(void **state)
{
	struct fixture *f = *state;

	init(f);
	fake_out8(f->cpu, 0x20, 0xc3); /* set priority: 3 last, 4 first */
	pulse(f, 3);
	pulse(f, 0);
	pulse(f, 4);
	assert_int_equal(take(f), 0x24);
	fake_out8(f->cpu, 0x20, 0xa0); /* rotate on non-specific EOI */
	assert_int_equal(isr(f, 0x20), 0);
	pulse(f, 4);
	assert_int_equal(take(f), 0x20);
	fake_out8(f->cpu, 0x20, 0xe0); /* rotate on specific EOI of 0 */
	assert_int_equal(take(f), 0x23);
	fake_out8(f->cpu, 0x20, 0x20);
	assert_int_equal(take(f), 0x24);
	fake_out8(f->cpu, 0x20, 0x40); /* no operation */
	assert_int_equal(isr(f, 0x20), 0x10);
	fake_out8(f->cpu, 0x20, 0x64);
	assert_int_equal(isr(f, 0x20), 0);
}

static void
special_mask(void **state)
{
	struct fixture *f = *state;

	init(f);
	pulse(f, 1);
	assert_int_equal(take(f), 0x21);
	pulse(f, 5);
	assert_int_equal(take(f), NO_INT);
	fake_out8(f->cpu, 0x21, 0x02);
	assert_int_equal(take(f), NO_INT); /* masking alone is not enough */
	fake_out8(f->cpu, 0x20, 0x68);
	assert_int_equal(take(f), 0x25);
	/* A non-specific EOI does not see the masked level. */
	fake_out8(f->cpu, 0x20, 0x20);
	assert_int_equal(isr(f, 0x20), 0x02);
	fake_out8(f->cpu, 0x20, 0x20);
	assert_int_equal(isr(f, 0x20), 0x02);
	fake_out8(f->cpu, 0x20, 0x28); /* ESMM 0: SMM is not looked at */
	pulse(f, 6);
	assert_int_equal(take(f), 0x26);
	fake_out8(f->cpu, 0x20, 0x20);
	fake_out8(f->cpu, 0x20, 0x48); /* off */
	pulse(f, 6);
	assert_int_equal(take(f), NO_INT);
	fake_out8(f->cpu, 0x20, 0x61);
	assert_int_equal(take(f), 0x26);
}

static void
poll(void **state)
{
	struct fixture *f = *state;

	init(f);
	fake_out8(f->cpu, 0x20, 0x0c);
	assert_int_equal(fake_in8(f->cpu, 0x20), 0);
	pulse(f, 6);
	pulse(f, 3);
	fake_out8(f->cpu, 0x20, 0x0c);
	assert_int_equal(fake_in8(f->cpu, 0x20), 0x83);
	assert_int_equal(isr(f, 0x20), 0x08);
	assert_int_equal(irr(f, 0x20), 0x40); /* one read only */
	fake_out8(f->cpu, 0x20, 0x20);
	fake_out8(f->cpu, 0x20, 0x0c);
	assert_int_equal(fake_in8(f->cpu, 0x21), 0x86); /* either port */
	assert_int_equal(fake_in8(f->cpu, 0x21), 0);	/* IMR again */
	fake_out8(f->cpu, 0x20, 0x20);
	pulse(f, 11);
	fake_out8(f->cpu, 0xa0, 0x0c);
	assert_int_equal(fake_in8(f->cpu, 0xa0), 0x83);
	assert_int_equal(isr(f, 0xa0), 0x08);
	assert_int_equal(take(f), NO_INT);
	fake_out8(f->cpu, 0xa0, 0x20);
	pulse(f, 15);
	fake_out8(f->cpu, 0x20, 0x0c);
	assert_int_equal(fake_in8(f->cpu, 0x20), 0x82);
}

/* INT gone between the processor's look and its INTA. */
static void
spurious(void **state)
{
	struct fixture *f = *state;

	init(f);
	fake_out8(f->cpu, 0x4d0, 0x20);
	i8259_set_irq(f->pic, 5, true);
	assert_true(f->intr);
	i8259_set_irq(f->pic, 5, false);
	assert_false(f->intr);
	assert_int_equal(i8259_peek(f->pic), NO_INT);
	assert_int_equal(i8259_inta(f->pic), 0x27);
	assert_int_equal(isr(f, 0x20), 0); /* how a guest tells it apart */
	pulse(f, 7);
	assert_int_equal(take(f), 0x27);
	assert_int_equal(isr(f, 0x20), 0x80);
}

static void
level_triggered(void **state)
{
	struct fixture *f = *state;

	init(f);
	fake_out8(f->cpu, 0x4d0, 0xff);
	fake_out8(f->cpu, 0x4d1, 0xff);
	assert_int_equal(fake_in8(f->cpu, 0x4d0), 0xf8);
	assert_int_equal(fake_in8(f->cpu, 0x4d1), 0xde);
	i8259_set_irq(f->pic, 11, true);
	assert_int_equal(take(f), 0x73);
	assert_int_equal(irr(f, 0xa0), 0x08); /* follows the line */
	assert_int_equal(take(f), NO_INT);
	fake_out8(f->cpu, 0xa0, 0x20);
	fake_out8(f->cpu, 0x20, 0x20);
	assert_int_equal(take(f), 0x73); /* still high: again */
	i8259_set_irq(f->pic, 11, false);
	fake_out8(f->cpu, 0xa0, 0x20);
	fake_out8(f->cpu, 0x20, 0x20);
	assert_int_equal(take(f), NO_INT);
	/* An edge line that is high does not repeat. */
	i8259_set_irq(f->pic, 1, true);
	i8259_set_irq(f->pic, 1, true);
	assert_int_equal(take(f), 0x21);
	fake_out8(f->cpu, 0x20, 0x20);
	assert_int_equal(take(f), NO_INT);
	/* Becoming level: the line decides, not the past. */
	fake_out8(f->cpu, 0x4d0, 0);
	pulse(f, 5);
	assert_int_equal(irr(f, 0x20), 0x20);
	fake_out8(f->cpu, 0x4d0, 0x20);
	assert_int_equal(irr(f, 0x20), 0);
	/* LTIM: all of them, also after ICW1 with the line high. */
	i8259_set_irq(f->pic, 6, true);
	init_with(f, 0x19, 0x01);
	assert_int_equal(irr(f, 0x20), 0x42);
	assert_int_equal(take(f), 0x21);
}

static void
output_pulses_per_inta(void **state)
{
	struct fixture *f = *state;

	init_with(f, 0x11, 0x03);
	pulse(f, 3);
	pulse(f, 4);
	assert_int_equal(f->rises, 1);
	assert_int_equal(take(f), 0x23);
	assert_int_equal(f->rises, 2);
	assert_true(f->intr);
	assert_int_equal(take(f), 0x24);
	assert_int_equal(f->rises, 2);
	assert_false(f->intr);
}

static void
bad_accesses(void **state)
{
	static const uint16_t ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0,
		0x4d1 };
	struct fixture *f = *state;

	init(f);
	fake_out8(f->cpu, 0x21, 0x55);
	for (size_t n = 0; n < ARRAY_LEN(ports); n++) {
		assert_int_equal(fake_in(f->cpu, ports[n], 2), 0xffff);
		assert_int_equal(fake_in(f->cpu, ports[n], 4), 0xffffffff);
		fake_out(f->cpu, ports[n], 2, 0);
		fake_out(f->cpu, ports[n], 4, 0);
	}
	assert_int_equal(fake_in8(f->cpu, 0x21), 0x55);
}

/* Every sequence of short writes leaves the pair working. */
static void
garbage(void **state)
{
	static const uint16_t ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0,
		0x4d1 };
	struct fixture *f = *state;
	uint32_t seed = 12345;

	for (unsigned int n = 0; n < 200000; n++) {
		uint16_t port;

		seed = seed * 1664525 + 1013904223;
		port = ports[(seed >> 8) % ARRAY_LEN(ports)];
		if (seed >> 31)
			fake_out8(f->cpu, port, (uint8_t)(seed >> 16));
		else
			fake_in8(f->cpu, port);
		i8259_set_irq(f->pic, (seed >> 12) & 15, seed >> 30 & 1);
		if (f->intr && (seed & 0x700) == 0)
			i8259_inta(f->pic);
	}
	for (unsigned int irq = 0; irq < 16; irq++)
		i8259_set_irq(f->pic, irq, false);
	fake_out8(f->cpu, 0x4d0, 0);
	fake_out8(f->cpu, 0x4d1, 0);
	init(f);
	pulse(f, 9);
	assert_int_equal(take(f), 0x71);
}

static void
snapshot(void **state)
{
	struct fixture *f = *state, *g;
	struct snap *s, *again;
	void *other;
	size_t len;

	init_with(f, 0x11, 0x11);
	fake_out8(f->cpu, 0x4d0, 0x20);
	fake_out8(f->cpu, 0xa1, 0x40);
	i8259_set_irq(f->pic, 5, true);
	pulse(f, 9);
	assert_int_equal(take(f), 0x71);
	fake_out8(f->cpu, 0x20, 0xc3);
	s = fake_save(f->ctx);
	setup(&other);
	g = other;
	assert_int_equal(fake_load(g->ctx, s), 0);
	assert_int_equal(g->intr, f->intr);
	again = fake_save(g->ctx);
	assert_true(fake_same(s, again));
	snap_destroy(again);
	assert_int_equal(take(g), 0x25); /* 4 is first now, then 5 */
	assert_int_equal(fake_in8(g->cpu, 0xa1), 0x40);
	snap_data(s, &len);
	for (size_t off = 0; off < len; off++)
		for (unsigned int b = 0; b < 256; b += 51) {
			fake_load_patched(g->ctx, s, off, (uint8_t)b);
			pulse(g, 1);
			if (g->intr)
				i8259_inta(g->pic);
		}
	/* A lowest priority of 8 would index past the end. */
	assert_int_equal(fake_load(g->ctx, s), 0);
	snap_destroy(s);
	teardown(&other);
}

static void
reset(void **state)
{
	struct fixture *f = *state;

	init(f);
	fake_out8(f->cpu, 0x4d0, 0x20);
	fake_out8(f->cpu, 0x21, 0x0f);
	i8259_set_irq(f->pic, 5, true);
	assert_true(f->intr);
	chips_reset(f->ctx);
	assert_false(f->intr);
	assert_int_equal(fake_in8(f->cpu, 0x21), 0);
	assert_int_equal(fake_in8(f->cpu, 0x4d0), 0);
	assert_int_equal(irr(f, 0x20), 0);
	pulse(f, 1);
	assert_false(f->intr);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(silent_until_initialised),
		T(initialisation_lengths),
		T(fully_nested),
		T(mask),
		T(cascade),
		T(special_fully_nested),
		T(automatic_eoi),
		T(rotation),
		T(special_mask),
		T(poll),
		T(spurious),
		T(level_triggered),
		T(output_pulses_per_inta),
		T(bad_accesses),
		T(garbage),
		T(snapshot),
		T(reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
