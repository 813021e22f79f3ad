/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pairs_virtio.c - a virtio device in slot 3 for the payload to drive.
 */
#include "host.h"

#include <util/util.h>
#include <vmm/pci.h>

static void
virtio_setup(struct guest *g)
{
	char err[256] = "";

	if (pci_dev_create(g->pci, pci_dev_find("virtio-rnd"), NULL, 0, 3, 0,
		err, sizeof(err)) != 0)
		host_die("%s", err);
}

static const struct pair virtio_pairs[] = {
	{ .name = "virtio", .payload = "virtio", .setup = virtio_setup },
};
const struct pair_group virtio_group = {
	.name = "virtio",
	.pairs = virtio_pairs,
	.npairs = ARRAY_LEN(virtio_pairs),
};
