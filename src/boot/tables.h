/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tables.h - what the writers of ACPI, MP and SMBIOS tables share.
 */
#ifndef BOOT_TABLES_H
#define BOOT_TABLES_H

#include <stddef.h>
#include <stdint.h>

/* The byte that makes the sum of all `len` bytes and itself zero. */
uint8_t table_checksum(const void *, size_t len);

#endif /* BOOT_TABLES_H */
