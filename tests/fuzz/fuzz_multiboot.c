/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_multiboot.c - the input is a kernel file; src/boot/multiboot.c.
 */
#include "fuzz.h"

#include "fuzz_boot.h"
#include "image.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_boot(data, size, multiboot_probe, multiboot_load);
	return 0;
}
