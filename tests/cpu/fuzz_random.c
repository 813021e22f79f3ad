/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_random.c - the random numbers of a test: values, vectors, x87 registers,
 * control words.  xorshift64*, seeded anew for each test so that it can be
 * repeated.
 */
#include "fuzz_cpu.h"

#include <string.h>

uint64_t
rnd(void)
{
	fuzz.rng ^= fuzz.rng << 13;
	fuzz.rng ^= fuzz.rng >> 7;
	fuzz.rng ^= fuzz.rng << 17;
	return fuzz.rng * 0x2545f4914f6cdd1dull;
}

unsigned int
below(unsigned int n)
{
	return (unsigned int)((rnd() >> 32) % n);
}

uint64_t
rnd_value(void)
{
	static const uint64_t corner[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff,
		0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
		0x7fffffffffffffff, 0x8000000000000000, UINT64_MAX,
		0x5555555555555555, 0x3ff0000000000000, 0x7ff0000000000000,
		0x7ff8000000000000, 0x0010000000000000, 0x3f800000, 0x7f800000,
		0x7fc00000 };

	switch (below(4)) {
	case 0:
		return corner[below(ARRAY_LEN(corner))];
	case 1:
		return rnd() >> below(64);
	case 2:
		return (uint64_t)(int64_t)(int8_t)rnd();
	default:
		return rnd();
	}
}

/* Zero, denormals, limits, infinities, NaNs of either kind, ordinary numbers.
 */
static uint32_t
rnd_float32(void)
{
	static const uint32_t corner[] = { 0, 1, 0x007fffff, 0x00800000,
		0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fc00000, 0x7fffffff,
		0x3f800000, 0x3f000000, 0x4f000000, 0x4effffff, 0x5f000000,
		0x34000000, 0x3fc00000 };
	uint32_t v;

	if (below(2))
		v = corner[below(ARRAY_LEN(corner))];
	else
		v = ((uint32_t)rnd() & 0x007fffff) | (112 + below(32)) << 23;
	return v | (uint32_t)below(2) << 31;
}

static uint64_t
rnd_float64(void)
{
	static const uint64_t corner[] = { 0, 1, 0x000fffffffffffff,
		0x0010000000000000, 0x7fefffffffffffff, 0x7ff0000000000000,
		0x7ff0000000000001, 0x7ff8000000000000, 0x7fffffffffffffff,
		0x3ff0000000000000, 0x3fe0000000000000, 0x41dfffffffc00000,
		0x41e0000000000000, 0x43e0000000000000, 0x3810000000000000,
		0x47efffffe0000000, 0x3ff8000000000000 };
	uint64_t v;

	if (below(2))
		v = corner[below(ARRAY_LEN(corner))];
	else
		v = (rnd() & 0x000fffffffffffff) |
		    (uint64_t)(1023 - 40 + below(80)) << 52;
	return v | (uint64_t)below(2) << 63;
}

uint64_t
rnd_vector(void)
{
	switch (below(5)) {
	case 0:
		return rnd_float64();
	case 1:
		return rnd_float32() | (uint64_t)rnd_float32() << 32;
	case 2:
		return rnd();
	default:
		return rnd_value();
	}
}

/* An x87 register: every class of the extended format, legal or not. */
static void
rnd_x87(uint64_t st[2])
{
	uint64_t frac = below(2) ? rnd() >> 1 : rnd() >> 1 >> below(63);
	unsigned int exp = 0x3fff - 70 + below(140);
	bool integer = true;

	switch (below(16)) {
	case 0: /* zero */
		exp = 0;
		frac = 0;
		integer = false;
		break;
	case 1: /* denormal, or pseudo-denormal */
		exp = 0;
		integer = below(2);
		break;
	case 2: /* infinity */
		exp = 0x7fff;
		frac = 0;
		break;
	case 3: /* NaN, either kind */
		exp = 0x7fff;
		break;
	case 4: /* not valid: pseudo-NaN, unnormal */
		integer = false;
		exp = below(2) ? 0x7fff : exp;
		break;
	case 5: /* smallest and largest */
		exp = below(2) ? 1 + below(70) : 0x7ffe - below(70);
		break;
	case 6: /* an MMX value */
		st[0] = rnd_vector();
		st[1] = 0xffff;
		return;
	case 7: /* a power of two, or near */
		frac = below(3) == 0 ? UINT64_MAX >> 1 : below(2);
		break;
	case 8: /* anything */
		exp = (unsigned int)rnd() & 0x7fff;
		break;
	default:
		break;
	}
	st[0] = frac | (uint64_t)integer << 63;
	st[1] = exp | below(2) << 15;
}

static void
rnd_fp_control(struct xsave_area *x)
{
	x->fcw = below(4) ? (uint16_t)(0x37f | (rnd() & 0xc00))
			  : (uint16_t)(0x40 | (rnd() & 0xf3f));
	x->fsw = (uint16_t)((rnd() & 0x4700) | (below(2) ? 0 : rnd() & 0x3800));
	if (below(8) == 0)
		x->fsw |= (uint16_t)(rnd() & 0x7f);
	/* ES and B are a function of the others (SDM 1 8.1.3.3). */
	if (x->fsw & ~x->fcw & 0x3f)
		x->fsw |= 0x8080;
	x->ftw = below(2) ? 0xff : (uint8_t)rnd();
	x->mxcsr = below(8) ? 0x1f80 | ((uint32_t)rnd() & 0xe07f)
			    : (uint32_t)rnd() & 0xffff;
	if (below(2))
		x->mxcsr &= ~0x8040u; /* FTZ, DAZ */
	x->mxcsr_mask = 0xffff;
}

void
rnd_state(struct test *t)
{
	struct xsave_area *x = &t->s.x;
	unsigned int k;

	for (k = 0; k < 16; k++) {
		t->s.gpr[k] = rnd_value();
		if (fuzz.mode != FUZZ_64)
			t->s.gpr[k] = k < 8 ? (uint32_t)t->s.gpr[k] : 0;
	}
	if (below(4) == 0)
		t->s.gpr[below(8)] = t->s.gpr[below(8)];
	t->s.flags = (uint32_t)rnd() & FL_OSZAPC;
	if (below(16) == 0)
		t->s.flags |= FL_DF;
	memset(x, 0, sizeof(*x));
	rnd_fp_control(x);
	for (k = 0; k < 8; k++)
		rnd_x87(x->st[k]);
	for (k = 0; k < 16; k++) {
		x->xmm[k][0] = rnd_vector();
		x->xmm[k][1] = rnd_vector();
		x->ymmh[k][0] = rnd_vector();
		x->ymmh[k][1] = rnd_vector();
	}
	x->xstate_bv = 7;
}

/* The read-only page only the first time. */
void
rnd_data(void)
{
	static bool again;
	unsigned int k;
	uint64_t v;

	for (k = 0; k + 8 <= DATA_SIZE; k += 8) {
		v = rnd_vector();
		if (!again || fuzz_data_kind[k / PAGE] == RW)
			memcpy(fuzz.data + k, &v, 8);
	}
	again = true;
}
