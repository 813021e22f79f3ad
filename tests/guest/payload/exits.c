/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What makes vm_run() come back (docs/architecture.md); the parameter chooses.
 * The host's half, which watches the exits, is pairs_exits.c.
 */
#include "guest.h"

enum what {
	EXITS_LENIENT,
	EXITS_STRICT_IO,
	EXITS_HLT,
	EXITS_PAUSE,
	EXITS_RAW,
	EXITS_MTRAP,
};
enum { CALL_MTRAP_ON = 1, CALL_MTRAP_OFF, CALL_NMI };

#define MSR_NOBODY 0xdeadbeef

static volatile unsigned int nints;

static void
on_int(struct frame *f)
{
	nints++;
	if (f->vector != 2)
		apic_eoi();
}

static void
on_int3(struct frame *f)
{
}

static void
write_nobody(void *arg)
{
	wrmsr(MSR_NOBODY, 0x1111222233334444);
}

static void
lenient(void)
{
	CHECK_EQ(rdmsr(MSR_NOBODY), 0);
	EXPECT_NONE(guarded(write_nobody, NULL));
	CHECK_EQ(rdmsr(MSR_NOBODY), 0);
}

static void
strict_io(void)
{
	/* Ports with an owner go on working. */
	out8(0x80, 0);
	(void)in32(0x5678);
	FAIL("came back");
}

/* Nothing pends when the HLT comes: the timer has 2 ms to go. */
static void
sleep_until_timer(void)
{
	trap_set(VEC_TEST, on_int);
	cli();
	apic_write(APIC_TIMER_DIV, 0xb);
	apic_write(APIC_LVT_TIMER, VEC_TEST);
	apic_write(APIC_TIMER_INIT, 1u << 18);
	sti_hlt();
	cli();
}

static void
halts(void)
{
	for (unsigned int i = 1; i <= 20; i++) {
		sleep_until_timer();
		CHECK_EQ(nints, i);
	}
}

static void
pauses(void)
{
	for (unsigned int i = 0; i < 100; i++)
		cpu_pause();
}

/* In this order; the host knows it. */
static void
raw(void)
{
	CHECK_EQ(rdmsr(MSR_NOBODY), 0x1122334455667788);
	EXPECT_NONE(guarded(write_nobody, NULL));	    /* ignored */
	EXPECT_TRAP(guarded(write_nobody, NULL), 13, 0x55); /* injected */
	sleep_until_timer();
	CHECK_EQ(nints, 1);
	cpu_pause();
	trap_set(2, on_int);
	guest_call(CALL_NMI, 0);
	CHECK(WAIT_FOR(nints == 2, 1000000ull));
	/* The host hears of it and starts nobody. */
	apic_ipi(1, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
	apic_ipi(1, ICR_SIPI | 0x34);
	delay_us(1000);
}

/*
 * The host knows where each instruction is: a jump, a STI with its shadow, a
 * PUSHF, a trap gate's way there and back, a port, and a REP with 3 elements.
 */
static void
mtrap(void)
{
	static uint8_t buf[3];
	void *di = buf;
	uint64_t n = 3;
	uint32_t v;
	extern const uint8_t mtrap_begin[];

	trap_set(3, on_int3);
	guest_call(CALL_MTRAP_ON, (uint64_t)(uintptr_t)mtrap_begin);
	__asm__ volatile(".globl mtrap_begin\n"
			 "mtrap_begin: xorl %0, %0\n" /* +0, 2 bytes each */
			 "incl %0\n"		      /* +2 */
			 "jmp 1f\n"		      /* +4 */
			 "1: addl $2, %0\n"	      /* +6, 3 bytes */
			 "sti\n"		      /* +9, one byte each */
			 "nop\n"		      /* +10 */
			 "cli\n"		      /* +11 */
			 "int3\n"		      /* +12 */
			 "outb %%al, $0x80\n"	      /* +13, 2 bytes */
			 "rep stosb\n"		      /* +15, 2 bytes */
			 "nop"			      /* +17 */
			 : "=&b"(v), "+D"(di), "+c"(n)
			 :
			 : "memory");
	guest_call(CALL_MTRAP_OFF, 0);
	CHECK_EQ(v, 3);
	CHECK_EQ((uintptr_t)di, (uintptr_t)buf + 3);
}

static void
test_exits(void)
{
	static void (*const table[])(void) = {
		[EXITS_LENIENT] = lenient,
		[EXITS_STRICT_IO] = strict_io,
		[EXITS_HLT] = halts,
		[EXITS_PAUSE] = pauses,
		[EXITS_RAW] = raw,
		[EXITS_MTRAP] = mtrap,
	};

	table[guest_param(GUEST_PARAM_OWN)]();
}

const struct guest_test guest_tests[] = {
	TEST("payload", test_exits),
	TEST_END,
};
