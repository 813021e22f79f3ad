/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_vmm.h - a machine without a processor, for tests of chips: the real
 * buses, lines, timers and snapshots of src/vmm, an engine that runs nothing
 * (fake_engine.h), a clock moved by hand, and short names for what a guest
 * would do.
 */
#ifndef TESTS_DEV_FAKE_VMM_H
#define TESTS_DEV_FAKE_VMM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <vmm/bus.h>
#include <vmm/chip.h>
#include <vmm/engine.h>
#include <vmm/event.h>
#include <vmm/irq.h>
#include <vmm/snap.h>
#include <vmm/vcpu.h>
#include <vmm/vm.h>
#include <vmmapi.h>

#define FAKE_MS 1000000ull

/* Manual clock at 0; every vCPU open and active. */
struct vmctx *fake_vm_new(unsigned int ncpus);
void fake_vm_free(struct vmctx *);

/* Guest accesses; an MSR access must not fault, a port must be claimed. */
uint32_t fake_in(struct vcpu *, uint16_t port, unsigned int bytes);
void fake_out(struct vcpu *, uint16_t port, unsigned int bytes, uint32_t val);
uint64_t fake_mmio_read(struct vcpu *, uint64_t gpa, unsigned int bytes);
void
fake_mmio_write(struct vcpu *, uint64_t gpa, unsigned int bytes, uint64_t val);
uint64_t fake_rdmsr(struct vcpu *, uint32_t msr);
void fake_wrmsr(struct vcpu *, uint32_t msr, uint64_t val);
bool fake_rdmsr_gp(struct vcpu *, uint32_t msr);
bool fake_wrmsr_gp(struct vcpu *, uint32_t msr, uint64_t val);
static inline uint8_t
fake_in8(struct vcpu *vcpu, uint16_t port)
{
	return (uint8_t)fake_in(vcpu, port, 1);
}
static inline void
fake_out8(struct vcpu *vcpu, uint16_t port, uint8_t val)
{
	fake_out(vcpu, port, 1, val);
}

/* What the vCPU's local APIC offers, and taking it. */
int fake_pending(struct vcpu *);
int fake_accept(struct vcpu *);
/* The event bits since last asked (VCPU_EV_x). */
uint32_t fake_events(struct vcpu *);
uint64_t fake_stat(struct vcpu *, enum vm_stat);

/* All chips to a stream, and back: 0 or -errno.  The stream is the caller's. */
struct snap *fake_save(struct vmctx *);
int fake_load(struct vmctx *, const struct snap *saved);
/* As fake_load() with byte `off` of the stream replaced. */
int fake_load_patched(
    struct vmctx *, const struct snap *saved, size_t off, uint8_t byte);

/* Two streams are the same bytes. */
bool fake_same(const struct snap *, const struct snap *);

#endif /* TESTS_DEV_FAKE_VMM_H */
