/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options.h - bhyve's command line: one table of options, which is parsed by
 * and printed from; each option is a short spelling of keys (conf/conf.h).
 */
#ifndef CMD_OPTIONS_H
#define CMD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <util/util.h>

struct conf;

/* What the command line asks for. */
enum option_action {
	OPTION_RUN,
	OPTION_HELP,
	OPTION_HELP_KEYS,
	OPTION_HELP_DEVICES, /* -s help */
	OPTION_HELP_LPC,     /* -l help */
	OPTION_VERSION,
};

enum option_group {
	OPTION_GROUP_START,
	OPTION_GROUP_MACHINE,
	OPTION_GROUP_DEVICE,
	OPTION_GROUP_GUEST,
	OPTION_GROUP_CONFIG,
	OPTION_GROUP_COMPAT,
	OPTION_GROUP_COUNT_
};

struct option_def {
	int letter;	      /* 0: none */
	const char *longname; /* NULL: none */
	const char *arg;      /* NULL: takes none */
	enum option_group group;
	const char *summary;
	/* Plain options set `key` to `value`, or to their argument. */
	const char *key, *value;
	/* Others: 0, or -EINVAL with what would be right. */
	int (*parse)(struct conf *, const char *arg, enum option_action *,
	    char *err, size_t err_len);
	enum option_action action; /* asked for by the option alone */
	bool later;		   /* bhyve has it; not built in yet */
	bool names_itself; /* what parse() says begins with the argument */
};

extern const struct option_def option_table[];
extern const size_t option_table_len;

/*
 * Fills the tree.  -EINVAL: err holds one line, "-c 0: what would be right".
 * Changes the order of argv, not its strings; not to be called by two threads
 * at once (getopt_long).
 */
int options_parse(struct conf *, int argc, char **argv,
    enum option_action *ret_action, char *err, size_t err_len) WARN_UNUSED;

/* The parsers of single arguments (option_args.c). */
typedef int option_arg_fn(struct conf *, const char *arg, enum option_action *,
    char *err, size_t err_len);
option_arg_fn option_arg_cpus; /* -c */
option_arg_fn option_arg_pin;  /* -p */
option_arg_fn option_arg_slot; /* -s */
option_arg_fn option_arg_lpc;  /* -l */
option_arg_fn option_arg_gdb;  /* -G */
option_arg_fn option_arg_file; /* -k */
option_arg_fn option_arg_pair; /* -o */

void options_print_help(FILE *);
void options_print_keys(FILE *);
void options_print_devices(FILE *);
void options_print_lpc(FILE *);

#endif /* CMD_OPTIONS_H */
