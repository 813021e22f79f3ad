/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All PCI device models, in the order in which `-s help` lists them.  A new
 * model is one line here and one in meson.build; include/vmm/pci.h says what
 * it must provide, lpc.c is a small example.
 */
#include <vmm/pci.h>

#define PCI_MODELS(MODEL)                                                      \
	MODEL(hostbridge_ops)                                                  \
	MODEL(amd_hostbridge_ops)                                              \
	MODEL(lpc_ops)                                                         \
	MODEL(ahci_ops)                                                        \
	MODEL(ahci_hd_ops)                                                     \
	MODEL(ahci_cd_ops)                                                     \
	MODEL(virtio_blk_ops)                                                  \
	MODEL(virtio_console_ops)                                              \
	MODEL(virtio_net_ops)                                                  \
	MODEL(virtio_rnd_ops)                                                  \
	MODEL(uart_ops)                                                        \
	MODEL(dummy_ops)

#define DECLARE(ops) extern const struct pci_dev_ops ops;
#define ENTRY(ops)   &ops,

PCI_MODELS(DECLARE)

const struct pci_dev_ops *const pci_dev_table[] = { PCI_MODELS(ENTRY) };
const size_t pci_dev_table_len = ARRAY_LEN(pci_dev_table);

const struct pci_dev_ops *
pci_dev_find(const char *name)
{
	for (size_t i = 0; i < pci_dev_table_len; i++)
		if (strcmp(pci_dev_table[i]->name, name) == 0)
			return pci_dev_table[i];
	return NULL;
}
