/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_soft_fpu_state.c - whole-state instructions against the host (FXSAVE,
 * XSAVE family, FNSTENV, FNSAVE), when FP instructions are available, which
 * exceptions they raise and what is left then, code of 16- and 32-bit modes,
 * park and unpark, a full thunk area.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "soft_fpu_harness.h"

#define B(...) ((const uint8_t[16]){ __VA_ARGS__ })

/* A fresh 64-bit machine, nothing masked off, no exception pending. */
static void
fresh(struct nat_state *s)
{
	struct xsave_area *x = nat_image(s);

	cpu->mode = MODE_TEST64;
	cpu->cr0 = CR0_PE | CR0_NE;
	cpu->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	cpu->xcr0 = fpu_xcr0_supported();
	cpu->cpl = 0;
	memset(cpu->seg, 0, sizeof(cpu->seg));
	choose_eager(false);
	fake_mem.path = FAKE_TLB;
	fake_mem.read_only = false;
	fake_tlb(cpu);
	rnd_memory();
	rnd_state(s);
	x->fcw = FCW_INIT;
	x->fsw = 0;
	x->ftw = 0xff;
	x->mxcsr = MXCSR_INIT;
	cpu_load(s);
}

static int
both(struct nat_state *s, const uint8_t *b, unsigned int len, int *ret_native)
{
	int e;

	cpu_load(s);
	e = cpu_exec(&dec64, b);
	*ret_native = nat_run(s, b, len);
	return e;
}

static void
assert_same_registers(struct nat_state *s)
{
	struct diff d;

	if (diff_registers(&d, s)) {
		printf("%s: native %llx, emulated %llx\n", d.what,
		    (unsigned long long)d.native,
		    (unsigned long long)d.emulated);
		fail();
	}
}

/* --- save areas against the host ---------------------------------------------
 */

/* What legitimately differs: MXCSR_MASK, and x87 pointers of a pending error.
 */
static void
hide_own_fields(uint8_t *area, bool pending)
{
	memset(area + 28, 0, 4);
	if (pending) {
		memset(area + 6, 0, 2);
		memset(area + 8, 0, 16);
	}
}

static void
assert_same_area(unsigned int off, bool pending)
{
	struct diff d;

	hide_own_fields(nat_data + off, pending);
	hide_own_fields(emu_data + off, pending);
	if (diff_memory(&d)) {
		printf("%s: native %llx, emulated %llx\n", d.what,
		    (unsigned long long)d.native,
		    (unsigned long long)d.emulated);
		fail();
	}
}

/* State components of the host that guests do not have: AVX-512, PKRU. */
static uint64_t
host_only_xcr0(void)
{
	uint32_t lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return ((uint64_t)hi << 32 | lo) & ~fpu_xcr0_supported();
}

/* Bits of components that neither has are ignored in EDX:EAX. */
static void
set_mask(struct nat_state *s, uint64_t rfbm)
{
	rfbm |= rnd() & 0xffff000000f8 & ~host_only_xcr0();
	s->gpr[R_RAX] = (uint32_t)rfbm;
	s->gpr[R_RDX] = rfbm >> 32;
}

/* fxsave/xsave/... [rbx], len 3 or 4 with REX.W. */
static const struct {
	uint8_t op[4];
	uint8_t len;
	bool header;
} savers[] = {
	{ { 0x0f, 0xae, 0x03 }, 3, false },	  /* FXSAVE */
	{ { 0x48, 0x0f, 0xae, 0x03 }, 4, false }, /* FXSAVE64 */
	{ { 0x0f, 0xae, 0x23 }, 3, true },	  /* XSAVE */
	{ { 0x48, 0x0f, 0xae, 0x23 }, 4, true },  /* XSAVE64 */
	{ { 0x0f, 0xae, 0x33 }, 3, true },	  /* XSAVEOPT */
	{ { 0x48, 0x0f, 0xae, 0x33 }, 4, true },
	{ { 0x0f, 0xc7, 0x23 }, 3, true }, /* XSAVEC */
	{ { 0x48, 0x0f, 0xc7, 0x23 }, 4, true },
};

static void
random_x87_status(struct xsave_area *x)
{
	x->fcw = (uint16_t)rnd();
	x->fsw = (uint16_t)(rnd() & 0x7f7f);
	x->ftw = (uint8_t)rnd();
	x87_normalise(x);
}

static void
test_save_areas(void **state)
{
	struct nat_state s;

	take_signals(state);
	for (unsigned int k = 0; k < 4000; k++) {
		unsigned int n = rnd() % ARRAY_LEN(savers), off = 0x1000;
		uint8_t b[16] = { 0 };
		int native;
		bool pending;

		fresh(&s);
		fake_mem.path = (enum fake_path)(rnd() % FAKE_PATHS);
		fake_tlb(cpu);
		memcpy(b, savers[n].op, savers[n].len);
		random_x87_status(nat_image(&s));
		nat_image(&s)->mxcsr = MXCSR_INIT | (uint32_t)(rnd() & 0x3f);
		pending = nat_image(&s)->fsw & FSW_ES;
		set_mask(&s, rnd() & 7);
		if (savers[n].header && one_in(2))
			off = 0xf00 & ~63u; /* crosses a page */
		s.gpr[R_RBX] = NAT_DATA + off;
		assert_int_equal(both(&s, b, savers[n].len, &native), -1);
		assert_int_equal(native, -1);
		assert_same_registers(&s);
		assert_same_area(off, pending);
	}
}

static void
test_save_misaligned(void **state)
{
	struct nat_state s;
	int native;

	take_signals(state);
	for (unsigned int n = 0; n < ARRAY_LEN(savers); n++) {
		uint8_t b[16] = { 0 };

		fresh(&s);
		memcpy(b, savers[n].op, savers[n].len);
		s.gpr[R_RBX] = NAT_DATA + (savers[n].header ? 32 : 8);
		assert_int_equal(both(&s, b, savers[n].len, &native), EXC_GP);
		assert_int_equal(native, EXC_GP);
		assert_same_area(0x100, false);
	}
}

/* Nothing is written when the end of the area is not there. */
static void
test_save_fault(void **state)
{
	static const uint8_t zero[NAT_PAGE];
	struct nat_state s;

	take_signals(state);
	for (unsigned int n = 0; n < ARRAY_LEN(savers); n++) {
		uint8_t b[16] = { 0 };

		fresh(&s);
		memset(emu_data, 0, NAT_DATA_LEN);
		memcpy(b, savers[n].op, savers[n].len);
		s.gpr[R_RAX] = 7;
		s.gpr[R_RDX] = 0;
		s.gpr[R_RBX] = NAT_DATA + NAT_DATA_LEN -
			       (savers[n].header ? 0x240 : 0x1f0);
		cpu_load(&s);
		assert_int_equal(cpu_exec(&dec64, b), EXC_PF);
		assert_memory_equal(emu_data + NAT_PAGE, zero, NAT_PAGE);
		assert_int_equal(cpu->rip, NAT_INSN);
	}
}

/* CR2 of an area that runs into a missing page, as AMD's processors have it. */
static void
test_fault_address(void **state)
{
	static const struct {
		uint8_t op[4];
		uint16_t len, in; /* of the area; bytes of it that are there */
		uint16_t cr2;	  /* offset into the area */
	} t[] = {
		{ { 0x0f, 0xae, 0x03 }, 512, 16, 511 },	 /* FXSAVE */
		{ { 0x0f, 0xae, 0x0b }, 512, 496, 511 }, /* FXRSTOR */
		{ { 0x0f, 0xae, 0x0b }, 512, 0, 511 },
		{ { 0x0f, 0xae, 0x23 }, 832, 64, 831 }, /* XSAVE */
		{ { 0x0f, 0xae, 0x2b }, 832, 64, 512 }, /* XRSTOR */
		{ { 0x0f, 0xae, 0x2b }, 832, 576, 831 },
		{ { 0xd9, 0x23 }, 28, 3, 3 }, /* FLDENV */
		{ { 0xd9, 0x23 }, 28, 4, 27 },
		{ { 0x66, 0xd9, 0x33 }, 14, 2, 13 }, /* FNSTENV */
		{ { 0xdd, 0x33 }, 108, 50, 107 },    /* FNSAVE */
	};
	struct nat_state s;

	take_signals(state);
	for (unsigned int n = 0; n < ARRAY_LEN(t); n++) {
		uint8_t b[16] = { 0 };

		fresh(&s);
		memcpy(b, t[n].op, sizeof(t[n].op));
		s.gpr[R_RAX] = 7;
		s.gpr[R_RDX] = 0;
		s.gpr[R_RBX] = NAT_DATA + NAT_DATA_LEN - t[n].in;
		cpu_load(&s);
		assert_int_equal(cpu_exec(&dec64, b), EXC_PF);
		assert_int_equal(cpu->exc.cr2, s.gpr[R_RBX] + t[n].cr2);
	}
}

/* --- restoring
 * ---------------------------------------------------------------- */

static const struct {
	uint8_t op[4];
	uint8_t len;
	bool header;
} restorers[] = {
	{ { 0x0f, 0xae, 0x0b }, 3, false },	  /* FXRSTOR */
	{ { 0x48, 0x0f, 0xae, 0x0b }, 4, false }, /* FXRSTOR64 */
	{ { 0x0f, 0xae, 0x2b }, 3, true },	  /* XRSTOR */
	{ { 0x48, 0x0f, 0xae, 0x2b }, 4, true },
};

/* A mostly valid area; one field in ten is wrong. */
static void
random_area(uint8_t *p)
{
	struct nat_state s;
	struct xsave_area *x = nat_image(&s);

	rnd_state(&s);
	random_x87_status(x);
	x->fsw = (uint16_t)rnd();
	x->mxcsr = (uint32_t)(rnd() & 0xffff);
	x->xstate_bv = rnd() & 7;
	if (one_in(2))
		x->xcomp_bv = 1ull << 63 | x->xstate_bv | (rnd() & 7);
	switch (rnd() % 40) {
	case 0:
		x->mxcsr |= 0x10000u << (2 + rnd() % 10);
		break;
	case 1:
		x->xstate_bv |= (1ull << (3 + rnd() % 60)) & ~host_only_xcr0();
		break;
	case 2:
		x->xcomp_bv ^= (1ull << (rnd() % 64)) & ~host_only_xcr0();
		break;
	case 3:
		x->rsvd528[rnd() % 6] = 1ull << (rnd() % 64);
		break;
	default:
		break;
	}
	memcpy(p, x, sizeof(*x));
}

static void
test_restore(void **state)
{
	unsigned int faults = 0;
	struct nat_state s;

	take_signals(state);
	for (unsigned int k = 0; k < 6000; k++) {
		unsigned int n = rnd() % ARRAY_LEN(restorers);
		unsigned int off = one_in(2) ? 0x1000 : 0xe40;
		uint8_t b[16] = { 0 };
		int e, native;

		fresh(&s);
		fake_mem.path = (enum fake_path)(rnd() % FAKE_PATHS);
		fake_tlb(cpu);
		memcpy(b, restorers[n].op, restorers[n].len);
		random_area(nat_data + off);
		memcpy(emu_data, nat_data, NAT_DATA_LEN);
		set_mask(&s, rnd() & 7);
		s.gpr[R_RBX] = NAT_DATA + off;
		e = both(&s, b, restorers[n].len, &native);
		assert_int_equal(e, native);
		faults += e >= 0;
		assert_same_registers(&s);
	}
	assert_true(faults > 50);
}

/* --- x87 environments
 * --------------------------------------------------------- */

/* Pointers come from elsewhere: compare the control, status and tag words. */
static void
test_environment(void **state)
{
	static const struct {
		uint8_t op[4];
		uint8_t len, words;
		bool regs;
	} t[] = {
		{ { 0xd9, 0x33 }, 2, 4, false },       /* FNSTENV */
		{ { 0x66, 0xd9, 0x33 }, 3, 2, false }, /* FNSTENV, 14 bytes */
		{ { 0xdd, 0x33 }, 2, 4, true },	       /* FNSAVE */
		{ { 0x66, 0xdd, 0x33 }, 3, 2, true },
	};
	struct nat_state s;

	take_signals(state);
	for (unsigned int k = 0; k < 1000; k++) {
		unsigned int n = k % ARRAY_LEN(t);
		unsigned int env = t[n].words * 7;
		uint8_t b[16] = { 0 };
		int native;

		fresh(&s);
		memcpy(b, t[n].op, t[n].len);
		random_x87_status(nat_image(&s));
		s.gpr[R_RBX] = NAT_DATA + (one_in(2) ? 0xff0 : 0x10);
		assert_int_equal(both(&s, b, t[n].len, &native), -1);
		assert_int_equal(native, -1);
		for (unsigned int side = 0; side < 2; side++) {
			uint8_t *p = (side ? nat_data : emu_data) +
				     (s.gpr[R_RBX] - NAT_DATA);

			/* FIP .. FDS; the last one's upper half is ones */
			memset(p + 3 * t[n].words, 0,
			    env - 3 * t[n].words - (t[n].words == 4 ? 2 : 0));
		}
		assert_same_registers(&s);
		assert_same_area(0x800, false);
	}
}

static void
test_environment_load(void **state)
{
	static const struct {
		uint8_t op[4];
		uint8_t len;
	} t[] = {
		{ { 0xd9, 0x23 }, 2 },	     /* FLDENV */
		{ { 0x66, 0xd9, 0x23 }, 3 }, /* 14 bytes */
		{ { 0xdd, 0x23 }, 2 },	     /* FRSTOR */
		{ { 0x66, 0xdd, 0x23 }, 3 },
	};
	struct nat_state s;

	take_signals(state);
	for (unsigned int k = 0; k < 1000; k++) {
		unsigned int n = k % ARRAY_LEN(t);
		uint8_t b[16] = { 0 };
		int e, native;

		fresh(&s);
		memcpy(b, t[n].op, t[n].len);
		if (one_in(4))
			random_x87_status(nat_image(&s));
		s.gpr[R_RBX] = NAT_DATA + (one_in(2) ? 0xff0 : 0x10);
		e = both(&s, b, t[n].len, &native);
		assert_int_equal(e, native);
		assert_same_registers(&s);
	}
}

/* FIP, FDP, FCS, FDS, FOP of the last non-control instruction (SDM 1 8.1.8). */
static void
test_pointers(void **state)
{
	struct nat_state s;
	uint32_t env[7];
	uint16_t env16[7];

	take_signals(state);
	fresh(&s);
	s.gpr[R_RBX] = NAT_DATA + 0x20;
	cpu_load(&s);
	cpu->seg[SEG_CS].sel = 0x33;
	cpu->seg[SEG_DS].sel = 0x2b;
	assert_int_equal(cpu_exec(&dec64, B(0xdd, 0x03)), -1); /* fld qword */
	assert_int_equal(
	    cpu_exec(&dec64, B(0xd9, 0x7b, 0x40)), -1); /* fnstcw */
	assert_int_equal(cpu_exec(&dec64, B(0xd9, 0x33)), -1);
	memcpy(env, emu_data + 0x20, sizeof(env));
	assert_int_equal(env[3], NAT_INSN);
	assert_int_equal(env[4], 0x05030033);
	assert_int_equal(env[5], NAT_DATA + 0x20);
	assert_int_equal(env[6], 0xffff002b);
	/* A register form moves FIP and FOP only. */
	assert_int_equal(cpu_exec(&dec64, B(0xd9, 0xe8)), -1); /* fld1 */
	assert_int_equal(cpu->fpu_op, 0x1e8);
	assert_int_equal(cpu->fpu_dp, NAT_DATA + 0x20);
	/* Real mode: linear addresses and the opcode. */
	cpu->mode = MODE_OSFXSR;
	cpu->fpu_ip = 0x1234;
	cpu->fpu_cs = 0xa000;
	cpu->fpu_dp = 0x10;
	cpu->fpu_ds = 0x2000;
	cpu->gpr[R_RBX] = 0;
	cpu->seg[SEG_DS].base = NAT_DATA;
	assert_int_equal(cpu_exec(&dec16, B(0xd9, 0x37)), -1);
	memcpy(env16, emu_data + 0, sizeof(env16));
	assert_int_equal(env16[3], 0x1234);
	assert_int_equal(env16[4], 0xa1e8);
	assert_int_equal(env16[5], 0x10);
	assert_int_equal(env16[6], 0x2000);
}

/* With an unmasked exception pending FXSAVE shows the guilty one's pointers. */
static void
test_pointers_of_error(void **state)
{
	struct nat_state s;
	struct xsave_area m;

	take_signals(state);
	fresh(&s);
	nat_image(&s)->fcw = FCW_INIT & ~0x4; /* zero divide */
	nat_image(&s)->st[0][0] = 1ull << 63;
	nat_image(&s)->st[0][1] = 0x3fff;
	s.gpr[R_RBX] = NAT_DATA + 0x400;
	memset(emu_data + 0x400, 0, 8);
	cpu_load(&s);
	assert_int_equal(cpu_exec(&dec64, B(0xdc, 0x33)), -1); /* fdiv */
	assert_int_equal(cpu_image()->fsw & FSW_ES, FSW_ES);
	/* The next waiting one reports it and changes nothing, pointers
	 * neither. */
	assert_int_equal(cpu_exec(&dec64, B(0xd9, 0xe8)), EXC_MF);
	memset(&cpu->exc, 0, sizeof(cpu->exc));
	assert_int_equal(cpu_exec(&dec64, B(0x48, 0x0f, 0xae, 0x03)), -1);
	memcpy(&m, emu_data + 0x400, 512);
	assert_int_equal(m.ptr[0], NAT_INSN);
	assert_int_equal(m.ptr[2], NAT_DATA + 0x400);
	assert_int_equal(m.fop, 0x433);
	/* And without, zeros; the host's addresses never. */
	assert_int_equal(cpu_exec(&dec64, B(0xdb, 0xe3)), -1); /* fninit */
	assert_int_equal(cpu_exec(&dec64, B(0xd9, 0xe8)), -1);
	assert_int_equal(cpu_exec(&dec64, B(0x48, 0x0f, 0xae, 0x03)), -1);
	memcpy(&m, emu_data + 0x400, 512);
	assert_int_equal(m.ptr[0] | m.ptr[1] | m.ptr[2] | m.ptr[3], 0);
}

/* --- exceptions
 * ------------------------------------------------------------------ */

static void
test_simd_exception(void **state)
{
	struct nat_state s;
	uint64_t before;

	take_signals(state);
	for (unsigned int eager = 0; eager < 2; eager++) {
		fresh(&s);
		choose_eager(eager);
		nat_image(&s)->mxcsr = MXCSR_INIT & ~0x200u; /* divide */
		nat_image(&s)->xmm[0][0] = 0x3ff0000000000000;
		nat_image(&s)->xmm[1][0] = 0;
		before = nat_image(&s)->xmm[0][0];
		cpu_load(&s);
		assert_int_equal(
		    cpu_exec(&dec64, B(0xf2, 0x0f, 0x5e, 0xc1)), EXC_XM);
		assert_false(cpu->exc.has_err);
		assert_int_equal(cpu->rip, NAT_INSN);
		assert_int_equal(cpu_image()->xmm[0][0], before);
		assert_int_equal(cpu_image()->mxcsr & 0x3f, 0x4);
		cpu_load(&s);
		cpu->cr4 &= ~CR4_OSXMMEXCPT;
		assert_int_equal(
		    cpu_exec(&dec64, B(0xf2, 0x0f, 0x5e, 0xc1)), EXC_UD);
	}
}

/* Single-stepping, the trap for the elements gathered comes before the fault.
 */
static void
test_gather_step(void **state)
{
	static const uint8_t b[16] = { 0xc4, 0xe2, 0x71, 0x92, 0x04, 0x13 };
	struct nat_state s;

	take_signals(state);
	fresh(&s);
	s.gpr[R_RBX] = NAT_DATA;
	nat_image(&s)->xmm[1][0] = UINT64_MAX; /* mask */
	nat_image(&s)->xmm[1][1] = 0;
	nat_image(&s)->xmm[2][0] = (uint64_t)NAT_DATA_LEN << 32 | 8;
	cpu_load(&s);
	assert_int_equal(cpu_exec(&dec64, b), EXC_PF);
	assert_int_equal(cpu_image()->xmm[1][0], 0xffffffff00000000);
	cpu_load(&s);
	cpu->rflags |= FL_TF;
	assert_int_equal(cpu_exec(&dec64, b), EXC_DB);
	assert_int_equal(cpu->exc.dr6, 0x4000);
	assert_int_equal(cpu->rip, NAT_INSN);
	/* Resumed, nothing is gathered before the fault. */
	memset(&cpu->exc, 0, sizeof(cpu->exc));
	assert_int_equal(cpu_exec(&dec64, b), EXC_PF);
	cpu->rflags &= ~FL_TF;
}

/* FSTP through the bounce buffer: an unmasked error leaves memory alone. */
static void
test_x87_store_error(void **state)
{
	struct nat_state s;
	uint8_t before[16];

	take_signals(state);
	for (unsigned int p = 0; p < FAKE_PATHS; p++) {
		fresh(&s);
		fake_mem.path = (enum fake_path)p;
		fake_tlb(cpu);
		nat_image(&s)->fcw = FCW_INIT & ~0x8; /* overflow */
		nat_image(&s)->st[0][0] = 1ull << 63;
		nat_image(&s)->st[0][1] = 0x7000;
		s.gpr[R_RBX] = NAT_DATA + 0x80;
		memcpy(before, emu_data + 0x80, sizeof(before));
		cpu_load(&s);
		assert_int_equal(cpu_exec(&dec64, B(0xd9, 0x1b)), -1);
		assert_memory_equal(emu_data + 0x80, before, sizeof(before));
		assert_int_equal(cpu_image()->fsw & FSW_ES, FSW_ES);
	}
}

/* The TLB said code page: the engine hears of each store. */
static void
test_store_tells(void **state)
{
	struct nat_state s;

	take_signals(state);
	fresh(&s);
	fake_mem.path = FAKE_PTR;
	fake_tlb(cpu);
	s.gpr[R_RBX] = NAT_DATA;
	cpu_load(&s);
	fake_mem.wrote = 0;
	assert_int_equal(cpu_exec(&dec64, B(0x0f, 0x29, 0x03)), -1);
	assert_int_equal(fake_mem.wrote, 1);
	assert_int_equal(cpu_exec(&dec64, B(0xdd, 0x1b)), -1);
	assert_int_equal(fake_mem.wrote, 2);
	fake_mem.read_only = true;
	assert_int_equal(cpu_exec(&dec64, B(0x0f, 0x29, 0x03)), EXC_PF);
}

/* --- availability
 * ------------------------------------------------------------------ */

static const struct {
	const char *what;
	uint8_t b[6];
	/* with EM, with TS, without OSFXSR, without AVX; -2 is #UD at decode */
	int em, ts, no_osfxsr, no_avx;
} avail_table[] = {
	{ "fld1", { 0xd9, 0xe8 }, EXC_NM, EXC_NM, -1, -1 },
	{ "fnstsw ax", { 0xdf, 0xe0 }, EXC_NM, EXC_NM, -1, -1 },
	{ "fninit", { 0xdb, 0xe3 }, EXC_NM, EXC_NM, -1, -1 },
	{ "fwait", { 0x9b }, -1, -1, -1, -1 },
	{ "emms", { 0x0f, 0x77 }, -2, EXC_NM, -1, -1 },
	{ "paddb mm", { 0x0f, 0xfc, 0xc1 }, -2, EXC_NM, -1, -1 },
	{ "pavgb mm", { 0x0f, 0xe0, 0xc1 }, -2, EXC_NM, -1, -1 },
	{ "cvtpi2ps", { 0x0f, 0x2a, 0xc1 }, -2, EXC_NM, -2, -1 },
	{ "movdq2q", { 0xf2, 0x0f, 0xd6, 0xc1 }, -2, EXC_NM, -2, -1 },
	{ "addps", { 0x0f, 0x58, 0xc1 }, -2, EXC_NM, -2, -1 },
	{ "cvtsd2si m", { 0xf2, 0x0f, 0x2d, 0x03 }, -2, EXC_NM, -2, -1 },
	{ "stmxcsr", { 0x0f, 0xae, 0x1b }, -2, EXC_NM, -2, -1 },
	{ "vaddps", { 0xc5, 0xf0, 0x58, 0xc2 }, -1, EXC_NM, -1, -2 },
	{ "vzeroupper", { 0xc5, 0xf8, 0x77 }, -1, EXC_NM, -1, -2 },
	{ "fxsave", { 0x0f, 0xae, 0x03 }, EXC_NM, EXC_NM, -1, -1 },
	{ "xsave", { 0x0f, 0xae, 0x23 }, -1, EXC_NM, -1, -1 },
	{ "popcnt", { 0xf3, 0x0f, 0xb8, 0xc1 }, -1, -1, -1, -1 },
	{ "andn", { 0xc4, 0xe2, 0x70, 0xf2, 0xc2 }, -1, -1, -1, -1 },
	{ "crc32", { 0xf2, 0x0f, 0x38, 0xf0, 0xc1 }, -1, -1, -1, -1 },
	{ "movnti", { 0x0f, 0xc3, 0x03 }, -1, -1, -1, -1 },
	{ "sfence", { 0x0f, 0xae, 0xf8 }, -1, -1, -1, -1 },
};

static int
exec_in_mode(const uint8_t *b, uint32_t mode)
{
	struct nat_state s;
	uint8_t buf[16] = { 0 };

	fresh(&s);
	memcpy(buf, b, 6);
	s.gpr[R_RBX] = NAT_DATA;
	cpu_load(&s);
	cpu->mode = mode;
	return cpu_exec(&dec64, buf);
}

static void
test_availability(void **state)
{
	take_signals(state);
	for (unsigned int n = 0; n < ARRAY_LEN(avail_table); n++) {
		const uint8_t *b = avail_table[n].b;
		uint32_t m = MODE_TEST64;

		print_message("%s\n", avail_table[n].what);
		assert_int_equal(exec_in_mode(b, m), -1);
		assert_int_equal(
		    exec_in_mode(b, m | MODE_EM), avail_table[n].em);
		assert_int_equal(
		    exec_in_mode(b, m | MODE_TS), avail_table[n].ts);
		assert_int_equal(exec_in_mode(b, m & ~MODE_OSFXSR),
		    avail_table[n].no_osfxsr);
		assert_int_equal(
		    exec_in_mode(b, m & ~MODE_AVX), avail_table[n].no_avx);
	}
}

static void
test_wait_ts(void **state)
{
	struct nat_state s;

	take_signals(state);
	fresh(&s);
	cpu->mode |= MODE_TS;
	cpu->cr0 |= CR0_TS;
	assert_int_equal(cpu_exec(&dec64, B(0x9b)), -1);
	cpu->cr0 |= CR0_MP;
	assert_int_equal(cpu_exec(&dec64, B(0x9b)), EXC_NM);
}

/* Not offered, whatever the host has. */
static void
test_not_offered(void **state)
{
	static const uint8_t t[][8] = {
		{ 0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc1 }, /* EVEX VADDPS zmm */
		{ 0x0f, 0x0f, 0xc1, 0x9e },		/* 3DNow! PFADD */
		{ 0x8f, 0xe9, 0x78, 0x81, 0xc1 },	/* XOP */
		{ 0xc4, 0xe3, 0xf1, 0x69, 0xc2, 0x30 }, /* FMA4 */
		{ 0xf3, 0x0f, 0x1e, 0xfa },		/* ENDBR64 */
		{ 0x66, 0x0f, 0x38, 0xcf, 0xc1 },	/* GFNI */
		{ 0x0f, 0xc7, 0x2b },			/* XSAVES */
	};
	struct nat_state s;

	take_signals(state);
	for (unsigned int n = 0; n < ARRAY_LEN(t); n++) {
		uint8_t b[16] = { 0 };

		fresh(&s);
		memcpy(b, t[n], sizeof(t[n]));
		assert_int_equal(cpu_exec(&dec64, b), -2);
	}
	/* On AMD VPINSRQ outside 64-bit mode. */
	fresh(&s);
	cpu->mode = MODE_TEST32;
	assert_int_equal(
	    cpu_exec(&dec32, B(0xc4, 0xe3, 0xf9, 0x22, 0xc3, 1)), -2);
	assert_int_equal(
	    cpu_exec(&dec32, B(0xc4, 0xe3, 0x79, 0x22, 0xc3, 1)), -1);
	/* VEX outside protected mode. */
	fresh(&s);
	cpu->mode = MODE_OSFXSR | MODE_AVX;
	assert_int_equal(cpu_exec(&dec16, B(0xc5, 0xf0, 0x58, 0xc2)), -2);
	cpu->mode = MODE_PE | MODE_V86 | MODE_OSFXSR | MODE_AVX;
	assert_int_equal(cpu_exec(&dec16, B(0xc5, 0xf0, 0x58, 0xc2)), -2);
}

/* --- XCR0, MXCSR
 * --------------------------------------------------------------------- */

static int
xsetbv(uint64_t ecx, uint64_t value)
{
	cpu->gpr[R_RCX] = ecx;
	cpu->gpr[R_RAX] = (uint32_t)value;
	cpu->gpr[R_RDX] = value >> 32;
	memset(&cpu->exc, 0, sizeof(cpu->exc));
	return cpu_exec(&dec64, B(0x0f, 0x01, 0xd1));
}

static void
test_xcr0(void **state)
{
	struct nat_state s;

	take_signals(state);
	fresh(&s);
	assert_int_equal(xsetbv(0, 3), -1);
	assert_int_equal(cpu->xcr0, 3);
	assert_int_equal(cpu->mode & MODE_AVX, 0);
	assert_int_equal(xsetbv(0, 2), EXC_GP);
	assert_int_equal(xsetbv(0, 5), EXC_GP);
	assert_int_equal(xsetbv(0, 0x100000001), EXC_GP);
	assert_int_equal(xsetbv(1, 3), EXC_GP);
	cpu->cpl = 3;
	assert_int_equal(xsetbv(0, 3), EXC_GP);
	cpu->cpl = 0;
	assert_int_equal(xsetbv(0x100000000, 1), -1);
	memset(&cpu->exc, 0, sizeof(cpu->exc));
	cpu->gpr[R_RCX] = 0;
	assert_int_equal(cpu_exec(&dec64, B(0x0f, 0x01, 0xd0)), -1);
	assert_int_equal(cpu->gpr[R_RAX], 1);
	cpu->gpr[R_RCX] = 2;
	assert_int_equal(cpu_exec(&dec64, B(0x0f, 0x01, 0xd0)), EXC_GP);
	memset(&cpu->exc, 0, sizeof(cpu->exc));
	cpu->cr4 &= ~CR4_OSXSAVE;
	assert_int_equal(cpu_exec(&dec64, B(0x0f, 0x01, 0xd0)), EXC_UD);
	assert_int_equal(xsetbv(0, 3), EXC_UD);
}

static void
test_ldmxcsr(void **state)
{
	uint32_t v = 0x9fc5, bad = 0x21f80;
	struct nat_state s;

	take_signals(state);
	for (unsigned int p = 0; p < FAKE_PATHS; p++) {
		fresh(&s);
		fake_mem.path = (enum fake_path)p;
		fake_tlb(cpu);
		s.gpr[R_RBX] = NAT_DATA;
		memcpy(emu_data, &v, 4);
		cpu_load(&s);
		assert_int_equal(cpu_exec(&dec64, B(0x0f, 0xae, 0x13)), -1);
		assert_int_equal(cpu_image()->mxcsr, v);
		/* AMD's MM is not offered. */
		memcpy(emu_data, &bad, 4);
		assert_int_equal(cpu_exec(&dec64, B(0x0f, 0xae, 0x13)), EXC_GP);
		assert_int_equal(cpu_image()->mxcsr, v);
	}
}

/* --- other modes
 * ----------------------------------------------------------------------- */

/*
 * The same bytes mean the same in 64- and 32-bit code when there is no REX and
 * the address is a register: the host runs them as 64-bit code.
 */
static const uint8_t same_in_32[][8] = {
	{ 0x0f, 0x58, 0xc1 },			/* addps */
	{ 0x0f, 0x28, 0x03 },			/* movaps [ebx] */
	{ 0x66, 0x0f, 0x6e, 0xc1 },		/* movd xmm0, ecx */
	{ 0x66, 0x0f, 0x7e, 0x03 },		/* movd [ebx], xmm0 */
	{ 0xf2, 0x0f, 0x2a, 0xc1 },		/* cvtsi2sd */
	{ 0xf3, 0x0f, 0xb8, 0xc1 },		/* popcnt */
	{ 0x66, 0xf3, 0x0f, 0xb8, 0xc1 },	/* popcnt ax, cx */
	{ 0xf2, 0x0f, 0x38, 0xf0, 0xc5 },	/* crc32 eax, ch */
	{ 0x66, 0xf2, 0x0f, 0x38, 0xf1, 0x03 }, /* crc32 eax, word */
	{ 0x66, 0x0f, 0x38, 0xf1, 0x03 },	/* movbe word [ebx], ax */
	{ 0x66, 0x0f, 0x38, 0xf6, 0xd1 },	/* adcx */
	{ 0x66, 0x0f, 0x3a, 0x61, 0xc1, 0x0c }, /* pcmpestri */
	{ 0xd8, 0x03 },				/* fadd dword [ebx] */
	{ 0xdf, 0xe0 },				/* fnstsw ax */
	{ 0xc5, 0xf4, 0x58, 0xc2 },		/* vaddps ymm */
	{ 0xc4, 0xe2, 0x70, 0xf2, 0xc2 },	/* andn */
	{ 0xc4, 0xe2, 0x7b, 0xf6, 0xc1 },	/* mulx */
	{ 0xc4, 0xe3, 0x71, 0x4a, 0xc2, 0x30 }, /* vblendvps */
	{ 0xc4, 0xe2, 0x7d, 0x19, 0x03 },	/* vbroadcastsd */
	{ 0xc4, 0xe2, 0x71, 0x92, 0x04, 0x13 }, /* vgatherdps */
	{ 0xc4, 0xe2, 0x75, 0x2e, 0x03 },	/* vmaskmovps */
};

static void
test_32bit(void **state)
{
	struct nat_state s;
	struct diff d;

	take_signals(state);
	for (unsigned int k = 0; k < 40 * ARRAY_LEN(same_in_32); k++) {
		unsigned int n = k % ARRAY_LEN(same_in_32);
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
		ZydisDecodedInstruction zi;
		uint8_t b[16] = { 0 };
		int e;

		fresh(&s);
		memcpy(b, same_in_32[n], 8);
		for (unsigned int r = 0; r < 16; r++)
			s.gpr[r] = (uint32_t)s.gpr[r];
		s.gpr[R_RBX] = NAT_DATA + 0x200;
		nat_image(&s)->xmm[2][0] = rnd() & 0x7f0000007f;
		nat_image(&s)->xmm[2][1] = rnd() & 0x7f0000007f;
		cpu_load(&s);
		cpu->mode = MODE_TEST32;
		assert_true(decode(&dec64, b, &zi, ops));
		e = cpu_exec(&dec32, b);
		assert_int_equal(e, nat_run(&s, b, zi.length));
		if (diff_registers(&d, &s) || diff_memory(&d)) {
			printf("%s: %s native %llx emulated %llx\n",
			    text(&zi, ops), d.what,
			    (unsigned long long)d.native,
			    (unsigned long long)d.emulated);
			fail();
		}
	}
}

/* Bits that 64-bit mode gives a meaning: the host must not see them. */
static void
test_32bit_ignored_bits(void **state)
{
	static const struct {
		uint8_t guest[8], host[8];
		uint8_t len;
	} t[] = {
		/* vmovd, vcvttsd2si, andn with W */
		{ { 0xc4, 0xe1, 0xf9, 0x6e, 0x03 },
		    { 0xc4, 0xe1, 0x79, 0x6e, 0x03 }, 5 },
		{ { 0xc4, 0xe1, 0xfb, 0x2c, 0xc3 },
		    { 0xc4, 0xe1, 0x7b, 0x2c, 0xc3 }, 5 },
		{ { 0xc4, 0xe2, 0xf0, 0xf2, 0xc2 },
		    { 0xc4, 0xe2, 0x70, 0xf2, 0xc2 }, 5 },
		/* vpaddd with vvvv = 8+2, with B clear, is4 with bit 7 */
		{ { 0xc4, 0xe1, 0x29, 0xfe, 0xc1 },
		    { 0xc4, 0xe1, 0x69, 0xfe, 0xc1 }, 5 },
		{ { 0xc4, 0xc1, 0x69, 0xfe, 0xc1 },
		    { 0xc4, 0xe1, 0x69, 0xfe, 0xc1 }, 5 },
		{ { 0xc4, 0xe3, 0x71, 0x4a, 0xc2, 0xb0 },
		    { 0xc4, 0xe3, 0x71, 0x4a, 0xc2, 0x30 }, 6 },
	};
	struct nat_state s;

	take_signals(state);
	for (unsigned int n = 0; n < ARRAY_LEN(t); n++) {
		uint8_t b[16] = { 0 };
		int e;

		fresh(&s);
		for (unsigned int r = 0; r < 16; r++)
			s.gpr[r] = (uint32_t)s.gpr[r];
		s.gpr[R_RBX] = NAT_DATA + 0x200;
		cpu_load(&s);
		cpu->mode = MODE_TEST32;
		memcpy(b, t[n].guest, 8);
		e = cpu_exec(&dec32, b);
		assert_int_equal(e, nat_run(&s, t[n].host, t[n].len));
		assert_same_registers(&s);
	}
}

/* Outside 64-bit mode registers 8 to 15 keep everything. */
static void
test_32bit_vzero(void **state)
{
	struct xsave_area before, *x = cpu_image();
	struct nat_state s;

	take_signals(state);
	for (unsigned int all = 0; all < 2; all++) {
		fresh(&s);
		memcpy(&before, nat_image(&s), sizeof(before));
		cpu->mode = MODE_TEST32;
		assert_int_equal(
		    cpu_exec(&dec32, B(0xc5, all ? 0xfc : 0xf8, 0x77)), -1);
		for (unsigned int r = 0; r < 16; r++) {
			assert_int_equal(
			    x->ymmh[r][0], r < 8 ? 0 : before.ymmh[r][0]);
			assert_int_equal(
			    x->xmm[r][1], all && r < 8 ? 0 : before.xmm[r][1]);
		}
	}
}

static void
test_16bit(void **state)
{
	struct nat_state s;

	take_signals(state);
	fresh(&s);
	s.gpr[R_RAX] = 0x1111222233334444;
	s.gpr[R_RCX] = 0xf0f0f0f0f0f0f0ff;
	cpu_load(&s);
	cpu->mode = MODE_OSFXSR;
	/* popcnt ax, cx; with 66 popcnt eax, ecx */
	assert_int_equal(cpu_exec(&dec16, B(0xf3, 0x0f, 0xb8, 0xc1)), -1);
	assert_int_equal(cpu->gpr[R_RAX], 0x111122223333000c);
	assert_int_equal(cpu_exec(&dec16, B(0x66, 0xf3, 0x0f, 0xb8, 0xc1)), -1);
	assert_int_equal(cpu->gpr[R_RAX], 20);
	/* movd xmm0, ecx is 32 bits wide here too */
	assert_int_equal(cpu_exec(&dec16, B(0x66, 0x0f, 0x6e, 0xc1)), -1);
	assert_int_equal(cpu_image()->xmm[0][0], 0xf0f0f0ff);
	/* movbe ax, [bx + segment] */
	cpu->seg[SEG_DS].base = NAT_DATA;
	cpu->gpr[R_RBX] = 0x10;
	memcpy(emu_data + 0x10, "\x12\x34", 2);
	assert_int_equal(cpu_exec(&dec16, B(0x0f, 0x38, 0xf0, 0x07)), -1);
	assert_int_equal(cpu->gpr[R_RAX] & 0xffff, 0x1234);
}

/* XMM8-15 are not there: not saved, not restored. */
static void
test_32bit_fxsave(void **state)
{
	struct nat_state s;
	struct xsave_area m;
	uint64_t keep, low;

	take_signals(state);
	fresh(&s);
	memset(emu_data, 0xcc, 0x400);
	s.gpr[R_RBX] = NAT_DATA;
	cpu_load(&s);
	cpu->mode = MODE_TEST32;
	keep = cpu_image()->xmm[8][0];
	low = cpu_image()->xmm[7][0];
	assert_int_equal(cpu_exec(&dec32, B(0x0f, 0xae, 0x03)), -1);
	memcpy(&m, emu_data, 512);
	assert_int_equal(m.xmm[7][0], low);
	assert_int_equal(m.xmm[8][0], 0xcccccccccccccccc);
	assert_int_equal(cpu_exec(&dec32, B(0x0f, 0xae, 0x0b)), -1);
	assert_int_equal(cpu_image()->xmm[8][0], keep);
}

/* --- park, reset, full area
 * --------------------------------------------------------------- */

/* Nothing instrumented in between. */
static void
cycle(struct soft_cpu *c)
{
	fpu_unpark(c);
	fpu_park_slow(c);
}

static void
test_park(void **state)
{
	struct nat_state s;
	uint32_t mxcsr;
	uint16_t fcw, fsw;

	take_signals(state);
	for (unsigned int pending = 0; pending < 2; pending++) {
		fresh(&s);
		nat_image(&s)->mxcsr = 0x7fbf;
		nat_image(&s)->fcw = pending ? 0x40 : 0xc7f;
		nat_image(&s)->fsw = pending ? 0x3801 : 0x3800;
		x87_normalise(nat_image(&s));
		cpu_load(&s);
		cycle(cpu);
		__asm__ volatile("stmxcsr %0; fnstcw %1; fnstsw %2"
				 : "=m"(mxcsr), "=m"(fcw), "=m"(fsw));
		assert_int_equal(mxcsr, MXCSR_INIT);
		assert_int_equal(fcw, FCW_INIT);
		assert_int_equal(fsw & FSW_ES, 0);
		assert_same_registers(&s);
	}
}

static void
test_reset(void **state)
{
	struct xsave_area *x = cpu_image();
	struct nat_state s;

	take_signals(state);
	fresh(&s);
	fpu_reset(cpu, true);
	assert_int_equal(x->xmm[3][1], nat_image(&s)->xmm[3][1]);
	fpu_reset(cpu, false);
	assert_int_equal(cpu->xcr0, 1);
	cycle(cpu);
	assert_int_equal(x->fcw, 0x40);
	assert_int_equal(x->fsw, 0);
	assert_int_equal(x->ftw, 0xff);
	assert_int_equal(x->mxcsr, MXCSR_INIT);
	assert_int_equal(x->xmm[15][1] | x->ymmh[15][1], 0);
}

/* A checkpoint's bytes never make the host fault. */
static void
test_bad_image(void **state)
{
	struct nat_state s;

	take_signals(state);
	fresh(&s);
	for (unsigned int k = 0; k < 100; k++) {
		for (unsigned int n = 0; n < XSAVE_AREA_MAX; n++)
			cpu->xsave[n] = (uint8_t)rnd();
		cpu->fpu_live = false;
		cycle(cpu);
	}
	assert_false(cpu->fpu_live);
}

/* Same results when each thunk is made anew: registers no other test uses. */
static void
test_full_area(void **state)
{
	static const uint8_t code[][8] = {
		{ 0xf2, 0x0f, 0x58, 0xf7 },	  /* addsd xmm6, xmm7 */
		{ 0x0f, 0x28, 0x33 },		  /* movaps xmm6, [rbx] */
		{ 0x66, 0x0f, 0x7e, 0xf8 },	  /* movd eax, xmm7 */
		{ 0xc4, 0xe2, 0xc8, 0xf3, 0xd8 }, /* blsi rsi, rax */
		{ 0xdc, 0x13 },			  /* fcom qword [rbx] */
	};
	static struct vm_ram ram;
	static uint8_t page[NAT_PAGE];
	unsigned int uncached = 0;
	struct nat_state s;

	take_signals(state);
	ram.base = page;
	ram.lowmem = sizeof(page);
	cpu->ram = &ram;
	thunk_set_limit(0);
	for (unsigned int n = 0; n < 4 * ARRAY_LEN(code); n++) {
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
		ZydisDecodedInstruction zi;
		uint8_t b[16] = { 0 };
		struct insn i;
		int e, native;
		bool ends;

		memcpy(b, code[n % ARRAY_LEN(code)], 8);
		memcpy(page + (NAT_INSN & 0xfff), b, sizeof(b));
		fresh(&s);
		assert_true(decode(&dec64, b, &zi, ops));
		assert_true(fpu_decode(cpu, &zi, ops, b, &i, &ends));
		uncached += i.fn == op_fpu_uncached;
		choose_eager(n & 1);
		for (unsigned int r = 0; r < 16; r++)
			s.gpr[r] = NAT_DATA + 0x100;
		e = both(&s, b, zi.length, &native);
		assert_int_equal(e, native);
		assert_int_equal(cpu->rip, NAT_INSN + zi.length);
		assert_same_registers(&s);
	}
	thunk_set_limit(SIZE_MAX);
	assert_int_equal(uncached, 4 * ARRAY_LEN(code));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_save_areas),
		cmocka_unit_test(test_save_misaligned),
		cmocka_unit_test(test_save_fault),
		cmocka_unit_test(test_fault_address),
		cmocka_unit_test(test_restore),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_environment_load),
		cmocka_unit_test(test_pointers),
		cmocka_unit_test(test_pointers_of_error),
		cmocka_unit_test(test_simd_exception),
		cmocka_unit_test(test_gather_step),
		cmocka_unit_test(test_x87_store_error),
		cmocka_unit_test(test_store_tells),
		cmocka_unit_test(test_availability),
		cmocka_unit_test(test_wait_ts),
		cmocka_unit_test(test_not_offered),
		cmocka_unit_test(test_xcr0),
		cmocka_unit_test(test_ldmxcsr),
		cmocka_unit_test(test_32bit),
		cmocka_unit_test(test_32bit_ignored_bits),
		cmocka_unit_test(test_32bit_vzero),
		cmocka_unit_test(test_16bit),
		cmocka_unit_test(test_32bit_fxsave),
		cmocka_unit_test(test_park),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_bad_image),
		cmocka_unit_test(test_full_area),
	};

	if (machine_init() != 0)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
