/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Several processors: inter-processor interrupts of all kinds, INIT and
 * start-up twice, locked instructions that must add up, TLB shootdown,
 * page-table bits set by one processor while another changes the entry.
 */
#include "guest.h"

static volatile uint32_t hits[GUEST_MAXCPU], nmis[GUEST_MAXCPU];

static void
on_ipi(struct frame *f)
{
	hits[this_cpu()->id]++;
	apic_eoi();
}

static void
on_nmi(struct frame *f)
{
	nmis[this_cpu()->id]++;
}

static void
spin_until(void *arg)
{
	volatile uint32_t *stop = arg;

	while (*stop == 0)
		cpu_pause();
}

static void
noop(void *arg)
{
}

static void
clear_hits(void)
{
	for (unsigned int i = 0; i < GUEST_MAXCPU; i++)
		hits[i] = nmis[i] = 0;
}

static bool
hits_are(bool self, bool others, volatile uint32_t *h)
{
	for (unsigned int i = 0; i < smp_count(); i++)
		if (h[i] != (i == 0 ? self : others))
			return false;
	return true;
}

static void
test_start(void)
{
	smp_run_all(noop, NULL);
	for (unsigned int i = 0; i < smp_count(); i++)
		CHECK(cpu_of(i)->online);
}

static void
test_fixed_ipis(void)
{
	trap_set(VEC_TEST, on_ipi);
	for (unsigned int i = 0; i < smp_count(); i++) {
		clear_hits();
		sti();
		apic_ipi(i, VEC_TEST);
		CHECK(WAIT_FOR(hits[i] == 1, 1000000ull));
		cli();
		for (unsigned int k = 0; k < smp_count(); k++)
			CHECK_EQ(hits[k], k == i);
	}
}

static void
test_broadcasts(void)
{
	trap_set(VEC_TEST, on_ipi);
	sti();
	clear_hits();
	apic_write(APIC_ICR, ICR_OTHERS | VEC_TEST);
	CHECK(WAIT_FOR(hits_are(false, true, hits), 1000000ull));
	clear_hits();
	apic_write(APIC_ICR, ICR_ALL | VEC_TEST);
	CHECK(WAIT_FOR(hits_are(true, true, hits), 1000000ull));
	clear_hits();
	apic_write(APIC_ICR, ICR_SELF | VEC_TEST);
	CHECK(WAIT_FOR(hits_are(true, false, hits), 1000000ull));
	clear_hits();
	apic_ipi(0xff, VEC_TEST); /* physical broadcast */
	CHECK(WAIT_FOR(hits_are(true, true, hits), 1000000ull));
	cli();
}

static void
test_nmi(void)
{
	volatile uint32_t stop = 0;

	trap_set(2, on_nmi);
	clear_hits();
	/* To a sleeping processor and to a running one. */
	apic_ipi(1, ICR_NMI);
	CHECK(WAIT_FOR(nmis[1] == 1, 1000000ull));
	smp_run(1, spin_until, (void *)&stop);
	apic_ipi(1, ICR_NMI);
	CHECK(WAIT_FOR(nmis[1] == 2, 1000000ull));
	stop = 1;
	smp_wait(1);
	clear_hits();
	apic_write(APIC_ICR, ICR_OTHERS | ICR_NMI);
	CHECK(WAIT_FOR(hits_are(false, true, nmis), 1000000ull));
}

static void
halt_for_good(void *arg)
{
	cli();
	for (;;)
		__asm__ volatile("hlt");
}

/* INIT stops a processor wherever it is; it starts afresh. */
static void
test_init_again(void)
{
	volatile uint32_t never = 0;

	for (int round = 0; round < 4; round++) {
		smp_run(
		    1, round & 1 ? halt_for_good : spin_until, (void *)&never);
		delay_us(1000);
		apic_ipi(1, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
		apic_ipi(1, ICR_INIT | ICR_LEVEL);
		delay_us(2000);
		cpu_of(1)->online = false;
		cpu_of(1)->job = NULL;
		cpu_of(1)->guard_rsp = 0;
		smp_run(1, noop, NULL);
		smp_wait(1);
	}
	/* A second start-up IPI to a running processor is ignored. */
	smp_run(1, spin_until, (void *)&never);
	apic_ipi(1, ICR_SIPI | AP_TRAMPOLINE >> 12);
	delay_us(1000);
	CHECK(cpu_of(1)->job != NULL);
	never = 1;
	smp_wait(1);
}

/* --- locked instructions
 * ------------------------------------------------------------ */

#define ROUNDS 20000u

static struct {
	uint64_t counter[8];
	uint8_t odd[4096 + 64];
	uint64_t pair[2];
} shared __attribute__((aligned(4096)));

static volatile uint64_t gate;
static uint8_t *crossing;

/* All begin together. */
static void
meet(void)
{
	__atomic_fetch_add(&gate, 1, __ATOMIC_SEQ_CST);
	while (gate < smp_count())
		cpu_pause();
}

static void
add_all(void *arg)
{
	uint64_t *c = shared.counter;

	meet();
	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t old, one = 1;

		__asm__ volatile("lock incq %0" : "+m"(c[0])::"memory");
		__asm__ volatile("lock addl $3, %0" : "+m"(c[1])::"memory");
		__asm__ volatile("lock xaddq %1, %0"
				 : "+m"(c[2]), "+r"(one)::"memory");
		old = c[3];
		while (!__atomic_compare_exchange_n(&c[3], &old, old + 5, false,
		    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
		__asm__ volatile("lock subw $1, %0" : "+m"(c[4])::"memory");
		__asm__ volatile(
		    "lock incl %0"
		    : "+m"(*(uint32_t *)(crossing + 61))::"memory");
		__asm__ volatile(
		    "lock incl %0"
		    : "+m"(*(uint32_t *)(crossing + 4094))::"memory");
	}
}

static void
test_locked(void)
{
	uint64_t n = (uint64_t)ROUNDS * smp_count();
	uint32_t v;

	memset(&shared, 0, sizeof(shared));
	crossing = alloc_pages(2);
	gate = 0;
	smp_run_all(add_all, NULL);
	CHECK_EQ(shared.counter[0], n);
	CHECK_EQ(shared.counter[1], 3 * n);
	CHECK_EQ(shared.counter[2], n);
	CHECK_EQ(shared.counter[3], 5 * n);
	CHECK_EQ(shared.counter[4] & 0xffff, -n & 0xffff);
	memcpy(&v, crossing + 61, 4);
	CHECK_EQ(v, n);
	memcpy(&v, crossing + 4094, 4); /* across a page */
	CHECK_EQ(v, n);
}

/* A pair that is always (x, ~x * 3). */
static void
cas_pairs(void *arg)
{
	meet();
	for (unsigned int i = 0; i < ROUNDS / 4; i++) {
		uint64_t lo = shared.pair[0], hi = shared.pair[1];
		bool ok;

		do {
			__asm__ volatile(
			    "lock cmpxchg16b %0; sete %3"
			    : "+m"(shared.pair), "+a"(lo), "+d"(hi), "=q"(ok)
			    : "b"(lo + 1), "c"(hi + 3)
			    : "memory");
			if (!ok && hi != lo * 3)
				FAIL("torn: %#lx %#lx", lo, hi);
		} while (!ok);
	}
}

static void
test_cmpxchg16b(void)
{
	memset(&shared, 0, sizeof(shared));
	gate = 0;
	smp_run_all(cas_pairs, NULL);
	CHECK_EQ(shared.pair[0], (uint64_t)ROUNDS / 4 * smp_count());
	CHECK_EQ(shared.pair[1], shared.pair[0] * 3);
}

/* A spin lock by XCHG, and data it protects. */
static uint32_t spin_word;

static void
spin_adds(void *arg)
{
	volatile uint64_t *p = shared.counter;

	meet();
	for (unsigned int i = 0; i < ROUNDS / 10; i++) {
		uint32_t v;

		do {
			v = 1;
			__asm__ volatile("xchgl %0, %1"
					 : "+r"(v), "+m"(spin_word)::"memory");
			if (v != 0)
				cpu_pause();
		} while (v != 0);
		p[0] = p[0] + 1;
		p[1] = p[0];
		__atomic_store_n(&spin_word, 0, __ATOMIC_RELEASE);
	}
}

static void
test_spin_lock(void)
{
	memset(&shared, 0, sizeof(shared));
	gate = 0;
	smp_run_all(spin_adds, NULL);
	CHECK_EQ(shared.counter[0], (uint64_t)ROUNDS / 10 * smp_count());
}

/* --- translations
 * ------------------------------------------------------------------ */

static volatile uint32_t acks;

static void
on_shootdown(struct frame *f)
{
	invlpg(WINDOW);
	__atomic_fetch_add(&acks, 1, __ATOMIC_SEQ_CST);
	apic_eoi();
}

static volatile uint32_t epoch, shoot_stop;

/* Reads the page all the time; after an ack never an older number. */
static void
read_window(void *arg)
{
	while (shoot_stop == 0) {
		uint32_t e = epoch;
		uint32_t v = *(volatile uint32_t *)WINDOW;

		if (v < e)
			FAIL("stale translation: %u under epoch %u", v, e);
	}
}

static void
test_shootdown(void)
{
	uint32_t *frames[2] = { alloc_pages(1), alloc_pages(1) };
	unsigned int n = smp_count();

	trap_set(VEC_TEST + 1, on_shootdown);
	epoch = shoot_stop = 0;
	map_page(WINDOW, (uint64_t)(uintptr_t)frames[0], PTE_P | PTE_W);
	for (unsigned int i = 1; i < n; i++)
		smp_run(i, read_window, NULL);
	for (uint32_t e = 1; e < 300; e++) {
		frames[e & 1][0] = e;
		acks = 0;
		map_page(
		    WINDOW, (uint64_t)(uintptr_t)frames[e & 1], PTE_P | PTE_W);
		apic_write(APIC_ICR, ICR_OTHERS | (VEC_TEST + 1));
		if (!WAIT_FOR(acks == n - 1, 5000000ull)) {
			shoot_stop = 1;
			FAIL("only %u acks", acks);
		}
		epoch = e;
	}
	shoot_stop = 1;
	for (unsigned int i = 1; i < n; i++)
		smp_wait(i);
}

#define TOUCH_PAGES 64u

static void
touch_window(void *arg)
{
	volatile uint8_t *p = (volatile uint8_t *)WINDOW;

	while (shoot_stop == 0)
		for (unsigned int i = 0; i < TOUCH_PAGES; i++) {
			invlpg(WINDOW + i * PAGE);
			p[i * PAGE] = 1;
		}
}

/* Twice, so that bit 9 is as before; how many pages had been written. */
static uint64_t
toggle_window(void)
{
	uint64_t counted = 0;

	for (unsigned int i = 0; i < 2 * TOUCH_PAGES; i++) {
		uint64_t *pte = (uint64_t *)(uintptr_t)pte_of(
		    WINDOW + i % TOUCH_PAGES * PAGE);
		uint64_t old = __atomic_load_n(pte, __ATOMIC_RELAXED);
		uint64_t new;

		do
			new = ((old ^ 0x200) & ~(PTE_A | PTE_D));
		while (!__atomic_compare_exchange_n(
		    pte, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
		counted += (old & PTE_D) != 0;
	}
	return counted;
}

/* Accessed and dirty come by an atomic OR: no software bit is lost. */
static void
test_dirty_race(void)
{
	uint8_t *frames = alloc_pages(TOUCH_PAGES);
	uint64_t counted = 0;

	for (unsigned int i = 0; i < TOUCH_PAGES; i++)
		map_page(WINDOW + i * PAGE,
		    (uint64_t)(uintptr_t)frames + i * PAGE, PTE_P | PTE_W);
	shoot_stop = 0;
	smp_run(1, touch_window, NULL);
	for (unsigned int round = 0; round < 150; round++)
		counted += toggle_window();
	/* A busy host may not have run the other processor yet. */
	(void)WAIT_FOR((counted += toggle_window()) > 0, 10000000ull);
	shoot_stop = 1;
	smp_wait(1);
	for (unsigned int i = 0; i < TOUCH_PAGES; i++)
		CHECK_EQ(*pte_of(WINDOW + i * PAGE) & 0x200, 0);
	CHECK(counted > 0);
}

const struct guest_test guest_tests[] = {
	TEST("starting", test_start),
	TEST("fixed IPIs", test_fixed_ipis),
	TEST("broadcasts", test_broadcasts),
	TEST("NMIs", test_nmi),
	TEST("INIT and start-up again", test_init_again),
	TEST("locked instructions add up", test_locked),
	TEST("CMPXCHG16B does not tear", test_cmpxchg16b),
	TEST("spin lock", test_spin_lock),
	TEST("TLB shootdown", test_shootdown),
	TEST("dirty bits against CMPXCHG", test_dirty_race),
	TEST_END,
};
