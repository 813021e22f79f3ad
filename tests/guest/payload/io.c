/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ports and MMIO as devices see them: widths, values, order, and what arrives
 * in registers; INS and OUTS of all sizes, across pages and with faults.  The
 * host records every access (pairs_io.c).
 */
#include "guest.h"

#define PORT 0x500u
#define MMIO 0xd0001000ull

/* guest_call(): the log. */
enum { LOG_CLEAR = 1, LOG_COUNT, LOG_GET };

static void
clear_log(void)
{
	(void)guest_call(LOG_CLEAR, 0);
}

/* As pairs_io.c packs it; reads of n bytes give bytes 0x80 + offset. */
static uint64_t
entry(bool write, unsigned int bytes, unsigned int off, uint64_t val)
{
	return (uint64_t)write << 63 | (uint64_t)bytes << 56 |
	       (uint64_t)off << 40 | (val & 0xffffffff);
}

static void
expect_log(unsigned int i, uint64_t want)
{
	CHECK_EQ(guest_call(LOG_GET, i), want);
}

static void
test_in(void)
{
	uint64_t rax;

	/* IN to AL and AX leaves the rest, to EAX clears the upper half. */
	__asm__ volatile("movabsq $0x1122334455667788, %%rax; inb %1, %%al"
			 : "=&a"(rax)
			 : "d"((uint16_t)PORT));
	CHECK_EQ(rax, 0x1122334455667780);
	__asm__ volatile("movabsq $0x1122334455667788, %%rax; inw %1, %%ax"
			 : "=&a"(rax)
			 : "d"((uint16_t)(PORT + 1)));
	CHECK_EQ(rax, 0x1122334455668281);
	__asm__ volatile("movabsq $0x1122334455667788, %%rax; inl %1, %%eax"
			 : "=&a"(rax)
			 : "d"((uint16_t)(PORT + 2)));
	CHECK_EQ(rax, 0x85848382);
	/* Nobody's port reads ones of its width. */
	CHECK_EQ(in8(0x1234), 0xff);
	CHECK_EQ(in16(0x1234), 0xffff);
	CHECK_EQ(in32(0x1234), 0xffffffff);
	__asm__ volatile("movl $0x12345678, %%eax; inb $0x7f, %%al"
			 : "=a"(rax));
	CHECK_EQ(rax, 0x123456ff);
}

static void
test_out(void)
{
	clear_log();
	out8(PORT, 0x11);
	out16(PORT + 1, 0x2233);
	out32(PORT + 2, 0x44556677);
	out32(PORT + 3, 0x8899aabb);
	CHECK_EQ(guest_call(LOG_COUNT, 0), 4);
	expect_log(0, entry(true, 1, 0, 0x11));
	expect_log(1, entry(true, 2, 1, 0x2233));
	expect_log(2, entry(true, 4, 2, 0x44556677));
	expect_log(3, entry(true, 4, 3, 0x8899aabb));
}

#define INS(sfx, buf, n)                                                       \
	({                                                                     \
		void *p_ = (buf);                                              \
		uint64_t n_ = (n);                                             \
		__asm__ volatile("cld; rep ins" sfx                            \
				 : "+D"(p_), "+c"(n_)                          \
				 : "d"(PORT)                                   \
				 : "memory");                                  \
		(uint8_t *)p_;                                                 \
	})
#define OUTS(sfx, buf, n)                                                      \
	({                                                                     \
		const void *p_ = (buf);                                        \
		uint64_t n_ = (n);                                             \
		__asm__ volatile("cld; rep outs" sfx                           \
				 : "+S"(p_), "+c"(n_)                          \
				 : "d"(PORT)                                   \
				 : "memory");                                  \
		(const uint8_t *)p_;                                           \
	})

static uint8_t *
two_pages(void)
{
	static uint8_t *p;

	if (p == NULL)
		p = alloc_pages(2);
	memset(p, 0xee, 2 * PAGE);
	/* Apart from each other, in both spaces. */
	map_page(WINDOW, (uint64_t)(uintptr_t)p + PAGE, PTE_P | PTE_W);
	map_page(WINDOW + PAGE, (uint64_t)(uintptr_t)p, PTE_P | PTE_W);
	map_page(WINDOW + 2 * PAGE, 0, 0);
	return (uint8_t *)WINDOW;
}

static void
test_ins(void)
{
	volatile uint8_t *p = two_pages();
	uint8_t *end;

	clear_log();
	end = INS("b", (void *)(p + PAGE - 2), 4);
	CHECK_EQ((uintptr_t)end, (uintptr_t)p + PAGE + 2);
	CHECK_EQ(*(volatile uint32_t *)(p + PAGE - 2), 0x80808080);
	end = INS("w", (void *)(p + PAGE - 3), 3); /* one word straddles */
	CHECK_EQ((uintptr_t)end, (uintptr_t)p + PAGE + 3);
	CHECK_EQ(*(volatile uint32_t *)(p + PAGE - 3), 0x81808180);
	end = INS("l", (void *)(p + PAGE - 5), 2);
	CHECK_EQ(*(volatile uint64_t *)(p + PAGE - 5), 0x8382818083828180);
	CHECK_EQ(guest_call(LOG_COUNT, 0), 9);
	expect_log(4, entry(false, 2, 0, 0x8180));
	expect_log(8, entry(false, 4, 0, 0x83828180));
	CHECK_EQ(p[PAGE + 3], 0xee);
}

static void
test_outs(void)
{
	volatile uint8_t *p = two_pages(), *s;
	uint64_t n;

	for (unsigned int i = 0; i < 16; i++)
		p[PAGE - 8 + i] = (uint8_t)(i + 1);
	clear_log();
	OUTS("b", (const void *)(p + PAGE - 1), 2);
	OUTS("w", (const void *)(p + PAGE - 1), 1);
	OUTS("l", (const void *)(p + PAGE - 2), 2);
	CHECK_EQ(guest_call(LOG_COUNT, 0), 5);
	expect_log(0, entry(true, 1, 0, 0x08));
	expect_log(1, entry(true, 1, 0, 0x09));
	expect_log(2, entry(true, 2, 0, 0x0908));
	expect_log(3, entry(true, 4, 0, 0x0a090807));
	expect_log(4, entry(true, 4, 0, 0x0e0d0c0b));
	/* Backwards. */
	clear_log();
	s = p + PAGE + 1;
	n = 3;
	__asm__ volatile("std; rep outsb; cld"
			 : "+S"(s), "+c"(n)
			 : "d"(PORT)
			 : "memory");
	expect_log(0, entry(true, 1, 0, 0x0a));
	expect_log(2, entry(true, 1, 0, 0x08));
}

static void
ins_into(void *arg)
{
	(void)INS("l", arg, 4);
}

static void
outs_from(void *arg)
{
	(void)OUTS("w", arg, 4);
}

/* Two elements fit; the third faults before the device sees it. */
static void
test_string_faults(void)
{
	volatile uint8_t *p = two_pages();
	const struct frame *f;

	clear_log();
	f = guarded(ins_into, (void *)(p + 2 * PAGE - 8));
	EXPECT_TRAP(f, 14, 2);
	CHECK_EQ(f->rcx, 2);
	CHECK_EQ(f->rdi, WINDOW + 2 * PAGE);
	CHECK_EQ(guest_call(LOG_COUNT, 0), 2);
	clear_log();
	f = guarded(outs_from, (void *)(p + 2 * PAGE - 5));
	EXPECT_TRAP(f, 14, 0);
	CHECK_EQ(f->rcx, 2);
	CHECK_EQ(this_cpu()->cr2, WINDOW + 2 * PAGE);
	CHECK_EQ(guest_call(LOG_COUNT, 0), 2);
	/* Count 0 touches nothing. */
	clear_log();
	(void)INS("l", (void *)(p + 2 * PAGE), 0);
	CHECK_EQ(guest_call(LOG_COUNT, 0), 0);
}

static void
test_mmio_widths(void)
{
	volatile uint8_t *m = (volatile uint8_t *)MMIO;
	uint64_t v;

	clear_log();
	CHECK_EQ(m[1], 0x81);
	CHECK_EQ(*(volatile uint16_t *)(m + 2), 0x8382);
	CHECK_EQ(*(volatile uint32_t *)(m + 4), 0x87868584);
	CHECK_EQ(*(volatile uint64_t *)(m + 8), 0x8f8e8d8c8b8a8988);
	m[1] = 1;
	*(volatile uint16_t *)(m + 2) = 0x203;
	*(volatile uint32_t *)(m + 4) = 0x4050607;
	*(volatile uint64_t *)(m + 8) = 0x8090a0b0c0d0e0f;
	CHECK_EQ(guest_call(LOG_COUNT, 0), 8);
	expect_log(1, entry(false, 2, 2, 0x8382));
	expect_log(3, entry(false, 8, 8, 0x8b8a8988));
	expect_log(6, entry(true, 4, 4, 0x4050607));
	expect_log(7, entry(true, 8, 8, 0x0c0d0e0f));
	/* Sign and zero extension, and partial registers. */
	__asm__ volatile("movsbq %1, %0" : "=r"(v) : "m"(m[0]));
	CHECK_EQ(v, 0xffffffffffffff80);
	__asm__ volatile("movzwl %1, %k0" : "=r"(v) : "m"(m[0]));
	CHECK_EQ(v, 0x8180);
	__asm__ volatile("movq $-1, %0; movb %1, %b0" : "=&q"(v) : "m"(m[0]));
	CHECK_EQ(v, 0xffffffffffffff80);
}

/* Read-modify-write: one read, one write, of the operand's width. */
static void
test_mmio_rmw(void)
{
	volatile uint8_t *m = (volatile uint8_t *)MMIO;
	uint32_t v = 5;
	bool c;

	clear_log();
	__asm__ volatile("addl $1, %0" : "+m"(*(volatile uint32_t *)m));
	__asm__ volatile("lock orw $1, %0" : "+m"(*(volatile uint16_t *)m));
	__asm__ volatile("xchgl %0, %1"
			 : "+r"(v), "+m"(*(volatile uint32_t *)(m + 4)));
	CHECK_EQ(v, 0x87868584);
	__asm__ volatile("btsl $0, %0; setc %1"
			 : "+m"(*(volatile uint32_t *)m), "=q"(c));
	CHECK(!c);
	CHECK_EQ(guest_call(LOG_COUNT, 0), 8);
	expect_log(0, entry(false, 4, 0, 0x83828180));
	expect_log(1, entry(true, 4, 0, 0x83828181));
	expect_log(3, entry(true, 2, 0, 0x8181));
	expect_log(5, entry(true, 4, 4, 5));
	expect_log(7, entry(true, 4, 0, 0x83828181));
	/* Operands the other way round. */
	clear_log();
	v = 1;
	__asm__ volatile("addl %1, %0"
			 : "+r"(v)
			 : "m"(*(volatile uint32_t *)m));
	CHECK_EQ(v, 0x83828181);
	__asm__ volatile("testb $0x80, %1; setnz %0" : "=q"(c) : "m"(m[3]));
	CHECK(c);
	__asm__ volatile("pushq %0; popq %0" : "+m"(*(volatile uint64_t *)m));
	CHECK_EQ(guest_call(LOG_COUNT, 0), 4);
	expect_log(1, entry(false, 1, 3, 0x83));
}

#define copy_string(insn, dst, src, count)                                     \
	do {                                                                   \
		void *d_ = (dst);                                              \
		const void *s_ = (src);                                        \
		uint64_t n_ = (count);                                         \
		__asm__ volatile(insn                                          \
				 : "+D"(d_), "+S"(s_), "+c"(n_)::"memory");    \
	} while (0)

static void
test_mmio_strings(void)
{
	uint64_t n;
	void *d;
	uint8_t buf[32] __attribute__((aligned(16)));
	volatile uint8_t *m = (volatile uint8_t *)MMIO;

	clear_log();
	copy_string("rep movsl", buf, (const void *)m, 3);
	CHECK_EQ(*(uint64_t *)buf, 0x8786858483828180);
	n = 2;
	d = (void *)(m + 8);
	__asm__ volatile("rep stosw"
			 : "+D"(d), "+c"(n)
			 : "a"(0x1234)
			 : "memory");
	copy_string("rep movsb", (void *)(m + 16), buf, 2);
	CHECK_EQ(guest_call(LOG_COUNT, 0), 7);
	expect_log(2, entry(false, 4, 8, 0x8b8a8988));
	expect_log(3, entry(true, 2, 8, 0x1234));
	expect_log(6, entry(true, 1, 17, 0x81));
	/* 16 bytes arrive as two of eight. */
	clear_log();
	__asm__ volatile(
	    "movups (%0), %%xmm0; movups %%xmm0, (%1)" ::"r"(m), "r"(buf)
	    : "memory");
	CHECK_EQ(*(uint64_t *)(buf + 8), 0x8f8e8d8c8b8a8988);
}

/* From RAM into MMIO by one access: each side gets its bytes. */
static void
test_mmio_crossing(void)
{
	uint8_t *ram = two_pages();
	volatile uint8_t *w = (volatile uint8_t *)WINDOW;

	(void)ram;
	map_page(WINDOW + PAGE, MMIO, PTE_P | PTE_W);
	w[PAGE - 1] = 0x11;
	w[PAGE - 2] = 0x22;
	clear_log();
	CHECK_EQ(*(volatile uint32_t *)(w + PAGE - 2), 0x81801122);
	*(volatile uint32_t *)(w + PAGE - 2) = 0xaabbccdd;
	CHECK_EQ(w[PAGE - 1], 0xcc);
	CHECK_EQ(w[PAGE - 2], 0xdd);
	/* Where nothing is: ones, and writes are dropped. */
	CHECK_EQ(*(volatile uint32_t *)0xd9000000, 0xffffffff);
	*(volatile uint64_t *)0xd9000000 = 1;
	CHECK_EQ(*(volatile uint8_t *)0xd9000000, 0xff);
}

const struct guest_test guest_tests[] = {
	TEST("IN", test_in),
	TEST("OUT", test_out),
	TEST("INS", test_ins),
	TEST("OUTS", test_outs),
	TEST("faults in INS and OUTS", test_string_faults),
	TEST("MMIO of all widths", test_mmio_widths),
	TEST("MMIO read-modify-write", test_mmio_rmw),
	TEST("MMIO by string instructions", test_mmio_strings),
	TEST("MMIO beside RAM", test_mmio_crossing),
	TEST_END,
};
