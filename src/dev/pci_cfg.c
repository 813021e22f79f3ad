/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci_cfg.c - configuration space and the two ways to it: ports 0xCF8/0xCFC
 * (PCI 3.0 section 3.2.2.3.2) and ECAM (PCI Express 2.1 section 7.2.2).
 * Behaviour at the edges is docs/bhyve.md 1.6's.
 *
 * A configuration byte is writable where its mask says so; everything else is
 * read-only.  Extended configuration space is there and empty for a PCI
 * Express function; a conventional one does not answer beyond 256 bytes.
 *
 * Accesses come from vCPU threads.
 */
#include "pci_priv.h"

#include <errno.h>

#include <vmm/bus.h>

#define PCI_CFG_ADDR 0xcf8
#define PCI_CFG_DATA 0xcfc
#define CFG_ADDR_EN  0x80000000u

/* --- bytes ---------------------------------------------------------------- */

uint8_t
pci_cfg_get8(struct pci_dev *pd, unsigned int off)
{
	return pd->cfg[off];
}

uint16_t
pci_cfg_get16(const struct pci_dev *pd, unsigned int off)
{
	return get_le16(&pd->cfg[off]);
}

uint32_t
pci_cfg_get32(const struct pci_dev *pd, unsigned int off)
{
	return get_le32(&pd->cfg[off]);
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

/* The header of a type 0 function. */
void
pci_cfg_init(struct pci_dev *pd)
{
	const struct pci_id id = pci_opt_id(pd);

	pci_cfg_set16(pd, PCIR_VENDOR, id.vendor);
	pci_cfg_set16(pd, PCIR_DEVICE, id.device);
	pci_cfg_set8(pd, PCIR_REVISION, id.revision);
	pci_cfg_set8(pd, PCIR_PROGIF, (uint8_t)id.class_code);
	pci_cfg_set16(pd, PCIR_CLASS, (uint16_t)(id.class_code >> 8));
	pci_cfg_set16(pd, PCIR_SUBVENDOR, id.subvendor);
	pci_cfg_set16(pd, PCIR_SUBDEVICE, id.subdevice);
	pci_cfg_set8(pd, PCIR_INTLINE, 255);
	pci_cfg_writable(pd, PCIR_COMMAND, PCIM_COMMAND_WRITABLE);
	pci_cfg_writable(pd, PCIR_CACHELINE, 0xffff); /* and latency timer */
	pci_cfg_writable(pd, PCIR_INTLINE, 0xff);
	pd->cap_end = PCIR_DEVICE_DEPENDENT;
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

/* --- PCI Express capability ----------------------------------------------- */

#define PCIE_CAP_LEN 0x3c

/* Offsets in the capability (PCI Express 2.1 section 7.8). */
#define PCIE_CAPS	    0x02
#define PCIE_DEV_CAP	    0x04
#define PCIE_DEV_CTL	    0x08
#define PCIE_LINK_CAP	    0x0c
#define PCIE_LINK_STS	    0x12

#define PCIE_CAPS_VERSION_2 0x0002
#define PCIE_CAPS_TYPE(t)   ((uint16_t)((t) << 4))
#define PCIE_DEV_CAP_RBER   0x8000 /* 7.8.3: required */
/* Read requests up to 512 bytes, relaxed ordering and no snoop allowed. */
#define PCIE_DEV_CTL_RESET 0x2810
/* 7.8.4, without what a function of 128-byte payload may hardwire to 0. */
#define PCIE_DEV_CTL_WRITABLE 0x781f
#define PCIE_LINK_CAP_VALUE   0x0411 /* 2.5 GT/s, one lane, L0s */
#define PCIE_LINK_STS_VALUE   0x0011 /* 2.5 GT/s, one lane */

int
pci_express_cap_add(struct pci_dev *pd, unsigned int type)
{
	int cap = pci_cap_add(pd, PCIY_EXPRESS, PCIE_CAP_LEN);
	unsigned int off = (unsigned int)cap;

	if (cap < 0)
		return cap;
	pd->is_express = true;
	pci_cfg_set16(
	    pd, off + PCIE_CAPS, PCIE_CAPS_VERSION_2 | PCIE_CAPS_TYPE(type));
	pci_cfg_set32(pd, off + PCIE_DEV_CAP, PCIE_DEV_CAP_RBER);
	pci_cfg_set16(pd, off + PCIE_DEV_CTL, PCIE_DEV_CTL_RESET);
	pci_cfg_writable(pd, off + PCIE_DEV_CTL, PCIE_DEV_CTL_WRITABLE);
	if (type == PCIE_TYPE_RC_ENDPOINT)
		return 0; /* 7.8: no link */
	pci_cfg_set32(pd, off + PCIE_LINK_CAP, PCIE_LINK_CAP_VALUE);
	pci_cfg_set16(pd, off + PCIE_LINK_STS, PCIE_LINK_STS_VALUE);
	return 0;
}

/* --- one function --------------------------------------------------------- */

/* [off, off + bytes) is the model's to answer. */
static bool
pci_cfg_is_models(const struct pci_dev *pd, unsigned int off)
{
	static const unsigned int msi_len = 0x18, msix_len = 12;

	if (off < PCIR_DEVICE_DEPENDENT)
		return false;
	return (pd->msi.cap == 0 || off - pd->msi.cap >= msi_len) &&
	       (pd->msix.cap == 0 || off - pd->msix.cap >= msix_len);
}

static uint8_t
pci_dev_cfg_byte(const struct pci_dev *pd, unsigned int off, bool multi)
{
	uint8_t byte = pd->cfg[off];

	if (off == PCIR_HDRTYPE && multi)
		byte |= PCIM_HDRTYPE_MULTI;
	if (off == PCIR_STATUS && pci_intx_pending_locked(pd))
		byte |= PCIM_STATUS_INTX;
	(void)pci_msi_cfg_byte(pd, off, &byte);
	return byte;
}

static uint32_t
pci_dev_cfg_read(
    struct pci_dev *pd, unsigned int off, unsigned int bytes, bool multi)
{
	uint32_t val = 0;

	if (pd->ops->cfg_read != NULL && pci_cfg_is_models(pd, off) &&
	    pd->ops->cfg_read(pd, off, bytes, &val))
		return val;
	for (unsigned int i = 0; i < bytes; i++)
		val |= (uint32_t)pci_dev_cfg_byte(pd, off + i, multi) << 8 * i;
	return val;
}

static void
pci_dev_cfg_write(
    struct pci_dev *pd, unsigned int off, unsigned int bytes, uint32_t val)
{
	if (pd->ops->cfg_write != NULL && pci_cfg_is_models(pd, off) &&
	    pd->ops->cfg_write(pd, off, bytes, val))
		return;
	for (unsigned int i = 0; i < bytes; i++) {
		uint8_t mask = pd->writable[off + i];
		uint8_t byte = (uint8_t)(val >> 8 * i);

		pd->cfg[off + i] = (pd->cfg[off + i] & ~mask) | (byte & mask);
	}
	pci_dev_changed_locked(pd);
}

void
pci_dev_changed_locked(struct pci_dev *pd)
{
	pci_bar_update_locked(pd);
	pci_msi_update_locked(pd);
	pci_intx_update_locked(pd);
}

/* --- an access ------------------------------------------------------------ */

struct pci_cfg_access {
	unsigned int bus, slot, func, off, bytes;
	bool write;
};

static uint32_t
pci_ones(unsigned int bytes)
{
	return bytes >= 4 ? UINT32_MAX : (1u << 8 * bytes) - 1;
}

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
		/* An empty list of extended capabilities reads as 0. */
		if (!a->write && pd->is_express)
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
		bus->addr = *val & PCI_CFG_ADDR_KEPT;
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
	/* This mechanism ends at 256 bytes. */
	if (a.off >= PCI_CFG_BYTES) {
		if (in)
			*val = UINT32_MAX;
		return 0;
	}
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
		.off = off & (PCI_CFG_BYTES_PCIE - 1),
		.bytes = bytes,
		.write = write,
	};
	uint32_t v = (uint32_t)*val;

	pci_cfg(arg, &a, &v);
	if (!write)
		*val = bytes > 4 ? UINT64_MAX : v;
	return 0;
}

/* --- registration --------------------------------------------------------- */

static const struct pci_cfg_port {
	const char *name;
	uint16_t port;
	uint32_t len;
	pio_fn fn;
	bool locked; /* by the bus core */
} pci_cfg_ports[] = {
	/* One port long: 0xCF9 is the reset control's. */
	{ "pci-address", PCI_CFG_ADDR, 1, pci_cfg_addr_pio, true },
	{ "pci-data", PCI_CFG_DATA, 4, pci_cfg_data_pio, false },
};

/* The first `nports` ports are registered. */
static void
pci_cfg_unregister_ports(struct pci_bus *bus, size_t nports)
{
	while (nports-- > 0)
		bus_pio_unregister(bus->ctx, pci_cfg_ports[nports].port,
		    pci_cfg_ports[nports].len);
}

int
pci_cfg_register(struct pci_bus *bus)
{
	const struct mmio_range ecam = {
		.name = "pci-ecam",
		.base = PCI_ECAM_BASE,
		.len = PCI_ECAM_SIZE,
		.fn = pci_ecam_mmio,
		.arg = bus,
	};
	int error = 0;
	size_t n;

	for (n = 0; n < ARRAY_LEN(pci_cfg_ports) && error == 0; n++) {
		const struct pci_cfg_port *p = &pci_cfg_ports[n];
		const struct pio_range range = {
			.name = p->name,
			.port = p->port,
			.len = p->len,
			.fn = p->fn,
			.arg = bus,
			.lock = p->locked ? &bus->lock : NULL,
		};

		error = bus_pio_register(bus->ctx, &range);
	}
	if (error != 0)
		n--;
	else
		error = bus_mmio_register(bus->ctx, &ecam);
	if (error != 0)
		pci_cfg_unregister_ports(bus, n);
	return error;
}

void
pci_cfg_unregister(struct pci_bus *bus)
{
	bus_mmio_unregister(bus->ctx, PCI_ECAM_BASE, PCI_ECAM_SIZE);
	pci_cfg_unregister_ports(bus, ARRAY_LEN(pci_cfg_ports));
}
