/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI core as a model sees it (see fake_pci.h).  One thread.
 */
#include "fake_pci.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The last machine's memory, cleared: fuzz targets make a machine an input, and
 * a new megabyte each time is most of what they would do.
 */
static uint8_t *spare_mem;

static uint8_t *
mem_new(void)
{
	uint8_t *mem = spare_mem;

	spare_mem = NULL;
	return mem != NULL ? mem : xcalloc(1, FAKE_PCI_MEM);
}

static void
mem_free(uint8_t *mem)
{
	if (spare_mem != NULL) {
		free(mem);
		return;
	}
	memset(mem, 0, FAKE_PCI_MEM);
	spare_mem = mem;
}

struct pci_dev *
fake_pci_create(const struct pci_dev_ops *ops, const struct fake_pci_opt *opts,
    char *err, size_t err_len)
{
	struct pci_dev *pd = xcalloc(1, sizeof(*pd));
	int error;

	pd->ops = ops;
	pd->opts = opts;
	pd->state = xcalloc(1, ops->state_size);
	pd->mem = mem_new();
	pd->master = true;
	pd->locked = true;
	error = ops->init(pd, err, err_len);
	pd->locked = false;
	if (error == 0)
		return pd;
	fake_pci_destroy(pd);
	return NULL;
}

void
fake_pci_destroy(struct pci_dev *pd)
{
	pd->ops->fini(pd);
	mem_free(pd->mem);
	free(pd->state);
	free(pd);
}

uint32_t
fake_pci_read(struct pci_dev *pd, uint64_t off, unsigned int bytes)
{
	uint32_t val;

	pci_dev_lock(pd);
	val = pd->ops->bar_read(pd, pd->bar, off, bytes);
	pci_dev_unlock(pd);
	return val;
}

void
fake_pci_write(
    struct pci_dev *pd, uint64_t off, unsigned int bytes, uint32_t val)
{
	pci_dev_lock(pd);
	pd->ops->bar_write(pd, pd->bar, off, bytes, val);
	pci_dev_unlock(pd);
}

void
fake_pci_call(struct pci_dev *pd, void (*fn)(struct pci_dev *))
{
	pci_dev_lock(pd);
	fn(pd);
	pci_dev_unlock(pd);
}

void
fake_pci_snapshot(struct pci_dev *pd, struct snap *s)
{
	pci_dev_lock(pd);
	pd->ops->snapshot(pd, s);
	pci_dev_unlock(pd);
}

/* --- vmm/pci.h ------------------------------------------------------------ */

void *
pci_dev_state(struct pci_dev *pd)
{
	return pd->state;
}

const char *
pci_dev_name(const struct pci_dev *pd)
{
	return pd->ops->name;
}

const char *
pci_dev_opt(struct pci_dev *pd, const char *name)
{
	for (const struct fake_pci_opt *o = pd->opts;
	     o != NULL && o->name != NULL; o++)
		if (strcmp(o->name, name) == 0)
			return o->value;
	return NULL;
}

void
pci_dev_lock(struct pci_dev *pd)
{
	assert(!pd->locked);
	pd->locked = true;
}

void
pci_dev_unlock(struct pci_dev *pd)
{
	assert(pd->locked);
	pd->locked = false;
}

int
pci_bar_add(
    struct pci_dev *pd, unsigned int bar, enum pci_bar_kind kind, uint64_t size)
{
	pd->bar = bar;
	pd->bar_bytes = size;
	return 0;
}

int
pci_msi_add(struct pci_dev *pd, unsigned int nvec)
{
	return 0;
}

int
pci_intx_add(struct pci_dev *pd)
{
	return 0;
}

unsigned int
pci_msi_enabled(const struct pci_dev *pd)
{
	return pd->msi_enabled;
}

void
pci_msi_raise(struct pci_dev *pd, unsigned int vec)
{
	assert(pd->locked);
	pd->msis++;
}

void
pci_intx_set(struct pci_dev *pd, bool level)
{
	assert(pd->locked);
	pd->intx = level;
}

bool
pci_bus_master(const struct pci_dev *pd)
{
	return pd->master;
}

void *
pci_dma_map(struct pci_dev *pd, uint64_t gpa, size_t len)
{
	assert(pd->locked && len > 0);
	if (!pd->master || !range_ok(gpa, len, FAKE_PCI_MEM))
		return NULL;
	return pd->mem + gpa;
}

void
pci_dma_written(struct pci_dev *pd, const void *hva, size_t len)
{
	const uint8_t *p = hva;

	assert(pd->locked);
	assert(p >= pd->mem &&
	       range_ok((uint64_t)(p - pd->mem), len, FAKE_PCI_MEM));
	pd->written += len;
}

bool
pci_dma_read(struct pci_dev *pd, uint64_t gpa, void *dst, size_t len)
{
	const void *src = pci_dma_map(pd, gpa, len);

	if (src != NULL)
		memcpy(dst, src, len);
	return src != NULL;
}

bool
pci_dma_write(struct pci_dev *pd, uint64_t gpa, const void *src, size_t len)
{
	void *dst = pci_dma_map(pd, gpa, len);

	if (dst == NULL)
		return false;
	memcpy(dst, src, len);
	pci_dma_written(pd, dst, len);
	return true;
}
