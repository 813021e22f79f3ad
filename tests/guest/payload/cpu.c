/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exceptions and CPU identification: every fault of AMD APM 2, 8.2 that needs
 * no page tables of its own, their error codes and saved RIP, double faults,
 * nesting, and what CPUID and the MSRs answer.
 */
#include "guest.h"

#define MSR_EFER     0xc0000080
#define MSR_FS_BASE  0xc0000100
#define CPUID_RDTSCP 0x08000000u /* 80000001H:EDX */
#define MSR_TSC_AUX  0xc0000103
#define MSR_PAT	     0x277
#define CR0_TS	     0x8ull
#define CR0_EM	     0x4ull
#define CR0_AM	     0x40000ull
#define EFL_AC	     0x40000ull

/* A function whose first instruction traps: RIP must be its own address. */
#define TRAPPER(name, code)                                                    \
	void name(void *);                                                     \
	__asm__(".text\n" #name ": " code "\nret\n")

TRAPPER(do_div, "xorl %ecx, %ecx; do_div_at: divl %ecx");
TRAPPER(do_int3, "int3; do_int3_after: nop");
TRAPPER(do_ud2, "ud2");
TRAPPER(do_int_50, "int $0x50; do_int_50_after: nop");
TRAPPER(do_int1, ".byte 0xf1");
extern uint8_t do_div_at[], do_int3_after[], do_int_50_after[];

static uint64_t
addr(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static void
test_de(void)
{
	const struct frame *f = guarded(do_div, NULL);

	EXPECT_TRAP(f, 0, 0);
	CHECK_EQ(f->rip, addr(do_div_at));
	CHECK_EQ(f->cs, SEL_KCODE);
	CHECK_EQ(f->ss, SEL_KDATA);
}

static void
test_bp(void)
{
	const struct frame *f = guarded(do_int3, NULL);

	EXPECT_TRAP(f, 3, 0);
	CHECK_EQ(f->rip, addr(do_int3_after));
}

static void
test_icebp(void)
{
	EXPECT_TRAP(guarded(do_int1, NULL), 1, 0);
}

static void
test_ud(void)
{
	const struct frame *f = guarded(do_ud2, NULL);

	EXPECT_TRAP(f, 6, 0);
	CHECK_EQ(f->rip, addr(do_ud2));
}

static void
test_int_n(void)
{
	const struct frame *f = guarded(do_int_50, NULL);

	EXPECT_TRAP(f, 0x50, 0);
	CHECK_EQ(f->rip, addr(do_int_50_after));
}

/* --- #GP, #SS, #NP, #TS -----------------------------------------------------
 */

static void
load_gs(void *sel)
{
	__asm__ volatile("movl %0, %%gs" ::"r"((uint32_t)addr(sel)));
}

static void
load_ss(void *sel)
{
	__asm__ volatile("movl %0, %%ss" ::"r"((uint32_t)addr(sel)));
}

static void
test_gp_selectors(void)
{
	gdt[SEL_SCRATCH / 8] = 0x00cf92000000ffff & ~(0x8ull << 44); /* no P */
	gdt[SEL_SCRATCH / 8 + 1] = 0x0000890000000067;		     /* a TSS */
	EXPECT_TRAP(guarded(load_gs, (void *)0x3338), 13, 0x3338);
	EXPECT_TRAP(guarded(load_gs, (void *)SEL_SCRATCH), 11, SEL_SCRATCH);
	EXPECT_TRAP(
	    guarded(load_gs, (void *)(SEL_SCRATCH + 8)), 13, SEL_SCRATCH + 8);
	EXPECT_TRAP(guarded(load_ss, (void *)SEL_SCRATCH), 12, SEL_SCRATCH);
	EXPECT_TRAP(guarded(load_ss, (void *)SEL_KCODE), 13, SEL_KCODE);
	EXPECT_TRAP(guarded(load_ss, (void *)(SEL_UDATA | 3)), 13, SEL_UDATA);
	/* In the LDT, which is none. */
	EXPECT_TRAP(guarded(load_gs, (void *)0xc), 13, 0xc);
	/* Null is allowed, in SS at CPL 0 too. */
	EXPECT_NONE(guarded(load_gs, (void *)0));
	EXPECT_NONE(guarded(load_gs, (void *)3));
	EXPECT_NONE(guarded(load_ss, (void *)0));
	load_ss((void *)SEL_KDATA);
}

TRAPPER(gp_canonical, "movabsq $0x8000000000000000, %rax; movq (%rax), %rax");
TRAPPER(ss_canonical,
    "pushq %rbp; movabsq $0x8000000000000000, %rbp; movq (%rbp), %rax");
TRAPPER(ss_push, "movabsq $0x8000000000000000, %rsp; pushq %rax");
TRAPPER(gp_jump, "movabsq $0x8000000000000000, %rax; jmp *%rax");
TRAPPER(gp_int_gate, "int $0xfe; nop");
TRAPPER(gp_far, "ljmpl *gp_far_ptr; gp_far_ptr: .long 0; .word 0");
TRAPPER(gp_msr, "movl $0xdeadbeef, %ecx; rdmsr");
TRAPPER(gp_wrmsr, "movl $0xdeadbeef, %ecx; wrmsr");
TRAPPER(gp_cr0, "movl $0x80000000, %eax; movq %rax, %cr0");
TRAPPER(gp_cr4, "movq $-1, %rax; movq %rax, %cr4");
TRAPPER(gp_cr3, "movq $-1, %rax; movq %rax, %cr3");
TRAPPER(gp_cr8, "movl $0x10, %eax; movq %rax, %cr8");
TRAPPER(ud_cr1, ".byte 0x0f, 0x20, 0xc8");
TRAPPER(gp_dr7, "movq $-1, %rax; movq %rax, %dr7");
TRAPPER(gp_iret, "pushq $0; pushq $0; pushq $2; pushq $0; pushq $0; iretq");
TRAPPER(gp_lidt, "movabsq $0x8000000000000000, %rax; lidt (%rax)");
TRAPPER(gp_ltr, "movl $0x10, %eax; ltr %ax");
TRAPPER(gp_ltr0, "xorl %eax, %eax; ltr %ax");
TRAPPER(gp_lldt, "movl $0x10, %eax; lldt %ax");

static void
test_gp_ss(void)
{
	static const struct {
		void (*fn)(void *);
		unsigned int vector;
		uint64_t err;
	} table[] = {
		{ gp_canonical, 13, 0 },
		{ ss_canonical, 12, 0 },
		{ gp_jump, 13, 0 },
		{ gp_far, 13, 0 },
		{ gp_msr, 13, 0 },
		{ gp_wrmsr, 13, 0 },
		{ gp_cr0, 13, 0 },
		{ gp_cr4, 13, 0 },
		{ gp_cr3, 13, 0 },
		{ gp_cr8, 13, 0 },
		{ ud_cr1, 6, 0 },
		{ gp_dr7, 13, 0 },
		{ gp_iret, 13, 0 },
		{ gp_lidt, 13, 0 },
		{ gp_ltr, 13, 0x10 },
		{ gp_ltr0, 13, 0 },
		{ gp_lldt, 13, 0x10 },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct frame *f = guarded(table[i].fn, NULL);

		if (f == NULL || f->vector != table[i].vector ||
		    f->err != table[i].err)
			FAIL("case %lu: vector %lu, error %#lx", (uint64_t)i,
			    f == NULL ? 999ul : f->vector,
			    f == NULL ? 0ul : f->err);
	}
}

/* A gate that is not present, or not one: error code names the vector. */
static void
test_bad_gates(void)
{
	idt_set_gate(0xfe, do_ud2, 0);
	trap_set_dpl(0xfe, 0);
	EXPECT_TRAP(user_run(gp_int_gate, 0), 13, 0xfe * 8 + 2);
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idtr;

	__asm__ volatile("sidt %0" : "=m"(idtr));
	uint8_t *gate = (uint8_t *)(uintptr_t)idtr.base + 0xfe * 16;

	gate[5] = 0x0e; /* not present */
	EXPECT_TRAP(guarded(gp_int_gate, NULL), 11, 0xfe * 8 + 2);
	gate[5] = 0x85; /* task gate: none in long mode */
	EXPECT_TRAP(guarded(gp_int_gate, NULL), 13, 0xfe * 8 + 2);
	gate[5] = 0x8e;
	gate[2] = SEL_KDATA; /* not code */
	EXPECT_TRAP(guarded(gp_int_gate, NULL), 13, SEL_KDATA);
	gate[2] = 0;
	EXPECT_TRAP(guarded(gp_int_gate, NULL), 13, 0);
	gate[2] = SEL_KCODE;
}

/* --- double fault
 * --------------------------------------------------------------- */

static void
test_df_ist(void)
{
	const struct frame *f;

	/* #SS cannot push its frame: #DF, on a stack of its own. */
	trap_set_ist(8, 1);
	f = guarded(ss_push, NULL);
	trap_set_ist(8, 0);
	EXPECT_TRAP(f, 8, 0);
}

static void
test_df_gate(void)
{
	uint8_t *gate;
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idtr;
	const struct frame *f;

	/* #GP whose gate is not present: #NP while #GP, contributory twice. */
	__asm__ volatile("sidt %0" : "=m"(idtr));
	gate = (uint8_t *)(uintptr_t)idtr.base + 13 * 16;
	gate[5] = 0x0e;
	f = guarded(gp_msr, NULL);
	gate[5] = 0x8e;
	EXPECT_TRAP(f, 8, 0);
	/* #UD is benign: its gate's #NP is delivered, no double fault. */
	gate = (uint8_t *)(uintptr_t)idtr.base + 6 * 16;
	gate[5] = 0x0e;
	f = guarded(do_ud2, NULL);
	gate[5] = 0x8e;
	EXPECT_TRAP(f, 11, UINT64_MAX);
	CHECK_EQ(f->err & ~1ull, 6 * 8 + 2); /* EXT: the vendors differ */
}

static unsigned int depth;

static void
on_ud_nested(struct frame *f)
{
	depth++;
	f->rip += 2;
	if (depth < 20)
		__asm__ volatile("ud2");
	if (depth == 20) {
		const struct frame *g = guarded(do_div, NULL);

		if (g != NULL && g->vector == 0)
			depth = 100;
	}
}

static void
test_nested(void)
{
	depth = 0;
	trap_set(6, on_ud_nested);
	__asm__ volatile("ud2");
	CHECK_EQ(depth, 100);
}

/* --- #NM, #MF, #XM, #AC
 * ------------------------------------------------------------ */

TRAPPER(use_x87, "fninit");
TRAPPER(use_sse, "xorps %xmm0, %xmm0");
TRAPPER(use_fwait, "fwait");
TRAPPER(make_mf, "fninit; pushq $0x37b; fldcw (%rsp); popq %rax; fld1; fldz; "
		 "fdivrp; fwait");
TRAPPER(make_xm,
    "pushq $0x1d80; ldmxcsr (%rsp); popq %rax; movl $1, %eax; "
    "cvtsi2sdl %eax, %xmm0; xorps %xmm1, %xmm1; divsd %xmm1, %xmm0");

static void
test_nm(void)
{
	uint64_t cr0 = read_cr0();

	write_cr0(cr0 | CR0_TS);
	EXPECT_TRAP(guarded(use_x87, NULL), 7, 0);
	EXPECT_TRAP(guarded(use_sse, NULL), 7, 0);
	EXPECT_TRAP(guarded(use_fwait, NULL), 7, 0);
	__asm__ volatile("clts");
	EXPECT_NONE(guarded(use_sse, NULL));
	write_cr0(cr0 | CR0_EM);
	EXPECT_TRAP(guarded(use_x87, NULL), 7, 0);
	EXPECT_TRAP(guarded(use_sse, NULL), 6, 0);
	write_cr0(cr0);
	EXPECT_NONE(guarded(use_x87, NULL));
}

static void
test_mf_xm(void)
{
	uint32_t mxcsr = 0x1f80;

	EXPECT_TRAP(guarded(make_mf, NULL), 16, 0);
	__asm__ volatile("fninit");
	EXPECT_TRAP(guarded(make_xm, NULL), 19, 0);
	write_cr4(read_cr4() & ~0x400ull);
	EXPECT_TRAP(guarded(make_xm, NULL), 6, 0);
	write_cr4(read_cr4() | 0x400);
	__asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
}

TRAPPER(misaligned, "movl user_buf + 1(%rip), %eax; int $0x80");
uint8_t user_buf[16] __attribute__((aligned(16)));

static void
test_ac(void)
{
	struct user_start u = {
		.rip = USER(misaligned),
		.cs = SEL_UCODE | 3,
		.rflags = 2 | EFL_AC,
		.rsp = USER(user_stack) + USER_STACK_BYTES,
		.ss = SEL_UDATA | 3,
	};
	uint64_t cr0 = read_cr0();

	EXPECT_TRAP(user_run_at(&u), VEC_USER_RETURN, 0);
	write_cr0(cr0 | CR0_AM);
	EXPECT_TRAP(user_run_at(&u), 17, 0);
	u.rflags = 2;
	EXPECT_TRAP(user_run_at(&u), VEC_USER_RETURN, 0);
	/* At CPL 0 AC means nothing here. */
	__asm__ volatile("pushfq; orq $0x40000, (%%rsp); popfq;"
			 "movl %0, %%eax; pushfq; andq $~0x40000, (%%rsp);"
			 "popfq" ::"m"(user_buf[1])
			 : "rax", "memory");
	write_cr0(cr0);
}

/* --- compatibility mode's own: #BR, #OF, BOUND, INTO
 * ------------------------------ */

__asm__(".text\n.code32\n"
	"compat_into: movl $0x7fffffff, %eax; addl $1, %eax; into\n"
	"compat_into_after: int $0x80\n"
	"compat_bound: movl $5, %eax; bound %eax, USER_BOUNDS; int $0x80\n"
	"compat_bound_ok: movl $3, %eax; bound %eax, USER_BOUNDS; int $0x80\n"
	".code64\n"
	".set USER_BOUNDS, bounds + 0x80000000\n");
extern uint8_t compat_into[], compat_into_after[], compat_bound[],
    compat_bound_ok[];
int32_t bounds[2] = { 1, 4 };

static const struct frame *
run_compat(const void *rip)
{
	const struct user_start u = {
		.rip = USER(rip),
		.cs = SEL_UCODE32 | 3,
		.rflags = 2,
		.rsp = USER(user_stack) + USER_STACK_BYTES,
		.ss = SEL_UDATA | 3,
	};

	return user_run_at(&u);
}

static void
test_of_br(void)
{
	const struct frame *f = run_compat(compat_into);

	EXPECT_TRAP(f, 4, 0);
	CHECK_EQ(f->rip, USER(compat_into_after));
	f = run_compat(compat_bound);
	EXPECT_TRAP(f, 5, 0);
	CHECK_EQ(f->rip, USER(compat_bound) + 5);
	EXPECT_TRAP(run_compat(compat_bound_ok), VEC_USER_RETURN, 0);
}

/* --- identification
 * ------------------------------------------------------------------ */

static void
test_cpuid(void)
{
	struct cpuid r = cpuid(1, 0);

	CHECK((r.ecx & 1u << 31) != 0); /* a hypervisor */
	CHECK((r.edx & 1u << 9) != 0);	/* APIC */
	CHECK((r.edx & 1u << 4) != 0);	/* TSC */
	CHECK((r.ecx & 1u << 3) == 0);	/* no MONITOR */
	CHECK_EQ(r.ebx >> 24, 0);	/* APIC id */
	CHECK(cpuid(0, 0).eax >= 7);
	CHECK(cpuid(0x80000000, 0).eax >= 0x80000008);
	r = cpuid(0x80000001, 0);
	CHECK((r.edx & 1u << 29) != 0); /* long mode */
	CHECK((r.edx & 1u << 20) != 0); /* NX */
	CHECK((r.edx & 1u << 11) != 0); /* SYSCALL */
	CHECK((r.ecx & 1u << 2) == 0);	/* no SVM */
	r = cpuid(0x80000008, 0);
	CHECK_RANGE(r.eax & 0xff, 36, 52);
	/* 57 bits of linear address where CR4.LA57 can be set. */
	CHECK_EQ(
	    r.eax >> 8 & 0xff, (cpuid(7, 0).ecx & 1u << 16) != 0 ? 57 : 48);
	/* Past the end on AMD: all zero, or as the last leaf on Intel. */
	if (is_amd()) {
		r = cpuid(0x3fffffff, 0);
		CHECK_EQ(r.eax | r.ebx | r.ecx | r.edx, 0);
	}
	/* OSXSAVE follows CR4. */
	if ((cpuid(1, 0).ecx & 1u << 26) != 0) {
		CHECK((cpuid(1, 0).ecx & 1u << 27) == 0);
		write_cr4(read_cr4() | 0x40000);
		CHECK((cpuid(1, 0).ecx & 1u << 27) != 0);
		write_cr4(read_cr4() & ~0x40000ull);
	}
}

static void
test_hypervisor_leaf(void)
{
	struct cpuid r = cpuid(0x40000000, 0);
	char name[13] = "";

	memcpy(name, &r.ebx, 4);
	memcpy(name + 4, &r.ecx, 4);
	memcpy(name + 8, &r.edx, 4);
	CHECK(memcmp(name, "bhyve bhyve ", 12) == 0 ||
	      memcmp(name, "KVMKVMKVM\0\0\0", 12) == 0);
	CHECK(r.eax >= 0x40000000);
}

struct msr_probe {
	uint32_t msr;
	bool read_only;
	uint64_t val, got;
};

static void
msr_write_read(void *arg)
{
	struct msr_probe *p = arg;

	if (!p->read_only)
		wrmsr(p->msr, p->val);
	p->got = rdmsr(p->msr);
}

static void
test_msrs(void)
{
	static const struct {
		uint32_t msr;
		uint64_t val;
		bool faults;
	} table[] = {
		{ MSR_FS_BASE, 0x7fffffff000, false },
		{ MSR_FS_BASE, 0x8000000000000000, true },
		{ MSR_FS_BASE, 0, false },
		{ 0xc0000102, 0xffff800000000000, false },
		{ 0xc0000102, 0x0001000000000000, true },
		{ 0xc0000081, 0x001b000800000000, false },
		{ 0xc0000082, 0xffffffff80000000, false },
		{ 0xc0000082, 0x1000000000000000, true },
		{ 0xc0000084, 0x47700, false },
		{ MSR_PAT, 0x0007040600070406, false },
		{ MSR_PAT, 0x0007040600070402, true }, /* type 2 is reserved */
		{ 0x174, 0x10, false },
		{ 0x175, 0x1000, false },
		{ 0x176, 0xffff800000001000, false },
		{ 0x2ff, 0xc06, false },
		{ MSR_EFER, 0xd01 | 1ull << 40, true },
		{ 0x12345678, 1, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct msr_probe p = { table[i].msr, false, table[i].val, 0 };
		const struct frame *f = guarded(msr_write_read, &p);

		if ((f != NULL) != table[i].faults ||
		    (f != NULL && f->vector != 13) ||
		    (f == NULL && p.got != table[i].val))
			FAIL("MSR %#lx with %#lx: %s, reads %#lx",
			    (uint64_t)table[i].msr, table[i].val,
			    f != NULL ? "faults" : "is taken", p.got);
	}
	/* What firmware and kernels read first. */
	static const uint32_t readable[] = { 0x10, MSR_APIC_BASE, 0x8b, 0xfe,
		0x179, MSR_EFER, 0xc0010015, 0xc0010010, 0xc0010140 };

	for (size_t i = 0; is_amd() && i < ARRAY_LEN(readable); i++) {
		struct msr_probe p = { readable[i], true, 0, 0 };

		if (guarded(msr_write_read, &p) != NULL)
			FAIL("reading MSR %#lx faults", (uint64_t)readable[i]);
	}
	CHECK_EQ(rdmsr(MSR_APIC_BASE), 0xfee00900);
	CHECK_EQ(rdmsr(MSR_EFER), 0xd01);
	/* LME cannot be cleared while paging is on. */
	struct msr_probe p = { MSR_EFER, false, 0xc01, 0 };

	EXPECT_TRAP(guarded(msr_write_read, &p), 13, 0);
}

static uint64_t
rdtscp(uint32_t *ret_aux)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtscp" : "=a"(lo), "=d"(hi), "=c"(*ret_aux));
	return lo | (uint64_t)hi << 32;
}

static void
test_rdtsc(void)
{
	uint64_t a = rdtsc(), b, c;
	uint32_t aux;

	if ((cpuid(0x80000001, 0).edx & CPUID_RDTSCP) != 0) {
		wrmsr(MSR_TSC_AUX, 0x1234);
		b = rdtscp(&aux);
		CHECK_EQ(aux, 0x1234);
	} else {
		b = rdtsc();
	}
	CHECK(b > a);
	c = rdmsr(0x10);
	CHECK(c > b);
	/* Setting the counter moves it. */
	wrmsr(0x10, 0x100000000000);
	CHECK_RANGE(rdtsc(), 0x100000000000, 0x100000000000 + tsc_khz() * 1000);
	wrmsr(0x10, c);
	write_cr4(read_cr4() | 4); /* TSD does not bind CPL 0 */
	(void)rdtsc();
	write_cr4(read_cr4() & ~4ull);
}

/* Descriptor-table registers and others give back what was loaded. */
static void
test_descriptor_regs(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) d;
	uint32_t sel, limit;
	bool ok;

	__asm__ volatile("sgdt %0" : "=m"(d));
	CHECK_EQ(d.base, addr(gdt));
	CHECK_EQ(d.limit, SEL_TSS + 16 * GUEST_MAXCPU - 1);
	__asm__ volatile("str %0" : "=r"(sel));
	CHECK_EQ(sel, SEL_TSS);
	__asm__ volatile("sldt %0" : "=r"(sel));
	CHECK_EQ(sel, 0);
	CHECK_EQ(gdt[SEL_TSS / 8] >> 40 & 0x1f, 0x0b); /* busy now */
	__asm__ volatile("lsl %2, %0; sete %1"
			 : "=r"(limit), "=q"(ok)
			 : "r"(SEL_KCODE));
	CHECK(ok && limit == 0xffffffff);
	__asm__ volatile("lar %2, %0; sete %1"
			 : "=r"(limit), "=q"(ok)
			 : "r"(SEL_UCODE));
	CHECK(ok);
	CHECK_EQ(limit, 0xaffb00);
	__asm__ volatile("verw %w1; sete %0" : "=q"(ok) : "r"(SEL_KCODE));
	CHECK(!ok);
	__asm__ volatile("verr %w1; sete %0" : "=q"(ok) : "r"(SEL_KDATA));
	CHECK(ok);
}

const struct guest_test guest_tests[] = {
	TEST("#DE", test_de),
	TEST("#BP", test_bp),
	TEST("INT1", test_icebp),
	TEST("#UD", test_ud),
	TEST("INT n", test_int_n),
	TEST("#GP #NP #SS by selectors", test_gp_selectors),
	TEST("#GP and #SS by other causes", test_gp_ss),
	TEST("bad gates", test_bad_gates),
	TEST("#DF through an IST", test_df_ist),
	TEST("#DF by a bad gate", test_df_gate),
	TEST("nested exceptions", test_nested),
	TEST("#NM", test_nm),
	TEST("#MF and #XM", test_mf_xm),
	TEST("#AC", test_ac),
	TEST("#OF and #BR in compatibility mode", test_of_br),
	TEST("CPUID", test_cpuid),
	TEST("hypervisor leaf", test_hypervisor_leaf),
	TEST("MSRs", test_msrs),
	TEST("TSC", test_rdtsc),
	TEST("descriptor registers", test_descriptor_regs),
	TEST_END,
};
