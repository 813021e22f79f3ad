/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci_intx.c - wired interrupts (PCI 3.0 sections 2.2.6 and 6.2.4): from a
 * function's pin to the I/O APIC, and through PIRQ A-H to the 8259s.
 *
 * The wiring is fixed, as on a board: bus, slot and pin say which of eight
 * PIRQs it is.  PIRQ n is pin 16 + n of the I/O APIC, always; and it is the ISA
 * interrupt its routing register in the LPC bridge names (docs/bhyve.md 1.8).
 * A PIRQ is the wired OR of its functions.
 *
 * Any thread, with the device's lock held; pirq_lock guards the PIRQs.
 */
#include "pci_priv.h"

#include <vmm/snap.h>

#define INTX_NPINS	4u
#define INTX_GSI_BASE	16u
#define INTX_FIRST_PIRQ 4u /* of slot 0's INTA */

/* ISA interrupts a PIRQ can have; the others are edge-triggered. */
#define PIRQ_IRQS     0xdef8u
#define PIRQ_IRQ_MASK 0x0fu
#define PIRQ_WRITABLE (PCI_PIRQ_OFF | PIRQ_IRQ_MASK)

/* --- PIRQs ---------------------------------------------------------------- */

static bool
pirq_is_routed(uint8_t reg)
{
	return (reg & PCI_PIRQ_OFF) == 0 &&
	       (PIRQ_IRQS & BIT(reg & PIRQ_IRQ_MASK)) != 0;
}

static void
pirq_follow_locked(struct pci_pirq *p)
{
	if (p->routed)
		irq_line_set(&p->line, p->count > 0);
}

static void
pirq_set_locked(struct pci_bus *bus, struct pci_pirq *p, uint8_t reg)
{
	if (p->routed)
		irq_line_set(&p->line, false);
	p->reg = reg & PIRQ_WRITABLE;
	p->routed = pirq_is_routed(p->reg);
	if (p->routed)
		irq_line_init(&p->line, bus->ctx, p->reg & PIRQ_IRQ_MASK);
	pirq_follow_locked(p);
}

void
pci_pirq_attach(struct pci_bus *bus)
{
	bus->has_router = true;
}

uint8_t
pci_pirq_reg(struct pci_bus *bus, unsigned int pirq)
{
	uint8_t reg;

	lock_acquire(&bus->pirq_lock);
	reg = bus->pirq[pirq % PCI_NPIRQS].reg;
	lock_release(&bus->pirq_lock);
	return reg;
}

void
pci_pirq_route(struct pci_bus *bus, unsigned int pirq, uint8_t reg)
{
	lock_acquire(&bus->pirq_lock);
	pirq_set_locked(bus, &bus->pirq[pirq % PCI_NPIRQS], reg);
	lock_release(&bus->pirq_lock);
}

void
pci_pirq_boot(struct pci_bus *bus, unsigned int pirq, uint8_t reg)
{
	bus->pirq[pirq].boot = reg;
	pci_pirq_route(bus, pirq, reg);
}

static void
pirq_drive(struct pci_bus *bus, unsigned int pirq, bool high)
{
	struct pci_pirq *p = &bus->pirq[pirq];

	lock_acquire(&bus->pirq_lock);
	p->count += high ? 1 : -1u;
	pirq_follow_locked(p);
	lock_release(&bus->pirq_lock);
}

void
pci_pirq_init(struct pci_bus *bus)
{
	lock_init(&bus->pirq_lock);
	for (unsigned int i = 0; i < PCI_NPIRQS; i++)
		pci_pirq_boot(bus, i, PCI_PIRQ_OFF);
}

void
pci_pirq_fini(struct pci_bus *bus)
{
	for (unsigned int i = 0; i < PCI_NPIRQS; i++)
		pci_pirq_route(bus, i, PCI_PIRQ_OFF);
	lock_fini(&bus->pirq_lock);
}

void
pci_pirq_reset(struct pci_bus *bus)
{
	for (unsigned int i = 0; i < PCI_NPIRQS; i++)
		pci_pirq_route(bus, i, bus->pirq[i].boot);
}

void
pci_pirq_snapshot(struct pci_bus *bus, struct snap *s)
{
	uint8_t reg[PCI_NPIRQS];

	for (unsigned int i = 0; i < PCI_NPIRQS; i++)
		reg[i] = pci_pirq_reg(bus, i);
	if (snap_bytes(s, "pirq", reg, sizeof(reg)) != 0 || !snap_loading(s))
		return;
	for (unsigned int i = 0; i < PCI_NPIRQS; i++)
		pci_pirq_route(bus, i, reg[i]);
}

/* --- a function's pin ----------------------------------------------------- */

/* The pin the fewest functions of this slot have. */
static uint8_t
intx_least_used(struct pci_dev *pd)
{
	struct pci_dev **devs = pd->bus->dev[pd->busno];
	unsigned int users[INTX_NPINS + 1] = { 0 };
	uint8_t best = 1;

	for (unsigned int func = 0; devs != NULL && func < PCI_NFUNCS; func++) {
		const struct pci_dev *other =
		    devs[pd->slot * PCI_NFUNCS + func];

		if (other != NULL)
			users[other->pin]++;
	}
	for (uint8_t pin = 2; pin <= INTX_NPINS; pin++)
		if (users[pin] < users[best])
			best = pin;
	return best;
}

int
pci_intx_add(struct pci_dev *pd)
{
	pd->pin = intx_least_used(pd);
	pd->pirq =
	    (uint8_t)((INTX_FIRST_PIRQ + pd->busno + pd->slot + pd->pin - 1) %
		      PCI_NPIRQS);
	irq_line_init(&pd->line, pd->bus->ctx, INTX_GSI_BASE + pd->pirq);
	pci_cfg_set8(pd, PCIR_INTPIN, pd->pin);
	return 0;
}

bool
pci_intx_pending_locked(const struct pci_dev *pd)
{
	return pd->intx_level && pci_msi_enabled(pd) == 0 &&
	       pci_msix_enabled(pd) == 0;
}

void
pci_intx_update_locked(struct pci_dev *pd)
{
	bool high =
	    pci_intx_pending_locked(pd) &&
	    (pci_cfg_get16(pd, PCIR_COMMAND) & PCIM_COMMAND_INTX_OFF) == 0;

	if (high == pd->intx_out)
		return;
	pd->intx_out = high;
	irq_line_set(&pd->line, high);
	pirq_drive(pd->bus, pd->pirq, high);
}

void
pci_intx_set(struct pci_dev *pd, bool level)
{
	if (pd->pin == 0)
		return;
	pd->intx_level = level;
	pci_intx_update_locked(pd);
}

/* --- for firmware tables -------------------------------------------------- */

struct intx_walk {
	void (*fn)(const struct pci_intx_info *, void *arg);
	void *arg;
	unsigned int busno, slot;
	uint8_t seen; /* pins of that slot */
};

static void
intx_visit(struct pci_dev *pd, void *arg)
{
	struct intx_walk *w = arg;
	struct pci_intx_info info = {
		.bus = (uint8_t)pd->busno,
		.slot = (uint8_t)pd->slot,
		.pin = pd->pin,
		.gsi = (uint8_t)(INTX_GSI_BASE + pd->pirq),
		.pirq = pd->pirq,
		.irq = pd->cfg_reset[PCIR_INTLINE],
	};

	if (pd->busno != w->busno || pd->slot != w->slot)
		w->seen = 0;
	w->busno = pd->busno;
	w->slot = pd->slot;
	if (pd->pin == 0 || (w->seen & BIT(pd->pin)) != 0)
		return;
	w->seen |= (uint8_t)BIT(pd->pin);
	w->fn(&info, w->arg);
}

void
pci_bus_foreach_intx(struct pci_bus *bus,
    void (*fn)(const struct pci_intx_info *, void *arg), void *arg)
{
	struct intx_walk w = { .fn = fn, .arg = arg };

	pci_bus_foreach(bus, intx_visit, &w);
}
