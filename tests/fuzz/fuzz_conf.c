/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_conf.c - the input is a configuration file; src/conf.
 */
#include "fuzz.h"

#include <assert.h>

#include <conf/conf.h>

#include "fuzz_tree.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf *c = conf_create();
	char err[1024] = "";

	if (conf_load_text(c, "fuzz.conf", (const char *)data, size, err,
		sizeof(err)) != 0)
		assert(strncmp(err, "fuzz.conf:", 10) == 0);
	fuzz_tree(c);
	conf_destroy(c);
	return 0;
}
