/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvmclock.c - MSR_KVM_SYSTEM_TIME and MSR_KVM_WALL_CLOCK.
 *
 * Linux Documentation/virt/kvm/x86/msr.rst.  The clock is the guest's TSC,
 * scaled, and counts from the machine's start: system_time is 0 at the TSC that
 * reads 0 before IA32_TSC_ADJUST is added.  So the pages of all vCPUs agree to
 * the tick, a page is written only when its MSR or the TSC is, and the
 * "stable" flag is true.
 * Ordinary C, on the vCPU's thread.
 */
#include "kvmclock.h"

#include <time.h>

#include <util/log.h>
#include <vmm/bus.h>

#define MSR_IA32_TSC_ADJUST 0x3bu
#define KVM_SYSTEM_TIME_ON  1u
#define PVCLOCK_TSC_STABLE  0x01u
#define NSEC_PER_SEC	    1000000000ull

struct pvclock_vcpu_time_info {
	uint32_t version; /* odd while it is written */
	uint32_t pad0;
	uint64_t tsc_timestamp;
	uint64_t system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags;
	uint8_t pad[2];
};
static_assert(sizeof(struct pvclock_vcpu_time_info) == 32, "msr.rst");
static_assert(offsetof(struct pvclock_vcpu_time_info, tsc_to_system_mul) == 24,
    "msr.rst");

struct pvclock_wall_clock {
	uint32_t version;
	uint32_t sec;
	uint32_t nsec;
};
static_assert(sizeof(struct pvclock_wall_clock) == 12, "msr.rst");

void
kvmclock_scale(uint64_t hz, uint32_t *ret_mul, int8_t *ret_shift)
{
	int8_t shift = 0;

	while (hz > 2 * NSEC_PER_SEC) {
		hz >>= 1;
		shift--;
	}
	while (hz <= NSEC_PER_SEC && hz != 0) {
		hz <<= 1;
		shift++;
	}
	*ret_mul = hz == 0 ? 0 : (uint32_t)((NSEC_PER_SEC << 32) / hz);
	*ret_shift = shift;
}

static uint64_t
scale(uint64_t tsc, uint32_t mul, int8_t shift)
{
	tsc = shift < 0 ? tsc >> -shift : tsc << shift;
	return (uint64_t)((unsigned __int128)tsc * mul >> 32);
}

static uint64_t
tsc_adjust(struct soft_cpu *c)
{
	uint64_t adjust;

	return bus_rdmsr(c->vcpu, MSR_IA32_TSC_ADJUST, &adjust) == MSR_OK
		   ? adjust
		   : 0;
}

static void
write_page(struct soft_cpu *c, uint64_t gpa)
{
	struct pvclock_vcpu_time_info t = { .version = 0 };
	uint32_t version;

	if (vm_mem_read(c->ctx, gpa, &version, sizeof(version)) != 0) {
		guest_error("kvmclock", "page at %#llx is not RAM",
		    (unsigned long long)gpa);
		return;
	}
	t.version = (version | 1) + 2; /* odd: being written */
	t.tsc_timestamp = tsc_adjust(c);
	kvmclock_scale(vm_tsc_hz(c->ctx), &t.tsc_to_system_mul, &t.tsc_shift);
	t.flags = PVCLOCK_TSC_STABLE;
	if (vm_mem_write(c->ctx, gpa, &t, sizeof(t)) != 0)
		return;
	/* Only this vCPU reads the page while it runs: no barrier needed. */
	t.version++;
	if (vm_mem_write(c->ctx, gpa, &t.version, sizeof(t.version)) != 0)
		guest_error("kvmclock", "page went away");
}

void
kvmclock_write_system_time(struct soft_cpu *c, uint64_t val)
{
	c->msr.kvm_system_time = val;
	if (val & KVM_SYSTEM_TIME_ON)
		write_page(c, val & ~(uint64_t)KVM_SYSTEM_TIME_ON);
}

void
kvmclock_tsc_changed(struct soft_cpu *c)
{
	if (c->msr.kvm_system_time & KVM_SYSTEM_TIME_ON)
		write_page(
		    c, c->msr.kvm_system_time & ~(uint64_t)KVM_SYSTEM_TIME_ON);
}

/* Wall time at system_time 0. */
void
kvmclock_write_wall_clock(struct soft_cpu *c, uint64_t val)
{
	struct pvclock_wall_clock w;
	struct timespec now;
	uint64_t ns, up;
	uint32_t mul;
	int8_t shift;

	c->msr.kvm_wall_clock = val;
	if (vm_mem_read(c->ctx, val, &w, sizeof(w)) != 0) {
		guest_error("kvmclock", "wall clock at %#llx is not RAM",
		    (unsigned long long)val);
		return;
	}
	kvmclock_scale(vm_tsc_hz(c->ctx), &mul, &shift);
	up = scale(vcpu_rdtsc(c->vcpu) - tsc_adjust(c), mul, shift);
	clock_gettime(CLOCK_REALTIME, &now);
	ns = (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec - up;
	w.version = (w.version | 1) + 1;
	w.sec = (uint32_t)(ns / NSEC_PER_SEC);
	w.nsec = (uint32_t)(ns % NSEC_PER_SEC);
	if (vm_mem_write(c->ctx, val, &w, sizeof(w)) != 0)
		guest_error("kvmclock", "wall clock page went away");
}
