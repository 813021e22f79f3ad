/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * irqchip.c - the PC's interrupt controllers put together: local APICs, one
 * I/O APIC, the 8259 pair, and the wires and messages between them.
 *
 *	gsi 0 ------+--> 8259 IRQ 0        8259 INT --+--> LINT0 of every APIC
 *	            `--> I/O APIC pin 2               `--> I/O APIC pin 0
 *	gsi 1, 3-15 +--> 8259 IRQ n
 *	            `--> I/O APIC pin n
 *	gsi 16-23 -----> I/O APIC pin n
 *	gsi 2: nothing; it would be the 8259s' cascade and IRQ 0's pin
 *
 * The MP table and the MADT say the same.  Devices' threads, vCPU threads and
 * the event thread meet here; locks are taken in the order 8259 pair, I/O
 * APIC, and delivery to a local APIC needs none.
 */
#include "irqchip.h"

#include <chip/chips.h>

#include <errno.h>
#include <stdlib.h>

#include <util/log.h>
#include <util/util.h>
#include <vmm/bus.h>
#include <vmm/chip.h>
#include <vmm/irq.h>
#include <vmm/vcpu.h>

#include "i8259.h"
#include "ioapic.h"
#include "lapic.h"

#define PIN_EXTINT  0u

#define APIC_ID_MAX 254u /* vmm/topology.h */

struct irqchip {
	struct vmctx *ctx;
	uint32_t extint;      /* atomic: the 8259s' INT */
	uint32_t lowest_next; /* atomic: where arbitration starts */
	unsigned int nlapics;
	struct lapic *lapic[VM_MAXCPU];	      /* by vCPU */
	struct lapic *by_id[APIC_ID_MAX + 1]; /* by APIC id; NULL: nobody's */
	struct ioapic *ioapic;
	struct i8259 *pic;
};

/* --- the APIC bus ----------------------------------------------------- */

/*
 * The lowest processor priority wins; among equals the next in turn, so that
 * idle processors share the work (SDM 3A 10.6.2.4 leaves it open).
 */
static struct lapic *
irqchip_arbitrate(struct irqchip *chip, const struct apic_msg *m)
{
	unsigned int start =
	    __atomic_load_n(&chip->lowest_next, __ATOMIC_RELAXED);
	unsigned int next = start;
	struct lapic *best = NULL;

	for (unsigned int i = 0; i < chip->nlapics; i++) {
		struct lapic *l = chip->lapic[(start + i) % chip->nlapics];

		if (!lapic_accepts(l) || !lapic_matches(l, m))
			continue;
		if (best != NULL && reg_get(&l->ppr) >= reg_get(&best->ppr))
			continue;
		best = l;
		next = start + i + 1;
	}
	if (best != NULL)
		__atomic_store_n(
		    &chip->lowest_next, next % chip->nlapics, __ATOMIC_RELAXED);
	return best;
}

unsigned int
irqchip_send(struct irqchip *chip, const struct apic_msg *m)
{
	unsigned int taken = 0;

	if (m->mode == APIC_DLM_LOWEST) {
		struct lapic *l = irqchip_arbitrate(chip, m);

		return l != NULL && lapic_receive(l, m) ? 1 : 0;
	}
	if (!m->logical && !m->broadcast) {
		struct lapic *l =
		    m->dest <= APIC_ID_MAX ? chip->by_id[m->dest] : NULL;

		return l != NULL && lapic_receive(l, m) ? 1 : 0;
	}
	for (unsigned int i = 0; i < chip->nlapics; i++)
		if (lapic_matches(chip->lapic[i], m) &&
		    lapic_receive(chip->lapic[i], m))
			taken++;
	return taken;
}

void
irqchip_send_all(
    struct irqchip *chip, const struct apic_msg *m, const struct lapic *except)
{
	for (unsigned int i = 0; i < chip->nlapics; i++)
		if (chip->lapic[i] != except)
			lapic_receive(chip->lapic[i], m);
}

void
irqchip_eoi(struct irqchip *chip, uint8_t vector)
{
	uint32_t told = irq_eoi_wanted(chip->ctx);

	if (told != 0)
		told &= ioapic_in_service(chip->ioapic, vector);
	/* Lines that are wired to no 8259 have their pin's number. */
	for (; told != 0; told &= told - 1)
		irq_eoi(chip->ctx, (unsigned int)__builtin_ctz(told));
	ioapic_eoi(chip->ioapic, vector);
}

void
irqchip_retry(struct irqchip *chip)
{
	ioapic_retry(chip->ioapic);
}

/* --- the 8259s' INT --------------------------------------------------- */

bool
irqchip_extint(const struct irqchip *chip)
{
	return __atomic_load_n(&chip->extint, __ATOMIC_RELAXED) != 0;
}

int
irqchip_extint_peek(struct irqchip *chip)
{
	return i8259_peek(chip->pic);
}

uint8_t
irqchip_extint_ack(struct irqchip *chip)
{
	return i8259_inta(chip->pic);
}

/* The pair's lock is held. */
static void
irqchip_int_changed(void *arg, bool level)
{
	struct irqchip *chip = arg;

	__atomic_store_n(&chip->extint, level, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < chip->nlapics; i++)
		lapic_lint(chip->lapic[i], LAPIC_LVT_LINT0, level);
	if (chip->ioapic != NULL)
		ioapic_set_pin(chip->ioapic, PIN_EXTINT, level);
}

/* --- lines and messages from devices ---------------------------------- */

static void
irqchip_set_gsi(void *arg, unsigned int gsi, bool level)
{
	struct irqchip *chip = arg;

	if (gsi >= IRQ_NGSI || gsi == IRQ_GSI_CASCADE)
		return;
	if (gsi < IRQ_NISA)
		i8259_set_irq(chip->pic, gsi, level);
	ioapic_set_pin(
	    chip->ioapic, gsi == IRQ_GSI_TIMER ? IRQ_PIN_TIMER : gsi, level);
}

/* SDM 3A 10.11. */
#define MSI_ADDR_DEST(a) ((uint32_t)((a) >> IRQ_MSI_ADDR_DEST_SHIFT) & 0xff)
#define MSI_ADDR_RH	 BIT64(3)
#define MSI_ADDR_DM	 BIT64(2)
#define MSI_DATA_ASSERT	 BIT(14)
#define MSI_DATA_LEVEL	 BIT(15)

static int
irqchip_msi(void *arg, uint64_t addr, uint32_t data)
{
	struct irqchip *chip = arg;
	struct apic_msg m = {
		.dest = MSI_ADDR_DEST(addr),
		.mode = APIC_DLM(data),
		.vector = data & 0xff,
		.logical = (addr & MSI_ADDR_DM) != 0,
		.broadcast = MSI_ADDR_DEST(addr) == XAPIC_BROADCAST,
	};

	if (!irq_is_msi_addr(addr))
		return -EINVAL;
	/* 011b and 110b are reserved in message data. */
	if (m.mode == APIC_DLM_RESERVED || m.mode == APIC_DLM_SIPI)
		return 0;
	if ((data & MSI_DATA_LEVEL) != 0 && (data & MSI_DATA_ASSERT) == 0)
		return 0; /* a level's end; nobody keeps levels of messages */
	m.level = (data & MSI_DATA_LEVEL) != 0 && m.mode <= APIC_DLM_LOWEST;
	if ((addr & MSI_ADDR_RH) != 0 && m.mode == APIC_DLM_FIXED)
		m.mode = APIC_DLM_LOWEST;
	irqchip_send(chip, &m);
	return 0;
}

int
irqchip_local_irq(struct irqchip *chip, int vcpu, enum vm_lvt source)
{
	static const enum lapic_lvt lvt_table[] = {
		[VM_LVT_LINT0] = LAPIC_LVT_LINT0,
		[VM_LVT_LINT1] = LAPIC_LVT_LINT1,
		[VM_LVT_TIMER] = LAPIC_LVT_TIMER,
		[VM_LVT_ERROR] = LAPIC_LVT_ERROR,
		[VM_LVT_PMC] = LAPIC_LVT_PERF,
		[VM_LVT_THERMAL] = LAPIC_LVT_THERMAL,
		[VM_LVT_CMCI] = LAPIC_LVT_CMCI,
	};
	struct lapic *l;

	if ((unsigned int)source >= ARRAY_LEN(lvt_table) || vcpu < 0 ||
	    (unsigned int)vcpu >= chip->nlapics)
		return -EINVAL;
	l = chip->lapic[vcpu];
	if (source <= VM_LVT_LINT1)
		lapic_lint(l, lvt_table[source], true);
	else
		lapic_lvt_fire(l, lvt_table[source]);
	return 0;
}

static int
irqchip_op_local_irq(void *arg, int vcpu, enum vm_lvt source)
{
	return irqchip_local_irq(arg, vcpu, source);
}

static int
irqchip_set_trigger(void *arg, unsigned int irq, bool level)
{
	struct irqchip *chip = arg;

	return i8259_set_trigger(chip->pic, irq, level);
}

static const struct irqchip_ops irqchip_ops = {
	.set_gsi = irqchip_set_gsi,
	.msi = irqchip_msi,
	.local_irq = irqchip_op_local_irq,
	.set_trigger = irqchip_set_trigger,
	.tells_eoi = true,
};

/* --- life cycle ------------------------------------------------------- */

static void
irqchip_reset(void *arg)
{
	struct irqchip *chip = arg;

	__atomic_store_n(&chip->lowest_next, 0, __ATOMIC_RELAXED);
}

/* Nothing of its own that a guest could see. */
static void
irqchip_snapshot(void *arg, struct snap *s)
{
}

/* The parts are gone: chips end in reverse order. */
static void
irqchip_fini(void *arg)
{
	struct irqchip *chip = arg;

	irq_set_chip(chip->ctx, NULL, NULL);
	bus_mmio_unregister(chip->ctx, LAPIC_MMIO_BASE, LAPIC_MMIO_SIZE);
	free(chip);
}

static const struct chip_ops irqchip_chip_ops = {
	.name = "irqchip",
	.reset = irqchip_reset,
	.snapshot = irqchip_snapshot,
	.fini = irqchip_fini,
};

static int
irqchip_create_lapics(struct irqchip *chip)
{
	unsigned int ncpus = vm_ncpus(chip->ctx);

	for (unsigned int i = 0; i < ncpus; i++) {
		struct vcpu *vcpu = vm_vcpu_get(chip->ctx, i);
		enum x2apic_state state;

		if (vcpu == NULL)
			return -EINVAL;
		(void)vm_get_x2apic_state(vcpu, &state);
		chip->lapic[i] =
		    lapic_create(chip, vcpu, state == X2APIC_ENABLED);
		chip->by_id[chip->lapic[i]->id] = chip->lapic[i];
		chip->nlapics = i + 1;
	}
	return 0;
}

/*
 * MSRs last: a registered MSR stays.  That does no harm, its handlers find
 * the APIC by the vCPU and say #GP where there is none.
 */
static int
irqchip_create_parts(struct irqchip *chip)
{
	int err = irqchip_create_lapics(chip);

	if (err == 0)
		err = ioapic_create(chip->ctx, chip, &chip->ioapic);
	if (err == 0)
		err = i8259_create(
		    chip->ctx, irqchip_int_changed, chip, &chip->pic);
	if (err == 0)
		err = lapic_register_msrs(chip->ctx);
	return err;
}

static void
irqchip_destroy_parts(struct irqchip *chip)
{
	i8259_destroy(chip->pic);
	ioapic_destroy(chip->ioapic);
	for (unsigned int i = 0; i < chip->nlapics; i++)
		lapic_destroy(chip->lapic[i]);
}

static int
irqchip_create_chips(struct vmctx *ctx, struct irqchip **ret_chip)
{
	struct irqchip *chip = xcalloc(1, sizeof(*chip));
	int err;

	chip->ctx = ctx;
	err = bus_mmio_register(ctx, &(struct mmio_range){ .name = "lapic",
					 .base = LAPIC_MMIO_BASE,
					 .len = LAPIC_MMIO_SIZE,
					 .fn = lapic_mmio });
	if (err == 0) {
		err = irqchip_create_parts(chip);
		if (err != 0) {
			irqchip_destroy_parts(chip);
			bus_mmio_unregister(
			    ctx, LAPIC_MMIO_BASE, LAPIC_MMIO_SIZE);
		}
	}
	if (err != 0) {
		free(chip);
		return err;
	}
	/* The parts speak to each other through `chip`: it ends last. */
	chip_add(ctx, &irqchip_chip_ops, chip, NULL);
	for (unsigned int i = 0; i < chip->nlapics; i++)
		lapic_chip_add(chip->lapic[i]);
	ioapic_chip_add(chip->ioapic);
	i8259_chip_add(chip->pic);
	irq_set_chip(ctx, &irqchip_ops, chip);
	*ret_chip = chip;
	return 0;
}

/* Tells the vCPUs of -x; true when any of them starts in x2APIC mode. */
static bool
irqchip_any_x2apic(struct vmctx *ctx, bool all)
{
	bool any = false;

	for (unsigned int i = 0; i < vm_ncpus(ctx); i++) {
		struct vcpu *vcpu = vm_vcpu_get(ctx, i);
		enum x2apic_state state = X2APIC_DISABLED;

		if (vcpu == NULL)
			continue;
		if (all)
			(void)vm_set_x2apic_state(vcpu, X2APIC_ENABLED);
		(void)vm_get_x2apic_state(vcpu, &state);
		any |= state == X2APIC_ENABLED;
	}
	return any;
}

int
irqchip_create(struct vmctx *ctx, bool x2apic, struct irqchip **ret_chip)
{
	int err = irq_engine_chip(ctx, irqchip_any_x2apic(ctx, x2apic));

	*ret_chip = NULL;
	return err == -ENOTSUP ? irqchip_create_chips(ctx, ret_chip) : err;
}
