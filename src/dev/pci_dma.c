/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci_dma.c - a function's own accesses to guest memory (PCI 3.0 section 6.2.2,
 * bus master enable).
 *
 * Only RAM: a range that touches anything else cannot be reached at all.  Any
 * thread, with the device's lock held.
 */
#include "pci_priv.h"

#include <assert.h>

#include <vmm/mem.h>
#include <vmmapi.h>

bool
pci_bus_master(const struct pci_dev *pd)
{
	return (pci_cfg_get16(pd, PCIR_COMMAND) & PCIM_COMMAND_BM) != 0;
}

void *
pci_dma_map(struct pci_dev *pd, uint64_t gpa, size_t len)
{
	if (!pci_bus_master(pd) || len == 0)
		return NULL;
	return vm_map_gpa(pd->bus->ctx, gpa, len);
}

/* Whoever asks had a mapping: bus mastering counted when it was made. */
void
pci_dma_written(struct pci_dev *pd, const void *hva, size_t len)
{
	const struct vm_ram *ram = vm_ram(pd->bus->ctx);
	uint64_t off = (uint64_t)((const uint8_t *)hva - ram->base);

	assert(range_ok(off, len, ram->lowmem + ram->highmem));
	vm_mem_written(pd->bus->ctx, vm_ram_gpa(ram, off), len);
}

bool
pci_dma_read(struct pci_dev *pd, uint64_t gpa, void *dst, size_t len)
{
	return pci_bus_master(pd) &&
	       vm_mem_read(pd->bus->ctx, gpa, dst, len) == 0;
}

bool
pci_dma_write(struct pci_dev *pd, uint64_t gpa, const void *src, size_t len)
{
	return pci_bus_master(pd) &&
	       vm_mem_write(pd->bus->ctx, gpa, src, len) == 0;
}
