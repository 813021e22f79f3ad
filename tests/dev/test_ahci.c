/* SPDX-License-Identifier: BSD-2-Clause */
/* The SATA controller: registers, resets, interrupts, faults, snapshot. */
#include "ahci_host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <vmm/snap.h>

#include "ahci_priv.h"
#include "board.h"

#define SECTOR 512u
#define DISK   (1024 * SECTOR)

static struct fis_reg_h2d
read_dma(uint64_t lba, uint16_t count)
{
	return host_fis(0x25, lba, count);
}

/* --- registers ------------------------------------------------------------ */

static void
test_reset_values(void **state)
{
	static const struct {
		unsigned int reg;
		uint32_t disk, cd;
	} regs[] = {
		{ PxCLB, 0, 0 },
		{ PxFB, 0, 0 },
		{ PxIS, 0, 0 },
		{ PxIE, 0, 0 },
		{ PxCMD, 0x10006, 0x10006 },
		{ PxTFD, 0x170, 0x130 },
		{ PxSIG, 0x00000101, 0xeb140101 },
		{ PxSSTS, 0x133, 0x133 },
		{ PxSCTL, 0, 0 },
		{ PxSERR, 0, 0 },
		{ PxSACT, 0, 0 },
		{ PxCI, 0, 0 },
		{ PxSNTF, 0, 0 },
		{ 0x40, 0, 0 },
	};
	static const struct fake_pci_opt opts[] = { { "port.0.path", "d" },
		{ "port.1.path", "c" }, { "port.1.type", "cd" },
		{ NULL, NULL } };
	struct host h = { 0 };

	fake_disk("d", DISK, true);
	fake_disk("c", DISK, true);
	host_open(&h, &ahci_ops, opts);
	assert_int_equal(h.pd->bar, 5);
	assert_int_equal(h.pd->bar_bytes, 0x400);
	assert_int_equal(host_generic(&h, AHCI_CAP), 0xff30ff25);
	assert_int_equal(host_generic(&h, AHCI_GHC), 0x80000000);
	assert_int_equal(host_generic(&h, AHCI_IS), 0);
	assert_int_equal(host_generic(&h, AHCI_PI), 3);
	assert_int_equal(host_generic(&h, AHCI_VS), 0x10300);
	assert_int_equal(host_generic(&h, AHCI_CAP2), 4);
	assert_int_equal(host_generic(&h, AHCI_CCC_CTL), 0);
	assert_int_equal(host_generic(&h, AHCI_BOHC), 0);
	for (size_t i = 0; i < ARRAY_LEN(regs); i++) {
		h.port = 0;
		assert_int_equal(host_reg(&h, regs[i].reg), regs[i].disk);
		h.port = 1;
		assert_int_equal(host_reg(&h, regs[i].reg), regs[i].cd);
	}
	host_close(&h);
}

static void
test_empty_port(void **state)
{
	struct host h;

	host_disk(&h, DISK);
	h.port = 3;
	assert_int_equal(host_reg(&h, PxSSTS), 0);
	assert_int_equal(host_reg(&h, PxSIG), 0xffffffff);
	assert_int_equal(host_reg(&h, PxTFD), 0x7f);
	host_start(&h);
	host_comreset(&h);
	host_issue(&h, 0);
	assert_int_equal(host_reg(&h, PxSSTS), 0);
	assert_int_equal(host_reg(&h, PxCI), 0);
	/* Behind the last port. */
	h.port = 6;
	assert_int_equal(host_reg(&h, PxSIG), 0);
	host_set(&h, PxCMD, UINT32_MAX);
	host_close(&h);
}

static void
test_32_ports(void **state)
{
	static char names[32][8], keys[32][16];
	struct fake_pci_opt opts[33] = { { NULL, NULL } };
	struct host h = { 0 };

	for (unsigned int i = 0; i < 32; i++) {
		snprintf(names[i], sizeof(names[i]), "disk%u", i);
		snprintf(keys[i], sizeof(keys[i]), "port.%u.path", i);
		opts[i] = (struct fake_pci_opt){ keys[i], names[i] };
		fake_disk(names[i], DISK, true);
	}
	host_open(&h, &ahci_ops, opts);
	assert_int_equal(host_generic(&h, AHCI_PI), UINT32_MAX);
	assert_int_equal(host_generic(&h, AHCI_CAP), 0xff30ff3f);
	assert_int_equal(h.pd->bar_bytes, 0x2000);
	h.port = 31;
	assert_int_equal(host_reg(&h, PxSIG), SIG_DISK);
	host_close(&h);
}

static void
test_narrow_access(void **state)
{
	struct host h;
	unsigned int fb = AHCI_PORT_BASE + PxFB;

	host_disk(&h, DISK);
	host_set(&h, PxFB, 0x12345600);
	assert_int_equal(fake_pci_read(h.pd, fb + 1, 1), 0x56);
	assert_int_equal(fake_pci_read(h.pd, fb + 2, 2), 0x1234);
	assert_int_equal(fake_pci_read(h.pd, fb + 1, 2), 0x3456);
	/* Across two registers there is none. */
	assert_int_equal(fake_pci_read(h.pd, fb + 3, 2), 0);
	assert_int_equal(fake_pci_read(h.pd, fb + 1, 4), 0);
	fake_pci_write(h.pd, fb + 3, 2, 0xffff);
	fake_pci_write(h.pd, fb + 1, 1, 0xab);
	assert_int_equal(host_reg(&h, PxFB), 0x1234ab00);
	fake_pci_write(h.pd, fb, 2, 0xcdef);
	assert_int_equal(host_reg(&h, PxFB), 0x1234cd00);
	/* Reserved bits stay clear. */
	host_set(&h, PxCLB, UINT32_MAX);
	assert_int_equal(host_reg(&h, PxCLB), 0xfffffc00);
	host_set(&h, PxIE, UINT32_MAX);
	assert_int_equal(host_reg(&h, PxIE), 0xfdc000ff);
	/* A byte of a write-1-to-clear register touches no other. */
	host_comreset(&h);
	host_set(&h, PxSCTL, 1);
	host_set(&h, PxSCTL, 0);
	assert_int_equal(host_reg(&h, PxSERR), SERR_DIAG_X | SERR_DIAG_N);
	fake_pci_write(h.pd, AHCI_PORT_BASE + PxSERR + 2, 1, 0xff);
	assert_int_equal(host_reg(&h, PxSERR), SERR_DIAG_X);
	/* Read-only registers. */
	host_set(&h, PxTFD, 0);
	host_set(&h, PxSIG, 0);
	host_set(&h, PxSSTS, 0);
	host_set(&h, 0x7c, UINT32_MAX);
	assert_int_equal(host_reg(&h, PxTFD), 0x170);
	assert_int_equal(host_reg(&h, PxSIG), SIG_DISK);
	assert_int_equal(host_reg(&h, PxSSTS), 0x133);
	assert_int_equal(host_reg(&h, 0x7c), 0);
	host_set_generic(&h, AHCI_CAP, 0);
	assert_int_equal(host_generic(&h, AHCI_CAP), 0xff30ff25);
	fake_pci_write(h.pd, AHCI_GHC, 1, 0);
	assert_int_equal(host_generic(&h, AHCI_GHC), GHC_AE);
	fake_pci_write(h.pd, AHCI_GHC, 1, GHC_IE);
	assert_int_equal(host_generic(&h, AHCI_GHC), GHC_AE | GHC_IE);
	host_close(&h);
}

/* --- link and resets ------------------------------------------------------ */

static void
test_comreset(void **state)
{
	struct host h;

	host_disk(&h, DISK);
	host_set(&h, PxCMD, PxCMD_SUD | PxCMD_FRE);
	memset(host_rfis(&h, 0), 0, 256);
	host_set(&h, PxSCTL, SCTL_DET_INIT);
	assert_int_equal(host_reg(&h, PxSSTS), 0);
	assert_int_equal(host_reg(&h, PxTFD), 0x7f);
	assert_int_equal(host_reg(&h, PxSIG), SIG_NONE);
	host_set(&h, PxSCTL, 0);
	assert_int_equal(host_reg(&h, PxSSTS), 0x133);
	assert_int_equal(host_reg(&h, PxTFD), 0x170);
	assert_int_equal(host_reg(&h, PxSIG), SIG_DISK);
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[0], FIS_TYPE_REG_D2H);
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[1], 0); /* no interrupt */
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[2], 0x70);
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[3], 1);
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[4], 1);
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[12], 1);
	/* The change shows in PxIS for as long as PxSERR has it. */
	assert_int_equal(host_reg(&h, PxIS), PxIS_PCS | PxIS_PRCS);
	host_set(&h, PxIS, UINT32_MAX);
	assert_int_equal(host_reg(&h, PxIS), PxIS_PCS | PxIS_PRCS);
	host_set(&h, PxSERR, SERR_DIAG_N);
	assert_int_equal(host_reg(&h, PxIS), PxIS_PCS);
	host_set(&h, PxSERR, UINT32_MAX);
	assert_int_equal(host_reg(&h, PxIS), 0);
	/* A speed limit holds from the next one on. */
	host_set(&h, PxSCTL, 0x11);
	host_set(&h, PxSCTL, 0x10);
	assert_int_equal(host_reg(&h, PxSSTS), 0x113);
	/* Off line. */
	host_set(&h, PxSCTL, SCTL_DET_OFF);
	assert_int_equal(host_reg(&h, PxSSTS), 4);
	host_set(&h, PxSCTL, 0);
	assert_int_equal(host_reg(&h, PxSSTS), 0x133);
	host_close(&h);
}

static void
test_spin_up(void **state)
{
	struct host h;

	host_disk(&h, DISK);
	host_set(&h, PxCMD, 0);
	assert_int_equal(host_reg(&h, PxCMD), 0x10004);
	assert_int_equal(host_reg(&h, PxSSTS), 0);
	/* No FIS is taken while FRE is off; the first one waits. */
	memset(host_rfis(&h, 0), 0, 256);
	host_set(&h, PxCMD, PxCMD_SUD);
	assert_int_equal(host_reg(&h, PxSSTS), 0x133);
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[0], 0);
	host_set(&h, PxCMD, PxCMD_SUD | PxCMD_FRE);
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[0], FIS_TYPE_REG_D2H);
	assert_int_equal(host_reg(&h, PxCMD), 0x14016);
	host_close(&h);
}

static void
test_interface_power(void **state)
{
	struct host h;
	struct fis_reg_h2d f = host_fis(0xe5, 0, 0);
	uint32_t run = PxCMD_SUD | PxCMD_FRE | PxCMD_ST;

	host_disk(&h, DISK);
	host_set(&h, PxCMD, run | 2u << PxCMD_ICC_SHIFT);
	assert_int_equal(host_reg(&h, PxSSTS), 0x233);
	assert_int_equal(host_reg(&h, PxCMD) & PxCMD_ICC_MASK, 0);
	host_set(&h, PxCMD, run | 6u << PxCMD_ICC_SHIFT);
	assert_int_equal(host_reg(&h, PxSSTS), 0x633);
	/* A command wakes it. */
	assert_true(host_run(&h, &f, 0, 0, NULL));
	assert_int_equal(host_reg(&h, PxSSTS), 0x133);
	host_set(&h, PxSCTL, 0x300); /* neither partial nor slumber */
	host_set(&h, PxCMD, run | 2u << PxCMD_ICC_SHIFT);
	host_set(&h, PxCMD, run | 6u << PxCMD_ICC_SHIFT);
	host_set(&h, PxCMD, run | 8u << PxCMD_ICC_SHIFT); /* no DevSleep */
	assert_int_equal(host_reg(&h, PxSSTS), 0x133);
	host_close(&h);
}

static void
test_hba_reset(void **state)
{
	struct host h;
	struct fis_reg_h2d f = read_dma(0, 1);

	host_disk(&h, DISK);
	host_command(&h, 0, 0, &f);
	host_prd(&h, 0, HOST_DATA, SECTOR);
	host_issue(&h, 0);
	assert_int_equal(h.disk->nqueue, 1);
	host_set_generic(&h, AHCI_GHC, GHC_HR | GHC_IE);
	assert_int_equal(host_generic(&h, AHCI_GHC), GHC_AE);
	assert_int_equal(host_reg(&h, PxCI), 0);
	assert_int_equal(host_reg(&h, PxIE), 0);
	assert_int_equal(host_reg(&h, PxCMD), 0x10006);
	assert_int_equal(host_reg(&h, PxTFD), 0x170);
	/* The addresses stay (AHCI 10.4.3). */
	assert_int_equal(host_reg(&h, PxCLB), HOST_CLB);
	assert_int_equal(host_reg(&h, PxFB), HOST_FB);
	/* The request's end is nobody's business any more. */
	assert_int_equal(h.disk->drains, 2); /* the other at power-on */
	memset(host_rfis(&h, 0), 0, 256);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxIS), 0);
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[0], 0);
	fake_pci_call(h.pd, h.pd->ops->reset);
	assert_int_equal(host_reg(&h, PxCLB), 0);
	host_start(&h);
	assert_true(host_run(&h, &f, 0, SECTOR, NULL));
	host_close(&h);
}

static void
test_software_reset(void **state)
{
	struct host h;
	struct fis_reg_h2d f = { .type = FIS_TYPE_REG_H2D,
		.control = CONTROL_SRST };
	struct fis_reg_h2d r = host_fpdma(0x60, 3, 0, 1);

	host_disk(&h, DISK);
	host_command(&h, 3, 0, &r);
	host_prd(&h, 3, HOST_DATA, SECTOR);
	host_set(&h, PxSACT, BIT(3));
	host_issue(&h, 3);
	host_command(&h, 0, CMD_HDR_R | CMD_HDR_C, &f);
	host_issue(&h, 0);
	/* It waits until the backend has let go of the queued command. */
	assert_int_equal(host_reg(&h, PxCI), 1);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxCI), 0);
	assert_int_equal(host_reg(&h, PxSACT), BIT(3)); /* never reported */
	host_restart(&h);
	/* In reset nothing else is answered. */
	r = read_dma(0, 1);
	host_command(&h, 1, 0, &r);
	host_prd(&h, 1, HOST_DATA, SECTOR);
	host_issue(&h, 1);
	assert_int_equal(host_reg(&h, PxCI), BIT(1));
	assert_int_equal(host_reg(&h, PxTFD) & 0x80, 0x80);
	host_set(&h, PxCMD, PxCMD_SUD | PxCMD_FRE);
	host_set(&h, PxCMD, PxCMD_SUD | PxCMD_FRE | PxCMD_CLO);
	assert_int_equal(host_reg(&h, PxTFD) & 0x88, 0);
	assert_int_equal(host_reg(&h, PxCMD) & PxCMD_CLO, 0);
	host_set(&h, PxCMD, PxCMD_SUD | PxCMD_FRE | PxCMD_ST);
	memset(host_rfis(&h, 0), 0, 256);
	f.control = 0;
	host_command(&h, 0, 0, &f);
	host_issue(&h, 0);
	assert_int_equal(host_reg(&h, PxCI), 0);
	assert_int_equal(host_reg(&h, PxTFD), 0x170);
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[0], FIS_TYPE_REG_D2H);
	assert_true(host_run(&h, &r, 0, SECTOR, NULL));
	host_close(&h);
}

/* --- interrupts ----------------------------------------------------------- */

static void
test_interrupts(void **state)
{
	struct fis_reg_h2d f = host_fis(0xe5, 0, 0);
	struct host h;

	host_disk(&h, DISK);
	host_command(&h, 0, 0, &f);
	host_issue(&h, 0);
	assert_int_equal(host_reg(&h, PxIS), PxIS_DHRS);
	assert_int_equal(host_generic(&h, AHCI_IS), 1);
	assert_true(h.pd->intx);
	/* IS alone comes back for as long as PxIS stands. */
	host_set_generic(&h, AHCI_IS, 1);
	assert_int_equal(host_generic(&h, AHCI_IS), 1);
	host_set(&h, PxIS, PxIS_DHRS);
	assert_int_equal(host_generic(&h, AHCI_IS), 1);
	assert_true(h.pd->intx);
	host_set_generic(&h, AHCI_IS, 1);
	assert_false(h.pd->intx);
	/* PxIE and GHC.IE each hold it back. */
	host_set(&h, PxIE, 0);
	host_issue(&h, 0);
	assert_int_equal(host_generic(&h, AHCI_IS), 0);
	host_set(&h, PxIE, PxIS_DHRS);
	assert_true(h.pd->intx);
	host_set_generic(&h, AHCI_GHC, GHC_AE);
	assert_false(h.pd->intx);
	host_set_generic(&h, AHCI_GHC, GHC_AE | GHC_IE);
	assert_true(h.pd->intx);
	host_close(&h);
}

static void
test_msi(void **state)
{
	struct fis_reg_h2d f = host_fis(0xe5, 0, 0);
	struct host h;

	host_disk(&h, DISK);
	h.pd->msi_enabled = 1;
	host_command(&h, 0, 0, &f);
	host_issue(&h, 0);
	assert_int_equal(h.pd->msis, 1);
	/* The second end adds nothing to what the guest was told. */
	host_issue(&h, 0);
	assert_int_equal(h.pd->msis, 1);
	/* One that came before IS was cleared is told again. */
	host_set_generic(&h, AHCI_IS, 1);
	assert_int_equal(h.pd->msis, 2);
	host_set(&h, PxIS, UINT32_MAX);
	host_set_generic(&h, AHCI_IS, 1);
	assert_int_equal(h.pd->msis, 2);
	host_issue(&h, 0);
	assert_int_equal(h.pd->msis, 3);
	host_set_generic(&h, AHCI_GHC, GHC_AE);
	host_set_generic(&h, AHCI_GHC, GHC_AE | GHC_IE);
	assert_int_equal(h.pd->msis, 4);
	host_close(&h);
}

/* A PRD with I, and the byte count. */
static void
test_prd_interrupt(void **state)
{
	struct fis_reg_h2d f = read_dma(0, 2);
	struct ahci_prd *prd;
	struct host h;

	host_disk(&h, DISK);
	host_command(&h, 0, 0, &f);
	host_prd(&h, 0, HOST_DATA, 100);
	host_prd(&h, 0, HOST_DATA + 0x1000, 2000);
	prd = (struct ahci_prd *)(void *)host_mem(
	    &h, HOST_TABLES + CMD_TABLE_PRDT);
	prd[1].dbc |= PRD_I;
	host_issue(&h, 0);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxIS), PxIS_DHRS | PxIS_DPS);
	assert_int_equal(host_hdr(&h, 0)->prdbc, 2 * SECTOR);
	assert_memory_equal(host_mem(&h, HOST_DATA), h.disk->data, 100);
	assert_memory_equal(
	    host_mem(&h, HOST_DATA + 0x1000), h.disk->data + 100, 924);
	host_close(&h);
}

/* --- what a guest can do wrong -------------------------------------------- */

#define NOWHERE 0x7ffff000u

static void
issue_one(struct host *h, uint64_t gpa, uint32_t len)
{
	struct fis_reg_h2d f = read_dma(0, 1);

	host_command(h, 0, 0, &f);
	host_prd(h, 0, gpa, len);
	host_issue(h, 0);
	fake_disk_run(h->disk);
}

static void
expect_fatal(struct host *h, uint32_t is)
{
	struct fis_reg_h2d f = read_dma(0, 1);

	assert_int_equal(host_reg(h, PxIS) & (0xff000000 | PxIS_DHRS), is);
	assert_int_equal(host_reg(h, PxCI), 1);
	/* Nothing more is fetched until ST goes off. */
	host_command(h, 1, 0, &f);
	host_issue(h, 1);
	assert_int_equal(host_reg(h, PxCI), 3);
	assert_int_equal(h->disk->nqueue, 0);
	host_set_generic(h, AHCI_GHC, GHC_HR);
	host_start(h);
	assert_true(host_run(h, &f, 0, SECTOR, NULL));
}

static void
test_bad_pointers(void **state)
{
	struct host h;

	host_disk(&h, DISK);
	issue_one(&h, NOWHERE, SECTOR);
	expect_fatal(&h, PxIS_HBFS);
	/* Across the end of memory. */
	issue_one(&h, FAKE_PCI_MEM - 256, SECTOR);
	expect_fatal(&h, PxIS_HBFS);
	issue_one(&h, UINT64_MAX - 255, SECTOR);
	expect_fatal(&h, PxIS_HBFS);

	host_set(&h, PxCLB, NOWHERE);
	host_issue(&h, 0);
	expect_fatal(&h, PxIS_HBFS);
	host_command(&h, 0, 0, &(struct fis_reg_h2d){ 0 });
	host_hdr(&h, 0)->ctbau = 1;
	host_issue(&h, 0);
	expect_fatal(&h, PxIS_HBFS);
	/* The FIS area: the command is done, its FIS has no place. */
	host_set(&h, PxFB, NOWHERE);
	issue_one(&h, HOST_DATA, SECTOR);
	assert_int_equal(host_reg(&h, PxIS) & PxIS_HBFS, PxIS_HBFS);
	host_close(&h);
}

static void
test_short_prds(void **state)
{
	struct fis_reg_h2d f = read_dma(0, 2);
	struct host h;

	host_disk(&h, DISK);
	issue_one(&h, HOST_DATA, SECTOR - 2);
	expect_fatal(&h, PxIS_OFS);
	/* Nothing at all. */
	host_command(&h, 0, 0, &f);
	host_issue(&h, 0);
	expect_fatal(&h, PxIS_OFS);
	/* What fits is moved; the port is busy until it is reset. */
	memset(host_mem(&h, HOST_DATA), 0, 2 * SECTOR);
	host_command(&h, 0, 0, &f);
	host_prd(&h, 0, HOST_DATA, 600);
	host_issue(&h, 0);
	fake_disk_run(h.disk);
	assert_memory_equal(host_mem(&h, HOST_DATA), h.disk->data, SECTOR);
	assert_int_equal(host_hdr(&h, 0)->prdbc, SECTOR);
	assert_int_equal(host_reg(&h, PxTFD) & 0x80, 0x80);
	expect_fatal(&h, PxIS_OFS);
	/* IDENTIFY data. */
	f = host_fis(0xec, 0, 0);
	host_command(&h, 0, 0, &f);
	host_prd(&h, 0, HOST_DATA, 510);
	host_issue(&h, 0);
	expect_fatal(&h, PxIS_OFS);
	host_close(&h);
}

static void
test_bad_fis(void **state)
{
	static const unsigned int lengths[] = { 0, 1, 4, 17, 31 };
	struct fis_reg_h2d f = read_dma(0, 1);
	struct host h;

	host_disk(&h, DISK);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		host_command(&h, 0, 0, &f);
		host_hdr(&h, 0)->flags = (uint16_t)lengths[i];
		host_issue(&h, 0);
		assert_int_equal(host_reg(&h, PxSERR), SERR_DIAG_H);
		expect_fatal(&h, PxIS_IFS);
	}
	f.type = FIS_TYPE_REG_D2H;
	host_command(&h, 0, 0, &f);
	host_issue(&h, 0);
	expect_fatal(&h, PxIS_IFS);
	/* A longer FIS is fine. */
	f.type = FIS_TYPE_REG_H2D;
	host_command(&h, 0, 0, &f);
	host_prd(&h, 0, HOST_DATA, SECTOR);
	host_hdr(&h, 0)->flags = 16;
	host_issue(&h, 0);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxIS), PxIS_DHRS);
	host_close(&h);
}

static void
test_no_bus_master(void **state)
{
	struct host h;

	host_disk(&h, DISK);
	h.pd->master = false;
	issue_one(&h, HOST_DATA, SECTOR);
	assert_int_equal(host_reg(&h, PxCI), 1);
	assert_int_equal(h.disk->submitted, 0);
	h.pd->master = true;
	host_set(&h, PxIE, UINT32_MAX);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxCI), 0);
	host_close(&h);
}

/* PxCI and PxSACT take nothing while the engine is off. */
static void
test_stopped(void **state)
{
	struct fis_reg_h2d f = read_dma(0, 1);
	struct host h;

	host_disk(&h, DISK);
	host_set(&h, PxCMD, PxCMD_SUD | PxCMD_FRE);
	assert_int_equal(host_reg(&h, PxCMD), 0x14016);
	host_issue(&h, 0);
	host_set(&h, PxSACT, 1);
	assert_int_equal(host_reg(&h, PxCI), 0);
	assert_int_equal(host_reg(&h, PxSACT), 0);
	host_set(&h, PxCMD, PxCMD_SUD | PxCMD_FRE | PxCMD_ST);
	host_command(&h, 5, 0, &f);
	host_prd(&h, 5, HOST_DATA, SECTOR);
	host_issue(&h, 5);
	assert_int_equal(host_reg(&h, PxCMD), 0x1c517); /* CCS */
	/* Stopped in the middle: cancelled, and BSY stays. */
	host_set(&h, PxCMD, PxCMD_SUD | PxCMD_FRE);
	assert_int_equal(host_reg(&h, PxCI), 0);
	assert_int_equal(host_reg(&h, PxTFD) & 0x80, 0x80);
	assert_int_equal(h.disk->nqueue, 1);
	assert_true(h.disk->moved[0]);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxIS), 0);
	/* Nothing is fetched while the device is busy. */
	host_set(&h, PxCMD, PxCMD_SUD | PxCMD_FRE | PxCMD_ST);
	host_issue(&h, 5);
	assert_int_equal(h.disk->nqueue, 0);
	host_restart(&h);
	assert_true(host_run(&h, &f, 0, SECTOR, NULL));
	host_close(&h);
}

/* A guest that starts and stops without waiting: memory has a bound. */
static void
test_many_cancelled(void **state)
{
	struct host h;

	host_disk(&h, DISK);
	for (unsigned int round = 0; round < 5; round++) {
		for (unsigned int i = 0; i < 32; i++) {
			struct fis_reg_h2d f = host_fpdma(0x60, i, i, 1);

			host_command(&h, i, 0, &f);
			host_prd(&h, i, HOST_DATA, SECTOR);
		}
		host_set(&h, PxSACT, UINT32_MAX);
		host_set(&h, PxCI, UINT32_MAX);
		if (round < 4)
			host_restart(&h);
	}
	assert_int_equal(h.disk->nqueue, 64);
	assert_int_equal(host_reg(&h, PxCI), UINT32_MAX);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxCI), 0);
	assert_int_equal(host_reg(&h, PxSACT), 0);
	host_close(&h);
}

/* --- snapshot ------------------------------------------------------------- */

static struct snap *
saved(struct host *h)
{
	struct snap *s = snap_create_save();

	fake_pci_snapshot(h->pd, s);
	assert_int_equal(snap_error(s), 0);
	return s;
}

static void
load(struct host *h, struct snap *s, int error)
{
	size_t len;
	const void *data = snap_data(s, &len);
	struct snap *l = snap_create_load(data, len);

	fake_pci_snapshot(h->pd, l);
	assert_int_equal(snap_error(l), error);
	snap_destroy(l);
}

/* Another process: a new controller with the memory of the old one. */
static void
move(struct host *h)
{
	static const struct fake_pci_opt opts[] = { { "port.0.path", "d" },
		{ NULL, NULL } };
	struct host new = { .disk = h->disk };
	struct snap *s;

	fake_pci_call(h->pd, h->pd->ops->pause);
	s = saved(h);
	memset(h->disk->data, 0x5a, 16);
	new.pd = NULL;
	fake_disk_run(h->disk);
	h->disk->open = false;
	host_open(&new, &ahci_hd_ops, opts);
	memcpy(new.pd->mem, h->pd->mem, FAKE_PCI_MEM);
	fake_pci_call(new.pd, new.pd->ops->pause);
	load(&new, s, 0);
	snap_destroy(s);
	fake_pci_destroy(h->pd);
	h->disk->open = true;
	h->pd = new.pd;
	fake_pci_call(h->pd, h->pd->ops->resume);
}

static void
test_snapshot_in_flight(void **state)
{
	struct fis_reg_h2d q = host_fpdma(0x60, 7, 0, 1);
	struct fis_reg_h2d f = read_dma(0, 1);
	struct host h;

	host_disk(&h, DISK);
	host_command(&h, 7, 0, &q);
	host_prd(&h, 7, HOST_DATA, SECTOR);
	host_set(&h, PxSACT, BIT(7));
	host_issue(&h, 7);
	move(&h);
	assert_int_equal(host_reg(&h, PxSACT), BIT(7));
	assert_int_equal(h.disk->nqueue, 1);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxSACT), 0);
	assert_int_equal(*host_mem(&h, HOST_DATA), 0x5a); /* read again */
	/* And one that is not queued. */
	host_command(&h, 2, 0, &f);
	host_prd(&h, 2, HOST_DATA, SECTOR);
	host_issue(&h, 2);
	move(&h);
	assert_int_equal(host_reg(&h, PxCI), BIT(2));
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxCI), 0);
	assert_true(h.pd->intx);
	host_close(&h);
}

static void
test_pause_resume(void **state)
{
	struct fis_reg_h2d f = read_dma(0, 1);
	struct host h;

	host_disk(&h, DISK);
	host_command(&h, 0, 0, &f);
	host_prd(&h, 0, HOST_DATA, SECTOR);
	host_issue(&h, 0);
	fake_pci_call(h.pd, h.pd->ops->pause);
	assert_true(h.disk->moved[0]);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxCI), 1);
	fake_pci_call(h.pd, h.pd->ops->resume);
	assert_int_equal(h.disk->nqueue, 1);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxCI), 0);
	host_close(&h);
}

static void
test_snapshot_refused(void **state)
{
	static const struct fake_pci_opt opts[] = { { "port.1.path", "e" },
		{ NULL, NULL } };
	static const struct board_flaw bad[] = {
		{ "ahci", 0, 3 },	   /* ports */
		{ "ahci", 7, 0 },	   /* GHC.AE */
		{ "ahci", 9, 1 },	   /* IS of a port that is not there */
		{ "ahci_port", 0, 1 },	   /* CLB, not aligned */
		{ "ahci_port", 8, 1 },	   /* FB */
		{ "ahci_port", 16, 0x50 }, /* PxIS with a bit of PxSERR's */
		{ "ahci_port", 24, 0xff }, /* PxCMD */
		{ "ahci_port", 61, 1 },	   /* CCS */
		{ "ahci_port", 64, 1 },	   /* a command and no ST */
		{ "ahci_device", 0, ATA_NPOWER },
		{ "ahci_device", 1, 3 }, /* multiple mode */
	};
	struct host h, other = { 0 };
	struct snap *s;

	host_disk(&h, DISK);
	host_set(&h, PxCMD, PxCMD_SUD);
	s = saved(&h);
	fake_disk("e", DISK, true);
	host_open(&other, &ahci_ops, opts);
	load(&other, s, -EINVAL);
	fake_pci_destroy(other.pd);
	load(&h, s, 0);
	snap_destroy(s);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		s = board_spoil(
		    saved(&h), bad[i].field, bad[i].off, bad[i].val);
		load(&h, s, -EINVAL);
		snap_destroy(s);
	}
	host_close(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reset_values),
		cmocka_unit_test(test_empty_port),
		cmocka_unit_test(test_32_ports),
		cmocka_unit_test(test_narrow_access),
		cmocka_unit_test(test_comreset),
		cmocka_unit_test(test_spin_up),
		cmocka_unit_test(test_interface_power),
		cmocka_unit_test(test_hba_reset),
		cmocka_unit_test(test_software_reset),
		cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_msi),
		cmocka_unit_test(test_prd_interrupt),
		cmocka_unit_test(test_bad_pointers),
		cmocka_unit_test(test_short_prds),
		cmocka_unit_test(test_bad_fis),
		cmocka_unit_test(test_no_bus_master),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_many_cancelled),
		cmocka_unit_test(test_snapshot_in_flight),
		cmocka_unit_test(test_pause_resume),
		cmocka_unit_test(test_snapshot_refused),
	};

	host_quiet();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
