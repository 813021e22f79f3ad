/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmu_priv.h - between mmu.c (accesses) and mmu_walk.c (page tables and TLB).
 */
#ifndef ENGINE_SOFT_MMU_PRIV_H
#define ENGINE_SOFT_MMU_PRIV_H

#include "mmu.h"

/* Further bits of an access, beside ACC_R, ACC_W, ACC_X. */
#define ACC_SYS 0x8u /* the CPU's own: never #SS */

/*
 * A translation to something that is not RAM sits in its slot with this bit in
 * rtag, so that no fast path can match it but the slow one need not walk.
 */
#define TAG_MMIO 0x1ull

static inline struct tlb_entry *
tlb_entry_of(struct soft_cpu *c, unsigned int view, uint64_t la)
{
	return &c->view[view].e[(la >> 12) & (TLB_ENTRIES - 1)];
}

/*
 * Walk the tables for `acc` as `view` judges it and enter the result into the
 * view.  NULL with the exception recorded.
 */
struct tlb_entry *
mmu_fill(struct soft_cpu *c, uint64_t la, unsigned int acc, unsigned int view);

/* The entry for an access within one page, from the TLB or the tables. */
static inline struct tlb_entry *
mmu_entry(struct soft_cpu *c, uint64_t la, unsigned int acc, unsigned int view)
{
	struct tlb_entry *e = tlb_entry_of(c, view, la);

	if ((e->rtag & ~TAG_MMIO) == (la & PAGE_MASK_) &&
	    ((acc & ACC_W) == 0 || (e->gpa & TLBF_WRITABLE) != 0))
		return e;
	return mmu_fill(c, la, acc, view);
}

/* Records #SS(0) or #GP(0) for an address that is not canonical. */
bool mmu_raise_noncanonical(struct soft_cpu *c, unsigned int acc);

#endif /* ENGINE_SOFT_MMU_PRIV_H */
