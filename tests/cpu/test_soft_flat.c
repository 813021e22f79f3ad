/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_soft_flat.c - 32-bit code on segments of 4 GiB, whose operands and stack
 * have fast forms of their own: what they do when the page is known and when
 * it is not, and where an operand would run past 4 GiB (as AMD, ea.c).
 */
#include "sys_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "block.h"
#include "mmu.h"

#define TOP	0xfffffffeu /* 4 bytes here end behind 4 GiB */
#define SP	(T_STACK - 0x100)
#define CODE_AT (T_CODE + 0x200)
#define UPPER                                                                  \
	0xabcdef0100000000ull /* of a register, which 32-bit code cannot see   \
			       */
#define PATTERN	  0x13572468u
#define PATTERN_2 0x99aabbccu

typedef void (*mode_fn)(struct soft_cpu *, unsigned int cpl);
static const mode_fn modes[] = { fix_pm32, fix_compat };

struct code {
	const char *bytes;
	unsigned int len;
};
#define CODE(s)                                                                \
	{                                                                      \
		s, sizeof(s) - 1                                               \
	}

static struct soft_cpu *
fresh_flat(void **state, mode_fn mode, unsigned int cpl)
{
	struct soft_cpu *c = ((struct fix *)*state)->c;

	mode(c, cpl);
	assert_int_equal(
	    c->mode & (MODE_64 | MODE_FLAT | MODE_SS32), MODE_FLAT | MODE_SS32);
	return c;
}

/* --- operands ------------------------------------------------------------- */

static void
test_operands(void **state)
{
	/* EBX + ESI * 4 + 8 is T_DATA only without the carry. */
	static const struct code load = CODE("\x8b\x44\xb3\x08"),
				 store = CODE("\x89\x4c\xb3\x08"),
				 add = CODE("\x01\x4c\xb3\x08"),
				 movzx = CODE("\x0f\xb6\x54\xb3\x08");

	for (size_t m = 0; m < ARRAY_LEN(modes); m++) {
		struct soft_cpu *c = fresh_flat(state, modes[m], 0);

		c->gpr[R_RBX] = 0xfffffff0;
		c->gpr[R_RSI] = (T_DATA + 8) / 4;
		c->gpr[R_RCX] = 2;
		for (unsigned int n = 0; n < 2; n++) { /* then it is a hit */
			poke(c, T_DATA, 4, PATTERN);
			assert_true(exec(c, load.bytes, load.len));
			assert_int_equal(c->gpr[R_RAX], PATTERN);
			assert_true(exec(c, add.bytes, add.len));
			assert_int_equal(peek(c, T_DATA, 4), PATTERN + 2);
			assert_true(exec(c, movzx.bytes, movzx.len));
			assert_int_equal(c->gpr[R_RDX], (PATTERN + 2) & 0xff);
			assert_true(exec(c, store.bytes, store.len));
			assert_int_equal(peek(c, T_DATA, 8), 2);
		}
	}
}

static void
test_operands_past_4g(void **state)
{
	static const struct {
		struct code code;
		unsigned int vector;
	} table[] = {
		{ CODE("\x8b\x03"), EXC_GP },	      /* mov (%ebx), %eax */
		{ CODE("\x36\x8b\x03"), EXC_SS },     /* ss: */
		{ CODE("\x8b\x45\x00"), EXC_SS },     /* mov (%ebp), %eax */
		{ CODE("\x89\x03"), EXC_GP },	      /* mov %eax, (%ebx) */
		{ CODE("\x01\x03"), EXC_GP },	      /* add %eax, (%ebx) */
		{ CODE("\xf0\x01\x03"), EXC_GP },     /* lock */
		{ CODE("\x0f\xb7\x43\x01"), EXC_GP }, /* movzwl 1(%ebx), %eax */
		{ CODE("\xff\x23"), EXC_GP },	      /* jmp *(%ebx) */
		{ CODE("\xff\x13"), EXC_GP },	      /* call *(%ebx) */
		{ CODE("\xff\x33"), EXC_GP },	      /* push (%ebx) */
	};

	for (size_t n = 0; n < ARRAY_LEN(table); n++) {
		struct soft_cpu *c = fresh_flat(state, fix_pm32, 0);

		c->gpr[R_RBX] = c->gpr[R_RBP] = TOP;
		c->gpr[R_RAX] = PATTERN;
		assert_false(exec(c, table[n].code.bytes, table[n].code.len));
		expect_exc(c, table[n].vector, 0);
		assert_int_equal(c->gpr[R_RAX], PATTERN);
		assert_int_equal(c->gpr[R_RSP], T_STACK);
		assert_int_equal(c->rip, T_CODE);
	}
}

/* --- the stack ------------------------------------------------------------ */

static void
test_stack(void **state)
{
	for (size_t m = 0; m < ARRAY_LEN(modes); m++) {
		struct soft_cpu *c = fresh_flat(state, modes[m], 0);

		for (unsigned int n = 0; n < 2; n++) {
			poke(c, SP - 16, 8, 0);
			poke(c, SP - 8, 8, 0);
			c->rip = T_CODE;
			c->gpr[R_RSP] = SP;
			c->gpr[R_RCX] = UPPER | PATTERN;
			assert_true(EXEC(c, "\x51")); /* push %ecx */
			assert_int_equal(c->gpr[R_RSP], SP - 4);
			assert_true(EXEC(c, "\x6a\xfe")); /* push $-2 */
			assert_int_equal(c->gpr[R_RSP], SP - 8);
			assert_int_equal(peek(c, SP - 4, 4), PATTERN);
			assert_int_equal(peek(c, SP - 8, 4), 0xfffffffe);
			assert_int_equal(peek(c, SP - 16, 8), 0);
			assert_true(EXEC(c, "\x5a")); /* pop %edx */
			assert_int_equal(c->gpr[R_RDX], 0xfffffffe);
			assert_true(EXEC(c, "\x59")); /* pop %ecx */
			assert_int_equal(c->gpr[R_RCX], PATTERN);
			assert_int_equal(c->gpr[R_RSP], SP);

			poke(c, SP - 4, 4, PATTERN_2);
			c->gpr[R_RSP] = SP - 4;
			assert_true(EXEC(c, "\x5c")); /* pop %esp */
			assert_int_equal(c->gpr[R_RSP], PATTERN_2);
			c->gpr[R_RBP] = SP - 4;
			assert_true(EXEC(c, "\xc9")); /* leave */
			assert_int_equal(c->gpr[R_RSP], SP);
			assert_int_equal(c->gpr[R_RBP], PATTERN_2);
		}
	}
}

static void
test_calls(void **state)
{
	/* There are no blocks to chain, but what calls is in one. */
	struct block block = { .n = 0 };
	uint32_t event = 1;

	for (size_t m = 0; m < ARRAY_LEN(modes); m++) {
		struct soft_cpu *c = fresh_flat(state, modes[m], 0);
		uint32_t *const events = c->events;

		c->events = &event;
		c->blk = &block;
		for (unsigned int n = 0; n < 2; n++) {
			c->gpr[R_RSP] = SP;
			poke(c, SP - 8, 8, UINT64_MAX);
			c->rip = T_CODE;
			/* call CODE_AT */
			assert_true(EXEC(c, "\xe8\xfb\x01\x00\x00"));
			assert_int_equal(c->rip, CODE_AT);
			assert_int_equal(c->gpr[R_RSP], SP - 4);
			assert_int_equal(peek(c, SP - 4, 4), T_CODE + 5);
			assert_int_equal(peek(c, SP - 8, 4), UINT32_MAX);
			assert_true(EXEC(c, "\xc2\x08\x00")); /* ret $8 */
			assert_int_equal(c->rip, T_CODE + 5);
			assert_int_equal(c->gpr[R_RSP], SP + 8);

			c->gpr[R_RDX] = UPPER | CODE_AT;
			assert_true(EXEC(c, "\xff\xd2")); /* call *%edx */
			assert_int_equal(c->rip, CODE_AT);
			assert_int_equal(peek(c, SP + 4, 4), T_CODE + 7);
			poke(c, T_DATA, 4, T_CODE);
			c->gpr[R_RDX] = T_DATA;
			assert_true(EXEC(c, "\xff\x22")); /* jmp *(%edx) */
			assert_int_equal(c->rip, T_CODE);
			assert_true(EXEC(c, "\xff\x12")); /* call *(%edx) */
			assert_int_equal(c->rip, T_CODE);
			assert_int_equal(peek(c, SP, 4), T_CODE + 2);
			assert_int_equal(c->gpr[R_RSP], SP);
		}
		c->events = events;
	}
}

static void
test_stack_past_4g(void **state)
{
	static const struct {
		struct code code;
		uint32_t sp;
	} table[] = {
		{ CODE("\x50"), TOP + 4 },		   /* push %eax */
		{ CODE("\x68\x01\x02\x03\x04"), TOP + 4 }, /* push $ */
		{ CODE("\xe8\x00\x01\x00\x00"), TOP + 4 }, /* call */
		{ CODE("\xff\xd0"), TOP + 4 },		   /* call *%eax */
		{ CODE("\x58"), TOP },			   /* pop %eax */
		{ CODE("\xc3"), TOP },			   /* ret */
		{ CODE("\xc2\x04\x00"), TOP },		   /* ret $4 */
		{ CODE("\xc9"), TOP },			   /* leave */
	};

	for (size_t n = 0; n < ARRAY_LEN(table); n++) {
		struct soft_cpu *c = fresh_flat(state, fix_pm32, 0);

		c->gpr[R_RSP] = table[n].sp;
		c->gpr[R_RBP] = TOP;
		c->gpr[R_RAX] = CODE_AT;
		assert_false(exec(c, table[n].code.bytes, table[n].code.len));
		expect_exc(c, EXC_SS, 0);
		assert_int_equal(c->gpr[R_RSP], table[n].sp);
		assert_int_equal(c->gpr[R_RBP], TOP);
		assert_int_equal(c->gpr[R_RAX], CODE_AT);
		assert_int_equal(c->rip, T_CODE);
	}
}

/* A limit on CS is still looked at by what returns. */
static void
test_return_past_cs(void **state)
{
	struct soft_cpu *c = fresh_flat(state, fix_pm32, 0);

	for (unsigned int n = 0; n < 2; n++) {
		poke(c, SP, 4, CODE_AT);
		c->gpr[R_RSP] = SP;
		c->rip = T_CODE;
		assert_true(EXEC(c, "\xc3"));
		c->seg[SEG_CS].limit = n == 0 ? UINT32_MAX : CODE_AT - 1;
		cpu_update_mode(c);
	}
	c->gpr[R_RSP] = SP;
	c->rip = T_CODE;
	assert_false(EXEC(c, "\xc3"));
	expect_exc(c, EXC_GP, 0);
	assert_int_equal(c->gpr[R_RSP], SP);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_operands),
		T(test_operands_past_4g),
		T(test_stack),
		T(test_calls),
		T(test_stack_past_4g),
		T(test_return_past_cs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
