/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * traps.c - every way a user program can trap, as the signal shows it: number,
 * code, vector, error code, address, and which instruction the saved RIP names.
 * Then single-stepping by TF, by its trace of addresses.
 *
 * Where AMD and Intel differ (non-canonical jumps, SYSCALL from compatibility
 * mode) nothing is tried.
 */
#include "user.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define FL_TF 0x100ull

/* --- one trap ------------------------------------------------------------- */

static sigjmp_buf back;
static uint8_t *ro_page, *no_page, *rw_page;
static volatile uintptr_t start;

static const struct {
	const char *name;
	uint8_t **p;
} places[] = { { "ro", &ro_page }, { "none", &no_page }, { "rw", &rw_page } };

static void
print_address(uintptr_t a)
{
	for (size_t n = 0; n < NELEM(places); n++) {
		uintptr_t p = (uintptr_t)*places[n].p;

		if (a - p < 4096) {
			printf(
			    "%s+%lu", places[n].name, (unsigned long)(a - p));
			return;
		}
	}
	if (a - start < 64)
		printf("code+%lu", (unsigned long)(a - start));
	else if (a + 4096 < 8192)
		printf("%ld", (long)a);
	else
		printf("elsewhere");
}

/* The kernel leaves AC set in handlers; libc could not live with that. */
static inline void
clear_ac(void)
{
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\t pushf\n\t"
			 "andl $~0x40000, (%%rsp)\n\t popf\n\t"
			 "lea 128(%%rsp), %%rsp"
			 :
			 :
			 : "cc", "memory");
}

static void
on_trap(int sig, siginfo_t *si, void *ctx)
{
	const greg_t *g = ((ucontext_t *)ctx)->uc_mcontext.gregs;

	clear_ac();
	printf("sig %d code %d trap %lld err %#llx rip ", sig, si->si_code,
	    (long long)g[REG_TRAPNO], (long long)g[REG_ERR]);
	print_address((uintptr_t)g[REG_RIP]);
	printf(" addr ");
	print_address((uintptr_t)si->si_addr);
	printf(" fl %#llx\n", (long long)g[REG_EFL] & 0x3ff7ff & ~0x8d5ll);
	siglongjmp(back, 1);
}

static void
catch_all(void (*fn)(int, siginfo_t *, void *))
{
	static const int sigs[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
	struct sigaction sa = { .sa_sigaction = fn,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	for (size_t n = 0; n < NELEM(sigs); n++)
		sigaction(sigs[n], &sa, NULL);
}

/*
 * Code to try: it begins at `name`_start, RDI holds rw_page, RSI ro_page, RDX
 * no_page; R15 keeps the stack.
 */
#define SNIPPET(name, code)                                                    \
	void try_##name(void *, void *, void *);                               \
	extern const uint8_t try_##name##_start[];                             \
	__asm__(".pushsection .text\n"                                         \
		"try_" #name ":\n\t push %rbx\n\t push %r15\n\t"               \
		"mov %rsp, %r15\n\t"                                           \
		"try_" #name "_start:\n\t" code "\n\t"                         \
		"mov %r15, %rsp\n\t pop %r15\n\t pop %rbx\n\t ret\n"           \
		".popsection");

#define SNIPPETS(M)                                                            \
	M(ud2, "ud2")                                                          \
	M(ud1, "ud1 %eax, %ecx")                                               \
	M(lock_nop, ".byte 0xf0, 0x90")                                        \
	M(lock_mov, ".byte 0xf0, 0x89, 0x07")                                  \
	M(push_es, ".byte 0x06")                                               \
	M(aam, ".byte 0xd4, 0x0a")                                             \
	M(salc, ".byte 0xd6")                                                  \
	M(far_jmp_imm, ".byte 0xea, 0, 0, 0, 0, 0x33, 0")                      \
	M(int3, "nop\n int3\n nop")                                            \
	M(int_3, ".byte 0xcd, 3")                                              \
	M(int_4, "int $4")                                                     \
	M(int_0, "int $0")                                                     \
	M(int_14, "int $14")                                                   \
	M(int_0x20, "int $0x20")                                               \
	M(int_0xff, "int $0xff")                                               \
	M(hlt, "hlt")                                                          \
	M(cli, "cli")                                                          \
	M(sti, "sti")                                                          \
	M(in, "in $0x80, %al")                                                 \
	M(out, "mov $0x80, %edx\n out %eax, (%dx)")                            \
	M(outsb, "mov $0x80, %edx\n mov %rdi, %rsi\n rep outsb")               \
	M(mov_cr0, "mov %cr0, %rax")                                           \
	M(mov_cr8, "mov %cr8, %rax")                                           \
	M(mov_dr7, "mov %rax, %dr7")                                           \
	M(clts, "clts")                                                        \
	M(invd, "invd")                                                        \
	M(wbinvd, "wbinvd")                                                    \
	M(invlpg, "invlpg (%rdi)")                                             \
	M(lgdt, "lgdt (%rdi)")                                                 \
	M(lidt, "lidt (%rdi)")                                                 \
	M(lldt, "lldt %ax")                                                    \
	M(ltr, "ltr %ax")                                                      \
	M(lmsw, "lmsw %ax")                                                    \
	M(rdmsr, "rdmsr")                                                      \
	M(wrmsr, "wrmsr")                                                      \
	M(swapgs, "swapgs")                                                    \
	M(sysret, "sysretq")                                                   \
	M(xsetbv, "xor %ecx, %ecx\n xor %edx, %edx\n mov $7, %eax\n"           \
		  "xsetbv")                                                    \
	M(iret_bad, "push $0\n push $0\n push $0\n push $0\n push $0\n"        \
		    "iretq")                                                   \
	M(divide, "xor %ecx, %ecx\n mov $1, %eax\n cltd\n idiv %ecx")          \
	M(divide_over, "mov $1, %ecx\n mov $7, %edx\n div %ecx")               \
	M(divide_byte, "mov $0x1000, %eax\n mov $2, %cl\n div %cl")            \
	M(divide_min, "mov $0x80000000, %eax\n cltd\n mov $-1, %ecx\n"         \
		      "idiv %ecx")                                             \
	M(read_none, "mov 8(%rdx), %eax")                                      \
	M(write_none, "mov %eax, 8(%rdx)")                                     \
	M(write_ro, "movl $1, 12(%rsi)")                                       \
	M(add_ro, "addl $1, 16(%rsi)")                                         \
	M(xchg_ro, "xchg %eax, 20(%rsi)")                                      \
	M(lock_add_none, "lock addl $1, 16(%rdx)")                             \
	M(cmpxchg_ro, "lea -1(%rax), %ecx\n lock cmpxchg %ecx, (%rsi)")        \
	M(push_none, "lea 128(%rdx), %rsp\n push %rax")                        \
	M(push_mem, "lea 128(%rdi), %rsp\n pushq 64(%rdx)")                    \
	M(pop_ro, "lea 128(%rdi), %rsp\n popq 64(%rsi)")                       \
	M(call_none, "lea 128(%rdx), %rsp\n call 1f\n 1:")                     \
	M(enter_none, "lea 128(%rdx), %rsp\n enter $16, $1")                   \
	M(cross, "mov %rdx, %rax\n sub $4, %rax\n movl $7, -4(%rax)\n"         \
		 "movq $9, (%rax)")                                            \
	M(cross_sse, "movups -8(%rdx), %xmm0")                                 \
	M(sse_align, "movaps 4(%rdi), %xmm0")                                  \
	M(movs, "mov $5000, %ecx\n mov %rdi, %rsi\n mov %rdx, %rdi\n"          \
		"sub $64, %rdi\n rep movsb")                                   \
	M(stos, "mov $100, %ecx\n lea -64(%rdx), %rdi\n rep stosq")            \
	M(jump_data, "jmp *%rdi")                                              \
	M(call_data, "lea 128(%rdi), %rsp\n call *%rdx")                       \
	M(jump_null, "xor %eax, %eax\n jmp *%rax")                             \
	M(load_noncanon, "movabs $0x8000000000000000, %rax\n"                  \
			 "mov (%rax), %rax")                                   \
	M(store_noncanon, "movabs $0x800000000000, %rax\n"                     \
			  "mov %rax, (%rax)")                                  \
	M(stack_noncanon, "movabs $0x800000000008, %rsp\n push %rax")          \
	M(rbp_noncanon, "mov %rbp, %rax\n movabs $0x900000000000,%rbp\n"       \
			"mov (%rbp), %ecx\n mov %rax, %rbp")                   \
	M(kernel_read, "movabs $0xffffffff81000000, %rax\n"                    \
		       "mov (%rax), %rax")                                     \
	M(kernel_jump, "movabs $0xffffffff81000000, %rax\n jmp *%rax")         \
	M(ds_bad, "mov $0x1234, %eax\n mov %eax, %ds")                         \
	M(ss_null, "xor %eax, %eax\n mov %eax, %ss")                           \
	M(ss_code, "mov $0x33, %eax\n mov %eax, %ss")                          \
	M(ss_kernel, "mov $0x18, %eax\n mov %eax, %ss")                        \
	M(mov_cs, ".byte 0x8e, 0xc8")                                          \
	M(lret_bad, "push $0x18\n push $0\n lretq")                            \
	M(lcall_bad, "movq $0, (%rdi)\n movw $0x10, 4(%rdi)\n"                 \
		     "lcall *(%rdi)")                                          \
	M(ac_read, "pushf\n orl $0x40000, (%rsp)\n popf\n"                     \
		   "mov 1(%rdi), %eax")                                        \
	M(ac_write, "pushf\n orl $0x40000, (%rsp)\n popf\n"                    \
		    "mov %rax, 4(%rdi)")                                       \
	M(ac_push, "lea 130(%rdi), %rax\n pushf\n"                             \
		   "orl $0x40000, (%rsp)\n popf\n mov %rax, %rsp\n"            \
		   "push %rax")                                                \
	M(ac_movs, "pushf\n orl $0x40000, (%rsp)\n popf\n"                     \
		   "lea 1(%rdi), %rsi\n add $64, %rdi\n"                       \
		   "mov $4, %ecx\n rep movsl")                                 \
	M(ac_sse, "pushf\n orl $0x40000, (%rsp)\n popf\n"                      \
		  "movsd 4(%rdi), %xmm0\n movupd 1(%rdi), %xmm0")              \
	M(ac_fld, "fninit\n pushf\n orl $0x40000, (%rsp)\n popf\n"             \
		  "fldl 12(%rdi)")                                             \
	M(x87_zero, "fninit\n movw $0x37b, (%rdi)\n fldcw (%rdi)\n"            \
		    "fld1\n fldz\n fdivrp\n nop\n fwait\n nop")                \
	M(x87_invalid, "fninit\n movw $0x37e, (%rdi)\n fldcw (%rdi)\n"         \
		       "fldz\n fldz\n fdivp\n nop\n fldz")                     \
	M(x87_stack, "fninit\n movw $0x37e, (%rdi)\n fldcw (%rdi)\n"           \
		     "fadd %st(1)\n fwait")                                    \
	M(x87_precise, "fninit\n movw $0x35f, (%rdi)\n fldcw (%rdi)\n"         \
		       "fld1\n fldpi\n fdivrp\n fwait")                        \
	M(x87_fldenv, "fninit\n fnstenv (%rdi)\n movw $0x37b, (%rdi)\n"        \
		      "orw $0x84, 4(%rdi)\n fldenv (%rdi)\n nop\n"             \
		      "fld1")                                                  \
	M(sse_zero, "movl $0x1d80, (%rdi)\n ldmxcsr (%rdi)\n"                  \
		    "mov $1, %eax\n cvtsi2sd %eax, %xmm0\n"                    \
		    "xorpd %xmm1, %xmm1\n divsd %xmm1, %xmm0")                 \
	M(sse_invalid, "movl $0x1f00, (%rdi)\n ldmxcsr (%rdi)\n"               \
		       "xorps %xmm1, %xmm1\n divps %xmm1, %xmm1")              \
	M(sse_over, "movl $0x1b80, (%rdi)\n ldmxcsr (%rdi)\n"                  \
		    "mov $0x7f000000, %eax\n movd %eax, %xmm0\n"               \
		    "mulss %xmm0, %xmm0")                                      \
	M(sse_precise, "movl $0xf80, (%rdi)\n ldmxcsr (%rdi)\n"                \
		       "mov $3, %eax\n cvtsi2ss %eax, %xmm0\n"                 \
		       "rcpss %xmm0, %xmm1\n sqrtss %xmm0, %xmm1")             \
	M(mxcsr_bad, "movl $0x80001f80, (%rdi)\n ldmxcsr (%rdi)")              \
	M(umip_sgdt, "movq $-1, (%rdi)\n movw $0x1111, 8(%rdi)\n"              \
		     "nop")                                                    \
	M(fxrstor_align, "fxrstor 8(%rdi)")                                    \
	M(cmpxchg16b, "lock cmpxchg16b 8(%rdi)")                               \
	M(long_insn, ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66\n"         \
		     ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90")

SNIPPETS(SNIPPET)

static const struct {
	const char *name;
	void (*fn)(void *, void *, void *);
	const uint8_t *start;
} snippets[] = {
#define ROW(name, code) { #name, try_##name, try_##name##_start },
	SNIPPETS(ROW)
};

static void
reset_fp(void)
{
	static const uint32_t mxcsr = 0x1f80;

	__asm__ volatile("fninit\n\t ldmxcsr %0" : : "m"(mxcsr));
}

static void
test_traps(void)
{
	catch_all(on_trap);
	for (size_t n = 0; n < NELEM(snippets); n++) {
		memset(rw_page, 0, 4096);
		start = (uintptr_t)snippets[n].start;
		printf("%s: ", snippets[n].name);
		if (sigsetjmp(back, 1) == 0) {
			snippets[n].fn(rw_page, ro_page, no_page);
			printf("no trap\n");
		}
		clear_ac();
		reset_fp();
	}
}

/* --- single-stepping by TF ------------------------------------------------ */

/* Addresses the traps named, relative to the code, as long as TF is set. */
static struct {
	unsigned int n;
	int32_t rip[512];
	uint32_t code[512];
} trace;

static void
on_step(int sig, siginfo_t *si, void *ctx)
{
	greg_t *g = ((ucontext_t *)ctx)->uc_mcontext.gregs;
	int32_t off = (int32_t)((uintptr_t)g[REG_RIP] - start);

	if (trace.n < NELEM(trace.rip)) {
		trace.rip[trace.n] = off;
		trace.code[trace.n] = (uint32_t)(sig << 8 | si->si_code);
	}
	if (++trace.n > 400)
		g[REG_EFL] &= ~(greg_t)FL_TF;
	/* A faulting instruction of two bytes is stepped over. */
	if (sig != SIGTRAP)
		g[REG_RIP] += 2;
}

#define SET_TF	 "pushf\n orl $0x100, (%rsp)\n popf\n"
#define CLEAR_TF "\n pushf\n andl $~0x100, (%rsp)\n popf\n nop\n"
#define STEPS(M)                                                               \
	M(step_plain, SET_TF "nop\n inc %eax\n add %eax, %ecx" CLEAR_TF)       \
	M(step_branch, SET_TF "mov $3, %ecx\n 1: dec %ecx\n jnz 1b\n"          \
			      "jmp 2f\n nop\n 2: call 3f\n jmp 4f\n"           \
			      "3: ret\n 4:" CLEAR_TF)                          \
	M(step_rep, SET_TF "mov $6, %ecx\n mov %rdi, %rsi\n"                   \
			   "add $64, %rdi\n rep movsb\n nop\n"                 \
			   "mov $3, %ecx\n rep stosl\n"                        \
			   "xor %ecx, %ecx\n rep stosb" CLEAR_TF)              \
	M(step_mov_ss, SET_TF "mov %ss, %eax\n mov %eax, %ss\n nop\n"          \
			      "nop\n mov %eax, %ss\n mov %ss, %eax\n"          \
			      "nop" CLEAR_TF)                                  \
	M(step_mov_ss2, SET_TF "mov %ss, %eax\n mov %eax, %ss\n"               \
			       "mov %eax, %ss\n nop\n nop" CLEAR_TF)           \
	M(step_syscall, SET_TF "mov $39, %eax\n syscall\n nop\n"               \
			       "mov $39, %eax\n syscall" CLEAR_TF)             \
	M(step_int80, SET_TF "mov $20, %eax\n int $0x80\n nop" CLEAR_TF)       \
	M(step_int3, SET_TF "nop\n int3\n nop" CLEAR_TF)                       \
	M(step_ud2, SET_TF "nop\n ud2\n nop" CLEAR_TF)                         \
	M(step_cpuid, SET_TF "xor %eax, %eax\n cpuid\n rdtsc\n nop" CLEAR_TF)  \
	M(step_pushf, SET_TF "pushf\n pop %rax\n and $0x100, %eax\n"           \
			     "mov %rax, (%rdi)\n pushf\n popf\n nop" CLEAR_TF) \
	M(step_iret, SET_TF "mov %rsp, %rcx\n mov %ss, %eax\n"                 \
			    "push %rax\n push %rcx\n pushf\n"                  \
			    "mov %cs, %eax\n push %rax\n lea 1f(%rip), %rax\n" \
			    "push %rax\n iretq\n nop\n 1: nop" CLEAR_TF)       \
	M(step_fault, SET_TF "nop\n mov (%rdx), %al\n nop" CLEAR_TF)           \
	M(step_sse, SET_TF "pxor %xmm0, %xmm0\n movups (%rdi), %xmm1\n"        \
			   "fninit\n fld1\n fstp %st(0)\n"                     \
			   "movups %xmm1, 32(%rdi)" CLEAR_TF)                  \
	M(step_lock, SET_TF "lock incl (%rdi)\n xchg %eax, (%rdi)\n"           \
			    "lock cmpxchg8b 8(%rdi)\n enter $16, $2\n"         \
			    "leave" CLEAR_TF)

STEPS(SNIPPET)

static const struct {
	const char *name;
	void (*fn)(void *, void *, void *);
	const uint8_t *start;
} steps[] = { STEPS(ROW) };

static void
test_steps(void)
{
	catch_all(on_step);
	for (size_t n = 0; n < NELEM(steps); n++) {
		memset(rw_page, 0, 4096);
		memset(&trace, 0, sizeof(trace));
		start = (uintptr_t)steps[n].start;
		steps[n].fn(rw_page, ro_page, no_page);
		printf("%s: %u tf %u:", steps[n].name, trace.n,
		    *(uint32_t *)(void *)rw_page);
		for (unsigned int k = 0; k < trace.n && k < 48; k++) {
			printf(" %d", trace.rip[k]);
			if (trace.code[k] != (SIGTRAP << 8 | TRAP_TRACE))
				printf("/%u.%u", trace.code[k] >> 8,
				    trace.code[k] & 0xff);
		}
		printf("\n");
	}
}

/* --- main ----------------------------------------------------------------- */

int
main(void)
{
	stack_t ss = { .ss_size = 65536 };
	uint8_t *p;

	ss.ss_sp = malloc(ss.ss_size);
	if (ss.ss_sp == NULL || sigaltstack(&ss, NULL) != 0)
		die("sigaltstack");
	p = mmap(NULL, 5 * 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		die("mmap");
	ro_page = p;
	rw_page = p + 2 * 4096;
	no_page = p + 3 * 4096;
	memset(p, 0, 5 * 4096);
	if (mprotect(ro_page, 4096, PROT_READ) != 0 ||
	    mprotect(no_page, 4096, PROT_NONE) != 0)
		die("mprotect");
	test_traps();
	test_steps();
	return user_end("traps");
}
