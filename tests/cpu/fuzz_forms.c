/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_forms.c - one encoding of every form of every instruction, found by
 * decoding all opcodes with all mandatory prefixes once.  A test takes a random
 * mnemonic, one of its forms, and makes the operands random: so rare
 * instructions are tested as often as MOV.
 *
 * Two tables: for 32- and 64-bit code, and for 16-bit code of FUZZ_16.
 */
#include "fuzz_cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct form {
	uint16_t mnemonic;
	uint8_t len; /* of bytes: up to and with ModRM */
	uint8_t op;  /* offset of the opcode (after REX) or of VEX */
	bool modrm, vex;
	uint8_t bytes[8];
};

#define FORMS_MAX 65536u

static struct forms {
	struct form *form;
	unsigned int n;
	struct {
		unsigned int first, n;
	} by[ZYDIS_MNEMONIC_MAX_VALUE + 1];
	uint16_t mnemonic[ZYDIS_MNEMONIC_MAX_VALUE + 1];
	unsigned int nmnemonics;
} forms[2];

static struct forms *
table_for(const struct test *t)
{
	return &forms[fuzz.mode == FUZZ_16 && !seg_code32(t)];
}

/* --- collecting ------------------------------------------------------ */

/* f->bytes is one candidate, ModRM included. */
static void
try_form(struct forms *fs, const struct test *t, struct form *f)
{
	uint8_t bytes[16] = { 0 };
	struct test_insn in;
	unsigned int k;

	memcpy(bytes, f->bytes, f->len);
	if (!filter_decode(t, bytes, sizeof(bytes), &in))
		return;
	f->mnemonic = (uint16_t)in.zi.mnemonic;
	f->modrm = (in.zi.attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0;
	/* The forms next to it with another ModRM.reg or .rm are the same. */
	for (k = fs->n; k > 0 && fs->n - k < 16; k--) {
		const struct form *g = &fs->form[k - 1];
		bool reg3 = f->bytes[f->len - 1] >= 0xc0;

		if (g->len != f->len || g->op != f->op ||
		    memcmp(g->bytes, f->bytes, f->len - 1u) != 0)
			break;
		if (g->mnemonic == f->mnemonic &&
		    (!f->modrm || (g->bytes[g->len - 1] >= 0xc0) == reg3))
			return;
	}
	if (fs->n < FORMS_MAX)
		fs->form[fs->n++] = *f;
}

static void
try_modrm(struct forms *fs, const struct test *t, struct form *f, bool all)
{
	unsigned int m;

	f->len++;
	for (m = 0; m < 256; m++) {
		/* Registers of x87 and of groups are opcodes. */
		if (!all && (m & 7) != 1)
			continue;
		if (m >= 0x40 && m < 0xc0)
			continue;
		f->bytes[f->len - 1] = (uint8_t)m;
		try_form(fs, t, f);
	}
	f->len--;
}

static void
collect_legacy(struct forms *fs, const struct test *t)
{
	static const uint8_t prefix[] = { 0, 0x66, 0xf2, 0xf3 };
	static const struct {
		uint8_t n, b[2];
	} map[] = { { 0, { 0, 0 } }, { 1, { 0x0f, 0 } }, { 2, { 0x0f, 0x38 } },
		{ 2, { 0x0f, 0x3a } } };
	unsigned int p, m, w, op;

	for (p = 0; p < 4; p++)
		for (m = 0; m < 4; m++)
			for (w = 0; w < (fuzz.mode == FUZZ_64 ? 2u : 1u); w++)
				for (op = 0; op < 256; op++) {
					struct form f = { .len = 0 };

					if (prefix[p] != 0)
						f.bytes[f.len++] = prefix[p];
					f.op = f.len;
					if (w)
						f.bytes[f.len++] = 0x48;
					memcpy(f.bytes + f.len, map[m].b,
					    map[m].n);
					f.len = (uint8_t)(f.len + map[m].n);
					f.bytes[f.len++] = (uint8_t)op;
					try_modrm(fs, t, &f,
					    (m == 0 && op >= 0xd8 &&
						op < 0xe0) ||
						(m == 1 && op < 2));
				}
}

static void
collect_vex(struct forms *fs, const struct test *t)
{
	unsigned int map, pp, wl, op;

	for (map = 1; map < 4; map++)
		for (pp = 0; pp < 4; pp++)
			for (wl = 0; wl < 4; wl++)
				for (op = 0; op < 256; op++) {
					struct form f = { .len = 4,
						.vex = true,
						.bytes = { 0xc4,
						    (uint8_t)(0xe0 | map),
						    (uint8_t)(0x78 | pp |
							      (wl & 1) << 7 |
							      (wl & 2) << 1),
						    (uint8_t)op } };

					try_modrm(fs, t, &f, false);
				}
}

static int
by_mnemonic(const void *a, const void *b)
{
	const struct form *x = a, *y = b;

	if (x->mnemonic != y->mnemonic)
		return x->mnemonic < y->mnemonic ? -1 : 1;
	return memcmp(x->bytes, y->bytes, sizeof(x->bytes));
}

static void
collect(struct forms *fs, const struct test *t)
{
	unsigned int k;

	fs->form = calloc(FORMS_MAX, sizeof(*fs->form));
	if (fs->form == NULL)
		abort();
	collect_legacy(fs, t);
	collect_vex(fs, t);
	qsort(fs->form, fs->n, sizeof(*fs->form), by_mnemonic);
	for (k = 0; k < fs->n; k++) {
		unsigned int m = fs->form[k].mnemonic;

		if (fs->by[m].n++ == 0) {
			fs->by[m].first = k;
			fs->mnemonic[fs->nmnemonics++] = (uint16_t)m;
		}
	}
}

void
forms_init(void)
{
	struct test t = { .run = fuzz.seq_max != 0 };

	t.s.sel[SEG_CS] = fuzz.mode == FUZZ_64 ? 0x33 : 0x23;
	collect(&forms[0], &t);
	if (fuzz.mode == FUZZ_16) {
		t.s.sel[SEG_CS] = 7; /* the LDT's first: 16-bit code */
		collect(&forms[1], &t);
	}
}

unsigned int
forms_mnemonics(void)
{
	return forms[fuzz.mode == FUZZ_16].nmnemonics;
}

/* --- using ----------------------------------------------------------- */

static void
random_prefixes(uint8_t *bytes, unsigned int *n)
{
	static const uint8_t prefix[] = { 0x66, 0x66, 0x67, 0x67, 0xf2, 0xf3,
		0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x65 };

	while (*n < 3 && below(6) == 0)
		bytes[(*n)++] = prefix[below(ARRAY_LEN(prefix))];
}

/* Registers of REX or VEX, and the third operand. */
static void
random_extension(const struct form *f, uint8_t *op)
{
	if (f->vex) {
		if (fuzz.mode == FUZZ_64 && below(2))
			op[1] ^= (uint8_t)(rnd() & 0xe0);
		if (below(4))
			op[2] ^= (uint8_t)(rnd() & 0x78);
	} else if ((op[0] & 0xf0) == 0x40 && fuzz.mode == FUZZ_64) {
		op[0] |= (uint8_t)(rnd() & 7);
	}
}

static uint8_t
random_modrm(const struct form *f)
{
	uint8_t m = f->bytes[f->len - 1];

	if (m >= 0xc0) {
		m = (uint8_t)((m & 0xf8) | (rnd() & 7));
	} else {
		m = (uint8_t)((m & 0x38) | (rnd() & 7) | below(3) << 6);
	}
	/* Usually a register; when it is part of the opcode, decoding tells. */
	if (below(4))
		m = (uint8_t)((m & 0xc7) | below(8) << 3);
	return m;
}

void
forms_random(const struct test *t, uint8_t bytes[16])
{
	const struct forms *fs = table_for(t);
	unsigned int m = fs->mnemonic[below(fs->nmnemonics)];
	const struct form *f = &fs->form[fs->by[m].first + below(fs->by[m].n)];
	uint64_t r[2] = { rnd(), rnd() };
	unsigned int n = 0, op;

	memcpy(bytes, r, 16);
	random_prefixes(bytes, &n);
	op = n + f->op;
	/* REX goes after the form's own prefix, before its opcode. */
	memcpy(bytes + n, f->bytes, f->op);
	n += f->op;
	if (!f->vex && fuzz.mode == FUZZ_64 &&
	    (f->bytes[f->op] & 0xf0) != 0x40 && below(4) == 0)
		bytes[n++] = (uint8_t)(0x40 | (rnd() & 7));
	memcpy(bytes + n, f->bytes + f->op, f->len - f->op);
	n += f->len - (unsigned int)f->op;
	random_extension(f, bytes + op);
	if (f->modrm)
		bytes[n - 1] = random_modrm(f);
	else
		bytes[n - 1] = (uint8_t)rnd();
}
