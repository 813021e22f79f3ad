/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pairs_io.c - a device that records every access to its ports and its MMIO,
 * and reads as bytes 0x80 + offset.
 */
#include "host.h"

#include <util/util.h>
#include <vmm/bus.h>

#define IO_PORT	 0x500
#define IO_NPORT 8
#define IO_GPA	 0xd0001000ull
#define IO_LEN	 0x1000

enum { LOG_CLEAR = 1, LOG_COUNT, LOG_GET };

static uint64_t io_log[64];
static unsigned int io_count;

static void
record(bool write, unsigned int bytes, uint64_t off, uint64_t val)
{
	if (io_count < ARRAY_LEN(io_log))
		io_log[io_count] = (uint64_t)write << 63 |
				   (uint64_t)bytes << 56 | off << 40 |
				   (val & 0xffffffff);
	io_count++;
}

static uint64_t
pattern(uint64_t off, unsigned int bytes)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < bytes; i++)
		v |= ((0x80 + off + i) & 0xff) << 8 * i;
	return v;
}

static int
io_port(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	if (in)
		*val = (uint32_t)pattern(port - IO_PORT, bytes);
	record(!in, bytes, port - IO_PORT, *val);
	return 0;
}

static int
io_mmio(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val, void *arg)
{
	if (!write)
		*val = pattern(gpa - IO_GPA, bytes);
	record(write, bytes, gpa - IO_GPA, *val);
	return 0;
}

static void
io_setup(struct guest *g)
{
	const struct pio_range ports = { .name = "io test",
		.port = IO_PORT,
		.len = IO_NPORT,
		.fn = io_port };
	const struct mmio_range mmio = {
		.name = "io test", .base = IO_GPA, .len = IO_LEN, .fn = io_mmio
	};

	io_count = 0;
	if (bus_pio_register(g->ctx, &ports) != 0 ||
	    bus_mmio_register(g->ctx, &mmio) != 0)
		host_die("io: ranges are taken");
}

static uint64_t
io_call(struct guest *g, uint64_t which, uint64_t arg)
{
	switch (which) {
	case LOG_CLEAR:
		io_count = 0;
		return 0;
	case LOG_COUNT:
		return io_count;
	default:
		return io_log[arg % ARRAY_LEN(io_log)];
	}
}

static const struct pair io_pairs[] = {
	{ .name = "io", .payload = "io", .setup = io_setup, .call = io_call },
	{ .name = "INS and OUTS",
	    .payload = "insouts",
	    .setup = io_setup,
	    .call = io_call },
	{ .name = "INS and OUTS below long mode",
	    .payload = "insouts_prot",
	    .setup = io_setup,
	    .call = io_call },
};
const struct pair_group io_group = {
	.name = "io",
	.pairs = io_pairs,
	.npairs = ARRAY_LEN(io_pairs),
};
