/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fpu.h - x87, MMX, SSE, AVX and the odd integer extension: executed by the
 * host's own instruction on the guest's values.
 *
 * Each such instruction gets a *thunk* at decode time: its own bytes with the
 * memory operand rewritten to [rdi] and general-register operands to ones the
 * thunk loads and stores, followed by RET; W^X memory, made once per distinct
 * rewritten byte string.  The guest's x87/SSE/AVX registers, MXCSR and control
 * word are live in the host's while c->fpu_live; fpu_park() saves them to
 * c->xsave, fpu_unpark() loads them.  With SOFT_FPU_EAGER (sanitizer builds) or
 * after fpu_set_eager(true) each thunk call loads and saves around itself.
 *
 * c->xsave is the XSAVE64 image, standard format, valid while !c->fpu_live:
 * every component's data is written whatever XSTATE_BV says, the x87 pointer
 * fields are zero (the guest's are c->fpu_ip and its neighbours).  Whoever
 * changes the data of a component sets its XSTATE_BV bit.
 */
#ifndef ENGINE_SOFT_FPU_H
#define ENGINE_SOFT_FPU_H

#include "cpu.h"
#include "insn.h"

struct ZydisDecodedInstruction_;
struct ZydisDecodedOperand_;

/* XCR0 bits the guest may enable: x87, SSE, and AVX when the host has it. */
uint64_t fpu_xcr0_supported(void);
void fpu_reset(struct soft_cpu *c, bool init);

/* General-register-only; callable from anywhere in the room. */
void fpu_park_slow(struct soft_cpu *c);
static inline void
fpu_park(struct soft_cpu *c)
{
	if (c->fpu_live)
		fpu_park_slow(c);
}
void fpu_unpark(struct soft_cpu *c);

/*
 * Decoder hook.  For an instruction that neither int_rows nor sys_rows nor the
 * fast table knows: fill *i (fn included) and return true, or false: #UD.
 * `bytes` are the instruction's.  Availability (#NM, #UD by CR0/CR4/XCR0) is
 * decided here from c->mode, which is part of the block's key.  Zydis types are
 * opaque here so that only decode.c and the thunk maker include its header.
 */
bool fpu_decode(struct soft_cpu *c, const struct ZydisDecodedInstruction_ *zi,
    const struct ZydisDecodedOperand_ *ops, const uint8_t *bytes,
    struct insn *i, bool *ret_ends_block);

/*
 * Thunk memory, SIGFPE handler; before any other function here.  May be called
 * again.  0 or -errno.
 */
int fpu_global_init(void);
/* For instructions decoded from now on. */
void fpu_set_eager(bool on);

#endif /* ENGINE_SOFT_FPU_H */
