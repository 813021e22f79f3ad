/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The legacy transport: the I/O registers of virtio 0.9.5 as bhyve has them
 * (docs/bhyve.md 1.16; virtio 1.2 section 4.1.4.10), little-endian.
 *
 * The queues' size is the device's and their place one page number.  Old
 * drivers kick before they set DRIVER_OK, which starts the device (3.1.2).
 */
#include "virtio_priv.h"

#define LEGACY_CFG_MSIX	 24 /* where the configuration structure begins */
#define LEGACY_CFG_INTX	 20 /* while MSI-X is off */
#define LEGACY_PFN_SHIFT 12
#define LEGACY_NOTIFY	 16

uint64_t
virtio_legacy_features(const struct virtio_pci *v)
{
	return (v->offered & UINT32_MAX) | BIT64(VIRTIO_F_NOTIFY_ON_EMPTY) |
	       BIT64(VIRTIO_F_ANY_LAYOUT);
}

static uint32_t
legacy_read_host_features(struct virtio_pci *v)
{
	return (uint32_t)virtio_legacy_features(v);
}

static uint32_t
legacy_read_guest_features(struct virtio_pci *v)
{
	return (uint32_t)v->r.features;
}

static void
legacy_write_guest_features(struct virtio_pci *v, uint32_t val)
{
	if (v->r.started)
		return;
	v->r.driver_features = val;
	v->r.features = val & virtio_legacy_features(v);
}

static uint32_t
legacy_read_pfn(struct virtio_pci *v)
{
	const struct vq *q = virtio_selected(v);

	return q != NULL && q->r.enabled
		   ? (uint32_t)(q->r.desc_gpa >> LEGACY_PFN_SHIFT)
		   : 0;
}

/* 2.7.2, legacy layout: the used ring begins on a page of its own. */
static void
legacy_write_pfn(struct virtio_pci *v, uint32_t val)
{
	struct vq *q = virtio_selected(v);
	struct vq_regs *r;

	if (q == NULL || v->r.started)
		return;
	r = &q->r;
	r->enabled = false;
	if (val == 0)
		return;
	r->size = v->queue_size;
	r->desc_gpa = (uint64_t)val << LEGACY_PFN_SHIFT;
	r->avail_gpa = r->desc_gpa + VRING_DESC_BYTES(r->size);
	r->used_gpa = ROUND_UP(r->avail_gpa + VRING_AVAIL_BYTES(r->size),
	    (uint64_t)VRING_LEGACY_ALIGN);
	virtio_enable_queue(q);
}

static uint32_t
legacy_read_queue_size(struct virtio_pci *v)
{
	return virtio_selected(v) != NULL ? v->queue_size : 0;
}

static void
legacy_write_notify(struct virtio_pci *v, uint32_t val)
{
	uint16_t q = (uint16_t)val;

	if (q < v->nqueues && v->vq[q].r.enabled && v->r.status != 0)
		virtio_start(v);
	virtio_kick(v, q);
}

static void
legacy_write_status(struct virtio_pci *v, uint32_t val)
{
	if (val == 0) {
		virtio_reset(v);
		return;
	}
	v->r.status |= val & VIRTIO_S_DRIVER_BITS;
	if ((v->r.status & VIRTIO_S_DRIVER_OK) != 0)
		virtio_start(v);
}

static const struct virtio_reg legacy_regs[] = {
	/* First, as it is the one that is written while the device runs. */
	{ LEGACY_NOTIFY, 2, NULL, legacy_write_notify },
	{ 0, 4, legacy_read_host_features, NULL },
	{ 4, 4, legacy_read_guest_features, legacy_write_guest_features },
	{ 8, 4, legacy_read_pfn, legacy_write_pfn },
	{ 12, 2, legacy_read_queue_size, NULL },
	{ 14, 2, virtio_read_queue_select, virtio_write_queue_select },
	{ 18, 1, virtio_read_status, legacy_write_status },
	{ 19, 1, virtio_read_isr, NULL },
	/* Only while MSI-X is on. */
	{ 20, 2, virtio_read_config_vector, virtio_write_config_vector },
	{ 22, 2, virtio_read_queue_vector, virtio_write_queue_vector },
};

static unsigned int
legacy_cfg_base(const struct virtio_pci *v)
{
	return v->nvec > 0 && pci_msix_enabled(v->pd) > 0 ? LEGACY_CFG_MSIX
							  : LEGACY_CFG_INTX;
}

/* How many of `len` bytes at `off` are registers; the rest is configuration. */
static unsigned int
legacy_split(uint64_t off, unsigned int len, unsigned int base)
{
	if (off >= base)
		return 0;
	return (unsigned int)MIN((uint64_t)len, base - off);
}

void
virtio_legacy_read(
    struct virtio_pci *v, uint64_t off, uint8_t *buf, unsigned int len)
{
	unsigned int base = legacy_cfg_base(v);
	unsigned int n = legacy_split(off, len, base);

	virtio_regs_read(v, legacy_regs, ARRAY_LEN(legacy_regs), off, buf, n);
	if (n < len)
		virtio_cfg_read(v, off + n - base, buf + n, len - n);
}

void
virtio_legacy_write(
    struct virtio_pci *v, uint64_t off, const uint8_t *buf, unsigned int len)
{
	unsigned int base = legacy_cfg_base(v);
	unsigned int n = legacy_split(off, len, base);

	virtio_regs_write(v, legacy_regs, ARRAY_LEN(legacy_regs), off, buf, n);
	if (n < len)
		virtio_cfg_write(v, off + n - base, buf + n, len - n);
}

int
virtio_legacy_init(struct virtio_pci *v)
{
	v->legacy_size = 32;
	while (v->legacy_size < LEGACY_CFG_MSIX + v->ops->cfg_len)
		v->legacy_size *= 2;
	return pci_bar_add(
	    v->pd, VIRTIO_BAR_LEGACY, PCI_BAR_IO, v->legacy_size);
}

void
virtio_legacy_add_bell(struct virtio_pci *v, unsigned int q)
{
	pci_bell_add(v->pd, &(struct pci_bell){ .bar = VIRTIO_BAR_LEGACY,
				.off = LEGACY_NOTIFY,
				.len = 2,
				.match = true,
				.data = (uint16_t)q,
				.fn = virtio_bell,
				.n = q });
}
