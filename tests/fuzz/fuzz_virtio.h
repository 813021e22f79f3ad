/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_virtio.h - what the fuzz targets of virtio devices share: the input is
 * what a guest does to one device, as a list of steps (fuzz_virtio.c).
 */
#ifndef FUZZ_VIRTIO_H
#define FUZZ_VIRTIO_H

#include <stddef.h>
#include <stdint.h>

#include <virtio_driver.h>

struct fuzz_virtio {
	const struct pci_dev_ops *ops;
	const char *settings;
	unsigned int nqueues;
	void (*ready)(void); /* the device was made; may be NULL */
};

/*
 * A machine with this device; after bit 0 of the first byte the driver is a
 * legacy or a modern one, with bit 1 the device is running before the first
 * step.
 */
void fuzz_virtio(const struct fuzz_virtio *, const uint8_t *data, size_t size);

#endif /* FUZZ_VIRTIO_H */
