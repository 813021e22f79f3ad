/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_options.c - the input is a command line, one argument a line;
 * src/cmd/options.c and option_args.c.
 */
#include "fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <conf/conf.h>

#include "fuzz_tree.h"
#include "options.h"

#define FUZZ_MAX_ARGS 64

/* -k would open files of this host: it becomes -o. */
static void
fuzz_disarm(char *arg)
{
	if (strncmp(arg, "--con", 5) == 0)
		memcpy(arg, "--opt", 5);
	if (arg[0] != '-' || arg[1] == '-')
		return;
	for (; *arg != '\0'; arg++) {
		if (*arg == 'k')
			*arg = 'o';
	}
}

static int
fuzz_split(char *text, char *argv[FUZZ_MAX_ARGS + 1])
{
	int argc = 0;
	char *arg;

	argv[argc++] = text + strlen(text); /* the program's name: empty */
	while (argc < FUZZ_MAX_ARGS && (arg = strsep(&text, "\n")) != NULL) {
		fuzz_disarm(arg);
		argv[argc++] = arg;
	}
	argv[argc] = NULL;
	return argc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[FUZZ_MAX_ARGS + 1];
	char *text = malloc(size + 1);
	struct conf *c = conf_create();
	enum option_action action = OPTION_RUN;
	char err[1024] = "";
	int argc;

	assert(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	argc = fuzz_split(text, argv);
	if (options_parse(c, argc, argv, &action, err, sizeof(err)) != 0)
		assert(err[0] != '\0');
	fuzz_tree(c);
	conf_destroy(c);
	free(text);
	return 0;
}
