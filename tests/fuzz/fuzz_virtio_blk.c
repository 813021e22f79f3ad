/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_virtio_blk.c - src/dev/virtio/blk.c on a disk in memory, of two queues.
 */
#include "fuzz.h"

#include "fuzz_virtio.h"

#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <util/log.h>

#define DISK_BYTES (64 * 1024)

extern const struct pci_dev_ops virtio_blk_ops;

static void
quiet(enum log_level level, const char *line)
{
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char settings[64];
	const struct fuzz_virtio f = {
		.ops = &virtio_blk_ops,
		.settings = settings,
		.nqueues = 2,
	};
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert(fd >= 0 && ftruncate(fd, DISK_BYTES) == 0);
	snprintf(settings, sizeof(settings),
	    "path=/proc/self/fd/%d,queues=2,aio=threads", fd);
	log_set_sink(quiet);
	fuzz_virtio(&f, data, size);
	close(fd);
	return 0;
}
