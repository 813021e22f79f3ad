/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The modes below long mode: real, 16- and 32-bit protected, 32-bit and PAE
 * paging.  legacy_code.S does it; here is what must have come out.
 */
#include "guest.h"

#include "legacy_code.h"

void legacy_call(void (*fn32)(void));
void segments32(void), old_insns32(void), paging32(void), paging_pae(void),
    real32(void), gate_target(void);
extern uint8_t stubs32[], real_begin[], real_end[], real_results[],
    real_stubs[];
extern uint16_t real_int40;
extern uint32_t results[], nresults, pd32_addr, pdpt_pae_addr;
extern uint8_t buffer32[];
extern uint64_t idt32[];

#define TRAPPED(vector, err) ((uint32_t)(vector) << 16 | (err))
#define NO_TRAP		     0xffff0000u

static uint32_t
addr32(const void *p)
{
	return (uint32_t)(uintptr_t)p;
}

static uint64_t
descriptor(uint32_t base, uint32_t limit, uint32_t access)
{
	return (uint64_t)(limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
	       (uint64_t)(access & 0xff) << 40 |
	       (uint64_t)(limit >> 16 & 0xf) << 48 |
	       (uint64_t)(access >> 8 & 0xf0) << 48 |
	       (uint64_t)(base >> 24) << 56;
}

static void
set_up(void)
{
	uint32_t gate = addr32((void *)(uintptr_t)gate_target);

	for (unsigned int v = 0; v < 32; v++) {
		uint32_t a = addr32(stubs32 + 16 * v);

		idt32[v] = (a & 0xffff) | (uint64_t)SEL_KCODE32 << 16 |
			   0x8e00ull << 32 | (uint64_t)(a >> 16) << 48;
	}
	gdt[SEL_SMALL / 8] = descriptor(addr32(buffer32), 0xfff, 0x4093);
	gdt[SEL_DOWN / 8] = descriptor(addr32(buffer32), 0xfff, 0x4097);
	gdt[SEL_RO / 8] = descriptor(0, 0xfffff, 0xc091);
	gdt[SEL_XO / 8] = descriptor(0, 0xfffff, 0xc099);
	gdt[SEL_ABSENT / 8] = descriptor(0, 0xfffff, 0xc013);
	gdt[SEL_GATE / 8] = (gate & 0xffff) | (uint64_t)SEL_KCODE32 << 16 |
			    0x8c00ull << 32 | (uint64_t)(gate >> 16) << 48;
	gdt[SEL_KCODE16 / 8] = descriptor(REAL_BASE, 0xffff, 0x009b);
	memcpy((void *)REAL_BASE, real_begin, (size_t)(real_end - real_begin));
}

static void
check_results(const uint32_t *want, unsigned int n)
{
	CHECK_EQ(nresults, n);
	for (unsigned int i = 0; i < n; i++)
		if (results[i] != want[i])
			FAIL("result %u is %#x, not %#x", i, results[i],
			    want[i]);
}

static void
test_segments(void)
{
	static const uint32_t want[] = {
		0x11223344,
		TRAPPED(13, 0),
		TRAPPED(13, 0),
		TRAPPED(13, 0),
		TRAPPED(13, 0), /* below an expand-down limit */
		TRAPPED(13, 0), /* its end is crossed */
		TRAPPED(13, 0), /* write to read-only */
		TRAPPED(13, 0), /* write to code */
		TRAPPED(13, SEL_XO),
		TRAPPED(11, SEL_ABSENT),
		TRAPPED(12, SEL_ABSENT),
		TRAPPED(13, 0), /* null selector, used */
		TRAPPED(13, 0), /* null selector, in SS */
		1,
		SEL_KCODE32,
		0x20000, /* 16-bit code */
		0x30000,
	};

	set_up();
	legacy_call(segments32);
	check_results(want, ARRAY_LEN(want));
}

static void
test_old_instructions(void)
{
	static const uint32_t want[] = {
		0x79,
		0x00, /* DAA */
		0x01,
		0x11, /* 9b */
		0x89,
		0x11, /* CF and AF set before */
		0x41,
		0x10, /* DAS, AF before */
		0x39,
		0x11, /* 9f */
		0x105,
		0x11, /* AAA */
		0x105,
		0x00, /* f5 keeps 5 */
		0x106,
		0x11, /* AAS */
		0x203,
		0x00,
		0x0707,	       /* AAM of 77 */
		0x0019,	       /* AAD of 2, 5 */
		TRAPPED(0, 0), /* AAM 0 */
		0x0102,
		0,
		0x1111,
		0x2222,
		0, /* PUSHA, POPA */
		0x12345678,
		SEL_KDATA, /* LFS */
		NO_TRAP,
		TRAPPED(5, 0),
		TRAPPED(4, 0),
		0x13, /* ARPL */
		0xff, /* SALC */
		6,
		TRAPPED(13, 0), /* SYSENTER */
		0x1236,
	};

	set_up();
	legacy_call(old_insns32);
	check_results(want, ARRAY_LEN(want));
}

#define P32_P  1u
#define P32_W  2u
#define P32_PS 0x80u

static uint32_t *
magic_frame(void)
{
	uint32_t *f = alloc_pages(1);

	f[0] = 0x12345678;
	return f;
}

static void
check_paging(void)
{
	static const uint32_t want[] = {
		0x12345678,
		0x87654321,
		TRAPPED(14, 3),
		TRAPPED(14, 0),
		0xc0002004,
		0,
	};

	check_results(want, ARRAY_LEN(want));
}

static void
test_paging32(void)
{
	uint32_t *pd = alloc_pages(1), *pt = alloc_pages(1);
	uint32_t *frame = magic_frame();

	set_up();
	for (uint32_t i = 0; i < 16; i++)
		pd[i] = i << 22 | P32_P | P32_W | P32_PS;
	pd[0xd0000000u >> 22] = 0 | P32_P | P32_W | P32_PS;
	pd[0xc0000000u >> 22] = addr32(pt) | P32_P | P32_W;
	pt[0] = addr32(frame) | P32_P | P32_W;
	pt[1] = addr32(frame) | P32_P;
	pd32_addr = addr32(pd);
	legacy_call(paging32);
	check_paging();
	/* Accessed and dirty of the 32-bit entries. */
	CHECK_EQ(pt[0] & 0x60, 0x60);
	CHECK_EQ(pt[1] & 0x60, 0x20);
}

static void
test_paging_pae(void)
{
	uint64_t *pdpt = alloc_pages(1), *pd0 = alloc_pages(1);
	uint64_t *pd3 = alloc_pages(1), *pt = alloc_pages(1);
	uint32_t *frame = magic_frame();

	set_up();
	for (uint64_t i = 0; i < 32; i++)
		pd0[i] = i << 21 | P32_P | P32_W | P32_PS;
	pd3[(0xd0000000u >> 21) & 511] = 0 | P32_P | P32_W | P32_PS;
	pd3[0] = addr32(pt) | P32_P | P32_W;
	pt[0] = addr32(frame) | P32_P | P32_W;
	pt[1] = addr32(frame) | P32_P;
	pdpt[0] = addr32(pd0) | P32_P;
	pdpt[3] = addr32(pd3) | P32_P;
	pdpt_pae_addr = addr32(pdpt);
	legacy_call(paging_pae);
	check_paging();
}

/* At 0, which a compiler takes for no pointer. */
static volatile uint16_t *
interrupt_vectors(void)
{
	uintptr_t zero = 0;

	__asm__("" : "+r"(zero));
	return (volatile uint16_t *)zero;
}

static void
test_real(void)
{
	volatile uint16_t *ivt = interrupt_vectors();
	const uint16_t *r =
	    (const uint16_t *)(uintptr_t)(REAL_BASE +
					  (real_results - real_begin));
	const uint16_t want[] = {
		0x200, /* the flags INT saved: IF */
		0,     /* in the handler: neither IF nor TF */
		0,
		5,
		6, /* vectors */
		13,
		12,
		0xffff,
		13,
		0xbeef,
		REAL_SEG,
		REAL_SEG + 1,
		0xfffe,
		0x7b7b, /* stack */
		2,
		0x5c5c, /* DI */
		*(uint16_t *)0x100000,
		*(uint16_t *)0x100000,
		*(uint16_t *)0x100000,
		0x2345,
		16,
		6,
		0,
		0,
		0x0401,
		6,
		0xffff,
		6,
	};

	set_up();
	for (unsigned int v = 0; v < 20; v++) {
		ivt[2 * v] = (uint16_t)(real_stubs - real_begin + 8 * v);
		ivt[2 * v + 1] = REAL_SEG;
	}
	ivt[2 * 0x40] = real_int40;
	ivt[2 * 0x40 + 1] = REAL_SEG;
	legacy_call(real32);
	for (unsigned int i = 0; i < ARRAY_LEN(want); i++)
		if (r[i] != want[i])
			FAIL("result %u is %#x, not %#x", i, r[i], want[i]);
}

/* Down and up again many times: nothing wears out. */
static void
test_round_trips(void)
{
	set_up();
	for (int i = 0; i < 50; i++) {
		legacy_call(old_insns32);
		CHECK_EQ(results[9], 0x11);
		set_up();
		legacy_call(real32);
	}
}

const struct guest_test guest_tests[] = {
	TEST("32-bit segments", test_segments),
	TEST("old instructions", test_old_instructions),
	TEST("32-bit paging", test_paging32),
	TEST("PAE paging", test_paging_pae),
	TEST("real mode", test_real),
	TEST("round trips", test_round_trips),
	TEST_END,
};
