/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_boot.h - one kernel image through one loader, into a small guest.
 */
#ifndef TESTS_FUZZ_BOOT_H
#define TESTS_FUZZ_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct boot_blob;
struct boot_load;

/*
 * Loads without and with an initrd and checks what must hold after success:
 * the entry lies in RAM, nothing was written where the loader may not, no two
 * pieces overlap.
 */
void fuzz_boot(const uint8_t *data, size_t size,
    bool (*probe)(const struct boot_blob *), int (*load)(struct boot_load *));

#endif /* TESTS_FUZZ_BOOT_H */
