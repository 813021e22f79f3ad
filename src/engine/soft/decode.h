/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decode.h - from instruction bytes to struct insn.  Ordinary C (Zydis).
 */
#ifndef ENGINE_SOFT_DECODE_H
#define ENGINE_SOFT_DECODE_H

#include "cpu.h"
#include "insn.h"

struct ZydisDecodedInstruction_;
struct ZydisDecodedOperand_;

/*
 * Fills base, index, scale, disp, mem and INSN_HASMEM from a memory operand of
 * an instruction decoded for c->mode.  False when the address does not fit the
 * form (64-bit absolute offsets of MOV A0-A3).
 */
bool insn_fill_mem(const struct soft_cpu *c,
    const struct ZydisDecodedInstruction_ *zi,
    const struct ZydisDecodedOperand_ *op, struct insn *i);
/* Byte offset into gpr[] of a general register; high-byte registers too. */
uint8_t insn_reg_offset(int zydis_register);

/*
 * Decode one instruction from `bytes` (`avail` of them, at most 15 are used).
 * Returns its length and fills *i; *ret_ends tells that the block ends here.
 * 0 when more bytes are needed.  Bytes that are no instruction give one whose
 * handler raises #UD, length over 15 one that raises #GP.
 */
unsigned int decode_insn(struct soft_cpu *c, const uint8_t *bytes,
    unsigned int avail, struct insn *i, bool *ret_ends);

/*
 * Where `second`, the next instruction of a block, is a Jcc that can be fused
 * with `first`, a comparison, gives `first` the handler that does both.
 */
void decode_fuse(struct insn *first, const struct insn *second);

/* Once per process: the mnemonic index over all rows. */
void decode_global_init(void);

#endif /* ENGINE_SOFT_DECODE_H */
