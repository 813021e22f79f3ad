/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ioapic.c - the I/O APIC: its window, redirection entries, edges and
 * levels, EOI, destinations.
 */
#include "fake_vmm.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chip/chips.h>
#include <util/util.h>

#define NCPUS	   4
#define LAPIC	   0xfee00000ull
#define IOAPIC	   0xfec00000ull

#define RTE_MASKED 0x10000u
#define RTE_LEVEL  0x8000u
#define RTE_RIRR   0x4000u

struct fixture {
	struct vmctx *ctx;
	struct irqchip *chip;
	struct vcpu *cpu[NCPUS];
	struct irq_line line[IRQ_NGSI];
};

static void
lapic_write(struct vcpu *vcpu, unsigned int reg, uint32_t val)
{
	fake_mmio_write(vcpu, LAPIC + reg * 16, 4, val);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->ctx = fake_vm_new(NCPUS);
	assert_int_equal(irqchip_create(f->ctx, false, &f->chip), 0);
	for (unsigned int i = 0; i < NCPUS; i++) {
		f->cpu[i] = vm_vcpu_get(f->ctx, i);
		lapic_write(f->cpu[i], 0x0f, 0x1ff);
		lapic_write(f->cpu[i], 0x0d, 1u << (24 + i));
		fake_events(f->cpu[i]);
	}
	for (unsigned int gsi = 0; gsi < IRQ_NGSI; gsi++)
		irq_line_init(&f->line[gsi], f->ctx, gsi);
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

static uint32_t
rd(struct fixture *f, uint8_t index)
{
	fake_mmio_write(f->cpu[0], IOAPIC, 4, index);
	return (uint32_t)fake_mmio_read(f->cpu[0], IOAPIC + 0x10, 4);
}

static void
wr(struct fixture *f, uint8_t index, uint32_t val)
{
	fake_mmio_write(f->cpu[0], IOAPIC, 4, index);
	fake_mmio_write(f->cpu[0], IOAPIC + 0x10, 4, val);
}

static void
rte(struct fixture *f, unsigned int pin, uint8_t dest, uint32_t low)
{
	wr(f, (uint8_t)(0x10 + 2 * pin), RTE_MASKED);
	wr(f, (uint8_t)(0x11 + 2 * pin), (uint32_t)dest << 24);
	wr(f, (uint8_t)(0x10 + 2 * pin), low);
}

static uint32_t
rte_low(struct fixture *f, unsigned int pin)
{
	return rd(f, (uint8_t)(0x10 + 2 * pin));
}

static void
eoi(struct vcpu *vcpu)
{
	lapic_write(vcpu, 0x0b, 0);
}

/* Bit i: vCPU i takes and ends `vector`. */
static unsigned int
who_takes(struct fixture *f, int vector)
{
	unsigned int who = 0;

	for (unsigned int i = 0; i < NCPUS; i++)
		if (fake_accept(f->cpu[i]) == vector) {
			eoi(f->cpu[i]);
			who |= 1u << i;
		}
	return who;
}

/* --- registers -------------------------------------------------------- */

static void
reset_values(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fake_mmio_read(f->cpu[0], IOAPIC, 4), 0);
	assert_int_equal(rd(f, 0), 0);
	assert_int_equal(rd(f, 1), 0x00170011);
	assert_int_equal(rd(f, 2), 0);
	for (unsigned int pin = 0; pin < IRQ_NGSI; pin++) {
		assert_int_equal(rte_low(f, pin), 0x00010000);
		assert_int_equal(rd(f, (uint8_t)(0x11 + 2 * pin)), 0x00010000);
	}
}

static void
writable_bits(void **state)
{
	struct fixture *f = *state;

	wr(f, 0, 0xffffffff);
	assert_int_equal(rd(f, 0), 0x0f000000);
	assert_int_equal(rd(f, 2), 0x0f000000); /* loaded with the id */
	wr(f, 1, 0xffffffff);
	assert_int_equal(rd(f, 1), 0x00170011);
	wr(f, 2, 0);
	assert_int_equal(rd(f, 2), 0x0f000000);
	for (unsigned int pin = 0; pin < IRQ_NGSI; pin++) {
		wr(f, (uint8_t)(0x10 + 2 * pin), 0xffffffff);
		wr(f, (uint8_t)(0x11 + 2 * pin), 0xffffffff);
		assert_int_equal(rte_low(f, pin), 0x1afff);
		assert_int_equal(rd(f, (uint8_t)(0x11 + 2 * pin)), 0xff000000);
	}
	fake_mmio_write(f->cpu[0], IOAPIC, 4, 0x1234563f);
	assert_int_equal(fake_mmio_read(f->cpu[0], IOAPIC, 4), 0x3f);
}

static void
bad_accesses(void **state)
{
	struct fixture *f = *state;

	/* Indices that are no register. */
	for (unsigned int index = 0x40; index < 0x100; index++) {
		wr(f, (uint8_t)index, 0xffffffff);
		assert_int_equal(rd(f, (uint8_t)index), 0);
	}
	for (unsigned int index = 3; index < 0x10; index++)
		assert_int_equal(rd(f, (uint8_t)index), 0);
	fake_mmio_write(f->cpu[0], IOAPIC, 4, 1);
	assert_int_equal(fake_mmio_read(f->cpu[0], IOAPIC + 0x10, 1), 0);
	assert_int_equal(fake_mmio_read(f->cpu[0], IOAPIC + 0x10, 2), 0);
	assert_int_equal(fake_mmio_read(f->cpu[0], IOAPIC + 0x10, 8), 0);
	assert_int_equal(fake_mmio_read(f->cpu[0], IOAPIC + 0x12, 4), 0);
	assert_int_equal(fake_mmio_read(f->cpu[0], IOAPIC + 0x20, 4), 0);
	assert_int_equal(fake_mmio_read(f->cpu[0], IOAPIC + 0x40, 4), 0);
	assert_int_equal(fake_mmio_read(f->cpu[0], IOAPIC + 0xffc, 4), 0);
	fake_mmio_write(f->cpu[0], IOAPIC, 1, 2);
	fake_mmio_write(f->cpu[0], IOAPIC, 8, 2);
	fake_mmio_write(f->cpu[0], IOAPIC + 0x40, 4, 2);
	assert_int_equal(fake_mmio_read(f->cpu[0], IOAPIC, 4), 1);
	assert_int_equal(rd(f, 1), 0x00170011);
}

/* --- edges ------------------------------------------------------------ */

static void
edge(void **state)
{
	struct fixture *f = *state;

	for (unsigned int pin = 1; pin < IRQ_NGSI; pin++) {
		unsigned int gsi = pin == 2 ? 0 : pin;

		rte(f, pin, 1, 0x40 + pin);
		irq_line_set(&f->line[gsi], true);
		assert_int_equal(who_takes(f, 0x40 + (int)pin), 1 << 1);
		assert_int_equal(rte_low(f, pin), 0x40 + pin); /* no RIRR */
		assert_int_equal(who_takes(f, 0x40 + (int)pin), 0);
		irq_line_set(&f->line[gsi], false);
		assert_int_equal(who_takes(f, 0x40 + (int)pin), 0);
		irq_line_pulse(&f->line[gsi]);
		assert_int_equal(who_takes(f, 0x40 + (int)pin), 1 << 1);
	}
}

/* An edge on a masked pin is lost; opening it later makes none. */
static void
edge_masked(void **state)
{
	struct fixture *f = *state;

	rte(f, 5, 1, 0x45 | RTE_MASKED);
	irq_line_pulse(&f->line[5]);
	irq_line_set(&f->line[5], true);
	rte(f, 5, 1, 0x45);
	assert_int_equal(who_takes(f, 0x45), 0);
	irq_line_set(&f->line[5], false);
	irq_line_set(&f->line[5], true);
	assert_int_equal(who_takes(f, 0x45), 1 << 1);
}

/* Polarity is in the wiring: lines are logical. */
static void
polarity(void **state)
{
	struct fixture *f = *state;

	rte(f, 5, 1, 0x45 | 0x2000);
	assert_int_equal(who_takes(f, 0x45), 0);
	irq_line_set(&f->line[5], true);
	assert_int_equal(who_takes(f, 0x45), 1 << 1);
	assert_int_equal(rte_low(f, 5), 0x2045);
}

/* --- levels ----------------------------------------------------------- */

static void
level(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[2];

	rte(f, 16, 2, 0x50 | RTE_LEVEL);
	assert_int_equal(fake_pending(cpu), -1);
	irq_line_set(&f->line[16], true);
	assert_int_equal(rte_low(f, 16), 0x50 | RTE_LEVEL | RTE_RIRR);
	assert_int_equal(fake_accept(cpu), 0x50);
	assert_int_equal(fake_mmio_read(cpu, LAPIC + 0x180 + 0x20, 4),
	    1u << (0x50 % 32)); /* TMR */
	assert_int_equal(fake_pending(cpu), -1);
	fake_events(cpu);
	eoi(cpu); /* still high: at once again */
	assert_int_equal(fake_events(cpu), VCPU_EV_INTR);
	assert_int_equal(fake_accept(cpu), 0x50);
	irq_line_set(&f->line[16], false);
	assert_int_equal(rte_low(f, 16), 0x50 | RTE_LEVEL | RTE_RIRR);
	eoi(cpu);
	assert_int_equal(rte_low(f, 16), 0x50 | RTE_LEVEL);
	assert_int_equal(fake_pending(cpu), -1);
	/* High, low, high before the EOI: one more after it. */
	irq_line_set(&f->line[16], true);
	assert_int_equal(fake_accept(cpu), 0x50);
	irq_line_set(&f->line[16], false);
	irq_line_set(&f->line[16], true);
	assert_int_equal(fake_pending(cpu), -1);
	eoi(cpu);
	assert_int_equal(fake_accept(cpu), 0x50);
	irq_line_set(&f->line[16], false);
	eoi(cpu);
	assert_int_equal(fake_pending(cpu), -1);
}

static void
level_shared(void **state)
{
	struct fixture *f = *state;
	struct irq_line other;

	irq_line_init(&other, f->ctx, 17);
	rte(f, 17, 0, 0x51 | RTE_LEVEL);
	irq_line_set(&f->line[17], true);
	irq_line_set(&other, true);
	assert_int_equal(fake_accept(f->cpu[0]), 0x51);
	irq_line_set(&f->line[17], false);
	eoi(f->cpu[0]); /* the other still holds it */
	assert_int_equal(fake_accept(f->cpu[0]), 0x51);
	irq_line_set(&other, false);
	eoi(f->cpu[0]);
	assert_int_equal(fake_pending(f->cpu[0]), -1);
}

static void
level_masked(void **state)
{
	struct fixture *f = *state;

	rte(f, 18, 0, 0x52 | RTE_LEVEL | RTE_MASKED);
	irq_line_set(&f->line[18], true);
	assert_int_equal(fake_pending(f->cpu[0]), -1);
	assert_int_equal(rte_low(f, 18), 0x52 | RTE_LEVEL | RTE_MASKED);
	rte(f, 18, 0, 0x52 | RTE_LEVEL);
	assert_int_equal(fake_accept(f->cpu[0]), 0x52);
	/* Masked in service: EOI ends it, opening it starts it again. */
	wr(f, 0x10 + 36, 0x52 | RTE_LEVEL | RTE_MASKED);
	eoi(f->cpu[0]);
	assert_int_equal(fake_pending(f->cpu[0]), -1);
	assert_int_equal(rte_low(f, 18), 0x52 | RTE_LEVEL | RTE_MASKED);
	wr(f, 0x10 + 36, 0x52 | RTE_LEVEL);
	assert_int_equal(fake_accept(f->cpu[0]), 0x52);
	/* Raised and gone while masked: nothing. */
	irq_line_set(&f->line[18], false);
	eoi(f->cpu[0]);
	wr(f, 0x10 + 36, 0x52 | RTE_LEVEL | RTE_MASKED);
	irq_line_pulse(&f->line[18]);
	wr(f, 0x10 + 36, 0x52 | RTE_LEVEL);
	assert_int_equal(fake_pending(f->cpu[0]), -1);
}

/* Linux ends a level interrupt this way where there is no EOI register. */
static void
remote_irr_cleared_by_edge(void **state)
{
	struct fixture *f = *state;

	rte(f, 19, 0, 0x53 | RTE_LEVEL);
	irq_line_set(&f->line[19], true);
	assert_int_equal(fake_accept(f->cpu[0]), 0x53);
	wr(f, 0x10 + 38, 0x53 | RTE_LEVEL | RTE_RIRR); /* not by writing it */
	assert_int_equal(rte_low(f, 19), 0x53 | RTE_LEVEL | RTE_RIRR);
	wr(f, 0x10 + 38, 0x53 | RTE_MASKED);
	assert_int_equal(rte_low(f, 19), 0x53 | RTE_MASKED);
	wr(f, 0x10 + 38, 0x53 | RTE_LEVEL);
	assert_int_equal(rte_low(f, 19), 0x53 | RTE_LEVEL | RTE_RIRR);
	eoi(f->cpu[0]);
	assert_int_equal(fake_accept(f->cpu[0]), 0x53);
}

/* The EOI goes by vector, to every pin that has it. */
static void
eoi_by_vector(void **state)
{
	struct fixture *f = *state;

	rte(f, 20, 0, 0x60 | RTE_LEVEL);
	rte(f, 21, 0, 0x60 | RTE_LEVEL);
	rte(f, 22, 1, 0x61 | RTE_LEVEL);
	irq_line_set(&f->line[20], true);
	irq_line_set(&f->line[21], true);
	irq_line_set(&f->line[22], true);
	assert_int_equal(fake_accept(f->cpu[0]), 0x60);
	irq_line_set(&f->line[20], false);
	irq_line_set(&f->line[21], false);
	eoi(f->cpu[0]);
	assert_int_equal(rte_low(f, 20) & RTE_RIRR, 0);
	assert_int_equal(rte_low(f, 21) & RTE_RIRR, 0);
	assert_int_equal(rte_low(f, 22) & RTE_RIRR, RTE_RIRR);
	assert_int_equal(fake_pending(f->cpu[0]), -1);
	/* An edge of the same vector ends without a broadcast. */
	irq_msi(f->ctx, LAPIC, 0x61);
	assert_int_equal(fake_accept(f->cpu[0]), 0x61);
	eoi(f->cpu[0]);
	assert_int_equal(rte_low(f, 22) & RTE_RIRR, RTE_RIRR);
	assert_int_equal(fake_accept(f->cpu[1]), 0x61);
}

/* Who holds a line by an eventfd lets go at the EOI, and is told of it. */
static void
eoi_told(void **state)
{
	struct fixture *f = *state;
	int fd = eventfd(0, EFD_CLOEXEC);
	int resample = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	eventfd_t n;

	assert_true(fd >= 0 && resample >= 0);
	rte(f, 20, 0, 0x60 | RTE_LEVEL);
	rte(f, 21, 0, 0x61 | RTE_LEVEL);
	assert_int_equal(vm_irqfd_pin(f->ctx, fd, 20, resample), 0);
	assert_int_equal(eventfd_write(fd, 1), 0);
	assert_int_equal(vm_event_poll(f->ctx, 1000), 1);
	assert_int_equal(fake_accept(f->cpu[0]), 0x60);
	/* Another line's is not this one's. */
	irq_line_set(&f->line[21], true);
	assert_int_equal(fake_accept(f->cpu[0]), -1);
	assert_int_equal(eventfd_read(resample, &n), -1);
	irq_line_set(&f->line[21], false);
	eoi(f->cpu[0]);
	assert_int_equal(eventfd_read(resample, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(rte_low(f, 20) & RTE_RIRR, 0);
	/* The line fell in time. */
	assert_int_equal(fake_accept(f->cpu[0]), 0x61);
	eoi(f->cpu[0]);
	assert_int_equal(fake_accept(f->cpu[0]), -1);
	assert_int_equal(eventfd_read(resample, &n), -1);
	/* A device holds it, too. */
	irq_line_set(&f->line[20], true);
	assert_int_equal(eventfd_write(fd, 1), 0);
	assert_int_equal(vm_event_poll(f->ctx, 1000), 1);
	assert_int_equal(fake_accept(f->cpu[0]), 0x60);
	eoi(f->cpu[0]);
	assert_int_equal(eventfd_read(resample, &n), 0);
	assert_int_equal(fake_accept(f->cpu[0]), 0x60);
	close(fd);
	close(resample);
}

/* Nobody took it: it is repeated until somebody does. */
static void
level_refused(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[3];

	lapic_write(cpu, 0x0f, 0xff); /* software-disabled */
	rte(f, 23, 3, 0x70 | RTE_LEVEL);
	irq_line_set(&f->line[23], true);
	assert_int_equal(rte_low(f, 23), 0x70 | RTE_LEVEL);
	lapic_write(cpu, 0x0f, 0x1ff);
	assert_int_equal(rte_low(f, 23), 0x70 | RTE_LEVEL | RTE_RIRR);
	assert_int_equal(fake_accept(cpu), 0x70);
	irq_line_set(&f->line[23], false);
	eoi(cpu);
	/* By logical address; and it is forgotten with the line. */
	rte(f, 23, 0x40, 0x70 | RTE_LEVEL | 0x800);
	irq_line_set(&f->line[23], true);
	lapic_write(cpu, 0x0d, 0x40000000);
	assert_int_equal(fake_accept(cpu), 0x70);
	irq_line_set(&f->line[23], false);
	eoi(cpu);
	lapic_write(cpu, 0x0d, 0);
	irq_line_set(&f->line[23], true);
	irq_line_set(&f->line[23], false);
	lapic_write(cpu, 0x0d, 0x40000000);
	assert_int_equal(fake_pending(cpu), -1);
	/* A hardware-disabled APIC that comes back. */
	fake_wrmsr(cpu, 0x1b, 0xfee00000);
	rte(f, 23, 3, 0x70 | RTE_LEVEL);
	irq_line_set(&f->line[23], true);
	fake_wrmsr(cpu, 0x1b, 0xfee00800);
	assert_int_equal(rte_low(f, 23) & RTE_RIRR, 0);
	lapic_write(cpu, 0x0f, 0x1ff);
	assert_int_equal(fake_accept(cpu), 0x70);
}

/* --- destinations and modes ------------------------------------------- */

static void
destinations(void **state)
{
	struct fixture *f = *state;

	rte(f, 9, 0xff, 0x49);
	irq_line_pulse(&f->line[9]);
	assert_int_equal(who_takes(f, 0x49), 0xf);
	rte(f, 9, 9, 0x49); /* absent */
	irq_line_pulse(&f->line[9]);
	assert_int_equal(who_takes(f, 0x49), 0);
	rte(f, 9, 0x6, 0x49 | 0x800);
	irq_line_pulse(&f->line[9]);
	assert_int_equal(who_takes(f, 0x49), 0x6);
	lapic_write(f->cpu[1], 0x08, 0x20);
	rte(f, 9, 0x6, 0x49 | 0x800 | 0x100); /* lowest priority */
	irq_line_pulse(&f->line[9]);
	assert_int_equal(who_takes(f, 0x49), 0x4);
	/* x2APICs: logical 8-bit ids are cluster 0's. */
	fake_wrmsr(f->cpu[1], 0x1b, 0xfee00c00);
	rte(f, 9, 0x2, 0x49 | 0x800);
	irq_line_pulse(&f->line[9]);
	assert_int_equal(fake_accept(f->cpu[1]), 0x49);
	fake_wrmsr(f->cpu[1], 0x80b, 0);
	rte(f, 9, 1, 0x49);
	irq_line_pulse(&f->line[9]);
	assert_int_equal(fake_accept(f->cpu[1]), 0x49);
}

static void
delivery_modes(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint32_t mode, event;
	} table[] = { { 0x200, 0 }, { 0x300, 0 }, { 0x400, VCPU_EV_NMI },
		{ 0x500, VCPU_EV_INIT } };

	for (size_t n = 0; n < ARRAY_LEN(table); n++) {
		rte(f, 7, 1, table[n].mode | RTE_LEVEL);
		fake_events(f->cpu[1]);
		irq_line_set(&f->line[7], true);
		assert_int_equal(fake_events(f->cpu[1]), table[n].event);
		/* Edge-triggered whatever the entry says. */
		assert_int_equal(rte_low(f, 7) & RTE_RIRR, 0);
		irq_line_set(&f->line[7], false);
		assert_int_equal(fake_events(f->cpu[1]), 0);
	}
}

static void
illegal_vectors(void **state)
{
	struct fixture *f = *state;

	for (uint32_t vector = 0; vector < 16; vector++) {
		rte(f, 7, 1, vector);
		irq_line_pulse(&f->line[7]);
		assert_int_equal(fake_pending(f->cpu[1]), -1);
		lapic_write(f->cpu[1], 0x28, 0);
		assert_int_equal(
		    fake_mmio_read(f->cpu[1], LAPIC + 0x280, 4), 0x40);
		rte(f, 7, 1, vector | RTE_LEVEL);
		irq_line_set(&f->line[7], true);
		assert_int_equal(rte_low(f, 7) & RTE_RIRR, 0);
		irq_line_set(&f->line[7], false);
	}
}

/* --- life ------------------------------------------------------------- */

static void
snapshot(void **state)
{
	struct fixture *f = *state, *g;
	struct snap *s, *again;
	void *other;
	size_t len;

	wr(f, 0, 0x05000000);
	rte(f, 16, 2, 0x50 | RTE_LEVEL);
	rte(f, 5, 1, 0x45);
	irq_line_set(&f->line[5], true);
	assert_int_equal(who_takes(f, 0x45), 1 << 1);
	irq_line_set(&f->line[16], true);
	fake_mmio_write(f->cpu[0], IOAPIC, 4, 0x32);
	s = fake_save(f->ctx);
	setup(&other);
	g = other;
	assert_int_equal(fake_load(g->ctx, s), 0);
	again = fake_save(g->ctx);
	assert_true(fake_same(s, again));
	snap_destroy(again);
	assert_int_equal(fake_mmio_read(g->cpu[0], IOAPIC, 4), 0x32);
	assert_int_equal(rte_low(g, 16), 0x50 | RTE_LEVEL | RTE_RIRR);
	/* The devices say their levels again: no second interrupt. */
	irq_line_set(&g->line[16], true);
	irq_line_set(&g->line[5], true);
	assert_int_equal(fake_pending(g->cpu[1]), -1);
	irq_line_set(&g->line[5], false);
	assert_int_equal(fake_accept(g->cpu[2]), 0x50);
	irq_line_set(&g->line[16], false);
	eoi(g->cpu[2]);
	assert_int_equal(fake_pending(g->cpu[2]), -1);
	irq_line_pulse(&g->line[5]);
	assert_int_equal(who_takes(g, 0x45), 1 << 1);
	snap_data(s, &len);
	for (size_t off = 0; off < len; off++) {
		fake_load_patched(g->ctx, s, off, 0xff);
		for (unsigned int gsi = 0; gsi < IRQ_NGSI; gsi++)
			irq_line_pulse(&g->line[gsi]);
		who_takes(g, 0x45);
		rte_low(g, 5);
	}
	assert_int_equal(fake_load(g->ctx, s), 0);
	snap_destroy(s);
	teardown(&other);
}

static void
reset(void **state)
{
	struct fixture *f = *state;

	wr(f, 0, 0x05000000);
	rte(f, 16, 2, 0x50 | RTE_LEVEL);
	irq_line_set(&f->line[16], true);
	chips_reset(f->ctx);
	reset_values(state);
	/* The line is still high: a device's reset is its own affair. */
	lapic_write(f->cpu[2], 0x0f, 0x1ff);
	rte(f, 16, 2, 0x51 | RTE_LEVEL);
	assert_int_equal(fake_accept(f->cpu[2]), 0x51);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(reset_values),
		T(writable_bits),
		T(bad_accesses),
		T(edge),
		T(edge_masked),
		T(polarity),
		T(level),
		T(level_shared),
		T(level_masked),
		T(remote_irr_cleared_by_edge),
		T(eoi_by_vector),
		T(eoi_told),
		T(level_refused),
		T(destinations),
		T(delivery_modes),
		T(illegal_vectors),
		T(snapshot),
		T(reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
