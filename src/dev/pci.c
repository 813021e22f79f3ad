/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci.c - the table of PCI functions and the life of device models.
 *
 * There are no bridges: all 256 buses are roots (docs/bhyve.md 1.3).  The rest
 * of the core: pci_cfg.c (configuration space), pci_bar.c, pci_msi.c,
 * pci_intx.c, pci_dma.c, pci_boot.c (addresses and IRQs at reset), pci_opt.c.
 *
 * The table is written while the machine is built and constant afterwards.
 */
#include "pci_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <backend/char.h>
#include <conf/conf.h>
#include <vmm/chip.h>
#include <vmm/snap.h>

/* --- the table ------------------------------------------------------------ */

struct pci_dev *
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

void
pci_bus_foreach(
    struct pci_bus *bus, void (*fn)(struct pci_dev *, void *arg), void *arg)
{
	for (unsigned int b = 0; b < PCI_NBUSES; b++)
		for (unsigned int i = 0;
		     bus->dev[b] != NULL && i < PCI_NSLOTS * PCI_NFUNCS; i++)
			if (bus->dev[b][i] != NULL)
				fn(bus->dev[b][i], arg);
}

struct pci_model_search {
	const struct pci_dev_ops *ops;
	bool found;
};

static void
pci_compare_model(struct pci_dev *pd, void *arg)
{
	struct pci_model_search *m = arg;

	m->found |= pd->ops == m->ops;
}

static bool
pci_bus_has_model(struct pci_bus *bus, const struct pci_dev_ops *ops)
{
	struct pci_model_search m = { .ops = ops };

	pci_bus_foreach(bus, pci_compare_model, &m);
	return m.found;
}

/* --- the bus -------------------------------------------------------------- */

static void
pci_bus_reset(void *arg)
{
	struct pci_bus *bus = arg;

	bus->addr = 0;
	pci_pirq_reset(bus);
}

static void
pci_bus_snapshot(void *arg, struct snap *s)
{
	struct pci_bus *bus = arg;
	uint32_t addr = bus->addr;

	if (snap_bytes(s, "pci_addr", &addr, sizeof(addr)) != 0)
		return;
	if (snap_loading(s))
		bus->addr = addr & PCI_CFG_ADDR_KEPT;
	pci_pirq_snapshot(bus, s);
}

static void
pci_bus_free(struct pci_bus *bus)
{
	for (unsigned int i = 0; i < PCI_NBUSES; i++)
		free(bus->dev[i]);
	pci_pirq_fini(bus);
	lock_fini(&bus->bar_lock);
	lock_fini(&bus->lock);
	free(bus);
}

static void
pci_bus_fini(void *arg)
{
	struct pci_bus *bus = arg;

	pci_cfg_unregister(bus);
	pci_bus_free(bus);
}

static const struct chip_ops pci_bus_ops = {
	.name = "pci",
	.reset = pci_bus_reset,
	.snapshot = pci_bus_snapshot,
	.fini = pci_bus_fini,
};

int
pci_bus_create(struct vmctx *ctx, struct pci_bus **ret_bus)
{
	struct pci_bus *bus = xcalloc(1, sizeof(*bus));
	int error;

	bus->ctx = ctx;
	lock_init(&bus->lock);
	lock_init(&bus->bar_lock);
	pci_pirq_init(bus);
	error = pci_cfg_register(bus);
	if (error != 0) {
		pci_bus_free(bus);
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
	pd->intx_level = false;
	pci_msi_reset_locked(pd);
	pci_dev_changed_locked(pd);
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

/* The parts of the core; false: the stream does not fit. */
static bool
pci_dev_snapshot_core(struct pci_dev *pd, struct snap *s)
{
	uint8_t cfg[PCI_CFG_BYTES], level = pd->intx_level;

	memcpy(cfg, pd->cfg, sizeof(cfg));
	if (snap_bytes(s, pd->node, cfg, sizeof(cfg)) != 0)
		return false;
	if (snap_loading(s))
		pci_dev_cfg_load(pd, s, cfg);
	if (snap_bytes(s, "intx", &level, sizeof(level)) == 0 &&
	    level > (pd->pin != 0))
		snap_fail(s);
	pci_msi_snapshot_locked(pd, s);
	if (snap_error(s) != 0)
		return false;
	pd->intx_level = level;
	return true;
}

static void
pci_dev_snapshot(void *arg, struct snap *s)
{
	struct pci_dev *pd = arg;

	if (pci_dev_snapshot_core(pd, s) && pd->ops->snapshot != NULL)
		pd->ops->snapshot(pd, s);
	if (snap_loading(s))
		pci_dev_changed_locked(pd);
}

static void
pci_dev_free(struct pci_dev *pd)
{
	pci_msi_fini(pd);
	lock_fini(&pd->lock);
	free(pd->state);
	free(pd);
}

static void
pci_dev_fini(void *arg)
{
	struct pci_dev *pd = arg;

	pci_bus_put(pd->bus, pd, NULL);
	pci_bells_free(pd);
	if (pd->ops->fini != NULL)
		pd->ops->fini(pd);
	lock_acquire(&pd->lock);
	pci_bar_release_locked(pd);
	pci_intx_set(pd, false);
	lock_release(&pd->lock);
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

/* --- checks before a device is made --------------------------------------- */

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
pci_dev_check(const struct pci_dev *pd, char *err, size_t err_len)
{
	int error = pci_check_slot(pd, err, err_len);

	return error != 0 ? error : pci_check_opts(pd, err, err_len);
}

static int
pci_dev_init(struct pci_dev *pd, char *err, size_t err_len)
{
	int error = 0;

	pci_cfg_init(pd);
	if (pd->ops->init != NULL) {
		lock_acquire(&pd->lock);
		error = pd->ops->init(pd, err, err_len);
		lock_release(&pd->lock);
	}
	memcpy(pd->cfg_reset, pd->cfg, sizeof(pd->cfg));
	return error;
}

/* Into the table, with an address for every BAR. */
static int
pci_dev_place(struct pci_dev *pd, char *err, size_t err_len)
{
	const struct pci_bar *full;
	int error, again;

	pci_bus_put(pd->bus, pd, pd);
	error = pci_boot_assign(pd->bus, &full);
	if (error == 0)
		return 0;
	snprintf(err, err_len,
	    "pci slot %u:%u:%u: no room for BAR %u of %s, 0x%llx bytes",
	    full->pd->busno, full->pd->slot, full->pd->func, full->index,
	    full->pd->ops->name, (unsigned long long)full->size);
	pci_bus_put(pd->bus, pd, NULL);
	again = pci_boot_assign(pd->bus, &full);
	assert(again == 0); /* the others fitted before */
	return error;
}

static struct pci_dev *
pci_dev_alloc(struct pci_bus *bus, const struct pci_dev_ops *ops,
    const struct conf *conf, unsigned int busno, unsigned int slot,
    unsigned int func)
{
	struct pci_dev *pd = xcalloc(1, sizeof(*pd));

	lock_init(&pd->lock);
	pd->ops = ops;
	pd->bus = bus;
	pd->conf = conf;
	pd->busno = busno;
	pd->slot = slot;
	pd->func = func;
	snprintf(pd->node, sizeof(pd->node), "pci.%u.%u.%u", busno % PCI_NBUSES,
	    slot % PCI_NSLOTS, func % PCI_NFUNCS);
	snprintf(pd->title, sizeof(pd->title), "%s %u:%u:%u", ops->name, busno,
	    slot, func);
	for (uint8_t i = 0; i < PCI_NBARS; i++) {
		pd->bar[i].pd = pd;
		pd->bar[i].index = i;
	}
	pd->state = ops->state_size > 0 ? xcalloc(1, ops->state_size) : NULL;
	return pd;
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
	pd = pci_dev_alloc(bus, ops, conf, busno, slot, func);
	error = pci_dev_check(pd, err, err_len);
	if (error != 0) {
		pci_dev_free(pd);
		return error;
	}
	error = pci_dev_init(pd, err, err_len);
	if (error == 0)
		error = pci_dev_place(pd, err, err_len);
	if (error != 0) {
		pci_bells_free(pd);
		if (ops->fini != NULL)
			ops->fini(pd);
		pci_dev_free(pd);
		return error;
	}
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

void
pci_bus_on_char(struct pci_bus *bus,
    void (*fn)(const char *spec, struct chardev *, void *arg), void *arg)
{
	bus->on_char = fn;
	bus->on_char_arg = arg;
}

int
pci_char_open(struct pci_dev *pd, const char *spec, struct chardev **ret_cd,
    char *err, size_t err_len)
{
	struct pci_bus *bus = pd->bus;
	int error = char_open(spec, ret_cd, err, err_len);

	if (error == 0 && bus->on_char != NULL)
		bus->on_char(spec, *ret_cd, bus->on_char_arg);
	return error;
}

struct lock *
pci_dev_mutex(struct pci_dev *pd)
{
	return &pd->lock;
}

void
pci_dev_lock(struct pci_dev *pd)
{
	lock_acquire(&pd->lock);
}

void
pci_dev_unlock(struct pci_dev *pd)
{
	lock_release(&pd->lock);
}

const char *
pci_dev_name(const struct pci_dev *pd)
{
	return pd->title;
}

void
pci_dev_slot_func(
    const struct pci_dev *pd, unsigned int *ret_slot, unsigned int *ret_func)
{
	*ret_slot = pd->slot;
	*ret_func = pd->func;
}
