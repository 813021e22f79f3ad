/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tables.c - the checksum all firmware tables have: ACPI 6.4 5.2.6, MP 1.4
 * 4.1, DSP0134 5.2.1.
 */
#include "tables.h"

uint8_t
table_checksum(const void *table, size_t len)
{
	const uint8_t *p = table;
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + p[i]);
	return (uint8_t)-sum;
}
