/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI core: the table of functions, their configuration space, the two
 * ways to it (ports 0xCF8/0xCFC, PCI 3.0 section 3.2.2.3.2, and ECAM, PCI
 * Express 2.1 section 7.2.2) and the life of device models.  Behaviour at the
 * edges is docs/bhyve.md 1.6's.
 *
 * There are no bridges: all 256 buses are roots.  A configuration byte is
 * writable where its mask says so; everything else is read-only.  Missing here
 * because no model needs them yet: BARs, INTx, MSI and MSI-X, extended
 * configuration space beyond the empty list.
 *
 * Accesses come from vCPU threads.  The bus lock guards the address latch and
 * the table, the device's lock its configuration space; they are not nested.
 */
#include <vmm/pci.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <conf/conf.h>
#include <util/lock.h>
#include <util/log.h>
#include <vmm/bus.h>
#include <vmm/chip.h>
#include <vmm/snap.h>

#define PCI_NBUSES   256u
#define PCI_NSLOTS   32u
#define PCI_NFUNCS   8u

#define PCI_CFG_ADDR 0xcf8
#define PCI_CFG_DATA 0xcfc
#define CFG_ADDR_EN  0x80000000u
/* Bits 30:24 read as zero. */
#define CFG_ADDR_KEPT 0x80ffffffu

#define PCI_CFG_BYTES 256u
#define PCI_EXT_CAPS  0x100 /* an empty list there reads as 0 */

/* PCI 3.0 section 6.1, type 0 header. */
#define PCIR_VENDOR	      0x00
#define PCIR_DEVICE	      0x02
#define PCIR_COMMAND	      0x04
#define PCIR_STATUS	      0x06
#define PCIR_REVISION	      0x08
#define PCIR_PROGIF	      0x09
#define PCIR_CLASS	      0x0a
#define PCIR_CACHELINE	      0x0c
#define PCIR_HDRTYPE	      0x0e
#define PCIR_SUBVENDOR	      0x2c
#define PCIR_SUBDEVICE	      0x2e
#define PCIR_CAP_PTR	      0x34
#define PCIR_INTLINE	      0x3c
#define PCIR_DEVICE_DEPENDENT 0x40

#define PCIM_HDRTYPE_MULTI    0x80
#define PCIM_STATUS_CAP_LIST  0x0010
#define PCIM_COMMAND_WRITABLE 0x077f /* docs/bhyve.md 1.6 */

struct pci_dev {
	const struct pci_dev_ops *ops;
	struct pci_bus *bus;
	const struct conf *conf;
	struct lock lock;
	unsigned int busno, slot, func;
	char node[sizeof("pci.255.31.7")];
	unsigned int last_cap; /* offset of the last capability, 0: none */
	unsigned int cap_end;  /* where the next one goes */
	uint8_t cfg[PCI_CFG_BYTES];
	uint8_t writable[PCI_CFG_BYTES];
	uint8_t cfg_reset[PCI_CFG_BYTES]; /* what init left */
	void *state;
};

struct pci_bus {
	struct vmctx *ctx;
	struct lock lock;
	uint32_t addr; /* latch of port 0xCF8 */
	/* [bus] is NULL while the bus has no device; then [slot][func]. */
	struct pci_dev **dev[PCI_NBUSES];
};

/* --- the table ------------------------------------------------------------ */

/* *ret_multi: the slot has a function other than 0. */
static struct pci_dev *
pci_bus_find(struct pci_bus *bus, unsigned int busno, unsigned int slot,
    unsigned int func, bool *ret_multi)
{
	struct pci_dev *pd = NULL;

	*ret_multi = false;
	lock_acquire(&bus->lock);
	if (bus->dev[busno] != NULL) {
		struct pci_dev **devs = bus->dev[busno] + slot * PCI_NFUNCS;

		pd = devs[func];
		for (unsigned int i = 1; i < PCI_NFUNCS; i++)
			*ret_multi |= devs[i] != NULL;
	}
	lock_release(&bus->lock);
	return pd;
}

static void
pci_bus_put(struct pci_bus *bus, const struct pci_dev *at, struct pci_dev *pd)
{
	struct pci_dev ***devs = &bus->dev[at->busno];

	lock_acquire(&bus->lock);
	if (*devs == NULL)
		*devs = xcalloc(PCI_NSLOTS * PCI_NFUNCS, sizeof(**devs));
	(*devs)[at->slot * PCI_NFUNCS + at->func] = pd;
	lock_release(&bus->lock);
}

static bool
pci_bus_has_model(struct pci_bus *bus, const struct pci_dev_ops *ops)
{
	bool found = false;

	lock_acquire(&bus->lock);
	for (unsigned int b = 0; b < PCI_NBUSES; b++)
		for (unsigned int i = 0;
		     bus->dev[b] != NULL && i < PCI_NSLOTS * PCI_NFUNCS; i++)
			found |= bus->dev[b][i] != NULL &&
				 bus->dev[b][i]->ops == ops;
	lock_release(&bus->lock);
	return found;
}

/* --- configuration space -------------------------------------------------- */

static uint32_t
pci_ones(unsigned int bytes)
{
	return bytes >= 4 ? UINT32_MAX : (1u << 8 * bytes) - 1;
}

static uint32_t
pci_dev_cfg_read(
    struct pci_dev *pd, unsigned int off, unsigned int bytes, bool multi)
{
	uint32_t val = 0;

	if (pd->ops->cfg_read != NULL && off >= PCIR_DEVICE_DEPENDENT &&
	    pd->ops->cfg_read(pd, off, bytes, &val))
		return val;
	for (unsigned int i = 0; i < bytes; i++) {
		uint8_t byte = pd->cfg[off + i];

		if (off + i == PCIR_HDRTYPE && multi)
			byte |= PCIM_HDRTYPE_MULTI;
		val |= (uint32_t)byte << 8 * i;
	}
	return val;
}

static void
pci_dev_cfg_write(
    struct pci_dev *pd, unsigned int off, unsigned int bytes, uint32_t val)
{
	if (pd->ops->cfg_write != NULL && off >= PCIR_DEVICE_DEPENDENT &&
	    pd->ops->cfg_write(pd, off, bytes, val))
		return;
	for (unsigned int i = 0; i < bytes; i++) {
		uint8_t mask = pd->writable[off + i];
		uint8_t byte = (uint8_t)(val >> 8 * i);

		pd->cfg[off + i] = (pd->cfg[off + i] & ~mask) | (byte & mask);
	}
}

struct pci_cfg_access {
	unsigned int bus, slot, func, off, bytes;
	bool write;
};

static void
pci_cfg(struct pci_bus *bus, const struct pci_cfg_access *a, uint32_t *val)
{
	struct pci_dev *pd;
	bool multi;

	if (!a->write)
		*val = pci_ones(a->bytes);
	if ((a->bytes != 1 && a->bytes != 2 && a->bytes != 4) ||
	    a->off % a->bytes != 0)
		return;
	pd = pci_bus_find(bus, a->bus, a->slot, a->func, &multi);
	if (pd == NULL)
		return;
	if (a->off >= PCI_CFG_BYTES) {
		if (!a->write && a->off == PCI_EXT_CAPS && a->bytes == 4)
			*val = 0;
		return;
	}
	lock_acquire(&pd->lock);
	if (a->write)
		pci_dev_cfg_write(pd, a->off, a->bytes, *val);
	else
		*val = pci_dev_cfg_read(pd, a->off, a->bytes, multi);
	lock_release(&pd->lock);
}

/* Only as a dword; narrower accesses find nothing there. */
static int
pci_cfg_addr_pio(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct pci_bus *bus = arg;

	if (bytes != 4) {
		if (in)
			*val = UINT32_MAX;
		return 0;
	}
	if (in)
		*val = bus->addr;
	else
		bus->addr = *val & CFG_ADDR_KEPT;
	return 0;
}

static int
pci_cfg_data_pio(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct pci_bus *bus = arg;
	struct pci_cfg_access a = { .bytes = bytes, .write = !in };
	uint32_t addr;

	lock_acquire(&bus->lock);
	addr = bus->addr;
	lock_release(&bus->lock);
	if ((addr & CFG_ADDR_EN) == 0) {
		if (in)
			*val = UINT32_MAX;
		return 0;
	}
	a.bus = addr >> 16 & 0xff;
	a.slot = addr >> 11 & 0x1f;
	a.func = addr >> 8 & 0x7;
	/* The latched offset keeps its low bits. */
	a.off = (addr & 0xff) + (port - PCI_CFG_DATA);
	pci_cfg(bus, &a, val);
	return 0;
}

static int
pci_ecam_mmio(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val, void *arg)
{
	uint32_t off = (uint32_t)(gpa - PCI_ECAM_BASE);
	const struct pci_cfg_access a = {
		.bus = off >> 20 & 0xff,
		.slot = off >> 15 & 0x1f,
		.func = off >> 12 & 0x7,
		.off = off & 0xfff,
		.bytes = bytes,
		.write = write,
	};
	uint32_t v = (uint32_t)*val;

	pci_cfg(arg, &a, &v);
	if (!write)
		*val = bytes > 4 ? UINT64_MAX : v;
	return 0;
}

/* --- the bus -------------------------------------------------------------- */

static void
pci_bus_reset(void *arg)
{
	struct pci_bus *bus = arg;

	bus->addr = 0;
}

static void
pci_bus_snapshot(void *arg, struct snap *s)
{
	struct pci_bus *bus = arg;
	uint32_t addr = bus->addr;

	if (snap_bytes(s, "pci_addr", &addr, sizeof(addr)) == 0 &&
	    snap_loading(s))
		bus->addr = addr & CFG_ADDR_KEPT;
}

static const struct pci_bus_port {
	const char *name;
	uint16_t port;
	uint32_t len;
	pio_fn fn;
	bool locked; /* by the bus core */
} pci_bus_ports[] = {
	/* One port long: 0xCF9 is the reset control's. */
	{ "pci-address", PCI_CFG_ADDR, 1, pci_cfg_addr_pio, true },
	{ "pci-data", PCI_CFG_DATA, 4, pci_cfg_data_pio, false },
};

/* The first `nports` ports are registered. */
static void
pci_bus_free(struct pci_bus *bus, size_t nports)
{
	while (nports-- > 0)
		bus_pio_unregister(bus->ctx, pci_bus_ports[nports].port,
		    pci_bus_ports[nports].len);
	for (unsigned int i = 0; i < PCI_NBUSES; i++)
		free(bus->dev[i]);
	lock_fini(&bus->lock);
	free(bus);
}

static void
pci_bus_fini(void *arg)
{
	struct pci_bus *bus = arg;

	bus_mmio_unregister(bus->ctx, PCI_ECAM_BASE, PCI_ECAM_SIZE);
	pci_bus_free(bus, ARRAY_LEN(pci_bus_ports));
}

static const struct chip_ops pci_bus_ops = {
	.name = "pci",
	.reset = pci_bus_reset,
	.snapshot = pci_bus_snapshot,
	.fini = pci_bus_fini,
};

/* *ret_n: how many ports were registered. */
static int
pci_bus_register(struct pci_bus *bus, size_t *ret_n)
{
	const struct mmio_range ecam = {
		.name = "pci-ecam",
		.base = PCI_ECAM_BASE,
		.len = PCI_ECAM_SIZE,
		.fn = pci_ecam_mmio,
		.arg = bus,
	};

	for (size_t i = 0; i < ARRAY_LEN(pci_bus_ports); i++) {
		const struct pci_bus_port *p = &pci_bus_ports[i];
		const struct pio_range range = {
			.name = p->name,
			.port = p->port,
			.len = p->len,
			.fn = p->fn,
			.arg = bus,
			.lock = p->locked ? &bus->lock : NULL,
		};
		int error = bus_pio_register(bus->ctx, &range);

		*ret_n = i;
		if (error != 0)
			return error;
	}
	*ret_n = ARRAY_LEN(pci_bus_ports);
	return bus_mmio_register(bus->ctx, &ecam);
}

int
pci_bus_create(struct vmctx *ctx, struct pci_bus **ret_bus)
{
	struct pci_bus *bus = xcalloc(1, sizeof(*bus));
	size_t nports;
	int error;

	bus->ctx = ctx;
	lock_init(&bus->lock);
	error = pci_bus_register(bus, &nports);
	if (error != 0) {
		pci_bus_free(bus, nports);
		return error;
	}
	chip_add(ctx, &pci_bus_ops, bus, &bus->lock);
	*ret_bus = bus;
	return 0;
}

/* --- a device's life ------------------------------------------------------ */

static void
pci_dev_reset(void *arg)
{
	struct pci_dev *pd = arg;

	memcpy(pd->cfg, pd->cfg_reset, sizeof(pd->cfg));
	if (pd->ops->reset != NULL)
		pd->ops->reset(pd);
}

static void
pci_dev_pause(void *arg)
{
	struct pci_dev *pd = arg;

	if (pd->ops->pause != NULL)
		pd->ops->pause(pd);
}

static void
pci_dev_resume(void *arg)
{
	struct pci_dev *pd = arg;

	if (pd->ops->resume != NULL)
		pd->ops->resume(pd);
}

/* What the guest cannot write comes from the model, not from the file. */
static void
pci_dev_cfg_load(struct pci_dev *pd, struct snap *s, const uint8_t *cfg)
{
	if (memcmp(cfg, pd->cfg_reset, PCIR_COMMAND) != 0) {
		snap_fail(s); /* another vendor's or another device */
		return;
	}
	for (unsigned int i = 0; i < PCI_CFG_BYTES; i++)
		pd->cfg[i] = (pd->cfg[i] & ~pd->writable[i]) |
			     (cfg[i] & pd->writable[i]);
}

static void
pci_dev_snapshot(void *arg, struct snap *s)
{
	struct pci_dev *pd = arg;
	uint8_t cfg[PCI_CFG_BYTES];

	memcpy(cfg, pd->cfg, sizeof(cfg));
	if (snap_bytes(s, pd->node, cfg, sizeof(cfg)) != 0)
		return;
	if (snap_loading(s))
		pci_dev_cfg_load(pd, s, cfg);
	if (snap_error(s) == 0 && pd->ops->snapshot != NULL)
		pd->ops->snapshot(pd, s);
}

static void
pci_dev_free(struct pci_dev *pd)
{
	lock_fini(&pd->lock);
	free(pd->state);
	free(pd);
}

static void
pci_dev_fini(void *arg)
{
	struct pci_dev *pd = arg;

	pci_bus_put(pd->bus, pd, NULL);
	if (pd->ops->fini != NULL)
		pd->ops->fini(pd);
	pci_dev_free(pd);
}

static const struct chip_ops pci_dev_chip_ops = {
	.name = "pci_dev",
	.reset = pci_dev_reset,
	.pause = pci_dev_pause,
	.resume = pci_dev_resume,
	.snapshot = pci_dev_snapshot,
	.fini = pci_dev_fini,
};

/* The header of a type 0 function. */
static void
pci_dev_init_header(struct pci_dev *pd)
{
	const struct pci_id *id = &pd->ops->id;

	pci_cfg_set16(pd, PCIR_VENDOR, id->vendor);
	pci_cfg_set16(pd, PCIR_DEVICE, id->device);
	pci_cfg_set8(pd, PCIR_REVISION, id->revision);
	pci_cfg_set8(pd, PCIR_PROGIF, (uint8_t)id->class_code);
	pci_cfg_set16(pd, PCIR_CLASS, (uint16_t)(id->class_code >> 8));
	pci_cfg_set16(pd, PCIR_SUBVENDOR, id->subvendor);
	pci_cfg_set16(pd, PCIR_SUBDEVICE, id->subdevice);
	pci_cfg_set8(pd, PCIR_INTLINE, 255);
	pci_cfg_writable(pd, PCIR_COMMAND, PCIM_COMMAND_WRITABLE);
	pci_cfg_writable(pd, PCIR_CACHELINE, 0xffff); /* and latency timer */
	pci_cfg_writable(pd, PCIR_INTLINE, 0xff);
}

/* --- checks before a device is made --------------------------------------- */

struct pci_opt_check {
	const struct pci_dev *pd;
	char *err;
	size_t err_len;
	int error;
};

static const char *
pci_nearest_opt(const struct pci_dev_ops *ops, const char *name)
{
	const char *names[32];
	size_t n = 0;

	while (n < ARRAY_LEN(names) && ops->opts != NULL &&
	       ops->opts[n].name != NULL) {
		names[n] = ops->opts[n].name;
		n++;
	}
	return n > 0 ? nearest_name(name, names, n) : NULL;
}

static bool
pci_opt_known(const struct pci_dev_ops *ops, const char *name)
{
	if (strcmp(name, "device") == 0)
		return true;
	for (const struct pci_opt *o = ops->opts; o != NULL && o->name != NULL;
	     o++)
		if (strcmp(name, o->name) == 0)
			return true;
	return false;
}

static void
pci_check_opt(const char *key, const char *value, void *arg)
{
	struct pci_opt_check *c = arg;
	const struct pci_dev_ops *ops = c->pd->ops;
	size_t node_len = strlen(c->pd->node);
	const char *name = key + node_len + 1, *nearest;

	if (c->error != 0 || strncmp(key, c->pd->node, node_len) != 0 ||
	    key[node_len] != '.' || pci_opt_known(ops, name))
		return;
	c->error = -EINVAL;
	if (ops->opts == NULL || ops->opts[0].name == NULL) {
		snprintf(c->err, c->err_len,
		    "pci slot %u:%u:%u: unknown option '%s': %s takes none",
		    c->pd->busno, c->pd->slot, c->pd->func, name, ops->name);
		return;
	}
	nearest = pci_nearest_opt(ops, name);
	snprintf(c->err, c->err_len,
	    "pci slot %u:%u:%u: unknown option '%s' of %s%s%s%s", c->pd->busno,
	    c->pd->slot, c->pd->func, name, ops->name,
	    nearest != NULL ? "; did you mean '" : "",
	    nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
}

static int
pci_check_opts(const struct pci_dev *pd, char *err, size_t err_len)
{
	struct pci_opt_check c = { .pd = pd, .err = err, .err_len = err_len };

	if (pd->conf != NULL)
		conf_foreach(pd->conf, pd->node, pci_check_opt, &c);
	return c.error;
}

static int
pci_check_slot(const struct pci_dev *pd, char *err, size_t err_len)
{
	const struct pci_dev *there;
	int error = -EINVAL;
	char what[80];
	bool multi;

	there = pci_bus_find(pd->bus, pd->busno, pd->slot, pd->func, &multi);
	if (there != NULL) {
		snprintf(what, sizeof(what), "already occupied by %s",
		    there->ops->name);
		error = -EEXIST;
	} else if (pd->ops->bus0_only && pd->busno != 0) {
		snprintf(
		    what, sizeof(what), "%s must be on bus 0", pd->ops->name);
	} else if (pd->ops->single && pci_bus_has_model(pd->bus, pd->ops)) {
		snprintf(what, sizeof(what), "only one %s is possible",
		    pd->ops->name);
	} else {
		return 0;
	}
	snprintf(err, err_len, "pci slot %u:%u:%u: %s", pd->busno, pd->slot,
	    pd->func, what);
	return error;
}

static int
pci_dev_build(struct pci_dev *pd, char *err, size_t err_len)
{
	int error;

	snprintf(pd->node, sizeof(pd->node), "pci.%u.%u.%u",
	    pd->busno % PCI_NBUSES, pd->slot % PCI_NSLOTS,
	    pd->func % PCI_NFUNCS);
	error = pci_check_slot(pd, err, err_len);
	if (error == 0)
		error = pci_check_opts(pd, err, err_len);
	if (error != 0)
		return error;
	pci_dev_init_header(pd);
	if (pd->ops->init != NULL) {
		lock_acquire(&pd->lock);
		error = pd->ops->init(pd, err, err_len);
		lock_release(&pd->lock);
	}
	if (error != 0 && pd->ops->fini != NULL)
		pd->ops->fini(pd);
	memcpy(pd->cfg_reset, pd->cfg, sizeof(pd->cfg));
	return error;
}

int
pci_dev_create(struct pci_bus *bus, const struct pci_dev_ops *ops,
    const struct conf *conf, unsigned int busno, unsigned int slot,
    unsigned int func, char *err, size_t err_len)
{
	struct pci_dev *pd;
	int error;

	if (busno >= PCI_NBUSES || slot >= PCI_NSLOTS || func >= PCI_NFUNCS) {
		snprintf(err, err_len,
		    "pci slot %u:%u:%u: bus is 0 to 255, slot 0 to 31, "
		    "function 0 to 7",
		    busno, slot, func);
		return -EINVAL;
	}
	pd = xcalloc(1, sizeof(*pd));
	lock_init(&pd->lock);
	pd->ops = ops;
	pd->bus = bus;
	pd->conf = conf;
	pd->busno = busno;
	pd->slot = slot;
	pd->func = func;
	pd->cap_end = PCIR_DEVICE_DEPENDENT;
	pd->state = ops->state_size > 0 ? xcalloc(1, ops->state_size) : NULL;
	error = pci_dev_build(pd, err, err_len);
	if (error != 0) {
		pci_dev_free(pd);
		return error;
	}
	pci_bus_put(bus, pd, pd);
	chip_add(bus->ctx, &pci_dev_chip_ops, pd, &pd->lock);
	return 0;
}

/* --- for models ----------------------------------------------------------- */

void *
pci_dev_state(struct pci_dev *pd)
{
	return pd->state;
}

struct vmctx *
pci_dev_vm(struct pci_dev *pd)
{
	return pd->bus->ctx;
}

struct pci_bus *
pci_dev_bus(struct pci_dev *pd)
{
	return pd->bus;
}

const char *
pci_dev_opt(struct pci_dev *pd, const char *name)
{
	char key[256];

	if (pd->conf == NULL || (size_t)snprintf(key, sizeof(key), "%s.%s",
				    pd->node, name) >= sizeof(key))
		return NULL;
	return conf_get(pd->conf, key);
}

const char *
pci_machine_opt(struct pci_dev *pd, const char *key)
{
	return pd->conf != NULL ? conf_get(pd->conf, key) : NULL;
}

uint8_t
pci_cfg_get8(struct pci_dev *pd, unsigned int off)
{
	return pd->cfg[off];
}

void
pci_cfg_set8(struct pci_dev *pd, unsigned int off, uint8_t val)
{
	pd->cfg[off] = val;
}

void
pci_cfg_set16(struct pci_dev *pd, unsigned int off, uint16_t val)
{
	put_le16(&pd->cfg[off], val);
}

void
pci_cfg_set32(struct pci_dev *pd, unsigned int off, uint32_t val)
{
	put_le32(&pd->cfg[off], val);
}

void
pci_cfg_writable(struct pci_dev *pd, unsigned int off, uint32_t mask)
{
	put_le32(&pd->writable[off], mask);
}

int
pci_cap_add(struct pci_dev *pd, uint8_t id, unsigned int len)
{
	unsigned int off = pd->cap_end;

	if (len < 2 || !range_ok(off, len, PCI_CFG_BYTES))
		return -ENOSPC;
	pd->cfg[off] = id;
	pd->cfg[off + 1] = 0;
	pd->cfg[pd->last_cap != 0 ? pd->last_cap + 1 : PCIR_CAP_PTR] =
	    (uint8_t)off;
	pd->cfg[PCIR_STATUS] |= PCIM_STATUS_CAP_LIST;
	pd->last_cap = off;
	pd->cap_end = ROUND_UP(off + len, 4u);
	return (int)off;
}
