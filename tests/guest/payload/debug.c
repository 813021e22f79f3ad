/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Debug exceptions (AMD APM 2 13.1): single-step, breakpoints on execution,
 * writes and reads, their order against faults and shadows, DR6, DR7, RF; the
 * interrupt shadow of STI and MOV SS; NMI and its blocking until IRET.
 */
#include "guest.h"

#define EFL_TF		   0x100ull
#define EFL_RF		   0x10000ull
#define DR6_BS		   0x4000u
#define DR6_BD		   0x2000u
#define DR6_ONES	   0xffff0ff0u
#define DR7_ONES	   0x400u
#define DR7_GD		   0x2000u
#define DR7_G(n)	   (2u << 2 * (n))
#define DR7_RW(n, rw, len) ((uint32_t)((rw) | (len) << 2) << (16 + 4 * (n)))
enum { RW_X, RW_W, RW_IO, RW_RW };
enum { LEN_1, LEN_2, LEN_8, LEN_4 };

static volatile unsigned int ntraps;
static volatile uint64_t trap_rip[64], trap_dr6[64];

static void
on_db(struct frame *f)
{
	if (ntraps < 64) {
		trap_rip[ntraps] = f->rip;
		trap_dr6[ntraps] = read_dr6();
	}
	ntraps++;
	write_dr6(DR6_ONES);
	/* An execution breakpoint is a fault: go past it. */
	f->rflags |= EFL_RF;
}

static void
on_db_stop_tf(struct frame *f)
{
	on_db(f);
	if (ntraps >= 64)
		f->rflags &= ~EFL_TF;
}

static void
start(trap_fn fn)
{
	ntraps = 0;
	trap_set(1, fn);
	write_dr6(DR6_ONES);
}

static uint64_t
at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

/* --- single step -------------------------------------------------------------
 */

extern uint8_t step_begin[], step_1[], step_2[], step_3[], step_4[], step_end[];
__asm__(".text\n"
	"step_begin: pushfq; orq $0x100, (%rsp); popfq\n"
	"step_1: nop\n"
	"step_2: movl $1, %eax\n"
	"step_3: pushfq; andq $~0x100, (%rsp)\n"
	"step_4: popfq\n"
	"step_end: ret\n");

static void
test_single_step(void)
{
	start(on_db_stop_tf);
	((void (*)(void))(uintptr_t)step_begin)();
	/* After nop, mov, pushfq, andq and popfq, which clears TF. */
	CHECK_EQ(ntraps, 5);
	CHECK_EQ(trap_rip[0], at(step_2));
	CHECK_EQ(trap_rip[1], at(step_3));
	CHECK_EQ(trap_rip[4], at(step_end));
	for (unsigned int i = 0; i < ntraps; i++)
		CHECK_EQ(trap_dr6[i], DR6_ONES | DR6_BS);
}

extern uint8_t rep_step[], rep_step_insn[];
__asm__(".text\n"
	"rep_step: movl $3, %ecx; movl $step_buf, %edi; pushfq;\n"
	"orq $0x100, (%rsp); popfq\n"
	"rep_step_insn: rep stosb\n"
	"pushfq; andq $~0x100, (%rsp); popfq; ret\n");
uint8_t step_buf[64];

static void
test_step_rep(void)
{
	start(on_db_stop_tf);
	((void (*)(void))(uintptr_t)rep_step)();
	/* After each iteration but the last RIP is the instruction's. */
	CHECK_EQ(trap_rip[0], at(rep_step_insn));
	CHECK_EQ(trap_rip[1], at(rep_step_insn));
	CHECK_EQ(trap_rip[2], at(rep_step_insn) + 2);
	CHECK_EQ(ntraps, 6);
}

/* MOV SS holds the trap off for one instruction. */
extern uint8_t ss_step[], ss_step_after[];
__asm__(".text\n"
	"ss_step: movl %ss, %eax; pushfq; orq $0x100, (%rsp); popfq\n"
	"movl %eax, %ss\n"
	"nop\n"
	"ss_step_after: pushfq; andq $~0x100, (%rsp); popfq; ret\n");

static void
test_step_mov_ss(void)
{
	start(on_db_stop_tf);
	((void (*)(void))(uintptr_t)ss_step)();
	CHECK_EQ(trap_rip[0], at(ss_step_after));
	CHECK_EQ(ntraps, 4);
}

static void
on_int50(struct frame *f)
{
	/* TF was cleared for the handler. */
	uint64_t fl;

	__asm__ volatile("pushfq; popq %0" : "=r"(fl));
	if (fl & EFL_TF)
		ntraps += 100;
}

extern uint8_t int_step[];
__asm__(".text\n"
	"int_step: pushfq; orq $0x100, (%rsp); popfq\n"
	"int $0x50\n"
	"nop\n"
	"pushfq; andq $~0x100, (%rsp); popfq; ret\n");

static void
test_step_int(void)
{
	trap_set(0x50, on_int50);
	start(on_db_stop_tf);
	((void (*)(void))(uintptr_t)int_step)();
	/* INT itself is not stepped: nop, pushfq, andq, popfq are. */
	CHECK_EQ(ntraps, 4);
}

/* --- breakpoints
 * ---------------------------------------------------------------- */

extern uint8_t bp_code[], bp_here[], bp_next[];
__asm__(".text\n"
	"bp_code: nop\n"
	"bp_here: movl $7, %eax\n"
	"bp_next: ret\n");

static void
test_exec_breakpoint(void)
{
	start(on_db);
	write_dr0(at(bp_here));
	write_dr7(DR7_ONES | DR7_G(0) | DR7_RW(0, RW_X, LEN_1));
	for (int i = 0; i < 3; i++)
		((void (*)(void))(uintptr_t)bp_code)();
	CHECK_EQ(ntraps, 3);
	CHECK_EQ(trap_rip[0], at(bp_here));
	CHECK_EQ(trap_dr6[0], DR6_ONES | 1);
	/* The other three registers, together with the first. */
	write_dr3(at(bp_next));
	write_dr7(DR7_ONES | DR7_G(0) | DR7_G(3));
	start(on_db);
	((void (*)(void))(uintptr_t)bp_code)();
	CHECK_EQ(ntraps, 2);
	CHECK_EQ(trap_dr6[1], DR6_ONES | 8);
	write_dr7(DR7_ONES);
	start(on_db);
	((void (*)(void))(uintptr_t)bp_code)();
	CHECK_EQ(ntraps, 0);
}

volatile uint64_t watched[4] __attribute__((aligned(32)));

static void
test_data_breakpoint(void)
{
	volatile uint8_t *bytes = (volatile uint8_t *)watched;

	start(on_db);
	write_dr1(at((const void *)&watched[1]));
	write_dr7(DR7_ONES | DR7_G(1) | DR7_RW(1, RW_W, LEN_4));
	watched[0] = 1;
	CHECK_EQ(ntraps, 0);
	watched[1] = 1;
	CHECK_EQ(ntraps, 1);
	CHECK_EQ(trap_dr6[0], DR6_ONES | 2);
	CHECK_EQ(watched[1], 1); /* a trap: it is done */
	(void)watched[1];
	CHECK_EQ(ntraps, 1);
	bytes[11] = 5;
	CHECK_EQ(ntraps, 2);
	bytes[12] = 5; /* past the four bytes */
	CHECK_EQ(ntraps, 2);
	*(volatile uint16_t *)(bytes + 7) = 1; /* overlaps the first */
	CHECK_EQ(ntraps, 3);
	write_dr7(DR7_ONES | DR7_G(1) | DR7_RW(1, RW_RW, LEN_8));
	(void)watched[1];
	CHECK_EQ(ntraps, 4);
	(void)bytes[15];
	CHECK_EQ(ntraps, 5);
	(void)bytes[16];
	CHECK_EQ(ntraps, 5);
	/* String stores hit too, and go on. */
	memset((void *)watched, 0x11, 32);
	CHECK(ntraps > 5);
	CHECK_EQ(bytes[31], 0x11);
	write_dr7(DR7_ONES);
}

/* A data breakpoint under MOV SS waits for the instruction after. */
static void
test_data_mov_ss(void)
{
	static uint16_t sel __attribute__((aligned(8))) = SEL_KDATA;
	uint64_t after;

	start(on_db);
	write_dr0(at(&sel));
	write_dr7(DR7_ONES | DR7_G(0) | DR7_RW(0, RW_RW, LEN_2));
	__asm__ volatile("movw %1, %%ss; nop; 1: leaq 1b(%%rip), %0"
			 : "=r"(after)
			 : "m"(sel));
	write_dr7(DR7_ONES);
	CHECK_EQ(ntraps, 1);
	CHECK_EQ(trap_rip[0], after);
}

static void
touch_dr(void *arg)
{
	write_dr0(0);
}

static void
test_general_detect(void)
{
	const struct frame *f;

	write_dr6(DR6_ONES);
	write_dr7(DR7_ONES | DR7_GD);
	f = guarded(touch_dr, NULL);
	EXPECT_TRAP(f, 1, 0);
	CHECK_EQ(this_cpu()->dr6 & 0xffff, (DR6_ONES | DR6_BD) & 0xffff);
	CHECK_EQ(read_dr7() & DR7_GD, 0);
	write_dr6(DR6_ONES);
}

static void
test_io_breakpoint(void)
{
	start(on_db);
	write_cr4(read_cr4() | 8); /* DE */
	write_dr2(0x80);
	write_dr7(DR7_ONES | DR7_G(2) | DR7_RW(2, RW_IO, LEN_1));
	out8(0x84, 0);
	CHECK_EQ(ntraps, 0);
	out8(0x80, 0);
	CHECK_EQ(ntraps, 1);
	CHECK_EQ(trap_dr6[0], DR6_ONES | 4);
	write_dr7(DR7_ONES);
	write_cr4(read_cr4() & ~8ull);
}

extern uint8_t watched_load[];
__asm__(".text\nwatched_load: movb (%rdi), %al; ret\n");

/* The watched instruction faults: its fault comes, not the breakpoint. */
static void
test_breakpoint_fault(void)
{
	start(on_db);
	write_dr0(WINDOW);
	write_dr7(DR7_ONES | DR7_G(0) | DR7_RW(0, RW_RW, LEN_1));
	map_page(WINDOW, 0, 0);
	EXPECT_TRAP(
	    guarded((void (*)(void *))(uintptr_t)watched_load, (void *)WINDOW),
	    14, 0);
	CHECK_EQ(ntraps, 0);
	write_dr7(DR7_ONES);
}

/* --- shadows and NMI
 * ------------------------------------------------------------------ */

static volatile unsigned int nints, nnmis;
static volatile uint64_t int_rip, nmi_rip;

static void
on_irq(struct frame *f)
{
	nints++;
	int_rip = f->rip;
	apic_eoi();
}

/* The interrupt pends: it comes after the instruction behind STI. */
extern uint8_t sti_shadow[], sti_after[], sti_cli[], sti_hlt_code[],
    pop_ss_pair[];
__asm__(".text\n"
	"sti_shadow: sti; incl %eax\n"
	"sti_after: incl %eax; cli; ret\n"
	"sti_cli: sti; cli; ret\n"
	"sti_hlt_code: sti; hlt; cli; ret\n"
	"pop_ss_pair: movl %ss, %ecx; sti; movl %ecx, %ss; nop; cli; ret\n");

static void
self_ipi(unsigned int vector)
{
	apic_write(APIC_ICR, ICR_SELF | vector);
}

static void
test_sti_shadow(void)
{
	trap_set(VEC_TEST, on_irq);
	nints = 0;
	self_ipi(VEC_TEST);
	((void (*)(void))(uintptr_t)sti_shadow)();
	CHECK_EQ(nints, 1);
	CHECK_EQ(int_rip, at(sti_after));
	/* STI; CLI lets nothing in. */
	self_ipi(VEC_TEST);
	((void (*)(void))(uintptr_t)sti_cli)();
	CHECK_EQ(nints, 1);
	/* STI; HLT with one pending wakes at once, after the HLT. */
	((void (*)(void))(uintptr_t)sti_hlt_code)();
	CHECK_EQ(nints, 2);
	CHECK_EQ(int_rip, at(sti_hlt_code) + 2);
}

static void
test_mov_ss_shadow(void)
{
	trap_set(VEC_TEST, on_irq);
	nints = 0;
	self_ipi(VEC_TEST);
	((void (*)(void))(uintptr_t)pop_ss_pair)();
	CHECK_EQ(nints, 1);
	CHECK_EQ(int_rip, at(pop_ss_pair) + 6); /* after sti; mov; nop */
}

static void
on_nmi(struct frame *f)
{
	nnmis++;
	nmi_rip = f->rip;
}

static void
test_nmi(void)
{
	trap_set(2, on_nmi);
	nnmis = 0;
	apic_ipi(0, ICR_NMI);
	/* IF is clear, an NMI does not care. */
	CHECK(WAIT_FOR(nnmis == 1, 100000ull));
	apic_write(APIC_ICR, ICR_NMI | ICR_SELF);
	/* Delivery mode NMI with the self shorthand is allowed or dropped. */
	(void)WAIT_FOR(nnmis == 2, 1000ull);
	CHECK(nnmis >= 1);
	/* On its own stack, too. */
	trap_set_ist(2, 2);
	nnmis = 0;
	apic_ipi(0, ICR_NMI);
	CHECK(WAIT_FOR(nnmis == 1, 100000ull));
	trap_set_ist(2, 0);
}

static void
on_nmi_nested(struct frame *f)
{
	nnmis++;
	if (nnmis != 1)
		return;
	apic_ipi(0, ICR_NMI);
	apic_ipi(0, ICR_NMI); /* one is remembered, this is lost */
	delay_us(200);
	if (nnmis != 1)
		nnmis += 1000; /* not blocked */
	/* An IRET, of whatever, ends the blocking. */
	__asm__ volatile("movl %%ss, %%eax; pushq %%rax; leaq 8(%%rsp), %%rcx;"
			 "pushq %%rcx; pushfq; movl %%cs, %%eax; pushq %%rax;"
			 "pushq $1f; iretq; 1:" ::
			     : "rax", "rcx", "memory");
	if (!WAIT_FOR(nnmis == 2, 100000ull))
		nnmis += 10000;
}

static void
test_nmi_blocking(void)
{
	trap_set(2, on_nmi_nested);
	nnmis = 0;
	apic_ipi(0, ICR_NMI);
	CHECK(WAIT_FOR(nnmis == 2, 100000ull));
	delay_us(3000); /* the third would not be lost, but late */
	CHECK_EQ(nnmis, 2);
}

static void
test_hlt_wakes(void)
{
	trap_set(VEC_TEST, on_irq);
	nints = 0;
	self_ipi(VEC_TEST);
	sti_hlt();
	cli();
	CHECK_EQ(nints, 1);
}

/* CR8 holds back lower priorities. */
static void
test_tpr(void)
{
	trap_set(VEC_TEST, on_irq);
	nints = 0;
	write_cr8(VEC_TEST >> 4);
	CHECK_EQ(apic_read(APIC_TPR), VEC_TEST & 0xf0);
	self_ipi(VEC_TEST);
	sti();
	delay_us(200);
	CHECK_EQ(nints, 0);
	CHECK(apic_bit(APIC_IRR, VEC_TEST));
	write_cr8((VEC_TEST >> 4) - 1);
	CHECK(WAIT_FOR(nints == 1, 100000ull));
	apic_write(APIC_TPR, 0x50);
	CHECK_EQ(read_cr8(), 5);
	write_cr8(0);
	cli();
}

const struct guest_test guest_tests[] = {
	TEST("single-step", test_single_step),
	TEST("single-step of REP", test_step_rep),
	TEST("single-step over MOV SS", test_step_mov_ss),
	TEST("single-step over INT", test_step_int),
	TEST("execution breakpoints", test_exec_breakpoint),
	TEST("data breakpoints", test_data_breakpoint),
	TEST("data breakpoint of MOV SS", test_data_mov_ss),
	TEST("data breakpoint of a fault", test_breakpoint_fault),
	TEST("I/O breakpoint", test_io_breakpoint),
	TEST("general detect", test_general_detect),
	TEST("STI shadow", test_sti_shadow),
	TEST("MOV SS shadow", test_mov_ss_shadow),
	TEST("NMI", test_nmi),
	TEST("NMI blocking until IRET", test_nmi_blocking),
	TEST("waking from HLT", test_hlt_wakes),
	TEST("task priority", test_tpr),
	TEST_END,
};
