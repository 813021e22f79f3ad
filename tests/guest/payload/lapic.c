/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC: its timer in three modes against the TSC, self-IPIs and
 * priorities, IRR ISR TMR, error status, LVTs, x2APIC, software disable.
 */
#include "guest.h"

#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2(reg)	 (0x800u + (reg) / 16)
#define X2_SELF_IPI	 0x83f
#define BASE_X2		 0x400ull

static volatile unsigned int nints;
static volatile uint64_t int_tsc[256];
static volatile uint8_t order[16];

static void
on_int(struct frame *f)
{
	if (nints < 16)
		order[nints] = (uint8_t)f->vector;
	int_tsc[nints++ % 256] = rdtsc();
	apic_eoi();
}

static void
start(void)
{
	nints = 0;
	trap_set(VEC_TEST, on_int);
	apic_write(APIC_TIMER_DIV, 0x3); /* by 16 */
}

static uint64_t
us_of(uint64_t tsc)
{
	return tsc * 1000 / tsc_khz();
}

/* Ticks of the counter in 10 ms, dividing by 16. */
static uint32_t
timer_rate(void)
{
	uint32_t a;
	uint64_t t;

	apic_write(APIC_LVT_TIMER, LVT_MASKED | VEC_TEST);
	apic_write(APIC_TIMER_INIT, 0xffffffff);
	t = rdtsc();
	a = apic_read(APIC_TIMER_CUR);
	delay_us(10000);
	a -= apic_read(APIC_TIMER_CUR);
	t = rdtsc() - t;
	apic_write(APIC_TIMER_INIT, 0);
	return (uint32_t)((uint64_t)a * 10000 / us_of(t));
}

static void
test_oneshot(void)
{
	uint32_t rate = timer_rate();
	uint64_t t;

	CHECK(rate > 1000);
	start();
	apic_write(APIC_LVT_TIMER, VEC_TEST);
	t = rdtsc();
	apic_write(APIC_TIMER_INIT, rate); /* 10 ms */
	sti();
	CHECK(WAIT_FOR(nints != 0, 1000000ull));
	CHECK_RANGE(us_of(int_tsc[0] - t), 9900, 14000);
	CHECK_EQ(apic_read(APIC_TIMER_CUR), 0);
	delay_us(15000);
	CHECK_EQ(nints, 1);
}

static void
test_periodic(void)
{
	uint32_t rate = timer_rate();
	uint64_t t;

	start();
	apic_write(APIC_LVT_TIMER, LVT_PERIODIC | VEC_TEST);
	t = rdtsc();
	apic_write(APIC_TIMER_INIT, rate / 5); /* 2 ms */
	sti();
	CHECK(WAIT_FOR(nints >= 20, 2000000ull));
	t = us_of(int_tsc[19] - t);
	apic_write(APIC_TIMER_INIT, 0);
	CHECK_RANGE(t, 39000, 48000);
	nints = 0;
	delay_us(5000);
	CHECK_EQ(nints, 0);
	/* Divided by 1 the same count is sixteen times as fast. */
	apic_write(APIC_TIMER_DIV, 0xb);
	apic_write(APIC_LVT_TIMER, LVT_PERIODIC | VEC_TEST);
	t = rdtsc();
	apic_write(APIC_TIMER_INIT, rate * 16 / 5);
	CHECK(WAIT_FOR(nints >= 5, 1000000ull));
	apic_write(APIC_TIMER_INIT, 0);
	CHECK_RANGE(us_of(int_tsc[4] - t), 9500, 15000);
}

static void
test_deadline(void)
{
	uint64_t t;

	if ((cpuid(1, 0).ecx & 1u << 24) == 0)
		guest_skip("no TSC-deadline");
	start();
	apic_write(APIC_LVT_TIMER, LVT_DEADLINE | VEC_TEST);
	__asm__ volatile("mfence");
	sti();
	t = rdtsc() + tsc_khz() * 5;
	wrmsr(MSR_TSC_DEADLINE, t);
	CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), t);
	CHECK(WAIT_FOR(nints != 0, 1000000ull));
	CHECK(int_tsc[0] >= t);
	CHECK(us_of(int_tsc[0] - t) < 4000);
	CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	/* In the past: at once. */
	wrmsr(MSR_TSC_DEADLINE, rdtsc() - 1000);
	CHECK(WAIT_FOR(nints == 2, 100000ull));
	/* Zero disarms. */
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_khz() * 5);
	wrmsr(MSR_TSC_DEADLINE, 0);
	delay_us(10000);
	CHECK_EQ(nints, 2);
	/* Another mode: the MSR reads 0 and is deaf. */
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1000);
	CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
}

/* Sleeping until the timer, many times. */
static void
test_halt_and_timer(void)
{
	uint32_t rate = timer_rate();

	start();
	apic_write(APIC_LVT_TIMER, VEC_TEST);
	for (unsigned int i = 1; i <= 50; i++) {
		cli();
		apic_write(APIC_TIMER_INIT, rate / 50);
		sti_hlt();
		CHECK_EQ(nints, i);
	}
}

static void
self(unsigned int v)
{
	apic_write(APIC_ICR, ICR_SELF | v);
}

static void
test_self_ipi_order(void)
{
	start();
	for (unsigned int v = 0x41; v < 0xa0; v += 0x10)
		trap_set(v, on_int);
	self(0x51);
	self(0x91);
	self(0x41);
	self(0x71);
	CHECK(apic_bit(APIC_IRR, 0x91) && apic_bit(APIC_IRR, 0x41));
	sti();
	CHECK(WAIT_FOR(nints == 4, 100000ull));
	/* The highest first. */
	CHECK_EQ(order[0], 0x91);
	CHECK_EQ(order[1], 0x71);
	CHECK_EQ(order[2], 0x51);
	CHECK_EQ(order[3], 0x41);
}

static volatile bool isr_ok;

static void
on_nesting(struct frame *f)
{
	isr_ok = apic_bit(APIC_ISR, 0x61) && !apic_bit(APIC_IRR, 0x61) &&
		 apic_read(APIC_PPR) == 0x60;
	self(0x41); /* lower: has to wait */
	self(0x71); /* higher: comes now */
	__asm__ volatile("sti");
	isr_ok = isr_ok && WAIT_FOR(nints == 1, 100000ull);
	delay_us(100);
	isr_ok = isr_ok && nints == 1 && order[0] == 0x71;
	__asm__ volatile("cli");
	apic_eoi();
}

static void
test_nesting(void)
{
	start();
	trap_set(0x41, on_int);
	trap_set(0x71, on_int);
	trap_set(0x61, on_nesting);
	isr_ok = false;
	self(0x61);
	sti();
	CHECK(WAIT_FOR(nints == 2, 100000ull));
	CHECK(isr_ok);
	CHECK_EQ(order[1], 0x41);
	CHECK_EQ(apic_read(APIC_PPR), 0);
}

static void
test_errors(void)
{
	start();
	apic_write(APIC_LVT_ERROR, 0x45);
	trap_set(0x45, on_int);
	apic_write(APIC_ESR, 0);
	apic_write(APIC_ESR, 0);
	CHECK_EQ(apic_read(APIC_ESR), 0);
	self(3); /* vectors below 16 may not be sent */
	apic_write(APIC_ESR, 0);
	CHECK((apic_read(APIC_ESR) & 0x60) != 0);
	sti();
	CHECK(WAIT_FOR(nints == 1, 100000ull));
	apic_write(APIC_ESR, 0);
	apic_write(APIC_ESR, 0);
	CHECK_EQ(apic_read(APIC_ESR), 0);
	apic_write(APIC_LVT_ERROR, LVT_MASKED);
}

static void
test_registers(void)
{
	CHECK_EQ(apic_read(APIC_ID), 0);
	CHECK_RANGE(apic_read(APIC_VERSION) & 0xff, 0x10, 0x15);
	CHECK((apic_read(APIC_VERSION) >> 16 & 0xff) >= 4);
	apic_write(APIC_TPR, 0x35);
	CHECK_EQ(apic_read(APIC_TPR), 0x35);
	CHECK_EQ(apic_read(APIC_PPR), 0x35);
	apic_write(APIC_TPR, 0);
	apic_write(APIC_LDR, 0x12345678);
	CHECK_EQ(apic_read(APIC_LDR), 0x12000000);
	apic_write(APIC_LDR, 0);
	/* Software disable masks the LVTs for good. */
	apic_write(APIC_LVT_TIMER, VEC_TEST);
	apic_write(APIC_SVR, VEC_SPURIOUS);
	CHECK((apic_read(APIC_LVT_TIMER) & LVT_MASKED) != 0);
	apic_write(APIC_LVT_TIMER, VEC_TEST);
	CHECK((apic_read(APIC_LVT_TIMER) & LVT_MASKED) != 0);
	apic_write(APIC_SVR, 0x100 | VEC_SPURIOUS);
	CHECK((apic_read(APIC_LVT_TIMER) & LVT_MASKED) != 0);
}

static void
test_logical(void)
{
	start();
	apic_write(APIC_DFR, 0xffffffff);
	apic_write(APIC_LDR, 4u << 24);
	sti();
	apic_ipi(4, ICR_LOGICAL | VEC_TEST);
	CHECK(WAIT_FOR(nints == 1, 100000ull));
	apic_ipi(6, ICR_LOGICAL | VEC_TEST);
	CHECK(WAIT_FOR(nints == 2, 100000ull));
	apic_ipi(3, ICR_LOGICAL | VEC_TEST);
	delay_us(200);
	CHECK_EQ(nints, 2);
	apic_write(APIC_DFR, 0x0fffffff); /* cluster model */
	apic_write(APIC_LDR, 0x21u << 24);
	apic_ipi(0x23, ICR_LOGICAL | VEC_TEST);
	CHECK(WAIT_FOR(nints == 3, 100000ull));
	apic_write(APIC_DFR, 0xffffffff);
	apic_write(APIC_LDR, 0);
}

static void
read_x2(void *arg)
{
	(void)rdmsr((uint32_t)(uintptr_t)arg);
}

static void
test_x2apic(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	if ((cpuid(1, 0).ecx & 1u << 21) == 0)
		guest_skip("no x2APIC");
	EXPECT_TRAP(guarded(read_x2, (void *)0x802), 13, 0);
	start();
	wrmsr(MSR_APIC_BASE, base | BASE_X2);
	CHECK_EQ(rdmsr(MSR_X2(APIC_ID)), 0);
	/* Logical id: cluster 0, bit 0. */
	CHECK_EQ(rdmsr(MSR_X2(APIC_LDR)), 1);
	EXPECT_TRAP(guarded(read_x2, (void *)(uintptr_t)X2_SELF_IPI), 13, 0);
	EXPECT_TRAP(guarded(read_x2, (void *)0x804), 13, 0);
	trap_set(VEC_TEST, NULL);
	wrmsr(X2_SELF_IPI, VEC_TEST);
	CHECK((rdmsr(MSR_X2(APIC_IRR) + VEC_TEST / 32) >> VEC_TEST % 32 & 1) !=
	      0);
	/* From x2APIC only by way of disabled; EOI first so nothing pends. */
	wrmsr(MSR_APIC_BASE, base & ~0x800ull);
	wrmsr(MSR_APIC_BASE, base);
	apic_write(APIC_SVR, 0x100 | VEC_SPURIOUS);
	CHECK_EQ(apic_read(APIC_ID), 0);
}

const struct guest_test guest_tests[] = {
	TEST_RETRY("timer, one-shot", test_oneshot, 5),
	TEST_RETRY("timer, periodic", test_periodic, 5),
	TEST_RETRY("timer, TSC deadline", test_deadline, 5),
	TEST("HLT and timer", test_halt_and_timer),
	TEST("self-IPIs by priority", test_self_ipi_order),
	TEST("nesting", test_nesting),
	TEST("error status", test_errors),
	TEST("registers", test_registers),
	TEST("logical destinations", test_logical),
	TEST("x2APIC", test_x2apic),
	TEST_END,
};
