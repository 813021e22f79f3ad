/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * String instructions that are interrupted, by the timer and by page faults,
 * and go on: every element is moved once and in order, whatever comes between.
 * The host's port counts (pairs_strings.c), so that a repeated access shows.
 */
#include "guest.h"

#define PORT	 0x500
#define NCOUNT	 200000u
#define NPORT	 20000u /* elements of a port: each may be an exit */
#define TIMER	 VEC_TEST
#define PF	 14
#define NPAGES	 16
#define PER_PAGE (PAGE / 4)

enum { PORT_RESET = 1, PORT_WRITES, PORT_WRONG, PORT_READS };

static volatile unsigned int ninside, nwrong;
static uint64_t insn, first_cx, first_di, first_si, step;
static volatile unsigned int nfaults;

/* The registers are those of the instruction cut between two elements. */
static void
on_timer(struct frame *f)
{
	uint64_t done = (first_cx - f->rcx) * step;

	if (f->rip == insn && f->rcx != first_cx) {
		ninside++;
		if (f->rcx > first_cx ||
		    (first_di != 0 && f->rdi != first_di + done) ||
		    (first_si != 0 && f->rsi != first_si + done))
			nwrong++;
	}
	apic_eoi();
}

/* The first interrupt comes somewhere inside, not always at one place. */
static void
start(uint64_t cx, const void *di, const void *si, int64_t bytes)
{
	static uint32_t period;

	ninside = nwrong = nfaults = 0;
	period = (period * 5 + 977) % 8192;
	first_cx = cx;
	first_di = (uint64_t)(uintptr_t)di;
	first_si = (uint64_t)(uintptr_t)si;
	step = (uint64_t)bytes;
	trap_set(TIMER, on_timer);
	(void)guest_call(PORT_RESET, 0);
	apic_write(APIC_TIMER_DIV, 0xb);
	apic_write(APIC_LVT_TIMER, LVT_PERIODIC | TIMER);
	apic_write(APIC_TIMER_INIT, 1000 + period);
	sti();
}

static void
stop(void)
{
	cli();
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	apic_write(APIC_TIMER_INIT, 0);
	CHECK_EQ(nwrong, 0);
}

/* The instruction's own address goes to `insn` first. */
#define STRING(name, text)                                                     \
	static uint64_t name(                                                  \
	    void *di, const void *si, uint64_t cx, uint64_t ax)                \
	{                                                                      \
		uint64_t dx = PORT;                                            \
		__asm__ volatile("movq $1f, %[insn]\n1: " text "\n cld"        \
				 : [insn] "=m"(insn), "+D"(di), "+S"(si),      \
				 "+c"(cx), "+a"(ax), "+d"(dx)                  \
				 :                                             \
				 : "memory", "cc");                            \
		return cx;                                                     \
	}
STRING(rep_movsl, "rep movsl")
STRING(rep_stosl, "rep stosl")
STRING(rep_insl, "rep insl")
STRING(rep_outsl, "rep outsl")
STRING(repe_cmpsl, "repe cmpsl")
STRING(repne_scasl, "repne scasl")

/* A fast host may be through before the timer is. */
#define UNTIL_INSIDE                                                           \
	for (uint64_t end_ = rdtsc() + 10000 * tsc_khz();                      \
	     ninside == 0 && rdtsc() < end_;)
/* Again and again at once: the timer finds it where nothing else takes time. */
#define AT_ONCE for (unsigned int i_ = 0; i_ < 100 && ninside == 0; i_++)

static uint32_t *
numbers(void)
{
	static uint32_t *mem;

	if (mem == NULL)
		mem = alloc_pages((NCOUNT * 4 + PAGE - 1) / PAGE);
	for (uint32_t i = 0; i < NCOUNT; i++)
		mem[i] = i;
	return mem;
}

static uint32_t *
space(void)
{
	static uint32_t *mem;

	if (mem == NULL)
		mem = alloc_pages((NCOUNT * 4 + PAGE - 1) / PAGE);
	memset(mem, 0xee, NCOUNT * 4);
	return mem;
}

static void
check_numbers(const uint32_t *mem, unsigned int n)
{
	for (uint32_t i = 0; i < n; i++)
		if (mem[i] != i)
			FAIL("element %u is %u", i, mem[i]);
}

/* --- interrupts -------------------------------------------------------- */

static void
test_movs(void)
{
	uint32_t *src = numbers(), *dst = space();

	ninside = 0;
	UNTIL_INSIDE
	{
		start(NCOUNT, dst, src, 4);
		AT_ONCE
		CHECK_EQ(rep_movsl(dst, src, NCOUNT, 0), 0);
		stop();
		check_numbers(dst, NCOUNT);
	}
	CHECK(ninside > 0);
}

static void
test_movs_down(void)
{
	uint32_t *src = numbers(), *dst = space();

	ninside = 0;
	UNTIL_INSIDE
	{
		start(NCOUNT, dst + NCOUNT - 1, src + NCOUNT - 1, -4);
		AT_ONCE
		{
			__asm__ volatile("std");
			CHECK_EQ(rep_movsl(dst + NCOUNT - 1, src + NCOUNT - 1,
				     NCOUNT, 0),
			    0);
		}
		stop();
		check_numbers(dst, NCOUNT);
	}
	CHECK(ninside > 0);
}

static void
test_stos(void)
{
	uint32_t *dst = space(), n = 0;

	ninside = 0;
	UNTIL_INSIDE
	{
		start(NCOUNT, dst, NULL, 4);
		AT_ONCE
		CHECK_EQ(rep_stosl(dst, NULL, NCOUNT, ++n), 0);
		stop();
		for (uint32_t i = 0; i < NCOUNT; i++)
			CHECK_EQ(dst[i], n);
	}
	CHECK(ninside > 0);
}

static void
test_compare(void)
{
	uint32_t *src = numbers(), *dst = space();

	(void)rep_movsl(dst, src, NCOUNT, 0);
	dst[NCOUNT - 10] = 0;
	ninside = 0;
	UNTIL_INSIDE
	{
		start(NCOUNT, dst, src, 4);
		AT_ONCE
		CHECK_EQ(repe_cmpsl(dst, src, NCOUNT, 0), 9);
		stop();
	}
	CHECK(ninside > 0);
	ninside = 0;
	UNTIL_INSIDE
	{
		start(NCOUNT, src, NULL, 4);
		AT_ONCE
		CHECK_EQ(repne_scasl(src, NULL, NCOUNT, NCOUNT - 20), 19);
		stop();
	}
	CHECK(ninside > 0);
}

static void
test_ins(void)
{
	uint32_t *dst = space();

	ninside = 0;
	UNTIL_INSIDE
	{
		start(NPORT, dst, NULL, 4);
		CHECK_EQ(rep_insl(dst, NULL, NPORT, 0), 0);
		stop();
		check_numbers(dst, NPORT);
		CHECK_EQ(guest_call(PORT_READS, 0), NPORT);
	}
	CHECK(ninside > 0);
}

static void
test_outs(void)
{
	uint32_t *src = numbers();

	ninside = 0;
	UNTIL_INSIDE
	{
		start(NPORT, NULL, src, 4);
		CHECK_EQ(rep_outsl(NULL, src, NPORT, 0), 0);
		stop();
		CHECK_EQ(guest_call(PORT_WRITES, 0), NPORT);
		CHECK_EQ(guest_call(PORT_WRONG, 0), 0);
	}
	CHECK(ninside > 0);
}

/* --- page faults ------------------------------------------------------- */

static uint8_t *pages;

/* The page comes when it is asked for; interrupts stay off meanwhile. */
static void
on_fault(struct frame *f)
{
	uint64_t va = read_cr2() & -PAGE;
	uint64_t n = (va - WINDOW) / PAGE;

	if (n >= NPAGES || (*pte_of(va) & PTE_P) || f->rip != insn)
		nwrong++;
	nfaults++;
	map_page(va, (uint64_t)(uintptr_t)pages + n * PAGE, PTE_P | PTE_W);
}

/* Pages at WINDOW, none of them there. */
static uint32_t *
absent(void)
{
	if (pages == NULL)
		pages = alloc_pages(NPAGES);
	for (uint64_t n = 0; n < NPAGES; n++)
		map_page(WINDOW + n * PAGE, 0, 0);
	trap_set(PF, on_fault);
	return (uint32_t *)WINDOW;
}

static void
check_faults(void)
{
	stop();
	CHECK_EQ(nfaults, NPAGES);
}

static void
test_fault_movs(void)
{
	uint32_t *src = numbers(), *dst = absent();

	start(NPAGES * PER_PAGE, dst, src, 4);
	CHECK_EQ(rep_movsl(dst, src, NPAGES * PER_PAGE, 0), 0);
	check_faults();
	check_numbers(dst, NPAGES * PER_PAGE);
	/* And as the source: the numbers are there. */
	src = absent();
	dst = space();
	start(NPAGES * PER_PAGE, dst, src, 4);
	CHECK_EQ(rep_movsl(dst, src, NPAGES * PER_PAGE, 0), 0);
	check_faults();
	check_numbers(dst, NPAGES * PER_PAGE);
}

/* An element that crosses into an absent page is not half stored. */
static void
test_fault_crossing(void)
{
	uint32_t *src = numbers();
	uint8_t *dst = (uint8_t *)absent() + 2;
	uint64_t count = NPAGES * PER_PAGE - 1;

	start(count, dst, src, 4);
	CHECK_EQ(rep_movsl(dst, src, count, 0), 0);
	check_faults();
	CHECK_EQ(memcmp(dst, src, count * 4), 0);
}

/* The port is not read before its value has a place. */
static void
test_fault_ins(void)
{
	uint32_t *dst = absent();

	start(NPAGES * PER_PAGE, dst, NULL, 4);
	CHECK_EQ(rep_insl(dst, NULL, NPAGES * PER_PAGE, 0), 0);
	check_faults();
	CHECK_EQ(guest_call(PORT_READS, 0), NPAGES * PER_PAGE);
	check_numbers(dst, NPAGES * PER_PAGE);
}

static void
test_fault_outs(void)
{
	uint32_t *src;

	if (pages == NULL)
		(void)absent();
	for (uint32_t i = 0; i < NPAGES * PER_PAGE; i++)
		((uint32_t *)pages)[i] = i;
	src = absent();
	start(NPAGES * PER_PAGE, NULL, src, 4);
	CHECK_EQ(rep_outsl(NULL, src, NPAGES * PER_PAGE, 0), 0);
	check_faults();
	CHECK_EQ(guest_call(PORT_WRITES, 0), NPAGES * PER_PAGE);
	CHECK_EQ(guest_call(PORT_WRONG, 0), 0);
}

const struct guest_test guest_tests[] = {
	TEST("MOVS interrupted", test_movs),
	TEST("MOVS downwards interrupted", test_movs_down),
	TEST("STOS interrupted", test_stos),
	TEST("CMPS and SCAS interrupted", test_compare),
	TEST("INS interrupted", test_ins),
	TEST("OUTS interrupted", test_outs),
	TEST("MOVS through page faults", test_fault_movs),
	TEST("elements across page faults", test_fault_crossing),
	TEST("INS through page faults", test_fault_ins),
	TEST("OUTS through page faults", test_fault_outs),
	TEST_END,
};
