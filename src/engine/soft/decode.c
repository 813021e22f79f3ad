/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decode.c - instruction bytes to struct insn.
 *
 * Zydis does the parsing; this file chooses the handler and compacts the
 * operands. Three sources of handlers, in this order: forms[]   instructions
 * with specialised handlers by operand form and size rows      one handler each
 * (insn.h): integer, string, stack, system thunks    whatever the host executes
 * for us (fpu.h) Anything else is #UD.
 */
#include "decode.h"

#include <Zydis/Zydis.h>

#include "fpu.h"
#include "int_ops.h"
#include "sys.h"

struct dec {
	struct soft_cpu *c;
	ZydisDecodedInstruction zi;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	const uint8_t *bytes;
	struct insn *i;
	bool ends;
};

struct form {
	uint16_t mnemonic;
	uint16_t arg;
	/* Fills d->i and d->ends; false: not one of mine, try the rows. */
	bool (*fill)(struct dec *d, const struct form *f);
	const void *ops;
};

/* Filled once by decode_global_init(), constant afterwards. */
static struct {
	ZydisDecoder dec64, dec32, dec16, dec_real;
	const struct form *form[ZYDIS_MNEMONIC_MAX_VALUE + 1];
	const struct insn_row *row[ZYDIS_MNEMONIC_MAX_VALUE + 1];
} tab;

static unsigned int
log2_size(unsigned int bytes)
{
	return (unsigned int)__builtin_ctz(bytes);
}

/* --- operands
 * ------------------------------------------------------------------- */

uint8_t
insn_reg_offset(int reg)
{
	if (reg >= ZYDIS_REGISTER_AL && reg <= ZYDIS_REGISTER_BL)
		return (uint8_t)((reg - ZYDIS_REGISTER_AL) * 8);
	if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
		return (uint8_t)((reg - ZYDIS_REGISTER_AH) * 8 + 1);
	if (reg >= ZYDIS_REGISTER_SPL && reg <= ZYDIS_REGISTER_R15B)
		return (uint8_t)((reg - ZYDIS_REGISTER_SPL + 4) * 8);
	if (reg >= ZYDIS_REGISTER_AX && reg <= ZYDIS_REGISTER_R15W)
		return (uint8_t)((reg - ZYDIS_REGISTER_AX) * 8);
	if (reg >= ZYDIS_REGISTER_EAX && reg <= ZYDIS_REGISTER_R15D)
		return (uint8_t)((reg - ZYDIS_REGISTER_EAX) * 8);
	if (reg >= ZYDIS_REGISTER_RAX && reg <= ZYDIS_REGISTER_R15)
		return (uint8_t)((reg - ZYDIS_REGISTER_RAX) * 8);
	return R_ZERO * 8;
}

static uint8_t
gpr_number(ZydisRegister reg)
{
	if (reg == ZYDIS_REGISTER_NONE || reg == ZYDIS_REGISTER_RIP ||
	    reg == ZYDIS_REGISTER_EIP)
		return R_ZERO;
	return insn_reg_offset((int)reg) / 8;
}

static bool
is_gpr(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       op->reg.value >= ZYDIS_REGISTER_AL &&
	       op->reg.value <= ZYDIS_REGISTER_R15;
}

static unsigned int
mem_segment(const struct soft_cpu *c, const ZydisDecodedInstruction *zi,
    const ZydisDecodedOperand *op)
{
	unsigned int seg = SEG_DS;

	if (op->mem.segment >= ZYDIS_REGISTER_ES &&
	    op->mem.segment <= ZYDIS_REGISTER_GS)
		seg = (unsigned int)(op->mem.segment - ZYDIS_REGISTER_ES);
	/* 3E on CALL and JMP: no CET here, so it is DS as ever. */
	if (zi->attributes & ZYDIS_ATTRIB_HAS_NOTRACK)
		seg = SEG_DS;
	/* 64-bit mode ignores the other overrides (SDM 2A 2.1.1). */
	if ((c->mode & MODE_64) && seg < SEG_FS) {
		uint8_t base = gpr_number(op->mem.base);

		seg = base == R_RSP || base == R_RBP ? SEG_SS : SEG_DS;
	}
	return seg;
}

bool
insn_fill_mem(const struct soft_cpu *c, const ZydisDecodedInstruction *zi,
    const ZydisDecodedOperand *op, struct insn *i)
{
	unsigned int seg = mem_segment(c, zi, op), flags = 0;
	int64_t disp = op->mem.disp.has_displacement ? op->mem.disp.value : 0;

	if (c->mode & MODE_64) {
		if (seg >= SEG_FS)
			flags |= MEM_SEGBASE;
		if (zi->address_width == 32)
			flags |= MEM_A32;
		if (op->mem.base == ZYDIS_REGISTER_RIP ||
		    op->mem.base == ZYDIS_REGISTER_EIP)
			flags |= MEM_RIP;
	} else {
		flags |= zi->address_width == 16 ? MEM_A16 : MEM_A32;
		if (!(c->mode & MODE_FLAT) || zi->address_width == 16 ||
		    !seg_may_be_flat(seg))
			flags |= MEM_LEGACY;
	}
	i->mem = (uint8_t)(seg | flags);
	i->base = gpr_number(op->mem.base);
	/*
	 * SIB base 101 with mod 00 is a bare disp32 whatever REX.B says (SDM 2A
	 * table 2-5); Zydis 4.0 makes it R13D when the address size is 32.
	 */
	if (op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM &&
	    zi->raw.modrm.mod == 0 && zi->raw.modrm.rm == 4 &&
	    zi->address_width != 16 && (zi->raw.sib.base & 7) == 5) {
		i->base = R_ZERO;
		disp = zi->raw.disp.value;
	}
	i->index = gpr_number(op->mem.index);
	i->scale =
	    op->mem.scale > 1 ? (uint8_t)__builtin_ctz(op->mem.scale) : 0;
	i->disp = (int32_t)disp;
	i->x |= INSN_HASMEM;
	if (disp != (int32_t)disp) {
		/* MOV A0-A3 aside, only 32-bit addresses written unsigned. */
		i->disp = (int32_t)(uint32_t)disp;
		return zi->address_width != 64;
	}
	return true;
}

/* The first immediate, sign-extended from its encoded size. */
static int64_t
raw_imm(const struct dec *d)
{
	unsigned int bits = d->zi.raw.imm[0].size;

	if (bits == 0)
		return 0;
	return (int64_t)(d->zi.raw.imm[0].value.u << (64 - bits)) >>
	       (64 - bits);
}

static bool
fill_mem(struct dec *d, unsigned int op)
{
	return insn_fill_mem(d->c, &d->zi, &d->ops[op], d->i);
}

static uint8_t
reg_of(const struct dec *d, unsigned int op)
{
	return insn_reg_offset((int)d->ops[op].reg.value);
}

static bool
op_is_mem(const struct dec *d, unsigned int op)
{
	return d->ops[op].type == ZYDIS_OPERAND_TYPE_MEMORY;
}

static bool
op_is_imm(const struct dec *d, unsigned int op)
{
	return d->ops[op].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

/* --- forms
 * ------------------------------------------------------------------------ */

static bool
fill_bin(struct dec *d, const struct form *f)
{
	const struct ops_bin *t = f->ops;
	struct insn *i = d->i;
	unsigned int s = log2_size(i->opsize);
	bool lock = (i->x & INSN_LOCK) != 0;

	if (op_is_mem(d, 0)) {
		bool imm = op_is_imm(d, 1);

		if (!imm && !is_gpr(&d->ops[1]))
			return false;
		if (!fill_mem(d, 0))
			return false;
		i->imm = raw_imm(d);
		if (!imm)
			i->r1 = reg_of(d, 1);
		i->fn = lock ? (imm ? t->lock_mi : t->lock_mr)[s]
			     : (imm ? t->mi : t->mr)[s];
		return true;
	}
	if (!is_gpr(&d->ops[0]))
		return false;
	i->r1 = reg_of(d, 0);
	if (op_is_imm(d, 1)) {
		i->imm = raw_imm(d);
		i->fn = t->ri[s];
	} else if (op_is_mem(d, 1)) {
		if (!fill_mem(d, 1))
			return false;
		i->fn = t->rm[s];
	} else if (is_gpr(&d->ops[1])) {
		i->r2 = reg_of(d, 1);
		i->fn = t->rr[s];
	} else {
		return false;
	}
	return true;
}

/* MOV to and from segment, control and debug registers. */
static bool
fill_mov_special(struct dec *d)
{
	struct insn *i = d->i;
	unsigned int k = is_gpr(&d->ops[0]) || op_is_mem(d, 0) ? 1 : 0;
	ZydisRegisterClass cls = ZydisRegisterGetClass(d->ops[k].reg.value);
	static const insn_fn to[3] = { sys_mov_to_sreg, sys_mov_to_cr,
		sys_mov_to_dr };
	static const insn_fn from[3] = { sys_mov_from_sreg, sys_mov_from_cr,
		sys_mov_from_dr };
	unsigned int which;

	if (cls == ZYDIS_REGCLASS_SEGMENT)
		which = 0;
	else if (cls == ZYDIS_REGCLASS_CONTROL)
		which = 1;
	else if (cls == ZYDIS_REGCLASS_DEBUG)
		which = 2;
	else
		return false;
	if (op_is_mem(d, 1 - k) && !fill_mem(d, 1 - k))
		return false;
	if (!op_is_mem(d, 1 - k))
		i->r2 = reg_of(d, 1 - k);
	i->r1 = (uint8_t)ZydisRegisterGetId(d->ops[k].reg.value);
	i->fn = k == 0 ? to[which] : from[which];
	d->ends = k == 0;
	return true;
}

/* 64-bit absolute offsets (A0-A3). */
static bool
fill_moffs(struct dec *d)
{
	struct insn *i = d->i;
	unsigned int s = log2_size(i->opsize), m = op_is_mem(d, 0) ? 0 : 1;

	(void)fill_mem(d, m);
	i->imm = d->ops[m].mem.disp.value;
	i->r1 = R_RAX * 8;
	i->fn = m == 0 ? ops_moffs_st[s] : ops_moffs_ld[s];
	return true;
}

static bool
fill_mov(struct dec *d, const struct form *f)
{
	if ((d->zi.opcode & 0xfc) == 0xa0 && d->zi.address_width == 64 &&
	    d->zi.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT)
		return fill_moffs(d);
	return fill_bin(d, f) || fill_mov_special(d);
}

static bool
fill_un(struct dec *d, const struct form *f)
{
	const struct ops_un *t = f->ops;
	unsigned int s = log2_size(d->i->opsize);

	if (!op_is_mem(d, 0)) {
		d->i->r1 = reg_of(d, 0);
		d->i->fn = t->r[s];
		return true;
	}
	d->i->fn = (d->i->x & INSN_LOCK ? t->lock_m : t->m)[s];
	return fill_mem(d, 0);
}

static bool
fill_shift(struct dec *d, const struct form *f)
{
	const struct ops_shift *t = f->ops;
	struct insn *i = d->i;
	unsigned int s = log2_size(i->opsize);
	bool cl = d->ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER;

	if (!cl)
		i->imm = d->zi.raw.imm[0].size ? raw_imm(d) : 1;
	if (op_is_mem(d, 0)) {
		i->fn = (cl ? t->mc : t->mi)[s];
		return fill_mem(d, 0);
	}
	i->r1 = reg_of(d, 0);
	i->fn = (cl ? t->rc : t->ri)[s];
	return true;
}

static bool
fill_ext(struct dec *d, const struct form *f)
{
	const struct ops_ext *t = f->ops;
	unsigned int ss = log2_size(d->ops[1].size / 8);
	unsigned int ds = log2_size(d->i->opsize);

	d->i->r1 = reg_of(d, 0);
	if (op_is_mem(d, 1)) {
		d->i->fn = t->m[ss][ds];
		return fill_mem(d, 1);
	}
	d->i->r2 = reg_of(d, 1);
	d->i->fn = t->r[ss][ds];
	return true;
}

static bool
fill_lea(struct dec *d, const struct form *f)
{
	(void)f;
	d->i->r1 = reg_of(d, 0);
	d->i->fn = ops_lea[log2_size(d->i->opsize)];
	return insn_fill_mem(d->c, &d->zi, &d->ops[1], d->i);
}

static bool
fill_xchg(struct dec *d, const struct form *f)
{
	unsigned int s = log2_size(d->i->opsize);
	unsigned int m = op_is_mem(d, 0) ? 0 : 1;

	(void)f;
	if (!op_is_mem(d, m)) {
		d->i->r1 = reg_of(d, 0);
		d->i->r2 = reg_of(d, 1);
		d->i->fn = ops_xchg_rr[s];
		return true;
	}
	d->i->r1 = reg_of(d, 1 - m);
	d->i->fn = ops_xchg_mr[s];
	return fill_mem(d, m);
}

static bool
fill_imul(struct dec *d, const struct form *f)
{
	struct insn *i = d->i;
	unsigned int s = log2_size(i->opsize);
	bool imm = d->zi.raw.imm[0].size != 0;

	(void)f;
	if (d->zi.operand_count_visible == 1) {
		i->fn = op_imul1_for();
		if (op_is_mem(d, 0))
			return fill_mem(d, 0);
		i->r2 = reg_of(d, 0);
		return true;
	}
	i->r1 = reg_of(d, 0);
	i->imm = raw_imm(d);
	if (op_is_mem(d, 1)) {
		i->fn = (imm ? ops_imul_rmi : ops_imul_rm)[s];
		return fill_mem(d, 1);
	}
	i->r2 = reg_of(d, 1);
	i->fn = (imm ? ops_imul_rri : ops_imul_rr)[s];
	return true;
}

static bool
fill_cmov(struct dec *d, const struct form *f)
{
	unsigned int s = log2_size(d->i->opsize);

	d->i->r1 = reg_of(d, 0);
	if (op_is_mem(d, 1)) {
		d->i->fn = ops_cmov_m[f->arg][s];
		return fill_mem(d, 1);
	}
	d->i->r2 = reg_of(d, 1);
	d->i->fn = ops_cmov_r[f->arg][s];
	return true;
}

static bool
fill_set(struct dec *d, const struct form *f)
{
	if (op_is_mem(d, 0)) {
		d->i->fn = ops_set_m[f->arg];
		return fill_mem(d, 0);
	}
	d->i->r1 = reg_of(d, 0);
	d->i->fn = ops_set_r[f->arg];
	return true;
}

/*
 * Near branches in 64-bit mode are 64 bits wide; on AMD, whose CPU the guest
 * sees, an operand-size prefix without REX.W makes them 16 (APM 3, "Near
 * Branches in 64-Bit Mode").
 */
static void
near_branch_size(struct dec *d)
{
	if (!(d->c->mode & MODE_64))
		return;
	d->i->opsize =
	    d->zi.operand_width == 16 ||
		    ((d->zi.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) &&
			!(d->zi.raw.rex.W))
		? 2
		: 8;
}

static bool
fill_jcc(struct dec *d, const struct form *f)
{
	near_branch_size(d);
	d->i->imm = raw_imm(d);
	d->i->fn = ops_jcc[f->arg];
	d->i->x = fused_masks[f->arg & ~1u] | (f->arg & 1 ? FUSED_NOT : 0);
	d->ends = true;
	return true;
}

static bool
fill_loop(struct dec *d, const struct form *f)
{
	near_branch_size(d);
	d->i->imm = raw_imm(d);
	d->i->x |= f->arg;
	d->i->fn = op_loopcc;
	d->ends = true;
	return true;
}

static bool
fill_far(struct dec *d, bool call)
{
	struct insn *i = d->i;

	if (d->ops[0].type == ZYDIS_OPERAND_TYPE_POINTER) {
		i->imm = (int64_t)((uint64_t)d->ops[0].ptr.segment << 32 |
				   d->ops[0].ptr.offset);
		i->fn = call ? sys_call_far_imm : sys_jmp_far_imm;
		return true;
	}
	i->fn = call ? sys_call_far_mem : sys_jmp_far_mem;
	return fill_mem(d, 0);
}

/* arg 0: JMP, 1: CALL. */
static bool
fill_jmp_call(struct dec *d, const struct form *f)
{
	struct insn *i = d->i;
	bool call = f->arg != 0;

	d->ends = true;
	if (d->zi.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return fill_far(d, call);
	near_branch_size(d);
	if (op_is_imm(d, 0)) {
		i->imm = raw_imm(d);
		i->fn = call ? op_call_rel : op_jmp_rel;
		return true;
	}
	if (op_is_mem(d, 0)) {
		i->fn = call ? op_call_m : op_jmp_m;
		return fill_mem(d, 0);
	}
	i->r1 = reg_of(d, 0);
	i->fn = call ? op_call_r : op_jmp_r;
	return true;
}

static bool
fill_ret(struct dec *d, const struct form *f)
{
	bool far = d->zi.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;

	(void)f;
	if (!far)
		near_branch_size(d);
	d->i->imm = (uint16_t)raw_imm(d);
	d->i->fn = far ? sys_ret_far : op_ret;
	d->ends = true;
	return true;
}

static bool
is_sreg(const struct dec *d, unsigned int op)
{
	return d->ops[op].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       ZydisRegisterGetClass(d->ops[op].reg.value) ==
		   ZYDIS_REGCLASS_SEGMENT;
}

static bool
fill_push_pop(struct dec *d, const struct form *f)
{
	struct insn *i = d->i;
	const struct ops_stack *ops = ops_stack_for(d->c->mode, i->opsize);
	bool pop = f->arg != 0;

	if (is_sreg(d, 0)) {
		i->r1 = (uint8_t)ZydisRegisterGetId(d->ops[0].reg.value);
		i->fn = pop ? sys_pop_sreg : sys_push_sreg;
		d->ends = pop;
		return true;
	}
	if (op_is_mem(d, 0)) {
		i->fn = pop ? op_pop_m : op_push_m;
		return fill_mem(d, 0);
	}
	if (op_is_imm(d, 0)) {
		i->imm = raw_imm(d);
		i->fn = ops->push_i;
		return true;
	}
	i->r1 = reg_of(d, 0);
	i->fn = pop ? ops->pop_r : ops->push_r;
	return true;
}

static bool
fill_leave(struct dec *d, const struct form *f)
{
	(void)f;
	d->i->fn = ops_stack_for(d->c->mode, d->i->opsize)->leave;
	return true;
}

static bool
fill_enter(struct dec *d, const struct form *f)
{
	(void)d;
	(void)f;
	d->i->imm = (int64_t)((d->zi.raw.imm[0].value.u & 0xffff) |
			      (d->zi.raw.imm[1].value.u & 0xff) << 16);
	return false; /* the row has the handler */
}

#define M(name) ZYDIS_MNEMONIC_##name
#define FBIN(m, t)                                                             \
	{                                                                      \
		M(m), 0, fill_bin, &ops_##t                                    \
	}
#define FSH(m, t)                                                              \
	{                                                                      \
		M(m), 0, fill_shift, &ops_##t                                  \
	}
#define FUN(m, t)                                                              \
	{                                                                      \
		M(m), 0, fill_un, &ops_##t                                     \
	}
#define FCC(cc, n)                                                             \
	{ M(J##cc), n, fill_jcc, NULL }, { M(CMOV##cc), n, fill_cmov, NULL },  \
	{                                                                      \
		M(SET##cc), n, fill_set, NULL                                  \
	}

static const struct form forms[] = {
	FBIN(ADD, add),
	FBIN(OR, or),
	FBIN(ADC, adc),
	FBIN(SBB, sbb),
	FBIN(AND, and),
	FBIN(SUB, sub),
	FBIN(XOR, xor),
	FBIN(CMP, cmp),
	FBIN(TEST, test),
	{ M(MOV), 0, fill_mov, &ops_mov },
	FUN(INC, inc),
	FUN(DEC, dec),
	FUN(NEG, neg),
	FUN(NOT, not ),
	FSH(ROL, rol),
	FSH(ROR, ror),
	FSH(RCL, rcl),
	FSH(RCR, rcr),
	FSH(SHL, shl),
	FSH(SHR, shr),
	FSH(SAR, sar),
	{ M(MOVZX), 0, fill_ext, &ops_movzx },
	{ M(MOVSX), 0, fill_ext, &ops_movsx },
	{ M(MOVSXD), 0, fill_ext, &ops_movsx },
	{ M(LEA), 0, fill_lea, NULL },
	{ M(XCHG), 0, fill_xchg, NULL },
	{ M(IMUL), 0, fill_imul, NULL },
	FCC(O, 0),
	FCC(NO, 1),
	FCC(B, 2),
	FCC(NB, 3),
	FCC(Z, 4),
	FCC(NZ, 5),
	FCC(BE, 6),
	FCC(NBE, 7),
	FCC(S, 8),
	FCC(NS, 9),
	FCC(P, 10),
	FCC(NP, 11),
	FCC(L, 12),
	FCC(NL, 13),
	FCC(LE, 14),
	FCC(NLE, 15),
	{ M(LOOP), 0, fill_loop, NULL },
	{ M(LOOPE), 1, fill_loop, NULL },
	{ M(LOOPNE), 2, fill_loop, NULL },
	{ M(JCXZ), 3, fill_loop, NULL },
	{ M(JECXZ), 3, fill_loop, NULL },
	{ M(JRCXZ), 3, fill_loop, NULL },
	{ M(JMP), 0, fill_jmp_call, NULL },
	{ M(CALL), 1, fill_jmp_call, NULL },
	{ M(RET), 0, fill_ret, NULL },
	{ M(PUSH), 0, fill_push_pop, NULL },
	{ M(POP), 1, fill_push_pop, NULL },
	{ M(LEAVE), 0, fill_leave, NULL },
	{ M(ENTER), 0, fill_enter, NULL },
};

/* --- rows
 * -------------------------------------------------------------------------- */

/* ModRM.reg and .rm, the way insn.h promises them to row handlers. */
static void
fill_row_regs(struct dec *d, const struct insn_row *row)
{
	struct insn *i = d->i;
	unsigned int k, n = 0;

	for (k = 0; k < d->zi.operand_count; k++) {
		const ZydisDecodedOperand *op = &d->ops[k];

		if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		if (op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG) {
			i->r1 = row->flags & ROW_REGNUM
				    ? (uint8_t)ZydisRegisterGetId(op->reg.value)
				    : insn_reg_offset((int)op->reg.value);
			n = 2;
		} else if (op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM) {
			i->r2 = row->flags & ROW_REGNUM
				    ? (uint8_t)ZydisRegisterGetId(op->reg.value)
				    : insn_reg_offset((int)op->reg.value);
		} else if (n == 0 && is_gpr(op) &&
			   op->visibility ==
			       ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
			i->r1 = insn_reg_offset((int)op->reg.value);
			n = 1;
		}
		if (k > 0 && op->reg.value == ZYDIS_REGISTER_CL &&
		    op->encoding != ZYDIS_OPERAND_ENCODING_MODRM_REG &&
		    op->encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM)
			i->x |= INSN_REGCOUNT;
	}
}

/* String source segment and XLAT's: implicit memory operands. */
static void
fill_row_segment(struct dec *d)
{
	unsigned int k;

	for (k = 0; k < d->zi.operand_count; k++) {
		const ZydisDecodedOperand *op = &d->ops[k];

		if (op->type != ZYDIS_OPERAND_TYPE_MEMORY ||
		    op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)
			continue;
		if (gpr_number(op->mem.base) == R_RSI ||
		    gpr_number(op->mem.base) == R_RBX)
			d->i->mem = (uint8_t)mem_segment(d->c, &d->zi, op);
	}
}

static insn_fn
row_forbidden(const struct soft_cpu *c, const struct insn_row *row)
{
	if ((row->flags & ROW_NO64) && (c->mode & MODE_64))
		return op_ud;
	if ((row->flags & ROW_ONLY64) && !(c->mode & MODE_64))
		return op_ud;
	if ((row->flags & ROW_PE) &&
	    (!(c->mode & MODE_PE) || (c->mode & MODE_V86)))
		return op_ud;
	if ((row->flags & ROW_CPL0) && c->cpl != 0)
		return op_gp0;
	return NULL;
}

static bool
fill_row(struct dec *d, const struct insn_row *row)
{
	struct insn *i = d->i;
	insn_fn no = row_forbidden(d->c, row);
	unsigned int k;

	d->ends = (row->flags & ROW_END) != 0;
	if (no != NULL) {
		i->fn = no;
		d->ends = true;
		return true;
	}
	fill_row_regs(d, row);
	fill_row_segment(d);
	for (k = 0; k < d->zi.operand_count; k++)
		if (op_is_mem(d, k) &&
		    d->ops[k].encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM &&
		    !fill_mem(d, k))
			return false;
	if (i->imm == 0 && d->zi.raw.imm[0].size != 0) {
		i->imm = raw_imm(d);
		i->x |= INSN_IMM_PORT;
	}
	/* BT with a register offset: the immediate forms have one. */
	if (d->zi.raw.imm[0].size == 0 &&
	    (row->mnemonic == M(BT) || row->mnemonic == M(BTS) ||
		row->mnemonic == M(BTR) || row->mnemonic == M(BTC)))
		i->x |= INSN_REGCOUNT;
	i->x |= row->arg;
	i->fn = row->fn;
	return true;
}

/* --- one instruction
 * ------------------------------------------------------------------ */

static const ZydisDecoder *
decoder_for(uint32_t mode)
{
	if (mode & MODE_64)
		return &tab.dec64;
	if (!(mode & MODE_PE) || (mode & MODE_V86))
		return &tab.dec_real;
	return mode & MODE_CS32 ? &tab.dec32 : &tab.dec16;
}

static uint32_t
prefix_bits(const ZydisDecodedInstruction *zi)
{
	uint32_t x = 0;
	unsigned int k;

	for (k = 0; k < zi->raw.prefix_count; k++) {
		uint8_t v = zi->raw.prefixes[k].value;

		if (zi->raw.prefixes[k].type == ZYDIS_PREFIX_TYPE_IGNORED &&
		    v != 0xf2 && v != 0xf3)
			continue;
		if (v == 0xf0)
			x |= INSN_LOCK;
		else if (v == 0xf3)
			x = (x & ~INSN_REPNE) | INSN_REP;
		else if (v == 0xf2)
			x = (x & ~INSN_REP) | INSN_REPNE;
	}
	if (zi->address_width == 32)
		x |= INSN_A32;
	else if (zi->address_width == 16)
		x |= INSN_A16;
	return x;
}

/* MOVSD and CMPSD name a string and an SSE2 instruction. */
static bool
is_simd_namesake(const ZydisDecodedInstruction *zi)
{
	return (zi->mnemonic == M(MOVSD) || zi->mnemonic == M(CMPSD)) &&
	       zi->meta.category != ZYDIS_CATEGORY_STRINGOP;
}

/*
 * 90 with REX.B is XCHG r8, rAX even behind F3, where Zydis sees PAUSE.
 */
static bool
is_xchg_r8(const ZydisDecodedInstruction *zi)
{
	return zi->mnemonic == M(PAUSE) &&
	       (zi->attributes & ZYDIS_ATTRIB_HAS_REX) && zi->raw.rex.B;
}

static bool
fill_xchg_r8(struct dec *d)
{
	d->i->opsize = d->zi.raw.rex.W ? 8 : d->zi.operand_width == 16 ? 2 : 4;
	d->i->r1 = R_RAX * 8;
	d->i->r2 = R_R8 * 8;
	d->i->fn = ops_xchg_rr[log2_size(d->i->opsize)];
	d->ends = false;
	return true;
}

static bool
choose(struct dec *d)
{
	const struct form *f = tab.form[d->zi.mnemonic];
	const struct insn_row *row = tab.row[d->zi.mnemonic];

	if (is_xchg_r8(&d->zi))
		return fill_xchg_r8(d);
	if (is_simd_namesake(&d->zi) ||
	    d->zi.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		row = NULL, f = NULL;
	if (f != NULL && f->fill(d, f) && d->i->fn != NULL)
		return true;
	if (row != NULL && fill_row(d, row))
		return true;
	return fpu_decode(d->c, &d->zi, d->ops, d->bytes, d->i, &d->ends);
}

/*
 * UD0 and UD1 on AMD have no ModRM: #UD does not wait for bytes behind the
 * opcode.
 */
static bool
is_short_ud(const struct soft_cpu *c, const uint8_t *bytes, unsigned int avail)
{
	static const uint8_t prefix[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
		0x66, 0x67, 0xf0, 0xf2, 0xf3 };
	unsigned int n, k;

	for (n = 0; n < avail; n++) {
		for (k = 0; k < ARRAY_LEN(prefix) && bytes[n] != prefix[k]; k++)
			;
		if (k == ARRAY_LEN(prefix) &&
		    !((c->mode & MODE_64) && (bytes[n] & 0xf0) == 0x40))
			break;
	}
	return n + 2 <= avail && bytes[n] == 0x0f &&
	       (bytes[n + 1] == 0xb9 || bytes[n + 1] == 0xff);
}

unsigned int
decode_insn(struct soft_cpu *c, const uint8_t *bytes, unsigned int avail,
    struct insn *i, bool *ret_ends)
{
	struct dec d; /* large: Zydis clears what it uses */
	ZyanStatus st;

	d.c = c;
	d.bytes = bytes;
	d.i = i;
	d.ends = false;
	avail = MIN(avail, 15u);
	*i = (struct insn){
		.fn = op_ud, .len = 1, .base = R_ZERO, .index = R_ZERO
	};
	*ret_ends = true;
	st = ZydisDecoderDecodeFull(
	    decoder_for(c->mode), bytes, avail, &d.zi, d.ops);
	if (st == ZYDIS_STATUS_NO_MORE_DATA && is_short_ud(c, bytes, avail))
		return 1;
	if (st == ZYDIS_STATUS_NO_MORE_DATA && avail < 15) {
		*ret_ends = false;
		return 0;
	}
	if (st == ZYDIS_STATUS_NO_MORE_DATA ||
	    st == ZYDIS_STATUS_INSTRUCTION_TOO_LONG) {
		i->fn = op_gp0;
		return 1;
	}
	if (!ZYAN_SUCCESS(st))
		return 1;
	i->len = d.zi.length;
	i->opsize = (uint8_t)MAX(d.zi.operand_width / 8, 1);
	i->x = prefix_bits(&d.zi);
	if (!choose(&d)) {
		i->fn = op_ud;
		return i->len;
	}
	*ret_ends = d.ends;
	return i->len;
}

static void
index_rows(const struct insn_row *rows)
{
	for (; rows->fn != NULL; rows++)
		tab.row[rows->mnemonic] = rows;
}

void
decode_global_init(void)
{
	size_t k;

	ZydisDecoderInit(
	    &tab.dec64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisDecoderInit(
	    &tab.dec32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	ZydisDecoderInit(
	    &tab.dec16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
	ZydisDecoderInit(
	    &tab.dec_real, ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16);
	/* The guest's CPU is AMD's: 66 prefixes shorten near branches. */
	ZydisDecoderEnableMode(
	    &tab.dec64, ZYDIS_DECODER_MODE_AMD_BRANCHES, ZYAN_TRUE);
	for (k = 0; k < ARRAY_LEN(forms); k++)
		tab.form[forms[k].mnemonic] = &forms[k];
	index_rows(sys_rows);
	index_rows(misc_rows);
	index_rows(stack_rows);
	index_rows(str_rows);
}

/* --- fusing ----------------------------------------------------------------
 */

static insn_fn
fused_with(const struct ops_bin *ops, const struct ops_bin *fused, insn_fn fn)
{
	for (unsigned int n = 0; n < ARRAY_LEN(ops->rr); n++) {
		if (fn == ops->rr[n])
			return fused->rr[n];
		if (fn == ops->ri[n])
			return fused->ri[n];
		if (fn == ops->rm[n])
			return fused->rm[n];
		if (fn == ops->mr[n])
			return fused->mr[n];
		if (fn == ops->mi[n])
			return fused->mi[n];
	}
	return NULL;
}

void
decode_fuse(struct insn *first, const struct insn *second)
{
	unsigned int cond = 0;
	insn_fn fn;

	while (cond < ARRAY_LEN(ops_jcc) && second->fn != ops_jcc[cond])
		cond++;
	if (cond == ARRAY_LEN(ops_jcc) || (second->x & FUSED_MASK) == 0)
		return;
	fn = fused_with(&ops_cmp, &ops_fused_cmp, first->fn);
	if (fn == NULL)
		fn = fused_with(&ops_test, &ops_fused_test, first->fn);
	if (fn != NULL)
		first->fn = fn;
}
