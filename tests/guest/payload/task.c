/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hardware task switches (SDM 3A chapter 8): from task A, where prot_run()
 * starts, to B by JMP, CALL, IRET, gates and events; what is saved, loaded and
 * marked; faults before the switch, which are A's, and after it, which are B's.
 */
#include "prot.h"

#define CR0_TS	 8u
#define DR6_BT	 0x8000u
#define MAGIC_VA 0xc0000000u /* in digits below */
#define NO_LINK	 0xffffu     /* what prot_reset() leaves there */
#define L_DATA	 (0x00 | TI)
#define L_TSS	 (0x08 | TI)
#define L_GATE	 (0x10 | TI)

/* PSEL_TSS_B, PSEL_TSS16 and PSEL_GATE in digits: an immediate is text. */
#define TO_B	    "$0x120, $0"
#define TO_16	    "$0x128, $0"
#define TO_GATE	    "$0x130, $0"
#define TO_LDT_GATE "$0x14, $0"
#define TO_LDT_TSS  "$0x0c, $0"
_Static_assert(PSEL_TSS_B == 0x120 && PSEL_TSS16 == 0x128 &&
		   PSEL_GATE == 0x130 && L_GATE == 0x14 && L_TSS == 0xc,
    "the selectors above");

CODE(32, jump_b, "ljmp " TO_B "; int $0x80");
CODE(32, call_b, "lcall " TO_B "; int $0x80");
CODE(32, call_b_twice, "lcall " TO_B "; lcall " TO_B "; int $0x80");
CODE(32, jump_gate, "ljmp " TO_GATE "; int $0x80");
CODE(32, call_gate, "lcall " TO_GATE "; int $0x80");
CODE(32, call_ldt_gate, "lcall " TO_LDT_GATE "; int $0x80");
CODE(32, jump_ldt_tss, "ljmp " TO_LDT_TSS "; int $0x80");
CODE(32, call_16, "lcall " TO_16 "; int $0x80");
CODE(32, jump_16, "ljmp " TO_16 "; int $0x80");
CODE(32, int_0x42, "int $0x42; int $0x80");
CODE(32, load_bad_fs, "movl %eax, %fs; int $0x80");
CODE(32, nested_iret, "iretl");
CODE(32, just_end, "int $0x80");
CODE(32, iret_end, "iretl; int $0x80");
CODE(32, jump_a, "incl %ecx; ljmp $0x118, $0; int $0x80");
/* A handler that puts a null selector into A's EAX and returns. */
CODE(32, repair_eax, "popl %eax; movl $0, tss_a + 40; iretl");
CODE(32, read_magic, "movl 0xc0000000, %eax; int $0x80");
CODE(32, read_magic_jump, "movl 0xc0000000, %ebx; ljmp " TO_B "; int $0x80");
CODE(32, read_ds, "movl %ds:4, %eax; int $0x80");

static const uint32_t b_regs[8] = { 0xb0b0b0b0, 0xb1b1b1b1, 0xb2b2b2b2,
	0xb3b3b3b3, 0, 0xb5b5b5b5, 0xb6b6b6b6, 0xb7b7b7b7 };

static void
start(const void *a_code, const void *b_code)
{
	prot_reset(a_code);
	tss_b.eip = addr32(b_code);
	for (unsigned int r = 0; r < 8; r++)
		if (r != R_SP)
			tss_b.reg[r] = b_regs[r];
}

/* CR0.TS is clear before, and set by every switch. */
static void
check_where(unsigned int tr)
{
	CHECK_EQ(prot_seen.tr, tr);
	CHECK_EQ(prot_seen.cr0 & CR0_TS, CR0_TS);
}

static void
check_busy(bool a, bool b)
{
	CHECK_EQ(access_of(PSEL_TSS_A), AR_TSS | (a ? AR_BUSY : 0));
	CHECK_EQ(access_of(PSEL_TSS_B), AR_TSS | (b ? AR_BUSY : 0));
}

/* A's registers went into its TSS, from `prot`. */
static void
check_a_saved(const uint8_t *next)
{
	CHECK_EQ(tss_a.eip, addr32(next));
	CHECK_EQ(tss_a.eflags, prot.eflags);
	for (unsigned int r = 0; r < 8; r++)
		CHECK_EQ(tss_a.reg[r], r == R_SP ? prot.esp : prot.reg[r]);
	CHECK_EQ(tss_a.seg[S_CS], SEL_KCODE32);
	CHECK_EQ(tss_a.seg[S_SS], SEL_KDATA);
	CHECK_EQ(tss_a.seg[S_DS], prot.ds);
	CHECK_EQ(tss_a.seg[S_GS], prot.gs);
	/* What a switch does not save. */
	CHECK_EQ(tss_a.esp0, TOP(stack_a));
	CHECK_EQ(tss_a.cr3, 0);
	CHECK_EQ(tss_a.ldt, 0);
}

static void
check_b_loaded(void)
{
	CHECK_EQ(prot_seen.ax, b_regs[R_AX]);
	CHECK_EQ(prot_seen.cx, b_regs[R_CX]);
	CHECK_EQ(prot_seen.dx, b_regs[R_DX]);
	CHECK_EQ(prot_seen.bx, b_regs[R_BX]);
	CHECK_EQ(prot_seen.bp, b_regs[R_BP]);
	CHECK_EQ(prot_seen.si, b_regs[R_SI]);
	CHECK_EQ(prot_seen.di, b_regs[R_DI]);
}

static void
test_jump(void)
{
	start(jump_b, just_end);
	prot.eflags |= EFL_CF;
	prot.gs = 0;
	tss_b.eflags |= 0x40; /* ZF */
	tss_b.seg[S_FS] = 0;
	prot_run();
	EXPECT_END();
	check_where(PSEL_TSS_B);
	check_busy(false, true);
	check_a_saved(jump_b + 7);
	check_b_loaded();
	CHECK_EQ(prot_seen.eip, addr32(just_end_end));
	CHECK_EQ(prot_seen.eflags, EFL_ONE | 0x40); /* no NT */
	CHECK_EQ(prot_seen.fs, 0);
	CHECK_EQ(prot_seen.handler_sp + 17 * 4, TOP(stack_b));
	CHECK_EQ(tss_b.link, NO_LINK);
}

/* There and back by JMP, each from where it was. */
static void
test_jump_back(void)
{
	start(jump_b, jump_a);
	prot_run();
	EXPECT_END();
	check_where(PSEL_TSS_A);
	check_busy(true, false);
	CHECK_EQ(prot_seen.cx, prot.reg[R_CX]);
	CHECK_EQ(prot_seen.eip, addr32(jump_b_end));
	CHECK_EQ(tss_b.reg[R_CX], b_regs[R_CX] + 1);
	CHECK_EQ(tss_b.eip, addr32(jump_a_end) - 2);
}

static void
test_call(void)
{
	start(call_b, just_end);
	prot_run();
	EXPECT_END();
	check_where(PSEL_TSS_B);
	check_busy(true, true);
	check_a_saved(call_b + 7);
	check_b_loaded();
	CHECK_EQ(prot_seen.eflags, EFL_ONE | EFL_NT);
	CHECK_EQ(tss_b.link & 0xffff, PSEL_TSS_A);
	CHECK_EQ(tss_b.link >> 16, 0);
	CHECK_EQ(prot_seen.handler_sp + 17 * 4, TOP(stack_b)); /* no push */
}

static void
test_call_return(void)
{
	start(call_b, iret_end);
	prot_run();
	EXPECT_END();
	check_where(PSEL_TSS_A);
	check_busy(true, false);
	CHECK_EQ(prot_seen.eip, addr32(call_b_end));
	CHECK_EQ(prot_seen.eflags, EFL_ONE);
	CHECK_EQ(prot_seen.ax, prot.reg[R_AX]);
	/* B goes on after its IRET the next time; NT was cleared. */
	CHECK_EQ(tss_b.eip, addr32(iret_end) + 1);
	CHECK_EQ(tss_b.eflags, EFL_ONE);
	start(call_b_twice, iret_end);
	prot_run();
	EXPECT_END();
	check_where(PSEL_TSS_B);
	CHECK_EQ(prot_seen.eip, addr32(iret_end_end));
	CHECK_EQ(tss_a.eip, addr32(call_b_twice) + 14);
}

static void
through_gate(const void *code, bool nested)
{
	start(code, just_end);
	prot.ldt = PSEL_LDT;
	prot_gdt[PSEL_GATE / 8] = gate(AR_TASK_GATE, PSEL_TSS_B, 0x12345678);
	prot_ldt[L_GATE / 8] = gate(AR_TASK_GATE, PSEL_TSS_B, 0);
	prot_run();
	EXPECT_END();
	check_where(PSEL_TSS_B);
	check_busy(nested, true);
	CHECK_EQ(prot_seen.eflags & EFL_NT, nested ? EFL_NT : 0);
	CHECK_EQ(prot_seen.eip, addr32(just_end_end));
}

static void
test_gates(void)
{
	through_gate(jump_gate, false);
	through_gate(call_gate, true);
	through_gate(call_ldt_gate, true);
	/* From ring 3: the gate's DPL counts, the TSS's does not. */
	start(call_gate, just_end);
	prot_ring3();
	prot_gdt[PSEL_GATE / 8] = gate(AR_TASK_GATE | AR_DPL(3), PSEL_TSS_B, 0);
	prot_run();
	EXPECT_END();
	check_where(PSEL_TSS_B);
	CHECK_EQ(prot_seen.cs, SEL_KCODE32);
	CHECK_EQ(tss_a.seg[S_CS], PSEL_UCODE | 3);
}

/* --- events ------------------------------------------------------------ */

static void
test_int_gate(void)
{
	start(int_0x42, just_end);
	prot_idt[0x42] = gate(AR_TASK_GATE, PSEL_TSS_B, 0);
	prot_run();
	EXPECT_END();
	check_where(PSEL_TSS_B);
	check_busy(true, true);
	check_a_saved(int_0x42 + 2);
	CHECK_EQ(prot_seen.eflags, EFL_ONE | EFL_NT);
	CHECK_EQ(tss_b.link, PSEL_TSS_A);
	CHECK_EQ(prot_seen.handler_sp + 17 * 4, TOP(stack_b)); /* no error */
	/* And back by IRET. */
	start(int_0x42, iret_end);
	prot_idt[0x42] = gate(AR_TASK_GATE, PSEL_TSS_B, 0);
	prot_run();
	EXPECT_END();
	check_where(PSEL_TSS_A);
	CHECK_EQ(prot_seen.eip, addr32(int_0x42_end));
}

/* An interrupt from outside. */
CODE(32, spin, "1: incl %ebx; jmp 1b");
#define TIMER_VECTOR 0x51

static void
test_interrupt_gate(void)
{
	start(spin, just_end);
	prot.eflags |= EFL_IF;
	prot_idt[TIMER_VECTOR] = gate(AR_TASK_GATE, PSEL_TSS_B, 0);
	apic_write(APIC_TIMER_DIV, 0xb);
	apic_write(APIC_LVT_TIMER, TIMER_VECTOR);
	apic_write(APIC_TIMER_INIT, 1u << 17);
	prot_run();
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	apic_eoi();
	EXPECT_END();
	check_where(PSEL_TSS_B);
	check_busy(true, true);
	CHECK_EQ(prot_seen.eflags, EFL_ONE | EFL_NT);
	CHECK_EQ(tss_b.link, PSEL_TSS_A);
	CHECK_EQ(tss_a.eflags & (EFL_IF | EFL_NT), EFL_IF);
	CHECK_RANGE(tss_a.eip, addr32(spin), addr32(spin_end) - 1);
}

/* An exception's error code is on the new task's stack. */
static void
test_exception_gate(void)
{
	start(load_bad_fs, fault_with_error);
	prot.reg[R_AX] = PSEL_SCRATCH; /* an empty descriptor */
	prot_idt[13] = gate(AR_TASK_GATE, PSEL_TSS_B, 0);
	prot_run();
	EXPECT_END();
	check_where(PSEL_TSS_B);
	CHECK_EQ(prot_seen.ax, PSEL_SCRATCH);
	CHECK_EQ(prot_seen.handler_sp + 17 * 4, TOP(stack_b)); /* popped */
	CHECK_EQ(tss_a.eip, addr32(load_bad_fs)); /* a fault: restarts */
	CHECK_EQ(tss_a.eflags & EFL_NT, 0);
	/* Repaired, the instruction is restarted and succeeds. */
	start(load_bad_fs, repair_eax);
	prot.reg[R_AX] = PSEL_SCRATCH;
	prot_idt[13] = gate(AR_TASK_GATE, PSEL_TSS_B, 0);
	prot_run();
	EXPECT_END();
	check_where(PSEL_TSS_A);
	CHECK_EQ(prot_seen.eip, addr32(load_bad_fs_end));
	CHECK_EQ(prot_seen.fs, 0);
}

/* --- 16 bits ----------------------------------------------------------- */

static struct tss16 tss_16 __attribute__((aligned(16)));

static void
start16(const void *a_code, const uint8_t *code)
{
	prot_reset(a_code);
	memset(&tss_16, 0, sizeof(tss_16));
	tss_16.flags = EFL_ONE | EFL_CF;
	for (unsigned int r = 0; r < 8; r++)
		tss_16.reg[r] = (uint16_t)(0xc0 + r);
	tss_16.reg[R_SP] = 0x800;
	/* 32-bit code and stack, within 16 bits of their bases. */
	prot_gdt[PSEL_SCRATCH / 8] = descriptor(addr32(code), 0xff, 0x409b);
	prot_gdt[PSEL_SCRATCH2 / 8] =
	    descriptor(addr32(stack_b), 0xfff, 0x0093);
	tss_16.seg[S_CS] = PSEL_SCRATCH;
	tss_16.seg[S_SS] = PSEL_SCRATCH2;
	tss_16.seg[S_ES] = tss_16.seg[S_DS] = SEL_KDATA;
	prot_gdt[PSEL_TSS16 / 8] =
	    descriptor(addr32(&tss_16), sizeof(tss_16) - 1, AR_TSS16);
}

static void
test_16(void)
{
	start16(jump_16, just_end);
	prot_run();
	EXPECT_END();
	check_where(PSEL_TSS16);
	CHECK_EQ(access_of(PSEL_TSS16), AR_TSS16 | AR_BUSY);
	check_busy(false, false);
	CHECK_EQ(prot_seen.cs, PSEL_SCRATCH);
	CHECK_EQ(prot_seen.eip, just_end_end - just_end);
	CHECK_EQ(prot_seen.ax & 0xffff, 0xc0);
	CHECK_EQ(prot_seen.di & 0xffff, 0xc7);
	CHECK_EQ(prot_seen.eflags, EFL_ONE | EFL_CF);
	CHECK_EQ(prot_seen.fs, 0); /* not in a 16-bit TSS */
	CHECK_EQ(prot_seen.gs, 0);
	CHECK_EQ(prot_seen.handler_ss, PSEL_SCRATCH2);
	check_a_saved(jump_16 + 7);
}

/* Called, and back: each in its own format. */
static void
test_16_return(void)
{
	start16(call_16, iret_end);
	prot.reg[R_BX] = 0x12345678;
	prot_run();
	EXPECT_END();
	check_where(PSEL_TSS_A);
	CHECK_EQ(access_of(PSEL_TSS16), AR_TSS16);
	check_busy(true, false);
	CHECK_EQ(prot_seen.bx, 0x12345678);
	CHECK_EQ(tss_16.link, PSEL_TSS_A);
	CHECK_EQ(tss_16.ip, 1);
	CHECK_EQ(tss_16.flags, EFL_ONE | EFL_CF);
	CHECK_EQ(tss_16.reg[R_SP], 0x800);
	CHECK_EQ(tss_16.reg[R_BX], 0xc3);
	CHECK_EQ(tss_16.seg[S_DS], SEL_KDATA);
	CHECK_EQ(tss_16.ldt, 0);
}

/* --- faults before the switch ------------------------------------------ */

static void
spoil_busy(void)
{
	set_access(PSEL_TSS_B, AR_TSS | AR_BUSY);
}

static void
spoil_present(void)
{
	set_access(PSEL_TSS_B, AR_TSS & ~AR_PRESENT);
}

static void
spoil_limit(void)
{
	prot_gdt[PSEL_TSS_B / 8] = descriptor(addr32(&tss_b), 0x66, AR_TSS);
}

static void
spoil_limit16(void)
{
	prot_gdt[PSEL_TSS_B / 8] = descriptor(addr32(&tss_b), 0x2a, AR_TSS16);
}

static void
spoil_a_limit(void)
{
	prot_gdt[PSEL_TSS_A / 8] = descriptor(addr32(&tss_a), 0x66, AR_TSS);
}

static void
spoil_gate_present(void)
{
	prot_gdt[PSEL_GATE / 8] =
	    gate(AR_TASK_GATE & ~AR_PRESENT, PSEL_TSS_B, 0);
}

static void
spoil_gate_code(void)
{
	prot_gdt[PSEL_GATE / 8] = gate(AR_TASK_GATE, SEL_KCODE32, 0);
}

static void
spoil_gate_null(void)
{
	prot_gdt[PSEL_GATE / 8] = gate(AR_TASK_GATE, 0, 0);
}

static void
spoil_gate_ldt(void)
{
	prot_gdt[PSEL_GATE / 8] = gate(AR_TASK_GATE, L_TSS, 0);
}

static void
spoil_gate_beyond(void)
{
	prot_gdt[PSEL_GATE / 8] = gate(AR_TASK_GATE, 0xfff8, 0);
}

static void
spoil_ring3(void)
{
	prot_ring3();
}

static void
spoil_idt_gate(void)
{
	prot_idt[0x42] = gate(AR_TASK_GATE, SEL_KDATA, 0);
}

static void
spoil_idt_gate_present(void)
{
	prot_idt[0x42] = gate(AR_TASK_GATE & ~AR_PRESENT, PSEL_TSS_B, 0);
}

static void
spoil_idt_busy(void)
{
	prot_idt[0x42] = gate(AR_TASK_GATE, PSEL_TSS_A, 0);
}

static void
spoil_nt_link(uint32_t link)
{
	prot.eflags |= EFL_NT;
	tss_a.link = link;
}

static void
spoil_link_available(void)
{
	spoil_nt_link(PSEL_TSS_B); /* IRET wants a busy one */
}

static void
spoil_link_null(void)
{
	spoil_nt_link(0);
}

static void
spoil_link_ldt(void)
{
	spoil_nt_link(L_TSS);
}

static void
spoil_link_beyond(void)
{
	spoil_nt_link(0xfff8);
}

static void
spoil_link_present(void)
{
	spoil_nt_link(PSEL_TSS_B);
	set_access(PSEL_TSS_B, (AR_TSS | AR_BUSY) & ~AR_PRESENT);
}

/* Nothing happened: A runs, at the instruction, TS clear. */
static void
early(const void *code, void (*spoil)(void), unsigned int vector, uint32_t err,
    int line)
{
	start(code, just_end);
	prot.ldt = PSEL_LDT;
	prot_ldt[L_TSS / 8] =
	    descriptor(addr32(&tss_b), sizeof(tss_b) - 1, AR_TSS);
	if (spoil != NULL)
		spoil();
	prot_run();
	if (prot_seen.vector != vector || prot_seen.err != err ||
	    prot_seen.eip != addr32(code) || prot_seen.tr != PSEL_TSS_A ||
	    (prot_seen.cr0 & CR0_TS) != 0 || prot_seen.ax != prot.reg[R_AX])
		guest_fail(__FILE__, line,
		    "vector %u, error %#x, eip %#x, tr %#x", prot_seen.vector,
		    prot_seen.err, prot_seen.eip, prot_seen.tr);
	CHECK_EQ(tss_b.link, NO_LINK);
	CHECK_EQ(access_of(PSEL_TSS_A), AR_TSS | AR_BUSY);
}
#define EARLY(code, spoil, vector, err)                                        \
	early(code, spoil, vector, err, __LINE__)

static void
test_early_faults(void)
{
	EARLY(jump_b, spoil_busy, 13, PSEL_TSS_B);
	EARLY(call_b, spoil_busy, 13, PSEL_TSS_B);
	EARLY(jump_b, spoil_present, 11, PSEL_TSS_B);
	EARLY(call_b, spoil_limit, 10, PSEL_TSS_B);
	EARLY(call_b, spoil_limit16, 10, PSEL_TSS_B);
	EARLY(jump_b, spoil_a_limit, 10, PSEL_TSS_A);
	EARLY(jump_b, spoil_ring3, 13, PSEL_TSS_B);
	EARLY(jump_ldt_tss, NULL, 13, L_TSS);
	EARLY(jump_gate, spoil_gate_present, 11, PSEL_GATE);
	EARLY(jump_gate, spoil_gate_code, 13, SEL_KCODE32);
	EARLY(call_gate, spoil_gate_null, 13, 0);
	EARLY(call_gate, spoil_gate_ldt, 13, L_TSS);
	EARLY(call_gate, spoil_gate_beyond, 13, 0xfff8);
	EARLY(int_0x42, spoil_idt_gate, 13, SEL_KDATA);
	EARLY(int_0x42, spoil_idt_gate_present, 11, 0x42 * 8 + 2);
	EARLY(int_0x42, spoil_idt_busy, 13, PSEL_TSS_A);
}

static void
test_iret_faults(void)
{
	EARLY(nested_iret, spoil_link_available, 10, PSEL_TSS_B);
	EARLY(nested_iret, spoil_link_ldt, 10, L_TSS);
	EARLY(nested_iret, spoil_link_beyond, 10, 0xfff8);
	EARLY(nested_iret, spoil_link_present, 11, PSEL_TSS_B);
	EARLY(nested_iret, spoil_link_null, 10, 0);
}

/* --- faults after the switch ------------------------------------------- */

struct late {
	unsigned int seg;     /* S_*; 6: LDT */
	uint32_t sel, access; /* access 0: no descriptor of ours */
	unsigned int vector;
	uint32_t err;
};

#define P1 PSEL_SCRATCH
static const struct late late_table[] = {
	{ 6, SEL_KDATA, 0, 10, SEL_KDATA },
	{ 6, P1 | TI, 0, 10, P1 | TI },
	{ 6, 0xfff8, 0, 10, 0xfff8 },
	{ 6, P1, AR_LDT & ~AR_PRESENT, 10, P1 },
	{ S_CS, 0, 0, 10, 0 },
	{ S_CS, SEL_KDATA, 0, 10, SEL_KDATA },
	{ S_CS, 0xfff8, 0, 10, 0xfff8 },
	{ S_CS, P1, AR_CODE32 | AR_DPL(3), 10, P1 }, /* RPL 0 */
	{ S_CS, P1, AR_CODE32 & ~AR_PRESENT, 11, P1 },
	{ S_SS, 0, 0, 10, 0 },
	{ S_SS, SEL_KCODE32, 0, 10, SEL_KCODE32 },
	{ S_SS, P1, 0xc091, 10, P1 }, /* read-only */
	{ S_SS, P1, AR_DATA32 | AR_DPL(3), 10, P1 },
	{ S_SS, SEL_KDATA | 3, 0, 10, SEL_KDATA },
	{ S_SS, P1, AR_DATA32 & ~AR_PRESENT, 12, P1 },
	{ S_DS, P1, 0xc099, 10, P1 }, /* execute-only */
	{ S_DS, PSEL_TSS_A, 0, 10, PSEL_TSS_A },
	{ S_DS, 0xfff8, 0, 10, 0xfff8 },
	{ S_DS, SEL_KDATA | 3, 0, 10, SEL_KDATA }, /* RPL 3, DPL 0 */
	{ S_ES, P1, AR_DATA32 & ~AR_PRESENT, 11, P1 },
	{ S_GS, P1, AR_DATA32 & ~AR_PRESENT, 11, P1 },
};

/* Each in a task of its own: B may have no stack. */
static void
late_fault(const struct late *l, const void *code, bool call)
{
	start(code, just_end);
	if (l->access != 0)
		prot_gdt[P1 / 8] = descriptor(0, 0xfffff, l->access);
	if (l->seg == 6)
		tss_b.ldt = l->sel;
	else
		tss_b.seg[l->seg] = l->sel;
	for (unsigned int v = 8; v <= 13; v++)
		if (v != 9)
			prot_idt[v] =
			    gate(AR_TASK_GATE, PSEL_TSS_FAULT + 8 * v, 0);
	prot_run();
	EXPECT_END();
	if (prot_seen.di != l->vector || prot_seen.ax != l->err ||
	    prot_seen.tr != PSEL_TSS_FAULT + 8 * l->vector)
		FAIL("segment %u, %#x: vector %u, error %#x", l->seg, l->sel,
		    prot_seen.di, prot_seen.ax);
	/* The switch was over: B is the task that faulted, at its first. */
	CHECK_EQ(access_of(PSEL_TSS_B), AR_TSS | AR_BUSY);
	CHECK_EQ(access_of(PSEL_TSS_A), AR_TSS | (call ? AR_BUSY : 0));
	CHECK_EQ(tss_b.eip, addr32(just_end));
	CHECK_EQ(tss_b.reg[R_DI], b_regs[R_DI]);
	CHECK_EQ(tss_a.eip, addr32(code) + 7);
	/* B saved the selectors it could not load. */
	if (l->seg != 6)
		CHECK_EQ(tss_b.seg[l->seg], l->sel);
}

static void
test_late_faults(void)
{
	for (unsigned int i = 0; i < ARRAY_LEN(late_table); i++) {
		late_fault(&late_table[i], jump_b, false);
		late_fault(&late_table[i], call_b, true);
	}
}

/* EIP beyond CS's limit: B's own #GP(0), its stack is good. */
static void
test_late_eip(void)
{
	start(jump_b, just_end);
	prot_gdt[PSEL_SCRATCH / 8] = descriptor(0, 0xfff, 0x409b);
	tss_b.seg[S_CS] = PSEL_SCRATCH;
	tss_b.eip = 0x1000;
	prot_run();
	EXPECT_SEEN(13, 0);
	check_where(PSEL_TSS_B);
	CHECK_EQ(prot_seen.eip, 0x1000);
	CHECK_EQ(prot_seen.handler_sp + 17 * 4, TOP(stack_b));
}

/* --- the rest of a task ------------------------------------------------ */

static void
test_ring3_task(void)
{
	start(jump_b, just_end);
	tss_b.seg[S_CS] = PSEL_UCODE | 3;
	for (unsigned int i = 0; i < 6; i++)
		if (i != S_CS)
			tss_b.seg[i] = PSEL_UDATA | 3;
	tss_b.reg[R_SP] = 0x5000;
	prot_run();
	EXPECT_END();
	check_where(PSEL_TSS_B);
	CHECK_EQ(prot_seen.cs, PSEL_UCODE | 3);
	CHECK_EQ(prot_seen.ss, PSEL_UDATA | 3);
	CHECK_EQ(prot_seen.esp, 0x5000);
	/* B's own stack of ring 0. */
	CHECK_EQ(prot_seen.handler_sp + 19 * 4, TOP(stack_b));
}

static void
test_ldt(void)
{
	static uint32_t data[2] = { 1, 0x13572468 };

	start(jump_b, read_ds);
	tss_b.ldt = PSEL_LDT;
	prot_ldt[L_DATA / 8] = descriptor(addr32(data), 7, 0x4093);
	tss_b.seg[S_DS] = L_DATA;
	prot_run();
	EXPECT_END();
	CHECK_EQ(prot_seen.ldt, PSEL_LDT);
	CHECK_EQ(prot_seen.ax, data[1]);
	CHECK_EQ(prot_seen.ds, L_DATA);
	/* And A's is gone when B has none. */
	start(jump_b, just_end);
	prot.ldt = PSEL_LDT;
	prot_run();
	EXPECT_END();
	CHECK_EQ(prot_seen.ldt, 0);
}

static void
test_debug_trap(void)
{
	start(jump_b, just_end);
	tss_b.trap = 1;
	write_dr6(0xffff0ff0);
	/* Local breakpoints are A's, global ones everybody's. */
	write_dr0(0x12345);
	write_dr7(0x400 | 1 | 1 << 3);
	prot_run();
	write_dr7(0x400);
	EXPECT_SEEN(1, 0);
	check_where(PSEL_TSS_B);
	CHECK_EQ(prot_seen.dr6 & (DR6_BT | 0x400f), DR6_BT);
	CHECK_EQ(prot_seen.dr7 & 0xff, 1 << 3);
	CHECK_EQ(prot_seen.eip, addr32(just_end)); /* before its first */
}

/* Each task has its own page tables. */
static uint32_t
make_tables(uint32_t magic)
{
	uint32_t *pd = prot_page_tables(0), *pt = alloc_pages(1);
	uint32_t *frame = alloc_pages(1);

	pd[MAGIC_VA >> 22] = addr32(pt) | P32_P | P32_W;
	pt[0] = addr32(frame) | P32_P | P32_W;
	frame[0] = magic;
	return addr32(pd);
}

static void
test_cr3(void)
{
	uint32_t a = make_tables(0xaaaa5555), b = make_tables(0xbbbb6666);

	start(read_magic_jump, read_magic);
	prot.cr3 = a;
	tss_b.cr3 = b;
	prot_run();
	EXPECT_END();
	check_where(PSEL_TSS_B);
	CHECK_EQ(prot_seen.cr3, b);
	CHECK_EQ(prot_seen.ax, 0xbbbb6666);
	CHECK_EQ(tss_a.reg[R_BX], 0xaaaa5555);
}

/*
 * A new TSS that is not in memory, or not all of it: a page fault of A's, and
 * nothing has happened yet.
 */
static void
test_page_fault(void)
{
	static const struct {
		uint32_t off, cr2;
	} table[] = {
		{ 0x1000, MAGIC_VA + 0x1000 },
		{ 0xfc0, MAGIC_VA + 0x1000 }, /* its end */
	};

	for (unsigned int i = 0; i < ARRAY_LEN(table); i++) {
		start(call_b, just_end);
		prot.cr3 = make_tables(0);
		prot_gdt[PSEL_TSS_B / 8] =
		    descriptor(MAGIC_VA + table[i].off, 0x67, AR_TSS);
		prot_run();
		EXPECT_SEEN(14, prot_seen.err & 2); /* a read or a write */
		CHECK_EQ(prot_seen.cr2 & -PAGE, table[i].cr2);
		CHECK_EQ(prot_seen.eip, addr32(call_b));
		CHECK_EQ(prot_seen.tr, PSEL_TSS_A);
		CHECK_EQ(prot_seen.cr0 & CR0_TS, 0);
		check_busy(true, false);
	}
}

const struct guest_test guest_tests[] = {
	TEST("JMP", test_jump),
	TEST("JMP and back", test_jump_back),
	TEST("CALL", test_call),
	TEST("CALL and IRET", test_call_return),
	TEST("task gates", test_gates),
	TEST("INT through a task gate", test_int_gate),
	TEST("interrupt through a task gate", test_interrupt_gate),
	TEST("exception through a task gate", test_exception_gate),
	TEST("16-bit TSS", test_16),
	TEST("faults before the switch", test_early_faults),
	TEST("faults of IRET with NT", test_iret_faults),
	TEST("faults after the switch", test_late_faults),
	TEST("EIP beyond the limit", test_late_eip),
	TEST("task of ring 3", test_ring3_task),
	TEST("LDTR", test_ldt),
	TEST("debug trap, local breakpoints", test_debug_trap),
	TEST("CR3", test_cr3),
	TEST("TSS not in memory", test_page_fault),
	/* The last: under KVM the machine may not survive it. */
	TEST("16-bit TSS and IRET", test_16_return),
	TEST_END,
};
