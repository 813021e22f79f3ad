/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seg_iret.c - IRET in every mode and width: real, virtual-8086, to an outer
 * level, to virtual-8086 mode, from a nested task, 64-bit.
 *
 * Intel SDM 2A IRET, SDM 3A 6.12.1; AMD APM 3 IRET.  Missing on purpose: VME.
 * Runs on the vCPU's thread with guest FP state live: no libc.
 */
#include "cpu.h"

#include "mmu.h"
#include "segint.h"
#include "sys.h"

struct iret_frame {
	struct stack st;
	uint64_t rip;
	unsigned int cs;
	uint32_t flags;
	unsigned int w;
};

static bool
read_frame(struct soft_cpu *c, unsigned int w, struct iret_frame *f)
{
	f->w = w;
	stack_current(c, &f->st);
	if (!stack_read(c, &f->st, 0, w))
		return false;
	f->rip = c->mem_val;
	if (!stack_read(c, &f->st, w, w))
		return false;
	f->cs = c->mem_val & 0xffff;
	if (!stack_read(c, &f->st, 2 * w, w))
		return false;
	f->flags = (uint32_t)c->mem_val;
	return true;
}

/*
 * RF only matters to instruction breakpoints, and the next instruction clears
 * it anyway; without breakpoints it is never set (sys.h).
 */
static void
set_flags(struct soft_cpu *c, uint32_t flags, uint32_t mask)
{
	cpu_set_rflags(c, flags, mask);
	if (!cpu_has_exec_breakpoints(c))
		c->rflags &= ~FL_RF;
}

/* --- real and virtual-8086 mode ---------------------------------------- */

static bool
iret_real(struct soft_cpu *c, unsigned int w)
{
	struct iret_frame f;
	uint32_t limit = c->rflags & FL_VM ? 0xffff : c->seg[SEG_CS].limit;

	if ((c->rflags & FL_VM) && cpu_iopl(c) != 3)
		return cpu_raise_gp(c, 0);
	if (!read_frame(c, w, &f))
		return false;
	if (f.rip > limit)
		return cpu_raise_gp(c, 0);
	stack_commit(c, &f.st, f.st.sp + 3 * w);
	seg_load_real(c, SEG_CS, f.cs);
	c->rip = f.rip;
	set_flags(c, f.flags, flags_change_mask(c, w));
	return true;
}

/* --- to virtual-8086 mode ---------------------------------------------- */

#define V86_FRAME_WORDS 9 /* EIP CS EFLAGS ESP SS ES DS FS GS */

static bool
iret_to_v86(struct soft_cpu *c, struct iret_frame *f)
{
	static const uint8_t order[] = { SEG_SS, SEG_ES, SEG_DS, SEG_FS,
		SEG_GS };
	uint32_t w[V86_FRAME_WORDS];

	for (unsigned int k = 3; k < V86_FRAME_WORDS; k++) {
		if (!stack_read(c, &f->st, k * 4, 4))
			return false;
		w[k] = (uint32_t)c->mem_val;
	}
	if (f->rip > 0xffff)
		return cpu_raise_gp(c, 0);
	set_flags(c, f->flags, 0x003f7fd5);
	c->gpr[R_RSP] = w[3];
	seg_set_v86(&c->seg[SEG_CS], f->cs);
	for (unsigned int k = 0; k < ARRAY_LEN(order); k++)
		seg_set_v86(&c->seg[order[k]], w[4 + k] & 0xffff);
	c->cpl = 3;
	c->rip = f->rip;
	return true;
}

/* --- from a nested task ------------------------------------------------ */

static bool
iret_task(struct soft_cpu *c, uint64_t next)
{
	const struct soft_seg *tr = &c->seg[SEG_TR];
	struct desc d;
	unsigned int sel;

	if (!sys_read(c, sys_la(c, tr->base), 2))
		return false;
	sel = c->mem_val & 0xffff;
	return task_fetch_tss(c, sel, EXC_TS, 0, true, &d) &&
	       task_switch(c, sel, &d, TASK_IRET, next, -1, 0);
}

/* --- protected and long mode ------------------------------------------- */

static bool
iret_protected(struct soft_cpu *c, struct iret_frame *f)
{
	/* From 64-bit code SS:RSP is always there. */
	unsigned int cpl = SEL_RPL(f->cs), old = c->cpl;
	bool pop_ss = (c->mode & MODE_64) || cpl != c->cpl;
	uint32_t mask = flags_change_mask(c, f->w);
	struct soft_seg cs, ss;
	struct desc d;
	uint64_t sp = 0;
	unsigned int ss_sel = 0;

	/* Also with an RPL that will not do: before anything is checked. */
	if (pop_ss) {
		if (!stack_read(c, &f->st, 4 * f->w, f->w))
			return false;
		ss_sel = c->mem_val & 0xffff;
		if (!stack_read(c, &f->st, 3 * f->w, f->w))
			return false;
		sp = c->mem_val;
	}
	if (!seg_fetch_return_cs(c, f->cs, &d))
		return false;
	desc_to_seg(&d, f->cs, &cs);
	/* RIP before SS, as AMD's processors (SDM 2A has SS first). */
	if (!cs_check_rip(c, &cs, f->rip, 0))
		return false;
	if (pop_ss && !seg_fetch_return_ss(c, ss_sel, cpl, cs.access, &ss))
		return false;
	if (!desc_set_accessed(c, &d))
		return false;
	cs.access |= AR_A;
	c->seg[SEG_CS] = cs;
	c->cpl = (uint8_t)cpl;
	c->rip = f->rip;
	set_flags(c, f->flags, mask);
	if (pop_ss) {
		c->seg[SEG_SS] = ss;
		seg_return_rsp(c, &ss, cs.access, sp);
	} else {
		stack_commit(c, &f->st, f->st.sp + 3 * f->w);
	}
	if (cpl > old)
		seg_drop_privileged(c);
	return true;
}

static bool
iret(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	struct iret_frame f;
	unsigned int w = i->opsize;

	/* Blocking of NMIs ends even when the IRET faults (SDM 6.7.1). */
	c->nmi_blocked = false;
	if (!cpu_protected(c))
		return iret_real(c, w);
	if (c->rflags & FL_NT) {
		if (cpu_long_mode(c))
			return cpu_raise_gp(c, 0);
		return iret_task(c, next_rip(c, i, rip));
	}
	if (!read_frame(c, w, &f))
		return false;
	if ((f.flags & FL_VM) && w == 4 && c->cpl == 0 && !cpu_long_mode(c))
		return iret_to_v86(c, &f);
	return iret_protected(c, &f);
}

void
sys_iret(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->rip = rip;
	if (iret(c, i, rip))
		cpu_update_mode(c);
}
