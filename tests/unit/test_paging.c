/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_paging.c - vm_gla2gpa() in every paging mode against tables laid out by
 * hand, and copying by linear address.
 */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include <vmm/mem.h>

#include "fake_engine.h"

#define MIB	(1ull << 20)
#define RAM	(8 * MIB)
#define ROOT	0x1000u
#define T1	0x2000u
#define T2	0x3000u
#define T3	0x4000u
#define PAGE	0x300000u /* where pages lead */

#define P	0x1u
#define RW	0x2u
#define US	0x4u
#define A	0x20u
#define D	0x40u
#define PS	0x80u
#define NX	(1ull << 63)

#define CR0_PE	0x1u
#define CR0_WP	0x10000u
#define CR0_PG	0x80000000u
#define CR4_PSE 0x10u
#define CR4_PAE 0x20u
#define LMA	0x400u
#define NXE	0x800u

struct fix {
	struct vmctx *ctx;
	struct vcpu *v;
	struct vm_guest_paging pg;
	uint8_t *ram;
};

static void
set64(struct fix *f, uint32_t table, unsigned int index, uint64_t pte)
{
	memcpy(f->ram + table + index * 8, &pte, 8);
}

static uint64_t
get64(struct fix *f, uint32_t table, unsigned int index)
{
	uint64_t pte;

	memcpy(&pte, f->ram + table + index * 8, 8);
	return pte;
}

static void
set32(struct fix *f, uint32_t table, unsigned int index, uint32_t pte)
{
	memcpy(f->ram + table + index * 4, &pte, 4);
}

static uint32_t
get32(struct fix *f, uint32_t table, unsigned int index)
{
	uint32_t pte;

	memcpy(&pte, f->ram + table + index * 4, 4);
	return pte;
}

static void
regs(struct fix *f, uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	uint64_t *reg = fake_vcpu(f->v)->reg;

	reg[VM_REG_GUEST_CR0] = cr0;
	reg[VM_REG_GUEST_CR3] = ROOT;
	reg[VM_REG_GUEST_CR4] = cr4;
	reg[VM_REG_GUEST_EFER] = efer;
}

/* 4 KiB page PAGE at linear 0x8080604000 + x (indices 1, 2, 3, 4). */
#define GLA64 0x8080604000ull

static void
use_64(struct fix *f)
{
	regs(f, CR0_PE | CR0_PG | CR0_WP, CR4_PAE, LMA | NXE);
	f->pg =
	    (struct vm_guest_paging){ ROOT, 0, CPU_MODE_64BIT, PAGING_MODE_64 };
	set64(f, ROOT, 1, T1 | P | RW | US);
	set64(f, T1, 2, T2 | P | RW | US);
	set64(f, T2, 3, T3 | P | RW | US);
	set64(f, T3, 4, PAGE | P | RW | US);
}

static int
setup(void **state)
{
	static struct fix f;

	f = (struct fix){ .ctx = fake_vm_new(1, NULL) };
	assert_int_equal(vm_setup_memory(f.ctx, RAM, VM_MMAP_ALL), 0);
	f.v = vm_vcpu_get(f.ctx, 0);
	f.ram = vm_map_gpa(f.ctx, 0, RAM);
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	vm_close(f->ctx);
	return 0;
}

static void
maps(struct fix *f, uint64_t gla, int prot, uint64_t want)
{
	uint64_t gpa = ~0ull;
	int fault = 9;

	fake_vcpu(f->v)->inject_vector = -1;
	assert_int_equal(vm_gla2gpa(f->v, &f->pg, gla, prot, &gpa, &fault), 0);
	assert_int_equal(fault, 0);
	assert_true(gpa == want);
	assert_int_equal(fake_vcpu(f->v)->inject_vector, -1);
}

static void
faults(struct fix *f, uint64_t gla, int prot, uint32_t errcode)
{
	uint64_t gpa;
	int fault = 9;

	fake_vcpu(f->v)->inject_vector = -1;
	fake_vcpu(f->v)->reg[VM_REG_GUEST_CR2] = 0;
	assert_int_equal(vm_gla2gpa(f->v, &f->pg, gla, prot, &gpa, &fault), 0);
	assert_int_equal(fault, 1);
	assert_int_equal(fake_vcpu(f->v)->inject_vector, 14);
	assert_int_equal(fake_vcpu(f->v)->inject_errcode, errcode);
	assert_true(fake_vcpu(f->v)->reg[VM_REG_GUEST_CR2] == gla);
}

/* --- modes -----------------------------------------------------------------
 */

static void
flat(void **state)
{
	struct fix *f = *state;

	f->pg.paging_mode = PAGING_MODE_FLAT;
	maps(f, 0x1234, PROT_WRITE, 0x1234);
	maps(f, 0x100001234, PROT_READ, 0x1234); /* 32 bits */
}

static void
long_mode(void **state)
{
	struct fix *f = *state;

	use_64(f);
	maps(f, GLA64 + 0x123, PROT_READ, PAGE + 0x123);
	assert_true(get64(f, T3, 4) == (PAGE | P | RW | US | A));
	assert_true(get64(f, ROOT, 1) == (T1 | P | RW | US | A));
	assert_true(get64(f, T2, 3) == (T3 | P | RW | US | A));
	maps(f, GLA64 + 0xfff, PROT_WRITE, PAGE + 0xfff);
	assert_true(get64(f, T3, 4) == (PAGE | P | RW | US | A | D));
	assert_true(get64(f, T2, 3) == (T3 | P | RW | US | A));
	/* Large pages: 2 MiB and 1 GiB. */
	set64(f, T2, 5, 0x200000 | P | RW | PS);
	maps(f, GLA64 + 0x200000 * 2 - 0x4000 + 0x1abcde, PROT_READ, 0x3abcde);
	set64(f, T1, 6, 0x80000000 | P | RW | PS);
	maps(f, (1ull << 39) + (6ull << 30) + 0x3abcdef0, PROT_WRITE,
	    0x80000000 + 0x3abcdef0);
	assert_true(get64(f, T1, 6) == (0x80000000 | P | RW | PS | A | D));
}

static void
pae(void **state)
{
	struct fix *f = *state;
	const uint64_t gla = (2ull << 30) + (3u << 21) + (4u << 12);

	regs(f, CR0_PE | CR0_PG, CR4_PAE, NXE);
	/* The root is 32-byte aligned and its entries have no rights. */
	f->pg = (struct vm_guest_paging){ ROOT + 0x60, 3, CPU_MODE_PROTECTED,
		PAGING_MODE_PAE };
	set64(f, ROOT + 0x60, 2, T1 | P);
	set64(f, T1, 3, T2 | P | RW | US);
	set64(f, T2, 4, PAGE | P | US);
	maps(f, gla + 8, PROT_READ, PAGE + 8);
	assert_true(get64(f, ROOT + 0x60, 2) == (T1 | P)); /* nor A */
	assert_true(get64(f, T1, 3) == (T2 | P | RW | US | A));
	faults(f, gla, PROT_WRITE, 7);
	set64(f, T1, 5, 0x400000 | P | RW | US | PS);
	maps(f, (2ull << 30) + (5u << 21) + 0x1fffff, PROT_WRITE, 0x5fffff);
}

static void
two_levels(void **state)
{
	struct fix *f = *state;
	const uint32_t gla = (2u << 22) + (5u << 12);

	regs(f, CR0_PE | CR0_PG, CR4_PSE, 0);
	f->pg = (struct vm_guest_paging){ ROOT, 0, CPU_MODE_PROTECTED,
		PAGING_MODE_32 };
	set32(f, ROOT, 2, T1 | P | RW);
	set32(f, T1, 5, PAGE | P);
	maps(f, gla + 4, PROT_WRITE, PAGE + 4); /* WP is clear */
	assert_int_equal(get32(f, T1, 5), PAGE | P | A | D);
	assert_int_equal(get32(f, ROOT, 2), T1 | P | RW | A);
	/* 4 MiB pages, with PSE-36's high bits, but not without PSE. */
	set32(f, ROOT, 3, 0x00c00000 | 1u << 13 | P | RW | PS);
	maps(f, (3u << 22) + 0x123456, PROT_READ, 0x100c00000 + 0x123456);
	fake_vcpu(f->v)->reg[VM_REG_GUEST_CR4] = 0;
	set32(f, ROOT, 4, T1 | P | RW | PS);
	maps(f, (4u << 22) + (5u << 12), PROT_READ, PAGE);
}

/* --- rights ----------------------------------------------------------------
 */

static void
rights(void **state)
{
	struct fix *f = *state;

	use_64(f);
	faults(f, GLA64 + 0x1000, PROT_READ, 0); /* not present */
	faults(f, GLA64 + 0x1000, PROT_WRITE, 2);
	faults(f, GLA64 + 0x1000, PROT_EXEC, 16);
	faults(f, 0, PROT_READ, 0); /* in the root */
	/* The least of all levels counts. */
	set64(f, T2, 3, T3 | P | RW);
	maps(f, GLA64, PROT_WRITE, PAGE);
	f->pg.cpl = 3;
	faults(f, GLA64, PROT_READ, 5);
	faults(f, GLA64, PROT_WRITE, 7);
	set64(f, T2, 3, T3 | P | US);
	maps(f, GLA64, PROT_READ, PAGE);
	faults(f, GLA64, PROT_WRITE, 7);
	f->pg.cpl = 0;
	faults(f, GLA64, PROT_WRITE, 3);
	fake_vcpu(f->v)->reg[VM_REG_GUEST_CR0] &= ~(uint64_t)CR0_WP;
	maps(f, GLA64, PROT_WRITE, PAGE);
	/* NX at any level, if it is on. */
	set64(f, T1, 2, T2 | P | RW | US | NX);
	faults(f, GLA64, PROT_EXEC, 17);
	maps(f, GLA64, PROT_READ, PAGE);
	fake_vcpu(f->v)->reg[VM_REG_GUEST_EFER] = LMA;
	maps(f, GLA64, PROT_EXEC, PAGE);
	/* A fault leaves no accessed bits. */
	set64(f, ROOT, 1, T1 | P);
	f->pg.cpl = 3;
	faults(f, GLA64, PROT_READ, 5);
	assert_true(get64(f, ROOT, 1) == (T1 | P));
}

static void
tables_outside_of_memory(void **state)
{
	struct fix *f = *state;

	use_64(f);
	set64(f, T2, 3, RAM | P | RW | US);
	faults(f, GLA64, PROT_READ, 0);
	set64(f, T2, 3, 0x000ffffffffff000 | P | RW | US);
	faults(f, GLA64, PROT_READ, 0);
	f->pg.cr3 = 1ull << 50;
	faults(f, GLA64, PROT_READ, 0);
}

static void
nonsense(void **state)
{
	struct fix *f = *state;
	uint64_t gpa;
	int fault;

	use_64(f);
	f->pg.paging_mode = (enum vm_paging_mode)4;
	assert_int_equal(vm_gla2gpa(f->v, &f->pg, 0, 0, &gpa, &fault), -1);
	assert_int_equal(errno, EINVAL);
	f->pg.paging_mode = PAGING_MODE_64;
	f->pg.cpl = 4;
	assert_int_equal(vm_gla2gpa(f->v, &f->pg, 0, 0, &gpa, &fault), -1);
	assert_int_equal(errno, EINVAL);
	/* The fault cannot be queued. */
	f->pg.cpl = 0;
	fake_vcpu(f->v)->inject_err = -EBUSY;
	assert_int_equal(vm_gla2gpa(f->v, &f->pg, 0, 0, &gpa, &fault), -1);
	assert_int_equal(errno, EBUSY);
}

/* Another vCPU plays with a bit of the entry that is being marked. */
static uint32_t hammering;

static void *
hammer(void *arg)
{
	uint64_t *pte = arg;

	while (__atomic_load_n(&hammering, __ATOMIC_SEQ_CST) != 0)
		__atomic_fetch_xor(pte, 1ull << 9, __ATOMIC_SEQ_CST);
	return NULL;
}

static void
entries_that_change(void **state)
{
	struct fix *f = *state;
	pthread_t t;

	use_64(f);
	hammering = 1;
	assert_int_equal(pthread_create(&t, NULL, hammer, f->ram + T3 + 32), 0);
	for (int i = 0; i < 2000; i++) {
		uint64_t gpa = 0;
		int fault = 9;
		int err =
		    vm_gla2gpa(f->v, &f->pg, GLA64, PROT_WRITE, &gpa, &fault);

		/* Never a fault; seldom, that it gave up. */
		assert_int_equal(fault, 0);
		assert_true(err == 0 ? gpa == PAGE : errno == EAGAIN);
		__atomic_fetch_and((uint64_t *)(f->ram + T3 + 32),
		    ~(uint64_t)(A | D), __ATOMIC_SEQ_CST);
	}
	__atomic_store_n(&hammering, 0, __ATOMIC_SEQ_CST);
	pthread_join(t, NULL);
	assert_true((get64(f, T3, 4) & ~0x200ull) == (PAGE | P | RW | US));
}

/* --- the present state -----------------------------------------------------
 */

static void
state_is(struct fix *f, uint32_t cs, uint64_t rflags, enum vm_cpu_mode mode,
    enum vm_paging_mode paging, int cpl)
{
	struct vm_guest_paging pg;

	fake_vcpu(f->v)->reg[VM_REG_GUEST_RFLAGS] = rflags;
	fake_vcpu(f->v)->desc[VM_REG_GUEST_CS].access = cs;
	assert_int_equal(vm_get_guest_paging(f->v, &pg), 0);
	assert_int_equal(pg.cpu_mode, mode);
	assert_int_equal(pg.paging_mode, paging);
	assert_int_equal(pg.cpl, cpl);
	assert_int_equal(pg.cr3, ROOT);
}

static void
present_state(void **state)
{
	struct fix *f = *state;

	fake_vcpu(f->v)->desc[VM_REG_GUEST_SS].access = 0xf3; /* DPL 3 */
	regs(f, 0, 0, 0);
	state_is(f, 0x93, 2, CPU_MODE_REAL, PAGING_MODE_FLAT, 0);
	regs(f, CR0_PE, CR4_PAE, 0);
	state_is(f, 0xc09b, 2, CPU_MODE_PROTECTED, PAGING_MODE_FLAT, 3);
	regs(f, CR0_PE | CR0_PG, 0, 0);
	state_is(f, 0xc09b, 2, CPU_MODE_PROTECTED, PAGING_MODE_32, 3);
	state_is(f, 0xf3, 0x20002, CPU_MODE_REAL, PAGING_MODE_32, 3); /* v86 */
	regs(f, CR0_PE | CR0_PG, CR4_PAE, 0);
	state_is(f, 0xc09b, 2, CPU_MODE_PROTECTED, PAGING_MODE_PAE, 3);
	regs(f, CR0_PE | CR0_PG, CR4_PAE, LMA);
	state_is(f, 0xa0fb, 2, CPU_MODE_64BIT, PAGING_MODE_64, 3);
	state_is(f, 0xc0fb, 2, CPU_MODE_COMPATIBILITY, PAGING_MODE_64, 3);
}

/* --- copying ---------------------------------------------------------------
 */

static void
copying(void **state)
{
	struct fix *f = *state;
	uint8_t in[0x2000], out[0x2000];
	struct iovec iov[4];
	int fault = 9;

	use_64(f);
	set64(f, T3, 5, 0x500000 | P | RW | US);
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 7 + 1);
	assert_int_equal(vm_copy_setup(f->v, &f->pg, GLA64 + 0xff0, 0x1000,
			     PROT_WRITE, iov, 4, &fault),
	    0);
	assert_int_equal(fault, 0);
	assert_ptr_equal(iov[0].iov_base, f->ram + PAGE + 0xff0);
	assert_int_equal(iov[0].iov_len, 0x10);
	assert_ptr_equal(iov[1].iov_base, f->ram + 0x500000);
	assert_int_equal(iov[1].iov_len, 0xff0);
	assert_int_equal(iov[2].iov_len, 0);
	vm_copyout(f->v, in, iov, sizeof(in)); /* more than was set up */
	assert_memory_equal(f->ram + PAGE + 0xff0, in, 0x10);
	assert_memory_equal(f->ram + 0x500000, in + 0x10, 0xff0);
	assert_int_equal(f->ram[0x500ff0], 0);
	/* The engine heard of the last piece. */
	assert_int_equal(fake_vm(f->ctx)->written_gpa, 0x500000);
	assert_int_equal(fake_vm(f->ctx)->written_len, 0xff0);
	memset(out, 0, sizeof(out));
	vm_copyin(f->v, iov, out, 0x20);
	assert_memory_equal(out, in, 0x20);
	assert_int_equal(out[0x20], 0);
	vm_copyin(f->v, iov, out, sizeof(out));
	assert_memory_equal(out, in, 0x1000);
	vm_copy_teardown(f->v, iov, 4);
	assert_null(iov[0].iov_base);
	vm_copyin(f->v, iov, out, 1); /* nothing is left to copy */
}

static void
copying_fails(void **state)
{
	struct fix *f = *state;
	struct iovec iov[4];
	int fault = 9;

	use_64(f);
	/* The second page is not there: a fault of the guest's. */
	assert_int_equal(vm_copy_setup(f->v, &f->pg, GLA64, 0x1001, PROT_READ,
			     iov, 4, &fault),
	    0);
	assert_int_equal(fault, 1);
	assert_true(fake_vcpu(f->v)->reg[VM_REG_GUEST_CR2] == GLA64 + 0x1000);
	/* Too few entries; a page that is no RAM; nothing at all. */
	assert_int_equal(vm_copy_setup(f->v, &f->pg, GLA64 + 0xfff, 2,
			     PROT_READ, iov, 1, &fault),
	    -1);
	assert_int_equal(errno, EFAULT);
	set64(f, T3, 5, 0xd0000000 | P | RW | US);
	assert_int_equal(vm_copy_setup(f->v, &f->pg, GLA64 + 0x1000, 2,
			     PROT_READ, iov, 1, &fault),
	    -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(
	    vm_copy_setup(f->v, &f->pg, 0, 0, PROT_READ, iov, 1, &fault), 0);
	assert_int_equal(fault, 0);
	f->pg.cpl = -1;
	assert_int_equal(
	    vm_copy_setup(f->v, &f->pg, 0, 1, PROT_READ, iov, 1, &fault), -1);
	assert_int_equal(errno, EINVAL);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(flat),
		T(long_mode),
		T(pae),
		T(two_levels),
		T(rights),
		T(tables_outside_of_memory),
		T(nonsense),
		T(entries_that_change),
		T(present_state),
		T(copying),
		T(copying_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
