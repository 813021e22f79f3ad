/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mem.h - guest-physical memory.
 *
 * All RAM is one mapping of one memfd: byte `off` of the file is guest
 * physical `off` below lowmem, and 4 GiB + (off - lowmem) above.  One file
 * because a checkpoint, a second process and a mapped user mode can then share
 * it, one mapping because gpa -> hva is one addition.  vm_map_gpa() (vmmapi.h)
 * is the only other door; its length is never optional.
 *
 * Guest memory changes under you: copy a field once, check the copy, use it.
 */
#ifndef VMM_MEM_H
#define VMM_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <util/util.h>
#include <vmmapi.h>

#define GPA_LOWMEM_LIMIT 0xc0000000ull /* 3 GiB; PCI BARs begin here */
#define GPA_HIGHMEM_BASE 0x100000000ull

/* What an engine needs to translate without a call; constant once set up. */
struct vm_ram {
	uint8_t *base;	  /* hva of file offset 0; NULL before set-up */
	uint64_t lowmem;  /* bytes at gpa 0 */
	uint64_t highmem; /* bytes at gpa 4 GiB, file offset lowmem */
	int fd;		  /* the memfd */
};
const struct vm_ram *vm_ram(struct vmctx *);

/* File offset of a gpa in RAM, or UINT64_MAX.  Says nothing of gpa + 1. */
static inline uint64_t
vm_ram_offset(const struct vm_ram *ram, uint64_t gpa)
{
	if (gpa < ram->lowmem)
		return gpa;
	if (gpa - GPA_HIGHMEM_BASE < ram->highmem)
		return gpa - GPA_HIGHMEM_BASE + ram->lowmem;
	return UINT64_MAX;
}
/* The inverse; off < lowmem + highmem. */
static inline uint64_t
vm_ram_gpa(const struct vm_ram *ram, uint64_t off)
{
	return off < ram->lowmem ? off : GPA_HIGHMEM_BASE + (off - ram->lowmem);
}

/*
 * Copy from / to guest RAM; all or nothing: -EFAULT when any byte is outside
 * RAM.  vm_mem_write tells the engine, which may have decoded the old bytes.
 */
int
vm_mem_read(struct vmctx *, uint64_t gpa, void *dst, size_t len) WARN_UNUSED;
int vm_mem_write(
    struct vmctx *, uint64_t gpa, const void *src, size_t len) WARN_UNUSED;

#endif /* VMM_MEM_H */
