/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lpc: the PCI-to-ISA bridge (Intel 82371SB PIIX3, function 0, with the eight
 * PIRQ registers of ICH), behind which the com ports and the other ISA chips
 * sit (docs/bhyve.md 1.8).
 *
 * The core keeps and obeys the PIRQ registers; here they are shown.  The chips
 * behind the bridge are made by the machine.
 */
#include <vmm/pci.h>

#define LPC_PIRQ_AD	0x60 /* A to D */
#define LPC_PIRQ_EH	0x68 /* E to H */
#define LPC_PIRQ_NGROUP 4u

/* The PIRQ whose register is at `off`, or -1. */
static int
lpc_pirq(unsigned int off)
{
	if (off - LPC_PIRQ_AD < LPC_PIRQ_NGROUP)
		return (int)(off - LPC_PIRQ_AD);
	if (off - LPC_PIRQ_EH < LPC_PIRQ_NGROUP)
		return (int)(off - LPC_PIRQ_EH + LPC_PIRQ_NGROUP);
	return -1;
}

/* Aligned accesses are all registers or none. */
static bool
lpc_cfg_read(
    struct pci_dev *pd, unsigned int off, unsigned int bytes, uint32_t *ret_val)
{
	int pirq = lpc_pirq(off);
	uint32_t val = 0;

	if (pirq < 0)
		return false;
	for (unsigned int i = 0; i < bytes; i++)
		val |= (uint32_t)pci_pirq_reg(
			   pci_dev_bus(pd), (unsigned int)pirq + i)
		       << 8 * i;
	*ret_val = val;
	return true;
}

static bool
lpc_cfg_write(
    struct pci_dev *pd, unsigned int off, unsigned int bytes, uint32_t val)
{
	int pirq = lpc_pirq(off);

	if (pirq < 0)
		return false;
	for (unsigned int i = 0; i < bytes; i++)
		pci_pirq_route(pci_dev_bus(pd), (unsigned int)pirq + i,
		    (uint8_t)(val >> 8 * i));
	return true;
}

static int
lpc_init(struct pci_dev *pd, char *err, size_t err_len)
{
	pci_pirq_attach(pci_dev_bus(pd));
	return 0;
}

extern const struct pci_dev_ops lpc_ops;

const struct pci_dev_ops lpc_ops = {
	.name = "lpc",
	.summary = "PCI-to-ISA bridge, needed for com ports",
	.id = { .vendor = 0x8086, .device = 0x7000, .class_code = 0x060100 },
	.bus0_only = true,
	.single = true,
	.init = lpc_init,
	.cfg_read = lpc_cfg_read,
	.cfg_write = lpc_cfg_write,
};
