/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hostbridge and amd_hostbridge: the bridge between CPU and PCI, of which a
 * guest reads the identity and not much more (docs/bhyve.md 1.3).
 *
 * It carries the PCI Express capability of a root port (PCI Express 2.1
 * section 7.8) because guests take its presence as leave to use MSI; the AMD
 * identity is for those that know which chipsets do MSI.  All of it is
 * read-only.
 */
#include <vmm/pci.h>

#define PCI_CAP_EXPRESS 0x10
#define PCIE_CAP_LEN	0x3c

/* Offsets in the capability. */
#define PCIE_CAPS	    0x02
#define PCIE_LINK_CAP	    0x0c
#define PCIE_LINK_STS	    0x12

#define PCIE_CAPS_VERSION_2 0x0002
#define PCIE_CAPS_ROOT_PORT 0x0040
#define PCIE_LINK_CAP_VALUE 0x0411 /* 2.5 GT/s, one lane, L0s */
#define PCIE_LINK_STS_VALUE 0x0011 /* 2.5 GT/s, one lane */

#define CLASS_HOST_BRIDGE   0x060000

static int
hostbridge_init(struct pci_dev *pd, char *err, size_t err_len)
{
	int cap = pci_cap_add(pd, PCI_CAP_EXPRESS, PCIE_CAP_LEN);
	unsigned int off = (unsigned int)cap;

	if (cap < 0)
		return cap;
	pci_cfg_set16(
	    pd, off + PCIE_CAPS, PCIE_CAPS_VERSION_2 | PCIE_CAPS_ROOT_PORT);
	pci_cfg_set32(pd, off + PCIE_LINK_CAP, PCIE_LINK_CAP_VALUE);
	pci_cfg_set16(pd, off + PCIE_LINK_STS, PCIE_LINK_STS_VALUE);
	return 0;
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
