/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_soft_sysreg.c - control and debug registers, MSRs, CPUID, descriptor
 * inspection, ports, kvmclock and the registers by vmmapi name.
 */
#include "sys_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <cpuid.h>
#include <time.h>

#include <vmm/bus.h>

#include "kvmclock.h"
#include "mmu.h"

static struct soft_cpu *
cpu_of(void **state)
{
	return ((struct fix *)*state)->c;
}

/* --- CR0 CR3 CR4 ------------------------------------------------------- */

#define MOV_CR0 "\x0f\x22\xc0" /* from EAX / RAX */
#define MOV_CR3 "\x0f\x22\xd8"
#define MOV_CR4 "\x0f\x22\xe0"

static void
test_cr0_rules(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	static const struct {
		uint64_t val;
		bool ok;
	} table[] = {
		{ CR0_PE | CR0_NE | CR0_ET, true },
		{ CR0_PG, false },
		{ CR0_PE | CR0_NW, false },
		{ CR0_PE | CR0_CD | CR0_NW, true },
		{ CR0_PE | 0x1ffaffc0, true }, /* reserved bits are ignored */
		{ 0, true },
	};

	for (size_t n = 0; n < ARRAY_LEN(table); n++) {
		fix_pm32(c, 0);
		c->gpr[R_RAX] = table[n].val;
		assert_int_equal(EXEC(c, MOV_CR0), table[n].ok);
		if (!table[n].ok) {
			assert_int_equal(c->rip, T_CODE);
			expect_exc(c, EXC_GP, 0);
			continue;
		}
		assert_int_equal(c->rip, T_CODE + 3);
		assert_int_equal(
		    c->mode & MODE_PE, table[n].val & CR0_PE ? MODE_PE : 0);
	}
	fix_pm32(c, 3);
	assert_false(EXEC(c, MOV_CR0));
	expect_exc(c, EXC_GP, 0);
	fix_long(c, 0);
	c->gpr[R_RAX] = 1ull << 32 | CR0_PE | CR0_PG;
	assert_false(EXEC(c, MOV_CR0));
	expect_exc(c, EXC_GP, 0);
	/* Paging cannot go off in 64-bit code. */
	c->gpr[R_RAX] = CR0_PE;
	assert_false(EXEC(c, MOV_CR0));
	expect_exc(c, EXC_GP, 0);
	/* ET reads 1. */
	assert_true(EXEC(c, "\x0f\x20\xc3"));
	assert_int_equal(c->gpr[R_RBX], c->cr0 | CR0_ET);
}

static void
test_long_mode_switch(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	/* In: LME, PAE, then PG makes LMA. */
	fix_long(c, 0); /* page tables */
	fix_pm32(c, 0);
	c->cr3 = T_PML4;
	c->efer = EFER_LME;
	c->gpr[R_RAX] = CR0_PE | CR0_PG | CR0_NE;
	assert_false(EXEC(c, MOV_CR0)); /* without PAE */
	expect_exc(c, EXC_GP, 0);
	c->cr4 = CR4_PAE;
	c->seg[SEG_CS].access |= AR_L;
	assert_false(EXEC(c, MOV_CR0)); /* with CS.L */
	expect_exc(c, EXC_GP, 0);
	c->seg[SEG_CS].access &= ~AR_L;
	assert_true(EXEC(c, MOV_CR0));
	assert_int_equal(c->efer, EFER_LME | EFER_LMA);
	assert_int_equal(c->mode & (MODE_LM | MODE_64), MODE_LM);
	/* PAE may not go, LME may not change. */
	c->gpr[R_RAX] = 0;
	assert_false(EXEC(c, MOV_CR4));
	expect_exc(c, EXC_GP, 0);
	c->gpr[R_RCX] = 0xc0000080;
	c->gpr[R_RAX] = EFER_LMA;
	c->gpr[R_RDX] = 0;
	assert_false(EXEC(c, "\x0f\x30"));
	expect_exc(c, EXC_GP, 0);
	/* Out again. */
	c->gpr[R_RAX] = CR0_PE;
	assert_true(EXEC(c, MOV_CR0));
	assert_int_equal(c->efer, EFER_LME);
	assert_int_equal(c->mode & MODE_LM, 0);
}

static void
test_cr3_cr4_rules(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_long(c, 0);
	c->gpr[R_RAX] = 1ull << c->vm->phys_bits | T_PML4;
	assert_false(EXEC(c, MOV_CR3));
	expect_exc(c, EXC_GP, 0);
	c->gpr[R_RAX] = 1ull << 63 | T_PML4;
	assert_false(EXEC(c, MOV_CR3)); /* no PCIDs yet */
	expect_exc(c, EXC_GP, 0);
	c->cr3 = T_PML4 | 5;
	c->gpr[R_RAX] = CR4_PAE | CR4_PCIDE;
	assert_false(EXEC(c, MOV_CR4)); /* CR3[11:0] is not 0 */
	expect_exc(c, EXC_GP, 0);
	c->cr3 = T_PML4;
	assert_true(EXEC(c, MOV_CR4));
	c->gpr[R_RAX] = 1ull << 63 | T_PML4 | 7;
	assert_true(EXEC(c, MOV_CR3));
	assert_int_equal(c->cr3, T_PML4 | 7);
	/* Bits that CPUID does not offer: VME, PVI, LA57, VMXE, PKE, CET. */
	for (unsigned int bit = 0; bit < 64; bit++) {
		bool ok = cpuid_cr4_mask(c) >> bit & 1;

		fix_long(c, 0);
		c->gpr[R_RAX] = CR4_PAE | 1ull << bit;
		assert_int_equal(EXEC(c, MOV_CR4), ok);
		c->exc.pending = false;
	}
	assert_int_equal(cpuid_cr4_mask(c) & (CR4_VME | CR4_PVI), 0);
	/* PCIDs only in long mode. */
	fix_pm32(c, 0);
	c->gpr[R_RAX] = CR4_PCIDE;
	assert_false(EXEC(c, MOV_CR4));
	expect_exc(c, EXC_GP, 0);
	/* CR1, CR5 and so on do not exist. */
	assert_false(EXEC(c, "\x0f\x22\xc8"));
	expect_exc(c, EXC_UD, NO_ERR);
}

static void
test_pae_pdptes(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 0);
	for (unsigned int n = 0; n < 4; n++)
		poke(c, T_PML4 + n * 8, 8, 0);
	poke(c, T_PML4, 8, 0x200001);
	c->cr4 = CR4_PAE;
	c->cr3 = T_PML4;
	c->gpr[R_RAX] = CR0_PE | CR0_PG;
	assert_true(EXEC(c, MOV_CR0));
	assert_int_equal(c->pdpte[0], 0x200001);
	/* A reserved bit: #GP, nothing changed. */
	poke(c, T_PML4 + 8, 8, 1 | 2);
	c->gpr[R_RAX] = T_PML4;
	assert_false(EXEC(c, MOV_CR3));
	expect_exc(c, EXC_GP, 0);
	assert_int_equal(c->pdpte[1], 0);
}

static void
test_lmsw_smsw_clts(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 0);
	c->gpr[R_RAX] = CR0_TS; /* PE stays */
	assert_true(EXEC(c, "\x0f\x01\xf0"));
	assert_int_equal(c->cr0 & 15, CR0_PE | CR0_TS);
	assert_true(c->mode & MODE_TS);
	assert_true(EXEC(c, "\x0f\x06"));
	assert_false(c->mode & MODE_TS);
	c->gpr[R_RBX] = T_DATA;
	poke(c, T_DATA, 4, UINT32_MAX);
	assert_true(EXEC(c, "\x0f\x01\x23")); /* smsw [ebx] */
	assert_int_equal(
	    peek(c, T_DATA, 4), 0xffff0000u | (c->cr0 & 0xffff) | CR0_ET);
	fix_pm32(c, 3);
	c->cr4 = CR4_UMIP;
	assert_false(EXEC(c, "\x0f\x01\xe0"));
	expect_exc(c, EXC_GP, 0);
}

static void
test_debug_registers(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_long(c, 0);
	c->gpr[R_RAX] = 0xffffffff;
	assert_true(EXEC(c, "\x0f\x23\xf0")); /* dr6 */
	assert_int_equal(c->dr6, 0xffffefff);
	c->gpr[R_RAX] = 0x400;
	assert_true(EXEC(c, "\x0f\x23\xf8")); /* dr7 */
	assert_int_equal(c->dr7, 0x400);
	c->gpr[R_RAX] = 1ull << 32;
	assert_false(EXEC(c, "\x0f\x23\xf8"));
	expect_exc(c, EXC_GP, 0);
	/* DR4 is DR6 unless CR4.DE. */
	assert_true(EXEC(c, "\x0f\x21\xe3"));
	assert_int_equal(c->gpr[R_RBX], c->dr6);
	c->cr4 |= CR4_DE;
	assert_false(EXEC(c, "\x0f\x21\xe3"));
	expect_exc(c, EXC_UD, NO_ERR);
	/* General detect; delivery clears it. */
	c->dr7 |= 0x2000;
	assert_false(EXEC(c, "\x0f\x21\xfb"));
	assert_int_equal(c->exc.vector, EXC_DB);
	assert_int_equal(c->exc.dr6, 0x2000);
	c->dr6 = 0xffff0ff0;
	cpu_deliver_exception(c);
	assert_int_equal(c->dr6, 0xffff2ff0);
	assert_int_equal(c->dr7, 0x400);
}

static void
test_exec_breakpoints(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_long(c, 0);
	assert_false(cpu_has_exec_breakpoints(c));
	c->dr[1] = T_CODE;
	c->dr7 = 0x400 | 1 << 2;
	cpu_update_mode(c);
	assert_true(cpu_has_exec_breakpoints(c));
	assert_false(cpu_has_data_breakpoints(c));
	assert_true(c->mode & MODE_ONE);
	c->rip = T_CODE + 1;
	assert_false(cpu_exec_breakpoint(c));
	c->rip = T_CODE;
	c->rflags |= FL_RF;
	assert_false(cpu_exec_breakpoint(c));
	assert_true(cpu_exec_breakpoint(c));
	assert_int_equal(c->exc.dr6, 2);
	cpu_deliver_exception(c);
	/* An instruction breakpoint is the fault that does not push RF. */
	assert_int_equal(peek(c, c->gpr[R_RSP] + 16, 8), FL_ONE);
	/* RF holds it off until a repeated instruction has ended (17.3.1.1). */
	c->rip = T_CODE;
	c->gpr[R_RSI] = c->gpr[R_RDI] = T_DATA;
	c->gpr[R_RCX] = 2;
	assert_true(EXEC(c, "\xf3\xa4")); /* rep movsb, one iteration */
	assert_int_equal(c->rip, T_CODE);
	assert_int_equal(c->gpr[R_RCX], 1);
	assert_true(c->rflags & FL_RF);
	assert_false(cpu_exec_breakpoint(c));
	assert_true(EXEC(c, "\xf3\xa4"));
	assert_int_equal(c->rip, T_CODE + 2);
	assert_false(c->rflags & FL_RF);
	/* Data breakpoints send accesses to the slow path. */
	fix_long(c, 0);
	c->dr7 = 0x400 | 1 | 3 << 16;
	cpu_update_mode(c);
	assert_true(cpu_has_data_breakpoints(c));
	assert_ptr_equal(c->tlb, &c->view[VIEW_MISS]);
	assert_int_equal(c->real_view, VIEW_KERN);
	/* So does alignment checking in ring 3. */
	fix_long(c, 3);
	c->cr0 |= CR0_AM;
	c->rflags |= FL_AC;
	cpu_update_mode(c);
	assert_ptr_equal(c->tlb, &c->view[VIEW_MISS]);
	assert_int_equal(c->real_view, VIEW_USER);
}

/*
 * Pages 8 MiB apart want the same slot of the TLB; one REP MOVS between them
 * still goes in chunks.  A pending event ends it after each.
 */
static void
test_rep_movs_one_tlb_slot(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	const uint64_t far = T_DATA + TLB_ENTRIES * 0x1000;
	uint32_t event = 1, *const events = c->events;

	fix_long(c, 0);
	for (unsigned int n = 0; n < 0x2000; n += 8)
		poke(c, T_DATA + n, 8, n * 0x0101010101010101ull);
	c->events = &event;
	c->gpr[R_RSI] = T_DATA;
	c->gpr[R_RDI] = far;
	c->gpr[R_RCX] = 0x2000;
	assert_true(EXEC(c, "\xf3\xa4")); /* rep movsb */
	assert_int_equal(c->gpr[R_RCX], 0x1000);
	assert_int_equal(c->gpr[R_RSI], T_DATA + 0x1000);
	assert_int_equal(c->gpr[R_RDI], far + 0x1000);
	assert_true(EXEC(c, "\xf3\xa4"));
	c->events = events;
	assert_int_equal(c->gpr[R_RCX], 0);
	for (unsigned int n = 0; n < 0x2000; n += 8)
		assert_int_equal(
		    peek(c, far + n, 8), n * 0x0101010101010101ull);
}

/* --- descriptor tables and inspection ---------------------------------- */

static void
test_table_registers(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 0);
	c->gpr[R_RBX] = T_DATA;
	poke(c, T_DATA, 8, 0x12345678abcd);
	poke(c, T_DATA + 2, 4, 0x92345678);
	assert_true(EXEC(c, "\x0f\x01\x1b")); /* lidt */
	assert_int_equal(c->idtr.limit, 0xabcd);
	assert_int_equal(c->idtr.base, 0x92345678);
	assert_true(EXEC(c, "\x66\x0f\x01\x1b"));
	assert_int_equal(c->idtr.base, 0x345678);
	poke(c, T_DATA, 8, 0);
	assert_true(EXEC(c, "\x0f\x01\x03")); /* sgdt */
	assert_int_equal(peek(c, T_DATA, 2), S_LAST);
	assert_int_equal(peek(c, T_DATA + 2, 4), T_GDT);
	fix_long(c, 0);
	c->gpr[R_RBX] = T_DATA;
	poke(c, T_DATA + 2, 8, 0x800000000000);
	assert_false(EXEC(c, "\x0f\x01\x13")); /* lgdt */
	expect_exc(c, EXC_GP, 0);
	assert_int_equal(c->gdtr.base, T_GDT);
	fix_long(c, 3);
	c->gpr[R_RBX] = T_DATA;
	assert_false(EXEC(c, "\x0f\x01\x13"));
	expect_exc(c, EXC_GP, 0);
	assert_true(EXEC(c, "\x0f\x01\x0b"));
	assert_int_equal(peek(c, T_DATA + 2, 8), T_IDT);
	c->cr4 |= CR4_UMIP;
	assert_false(EXEC(c, "\x0f\x01\x0b"));
	expect_exc(c, EXC_GP, 0);
}

static void
test_ltr_lldt(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 0);
	c->gpr[R_RAX] = S_TSS2;
	assert_true(EXEC(c, "\x0f\x00\xd8"));
	assert_int_equal(c->seg[SEG_TR].sel, S_TSS2);
	assert_int_equal(peek(c, T_GDT + S_TSS2 + 5, 1), AR_P | SYS_TSS_BUSY);
	assert_false(EXEC(c, "\x0f\x00\xd8")); /* busy now */
	expect_exc(c, EXC_GP, S_TSS2);
	c->gpr[R_RAX] = 0;
	assert_false(EXEC(c, "\x0f\x00\xd8"));
	expect_exc(c, EXC_GP, 0);
	assert_true(EXEC(c, "\x0f\x00\xd0")); /* lldt 0 */
	assert_true(c->seg[SEG_LDTR].access & AR_UNUSABLE);
	c->gpr[R_RAX] = S_DATA0;
	assert_false(EXEC(c, "\x0f\x00\xd0"));
	expect_exc(c, EXC_GP, S_DATA0);
	/* Long mode: 16 bytes, a full base, no 16-bit TSS. */
	fix_long(c, 0);
	set_gdt(c, S_TSS2, mkdesc(0x1000, 0x67, AR_P | SYS_TSS));
	set_gdt(c, S_TSS2 + 8, 0xffff8000);
	c->gpr[R_RAX] = S_TSS2;
	assert_true(EXEC(c, "\x0f\x00\xd8"));
	assert_int_equal(c->seg[SEG_TR].base, 0xffff800000001000);
	set_gdt(c, S_TSS2, mkdesc(0x1000, 0x67, AR_P | SYS_TSS16));
	assert_false(EXEC(c, "\x0f\x00\xd8"));
	expect_exc(c, EXC_GP, S_TSS2);
	/* Real mode has none of these. */
	fix_real(c);
	assert_false(EXEC(c, "\x0f\x00\xd8"));
	expect_exc(c, EXC_UD, NO_ERR);
}

struct look_case {
	unsigned int cpl, sel;
	bool lar, lsl, verr, verw;
};

static const struct look_case looks[] = {
	{ 0, 0, false, false, false, false },
	{ 0, S_CODE0, true, true, true, false },
	{ 0, S_DATA0, true, true, true, true },
	{ 0, S_RODATA, true, true, true, false },
	{ 0, S_XONLY, true, true, false, false },
	{ 0, S_DATA_NP, true, true, true, true },
	{ 0, S_TSS, true, true, false, false },
	{ 0, S_LDT, true, true, false, false },
	{ 0, S_TASKGATE, true, false, false, false },
	{ 0, 0x1000, false, false, false, false },
	{ 0, S_DATA0 | 3, false, false, false, false },
	{ 3, S_DATA0, false, false, false, false },
	{ 3, S_CONF0, true, true, true, false },
	{ 3, S_DATA3, true, true, true, true },
};

static void
test_lar_lsl_verr(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	for (size_t n = 0; n < ARRAY_LEN(looks); n++) {
		const struct look_case *t = &looks[n];
		uint32_t ar =
		    (uint32_t)(0x00ffff00u &
			       peek(c, T_GDT, 8)); /* any start value */

		print_message("CPL %u: look at %#x\n", t->cpl, t->sel);
		fix_pm32(c, t->cpl);
		c->gpr[R_RCX] = t->sel;
		c->gpr[R_RAX] = 0xdead;
		assert_true(EXEC(c, "\x0f\x02\xc1")); /* lar eax,ecx */
		assert_int_equal(!!(cpu_rflags(c) & FL_ZF), t->lar);
		ar = (uint32_t)peek(c, T_GDT + (t->sel & 0xff8) + 4, 4);
		assert_int_equal(
		    c->gpr[R_RAX], t->lar ? ar & 0xffff00 : 0xdead);
		assert_true(EXEC(c, "\x0f\x03\xc1")); /* lsl */
		assert_int_equal(!!(cpu_rflags(c) & FL_ZF), t->lsl);
		if (t->sel == S_TSS)
			assert_int_equal(c->gpr[R_RAX], 0x2067);
		if (t->sel == S_CODE0)
			assert_int_equal(c->gpr[R_RAX], UINT32_MAX);
		assert_true(EXEC(c, "\x0f\x00\xe1"));
		assert_int_equal(!!(cpu_rflags(c) & FL_ZF), t->verr);
		assert_true(EXEC(c, "\x0f\x00\xe9"));
		assert_int_equal(!!(cpu_rflags(c) & FL_ZF), t->verw);
	}
	/* No task gate in long mode. */
	fix_long(c, 0);
	set_gdt(c, S_TASKGATE, (uint64_t)(AR_P | SYS_TASK_GATE) << 40);
	c->gpr[R_RCX] = S_TASKGATE;
	assert_true(EXEC(c, "\x0f\x02\xc1"));
	assert_false(cpu_rflags(c) & FL_ZF);
}

static void
test_arpl(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 0);
	c->gpr[R_RAX] = 0x10;
	c->gpr[R_RCX] = 3;
	assert_true(EXEC(c, "\x63\xc8")); /* arpl ax,cx */
	assert_int_equal(c->gpr[R_RAX], 0x13);
	assert_true(cpu_rflags(c) & FL_ZF);
	assert_true(EXEC(c, "\x63\xc8"));
	assert_false(cpu_rflags(c) & FL_ZF);
	fix_v86(c, 3);
	assert_false(EXEC(c, "\x63\xc8"));
	expect_exc(c, EXC_UD, NO_ERR);
}

/* --- ports
 * -----------------------------------------------------------------------------
 */

struct port_log {
	unsigned int n;
	uint32_t val[8];
	unsigned int bytes;
};

static int
port_fn(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct port_log *l = arg;

	l->bytes = bytes;
	if (in)
		*val = 0x11223344 + l->n++;
	else
		l->val[l->n++ % 8] = *val;
	return 0;
}

static void
add_port(struct soft_cpu *c, struct port_log *l)
{
	struct pio_range r = {
		.name = "test", .port = 0x123, .len = 8, .fn = port_fn, .arg = l
	};

	assert_int_equal(bus_pio_register(c->ctx, &r), 0);
}

static void
test_in_out(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	struct port_log l = { .n = 0 };

	add_port(c, &l);
	fix_long(c, 0);
	c->gpr[R_RDX] = 0xffff0123;
	c->gpr[R_RAX] = UINT64_MAX;
	assert_true(EXEC(c, "\xec"));
	assert_int_equal(c->gpr[R_RAX], 0xffffffffffffff44);
	assert_int_equal(l.bytes, 1);
	assert_true(EXEC(c, "\x66\xed"));
	assert_int_equal(c->gpr[R_RAX], 0xffffffffffff3345);
	assert_true(EXEC(c, "\xed"));
	assert_int_equal(c->gpr[R_RAX], 0x11223346);
	assert_int_equal(c->rip, T_CODE + 4);
	c->gpr[R_RAX] = 0xabcdef01;
	l.n = 0;
	assert_true(EXEC(c, "\xee"));
	assert_true(EXEC(c, "\xef"));
	assert_int_equal(l.val[0], 0x01);
	assert_int_equal(l.val[1], 0xabcdef01);
	/* Nobody there: all ones, and the port is an immediate. */
	assert_true(EXEC(c, "\xe4\x00"));
	assert_int_equal(c->gpr[R_RAX], 0xabcdefff);
}

static void
test_io_permission(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	struct port_log l = { .n = 0 };

	add_port(c, &l);
	fix_long(c, 3);
	c->gpr[R_RDX] = 0x127;
	assert_false(EXEC(c, "\xec"));
	expect_exc(c, EXC_GP, 0);
	assert_int_equal(l.n, 0);
	/* One bit clear: one byte allowed, two not (they cross a byte). */
	poke(c, T_TSS + 0x68 + 0x127 / 8, 1, 0x7f);
	assert_true(EXEC(c, "\xec"));
	assert_false(EXEC(c, "\x66\xed"));
	expect_exc(c, EXC_GP, 0);
	poke(c, T_TSS + 0x68 + 0x128 / 8, 1, 0xfe);
	assert_true(EXEC(c, "\x66\xed"));
	/* IOPL 3 does without. */
	c->gpr[R_RDX] = 0x123;
	c->rflags |= FL_IOPL;
	assert_true(EXEC(c, "\xec"));
	/* The last byte of the map must have one behind it. */
	fix_long(c, 3);
	c->gpr[R_RDX] = 0x127;
	poke(c, T_TSS + 0x68 + 0x127 / 8, 1, 0);
	c->seg[SEG_TR].limit = 0x68 + 0x127 / 8;
	assert_false(EXEC(c, "\xec"));
	expect_exc(c, EXC_GP, 0);
	c->seg[SEG_TR].limit++;
	assert_true(EXEC(c, "\xec"));
	/* Virtual-8086 mode asks the map whatever IOPL says. */
	fix_v86(c, 3);
	c->gpr[R_RDX] = 0x123;
	assert_false(EXEC(c, "\xec"));
	expect_exc(c, EXC_GP, 0);
}

static void
test_ins_outs(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	struct port_log l = { .n = 0 };

	add_port(c, &l);
	fix_long(c, 0);
	c->gpr[R_RDX] = 0x123;
	c->gpr[R_RDI] = T_DATA;
	c->gpr[R_RCX] = 4;
	assert_true(EXEC(c, "\xf3\x6d")); /* rep insd */
	assert_int_equal(c->gpr[R_RCX], 0);
	assert_int_equal(c->gpr[R_RDI], T_DATA + 16);
	assert_int_equal(peek(c, T_DATA + 12, 4), 0x11223347);
	l.n = 0;
	c->rflags |= FL_DF;
	c->gpr[R_RSI] = T_DATA + 12;
	c->gpr[R_RCX] = 2;
	assert_true(EXEC(c, "\xf3\x66\x6f")); /* rep outsw, downwards */
	assert_int_equal(c->gpr[R_RSI], T_DATA + 8);
	assert_int_equal(l.val[0], 0x3347);
	/* The target faults before the port is touched; RCX says where. */
	fix_long(c, 0);
	c->gpr[R_RDX] = 0x123;
	c->gpr[R_RDI] = T_HOLE - 1;
	c->gpr[R_RCX] = 3;
	l.n = 0;
	assert_false(EXEC(c, "\xf3\x6c")); /* rep insb */
	assert_int_equal(l.n, 1);
	assert_int_equal(c->gpr[R_RCX], 2);
	assert_int_equal(c->gpr[R_RDI], T_HOLE);
	assert_int_equal(c->rip, T_CODE);
	expect_exc(c, EXC_PF, PF_W);
	/* An event ends it between two elements. */
	c->gpr[R_RDI] = T_DATA;
	vcpu_post(c->vcpu, VCPU_EV_INTR);
	assert_true(EXEC(c, "\xf3\x6c"));
	assert_int_equal(c->rip, T_CODE);
	assert_int_equal(c->gpr[R_RCX], 1);
	vcpu_take(c->vcpu, UINT32_MAX);
	/* REP with count 0 asks for no permission. */
	fix_long(c, 3);
	c->gpr[R_RCX] = 0;
	assert_true(EXEC(c, "\xf3\x6c"));
}

/* --- MSRs
 * -----------------------------------------------------------------------------
 */

static bool
wrmsr(struct soft_cpu *c, uint32_t msr, uint64_t val)
{
	c->gpr[R_RCX] = 0xdead000000000000 | msr;
	c->gpr[R_RAX] = (uint32_t)val | 0xbeef00000000;
	c->gpr[R_RDX] = val >> 32;
	return EXEC(c, "\x0f\x30");
}

static bool
rdmsr(struct soft_cpu *c, uint32_t msr, uint64_t *val)
{
	bool ok;

	c->gpr[R_RCX] = msr;
	c->gpr[R_RAX] = c->gpr[R_RDX] = UINT64_MAX;
	ok = EXEC(c, "\x0f\x32");
	*val = c->gpr[R_RDX] << 32 | (uint32_t)c->gpr[R_RAX];
	return ok;
}

#define NONCANON 0x800000000000ull
static const struct {
	uint32_t msr;
	uint64_t val;
	bool ok;
} msr_writes[] = {
	{ 0xc0000080, EFER_SCE | EFER_NXE | EFER_LME | EFER_LMA, true },
	{ 0xc0000080, EFER_SCE | EFER_LME | EFER_LMA | EFER_AUTOIBRS, true },
	{ 0xc0000080, EFER_LME | 1u << 12, false }, /* SVME */
	{ 0xc0000080, EFER_LME | 2, false },
	{ 0xc0000080, EFER_SCE, false }, /* LME off with paging on */
	{ 0xc0000082, 0xffff800000000000, true },
	{ 0xc0000082, NONCANON, false }, { 0xc0000083, NONCANON, false },
	{ 0xc0000100, NONCANON, false }, { 0xc0000101, 0x7fffffffffff, true },
	{ 0xc0000102, NONCANON, false }, { 0x175, NONCANON, false },
	{ 0x277, 0x0007040600070406, true },
	{ 0x277, 0x0007040600070402, false },
	{ 0x277, 0x0807040600070406, false }, { 0x2ff, 0xc06, true },
	{ 0x2ff, 0x1006, false }, { 0x2ff, 0x002, false },
	{ 0x200, 0x80000006, true }, { 0x200, 0x80000106, false },
	{ 0x200, 0x8000000000000006, false }, { 0x201, 0xff80000800, true },
	{ 0x201, 0xff80000001, false }, { 0x250, 0x0606060606060606, true },
	{ 0x26f, 0x0606060606060602, false }, { 0xfe, 0, false },
	{ 0x179, 0, false }, { 0x49, 1, true }, { 0x49, 2, false },
	{ 0x1b, 1, false }, /* no APIC in this machine: unknown */
};

static void
test_msr_writes(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	uint64_t val;

	for (size_t n = 0; n < ARRAY_LEN(msr_writes); n++) {
		print_message("wrmsr %#x, %#llx\n", msr_writes[n].msr,
		    (unsigned long long)msr_writes[n].val);
		fix_long(c, 0);
		assert_int_equal(wrmsr(c, msr_writes[n].msr, msr_writes[n].val),
		    msr_writes[n].ok);
		if (!msr_writes[n].ok) {
			assert_int_equal(c->rip, T_CODE);
			if (c->leave == LEAVE_NONE)
				expect_exc(c, EXC_GP, 0);
			continue;
		}
		if (msr_writes[n].msr == 0x49) {
			assert_false(rdmsr(c, 0x49, &val));
			expect_exc(c, EXC_GP, 0);
			continue;
		}
		assert_true(rdmsr(c, msr_writes[n].msr, &val));
		assert_int_equal(val, msr_writes[n].val);
	}
}

static void
test_msr_unknown_and_privilege(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	uint64_t val;

	fix_long(c, 0);
	assert_false(rdmsr(c, 0x12345, &val));
	assert_false(c->exc.pending);
	assert_int_equal(c->leave, LEAVE_EXIT);
	assert_int_equal(c->exit.exitcode, VM_EXITCODE_RDMSR);
	assert_int_equal(c->exit.u.msr.code, 0x12345);
	assert_int_equal(c->exit.rip, T_CODE);
	assert_int_equal(c->exit.inst_length, 2);
	assert_int_equal(c->exit_next_rip, T_CODE + 2);
	assert_false(wrmsr(c, 0x12345, 0x1122334455667788));
	assert_int_equal(c->exit.exitcode, VM_EXITCODE_WRMSR);
	assert_int_equal(c->exit.u.msr.wval, 0x1122334455667788);
	fix_long(c, 3);
	assert_false(rdmsr(c, 0xc0000080, &val));
	expect_exc(c, EXC_GP, 0);
	assert_false(wrmsr(c, 0xc0000080, 0));
	expect_exc(c, EXC_GP, 0);
}

static void
test_tsc(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	uint64_t a, b, val;

	fix_long(c, 3);
	assert_true(EXEC(c, "\x0f\x31"));
	a = c->gpr[R_RDX] << 32 | c->gpr[R_RAX];
	c->tsc_aux = 0x77;
	assert_true(EXEC(c, "\x0f\x01\xf9"));
	b = c->gpr[R_RDX] << 32 | c->gpr[R_RAX];
	assert_int_equal(c->gpr[R_RCX], 0x77);
	assert_true(b > a);
	assert_true(vcpu_rdtsc(c->vcpu) > b);
	assert_true(vcpu_rdtsc(c->vcpu) - b < vm_tsc_hz(c->ctx));
	c->cr4 |= CR4_TSD;
	assert_false(EXEC(c, "\x0f\x31"));
	expect_exc(c, EXC_GP, 0);
	/* The fast path follows a write. */
	fix_long(c, 0);
	assert_true(wrmsr(c, 0x10, 1ull << 60));
	assert_true(EXEC(c, "\x0f\x31"));
	assert_true((c->gpr[R_RDX] << 32 | c->gpr[R_RAX]) >= 1ull << 60);
	assert_true(rdmsr(c, 0x3b, &val));
	assert_true(val > 0);
	c->tsc_aux = 0x77;
	assert_true(EXEC(c, "\xf3\x0f\xc7\xf8")); /* rdpid rax */
	assert_int_equal(c->gpr[R_RAX], 0x77);
}

/* --- kvmclock ---------------------------------------------------------- */

static void
test_kvmclock(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	uint64_t val, tsc, ns, up;
	uint32_t mul;
	int8_t shift;

	fix_long(c, 0);
	poke(c, T_DATA, 8, 0);
	assert_true(wrmsr(c, 0x4b564d01, T_DATA | 1));
	assert_true(rdmsr(c, 0x4b564d01, &val));
	assert_int_equal(val, T_DATA | 1);
	assert_int_equal(peek(c, T_DATA, 4) & 1, 0);
	assert_int_not_equal(peek(c, T_DATA, 4), 0);
	assert_int_equal(peek(c, T_DATA + 29, 1), 1);
	mul = (uint32_t)peek(c, T_DATA + 24, 4);
	shift = (int8_t)peek(c, T_DATA + 28, 1);
	kvmclock_scale(vm_tsc_hz(c->ctx), &mul, &shift);
	assert_int_equal(mul, peek(c, T_DATA + 24, 4));
	/* One second of ticks is a second, to a part in a million. */
	tsc = vm_tsc_hz(c->ctx);
	tsc = shift < 0 ? tsc >> -shift : tsc << shift;
	ns = (uint64_t)((unsigned __int128)tsc * mul >> 32);
	assert_in_range(ns, 999999000, 1000001000);
	/* Moving the TSC moves its anchor. */
	assert_true(wrmsr(c, 0x3b, 1ull << 50));
	assert_int_equal(peek(c, T_DATA + 8, 8), 1ull << 50);
	/* Wall clock plus uptime is now. */
	assert_true(wrmsr(c, 0x11, T_DATA + 64));
	up = peek(c, T_DATA + 68, 4);
	assert_in_range((uint64_t)time(NULL) - up, 0, 60);
	/* A page outside RAM does no harm. */
	assert_true(wrmsr(c, 0x12, 0x7ffffff001));
	assert_false(wrmsr(c, 0x12, 2));
	expect_exc(c, EXC_GP, 0);
}

static void
test_kvmclock_scale(void **state)
{
	static const uint64_t hz[] = { 1000000, 999999999, 1000000000,
		1000000001, 2000000000, 2400000000, 3701000000, 12345678901 };
	uint32_t mul;
	int8_t shift;

	(void)state;
	for (size_t n = 0; n < ARRAY_LEN(hz); n++) {
		unsigned __int128 t = hz[n];

		kvmclock_scale(hz[n], &mul, &shift);
		t = shift < 0 ? t >> -shift : t << shift;
		assert_in_range(
		    (uint64_t)(t * mul >> 32), 999999900, 1000000100);
	}
}

/* --- CPUID
 * ------------------------------------------------------------------------------
 */

static struct cpuid_regs
cpuid(struct soft_cpu *c, uint32_t leaf, uint32_t sub)
{
	c->gpr[R_RAX] = 0xffffffff00000000 | leaf;
	c->gpr[R_RCX] = sub;
	assert_true(EXEC(c, "\x0f\xa2"));
	return (struct cpuid_regs){ (uint32_t)c->gpr[R_RAX],
		(uint32_t)c->gpr[R_RBX], (uint32_t)c->gpr[R_RCX],
		(uint32_t)c->gpr[R_RDX] };
}

static void
test_cpuid_identity(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	struct cpuid_regs r;

	fix_long(c, 3);
	r = cpuid(c, 0, 0);
	assert_int_equal(r.eax, 0xd);
	assert_memory_equal(&r.ebx, "Auth", 4);
	assert_memory_equal(&r.edx, "enti", 4);
	assert_memory_equal(&r.ecx, "cAMD", 4);
	r = cpuid(c, 1, 0);
	assert_int_equal((r.eax >> 8 & 15) + (r.eax >> 20 & 0xff), 0x19);
	assert_false(r.ecx & BIT(27));
	c->cr4 |= CR4_OSXSAVE;
	assert_true(cpuid(c, 1, 0).ecx & BIT(27));
	r = cpuid(c, 0x40000000, 0);
	assert_int_equal(r.eax, 0x40000010);
	assert_memory_equal(&r.ebx, "bhyve bhyve ", 12);
	assert_int_equal(cpuid(c, 0x40000010, 0).eax, vm_tsc_hz(c->ctx) / 1000);
	r = cpuid(c, 0x40000100, 0);
	assert_memory_equal(&r.ebx, "KVMKVMKVM\0\0\0", 12);
	assert_int_equal(cpuid(c, r.eax, 0).eax, 0x0100000b);
	/* Out of range: zeros, as on AMD. */
	r = cpuid(c, 0xe, 0);
	assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
	r = cpuid(c, 0x80000022, 0);
	assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
	r = cpuid(c, 0x80000008, 0);
	assert_int_equal(r.eax & 0xff, c->vm->phys_bits);
	assert_int_equal(r.eax >> 8 & 0xff, 48);
}

/* What the host executes for the guest must be the host's. */
static void
test_cpuid_subset_of_host(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	static const struct {
		uint32_t leaf;
		unsigned int reg;
		uint32_t user; /* bits of instructions the host runs */
	} table[] = {
		{ 1, 2, 0x77f83203 & ~BIT(21) & ~BIT(24) & ~BIT(27) },
		{ 1, 3, 0x0780a131 },
		{ 7, 1, 0x200c0128 },
		{ 7, 2, 0x00000600 },
		{ 0x80000001, 2, 0x00000021 },
	};

	fix_long(c, 0);
	for (size_t n = 0; n < ARRAY_LEN(table); n++) {
		struct cpuid_regs g = cpuid(c, table[n].leaf, 0);
		uint32_t h[4], guest[4] = { g.eax, g.ebx, g.ecx, g.edx };

		__cpuid_count(table[n].leaf, 0, h[0], h[1], h[2], h[3]);
		assert_int_equal(
		    guest[table[n].reg] & table[n].user & ~h[table[n].reg], 0);
	}
	/* Never offered. */
	assert_int_equal(cpuid(c, 1, 0).ecx & (BIT(3) | BIT(5)), 0);
	assert_int_equal(
	    cpuid(c, 7, 0).ebx & (BIT(4) | BIT(11) | BIT(14) | BIT(16)), 0);
	assert_int_equal(cpuid(c, 0x80000001, 0).ecx & BIT(2), 0);
}

/* What Linux's cpu_set_bug_bits() reads to say "not affected". */
static void
test_cpuid_mitigations(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	struct cpuid_regs r;

	fix_long(c, 0);
	r = cpuid(c, 0x80000021, 0);
	assert_true(r.eax & BIT(8));	/* AutoIBRS */
	assert_true(r.eax & BIT(29));	/* SRSO_NO */
	assert_true(r.eax & BIT(2));	/* LFENCE */
	assert_int_equal(r.ecx & 6, 6); /* TSA_SQ_NO, TSA_L1_NO */
	r = cpuid(c, 0x80000008, 0);
	assert_true(r.ebx & BIT(26)); /* SSB_NO */
	assert_true(r.ebx & BIT(29)); /* BTC_NO */
	assert_true(cpuid_efer_mask(c) & EFER_AUTOIBRS);
}

static void
test_cpuid_xsave(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	struct cpuid_regs r;

	fix_long(c, 0);
	if (!(cpuid(c, 1, 0).ecx & BIT(26)))
		skip();
	r = cpuid(c, 0xd, 0);
	assert_int_equal(r.eax & ~7u, 0);
	assert_int_equal(r.ebx, 576);
	assert_int_equal(r.ecx, r.eax & 4 ? 832 : 576);
	if (!(r.eax & 4))
		return;
	c->xcr0 = 7;
	assert_int_equal(cpuid(c, 0xd, 0).ebx, 832);
	assert_int_equal(cpuid(c, 0xd, 2).ebx, 576);
	assert_int_equal(cpuid(c, 0xd, 2).eax, 256);
	assert_int_equal(cpuid(c, 0xd, 1).eax & BIT(3), 0);
}

static void
test_cpuid_topology(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	struct vm_topology *t =
	    (struct vm_topology *)(uintptr_t)vm_topology_get(c->ctx);
	struct cpuid_regs r;
	unsigned int id = c->id;

	fix_long(c, 0);
	/* 2 packages of 2 cores of 2 threads; look from vCPU 5. */
	*t = (struct vm_topology){ 8, 2, 2, 2 };
	c->id = 5;
	r = cpuid(c, 1, 0);
	assert_int_equal(r.ebx >> 24, 5);
	assert_int_equal(r.ebx >> 16 & 0xff, 4);
	assert_true(r.edx & BIT(28));
	assert_true(cpuid(c, 0x80000001, 0).ecx & BIT(1));
	r = cpuid(c, 0xb, 0);
	assert_int_equal(r.eax, 1);
	assert_int_equal(r.ebx, 2);
	assert_int_equal(r.ecx, 0x100);
	assert_int_equal(r.edx, 5);
	r = cpuid(c, 0xb, 1);
	assert_int_equal(r.eax, 2);
	assert_int_equal(r.ebx, 4);
	assert_int_equal(r.ecx, 0x201);
	r = cpuid(c, 0xb, 2);
	assert_int_equal(r.ebx, 0);
	assert_int_equal(r.ecx, 2);
	r = cpuid(c, 0x8000001e, 0);
	assert_int_equal(r.eax, 5);
	assert_int_equal(r.ebx, 0x100); /* core 0, 2 threads */
	assert_int_equal(r.ecx, 1);
	assert_int_equal(cpuid(c, 0x80000008, 0).ecx, 0x2003);
	assert_int_equal(cpuid(c, 0x8000001d, 0).eax >> 14 & 0xfff, 1);
	assert_int_equal(cpuid(c, 0x8000001d, 3).eax >> 14 & 0xfff, 3);
	assert_int_equal(cpuid(c, 0x8000001d, 4).eax, 0);
	c->id = id;
	*t = (struct vm_topology){ 1, 1, 1, 1 };
}

/* --- the rest
 * ------------------------------------------------------------------------------
 */

static void
test_bound_int3_vmcall(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_pm32(c, 0);
	c->gpr[R_RBX] = T_DATA;
	poke(c, T_DATA, 4, (uint32_t)-5);
	poke(c, T_DATA + 4, 4, 5);
	c->gpr[R_RAX] = (uint32_t)-5;
	assert_true(EXEC(c, "\x62\x03"));
	c->gpr[R_RAX] = 6;
	assert_false(EXEC(c, "\x62\x03"));
	expect_exc(c, EXC_BR, NO_ERR);
	/* INT3 for a debugger. */
	c->cap[VM_CAP_BPT_EXIT] = true;
	c->rip = T_CODE;
	assert_false(EXEC(c, "\xcc"));
	assert_int_equal(c->leave, LEAVE_EXIT);
	assert_int_equal(c->exit.exitcode, VM_EXITCODE_BPT);
	assert_int_equal(c->exit.u.bpt.inst_length, 1);
	assert_int_equal(c->exit_next_rip, T_CODE);
	c->cap[VM_CAP_BPT_EXIT] = false;
	/* Hypercalls: unknown, and none from ring 3. */
	c->gpr[R_RAX] = 99;
	assert_true(EXEC(c, "\x0f\x01\xd9"));
	assert_int_equal((int32_t)c->gpr[R_RAX], -1000);
	fix_long(c, 3);
	assert_true(EXEC(c, "\x0f\x01\xc1"));
	assert_int_equal((int64_t)c->gpr[R_RAX], -1);
	/* HLT. */
	assert_false(EXEC(c, "\xf4"));
	expect_exc(c, EXC_GP, 0);
	fix_long(c, 0);
	assert_false(EXEC(c, "\xf4"));
	assert_int_equal(c->leave, LEAVE_HLT);
	assert_int_equal(c->rip, T_CODE + 1);
	/* PAUSE. */
	c->cap[VM_CAP_PAUSE_EXIT] = true;
	assert_false(EXEC(c, "\xf3\x90"));
	assert_int_equal(c->exit.exitcode, VM_EXITCODE_PAUSE);
	c->cap[VM_CAP_PAUSE_EXIT] = false;
}

static void
test_undefined(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	static const char *const table[] = {
		"\x0f\x0b",	/* ud2 */
		"\x0f\x01\xc8", /* monitor */
		"\x0f\x01\xc9", /* mwait */
		"\x0f\x01\xd8", /* vmrun */
		"\x0f\x01\xd5", /* xend */
		"\x0f\xaa",	/* rsm */
		"\x0f\x01\xfd", /* rdpru */
		"\x0f\x01\xfc", /* clzero */
	};

	for (size_t n = 0; n < ARRAY_LEN(table); n++) {
		fix_long(c, 0);
		assert_false(exec(c, table[n], (unsigned int)strlen(table[n])));
		assert_int_equal(c->rip, T_CODE);
		expect_exc(c, EXC_UD, NO_ERR);
	}
}

static void
test_rdrand_clflush(void **state)
{
	struct soft_cpu *c = cpu_of(state);

	fix_long(c, 3);
	c->gpr[R_RBX] = T_DATA;
	assert_true(EXEC(c, "\x0f\xae\x3b"));
	c->gpr[R_RBX] = T_HOLE + 8;
	assert_false(EXEC(c, "\x0f\xae\x3b"));
	expect_exc(c, EXC_PF, PF_U);
	assert_true(EXEC(c, "\x0f\x18\x0b")); /* prefetch: no fault */
	c->gpr[R_RBX] = NONCANON;
	assert_false(EXEC(c, "\x0f\xae\x3b"));
	expect_exc(c, EXC_GP, 0);
	if (!(cpuid(c, 1, 0).ecx & BIT(30)))
		skip();
	c->gpr[R_RAX] = UINT64_MAX;
	c->cc = flags_to_cc(FL_OSZAPC);
	assert_true(EXEC(c, "\x0f\xc7\xf0")); /* rdrand eax */
	assert_int_equal(c->gpr[R_RAX] >> 32, 0);
	assert_int_equal(cpu_rflags(c) & (FL_OSZAPC & ~FL_CF), 0);
}

static void
test_invlpg_invpcid(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	uint64_t gen;

	fix_long(c, 0);
	c->gpr[R_RBX] = T_DATA;
	gen = c->jc_key;
	assert_true(EXEC(c, "\x0f\x01\x3b"));
	assert_int_not_equal(c->jc_key, gen);
	poke(c, T_DATA, 8, 0);
	poke(c, T_DATA + 8, 8, NONCANON);
	c->gpr[R_RAX] = 4; /* no such type */
	assert_false(EXEC(c, "\x66\x0f\x38\x82\x03"));
	expect_exc(c, EXC_GP, 0);
	c->gpr[R_RAX] = 0; /* one address, which is none */
	assert_false(EXEC(c, "\x66\x0f\x38\x82\x03"));
	expect_exc(c, EXC_GP, 0);
	poke(c, T_DATA, 8, 5); /* a PCID while PCIDs are off */
	c->gpr[R_RAX] = 1;
	assert_false(EXEC(c, "\x66\x0f\x38\x82\x03"));
	expect_exc(c, EXC_GP, 0);
	c->gpr[R_RAX] = 2;
	assert_true(EXEC(c, "\x66\x0f\x38\x82\x03"));
}

static void
test_reset_state(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	struct seg_desc d;
	uint64_t v;

	fix_long(c, 3);
	c->star = 5;
	cpu_reset(c, true);
	assert_int_equal(c->star, 5); /* INIT keeps MSRs */
	cpu_reset(c, false);
	assert_int_equal(c->star, 0);
	assert_int_equal(soft_get_reg(c, VM_REG_GUEST_RIP, &v), 0);
	assert_int_equal(v, 0xfff0);
	assert_int_equal(soft_get_reg(c, VM_REG_GUEST_RFLAGS, &v), 0);
	assert_int_equal(v, 2);
	assert_int_equal(soft_get_reg(c, VM_REG_GUEST_CR0, &v), 0);
	assert_int_equal(v, 0x20);
	assert_int_equal(soft_get_desc(c, VM_REG_GUEST_CS, &d), 0);
	assert_int_equal(d.base, 0xffff0000);
	assert_int_equal(d.limit, 0xffff);
	assert_int_equal(d.access, 0x93);
	assert_int_equal(c->mode & ~(MODE_LEGACY_SEGS | MODE_CSLIMIT), 0);
}

/* bhyveload's 64-bit state, in two orders. */
static void
test_set_registers_any_order(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	static const struct {
		enum vm_reg_name reg;
		uint64_t val;
	} regs[] = {
		{ VM_REG_GUEST_EFER, EFER_LME | EFER_LMA },
		{ VM_REG_GUEST_CR4, CR4_PAE },
		{ VM_REG_GUEST_CR3, T_PML4 },
		{ VM_REG_GUEST_CR0, CR0_PE | CR0_PG | CR0_NE },
		{ VM_REG_GUEST_CS, 8 },
		{ VM_REG_GUEST_SS, 0x10 },
		{ VM_REG_GUEST_RFLAGS, 0x10203 },
		{ VM_REG_GUEST_RSP, 0x1234 },
	};
	static const struct seg_desc cs = { 0, 0, 0x209b };
	static const struct seg_desc ss = { 0, 0, 0x0093 };

	for (unsigned int order = 0; order < 2; order++) {
		cpu_reset(c, false);
		if (order)
			assert_int_equal(
			    soft_set_desc(c, VM_REG_GUEST_CS, &cs), 0);
		for (size_t n = 0; n < ARRAY_LEN(regs); n++) {
			size_t k = order ? ARRAY_LEN(regs) - 1 - n : n;

			assert_int_equal(
			    soft_set_reg(c, regs[k].reg, regs[k].val), 0);
		}
		assert_int_equal(soft_set_desc(c, VM_REG_GUEST_CS, &cs), 0);
		assert_int_equal(soft_set_desc(c, VM_REG_GUEST_SS, &ss), 0);
		assert_int_equal(c->mode & (MODE_64 | MODE_USER), MODE_64);
		assert_int_equal(c->cpl, 0);
		assert_int_equal(cpu_rflags(c), 0x10203);
		assert_int_equal(c->efer, EFER_LME | EFER_LMA);
		assert_false(c->exc.pending);
	}
	assert_int_equal(soft_set_reg(c, VM_REG_LAST, 0), -22);
	assert_int_equal(
	    soft_get_desc(c, VM_REG_GUEST_RAX, &(struct seg_desc){ 0, 0, 0 }),
	    -22);
}

static void
test_every_register_round_trips(void **state)
{
	struct soft_cpu *c = cpu_of(state);
	uint64_t v;

	for (int reg = 0; reg < VM_REG_LAST; reg++) {
		uint64_t val = 1;

		if (reg == VM_REG_GUEST_IDTR || reg == VM_REG_GUEST_GDTR)
			continue; /* descriptors only */
		if (reg == VM_REG_GUEST_CR8)
			continue; /* the APIC's */
		if (reg == VM_REG_GUEST_RFLAGS)
			val = 0x3;
		cpu_reset(c, false);
		assert_int_equal(soft_set_reg(c, reg, val), 0);
		assert_int_equal(soft_get_reg(c, reg, &v), 0);
		assert_int_equal(v, val);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, fix_setup, fix_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_cr0_rules),
		T(test_long_mode_switch),
		T(test_cr3_cr4_rules),
		T(test_pae_pdptes),
		T(test_lmsw_smsw_clts),
		T(test_debug_registers),
		T(test_exec_breakpoints),
		T(test_rep_movs_one_tlb_slot),
		T(test_table_registers),
		T(test_ltr_lldt),
		T(test_lar_lsl_verr),
		T(test_arpl),
		T(test_in_out),
		T(test_io_permission),
		T(test_ins_outs),
		T(test_msr_writes),
		T(test_msr_unknown_and_privilege),
		T(test_tsc),
		T(test_kvmclock),
		T(test_kvmclock_scale),
		T(test_cpuid_identity),
		T(test_cpuid_subset_of_host),
		T(test_cpuid_mitigations),
		T(test_cpuid_xsave),
		T(test_cpuid_topology),
		T(test_bound_int3_vmcall),
		T(test_undefined),
		T(test_rdrand_clflush),
		T(test_invlpg_invpcid),
		T(test_reset_state),
		T(test_set_registers_any_order),
		T(test_every_register_round_trips),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
