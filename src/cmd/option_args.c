/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * option_args.c - the options whose argument has a grammar of its own.
 *
 * -c and -p: docs/bhyve.md 4.1; -s: 1.3 and 4.2; -l: 1.4.  Each turns its text
 * into keys; whether keys make sense together is src/machine's to say, which
 * also knows them when they come from -o or a file.
 */
#include "options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <strings.h>

#include <conf/conf.h>
#include <machine/machine.h>
#include <vmm/pci.h>

static int __attribute__((format(printf, 3, 4)))
option_arg_fail(char *err, size_t err_len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, err_len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* --- -c and -p --------------------------------------------------------- */

static const char *const option_arg_topology[] = { "cpus", "sockets", "cores",
	"threads" };

/* One "cores=2", or in first place a bare number of CPUs. */
static int
option_arg_cpus_field(struct conf *c, const char *field, bool first,
    unsigned int *seen, char *err, size_t err_len)
{
	const char *value = strchr(field, '=');
	size_t len = value != NULL ? (size_t)(value - field) : 0;

	if (value == NULL) {
		value = first ? field : NULL;
		field = "cpus";
		len = strlen(field);
	} else {
		value++;
	}
	for (unsigned int i = 0; i < ARRAY_LEN(option_arg_topology); i++) {
		const char *name = option_arg_topology[i];

		if (value == NULL || strlen(name) != len ||
		    strncmp(name, field, len) != 0)
			continue;
		if (*seen & BIT(i))
			return option_arg_fail(
			    err, err_len, "%s is there twice", name);
		*seen |= BIT(i);
		return conf_set(c, name, value, err, err_len);
	}
	return option_arg_fail(err, err_len,
	    "right is [cpus=]N[,sockets=N][,cores=N][,threads=N]");
}

int
option_arg_cpus(struct conf *c, const char *arg, enum option_action *action,
    char *err, size_t err_len)
{
	char *copy = xstrdup(arg), *rest = copy, *field;
	unsigned int seen = 0;
	int error = 0;

	for (bool first = true; error == 0; first = false) {
		field = strsep(&rest, ",");
		if (field == NULL)
			break;
		error =
		    option_arg_cpus_field(c, field, first, &seen, err, err_len);
	}
	free(copy);
	return error;
}

int
option_arg_pin(struct conf *c, const char *arg, enum option_action *action,
    char *err, size_t err_len)
{
	const char *colon = strchr(arg, ':');
	char key[64];
	size_t len;

	if (colon == NULL)
		return conf_set(c, "vcpu.pin_base", arg, err, err_len);
	len = (size_t)(colon - arg);
	if (len == 0 || len > 3 || strspn(arg, "0123456789") != len)
		return option_arg_fail(err, err_len,
		    "right is VCPU:HOSTCPU, as in 0:1, or one number");
	snprintf(key, sizeof(key), "vcpu.%d.cpuset", atoi(arg));
	return conf_set(c, key, colon + 1, err, err_len);
}

/* --- -s ---------------------------------------------------------------- */

struct option_arg_bdf {
	uint64_t bus, slot, func;
};

static bool
option_arg_number(const char *s, uint64_t max, uint64_t *ret)
{
	return *s != '\0' && strspn(s, "0123456789") == strlen(s) &&
	       parse_u64(s, 0, max, ret) == 0;
}

/* "SLOT", "SLOT:FUNC" or "BUS:SLOT:FUNC", decimal; cut up in place. */
static bool
option_arg_bdf(char *s, struct option_arg_bdf *ret)
{
	const char *field[3];
	unsigned int n = 0;
	char *part;

	*ret = (struct option_arg_bdf){ 0 };
	while ((part = strsep(&s, ":")) != NULL) {
		if (n == ARRAY_LEN(field))
			return false;
		field[n++] = part;
	}
	if (n == 3 && !option_arg_number(field[0], 255, &ret->bus))
		return false;
	if (n >= 2 && !option_arg_number(field[n - 1], 7, &ret->func))
		return false;
	return option_arg_number(field[n == 3], 31, &ret->slot);
}

static const struct pci_dev_ops *
option_arg_device(const char *name, char *err, size_t err_len)
{
	const struct pci_dev_ops *ops = pci_dev_find(name);
	const char *near;

	if (ops != NULL)
		return ops;
	near = machine_nearest_device(name);
	if (machine_device_is_later(name))
		option_arg_fail(err, err_len, "%s is not built in yet", name);
	else if (near != NULL)
		option_arg_fail(err, err_len,
		    "no such device \"%.64s\"; the nearest is %s", name, near);
	else
		option_arg_fail(err, err_len,
		    "no such device \"%.64s\"; `-s help' lists them", name);
	return NULL;
}

/*
 * "name=value" and "name" as they are; a bare first word, or a "tcp=..." which
 * is a host end and no setting, is the device's first setting.
 */
static int
option_arg_setting(struct conf *c, const struct pci_dev_ops *ops,
    const char *node, char *word, bool first, char *err, size_t err_len)
{
	char key[256];
	const char *name = word, *value = "true";
	char *eq = strchr(word, '=');

	if ((ops->opts == NULL || ops->opts[0].name == NULL) &&
	    strncmp(word, "pcireg.", 7) != 0)
		return option_arg_fail(
		    err, err_len, "%s takes no settings", ops->name);
	if (first && (eq == NULL || strncmp(word, "tcp=", 4) == 0)) {
		name = ops->opts[0].name;
		value = word;
	} else if (eq != NULL) {
		*eq = '\0';
		value = eq + 1;
	}
	if (strcmp(name, "device") == 0 || *name == '\0')
		return option_arg_fail(
		    err, err_len, "%s has no setting \"%s\"", ops->name, name);
	snprintf(key, sizeof(key), "%s.%.150s", node, name);
	if (conf_is_set(c, key))
		return option_arg_fail(
		    err, err_len, "%.64s is there twice", name);
	return conf_set(c, key, value, err, err_len);
}

static int
option_arg_settings(struct conf *c, const struct pci_dev_ops *ops,
    const char *node, char *words, char *err, size_t err_len)
{
	char *word;
	int error = 0;

	if (words != NULL && ops->parse != NULL)
		return ops->parse(c, node, words, err, err_len);
	for (bool first = true; error == 0; first = false) {
		word = strsep(&words, ",");
		if (word == NULL)
			break;
		error =
		    option_arg_setting(c, ops, node, word, first, err, err_len);
	}
	return error;
}

static int
option_arg_slot_words(struct conf *c, char *words, char *err, size_t err_len)
{
	char node[64], key[80];
	struct option_arg_bdf bdf;
	const struct pci_dev_ops *ops;
	char *slot = strsep(&words, ","), *name = strsep(&words, ",");
	int error;

	if (name == NULL || !option_arg_bdf(slot, &bdf))
		return option_arg_fail(err, err_len,
		    "right is [BUS:]SLOT[:FUNC],DEVICE[,SETTING...] with BUS "
		    "0-255, SLOT 0-31, FUNC 0-7");
	ops = option_arg_device(name, err, err_len);
	if (ops == NULL)
		return -EINVAL;
	snprintf(node, sizeof(node), "pci.%u.%u.%u", (unsigned int)bdf.bus,
	    (unsigned int)bdf.slot, (unsigned int)bdf.func);
	snprintf(key, sizeof(key), "%s.device", node);
	if (conf_is_set(c, key))
		return option_arg_fail(err, err_len,
		    "the slot is taken by %s (%s)", conf_get(c, key),
		    conf_origin(c, key));
	error = conf_set(c, key, name, err, err_len);
	if (error == 0)
		error = option_arg_settings(c, ops, node, words, err, err_len);
	return error;
}

int
option_arg_slot(struct conf *c, const char *arg, enum option_action *action,
    char *err, size_t err_len)
{
	char *copy;
	int error;

	if (strcmp(arg, "help") == 0) {
		*action = OPTION_HELP_DEVICES;
		return 0;
	}
	copy = xstrdup(arg);
	error = option_arg_slot_words(c, copy, err, err_len);
	free(copy);
	return error;
}

/* --- -l ---------------------------------------------------------------- */

/* Names behind the LPC bridge that later work brings. */
static bool
option_arg_lpc_later(const char *name)
{
	static const char *const later[] = { "bootrom", "fwcfg", "tpm",
		"pc-testdev" };

	for (size_t i = 0; i < ARRAY_LEN(later); i++) {
		if (strcasecmp(name, later[i]) == 0)
			return true;
	}
	return false;
}

static int
option_arg_com(
    struct conf *c, int unit, const char *path, char *err, size_t err_len)
{
	char key[32];

	snprintf(key, sizeof(key), "lpc.com%d.path", unit);
	if (path == NULL || *path == '\0')
		return option_arg_fail(err, err_len,
		    "where to? com%d,stdio or com%d,/dev/TTY or "
		    "com%d,tcp=[ADDR:]PORT",
		    unit, unit, unit);
	if (conf_is_set(c, key))
		return option_arg_fail(err, err_len,
		    "com%d is there already (%s)", unit, conf_origin(c, key));
	return conf_set(c, key, path, err, err_len);
}

int
option_arg_lpc(struct conf *c, const char *arg, enum option_action *action,
    char *err, size_t err_len)
{
	const char *comma = strchr(arg, ',');
	size_t len = comma != NULL ? (size_t)(comma - arg) : strlen(arg);
	char name[32];

	if (strcmp(arg, "help") == 0) {
		*action = OPTION_HELP_LPC;
		return 0;
	}
	snprintf(
	    name, sizeof(name), "%.*s", (int)MIN(len, sizeof(name) - 1), arg);
	if (len == 4 && strncasecmp(name, "com", 3) == 0 && name[3] >= '1' &&
	    name[3] <= '4')
		return option_arg_com(c, name[3] - '0',
		    comma != NULL ? comma + 1 : NULL, err, err_len);
	if (option_arg_lpc_later(name))
		return option_arg_fail(
		    err, err_len, "%s is not built in yet", name);
	return option_arg_fail(err, err_len,
	    "no such LPC device \"%s\"; right is com1,stdio and the like, and "
	    "`-l help' lists them",
	    name);
}

/* --- -G --------------------------------------------------------------- */

int
option_arg_gdb(struct conf *c, const char *arg, enum option_action *action,
    char *err, size_t err_len)
{
	bool wait = *arg == 'w';
	const char *rest = wait ? arg + 1 : arg;
	const char *colon = strrchr(rest, ':');
	const char *port = colon != NULL ? colon + 1 : rest;
	char addr[256];
	size_t len = colon != NULL ? (size_t)(colon - rest) : 0;
	uint64_t number;
	int error = 0;

	if (parse_u64(port, 1, 65535, &number) != 0 || len >= sizeof(addr) ||
	    (colon != NULL && len == 0))
		return option_arg_fail(err, err_len,
		    "right is [w][ADDR:]PORT with PORT 1 to 65535");
	/* An IPv6 address comes in brackets. */
	if (len >= 2 && rest[0] == '[' && rest[len - 1] == ']') {
		rest++;
		len -= 2;
	}
	snprintf(addr, sizeof(addr), "%.*s", (int)len, rest);
	if (len > 0)
		error = conf_set(c, "gdb.address", addr, err, err_len);
	if (error == 0)
		error = conf_set(c, "gdb.port", port, err, err_len);
	if (error == 0 && wait)
		error = conf_set(c, "gdb.wait", "true", err, err_len);
	return error;
}

/* --- -k and -o --------------------------------------------------------- */

int
option_arg_file(struct conf *c, const char *arg, enum option_action *action,
    char *err, size_t err_len)
{
	return conf_load(c, arg, err, err_len);
}

int
option_arg_pair(struct conf *c, const char *arg, enum option_action *action,
    char *err, size_t err_len)
{
	return conf_set_pair(c, arg, err, err_len);
}
