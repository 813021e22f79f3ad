/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf_image.h - an ELF kernel's headers, of either class, once checked.
 */
#ifndef BOOT_ELF_IMAGE_H
#define BOOT_ELF_IMAGE_H

#include "image.h"

#define ELF_IMAGE_PHDRS_MAX 64

struct elf_seg {
	uint32_t type;
	uint64_t off, vaddr, paddr, filesz, memsz, align;
};

struct elf_image {
	bool is64;
	uint64_t entry; /* as in the header: a virtual address */
	unsigned int nsegs;
	struct elf_seg seg[ELF_IMAGE_PHDRS_MAX];
};

/*
 * False when it is no x86 ELF program or its program headers are unusable;
 * *ret_why then is a reason for the user, or NULL if there is no ELF magic.
 */
bool elf_image_parse(
    const struct boot_blob *, struct elf_image *, const char **ret_why);
/* Loads every PT_LOAD at its physical address. */
int elf_image_load(struct boot_load *, const struct elf_image *) WARN_UNUSED;
/* The PT_LOAD that holds a physical (or virtual) address, or NULL. */
const struct elf_seg *
elf_image_seg_at(const struct elf_image *, uint64_t addr, bool virtual_addr);

#endif /* BOOT_ELF_IMAGE_H */
