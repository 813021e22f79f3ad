/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fpctx.c - x87, SSE and AVX state across context switches and signals.
 *
 * More threads than processors each keep a pattern of their own in YMM0-15 (or
 * XMM0-15), the x87 stack, its control word and MXCSR, and look again and
 * again; timer signals whose handler destroys all of it go to the process
 * meanwhile.  Then what a handler finds and changes in its signal frame.
 */
#include "user.h"

#include <cpuid.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define THREADS 8
#define RUN_NS	1200000000ull

struct regs {
	uint8_t ymm[16][32];
	uint8_t x87[8][16]; /* 10 bytes each */
	uint32_t mxcsr;
	uint16_t fcw, fsw;
};

static bool have_avx;
static uint64_t end_time;
static uint64_t looks;
static int self; /* argument of the system call made by keep() */
static volatile sig_atomic_t alarms;

/* --- load and save -------------------------------------------------------- */

#define EACH(M)                                                                \
	M(0)                                                                   \
	M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13)   \
	    M(14) M(15)
#define LOAD_Y(n)  "vmovdqu " #n "*32(%[in]), %%ymm" #n "\n\t"
#define STORE_Y(n) "vmovdqu %%ymm" #n ", " #n "*32(%[out])\n\t"
#define LOAD_X(n)  "movdqu " #n "*32(%[in]), %%xmm" #n "\n\t"
#define STORE_X(n) "movdqu %%xmm" #n ", " #n "*32(%[out])\n\t"
#define LOAD_87                                                                \
	"fninit\n\t fldcw %c[fcw](%[in])\n\t ldmxcsr %c[mx](%[in])\n\t"        \
	"fldt %c[st]+6*16(%[in])\n\t fldt %c[st]+5*16(%[in])\n\t"              \
	"fldt %c[st]+4*16(%[in])\n\t fldt %c[st]+3*16(%[in])\n\t"              \
	"fldt %c[st]+2*16(%[in])\n\t fldt %c[st]+1*16(%[in])\n\t"              \
	"fldt %c[st]+0*16(%[in])\n\t"
#define STORE_87                                                               \
	"fnstcw %c[fcw](%[out])\n\t fnstsw %c[fsw](%[out])\n\t"                \
	"stmxcsr %c[mx](%[out])\n\t"                                           \
	"fstpt %c[st]+0*16(%[out])\n\t fstpt %c[st]+1*16(%[out])\n\t"          \
	"fstpt %c[st]+2*16(%[out])\n\t fstpt %c[st]+3*16(%[out])\n\t"          \
	"fstpt %c[st]+4*16(%[out])\n\t fstpt %c[st]+5*16(%[out])\n\t"          \
	"fstpt %c[st]+6*16(%[out])\n\t"                                        \
	"fninit\n\t ldmxcsr %[dflt]\n\t"
/* Spin, or give the processor away with every register live. */
#define WAIT                                                                   \
	"mov %[spin], %%ecx\n"                                                 \
	"1:\n\t pause\n\t dec %%ecx\n\t jnz 1b\n\t"                            \
	"mov %[nr], %%eax\n\t test %%eax, %%eax\n\t js 2f\n\t"                 \
	"mov %[self], %%edi\n\t mov %[usr1], %%esi\n\t syscall\n"              \
	"2:\n\t"
#define OPERANDS                                                                     \
	:                                                               \
	: [in] "r"(in), [out] "r"(out), [spin] "r"(spin), [nr] "r"(nr), \
	  [fcw] "i"(offsetof(struct regs, fcw)),                        \
	  [fsw] "i"(offsetof(struct regs, fsw)),                        \
	  [mx] "i"(offsetof(struct regs, mxcsr)),                       \
	  [st] "i"(offsetof(struct regs, x87)),                         \
	  [dflt] "m"(mxcsr_default), [self] "m"(self),                  \
	  [usr1] "i"(SIGUSR1)                                           \
	: "rax", "rdi", "rsi", "rcx", "r11", "memory", "cc", "st", "st(1)", "st(2)",  \
	  "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", "xmm0", "xmm1",  \
	  "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",       \
	  "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

static const uint32_t mxcsr_default = 0x1f80;

__attribute__((target("avx"))) static void
keep_avx(const struct regs *in, struct regs *out, unsigned int spin, int nr)
{
	__asm__ volatile(EACH(LOAD_Y) LOAD_87 WAIT EACH(STORE_Y) STORE_87
	    "vzeroupper" OPERANDS);
}

static void
keep_sse(const struct regs *in, struct regs *out, unsigned int spin, int nr)
{
	__asm__ volatile(
	    EACH(LOAD_X) LOAD_87 WAIT EACH(STORE_X) STORE_87 OPERANDS);
}

static void
keep(const struct regs *in, struct regs *out, unsigned int spin, int nr)
{
	(have_avx ? keep_avx : keep_sse)(in, out, spin, nr);
}

/* --- patterns ------------------------------------------------------------- */

static void
fill(struct regs *r, uint64_t seed)
{
	memset(r, 0, sizeof(*r));
	for (unsigned int n = 0; n < 16; n++)
		for (unsigned int k = 0; k < (have_avx ? 4 : 2); k++) {
			uint64_t v = next_random(&seed);

			memcpy(&r->ymm[n][k * 8], &v, 8);
		}
	for (unsigned int n = 0; n < 7; n++) {
		uint64_t v = next_random(&seed) | 1ull << 63;
		uint16_t exp = (uint16_t)(0x3fff + n * 3);

		memcpy(r->x87[n], &v, 8);
		memcpy(r->x87[n] + 8, &exp, 2);
	}
	/* Rounding, precision and flush modes; exceptions stay masked. */
	r->mxcsr =
	    0x1f80u | (uint32_t)((seed & 3) << 13 | (seed >> 2 & 1) << 15);
	r->fcw = (uint16_t)(0x7f | (seed >> 4 & 3) << 10);
	r->fcw |= (seed >> 8 & 1) ? 0x300 : 0x200;
}

static bool
same(const struct regs *a, const struct regs *b)
{
	return memcmp(a->ymm, b->ymm, sizeof(a->ymm)) == 0 &&
	       memcmp(a->x87, b->x87, sizeof(a->x87)) == 0 &&
	       a->mxcsr == b->mxcsr && (a->fcw | 0x40) == (b->fcw | 0x40) &&
	       (b->fsw & 0x3800) == 0x0800;
}

/* --- threads -------------------------------------------------------------- */

static void *
keeper(void *arg)
{
	uint64_t seed = 77 + (uintptr_t)arg, n = 0;
	struct regs in, out;

	for (; now_ns() < end_time; n++) {
		fill(&in, next_random(&seed));
		memset(&out, 0, sizeof(out));
		keep(&in, &out, n % 8 == 0 ? 20000 : 50 + seed % 1000,
		    n % 3 == 0 ? SYS_sched_yield : -1);
		CHECK(same(&in, &out));
	}
	__atomic_fetch_add(&looks, n, __ATOMIC_RELAXED);
	return NULL;
}

static void
destroy(int sig)
{
	struct regs in, out = { .fsw = 0 };

	(void)sig;
	fill(&in, (uint64_t)++alarms * 0x9e3779b97f4a7c15ull | 1);
	keep(&in, &out, 1, -1);
	CHECK(same(&in, &out));
}

static void
test_threads(void)
{
	struct itimerval on = { { 0, 3000 }, { 0, 3000 } }, off = { 0 };
	struct sigaction sa = { .sa_handler = destroy, .sa_flags = SA_RESTART };
	pthread_t t[THREADS];

	end_time = now_ns() + RUN_NS;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &on, NULL);
	for (uintptr_t n = 0; n < THREADS; n++)
		if (pthread_create(&t[n], NULL, keeper, (void *)n) != 0)
			die("pthread_create");
	for (unsigned int n = 0; n < THREADS; n++)
		pthread_join(t[n], NULL);
	setitimer(ITIMER_REAL, &off, NULL);
	CHECK(looks > 100 && alarms > 10);
	printf("threads: done\n");
}

/* --- the signal frame ----------------------------------------------------- */

#define FP_XSTATE_MAGIC 0x46505853u
#define YMMH_OFFSET	576

/* Take what is found, put other values there. */
static struct regs seen, planted;

static void
swap_frame(int sig, siginfo_t *si, void *ctx)
{
	uint8_t *fp = (uint8_t *)((ucontext_t *)ctx)->uc_mcontext.fpregs;
	uint32_t magic;

	(void)sig;
	(void)si;
	memcpy(&magic, fp + 464, sizeof(magic));
	CHECK(!have_avx || magic == FP_XSTATE_MAGIC);
	memcpy(&seen.mxcsr, fp + 24, 4);
	memcpy(&seen.fcw, fp, 2);
	memcpy(&seen.fsw, fp + 2, 2);
	memcpy(fp + 24, &planted.mxcsr, 4);
	memcpy(fp, &planted.fcw, 2);
	for (unsigned int n = 0; n < 7; n++) {
		memcpy(seen.x87[n], fp + 32 + 16 * n, 10);
		memcpy(fp + 32 + 16 * n, planted.x87[n], 10);
	}
	for (unsigned int n = 0; n < 16; n++) {
		uint8_t *x = fp + 160 + 16 * n, *h = fp + YMMH_OFFSET + 16 * n;

		memcpy(seen.ymm[n], x, 16);
		memcpy(x, planted.ymm[n], 16);
		if (!have_avx)
			continue;
		memcpy(seen.ymm[n] + 16, h, 16);
		memcpy(h, planted.ymm[n] + 16, 16);
	}
}

static void
test_frame(void)
{
	struct sigaction sa = { .sa_sigaction = swap_frame,
		.sa_flags = SA_SIGINFO };
	struct regs in, out;

	sigaction(SIGUSR1, &sa, NULL);
	self = getpid();
	for (uint64_t n = 1; n <= 200; n++) {
		memset(&seen, 0, sizeof(seen));
		memset(&out, 0, sizeof(out));
		fill(&in, n * 31);
		fill(&planted, n * 1009);
		/* The signal arrives at the end of kill(), all of it live. */
		keep(&in, &out, 1, SYS_kill);
		CHECK(same(&in, &seen));
		CHECK(same(&planted, &out));
	}
	printf("frame: done\n");
}

int
main(void)
{
	unsigned int a, b, c, d;

	have_avx = __get_cpuid(1, &a, &b, &c, &d) &&
		   (c & (bit_OSXSAVE | bit_AVX)) == (bit_OSXSAVE | bit_AVX);
	test_threads();
	test_frame();
	return user_end("fpctx");
}
