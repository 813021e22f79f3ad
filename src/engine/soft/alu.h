/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * alu.h - what integer operations compute, and nothing else.
 *
 * Each function runs the host's own instruction and captures the six arithmetic
 * flags with LAHF and SETO into c->cc, so results and flags (undefined ones
 * included) are the host's by construction.  Flag inputs come back by ADD $127
 * (sets OF from AL) and SAHF, or by BT $8 when only CF matters.
 */
#ifndef ENGINE_SOFT_ALU_H
#define ENGINE_SOFT_ALU_H

#include "cpu.h"

#define CC_SAVE	   "\n\tlahf\n\tseto %%al"
#define CC_LOAD	   "addb $127, %%al\n\tsahf\n\t"
#define CC_LOAD_CF "btl $8, %%eax\n\t"

/* Suffix and constraint by size. */
#define ALU_SIZES(X)                                                           \
	X(8, uint8_t, "b", "q")                                                \
	X(16, uint16_t, "w", "r")                                              \
	X(32, uint32_t, "l", "r")                                              \
	X(64, uint64_t, "q", "r")

#define DEF_BIN_(name, op, bits, T, suf, con)                                  \
	static inline T alu_##name##bits(struct soft_cpu *c, T a, T b)         \
	{                                                                      \
		uint32_t cc;                                                   \
		__asm__(op suf " %[b], %[a]" CC_SAVE                           \
			: [a] "+" con(a), "=&a"(cc)                            \
			: [b] con(b)                                           \
			: "cc");                                               \
		c->cc = (uint16_t)cc;                                          \
		return a;                                                      \
	}
#define DEF_BINC_(name, op, bits, T, suf, con)                                 \
	static inline T alu_##name##bits(struct soft_cpu *c, T a, T b)         \
	{                                                                      \
		uint32_t cc = c->cc;                                           \
		__asm__(CC_LOAD_CF op suf " %[b], %[a]" CC_SAVE                \
			: [a] "+" con(a), "+&a"(cc)                            \
			: [b] con(b)                                           \
			: "cc");                                               \
		c->cc = (uint16_t)cc;                                          \
		return a;                                                      \
	}
#define DEF_CMP_(name, op, bits, T, suf, con)                                  \
	static inline T alu_##name##bits(struct soft_cpu *c, T a, T b)         \
	{                                                                      \
		uint32_t cc;                                                   \
		__asm__(op suf " %[b], %[a]" CC_SAVE                           \
			: "=&a"(cc)                                            \
			: [a] con(a), [b] con(b)                               \
			: "cc");                                               \
		c->cc = (uint16_t)cc;                                          \
		return a;                                                      \
	}
/* One operand; CF passes through for INC and DEC. */
#define DEF_UN_(name, op, bits, T, suf, con)                                   \
	static inline T alu_##name##bits(struct soft_cpu *c, T a)              \
	{                                                                      \
		uint32_t cc = c->cc;                                           \
		__asm__(CC_LOAD_CF op suf " %[a]" CC_SAVE                      \
			: [a] "+" con(a), "+&a"(cc)                            \
			:                                                      \
			: "cc");                                               \
		c->cc = (uint16_t)cc;                                          \
		return a;                                                      \
	}
/* Shifts and rotates by CL, the masked count as hardware masks it. */
#define DEF_SH_(name, op, bits, T, suf, con)                                   \
	static inline T alu_##name##bits(struct soft_cpu *c, T a, uint8_t n)   \
	{                                                                      \
		uint32_t cc = c->cc;                                           \
		__asm__(CC_LOAD op suf " %%cl, %[a]" CC_SAVE                   \
			: [a] "+" con(a), "+&a"(cc)                            \
			: "c"(n)                                               \
			: "cc");                                               \
		c->cc = (uint16_t)cc;                                          \
		return a;                                                      \
	}
#define DEF_SHD_(name, op, bits, T, suf, con)                                  \
	static inline T alu_##name##bits(                                      \
	    struct soft_cpu *c, T a, T b, uint8_t n)                           \
	{                                                                      \
		uint32_t cc = c->cc;                                           \
		__asm__(CC_LOAD op suf " %%cl, %[b], %[a]" CC_SAVE             \
			: [a] "+" con(a), "+&a"(cc)                            \
			: [b] con(b), "c"(n)                                   \
			: "cc");                                               \
		c->cc = (uint16_t)cc;                                          \
		return a;                                                      \
	}

#define X(bits, T, suf, con)                                                   \
	DEF_BIN_(add, "add", bits, T, suf, con)                                \
	DEF_BIN_(or, "or", bits, T, suf, con)                                  \
	DEF_BINC_(adc, "adc", bits, T, suf, con)                               \
	DEF_BINC_(sbb, "sbb", bits, T, suf, con)                               \
	DEF_BIN_(and, "and", bits, T, suf, con)                                \
	DEF_BIN_(sub, "sub", bits, T, suf, con)                                \
	DEF_BIN_(xor, "xor", bits, T, suf, con)                                \
	DEF_CMP_(cmp, "cmp", bits, T, suf, con)                                \
	DEF_CMP_(test, "test", bits, T, suf, con)                              \
	DEF_UN_(inc, "inc", bits, T, suf, con)                                 \
	DEF_UN_(dec, "dec", bits, T, suf, con)                                 \
	DEF_UN_(neg, "neg", bits, T, suf, con)                                 \
	DEF_SH_(rol, "rol", bits, T, suf, con)                                 \
	DEF_SH_(ror, "ror", bits, T, suf, con)                                 \
	DEF_SH_(rcl, "rcl", bits, T, suf, con)                                 \
	DEF_SH_(rcr, "rcr", bits, T, suf, con)                                 \
	DEF_SH_(shl, "shl", bits, T, suf, con)                                 \
	DEF_SH_(shr, "shr", bits, T, suf, con)                                 \
	DEF_SH_(sar, "sar", bits, T, suf, con)
ALU_SIZES(X)
#undef X

#define X(bits, T, suf, con)                                                   \
	DEF_SHD_(shld, "shld", bits, T, suf, con)                              \
	DEF_SHD_(shrd, "shrd", bits, T, suf, con)
X(16, uint16_t, "w", "r")
X(32, uint32_t, "l", "r")
X(64, uint64_t, "q", "r")
#undef X

/*
 * Two-operand forms whose flags outside the defined ones pass through or are
 * the host's: IMUL (r, r/m), BSF, BSR; BT family on registers (n already
 * reduced).
 */
#define DEF_BINF_(name, op, bits, T, suf, con)                                 \
	static inline T alu_##name##bits(struct soft_cpu *c, T a, T b)         \
	{                                                                      \
		uint32_t cc = c->cc;                                           \
		__asm__(CC_LOAD op suf " %[b], %[a]" CC_SAVE                   \
			: [a] "+" con(a), "+&a"(cc)                            \
			: [b] con(b)                                           \
			: "cc");                                               \
		c->cc = (uint16_t)cc;                                          \
		return a;                                                      \
	}
#define X(bits, T, suf, con)                                                   \
	DEF_BINF_(imul, "imul", bits, T, suf, con)                             \
	DEF_BINF_(bsf, "bsf", bits, T, suf, con)                               \
	DEF_BINF_(bsr, "bsr", bits, T, suf, con)                               \
	DEF_BINF_(bt, "bt", bits, T, suf, con)                                 \
	DEF_BINF_(bts, "bts", bits, T, suf, con)                               \
	DEF_BINF_(btr, "btr", bits, T, suf, con)                               \
	DEF_BINF_(btc, "btc", bits, T, suf, con)
X(16, uint16_t, "w", "r")
X(32, uint32_t, "l", "r")
X(64, uint64_t, "q", "r")
#undef X

static inline uint8_t
alu_not8(struct soft_cpu *c, uint8_t a)
{
	(void)c;
	return (uint8_t)~a;
}
static inline uint16_t
alu_not16(struct soft_cpu *c, uint16_t a)
{
	(void)c;
	return (uint16_t)~a;
}
static inline uint32_t
alu_not32(struct soft_cpu *c, uint32_t a)
{
	(void)c;
	return ~a;
}
static inline uint64_t
alu_not64(struct soft_cpu *c, uint64_t a)
{
	(void)c;
	return ~a;
}

/*
 * Condition codes 0-15 (the low nibble of Jcc's opcode) on cc.  cond must be a
 * constant for the switch to fold.
 */
static inline __attribute__((always_inline)) bool
cc_cond(uint16_t cc, unsigned int cond)
{
	bool r;

	switch (cond >> 1) {
	case 0: /* O */
		r = (cc & 1) != 0;
		break;
	case 1: /* B */
		r = (cc & 0x100) != 0;
		break;
	case 2: /* Z */
		r = (cc & 0x4000) != 0;
		break;
	case 3: /* BE */
		r = (cc & 0x4100) != 0;
		break;
	case 4: /* S */
		r = (cc & 0x8000) != 0;
		break;
	case 5: /* P */
		r = (cc & 0x400) != 0;
		break;
	case 6: /* L: SF != OF */
		r = (((cc >> 15) ^ cc) & 1) != 0;
		break;
	default: /* LE */
		r = (cc & 0x4000) != 0 || (((cc >> 15) ^ cc) & 1) != 0;
	}
	return r != ((cond & 1) != 0);
}

static inline bool
cc_zf(uint16_t cc)
{
	return (cc & 0x4000) != 0;
}

#endif /* ENGINE_SOFT_ALU_H */
