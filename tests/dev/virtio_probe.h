/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_probe.h - a virtio device that does nothing by itself: the test pops
 * and pushes, and reads what the core told the model.
 */
#ifndef VIRTIO_PROBE_H
#define VIRTIO_PROBE_H

#include <vmm/virtio.h>

#define PROBE_NQUEUES	 3u
#define PROBE_QUEUE_SIZE 8u
#define PROBE_CFG_LEN	 11u /* odd: accesses cross its end */
#define PROBE_FEATURES	 (BIT64(5) | BIT64(9) | BIT64(35))

struct virtio_probe {
	struct virtio_dev dev; /* first */
	struct pci_dev *pd;
	uint8_t cfg[PROBE_CFG_LEN];
	uint8_t saved; /* the model's own state */
	unsigned int starts, resets, pauses, resumes;
	unsigned int notified[PROBE_NQUEUES];
	/* Called from notify(), if set. */
	void (*on_notify)(struct virtio_probe *, unsigned int q);
	void (*on_reset)(struct virtio_probe *);
};

/* Types with and without a transitional device ID. */
extern const struct pci_dev_ops virtio_probe_ops, virtio_probe_modern_ops;
/* The device made last. */
extern struct virtio_probe *virtio_probe;

#endif /* VIRTIO_PROBE_H */
