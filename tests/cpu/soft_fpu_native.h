/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * soft_fpu_native.h - the host as oracle: executes one instruction with a given
 * register file and reports what became of it.
 */
#ifndef TESTS_CPU_SOFT_FPU_NATIVE_H
#define TESTS_CPU_SOFT_FPU_NATIVE_H

#include <stdbool.h>
#include <stdint.h>

/* Data the instructions work on, at the same addresses natively and emulated.
 */
#define NAT_DATA     0x20000000ull
#define NAT_DATA_LEN 0x2000u /* two pages; the third is not there */
#define NAT_PAGE     0x1000u
/* Where the instruction runs. */
#define NAT_INSN 0x10001000ull

struct nat_state {
	_Alignas(64) uint8_t xsave[1024]; /* XSAVE64, standard format */
	uint64_t gpr[16];
	uint64_t rflags;
	uint64_t host_rsp;
};

/* Once; before anything else installs signal handlers. */
void nat_init(void);
extern uint8_t *const nat_data;

/*
 * Runs bytes[0..len) on *s.  Returns -1, or the vector of the exception it
 * raised, with *s as the handler finds it.
 */
int nat_run(struct nat_state *s, const uint8_t *bytes, unsigned int len);

#endif /* TESTS_CPU_SOFT_FPU_NATIVE_H */
