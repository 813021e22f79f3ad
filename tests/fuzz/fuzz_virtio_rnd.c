/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_virtio_rnd.c - src/dev/virtio/rnd.c, with a rate. */
#include "fuzz.h"

#include "fuzz_virtio.h"

extern const struct pci_dev_ops virtio_rnd_ops;

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct fuzz_virtio f = {
		.ops = &virtio_rnd_ops,
		.settings = "rate=4k",
		.nqueues = 1,
	};

	fuzz_virtio(&f, data, size);
	return 0;
}
