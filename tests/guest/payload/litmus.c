/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory order (SDM 3A 8.2.3): outcomes the architecture forbids, counted over
 * many tries.  Each processor runs through an array of independent cells,
 * starting together, so that their steps interleave in ever new ways.
 */
#include "guest.h"

#define CELLS 4000u
#ifndef LITMUS_ROUNDS
#define LITMUS_ROUNDS 100u
#endif
#define SLOW_ROUNDS 20u /* where KVM emulates */

struct cell {
	volatile uint32_t x, y;
	uint32_t r[4];
	uint32_t pad[10]; /* a cache line */
};
_Static_assert(sizeof(struct cell) == 64, "no sharing");

static struct cell *cells;
static volatile uint32_t gate;

struct litmus {
	unsigned int nthreads;
	void (*step[4])(struct cell *);
	bool (*forbidden)(const struct cell *);
};

#define LOAD(v)	    __atomic_load_n(&(v), __ATOMIC_RELAXED)
#define STORE(v, n) __atomic_store_n(&(v), (n), __ATOMIC_RELAXED)
#define MFENCE()    __asm__ volatile("mfence" ::: "memory")

static void
sb0(struct cell *c)
{
	STORE(c->x, 1);
	MFENCE();
	c->r[0] = LOAD(c->y);
}
static void
sb1(struct cell *c)
{
	STORE(c->y, 1);
	MFENCE();
	c->r[1] = LOAD(c->x);
}
static bool
sb_bad(const struct cell *c)
{
	return c->r[0] == 0 && c->r[1] == 0;
}

static void
sbx0(struct cell *c)
{
	uint32_t one = 1;

	__asm__ volatile("xchgl %0, %1" : "+r"(one), "+m"(c->x)::"memory");
	c->r[0] = LOAD(c->y);
}

static void
sbx1(struct cell *c)
{
	__asm__ volatile("lock addl $1, %0" : "+m"(c->y)::"memory");
	c->r[1] = LOAD(c->x);
}

static void
mp0(struct cell *c)
{
	STORE(c->x, 1);
	STORE(c->y, 1);
}
static void
mp1(struct cell *c)
{
	c->r[0] = LOAD(c->y);
	c->r[1] = LOAD(c->x);
}
static bool
mp_bad(const struct cell *c)
{
	return c->r[0] == 1 && c->r[1] == 0;
}

static void
lb0(struct cell *c)
{
	c->r[0] = LOAD(c->x);
	STORE(c->y, 1);
}
static void
lb1(struct cell *c)
{
	c->r[1] = LOAD(c->y);
	STORE(c->x, 1);
}
static bool
lb_bad(const struct cell *c)
{
	return c->r[0] == 1 && c->r[1] == 1;
}

static void
co0(struct cell *c)
{
	STORE(c->x, 1);
	STORE(c->x, 2);
}
static void
co1(struct cell *c)
{
	c->r[0] = LOAD(c->x);
	c->r[1] = LOAD(c->x);
}
static bool
co_bad(const struct cell *c)
{
	return c->r[0] > c->r[1];
}

static void
iriw0(struct cell *c)
{
	STORE(c->x, 1);
}
static void
iriw1(struct cell *c)
{
	STORE(c->y, 1);
}
static void
iriw2(struct cell *c)
{
	c->r[0] = LOAD(c->x);
	c->r[1] = LOAD(c->y);
}
static void
iriw3(struct cell *c)
{
	c->r[2] = LOAD(c->y);
	c->r[3] = LOAD(c->x);
}
static bool
iriw_bad(const struct cell *c)
{
	return c->r[0] == 1 && c->r[1] == 0 && c->r[2] == 1 && c->r[3] == 0;
}

static const struct litmus sb = { 2, { sb0, sb1 }, sb_bad };
static const struct litmus sbx = { 2, { sbx0, sbx1 }, sb_bad };
static const struct litmus mp = { 2, { mp0, mp1 }, mp_bad };
static const struct litmus lb = { 2, { lb0, lb1 }, lb_bad };
static const struct litmus co = { 2, { co0, co1 }, co_bad };
static const struct litmus iriw = { 4, { iriw0, iriw1, iriw2, iriw3 },
	iriw_bad };

static void
run_thread(void *arg)
{
	const struct litmus *l = arg;
	void (*step)(struct cell *) = l->step[this_cpu()->id];

	__atomic_fetch_add(&gate, 1, __ATOMIC_SEQ_CST);
	while (gate < l->nthreads)
		cpu_pause();
	for (unsigned int i = 0; i < CELLS; i++)
		step(&cells[i]);
}

static void
run(const struct litmus *l)
{
	const bool slow = guest_param(GUEST_PARAM_OWN) != 0;
	const unsigned int rounds = slow ? SLOW_ROUNDS : LITMUS_ROUNDS;
	unsigned int bad = 0;

	if (smp_count() < l->nthreads)
		guest_skip("too few processors");
	if (cells == NULL)
		cells = alloc_pages(CELLS * sizeof(*cells) / PAGE + 1);
	for (unsigned int round = 0; round < rounds; round++) {
		memset(cells, 0, CELLS * sizeof(*cells));
		gate = 0;
		for (unsigned int i = 1; i < l->nthreads; i++)
			smp_run(i, run_thread, (void *)(uintptr_t)l);
		run_thread((void *)(uintptr_t)l);
		for (unsigned int i = 1; i < l->nthreads; i++)
			smp_wait(i);
		for (unsigned int i = 0; i < CELLS; i++)
			bad += l->forbidden(&cells[i]);
	}
	CHECK_EQ(bad, 0);
}

#define LITMUS(name)                                                           \
	static void test_##name(void)                                          \
	{                                                                      \
		run(&name);                                                    \
	}
LITMUS(sb)
LITMUS(sbx)
LITMUS(mp)
LITMUS(lb)
LITMUS(co)
LITMUS(iriw)

const struct guest_test guest_tests[] = {
	TEST("SB with MFENCE", test_sb),
	TEST("SB with locked instructions", test_sbx),
	TEST("MP", test_mp),
	TEST("LB", test_lb),
	TEST("CoRR", test_co),
	TEST("IRIW", test_iriw),
	TEST_END,
};
