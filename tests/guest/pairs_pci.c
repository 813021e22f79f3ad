/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pairs_pci.c - dummy devices for the payload: two functions of slot 3, and one
 * behind another root bus.
 */
#include "host.h"

#include <util/util.h>
#include <vmm/pci.h>

static void
pci_setup(struct guest *g)
{
	static const uint8_t at[][3] = { { 0, 3, 0 }, { 0, 3, 1 },
		{ 5, 2, 0 } };
	char why[256] = "";

	for (unsigned int i = 0; i < ARRAY_LEN(at); i++)
		if (pci_dev_create(g->pci, pci_dev_find("dummy"), NULL,
			at[i][0], at[i][1], at[i][2], why, sizeof(why)) != 0)
			host_die("%s", why);
}

static const struct pair pci_pairs[] = {
	{ .name = "pci", .payload = "pci", .setup = pci_setup },
};
const struct pair_group pci_group = {
	.name = "pci",
	.pairs = pci_pairs,
	.npairs = ARRAY_LEN(pci_pairs),
};
