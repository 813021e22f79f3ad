/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_bzimage.c - the input is a kernel file; src/boot/bzimage.c.
 */
#include "fuzz.h"

#include "fuzz_boot.h"
#include "image.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_boot(data, size, bzimage_probe, bzimage_load);
	return 0;
}
