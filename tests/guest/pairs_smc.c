/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pairs_smc.c - code that changes, and code behind a bus: a page of MMIO that
 * reads as instructions.
 */
#include "host.h"

#include <string.h>

#include <util/util.h>
#include <vmm/bus.h>

#define CODE_GPA 0xd0000000ull

/* xor eax, eax; mov ecx, 100; l: add eax, ecx; loop l; add eax, N; ret */
static const uint8_t code[] = { 0x31, 0xc0, 0xb9, 100, 0, 0, 0, 0x01, 0xc8,
	0xe2, 0xfc, 0x83, 0xc0, 0, 0xc3 };
#define CODE_N 13

static int
code_mmio(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val, void *arg)
{
	struct guest *g = arg;

	if (write)
		return -1;
	*val = 0;
	for (unsigned int i = 0; i < bytes; i++) {
		uint64_t off = gpa - CODE_GPA + i;
		uint64_t b = off < sizeof(code) ? code[off] : 0;

		if (off == CODE_N)
			b = g->seen;
		*val |= b << 8 * i;
	}
	return 0;
}

static void
smc_setup(struct guest *g)
{
	const struct mmio_range r = {
		.name = "code",
		.base = CODE_GPA,
		.len = 0x1000,
		.fn = code_mmio,
		.arg = g,
	};

	if (bus_mmio_register(g->ctx, &r) != 0)
		host_die("code: MMIO range");
}

static uint64_t
smc_call(struct guest *g, uint64_t which, uint64_t arg)
{
	g->seen = (unsigned int)which;
	return 0;
}

static const struct pair smc_pairs[] = {
	{
	    .name = "smc",
	    .payload = "smc",
	    .ncpus = 2,
	    .setup = smc_setup,
	    .call = smc_call,
	},
};
const struct pair_group smc_group = {
	.name = "smc",
	.pairs = smc_pairs,
	.npairs = ARRAY_LEN(smc_pairs),
};
