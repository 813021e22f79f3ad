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

/*
 * Which pages changed: one bit for each 4 KiB of RAM, by file offset.  From
 * start to stop, whoever stored: the guest, vm_mem_write(), or who calls
 * vm_mem_written(), which is after the store.  A page whose bit was fetched
 * and whose bytes are read then is either whole or has its bit set again. Pages
 * that were only read may be among them.
 *
 * Start: -ENOTSUP where the engine cannot, -EBUSY when it was started before.
 * Fetch: writes vm_dirty_words() words, and forgets.  Any thread, one at a
 * time.
 */
#define VM_DIRTY_SHIFT 12
int vm_dirty_start(struct vmctx *) WARN_UNUSED;
int vm_dirty_fetch(struct vmctx *, uint64_t *bits) WARN_UNUSED;
void vm_dirty_stop(struct vmctx *);
size_t vm_dirty_words(struct vmctx *);

#endif /* VMM_MEM_H */
