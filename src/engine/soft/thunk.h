/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * thunk.h - between fpu_decode.c, which knows what an instruction is to the
 * guest, and thunk.c, which makes its host code.  Ordinary C (Zydis).
 */
#ifndef ENGINE_SOFT_THUNK_H
#define ENGINE_SOFT_THUNK_H

#include <Zydis/Zydis.h>

#include "cpu.h"

/* An instruction being decoded. */
struct fpu_job {
	struct soft_cpu *c;
	const ZydisDecodedInstruction *zi;
	const ZydisDecodedOperand *ops;
	const uint8_t *bytes;
	bool vex, mode64;
	bool scratch; /* the code goes to the thread's own slot */
	const ZydisDecodedOperand *mem; /* NULL: none */
};

/* Opcodes D8 to DF. */
bool x87_is(const ZydisDecodedInstruction *zi);
/* Leaves the instruction and data pointers alone (SDM 1 8.1.8). */
bool x87_is_control(ZydisMnemonic m);
/* FOP (SDM 1 8.1.9). */
uint32_t x87_opcode(const ZydisDecodedInstruction *zi);

/* `fp`: uses x87, MMX, SSE or AVX state.  NULL when there is no room. */
void *thunk_make(const struct fpu_job *j, bool fp);

#endif /* ENGINE_SOFT_THUNK_H */
