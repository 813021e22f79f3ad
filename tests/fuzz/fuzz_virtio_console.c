/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_virtio_console.c - src/dev/virtio/console.c: control messages and data
 * of three ports without a host's end.
 */
#include "fuzz.h"

#include "fuzz_virtio.h"

extern const struct pci_dev_ops virtio_console_ops;

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct fuzz_virtio f = {
		.ops = &virtio_console_ops,
		.settings = "port.0.path=null,port.0.console=true,"
			    "port.1.path=null,port.1.name=one,"
			    "port.3.path=null",
		.nqueues = 10,
	};

	fuzz_virtio(&f, data, size);
	return 0;
}
