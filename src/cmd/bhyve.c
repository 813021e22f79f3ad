/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bhyve.c - the program that runs one virtual machine (bhyve(8)).
 *
 * Turns the command line into a tree of keys, hands the tree to src/machine
 * and ends with the machine's status: 0 reset, 1 powered off, 2 halted,
 * 3 triple fault, 4 error; 64 when the command line is to blame (sysexits(3)'s
 * EX_USAGE, as bhyve has it for -m and -l).
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include <conf/conf.h>
#include <machine/machine.h>
#include <util/log.h>

#include "options.h"

#define STATUS_DUMPED 1 /* config.dump=1, as in FreeBSD */
#define STATUS_ERROR  4

static int
bhyve_usage(const char *err)
{
	log_error("%s", err);
	return EX_USAGE;
}

static int
bhyve_print(enum option_action action)
{
	switch (action) {
	case OPTION_HELP:
		options_print_help(stdout);
		break;
	case OPTION_HELP_KEYS:
		options_print_keys(stdout);
		break;
	case OPTION_HELP_DEVICES:
		options_print_devices(stdout);
		break;
	case OPTION_HELP_LPC:
		options_print_lpc(stdout);
		break;
	case OPTION_VERSION:
		printf("bhyve %s\n", BHYVE_VERSION);
		break;
	case OPTION_RUN:
		break;
	}
	return fflush(stdout) == 0 ? 0 : STATUS_ERROR;
}

static int
bhyve_dump(const struct conf *c)
{
	conf_dump(c, stdout);
	return fflush(stdout) == 0 ? STATUS_DUMPED : STATUS_ERROR;
}

static int
bhyve_run(const struct conf *c)
{
	struct machine *m;
	bool user_error = false;
	char err[1024];
	int status;

	if (machine_create(c, &m, &user_error, err, sizeof(err)) != 0) {
		log_error("%s", err);
		return user_error ? EX_USAGE : STATUS_ERROR;
	}
	status = machine_run(m);
	machine_destroy(m);
	return status;
}

static int
bhyve_main(struct conf *c, int argc, char **argv)
{
	enum option_action action;
	char err[1024];

	if (options_parse(c, argc, argv, &action, err, sizeof(err)) != 0)
		return bhyve_usage(err);
	if (action != OPTION_RUN)
		return bhyve_print(action);
	if (conf_check(c, err, sizeof(err)) != 0 ||
	    machine_check(c, err, sizeof(err)) != 0)
		return bhyve_usage(err);
	if (conf_get_bool(c, "config.dump"))
		return bhyve_dump(c);
	return bhyve_run(c);
}

int
main(int argc, char **argv)
{
	struct conf *c = conf_create();
	int status;

	/* Few threads allocate, and seldom: an arena each would be a waste. */
	(void)mallopt(M_ARENA_MAX, 1);
	log_set_name("bhyve");
	log_set_level(LOG_INFO);
	status = bhyve_main(c, argc, argv);
	conf_destroy(c);
	return status;
}
