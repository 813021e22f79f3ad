/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sys_call.c - SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS, RD/WRFSBASE and
 * RD/WRGSBASE.
 *
 * AMD APM 3.  AMD's ways where the vendors differ: SYSCALL works in
 * compatibility mode, too (CSTAR), and in legacy mode; SYSENTER and SYSEXIT do
 * not exist in long mode; SYSRET takes a non-canonical RCX without a fault, the
 * fetch faults then.  One liberty: SYSRET loads flat attributes into SS, where
 * AMD leaves them as they were.
 * Runs on the vCPU's thread with guest FP state live: no libc.
 */
#include "cpu.h"

#include "mmu.h"
#include "segint.h"
#include "sys.h"

#define AR_FLAT_CODE (AR_P | AR_S | AR_CODE | AR_R | AR_A | AR_G)
#define AR_FLAT_DATA (AR_P | AR_S | AR_W | AR_A | AR_G | AR_DB)

static void
set_flat(
    struct soft_seg *s, unsigned int sel, uint32_t access, unsigned int cpl)
{
	s->base = 0;
	s->limit = UINT32_MAX;
	s->access = access | cpl << AR_DPL_SHIFT;
	s->sel = (uint16_t)sel;
}

/* CS from sel, SS 8 above, both at cpl. */
static void
set_cs_ss(struct soft_cpu *c, unsigned int cs, unsigned int ss, uint32_t bits,
    unsigned int cpl)
{
	set_flat(&c->seg[SEG_CS], cs, AR_FLAT_CODE | bits, cpl);
	set_flat(&c->seg[SEG_SS], ss, AR_FLAT_DATA, cpl);
	c->cpl = (uint8_t)cpl;
	cpu_update_mode(c);
}

/* --- SYSCALL, SYSRET --------------------------------------------------------
 */

void
sys_syscall(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t next = next_rip(c, i, rip);
	unsigned int cs = c->star >> 32 & 0xfffc;

	c->rip = rip;
	if (!(c->efer & EFER_SCE)) {
		cpu_raise_ud(c);
		return;
	}
	c->gpr[R_RCX] = next;
	if (!cpu_long_mode(c)) {
		c->rflags &= ~(FL_IF | FL_VM | FL_RF);
		c->rip = (uint32_t)c->star;
		set_cs_ss(c, cs, cs + 8, AR_DB, 0);
		return;
	}
	c->gpr[R_R11] = cpu_rflags(c) & ~FL_RF;
	c->rip = c->mode & MODE_64 ? c->lstar : c->cstar;
	cpu_set_rflags(c, 0, (uint32_t)c->sfmask | FL_RF);
	/* Whether a single-step trap follows depends on the new TF. */
	c->tf_skip = !(c->rflags & FL_TF);
	set_cs_ss(c, cs, cs + 8, AR_L, 0);
}

/* RFLAGS bits that SYSRET takes from R11; RF becomes 0. */
#define SYSRET_FLAGS 0x003c7fd5u

static void
sysret_long(struct soft_cpu *c, unsigned int opsize)
{
	unsigned int base = c->star >> 48;

	cpu_set_rflags(c, c->gpr[R_R11] & SYSRET_FLAGS, SYSRET_FLAGS | FL_RF);
	if (opsize == 8) {
		c->rip = c->gpr[R_RCX];
		set_cs_ss(c, (base + 16) | 3, (base + 8) | 3, AR_L, 3);
	} else {
		c->rip = (uint32_t)c->gpr[R_RCX];
		set_cs_ss(c, base | 3, (base + 8) | 3, AR_DB, 3);
	}
}

void
sys_sysret(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int base = c->star >> 48;

	c->rip = rip;
	if (!(c->efer & EFER_SCE)) {
		cpu_raise_ud(c);
		return;
	}
	if (!cpu_protected(c) || c->cpl != 0) {
		cpu_raise_gp(c, 0);
		return;
	}
	if (c->mode & MODE_64) {
		sysret_long(c, i->opsize);
		return;
	}
	c->rflags |= FL_IF;
	c->rip = (uint32_t)c->gpr[R_RCX];
	set_cs_ss(c, base | 3, (base + 8) | 3, AR_DB, 3);
}

/* --- SYSENTER, SYSEXIT ------------------------------------------------- */

void
sys_sysenter(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int cs = c->sysenter_cs & 0xfffc;

	c->rip = rip;
	if (cpu_long_mode(c)) {
		cpu_raise_ud(c);
		return;
	}
	if (!(c->cr0 & CR0_PE) || cs == 0) {
		cpu_raise_gp(c, 0);
		return;
	}
	c->rflags &= ~(FL_IF | FL_VM | FL_RF);
	c->rip = (uint32_t)c->sysenter_eip;
	c->gpr[R_RSP] = (uint32_t)c->sysenter_esp;
	set_cs_ss(c, cs, cs + 8, AR_DB, 0);
}

void
sys_sysexit(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int cs = c->sysenter_cs & 0xfffc;

	c->rip = rip;
	if (cpu_long_mode(c)) {
		cpu_raise_ud(c);
		return;
	}
	if (!cpu_protected(c) || c->cpl != 0 || cs == 0) {
		cpu_raise_gp(c, 0);
		return;
	}
	c->rip = (uint32_t)c->gpr[R_RDX];
	c->gpr[R_RSP] = (uint32_t)c->gpr[R_RCX];
	set_cs_ss(c, (cs + 16) | 3, (cs + 24) | 3, AR_DB, 3);
}

/* --- segment bases ----------------------------------------------------- */

void
sys_swapgs(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t base = c->seg[SEG_GS].base;

	if (c->cpl != 0)
		RAISE_GP(c, rip, 0);
	c->seg[SEG_GS].base = c->kernel_gs_base;
	c->kernel_gs_base = base;
	NEXT(c, i, rip);
}

/* Row argument: SEG_FS or SEG_GS; the register is ModRM.rm. */
void
sys_rd_base(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!(c->cr4 & CR4_FSGSBASE))
		RAISE_UD(c, rip);
	reg_set(c, i->r2, i->opsize, c->seg[i->x & 7].base);
	NEXT(c, i, rip);
}

void
sys_wr_base(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t base = reg_get(c, i->r2, i->opsize);

	if (!(c->cr4 & CR4_FSGSBASE))
		RAISE_UD(c, rip);
	if (!cpu_is_canonical(base))
		RAISE_GP(c, rip, 0);
	c->seg[i->x & 7].base = base;
	NEXT(c, i, rip);
}
