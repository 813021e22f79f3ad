/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_pci.h - the model's half of vmm/pci.h without a machine: guest memory is
 * an array, the lock only counts, interrupts are written down.  For tests that
 * want to see every request to the core, and for fuzzing, where a machine for
 * each input would be too slow.
 */
#ifndef TESTS_DEV_FAKE_PCI_H
#define TESTS_DEV_FAKE_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmm/pci.h>

#define FAKE_PCI_MEM (1u << 20)

struct fake_pci_opt {
	const char *name, *value;
};

struct pci_dev {
	const struct pci_dev_ops *ops;
	const struct fake_pci_opt *opts; /* ends with name NULL; NULL: none */
	void *state;
	uint8_t *mem; /* FAKE_PCI_MEM bytes at gpa 0 */
	bool locked, master;
	unsigned int msi_enabled; /* vectors; 0: off */
	unsigned int msis;
	bool intx;
	unsigned int bar;
	uint64_t bar_bytes;
	uint64_t written; /* bytes pci_dma_written() and pci_dma_write() told */
};

/* NULL with a line in err when the model refuses. */
struct pci_dev *fake_pci_create(const struct pci_dev_ops *,
    const struct fake_pci_opt *opts, char *err, size_t err_len);
void fake_pci_destroy(struct pci_dev *);

/* The model's callbacks, as the core calls them. */
uint32_t fake_pci_read(struct pci_dev *, uint64_t off, unsigned int bytes);
void fake_pci_write(
    struct pci_dev *, uint64_t off, unsigned int bytes, uint32_t val);
void fake_pci_call(struct pci_dev *, void (*fn)(struct pci_dev *));
struct snap;
void fake_pci_snapshot(struct pci_dev *, struct snap *);

#endif /* TESTS_DEV_FAKE_PCI_H */
