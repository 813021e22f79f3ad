/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt lines through the I/O APIC and the 8259 pair, and messages.  The
 * host moves the lines (pairs_irq.c).
 */
#include "guest.h"

enum { LINE_UP = 1, LINE_DOWN, LINE_PULSE, SEND_MSI };

static volatile unsigned int nints, last_vector;
static volatile bool no_eoi;
static volatile unsigned int lower_at; /* the handler's n-th call lowers */
static unsigned int the_gsi;

static void
on_int(struct frame *f)
{
	nints++;
	last_vector = (unsigned int)f->vector;
	if (nints == lower_at)
		guest_call(LINE_DOWN, the_gsi);
	if (!no_eoi)
		apic_eoi();
}

static void
start(unsigned int gsi)
{
	the_gsi = gsi;
	nints = 0;
	no_eoi = false;
	lower_at = 0;
	trap_set(VEC_TEST, on_int);
	trap_set(VEC_TEST + 1, on_int);
}

static void
test_edge(void)
{
	start(5);
	ioapic_route(5, VEC_TEST);
	sti();
	guest_call(LINE_UP, 5);
	CHECK(WAIT_FOR(nints == 1, 1000000ull));
	delay_us(500);
	CHECK_EQ(nints, 1); /* high is no edge */
	guest_call(LINE_UP, 5);
	guest_call(LINE_DOWN, 5);
	delay_us(500);
	CHECK_EQ(nints, 1);
	guest_call(LINE_PULSE, 5);
	CHECK(WAIT_FOR(nints == 2, 1000000ull));
	/* Not routed: nothing comes, then or later. */
	ioapic_route(5, IOAPIC_MASKED | VEC_TEST);
	guest_call(LINE_PULSE, 5);
	delay_us(500);
	CHECK_EQ(nints, 2);
}

static void
test_level(void)
{
	start(18);
	ioapic_route(18, IOAPIC_LEVEL | VEC_TEST);
	sti();
	lower_at = 1;
	guest_call(LINE_UP, 18);
	CHECK(WAIT_FOR(nints == 1, 1000000ull));
	delay_us(500);
	CHECK_EQ(nints, 1);
	/* Held high: again after every EOI. */
	lower_at = 10;
	guest_call(LINE_UP, 18);
	CHECK(WAIT_FOR(nints >= 10, 1000000ull));
	delay_us(500);
	CHECK_EQ(nints, 10);
	/* Remote IRR is set from delivery to EOI. */
	no_eoi = true;
	nints = 0;
	guest_call(LINE_UP, 18);
	CHECK(WAIT_FOR(nints == 1, 1000000ull));
	cli();
	CHECK((ioapic_read(0x10 + 2 * 18) & IOAPIC_RIRR) != 0);
	CHECK(apic_bit(APIC_TMR, VEC_TEST));
	guest_call(LINE_DOWN, 18);
	apic_eoi();
	CHECK_EQ(ioapic_read(0x10 + 2 * 18) & IOAPIC_RIRR, 0);
	ioapic_route(18, IOAPIC_MASKED);
}

/* A level that came while masked is not lost; an edge is. */
static void
test_masked(void)
{
	start(19);
	ioapic_route(19, IOAPIC_MASKED | IOAPIC_LEVEL | VEC_TEST);
	sti();
	guest_call(LINE_UP, 19);
	delay_us(500);
	CHECK_EQ(nints, 0);
	lower_at = 1;
	ioapic_write(0x10 + 2 * 19, IOAPIC_LEVEL | VEC_TEST);
	CHECK(WAIT_FOR(nints == 1, 1000000ull));
	cli();
	ioapic_route(19, IOAPIC_MASKED);
}

static void
test_ioapic_registers(void)
{
	CHECK_EQ(ioapic_read(1) >> 16 & 0xff, 23);
	CHECK((ioapic_read(1) & 0xff) >= 0x11);
	ioapic_write(0x10 + 2 * 20, 0xffffffff);
	CHECK_EQ(ioapic_read(0x10 + 2 * 20) & ~0x5000u, 0x1afff);
	ioapic_write(0x11 + 2 * 20, 0x5a000000);
	CHECK_EQ(ioapic_read(0x11 + 2 * 20), 0x5a000000);
	ioapic_write(0x11 + 2 * 20, 0);
	ioapic_route(20, IOAPIC_MASKED);
}

/* The timer's line, IRQ 0, arrives at pin 2. */
static void
test_isa_override(void)
{
	start(0);
	ioapic_route(2, VEC_TEST + 1);
	sti();
	out8(0x43, 0x34); /* 8254, 1 kHz */
	out8(0x40, 1193 & 0xff);
	out8(0x40, 1193 >> 8);
	CHECK(WAIT_FOR(nints >= 2, 1000000ull));
	cli();
	out8(0x43, 0x30);
	ioapic_route(2, IOAPIC_MASKED);
	CHECK_EQ(last_vector, VEC_TEST + 1);
	/* One that came since the CLI is not left to the next test. */
	sti();
	delay_us(500);
	cli();
}

static void
test_msi(void)
{
	start(0);
	sti();
	guest_call(SEND_MSI, VEC_TEST);
	CHECK(WAIT_FOR(nints == 1, 1000000ull));
	CHECK_EQ(last_vector, VEC_TEST);
	cli();
}

/* --- 8259
 * ---------------------------------------------------------------------------
 */

#define PIC1	 0x20
#define PIC2	 0xa0
#define PIC_BASE 0x60

static volatile uint8_t pic_order[8];

static void
on_pic(struct frame *f)
{
	unsigned int irq = (unsigned int)f->vector - PIC_BASE;

	pic_order[nints++ % 8] = (uint8_t)irq;
	if (nints == lower_at)
		guest_call(LINE_DOWN, irq);
	if (no_eoi)
		return;
	if (irq >= 8)
		out8(PIC2, 0x20);
	out8(PIC1, 0x20);
}

static void
start_pic(uint16_t unmasked)
{
	start(0);
	for (unsigned int i = 0; i < 16; i++)
		trap_set(PIC_BASE + i, on_pic);
	apic_write(APIC_LVT_LINT0, LVT_EXTINT);
	pic_init(PIC_BASE, unmasked);
}

static void
stop_pic(void)
{
	cli();
	pic_mask_all();
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
}

static void
test_pic(void)
{
	start_pic(1u << 5 | 1u << 10 | 1u << 2);
	sti();
	guest_call(LINE_PULSE, 5);
	guest_call(LINE_UP, 5);
	CHECK(WAIT_FOR(nints >= 1, 1000000ull));
	CHECK_EQ(pic_order[0], 5);
	guest_call(LINE_DOWN, 5);
	delay_us(500);
	nints = 0;
	guest_call(LINE_UP, 10);
	CHECK(WAIT_FOR(nints == 1, 1000000ull));
	CHECK_EQ(pic_order[0], 10);
	guest_call(LINE_DOWN, 10);
	stop_pic();
}

static void
test_pic_priority(void)
{
	start_pic(1u << 3 | 1u << 5 | 1u << 10 | 1u << 2);
	cli();
	guest_call(LINE_UP, 5);
	guest_call(LINE_UP, 3);
	guest_call(LINE_UP, 10);
	/* IRR of both, by OCW3. */
	out8(PIC1, 0x0a);
	CHECK_EQ(in8(PIC1) & 0x2c, 0x2c);
	sti();
	CHECK(WAIT_FOR(nints == 3, 1000000ull));
	/* The second chip sits at 2: before 3. */
	CHECK_EQ(pic_order[0], 10);
	CHECK_EQ(pic_order[1], 3);
	CHECK_EQ(pic_order[2], 5);
	guest_call(LINE_DOWN, 5);
	guest_call(LINE_DOWN, 3);
	guest_call(LINE_DOWN, 10);
	/* In service until EOI; lower ones wait. */
	no_eoi = true;
	nints = 0;
	guest_call(LINE_UP, 3);
	CHECK(WAIT_FOR(nints == 1, 1000000ull));
	out8(PIC1, 0x0b);
	CHECK_EQ(in8(PIC1), 8);
	guest_call(LINE_UP, 5);
	delay_us(500);
	CHECK_EQ(nints, 1);
	no_eoi = false;
	out8(PIC1, 0x63); /* specific EOI of 3 */
	CHECK(WAIT_FOR(nints == 2, 1000000ull));
	guest_call(LINE_DOWN, 5);
	guest_call(LINE_DOWN, 3);
	stop_pic();
}

static void
test_pic_mask(void)
{
	start_pic(0);
	sti();
	guest_call(LINE_UP, 5);
	delay_us(500);
	CHECK_EQ(nints, 0);
	out8(PIC1 + 1, (uint8_t) ~(1u << 5));
	CHECK(WAIT_FOR(nints == 1, 1000000ull));
	CHECK_EQ(in8(PIC1 + 1), 0xdf);
	guest_call(LINE_DOWN, 5);
	stop_pic();
	/* LINT0 masked: the 8259 is not heard. */
	start_pic(1u << 5);
	apic_write(APIC_LVT_LINT0, LVT_MASKED | LVT_EXTINT);
	sti();
	guest_call(LINE_UP, 5);
	delay_us(500);
	CHECK_EQ(nints, 0);
	apic_write(APIC_LVT_LINT0, LVT_EXTINT);
	CHECK(WAIT_FOR(nints == 1, 1000000ull));
	guest_call(LINE_DOWN, 5);
	stop_pic();
}

/* Level by ELCR: again as long as it is high. */
static void
test_elcr(void)
{
	start_pic(1u << 11 | 1u << 2);
	out8(0x4d1, 1u << 3);
	CHECK_EQ(in8(0x4d1), 1u << 3);
	sti();
	lower_at = 5;
	guest_call(LINE_UP, 11);
	CHECK(WAIT_FOR(nints >= 5, 1000000ull));
	delay_us(500);
	CHECK_EQ(nints, 5);
	out8(0x4d1, 0);
	stop_pic();
}

const struct guest_test guest_tests[] = {
	TEST("I/O APIC registers", test_ioapic_registers),
	TEST("edge", test_edge),
	TEST("level", test_level),
	TEST("masked", test_masked),
	TEST("IRQ 0 at pin 2", test_isa_override),
	TEST("MSI", test_msi),
	TEST("8259", test_pic),
	TEST("8259 priorities", test_pic_priority),
	TEST("8259 masks and LINT0", test_pic_mask),
	TEST("8259 level", test_elcr),
	TEST_END,
};
