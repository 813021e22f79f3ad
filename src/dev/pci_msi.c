/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci_msi.c - message-signalled interrupts: MSI and MSI-X (PCI 3.0
 * section 6.8).
 *
 * A vector that may not be sent - masked, its function masked, bus mastering
 * off (PCI Express 2.1 section 7.5.1.1) - becomes pending and is sent when it
 * may.  Turning a capability off forgets its pending vectors.  With both on,
 * which the specification forbids, MSI is used (docs/bhyve.md 1.6).
 *
 * Any thread, with the device's lock held.
 */
#include "pci_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include <vmm/snap.h>

/* Offsets in the MSI capability: 64-bit address, per-vector masking (6.8.1). */
#define MSI_CTRL	   0x02
#define MSI_ADDR	   0x04
#define MSI_ADDR_HI	   0x08
#define MSI_DATA	   0x0c
#define MSI_MASK	   0x10
#define MSI_PENDING	   0x14
#define MSI_CAP_LEN	   0x18

#define MSI_CTRL_ENABLE	   0x0001
#define MSI_CTRL_MMC_SHIFT 1 /* log2 of the vectors there are */
#define MSI_CTRL_MME_SHIFT 4 /* ... of the vectors in use */
#define MSI_CTRL_MME	   0x0070
#define MSI_CTRL_64	   0x0080
#define MSI_CTRL_PVM	   0x0100

#define MSG_ADDR_MASK	   0xfffffffcu

/* In the MSI-X capability (6.8.2). */
#define MSIX_CTRL	  0x02
#define MSIX_TABLE	  0x04
#define MSIX_PBA	  0x08
#define MSIX_CAP_LEN	  0x0c

#define MSIX_CTRL_MASKALL 0x4000
#define MSIX_CTRL_ENABLE  0x8000

/* In a table entry. */
#define ENTRY_ADDR    0x0
#define ENTRY_ADDR_HI 0x4
#define ENTRY_DATA    0x8
#define ENTRY_CTRL    0xc
#define ENTRY_MASKED  0x1

/* --- MSI ------------------------------------------------------------------ */

static unsigned int
msi_log2(unsigned int n)
{
	return (unsigned int)__builtin_ctz(n);
}

int
pci_msi_add(struct pci_dev *pd, unsigned int nvec)
{
	int cap = pci_cap_add(pd, PCIY_MSI, MSI_CAP_LEN);
	unsigned int off = (unsigned int)cap;

	assert(nvec >= 1 && nvec <= PCI_MSI_MAX && (nvec & (nvec - 1)) == 0);
	if (cap < 0)
		return cap;
	pd->msi.cap = off;
	pd->msi.nvec = nvec;
	pci_cfg_set16(pd, off + MSI_CTRL,
	    (uint16_t)(MSI_CTRL_64 | MSI_CTRL_PVM |
		       msi_log2(nvec) << MSI_CTRL_MMC_SHIFT));
	/* The dword begins with id and link. */
	pci_cfg_writable(pd, off, (MSI_CTRL_ENABLE | MSI_CTRL_MME) << 16);
	pci_cfg_writable(pd, off + MSI_ADDR, MSG_ADDR_MASK);
	pci_cfg_writable(pd, off + MSI_ADDR_HI, UINT32_MAX);
	pci_cfg_writable(pd, off + MSI_DATA, 0xffff);
	pci_cfg_writable(pd, off + MSI_MASK,
	    nvec == PCI_MSI_MAX ? UINT32_MAX : BIT(nvec) - 1);
	return 0;
}

unsigned int
pci_msi_enabled(const struct pci_dev *pd)
{
	unsigned int n;
	uint16_t ctrl;

	if (pd->msi.cap == 0)
		return 0;
	ctrl = pci_cfg_get16(pd, pd->msi.cap + MSI_CTRL);
	if ((ctrl & MSI_CTRL_ENABLE) == 0)
		return 0;
	/* Encodings 6 and 7 are reserved. */
	n = 1u << ((ctrl & MSI_CTRL_MME) >> MSI_CTRL_MME_SHIFT);
	return MIN(n, pd->msi.nvec);
}

static void
msi_send(struct pci_dev *pd, unsigned int vec)
{
	unsigned int cap = pd->msi.cap;
	uint64_t addr = pci_cfg_get32(pd, cap + MSI_ADDR) |
			(uint64_t)pci_cfg_get32(pd, cap + MSI_ADDR_HI) << 32;
	uint32_t data = pci_cfg_get16(pd, cap + MSI_DATA);

	/* 6.8.1.6: the function changes the low bits. */
	data = (data & ~(pci_msi_enabled(pd) - 1)) | vec;
	irq_msi(pd->bus->ctx, addr, data);
}

/* Of those that are pending, what may be sent. */
static void
msi_update(struct pci_dev *pd)
{
	struct pci_msi *msi = &pd->msi;
	uint32_t due;

	if (pci_msi_enabled(pd) == 0)
		msi->pending = 0;
	if (msi->pending == 0 || !pci_bus_master(pd))
		return;
	due = msi->pending & ~pci_cfg_get32(pd, msi->cap + MSI_MASK);
	msi->pending &= ~due;
	for (unsigned int vec = 0; vec < PCI_MSI_MAX; vec++)
		if ((due & BIT(vec)) != 0)
			msi_send(pd, vec < pci_msi_enabled(pd) ? vec : 0);
}

void
pci_msi_raise(struct pci_dev *pd, unsigned int vec)
{
	unsigned int n = pci_msi_enabled(pd);

	if (n == 0)
		return;
	pd->msi.pending |= BIT(vec < n ? vec : 0);
	msi_update(pd);
}

bool
pci_msi_cfg_byte(const struct pci_dev *pd, unsigned int off, uint8_t *ret_val)
{
	unsigned int first = pd->msi.cap + MSI_PENDING;

	if (pd->msi.cap == 0 || off < first || off >= first + 4)
		return false;
	*ret_val = (uint8_t)(pd->msi.pending >> 8 * (off - first));
	return true;
}

/* --- MSI-X ---------------------------------------------------------------- */

static uint32_t
msix_table_len(const struct pci_msix *x)
{
	return x->nvec * PCI_MSIX_ENTRY;
}

static void
msix_table_reset(struct pci_msix *x)
{
	memset(x->table, 0, msix_table_len(x));
	for (unsigned int i = 0; i < x->nvec; i++)
		x->table[i * PCI_MSIX_ENTRY + ENTRY_CTRL] = ENTRY_MASKED;
	memset(x->pending, 0, 8 * x->words);
}

int
pci_msix_add(struct pci_dev *pd, unsigned int nvec, unsigned int bar,
    uint32_t table_off, uint32_t pba_off)
{
	struct pci_msix *x = &pd->msix;
	int cap = pci_cap_add(pd, PCIY_MSIX, MSIX_CAP_LEN);
	unsigned int off = (unsigned int)cap;

	if (cap < 0)
		return cap;
	x->nvec = nvec;
	x->bar = bar;
	x->table_off = table_off;
	x->pba_off = pba_off;
	x->words = (nvec + 63) / 64;
	assert(nvec >= 1 && nvec <= PCI_MSIX_MAX && bar < PCI_NBARS);
	assert(pd->bar[bar].kind != PCI_BAR_IO);
	assert(table_off % 8 == 0 && pba_off % 8 == 0);
	assert(range_ok(table_off, msix_table_len(x), pd->bar[bar].size));
	assert(range_ok(pba_off, 8 * x->words, pd->bar[bar].size));
	assert(!ranges_overlap(
	    table_off, msix_table_len(x), pba_off, 8 * x->words));
	x->cap = off;
	x->table = xcalloc(nvec, PCI_MSIX_ENTRY);
	x->pending = xcalloc(x->words, 8);
	msix_table_reset(x);
	pci_cfg_set16(pd, off + MSIX_CTRL, (uint16_t)(nvec - 1));
	pci_cfg_writable(
	    pd, off, (uint32_t)(MSIX_CTRL_ENABLE | MSIX_CTRL_MASKALL) << 16);
	pci_cfg_set32(pd, off + MSIX_TABLE, table_off | bar);
	pci_cfg_set32(pd, off + MSIX_PBA, pba_off | bar);
	return 0;
}

static uint16_t
msix_ctrl(const struct pci_dev *pd)
{
	return pci_cfg_get16(pd, pd->msix.cap + MSIX_CTRL);
}

unsigned int
pci_msix_enabled(const struct pci_dev *pd)
{
	if (pd->msix.cap == 0 || (msix_ctrl(pd) & MSIX_CTRL_ENABLE) == 0 ||
	    pci_msi_enabled(pd) != 0)
		return 0;
	return pd->msix.nvec;
}

static bool
msix_is_pending(const struct pci_msix *x, unsigned int vec)
{
	return (x->pending[vec / 64] & BIT64(vec % 64)) != 0;
}

/* Sends a vector that is pending, if it may be sent. */
static void
msix_try(struct pci_dev *pd, unsigned int vec)
{
	struct pci_msix *x = &pd->msix;
	const uint8_t *entry = x->table + vec * PCI_MSIX_ENTRY;
	uint64_t addr;

	if (!msix_is_pending(x, vec) || pci_msix_enabled(pd) == 0 ||
	    (msix_ctrl(pd) & MSIX_CTRL_MASKALL) != 0 ||
	    (entry[ENTRY_CTRL] & ENTRY_MASKED) != 0 || !pci_bus_master(pd))
		return;
	x->pending[vec / 64] &= ~BIT64(vec % 64);
	addr = get_le64(entry + ENTRY_ADDR) & ~3ull;
	irq_msi(pd->bus->ctx, addr, get_le32(entry + ENTRY_DATA));
}

static void
msix_update(struct pci_dev *pd)
{
	struct pci_msix *x = &pd->msix;

	if (x->cap == 0)
		return;
	if (pci_msix_enabled(pd) == 0)
		memset(x->pending, 0, 8 * x->words);
	for (unsigned int w = 0; w < x->words; w++) {
		for (uint64_t todo = x->pending[w]; todo != 0; todo &= todo - 1)
			msix_try(
			    pd, 64 * w + (unsigned int)__builtin_ctzll(todo));
	}
}

void
pci_msix_raise(struct pci_dev *pd, unsigned int vec)
{
	if (vec >= pci_msix_enabled(pd))
		return;
	pd->msix.pending[vec / 64] |= BIT64(vec % 64);
	msix_try(pd, vec);
}

/* --- table and PBA in a BAR ----------------------------------------------- */

bool
pci_msix_owns(const struct pci_dev *pd, const struct pci_bar *bar, uint64_t off,
    unsigned int bytes)
{
	const struct pci_msix *x = &pd->msix;

	return x->cap != 0 && bar->index == x->bar &&
	       (ranges_overlap(off, bytes, x->table_off, msix_table_len(x)) ||
		   ranges_overlap(off, bytes, x->pba_off, 8 * x->words));
}

static uint8_t
msix_byte(const struct pci_msix *x, uint64_t off)
{
	if (off - x->table_off < msix_table_len(x))
		return x->table[off - x->table_off];
	off -= x->pba_off;
	if (off < 8 * x->words)
		return (uint8_t)(x->pending[off / 8] >> 8 * (off % 8));
	return 0; /* beside them */
}

uint32_t
pci_msix_mem_read(struct pci_dev *pd, uint64_t off, unsigned int bytes)
{
	uint32_t val = 0;

	for (unsigned int i = 0; i < bytes; i++)
		val |= (uint32_t)msix_byte(&pd->msix, off + i) << 8 * i;
	return val;
}

/* What a byte of an entry keeps (6.8.2.6 to 6.8.2.9). */
static uint8_t
msix_writable(uint64_t off)
{
	switch (off % PCI_MSIX_ENTRY) {
	case ENTRY_ADDR:
		return 0xfc;
	case ENTRY_CTRL:
		return ENTRY_MASKED;
	case ENTRY_CTRL + 1:
	case ENTRY_CTRL + 2:
	case ENTRY_CTRL + 3:
		return 0;
	default:
		return 0xff;
	}
}

void
pci_msix_mem_write(
    struct pci_dev *pd, uint64_t off, unsigned int bytes, uint32_t val)
{
	struct pci_msix *x = &pd->msix;
	uint64_t first = off - x->table_off;

	/* The PBA is read-only. */
	for (unsigned int i = 0; i < bytes; i++)
		if (first + i < msix_table_len(x))
			x->table[first + i] =
			    (uint8_t)(val >> 8 * i) & msix_writable(first + i);
	msix_update(pd);
}

/* --- both ----------------------------------------------------------------- */

void
pci_msi_update_locked(struct pci_dev *pd)
{
	msi_update(pd);
	msix_update(pd);
}

void
pci_msi_reset_locked(struct pci_dev *pd)
{
	pd->msi.pending = 0;
	if (pd->msix.cap != 0)
		msix_table_reset(&pd->msix);
}

static bool
msix_ok(const struct pci_msix *x, const uint8_t *table, const uint64_t *pending)
{
	uint64_t last = x->nvec % 64 == 0 ? 0 : ~(BIT64(x->nvec % 64) - 1);

	for (uint32_t i = 0; i < msix_table_len(x); i++)
		if ((table[i] & ~msix_writable(i)) != 0)
			return false;
	return (pending[x->words - 1] & last) == 0;
}

static void
msix_snapshot(struct pci_dev *pd, struct snap *s)
{
	struct pci_msix *x = &pd->msix;
	uint8_t *table = xcalloc(x->nvec, PCI_MSIX_ENTRY);
	uint64_t *pending = xcalloc(x->words, 8);

	memcpy(table, x->table, msix_table_len(x));
	memcpy(pending, x->pending, 8 * x->words);
	if (snap_bytes(s, "msix_table", table, msix_table_len(x)) == 0 &&
	    snap_bytes(s, "msix_pending", pending, 8 * x->words) == 0 &&
	    !msix_ok(x, table, pending))
		snap_fail(s);
	if (snap_loading(s) && snap_error(s) == 0) {
		memcpy(x->table, table, msix_table_len(x));
		memcpy(x->pending, pending, 8 * x->words);
	}
	free(table);
	free(pending);
}

void
pci_msi_snapshot_locked(struct pci_dev *pd, struct snap *s)
{
	uint32_t pending = pd->msi.pending;

	if (pd->msi.cap != 0 &&
	    snap_bytes(s, "msi_pending", &pending, sizeof(pending)) == 0) {
		if (pd->msi.nvec < PCI_MSI_MAX &&
		    (pending >> pd->msi.nvec) != 0)
			snap_fail(s);
		else
			pd->msi.pending = pending;
	}
	if (pd->msix.cap != 0)
		msix_snapshot(pd, s);
}

void
pci_msi_fini(struct pci_dev *pd)
{
	free(pd->msix.table);
	free(pd->msix.pending);
}
