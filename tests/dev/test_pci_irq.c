/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts of PCI functions: MSI, MSI-X, INTx and the PIRQs. */
#include "pci_board.h"

#include <errno.h>
#include <pthread.h>

#define D1	    BDF(0, 3, 0)
#define LPC	    BDF(0, 31, 0)

#define MSI_CTRL    2
#define MSI_ADDR    4
#define MSI_DATA    12
#define MSI_MASK    16
#define MSI_PENDING 20
#define MSIX_CTRL   2

/* --- MSI ------------------------------------------------------------------ */

static void
assert_sent(struct pci_board *p, uint64_t addr, uint32_t data)
{
	assert_int_equal(p->b.msis, 1);
	assert_true(p->b.msi_addr == addr);
	assert_int_equal(p->b.msi_data, data);
	p->b.msis = 0;
}

static unsigned int
msi_setup(struct pci_board *p, unsigned int mme)
{
	unsigned int cap = cfg_cap(p, D1, CAP_MSI);

	assert_true(cap != 0);
	cfg_write(p, D1, R_COMMAND, 2, CMD_BM);
	cfg_write(p, D1, cap + MSI_ADDR, 4, 0xfee01003);
	cfg_write(p, D1, cap + MSI_ADDR + 4, 4, 0x1);
	cfg_write(p, D1, cap + MSI_DATA, 4, 0xffff4fff);
	cfg_write(p, D1, cap + MSI_CTRL, 2, (uint16_t)(1 | mme << 4));
	return cap;
}

static void
test_msi_cap(void **state)
{
	for (unsigned int log = 0; log <= 5; log++) {
		struct probe_spec spec = { .msi = 1u << log };
		struct pci_board p;
		struct pci_dev *pd;
		unsigned int cap;

		pci_board_init(&p);
		pd = probe_add(&p, &spec, 0, 3, 0);
		cap = cfg_cap(&p, D1, CAP_MSI);
		assert_int_equal(
		    cfg_read(&p, D1, cap + MSI_CTRL, 2), 0x180 | log << 1);
		assert_int_equal(pci_msi_enabled(pd), 0);
		cfg_write(&p, D1, cap, 4, UINT32_MAX);
		assert_int_equal(
		    cfg_read(&p, D1, cap, 4), (0x1f1 | log << 1) << 16 | 5);
		/* More than there are means all. */
		assert_int_equal(pci_msi_enabled(pd), 1u << log);
		cfg_write(&p, D1, cap + MSI_CTRL, 2, 1);
		assert_int_equal(pci_msi_enabled(pd), 1);
		for (unsigned int off = 4; off < 24; off += 4)
			cfg_write(&p, D1, cap + off, 4, UINT32_MAX);
		assert_int_equal(
		    cfg_read(&p, D1, cap + MSI_ADDR, 4), 0xfffffffc);
		assert_int_equal(cfg_read(&p, D1, cap + MSI_DATA, 4), 0xffff);
		assert_int_equal(cfg_read(&p, D1, cap + MSI_MASK, 4),
		    (uint32_t)((1ull << (1u << log)) - 1));
		assert_int_equal(cfg_read(&p, D1, cap + MSI_PENDING, 4), 0);
		pci_board_fini(&p);
	}
}

static void
test_msi_raise(void **state)
{
	static const struct probe_spec spec = { .msi = 8 };
	struct pci_board p;
	struct pci_dev *pd;
	unsigned int cap;

	pci_board_init(&p);
	pd = probe_add(&p, &spec, 0, 3, 0);
	pci_msi_raise(pd, 0);
	assert_int_equal(p.b.msis, 0);
	cap = msi_setup(&p, 2);
	assert_int_equal(pci_msi_enabled(pd), 4);
	pci_msi_raise(pd, 0);
	assert_sent(&p, 0x1fee01000, 0x4ffc);
	pci_msi_raise(pd, 3);
	assert_sent(&p, 0x1fee01000, 0x4fff);
	/* Beyond what the guest enabled. */
	pci_msi_raise(pd, 4);
	assert_sent(&p, 0x1fee01000, 0x4ffc);
	pci_msi_raise(pd, 1000);
	assert_sent(&p, 0x1fee01000, 0x4ffc);
	/* One: the data is sent as it is. */
	cfg_write(&p, D1, cap + MSI_CTRL, 2, 1);
	pci_msi_raise(pd, 0);
	assert_sent(&p, 0x1fee01000, 0x4fff & ~0u);
	pci_board_fini(&p);
}

static void
test_msi_mask(void **state)
{
	static const struct probe_spec spec = { .msi = 4 };
	struct pci_board p;
	struct pci_dev *pd;
	unsigned int cap;

	pci_board_init(&p);
	pd = probe_add(&p, &spec, 0, 3, 0);
	cap = msi_setup(&p, 2);
	cfg_write(&p, D1, cap + MSI_MASK, 4, 0x6);
	pci_msi_raise(pd, 1);
	pci_msi_raise(pd, 1);
	pci_msi_raise(pd, 2);
	assert_int_equal(p.b.msis, 0);
	assert_int_equal(cfg_read(&p, D1, cap + MSI_PENDING, 4), 0x6);
	assert_int_equal(cfg_read(&p, D1, cap + MSI_PENDING, 1), 0x6);
	pci_msi_raise(pd, 3);
	assert_sent(&p, 0x1fee01000, 0x4fff);
	/* Pending bits cannot be written. */
	cfg_write(&p, D1, cap + MSI_PENDING, 4, 0);
	cfg_write(&p, D1, cap + MSI_MASK, 1, 0x4);
	assert_sent(&p, 0x1fee01000, 0x4ffd);
	assert_int_equal(cfg_read(&p, D1, cap + MSI_PENDING, 4), 0x4);
	/* Bus mastering off holds all back. */
	cfg_write(&p, D1, R_COMMAND, 2, 0);
	cfg_write(&p, D1, cap + MSI_MASK, 4, 0);
	pci_msi_raise(pd, 0);
	assert_int_equal(p.b.msis, 0);
	assert_int_equal(cfg_read(&p, D1, cap + MSI_PENDING, 4), 0x5);
	cfg_write(&p, D1, R_COMMAND, 2, CMD_BM);
	assert_int_equal(p.b.msis, 2);
	assert_int_equal(cfg_read(&p, D1, cap + MSI_PENDING, 4), 0);
	/* Off forgets. */
	cfg_write(&p, D1, cap + MSI_MASK, 4, 1);
	pci_msi_raise(pd, 0);
	cfg_write(&p, D1, cap + MSI_CTRL, 2, 0);
	cfg_write(&p, D1, cap + MSI_MASK, 4, 0);
	cfg_write(&p, D1, cap + MSI_CTRL, 2, 0x21);
	assert_int_equal(p.b.msis, 2);
	pci_board_fini(&p);
}

/* --- MSI-X ---------------------------------------------------------------- */

#define TABLE 0xc0000000ull
#define PBA   0xc0000c00ull

static const struct probe_spec msix70 = {
	.bar[1] = { PCI_BAR_MEM32, 4096 },
	.msix = 70,
	.msix_bar = 1,
	.table_off = 0,
	.pba_off = 0xc00,
	.intx = true,
};

static unsigned int
msix_setup(struct pci_board *p)
{
	unsigned int cap = cfg_cap(p, D1, CAP_MSIX);

	assert_true(cap != 0);
	cfg_write(p, D1, cap + MSIX_CTRL, 2, 0x8000);
	for (uint32_t v = 0; v < 70; v++) {
		board_write(&p->b, TABLE + 16 * v, 8, 0x5fee00000 + (v << 4));
		board_write(&p->b, TABLE + 16 * v + 8, 4, 0x100 + v);
	}
	return cap;
}

static void
vector_mask(struct pci_board *p, unsigned int v, bool masked)
{
	board_write(&p->b, TABLE + 16 * v + 12, 4, masked);
}

static void
test_msix_cap(void **state)
{
	struct pci_board p;
	struct pci_dev *pd;
	unsigned int cap;

	pci_board_init(&p);
	pd = probe_add(&p, &msix70, 0, 3, 0);
	cap = cfg_cap(&p, D1, CAP_MSIX);
	assert_int_equal(cfg_read(&p, D1, cap + 2, 2), 69);
	assert_int_equal(cfg_read(&p, D1, cap + 4, 4), 0x001);
	assert_int_equal(cfg_read(&p, D1, cap + 8, 4), 0xc01);
	assert_int_equal(pci_msix_enabled(pd), 0);
	for (unsigned int off = 0; off < 12; off += 4)
		cfg_write(&p, D1, cap + off, 4, UINT32_MAX);
	assert_int_equal(cfg_read(&p, D1, cap + 2, 2), 0xc000 | 69);
	assert_int_equal(cfg_read(&p, D1, cap + 4, 4), 0x001);
	assert_int_equal(cfg_read(&p, D1, cap + 8, 4), 0xc01);
	assert_int_equal(pci_msix_enabled(pd), 70);
	pci_board_fini(&p);
}

static void
test_msix_table(void **state)
{
	struct pci_board p;
	struct pci_dev *pd;

	pci_board_init(&p);
	pd = probe_add(&p, &msix70, 0, 3, 0);
	for (unsigned int v = 0; v < 70; v++) {
		assert_int_equal(board_read(&p.b, TABLE + 16 * v + 12, 4), 1);
		assert_true(board_read(&p.b, TABLE + 16 * v, 8) == 0);
	}
	/* Every byte keeps what its register keeps, at every width. */
	for (unsigned int bytes = 1; bytes <= 8; bytes *= 2) {
		for (unsigned int i = 0; i < 16; i += bytes)
			board_write(&p.b, TABLE + 16 + i, bytes, UINT64_MAX);
		assert_true(
		    board_read(&p.b, TABLE + 16, 8) == 0xfffffffffffffffc);
		assert_true(
		    board_read(&p.b, TABLE + 24, 8) == 0x00000001ffffffff);
		assert_int_equal(board_read(&p.b, TABLE + 17, 1), 0xff);
		assert_int_equal(board_read(&p.b, TABLE + 28, 2), 1);
		for (unsigned int i = 0; i < 16; i += bytes)
			board_write(&p.b, TABLE + 16 + i, bytes, 0);
		assert_true(board_read(&p.b, TABLE + 24, 8) == 0);
	}
	assert_int_equal(probe_of(pd)->reads + probe_of(pd)->writes, 0);
	/* Beside table and PBA is the model's. */
	board_write(&p.b, TABLE + 70 * 16, 4, 5);
	board_write(&p.b, PBA + 16, 4, 5);
	assert_int_equal(probe_of(pd)->writes, 2);
	board_write(&p.b, PBA, 8, UINT64_MAX);
	assert_true(board_read(&p.b, PBA, 8) == 0);
	assert_int_equal(probe_of(pd)->writes, 2);
	pci_board_fini(&p);
}

static void
test_msix_raise(void **state)
{
	struct pci_board p;
	struct pci_dev *pd;
	unsigned int cap;

	pci_board_init(&p);
	pd = probe_add(&p, &msix70, 0, 3, 0);
	pci_msix_raise(pd, 0);
	cap = msix_setup(&p);
	assert_true(board_read(&p.b, PBA, 8) == 0);
	/* Masked by reset: pending, and sent when it opens. */
	pci_msix_raise(pd, 3);
	pci_msix_raise(pd, 69);
	pci_msix_raise(pd, 69);
	pci_msix_raise(pd, 70);
	assert_int_equal(p.b.msis, 0);
	assert_true(board_read(&p.b, PBA, 8) == 8);
	assert_int_equal(board_read(&p.b, PBA + 8, 4), 0x20);
	vector_mask(&p, 69, false);
	assert_sent(&p, 0x5fee00000 + (69 << 4), 0x100 + 69);
	assert_true(board_read(&p.b, PBA + 8, 8) == 0);
	pci_msix_raise(pd, 69);
	assert_sent(&p, 0x5fee00000 + (69 << 4), 0x100 + 69);
	/* The function's mask. */
	cfg_write(&p, D1, cap + MSIX_CTRL, 2, 0xc000);
	vector_mask(&p, 3, false);
	pci_msix_raise(pd, 69);
	assert_int_equal(p.b.msis, 0);
	assert_int_equal(board_read(&p.b, PBA + 8, 1), 0x20);
	/* The message is what the entry is when it is sent. */
	vector_mask(&p, 69, true);
	board_write(&p.b, TABLE + 16 * 3 + 8, 4, 0x99);
	cfg_write(&p, D1, cap + MSIX_CTRL, 2, 0x8000);
	assert_sent(&p, 0x5fee00000 + (3 << 4), 0x99);
	/* Off forgets. */
	cfg_write(&p, D1, cap + MSIX_CTRL, 2, 0);
	assert_true(board_read(&p.b, PBA + 8, 8) == 0);
	pci_board_fini(&p);
}

static void
test_msix_bus_master(void **state)
{
	struct pci_board p;
	struct pci_dev *pd;

	pci_board_init(&p);
	pd = probe_add(&p, &msix70, 0, 3, 0);
	msix_setup(&p);
	vector_mask(&p, 1, false);
	cfg_write(&p, D1, R_COMMAND, 2, CMD_MEM);
	pci_msix_raise(pd, 1);
	assert_int_equal(p.b.msis, 0);
	cfg_write(&p, D1, R_COMMAND, 2, CMD_MEM | CMD_BM);
	assert_sent(&p, 0x5fee00010, 0x101);
	pci_board_fini(&p);
}

static void
test_msix_reset_and_snapshot(void **state)
{
	struct pci_board p, q;
	struct pci_dev *pd;

	pci_board_init(&p);
	pci_board_init(&q);
	pd = probe_add(&p, &msix70, 0, 3, 0);
	probe_add(&q, &msix70, 0, 3, 0);
	msix_setup(&p);
	pci_msix_raise(pd, 65);
	vector_mask(&p, 7, false);
	assert_int_equal(board_load(&q.b, board_save(&p.b)), 0);
	assert_int_equal(q.b.msis, 0);
	assert_true(board_read(&q.b, PBA + 8, 8) == 2);
	assert_int_equal(board_read(&q.b, TABLE + 16 * 7 + 8, 4), 0x107);
	vector_mask(&q, 65, false);
	assert_sent(&q, 0x5fee00000 + (65 << 4), 0x100 + 65);
	/* Reserved bits and vectors there are not. */
	assert_int_equal(board_load(&q.b, board_spoil(board_save(&p.b),
					      "msix_table", 13, 1)),
	    -EINVAL);
	assert_int_equal(
	    board_load(&q.b, board_spoil(board_save(&p.b), "msix_table", 0, 1)),
	    -EINVAL);
	assert_int_equal(board_load(&q.b, board_spoil(board_save(&p.b),
					      "msix_pending", 8, 64)),
	    -EINVAL);
	chips_reset(p.b.ctx);
	assert_true(board_read(&p.b, PBA + 8, 8) == 0);
	assert_true(board_read(&p.b, TABLE + 16 * 7 + 8, 8) == 0x100000000);
	assert_int_equal(pci_msix_enabled(pd), 0);
	pci_board_fini(&p);
	pci_board_fini(&q);
}

static void
test_msi_snapshot(void **state)
{
	static const struct probe_spec spec = { .msi = 4 };
	struct pci_board p, q;
	struct pci_dev *pd;
	unsigned int cap;

	pci_board_init(&p);
	pci_board_init(&q);
	pd = probe_add(&p, &spec, 0, 3, 0);
	probe_add(&q, &spec, 0, 3, 0);
	cap = msi_setup(&p, 2);
	cfg_write(&p, D1, cap + MSI_MASK, 4, 0x8);
	pci_msi_raise(pd, 3);
	assert_int_equal(board_load(&q.b, board_save(&p.b)), 0);
	assert_int_equal(cfg_read(&q, D1, cap + MSI_PENDING, 4), 0x8);
	cfg_write(&q, D1, cap + MSI_MASK, 4, 0);
	assert_sent(&q, 0x1fee01000, 0x4fff);
	assert_int_equal(board_load(&q.b, board_spoil(board_save(&p.b),
					      "msi_pending", 0, 16)),
	    -EINVAL);
	chips_reset(p.b.ctx);
	assert_int_equal(cfg_read(&p, D1, cap + MSI_PENDING, 4), 0);
	assert_int_equal(pci_msi_enabled(pd), 0);
	pci_board_fini(&p);
	pci_board_fini(&q);
}

/* --- INTx ----------------------------------------------------------------- */

static const struct probe_spec wired = { .intx = true };

static void
test_intx_pins(void **state)
{
	struct pci_board p;

	pci_board_init(&p);
	/* The least used of the slot. */
	for (unsigned int func = 0; func < 8; func++) {
		probe_add(&p, &wired, 0, 3, func);
		assert_int_equal(
		    cfg_read(&p, BDF(0, 3, func), R_INTPIN, 1), func % 4 + 1);
		assert_int_equal(
		    cfg_read(&p, BDF(0, 3, func), R_INTLINE, 1), 255);
	}
	pci_board_add(&p, "hostbridge", 0, 0, 0);
	assert_int_equal(cfg_read(&p, BDF(0, 0, 0), R_INTPIN, 1), 0);
	cfg_write(&p, D1, R_INTLINE, 2, 0x0907);
	assert_int_equal(cfg_read(&p, D1, R_INTLINE, 2), 0x0107);
	pci_board_fini(&p);
}

static void
test_intx_level(void **state)
{
	struct pci_board p;
	struct pci_dev *pd;

	pci_board_init(&p);
	pd = probe_add(&p, &wired, 0, 3, 0);
	/* Slot 3, INTA: PIRQ (4 + 3) % 8. */
	pci_intx_set(pd, true);
	pci_intx_set(pd, true);
	assert_true(p.b.level[23]);
	assert_int_equal(cfg_read(&p, D1, R_STATUS, 2) & 8, 8);
	cfg_write(&p, D1, R_STATUS, 2, 0xffff);
	assert_int_equal(cfg_read(&p, D1, R_STATUS, 2) & 8, 8);
	/* Disabled: the bit stays (PCI 3.0 section 6.2.3). */
	cfg_write(&p, D1, R_COMMAND, 2, CMD_NOINTX);
	assert_false(p.b.level[23]);
	assert_int_equal(cfg_read(&p, D1, R_STATUS, 2) & 8, 8);
	cfg_write(&p, D1, R_COMMAND, 2, 0);
	assert_true(p.b.level[23]);
	pci_intx_set(pd, false);
	assert_false(p.b.level[23]);
	assert_int_equal(cfg_read(&p, D1, R_STATUS, 2) & 8, 0);
	assert_int_equal(p.b.edges[23], 2);
	pci_intx_set(pd, true);
	chips_reset(p.b.ctx);
	assert_false(p.b.level[23]);
	pci_board_fini(&p);
}

static void
test_intx_or_message(void **state)
{
	static const struct probe_spec spec = {
		.bar[0] = { PCI_BAR_MEM32, 4096 },
		.msi = 1,
		.msix = 1,
		.pba_off = 16,
		.intx = true,
	};
	struct pci_board p;
	struct pci_dev *pd;
	unsigned int caps[2];

	pci_board_init(&p);
	pd = probe_add(&p, &spec, 0, 3, 0);
	caps[0] = cfg_cap(&p, D1, CAP_MSI);
	caps[1] = cfg_cap(&p, D1, CAP_MSIX);
	pci_intx_set(pd, true);
	for (unsigned int i = 0; i < 2; i++) {
		assert_true(p.b.level[23]);
		cfg_write(&p, D1, caps[i] + 2, 2, i == 0 ? 1 : 0x8000);
		assert_false(p.b.level[23]);
		assert_int_equal(cfg_read(&p, D1, R_STATUS, 2) & 8, 0);
		cfg_write(&p, D1, caps[i] + 2, 2, 0);
	}
	assert_true(p.b.level[23]);
	/* Both on: MSI. */
	cfg_write(&p, D1, caps[0] + 2, 2, 1);
	cfg_write(&p, D1, caps[1] + 2, 2, 0x8000);
	assert_int_equal(pci_msi_enabled(pd), 1);
	assert_int_equal(pci_msix_enabled(pd), 0);
	pci_board_fini(&p);
}

static void
test_intx_snapshot(void **state)
{
	struct pci_board p, q;
	struct pci_dev *pd, *qd;

	pci_board_init(&p);
	pci_board_init(&q);
	pd = probe_add(&p, &wired, 0, 3, 0);
	qd = probe_add(&q, &wired, 0, 3, 0);
	pci_intx_set(pd, true);
	assert_int_equal(board_load(&q.b, board_save(&p.b)), 0);
	assert_true(q.b.level[23]);
	pci_intx_set(qd, false);
	assert_false(q.b.level[23]);
	assert_int_equal(
	    board_load(&q.b, board_spoil(board_save(&p.b), "intx", 0, 2)),
	    -EINVAL);
	pci_board_fini(&p);
	pci_board_fini(&q);
}

/* --- PIRQs ---------------------------------------------------------------- */

static unsigned int
pirq_offset(unsigned int pirq)
{
	return pirq < 4 ? 0x60 + pirq : 0x64 + pirq;
}

static void
test_pirq_boot(void **state)
{
	struct pci_board p;
	uint32_t irqs = 0;

	pci_board_init(&p);
	/* The bridge may come last. */
	for (unsigned int slot = 1; slot < 5; slot++)
		probe_add(&p, &wired, 0, slot, 0);
	pci_board_add(&p, "lpc", 0, 31, 0);
	for (unsigned int pirq = 0; pirq < 8; pirq++) {
		uint32_t reg = cfg_read(&p, LPC, pirq_offset(pirq), 1);

		/* Slots 1 to 4, INTA: PIRQ 5, 6, 7, 0. */
		if (pirq >= 1 && pirq <= 4) {
			assert_int_equal(reg, 0x80);
			continue;
		}
		assert_true(reg < 16 && (0xdee0 & ~(1u << 9) & BIT(reg)) != 0);
		assert_int_equal(irqs & BIT(reg), 0);
		irqs |= BIT(reg);
		assert_int_equal(
		    cfg_read(
			&p, BDF(0, pirq == 0 ? 4 : pirq - 4, 0), R_INTLINE, 1),
		    reg);
	}
	cfg_write(&p, LPC, 0x60, 4, 0x80808080);
	chips_reset(p.b.ctx);
	assert_int_not_equal(cfg_read(&p, LPC, 0x60, 1), 0x80);
	pci_board_fini(&p);
}

static void
test_pirq_route(void **state)
{
	struct pci_board p;
	struct pci_dev *a, *b;
	unsigned int off = pirq_offset(7);

	pci_board_init(&p);
	pci_board_add(&p, "lpc", 0, 31, 0);
	/* Slots 3 and 11 are on the same PIRQ. */
	a = probe_add(&p, &wired, 0, 3, 0);
	b = probe_add(&p, &wired, 0, 11, 0);
	cfg_write(&p, LPC, off, 1, 10);
	pci_intx_set(a, true);
	assert_true(p.b.level[10]);
	assert_true(p.b.level[23]);
	pci_intx_set(b, true);
	pci_intx_set(a, false);
	assert_true(p.b.level[10]);
	assert_true(p.b.level[23]);
	/* The level goes where the register says. */
	cfg_write(&p, LPC, off, 1, 11);
	assert_false(p.b.level[10]);
	assert_true(p.b.level[11]);
	cfg_write(&p, LPC, off, 1, 0x8b);
	assert_false(p.b.level[11]);
	assert_true(p.b.level[23]);
	/* No PIRQ can be the timer, the cascade, the clock, the FPU. */
	for (uint8_t irq = 0; irq < 16; irq++) {
		cfg_write(&p, LPC, off, 1, irq);
		assert_int_equal(cfg_read(&p, LPC, off, 1), irq);
		assert_int_equal(p.b.level[irq], (0xdef8 & BIT(irq)) != 0);
	}
	cfg_write(&p, LPC, 0x68, 4, 0x0b8f8f8f);
	assert_true(p.b.level[11]);
	pci_intx_set(b, false);
	assert_false(p.b.level[11]);
	assert_false(p.b.level[23]);
	pci_board_fini(&p);
}

struct seen {
	unsigned int n;
	struct pci_intx_info info[16];
};

static void
note_intx(const struct pci_intx_info *info, void *arg)
{
	struct seen *s = arg;

	assert_true(s->n < ARRAY_LEN(s->info));
	s->info[s->n++] = *info;
}

static void
test_foreach_intx(void **state)
{
	struct pci_board p;
	struct seen s = { .n = 0 };

	pci_board_init(&p);
	for (unsigned int func = 0; func < 5; func++)
		probe_add(&p, &wired, 0, 3, func);
	pci_board_add(&p, "lpc", 0, 31, 0);
	probe_add(&p, &wired, 2, 3, 0);
	pci_bus_foreach_intx(p.bus, note_intx, &s);
	assert_int_equal(s.n, 5);
	for (unsigned int i = 0; i < 5; i++) {
		const struct pci_intx_info *x = &s.info[i];
		unsigned int pin = i < 4 ? i + 1 : 1;
		unsigned int pirq = (4 + x->bus + 3 + pin - 1) % 8;

		assert_int_equal(x->bus, i < 4 ? 0 : 2);
		assert_int_equal(x->slot, 3);
		assert_int_equal(x->pin, pin);
		assert_int_equal(x->pirq, pirq);
		assert_int_equal(x->gsi, 16 + pirq);
		assert_int_equal(
		    x->irq, cfg_read(&p, LPC, pirq_offset(pirq), 1));
	}
	pci_board_fini(&p);
}

static void
test_pirq_snapshot(void **state)
{
	struct pci_board p, q;
	struct pci_dev *pd;

	pci_board_init(&p);
	pci_board_init(&q);
	pci_board_add(&p, "lpc", 0, 31, 0);
	pci_board_add(&q, "lpc", 0, 31, 0);
	pd = probe_add(&p, &wired, 0, 3, 0);
	probe_add(&q, &wired, 0, 3, 0);
	cfg_write(&p, LPC, pirq_offset(7), 1, 14);
	pci_intx_set(pd, true);
	assert_int_equal(board_load(&q.b, board_save(&p.b)), 0);
	assert_int_equal(cfg_read(&q, LPC, pirq_offset(7), 1), 14);
	assert_true(q.b.level[14]);
	pci_board_fini(&p);
	pci_board_fini(&q);
}

static void
test_express_cap(void **state)
{
	static const struct probe_spec spec = { .express = true };
	struct pci_board p;
	unsigned int cap;

	pci_board_init(&p);
	probe_add(&p, &spec, 0, 3, 0);
	cap = cfg_cap(&p, D1, CAP_PCIE);
	/* Version 2, root complex integrated endpoint: no link. */
	assert_int_equal(cfg_read(&p, D1, cap + 2, 2), 0x0092);
	assert_int_equal(cfg_read(&p, D1, cap + 4, 4), 0x8000);
	assert_int_equal(cfg_read(&p, D1, cap + 0x0c, 4), 0);
	cfg_write(&p, D1, cap + 8, 4, UINT32_MAX);
	assert_int_equal(cfg_read(&p, D1, cap + 8, 4), 0x781f);
	chips_reset(p.b.ctx);
	assert_int_equal(cfg_read(&p, D1, cap + 8, 4), 0x2810);
	assert_int_equal(cfg_read(&p, D1, 0x100, 4), 0);
	pci_board_fini(&p);
}

/* --- a model's own thread ------------------------------------------------- */

#define RACE_ROUNDS 5000

/* Raises a vector many times, as a disk's thread would. */
static void *
race_raise(void *arg)
{
	struct pci_dev *pd = arg;

	for (unsigned int i = 0; i < RACE_ROUNDS; i++) {
		pci_dev_lock(pd);
		pci_msix_raise(pd, 3);
		pci_dev_unlock(pd);
	}
	return NULL;
}

/* The guest masks and unmasks meanwhile: the last one is not lost. */
static void
test_race_mask(void **state)
{
	struct pci_board p;
	struct pci_dev *pd;
	unsigned int cap;
	pthread_t t;

	pci_board_init(&p);
	pd = probe_add(&p, &msix70, 0, 3, 0);
	cap = msix_setup(&p);
	assert_int_equal(pthread_create(&t, NULL, race_raise, pd), 0);
	for (unsigned int i = 0; i < RACE_ROUNDS / 4; i++) {
		vector_mask(&p, 3, false);
		cfg_write(&p, D1, cap + MSIX_CTRL, 2, 0xc000);
		vector_mask(&p, 3, true);
		cfg_write(&p, D1, cap + MSIX_CTRL, 2, 0x8000);
	}
	pthread_join(t, NULL);
	p.b.msis = 0;
	pci_msix_raise(pd, 3);
	assert_true(board_read(&p.b, PBA, 8) == 8);
	vector_mask(&p, 3, false);
	assert_sent(&p, 0x5fee00030, 0x103);
	assert_true(board_read(&p.b, PBA, 8) == 0);
	pci_board_fini(&p);
}

static void *
race_wire(void *arg)
{
	struct pci_dev *pd = arg;

	for (unsigned int i = 0; i < RACE_ROUNDS; i++) {
		pci_dev_lock(pd);
		pci_intx_set(pd, i % 2 == 0);
		pci_dev_unlock(pd);
	}
	return NULL;
}

/* Two functions on one PIRQ, whose routing changes: no level stays behind. */
static void
test_race_pirq(void **state)
{
	struct pci_board p;
	struct pci_dev *a, *b;
	unsigned int off = pirq_offset(7);
	pthread_t t[2];

	pci_board_init(&p);
	pci_board_add(&p, "lpc", 0, 31, 0);
	a = probe_add(&p, &wired, 0, 3, 0);
	b = probe_add(&p, &wired, 0, 11, 0);
	assert_int_equal(pthread_create(&t[0], NULL, race_wire, a), 0);
	assert_int_equal(pthread_create(&t[1], NULL, race_wire, b), 0);
	for (unsigned int i = 0; i < RACE_ROUNDS; i++) {
		cfg_write(&p, LPC, off, 1, i % 3 == 0 ? 0x80 : 10 + i % 2);
		cfg_write(&p, D1, R_COMMAND, 2, i % 5 == 0 ? CMD_NOINTX : 0);
	}
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	cfg_write(&p, LPC, off, 1, 10);
	cfg_write(&p, D1, R_COMMAND, 2, 0);
	assert_false(p.b.level[10]);
	assert_false(p.b.level[11]);
	assert_false(p.b.level[23]);
	pci_intx_set(a, true);
	assert_true(p.b.level[10]);
	assert_true(p.b.level[23]);
	pci_intx_set(a, false);
	assert_false(p.b.level[10]);
	pci_board_fini(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_msi_cap),
		cmocka_unit_test(test_msi_raise),
		cmocka_unit_test(test_msi_mask),
		cmocka_unit_test(test_msix_cap),
		cmocka_unit_test(test_msix_table),
		cmocka_unit_test(test_msix_raise),
		cmocka_unit_test(test_msix_bus_master),
		cmocka_unit_test(test_msix_reset_and_snapshot),
		cmocka_unit_test(test_msi_snapshot),
		cmocka_unit_test(test_intx_pins),
		cmocka_unit_test(test_intx_level),
		cmocka_unit_test(test_intx_or_message),
		cmocka_unit_test(test_intx_snapshot),
		cmocka_unit_test(test_pirq_boot),
		cmocka_unit_test(test_pirq_route),
		cmocka_unit_test(test_foreach_intx),
		cmocka_unit_test(test_pirq_snapshot),
		cmocka_unit_test(test_express_cap),
		cmocka_unit_test(test_race_mask),
		cmocka_unit_test(test_race_pirq),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
