/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_elf_pvh.c - the input is a kernel file; src/boot/elf_pvh.c.
 */
#include "fuzz.h"

#include "fuzz_boot.h"
#include "image.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_boot(data, size, elf_pvh_probe, elf_pvh_load);
	return 0;
}
