/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * e820.c - the memory map the guest is told (docs/bhyve.md 1.5; ACPI 6.4
 * section 15).
 *
 * The holes without an entry (0xA0000-0xEFFFF, lowmem up to the PCI window)
 * are RAM nobody announces, or nothing; operating systems leave both alone.
 */
#include <boot/boot.h>

#include <assert.h>

#include <vmm/mem.h>
#include <vmm/pci.h>
#include <vmmapi.h>

#include "image.h"

#define TABLES_GPA 0xf0000ull

unsigned int
boot_e820(struct vmctx *ctx, struct e820_entry e[E820_MAX])
{
	const uint64_t low = vm_get_lowmem_size(ctx);
	const uint64_t high = vm_get_highmem_size(ctx);
	const struct e820_entry map[] = {
		{ 0, BOOT_FIRMWARE_GPA, E820_RAM },
		{ BOOT_FIRMWARE_GPA, BOOT_VIDEO_GPA - BOOT_FIRMWARE_GPA,
		    E820_RESERVED },
		{ TABLES_GPA, BOOT_HIGH_GPA - TABLES_GPA, E820_RESERVED },
		{ BOOT_HIGH_GPA, low > BOOT_HIGH_GPA ? low - BOOT_HIGH_GPA : 0,
		    E820_RAM },
		{ PCI_ECAM_BASE, PCI_ECAM_SIZE, E820_RESERVED },
		{ GPA_HIGHMEM_BASE, high, E820_RAM },
	};
	unsigned int n = 0;

	static_assert(ARRAY_LEN(map) <= E820_MAX, "E820_MAX");
	for (size_t i = 0; i < ARRAY_LEN(map); i++) {
		if (map[i].len != 0)
			e[n++] = map[i];
	}
	return n;
}
