/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_soft_mmu.c - page walker, TLB, slow accesses and address checks.
 *
 * The walker is compared with ref_walk(), which is written from SDM 3A chapter
 * 4 rule by rule, over all combinations of the interesting entry bits at two
 * levels and all control bits, then over random entries in every paging mode.
 */
#include "fake_soft.h"
#include "mmu.h"
#include "mmu_priv.h"
#include "smc.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define P	 0x001ull
#define W	 0x002ull
#define U	 0x004ull
#define A	 0x020ull
#define D	 0x040ull
#define PS	 0x080ull
#define G	 0x100ull
#define NX	 (1ull << 63)

#define RAM_SIZE (3ull << 30)
/* Aligned so that each also serves as a large page's address. */
#define PML4_AT	 0x00004000ull
#define PDPT_AT	 0x00005000ull
#define PD_AT	 0x40000000ull
#define PT_AT	 0x00400000ull
#define DATA_AT	 0x00007000ull
#define DATA2_AT 0x00009000ull
#define MMIO_AT	 0xfee00000ull

#define LA64	 0x0000123456789abcull

struct env {
	struct soft_vm *vm;
	struct soft_cpu *c;
};

static int
env_setup(void **state)
{
	struct env *v = calloc(1, sizeof(*v));

	v->vm = fake_vm_create(RAM_SIZE);
	v->c = fake_cpu_create(v->vm, 0);
	*state = v;
	return 0;
}

static int
env_teardown(void **state)
{
	struct env *v = *state;

	fake_vm_destroy(v->vm);
	free(v);
	return 0;
}

static uint8_t *
ram(struct soft_cpu *c, uint64_t gpa)
{
	return c->ram->base + gpa;
}

static uint64_t *
ram64(struct soft_cpu *c, uint64_t gpa)
{
	return (uint64_t *)ram(c, gpa);
}

static uint32_t *
ram32(struct soft_cpu *c, uint64_t gpa)
{
	return (uint32_t *)ram(c, gpa);
}

static void
no_exc(struct soft_cpu *c)
{
	c->exc = (struct soft_exc){ .pending = false };
}

/* The recorded exception is this one; forget it. */
#define assert_exc(c, vec, error)                                              \
	do {                                                                   \
		assert_true((c)->exc.pending);                                 \
		assert_int_equal((c)->exc.vector, (vec));                      \
		assert_true((c)->exc.has_err);                                 \
		assert_int_equal((c)->exc.err, (error));                       \
		no_exc(c);                                                     \
	} while (0)
#define assert_pf(c, la, error)                                                \
	do {                                                                   \
		assert_int_equal((c)->exc.cr2, (la));                          \
		assert_exc(c, EXC_PF, error);                                  \
	} while (0)

/* --- the reference
 * ------------------------------------------------------------- */

enum paging { P32, PPAE, P4 };

struct ref {
	enum paging mode;
	int top;	 /* levels that have entries here: 2 or 4 */
	uint64_t e[5];	 /* entry at level n, 1 is the page table */
	uint64_t out[5]; /* expected afterwards */
	bool fault;
	uint32_t err;
	uint64_t gpa;
	bool user_page, global;
};

static uint64_t
bits(int hi, int lo)
{
	return ((2ull << (hi - lo)) - 1) << lo;
}

static bool
ref_leaf(const struct soft_cpu *c, const struct ref *r, int level)
{
	if (level == 1)
		return true;
	if ((r->e[level] & PS) == 0 || level == 4)
		return false;
	return r->mode != P32 || (c->cr4 & CR4_PSE) != 0;
}

static bool
ref_reserved(const struct soft_cpu *c, const struct ref *r, int level)
{
	uint64_t e = r->e[level], m = 0;

	switch (r->mode) {
	case P32:
		if (level == 2 && ref_leaf(c, r, 2))
			m = bits(21, 21);
		return (e & m) != 0;
	case PPAE:
		m = bits(62, 40);
		break;
	case P4:
		m = bits(51, 40);
		if (level == 4)
			m |= PS | bits(8, 8);
		break;
	}
	if ((c->efer & EFER_NXE) == 0)
		m |= NX;
	if (level == 3 && ref_leaf(c, r, 3))
		m |= bits(29, 13);
	if (level == 2 && ref_leaf(c, r, 2))
		m |= bits(20, 13);
	return (e & m) != 0;
}

static uint64_t
ref_gpa(const struct ref *r, int level, uint64_t la)
{
	uint64_t e = r->e[level];

	if (r->mode == P32) {
		if (level == 2)
			return (e & bits(31, 22)) |
			       ((e & bits(20, 13)) >> 13) << 32 |
			       (la & bits(21, 0));
		return (e & bits(31, 12)) | (la & 0xfff);
	}
	switch (level) {
	case 3:
		return (e & bits(51, 30)) | (la & bits(29, 0));
	case 2:
		return (e & bits(51, 21)) | (la & bits(20, 0));
	default:
		return (e & bits(51, 12)) | (la & 0xfff);
	}
}

static void
ref_walk(const struct soft_cpu *c, struct ref *r, uint64_t la, unsigned int acc)
{
	const bool user = c->cpl == 3, wr = acc == ACC_W, fetch = acc == ACC_X;
	bool can_w = true, can_u = true, nx = false, ok;
	int level;

	memcpy(r->out, r->e, sizeof(r->out));
	r->fault = true;
	r->err = (wr ? 2 : 0) | (user ? 4 : 0);
	if (fetch && ((c->cr4 & CR4_SMEP) != 0 ||
			 (r->mode != P32 && (c->efer & EFER_NXE) != 0)))
		r->err |= 16;
	for (level = r->top;; level--) {
		uint64_t e = r->e[level];

		if ((e & P) == 0)
			return;
		if (ref_reserved(c, r, level)) {
			r->err |= 1 | 8;
			return;
		}
		can_w = can_w && (e & W) != 0;
		can_u = can_u && (e & U) != 0;
		nx = nx || (r->mode != P32 && (e & NX) != 0);
		if (ref_leaf(c, r, level))
			break;
		r->out[level] |= A;
	}
	r->err |= 1;
	if (user) {
		ok = can_u && (!wr || can_w) && (!fetch || !nx);
	} else if (fetch) {
		ok = !nx && !(can_u && (c->cr4 & CR4_SMEP) != 0);
	} else {
		ok = !wr || can_w || (c->cr0 & CR0_WP) == 0;
		if (can_u && (c->cr4 & CR4_SMAP) != 0 &&
		    (c->rflags & FL_AC) == 0)
			ok = false;
	}
	if (!ok)
		return;
	r->fault = false;
	r->out[level] |= wr ? A | D : A;
	r->gpa = ref_gpa(r, level, la);
	r->global = (r->e[level] & G) != 0 && (c->cr4 & CR4_PGE) != 0;
}

/* --- putting entries into guest memory
 * ---------------------------------------------- */

static const uint64_t table_at[5] = { 0, PT_AT, PD_AT, PDPT_AT, PML4_AT };
static const uint64_t link_to[5] = { 0, DATA_AT, PT_AT, PD_AT, PDPT_AT };

static uint64_t
entry_gpa(enum paging mode, int level, uint64_t la)
{
	if (mode == P32)
		return table_at[level] +
		       4 * ((la >> (level == 2 ? 22 : 12)) & 0x3ff);
	return table_at[level] + 8 * ((la >> (12 + 9 * (level - 1))) & 0x1ff);
}

static uint64_t
entry_get(struct soft_cpu *c, const struct ref *r, int level, uint64_t la)
{
	uint64_t at = entry_gpa(r->mode, level, la);

	return r->mode == P32 ? *ram32(c, at) : *ram64(c, at);
}

static void
entry_put(struct soft_cpu *c, const struct ref *r, int level, uint64_t la)
{
	uint64_t at = entry_gpa(r->mode, level, la);

	if (r->mode == P32)
		*ram32(c, at) = (uint32_t)r->e[level];
	else
		*ram64(c, at) = r->e[level];
}

static void
paging_on(struct soft_cpu *c, enum paging mode)
{
	c->cr0 = CR0_PE | CR0_PG | CR0_WP;
	c->cr4 = mode == P32 ? CR4_PSE : CR4_PAE;
	c->efer = mode == P4 ? EFER_LMA | EFER_LME | EFER_NXE : EFER_NXE;
	c->cr3 = mode == P32 ? PD_AT : PML4_AT;
	for (int i = 0; i < 4; i++)
		c->pdpte[i] = PD_AT | P;
	fake_cpu_mode(c);
	tlb_flush_all(c);
}

/* Forget la without testing INVLPG, and cheaply. */
static void
forget(struct soft_cpu *c, uint64_t la)
{
	for (unsigned int v = 0; v < VIEW_COUNT; v++) {
		tlb_entry_of(c, v, la)->rtag = TLB_NONE;
		tlb_entry_of(c, v, la)->wtag = TLB_NONE;
	}
	c->itlb.e[(la >> 12) & (ITLB_ENTRIES - 1)].tag = 0;
}

static void
report(const struct soft_cpu *c, const struct ref *r, uint64_t la,
    unsigned int acc, uint64_t gpa)
{
	print_error("mode %d la %lx acc %u cpl %u cr0 %lx cr4 %lx efer %lx "
		    "rflags %x entries %lx %lx %lx %lx\n",
	    r->mode, la, acc, c->cpl, c->cr0, c->cr4, c->efer, c->rflags,
	    r->e[4], r->e[3], r->e[2], r->e[1]);
	print_error("expected fault %d err %x gpa %lx, got fault %d vector "
		    "%u err %x cr2 %lx gpa %lx\n",
	    r->fault, r->err, r->gpa, c->exc.pending, c->exc.vector, c->exc.err,
	    c->exc.cr2, gpa);
}

/* Write bits into tags only where they may be. */
static bool
tags_ok(struct soft_cpu *c, const struct ref *r, uint64_t la, unsigned int acc)
{
	const struct tlb_entry *e = tlb_entry_of(c, c->real_view, la);
	const uint64_t page = la & ~0xfffull;
	const bool is_ram = r->gpa < RAM_SIZE;

	if (acc == ACC_X)
		return true;
	if (is_ram != (e->rtag == page))
		return false;
	if (acc == ACC_W && is_ram != (e->wtag == page))
		return false;
	if (((e->gpa & TLBF_GLOBAL) != 0) != r->global)
		return false;
	return !is_ram || la + e->addend == (uintptr_t)ram(c, r->gpa);
}

static void
check_one(struct soft_cpu *c, struct ref *r, uint64_t la, unsigned int acc)
{
	uint64_t gpa = 0;
	bool ok, good;

	for (int l = 1; l <= r->top; l++)
		entry_put(c, r, l, la);
	forget(c, la);
	ref_walk(c, r, la, acc);
	ok = mmu_translate(c, la, acc, &gpa);
	good = ok == !r->fault && ok == !c->exc.pending;
	if (good && ok)
		good = gpa == r->gpa && tags_ok(c, r, la, acc);
	if (good && !ok)
		good = c->exc.vector == EXC_PF && c->exc.err == r->err &&
		       c->exc.cr2 == la;
	for (int l = 1; l <= r->top; l++)
		good = good && entry_get(c, r, l, la) == r->out[l];
	if (!good) {
		report(c, r, la, acc, gpa);
		fail();
	}
	no_exc(c);
}

static const unsigned int accs[3] = { ACC_R, ACC_W, ACC_X };

/* cfg: WP SMEP SMAP AC NXE CPL PGE PSE. */
#define CONFIG_PSE 0x80u
static void
set_config(struct soft_cpu *c, unsigned int cfg)
{
#define ONOFF(reg, bit, n)                                                     \
	((reg) = (cfg & (1u << (n))) != 0 ? (reg) | (bit) : (reg) & ~(bit))
	ONOFF(c->cr0, (uint64_t)CR0_WP, 0);
	ONOFF(c->cr4, (uint64_t)CR4_SMEP, 1);
	ONOFF(c->cr4, (uint64_t)CR4_SMAP, 2);
	ONOFF(c->rflags, FL_AC, 3);
	ONOFF(c->efer, (uint64_t)EFER_NXE, 4);
	ONOFF(c->cr4, (uint64_t)CR4_PGE, 6);
	ONOFF(c->cr4, (uint64_t)CR4_PSE, 7);
	c->cpl = (cfg & 32) != 0 ? 3 : 0;
	fake_cpu_mode(c);
}

/* Bits P W U A D PS NX and one reserved, from a byte. */
static uint64_t
entry_from(enum paging mode, unsigned int b)
{
	uint64_t e = (b & 1 ? P : 0) | (b & 2 ? W : 0) | (b & 4 ? U : 0) |
		     (b & 8 ? A : 0) | (b & 16 ? D : 0) | (b & 32 ? PS : 0);

	if (mode == P32) /* no NX; bit 21 is reserved in 4 MiB pages */
		return e | (b & 64 ? G : 0) | ((b & 160) == 160 ? BIT(21) : 0);
	return e | (b & 64 ? NX : 0) | (b & 128 ? 1ull << 45 : 0);
}

/* All pairs of entries at the two lowest levels under all control bits. */
static void
walk_pairs(struct soft_cpu *c, enum paging mode, unsigned int step)
{
	const uint64_t la = mode == P4 ? LA64 : (uint32_t)LA64;
	struct ref r = { .mode = mode, .top = mode == P4 ? 4 : 2 };
	unsigned int n = 0;

	paging_on(c, mode);
	r.e[4] = PDPT_AT | P | W | U;
	r.e[3] = PD_AT | P | W | U;
	for (unsigned int cfg = 0; cfg < 64; cfg++) {
		set_config(c, cfg | CONFIG_PSE);
		for (unsigned int i = n++ % step; i < 65536; i += step) {
			r.e[2] = PT_AT | entry_from(mode, i >> 8);
			r.e[1] = DATA_AT | entry_from(mode, i & 0xff);
			for (int a = 0; a < 3; a++)
				check_one(c, &r, la, accs[a]);
		}
	}
}

static void
test_walk_pairs_4level(void **state)
{
	walk_pairs(((struct env *)*state)->c, P4, 1);
}

static void
test_walk_pairs_pae(void **state)
{
	walk_pairs(((struct env *)*state)->c, PPAE, 3);
}

static void
test_walk_pairs_32bit(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;

	walk_pairs(c, P32, 3);
}

static uint64_t rng_state = 0x9e3779b97f4a7c15ull;

static uint64_t
rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

/* A mostly valid entry with a few bits flipped, of any kind. */
static uint64_t
entry_random(int level)
{
	uint64_t e = link_to[level] | P | W | U, x = rng();

	if (x & 1)
		return e | A | (x & 2 ? D | G : 0);
	e ^= rng() & rng() & rng() & (bits(11, 0) | NX);
	if ((x & 0xf0) == 0)
		e ^= 1ull << (12 + (x >> 32) % 51);
	return e;
}

static void
walk_random(struct soft_cpu *c, enum paging mode, unsigned int count)
{
	struct ref r = { .mode = mode, .top = mode == P4 ? 4 : 2 };

	paging_on(c, mode);
	for (unsigned int n = 0; n < count; n++) {
		uint64_t la = rng();
		bool in_place = true;

		la = mode == P4 ? (uint64_t)((int64_t)(la << 16) >> 16)
				: (uint32_t)la;
		if (n % 16 == 0)
			set_config(c, (unsigned int)rng() & 0xff);
		if (mode != P32)
			c->cr4 |= CR4_PAE;
		for (int l = 1; l <= r.top; l++) {
			r.e[l] = entry_random(l);
			if (mode == P32)
				r.e[l] = (uint32_t)r.e[l];
			/* The next table must be where entry_put() put it. */
			if (l > 1 && !ref_leaf(c, &r, l) && (r.e[l] & P) != 0 &&
			    !ref_reserved(c, &r, l) &&
			    ((r.e[l] ^ link_to[l]) & bits(51, 12)) != 0)
				in_place = false;
		}
		if (in_place)
			check_one(c, &r, la, accs[n % 3]);
	}
}

static void
test_walk_random(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;

	walk_random(c, P4, 2000000);
	walk_random(c, PPAE, 1000000);
	walk_random(c, P32, 1000000);
}

/* Tables outside RAM read as ones: reserved bits, not a host fault. */
static void
test_walk_tables_not_in_ram(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;
	uint64_t gpa;

	paging_on(c, P4);
	c->cr3 = 0xd0000000;
	assert_false(mmu_translate(c, LA64, ACC_R, &gpa));
	assert_pf(c, LA64, PF_P | PF_RSVD);
	c->cr3 = 0xfffffffffull << 12;
	assert_false(mmu_translate(c, LA64, ACC_W, &gpa));
	assert_pf(c, LA64, PF_P | PF_W | PF_RSVD);
	assert_false(mmu_translate_debug(c, LA64, &gpa));
	assert_false(c->exc.pending);
}

static void
test_pdptes(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;
	const uint64_t at = 0x8020;
	uint64_t gpa;

	paging_on(c, PPAE);
	for (int i = 0; i < 4; i++)
		ram64(c, at)[i] =
		    (0x10000ull + 0x1000 * (uint64_t)i) | P | 0xe18;
	ram64(c, at)[2] = 0xfff0000000000ffeull; /* not present: no checks */
	assert_true(mmu_load_pdptes(c, at | 0x1f));
	assert_int_equal(c->pdpte[3], 0x13e19);
	assert_false(mmu_translate(c, 0x80000000, ACC_R, &gpa));
	assert_pf(c, 0x80000000, 0);
	for (int b = 0; b < 64; b++) {
		const uint64_t bad = 0x1e6ull | bits(63, 40);

		ram64(c, at)[1] = 0x11000 | P | 1ull << b;
		if ((bad & 1ull << b) == 0) {
			assert_true(mmu_load_pdptes(c, at));
			continue;
		}
		assert_false(mmu_load_pdptes(c, at));
		assert_exc(c, EXC_GP, 0);
	}
	assert_int_equal(c->pdpte[1], 0x11000 | P | 1ull << 39);
	assert_false(mmu_load_pdptes(c, 0xfee00000));
	assert_exc(c, EXC_GP, 0);
}

/* --- a small address space for the access tests
 * -------------------------------------- */

/* Maps page n of a 2 MiB region at `la` (4-level, user, writable). */
static uint64_t *
map_page(struct soft_cpu *c, uint64_t la, uint64_t gpa, uint64_t fl)
{
	uint64_t *pte = ram64(c, entry_gpa(P4, 1, la));

	*ram64(c, entry_gpa(P4, 4, la)) = PDPT_AT | P | W | U;
	*ram64(c, entry_gpa(P4, 3, la)) = PD_AT | P | W | U;
	*ram64(c, entry_gpa(P4, 2, la)) = PT_AT | P | W | U;
	*pte = gpa | fl;
	return pte;
}

#define VA  0x0000000040010000ull
#define VA2 (VA + 0x1000)

static void
space(struct soft_cpu *c)
{
	no_exc(c);
	memset(ram(c, PML4_AT), 0, 0x2000);
	memset(ram(c, PD_AT), 0, 0x1000);
	memset(ram(c, PT_AT), 0, 0x1000);
	memset(ram(c, DATA_AT), 0x11, 0x1000);
	memset(ram(c, DATA2_AT), 0x22, 0x1000);
	c->dr7 = 0;
	c->cpl = 0;
	c->rflags = FL_ONE;
	c->acc_seg = SEG_DS;
	c->db_pending = 0;
	paging_on(c, P4);
	fake_bus.n = 0;
}

static void
test_dirty_upgrade(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;
	uint64_t *pte;

	space(c);
	pte = map_page(c, VA, DATA_AT, P | W | U);
	assert_true(mem_read_slow(c, VA + 8, 8));
	assert_int_equal(c->mem_val, 0x1111111111111111);
	assert_int_equal(*pte, DATA_AT | P | W | U | A);
	assert_non_null(tlb_read_ptr(c, VA + 8, 8));
	assert_null(tlb_write_ptr(c, VA + 8, 8));
	assert_true(mem_write_slow(c, VA + 8, 4, 0x1234567899999999));
	assert_int_equal(*pte, DATA_AT | P | W | U | A | D);
	assert_non_null(tlb_write_ptr(c, VA + 8, 8));
	assert_true(mem_read_slow(c, VA + 8, 8));
	assert_int_equal(c->mem_val, 0x1111111199999999);
	assert_null(tlb_write_ptr(c, VA + 0xffd, 4));
	assert_null(tlb_read_ptr(c, VA + 0xffd, 4));
}

static void
test_read_modify_write_faults_as_write(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;
	uint64_t *pte;

	space(c);
	c->cpl = 3;
	fake_cpu_mode(c);
	pte = map_page(c, VA, DATA_AT, P | U);
	assert_true(mem_read_slow(c, VA, 4));
	assert_false(mem_read_rmw_slow(c, VA, 4));
	assert_pf(c, VA, PF_P | PF_W | PF_U);
	*pte |= W; /* no INVLPG: a fault must not be spurious */
	assert_true(mem_read_rmw_slow(c, VA, 4));
	assert_int_equal(c->mem_val, 0x11111111);
	assert_int_equal(*pte & (A | D), A | D);
}

static void
test_views_are_separate(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;

	space(c);
	map_page(c, VA, DATA_AT, P | W);
	assert_true(mem_write_slow(c, VA, 8, 1));
	c->cpl = 3;
	fake_cpu_mode(c);
	assert_null(tlb_read_ptr(c, VA, 8));
	assert_false(mem_read_slow(c, VA, 8));
	assert_pf(c, VA, PF_P | PF_U);
	/* The CPU's own accesses do not care about CPL. */
	assert_true(sys_read(c, VA, 8));
	assert_int_equal(c->mem_val, 1);
}

static void
test_sys_access_smap(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;

	space(c);
	map_page(c, VA, DATA_AT, P | W | U);
	c->cr4 |= CR4_SMAP;
	c->rflags |= FL_AC;
	fake_cpu_mode(c);
	assert_true(mem_read_slow(c, VA, 8)); /* explicit, AC set */
	assert_false(sys_read(c, VA, 8));     /* implicit */
	assert_pf(c, VA, PF_P);
	assert_false(sys_write(c, VA, 8, 0));
	assert_pf(c, VA, PF_P | PF_W);
	c->rflags &= ~FL_AC;
	fake_cpu_mode(c);
	assert_false(mem_read_slow(c, VA, 8));
	assert_pf(c, VA, PF_P);
}

static void
test_flushes(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;
	uint64_t *g, *l, gen, gpa;

	space(c);
	c->cr4 |= CR4_PGE;
	g = map_page(c, VA, DATA_AT, P | W | U | G);
	l = map_page(c, VA2, DATA2_AT, P | W | U);
	assert_true(mem_write_slow(c, VA, 8, 0));
	assert_true(mem_write_slow(c, VA2, 8, 0));
	assert_true(mmu_translate(c, VA, ACC_X, &gpa));
	assert_true(mmu_translate(c, VA2, ACC_X, &gpa));
	*g = 0;
	*l = 0;
	assert_non_null(tlb_read_ptr(c, VA, 8));
	assert_non_null(tlb_read_ptr(c, VA2, 8));
	assert_true(mmu_translate(c, VA2 + 5, ACC_X, &gpa));
	assert_int_equal(gpa, DATA2_AT + 5);

	gen = c->jc_key;
	tlb_flush_nonglobal(c);
	assert_true(c->jc_key != gen);
	assert_non_null(tlb_write_ptr(c, VA, 8)); /* global: stays */
	assert_null(tlb_read_ptr(c, VA2, 8));
	assert_false(mem_read_slow(c, VA2, 8));
	assert_pf(c, VA2, 0);
	assert_true(mmu_translate(c, VA, ACC_X, &gpa));
	assert_false(mmu_translate(c, VA2, ACC_X, &gpa));
	assert_pf(c, VA2, PF_I);

	gen = c->jc_key;
	tlb_flush_page(c, VA + 0x123);
	assert_true(c->jc_key != gen);
	assert_null(tlb_read_ptr(c, VA, 8));
	assert_false(mem_read_slow(c, VA, 8));
	assert_pf(c, VA, 0);
	assert_false(mmu_translate(c, VA, ACC_X, &gpa));
	assert_pf(c, VA, PF_I);

	*g = DATA_AT | P | W | G;
	assert_true(mem_write_slow(c, VA, 8, 0));
	gen = c->jc_key;
	tlb_flush_all(c);
	assert_true(c->jc_key != gen);
	assert_null(tlb_read_ptr(c, VA, 8));
}

/* More non-global pages than the list of slots holds, in both kinds of view. */
static void
test_flush_overflow(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;

	for (unsigned int cpl = 0; cpl <= 3; cpl += 3) {
		space(c);
		c->cr4 |= CR4_PGE;
		c->cpl = (uint8_t)cpl;
		fake_cpu_mode(c);
		for (unsigned int n = 1; n <= 500; n += 71) {
			for (unsigned int i = 0; i < n; i++) {
				uint64_t la = 0x40000000 + i * 0x1000ull;

				map_page(c, la, 0x1000000 + i * 0x1000ull,
				    P | W | U | (i % 7 == 0 ? G : 0));
				assert_true(mem_write_slow(c, la, 4, i));
			}
			tlb_flush_nonglobal(c);
			for (unsigned int i = 0; i < n; i++) {
				uint64_t la = 0x40000000 + i * 0x1000ull;

				if (i % 7 != 0)
					assert_null(tlb_read_ptr(c, la, 4));
			}
		}
	}
}

/* INVLPG of one address drops all pieces of a large page. */
static void
test_invlpg_large(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;
	const uint64_t la2m = 0x40000000, la1g = 0x80000000;
	uint64_t *pde, *pdpte, gpa;

	space(c);
	map_page(c, la2m, 0, 0);
	pde = ram64(c, entry_gpa(P4, 2, la2m));
	*pde = 0x800000 | P | W | PS;
	pdpte = ram64(c, entry_gpa(P4, 3, la1g));
	*pdpte = 0x40000000 | P | W | PS;
	*ram64(c, 0x845678) = 42;
	assert_true(mem_read_slow(c, la2m + 0x45678, 8));
	assert_int_equal(c->mem_val, 42);
	assert_true(mem_write_slow(c, la2m + 0x1ff000, 8, 1));
	assert_int_equal(*pde, 0x800000 | P | W | PS | A | D);
	assert_true(mem_read_slow(c, la1g + 0x23456780, 8));
	assert_true(mmu_translate(c, la2m + 0x3000, ACC_X, &gpa));
	*pde = 0;
	*pdpte = 0;
	tlb_flush_page(c, la2m + 0x100000);
	assert_null(tlb_read_ptr(c, la2m + 0x45678, 8));
	assert_null(tlb_read_ptr(c, la2m + 0x1ff000, 8));
	assert_false(mmu_translate(c, la2m + 0x3000, ACC_X, &gpa));
	no_exc(c);
	assert_non_null(tlb_read_ptr(c, la1g + 0x23456780, 8));
	tlb_flush_page(c, la1g);
	assert_null(tlb_read_ptr(c, la1g + 0x23456780, 8));
}

/* Another CPU changes an entry while the walker sets A and D in it. */
struct flipper {
	uint64_t *pte;
	unsigned int count;
};

static void *
flip_avl(void *arg)
{
	struct flipper *f = arg;

	for (unsigned int i = 0; i < f->count; i++)
		__atomic_fetch_xor(f->pte, 0x200, __ATOMIC_SEQ_CST);
	return NULL;
}

static void
test_accessed_bits_are_atomic(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;
	struct flipper f = { .count = 2000001 };
	uint64_t gpa;
	pthread_t t;

	space(c);
	f.pte = map_page(c, VA, DATA_AT, P | W | U);
	assert_int_equal(pthread_create(&t, NULL, flip_avl, &f), 0);
	for (unsigned int i = 0; i < 500000; i++) {
		__atomic_fetch_and(f.pte, ~(A | D), __ATOMIC_SEQ_CST);
		forget(c, VA);
		assert_true(mmu_translate(c, VA, ACC_W, &gpa));
		assert_int_equal(
		    __atomic_load_n(f.pte, __ATOMIC_SEQ_CST) & (A | D), A | D);
	}
	pthread_join(t, NULL);
	assert_int_equal(*f.pte, DATA_AT | P | W | U | A | D | 0x200);
}

/* --- crossings
 * ----------------------------------------------------------------------------
 */

static void
test_cross_read_write(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;
	uint8_t buf[64], got[64];

	space(c);
	map_page(c, VA, DATA_AT, P | W | U);
	map_page(c, VA2, DATA2_AT, P | W | U);
	for (unsigned int size = 2; size <= 8; size *= 2) {
		for (unsigned int n = 1; n < size; n++) {
			uint64_t v = rng(), mask = bits((int)size * 8 - 1, 0);

			assert_true(mem_write_slow(c, VA2 - n, size, v));
			assert_memory_equal(
			    ram(c, DATA_AT + 0x1000 - n), &v, n);
			assert_memory_equal(
			    ram(c, DATA2_AT), (uint8_t *)&v + n, size - n);
			assert_true(mem_read_slow(c, VA2 - n, size));
			assert_int_equal(c->mem_val, v & mask);
			assert_true(mem_read_rmw_slow(c, VA2 - n, size));
			assert_int_equal(c->mem_val, v & mask);
		}
	}
	for (unsigned int n = 0; n <= 64; n++) {
		for (unsigned int i = 0; i < 64; i++)
			buf[i] = (uint8_t)rng();
		assert_true(mem_write_buf(c, VA2 - n, buf, 64));
		assert_true(mem_read_buf(c, VA2 - n, got, 64));
		assert_memory_equal(buf, got, 64);
		assert_memory_equal(ram(c, DATA_AT + 0x1000 - n), buf, n);
		assert_memory_equal(ram(c, DATA2_AT), buf + n, 64 - n);
	}
	/* Contiguous in RAM: the same result by one access. */
	map_page(c, VA2, DATA_AT + 0x1000, P | W | U);
	tlb_flush_all(c);
	assert_true(mem_write_slow(c, VA2 - 3, 8, 0x0807060504030201));
	assert_int_equal(
	    host_ld(ram(c, DATA_AT + 0xffd), 8), 0x0807060504030201);
}

static void
test_cross_second_page_faults(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;
	uint8_t buf[32] = { 0xff, 0xff };

	space(c);
	map_page(c, VA, DATA_AT, P | W | U);
	map_page(c, VA2, DATA2_AT, P | U);
	c->cpl = 3;
	fake_cpu_mode(c);
	assert_true(mem_read_slow(c, VA2 - 3, 8));
	assert_false(mem_write_slow(c, VA2 - 3, 8, 0));
	assert_pf(c, VA2, PF_P | PF_W | PF_U);
	assert_false(mem_write_buf(c, VA2 - 3, buf, 32));
	assert_pf(c, VA2, PF_P | PF_W | PF_U);
	assert_false(mem_read_rmw_slow(c, VA2 - 3, 8));
	assert_pf(c, VA2, PF_P | PF_W | PF_U);
	assert_false(mem_probe_write(c, VA2 - 3, 4));
	assert_pf(c, VA2, PF_P | PF_W | PF_U);
	assert_true(mem_probe_write(c, VA2 - 3, 3));
	for (unsigned int i = 1; i <= 3; i++)
		assert_int_equal(*ram(c, DATA_AT + 0x1000 - i), 0x11);
	/* The first page is reported first. */
	assert_false(mem_read_slow(c, VA - 2, 4));
	assert_pf(c, VA - 2, PF_U);
	assert_null(mem_host_ptr(c, VA2 - 3, 8, ACC_R));
	assert_false(c->exc.pending);
}

static void
test_mmio(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;
	uint8_t buf[24];

	space(c);
	map_page(c, VA, MMIO_AT, P | W | U);
	map_page(c, VA2, DATA2_AT, P | W | U);
	c->fpu_live = true;
	assert_true(mem_read_slow(c, VA + 0x20, 4));
	assert_false(c->fpu_live);
	assert_int_equal(c->mem_val, 0x79787b7a);
	assert_null(tlb_read_ptr(c, VA + 0x20, 4));
	assert_true(mem_write_slow(c, VA + 0xb0, 4, 0));
	assert_null(tlb_write_ptr(c, VA + 0xb0, 4));
	assert_null(mem_host_ptr(c, VA, 4, ACC_R));
	assert_false(c->exc.pending);
	assert_int_equal(fake_bus.n, 2);
	assert_int_equal(fake_bus.log[1].gpa, MMIO_AT + 0xb0);
	assert_true(fake_bus.log[1].write);
	assert_int_equal(fake_bus.log[1].bytes, 4);

	/* Half MMIO, half RAM: split into powers of two. */
	fake_bus.n = 0;
	assert_true(mem_write_slow(c, VA2 - 3, 8, 0x8877665544332211));
	assert_int_equal(fake_bus.n, 2);
	assert_int_equal(fake_bus.log[0].gpa, MMIO_AT + 0xffd);
	assert_int_equal(fake_bus.log[0].bytes, 2);
	assert_int_equal(fake_bus.log[0].val & 0xffff, 0x2211);
	assert_int_equal(fake_bus.log[1].gpa, MMIO_AT + 0xfff);
	assert_int_equal(fake_bus.log[1].bytes, 1);
	assert_int_equal(fake_bus.log[1].val & 0xff, 0x33);
	assert_int_equal(*ram64(c, DATA2_AT) & 0xffffffffff, 0x8877665544);
	assert_true(mem_read_slow(c, VA2 - 1, 2));
	assert_int_equal(c->mem_val, 0x4400 | fake_bus_byte(0xfff));

	/* Wide: 8 bytes at a time. */
	fake_bus.n = 0;
	assert_true(mem_read_buf(c, VA + 0x40, buf, 24));
	assert_int_equal(fake_bus.n, 3);
	for (unsigned int i = 0; i < 24; i++)
		assert_int_equal(buf[i], fake_bus_byte(0x40 + i));
	assert_true(mem_write_buf(c, VA + 0x40, buf, 10));
	assert_int_equal(fake_bus.n, 5);
	assert_int_equal(fake_bus.log[4].bytes, 2);

	/* A second vector of rights: read-only MMIO must fault on write. */
	*map_page(c, VA, MMIO_AT, P | U) |= 0;
	tlb_flush_page(c, VA);
	assert_true(mem_read_slow(c, VA, 4));
	assert_false(mem_write_slow(c, VA, 4, 0));
	assert_pf(c, VA, PF_P | PF_W);
}

/* --- canonical addresses and wrapping
 * -------------------------------------------------------- */

static void
test_noncanonical(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;
	static const uint64_t bad[] = { 0x0000800000000000, 0xffff7fffffffffff,
		0x1234000000000000, 0x8000000000000000, 0x00007fffffffffff };
	uint64_t gpa;

	space(c);
	for (unsigned int i = 0; i < ARRAY_LEN(bad); i++) {
		c->acc_seg = SEG_DS;
		assert_false(mem_read_slow(c, bad[i], 8));
		assert_exc(c, EXC_GP, 0);
		c->acc_seg = SEG_SS;
		assert_false(mem_write_slow(c, bad[i], 8, 0));
		assert_exc(c, EXC_SS, 0);
		assert_false(sys_read(c, bad[i], 8));
		assert_exc(c, EXC_GP, 0);
		assert_false(sys_write(c, bad[i], 8, 0));
		assert_exc(c, EXC_GP, 0);
	}
	assert_false(mmu_translate(c, bad[0], ACC_X, &gpa));
	assert_exc(c, EXC_GP, 0);
	/* Both ends of the address space touch: legal, here not present. */
	assert_false(mem_read_slow(c, UINT64_MAX - 1, 4));
	assert_pf(c, UINT64_MAX - 1, 0);
}

static void
test_wrap_4g(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;

	/* Paging off: page 0 is RAM, the top page is not. */
	c->cr0 = 0;
	c->cr4 = 0;
	c->efer = 0;
	c->cpl = 0;
	fake_cpu_mode(c);
	tlb_flush_all(c);
	*ram64(c, 0) = 0xaabbccdd;
	assert_true(mem_read_slow(c, 0xfffffffe, 4));
	assert_int_equal(c->mem_val,
	    0xccdd0000 | fake_bus_byte(0xff) << 8 | fake_bus_byte(0xfe));
	assert_true(mem_read_slow(c, 0x100000000, 4));
	assert_int_equal(c->mem_val, 0xaabbccdd);
	assert_true(sys_read(c, 0x100000000, 4));
	assert_int_equal(c->mem_val, 0xaabbccdd);
	assert_true(mem_write_slow(c, 0xfffffffc, 8, 0x1122334455667788));
	assert_int_equal(*ram64(c, 0), 0x11223344);
}

/* --- #AC and data breakpoints
 * ------------------------------------------------------------------ */

static void
test_alignment_check(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;
	uint8_t buf[16];

	space(c);
	map_page(c, VA, DATA_AT, P | W | U);
	c->cpl = 3;
	c->cr0 |= CR0_AM;
	c->rflags |= FL_AC;
	fake_cpu_mode(c);
	assert_ptr_equal(c->tlb, &c->view[VIEW_MISS]);
	for (unsigned int size = 1; size <= 8; size *= 2) {
		for (unsigned int o = 0; o < 8; o++) {
			bool ok = o % size == 0;

			assert_int_equal(
			    mem_read_slow(c, VA + 0x10 + o, size), ok);
			assert_int_equal(c->exc.pending, !ok);
			if (!ok)
				assert_exc(c, EXC_AC, 0);
			assert_int_equal(
			    mem_write_slow(c, VA + 0x10 + o, size, 0), ok);
			if (!ok)
				assert_exc(c, EXC_AC, 0);
			assert_int_equal(
			    mem_host_ptr(c, VA + o, size, ACC_RW) != NULL, ok);
			assert_false(c->exc.pending);
			assert_null(tlb_read_ptr(c, VA, 1));
		}
	}
	assert_int_equal(*ram64(c, DATA_AT + 0x18), 0x1111111111111111);
	assert_false(mem_read_buf(c, VA + 4, buf, 10));
	assert_exc(c, EXC_AC, 0);
	assert_true(mem_read_buf(c, VA + 8, buf, 10));
	/* A page fault comes first. */
	assert_false(mem_read_slow(c, VA2 + 1, 4));
	assert_pf(c, VA2 + 1, PF_U);
	/* Implicit accesses are exempt. */
	assert_true(sys_read(c, VA + 1, 4));
}

static void
test_data_breakpoints(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;

	space(c);
	map_page(c, VA, DATA_AT, P | W | U);
	c->dr[0] = VA + 0x100; /* L0, write, 4 bytes */
	c->dr[1] = VA + 0x203; /* G1, read/write, 8 bytes: 200-207 */
	c->dr[2] = VA + 0x100; /* execute: not ours */
	c->dr[3] = VA + 0x300; /* disabled */
	c->dr7 = 0x1 | 0x8 | 0x10 | 0xd << 16 | 0xb << 20 | 0xfu << 28;
	fake_cpu_mode(c);
	assert_true(mem_read_slow(c, VA + 0x100, 4));
	assert_int_equal(c->db_pending, 0);
	assert_true(mem_write_slow(c, VA + 0xfe, 4, 0));
	assert_int_equal(c->db_pending, 1);
	assert_true(mem_read_slow(c, VA + 0x207, 1));
	assert_int_equal(c->db_pending, 3);
	c->db_pending = 0;
	assert_true(mem_write_slow(c, VA + 0x104, 8, 0));
	assert_true(mem_write_slow(c, VA + 0x0fc, 4, 0));
	assert_true(mem_read_slow(c, VA + 0x208, 8));
	assert_true(mem_write_slow(c, VA + 0x300, 8, 0));
	assert_int_equal(c->db_pending, 0);
	/* Bulk goes by value when it touches one; a locked access must not. */
	assert_null(mem_host_ptr(c, VA + 0x80, 0x100, ACC_W));
	assert_non_null(mem_host_ptr(c, VA + 0x80, 0x100, ACC_R));
	assert_int_equal(c->db_pending, 0);
	assert_non_null(mem_host_ptr(c, VA + 0x100, 8, ACC_RW));
	assert_int_equal(c->db_pending, 1);
	c->db_pending = 0;
	/* A faulting access traps nowhere. */
	c->dr[0] = VA2;
	assert_false(mem_write_slow(c, VA2, 4, 0));
	assert_pf(c, VA2, PF_W);
	assert_int_equal(c->db_pending, 0);
}

/* --- host pointers
 * ------------------------------------------------------------------------------
 */

static void
test_host_ptr(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;
	uint64_t off = DATA_AT;
	uint32_t gen;
	uint8_t *p;

	space(c);
	map_page(c, VA, DATA_AT, P | W | U);
	p = mem_host_ptr(c, VA + 0x10, 0x100, ACC_R);
	assert_ptr_equal(p, ram(c, DATA_AT + 0x10));
	assert_null(mem_host_ptr(c, VA2, 1, ACC_W));
	assert_pf(c, VA2, PF_W);
	p = mem_host_ptr(c, VA, 0x1000, ACC_W);
	assert_ptr_equal(p, ram(c, DATA_AT));

	/* Into a code page: mem_wrote() finds it. */
	gen = smc_begin_decode(c, off + 0x400, 16);
	assert_null(tlb_write_ptr(c, VA, 1));
	p = mem_host_ptr(c, VA + 0x380, 0x80, ACC_W);
	assert_non_null(p);
	mem_wrote(c, VA + 0x380, 0x80);
	assert_false(c->smc_hit);
	assert_int_equal(*smc_gen(c->vm, off), gen);
	mem_host_ptr(c, VA + 0x40f, 1, ACC_RW);
	mem_wrote(c, VA + 0x40f, 1);
	assert_true(c->smc_hit);
	assert_int_not_equal(*smc_gen(c->vm, off), gen);
	c->smc_hit = false;
}

/* Accessed and dirty bits the walker sets may hit code, too. */
static void
test_walker_store_hits_code(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;
	uint32_t gen;

	space(c);
	map_page(c, VA, DATA_AT, P | W | U);
	gen = smc_begin_decode(c, entry_gpa(P4, 1, VA), 8);
	assert_true(mem_read_slow(c, VA, 8));
	assert_int_not_equal(*smc_gen(c->vm, PT_AT), gen);
	assert_true(c->smc_hit);
	c->smc_hit = false;
}

/* --- effective addresses
 * ---------------------------------------------------------------------------
 */

struct ea_case {
	const char *name;
	uint32_t mode;
	unsigned int seg;
	uint32_t limit, access;
	uint64_t off;
	unsigned int size, acc;
	int vector; /* -1: none */
};

#define RW	0x93u
#define RO	0x91u
#define DOWN	0x97u
#define DB	0x4000u
#define CODE_R	0x9bu
#define CODE_X	0x99u
#define NULLSEG 0x10000u
#define FLATLIM 0xffffffffu

static const struct ea_case ea_cases[] = {
	{ "pe ok", MODE_PE, SEG_DS, 0xfff, RW, 0xffc, 4, ACC_RW, -1 },
	{ "pe over", MODE_PE, SEG_DS, 0xfff, RW, 0xffd, 4, ACC_R, EXC_GP },
	{ "pe over ss", MODE_PE, SEG_SS, 0xfff, RW, 0xffd, 4, ACC_R, EXC_SS },
	{ "pe far over", MODE_PE, SEG_ES, 0xfff, RW, 0x1000, 1, ACC_R, EXC_GP },
	{ "no access", MODE_PE, SEG_DS, 0xfff, RW, 0x5000, 0, ACC_R, -1 },
	{ "last byte", MODE_PE, SEG_DS, 0xfff, RW, 0xfff, 1, ACC_W, -1 },
	{ "read-only read", MODE_PE, SEG_DS, 0xfff, RO, 0, 4, ACC_R, -1 },
	{ "read-only write", MODE_PE, SEG_DS, 0xfff, RO, 0, 4, ACC_W, EXC_GP },
	{ "read-only rmw", MODE_PE, SEG_DS, 0xfff, RO, 0, 4, ACC_RW, EXC_GP },
	{ "code read", MODE_PE, SEG_CS, 0xfff, CODE_R, 0, 4, ACC_R, -1 },
	{ "code write", MODE_PE, SEG_CS, 0xfff, CODE_R, 0, 4, ACC_W, EXC_GP },
	{ "xo read", MODE_PE, SEG_CS, 0xfff, CODE_X, 0, 4, ACC_R, EXC_GP },
	{ "xo fetch", MODE_PE, SEG_CS, 0xfff, CODE_X, 0, 4, ACC_X, -1 },
	{ "null", MODE_PE, SEG_DS, FLATLIM, RW | NULLSEG, 0, 1, ACC_R, EXC_GP },
	{ "down in", MODE_PE, SEG_DS, 0xfff, DOWN | DB, 0x1000, 4, ACC_W, -1 },
	{ "down top", MODE_PE, SEG_DS, 0xfff, DOWN | DB, 0xfffffffc, 4, ACC_W,
	    -1 },
	{ "down wrap", MODE_PE, SEG_DS, 0xfff, DOWN | DB, 0xfffffffd, 4, ACC_W,
	    EXC_GP },
	{ "down below", MODE_PE, SEG_DS, 0xfff, DOWN | DB, 0xfff, 4, ACC_R,
	    EXC_GP },
	{ "down ss", MODE_PE, SEG_SS, 0xfff, DOWN | DB, 0xffc, 4, ACC_W,
	    EXC_SS },
	{ "down16 top", MODE_PE, SEG_DS, 0xfff, DOWN, 0xfffc, 4, ACC_W, -1 },
	{ "down16 over", MODE_PE, SEG_DS, 0xfff, DOWN, 0xfffd, 4, ACC_W,
	    EXC_GP },
	{ "conforming code is no expand-down", MODE_PE, SEG_CS, 0xfff, 0x9f, 0,
	    4, ACC_R, -1 },
	/* The manuals leave it open; the AMD host faults. */
	{ "past 4g", MODE_PE, SEG_DS, FLATLIM, RW, 0xfffffffe, 4, ACC_W,
	    EXC_GP },
	{ "real ok", 0, SEG_DS, 0xffff, RW, 0xfffe, 2, ACC_W, -1 },
	{ "real over", 0, SEG_DS, 0xffff, RW, 0xffff, 2, ACC_W, EXC_GP },
	{ "real over ss", 0, SEG_SS, 0xffff, RW, 0xffff, 2, ACC_W, EXC_SS },
	{ "real cs write", 0, SEG_CS, 0xffff, CODE_R, 0, 2, ACC_W, -1 },
	{ "big real", 0, SEG_DS, FLATLIM, RW, 0x12345678, 4, ACC_W, -1 },
	{ "v86 over", MODE_PE | MODE_V86, SEG_DS, 0xffff, 0xf3, 0xffff, 2,
	    ACC_R, EXC_GP },
	{ "v86 cs write", MODE_PE | MODE_V86, SEG_CS, 0xffff, 0xf3, 0x10, 2,
	    ACC_W, -1 },
	{ "compat over", MODE_PE | MODE_LM, SEG_DS, 0xfff, RW, 0xffd, 4, ACC_R,
	    EXC_GP },
	{ "flat skips", MODE_PE | MODE_FLAT, SEG_DS, FLATLIM, RW, 0xfffffffc, 4,
	    ACC_W, -1 },
	{ "flat but fs", MODE_PE | MODE_FLAT, SEG_FS, 0xfff, RW, 0xffd, 4,
	    ACC_W, EXC_GP },
};

static void
test_segment_checks(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;

	for (unsigned int i = 0; i < ARRAY_LEN(ea_cases); i++) {
		const struct ea_case *t = &ea_cases[i];
		bool ok;

		c->mode = t->mode;
		c->seg[t->seg] = (struct soft_seg){ .base = 0xfff00000,
			.limit = t->limit,
			.access = t->access };
		if ((t->mode & MODE_FLAT) != 0 && t->seg == SEG_DS)
			c->seg[t->seg].base = 0;
		c->ea = 0x123;
		ok = seg_linear(c, t->seg, t->off, t->size, t->acc);
		if (ok != (t->vector < 0) || ok == c->exc.pending ||
		    (!ok && (c->exc.vector != t->vector || c->exc.err != 0)))
			fail_msg("%s", t->name);
		if (ok)
			assert_int_equal(
			    c->ea, (uint32_t)(c->seg[t->seg].base + t->off));
		no_exc(c);
	}
}

static void
test_effective_addresses(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c;
	struct insn i = {
		.base = R_RBX, .index = R_RSI, .scale = 2, .disp = -16, .len = 7
	};

	memset(c->gpr, 0, sizeof(c->gpr));
	c->gpr[R_RBX] = 0xffffffff00001000;
	c->gpr[R_RSI] = 0x40000010;
	c->rip = 0x7fff12345678;
	c->mode = MODE_64 | MODE_LM | MODE_PE;
	c->seg[SEG_GS].base = 0xffff888000000000;
	c->seg[SEG_DS].base = 0x1000;

	i.mem = SEG_GS | MEM_SEGBASE;
	assert_true(insn_ea_slow(c, &i, 8, ACC_R));
	assert_int_equal(c->ea, 0xffff888000001030);
	i.mem = SEG_DS | MEM_A32;
	assert_true(insn_ea_slow(c, &i, 8, ACC_R));
	assert_int_equal(c->ea, 0x1030);
	i.mem = SEG_GS | MEM_SEGBASE | MEM_A32;
	assert_true(insn_ea_slow(c, &i, 8, ACC_R));
	assert_int_equal(c->ea, 0xffff888000001030);
	i.base = R_ZERO;
	i.index = R_ZERO;
	i.mem = SEG_DS | MEM_RIP;
	assert_true(insn_ea_slow(c, &i, 8, ACC_R));
	assert_int_equal(c->ea, 0x7fff12345678 + 7 - 16);
	i.mem = SEG_DS | MEM_RIP | MEM_A32;
	assert_true(insn_ea_slow(c, &i, 8, ACC_R));
	assert_int_equal(c->ea, 0x12345678 + 7 - 16);
	/* 64-bit mode: only FS and GS have a base. */
	assert_true(seg_linear(c, SEG_DS, 0x10, 4, ACC_R));
	assert_int_equal(c->ea, 0x10);
	assert_true(seg_linear(c, SEG_GS, 0x10, 4, ACC_R));
	assert_int_equal(c->ea, 0xffff888000000010);

	/* 16-bit: the offset wraps at 64 KiB before the base is added. */
	c->mode = 0;
	c->seg[SEG_DS] =
	    (struct soft_seg){ .base = 0x12340, .limit = 0xffff, .access = RW };
	i = (struct insn){ .base = R_RBX,
		.index = R_RSI,
		.disp = 0x7000,
		.mem = SEG_DS | MEM_LEGACY | MEM_A16 };
	c->gpr[R_RBX] = 0xabcd9000;
	c->gpr[R_RSI] = 0x1234;
	assert_true(insn_ea_slow(c, &i, 2, ACC_W));
	assert_int_equal(c->ea, 0x12340 + 0x1234);
	c->gpr[R_RSI] = 0xffff;
	c->gpr[R_RBX] = 0x9000;
	assert_true(insn_ea_slow(c, &i, 1, ACC_W));
	assert_int_equal(c->ea, 0x12340 + 0xffff);
	assert_false(insn_ea_slow(c, &i, 2, ACC_W));
	assert_exc(c, EXC_GP, 0);
	i.mem = SEG_SS | MEM_LEGACY | MEM_A16;
	c->seg[SEG_SS].limit = 0xffff;
	c->seg[SEG_SS].access = RW;
	assert_false(insn_ea_slow(c, &i, 2, ACC_W));
	assert_exc(c, EXC_SS, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk_pairs_4level),
		cmocka_unit_test(test_walk_pairs_pae),
		cmocka_unit_test(test_walk_pairs_32bit),
		cmocka_unit_test(test_walk_random),
		cmocka_unit_test(test_walk_tables_not_in_ram),
		cmocka_unit_test(test_pdptes),
		cmocka_unit_test(test_dirty_upgrade),
		cmocka_unit_test(test_read_modify_write_faults_as_write),
		cmocka_unit_test(test_views_are_separate),
		cmocka_unit_test(test_sys_access_smap),
		cmocka_unit_test(test_flushes),
		cmocka_unit_test(test_flush_overflow),
		cmocka_unit_test(test_invlpg_large),
		cmocka_unit_test(test_accessed_bits_are_atomic),
		cmocka_unit_test(test_cross_read_write),
		cmocka_unit_test(test_cross_second_page_faults),
		cmocka_unit_test(test_mmio),
		cmocka_unit_test(test_noncanonical),
		cmocka_unit_test(test_wrap_4g),
		cmocka_unit_test(test_alignment_check),
		cmocka_unit_test(test_data_breakpoints),
		cmocka_unit_test(test_host_ptr),
		cmocka_unit_test(test_walker_store_hits_code),
		cmocka_unit_test(test_segment_checks),
		cmocka_unit_test(test_effective_addresses),
	};

	return cmocka_run_group_tests(tests, env_setup, env_teardown);
}
