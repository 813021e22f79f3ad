/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpuid.c - CPUID as a vCPU sees it: the machine's model (cpuid_build.c) plus
 * what depends on the vCPU and the topology.  AMD's way with leaves out of
 * range: zeros.
 *
 * Topology: vmm/topology.h.
 * Runs on the vCPU's thread with guest FP state live: no libc.
 */
#include "cpumodel.h"

#include <vmm/topology.h>

#define CPUID1_ECX_OSXSAVE     BIT(27)
#define CPUID1_EDX_HTT	       BIT(28)
#define CPUIDX1_ECX_CMP_LEGACY BIT(1)
#define CACHE_L3	       3u
#define XSAVE_LEN_LEGACY       576u
#define XSAVE_LEN_AVX	       832u

/* --- queries ----------------------------------------------------------- */

static const struct cpuid_entry *
find(const struct cpuid_model *m, uint32_t leaf, uint32_t sub)
{
	for (unsigned int n = 0; n < m->n; n++)
		if (m->e[n].leaf == leaf &&
		    (m->e[n].sub == SUB_ANY || m->e[n].sub == sub))
			return &m->e[n];
	return NULL;
}

static void
patch(const struct soft_cpu *c, enum cpuid_patch what, uint32_t sub,
    struct cpuid_regs *r)
{
	const struct vm_topology *t = c->vm->cpuid->topo;
	uint32_t siblings = vm_topology_siblings(t), regs[4];

	switch (what) {
	case PATCH_NONE:
		break;
	case PATCH_FEATURES:
		r->ebx |= vm_topology_apic_id(t, c->id) << 24 | siblings << 16;
		if (siblings > 1)
			r->edx |= CPUID1_EDX_HTT;
		if (c->cr4 & CR4_OSXSAVE)
			r->ecx |= CPUID1_ECX_OSXSAVE;
		break;
	case PATCH_EXT_FEATURES:
		if (siblings > 1)
			r->ecx |= CPUIDX1_ECX_CMP_LEGACY;
		break;
	case PATCH_LEVEL:
		vm_topology_level(t, c->id, sub, regs);
		*r = (struct cpuid_regs){ regs[0], regs[1], regs[2], regs[3] };
		break;
	case PATCH_XSAVE:
		r->ebx = c->xcr0 & 4 ? XSAVE_LEN_AVX : XSAVE_LEN_LEGACY;
		break;
	case PATCH_CORES:
		r->ecx = (siblings - 1) | vm_topology_package_bits(t) << 12;
		break;
	case PATCH_CACHE:
		/* APIC ids that share it, gaps included: kernels divide by it.
		 */
		r->eax |= (BIT(sub == CACHE_L3 ? vm_topology_package_bits(t)
					       : vm_topology_thread_bits(t)) -
			      1)
			  << 14;
		break;
	case PATCH_TOPOLOGY:
		vm_topology_amd(t, c->id, regs);
		*r = (struct cpuid_regs){ regs[0], regs[1], regs[2], regs[3] };
		break;
	}
}

void
cpuid_query(const struct soft_cpu *c, uint32_t leaf, uint32_t sub,
    struct cpuid_regs *ret)
{
	const struct cpuid_entry *e = find(c->vm->cpuid, leaf, sub);

	ret->eax = ret->ebx = ret->ecx = ret->edx = 0;
	if (e == NULL)
		return;
	*ret = e->r;
	patch(c, e->patch, sub, ret);
}

uint64_t
cpuid_cr4_mask(const struct soft_cpu *c)
{
	return c->vm->cpuid->cr4_mask;
}

uint64_t
cpuid_efer_mask(const struct soft_cpu *c)
{
	return c->vm->cpuid->efer_mask;
}
