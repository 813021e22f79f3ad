/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * topology.h - where a processor is: its APIC id, and the fields a guest cuts
 * out of it.
 *
 * An APIC id is package, core and thread, each in a field of whole bits (Intel
 * SDM 3A 8.9.1, AMD APM 3 E.3.6), so that ids have gaps where a count is no
 * power of two.  With powers of two they are the vCPU numbers, as on bhyve.
 * Integer arithmetic only: an engine may use it with guest FP state live.
 */
#ifndef VMM_TOPOLOGY_H
#define VMM_TOPOLOGY_H

#include <stdint.h>

#include <vmm/vcpu.h>

static inline uint32_t
vm_topology_bits_for(uint32_t count)
{
	return count <= 1 ? 0 : 32 - (uint32_t)__builtin_clz(count - 1);
}

/* Logical processors of a package. */
static inline uint32_t
vm_topology_siblings(const struct vm_topology *t)
{
	return (uint32_t)t->cores * t->threads;
}

/* Bits of the APIC id below the core's and below the package's number. */
static inline uint32_t
vm_topology_thread_bits(const struct vm_topology *t)
{
	return vm_topology_bits_for(t->threads);
}

static inline uint32_t
vm_topology_package_bits(const struct vm_topology *t)
{
	return vm_topology_bits_for(t->cores) + vm_topology_thread_bits(t);
}

/* Of vCPU `id`; at most 254 with VM_MAXCPU processors. */
static inline uint32_t
vm_topology_apic_id(const struct vm_topology *t, uint32_t id)
{
	uint32_t core = id / t->threads;

	return core / t->cores << vm_topology_package_bits(t) |
	       core % t->cores << vm_topology_thread_bits(t) | id % t->threads;
}

static inline uint32_t
vcpu_apic_id(const struct vcpu *vcpu)
{
	return vm_topology_apic_id(
	    vm_topology_get(vcpu_vm(vcpu)), (uint32_t)vcpu_id(vcpu));
}

/*
 * What CPUID says of vCPU `id`, into EAX, EBX, ECX, EDX: leaves 0xB and 0x1F at
 * a level (SDM 2A CPUID), and AMD's 0x8000001E (APM 3 E.4.17).
 */
static inline void
vm_topology_level(
    const struct vm_topology *t, uint32_t id, uint32_t level, uint32_t ret[4])
{
	ret[0] = ret[1] = 0;
	ret[2] = level & 0xff;
	ret[3] = vm_topology_apic_id(t, id);
	if (level == 0) { /* threads of a core */
		ret[0] = vm_topology_thread_bits(t);
		ret[1] = t->threads;
		ret[2] |= 0x100;
	} else if (level == 1) { /* threads of a package */
		ret[0] = vm_topology_package_bits(t);
		ret[1] = vm_topology_siblings(t);
		ret[2] |= 0x200;
	}
}

static inline void
vm_topology_amd(const struct vm_topology *t, uint32_t id, uint32_t ret[4])
{
	uint32_t core = id / t->threads;

	ret[0] = vm_topology_apic_id(t, id);
	ret[1] = core % t->cores | (uint32_t)(t->threads - 1) << 8;
	ret[2] = core / t->cores;
	ret[3] = 0;
}

/* The vCPU with that APIC id, or -1. */
static inline int
vm_topology_vcpu_of(const struct vm_topology *t, uint32_t apic_id)
{
	for (uint32_t id = 0; id < t->ncpus; id++)
		if (vm_topology_apic_id(t, id) == apic_id)
			return (int)id;
	return -1;
}

#endif /* VMM_TOPOLOGY_H */
