/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * INS and OUTS below long mode: addresses of 16 and 32 bits, which wrap in
 * their width and leave the registers' upper halves alone; segment bases,
 * limits and overrides (Intel SDM 2A INS, 2B OUTS; 3A 5.3).  The port is that
 * of insouts.c.
 */
#include "prot.h"

#define PORT "0x500"

enum { LOG_CLEAR = 1, LOG_COUNT, LOG_GET };

/* With `sfx` prefixed: the width of the address. */
#define INSN(name, text)                                                       \
	CODE(32, name, "movw $" PORT ", %dx; cld; " text "; int $0x80")
INSN(ins8_16, "rep insb (%dx), %es:(%di)");
INSN(ins16_16, "rep insw (%dx), %es:(%di)");
INSN(ins32_16, "rep insl (%dx), %es:(%di)");
INSN(outs8_16, "rep outsb %ds:(%si), (%dx)");
INSN(outs16_16, "rep outsw %ds:(%si), (%dx)");
INSN(outs32_16, "rep outsl %ds:(%si), (%dx)");
INSN(ins8_32, "rep insb (%dx), %es:(%edi)");
INSN(ins16_32, "rep insw (%dx), %es:(%edi)");
INSN(ins32_32, "rep insl (%dx), %es:(%edi)");
INSN(outs8_32, "rep outsb %ds:(%esi), (%dx)");
INSN(outs16_32, "rep outsw %ds:(%esi), (%dx)");
INSN(outs32_32, "rep outsl %ds:(%esi), (%dx)");
INSN(outs_gs, "rep outsw %gs:(%si), (%dx)");

static const struct form {
	const uint8_t *ins[2], *outs[2]; /* 16-bit addresses, 32-bit */
	uint32_t size;
} forms[] = {
	{ { ins8_16, ins8_32 }, { outs8_16, outs8_32 }, 1 },
	{ { ins16_16, ins16_32 }, { outs16_16, outs16_32 }, 2 },
	{ { ins32_16, ins32_32 }, { outs32_16, outs32_32 }, 4 },
};
#define FOR_FORMS                                                              \
	for (const struct form *fm = forms; fm < forms + ARRAY_LEN(forms); fm++)

#define SEG_BYTES 0x10000u

/* 64 KiB and a little, the segment of PSEL_SCRATCH. */
static uint8_t *
segment(void)
{
	static uint8_t *mem;

	if (mem == NULL)
		mem = alloc_pages(SEG_BYTES / PAGE + 1);
	for (uint32_t i = 0; i < SEG_BYTES + PAGE; i++)
		mem[i] = (uint8_t)(i * 5 + 1);
	return mem;
}

static void
start_with(const uint8_t *code, uint32_t base, uint32_t limit, uint32_t access)
{
	(void)guest_call(LOG_CLEAR, 0);
	prot_reset(code);
	prot_gdt[PSEL_SCRATCH / 8] = descriptor(base, limit, access);
	prot.es = prot.ds = PSEL_SCRATCH;
}

static void
start(const uint8_t *code, uint32_t base, uint32_t limit)
{
	start_with(code, base, limit, 0x4093);
}

static uint64_t
entry(bool write, uint32_t bytes, uint64_t val)
{
	return (uint64_t)write << 63 | (uint64_t)bytes << 56 |
	       (val & ((1ull << 8 * bytes) - 1));
}

static void
expect_in(const uint8_t *at, uint32_t size, unsigned int i)
{
	uint64_t v = 0;

	memcpy(&v, at, size);
	CHECK_EQ(v, 0x83828180ull & ((1ull << 8 * size) - 1));
	CHECK_EQ(guest_call(LOG_GET, i), entry(false, size, 0x83828180));
}

static void
expect_out(const uint8_t *at, uint32_t size, unsigned int i)
{
	uint64_t v = 0;

	memcpy(&v, at, size);
	CHECK_EQ(guest_call(LOG_GET, i), entry(true, size, v));
}

/* The last element of the segment, then its first two: DI wraps, EDI does not.
 */
static void
test_wrap16(void)
{
	FOR_FORMS
	{
		uint32_t at = SEG_BYTES - fm->size;
		uint8_t *mem = segment();

		start(fm->ins[0], addr32(mem), SEG_BYTES - 1);
		prot.reg[R_DI] = 0xabcd0000 | at;
		prot.reg[R_CX] = 0x12340003;
		prot_run();
		EXPECT_END();
		CHECK_EQ(prot_seen.di, 0xabcd0000 | 2 * fm->size);
		CHECK_EQ(prot_seen.cx, 0x12340000);
		CHECK_EQ(guest_call(LOG_COUNT, 0), 3);
		expect_in(mem + at, fm->size, 0);
		expect_in(mem, fm->size, 1);
		expect_in(mem + fm->size, fm->size, 2);
		CHECK_EQ(mem[SEG_BYTES], (uint8_t)(SEG_BYTES * 5 + 1));

		mem = segment();
		start(fm->outs[0], addr32(mem), SEG_BYTES - 1);
		prot.reg[R_SI] = 0xabcd0000 | at;
		prot.reg[R_CX] = 0x12340003;
		prot_run();
		EXPECT_END();
		CHECK_EQ(prot_seen.si, 0xabcd0000 | 2 * fm->size);
		CHECK_EQ(prot_seen.cx, 0x12340000);
		CHECK_EQ(guest_call(LOG_COUNT, 0), 3);
		expect_out(mem + at, fm->size, 0);
		expect_out(mem, fm->size, 1);
		expect_out(mem + fm->size, fm->size, 2);
	}
}

/* EDI wraps at 4 GiB: the base brings both ends together. */
static void
test_wrap32(void)
{
	FOR_FORMS
	{
		uint8_t *mem = segment() + 64;
		uint32_t at = -fm->size;

		start_with(fm->ins[1], addr32(mem), 0xfffff, AR_DATA32);
		prot.reg[R_DI] = at;
		prot.reg[R_CX] = 3;
		prot_run();
		EXPECT_END();
		CHECK_EQ(prot_seen.di, 2 * fm->size);
		CHECK_EQ(prot_seen.cx, 0);
		expect_in(mem - fm->size, fm->size, 0);
		expect_in(mem, fm->size, 1);
		expect_in(mem + fm->size, fm->size, 2);

		mem = segment() + 64;
		start_with(fm->outs[1], addr32(mem), 0xfffff, AR_DATA32);
		prot.reg[R_SI] = at;
		prot.reg[R_CX] = 3;
		prot_run();
		EXPECT_END();
		CHECK_EQ(prot_seen.si, 2 * fm->size);
		expect_out(mem - fm->size, fm->size, 0);
		expect_out(mem, fm->size, 1);
		expect_out(mem + fm->size, fm->size, 2);
	}
}

/* Two elements are inside the limit; of the third, the last byte is not. */
static void
test_limit(void)
{
	FOR_FORMS
	{
		for (unsigned int wide = 0; wide < 2; wide++) {
			uint8_t *mem = segment();

			start(fm->ins[wide], addr32(mem), 3 * fm->size - 2);
			prot.reg[R_DI] = 0;
			prot.reg[R_CX] = 5;
			prot_run();
			EXPECT_SEEN(13, 0);
			CHECK_EQ(prot_seen.di, 2 * fm->size);
			CHECK_EQ(prot_seen.cx, 3);
			CHECK_EQ(guest_call(LOG_COUNT, 0), 2);
			expect_in(mem + fm->size, fm->size, 1);

			start(fm->outs[wide], addr32(mem), 3 * fm->size - 2);
			prot.reg[R_SI] = 0;
			prot.reg[R_CX] = 5;
			prot_run();
			EXPECT_SEEN(13, 0);
			CHECK_EQ(prot_seen.si, 2 * fm->size);
			CHECK_EQ(prot_seen.cx, 3);
			CHECK_EQ(guest_call(LOG_COUNT, 0), 2);
		}
	}
}

/* A segment that cannot be written: INS has none of it, OUTS does. */
static void
test_read_only(void)
{
	uint8_t *mem = segment();

	start_with(ins16_32, addr32(mem), SEG_BYTES - 1, 0x4091);
	prot.reg[R_DI] = 0;
	prot.reg[R_CX] = 1;
	prot_run();
	EXPECT_SEEN(13, 0);
	CHECK_EQ(guest_call(LOG_COUNT, 0), 0);
	start_with(outs16_32, addr32(mem), SEG_BYTES - 1, 0x4091);
	prot.reg[R_SI] = 0;
	prot.reg[R_CX] = 1;
	prot_run();
	EXPECT_END();
	expect_out(mem, 2, 0);
}

static void
test_override(void)
{
	uint8_t *mem = segment();

	start(outs_gs, addr32(mem), SEG_BYTES - 1);
	prot_gdt[PSEL_SCRATCH2 / 8] =
	    descriptor(addr32(mem) + 0x100, 0xff, 0x4093);
	prot.gs = PSEL_SCRATCH2;
	prot.reg[R_SI] = 0x10;
	prot.reg[R_CX] = 2;
	prot_run();
	EXPECT_END();
	expect_out(mem + 0x110, 2, 0);
	expect_out(mem + 0x112, 2, 1);
}

const struct guest_test guest_tests[] = {
	TEST("16-bit addresses wrap", test_wrap16),
	TEST("32-bit addresses wrap", test_wrap32),
	TEST("limits", test_limit),
	TEST("read-only segment", test_read_only),
	TEST("segment override", test_override),
	TEST_END,
};
