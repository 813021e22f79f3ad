/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lpc: the PCI-to-ISA bridge (Intel 82371SB PIIX3, function 0, with the eight
 * PIRQ registers of ICH), behind which the com ports and the other ISA chips
 * sit (docs/bhyve.md 1.8).
 *
 * Bit 7 of a PIRQ register disables the pin, bits 3:0 name the ISA interrupt
 * it goes to.  The chips themselves are made by the machine, not here.
 */
#include <vmm/pci.h>

#define LPC_PIRQ_AD   0x60 /* A to D */
#define LPC_PIRQ_EH   0x68 /* E to H */

#define PIRQ_DISABLE  0x80
#define PIRQ_WRITABLE 0x8f

/* The same byte four times. */
#define LPC_FOUR(b) ((uint32_t)(b)*0x01010101u)

static int
lpc_init(struct pci_dev *pd, char *err, size_t err_len)
{
	static const unsigned int groups[] = { LPC_PIRQ_AD, LPC_PIRQ_EH };

	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		pci_cfg_set32(pd, groups[i], LPC_FOUR(PIRQ_DISABLE));
		pci_cfg_writable(pd, groups[i], LPC_FOUR(PIRQ_WRITABLE));
	}
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
};
