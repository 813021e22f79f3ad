/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_tree.c - what both fuzz targets of the settings do with a tree: check
 * it as the program does, read it, and print it; what was printed must make
 * the same tree again.  Devices and engines are stand-ins for the real tables.
 */
#include "fuzz_tree.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <conf/conf.h>
#include <machine/machine.h>
#include <vmm/engine.h>
#include <vmm/pci.h>

static const struct pci_opt fake_opts[] = {
	{ "path", "where" },
	{ "ro", "read only" },
	{ "port.*.path", "where port N is" },
	{ NULL, NULL },
};
static const struct pci_dev_ops fake_plain = { .name = "hostbridge" };
static const struct pci_dev_ops fake_lpc = {
	.name = "lpc",
	.bus0_only = true,
	.single = true,
};
static const struct pci_dev_ops fake_uart = {
	.name = "uart",
	.opts = fake_opts,
};
const struct pci_dev_ops *const pci_dev_table[] = { &fake_plain, &fake_lpc,
	&fake_uart };
const size_t pci_dev_table_len = ARRAY_LEN(pci_dev_table);

const struct pci_dev_ops *
pci_dev_find(const char *name)
{
	for (size_t i = 0; i < pci_dev_table_len; i++) {
		if (strcmp(pci_dev_table[i]->name, name) == 0)
			return pci_dev_table[i];
	}
	return NULL;
}

static const struct vm_engine_ops fake_engine = { .name = "soft" };
const struct vm_engine_ops *const vm_engine_table[] = { &fake_engine };
const size_t vm_engine_table_len = ARRAY_LEN(vm_engine_table);

static char *
fuzz_dump(const struct conf *c, size_t *ret_len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, ret_len);

	assert(f != NULL);
	conf_dump(c, f);
	fclose(f);
	return text;
}

static void
fuzz_read_key(const char *key, const char *value, void *arg)
{
	const struct conf *c = arg;

	assert(conf_is_set(c, key));
	assert(strcmp(conf_get(c, key), value) == 0);
	assert(conf_origin(c, key) != NULL);
	(void)conf_get_bool(c, key);
	(void)conf_get_u64(c, key, 0);
}

static void
fuzz_round_trip(const struct conf *c)
{
	struct conf *again = conf_create();
	size_t len, len2;
	char *text = fuzz_dump(c, &len), *text2;
	char err[1024];

	assert(conf_load_text(again, "dump", text, len, err, sizeof(err)) == 0);
	text2 = fuzz_dump(again, &len2);
	assert(len == len2 && memcmp(text, text2, len) == 0);
	free(text);
	free(text2);
	conf_destroy(again);
}

void
fuzz_tree(const struct conf *c)
{
	char err[1024] = "";

	if (conf_check(c, err, sizeof(err)) != 0) {
		assert(err[0] != '\0');
	} else {
		if (machine_check(c, err, sizeof(err)) != 0)
			assert(err[0] != '\0');
		conf_foreach(c, "", fuzz_read_key, (void *)(uintptr_t)c);
	}
	fuzz_round_trip(c);
}
