/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Code that changes: its own next instruction, the next block, bytes across a
 * page, through another mapping, by another processor; and code in MMIO.
 */
#include "guest.h"

#define MMIO_CODE 0xd0000000ull /* pairs_smc.c */

static uint8_t *page; /* two pages */

typedef uint32_t (*code_fn)(void);

static code_fn
code_at(uint64_t va)
{
	return (code_fn)(uintptr_t)va;
}

/* mov $v, %eax; ret */
static void
put_code(volatile uint8_t *p, uint32_t v)
{
	p[0] = 0xb8;
	*(volatile uint32_t *)(p + 1) = v;
	p[5] = 0xc3;
}

static void
get_page(void)
{
	if (page == NULL)
		page = alloc_pages(2);
}

static void
test_rewrite(void)
{
	get_page();
	for (uint32_t i = 0; i < 1000; i++) {
		put_code(page, i);
		CHECK_EQ(code_at((uint64_t)(uintptr_t)page)(), i);
	}
}

/* The store is the instruction before the one it changes. */
static void
test_same_block(void)
{
	static const uint8_t code[] = {
		0xc6,
		0x05,
		0x01,
		0x00,
		0x00,
		0x00,
		0x22, /* movb $0x22, 1(%rip) */
		0xb8,
		0x11,
		0x00,
		0x00,
		0x00, /* mov $0x11, %eax */
		0xc3,
	};

	get_page();
	for (int i = 0; i < 50; i++) {
		memcpy(page, code, sizeof(code));
		CHECK_EQ(code_at((uint64_t)(uintptr_t)page)(), 0x22);
	}
}

static void
test_next_block(void)
{
	static const uint8_t code[] = {
		0xc6,
		0x05,
		0x03,
		0x00,
		0x00,
		0x00,
		0x33, /* movb $0x33, 3(%rip) */
		0xeb,
		0x00, /* jmp on */
		0xb8,
		0x11,
		0x00,
		0x00,
		0x00,
		0xc3,
	};

	get_page();
	for (int i = 0; i < 50; i++) {
		memcpy(page, code, sizeof(code));
		CHECK_EQ(code_at((uint64_t)(uintptr_t)page)(), 0x33);
	}
}

static void
test_cross_page(void)
{
	get_page();
	for (unsigned int split = 1; split < 6; split++)
		for (uint32_t i = 0; i < 20; i++) {
			uint8_t *p = page + PAGE - split;
			uint32_t v = 0x01010101u * (i + 1);

			put_code(p, v);
			CHECK_EQ(code_at((uint64_t)(uintptr_t)p)(), v);
		}
	/* Only the second page changes. */
	put_code(page + PAGE - 2, 0x11111111);
	CHECK_EQ(code_at((uint64_t)(uintptr_t)page + PAGE - 2)(), 0x11111111);
	((volatile uint8_t *)page)[PAGE + 2] = 0x77;
	CHECK_EQ(code_at((uint64_t)(uintptr_t)page + PAGE - 2)(), 0x77111111);
}

/* Written at one address, executed at another. */
static void
test_alias(void)
{
	get_page();
	map_page(WINDOW, (uint64_t)(uintptr_t)page, PTE_P);
	map_page(WINDOW + PAGE, (uint64_t)(uintptr_t)page + PAGE, PTE_P);
	for (uint32_t i = 0; i < 100; i++) {
		put_code(page + 64, i);
		CHECK_EQ(code_at(WINDOW + 64)(), i);
	}
	/* The same address, another frame. */
	put_code(page, 1);
	put_code(page + PAGE, 2);
	for (uint32_t i = 0; i < 100; i++) {
		map_page(
		    WINDOW, (uint64_t)(uintptr_t)page + (i & 1) * PAGE, PTE_P);
		CHECK_EQ(code_at(WINDOW)(), 1 + (i & 1));
	}
}

static void
test_string_over_code(void)
{
	uint8_t one[8], two[8];

	get_page();
	put_code(one, 111);
	put_code(two, 222);
	for (int i = 0; i < 50; i++) {
		memcpy(page + 3, i & 1 ? two : one, 6);
		CHECK_EQ(code_at((uint64_t)(uintptr_t)page + 3)(),
		    i & 1 ? 222 : 111);
	}
}

/* --- two processors
 * --------------------------------------------------------------- */

static volatile uint32_t ready, done, wrong, stop;

/*
 * The protocol of SDM 3A 8.1.3: the writer announces, the other executes a
 * serialising instruction and then the new code.
 */
static void
execute_new(void *arg)
{
	for (uint32_t i = 1; i <= 2000; i++) {
		while (ready != i)
			cpu_pause();
		(void)cpuid(0, 0);
		if (code_at((uint64_t)(uintptr_t)page)() != i)
			wrong++;
		done = i;
	}
}

static void
test_cross_modify(void)
{
	get_page();
	ready = done = wrong = 0;
	smp_run(1, execute_new, NULL);
	for (uint32_t i = 1; i <= 2000; i++) {
		put_code(page, i);
		ready = i;
		if (!WAIT_FOR(done == i, 5000000ull))
			FAIL("stuck at %u", i);
	}
	smp_wait(1);
	CHECK_EQ(wrong, 0);
}

static void
execute_always(void *arg)
{
	while (stop == 0) {
		uint32_t v = code_at((uint64_t)(uintptr_t)page)();

		if (v != 0x11111111 && v != 0x22222222)
			wrong++;
	}
}

/* Without any: an aligned store is seen whole, sooner or later. */
static void
test_racing_modify(void)
{
	volatile uint32_t *imm;

	get_page();
	/* The immediate on a four-byte boundary. */
	page += 3;
	put_code(page, 0x11111111);
	imm = (volatile uint32_t *)(page + 1);
	stop = wrong = 0;
	smp_run(1, execute_always, NULL);
	for (uint32_t i = 0; i < 3000; i++)
		*imm = i & 1 ? 0x11111111 : 0x22222222;
	delay_us(1000);
	stop = 1;
	smp_wait(1);
	page -= 3;
	CHECK_EQ(wrong, 0);
}

/* --- no RAM
 * ------------------------------------------------------------------------- */

static void
test_mmio_code(void)
{
	/* The host answers reads with a loop that adds 1 to 100. */
	CHECK_EQ(code_at(MMIO_CODE)(), 5050);
	CHECK_EQ(code_at(MMIO_CODE)(), 5050);
	/* It changes them. */
	(void)guest_call(1, 0);
	CHECK_EQ(code_at(MMIO_CODE)(), 5051);
}

static void
test_unclaimed_code(void)
{
	/* Ones: FF FF is #UD. */
	EXPECT_TRAP(guarded((void (*)(void *))0xd8000000, NULL), 6, 0);
}

const struct guest_test guest_tests[] = {
	TEST("rewritten function", test_rewrite),
	TEST("next instruction", test_same_block),
	TEST("next block", test_next_block),
	TEST("across pages", test_cross_page),
	TEST("two mappings", test_alias),
	TEST("string instruction over code", test_string_over_code),
	TEST("cross-modifying, by the rules", test_cross_modify),
	TEST("cross-modifying, racing", test_racing_modify),
	TEST("code in MMIO", test_mmio_code),
	TEST("code where nothing is", test_unclaimed_code),
	TEST_END,
};
