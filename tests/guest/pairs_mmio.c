/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pairs_mmio.c - a device that is nothing but memory.  Instructions which a
 * hypervisor's emulator of MMIO lacks must work on it all the same.
 */
#include "host.h"

#include <string.h>

#include <util/util.h>
#include <vmm/bus.h>
#include <vmm/engine.h>
#include <vmm/vcpu.h>

#define MMIO_GPA 0xd0002000ull
#define MMIO_LEN 0x2000u

static uint8_t mmio_mem[MMIO_LEN];

static int
mmio_access(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val, void *arg)
{
	uint8_t *p = mmio_mem + (gpa - MMIO_GPA);

	if (write) {
		memcpy(p, val, bytes);
	} else {
		*val = 0;
		memcpy(val, p, bytes);
	}
	return 0;
}

static void
mmio_setup(struct guest *g)
{
	const struct mmio_range mmio = { .name = "memory",
		.base = MMIO_GPA,
		.len = MMIO_LEN,
		.fn = mmio_access,
		.lock = &g->lock };

	memset(mmio_mem, 0, sizeof(mmio_mem));
	if (bus_mmio_register(g->ctx, &mmio) != 0)
		host_die("mmio: the range is taken");
}

static uint64_t
mmio_call(struct guest *g, uint64_t which, uint64_t arg)
{
	const bool kvm = strcmp(g->engine->name, "kvm") == 0;

	switch (which) {
	case 1:
		return host_stat(g, VMSTAT_INSNS_STEPPED);
	case 2:
		return kvm && host_emulates();
	case 3:
		return kvm;
	default:
		host_die("mmio: call %lu", (unsigned long)which);
	}
}

/* What the guest cannot see: that the bytes are in the device. */
static void
mmio_check(struct guest *g)
{
	host_check_eq(g, "the device has CMPXCHG16B's bytes",
	    get_le64(mmio_mem + 0x108), 0x1112131415161718);
}

static const struct pair mmio_pairs[] = {
	{ .name = "mmio",
	    .payload = "mmio",
	    .setup = mmio_setup,
	    .call = mmio_call,
	    .check = mmio_check },
};
const struct pair_group mmio_group = {
	.name = "mmio",
	.pairs = mmio_pairs,
	.npairs = ARRAY_LEN(mmio_pairs),
};
