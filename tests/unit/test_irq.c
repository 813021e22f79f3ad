/* SPDX-License-Identifier: BSD-2-Clause */
/* test_irq.c - shared lines, messages, and libvmmapi's calls on them. */
#include "test.h"

#include <errno.h>
#include <pthread.h>

#include <util/log.h>
#include <vmm/irq.h>

#include "fake_engine.h"

struct chip {
	int level[IRQ_NGSI];
	unsigned int changes[IRQ_NGSI];
	unsigned int repeats; /* a level that was there already */
	uint64_t msi_addr;
	uint32_t msi_data;
};

static void
set_gsi(void *arg, unsigned int gsi, bool level)
{
	struct chip *c = arg;

	c->repeats += c->level[gsi] == (int)level;
	c->level[gsi] = level;
	c->changes[gsi]++;
}

static int
msi(void *arg, uint64_t addr, uint32_t data)
{
	struct chip *c = arg;

	if (addr >> 20 != 0xfee)
		return -EINVAL;
	c->msi_addr = addr;
	c->msi_data = data;
	return 0;
}

static const struct irqchip_ops ops = { .set_gsi = set_gsi, .msi = msi };
static struct chip chip;

static void
drop_line(enum log_level level, const char *line)
{
}

static int
setup(void **state)
{
	struct vmctx *ctx = fake_vm_new(2, NULL);

	log_set_sink(drop_line);
	chip = (struct chip){ 0 };
	irq_set_chip(ctx, &ops, &chip);
	*state = ctx;
	return 0;
}

static int
teardown(void **state)
{
	vm_close(*state);
	return 0;
}

static void
wired_or(void **state)
{
	struct irq_line a, b;

	irq_line_init(&a, *state, 17);
	irq_line_init(&b, *state, 17);
	irq_line_set(&a, false);
	assert_int_equal(chip.changes[17], 0);
	irq_line_set(&a, true);
	irq_line_set(&a, true); /* idempotent */
	irq_line_set(&b, true);
	assert_int_equal(chip.level[17], 1);
	assert_int_equal(chip.changes[17], 1);
	irq_line_set(&a, false);
	assert_int_equal(chip.level[17], 1);
	irq_line_set(&a, false);
	irq_line_set(&b, false);
	assert_int_equal(chip.level[17], 0);
	assert_int_equal(chip.changes[17], 2);
	/* A pulse under a held line is no edge. */
	irq_line_set(&b, true);
	irq_line_pulse(&a);
	assert_int_equal(chip.changes[17], 3);
	irq_line_set(&b, false);
	irq_line_pulse(&a);
	assert_int_equal(chip.changes[17], 6);
	assert_int_equal(chip.repeats, 0);
}

static void
late_chip_hears_levels(void **state)
{
	struct vmctx *ctx = fake_vm_new(1, NULL);
	struct irq_line a;

	irq_line_init(&a, ctx, 9);
	irq_line_set(&a, true);
	irq_msi(ctx, 0xfee00000, 0x41); /* nobody there: dropped */
	assert_int_equal(vm_lapic_msi(ctx, 0xfee00000, 0x41), -1);
	assert_int_equal(chip.changes[9], 0);
	irq_set_chip(ctx, &ops, &chip);
	assert_int_equal(chip.level[9], 1);
	assert_int_equal(chip.changes[9], 1);
	vm_close(ctx);
}

static void
messages(void **state)
{
	irq_msi(*state, 0xfee01000, 0x4031);
	assert_true(chip.msi_addr == 0xfee01000 && chip.msi_data == 0x4031);
	irq_msi(*state, 0xd0000000, 0x31); /* a guest's mistake */
	assert_true(chip.msi_addr == 0xfee01000);
	assert_int_equal(vm_lapic_msi(*state, 0xd0000000, 0x31), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_lapic_irq(vm_vcpu_get(*state, 1), 0x55), 0);
	assert_true(chip.msi_addr == 0xfee01000 && chip.msi_data == 0x55);
	assert_int_equal(vm_lapic_irq(vm_vcpu_get(*state, 0), 256), -1);
	assert_int_equal(vm_lapic_irq(vm_vcpu_get(*state, 0), 15), -1);
	assert_int_equal(errno, EINVAL);
}

static void
api_lines(void **state)
{
	struct irq_line dev;
	int pins = 0;

	irq_line_init(&dev, *state, 5);
	irq_line_set(&dev, true);
	/* The program cannot let go of what the device holds. */
	assert_int_equal(vm_ioapic_deassert_irq(*state, 5), 0);
	assert_int_equal(chip.level[5], 1);
	assert_int_equal(vm_ioapic_assert_irq(*state, 5), 0);
	assert_int_equal(vm_ioapic_assert_irq(*state, 5), 0);
	irq_line_set(&dev, false);
	assert_int_equal(vm_ioapic_deassert_irq(*state, 5), 0);
	assert_int_equal(chip.level[5], 1); /* counted */
	assert_int_equal(vm_ioapic_deassert_irq(*state, 5), 0);
	assert_int_equal(chip.level[5], 0);
	assert_int_equal(vm_ioapic_pulse_irq(*state, 23), 0);
	assert_int_equal(chip.changes[23], 2);
	assert_int_equal(vm_ioapic_assert_irq(*state, 24), -1);
	assert_int_equal(vm_ioapic_pulse_irq(*state, -1), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_ioapic_pincount(*state, &pins), 0);
	assert_int_equal(pins, 24);
}

static void
isa_lines(void **state)
{
	/* IRQ 0 is wired to pin 2; both names mean one line. */
	assert_int_equal(vm_isa_pulse_irq(*state, 0, 2), 0);
	assert_int_equal(chip.changes[0], 2);
	assert_int_equal(chip.changes[2], 0);
	assert_int_equal(vm_ioapic_pulse_irq(*state, 2), 0);
	assert_int_equal(chip.changes[0], 4);
	assert_int_equal(vm_isa_assert_irq(*state, 4, 4), 0);
	assert_int_equal(chip.level[4], 1);
	assert_int_equal(vm_isa_deassert_irq(*state, 4, 4), 0);
	assert_int_equal(chip.level[4], 0);
	assert_int_equal(vm_isa_assert_irq(*state, 7, -1), 0);
	assert_int_equal(chip.level[7], 1);
	assert_int_equal(vm_isa_assert_irq(*state, 3, 20), 0);
	assert_int_equal(chip.level[3] + chip.level[20], 2);
	assert_int_equal(vm_isa_assert_irq(*state, 16, -1), -1);
	assert_int_equal(vm_isa_assert_irq(*state, 3, 99), -1);
	assert_int_equal(errno, EINVAL);
}

static void *
hammer(void *arg)
{
	struct irq_line line;

	irq_line_init(&line, arg, 18);
	for (int i = 0; i < 20000; i++)
		irq_line_pulse(&line);
	return NULL;
}

/* The controller hears every change once and in order. */
static void
concurrent(void **state)
{
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		assert_int_equal(
		    pthread_create(&t[i], NULL, hammer, *state), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(chip.level[18], 0);
	assert_int_equal(chip.changes[18] % 2, 0);
	assert_int_equal(chip.repeats, 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(wired_or),
		T(late_chip_hears_levels),
		T(messages),
		T(api_lines),
		T(isa_lines),
		T(concurrent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
