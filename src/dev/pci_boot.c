/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci_boot.c - what firmware does before an operating system starts, and there
 * is no firmware here: an address for every BAR, an IRQ for every wired pin.
 *
 * Windows are docs/bhyve.md 1.5's.  Each used bus gets its own part of each, in
 * order of bus number, with the largest BARs first and some room at the end for
 * a guest that moves them; the last bus gets the rest.  Everything is done
 * again after each device that is made, so the order of making does not matter.
 *
 * Runs in the thread that builds the machine.
 */
#include "pci_priv.h"

#include <errno.h>
#include <stdlib.h>

#include <vmm/mem.h>

enum boot_window { WINDOW_IO, WINDOW_MEM32, WINDOW_MEM64, WINDOW_COUNT_ };

/* Inclusive limits; a bus's part is a multiple of `step`. */
static const struct {
	uint64_t base, limit, step;
} boot_windows[WINDOW_COUNT_] = {
	[WINDOW_IO] = { 0x2000, 0xffff, 32 },
	[WINDOW_MEM32] = { GPA_LOWMEM_LIMIT, PCI_ECAM_BASE - 1, 1u << 20 },
	[WINDOW_MEM64] = { 0xd000000000ull, 0xfcffffffffull, 1u << 20 },
};

/* Smaller 64-bit BARs lie below 4 GiB. */
#define BOOT_MEM64_ABOVE (32ull << 20)

static enum boot_window
boot_window_of(const struct pci_bar *bar)
{
	if (bar->kind == PCI_BAR_IO)
		return WINDOW_IO;
	if (bar->kind == PCI_BAR_MEM32 || bar->size <= BOOT_MEM64_ABOVE)
		return WINDOW_MEM32;
	return WINDOW_MEM64;
}

/* --- addresses ------------------------------------------------------------ */

/* Every BAR of the machine, in the order of assignment. */
struct boot_bars {
	struct pci_bar **bar;
	size_t n, cap;
};

static void
boot_collect(struct pci_dev *pd, void *arg)
{
	struct boot_bars *b = arg;

	for (unsigned int i = 0; i < PCI_NBARS; i++) {
		if (pd->bar[i].size == 0)
			continue;
		if (b->n == b->cap) {
			size_t cap = 2 * b->cap + 64;
			struct pci_bar **bar = xcalloc(cap, sizeof(*bar));

			if (b->n > 0)
				memcpy(bar, b->bar, b->n * sizeof(*bar));
			free(b->bar);
			b->bar = bar;
			b->cap = cap;
		}
		b->bar[b->n++] = &pd->bar[i];
	}
}

static int
boot_cmp(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* By bus; the largest first; as they come. */
static int
boot_compare(const void *pa, const void *pb)
{
	const struct pci_bar *a = *(struct pci_bar *const *)pa;
	const struct pci_bar *b = *(struct pci_bar *const *)pb;
	int c = boot_cmp(a->pd->busno, b->pd->busno);

	if (c == 0)
		c = boot_cmp(b->size, a->size);
	if (c == 0)
		c = boot_cmp(a->pd->slot * PCI_NFUNCS + a->pd->func,
		    b->pd->slot * PCI_NFUNCS + b->pd->func);
	return c != 0 ? c : boot_cmp(a->index, b->index);
}

static void
boot_set_window(struct pci_bus_windows *w, enum boot_window which,
    uint64_t base, uint64_t limit)
{
	switch (which) {
	case WINDOW_IO:
		w->io_base = (uint16_t)base;
		w->io_limit = (uint16_t)limit;
		break;
	case WINDOW_MEM32:
		w->mem32_base = base;
		w->mem32_limit = limit;
		break;
	default:
		w->mem64_base = base;
		w->mem64_limit = limit;
		break;
	}
}

static unsigned int
boot_last_bus(const struct pci_bus *bus)
{
	unsigned int last = 0;

	for (unsigned int i = 0; i < PCI_NBUSES; i++)
		if (bus->dev[i] != NULL)
			last = i;
	return last;
}

/* The BARs of one bus from *next on; NULL, or the one that found no room. */
static const struct pci_bar *
boot_place(const struct boot_bars *b, unsigned int busno,
    enum boot_window which, uint64_t *next)
{
	for (size_t i = 0; i < b->n; i++) {
		struct pci_bar *bar = b->bar[i];

		if (bar->pd->busno != busno || boot_window_of(bar) != which)
			continue;
		bar->boot = ROUND_UP(*next, bar->size);
		*next = bar->boot + bar->size;
		if (*next - 1 > boot_windows[which].limit)
			return bar;
	}
	return NULL;
}

/* The slack stays away from nobody: it may be cut at the window's end. */
static const struct pci_bar *
boot_fill(
    struct pci_bus *bus, const struct boot_bars *b, enum boot_window which)
{
	const uint64_t limit = boot_windows[which].limit;
	const uint64_t step = boot_windows[which].step;
	uint64_t next = boot_windows[which].base;
	unsigned int last = boot_last_bus(bus);

	for (unsigned int i = 0; i <= last; i++) {
		const struct pci_bar *full;
		uint64_t base = next, end = limit;

		if (bus->dev[i] == NULL)
			continue;
		full = boot_place(b, i, which, &next);
		if (full != NULL)
			return full;
		next = MIN(ROUND_UP(next + step, step), limit + 1);
		if (i != last)
			end = next - 1;
		boot_set_window(&bus->windows[i], which,
		    base <= limit ? base : 1, base <= limit ? end : 0);
	}
	return NULL;
}

static const struct pci_bar *
boot_assign_bars(struct pci_bus *bus)
{
	struct boot_bars b = { .n = 0 };
	const struct pci_bar *full = NULL;

	pci_bus_foreach(bus, boot_collect, &b);
	if (b.n > 0)
		qsort(b.bar, b.n, sizeof(b.bar[0]), boot_compare);
	for (unsigned int w = 0; w < WINDOW_COUNT_ && full == NULL; w++)
		full = boot_fill(bus, &b, (enum boot_window)w);
	free(b.bar);
	return full;
}

/* --- interrupts ----------------------------------------------------------- */

/*
 * Where PIRQs may go (docs/bhyve.md 1.8), the quietest first.  Not in it: 3 and
 * 4, the COM ports'; 9, the SCI's.
 */
static const uint8_t boot_irqs[] = { 10, 11, 5, 12, 14, 15, 6, 7 };

static void
boot_note_pirq(struct pci_dev *pd, void *arg)
{
	uint8_t *used = arg;

	if (pd->pin != 0)
		*used |= (uint8_t)BIT(pd->pirq);
}

static void
boot_route_pirqs(struct pci_bus *bus)
{
	uint8_t used = 0;
	size_t next = 0;

	pci_bus_foreach(bus, boot_note_pirq, &used);
	for (unsigned int i = 0; i < PCI_NPIRQS; i++) {
		uint8_t reg = PCI_PIRQ_OFF;

		/* As many IRQs as PIRQs: each gets its own. */
		if (bus->has_router && (used & BIT(i)) != 0)
			reg = boot_irqs[next++ % ARRAY_LEN(boot_irqs)];
		pci_pirq_boot(bus, i, reg);
	}
}

/* --- both ----------------------------------------------------------------- */

static void
boot_release(struct pci_dev *pd, void *arg)
{
	lock_acquire(&pd->lock);
	pci_bar_release_locked(pd);
	lock_release(&pd->lock);
}

static void
boot_write(struct pci_dev *pd, void *arg)
{
	const struct pci_bus *bus = pd->bus;

	lock_acquire(&pd->lock);
	for (unsigned int i = 0; i < PCI_NBARS; i++) {
		struct pci_bar *bar = &pd->bar[i];

		if (bar->size == 0)
			continue;
		pci_bar_put(bar, pd->cfg, bar->boot);
		pci_bar_put(bar, pd->cfg_reset, bar->boot);
	}
	if (pd->pin != 0) {
		uint8_t reg = bus->pirq[pd->pirq].boot;
		uint8_t irq = (reg & PCI_PIRQ_OFF) != 0 ? 255 : reg;

		pd->cfg[PCIR_INTLINE] = pd->cfg_reset[PCIR_INTLINE] = irq;
	}
	pci_dev_changed_locked(pd);
	lock_release(&pd->lock);
}

int
pci_boot_assign(struct pci_bus *bus, const struct pci_bar **ret_full)
{
	*ret_full = boot_assign_bars(bus);
	if (*ret_full != NULL)
		return -ENOSPC;
	boot_route_pirqs(bus);
	pci_bus_foreach(bus, boot_release, NULL);
	pci_bus_foreach(bus, boot_write, NULL);
	return 0;
}

bool
pci_bus_windows(
    struct pci_bus *bus, unsigned int busno, struct pci_bus_windows *ret)
{
	if (busno >= PCI_NBUSES || bus->dev[busno] == NULL)
		return false;
	*ret = bus->windows[busno];
	return true;
}
