/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hostbridge and amd_hostbridge: the bridge between CPU and PCI, of which a
 * guest reads the identity and not much more (docs/bhyve.md 1.3).
 *
 * It carries the PCI Express capability of a root port (PCI Express 2.1
 * section 7.8) because guests take its presence as leave to use MSI; the AMD
 * identity is for those that know which chipsets do MSI.
 */
#include <vmm/pci.h>

#define CLASS_HOST_BRIDGE 0x060000

static int
hostbridge_init(struct pci_dev *pd, char *err, size_t err_len)
{
	return pci_express_cap_add(pd, PCIE_TYPE_ROOT_PORT);
}

extern const struct pci_dev_ops hostbridge_ops, amd_hostbridge_ops;

const struct pci_dev_ops hostbridge_ops = {
	.name = "hostbridge",
	.summary = "host bridge",
	.id = {
		.vendor = 0x1275,
		.device = 0x1275,
		.class_code = CLASS_HOST_BRIDGE,
	},
	.init = hostbridge_init,
};

const struct pci_dev_ops amd_hostbridge_ops = {
	.name = "amd_hostbridge",
	.summary = "host bridge with an AMD identity",
	.id = {
		.vendor = 0x1022,
		.device = 0x7432,
		.class_code = CLASS_HOST_BRIDGE,
	},
	.init = hostbridge_init,
};
