/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pairs_strings.c - a port that counts: reads give 0, 1, 2 ... and writes are
 * expected to.
 */
#include "host.h"

#include <util/util.h>
#include <vmm/bus.h>

#define STRINGS_PORT 0x500

enum { PORT_RESET = 1, PORT_WRITES, PORT_WRONG, PORT_READS };

static uint32_t strings_reads, strings_writes, strings_wrong;

static int
strings_port(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	if (in)
		*val = strings_reads++;
	else if (*val != strings_writes++)
		strings_wrong++;
	return 0;
}

static void
strings_setup(struct guest *g)
{
	const struct pio_range port = { .name = "strings test",
		.port = STRINGS_PORT,
		.len = 4,
		.fn = strings_port };

	if (bus_pio_register(g->ctx, &port) != 0)
		host_die("strings: the port is taken");
}

static uint64_t
strings_call(struct guest *g, uint64_t which, uint64_t arg)
{
	switch (which) {
	case PORT_RESET:
		strings_reads = strings_writes = strings_wrong = 0;
		return 0;
	case PORT_WRITES:
		return strings_writes;
	case PORT_WRONG:
		return strings_wrong;
	default:
		return strings_reads;
	}
}

static const struct pair strings_pairs[] = {
	{ .name = "strings",
	    .payload = "strings",
	    .setup = strings_setup,
	    .call = strings_call },
};
const struct pair_group strings_group = {
	.name = "strings",
	.pairs = strings_pairs,
	.npairs = ARRAY_LEN(strings_pairs),
};
