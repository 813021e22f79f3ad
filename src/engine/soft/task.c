/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * task.c - hardware task switches: 16- and 32-bit TSS, by JMP, CALL, IRET and
 * task gates.  Intel SDM 3A chapter 8 (7 in older editions), 7.3.
 *
 * The switch has a point of no return, as in hardware: up to it every fault
 * leaves the old task as it was; from it on faults belong to the new task
 * (c->rip is its EIP then) and are #TS, #NP, #SS with the selector.
 * Runs on the vCPU's thread with guest FP state live: no libc.
 */
#include "cpu.h"

#include "mmu.h"
#include "segint.h"
#include "sys.h"

/* Where things lie in a TSS. */
struct tss_layout {
	uint8_t w; /* bytes a register takes */
	uint8_t eip, eflags, regs, segs, ldt;
	uint8_t nsegs;
	uint8_t min_limit;
};

static const struct tss_layout layout16 = { .w = 2,
	.eip = 0x0e,
	.eflags = 0x10,
	.regs = 0x12,
	.segs = 0x22,
	.ldt = 0x2a,
	.nsegs = 4,
	.min_limit = 0x2b };
static const struct tss_layout layout32 = { .w = 4,
	.eip = 0x20,
	.eflags = 0x24,
	.regs = 0x28,
	.segs = 0x48,
	.ldt = 0x60,
	.nsegs = 6,
	.min_limit = 0x67 };

#define TSS_CR3	  0x1c
#define TSS_TRAP  0x64
#define DR6_BT	  0x8000u
#define DR7_LOCAL 0x155u /* L0-L3 and LE */

struct new_task {
	uint64_t base;
	uint32_t cr3, eip, eflags;
	uint32_t reg[8];
	uint16_t seg[6];
	uint16_t ldt;
	bool trap;
};

static const struct tss_layout *
layout_of(uint32_t ar)
{
	return ar & 8 ? &layout32 : &layout16;
}

bool
task_fetch_tss(struct soft_cpu *c, unsigned int sel, unsigned int vector,
    uint32_t ext, bool busy, struct desc *ret)
{
	unsigned int type;

	if ((sel & 4) || sel_null(sel))
		return cpu_raise_err(c, vector, SEL_ERR(sel) | ext);
	if (!desc_read(c, sel, vector, ext, ret))
		return false;
	/* A busy TSS is the available one plus 2. */
	type = (ret->ar & AR_TYPE) - (busy ? 2 : 0);
	if (type != SYS_TSS && type != SYS_TSS16)
		return cpu_raise_err(c, vector, SEL_ERR(sel) | ext);
	if (!(ret->ar & AR_P))
		return cpu_raise_err(c, EXC_NP, SEL_ERR(sel) | ext);
	return true;
}

/* --- before the point of no return ------------------------------------------
 */

static bool
tss_get(struct soft_cpu *c, uint64_t base, unsigned int off, unsigned int w,
    uint32_t *ret)
{
	if (!sys_read(c, sys_la(c, base + off), w))
		return false;
	*ret = (uint32_t)c->mem_val;
	return true;
}

static bool
read_task(struct soft_cpu *c, const struct tss_layout *l, struct new_task *t)
{
	uint32_t val;

	t->cr3 = 0;
	t->trap = false;
	if (l->w == 4) {
		if (!tss_get(c, t->base, TSS_CR3, 4, &t->cr3) ||
		    !tss_get(c, t->base, TSS_TRAP, 2, &val))
			return false;
		t->trap = val & 1;
	}
	if (!tss_get(c, t->base, l->eip, l->w, &t->eip) ||
	    !tss_get(c, t->base, l->eflags, l->w, &t->eflags))
		return false;
	for (unsigned int n = 0; n < 8; n++) {
		if (!tss_get(c, t->base, l->regs + n * l->w, l->w, &val))
			return false;
		t->reg[n] = l->w == 2 ? val | 0xffff0000u : val;
	}
	t->seg[SEG_FS] = t->seg[SEG_GS] = 0;
	for (unsigned int n = 0; n < l->nsegs; n++) {
		if (!tss_get(c, t->base, l->segs + n * l->w, 2, &val))
			return false;
		t->seg[n] = (uint16_t)val;
	}
	if (!tss_get(c, t->base, l->ldt, 2, &val))
		return false;
	t->ldt = (uint16_t)val;
	return true;
}

static bool
tss_put(struct soft_cpu *c, uint64_t base, unsigned int off, unsigned int w,
    uint64_t val)
{
	return sys_write(c, sys_la(c, base + off), w, val);
}

/*
 * The old task's registers.  Faults here leave a half-written TSS, which the
 * restarted instruction writes again.
 */
static bool
save_task(struct soft_cpu *c, const struct tss_layout *l, uint64_t eip,
    uint32_t eflags)
{
	uint64_t base = c->seg[SEG_TR].base;

	if (!tss_put(c, base, l->eip, l->w, eip) ||
	    !tss_put(c, base, l->eflags, l->w, eflags))
		return false;
	for (unsigned int n = 0; n < 8; n++)
		if (!tss_put(c, base, l->regs + n * l->w, l->w, c->gpr[n]))
			return false;
	for (unsigned int n = 0; n < l->nsegs; n++)
		if (!tss_put(c, base, l->segs + n * l->w, 2, c->seg[n].sel))
			return false;
	return true;
}

static bool
set_busy(struct soft_cpu *c, uint64_t desc_la, bool busy)
{
	unsigned int ar;

	if (!sys_read(c, desc_la + 5, 1))
		return false;
	ar = (unsigned int)c->mem_val & ~2u;
	return sys_write(c, desc_la + 5, 1, busy ? ar | 2 : ar);
}

/* Busy bits and the back link (SDM 3A table 8-2). */
static bool
update_tss_links(
    struct soft_cpu *c, struct desc *d, enum task_source src, uint64_t base)
{
	uint16_t old = c->seg[SEG_TR].sel;

	if ((src == TASK_JMP || src == TASK_IRET) &&
	    !set_busy(c, sys_la(c, c->gdtr.base + (old & 0xfff8)), false))
		return false;
	if (src == TASK_IRET)
		return true;
	if (src != TASK_JMP && !tss_put(c, base, 0, 2, old))
		return false;
	return set_busy(c, d->la, true);
}

/* --- the new task ------------------------------------------------------ */

static void
load_registers(
    struct soft_cpu *c, const struct new_task *t, enum task_source src)
{
	uint32_t flags = t->eflags;

	for (unsigned int n = 0; n < 8; n++)
		c->gpr[n] = t->reg[n];
	if (src == TASK_CALL || src == TASK_EVENT)
		flags |= FL_NT;
	cpu_set_rflags(c, flags, 0x003f7fd5u);
	c->rip = t->eip;
	/* Selectors now, descriptors later: until then nothing is valid. */
	for (unsigned int n = 0; n < 6; n++) {
		if (c->rflags & FL_VM)
			seg_set_v86(&c->seg[n], t->seg[n]);
		else
			seg_set_null(&c->seg[n], t->seg[n], 0);
	}
	seg_set_null(&c->seg[SEG_LDTR], t->ldt, 0);
	c->cpl = c->rflags & FL_VM ? 3 : SEL_RPL(t->seg[SEG_CS]);
	c->dr7 &= ~(uint64_t)DR7_LOCAL;
	c->cr0 |= CR0_TS;
}

static bool
load_task_ldt(struct soft_cpu *c, uint32_t ext)
{
	unsigned int sel = c->seg[SEG_LDTR].sel;
	struct desc d;

	if (sel_null(sel))
		return true;
	if (sel & 4)
		return cpu_raise_err(c, EXC_TS, SEL_ERR(sel) | ext);
	if (!desc_read(c, sel, EXC_TS, ext, &d))
		return false;
	if ((d.ar & AR_TYPE) != SYS_LDT || !(d.ar & AR_P))
		return cpu_raise_err(c, EXC_TS, SEL_ERR(sel) | ext);
	desc_to_seg(&d, sel, &c->seg[SEG_LDTR]);
	return true;
}

static bool
load_task_cs(struct soft_cpu *c, uint32_t ext)
{
	unsigned int sel = c->seg[SEG_CS].sel, rpl = SEL_RPL(sel);
	uint32_t err = SEL_ERR(sel) | ext;
	struct desc d;

	if (sel_null(sel))
		return cpu_raise_err(c, EXC_TS, ext);
	if (!desc_read(c, sel, EXC_TS, ext, &d))
		return false;
	if (!ar_is_code(d.ar) ||
	    (d.ar & AR_C ? AR_DPL(d.ar) > rpl : AR_DPL(d.ar) != rpl))
		return cpu_raise_err(c, EXC_TS, err);
	if (!(d.ar & AR_P))
		return cpu_raise_err(c, EXC_NP, err);
	if (!desc_set_accessed(c, &d))
		return false;
	desc_to_seg(&d, sel, &c->seg[SEG_CS]);
	return true;
}

static bool
load_task_data(struct soft_cpu *c, unsigned int seg, uint32_t ext)
{
	unsigned int sel = c->seg[seg].sel, rpl = SEL_RPL(sel);
	uint32_t err = SEL_ERR(sel) | ext;
	bool conforming;
	struct desc d;

	if (sel_null(sel))
		return true;
	if (!desc_read(c, sel, EXC_TS, ext, &d))
		return false;
	conforming = (d.ar & (AR_CODE | AR_C)) == (AR_CODE | AR_C);
	if (!(d.ar & AR_S) || (d.ar & (AR_CODE | AR_R)) == AR_CODE ||
	    (!conforming && (AR_DPL(d.ar) < rpl || AR_DPL(d.ar) < c->cpl)))
		return cpu_raise_err(c, EXC_TS, err);
	if (!(d.ar & AR_P))
		return cpu_raise_err(c, EXC_NP, err);
	if (!desc_set_accessed(c, &d))
		return false;
	desc_to_seg(&d, sel, &c->seg[seg]);
	return true;
}

/* Descriptors of the new task, in the order hardware checks them. */
static bool
load_descriptors(struct soft_cpu *c, uint32_t ext)
{
	static const uint8_t data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

	if (!load_task_ldt(c, ext))
		return false;
	if (c->rflags & FL_VM)
		return true;
	if (!load_task_cs(c, ext) || !seg_fetch_ss(c, c->seg[SEG_SS].sel,
					 c->cpl, EXC_TS, ext, &c->seg[SEG_SS]))
		return false;
	for (unsigned int n = 0; n < ARRAY_LEN(data); n++)
		if (!load_task_data(c, data[n], ext))
			return false;
	return true;
}

static bool
push_error(struct soft_cpu *c, int64_t err, uint32_t ext, unsigned int w)
{
	uint64_t val = (uint64_t)err;
	struct stack st;

	if (err < 0)
		return true;
	stack_current(c, &st);
	st.err = ext;
	if (!stack_push_frame(c, &st, &val, 1, w))
		return false;
	stack_commit(c, &st, st.sp);
	return true;
}

static bool
enter_task(struct soft_cpu *c, const struct new_task *t, int64_t err,
    uint32_t ext, unsigned int w)
{
	bool ok = load_descriptors(c, ext);

	cpu_update_mode(c);
	if (!ok || !push_error(c, err, ext, w))
		return false;
	if (c->rip > c->seg[SEG_CS].limit)
		return cpu_raise_gp(c, ext);
	if (t->trap) {
		cpu_raise(c, EXC_DB);
		c->exc.dr6 = DR6_BT;
	}
	return true;
}

/* --- the switch -------------------------------------------------------- */

static bool
switch_cr3(struct soft_cpu *c, uint32_t cr3)
{
	if ((c->cr4 & CR4_PAE) && !mmu_load_pdptes(c, cr3))
		return false;
	c->cr3 = cr3;
	tlb_flush_nonglobal(c);
	return true;
}

bool
task_switch(struct soft_cpu *c, unsigned int sel, struct desc *d,
    enum task_source src, uint64_t resume, int64_t err, uint32_t ext)
{
	const struct tss_layout *l = layout_of(d->ar);
	const struct tss_layout *old = layout_of(c->seg[SEG_TR].access);
	uint32_t flags = cpu_rflags(c);
	struct new_task t = { .base = desc_base(d) };

	if (desc_limit(d) < l->min_limit)
		return cpu_raise_err(c, EXC_TS, SEL_ERR(sel) | ext);
	if (c->seg[SEG_TR].limit < old->min_limit)
		return cpu_raise_err(
		    c, EXC_TS, SEL_ERR(c->seg[SEG_TR].sel) | ext);
	if (src == TASK_IRET)
		flags &= ~FL_NT;
	if (!read_task(c, l, &t) || !save_task(c, old, resume, flags) ||
	    !update_tss_links(c, d, src, t.base))
		return false;
	/* The point of no return. */
	d->ar |= 2;
	desc_to_seg(d, sel, &c->seg[SEG_TR]);
	load_registers(c, &t, src);
	c->intr_shadow = false;
	c->ss_shadow = false;
	if (l->w == 4 && (c->cr0 & CR0_PG) && !switch_cr3(c, t.cr3)) {
		cpu_update_mode(c);
		return false;
	}
	return enter_task(c, &t, err, ext, l->w);
}
