/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * thunk.c - makes thunks (layout in fpu_priv.h) from decoded instructions.
 *
 * The instruction's bytes are kept but for: prefixes that are not a part of the
 * opcode, ModRM.rm of a memory operand (becomes [rcx]), general registers
 * (ModRM.reg -> eax, ModRM.rm -> ecx, VEX.vvvv -> r8), and bits that mean
 * something in 64-bit mode, where the host is, and nothing in the guest's mode
 * (SDM 2 2.3, 3.1.1).  Ordinary C, called after fpu_park().
 */
#include "thunk.h"

#include <string.h>

#include "decode.h"
#include "fpu_priv.h"

/* --- x87 ------------------------------------------------------------------ */

bool
x87_is(const ZydisDecodedInstruction *zi)
{
	return zi->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	       zi->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
	       (zi->opcode & 0xf8) == 0xd8;
}

bool
x87_is_control(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_FNINIT:
	case ZYDIS_MNEMONIC_FNCLEX:
	case ZYDIS_MNEMONIC_FLDCW:
	case ZYDIS_MNEMONIC_FNSTCW:
	case ZYDIS_MNEMONIC_FNSTSW:
	case ZYDIS_MNEMONIC_FENI8087_NOP:
	case ZYDIS_MNEMONIC_FDISI8087_NOP:
	case ZYDIS_MNEMONIC_FSETPM287_NOP:
		return true;
	default:
		return false;
	}
}

uint32_t
x87_opcode(const ZydisDecodedInstruction *zi)
{
	return (uint32_t)(zi->opcode & 7) << 8 | zi->raw.modrm.mod << 6 |
	       zi->raw.modrm.reg << 3 | zi->raw.modrm.rm;
}

/* --- emitting ------------------------------------------------------------- */

enum { HOST_EAX = 0, HOST_ECX = 1, HOST_EDX = 2, HOST_R8 = 8, HOST_R11 = 11 };

#define OFF(field) ((uint32_t)offsetof(struct soft_cpu, field))

struct emit {
	uint8_t b[THUNK_MAX];
	unsigned int n;
	unsigned int cold; /* offset of the rel32, 0: none */
};

static void
put(struct emit *e, const void *bytes, unsigned int n)
{
	assert(e->n + n <= sizeof(e->b));
	memcpy(e->b + e->n, bytes, n);
	e->n += n;
}

#define PUT(e, ...)                                                            \
	put((e), (const uint8_t[]){ __VA_ARGS__ },                             \
	    sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void
put32(struct emit *e, uint32_t v)
{
	put(e, &v, 4);
}

/* `op` reg, [rdi + off]; rex and prefixes are the caller's. */
static void
put_state(struct emit *e, unsigned int op, unsigned int reg, uint32_t off)
{
	PUT(e, op, 0x87 | (reg & 7) << 3);
	put32(e, off);
}

static void
emit_cold_check(struct emit *e)
{
	PUT(e, 0x80, 0xbf); /* cmp byte [rdi + fpu_live], 0 */
	put32(e, OFF(fpu_live));
	PUT(e, 0, 0x0f, 0x84); /* je cold */
	e->cold = e->n;
	put32(e, 0);
}

/* OF by ADD of 0x7f to AL, the others by SAHF, which leaves OF alone. */
static void
emit_flags_in(struct emit *e)
{
	PUT(e, 0x0f); /* movzx eax, word [rdi + cc] */
	put_state(e, 0xb7, HOST_EAX, OFF(cc));
	PUT(e, 0x04, 0x7f, 0x9e);
}

static void
emit_flags_out(struct emit *e)
{
	PUT(e, 0x9f, 0x0f, 0x90, 0xc0, 0x66); /* lahf; seto al; mov */
	put_state(e, 0x89, HOST_EAX, OFF(cc));
}

/* rdx += insn.len; rsi += sizeof(struct insn); jmp [rsi + fn]. */
static void
emit_next(struct emit *e)
{
	static_assert(offsetof(struct insn, fn) == 0, "jmp [rsi]");
	PUT(e, 0x0f, 0xb6, 0x46, offsetof(struct insn, len), 0x48, 0x01, 0xc2,
	    0x48, 0x83, 0xc6, sizeof(struct insn), 0xff, 0x26);
}

/* --- general registers ---------------------------------------------------- */

struct gpr_use {
	uint8_t host;
	uint8_t off; /* into gpr[] */
	uint8_t size;
	bool load, store;
};

struct gprs {
	struct gpr_use use[6];
	unsigned int n;
	bool rdx; /* rdx, which holds rip, is needed */
};

static unsigned int
gpr_size(ZydisRegister reg)
{
	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_GPR8:
		return 1;
	case ZYDIS_REGCLASS_GPR16:
		return 2;
	case ZYDIS_REGCLASS_GPR32:
		return 4;
	case ZYDIS_REGCLASS_GPR64:
		return 8;
	default:
		return 0;
	}
}

/* Implicit operands (MULX, PCMPESTRI, FNSTSW) are those registers in the host
 * too. */
static unsigned int
host_register(const ZydisDecodedOperand *op)
{
	switch (op->encoding) {
	case ZYDIS_OPERAND_ENCODING_MODRM_REG:
		return HOST_EAX;
	case ZYDIS_OPERAND_ENCODING_MODRM_RM:
		return HOST_ECX;
	case ZYDIS_OPERAND_ENCODING_NDSNDD:
		return HOST_R8;
	default:
		return insn_reg_offset(op->reg.value) / 8;
	}
}

static void
gprs_collect(const struct fpu_job *j, struct gprs *g)
{
	*g = (struct gprs){ 0 };
	for (unsigned int n = 0; n < j->zi->operand_count; n++) {
		const ZydisDecodedOperand *op = &j->ops[n];
		struct gpr_use *u = &g->use[g->n];
		unsigned int size;

		if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		size = gpr_size(op->reg.value);
		if (size == 0)
			continue;
		assert(g->n < ARRAY_LEN(g->use));
		u->size = (uint8_t)size;
		u->off = insn_reg_offset(op->reg.value);
		u->host = (uint8_t)host_register(op);
		u->store = (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
		/* A 16-bit write keeps the rest of the register. */
		u->load = size < 4 || op->actions != ZYDIS_OPERAND_ACTION_WRITE;
		g->rdx = g->rdx || u->host == HOST_EDX;
		g->n++;
	}
}

static void
emit_loads(struct emit *e, const struct gprs *g)
{
	if (g->rdx)
		PUT(e, 0x49, 0x89, 0xd3); /* mov r11, rdx */
	for (unsigned int n = 0; n < g->n; n++) {
		const struct gpr_use *u = &g->use[n];
		uint8_t modrm = (uint8_t)(0x47 | (u->host & 7) << 3);

		if (!u->load)
			continue;
		if (u->size == 1)
			PUT(e, 0x0f, 0xb6, modrm, u->off);
		else
			PUT(e, u->host >= 8 ? 0x4c : 0x48, 0x8b, modrm, u->off);
	}
}

/*
 * VEX.vvvv before ModRM.reg: of MULX's two results the second is the one that
 * stays when both are the same register.
 */
static void
emit_stores(struct emit *e, const struct gprs *g)
{
	for (unsigned int n = g->n; n-- > 0;) {
		const struct gpr_use *u = &g->use[n];

		if (u->store)
			PUT(e, u->host >= 8 ? 0x4c : 0x48, 0x89,
			    0x47 | (u->host & 7) << 3, u->off);
	}
	if (g->rdx)
		PUT(e, 0x4c, 0x89, 0xda); /* mov rdx, r11 */
}

/* --- the instruction itself ----------------------------------------------- */

static bool
has_modrm(const ZydisDecodedInstruction *zi)
{
	return (zi->attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0;
}

/* ModRM for the host: general registers and memory where the thunk has them. */
static uint8_t
host_modrm(const struct fpu_job *j, bool gpr_reg, bool gpr_rm)
{
	uint8_t reg = gpr_reg ? HOST_EAX : j->zi->raw.modrm.reg & 7;
	uint8_t rm = gpr_rm ? HOST_ECX : j->zi->raw.modrm.rm & 7;

	if (j->mem != NULL)
		return (uint8_t)(reg << 3 | HOST_ECX);
	return (uint8_t)(j->zi->raw.modrm.mod << 6 | reg << 3 | rm);
}

/* Immediates: everything behind ModRM, SIB and displacement. */
static unsigned int
tail_offset(const struct fpu_job *j, unsigned int opcode_end)
{
	const ZydisDecodedInstruction *zi = j->zi;

	if (!has_modrm(zi))
		return opcode_end;
	return opcode_end + 1 + (zi->raw.sib.offset != 0) +
	       zi->raw.disp.size / 8;
}

static bool
operand_is_gpr(const struct fpu_job *j, ZydisOperandEncoding enc)
{
	for (unsigned int n = 0; n < j->zi->operand_count; n++)
		if (j->ops[n].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    j->ops[n].encoding == enc &&
		    gpr_size(j->ops[n].reg.value) != 0)
			return true;
	return false;
}

/* Extensions whose operand size is the operand-size attribute. */
static bool
sized_by_66(const struct fpu_job *j)
{
	switch (j->zi->mnemonic) {
	case ZYDIS_MNEMONIC_POPCNT:
	case ZYDIS_MNEMONIC_LZCNT:
	case ZYDIS_MNEMONIC_TZCNT:
	case ZYDIS_MNEMONIC_MOVBE:
	case ZYDIS_MNEMONIC_CRC32:
		break;
	default:
		return false;
	}
	for (unsigned int n = 0; n < j->zi->operand_count_visible; n++)
		if (j->ops[n].size == 16)
			return true;
	return false;
}

static void
emit_legacy_prefixes(struct emit *e, const struct fpu_job *j)
{
	if (sized_by_66(j))
		PUT(e, 0x66);
	for (unsigned int n = 0; n < j->zi->raw.prefix_count; n++)
		if (j->zi->raw.prefixes[n].type == ZYDIS_PREFIX_TYPE_MANDATORY)
			PUT(e, j->zi->raw.prefixes[n].value);
}

static uint8_t
host_rex(const struct fpu_job *j, bool gpr_reg, bool gpr_rm)
{
	uint8_t rex = 0;

	if (!(j->zi->attributes & ZYDIS_ATTRIB_HAS_REX))
		return 0;
	rex |= (uint8_t)(j->zi->raw.rex.W << 3);
	if (!gpr_reg)
		rex |= (uint8_t)(j->zi->raw.rex.R << 2);
	if (!gpr_rm && j->mem == NULL)
		rex |= (uint8_t)j->zi->raw.rex.B;
	return rex != 0 ? 0x40 | rex : 0;
}

static void
emit_legacy(struct emit *e, const struct fpu_job *j, bool gpr_reg, bool gpr_rm)
{
	const ZydisDecodedInstruction *zi = j->zi;
	unsigned int end;
	uint8_t rex = host_rex(j, gpr_reg, gpr_rm);

	emit_legacy_prefixes(e, j);
	if (rex != 0)
		PUT(e, rex);
	if (zi->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		PUT(e, 0x0f);
	if (zi->opcode_map == ZYDIS_OPCODE_MAP_0F38)
		PUT(e, 0x38);
	if (zi->opcode_map == ZYDIS_OPCODE_MAP_0F3A)
		PUT(e, 0x3a);
	PUT(e, zi->opcode);
	if (!has_modrm(zi))
		return; /* none of these has an immediate */
	PUT(e, host_modrm(j, gpr_reg, gpr_rm));
	end = tail_offset(j, zi->raw.modrm.offset);
	put(e, j->bytes + end, zi->length - end);
}

/*
 * VEX.W chooses between 32- and 64-bit general registers or their memory forms;
 * only in 64-bit mode, elsewhere it is ignored (SDM 2 VMOVD, VCVTSI2SD, ...).
 */
static bool
w_is_register_size(const ZydisDecodedInstruction *zi)
{
	switch (zi->meta.isa_set) {
	case ZYDIS_ISA_SET_BMI1:
	case ZYDIS_ISA_SET_BMI2:
		return true;
	default:
		break;
	}
	switch (zi->opcode_map << 8 | zi->opcode) {
	case ZYDIS_OPCODE_MAP_0F << 8 | 0x2a: /* VCVTSI2SS, SD */
	case ZYDIS_OPCODE_MAP_0F << 8 | 0x2c: /* VCVTTSS2SI, SD */
	case ZYDIS_OPCODE_MAP_0F << 8 | 0x2d:
	case ZYDIS_OPCODE_MAP_0F << 8 | 0x6e: /* VMOVD */
	case ZYDIS_OPCODE_MAP_0F << 8 | 0x7e:
	case ZYDIS_OPCODE_MAP_0F3A << 8 | 0x60: /* VPCMPESTRM */
	case ZYDIS_OPCODE_MAP_0F3A << 8 | 0x61: /* VPCMPESTRI */
		return true;
	default:
		return false;
	}
}

/* The two payload bytes of the three-byte form: RXB.mmmmm, W.vvvv.L.pp. */
static void
vex_payload(const struct fpu_job *j, uint8_t v[2])
{
	const uint8_t *p = j->bytes + j->zi->raw.vex.offset;

	if (p[0] == 0xc4) {
		v[0] = p[1];
		v[1] = p[2];
	} else {
		v[0] = (uint8_t)((p[1] & 0x80) | 0x61);
		v[1] = p[1] & 0x7f;
	}
	if (!j->mode64) {
		/* Registers 8 to 15 do not exist; the bits are inverted. */
		v[0] |= 0xe0;
		v[1] |= 0x40;
		if (w_is_register_size(j->zi))
			v[1] &= 0x7f;
	}
}

/* Register in imm8[7:4]; bit 7 is ignored outside 64-bit mode. */
static bool
has_is4(const struct fpu_job *j)
{
	for (unsigned int n = 0; n < j->zi->operand_count; n++)
		if (j->ops[n].encoding == ZYDIS_OPERAND_ENCODING_IS4)
			return true;
	return false;
}

static void
emit_vex(struct emit *e, const struct fpu_job *j, bool gpr_reg, bool gpr_rm)
{
	const ZydisDecodedInstruction *zi = j->zi;
	unsigned int end;
	uint8_t v[2];

	vex_payload(j, v);
	if (gpr_reg)
		v[0] |= 0x80;
	if (j->mem != NULL)
		v[0] |= 0x60;
	else if (gpr_rm)
		v[0] |= 0x20;
	if (operand_is_gpr(j, ZYDIS_OPERAND_ENCODING_NDSNDD))
		v[1] = (uint8_t)((v[1] & ~0x78u) | (~HOST_R8 & 0xf) << 3);
	PUT(e, 0xc4, v[0], v[1], zi->opcode);
	if (!has_modrm(zi))
		return; /* VZEROUPPER, VZEROALL */
	PUT(e, host_modrm(j, gpr_reg, gpr_rm));
	end = tail_offset(j, zi->raw.modrm.offset);
	put(e, j->bytes + end, zi->length - end);
	if (!j->mode64 && has_is4(j))
		e->b[e->n - 1] &= 0x7f;
}

/* Outside 64-bit mode they leave registers 8 to 15 alone (SDM 2 VZEROALL). */
static bool
emit_vzero_legacy(struct emit *e, const struct fpu_job *j)
{
	bool all = j->zi->mnemonic == ZYDIS_MNEMONIC_VZEROALL;

	if (j->mode64 || !(all || j->zi->mnemonic == ZYDIS_MNEMONIC_VZEROUPPER))
		return false;
	for (uint8_t r = 0; r < 8; r++) {
		if (all) /* vpxor xmmR, xmmR, xmmR */
			PUT(e, 0xc5, 0x81 | (~r & 0xf) << 3, 0xef,
			    0xc0 | r << 3 | r);
		else /* vmovdqa xmmR, xmmR */
			PUT(e, 0xc5, 0xf9, 0x6f, 0xc0 | r << 3 | r);
	}
	return true;
}

static void
emit_instruction(struct emit *e, const struct fpu_job *j)
{
	bool gpr_reg = operand_is_gpr(j, ZYDIS_OPERAND_ENCODING_MODRM_REG);
	bool gpr_rm = operand_is_gpr(j, ZYDIS_OPERAND_ENCODING_MODRM_RM);

	if (emit_vzero_legacy(e, j))
		return;
	if (j->vex)
		emit_vex(e, j, gpr_reg, gpr_rm);
	else
		emit_legacy(e, j, gpr_reg, gpr_rm);
}

/* --- x87 instruction and data pointers ------------------------------------ */

/*
 * After the instruction: when it raised #MF for an earlier one, that one's
 * pointers stay.
 */
static void
emit_x87_pointers(struct emit *e, const struct fpu_job *j)
{
	uint32_t op = x87_opcode(j->zi);

	PUT(e, 0x48); /* mov [fpu_ip], rdx */
	put_state(e, 0x89, HOST_EDX, OFF(fpu_ip));
	PUT(e, 0x0f); /* movzx eax, word cs; mov [fpu_cs], ax */
	put_state(e, 0xb7, HOST_EAX, OFF(seg[SEG_CS].sel));
	PUT(e, 0x66);
	put_state(e, 0x89, HOST_EAX, OFF(fpu_cs));
	if (j->mem == NULL) {
		PUT(e, 0x66); /* mov word [fpu_op], op */
		put_state(e, 0xc7, 0, OFF(fpu_op));
		PUT(e, op & 0xff, op >> 8);
		return;
	}
	PUT(e, 0x4c); /* mov [fpu_dp], r8 */
	put_state(e, 0x89, HOST_R8, OFF(fpu_dp));
	PUT(e, 0x66, 0x44); /* mov [fpu_ds], r9w */
	put_state(e, 0x89, 9, OFF(fpu_ds));
	PUT(e, 0x41, 0xc1, 0xe9, 16, 0x66, 0x44); /* shr r9d, 16; mov */
	put_state(e, 0x89, 9, OFF(fpu_op));
}

/* --- whole thunks --------------------------------------------------------- */

/* Guest flags go in unless the instruction neither reads nor keeps any. */
static void
flags_needed(const ZydisDecodedInstruction *zi, bool *ret_in, bool *ret_out)
{
	const ZydisAccessedFlags *f = zi->cpu_flags;
	uint32_t tested = 0, written = 0, undefined = 0;

	if (f != NULL) {
		tested = (uint32_t)f->tested & FL_OSZAPC;
		written =
		    (uint32_t)(f->modified | f->set_0 | f->set_1) & FL_OSZAPC;
		undefined = (uint32_t)f->undefined & FL_OSZAPC;
	}
	*ret_out = (written | undefined) != 0;
	*ret_in = tested != 0 || (*ret_out && written != FL_OSZAPC);
}

void *
thunk_make(const struct fpu_job *j, bool fp)
{
	struct emit e = { .n = 0 };
	struct gprs g;
	bool in, out;

	gprs_collect(j, &g);
	flags_needed(j->zi, &in, &out);
	if (fp)
		emit_cold_check(&e);
	if (in)
		emit_flags_in(&e);
	emit_loads(&e, &g);
	emit_instruction(&e, j);
	emit_stores(&e, &g);
	if (out)
		emit_flags_out(&e);
	if (x87_is(j->zi) && !x87_is_control(j->zi->mnemonic))
		emit_x87_pointers(&e, j);
	emit_next(&e);
	return (j->scratch ? thunk_scratch : thunk_intern)(e.b, e.n, e.cold);
}
