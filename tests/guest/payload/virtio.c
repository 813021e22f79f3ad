/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-rnd driven through both transports: found by configuration space,
 * rings set up, buffers filled, told by the ISR (legacy, polled) and by MSI-X
 * (modern).
 */
#include "guest.h"

#define PCI_ADDR      0xcf8
#define PCI_DATA      0xcfc
#define SLOT	      3u
#define VIRTIO_RND    0x10051af4u

#define L_FEATURES    4
#define L_PFN	      8
#define L_SIZE	      12
#define L_SELECT      14
#define L_NOTIFY      16
#define L_STATUS      18
#define L_ISR	      19

#define M_FEATURE_SEL 8
#define M_FEATURE     12
#define M_STATUS      20
#define M_SELECT      22
#define M_SIZE	      24
#define M_VECTOR      26
#define M_ENABLE      28
#define M_DESC	      32
#define M_DRIVER      40
#define M_DEVICE      48

#define S_DRIVER      3 /* and ACKNOWLEDGE */
#define S_FEATURES_OK 8
#define S_DRIVER_OK   4

#define QSIZE_MAX     256u
#define BUF_BYTES     64u

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};
#define DESC_WRITE 2

/* Legacy layout: the used ring on a page after the others. */
static uint8_t ring[3 * PAGE] __attribute__((aligned(4096)));
static uint8_t buf[4][BUF_BYTES];
static unsigned int qsize;
static volatile unsigned int nints;

static uint32_t
pci_read(unsigned int off)
{
	out32(PCI_ADDR, 0x80000000u | SLOT << 11 | (off & 0xfc));
	return in32(PCI_DATA) >> 8 * (off & 3);
}

static void
pci_write(unsigned int off, uint32_t val)
{
	out32(PCI_ADDR, 0x80000000u | SLOT << 11 | off);
	out32(PCI_DATA, val);
}

/* --- rings ---------------------------------------------------------------- */

static struct desc *
desc_table(void)
{
	return (struct desc *)ring;
}

static volatile uint16_t *
avail(void)
{
	return (volatile uint16_t *)(ring + 16 * qsize);
}

static uint64_t
used_at(void)
{
	uint64_t end = (uint64_t)(uintptr_t)ring + 16 * qsize + 6 + 2 * qsize;

	return (end + PAGE - 1) & -PAGE;
}

static volatile uint16_t *
used(void)
{
	return (volatile uint16_t *)used_at();
}

/* Two buffers, not filled yet. */
static void
add_buffers(void)
{
	memset(buf, 0, sizeof(buf));
	for (unsigned int i = 0; i < 2; i++) {
		desc_table()[i] = (struct desc){ (uint64_t)(uintptr_t)buf[i],
			BUF_BYTES, DESC_WRITE, 0 };
		avail()[2 + i] = (uint16_t)i;
	}
	__asm__ volatile("" ::: "memory");
	avail()[1] = 2;
}

static bool
zero(const uint8_t *p)
{
	for (unsigned int i = 0; i < BUF_BYTES; i++)
		if (p[i] != 0)
			return false;
	return true;
}

static void
check_filled(void)
{
	volatile uint32_t *elem = (volatile uint32_t *)(used() + 2);

	CHECK(WAIT_FOR(used()[1] == 2, 1000000));
	for (unsigned int i = 0; i < 2; i++) {
		CHECK_EQ(elem[2 * i], i);
		CHECK_EQ(elem[2 * i + 1], BUF_BYTES);
		CHECK(!zero(buf[i]));
	}
	CHECK(memcmp(buf[0], buf[1], BUF_BYTES) != 0);
	CHECK(zero(buf[2]));
}

/* --- legacy --------------------------------------------------------------- */

static void
test_legacy(void)
{
	uint16_t io = (uint16_t)(pci_read(0x10) & ~3u);

	CHECK_EQ(pci_read(0), VIRTIO_RND);
	pci_write(4, 7);
	out8(io + L_STATUS, 0);
	memset(ring, 0, sizeof(ring));
	out8(io + L_STATUS, S_DRIVER);
	out32(io + L_FEATURES, 0);
	out16(io + L_SELECT, 0);
	qsize = in16(io + L_SIZE);
	CHECK(qsize > 1 && qsize <= QSIZE_MAX);
	out32(io + L_PFN, (uint32_t)((uintptr_t)ring / PAGE));
	out8(io + L_STATUS, S_DRIVER | S_DRIVER_OK);
	add_buffers();
	out16(io + L_NOTIFY, 0);
	check_filled();
	CHECK_EQ(in8(io + L_ISR), 1);
	CHECK_EQ(in8(io + L_ISR), 0);
	out8(io + L_STATUS, 0);
}

/* --- modern --------------------------------------------------------------- */

struct modern {
	uint64_t common, notify;
	unsigned int msix;
};

static uint64_t
bar_of(unsigned int cap)
{
	return (pci_read(0x10 + 4 * (pci_read(cap + 4) & 0xff)) & ~15u) +
	       pci_read(cap + 8);
}

static void
find_caps(struct modern *m)
{
	unsigned int cap;

	for (cap = pci_read(0x34) & 0xff; cap != 0;
	     cap = pci_read(cap + 1) & 0xff) {
		unsigned int id = pci_read(cap) & 0xff;

		if (id == 0x11)
			m->msix = cap;
		else if (id == 9 && (pci_read(cap + 3) & 0xff) == 1)
			m->common = bar_of(cap);
		else if (id == 9 && (pci_read(cap + 3) & 0xff) == 2)
			m->notify = bar_of(cap);
	}
}

static void
w8(uint64_t at, uint8_t v)
{
	*(volatile uint8_t *)at = v;
}

static void
w16(uint64_t at, uint16_t v)
{
	*(volatile uint16_t *)at = v;
}

static void
w32(uint64_t at, uint32_t v)
{
	*(volatile uint32_t *)at = v;
}

/* As one access, which the device may cut in two. */
static void
w64(uint64_t at, uint64_t v)
{
	*(volatile uint64_t *)at = v;
}

static void
on_msi(struct frame *f)
{
	nints++;
	apic_eoi();
}

/* Entry 1 of the table to our vector; the table is where the BAR says. */
static void
msix_on(const struct modern *m)
{
	uint32_t where = pci_read(m->msix + 4);
	uint64_t entry =
	    (pci_read(0x10 + 4 * (where & 7)) & ~15u) + (where & ~7u) + 16;

	w32(entry, 0xfee00000);
	w32(entry + 4, 0);
	w32(entry + 8, VEC_TEST);
	w32(entry + 12, 0);
	pci_write(m->msix, (pci_read(m->msix) & 0x3fffffff) | 0x80000000);
}

static void
test_modern(void)
{
	struct modern m = { 0 };
	volatile uint8_t *status;

	find_caps(&m);
	CHECK(m.common != 0 && m.notify != 0 && m.msix != 0);
	status = (volatile uint8_t *)(m.common + M_STATUS);
	w8(m.common + M_STATUS, 0);
	memset(ring, 0, sizeof(ring));
	w8(m.common + M_STATUS, S_DRIVER);
	w32(m.common + M_FEATURE_SEL, 1);
	w32(m.common + M_FEATURE, 1); /* VERSION_1 */
	w8(m.common + M_STATUS, S_DRIVER | S_FEATURES_OK);
	CHECK_EQ(*status, S_DRIVER | S_FEATURES_OK);
	msix_on(&m);
	w16(m.common + M_SELECT, 0);
	qsize = 4;
	w16(m.common + M_SIZE, (uint16_t)qsize);
	w16(m.common + M_VECTOR, 1);
	CHECK_EQ(*(volatile uint16_t *)(m.common + M_VECTOR), 1);
	w64(m.common + M_DESC, (uintptr_t)ring);
	w64(m.common + M_DRIVER, (uintptr_t)avail());
	w64(m.common + M_DEVICE, used_at());
	w16(m.common + M_ENABLE, 1);
	w8(m.common + M_STATUS, S_DRIVER | S_FEATURES_OK | S_DRIVER_OK);
	trap_set(VEC_TEST, on_msi);
	nints = 0;
	sti();
	add_buffers();
	w16(m.notify, 0);
	check_filled();
	CHECK(WAIT_FOR(nints != 0, 1000000));
	cli();
	CHECK_EQ(nints, 1);
	/* A head beyond the ring: the device asks for a reset, no more. */
	avail()[4] = 4;
	avail()[1] = 3;
	w16(m.notify, 0);
	CHECK(WAIT_FOR(*status & 0x40, 1000000));
	CHECK_EQ(used()[1], 2);
	w8(m.common + M_STATUS, 0);
	CHECK_EQ(*status, 0);
}

const struct guest_test guest_tests[] = {
	TEST("virtio-rnd, legacy", test_legacy),
	TEST("virtio-rnd, modern, MSI-X", test_modern),
	TEST_END,
};
