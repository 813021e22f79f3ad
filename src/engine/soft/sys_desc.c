/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sys_desc.c - LLDT LTR SLDT STR, and the instructions that look at
 * descriptors: LAR LSL VERR VERW ARPL.  Intel SDM 2, SDM 3A 5.10.
 *
 * Runs on the vCPU's thread with guest FP state live: no libc.
 */
#include "cpu.h"

#include "mmu.h"
#include "segint.h"
#include "sys.h"

#define CC_ZF 0x4000u /* in c->cc */

static void
set_zf(struct soft_cpu *c, bool zf)
{
	c->cc = (uint16_t)(zf ? c->cc | CC_ZF : c->cc & ~CC_ZF);
}

/* --- LLDT, LTR ---------------------------------------------------------------
 */

/* A system descriptor with its upper half in long mode; *base complete. */
static bool
fetch_system(
    struct soft_cpu *c, unsigned int sel, struct desc *d, uint64_t *base)
{
	if (sel & 4)
		return cpu_raise_gp(c, SEL_ERR(sel));
	if (!desc_read(c, sel, EXC_GP, 0, d))
		return false;
	*base = desc_base(d);
	if (!cpu_long_mode(c))
		return true;
	if (!desc_read_high(c, sel, EXC_GP, d))
		return false;
	*base |= c->mem_val << 32;
	if ((c->mem_val >> 32 & 0x1f00) || !cpu_is_canonical(*base))
		return cpu_raise_gp(c, SEL_ERR(sel));
	return true;
}

static bool
load_ldt(struct soft_cpu *c, unsigned int sel)
{
	uint64_t base;
	struct desc d;

	if (sel_null(sel)) {
		seg_set_null(&c->seg[SEG_LDTR], sel, 0);
		return true;
	}
	if (!fetch_system(c, sel, &d, &base))
		return false;
	if ((d.ar & AR_TYPE) != SYS_LDT)
		return cpu_raise_gp(c, SEL_ERR(sel));
	if (!(d.ar & AR_P))
		return cpu_raise_err(c, EXC_NP, SEL_ERR(sel));
	desc_to_seg(&d, sel, &c->seg[SEG_LDTR]);
	c->seg[SEG_LDTR].base = base;
	return true;
}

static bool
load_tr(struct soft_cpu *c, unsigned int sel)
{
	unsigned int type;
	uint64_t base;
	struct desc d;

	if (sel_null(sel))
		return cpu_raise_gp(c, 0);
	if (!fetch_system(c, sel, &d, &base))
		return false;
	type = d.ar & AR_TYPE;
	if (type != SYS_TSS && (type != SYS_TSS16 || cpu_long_mode(c)))
		return cpu_raise_gp(c, SEL_ERR(sel));
	if (!(d.ar & AR_P))
		return cpu_raise_err(c, EXC_NP, SEL_ERR(sel));
	if (!sys_write(c, d.la + 5, 1, (d.hi >> 8 & 0xff) | 2))
		return false;
	d.ar |= 2;
	desc_to_seg(&d, sel, &c->seg[SEG_TR]);
	c->seg[SEG_TR].base = base;
	return true;
}

static bool
load_sys_seg(struct soft_cpu *c, const struct insn *i, uint64_t rip,
    bool (*load)(struct soft_cpu *, unsigned int))
{
	c->rip = rip;
	if (c->cpl != 0)
		return cpu_raise_gp(c, 0);
	return sys_get_rm(c, i, rip, 2) && load(c, (uint16_t)c->mem_val);
}

void
sys_lldt(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!load_sys_seg(c, i, rip, load_ldt))
		return;
	NEXT(c, i, rip);
}

void
sys_ltr(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!load_sys_seg(c, i, rip, load_tr))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}

/* SLDT, STR: row argument is the segment register. */
void
sys_store_sel(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int size = i->x & INSN_HASMEM ? 2 : i->opsize;

	if (c->cpl != 0 && (c->cr4 & CR4_UMIP))
		RAISE_GP(c, rip, 0);
	if (!sys_put_rm(c, i, rip, size, c->seg[i->x & 7].sel))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}

/* --- LAR, LSL ---------------------------------------------------------- */

#define LAR_TYPES                                                              \
	(BIT(SYS_TSS16) | BIT(SYS_LDT) | BIT(SYS_TSS16_BUSY) |                 \
	    BIT(SYS_CALL16) | BIT(SYS_TASK_GATE) | BIT(SYS_TSS) |              \
	    BIT(SYS_TSS_BUSY) | BIT(SYS_CALL))
#define LSL_TYPES                                                              \
	(BIT(SYS_TSS16) | BIT(SYS_LDT) | BIT(SYS_TSS16_BUSY) | BIT(SYS_TSS) |  \
	    BIT(SYS_TSS_BUSY))
/* Long mode has no 16-bit TSS, call gate or task gate. */
#define LONG_TYPES                                                             \
	(BIT(SYS_LDT) | BIT(SYS_TSS) | BIT(SYS_TSS_BUSY) | BIT(SYS_CALL))

static bool
visible(const struct soft_cpu *c, const struct desc *d, unsigned int sel,
    uint32_t sys_types)
{
	if (!(d->ar & AR_S)) {
		if (cpu_long_mode(c))
			sys_types &= LONG_TYPES;
		if (!(sys_types & BIT(d->ar & AR_TYPE)))
			return false;
	} else if ((d->ar & (AR_CODE | AR_C)) == (AR_CODE | AR_C)) {
		return true;
	}
	return AR_DPL(d->ar) >= c->cpl && AR_DPL(d->ar) >= SEL_RPL(sel);
}

enum probe { PROBE_FAULT, PROBE_NONE, PROBE_OK };

/* The descriptor that the source selector names, for LAR and the like. */
static enum probe
probe_rm(struct soft_cpu *c, const struct insn *i, uint64_t rip,
    unsigned int *ret_sel, struct desc *d)
{
	bool fault;

	c->rip = rip;
	if (!sys_get_rm(c, i, rip, 2))
		return PROBE_FAULT;
	*ret_sel = (uint16_t)c->mem_val;
	if (desc_probe(c, *ret_sel, d, &fault))
		return PROBE_OK;
	return fault ? PROBE_FAULT : PROBE_NONE;
}

/* Access rights as LAR gives them: bits 8 to 23 of the second word. */
#define LAR_MASK 0x00ffff00u

static bool
lar(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int sel;
	struct desc d;
	enum probe p = probe_rm(c, i, rip, &sel, &d);
	bool ok;

	if (p == PROBE_FAULT)
		return false;
	ok = p == PROBE_OK && visible(c, &d, sel, LAR_TYPES);
	if (ok)
		reg_set(c, i->r1, i->opsize, d.hi & LAR_MASK);
	set_zf(c, ok);
	return true;
}

void
sys_lar(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!lar(c, i, rip))
		return;
	NEXT(c, i, rip);
}

static bool
lsl(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int sel;
	struct desc d;
	enum probe p = probe_rm(c, i, rip, &sel, &d);
	bool ok;

	if (p == PROBE_FAULT)
		return false;
	ok = p == PROBE_OK && visible(c, &d, sel, LSL_TYPES);
	if (ok)
		reg_set(c, i->r1, i->opsize, desc_limit(&d));
	set_zf(c, ok);
	return true;
}

void
sys_lsl(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!lsl(c, i, rip))
		return;
	NEXT(c, i, rip);
}

/* --- VERR, VERW: row argument 1 is VERW -------------------------------- */

static bool
verifies(const struct soft_cpu *c, const struct desc *d, unsigned int sel,
    bool write)
{
	bool code = d->ar & AR_CODE;

	if (!(d->ar & AR_S))
		return false;
	if (write ? (code || !(d->ar & AR_W)) : (code && !(d->ar & AR_R)))
		return false;
	if (code && (d->ar & AR_C))
		return true;
	return AR_DPL(d->ar) >= c->cpl && AR_DPL(d->ar) >= SEL_RPL(sel);
}

static bool
verify(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int sel;
	struct desc d;
	enum probe p = probe_rm(c, i, rip, &sel, &d);

	if (p == PROBE_FAULT)
		return false;
	set_zf(c, p == PROBE_OK && verifies(c, &d, sel, i->x & 1));
	return true;
}

void
sys_verr(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!verify(c, i, rip))
		return;
	NEXT(c, i, rip);
}

/* --- ARPL -------------------------------------------------------------- */

static bool
arpl(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	bool mem = i->x & INSN_HASMEM;
	uint16_t dst, rpl = REG16(c, i->r1) & 3;

	c->rip = rip;
	if (mem) {
		/* As on AMD, it is a store only when something changes. */
		if (!sys_ea(c, i, rip, 2, ACC_R) || !mem_read_slow(c, c->ea, 2))
			return false;
		dst = (uint16_t)c->mem_val;
	} else {
		dst = REG16(c, i->r2);
	}
	if (SEL_RPL(dst) >= rpl) {
		set_zf(c, false);
		return true;
	}
	dst = (uint16_t)((dst & ~3u) | rpl);
	if (!mem)
		REG16(c, i->r2) = dst;
	else if (!sys_ea(c, i, rip, 2, ACC_W) ||
		 !mem_write_slow(c, c->ea, 2, dst))
		return false;
	set_zf(c, true);
	return true;
}

void
sys_arpl(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!arpl(c, i, rip))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}
