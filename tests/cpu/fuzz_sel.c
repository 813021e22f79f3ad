/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_sel.c - instructions that take selectors or flags: segment loads, far
 * transfers, LAR and its kin, POPF.  Puts selectors and images worth loading
 * where the instruction finds them: registers, memory, the stack, its own
 * bytes.  16-bit mode has an LDT to choose from, 64-bit mode the host's GDT.
 */
#include "fuzz_cpu.h"

#include <string.h>

static bool
is_iret(const struct test_insn *in)
{
	return in->zi.mnemonic == ZYDIS_MNEMONIC_IRET ||
	       in->zi.mnemonic == ZYDIS_MNEMONIC_IRETD ||
	       in->zi.mnemonic == ZYDIS_MNEMONIC_IRETQ;
}

static bool
is_popf(const struct test_insn *in)
{
	return in->zi.mnemonic == ZYDIS_MNEMONIC_POPF ||
	       in->zi.mnemonic == ZYDIS_MNEMONIC_POPFD ||
	       in->zi.mnemonic == ZYDIS_MNEMONIC_POPFQ;
}

bool
loads_flags(const struct test_insn *in)
{
	return is_iret(in) || is_popf(in);
}

static bool
is_far(const struct test_insn *in)
{
	return in->zi.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR || is_iret(in);
}

/* The operand is an offset with a selector behind it. */
static bool
has_far_pointer(const struct test_insn *in)
{
	switch (in->zi.mnemonic) {
	case ZYDIS_MNEMONIC_LDS:
	case ZYDIS_MNEMONIC_LES:
	case ZYDIS_MNEMONIC_LGS:
	case ZYDIS_MNEMONIC_LSS:
		return true;
	default:
		return is_far(in);
	}
}

bool
selectors_used(const struct test_insn *in)
{
	unsigned int k;

	if (has_far_pointer(in) || is_popf(in))
		return true;
	switch (in->zi.mnemonic) {
	case ZYDIS_MNEMONIC_LAR:
	case ZYDIS_MNEMONIC_LSL:
	case ZYDIS_MNEMONIC_VERR:
	case ZYDIS_MNEMONIC_VERW:
		return true;
	default:
		break;
	}
	for (k = 0; k < in->zi.operand_count_visible; k++)
		if (in->ops[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (in->ops[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) &&
		    ZydisRegisterGetClass(in->ops[k].reg.value) ==
			ZYDIS_REGCLASS_SEGMENT)
			return true;
	return false;
}

void
selectors_aim_registers(struct test *t, const struct test_insn *in)
{
	unsigned int k;
	int r;

	for (k = 0; k < in->zi.operand_count_visible; k++) {
		const ZydisDecodedOperand *op = &in->ops[k];

		r = op->type == ZYDIS_OPERAND_TYPE_REGISTER
			? gpr_index(op->reg.value)
			: -1;
		if (r >= 0 && r != R_RSP)
			set_gpr(t, r, op->reg.value, rnd_selector());
	}
}

static bool
poke(struct test *t, uint64_t va, uint64_t val, unsigned int size)
{
	if (fuzz.mode != FUZZ_64)
		va = (uint32_t)va;
	if (va < DATA_VA || va > DATA_VA + 2 * PAGE - size ||
	    t->npokes == ARRAY_LEN(t->poke))
		return false;
	t->poke[t->npokes].va = va;
	t->poke[t->npokes].val = val;
	t->poke[t->npokes++].size = size;
	return true;
}

/* Linear address of a memory operand. */
static uint64_t
operand_va(const struct test *t, const struct test_insn *in,
    const ZydisDecodedOperand *op)
{
	int base = gpr_index(op->mem.base), index = gpr_index(op->mem.index);
	uint64_t off =
	    op->mem.disp.has_displacement ? (uint64_t)op->mem.disp.value : 0;
	bool down =
	    base == R_RSP && op->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN;

	if (base >= 0)
		off += t->s.gpr[base];
	if (index >= 0)
		off += t->s.gpr[index] * op->mem.scale;
	if (in->zi.address_width == 16 && !down)
		off = (uint16_t)off;
	if (down && !(operand_segment(t, op).access & 0x4000))
		off = (uint16_t)off;
	return operand_segment(t, op).base + off;
}

static uint64_t
rnd_target(void)
{
	return below(4) ? below(0x2000) : rnd_value();
}

/* What IRET and POPF load keeps the process in single steps. */
static uint64_t
rnd_flags_image(void)
{
	uint32_t mask = FL_OSZAPC | FL_DF | FL_IF | FL_IOPL;

	if (fuzz.mode == FUZZ_64)
		mask |= FL_NT | FL_AC | FL_ID | FL_VIF;
	return (rnd() & mask) | FL_TF;
}

static unsigned int
operand_bytes(const struct test_insn *in)
{
	return in->zi.operand_width / 8;
}

/* RIP, CS, RFLAGS and in 64-bit mode RSP, SS.  False: no safe flags. */
static bool
poke_iret(struct test *t, uint64_t va, unsigned int w)
{
	if (fuzz.mode == FUZZ_64) {
		poke(t, va + 3 * w, rnd_place(), w);
		poke(t, va + 4 * w, rnd_selector(), 2);
	}
	return poke(t, va + 2 * w, rnd_flags_image(), w);
}

bool
selectors_aim_memory(struct test *t, const struct test_insn *in)
{
	unsigned int k, w = operand_bytes(in);
	bool safe = !loads_flags(in);
	uint64_t va;

	for (k = 0; k < in->zi.operand_count; k++) {
		const ZydisDecodedOperand *op = &in->ops[k];

		if (op->type != ZYDIS_OPERAND_TYPE_MEMORY ||
		    op->mem.type != ZYDIS_MEMOP_TYPE_MEM)
			continue;
		va = operand_va(t, in, op);
		if (is_popf(in)) {
			safe = poke(t, va, rnd_flags_image(), w);
			continue;
		}
		if (!has_far_pointer(in)) {
			poke(t, va, rnd_selector(), 2);
			continue;
		}
		poke(t, va + w, rnd_selector(), 2);
		if (is_far(in))
			poke(t, va, rnd_target(), w);
		if (is_iret(in))
			safe = poke_iret(t, va, w);
	}
	return safe;
}

/* JMP and CALL ptr16:16, ptr16:32: the bytes end with the pointer. */
void
selectors_aim_immediate(struct test *t, struct test_insn *in)
{
	unsigned int w = in->zi.operand_width == 16 ? 2 : 4;
	uint8_t *end = t->bytes + in->off + in->zi.length;
	uint32_t off = (uint32_t)rnd_target();
	uint16_t sel = rnd_selector();

	if (in->ops[0].type != ZYDIS_OPERAND_TYPE_POINTER)
		return;
	memcpy(end - 2, &sel, 2);
	memcpy(end - 2 - w, &off, w);
	(void)filter_decode(t, t->bytes + in->off, in->zi.length, in);
}
