/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * segs.c - segments as a Linux program can get at them: modify_ldt, far
 * transfers between 64-bit, 32-bit and 16-bit code, FS and GS bases, LAR LSL
 * VERR VERW, and returns from signals to changed CS, SS and RIP.
 */
#include "user.h"

#include <asm/ldt.h>
#include <asm/prctl.h>
#include <cpuid.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define CS_64	   0x33
#define CS_32	   0x23
#define SS_USER	   0x2b
#define LDT_SEL(n) ((n) << 3 | 7)

enum { /* entries of our LDT */
	LDT_CODE32,
	LDT_CODE16,
	LDT_DATA32, /* all of memory below 4 GiB */
	LDT_SMALL,  /* 256 bytes at the scratch page */
	LDT_STACK16,
	LDT_RO,
	LDT_ABSENT,
	LDT_DOWN, /* expand-down, above 0xfff */
	LDT_COUNT
};

/*
 * Debian's cloud kernel is built without 16-bit segments.  Whether to try them
 * is the caller's to say: output must be the same on both kernels.
 */
static bool try16;

static uint8_t *low; /* pages below 2 GiB: code, scratch, stacks */
#define LOW_CODE    0x0000
#define LOW_SCRATCH 0x1000
#define LOW_STACK   0x3000
#define LOW_STACK16 0x4000
#define LOW_SIZE    0x5000

static uint32_t
low_addr(unsigned int off)
{
	return (uint32_t)(uintptr_t)(low + off);
}

/* --- LDT ------------------------------------------------------------------ */

static void
ldt_set(unsigned int n, uint32_t base, uint32_t limit, unsigned int contents,
    bool is32, bool ro, bool absent)
{
	struct user_desc d = { .entry_number = n,
		.base_addr = base,
		.limit = limit,
		.seg_32bit = is32,
		.contents = contents,
		.read_exec_only = ro,
		.limit_in_pages = limit > 0xfff,
		.seg_not_present = absent,
		.useable = 1 };

	if (syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)) != 0)
		die("modify_ldt");
}

static void
ldt_setup(void)
{
	ldt_set(LDT_CODE32, 0, 0xfffff, 2, true, false, false);
	ldt_set(LDT_CODE16, low_addr(0), 0xfff, 2, !try16, false, false);
	ldt_set(LDT_DATA32, 0, 0xfffff, 0, true, false, false);
	ldt_set(LDT_SMALL, low_addr(LOW_SCRATCH), 255, 0, true, false, false);
	ldt_set(
	    LDT_STACK16, low_addr(LOW_STACK16), 0xfff, 0, !try16, false, false);
	ldt_set(LDT_RO, low_addr(LOW_SCRATCH), 0xfff, 0, true, true, false);
	ldt_set(LDT_ABSENT, 0, 0xfffff, 0, true, false, true);
	ldt_set(LDT_DOWN, low_addr(LOW_SCRATCH), 0xff, 1, true, false, false);
}

/* --- LAR and its kin ------------------------------------------------------ */

static void
test_lar(void)
{
	static const uint16_t sels[] = { 0, 3, 8, 0x10, 0x18, 0x23, 0x2b, 0x33,
		0x20, 0x28, 0x30, 0x40, LDT_SEL(LDT_CODE32),
		LDT_SEL(LDT_CODE16), LDT_SEL(LDT_DATA32), LDT_SEL(LDT_SMALL),
		LDT_SEL(LDT_STACK16), LDT_SEL(LDT_RO), LDT_SEL(LDT_ABSENT),
		LDT_SEL(LDT_DOWN), LDT_SEL(LDT_COUNT), LDT_SEL(100), 0xfff8 };

	for (size_t n = 0; n < NELEM(sels); n++) {
		uint32_t lar = 0x55, lsl = 0x55;
		bool has_lar, has_lsl, r, w;

		__asm__("lar %2, %0"
			: "+r"(lar), "=@ccz"(has_lar)
			: "r"((uint32_t)sels[n]));
		__asm__("lsl %2, %0"
			: "+r"(lsl), "=@ccz"(has_lsl)
			: "r"((uint32_t)sels[n]));
		__asm__("verr %1" : "=@ccz"(r) : "r"(sels[n]));
		__asm__("verw %1" : "=@ccz"(w) : "r"(sels[n]));
		printf("selector %04x: lar %d %08x lsl %d %08x r %d w %d\n",
		    sels[n], has_lar, lar, has_lsl, lsl, r, w);
	}
}

/* --- 32- and 16-bit code -------------------------------------------------- */

struct far64 {
	uint32_t off;
	uint16_t sel;
} __attribute__((packed));

/*
 * Call code in the low pages by far call from 64-bit mode, with a stack there;
 * EAX and EDX in, EAX out.
 */
static uint32_t
call_low(unsigned int cs, uint32_t off, uint32_t eax, uint32_t edx)
{
	struct far64 to = { off, (uint16_t)cs };

	__asm__ volatile(
	    "mov %%rsp, %%r12\n\t"
	    "mov %[stack], %%rsp\n\t"
	    "lcall *(%[to])\n\t"
	    "mov %%r12, %%rsp\n\t"
	    "mov %[ss], %%ecx\n\t mov %%ecx, %%ss\n\t"
	    "xor %%ecx, %%ecx\n\t"
	    "mov %%ecx, %%ds\n\t mov %%ecx, %%es"
	    : "+a"(eax), "+d"(edx)
	    : [to] "r"(&to), [stack] "r"((uint64_t)low_addr(LOW_STACK + 0xf00)),
	    [ss] "i"(SS_USER)
	    : "rcx", "rbx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
	    "memory", "cc");
	return eax;
}

static unsigned int code_used = LOW_CODE;

/* Put code into the low page; returns its offset there. */
static unsigned int
put_code(const void *code, size_t len)
{
	unsigned int at = code_used;

	memcpy(low + at, code, len);
	code_used += (unsigned int)(len + 15) & ~15u;
	return at;
}
#define CODE(...)                                                              \
	put_code((const uint8_t[]){ __VA_ARGS__ },                             \
	    sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void
test_code32(void)
{
	unsigned int at;

	/* inc eax (an REX prefix in 64-bit mode); retf */
	at = CODE(0x40, 0xcb);
	printf("inc32: %08x\n", call_low(CS_32, low_addr(at), 0xffffffff, 0));
	printf("inc32 ldt: %08x\n",
	    call_low(LDT_SEL(LDT_CODE32), low_addr(at), 0x7fffffff, 0));
	/* 16-bit operand size is the default there: inc ax; o32 retf */
	if (try16)
		printf("inc16: %08x\n",
		    call_low(LDT_SEL(LDT_CODE16), 0, 0x1ffff, 0));
	/* daa; aaa; aam; retf */
	at = CODE(0x27, 0x37, 0xd4, 0x0a, 0xcb);
	printf("bcd: %08x\n", call_low(CS_32, low_addr(at), 0x129b, 0));
	/* mov ds, dx; mov eax, [ds:4]; retf */
	at = CODE(0x8e, 0xda, 0xa1, 4, 0, 0, 0, 0xcb);
	memcpy(low + LOW_SCRATCH + 4, "\x78\x56\x34\x12", 4);
	printf("ds small: %08x\n",
	    call_low(CS_32, low_addr(at), 0, LDT_SEL(LDT_SMALL)));
	/* mov ds, dx; mov [ds:8], eax; mov eax, [ds:8]; retf */
	at = CODE(0x8e, 0xda, 0xa3, 8, 0, 0, 0, 0xa1, 8, 0, 0, 0, 0xcb);
	printf("ds write: %08x\n",
	    call_low(CS_32, low_addr(at), 0xabcd, LDT_SEL(LDT_SMALL)));
	/* pushad; popad; push cs; pop edx; mov eax, edx; retf */
	at = CODE(0x60, 0x61, 0x0e, 0x5a, 0x89, 0xd0, 0xcb);
	printf("push cs: %08x\n", call_low(CS_32, low_addr(at), 0, 0));
	/* mov eax, 20 (getpid); int 0x80; retf */
	at = CODE(0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xcb);
	CHECK(call_low(CS_32, low_addr(at), 0, 0) == (uint32_t)getpid());
	/* mov ss, dx; sub esp via push/pop on the 16-bit stack is elsewhere */
	at = CODE(0x0f, 0x02, 0xc2, 0xcb); /* lar eax, edx */
	printf("lar32: %08x\n",
	    call_low(CS_32, low_addr(at), 0, LDT_SEL(LDT_DOWN)));
}

/* --- faults there --------------------------------------------------------- */

static sigjmp_buf back;

static void
on_fault(int sig, siginfo_t *si, void *ctx)
{
	const greg_t *g = ((ucontext_t *)ctx)->uc_mcontext.gregs;
	uint64_t csgsfs = (uint64_t)g[REG_CSGSFS];
	uint64_t rip = (uint64_t)g[REG_RIP] - low_addr(0);

	printf("sig %d code %d trap %lld err %#llx cs %x ss %x rip %#llx\n",
	    sig, si->si_code, (long long)g[REG_TRAPNO], (long long)g[REG_ERR],
	    (unsigned int)(csgsfs & 0xffff), (unsigned int)(csgsfs >> 48),
	    rip < LOW_SIZE ? (unsigned long long)rip : 0xffffull);
	siglongjmp(back, 1);
}

static void
try_low(const char *name, unsigned int cs, uint32_t off, uint32_t edx)
{
	printf("%s: ", name);
	if (sigsetjmp(back, 1) == 0)
		printf("%08x\n", call_low(cs, off, 0x11111111, edx));
}

static void
test_faults32(void)
{
	unsigned int load = CODE(0x8e, 0xda, 0xa1, 0xfe, 0, 0, 0, 0xcb);
	unsigned int store = CODE(0x8e, 0xda, 0xa3, 0x10, 0, 0, 0, 0xcb);
	unsigned int below = CODE(0x8e, 0xda, 0xa1, 0x40, 0, 0, 0, 0xcb);
	unsigned int above = CODE(0x8e, 0xda, 0xa1, 0x04, 1, 0, 0, 0xcb);
	unsigned int into = CODE(0xb0, 0x7f, 0x04, 1, 0xce, 0x90, 0xcb);
	unsigned int into0 = CODE(0x30, 0xc0, 0xce, 0x90, 0xcb);
	unsigned int lss = CODE(0x8e, 0xd2, 0x90, 0xcb);
	unsigned int loades = CODE(0x8e, 0xc2, 0x8c, 0xc0, 0xcb);
	unsigned int bound = CODE(0x2e, 0x62, 0x02, 0xcb);
	unsigned int bound_ok = CODE(0x31, 0xc0, 0x2e, 0x62, 0x02, 0xcb);

	try_low("beyond the limit", CS_32, low_addr(load), LDT_SEL(LDT_SMALL));
	try_low("read-only", CS_32, low_addr(store), LDT_SEL(LDT_RO));
	try_low("null ds", CS_32, low_addr(load), 3);
	try_low("absent", CS_32, low_addr(loades), LDT_SEL(LDT_ABSENT));
	try_low("not there", CS_32, low_addr(loades), LDT_SEL(LDT_COUNT + 50));
	try_low("kernel data", CS_32, low_addr(loades), 0x18);
	try_low("code as es", CS_32, low_addr(loades), CS_32);
	try_low("down, below", CS_32, low_addr(below), LDT_SEL(LDT_DOWN));
	try_low("down, above", CS_32, low_addr(above), LDT_SEL(LDT_DOWN));
	try_low("into, of", CS_32, low_addr(into), 0);
	try_low("into, no of", CS_32, low_addr(into0), 0);
	try_low("ss read-only", CS_32, low_addr(lss), LDT_SEL(LDT_RO));
	try_low("ss absent", CS_32, low_addr(lss), LDT_SEL(LDT_ABSENT));
	try_low("ss null", CS_32, low_addr(lss), 0);
	memcpy(low + LOW_SCRATCH + 64, "\0\0\0\0\5\0\0\0", 8);
	try_low("bound", CS_32, low_addr(bound), low_addr(LOW_SCRATCH + 64));
	try_low("bound, inside", CS_32, low_addr(bound_ok),
	    low_addr(LOW_SCRATCH + 64));
	try_low("cs data", LDT_SEL(LDT_DATA32), 0, 0);
	try_low("cs absent", LDT_SEL(LDT_ABSENT), 0, 0);
	try_low("cs limit", LDT_SEL(LDT_CODE16), 0x1000, 0);
	try_low("cs kernel", 0x10, 0, 0);
}

/* --- 16-bit stacks -------------------------------------------------------- */

/*
 * A signal handler sends its frame to 32-bit code on a 16-bit stack, so that
 * the kernel's IRET must restore the high half of ESP by way of espfix64; the
 * code comes back by INT3, whose frame is put right again.
 */
static ucontext_t saved;
static uint32_t esp_seen, eax_seen, ss_seen;

static void
set_segments(ucontext_t *uc, unsigned int cs, unsigned int ss)
{
	uint64_t v = (uint64_t)uc->uc_mcontext.gregs[REG_CSGSFS];

	v = (v & 0x0000ffffffff0000ull) | cs | (uint64_t)ss << 48;
	uc->uc_mcontext.gregs[REG_CSGSFS] = (greg_t)v;
}

static unsigned int go_cs, go_ss;
static uint64_t go_rip, go_rsp;

static void
on_usr1(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;

	(void)sig;
	(void)si;
	memcpy(&saved, uc, sizeof(saved));
	set_segments(uc, go_cs, go_ss);
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)go_rip;
	uc->uc_mcontext.gregs[REG_RSP] = (greg_t)go_rsp;
	uc->uc_mcontext.gregs[REG_RCX] = 0;
}

static void
on_return_trap(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;
	greg_t *g = uc->uc_mcontext.gregs;

	(void)si;
	esp_seen = (uint32_t)g[REG_RSP];
	eax_seen = (uint32_t)g[REG_RAX];
	ss_seen = (uint32_t)((uint64_t)g[REG_CSGSFS] >> 48);
	printf("sig %d trap %lld err %#llx cs %x ss %x\n", sig,
	    (long long)g[REG_TRAPNO], (long long)g[REG_ERR],
	    (unsigned int)g[REG_CSGSFS] & 0xffff, ss_seen);
	memcpy(g, saved.uc_mcontext.gregs, sizeof(saved.uc_mcontext.gregs));
}

static void
on_alt_stack(int sig, void (*fn)(int, siginfo_t *, void *))
{
	struct sigaction sa = { .sa_sigaction = fn,
		.sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigaction(sig, &sa, NULL);
}

static void
go(const char *name, unsigned int cs, unsigned int ss, uint64_t rip,
    uint64_t rsp)
{
	printf("%s: ", name);
	fflush(stdout);
	go_cs = cs;
	go_ss = ss;
	go_rip = rip;
	go_rsp = rsp;
	raise(SIGUSR1);
	printf("  esp %#x eax %#x\n", esp_seen, eax_seen);
}

static void
test_sigreturn(void)
{
	/* mov eax, esp; int3 / the same in 16-bit code: o32 mov eax, esp */
	unsigned int at = CODE(0x89, 0xe0, 0xcc);
	unsigned int at16 = CODE(0x66, 0x89, 0xe0, 0xcc);
	/* push ax; pop cx; o32 mov eax, esp; int3 in a 16-bit segment */
	unsigned int push16 =
	    CODE(0x50, 0x50, 0x66, 0x89, 0xe0, 0x59, 0x59, 0xcc);
	uint64_t sp16 = 0x5a5a0800;

	on_alt_stack(SIGUSR1, on_usr1);
	on_alt_stack(SIGTRAP, on_return_trap);
	on_alt_stack(SIGSEGV, on_return_trap);
	on_alt_stack(SIGBUS, on_return_trap);
	on_alt_stack(SIGILL, on_return_trap);
	go("32-bit code", CS_32, SS_USER, low_addr(at), 0x12345678);
	go("64-bit code", CS_64, SS_USER, low_addr(at), 0x12345678);
	if (!try16)
		at16 = push16 = at;
	go("16-bit stack", CS_32, LDT_SEL(LDT_STACK16), low_addr(at), sp16);
	go("16-bit stack, 64-bit code", CS_64, LDT_SEL(LDT_STACK16),
	    low_addr(at), sp16);
	go("16-bit code", LDT_SEL(LDT_CODE16), SS_USER, at16, 0x12345678);
	go("16-bit both", LDT_SEL(LDT_CODE16), LDT_SEL(LDT_STACK16), push16,
	    sp16);
	go("16-bit stack wraps", LDT_SEL(LDT_CODE16), LDT_SEL(LDT_STACK16),
	    push16, 0x5a5a0002);
	go("cs null", 0, SS_USER, low_addr(at), 0);
	go("cs data", SS_USER, SS_USER, low_addr(at), 0);
	go("cs kernel", 0x10, SS_USER, low_addr(at), 0);
	go("ss code", CS_32, CS_32, low_addr(at), 0);
	go("ss null, 32-bit code", CS_32, 0, low_addr(at), 0);
	/* A kernel with espfix64 gets there by a double fault. */
	if (try16) {
		go("ss absent", CS_32, LDT_SEL(LDT_ABSENT), low_addr(at), 0);
		go("ss read-only", CS_64, LDT_SEL(LDT_RO), low_addr(at), 0);
	}
	go("rip beyond the limit", LDT_SEL(LDT_CODE16), SS_USER, 0x2000, 0);
}

/* --- FS and GS bases ------------------------------------------------------ */

__attribute__((target("fsgsbase"))) static void
test_bases(void)
{
	static uint64_t area[4] = { 0x1111, 0x2222, 0x3333, 0x4444 };
	uint64_t base = 0, v = 0;

	CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, area) == 0);
	__asm__ volatile("mov %%gs:8, %0" : "=r"(v));
	CHECK(v == 0x2222);
	CHECK(syscall(SYS_arch_prctl, ARCH_GET_GS, &base) == 0 &&
	      base == (uintptr_t)area);
	/* The LDT's base through a selector; limits do not count. */
	memcpy(low + LOW_SCRATCH + 0x400, "\xef\xbe\xad\xde\0\0\0\0", 8);
	__asm__ volatile("mov %1, %%gs\n\t mov %%gs:0x400, %0"
			 : "=r"(v)
			 : "r"((uint32_t)LDT_SEL(LDT_SMALL)));
	CHECK(v == 0xdeadbeef);
	CHECK(syscall(SYS_arch_prctl, ARCH_GET_GS, &base) == 0 &&
	      base == low_addr(LOW_SCRATCH));
	sched_yield();
	__asm__ volatile("mov %%gs:0x400, %0" : "=r"(v));
	CHECK(v == 0xdeadbeef);
	__asm__ volatile("xor %%eax, %%eax\n\t mov %%eax, %%gs" ::: "rax");
	if (!(getauxval(AT_HWCAP2) & 2)) { /* HWCAP2_FSGSBASE */
		printf("bases: done\n");
		return;
	}
	__asm__ volatile("wrgsbase %0" : : "r"((uint64_t)(area + 1)));
	for (unsigned int n = 0; n < 100; n++) {
		__asm__ volatile("mov %%gs:8, %0" : "=r"(v));
		CHECK(v == 0x3333);
		__asm__ volatile("rdgsbase %0" : "=r"(base));
		CHECK(base == (uintptr_t)(area + 1));
		if (n % 10 == 0)
			sched_yield();
	}
	__asm__ volatile("rdfsbase %0\n\t mov %%fs:0, %1"
			 : "=r"(base), "=r"(v));
	CHECK(base == v); /* the thread pointer points to itself */
	printf("bases: done\n");
}

/* Bases and a selector of the LDT in several threads. */
static void *
base_thread(void *arg)
{
	uint64_t *mine = arg, v;

	syscall(SYS_arch_prctl, ARCH_SET_GS, mine);
	for (unsigned int n = 0; n < 3000; n++) {
		mine[1] = n;
		if (n % 16 == 0)
			sched_yield();
		__asm__ volatile("mov %%gs:8, %0" : "=r"(v));
		CHECK(v == n);
	}
	return NULL;
}

static void
test_base_threads(void)
{
	static uint64_t areas[6][2];
	pthread_t t[6];

	for (unsigned int n = 0; n < NELEM(t); n++)
		if (pthread_create(&t[n], NULL, base_thread, areas[n]) != 0)
			die("pthread_create");
	for (unsigned int n = 0; n < NELEM(t); n++)
		pthread_join(t[n], NULL);
	printf("base threads: done\n");
}

/* --- main ----------------------------------------------------------------- */

int
main(int argc, char **argv)
{
	stack_t ss = { .ss_size = 65536 };

	try16 = argc > 1 && strcmp(argv[1], "16") == 0;
	ss.ss_sp = malloc(ss.ss_size);
	if (ss.ss_sp == NULL || sigaltstack(&ss, NULL) != 0)
		die("sigaltstack");
	low = mmap(NULL, LOW_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (low == MAP_FAILED)
		die("mmap");
	memset(low, 0x90, LOW_SIZE);
	CODE(0x40, 0x66, 0xcb); /* at 0 for LDT_CODE16: inc ax; o32 retf */
	ldt_setup();
	test_lar();
	test_code32();
	for (unsigned int n = 0; n < 4; n++)
		on_alt_stack(
		    (const int[]){ SIGSEGV, SIGBUS, SIGTRAP, SIGILL }[n],
		    on_fault);
	test_faults32();
	test_sigreturn();
	test_bases();
	test_base_threads();
	return user_end("segs");
}
