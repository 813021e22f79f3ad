/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_native.c - runs a test on the host CPU.
 *
 * A signal frame made by hand and rt_sigreturn(2) put the test's registers into
 * the processor; the trap or fault that ends the test arrives as a signal,
 * whose context is the outcome, and whose handler jumps back to the driver. The
 * frame's template is that of one INT3 at the start.
 *
 * DS, ES and GS are not part of a 64-bit signal frame: they are loaded just
 * before and read in the handler.  FS is the C library's.
 */
#include "fuzz_cpu.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define NO_ASAN	       __attribute__((no_sanitize("address", "thread")))

#define FRAME_FP       1024u /* offset of the XSAVE image in the frame */
#define WATCHDOG_TICKS 2u
#define FP_MAX	       (16u << 10)

static struct {
	volatile bool capture, running;
	bool any_rsp;		     /* exceptions come through with any RSP */
	volatile unsigned int ticks; /* of the watchdog, in this test */
	struct outcome *out;
	size_t uc_len;
	_Alignas(64) uint8_t frame[FRAME_FP + FP_MAX];
} nat;

static struct sigaction engine_act[NSIG];

static const int greg_of[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP,
	REG_RBP, REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12,
	REG_R13, REG_R14, REG_R15 };

/*
 * native_enter(frame, sels): load DS, ES, GS from sels[0..2] and return from
 * the signal of which `frame` is the context.  It comes back through
 * native_leave(), called on whatever stack.
 */
void native_enter(void *frame, const uint16_t *sels);
void native_leave(void) __attribute__((noreturn));
/* clang-format off */
__asm__(".text\n"
	".local native_rsp\n"
	".comm native_rsp, 8, 8\n"
	".globl native_enter\n"
	"native_enter:\n"
	"	push %rbx\n"
	"	push %rbp\n"
	"	push %r12\n"
	"	push %r13\n"
	"	push %r14\n"
	"	push %r15\n"
	"	mov %rsp, native_rsp(%rip)\n"
	"	movw 0(%rsi), %ds\n"
	"	movw 2(%rsi), %es\n"
	"	movw 4(%rsi), %gs\n"
	"	mov %rdi, %rsp\n"
	"	mov $15, %eax\n" /* rt_sigreturn */
	"	syscall\n"
	"	ud2\n"
	".globl native_leave\n"
	"native_leave:\n"
	"	mov native_rsp(%rip), %rsp\n"
	"	pop %r15\n"
	"	pop %r14\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	pop %rbp\n"
	"	pop %rbx\n"
	"	ret\n");
/* clang-format on */

/* Size of the XSAVE image in a signal frame
 * (arch/x86/include/uapi/asm/sigcontext.h). */
static size_t
fp_bytes(const uint8_t *fp)
{
	uint32_t magic, extended;

	memcpy(&magic, fp + 464, 4);
	memcpy(&extended, fp + 468, 4);
	return magic == 0x46505853 ? extended : 512;
}

static void
capture_frame(const ucontext_t *uc)
{
	const uint8_t *fp = (const uint8_t *)uc->uc_mcontext.fpregs;
	ucontext_t *to = (ucontext_t *)(void *)nat.frame;
	size_t fp_len = fp_bytes(fp);

	if (fp_len > FP_MAX) {
		fprintf(stderr, "fuzz_cpu: XSAVE image of %zu bytes\n", fp_len);
		_exit(2);
	}
	/* The kernel's structure ends with a signal mask of 8 bytes. */
	memcpy(to, uc, offsetof(ucontext_t, uc_sigmask) + 8);
	memcpy(nat.frame + FRAME_FP, fp, fp_len);
	to->uc_mcontext.fpregs = (fpregset_t)(void *)(nat.frame + FRAME_FP);
	nat.capture = false;
}

static void
load_fp(const struct test *t)
{
	uint8_t *fp = nat.frame + FRAME_FP;
	uint64_t bv;

	memcpy(fp, &t->s.x, 416);
	memcpy(&bv, fp + 512, 8);
	bv |= t->s.x.xstate_bv;
	memcpy(fp + 512, &bv, 8);
	memcpy(fp + 576, t->s.x.ymmh, sizeof(t->s.x.ymmh));
}

static void
load_test(const struct test *t)
{
	ucontext_t *uc = (ucontext_t *)(void *)nat.frame;
	greg_t *g = uc->uc_mcontext.gregs;
	uint64_t seg = (uint64_t)t->s.sel[SEG_SS] << 48 | t->s.sel[SEG_CS];
	unsigned int k;

	for (k = 0; k < 16; k++)
		g[greg_of[k]] = (greg_t)t->s.gpr[k];
	g[REG_RIP] = (greg_t)t->s.rip;
	g[REG_EFL] = (greg_t)(t->s.flags | (t->run ? 0 : FL_TF) | FL_IF | 2);
	g[REG_CSGSFS] = (greg_t)seg;
	load_fp(t);
}

NO_ASAN static void
store_outcome(const ucontext_t *uc, struct outcome *o)
{
	const uint8_t *fp = (const uint8_t *)uc->uc_mcontext.fpregs;
	const greg_t *g = uc->uc_mcontext.gregs;
	uint16_t ds, es, gs;
	unsigned int k;

	__asm__("mov %%ds, %0" : "=r"(ds));
	__asm__("mov %%es, %0" : "=r"(es));
	__asm__("mov %%gs, %0" : "=r"(gs));
	o->s.sel[SEG_DS] = ds;
	o->s.sel[SEG_ES] = es;
	o->s.sel[SEG_GS] = gs;
	o->s.sel[SEG_CS] = (uint16_t)g[REG_CSGSFS];
	o->s.sel[SEG_SS] = (uint16_t)((uint64_t)g[REG_CSGSFS] >> 48);
	for (k = 0; k < 16; k++)
		o->s.gpr[k] = (uint64_t)g[greg_of[k]];
	o->s.rip = (uint64_t)g[REG_RIP];
	o->s.flags = (uint32_t)g[REG_EFL];
	memcpy(&o->s.x, fp, 512);
	memcpy(&o->s.x.xstate_bv, fp + 512, 8);
	memcpy(o->s.x.ymmh, fp + 576, sizeof(o->s.x.ymmh));
	o->vector = (unsigned int)g[REG_TRAPNO];
	o->err = (uint32_t)g[REG_ERR];
	o->cr2 = (uint64_t)g[REG_CR2];
}

/* A sequence that does not end is given up; called each second. */
NO_ASAN static void
on_alarm(const ucontext_t *uc)
{
	if (!nat.running || nat.ticks++ < WATCHDOG_TICKS)
		return;
	store_outcome(uc, nat.out);
	nat.out->vector = VECTOR_LOST;
	nat.running = false;
	native_leave();
}

/*
 * A signal handler keeps NT, AC and ID as POPF and IRET set them, and so would
 * the next test; with AC, this code would not run far.
 */
NO_ASAN static inline void
clear_flags(void)
{
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
			 "pushfq\n\t"
			 "andl $~0x244000, (%%rsp)\n\t"
			 "popfq\n\t"
			 "lea 128(%%rsp), %%rsp" ::
			     : "memory", "cc");
}

/* Never returns from the end of a test: its frame on the signal stack is
 * dropped. */
NO_ASAN static void
on_signal(int sig, siginfo_t *si, void *arg)
{
	const ucontext_t *uc = arg;

	clear_flags();
	if (sig == SIGALRM) {
		on_alarm(uc);
		return;
	}
	if (nat.running) {
		store_outcome(uc, nat.out);
		nat.running = false;
		native_leave();
	}
	if (nat.capture) {
		capture_frame(uc);
		return;
	}
	if (engine_act[sig].sa_flags & SA_SIGINFO) {
		/* In one of the engine's thunks. */
		engine_act[sig].sa_sigaction(sig, si, arg);
		return;
	}
	fprintf(stderr, "fuzz_cpu: stray signal %d at %#llx\n", sig,
	    (unsigned long long)uc->uc_mcontext.gregs[REG_RIP]);
	_exit(2);
}

static void
native_run_once(const struct test *t, struct outcome *o)
{
	uint16_t sels[3] = { t->s.sel[SEG_DS], t->s.sel[SEG_ES],
		t->s.sel[SEG_GS] };

	load_test(t);
	memset(o, 0, sizeof(*o));
	nat.out = o;
	nat.ticks = 0;
	nat.running = true;
	native_enter(nat.frame, sels);
	if (!nat.any_rsp && o->vector == EXC_GP &&
	    !cpu_is_canonical(o->s.gpr[R_RSP]))
		o->vector = VECTOR_LOST;
}

/* #UD counts when it comes twice: ud_is_real() in fpu_global.c says why. */
void
native_run(const struct test *t, struct outcome *o)
{
	native_run_once(t, o);
	if (o->vector == EXC_UD) {
		native_prepare(t); /* what came before it ran */
		native_run_once(t, o);
	}
}

/*
 * A processor does not look at RSP when a user program traps.  A kernel that
 * runs under PVM, without a ring 0 of its own, gets #GP instead of the trap
 * when RSP is not canonical; then such outcomes say nothing.
 */
static void
probe_rsp(void)
{
	static struct test t = { .bytes = { 0x90 }, .len = 1, .n = 1 };
	struct outcome o;

	rnd_segments(&t);
	rnd_state(&t);
	t.s.rip = CODE_VA;
	t.s.gpr[R_RSP] = 1ull << 63;
	nat.any_rsp = true;
	native_prepare(&t);
	native_run(&t, &o);
	nat.any_rsp = o.vector == EXC_DB;
}

void
native_prepare(const struct test *t)
{
	uint64_t code = t->s.rip + seg_of(t->s.sel[SEG_CS]).base;
	unsigned int k;

	for (k = 0; k < NDATA; k++)
		if (fuzz_data_kind[k] == RW)
			memcpy((void *)(DATA_VA + k * PAGE),
			    fuzz.data + k * PAGE, PAGE);
	memcpy((void *)(uint64_t)(uint32_t)code, t->bytes, t->len);
	for (k = 0; k < t->npokes; k++)
		memcpy((void *)t->poke[k].va, &t->poke[k].val, t->poke[k].size);
}

/* The engine's handlers are there already: they get what is theirs. */
static void
catch_signals(void)
{
	static const int sigs[] = { SIGTRAP, SIGSEGV, SIGILL, SIGFPE, SIGBUS,
		SIGALRM };
	const struct itimerval tick = { { 1, 0 }, { 1, 0 } };
	struct sigaction sa = { .sa_sigaction = on_signal,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	stack_t ss = { .ss_size = 1 << 17 };
	unsigned int k;

	ss.ss_sp = malloc(ss.ss_size);
	sigaltstack(&ss, NULL);
	for (k = 0; k < ARRAY_LEN(sigs); k++)
		sigaction(sigs[k], &sa, &engine_act[sigs[k]]);
	nat.capture = true;
	__asm__ volatile("int3" ::: "memory");
	setitimer(ITIMER_REAL, &tick, NULL);
}

static void
map(uint64_t va, size_t len, int prot)
{
	if (mmap((void *)va, len, prot,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE |
		    MAP_POPULATE,
		-1, 0) == MAP_FAILED) {
		perror("fuzz_cpu: arena");
		exit(2);
	}
}

void
native_init(void)
{
	unsigned int k;

	map(CODE_VA, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	map(DATA_VA, DATA_SIZE, PROT_READ | PROT_WRITE);
	for (k = 0; k < NDATA; k++) {
		void *p = (void *)(DATA_VA + k * PAGE);

		/* The read-only page is the same throughout a run. */
		memcpy(p, fuzz.data + k * PAGE, PAGE);
		if (fuzz_data_kind[k] == RO)
			mprotect(p, PAGE, PROT_READ);
		else if (fuzz_data_kind[k] == HOLE)
			munmap(p, PAGE);
	}
	catch_signals();
	if (fuzz.mode == FUZZ_64)
		probe_rsp();
}
