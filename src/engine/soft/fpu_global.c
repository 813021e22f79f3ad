/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fpu_global.c - what thunks need of the process: executable memory that is
 * never writable through the same address, the table of thunks made, the signal
 * handler that turns a host fault inside a thunk into a call of fpu_thunk_*()
 * (fpu_priv.h), the host's CPUID.
 *
 * One area for all machines of the process, behind one lock; thunks are never
 * freed, the area is bounded, and when it is full instructions are decoded at
 * each execution (op_fpu_uncached).  Any thread.
 */
#include "fpu_priv.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define AREA_SIZE     (32u << 20)
#define THUNK_ALIGN   16u
#define SCRATCH_SLOTS 1024u /* threads that ever ran with a full area */
#define SLOT_SIZE     (THUNK_MAX + 16)
#define STUB_SIZE     16u

/* Host exception vectors as the kernel reports them. */
enum { TRAP_UD = 6, TRAP_GP = 13, TRAP_MF = 16, TRAP_XM = 19 };

struct thunk_entry {
	uint32_t off; /* 0: free */
	uint32_t hash;
	uint32_t len;
};

/* Process-wide by nature: signal plumbing and a pure cache. */
static struct {
	pthread_mutex_t lock;
	bool ready;
	uint8_t *rw, *rx;
	size_t used, limit;
	struct thunk_entry *tab;
	size_t ntab, nused; /* ntab: power of two */
	struct sigaction old[NSIG];
	uint32_t cpuid[CPUID_REG_COUNT];
	atomic_uint nslots;
} g = { .lock = PTHREAD_MUTEX_INITIALIZER };

static _Thread_local unsigned int my_slot; /* index + 1 */

/* By hand, since this folder's cpuid.h hides the compiler's. */
struct regs {
	uint32_t a, b, c, d;
};

static struct regs
host_cpuid(uint32_t leaf, uint32_t sub)
{
	struct regs r;

	__asm__ volatile("cpuid"
			 : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
			 : "a"(leaf), "c"(sub));
	return r;
}

/* --- memory --------------------------------------------------------------- */

/* Two views of one memfd, or one that is both when the host forbids that. */
static int
area_map(void)
{
	int fd = memfd_create("bhyve-thunks", MFD_CLOEXEC);
	void *rw = MAP_FAILED, *rx = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, AREA_SIZE) == 0) {
		rw = mmap(
		    NULL, AREA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		rx = mmap(
		    NULL, AREA_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	}
	if (fd >= 0)
		close(fd);
	if (rw == MAP_FAILED || rx == MAP_FAILED) {
		if (rw != MAP_FAILED)
			munmap(rw, AREA_SIZE);
		if (rx != MAP_FAILED)
			munmap(rx, AREA_SIZE);
		rw = rx =
		    mmap(NULL, AREA_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (rw == MAP_FAILED)
			return -errno;
	}
	g.rw = rw;
	g.rx = rx;
	return 0;
}

/* The area begins with the jump to fpu_thunk_cold, then the scratch slots. */
static void
area_stub(void)
{
	static const uint8_t jmp[6] = { 0xff, 0x25, 0, 0, 0, 0 };
	uint64_t target = (uintptr_t)fpu_thunk_cold;

	memcpy(g.rw, jmp, sizeof(jmp)); /* jmp [rip + 0] */
	memcpy(g.rw + sizeof(jmp), &target, sizeof(target));
	g.used = STUB_SIZE + SCRATCH_SLOTS * SLOT_SIZE;
	g.limit = AREA_SIZE;
}

static void
place(size_t off, const uint8_t *code, unsigned int len, unsigned int cold)
{
	memcpy(g.rw + off, code, len);
	if (cold != 0) {
		int32_t rel = -(int32_t)(off + cold + 4);

		memcpy(g.rw + off + cold, &rel, sizeof(rel));
	}
}

/* --- the table of thunks -------------------------------------------------- */

static uint32_t
thunk_hash(const uint8_t *code, unsigned int len)
{
	uint64_t h = 0xcbf29ce484222325ull; /* FNV-1a */

	for (unsigned int n = 0; n < len; n++)
		h = (h ^ code[n]) * 0x100000001b3ull;
	return (uint32_t)(h ^ (h >> 32));
}

static bool
same_code(const struct thunk_entry *e, uint32_t h, const uint8_t *code,
    unsigned int len, unsigned int cold)
{
	const uint8_t *have = g.rw + e->off;

	if (e->len != len || e->hash != h)
		return false;
	if (cold == 0)
		return memcmp(have, code, len) == 0;
	return memcmp(have, code, cold) == 0 &&
	       memcmp(have + cold + 4, code + cold + 4, len - cold - 4) == 0;
}

static bool
table_grow(void)
{
	size_t ntab = g.ntab ? g.ntab * 2 : 1024;
	struct thunk_entry *tab = calloc(ntab, sizeof(*tab));

	if (tab == NULL)
		return false;
	for (size_t n = 0; n < g.ntab; n++) {
		const struct thunk_entry *e = &g.tab[n];
		size_t k;

		if (e->off == 0)
			continue;
		for (k = e->hash; tab[k & (ntab - 1)].off != 0; k++)
			;
		tab[k & (ntab - 1)] = *e;
	}
	free(g.tab);
	g.tab = tab;
	g.ntab = ntab;
	return true;
}

static void *
intern_locked(const uint8_t *code, unsigned int len, unsigned int cold)
{
	uint32_t h = thunk_hash(code, len);
	struct thunk_entry *e;
	size_t k;

	if (g.nused * 2 >= g.ntab && !table_grow() && g.nused + 1 >= g.ntab)
		return NULL;
	for (k = h;; k++) {
		e = &g.tab[k & (g.ntab - 1)];
		if (e->off == 0)
			break;
		if (same_code(e, h, code, len, cold))
			return g.rx + e->off;
	}
	if (g.used + len > g.limit)
		return NULL;
	place(g.used, code, len, cold);
	*e = (struct thunk_entry){
		.off = (uint32_t)g.used, .hash = h, .len = len
	};
	g.nused++;
	g.used = ROUND_UP(g.used + len, (size_t)THUNK_ALIGN);
	return g.rx + e->off;
}

void *
thunk_intern(const uint8_t *code, unsigned int len, unsigned int cold)
{
	void *p;

	pthread_mutex_lock(&g.lock);
	p = intern_locked(code, len, cold);
	pthread_mutex_unlock(&g.lock);
	return p;
}

void *
thunk_scratch(const uint8_t *code, unsigned int len, unsigned int cold)
{
	size_t off;

	if (my_slot == 0)
		my_slot = 1 + atomic_fetch_add(&g.nslots, 1);
	if (my_slot > SCRATCH_SLOTS)
		return NULL;
	off = STUB_SIZE + (my_slot - 1) * SLOT_SIZE;
	place(off, code, len, cold);
	/* Written through another address than executed: SDM 3A 8.1.3. */
	host_cpuid(0, 0);
	return g.rx + off;
}

void
thunk_set_limit(size_t bytes)
{
	pthread_mutex_lock(&g.lock);
	g.limit = MIN(bytes, (size_t)AREA_SIZE);
	pthread_mutex_unlock(&g.lock);
}

size_t
thunk_used(void)
{
	return g.used;
}

/* --- signals -------------------------------------------------------------- */

static void
chain_signal(int sig, siginfo_t *si, void *ctx)
{
	const struct sigaction *old = &g.old[sig];

	if (old->sa_flags & SA_SIGINFO)
		old->sa_sigaction(sig, si, ctx);
	else if (old->sa_handler == SIG_DFL || old->sa_handler == SIG_IGN)
		signal(sig, SIG_DFL); /* it happens again, and ends us */
	else
		old->sa_handler(sig);
}

static uintptr_t
fault_target(greg_t trap)
{
	switch (trap) {
	case TRAP_XM:
		return (uintptr_t)fpu_thunk_xm;
	case TRAP_MF:
		return (uintptr_t)fpu_thunk_mf;
	case TRAP_UD:
		return (uintptr_t)fpu_thunk_ud;
	case TRAP_GP:
		return (uintptr_t)fpu_thunk_gp;
	default:
		return 0;
	}
}

/*
 * A host that is itself a guest without hardware virtualization (PVM) now and
 * then raises #UD for an SSE or AVX instruction that reads memory: its
 * hypervisor had to look at the page, and its instruction emulator does not
 * know the instruction.  Seen once in half a million.  So an #UD counts when it
 * comes twice in a row; a thunk that faults has changed nothing.
 */
static bool
ud_is_real(uint64_t rip)
{
	static _Thread_local uint64_t last_rip;
	static _Thread_local time_t last_s;
	struct timespec now;
	bool again;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	again = rip == last_rip && now.tv_sec - last_s <= 1;
	last_rip = again ? 0 : rip;
	last_s = now.tv_sec;
	return again;
}

/*
 * The kernel saved the guest's FP state in the frame and puts it back: MXCSR's
 * and FSW's exception flags reach the guest.
 */
static void
on_fault(int sig, siginfo_t *si, void *ctx)
{
	greg_t *regs = ((ucontext_t *)ctx)->uc_mcontext.gregs;
	uintptr_t to = 0;

	if ((uintptr_t)regs[REG_RIP] - (uintptr_t)g.rx < AREA_SIZE)
		to = fault_target(regs[REG_TRAPNO]);
	if (to != 0 && regs[REG_TRAPNO] == TRAP_UD &&
	    !ud_is_real((uint64_t)regs[REG_RIP]))
		return; /* once more */
	if (to != 0)
		regs[REG_RIP] = (greg_t)to;
	else
		chain_signal(sig, si, ctx);
}

static int
signals_install(void)
{
	static const int sigs[] = { SIGFPE, SIGILL, SIGSEGV };
	struct sigaction sa = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER,
	};

	sigemptyset(&sa.sa_mask);
	for (size_t n = 0; n < ARRAY_LEN(sigs); n++)
		if (sigaction(sigs[n], &sa, &g.old[sigs[n]]) != 0)
			return -errno;
	return 0;
}

/* --- the host ------------------------------------------------------------- */

static void
cpuid_read(void)
{
	uint32_t max = host_cpuid(0, 0).a, xcr0, hi;
	struct regs r = host_cpuid(1, 0);

	g.cpuid[CPUID_1_ECX] = r.c;
	g.cpuid[CPUID_1_EDX] = r.d;
	if (max >= 7) {
		r = host_cpuid(7, 0);
		g.cpuid[CPUID_7_EBX] = r.b;
		g.cpuid[CPUID_7_ECX] = r.c;
	}
	g.cpuid[CPUID_81_ECX] = host_cpuid(0x80000001, 0).c;
	if (!(g.cpuid[CPUID_1_ECX] & BIT(27))) /* OSXSAVE */
		return;
	if (max >= 0xd)
		g.cpuid[CPUID_D1_EAX] = host_cpuid(0xd, 1).a;
	__asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(hi) : "c"(0));
	fpu_host_mask = xcr0 & XF_ALL;
	fpu_has_xgetbv1 = (g.cpuid[CPUID_D1_EAX] & BIT(2)) != 0;
}

uint32_t
fpu_host_cpuid(enum fpu_cpuid_reg reg)
{
	return g.cpuid[reg];
}

void
fpu_set_eager(bool on)
{
	fpu_eager = on;
}

/* The thunk behind fpu_wait(): WAIT; jmp [rsi + 32]. */
static int
wait_thunk_make(void)
{
	static const uint8_t code[] = { 0x9b, 0x48, 0x83, 0xc6, 0x20, 0xff,
		0x26 };
	void *p = intern_locked(code, sizeof(code), 0);

	if (p == NULL)
		return -ENOMEM;
	fpu_wait_thunk = (thunk_fn)(uintptr_t)p;
	return 0;
}

static int
init_locked(void)
{
	int error;

	if (g.ready)
		return 0;
	cpuid_read();
#ifdef SOFT_FPU_EAGER
	fpu_eager = true;
#endif
	error = area_map();
	if (error != 0)
		return error;
	area_stub();
	error = wait_thunk_make();
	if (error == 0)
		error = signals_install();
	g.ready = error == 0;
	return error;
}

int
fpu_global_init(void)
{
	int error;

	pthread_mutex_lock(&g.lock);
	error = init_locked();
	pthread_mutex_unlock(&g.lock);
	return error;
}
