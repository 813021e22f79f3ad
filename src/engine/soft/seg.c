/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seg.c - descriptors, loading segment registers, and the stacks of control
 * transfers.  Intel SDM 3A chapters 3 and 5.
 *
 * AMD's ways: a null selector clears the base (CPUID 0x80000021 EAX[6]), and
 * LFS, LGS, LSS have no 16:64 form.
 * Runs on the vCPU's thread with guest FP state live: no libc.
 */
#include "cpu.h"

#include "mmu.h"
#include "segint.h"
#include "sys.h"

/* --- descriptors -----------------------------------------------------------
 */

uint32_t
desc_limit(const struct desc *d)
{
	uint32_t limit = (d->lo & 0xffff) | (d->hi & 0x000f0000);

	return d->ar & AR_G ? limit << 12 | 0xfff : limit;
}

uint32_t
desc_base(const struct desc *d)
{
	return d->lo >> 16 | (d->hi & 0xff) << 16 | (d->hi & 0xff000000);
}

/* Where sel's descriptor lies; false: outside its table. */
static bool
desc_locate(
    const struct soft_cpu *c, unsigned int sel, unsigned int len, uint64_t *la)
{
	unsigned int last = (sel & 0xfff8) + len - 1;
	const struct soft_seg *ldt = &c->seg[SEG_LDTR];

	if (sel & 4) {
		if ((ldt->access & AR_UNUSABLE) || last > ldt->limit)
			return false;
		*la = sys_la(c, ldt->base + (sel & 0xfff8));
		return true;
	}
	if (last > c->gdtr.limit)
		return false;
	*la = sys_la(c, c->gdtr.base + (sel & 0xfff8));
	return true;
}

bool
desc_probe(
    struct soft_cpu *c, unsigned int sel, struct desc *ret, bool *ret_fault)
{
	uint64_t la;

	*ret_fault = false;
	if (sel_null(sel) || !desc_locate(c, sel, 8, &la))
		return false;
	if (!sys_read(c, la, 8)) {
		*ret_fault = true;
		return false;
	}
	ret->la = la;
	ret->lo = (uint32_t)c->mem_val;
	ret->hi = (uint32_t)(c->mem_val >> 32);
	ret->ar = ret->hi >> 8 & 0xf0ff;
	return true;
}

bool
desc_read(struct soft_cpu *c, unsigned int sel, unsigned int vector,
    uint32_t ext, struct desc *ret)
{
	bool fault;

	if (desc_probe(c, sel, ret, &fault))
		return true;
	if (fault)
		return false;
	return cpu_raise_err(c, vector, SEL_ERR(sel) | ext);
}

bool
desc_read_high(struct soft_cpu *c, unsigned int sel, unsigned int vector,
    const struct desc *d)
{
	uint64_t la;

	if (!desc_locate(c, sel, 16, &la))
		return cpu_raise_err(c, vector, SEL_ERR(sel));
	return sys_read(c, d->la + 8, 8);
}

bool
desc_set_accessed(struct soft_cpu *c, struct desc *d)
{
	if (d->ar & AR_A)
		return true;
	if (!sys_write(c, d->la + 5, 1, (d->hi >> 8 & 0xff) | AR_A))
		return false;
	d->ar |= AR_A;
	d->hi |= AR_A << 8;
	return true;
}

void
desc_to_seg(const struct desc *d, unsigned int sel, struct soft_seg *ret)
{
	ret->base = desc_base(d);
	ret->limit = desc_limit(d);
	ret->access = d->ar;
	ret->sel = (uint16_t)sel;
}

/* --- loading ---------------------------------------------------------------
 */

void
seg_set_null(struct soft_seg *s, unsigned int sel, unsigned int dpl)
{
	s->base = 0;
	s->limit = 0;
	s->access = AR_UNUSABLE | dpl << AR_DPL_SHIFT;
	s->sel = (uint16_t)sel;
}

void
seg_set_v86(struct soft_seg *s, unsigned int sel)
{
	s->base = (uint64_t)(sel & 0xffff) << 4;
	s->limit = 0xffff;
	s->access = AR_P | 3u << AR_DPL_SHIFT | AR_S | AR_W | AR_A;
	s->sel = (uint16_t)sel;
}

/*
 * Real mode changes selector and base only: limit, B and G survive from
 * protected mode ("unreal" mode).
 */
void
seg_load_real(struct soft_cpu *c, unsigned int seg, unsigned int sel)
{
	struct soft_seg *s = &c->seg[seg];

	if (c->rflags & FL_VM) {
		seg_set_v86(s, sel);
		return;
	}
	if (s->access & AR_UNUSABLE)
		s->limit = 0xffff;
	s->base = (uint64_t)(sel & 0xffff) << 4;
	s->access = (s->access & (AR_DB | AR_G)) | AR_P | AR_S | AR_W | AR_A;
	s->sel = (uint16_t)sel;
}

bool
seg_fetch_ss(struct soft_cpu *c, unsigned int sel, unsigned int cpl,
    unsigned int vector, uint32_t ext, struct soft_seg *ret)
{
	struct desc d;

	if (sel_null(sel))
		return cpu_raise_err(c, vector, ext);
	if (!desc_read(c, sel, vector, ext, &d))
		return false;
	if (SEL_RPL(sel) != cpl || !ar_is_writable_data(d.ar) ||
	    AR_DPL(d.ar) != cpl)
		return cpu_raise_err(c, vector, SEL_ERR(sel) | ext);
	if (!(d.ar & AR_P))
		return cpu_raise_err(c, EXC_SS, SEL_ERR(sel) | ext);
	if (!desc_set_accessed(c, &d))
		return false;
	desc_to_seg(&d, sel, ret);
	return true;
}

static bool
load_ss(struct soft_cpu *c, unsigned int sel)
{
	struct soft_seg ss;

	if (sel_null(sel)) {
		if (!(c->mode & MODE_64) || c->cpl == 3 ||
		    SEL_RPL(sel) != c->cpl)
			return cpu_raise_gp(c, 0);
		seg_set_null(&c->seg[SEG_SS], sel, c->cpl);
		return true;
	}
	if (!seg_fetch_ss(c, sel, c->cpl, EXC_GP, 0, &ss))
		return false;
	c->seg[SEG_SS] = ss;
	return true;
}

/* Data, or readable code; for all but conforming code also privileged. */
static bool
data_ar_ok(uint32_t ar, unsigned int rpl, unsigned int cpl)
{
	if (!(ar & AR_S) || (ar & (AR_CODE | AR_R)) == AR_CODE)
		return false;
	if ((ar & (AR_CODE | AR_C)) == (AR_CODE | AR_C))
		return true;
	return AR_DPL(ar) >= rpl && AR_DPL(ar) >= cpl;
}

static bool
load_data(struct soft_cpu *c, unsigned int seg, unsigned int sel)
{
	struct desc d;

	if (sel_null(sel)) {
		seg_set_null(&c->seg[seg], sel, 0);
		return true;
	}
	if (!desc_read(c, sel, EXC_GP, 0, &d))
		return false;
	if (!data_ar_ok(d.ar, SEL_RPL(sel), c->cpl))
		return cpu_raise_gp(c, SEL_ERR(sel));
	if (!(d.ar & AR_P))
		return cpu_raise_err(c, EXC_NP, SEL_ERR(sel));
	if (!desc_set_accessed(c, &d))
		return false;
	desc_to_seg(&d, sel, &c->seg[seg]);
	return true;
}

bool
seg_load(struct soft_cpu *c, unsigned int seg, unsigned int sel)
{
	if (!cpu_protected(c)) {
		seg_load_real(c, seg, sel);
		return true;
	}
	return seg == SEG_SS ? load_ss(c, sel) : load_data(c, seg, sel);
}

void
seg_drop_privileged(struct soft_cpu *c)
{
	static const uint8_t segs[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

	for (unsigned int n = 0; n < ARRAY_LEN(segs); n++) {
		struct soft_seg *s = &c->seg[segs[n]];
		uint32_t conf = AR_CODE | AR_C;

		if ((s->access & AR_UNUSABLE) || AR_DPL(s->access) >= c->cpl ||
		    (s->access & conf) == conf)
			continue;
		seg_set_null(s, 0, 0);
	}
}

bool
cs_check_rip(
    struct soft_cpu *c, const struct soft_seg *cs, uint64_t rip, uint32_t ext)
{
	if (cpu_long_mode(c) && (cs->access & AR_L))
		return cpu_is_canonical(rip) || cpu_raise_gp(c, ext);
	return rip <= cs->limit || cpu_raise_gp(c, ext);
}

/* --- stacks ------------------------------------------------------------ */

void
stack_flat64(uint64_t sp, unsigned int cpl, uint32_t err, struct stack *ret)
{
	ret->sp = sp;
	ret->mask = UINT64_MAX;
	ret->base = 0;
	ret->limit = UINT32_MAX;
	ret->ar = AR_S | AR_W;
	ret->cpl = (uint8_t)cpl;
	ret->flat = true;
	ret->err = err;
}

void
stack_of_seg(const struct soft_seg *ss, uint64_t sp, unsigned int cpl,
    uint32_t err, struct stack *ret)
{
	ret->sp = sp;
	ret->mask = ss->access & AR_DB ? 0xffffffffull : 0xffffull;
	ret->base = ss->base;
	ret->limit = ss->limit;
	ret->ar = ss->access;
	ret->cpl = (uint8_t)cpl;
	ret->flat = false;
	ret->err = err;
}

void
stack_current(const struct soft_cpu *c, struct stack *ret)
{
	if (c->mode & MODE_64)
		stack_flat64(c->gpr[R_RSP], c->cpl, 0, ret);
	else
		stack_of_seg(&c->seg[SEG_SS], c->gpr[R_RSP], c->cpl, 0, ret);
}

void
stack_commit(struct soft_cpu *c, const struct stack *st, uint64_t sp)
{
	if (st->mask == 0xffff)
		sp = (c->gpr[R_RSP] & ~0xffffull) | (sp & 0xffff);
	c->gpr[R_RSP] = st->flat ? sp : (uint32_t)sp;
}

/* [off, off+len) lies inside the stack segment. */
static bool
stack_range_ok(const struct stack *st, uint64_t off, uint64_t len)
{
	uint64_t last = off + len - 1;

	if (st->flat)
		return cpu_is_canonical(off) && cpu_is_canonical(last);
	if (st->ar & AR_UNUSABLE)
		return false;
	if ((st->ar & (AR_S | AR_CODE | AR_E)) == (AR_S | AR_E))
		return off > st->limit &&
		       last <= (st->ar & AR_DB ? 0xffffffffull : 0xffffull);
	return last <= st->limit;
}

static uint64_t
stack_la(const struct stack *st, uint64_t off)
{
	return st->flat ? off : (uint32_t)(st->base + off);
}

static void
store_host(void *p, uint64_t val, unsigned int w)
{
	if (w == 8)
		HOST_ST(uint64_t, p, val);
	else if (w == 4)
		HOST_ST(uint32_t, p, val);
	else
		HOST_ST(uint16_t, p, val);
}

/* The frame is one range: probe it as a whole, then store downwards. */
static bool
push_range(struct soft_cpu *c, uint64_t la, const uint64_t *vals,
    unsigned int n, unsigned int w)
{
	char *p = tlb_write_ptr(c, la, n * w);

	if (likely(p != NULL)) {
		for (unsigned int k = 0; k < n; k++)
			store_host(p + (n - 1 - k) * w, vals[k], w);
		return true;
	}
	if (!mem_probe_write(c, la, n * w))
		return false;
	for (unsigned int k = 0; k < n; k++)
		if (!mem_write_slow(c, la + (n - 1 - k) * w, w, vals[k]))
			return false;
	return true;
}

/* SP wraps inside the frame. */
static bool
push_wrapping(struct soft_cpu *c, const struct stack *st, const uint64_t *vals,
    unsigned int n, unsigned int w)
{
	uint64_t off;

	for (unsigned int k = 0; k < n; k++) {
		off = (st->sp - (k + 1) * w) & st->mask;
		if (!stack_range_ok(st, off, w))
			return cpu_raise_err(c, EXC_SS, st->err);
		if (!mem_probe_write(c, stack_la(st, off), w))
			return false;
	}
	for (unsigned int k = 0; k < n; k++) {
		off = (st->sp - (k + 1) * w) & st->mask;
		if (!mem_write_slow(c, stack_la(st, off), w, vals[k]))
			return false;
	}
	return true;
}

bool
stack_push_frame(struct soft_cpu *c, struct stack *st, const uint64_t *vals,
    unsigned int n, unsigned int w)
{
	uint64_t len = (uint64_t)n * w, sp = st->sp & st->mask;
	uint64_t low = (sp - len) & st->mask;
	unsigned int cpl = c->cpl;
	uint32_t mode = c->mode;
	bool ok;

	c->acc_seg = SEG_SS;
	cpu_set_view(c, st->cpl);
	/* A 64-bit gate's stack, whatever code it was called from. */
	if (st->flat)
		c->mode |= MODE_64;
	if (sp != 0 && sp < len)
		ok = push_wrapping(c, st, vals, n, w);
	else if (!stack_range_ok(st, low, len))
		ok = cpu_raise_err(c, EXC_SS, st->err);
	else
		ok = push_range(c, stack_la(st, low), vals, n, w);
	c->mode = mode;
	cpu_set_view(c, cpl);
	if (ok)
		st->sp = low;
	return ok;
}

bool
stack_read(struct soft_cpu *c, const struct stack *st, unsigned int off,
    unsigned int w)
{
	uint64_t at = (st->sp + off) & st->mask, la;
	const void *p;

	if (!stack_range_ok(st, at, w))
		return cpu_raise_err(c, EXC_SS, st->err);
	la = stack_la(st, at);
	p = tlb_read_ptr(c, la, w);
	if (likely(p != NULL)) {
		c->mem_val = w == 8   ? HOST_LD(uint64_t, p)
			     : w == 4 ? HOST_LD(uint32_t, p)
				      : HOST_LD(uint16_t, p);
		return true;
	}
	c->acc_seg = SEG_SS;
	return mem_read_slow(c, la, w);
}

/* --- stacks in the TSS ------------------------------------------------- */

bool
tss_legacy_stack(struct soft_cpu *c, unsigned int cpl, uint32_t ext,
    struct soft_seg *ret_ss, struct stack *ret_st)
{
	const struct soft_seg *tr = &c->seg[SEG_TR];
	bool tss32 = tr->access & 8;
	unsigned int w = tss32 ? 4 : 2;
	unsigned int off = w + cpl * w * 2;
	uint64_t sp;

	if (off + w + 1 > tr->limit)
		return cpu_raise_err(c, EXC_TS, SEL_ERR(tr->sel) | ext);
	if (!sys_read(c, sys_la(c, tr->base + off), w))
		return false;
	sp = c->mem_val;
	if (!sys_read(c, sys_la(c, tr->base + off + w), 2))
		return false;
	if (!seg_fetch_ss(c, (uint16_t)c->mem_val, cpl, EXC_TS, ext, ret_ss))
		return false;
	stack_of_seg(ret_ss, sp, cpl, SEL_ERR(ret_ss->sel) | ext, ret_st);
	return true;
}

bool
tss_long_stack(struct soft_cpu *c, unsigned int off, uint32_t ext)
{
	const struct soft_seg *tr = &c->seg[SEG_TR];

	if (off + 7 > tr->limit)
		return cpu_raise_err(c, EXC_TS, SEL_ERR(tr->sel) | ext);
	if (!sys_read(c, tr->base + off, 8))
		return false;
	if (!cpu_is_canonical(c->mem_val))
		return cpu_raise_err(c, EXC_SS, ext);
	return true;
}

/* --- operands of handlers ---------------------------------------------- */

bool
sys_ea(struct soft_cpu *c, const struct insn *i, uint64_t rip,
    unsigned int size, unsigned int acc)
{
	c->rip = rip;
	c->acc_seg = i->mem & MEM_SEG_MASK;
	return insn_ea_slow(c, i, size, acc);
}

bool
sys_get_rm(
    struct soft_cpu *c, const struct insn *i, uint64_t rip, unsigned int size)
{
	if (!(i->x & INSN_HASMEM)) {
		c->mem_val = reg_get(c, i->r2, size);
		return true;
	}
	return sys_ea(c, i, rip, size, ACC_R) && mem_read_slow(c, c->ea, size);
}

bool
sys_put_rm(struct soft_cpu *c, const struct insn *i, uint64_t rip,
    unsigned int size, uint64_t val)
{
	if (!(i->x & INSN_HASMEM)) {
		reg_set(c, i->r2, size, val);
		return true;
	}
	return sys_ea(c, i, rip, size, ACC_W) &&
	       mem_write_slow(c, c->ea, size, val);
}
