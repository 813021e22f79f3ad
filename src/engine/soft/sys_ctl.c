/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sys_ctl.c - control and debug registers, LMSW SMSW CLTS, descriptor-table
 * registers, INVLPG INVPCID, INVD WBINVD WBNOINVD, HLT.
 *
 * Intel SDM 3A 2.5 and 4.10, SDM 2 MOV CR/DR; AMD APM 2 chapter 3.  Caches do
 * not exist: CR0.CD and NW are stored only.  The TLB knows no PCIDs, so each
 * MOV to CR3 flushes what is not global, whatever bit 63 says. Runs on the
 * vCPU's thread with guest FP state live: no libc.
 */
#include "cpu.h"

#include <vmm/irq.h>

#include "fpu.h"
#include "mmu.h"
#include "segint.h"
#include "sys.h"

#define CR0_DEFINED                                                            \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP |        \
	    CR0_AM | CR0_NW | CR0_CD | CR0_PG)
#define CR3_PCID_MASK	 0xfffull
#define CR3_NOFLUSH	 (1ull << 63)
#define CR4_FLUSH	 (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP | CR4_PCIDE)
#define CR4_PDPTE_RELOAD (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP)

#define DR6_WRITABLE	 0x0000e00fu
#define DR6_ONES	 0xffff0ff0u
#define DR6_BD		 0x2000u
#define DR7_WRITABLE	 0xffff23ffu
#define DR7_ONES	 0x00000400u
#define DR7_GD		 0x2000u

static bool
need_cpl0(struct soft_cpu *c)
{
	return c->cpl == 0 || cpu_raise_gp(c, 0);
}

/* PAE paging without long mode: PDPTEs live in registers. */
static bool
pae_legacy(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LME);
}

/* --- CR0 ---------------------------------------------------------------------
 */

/* CR0.PG goes from 0 to 1. */
static bool
enable_paging(struct soft_cpu *c)
{
	if (!(c->efer & EFER_LME))
		return true;
	if (!(c->cr4 & CR4_PAE) || (c->seg[SEG_CS].access & AR_L))
		return cpu_raise_gp(c, 0);
	c->efer |= EFER_LMA;
	return true;
}

static bool
disable_paging(struct soft_cpu *c)
{
	if ((c->mode & MODE_64) || (c->cr4 & CR4_PCIDE))
		return cpu_raise_gp(c, 0);
	c->efer &= ~(uint64_t)EFER_LMA;
	return true;
}

static bool
write_cr0(struct soft_cpu *c, uint64_t val)
{
	uint64_t changed;

	if (val >> 32)
		return cpu_raise_gp(c, 0);
	if ((val & CR0_PG) && !(val & CR0_PE))
		return cpu_raise_gp(c, 0);
	if ((val & CR0_NW) && !(val & CR0_CD))
		return cpu_raise_gp(c, 0);
	val = (val & CR0_DEFINED) | CR0_ET;
	changed = val ^ c->cr0;
	if ((changed & (CR0_PG | CR0_CD | CR0_NW)) &&
	    pae_legacy(val, c->cr4, c->efer) && !mmu_load_pdptes(c, c->cr3))
		return cpu_raise_gp(c, 0);
	if ((changed & CR0_PG) &&
	    !(val & CR0_PG ? enable_paging(c) : disable_paging(c)))
		return false;
	c->cr0 = val;
	if (changed & (CR0_PG | CR0_WP | CR0_PE))
		tlb_flush_all(c);
	cpu_update_mode(c);
	return true;
}

/* --- CR3, CR4, CR8 ----------------------------------------------------- */

static bool
write_cr3(struct soft_cpu *c, uint64_t val)
{
	if (c->cr4 & CR4_PCIDE)
		val &= ~CR3_NOFLUSH;
	if (cpu_long_mode(c) && (val >> c->vm->phys_bits) != 0)
		return cpu_raise_gp(c, 0);
	if (pae_legacy(c->cr0, c->cr4, c->efer) && !mmu_load_pdptes(c, val))
		return cpu_raise_gp(c, 0);
	c->cr3 = val;
	tlb_flush_nonglobal(c);
	return true;
}

static bool
cr4_allowed(const struct soft_cpu *c, uint64_t val)
{
	if (val & ~cpuid_cr4_mask(c))
		return false;
	if (cpu_long_mode(c) && !(val & CR4_PAE))
		return false;
	if ((val & CR4_PCIDE) && !(c->cr4 & CR4_PCIDE) &&
	    (!cpu_long_mode(c) || (c->cr3 & CR3_PCID_MASK)))
		return false;
	return true;
}

static bool
write_cr4(struct soft_cpu *c, uint64_t val)
{
	uint64_t changed = val ^ c->cr4;

	if (!cr4_allowed(c, val))
		return cpu_raise_gp(c, 0);
	if ((changed & CR4_PDPTE_RELOAD) && pae_legacy(c->cr0, val, c->efer) &&
	    !mmu_load_pdptes(c, c->cr3))
		return cpu_raise_gp(c, 0);
	c->cr4 = val;
	if (changed & CR4_FLUSH)
		tlb_flush_all(c);
	cpu_update_mode(c);
	return true;
}

static bool
write_cr8(struct soft_cpu *c, uint64_t val)
{
	const struct vcpu_intr_ops *ops;
	void *apic;

	if (val > 15)
		return cpu_raise_gp(c, 0);
	fpu_park(c);
	ops = vcpu_intr(c->vcpu, &apic);
	if (ops != NULL)
		ops->set_cr8(apic, val);
	return true;
}

static uint64_t
read_cr8(struct soft_cpu *c)
{
	const struct vcpu_intr_ops *ops;
	void *apic;

	fpu_park(c);
	ops = vcpu_intr(c->vcpu, &apic);
	return ops != NULL ? ops->get_cr8(apic) : 0;
}

static bool
write_cr2(struct soft_cpu *c, uint64_t val)
{
	c->cr2 = val;
	return true;
}

typedef bool (*cr_write_fn)(struct soft_cpu *c, uint64_t val);
static const cr_write_fn cr_write[16] = {
	[0] = write_cr0,
	[2] = write_cr2,
	[3] = write_cr3,
	[4] = write_cr4,
	[8] = write_cr8,
};

void
sys_mov_to_cr(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int size = c->mode & MODE_64 ? 8 : 4;

	c->rip = rip;
	if (i->r1 > 15 || cr_write[i->r1] == NULL) {
		cpu_raise_ud(c);
		return;
	}
	/* The mode that decides how wide RIP is, is the one before the write.
	 */
	if (need_cpl0(c) && cr_write[i->r1](c, reg_get(c, i->r2, size)))
		c->rip = size == 8 ? rip + i->len : (uint32_t)(rip + i->len);
}

static bool
read_cr(struct soft_cpu *c, unsigned int n, uint64_t *ret)
{
	switch (n) {
	case 0:
		*ret = c->cr0 | CR0_ET;
		return true;
	case 2:
		*ret = c->cr2;
		return true;
	case 3:
		*ret = c->cr3;
		return true;
	case 4:
		*ret = c->cr4;
		return true;
	case 8:
		*ret = read_cr8(c);
		return true;
	default:
		return false;
	}
}

static bool
mov_from_cr(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t val;

	c->rip = rip;
	if (i->r1 > 15 || cr_write[i->r1] == NULL)
		return cpu_raise_ud(c);
	if (!need_cpl0(c) || !read_cr(c, i->r1, &val))
		return false;
	reg_set(c, i->r2, c->mode & MODE_64 ? 8 : 4, val);
	return true;
}

void
sys_mov_from_cr(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!mov_from_cr(c, i, rip))
		return;
	NEXT(c, i, rip);
}

/* --- debug registers --------------------------------------------------- */

/* DR number with the aliases resolved; false: exception recorded. */
static bool
dr_access(struct soft_cpu *c, unsigned int n, unsigned int *ret)
{
	if (n > 7 || ((n == 4 || n == 5) && (c->cr4 & CR4_DE)))
		return cpu_raise_ud(c);
	if (!need_cpl0(c))
		return false;
	if (c->dr7 & DR7_GD) {
		cpu_raise(c, EXC_DB);
		c->exc.dr6 = DR6_BD;
		return false;
	}
	*ret = n == 4 || n == 5 ? n + 2 : n;
	return true;
}

void
sys_mov_to_dr(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t val = reg_get(c, i->r2, c->mode & MODE_64 ? 8 : 4);
	unsigned int n;

	c->rip = rip;
	if (!dr_access(c, i->r1, &n))
		return;
	if (n >= 6 && val >> 32) {
		cpu_raise_gp(c, 0);
		return;
	}
	if (n == 6)
		c->dr6 = (val & DR6_WRITABLE) | DR6_ONES;
	else if (n == 7)
		c->dr7 = (val & DR7_WRITABLE) | DR7_ONES;
	else
		c->dr[n] = val;
	c->rip = next_rip(c, i, rip);
	cpu_update_mode(c);
}

static bool
mov_from_dr(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int n;
	uint64_t val;

	c->rip = rip;
	if (!dr_access(c, i->r1, &n))
		return false;
	val = n == 6 ? c->dr6 : n == 7 ? c->dr7 : c->dr[n];
	reg_set(c, i->r2, c->mode & MODE_64 ? 8 : 4, val);
	return true;
}

void
sys_mov_from_dr(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!mov_from_dr(c, i, rip))
		return;
	NEXT(c, i, rip);
}

/* --- machine status word ----------------------------------------------- */

/* UMIP: SGDT SIDT SLDT SMSW STR are privileged. */
static bool
umip_ok(struct soft_cpu *c)
{
	if (c->cpl != 0 && (c->cr4 & CR4_UMIP))
		return cpu_raise_gp(c, 0);
	return true;
}

void
sys_lmsw(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t mask = CR0_MP | CR0_EM | CR0_TS, val;

	c->rip = rip;
	if (!need_cpl0(c) || !sys_get_rm(c, i, rip, 2))
		return;
	/* PE can be set this way, not cleared. */
	mask |= c->mem_val & CR0_PE;
	val = (c->cr0 & ~mask) | (c->mem_val & mask);
	if (write_cr0(c, val))
		c->rip = next_rip(c, i, rip);
}

void
sys_smsw(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int size = i->x & INSN_HASMEM ? 2 : i->opsize;

	c->rip = rip;
	if (!umip_ok(c) || !sys_put_rm(c, i, rip, size, c->cr0 | CR0_ET))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}

void
sys_clts(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->rip = rip;
	if (!need_cpl0(c))
		return;
	c->cr0 &= ~(uint64_t)CR0_TS;
	c->rip = next_rip(c, i, rip);
	cpu_update_mode(c);
}

/* --- GDTR, IDTR: row argument 0 or 1 ----------------------------------- */

enum { ARG_GDTR, ARG_IDTR };

static uint64_t
table_la(const struct soft_cpu *c, uint64_t la)
{
	return c->mode & MODE_64 ? la : (uint32_t)la;
}

static bool
load_dtr(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int w = c->mode & MODE_64 ? 8 : 4;
	struct soft_dtr *dtr = (i->x & 0xff) == ARG_IDTR ? &c->idtr : &c->gdtr;
	uint16_t limit;
	uint64_t ea;

	c->rip = rip;
	if (!(i->x & INSN_HASMEM))
		return cpu_raise_ud(c);
	if (!need_cpl0(c) || !sys_ea(c, i, rip, w + 2, ACC_R))
		return false;
	ea = c->ea;
	if (!mem_read_slow(c, ea, 2))
		return false;
	limit = (uint16_t)c->mem_val;
	if (!mem_read_slow(c, table_la(c, ea + 2), w))
		return false;
	if (w == 8 && !cpu_is_canonical(c->mem_val))
		return cpu_raise_gp(c, 0);
	dtr->base = c->mem_val;
	if (w == 4 && i->opsize == 2)
		dtr->base &= 0xffffff;
	dtr->limit = limit;
	return true;
}

void
sys_load_dtr(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!load_dtr(c, i, rip))
		return;
	NEXT(c, i, rip);
}

/* The full base is stored whatever the operand size. */
static bool
store_dtr(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int w = c->mode & MODE_64 ? 8 : 4;
	const struct soft_dtr *dtr =
	    (i->x & 0xff) == ARG_IDTR ? &c->idtr : &c->gdtr;
	uint64_t ea;

	c->rip = rip;
	if (!(i->x & INSN_HASMEM))
		return cpu_raise_ud(c);
	if (!umip_ok(c) || !sys_ea(c, i, rip, w + 2, ACC_W))
		return false;
	ea = c->ea;
	return mem_probe_write(c, ea, w + 2) &&
	       mem_write_slow(c, ea, 2, dtr->limit) &&
	       mem_write_slow(c, table_la(c, ea + 2), w, dtr->base);
}

void
sys_store_dtr(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!store_dtr(c, i, rip))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}

/* --- TLB and cache management ------------------------------------------ */

void
sys_invlpg(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->rip = rip;
	if (!(i->x & INSN_HASMEM)) {
		cpu_raise_ud(c);
		return;
	}
	/* Size 0: no limit or type checks (SDM: like LEA). */
	if (!need_cpl0(c) || !sys_ea(c, i, rip, 0, ACC_R))
		return;
	if (!(c->mode & MODE_64) || cpu_is_canonical(c->ea))
		tlb_flush_page(c, c->ea);
	c->rip = next_rip(c, i, rip);
}

enum { INVPCID_ADDR, INVPCID_SINGLE, INVPCID_ALL, INVPCID_ALL_NONGLOBAL };

static bool
invpcid(struct soft_cpu *c, uint64_t type, uint64_t pcid, uint64_t la)
{
	if (type > INVPCID_ALL_NONGLOBAL)
		return cpu_raise_gp(c, 0);
	if (type <= INVPCID_SINGLE) {
		if (pcid > CR3_PCID_MASK ||
		    (pcid != 0 && !(c->cr4 & CR4_PCIDE)))
			return cpu_raise_gp(c, 0);
	}
	switch (type) {
	case INVPCID_ADDR:
		if (!cpu_is_canonical(la))
			return cpu_raise_gp(c, 0);
		tlb_flush_page(c, la);
		break;
	case INVPCID_ALL:
		tlb_flush_all(c);
		break;
	default:
		tlb_flush_nonglobal(c);
		break;
	}
	return true;
}

void
sys_invpcid(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t type = reg_get(c, i->r1, c->mode & MODE_64 ? 8 : 4);
	uint64_t ea, pcid;

	c->rip = rip;
	if (!(cpuid_cr4_mask(c) & CR4_PCIDE) || !(i->x & INSN_HASMEM)) {
		cpu_raise_ud(c);
		return;
	}
	if (!need_cpl0(c) || !sys_ea(c, i, rip, 16, ACC_R))
		return;
	ea = c->ea;
	if (!mem_read_slow(c, ea, 8))
		return;
	pcid = c->mem_val;
	if (!mem_read_slow(c, table_la(c, ea + 8), 8))
		return;
	if (invpcid(c, type, pcid, c->mem_val))
		c->rip = next_rip(c, i, rip);
}

/* INVD, WBINVD, WBNOINVD: there are no caches. */
void
sys_cache(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (c->cpl != 0)
		RAISE_GP(c, rip, 0);
	NEXT(c, i, rip);
}

void
sys_hlt(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->rip = rip;
	if (!need_cpl0(c))
		return;
	c->rip = next_rip(c, i, rip);
	c->leave = LEAVE_HLT;
}
