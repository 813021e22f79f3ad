/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Paging: every combination of page permission, mode and kind of access, with
 * CR0.WP, EFER.NXE, SMEP and SMAP; error codes and CR2; accessed and dirty
 * bits; large and global pages; stale translations after INVLPG and MOV CR3.
 */
#include "guest.h"

#define CR0_WP	  0x10000ull
#define CR4_PGE	  0x80ull
#define CR4_PCIDE 0x20000ull
#define CR4_SMEP  0x100000ull
#define CR4_SMAP  0x200000ull
#define EFER	  0xc0000080
#define EFER_NXE  0x800ull
#define EFL_AC	  0x40000ull

#define PF_P	  0x01u
#define PF_W	  0x02u
#define PF_U	  0x04u
#define PF_RSVD	  0x08u
#define PF_I	  0x10u

#define VA	  WINDOW

enum access { READ, WRITE, EXEC };

/* rdi: the address. */
extern uint8_t k_read[], k_write[], k_exec[], k_read_ac[], k_write_ac[];
extern uint8_t k_read8[], k_write8[];
extern uint8_t u_read[], u_write[], u_exec[];
__asm__(".text\n"
	"k_read: movb (%rdi), %al; ret\n"
	"k_write: movb $0xc3, (%rdi); ret\n"
	"k_exec: jmp *%rdi\n"
	"k_read8: movq (%rdi), %rax; ret\n"
	"k_write8: movq $-1, (%rdi); ret\n"
	"k_read_ac: stac; movb (%rdi), %al; clac; ret\n"
	"k_write_ac: stac; movb $0xc3, (%rdi); clac; ret\n"
	"u_read: movb (%rdi), %al; int $0x80\n"
	"u_write: movb $0xcd, (%rdi); int $0x80\n"
	"u_exec: jmp *%rdi\n");

struct world {
	bool user, wp, nxe, smep, smap;
};

static void
set_world(const struct world *w)
{
	uint64_t cr0 = read_cr0() & ~CR0_WP;
	uint64_t cr4 = read_cr4() & ~(CR4_SMEP | CR4_SMAP);
	uint64_t efer = rdmsr(EFER) & ~EFER_NXE;

	write_cr0(cr0 | (w->wp ? CR0_WP : 0));
	write_cr4(cr4 | (w->smep ? CR4_SMEP : 0) | (w->smap ? CR4_SMAP : 0));
	wrmsr(EFER, efer | (w->nxe ? EFER_NXE : 0));
}

/* Whether this processor has what the world needs (SDM 2 CPUID, leaf 7). */
static bool
is_possible(const struct world *w)
{
	uint32_t ebx = cpuid(7, 0).ebx;

	return (!w->smep || (ebx & 1u << 7) != 0) &&
	       (!w->smap || (ebx & 1u << 20) != 0);
}

static const struct world normal = { .wp = true, .nxe = true };

/* The error code, or 0 for no fault: AMD APM 2 5.6, SDM 3A 4.6 and 4.7. */
static uint32_t
expected(const struct world *w, enum access a, uint64_t pte, bool *ret_fault)
{
	bool user_page = (pte & PTE_U) != 0, ok = true;
	uint32_t err = (w->user ? PF_U : 0) | (a == WRITE ? PF_W : 0);

	/* I/D is only reported when NX or SMEP can be the reason. */
	if (a == EXEC && (w->nxe || w->smep))
		err |= PF_I;
	*ret_fault = true;
	if (!(pte & PTE_P))
		return err;
	if ((pte & PTE_NX) && !w->nxe)
		return err | PF_P | PF_RSVD;
	err |= PF_P;
	if (w->user)
		ok = user_page && (a != WRITE || (pte & PTE_W));
	else if (a == WRITE)
		ok = (pte & PTE_W) || !w->wp;
	if (!w->user && user_page && a != EXEC && w->smap)
		ok = false;
	if (!w->user && user_page && a == EXEC && w->smep)
		ok = false;
	if (a == EXEC && (pte & PTE_NX))
		ok = false;
	*ret_fault = !ok;
	return err;
}

static const struct frame *
do_access(const struct world *w, enum access a)
{
	static uint8_t *const kernel[] = { k_read, k_write, k_exec };
	static uint8_t *const user[] = { u_read, u_write, u_exec };

	if (w->user)
		return user_run(user[a], VA);
	return guarded((void (*)(void *))(uintptr_t)kernel[a], (void *)VA);
}

static void
check_access(const struct world *w, enum access a, uint64_t pte)
{
	volatile uint8_t *page =
	    (volatile uint8_t *)(uintptr_t)(pte & 0xffffffffff000);
	const struct frame *f;
	uint32_t want;
	bool fault;

	/* int $0x80 for users, ret for the kernel. */
	page[0] = w->user ? 0xcd : 0xc3;
	page[1] = 0x80;
	map_page(VA, 0, pte);
	want = expected(w, a, pte, &fault);
	f = do_access(w, a);
	if (w->user && f != NULL && f->vector == VEC_USER_RETURN)
		f = NULL;
	if ((f != NULL) != fault || (f != NULL && f->vector != 14) ||
	    (f != NULL && (f->err != want || this_cpu()->cr2 != VA))) {
		set_world(&normal);
		FAIL("access %u pte %#lx user %u wp %u nxe %u smep %u smap %u: "
		     "trap %lu error %#lx, not %u %#x",
		    a, pte & 0x8000000000000fff, w->user, w->wp, w->nxe,
		    w->smep, w->smap, f == NULL ? 0ul : f->vector,
		    f == NULL ? 0ul : f->err, fault, want);
	}
}

static uint64_t scratch;

static void
test_permissions(void)
{
	static const uint64_t bits[] = { PTE_P, PTE_W, PTE_U, PTE_NX };

	if (scratch == 0)
		scratch = (uint64_t)(uintptr_t)alloc_pages(1);
	for (unsigned int n = 0; n < 32; n++) {
		struct world w = { n & 1, n & 2, n & 4, n & 8, n & 16 };

		if (!is_possible(&w))
			continue;
		for (unsigned int p = 0; p < 16; p++) {
			uint64_t pte = scratch;

			for (unsigned int i = 0; i < 4; i++)
				pte |= p & 1u << i ? bits[i] : 0;
			for (unsigned int a = READ; a <= EXEC; a++) {
				set_world(&w);
				check_access(&w, (enum access)a, pte);
			}
		}
	}
	set_world(&normal);
}

static void
test_smap_ac(void)
{
	const struct world w = { .wp = true, .nxe = true, .smap = true };

	if (!is_possible(&w))
		guest_skip("no SMAP");
	set_world(&w);
	map_page(VA, scratch, PTE_P | PTE_W | PTE_U);
	EXPECT_TRAP(
	    guarded((void (*)(void *))(uintptr_t)k_read, (void *)VA), 14, PF_P);
	EXPECT_NONE(
	    guarded((void (*)(void *))(uintptr_t)k_read_ac, (void *)VA));
	EXPECT_NONE(
	    guarded((void (*)(void *))(uintptr_t)k_write_ac, (void *)VA));
	EXPECT_TRAP(guarded((void (*)(void *))(uintptr_t)k_write, (void *)VA),
	    14, PF_P | PF_W);
	set_world(&normal);
}

/* Upper levels restrict too; not those of VA, which other tests use. */
static void
test_upper_levels(void)
{
	const uint64_t va = VA + 0x400000;
	volatile uint64_t *pde;
	uint64_t saved;

	map_page(va, scratch, PTE_P | PTE_W | PTE_U);
	pde = (volatile uint64_t *)(uintptr_t)(page_pdpt[va >> 30 & 511] &
					       0xffffffffff000) +
	      (va >> 21 & 511);
	saved = *pde;
	*pde = saved & ~PTE_W;
	invlpg(va);
	EXPECT_TRAP(user_run(u_write, va), 14, PF_P | PF_W | PF_U);
	EXPECT_TRAP(user_run(u_read, va), VEC_USER_RETURN, 0);
	*pde = saved & ~PTE_U;
	invlpg(va);
	EXPECT_TRAP(user_run(u_read, va), 14, PF_P | PF_U);
	*pde = saved | PTE_NX;
	invlpg(va);
	EXPECT_TRAP(user_run(u_exec, va), 14, PF_P | PF_U | PF_I);
	*pde = 0;
	invlpg(va);
	EXPECT_TRAP(user_run(u_read, va), 14, PF_U);
	*pde = saved;
	invlpg(va);
}

static void
test_reserved_bits(void)
{
	unsigned int width = cpuid(0x80000008, 0).eax & 0xff;

	map_page(VA, scratch | 1ull << width, PTE_P | PTE_W);
	EXPECT_TRAP(guarded((void (*)(void *))(uintptr_t)k_read, (void *)VA),
	    14, PF_P | PF_RSVD);
	map_page(VA, scratch, PTE_P | PTE_W);
	EXPECT_NONE(guarded((void (*)(void *))(uintptr_t)k_read, (void *)VA));
}

static void
test_accessed_dirty(void)
{
	volatile uint64_t *pte = pte_of(VA);
	volatile uint8_t *p = (volatile uint8_t *)VA;

	map_page(VA, scratch, PTE_P | PTE_W);
	CHECK_EQ(*pte & (PTE_A | PTE_D), 0);
	(void)p[5];
	CHECK_EQ(*pte & (PTE_A | PTE_D), PTE_A);
	p[5] = 1;
	CHECK_EQ(*pte & (PTE_A | PTE_D), PTE_A | PTE_D);
	/* Cleared behind a cached translation: set again after INVLPG. */
	*pte &= ~PTE_D;
	invlpg(VA);
	p[6] = 1;
	CHECK_EQ(*pte & (PTE_A | PTE_D), PTE_A | PTE_D);
	/* A write that faults does not set dirty. */
	map_page(VA, scratch, PTE_P);
	EXPECT_TRAP(guarded((void (*)(void *))(uintptr_t)k_write, (void *)VA),
	    14, PF_P | PF_W);
	CHECK_EQ(*pte & PTE_D, 0);
	/* CMPXCHG that fails writes all the same. */
	map_page(VA, scratch, PTE_P | PTE_W);
	__asm__ volatile("lock cmpxchgb %b1, %0"
			 : "+m"(*p)
			 : "r"(1), "a"(0x77)
			 : "memory");
	CHECK_EQ(*pte & PTE_D, PTE_D);
	/* Instruction fetch sets accessed. */
	*(volatile uint8_t *)(uintptr_t)scratch = 0xc3;
	map_page(VA, scratch, PTE_P);
	EXPECT_NONE(guarded((void (*)(void *))(uintptr_t)k_exec, (void *)VA));
	CHECK_EQ(*pte & (PTE_A | PTE_D), PTE_A);
}

static void
test_cr2_crossing(void)
{
	const struct frame *f;
	volatile uint64_t *p = (volatile uint64_t *)(VA + PAGE - 3);

	map_page(VA, scratch, PTE_P | PTE_W);
	map_page(VA + PAGE, 0, 0);
	*(volatile uint32_t *)(VA + PAGE - 4) = 0x11223344;
	f = guarded(
	    (void (*)(void *))(uintptr_t)k_read, (void *)(VA + PAGE - 1));
	EXPECT_NONE(f);
	f = guarded((void (*)(void *))(uintptr_t)k_read8, (void *)(uintptr_t)p);
	EXPECT_TRAP(f, 14, 0);
	CHECK_EQ(this_cpu()->cr2, VA + PAGE);
	f = guarded(
	    (void (*)(void *))(uintptr_t)k_write8, (void *)(uintptr_t)p);
	EXPECT_TRAP(f, 14, PF_W);
	CHECK_EQ(*(volatile uint32_t *)(VA + PAGE - 4), 0x11223344);
	map_page(VA + PAGE, scratch, PTE_P);
	f = guarded(
	    (void (*)(void *))(uintptr_t)k_write8, (void *)(uintptr_t)p);
	EXPECT_TRAP(f, 14, PF_W | PF_P);
	CHECK_EQ(this_cpu()->cr2, VA + PAGE);
	CHECK_EQ(*(volatile uint32_t *)(VA + PAGE - 4), 0x11223344);
}

static void
test_large_pages(void)
{
	volatile uint8_t *big = (uint8_t *)0x3000000; /* 48 MiB: nobody's */
	volatile uint64_t *pd;
	volatile uint8_t *p = (volatile uint8_t *)(VA + 0x200000);

	(void)pte_of(VA);
	pd = (volatile uint64_t *)(uintptr_t)(page_pdpt[VA >> 30 & 511] &
					      0xffffffffff000);
	pd[1] = (uint64_t)(uintptr_t)big | PTE_P | PTE_W | PTE_PS;
	invlpg((uint64_t)(uintptr_t)p);
	big[0x123456] = 0x5a;
	CHECK_EQ(p[0x123456], 0x5a);
	p[0x1fffff] = 0x77;
	CHECK_EQ(big[0x1fffff], 0x77);
	CHECK_EQ(pd[1] & (PTE_A | PTE_D), PTE_A | PTE_D);
	/* A bit between the page's size and its frame number is reserved. */
	pd[1] |= 1ull << 13;
	invlpg((uint64_t)(uintptr_t)p);
	EXPECT_TRAP(
	    guarded((void (*)(void *))(uintptr_t)k_read, (void *)(uintptr_t)p),
	    14, PF_P | PF_RSVD);
	pd[1] = 0;
	invlpg((uint64_t)(uintptr_t)p);
	if ((cpuid(0x80000001, 0).edx & 1u << 26) == 0)
		return;
	/* 1 GiB: all of low memory once more. */
	page_pdpt[7] = PTE_P | PTE_W | PTE_PS;
	write_cr3(read_cr3());
	CHECK_EQ(*(volatile uint8_t *)((7ull << 30) + 0x3123456), 0x5a);
	page_pdpt[7] = 0;
	write_cr3(read_cr3());
}

/* Another frame under a cached address: seen after INVLPG or MOV CR3. */
static void
test_flushes(void)
{
	volatile uint8_t *a = alloc_pages(2), *b = a + PAGE;
	volatile uint8_t *p = (volatile uint8_t *)VA;
	volatile uint64_t *pte = pte_of(VA);

	a[0] = 1;
	b[0] = 2;
	map_page(VA, (uint64_t)(uintptr_t)a, PTE_P | PTE_W);
	CHECK_EQ(*p, 1);
	*pte = (uint64_t)(uintptr_t)b | PTE_P | PTE_W;
	invlpg(VA);
	CHECK_EQ(*p, 2);
	*pte = (uint64_t)(uintptr_t)a | PTE_P | PTE_W;
	write_cr3(read_cr3());
	CHECK_EQ(*p, 1);
	/* A global page stays over MOV CR3 (allowed) and goes with PGE. */
	write_cr4(read_cr4() | CR4_PGE);
	map_page(VA, (uint64_t)(uintptr_t)a, PTE_P | PTE_W | PTE_G);
	CHECK_EQ(*p, 1);
	*pte = (uint64_t)(uintptr_t)b | PTE_P | PTE_W | PTE_G;
	write_cr4(read_cr4() & ~CR4_PGE);
	CHECK_EQ(*p, 2);
	write_cr4(read_cr4() | CR4_PGE);
	*pte = (uint64_t)(uintptr_t)a | PTE_P | PTE_W | PTE_G;
	invlpg(VA);
	CHECK_EQ(*p, 1);
	write_cr4(read_cr4() & ~CR4_PGE);
	/* From writable to read-only and back. */
	*pte = (uint64_t)(uintptr_t)a | PTE_P;
	invlpg(VA);
	EXPECT_TRAP(guarded((void (*)(void *))(uintptr_t)k_write, (void *)VA),
	    14, PF_P | PF_W);
	*pte |= PTE_W; /* more rights: no flush needed after a fault */
	EXPECT_NONE(guarded((void (*)(void *))(uintptr_t)k_write, (void *)VA));
}

static void
test_pcid(void)
{
	struct {
		uint64_t pcid, addr;
	} desc = { 1, VA };
	volatile uint8_t *a = alloc_pages(2), *b = a + PAGE;
	volatile uint8_t *p = (volatile uint8_t *)VA;
	volatile uint64_t *pte = pte_of(VA);
	uint64_t cr3 = read_cr3();

	if ((cpuid(1, 0).ecx & 1u << 17) == 0 ||
	    (cpuid(7, 0).ebx & 1u << 10) == 0)
		guest_skip("no PCID or INVPCID");
	a[0] = 1;
	b[0] = 2;
	write_cr4(read_cr4() | CR4_PCIDE);
	write_cr3(cr3 | 1);
	map_page(VA, (uint64_t)(uintptr_t)a, PTE_P | PTE_W);
	CHECK_EQ(*p, 1);
	for (unsigned long type = 0; type < 4; type++) {
		*pte = (uint64_t)(uintptr_t)(type & 1 ? a : b) | PTE_P | PTE_W;
		__asm__ volatile("invpcid %0, %1" ::"m"(desc), "r"(type)
				 : "memory");
		CHECK_EQ(*p, type & 1 ? 1 : 2);
	}
	write_cr3(cr3 | 1ull << 63);
	CHECK_EQ(read_cr3(), cr3);
	write_cr4(read_cr4() & ~CR4_PCIDE);
}

static void
run_nop_cross(void *arg)
{
	((void (*)(void))(uintptr_t)arg)();
}

/* An instruction half on a page that is not there. */
static void
test_fetch_crossing(void)
{
	volatile uint8_t *two = alloc_pages(2);
	const struct frame *f;

	map_page(VA, (uint64_t)(uintptr_t)two, PTE_P | PTE_W);
	map_page(VA + PAGE, 0, 0);
	two[PAGE - 2] = 0xb8; /* mov $..., %eax: three bytes missing */
	two[PAGE - 1] = 0;
	f = guarded(run_nop_cross, (void *)(VA + PAGE - 2));
	EXPECT_TRAP(f, 14, PF_I);
	CHECK_EQ(this_cpu()->cr2, VA + PAGE);
	CHECK_EQ(f->rip, VA + PAGE - 2);
	map_page(VA + PAGE, (uint64_t)(uintptr_t)two + PAGE, PTE_P);
	two[PAGE + 3] = 0xc3;
	EXPECT_NONE(guarded(run_nop_cross, (void *)(VA + PAGE - 2)));
}

const struct guest_test guest_tests[] = {
	TEST("permissions and error codes", test_permissions),
	TEST("SMAP and AC", test_smap_ac),
	TEST("upper levels", test_upper_levels),
	TEST("reserved bits", test_reserved_bits),
	TEST("accessed and dirty", test_accessed_dirty),
	TEST("accesses across pages", test_cr2_crossing),
	TEST("fetches across pages", test_fetch_crossing),
	TEST("large pages", test_large_pages),
	TEST("flushing", test_flushes),
	TEST("PCID and INVPCID", test_pcid),
	TEST_END,
};
