/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * int_branch.c - near branches, and how one block leads to the next.
 *
 * A branch within its page chains straight into the target's block through the
 * block's link; others look in the jump cache; what is not there, and any event
 * that waits, goes back to the run loop with c->rip at the target.
 */
#include "int_ops.h"

#include "block.h"
#include "int_macros.h"

#ifdef SOFT_TAILCALLS
/*
 * A kernel's path through an I/O is long and flat, and its decoded form comes
 * from the host's outer caches; a block's next lines are asked for as it
 * begins.
 */
#define ENTER_BLOCK(c, b, target)                                              \
	do {                                                                   \
		__builtin_prefetch((b)->insns + 2);                            \
		__builtin_prefetch((b)->insns + 4);                            \
		(c)->blk = (b);                                                \
		(c)->insns += (b)->n;                                          \
		return (b)->insns->fn((c), (b)->insns, (target));              \
	} while (0)
#else
#define ENTER_BLOCK(c, b, target)                                              \
	do {                                                                   \
		(c)->rip = (target);                                           \
		return;                                                        \
	} while (0)
#endif

/* struct block's links. */
enum { CHAIN_TAKEN, CHAIN_NEXT };

static inline bool
may_chain(const struct soft_cpu *c)
{
	return __atomic_load_n(c->events, __ATOMIC_RELAXED) == 0;
}

/*
 * Legacy modes: the target is truncated to the operand size and must lie within
 * the CS limit; 64-bit mode: canonical.  #GP(0) is on the branch itself.
 */
static inline uint64_t
branch_target(const struct insn *i, uint64_t target)
{
	if (i->opsize == 8)
		return target;
	return i->opsize == 4 ? (uint32_t)target : (uint16_t)target;
}

static inline bool
target_ok(const struct soft_cpu *c, uint64_t target)
{
	if (likely(c->mode & MODE_64))
		return cpu_is_canonical(target);
	return target <= c->seg[SEG_CS].limit;
}

/* Look the target up and go there; the linear page may differ. */
static inline void
chain_indirect(struct soft_cpu *c, uint64_t target)
{
	struct block *b;

	/* Within a CS limit the whole block must lie, not the target alone. */
	if (likely(may_chain(c)) &&
	    (c->mode & (MODE_ONE | MODE_CSLIMIT)) == 0) {
		b = block_find_fast(c, target);
		if (likely(b != NULL))
			ENTER_BLOCK(c, b, target);
	}
	c->rip = target;
}

/*
 * Direct branch that missed its link: is the target legal (of slot 0; where
 * the code just goes on, the fetch finds out), then find the block and, if
 * allowed, link.
 */
static __attribute__((noinline)) void
chain_miss(struct soft_cpu *c, uint64_t rip, uint64_t target, unsigned int slot)
{
	struct block *from = c->blk, *b;

	if (slot == CHAIN_TAKEN && unlikely(!target_ok(c, target)))
		RAISE_GP(c, rip, 0);
	c->rip = target;
	if (!may_chain(c) || (c->mode & MODE_ONE))
		return;
	b = block_find_fast(c, target);
	if (b == NULL || !block_in_limit(c, b, target))
		return;
	/* Same page: the link holds whatever maps here later (block.h). */
	if (((code_linear(c, rip) ^ code_linear(c, target)) & PAGE_MASK_) ==
		0 &&
	    !(from->flags & BLOCK_CHECK) && !(c->mode & MODE_CSLIMIT))
		from->link[slot] = b;
	ENTER_BLOCK(c, b, target);
}

/* What is linked is on the same page, and so a legal target. */
static inline void
chain_direct(
    struct soft_cpu *c, uint64_t rip, uint64_t target, unsigned int slot)
{
	struct block *b = c->blk->link[slot];

	if (likely(b != NULL) && likely(block_alive(b)) && likely(may_chain(c)))
		ENTER_BLOCK(c, b, target);
	return chain_miss(c, rip, target, slot);
}

void
op_block_end(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	(void)i;
	return chain_direct(c, rip, rip, CHAIN_NEXT);
}

#define DEF_JCC(cond)                                                          \
	HANDLER(jcc_##cond)                                                    \
	{                                                                      \
		uint64_t next = rip + i->len;                                  \
                                                                               \
		if (!cc_cond(c->cc, cond))                                     \
			return chain_direct(c, rip, next, CHAIN_NEXT);         \
		next = branch_target(i, next + (uint64_t)i->imm);              \
		return chain_direct(c, rip, next, CHAIN_TAKEN);                \
	}
/* clang-format off */
DEF_JCC(0) DEF_JCC(1) DEF_JCC(2) DEF_JCC(3)
DEF_JCC(4) DEF_JCC(5) DEF_JCC(6) DEF_JCC(7)
DEF_JCC(8) DEF_JCC(9) DEF_JCC(10) DEF_JCC(11)
DEF_JCC(12) DEF_JCC(13) DEF_JCC(14) DEF_JCC(15)
const insn_fn ops_jcc[16] = {
	jcc_0, jcc_1, jcc_2, jcc_3, jcc_4, jcc_5, jcc_6, jcc_7,
	jcc_8, jcc_9, jcc_10, jcc_11, jcc_12, jcc_13, jcc_14, jcc_15,
};
/* clang-format on */

/* --- CMP or TEST and the Jcc behind it in one handler -----------------------
 */

/*
 * A condition as a mask over cc ^ cc >> 15, whose bit 0 is OF ^ SF; O and NO,
 * which want OF itself, are not fused.  The Jcc keeps its own slot in the
 * block, so the slow way is simply the two handlers one after the other.
 */
const uint16_t fused_masks[16] = {
	[2] = 0x0100,  /* B: CF */
	[4] = 0x4000,  /* Z: ZF */
	[6] = 0x4100,  /* BE: CF or ZF */
	[8] = 0x8000,  /* S: SF */
	[10] = 0x0400, /* P: PF */
	[12] = 0x0001, /* L: SF != OF */
	[14] = 0x4001, /* LE: ZF, or SF != OF */
};

/* i is the comparison, which has just been done; x of the next is its mask. */
static inline void
fused_jump(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	const struct insn *j = i + 1;
	uint16_t cc = c->cc;
	uint64_t next;

	rip += i->len;
	next = rip + j->len;
	if ((((cc ^ cc >> 15) & j->x & FUSED_MASK) != 0) ==
	    ((j->x & FUSED_NOT) != 0))
		return chain_direct(c, rip, next, CHAIN_NEXT);
	return chain_direct(
	    c, rip, branch_target(j, next + (uint64_t)j->imm), CHAIN_TAKEN);
}

#define DEF_FUSED(name, bits, T, suf, con)                                     \
	HANDLER(fused_##name##_rr##bits)                                       \
	{                                                                      \
		alu_##name##bits(                                              \
		    c, GET_##bits(c, i->r1), GET_##bits(c, i->r2));            \
		return fused_jump(c, i, rip);                                  \
	}                                                                      \
	HANDLER(fused_##name##_ri##bits)                                       \
	{                                                                      \
		alu_##name##bits(c, GET_##bits(c, i->r1), (T)i->imm);          \
		return fused_jump(c, i, rip);                                  \
	}                                                                      \
	HANDLER(fused_##name##_rm##bits)                                       \
	{                                                                      \
		const insn_fn slow = ops_##name.rm[SIZE_##bits];               \
		MEM_EA(la, bits / 8, ACC_R);                                   \
		MEM_LOAD(T, b, la, MEMSEG(i));                                 \
		alu_##name##bits(c, GET_##bits(c, i->r1), b);                  \
		return fused_jump(c, i, rip);                                  \
	}                                                                      \
	HANDLER(fused_##name##_mr##bits)                                       \
	{                                                                      \
		const insn_fn slow = ops_##name.mr[SIZE_##bits];               \
		MEM_EA(la, bits / 8, ACC_R);                                   \
		MEM_LOAD(T, a, la, MEMSEG(i));                                 \
		alu_##name##bits(c, a, GET_##bits(c, i->r1));                  \
		return fused_jump(c, i, rip);                                  \
	}                                                                      \
	HANDLER(fused_##name##_mi##bits)                                       \
	{                                                                      \
		const insn_fn slow = ops_##name.mi[SIZE_##bits];               \
		MEM_EA(la, bits / 8, ACC_R);                                   \
		MEM_LOAD(T, a, la, MEMSEG(i));                                 \
		alu_##name##bits(c, a, (T)i->imm);                             \
		return fused_jump(c, i, rip);                                  \
	}
#define X(bits, T, suf, con)                                                   \
	DEF_FUSED(cmp, bits, T, suf, con)                                      \
	DEF_FUSED(test, bits, T, suf, con)
ALU_SIZES(X)
#undef X

#define FUSED_TABLE(name)                                                      \
	{                                                                      \
		.rr = TAB(fused_##name##_rr), .rm = TAB(fused_##name##_rm),    \
		.mr = TAB(fused_##name##_mr), .ri = TAB(fused_##name##_ri),    \
		.mi = TAB(fused_##name##_mi)                                   \
	}
const struct ops_bin ops_fused_cmp = FUSED_TABLE(cmp);
const struct ops_bin ops_fused_test = FUSED_TABLE(test);

void
op_jmp_rel(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t target = branch_target(i, rip + i->len + (uint64_t)i->imm);

	return chain_direct(c, rip, target, CHAIN_TAKEN);
}

/* LOOP LOOPE LOOPNE JCXZ JECXZ JRCXZ: x's low byte says which. */
enum { LOOPCC_LOOP, LOOPCC_LOOPE, LOOPCC_LOOPNE, LOOPCC_JCXZ };

static bool
loop_taken(struct soft_cpu *c, const struct insn *i)
{
	unsigned int size = i->x & INSN_A16 ? 2 : i->x & INSN_A32 ? 4 : 8;
	unsigned int kind = i->x & 0xff;
	uint64_t n = reg_get(c, R_RCX * 8, size);

	if (kind == LOOPCC_JCXZ)
		return n == 0;
	reg_set(c, R_RCX * 8, size, --n);
	if (size < 8)
		n &= (1ull << (size * 8)) - 1;
	if (n == 0)
		return false;
	if (kind == LOOPCC_LOOP)
		return true;
	return cc_cond(c->cc, 4) == (kind == LOOPCC_LOOPE);
}

void
op_loopcc(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t next = rip + i->len;
	uint64_t target = branch_target(i, next + (uint64_t)i->imm);
	uint64_t rcx = c->gpr[R_RCX];

	if (!loop_taken(c, i))
		return chain_direct(c, rip, next, CHAIN_NEXT);
	if (unlikely(!target_ok(c, target))) {
		c->gpr[R_RCX] = rcx;
		RAISE_GP(c, rip, 0);
	}
	return chain_direct(c, rip, target, CHAIN_TAKEN);
}

/* --- indirect jumps, calls, returns
 * ------------------------------------------------ */

void
op_jmp_r(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t target = reg_get(c, i->r1, i->opsize);

	if (unlikely(!target_ok(c, target)))
		RAISE_GP(c, rip, 0);
	return chain_indirect(c, target);
}

/* Target from memory, zero-extended; c->mem_val.  False: fault recorded. */
static bool
load_target(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t la = insn_offset(c, i, rip);
	const void *p;

	c->rip = rip;
	if (i->mem & (MEM_SEGBASE | MEM_A32 | MEM_LEGACY)) {
		if (!insn_ea_slow(c, i, i->opsize, ACC_R))
			return false;
		la = c->ea;
	}
	c->acc_seg = MEMSEG(i);
	p = tlb_read_ptr(c, la, 8);
	if (unlikely(p == NULL) || unlikely(i->opsize < 4))
		return mem_read_slow(c, la, i->opsize);
	c->mem_val =
	    i->opsize == 8 ? HOST_LD(uint64_t, p) : HOST_LD(uint32_t, p);
	return true;
}

void
op_jmp_m(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!load_target(c, i, rip))
		return;
	if (unlikely(!target_ok(c, c->mem_val)))
		RAISE_GP(c, rip, 0);
	return chain_indirect(c, c->mem_val);
}

/*
 * Push the return address or leave the handler.  Plain pushes need no call; a
 * handler with `slow` jumps there for the others.
 */
#define PUSH_RETURN()                                                          \
	{                                                                      \
		/* The return will look there. */                              \
		__builtin_prefetch(jc_slot(c, rip + i->len));                  \
		uint64_t sp_ = c->gpr[R_RSP] - 8;                              \
		const struct tlb_entry *e_ = tlb_slot(c, sp_);                 \
		if (likely(tlb_tag(sp_, 8) == e_->wtag) &&                     \
		    likely((c->mode & MODE_64) && i->opsize == 8)) {           \
			HOST_ST(uint64_t, sp_ + e_->addend, rip + i->len);     \
			c->gpr[R_RSP] = sp_;                                   \
		} else if (i->opsize != 4 || !mode_stack32(c->mode) ||         \
			   !stack32_push(c, (uint32_t)(rip + i->len))) {       \
			if (slow != NULL)                                      \
				TAILCALL slow(c, i, rip);                      \
			c->rip = rip;                                          \
			if (!stack_push(c, i->opsize, rip + i->len))           \
				return;                                        \
		}                                                              \
	}

/*
 * A call to an address that cannot be: the push faults first, as on AMD; only
 * then #GP(0), with nothing changed.
 */
static __attribute__((noinline)) void
call_bad_target(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t sp = c->gpr[R_RSP];
	uint64_t m = c->mode & MODE_64	   ? UINT64_MAX
		     : c->mode & MODE_SS32 ? UINT32_MAX
					   : UINT16_MAX;

	c->rip = rip;
	c->ea = (sp - i->opsize) & m;
	c->acc_seg = SEG_SS;
	if (!(c->mode & MODE_64) &&
	    !seg_linear(c, SEG_SS, c->ea, i->opsize, ACC_W))
		return;
	if (mem_probe_write(c, c->ea, i->opsize))
		cpu_raise_gp(c, 0);
}

MEM_HANDLER_EXTERN(op_call_rel, {
	uint64_t target = branch_target(i, rip + i->len + (uint64_t)i->imm);

	if (unlikely(!target_ok(c, target)))
		return call_bad_target(c, i, rip);
	PUSH_RETURN();
	if (slow == NULL && c->smc_hit) {
		c->rip = target;
		return;
	}
	return chain_direct(c, rip, target, CHAIN_TAKEN);
})

MEM_HANDLER_EXTERN(op_call_r, {
	uint64_t target = reg_get(c, i->r1, i->opsize);

	if (unlikely(!target_ok(c, target)))
		return call_bad_target(c, i, rip);
	PUSH_RETURN();
	return chain_indirect(c, target);
})

void
op_call_m(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	const insn_fn slow = NULL;
	uint64_t target;

	if (!load_target(c, i, rip))
		return;
	target = c->mem_val;
	if (unlikely(!target_ok(c, target)))
		return call_bad_target(c, i, rip);
	PUSH_RETURN();
	return chain_indirect(c, target);
}

MEM_HANDLER_EXTERN(op_ret, {
	uint64_t rsp = c->gpr[R_RSP], target;

	if (likely((c->mode & MODE_64) && i->opsize == 8)) {
		MEM_LOAD(uint64_t, v, rsp, SEG_SS);
		if (unlikely(!cpu_is_canonical(v)))
			RAISE_GP(c, rip, 0);
		c->gpr[R_RSP] = rsp + 8 + (uint64_t)i->imm;
		return chain_indirect(c, v);
	}
	if (mode_stack32(c->mode) && i->opsize == 4) {
		const void *p = tlb_read_ptr(c, (uint32_t)rsp, 4);

		target = p != NULL ? HOST_LD(uint32_t, p) : UINT64_MAX;
		if (likely(target_ok(c, target))) {
			c->gpr[R_RSP] = (uint32_t)(rsp + 4 + (uint64_t)i->imm);
			return chain_indirect(c, target);
		}
	}
	if (slow != NULL)
		TAILCALL slow(c, i, rip);
	c->rip = rip;
	if (!stack_peek(c, i->opsize, 0))
		return;
	target = c->mem_val;
	if (unlikely(!target_ok(c, target)))
		RAISE_GP(c, rip, 0);
	stack_adjust(c, (int64_t)i->opsize + i->imm);
	return chain_indirect(c, target);
})
