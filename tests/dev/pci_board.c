/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A board with PCI buses (see pci_board.h).
 */
#include "pci_board.h"

#include <stdio.h>

void
pci_board_init(struct pci_board *p)
{
	board_init(&p->b);
	assert_int_equal(pci_bus_create(p->b.ctx, &p->bus), 0);
}

void
pci_board_fini(struct pci_board *p)
{
	board_fini(&p->b);
}

void
pci_board_add(struct pci_board *p, const char *model, unsigned int bus,
    unsigned int slot, unsigned int func)
{
	const struct pci_dev_ops *ops = pci_dev_find(model);
	char err[256] = "";

	assert_non_null(ops);
	if (pci_dev_create(
		p->bus, ops, NULL, bus, slot, func, err, sizeof(err)) != 0)
		fail_msg("%s", err);
}

/* --- the probe ------------------------------------------------------------ */

/* For probe_init(), while probe_try() runs. */
static const struct probe_spec *probe_spec;
static struct pci_dev *probe_made;

static int
probe_init(struct pci_dev *pd, char *err, size_t err_len)
{
	const struct probe_spec *s = probe_spec;
	int error = 0;

	probe_made = pd;
	for (unsigned int i = 0; i < PCI_NBARS && error == 0; i++)
		if (s->bar[i].size != 0)
			error =
			    pci_bar_add(pd, i, s->bar[i].kind, s->bar[i].size);
	if (error == 0 && s->express)
		error = pci_express_cap_add(pd, PCIE_TYPE_RC_ENDPOINT);
	if (error == 0 && s->msi != 0)
		error = pci_msi_add(pd, s->msi);
	if (error == 0 && s->msix != 0)
		error = pci_msix_add(
		    pd, s->msix, s->msix_bar, s->table_off, s->pba_off);
	if (error == 0 && s->intx)
		error = pci_intx_add(pd);
	return error;
}

static void
probe_note(struct probe *p, unsigned int bar, uint64_t off, unsigned int bytes)
{
	assert_true(bytes == 1 || bytes == 2 || bytes == 4);
	p->last_bar = bar;
	p->last_off = off;
	p->last_bytes = bytes;
}

static uint32_t
probe_read(
    struct pci_dev *pd, unsigned int bar, uint64_t off, unsigned int bytes)
{
	struct probe *p = pci_dev_state(pd);
	uint32_t val = 0;

	probe_note(p, bar, off, bytes);
	p->reads++;
	for (unsigned int i = 0; i < bytes; i++)
		val |= (uint32_t)p->mem[bar][(off + i) % PROBE_BYTES] << 8 * i;
	return val;
}

static void
probe_write(struct pci_dev *pd, unsigned int bar, uint64_t off,
    unsigned int bytes, uint32_t val)
{
	struct probe *p = pci_dev_state(pd);

	probe_note(p, bar, off, bytes);
	p->writes++;
	for (unsigned int i = 0; i < bytes; i++)
		p->mem[bar][(off + i) % PROBE_BYTES] = (uint8_t)(val >> 8 * i);
}

static const struct pci_dev_ops probe_ops = {
	.name = "probe",
	.summary = "for tests",
	.id = { .vendor = 0x1af4, .device = 0x10f0, .class_code = 0xff0000 },
	.state_size = sizeof(struct probe),
	.init = probe_init,
	.bar_read = probe_read,
	.bar_write = probe_write,
};

int
probe_try(struct pci_board *p, const struct probe_spec *spec, unsigned int bus,
    unsigned int slot, unsigned int func, struct pci_dev **ret_pd, char *err,
    size_t err_len)
{
	int error;

	probe_spec = spec;
	error = pci_dev_create(
	    p->bus, &probe_ops, NULL, bus, slot, func, err, err_len);
	*ret_pd = probe_made;
	return error;
}

struct pci_dev *
probe_add(struct pci_board *p, const struct probe_spec *spec, unsigned int bus,
    unsigned int slot, unsigned int func)
{
	struct pci_dev *pd;
	char err[256] = "";

	if (probe_try(p, spec, bus, slot, func, &pd, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	return pd;
}

/* --- configuration space -------------------------------------------------- */

uint32_t
cfg_read(struct pci_board *p, uint32_t bdf, unsigned int off, unsigned int n)
{
	return (uint32_t)board_read(&p->b, PCI_ECAM_BASE + bdf + off, n);
}

void
cfg_write(struct pci_board *p, uint32_t bdf, unsigned int off, unsigned int n,
    uint32_t val)
{
	board_write(&p->b, PCI_ECAM_BASE + bdf + off, n, val);
}

static void
cf8_select(struct pci_board *p, uint32_t bdf, unsigned int off)
{
	board_out(&p->b, 0xcf8, 4, 0x80000000u | bdf >> 4 | (off & 0xfc));
}

uint32_t
cf8_read(struct pci_board *p, uint32_t bdf, unsigned int off, unsigned int n)
{
	cf8_select(p, bdf, off);
	return board_in(&p->b, (uint16_t)(0xcfc + (off & 3)), n);
}

void
cf8_write(struct pci_board *p, uint32_t bdf, unsigned int off, unsigned int n,
    uint32_t val)
{
	cf8_select(p, bdf, off);
	board_out(&p->b, (uint16_t)(0xcfc + (off & 3)), n, val);
}

unsigned int
cfg_cap(struct pci_board *p, uint32_t bdf, uint8_t id)
{
	unsigned int off = cfg_read(p, bdf, 0x34, 1);

	for (unsigned int i = 0; i < 48 && off != 0; i++) {
		if (cfg_read(p, bdf, off, 1) == id)
			return off;
		off = cfg_read(p, bdf, off + 1, 1);
	}
	return 0;
}
