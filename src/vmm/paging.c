/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * paging.c - a guest's linear addresses for libvmmapi: the walk of its page
 * tables as the processor does it (SDM 3A chapter 4), and copying by linear
 * address.
 *
 * Independent of the engine: reads tables from RAM and sets accessed and dirty
 * bits there.  Missing on purpose: SMEP, SMAP, protection keys, 5-level paging,
 * reserved bits; engines have them for the guest's own accesses.  Runs in the
 * vCPU's thread, or while it does not run.
 */
#include "vm_priv.h"

#include <errno.h>
#include <sys/mman.h>

#define CR0_PE	  BIT64(0)
#define CR0_WP	  BIT64(16)
#define CR0_PG	  BIT64(31)
#define CR4_PSE	  BIT64(4)
#define CR4_PAE	  BIT64(5)
#define EFER_LMA  BIT64(10)
#define EFER_NXE  BIT64(11)
#define RFLAGS_VM BIT64(17)

#define PTE_P	  BIT64(0)
#define PTE_RW	  BIT64(1)
#define PTE_US	  BIT64(2)
#define PTE_A	  BIT64(5)
#define PTE_D	  BIT64(6)
#define PTE_PS	  BIT64(7)
#define PTE_NX	  BIT64(63)
#define PTE_ADDR  0x000ffffffffff000ull

/* Error code of #PF (SDM 3A figure 4-12). */
#define PF_P	   1u
#define PF_W	   2u
#define PF_U	   4u
#define PF_I	   16u

#define PAGE_SHIFT 12
#define PAGE_BYTES 4096u
#define LEVELS_MAX 4

/* What the walk needs of the processor. */
struct walk {
	struct vmctx *ctx;
	uint64_t cr0, cr4, efer;
	bool write, exec, user;
};

/* The shape of each paging mode; index 0 is nearest to the page. */
static const struct paging_shape {
	unsigned int levels;
	unsigned int bits; /* of a linear address, each level */
	unsigned int entry_bytes;
	unsigned int large; /* the highest level with PS, from 0 */
} shape_table[] = {
	[PAGING_MODE_32] = { 2, 10, 4, 1 },
	[PAGING_MODE_PAE] = { 3, 9, 8, 1 },
	[PAGING_MODE_64] = { 4, 9, 8, 2 },
};

/* --- the present state --------------------------------------------------- */

static enum vm_cpu_mode
cpu_mode(const uint64_t cr0, uint64_t rflags, uint64_t efer, uint32_t cs)
{
	if ((efer & EFER_LMA) != 0)
		return SEG_DESC_L(cs) ? CPU_MODE_64BIT : CPU_MODE_COMPATIBILITY;
	if ((cr0 & CR0_PE) == 0 || (rflags & RFLAGS_VM) != 0)
		return CPU_MODE_REAL;
	return CPU_MODE_PROTECTED;
}

static enum vm_paging_mode
paging_mode(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	if ((cr0 & CR0_PG) == 0)
		return PAGING_MODE_FLAT;
	if ((cr4 & CR4_PAE) == 0)
		return PAGING_MODE_32;
	return (efer & EFER_LMA) != 0 ? PAGING_MODE_64 : PAGING_MODE_PAE;
}

int
vm_get_guest_paging(struct vcpu *vcpu, struct vm_guest_paging *ret)
{
	static const int regs[] = { VM_REG_GUEST_CR0, VM_REG_GUEST_CR3,
		VM_REG_GUEST_CR4, VM_REG_GUEST_EFER, VM_REG_GUEST_RFLAGS };
	uint64_t val[ARRAY_LEN(regs)];
	struct seg_desc cs, ss;

	if (vm_get_register_set(vcpu, ARRAY_LEN(regs), regs, val) != 0 ||
	    vm_get_seg_desc(vcpu, VM_REG_GUEST_CS, &cs) != 0 ||
	    vm_get_seg_desc(vcpu, VM_REG_GUEST_SS, &ss) != 0)
		return -1;
	ret->cr3 = val[1];
	ret->cpu_mode = cpu_mode(val[0], val[4], val[3], cs.access);
	ret->paging_mode = paging_mode(val[0], val[2], val[3]);
	ret->cpl = (val[0] & CR0_PE) == 0      ? 0
		   : (val[4] & RFLAGS_VM) != 0 ? 3
					       : (int)SEG_DESC_DPL(ss.access);
	return 0;
}

/* --- the walk ------------------------------------------------------------ */

/* Whole, as the processor reads it: another vCPU may be writing it. */
static bool
entry_read(const struct walk *w, const struct paging_shape *s, uint64_t at,
    uint64_t *ret_pte)
{
	const struct vm_ram *ram = vm_ram(w->ctx);
	uint64_t off = vm_ram_offset(ram, at);
	const void *p;

	if (off == UINT64_MAX)
		return false;
	p = ram->base + off;
	*ret_pte = s->entry_bytes == 4
		       ? __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED)
		       : __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED);
	return true;
}

/*
 * Sets bits as the processor does, atomically: other vCPUs may be changing the
 * entry.  False: it changed, walk again.
 */
static bool
entry_mark(const struct walk *w, const struct paging_shape *s, uint64_t at,
    uint64_t pte, uint64_t bits)
{
	const struct vm_ram *ram = vm_ram(w->ctx);
	void *p;
	bool same;

	if ((pte & bits) == bits)
		return true;
	p = ram->base + vm_ram_offset(ram, at); /* entry_read() was there */
	if (s->entry_bytes == 4) {
		uint32_t old = (uint32_t)pte;

		same = __atomic_compare_exchange_n((uint32_t *)p, &old,
		    old | (uint32_t)bits, false, __ATOMIC_SEQ_CST,
		    __ATOMIC_SEQ_CST);
	} else {
		same = __atomic_compare_exchange_n((uint64_t *)p, &pte,
		    pte | bits, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	if (same)
		vm_mem_written(w->ctx, at, s->entry_bytes);
	return same;
}

/* The rights along the way, and'ed; PTE_NX set: somewhere. */
static bool
rights_allow(const struct walk *w, uint64_t rights)
{
	if (w->user && (rights & PTE_US) == 0)
		return false;
	if (w->exec && (w->efer & EFER_NXE) != 0 && (rights & PTE_NX) != 0)
		return false;
	if (!w->write || (rights & PTE_RW) != 0)
		return true;
	return !w->user && (w->cr0 & CR0_WP) == 0;
}

static bool
is_page(const struct walk *w, const struct paging_shape *s, unsigned int level,
    uint64_t pte)
{
	if (level == 0)
		return true;
	if (level > s->large || (pte & PTE_PS) == 0)
		return false;
	return s->entry_bytes == 8 || (w->cr4 & CR4_PSE) != 0;
}

static uint64_t
page_address(const struct paging_shape *s, uint64_t pte, uint64_t gla,
    unsigned int shift)
{
	uint64_t inside = gla & ((1ull << shift) - 1);
	uint64_t base = pte & PTE_ADDR;

	/* PSE-36 (SDM 3A table 4-4): bits 39:32 of a 4 MiB page. */
	if (s->entry_bytes == 4 && shift > PAGE_SHIFT)
		base = (pte & 0xffc00000u) | (pte >> 13 & 0xff) << 32;
	return (base & ~((1ull << shift) - 1)) | inside;
}

enum walk_result { WALK_OK, WALK_NOT_PRESENT, WALK_DENIED, WALK_AGAIN };

/* A PAE root has four entries of which only P and the address count. */
static bool
is_pae_root(const struct paging_shape *s, unsigned int level)
{
	return s->levels == 3 && level == 2;
}

static enum walk_result
walk_once(const struct walk *w, const struct paging_shape *s, uint64_t cr3,
    uint64_t gla, uint64_t *ret_gpa)
{
	uint64_t table = s->levels == 3 ? cr3 & 0xffffffe0u : cr3 & PTE_ADDR;
	uint64_t rights = PTE_RW | PTE_US;
	uint64_t at[LEVELS_MAX], pte[LEVELS_MAX];
	unsigned int level = s->levels, shift;

	do {
		level--;
		shift = PAGE_SHIFT + level * s->bits;
		at[level] = table + (gla >> shift & ((1u << s->bits) - 1)) *
					s->entry_bytes;
		if (!entry_read(w, s, at[level], &pte[level]) ||
		    (pte[level] & PTE_P) == 0)
			return WALK_NOT_PRESENT;
		if (!is_pae_root(s, level))
			rights = (rights & (pte[level] | PTE_NX)) |
				 (pte[level] & PTE_NX);
		table = pte[level] & PTE_ADDR;
	} while (!is_page(w, s, level, pte[level]));
	if (!rights_allow(w, rights))
		return WALK_DENIED;
	for (unsigned int n = s->levels; n-- > level;) {
		uint64_t bits = PTE_A | (n == level && w->write ? PTE_D : 0);

		if (!is_pae_root(s, n) &&
		    !entry_mark(w, s, at[n], pte[n], bits))
			return WALK_AGAIN;
	}
	*ret_gpa = page_address(s, pte[level], gla, shift);
	return WALK_OK;
}

static uint32_t
fault_code(const struct walk *w, enum walk_result r)
{
	bool exec = w->exec && (w->efer & EFER_NXE) != 0;

	return (r == WALK_DENIED ? PF_P : 0) | (w->write ? PF_W : 0) |
	       (w->user ? PF_U : 0) | (exec ? PF_I : 0);
}

/* Tables a guest rewrites all the time are not worth more attempts. */
#define WALK_ATTEMPTS 100

static int
walk(struct vcpu *vcpu, const struct walk *w, const struct vm_guest_paging *pg,
    uint64_t gla, uint64_t *ret_gpa, int *ret_fault)
{
	enum walk_result r = WALK_AGAIN;

	for (int i = 0; i < WALK_ATTEMPTS && r == WALK_AGAIN; i++)
		r = walk_once(
		    w, &shape_table[pg->paging_mode], pg->cr3, gla, ret_gpa);
	if (r == WALK_OK)
		return 0;
	if (r == WALK_AGAIN)
		return vm_api_result(-EAGAIN);
	if (vm_inject_pf(vcpu, fault_code(w, r), gla) != 0)
		return -1;
	*ret_fault = 1;
	return 0;
}

static bool
paging_ok(const struct vm_guest_paging *pg)
{
	return (unsigned int)pg->paging_mode < ARRAY_LEN(shape_table) &&
	       pg->cpl >= 0 && pg->cpl <= 3;
}

int
vm_gla2gpa(struct vcpu *vcpu, const struct vm_guest_paging *pg, uint64_t gla,
    int prot, uint64_t *ret_gpa, int *ret_fault)
{
	struct walk w = {
		.ctx = vcpu->ctx,
		.write = (prot & PROT_WRITE) != 0,
		.exec = (prot & PROT_EXEC) != 0,
		.user = pg->cpl == 3,
	};

	*ret_fault = 0;
	if (!paging_ok(pg))
		return vm_api_result(-EINVAL);
	if (pg->paging_mode != PAGING_MODE_64)
		gla &= UINT32_MAX;
	if (pg->paging_mode == PAGING_MODE_FLAT) {
		*ret_gpa = gla;
		return 0;
	}
	if (vm_get_register(vcpu, VM_REG_GUEST_CR0, &w.cr0) != 0 ||
	    vm_get_register(vcpu, VM_REG_GUEST_CR4, &w.cr4) != 0 ||
	    vm_get_register(vcpu, VM_REG_GUEST_EFER, &w.efer) != 0)
		return -1;
	return walk(vcpu, &w, pg, gla, ret_gpa, ret_fault);
}

/* --- copying ------------------------------------------------------------- */

int
vm_copy_setup(struct vcpu *vcpu, const struct vm_guest_paging *pg, uint64_t gla,
    size_t len, int prot, struct iovec *iov, int iovcnt, int *ret_fault)
{
	int n = 0;

	*ret_fault = 0;
	for (int i = 0; i < iovcnt; i++)
		iov[i] = (struct iovec){ NULL, 0 };
	while (len > 0) {
		size_t part = MIN(len, PAGE_BYTES - gla % PAGE_BYTES);
		uint64_t gpa;

		if (n >= iovcnt)
			return vm_api_result(-EFAULT);
		if (vm_gla2gpa(vcpu, pg, gla, prot, &gpa, ret_fault) != 0)
			return -1;
		if (*ret_fault != 0)
			return 0;
		iov[n].iov_base = vm_map_gpa(vcpu->ctx, gpa, part);
		if (iov[n].iov_base == NULL)
			return vm_api_result(-EFAULT);
		iov[n++].iov_len = part;
		gla += part;
		len -= part;
	}
	return 0;
}

void
vm_copyin(struct vcpu *vcpu, const struct iovec *guest_iov, void *host_dst,
    size_t len)
{
	uint8_t *dst = host_dst;

	for (; len > 0 && guest_iov->iov_len > 0; guest_iov++) {
		size_t part = MIN(len, guest_iov->iov_len);

		memcpy(dst, guest_iov->iov_base, part);
		dst += part;
		len -= part;
	}
}

void
vm_copyout(struct vcpu *vcpu, const void *host_src,
    const struct iovec *guest_iov, size_t len)
{
	const struct vm_ram *ram = vm_ram(vcpu->ctx);
	const uint8_t *src = host_src;

	for (; len > 0 && guest_iov->iov_len > 0; guest_iov++) {
		size_t part = MIN(len, guest_iov->iov_len);
		uint8_t *dst = guest_iov->iov_base;

		memcpy(dst, src, part);
		vm_mem_written(vcpu->ctx,
		    vm_ram_gpa(ram, (uint64_t)(dst - ram->base)), part);
		src += part;
		len -= part;
	}
}

/* Nothing is held meanwhile; the entries are of no use afterwards. */
void
vm_copy_teardown(struct vcpu *vcpu, struct iovec *iov, int iovcnt)
{
	for (int i = 0; i < iovcnt; i++)
		iov[i] = (struct iovec){ NULL, 0 };
}
