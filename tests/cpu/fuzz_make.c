/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_make.c - makes tests: random instructions, and registers that let their
 * operands fall where it is interesting.
 */
#include "fuzz_cpu.h"

#include <string.h>

static void
rnd_bytes(uint8_t bytes[16])
{
	static const uint8_t prefix[] = { 0x66, 0x66, 0xf2, 0xf3, 0xf3, 0x67,
		0xf0, 0x36, 0x2e, 0x26 };
	uint64_t r[2] = { rnd(), rnd() };
	unsigned int n = 0;

	memcpy(bytes, r, 16);
	while (n < 3 && below(4) == 0)
		bytes[n++] = prefix[below(ARRAY_LEN(prefix))];
	if (fuzz.mode == FUZZ_64 && below(10) < 4)
		bytes[n++] = (uint8_t)(0x40 | below(16));
	switch (below(5)) {
	case 0:
	case 1:
		bytes[n] = 0x0f;
		if (below(3) == 0)
			bytes[n + 1] = below(2) ? 0x38 : 0x3a;
		break;
	case 2:
		bytes[n] = below(2) ? 0xc4 : 0xc5;
		if (bytes[n] == 0xc4) /* maps 1-3, else invalid */
			bytes[n + 1] =
			    (uint8_t)((bytes[n + 1] & 0xe0) | (1 + below(3)));
		if (fuzz.mode != FUZZ_64) /* else LDS, LES */
			bytes[n + 1] |= 0xc0;
		break;
	default:
		break;
	}
}

/*
 * An address without a base register, RIP-relative or absolute, is all in the
 * instruction: let it point to the arena.  A sequence's registers are shared,
 * so there displacements are small.
 */
static void
aim_displacement(struct test *t, uint8_t *bytes, const struct test_insn *in)
{
	unsigned int k, size = in->zi.raw.disp.size / 8;
	uint64_t disp = t->run ? (uint64_t)(int64_t)(below(1024) - 512) : rnd();

	for (k = 0; k < in->zi.operand_count; k++) {
		const ZydisDecodedOperandMem *m = &in->ops[k].mem;

		if (in->ops[k].type != ZYDIS_OPERAND_TYPE_MEMORY ||
		    !m->disp.has_displacement)
			continue;
		if (m->base == ZYDIS_REGISTER_RIP ||
		    m->base == ZYDIS_REGISTER_EIP)
			disp =
			    rnd_place() - (t->s.rip + in->off + in->zi.length);
		else if (m->base == ZYDIS_REGISTER_NONE)
			disp = rnd_place();
		memcpy(bytes + in->zi.raw.disp.offset, &disp, size);
		return;
	}
}

bool
make_insn(struct test *t, unsigned int off, struct test_insn *ret)
{
	uint8_t *bytes = t->bytes + off;

	if (below(2))
		rnd_bytes(bytes);
	else
		forms_random(t, bytes);
	ret->off = off;
	ret->undef = 0;
	if (!filter_decode(t, bytes, TEST_BYTES - off, ret))
		return false;
	if (ret->zi.raw.disp.size < 16 || below(8) == 0)
		return true;
	aim_displacement(t, bytes, ret);
	return filter_decode(t, bytes, TEST_BYTES - off, ret);
}

/* --- aiming ---------------------------------------------------------- */

int
gpr_index(ZydisRegister r)
{
	if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15)
		return (int)(r - ZYDIS_REGISTER_RAX);
	if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D)
		return (int)(r - ZYDIS_REGISTER_EAX);
	if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_R15W)
		return (int)(r - ZYDIS_REGISTER_AX);
	return -1;
}

uint64_t
rnd_place(void)
{
	switch (below(12)) {
	case 0: /* straddle two writable pages */
		return DATA_VA + PAGE - 1 - below(32);
	case 1: /* into the read-only page */
		return DATA_VA + 2 * PAGE - 1 - below(32);
	case 2: /* into the hole */
		return DATA_VA + 3 * PAGE - 1 - below(32);
	case 3:
		return DATA_VA + 2 * PAGE + below(PAGE - 64);
	case 4:
		return rnd_value();
	default:
		return DATA_VA +
		       (below(2 * PAGE - 128) & ~(uint64_t)(below(2) ? 0 : 31));
	}
}

/* An offset in a segment: a place in the arena, or near the limit. */
static uint64_t
rnd_offset(const struct soft_seg *s)
{
	if (fuzz.mode != FUZZ_16)
		return rnd_place();
	if (below(4) == 0)
		return (uint32_t)(s->limit - below(24) + below(16));
	return (uint32_t)(rnd_place() - s->base);
}

void
set_gpr(struct test *t, int r, ZydisRegister as, uint64_t v)
{
	if (as >= ZYDIS_REGISTER_AX && as <= ZYDIS_REGISTER_R15W)
		v = (t->s.gpr[r] & ~0xffffull) | (v & 0xffff);
	t->s.gpr[r] = fuzz.mode == FUZZ_64 ? v : (uint32_t)v;
}

struct soft_seg
operand_segment(const struct test *t, const ZydisDecodedOperand *op)
{
	if (op->mem.segment >= ZYDIS_REGISTER_ES &&
	    op->mem.segment <= ZYDIS_REGISTER_GS)
		return seg_of(t->s.sel[op->mem.segment - ZYDIS_REGISTER_ES]);
	return seg_of(t->s.sel[SEG_DS]);
}

/* Gather indices: small, so that elements lie in the arena. */
static void
aim_vector(struct test *t, ZydisRegister r, bool wide)
{
	unsigned int k = (unsigned int)ZydisRegisterGetId(r), h;
	uint64_t v[4];

	for (h = 0; h < 4; h++) {
		v[h] = wide ? (uint64_t)(int64_t)(int16_t)(rnd() & 0x80ff)
			    : (rnd() & 0x000000ff000000ffull);
		if (!wide && below(2))
			v[h] = ~v[h];
	}
	memcpy(t->s.x.xmm[k], v, 16);
	memcpy(t->s.x.ymmh[k], v + 2, 16);
}

static void
aim_operand(
    struct test *t, const struct test_insn *in, const ZydisDecodedOperand *op)
{
	const ZydisDecodedOperandMem *m = &op->mem;
	int base = gpr_index(m->base), index = gpr_index(m->index);
	struct soft_seg s = operand_segment(t, op);
	uint64_t rest = m->disp.has_displacement ? (uint64_t)m->disp.value : 0;

	if (m->index >= ZYDIS_REGISTER_XMM0 && m->index <= ZYDIS_REGISTER_YMM31)
		aim_vector(t, m->index,
		    in->zi.mnemonic == ZYDIS_MNEMONIC_VGATHERQPS ||
			in->zi.mnemonic == ZYDIS_MNEMONIC_VGATHERQPD ||
			in->zi.mnemonic == ZYDIS_MNEMONIC_VPGATHERQD ||
			in->zi.mnemonic == ZYDIS_MNEMONIC_VPGATHERQQ);
	if (index >= 0 && index != base && below(2))
		set_gpr(t, index, m->index, (uint64_t)(int64_t)(int8_t)rnd());
	if (base < 0)
		return;
	if (index >= 0 && index != base)
		rest += t->s.gpr[index] * m->scale;
	set_gpr(t, base, m->base, rnd_offset(&s) - rest);
}

/* Bit strings: keep most offsets near. */
static void
aim_bits(struct test *t)
{
	unsigned int k;

	for (k = 0; k < 16; k++)
		if (t->s.gpr[k] < DATA_VA - PAGE ||
		    t->s.gpr[k] > DATA_VA + DATA_SIZE)
			t->s.gpr[k] = fuzz.mode == FUZZ_64
					  ? (uint64_t)(int64_t)(int16_t)rnd()
					  : (uint32_t)(int16_t)rnd();
}

bool
aim(struct test *t, const struct test_insn *in)
{
	bool selectors = fuzz.mode != FUZZ_32 && selectors_used(in);
	unsigned int k;

	if (selectors)
		selectors_aim_registers(t, in);
	for (k = 0; k < in->zi.operand_count; k++)
		if (in->ops[k].type == ZYDIS_OPERAND_TYPE_MEMORY)
			aim_operand(t, in, &in->ops[k]);
	if (selectors && !selectors_aim_memory(t, in))
		return false;
	if (in->zi.mnemonic >= ZYDIS_MNEMONIC_BT &&
	    in->zi.mnemonic <= ZYDIS_MNEMONIC_BTS && below(4) != 0)
		aim_bits(t);
	if (in->zi.raw.prefix_count > 0 &&
	    in->zi.meta.category == ZYDIS_CATEGORY_STRINGOP && below(8))
		t->s.gpr[R_RCX] = below(40);
	return true;
}

void
aim_stack(struct test *t)
{
	struct soft_seg ss = seg_of(t->s.sel[SEG_SS]);
	uint64_t sp = rnd_offset(&ss);

	if (below(2))
		sp &= ~7ull;
	t->s.gpr[R_RSP] = fuzz.mode == FUZZ_64 ? sp : (uint32_t)sp;
}

/* --- whole tests ----------------------------------------------------- */

void
rnd_rip(struct test *t)
{
	struct soft_seg cs = seg_of(t->s.sel[SEG_CS]);
	uint64_t off =
	    below(8) ? 64 * below(32) : PAGE - 1 - below(t->run ? 100 : 14);

	/* Near the end of the segment, but within. */
	if (fuzz.mode == FUZZ_16 && below(4) == 0 &&
	    (uint32_t)(cs.base + cs.limit) - CODE_VA < 2 * PAGE - 16)
		off = (uint32_t)(cs.base + cs.limit) - CODE_VA - below(12);
	t->s.rip = CODE_VA + off - cs.base;
	if (fuzz.mode != FUZZ_64)
		t->s.rip = (uint32_t)t->s.rip;
	if (t->s.rip > cs.limit)
		t->s.rip = 0;
}

static bool
make_single(struct test *t)
{
	rnd_rip(t);
	t->n = 1;
	while (!make_insn(t, 0, &t->insn[0]))
		;
	if (fuzz.mode == FUZZ_16)
		selectors_aim_immediate(t, &t->insn[0]);
	t->len = t->insn[0].zi.length;
	t->undef = 0;
	if (t->insn[0].zi.cpu_flags != NULL)
		t->undef = (uint32_t)t->insn[0].zi.cpu_flags->undefined;
	rnd_state(t);
	aim_stack(t);
	return aim(t, &t->insn[0]);
}

void
make_test(struct test *t)
{
	t->run = fuzz.seq_max != 0;
	for (;;) {
		t->npokes = 0;
		rnd_segments(t);
		if (t->run)
			make_sequence(t);
		else if (!make_single(t))
			continue;
		return;
	}
}

bool
parse_test(struct test *t)
{
	unsigned int off = 0;

	t->run = fuzz.seq_max != 0;
	t->npokes = 0;
	t->undef = 0;
	rnd_segments(t);
	for (t->n = 0; off < t->len && t->n < TEST_INSNS; t->n++) {
		struct test_insn *in = &t->insn[t->n];

		in->off = off;
		if (!filter_decode(t, t->bytes + off, t->len - off, in))
			return false;
		off += in->zi.length;
	}
	rnd_rip(t);
	rnd_state(t);
	aim_stack(t);
	for (off = 0; off < t->n; off++)
		if (!aim(t, &t->insn[off]))
			return false;
	if (t->n == 1 && t->insn[0].zi.cpu_flags != NULL)
		t->undef = (uint32_t)t->insn[0].zi.cpu_flags->undefined;
	if (t->run)
		t->bytes[t->len++] = 0xcc;
	return t->n > 0;
}
