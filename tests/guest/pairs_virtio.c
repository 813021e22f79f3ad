/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pairs_virtio.c - a virtio device in slot 3 for the payload to drive; once
 * more with doorbells, which the event thread serves where the engine has them.
 */
#include "host.h"

#include <conf/conf.h>
#include <util/util.h>
#include <vmm/pci.h>

static void
add_rnd(struct guest *g, const struct conf *conf)
{
	char err[256] = "";

	if (pci_dev_create(g->pci, pci_dev_find("virtio-rnd"), conf, 0, 3, 0,
		err, sizeof(err)) != 0)
		host_die("%s", err);
}

static void
virtio_setup(struct guest *g)
{
	add_rnd(g, NULL);
}

static struct conf *bells_conf;

static void
bells_setup(struct guest *g)
{
	bells_conf = conf_create();
	conf_set_raw(bells_conf, "pci.0.3.0.ioeventfd", "on");
	add_rnd(g, bells_conf);
}

static void
bells_check(struct guest *g)
{
	conf_destroy(bells_conf);
}

static const struct pair virtio_pairs[] = {
	{ .name = "virtio", .payload = "virtio", .setup = virtio_setup },
	{ .name = "virtio bells",
	    .payload = "virtio",
	    .setup = bells_setup,
	    .check = bells_check },
};
const struct pair_group virtio_group = {
	.name = "virtio",
	.pairs = virtio_pairs,
	.npairs = ARRAY_LEN(virtio_pairs),
};
