/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The modern transport: virtio 1.2 section 4.1, four structures in one memory
 * BAR, found by vendor capabilities, and a fifth capability through which
 * firmware reaches them by configuration space alone.
 *
 * The BAR is a 32-bit one so that every guest can reach it.  Queues are set up
 * between FEATURES_OK and DRIVER_OK; a queue that is enabled does not change
 * any more.  Missing on purpose: VIRTIO_F_RING_RESET and NOTIFICATION_DATA.
 */
#include "virtio_priv.h"

#include <util/log.h>

#define PCI_CAP_VENDOR 0x09

/* Section 4.1.4, struct virtio_pci_cap. */
#define CAP_LEN		      2
#define CAP_TYPE	      3
#define CAP_BAR		      4
#define CAP_OFFSET	      8
#define CAP_LENGTH	      12
#define CAP_BYTES	      16
#define CAP_NOTIFY_MULTIPLIER 16
#define CAP_NOTIFY_BYTES      20
#define CAP_PCI_DATA	      16
#define CAP_PCI_BYTES	      20

enum modern_cap {
	CAP_COMMON = 1,
	CAP_NOTIFY,
	CAP_ISR,
	CAP_DEVICE,
	CAP_PCI,
};

/* A page of the BAR each, for guests that map them apart. */
#define MODERN_COMMON	       0x0000
#define MODERN_ISR	       0x1000
#define MODERN_DEVICE	       0x2000
#define MODERN_NOTIFY	       0x3000
#define MODERN_PAGE_SHIFT      12
#define MODERN_PAGE_MASK       0xfffu

#define MODERN_COMMON_BYTES    56
#define MODERN_NOTIFY_MULTIPLY 4u

/* --- common configuration, 4.1.4.3 ---------------------------------------- */

static uint32_t
modern_read_dfselect(struct virtio_pci *v)
{
	return v->r.device_feature_select;
}

static void
modern_write_dfselect(struct virtio_pci *v, uint32_t val)
{
	v->r.device_feature_select = val;
}

/* Which half of 64 feature bits; beyond are none. */
static uint32_t
modern_half(uint64_t features, uint32_t select)
{
	return select < 2 ? (uint32_t)(features >> 32 * select) : 0;
}

static uint32_t
modern_read_device_feature(struct virtio_pci *v)
{
	return modern_half(v->offered, v->r.device_feature_select);
}

static uint32_t
modern_read_gfselect(struct virtio_pci *v)
{
	return v->r.driver_feature_select;
}

static void
modern_write_gfselect(struct virtio_pci *v, uint32_t val)
{
	v->r.driver_feature_select = val;
}

static uint32_t
modern_read_driver_feature(struct virtio_pci *v)
{
	return modern_half(v->r.driver_features, v->r.driver_feature_select);
}

static void
modern_write_driver_feature(struct virtio_pci *v, uint32_t val)
{
	uint32_t select = v->r.driver_feature_select;

	if (select >= 2 || (v->r.status & VIRTIO_S_FEATURES_OK) != 0 ||
	    v->r.started)
		return;
	v->r.driver_features &= ~((uint64_t)UINT32_MAX << 32 * select);
	v->r.driver_features |= (uint64_t)val << 32 * select;
}

bool
virtio_modern_features_ok(const struct virtio_pci *v)
{
	uint64_t f = v->r.driver_features;

	return (f & ~v->offered) == 0 && (f & BIT64(VIRTIO_F_VERSION_1)) != 0;
}

static uint32_t
modern_read_num_queues(struct virtio_pci *v)
{
	return v->nqueues;
}

static void
modern_accept_features(struct virtio_pci *v)
{
	if (virtio_modern_features_ok(v)) {
		v->r.features = v->r.driver_features;
		v->r.status |= VIRTIO_S_FEATURES_OK;
		return;
	}
	guest_error(pci_dev_name(v->pd),
	    "features 0x%llx refused, 0x%llx offered",
	    (unsigned long long)v->r.driver_features,
	    (unsigned long long)v->offered);
}

static void
modern_driver_ok(struct virtio_pci *v)
{
	if ((v->r.status & VIRTIO_S_FEATURES_OK) == 0) {
		virtio_broken(v->dev, "DRIVER_OK without FEATURES_OK");
		return;
	}
	v->r.status |= VIRTIO_S_DRIVER_OK;
	virtio_start(v);
}

/* 3.1.1: bits come one after the other, and go by a reset only. */
static void
modern_write_status(struct virtio_pci *v, uint32_t val)
{
	uint8_t added = (uint8_t)val & ~v->r.status;

	if (val == 0) {
		virtio_reset(v);
		return;
	}
	v->r.status |=
	    added & (VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER | VIRTIO_S_FAILED);
	if ((added & VIRTIO_S_FEATURES_OK) != 0 && !v->r.started)
		modern_accept_features(v);
	if ((added & VIRTIO_S_DRIVER_OK) != 0)
		modern_driver_ok(v);
}

static uint32_t
modern_read_generation(struct virtio_pci *v)
{
	return v->r.config_generation;
}

/* A queue the driver may set up now, or NULL. */
static struct vq *
modern_open_queue(struct virtio_pci *v)
{
	struct vq *q = virtio_selected(v);

	if (q == NULL || q->r.enabled || v->r.started ||
	    (v->r.status & VIRTIO_S_FEATURES_OK) == 0)
		return NULL;
	return q;
}

static uint32_t
modern_read_queue_size(struct virtio_pci *v)
{
	const struct vq *q = virtio_selected(v);

	return q != NULL ? q->r.size : 0;
}

static void
modern_write_queue_size(struct virtio_pci *v, uint32_t val)
{
	struct vq *q = modern_open_queue(v);

	if (q == NULL)
		return;
	if (val == 0 || val > v->queue_size || (val & (val - 1)) != 0) {
		guest_error(pci_dev_name(v->pd),
		    "queue size %u: not a power of two up to %u", val,
		    v->queue_size);
		return;
	}
	q->r.size = (uint16_t)val;
}

static uint32_t
modern_read_queue_enable(struct virtio_pci *v)
{
	const struct vq *q = virtio_selected(v);

	return q != NULL && q->r.enabled;
}

static void
modern_write_queue_enable(struct virtio_pci *v, uint32_t val)
{
	struct vq *q = modern_open_queue(v);

	if (q != NULL && val == 1)
		virtio_enable_queue(q);
}

static uint32_t
modern_read_notify_off(struct virtio_pci *v)
{
	return virtio_selected(v) != NULL ? v->r.queue_select : 0;
}

/* A 64-bit address is two registers, 4.1.3.1. */
#define ADDRESS_REG(name, field, shift)                                        \
	static uint32_t modern_read_##name(struct virtio_pci *v)               \
	{                                                                      \
		const struct vq *q = virtio_selected(v);                       \
                                                                               \
		return q != NULL ? (uint32_t)(q->r.field >> (shift)) : 0;      \
	}                                                                      \
	static void modern_write_##name(struct virtio_pci *v, uint32_t val)    \
	{                                                                      \
		struct vq *q = modern_open_queue(v);                           \
                                                                               \
		if (q == NULL)                                                 \
			return;                                                \
		q->r.field &= ~((uint64_t)UINT32_MAX << (shift));              \
		q->r.field |= (uint64_t)val << (shift);                        \
	}
ADDRESS_REG(desc_lo, desc_gpa, 0)
ADDRESS_REG(desc_hi, desc_gpa, 32)
ADDRESS_REG(avail_lo, avail_gpa, 0)
ADDRESS_REG(avail_hi, avail_gpa, 32)
ADDRESS_REG(used_lo, used_gpa, 0)
ADDRESS_REG(used_hi, used_gpa, 32)

static const struct virtio_reg modern_regs[] = {
	{ 0, 4, modern_read_dfselect, modern_write_dfselect },
	{ 4, 4, modern_read_device_feature, NULL },
	{ 8, 4, modern_read_gfselect, modern_write_gfselect },
	{ 12, 4, modern_read_driver_feature, modern_write_driver_feature },
	{ 16, 2, virtio_read_config_vector, virtio_write_config_vector },
	{ 18, 2, modern_read_num_queues, NULL },
	{ 20, 1, virtio_read_status, modern_write_status },
	{ 21, 1, modern_read_generation, NULL },
	{ 22, 2, virtio_read_queue_select, virtio_write_queue_select },
	{ 24, 2, modern_read_queue_size, modern_write_queue_size },
	{ 26, 2, virtio_read_queue_vector, virtio_write_queue_vector },
	{ 28, 2, modern_read_queue_enable, modern_write_queue_enable },
	{ 30, 2, modern_read_notify_off, NULL },
	{ 32, 4, modern_read_desc_lo, modern_write_desc_lo },
	{ 36, 4, modern_read_desc_hi, modern_write_desc_hi },
	{ 40, 4, modern_read_avail_lo, modern_write_avail_lo },
	{ 44, 4, modern_read_avail_hi, modern_write_avail_hi },
	{ 48, 4, modern_read_used_lo, modern_write_used_lo },
	{ 52, 4, modern_read_used_hi, modern_write_used_hi },
};

static const struct virtio_reg isr_regs[] = {
	{ 0, 1, virtio_read_isr, NULL },
};

/* --- the BAR -------------------------------------------------------------- */

void
virtio_modern_read(
    struct virtio_pci *v, uint64_t off, uint8_t *buf, unsigned int len)
{
	uint64_t in_page = off & MODERN_PAGE_MASK;

	memset(buf, 0, len);
	switch (off & ~(uint64_t)MODERN_PAGE_MASK) {
	case MODERN_COMMON:
		virtio_regs_read(
		    v, modern_regs, ARRAY_LEN(modern_regs), in_page, buf, len);
		break;
	case MODERN_ISR:
		virtio_regs_read(
		    v, isr_regs, ARRAY_LEN(isr_regs), in_page, buf, len);
		break;
	case MODERN_DEVICE:
		virtio_cfg_read(v, in_page, buf, len);
		break;
	}
}

void
virtio_modern_write(
    struct virtio_pci *v, uint64_t off, const uint8_t *buf, unsigned int len)
{
	uint64_t in_page = off & MODERN_PAGE_MASK;

	switch (off & ~(uint64_t)MODERN_PAGE_MASK) {
	case MODERN_NOTIFY:
		/* The place says which queue, whatever is written. */
		virtio_kick(
		    v, (unsigned int)(in_page / MODERN_NOTIFY_MULTIPLY));
		break;
	case MODERN_COMMON:
		virtio_regs_write(
		    v, modern_regs, ARRAY_LEN(modern_regs), in_page, buf, len);
		break;
	case MODERN_DEVICE:
		virtio_cfg_write(v, in_page, buf, len);
		break;
	}
}

/* --- capabilities --------------------------------------------------------- */

static int
modern_add_cap(struct virtio_pci *v, enum modern_cap type, unsigned int bytes,
    uint32_t off, uint32_t len)
{
	int error = pci_cap_add(v->pd, PCI_CAP_VENDOR, bytes);
	unsigned int cap = (unsigned int)error;

	if (error < 0)
		return error;
	pci_cfg_set8(v->pd, cap + CAP_LEN, (uint8_t)bytes);
	pci_cfg_set8(v->pd, cap + CAP_TYPE, (uint8_t)type);
	pci_cfg_set8(v->pd, cap + CAP_BAR, VIRTIO_BAR_MODERN);
	pci_cfg_set32(v->pd, cap + CAP_OFFSET, off);
	pci_cfg_set32(v->pd, cap + CAP_LENGTH, len);
	if (type == CAP_NOTIFY)
		pci_cfg_set32(
		    v->pd, cap + CAP_NOTIFY_MULTIPLIER, MODERN_NOTIFY_MULTIPLY);
	return error;
}

/* 4.1.4.9: the driver writes bar, offset and length itself. */
static int
modern_add_pcicfg(struct virtio_pci *v)
{
	int cap = modern_add_cap(v, CAP_PCI, CAP_PCI_BYTES, 0, 0);

	if (cap < 0)
		return cap;
	v->pcicfg = (unsigned int)cap;
	pci_cfg_set8(v->pd, v->pcicfg + CAP_BAR, 0);
	pci_cfg_writable(v->pd, v->pcicfg + CAP_BAR, 0xff);
	pci_cfg_writable(v->pd, v->pcicfg + CAP_OFFSET, UINT32_MAX);
	pci_cfg_writable(v->pd, v->pcicfg + CAP_LENGTH, UINT32_MAX);
	return 0;
}

int
virtio_modern_init(struct virtio_pci *v)
{
	const struct {
		enum modern_cap type;
		unsigned int bytes;
		uint32_t off, len;
	} caps[] = {
		{ CAP_COMMON, CAP_BYTES, MODERN_COMMON, MODERN_COMMON_BYTES },
		{ CAP_ISR, CAP_BYTES, MODERN_ISR, 1 },
		{ CAP_DEVICE, CAP_BYTES, MODERN_DEVICE, v->ops->cfg_len },
		{ CAP_NOTIFY, CAP_NOTIFY_BYTES, MODERN_NOTIFY,
		    v->nqueues * MODERN_NOTIFY_MULTIPLY },
	};
	int error = pci_bar_add(
	    v->pd, VIRTIO_BAR_MODERN, PCI_BAR_MEM32, VIRTIO_BAR_MODERN_SIZE);

	for (size_t i = 0; i < ARRAY_LEN(caps) && error >= 0; i++)
		if (caps[i].len > 0)
			error = modern_add_cap(v, caps[i].type, caps[i].bytes,
			    caps[i].off, caps[i].len);
	return error < 0 ? error : modern_add_pcicfg(v);
}

/* Any write, of whatever width: the place says it all. */
void
virtio_modern_add_bell(struct virtio_pci *v, unsigned int q)
{
	pci_bell_add(
	    v->pd, &(struct pci_bell){ .bar = VIRTIO_BAR_MODERN,
		       .off = MODERN_NOTIFY + q * MODERN_NOTIFY_MULTIPLY,
		       .fn = virtio_bell,
		       .n = q });
}

/* --- access through configuration space, 4.1.4.9 -------------------------- */

static uint32_t
modern_cfg_get32(struct virtio_pci *v, unsigned int off)
{
	uint32_t val = 0;

	for (unsigned int i = 0; i < 4; i++)
		val |= (uint32_t)pci_cfg_get8(v->pd, off + i) << 8 * i;
	return val;
}

/* Where the window points; false: nowhere the specification allows. */
static bool
modern_window(struct virtio_pci *v, unsigned int *ret_bar, uint32_t *ret_off,
    uint32_t *ret_len)
{
	uint32_t bar = pci_cfg_get8(v->pd, v->pcicfg + CAP_BAR);
	uint32_t off = modern_cfg_get32(v, v->pcicfg + CAP_OFFSET);
	uint32_t len = modern_cfg_get32(v, v->pcicfg + CAP_LENGTH);
	uint32_t size = 0;

	if (bar == VIRTIO_BAR_MODERN)
		size = VIRTIO_BAR_MODERN_SIZE;
	else if (bar == VIRTIO_BAR_LEGACY)
		size = v->legacy_size; /* 0 without a legacy interface */
	*ret_bar = bar;
	*ret_off = off;
	*ret_len = len;
	return (len == 1 || len == 2 || len == 4) && off % len == 0 &&
	       range_ok(off, len, size);
}

/* An access touches the data window and nothing else of the capability. */
static bool
modern_in_window(
    const struct virtio_pci *v, unsigned int off, unsigned int bytes)
{
	return v->pcicfg != 0 && off >= v->pcicfg + CAP_PCI_DATA &&
	       off + bytes <= v->pcicfg + CAP_PCI_BYTES;
}

bool
virtio_pcicfg_read(struct virtio_pci *v, unsigned int off, unsigned int bytes,
    uint32_t *ret_val)
{
	unsigned int bar, first = off - (v->pcicfg + CAP_PCI_DATA);
	uint32_t bar_off, len;
	uint8_t data[4] = { 0 };

	if (!modern_in_window(v, off, bytes))
		return false;
	if (modern_window(v, &bar, &bar_off, &len)) {
		if (bar == VIRTIO_BAR_MODERN)
			virtio_modern_read(v, bar_off, data, len);
		else
			virtio_legacy_read(v, bar_off, data, len);
	}
	*ret_val = get_le32(data) >> 8 * first;
	if (bytes < 4)
		*ret_val &= (1u << 8 * bytes) - 1;
	return true;
}

bool
virtio_pcicfg_write(
    struct virtio_pci *v, unsigned int off, unsigned int bytes, uint32_t val)
{
	unsigned int bar;
	uint32_t bar_off, len;
	uint8_t data[4];

	if (!modern_in_window(v, off, bytes))
		return false;
	if (off != v->pcicfg + CAP_PCI_DATA ||
	    !modern_window(v, &bar, &bar_off, &len) || len > bytes)
		return true;
	put_le32(data, val);
	if (bar == VIRTIO_BAR_MODERN)
		virtio_modern_write(v, bar_off, data, len);
	else
		virtio_legacy_write(v, bar_off, data, len);
	return true;
}
