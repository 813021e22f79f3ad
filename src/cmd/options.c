/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options.c - bhyve's options: the table, and getopt_long() over it.
 *
 * Letters and meanings are bhyve(8)'s (docs/bhyve.md 1.1, 4.1); the long
 * spellings and -E, --kernel, --initrd, --append are ours.  Unlike the
 * original nothing is taken that is not understood.  Options that FreeBSD has
 * and later work brings are in the table, so that they can say so.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>

#include <conf/conf.h>

#define OPTION_LONG_BASE 256 /* getopt values: this + index into the table */

/* clang-format off */
const struct option_def option_table[] = {
	{ 0, "kernel", "FILE", OPTION_GROUP_START,
	  "bzImage, PVH or Multiboot kernel, boot sector",
	  .key = "boot.kernel" },
	{ 0, "initrd", "FILE", OPTION_GROUP_START,
	  "initial RAM disk for the kernel", .key = "boot.initrd" },
	{ 0, "append", "TEXT", OPTION_GROUP_START,
	  "the kernel's command line", .key = "boot.cmdline" },
	{ 'E', "engine", "ENGINE", OPTION_GROUP_START,
	  "what runs guest code: auto (default), kvm, soft", .key = "engine" },

	{ 'c', "cpus", "N", OPTION_GROUP_MACHINE,
	  "virtual CPUs: N[,sockets=N][,cores=N][,threads=N]",
	  .parse = option_arg_cpus },
	{ 'm', "memory", "SIZE", OPTION_GROUP_MACHINE,
	  "memory, 256M by default; plain numbers are MB",
	  .key = "memory.size" },
	{ 'p', "pin", "CPU", OPTION_GROUP_MACHINE,
	  "VCPU:HOSTCPU pins one virtual CPU, N all from N up",
	  .parse = option_arg_pin },
	{ 'S', NULL, NULL, OPTION_GROUP_MACHINE,
	  "keep guest memory from being paged out",
	  .key = "memory.wired", .value = "true" },
	{ 'C', NULL, NULL, OPTION_GROUP_MACHINE,
	  "guest memory is part of core dumps",
	  .key = "memory.guest_in_core", .value = "true" },
	{ 'u', "utc", NULL, OPTION_GROUP_MACHINE,
	  "the clock chip keeps UTC, not local time",
	  .key = "rtc.use_localtime", .value = "false" },
	{ 'U', "uuid", "UUID", OPTION_GROUP_MACHINE,
	  "SMBIOS UUID of the system", .key = "uuid" },
	{ 'Y', NULL, NULL, OPTION_GROUP_MACHINE,
	  "no MP table", .key = "x86.mptable", .value = "false" },

	{ 's', "device", "SLOT,DEVICE[,...]", OPTION_GROUP_DEVICE,
	  "PCI device in [BUS:]SLOT[:FUNC]; see `-s help'",
	  .parse = option_arg_slot },
	{ 'l', "lpc", "DEVICE[,...]", OPTION_GROUP_DEVICE,
	  "device behind the LPC bridge; see `-l help'",
	  .parse = option_arg_lpc },
	{ 'b', NULL, NULL, OPTION_GROUP_DEVICE,
	  "bvmcons console on port 0x220, on this terminal",
	  .key = "bvmcons", .value = "true" },
	{ 'g', NULL, "PORT", OPTION_GROUP_DEVICE,
	  "bvmdbg on TCP port PORT of 127.0.0.1", .key = "bvmdbg.port" },
	{ 'W', NULL, NULL, OPTION_GROUP_DEVICE,
	  "virtio devices use MSI, not MSI-X",
	  .key = "virtio_msix", .value = "false" },

	{ 'H', NULL, NULL, OPTION_GROUP_GUEST,
	  "a halted virtual CPU sleeps, counted (default)", .key = "x86.vmexit_on_hlt",
	  .value = "true" },
	{ 'P', NULL, NULL, OPTION_GROUP_GUEST,
	  "count PAUSE instructions", .key = "x86.vmexit_on_pause",
	  .value = "true" },
	{ 'a', NULL, NULL, OPTION_GROUP_GUEST,
	  "local APICs start in xAPIC mode (default)",
	  .key = "x86.x2apic", .value = "false" },
	{ 'x', NULL, NULL, OPTION_GROUP_GUEST,
	  "local APICs start in x2APIC mode",
	  .key = "x86.x2apic", .value = "true" },
	{ 'e', NULL, NULL, OPTION_GROUP_GUEST,
	  "access to a port nobody owns ends the machine",
	  .key = "x86.strictio", .value = "true" },
	{ 'w', NULL, NULL, OPTION_GROUP_GUEST,
	  "unknown MSRs read zero and raise no fault",
	  .key = "x86.strictmsr", .value = "false" },

	{ 'G', "gdb", "[w][ADDR:]PORT", OPTION_GROUP_GUEST,
	  "debugger stub; w: the guest waits for gdb",
	  .parse = option_arg_gdb },

	{ 'k', "config", "FILE", OPTION_GROUP_CONFIG,
	  "read key=value lines from FILE", .parse = option_arg_file,
	  .names_itself = true },
	{ 'o', "option", "KEY=VALUE", OPTION_GROUP_CONFIG,
	  "set one key; config.dump=1 prints them all",
	  .parse = option_arg_pair },
	{ 'h', "help", NULL, OPTION_GROUP_CONFIG, "this text",
	  .action = OPTION_HELP },
	{ 0, "help-keys", NULL, OPTION_GROUP_CONFIG,
	  "every key, its type, default and meaning",
	  .action = OPTION_HELP_KEYS },
	{ 0, "version", NULL, OPTION_GROUP_CONFIG, "version of this program",
	  .action = OPTION_VERSION },

	{ 'A', NULL, NULL, OPTION_GROUP_COMPAT,
	  "accepted: ACPI tables are there by default",
	  .key = "acpi_tables", .value = "true" },
	{ 'I', NULL, NULL, OPTION_GROUP_COMPAT,
	  "accepted: the I/O APIC is always there", .key = NULL },
	{ 'D', NULL, NULL, OPTION_GROUP_COMPAT,
	  "accepted: the machine always ends with the program",
	  .key = "destroy_on_poweroff", .value = "true" },
	{ 'M', NULL, NULL, OPTION_GROUP_COMPAT,
	  "accepted: the machine always ends with the program",
	  .key = "monitor", .value = "true" },
	{ 'f', NULL, "ITEM", OPTION_GROUP_COMPAT,
	  "firmware configuration item", .later = true },
	{ 'K', NULL, "LAYOUT", OPTION_GROUP_COMPAT,
	  "keyboard layout", .later = true },
	{ 'n', NULL, "DOMAIN", OPTION_GROUP_COMPAT,
	  "NUMA domain", .later = true },
	{ 'r', NULL, "FILE", OPTION_GROUP_COMPAT,
	  "resume from a checkpoint", .later = true },
};
/* clang-format on */
const size_t option_table_len = ARRAY_LEN(option_table);

static int __attribute__((format(printf, 3, 4)))
options_fail(char *err, size_t err_len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, err_len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static const struct option_def *
options_find(int getopt_val)
{
	if (getopt_val >= OPTION_LONG_BASE)
		return &option_table[getopt_val - OPTION_LONG_BASE];
	for (size_t i = 0; i < option_table_len; i++) {
		if (option_table[i].letter == getopt_val)
			return &option_table[i];
	}
	return NULL;
}

/* getopt's two views of the table. */
struct options_getopt {
	char letters[2 * ARRAY_LEN(option_table) + 2];
	struct option longs[ARRAY_LEN(option_table) + 1];
};

static void
options_getopt_init(struct options_getopt *g)
{
	size_t nletters = 0, nlongs = 0;

	memset(g, 0, sizeof(*g));
	g->letters[nletters++] = ':'; /* tell a missing argument apart */
	for (size_t i = 0; i < option_table_len; i++) {
		const struct option_def *o = &option_table[i];

		if (o->letter != 0) {
			g->letters[nletters++] = (char)o->letter;
			if (o->arg != NULL)
				g->letters[nletters++] = ':';
		}
		if (o->longname != NULL)
			g->longs[nlongs++] = (struct option){
				.name = o->longname,
				.has_arg = o->arg != NULL ? required_argument
							  : no_argument,
				.val = OPTION_LONG_BASE + (int)i,
			};
	}
}

/* "-c 0" or "--cpus 0", as it was typed. */
static void
options_spelling(const struct option_def *o, bool is_long, const char *arg,
    char *buf, size_t len)
{
	int n;

	if (is_long)
		n = snprintf(buf, len, "--%s", o->longname);
	else
		n = snprintf(buf, len, "-%c", o->letter);
	if (arg != NULL)
		snprintf(buf + n, len - (size_t)n, " %.200s", arg);
}

static int
options_unknown_long(const char *word, char *err, size_t err_len)
{
	const char *names[ARRAY_LEN(option_table)];
	const char *name = word + 2, *near;
	size_t n = 0, prefixes = 0, len = strcspn(name, "=");
	char bare[64];

	snprintf(
	    bare, sizeof(bare), "%.*s", (int)MIN(len, sizeof(bare) - 1), name);
	for (size_t i = 0; i < option_table_len; i++) {
		const char *l = option_table[i].longname;

		if (l == NULL)
			continue;
		names[n++] = l;
		prefixes += strncmp(l, bare, strlen(bare)) == 0;
	}
	if (prefixes > 1)
		return options_fail(err, err_len,
		    "--%s: short for more than one option; --help lists them",
		    bare);
	near = nearest_name(bare, names, n);
	if (near != NULL)
		return options_fail(err, err_len,
		    "--%s: no such option; the nearest is --%s", bare, near);
	return options_fail(
	    err, err_len, "--%s: no such option; --help lists them", bare);
}

/* getopt_long() said '?' or ':'. */
static int
options_getopt_error(int what, char **argv, char *err, size_t err_len)
{
	const struct option_def *o = optopt != 0 ? options_find(optopt) : NULL;
	char spelling[64];

	if (o == NULL && optopt == 0)
		return options_unknown_long(argv[optind - 1], err, err_len);
	if (o == NULL)
		return options_fail(err, err_len,
		    "-%c: no such option; --help lists them",
		    optopt >= 0x20 && optopt < 0x7f ? optopt : '?');
	options_spelling(
	    o, optopt >= OPTION_LONG_BASE, NULL, spelling, sizeof(spelling));
	if (what == ':')
		return options_fail(err, err_len,
		    "%s: an argument is missing: %s %s", spelling, spelling,
		    o->arg);
	return options_fail(err, err_len, "%s: takes no argument", spelling);
}

static int
options_apply(struct conf *c, const struct option_def *o, const char *arg,
    enum option_action *action, char *err, size_t err_len)
{
	if (o->later) {
		snprintf(err, err_len, "not built in yet");
		return -EINVAL;
	}
	if (o->action != OPTION_RUN)
		*action = o->action;
	if (o->parse != NULL)
		return o->parse(c, arg, action, err, err_len);
	if (o->key != NULL)
		return conf_set(
		    c, o->key, o->value != NULL ? o->value : arg, err, err_len);
	return 0;
}

/* "-c 0: why", or "-k vm.conf:3: why" where `why` names the file itself. */
static int
options_bad_arg(const struct option_def *o, bool is_long, const char *arg,
    const char *why, char *err, size_t err_len)
{
	char spelling[256];

	options_spelling(o, is_long, o->names_itself ? NULL : arg, spelling,
	    sizeof(spelling));
	return options_fail(
	    err, err_len, "%s%s %s", spelling, o->names_itself ? "" : ":", why);
}

/* The words that are no options: the machine's name. */
static int
options_name(struct conf *c, int argc, char **argv, char *err, size_t err_len)
{
	char why[400];

	if (optind + 1 < argc)
		return options_fail(err, err_len,
		    "%.100s: one name is enough, and \"%.100s\" is there "
		    "already",
		    argv[optind + 1], argv[optind]);
	if (optind < argc) {
		conf_set_origin(c, argv[optind]);
		if (conf_set(c, "name", argv[optind], why, sizeof(why)) != 0)
			return options_fail(err, err_len, "%s", why);
		conf_set_origin(c, NULL);
	}
	return 0;
}

int
options_parse(struct conf *c, int argc, char **argv,
    enum option_action *ret_action, char *err, size_t err_len)
{
	struct options_getopt g;
	enum option_action action = OPTION_RUN;
	char spelling[256], why[600];
	int val;

	options_getopt_init(&g);
	opterr = 0;
	optind = 0; /* glibc: start afresh */
	for (;;) {
		int longind = -1;
		const struct option_def *o;

		val = getopt_long(argc, argv, g.letters, g.longs, &longind);
		if (val == -1)
			break;
		if (val == '?' || val == ':')
			return options_getopt_error(val, argv, err, err_len);
		o = options_find(val);
		options_spelling(
		    o, longind >= 0, optarg, spelling, sizeof(spelling));
		conf_set_origin(c, spelling);
		if (options_apply(c, o, optarg, &action, why, sizeof(why)) != 0)
			return options_bad_arg(
			    o, longind >= 0, optarg, why, err, err_len);
		conf_set_origin(c, NULL);
		if (action != OPTION_RUN)
			break; /* help wins over whatever else is wrong */
	}
	*ret_action = action;
	return action == OPTION_RUN ? options_name(c, argc, argv, err, err_len)
				    : 0;
}
