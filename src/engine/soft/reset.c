/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reset.c - the state after power-on and INIT, what follows from a change of
 * system state (c->mode, the TLB view), RFLAGS, and breakpoint registers.
 *
 * Intel SDM 3A table 9-1; AMD APM 2 14.1.3.  As on bhyve CR0.CD and NW read 0
 * after power-on: caching does not exist here.
 * Runs on the vCPU's thread with guest FP state live: no libc.
 */
#include "cpu.h"

#include "fpu.h"
#include "mmu.h"
#include "segint.h"
#include "sys.h"

#define PAT_RESET	  0x0007040600070406ull
#define DR6_RESET	  0xffff0ff0u
#define DR7_RESET	  0x00000400u
#define RESET_RDX	  0x00000f00u
#define MISC_ENABLE_RESET 0x1800u     /* BTS and PEBS unavailable */
#define HWCR_RESET	  0x01000000u /* TSC counts at the P0 frequency */
#define DE_CFG_RESET	  0x2u	      /* LFENCE serialises */
#define XCR0_RESET	  1u

/* --- breakpoints ------------------------------------------------------------
 */

enum { DR_EXEC = 0, DR_WRITE = 1, DR_IO = 2, DR_RW = 3 };

static unsigned int
dr7_type(const struct soft_cpu *c, unsigned int n)
{
	return c->dr7 >> (16 + n * 4) & 3;
}

static bool
dr7_enabled(const struct soft_cpu *c, unsigned int n)
{
	return (c->dr7 >> (n * 2) & 3) != 0;
}

bool
cpu_has_data_breakpoints(const struct soft_cpu *c)
{
	if ((c->dr7 & 0xff) == 0)
		return false;
	for (unsigned int n = 0; n < 4; n++)
		if (dr7_enabled(c, n) && (dr7_type(c, n) & 1))
			return true;
	return false;
}

bool
cpu_exec_breakpoint(struct soft_cpu *c)
{
	uint64_t la = c->rip, dr6 = 0;

	if (c->rflags & FL_RF) {
		c->rflags &= ~FL_RF;
		return false;
	}
	/* MOV SS holds off all debug exceptions for one instruction. */
	if (c->ss_shadow)
		return false;
	if (!(c->mode & MODE_64))
		la = (uint32_t)(c->seg[SEG_CS].base + la);
	for (unsigned int n = 0; n < 4; n++)
		if (dr7_enabled(c, n) && dr7_type(c, n) == DR_EXEC &&
		    c->dr[n] == la)
			dr6 |= BIT64(n);
	if (dr6 == 0)
		return false;
	cpu_raise(c, EXC_DB);
	c->exc.dr6 = dr6;
	return true;
}

void
cpu_rep_interrupted(struct soft_cpu *c)
{
	if (cpu_has_exec_breakpoints(c))
		c->rflags |= FL_RF;
}

/* --- mode and view ----------------------------------------------------- */

static unsigned int
view_of(const struct soft_cpu *c, unsigned int cpl)
{
	if (cpl == 3)
		return VIEW_USER;
	return (c->cr4 & CR4_SMAP) && !(c->rflags & FL_AC) ? VIEW_KERN_SMAP
							   : VIEW_KERN;
}

void
cpu_set_view(struct soft_cpu *c, unsigned int cpl)
{
	unsigned int view = view_of(c, cpl);

	c->cpl = (uint8_t)cpl;
	c->real_view = (uint8_t)view;
	if (unlikely(cpl == 3 && (c->rflags & FL_AC) && (c->cr0 & CR0_AM)) ||
	    unlikely(cpu_has_data_breakpoints(c)) ||
	    unlikely(c->dbg_ndata != 0))
		c->tlb = tlb_view_miss(c);
	else
		c->tlb = &c->view[view];
}

static bool
seg_is_flat(const struct soft_seg *s)
{
	return s->base == 0 && s->limit == UINT32_MAX &&
	       (s->access & (AR_UNUSABLE | AR_P | AR_S | AR_CODE | AR_E |
				AR_W)) == (AR_P | AR_S | AR_W);
}

static uint32_t
code_mode(const struct soft_cpu *c)
{
	uint32_t cs = c->seg[SEG_CS].access, m = MODE_LEGACY_SEGS;

	if (c->efer & EFER_LMA) {
		if (cs & AR_L)
			return MODE_64 | MODE_LM;
		m |= MODE_LM;
	}
	if (cs & AR_DB)
		m |= MODE_CS32;
	if (c->seg[SEG_SS].access & AR_DB)
		m |= MODE_SS32;
	if (seg_is_flat(&c->seg[SEG_DS]) && seg_is_flat(&c->seg[SEG_ES]) &&
	    seg_is_flat(&c->seg[SEG_SS]))
		m |= MODE_FLAT;
	if (c->seg[SEG_CS].limit != UINT32_MAX)
		m |= MODE_CSLIMIT;
	return m;
}

void
cpu_update_mode(struct soft_cpu *c)
{
	uint32_t m = code_mode(c);

	if (c->cr0 & CR0_PE)
		m |= c->rflags & FL_VM ? MODE_V86 : MODE_PE;
	if (c->cpl == 3)
		m |= MODE_USER;
	if (c->cr0 & CR0_EM)
		m |= MODE_EM;
	if (c->cr0 & CR0_TS)
		m |= MODE_TS;
	if (c->cr4 & CR4_OSFXSR)
		m |= MODE_OSFXSR;
	if ((c->cr4 & CR4_OSXSAVE) && (c->xcr0 & 4))
		m |= MODE_AVX;
	/* Breakpoints are looked at between blocks (run loop). */
	if ((c->rflags & FL_TF) || c->intr_shadow || (c->dr7 & 0xff) ||
	    c->cap[VM_CAP_MTRAP_EXIT] || c->ndbg != 0)
		m |= MODE_ONE;
	c->mode = m;
	c->jc_key = (c->jc_key & ~(uint64_t)(JC_KEY_MAPPING - 1)) | m;
	cpu_set_view(c, c->cpl);
}

void
cpu_set_rflags(struct soft_cpu *c, uint64_t val, uint64_t mask)
{
	uint32_t fl = cpu_rflags(c);

	fl = (fl & ~(uint32_t)mask) | ((uint32_t)val & (uint32_t)mask);
	c->cc = flags_to_cc(fl);
	c->rflags = (fl & ~FL_OSZAPC) | FL_ONE;
}

/* --- reset ------------------------------------------------------------- */

static void
reset_segments(struct soft_cpu *c)
{
	for (unsigned int n = SEG_ES; n <= SEG_GS; n++) {
		struct soft_seg *s = &c->seg[n];

		s->base = 0;
		s->limit = 0xffff;
		s->access = AR_P | AR_S | AR_W | AR_A;
		s->sel = 0;
	}
	c->seg[SEG_CS].base = 0xffff0000;
	c->seg[SEG_CS].sel = 0xf000;
	c->seg[SEG_TR].base = 0;
	c->seg[SEG_TR].limit = 0xffff;
	c->seg[SEG_TR].access = AR_P | SYS_TSS_BUSY;
	c->seg[SEG_TR].sel = 0;
	c->seg[SEG_LDTR].base = 0;
	c->seg[SEG_LDTR].limit = 0xffff;
	c->seg[SEG_LDTR].access = AR_P | SYS_LDT;
	c->seg[SEG_LDTR].sel = 0;
	c->gdtr.base = c->idtr.base = 0;
	c->gdtr.limit = c->idtr.limit = 0xffff;
}

/* What INIT leaves alone. */
static void
reset_msrs(struct soft_cpu *c)
{
	struct soft_msrs *m = &c->msr;

	c->star = c->lstar = c->cstar = c->sfmask = c->kernel_gs_base = 0;
	c->sysenter_cs = c->sysenter_esp = c->sysenter_eip = 0;
	c->tsc_aux = 0;
	c->pat = PAT_RESET;
	m->mtrr_def_type = 0;
	zero_u64(m->mtrr_fixed, ARRAY_LEN(m->mtrr_fixed));
	zero_u64(m->mtrr_var, ARRAY_LEN(m->mtrr_var));
	m->misc_enable = MISC_ENABLE_RESET;
	m->mcg_status = 0;
	m->syscfg = m->nb_cfg = m->ls_cfg = 0;
	m->hwcr = HWCR_RESET;
	m->de_cfg = DE_CFG_RESET;
	m->kvm_wall_clock = m->kvm_system_time = 0;
}

static void
reset_execution(struct soft_cpu *c)
{
	zero_u64(c->gpr, R_COUNT);
	c->gpr[R_RDX] = RESET_RDX;
	c->rip = 0xfff0;
	c->cc = flags_to_cc(0);
	c->rflags = FL_ONE;
	c->cpl = 0;
	c->exc.pending = false;
	c->delivering = false;
	c->injected = false;
	c->reinject = 0;
	c->intr_shadow = c->ss_shadow = false;
	c->nmi_blocked = false;
	c->halted = false;
	c->leave = LEAVE_NONE;
}

void
cpu_reset(struct soft_cpu *c, bool init)
{
	reset_execution(c);
	reset_segments(c);
	c->cr0 = CR0_NE;
	c->cr2 = c->cr3 = c->cr4 = 0;
	c->efer = 0;
	zero_u64(c->dr, 4);
	zero_u64(c->pdpte, 4);
	c->dr6 = DR6_RESET;
	c->dr7 = DR7_RESET;
	if (!init) {
		c->xcr0 = XCR0_RESET;
		reset_msrs(c);
	}
	fpu_reset(c, init);
	cpu_update_mode(c);
	tlb_flush_all(c);
}
