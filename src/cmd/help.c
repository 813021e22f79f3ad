/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * help.c - what bhyve prints about itself, made from the tables it works by.
 */
#include "options.h"

#include <conf/conf.h>
#include <machine/machine.h>
#include <vmm/pci.h>

#define HELP_COLUMN 28

static const char *const help_groups[OPTION_GROUP_COUNT_] = {
	[OPTION_GROUP_START] = "Starting a guest",
	[OPTION_GROUP_MACHINE] = "The machine",
	[OPTION_GROUP_DEVICE] = "Devices",
	[OPTION_GROUP_GUEST] = "What the guest may do",
	[OPTION_GROUP_CONFIG] = "Configuration",
	[OPTION_GROUP_COMPAT] = "For scripts written for FreeBSD",
};

static const char help_examples[] =
    "Examples:\n"
    "  Debian's kernel with two CPUs, console on this terminal (Ctrl-A x "
    "leaves):\n"
    "    bhyve -c 2 -m 1G -s 0,hostbridge -s 31,lpc -l com1,stdio \\\n"
    "        --kernel vmlinuz --initrd initrd.gz --append console=ttyS0 vm0\n"
    "  The same from a file, with one setting changed:\n"
    "    bhyve -k vm0.conf -o memory.size=2G\n"
    "  What a command line means:\n"
    "    bhyve -c 2 -s 31,lpc -l com1,stdio --kernel vmlinuz "
    "-o config.dump=1 vm0\n"
    "\n"
    "Exit status: 0 reset, 1 powered off, 2 halted, 3 triple fault, 4 error,\n"
    "64 something wrong with the command line.  See bhyve(8), "
    "bhyve_config(5).\n";

static void
help_option(FILE *f, const struct option_def *o)
{
	char names[64];
	int n = 0;

	if (o->letter != 0)
		n += snprintf(names, sizeof(names), "-%c", o->letter);
	else
		n += snprintf(names, sizeof(names), "   ");
	if (o->longname != NULL)
		n += snprintf(names + n, sizeof(names) - (size_t)n, "%s--%s",
		    o->letter != 0 ? ", " : " ", o->longname);
	if (o->arg != NULL)
		snprintf(names + n, sizeof(names) - (size_t)n, " %s", o->arg);
	fprintf(f, "  %-*s", HELP_COLUMN, names);
	if (strlen(names) >= HELP_COLUMN)
		fprintf(f, "\n  %-*s", HELP_COLUMN, "");
	fprintf(f, "%s%s\n", o->summary, o->later ? ": not built in yet" : "");
}

void
options_print_help(FILE *f)
{
	fprintf(f, "usage: bhyve [option ...] NAME\n"
		   "       bhyve -k FILE [option ...]\n"
		   "Runs one virtual machine, NAME, until it ends.\n");
	for (unsigned int g = 0; g < OPTION_GROUP_COUNT_; g++) {
		fprintf(f, "\n%s:\n", help_groups[g]);
		for (size_t i = 0; i < option_table_len; i++) {
			if (option_table[i].group == g)
				help_option(f, &option_table[i]);
		}
	}
	fprintf(f, "\n%s", help_examples);
}

void
options_print_keys(FILE *f)
{
	char expects[128];

	for (size_t i = 0; i < conf_schema_len; i++) {
		const struct conf_key *k = &conf_schema[i];

		conf_key_expects(k, expects, sizeof(expects));
		fprintf(f, "%s\n    %s\n", k->name, k->summary);
		if (k->later)
			fprintf(f, "    not built in yet\n");
		else if (k->dflt != NULL)
			fprintf(f, "    %s; default %s\n", expects, k->dflt);
		else
			fprintf(f, "    %s\n", expects);
	}
}

/* Those of ports ("port.*.ro") stand together below one line. */
static void
help_setting(FILE *f, const struct pci_opt *o, bool *ports)
{
	static const char prefix[] = "port.*.";
	const char *name = o->name;

	if (strncmp(name, prefix, strlen(prefix)) == 0) {
		name += strlen(prefix);
		if (!*ports)
			fprintf(
			    f, "    each port N, by keys port.N.SETTING:\n");
		*ports = true;
	} else if (*ports) {
		fprintf(f, "    the device:\n");
		*ports = false;
	}
	fprintf(f, "      %-13s %s\n", name, o->summary);
}

struct help_devices {
	FILE *f;
	bool later; /* which ones to print */
};

static void
help_device(const char *name, const char *summary, bool later, void *arg)
{
	const struct help_devices *h = arg;
	const struct pci_dev_ops *ops = pci_dev_find(name);
	bool ports = false;

	if (later != h->later)
		return;
	fprintf(h->f, "  %-16s%s\n", name, summary);
	for (const struct pci_opt *o = ops != NULL ? ops->opts : NULL;
	     o != NULL && o->name != NULL; o++)
		help_setting(h->f, o, &ports);
}

void
options_print_devices(FILE *f)
{
	fprintf(f, "Devices for -s SLOT,DEVICE[,SETTING...]:\n");
	machine_foreach_device(
	    help_device, &(struct help_devices){ .f = f, .later = false });
	fprintf(f,
	    "Every device also takes pcireg.vendor=N, pcireg.device=N, "
	    "pcireg.subvendor=N,\npcireg.subdevice=N and pcireg.revid=N.  The "
	    "first setting goes without its name.\n");
	fprintf(f, "Not built in yet:\n");
	machine_foreach_device(
	    help_device, &(struct help_devices){ .f = f, .later = true });
}

void
options_print_lpc(FILE *f)
{
	fprintf(f, "Devices for -l DEVICE[,SETTING...], behind -s 31,lpc:\n"
		   "  com1 to com4    serial port: stdio, /dev/TTY, "
		   "tcp=[ADDR:]PORT,\n"
		   "                  unix=PATH or null\n"
		   "Not built in yet:\n"
		   "  bootrom         boot ROM and UEFI variables\n"
		   "  fwcfg           firmware configuration interface\n"
		   "  pc-testdev      device for kvm-unit-tests\n"
		   "  tpm             trusted platform module\n");
}
