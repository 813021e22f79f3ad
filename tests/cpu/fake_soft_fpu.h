/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_soft_fpu.h - the parts of the software CPU that fpu.h's implementation
 * calls, over one flat piece of memory.  General registers only: the guest's FP
 * state is live while these run.
 */
#ifndef TESTS_CPU_FAKE_SOFT_FPU_H
#define TESTS_CPU_FAKE_SOFT_FPU_H

#include <cpu.h>
#include <insn.h>

/* How an access to [base, base + len) is served. */
enum fake_path {
	FAKE_TLB,    /* fast path */
	FAKE_PTR,    /* TLB miss, mem_host_ptr() works inside a page */
	FAKE_BOUNCE, /* by value only */
	FAKE_PATHS
};

struct fake_mem {
	uint64_t base;
	unsigned int len;
	uint8_t *host;
	enum fake_path path;
	bool read_only;
	unsigned int wrote; /* mem_wrote() calls */
};
extern struct fake_mem fake_mem;

/* Fill or empty c's TLB as fake_mem.path says. */
void fake_tlb(struct soft_cpu *c);
void fake_end(struct soft_cpu *c, const struct insn *i, uint64_t rip);

#endif /* TESTS_CPU_FAKE_SOFT_FPU_H */
