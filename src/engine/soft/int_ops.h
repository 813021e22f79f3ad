/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * int_ops.h - specialised handlers of the hot integer instructions, as tables
 * the decoder indexes by operand form and log2 of the operand size.
 */
#ifndef ENGINE_SOFT_INT_OPS_H
#define ENGINE_SOFT_INT_OPS_H

#include "insn.h"

/* r1: register operand (destination where there is one), r2: source register.
 */
struct ops_bin {
	insn_fn rr[4]; /* r1 op= r2 */
	insn_fn rm[4]; /* r1 op= [mem] */
	insn_fn mr[4]; /* [mem] op= r1 */
	insn_fn ri[4];
	insn_fn mi[4];
	insn_fn lock_mr[4]; /* NULL: LOCK not allowed */
	insn_fn lock_mi[4];
};
extern const struct ops_bin ops_add, ops_or, ops_adc, ops_sbb, ops_and, ops_sub,
    ops_xor, ops_cmp, ops_test, ops_mov;

struct ops_un {
	insn_fn r[4];
	insn_fn m[4];
	insn_fn lock_m[4];
};
extern const struct ops_un ops_inc, ops_dec, ops_neg, ops_not;

/* Count in imm, or in CL. */
struct ops_shift {
	insn_fn ri[4], rc[4], mi[4], mc[4];
};
extern const struct ops_shift ops_rol, ops_ror, ops_rcl, ops_rcr, ops_shl,
    ops_shr, ops_sar;

/* [source size log2 0..2][destination size log2 1..3] */
struct ops_ext {
	insn_fn r[3][4], m[3][4];
};
extern const struct ops_ext ops_movzx, ops_movsx;

extern const insn_fn ops_lea[4];
extern const insn_fn ops_xchg_rr[4], ops_xchg_mr[4];
extern const insn_fn ops_moffs_ld[4], ops_moffs_st[4]; /* imm: 64-bit address */
extern const insn_fn ops_imul_rr[4], ops_imul_rm[4], ops_imul_rri[4],
    ops_imul_rmi[4];
extern const insn_fn ops_cmov_r[16][4], ops_cmov_m[16][4];
extern const insn_fn ops_set_r[16], ops_set_m[16];

/* Branches.  imm: displacement, relative to the next instruction. */
extern const insn_fn ops_jcc[16];
/*
 * A comparison fused with the Jcc that follows it, whose x then says what is
 * tested.  fused_masks: of conditions 2, 4 ... 14; 0: cannot be fused.
 */
extern const struct ops_bin ops_fused_cmp, ops_fused_test;
extern const uint16_t fused_masks[16];
#define FUSED_MASK 0x0000ffffu
#define FUSED_NOT  0x00010000u
void op_jmp_rel(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_call_rel(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_jmp_r(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_jmp_m(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_call_r(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_call_m(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void
op_ret(struct soft_cpu *c, const struct insn *i, uint64_t rip); /* imm: bytes */
void op_loopcc(struct soft_cpu *c, const struct insn *i, uint64_t rip);
/* Block end without a branch: goes on at rip (no instruction of its own). */
void op_block_end(struct soft_cpu *c, const struct insn *i, uint64_t rip);

/* The stack, by how it is addressed and how wide an element is. */
struct ops_stack {
	insn_fn push_r, push_i, pop_r, leave;
};
const struct ops_stack *ops_stack_for(uint32_t mode, unsigned int opsize);
void op_push_m(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_pop_m(struct soft_cpu *c, const struct insn *i, uint64_t rip);

void op_nop(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_ud(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_gp0(struct soft_cpu *c, const struct insn *i, uint64_t rip);
/* Raise the page fault that fetching the next byte meets: bytes ran out. */
void op_nm(struct soft_cpu *c, const struct insn *i, uint64_t rip);

/* Stack helpers for other files: legacy modes and all sizes. */
bool stack_push(struct soft_cpu *c, unsigned int size, uint64_t val);
/* Value in c->mem_val; RSP moved only by stack_pop_commit. */
bool stack_peek(struct soft_cpu *c, unsigned int size, unsigned int off);
void stack_adjust(struct soft_cpu *c, int64_t delta);

/* Rows by file; the decoder indexes them all. */
extern const struct insn_row stack_rows[], misc_rows[];
/* IMUL with one operand (the mnemonic has three forms). */
insn_fn op_imul1_for(void);
extern const struct insn_row str_rows[];

#endif /* ENGINE_SOFT_INT_OPS_H */
