/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * soft_fpu_harness.c - see soft_fpu_harness.h.
 */
#include "soft_fpu_harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct soft_cpu *cpu;
uint8_t *emu_data;
ZydisDecoder dec64, dec32, dec16;
static uint64_t seed = 0x9e3779b97f4a7c15ull;

/* What decode.c gives, as far as this file needs it. */
static uint8_t
gpr_number(ZydisRegister r)
{
	ZyanI8 id = r == ZYDIS_REGISTER_NONE ? -1 : ZydisRegisterGetId(r);

	return id < 0 || r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP
		   ? R_ZERO
		   : (uint8_t)id;
}

uint8_t
insn_reg_offset(int reg)
{
	if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
		return (uint8_t)((reg - ZYDIS_REGISTER_AH) * 8 + 1);
	if (reg >= ZYDIS_REGISTER_SPL && reg <= ZYDIS_REGISTER_R15B)
		return (uint8_t)((reg - ZYDIS_REGISTER_SPL + 4) * 8);
	return (uint8_t)(ZydisRegisterGetId((ZydisRegister)reg) * 8);
}

bool
insn_fill_mem(const struct soft_cpu *c, const ZydisDecodedInstruction *zi,
    const ZydisDecodedOperand *op, struct insn *i)
{
	i->mem = SEG_DS;
	if (!(c->mode & MODE_64))
		i->mem |=
		    MEM_LEGACY | (zi->address_width == 16 ? MEM_A16 : MEM_A32);
	else if (zi->address_width == 32)
		i->mem |= MEM_A32;
	if (op->mem.base == ZYDIS_REGISTER_RIP ||
	    op->mem.base == ZYDIS_REGISTER_EIP)
		i->mem |= MEM_RIP;
	i->base = gpr_number(op->mem.base);
	i->index = gpr_number(op->mem.index);
	i->scale = (uint8_t)__builtin_ctz(op->mem.scale | 8);
	i->disp = (int32_t)op->mem.disp.value;
	i->x |= INSN_HASMEM;
	return true;
}

/* --- random values -------------------------------------------------------- */

uint64_t
rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dull >> 8;
}

bool
one_in(unsigned int n)
{
	return rnd() % n == 0;
}

uint64_t
rnd64(void)
{
	switch (rnd() % 6) {
	case 0:
		return rnd() & 0xff;
	case 1:
		return UINT64_MAX - (rnd() & 0xff);
	case 2:
		return 1ull << (rnd() & 63);
	default:
		return rnd() << 32 ^ rnd();
	}
}

/* Bits that are often a number, a NaN, an infinity, a denormal. */
static uint64_t
rnd_fp(void)
{
	static const uint64_t special[] = { 0, 0x8000000000000000ull,
		0x7ff0000000000000ull, 0xfff8000000000001ull,
		0x7ff0000000000001ull, 0x3ff0000000000000ull, 1,
		0x7f8000007f800001ull, 0x3f8000003f800000ull,
		0x0000000180000001ull };

	switch (rnd() % 5) {
	case 0:
		return special[rnd() % ARRAY_LEN(special)];
	case 1:
		return (0x3f0ull + rnd() % 32) << 52 |
		       (rnd() & 0xfffffffffffff);
	case 2:
		return (0x3f000000ull + (rnd() & 0x1ffffff)) << 32 |
		       (0x3f000000ull + (rnd() & 0x1ffffff));
	default:
		return rnd64();
	}
}

static void
rnd_x87(struct xsave_area *x)
{
	x->fcw = (uint16_t)(0x37f ^ (one_in(3) ? rnd() & 0xf00 : 0));
	if (one_in(6))
		x->fcw &= (uint16_t) ~(rnd() & 0x3f);
	x->fsw = (uint16_t)(rnd() & 0x7f00);
	if (one_in(8))
		x->fsw |= (uint16_t)(rnd() & 0x3f);
	x87_normalise(x);
	x->ftw = one_in(4) ? (uint8_t)rnd() : 0xff;
	for (unsigned int r = 0; r < 8; r++) {
		x->st[r][0] = rnd64() | (one_in(8) ? 0 : 1ull << 63);
		x->st[r][1] = one_in(4) ? rnd() & 0xffff : 0x3ff0 + rnd() % 32;
		if (one_in(8))
			x->st[r][0] = x->st[r][1] = 0;
	}
}

void
rnd_state(struct nat_state *s)
{
	struct xsave_area *x = (struct xsave_area *)(void *)s->xsave;

	memset(s, 0, sizeof(*s));
	rnd_x87(x);
	x->mxcsr = MXCSR_INIT | (uint32_t)(rnd() & 0x603f);
	if (one_in(4))
		x->mxcsr |= (uint32_t)rnd() & 0x8040;
	if (one_in(6))
		x->mxcsr &= ~((uint32_t)rnd() & 0x1f80);
	x->mxcsr_mask = MXCSR_MASK;
	for (unsigned int r = 0; r < 16; r++)
		for (unsigned int h = 0; h < 2; h++) {
			x->xmm[r][h] = rnd_fp();
			x->ymmh[r][h] = rnd_fp();
		}
	x->xstate_bv = XF_ALL;
	for (unsigned int r = 0; r < 16; r++)
		s->gpr[r] = rnd64();
	s->rflags = (rnd() & FL_OSZAPC) | FL_ONE | FL_IF;
}

void
rnd_memory(void)
{
	for (unsigned int n = 0; n < NAT_DATA_LEN; n += 8) {
		uint64_t v = rnd_fp();

		memcpy(nat_data + n, &v, 8);
	}
	memcpy(emu_data, nat_data, NAT_DATA_LEN);
}

/* --- running the engine's side -------------------------------------------- */

void
cpu_load(const struct nat_state *s)
{
	struct xsave_area *x = (struct xsave_area *)(void *)cpu->xsave;

	cpu->fpu_live = false;
	memcpy(cpu->gpr, s->gpr, sizeof(s->gpr));
	cpu->cc = flags_to_cc((uint32_t)s->rflags);
	memcpy(cpu->xsave, s->xsave, sizeof(struct xsave_area));
	memset(x->ptr, 0, sizeof(x->ptr));
	x->fop = 0;
	memset(&cpu->exc, 0, sizeof(cpu->exc));
	cpu->smc_hit = false;
}

/* -1, or the exception's vector. */
int
cpu_run(struct insn i[2], uint64_t rip)
{
	i[1] = (struct insn){ .fn = fake_end };
	i[0].fn(cpu, i, rip);
	fpu_park(cpu);
	return cpu->exc.pending ? cpu->exc.vector : -1;
}

bool
decode(const ZydisDecoder *d, const uint8_t *b, ZydisDecodedInstruction *zi,
    ZydisDecodedOperand *ops)
{
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(d, b, 15, zi, ops));
}

const char *
text(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops)
{
	static char buf[128];
	ZydisFormatter f;

	ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
	ZydisFormatterFormatInstruction(&f, zi, ops, zi->operand_count_visible,
	    buf, sizeof(buf), NAT_INSN, NULL);
	return buf;
}

/* Instrumented code uses vector registers: sanitizer builds are always eager.
 */
void
choose_eager(bool on)
{
#ifdef SOFT_FPU_EAGER
	on = true;
#endif
	fpu_set_eager(on);
}

int
cpu_exec(const ZydisDecoder *d, const uint8_t *b)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction zi;
	struct insn i[2];
	bool ends;

	if (!decode(d, b, &zi, ops) ||
	    !fpu_decode(cpu, &zi, ops, b, &i[0], &ends))
		return -2;
	return cpu_run(i, NAT_INSN);
}

/* --- comparison ----------------------------------------------------------- */

bool
differ(struct diff *d, const char *what, unsigned int n, uint64_t native,
    uint64_t emulated)
{
	if (native == emulated)
		return false;
	snprintf(d->what, sizeof(d->what), "%s%u", what, n);
	d->native = native;
	d->emulated = emulated;
	return true;
}

bool
diff_vectors(
    struct diff *d, const struct xsave_area *n, const struct xsave_area *e)
{
	for (unsigned int r = 0; r < 16; r++)
		for (unsigned int h = 0; h < 2; h++)
			if (differ(d, "xmm", r, n->xmm[r][h], e->xmm[r][h]) ||
			    differ(d, "ymmh", r, n->ymmh[r][h], e->ymmh[r][h]))
				return true;
	return differ(d, "mxcsr", 0, n->mxcsr, e->mxcsr);
}

bool
diff_x87(struct diff *d, const struct xsave_area *n, const struct xsave_area *e)
{
	for (unsigned int r = 0; r < 8; r++)
		if (differ(d, "st", r, n->st[r][0], e->st[r][0]) ||
		    differ(d, "st.exp", r, n->st[r][1] & 0xffff,
			e->st[r][1] & 0xffff))
			return true;
	return differ(d, "fcw", 0, n->fcw, e->fcw) ||
	       differ(d, "fsw", 0, n->fsw, e->fsw) ||
	       differ(d, "ftw", 0, n->ftw, e->ftw);
}

bool
diff_registers(struct diff *d, struct nat_state *n)
{
	const struct xsave_area *nx = nat_image(n), *ex = cpu_image();

	for (unsigned int r = 0; r < 16; r++)
		if (differ(d, "gpr", r, n->gpr[r], cpu->gpr[r]))
			return true;
	return differ(d, "flags", 0, n->rflags & FL_OSZAPC,
		   cc_to_flags(cpu->cc)) ||
	       diff_vectors(d, nx, ex) || diff_x87(d, nx, ex);
}

bool
diff_memory(struct diff *d)
{
	for (unsigned int m = 0; m < NAT_DATA_LEN; m++)
		if (differ(d, "mem", m, nat_data[m], emu_data[m]))
			return true;
	return false;
}

/* --- set-up --------------------------------------------------------------- */

static const int fault_signals[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS };
static struct sigaction fault_actions[ARRAY_LEN(fault_signals)];

void
take_signals(void **state)
{
	(void)state;
	for (size_t n = 0; n < ARRAY_LEN(fault_signals); n++)
		sigaction(fault_signals[n], &fault_actions[n], NULL);
}

bool
host_is_amd(void)
{
	uint32_t a = 0, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return b == 0x68747541; /* "Auth" */
}

int
machine_init(void)
{
	static struct vm_ram ram;

	if (getenv("SOFT_FPU_SEED") != NULL)
		seed += strtoull(getenv("SOFT_FPU_SEED"), NULL, 0) << 20;
	nat_init();
	if (fpu_global_init() != 0)
		return -1;
	for (size_t n = 0; n < ARRAY_LEN(fault_signals); n++)
		sigaction(fault_signals[n], NULL, &fault_actions[n]);
	cpu = aligned_alloc(64, ROUND_UP(sizeof(*cpu), (size_t)64));
	memset(cpu, 0, sizeof(*cpu));
	emu_data = mmap(NULL, NAT_DATA_LEN, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fake_mem = (struct fake_mem){
		.base = NAT_DATA, .len = NAT_DATA_LEN, .host = emu_data
	};
	cpu->ram = &ram;
	cpu->mode = MODE_TEST64;
	cpu->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	cpu->xcr0 = fpu_xcr0_supported();
	ZydisDecoderInit(
	    &dec64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisDecoderInit(
	    &dec32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	ZydisDecoderInit(
	    &dec16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
	return 0;
}
