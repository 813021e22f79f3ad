/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A debugger's breakpoints, watchpoints and INT3s (vmm/debug.h), which the
 * guest does not see: pairs_breaks.c sets them as the tests ask, notes each
 * stop and goes on as a debugger does.  SDM 3B 17.2, 17.3.
 */
#include "breaks.h"
#include "guest.h"

#define REFUSED	 UINT64_MAX
#define BYTES(n) ((uint64_t)(n) << 8)
#define EFL_TF	 0x100ull
#define EFL_RF	 0x10000ull
#define DR6_BS	 0x4000u
#define DR6_ONES 0xffff0ff0u
#define DR7_ONES 0x400u
#define DR7_G0	 2u

static uint64_t
at(const volatile void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static void
point(uint64_t which, const volatile void *p)
{
	if (guest_call(which, at(p)) == REFUSED) {
		(void)guest_call(CALL_CLEAR, 0);
		guest_skip("this engine cannot stop there");
	}
}

static void
clear(void)
{
	(void)guest_call(CALL_CLEAR, 0);
}

/* A test that failed left its own. */
static void
begin(void)
{
	clear();
}

static uint64_t
stops(void)
{
	return guest_call(CALL_STOPS, 0);
}

/* The stop with that number. */
static void
expect_stop(
    uint64_t n, uint64_t kind, const volatile void *rip, const volatile void *p)
{
	CHECK_EQ(guest_call(CALL_KIND, n), kind);
	CHECK_EQ(guest_call(CALL_RIP, n), at(rip));
	if (p != NULL)
		CHECK_EQ(guest_call(CALL_GLA, n), at(p));
}

typedef unsigned int (*code_fn)(volatile void *);
#define CODE(label) ((code_fn)(uintptr_t)(label))

/* --- breakpoints ---------------------------------------------------------- */

extern uint8_t four[], four_1[], four_2[], four_3[], four_end[];
__asm__(".text\n"
	"four: movl $1, %eax\n"
	"four_1: incl %eax\n"
	"four_2: addl $2, %eax\n"
	"four_3: addl $3, %eax\n"
	"four_end: ret\n");

static void
test_exec(void)
{
	begin();
	point(CALL_EXEC, four_1);
	for (unsigned int i = 0; i < 3; i++)
		CHECK_EQ(CODE(four)(NULL), 7);
	CHECK_EQ(stops(), 3);
	for (unsigned int i = 0; i < 3; i++)
		expect_stop(i, KIND_EXEC, four_1, four_1);
	clear();
	CHECK_EQ(CODE(four)(NULL), 7);
	CHECK_EQ(stops(), 0);
}

/* On neighbours: going on from one meets the next. */
static void
test_four(void)
{
	begin();
	point(CALL_EXEC, four);
	point(CALL_EXEC, four_3);
	point(CALL_EXEC, four_1);
	point(CALL_EXEC, four_2);
	CHECK_EQ(CODE(four)(NULL), 7);
	CHECK_EQ(stops(), 4);
	expect_stop(0, KIND_EXEC, four, four);
	expect_stop(1, KIND_EXEC, four_1, four_1);
	expect_stop(2, KIND_EXEC, four_2, four_2);
	expect_stop(3, KIND_EXEC, four_3, four_3);
	clear();
}

static volatile unsigned int nints;

static void
on_irq(struct frame *f)
{
	nints++;
	apic_eoi();
}

/* In an interrupt's handler. */
static void
test_exec_handler(void)
{
	begin();
	trap_set(VEC_TEST, on_irq);
	nints = 0;
	point(CALL_EXEC, (const void *)(uintptr_t)on_irq);
	apic_write(APIC_ICR, ICR_SELF | VEC_TEST);
	sti();
	CHECK(WAIT_FOR(nints == 1, 1000000ull));
	cli();
	CHECK_EQ(stops(), 1);
	expect_stop(0, KIND_EXEC, (const void *)(uintptr_t)on_irq,
	    (const void *)(uintptr_t)on_irq);
	clear();
}

/* In ring 3, at the linear address that it has there. */
extern uint8_t in_user[], in_user_here[];
__asm__(".text\n"
	"in_user: movl $5, %eax\n"
	"in_user_here: incl %eax; int $0x80\n");

static void
test_exec_user(void)
{
	const void *user = (const void *)(uintptr_t)USER(in_user_here);

	begin();
	point(CALL_EXEC, user);
	EXPECT_TRAP(user_run(in_user, 0), VEC_USER_RETURN, 0);
	CHECK_EQ(stops(), 1);
	expect_stop(0, KIND_EXEC, user, user);
	clear();
}

/* --- watchpoints ---------------------------------------------------------- */

static volatile uint8_t area[32] __attribute__((aligned(32)));

extern uint8_t store1[], store1_end[], store4[], store4_end[], load1[],
    load1_end[], both4[], both4_end[];
__asm__(".text\n"
	"store1: movb $0x11, (%rdi)\n"
	"store1_end: ret\n"
	"store4: movl $0x22222222, (%rdi)\n"
	"store4_end: ret\n"
	"load1: movzbl (%rdi), %eax\n"
	"load1_end: ret\n"
	"both4: addl $1, (%rdi)\n"
	"both4_end: ret\n");

static void
test_write(void)
{
	begin();
	memset((void *)(uintptr_t)area, 0, sizeof(area));
	point(CALL_WRITE | BYTES(4), area + 8);
	CODE(store1)(area + 7);
	CODE(store1)(area + 12);
	CHECK_EQ(CODE(load1)(area + 8), 0); /* a read does not count */
	CHECK_EQ(stops(), 0);
	CODE(store1)(area + 11);
	CODE(store4)(area + 5); /* overlaps the first */
	CODE(both4)(area + 8);
	CHECK_EQ(stops(), 3);
	expect_stop(0, KIND_WRITE, store1_end, area + 8);
	expect_stop(1, KIND_WRITE, store4_end, area + 8);
	expect_stop(2, KIND_WRITE, both4_end, area + 8);
	/* After it: each is done, and once. */
	CHECK_EQ(area[11], 0x11);
	CHECK_EQ(area[8], 0x23);
	clear();
	CODE(store1)(area + 8);
	CHECK_EQ(stops(), 0);
}

static void
test_access(void)
{
	begin();
	memset((void *)(uintptr_t)area, 3, sizeof(area));
	point(CALL_ACCESS | BYTES(8), area + 16);
	CHECK_EQ(CODE(load1)(area + 15), 3);
	CHECK_EQ(CODE(load1)(area + 23), 3);
	CODE(store1)(area + 16);
	CHECK_EQ(stops(), 2);
	expect_stop(0, KIND_READ, load1_end, area + 16);
	expect_stop(1, KIND_READ, store1_end, area + 16);
	clear();
	point(CALL_READ | BYTES(1), area + 3);
	CHECK_EQ(CODE(load1)(area + 3), 3);
	CHECK_EQ(stops(), 1);
	expect_stop(0, KIND_READ, load1_end, area + 3);
	clear();
}

/* Seven bytes from an odd address: three debug registers. */
static void
test_write_odd(void)
{
	begin();
	point(CALL_WRITE | BYTES(7), area + 1);
	CODE(store1)(area);
	CODE(store1)(area + 8);
	CHECK_EQ(stops(), 0);
	for (unsigned int i = 1; i < 8; i++) {
		CODE(store1)(area + i);
		CHECK_EQ(stops(), i);
		expect_stop(i - 1, KIND_WRITE, store1_end, area + 1);
	}
	clear();
}

extern uint8_t fill[], fill_end[];
__asm__(".text\n"
	"fill: movl $8, %ecx; movb $0x44, %al; rep stosb\n"
	"fill_end: ret\n");

/* After the element (SDM 3B 17.3.1.2), and all are stored in the end. */
static void
test_write_string(void)
{
	begin();
	memset((void *)(uintptr_t)area, 0, sizeof(area));
	point(CALL_WRITE | BYTES(1), area + 4);
	CODE(fill)(area);
	CHECK_EQ(stops(), 1);
	CHECK_EQ(guest_call(CALL_KIND, 0), KIND_WRITE);
	for (unsigned int i = 0; i < 9; i++)
		CHECK_EQ(area[i], i < 8 ? 0x44 : 0);
	clear();
}

static void
test_both(void)
{
	begin();
	point(CALL_EXEC, store1_end);
	point(CALL_WRITE | BYTES(1), area);
	CODE(store1)(area);
	CHECK_EQ(stops(), 2);
	expect_stop(0, KIND_WRITE, store1_end, area);
	expect_stop(1, KIND_EXEC, store1_end, store1_end);
	clear();
}

/* --- INT3 ----------------------------------------------------------------- */

static void
test_int3(void)
{
	begin();
	point(CALL_INT3, four_2);
	for (unsigned int i = 0; i < 3; i++)
		CHECK_EQ(CODE(four)(NULL), 7);
	CHECK_EQ(stops(), 3);
	for (unsigned int i = 0; i < 3; i++)
		expect_stop(i, KIND_INT3, four_2, NULL);
	clear();
	CHECK_EQ(four_2[0], 0x83); /* ADD */
}

static volatile unsigned int nbps;
static volatile uint64_t bp_rip;

static void
on_bp(struct frame *f)
{
	nbps++;
	bp_rip = f->rip;
}

extern uint8_t own_int3[], own_int3_here[];
__asm__(".text\n"
	"own_int3: movl $9, %eax\n"
	"own_int3_here: int3; ret\n");

/* Not the debugger's: the guest gets it. */
static void
test_own_int3(void)
{
	begin();
	trap_set(3, on_bp);
	nbps = 0;
	point(CALL_OWN_INT3, NULL);
	CHECK_EQ(CODE(own_int3)(NULL), 9);
	CHECK_EQ(stops(), 1);
	expect_stop(0, KIND_OWN_INT3, own_int3_here, NULL);
	CHECK_EQ(nbps, 1);
	CHECK_EQ(bp_rip, at(own_int3_here) + 1);
	clear();
	CHECK_EQ(CODE(own_int3)(NULL), 9);
	CHECK_EQ(nbps, 2);
	CHECK_EQ(stops(), 0);
}

/* --- what is the guest's -------------------------------------------------- */

static volatile unsigned int ntraps;
static volatile uint64_t trap_rip[64], trap_dr6[64];

static void
on_db(struct frame *f)
{
	if (ntraps < ARRAY_LEN(trap_rip)) {
		trap_rip[ntraps] = f->rip;
		trap_dr6[ntraps] = read_dr6();
	} else {
		f->rflags &= ~EFL_TF;
	}
	ntraps++;
	/* An execution breakpoint is a fault: go past it. */
	if ((read_dr6() & 0xf) != 0)
		f->rflags |= EFL_RF;
	write_dr6(DR6_ONES);
}

/* Its registers keep what it writes, and work again when ours are gone. */
static void
test_own_registers(void)
{
	begin();
	trap_set(1, on_db);
	ntraps = 0;
	point(CALL_EXEC, four_3);
	write_dr0(at(four_1));
	write_dr6(DR6_ONES);
	write_dr7(DR7_ONES | DR7_G0);
	CHECK_EQ(CODE(four)(NULL), 7);
	CHECK_EQ(stops(), 1);
	expect_stop(0, KIND_EXEC, four_3, four_3);
	CHECK_EQ(read_dr0(), at(four_1));
	CHECK_EQ(read_dr7(), DR7_ONES | DR7_G0);
	CHECK_EQ(read_dr6(), DR6_ONES);
	clear();
	ntraps = 0;
	CHECK_EQ(CODE(four)(NULL), 7);
	CHECK_EQ(ntraps, 1);
	CHECK_EQ(trap_rip[0], at(four_1));
	CHECK_EQ(trap_dr6[0], DR6_ONES | 1);
	write_dr7(DR7_ONES);
	write_dr0(0);
}

extern uint8_t own_step[], own_step_1[], own_step_2[], own_step_end[];
__asm__(".text\n"
	"own_step: pushfq; orq $0x100, (%rsp); popfq\n"
	"own_step_1: nop\n"
	"own_step_2: movl $1, %eax\n"
	"own_step_3: pushfq; andq $~0x100, (%rsp); popfq\n"
	"own_step_end: ret\n");

/* It steps itself through a breakpoint of ours. */
static void
test_own_step(void)
{
	begin();
	trap_set(1, on_db);
	write_dr6(DR6_ONES);
	ntraps = 0;
	point(CALL_EXEC, own_step_2);
	CHECK_EQ(CODE(own_step)(NULL), 1);
	CHECK_EQ(stops(), 1);
	expect_stop(0, KIND_EXEC, own_step_2, own_step_2);
	clear();
	/* After NOP, MOV, PUSHFQ, ANDQ and POPFQ. */
	CHECK_EQ(ntraps, 5);
	CHECK_EQ(trap_rip[0], at(own_step_2));
	CHECK_EQ(trap_rip[4], at(own_step_end));
	for (unsigned int i = 0; i < 5; i++)
		CHECK_EQ(trap_dr6[i], DR6_ONES | DR6_BS);
}

const struct guest_test guest_tests[] = {
	TEST("breakpoint", test_exec),
	TEST("breakpoints in a row", test_four),
	TEST("breakpoint in a handler", test_exec_handler),
	TEST("breakpoint in ring 3", test_exec_user),
	TEST("watching writes", test_write),
	TEST("watching reads", test_access),
	TEST("watching bytes at odd addresses", test_write_odd),
	TEST("watching a string", test_write_string),
	TEST("watchpoint before a breakpoint", test_both),
	TEST("INT3 of the debugger", test_int3),
	TEST("INT3 of the guest", test_own_int3),
	TEST("debug registers of the guest", test_own_registers),
	TEST("single steps of the guest", test_own_step),
	TEST_END,
};
