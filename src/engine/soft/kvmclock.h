/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvmclock.h - the paravirtual clock of KVM guests (kvmclock.c).  Ordinary C:
 * call after fpu_park().
 */
#ifndef ENGINE_SOFT_KVMCLOCK_H
#define ENGINE_SOFT_KVMCLOCK_H

#include "cpu.h"

/* MSR writes; an address outside RAM is the guest's loss. */
void kvmclock_write_system_time(struct soft_cpu *c, uint64_t val);
void kvmclock_write_wall_clock(struct soft_cpu *c, uint64_t val);
/* The guest moved its TSC: the page must say so. */
void kvmclock_tsc_changed(struct soft_cpu *c);

/* TSC to nanoseconds: (tsc << shift, or >> -shift) * mul >> 32. */
void kvmclock_scale(uint64_t hz, uint32_t *ret_mul, int8_t *ret_shift);

#endif /* ENGINE_SOFT_KVMCLOCK_H */
