/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_cpu - random user-mode instructions, on the host CPU and in the software
 * CPU, from the same random state; stops at the first difference.
 *
 * The host is the oracle.  An arena of pages at fixed low addresses exists
 * twice: mapped in this process, and as the memory of a small guest whose page
 * tables map it at the same addresses for CPL 3.  A test is one instruction,
 * executed under the trap flag, or a short sequence that ends with INT3, and a
 * machine state.
 *
 * Compared: general registers, RIP, the flags that are defined, segment
 * selectors (16-bit mode), x87, SSE, AVX, MXCSR, memory, and the exception with
 * its error code and CR2.
 */
#include "fuzz_cpu.h"

#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXIT_SKIP 77 /* meson's */

struct fuzz fuzz;
const enum page_kind fuzz_data_kind[NDATA] = { RW, RW, RO, HOLE, RW };

static struct {
	uint64_t count, at;
	double seconds;
	bool keep_going, one, any_cpu;
	const char *only;
	unsigned int print; /* failures of one mnemonic */
} opt = { .seconds = 10, .print = 3 };

static uint32_t seen[ZYDIS_MNEMONIC_MAX_VALUE + 1];
static uint32_t failed[ZYDIS_MNEMONIC_MAX_VALUE + 1];
static uint64_t insns, vectors[32];

/* --- one test -------------------------------------------------------- */

static bool
run_both(const struct test *t, struct outcome *n, struct outcome *e)
{
	engine_prepare(t);
	native_prepare(t);
	native_run(t, n);
	if (n->vector == VECTOR_LOST)
		return true;
	engine_run(t, e);
	return compare(t, n, e, false) == 0;
}

/* Replace instructions by NOPs as long as the difference stays. */
static void
minimise(struct test *t)
{
	static struct test u;
	struct outcome n, e;
	unsigned int k;

	for (k = 0; t->run && k < t->n; k++) {
		if (t->insn[k].zi.mnemonic == ZYDIS_MNEMONIC_LOOP)
			continue; /* the count may be gone */
		u = *t;
		memset(u.bytes + u.insn[k].off, 0x90, u.insn[k].zi.length);
		if (!run_both(&u, &n, &e))
			*t = u;
	}
}

/* The mnemonic to blame: the one that faulted, or the last. */
static ZydisMnemonic
culprit(const struct test *t, const struct outcome *n)
{
	unsigned int k;

	for (k = 0; k < t->n; k++)
		if (t->s.rip + t->insn[k].off == n->s.rip)
			return t->insn[k].zi.mnemonic;
	return t->insn[t->n - 1].zi.mnemonic;
}

static bool
one_test(struct test *t, uint64_t index)
{
	struct outcome n, e;
	unsigned int k;
	ZydisMnemonic m;

	for (k = 0; k < t->n; k++)
		seen[t->insn[k].zi.mnemonic]++;
	insns += t->n;
	if (run_both(t, &n, &e)) {
		vectors[n.vector & 31]++;
		return true;
	}
	m = culprit(t, &n);
	if (failed[m]++ < opt.print || !opt.keep_going) {
		minimise(t);
		(void)run_both(t, &n, &e);
		print_test(t, index);
		compare(t, &n, &e, true);
		fflush(stdout);
	}
	return false;
}

/* --- the series ------------------------------------------------------ */

#define DATA_PERIOD 256u /* tests with the same data pages */
#define CODE_PERIOD 3u	 /* sequences with the same code, for cached blocks */

static void
reseed(uint64_t salt, uint64_t index)
{
	fuzz.rng = (fuzz.seed * 0x9e3779b97f4a7c15ull) ^
		   (index * 0xd1342543de82ef95ull) ^ salt;
	fuzz.rng = fuzz.rng != 0 ? fuzz.rng : 1;
	(void)rnd();
	(void)rnd();
}

#define ONLY_TRIES 1000u /* states for the given bytes */

static void
parse_only(struct test *t, uint64_t index)
{
	unsigned int v, try;

	for (try = 0; try < ONLY_TRIES; try++) {
		reseed(2 + try, index);
		t->len = 0;
		while (t->len < TEST_BYTES - 1 &&
		       sscanf(opt.only + 2 * t->len, "%2x", &v) == 1)
			t->bytes[t->len++] = (uint8_t)v;
		if (parse_test(t))
			return;
	}
	fprintf(stderr, "fuzz_cpu: cannot test %s\n", opt.only);
	exit(64);
}

/* Test number `index`: it depends on the seed and the number alone. */
static void
make(struct test *t, uint64_t index)
{
	static uint64_t data = UINT64_MAX;

	if (data != index / DATA_PERIOD) {
		data = index / DATA_PERIOD;
		reseed(1, data);
		rnd_data();
	}
	reseed(2, fuzz.seq_max ? index / CODE_PERIOD : index);
	if (opt.only != NULL) {
		parse_only(t, index);
		return;
	}
	make_test(t);
	if (fuzz.seq_max != 0) {
		reseed(3, index);
		aim_sequence(t);
	}
}

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
summary(uint64_t tests, uint64_t bad, double seconds)
{
	unsigned int k, kinds = 0;

	for (k = 0; k <= ZYDIS_MNEMONIC_MAX_VALUE; k++) {
		kinds += seen[k] != 0;
		if (failed[k] != 0)
			printf("%-16s %u of %u differ\n",
			    ZydisMnemonicGetString((ZydisMnemonic)k), failed[k],
			    seen[k]);
	}
	for (k = 0; k < 32; k++)
		if (vectors[k] != 0)
			printf("vector %u: %llu\n", k,
			    (unsigned long long)vectors[k]);
	printf("%llu tests, %llu instructions, %u of %u mnemonics, "
	       "%llu differences, seed %llu, %.1f s\n",
	    (unsigned long long)tests, (unsigned long long)insns, kinds,
	    forms_mnemonics(), (unsigned long long)bad,
	    (unsigned long long)fuzz.seed, seconds);
}

static int
run_series(void)
{
	static struct test t;
	uint64_t tests = 0, bad = 0;
	double start = now();

	for (;; tests++) {
		if (opt.one	     ? tests == 1
		    : opt.count != 0 ? tests == opt.count
				     : now() - start >= opt.seconds)
			break;
		make(&t, opt.at + tests);
		if (!one_test(&t, opt.at + tests)) {
			bad++;
			if (!opt.keep_going)
				break;
		}
	}
	summary(tests, bad, now() - start);
	return bad != 0;
}

/* --- the command ----------------------------------------------------- */

static int
usage(void)
{
	fprintf(stderr,
	    "usage: fuzz_cpu [--mode 64|32|16] [--sequence N] [--seconds N]\n"
	    "                [--count N] [--seed N] [--at N] [--keep-going]\n"
	    "                [--undefined] [--any-cpu] [--print N] [--only "
	    "HEX]\n");
	return 64;
}

static int
parse_mode(const char *s)
{
	static const char *const names[] = { "64", "32", "16" };
	unsigned int k;

	for (k = 0; k < ARRAY_LEN(names); k++)
		if (strcmp(s, names[k]) == 0) {
			fuzz.mode = (enum fuzz_mode)k;
			return 0;
		}
	return -1;
}

/* 0, or -1: not an option with a value. */
static int
parse_option(const char *name, const char *val)
{
	if (strcmp(name, "--mode") == 0)
		return parse_mode(val);
	if (strcmp(name, "--sequence") == 0) {
		fuzz.seq_max = (unsigned int)strtoul(val, NULL, 0);
		return fuzz.seq_max >= 2 && fuzz.seq_max <= TEST_INSNS ? 0 : -1;
	}
	if (strcmp(name, "--seconds") == 0)
		opt.seconds = atof(val);
	else if (strcmp(name, "--count") == 0)
		opt.count = strtoull(val, NULL, 0);
	else if (strcmp(name, "--seed") == 0)
		fuzz.seed = strtoull(val, NULL, 0);
	else if (strcmp(name, "--print") == 0)
		opt.print = (unsigned int)strtoul(val, NULL, 0);
	else if (strcmp(name, "--only") == 0)
		opt.only = val;
	else if (strcmp(name, "--at") == 0) {
		opt.at = strtoull(val, NULL, 0);
		opt.one = true;
	} else
		return -1;
	return 0;
}

/*
 * The guest's CPU is AMD's, and so are many details that are compared: order of
 * faults, undefined results.  Another maker's is no oracle for them.
 */
static bool
host_is_amd(void)
{
	uint32_t a, b, c, d;

	return __get_cpuid(0, &a, &b, &c, &d) != 0 && b == signature_AMD_ebx &&
	       c == signature_AMD_ecx && d == signature_AMD_edx;
}

int
main(int argc, char **argv)
{
	const char *why;
	int k;

	fuzz.seed = (uint64_t)time(NULL);
	for (k = 1; k < argc; k++) {
		if (strcmp(argv[k], "--keep-going") == 0)
			opt.keep_going = true;
		else if (strcmp(argv[k], "--any-cpu") == 0)
			opt.any_cpu = true;
		else if (strcmp(argv[k], "--undefined") == 0)
			fuzz.undefined = true;
		else if (k + 1 < argc &&
			 parse_option(argv[k], argv[k + 1]) == 0)
			k++;
		else
			return usage();
	}
	if (!opt.any_cpu && !host_is_amd()) {
		fprintf(stderr, "fuzz_cpu: not an AMD host\n");
		return EXIT_SKIP;
	}
	why = seg_native_init();
	if (why != NULL) {
		fprintf(stderr, "fuzz_cpu: %s\n", why);
		return EXIT_SKIP;
	}
	filter_init();
	reseed(1, 0);
	rnd_data();
	forms_init();
	engine_init(); /* installs its signal handlers: ours replace them */
	native_init();
	return run_series();
}
