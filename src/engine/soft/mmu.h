/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmu.h - guest-linear memory: fast paths inline, everything else in mmu.c.
 *
 * Convention of the slow functions: c->rip and c->acc_seg are set by the
 * caller; false means an exception is recorded and nothing was changed.
 */
#ifndef ENGINE_SOFT_MMU_H
#define ENGINE_SOFT_MMU_H

#include "cpu.h"
#include "hostmem.h"
#include "insn.h"

/* --- slow paths (mmu.c) -------------------------------------------------- */

/*
 * Any size 1 2 4 8, any alignment, page-crossing, MMIO (through the bus, after
 * fpu_park), code pages, #AC and data breakpoints.  A crossing store checks
 * both pages before it changes the first.
 */
bool mem_read_slow(struct soft_cpu *c, uint64_t la, unsigned int size);
bool mem_write_slow(
    struct soft_cpu *c, uint64_t la, unsigned int size, uint64_t val);
/* Read for a read-modify-write: faults as a write (PF_W). */
bool mem_read_rmw_slow(struct soft_cpu *c, uint64_t la, unsigned int size);
/*
 * Wide operands (up to 128 bytes): dst/src are host buffers inside c (bounce).
 * The same rules; MMIO is split into 8-byte accesses.
 */
bool mem_read_buf(struct soft_cpu *c, uint64_t la, void *dst, unsigned int len);
bool mem_write_buf(
    struct soft_cpu *c, uint64_t la, const void *src, unsigned int len);
/* Check that [la, la+len) could be written, without writing. */
bool mem_probe_write(struct soft_cpu *c, uint64_t la, unsigned int len);

/*
 * Host address of [la, la+len) when it lies in one page of RAM and needs no
 * special care, else NULL; NULL with c->exc.pending means it faults, NULL
 * without means: use the by-value functions.  For acc with ACC_W the pointer
 * may also be into a code page: then call mem_wrote() after storing.
 */
void *mem_host_ptr(
    struct soft_cpu *c, uint64_t la, unsigned int len, unsigned int acc);
/*
 * Call after storing len bytes through mem_host_ptr(..., ACC_W or ACC_RW), with
 * the same la, and before the next but one writable pointer is asked for.
 */
void mem_wrote(struct soft_cpu *c, uint64_t la, unsigned int len);

/*
 * Accesses of the CPU itself at supervisor privilege (descriptor tables, TSS,
 * IDT), whatever the CPL and SMAP; size 1 2 4 8; faults are #PF with U clear.
 */
bool sys_read(struct soft_cpu *c, uint64_t la, unsigned int size); /* mem_val */
bool
sys_write(struct soft_cpu *c, uint64_t la, unsigned int size, uint64_t val);

/*
 * Translate for `acc` (one of ACC_R, ACC_W, ACC_X) as CPL c->cpl would,
 * setting A/D bits; fills the TLB for data accesses.
 */
bool mmu_translate(
    struct soft_cpu *c, uint64_t la, unsigned int acc, uint64_t *ret_gpa);
/* For debuggers: no faults, no A/D, CPL 0, SMAP off. */
bool mmu_translate_debug(struct soft_cpu *c, uint64_t la, uint64_t *ret_gpa);
/* CR3/CR0/CR4 were loaded in PAE mode: read the PDPTEs; false: #GP(0). */
bool mmu_load_pdptes(struct soft_cpu *c, uint64_t cr3);

/*
 * --- TLB maintenance
 * -----------------------------------------------------------
 *
 * The flushes call cpu_mapping_changed(), for the jump cache.  Permissions are
 * cached as judged under CR0.WP, CR4.{PGE,SMEP,SMAP,PSE,PAE} and EFER.NXE:
 * whoever changes one of them, or CR0.PG, calls tlb_flush_all().  A fresh
 * soft_cpu needs one tlb_flush_all() before its first access.
 */

/* The view in which every access misses. */
struct tlb_view *tlb_view_miss(struct soft_cpu *c);
void tlb_flush_all(struct soft_cpu *c);	      /* global pages too */
void tlb_flush_nonglobal(struct soft_cpu *c); /* MOV to CR3 */
void
tlb_flush_page(struct soft_cpu *c, uint64_t la); /* INVLPG: any page size */
/*
 * Drop write permission everywhere; another vCPU marked a code page.  No
 * mapping changes, so the jump cache stays.
 */
void tlb_drop_writable(struct soft_cpu *c);
/* The same for the one page of RAM at `off`, whatever its linear addresses. */
void tlb_drop_writable_page(struct soft_cpu *c, uint64_t off);

/* --- fast paths -------------------------------------------------------------
 */

#define PAGE_MASK_ (~0xfffull)

static inline struct tlb_entry *
tlb_slot(const struct soft_cpu *c, uint64_t la)
{
	return &c->tlb->e[(la >> 12) & (TLB_ENTRIES - 1)];
}

/* What a tag must equal for an access of `size` bytes at la to hit. */
static inline uint64_t
tlb_tag(uint64_t la, unsigned int size)
{
	return (la + size - 1) & PAGE_MASK_;
}

/* Host address if [la, la+size) is readable RAM in the TLB, else NULL. */
static inline void *
tlb_read_ptr(const struct soft_cpu *c, uint64_t la, unsigned int size)
{
	const struct tlb_entry *e = tlb_slot(c, la);

	if (likely(tlb_tag(la, size) == e->rtag))
		return (void *)(la + e->addend);
	return NULL;
}

static inline void *
tlb_write_ptr(const struct soft_cpu *c, uint64_t la, unsigned int size)
{
	const struct tlb_entry *e = tlb_slot(c, la);

	if (likely(tlb_tag(la, size) == e->wtag))
		return (void *)(la + e->addend);
	return NULL;
}

/*
 * In a handler: declare `v` of `type` and load it from linear address la of
 * segment seg, or return with the fault recorded.
 */
#define LOAD(type, v, c, i, rip, la, segno)                                    \
	type v;                                                                \
	{                                                                      \
		const void *p_ = tlb_read_ptr((c), (la), sizeof(type));        \
		if (likely(p_ != NULL)) {                                      \
			v = HOST_LD(type, p_);                                 \
		} else {                                                       \
			(c)->rip = (rip);                                      \
			(c)->acc_seg = (segno);                                \
			if (!mem_read_slow((c), (la), sizeof(type)))           \
				return;                                        \
			v = (type)(c)->mem_val;                                \
		}                                                              \
	}

#define STORE(type, v, c, i, rip, la, segno)                                   \
	do {                                                                   \
		void *p_ = tlb_write_ptr((c), (la), sizeof(type));             \
		if (likely(p_ != NULL)) {                                      \
			HOST_ST(type, p_, (v));                                \
		} else {                                                       \
			(c)->rip = (rip);                                      \
			(c)->acc_seg = (segno);                                \
			if (!mem_write_slow((c), (la), sizeof(type), (v)))     \
				return;                                        \
		}                                                              \
	} while (0)

/*
 * Locked accesses that are no single host atomic (page-crossing, MMIO) exclude
 * each other machine-wide.
 */
static inline void
split_lock(struct soft_cpu *c)
{
	while (__atomic_exchange_n(&c->vm->split_lock, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
}

static inline void
split_unlock(struct soft_cpu *c)
{
	__atomic_store_n(&c->vm->split_lock, 0, __ATOMIC_RELEASE);
}

/*
 * After a STORE that may have hit code of the running block: the instruction
 * is complete, leave the block so that the new bytes are decoded.
 */
#define NEXT_AFTER_STORE(c, i, rip)                                            \
	do {                                                                   \
		if (unlikely((c)->smc_hit)) {                                  \
			(c)->rip = (rip) + (i)->len;                           \
			return;                                                \
		}                                                              \
		NEXT(c, i, rip);                                               \
	} while (0)

#endif /* ENGINE_SOFT_MMU_H */
