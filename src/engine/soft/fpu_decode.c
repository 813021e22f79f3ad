/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fpu_decode.c - which instructions the host executes for the guest, when they
 * are available, and which handler does them: a thunk (thunk.c) or C (xsave.c,
 * vmask.c).
 *
 * Deliberately not there: EVEX, 3DNow!, XOP, TBM, FMA4, MPX, CET, AMX, GFNI.
 * Ordinary C, called after fpu_park().
 */
#include "fpu_priv.h"

#include <Zydis/Zydis.h>

#include <vmm/mem.h>

#include "decode.h"
#include "mmu.h"
#include "thunk.h"

/* --- which extensions ----------------------------------------------------- */

/*
 * Whitelist by ISA set, and the CPUID bit of the host behind it (bit ignored
 * with CPUID_NONE: x86-64 has it).  LZCNT and TZCNT need none: where they are
 * missing the bytes mean BSR and BSF, and the host agrees.
 */
/* clang-format off */
static const struct {
	bool listed;
	uint8_t reg; /* enum fpu_cpuid_reg */
	uint8_t bit;
} isa_table[ZYDIS_ISA_SET_MAX_VALUE + 1] = {
	[ZYDIS_ISA_SET_ADOX_ADCX] = { true, CPUID_7_EBX, 19 },
	[ZYDIS_ISA_SET_AES] = { true, CPUID_1_ECX, 25 },
	[ZYDIS_ISA_SET_AVX] = { true, CPUID_1_ECX, 28 },
	[ZYDIS_ISA_SET_AVX2] = { true, CPUID_7_EBX, 5 },
	[ZYDIS_ISA_SET_AVX2GATHER] = { true, CPUID_7_EBX, 5 },
	[ZYDIS_ISA_SET_AVXAES] = { true, CPUID_1_ECX, 25 },
	[ZYDIS_ISA_SET_BMI1] = { true, CPUID_NONE, 0 }, /* and TZCNT */
	[ZYDIS_ISA_SET_BMI2] = { true, CPUID_7_EBX, 8 },
	[ZYDIS_ISA_SET_F16C] = { true, CPUID_1_ECX, 29 },
	[ZYDIS_ISA_SET_FCMOV] = { true, CPUID_NONE, 0 },
	[ZYDIS_ISA_SET_FMA] = { true, CPUID_1_ECX, 12 },
	[ZYDIS_ISA_SET_FXSAVE] = { true, CPUID_NONE, 0 },
	[ZYDIS_ISA_SET_FXSAVE64] = { true, CPUID_NONE, 0 },
	[ZYDIS_ISA_SET_LZCNT] = { true, CPUID_NONE, 0 },
	[ZYDIS_ISA_SET_MOVBE] = { true, CPUID_1_ECX, 22 },
	[ZYDIS_ISA_SET_PCLMULQDQ] = { true, CPUID_1_ECX, 1 },
	[ZYDIS_ISA_SET_PENTIUMMMX] = { true, CPUID_NONE, 0 },
	[ZYDIS_ISA_SET_POPCNT] = { true, CPUID_1_ECX, 23 },
	[ZYDIS_ISA_SET_SHA] = { true, CPUID_7_EBX, 29 },
	[ZYDIS_ISA_SET_SSE] = { true, CPUID_NONE, 0 },
	[ZYDIS_ISA_SET_SSE2] = { true, CPUID_NONE, 0 },
	[ZYDIS_ISA_SET_SSE2MMX] = { true, CPUID_NONE, 0 },
	[ZYDIS_ISA_SET_SSE3] = { true, CPUID_1_ECX, 0 },
	[ZYDIS_ISA_SET_SSE3X87] = { true, CPUID_1_ECX, 0 },
	[ZYDIS_ISA_SET_SSE4] = { true, CPUID_1_ECX, 19 },
	[ZYDIS_ISA_SET_SSE42] = { true, CPUID_1_ECX, 20 },
	[ZYDIS_ISA_SET_SSE4A] = { true, CPUID_81_ECX, 6 },
	[ZYDIS_ISA_SET_SSEMXCSR] = { true, CPUID_NONE, 0 },
	[ZYDIS_ISA_SET_SSE_PREFETCH] = { true, CPUID_NONE, 0 },
	[ZYDIS_ISA_SET_SSSE3] = { true, CPUID_1_ECX, 9 },
	[ZYDIS_ISA_SET_SSSE3MMX] = { true, CPUID_1_ECX, 9 },
	[ZYDIS_ISA_SET_VAES] = { true, CPUID_7_ECX, 9 },
	[ZYDIS_ISA_SET_VPCLMULQDQ] = { true, CPUID_7_ECX, 10 },
	[ZYDIS_ISA_SET_X87] = { true, CPUID_NONE, 0 },
	[ZYDIS_ISA_SET_XSAVE] = { true, CPUID_1_ECX, 26 },
	[ZYDIS_ISA_SET_XSAVEC] = { true, CPUID_D1_EAX, 1 },
	[ZYDIS_ISA_SET_XSAVEOPT] = { true, CPUID_D1_EAX, 0 },
};
/* clang-format on */

static bool
isa_offered(const ZydisDecodedInstruction *zi)
{
	unsigned int set = zi->meta.isa_set;

	if (x87_is(zi) && set == ZYDIS_ISA_SET_PPRO)
		return true; /* FCOMI */
	if (!isa_table[set].listed)
		return false;
	return isa_table[set].reg == CPUID_NONE ||
	       ((fpu_host_cpuid(isa_table[set].reg) >> isa_table[set].bit) & 1);
}

/* AMD: VPEXTRQ and VPINSRQ outside 64-bit mode; other W bits are ignored. */
static bool
is_wide_insert(const struct fpu_job *j)
{
	return !j->mode64 && j->zi->raw.vex.W &&
	       j->zi->opcode_map == ZYDIS_OPCODE_MAP_0F3A &&
	       (j->zi->opcode == 0x16 || j->zi->opcode == 0x22);
}

/* VEX needs protected mode; EVEX, XOP, 3DNow! and the rest are not offered. */
static bool
encoding_offered(const struct fpu_job *j)
{
	if (j->vex)
		return (j->c->mode & (MODE_PE | MODE_V86)) == MODE_PE &&
		       !is_wide_insert(j);
	return j->zi->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;
}

/* --- availability: CR0.EM, CR0.TS, CR4.OSFXSR, XCR0 ----------------------- */

/* What decides whether an instruction may execute (SDM 3A table 13-1, 2-2). */
enum fpu_class {
	CLS_GPR,   /* always */
	CLS_X87,   /* EM or TS: #NM */
	CLS_WAIT,  /* TS and MP: #NM */
	CLS_MMX,   /* EM: #UD; TS: #NM */
	CLS_SSE,   /* EM or no OSFXSR: #UD; TS: #NM */
	CLS_AVX,   /* OSXSAVE or XCR0.AVX missing: #UD; TS: #NM */
	CLS_FXSR,  /* EM or TS: #NM */
	CLS_XSAVE, /* decided when executed */
};

static bool
uses_class(const struct fpu_job *j, ZydisRegisterClass cls)
{
	for (unsigned int n = 0; n < j->zi->operand_count; n++)
		if (j->ops[n].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(j->ops[n].reg.value) == cls)
			return true;
	return false;
}

/* General registers and memory only, whatever the ISA set is called. */
static bool
is_integer(const ZydisDecodedInstruction *zi)
{
	switch (zi->mnemonic) {
	case ZYDIS_MNEMONIC_CRC32:
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
	case ZYDIS_MNEMONIC_MOVNTI:
	case ZYDIS_MNEMONIC_SFENCE:
		return true;
	default:
		break;
	}
	switch (zi->meta.isa_set) {
	case ZYDIS_ISA_SET_ADOX_ADCX:
	case ZYDIS_ISA_SET_BMI1:
	case ZYDIS_ISA_SET_BMI2:
	case ZYDIS_ISA_SET_LZCNT:
	case ZYDIS_ISA_SET_MOVBE:
	case ZYDIS_ISA_SET_POPCNT:
	case ZYDIS_ISA_SET_SSE_PREFETCH:
		return true;
	default:
		return false;
	}
}

static enum fpu_class
classify(const struct fpu_job *j)
{
	if (j->zi->mnemonic == ZYDIS_MNEMONIC_FWAIT)
		return CLS_WAIT;
	if (x87_is(j->zi))
		return CLS_X87;
	if (is_integer(j->zi))
		return CLS_GPR;
	switch (j->zi->meta.isa_set) {
	case ZYDIS_ISA_SET_FXSAVE:
	case ZYDIS_ISA_SET_FXSAVE64:
		return CLS_FXSR;
	case ZYDIS_ISA_SET_XSAVE:
	case ZYDIS_ISA_SET_XSAVEC:
	case ZYDIS_ISA_SET_XSAVEOPT:
		return CLS_XSAVE;
	default:
		break;
	}
	if (j->vex)
		return CLS_AVX;
	if (!uses_class(j, ZYDIS_REGCLASS_XMM) &&
	    (uses_class(j, ZYDIS_REGCLASS_MMX) ||
		j->zi->mnemonic == ZYDIS_MNEMONIC_EMMS))
		return CLS_MMX;
	return CLS_SSE; /* CVTSD2SI from memory shows no vector register */
}

enum avail { AV_OK, AV_UD, AV_NM };

static enum avail
availability(enum fpu_class cls, uint32_t mode)
{
	/* clang-format off */
	static const struct {
		uint32_t ud_if, ud_unless, nm_if;
	} rule[] = {
		[CLS_GPR]   = { 0, 0, 0 },
		[CLS_X87]   = { 0, 0, MODE_EM | MODE_TS },
		[CLS_WAIT]  = { 0, 0, 0 },
		[CLS_MMX]   = { MODE_EM, 0, MODE_TS },
		[CLS_SSE]   = { MODE_EM, MODE_OSFXSR, MODE_TS },
		[CLS_AVX]   = { 0, MODE_AVX, MODE_TS },
		[CLS_FXSR]  = { 0, 0, MODE_EM | MODE_TS },
		[CLS_XSAVE] = { 0, 0, 0 },
	};
	/* clang-format on */

	if ((mode & rule[cls].ud_if) ||
	    (mode & rule[cls].ud_unless) != rule[cls].ud_unless)
		return AV_UD;
	return (mode & rule[cls].nm_if) ? AV_NM : AV_OK;
}

/* --- which handler -------------------------------------------------------- */

/*
 * Alignment (SDM 2 tables 2-15 and 2-21): 16-byte memory operands of
 * legacy SSE are aligned but for the instructions made not to be; of VEX ones
 * only the explicitly aligned moves.
 */
static bool
needs_alignment(const struct fpu_job *j, unsigned int size)
{
	switch (j->zi->mnemonic) {
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_LDDQU:
	case ZYDIS_MNEMONIC_PCMPESTRI:
	case ZYDIS_MNEMONIC_PCMPESTRM:
	case ZYDIS_MNEMONIC_PCMPISTRI:
	case ZYDIS_MNEMONIC_PCMPISTRM:
		return false;
	case ZYDIS_MNEMONIC_VMOVAPS:
	case ZYDIS_MNEMONIC_VMOVAPD:
	case ZYDIS_MNEMONIC_VMOVDQA:
	case ZYDIS_MNEMONIC_VMOVNTPS:
	case ZYDIS_MNEMONIC_VMOVNTPD:
	case ZYDIS_MNEMONIC_VMOVNTDQ:
	case ZYDIS_MNEMONIC_VMOVNTDQA:
		return true;
	default:
		/* SHA: AMD does not check; where the host does, it will. */
		return !j->vex && size == 16 &&
		       j->zi->meta.isa_set != ZYDIS_ISA_SET_SHA;
	}
}

static enum fpu_form
sse_form(bool store, bool aligned, unsigned int size)
{
	static const enum fpu_form form[2][4] = {
		{ FORM_LD4, FORM_LD8, FORM_LD16, FORM_LD32 },
		{ FORM_ST4, FORM_ST8, FORM_ST16, FORM_ST32 },
	};

	if (aligned && size == 32)
		return store ? FORM_STA32 : FORM_LDA32;
	if (aligned)
		return store ? FORM_STA16 : FORM_LDA16;
	for (unsigned int n = 0; n < 4; n++)
		if (size == 4u << n)
			return form[store][n];
	return store ? FORM_ST : FORM_LD;
}

static enum fpu_form
choose_form(const struct fpu_job *j, enum fpu_class cls)
{
	ZydisMnemonic m = j->zi->mnemonic;
	unsigned int size;
	bool store;

	if (cls == CLS_WAIT)
		return (j->c->mode & MODE_TS) ? FORM_WAIT_TS : FORM_REG;
	if (m == ZYDIS_MNEMONIC_FNINIT)
		return FORM_FNINIT;
	if (m == ZYDIS_MNEMONIC_LDMXCSR || m == ZYDIS_MNEMONIC_VLDMXCSR)
		return FORM_LDMXCSR;
	if (j->mem == NULL)
		return FORM_REG;
	size = j->mem->size / 8;
	store = (j->mem->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
	if (cls == CLS_X87 && !x87_is_control(m))
		return store ? FORM_X87_ST : FORM_X87_LD;
	return sse_form(store, needs_alignment(j, size), size);
}

/* Reports a pending x87 exception before it looks at its memory operand. */
static bool
waits(const struct fpu_job *j, enum fpu_class cls)
{
	if (cls == CLS_X87)
		return j->zi->mnemonic != ZYDIS_MNEMONIC_FNSTCW &&
		       j->zi->mnemonic != ZYDIS_MNEMONIC_FNSTSW;
	return uses_class(j, ZYDIS_REGCLASS_MMX);
}

static bool
fill_mem(const struct fpu_job *j, struct insn *i)
{
	return j->mem == NULL || insn_fill_mem(j->c, j->zi, j->mem, i);
}

static bool
decode_thunk(const struct fpu_job *j, enum fpu_class cls, struct insn *i)
{
	enum fpu_form form = choose_form(j, cls);
	void *code;

	if (!fill_mem(j, i))
		return false;
	if (j->mem != NULL)
		i->opsize = (uint8_t)(j->mem->size / 8);
	if (cls == CLS_X87)
		i->x |= x87_opcode(j->zi);
	if (waits(j, cls))
		i->x |= FPU_X_WAIT;
	code = thunk_make(j, cls != CLS_GPR);
	i->p = code;
	i->fn = fpu_forms[fpu_eager][form];
	if (code == NULL)
		i->fn = op_fpu_uncached;
	else if (form == FORM_REG && !fpu_eager)
		i->fn = (insn_fn)(uintptr_t)code;
	return true;
}

/* --- instructions done in C ----------------------------------------------- */

enum special_kind { SP_PLAIN, SP_ENDS, SP_GATHER, SP_MASK, SP_MASKMOV };

/* clang-format off */
static const struct special {
	uint16_t mnemonic;
	uint8_t kind;
	uint16_t x;
	insn_fn fn;
} special_table[] = {
	{ ZYDIS_MNEMONIC_FXSAVE,     SP_PLAIN, 0, op_fxsave },
	{ ZYDIS_MNEMONIC_FXSAVE64,   SP_PLAIN, 1, op_fxsave },
	{ ZYDIS_MNEMONIC_FXRSTOR,    SP_PLAIN, 0, op_fxrstor },
	{ ZYDIS_MNEMONIC_FXRSTOR64,  SP_PLAIN, 1, op_fxrstor },
	{ ZYDIS_MNEMONIC_XSAVE,      SP_PLAIN, 0, op_xsave },
	{ ZYDIS_MNEMONIC_XSAVE64,    SP_PLAIN, 1, op_xsave },
	{ ZYDIS_MNEMONIC_XSAVEOPT,   SP_PLAIN, 0, op_xsaveopt },
	{ ZYDIS_MNEMONIC_XSAVEOPT64, SP_PLAIN, 1, op_xsaveopt },
	{ ZYDIS_MNEMONIC_XSAVEC,     SP_PLAIN, 0, op_xsavec },
	{ ZYDIS_MNEMONIC_XSAVEC64,   SP_PLAIN, 1, op_xsavec },
	{ ZYDIS_MNEMONIC_XRSTOR,     SP_PLAIN, 0, op_xrstor },
	{ ZYDIS_MNEMONIC_XRSTOR64,   SP_PLAIN, 1, op_xrstor },
	{ ZYDIS_MNEMONIC_XGETBV,     SP_PLAIN, 0, op_xgetbv },
	{ ZYDIS_MNEMONIC_XSETBV,     SP_ENDS,  0, op_xsetbv },
	{ ZYDIS_MNEMONIC_FNSTENV,    SP_PLAIN, 0, op_fnstenv },
	{ ZYDIS_MNEMONIC_FLDENV,     SP_PLAIN, 0, op_fldenv },
	{ ZYDIS_MNEMONIC_FNSAVE,     SP_PLAIN, 0, op_fnsave },
	{ ZYDIS_MNEMONIC_FRSTOR,     SP_PLAIN, 0, op_frstor },
	{ ZYDIS_MNEMONIC_PREFETCHNTA, SP_PLAIN, 0, op_fpu_nop },
	{ ZYDIS_MNEMONIC_PREFETCHT0, SP_PLAIN, 0, op_fpu_nop },
	{ ZYDIS_MNEMONIC_PREFETCHT1, SP_PLAIN, 0, op_fpu_nop },
	{ ZYDIS_MNEMONIC_PREFETCHT2, SP_PLAIN, 0, op_fpu_nop },
	{ ZYDIS_MNEMONIC_VGATHERDPS, SP_GATHER, 0, op_gather },
	{ ZYDIS_MNEMONIC_VGATHERDPD, SP_GATHER, VM_ELEM8, op_gather },
	{ ZYDIS_MNEMONIC_VGATHERQPS, SP_GATHER, VM_IDX8, op_gather },
	{ ZYDIS_MNEMONIC_VGATHERQPD, SP_GATHER, VM_IDX8 | VM_ELEM8, op_gather },
	{ ZYDIS_MNEMONIC_VPGATHERDD, SP_GATHER, 0, op_gather },
	{ ZYDIS_MNEMONIC_VPGATHERDQ, SP_GATHER, VM_ELEM8, op_gather },
	{ ZYDIS_MNEMONIC_VPGATHERQD, SP_GATHER, VM_IDX8, op_gather },
	{ ZYDIS_MNEMONIC_VPGATHERQQ, SP_GATHER, VM_IDX8 | VM_ELEM8, op_gather },
	{ ZYDIS_MNEMONIC_VMASKMOVPS, SP_MASK, 0, op_maskload },
	{ ZYDIS_MNEMONIC_VMASKMOVPD, SP_MASK, VM_ELEM8, op_maskload },
	{ ZYDIS_MNEMONIC_VPMASKMOVD, SP_MASK, 0, op_maskload },
	{ ZYDIS_MNEMONIC_VPMASKMOVQ, SP_MASK, VM_ELEM8, op_maskload },
	{ ZYDIS_MNEMONIC_MASKMOVQ,   SP_MASKMOV, VM_MMX, op_maskmov },
	{ ZYDIS_MNEMONIC_MASKMOVDQU, SP_MASKMOV, 0, op_maskmov },
	{ ZYDIS_MNEMONIC_VMASKMOVDQU, SP_MASKMOV, 0, op_maskmov },
};
/* clang-format on */

static const struct special *
special_find(ZydisMnemonic m)
{
	for (size_t n = 0; n < ARRAY_LEN(special_table); n++)
		if (special_table[n].mnemonic == m)
			return &special_table[n];
	return NULL;
}

/* Number of the vector register operand with encoding `enc`. */
static uint8_t
vector_number(const struct fpu_job *j, ZydisOperandEncoding enc)
{
	for (unsigned int n = 0; n < j->zi->operand_count; n++)
		if (j->ops[n].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    j->ops[n].encoding == enc)
			return (uint8_t)ZydisRegisterGetId(j->ops[n].reg.value);
	return 0;
}

/* The base and displacement of a VSIB operand; the vector index goes to x. */
static bool
fill_gather(const struct fpu_job *j, struct insn *i)
{
	ZydisDecodedOperand op = *j->mem;
	unsigned int scale = j->mem->mem.scale;

	op.mem.type = ZYDIS_MEMOP_TYPE_MEM;
	op.mem.index = ZYDIS_REGISTER_NONE;
	op.mem.scale = 0;
	if (!insn_fill_mem(j->c, j->zi, &op, i))
		return false;
	i->index = R_ZERO;
	i->scale = (uint8_t)__builtin_ctz(scale | 8);
	i->x |= (uint32_t)ZydisRegisterGetId(j->mem->mem.index) & VM_INDEX;
	return true;
}

static bool
fill_special(const struct fpu_job *j, const struct special *s, struct insn *i)
{
	i->fn = s->fn;
	i->opsize = (uint8_t)(j->zi->operand_width / 8);
	if (s->kind == SP_GATHER ? !fill_gather(j, i) : !fill_mem(j, i))
		return false;
	i->x |= s->x;
	if (j->zi->avx.vector_length == 256)
		i->x |= VM_256;
	i->r1 = vector_number(j, ZYDIS_OPERAND_ENCODING_MODRM_REG);
	switch (s->kind) {
	case SP_MASK:
		if (j->mem->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
			i->fn = op_maskstore;
		__attribute__((fallthrough));
	case SP_GATHER:
		i->r2 = vector_number(j, ZYDIS_OPERAND_ENCODING_NDSNDD);
		break;
	case SP_MASKMOV:
		i->r2 = vector_number(j, ZYDIS_OPERAND_ENCODING_MODRM_RM);
		break;
	default:
		i->r1 = 0;
		i->x &= ~(uint32_t)VM_256;
		break;
	}
	return true;
}

/* --- decode --------------------------------------------------------------- */

static const ZydisDecodedOperand *
find_mem(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops)
{
	for (unsigned int n = 0; n < zi->operand_count; n++)
		if (ops[n].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return &ops[n];
	return NULL;
}

static bool
decode_job(const struct fpu_job *j, struct insn *i, bool *ret_ends_block)
{
	const struct special *s;
	enum fpu_class cls;

	*ret_ends_block = false;
	if (!encoding_offered(j) || !isa_offered(j->zi))
		return false;
	*i = (struct insn){
		.len = j->zi->length, .base = R_ZERO, .index = R_ZERO
	};
	cls = classify(j);
	switch (availability(cls, j->c->mode)) {
	case AV_UD:
		return false;
	case AV_NM:
		i->fn = op_fpu_nm;
		return true;
	default:
		break;
	}
	s = special_find(j->zi->mnemonic);
	if (s == NULL)
		return decode_thunk(j, cls, i);
	*ret_ends_block = s->kind == SP_ENDS;
	return fill_special(j, s, i);
}

bool
fpu_decode(struct soft_cpu *c, const struct ZydisDecodedInstruction_ *zi,
    const struct ZydisDecodedOperand_ *ops, const uint8_t *bytes,
    struct insn *i, bool *ret_ends_block)
{
	struct fpu_job j = {
		.c = c,
		.zi = zi,
		.ops = ops,
		.bytes = bytes,
		.vex = zi->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX,
		.mode64 = (c->mode & MODE_64) != 0,
		.mem = find_mem(zi, ops),
	};

	return decode_job(&j, i, ret_ends_block);
}

/* --- when the thunk area is full ------------------------------------------ */

/* Bytes of the instruction at rip, through the page tables as a fetch. */
static bool
fetch(struct soft_cpu *c, uint64_t rip, uint8_t *buf, unsigned int len)
{
	uint64_t la, gpa, off;

	for (unsigned int n = 0; n < len; n++) {
		la = rip + n;
		if (!(c->mode & MODE_64))
			la = (uint32_t)(c->seg[SEG_CS].base + la);
		if (!mmu_translate(c, la, ACC_X, &gpa))
			return false;
		off = vm_ram_offset(c->ram, gpa);
		if (off == UINT64_MAX)
			return cpu_raise_ud(c);
		buf[n] = (uint8_t)host_ld(c->ram->base + off, 1);
	}
	return true;
}

static void
decoder_for_mode(uint32_t mode, ZydisDecoder *d)
{
	if (mode & MODE_64)
		ZydisDecoderInit(
		    d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	else if (mode & MODE_CS32)
		ZydisDecoderInit(
		    d, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	else
		ZydisDecoderInit(
		    d, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
}

static void
op_scratch_end(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->rip = rip;
}

/* Bytes that another vCPU changed meanwhile are whatever they are now. */
const struct insn *
fpu_scratch_insn(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	static _Thread_local struct insn slot[2];
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction zi;
	struct fpu_job j = { .c = c,
		.zi = &zi,
		.ops = ops,
		.mode64 = (c->mode & MODE_64) != 0,
		.scratch = true };
	uint8_t buf[15];
	ZydisDecoder d;
	bool ends;

	if (!fetch(c, rip, buf, i->len))
		return NULL;
	decoder_for_mode(c->mode, &d);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, buf, i->len, &zi, ops))) {
		cpu_raise_ud(c);
		return NULL;
	}
	j.bytes = buf;
	j.vex = zi.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
	j.mem = find_mem(&zi, ops);
	if (!decode_job(&j, &slot[0], &ends) || slot[0].fn == op_fpu_uncached) {
		cpu_raise_ud(c);
		return NULL;
	}
	slot[1] = (struct insn){ .fn = op_scratch_end };
	return slot;
}
