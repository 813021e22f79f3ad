/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_pci_cfg.c - the input is a script of a guest's accesses to a PC with a
 * host bridge, an LPC bridge and three dummies: configuration space by both
 * mechanisms, BARs where they are and where they were.
 *
 * Each step is eight bytes: what, which function, offset (2), value (4).  At
 * the end the state must survive saving and loading.
 */
#include "fuzz.h"

#include <assert.h>

#include <util/log.h>
#include <util/util.h>
#include <vmm/bus.h>
#include <vmm/chip.h>
#include <vmm/engine.h>
#include <vmm/irq.h>
#include <vmm/pci.h>
#include <vmm/snap.h>
#include <vmm/vcpu.h>
#include <vmm/vm.h>
#include <vmmapi.h>

#include "../dev/fake_engine.h"

#define STEP_BYTES 8
#define MAX_STEPS  4096
#define RAM_BYTES  (2u << 20)

struct pc {
	struct vmctx *ctx;
	struct vcpu *vcpu;
	struct pci_bus *bus;
};

static void
quiet(enum log_level level, const char *line)
{
}

static void
on_gsi(void *chip, unsigned int gsi, bool level)
{
	assert(gsi < IRQ_NGSI);
}

static int
on_msi(void *chip, uint64_t addr, uint32_t data)
{
	return 0;
}

static const struct irqchip_ops irqchip = {
	.set_gsi = on_gsi,
	.msi = on_msi,
};

/* Where the functions are; index 5 on are empty. */
static const uint8_t functions[][3] = { { 0, 0, 0 }, { 0, 3, 0 }, { 0, 3, 1 },
	{ 5, 2, 0 }, { 0, 31, 0 }, { 0, 4, 0 }, { 5, 2, 1 }, { 255, 31, 7 } };
extern const struct pci_dev_ops hostbridge_ops, dummy_ops, lpc_ops;
static const struct pci_dev_ops *const models[] = { &hostbridge_ops, &dummy_ops,
	&dummy_ops, &dummy_ops, &lpc_ops };

static void
pc_make(struct pc *pc)
{
	char err[256];
	int error = vm_new("fuzz", &fake_engine_ops, &pc->ctx);

	assert(error == 0);
	pc->vcpu = vm_vcpu_open(pc->ctx, 0);
	assert(pc->vcpu != NULL);
	error = vm_setup_memory(pc->ctx, RAM_BYTES, VM_MMAP_ALL);
	assert(error == 0);
	irq_set_chip(pc->ctx, &irqchip, pc);
	error = pci_bus_create(pc->ctx, &pc->bus);
	for (unsigned int i = 0; i < ARRAY_LEN(models) && error == 0; i++)
		error =
		    pci_dev_create(pc->bus, models[i], NULL, functions[i][0],
			functions[i][1], functions[i][2], err, sizeof(err));
	assert(error == 0);
}

/* --- steps ---------------------------------------------------------------- */

struct step {
	uint8_t what, who;
	uint16_t off;
	uint32_t val;
};

static uint32_t
step_bdf(const struct step *s)
{
	const uint8_t *f = functions[s->who % ARRAY_LEN(functions)];

	return (uint32_t)f[0] << 16 | (uint32_t)f[1] << 11 |
	       (uint32_t)f[2] << 8;
}

static void
step_ecam(struct pc *pc, const struct step *s, unsigned int bytes)
{
	uint64_t gpa =
	    PCI_ECAM_BASE + ((uint64_t)step_bdf(s) << 4) + (s->off & 0xfff);
	uint64_t val = s->val | (uint64_t)s->val << 32;

	bus_mmio(pc->vcpu, (s->what & 1) != 0, gpa, bytes, &val);
}

static void
step_cf8(struct pc *pc, const struct step *s, unsigned int bytes)
{
	uint32_t addr = 0x80000000u | step_bdf(s) | (s->off & 0xfc);
	uint32_t val = s->val;

	(void)!bus_pio(pc->vcpu, false, 0xcf8, 4, &addr);
	(void)!bus_pio(pc->vcpu, (s->what & 1) == 0,
	    (uint16_t)(0xcfc + (s->off & 3)), bytes, &val);
}

/* BAR n (bits 15:13 of the offset) of the function, as it reads now. */
static void
step_bar(struct pc *pc, const struct step *s, unsigned int bytes)
{
	unsigned int n = s->off >> 13;
	uint64_t bar = 0, val = s->val | (uint64_t)s->val << 32;
	uint32_t v = s->val;

	bus_mmio(pc->vcpu, false,
	    PCI_ECAM_BASE + ((uint64_t)step_bdf(s) << 4) + 0x10 + 4 * (n % 6),
	    4, &bar);
	if ((bar & 1) != 0)
		(void)!bus_pio(pc->vcpu, (s->what & 1) == 0,
		    (uint16_t)((bar & 0xfffc) + (s->off & 7)), MIN(bytes, 4u),
		    &v);
	else
		bus_mmio(pc->vcpu, (s->what & 1) != 0,
		    (bar & ~0xfull) + (s->off & 0xfff), bytes, &val);
}

/* Any address. */
static void
step_raw(struct pc *pc, const struct step *s, unsigned int bytes)
{
	uint64_t val = s->off;
	uint32_t v = s->off;

	bus_mmio(pc->vcpu, (s->what & 1) != 0, s->val, bytes, &val);
	(void)!bus_pio(
	    pc->vcpu, (s->what & 1) == 0, (uint16_t)s->val, MIN(bytes, 4u), &v);
}

static void
step_reset(struct pc *pc, const struct step *s, unsigned int bytes)
{
	chips_reset(pc->ctx);
}

static void (*const steps[])(struct pc *, const struct step *,
    unsigned int bytes) = { step_ecam, step_cf8, step_bar, step_bar, step_ecam,
	step_cf8, step_raw, step_reset };

/* --- the end -------------------------------------------------------------- */

static void
pc_save_and_load(struct pc *pc)
{
	struct snap *s = snap_create_save(), *l;
	size_t len;
	const void *data;
	int error = chips_snapshot(pc->ctx, s);

	assert(error == 0);
	data = snap_data(s, &len);
	l = snap_create_load(data, len);
	error = chips_snapshot(pc->ctx, l);
	assert(error == 0);
	snap_destroy(l);
	snap_destroy(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pc pc;

	log_set_sink(quiet);
	pc_make(&pc);
	for (size_t i = 0; i < MAX_STEPS && (i + 1) * STEP_BYTES <= size; i++) {
		const uint8_t *p = data + i * STEP_BYTES;
		const struct step s = { p[0], p[1], get_le16(p + 2),
			get_le32(p + 4) };

		steps[s.what >> 4 & 7](&pc, &s, 1u << (s.what >> 1 & 3));
	}
	pc_save_and_load(&pc);
	vm_close(pc.ctx);
	log_set_sink(NULL);
	return 0;
}
