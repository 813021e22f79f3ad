/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tables.h - what the writers of ACPI, MP and SMBIOS tables share.
 */
#ifndef BOOT_TABLES_H
#define BOOT_TABLES_H

#include <stddef.h>
#include <stdint.h>

#include <boot/boot.h>
#include <vmm/topology.h>

/* Of processor `id`. */
static inline uint8_t
tables_apic_id(const struct boot_tables *t, unsigned int id)
{
	return (uint8_t)(t->topology != NULL
			     ? vm_topology_apic_id(t->topology, id)
			     : id);
}

/* The byte that makes the sum of all `len` bytes and itself zero. */
uint8_t table_checksum(const void *, size_t len);

#endif /* BOOT_TABLES_H */
