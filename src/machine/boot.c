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
#include <sys/stat.h>
#include <unistd.h>

#include <boot/boot.h>
#include <conf/conf.h>
#include <util/log.h>
#include <vmm/mem.h>

/* Windows of bus 0 for BARs; other buses have none (docs/bhyve.md 1.5, 1.6). */
#define BUS0_IO_BASE	 0x2000
#define BUS0_IO_LIMIT	 0xffff
#define BUS0_MEM32_BASE	 GPA_LOWMEM_LIMIT
#define BUS0_MEM32_LIMIT 0xdfffffffull
#define BUS0_MEM64_BASE	 0xd000000000ull
#define BUS0_MEM64_LIMIT 0xfcffffffffull
#define BOOT_MAX_BUSES	 256

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

struct boot_buses {
	struct boot_pci_bus bus[BOOT_MAX_BUSES];
	unsigned int n;
};

static int
boot_add_bus(const struct machine_pci_slot *s, void *arg)
{
	struct boot_buses *b = arg;

	/* Slots come in order of bus; bus 0 is there from the start. */
	if (b->bus[b->n - 1].bus == s->bus)
		return 0;
	b->bus[b->n++] = (struct boot_pci_bus){
		.bus = (uint8_t)s->bus,
		.io_base = 1,
		.mem32_base = 1,
		.mem64_base = 1,
	};
	return 0;
}

static void
boot_find_buses(const struct conf *c, struct boot_buses *b)
{
	b->bus[0] = (struct boot_pci_bus){
		.io_base = BUS0_IO_BASE,
		.io_limit = BUS0_IO_LIMIT,
		.mem32_base = BUS0_MEM32_BASE,
		.mem32_limit = BUS0_MEM32_LIMIT,
		.mem64_base = BUS0_MEM64_BASE,
		.mem64_limit = BUS0_MEM64_LIMIT,
	};
	b->n = 1;
	(void)machine_foreach_slot(c, boot_add_bus, b);
}

/* No device of this machine has an INTx pin yet: nintx stays 0. */
static void
boot_describe(
    struct machine *m, const struct boot_buses *b, struct boot_tables *t)
{
	const struct conf *c = m->conf;
	const char *uuid = conf_get(c, "uuid");

	*t = (struct boot_tables){
		.ncpus = m->topology.ncpus,
		.vm_name = vm_get_name(m->ctx),
		.has_lpc = m->has_lpc,
		.lpc_slot = m->lpc_slot,
		.lpc_func = m->lpc_func,
		.hpet = true,
		.buses = b->bus,
		.nbuses = b->n,
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
boot_tables(struct machine *m, uint64_t *ret_rsdp, struct machine_err *e)
{
	struct boot_buses buses;
	struct boot_tables t;
	char why[300] = "";
	int error;

	boot_find_buses(m->conf, &buses);
	boot_describe(m, &buses, &t);
	*ret_rsdp = 0;
	error = boot_mptable(m, &t, e);
	if (error != 0)
		return error;
	error = smbios_build(m->ctx, &t, why, sizeof(why));
	if (error == 0 && conf_get_bool(m->conf, "acpi_tables"))
		error = acpi_build(m->ctx, &t, ret_rsdp, why, sizeof(why));
	if (error != 0) {
		/* Too little room for strings or processors. */
		(void)machine_fail_user(e, NULL, "%s", why);
		e->user = error == -EINVAL || error == -ENOSPC;
	}
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
