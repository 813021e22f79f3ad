/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_compare.c - what of two outcomes must be equal, and printing what is
 * not.
 */
#include "fuzz_cpu.h"

#include <stdio.h>
#include <string.h>

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
	if (memcmp(a->st, b->st, sizeof(a->st)) == 0 &&
	    memcmp(a->xmm, b->xmm, sizeof(a->xmm)) == 0 &&
	    memcmp(a->ymmh, b->ymmh, sizeof(a->ymmh)) == 0)
		return bad;
	for (k = 0; k < 16; k++)
		for (h = 0; h < 2; h++) {
			snprintf(name, sizeof(name), "xmm%u.%u", k, h);
			bad += differ(name, a->xmm[k][h], b->xmm[k][h], print);
			snprintf(name, sizeof(name), "ymmh%u.%u", k, h);
			bad +=
			    differ(name, a->ymmh[k][h], b->ymmh[k][h], print);
			if (k < 8) {
				snprintf(name, sizeof(name), "st%u.%u", k, h);
				bad += differ(
				    name, a->st[k][h], b->st[k][h], print);
			}
		}
	return bad;
}

static int
compare_memory(bool print)
{
	unsigned int k, at;
	int bad = 0;

	for (k = 0; k < NDATA; k++) {
		const uint8_t *n = (const uint8_t *)(DATA_VA + k * PAGE);
		const uint8_t *g = engine_data() + k * PAGE;

		if (fuzz_data_kind[k] != RW || memcmp(n, g, PAGE) == 0)
			continue;
		for (at = 0; at < PAGE && n[at] == g[at]; at++)
			;
		bad++;
		if (print)
			printf("  memory at %llx: native %02x engine %02x\n",
			    (unsigned long long)(DATA_VA + k * PAGE + at),
			    n[at], g[at]);
	}
	return bad;
}

/* The instruction an outcome stopped at, or NULL behind the last. */
static const struct test_insn *
insn_at(const struct test *t, uint64_t rip)
{
	unsigned int k;

	for (k = 0; k < t->n; k++)
		if (t->s.rip + t->insn[k].off == rip)
			return &t->insn[k];
	return NULL;
}

/*
 * Where a masked move's elements are that run past the end of 32-bit addresses:
 * seen at 0 on a Zen 4, and at 4 GiB on a Zen 5, as in the engine.
 */
static bool
wraps(const struct test *t, const struct outcome *n, const struct outcome *e)
{
	const struct test_insn *in = insn_at(t, n->s.rip);

	return fuzz.mode == FUZZ_64 && in != NULL &&
	       in->zi.address_width == 32 && e->cr2 >> 32 == 1 &&
	       n->cr2 == (uint32_t)e->cr2;
}

static int
compare_exception(const struct test *t, const struct outcome *n,
    struct outcome *e, bool print)
{
	int bad = differ("vector", n->vector, e->vector, print);

	if (print && bad && e->vector == EXC_PF)
		printf("  engine's #PF at %llx, error %x\n",
		    (unsigned long long)e->cr2, e->err);
	if (n->vector == EXC_DB || n->vector == EXC_BP)
		return bad;
	/* Linux sets P for faults in its own half (fault.c,
	 * sanitize_error_code). */
	if (n->vector == EXC_PF && n->cr2 >> 47 != 0)
		e->err |= PF_P;
	bad += differ("error", n->err, e->err, print);
	if (n->vector == EXC_PF && !wraps(t, n, e))
		bad += differ("cr2", n->cr2, e->cr2, print);
	return bad;
}

static uint32_t
flags_mask(const struct test *t, const struct outcome *n)
{
	const struct test_insn *in = insn_at(t, n->s.rip);

	if (fuzz.undefined)
		return FLAGS_CMP;
	if (fuzz.mode == FUZZ_64 && !t->run && loads_flags(&t->insn[0]))
		return FLAGS_CMP | FL_IF | FL_IOPL | FL_NT | FL_AC | FL_ID;
	/* A fault: the instruction has not changed any. */
	if (t->run && n->vector != EXC_BP && in != NULL)
		return FLAGS_CMP & ~in->undef;
	return FLAGS_CMP & ~t->undef;
}

/* The host loads null selectors as they are, and IRET then makes them 0. */
static uint16_t
selector(uint16_t sel)
{
	return sel < 4 ? 0 : sel;
}

/* The operand is accessed in several pieces, each with its own segment check.
 */
static bool
is_piecewise(const struct test_insn *in)
{
	unsigned int k;

	for (k = 0; k < in->zi.operand_count; k++)
		if (in->ops[k].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return in->ops[k].size == 80 || in->ops[k].size > 256 ||
			       in->zi.mnemonic == ZYDIS_MNEMONIC_FLDENV ||
			       in->zi.mnemonic == ZYDIS_MNEMONIC_FNSTENV;
	return false;
}

static bool
is_memory_fault(unsigned int vector)
{
	return vector == EXC_SS || vector == EXC_GP || vector == EXC_PF;
}

static bool
is_cmps(const struct test_insn *in)
{
	return in->zi.mnemonic == ZYDIS_MNEMONIC_CMPSB ||
	       in->zi.mnemonic == ZYDIS_MNEMONIC_CMPSW ||
	       in->zi.mnemonic == ZYDIS_MNEMONIC_CMPSD ||
	       in->zi.mnemonic == ZYDIS_MNEMONIC_CMPSQ;
}

/*
 * A difference that is known and meant, by the instruction where it stopped and
 * both exceptions:
 *  - FXRSTOR of MXCSR.MM (AMD's bit 17), which guests do not have;
 *  - CMPS, both of whose operands fault: Zen 4 takes rDI's first, as the
 *    engine, Zen 5 rSI's;
 *  - a gather that faults after some elements: the host reports the pending
 *    single-step trap first;
 *  - large operands that meet both a segment limit and a missing page, or the
 *    end of 16-bit or, in 64-bit mode, 32-bit addresses: which comes first is
 *    the processor's, and AMD's wrap the offset of each piece.
 */
static bool
excused(const struct test *t, const struct outcome *n, const struct outcome *e)
{
	const struct test_insn *in = insn_at(t, n->s.rip);

	if (n->vector == VECTOR_LOST || (n->s.x.mxcsr & 0x20000))
		return true;
	if (in == NULL)
		return false;
	if (in->zi.meta.category == ZYDIS_CATEGORY_AVX2GATHER)
		return !t->run && n->vector == EXC_DB && e->vector == EXC_PF;
	if (!is_memory_fault(n->vector) || !is_memory_fault(e->vector))
		return false;
	return is_cmps(in) ||
	       (is_piecewise(in) &&
		   (fuzz.mode != FUZZ_64 || in->zi.address_width == 32));
}

int
compare(const struct test *t, struct outcome *n, struct outcome *e, bool print)
{
	static const char *const names[16] = { "rax", "rcx", "rdx", "rbx",
		"rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
		"r13", "r14", "r15" };
	static const char *const segs[6] = { "es", "cs", "ss", "ds", "fs",
		"gs" };
	uint32_t mask = flags_mask(t, n);
	unsigned int k, ngpr = fuzz.mode == FUZZ_64 ? 16 : 8;
	uint64_t width = fuzz.mode == FUZZ_64 ? UINT64_MAX : UINT32_MAX;
	int bad;

	if (excused(t, n, e))
		return 0;
	bad = compare_exception(t, n, e, print);
	bad += differ("rip", n->s.rip, e->s.rip, print);
	bad += differ("flags", n->s.flags & mask, e->s.flags & mask, print);
	for (k = 0; k < ngpr; k++)
		bad += differ(
		    names[k], n->s.gpr[k] & width, e->s.gpr[k] & width, print);
	for (k = 0; k < 6 && fuzz.mode != FUZZ_32; k++)
		if (k != SEG_FS)
			bad += differ(segs[k], selector(n->s.sel[k]),
			    selector(e->s.sel[k]), print);
	canonical(&n->s.x);
	canonical(&e->s.x);
	bad += compare_fp(&n->s.x, &e->s.x, print);
	return bad + compare_memory(print);
}

/* --- printing -------------------------------------------------------- */

static void
print_insn(const struct test *t, const struct test_insn *in)
{
	ZydisFormatter f;
	char text[96] = "?";
	unsigned int k;

	ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
	ZydisFormatterFormatInstruction(&f, &in->zi, in->ops,
	    in->zi.operand_count_visible, text, sizeof(text),
	    t->s.rip + in->off, NULL);
	printf("  %llx: ", (unsigned long long)(t->s.rip + in->off));
	for (k = 0; k < in->zi.length; k++)
		printf("%02x", t->bytes[in->off + k]);
	printf("  %s\n", text);
}

void
print_test(const struct test *t, uint64_t index)
{
	static const char *const segs[6] = { "es", "cs", "ss", "ds", "fs",
		"gs" };
	unsigned int k;

	printf("difference: --seed %llu --at %llu\n",
	    (unsigned long long)fuzz.seed, (unsigned long long)index);
	for (k = 0; k < t->n; k++)
		print_insn(t, &t->insn[k]);
	printf("  rip %llx flags %x fcw %x fsw %x ftw %x mxcsr %x",
	    (unsigned long long)t->s.rip, t->s.flags, t->s.x.fcw, t->s.x.fsw,
	    t->s.x.ftw, t->s.x.mxcsr);
	for (k = 0; k < (fuzz.mode == FUZZ_64 ? 16u : 8u); k++)
		printf("%s r%u=%llx", k % 6 == 0 ? "\n " : "", k,
		    (unsigned long long)t->s.gpr[k]);
	printf("\n");
	for (k = 0; k < 6 && fuzz.mode == FUZZ_16; k++) {
		struct soft_seg s = seg_of(t->s.sel[k]);

		printf("  %s %x base %llx limit %x access %x\n", segs[k], s.sel,
		    (unsigned long long)s.base, s.limit, s.access);
	}
}
