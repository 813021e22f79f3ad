/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gdb_monitor.c - "monitor ..." in gdb: what a machine has and a process has
 * not.
 */
#include "gdb_priv.h"

#include <inttypes.h>
#include <stdlib.h>

#include <vmm/irq.h>
#include <vmm/vcpu.h>
#include <vmm/vm.h>

static void
mon_gpa(struct gdb *g, const char *arg, struct gdb_buf *out)
{
	uint64_t gla, gpa;

	/* Hexadecimal as gdb prints addresses; parse_u64 wants the 0x. */
	if (parse_u64(arg, 0, UINT64_MAX, &gla) != 0)
		gdb_printf(out, "monitor gpa ADDRESS, as in 0x1000\n");
	else if (gdb_translate(g, gla, &gpa))
		gdb_printf(out,
		    "0x%" PRIx64 " is at guest-physical 0x%" PRIx64 "\n", gla,
		    gpa);
	else
		gdb_printf(out, "0x%" PRIx64 " is not mapped\n", gla);
}

static void
mon_phys(struct gdb *g, const char *arg, struct gdb_buf *out)
{
	if (strcmp(arg, "on") == 0 || strcmp(arg, "off") == 0)
		g->phys = arg[1] == 'n';
	else if (*arg != '\0')
		gdb_printf(out, "monitor phys on, or off\n");
	gdb_printf(
	    out, "addresses are guest-%s\n", g->phys ? "physical" : "linear");
}

static void
mon_vcpus(struct gdb *g, const char *arg, struct gdb_buf *out)
{
	for (unsigned int i = 0; i < vm_ncpus(g->ctx); i++) {
		struct vcpu_brief b;
		uint64_t rip = 0;

		vm_vcpu_brief(g->ctx, i, &b);
		(void)vm_get_register(
		    vm_vcpu_get(g->ctx, i), VM_REG_GUEST_RIP, &rip);
		gdb_printf(out,
		    "vCPU %u: %s, rip 0x%" PRIx64 ", %" PRIu64
		    " exits, %" PRIu64 " instructions\n",
		    i, b.active ? "started" : "not started", rip, b.exits,
		    b.insns);
	}
}

/* Hidden parts of the segment registers. */
static void
mon_segments(struct gdb *g, const char *arg, struct gdb_buf *out)
{
	static const struct {
		const char *name;
		int reg;
	} segs[] = {
		{ "cs", VM_REG_GUEST_CS },
		{ "ss", VM_REG_GUEST_SS },
		{ "ds", VM_REG_GUEST_DS },
		{ "es", VM_REG_GUEST_ES },
		{ "fs", VM_REG_GUEST_FS },
		{ "gs", VM_REG_GUEST_GS },
		{ "ldtr", VM_REG_GUEST_LDTR },
		{ "tr", VM_REG_GUEST_TR },
		{ "gdtr", VM_REG_GUEST_GDTR },
		{ "idtr", VM_REG_GUEST_IDTR },
	};

	for (size_t i = 0; i < ARRAY_LEN(segs); i++) {
		uint32_t limit, access;
		uint64_t base;

		if (vm_get_desc(
			gdb_vcpu(g), segs[i].reg, &base, &limit, &access) == 0)
			gdb_printf(out,
			    "%-4s base 0x%016" PRIx64
			    " limit 0x%08x access 0x%05x\n",
			    segs[i].name, base, limit, access);
	}
}

static void
mon_nmi(struct gdb *g, const char *arg, struct gdb_buf *out)
{
	vcpu_nmi(gdb_vcpu(g));
	gdb_printf(out, "vCPU %u will take an NMI when it goes on\n", g->cpu);
}

static void
mon_reset(struct gdb *g, const char *arg, struct gdb_buf *out)
{
	(void)vm_suspend(g->ctx, VM_SUSPEND_RESET);
	gdb_printf(out, "reset\n");
}

static void
mon_poweroff(struct gdb *g, const char *arg, struct gdb_buf *out)
{
	(void)vm_suspend(g->ctx, VM_SUSPEND_POWEROFF);
	gdb_printf(out, "powered off\n");
}

static void mon_help(struct gdb *, const char *arg, struct gdb_buf *out);

static const struct {
	const char *name, *help;
	void (*fn)(struct gdb *, const char *arg, struct gdb_buf *out);
} monitor_commands[] = {
	{ "gpa", "gpa ADDRESS  where a linear address is in guest memory",
	    mon_gpa },
	{ "phys", "phys on|off  addresses are guest-physical, or linear",
	    mon_phys },
	{ "segments", "segments     bases, limits and access rights",
	    mon_segments },
	{ "vcpus", "vcpus        where each vCPU is", mon_vcpus },
	{ "nmi", "nmi          to the selected vCPU", mon_nmi },
	{ "reset", "reset        the machine ends with status 0", mon_reset },
	{ "poweroff", "poweroff     the machine ends with status 1",
	    mon_poweroff },
	{ "help", "help         this list", mon_help },
};

static void
mon_help(struct gdb *g, const char *arg, struct gdb_buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(monitor_commands); i++)
		gdb_printf(out, "%s\n", monitor_commands[i].help);
}

void
gdb_monitor(struct gdb *g, const char *line, struct gdb_buf *out)
{
	size_t word = strcspn(line, " ");
	const char *arg = line + word + strspn(line + word, " ");

	for (size_t i = 0; i < ARRAY_LEN(monitor_commands); i++) {
		if (strlen(monitor_commands[i].name) != word ||
		    strncmp(monitor_commands[i].name, line, word) != 0)
			continue;
		monitor_commands[i].fn(g, arg, out);
		return;
	}
	gdb_printf(out, "no such command; monitor help lists them\n");
}
