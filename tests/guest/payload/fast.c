/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The short ways of an engine must show nowhere: posted writes that are late
 * and in order, doorbells that nobody misses, and a log of the pages written.
 */
#include "guest.h"

#include "fast.h"

#define MANY	   1000u /* more than KVM's ring holds */
#define FIRST_PAGE 0x2000000u

static volatile uint32_t *const posted = (volatile uint32_t *)FAST_POSTED_MMIO;
static volatile uint32_t *const seen = (volatile uint32_t *)FAST_SEEN_MMIO;

/* The host makes one number of all that came, in its order. */
static uint32_t
mix(uint32_t sum, uint32_t val)
{
	return sum * 31 + val;
}

static void
posted_port(void)
{
	uint32_t sum = 0;

	out32(FAST_SEEN_PORT, 0); /* forget */
	for (unsigned int i = 1; i <= 5; i++) {
		out32(FAST_POSTED_PORT, i * 77);
		sum = mix(sum, i * 77);
	}
	CHECK_EQ(in32(FAST_SEEN_PORT), sum);
	for (unsigned int i = 1; i <= MANY; i++) {
		out32(FAST_POSTED_PORT, i);
		sum = mix(sum, i);
	}
	CHECK_EQ(in32(FAST_SEEN_PORT), sum);
	/* Bytes and words, and a read of the port itself. */
	out8(FAST_POSTED_PORT, 0xab);
	out16(FAST_POSTED_PORT, 0xcdef);
	sum = mix(mix(sum, 0xab), 0xcdef);
	CHECK_EQ(in32(FAST_POSTED_PORT), sum);
}

static void
posted_mmio(void)
{
	uint32_t sum = 0;

	seen[0] = 0;
	for (unsigned int i = 1; i <= MANY; i++) {
		posted[i % 16] = i;
		sum = mix(sum, i);
	}
	CHECK_EQ(seen[0], sum);
	*(volatile uint64_t *)FAST_POSTED_MMIO = 0x1122334455667788;
	CHECK_EQ(seen[0], mix(sum, 0x55667788));
}

/* A port's and a register's writes, seen by one device, stay in order. */
static void
posted_both(void)
{
	uint32_t sum = 0;

	out32(FAST_SEEN_PORT, 0);
	for (unsigned int i = 1; i <= 50; i++) {
		out32(FAST_POSTED_PORT, i);
		posted[0] = i + 100;
		sum = mix(mix(sum, i), i + 100);
	}
	CHECK_EQ(in32(FAST_SEEN_PORT), sum);
}

static void
bell_writes(void)
{
	volatile uint16_t *bell = (volatile uint16_t *)FAST_BELL_MMIO;

	for (unsigned int i = 0; i < 3; i++)
		out16(FAST_BELL_PORT, FAST_BELL_DATA);
	*bell = 1;
	*(volatile uint32_t *)bell = 0x12345678;
	/* Another value, another width, another place: the device's. */
	out16(FAST_BELL_PORT, FAST_BELL_DATA + 1);
	out8(FAST_BELL_PORT, FAST_BELL_DATA);
	bell[2] = 1;
}

static void
bells_off(void)
{
	bell_writes();
	CHECK_EQ(guest_call(FAST_RINGS, 0), 5);
	CHECK_EQ(guest_call(FAST_BUS_WRITES, 0), 3);
}

static void
bells_on(void)
{
	guest_call(FAST_BELLS_ON, 0);
	bell_writes();
	CHECK_EQ(guest_call(FAST_RINGS, 0), 5);
	CHECK_EQ(guest_call(FAST_BUS_WRITES, 0), 3);
	guest_call(FAST_BELLS_OFF, 0);
	bells_off();
}

static volatile uint8_t *
page(unsigned int n)
{
	return (volatile uint8_t *)(uintptr_t)(FIRST_PAGE + n * PAGE);
}

static void
dirty_expect(unsigned int n, uint64_t want)
{
	CHECK_EQ(guest_call(FAST_DIRTY_PAGE, (uintptr_t)page(n)), want);
}

static void
dirty(void)
{
	/* All there: a page that is read for the first time may be in the log.
	 */
	for (unsigned int i = 0; i < 10; i++)
		page(i)[0] = 1;
	if (guest_call(FAST_DIRTY_START, 0) != 0)
		guest_skip("the engine keeps no log");
	guest_call(FAST_DIRTY_FETCH, 0);
	page(1)[5] = 1;
	page(3)[PAGE - 1] = 1;
	page(5)[PAGE - 1] = 1; /* and the host, page 7 */
	guest_call(FAST_DIRTY_STORE, (uintptr_t)page(7));
	(void)page(9)[0]; /* read only */
	guest_call(FAST_DIRTY_FETCH, 0);
	dirty_expect(0, 0);
	dirty_expect(1, 1);
	dirty_expect(2, 0);
	dirty_expect(3, 1);
	dirty_expect(5, 1);
	dirty_expect(7, 1);
	dirty_expect(9, 0);
	/* Fetched is forgotten; written again is there again. */
	page(3)[0] = 2;
	guest_call(FAST_DIRTY_FETCH, 0);
	dirty_expect(1, 0);
	dirty_expect(3, 1);
	dirty_expect(7, 0);
	/* Nothing but what this program itself needs. */
	guest_call(FAST_DIRTY_FETCH, 0);
	CHECK_RANGE(guest_call(FAST_DIRTY_COUNT, 0), 1, 32);
	guest_call(FAST_DIRTY_STOP, 0);
	page(3)[0] = 3;
	CHECK_EQ(guest_call(FAST_DIRTY_START, 0), 0);
	guest_call(FAST_DIRTY_FETCH, 0);
	dirty_expect(3, 0);
	guest_call(FAST_DIRTY_STOP, 0);
}

const struct guest_test guest_tests[] = {
	TEST("posted writes to ports", posted_port),
	TEST("posted writes to memory", posted_mmio),
	TEST("posted writes in one order", posted_both),
	TEST("doorbells off", bells_off),
	TEST("doorbells on", bells_on),
	TEST("dirty pages", dirty),
	TEST_END,
};
