/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * int_stack.c - PUSH POP PUSHA POPA ENTER LEAVE, and the stack for others.
 *
 * The stack pointer is RSP, ESP or SP by mode (SDM 1 6.2.3); a write to it
 * keeps the bits above.  RSP changes only after the access can no longer fault.
 */
#include "int_ops.h"

#include <Zydis/Mnemonic.h>

#include "int_macros.h"

/* --- helpers
 * --------------------------------------------------------------------- */

static inline uint64_t
sp_mask(const struct soft_cpu *c)
{
	if (c->mode & MODE_64)
		return UINT64_MAX;
	return c->mode & MODE_SS32 ? 0xffffffffull : 0xffffull;
}

static inline void
sp_set(struct soft_cpu *c, uint64_t sp)
{
	uint64_t m = sp_mask(c);

	/* ESP in legacy modes: bits above 31 are not visible; keep them zero.
	 */
	if (m == 0xffff)
		c->gpr[R_RSP] = (c->gpr[R_RSP] & ~m) | (sp & m);
	else
		c->gpr[R_RSP] = sp & m;
}

/* Linear address of stack offset sp in c->ea; acc_seg set. */
static inline bool
stack_linear(
    struct soft_cpu *c, uint64_t sp, unsigned int size, unsigned int acc)
{
	c->acc_seg = SEG_SS;
	if (likely(c->mode & MODE_64)) {
		c->ea = sp;
		return true;
	}
	return seg_linear(c, SEG_SS, sp & sp_mask(c), size, acc);
}

bool
stack_push(struct soft_cpu *c, unsigned int size, uint64_t val)
{
	uint64_t sp = c->gpr[R_RSP] - size;

	if (!stack_linear(c, sp, size, ACC_W) ||
	    !mem_write_slow(c, c->ea, size, val))
		return false;
	sp_set(c, sp);
	return true;
}

bool
stack_peek(struct soft_cpu *c, unsigned int size, unsigned int off)
{
	return stack_linear(c, c->gpr[R_RSP] + off, size, ACC_R) &&
	       mem_read_slow(c, c->ea, size);
}

void
stack_adjust(struct soft_cpu *c, int64_t delta)
{
	sp_set(c, c->gpr[R_RSP] + (uint64_t)delta);
}

/* --- 64-bit mode, 8 bytes
 * ------------------------------------------------------------ */

#define PUSH64(val)                                                            \
	uint64_t la = c->gpr[R_RSP] - 8;                                       \
	const struct tlb_entry *e = tlb_slot(c, la);                           \
	if (likely(tlb_tag(la, 8) == e->wtag)) {                               \
		HOST_ST(uint64_t, la + e->addend, val);                        \
		c->gpr[R_RSP] = la;                                            \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	if (slow != NULL)                                                      \
		TAILCALL slow(c, i, rip);                                      \
	STORE(uint64_t, val, c, i, rip, la, SEG_SS);                           \
	c->gpr[R_RSP] = la;                                                    \
	NEXT_AFTER_STORE(c, i, rip)

MEM_HANDLER(op_push64_r, { PUSH64(REG64(c, i->r1)); })
MEM_HANDLER(op_push64_i, { PUSH64((uint64_t)i->imm); })
MEM_HANDLER(op_pop64_r, {
	uint64_t rsp = c->gpr[R_RSP];

	MEM_LOAD(uint64_t, v, rsp, SEG_SS);
	c->gpr[R_RSP] = rsp + 8;
	REG64(c, i->r1) = v; /* POP RSP: the loaded value wins */
	NEXT(c, i, rip);
})

/* --- every mode and size
 * --------------------------------------------------------------- */

static void
op_push_r(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->rip = rip;
	if (!stack_push(c, i->opsize, reg_get(c, i->r1, i->opsize)))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}

static void
op_push_i(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->rip = rip;
	if (!stack_push(c, i->opsize, (uint64_t)i->imm))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}

void
op_push_m(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	EA(la, c, i, rip, i->opsize, ACC_R)
	c->rip = rip;
	c->acc_seg = MEMSEG(i);
	if (!mem_read_slow(c, la, i->opsize) ||
	    !stack_push(c, i->opsize, c->mem_val))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}

static void
op_pop_r(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->rip = rip;
	if (!stack_peek(c, i->opsize, 0))
		return;
	stack_adjust(c, i->opsize);
	reg_set(c, i->r1, i->opsize, c->mem_val);
	NEXT(c, i, rip);
}

/* The address of POP m is computed with RSP already incremented (SDM 2B). */
void
op_pop_m(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t rsp = c->gpr[R_RSP], val, la;
	bool ok;

	c->rip = rip;
	if (!stack_peek(c, i->opsize, 0))
		return;
	val = c->mem_val;
	stack_adjust(c, i->opsize);
	ok = insn_ea_slow(c, i, i->opsize, ACC_W);
	la = c->ea;
	c->acc_seg = MEMSEG(i);
	if (!ok || !mem_write_slow(c, la, i->opsize, val)) {
		c->gpr[R_RSP] = rsp;
		return;
	}
	NEXT_AFTER_STORE(c, i, rip);
}

/*
 * PUSHA and POPA go slot by slot, as on AMD: what was done before a fault
 * stays, only the stack pointer moves at the end.
 */
static void
op_pusha(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t sp = c->gpr[R_RSP];
	unsigned int k, size = i->opsize;

	c->rip = rip;
	for (k = 0; k < 8; k++) {
		if (!stack_linear(c, sp - (k + 1) * size, size, ACC_W) ||
		    !mem_write_slow(c, c->ea, size, c->gpr[k]))
			return;
	}
	sp_set(c, sp - 8 * size);
	NEXT_AFTER_STORE(c, i, rip);
}

/* Slot order is DI SI BP (SP skipped) BX DX CX AX. */
static void
op_popa(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int k, size = i->opsize;

	c->rip = rip;
	for (k = 0; k < 8; k++) {
		if (!stack_peek(c, size, k * size))
			return;
		if (7 - k != R_RSP)
			reg_set(c, (7 - k) * 8, size, c->mem_val);
	}
	stack_adjust(c, 8 * (int64_t)size);
	NEXT(c, i, rip);
}

/* ENTER: r1 unused; imm: frame size | nesting level << 16. */
static void
op_enter(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int size = i->opsize, level = (i->imm >> 16) & 31, k;
	uint64_t sp = c->gpr[R_RSP], bp = c->gpr[R_RBP], frame;
	uint64_t m = sp_mask(c);

	c->rip = rip;
	sp -= size;
	if (!stack_linear(c, sp, size, ACC_W) ||
	    !mem_write_slow(c, c->ea, size, bp))
		return;
	frame = (c->gpr[R_RSP] & ~m) | (sp & m);
	for (k = 1; k < level; k++) {
		bp -= size;
		if (!stack_linear(c, bp & m, size, ACC_R) ||
		    !mem_read_slow(c, c->ea, size))
			return;
		sp -= size;
		if (!stack_linear(c, sp, size, ACC_W) ||
		    !mem_write_slow(c, c->ea, size, c->mem_val))
			return;
	}
	if (level > 0) {
		sp -= size;
		if (!stack_linear(c, sp, size, ACC_W) ||
		    !mem_write_slow(c, c->ea, size, frame))
			return;
	}
	sp -= (uint64_t)i->imm & 0xffff;
	/* The final stack pointer must be writable (SDM 2A ENTER). */
	if (!stack_linear(c, sp, size, ACC_W) || !mem_probe_write(c, c->ea, 1))
		return;
	reg_set(c, R_RBP * 8, size, frame);
	sp_set(c, sp);
	NEXT_AFTER_STORE(c, i, rip);
}

static void
op_leave(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int size = i->opsize;
	uint64_t bp = c->gpr[R_RBP];

	c->rip = rip;
	if (!stack_linear(c, bp, size, ACC_R) || !mem_read_slow(c, c->ea, size))
		return;
	sp_set(c, bp + size);
	reg_set(c, R_RBP * 8, size, c->mem_val);
	NEXT(c, i, rip);
}

static void
op_leave64(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t bp = c->gpr[R_RBP];
	LOAD(uint64_t, v, c, i, rip, bp, SEG_SS)
	c->gpr[R_RSP] = bp + 8;
	c->gpr[R_RBP] = v;
	NEXT(c, i, rip);
}

/* --- 4 bytes on a flat stack: what misses the TLB or wraps begins anew -----
 */

HANDLER(op_push32_r)
{
	if (!stack32_push(c, REG32(c, i->r1)))
		TAILCALL op_push_r(c, i, rip);
	NEXT(c, i, rip);
}

HANDLER(op_push32_i)
{
	if (!stack32_push(c, (uint32_t)i->imm))
		TAILCALL op_push_i(c, i, rip);
	NEXT(c, i, rip);
}

/* From where the register `sp` points, which is ESP from then on. */
#define POP32(sp, reg, again)                                                  \
	uint32_t la = (uint32_t)c->gpr[sp];                                    \
	const void *p = tlb_read_ptr(c, la, 4);                                \
	if (unlikely(p == NULL))                                               \
		TAILCALL again(c, i, rip);                                     \
	c->gpr[R_RSP] = la + 4;                                                \
	REG64(c, reg) = HOST_LD(uint32_t, p); /* POP ESP: as POP RSP */        \
	NEXT(c, i, rip)

HANDLER(op_pop32_r)
{
	POP32(R_RSP, i->r1, op_pop_r);
}

HANDLER(op_leave32)
{
	POP32(R_RBP, R_RBP * 8, op_leave);
}

const struct ops_stack *
ops_stack_for(uint32_t mode, unsigned int opsize)
{
	static const struct ops_stack any = { op_push_r, op_push_i, op_pop_r,
		op_leave };
	static const struct ops_stack ops64 = { op_push64_r, op_push64_i,
		op_pop64_r, op_leave64 };
	static const struct ops_stack ops32 = { op_push32_r, op_push32_i,
		op_pop32_r, op_leave32 };

	if ((mode & MODE_64) != 0)
		return opsize == 8 ? &ops64 : &any;
	return mode_stack32(mode) && opsize == 4 ? &ops32 : &any;
}

const struct insn_row stack_rows[] = {
	{ ZYDIS_MNEMONIC_PUSHA, ROW_NO64, 0, op_pusha },
	{ ZYDIS_MNEMONIC_PUSHAD, ROW_NO64, 0, op_pusha },
	{ ZYDIS_MNEMONIC_POPA, ROW_NO64, 0, op_popa },
	{ ZYDIS_MNEMONIC_POPAD, ROW_NO64, 0, op_popa },
	{ ZYDIS_MNEMONIC_ENTER, 0, 0, op_enter },
	{ ZYDIS_MNEMONIC_LEAVE, 0, 0, op_leave },
	{ 0, 0, 0, NULL },
};
