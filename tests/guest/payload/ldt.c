/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local descriptor table: in long mode, and below it (prot.h).  Error codes
 * of what the LDT names have TI, bit 2, set.
 */
#include "prot.h"

/* Entries of the LDT. */
#define L_DATA	  (0x00 | TI) /* entry 0 is one like any other */
#define L_RO	  (0x08 | TI)
#define L_XO	  (0x10 | TI)
#define L_ABSENT  (0x18 | TI)
#define L_CODE	  (0x20 | TI)
#define L_GATE	  (0x28 | TI) /* 16 bytes in long mode */
#define L_SYS	  (0x38 | TI) /* an LDT in an LDT */
#define L_UCODE	  (0x40 | TI)
#define L_UDATA	  (0x48 | TI)
#define L_SS_GONE (0x50 | TI)
#define L_BEYOND  (0xf8 | TI) /* a good one, its last byte is beyond */
#define LDT_LIMIT 0xfe

#define SEL_LDT64 SEL_SCRATCH /* 16 bytes */
#define SEL_BAD64 (SEL_SCRATCH + 0x10)
#define AR_CODE64 0xa09bu

static uint32_t data[4] = { 0x11223344, 0x55667788, 0x99aabbcc, 0xddeeff00 };

/* --- long mode --------------------------------------------------------- */

struct probe {
	uint64_t value;
	bool zf;
};

#define PROBE(insn)                                                            \
	static struct probe insn##_of(uint16_t sel)                            \
	{                                                                      \
		struct probe p = { .value = 0x5a5a };                          \
		uint64_t s = sel;                                              \
		__asm__ volatile(#insn " %w2, %k0; setz %1"                    \
				 : "+r"(p.value), "=q"(p.zf)                   \
				 : "r"(s)                                      \
				 : "cc");                                      \
		return p;                                                      \
	}
PROBE(lar)
PROBE(lsl)

static bool
verr(uint16_t sel)
{
	bool zf;

	__asm__ volatile("verr %w1; setz %0" : "=q"(zf) : "r"(sel) : "cc");
	return zf;
}

static bool
verw(uint16_t sel)
{
	bool zf;

	__asm__ volatile("verw %w1; setz %0" : "=q"(zf) : "r"(sel) : "cc");
	return zf;
}

static void
lldt(void *arg)
{
	__asm__ volatile("lldt %w0" ::"r"(arg));
}

static void
load_fs(void *arg)
{
	__asm__ volatile("movw %w0, %%fs" ::"r"(arg));
}

static void
load_ss(void *arg)
{
	__asm__ volatile("movw %w0, %%ss" ::"r"(arg));
}

static const struct frame *
try(void (*fn)(void *), unsigned int sel)
{
	return guarded(fn, (void *)(uintptr_t)sel);
}

static void
set_up64(void)
{
	uint64_t base = addr32(prot_ldt);

	prot_reset(NULL);
	prot_ldt[L_DATA / 8] = descriptor(addr32(data), 0xf, 0x4093);
	prot_ldt[L_BEYOND / 8] = prot_ldt[L_DATA / 8];
	prot_ldt[L_RO / 8] = descriptor(addr32(data + 1), 0xb, 0x4091);
	prot_ldt[L_XO / 8] = descriptor(0, 0xfffff, 0xc099);
	prot_ldt[L_ABSENT / 8] = descriptor(0, 0xfff, 0x4013);
	prot_ldt[L_SS_GONE / 8] = descriptor(0, 0xfffff, 0xc013);
	prot_ldt[L_CODE / 8] = descriptor(0, 0xfffff, AR_CODE64);
	prot_ldt[L_SYS / 8] = descriptor(0, 0xfff, AR_LDT);
	prot_ldt[L_UCODE / 8] = descriptor(0, 0xfffff, AR_CODE64 | AR_DPL(3));
	prot_ldt[L_UDATA / 8] = descriptor(0, 0xfffff, AR_DATA32 | AR_DPL(3));
	gdt[SEL_LDT64 / 8] = descriptor((uint32_t)base, LDT_LIMIT, AR_LDT);
	gdt[SEL_LDT64 / 8 + 1] = base >> 32;
	gdt[SEL_BAD64 / 8] = gdt[SEL_BAD64 / 8 + 1] = 0;
	lldt((void *)SEL_LDT64);
}

/* No LDT, and where one with base 0 would be, a good descriptor. */
static void
no_ldt(void)
{
	uintptr_t zero = 0; /* which a compiler takes for no pointer */

	__asm__("" : "+r"(zero));
	*(volatile uint64_t *)zero = prot_ldt[L_DATA / 8];
	lldt(NULL);
}

static void
tear_down64(void)
{
	load_fs(NULL);
	lldt(NULL);
}

static void
test_load64(void)
{
	uint32_t val;
	uint16_t sel;

	set_up64();
	__asm__ volatile("sldt %0" : "=r"(sel));
	CHECK_EQ(sel, SEL_LDT64);
	load_fs((void *)L_DATA);
	__asm__ volatile("movl %%fs:4, %0" : "=r"(val));
	CHECK_EQ(val, data[1]);
	/* Any RPL will do for DPL 0 at CPL 0; the register keeps it. */
	prot_ldt[L_RO / 8] |= 3ull << 45;
	load_fs((void *)(L_RO | 3));
	__asm__ volatile("movl %%fs:4, %0" : "=r"(val));
	CHECK_EQ(val, data[2]);
	__asm__ volatile("movw %%fs, %0" : "=r"(sel));
	CHECK_EQ(sel, L_RO | 3);
	/* Accessed was set in memory. */
	prot_ldt[L_DATA / 8] &= ~(1ull << 40);
	load_fs((void *)L_DATA);
	CHECK_EQ(access_of(L_DATA), 0x93);
	tear_down64();
}

static void
test_load_faults64(void)
{
	set_up64();
	EXPECT_TRAP(try(load_fs, L_BEYOND | 2), 13, L_BEYOND);
	EXPECT_TRAP(try(load_fs, L_XO), 13, L_XO);
	EXPECT_TRAP(try(load_fs, L_SYS), 13, L_SYS);
	EXPECT_TRAP(try(load_fs, L_ABSENT | 1), 13, L_ABSENT); /* RPL first */
	EXPECT_TRAP(try(load_fs, L_ABSENT), 11, L_ABSENT);
	EXPECT_TRAP(try(load_fs, L_DATA | 3), 13, L_DATA);
	EXPECT_TRAP(try(load_ss, L_SS_GONE), 12, L_SS_GONE);
	EXPECT_TRAP(try(load_ss, L_RO), 13, L_RO);
	EXPECT_TRAP(try(load_ss, L_UDATA), 13, L_UDATA);
	/* No LDT: nothing is in it, entry 0 included. */
	no_ldt();
	EXPECT_TRAP(try(load_fs, L_DATA), 13, L_DATA);
	tear_down64();
}

static void
test_lldt64(void)
{
	set_up64();
	EXPECT_TRAP(try(lldt, L_SYS), 13, L_SYS); /* not from an LDT */
	EXPECT_TRAP(try(lldt, SEL_KDATA), 13, SEL_KDATA);
	EXPECT_TRAP(try(lldt, 0xfff8), 13, 0xfff8);
	gdt[SEL_BAD64 / 8] = descriptor(0, 0xff, AR_LDT & ~AR_PRESENT);
	EXPECT_TRAP(try(lldt, SEL_BAD64), 11, SEL_BAD64);
	gdt[SEL_BAD64 / 8] = descriptor(0, 0xff, AR_LDT);
	gdt[SEL_BAD64 / 8 + 1] = 0x8000; /* bit 47 of the base alone */
	EXPECT_TRAP(try(lldt, SEL_BAD64), 13, SEL_BAD64);
	/* None of them changed LDTR. */
	EXPECT_NONE(try(load_fs, L_DATA));
	tear_down64();
}

static void
expect_probe(struct probe p, bool ok, uint64_t value, int line)
{
	if (p.zf != ok || p.value != (ok ? value : 0x5a5a))
		guest_fail(__FILE__, line, "zf %u, value %#lx", p.zf, p.value);
}
#define EXPECT_PROBE(p, ok, value) expect_probe(p, ok, value, __LINE__)

static void
test_probes64(void)
{
	set_up64();
	EXPECT_PROBE(lar_of(L_DATA), true, 0x409300);
	EXPECT_PROBE(lar_of(L_ABSENT), true, 0x401300); /* P does not matter */
	EXPECT_PROBE(lar_of(L_SYS), true, 0x008200);
	EXPECT_PROBE(lar_of(L_UDATA | 3), true, 0xcff300);
	EXPECT_PROBE(lar_of(L_DATA | 3), false, 0);
	EXPECT_PROBE(lar_of(L_BEYOND), false, 0);
	EXPECT_PROBE(lsl_of(L_DATA), true, 0xf);
	EXPECT_PROBE(lsl_of(L_RO), true, 0xb);
	EXPECT_PROBE(lsl_of(L_CODE), true, 0xffffffff);
	EXPECT_PROBE(lsl_of(L_SYS), true, 0xfff);
	EXPECT_PROBE(lsl_of(L_BEYOND), false, 0);
	CHECK(verr(L_DATA) && verw(L_DATA));
	CHECK(verr(L_RO) && !verw(L_RO));
	CHECK(!verr(L_XO) && !verw(L_XO));
	CHECK(verr(L_CODE) && !verw(L_CODE));
	CHECK(!verr(L_SYS) && !verw(L_SYS));
	CHECK(!verr(L_DATA | 3) && verr(L_UDATA | 3));
	CHECK(!verr(L_BEYOND) && !verw(L_BEYOND));
	no_ldt();
	EXPECT_PROBE(lar_of(L_DATA), false, 0);
	EXPECT_PROBE(lsl_of(L_DATA), false, 0);
	CHECK(!verr(L_DATA) && !verw(L_DATA));
	tear_down64();
}

static uint64_t gate_cs;

/* The gate's code: notes CS and the caller's, then back. */
CODE(64, gate64_code, "movl 8(%rsp), %eax; movw %cs, %dx; lretq");

static void
set_gate64(uint32_t sel, uint64_t rip)
{
	prot_ldt[L_GATE / 8] = gate(AR_CALL32, sel, (uint32_t)rip);
	prot_ldt[L_GATE / 8 + 1] = rip >> 32;
}

static void
call_gate64(void *arg)
{
	struct {
		uint32_t off;
		uint16_t sel;
	} __attribute__((packed)) far = { 0, L_GATE };
	uint32_t ax, dx = 0;

	__asm__ volatile("lcall *%2" : "=a"(ax), "+d"(dx) : "m"(far));
	gate_cs = (uint64_t)ax << 32 | (dx & 0xffff);
}

static void
test_call_gate64(void)
{
	set_up64();
	set_gate64(L_CODE, addr32(gate64_code));
	call_gate64(NULL);
	/* The caller was in the GDT's segment, the code ran in the LDT's. */
	CHECK_EQ(gate_cs, (uint64_t)SEL_KCODE << 32 | L_CODE);
	set_gate64(L_XO, addr32(gate64_code)); /* 32 bits: not through a gate */
	EXPECT_TRAP(guarded(call_gate64, NULL), 13, L_XO);
	set_gate64(L_DATA, addr32(gate64_code));
	EXPECT_TRAP(guarded(call_gate64, NULL), 13, L_DATA);
	set_gate64(L_BEYOND, addr32(gate64_code));
	EXPECT_TRAP(guarded(call_gate64, NULL), 13, L_BEYOND);
	set_gate64(L_CODE, addr32(gate64_code));
	set_access(L_CODE, 0x9b & ~AR_PRESENT);
	EXPECT_TRAP(guarded(call_gate64, NULL), 11, L_CODE);
	set_access(L_GATE, AR_CALL32 & ~AR_PRESENT);
	EXPECT_TRAP(guarded(call_gate64, NULL), 11, L_GATE);
	prot_ldt[L_GATE / 8 + 1] |= 0x1full << 40; /* type of the upper half */
	set_access(L_GATE, AR_CALL32);
	EXPECT_TRAP(guarded(call_gate64, NULL), 13, L_GATE);
	tear_down64();
}

CODE(64, user_code, "int $0x80");

/* Ring 3 that lives in the LDT altogether. */
static void
test_user64(void)
{
	struct user_start u = {
		.rip = USER(user_code),
		.cs = L_UCODE | 3,
		.rflags = 2,
		.rsp = USER(user_stack) + USER_STACK_BYTES,
		.ss = L_UDATA | 3,
	};
	const struct frame *f;

	set_up64();
	f = user_run_at(&u);
	EXPECT_TRAP(f, VEC_USER_RETURN, 0);
	CHECK_EQ(f->cs, L_UCODE | 3);
	CHECK_EQ(f->ss, L_UDATA | 3);
	u.cs = L_CODE | 3; /* DPL 0 */
	EXPECT_TRAP(user_run_at(&u), 13, L_CODE);
	u.cs = L_UCODE | 3;
	u.ss = L_DATA | 3;
	EXPECT_TRAP(user_run_at(&u), 13, L_DATA);
	tear_down64();
}

/* --- 32 bits ----------------------------------------------------------- */

CODE(32, read_ds, "movl %ds:4, %eax; int $0x80");
CODE(32, load_and_read, "movl %eax, %es; movl %es:8, %ebx; int $0x80");
CODE(32, lar_lsl_ax,
    "lar %ax, %ebx; setz %cl; lsl %ax, %edx; setz %ch; "
    "int $0x80");
CODE(32, call_ldt_gate,
    "pushl $0x1111; pushl $0x2222; "
    "lcall $0x2c, $0; int $0x80");
CODE(32, gate_end, "int $0x80");
CODE(32, gate_return, "lret $8");
CODE(32, int_0x41, "int $0x41");

static void
set_up32(const void *code)
{
	prot_reset(code);
	prot.ldt = PSEL_LDT;
	prot_gdt[PSEL_LDT / 8] =
	    descriptor(addr32(prot_ldt), LDT_LIMIT, AR_LDT);
	prot_ldt[L_DATA / 8] = descriptor(addr32(data), 0xf, 0x4093);
	prot_ldt[L_BEYOND / 8] = prot_ldt[L_DATA / 8];
	prot_ldt[L_RO / 8] = descriptor(addr32(data + 1), 0xb, 0x4091);
	prot_ldt[L_XO / 8] = descriptor(0, 0xfffff, 0xc099);
	prot_ldt[L_ABSENT / 8] = descriptor(0, 0xfff, 0x4013);
	prot_ldt[L_CODE / 8] = descriptor(addr32(code), 0xff, 0x409b);
	prot_ldt[L_UCODE / 8] =
	    descriptor(addr32(code), 0xff, 0x409b | AR_DPL(3));
	prot_ldt[L_UDATA / 8] = descriptor(0, 0xfffff, AR_DATA32 | AR_DPL(3));
	prot_ldt[L_GATE / 8] = gate(AR_CALL32, L_CODE, 0);
	prot_ldt[L_SYS / 8] = gate(AR_INT32, L_CODE, 0);
}

static void
test_segments32(void)
{
	set_up32(read_ds);
	prot.cs = L_CODE; /* not at 0 */
	prot.eip = 0;
	prot.ds = L_DATA;
	prot_run();
	EXPECT_END();
	CHECK_EQ(prot_seen.ax, data[1]);
	CHECK_EQ(prot_seen.cs, L_CODE);
	CHECK_EQ(prot_seen.eip, read_ds_end - read_ds);
	CHECK_EQ(prot_seen.ldt & 0xffff, PSEL_LDT);
	/* A limit. */
	set_up32(read_ds);
	prot.ds = L_DATA;
	prot_ldt[L_DATA / 8] = descriptor(addr32(data), 6, 0x4093);
	prot_run();
	EXPECT_SEEN(13, 0);
}

static void
load32(unsigned int sel, bool ring3)
{
	set_up32(load_and_read);
	if (ring3)
		prot_ring3();
	prot.reg[R_AX] = sel;
	prot_run();
}

static void
test_loads32(void)
{
	load32(L_DATA, false);
	EXPECT_END();
	CHECK_EQ(prot_seen.bx, data[2]);
	CHECK_EQ(prot_seen.es, L_DATA);
	load32(L_BEYOND | 1, false);
	EXPECT_SEEN(13, L_BEYOND);
	load32(L_XO, false);
	EXPECT_SEEN(13, L_XO);
	load32(L_ABSENT, false);
	EXPECT_SEEN(11, L_ABSENT);
	load32(L_DATA, true); /* DPL 0 from ring 3 */
	EXPECT_SEEN(13, L_DATA);
	CHECK_EQ(prot_seen.cs, PSEL_UCODE | 3);
	CHECK_EQ(prot_seen.eip, addr32(load_and_read));
	load32(L_UDATA, true);
	EXPECT_END();
}

static void
probe32(unsigned int sel, uint32_t flags)
{
	set_up32(lar_lsl_ax);
	prot.reg[R_AX] = sel;
	prot.reg[R_CX] = 0;
	prot_run();
	EXPECT_END();
	CHECK_EQ((prot_seen.cx & 1) | (prot_seen.cx >> 7 & 2), flags);
}

static void
test_probes32(void)
{
	probe32(L_DATA, 3);
	CHECK_EQ(prot_seen.bx, 0x409300);
	CHECK_EQ(prot_seen.dx, 0xf);
	probe32(L_ABSENT, 3);
	CHECK_EQ(prot_seen.bx, 0x401300);
	probe32(L_BEYOND, 0);
	probe32(L_DATA | 3, 0);
	probe32(L_UDATA | 3, 3);
	probe32(L_GATE, 1); /* a call gate has rights, but no limit */
	CHECK_EQ(prot_seen.bx, 0x008c00);
	probe32(L_SYS, 0); /* an interrupt gate has neither */
}

/* Ring 3 to ring 0 through the LDT's gate, two parameters copied. */
static void
set_up_gate32(const void *target)
{
	set_up32(call_ldt_gate);
	prot_ring3();
	prot.cs = L_UCODE | 3;
	prot.eip = 0;
	prot.ss = L_UDATA | 3;
	prot_ldt[L_CODE / 8] = descriptor(addr32(target), 0xff, 0x409b);
	prot_ldt[L_GATE / 8] =
	    gate(AR_CALL32 | AR_DPL(3), L_CODE, 0) | 2ull << 32;
}

static void
test_call_gate32(void)
{
	uint32_t *frame = (uint32_t *)(stack_a + sizeof(stack_a)) - 6;

	set_up_gate32(gate_end);
	prot_run();
	EXPECT_END();
	CHECK_EQ(prot_seen.cs, L_CODE);
	CHECK_EQ(frame[0], 17); /* after the far CALL */
	CHECK_EQ(frame[1], L_UCODE | 3);
	CHECK_EQ(frame[2], 0x2222);
	CHECK_EQ(frame[3], 0x1111);
	CHECK_EQ(frame[4], TOP(stack_start) - 8);
	CHECK_EQ(frame[5], L_UDATA | 3);
	/* And back, parameters dropped from both stacks. */
	set_up_gate32(gate_return);
	prot_run();
	EXPECT_END();
	CHECK_EQ(prot_seen.cs, L_UCODE | 3);
	CHECK_EQ(prot_seen.esp, TOP(stack_start));
	CHECK_EQ(prot_seen.ss, L_UDATA | 3);
}

/* A gate of 16 bits: everything in words, IP and SP cut. */
CODE(32, call_ldt_gate16,
    "pushw $0x3333; pushw $0x4444; "
    "lcall $0x2c, $0; int $0x80");

static void
test_call_gate16(void)
{
	uint16_t *frame = (uint16_t *)(stack_a + sizeof(stack_a)) - 6;

	set_up_gate32(gate_end);
	prot_ldt[L_UCODE / 8] =
	    descriptor(addr32(call_ldt_gate16), 0xff, 0x409b | AR_DPL(3));
	prot_ldt[L_GATE / 8] =
	    gate(AR_CALL16 | AR_DPL(3), L_CODE, 0x10000) | 2ull << 32;
	prot_run();
	EXPECT_END();
	CHECK_EQ(prot_seen.eip, 2); /* the offset's upper half is not there */
	CHECK_EQ(frame[0], 15);
	CHECK_EQ(frame[1], L_UCODE | 3);
	CHECK_EQ(frame[2], 0x4444);
	CHECK_EQ(frame[3], 0x3333);
	CHECK_EQ(frame[4], (TOP(stack_start) - 4) & 0xffff);
	CHECK_EQ(frame[5], L_UDATA | 3);
}

static void
gate_fault32(void (*spoil)(void), unsigned int vector, uint32_t err)
{
	set_up_gate32(gate_end);
	spoil();
	prot_run();
	EXPECT_SEEN(vector, err);
	/* It is the CALL's: ring 3, at the instruction, parameters pushed. */
	CHECK_EQ(prot_seen.cs, L_UCODE | 3);
	CHECK_EQ(prot_seen.eip, 10);
	CHECK_EQ(prot_seen.esp, TOP(stack_start) - 8);
}

static void
spoil_gate_dpl(void)
{
	set_access(L_GATE, AR_CALL32);
}

static void
spoil_gate_present(void)
{
	set_access(L_GATE, (AR_CALL32 | AR_DPL(3)) & ~AR_PRESENT);
}

static void
spoil_code_present(void)
{
	set_access(L_CODE, 0x9b & ~AR_PRESENT);
}

static void
spoil_code_type(void)
{
	set_access(L_CODE, 0x93);
}

static void
spoil_target(void)
{
	prot_ldt[L_GATE / 8] =
	    gate(AR_CALL32 | AR_DPL(3), L_BEYOND, 0) | 2ull << 32;
}

static void
spoil_offset(void)
{
	prot_ldt[L_GATE / 8] =
	    gate(AR_CALL32 | AR_DPL(3), L_CODE, 0x100) | 2ull << 32;
}

static void
spoil_stack(void)
{
	tss_a.ss0 = L_RO; /* of the LDT, and not writable */
}

static void
spoil_stack_present(void)
{
	tss_a.ss0 = L_ABSENT;
}

/* The stack faults cannot use ring 0's stack of that task either. */
static void
gate_stack_fault32(void (*spoil)(void), unsigned int vector, uint32_t err)
{
	set_up_gate32(gate_end);
	spoil();
	prot_idt[vector] = gate(AR_TASK_GATE, PSEL_TSS_FAULT + 8 * vector, 0);
	prot_run();
	EXPECT_END();
	CHECK_EQ(prot_seen.di, vector);
	CHECK_EQ(prot_seen.ax, err);
	CHECK_EQ(tss_a.eip, 10);
	CHECK_EQ(tss_a.seg[S_CS], L_UCODE | 3);
}

static void
test_call_gate_faults32(void)
{
	gate_fault32(spoil_gate_dpl, 13, L_GATE);
	gate_fault32(spoil_gate_present, 11, L_GATE);
	gate_fault32(spoil_code_present, 11, L_CODE);
	gate_fault32(spoil_code_type, 13, L_CODE);
	gate_fault32(spoil_target, 13, L_BEYOND);
	gate_fault32(spoil_offset, 13, 0);
	gate_stack_fault32(spoil_stack, 10, L_RO);
	gate_stack_fault32(spoil_stack_present, 12, L_ABSENT);
}

/* A handler whose code is in the LDT, from ring 0 and from ring 3. */
static void
test_handler32(void)
{
	for (unsigned int ring3 = 0; ring3 < 2; ring3++) {
		set_up32(int_0x41);
		if (ring3)
			prot_ring3();
		prot_ldt[L_CODE / 8] =
		    descriptor(addr32(gate_end), 0xff, 0x409b);
		prot_idt[0x41] = gate(AR_INT32 | AR_DPL(3), L_CODE, 0);
		prot_run();
		EXPECT_END();
		CHECK_EQ(prot_seen.cs, L_CODE);
		CHECK_EQ(prot_seen.eip, 2);
	}
	/* Not there: the error code names the LDT's entry. */
	set_up32(int_0x41);
	prot_idt[0x41] = gate(AR_INT32, L_CODE, 0);
	set_access(L_CODE, 0x9b & ~AR_PRESENT);
	prot_run();
	EXPECT_SEEN(11, L_CODE);
	set_up32(int_0x41);
	prot_idt[0x41] = gate(AR_INT32, L_DATA, 0);
	prot_run();
	EXPECT_SEEN(13, L_DATA);
}

const struct guest_test guest_tests[] = {
	TEST("segments in long mode", test_load64),
	TEST("faults of loading in long mode", test_load_faults64),
	TEST("LLDT", test_lldt64),
	TEST("LAR LSL VERR VERW in long mode", test_probes64),
	TEST("call gate in long mode", test_call_gate64),
	TEST("ring 3 in long mode", test_user64),
	TEST("segments", test_segments32),
	TEST("loads and their faults", test_loads32),
	TEST("LAR LSL", test_probes32),
	TEST("call gate with parameters", test_call_gate32),
	TEST("16-bit call gate with parameters", test_call_gate16),
	TEST("faults of call gates", test_call_gate_faults32),
	TEST("interrupt handler", test_handler32),
	TEST_END,
};
