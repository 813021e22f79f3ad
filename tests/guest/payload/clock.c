/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The platform's clocks against the TSC: 8254 (interrupts, counter 2 and its
 * gate), HPET, ACPI PM timer, RTC.  Margins are for a busy host; each is
 * retried.
 */
#include "guest.h"

#define PIT_HZ	  1193182ull
#define PIT_CMD	  0x43
#define PIT_CH0	  0x40
#define PIT_CH2	  0x42
#define NMISC	  0x61
#define PMTMR	  0x408
#define PMTMR_HZ  3579545ull
#define HPET	  0xfed00000ull
#define RTC_INDEX 0x70
#define RTC_DATA  0x71
#define PIN_PIT	  2
#define PIN_RTC	  8
#define PIN_HPET  20

static volatile unsigned int nints;
static volatile uint64_t first, last;
static bool read_rtc_c;

static uint8_t
rtc(uint8_t reg)
{
	out8(RTC_INDEX, reg);
	return in8(RTC_DATA);
}

static void
rtc_set(uint8_t reg, uint8_t val)
{
	out8(RTC_INDEX, reg);
	out8(RTC_DATA, val);
}

static void
on_int(struct frame *f)
{
	uint64_t now = rdtsc();

	if (nints++ == 0)
		first = now;
	last = now;
	if (read_rtc_c)
		(void)rtc(0xc);
	apic_eoi();
}

static void
start(unsigned int pin)
{
	nints = 0;
	read_rtc_c = pin == PIN_RTC;
	trap_set(VEC_TEST, on_int);
	ioapic_route(pin, VEC_TEST);
}

static uint64_t
hpet_read(unsigned int off)
{
	return *(volatile uint32_t *)(HPET + off);
}

static void
hpet_write(unsigned int off, uint32_t v)
{
	*(volatile uint32_t *)(HPET + off) = v;
}

/* Microseconds between the first of n interrupts and the last. */
static uint64_t
period_us(unsigned int n, uint64_t limit_us)
{
	sti();
	if (!WAIT_FOR(nints >= n, limit_us))
		FAIL("only %u interrupts of %u", nints, n);
	cli();
	return (last - first) * 1000 / tsc_khz() / (nints - 1);
}

static void
test_pit_interrupts(void)
{
	uint64_t us;

	start(PIN_PIT);
	out8(PIT_CMD, 0x34); /* counter 0, mode 2 */
	out8(PIT_CH0, 11932 & 0xff);
	out8(PIT_CH0, 11932 >> 8); /* 100 Hz */
	us = period_us(21, 2000000);
	out8(PIT_CMD, 0x30); /* mode 0: silent until a count is written */
	ioapic_route(PIN_PIT, IOAPIC_MASKED);
	CHECK_RANGE(us, 9800, 10400);
}

static uint16_t
pit_read(unsigned int n)
{
	uint8_t lo;

	out8(PIT_CMD, (uint8_t)(n << 6)); /* latch */
	lo = in8((uint16_t)(PIT_CH0 + n));
	return (uint16_t)(lo | in8((uint16_t)(PIT_CH0 + n)) << 8);
}

static void
test_pit_counter(void)
{
	uint64_t t, ticks;
	uint16_t a, b;

	out8(NMISC, (in8(NMISC) & ~3) | 1); /* gate on, speaker off */
	out8(PIT_CMD, 0xb0);		    /* counter 2, mode 0 */
	out8(PIT_CH2, 0xff);
	out8(PIT_CH2, 0xff);
	t = rdtsc();
	a = pit_read(2);
	delay_us(20000);
	b = pit_read(2);
	t = rdtsc() - t;
	ticks = (uint16_t)(a - b);
	CHECK_RANGE(ticks * 1000000 / PIT_HZ * 1000, t * 1000 / tsc_khz() * 980,
	    t * 1000 / tsc_khz() * 1020);
}

static void
test_pit_gate(void)
{
	uint16_t a;

	/* OUT of counter 2 in mode 0, as kernels calibrate by it. */
	out8(NMISC, (in8(NMISC) & ~3) | 1);
	out8(PIT_CMD, 0xb0);
	out8(PIT_CH2, 11932 & 0xff);
	out8(PIT_CH2, 11932 >> 8);
	uint64_t t = rdtsc();

	CHECK_EQ(in8(NMISC) & 0x20, 0);
	CHECK(WAIT_FOR((in8(NMISC) & 0x20) != 0, 1000000ull));
	t = (rdtsc() - t) * 1000 / tsc_khz();
	CHECK_RANGE(t, 9900, 11500);
	/* Gate off: it stands. */
	out8(PIT_CMD, 0xb0);
	out8(PIT_CH2, 0xff);
	out8(PIT_CH2, 0xff);
	delay_us(1000);
	out8(NMISC, in8(NMISC) & ~1);
	a = pit_read(2);
	delay_us(2000);
	CHECK_EQ(pit_read(2), a);
	/* Bit 4 toggles with memory refresh. */
	CHECK(WAIT_FOR((in8(NMISC) & 0x10) != 0, 100000ull));
	CHECK(WAIT_FOR((in8(NMISC) & 0x10) == 0, 100000ull));
}

static void
test_hpet_counter(void)
{
	uint64_t t, a, ns, fs = *(volatile uint32_t *)(HPET + 4);

	CHECK_RANGE(fs, 1, 100000000);
	hpet_write(0x10, 1);
	t = rdtsc();
	a = hpet_read(0xf0);
	delay_us(20000);
	a = (uint32_t)(hpet_read(0xf0) - a);
	t = rdtsc() - t;
	ns = a * fs / 1000000;
	CHECK_RANGE(ns / 1000, t * 1000 / tsc_khz() * 98 / 100,
	    t * 1000 / tsc_khz() * 102 / 100);
	hpet_write(0x10, 0);
	a = hpet_read(0xf0);
	delay_us(1000);
	CHECK_EQ(hpet_read(0xf0), a);
}

static void
test_hpet_timer(void)
{
	uint32_t ticks = (uint32_t)(10000000000000ull / /* 10 ms in fs */
				    *(volatile uint32_t *)(HPET + 4));
	uint32_t routes = *(volatile uint32_t *)(HPET + 0x104);
	uint64_t us;

	CHECK((routes & 1u << PIN_HPET) != 0);
	start(PIN_HPET);
	hpet_write(0x10, 0);
	hpet_write(0xf0, 0);
	hpet_write(0x100, 0x4c | PIN_HPET << 9); /* periodic, value set, on */
	hpet_write(0x108, ticks);
	hpet_write(0x108, ticks);
	hpet_write(0x10, 1);
	us = period_us(11, 2000000);
	hpet_write(0x100, 0);
	hpet_write(0x10, 0);
	ioapic_route(PIN_HPET, IOAPIC_MASKED);
	CHECK_RANGE(us, 9700, 10600);
}

static void
test_pm_timer(void)
{
	uint64_t t = rdtsc();
	uint32_t a = in32(PMTMR), b;

	delay_us(20000);
	b = in32(PMTMR);
	t = rdtsc() - t;
	CHECK_RANGE((uint64_t)(b - a) * 1000000 / PMTMR_HZ,
	    t * 1000 / tsc_khz() * 98 / 100, t * 1000 / tsc_khz() * 102 / 100);
}

static void
test_rtc_periodic(void)
{
	uint64_t us;

	start(PIN_RTC);
	rtc_set(0xa, 0x28); /* 256 Hz */
	(void)rtc(0xc);
	rtc_set(0xb, 0x42);
	us = period_us(27, 3000000);
	rtc_set(0xb, 0x02);
	rtc_set(0xa, 0x26);
	ioapic_route(PIN_RTC, IOAPIC_MASKED);
	CHECK_RANGE(us, 3800, 4200);
}

static unsigned int
rtc_seconds(void)
{
	unsigned int s, again;

	do {
		s = rtc(0);
		again = rtc(0);
	} while (s != again || (rtc(0xa) & 0x80) != 0);
	return (s & 15) + (s >> 4) * 10;
}

static void
test_rtc_update(void)
{
	unsigned int s;

	start(PIN_RTC);
	(void)rtc(0xc);
	rtc_set(0xb, 0x12); /* update-ended interrupt */
	s = rtc_seconds();
	sti();
	CHECK(WAIT_FOR(nints >= 1, 1500000ull));
	CHECK(WAIT_FOR(nints >= 2, 1500000ull));
	cli();
	rtc_set(0xb, 0x02);
	ioapic_route(PIN_RTC, IOAPIC_MASKED);
	CHECK_RANGE((last - first) * 1000 / tsc_khz(), 900000, 1100000);
	s = (rtc_seconds() + 60 - s) % 60;
	CHECK_RANGE(s, 1, 3);
	/* BCD in the twenty-first century, and a valid RAM. */
	CHECK((rtc(0xd) & 0x80) != 0);
	CHECK_EQ(rtc(0x32), 0x20);
}

static void
test_clocks_agree(void)
{
	uint64_t pm, hp, fs = *(volatile uint32_t *)(HPET + 4);
	uint32_t a;

	hpet_write(0x10, 1);
	a = in32(PMTMR);
	hp = hpet_read(0xf0);
	delay_us(50000);
	pm = (uint32_t)(in32(PMTMR) - a);
	hp = (uint32_t)(hpet_read(0xf0) - hp);
	hpet_write(0x10, 0);
	pm = pm * 1000000 / PMTMR_HZ;
	hp = hp * fs / 1000000000;
	CHECK_RANGE(hp, pm * 99 / 100, pm * 101 / 100 + 1);
}

const struct guest_test guest_tests[] = {
	TEST_RETRY("8254 interrupts", test_pit_interrupts, 5),
	TEST_RETRY("8254 counter", test_pit_counter, 5),
	TEST_RETRY("8254 counter 2 and its gate", test_pit_gate, 5),
	TEST_RETRY("HPET counter", test_hpet_counter, 5),
	TEST_RETRY("HPET periodic timer", test_hpet_timer, 5),
	TEST_RETRY("PM timer", test_pm_timer, 5),
	TEST_RETRY("PM timer and HPET", test_clocks_agree, 5),
	TEST_RETRY("RTC periodic interrupt", test_rtc_periodic, 5),
	TEST_RETRY("RTC update interrupt", test_rtc_update, 3),
	TEST_END,
};
