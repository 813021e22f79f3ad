/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_soft.h - surroundings of the soft engine's MMU for its unit tests: RAM,
 * a vCPU by hand, a recording bus, and exceptions that are only recorded.
 */
#ifndef TESTS_CPU_FAKE_SOFT_H
#define TESTS_CPU_FAKE_SOFT_H

#include "cpu.h"

struct vcpu {
	uint32_t events;
};

#define FAKE_BUS_LOG 32
struct fake_bus {
	unsigned int n;
	struct {
		bool write;
		uint64_t gpa, val;
		unsigned int bytes;
	} log[FAKE_BUS_LOG];
};
/* Of the calling thread. */
extern _Thread_local struct fake_bus fake_bus;

/* What a read of the fake bus returns for the byte at gpa. */
static inline uint8_t
fake_bus_byte(uint64_t gpa)
{
	return (uint8_t)((gpa & 0xff) ^ 0x5a);
}

/* A machine with `lowmem` bytes of sparse RAM, MAXPHYADDR 40, no vCPU. */
struct soft_vm *fake_vm_create(uint64_t lowmem);
void fake_vm_destroy(struct soft_vm *vm);
/* vCPU `id`: real mode, flat, TLB empty; freed with the machine. */
struct soft_cpu *fake_cpu_create(struct soft_vm *vm, unsigned int id);

/* What cpu_update_mode() would choose for CPL and the control registers. */
void fake_cpu_mode(struct soft_cpu *c);

#endif /* TESTS_CPU_FAKE_SOFT_H */
