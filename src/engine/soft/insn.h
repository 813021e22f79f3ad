/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * insn.h - the cached form of a decoded instruction, and how handlers work.
 *
 * decode.c turns bytes into a block: an array of struct insn.  Executing is
 * calling insns[0].fn; each handler does its work and tail-calls the next
 *slot's. So dispatch is one indirect jump, the program counter stays in an
 *argument register, and nothing of the guest lives in C locals across
 *instructions.
 *
 *	void op_xyz(struct soft_cpu *c, const struct insn *i, uint64_t rip)
 *	{
 *		... work ...
 *		NEXT(c, i, rip);
 *	}
 *
 * `rip` is the address of instruction i.  A handler that faults sets c->rip
 * = rip (the macros below do), records the exception, and returns: back in the
 * run loop.  A handler whose instruction ends a block (branches, everything
 * that changes mode, mapping, interrupt flag, or leaves the CPU) sets c->rip to
 *the next instruction's address and returns or chains (run.h).
 *
 * Handlers must keep locals' addresses to themselves: a local whose address
 * escapes prevents the tail call.  Results of slow paths therefore come back in
 * c->mem_val and c->ea.
 */
#ifndef ENGINE_SOFT_INSN_H
#define ENGINE_SOFT_INSN_H

#include "cpu.h"

typedef void (*insn_fn)(struct soft_cpu *c, const struct insn *i, uint64_t rip);

struct insn {
	insn_fn fn;
	uint8_t len;
	uint8_t opsize; /* operand size in bytes: 1 2 4 8 */
	uint8_t r1;	/* first register operand: byte offset into gpr[] */
	uint8_t r2;	/* second */
	uint8_t base;	/* gpr number, R_ZERO when absent */
	uint8_t index;
	uint8_t scale; /* shift count 0..3 */
	uint8_t mem;   /* MEM_* and the segment in the low 3 bits */
	int32_t disp;
	uint32_t x; /* handler's own: INSN_* below, low 16 bits free use */
	union {
		int64_t imm;
		void *p;
	};
};
static_assert(sizeof(struct insn) == 32, "two to a cache line");

/* insn.mem.  No bit beyond the segment: 64-bit mode, base 0, 64-bit address. */
#define MEM_SEG_MASK 0x07u
#define MEM_RIP	     0x08u /* add rip + len */
#define MEM_SEGBASE  0x10u /* add the segment's base: FS/GS in 64-bit mode */
#define MEM_A32	     0x20u /* truncate the offset to 32 bits */
#define MEM_A16	     0x40u /* ... to 16 bits */
/*
 * Not 64-bit mode: base, limit and type checks.  Without it MEM_A32 may be a
 * flat segment's operand there (MODE_FLAT), whose only check is that it does
 * not run past 4 GiB: no TLB slot holds what does, and insn_ea_slow() looks.
 */
#define MEM_LEGACY  0x80u
#define MEM_SPECIAL 0xf8u

/* insn.x */
#define INSN_LOCK     0x80000000u
#define INSN_REP      0x40000000u /* F3 */
#define INSN_REPNE    0x20000000u /* F2 */
#define INSN_HASMEM   0x10000000u /* the r/m operand is memory */
#define INSN_A32      0x08000000u /* effective address size 32 (strings, loops) */
#define INSN_A16      0x04000000u
#define INSN_REGCOUNT 0x02000000u /* shift count in CL, bit offset in r1 */

/* Register operand access by byte offset; 32-bit writes zero-extend. */
#define REG_PTR(c, off, type) ((type *)((uint8_t *)(c) + (off)))
#define REG8(c, off)	      (*REG_PTR(c, off, uint8_t))
#define REG16(c, off)	      (*REG_PTR(c, off, uint16_t))
#define REG32(c, off)	      (*REG_PTR(c, off, uint32_t))
#define REG64(c, off)	      (*REG_PTR(c, off, uint64_t))
/* Any size: reads zero-extended; writes as hardware does. */
static inline uint64_t
reg_get(const struct soft_cpu *c, unsigned int off, unsigned int size)
{
	const void *p = (const uint8_t *)c + off;

	switch (size) {
	case 1:
		return *(const uint8_t *)p;
	case 2:
		return *(const uint16_t *)p;
	case 4:
		return *(const uint32_t *)p;
	default:
		return *(const uint64_t *)p;
	}
}

static inline void
reg_set(struct soft_cpu *c, unsigned int off, unsigned int size, uint64_t v)
{
	void *p = (uint8_t *)c + off;

	switch (size) {
	case 1:
		*(uint8_t *)p = (uint8_t)v;
		break;
	case 2:
		*(uint16_t *)p = (uint16_t)v;
		break;
	case 4:
		*(uint64_t *)p = (uint32_t)v;
		break;
	default:
		*(uint64_t *)p = v;
	}
}

/*
 * SOFT_TAILCALLS is set by the build when the compiler turns sibling calls into
 * jumps (optimised, no sanitizer).  Without it blocks return to the run loop,
 * so the host stack stays bounded by the block length.
 */
#if defined(__clang__) && defined(SOFT_TAILCALLS)
#define TAILCALL __attribute__((musttail)) return
#else
#define TAILCALL return
#endif
#define NEXT(c, i, rip) TAILCALL(i)[1].fn((c), (i) + 1, (rip) + (i)->len)

/* Leave the chain with the fault or leave reason already recorded. */
#define FAULT(c, rip)                                                          \
	do {                                                                   \
		(c)->rip = (rip);                                              \
		return;                                                        \
	} while (0)
#define RAISE_UD(c, rip)                                                       \
	do {                                                                   \
		(c)->rip = (rip);                                              \
		cpu_raise_ud(c);                                               \
		return;                                                        \
	} while (0)
#define RAISE_GP(c, rip, err)                                                  \
	do {                                                                   \
		(c)->rip = (rip);                                              \
		cpu_raise_gp(c, err);                                          \
		return;                                                        \
	} while (0)

/* --- effective addresses ----------------------------------------------------
 */

enum { ACC_R = 1, ACC_W = 2, ACC_RW = 3, ACC_X = 4 };

/*
 * Linear address of i's memory operand in c->ea, for an access of `size` bytes:
 * RIP, segment bases, address size, and in legacy modes limit and type
 * checks (#GP / #SS; false with the exception recorded).  c->rip is set.
 */
bool insn_ea_slow(struct soft_cpu *c, const struct insn *i, unsigned int size,
    unsigned int acc);
/* Base, scaled index and displacement: all there is when no MEM_SPECIAL. */
static inline uint64_t
insn_sum(const struct soft_cpu *c, const struct insn *i)
{
	return c->gpr[i->base] + (c->gpr[i->index] << i->scale) +
	       (uint64_t)(int64_t)i->disp;
}

/* Offset part only, truncated to the address size (LEA, string bases). */
static inline uint64_t
insn_offset(const struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t a = insn_sum(c, i);

	if (i->mem & MEM_RIP)
		a += rip + i->len;
	if (i->mem & MEM_A32)
		a = (uint32_t)a;
	else if (i->mem & MEM_A16)
		a = (uint16_t)a;
	return a;
}

/* Declares `la`; returns from the handler on a fault. */
#define EA(la, c, i, rip, size, acc)                                           \
	uint64_t la;                                                           \
	if (likely(((i)->mem & MEM_SPECIAL) == 0)) {                           \
		la = insn_sum(c, i);                                           \
	} else {                                                               \
		(c)->rip = (rip);                                              \
		if (!insn_ea_slow((c), (i), (size), (acc)))                    \
			return;                                                \
		la = (c)->ea;                                                  \
	}

/*
 * The linear address of `off` in segment `seg` for implicit operands (strings,
 * stack, XLAT), with the same checks; result in c->ea.
 */
bool seg_linear(struct soft_cpu *c, unsigned int seg, uint64_t off,
    unsigned int size, unsigned int acc);

/* --- rows: which handler for which mnemonic ----------------------------------
 */

/*
 * For instructions without specialised fast forms a file exports rows: the
 * decoder fills struct insn in the general way (below) and stores fn.
 *
 * General filling:
 *   opsize   effective operand size (ZydisDecodedInstruction.operand_width / 8,
 *            at least 1)
 *   r1       ModRM.reg as a general register; for forms without ModRM.reg the
 *            first explicit register operand
 *   r2       ModRM.rm as a general register when not memory
 *   base..disp, mem, INSN_HASMEM   ModRM.rm when memory
 *   imm      first immediate, sign-extended as the instruction defines
 *   x        prefix bits; low 8 bits = ROW's arg
 * Register offsets respect REX and high-byte registers.  ROW_RAW rows instead
 * get the Zydis structures and the bytes, and fill the insn themselves (fpu
 * thunks).
 */
enum row_flags {
	ROW_END = 0x01, /* ends the block */
	ROW_REGNUM =
	    0x02, /* r1, r2 hold ModRM.reg / .rm *numbers* (CR, DR, segs) */
	ROW_LOCKOK = 0x04, /* LOCK allowed with a memory destination */
	ROW_CPL0 = 0x08, /* #GP(0) unless CPL 0, checked at decode (mode key) */
	ROW_NO64 = 0x10, /* #UD in 64-bit mode */
	ROW_ONLY64 = 0x20, /* #UD outside 64-bit mode */
	ROW_PE = 0x40,	   /* #UD in real and virtual-8086 mode */
};

struct insn_row {
	uint16_t mnemonic; /* ZydisMnemonic */
	uint8_t flags;
	uint8_t arg;
	insn_fn fn;
};
/* Each ends with fn NULL. */
extern const struct insn_row sys_rows[];
extern const struct insn_row int_rows[];

#endif /* ENGINE_SOFT_INSN_H */
