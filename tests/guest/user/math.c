/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * math.c - all of libm over many arguments, in float, double and long double,
 * printed as bit patterns: one hash a function and a few values in full.
 *
 * libm mixes x87, SSE and FMA code as the CPU offers, so that the values are
 * those of the host only when each instruction rounds as the host's.  Rounding
 * modes and exception flags are part of what is hashed.
 */
#include "user.h"

#include <fenv.h>
#include <math.h>

#define ROUNDS 400

/* Hash values by their bits: a long double has 10 significant bytes. */
static uint64_t
hash_f(uint64_t h, float v)
{
	return isnan(v) ? hash_bytes(h, "nan", 3)
			: hash_bytes(h, &v, sizeof(v));
}

static uint64_t
hash_d(uint64_t h, double v)
{
	return isnan(v) ? hash_bytes(h, "nan", 3)
			: hash_bytes(h, &v, sizeof(v));
}

static uint64_t
hash_l(uint64_t h, long double v)
{
	return isnan(v) ? hash_bytes(h, "nan", 3) : hash_bytes(h, &v, 10);
}

/* --- arguments ------------------------------------------------------------ */

static const double special[] = { 0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-320,
	-1e-310, 1e308, -1e308, HUGE_VAL, -HUGE_VAL, NAN, 0x1.fffffffffffffp0,
	0x1.921fb54442d18p1, 1e22, 709.78, -745.2, 0x1p-1074,
	4503599627370497.5 };

static double
argument(uint64_t *state, unsigned int n)
{
	uint64_t r = next_random(state);
	double v;

	if (n < NELEM(special))
		return special[n];
	switch (r % 5) {
	case 0: /* any bits */
		r = next_random(state);
		memcpy(&v, &r, sizeof(v));
		return v;
	case 1:
		return ldexp((double)(int64_t)next_random(state), -60);
	case 2:
		return ldexp((double)(int64_t)next_random(state), -63);
	default:
		return ldexp(
		    (double)(int64_t)next_random(state), -56 - (int)(r >> 60));
	}
}

/* --- tables --------------------------------------------------------------- */

#define UNARY(name)                                                            \
	{                                                                      \
#name, name##f, name, name##l                                  \
	}
static const struct unary {
	const char *name;
	float (*f)(float);
	double (*d)(double);
	long double (*l)(long double);
} unary[] = { UNARY(sin), UNARY(cos), UNARY(tan), UNARY(asin), UNARY(acos),
	UNARY(atan), UNARY(sinh), UNARY(cosh), UNARY(tanh), UNARY(asinh),
	UNARY(acosh), UNARY(atanh), UNARY(exp), UNARY(exp2), UNARY(expm1),
	UNARY(log), UNARY(log2), UNARY(log10), UNARY(log1p), UNARY(logb),
	UNARY(sqrt), UNARY(cbrt), UNARY(erf), UNARY(erfc), UNARY(tgamma),
	UNARY(lgamma), UNARY(floor), UNARY(ceil), UNARY(trunc), UNARY(round),
	UNARY(rint), UNARY(nearbyint), UNARY(fabs), UNARY(j0), UNARY(j1),
	UNARY(y0), UNARY(y1), UNARY(significand), UNARY(exp10) };

#define BINARY(name)                                                           \
	{                                                                      \
#name, name##f, name, name##l                                  \
	}
static const struct binary {
	const char *name;
	float (*f)(float, float);
	double (*d)(double, double);
	long double (*l)(long double, long double);
} binary[] = { BINARY(pow), BINARY(atan2), BINARY(fmod), BINARY(remainder),
	BINARY(hypot), BINARY(fdim), BINARY(fmax), BINARY(fmin),
	BINARY(nextafter), BINARY(copysign), BINARY(drem) };

/* --- running -------------------------------------------------------------- */

static uint64_t
flags_hash(uint64_t h)
{
	int raised = fetestexcept(FE_ALL_EXCEPT);

	feclearexcept(FE_ALL_EXCEPT);
	return hash_bytes(h, &raised, sizeof(raised));
}

static void
run_unary(const struct unary *u)
{
	uint64_t state = 1, h = 0;

	feclearexcept(FE_ALL_EXCEPT);
	for (unsigned int n = 0; n < ROUNDS; n++) {
		double x = argument(&state, n);

		h = hash_f(h, u->f((float)x));
		h = flags_hash(h);
		h = hash_d(h, u->d(x));
		h = flags_hash(h);
		h = hash_l(h, u->l((long double)x * 1.0000000000000000007L));
		h = flags_hash(h);
	}
	printf("%s %016llx %a %La\n", u->name, (unsigned long long)h, u->d(0.7),
	    u->l(1.3L));
}

static void
run_binary(const struct binary *b)
{
	uint64_t state = 2, h = 0;

	feclearexcept(FE_ALL_EXCEPT);
	for (unsigned int n = 0; n < ROUNDS; n++) {
		double x = argument(&state, n);
		double y = argument(&state, n % 37 == 0 ? n / 37 : n);

		h = hash_f(h, b->f((float)x, (float)y));
		h = flags_hash(h);
		h = hash_d(h, b->d(x, y));
		h = flags_hash(h);
		h = hash_l(h, b->l((long double)x, (long double)y));
		h = flags_hash(h);
	}
	printf(
	    "%s %016llx %a\n", b->name, (unsigned long long)h, b->d(0.7, 1.9));
}

static void
run_others(void)
{
	uint64_t state = 3, h = 0;

	for (unsigned int n = 0; n < ROUNDS; n++) {
		double x = argument(&state, n), y = argument(&state, n + 50);
		double z = argument(&state, n + 100), ip, s, c;
		long double ls, lc;
		int e, q;

		h = hash_d(h, fma(x, y, z));
		h = hash_f(h, fmaf((float)x, (float)y, (float)z));
		h = hash_l(h, fmal(x, y, z));
		h = hash_d(h, frexp(x, &e));
		if (isfinite(x))
			h = hash_bytes(h, &e, sizeof(e));
		h = hash_d(h, modf(x, &ip));
		h = hash_d(h, ip);
		h = hash_d(h, remquo(x, y, &q));
		sincos(x, &s, &c);
		sincosl(x, &ls, &lc);
		h = hash_d(hash_d(h, s), c);
		h = hash_l(hash_l(h, ls), lc);
		h = hash_d(h, scalbn(x, (int)n - 200));
		h = hash_l(h, ldexpl(x, (int)n * 40 - 8000));
		h = hash_d(h, (double)(float)x);
		h = hash_d(h, jn(3, fmod(x, 50)));
		h = hash_d(h, yn(2, fabs(fmod(y, 50))));
	}
	printf("others %016llx\n", (unsigned long long)h);
}

/* Conversions and arithmetic in each rounding mode. */
static void
run_rounding(void)
{
	static const int modes[] = { FE_TONEAREST, FE_DOWNWARD, FE_UPWARD,
		FE_TOWARDZERO };

	for (unsigned int m = 0; m < NELEM(modes); m++) {
		uint64_t state = 4, h = 0;

		fesetround(modes[m]);
		for (unsigned int n = 0; n < ROUNDS; n++) {
			volatile double x = argument(&state, n);
			volatile double y = argument(&state, n + 3);
			volatile long double lx = x, ly = y;

			h = hash_d(h, x + y);
			h = hash_d(h, x * y);
			h = hash_d(h, x / y);
			h = hash_l(h, lx + ly);
			h = hash_l(h, lx / ly);
			h = hash_l(h, sqrtl(fabsl(lx)));
			h = hash_f(h, (float)x);
			h = hash_d(h, (double)(lx * 3.1L));
			h = hash_d(h, nearbyint(x));
			h = hash_l(h, rintl(lx));
			if (fabs(x) < 9e18) {
				long long k = llrint(x), t = (long long)lx;

				h = hash_bytes(h, &k, sizeof(k));
				h = hash_bytes(h, &t, sizeof(t));
			}
			h = flags_hash(h);
		}
		fesetround(FE_TONEAREST);
		printf("rounding %u %016llx\n", m, (unsigned long long)h);
	}
}

int
main(void)
{
	for (size_t n = 0; n < NELEM(unary); n++)
		run_unary(&unary[n]);
	for (size_t n = 0; n < NELEM(binary); n++)
		run_binary(&binary[n]);
	run_others();
	run_rounding();
	return user_end("math");
}
