/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between rings: INT, IRET, SYSCALL and SYSRET from 64-bit and compatibility
 * mode, SYSENTER and SYSEXIT, SWAPGS, FSGSBASE, stack switching by TSS,
 * privilege checks, I/O permission, UMIP, TSD.
 */
#include "guest.h"

#define MSR_STAR	0xc0000081
#define MSR_LSTAR	0xc0000082
#define MSR_CSTAR	0xc0000083
#define MSR_SFMASK	0xc0000084
#define MSR_GS_BASE	0xc0000101
#define MSR_KGS_BASE	0xc0000102
#define MSR_SYSENTER_CS 0x174
#define CR4_TSD		0x4ull
#define CR4_UMIP	0x800ull
#define CR4_FSGSBASE	0x10000ull

/* What SYSCALL's entry saw; it returns by SYSRET with rax + 1. */
uint64_t sys_rcx, sys_r11, sys_cs, sys_ss, sys_flags, sys_gs, sys_user_rsp;
uint64_t sys_count;

__asm__(
    ".text\n"
    "syscall_entry:\n"
    "swapgs\n"
    "movq %rsp, sys_user_rsp\n"
    "movq %rcx, sys_rcx\n"
    "movq %r11, sys_r11\n"
    "movq $user_stack + 4096, %rsp\n"
    "pushfq; popq sys_flags\n"
    "movl %cs, %ecx; movq %rcx, sys_cs\n"
    "movl %ss, %ecx; movq %rcx, sys_ss\n"
    "movq %gs:0, %rcx; movq %rcx, sys_gs\n"
    "incq sys_count\n"
    "incq %rax\n"
    "movq sys_user_rsp, %rsp\n"
    "movq sys_rcx, %rcx\n"
    "movq sys_r11, %r11\n"
    "swapgs\n"
    "sysretq\n"
    /* From compatibility mode: back by SYSRETL. */
    "syscall_compat_entry:\n"
    "movq %rcx, sys_rcx\n"
    "movq %r11, sys_r11\n"
    "incq sys_count\n"
    "addq $2, %rax\n"
    "sysretl\n"
    /* CPL 3, 64-bit. */
    "u_syscall: movq $0x1000, %rax; movq $0x55, %rbx\n"
    "syscall\n"
    "u_syscall_after: movq %gs:0, %rdx; movl %cs, %ecx; movl %ss, %esi\n"
    "int $0x80\n"
    "u_syscall_flags: stc; std; syscall; pushfq; popq %rbx; cld; int $0x80\n"
    "u_int: movl $7, %eax; int $0x81; int $0x80\n"
    "u_swapgs: swapgs\n"
    "u_gsbase: movq $0x12345000, %rax; wrgsbase %rax; rdgsbase %rbx\n"
    "wrfsbase %rbx; rdfsbase %rcx; int $0x80\n"
    "u_rdtsc: rdtsc; int $0x80\n"
    "u_sgdt: sgdt -64(%rsp); int $0x80\n"
    "u_in: inb $0x80, %al; int $0x80\n"
    "u_in_wide: inl $0x80, %eax; int $0x80\n"
    "u_cli: cli; int $0x80\n"
    "u_hlt: hlt\n"
    "u_popf: pushq $0x3202; popfq; pushfq; popq %rax; int $0x80\n"
    "u_lretq: pushq $0x1b; leaq u_compat_entry(%rip), %rax; pushq %rax\n"
    "lretq\n"
    ".code32\n"
    "u_compat_entry: movl $0x11223344, %eax; int $0x80\n"
    "u_compat_syscall: movl $0x2000, %eax; syscall\n"
    "u_compat_after: movl %cs, %ebx; int $0x80\n"
    "u_compat_int: int $0x81; movl %esp, %ecx; int $0x80\n"
    "u_compat_sysenter: movl $5, %eax; sysenter\n"
    "u_compat_stack: pushl $0x1234; popl %eax; pusha; popa; int $0x80\n"
    "u_compat_limit: movl %fs:0x1000, %eax; int $0x80\n"
    "u_compat_to_64: ljmpl $0x2b, $u_64_from_compat + 0x80000000\n"
    ".code64\n"
    "u_64_from_compat: movabsq $0x1122334455667788, %rax; int $0x80\n"
    "k_sysenter: leaq 0x3000(%rax), %rax; int $0x80\n");
extern uint8_t syscall_entry[], syscall_compat_entry[], u_syscall[],
    u_syscall_after[], u_syscall_flags[], u_int[], u_swapgs[], u_gsbase[],
    u_rdtsc[], u_sgdt[], u_in[], u_in_wide[], u_cli[], u_hlt[], u_popf[],
    u_lretq[], u_compat_entry[], u_compat_syscall[], u_compat_after[],
    u_compat_int[], u_compat_sysenter[], u_compat_stack[], u_compat_limit[],
    u_compat_to_64[], k_sysenter[];

static uint64_t gs_kernel = 0x4b, gs_user = 0x55;

static uint64_t
at(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static void
set_syscall(void)
{
	wrmsr(MSR_STAR,
	    (uint64_t)(SEL_UCODE32 | 3) << 48 | (uint64_t)SEL_KCODE << 32);
	wrmsr(MSR_LSTAR, at(syscall_entry));
	wrmsr(MSR_CSTAR, at(syscall_compat_entry));
	wrmsr(MSR_SFMASK, 0x700); /* DF IF TF */
	sys_count = 0;
}

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
test_syscall(void)
{
	const struct frame *f;

	set_syscall();
	/* The user's GS is the user alias's; the kernel's is swapped in. */
	wrmsr(MSR_GS_BASE, USER(&gs_user));
	wrmsr(MSR_KGS_BASE, at(&gs_kernel));
	f = user_run(u_syscall, 0);
	EXPECT_TRAP(f, VEC_USER_RETURN, 0);
	CHECK_EQ(f->rax, 0x1001);
	CHECK_EQ(f->rbx, 0x55);
	CHECK_EQ(f->rdx, 0x55);
	CHECK_EQ(f->rcx, SEL_UCODE | 3);
	CHECK_EQ(f->rsi, SEL_UDATA | 3);
	CHECK_EQ(sys_rcx, USER(u_syscall_after));
	CHECK_EQ(sys_cs, SEL_KCODE);
	CHECK_EQ(sys_ss, SEL_KCODE + 8);
	CHECK_EQ(sys_gs, 0x4b);
	CHECK_EQ(sys_r11 & 2, 2);
	CHECK_EQ(rdmsr(MSR_KGS_BASE), at(&gs_kernel));
	f = user_run(u_syscall_flags, 0);
	EXPECT_TRAP(f, VEC_USER_RETURN, 0);
	CHECK_EQ(sys_r11 & 0x401, 0x401);
	CHECK_EQ(sys_flags & 0x701, 0x001); /* DF masked, CF not */
	CHECK_EQ(f->rbx & 0x401, 0x401);
	wrmsr(MSR_GS_BASE, 0);
}

static void
test_syscall_off(void)
{
	wrmsr(0xc0000080, rdmsr(0xc0000080) & ~1ull);
	EXPECT_TRAP(user_run(u_syscall, 0), 6, 0);
	wrmsr(0xc0000080, rdmsr(0xc0000080) | 1);
}

static void
test_compat_syscall(void)
{
	const struct frame *f;

	set_syscall();
	f = run_compat(u_compat_syscall);
	if (!is_amd()) {
		EXPECT_TRAP(f, 6, 0);
		return;
	}
	EXPECT_TRAP(f, VEC_USER_RETURN, 0);
	CHECK_EQ(f->rax, 0x2002);
	CHECK_EQ(f->rbx, SEL_UCODE32 | 3);
	CHECK_EQ(sys_rcx, USER(u_compat_after));
}

static void
on_81(struct frame *f)
{
	sys_cs = f->cs;
	sys_user_rsp = f->rsp;
	sys_flags = (uint64_t)(uintptr_t)f;
	f->rax += 0x100;
}

static void
test_int_gate(void)
{
	const struct frame *f;
	uint64_t top = at(this_cpu()) + CPU_RSP0_TOP;

	trap_set(0x81, on_81);
	EXPECT_TRAP(user_run(u_int, 0), 13, 0x81 * 8 + 2);
	trap_set_dpl(0x81, 3);
	f = user_run(u_int, 0);
	EXPECT_TRAP(f, VEC_USER_RETURN, 0);
	CHECK_EQ(f->rax, 0x107);
	CHECK_EQ(sys_cs, SEL_UCODE | 3);
	CHECK_EQ(sys_user_rsp, USER(user_stack) + USER_STACK_BYTES);
	/* The frame is right below RSP0. */
	CHECK_EQ(sys_flags + sizeof(struct frame), top);
	f = run_compat(u_compat_int);
	EXPECT_TRAP(f, VEC_USER_RETURN, 0);
	CHECK_EQ(sys_cs, SEL_UCODE32 | 3);
	CHECK_EQ(f->rcx, (USER(user_stack) + USER_STACK_BYTES) & 0xffffffff);
	trap_set_dpl(0x81, 0);
}

static void
test_sysenter(void)
{
	const uint64_t top = at(this_cpu()) + CPU_RSP0_TOP;
	const struct frame *f;

	wrmsr(MSR_SYSENTER_CS, SEL_KCODE);
	wrmsr(MSR_SYSENTER_CS + 1, top);
	wrmsr(MSR_SYSENTER_CS + 2, at(k_sysenter));
	f = run_compat(u_compat_sysenter);
	if (is_amd()) {
		EXPECT_TRAP(f, 6, 0); /* not in long mode: APM 3 */
		return;
	}
	/* At CPL 0 in 64-bit mode (SDM 2 SYSENTER). */
	EXPECT_TRAP(f, VEC_USER_RETURN, 0);
	CHECK_EQ(f->rax, 0x3005);
	CHECK_EQ(f->cs, SEL_KCODE);
	CHECK_EQ(f->ss, SEL_KDATA);
	CHECK_EQ(f->rsp, top);
}

static void
test_compat(void)
{
	const struct frame *f = run_compat(u_compat_entry);

	EXPECT_TRAP(f, VEC_USER_RETURN, 0);
	CHECK_EQ(f->rax, 0x11223344);
	CHECK_EQ(f->cs, SEL_UCODE32 | 3);
	f = run_compat(u_compat_stack);
	EXPECT_TRAP(f, VEC_USER_RETURN, 0);
	CHECK_EQ(f->rax, 0x1234);
	f = run_compat(u_compat_to_64);
	EXPECT_TRAP(f, VEC_USER_RETURN, 0);
	CHECK_EQ(f->rax, 0x1122334455667788);
	CHECK_EQ(f->cs, SEL_UCODE | 3);
	f = user_run(u_lretq, 0);
	EXPECT_TRAP(f, VEC_USER_RETURN, 0);
	CHECK_EQ(f->rax, 0x11223344);
}

/* Limits count in compatibility mode. */
static void
test_compat_limit(void)
{
	gdt[SEL_SCRATCH / 8] = 0x8040f30000000fff; /* 4 KiB */
	__asm__ volatile("movl %0, %%fs" ::"r"(SEL_SCRATCH | 3));
	EXPECT_TRAP(run_compat(u_compat_limit), 13, 0);
	gdt[SEL_SCRATCH / 8] = 0x80c0f30000000001; /* 8 KiB */
	__asm__ volatile("movl %0, %%fs" ::"r"(SEL_SCRATCH | 3));
	EXPECT_TRAP(run_compat(u_compat_limit), VEC_USER_RETURN, 0);
	__asm__ volatile("movl %0, %%fs" ::"r"(0));
}

static void
test_privileged(void)
{
	const struct frame *f;

	EXPECT_TRAP(user_run(u_swapgs, 0), 13, 0);
	EXPECT_TRAP(user_run(u_cli, 0), 13, 0);
	EXPECT_TRAP(user_run(u_hlt, 0), 13, 0);
	EXPECT_TRAP(user_run(u_gsbase, 0), 6, 0);
	write_cr4(read_cr4() | CR4_FSGSBASE);
	f = user_run(u_gsbase, 0);
	EXPECT_TRAP(f, VEC_USER_RETURN, 0);
	CHECK_EQ(f->rcx, 0x12345000);
	CHECK_EQ(rdmsr(0xc0000100), 0x12345000);
	write_cr4(read_cr4() & ~CR4_FSGSBASE);
	wrmsr(0xc0000100, 0);
	wrmsr(MSR_GS_BASE, 0);
	EXPECT_TRAP(user_run(u_rdtsc, 0), VEC_USER_RETURN, 0);
	write_cr4(read_cr4() | CR4_TSD);
	EXPECT_TRAP(user_run(u_rdtsc, 0), 13, 0);
	write_cr4(read_cr4() & ~CR4_TSD);
	EXPECT_TRAP(user_run(u_sgdt, 0), VEC_USER_RETURN, 0);
	if ((cpuid(7, 0).ecx & 4) != 0) {
		write_cr4(read_cr4() | CR4_UMIP);
		EXPECT_TRAP(user_run(u_sgdt, 0), 13, 0);
		write_cr4(read_cr4() & ~CR4_UMIP);
	}
	f = user_run(u_popf, 0);
	EXPECT_TRAP(f, VEC_USER_RETURN, 0);
	CHECK_EQ(f->rax & 0x3200, 0); /* neither IOPL nor IF */
}

/* IOPL, and the bitmap behind the TSS. */
static void
test_io_permission(void)
{
	static uint8_t tss[104 + 8193 + 8] __attribute__((aligned(16)));
	struct user_start u = {
		.rip = USER(u_in),
		.cs = SEL_UCODE | 3,
		.rflags = 2 | 0x3000,
		.rsp = USER(user_stack) + USER_STACK_BYTES,
		.ss = SEL_UDATA | 3,
	};
	uint64_t base = at(tss), *d = &gdt[SEL_SCRATCH / 8];
	uint16_t iomap = 104;

	EXPECT_TRAP(user_run(u_in, 0), 13, 0);
	EXPECT_TRAP(user_run_at(&u), VEC_USER_RETURN, 0);
	memcpy(tss, this_cpu()->tss, 104);
	memcpy(tss + 102, &iomap, 2);
	memset(tss + 104, 0xff, sizeof(tss) - 104);
	d[0] = (104 + 8192) | (base & 0xffffff) << 16 | 0x89ull << 40 |
	       (base >> 24 & 0xff) << 56;
	d[1] = base >> 32;
	__asm__ volatile("ltr %w0" ::"r"(SEL_SCRATCH));
	u.rflags = 2;
	EXPECT_TRAP(user_run_at(&u), 13, 0);
	tss[104 + 0x80 / 8] = 0xfe; /* port 0x80 only */
	EXPECT_TRAP(user_run_at(&u), VEC_USER_RETURN, 0);
	u.rip = USER(u_in_wide);
	EXPECT_TRAP(user_run_at(&u), 13, 0);
	tss[104 + 0x80 / 8] = 0xf0;
	EXPECT_TRAP(user_run_at(&u), VEC_USER_RETURN, 0);
	gdt[SEL_TSS / 8] &= ~(2ull << 40);
	__asm__ volatile("ltr %w0" ::"r"(SEL_TSS));
}

/* An IRET with a bad stack segment or a non-canonical RIP. */
static void
test_iret_checks(void)
{
	struct user_start u = {
		.rip = USER(u_int),
		.cs = SEL_UCODE | 3,
		.rflags = 2,
		.rsp = USER(user_stack) + USER_STACK_BYTES,
		.ss = SEL_KDATA,
	};
	const struct frame *f;

	EXPECT_TRAP(user_run_at(&u), 13, SEL_KDATA);
	u.ss = SEL_UDATA | 3;
	u.cs = SEL_KCODE | 3;
	EXPECT_TRAP(user_run_at(&u), 13, SEL_KCODE);
	u.cs = SEL_UCODE | 3;
	u.rip = 0x8000000000000000;
	f = user_run_at(&u);
	EXPECT_TRAP(f, 13, 0);
	/* A RIP that is merely not mapped faults over there. */
	u.rip = 0x40000000000;
	f = user_run_at(&u);
	EXPECT_TRAP(f, 14, 0x14);
	CHECK_EQ(f->cs, SEL_UCODE | 3);
}

const struct guest_test guest_tests[] = {
	TEST("SYSCALL and SYSRET", test_syscall),
	TEST("SYSCALL switched off", test_syscall_off),
	TEST("SYSCALL from compatibility mode", test_compat_syscall),
	TEST("INT through a gate", test_int_gate),
	TEST("SYSENTER", test_sysenter),
	TEST("compatibility mode", test_compat),
	TEST("limits in compatibility mode", test_compat_limit),
	TEST("privileged instructions", test_privileged),
	TEST("I/O permission", test_io_permission),
	TEST("IRET's checks", test_iret_checks),
	TEST_END,
};
