/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtual-8086 mode (SDM 3A chapter 20): in by IRET and by task switch, out by
 * interrupts, exceptions and task gates; what is privileged in it, with IOPL 3
 * and below; I/O by the bitmap.  VME is absent, as CPUID says.
 */
#include "prot.h"

#define V_SEG	    0x2000 /* code and stack */
#define V_BASE	    0x20000
#define V_SP	    0xf000
#define V_DATA	    0x4000
#define FRAME_BYTES (23 * 4) /* from handler_sp to the stack's top */
#define CPUID_VME   (1u << 1)
#define FREE_PORT   0x5678
#define BAD_PORT    0x5679

CODE(16, v_end, "int $0x80");
CODE(16, v_segments,
    "movw $0x4000, %ax; movw %ax, %ds; movw $0x4001, %ax; "
    "movw %ax, %es; movw %ax, %fs; movw %ax, %gs; "
    "movw 0x10, %bx; movw %es:0, %cx; movw %fs:2, %dx; "
    "pushw %gs; popw %si; int $0x80");
CODE(16, v_far,
    "lcallw $0x2001, $0x10; int $0x80; .org v_far + 32; "
    "movw %cs, %bx; lretw");
CODE(16, v_a20, "movw $0xffff, %ax; movw %ax, %ds; movl 0x10, %ebx; int $0x80");
CODE(16, v_limit, "movw 0xffff, %ax; int $0x80");
CODE(16, v_limit32, "movl $0x10000, %ebx; movb (%ebx), %al; int $0x80");
CODE(16, v_stack_limit, "movw $0xffff, %bp; movw (%bp), %ax; int $0x80");
CODE(16, v_eip, "ljmpl $0x2000, $0x10000; int $0x80");
CODE(16, v_cli, "cli; int $0x80");
CODE(16, v_sti, "sti; nop; int $0x80");
CODE(16, v_pushf, "pushfw; popw %ax; int $0x80");
CODE(16, v_pushfl, "pushfl; popl %eax; int $0x80");
CODE(16, v_popf, "pushw $0x3ad7; popfw; int $0x80");
CODE(16, v_iret,
    "pushw $0x3ad7; pushw %cs; .byte 0x68; "
    ".word 1f - v_iret; iretw; "
    "1: int $0x80");
CODE(16, v_int3, "int3; int $0x80");
CODE(16, v_into, "movb $0x7f, %al; incb %al; into; int $0x80");
CODE(16, v_int41, "int $0x41; int $0x80");
CODE(16, v_hlt, "hlt; int $0x80");
CODE(16, v_mov_cr, "movl %cr0, %eax; int $0x80");
CODE(16, v_to_cr, "movl %eax, %cr3; int $0x80");
CODE(16, v_mov_dr, "movl %db7, %eax; int $0x80");
CODE(16, v_lgdt, "lgdtw 0; int $0x80");
CODE(16, v_clts, "clts; int $0x80");
CODE(16, v_lmsw, "lmsw %ax; int $0x80");
CODE(16, v_smsw, "smsww %ax; int $0x80");
CODE(16, v_rdmsr, "rdmsr; int $0x80");
CODE(16, v_lldt, "lldt %ax; int $0x80");
CODE(16, v_ltr, "ltr %ax; int $0x80");
CODE(16, v_sldt, "sldt %ax; int $0x80");
CODE(16, v_lar, "larw %ax, %ax; int $0x80");
CODE(16, v_verr, "verr %ax; int $0x80");
CODE(16, v_arpl, "arpl %ax, %bx; int $0x80");
CODE(16, v_outb, "movw $0x5678, %dx; outb %al, %dx; int $0x80");
CODE(16, v_inb, "movw $0x5678, %dx; inb %dx, %al; int $0x80");
CODE(16, v_inw, "movw $0x5678, %dx; inw %dx, %ax; int $0x80");
CODE(16, v_insb,
    "movw $0x5678, %dx; movw $3, %cx; movw $0x100, %di; "
    "cld; rep insb; int $0x80");
CODE(16, v_spin, "1: incl %ebx; jmp 1b");
CODE(16, v_div, "xorw %cx, %cx; divw %cx; int $0x80");
CODE(32, jump_b, "ljmp $0x120, $0; int $0x80");
CODE(32, back_iret, "iretl");
CODE(32, task_end, "int $0x80");

static void
enter(const uint8_t *code, const uint8_t *code_end, unsigned int iopl)
{
	prot_reset(NULL);
	memcpy((void *)V_BASE, code, (size_t)(code_end - code));
	prot.kind = PROT_V86;
	prot.cs = prot.ss = prot.ds = prot.es = V_SEG;
	prot.fs = 0x1234;
	prot.gs = 0x5678;
	prot.eip = 0;
	prot.esp = V_SP;
	prot.eflags = EFL_ONE | EFL_VM | EFL_IOPL(iopl);
}
#define ENTER(name, iopl) enter(name, name##_end, iopl)

/* Where it left: v86, as far as `offset`, with the registers it had. */
static void
check_left(uint32_t offset)
{
	CHECK_EQ(prot_seen.cs, prot.cs);
	CHECK_EQ(prot_seen.eip, offset);
	CHECK_EQ(prot_seen.eflags & EFL_VM, EFL_VM);
	CHECK_EQ(prot_seen.ss, prot.ss);
}

static void
test_in_and_out(void)
{
	ENTER(v_end, 3);
	prot.eflags |= EFL_CF;
	prot.es = 0x1111;
	prot.ds = 0x2222;
	prot_run();
	EXPECT_END();
	check_left(2);
	CHECK_EQ(prot_seen.eflags, prot.eflags);
	CHECK_EQ(prot_seen.esp, V_SP);
	/* The frame has all six; the handler finds the four null. */
	CHECK_EQ(prot_seen.v_es & 0xffff, 0x1111);
	CHECK_EQ(prot_seen.v_ds & 0xffff, 0x2222);
	CHECK_EQ(prot_seen.v_fs & 0xffff, 0x1234);
	CHECK_EQ(prot_seen.v_gs & 0xffff, 0x5678);
	CHECK_EQ(prot_seen.es | prot_seen.ds | prot_seen.fs | prot_seen.gs, 0);
	CHECK_EQ(prot_seen.handler_ss, SEL_KDATA);
	CHECK_EQ(prot_seen.handler_sp + FRAME_BYTES, TOP(stack_a));
	CHECK_EQ(prot_seen.ax, prot.reg[R_AX]);
}

static void
test_addresses(void)
{
	uint16_t *data = (uint16_t *)(uintptr_t)(V_DATA << 4);

	for (unsigned int i = 0; i < 32; i++)
		data[i] = (uint16_t)(0xd000 + i);
	ENTER(v_segments, 3);
	prot_run();
	EXPECT_END();
	CHECK_EQ(prot_seen.bx & 0xffff, 0xd008); /* DS:10 */
	CHECK_EQ(prot_seen.cx & 0xffff, 0xd008); /* a paragraph up */
	CHECK_EQ(prot_seen.dx & 0xffff, 0xd009);
	CHECK_EQ(prot_seen.si & 0xffff, 0x4001);
	CHECK_EQ(prot_seen.v_gs & 0xffff, 0x4001);
	/* CS:IP names the same code in another way. */
	ENTER(v_far, 3);
	prot_run();
	EXPECT_END();
	CHECK_EQ(prot_seen.bx & 0xffff, 0x2001);
	check_left(7);
	/* No A20 gate: FFFF:0010 is 1 MiB. */
	ENTER(v_a20, 3);
	prot_run();
	EXPECT_END();
	CHECK_EQ(prot_seen.bx, *(volatile uint32_t *)0x100000);
}

static void
fault(const uint8_t *code, const uint8_t *code_end, unsigned int iopl,
    unsigned int vector, uint32_t err, uint32_t offset, int line)
{
	enter(code, code_end, iopl);
	prot_run();
	if (prot_seen.vector != vector || prot_seen.err != err ||
	    prot_seen.eip != offset || !(prot_seen.eflags & EFL_VM))
		guest_fail(__FILE__, line,
		    "IOPL %u: vector %u, error %#x, ip %#x", iopl,
		    prot_seen.vector, prot_seen.err, prot_seen.eip);
}
#define FAULT(name, iopl, vector, err, offset)                                 \
	fault(name, name##_end, iopl, vector, err, offset, __LINE__)

static void
test_limits(void)
{
	FAULT(v_limit, 3, 13, 0, 0);
	FAULT(v_limit32, 3, 13, 0, 6);
	FAULT(v_stack_limit, 3, 12, 0, 3);
	FAULT(v_eip, 3, 13, 0, 0);
}

/* CLI STI PUSHF POPF INT n IRET: #GP(0) below IOPL 3. */
static void
test_iopl(void)
{
	for (unsigned int iopl = 0; iopl < 3; iopl++) {
		FAULT(v_cli, iopl, 13, 0, 0);
		FAULT(v_sti, iopl, 13, 0, 0);
		FAULT(v_pushf, iopl, 13, 0, 0);
		FAULT(v_pushfl, iopl, 13, 0, 0);
		FAULT(v_popf, iopl, 13, 0, 3);
		FAULT(v_iret, iopl, 13, 0, 7);
		FAULT(v_end, iopl, 13, 0, 0);
		/* INT3 and INTO do not ask for it; their gate's DPL does. */
		FAULT(v_int3, iopl, 13, 3 * 8 + 2, 0);
	}
}

static void
run(const uint8_t *code, const uint8_t *code_end, uint32_t flags)
{
	enter(code, code_end, 3);
	prot.eflags |= flags;
	prot_run();
	EXPECT_END();
}
#define RUN(name, flags) run(name, name##_end, flags)

static void
test_iopl3(void)
{
	RUN(v_cli, EFL_IF);
	CHECK_EQ(prot_seen.eflags & EFL_IF, 0);
	RUN(v_sti, 0);
	CHECK_EQ(prot_seen.eflags & EFL_IF, EFL_IF);
	RUN(v_pushf, EFL_IF | EFL_CF);
	CHECK_EQ(
	    prot_seen.ax & 0xffff, EFL_ONE | EFL_IF | EFL_CF | EFL_IOPL(3));
	RUN(v_pushfl, EFL_CF); /* VM is never seen */
	CHECK_EQ(prot_seen.ax, EFL_ONE | EFL_CF | EFL_IOPL(3));
	/* 0x3ad7 without TF, with IF; IOPL and VM stay. */
	RUN(v_popf, 0);
	CHECK_EQ(prot_seen.eflags, EFL_VM | 0x3ad7);
	RUN(v_iret, 0);
	CHECK_EQ(prot_seen.eflags, EFL_VM | 0x3ad7);
	CHECK_EQ(prot_seen.esp, V_SP);
}

/* IOPL cannot be changed from inside. */
CODE(16, v_popf0, "pushw $0x0ad7; popfw; int $0x80");
CODE(16, v_popfl_vm, "pushl $0x00000002; popfl; int $0x80");

static void
test_flags_kept(void)
{
	RUN(v_popf0, 0);
	CHECK_EQ(prot_seen.eflags, EFL_VM | 0x3ad7);
	RUN(v_popfl_vm, EFL_IF);
	CHECK_EQ(prot_seen.eflags, EFL_VM | EFL_ONE | EFL_IOPL(3));
}

/* Privileged whatever IOPL says, or not known in this mode. */
static void
test_privileged(void)
{
	FAULT(v_hlt, 3, 13, 0, 0);
	FAULT(v_mov_cr, 3, 13, 0, 0);
	FAULT(v_to_cr, 3, 13, 0, 0);
	FAULT(v_mov_dr, 3, 13, 0, 0);
	FAULT(v_lgdt, 3, 13, 0, 0);
	FAULT(v_clts, 3, 13, 0, 0);
	FAULT(v_lmsw, 3, 13, 0, 0);
	FAULT(v_rdmsr, 3, 13, 0, 0);
	FAULT(v_lldt, 3, 6, 0, 0);
	FAULT(v_ltr, 3, 6, 0, 0);
	FAULT(v_sldt, 3, 6, 0, 0);
	FAULT(v_lar, 3, 6, 0, 0);
	FAULT(v_verr, 3, 6, 0, 0);
	FAULT(v_arpl, 3, 6, 0, 0);
	RUN(v_smsw, 0);
	CHECK_EQ(prot_seen.ax & 1, 1);
}

static void
test_gates(void)
{
	/* INT3 and INTO through gates of DPL 3, below IOPL 3. */
	ENTER(v_int3, 0);
	prot_idt[3] |= 3ull << 45;
	prot_run();
	EXPECT_SEEN(3, 0);
	check_left(1);
	ENTER(v_into, 0);
	prot_idt[4] |= 3ull << 45;
	prot_run();
	EXPECT_SEEN(4, 0);
	check_left(5);
	/* INT n with IOPL 3: the gate's DPL counts. */
	FAULT(v_int41, 3, 13, 0x41 * 8 + 2, 0);
	/* A handler that is not of ring 0: #GP with its selector. */
	ENTER(v_int41, 3);
	prot_idt[0x41] = gate(AR_INT32 | AR_DPL(3), PSEL_UCODE, 0);
	prot_run();
	EXPECT_SEEN(13, PSEL_UCODE);
	check_left(0);
	/* A conforming one would run in ring 3. */
	ENTER(v_int41, 3);
	prot_gdt[PSEL_SCRATCH / 8] = descriptor(0, 0xfffff, 0xc09f);
	prot_idt[0x41] = gate(AR_INT32 | AR_DPL(3), PSEL_SCRATCH, 0);
	prot_run();
	EXPECT_SEEN(13, PSEL_SCRATCH);
	/* An exception. */
	ENTER(v_div, 0);
	prot_run();
	EXPECT_SEEN(0, 0);
	check_left(2);
}

/* --- ports ------------------------------------------------------------- */

static void
io(const uint8_t *code, const uint8_t *code_end, bool first, bool second)
{
	enter(code, code_end, 3);
	if (first)
		tss_a.map[FREE_PORT / 8] &= (uint8_t) ~(1u << FREE_PORT % 8);
	if (second)
		tss_a.map[BAD_PORT / 8] &= (uint8_t) ~(1u << BAD_PORT % 8);
	prot_run();
}
#define IO(name, first, second) io(name, name##_end, first, second)

static void
test_ports(void)
{
	/* The bitmap alone decides: IOPL 3 is no help. */
	IO(v_outb, false, false);
	EXPECT_SEEN(13, 0);
	check_left(3);
	IO(v_inb, false, true);
	EXPECT_SEEN(13, 0);
	IO(v_outb, true, false);
	EXPECT_END();
	IO(v_inb, true, false);
	EXPECT_END();
	CHECK_EQ(prot_seen.ax & 0xff, 0xff);
	/* Every byte of a wider access. */
	IO(v_inw, true, false);
	EXPECT_SEEN(13, 0);
	IO(v_inw, false, true);
	EXPECT_SEEN(13, 0);
	IO(v_inw, true, true);
	EXPECT_END();
	IO(v_insb, false, false);
	EXPECT_SEEN(13, 0);
	CHECK_EQ(prot_seen.cx & 0xffff, 3);
	IO(v_insb, true, false);
	EXPECT_END();
	CHECK_EQ(prot_seen.cx & 0xffff, 0);
	CHECK_EQ(prot_seen.di & 0xffff, 0x103);
	/* IOPL 0 is no hindrance. */
	ENTER(v_inb, 0);
	tss_a.map[FREE_PORT / 8] = 0;
	prot_run();
	EXPECT_SEEN(13, 0); /* INT n's; the IN went by */
	check_left(4);
	/* A map beyond the TSS's limit allows nothing. */
	ENTER(v_inb, 3);
	memset(tss_a.map, 0, sizeof(tss_a.map));
	tss_a.iomap = 0xffff;
	prot_run();
	EXPECT_SEEN(13, 0);
	check_left(3);
}

/* --- interrupts from outside ------------------------------------------- */

#define TIMER_VECTOR 0x51

static void
start_timer(void)
{
	apic_write(APIC_TIMER_DIV, 0xb);
	apic_write(APIC_LVT_TIMER, TIMER_VECTOR);
	apic_write(APIC_TIMER_INIT, 1u << 17);
}

static void
stop_timer(void)
{
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	apic_eoi();
}

static void
test_interrupt(void)
{
	for (unsigned int iopl = 0; iopl <= 3; iopl += 3) {
		ENTER(v_spin, iopl);
		prot.eflags |= EFL_IF;
		start_timer();
		prot_run();
		stop_timer();
		EXPECT_SEEN(TIMER_VECTOR, 0);
		CHECK_EQ(prot_seen.cs, V_SEG);
		CHECK_EQ(prot_seen.eflags & (EFL_VM | EFL_IF), EFL_VM | EFL_IF);
		CHECK(prot_seen.eip < (uint32_t)(v_spin_end - v_spin));
	}
}

/* The handler's IRET leads back into v86, segments restored. */
static void
test_return(void)
{
	ENTER(v_int41, 3);
	prot.es = 0x1111;
	prot_idt[0x41] =
	    gate(AR_INT32 | AR_DPL(3), SEL_KCODE32, addr32(back_iret));
	prot_run();
	EXPECT_END();
	check_left(4);
	CHECK_EQ(prot_seen.esp, V_SP);
	CHECK_EQ(prot_seen.v_es & 0xffff, 0x1111);
	CHECK_EQ(prot_seen.v_gs & 0xffff, 0x5678);
	CHECK_EQ(prot_seen.eflags, prot.eflags);
}

/* Pages are user's or not, as in ring 3. */
static void
test_paging(void)
{
	ENTER(v_end, 3);
	prot.cr3 = addr32(prot_page_tables(0));
	prot_run();
	EXPECT_SEEN(14, 5); /* user, present */
	CHECK_EQ(prot_seen.cr2, V_BASE);
	check_left(0);
	ENTER(v_end, 3);
	prot.cr3 = addr32(prot_page_tables(P32_U));
	prot_run();
	EXPECT_END();
	check_left(2);
}

/* --- tasks ------------------------------------------------------------- */

static void
test_task_in(void)
{
	ENTER(v_end, 3);
	prot_reset(jump_b);
	tss_b.eflags = EFL_ONE | EFL_VM | EFL_IOPL(3);
	tss_b.eip = 0;
	tss_b.reg[R_SP] = V_SP;
	for (unsigned int i = 0; i < 6; i++)
		tss_b.seg[i] = 0x3000 + i; /* no descriptors are looked at */
	tss_b.seg[S_CS] = tss_b.seg[S_SS] = V_SEG;
	prot_run();
	EXPECT_END();
	CHECK_EQ(prot_seen.tr, PSEL_TSS_B);
	CHECK_EQ(prot_seen.cs, V_SEG);
	CHECK_EQ(prot_seen.eip, 2);
	CHECK_EQ(prot_seen.eflags, tss_b.eflags);
	CHECK_EQ(prot_seen.v_es & 0xffff, 0x3000 + S_ES);
	CHECK_EQ(prot_seen.v_gs & 0xffff, 0x3000 + S_GS);
	CHECK_EQ(prot_seen.handler_sp + FRAME_BYTES, TOP(stack_b));
}

/* Out by a task gate: the v86 task is saved as it was, VM set. */
static void
test_task_out(void)
{
	ENTER(v_int41, 3);
	prot.eflags |= EFL_CF;
	prot_idt[0x41] = gate(AR_TASK_GATE | AR_DPL(3), PSEL_TSS_B, 0);
	tss_b.eip = addr32(task_end);
	prot_run();
	EXPECT_END();
	CHECK_EQ(prot_seen.tr, PSEL_TSS_B);
	CHECK_EQ(prot_seen.cs, SEL_KCODE32);
	CHECK_EQ(prot_seen.eflags & (EFL_VM | EFL_NT), EFL_NT);
	CHECK_EQ(tss_a.eflags, prot.eflags);
	CHECK_EQ(tss_a.eip, 2);
	CHECK_EQ(tss_a.seg[S_CS], V_SEG);
	CHECK_EQ(tss_a.seg[S_FS], 0x1234);
	CHECK_EQ(tss_a.reg[R_SP], V_SP);
	/* And back into v86 by the task's IRET. */
	ENTER(v_int41, 3);
	prot_idt[0x41] = gate(AR_TASK_GATE | AR_DPL(3), PSEL_TSS_B, 0);
	tss_b.eip = addr32(back_iret);
	prot_run();
	EXPECT_END();
	CHECK_EQ(prot_seen.tr, PSEL_TSS_A);
	check_left(4);
	CHECK_EQ(prot_seen.v_gs & 0xffff, 0x5678);
}

/* IRET from ring 3 cannot get in: VM is not its to set. */
CODE(32, ring3_iret,
    "pushl $0x23002; pushl $0x103; pushl $1f; iretl; "
    "1: int $0x80");

static void
test_not_from_ring3(void)
{
	prot_reset(ring3_iret);
	prot_ring3();
	prot_run();
	EXPECT_END();
	CHECK_EQ(prot_seen.cs, PSEL_UCODE | 3);
	CHECK_EQ(prot_seen.eflags, EFL_ONE);
}

/* --- VME --------------------------------------------------------------- */

#define CR4_VME 1u
#define CR4_PVI 2u

static void
set_cr4(void *arg)
{
	write_cr4(read_cr4() | (uintptr_t)arg);
}

static void
test_vme(void)
{
	if (cpuid(1, 0).edx & CPUID_VME)
		guest_skip("CPUID says that VME is there");
	EXPECT_TRAP(guarded(set_cr4, (void *)CR4_VME), 13, 0);
	EXPECT_TRAP(guarded(set_cr4, (void *)CR4_PVI), 13, 0);
	CHECK_EQ(read_cr4() & (CR4_VME | CR4_PVI), 0);
}

const struct guest_test guest_tests[] = {
	TEST("in by IRET, out by INT", test_in_and_out),
	TEST("addresses", test_addresses),
	TEST("limits", test_limits),
	TEST("IOPL below 3", test_iopl),
	TEST("IOPL 3", test_iopl3),
	TEST("flags that stay", test_flags_kept),
	TEST("privileged and undefined instructions", test_privileged),
	TEST("gates", test_gates),
	TEST("ports", test_ports),
	TEST("interrupts", test_interrupt),
	TEST("return by IRET", test_return),
	TEST("paging", test_paging),
	TEST("in by a task switch", test_task_in),
	TEST("out by a task gate", test_task_out),
	TEST("not from ring 3", test_not_from_ring3),
	TEST("VME is absent", test_vme),
	TEST_END,
};
