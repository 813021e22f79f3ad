/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot.c - what a guest finds in memory when it starts: tables that describe
 * this PC, the kernel, and vCPU 0 at its entry.
 *
 * The formats are src/boot's; here is only what this machine puts into them
 * (docs/bhyve.md 1.5, 1.13 to 1.15).  Done again for a restart in place.
 */
#include "machine_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boot/boot.h>
#include <conf/conf.h>
#include <util/log.h>
#include <vmm/pci.h>

#define BOOT_MAX_BUSES 256

static int
boot_check_file(struct machine_err *e, const char *key)
{
	const char *path = conf_get(e->conf, key);
	struct stat st;
	int fd, error = 0;

	if (path == NULL)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1)
		error = -errno;
	else if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		error = -EISDIR;
	if (fd != -1)
		close(fd);
	if (error == -ENOENT || error == -ENOTDIR || error == -EISDIR)
		return machine_fail_user(
		    e, key, "not a file to load: %s", strerror(-error));
	if (error != 0)
		return machine_fail_host(
		    e, error, "%.300s: open", conf_origin(e->conf, key));
	return 0;
}

int
machine_check_files(struct machine_err *e)
{
	int error;

	if (conf_get(e->conf, "boot.kernel") == NULL)
		return machine_fail_user(e, NULL,
		    "there is nothing to start; name a kernel with "
		    "--kernel FILE");
	error = boot_check_file(e, "boot.kernel");
	return error != 0 ? error : boot_check_file(e, "boot.initrd");
}

/* --- PCI --------------------------------------------------------------- */

/* What the tables say of PCI. */
struct boot_pci {
	struct boot_pci_bus bus[BOOT_MAX_BUSES];
	unsigned int nbuses;
	struct boot_intx *intx;
	unsigned int nintx, intx_cap;
	uint16_t irqs; /* ISA interrupts that PCI has */
};

static void
boot_add_intx(const struct pci_intx_info *info, void *arg)
{
	struct boot_pci *p = arg;

	if (p->nintx == p->intx_cap) {
		unsigned int cap = 2 * p->intx_cap + 16;
		struct boot_intx *intx = xcalloc(cap, sizeof(*intx));

		if (p->nintx > 0)
			memcpy(intx, p->intx, p->nintx * sizeof(*intx));
		free(p->intx);
		p->intx = intx;
		p->intx_cap = cap;
	}
	p->intx[p->nintx++] = (struct boot_intx){
		.bus = info->bus,
		.slot = info->slot,
		.pin = info->pin,
		.gsi = info->gsi,
		.pirq = info->pirq,
	};
	if (info->irq < 16)
		p->irqs |= (uint16_t)BIT(info->irq);
}

/* Bus 0 is there even when it is empty. */
static void
boot_find_pci(struct machine *m, struct boot_pci *p)
{
	for (unsigned int i = 0; i < BOOT_MAX_BUSES; i++) {
		struct pci_bus_windows w = {
			.io_base = 1, .mem32_base = 1, .mem64_base = 1
		};

		if (!pci_bus_windows(m->pci, i, &w) && i != 0)
			continue;
		p->bus[p->nbuses++] = (struct boot_pci_bus){
			.bus = (uint8_t)i,
			.io_base = w.io_base,
			.io_limit = w.io_limit,
			.mem32_base = w.mem32_base,
			.mem32_limit = w.mem32_limit,
			.mem64_base = w.mem64_base,
			.mem64_limit = w.mem64_limit,
		};
	}
	pci_bus_foreach_intx(m->pci, boot_add_intx, p);
}

/* A PIRQ is a level; a BIOS says so to the 8259s for those it routes. */
static int
boot_set_elcr(struct machine *m, uint16_t irqs)
{
	for (int i = 0; i < 16; i++)
		if ((irqs & BIT(i)) != 0 &&
		    vm_isa_set_irq_trigger(m->ctx, i, LEVEL_TRIGGER) != 0)
			return -errno;
	return 0;
}

/* --- all the tables ---------------------------------------------------- */

static void
boot_describe(
    struct machine *m, const struct boot_pci *p, struct boot_tables *t)
{
	const struct conf *c = m->conf;
	const char *uuid = conf_get(c, "uuid");

	*t = (struct boot_tables){
		.ncpus = m->topology.ncpus,
		.topology = &m->topology,
		.vm_name = vm_get_name(m->ctx),
		.has_lpc = m->has_lpc,
		.lpc_slot = m->lpc_slot,
		.lpc_func = m->lpc_func,
		.hpet = true,
		.buses = p->bus,
		.nbuses = p->nbuses,
		.intx = p->intx,
		.nintx = p->nintx,
		.bios_vendor = conf_get(c, "bios.vendor"),
		.bios_version = conf_get(c, "bios.version"),
		.bios_date = conf_get(c, "bios.release_date"),
		.sys_manufacturer = conf_get(c, "system.manufacturer"),
		.sys_product = conf_get(c, "system.product_name"),
		.sys_version = conf_get(c, "system.version"),
		.sys_serial = conf_get(c, "system.serial_number"),
		.sys_sku = conf_get(c, "system.sku"),
		.sys_family = conf_get(c, "system.family_name"),
	};
	for (unsigned int i = 0; i < MACHINE_NCOM; i++)
		t->com[i] = m->com[i];
	if (uuid != NULL && conf_parse_uuid(uuid, t->uuid) != 0)
		memset(t->uuid, 0, sizeof(t->uuid)); /* checked: cannot be */
}

/* bhyve's MP table knows one bus; asked for by name that is an error. */
static int
boot_mptable(
    struct machine *m, const struct boot_tables *t, struct machine_err *e)
{
	char why[300] = "";
	int error;

	if (!conf_get_bool(m->conf, "x86.mptable"))
		return 0;
	error = mptable_build(m->ctx, t, why, sizeof(why));
	if (error == 0)
		return 0;
	if (error == -EINVAL && !conf_is_set(m->conf, "x86.mptable")) {
		log_warn("no MP table: %s", why);
		return 0;
	}
	(void)machine_fail_user(e, "x86.mptable", "%s", why);
	e->user = error == -EINVAL;
	return error;
}

static int
boot_write_tables(struct machine *m, const struct boot_tables *t,
    uint64_t *ret_rsdp, struct machine_err *e)
{
	char why[300] = "";
	int error = boot_mptable(m, t, e);

	*ret_rsdp = 0;
	if (error != 0)
		return error;
	error = smbios_build(m->ctx, t, why, sizeof(why));
	if (error == 0 && conf_get_bool(m->conf, "acpi_tables"))
		error = acpi_build(m->ctx, t, ret_rsdp, why, sizeof(why));
	if (error != 0) {
		/* Too little room for strings or processors. */
		(void)machine_fail_user(e, NULL, "%s", why);
		e->user = error == -EINVAL || error == -ENOSPC;
	}
	return error;
}

static int
boot_tables(struct machine *m, uint64_t *ret_rsdp, struct machine_err *e)
{
	struct boot_pci pci = { .nbuses = 0 };
	struct boot_tables t;
	int error;

	boot_find_pci(m, &pci);
	boot_describe(m, &pci, &t);
	error = boot_set_elcr(m, pci.irqs);
	if (error != 0)
		error = machine_fail_host(e, error, "interrupt triggers");
	else
		error = boot_write_tables(m, &t, ret_rsdp, e);
	free(pci.intx);
	return error;
}

int
machine_load(struct machine *m, struct machine_err *e)
{
	struct boot_kernel k = {
		.kernel = conf_get(m->conf, "boot.kernel"),
		.initrd = conf_get(m->conf, "boot.initrd"),
		.cmdline = conf_get(m->conf, "boot.cmdline"),
	};
	char why[500] = "";
	int error = boot_tables(m, &k.rsdp, e);

	if (error != 0)
		return error;
	error = boot_load_kernel(
	    m->ctx, vm_vcpu_get(m->ctx, 0), &k, why, sizeof(why));
	if (error != 0) {
		(void)machine_fail_user(e, NULL, "%s", why);
		/* All but reading is about what the files are. */
		e->user = error != -EIO && error != -EACCES && error != -EPERM;
	}
	return error;
}
