/* SPDX-License-Identifier: BSD-2-Clause */
/* test_util.c - numbers, names, ranges, byte order. */
#include "test.h"

#include <errno.h>
#include <stdlib.h>

#include <util/cpuset.h>
#include <util/util.h>

static void
parse_good(void **state)
{
	static const struct {
		const char *text;
		uint64_t val;
	} table[] = {
		{ "0", 0 },
		{ "00010", 10 },
		{ "18446744073709551615", UINT64_MAX },
		{ "0x0", 0 },
		{ "0XfF", 255 },
		{ "0xffffffffffffffff", UINT64_MAX },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		uint64_t v = 1234;

		assert_int_equal(
		    parse_u64(table[i].text, 0, UINT64_MAX, &v), 0);
		assert_int_equal(v, table[i].val);
	}
}

static void
parse_bad(void **state)
{
	static const struct {
		const char *text;
		uint64_t min, max;
		int err;
	} table[] = {
		{ "", 0, UINT64_MAX, -EINVAL },
		{ "0x", 0, UINT64_MAX, -EINVAL },
		{ " 1", 0, UINT64_MAX, -EINVAL },
		{ "1 ", 0, UINT64_MAX, -EINVAL },
		{ "+1", 0, UINT64_MAX, -EINVAL },
		{ "-1", 0, UINT64_MAX, -EINVAL },
		{ "1a", 0, UINT64_MAX, -EINVAL },
		{ "0x1g", 0, UINT64_MAX, -EINVAL },
		{ "18446744073709551616", 0, UINT64_MAX, -ERANGE },
		{ "99999999999999999999999", 0, UINT64_MAX, -ERANGE },
		{ "0x10000000000000000", 0, UINT64_MAX, -ERANGE },
		/* Garbage is garbage even behind an overflow. */
		{ "99999999999999999999999z", 0, UINT64_MAX, -EINVAL },
		{ "0", 1, 64, -ERANGE },
		{ "65", 1, 64, -ERANGE },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		uint64_t v = 1234;

		assert_int_equal(
		    parse_u64(table[i].text, table[i].min, table[i].max, &v),
		    table[i].err);
		assert_int_equal(v, 1234);
	}
}

static void
nearest(void **state)
{
	static const char *const names[] = { "virtio-blk", "virtio-net",
		"ahci-hd", "ahci-cd", "lpc", "hostbridge" };
	const size_t n = ARRAY_LEN(names);

	assert_string_equal(
	    nearest_name("virtio-blck", names, n), "virtio-blk");
	assert_string_equal(nearest_name("virtionet", names, n), "virtio-net");
	assert_string_equal(nearest_name("lcp", names, n), "lpc");
	assert_string_equal(nearest_name("hostbrigde", names, n), "hostbridge");
	/* Of two as near the first; an exact name is nearest. */
	assert_string_equal(nearest_name("ahci-xd", names, n), "ahci-hd");
	assert_string_equal(nearest_name("ahci-cd", names, n), "ahci-cd");
	assert_null(nearest_name("floppy", names, n));
	assert_null(nearest_name("", names, n));
	assert_null(nearest_name("x", names, n));
	assert_null(nearest_name("lpc", names, 0));
}

static void
nearest_long(void **state)
{
	char longname[200];
	const char *const names[] = { longname, "lpc" };

	memset(longname, 'a', sizeof(longname) - 1);
	longname[sizeof(longname) - 1] = '\0';
	assert_null(nearest_name(longname, names, 2));
	assert_string_equal(nearest_name("lpd", names, 2), "lpc");
}

static void
ranges(void **state)
{
	assert_true(range_ok(0, 10, 10));
	assert_true(range_ok(10, 0, 10));
	assert_false(range_ok(1, 10, 10));
	assert_false(range_ok(11, 0, 10));
	assert_false(range_ok(UINT64_MAX, 2, 10));
	assert_false(range_ok(5, UINT64_MAX, 10));
	assert_true(ranges_overlap(0, 10, 9, 1));
	assert_false(ranges_overlap(0, 10, 10, 1));
	assert_true(ranges_overlap(9, 5, 0, 10));
	assert_false(ranges_overlap(10, 5, 0, 10));
	/* Up to the last byte there is. */
	assert_true(ranges_overlap(UINT64_MAX, 1, UINT64_MAX - 1, 2));
}

static void
align_and_bytes(void **state)
{
	uint8_t b[9] = { 0 };

	assert_int_equal(ROUND_UP(4097u, 4096u), 8192);
	assert_int_equal(ROUND_DOWN(0x1ffffffffull, 4096u), 0x1fffff000ull);
	put_le32(b + 1, 0x11223344);
	assert_int_equal(b[1], 0x44);
	assert_int_equal(b[4], 0x11);
	assert_int_equal(get_le16(b + 2), 0x2233);
	put_le64(b + 1, 0x0102030405060708ull);
	assert_int_equal(b[8], 1);
	assert_true(get_le64(b + 1) == 0x0102030405060708ull);
}

static void
cpusets(void **state)
{
	struct cpuset s = { 0 };

	assert_true(cpuset_add(&s, 63));
	assert_false(cpuset_add(&s, 63));
	assert_true(cpuset_add(&s, 0));
	assert_int_equal(cpuset_count(&s), 2);
	assert_true(cpuset_has(&s, 63));
	assert_false(cpuset_has(&s, 62));
	assert_false(cpuset_del(&s, 63));
	assert_true(cpuset_del(&s, 0));
}

static void
allocation(void **state)
{
	char *s = xstrdup("abc");
	uint8_t *p = xcalloc(3, 5);

	assert_string_equal(s, "abc");
	for (int i = 0; i < 15; i++)
		assert_int_equal(p[i], 0);
	free(s);
	free(p);
	p = xcalloc(0, 8);
	assert_non_null(p);
	free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_good),
		cmocka_unit_test(parse_bad),
		cmocka_unit_test(nearest),
		cmocka_unit_test(nearest_long),
		cmocka_unit_test(ranges),
		cmocka_unit_test(align_and_bytes),
		cmocka_unit_test(cpusets),
		cmocka_unit_test(allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
