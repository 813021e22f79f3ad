/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_soft_fpu.c - every instruction fpu_decode() accepts, in register and
 * memory forms with random operands, against the host executing the same bytes:
 * general and vector registers, x87, MXCSR, flags, memory, exceptions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "soft_fpu_harness.h"

/* --- random encodings ----------------------------------------------------- */

struct enc {
	unsigned int map; /* 0: x87, 1: 0F, 2: 0F38, 3: 0F3A */
	bool vex;
	unsigned int pp, w, l, opcode, reg;
	bool mem;
};

static unsigned int
put_rm(uint8_t *b, const struct enc *e, unsigned int rm)
{
	unsigned int n = 0, reg = e->reg & 7, form = rnd() % 5;

	if (!e->mem) {
		b[n++] = (uint8_t)(0xc0 | reg << 3 | (rm & 7));
		return n;
	}
	if (form == 0) { /* RIP-relative */
		b[n++] = (uint8_t)(reg << 3 | 5);
		return n + 4;
	}
	if (form <= 2 ||
	    (rm & 7) == 4) { /* SIB: base, index; never rsp twice */
		unsigned int base = rm & 7, index = (base + 1 + rnd() % 7) & 7;

		b[n++] = (uint8_t)(0x80 | reg << 3 | 4);
		b[n++] = (uint8_t)((rnd() & 3) << 6 | index << 3 | base);
	} else {
		b[n++] = (uint8_t)(0x80 | reg << 3 | (rm & 7));
	}
	for (unsigned int k = 0; k < 4; k++)
		b[n++] = k < 2 ? (uint8_t)rnd() : 0;
	return n;
}

static unsigned int
put_vex(uint8_t *b, const struct enc *e, unsigned int rxb)
{
	static const uint8_t map_bits[] = { 0, 1, 2, 3 };
	unsigned int vvvv = one_in(2) ? 15 : rnd() & 15;

	if (e->map == 1 && !e->w && !(rxb & 3) && one_in(2)) {
		b[0] = 0xc5;
		b[1] =
		    (uint8_t)((~rxb & 4) << 5 | vvvv << 3 | e->l << 2 | e->pp);
		return 2;
	}
	b[0] = 0xc4;
	b[1] = (uint8_t)((~rxb & 7) << 5 | map_bits[e->map]);
	b[2] = (uint8_t)(e->w << 7 | vvvv << 3 | e->l << 2 | e->pp);
	return 3;
}

static void
put_insn(uint8_t b[16], const struct enc *e)
{
	static const uint8_t pp_bytes[] = { 0, 0x66, 0xf3, 0xf2 };
	unsigned int n = 0, rxb = one_in(3) ? rnd() & 7 : 0;

	memset(b, 0, 16);
	if (e->mem && one_in(10))
		b[n++] = 0x67;
	if (one_in(16))
		b[n++] = 0x3e;
	if (e->vex) {
		n += put_vex(b + n, e, rxb);
	} else {
		if (e->pp)
			b[n++] = pp_bytes[e->pp];
		if (e->w || rxb)
			b[n++] = (uint8_t)(0x40 | e->w << 3 | rxb);
		if (e->map)
			b[n++] = 0x0f;
		if (e->map >= 2)
			b[n++] = e->map == 2 ? 0x38 : 0x3a;
	}
	b[n++] = (uint8_t)e->opcode;
	n += put_rm(b + n, e, rnd() & 7);
	for (; n < 15 && n < 14; n++)
		b[n] = (uint8_t)rnd();
}

/* --- where memory operands go --------------------------------------------- */

static uint64_t
pick_address(unsigned int size)
{
	uint64_t end = NAT_DATA + NAT_DATA_LEN;

	switch (rnd() % 16) {
	case 0: /* across the two pages */
		return NAT_DATA + NAT_PAGE - 1 - rnd() % (size > 1 ? size : 1);
	case 1: /* ends with the memory */
		return end - size;
	case 2: /* runs out of it */
		return end - size + 1 + rnd() % size;
	case 3:
	case 4:
	case 5:
		return NAT_DATA + rnd() % (NAT_DATA_LEN - size);
	default:
		return (NAT_DATA + rnd() % (NAT_DATA_LEN - 64)) & ~63ull;
	}
}

static bool
has_qword_index(const ZydisDecodedInstruction *zi)
{
	switch (zi->mnemonic) {
	case ZYDIS_MNEMONIC_VGATHERQPS:
	case ZYDIS_MNEMONIC_VGATHERQPD:
	case ZYDIS_MNEMONIC_VPGATHERQD:
	case ZYDIS_MNEMONIC_VPGATHERQQ:
		return true;
	default:
		return false;
	}
}

/* Small indices; some gathers leave the memory with some elements. */
static void
setup_vsib(struct nat_state *s, const ZydisDecodedInstruction *zi,
    const ZydisDecodedOperand *op)
{
	struct xsave_area *x = (struct xsave_area *)(void *)s->xsave;
	unsigned int r = (unsigned int)ZydisRegisterGetId(op->mem.index);
	bool qword = has_qword_index(zi);

	for (unsigned int h = 0; h < 2; h++) {
		x->xmm[r][h] = rnd() & (qword ? 0xff : 0xff000000ffull);
		x->ymmh[r][h] = rnd() & (qword ? 0xff : 0xff000000ffull);
	}
}

/*
 * Gives registers (or the displacement) values that make the operand's address
 * what we want.
 */
static void
setup_address(struct nat_state *s, uint8_t *b,
    const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *op)
{
	uint64_t t = pick_address(op->size / 8 ? op->size / 8 : 16);
	uint64_t disp = (uint64_t)op->mem.disp.value;
	int32_t d;

	if (op->mem.base == ZYDIS_REGISTER_RIP ||
	    op->mem.base == ZYDIS_REGISTER_EIP) {
		d = (int32_t)(t - (NAT_INSN + zi->length));
		memcpy(b + zi->raw.disp.offset, &d, 4);
		return;
	}
	if (op->mem.type == ZYDIS_MEMOP_TYPE_VSIB) {
		setup_vsib(s, zi, op);
		if (!one_in(8))
			t = NAT_DATA + rnd() % 0x1000;
	} else if (op->mem.index != ZYDIS_REGISTER_NONE) {
		unsigned int r =
		    (unsigned int)ZydisRegisterGetId(op->mem.index);

		s->gpr[r] = rnd() & 0xff;
		t -= s->gpr[r] * op->mem.scale;
	}
	s->gpr[ZydisRegisterGetId(op->mem.base)] = t - disp;
	if (zi->address_width == 32 && one_in(2))
		s->gpr[ZydisRegisterGetId(op->mem.base)] |= rnd() << 32;
}

static const ZydisDecodedOperand *
mem_operand(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops)
{
	for (unsigned int n = 0; n < zi->operand_count; n++)
		if (ops[n].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return &ops[n];
	return NULL;
}

/* --- one case ------------------------------------------------------------- */

/* Images of whole states have tests of their own. */
static bool
is_state_insn(const ZydisDecodedInstruction *zi)
{
	switch (zi->mnemonic) {
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
	case ZYDIS_MNEMONIC_XGETBV:
	case ZYDIS_MNEMONIC_XSETBV:
		return true;
	default:
		break;
	}
	switch (zi->meta.isa_set) {
	case ZYDIS_ISA_SET_FXSAVE:
	case ZYDIS_ISA_SET_FXSAVE64:
	case ZYDIS_ISA_SET_XSAVE:
	case ZYDIS_ISA_SET_XSAVEC:
	case ZYDIS_ISA_SET_XSAVEOPT:
		return true;
	default:
		return false;
	}
}

/*
 * What a faulting gather or masked move leaves behind is up to the processor;
 * ours is AMD's.
 */
static bool
is_partial(
    int trap, const ZydisDecodedOperand *mem, const ZydisDecodedInstruction *zi)
{
	if (trap < 0 || mem == NULL || host_is_amd())
		return false;
	return mem->mem.type == ZYDIS_MEMOP_TYPE_VSIB ||
	       zi->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ;
}

static unsigned int failures, cases, traps;
static uint8_t seen[ZYDIS_MNEMONIC_MAX_VALUE + 1]; /* 1: reg, 2: mem form */

static void
report(const uint8_t *b, const ZydisDecodedInstruction *zi,
    const ZydisDecodedOperand *ops, const struct diff *d, int nt, int et)
{
	if (failures++ > 40)
		return;
	printf(
	    "path %d eager %d trap %d/%d  ", fake_mem.path, fpu_eager, nt, et);
	for (unsigned int n = 0; n < zi->length; n++)
		printf("%02x", b[n]);
	printf("  %s: %s native %llx emulated %llx\n", text(zi, ops), d->what,
	    (unsigned long long)d->native, (unsigned long long)d->emulated);
}

static void
run_case(uint8_t *b, struct nat_state *s, const ZydisDecodedInstruction *zi,
    const ZydisDecodedOperand *ops)
{
	const ZydisDecodedOperand *mem = mem_operand(zi, ops);
	struct insn i[2];
	struct diff d = { .what = "trap" };
	int nt, et;
	bool ends;

	rnd_memory();
	fake_mem.path = (enum fake_path)(rnd() % FAKE_PATHS);
	choose_eager(one_in(4));
	fake_tlb(cpu);
	cpu_load(s);
	if (!fpu_decode(cpu, zi, ops, b, &i[0], &ends)) {
		report(b, zi, ops, &d, 0, -2);
		return;
	}
	et = cpu_run(i, NAT_INSN);
	nt = nat_run(s, b, zi->length);
	cases++;
	traps += nt >= 0;
	seen[zi->mnemonic] |= mem != NULL ? 2 : 1;
	if (nt != et) {
		report(b, zi, ops, &d, nt, et);
		return;
	}
	if (nt < 0 && cpu->rip != NAT_INSN + zi->length)
		differ(&d, "rip", 0, NAT_INSN + zi->length, cpu->rip);
	else if (nt >= 0 && cpu->rip != NAT_INSN)
		differ(&d, "rip", 0, NAT_INSN, cpu->rip);
	else if (is_partial(nt, mem, zi) ||
		 (!diff_registers(&d, s) && !diff_memory(&d)))
		return;
	report(b, zi, ops, &d, nt, et);
}

static void
try_encoding(const struct enc *e)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	const ZydisDecodedOperand *mem;
	ZydisDecodedInstruction zi;
	struct nat_state s;
	struct insn probe;
	uint8_t b[16];
	bool ends;

	put_insn(b, e);
	if (!decode(&dec64, b, &zi, ops) || is_state_insn(&zi))
		return;
	if (!fpu_decode(cpu, &zi, ops, b, &probe, &ends))
		return;
	rnd_state(&s);
	mem = mem_operand(&zi, ops);
	if (mem != NULL)
		setup_address(&s, b, &zi, mem);
	/* The displacement may have changed. */
	assert_true(decode(&dec64, b, &zi, ops));
	run_case(b, &s, &zi, ops);
}

/* --- the tests ------------------------------------------------------------ */

static unsigned int
mnemonics_seen(uint8_t form)
{
	unsigned int n = 0;

	for (size_t m = 0; m < ARRAY_LEN(seen); m++)
		n += (seen[m] & form) == form;
	return n;
}

static void
sweep(bool vex, unsigned int rounds)
{
	struct enc e = { .vex = vex };

	for (unsigned int k = 0; k < rounds * 2; k++)
		for (e.map = 1; e.map < 4; e.map++)
			for (e.opcode = 0; e.opcode < 256; e.opcode++)
				for (unsigned int v = 0; v < (vex ? 16 : 8);
				     v++) {
					e.pp = v & 3;
					e.w = v >> 2 & 1;
					e.l = v >> 3;
					e.reg = k >> 1;
					e.mem = k & 1;
					try_encoding(&e);
				}
}

static void
test_sweep_legacy(void **state)
{
	take_signals(state);
	failures = cases = traps = 0;
	sweep(false, 16);
	printf("%u cases, %u faults\n", cases, traps);
	assert_int_equal(failures, 0);
	assert_true(cases > 5000);
	assert_true(traps > 100);
}

static void
test_sweep_vex(void **state)
{
	take_signals(state);
	failures = cases = traps = 0;
	sweep(true, 16);
	printf("%u cases, %u faults\n", cases, traps);
	assert_int_equal(failures, 0);
	assert_true(cases > 5000);
}

static void
test_sweep_x87(void **state)
{
	struct enc e = { .map = 0 };

	take_signals(state);
	failures = cases = traps = 0;
	for (unsigned int k = 0; k < 60; k++)
		for (e.opcode = 0xd8; e.opcode <= 0xdf; e.opcode++)
			for (unsigned int v = 0; v < 16; v++) {
				e.reg = v & 7;
				e.mem = v >> 3;
				try_encoding(&e);
			}
	printf("%u cases, %u faults\n", cases, traps);
	assert_int_equal(failures, 0);
	assert_true(cases > 5000);
	assert_true(traps > 50);
}

/* The sweeps together have met what the whitelist promises. */
static void
test_coverage(void **state)
{
	(void)state;
	printf("%u mnemonics, %u in both forms\n",
	    mnemonics_seen(1) + mnemonics_seen(2) - mnemonics_seen(3),
	    mnemonics_seen(3));
	assert_true(mnemonics_seen(3) > 400);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sweep_legacy),
		cmocka_unit_test(test_sweep_vex),
		cmocka_unit_test(test_sweep_x87),
		cmocka_unit_test(test_coverage),
	};

	if (machine_init() != 0)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
