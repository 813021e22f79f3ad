/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pc.c - the PC itself: which parts, at which addresses, in which order.
 *
 * Addresses and interrupts: docs/bhyve.md 1.4 and 1.7.  Parts register with the
 * machine as they are made and go with it, so half a PC is undone by
 * machine_destroy() as a whole one is.  Runs in the main thread; running the
 * result: run.c.
 */
#include "machine_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include <backend/char.h>
#include <chip/chips.h>
#include <conf/conf.h>
#include <ctl/gdb.h>
#include <util/log.h>
#include <vmm/engine.h>
#include <vmm/pci.h>
#include <vmm/platform.h>

/* --- engine ------------------------------------------------------------ */

static int
pc_engine_named(struct machine *m, const char *name, struct machine_err *e)
{
	char why[256] = "";
	int error;

	for (size_t i = 0; i < vm_engine_table_len; i++) {
		if (strcmp(vm_engine_table[i]->name, name) != 0)
			continue;
		m->engine = vm_engine_table[i];
		error = m->engine->probe(why, sizeof(why));
		if (error == VM_ENGINE_SLOW)
			log_warn("engine %s: %s; -E auto would not take it",
			    name, why);
		if (error >= 0)
			return 0;
		snprintf(e->buf, e->len, "%.100s: %s",
		    conf_origin(e->conf, "engine"), why);
		return error;
	}
	return machine_fail_user(e, "engine", "no engine %s", name);
}

/* The first that works here; one line says which, and why not the others. */
static int
pc_engine_auto(struct machine *m, struct machine_err *e)
{
	char why[256], others[700] = "";
	size_t n = 0;
	int error = -ENODEV;

	for (size_t i = 0; i < vm_engine_table_len; i++) {
		const struct vm_engine_ops *ops = vm_engine_table[i];

		why[0] = '\0';
		error = ops->probe(why, sizeof(why));
		if (error == 0) {
			m->engine = ops;
			log_info("engine %s%s%s%s", ops->name,
			    why[0] != '\0' ? ": " : "", why, others);
			return 0;
		}
		n += (size_t)snprintf(others + n, sizeof(others) - n,
		    "; not %s: %s", ops->name, why);
		n = MIN(n, sizeof(others) - 1);
	}
	snprintf(
	    e->buf, e->len, "no engine can run a guest on this host%s", others);
	return error;
}

static int
pc_engine(struct machine *m, struct machine_err *e)
{
	const char *name = conf_get(m->conf, "engine");

	if (strcmp(name, "auto") == 0)
		return pc_engine_auto(m, e);
	return pc_engine_named(m, name, e);
}

/* --- processors and memory --------------------------------------------- */

static int
pc_cpus(struct machine *m, struct machine_err *e)
{
	bool poll = !conf_get_bool(m->conf, "x86.vmexit_on_hlt");
	int error = vm_topology_set(m->ctx, &m->topology);

	if (error == 0)
		error = vm_set_hlt_poll(m->ctx, poll);
	if (error == 0)
		error = vm_set_code_cache(
		    m->ctx, conf_get_u64(m->conf, "soft.code_cache", 0));
	if (error != 0)
		return machine_fail_host(e, error, "processor topology");
	for (int i = 0; i < m->topology.ncpus; i++) {
		if (vm_vcpu_open(m->ctx, i) == NULL)
			return machine_fail_host(
			    e, -errno, "virtual CPU %d", i);
	}
	return 0;
}

/* -S and -C; without -C a core dump leaves the guest's memory out. */
static int
pc_memory_advice(struct machine *m, struct machine_err *e)
{
	size_t len = vm_get_lowmem_size(m->ctx) + vm_get_highmem_size(m->ctx);
	int flags = conf_get_bool(m->conf, "memory.guest_in_core")
			? VM_MEM_F_INCORE
			: 0;

	if (vm_set_memflags(m->ctx, flags) != 0)
		return machine_fail_host(e, -errno,
		    "%s: guest memory in core dumps: madvise",
		    conf_origin(e->conf, "memory.guest_in_core"));
	if (conf_get_bool(m->conf, "memory.wired") &&
	    vm_set_memflags(m->ctx, flags | VM_MEM_F_WIRED) != 0)
		return machine_fail_host(e, -errno,
		    "%s: wiring %zu MB of guest memory: mlock (ulimit -l)",
		    conf_origin(e->conf, "memory.wired"), len >> 20);
	return 0;
}

static int
pc_memory(struct machine *m, struct machine_err *e)
{
	uint64_t size = machine_memory_size(m->conf);

	if (vm_setup_memory(m->ctx, size, VM_MMAP_ALL) != 0)
		return machine_fail_host(e, -errno,
		    "%s: %" PRIu64 " MB of guest memory",
		    conf_origin(e->conf, "memory.size"), size >> 20);
	return pc_memory_advice(m, e);
}

struct pc_pins {
	struct machine *m;
	struct machine_err *e;
	cpu_set_t host;
	int error;
};

static int
pc_check_host_cpu(struct pc_pins *p, const char *key, int cpu)
{
	if (cpu < CPU_SETSIZE && CPU_ISSET(cpu, &p->host))
		return 0;
	return machine_fail_user(p->e, key,
	    "there is no host CPU %d, or this program may not use it; "
	    "`nproc' says how many there are",
	    cpu);
}

static void
pc_pin(const char *key, const char *value, void *arg)
{
	struct pc_pins *p = arg;
	int cpu = (int)conf_get_u64(p->m->conf, key, 0);

	if (p->error != 0 || strcmp(key, "vcpu.pin_base") == 0)
		return;
	p->error = pc_check_host_cpu(p, key, cpu);
	/* The number of the vCPU was checked with the tree. */
	if (p->error == 0)
		p->m->opts.pin[atoi(key + strlen("vcpu."))] = cpu;
}

static int
pc_pins(struct machine *m, struct machine_err *e)
{
	struct pc_pins p = { .m = m, .e = e };
	const char *key = "vcpu.pin_base";

	if (sched_getaffinity(0, sizeof(p.host), &p.host) != 0)
		return machine_fail_host(e, -errno, "sched_getaffinity");
	conf_foreach(m->conf, "vcpu.", pc_pin, &p);
	if (p.error != 0 || !conf_is_set(m->conf, key))
		return p.error;
	m->opts.pin_base = (int)conf_get_u64(m->conf, key, 0);
	for (int i = 0; i < m->topology.ncpus && p.error == 0; i++) {
		if (m->opts.pin[i] < 0)
			p.error =
			    pc_check_host_cpu(&p, key, m->opts.pin_base + i);
	}
	return p.error;
}

static int
pc_options(struct machine *m, struct machine_err *e)
{
	const struct conf *c = m->conf;

	m->opts = (struct vm_run_opts)VM_RUN_OPTS_DEFAULT;
	m->opts.strict_io = conf_get_bool(c, "x86.strictio");
	m->opts.strict_msr = conf_get_bool(c, "x86.strictmsr");
	m->opts.verbose_msr = conf_get_bool(c, "x86.verbosemsr");
	/* Not by default: the engine's own sleep costs less than an exit. */
	m->opts.hlt_exit = conf_is_set(c, "x86.vmexit_on_hlt") &&
			   conf_get_bool(c, "x86.vmexit_on_hlt");
	m->opts.pause_exit = conf_get_bool(c, "x86.vmexit_on_pause");
	snprintf(m->title, sizeof(m->title), "bhyve: %s", conf_get(c, "name"));
	m->opts.title = m->title;
	return pc_pins(m, e);
}

/* --- chips ------------------------------------------------------------- */

static int
pc_acpi_pm(struct machine *m)
{
	return acpi_pm_create(m->ctx, &m->pm);
}

static int
pc_ports(struct machine *m)
{
	return pcport_create(m->ctx);
}

static int
pc_msrs(struct machine *m)
{
	return xmsr_create(m->ctx);
}

static int
pc_keyboard(struct machine *m)
{
	return i8042_create(m->ctx);
}

static void
pc_char_opened(const char *spec, struct chardev *cd, void *arg)
{
	if (strcmp(spec, "stdio") == 0)
		machine_set_stdio(arg, cd);
}

static int
pc_bus(struct machine *m)
{
	int error = pci_bus_create(m->ctx, &m->pci);

	if (error == 0)
		pci_bus_on_char(m->pci, pc_char_opened, m);
	return error;
}

/* What a PC has beside the platform, in the order of making. */
static const struct {
	const char *name;
	int (*create)(struct machine *);
} pc_parts[] = {
	{ "ACPI power management", pc_acpi_pm },
	{ "reset ports", pc_ports },
	{ "keyboard controller", pc_keyboard },
	{ "model-specific registers", pc_msrs },
	{ "PCI bus", pc_bus },
};

static int
pc_chips(struct machine *m, struct machine_err *e)
{
	const struct vm_platform_opts opts = {
		.x2apic = conf_get_bool(m->conf, "x86.x2apic"),
		.utc = !conf_get_bool(m->conf, "rtc.use_localtime"),
	};
	const char *part;
	int err = vm_platform_create(m->ctx, &opts, &part);

	if (err != 0)
		return machine_fail_host(e, err, "%s", part);
	for (size_t i = 0; i < ARRAY_LEN(pc_parts); i++) {
		int error = pc_parts[i].create(m);

		if (error != 0)
			return machine_fail_host(
			    e, error, "%s", pc_parts[i].name);
	}
	return 0;
}

/* --- devices ----------------------------------------------------------- */

/* A file, an address, a name that does not fit is the user's; else the host's.
 */
static bool
pc_is_user_error(int error)
{
	return error == -EINVAL || error == -ENOENT || error == -ENOTDIR ||
	       error == -EBUSY || error == -ENOTTY || error == -EEXIST;
}

/* The line that another room left in `why`. */
static int
pc_fail(struct machine_err *e, int error, const char *key, const char *why)
{
	(void)machine_fail_user(e, key, "%s", why);
	e->user = pc_is_user_error(error);
	return error;
}

struct pc_slots {
	struct machine *m;
	struct machine_err *e;
};

static int
pc_device(const struct machine_pci_slot *s, void *arg)
{
	struct pc_slots *ps = arg;
	struct machine *m = ps->m;
	const struct pci_dev_ops *ops = pci_dev_find(s->device);
	char key[64], why[400] = "";
	int error;

	snprintf(
	    key, sizeof(key), "pci.%u.%u.%u.device", s->bus, s->slot, s->func);
	error = pci_dev_create(
	    m->pci, ops, m->conf, s->bus, s->slot, s->func, why, sizeof(why));
	if (error != 0) {
		machine_set_stdio(m, NULL); /* it may have been this one's */
		return pc_fail(ps->e, error, key, why);
	}
	if (strcmp(ops->name, "lpc") == 0) {
		m->has_lpc = true;
		m->lpc_slot = (uint8_t)s->slot;
		m->lpc_func = (uint8_t)s->func;
	}
	return 0;
}

/* The host's end of a serial port; stdio becomes the machine's terminal. */
static int
pc_open_char(struct machine *m, const char *key, const char *spec,
    struct chardev **ret_cd, struct machine_err *e)
{
	char why[400] = "";
	int error = char_open(spec, ret_cd, why, sizeof(why));

	if (error != 0)
		return pc_fail(e, error, key, why);
	if (strcmp(spec, "stdio") == 0)
		machine_set_stdio(m, *ret_cd);
	return 0;
}

static const struct {
	const char *name;
	uint16_t port;
	uint8_t gsi;
	bool always; /* with an LPC bridge, as in bhyve */
} pc_com_table[MACHINE_NCOM] = {
	{ "com1", 0x3f8, 4, true },
	{ "com2", 0x2f8, 3, true },
	{ "com3", 0x3e8, 4, false },
	{ "com4", 0x2e8, 3, false },
};

static int
pc_com(struct machine *m, unsigned int unit, struct machine_err *e)
{
	const char *key = machine_com_key(unit);
	const char *spec = conf_get(m->conf, key);
	struct chardev *cd = NULL;
	int error;

	if (spec == NULL && !pc_com_table[unit].always)
		return 0;
	if (spec != NULL) {
		error = pc_open_char(m, key, spec, &cd, e);
		if (error != 0)
			return error;
	}
	error = comport_create(m->ctx, pc_com_table[unit].name,
	    pc_com_table[unit].port, pc_com_table[unit].gsi, cd);
	if (error != 0) {
		machine_set_stdio(m, NULL);
		char_close(cd);
		return machine_fail_host(
		    e, error, "serial port %s", pc_com_table[unit].name);
	}
	m->com[unit] = true;
	return 0;
}

static int
pc_bvmcons(struct machine *m, struct machine_err *e)
{
	struct chardev *cd;
	int error;

	if (!conf_get_bool(m->conf, "bvmcons"))
		return 0;
	error = pc_open_char(m, "bvmcons", "stdio", &cd, e);
	if (error != 0)
		return error;
	error = bvmcons_create(m->ctx, cd);
	if (error != 0) {
		machine_set_stdio(m, NULL);
		char_close(cd);
		return machine_fail_host(e, error, "bvmcons");
	}
	return 0;
}

static int
pc_bvmdbg(struct machine *m, struct machine_err *e)
{
	const char *addr = conf_get(m->conf, "bvmdbg.address");
	unsigned int port =
	    (unsigned int)conf_get_u64(m->conf, "bvmdbg.port", 0);
	int error;

	if (port == 0)
		return 0;
	error = bvmdbg_create(m->ctx, addr, (uint16_t)port);
	if (error == -EINVAL)
		return machine_fail_user(e, "bvmdbg.address",
		    "right is an address of this host, such as 127.0.0.1, "
		    "not \"%s\"",
		    addr);
	if (error != 0)
		return machine_fail_host(
		    e, error, "bvmdbg: listening on %s:%u", addr, port);
	return 0;
}

static int
pc_devices(struct machine *m, struct machine_err *e)
{
	struct pc_slots ps = { .m = m, .e = e };
	int error = machine_foreach_slot(m->conf, pc_device, &ps);

	for (unsigned int i = 0; error == 0 && m->has_lpc && i < MACHINE_NCOM;
	     i++)
		error = pc_com(m, i, e);
	if (error == 0)
		error = pc_bvmcons(m, e);
	if (error == 0)
		error = pc_bvmdbg(m, e);
	return error;
}

/* --- debugger ---------------------------------------------------------- */

static int
pc_gdb(struct machine *m, struct machine_err *e)
{
	const char *addr = conf_get(m->conf, "gdb.address");
	unsigned int port = (unsigned int)conf_get_u64(m->conf, "gdb.port", 0);
	bool wait = conf_get_bool(m->conf, "gdb.wait");
	char why[400] = "";
	int error;

	if (port == 0)
		return 0;
	error = gdb_create(
	    m->ctx, addr, (uint16_t)port, wait, &m->gdb, why, sizeof(why));
	if (error != 0)
		return pc_fail(e, error, "gdb.port", why);
	log_info("gdb: listening on %s:%u%s; in gdb: target remote %s:%u", addr,
	    port, wait ? ", the guest waits" : "", addr, port);
	return 0;
}

/* --- all of it --------------------------------------------------------- */

static int
pc_build(struct machine *m, struct machine_err *e)
{
	const char *name = conf_get(m->conf, "name");
	int error;

	error = machine_topology(e, &m->topology);
	if (error == 0)
		error = pc_options(m, e);
	if (error == 0)
		error = machine_check_files(e);
	if (error == 0)
		error = pc_engine(m, e);
	if (error != 0)
		return error;
	machine_guard_terminal();
	error = vm_new(name, m->engine, &m->ctx);
	if (error != 0)
		return machine_fail_host(
		    e, error, "machine %s, engine %s", name, m->engine->name);
	error = machine_console_init(m, e);
	if (error == 0)
		error = pc_cpus(m, e);
	if (error == 0)
		error = pc_memory(m, e);
	if (error == 0)
		error = pc_chips(m, e);
	if (error == 0)
		error = pc_devices(m, e);
	if (error == 0)
		error = machine_load(m, e);
	if (error == 0)
		error = pc_gdb(m, e);
	return error;
}

/* Software looks at functions 1 to 7 where there is a 0 (PCI 3.0, 3.2.2.3.4).
 */
static int
pc_warn_func0(const struct machine_pci_slot *s, void *arg)
{
	const struct machine *m = arg;
	char func0[64], key[64];

	snprintf(func0, sizeof(func0), "pci.%u.%u.0.device", s->bus, s->slot);
	snprintf(
	    key, sizeof(key), "pci.%u.%u.%u.device", s->bus, s->slot, s->func);
	if (!conf_is_set(m->conf, func0))
		log_warn("%s: guests will not look for it: there is no "
			 "function 0 in its slot",
		    conf_origin(m->conf, key));
	return 0;
}

int
machine_create(const struct conf *conf, struct machine **ret_m,
    bool *ret_user_error, char *err, size_t err_len)
{
	struct machine_err e = { .conf = conf, .buf = err, .len = err_len };
	struct machine *m;
	int error;

	*ret_user_error = true;
	error = machine_check(conf, err, err_len);
	if (error != 0)
		return error;
	m = xcalloc(1, sizeof(*m));
	m->conf = conf;
	lock_init(&m->status_lock);
	error = pc_build(m, &e);
	if (error != 0) {
		machine_destroy(m);
		*ret_user_error = e.user;
		return error;
	}
	(void)machine_foreach_slot(conf, pc_warn_func0, m);
	*ret_m = m;
	return 0;
}

void
machine_destroy(struct machine *m)
{
	if (m == NULL)
		return;
	machine_console_fini(m);
	gdb_destroy(m->gdb, MACHINE_STATUS_ERROR);
	if (m->ctx != NULL)
		vm_close(m->ctx);
	lock_fini(&m->status_lock);
	free(m);
}
