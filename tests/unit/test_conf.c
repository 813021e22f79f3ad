/* SPDX-License-Identifier: BSD-2-Clause */
/* test_conf.c - the tree of settings, its values, its files. */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <conf/conf.h>

static char err[512];

static int
setup(void **state)
{
	*state = conf_create();
	err[0] = '\0';
	return 0;
}

static int
teardown(void **state)
{
	conf_destroy(*state);
	return 0;
}

static void
set_ok(struct conf *c, const char *key, const char *value)
{
	if (conf_set(c, key, value, err, sizeof(err)) != 0)
		fail_msg("%s=%s: %s", key, value, err);
}

static void
set_bad(struct conf *c, const char *key, const char *value, const char *why)
{
	bool was_set = conf_is_set(c, key);

	assert_int_equal(conf_set(c, key, value, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, why);
	assert_int_equal(conf_is_set(c, key), was_set);
}

/* --- set and get ------------------------------------------------------- */

static void
set_get(void **state)
{
	struct conf *c = *state;

	assert_false(conf_is_set(c, "cpus"));
	assert_string_equal(conf_get(c, "cpus"), "1"); /* the default */
	assert_null(conf_get(c, "boot.kernel"));
	set_ok(c, "cpus", "4");
	assert_true(conf_is_set(c, "cpus"));
	assert_string_equal(conf_get(c, "cpus"), "4");
	assert_int_equal(conf_get_u64(c, "cpus", 9), 4);
	set_ok(c, "cpus", "5");
	assert_int_equal(conf_get_u64(c, "cpus", 9), 5);
	assert_int_equal(conf_get_u64(c, "vcpu.pin_base", 9), 9);
	assert_false(conf_get_bool(c, "stats"));
	assert_true(conf_get_bool(c, "acpi_tables"));
	set_ok(c, "acpi_tables", "off");
	assert_false(conf_get_bool(c, "acpi_tables"));
	assert_false(conf_get_bool(c, "no.such.key"));
	set_ok(c, "memory.size", "2");
	assert_int_equal(conf_get_u64(c, "memory.size", 0), 2u << 20);
}

static void
blanks_around_values_do_not_count(void **state)
{
	struct conf *c = *state;

	set_ok(c, "cpus", " \t3 ");
	assert_string_equal(conf_get(c, "cpus"), "3");
	set_ok(c, "boot.cmdline", "  a  b  ");
	assert_string_equal(conf_get(c, "boot.cmdline"), "a  b");
	set_ok(c, "boot.cmdline", "   ");
	assert_string_equal(conf_get(c, "boot.cmdline"), "");
}

static void
bad_values(void **state)
{
	struct conf *c = *state;

	set_bad(
	    c, "cpus", "0", "cpus must be a number from 1 to 64, not \"0\"");
	set_bad(
	    c, "cpus", "65", "cpus must be a number from 1 to 64, not \"65\"");
	set_bad(c, "cpus", "", "cpus must be a number from 1 to 64, not \"\"");
	set_bad(c, "stats", "2", "stats must be true or false, not \"2\"");
	set_bad(c, "uuid", "x",
	    "uuid must be a UUID such as "
	    "01234567-89ab-cdef-0123-456789abcdef, not \"x\"");
	set_bad(c, "boot.cmdline", "a\nb",
	    "boot.cmdline: no line breaks or control characters in a value");
	set_bad(c, "bootrom", "x", "bootrom is not built in yet");
	/* A bad value leaves the good one. */
	set_ok(c, "cpus", "2");
	set_bad(
	    c, "cpus", "x", "cpus must be a number from 1 to 64, not \"x\"");
	assert_string_equal(conf_get(c, "cpus"), "2");
}

static void
value_too_long(void **state)
{
	struct conf *c = *state;
	char *text = calloc(1, 70000);

	memset(text, 'a', 65535);
	set_ok(c, "boot.cmdline", text);
	memset(text, 'a', 65536);
	set_bad(c, "boot.cmdline", text,
	    "boot.cmdline: value longer than 65535 bytes");
	free(text);
}

static void
unknown_keys(void **state)
{
	struct conf *c = *state;
	char key[400];

	set_bad(c, "cpu", "1", "no such key \"cpu\"; the nearest is cpus");
	set_bad(c, "vcpu.7.cpusets", "1",
	    "no such key \"vcpu.7.cpusets\"; the nearest is vcpu.7.cpuset");
	set_bad(c, "qqqqqqqqqqqqqqqq", "1",
	    "no such key \"qqqqqqqqqqqqqqqq\"; --help-keys lists them");
	set_bad(c, "cpus.", "1", "no such key \"cpus.\"; the nearest is cpus");
	set_bad(c, "", "1", "no such key \"\"; --help-keys lists them");
	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	assert_int_equal(conf_set(c, key, "1", err, sizeof(err)), -EINVAL);
}

static void
device_keys(void **state)
{
	static const char *const bad[] = { "pci.256.0.0.device",
		"pci.0.32.0.device", "pci.0.0.8.device", "pci.0.00.0.device",
		"pci.0.0.device", "pci.0.0.0", "pci.0.0.0.", "pci.a.0.0.device",
		"pci.-1.0.0.device", "pci.0.0.0.a..b",
		"pci.99999999999999999999.0.0.device" };
	struct conf *c = *state;
	struct conf_pci_key k;

	set_ok(c, "pci.0.3.0.device", "anything");
	set_ok(c, "pci.255.31.7.port.1.path", "/x");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(
		    conf_set(c, bad[i], "x", err, sizeof(err)), -EINVAL);
		assert_false(conf_parse_pci_key(bad[i], &k));
	}
	assert_true(conf_parse_pci_key("pci.255.31.7.port.1.path", &k));
	assert_int_equal(k.bus, 255);
	assert_int_equal(k.slot, 31);
	assert_int_equal(k.func, 7);
	assert_string_equal(k.rest, "port.1.path");
}

static void
pairs(void **state)
{
	struct conf *c = *state;

	assert_int_equal(
	    conf_set_pair(c, "boot.cmdline=a=b", err, sizeof(err)), 0);
	assert_string_equal(conf_get(c, "boot.cmdline"), "a=b");
	assert_int_equal(conf_set_pair(c, "cpus", err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "right is KEY=VALUE, as in cpus=2");
	assert_int_equal(conf_set_pair(c, "=1", err, sizeof(err)), -EINVAL);
	assert_int_equal(conf_set_pair(c, "", err, sizeof(err)), -EINVAL);
}

static void
origins(void **state)
{
	struct conf *c = *state;

	set_ok(c, "stats", "1");
	conf_set_origin(c, "-c 2");
	set_ok(c, "cpus", "2");
	conf_set_origin(c, NULL);
	assert_string_equal(conf_origin(c, "cpus"), "-c 2");
	assert_string_equal(conf_origin(c, "stats"), "stats");
	assert_string_equal(conf_origin(c, "name"), "name");
	set_ok(c, "cpus", "3");
	assert_string_equal(conf_origin(c, "cpus"), "cpus");
}

/* --- order ------------------------------------------------------------- */

static void
collect(const char *key, const char *value, void *arg)
{
	char *all = arg;

	sprintf(all + strlen(all), "%s=%s ", key, value);
}

static void
order(void **state)
{
	struct conf *c = *state;
	char all[512] = "";

	set_ok(c, "pci.0.10.0.device", "c");
	set_ok(c, "pci.0.9.1.device", "b");
	set_ok(c, "pci.0.9.0.device", "a");
	set_ok(c, "pci.1.0.0.device", "d");
	set_ok(c, "cpus", "1");
	conf_foreach(c, "pci.", collect, all);
	assert_string_equal(all, "pci.0.9.0.device=a pci.0.9.1.device=b "
				 "pci.0.10.0.device=c pci.1.0.0.device=d ");
	all[0] = '\0';
	conf_foreach(c, "", collect, all);
	assert_memory_equal(all, "cpus=1 pci.0.9", 14);
	all[0] = '\0';
	conf_foreach(c, "lpc.", collect, all);
	assert_string_equal(all, "");
}

static void
many_keys(void **state)
{
	struct conf *c = *state;
	char key[64], value[16];

	/* In an order that is not the sorted one. */
	for (unsigned int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "var.k%u", i * 7 % 1000);
		snprintf(value, sizeof(value), "%u", i * 7 % 1000);
		set_ok(c, key, value);
	}
	for (unsigned int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "var.k%u", i);
		snprintf(value, sizeof(value), "%u", i);
		assert_string_equal(conf_get(c, key), value);
	}
}

/* --- expansion --------------------------------------------------------- */

static void
expansion(void **state)
{
	struct conf *c = *state;
	const char *first;

	set_ok(c, "boot.kernel", "/vm/%(name)/vmlinuz"); /* set before name */
	set_ok(c, "name", "%(var.prefix)0");
	set_ok(c, "var.prefix", "vm");
	assert_int_equal(conf_check(c, err, sizeof(err)), 0);
	first = conf_get(c, "boot.kernel");
	assert_string_equal(first, "/vm/vm0/vmlinuz");
	assert_ptr_equal(conf_get(c, "boot.kernel"), first);
	set_ok(c, "boot.cmdline", "100%% 5% % %(cpus)");
	assert_string_equal(conf_get(c, "boot.cmdline"), "100% 5% % 1");
	set_ok(c, "cpus", "%(var.n)");
	set_ok(c, "var.n", "3");
	assert_int_equal(conf_check(c, err, sizeof(err)), 0);
	assert_int_equal(conf_get_u64(c, "cpus", 0), 3);
	assert_string_equal(conf_get(c, "boot.cmdline"), "100% 5% % 3");
}

static void
check_fails(struct conf *c, const char *why)
{
	assert_int_equal(conf_check(c, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, why);
}

static void
expansion_failures(void **state)
{
	struct conf *c = *state;

	conf_set_origin(c, "here");
	set_ok(c, "name", "%(var.none)");
	check_fails(c, "here: %(var.none): that key is not set");
	set_ok(c, "name", "%(cpus");
	check_fails(
	    c, "here: \"%(\" without \")\"; write %% for a percent sign");
	set_ok(c, "name", "%(name)");
	check_fails(c, "here: %(name) goes round in circles");
	set_ok(c, "name", "x");
	set_ok(c, "cpus", "%(name)");
	check_fails(c, "here: cpus must be a number from 1 to 64, not \"x\"");
}

static void
expansion_is_bounded(void **state)
{
	struct conf *c = *state;
	char key[] = "var.b", value[300];

	/* 8 levels of 30 references each would be 10^11 steps. */
	set_ok(c, "var.a", "");
	for (; key[4] <= 'h'; key[4]++) {
		value[0] = '\0';
		for (int i = 0; i < 30; i++)
			sprintf(
			    value + strlen(value), "%%(var.%c)", key[4] - 1);
		set_ok(c, key, value);
	}
	assert_int_equal(conf_check(c, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "goes round in circles"));
	assert_non_null(conf_get(c, "var.h"));
}

/* --- values ------------------------------------------------------------ */

static void
sizes(void **state)
{
	static const struct {
		const char *text;
		int error;
		uint64_t bytes;
	} table[] = {
		{ "256", 0, 256ull << 20 },
		{ "0x10", 0, 16ull << 20 },
		{ "1048575", 0, 1048575ull << 20 },
		{ "1048576", 0, 1048576 },
		{ "0", 0, 0 },
		{ "512b", 0, 512 },
		{ "1k", 0, 1 << 10 },
		{ "1M", 0, 1 << 20 },
		{ "3g", 0, 3ull << 30 },
		{ "2T", 0, 2ull << 40 },
		{ "1P", 0, 1ull << 50 },
		{ "15e", 0, 15ull << 60 },
		{ "0x1e", 0, 30ull << 20 }, /* a digit, not exa */
		{ "0x1k", 0, 1 << 10 },
		{ "16e", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "k", -EINVAL, 0 },
		{ "1kb", -EINVAL, 0 },
		{ "1.5g", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 g", -EINVAL, 0 },
		{ "0x", -EINVAL, 0 },
		{ "0000000000000000000000000000000000000001k", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		uint64_t n = 77;
		int error = conf_parse_size(table[i].text, &n);

		if (error != table[i].error)
			fail_msg("\"%s\": %d", table[i].text, error);
		if (table[i].error == 0)
			assert_int_equal(n, table[i].bytes);
	}
}

static void
booleans(void **state)
{
	static const char *const yes[] = { "true", "ON", "Yes", "1" };
	static const char *const no[] = { "false", "off", "NO", "0" };
	static const char *const bad[] = { "", "2", "tru", "true ", "y" };
	bool b;

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		b = false;
		assert_int_equal(conf_parse_bool(yes[i], &b), 0);
		assert_true(b);
	}
	for (size_t i = 0; i < ARRAY_LEN(no); i++) {
		b = true;
		assert_int_equal(conf_parse_bool(no[i], &b), 0);
		assert_false(b);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(conf_parse_bool(bad[i], &b), -EINVAL);
}

static void
uuids(void **state)
{
	static const uint8_t want[16] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
		0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10 };
	static const char *const bad[] = { "", "0123",
		"0123456789abcdeffedcba9876543210",
		"01234567-89ab-cdef-fedc-ba987654321",
		"01234567-89ab-cdef-fedc-ba98765432100",
		"01234567x89ab-cdef-fedc-ba9876543210",
		"0123456g-89ab-cdef-fedc-ba9876543210",
		"-1234567-89ab-cdef-fedc-ba9876543210" };
	uint8_t uuid[16] = { 0 };

	assert_int_equal(
	    conf_parse_uuid("01234567-89ab-CDEF-fedc-ba9876543210", uuid), 0);
	assert_memory_equal(uuid, want, 16);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(conf_parse_uuid(bad[i], uuid), -EINVAL);
	assert_memory_equal(uuid, want, 16);
}

/* --- the table --------------------------------------------------------- */

static void
schema_is_sound(void **state)
{
	struct conf *c = *state;

	for (size_t i = 0; i < conf_schema_len; i++) {
		const struct conf_key *k = &conf_schema[i];

		assert_non_null(k->summary);
		assert_false(k->later && k->dflt != NULL);
		if (strchr(k->name, '*') != NULL)
			continue;
		/* No earlier pattern hides it, and its default fits. */
		assert_ptr_equal(conf_key_find(k->name), k);
		if (k->dflt != NULL)
			set_ok(c, k->name, k->dflt);
	}
	assert_null(conf_key_find("nothing"));
	assert_string_equal(
	    conf_key_find("vcpu.12.cpuset")->name, "vcpu.*.cpuset");
	assert_string_equal(
	    conf_key_find("vcpu.pin_base")->name, "vcpu.pin_base");
	assert_null(conf_key_find("vcpu..cpuset"));
	assert_null(conf_key_find("vcpu.1.2.cpuset"));
	assert_null(conf_key_find("var"));
	assert_null(conf_key_find("var.a.b"));
}

/* --- files ------------------------------------------------------------- */

static int
load_text(struct conf *c, const char *text, size_t len)
{
	return conf_load_text(c, "f", text, len, err, sizeof(err));
}

static void
text(void **state)
{
	static const char good[] = "# comment\n"
				   "\n"
				   "  \t\n"
				   " cpus = 2 \r\n"
				   "\tname=a b\t\n"
				   "boot.cmdline=x=y # no comment\n"
				   "   # comment\n"
				   "stats=";
	struct conf *c = *state;

	assert_int_equal(load_text(c, good, sizeof(good) - 1), -EINVAL);
	assert_string_equal(err, "f:8: stats must be true or false, not \"\"");
	assert_string_equal(conf_get(c, "cpus"), "2");
	assert_string_equal(conf_get(c, "name"), "a b");
	assert_string_equal(conf_get(c, "boot.cmdline"), "x=y # no comment");
	assert_string_equal(conf_origin(c, "cpus"), "f:4");
	/* What is set later is not the file's. */
	set_ok(c, "cores", "2");
	assert_string_equal(conf_origin(c, "cores"), "cores");
	assert_int_equal(load_text(c, "", 0), 0);
	assert_int_equal(load_text(c, "cpus", 4), -EINVAL);
	assert_string_equal(
	    err, "f:1: right is KEY=VALUE, or # before a comment");
	assert_int_equal(load_text(c, "\ncpus=1\0\n", 9), -EINVAL);
	assert_string_equal(err, "f:2: a NUL byte: this is not a text file");
}

static void
dump_loads_again(void **state)
{
	struct conf *c = *state, *again = conf_create();
	char *out = NULL, *out2 = NULL;
	size_t len, len2;
	FILE *f;

	set_ok(c, "name", "vm %(var.x) %%");
	set_ok(c, "var.x", "\ta b ");
	set_ok(c, "pci.0.31.0.device", "lpc");
	f = open_memstream(&out, &len);
	conf_dump(c, f);
	fclose(f);
	assert_string_equal(
	    out, "name=vm %(var.x) %%\npci.0.31.0.device=lpc\nvar.x=a b\n");
	assert_int_equal(load_text(again, out, len), 0);
	f = open_memstream(&out2, &len2);
	conf_dump(again, f);
	fclose(f);
	assert_string_equal(out, out2);
	free(out);
	free(out2);
	conf_destroy(again);
}

static void
files(void **state)
{
	struct conf *c = *state;
	char path[] = "/tmp/test_conf.XXXXXX", want[200];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "cpus=3\ncpus=x\n", 14), 14);
	assert_int_equal(conf_load(c, path, err, sizeof(err)), -EINVAL);
	snprintf(want, sizeof(want),
	    "%s:2: cpus must be a number from 1 to 64, not \"x\"", path);
	assert_string_equal(err, want);
	assert_int_equal(conf_get_u64(c, "cpus", 0), 3);
	/* One byte more than the largest file. */
	assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
	assert_int_equal(conf_load(c, path, err, sizeof(err)), -EFBIG);
	close(fd);
	unlink(path);
	assert_int_equal(conf_load(c, path, err, sizeof(err)), -ENOENT);
	assert_int_equal(conf_load(c, "/", err, sizeof(err)), -EISDIR);
	assert_string_equal(err, "/: cannot be read: Is a directory");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(set_get),
		T(blanks_around_values_do_not_count),
		T(bad_values),
		T(value_too_long),
		T(unknown_keys),
		T(device_keys),
		T(pairs),
		T(origins),
		T(order),
		T(many_keys),
		T(expansion),
		T(expansion_failures),
		T(expansion_is_bounded),
		T(sizes),
		T(booleans),
		T(uuids),
		T(schema_is_sound),
		T(text),
		T(dump_loads_again),
		T(files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
