/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The real-time clock's interrupts, IRQ 8, through the I/O APIC and through the
 * 8259 pair.  One source at a time, and what register C says of it.
 */
#include "guest.h"

#define RTC_INDEX   0x70
#define RTC_DATA    0x71
#define RTC_GSI	    8
#define SEC	    0x00
#define SEC_ALRM    0x01
#define MIN	    0x02
#define MIN_ALRM    0x03
#define HOUR	    0x04
#define HOUR_ALRM   0x05
#define DAY	    0x07
#define MONTH	    0x08
#define REG_A	    0x0a
#define REG_B	    0x0b
#define REG_C	    0x0c
#define A_UIP	    0x80
#define A_1024HZ    0x26
#define A_64HZ	    0x2a
#define B_SET	    0x80
#define B_PIE	    0x40
#define B_AIE	    0x20
#define B_UIE	    0x10
#define B_24H	    0x02
#define C_IRQF	    0x80
#define C_PF	    0x40
#define C_AF	    0x20
#define C_UF	    0x10
#define DONT_CARE   0xff
#define NSEEN	    512

#define PIC1	    0x20
#define PIC2	    0xa0
#define PIC_BASE    0x60
#define PIC_RTC	    (PIC_BASE + RTC_GSI)
#define PIC_CASCADE (1u << 2)

static volatile unsigned int nints;
static volatile bool no_ack;
static volatile uint8_t seen[NSEEN]; /* register C at each */
static volatile uint64_t when[NSEEN];

static uint8_t
rtc_read(unsigned int reg)
{
	out8(RTC_INDEX, (uint8_t)reg);
	return in8(RTC_DATA);
}

static void
rtc_write(unsigned int reg, uint8_t val)
{
	out8(RTC_INDEX, (uint8_t)reg);
	out8(RTC_DATA, val);
}

static void
note(void)
{
	unsigned int n = nints % NSEEN;

	when[n] = rdtsc();
	seen[n] = no_ack ? 0 : rtc_read(REG_C);
	nints++;
}

static void
on_ioapic(struct frame *f)
{
	note();
	apic_eoi();
}

static void
on_pic(struct frame *f)
{
	note();
	out8(PIC2, 0x20);
	out8(PIC1, 0x20);
}

/* The two ways of IRQ 8 to the processor. */
struct way {
	void (*on)(void);
};

static void
ioapic_on(void)
{
	ioapic_route(RTC_GSI, VEC_TEST);
}

static void
ioapic_off(void)
{
	ioapic_route(RTC_GSI, IOAPIC_MASKED);
}

static void
pic_on(void)
{
	apic_write(APIC_LVT_LINT0, LVT_EXTINT);
	pic_init(PIC_BASE, PIC_CASCADE | 1u << RTC_GSI);
}

static void
pic_off(void)
{
	pic_mask_all();
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
}

static const struct way by_ioapic = { ioapic_on };
static const struct way by_pic = { pic_on };

static void
off(void)
{
	cli();
	rtc_write(REG_B, B_24H);
	(void)rtc_read(REG_C);
	ioapic_off();
	pic_off();
}

/*
 * Nothing enabled, no flag left, no line up; and what a test that failed left
 * on its way, or in service, is gone, too.
 */
static void
start(const struct way *w)
{
	off();
	while (apic_bit(APIC_ISR, VEC_TEST))
		apic_eoi();
	trap_set(VEC_TEST, on_ioapic);
	trap_set(PIC_RTC, on_pic);
	no_ack = false;
	sti();
	delay_us(200);
	cli();
	rtc_write(REG_A, A_1024HZ);
	(void)rtc_read(REG_C);
	w->on();
	nints = 0;
	sti();
}

static uint64_t
us_between(unsigned int a, unsigned int b)
{
	return (when[b] - when[a]) * 1000 / tsc_khz();
}

static void
periodic(const struct way *w)
{
	start(w);
	rtc_write(REG_B, B_24H | B_PIE);
	CHECK(WAIT_FOR(nints > 200, 5000000ull));
	rtc_write(REG_B, B_24H);
	CHECK_EQ(seen[0] & (C_IRQF | C_PF), C_IRQF | C_PF);
	/* 200 periods of 1/1024 s are 195.3 ms; a busy host misses some. */
	CHECK_RANGE(us_between(0, 200), 180000, 800000);
	/* Off is off. */
	delay_us(5000);
	(void)rtc_read(REG_C);
	nints = 0;
	delay_us(10000);
	CHECK_EQ(nints, 0);
	/* Slower: 16 periods of 1/64 s are 250 ms. */
	rtc_write(REG_A, A_64HZ);
	rtc_write(REG_B, B_24H | B_PIE);
	CHECK(WAIT_FOR(nints > 16, 3000000ull));
	CHECK_RANGE(us_between(0, 16), 230000, 300000);
	off();
}

/* The line stays up until register C is read: one edge, one interrupt. */
static void
unacknowledged(const struct way *w)
{
	start(w);
	no_ack = true;
	rtc_write(REG_B, B_24H | B_PIE);
	CHECK(WAIT_FOR(nints == 1, 1000000ull));
	delay_us(20000);
	CHECK_EQ(nints, 1);
	CHECK_EQ(rtc_read(REG_C) & (C_IRQF | C_PF), C_IRQF | C_PF);
	CHECK(WAIT_FOR(nints == 2, 1000000ull));
	off();
}

static void
update_ended(const struct way *w)
{
	uint8_t before, after;

	start(w);
	rtc_write(REG_B, B_24H | B_UIE);
	CHECK(WAIT_FOR(nints == 1, 3000000ull));
	before = rtc_read(SEC);
	CHECK_EQ(rtc_read(REG_A) & A_UIP, 0); /* 999 ms of peace */
	CHECK_EQ(seen[0] & (C_IRQF | C_UF), C_IRQF | C_UF);
	CHECK(WAIT_FOR(nints == 2, 3000000ull));
	after = rtc_read(SEC);
	CHECK(before != after);
	CHECK_RANGE(us_between(0, 1), 900000, 1100000);
	off();
}

static void
set_clock(uint8_t hour, uint8_t min, uint8_t sec, uint8_t day, uint8_t month)
{
	rtc_write(REG_B, B_24H | B_SET);
	rtc_write(HOUR, hour);
	rtc_write(MIN, min);
	rtc_write(SEC, sec);
	rtc_write(DAY, day);
	rtc_write(MONTH, month);
	rtc_write(REG_B, B_24H);
}

static void
set_alarm(uint8_t hour, uint8_t min, uint8_t sec)
{
	rtc_write(HOUR_ALRM, hour);
	rtc_write(MIN_ALRM, min);
	rtc_write(SEC_ALRM, sec);
}

/* At midnight of New Year, two seconds from now; not before. */
static void
alarm_at_midnight(const struct way *w)
{
	start(w);
	set_clock(0x23, 0x59, 0x58, 0x31, 0x12);
	set_alarm(0x00, 0x00, 0x00);
	(void)rtc_read(REG_C);
	rtc_write(REG_B, B_24H | B_AIE);
	CHECK(WAIT_FOR(nints == 1, 5000000ull));
	CHECK_EQ(seen[0] & (C_IRQF | C_AF), C_IRQF | C_AF);
	CHECK_EQ(rtc_read(HOUR), 0);
	CHECK_EQ(rtc_read(MIN), 0);
	CHECK_EQ(rtc_read(SEC), 0);
	CHECK_EQ(rtc_read(DAY), 1);
	CHECK_EQ(rtc_read(MONTH), 1);
	/* Once: the next second is another time. */
	delay_us(1200000);
	CHECK_EQ(nints, 1);
	off();
}

/* All three bytes "don't care": every second. */
static void
alarm_every_second(const struct way *w)
{
	start(w);
	set_alarm(DONT_CARE, DONT_CARE, DONT_CARE);
	rtc_write(REG_B, B_24H | B_AIE);
	CHECK(WAIT_FOR(nints == 3, 5000000ull));
	CHECK_RANGE(us_between(0, 2), 1900000, 2100000);
	off();
}

/* A flag without its enable is told, but interrupts nobody. */
static void
test_polled(void)
{
	uint8_t c = 0;

	start(&by_ioapic);
	CHECK(
	    WAIT_FOR(((c |= rtc_read(REG_C)) & (C_PF | C_UF)) == (C_PF | C_UF),
		3000000ull));
	CHECK_EQ(c & C_IRQF, 0);
	CHECK_EQ(nints, 0);
	/* Set before it was enabled: enabling it interrupts. */
	WAIT_FOR(false, 5000ull);
	rtc_write(REG_B, B_24H | B_PIE);
	CHECK(WAIT_FOR(nints >= 1, 500ull));
	off();
}

/* A sleeping processor is woken by each. */
static void
test_wakes(void)
{
	start(&by_ioapic);
	cli();
	rtc_write(REG_B, B_24H | B_PIE);
	for (unsigned int i = 1; i <= 20; i++) {
		while (nints < i)
			sti_hlt();
		cli();
	}
	CHECK_RANGE(us_between(0, 19), 15000, 400000);
	off();
}

#define BOTH(fn)                                                               \
	static void test_##fn##_ioapic(void)                                   \
	{                                                                      \
		fn(&by_ioapic);                                                \
	}                                                                      \
	static void test_##fn##_pic(void)                                      \
	{                                                                      \
		fn(&by_pic);                                                   \
	}
BOTH(periodic)
BOTH(unacknowledged)
BOTH(update_ended)
BOTH(alarm_at_midnight)
BOTH(alarm_every_second)

const struct guest_test guest_tests[] = {
	TEST_RETRY("periodic, I/O APIC", test_periodic_ioapic, 5),
	TEST_RETRY("periodic, 8259", test_periodic_pic, 5),
	TEST_RETRY("unacknowledged, I/O APIC", test_unacknowledged_ioapic, 2),
	TEST_RETRY("unacknowledged, 8259", test_unacknowledged_pic, 2),
	TEST_RETRY("update ended, I/O APIC", test_update_ended_ioapic, 3),
	TEST_RETRY("update ended, 8259", test_update_ended_pic, 3),
	TEST_RETRY("alarm, I/O APIC", test_alarm_at_midnight_ioapic, 3),
	TEST_RETRY("alarm, 8259", test_alarm_at_midnight_pic, 3),
	TEST_RETRY("alarm every second", test_alarm_every_second_ioapic, 3),
	TEST_RETRY("alarm every second, 8259", test_alarm_every_second_pic, 3),
	TEST_RETRY("flags without interrupts", test_polled, 3),
	TEST_RETRY("waking from HLT", test_wakes, 5),
	TEST_END,
};
