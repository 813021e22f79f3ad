/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions with an operand in a device's memory (pairs_mmio.c), above all
 * those that KVM's instruction emulator does not know: on an engine that uses
 * it, they take another way.  Registers, flags and faults are as with RAM.
 * A KVM that emulates all of ring 0 lacks them on RAM as well.
 */
#include "guest.h"

#define MMIO	    0xd0002000ull
#define CR4_OSFXSR  0x200ull
#define CR4_OSXSAVE 0x40000ull

/* pairs_mmio.c's: instructions done by the software CPU, and how many of what
 * KVM's emulator lacks should be. */
enum { STEPPED = 1, STEPS_ON_RAM, STEPS_ON_MMIO };

static uint64_t
stepped(void)
{
	return guest_call(STEPPED, 0);
}

static volatile uint64_t *
dev(unsigned int off)
{
	return (volatile uint64_t *)(MMIO + off);
}

static void
xsave_on(void)
{
	uint64_t cr4;

	__asm__ volatile("movq %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("movq %0, %%cr4"
			 :
			 : "r"(cr4 | CR4_OSFXSR | CR4_OSXSAVE));
	__asm__ volatile("xsetbv" : : "c"(0), "a"(3), "d"(0));
}

static bool
cmpxchg16b(volatile uint64_t *p, uint64_t *lo, uint64_t *hi, uint64_t nlo,
    uint64_t nhi)
{
	bool zf;

	__asm__ volatile("lock cmpxchg16b %1"
			 : "=@ccz"(zf), "+m"(*(volatile uint64_t(*)[2])p),
			 "+a"(*lo), "+d"(*hi)
			 : "b"(nlo), "c"(nhi)
			 : "memory");
	return zf;
}

static void
test_cmpxchg16b(void)
{
	uint64_t lo = 1, hi = 2, n = stepped();

	dev(0x100)[0] = 0x0102030405060708;
	dev(0x100)[1] = 0x1112131415161718;
	CHECK(!cmpxchg16b(dev(0x100), &lo, &hi, 3, 4));
	CHECK_EQ(lo, 0x0102030405060708);
	CHECK_EQ(hi, 0x1112131415161718);
	CHECK(cmpxchg16b(dev(0x100), &lo, &hi, ~0ull, hi));
	CHECK_EQ(dev(0x100)[0], ~0ull);
	CHECK_EQ(dev(0x100)[1], 0x1112131415161718);
	CHECK_EQ(stepped() - n, 2 * guest_call(STEPS_ON_MMIO, 0));
}

extern uint8_t u_cmpxchg16b[], u_cmpxchg16b_end[];
__asm__(".text\n"
	"u_cmpxchg16b: movl $1, %eax; xorl %edx, %edx\n"
	"movl $5, %ebx; xorl %ecx, %ecx\n"
	"lock cmpxchg16b (%rdi)\n"
	"u_cmpxchg16b_end: ud2\n");

/* Of ring 3 KVM would make #UD of it, if it were not told. */
static void
test_user(void)
{
	const uint64_t want = stepped() + guest_call(STEPS_ON_MMIO, 0);
	const struct frame *f;

	dev(0)[0] = 1;
	dev(0)[1] = 0;
	map_page(WINDOW, MMIO, PTE_P | PTE_W | PTE_U);
	f = user_run(u_cmpxchg16b, WINDOW);
	EXPECT_TRAP(f, 6, 0);
	CHECK_EQ(f->rip, USER(u_cmpxchg16b_end));
	CHECK_EQ(dev(0)[0], 5);
	CHECK(stepped() >= want);
}

static volatile unsigned int nbps;

static void
on_bp(struct frame *f)
{
	nbps++;
}

/* Each is handed over where KVM cannot emulate it, and nowhere else. */
static void
test_ram(void)
{
	static uint64_t pair[2] __attribute__((aligned(16))) = { 7, 8 };
	const uint64_t each = guest_call(STEPS_ON_RAM, 0);
	uint64_t lo = 7, hi = 8, n = stepped();

	CHECK(cmpxchg16b(pair, &lo, &hi, 9, 10));
	CHECK_EQ(stepped() - n, each);
	CHECK_EQ(pair[0], 9);
	CHECK_EQ(pair[1], 10);
	trap_set(3, on_bp);
	nbps = 0;
	n = stepped();
	__asm__ volatile("int3");
	/* The handler's way back may be handed over, too. */
	CHECK_RANGE(stepped() - n, each, 2 * each);
	CHECK_EQ(nbps, 1);
}

static void
test_ram_xrstor(void)
{
	static uint8_t area[576] __attribute__((aligned(64)));
	uint64_t n, got;

	xsave_on();
	area[512] = 2; /* XSTATE_BV: SSE */
	area[160] = 0x5a;
	area[24] = 0x80; /* MXCSR 0x1f80 */
	area[25] = 0x1f;
	n = stepped();
	__asm__ volatile("xrstor %0" : : "m"(area), "a"(2), "d"(0));
	CHECK_EQ(stepped() - n, guest_call(STEPS_ON_RAM, 0));
	__asm__ volatile("movq %%xmm0, %0" : "=r"(got));
	CHECK_EQ(got, 0x5a);
}

static void
misaligned(void *arg)
{
	uint64_t lo = 0, hi = 0;

	(void)cmpxchg16b((volatile uint64_t *)(MMIO + 8), &lo, &hi, 0, 0);
}

static void
test_fault(void)
{
	EXPECT_TRAP(guarded(misaligned, NULL), 13, 0);
}

static void
test_integer(void)
{
	uint64_t r = 0;
	uint32_t crc = 0;

	dev(0)[0] = 0x00f0000000001234;
	__asm__ volatile("popcntq %1, %0" : "=r"(r) : "m"(*dev(0)));
	CHECK_EQ(r, 9);
	__asm__ volatile("crc32l %1, %0"
			 : "+r"(crc)
			 : "m"(*(volatile uint32_t *)dev(0)));
	CHECK(crc != 0);
	r = crc;
	crc = 0;
	__asm__ volatile("crc32l %1, %0" : "+r"(crc) : "r"(0x1234));
	CHECK_EQ(crc, r);
}

/* Out of the registers into the device, and back from it. */
static void
test_xsave(void)
{
	uint64_t got = 0;

	xsave_on();
	__asm__ volatile("movq %0, %%xmm7" : : "r"(0x1122334455667788));
	__asm__ volatile("xsave %0"
			 : "=m"(*(volatile uint8_t(*)[576])dev(0x400))
			 : "a"(2), "d"(0));
	/* XMM7 is at 160 + 7 * 16 (SDM 1 table 10-2). */
	CHECK_EQ(dev(0x400 + 272)[0], 0x1122334455667788);
	CHECK_EQ(dev(0x400 + 512)[0] & 2, 2);
	dev(0x400 + 272)[0] = 0xcafe;
	__asm__ volatile(
	    "xrstor %0"
	    :
	    : "m"(*(volatile uint8_t(*)[576])dev(0x400)), "a"(2), "d"(0));
	__asm__ volatile("movq %%xmm7, %0" : "=r"(got));
	CHECK_EQ(got, 0xcafe);
}

static void
test_x87(void)
{
	uint64_t got = 0;

	xsave_on();
	dev(0x200)[0] = 41;
	__asm__ volatile("fninit; fildll %1; fld1; faddp; fistpll %0"
			 : "=m"(got)
			 : "m"(*dev(0x200)));
	CHECK_EQ(got, 42);
	__asm__ volatile("fildll %1; fistpll %0"
			 : "=m"(*dev(0x208))
			 : "m"(*dev(0x200)));
	CHECK_EQ(dev(0x208)[0], 41);
}

static void
test_sse(void)
{
	uint64_t got[2] = { 0, 0 };

	xsave_on();
	dev(0x300)[0] = 0x0000000500000003;
	dev(0x300)[1] = 0x0000000b00000007;
	__asm__ volatile("pcmpeqd %%xmm1, %%xmm1; paddd %1, %%xmm1;"
			 "movdqu %%xmm1, %0"
			 : "=m"(got)
			 : "m"(*(volatile uint64_t(*)[2])dev(0x300)));
	CHECK_EQ(got[0], 0x0000000400000002);
	CHECK_EQ(got[1], 0x0000000a00000006);
}

/* An instruction at the end of a page that is there, its operand on one that
 * is not. */
static void
unmapped(void *arg)
{
	uint64_t r;

	__asm__ volatile("popcntq %1, %0"
			 : "=r"(r)
			 : "m"(*(volatile uint64_t *)(WINDOW + 0xffc)));
}

static void
test_half_mapped(void)
{
	const struct frame *f;

	map_page(WINDOW, MMIO, PTE_P | PTE_W);
	*pte_of(WINDOW + PAGE) = 0;
	f = guarded(unmapped, NULL);
	EXPECT_TRAP(f, 14, 0);
	CHECK_EQ(this_cpu()->cr2, WINDOW + PAGE);
}

const struct guest_test guest_tests[] = {
	TEST("CMPXCHG16B", test_cmpxchg16b),
	TEST("CMPXCHG16B misaligned", test_fault),
	TEST("CMPXCHG16B by ring 3", test_user),
	TEST("CMPXCHG16B and INT3 on RAM", test_ram),
	TEST("XRSTOR from RAM", test_ram_xrstor),
	TEST("POPCNT and CRC32", test_integer),
	TEST("XSAVE and XRSTOR", test_xsave),
	TEST("x87", test_x87),
	TEST("SSE", test_sse),
	TEST("#PF on the second page", test_half_mapped),
	TEST_END,
};
