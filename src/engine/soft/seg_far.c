/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seg_far.c - far JMP, CALL and RET, call gates and privilege changes; loads of
 * segment registers by MOV, PUSH, POP and the LDS family.
 *
 * Intel SDM 2 (CALL, JMP, RET, MOV), SDM 3A 5.8.  AMD: no m16:64 operands; with
 * REX.W a far pointer's offset is 32 bits, CALL and RET use 8-byte slots.
 * Runs on the vCPU's thread with guest FP state live: no libc.
 */
#include "cpu.h"

#include "mmu.h"
#include "segint.h"
#include "sys.h"

/* A far pointer taken from an instruction or a gate. */
struct farptr {
	unsigned int sel;
	uint64_t off;
};

static uint64_t
trunc_rip(uint64_t off, unsigned int opsize)
{
	if (opsize == 2)
		return off & 0xffff;
	return opsize == 4 ? (uint32_t)off : off;
}

static void
load_cs(struct soft_cpu *c, const struct soft_seg *cs, unsigned int cpl,
    uint64_t rip)
{
	c->seg[SEG_CS] = *cs;
	c->seg[SEG_CS].sel = (uint16_t)((cs->sel & ~3u) | cpl);
	c->cpl = (uint8_t)cpl;
	c->rip = rip;
}

/* L and D may not both be set in long mode. */
static bool
cs_bits_ok(const struct soft_cpu *c, uint32_t ar)
{
	return !cpu_long_mode(c) || (ar & (AR_L | AR_DB)) != (AR_L | AR_DB);
}

/* --- real and virtual-8086 mode ---------------------------------------- */

static bool
far_jump_real(struct soft_cpu *c, const struct farptr *t)
{
	uint32_t limit = c->rflags & FL_VM ? 0xffff : c->seg[SEG_CS].limit;

	if (t->off > limit)
		return cpu_raise_gp(c, 0);
	seg_load_real(c, SEG_CS, t->sel);
	c->rip = t->off;
	return true;
}

static bool
far_call_real(struct soft_cpu *c, const struct farptr *t, unsigned int opsize,
    uint64_t ret_rip)
{
	uint64_t vals[2] = { c->seg[SEG_CS].sel, ret_rip };
	struct stack st;
	uint32_t limit = c->rflags & FL_VM ? 0xffff : c->seg[SEG_CS].limit;

	if (t->off > limit)
		return cpu_raise_gp(c, 0);
	stack_current(c, &st);
	if (!stack_push_frame(c, &st, vals, 2, opsize))
		return false;
	stack_commit(c, &st, st.sp);
	return far_jump_real(c, t);
}

/* --- direct transfers in protected mode -------------------------------- */

/* The code segment of a direct far JMP or CALL (not through a gate). */
static bool
check_direct_cs(struct soft_cpu *c, const struct desc *d, unsigned int sel)
{
	if (!cs_bits_ok(c, d->ar))
		return cpu_raise_gp(c, SEL_ERR(sel));
	if (d->ar & AR_C) {
		if (AR_DPL(d->ar) > c->cpl)
			return cpu_raise_gp(c, SEL_ERR(sel));
	} else if (SEL_RPL(sel) > c->cpl || AR_DPL(d->ar) != c->cpl) {
		return cpu_raise_gp(c, SEL_ERR(sel));
	}
	if (!(d->ar & AR_P))
		return cpu_raise_err(c, EXC_NP, SEL_ERR(sel));
	return true;
}

static bool
jump_code(struct soft_cpu *c, const struct farptr *t, struct desc *d)
{
	struct soft_seg cs;

	if (!check_direct_cs(c, d, t->sel))
		return false;
	desc_to_seg(d, t->sel, &cs);
	if (!cs_check_rip(c, &cs, t->off, 0) || !desc_set_accessed(c, d))
		return false;
	cs.access |= AR_A;
	load_cs(c, &cs, c->cpl, t->off);
	return true;
}

/*
 * CS and the return address are pushed one by one before the target is compared
 * with the limit (APM 3 CALL far); what was pushed stays in memory.
 */
static bool
call_code(struct soft_cpu *c, const struct farptr *t, struct desc *d,
    unsigned int opsize, uint64_t ret_rip)
{
	uint64_t old_cs = c->seg[SEG_CS].sel;
	struct soft_seg cs;
	struct stack st;

	if (!check_direct_cs(c, d, t->sel))
		return false;
	desc_to_seg(d, t->sel, &cs);
	stack_current(c, &st);
	if (!stack_push_frame(c, &st, &old_cs, 1, opsize) ||
	    !stack_push_frame(c, &st, &ret_rip, 1, opsize) ||
	    !cs_check_rip(c, &cs, t->off, 0) || !desc_set_accessed(c, d))
		return false;
	cs.access |= AR_A;
	stack_commit(c, &st, st.sp);
	load_cs(c, &cs, c->cpl, t->off);
	return true;
}

/* --- gates
 * ---------------------------------------------------------------------------
 */

/* DPL and presence of a call gate, task gate or TSS descriptor used directly.
 */
static bool
check_gate_access(struct soft_cpu *c, const struct desc *d, unsigned int sel)
{
	if (AR_DPL(d->ar) < c->cpl || AR_DPL(d->ar) < SEL_RPL(sel))
		return cpu_raise_gp(c, SEL_ERR(sel));
	if (!(d->ar & AR_P))
		return cpu_raise_err(c, EXC_NP, SEL_ERR(sel));
	return true;
}

/* Target of call gate d; in long mode gates have 16 bytes. */
static bool
gate_target(struct soft_cpu *c, const struct desc *d, unsigned int sel,
    struct farptr *ret)
{
	ret->sel = d->lo >> 16;
	ret->off = d->lo & 0xffff;
	if ((d->ar & AR_TYPE) == SYS_CALL)
		ret->off |= d->hi & 0xffff0000u;
	if (!cpu_long_mode(c))
		return true;
	if (!desc_read_high(c, sel, EXC_GP, d))
		return false;
	/* The upper half's type field must be 0 (SDM 3A 5.8.3.1). */
	if (c->mem_val >> 32 & 0x1f00)
		return cpu_raise_gp(c, SEL_ERR(sel));
	ret->off |= c->mem_val << 32;
	return true;
}

/* The gate's code segment; call: a nonconforming one may be more privileged. */
static bool
fetch_gate_cs(
    struct soft_cpu *c, const struct farptr *t, bool call, struct desc *d)
{
	uint32_t err = SEL_ERR(t->sel);
	bool same_only;

	if (sel_null(t->sel))
		return cpu_raise_gp(c, 0);
	if (!desc_read(c, t->sel, EXC_GP, 0, d))
		return false;
	same_only = !call && !(d->ar & AR_C);
	if (!ar_is_code(d->ar) || AR_DPL(d->ar) > c->cpl ||
	    (same_only && AR_DPL(d->ar) != c->cpl))
		return cpu_raise_gp(c, err);
	if (cpu_long_mode(c) && (d->ar & (AR_L | AR_DB)) != AR_L)
		return cpu_raise_gp(c, err);
	if (!(d->ar & AR_P))
		return cpu_raise_err(c, EXC_NP, err);
	return true;
}

static bool
jump_gate(struct soft_cpu *c, const struct desc *gate, unsigned int sel)
{
	struct soft_seg cs;
	struct farptr t;
	struct desc d;

	if (!check_gate_access(c, gate, sel) ||
	    !gate_target(c, gate, sel, &t) || !fetch_gate_cs(c, &t, false, &d))
		return false;
	desc_to_seg(&d, t.sel, &cs);
	if (!cs_check_rip(c, &cs, t.off, 0) || !desc_set_accessed(c, &d))
		return false;
	cs.access |= AR_A;
	load_cs(c, &cs, c->cpl, t.off);
	return true;
}

/* Parameters copied from the caller's stack, the last pushed first. */
static bool
read_params(
    struct soft_cpu *c, unsigned int count, unsigned int w, uint64_t *vals)
{
	struct stack st;

	stack_current(c, &st);
	for (unsigned int k = 0; k < count; k++) {
		if (!stack_read(c, &st, (count - 1 - k) * w, w))
			return false;
		vals[k] = c->mem_val;
	}
	return true;
}

/* The stack of the more privileged level a call gate leads to. */
static bool
gate_stack(
    struct soft_cpu *c, unsigned int cpl, struct soft_seg *ss, struct stack *st)
{
	if (!cpu_long_mode(c))
		return tss_legacy_stack(c, cpl, 0, ss, st);
	if (!tss_long_stack(c, 4 + cpl * 8, 0))
		return false;
	seg_set_null(ss, cpl, cpl);
	stack_flat64(c->mem_val, cpl, 0, st);
	return true;
}

#define CALL_PARAMS_MAX 31

static bool
call_gate_inner(struct soft_cpu *c, const struct desc *gate,
    const struct farptr *t, struct desc *d, uint64_t ret_rip)
{
	bool lm = cpu_long_mode(c);
	unsigned int w = lm ? 8 : (gate->ar & AR_TYPE) == SYS_CALL ? 4 : 2;
	unsigned int count = lm ? 0 : gate->hi & 0x1f;
	unsigned int cpl = AR_DPL(d->ar), n = 0;
	uint64_t vals[4 + CALL_PARAMS_MAX];
	struct soft_seg cs, ss = { .sel = 0 };
	struct stack st;

	if (!gate_stack(c, cpl, &ss, &st))
		return false;
	vals[n++] = c->seg[SEG_SS].sel;
	vals[n++] = c->gpr[R_RSP];
	if (!read_params(c, count, w, vals + n))
		return false;
	n += count;
	vals[n++] = c->seg[SEG_CS].sel;
	vals[n++] = ret_rip;
	desc_to_seg(d, t->sel, &cs);
	if (!cs_check_rip(c, &cs, t->off, 0) || !desc_set_accessed(c, d) ||
	    !stack_push_frame(c, &st, vals, n, w))
		return false;
	cs.access |= AR_A;
	c->seg[SEG_SS] = ss;
	stack_commit(c, &st, st.sp);
	load_cs(c, &cs, cpl, t->off);
	return true;
}

static bool
call_gate_same(struct soft_cpu *c, const struct desc *gate,
    const struct farptr *t, struct desc *d, uint64_t ret_rip)
{
	bool lm = cpu_long_mode(c);
	unsigned int w = lm ? 8 : (gate->ar & AR_TYPE) == SYS_CALL ? 4 : 2;
	uint64_t vals[2] = { c->seg[SEG_CS].sel, ret_rip };
	struct soft_seg cs;
	struct stack st;

	desc_to_seg(d, t->sel, &cs);
	/* A 64-bit gate pushes on the 64-bit stack, also from compatibility. */
	if (lm)
		stack_flat64(c->gpr[R_RSP], c->cpl, 0, &st);
	else
		stack_current(c, &st);
	if (!cs_check_rip(c, &cs, t->off, 0) || !desc_set_accessed(c, d) ||
	    !stack_push_frame(c, &st, vals, 2, w))
		return false;
	cs.access |= AR_A;
	stack_commit(c, &st, st.sp);
	load_cs(c, &cs, c->cpl, t->off);
	return true;
}

static bool
call_gate(struct soft_cpu *c, const struct desc *gate, unsigned int sel,
    uint64_t ret_rip)
{
	struct farptr t;
	struct desc d;

	if (!check_gate_access(c, gate, sel) ||
	    !gate_target(c, gate, sel, &t) || !fetch_gate_cs(c, &t, true, &d))
		return false;
	if (!(d.ar & AR_C) && AR_DPL(d.ar) < c->cpl)
		return call_gate_inner(c, gate, &t, &d, ret_rip);
	return call_gate_same(c, gate, &t, &d, ret_rip);
}

/* JMP or CALL to a task gate or a TSS. */
static bool
far_task(struct soft_cpu *c, struct desc *d, unsigned int sel,
    enum task_source src, uint64_t resume)
{
	struct desc tss;

	if (!check_gate_access(c, d, sel))
		return false;
	if ((d->ar & AR_TYPE) != SYS_TASK_GATE)
		return task_switch(c, sel, d, src, resume, -1, 0);
	sel = d->lo >> 16;
	return task_fetch_tss(c, sel, EXC_GP, 0, false, &tss) &&
	       task_switch(c, sel, &tss, src, resume, -1, 0);
}

static bool
far_system(struct soft_cpu *c, struct desc *d, unsigned int sel, bool call,
    uint64_t ret_rip)
{
	unsigned int type = d->ar & AR_TYPE;
	bool lm = cpu_long_mode(c);

	if (type == SYS_CALL || (type == SYS_CALL16 && !lm))
		return call ? call_gate(c, d, sel, ret_rip)
			    : jump_gate(c, d, sel);
	if (lm ||
	    (type != SYS_TASK_GATE && type != SYS_TSS && type != SYS_TSS16))
		return cpu_raise_gp(c, SEL_ERR(sel));
	/* A TSS must be named through the GDT. */
	if (type != SYS_TASK_GATE && (sel & 4))
		return cpu_raise_gp(c, SEL_ERR(sel));
	return far_task(c, d, sel, call ? TASK_CALL : TASK_JMP, ret_rip);
}

static bool
far_transfer(struct soft_cpu *c, const struct farptr *t, unsigned int opsize,
    bool call, uint64_t ret_rip)
{
	struct desc d;

	if (!cpu_protected(c))
		return call ? far_call_real(c, t, opsize, ret_rip)
			    : far_jump_real(c, t);
	if (sel_null(t->sel))
		return cpu_raise_gp(c, 0);
	if (!desc_read(c, t->sel, EXC_GP, 0, &d))
		return false;
	if (!(d.ar & AR_S))
		return far_system(c, &d, t->sel, call, ret_rip);
	if (!ar_is_code(d.ar))
		return cpu_raise_gp(c, SEL_ERR(t->sel));
	return call ? call_code(c, t, &d, opsize, ret_rip)
		    : jump_code(c, t, &d);
}

/* --- handlers: JMP and CALL -------------------------------------------- */

static void
far_imm(struct soft_cpu *c, const struct insn *i, uint64_t rip, bool call)
{
	struct farptr t = {
		.sel = (uint64_t)i->imm >> 32 & 0xffff,
		.off = trunc_rip((uint32_t)i->imm, i->opsize),
	};

	c->rip = rip;
	if (far_transfer(c, &t, i->opsize, call, next_rip(c, i, rip)))
		cpu_update_mode(c);
}

/* Offset, then selector: c->mem_val is the selector when it returns true. */
static bool
read_farptr(
    struct soft_cpu *c, const struct insn *i, uint64_t rip, struct farptr *t)
{
	unsigned int w = i->opsize == 2 ? 2 : 4;

	if (!sys_ea(c, i, rip, w, ACC_R) || !mem_read_slow(c, c->ea, w))
		return false;
	t->off = c->mem_val;
	/* The limit is checked for each of the two accesses. */
	if (!sys_ea(c, i, rip, w + 2, ACC_R) ||
	    !mem_read_slow(
		c, c->mode & MODE_64 ? c->ea + w : (uint32_t)(c->ea + w), 2))
		return false;
	t->sel = (unsigned int)c->mem_val;
	return true;
}

static void
far_mem(struct soft_cpu *c, const struct insn *i, uint64_t rip, bool call)
{
	struct farptr t;

	c->rip = rip;
	if (!read_farptr(c, i, rip, &t))
		return;
	if (far_transfer(c, &t, i->opsize, call, next_rip(c, i, rip)))
		cpu_update_mode(c);
}

void
sys_jmp_far_imm(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	far_imm(c, i, rip, false);
}

void
sys_jmp_far_mem(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	far_mem(c, i, rip, false);
}

void
sys_call_far_imm(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	far_imm(c, i, rip, true);
}

void
sys_call_far_mem(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	far_mem(c, i, rip, true);
}

/* --- RET far
 * ------------------------------------------------------------------------------
 */

static bool
ret_real(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int w = i->opsize;
	struct farptr t;
	struct stack st;

	stack_current(c, &st);
	if (!stack_read(c, &st, 0, w))
		return false;
	t.off = c->mem_val;
	if (!stack_read(c, &st, w, w))
		return false;
	t.sel = c->mem_val & 0xffff;
	if (!far_jump_real(c, &t))
		return false;
	stack_commit(c, &st, st.sp + 2 * w + (uint16_t)i->imm);
	return true;
}

bool
seg_fetch_return_cs(struct soft_cpu *c, unsigned int sel, struct desc *d)
{
	unsigned int rpl = SEL_RPL(sel);
	uint32_t err = SEL_ERR(sel);

	if (sel_null(sel))
		return cpu_raise_gp(c, 0);
	if (!desc_read(c, sel, EXC_GP, 0, d))
		return false;
	if (!ar_is_code(d->ar) || rpl < c->cpl || !cs_bits_ok(c, d->ar))
		return cpu_raise_gp(c, err);
	if (d->ar & AR_C ? AR_DPL(d->ar) > rpl : AR_DPL(d->ar) != rpl)
		return cpu_raise_gp(c, err);
	if (!(d->ar & AR_P))
		return cpu_raise_err(c, EXC_NP, err);
	return true;
}

bool
seg_fetch_return_ss(struct soft_cpu *c, unsigned int sel, unsigned int cpl,
    uint32_t cs_ar, struct soft_seg *ss)
{
	bool to64 = cpu_long_mode(c) && (cs_ar & AR_L);

	if (!sel_null(sel))
		return seg_fetch_ss(c, sel, cpl, EXC_GP, 0, ss);
	/* Only 64-bit code above ring 3 may run on a null SS. */
	if (!to64 || cpl == 3 || SEL_RPL(sel) != cpl)
		return cpu_raise_gp(c, 0);
	seg_set_null(ss, sel, cpl);
	return true;
}

void
seg_return_rsp(
    struct soft_cpu *c, const struct soft_seg *ss, uint32_t cs_ar, uint64_t sp)
{
	struct stack st;

	if (cpu_long_mode(c) && (cs_ar & AR_L))
		stack_flat64(sp, 0, 0, &st);
	else
		stack_of_seg(ss, sp, 0, 0, &st);
	stack_commit(c, &st, sp);
}

static bool
ret_outer(struct soft_cpu *c, const struct stack *st, unsigned int w,
    unsigned int imm, struct desc *d, struct soft_seg *cs, uint64_t rip)
{
	unsigned int cpl = SEL_RPL(cs->sel);
	struct soft_seg ss;
	uint64_t sp;

	if (!stack_read(c, st, 2 * w + imm, w))
		return false;
	sp = c->mem_val;
	if (!stack_read(c, st, 3 * w + imm, w) ||
	    !seg_fetch_return_ss(
		c, c->mem_val & 0xffff, cpl, cs->access, &ss) ||
	    !cs_check_rip(c, cs, rip, 0) || !desc_set_accessed(c, d))
		return false;
	cs->access |= AR_A;
	load_cs(c, cs, cpl, rip);
	c->seg[SEG_SS] = ss;
	seg_return_rsp(c, &ss, cs->access, sp + imm);
	seg_drop_privileged(c);
	return true;
}

static bool
ret_protected(struct soft_cpu *c, const struct insn *i)
{
	unsigned int w = i->opsize, imm = (uint16_t)i->imm, sel;
	struct soft_seg cs;
	struct stack st;
	struct desc d;
	uint64_t rip;

	stack_current(c, &st);
	if (!stack_read(c, &st, w, w))
		return false;
	sel = c->mem_val & 0xffff;
	if (!stack_read(c, &st, 0, w))
		return false;
	rip = c->mem_val;
	/* Another RPL, even a wrong one: SS and RSP are read first (APM 3). */
	if (SEL_RPL(sel) != c->cpl && (!stack_read(c, &st, 3 * w + imm, w) ||
					  !stack_read(c, &st, 2 * w + imm, w)))
		return false;
	if (!seg_fetch_return_cs(c, sel, &d))
		return false;
	desc_to_seg(&d, sel, &cs);
	if (SEL_RPL(sel) > c->cpl)
		return ret_outer(c, &st, w, imm, &d, &cs, rip);
	if (!cs_check_rip(c, &cs, rip, 0) || !desc_set_accessed(c, &d))
		return false;
	cs.access |= AR_A;
	stack_commit(c, &st, st.sp + 2 * w + imm);
	load_cs(c, &cs, c->cpl, rip);
	return true;
}

void
sys_ret_far(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	bool ok;

	c->rip = rip;
	ok = cpu_protected(c) ? ret_protected(c, i) : ret_real(c, i, rip);
	if (ok)
		cpu_update_mode(c);
}

/* --- MOV, PUSH, POP of segment registers ------------------------------- */

/* A segment register was loaded: the block ends, mode follows. */
static void
finish_load(struct soft_cpu *c, const struct insn *i, uint64_t rip, bool is_ss)
{
	c->rip = next_rip(c, i, rip);
	if (is_ss) {
		c->intr_shadow = true;
		c->ss_shadow = true;
	}
	cpu_update_mode(c);
}

void
sys_mov_to_sreg(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->rip = rip;
	if (i->r1 == SEG_CS || i->r1 > SEG_GS) {
		cpu_raise_ud(c);
		return;
	}
	if (!sys_get_rm(c, i, rip, 2) ||
	    !seg_load(c, i->r1, (uint16_t)c->mem_val))
		return;
	finish_load(c, i, rip, i->r1 == SEG_SS);
}

void
sys_mov_from_sreg(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int size = i->x & INSN_HASMEM ? 2 : i->opsize;

	if (i->r1 > SEG_GS)
		RAISE_UD(c, rip);
	if (!sys_put_rm(c, i, rip, size, c->seg[i->r1].sel))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}

static bool
push_sreg(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t val = c->seg[i->r1].sel;
	struct stack st;

	c->rip = rip;
	stack_current(c, &st);
	if (!stack_push_frame(c, &st, &val, 1, i->opsize))
		return false;
	stack_commit(c, &st, st.sp);
	return true;
}

void
sys_push_sreg(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!push_sreg(c, i, rip))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}

void
sys_pop_sreg(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	struct stack st;

	c->rip = rip;
	stack_current(c, &st);
	if (!stack_read(c, &st, 0, i->opsize) ||
	    !seg_load(c, i->r1, (uint16_t)c->mem_val))
		return;
	/* As wide as the stack was when the pop began. */
	stack_commit(c, &st, st.sp + i->opsize);
	finish_load(c, i, rip, i->r1 == SEG_SS);
}

/* --- LDS LES LFS LGS LSS: row argument = segment ----------------------- */

void
sys_load_farptr(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int seg = i->x & 0xff;
	struct farptr t;

	c->rip = rip;
	if (!(i->x & INSN_HASMEM)) {
		cpu_raise_ud(c);
		return;
	}
	if (!read_farptr(c, i, rip, &t) || !seg_load(c, seg, t.sel))
		return;
	/* LSS has no interrupt shadow: it loads both halves at once. */
	reg_set(c, i->r1, i->opsize == 2 ? 2 : 4, t.off);
	finish_load(c, i, rip, false);
}
