/* SPDX-License-Identifier: BSD-2-Clause */
/* sys_fixture.c - see sys_fixture.h. */
#include "sys_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include <vmm/engine.h>
#include <vmm/vm.h>

#include "decode.h"
#include "mmu.h"

extern const struct vm_engine_ops soft_engine_ops;

int
fix_setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof(*f));

	assert_int_equal(vm_new("t", &soft_engine_ops, &f->ctx), 0);
	assert_int_equal(vm_setup_memory(f->ctx, T_RAM, VM_MMAP_ALL), 0);
	f->vcpu = vm_vcpu_open(f->ctx, 0);
	assert_non_null(f->vcpu);
	f->c = vcpu_engine_state(f->vcpu);
	*state = f;
	return 0;
}

int
fix_teardown(void **state)
{
	struct fix *f = *state;

	vm_close(f->ctx);
	free(f);
	return 0;
}

/* --- memory ------------------------------------------------------------------
 */

void
poke(struct soft_cpu *c, uint64_t gpa, unsigned int size, uint64_t val)
{
	assert_int_equal(vm_mem_write(c->ctx, gpa, &val, size), 0);
}

uint64_t
peek(struct soft_cpu *c, uint64_t gpa, unsigned int size)
{
	uint64_t val = 0;

	assert_int_equal(vm_mem_read(c->ctx, gpa, &val, size), 0);
	return val;
}

uint64_t
mkdesc(uint32_t base, uint32_t limit, uint32_t ar)
{
	uint64_t d;

	if (limit > 0xfffff) {
		limit >>= 12;
		ar |= AR_G;
	}
	d = (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16;
	d |= (uint64_t)(ar & 0xff) << 40;
	d |= (uint64_t)(limit >> 16 & 15) << 48;
	d |= (uint64_t)(ar >> 12 & 15) << 52;
	d |= (uint64_t)(base >> 24) << 56;
	return d;
}

void
set_gdt(struct soft_cpu *c, unsigned int sel, uint64_t desc)
{
	poke(c, T_GDT + (sel & ~7u), 8, desc);
}

void
set_idt(struct soft_cpu *c, unsigned int vector, unsigned int sel, uint64_t off,
    unsigned int type, unsigned int dpl, unsigned int ist)
{
	uint64_t lo = (off & 0xffff) | (uint64_t)sel << 16 |
		      (uint64_t)ist << 32 |
		      (uint64_t)(AR_P | dpl << 5 | type) << 40 |
		      (off >> 16 & 0xffff) << 48;

	if (cpu_long_mode(c)) {
		poke(c, T_IDT + vector * 16, 8, lo);
		poke(c, T_IDT + vector * 16 + 8, 8, off >> 32);
	} else {
		poke(c, T_IDT + vector * 8, 8, lo);
	}
}

void
set_call_gate(struct soft_cpu *c, unsigned int sel, uint64_t off,
    unsigned int type, unsigned int dpl, unsigned int params)
{
	set_gdt(c, S_GATE,
	    (off & 0xffff) | (uint64_t)sel << 16 | (uint64_t)params << 32 |
		(uint64_t)(AR_P | dpl << 5 | type) << 40 |
		(off >> 16 & 0xffff) << 48);
	if (cpu_long_mode(c))
		set_gdt(c, S_GATE + 8, off >> 32);
}

/* --- tables ------------------------------------------------------------------
 */

#define AR_DATA	 (AR_P | AR_S | AR_W | AR_DB)
#define AR_CODE_ (AR_P | AR_S | AR_CODE | AR_R | AR_DB)
#define DPL(n)	 ((n) << 5)

static void
write_gdt(struct soft_cpu *c, bool lm)
{
	static const struct {
		unsigned int sel;
		uint32_t base, limit, ar;
	} table[] = {
		{ 0, 0, 0, 0 },
		{ S_CODE0, 0, UINT32_MAX, AR_CODE_ },
		{ S_DATA0, 0, UINT32_MAX, AR_DATA },
		{ S_CODE3, 0, UINT32_MAX, AR_CODE_ | DPL(3) },
		{ S_DATA3, 0, UINT32_MAX, AR_DATA | DPL(3) },
		{ S_CODE64, 0, 0, AR_P | AR_S | AR_CODE | AR_R | AR_L },
		{ S_CODE64_3, 0, 0,
		    AR_P | AR_S | AR_CODE | AR_R | AR_L | DPL(3) },
		{ S_CONF0, 0, UINT32_MAX, AR_CODE_ | AR_C },
		{ S_DATA_NP, 0, UINT32_MAX, AR_DATA & ~AR_P },
		{ S_XONLY, 0, UINT32_MAX, AR_CODE_ & ~AR_R },
		{ S_RODATA, 0, UINT32_MAX, AR_DATA & ~AR_W },
		{ S_SMALL, 0, 0xfff, AR_DATA },
		{ S_TSS2, T_TSS2, 0x67, AR_P | SYS_TSS },
		{ S_CODE16, 0, 0xffff, AR_CODE_ & ~AR_DB },
		{ S_DATA1, 0, UINT32_MAX, AR_DATA | DPL(1) },
		{ S_DOWN, 0, 0xffff, AR_DATA | AR_E },
		{ S_CODE_NP, 0, UINT32_MAX, AR_CODE_ & ~AR_P },
		{ S_STACK16, 0, 0xffff, AR_P | AR_S | AR_W },
		{ S_TSS, T_TSS, 0x2067, AR_P | SYS_TSS_BUSY },
		{ S_LDT, T_LDT, 0x1f, AR_P | SYS_LDT },
	};

	for (uint64_t a = 0; a < 0x1000; a += 8)
		poke(c, T_GDT + a, 8, 0);
	for (size_t n = 0; n < ARRAY_LEN(table); n++)
		set_gdt(c, table[n].sel,
		    mkdesc(table[n].base, table[n].limit, table[n].ar));
	if (!lm) {
		set_gdt(c, S_TASKGATE,
		    (uint64_t)S_TSS2 << 16 |
			(uint64_t)(AR_P | SYS_TASK_GATE | DPL(3)) << 40);
	}
	poke(c, T_LDT, 8, 0);
	poke(c, T_LDT + 8, 8, mkdesc(0x5000, 0xffff, AR_DATA));
}

static void
write_tss(struct soft_cpu *c, bool lm)
{
	for (uint64_t a = 0; a < 0x68; a += 8)
		poke(c, T_TSS + a, 8, 0);
	if (lm) {
		poke(c, T_TSS + 4, 8, T_STACK0);
		poke(c, T_TSS + 36, 8, T_IST1 + 8); /* not 16-aligned */
	} else {
		poke(c, T_TSS + 4, 4, T_STACK0);
		poke(c, T_TSS + 8, 4, S_DATA0);
	}
	/* I/O map right behind, all denied. */
	poke(c, T_TSS + 0x66, 2, 0x68);
	for (uint64_t a = 0x68; a < 0x2068; a += 8)
		poke(c, T_TSS + a, 8, UINT64_MAX);
}

/* 2 MiB pages over 32 MiB, all rwx and user; T_HOLE is absent. */
static void
write_page_tables(struct soft_cpu *c)
{
	for (uint64_t a = 0; a < 0x3000; a += 8)
		poke(c, T_PML4 + a, 8, 0);
	poke(c, T_PML4, 8, (T_PML4 + 0x1000) | 7);
	poke(c, T_PML4 + 0x1000, 8, (T_PML4 + 0x2000) | 7);
	for (uint64_t n = 0; n < T_RAM >> 21; n++)
		if (n != T_HOLE >> 21)
			poke(c, T_PML4 + 0x2000 + n * 8, 8, n << 21 | 0x87);
}

static void
set_seg(struct soft_cpu *c, unsigned int seg, unsigned int sel)
{
	struct desc d;
	bool fault;

	assert_true(desc_probe(c, sel, &d, &fault));
	desc_to_seg(&d, sel, &c->seg[seg]);
	c->seg[seg].access |= seg < SEG_LDTR ? AR_A : 0;
}

static void
set_segs(struct soft_cpu *c, unsigned int cs, unsigned int ss)
{
	set_seg(c, SEG_CS, cs);
	for (unsigned int n = SEG_ES; n <= SEG_GS; n++)
		if (n != SEG_CS)
			set_seg(c, n, ss);
	set_seg(c, SEG_TR, S_TSS);
	seg_set_null(&c->seg[SEG_LDTR], 0, 0);
	c->cpl = (uint8_t)(cs & 3);
}

static void
fresh(struct soft_cpu *c, bool lm)
{
	cpu_reset(c, false);
	c->nmi_blocked = false;
	c->leave = LEAVE_NONE;
	c->tf_skip = false;
	c->db_pending = 0;
	write_gdt(c, lm);
	write_tss(c, lm);
	for (uint64_t a = 0; a < 0x1000; a += 8)
		poke(c, T_IDT + a, 8, 0);
	c->gdtr.base = T_GDT;
	c->gdtr.limit = S_LAST;
	c->idtr.base = T_IDT;
	c->idtr.limit = 0xfff;
}

/* --- modes -------------------------------------------------------------------
 */

void
fix_real(struct soft_cpu *c)
{
	fresh(c, false);
	c->idtr.base = 0;
	c->idtr.limit = 0x3ff;
	c->seg[SEG_CS].base = T_CODE;
	c->seg[SEG_CS].sel = T_CODE >> 4;
	c->seg[SEG_SS].base = T_STACK - 0x8000;
	c->seg[SEG_SS].sel = (T_STACK - 0x8000) >> 4;
	c->gpr[R_RSP] = 0x8000;
	c->rip = 0x100;
	cpu_update_mode(c);
}

void
fix_pm32(struct soft_cpu *c, unsigned int cpl)
{
	fresh(c, false);
	c->cr0 |= CR0_PE;
	set_segs(c, cpl == 3 ? S_CODE3 : S_CODE0, cpl == 3 ? S_DATA3 : S_DATA0);
	c->gpr[R_RSP] = cpl == 3 ? T_STACK3 : T_STACK;
	c->rip = cpl == 3 ? T_CODE3 : T_CODE;
	cpu_update_mode(c);
	for (unsigned int v = 0; v < 64; v++)
		set_idt(c, v, S_CODE0, T_HANDLER + v * 16, SYS_INT, 0, 0);
}

static void
enter_long(struct soft_cpu *c, unsigned int cs, unsigned int ss)
{
	fresh(c, true);
	write_page_tables(c);
	c->cr0 |= CR0_PE | CR0_PG | CR0_WP;
	c->cr4 = CR4_PAE;
	c->cr3 = T_PML4;
	c->efer = EFER_LME | EFER_LMA | EFER_SCE;
	set_segs(c, cs, ss);
	c->gpr[R_RSP] = c->cpl == 3 ? T_STACK3 : T_STACK;
	c->rip = c->cpl == 3 ? T_CODE3 : T_CODE;
	cpu_update_mode(c);
	tlb_flush_all(c);
	for (unsigned int v = 0; v < 64; v++)
		set_idt(c, v, S_CODE64, T_HANDLER + v * 16, SYS_INT, 0, 0);
}

void
fix_long(struct soft_cpu *c, unsigned int cpl)
{
	enter_long(
	    c, cpl == 3 ? S_CODE64_3 : S_CODE64, cpl == 3 ? S_DATA3 : S_DATA0);
}

void
fix_compat(struct soft_cpu *c, unsigned int cpl)
{
	enter_long(
	    c, cpl == 3 ? S_CODE3 : S_CODE0, cpl == 3 ? S_DATA3 : S_DATA0);
}

void
fix_v86(struct soft_cpu *c, unsigned int iopl)
{
	fix_pm32(c, 3);
	c->rflags |= FL_VM | iopl << 12;
	for (unsigned int n = SEG_ES; n <= SEG_GS; n++)
		seg_set_v86(&c->seg[n], 0x1000 + n);
	seg_set_v86(&c->seg[SEG_CS], T_CODE >> 4);
	seg_set_v86(&c->seg[SEG_SS], (T_STACK3 - 0x8000) >> 4);
	c->gpr[R_RSP] = 0x8000;
	c->rip = 0x100;
	cpu_update_mode(c);
}

/* --- executing ---------------------------------------------------------------
 */

static void
done(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->rip = rip;
}

bool
exec(struct soft_cpu *c, const void *bytes, unsigned int len)
{
	struct insn i[2] = { { .fn = NULL }, { .fn = done } };
	uint8_t buf[16] = { 0 };
	unsigned int got;
	bool ends;

	memcpy(buf, bytes, len);
	got = decode_insn(c, buf, 15, &i[0], &ends);
	/* What is no instruction at all has length 1. */
	if (got != 1)
		assert_int_equal(got, len);
	assert_false(c->exc.pending);
	c->leave = LEAVE_NONE;
	i[0].fn(c, i, c->rip);
	return !c->exc.pending && c->leave == LEAVE_NONE;
}

void
expect_exc(struct soft_cpu *c, unsigned int vector, int64_t err)
{
	assert_true(c->exc.pending);
	assert_int_equal(c->exc.vector, vector);
	assert_int_equal(c->exc.has_err, err != NO_ERR);
	if (err != NO_ERR)
		assert_int_equal(c->exc.err, err);
	c->exc.pending = false;
}
