/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fpu_priv.h - shared by the files that implement fpu.h: fpu.c xsave.c vmask.c
 * (general registers only) and thunk.c fpu_global.c (ordinary C).
 *
 * A thunk is itself a handler.  Its prototype is insn_fn's with more arguments,
 * so that a register-only instruction's insn.fn *is* the thunk, and the
 * handlers of memory forms tail-call it with the operand's host address:
 *
 *	cmp byte [rdi + fpu_live], 0 ; je cold	   FP instructions only
 *	guest flags, general registers in	   if it reads them
 *	the instruction, memory operand [rcx], general registers eax ecx r8
 *	general registers, flags out		   if it writes them
 *	x87 instruction pointer &c.		   x87 only
 *	rdx += insn.len; rsi += 32; jmp [rsi]	   NEXT
 *
 * It touches caller-saved registers only and never the stack.  So a fault
 * inside it (SIGFPE) is handled by pointing RIP at a C function of the same
 * prototype: rdi rsi rdx still hold c, i, rip, and it returns to the thunk's
 * caller, the instruction not executed.
 */
#ifndef ENGINE_SOFT_FPU_PRIV_H
#define ENGINE_SOFT_FPU_PRIV_H

#include "cpu.h"
#include "fpu.h"
#include "insn.h"

/*
 * mem: host address of the memory operand.  dp, ds_op: x87 with memory, the
 * operand's offset and (FOP << 16 | segment selector).
 */
typedef void (*thunk_fn)(struct soft_cpu *c, const struct insn *i, uint64_t rip,
    void *mem, uint64_t dp, uint32_t ds_op);

/* --- the state as XSAVE64 leaves it (SDM 1 13.4) -------------------------- */

#define XF_X87	   0x1u
#define XF_SSE	   0x2u
#define XF_AVX	   0x4u
#define XF_ALL	   (XF_X87 | XF_SSE | XF_AVX)

#define MXCSR_INIT 0x1f80u
/* AMD's bit 17 (MM, misaligned SSE) is not offered to guests. */
#define MXCSR_MASK 0x0000ffffu
#define FCW_INIT   0x037fu
#define FSW_ES	   0x0080u
#define FSW_B	   0x8000u

/*
 * In c->xsave the pointer fields are always zero: the guest's are in
 * c->fpu_ip and its neighbours, and the host's never leave the host.
 */
struct xsave_area {
	uint16_t fcw, fsw;
	uint8_t ftw, rsvd5;
	uint16_t fop;
	uint32_t ptr[4]; /* FIP, FCS, FDP, FDS or two 64-bit offsets */
	uint32_t mxcsr, mxcsr_mask;
	uint64_t st[8][2];
	uint64_t xmm[16][2];
	uint64_t rsvd416[12];
	uint64_t xstate_bv, xcomp_bv;
	uint64_t rsvd528[6];
	uint64_t ymmh[16][2];
};
static_assert(offsetof(struct xsave_area, mxcsr) == 24, "SDM 1 10.5.1");
static_assert(offsetof(struct xsave_area, st) == 32, "SDM 1 10.5.1");
static_assert(offsetof(struct xsave_area, xmm) == 160, "SDM 1 10.5.1");
static_assert(offsetof(struct xsave_area, xstate_bv) == 512, "SDM 1 13.4.2");
static_assert(offsetof(struct xsave_area, ymmh) == 576, "CPUID.D.2:EBX");
static_assert(sizeof(struct xsave_area) <= XSAVE_AREA_MAX, "fits");

/* Parks, and returns the state for reading and changing. */
static inline struct xsave_area *
fpu_state(struct soft_cpu *c)
{
	fpu_park(c);
	return (struct xsave_area *)(void *)c->xsave;
}

/* What the processor computes when FCW and FSW are loaded. */
static inline void
x87_normalise(struct xsave_area *x)
{
	x->fcw = (uint16_t)((x->fcw & 0x1f3fu) | 0x40u);
	x->fsw &= (uint16_t) ~(FSW_ES | FSW_B);
	if (x->fsw & ~x->fcw & 0x3fu)
		x->fsw |= FSW_ES | FSW_B;
}

/*
 * Change TOP: the image has the registers in the stack's order, and they stay
 * where they are.
 */
static inline void
x87_set_top(struct xsave_area *x, unsigned int top)
{
	unsigned int turn = (top - (x->fsw >> 11)) & 7;

	for (; turn > 0; turn--) {
		uint64_t lo = x->st[0][0], hi = x->st[0][1];

		for (unsigned int r = 0; r < 7; r++) {
			x->st[r][0] = x->st[r + 1][0];
			x->st[r][1] = x->st[r + 1][1];
		}
		x->st[7][0] = lo;
		x->st[7][1] = hi;
	}
	x->fsw = (uint16_t)((x->fsw & ~0x3800u) | top << 11);
}

/* libc's, without libc; also what the compiler must not be tempted to call. */
static inline void
gpr_copy(void *dst, const void *src, size_t n)
{
	__asm__ volatile("rep movsb"
			 : "+D"(dst), "+S"(src), "+c"(n)
			 :
			 : "memory");
}

static inline void
gpr_zero(void *dst, size_t n)
{
	__asm__ volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(0) : "memory");
}

/* --- handlers ------------------------------------------------------------- */

/*
 * insn.x of thunks with a memory operand: FOP (x87), and whether a pending x87
 * exception comes before the operand's faults (x87, MMX).
 */
#define FPU_X_FOP  0x07ffu
#define FPU_X_WAIT 0x8000u

/* Which handler prepares a thunk's operand. */
enum fpu_form {
	FORM_REG, /* no memory operand */
	FORM_LD4,
	FORM_LD8,
	FORM_LD16,
	FORM_LD32,
	FORM_LD, /* insn.opsize bytes */
	FORM_LDA16,
	FORM_LDA32, /* #GP(0) unless aligned */
	FORM_ST4,
	FORM_ST8,
	FORM_ST16,
	FORM_ST32,
	FORM_ST,
	FORM_STA16,
	FORM_STA32,
	FORM_X87_LD, /* with data pointer; waiting */
	FORM_X87_ST,
	FORM_WAIT_TS, /* WAIT while CR0.TS is set: #NM if CR0.MP */
	FORM_FNINIT,
	FORM_LDMXCSR,
	FORM_COUNT
};
/* [1]: saves the state after each instruction (fpu_set_eager). */
extern const insn_fn fpu_forms[2][FORM_COUNT];

void op_fpu_nm(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_fpu_nop(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_fpu_uncached(struct soft_cpu *c, const struct insn *i, uint64_t rip);

/* xsave.c.  insn.x bit 0: REX.W. */
void op_fxsave(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_fxrstor(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_xsave(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_xsaveopt(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_xsavec(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_xrstor(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_xgetbv(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_xsetbv(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_fnstenv(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_fldenv(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_fnsave(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_frstor(struct soft_cpu *c, const struct insn *i, uint64_t rip);

/*
 * vmask.c: memory operands that are several accesses.  insn.r1: the data
 * register's number, insn.r2: the mask's, insn.x:
 */
#define VM_INDEX 0x000fu /* gather: number of the index register */
#define VM_IDX8	 0x0010u /* gather: indices are 8 bytes wide, else 4 */
#define VM_ELEM8 0x0020u /* elements are 8 bytes wide, else 4 */
#define VM_256	 0x0040u /* VEX.L */
#define VM_VEX	 0x0080u
#define VM_MMX	 0x0100u /* MASKMOVQ */
void op_gather(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_maskload(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_maskstore(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void op_maskmov(struct soft_cpu *c, const struct insn *i, uint64_t rip);

/*
 * #MF if an unmasked x87 exception is pending: what WAIT does, before anything
 * else of a waiting instruction.  False with the exception recorded.
 */
bool fpu_wait(struct soft_cpu *c, uint64_t rip);

/* Where faults inside thunks go on; called as if by the thunk. */
void fpu_thunk_xm(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void fpu_thunk_mf(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void fpu_thunk_ud(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void fpu_thunk_gp(struct soft_cpu *c, const struct insn *i, uint64_t rip);
/* Where a thunk jumps when the guest's state is not in the registers. */
void fpu_thunk_cold(struct soft_cpu *c, const struct insn *i, uint64_t rip,
    void *mem, uint64_t dp, uint32_t ds_op);

/* --- facts about the process and the host, set by fpu_global_init() ------- */

extern uint64_t fpu_host_mask; /* XSAVE components we use; 0: FXSAVE only */
extern bool fpu_has_xgetbv1;
extern bool fpu_eager; /* fpu_set_eager() */
extern thunk_fn fpu_wait_thunk;

/* CPUID registers of the host that thunk.c's table of extensions looks at. */
enum fpu_cpuid_reg {
	CPUID_NONE,
	CPUID_1_ECX,
	CPUID_1_EDX,
	CPUID_7_EBX,
	CPUID_7_ECX,
	CPUID_D1_EAX,
	CPUID_81_ECX,
	CPUID_REG_COUNT
};
uint32_t fpu_host_cpuid(enum fpu_cpuid_reg reg);

/*
 * Executable copy of code[0..len).  A rel32 at `cold` (0: none) is made to
 * reach fpu_thunk_cold.  The same bytes give the same address.  NULL when the
 * area is full.
 */
#define THUNK_MAX 128u
void *thunk_intern(const uint8_t *code, unsigned int len, unsigned int cold);
/* The same in the calling thread's one slot, overwritten by the next call. */
void *thunk_scratch(const uint8_t *code, unsigned int len, unsigned int cold);
/* Tests: pretend the area ends after `bytes`; SIZE_MAX for all of it. */
void thunk_set_limit(size_t bytes);
size_t thunk_used(void);

/*
 * thunk.c: decode the instruction at rip again into the thread's scratch
 * slot; NULL with an exception recorded.  The next slot's handler returns.
 */
const struct insn *
fpu_scratch_insn(struct soft_cpu *c, const struct insn *i, uint64_t rip);

#endif /* ENGINE_SOFT_FPU_PRIV_H */
