/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpuid_build.c - the CPU model the guest sees, made from the host's CPUID.
 *
 * AMD APM 3 appendix E.  An AMD part of family 0x19 (Zen 3) on any host.
 * Instructions that the host executes for the guest are offered when the host
 * has them; what this engine does by itself (paging, interrupts, system
 * instructions) always.  The model is chosen for what a kernel then leaves
 * out: no Meltdown, so no second page table; AutoIBRS instead of retpolines;
 * SRSO_NO, BTC_NO, TSA_*_NO, SSB_NO instead of return thunks and buffer clears
 * (Linux: cpu_vuln_whitelist and cpu_vuln_blacklist in cpu/common.c).
 *
 * Hypervisor leaves: bhyve's at 0x40000000, with the TSC's frequency where
 * FreeBSD looks for it, and KVM's at 0x40000100 for kvmclock; Linux searches in
 * steps of 0x100 and takes the highest base it knows.
 *
 * Not offered: AVX-512, XSAVES, PKU, CET, MPX, TSX, MONITOR, LA57, performance
 * counters, SVM, SME, MISALIGNSSE, XSAVEERPTR.
 * Ordinary C, once per machine.
 */
#include "cpumodel.h"

#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>

#include "fpu.h"

/* Family 0x19, model 1, stepping 1. */
#define FAMILY_MODEL_STEPPING 0x00a00f11u
#define PHYS_BITS	      40u /* RAM and all PCI windows are below */
#define VIRT_BITS	      48u
#define APIC_BUS_KHZ	      134217u /* chip/lapic_timer.c: 2^27 Hz */

#define LEAF_BASIC_MAX	      0x0000000du
#define LEAF_EXT_MAX	      0x80000021u
#define LEAF_BHYVE	      0x40000000u
#define LEAF_BHYVE_MAX	      0x40000010u
#define LEAF_KVM	      0x40000100u

enum reg { EAX, EBX, ECX, EDX };

/* --- features ---------------------------------------------------------- */

#define F(n) (1u << (n))

/* A register of a feature leaf: bits taken from the host, bits always set. */
struct feature_row {
	uint32_t leaf, sub;
	enum reg reg;
	uint32_t host, always;
	uint32_t avx; /* part of `host` that needs AVX state */
};

static const struct feature_row feature_table[] = {
	{ .leaf = 1,
	    .reg = ECX,
	    /* SSE3 PCLMUL SSSE3 FMA CX16 SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE
	     * AVX F16C RDRAND */
	    .host = F(0) | F(1) | F(9) | F(12) | F(13) | F(19) | F(20) | F(22) |
		    F(23) | F(25) | F(26) | F(28) | F(29) | F(30),
	    /* PCID x2APIC TSC-deadline hypervisor */
	    .always = F(17) | F(21) | F(24) | F(31),
	    .avx = F(12) | F(28) | F(29) },
	{ .leaf = 1,
	    .reg = EDX,
	    /* FPU DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT
	     * PSE36 CLFSH MMX FXSR SSE SSE2 */
	    .always = F(0) | F(2) | F(3) | F(4) | F(5) | F(6) | F(7) | F(8) |
		      F(9) | F(11) | F(12) | F(13) | F(14) | F(15) | F(16) |
		      F(17) | F(19) | F(23) | F(24) | F(25) | F(26) },
	{ .leaf = 7,
	    .reg = EBX,
	    /* BMI1 AVX2 BMI2 RDSEED ADX SHA */
	    .host = F(3) | F(5) | F(8) | F(18) | F(19) | F(29),
	    /* FSGSBASE TSC_ADJUST SMEP ERMS INVPCID SMAP CLFLUSHOPT CLWB */
	    .always = F(0) | F(1) | F(7) | F(9) | F(10) | F(20) | F(23) | F(24),
	    .avx = F(5) },
	{ .leaf = 7,
	    .reg = ECX,
	    .host = F(9) | F(10),   /* VAES VPCLMULQDQ */
	    .always = F(2) | F(22), /* UMIP RDPID */
	    .avx = F(9) | F(10) },
	{ .leaf = 7, .reg = EDX, .always = F(4) }, /* FSRM */
	{ .leaf = 0xd, .sub = 1, .reg = EAX, .host = F(0) | F(1) | F(2) },
	{ .leaf = 0x80000001,
	    .reg = ECX,
	    .host = F(0) | F(5),      /* LAHF LZCNT */
	    .always = F(8) | F(22) }, /* PREFETCHW TOPOEXT */
	{ .leaf = 0x80000001,
	    .reg = EDX,
	    /* SYSCALL NX MMXEXT PDPE1GB RDTSCP LM, and what leaf 1 has, too */
	    .always = F(11) | F(20) | F(22) | F(26) | F(27) | F(29) | F(0) |
		      F(2) | F(3) | F(4) | F(5) | F(6) | F(7) | F(8) | F(9) |
		      F(12) | F(13) | F(14) | F(15) | F(16) | F(17) | F(23) |
		      F(24) },
	{ .leaf = 0x80000007, .reg = EDX, .always = F(8) }, /* invariant TSC */
	{ .leaf = 0x80000008,
	    .reg = EBX,
	    /* WBNOINVD IBPB SSB_NO BTC_NO IBPB_RET */
	    .always = F(9) | F(12) | F(26) | F(29) | F(30) },
	{ .leaf = 0x80000021,
	    .reg = EAX,
	    /* NoNestedDataBp LfenceAlwaysSerializing NullSelectorClearsBase
	     * AutoIBRS SRSO_NO */
	    .always = F(0) | F(2) | F(6) | F(8) | F(29) },
	{ .leaf = 0x80000021,
	    .reg = ECX,
	    .always = F(1) | F(2) }, /* TSA_*_NO */
};

/* --- building ---------------------------------------------------------- */

static struct cpuid_entry *
add(struct cpuid_model *m, uint32_t leaf, uint32_t sub, struct cpuid_regs r)
{
	struct cpuid_entry *e = &m->e[m->n++];

	assert(m->n <= CPUID_ENTRIES);
	e->leaf = leaf;
	e->sub = sub;
	e->patch = PATCH_NONE;
	e->r = r;
	return e;
}

static struct cpuid_entry *
get(struct cpuid_model *m, uint32_t leaf, uint32_t sub)
{
	for (unsigned int n = 0; n < m->n; n++)
		if (m->e[n].leaf == leaf &&
		    (m->e[n].sub == sub || m->e[n].sub == SUB_ANY))
			return &m->e[n];
	return add(m, leaf, sub, (struct cpuid_regs){ .eax = 0 });
}

static uint32_t *
reg_of(struct cpuid_regs *r, enum reg reg)
{
	uint32_t *p[] = { &r->eax, &r->ebx, &r->ecx, &r->edx };

	return p[reg];
}

static uint32_t
host_reg(uint32_t leaf, uint32_t sub, enum reg reg)
{
	struct cpuid_regs r;
	uint32_t max = __get_cpuid_max(leaf & 0x80000000u, NULL);

	if (leaf > max)
		return 0;
	__cpuid_count(leaf, sub, r.eax, r.ebx, r.ecx, r.edx);
	return *reg_of(&r, reg);
}

static void
build_features(struct cpuid_model *m, bool xsave, bool avx)
{
	for (size_t n = 0; n < ARRAY_LEN(feature_table); n++) {
		const struct feature_row *f = &feature_table[n];
		uint32_t host = f->host, *reg;
		/* Only leaves 7 and 0xD have sub-leaves. */
		uint32_t sub =
		    f->leaf == 7 || f->leaf == 0xd ? f->sub : SUB_ANY;

		if (!avx)
			host &= ~f->avx;
		if (!xsave && f->leaf == 1 && f->reg == ECX)
			host &= ~F(26);
		if (!xsave && f->leaf == 0xd)
			host = 0;
		if (host != 0)
			host &= host_reg(f->leaf, f->sub, f->reg);
		reg = reg_of(&get(m, f->leaf, sub)->r, f->reg);
		*reg |= host | f->always;
	}
}

static void
build_vendor(struct cpuid_model *m)
{
	struct cpuid_regs r = { LEAF_BASIC_MAX, 0x68747541, 0x444d4163,
		0x69746e65 }; /* "AuthenticAMD" */

	add(m, 0, SUB_ANY, r);
	r.eax = LEAF_EXT_MAX;
	add(m, 0x80000000, SUB_ANY, r);
}

static void
build_brand(struct cpuid_model *m)
{
	static const char brand[48] = "bhyve software x86-64 processor";

	for (uint32_t n = 0; n < 3; n++) {
		const char *p = brand + n * 16;

		add(m, 0x80000002 + n, SUB_ANY,
		    (struct cpuid_regs){ get_le32(p), get_le32(p + 4),
			get_le32(p + 8), get_le32(p + 12) });
	}
}

/* --- processors and caches --------------------------------------------- */

struct cache {
	uint32_t type, level, ways, sets;
};

#define CACHE_LINE 64u

static void
build_caches(struct cpuid_model *m)
{
	/* Sub-leaves 0 to 3; the last is shared by the package (cpuid.c). */
	static const struct cache table[] = {
		{ .type = 1, .level = 1, .ways = 8, .sets = 64 },
		{ .type = 2, .level = 1, .ways = 8, .sets = 64 },
		{ .type = 3, .level = 2, .ways = 8, .sets = 1024 },
		{ .type = 3, .level = 3, .ways = 16, .sets = 16384 },
	};

	for (uint32_t n = 0; n < ARRAY_LEN(table); n++) {
		const struct cache *k = &table[n];
		struct cpuid_regs r = {
			.eax = k->type | k->level << 5 | F(8),
			.ebx = (k->ways - 1) << 22 | (CACHE_LINE - 1),
			.ecx = k->sets - 1,
		};

		add(m, 0x8000001d, n, r)->patch = PATCH_CACHE;
	}
	/* The same caches, and TLBs, in the older leaves. */
	add(m, 0x80000005, SUB_ANY,
	    (struct cpuid_regs){
		0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140 });
	add(m, 0x80000006, SUB_ANY,
	    (struct cpuid_regs){
		0x5c002200, 0x68004200, 0x02006140, 0x00809140 });
}

static void
build_processors(struct cpuid_model *m)
{
	static const struct {
		uint32_t leaf;
		enum cpuid_patch patch;
		uint32_t eax, ebx;
	} table[] = {
		{ 1, PATCH_FEATURES, FAMILY_MODEL_STEPPING,
		    CACHE_LINE / 8 << 8 },
		{ 0xb, PATCH_LEVEL, 0, 0 },
		{ 0x80000001, PATCH_EXT_FEATURES, FAMILY_MODEL_STEPPING, 0 },
		{ 0x80000008, PATCH_CORES, PHYS_BITS | VIRT_BITS << 8, 0 },
		{ 0x8000001e, PATCH_TOPOLOGY, 0, 0 },
	};

	for (size_t n = 0; n < ARRAY_LEN(table); n++) {
		struct cpuid_entry *e = get(m, table[n].leaf, SUB_ANY);

		e->patch = table[n].patch;
		e->r.eax |= table[n].eax;
		e->r.ebx |= table[n].ebx;
	}
}

/* --- the rest
 * ---------------------------------------------------------------------------
 */

static void
build_xsave(struct cpuid_model *m, uint64_t xcr0)
{
	struct cpuid_regs r = { .eax = (uint32_t)xcr0,
		.ecx = xcr0 & 4 ? 832 : 576 };
	struct cpuid_entry *e;

	add(m, 0xd, 0, r)->patch = PATCH_XSAVE;
	e = get(m, 0xd, 1);
	if (e->r.eax & F(1))
		e->patch = PATCH_XSAVE;
	if (xcr0 & 4)
		add(m, 0xd, 2, (struct cpuid_regs){ .eax = 256, .ebx = 576 });
}

static void
build_hypervisor(struct cpuid_model *m, uint64_t tsc_hz)
{
	/* "bhyve bhyve " */
	add(m, LEAF_BHYVE, SUB_ANY,
	    (struct cpuid_regs){
		LEAF_BHYVE_MAX, 0x76796862, 0x68622065, 0x20657679 });
	add(m, LEAF_BHYVE_MAX, SUB_ANY,
	    (struct cpuid_regs){
		(uint32_t)(tsc_hz / 1000), APIC_BUS_KHZ, 0, 0 });
	/* "KVMKVMKVM" */
	add(m, LEAF_KVM, SUB_ANY,
	    (struct cpuid_regs){ LEAF_KVM + 1, 0x4b4d564b, 0x564b4d56, 0x4d });
	/* CLOCKSOURCE NOP_IO_DELAY CLOCKSOURCE2 CLOCKSOURCE_STABLE_BIT */
	add(m, LEAF_KVM + 1, SUB_ANY,
	    (struct cpuid_regs){ .eax = F(0) | F(1) | F(3) | F(24) });
}

static void
build_masks(struct cpuid_model *m, bool xsave)
{
	m->cr4_mask = CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE |
		      CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP |
		      CR4_FSGSBASE | CR4_PCIDE | CR4_SMEP | CR4_SMAP;
	if (xsave)
		m->cr4_mask |= CR4_OSXSAVE;
	m->efer_mask =
	    EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_AUTOIBRS;
}

int
cpuid_create(struct soft_vm *vm)
{
	struct cpuid_model *m = calloc(1, sizeof(*m));
	uint64_t xcr0 = fpu_xcr0_supported();
	bool xsave = host_reg(1, 0, ECX) & F(26), avx = xcr0 & 4;

	if (m == NULL)
		return -ENOMEM;
	m->topo = vm_topology_get(vm->ctx);
	build_vendor(m);
	/* The APIC timer never stops (ARAT). */
	add(m, 6, SUB_ANY, (struct cpuid_regs){ .eax = F(2) });
	build_features(m, xsave, avx);
	build_processors(m);
	build_caches(m);
	build_brand(m);
	if (xsave)
		build_xsave(m, xcr0);
	build_hypervisor(m, vm_tsc_hz(vm->ctx));
	build_masks(m, xsave);
	vm->cpuid = m;
	vm->phys_bits = PHYS_BITS;
	return 0;
}

void
cpuid_destroy(struct soft_vm *vm)
{
	free((void *)(uintptr_t)vm->cpuid);
	vm->cpuid = NULL;
}
