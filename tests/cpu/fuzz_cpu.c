/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_cpu - random user-mode instructions, on the host CPU and in the software CPU,
 * from the same random state; stops at the first difference.
 *
 *	fuzz_cpu [--seconds N] [--count N] [--seed N] [--keep-going] [--only HEX]
 *
 * The host is the oracle.  An arena of pages at fixed low addresses exists twice: mapped
 * in this process, and as the memory of a small guest whose page tables map it at the
 * same addresses for CPL 3.  A test is one instruction and a machine state.  Natively
 * it runs by signal ping-pong: a trap's handler replaces the interrupted context by the
 * test's (with TF set), the test's own trap puts the driver's back; the context gives
 * registers, flags, the XSAVE image, and for faults vector, error code and CR2.
 *
 * Compared: general registers, RIP, the flags the instruction defines, x87, SSE, AVX,
 * MXCSR, memory, and the exception.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <Zydis/Zydis.h>

#include <vmm/engine.h>
#include <vmm/mem.h>
#include <vmm/vm.h>
#include <vmmapi.h>

#include "fpu_priv.h"
#include "mmu.h"
#include "run.h"

/* --- the arena ---------------------------------------------------------------- */

#define PAGE	  0x1000ull
#define CODE_VA	  0x10000000ull /* 2 pages */
#define DATA_VA	  0x20000000ull /* rw, rw, ro, hole, rw */
#define NDATA	  5u
#define CODE_GPA  0x100000ull
#define DATA_GPA  0x200000ull
#define TABLE_GPA 0x10000ull
#define RAM_BYTES (16ull << 20)

enum page_kind { RW, RO, HOLE };
static const enum page_kind data_kind[NDATA] = { RW, RW, RO, HOLE, RW };

struct state {
	uint64_t gpr[16]; /* encoding order */
	uint64_t rip;
	uint32_t flags;
	struct xsave_area x;
};

struct outcome {
	struct state s;
	unsigned int vector; /* 1 (#DB): completed */
	uint32_t err;
	uint64_t cr2;
};

struct test {
	uint8_t bytes[16];
	unsigned int len;
	struct state s;
	ZydisDecodedInstruction zi;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
};

static uint8_t data_init[NDATA * PAGE];
static uint8_t *guest_data, *guest_code;

#define FLAGS_CMP (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF | FL_DF)

/* --- random numbers --------------------------------------------------------------- */

static uint64_t rng;

static uint64_t
rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng * 0x2545f4914f6cdd1dull;
}

static unsigned int
below(unsigned int n)
{
	return (unsigned int)((rnd() >> 32) % n);
}

/* Values that find carries, signs and edges. */
static uint64_t
rnd_value(void)
{
	static const uint64_t corner[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff,
		0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
		0x7fffffffffffffff, 0x8000000000000000, UINT64_MAX,
		0x5555555555555555, 0x3ff0000000000000, 0x7ff0000000000000,
		0x7ff8000000000000, 0x0010000000000000, 0x3f800000,
		0x7f800000, 0x7fc00000 };

	switch (below(4)) {
	case 0:
		return corner[below(ARRAY_LEN(corner))];
	case 1:
		return rnd() >> below(64);
	case 2:
		return (uint64_t)(int64_t)(int8_t)rnd();
	default:
		return rnd();
	}
}

/* --- native half ------------------------------------------------------------------- */

static struct {
	volatile int phase; /* 0 idle, 1 starting, 2 running the test */
	const struct test *t;
	struct outcome *out;
	ucontext_t driver;
	struct _libc_fpstate *fp;
	uint8_t driver_fp[4096];
	size_t fp_len;
} nat;

static const int greg_of[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP,
	REG_RBP, REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12,
	REG_R13, REG_R14, REG_R15 };

/* Size of the XSAVE image in a signal frame (arch/x86/include/uapi/asm/sigcontext.h). */
static size_t
fp_bytes(const void *fp)
{
	uint32_t magic, size;

	memcpy(&magic, (const uint8_t *)fp + 464, 4);
	memcpy(&size, (const uint8_t *)fp + 480, 4); /* xstate_size */
	if (magic != 0x46505853)
		return 512;
	return size;
}

static void
load_test(ucontext_t *uc)
{
	uint8_t *fp = (uint8_t *)uc->uc_mcontext.fpregs;
	const struct state *s = &nat.t->s;
	uint64_t bv;
	unsigned int k;

	for (k = 0; k < 16; k++)
		uc->uc_mcontext.gregs[greg_of[k]] = (greg_t)s->gpr[k];
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)s->rip;
	uc->uc_mcontext.gregs[REG_EFL] = (greg_t)(s->flags | FL_TF | FL_IF | 2);
	memcpy(fp, &s->x, 416);
	memcpy(&bv, fp + 512, 8);
	bv |= s->x.xstate_bv;
	memcpy(fp + 512, &bv, 8);
	memcpy(fp + 576, s->x.ymmh, sizeof(s->x.ymmh));
}

static void
store_outcome(const siginfo_t *si, const ucontext_t *uc)
{
	const uint8_t *fp = (const uint8_t *)uc->uc_mcontext.fpregs;
	struct outcome *o = nat.out;
	unsigned int k;

	(void)si;
	for (k = 0; k < 16; k++)
		o->s.gpr[k] = (uint64_t)uc->uc_mcontext.gregs[greg_of[k]];
	o->s.rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
	o->s.flags = (uint32_t)uc->uc_mcontext.gregs[REG_EFL];
	memcpy(&o->s.x, fp, 512);
	memcpy(&o->s.x.xstate_bv, fp + 512, 8);
	memcpy(o->s.x.ymmh, fp + 576, sizeof(o->s.x.ymmh));
	o->vector = (unsigned int)uc->uc_mcontext.gregs[REG_TRAPNO];
	o->err = (uint32_t)uc->uc_mcontext.gregs[REG_ERR];
	o->cr2 = (uint64_t)uc->uc_mcontext.gregs[REG_CR2];
}

static struct sigaction engine_fpe;

static void
on_signal(int sig, siginfo_t *si, void *arg)
{
	ucontext_t *uc = arg;
	void *fp = uc->uc_mcontext.fpregs;

	if (nat.phase == 1) {
		nat.driver = *uc;
		nat.fp_len = fp_bytes(fp);
		memcpy(nat.driver_fp, fp, MIN(nat.fp_len, sizeof(nat.driver_fp)));
		load_test(uc);
		nat.phase = 2;
		return;
	}
	if (nat.phase == 0 && sig == SIGFPE) {
		/* Not ours: an unmasked exception in one of the engine's thunks. */
		engine_fpe.sa_sigaction(sig, si, arg);
		return;
	}
	if (nat.phase != 2) {
		fprintf(stderr, "fuzz_cpu: stray signal %d at %#llx\n", sig,
		    (unsigned long long)uc->uc_mcontext.gregs[REG_RIP]);
		_exit(2);
	}
	store_outcome(si, uc);
	memcpy(uc->uc_mcontext.gregs, nat.driver.uc_mcontext.gregs,
	    sizeof(uc->uc_mcontext.gregs));
	memcpy(fp, nat.driver_fp, MIN(nat.fp_len, sizeof(nat.driver_fp)));
	nat.phase = 0;
}

static void
run_native(const struct test *t, struct outcome *o)
{
	nat.t = t;
	nat.out = o;
	nat.phase = 1;
	__asm__ volatile("int3" ::: "memory");
}

static void
map_native(void)
{
	static const int sigs[] = { SIGTRAP, SIGSEGV, SIGILL, SIGFPE, SIGBUS };
	struct sigaction sa = { .sa_sigaction = on_signal,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	stack_t ss = { .ss_size = 1 << 16 };
	unsigned int k;

	ss.ss_sp = malloc(ss.ss_size);
	sigaltstack(&ss, NULL);
	sigaction(SIGFPE, NULL, &engine_fpe);
	for (k = 0; k < ARRAY_LEN(sigs); k++)
		sigaction(sigs[k], &sa, NULL);
	if (mmap((void *)CODE_VA, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE,
		-1, 0) == MAP_FAILED ||
	    mmap((void *)DATA_VA, NDATA * PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE,
		-1, 0) == MAP_FAILED) {
		perror("fuzz_cpu: arena");
		exit(2);
	}
	for (k = 0; k < NDATA; k++)
		if (data_kind[k] == HOLE)
			munmap((void *)(DATA_VA + k * PAGE), PAGE);
}

/* --- engine half -------------------------------------------------------------------- */

static struct soft_cpu *cpu;

static void
put_entry(struct vmctx *ctx, uint64_t gpa, uint64_t val)
{
	if (vm_mem_write(ctx, gpa, &val, sizeof(val)) != 0)
		abort();
}

#define PTE_USER (1u | 4u) /* P, U */
#define PTE_W	 2u

/* Four levels for two 2 MiB-sized windows. */
static void
make_tables(struct vmctx *ctx)
{
	uint64_t pml4 = TABLE_GPA, pdpt = TABLE_GPA + PAGE;
	uint64_t pd = TABLE_GPA + 2 * PAGE, pt_code = TABLE_GPA + 3 * PAGE;
	uint64_t pt_data = TABLE_GPA + 4 * PAGE;
	unsigned int k;

	put_entry(ctx, pml4, pdpt | PTE_USER | PTE_W);
	put_entry(ctx, pdpt, pd | PTE_USER | PTE_W);
	put_entry(ctx, pd + (CODE_VA >> 21) * 8, pt_code | PTE_USER | PTE_W);
	put_entry(ctx, pd + (DATA_VA >> 21) * 8, pt_data | PTE_USER | PTE_W);
	for (k = 0; k < 2; k++)
		put_entry(ctx, pt_code + k * 8,
		    (CODE_GPA + k * PAGE) | PTE_USER | PTE_W);
	for (k = 0; k < NDATA; k++)
		if (data_kind[k] != HOLE)
			put_entry(ctx, pt_data + k * 8,
			    (DATA_GPA + k * PAGE) | PTE_USER |
				(data_kind[k] == RW ? PTE_W : 0));
}

static const struct vm_engine_ops *
soft_engine(void)
{
	size_t k;

	for (k = 0; k < vm_engine_table_len; k++)
		if (strcmp(vm_engine_table[k]->name, "soft") == 0)
			return vm_engine_table[k];
	fprintf(stderr, "fuzz_cpu: no soft engine\n");
	exit(2);
}

static void
make_guest(void)
{
	struct vmctx *ctx;
	struct vcpu *vcpu;
	struct soft_cpu *c;
	unsigned int k;

	if (vm_new("fuzz", soft_engine(), &ctx) != 0 ||
	    vm_setup_memory(ctx, RAM_BYTES, VM_MMAP_ALL) != 0 ||
	    (vcpu = vm_vcpu_open(ctx, 0)) == NULL) {
		fprintf(stderr, "fuzz_cpu: cannot make the guest\n");
		exit(2);
	}
	make_tables(ctx);
	guest_code = vm_map_gpa(ctx, CODE_GPA, 2 * PAGE);
	guest_data = vm_map_gpa(ctx, DATA_GPA, NDATA * PAGE);
	c = cpu = vcpu_engine_state(vcpu);
	c->ram = c->vm->ram;
	c->cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_MP | CR0_WP;
	c->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	c->cr3 = TABLE_GPA;
	c->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
	c->xcr0 = fpu_xcr0_supported();
	for (k = 0; k < SEG_LDTR; k++)
		c->seg[k] = (struct soft_seg){ .limit = UINT32_MAX,
			.access = 0xc0f3,
			.sel = 0x2b };
	c->seg[SEG_CS] = (struct soft_seg){ .limit = UINT32_MAX,
		.access = 0xa0fb,
		.sel = 0x33 };
	c->cpl = 3;
	c->cap[VM_CAP_MTRAP_EXIT] = true;
	tlb_flush_all(c);
	cpu_update_mode(c);
}

static void
run_engine(struct test *t, struct outcome *o)
{
	struct soft_cpu *c = cpu;

	memcpy(c->gpr, t->s.gpr, sizeof(t->s.gpr));
	c->rip = t->s.rip;
	c->rflags = (t->s.flags & FL_DF) | FL_IF | FL_ONE;
	c->cc = flags_to_cc(t->s.flags);
	memcpy(c->xsave, &t->s.x, sizeof(t->s.x));
	c->exc = (struct soft_exc){ 0 };
	soft_step(c);
	memcpy(o->s.gpr, c->gpr, sizeof(o->s.gpr));
	o->s.rip = c->rip;
	o->s.flags = cpu_rflags(c);
	memcpy(&o->s.x, c->xsave, sizeof(o->s.x));
	o->vector = c->exc.pending ? c->exc.vector : EXC_DB;
	o->err = c->exc.pending && c->exc.has_err ? c->exc.err : 0;
	o->cr2 = c->exc.cr2;
}

/* --- making tests ---------------------------------------------------------------------- */

static ZydisDecoder decoder;

/* Instruction sets the guest's CPUID offers (the rest is #UD there on purpose). */
static bool
isa_allowed(const ZydisDecodedInstruction *zi)
{
	static const char *const no[] = { "SVM", "VTX", "SGX", "MONITOR",
		"MONITORX", "CLZERO", "RDPRU", "AMD3DNOW", "3DNOW", "XOP",
		"TBM", "FMA4", "LWP", "MPX", "CET", "PKU", "ENQCMD", "TSX",
		"SMX", "UINTR", "AMX", "AVX512", "KEYLOCKER", "SERIALIZE",
		"PTWRITE", "MCOMMIT", "SNP", "INVLPGB", "PADLOCK", "RTM",
		"MOVDIR", "GFNI", "AVX_", "HRESET", "WAITPKG", "RDRAND",
		"RDSEED", "SSE4A", "WBNOINVD", "CLDEMOTE", "RDPID", "XSAVES",
		"RDTSCP", "KNC", "TDX", "RING0", "SMAP", "PCOMMIT", "CLWB",
		"CLFLUSH", "PREFETCH_NOP", "PBNDKB", "VIA" };
	const char *isa = ZydisISASetGetString(zi->meta.isa_set);
	size_t k;

	for (k = 0; k < ARRAY_LEN(no); k++)
		if (isa != NULL && strstr(isa, no[k]) != NULL)
			return false;
	return true;
}

static bool
mnemonic_allowed(const ZydisDecodedInstruction *zi)
{
	switch (zi->mnemonic) {
	/* What only the system may do, or what differs by design. */
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDPMC:
	case ZYDIS_MNEMONIC_XGETBV:
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFQ:
	case ZYDIS_MNEMONIC_PUSHF:
	case ZYDIS_MNEMONIC_PUSHFQ:
	case ZYDIS_MNEMONIC_LSL:
	case ZYDIS_MNEMONIC_LAR:
	case ZYDIS_MNEMONIC_VERR:
	case ZYDIS_MNEMONIC_VERW:
	case ZYDIS_MNEMONIC_SGDT:
	case ZYDIS_MNEMONIC_SIDT:
	case ZYDIS_MNEMONIC_SLDT:
	case ZYDIS_MNEMONIC_STR:
	case ZYDIS_MNEMONIC_SMSW:
	case ZYDIS_MNEMONIC_LFS:
	case ZYDIS_MNEMONIC_LGS:
	case ZYDIS_MNEMONIC_LSS:
	/* Store the instruction pointer of the last x87 instruction. */
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_XSAVE:
	case ZYDIS_MNEMONIC_XSAVE64:
	case ZYDIS_MNEMONIC_XSAVEOPT:
	case ZYDIS_MNEMONIC_XSAVEOPT64:
	case ZYDIS_MNEMONIC_XSAVEC:
	case ZYDIS_MNEMONIC_XSAVEC64:
	case ZYDIS_MNEMONIC_XRSTOR: /* sees the host's larger XCR0 */
	case ZYDIS_MNEMONIC_XRSTOR64:
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ:
		return false;
	default:
		break;
	}
	/* AMD lets a REP prefix choose between LOOPE and LOOPNE; undocumented. */
	if (zi->mnemonic == ZYDIS_MNEMONIC_LOOPE ||
	    zi->mnemonic == ZYDIS_MNEMONIC_LOOPNE)
		return zi->raw.prefix_count == 0;
	switch (zi->meta.category) {
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_SEGOP:
	case ZYDIS_CATEGORY_RDWRFSGS:
		return false;
	default:
		return zi->meta.branch_type != ZYDIS_BRANCH_TYPE_FAR;
	}
}

static bool
operands_allowed(const struct test *t)
{
	unsigned int k;

	for (k = 0; k < t->zi.operand_count; k++) {
		const ZydisDecodedOperand *op = &t->ops[k];

		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (op->mem.segment == ZYDIS_REGISTER_FS ||
			op->mem.segment == ZYDIS_REGISTER_GS))
			return false;
		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    k < t->zi.operand_count_visible &&
		    (ZydisRegisterGetClass(op->reg.value) ==
			    ZYDIS_REGCLASS_SEGMENT ||
			ZydisRegisterGetClass(op->reg.value) ==
			    ZYDIS_REGCLASS_CONTROL ||
			ZydisRegisterGetClass(op->reg.value) ==
			    ZYDIS_REGCLASS_DEBUG))
			return false;
	}
	return true;
}

static bool
decode_test(struct test *t)
{
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(
		&decoder, t->bytes, 15, &t->zi, t->ops)))
		return false;
	t->len = t->zi.length;
	return isa_allowed(&t->zi) && mnemonic_allowed(&t->zi) &&
	    operands_allowed(t);
}

static void
rnd_bytes(struct test *t)
{
	static const uint8_t prefix[] = { 0x66, 0x66, 0xf2, 0xf3, 0xf3, 0x67,
		0xf0 };
	uint64_t r[2] = { rnd(), rnd() };
	unsigned int n = 0;

	memcpy(t->bytes, r, 16);
	while (n < 3 && below(4) == 0)
		t->bytes[n++] = prefix[below(ARRAY_LEN(prefix))];
	if (below(10) < 4)
		t->bytes[n++] = (uint8_t)(0x40 | below(16));
	switch (below(5)) {
	case 0:
	case 1:
		t->bytes[n] = 0x0f;
		if (below(3) == 0)
			t->bytes[n + 1] = below(2) ? 0x38 : 0x3a;
		break;
	case 2:
		t->bytes[n] = below(2) ? 0xc4 : 0xc5;
		if (t->bytes[n] == 0xc4) /* maps 1-3, else invalid */
			t->bytes[n + 1] = (uint8_t)((t->bytes[n + 1] & 0xe0) |
			    (1 + below(3)));
		break;
	default:
		break;
	}
}

static int
gpr_index(ZydisRegister r)
{
	if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15)
		return (int)(r - ZYDIS_REGISTER_RAX);
	if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D)
		return (int)(r - ZYDIS_REGISTER_EAX);
	return -1;
}

/* A place in the arena: mostly inside, sometimes at an edge, rarely outside. */
static uint64_t
rnd_place(void)
{
	switch (below(12)) {
	case 0: /* straddle two writable pages */
		return DATA_VA + PAGE - 1 - below(32);
	case 1: /* into the read-only page */
		return DATA_VA + 2 * PAGE - 1 - below(32);
	case 2: /* into the hole */
		return DATA_VA + 3 * PAGE - 1 - below(32);
	case 3:
		return DATA_VA + 2 * PAGE + below(PAGE - 64);
	case 4:
		return rnd_value();
	default:
		return DATA_VA + (below(2 * PAGE - 128) & ~(uint64_t)(below(2) ? 0 : 31));
	}
}

/* Choose registers so that memory operands fall where we want them. */
static void
aim(struct test *t)
{
	unsigned int k;

	t->s.gpr[R_RSP] = rnd_place();
	if (below(2))
		t->s.gpr[R_RSP] &= ~7ull;
	for (k = 0; k < t->zi.operand_count; k++) {
		const ZydisDecodedOperandMem *m = &t->ops[k].mem;
		int base, index;
		uint64_t want;

		if (t->ops[k].type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		base = gpr_index(m->base);
		index = gpr_index(m->index);
		want = rnd_place();
		if (index >= 0 && index != base && below(2))
			t->s.gpr[index] = (uint64_t)(int64_t)(int8_t)rnd();
		if (base >= 0) {
			uint64_t rest = m->disp.has_displacement
			    ? (uint64_t)m->disp.value
			    : 0;

			if (index >= 0 && index != base)
				rest += t->s.gpr[index] * m->scale;
			t->s.gpr[base] = want - rest;
		}
	}
	/* Bit strings: keep most offsets near. */
	if (t->zi.mnemonic >= ZYDIS_MNEMONIC_BT &&
	    t->zi.mnemonic <= ZYDIS_MNEMONIC_BTS && below(4) != 0)
		for (k = 0; k < 16; k++)
			if (t->s.gpr[k] < DATA_VA - PAGE ||
			    t->s.gpr[k] > DATA_VA + NDATA * PAGE)
				t->s.gpr[k] = (uint64_t)(int64_t)(int16_t)rnd();
	if (t->zi.raw.prefix_count > 0 &&
	    t->zi.meta.category == ZYDIS_CATEGORY_STRINGOP)
		t->s.gpr[R_RCX] = below(40);
}

static void
rnd_state(struct test *t)
{
	unsigned int k;
	struct xsave_area *x = &t->s.x;

	for (k = 0; k < 16; k++)
		t->s.gpr[k] = rnd_value();
	if (below(4) == 0)
		t->s.gpr[below(16)] = t->s.gpr[below(16)];
	t->s.rip = CODE_VA + (below(8) ? 64 * below(32) : PAGE - 1 - below(14));
	t->s.flags = (uint32_t)rnd() & FL_OSZAPC;
	if (below(16) == 0)
		t->s.flags |= FL_DF;
	memset(x, 0, sizeof(*x));
	x->fcw = below(8) ? 0x37f : (uint16_t)(0x40 | (rnd() & 0xf3f));
	x->fsw = (uint16_t)((rnd() & 0x4700) | (below(4) ? 0 : rnd() & 0x3800));
	x->ftw = below(2) ? 0xff : (uint8_t)rnd();
	x->mxcsr = below(8) ? 0x1f80 | ((uint32_t)rnd() & 0x603f)
			    : (uint32_t)rnd() & 0xffbf;
	x->mxcsr_mask = 0xffff;
	for (k = 0; k < 8; k++) {
		x->st[k][0] = rnd_value() | (below(8) ? 1ull << 63 : 0);
		x->st[k][1] = below(4) ? 0x3fff + below(64) - 32 : rnd() & 0xffff;
	}
	for (k = 0; k < 16; k++) {
		x->xmm[k][0] = rnd_value();
		x->xmm[k][1] = rnd_value();
		x->ymmh[k][0] = rnd_value();
		x->ymmh[k][1] = rnd_value();
	}
	x->xstate_bv = 7;
}

static void
make_test(struct test *t)
{
	do
		rnd_bytes(t);
	while (!decode_test(t));
	rnd_state(t);
	aim(t);
}

/* --- comparing ------------------------------------------------------------------------ */

/* Components in their initial state are not written by XSAVE everywhere. */
static void
canonical(struct xsave_area *x)
{
	unsigned int k;

	x->fop = 0;
	memset(x->ptr, 0, sizeof(x->ptr));
	x->mxcsr_mask = 0;
	if (!(x->xstate_bv & 1)) {
		x->fcw = 0x37f;
		x->fsw = x->ftw = 0;
		memset(x->st, 0, sizeof(x->st));
	}
	for (k = 0; k < 8; k++)
		x->st[k][1] &= 0xffff;
	if (!(x->xstate_bv & 2))
		memset(x->xmm, 0, sizeof(x->xmm));
	if (!(x->xstate_bv & 4))
		memset(x->ymmh, 0, sizeof(x->ymmh));
}

static int
differ(const char *what, uint64_t native, uint64_t engine, bool print)
{
	if (native == engine)
		return 0;
	if (print)
		printf("  %-8s native %016llx engine %016llx\n", what,
		    (unsigned long long)native, (unsigned long long)engine);
	return 1;
}

static int
compare_fp(const struct xsave_area *a, const struct xsave_area *b, bool print)
{
	char name[16];
	unsigned int k, h;
	int bad = 0;

	bad += differ("fcw", a->fcw, b->fcw, print);
	bad += differ("fsw", a->fsw, b->fsw, print);
	bad += differ("ftw", a->ftw, b->ftw, print);
	bad += differ("mxcsr", a->mxcsr, b->mxcsr, print);
	for (k = 0; k < 16; k++)
		for (h = 0; h < 2; h++) {
			snprintf(name, sizeof(name), "xmm%u.%u", k, h);
			bad += differ(name, a->xmm[k][h], b->xmm[k][h], print);
			snprintf(name, sizeof(name), "ymmh%u.%u", k, h);
			bad += differ(name, a->ymmh[k][h], b->ymmh[k][h], print);
			if (k < 8) {
				snprintf(name, sizeof(name), "st%u.%u", k, h);
				bad += differ(
				    name, a->st[k][h], b->st[k][h], print);
			}
		}
	return bad;
}

static int
compare_memory(const uint8_t *guest, bool print)
{
	unsigned int k, at;
	int bad = 0;

	for (k = 0; k < NDATA; k++) {
		const uint8_t *n = (const uint8_t *)(DATA_VA + k * PAGE);
		const uint8_t *g = guest + k * PAGE;

		if (data_kind[k] != RW || memcmp(n, g, PAGE) == 0)
			continue;
		for (at = 0; at < PAGE && n[at] == g[at]; at++)
			;
		bad++;
		if (print)
			printf("  memory at %llx: native %02x engine %02x\n",
			    (unsigned long long)(DATA_VA + k * PAGE + at), n[at],
			    g[at]);
	}
	return bad;
}

static int
compare(const struct test *t, struct outcome *n, struct outcome *e, bool print)
{
	static const char *const names[16] = { "rax", "rcx", "rdx", "rbx", "rsp",
		"rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
		"r14", "r15" };
	uint32_t mask = FLAGS_CMP;
	unsigned int k;
	int bad = 0;

	if (t->zi.cpu_flags != NULL)
		mask &= ~(uint32_t)t->zi.cpu_flags->undefined;
	bad += differ("vector", n->vector, e->vector, print);
	/* Linux sets P for faults in its own half (fault.c, sanitize_error_code). */
	if (n->vector == EXC_PF && n->cr2 >> 47 != 0)
		e->err |= PF_P;
	if (n->vector != EXC_DB) {
		bad += differ("error", n->err, e->err, print);
		/* Which part of a large operand faults is the processor's. */
		if (n->vector == EXC_PF && !(t->zi.mnemonic ==
			ZYDIS_MNEMONIC_FRSTOR))
			bad += differ("cr2", n->cr2, e->cr2, print);
	}
	bad += differ("rip", n->s.rip, e->s.rip, print);
	bad += differ("flags", n->s.flags & mask, e->s.flags & mask, print);
	for (k = 0; k < 16; k++)
		bad += differ(names[k], n->s.gpr[k], e->s.gpr[k], print);
	canonical(&n->s.x);
	canonical(&e->s.x);
	bad += compare_fp(&n->s.x, &e->s.x, print);
	return bad + compare_memory(guest_data, print);
}

/* --- driver ------------------------------------------------------------------------------ */

static void
print_test(const struct test *t)
{
	ZydisFormatter f;
	char text[96] = "?";
	unsigned int k;

	ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
	ZydisFormatterFormatInstruction(&f, &t->zi, t->ops,
	    t->zi.operand_count_visible, text, sizeof(text), t->s.rip, NULL);
	printf("difference: ");
	for (k = 0; k < t->len; k++)
		printf("%02x", t->bytes[k]);
	printf("  %s\n  rip %llx flags %x fcw %x mxcsr %x", text,
	    (unsigned long long)t->s.rip, t->s.flags, t->s.x.fcw, t->s.x.mxcsr);
	for (k = 0; k < 16; k++)
		printf("%s r%u=%llx", k % 6 == 0 ? "\n " : "", k,
		    (unsigned long long)t->s.gpr[k]);
	printf("\n");
}

/* The same bytes and data on both sides. */
static void
prepare(const struct test *t)
{
	unsigned int k, off = (unsigned int)(t->s.rip - CODE_VA);

	for (k = 0; k < NDATA; k++)
		if (data_kind[k] == RW)
			memcpy((void *)(DATA_VA + k * PAGE), data_init + k * PAGE,
			    PAGE);
	memcpy(guest_data, data_init, sizeof(data_init));
	memcpy((void *)t->s.rip, t->bytes, t->len);
	if (memcmp(guest_code + off, t->bytes, t->len) != 0) {
		memcpy(guest_code + off, t->bytes, t->len);
		vm_mem_written(cpu->ctx, CODE_GPA + off, t->len);
	}
}

static uint32_t seen[ZYDIS_MNEMONIC_MAX_VALUE + 1];
static uint32_t failed[ZYDIS_MNEMONIC_MAX_VALUE + 1];

static bool
one_test(struct test *t, bool keep_going)
{
	struct outcome n, e;

	prepare(t);
	run_native(t, &n);
	run_engine(t, &e);
	seen[t->zi.mnemonic]++;
	if (compare(t, &n, &e, false) == 0)
		return true;
	/* Print a mnemonic's first three failures when going on. */
	if (failed[t->zi.mnemonic]++ < 3 || !keep_going) {
		print_test(t);
		compare(t, &n, &e, true);
	}
	return false;
}

static void
summary(uint64_t tests, uint64_t bad, uint64_t seed, double seconds)
{
	unsigned int k, kinds = 0;

	for (k = 0; k <= ZYDIS_MNEMONIC_MAX_VALUE; k++) {
		kinds += seen[k] != 0;
		if (failed[k] != 0)
			printf("%-16s %u of %u differ\n",
			    ZydisMnemonicGetString((ZydisMnemonic)k), failed[k],
			    seen[k]);
	}
	printf("%llu instructions, %u mnemonics, %llu differences, seed %llu, "
	       "%.1f s\n",
	    (unsigned long long)tests, kinds, (unsigned long long)bad,
	    (unsigned long long)seed, seconds);
}

static int
parse_hex(const char *s, struct test *t)
{
	unsigned int k, v;

	for (k = 0; k < 15 && sscanf(s + 2 * k, "%2x", &v) == 1; k++)
		t->bytes[k] = (uint8_t)v;
	return k > 0 && decode_test(t) ? 0 : -1;
}

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
fill_data(void)
{
	unsigned int k;
	uint64_t v;

	for (k = 0; k < sizeof(data_init); k += 8) {
		v = rnd_value();
		memcpy(data_init + k, &v, 8);
	}
	/* The read-only page is the same throughout a run. */
	memcpy((void *)(DATA_VA + 2 * PAGE), data_init + 2 * PAGE, PAGE);
	mprotect((void *)(DATA_VA + 2 * PAGE), PAGE, PROT_READ);
}

int
main(int argc, char **argv)
{
	uint64_t seed = (uint64_t)time(NULL), count = 0, tests = 0, bad = 0;
	double seconds = 10, start;
	bool keep_going = false;
	const char *only = NULL;
	static struct test t;
	int k;

	for (k = 1; k < argc; k++) {
		const char *val = k + 1 < argc ? argv[k + 1] : "";

		if (strcmp(argv[k], "--keep-going") == 0)
			keep_going = true;
		else if (strcmp(argv[k], "--seconds") == 0)
			seconds = atof(val), k++;
		else if (strcmp(argv[k], "--count") == 0)
			count = strtoull(val, NULL, 0), k++;
		else if (strcmp(argv[k], "--seed") == 0)
			seed = strtoull(val, NULL, 0), k++;
		else if (strcmp(argv[k], "--only") == 0)
			only = val, k++;
		else {
			fprintf(stderr,
			    "usage: fuzz_cpu [--seconds N] [--count N] "
			    "[--seed N] [--keep-going] [--only HEX]\n");
			return 64;
		}
	}
	rng = seed * 0x9e3779b97f4a7c15ull + 1;
	ZydisDecoderInit(
	    &decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisDecoderEnableMode(
	    &decoder, ZYDIS_DECODER_MODE_AMD_BRANCHES, ZYAN_TRUE);
	make_guest(); /* installs the engine's SIGFPE handler: ours replaces it */
	map_native();
	fill_data();
	start = now();
	while (count != 0 ? tests < count : now() - start < seconds) {
		if (only != NULL) {
			if (parse_hex(only, &t) != 0) {
				fprintf(stderr, "fuzz_cpu: cannot test %s\n", only);
				return 64;
			}
			rnd_state(&t);
			aim(&t);
		} else {
			make_test(&t);
		}
		tests++;
		if (!one_test(&t, keep_going)) {
			bad++;
			if (!keep_going)
				break;
		}
	}
	summary(tests, bad, seed, now() - start);
	return bad != 0;
}
