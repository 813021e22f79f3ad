/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmu.c - guest-linear memory accesses that the inline fast paths of mmu.h did
 * not finish: TLB misses, page crossings, MMIO, code pages, alignment checks
 * and data breakpoints.
 *
 * Order of an access, after SDM 3A 6.9 and APM 2 8.5: canonical address (#GP,
 * #SS), translation of every page (#PF), alignment (#AC), then the bytes.
 * A store changes nothing before all its pages have been translated.  Outside
 * 64-bit mode linear addresses wrap at 4 GiB.
 *
 * Stores to code pages: see smc.h.  MMIO goes to the bus in place, with the FP
 * state parked.  Runs on the vCPU's thread.
 */
#include "mmu.h"
#include "mmu_priv.h"
#include "smc_priv.h"
#include "fpu.h"
#include "sys.h"

#include <vmm/bus.h>

static inline uint64_t
mem_wrap(const struct soft_cpu *c, uint64_t la)
{
	return likely((c->mode & MODE_64) != 0) ? la : (uint32_t)la;
}

/* The CPU's own accesses: descriptor-table bases have 64 bits in long mode. */
static inline uint64_t
sys_wrap(const struct soft_cpu *c, uint64_t la)
{
	return (c->efer & EFER_LMA) != 0 ? la : (uint32_t)la;
}

static inline bool
mem_crosses(uint64_t la, unsigned int len)
{
	return ((la ^ (la + len - 1)) & PAGE_MASK_) != 0;
}

/* Accesses need alignment and breakpoint checks. */
static inline bool
mem_checked(const struct soft_cpu *c)
{
	return c->tlb == &c->view[VIEW_MISS];
}

/* --- MMIO and code pages
 * ------------------------------------------------------ */

static void __attribute__((noinline)) mem_mmio(struct soft_cpu *c, bool write,
    uint64_t gpa, unsigned int size, uint64_t *val)
{
	fpu_park(c);
	bus_mmio(c->vcpu, write, gpa, size, val);
}

static inline uint64_t
mem_entry_gpa(const struct tlb_entry *e, uint64_t la)
{
	return (e->gpa & PAGE_MASK_) | (la & 0xfff);
}

/*
 * A store to RAM whose page has no write tag: a code page, or one that lost its
 * tag in a handshake and gets it back.
 */
static void __attribute__((noinline)) mem_store_untagged(struct soft_cpu *c,
    struct tlb_entry *e, uint64_t la, unsigned int size, uint64_t val)
{
	uint8_t *p = (uint8_t *)(la + e->addend);
	uint64_t off = (uint64_t)(p - c->ram->base);

	if (!smcp_is_code(smc_page(c->vm, off))) {
		e->wtag = la & PAGE_MASK_;
		host_st(p, size, val);
		return;
	}
	host_st(p, size, val);
	smc_wrote(c->vm, c, off, size);
}

/* --- accesses of any shape
 * ------------------------------------------------------ */

/* An access of up to 128 bytes as one or two runs of RAM or MMIO. */
struct span {
	struct {
		uint8_t *p; /* host address, NULL: MMIO at gpa */
		uint64_t gpa;
		unsigned int len;
	} part[2];
	unsigned int n;
};

static bool
span_add(struct soft_cpu *c, struct span *s, uint64_t la, unsigned int len,
    unsigned int acc, unsigned int view)
{
	const struct tlb_entry *e = mmu_entry(c, la, acc, view);
	uint8_t *p;

	if (e == NULL)
		return false;
	p = (e->rtag & TAG_MMIO) != 0 ? NULL : (uint8_t *)(la + e->addend);
	if (s->n == 1 && p != NULL && s->part[0].p != NULL &&
	    s->part[0].p + s->part[0].len == p) {
		s->part[0].len += len; /* contiguous: still one host access */
		return true;
	}
	s->part[s->n].p = p;
	s->part[s->n].gpa = mem_entry_gpa(e, la);
	s->part[s->n].len = len;
	s->n++;
	return true;
}

/* Translate [la, la+len), len <= 4096. */
static bool
span_map(struct soft_cpu *c, struct span *s, uint64_t la, unsigned int len,
    unsigned int acc, unsigned int view)
{
	unsigned int room = 0x1000 - (la & 0xfff), first = MIN(len, room);
	uint64_t next = la + first;

	s->n = 0;
	if (first < len) {
		next = (acc & ACC_SYS) != 0 ? sys_wrap(c, next)
					    : mem_wrap(c, next);
		if ((c->efer & EFER_LMA) != 0 &&
		    (!cpu_is_canonical(la) || !cpu_is_canonical(next)))
			return mmu_raise_noncanonical(c, acc);
	}
	if (!span_add(c, s, la, first, acc, view))
		return false;
	return first == len || span_add(c, s, next, len - first, acc, view);
}

/* The largest power of two that is at most len and 8. */
static inline unsigned int
span_chunk(unsigned int len)
{
	return len >= 8 ? 8 : len >= 4 ? 4 : len >= 2 ? 2 : 1;
}

static void
span_read(struct soft_cpu *c, const struct span *s, uint8_t *dst)
{
	for (unsigned int i = 0; i < s->n; i++) {
		for (unsigned int off = 0; off < s->part[i].len;) {
			unsigned int n = span_chunk(s->part[i].len - off);
			uint64_t v = 0;

			if (s->part[i].p != NULL)
				v = host_ld(s->part[i].p + off, n);
			else
				mem_mmio(c, false, s->part[i].gpa + off, n, &v);
			host_st(dst, n, v);
			dst += n;
			off += n;
		}
	}
}

static void
span_write(struct soft_cpu *c, const struct span *s, const uint8_t *src)
{
	for (unsigned int i = 0; i < s->n; i++) {
		uint8_t *p = s->part[i].p;

		for (unsigned int off = 0; off < s->part[i].len;) {
			unsigned int n = span_chunk(s->part[i].len - off);
			uint64_t v = host_ld(src, n);

			if (p != NULL)
				host_st(p + off, n, v);
			else
				mem_mmio(c, true, s->part[i].gpa + off, n, &v);
			src += n;
			off += n;
		}
		if (p != NULL)
			smc_wrote(c->vm, c, (uint64_t)(p - c->ram->base),
			    s->part[i].len);
	}
}

/* --- #AC and data breakpoints
 * ---------------------------------------------------- */

/* SDM 3A table 6-7, as a mask of address bits that must be zero. */
static unsigned int
mem_align_mask(unsigned int len)
{
	if ((len & (len - 1)) == 0)
		return len - 1;
	if (len == 10)
		return 7;			   /* 80-bit real */
	return (len & 3) == 2 && len != 6 ? 1 : 3; /* far pointers, FP state */
}

static bool
mem_align_checked(const struct soft_cpu *c)
{
	return c->cpl == 3 && (c->cr0 & CR0_AM) != 0 &&
	       (c->rflags & FL_AC) != 0;
}

static bool
mem_align_ok(const struct soft_cpu *c, uint64_t la, unsigned int len)
{
	return !mem_align_checked(c) || (la & mem_align_mask(len)) == 0;
}

/* DR6 bits of the enabled data breakpoints an access touches (SDM 3B 17.2.5).
 */
static uint64_t
mem_watched(
    const struct soft_cpu *c, uint64_t la, unsigned int len, unsigned int acc)
{
	static const uint8_t dr_len[4] = { 1, 2, 8, 4 };
	uint64_t hits = 0;

	for (unsigned int n = 0; n < 4; n++) {
		unsigned int ctl = (c->dr7 >> (16 + 4 * n)) & 15, l;

		if (((c->dr7 >> (2 * n)) & 3) == 0)
			continue;
		if ((ctl & 3) != 3 && ((ctl & 3) != 1 || (acc & ACC_W) == 0))
			continue;
		l = dr_len[ctl >> 2];
		if (ranges_overlap(c->dr[n] & ~(uint64_t)(l - 1), l, la, len))
			hits |= BIT64(n);
	}
	return hits;
}

/* Before the bytes move: #AC, then remember breakpoints for the trap. */
static bool
mem_check(struct soft_cpu *c, uint64_t la, unsigned int len, unsigned int acc)
{
	if (!mem_checked(c))
		return true;
	if (!mem_align_ok(c, la, len))
		return cpu_raise_err(c, EXC_AC, 0);
	c->db_pending |= mem_watched(c, la, len, acc);
	if (unlikely(c->dbg_ndata != 0))
		cpu_debug_access(c, la, len, acc);
	return true;
}

/* --- slow paths by value
 * ----------------------------------------------------------- */

/*
 * acc tells how the access is judged: a read-modify-write's load is a write to
 * paging but a read to breakpoints.
 */
static bool __attribute__((noinline)) mem_read_odd(
    struct soft_cpu *c, uint64_t la, unsigned int size, unsigned int acc)
{
	struct span s;

	if (!span_map(c, &s, la, size, acc, c->real_view) ||
	    !mem_check(c, la, size, ACC_R))
		return false;
	c->mem_val = 0;
	span_read(c, &s, (uint8_t *)&c->mem_val);
	return true;
}

static bool __attribute__((noinline))
mem_write_odd(struct soft_cpu *c, uint64_t la, unsigned int size, uint64_t val)
{
	struct span s;

	if (!span_map(c, &s, la, size, ACC_W, c->real_view) ||
	    !mem_check(c, la, size, ACC_W))
		return false;
	span_write(c, &s, (const uint8_t *)&val);
	return true;
}

static bool __attribute__((noinline))
mem_read_mmio(struct soft_cpu *c, uint64_t gpa, unsigned int size)
{
	c->mem_val = 0;
	mem_mmio(c, false, gpa, size, &c->mem_val);
	return true;
}

static bool __attribute__((noinline)) mem_write_mmio(
    struct soft_cpu *c, uint64_t gpa, unsigned int size, uint64_t val)
{
	mem_mmio(c, true, gpa, size, &val);
	return true;
}

static inline __attribute__((always_inline)) bool
mem_read_as(
    struct soft_cpu *c, uint64_t la, unsigned int size, unsigned int acc)
{
	const struct tlb_entry *e;

	la = mem_wrap(c, la);
	if (unlikely(mem_crosses(la, size) || mem_checked(c)))
		return mem_read_odd(c, la, size, acc);
	e = mmu_entry(c, la, acc, c->real_view);
	if (unlikely(e == NULL))
		return false;
	if (unlikely((e->rtag & TAG_MMIO) != 0))
		return mem_read_mmio(c, mem_entry_gpa(e, la), size);
	c->mem_val = host_ld((const void *)(la + e->addend), size);
	return true;
}

bool
mem_read_slow(struct soft_cpu *c, uint64_t la, unsigned int size)
{
	return mem_read_as(c, la, size, ACC_R);
}

bool
mem_read_rmw_slow(struct soft_cpu *c, uint64_t la, unsigned int size)
{
	return mem_read_as(c, la, size, ACC_W);
}

bool
mem_write_slow(struct soft_cpu *c, uint64_t la, unsigned int size, uint64_t val)
{
	struct tlb_entry *e;

	la = mem_wrap(c, la);
	if (unlikely(mem_crosses(la, size) || mem_checked(c)))
		return mem_write_odd(c, la, size, val);
	e = mmu_entry(c, la, ACC_W, c->real_view);
	if (unlikely(e == NULL))
		return false;
	if (likely(e->wtag == (la & PAGE_MASK_))) {
		host_st((void *)(la + e->addend), size, val);
		return true;
	}
	if ((e->rtag & TAG_MMIO) != 0)
		return mem_write_mmio(c, mem_entry_gpa(e, la), size, val);
	mem_store_untagged(c, e, la, size, val);
	return true;
}

bool
mem_read_buf(struct soft_cpu *c, uint64_t la, void *dst, unsigned int len)
{
	struct span s;

	la = mem_wrap(c, la);
	if (!span_map(c, &s, la, len, ACC_R, c->real_view) ||
	    !mem_check(c, la, len, ACC_R))
		return false;
	span_read(c, &s, dst);
	return true;
}

bool
mem_write_buf(
    struct soft_cpu *c, uint64_t la, const void *src, unsigned int len)
{
	struct span s;

	la = mem_wrap(c, la);
	if (!span_map(c, &s, la, len, ACC_W, c->real_view) ||
	    !mem_check(c, la, len, ACC_W))
		return false;
	span_write(c, &s, src);
	return true;
}

bool
mem_probe_write(struct soft_cpu *c, uint64_t la, unsigned int len)
{
	struct span s;

	while (len > 0) {
		unsigned int n = MIN(len, 0x1000u);

		if (!span_map(c, &s, mem_wrap(c, la), n, ACC_W, c->real_view))
			return false;
		la += n;
		len -= n;
	}
	return true;
}

/* --- host pointers
 * ------------------------------------------------------------------- */

/*
 * May an access that needs checks still go through a pointer?  A locked one
 * (ACC_RW) must, or it would not be atomic; bulk ones must not when they touch
 * a breakpoint, whose trap belongs after one element.  What misaligns goes by
 * value, where the element size is known.
 */
static bool
mem_ptr_allowed(
    struct soft_cpu *c, uint64_t la, unsigned int len, unsigned int acc)
{
	uint64_t hits;

	if (mem_align_checked(c) &&
	    (len > 16 || (la & mem_align_mask(len)) != 0))
		return false;
	hits = mem_watched(c, la, len, acc);
	if ((hits != 0 || cpu_debug_watches(c, la, len)) && acc != ACC_RW)
		return false;
	if (unlikely(c->dbg_ndata != 0))
		cpu_debug_access(c, la, len, acc);
	c->db_pending |= hits;
	return true;
}

/* Note a writable pointer for mem_wrote(), and arm the tag it could use. */
static inline void
mem_ptr_given(
    struct soft_cpu *c, struct tlb_entry *e, uint64_t la, uint64_t off)
{
	unsigned int n = c->hostw_next & 1;

	c->hostw_page[n] = la & PAGE_MASK_;
	c->hostw_off[n] = off & PAGE_MASK_;
	c->hostw_next = (uint8_t)(n ^ 1);
	if (e->wtag == TLB_NONE && !smcp_is_code(smc_page(c->vm, off)))
		e->wtag = la & PAGE_MASK_;
}

void *
mem_host_ptr(
    struct soft_cpu *c, uint64_t la, unsigned int len, unsigned int acc)
{
	struct tlb_entry *e;
	uint8_t *p;

	la = mem_wrap(c, la);
	if (unlikely(mem_crosses(la, len)))
		return NULL;
	e = mmu_entry(c, la, (acc & ACC_W) != 0 ? ACC_W : ACC_R, c->real_view);
	if (unlikely(e == NULL || (e->rtag & TAG_MMIO) != 0))
		return NULL;
	if (unlikely(mem_checked(c)) && !mem_ptr_allowed(c, la, len, acc))
		return NULL;
	p = (uint8_t *)(la + e->addend);
	if ((acc & ACC_W) != 0)
		mem_ptr_given(c, e, la, (uint64_t)(p - c->ram->base));
	return p;
}

void
mem_wrote(struct soft_cpu *c, uint64_t la, unsigned int len)
{
	/* The newest first: a page may have been remapped since the other. */
	unsigned int n = (c->hostw_next & 1) ^ 1;
	uint64_t off;

	la = mem_wrap(c, la);
	if (c->hostw_page[n] != (la & PAGE_MASK_))
		n ^= 1;
	off = c->hostw_off[n] | (la & 0xfff);
	if (unlikely(smcp_is_code(smc_page(c->vm, off))))
		smc_wrote(c->vm, c, off, len);
}

/* --- the CPU's own accesses
 * ------------------------------------------------------------ */

/*
 * Implicit supervisor accesses: SMAP applies whatever RFLAGS.AC says
 * (SDM 4.6.1).
 */
static inline unsigned int
sys_view(const struct soft_cpu *c)
{
	return (c->cr4 & CR4_SMAP) != 0 ? VIEW_KERN_SMAP : VIEW_KERN;
}

bool
sys_read(struct soft_cpu *c, uint64_t la, unsigned int size)
{
	const unsigned int view = sys_view(c);
	const struct tlb_entry *e;
	struct span s;

	la = sys_wrap(c, la);
	e = tlb_entry_of(c, view, la);
	if (likely(((la + size - 1) & PAGE_MASK_) == e->rtag)) {
		c->mem_val = host_ld((const void *)(la + e->addend), size);
		return true;
	}
	if (!span_map(c, &s, la, size, ACC_R | ACC_SYS, view))
		return false;
	c->mem_val = 0;
	span_read(c, &s, (uint8_t *)&c->mem_val);
	return true;
}

bool
sys_write(struct soft_cpu *c, uint64_t la, unsigned int size, uint64_t val)
{
	const unsigned int view = sys_view(c);
	const struct tlb_entry *e;
	struct span s;

	la = sys_wrap(c, la);
	e = tlb_entry_of(c, view, la);
	if (likely(((la + size - 1) & PAGE_MASK_) == e->wtag)) {
		host_st((void *)(la + e->addend), size, val);
		return true;
	}
	if (!span_map(c, &s, la, size, ACC_W | ACC_SYS, view))
		return false;
	span_write(c, &s, (const uint8_t *)&val);
	return true;
}
