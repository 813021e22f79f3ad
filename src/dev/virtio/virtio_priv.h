/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_priv.h - what the ring walker, the transports and the core share.
 * Section numbers are of OASIS virtio 1.2.
 */
#ifndef VIRTIO_PRIV_H
#define VIRTIO_PRIV_H

#include <assert.h>

#include <vmm/virtio.h>

/* --- rings in guest memory, section 2.7 -----------------------------------
 */

#define VRING_DESC_F_NEXT	   1
#define VRING_DESC_F_WRITE	   2 /* the device writes, else it reads */
#define VRING_DESC_F_INDIRECT	   4
#define VRING_AVAIL_F_NO_INTERRUPT 1
#define VRING_USED_F_NO_NOTIFY	   1

struct vring_desc { /* 2.7.5 */
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};
static_assert(sizeof(struct vring_desc) == 16, "2.7.5");

struct vring_avail { /* 2.7.6; used_event is ring[size] */
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[];
};

struct vring_used_elem {
	uint32_t id;
	uint32_t len;
};
struct vring_used { /* 2.7.8; avail_event follows ring[size - 1] */
	uint16_t flags;
	uint16_t idx;
	struct vring_used_elem ring[];
};
static_assert(offsetof(struct vring_used, ring) == 4, "2.7.8");

/* 2.7: bytes and alignments of the three areas, event fields included. */
#define VRING_DESC_BYTES(n)  (16u * (n))
#define VRING_AVAIL_BYTES(n) (6u + 2u * (n))
#define VRING_USED_BYTES(n)  (6u + 8u * (n))
#define VRING_DESC_ALIGN     16u
#define VRING_AVAIL_ALIGN    2u
#define VRING_USED_ALIGN     4u
#define VRING_LEGACY_ALIGN   4096u /* 2.7.2 and docs/bhyve.md 1.16 */

#define VIRTIO_NO_VECTOR     0xffffu

/* What the guest sees of a queue, and what a snapshot holds. */
struct vq_regs {
	uint64_t desc_gpa, avail_gpa, used_gpa;
	uint16_t size;	     /* a power of two, never 0 */
	uint16_t vector;     /* MSI-X, or VIRTIO_NO_VECTOR */
	uint16_t last_avail; /* next entry of the available ring to take */
	uint16_t used_idx;   /* next entry of the used ring to fill */
	uint16_t signalled;  /* used_idx at the last vq_notify() */
	uint8_t enabled;
};

struct vq {
	struct virtio_pci *core;
	unsigned int index;
	struct vq_regs r;

	/* Host addresses, found when the queue was enabled; NULL: not yet. */
	const struct vring_desc *desc;
	const struct vring_avail *avail;
	struct vring_used *used;

	bool kicks;	  /* the model wants to hear of new buffers */
	bool event_armed; /* avail_event holds event_at */
	uint16_t event_at;
	unsigned int nheads; /* in flight: popped and not pushed */
	uint64_t inflight[VIRTIO_QUEUE_MAX / 64]; /* by head */
	uint16_t popped[VIRTIO_QUEUE_MAX]; /* head, by place in avail ring */
};

/* As after a reset, with `size` descriptors. */
void vq_init(struct vq *, struct virtio_pci *, unsigned int index);
void vq_reset(struct vq *);
/*
 * Look up the host addresses of the enabled queue's rings; false: misaligned or
 * not in RAM.  Bus mastering must be on.
 */
bool vq_map(struct vq *) WARN_UNUSED;
/* The machine goes on, perhaps from a checkpoint: kicks on, in memory too. */
void vq_resume(struct vq *);

/* --- the device ------------------------------------------------------------
 */

/* Section 2.1. */
#define VIRTIO_S_ACKNOWLEDGE 0x01
#define VIRTIO_S_DRIVER	     0x02
#define VIRTIO_S_DRIVER_OK   0x04
#define VIRTIO_S_FEATURES_OK 0x08
#define VIRTIO_S_NEEDS_RESET 0x40
#define VIRTIO_S_FAILED	     0x80
#define VIRTIO_S_DRIVER_BITS 0x8f /* what a driver may set */

/* Section 4.1.4.5. */
#define VIRTIO_ISR_QUEUE  0x1
#define VIRTIO_ISR_CONFIG 0x2

/* What the guest sees of the device, and what a snapshot holds. */
struct virtio_regs {
	uint64_t driver_features; /* as written */
	uint64_t features;	  /* negotiated */
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select;
	uint16_t config_vector;
	uint8_t status, isr, config_generation;
	uint8_t started; /* the model runs: DRIVER_OK, or legacy's first kick */
	uint8_t broken;
};

#define VIRTIO_BAR_LEGACY      0 /* I/O, as in bhyve */
#define VIRTIO_BAR_MSIX	       1 /* memory, as in bhyve */
#define VIRTIO_BAR_MODERN      4
#define VIRTIO_BAR_MSIX_SIZE   4096u
#define VIRTIO_BAR_MODERN_SIZE 0x4000u
#define VIRTIO_MSIX_PBA	       0x800u

struct virtio_pci {
	struct virtio_dev *dev;
	struct pci_dev *pd;
	const struct virtio_ops *ops;
	uint64_t offered; /* by the modern transport; legacy: virtio_legacy_x */
	unsigned int nvec; /* MSI-X vectors; 0: one MSI instead */
	bool legacy, modern;
	bool paused;	      /* resume looks at all queues */
	uint32_t legacy_size; /* of BAR 0 */
	unsigned int pcicfg;  /* where the PCI configuration access cap is */
	uint32_t generation;
	struct virtio_regs r;
	unsigned int nqueues;
	uint16_t queue_size;
	struct vq vq[];
};

/* The queue the driver selected, or NULL. */
static inline struct vq *
virtio_selected(struct virtio_pci *v)
{
	return v->r.queue_select < v->nqueues ? &v->vq[v->r.queue_select]
					      : NULL;
}

static inline bool
virtio_negotiated(const struct virtio_pci *v, unsigned int bit)
{
	return (v->r.features & BIT64(bit)) != 0;
}

/* virtio_pci.c, for the transports. */
void virtio_reset(struct virtio_pci *);
void virtio_start(struct virtio_pci *);
/* The rings' addresses are set: enable the queue, or break the device. */
void virtio_enable_queue(struct vq *);
/* Valid vectors are kept; others become VIRTIO_NO_VECTOR. */
uint16_t virtio_vector(const struct virtio_pci *, uint32_t val);
/* Read and clear; the wired interrupt goes low. */
uint32_t virtio_read_isr(struct virtio_pci *);
/* Configuration structure: zeros beyond its end, writes there ignored. */
void virtio_cfg_read(
    struct virtio_pci *, uint64_t off, uint8_t *buf, unsigned int len);
void virtio_cfg_write(
    struct virtio_pci *, uint64_t off, const uint8_t *buf, unsigned int len);
void virtio_interrupt_queue(struct vq *);

/*
 * Registers behind a BAR.  An access of any width at any offset is cut into
 * registers (virtio_regs.c): a read takes the bytes it covers, a write of a
 * part leaves the rest of the register as it reads.  read NULL: zero; write
 * NULL: ignored.
 */
struct virtio_reg {
	uint8_t off, len;
	uint32_t (*read)(struct virtio_pci *);
	void (*write)(struct virtio_pci *, uint32_t val);
};
void virtio_regs_read(struct virtio_pci *, const struct virtio_reg *,
    size_t nregs, uint64_t off, uint8_t *buf, unsigned int len);
void virtio_regs_write(struct virtio_pci *, const struct virtio_reg *,
    size_t nregs, uint64_t off, const uint8_t *buf, unsigned int len);
uint32_t virtio_read_queue_select(struct virtio_pci *);
void virtio_write_queue_select(struct virtio_pci *, uint32_t val);
uint32_t virtio_read_config_vector(struct virtio_pci *);
void virtio_write_config_vector(struct virtio_pci *, uint32_t val);
uint32_t virtio_read_queue_vector(struct virtio_pci *);
void virtio_write_queue_vector(struct virtio_pci *, uint32_t val);
uint32_t virtio_read_status(struct virtio_pci *);

static inline void
virtio_kick(struct virtio_pci *v, unsigned int q)
{
	if (q < v->nqueues && v->r.started && !v->r.broken &&
	    v->ops->notify != NULL)
		v->ops->notify(v->dev, q);
}

/* A queue's doorbell rang, in the event thread. */
void virtio_bell(struct pci_dev *, unsigned int q);

/* virtio_pci_legacy.c */
uint64_t virtio_legacy_features(const struct virtio_pci *);
int virtio_legacy_init(struct virtio_pci *) WARN_UNUSED;
void virtio_legacy_add_bell(struct virtio_pci *, unsigned int q);
void virtio_legacy_read(
    struct virtio_pci *, uint64_t off, uint8_t *buf, unsigned int len);
void virtio_legacy_write(
    struct virtio_pci *, uint64_t off, const uint8_t *buf, unsigned int len);

/* virtio_pci_modern.c */
int virtio_modern_init(struct virtio_pci *) WARN_UNUSED;
void virtio_modern_add_bell(struct virtio_pci *, unsigned int q);
void virtio_modern_read(
    struct virtio_pci *, uint64_t off, uint8_t *buf, unsigned int len);
void virtio_modern_write(
    struct virtio_pci *, uint64_t off, const uint8_t *buf, unsigned int len);
bool virtio_pcicfg_read(struct virtio_pci *, unsigned int off,
    unsigned int bytes, uint32_t *ret_val);
bool virtio_pcicfg_write(
    struct virtio_pci *, unsigned int off, unsigned int bytes, uint32_t val);
/* True when every bit the driver wants was offered and VERSION_1 is there. */
bool virtio_modern_features_ok(const struct virtio_pci *);

#endif /* VIRTIO_PRIV_H */
