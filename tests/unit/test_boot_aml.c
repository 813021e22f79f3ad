/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AML encodings byte by byte, where the lengths change size, and overflow.
 * Whole tables are judged by iasl (acpi_iasl.sh).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <util/util.h>

#include "aml.h"

#define CAP (1u << 21)

static int
setup(void **state)
{
	struct aml *a = calloc(1, sizeof(*a));

	a->buf = calloc(1, CAP);
	a->cap = CAP;
	*state = a;
	return 0;
}

static int
teardown(void **state)
{
	struct aml *a = *state;

	free(a->buf);
	free(a);
	return 0;
}

#define assert_aml(a, ...)                                                     \
	do {                                                                   \
		static const uint8_t want_[] = { __VA_ARGS__ };                \
		assert_int_equal((a)->len, sizeof(want_));                     \
		assert_memory_equal((a)->buf, want_, sizeof(want_));           \
		(a)->len = 0;                                                  \
	} while (0)

static void
test_integers(void **state)
{
	struct aml *a = *state;

	aml_int(a, 0);
	assert_aml(a, 0x00);
	aml_int(a, 1);
	assert_aml(a, 0x01);
	aml_int(a, 2);
	assert_aml(a, 0x0a, 0x02);
	aml_int(a, 0xff);
	assert_aml(a, 0x0a, 0xff);
	aml_int(a, 0x100);
	assert_aml(a, 0x0b, 0x00, 0x01);
	aml_int(a, 0x10000);
	assert_aml(a, 0x0c, 0x00, 0x00, 0x01, 0x00);
	aml_int(a, 0x100000000);
	assert_aml(a, 0x0e, 0, 0, 0, 0, 1, 0, 0, 0);
}

static void
test_names(void **state)
{
	struct aml *a = *state;

	aml_path(a, "_HID");
	assert_aml(a, '_', 'H', 'I', 'D');
	aml_path(a, "\\_SB");
	assert_aml(a, '\\', '_', 'S', 'B', '_');
	aml_path(a, "^ISA.LNKA");
	assert_aml(a, '^', 0x2e, 'I', 'S', 'A', '_', 'L', 'N', 'K', 'A');
	aml_path(a, "A.B.C");
	assert_aml(a, 0x2f, 3, 'A', '_', '_', '_', 'B', '_', '_', '_', 'C', '_',
	    '_', '_');
}

/* "PNP0A03" is the specification's own example of the compression. */
static void
test_eisa_id(void **state)
{
	struct aml *a = *state;

	aml_eisaid(a, "PNP0A03");
	assert_aml(a, 0x0c, 0x41, 0xd0, 0x0a, 0x03);
	aml_eisaid(a, "PNP0C0F");
	assert_aml(a, 0x0c, 0x41, 0xd0, 0x0c, 0x0f);
}

/* The length counts its own bytes: the limits are 63, 4095, 1048575. */
static void
test_package_lengths(void **state)
{
	static const struct {
		size_t body;
		uint8_t bytes, first;
	} cases[] = {
		{ 62, 1, 63 },
		{ 63, 2, 0x41 },
		{ 4093, 2, 0x4f },
		{ 4094, 3, 0x81 },
		{ 1048572, 3, 0x8f },
		{ 1048573, 4, 0xc1 },
	};
	struct aml *a = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t mark, total;
		const uint8_t *p = a->buf + 1;

		a->len = 0;
		mark = aml_if(a);
		for (size_t j = 0; j < cases[i].body; j++)
			aml_op(a, AML_ONE);
		aml_end(a, mark);
		assert_true(aml_ok(a));
		assert_int_equal(a->len, 1 + cases[i].bytes + cases[i].body);
		assert_int_equal(p[0], cases[i].first);
		assert_int_equal(p[0] >> 6, cases[i].bytes - 1);
		total = p[0] & (cases[i].bytes == 1 ? 0x3f : 0xf);
		for (unsigned int j = 1; j < cases[i].bytes; j++)
			total |= (size_t)p[j] << (4 + 8 * (j - 1));
		assert_int_equal(total, a->len - 1);
		assert_int_equal(p[cases[i].bytes], AML_ONE);
	}
}

static void
test_resources(void **state)
{
	struct aml *a = *state;
	size_t m = aml_resources(a);

	aml_io(a, 0x3f8, 1, 8);
	aml_irq(a, 1 << 4);
	aml_resources_end(a, m);
	assert_aml(a, 0x11, 0x11, 0x0b, 0x0d, 0x00, 0x47, 0x01, 0xf8, 0x03,
	    0xf8, 0x03, 0x01, 0x08, 0x22, 0x10, 0x00, 0x79, 0x00);
}

/* Whatever the room, nothing is written past it and it is noticed. */
static void
test_overflow(void **state)
{
	struct aml *a = *state;
	size_t whole = 0, m, r;

	for (size_t cap = 40; cap-- > 0;) {
		*a = (struct aml){ .buf = a->buf, .cap = cap };
		memset(a->buf, 0xcc, 64);
		m = aml_device(a, "DEV0");
		aml_name(a, "_CRS");
		r = aml_resources(a);
		aml_io(a, 0x60, 1, 1);
		aml_resources_end(a, r);
		aml_end(a, m);
		if (aml_ok(a))
			whole = a->len;
		assert_int_equal(aml_ok(a), whole != 0 && cap >= whole);
		assert_true(a->len <= cap);
		for (size_t i = cap; i < 64; i++)
			assert_int_equal(a->buf[i], 0xcc);
	}
	assert_int_equal(whole, 27);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_integers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_eisa_id, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_package_lengths, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_resources, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overflow, setup, teardown),
	};

	return cmocka_run_group_tests_name("boot_aml", tests, NULL, NULL);
}
