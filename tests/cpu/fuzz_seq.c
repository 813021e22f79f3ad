/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_seq.c - makes sequences: straight code with branches forward, ended by
 * INT3.
 *
 * A few registers hold addresses and small indices, and most instructions leave
 * them alone, so that a sequence comes some way before something faults.
 * Instructions that read a flag which is undefined at that point are not
 * chosen.  Sometimes a store changes a byte of an instruction behind it (flat
 * modes only: a 16-bit program has no writable alias of its code).
 */
#include "fuzz_cpu.h"

#include <string.h>

#define POINTERS                                                               \
	(1u << R_RBX | 1u << R_RBP | 1u << R_RSI | 1u << R_RDI | 1u << R_RSP | \
	    1u << R_R12)
#define SMALL (1u << R_RCX | 1u << R_R9) /* indices and counts */

/* --- which instructions ---------------------------------------------- */

static int
gpr_of_any(ZydisRegister r)
{
	return gpr_index(
	    ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r));
}

/* Changes a general register of `set`; pushes and pops may move RSP. */
static bool
writes(const struct test_insn *in, unsigned int set)
{
	unsigned int k;

	for (k = 0; k < in->zi.operand_count; k++) {
		const ZydisDecodedOperand *op = &in->ops[k];
		int r = op->type == ZYDIS_OPERAND_TYPE_REGISTER
			    ? gpr_of_any(op->reg.value)
			    : -1;

		if (r < 0 || !(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		if (op->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
		    r == R_RSP)
			continue;
		if (set & 1u << r)
			return true;
	}
	return false;
}

static bool
keeps_pointers(const struct test_insn *in)
{
	return in->zi.meta.category == ZYDIS_CATEGORY_STRINGOP ||
	       !writes(in, POINTERS | SMALL);
}

static bool
addresses_well(const struct test_insn *in)
{
	unsigned int k;

	for (k = 0; k < in->zi.operand_count; k++) {
		const ZydisDecodedOperandMem *m = &in->ops[k].mem;
		int base = gpr_index(m->base), index = gpr_index(m->index);

		if (in->ops[k].type != ZYDIS_OPERAND_TYPE_MEMORY ||
		    m->type != ZYDIS_MEMOP_TYPE_MEM)
			continue;
		if (base >= 0 && !(POINTERS & 1u << base))
			return false;
		if (index >= 0 && in->zi.address_width != 16 &&
		    !(SMALL & 1u << index))
			return false;
	}
	return true;
}

/* A direct branch: its target will be set. */
static bool
is_branch(const struct test_insn *in)
{
	return in->zi.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE;
}

static bool
fits(const struct test_insn *in, uint32_t undef)
{
	const ZydisAccessedFlags *f = in->zi.cpu_flags;

	if (in->zi.mnemonic == ZYDIS_MNEMONIC_INT3)
		return false;
	if (is_branch(in) &&
	    !(in->ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
		in->ops[0].imm.is_relative))
		return false;
	if (f != NULL && ((uint32_t)f->tested & undef & FLAGS_CMP))
		return false;
	/* Instructions that leave a flag alone when a count is 0 read it too.
	 */
	return (addresses_well(in) && keeps_pointers(in)) || below(12) == 0;
}

/* With a count of 0 it leaves the flags as they were. */
static bool
may_keep_flags(const struct test_insn *in)
{
	switch (in->zi.meta.category) {
	case ZYDIS_CATEGORY_SHIFT:
	case ZYDIS_CATEGORY_ROTATE:
	case ZYDIS_CATEGORY_STRINGOP:
		return true;
	default:
		return false;
	}
}

static uint32_t
undef_after(const struct test_insn *in, uint32_t undef, bool branched)
{
	const ZydisAccessedFlags *f = in->zi.cpu_flags;

	if (f == NULL)
		return undef;
	/* Behind a branch the instruction may have been skipped. */
	if (!branched && !may_keep_flags(in))
		undef &= ~(uint32_t)(f->modified | f->set_0 | f->set_1);
	return undef | (uint32_t)f->undefined;
}

/* --- self-modification ----------------------------------------------- */

#define SMC_STORE_LEN 8u

/* MOV byte [address], imm8; the operands are set when the layout is known. */
static void
put_smc_store(struct test *t, unsigned int off, uint64_t va, uint8_t val)
{
	uint8_t b[SMC_STORE_LEN] = { 0xc6, 0x04, 0x25 };
	uint32_t a = (uint32_t)va;

	if (fuzz.mode == FUZZ_32) { /* as long with an idle prefix */
		b[0] = 0x3e;
		b[1] = 0xc6;
		b[2] = 0x05;
	}
	memcpy(b + 3, &a, 4);
	b[7] = val;
	memcpy(t->bytes + off, b, sizeof(b));
}

/*
 * Make a variant of instruction k, differing in one byte, with the same
 * mnemonic and length: that is what is there first.
 */
static bool
make_variant(
    struct test *t, unsigned int k, unsigned int *ret_at, uint8_t *ret_old)
{
	struct test_insn *in = &t->insn[k], v = { .off = in->off };
	uint8_t *b = t->bytes + in->off;
	unsigned int try, at;

	for (try = 0; try < 16 && !is_branch(in); try++) {
		at = below(in->zi.length);
		*ret_old = b[at];
		b[at] = (uint8_t)rnd();
		if (filter_decode(t, b, TEST_BYTES - in->off, &v) &&
		    v.zi.length == in->zi.length &&
		    v.zi.mnemonic == in->zi.mnemonic) {
			*ret_at = in->off + at;
			return true;
		}
		b[at] = *ret_old;
	}
	return false;
}

static void
modify_later(struct test *t, unsigned int store)
{
	unsigned int at, k = store + 1 + below(t->n - store - 1);
	uint8_t val;

	if (make_variant(t, k, &at, &val))
		put_smc_store(t, t->insn[store].off, t->s.rip + at, val);
}

/* --- branches -------------------------------------------------------- */

static unsigned int
offset_of(const struct test *t, unsigned int k)
{
	return k < t->n ? t->insn[k].off : t->len - 1;
}

static void
set_target(struct test *t, unsigned int k)
{
	struct test_insn *in = &t->insn[k];
	unsigned int end = in->off + in->zi.length, to;
	unsigned int size = in->zi.raw.imm[0].size / 8;
	int32_t dist;

	do {
		to = k + 1 + below(t->n - k);
		dist = (int32_t)(offset_of(t, to) - end);
	} while (size == 1 && dist > 127);
	memcpy(t->bytes + in->off + in->zi.raw.imm[0].offset, &dist, size);
	(void)filter_decode(t, t->bytes + in->off, TEST_BYTES - in->off, in);
}

/*
 * Close with LOOP to an earlier instruction, when nothing between changes the
 * count and no flag is undefined the second time round.
 */
static void
add_loop(struct test *t, uint32_t undef)
{
	struct test_insn *in = &t->insn[t->n];
	unsigned int k, to = below(t->n);
	int dist;

	for (k = 0; k < t->n; k++)
		if (is_branch(&t->insn[k]) || writes(&t->insn[k], 1u << R_RCX))
			return;
	dist = (int)t->insn[to].off - (int)(t->len + 2);
	if (undef != 0 || t->n == TEST_INSNS || dist < -128)
		return;
	t->bytes[t->len] = 0xe2;
	t->bytes[t->len + 1] = (uint8_t)dist;
	in->off = t->len;
	in->undef = undef;
	(void)filter_decode(t, t->bytes + t->len, 2, in);
	t->len += 2;
	t->n++;
}

/* --- the whole ------------------------------------------------------- */

void
aim_sequence(struct test *t)
{
	uint64_t base = fuzz.mode == FUZZ_16 ? 0 : DATA_VA;
	unsigned int k;

	rnd_state(t);
	for (k = 0; k < 16; k++) {
		if ((POINTERS & 1u << k) && k != R_RSP)
			t->s.gpr[k] =
			    base + 0x200 + below(0xb80) +
			    (fuzz.mode != FUZZ_16 && below(4) == 0 ? 0x980 : 0);
		else if (SMALL & 1u << k)
			t->s.gpr[k] = 1 + below(12);
		if (fuzz.mode != FUZZ_64 && k >= 8)
			t->s.gpr[k] = 0;
	}
	aim_stack(t);
	if (below(4))
		t->s.gpr[R_RSP] = base + 0x800 + 8 * below(64);
}

void
make_sequence(struct test *t)
{
	unsigned int n = 2 + below(fuzz.seq_max - 1), k;
	unsigned int store =
	    fuzz.mode != FUZZ_16 && below(5) == 0 ? below(n - 1) : n;
	uint32_t undef = 0;
	bool branched = false;

	rnd_rip(t);
	t->len = 0;
	t->n = n;
	for (k = 0; k < n; k++) {
		struct test_insn *in = &t->insn[k];

		if (k == store) {
			put_smc_store(t, t->len, DATA_VA, 0);
			in->off = t->len;
			(void)filter_decode(
			    t, t->bytes + t->len, SMC_STORE_LEN, in);
		} else {
			while (!make_insn(t, t->len, in) || !fits(in, undef))
				;
		}
		in->undef = undef;
		branched |= is_branch(in);
		undef = undef_after(in, undef, branched);
		t->len += in->zi.length;
	}
	if (store == n && below(3) == 0)
		add_loop(t, undef);
	t->undef = undef;
	memset(t->bytes + t->len, 0xcc, TEST_BYTES - t->len);
	t->len++;
	for (k = 0; k < n; k++) /* not the closing LOOP */
		if (is_branch(&t->insn[k]))
			set_target(t, k);
	if (store < n)
		modify_later(t, store);
}
