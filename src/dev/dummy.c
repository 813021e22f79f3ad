/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dummy: a device for tests of guests and of the PCI core (docs/bhyve.md 1.3),
 * with one of everything.
 *
 * BAR 0, I/O, 8 bytes.  0: a dword; its bit 0 drives the wired interrupt.  4:
 * writing a dword sends that vector, by MSI or MSI-X; it is the only part
 * bhyve's has.
 * BAR 1, 4 KiB memory, and a copier at its end.  0xff0: guest address (8
 * bytes); 0xff8: bytes, from the BAR's begin; 0xffc: writing 1 copies to the
 * guest, 2 from it, and it reads 0 when that worked and 1 when not.
 * BAR 2, 4 KiB: MSI-X table at 0, PBA at 0x800, memory elsewhere.
 *
 * Runs in vCPU threads.
 */
#include <vmm/pci.h>

#include <vmm/snap.h>

#define DUMMY_IO_BYTES	8u
#define DUMMY_MEM_BYTES 4096u
#define DUMMY_NMSI	4u
#define DUMMY_NMSIX	8u
#define DUMMY_PBA	0x800u

#define IO_INTX		0x0
#define IO_VECTOR	0x4

#define DMA_ADDR	0xff0u
#define DMA_LEN		0xff8u
#define DMA_CMD		0xffcu
enum { DMA_CMD_TO_GUEST = 1, DMA_CMD_FROM_GUEST = 2 };
enum { DMA_STATUS_OK, DMA_STATUS_FAILED };

struct dummy {
	uint8_t io[DUMMY_IO_BYTES];
	uint8_t mem[2][DUMMY_MEM_BYTES]; /* BARs 1 and 2 */
};

static int
dummy_init(struct pci_dev *pd, char *err, size_t err_len)
{
	int error = pci_bar_add(pd, 0, PCI_BAR_IO, DUMMY_IO_BYTES);

	for (unsigned int bar = 1; bar <= 2 && error == 0; bar++)
		error = pci_bar_add(pd, bar, PCI_BAR_MEM32, DUMMY_MEM_BYTES);
	if (error == 0)
		error = pci_msi_add(pd, DUMMY_NMSI);
	if (error == 0)
		error = pci_msix_add(pd, DUMMY_NMSIX, 2, 0, DUMMY_PBA);
	return error != 0 ? error : pci_intx_add(pd);
}

/* The memory behind a BAR; bytes beyond are none of it. */
static uint8_t *
dummy_mem(struct pci_dev *pd, unsigned int bar)
{
	struct dummy *d = pci_dev_state(pd);

	return bar == 0 ? d->io : d->mem[bar - 1];
}

static bool
dummy_copy(struct pci_dev *pd, uint32_t cmd)
{
	struct dummy *d = pci_dev_state(pd);
	uint64_t gpa = get_le64(&d->mem[0][DMA_ADDR]);
	uint32_t len = get_le32(&d->mem[0][DMA_LEN]);

	if (len > DMA_ADDR)
		return false;
	if (cmd == DMA_CMD_TO_GUEST)
		return pci_dma_write(pd, gpa, d->mem[0], len);
	return cmd == DMA_CMD_FROM_GUEST &&
	       pci_dma_read(pd, gpa, d->mem[0], len);
}

static void
dummy_send(struct pci_dev *pd, uint32_t vec)
{
	if (pci_msix_enabled(pd) != 0)
		pci_msix_raise(pd, vec);
	else
		pci_msi_raise(pd, vec);
}

static uint32_t
dummy_bar_read(
    struct pci_dev *pd, unsigned int bar, uint64_t off, unsigned int bytes)
{
	const uint8_t *mem = dummy_mem(pd, bar) + off;
	uint32_t val = 0;

	for (unsigned int i = 0; i < bytes; i++)
		val |= (uint32_t)mem[i] << 8 * i;
	return val;
}

static void
dummy_bar_write(struct pci_dev *pd, unsigned int bar, uint64_t off,
    unsigned int bytes, uint32_t val)
{
	uint8_t *mem = dummy_mem(pd, bar);

	for (unsigned int i = 0; i < bytes; i++)
		mem[off + i] = (uint8_t)(val >> 8 * i);
	if (bar == 0 && off == IO_VECTOR && bytes == 4)
		dummy_send(pd, val);
	else if (bar == 0 && off == IO_INTX)
		pci_intx_set(pd, (val & 1) != 0);
	else if (bar == 1 && off == DMA_CMD && bytes == 4)
		put_le32(&mem[DMA_CMD],
		    dummy_copy(pd, val) ? DMA_STATUS_OK : DMA_STATUS_FAILED);
}

/* The core took the wire down. */
static void
dummy_reset(struct pci_dev *pd)
{
	*(struct dummy *)pci_dev_state(pd) = (struct dummy){ 0 };
}

static void
dummy_snapshot(struct pci_dev *pd, struct snap *s)
{
	struct dummy *d = pci_dev_state(pd);

	snap_bytes(s, "dummy_io", d->io, sizeof(d->io));
	snap_bytes(s, "dummy_mem", d->mem, sizeof(d->mem));
}

extern const struct pci_dev_ops dummy_ops;

const struct pci_dev_ops dummy_ops = {
	.name = "dummy",
	.summary = "device for tests: every kind of BAR and interrupt",
	.id = { .vendor = 0x10dd, .device = 0x0001, .class_code = 0xff0000 },
	.state_size = sizeof(struct dummy),
	.init = dummy_init,
	.reset = dummy_reset,
	.bar_read = dummy_bar_read,
	.bar_write = dummy_bar_write,
	.snapshot = dummy_snapshot,
};
