/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * int_alu.c - ADD OR ADC SBB AND SUB XOR CMP TEST, INC DEC NEG NOT, shifts and
 * rotates: every operand form and size, generated from alu.h's operations.
 */
#include "int_ops.h"

#include "int_macros.h"

#define LOCK_BIN(op, suf, con, T)                                              \
	{                                                                      \
		uint32_t cc_;                                                  \
		__asm__ volatile("lock " op suf " %[b], %[m]" CC_SAVE          \
				 : [m] "+m"(HOSTMEM(p, sizeof(T))), "=&a"(cc_) \
				 : [b] con(b)                                  \
				 : "cc", "memory");                            \
		c->cc = (uint16_t)cc_;                                         \
	}
#define LOCK_BINC(op, suf, con, T)                                             \
	{                                                                      \
		uint32_t cc_ = c->cc;                                          \
		__asm__ volatile(CC_LOAD_CF "lock " op suf                     \
					    " %[b], %[m]" CC_SAVE              \
				 : [m] "+m"(HOSTMEM(p, sizeof(T))), "+&a"(cc_) \
				 : [b] con(b)                                  \
				 : "cc", "memory");                            \
		c->cc = (uint16_t)cc_;                                         \
	}
#define LOCK_UN(op, suf, con, T)                                               \
	{                                                                      \
		uint32_t cc_ = c->cc;                                          \
		__asm__ volatile(CC_LOAD_CF "lock " op suf " %[m]" CC_SAVE     \
				 : [m] "+m"(HOSTMEM(p, sizeof(T))), "+&a"(cc_) \
				 :                                             \
				 : "cc", "memory");                            \
		c->cc = (uint16_t)cc_;                                         \
	}

/* --- two operands that write the first -------------------------------------
 */

#define DEF_RR(name, bits, T, suf, con)                                        \
	HANDLER(name##_rr##bits)                                               \
	{                                                                      \
		PUT_##bits(c, i->r1,                                           \
		    alu_##name##bits(                                          \
			c, GET_##bits(c, i->r1), GET_##bits(c, i->r2)));       \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	HANDLER(name##_ri##bits)                                               \
	{                                                                      \
		PUT_##bits(c, i->r1,                                           \
		    alu_##name##bits(c, GET_##bits(c, i->r1), (T)i->imm));     \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	MEM_HANDLER(name##_rm##bits, {                                         \
		MEM_EA(la, bits / 8, ACC_R);                                   \
		MEM_LOAD(T, b, la, MEMSEG(i));                                 \
		PUT_##bits(                                                    \
		    c, i->r1, alu_##name##bits(c, GET_##bits(c, i->r1), b));   \
		NEXT(c, i, rip);                                               \
	})                                                                     \
	MEM_HANDLER(name##_mr##bits,                                           \
	    { RMW(bits, T, alu_##name##bits(c, a, GET_##bits(c, i->r1))); })   \
	MEM_HANDLER(name##_mi##bits,                                           \
	    { RMW(bits, T, alu_##name##bits(c, a, (T)i->imm)); })

#define DEF_LOCK(name, KIND, bits, T, suf, con)                                \
	HANDLER(name##_lmr##bits)                                              \
	{                                                                      \
		T b = GET_##bits(c, i->r1);                                    \
		LOCKED(bits, T, KIND(#name, suf, con, T),                      \
		    alu_##name##bits(c, a, b));                                \
	}                                                                      \
	HANDLER(name##_lmi##bits)                                              \
	{                                                                      \
		T b = (T)i->imm;                                               \
		LOCKED(bits, T, KIND(#name, suf, con, T),                      \
		    alu_##name##bits(c, a, b));                                \
	}

#define TABLE_BIN(name)                                                        \
	const struct ops_bin ops_##name = { .rr = TAB(name##_rr),              \
		.rm = TAB(name##_rm),                                          \
		.mr = TAB(name##_mr),                                          \
		.ri = TAB(name##_ri),                                          \
		.mi = TAB(name##_mi),                                          \
		.lock_mr = TAB(name##_lmr),                                    \
		.lock_mi = TAB(name##_lmi) }

#define X(bits, T, suf, con)                                                   \
	DEF_RR(add, bits, T, suf, con)                                         \
	DEF_RR(or, bits, T, suf, con)                                          \
	DEF_RR(adc, bits, T, suf, con)                                         \
	DEF_RR(sbb, bits, T, suf, con)                                         \
	DEF_RR(and, bits, T, suf, con)                                         \
	DEF_RR(sub, bits, T, suf, con)                                         \
	DEF_RR(xor, bits, T, suf, con)                                         \
	DEF_LOCK(add, LOCK_BIN, bits, T, suf, con)                             \
	DEF_LOCK(or, LOCK_BIN, bits, T, suf, con)                              \
	DEF_LOCK(adc, LOCK_BINC, bits, T, suf, con)                            \
	DEF_LOCK(sbb, LOCK_BINC, bits, T, suf, con)                            \
	DEF_LOCK(and, LOCK_BIN, bits, T, suf, con)                             \
	DEF_LOCK(sub, LOCK_BIN, bits, T, suf, con)                             \
	DEF_LOCK(xor, LOCK_BIN, bits, T, suf, con)
ALU_SIZES(X)
#undef X

TABLE_BIN(add);
TABLE_BIN(or);
TABLE_BIN(adc);
TABLE_BIN(sbb);
TABLE_BIN(and);
TABLE_BIN(sub);
TABLE_BIN(xor);

/* --- CMP and TEST: no result
 * -------------------------------------------------- */

#define DEF_CMP(name, bits, T, suf, con)                                       \
	HANDLER(name##_rr##bits)                                               \
	{                                                                      \
		alu_##name##bits(                                              \
		    c, GET_##bits(c, i->r1), GET_##bits(c, i->r2));            \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	HANDLER(name##_ri##bits)                                               \
	{                                                                      \
		alu_##name##bits(c, GET_##bits(c, i->r1), (T)i->imm);          \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	MEM_HANDLER(name##_rm##bits, {                                         \
		MEM_EA(la, bits / 8, ACC_R);                                   \
		MEM_LOAD(T, b, la, MEMSEG(i));                                 \
		alu_##name##bits(c, GET_##bits(c, i->r1), b);                  \
		NEXT(c, i, rip);                                               \
	})                                                                     \
	MEM_HANDLER(name##_mr##bits, {                                         \
		MEM_EA(la, bits / 8, ACC_R);                                   \
		MEM_LOAD(T, a, la, MEMSEG(i));                                 \
		alu_##name##bits(c, a, GET_##bits(c, i->r1));                  \
		NEXT(c, i, rip);                                               \
	})                                                                     \
	MEM_HANDLER(name##_mi##bits, {                                         \
		MEM_EA(la, bits / 8, ACC_R);                                   \
		MEM_LOAD(T, a, la, MEMSEG(i));                                 \
		alu_##name##bits(c, a, (T)i->imm);                             \
		NEXT(c, i, rip);                                               \
	})
#define X(bits, T, suf, con)                                                   \
	DEF_CMP(cmp, bits, T, suf, con)                                        \
	DEF_CMP(test, bits, T, suf, con)
ALU_SIZES(X)
#undef X

#define TABLE_CMP(name)                                                        \
	const struct ops_bin ops_##name = { .rr = TAB(name##_rr),              \
		.rm = TAB(name##_rm),                                          \
		.mr = TAB(name##_mr),                                          \
		.ri = TAB(name##_ri),                                          \
		.mi = TAB(name##_mi) }
TABLE_CMP(cmp);
TABLE_CMP(test);

/* --- one operand
 * ----------------------------------------------------------------- */

/* NOT changes no flags, which LOCK_UN's reload of CF and re-save would not
 * keep. */
#define LOCK_NOT(op, suf, con, T)                                              \
	__asm__ volatile("lock not" suf " %[m]"                                \
			 : [m] "+m"(HOSTMEM(p, sizeof(T)))                     \
			 :                                                     \
			 : "memory");

#define DEF_UN(name, KIND, bits, T, suf, con)                                  \
	HANDLER(name##_r##bits)                                                \
	{                                                                      \
		PUT_##bits(                                                    \
		    c, i->r1, alu_##name##bits(c, GET_##bits(c, i->r1)));      \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	MEM_HANDLER(name##_m##bits, { RMW(bits, T, alu_##name##bits(c, a)); }) \
	HANDLER(name##_lm##bits)                                               \
	{                                                                      \
		LOCKED(bits, T, KIND(#name, suf, con, T),                      \
		    alu_##name##bits(c, a));                                   \
	}
#define X(bits, T, suf, con)                                                   \
	DEF_UN(inc, LOCK_UN, bits, T, suf, con)                                \
	DEF_UN(dec, LOCK_UN, bits, T, suf, con)                                \
	DEF_UN(neg, LOCK_UN, bits, T, suf, con)                                \
	DEF_UN(not, LOCK_NOT, bits, T, suf, con)
ALU_SIZES(X)
#undef X

#define TABLE_UN(name)                                                         \
	const struct ops_un ops_##name = { .r = TAB(name##_r),                 \
		.m = TAB(name##_m),                                            \
		.lock_m = TAB(name##_lm) }
TABLE_UN(inc);
TABLE_UN(dec);
TABLE_UN(neg);
TABLE_UN(not );

/* --- shifts and rotates
 * ------------------------------------------------------------ */

#define DEF_SHIFT(name, bits, T, suf, con)                                     \
	HANDLER(name##_ri##bits)                                               \
	{                                                                      \
		PUT_##bits(c, i->r1,                                           \
		    alu_##name##bits(                                          \
			c, GET_##bits(c, i->r1), (uint8_t)i->imm));            \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	HANDLER(name##_rc##bits)                                               \
	{                                                                      \
		PUT_##bits(c, i->r1,                                           \
		    alu_##name##bits(                                          \
			c, GET_##bits(c, i->r1), (uint8_t)c->gpr[R_RCX]));     \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	MEM_HANDLER(name##_mi##bits,                                           \
	    { RMW(bits, T, alu_##name##bits(c, a, (uint8_t)i->imm)); })        \
	MEM_HANDLER(name##_mc##bits,                                           \
	    { RMW(bits, T, alu_##name##bits(c, a, (uint8_t)c->gpr[R_RCX])); })
#define X(bits, T, suf, con)                                                   \
	DEF_SHIFT(rol, bits, T, suf, con)                                      \
	DEF_SHIFT(ror, bits, T, suf, con)                                      \
	DEF_SHIFT(rcl, bits, T, suf, con)                                      \
	DEF_SHIFT(rcr, bits, T, suf, con)                                      \
	DEF_SHIFT(shl, bits, T, suf, con)                                      \
	DEF_SHIFT(shr, bits, T, suf, con)                                      \
	DEF_SHIFT(sar, bits, T, suf, con)
ALU_SIZES(X)
#undef X

#define TABLE_SHIFT(name)                                                      \
	const struct ops_shift ops_##name = { .ri = TAB(name##_ri),            \
		.rc = TAB(name##_rc),                                          \
		.mi = TAB(name##_mi),                                          \
		.mc = TAB(name##_mc) }
TABLE_SHIFT(rol);
TABLE_SHIFT(ror);
TABLE_SHIFT(rcl);
TABLE_SHIFT(rcr);
TABLE_SHIFT(shl);
TABLE_SHIFT(shr);
TABLE_SHIFT(sar);
