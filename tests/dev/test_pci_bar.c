/* SPDX-License-Identifier: BSD-2-Clause */
/* BARs: boot addresses, windows, sizing, moving, decoding, conflicts, DMA. */
#include "pci_board.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <vmm/mem.h>
#include <vmmapi.h>

#define D1 BDF(0, 3, 0)
#define D2 BDF(0, 4, 0)

static const struct probe_spec io8 = {
	.bar[0] = { PCI_BAR_IO, 8 },
};
static const struct probe_spec mem4k = {
	.bar[0] = { PCI_BAR_MEM32, 4096 },
};
static const struct probe_spec mixed = {
	.bar[0] = { PCI_BAR_IO, 32 },
	.bar[1] = { PCI_BAR_MEM32, 4096 },
	.bar[2] = { PCI_BAR_MEM64, 0x4000 },
	.bar[4] = { PCI_BAR_MEM64_PREF, 64ull << 20 },
};

static uint64_t
bar64(struct pci_board *p, uint32_t bdf, unsigned int n)
{
	return (cfg_read(p, bdf, R_BAR(n), 4) & ~0xfu) |
	       (uint64_t)cfg_read(p, bdf, R_BAR(n + 1), 4) << 32;
}

static void
test_boot_addresses(void **state)
{
	struct pci_board p;
	struct pci_dev *pd;

	pci_board_init(&p);
	pd = probe_add(&p, &mixed, 0, 3, 0);
	assert_int_equal(
	    cfg_read(&p, D1, R_COMMAND, 2), CMD_IO | CMD_MEM | CMD_BM);
	assert_int_equal(cfg_read(&p, D1, R_BAR(0), 4), 0x2001);
	assert_int_equal(cfg_read(&p, D1, R_BAR(2), 4), 0xc0000004);
	assert_int_equal(cfg_read(&p, D1, R_BAR(3), 4), 0);
	assert_int_equal(cfg_read(&p, D1, R_BAR(1), 4), 0xc0004000);
	assert_int_equal(cfg_read(&p, D1, R_BAR(4), 4), 0x0000000c);
	assert_int_equal(cfg_read(&p, D1, R_BAR(5), 4), 0xd0);
	/* All of them are decoded. */
	board_out(&p.b, 0x2004, 4, 0x11223344);
	assert_int_equal(board_in(&p.b, 0x2004, 2), 0x3344);
	assert_int_equal(probe_of(pd)->last_bar, 0);
	board_write(&p.b, 0xc0004010, 1, 0x5a);
	assert_int_equal(probe_of(pd)->mem[1][0x10], 0x5a);
	board_write(&p.b, 0xc0003ffe, 2, 0xabcd);
	assert_int_equal(probe_of(pd)->last_off, 0x3ffe);
	assert_int_equal(probe_of(pd)->last_bar, 2);
	assert_int_equal(board_read(&p.b, 0xd003fffffcull, 4), 0);
	assert_int_equal(probe_of(pd)->last_bar, 4);
	assert_int_equal(probe_of(pd)->last_off, (64u << 20) - 4);
	pci_board_fini(&p);
}

static void
test_qword_is_split(void **state)
{
	struct pci_board p;
	struct pci_dev *pd;

	pci_board_init(&p);
	pd = probe_add(&p, &mem4k, 0, 3, 0);
	board_write(&p.b, 0xc0000008, 8, 0x1122334455667788);
	assert_int_equal(probe_of(pd)->writes, 2);
	assert_int_equal(probe_of(pd)->last_off, 0xc);
	assert_int_equal(probe_of(pd)->last_bytes, 4);
	assert_true(board_read(&p.b, 0xc0000008, 8) == 0x1122334455667788);
	assert_int_equal(probe_of(pd)->reads, 2);
	pci_board_fini(&p);
}

/* PCI 3.0 section 6.2.5.1, with decoding off and on, by both mechanisms. */
static void
test_sizing(void **state)
{
	static const uint32_t masks[PCI_NBARS] = { 0xffe1, 0xfffff000,
		0xffffc004, 0xffffffff, 0xfc00000c, 0xffffffff };
	struct pci_board p;

	pci_board_init(&p);
	probe_add(&p, &mixed, 0, 3, 0);
	for (unsigned int pass = 0; pass < 4; pass++) {
		uint16_t cmd = pass & 1 ? CMD_IO | CMD_MEM | CMD_BM : 0;

		cfg_write(&p, D1, R_COMMAND, 2, cmd);
		for (unsigned int i = 0; i < PCI_NBARS; i++) {
			uint32_t old = cfg_read(&p, D1, R_BAR(i), 4), got;

			if (pass & 2)
				cf8_write(&p, D1, R_BAR(i), 4, UINT32_MAX);
			else
				cfg_write(&p, D1, R_BAR(i), 4, UINT32_MAX);
			got = cfg_read(&p, D1, R_BAR(i), 4);
			assert_int_equal(got, masks[i]);
			cfg_write(&p, D1, R_BAR(i), 4, old);
			assert_int_equal(cfg_read(&p, D1, R_BAR(i), 4), old);
		}
	}
	cfg_write(&p, D1, 0x30, 4, UINT32_MAX); /* no ROM */
	assert_int_equal(cfg_read(&p, D1, 0x30, 4), 0);
	board_write(&p.b, 0xc0004000, 4, 7);
	assert_int_equal(board_read(&p.b, 0xc0004000, 4), 7);
	pci_board_fini(&p);
}

/* While one is sized with decoding on, nothing else is disturbed. */
static void
test_sizing_decoded(void **state)
{
	struct pci_board p;
	struct pci_dev *pd;

	pci_board_init(&p);
	pd = probe_add(&p, &io8, 0, 3, 0);
	cfg_write(&p, D1, R_BAR(0), 4, UINT32_MAX);
	assert_int_equal(board_in(&p.b, 0xfff8, 1), 0xff);
	assert_int_equal(board_in(&p.b, 0x2000, 1), 0xff);
	assert_int_equal(probe_of(pd)->reads, 0);
	cfg_write(&p, D1, R_BAR(0), 4, 0x2001);
	assert_int_equal(board_in(&p.b, 0x2000, 1), 0);
	pci_board_fini(&p);
}

static void
test_decode_off(void **state)
{
	struct pci_board p;

	pci_board_init(&p);
	probe_add(&p, &mixed, 0, 3, 0);
	cfg_write(&p, D1, R_COMMAND, 2, CMD_IO);
	assert_int_equal(board_in(&p.b, 0x2000, 1), 0);
	assert_int_equal(board_read(&p.b, 0xc0004000, 4), UINT32_MAX);
	cfg_write(&p, D1, R_COMMAND, 1, CMD_MEM);
	assert_int_equal(board_in(&p.b, 0x2000, 1), 0xff);
	assert_int_equal(board_read(&p.b, 0xc0004000, 4), 0);
	/* Moved while off; there when on. */
	cfg_write(&p, D1, R_COMMAND, 2, 0);
	cfg_write(&p, D1, R_BAR(1), 4, 0xc8000000);
	assert_int_equal(board_read(&p.b, 0xc8000000, 4), UINT32_MAX);
	cfg_write(&p, D1, R_COMMAND, 2, CMD_MEM);
	assert_int_equal(board_read(&p.b, 0xc8000000, 4), 0);
	assert_int_equal(board_read(&p.b, 0xc0004000, 4), UINT32_MAX);
	pci_board_fini(&p);
}

static void
test_move_decoded(void **state)
{
	struct pci_board p;
	struct pci_dev *pd;

	pci_board_init(&p);
	pd = probe_add(&p, &mixed, 0, 3, 0);
	probe_of(pd)->mem[2][0] = 0x42;
	/* 64 bits, in two halves. */
	cfg_write(&p, D1, R_BAR(3), 4, 0x1);
	cfg_write(&p, D1, R_BAR(2), 4, 0x80000000);
	assert_int_equal(board_read(&p.b, 0x180000000ull, 1), 0x42);
	assert_true(bar64(&p, D1, 2) == 0x180000000ull);
	/* By bytes and words, as hardware would. */
	cfg_write(&p, D1, R_BAR(2) + 3, 1, 0x90);
	assert_int_equal(board_read(&p.b, 0x190000000ull, 1), 0x42);
	cfg_write(&p, D1, R_BAR(2) + 2, 2, 0xa004);
	assert_int_equal(board_read(&p.b, 0x1a0040000ull, 1), 0x42);
	/* Beyond what a physical address can be. */
	cfg_write(&p, D1, R_BAR(3), 4, 0x00400000);
	assert_true(bar64(&p, D1, 2) == 0x00400000a0040000ull);
	cfg_write(&p, D1, R_BAR(3), 4, 2);
	assert_int_equal(board_read(&p.b, 0x2a0040000ull, 1), 0x42);
	/* An I/O BAR has 16 bits. */
	cfg_write(&p, D1, R_BAR(0), 4, 0xdead4fff);
	assert_int_equal(cfg_read(&p, D1, R_BAR(0), 4), 0x4fe1);
	board_out(&p.b, 0x4fe3, 1, 9);
	assert_int_equal(probe_of(pd)->mem[0][3], 9);
	/* Across its end. */
	assert_int_equal(board_in(&p.b, 0x4ffe, 4), UINT32_MAX);
	pci_board_fini(&p);
}

/* On top of another function: not decoded; two swap; both work. */
static void
test_swap(void **state)
{
	struct pci_board p;
	struct pci_dev *a, *b;

	pci_board_init(&p);
	a = probe_add(&p, &mem4k, 0, 3, 0);
	b = probe_add(&p, &mem4k, 0, 4, 0);
	probe_of(a)->mem[0][0] = 0xaa;
	probe_of(b)->mem[0][0] = 0xbb;
	assert_int_equal(board_read(&p.b, 0xc0000000, 1), 0xaa);
	assert_int_equal(board_read(&p.b, 0xc0001000, 1), 0xbb);
	cfg_write(&p, D1, R_BAR(0), 4, 0xc0001000);
	assert_int_equal(board_read(&p.b, 0xc0001000, 1), 0xbb);
	assert_int_equal(board_read(&p.b, 0xc0000000, 1), 0xff);
	cfg_write(&p, D2, R_BAR(0), 4, 0xc0000000);
	assert_int_equal(board_read(&p.b, 0xc0001000, 1), 0xaa);
	assert_int_equal(board_read(&p.b, 0xc0000000, 1), 0xbb);
	/* One that waits is switched off, and does not come back. */
	cfg_write(&p, D1, R_BAR(0), 4, 0xc0000000);
	cfg_write(&p, D1, R_COMMAND, 2, 0);
	cfg_write(&p, D2, R_COMMAND, 2, 0);
	assert_int_equal(board_read(&p.b, 0xc0000000, 1), 0xff);
	cfg_write(&p, D1, R_COMMAND, 2, CMD_MEM);
	assert_int_equal(board_read(&p.b, 0xc0000000, 1), 0xaa);
	pci_board_fini(&p);
}

/* Several wait for one place; each in turn gets it. */
static void
test_many_wait(void **state)
{
	struct pci_board p;
	struct pci_dev *pd[6];

	pci_board_init(&p);
	for (unsigned int i = 0; i < ARRAY_LEN(pd); i++) {
		pd[i] = probe_add(&p, &io8, 0, 3 + i, 0);
		probe_of(pd[i])->mem[0][0] = (uint8_t)(0x10 + i);
	}
	for (unsigned int i = 0; i < ARRAY_LEN(pd); i++)
		cfg_write(&p, BDF(0, 3 + i, 0), R_BAR(0), 4, 0x5000);
	for (unsigned int left = ARRAY_LEN(pd); left > 0; left--) {
		unsigned int who = board_in(&p.b, 0x5000, 1) - 0x10;

		assert_true(who < ARRAY_LEN(pd));
		cfg_write(&p, BDF(0, 3 + who, 0), R_COMMAND, 2, 0);
	}
	assert_int_equal(board_in(&p.b, 0x5000, 1), 0xff);
	pci_board_fini(&p);
}

static int
chip_mmio(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val, void *arg)
{
	*val = 0xc1;
	return 0;
}

static void
test_onto_others(void **state)
{
	static const uint32_t places[] = { 0xfee00000, PCI_ECAM_BASE,
		PCI_ECAM_BASE + 0x0ffff000, 0, 0x100000, 0x1ff000 };
	const struct mmio_range chip = { .name = "chip",
		.base = 0xfee00000,
		.len = 0x1000,
		.fn = chip_mmio };
	struct pci_board p;
	struct pci_dev *pd;

	pci_board_init(&p);
	assert_int_equal(vm_setup_memory(p.b.ctx, 2u << 20, VM_MMAP_ALL), 0);
	assert_int_equal(bus_mmio_register(p.b.ctx, &chip), 0);
	pd = probe_add(&p, &mem4k, 0, 3, 0);
	for (unsigned int i = 0; i < ARRAY_LEN(places); i++) {
		probe_of(pd)->reads = 0;
		cfg_write(&p, D1, R_BAR(0), 4, places[i]);
		assert_int_equal(cfg_read(&p, D1, R_BAR(0), 4), places[i]);
		board_read(&p.b, places[i], 4);
		assert_int_equal(probe_of(pd)->reads, 0);
		assert_int_equal(board_read(&p.b, 0xfee00000, 1), 0xc1);
		cfg_write(&p, D1, R_BAR(0), 4, 0xc0000000);
		assert_int_equal(board_read(&p.b, 0xc0000000, 4), 0);
		assert_int_equal(probe_of(pd)->reads, 1);
	}
	pci_board_fini(&p);
}

static void
test_io_onto_chip(void **state)
{
	struct pci_board p;
	struct pci_dev *pd;

	pci_board_init(&p);
	pd = probe_add(&p, &io8, 0, 3, 0);
	cfg_write(&p, D1, R_BAR(0), 4, 0xcf8);
	assert_int_equal(cf8_read(&p, D1, R_BAR(0), 4), 0xcf9);
	assert_int_equal(probe_of(pd)->reads + probe_of(pd)->writes, 0);
	cf8_write(&p, D1, R_BAR(0), 4, 0x2000);
	assert_int_equal(board_in(&p.b, 0x2000, 1), 0);
	pci_board_fini(&p);
}

static void
test_reset(void **state)
{
	struct pci_board p;
	struct pci_dev *a, *b;

	pci_board_init(&p);
	a = probe_add(&p, &mem4k, 0, 3, 0);
	b = probe_add(&p, &mem4k, 0, 4, 0);
	probe_of(a)->mem[0][0] = 0xaa;
	probe_of(b)->mem[0][0] = 0xbb;
	cfg_write(&p, D1, R_BAR(0), 4, 0xc5000000);
	cfg_write(&p, D2, R_BAR(0), 4, 0xc0000000);
	chips_reset(p.b.ctx);
	assert_int_equal(board_read(&p.b, 0xc0000000, 1), 0xaa);
	assert_int_equal(board_read(&p.b, 0xc0001000, 1), 0xbb);
	assert_int_equal(board_read(&p.b, 0xc5000000, 1), 0xff);
	pci_board_fini(&p);
}

static void
test_snapshot(void **state)
{
	struct pci_board p, q;
	struct pci_dev *pd;

	pci_board_init(&p);
	pci_board_init(&q);
	probe_add(&p, &mixed, 0, 3, 0);
	pd = probe_add(&q, &mixed, 0, 3, 0);
	cfg_write(&p, D1, R_BAR(1), 4, 0xc5000000);
	cfg_write(&p, D1, R_COMMAND, 2, CMD_MEM);
	assert_int_equal(board_load(&q.b, board_save(&p.b)), 0);
	probe_of(pd)->mem[1][0] = 0x77;
	assert_int_equal(board_read(&q.b, 0xc5000000, 1), 0x77);
	assert_int_equal(board_read(&q.b, 0xc0004000, 1), 0xff);
	assert_int_equal(board_in(&q.b, 0x2000, 1), 0xff);
	pci_board_fini(&p);
	pci_board_fini(&q);
}

/* The order of making does not matter; each bus has its own windows. */
static void
test_windows(void **state)
{
	struct pci_bus_windows w[3];
	struct pci_board p;

	pci_board_init(&p);
	probe_add(&p, &mixed, 7, 0, 0);
	probe_add(&p, &mem4k, 0, 4, 0);
	probe_add(&p, &mixed, 0, 3, 0);
	assert_true(pci_bus_windows(p.bus, 0, &w[0]));
	assert_true(pci_bus_windows(p.bus, 7, &w[1]));
	assert_false(pci_bus_windows(p.bus, 1, &w[2]));
	assert_false(pci_bus_windows(p.bus, 256, &w[2]));
	assert_int_equal(w[0].io_base, 0x2000);
	assert_int_equal(w[0].io_limit, 0x203f);
	assert_int_equal(w[1].io_base, 0x2040);
	assert_int_equal(w[1].io_limit, 0xffff);
	assert_true(w[0].mem32_base == 0xc0000000);
	assert_true(w[0].mem32_limit == 0xc01fffff);
	assert_true(w[1].mem32_base == 0xc0200000);
	assert_true(w[1].mem32_limit == 0xdfffffff);
	assert_true(w[0].mem64_base == 0xd000000000);
	assert_true(w[0].mem64_limit == 0xd0040fffff);
	assert_true(w[1].mem64_base == 0xd004100000);
	assert_true(w[1].mem64_limit == 0xfcffffffff);
	assert_int_equal(cfg_read(&p, BDF(0, 3, 0), R_BAR(0), 4), 0x2001);
	assert_int_equal(cfg_read(&p, BDF(7, 0, 0), R_BAR(0), 4), 0x2041);
	assert_int_equal(cfg_read(&p, BDF(0, 3, 0), R_BAR(2), 4), 0xc0000004);
	assert_int_equal(cfg_read(&p, BDF(0, 3, 0), R_BAR(1), 4), 0xc0004000);
	assert_int_equal(cfg_read(&p, BDF(0, 4, 0), R_BAR(0), 4), 0xc0005000);
	assert_int_equal(cfg_read(&p, BDF(7, 0, 0), R_BAR(2), 4), 0xc0200004);
	assert_true(bar64(&p, BDF(7, 0, 0), 4) == 0xd008000000);
	pci_board_fini(&p);
}

static void
test_window_full(void **state)
{
	static const struct probe_spec big = {
		.bar[0] = { PCI_BAR_MEM32, 256u << 20 },
	};
	struct pci_board p;
	struct pci_dev *pd;
	char err[256] = "";

	pci_board_init(&p);
	probe_add(&p, &mem4k, 0, 2, 0);
	probe_add(&p, &big, 0, 3, 0);
	assert_int_equal(
	    probe_try(&p, &big, 0, 4, 0, &pd, err, sizeof(err)), -ENOSPC);
	assert_string_equal(
	    err, "pci slot 0:2:0: no room for BAR 0 of probe, 0x1000 bytes");
	/* The others are where they were. */
	assert_int_equal(cfg_read(&p, BDF(0, 4, 0), 0, 4), UINT32_MAX);
	assert_int_equal(cfg_read(&p, D1, R_BAR(0), 4), 0xc0000000);
	assert_int_equal(board_read(&p.b, 0xd0000000, 1), 0);
	pci_board_fini(&p);
}

static void
test_dma(void **state)
{
	static const struct probe_spec none = { .msi = 1 };
	struct pci_board p;
	struct pci_dev *pd;
	uint64_t high = GPA_HIGHMEM_BASE;
	uint32_t v = 0x12345678, w = 0;
	uint8_t *hva;

	pci_board_init(&p);
	vm_set_lowmem_limit(p.b.ctx, 1u << 20);
	assert_int_equal(vm_setup_memory(p.b.ctx, 2u << 20, VM_MMAP_ALL), 0);
	pd = probe_add(&p, &none, 0, 3, 0);
	assert_false(pci_bus_master(pd));
	assert_null(pci_dma_map(pd, 0, 4));
	assert_false(pci_dma_read(pd, 0, &w, 4));
	assert_false(pci_dma_write(pd, 0, &v, 4));
	assert_int_equal(board_read(&p.b, 0, 4), 0xffffffff);
	cfg_write(&p, D1, R_COMMAND, 2, CMD_BM);
	assert_true(pci_bus_master(pd));
	assert_true(pci_dma_write(pd, high + 16, &v, 4));
	assert_true(pci_dma_read(pd, high + 16, &w, 4));
	assert_int_equal(w, v);
	hva = pci_dma_map(pd, high + 16, 4);
	assert_non_null(hva);
	assert_int_equal(get_le32(hva), v);
	pci_dma_written(pd, hva, 4);
	/* Nothing but RAM, all of it in one piece. */
	assert_null(pci_dma_map(pd, 0, 0));
	assert_null(pci_dma_map(pd, (1u << 20) - 2, 4));
	assert_null(pci_dma_map(pd, high + (1u << 20) - 2, 4));
	assert_null(pci_dma_map(pd, 0xc0000000, 4));
	assert_null(pci_dma_map(pd, UINT64_MAX, 4));
	assert_false(pci_dma_read(pd, UINT64_MAX - 1, &w, 4));
	assert_false(pci_dma_write(pd, (1u << 20) - 2, &v, 4));
	pci_board_fini(&p);
}

/* --- two processors ------------------------------------------------------- */

#define RACE_ROUNDS 3000

struct race {
	struct pci_board *p;
	struct vcpu *vcpu;
	uint32_t stop;
};

static void *
race_access(void *arg)
{
	struct race *r = arg;
	uint64_t v;
	uint32_t w;

	while (__atomic_load_n(&r->stop, __ATOMIC_RELAXED) == 0) {
		for (uint64_t i = 0; i < 4; i++) {
			v = 0;
			bus_mmio(r->vcpu, true, 0xc0000000 + (i << 12), 8, &v);
			bus_mmio(r->vcpu, false, 0xc0000000 + (i << 12), 4, &v);
			assert_true(v == 0 || v == UINT32_MAX);
			if (bus_pio(r->vcpu, true, (uint16_t)(0x2000 + 8 * i),
				4, &w) == BUS_OK)
				assert_true(w == 0 || w == UINT32_MAX);
		}
	}
	return NULL;
}

/* One processor moves what the other uses. */
static void
test_race_move(void **state)
{
	static const struct probe_spec both = {
		.bar[0] = { PCI_BAR_IO, 8 },
		.bar[1] = { PCI_BAR_MEM32, 4096 },
	};
	struct pci_board p;
	struct race r = { .p = &p };
	pthread_t t;

	pci_board_init(&p);
	probe_add(&p, &both, 0, 3, 0);
	probe_add(&p, &both, 0, 4, 0);
	r.vcpu = vm_vcpu_open(p.b.ctx, 1);
	assert_non_null(r.vcpu);
	assert_int_equal(pthread_create(&t, NULL, race_access, &r), 0);
	for (uint32_t i = 0; i < RACE_ROUNDS; i++) {
		uint32_t who = i & 1 ? D1 : D2, at = i * 2654435761u >> 30;

		cfg_write(&p, who, R_BAR(0), 4, 0x2000 + 8 * at);
		cfg_write(&p, who, R_BAR(1), 4, 0xc0000000 + (at << 12));
		if (i % 5 == 0)
			cfg_write(&p, who, R_COMMAND, 2,
			    i % 10 == 0 ? 0 : CMD_IO | CMD_MEM);
	}
	__atomic_store_n(&r.stop, 1, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	pci_board_fini(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_boot_addresses),
		cmocka_unit_test(test_qword_is_split),
		cmocka_unit_test(test_sizing),
		cmocka_unit_test(test_sizing_decoded),
		cmocka_unit_test(test_decode_off),
		cmocka_unit_test(test_move_decoded),
		cmocka_unit_test(test_swap),
		cmocka_unit_test(test_many_wait),
		cmocka_unit_test(test_onto_others),
		cmocka_unit_test(test_io_onto_chip),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_snapshot),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_window_full),
		cmocka_unit_test(test_dma),
		cmocka_unit_test(test_race_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
