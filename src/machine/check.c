/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check.c - does the tree describe a PC we can build?
 *
 * All that the user can get wrong and that needs no answer from the host is
 * found here, before anything exists.  Rules: docs/bhyve.md 1.3, 1.4, 4.1 and
 * part 6 rows 7, 8, 23, 25, where bhyve let such things pass.
 */
#include "machine_priv.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <conf/conf.h>
#include <vmm/engine.h>
#include <vmm/mem.h>
#include <vmm/pci.h>
#include <vmm/vcpu.h>

static_assert(CONF_MAX_CPUS == VM_MAXCPU, "conf.h and vmmapi.h disagree");

#define MACHINE_PAGE 4096u
/* The tables at 0xF0000 are in RAM; the window for 64-bit BARs is not. */
#define MACHINE_MEM_MIN 0x100000ull
#define MACHINE_MEM_MAX                                                        \
	(GPA_LOWMEM_LIMIT + (0xd000000000ull - GPA_HIGHMEM_BASE))

int
machine_fail_user(struct machine_err *e, const char *key, const char *fmt, ...)
{
	va_list ap;
	int n = 0;

	if (key != NULL)
		n = snprintf(
		    e->buf, e->len, "%.300s: ", conf_origin(e->conf, key));
	va_start(ap, fmt);
	vsnprintf(e->buf + n, e->len - (size_t)n, fmt, ap);
	va_end(ap);
	e->user = true;
	return -EINVAL;
}

int
machine_fail_host(struct machine_err *e, int error, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(e->buf, e->len, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < e->len)
		snprintf(
		    e->buf + n, e->len - (size_t)n, ": %s", strerror(-error));
	e->user = false;
	return error;
}

/* --- devices that are known but not here ------------------------------- */

static const struct {
	const char *name, *summary;
} check_later[] = {
	{ "ahci", "SATA controller" },
	{ "ahci-cd", "SATA controller with a CD-ROM drive" },
	{ "ahci-hd", "SATA controller with a disk" },
	{ "e1000", "Intel 82545 network card" },
	{ "fbuf", "frame buffer, seen through VNC" },
	{ "hda", "sound card" },
	{ "nvme", "NVMe disk" },
	{ "passthru", "a PCI device of the host" },
	{ "virtio-9p", "shared directory" },
	{ "virtio-blk", "virtio disk" },
	{ "virtio-input", "virtio keyboard or mouse" },
	{ "virtio-scsi", "virtio SCSI controller" },
	{ "xhci", "USB controller" },
};

bool
machine_device_is_later(const char *name)
{
	if (pci_dev_find(name) != NULL)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(check_later); i++) {
		if (strcmp(check_later[i].name, name) == 0)
			return true;
	}
	return false;
}

void
machine_foreach_device(
    void (*fn)(const char *name, const char *summary, bool later, void *arg),
    void *arg)
{
	for (size_t i = 0; i < pci_dev_table_len; i++)
		fn(pci_dev_table[i]->name, pci_dev_table[i]->summary, false,
		    arg);
	for (size_t i = 0; i < ARRAY_LEN(check_later); i++) {
		if (machine_device_is_later(check_later[i].name))
			fn(check_later[i].name, check_later[i].summary, true,
			    arg);
	}
}

struct check_names {
	const char *name[64];
	size_t n;
};

static void
check_collect_name(const char *name, const char *summary, bool later, void *arg)
{
	struct check_names *names = arg;

	if (names->n < ARRAY_LEN(names->name))
		names->name[names->n++] = name;
}

const char *
machine_nearest_device(const char *name)
{
	struct check_names names = { .n = 0 };

	machine_foreach_device(check_collect_name, &names);
	return nearest_name(name, names.name, names.n);
}

/* --- slots ------------------------------------------------------------- */

struct check_slot_walk {
	int (*fn)(const struct machine_pci_slot *, void *arg);
	void *arg;
	int error;
};

static void
check_slot_key(const char *key, const char *value, void *arg)
{
	struct check_slot_walk *w = arg;
	struct machine_pci_slot s;
	struct conf_pci_key k;

	if (w->error != 0 || !conf_parse_pci_key(key, &k) ||
	    strcmp(k.rest, "device") != 0)
		return;
	s = (struct machine_pci_slot){ k.bus, k.slot, k.func, value };
	w->error = w->fn(&s, w->arg);
}

int
machine_foreach_slot(const struct conf *c,
    int (*fn)(const struct machine_pci_slot *, void *arg), void *arg)
{
	struct check_slot_walk w = { .fn = fn, .arg = arg };

	conf_foreach(c, "pci.", check_slot_key, &w);
	return w.error;
}

static int
check_unknown_device(struct machine_err *e, const char *key, const char *name)
{
	const char *near = machine_nearest_device(name);

	if (machine_device_is_later(name))
		return machine_fail_user(
		    e, key, "%s is not built in yet", name);
	if (near != NULL)
		return machine_fail_user(e, key,
		    "no such device \"%.64s\"; the nearest is %s", name, near);
	return machine_fail_user(
	    e, key, "no such device \"%.64s\"; `-s help' lists them", name);
}

struct check_slots {
	struct machine_err *e;
	char *seen; /* of each in pci_dev_table: the key that has it, or "" */
	bool has_lpc;
};
#define CHECK_KEY_LEN 40

static int
check_slot(const struct machine_pci_slot *s, void *arg)
{
	struct check_slots *cs = arg;
	const struct pci_dev_ops *ops = pci_dev_find(s->device);
	char key[CHECK_KEY_LEN];
	char *seen = NULL;

	snprintf(
	    key, sizeof(key), "pci.%u.%u.%u.device", s->bus, s->slot, s->func);
	if (ops == NULL)
		return check_unknown_device(cs->e, key, s->device);
	for (size_t i = 0; i < pci_dev_table_len; i++) {
		if (pci_dev_table[i] == ops)
			seen = cs->seen + i * CHECK_KEY_LEN;
	}
	if (ops->bus0_only && s->bus != 0)
		return machine_fail_user(
		    cs->e, key, "%s is possible on bus 0 only", ops->name);
	if (ops->single && seen != NULL && *seen != '\0')
		return machine_fail_user(cs->e, key,
		    "there is one %s already (%s)", ops->name,
		    conf_origin(cs->e->conf, seen));
	if (seen != NULL)
		memcpy(seen, key, sizeof(key));
	cs->has_lpc |= strcmp(ops->name, "lpc") == 0;
	return 0;
}

static int
check_slots(struct machine_err *e, bool *ret_has_lpc)
{
	struct check_slots cs = {
		.e = e,
		.seen = xcalloc(pci_dev_table_len + 1, CHECK_KEY_LEN),
	};
	int error = machine_foreach_slot(e->conf, check_slot, &cs);

	free(cs.seen);
	*ret_has_lpc = cs.has_lpc;
	return error;
}

/* --- settings below a slot --------------------------------------------- */

static int
check_no_setting(struct machine_err *e, const char *key,
    const struct pci_dev_ops *ops, const char *name)
{
	char takes[300] = "";
	size_t n = 0;

	for (const struct pci_opt *o = ops->opts; o != NULL && o->name != NULL;
	     o++) {
		n += (size_t)snprintf(takes + n, sizeof(takes) - n, "%s%s",
		    n == 0 ? "" : ", ", o->name);
		if (n >= sizeof(takes))
			break;
	}
	if (n == 0)
		return machine_fail_user(
		    e, key, "%s takes no settings", ops->name);
	return machine_fail_user(e, key,
	    "%s has no setting \"%.64s\"; it takes %s", ops->name, name, takes);
}

struct check_settings {
	struct machine_err *e;
	int error;
};

static void
check_setting(const char *key, const char *value, void *arg)
{
	struct check_settings *cs = arg;
	const struct pci_dev_ops *ops;
	struct conf_pci_key k;
	char device[CHECK_KEY_LEN];
	const char *name;

	if (cs->error != 0 || !conf_parse_pci_key(key, &k) ||
	    strcmp(k.rest, "device") == 0)
		return;
	snprintf(device, sizeof(device), "pci.%u.%u.%u.device", k.bus, k.slot,
	    k.func);
	name = conf_get(cs->e->conf, device);
	if (name == NULL) {
		cs->error = machine_fail_user(
		    cs->e, key, "no device is there; %s is not set", device);
		return;
	}
	ops = pci_dev_find(name);
	if (!pci_opt_known(ops, k.rest))
		cs->error = check_no_setting(cs->e, key, ops, k.rest);
}

static int
check_settings(struct machine_err *e)
{
	struct check_settings cs = { .e = e };

	conf_foreach(e->conf, "pci.", check_setting, &cs);
	return cs.error;
}

/* --- serial ports ------------------------------------------------------ */

const char *
machine_com_key(unsigned int unit)
{
	static const char *const keys[MACHINE_NCOM] = { "lpc.com1.path",
		"lpc.com2.path", "lpc.com3.path", "lpc.com4.path" };

	return keys[unit];
}

/* Who has the terminal; there is only one. */
struct check_stdio {
	struct machine_err *e;
	char first[256]; /* key, or "" */
	int error;
};

static void
check_stdio_user(struct check_stdio *s, const char *key)
{
	if (s->error != 0)
		return;
	if (s->first[0] != '\0')
		s->error = machine_fail_user(s->e, key,
		    "stdio is taken by %s; only one can have it",
		    conf_origin(s->e->conf, s->first));
	else
		snprintf(s->first, sizeof(s->first), "%s", key);
}

static void
check_stdio_key(const char *key, const char *value, void *arg)
{
	size_t len = strlen(key);

	if (len > 5 && strcmp(key + len - 5, ".path") == 0 &&
	    strcmp(value, "stdio") == 0)
		check_stdio_user(arg, key);
}

static int
check_terminals(struct machine_err *e, bool has_lpc)
{
	struct check_stdio s = { .e = e };

	for (unsigned int i = 0; i < MACHINE_NCOM; i++) {
		const char *key = machine_com_key(i);

		if (conf_is_set(e->conf, key) && !has_lpc)
			return machine_fail_user(e, key,
			    "there is no LPC bridge for it; add -s 31,lpc");
	}
	conf_foreach(e->conf, "lpc.", check_stdio_key, &s);
	conf_foreach(e->conf, "pci.", check_stdio_key, &s);
	if (conf_get_bool(e->conf, "bvmcons"))
		check_stdio_user(&s, "bvmcons");
	return s.error;
}

/* --- processors, memory, name, engine ---------------------------------- */

/* The key whose origin names what the user typed about processors. */
static const char *
check_topology_key(const struct conf *c)
{
	static const char *const keys[] = { "cpus", "sockets", "cores",
		"threads" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (conf_is_set(c, keys[i]))
			return keys[i];
	}
	return "cpus";
}

int
machine_topology(struct machine_err *e, struct vm_topology *ret)
{
	const struct conf *c = e->conf;
	const char *blame = check_topology_key(c);
	/* Each is at most VM_MAXCPU: no product overflows. */
	uint64_t cores = conf_get_u64(c, "cores", 1);
	uint64_t threads = conf_get_u64(c, "threads", 1);
	uint64_t sockets = conf_get_u64(c, "sockets", 1);
	uint64_t cpus = conf_get_u64(c, "cpus", 1);

	if (!conf_is_set(c, "cpus"))
		cpus = sockets * cores * threads;
	else if (!conf_is_set(c, "sockets"))
		sockets = cpus / (cores * threads);
	if (cpus > VM_MAXCPU)
		return machine_fail_user(e, blame,
		    "%" PRIu64 " virtual CPUs; at most %d are possible", cpus,
		    VM_MAXCPU);
	if (sockets * cores * threads != cpus && conf_is_set(c, "sockets"))
		return machine_fail_user(e, blame,
		    "sockets x cores x threads must be the number of CPUs, "
		    "and %" PRIu64 " x %" PRIu64 " x %" PRIu64
		    " is not %" PRIu64,
		    sockets, cores, threads, cpus);
	if (sockets * cores * threads != cpus)
		return machine_fail_user(e, blame,
		    "the number of CPUs must be a multiple of cores x "
		    "threads, and %" PRIu64 " is none of %" PRIu64
		    " x %" PRIu64,
		    cpus, cores, threads);
	*ret = (struct vm_topology){
		.ncpus = (uint16_t)cpus,
		.sockets = (uint16_t)sockets,
		.cores = (uint16_t)cores,
		.threads = (uint16_t)threads,
	};
	return 0;
}

uint64_t
machine_memory_size(const struct conf *c)
{
	uint64_t size = conf_get_u64(c, "memory.size", 0);

	return size > MACHINE_MEM_MAX ? size
				      : ROUND_UP(size, (uint64_t)MACHINE_PAGE);
}

static int
check_memory(struct machine_err *e)
{
	uint64_t size = machine_memory_size(e->conf);

	if (size < MACHINE_MEM_MIN)
		return machine_fail_user(e, "memory.size",
		    "too little memory; at least 1M is needed");
	if (size > MACHINE_MEM_MAX)
		return machine_fail_user(e, "memory.size",
		    "too much memory; at most %lluG are possible",
		    MACHINE_MEM_MAX >> 30);
	return 0;
}

static int
check_code_cache(struct machine_err *e)
{
	uint64_t size = conf_get_u64(e->conf, "soft.code_cache", 0);

	if (size < VM_CODE_CACHE_MIN || size > VM_CODE_CACHE_MAX)
		return machine_fail_user(e, "soft.code_cache",
		    "expected a size from %uK to %uM", VM_CODE_CACHE_MIN >> 10,
		    VM_CODE_CACHE_MAX >> 20);
	return 0;
}

static bool
check_name_ok(const char *name)
{
	for (const char *s = name; *s != '\0'; s++) {
		if (!isprint((unsigned char)*s) || *s == '/')
			return false;
	}
	return *name != '\0' && strlen(name) <= VM_MAX_NAMELEN &&
	       strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int
check_name(struct machine_err *e)
{
	const char *name = conf_get(e->conf, "name");

	if (name == NULL)
		return machine_fail_user(e, NULL,
		    "the machine's name is missing; it is the last word: "
		    "bhyve [option ...] NAME");
	if (!check_name_ok(name))
		return machine_fail_user(e, "name",
		    "the name of a machine has 1 to %d printable "
		    "characters and no /",
		    VM_MAX_NAMELEN);
	return 0;
}

static int
check_engine(struct machine_err *e)
{
	static const char *const names[] = { "auto", "kvm", "soft" };
	const char *engine = conf_get(e->conf, "engine");

	if (strcmp(engine, "auto") == 0)
		return 0;
	for (size_t i = 0; i < vm_engine_table_len; i++) {
		if (strcmp(vm_engine_table[i]->name, engine) == 0)
			return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], engine) == 0)
			return machine_fail_user(e, "engine",
			    "the engine %s is not built in yet", engine);
	}
	return machine_fail_user(e, "engine",
	    "no such engine \"%.64s\"; right is auto, kvm or soft", engine);
}

struct check_pins {
	struct machine_err *e;
	unsigned int ncpus;
	int error;
};

static void
check_pin(const char *key, const char *value, void *arg)
{
	struct check_pins *p = arg;
	const char *number = key + strlen("vcpu.");
	size_t digits = strspn(number, "0123456789");
	unsigned long id;

	if (p->error != 0 || strcmp(key, "vcpu.pin_base") == 0)
		return;
	id = digits > 0 && digits < 4 ? strtoul(number, NULL, 10) : ULONG_MAX;
	if (number[digits] != '.' || (number[0] == '0' && digits > 1) ||
	    id >= p->ncpus)
		p->error = machine_fail_user(p->e, key,
		    "no such virtual CPU; there are 0 to %u", p->ncpus - 1);
}

int
machine_check(const struct conf *c, char *err, size_t err_len)
{
	struct machine_err e = { .conf = c, .buf = err, .len = err_len };
	struct check_pins pins = { .e = &e };
	struct vm_topology t;
	bool has_lpc;

	if (check_name(&e) != 0 || machine_topology(&e, &t) != 0 ||
	    check_memory(&e) != 0 || check_code_cache(&e) != 0 ||
	    check_engine(&e) != 0 || check_slots(&e, &has_lpc) != 0 ||
	    check_settings(&e) != 0 || check_terminals(&e, has_lpc) != 0)
		return -EINVAL;
	pins.ncpus = t.ncpus;
	conf_foreach(c, "vcpu.", check_pin, &pins);
	return pins.error;
}
