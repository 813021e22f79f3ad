/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci_bar.c - base address registers (PCI 3.0 section 6.2.5): where the ranges
 * of functions lie, and the way of an access to the model.
 *
 * A range is on the bus while the command register decodes its space and the
 * address can be one.  All ones, as written to learn a BAR's size, never is: so
 * sizing with decoding on disturbs nobody.  Where somebody else is - RAM, a
 * chip, another function - the range is not decoded; hardware would answer
 * twice.  It waits, and is decoded when the other function's range moves away.
 *
 * Runs in vCPU threads; the last access to a range that was moved may come
 * after the move, and is checked against the BAR under the device's lock.
 * Expansion ROMs and BARs below 1 MB are not modelled.
 */
#include "pci_priv.h"

#include <assert.h>
#include <errno.h>

#include <util/log.h>
#include <vmm/bus.h>
#include <vmm/mem.h>

#define BAR_IO_SPACE 0x1u
#define BAR_MEM_64   0x4u
#define BAR_MEM_PREF 0x8u
#define BAR_IO_ADDR  0xfffcu /* docs/bhyve.md 1.6: 16 bits */
#define BAR_MEM_ADDR 0xfffffff0u

#define BAR_IO_MIN   4u
#define BAR_MEM_MIN  16u
#define BAR_IO_LIMIT 0x10000ull
/* The widest guest-physical address there is (src/vmm/mem.c). */
#define BAR_MEM_LIMIT (1ull << 46)

static bool
bar_is_64(const struct pci_bar *bar)
{
	return bar->kind == PCI_BAR_MEM64 || bar->kind == PCI_BAR_MEM64_PREF;
}

/* Address bits of the low register that are not fixed. */
static uint32_t
bar_low_mask(const struct pci_bar *bar)
{
	uint32_t addr = bar->kind == PCI_BAR_IO ? BAR_IO_ADDR : BAR_MEM_ADDR;

	return addr & ~(uint32_t)(bar->size - 1);
}

/* --- in init -------------------------------------------------------------- */

static uint32_t
bar_flags(enum pci_bar_kind kind)
{
	static const uint32_t flags[] = {
		[PCI_BAR_IO] = BAR_IO_SPACE,
		[PCI_BAR_MEM32] = 0,
		[PCI_BAR_MEM64] = BAR_MEM_64,
		[PCI_BAR_MEM64_PREF] = BAR_MEM_64 | BAR_MEM_PREF,
	};

	return flags[kind];
}

static bool
bar_size_ok(enum pci_bar_kind kind, uint64_t size)
{
	uint64_t min = kind == PCI_BAR_IO ? BAR_IO_MIN : BAR_MEM_MIN;
	uint64_t max = kind == PCI_BAR_IO      ? BAR_IO_LIMIT / 2
		       : kind == PCI_BAR_MEM32 ? 1ull << 31
					       : BAR_MEM_LIMIT / 2;

	return size >= min && size <= max && (size & (size - 1)) == 0;
}

int
pci_bar_add(
    struct pci_dev *pd, unsigned int n, enum pci_bar_kind kind, uint64_t size)
{
	struct pci_bar *bar = &pd->bar[n];
	uint16_t command = pci_cfg_get16(pd, PCIR_COMMAND) | PCIM_COMMAND_BM;

	assert(n < PCI_NBARS && bar->size == 0 && bar->pair == NULL);
	assert(bar_size_ok(kind, size));
	bar->kind = kind;
	bar->size = size;
	pci_cfg_set32(pd, PCIR_BAR(n), bar_flags(kind));
	pci_cfg_writable(pd, PCIR_BAR(n), bar_low_mask(bar));
	if (bar_is_64(bar)) {
		assert(n + 1 < PCI_NBARS && bar[1].size == 0);
		bar[1].pair = bar;
		pci_cfg_writable(
		    pd, PCIR_BAR(n + 1), (uint32_t)(~(size - 1) >> 32));
	}
	command |= kind == PCI_BAR_IO ? PCIM_COMMAND_IO : PCIM_COMMAND_MEM;
	pci_cfg_set16(pd, PCIR_COMMAND, command);
	return 0;
}

/* --- the model's registers ------------------------------------------------ */

static bool
bar_covers(const struct pci_bar *bar, uint64_t addr, unsigned int bytes)
{
	return bar->decoded && addr >= bar->base &&
	       range_ok(addr - bar->base, bytes, bar->size);
}

static uint32_t
bar_read(struct pci_bar *bar, uint64_t off, unsigned int bytes)
{
	struct pci_dev *pd = bar->pd;

	if (pci_msix_owns(pd, bar, off, bytes))
		return pci_msix_mem_read(pd, off, bytes);
	if (pd->ops->bar_read == NULL)
		return UINT32_MAX;
	return pd->ops->bar_read(pd, bar->index, off, bytes);
}

static void
bar_write(struct pci_bar *bar, uint64_t off, unsigned int bytes, uint32_t val)
{
	struct pci_dev *pd = bar->pd;

	if (pci_msix_owns(pd, bar, off, bytes))
		pci_msix_mem_write(pd, off, bytes, val);
	else if (pd->ops->bar_write != NULL)
		pd->ops->bar_write(pd, bar->index, off, bytes, val);
}

static int
bar_pio(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct pci_bar *bar = arg;

	/* Moved away meanwhile, or across the end. */
	if (!bar_covers(bar, port, bytes)) {
		*val = UINT32_MAX;
		return 0;
	}
	if (in)
		*val = bar_read(bar, port - bar->base, bytes);
	else
		bar_write(bar, port - bar->base, bytes, *val);
	return 0;
}

static int
bar_mmio(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val, void *arg)
{
	struct pci_bar *bar = arg;
	unsigned int width = MIN(bytes, 4u);
	uint64_t result = UINT64_MAX;

	if (!bar_covers(bar, gpa, bytes)) {
		*val = result; /* moved away meanwhile */
		return 0;
	}
	for (unsigned int i = 0; i < bytes; i += width) {
		uint64_t off = gpa + i - bar->base;

		if (write) {
			bar_write(bar, off, width, (uint32_t)(*val >> 8 * i));
		} else {
			result &= ~((uint64_t)UINT32_MAX << 8 * i);
			result |= (uint64_t)bar_read(bar, off, width) << 8 * i;
		}
	}
	if (!write)
		*val = result;
	return 0;
}

/* --- on the bus ----------------------------------------------------------- */

static bool
bar_hits_ram(const struct pci_bus *bus, uint64_t base, uint64_t size)
{
	const struct vm_ram *ram = vm_ram(bus->ctx);

	return (ram->lowmem > 0 &&
		   ranges_overlap(base, size, 0, ram->lowmem)) ||
	       (ram->highmem > 0 &&
		   ranges_overlap(base, size, GPA_HIGHMEM_BASE, ram->highmem));
}

static int
bar_register(struct pci_bus *bus, struct pci_bar *bar, uint64_t base)
{
	const char *name = bar->pd->title;
	struct lock *lock = &bar->pd->lock;

	if (bar->kind == PCI_BAR_IO)
		return bus_pio_register(
		    bus->ctx, &(struct pio_range){ .name = name,
				  .port = (uint16_t)base,
				  .len = (uint32_t)bar->size,
				  .fn = bar_pio,
				  .arg = bar,
				  .lock = lock });
	if (bar_hits_ram(bus, base, bar->size))
		return -EFAULT;
	return bus_mmio_register(bus->ctx, &(struct mmio_range){ .name = name,
					       .base = base,
					       .len = bar->size,
					       .fn = bar_mmio,
					       .arg = bar,
					       .lock = lock });
}

/* bar->claim is what is wanted; bus->bar_lock is held. */
static int
bar_claim(struct pci_bus *bus, struct pci_bar *bar)
{
	int error = bar_register(bus, bar, bar->claim);

	bar->claimed = error == 0;
	if (error == 0)
		pci_bells_claimed(bar);
	if (error != 0) {
		bar->waiting = true;
		bar->next_waiting = bus->waiting;
		bus->waiting = bar;
	}
	return error;
}

/* Those that wait try again; who fails again is back in the list. */
static void
bar_retry(struct pci_bus *bus)
{
	struct pci_bar *list = bus->waiting;

	bus->waiting = NULL;
	while (list != NULL) {
		struct pci_bar *bar = list;

		list = bar->next_waiting;
		bar->waiting = false;
		(void)bar_claim(bus, bar);
	}
}

static void
bar_stop_waiting(struct pci_bus *bus, struct pci_bar *bar)
{
	struct pci_bar **at = &bus->waiting;

	while (*at != bar)
		at = &(*at)->next_waiting;
	*at = bar->next_waiting;
	bar->waiting = false;
}

static void
bar_unclaim(struct pci_bus *bus, struct pci_bar *bar)
{
	if (bar->waiting)
		bar_stop_waiting(bus, bar);
	if (!bar->claimed)
		return;
	pci_bells_unclaim(bar);
	if (bar->kind == PCI_BAR_IO)
		bus_pio_unregister(
		    bus->ctx, (uint16_t)bar->claim, (uint32_t)bar->size);
	else
		bus_mmio_unregister(bus->ctx, bar->claim, bar->size);
	bar->claimed = false;
	bar_retry(bus);
}

/* The device's lock is held. */
static void
bar_move(struct pci_bar *bar, bool decoded, uint64_t base)
{
	struct pci_bus *bus = bar->pd->bus;
	int error = 0;

	if (decoded == bar->decoded && (!decoded || base == bar->base))
		return;
	bar->decoded = decoded;
	bar->base = base;
	lock_acquire(&bus->bar_lock);
	bar_unclaim(bus, bar);
	if (decoded) {
		bar->claim = base;
		error = bar_claim(bus, bar);
	}
	lock_release(&bus->bar_lock);
	if (error != 0)
		guest_error(bar->pd->title,
		    "BAR %u is not decoded: 0x%llx is %s", bar->index,
		    (unsigned long long)base,
		    error == -EFAULT ? "RAM" : "taken");
}

/* --- from configuration space --------------------------------------------- */

static uint64_t
bar_addr(const struct pci_bar *bar)
{
	unsigned int reg = PCIR_BAR(bar->index);
	uint64_t addr = pci_cfg_get32(bar->pd, reg) & bar_low_mask(bar);

	if (bar_is_64(bar))
		addr |= (uint64_t)pci_cfg_get32(bar->pd, reg + 4) << 32;
	return addr;
}

static bool
bar_addr_ok(const struct pci_bar *bar, uint64_t addr)
{
	uint64_t limit = bar->kind == PCI_BAR_IO ? BAR_IO_LIMIT : BAR_MEM_LIMIT;
	uint32_t mask = bar_low_mask(bar);

	/* From 4 GiB on a BAR has no address bits in the low register. */
	if (mask != 0 && ((uint32_t)addr & mask) == mask)
		return false;
	return range_ok(addr, bar->size, limit);
}

void
pci_bar_update_locked(struct pci_dev *pd)
{
	uint16_t command = pci_cfg_get16(pd, PCIR_COMMAND);

	for (unsigned int i = 0; i < PCI_NBARS; i++) {
		struct pci_bar *bar = &pd->bar[i];
		uint16_t space = bar->kind == PCI_BAR_IO ? PCIM_COMMAND_IO
							 : PCIM_COMMAND_MEM;
		uint64_t addr;

		if (bar->size == 0)
			continue;
		addr = bar_addr(bar);
		bar_move(bar, (command & space) != 0 && bar_addr_ok(bar, addr),
		    addr);
	}
}

void
pci_bar_release_locked(struct pci_dev *pd)
{
	for (unsigned int i = 0; i < PCI_NBARS; i++)
		if (pd->bar[i].size != 0)
			bar_move(&pd->bar[i], false, 0);
}

void
pci_bar_put(struct pci_bar *bar, uint8_t *cfg, uint64_t addr)
{
	uint8_t *reg = cfg + PCIR_BAR(bar->index);

	put_le32(
	    reg, ((uint32_t)addr & bar_low_mask(bar)) | bar_flags(bar->kind));
	if (bar_is_64(bar))
		put_le32(reg + 4, (uint32_t)(addr >> 32));
}
