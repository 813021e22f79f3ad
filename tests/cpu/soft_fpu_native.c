/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * soft_fpu_native.c - executes single instructions natively.
 *
 * A page of code below 4 GiB: load everything from a state block, the
 * instruction, store everything.  Faults come back through a signal on the
 * alternate stack; the frame holds the state.
 */
#include "soft_fpu_native.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define TRAP_UD	  6
#define NAT_CODE  0x10000000ull
#define NAT_STATE 0x10002000ull
#define NAT_EXIT  (NAT_CODE + 0x800)

uint8_t *const nat_data = (uint8_t *)NAT_DATA;

static struct nat_state *const st = (struct nat_state *)NAT_STATE;
static sigjmp_buf back;
static volatile int running, trap;

static uint8_t *
emit(uint8_t *p, const void *b, size_t n)
{
	memcpy(p, b, n);
	return p + n;
}

#define E(...)                                                                 \
	(p = emit(p, (const uint8_t[]){ __VA_ARGS__ },                         \
	     sizeof((const uint8_t[]){ __VA_ARGS__ })))

static uint8_t *
emit_abs(uint8_t *p, uint64_t a)
{
	uint32_t v = (uint32_t)a;

	return emit(p, &v, 4);
}

/* op r64, [abs32] */
static uint8_t *
emit_gpr(uint8_t *p, uint8_t op, unsigned int reg, const void *addr)
{
	E(0x48 | (reg >= 8 ? 4 : 0), op, 0x04 | (reg & 7) << 3, 0x25);
	return emit_abs(p, (uint64_t)addr);
}

static void
build_entry(void)
{
	uint8_t *p = (uint8_t *)NAT_CODE;
	int32_t rel;

	E(0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57);
	p = emit_gpr(p, 0x89, 4, &st->host_rsp);
	E(0xb8, 7, 0, 0, 0, 0x31, 0xd2); /* eax = 7, edx = 0 */
	E(0x48, 0x0f, 0xae, 0x2c, 0x25); /* xrstor64 */
	p = emit_abs(p, (uint64_t)st->xsave);
	E(0xff, 0x34, 0x25); /* push rflags; popfq */
	p = emit_abs(p, (uint64_t)&st->rflags);
	E(0x9d);
	for (unsigned int r = 0; r < 16; r++)
		p = emit_gpr(p, 0x8b, r, &st->gpr[r]);
	E(0xe9);
	rel = (int32_t)(NAT_INSN - ((uint64_t)p + 4));
	emit(p, &rel, 4);
}

static void
build_exit(void)
{
	uint8_t *p = (uint8_t *)NAT_EXIT;

	for (unsigned int r = 0; r < 16; r++)
		p = emit_gpr(p, 0x89, r, &st->gpr[r]);
	p = emit_gpr(p, 0x8b, 4, &st->host_rsp);
	E(0x9c, 0x8f, 0x04, 0x25); /* pushfq; pop rflags */
	p = emit_abs(p, (uint64_t)&st->rflags);
	E(0xb8, 7, 0, 0, 0, 0x31, 0xd2);
	E(0x48, 0x0f, 0xae, 0x24, 0x25); /* xsave64 */
	p = emit_abs(p, (uint64_t)st->xsave);
	E(0xdb, 0xe3); /* fninit */
	E(0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3);
}

/* The signal frame's FP state is an XSAVE image. */
static void
on_signal(int sig, siginfo_t *si, void *ctx)
{
	static const uint8_t order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX,
		REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10,
		REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
	mcontext_t *m = &((ucontext_t *)ctx)->uc_mcontext;

	(void)si;
	if (!running) {
		signal(sig, SIG_DFL);
		return;
	}
	for (unsigned int r = 0; r < 16; r++)
		st->gpr[r] = (uint64_t)m->gregs[order[r]];
	st->rflags = (uint64_t)m->gregs[REG_EFL];
	memcpy(st->xsave, m->fpregs, 512 + 64 + 256);
	trap = (int)m->gregs[REG_TRAPNO];
	siglongjmp(back, 1);
}

static void *
map_at(uint64_t addr, size_t len, int prot)
{
	void *p = mmap((void *)addr, len, prot,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p != (void *)addr) {
		perror("soft_fpu_native: mmap");
		exit(77);
	}
	return p;
}

void
nat_init(void)
{
	static const int sigs[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS };
	struct sigaction sa = { .sa_sigaction = on_signal,
		.sa_flags = SA_SIGINFO | SA_ONSTACK };
	static uint8_t stack[1 << 16];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };

	map_at(NAT_CODE, 0x4000, PROT_READ | PROT_WRITE | PROT_EXEC);
	map_at(NAT_DATA, NAT_DATA_LEN, PROT_READ | PROT_WRITE);
	map_at(NAT_DATA + NAT_DATA_LEN, NAT_PAGE, PROT_NONE);
	map_at(NAT_DATA - NAT_PAGE, NAT_PAGE, PROT_NONE);
	build_entry();
	build_exit();
	sigaltstack(&ss, NULL);
	for (size_t n = 0; n < sizeof(sigs) / sizeof(sigs[0]); n++)
		sigaction(sigs[n], &sa, NULL);
}

static int
nat_run_once(struct nat_state *s, const uint8_t *bytes, unsigned int len)
{
	uint8_t *p = (uint8_t *)NAT_INSN;
	int32_t rel = (int32_t)(NAT_EXIT - (NAT_INSN + len + 5));

	p = emit(p, bytes, len);
	E(0xe9);
	emit(p, &rel, 4);
	memcpy(st, s, sizeof(*st));
	trap = -1;
	if (sigsetjmp(back, 1) == 0) {
		running = 1;
		__asm__ volatile("sub $128, %%rsp; call *%0; add $128, %%rsp"
				 :
				 : "r"(NAT_CODE)
				 : "rax", "rcx", "rdx", "rsi", "rdi", "r8",
				 "r9", "r10", "r11", "memory", "cc", "xmm0",
				 "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
				 "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
				 "xmm12", "xmm13", "xmm14", "xmm15");
	}
	running = 0;
	/* What the instruction left in MXCSR is in the image. */
	uint32_t mxcsr = 0x1f80;
	__asm__ volatile("ldmxcsr %0; vzeroupper" : : "m"(mxcsr));
	memcpy(s, st, sizeof(*s));
	return trap;
}

/*
 * #UD counts when it comes twice: fpu_global.c's ud_is_real() says why a host
 * may raise one that is not the processor's.
 */
int
nat_run(struct nat_state *s, const uint8_t *bytes, unsigned int len)
{
	const struct nat_state before = *s;
	int got = nat_run_once(s, bytes, len);

	if (got != TRAP_UD)
		return got;
	*s = before;
	return nat_run_once(s, bytes, len);
}
