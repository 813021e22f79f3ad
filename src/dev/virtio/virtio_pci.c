/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio device as a PCI function: identity, life, interrupts, snapshot.  The
 * registers are in virtio_pci_legacy.c and virtio_pci_modern.c, the rings in
 * vq.c; OASIS virtio 1.2 sections 2, 3 and 4.1.
 *
 * Both transports work on the same state, and which one the driver uses shows
 * in what it writes: a transitional device has both sets of registers.
 *
 * MSI-X has one vector a queue and one for configuration changes; with
 * virtio_msix=false (-W) there is one MSI.  Without either the ISR and INTx.
 * Everything runs with the device's lock held.
 */
#include "virtio_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <conf/conf.h>
#include <util/log.h>
#include <vmm/snap.h>

#define VIRTIO_VENDOR		0x1af4
#define VIRTIO_MODERN_DEVICE	0x1040 /* + type, 4.1.2 */
#define VIRTIO_MODERN_REVISION	1
#define VIRTIO_MODERN_SUBDEVICE 0x40 /* this or more, 4.1.2.1 */

#define PCIR_VENDOR		0x00
#define PCIR_DEVICE		0x02
#define PCIR_REVISION		0x08
#define PCIR_PROGIF		0x09
#define PCIR_SUBCLASS		0x0a
#define PCIR_SUBVENDOR		0x2c
#define PCIR_SUBDEVICE		0x2e

/* Transitional device IDs, 4.1.2.  Types without one are modern only. */
static const struct virtio_legacy_id {
	uint16_t type, device;
} virtio_legacy_ids[] = {
	{ 1, 0x1000 }, /* network */
	{ 2, 0x1001 }, /* block */
	{ 3, 0x1003 }, /* console */
	{ 4, 0x1005 }, /* entropy */
	{ 5, 0x1002 }, /* traditional memory balloon */
	{ 8, 0x1004 }, /* SCSI host */
	{ 9, 0x1009 }, /* 9P */
};

static uint16_t
virtio_legacy_device(uint16_t type)
{
	for (size_t i = 0; i < ARRAY_LEN(virtio_legacy_ids); i++)
		if (virtio_legacy_ids[i].type == type)
			return virtio_legacy_ids[i].device;
	return 0;
}

static struct virtio_pci *
virtio_of(struct pci_dev *pd)
{
	struct virtio_dev *dev = pci_dev_state(pd);

	return dev->core;
}

/* --- interrupts ----------------------------------------------------------- */

static void
virtio_interrupt(struct virtio_pci *v, uint16_t vector, uint8_t isr)
{
	if (v->nvec > 0 && pci_msix_enabled(v->pd) > 0) {
		if (vector != VIRTIO_NO_VECTOR)
			pci_msix_raise(v->pd, vector);
		return;
	}
	v->r.isr |= isr;
	if (v->nvec == 0 && pci_msi_enabled(v->pd) > 0)
		pci_msi_raise(v->pd, 0);
	else
		pci_intx_set(v->pd, true);
}

void
virtio_interrupt_queue(struct vq *q)
{
	virtio_interrupt(q->core, q->r.vector, VIRTIO_ISR_QUEUE);
}

uint32_t
virtio_read_isr(struct virtio_pci *v)
{
	uint8_t isr = v->r.isr;

	v->r.isr = 0;
	pci_intx_set(v->pd, false);
	return isr;
}

uint16_t
virtio_vector(const struct virtio_pci *v, uint32_t val)
{
	return val < v->nvec ? (uint16_t)val : VIRTIO_NO_VECTOR;
}

static void
virtio_interrupt_config(struct virtio_pci *v)
{
	if ((v->r.status & VIRTIO_S_DRIVER_OK) != 0)
		virtio_interrupt(v, v->r.config_vector, VIRTIO_ISR_CONFIG);
}

void
virtio_cfg_changed(struct virtio_dev *dev)
{
	struct virtio_pci *v = dev->core;

	v->r.config_generation++;
	virtio_interrupt_config(v);
}

/* --- life ----------------------------------------------------------------- */

void
virtio_broken(struct virtio_dev *dev, const char *why)
{
	struct virtio_pci *v = dev->core;

	if (v->r.broken)
		return;
	guest_error(pci_dev_name(v->pd), "%s: waiting for a reset", why);
	v->r.broken = true;
	v->r.status |= VIRTIO_S_NEEDS_RESET;
	virtio_interrupt_config(v);
}

void
virtio_enable_queue(struct vq *q)
{
	q->r.enabled = true;
	q->desc = NULL;
	/* Some turn on bus mastering later: then it is done at first use. */
	if (!pci_bus_master(q->core->pd) || vq_map(q))
		return;
	q->r.enabled = false;
	virtio_broken(q->core->dev, "a ring is misaligned or not in memory");
}

/* Buffers that came before the device could look at them count. */
static void
virtio_kick_all(struct virtio_pci *v)
{
	for (unsigned int i = 0; i < v->nqueues; i++)
		if (v->vq[i].r.enabled)
			virtio_kick(v, i);
}

void
virtio_start(struct virtio_pci *v)
{
	if (v->r.started || v->r.broken)
		return;
	v->r.started = true;
	if (v->ops->start != NULL)
		v->ops->start(v->dev);
	/* Until now a write to the doorbell could start the device. */
	pci_bells_set(v->pd, true);
	for (unsigned int i = 0; i < v->nqueues; i++)
		if (vq_has_work(&v->vq[i]))
			virtio_kick(v, i);
}

/* The queues are off before the model is told: nothing it does reaches them. */
void
virtio_reset(struct virtio_pci *v)
{
	v->generation++;
	v->r.started = false;
	pci_bells_set(v->pd, false);
	if (v->ops->reset != NULL)
		v->ops->reset(v->dev);
	v->r = (struct virtio_regs){ .config_vector = VIRTIO_NO_VECTOR };
	for (unsigned int i = 0; i < v->nqueues; i++)
		vq_reset(&v->vq[i]);
	pci_intx_set(v->pd, false);
}

/* The model holds no chain while the machine is paused, and must get none. */
void
virtio_bell(struct pci_dev *pd, unsigned int q)
{
	struct virtio_pci *v = virtio_of(pd);

	if (!v->paused)
		virtio_kick(v, q);
}

void
virtio_pci_reset(struct pci_dev *pd)
{
	virtio_reset(virtio_of(pd));
}

/* --- making one ----------------------------------------------------------- */

static int
virtio_pick_transport(struct virtio_pci *v, char *err, size_t err_len)
{
	static const struct {
		const char *name;
		bool legacy, modern;
	} transports[] = {
		{ "transitional", true, true },
		{ "legacy", true, false },
		{ "modern", false, true },
	};
	const char *want = pci_dev_opt(v->pd, "transport");
	bool has_legacy = virtio_legacy_device(v->ops->type) != 0;

	if (want == NULL)
		want = has_legacy ? "transitional" : "modern";
	for (size_t i = 0; i < ARRAY_LEN(transports); i++) {
		if (strcmp(want, transports[i].name) != 0 ||
		    (transports[i].legacy && !has_legacy))
			continue;
		v->legacy = transports[i].legacy;
		v->modern = transports[i].modern;
		return 0;
	}
	snprintf(err, err_len, "%s: bad transport '%s': want %s",
	    pci_dev_name(v->pd), want,
	    has_legacy ? "transitional, legacy or modern" : "modern");
	return -EINVAL;
}

static void
virtio_init_identity(struct virtio_pci *v)
{
	uint16_t type = v->ops->type;
	struct pci_dev *pd = v->pd;

	pci_cfg_set16(pd, PCIR_VENDOR, VIRTIO_VENDOR);
	pci_cfg_set16(pd, PCIR_DEVICE,
	    v->legacy ? virtio_legacy_device(type)
		      : VIRTIO_MODERN_DEVICE + type);
	pci_cfg_set8(pd, PCIR_REVISION, v->legacy ? 0 : VIRTIO_MODERN_REVISION);
	pci_cfg_set8(pd, PCIR_PROGIF, (uint8_t)v->ops->class_code);
	pci_cfg_set16(pd, PCIR_SUBCLASS, (uint16_t)(v->ops->class_code >> 8));
	pci_cfg_set16(pd, PCIR_SUBVENDOR, VIRTIO_VENDOR);
	pci_cfg_set16(pd, PCIR_SUBDEVICE,
	    v->legacy ? type : VIRTIO_MODERN_SUBDEVICE + type);
}

static int
virtio_init_interrupts(struct virtio_pci *v)
{
	const char *setting = pci_machine_opt(v->pd, "virtio_msix");
	bool msix;
	int error;

	if (setting == NULL || conf_parse_bool(setting, &msix) != 0)
		msix = true;
	if (!msix) {
		error = pci_msi_add(v->pd, 1);
	} else {
		v->nvec = v->nqueues + 1;
		error = pci_bar_add(v->pd, VIRTIO_BAR_MSIX, PCI_BAR_MEM32,
		    VIRTIO_BAR_MSIX_SIZE);
		if (error == 0)
			error = pci_msix_add(v->pd, v->nvec, VIRTIO_BAR_MSIX, 0,
			    VIRTIO_MSIX_PBA);
	}
	return error != 0 ? error : pci_intx_add(v->pd);
}

static int
virtio_init_pci(struct virtio_pci *v)
{
	int error = 0;

	virtio_init_identity(v);
	if (v->legacy)
		error = virtio_legacy_init(v);
	if (error == 0)
		error = virtio_init_interrupts(v);
	if (error == 0 && v->modern)
		error = virtio_modern_init(v);
	return error;
}

static int
virtio_init_bells(
    struct virtio_pci *v, uint64_t bells, char *err, size_t err_len)
{
	const char *setting = pci_dev_opt(v->pd, "ioeventfd");
	bool on;

	if (setting != NULL && conf_parse_bool(setting, &on) != 0) {
		snprintf(err, err_len, "%s: bad ioeventfd '%s': want on or off",
		    pci_dev_name(v->pd), setting);
		return -EINVAL;
	}
	if (setting != NULL)
		bells = on ? UINT64_MAX : 0;
	for (unsigned int q = 0; q < v->nqueues; q++) {
		if ((bells & BIT64(q)) == 0)
			continue;
		if (v->legacy)
			virtio_legacy_add_bell(v, q);
		if (v->modern)
			virtio_modern_add_bell(v, q);
	}
	return 0;
}

int
virtio_init(struct virtio_dev *dev, struct pci_dev *pd,
    const struct virtio_ops *ops, const struct virtio_spec *spec, char *err,
    size_t err_len)
{
	struct virtio_pci *v;
	int error;

	assert(spec->nqueues >= 1 && spec->nqueues <= VIRTIO_NQUEUES_MAX);
	assert(spec->queue_size >= 1 && spec->queue_size <= VIRTIO_QUEUE_MAX &&
	       (spec->queue_size & (spec->queue_size - 1)) == 0);
	v = xcalloc(1, sizeof(*v) + spec->nqueues * sizeof(v->vq[0]));
	dev->core = v;
	v->dev = dev;
	v->pd = pd;
	v->ops = ops;
	v->nqueues = spec->nqueues;
	v->queue_size = spec->queue_size;
	v->offered = spec->features | BIT64(VIRTIO_F_INDIRECT_DESC) |
		     BIT64(VIRTIO_F_EVENT_IDX) | BIT64(VIRTIO_F_VERSION_1);
	v->r.config_vector = VIRTIO_NO_VECTOR;
	for (unsigned int i = 0; i < v->nqueues; i++)
		vq_init(&v->vq[i], v, i);
	error = virtio_pick_transport(v, err, err_len);
	if (error != 0)
		return error;
	error = virtio_init_pci(v);
	if (error != 0) {
		snprintf(err, err_len, "%s: no room in PCI space: %s",
		    pci_dev_name(pd), strerror(-error));
		return error;
	}
	return virtio_init_bells(v, spec->bells, err, err_len);
}

void
virtio_fini(struct virtio_dev *dev)
{
	free(dev->core);
	dev->core = NULL;
}

/* --- accesses ------------------------------------------------------------- */

bool
virtio_pci_cfg_read(
    struct pci_dev *pd, unsigned int off, unsigned int bytes, uint32_t *ret_val)
{
	return virtio_pcicfg_read(virtio_of(pd), off, bytes, ret_val);
}

bool
virtio_pci_cfg_write(
    struct pci_dev *pd, unsigned int off, unsigned int bytes, uint32_t val)
{
	return virtio_pcicfg_write(virtio_of(pd), off, bytes, val);
}

uint32_t
virtio_pci_bar_read(
    struct pci_dev *pd, unsigned int bar, uint64_t off, unsigned int bytes)
{
	struct virtio_pci *v = virtio_of(pd);
	uint8_t buf[4] = { 0 };

	if (bar == VIRTIO_BAR_MODERN)
		virtio_modern_read(v, off, buf, bytes);
	else if (bar == VIRTIO_BAR_LEGACY)
		virtio_legacy_read(v, off, buf, bytes);
	return get_le32(buf);
}

void
virtio_pci_bar_write(struct pci_dev *pd, unsigned int bar, uint64_t off,
    unsigned int bytes, uint32_t val)
{
	struct virtio_pci *v = virtio_of(pd);
	uint8_t buf[4];

	put_le32(buf, val);
	if (bar == VIRTIO_BAR_MODERN)
		virtio_modern_write(v, off, buf, bytes);
	else if (bar == VIRTIO_BAR_LEGACY)
		virtio_legacy_write(v, off, buf, bytes);
}

/* Bytes of an access at `off` that lie inside the structure. */
static unsigned int
virtio_cfg_clip(const struct virtio_pci *v, uint64_t off, unsigned int len)
{
	if (off >= v->ops->cfg_len)
		return 0;
	return (unsigned int)MIN((uint64_t)len, v->ops->cfg_len - off);
}

void
virtio_cfg_read(
    struct virtio_pci *v, uint64_t off, uint8_t *buf, unsigned int len)
{
	unsigned int n = virtio_cfg_clip(v, off, len);

	memset(buf, 0, len);
	if (n > 0 && v->ops->cfg_read != NULL)
		v->ops->cfg_read(v->dev, (unsigned int)off, buf, n);
}

void
virtio_cfg_write(
    struct virtio_pci *v, uint64_t off, const uint8_t *buf, unsigned int len)
{
	unsigned int n = virtio_cfg_clip(v, off, len);

	if (n > 0 && v->ops->cfg_write != NULL)
		v->ops->cfg_write(v->dev, (unsigned int)off, buf, n);
}

/* --- pause and snapshot --------------------------------------------------- */

void
virtio_pci_pause(struct pci_dev *pd)
{
	struct virtio_pci *v = virtio_of(pd);

	v->paused = true;
	if (v->ops->pause != NULL)
		v->ops->pause(v->dev);
}

void
virtio_pci_resume(struct pci_dev *pd)
{
	struct virtio_pci *v = virtio_of(pd);

	v->paused = false;
	for (unsigned int i = 0; i < v->nqueues; i++)
		vq_resume(&v->vq[i]);
	if (v->ops->resume != NULL)
		v->ops->resume(v->dev);
	virtio_kick_all(v);
}

static bool
virtio_vector_valid(const struct virtio_pci *v, uint16_t vector)
{
	return vector == VIRTIO_NO_VECTOR || vector < v->nvec;
}

/* The stream is as hostile as a guest: what no driver could have made, fails.
 */
static bool
virtio_regs_valid(const struct virtio_pci *v, const struct virtio_regs *r)
{
	uint64_t offered = v->modern ? v->offered : 0;

	if (v->legacy)
		offered |= virtio_legacy_features(v);
	return (r->features & ~offered) == 0 &&
	       virtio_vector_valid(v, r->config_vector) &&
	       (r->status & ~(VIRTIO_S_DRIVER_BITS | VIRTIO_S_NEEDS_RESET)) ==
		   0 &&
	       (r->isr & ~(VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG)) == 0 &&
	       r->started <= 1 && r->broken <= 1;
}

static bool
virtio_queue_valid(const struct virtio_pci *v, const struct vq_regs *r)
{
	return r->size > 0 && r->size <= v->queue_size &&
	       (r->size & (r->size - 1)) == 0 &&
	       virtio_vector_valid(v, r->vector) && r->enabled <= 1;
}

static void
virtio_snapshot_queue(struct vq *q, struct snap *s)
{
	struct vq_regs *r = &q->r;

	snap_var(s, r->desc_gpa);
	snap_var(s, r->avail_gpa);
	snap_var(s, r->used_gpa);
	snap_var(s, r->size);
	snap_var(s, r->vector);
	snap_var(s, r->last_avail);
	snap_var(s, r->used_idx);
	snap_var(s, r->signalled);
	snap_var(s, r->enabled);
	if (snap_error(s) != 0 || !snap_loading(s))
		return;
	/* Bus mastering was loaded before. */
	if (!virtio_queue_valid(q->core, r) ||
	    (r->enabled && pci_bus_master(q->core->pd) && !vq_map(q)))
		snap_fail(s);
}

static void
virtio_snapshot_regs(struct virtio_pci *v, struct snap *s)
{
	struct virtio_regs *r = &v->r;

	snap_var(s, r->driver_features);
	snap_var(s, r->features);
	snap_var(s, r->device_feature_select);
	snap_var(s, r->driver_feature_select);
	snap_var(s, r->queue_select);
	snap_var(s, r->config_vector);
	snap_var(s, r->status);
	snap_var(s, r->isr);
	snap_var(s, r->config_generation);
	snap_var(s, r->started);
	snap_var(s, r->broken);
	if (snap_error(s) == 0 && !virtio_regs_valid(v, r))
		snap_fail(s);
}

/* A device that does not load is as after a reset. */
void
virtio_pci_snapshot(struct pci_dev *pd, struct snap *s)
{
	struct virtio_pci *v = virtio_of(pd);

	if (snap_loading(s))
		virtio_reset(v);
	virtio_snapshot_regs(v, s);
	for (unsigned int i = 0; i < v->nqueues && snap_error(s) == 0; i++) {
		/* The model's pause sees to it; a chain cannot be saved. */
		assert(snap_loading(s) || v->vq[i].nheads == 0 || v->r.broken);
		virtio_snapshot_queue(&v->vq[i], s);
	}
	if (snap_error(s) == 0 && v->ops->snapshot != NULL)
		v->ops->snapshot(v->dev, s);
	if (snap_loading(s) && snap_error(s) != 0)
		virtio_reset(v);
	if (snap_loading(s)) {
		pci_intx_set(pd, v->r.isr != 0);
		pci_bells_set(pd, v->r.started);
	}
}

/* --- for models ----------------------------------------------------------- */

struct pci_dev *
virtio_pci_dev(const struct virtio_dev *dev)
{
	return dev->core->pd;
}

uint64_t
virtio_features(const struct virtio_dev *dev)
{
	return dev->core->r.features;
}

bool
virtio_has(const struct virtio_dev *dev, unsigned int feature_bit)
{
	return virtio_negotiated(dev->core, feature_bit);
}

bool
virtio_running(const struct virtio_dev *dev)
{
	return dev->core->r.started && !dev->core->r.broken;
}

uint32_t
virtio_generation(const struct virtio_dev *dev)
{
	return dev->core->generation;
}

struct vq *
virtio_vq(struct virtio_dev *dev, unsigned int q)
{
	assert(q < dev->core->nqueues);
	return &dev->core->vq[q];
}
