/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * msr.c - RDMSR WRMSR RDTSC RDTSCP RDPMC RDPID, and the CPU's own MSRs as one
 * sorted table.
 *
 * Intel SDM 4, AMD APM 2 appendix A.  What is not in the table is asked of the
 * bus (TSC, APIC, x2APIC, and those that do nothing: chip/xmsr.c); what nobody
 * knows leaves vm_run() with VM_EXITCODE_RDMSR / WRMSR.  MTRRs are checked and
 * stored, memory types do not exist.
 * Runs on the vCPU's thread; the bus is called after fpu_park().
 */
#include "cpu.h"

#include <vmm/bus.h>

#include "fpu.h"
#include "kvmclock.h"
#include "mmu.h"
#include "segint.h"
#include "sys.h"

struct msr_desc;
typedef uint64_t (*msr_get)(
    struct soft_cpu *c, const struct msr_desc *d, uint32_t msr);
/* False: #GP(0). */
typedef bool (*msr_set)(
    struct soft_cpu *c, const struct msr_desc *d, uint32_t msr, uint64_t val);

struct msr_desc {
	uint32_t first, last;
	msr_get get; /* NULL: reads raise #GP */
	msr_set set; /* NULL: writes raise #GP */
	size_t off;  /* of a uint64_t in struct soft_cpu, for the plain ones */
	uint64_t arg;
};

static uint64_t *
field(struct soft_cpu *c, const struct msr_desc *d, uint32_t msr)
{
	return (uint64_t *)((char *)c + d->off) + (msr - d->first);
}

/* --- plain ones --------------------------------------------------------------
 */

static uint64_t
get_field(struct soft_cpu *c, const struct msr_desc *d, uint32_t msr)
{
	return *field(c, d, msr);
}

static uint64_t
get_const(struct soft_cpu *c, const struct msr_desc *d, uint32_t msr)
{
	return d->arg;
}

static bool
set_field(
    struct soft_cpu *c, const struct msr_desc *d, uint32_t msr, uint64_t val)
{
	*field(c, d, msr) = val;
	return true;
}

/* arg: bits that must be zero. */
static bool
set_checked(
    struct soft_cpu *c, const struct msr_desc *d, uint32_t msr, uint64_t val)
{
	if (val & d->arg)
		return false;
	*field(c, d, msr) = val;
	return true;
}

static bool
set_canonical(
    struct soft_cpu *c, const struct msr_desc *d, uint32_t msr, uint64_t val)
{
	if (!cpu_is_canonical(val))
		return false;
	*field(c, d, msr) = val;
	return true;
}

static bool
set_low32(
    struct soft_cpu *c, const struct msr_desc *d, uint32_t msr, uint64_t val)
{
	*field(c, d, msr) = (uint32_t)val;
	return true;
}

static bool
set_ignored(
    struct soft_cpu *c, const struct msr_desc *d, uint32_t msr, uint64_t val)
{
	return true;
}

/* --- those with rules -------------------------------------------------- */

static bool
set_efer(
    struct soft_cpu *c, const struct msr_desc *d, uint32_t msr, uint64_t val)
{
	uint64_t changed;

	if (val & ~cpuid_efer_mask(c))
		return false;
	/* LMA is the CPU's. */
	val = (val & ~(uint64_t)EFER_LMA) | (c->efer & EFER_LMA);
	changed = val ^ c->efer;
	if ((changed & EFER_LME) && (c->cr0 & CR0_PG))
		return false;
	c->efer = val;
	if (changed & EFER_NXE)
		tlb_flush_all(c);
	cpu_update_mode(c);
	return true;
}

static bool
memory_type_ok(unsigned int type, bool pat)
{
	/* UC WC WT WP WB, and UC- in the PAT only. */
	return type <= 7 && (BIT(type) & (pat ? 0xf3u : 0x73u));
}

static bool
set_pat(
    struct soft_cpu *c, const struct msr_desc *d, uint32_t msr, uint64_t val)
{
	for (unsigned int n = 0; n < 8; n++)
		if (!memory_type_ok(val >> (n * 8) & 0xff, true))
			return false;
	c->pat = val;
	return true;
}

#define MTRR_DEF_ENABLES 0x0c00ull
#define MTRR_MASK_VALID	 0x0800ull

static bool
set_mtrr_def(
    struct soft_cpu *c, const struct msr_desc *d, uint32_t msr, uint64_t val)
{
	if ((val & ~(MTRR_DEF_ENABLES | 0xff)) ||
	    !memory_type_ok(val & 0xff, false))
		return false;
	c->msr.mtrr_def_type = val;
	return true;
}

static bool
set_mtrr_var(
    struct soft_cpu *c, const struct msr_desc *d, uint32_t msr, uint64_t val)
{
	uint64_t low = msr & 1 ? MTRR_MASK_VALID : 0xff;

	if (val >> c->vm->phys_bits || (val & 0xfff & ~low))
		return false;
	if (!(msr & 1) && !memory_type_ok(val & 0xff, false))
		return false;
	*field(c, d, msr) = val;
	return true;
}

static bool
set_mtrr_fixed(
    struct soft_cpu *c, const struct msr_desc *d, uint32_t msr, uint64_t val)
{
	for (unsigned int n = 0; n < 8; n++)
		if (!memory_type_ok(val >> (n * 8) & 0xff, false))
			return false;
	/* arg: index of the range's first register in the array. */
	c->msr.mtrr_fixed[d->arg + (msr - d->first)] = val;
	return true;
}

#define MISC_ENABLE_FIXED 0x1800ull
#define MISC_ENABLE_RW	  0x0400c50089ull

static bool
set_misc_enable(
    struct soft_cpu *c, const struct msr_desc *d, uint32_t msr, uint64_t val)
{
	c->msr.misc_enable = (val & MISC_ENABLE_RW) | MISC_ENABLE_FIXED;
	return true;
}

/* HWCR: the bit that says how the TSC counts is fixed. */
#define HWCR_TSC_FREQ_SEL 0x01000000ull

static bool
set_hwcr(
    struct soft_cpu *c, const struct msr_desc *d, uint32_t msr, uint64_t val)
{
	c->msr.hwcr = val | HWCR_TSC_FREQ_SEL;
	return true;
}

#define PRED_CMD_IBPB 1u

static bool
set_pred_cmd(
    struct soft_cpu *c, const struct msr_desc *d, uint32_t msr, uint64_t val)
{
	return (val & ~(uint64_t)PRED_CMD_IBPB) == 0;
}

static uint64_t
get_seg_base(struct soft_cpu *c, const struct msr_desc *d, uint32_t msr)
{
	return c->seg[d->arg].base;
}

static bool
set_seg_base(
    struct soft_cpu *c, const struct msr_desc *d, uint32_t msr, uint64_t val)
{
	if (!cpu_is_canonical(val))
		return false;
	c->seg[d->arg].base = val;
	return true;
}

/* kvmclock; the low bits of an address must be clear. */
static bool
set_kvm_wall_clock(
    struct soft_cpu *c, const struct msr_desc *d, uint32_t msr, uint64_t val)
{
	if (val & 3)
		return false;
	fpu_park(c);
	kvmclock_write_wall_clock(c, val);
	return true;
}

static bool
set_kvm_system_time(
    struct soft_cpu *c, const struct msr_desc *d, uint32_t msr, uint64_t val)
{
	if (val & 2)
		return false;
	fpu_park(c);
	kvmclock_write_system_time(c, val);
	return true;
}

/* --- the table --------------------------------------------------------- */

#define OFF(member) .off = offsetof(struct soft_cpu, member)

/* clang-format off */
static const struct msr_desc msr_table[] = {
	{ 0x00000011, 0x00000011, get_field, set_kvm_wall_clock, OFF(msr.kvm_wall_clock) },
	{ 0x00000012, 0x00000012, get_field, set_kvm_system_time, OFF(msr.kvm_system_time) },
	/* SPEC_CTRL, PRED_CMD */
	{ 0x00000048, 0x00000048, get_field, set_checked, OFF(msr.spec_ctrl), .arg = ~7ull },
	{ 0x00000049, 0x00000049, NULL, set_pred_cmd, .arg = 0 },
	/* MTRRcap: 8 variable ranges, fixed ranges, WC */
	{ 0x000000fe, 0x000000fe, get_const, NULL, .arg = 0x508 },
	{ 0x00000174, 0x00000174, get_field, set_low32, OFF(sysenter_cs) },
	{ 0x00000175, 0x00000175, get_field, set_canonical, OFF(sysenter_esp) },
	{ 0x00000176, 0x00000176, get_field, set_canonical, OFF(sysenter_eip) },
	/* MCG_CAP: no banks; MCG_STATUS */
	{ 0x00000179, 0x00000179, get_const, NULL, .arg = 0 },
	{ 0x0000017a, 0x0000017a, get_field, set_checked, OFF(msr.mcg_status), .arg = ~7ull },
	{ 0x000001a0, 0x000001a0, get_field, set_misc_enable, OFF(msr.misc_enable) },
	/* DEBUGCTL and the last-branch registers */
	{ 0x000001d9, 0x000001d9, get_const, set_ignored, .arg = 0 },
	{ 0x000001db, 0x000001de, get_const, NULL, .arg = 0 },
	{ 0x00000200, 0x0000020f, get_field, set_mtrr_var, OFF(msr.mtrr_var) },
	{ 0x00000250, 0x00000250, get_field, set_mtrr_fixed, OFF(msr.mtrr_fixed[0]), .arg = 0 },
	{ 0x00000258, 0x00000259, get_field, set_mtrr_fixed, OFF(msr.mtrr_fixed[1]), .arg = 1 },
	{ 0x00000268, 0x0000026f, get_field, set_mtrr_fixed, OFF(msr.mtrr_fixed[3]), .arg = 3 },
	{ 0x00000277, 0x00000277, get_field, set_pat, OFF(pat) },
	{ 0x000002ff, 0x000002ff, get_field, set_mtrr_def, OFF(msr.mtrr_def_type) },
	{ 0x4b564d00, 0x4b564d00, get_field, set_kvm_wall_clock, OFF(msr.kvm_wall_clock) },
	{ 0x4b564d01, 0x4b564d01, get_field, set_kvm_system_time, OFF(msr.kvm_system_time) },
	{ 0xc0000080, 0xc0000080, get_field, set_efer, OFF(efer) },
	{ 0xc0000081, 0xc0000081, get_field, set_field, OFF(star) },
	{ 0xc0000082, 0xc0000082, get_field, set_canonical, OFF(lstar) },
	{ 0xc0000083, 0xc0000083, get_field, set_canonical, OFF(cstar) },
	{ 0xc0000084, 0xc0000084, get_field, set_low32, OFF(sfmask) },
	{ 0xc0000100, 0xc0000100, get_seg_base, set_seg_base, .arg = SEG_FS },
	{ 0xc0000101, 0xc0000101, get_seg_base, set_seg_base, .arg = SEG_GS },
	{ 0xc0000102, 0xc0000102, get_field, set_canonical, OFF(kernel_gs_base) },
	{ 0xc0000103, 0xc0000103, get_field, set_low32, OFF(tsc_aux) },
	{ 0xc0010010, 0xc0010010, get_field, set_field, OFF(msr.syscfg) },
	{ 0xc0010015, 0xc0010015, get_field, set_hwcr, OFF(msr.hwcr) },
	{ 0xc001001f, 0xc001001f, get_field, set_field, OFF(msr.nb_cfg) },
	{ 0xc0011020, 0xc0011020, get_field, set_field, OFF(msr.ls_cfg) },
	/* DE_CFG, with the bit that makes LFENCE serialise */
	{ 0xc0011029, 0xc0011029, get_field, set_field, OFF(msr.de_cfg) },
};
/* clang-format on */

static const struct msr_desc *
msr_find(uint32_t msr)
{
	size_t lo = 0, hi = ARRAY_LEN(msr_table);

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (msr < msr_table[mid].first)
			hi = mid;
		else if (msr > msr_table[mid].last)
			lo = mid + 1;
		else
			return &msr_table[mid];
	}
	return NULL;
}

/* --- RDMSR, WRMSR ------------------------------------------------------ */

#define MSR_IA32_TSC	    0x10u
#define MSR_IA32_TSC_ADJUST 0x3bu

static void
exit_unknown(struct soft_cpu *c, const struct insn *i, enum vm_exitcode code,
    uint32_t msr, uint64_t val)
{
	c->exit.exitcode = code;
	c->exit.inst_length = i->len;
	c->exit.rip = c->rip;
	c->exit.u.msr.code = msr;
	c->exit.u.msr.wval = val;
	c->exit_next_rip = next_rip(c, i, c->rip);
	c->leave = LEAVE_EXIT;
}

static bool
rdmsr(struct soft_cpu *c, const struct insn *i, uint32_t msr)
{
	const struct msr_desc *d = msr_find(msr);
	uint64_t val = 0;
	enum msr_result r;

	if (d != NULL) {
		if (d->get == NULL)
			return cpu_raise_gp(c, 0);
		val = d->get(c, d, msr);
	} else {
		fpu_park(c);
		r = bus_rdmsr(c->vcpu, msr, &val);
		if (r == MSR_GP)
			return cpu_raise_gp(c, 0);
		if (r == MSR_UNKNOWN) {
			exit_unknown(c, i, VM_EXITCODE_RDMSR, msr, 0);
			return false;
		}
	}
	c->gpr[R_RAX] = (uint32_t)val;
	c->gpr[R_RDX] = val >> 32;
	return true;
}

void
sys_rdmsr(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->rip = rip;
	if (c->cpl != 0) {
		cpu_raise_gp(c, 0);
		return;
	}
	if (rdmsr(c, i, (uint32_t)c->gpr[R_RCX]))
		c->rip = next_rip(c, i, rip);
}

static bool
wrmsr(struct soft_cpu *c, const struct insn *i, uint32_t msr, uint64_t val)
{
	const struct msr_desc *d = msr_find(msr);

	if (d != NULL) {
		if (d->set == NULL || !d->set(c, d, msr, val))
			return cpu_raise_gp(c, 0);
		return true;
	}
	fpu_park(c);
	switch (bus_wrmsr(c->vcpu, msr, val)) {
	case MSR_GP:
		return cpu_raise_gp(c, 0);
	case MSR_UNKNOWN:
		exit_unknown(c, i, VM_EXITCODE_WRMSR, msr, val);
		return false;
	case MSR_OK:
		break;
	}
	if (msr == MSR_IA32_TSC || msr == MSR_IA32_TSC_ADJUST)
		kvmclock_tsc_changed(c);
	return true;
}

void
sys_wrmsr(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t val = c->gpr[R_RDX] << 32 | (uint32_t)c->gpr[R_RAX];

	c->rip = rip;
	if (c->cpl != 0) {
		cpu_raise_gp(c, 0);
		return;
	}
	if (wrmsr(c, i, (uint32_t)c->gpr[R_RCX], val))
		c->rip = next_rip(c, i, rip);
}

/* --- time stamps, counters --------------------------------------------- */

static uint64_t
read_tsc(struct soft_cpu *c)
{
	if (unlikely(c->tsc.base == NULL)) {
		fpu_park(c);
		/* Under a manual clock (tests) each read asks. */
		if (!vcpu_tsc_source(c->vcpu, &c->tsc)) {
			c->tsc.base = NULL;
			return vcpu_rdtsc(c->vcpu);
		}
	}
	/*
	 * RDTSCP waits for the loads before it, and guests order reads of the
	 * TSC between processors by it.  The host's RDTSC does not, so LFENCE.
	 */
	__asm__ volatile("lfence" ::: "memory");
	return __builtin_ia32_rdtsc() -
	       __atomic_load_n(c->tsc.base, __ATOMIC_RELAXED) +
	       __atomic_load_n(c->tsc.offset, __ATOMIC_RELAXED);
}

static void
do_rdtsc(struct soft_cpu *c)
{
	uint64_t tsc = read_tsc(c);

	c->gpr[R_RAX] = (uint32_t)tsc;
	c->gpr[R_RDX] = tsc >> 32;
}

/* RDTSC, and RDTSCP with row argument 1. */
void
sys_rdtsc(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->rip = rip;
	if ((c->cr4 & CR4_TSD) && c->cpl != 0) {
		cpu_raise_gp(c, 0);
		return;
	}
	do_rdtsc(c);
	if (i->x & 1)
		c->gpr[R_RCX] = (uint32_t)c->tsc_aux;
	NEXT(c, i, rip);
}

/* There are no counters. */
void
sys_rdpmc(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->rip = rip;
	cpu_raise_gp(c, 0);
}

void
sys_rdpid(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	reg_set(c, i->r2, c->mode & MODE_64 ? 8 : 4, c->tsc_aux);
	NEXT(c, i, rip);
}
