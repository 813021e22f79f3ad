/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpuid.c - CPUID as a vCPU sees it: the machine's model (cpuid_build.c) plus
 * what depends on the vCPU and the topology.  AMD's way with leaves out of
 * range: zeros.
 *
 * APIC ids are the vCPU numbers.  When threads or cores are no power of two the
 * fields a guest cuts out of them are approximate, as on bhyve.
 * Runs on the vCPU's thread with guest FP state live: no libc.
 */
#include "cpumodel.h"

#define CPUID1_ECX_OSXSAVE     BIT(27)
#define CPUID1_EDX_HTT	       BIT(28)
#define CPUIDX1_ECX_CMP_LEGACY BIT(1)
#define CPUIDB_LEVEL_THREAD    0x100u
#define CPUIDB_LEVEL_CORE      0x201u
#define CACHE_L3	       3u
#define XSAVE_LEN_LEGACY       576u
#define XSAVE_LEN_AVX	       832u

/* --- topology ---------------------------------------------------------- */

static uint32_t
threads(const struct cpuid_model *m)
{
	return m->topo->threads;
}

/* Logical processors of a package. */
static uint32_t
siblings(const struct cpuid_model *m)
{
	return (uint32_t)m->topo->threads * m->topo->cores;
}

static uint32_t
bits_for(uint32_t count)
{
	return count <= 1 ? 0 : 32 - (uint32_t)__builtin_clz(count - 1);
}

static uint32_t
thread_bits(const struct cpuid_model *m)
{
	return bits_for(threads(m));
}

static uint32_t
package_bits(const struct cpuid_model *m)
{
	return bits_for(siblings(m));
}

static void
patch_level(const struct soft_cpu *c, uint32_t level, struct cpuid_regs *r)
{
	const struct cpuid_model *m = c->vm->cpuid;

	r->edx = c->id;
	if (level == 0) {
		r->eax = thread_bits(m);
		r->ebx = threads(m);
		r->ecx = CPUIDB_LEVEL_THREAD;
	} else if (level == 1) {
		r->eax = package_bits(m);
		r->ebx = siblings(m);
		r->ecx = CPUIDB_LEVEL_CORE;
	} else {
		r->ecx = level & 0xff;
	}
}

static void
patch_topology(const struct soft_cpu *c, struct cpuid_regs *r)
{
	const struct cpuid_model *m = c->vm->cpuid;
	uint32_t in_package = c->id & ((1u << package_bits(m)) - 1);

	r->eax = c->id;
	r->ebx = in_package >> thread_bits(m) | (threads(m) - 1) << 8;
	r->ecx = c->id >> package_bits(m);
}

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
	const struct cpuid_model *m = c->vm->cpuid;

	switch (what) {
	case PATCH_NONE:
		break;
	case PATCH_FEATURES:
		r->ebx |= (c->id & 0xff) << 24 | (siblings(m) & 0xff) << 16;
		if (siblings(m) > 1)
			r->edx |= CPUID1_EDX_HTT;
		if (c->cr4 & CR4_OSXSAVE)
			r->ecx |= CPUID1_ECX_OSXSAVE;
		break;
	case PATCH_EXT_FEATURES:
		if (siblings(m) > 1)
			r->ecx |= CPUIDX1_ECX_CMP_LEGACY;
		break;
	case PATCH_LEVEL:
		patch_level(c, sub, r);
		break;
	case PATCH_XSAVE:
		r->ebx = c->xcr0 & 4 ? XSAVE_LEN_AVX : XSAVE_LEN_LEGACY;
		break;
	case PATCH_CORES:
		r->ecx = (siblings(m) - 1) | package_bits(m) << 12;
		break;
	case PATCH_CACHE:
		r->eax |= ((sub == CACHE_L3 ? siblings(m) : threads(m)) - 1)
			  << 14;
		break;
	case PATCH_TOPOLOGY:
		patch_topology(c, r);
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
