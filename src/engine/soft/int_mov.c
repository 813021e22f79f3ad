/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * int_mov.c - MOV, MOVZX, MOVSX, LEA, XCHG, CMOVcc, SETcc, IMUL r,r/m.
 */
#include "int_ops.h"

#include "int_macros.h"

/* --- MOV ---------------------------------------------------------------------
 */

#define X(bits, T, suf, con)                                                   \
	HANDLER(mov_rr##bits)                                                  \
	{                                                                      \
		PUT_##bits(c, i->r1, GET_##bits(c, i->r2));                    \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	HANDLER(mov_ri##bits)                                                  \
	{                                                                      \
		PUT_##bits(c, i->r1, (T)i->imm);                               \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	MEM_HANDLER(mov_rm##bits, {                                            \
		MEM_EA(la, bits / 8, ACC_R);                                   \
		MEM_LOAD(T, v, la, MEMSEG(i));                                 \
		PUT_##bits(c, i->r1, v);                                       \
		NEXT(c, i, rip);                                               \
	})                                                                     \
	MEM_HANDLER(mov_mr##bits, {                                            \
		MEM_EA(la, bits / 8, ACC_W);                                   \
		MEM_STORE(T, GET_##bits(c, i->r1), la, MEMSEG(i));             \
		NEXT_AFTER_STORE(c, i, rip);                                   \
	})                                                                     \
	MEM_HANDLER(mov_mi##bits, {                                            \
		MEM_EA(la, bits / 8, ACC_W);                                   \
		MEM_STORE(T, (T)i->imm, la, MEMSEG(i));                        \
		NEXT_AFTER_STORE(c, i, rip);                                   \
	})                                                                     \
	/* A0-A3 with a 64-bit offset: base only for FS and GS. */             \
	HANDLER(moffs_ld##bits)                                                \
	{                                                                      \
		uint64_t la = (uint64_t)i->imm;                                \
		if (i->mem & MEM_SEGBASE)                                      \
			la += c->seg[MEMSEG(i)].base;                          \
		LOAD(T, v, c, i, rip, la, MEMSEG(i))                           \
		PUT_##bits(c, i->r1, v);                                       \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	HANDLER(moffs_st##bits)                                                \
	{                                                                      \
		uint64_t la = (uint64_t)i->imm;                                \
		if (i->mem & MEM_SEGBASE)                                      \
			la += c->seg[MEMSEG(i)].base;                          \
		STORE(T, GET_##bits(c, i->r1), c, i, rip, la, MEMSEG(i));      \
		NEXT_AFTER_STORE(c, i, rip);                                   \
	}
ALU_SIZES(X)
#undef X

const struct ops_bin ops_mov = { .rr = TAB(mov_rr),
	.rm = TAB(mov_rm),
	.mr = TAB(mov_mr),
	.ri = TAB(mov_ri),
	.mi = TAB(mov_mi) };
const insn_fn ops_moffs_ld[4] = TAB(moffs_ld);
const insn_fn ops_moffs_st[4] = TAB(moffs_st);

/* --- MOVZX, MOVSX, MOVSXD
 * -------------------------------------------------------- */

#define DEF_EXT(name, sbits, ST, dbits, DT)                                    \
	HANDLER(name##_r##sbits##_##dbits)                                     \
	{                                                                      \
		PUT_##dbits(c, i->r1, (DT)(ST)GET_##sbits(c, i->r2));          \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	MEM_HANDLER(name##_m##sbits##_##dbits, {                               \
		MEM_EA(la, sbits / 8, ACC_R);                                  \
		MEM_LOAD(uint##sbits##_t, v, la, MEMSEG(i));                   \
		PUT_##dbits(c, i->r1, (DT)(ST)v);                              \
		NEXT(c, i, rip);                                               \
	})
DEF_EXT(movzx, 8, uint8_t, 16, uint16_t)
DEF_EXT(movzx, 8, uint8_t, 32, uint32_t)
DEF_EXT(movzx, 8, uint8_t, 64, uint64_t)
DEF_EXT(movzx, 16, uint16_t, 16, uint16_t)
DEF_EXT(movzx, 16, uint16_t, 32, uint32_t)
DEF_EXT(movzx, 16, uint16_t, 64, uint64_t)
DEF_EXT(movsx, 8, int8_t, 16, int16_t)
DEF_EXT(movsx, 8, int8_t, 32, int32_t)
DEF_EXT(movsx, 8, int8_t, 64, int64_t)
DEF_EXT(movsx, 16, int16_t, 16, int16_t)
DEF_EXT(movsx, 16, int16_t, 32, int32_t)
DEF_EXT(movsx, 16, int16_t, 64, int64_t)
DEF_EXT(movsx, 32, int32_t, 16, int16_t)
DEF_EXT(movsx, 32, int32_t, 32, int32_t)
DEF_EXT(movsx, 32, int32_t, 64, int64_t)

#define EXT_ROW(name, k, s)                                                    \
	{                                                                      \
		NULL, name##_##k##s##_16, name##_##k##s##_32,                  \
		    name##_##k##s##_64                                         \
	}
const struct ops_ext ops_movzx = {
	.r = { EXT_ROW(movzx, r, 8), EXT_ROW(movzx, r, 16) },
	.m = { EXT_ROW(movzx, m, 8), EXT_ROW(movzx, m, 16) },
};
const struct ops_ext ops_movsx = {
	.r = { EXT_ROW(movsx, r, 8), EXT_ROW(movsx, r, 16),
	    EXT_ROW(movsx, r, 32) },
	.m = { EXT_ROW(movsx, m, 8), EXT_ROW(movsx, m, 16),
	    EXT_ROW(movsx, m, 32) },
};

/* --- LEA
 * ---------------------------------------------------------------------------
 */

#define X(bits, T, suf, con)                                                   \
	HANDLER(lea_##bits)                                                    \
	{                                                                      \
		PUT_##bits(c, i->r1, (T)insn_offset(c, i, rip));               \
		NEXT(c, i, rip);                                               \
	}
X(16, uint16_t, , )
X(32, uint32_t, , )
X(64, uint64_t, , )
#undef X
const insn_fn ops_lea[4] = TAB3(lea_);

/* --- XCHG: with memory always locked (SDM 2B)
 * ------------------------------------------ */

#define X(bits, T, suf, con)                                                   \
	HANDLER(xchg_rr##bits)                                                 \
	{                                                                      \
		T a = GET_##bits(c, i->r1);                                    \
		PUT_##bits(c, i->r1, GET_##bits(c, i->r2));                    \
		PUT_##bits(c, i->r2, a);                                       \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	HANDLER(xchg_mr##bits)                                                 \
	{                                                                      \
		EA(la, c, i, rip, bits / 8, ACC_RW)                            \
		void *p = tlb_write_ptr(c, la, bits / 8);                      \
		if (likely(p != NULL)) {                                       \
			PUT_##bits(c, i->r1,                                   \
			    host_xchg(p, bits / 8, GET_##bits(c, i->r1)));     \
			NEXT(c, i, rip);                                       \
		}                                                              \
		c->rip = rip;                                                  \
		c->acc_seg = MEMSEG(i);                                        \
		p = mem_host_ptr(c, la, bits / 8, ACC_RW);                     \
		if (p != NULL) {                                               \
			PUT_##bits(c, i->r1,                                   \
			    host_xchg(p, bits / 8, GET_##bits(c, i->r1)));     \
			mem_wrote(c, la, bits / 8);                            \
			NEXT_AFTER_STORE(c, i, rip);                           \
		}                                                              \
		if (c->exc.pending)                                            \
			return;                                                \
		split_lock(c);                                                 \
		if (mem_read_rmw_slow(c, la, bits / 8)) {                      \
			T a = (T)c->mem_val;                                   \
			if (mem_write_slow(                                    \
				c, la, bits / 8, GET_##bits(c, i->r1)))        \
				PUT_##bits(c, i->r1, a);                       \
		}                                                              \
		split_unlock(c);                                               \
		if (c->exc.pending)                                            \
			return;                                                \
		NEXT_AFTER_STORE(c, i, rip);                                   \
	}
ALU_SIZES(X)
#undef X
const insn_fn ops_xchg_rr[4] = TAB(xchg_rr);
const insn_fn ops_xchg_mr[4] = TAB(xchg_mr);

/* --- IMUL with two and three operands
 * --------------------------------------------------- */

#define X(bits, T, suf, con)                                                   \
	HANDLER(imul_rr##bits)                                                 \
	{                                                                      \
		PUT_##bits(c, i->r1,                                           \
		    alu_imul##bits(                                            \
			c, GET_##bits(c, i->r1), GET_##bits(c, i->r2)));       \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	MEM_HANDLER(imul_rm##bits, {                                           \
		MEM_EA(la, bits / 8, ACC_R);                                   \
		MEM_LOAD(T, b, la, MEMSEG(i));                                 \
		PUT_##bits(                                                    \
		    c, i->r1, alu_imul##bits(c, GET_##bits(c, i->r1), b));     \
		NEXT(c, i, rip);                                               \
	})                                                                     \
	HANDLER(imul_rri##bits)                                                \
	{                                                                      \
		PUT_##bits(c, i->r1,                                           \
		    alu_imul##bits(c, GET_##bits(c, i->r2), (T)i->imm));       \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	MEM_HANDLER(imul_rmi##bits, {                                          \
		MEM_EA(la, bits / 8, ACC_R);                                   \
		MEM_LOAD(T, a, la, MEMSEG(i));                                 \
		PUT_##bits(c, i->r1, alu_imul##bits(c, a, (T)i->imm));         \
		NEXT(c, i, rip);                                               \
	})
X(16, uint16_t, , )
X(32, uint32_t, , )
X(64, uint64_t, , )
#undef X
const insn_fn ops_imul_rr[4] = TAB3(imul_rr);
const insn_fn ops_imul_rm[4] = TAB3(imul_rm);
const insn_fn ops_imul_rri[4] = TAB3(imul_rri);
const insn_fn ops_imul_rmi[4] = TAB3(imul_rmi);

/* --- CMOVcc: the load happens, and may fault, whatever the condition
 * ----------------------- */

#define DEF_CMOV(cond, bits, T)                                                \
	HANDLER(cmov##cond##_r##bits)                                          \
	{                                                                      \
		T v = GET_##bits(c, i->r1);                                    \
		if (cc_cond(c->cc, cond))                                      \
			v = GET_##bits(c, i->r2);                              \
		PUT_##bits(c, i->r1, v);                                       \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	MEM_HANDLER(cmov##cond##_m##bits, {                                    \
		MEM_EA(la, bits / 8, ACC_R);                                   \
		MEM_LOAD(T, b, la, MEMSEG(i));                                 \
		T v = GET_##bits(c, i->r1);                                    \
		if (cc_cond(c->cc, cond))                                      \
			v = b;                                                 \
		PUT_##bits(c, i->r1, v);                                       \
		NEXT(c, i, rip);                                               \
	})
#define DEF_COND(cond)                                                         \
	DEF_CMOV(cond, 16, uint16_t)                                           \
	DEF_CMOV(cond, 32, uint32_t)                                           \
	DEF_CMOV(cond, 64, uint64_t)                                           \
	HANDLER(set##cond##_r)                                                 \
	{                                                                      \
		REG8(c, i->r1) = cc_cond(c->cc, cond);                         \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	MEM_HANDLER(set##cond##_m, {                                           \
		MEM_EA(la, 1, ACC_W);                                          \
		MEM_STORE(uint8_t, cc_cond(c->cc, cond), la, MEMSEG(i));       \
		NEXT_AFTER_STORE(c, i, rip);                                   \
	})
/* clang-format off */
#define ALL_CONDS(X)                                \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)     \
	X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
ALL_CONDS(DEF_COND)
/* clang-format on */

#define ROW_CR(n) [n] = TAB3(cmov##n##_r),
#define ROW_CM(n) [n] = TAB3(cmov##n##_m),
#define ROW_SR(n) [n] = set##n##_r,
#define ROW_SM(n) [n] = set##n##_m,
const insn_fn ops_cmov_r[16][4] = { ALL_CONDS(ROW_CR) };
const insn_fn ops_cmov_m[16][4] = { ALL_CONDS(ROW_CM) };
const insn_fn ops_set_r[16] = { ALL_CONDS(ROW_SR) };
const insn_fn ops_set_m[16] = { ALL_CONDS(ROW_SM) };
