/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ways a machine ends, from any processor, whatever the others do.  Host's
 * half: pairs_ends.c.  The parameter: how, who, and what the others are at.
 */
#include "guest.h"

enum how { END_RESET, END_RESET_KBD, END_POWEROFF, END_TRIPLE, END_HALT };
enum others { OTHERS_ABSENT, OTHERS_SPIN, OTHERS_SLEEP, OTHERS_IO };

static volatile uint32_t ready;

static void
spin(void *arg)
{
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	for (;;)
		;
}

static void
sleep_on(void *arg)
{
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	for (;;)
		sti_hlt();
}

static void
do_io(void *arg)
{
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	for (;;)
		out8(0x80, in8(0x84));
}

static void
halt(void *arg)
{
	cli();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	for (;;)
		__asm__ volatile("hlt");
}

static void
end_reset(void *arg)
{
	out8(0xcf9, 6);
	spin(NULL);
}

static void
end_reset_kbd(void *arg)
{
	out8(0x64, 0xfe);
	spin(NULL);
}

static void
end_poweroff(void *arg)
{
	out16(0x404, 0x3400); /* PM1_CNT: SLP_EN, S5 */
	spin(NULL);
}

static void
end_triple(void *arg)
{
	static const uint8_t none[10];

	__asm__ volatile("lidt %0; int3" ::"m"(none));
}

static void (*const how_table[])(void *) = {
	[END_RESET] = end_reset,
	[END_RESET_KBD] = end_reset_kbd,
	[END_POWEROFF] = end_poweroff,
	[END_TRIPLE] = end_triple,
	[END_HALT] = halt,
};
static void (*const others_table[])(void *) = {
	[OTHERS_ABSENT] = NULL,
	[OTHERS_SPIN] = spin,
	[OTHERS_SLEEP] = sleep_on,
	[OTHERS_IO] = do_io,
};

static void
test_end(void)
{
	uint32_t param = guest_param(GUEST_PARAM_OWN);
	void (*how)(void *) = how_table[param & 0xff];
	uint32_t who = param >> 8 & 0xff;
	void (*others)(void *) = others_table[param >> 16 & 0xff];
	uint32_t started = 0;

	for (unsigned int i = 1; i < smp_count() && others != NULL; i++)
		if (i != who) {
			smp_run(i, others, NULL);
			started++;
		}
	CHECK(WAIT_FOR(ready == started, 5000000ull));
	if (how == halt) /* all of them; who is absent does not count */
		for (unsigned int i = 1; i < smp_count() && who != 0; i++)
			smp_run(i, halt, NULL);
	else if (who != 0)
		smp_run(who, how, NULL);
	if (who != 0 && how != halt)
		spin(NULL);
	how(NULL);
	FAIL("still there");
}

const struct guest_test guest_tests[] = {
	TEST("payload", test_end),
	TEST_END,
};
