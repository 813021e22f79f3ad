/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_bootsector.c - the input is a kernel file; src/boot/bootsector.c.
 */
#include "fuzz.h"

#include "fuzz_boot.h"
#include "image.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_boot(data, size, bootsector_probe, bootsector_load);
	return 0;
}
