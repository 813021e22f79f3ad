/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci_board.h - a board with PCI buses, and a model whose BARs and interrupts
 * a test chooses.
 */
#ifndef PCI_BOARD_H
#define PCI_BOARD_H

#include "board.h"

#include <vmm/pci.h>

struct pci_board {
	struct board b;
	struct pci_bus *bus;
};

void pci_board_init(struct pci_board *);
void pci_board_fini(struct pci_board *);
/* Fails the test when the device cannot be made. */
void pci_board_add(struct pci_board *, const char *model, unsigned int bus,
    unsigned int slot, unsigned int func);

/* What a probe has; BARs of size 0 are not there. */
struct probe_spec {
	struct {
		enum pci_bar_kind kind;
		uint64_t size;
	} bar[PCI_NBARS];
	unsigned int msi, msix; /* vectors */
	unsigned int msix_bar;
	uint32_t table_off, pba_off;
	bool intx, express;
};

/* Behind each BAR: 64 bytes of memory, over and over. */
#define PROBE_BYTES 64u
struct probe {
	uint8_t mem[PCI_NBARS][PROBE_BYTES];
	unsigned int reads, writes; /* accesses */
	unsigned int last_bar, last_bytes;
	uint64_t last_off;
};

/* 0 or pci_dev_create()'s error. */
int probe_try(struct pci_board *, const struct probe_spec *, unsigned int bus,
    unsigned int slot, unsigned int func, struct pci_dev **ret_pd, char *err,
    size_t err_len);
struct pci_dev *probe_add(struct pci_board *, const struct probe_spec *,
    unsigned int bus, unsigned int slot, unsigned int func);
static inline struct probe *
probe_of(struct pci_dev *pd)
{
	return pci_dev_state(pd);
}

/* Configuration space of a function, by ECAM. */
#define BDF(bus, slot, func)                                                   \
	((uint32_t)(bus) << 20 | (uint32_t)(slot) << 15 |                      \
	    (uint32_t)(func) << 12)
uint32_t cfg_read(
    struct pci_board *, uint32_t bdf, unsigned int off, unsigned int bytes);
void cfg_write(struct pci_board *, uint32_t bdf, unsigned int off,
    unsigned int bytes, uint32_t val);
/* The same by 0xCF8. */
uint32_t
cf8_read(struct pci_board *, uint32_t bdf, unsigned int off, unsigned int n);
void cf8_write(struct pci_board *, uint32_t bdf, unsigned int off,
    unsigned int n, uint32_t val);
/* Offset of a capability, or 0. */
unsigned int cfg_cap(struct pci_board *, uint32_t bdf, uint8_t id);

#define R_COMMAND  0x04
#define R_STATUS   0x06
#define R_BAR(n)   (0x10 + 4 * (n))
#define R_INTLINE  0x3c
#define R_INTPIN   0x3d
#define CMD_IO	   0x001
#define CMD_MEM	   0x002
#define CMD_BM	   0x004
#define CMD_NOINTX 0x400
#define CAP_MSI	   0x05
#define CAP_PCIE   0x10
#define CAP_MSIX   0x11

#endif /* PCI_BOARD_H */
