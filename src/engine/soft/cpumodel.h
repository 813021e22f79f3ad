/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpumodel.h - the CPU model: every leaf computed once per machine.  Private to
 * cpuid.c (queries, on the vCPU's thread) and cpuid_build.c (construction).
 */
#ifndef ENGINE_SOFT_CPUMODEL_H
#define ENGINE_SOFT_CPUMODEL_H

#include "sys.h"

/* What a vCPU adds to a leaf when it is asked. */
enum cpuid_patch {
	PATCH_NONE,
	PATCH_FEATURES,	    /* 1: APIC id, threads, OSXSAVE */
	PATCH_EXT_FEATURES, /* 0x80000001: CMP_LEGACY */
	PATCH_LEVEL,	    /* 0xB: x2APIC id and level */
	PATCH_XSAVE,	    /* 0xD: EBX = size for the present XCR0 */
	PATCH_CORES,	    /* 0x80000008: threads of the package */
	PATCH_CACHE,	    /* 0x8000001D: who shares it */
	PATCH_TOPOLOGY,	    /* 0x8000001E */
};

#define SUB_ANY UINT32_MAX /* the leaf has no sub-leaves */

struct cpuid_entry {
	uint32_t leaf, sub;
	enum cpuid_patch patch;
	struct cpuid_regs r;
};

#define CPUID_ENTRIES 64

struct cpuid_model {
	uint64_t cr4_mask, efer_mask;
	/* The machine's own; set before the first vCPU exists. */
	const struct vm_topology *topo;
	unsigned int n;
	struct cpuid_entry e[CPUID_ENTRIES];
};

#endif /* ENGINE_SOFT_CPUMODEL_H */
