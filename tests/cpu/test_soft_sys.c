/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_soft_sys.c - events, segments, far transfers, IRET, system calls and
 * task switches of the software CPU, against the SDM's and APM's pseudo-code.
 */
#include "sys_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "mmu.h"

static struct soft_cpu *
cpu_of(void **state)
{
	return ((struct fix *)*state)->c;
}

/* --- delivery: frames -------------------------------------------------- */

static void
raise_at(struct soft_cpu *c, unsigned int vector, int64_t err)
{
	if (err == NO_ERR)
		cpu_raise(c, vector);
	else
		cpu_raise_err(c, vector, (uint32_t)err);
	cpu_deliver_exception(c);
}

static void
test_real_frame(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	uint64_t ss;

	fix_real(c);
	ss = c->seg[SEG_SS].base;
	poke(c, 6 * 4, 4, 0x12345678);
	c->rflags |= FL_IF | FL_TF | FL_AC;
	raise_at(c, EXC_UD, NO_ERR);
	assert_int_equal(c->leave, LEAVE_NONE);
	assert_int_equal(c->rip, 0x5678);
	assert_int_equal(c->seg[SEG_CS].sel, 0x1234);
	assert_int_equal(c->seg[SEG_CS].base, 0x12340);
	assert_int_equal(c->gpr[R_RSP], 0x7ffa);
	assert_int_equal(peek(c, ss + 0x7ffa, 2), 0x100);
	assert_int_equal(peek(c, ss + 0x7ffc, 2), T_CODE >> 4);
	assert_int_equal(peek(c, ss + 0x7ffe, 2), FL_ONE | FL_IF | FL_TF);
	assert_int_equal(c->rflags & (FL_IF | FL_TF | FL_AC), 0);
	/* No error code in real mode. */
	fix_real(c);
	raise_at(c, EXC_GP, 0);
	assert_int_equal(c->gpr[R_RSP], 0x7ffa);
}

static void
test_real_ivt_limit(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_real(c);
	/* Vector 6 lies outside, and so do 13 and 8. */
	c->idtr.limit = 3;
	raise_at(c, EXC_UD, NO_ERR);
	assert_int_equal(c->leave, LEAVE_SHUTDOWN);
	/* Vector 8 is inside, 13 is not: double fault. */
	fix_real(c);
	c->idtr.limit = 8 * 4 + 3;
	poke(c, 8 * 4, 4, 0x00508888);
	raise_at(c, EXC_GP, 0);
	assert_int_equal(c->leave, LEAVE_NONE);
	assert_int_equal(c->rip, 0x8888);
}

static void
test_pm_same_level_frame(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 0);
	c->rflags |= FL_IF | FL_NT | FL_TF;
	raise_at(c, EXC_GP, 0x1234);
	assert_int_equal(c->rip, T_HANDLER + 13 * 16);
	assert_int_equal(c->gpr[R_RSP], T_STACK - 16);
	assert_int_equal(peek(c, T_STACK - 16, 4), 0x1234);
	assert_int_equal(peek(c, T_STACK - 12, 4), T_CODE);
	assert_int_equal(peek(c, T_STACK - 8, 4), S_CODE0);
	assert_int_equal(
	    peek(c, T_STACK - 4, 4), FL_ONE | FL_IF | FL_NT | FL_TF | FL_RF);
	assert_int_equal(c->rflags, FL_ONE);
	/* A trap gate leaves IF alone; an interrupt pushes RF as it is. */
	fix_pm32(c, 0);
	c->rflags |= FL_IF;
	set_idt(c, 33, S_CODE0, 0x7000, SYS_TRAP, 0, 0);
	cpu_deliver_interrupt(c, 33, false);
	assert_int_equal(c->rip, 0x7000);
	assert_int_equal(c->rflags, FL_ONE | FL_IF);
	assert_int_equal(peek(c, T_STACK - 4, 4), FL_ONE | FL_IF);
}

static void
test_pm_inner_frame(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 3);
	raise_at(c, EXC_NP, 0x50);
	assert_int_equal(c->cpl, 0);
	assert_int_equal(c->mode & MODE_USER, 0);
	assert_int_equal(c->seg[SEG_SS].sel, S_DATA0);
	assert_int_equal(c->gpr[R_RSP], T_STACK0 - 24);
	assert_int_equal(peek(c, T_STACK0 - 4, 4), S_DATA3);
	assert_int_equal(peek(c, T_STACK0 - 8, 4), T_STACK3);
	assert_int_equal(peek(c, T_STACK0 - 16, 4), S_CODE3);
	assert_int_equal(peek(c, T_STACK0 - 20, 4), T_CODE3);
	assert_int_equal(peek(c, T_STACK0 - 24, 4), 0x50);
}

static void
test_pm_16bit_gate(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 0);
	set_idt(c, 3, S_CODE0, 0x99998888, SYS_INT16, 0, 0);
	assert_true(EXEC(c, "\xcc"));
	assert_int_equal(c->rip, 0x8888);
	assert_int_equal(c->gpr[R_RSP], T_STACK - 6);
	assert_int_equal(peek(c, T_STACK - 6, 2), (T_CODE + 1) & 0xffff);
}

static void
test_v86_interrupt(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	static const unsigned int order[] = { SEG_GS, SEG_FS, SEG_DS, SEG_ES,
		SEG_SS };

	fix_v86(c, 3);
	cpu_deliver_interrupt(c, 40, false);
	assert_int_equal(c->cpl, 0);
	assert_int_equal(c->rflags & FL_VM, 0);
	assert_int_equal(c->gpr[R_RSP], T_STACK0 - 36);
	for (unsigned int n = 0; n < 4; n++)
		assert_int_equal(
		    peek(c, T_STACK0 - 4 - n * 4, 4), 0x1000 + order[n]);
	assert_int_equal(peek(c, T_STACK0 - 24, 4), 0x8000);
	assert_true(peek(c, T_STACK0 - 28, 4) & FL_VM);
	assert_int_equal(peek(c, T_STACK0 - 36, 4), 0x100);
	assert_int_equal(c->seg[SEG_DS].sel, 0);
	assert_true(c->seg[SEG_DS].access & AR_UNUSABLE);
	/* And back. */
	assert_true(EXEC(c, "\xcf"));
	assert_true(c->rflags & FL_VM);
	assert_int_equal(c->cpl, 3);
	assert_int_equal(c->mode & (MODE_V86 | MODE_PE), MODE_V86);
	assert_int_equal(c->seg[SEG_DS].sel, 0x1000 + SEG_DS);
	assert_int_equal(c->seg[SEG_DS].base, (0x1000 + SEG_DS) << 4);
	assert_int_equal(c->gpr[R_RSP], 0x8000);
	assert_int_equal(c->rip, 0x100);
}

static void
test_v86_gate_must_be_ring0(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_v86(c, 3);
	set_idt(c, 40, S_CONF0, 0x7000, SYS_INT, 3, 0);
	set_idt(c, 13, S_CODE0, 0x7700, SYS_INT, 0, 0);
	cpu_deliver_interrupt(c, 40, false);
	assert_int_equal(c->rip, 0x7700);
	/* EXT is set: the interrupt was external. */
	assert_int_equal(peek(c, T_STACK0 - 40, 4), S_CONF0 | 1);
}

static void
test_long_frame(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_long(c, 3);
	c->rflags |= FL_IF;
	cpu_raise_pf(c, 0x123456789000, PF_U | PF_W);
	cpu_deliver_exception(c);
	assert_int_equal(c->cr2, 0x123456789000);
	assert_int_equal(c->rip, T_HANDLER + 14 * 16);
	assert_int_equal(c->cpl, 0);
	assert_int_equal(c->seg[SEG_SS].sel, 0);
	assert_true(c->seg[SEG_SS].access & AR_UNUSABLE);
	assert_int_equal(c->gpr[R_RSP], T_STACK0 - 48);
	assert_int_equal(peek(c, T_STACK0 - 8, 8), S_DATA3);
	assert_int_equal(peek(c, T_STACK0 - 16, 8), T_STACK3);
	assert_int_equal(peek(c, T_STACK0 - 24, 8), FL_ONE | FL_IF | FL_RF);
	assert_int_equal(peek(c, T_STACK0 - 32, 8), S_CODE64_3);
	assert_int_equal(peek(c, T_STACK0 - 40, 8), T_CODE3);
	assert_int_equal(peek(c, T_STACK0 - 48, 8), PF_U | PF_W);
	assert_int_equal(c->mode & (MODE_64 | MODE_USER), MODE_64);
}

static void
test_long_same_level_aligns(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_long(c, 0);
	c->gpr[R_RSP] = T_STACK - 3;
	raise_at(c, EXC_UD, NO_ERR);
	assert_int_equal(c->gpr[R_RSP], T_STACK - 16 - 40);
	assert_int_equal(peek(c, T_STACK - 16 - 8, 8), S_DATA0);
	assert_int_equal(peek(c, T_STACK - 16 - 16, 8), T_STACK - 3);
	/* SS is not touched without a change of level. */
	assert_int_equal(c->seg[SEG_SS].sel, S_DATA0);
}

static void
test_long_ist(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_long(c, 0);
	set_idt(c, 2, S_CODE64, 0x7000, SYS_INT, 0, 1);
	cpu_deliver_interrupt(c, 2, true);
	assert_true(c->nmi_blocked);
	assert_int_equal(c->gpr[R_RSP], T_IST1 - 40);
	assert_int_equal(peek(c, T_IST1 - 16, 8), T_STACK);
	assert_int_equal(c->seg[SEG_SS].sel, S_DATA0);
	assert_true(EXEC(c, "\x48\xcf"));
	assert_false(c->nmi_blocked);
	assert_int_equal(c->gpr[R_RSP], T_STACK);
}

/*
 * RAM at the start of the upper half, whose low 32 bits alone are T_HOLE and
 * lead nowhere; stacks of the TSS there.
 */
#define HIGH (0xffff800000000000u + T_HOLE)

static void
fix_high_stacks(struct soft_cpu *c)
{
	fix_compat(c, 3);
	poke(c, T_PML4 + 0x100 * 8, 8, (T_PML4 + 0x3000) | 7);
	poke(c, T_PML4 + 0x3000, 8, (T_PML4 + 0x4000) | 7);
	poke(c, T_PML4 + 0x4000 + (T_HOLE >> 21) * 8, 8, 0x87);
	poke(c, T_TSS + 4, 8, HIGH + T_STACK0);
	poke(c, T_TSS + 0x24, 8, HIGH + T_IST1);
	tlb_flush_all(c);
}

/* From 32-bit code to a stack above 4 GiB that is in no TLB. */
static void
test_compat_high_stack(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_high_stacks(c);
	raise_at(c, EXC_UD, NO_ERR);
	assert_int_equal(c->rip, T_HANDLER + EXC_UD * 16);
	assert_int_equal(c->gpr[R_RSP], HIGH + T_STACK0 - 40);
	assert_int_equal(peek(c, T_STACK0 - 32, 8), S_CODE3);
	fix_high_stacks(c);
	set_idt(c, 2, S_CODE64, 0x7000, SYS_INT, 0, 1);
	cpu_deliver_interrupt(c, 2, true);
	assert_int_equal(c->rip, 0x7000);
	assert_int_equal(c->gpr[R_RSP], HIGH + T_IST1 - 40);
	assert_int_equal(peek(c, T_IST1 - 32, 8), S_CODE3);
}

/* --- delivery: faults on the way --------------------------------------- */

struct gate_case {
	const char *what;
	void (*prepare)(struct soft_cpu *c);
	unsigned int vector; /* that ends up delivered */
	uint32_t err_int;    /* error code for INT n, vector 48 */
	uint32_t err_ext;    /* ... for an external interrupt */
};

static void
gate_limit(struct soft_cpu *c)
{
	c->idtr.limit = cpu_long_mode(c) ? 48 * 16 + 14 : 48 * 8 + 6;
}
static void
gate_type(struct soft_cpu *c)
{
	set_idt(c, 48, S_CODE0, 0x7000, 0x1, 3, 0);
}
static void
gate_not_present(struct soft_cpu *c)
{
	set_idt(c, 48, S_CODE0, 0x7000, SYS_INT, 3, 0);
	poke(c, T_IDT + 48 * (cpu_long_mode(c) ? 16 : 8) + 5, 1,
	    SYS_INT | 3 << 5);
}
static void
gate_null_cs(struct soft_cpu *c)
{
	set_idt(c, 48, 0, 0x7000, SYS_INT, 3, 0);
}
static void
gate_cs_limit(struct soft_cpu *c)
{
	set_idt(c, 48, 0x1000, 0x7000, SYS_INT, 3, 0);
}
static void
gate_cs_data(struct soft_cpu *c)
{
	set_idt(c, 48, S_DATA0, 0x7000, SYS_INT, 3, 0);
}
static void
gate_cs_np(struct soft_cpu *c)
{
	set_idt(c, 48, S_CODE_NP, 0x7000, SYS_INT, 3, 0);
}
static void
gate_cs_small(struct soft_cpu *c)
{
	set_idt(c, 48, S_CODE16, 0x12345, SYS_INT, 3, 0);
}
static void
gate_cs_32bit(struct soft_cpu *c)
{
	set_idt(c, 48, S_CODE0, 0x7000, SYS_INT, 3, 0);
}
static void
gate_noncanonical(struct soft_cpu *c)
{
	set_idt(c, 48, S_CODE64, 0x800000000000, SYS_INT, 3, 0);
}

#define IDT_ERR (48u * 8 | ERR_IDT)
static const struct gate_case gates_pm[] = {
	{ "IDT limit", gate_limit, EXC_GP, IDT_ERR, IDT_ERR | 1 },
	{ "gate type", gate_type, EXC_GP, IDT_ERR, IDT_ERR | 1 },
	{ "gate P", gate_not_present, EXC_NP, IDT_ERR, IDT_ERR | 1 },
	{ "CS null", gate_null_cs, EXC_GP, 0, 1 },
	{ "CS limit", gate_cs_limit, EXC_GP, 0x1000, 0x1001 },
	{ "CS data", gate_cs_data, EXC_GP, S_DATA0, S_DATA0 | 1 },
	{ "CS P", gate_cs_np, EXC_NP, S_CODE_NP, S_CODE_NP | 1 },
	{ "EIP limit", gate_cs_small, EXC_GP, 0, 1 },
};
static const struct gate_case gates_long[] = {
	{ "IDT limit", gate_limit, EXC_GP, IDT_ERR, IDT_ERR | 1 },
	{ "gate P", gate_not_present, EXC_NP, IDT_ERR, IDT_ERR | 1 },
	{ "CS 32-bit", gate_cs_32bit, EXC_GP, S_CODE0, S_CODE0 | 1 },
	{ "RIP form", gate_noncanonical, EXC_GP, 0, 1 },
};

static void
check_gates(struct soft_cpu *c, void (*mode)(struct soft_cpu *, unsigned int),
    const struct gate_case *t, size_t n, unsigned int w)
{
	for (; n > 0; n--, t++) {
		print_message("gate: %s\n", t->what);
		mode(c, 0);
		t->prepare(c);
		assert_false(EXEC(c, "\xcd\x30"));
		assert_int_equal(c->rip, T_CODE);
		assert_int_equal(c->gpr[R_RSP], T_STACK);
		expect_exc(c, t->vector, t->err_int);

		cpu_deliver_interrupt(c, 48, false);
		assert_int_equal(c->rip, T_HANDLER + t->vector * 16);
		assert_int_equal(peek(c, c->gpr[R_RSP], w), t->err_ext);
	}
}

static void
test_gate_faults(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	check_gates(c, fix_pm32, gates_pm, ARRAY_LEN(gates_pm), 4);
	check_gates(c, fix_long, gates_long, ARRAY_LEN(gates_long), 8);
}

static void
test_int_n_privilege(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 3);
	assert_false(EXEC(c, "\xcd\x30"));
	expect_exc(c, EXC_GP, IDT_ERR);
	assert_false(EXEC(c, "\xcc"));
	expect_exc(c, EXC_GP, 3 * 8 | ERR_IDT);
	/* INT1 asks nobody. */
	assert_true(EXEC(c, "\xf1"));
	assert_int_equal(c->rip, T_HANDLER + 16);
	assert_int_equal(peek(c, T_STACK0 - 20, 4), T_CODE3 + 1);
	fix_pm32(c, 3);
	set_idt(c, 48, S_CODE0, 0x7000, SYS_TRAP, 3, 0);
	assert_true(EXEC(c, "\xcd\x30"));
	assert_int_equal(peek(c, T_STACK0 - 20, 4), T_CODE3 + 2);
	/* The image of RF is clear. */
	assert_int_equal(peek(c, T_STACK0 - 12, 4), FL_ONE);
}

static void
test_int_v86_iopl(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_v86(c, 0);
	set_idt(c, 48, S_CODE0, 0x7000, SYS_INT, 3, 0);
	set_idt(c, 3, S_CODE0, 0x7300, SYS_INT, 3, 0);
	assert_false(EXEC(c, "\xcd\x30"));
	expect_exc(c, EXC_GP, 0);
	/* INT3 is not IOPL-sensitive. */
	assert_true(EXEC(c, "\xcc"));
	assert_int_equal(c->rip, 0x7300);
	fix_v86(c, 3);
	set_idt(c, 48, S_CODE0, 0x7000, SYS_INT, 3, 0);
	assert_true(EXEC(c, "\xcd\x30"));
	assert_int_equal(c->rip, 0x7000);
}

static void
test_stack_faults(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	/* No room on ring 0's stack: #SS with EXT, on ... nothing: #DF. */
	fix_pm32(c, 0);
	set_gdt(c, S_TSS2, mkdesc(T_TSS2, 0x67, AR_P | SYS_TSS));
	c->seg[SEG_SS].limit = 0xfff;
	c->gpr[R_RSP] = 8;
	raise_at(c, EXC_UD, NO_ERR);
	assert_int_equal(c->leave, LEAVE_SHUTDOWN);
	/* Stack switch: SS null in the TSS. */
	fix_pm32(c, 3);
	poke(c, T_TSS + 8, 4, 0);
	set_idt(c, 48, S_CODE0, 0x7000, SYS_TRAP, 3, 0);
	assert_false(EXEC(c, "\xcd\x30"));
	expect_exc(c, EXC_TS, 0);
	poke(c, T_TSS + 8, 4, S_RODATA);
	assert_false(EXEC(c, "\xcd\x30"));
	expect_exc(c, EXC_TS, S_RODATA);
	poke(c, T_TSS + 8, 4, S_DATA3);
	assert_false(EXEC(c, "\xcd\x30"));
	expect_exc(c, EXC_TS, S_DATA3 & ~3u);
	poke(c, T_TSS + 8, 4, S_DATA_NP);
	assert_false(EXEC(c, "\xcd\x30"));
	expect_exc(c, EXC_SS, S_DATA_NP);
	poke(c, T_TSS + 8, 4, S_SMALL);
	assert_false(EXEC(c, "\xcd\x30"));
	expect_exc(c, EXC_SS, S_SMALL);
	c->seg[SEG_TR].limit = 8;
	assert_false(EXEC(c, "\xcd\x30"));
	expect_exc(c, EXC_TS, S_TSS);
	assert_int_equal(c->cpl, 3);
	assert_int_equal(c->gpr[R_RSP], T_STACK3);
}

static void
test_long_stack_faults(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_long(c, 3);
	set_idt(c, 48, S_CODE64, 0x7000, SYS_TRAP, 3, 0);
	poke(c, T_TSS + 4, 8, 0x800000000000);
	assert_false(EXEC(c, "\xcd\x30"));
	expect_exc(c, EXC_SS, 0);
	/* A page fault while pushing is the supervisor's. */
	poke(c, T_TSS + 4, 8, T_HOLE + 0x1000);
	assert_false(EXEC(c, "\xcd\x30"));
	assert_int_equal(c->exc.cr2 & ~0xfffull, T_HOLE);
	expect_exc(c, EXC_PF, PF_W);
	assert_int_equal(c->cpl, 3);
	assert_int_equal(c->real_view, VIEW_USER);
	assert_int_equal(c->gpr[R_RSP], T_STACK3);
}

/* --- double and triple faults ------------------------------------------ */

static void
test_double_faults(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	static const struct {
		unsigned int first, second_bad; /* vectors without a gate */
		unsigned int delivered;
	} table[] = {
		{ EXC_UD, EXC_UD, EXC_NP }, /* benign, then #NP: serial */
		{ EXC_GP, EXC_GP, EXC_DF }, /* contributory twice */
		{ EXC_DE, EXC_DE, EXC_DF },
		{ EXC_PF, EXC_PF, EXC_DF },
		{ EXC_MF, EXC_MF, EXC_NP },
	};

	for (size_t n = 0; n < ARRAY_LEN(table); n++) {
		fix_long(c, 0);
		poke(c, T_IDT + table[n].second_bad * 16 + 5, 1, SYS_INT);
		raise_at(c, table[n].first,
		    table[n].first == EXC_GP || table[n].first == EXC_PF
			? 0
			: NO_ERR);
		assert_int_equal(c->leave, LEAVE_NONE);
		assert_int_equal(c->rip, T_HANDLER + table[n].delivered * 16);
		if (table[n].delivered == EXC_DF)
			assert_int_equal(peek(c, c->gpr[R_RSP], 8), 0);
		/* All frames name the first instruction. */
		assert_int_equal(peek(c, c->gpr[R_RSP] + 8, 8), T_CODE);
	}
}

static void
test_contributory_then_page_fault(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	/* #GP whose stack is absent: a page fault, delivered by IST. */
	fix_long(c, 0);
	set_idt(c, 14, S_CODE64, 0x7e00, SYS_INT, 0, 1);
	c->gpr[R_RSP] = T_HOLE + 0x100;
	raise_at(c, EXC_GP, 0);
	assert_int_equal(c->rip, 0x7e00);
	assert_int_equal(c->cr2 & ~0xfffull, T_HOLE);
	/* A page fault that cannot be delivered: #DF. */
	fix_long(c, 0);
	set_idt(c, 8, S_CODE64, 0x7800, SYS_INT, 0, 1);
	c->gpr[R_RSP] = T_HOLE + 0x100;
	cpu_raise_pf(c, 0x1000, 0);
	cpu_deliver_exception(c);
	assert_int_equal(c->rip, 0x7800);
	/* And nothing at all. */
	fix_long(c, 0);
	c->gpr[R_RSP] = T_HOLE + 0x100;
	raise_at(c, EXC_GP, 0);
	assert_int_equal(c->leave, LEAVE_SHUTDOWN);
	assert_false(c->exc.pending);
}

/* --- segment loads ----------------------------------------------------- */

#define OK (-2)
struct load_case {
	unsigned int cpl;
	unsigned int seg;
	unsigned int sel;
	int vector;
	unsigned int err;
};

static const struct load_case loads_pm[] = {
	{ 0, SEG_DS, S_DATA0, OK, 0 },
	{ 0, SEG_DS, S_DATA3, OK, 0 },
	{ 0, SEG_DS, 0, OK, 0 },
	{ 0, SEG_DS, 3, OK, 0 },
	{ 0, SEG_ES, S_CODE0, OK, 0 },
	{ 0, SEG_ES, S_XONLY, EXC_GP, S_XONLY },
	{ 0, SEG_FS, S_TSS2, EXC_GP, S_TSS2 },
	{ 0, SEG_FS, 0x1000, EXC_GP, 0x1000 },
	{ 0, SEG_FS, S_DATA_NP, EXC_NP, S_DATA_NP },
	{ 0, SEG_GS, S_DATA0 | 3, EXC_GP, S_DATA0 },
	{ 3, SEG_DS, S_DATA0, EXC_GP, S_DATA0 },
	{ 3, SEG_DS, S_CONF0, OK, 0 },
	{ 3, SEG_DS, S_DATA3, OK, 0 },
	{ 0, SEG_DS, 0xc | 1, EXC_GP, 0xc }, /* no LDT */
	{ 0, SEG_SS, S_DATA0, OK, 0 },
	{ 0, SEG_SS, S_DOWN, OK, 0 },
	{ 0, SEG_SS, 0, EXC_GP, 0 },
	{ 0, SEG_SS, S_DATA3, EXC_GP, S_DATA3 & ~3u },
	{ 0, SEG_SS, S_RODATA, EXC_GP, S_RODATA },
	{ 0, SEG_SS, S_CODE0, EXC_GP, S_CODE0 },
	{ 0, SEG_SS, S_DATA_NP, EXC_SS, S_DATA_NP },
	{ 0, SEG_SS, S_LAST + 1, EXC_GP, S_LAST + 1 },
	{ 3, SEG_SS, S_DATA0, EXC_GP, S_DATA0 },
};

static void
check_loads(struct soft_cpu *c, void (*mode)(struct soft_cpu *, unsigned int),
    const struct load_case *t, size_t n)
{
	for (; n > 0; n--, t++) {
		uint8_t code[2] = { 0x8e, (uint8_t)(0xc0 | t->seg << 3) };
		struct soft_seg old;
		uint64_t rip;

		print_message(
		    "CPL %u: segment %u = %#x\n", t->cpl, t->seg, t->sel);
		mode(c, t->cpl);
		old = c->seg[t->seg];
		rip = c->rip;
		c->gpr[R_RAX] = t->sel | 0xffff0000u;
		if (t->vector == OK) {
			assert_true(exec(c, code, 2));
			assert_int_equal(c->seg[t->seg].sel, t->sel);
			assert_int_equal(c->rip, rip + 2);
			assert_int_equal(c->intr_shadow, t->seg == SEG_SS);
			assert_int_equal(c->ss_shadow, t->seg == SEG_SS);
			if (sel_null(t->sel))
				assert_true(
				    c->seg[t->seg].access & AR_UNUSABLE);
			else
				assert_true(c->seg[t->seg].access & AR_A);
			continue;
		}
		assert_false(exec(c, code, 2));
		assert_int_equal(c->rip, rip);
		assert_memory_equal(&c->seg[t->seg], &old, sizeof(old));
		expect_exc(c, (unsigned int)t->vector, t->err);
	}
}

static const struct load_case loads_long[] = {
	{ 0, SEG_SS, 0, OK, 0 },
	{ 0, SEG_SS, 3, EXC_GP, 0 },
	{ 3, SEG_SS, 3, EXC_GP, 0 },
	{ 0, SEG_DS, S_CODE64, OK, 0 },
};

static void
test_segment_loads(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	check_loads(c, fix_pm32, loads_pm, ARRAY_LEN(loads_pm));
	check_loads(c, fix_long, loads_long, ARRAY_LEN(loads_long));
	/* MOV to CS and to segments 6, 7 do not exist. */
	fix_pm32(c, 0);
	assert_false(EXEC(c, "\x8e\xc8"));
	expect_exc(c, EXC_UD, NO_ERR);
}

static void
test_ldt_segment(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 0);
	c->gpr[R_RAX] = S_LDT;
	assert_true(EXEC(c, "\x0f\x00\xd0")); /* lldt ax */
	assert_int_equal(c->seg[SEG_LDTR].base, T_LDT);
	c->gpr[R_RAX] = 0xc;
	assert_true(EXEC(c, "\x8e\xd8"));
	assert_int_equal(c->seg[SEG_DS].base, 0x5000);
	/* The accessed bit went to memory. */
	assert_true(peek(c, T_LDT + 8 + 5, 1) & 1);
	c->gpr[R_RAX] = 0x24;
	assert_false(EXEC(c, "\x8e\xd8"));
	expect_exc(c, EXC_GP, 0x24);
}

static void
test_unreal_mode(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_real(c);
	c->seg[SEG_DS].limit = UINT32_MAX;
	c->gpr[R_RAX] = 0x1234;
	assert_true(EXEC(c, "\x8e\xd8"));
	assert_int_equal(c->seg[SEG_DS].base, 0x12340);
	assert_int_equal(c->seg[SEG_DS].limit, UINT32_MAX);
}

static void
test_push_pop_segment(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 0);
	assert_true(EXEC(c, "\x1e")); /* push ds */
	assert_int_equal(c->gpr[R_RSP], T_STACK - 4);
	assert_int_equal(peek(c, T_STACK - 4, 4), S_DATA0);
	poke(c, T_STACK - 4, 4, S_RODATA);
	assert_true(EXEC(c, "\x07")); /* pop es */
	assert_int_equal(c->seg[SEG_ES].sel, S_RODATA);
	assert_int_equal(c->gpr[R_RSP], T_STACK);
	poke(c, T_STACK, 4, S_XONLY);
	assert_false(EXEC(c, "\x0f\xa1")); /* pop fs */
	expect_exc(c, EXC_GP, S_XONLY);
	assert_int_equal(c->gpr[R_RSP], T_STACK);
	assert_true(EXEC(c, "\x66\x16")); /* pushw ss */
	assert_int_equal(c->gpr[R_RSP], T_STACK - 2);
}

static void
test_lds_lss(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 0);
	c->gpr[R_RBX] = T_DATA;
	poke(c, T_DATA, 4, 0xdeadbeef);
	poke(c, T_DATA + 4, 2, S_RODATA);
	assert_true(EXEC(c, "\xc5\x03")); /* lds eax,[ebx] */
	assert_int_equal(c->gpr[R_RAX], 0xdeadbeef);
	assert_int_equal(c->seg[SEG_DS].sel, S_RODATA);
	poke(c, T_DATA + 4, 2, S_XONLY);
	assert_false(EXEC(c, "\x0f\xb2\x0b")); /* lss ecx,[ebx] */
	expect_exc(c, EXC_GP, S_XONLY);
	assert_int_equal(c->gpr[R_RCX], 0);
	/* AMD: REX.W loads 32 bits all the same. */
	fix_long(c, 0);
	c->gpr[R_RBX] = T_DATA;
	poke(c, T_DATA, 8, 0xffff000092345678);
	poke(c, T_DATA + 4, 2, 0);
	assert_true(EXEC(c, "\x48\x0f\xb4\x03")); /* lfs rax,[rbx] */
	assert_int_equal(c->gpr[R_RAX], 0x92345678);
}

/* --- far transfers ----------------------------------------------------- */

struct jump_case {
	unsigned int cpl, sel;
	int vector;
	unsigned int err;
};

static const struct jump_case jumps[] = {
	{ 0, S_CODE0, OK, 0 },
	{ 0, S_CODE0 | 3, EXC_GP, S_CODE0 }, /* RPL > CPL */
	{ 0, S_CODE3, EXC_GP, S_CODE3 & ~3u },
	{ 0, S_CODE3 & ~3u, EXC_GP, S_CODE3 & ~3u },
	{ 3, S_CODE0, EXC_GP, S_CODE0 },
	{ 3, S_CONF0, OK, 0 },
	{ 3, S_CODE3, OK, 0 },
	{ 0, 0, EXC_GP, 0 },
	{ 0, S_DATA0, EXC_GP, S_DATA0 },
	{ 0, S_CODE_NP, EXC_NP, S_CODE_NP },
	{ 0, 0x1000, EXC_GP, 0x1000 },
	{ 0, S_CODE16, EXC_GP, 0 }, /* offset beyond 64 KiB */
	{ 0, S_LDT, EXC_GP, S_LDT },
};

static void
test_far_jumps(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	for (size_t n = 0; n < ARRAY_LEN(jumps); n++) {
		const struct jump_case *t = &jumps[n];
		uint8_t code[7] = { 0xea, 0x78, 0x56, 0x01, 0x00,
			(uint8_t)t->sel, (uint8_t)(t->sel >> 8) };
		uint64_t rip;

		for (unsigned int call = 0; call < 2; call++) {
			print_message("CPL %u: far %s %#x\n", t->cpl,
			    call ? "CALL" : "JMP", t->sel);
			code[0] = call ? 0x9a : 0xea;
			fix_pm32(c, t->cpl);
			rip = c->rip;
			if (t->vector != OK) {
				assert_false(exec(c, code, 7));
				assert_int_equal(c->rip, rip);
				expect_exc(c, (unsigned int)t->vector, t->err);
				continue;
			}
			assert_true(exec(c, code, 7));
			assert_int_equal(c->rip, 0x15678);
			assert_int_equal(
			    c->seg[SEG_CS].sel, (t->sel & ~3u) | t->cpl);
			assert_int_equal(c->cpl, t->cpl);
			if (!call)
				continue;
			assert_int_equal(peek(c, c->gpr[R_RSP], 4), rip + 7);
			assert_int_equal(peek(c, c->gpr[R_RSP] + 4, 2),
			    t->cpl == 3 ? S_CODE3 : S_CODE0);
		}
	}
}

static void
test_far_jump_modes(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	/* Compatibility to 64-bit mode and back through memory. */
	fix_compat(c, 0);
	assert_int_equal(c->mode & (MODE_64 | MODE_LM), MODE_LM);
	assert_true(EXEC(c, "\xea\x00\x70\x00\x00\x28\x00"));
	assert_int_equal(c->mode & MODE_64, MODE_64);
	c->gpr[R_RBX] = T_DATA;
	poke(c, T_DATA, 4, 0x9000);
	poke(c, T_DATA + 4, 2, S_CODE0);
	assert_true(EXEC(c, "\xff\x2b"));
	assert_int_equal(c->mode & (MODE_64 | MODE_CS32), MODE_CS32);
	assert_int_equal(c->rip, 0x9000);
	/* L and D together are no code segment in long mode. */
	set_gdt(
	    c, S_CODE64, mkdesc(0, 0, AR_P | AR_S | AR_CODE | AR_L | AR_DB));
	assert_false(EXEC(c, "\xea\x00\x70\x00\x00\x28\x00"));
	expect_exc(c, EXC_GP, S_CODE64);
	/* No task gates or TSSes there either. */
	assert_false(EXEC(c, "\xea\x00\x70\x00\x00\x98\x00"));
	expect_exc(c, EXC_GP, S_TSS2);
	/* A JMP with 16-bit operands cuts the offset. */
	fix_pm32(c, 0);
	assert_true(EXEC(c, "\x66\xea\x34\x12\xa0\x00"));
	assert_int_equal(c->rip, 0x1234);
	assert_int_equal(c->mode & MODE_CS32, 0);
}

static void
test_call_gate_32(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	static const char call[] = "\x9a\xff\xff\xff\xff\x63\x00";

	fix_pm32(c, 3);
	set_call_gate(c, S_CODE0, 0x12345678, SYS_CALL, 3, 2);
	poke(c, T_STACK3, 4, 0x11111111);
	poke(c, T_STACK3 + 4, 4, 0x22222222);
	assert_true(exec(c, call, 7));
	assert_int_equal(c->rip, 0x12345678);
	assert_int_equal(c->cpl, 0);
	assert_int_equal(c->seg[SEG_CS].sel, S_CODE0);
	assert_int_equal(c->seg[SEG_SS].sel, S_DATA0);
	assert_int_equal(c->gpr[R_RSP], T_STACK0 - 24);
	assert_int_equal(peek(c, T_STACK0 - 4, 4), S_DATA3);
	assert_int_equal(peek(c, T_STACK0 - 8, 4), T_STACK3);
	assert_int_equal(peek(c, T_STACK0 - 12, 4), 0x22222222);
	assert_int_equal(peek(c, T_STACK0 - 16, 4), 0x11111111);
	assert_int_equal(peek(c, T_STACK0 - 20, 4), S_CODE3);
	assert_int_equal(peek(c, T_STACK0 - 24, 4), T_CODE3 + 7);
	/* RET 8 goes back and drops the parameters on both stacks. */
	assert_true(EXEC(c, "\xca\x08\x00"));
	assert_int_equal(c->cpl, 3);
	assert_int_equal(c->rip, T_CODE3 + 7);
	assert_int_equal(c->gpr[R_RSP], T_STACK3 + 8);
	assert_int_equal(c->seg[SEG_SS].sel, S_DATA3);
	/* Ring 0's data segments are not for ring 3. */
	fix_pm32(c, 0);
	set_call_gate(c, S_CODE0, 0x100, SYS_CALL, 3, 0);
	assert_true(exec(c, call, 7));
	assert_int_equal(c->gpr[R_RSP], T_STACK - 8);
}

static void
test_call_gate_checks(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	static const char call[] = "\x9a\xff\xff\xff\xff\x63\x00";
	static const char jmp[] = "\xea\xff\xff\xff\xff\x63\x00";

	fix_pm32(c, 3);
	set_call_gate(c, S_CODE0, 0x100, SYS_CALL, 0, 0);
	assert_false(exec(c, call, 7));
	expect_exc(c, EXC_GP, S_GATE);
	set_call_gate(c, 0, 0x100, SYS_CALL, 3, 0);
	assert_false(exec(c, call, 7));
	expect_exc(c, EXC_GP, 0);
	set_call_gate(c, S_DATA0, 0x100, SYS_CALL, 3, 0);
	assert_false(exec(c, call, 7));
	expect_exc(c, EXC_GP, S_DATA0);
	set_call_gate(c, S_CODE_NP, 0x100, SYS_CALL, 3, 0);
	assert_false(exec(c, call, 7));
	expect_exc(c, EXC_NP, S_CODE_NP);
	set_call_gate(c, S_CODE0, 0x100, SYS_CALL, 3, 0);
	poke(c, T_GDT + S_GATE + 5, 1, SYS_CALL | 3 << 5);
	assert_false(exec(c, call, 7));
	expect_exc(c, EXC_NP, S_GATE);
	/* JMP cannot change the level. */
	set_call_gate(c, S_CODE0, 0x100, SYS_CALL, 3, 0);
	assert_false(exec(c, jmp, 7));
	expect_exc(c, EXC_GP, S_CODE0);
	set_call_gate(c, S_CONF0, 0x100, SYS_CALL, 3, 0);
	assert_true(exec(c, jmp, 7));
	assert_int_equal(c->cpl, 3);
	assert_int_equal(c->seg[SEG_CS].sel, S_CONF0 | 3);
}

static void
test_call_gate_64(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_long(c, 3);
	set_call_gate(c, S_CODE64, 0xffff800000001234, SYS_CALL, 3, 0);
	c->gpr[R_RBX] = T_DATA;
	poke(c, T_DATA, 4, 0);
	poke(c, T_DATA + 4, 2, S_GATE | 3);
	assert_true(EXEC(c, "\xff\x1b"));
	assert_int_equal(c->rip, 0xffff800000001234);
	assert_int_equal(c->cpl, 0);
	assert_true(c->seg[SEG_SS].access & AR_UNUSABLE);
	assert_int_equal(c->gpr[R_RSP], T_STACK0 - 32);
	assert_int_equal(peek(c, T_STACK0 - 8, 8), S_DATA3);
	assert_int_equal(peek(c, T_STACK0 - 16, 8), T_STACK3);
	assert_int_equal(peek(c, T_STACK0 - 24, 8), S_CODE64_3);
	assert_int_equal(peek(c, T_STACK0 - 32, 8), T_CODE3 + 2);
	assert_true(EXEC(c, "\x48\xcb"));
	assert_int_equal(c->cpl, 3);
	assert_int_equal(c->gpr[R_RSP], T_STACK3);
	/* Its code must be 64-bit, its upper half clean. */
	set_call_gate(c, S_CODE0, 0x1234, SYS_CALL, 3, 0);
	assert_false(EXEC(c, "\xff\x1b"));
	expect_exc(c, EXC_GP, S_CODE0);
	set_call_gate(c, S_CODE64, 0x1234, SYS_CALL, 3, 0);
	poke(c, T_GDT + S_GATE + 13, 1, 1);
	assert_false(EXEC(c, "\xff\x1b"));
	expect_exc(c, EXC_GP, S_GATE);
}

static void
test_far_ret(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	static const struct jump_case table[] = {
		{ 0, 0, EXC_GP, 0 },
		{ 0, S_DATA0, EXC_GP, S_DATA0 },
		{ 0, S_CODE3 & ~3u, EXC_GP, S_CODE3 & ~3u },
		{ 0, S_CODE_NP, EXC_NP, S_CODE_NP },
		{ 3, S_CODE0, EXC_GP, S_CODE0 }, /* to an inner level */
		{ 0, 0x1000, EXC_GP, 0x1000 },
	};

	for (size_t n = 0; n < ARRAY_LEN(table); n++) {
		fix_pm32(c, table[n].cpl);
		poke(c, c->gpr[R_RSP], 4, 0x1234);
		poke(c, c->gpr[R_RSP] + 4, 4, table[n].sel);
		assert_false(EXEC(c, "\xcb"));
		expect_exc(c, (unsigned int)table[n].vector, table[n].err);
	}
	/* Outward: data segments of ring 0 become null, conforming code stays.
	 */
	fix_pm32(c, 0);
	c->seg[SEG_ES].sel = S_DATA3;
	c->seg[SEG_ES].access |= 3 << 5;
	poke(c, T_STACK, 4, 0x1234);
	poke(c, T_STACK + 4, 4, S_CODE3);
	poke(c, T_STACK + 8, 4, T_STACK3);
	poke(c, T_STACK + 12, 4, S_DATA3);
	assert_true(EXEC(c, "\xcb"));
	assert_int_equal(c->cpl, 3);
	assert_int_equal(c->gpr[R_RSP], T_STACK3);
	assert_int_equal(c->seg[SEG_DS].sel, 0);
	assert_int_equal(c->seg[SEG_ES].sel, S_DATA3);
	/* Real mode. */
	fix_real(c);
	poke(c, c->seg[SEG_SS].base + 0x8000, 4, 0x12340056);
	assert_true(EXEC(c, "\xcb"));
	assert_int_equal(c->seg[SEG_CS].base, 0x12340);
	assert_int_equal(c->rip, 0x56);
	assert_int_equal(c->gpr[R_RSP], 0x8004);
}

/* --- IRET
 * --------------------------------------------------------------------------------
 */

static void
iret_frame(struct soft_cpu *c, unsigned int w, uint64_t rip, unsigned int cs,
    uint64_t flags, uint64_t sp, unsigned int ss)
{
	uint64_t at = c->gpr[R_RSP];
	uint64_t vals[] = { rip, cs, flags, sp, ss };

	for (unsigned int n = 0; n < 5; n++)
		poke(c, at + n * w, w, vals[n]);
}

static void
test_iret_pm(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 0);
	iret_frame(c, 4, 0x1234, S_CODE0, 0xffffffffu & ~(FL_VM | FL_NT), 0, 0);
	assert_true(EXEC(c, "\xcf"));
	assert_int_equal(c->gpr[R_RSP], T_STACK + 12);
	/* Reserved bits stay 0, bit 1 stays 1; RF only with breakpoints. */
	assert_int_equal(cpu_rflags(c), 0x003d3fd7u & ~FL_RF);
	/* Ring 3 at IOPL 0 changes neither IF nor IOPL. */
	fix_pm32(c, 3);
	iret_frame(c, 4, 0x1234, S_CODE3, FL_IF | FL_IOPL | FL_CF, 0, 0);
	assert_true(EXEC(c, "\xcf"));
	assert_int_equal(cpu_rflags(c), FL_ONE | FL_CF);
	/* To an outer level. */
	fix_pm32(c, 0);
	iret_frame(c, 4, 0x1234, S_CODE3, FL_IF, 0x88888888, S_DATA3);
	assert_true(EXEC(c, "\xcf"));
	assert_int_equal(c->cpl, 3);
	assert_int_equal(c->gpr[R_RSP], 0x88888888);
	assert_int_equal(c->rflags, FL_ONE | FL_IF);
	assert_true(c->seg[SEG_DS].access & AR_UNUSABLE);
	/* 16-bit stack: only SP is loaded. */
	fix_pm32(c, 0);
	set_gdt(c, S_STACK16, mkdesc(0, 0xffff, AR_P | AR_S | AR_W | 3 << 5));
	iret_frame(c, 4, 0x1234, S_CODE3, FL_IF, 0x88881234, S_STACK16 | 3);
	assert_true(EXEC(c, "\xcf"));
	assert_int_equal(c->gpr[R_RSP], (T_STACK & ~0xffff) | 0x1234);
}

static void
test_iret_faults(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	static const struct {
		unsigned int cs, ss;
		unsigned int vector, err;
	} table[] = {
		{ 0, S_DATA3, EXC_GP, 0 },
		{ S_DATA0, S_DATA3, EXC_GP, S_DATA0 },
		{ S_CODE_NP, S_DATA3, EXC_NP, S_CODE_NP },
		{ 0x1000, S_DATA3, EXC_GP, 0x1000 },
		{ S_CODE3, 0, EXC_GP, 0 },
		{ S_CODE3, S_DATA0, EXC_GP, S_DATA0 },
		{ S_CODE3, S_RODATA | 3, EXC_GP, S_RODATA },
		{ S_CODE3, 0x1003, EXC_GP, 0x1000 },
	};

	for (size_t n = 0; n < 2 * ARRAY_LEN(table); n++) {
		size_t k = n / 2;
		bool lm = n & 1;

		if (lm)
			fix_long(c, 0);
		else
			fix_pm32(c, 0);
		iret_frame(
		    c, lm ? 8 : 4, 0x1234, table[k].cs, 2, 0x500, table[k].ss);
		assert_false(lm ? EXEC(c, "\x48\xcf") : EXEC(c, "\xcf"));
		assert_int_equal(c->rip, T_CODE);
		assert_int_equal(c->cpl, 0);
		assert_int_equal(c->gpr[R_RSP], T_STACK);
		expect_exc(c, table[k].vector, table[k].err);
	}
	fix_long(c, 0);
	c->rflags |= FL_NT;
	assert_false(EXEC(c, "\x48\xcf"));
	expect_exc(c, EXC_GP, 0);
}

static void
test_iret_long(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	/* Same level: SS and RSP are popped all the same. */
	fix_long(c, 0);
	iret_frame(c, 8, 0xffff800000000000, S_CODE64, FL_IF, 0x1238, S_DATA0);
	assert_true(EXEC(c, "\x48\xcf"));
	assert_int_equal(c->gpr[R_RSP], 0x1238);
	assert_int_equal(c->rip, 0xffff800000000000);
	/* Null SS is right for ring 0. */
	fix_long(c, 0);
	iret_frame(c, 8, 0x1000, S_CODE64, FL_IF, 0x1238, 0);
	assert_true(EXEC(c, "\x48\xcf"));
	/* ... and not for ring 3. */
	fix_long(c, 0);
	iret_frame(c, 8, 0x1000, S_CODE64_3, FL_IF, 0x1238, 3);
	assert_false(EXEC(c, "\x48\xcf"));
	expect_exc(c, EXC_GP, 0);
	/* Non-canonical RIP. */
	iret_frame(c, 8, 0x800000000000, S_CODE64_3, 2, 0x1238, S_DATA3);
	assert_false(EXEC(c, "\x48\xcf"));
	expect_exc(c, EXC_GP, 0);
	/* To compatibility mode. */
	iret_frame(c, 8, 0x1000, S_CODE3, FL_IF, 0x7777, S_DATA3);
	assert_true(EXEC(c, "\x48\xcf"));
	assert_int_equal(c->mode & (MODE_64 | MODE_LM | MODE_CS32 | MODE_USER),
	    MODE_LM | MODE_CS32 | MODE_USER);
	/* A 32-bit IRET in 64-bit mode pops five words of four bytes. */
	fix_long(c, 0);
	iret_frame(c, 4, 0x1000, S_CODE64_3, FL_IF, 0x7777, S_DATA3);
	assert_true(EXEC(c, "\xcf"));
	assert_int_equal(c->cpl, 3);
	assert_int_equal(c->gpr[R_RSP], 0x7777);
}

static void
test_iret_real_v86(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	uint64_t ss;

	fix_real(c);
	ss = c->seg[SEG_SS].base;
	poke(c, ss + 0x8000, 2, 0x1111);
	poke(c, ss + 0x8002, 2, 0x2222);
	poke(c, ss + 0x8004, 2, 0xffff);
	assert_true(EXEC(c, "\xcf"));
	assert_int_equal(c->rip, 0x1111);
	assert_int_equal(c->seg[SEG_CS].base, 0x22220);
	assert_int_equal(cpu_rflags(c), 0x7fd7);
	fix_v86(c, 0);
	assert_false(EXEC(c, "\xcf"));
	expect_exc(c, EXC_GP, 0);
	fix_v86(c, 3);
	ss = c->seg[SEG_SS].base;
	poke(c, ss + 0x8000, 2, 0x1111);
	poke(c, ss + 0x8002, 2, 0x2222);
	poke(c, ss + 0x8004, 2, FL_IF | FL_CF);
	assert_true(EXEC(c, "\xcf"));
	/* IOPL and VM stay. */
	assert_int_equal(
	    cpu_rflags(c), FL_ONE | FL_VM | FL_IOPL | FL_IF | FL_CF);
}

/* --- flags
 * ---------------------------------------------------------------------------------
 */

static void
test_pushf_popf(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 3);
	poke(c, T_STACK3, 4, 0xffffffff);
	assert_true(EXEC(c, "\x9d"));
	assert_int_equal(cpu_rflags(c),
	    FL_ONE | FL_OSZAPC | FL_TF | FL_DF | FL_NT | FL_AC | FL_ID);
	assert_true(c->mode & MODE_ONE);
	fix_pm32(c, 0);
	poke(c, T_STACK, 4, 0xffffffff);
	assert_true(EXEC(c, "\x9d"));
	assert_int_equal(cpu_rflags(c), 0x00247fd7);
	assert_true(EXEC(c, "\x9c"));
	assert_int_equal(peek(c, T_STACK, 4), 0x00247fd7);
	/* 16 bits leave the rest alone. */
	poke(c, T_STACK, 2, 0);
	assert_true(EXEC(c, "\x66\x9d"));
	assert_int_equal(cpu_rflags(c), FL_ONE | FL_AC | FL_ID);
	fix_v86(c, 2);
	assert_false(EXEC(c, "\x9c"));
	expect_exc(c, EXC_GP, 0);
	assert_false(EXEC(c, "\x9d"));
	expect_exc(c, EXC_GP, 0);
}

static void
test_cli_sti(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_long(c, 0);
	assert_true(EXEC(c, "\xfb"));
	assert_true(c->rflags & FL_IF);
	assert_true(c->intr_shadow);
	assert_false(c->ss_shadow);
	c->intr_shadow = false;
	assert_true(EXEC(c, "\xfb"));
	assert_false(c->intr_shadow); /* was on already */
	assert_true(EXEC(c, "\xfa"));
	assert_false(c->rflags & FL_IF);
	fix_long(c, 3);
	assert_false(EXEC(c, "\xfa"));
	expect_exc(c, EXC_GP, 0);
	c->rflags |= FL_IOPL;
	assert_true(EXEC(c, "\xfb"));
	fix_v86(c, 2);
	assert_false(EXEC(c, "\xfb"));
	expect_exc(c, EXC_GP, 0);
}

static void
test_stac_view(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_long(c, 0);
	c->cr4 |= CR4_SMAP;
	cpu_update_mode(c);
	assert_int_equal(c->real_view, VIEW_KERN_SMAP);
	assert_true(EXEC(c, "\x0f\x01\xcb")); /* stac */
	assert_int_equal(c->real_view, VIEW_KERN);
	assert_true(EXEC(c, "\x0f\x01\xca"));
	assert_int_equal(c->real_view, VIEW_KERN_SMAP);
	fix_long(c, 3);
	assert_false(EXEC(c, "\x0f\x01\xcb"));
	expect_exc(c, EXC_UD, NO_ERR);
}

/* --- system calls
 * ------------------------------------------------------------------------------
 */

static void
test_syscall_sysret(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_long(c, 3);
	c->star = (uint64_t)0x1b << 48 | (uint64_t)S_CODE64 << 32;
	c->lstar = 0xffff800000001000;
	c->cstar = 0xffff800000002000;
	c->sfmask = FL_IF | FL_TF;
	c->rflags |= FL_IF;
	c->cc = flags_to_cc(FL_CF);
	assert_true(EXEC(c, "\x0f\x05"));
	assert_int_equal(c->rip, 0xffff800000001000);
	assert_int_equal(c->gpr[R_RCX], T_CODE3 + 2);
	assert_int_equal(c->gpr[R_R11], FL_ONE | FL_IF | FL_CF);
	assert_int_equal(cpu_rflags(c), FL_ONE | FL_CF);
	assert_int_equal(c->cpl, 0);
	assert_int_equal(c->seg[SEG_CS].sel, S_CODE64);
	assert_int_equal(c->seg[SEG_SS].sel, S_CODE64 + 8);
	assert_int_equal(c->mode & (MODE_64 | MODE_USER), MODE_64);
	c->gpr[R_R11] = UINT64_MAX;
	assert_true(EXEC(c, "\x48\x0f\x07"));
	assert_int_equal(c->rip, T_CODE3 + 2);
	assert_int_equal(c->cpl, 3);
	assert_int_equal(c->seg[SEG_CS].sel, (0x1b + 16) | 3);
	assert_int_equal(c->seg[SEG_SS].sel, (0x1b + 8) | 3);
	assert_int_equal(cpu_rflags(c), 0x003c7fd7);
	/* Ring 3 may not. */
	assert_false(EXEC(c, "\x48\x0f\x07"));
	expect_exc(c, EXC_GP, 0);
	/* AMD: a non-canonical RCX is no fault of SYSRET's. */
	fix_long(c, 0);
	c->gpr[R_RCX] = 0x800000000000;
	assert_true(EXEC(c, "\x48\x0f\x07"));
	assert_int_equal(c->rip, 0x800000000000);
	assert_int_equal(c->cpl, 3);
	c->efer &= ~(uint64_t)EFER_SCE;
	assert_false(EXEC(c, "\x0f\x05"));
	expect_exc(c, EXC_UD, NO_ERR);
}

static void
test_syscall_compat(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_compat(c, 3);
	c->star = (uint64_t)0x18 << 48 | (uint64_t)S_CODE64 << 32;
	c->lstar = 0x1000;
	c->cstar = 0x2000;
	assert_true(EXEC(c, "\x0f\x05"));
	assert_int_equal(c->rip, 0x2000);
	assert_int_equal(c->mode & MODE_64, MODE_64);
	assert_true(EXEC(c, "\x0f\x07"));
	assert_int_equal(c->mode & (MODE_64 | MODE_CS32), MODE_CS32);
	assert_int_equal(c->seg[SEG_CS].sel, 0x1b);
	/* AMD has no SYSENTER in long mode. */
	assert_false(EXEC(c, "\x0f\x34"));
	expect_exc(c, EXC_UD, NO_ERR);
}

static void
test_sysenter(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 3);
	assert_false(EXEC(c, "\x0f\x34"));
	expect_exc(c, EXC_GP, 0);
	c->sysenter_cs = S_CODE0;
	c->sysenter_eip = 0x1234;
	c->sysenter_esp = 0x5678;
	c->rflags |= FL_IF;
	assert_true(EXEC(c, "\x0f\x34"));
	assert_int_equal(c->rip, 0x1234);
	assert_int_equal(c->gpr[R_RSP], 0x5678);
	assert_int_equal(c->cpl, 0);
	assert_int_equal(c->rflags & FL_IF, 0);
	c->gpr[R_RDX] = 0x9999;
	c->gpr[R_RCX] = 0xaaaa;
	assert_true(EXEC(c, "\x0f\x35"));
	assert_int_equal(c->rip, 0x9999);
	assert_int_equal(c->gpr[R_RSP], 0xaaaa);
	assert_int_equal(c->cpl, 3);
	assert_int_equal(c->seg[SEG_CS].sel, (S_CODE0 + 16) | 3);
}

static void
test_swapgs_bases(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_long(c, 0);
	c->seg[SEG_GS].base = 1;
	c->kernel_gs_base = 2;
	assert_true(EXEC(c, "\x0f\x01\xf8"));
	assert_int_equal(c->seg[SEG_GS].base, 2);
	assert_int_equal(c->kernel_gs_base, 1);
	assert_false(EXEC(c, "\xf3\x48\x0f\xae\xd0")); /* wrfsbase rax */
	expect_exc(c, EXC_UD, NO_ERR);
	c->cr4 |= CR4_FSGSBASE;
	c->gpr[R_RAX] = 0xffff812345678000;
	assert_true(EXEC(c, "\xf3\x48\x0f\xae\xd0"));
	assert_int_equal(c->seg[SEG_FS].base, 0xffff812345678000);
	assert_true(EXEC(c, "\xf3\x0f\xae\xc3")); /* rdfsbase ebx */
	assert_int_equal(c->gpr[R_RBX], 0x45678000);
	c->gpr[R_RAX] = 1ull << 63;
	assert_false(EXEC(c, "\xf3\x48\x0f\xae\xd8")); /* wrgsbase rax */
	expect_exc(c, EXC_GP, 0);
	fix_long(c, 3);
	assert_false(EXEC(c, "\x0f\x01\xf8"));
	expect_exc(c, EXC_GP, 0);
}

/* --- task switch
 * ---------------------------------------------------------------------------------
 */

static void
make_tss2(struct soft_cpu *c)
{
	for (uint64_t a = 0; a < 0x68; a += 4)
		poke(c, T_TSS2 + a, 4, 0);
	poke(c, T_TSS2 + 0x20, 4, 0x7000); /* EIP */
	poke(c, T_TSS2 + 0x24, 4, FL_ONE | FL_CF);
	for (unsigned int n = 0; n < 8; n++)
		poke(c, T_TSS2 + 0x28 + n * 4, 4, 0x1000 + n);
	poke(c, T_TSS2 + 0x38, 4, 0x3000); /* ESP */
	for (unsigned int n = 0; n < 6; n++)
		poke(c, T_TSS2 + 0x48 + n * 4, 4,
		    n == SEG_CS ? S_CODE0 : S_DATA0);
}

static unsigned int
tss_type(struct soft_cpu *c, unsigned int sel)
{
	return (unsigned int)peek(c, T_GDT + sel + 5, 1) & 0x1f;
}

static void
test_task_call_iret(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 0);
	make_tss2(c);
	c->gpr[R_RDI] = 0xdddd;
	assert_true(EXEC(c, "\x9a\0\0\0\0\x98\0"));
	assert_int_equal(c->rip, 0x7000);
	assert_int_equal(c->gpr[R_RDI], 0x1007);
	assert_int_equal(c->gpr[R_RSP], 0x3000);
	assert_int_equal(cpu_rflags(c), FL_ONE | FL_CF | FL_NT);
	assert_int_equal(c->seg[SEG_TR].sel, S_TSS2);
	assert_true(c->cr0 & CR0_TS);
	assert_int_equal(peek(c, T_TSS2, 2), S_TSS);
	assert_int_equal(tss_type(c, S_TSS), SYS_TSS_BUSY);
	assert_int_equal(tss_type(c, S_TSS2), SYS_TSS_BUSY);
	assert_int_equal(peek(c, T_TSS + 0x20, 4), T_CODE + 7);
	assert_int_equal(peek(c, T_TSS + 0x28 + 7 * 4, 4), 0xdddd);
	/* Nested: IRET returns through the link. */
	c->rip = 0x7000;
	assert_true(EXEC(c, "\xcf"));
	assert_int_equal(c->rip, T_CODE + 7);
	assert_int_equal(c->gpr[R_RDI], 0xdddd);
	assert_int_equal(c->seg[SEG_TR].sel, S_TSS);
	assert_int_equal(tss_type(c, S_TSS2), SYS_TSS);
	assert_int_equal(peek(c, T_TSS2 + 0x24, 4) & FL_NT, 0);
	assert_int_equal(peek(c, T_TSS2 + 0x20, 4), 0x7001);
}

static void
test_task_jump_gate(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 0);
	make_tss2(c);
	assert_true(EXEC(c, "\xea\0\0\0\0\x90\0")); /* by the task gate */
	assert_int_equal(c->seg[SEG_TR].sel, S_TSS2);
	assert_int_equal(tss_type(c, S_TSS), SYS_TSS);
	assert_int_equal(c->rflags & FL_NT, 0);
	/* To itself: it is busy. */
	assert_false(EXEC(c, "\xea\0\0\0\0\x98\0"));
	expect_exc(c, EXC_GP, S_TSS2);
	fix_pm32(c, 0);
	make_tss2(c);
	set_gdt(c, S_TSS2, mkdesc(T_TSS2, 0x66, AR_P | SYS_TSS));
	assert_false(EXEC(c, "\xea\0\0\0\0\x98\0"));
	expect_exc(c, EXC_TS, S_TSS2);
	set_gdt(c, S_TSS2, mkdesc(T_TSS2, 0x67, SYS_TSS));
	assert_false(EXEC(c, "\xea\0\0\0\0\x98\0"));
	expect_exc(c, EXC_NP, S_TSS2);
	assert_int_equal(c->seg[SEG_TR].sel, S_TSS);
}

static void
test_task_event(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 0);
	make_tss2(c);
	poke(c, T_IDT + 8 * 8, 8, peek(c, T_GDT + S_TASKGATE, 8));
	poke(c, T_IDT + 13 * 8 + 5, 1, SYS_INT); /* #GP not present */
	raise_at(c, EXC_GP, 0);
	/* The double fault's task, with its error code pushed. */
	assert_int_equal(c->rip, 0x7000);
	assert_int_equal(c->gpr[R_RSP], 0x3000 - 4);
	assert_int_equal(peek(c, 0x3000 - 4, 4), 0);
	assert_true(c->rflags & FL_NT);
	assert_int_equal(peek(c, T_TSS + 0x20, 4), T_CODE);
}

static void
test_task_late_fault(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 0);
	make_tss2(c);
	poke(c, T_TSS2 + 0x48 + SEG_DS * 4, 4, S_XONLY);
	assert_false(EXEC(c, "\xea\0\0\0\0\x98\0"));
	/* The new task's fault, at its EIP. */
	assert_int_equal(c->rip, 0x7000);
	assert_int_equal(c->seg[SEG_TR].sel, S_TSS2);
	expect_exc(c, EXC_TS, S_XONLY);
}

static void
test_task_16(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 0);
	for (uint64_t a = 0; a < 0x2c; a += 2)
		poke(c, T_TSS2 + a, 2, 0);
	set_gdt(c, S_TSS2, mkdesc(T_TSS2, 0x2b, AR_P | SYS_TSS16));
	poke(c, T_TSS2 + 0x0e, 2, 0x7000);
	poke(c, T_TSS2 + 0x12, 2, 0xaaaa);
	poke(c, T_TSS2 + 0x1a, 2, 0x3000);
	for (unsigned int n = 0; n < 4; n++)
		poke(c, T_TSS2 + 0x22 + n * 2, 2,
		    n == SEG_CS ? S_CODE0 : S_DATA0);
	assert_true(EXEC(c, "\x9a\0\0\0\0\x98\0"));
	assert_int_equal(c->rip, 0x7000);
	assert_int_equal(c->gpr[R_RAX] & 0xffff, 0xaaaa);
	assert_int_equal(c->seg[SEG_FS].sel, 0);
	assert_int_equal(peek(c, T_TSS2, 2), S_TSS);
	assert_true(EXEC(c, "\xcf"));
	assert_int_equal(c->rip, T_CODE + 7);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fix_setup, fix_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_real_frame),
		T(test_real_ivt_limit),
		T(test_pm_same_level_frame),
		T(test_pm_inner_frame),
		T(test_pm_16bit_gate),
		T(test_v86_interrupt),
		T(test_v86_gate_must_be_ring0),
		T(test_long_frame),
		T(test_long_same_level_aligns),
		T(test_long_ist),
		T(test_compat_high_stack),
		T(test_gate_faults),
		T(test_int_n_privilege),
		T(test_int_v86_iopl),
		T(test_stack_faults),
		T(test_long_stack_faults),
		T(test_double_faults),
		T(test_contributory_then_page_fault),
		T(test_segment_loads),
		T(test_ldt_segment),
		T(test_unreal_mode),
		T(test_push_pop_segment),
		T(test_lds_lss),
		T(test_far_jumps),
		T(test_far_jump_modes),
		T(test_call_gate_32),
		T(test_call_gate_checks),
		T(test_call_gate_64),
		T(test_far_ret),
		T(test_iret_pm),
		T(test_iret_faults),
		T(test_iret_long),
		T(test_iret_real_v86),
		T(test_pushf_popf),
		T(test_cli_sti),
		T(test_stac_view),
		T(test_syscall_sysret),
		T(test_syscall_compat),
		T(test_sysenter),
		T(test_swapgs_bases),
		T(test_task_call_iret),
		T(test_task_jump_gate),
		T(test_task_event),
		T(test_task_late_fault),
		T(test_task_16),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
