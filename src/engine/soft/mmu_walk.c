/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmu_walk.c - page tables and the software TLB.
 *
 * No paging, 32-bit paging with 4 MiB pages (PSE-36), PAE, and 4-level paging
 * with 2 MiB and 1 GiB pages, after SDM volume 3 chapter 4 and APM volume 2
 * chapter 5; where they differ (bit 8 of a PML4E) AMD's.  Accessed and dirty
 * bits are set by compare-exchange on the guest's entry.  Deliberately missing:
 * 5-level paging, protection keys, memory types, a paging-structure cache, and
 * PCIDs beyond "flush": a CR3 load drops everything that is not global.
 *
 * The TLB belongs to one vCPU and only that vCPU's thread touches it.  CR3
 * loads are frequent, so a view remembers which slots they must clear
 * (`listed`) instead of looking through all of them.
 */
#include "mmu_priv.h"
#include "smc_priv.h"

#define PTE_P	 0x001ull
#define PTE_W	 0x002ull
#define PTE_U	 0x004ull
#define PTE_A	 0x020ull
#define PTE_D	 0x040ull
#define PTE_PS	 0x080ull
#define PTE_G	 0x100ull
#define PTE_NX	 BIT64(63)
#define PTE_ADDR 0x000ffffffffff000ull

/* Reserved in PAE's page-directory-pointer entries, besides 63:MAXPHYADDR. */
#define PDPTE_RSVD 0x1e6ull

#define ACC_DEBUG  0x10u /* no permission checks, no A/D */

/* What a walk found; on failure only the error bits P and RSVD. */
#define WALK_FAULT 0x8000u
struct walk {
	uint64_t gpa;	/* of the 4 KiB page */
	uint64_t flags; /* TLBF_* */
};

/* Host address of a page-table entry, NULL when it is not in RAM. */
static inline void *
walk_ptr(const struct soft_cpu *c, uint64_t gpa)
{
	uint64_t off = vm_ram_offset(c->ram, gpa);

	return likely(off != UINT64_MAX) ? c->ram->base + off : NULL;
}

/* The walker stored to a page table that may also hold decoded code. */
static void
walk_wrote(struct soft_cpu *c, const void *p, unsigned int len)
{
	uint64_t off = (uint64_t)((const uint8_t *)p - c->ram->base);

	if (unlikely(smcp_is_code(smc_page(c->vm, off))))
		smc_wrote(c->vm, c, off, len);
}

/* Set A or A and D; false: the entry changed meanwhile, walk again. */
static bool
walk_mark64(struct soft_cpu *c, uint64_t *p, uint64_t *e, uint64_t bits)
{
	if (host_cas(p, 8, *e, *e | bits) != *e)
		return false;
	*e |= bits;
	walk_wrote(c, p, 8);
	return true;
}

static bool
walk_mark32(struct soft_cpu *c, uint32_t *p, uint32_t *e, uint32_t bits)
{
	if (host_cas(p, 4, *e, *e | bits) != *e)
		return false;
	*e |= bits;
	walk_wrote(c, p, 4);
	return true;
}

static inline bool
walk_writable(const struct soft_cpu *c, uint64_t all, unsigned int view)
{
	return (all & PTE_W) != 0 ||
	       (view != VIEW_USER && (c->cr0 & CR0_WP) == 0);
}

/*
 * SDM 4.6: `all` has W and U as the AND of every level, `any` NX as the OR.
 */
static inline bool
walk_allows(const struct soft_cpu *c, uint64_t all, uint64_t any,
    unsigned int acc, unsigned int view)
{
	if (view == VIEW_USER) {
		if ((all & PTE_U) == 0)
			return false;
	} else if ((all & PTE_U) != 0) {
		if ((acc & ACC_X) != 0) {
			if ((c->cr4 & CR4_SMEP) != 0)
				return false;
		} else if (view == VIEW_KERN_SMAP) {
			return false;
		}
	}
	if ((acc & ACC_X) != 0)
		return (any & PTE_NX) == 0;
	return (acc & ACC_W) == 0 || walk_writable(c, all, view);
}

static inline void
walk_result(const struct soft_cpu *c, struct walk *w, uint64_t leaf,
    uint64_t all, unsigned int view, bool large)
{
	w->flags = large ? TLBF_LARGE : 0;
	if ((leaf & PTE_G) != 0 && (c->cr4 & CR4_PGE) != 0)
		w->flags |= TLBF_GLOBAL;
	if ((leaf & PTE_D) != 0 && walk_writable(c, all, view))
		w->flags |= TLBF_WRITABLE;
}

/* 4-level and PAE paging: 8-byte entries.  0, or WALK_FAULT with PF_* bits. */
static uint32_t
walk_64bit(struct soft_cpu *c, uint64_t la, unsigned int acc, unsigned int view,
    struct walk *w)
{
	const bool lm = (c->efer & EFER_LMA) != 0;
	/* 51:MAXPHYADDR, in PAE 62:MAXPHYADDR (SDM 4.4.2, 4.5.4). */
	uint64_t rsvd = (lm ? BIT64(52) : BIT64(63)) - BIT64(c->vm->phys_bits);
	uint64_t e, want, all, any, *p;
	unsigned int shift;

	if ((c->efer & EFER_NXE) == 0)
		rsvd |= PTE_NX;
retry:
	all = PTE_W | PTE_U;
	any = 0;
	if (likely(lm)) {
		e = c->cr3;
		shift = 39;
	} else {
		e = c->pdpte[(la >> 30) & 3];
		if ((e & PTE_P) == 0)
			return WALK_FAULT;
		shift = 21;
	}
	for (;; shift -= 9) {
		p = walk_ptr(c, (e & PTE_ADDR) + ((la >> shift) & 0x1ff) * 8);
		e = likely(p != NULL) ? host_ld(p, 8) : UINT64_MAX;
		if (unlikely((e & PTE_P) == 0))
			return WALK_FAULT;
		/* PML4E: no PS, and AMD reserves bit 8 (APM 2 fig. 5-19). */
		if (unlikely((e & (shift == 39 ? rsvd | PTE_PS | PTE_G
					       : rsvd)) != 0))
			return WALK_FAULT | PF_P | PF_RSVD;
		all &= e;
		any |= e;
		if (shift == 12)
			break;
		if ((e & PTE_PS) != 0) {
			if ((e & (BIT64(shift) - BIT64(13))) != 0)
				return WALK_FAULT | PF_P | PF_RSVD;
			break;
		}
		if (unlikely((e & PTE_A) == 0) && (acc & ACC_DEBUG) == 0 &&
		    !walk_mark64(c, p, &e, PTE_A))
			goto retry;
	}
	if (likely((acc & ACC_DEBUG) == 0)) {
		if (unlikely(!walk_allows(c, all, any, acc, view)))
			return WALK_FAULT | PF_P;
		want = (acc & ACC_W) != 0 ? PTE_A | PTE_D : PTE_A;
		if (unlikely((e & want) != want) &&
		    !walk_mark64(c, p, &e, want))
			goto retry;
	}
	w->gpa = (e & PTE_ADDR & ~(BIT64(shift) - 1)) |
		 (la & (BIT64(shift) - 1) & PAGE_MASK_);
	walk_result(c, w, e, all, view, shift != 12);
	return 0;
}

/* Reserved bits of a 4 MiB PDE: 21:(M-19), M = min(40, MAXPHYADDR); SDM 4.3. */
static inline uint32_t
walk_pse_rsvd(const struct soft_cpu *c)
{
	const unsigned int m = MIN(c->vm->phys_bits, 40u);

	return BIT(22) - BIT(MAX(m, 32u) - 19);
}

/* 32-bit paging: two levels of 4-byte entries. */
static uint32_t
walk_32bit(struct soft_cpu *c, uint64_t la, unsigned int acc, unsigned int view,
    struct walk *w)
{
	uint32_t e, want, all, *p;
	bool large;

retry:
	p = walk_ptr(c, (c->cr3 & 0xfffff000) + (la >> 22) * 4);
	e = p != NULL ? HOST_LD(uint32_t, p) : UINT32_MAX;
	if ((e & PTE_P) == 0)
		return WALK_FAULT;
	all = e;
	large = (e & PTE_PS) != 0 && (c->cr4 & CR4_PSE) != 0;
	if (large) {
		if ((e & walk_pse_rsvd(c)) != 0)
			return WALK_FAULT | PF_P | PF_RSVD;
		w->gpa = (e & 0xffc00000) | (uint64_t)(e & 0x1fe000) << 19 |
			 (la & 0x3ff000);
	} else {
		if ((e & PTE_A) == 0 && (acc & ACC_DEBUG) == 0 &&
		    !walk_mark32(c, p, &e, PTE_A))
			goto retry;
		p = walk_ptr(c, (e & 0xfffff000) + ((la >> 12) & 0x3ff) * 4);
		e = p != NULL ? HOST_LD(uint32_t, p) : UINT32_MAX;
		if ((e & PTE_P) == 0)
			return WALK_FAULT;
		all &= e;
		w->gpa = e & 0xfffff000;
	}
	if ((acc & ACC_DEBUG) == 0) {
		if (!walk_allows(c, all, 0, acc, view))
			return WALK_FAULT | PF_P;
		want = (acc & ACC_W) != 0 ? PTE_A | PTE_D : PTE_A;
		if ((e & want) != want && !walk_mark32(c, p, &e, want))
			goto retry;
	}
	walk_result(c, w, e, all, view, large);
	return 0;
}

static inline uint32_t
walk(struct soft_cpu *c, uint64_t la, unsigned int acc, unsigned int view,
    struct walk *w)
{
	if (unlikely((c->cr0 & CR0_PG) == 0)) {
		w->gpa = la & PAGE_MASK_;
		w->flags = TLBF_WRITABLE;
		return 0;
	}
	if (likely((c->cr4 & CR4_PAE) != 0))
		return walk_64bit(c, la, acc, view, w);
	return walk_32bit(c, la, acc, view, w);
}

/* --- faults ------------------------------------------------------------------
 */

bool
mmu_raise_noncanonical(struct soft_cpu *c, unsigned int acc)
{
	bool ss = c->acc_seg == SEG_SS && (acc & (ACC_SYS | ACC_X)) == 0;

	return cpu_raise_err(c, ss ? EXC_SS : EXC_GP, 0);
}

/* `err` is what the walk returned; SDM 4.7 has the other bits. */
static bool __attribute__((noinline, cold)) walk_raise(struct soft_cpu *c,
    uint64_t la, unsigned int acc, unsigned int view, uint32_t err)
{
	err &= PF_P | PF_RSVD;
	if ((acc & ACC_W) != 0)
		err |= PF_W;
	if (view == VIEW_USER)
		err |= PF_U;
	if ((acc & ACC_X) != 0 &&
	    ((c->cr4 & CR4_SMEP) != 0 ||
		((c->cr4 & CR4_PAE) != 0 && (c->efer & EFER_NXE) != 0)))
		err |= PF_I;
	return cpu_raise_pf(c, la, err);
}

/* --- TLB ---------------------------------------------------------------------
 */

static inline void
tlb_entry_clear(struct tlb_entry *e)
{
	e->rtag = TLB_NONE;
	e->wtag = TLB_NONE;
	e->gpa = UINT64_MAX;
}

/* All bits one: no tags, unlisted. */
static void
tlb_view_clear(struct tlb_view *v)
{
	void *p = v->e;
	size_t n = sizeof(v->e) / 8;

	__asm__ volatile("rep stosq"
			 : "+D"(p), "+c"(n)
			 : "a"(UINT64_MAX)
			 : "memory");
	v->nlisted = 0;
	v->large = 0;
}

/* Remember that a CR3 load must clear slot n; returns its TLBF_UNLISTED bit. */
static inline uint64_t
tlb_list(struct tlb_view *v, unsigned int n, uint64_t old, bool need)
{
	if ((old & TLBF_UNLISTED) == 0)
		return 0;
	if (!need)
		return TLBF_UNLISTED;
	if (likely(v->nlisted < TLB_LISTED))
		v->listed[v->nlisted] = (uint16_t)n;
	v->nlisted++;
	return 0;
}

static inline struct tlb_entry *
tlb_enter(
    struct soft_cpu *c, uint64_t la, unsigned int view, const struct walk *w)
{
	struct tlb_view *v = &c->view[view];
	unsigned int n = (la >> 12) & (TLB_ENTRIES - 1);
	struct tlb_entry *e = &v->e[n];
	uint64_t page = la & PAGE_MASK_, off = vm_ram_offset(c->ram, w->gpa);

	e->gpa = w->gpa | w->flags |
		 tlb_list(v, n, e->gpa,
		     view == VIEW_USER || (w->flags & TLBF_GLOBAL) == 0);
	if ((w->flags & TLBF_LARGE) != 0)
		v->large |= BIT64((la >> 30) & 63);
	e->wtag = TLB_NONE;
	if (likely(off != UINT64_MAX)) {
		e->rtag = page;
		e->addend = (uintptr_t)c->ram->base + off - page;
		if ((w->flags & TLBF_WRITABLE) != 0 &&
		    !smcp_is_code(smc_page(c->vm, off)))
			e->wtag = page;
	} else {
		e->rtag = page | TAG_MMIO;
	}
	vcpu_stat_add(c->stats, VMSTAT_TLB_FILLS, 1);
	return e;
}

struct tlb_entry *
mmu_fill(struct soft_cpu *c, uint64_t la, unsigned int acc, unsigned int view)
{
	struct walk w;
	struct tlb_entry *e;
	uint32_t err;

	if (unlikely(!cpu_is_canonical(la)) && (c->efer & EFER_LMA) != 0) {
		mmu_raise_noncanonical(c, acc);
		return NULL;
	}
	err = walk(c, la, acc, view, &w);
	if (likely(err == 0))
		return tlb_enter(c, la, view, &w);
	/* A page fault drops the page's stale translation (SDM 4.10.4.1). */
	e = tlb_entry_of(c, view, la);
	if ((e->rtag & ~TAG_MMIO) == (la & PAGE_MASK_)) {
		e->rtag = TLB_NONE;
		e->wtag = TLB_NONE;
	}
	walk_raise(c, la, acc, view, err);
	return NULL;
}

/* Nothing is ever entered into it: once is enough, and most never need it. */
struct tlb_view *
tlb_view_miss(struct soft_cpu *c)
{
	struct tlb_view *v = &c->view[VIEW_MISS];

	if (v->e[TLB_ENTRIES - 1].rtag != TLB_NONE)
		tlb_view_clear(v);
	return v;
}

void
tlb_flush_all(struct soft_cpu *c)
{
	for (unsigned int i = 0; i < VIEW_COUNT; i++)
		tlb_view_clear(&c->view[i]);
	c->itlb.gen[0]++;
	c->itlb.gen[1]++;
	c->itlb.large = 0;
	cpu_mapping_changed(c);
}

void
tlb_flush_nonglobal(struct soft_cpu *c)
{
	for (unsigned int i = 0; i < VIEW_COUNT; i++) {
		struct tlb_view *v = &c->view[i];

		if (v->nlisted > TLB_LISTED) {
			tlb_view_clear(v);
			continue;
		}
		for (unsigned int n = 0; n < v->nlisted; n++)
			tlb_entry_clear(&v->e[v->listed[n]]);
		v->nlisted = 0;
	}
	c->view[VIEW_USER].large = 0;
	c->itlb.gen[0]++;
	cpu_mapping_changed(c);
}

/*
 * Drop every piece of large pages in la's gigabyte: no large page is bigger,
 * and a slot does not know how big its own was.
 */
static void
tlb_view_drop_large(struct tlb_view *v, uint64_t la)
{
	for (unsigned int n = 0; n < TLB_ENTRIES; n++) {
		struct tlb_entry *e = &v->e[n];

		if ((e->gpa & TLBF_LARGE) != 0 && e->rtag != TLB_NONE &&
		    e->rtag >> 30 == la >> 30) {
			e->rtag = TLB_NONE;
			e->wtag = TLB_NONE;
		}
	}
}

void
tlb_flush_page(struct soft_cpu *c, uint64_t la)
{
	const uint64_t page = la & PAGE_MASK_, bit = BIT64((la >> 30) & 63);
	struct itlb_entry *x = &c->itlb.e[(la >> 12) & (ITLB_ENTRIES - 1)];

	for (unsigned int i = 0; i < VIEW_COUNT; i++) {
		struct tlb_entry *e = tlb_entry_of(c, i, la);

		if ((e->rtag & ~TAG_MMIO) == page) {
			e->rtag = TLB_NONE;
			e->wtag = TLB_NONE;
		}
		if ((c->view[i].large & bit) != 0)
			tlb_view_drop_large(&c->view[i], la);
	}
	if ((x->tag & PAGE_MASK_) == page)
		x->tag = 0;
	if ((c->itlb.large & bit) != 0) {
		c->itlb.gen[0]++;
		c->itlb.gen[1]++;
		c->itlb.large = 0;
	}
	cpu_mapping_changed(c);
}

void
tlb_drop_writable(struct soft_cpu *c)
{
	for (unsigned int i = 0; i < VIEW_COUNT; i++)
		for (unsigned int n = 0; n < TLB_ENTRIES; n++)
			c->view[i].e[n].wtag = TLB_NONE;
}

void
tlb_drop_writable_page(struct soft_cpu *c, uint64_t off)
{
	const uint64_t hva = (uintptr_t)c->ram->base + (off & PAGE_MASK_);

	for (unsigned int i = 0; i < VIEW_COUNT; i++)
		for (unsigned int n = 0; n < TLB_ENTRIES; n++) {
			struct tlb_entry *e = &c->view[i].e[n];

			if (e->wtag + e->addend == hva)
				e->wtag = TLB_NONE;
		}
}

/* --- translation -------------------------------------------------------------
 */

#define ITLB_VALID  0x1u
#define ITLB_USER   0x2u
#define ITLB_GLOBAL 0x1u /* in gpa */

static bool
mmu_translate_fetch(struct soft_cpu *c, uint64_t la, uint64_t *ret_gpa)
{
	const unsigned int view = c->cpl == 3 ? VIEW_USER : VIEW_KERN;
	const uint64_t tag = (la & PAGE_MASK_) | ITLB_VALID |
			     (view == VIEW_USER ? ITLB_USER : 0);
	struct itlb_entry *x = &c->itlb.e[(la >> 12) & (ITLB_ENTRIES - 1)];
	struct walk w;
	uint32_t err;

	if (x->tag == tag && x->gen == c->itlb.gen[x->gpa & ITLB_GLOBAL]) {
		*ret_gpa = (x->gpa & PAGE_MASK_) | (la & 0xfff);
		return true;
	}
	if (unlikely(!cpu_is_canonical(la)) && (c->efer & EFER_LMA) != 0)
		return mmu_raise_noncanonical(c, ACC_X);
	err = walk(c, la, ACC_X, view, &w);
	if (unlikely(err != 0)) {
		x->tag = 0;
		return walk_raise(c, la, ACC_X, view, err);
	}
	x->tag = tag;
	x->gpa = w.gpa | ((w.flags & TLBF_GLOBAL) != 0 ? ITLB_GLOBAL : 0);
	x->gen = c->itlb.gen[x->gpa & ITLB_GLOBAL];
	if ((w.flags & TLBF_LARGE) != 0)
		c->itlb.large |= BIT64((la >> 30) & 63);
	*ret_gpa = w.gpa | (la & 0xfff);
	return true;
}

bool
mmu_translate(
    struct soft_cpu *c, uint64_t la, unsigned int acc, uint64_t *ret_gpa)
{
	const struct tlb_entry *e;

	if ((acc & ACC_X) != 0)
		return mmu_translate_fetch(c, la, ret_gpa);
	e = mmu_entry(c, la, acc, c->real_view);
	if (e == NULL)
		return false;
	*ret_gpa = (e->gpa & PAGE_MASK_) | (la & 0xfff);
	return true;
}

bool
mmu_translate_debug(struct soft_cpu *c, uint64_t la, uint64_t *ret_gpa)
{
	struct walk w;

	if ((c->efer & EFER_LMA) == 0)
		la = (uint32_t)la;
	else if (!cpu_is_canonical(la))
		return false;
	if (walk(c, la, ACC_R | ACC_DEBUG, VIEW_KERN, &w) != 0)
		return false;
	*ret_gpa = w.gpa | (la & 0xfff);
	return true;
}

bool
mmu_load_pdptes(struct soft_cpu *c, uint64_t cr3)
{
	const uint64_t rsvd = PDPTE_RSVD | ~(BIT64(c->vm->phys_bits) - 1);
	uint64_t e[4];

	for (unsigned int i = 0; i < 4; i++) {
		uint64_t *p = walk_ptr(c, (cr3 & 0xffffffe0) + i * 8);

		e[i] = p != NULL ? host_ld(p, 8) : UINT64_MAX;
		if ((e[i] & PTE_P) != 0 && (e[i] & rsvd) != 0)
			return cpu_raise_gp(c, 0);
	}
	for (unsigned int i = 0; i < 4; i++)
		c->pdpte[i] = e[i];
	return true;
}
