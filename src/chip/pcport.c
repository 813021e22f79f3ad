/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Single ports of the PC: reset control 0xCF9 (Intel PIIX3, 2.5.4.1), port 0x92
 * (fast reset, A20), the POST port 0x84, bhyve's host notify 0x488, and the
 * delay ports 0x80 and 0xED.
 *
 * The A20 bit is stored and has no effect: address line 20 is never masked.
 * 0xCF9 resets on bit 2, hard and soft alike (docs/bhyve.md 1.7).  Accesses
 * come from vCPU threads.
 */
#include <chip/chips.h>

#include <stdlib.h>

#include <util/lock.h>
#include <util/log.h>
#include <vmm/bus.h>
#include <vmm/chip.h>
#include <vmm/snap.h>
#include <vmm/vm.h>
#include <vmmapi.h>

#define PORT_DELAY	   0x80
#define PORT_POST	   0x84
#define PORT_92		   0x92
#define PORT_DELAY_ED	   0xed
#define PORT_HOST_NOTIFY   0x488
#define PORT_RESET	   0xcf9

#define PORT_92_FAST_RESET 0x01
#define PORT_92_A20	   0x02
#define RESET_RST_CPU	   0x04

struct pcport_regs {
	uint8_t reset, port92;
	uint8_t pad[6];
};
static_assert(sizeof(struct pcport_regs) == 8, "snapshot format");

struct pcport {
	struct vmctx *ctx;
	struct lock lock;
	struct pcport_regs regs;
};

static int
pcport_reset_control(struct vcpu *vcpu, bool in, uint16_t port,
    unsigned int bytes, uint32_t *val, void *arg)
{
	struct pcport *pc = arg;

	if (bytes != 1)
		return -1;
	if (in) {
		*val = pc->regs.reset;
		return 0;
	}
	pc->regs.reset = (uint8_t)*val;
	if ((pc->regs.reset & RESET_RST_CPU) != 0)
		vm_suspend(pc->ctx, VM_SUSPEND_RESET);
	return 0;
}

static int
pcport_92(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct pcport *pc = arg;

	if (bytes != 1)
		return -1;
	if (in) {
		*val = pc->regs.port92;
		return 0;
	}
	pc->regs.port92 = (uint8_t)*val;
	if ((pc->regs.port92 & PORT_92_FAST_RESET) != 0)
		vm_suspend(pc->ctx, VM_SUSPEND_RESET);
	return 0;
}

/* POST codes and I/O delays: written for the writing's sake. */
static int
pcport_scratch(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	if (in)
		*val = UINT32_MAX;
	return 0;
}

static int
pcport_host_notify(struct vcpu *vcpu, bool in, uint16_t port,
    unsigned int bytes, uint32_t *val, void *arg)
{
	if (in)
		return -1;
	vm_host_notify(vcpu, *val, bytes);
	return 0;
}

static const struct pcport_range {
	const char *name;
	uint16_t port;
	pio_fn fn;
	bool posted;
} pcport_ranges[] = {
	{ "delay", PORT_DELAY, pcport_scratch, true },
	{ "post", PORT_POST, pcport_scratch, true },
	{ "port92", PORT_92, pcport_92, false },
	{ "delay", PORT_DELAY_ED, pcport_scratch, true },
	{ "host-notify", PORT_HOST_NOTIFY, pcport_host_notify, false },
	{ "reset", PORT_RESET, pcport_reset_control, false },
};

static void
pcport_reset(void *arg)
{
	struct pcport *pc = arg;

	pc->regs = (struct pcport_regs){ .port92 = PORT_92_A20 };
}

static void
pcport_snapshot(void *arg, struct snap *s)
{
	struct pcport *pc = arg;
	struct pcport_regs r = pc->regs;

	if (snap_bytes(s, "pcport", &r, sizeof(r)) == 0 && snap_loading(s))
		pc->regs = r;
}

/* The first n ranges are registered. */
static void
pcport_free(struct pcport *pc, size_t n)
{
	while (n-- > 0)
		bus_pio_unregister(pc->ctx, pcport_ranges[n].port, 1);
	lock_fini(&pc->lock);
	free(pc);
}

static void
pcport_fini(void *arg)
{
	pcport_free(arg, ARRAY_LEN(pcport_ranges));
}

static const struct chip_ops pcport_ops = {
	.name = "pcport",
	.reset = pcport_reset,
	.snapshot = pcport_snapshot,
	.fini = pcport_fini,
};

int
pcport_create(struct vmctx *ctx)
{
	struct pcport *pc = xcalloc(1, sizeof(*pc));

	pc->ctx = ctx;
	lock_init(&pc->lock);
	for (size_t i = 0; i < ARRAY_LEN(pcport_ranges); i++) {
		const struct pio_range range = {
			.name = pcport_ranges[i].name,
			.port = pcport_ranges[i].port,
			.len = 1,
			.fn = pcport_ranges[i].fn,
			.arg = pc,
			.lock = &pc->lock,
			.posted = pcport_ranges[i].posted,
		};
		int error = bus_pio_register(ctx, &range);

		if (error != 0) {
			pcport_free(pc, i);
			return error;
		}
	}
	pcport_reset(pc);
	chip_add(ctx, &pcport_ops, pc, &pc->lock);
	return 0;
}
