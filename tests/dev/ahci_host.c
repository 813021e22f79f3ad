/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small AHCI driver for tests (see ahci_host.h).
 */
#include "ahci_host.h"

#include <string.h>

#include <util/log.h>

static void
drop_line(enum log_level level, const char *line)
{
}

void
host_quiet(void)
{
	log_set_sink(drop_line);
}

void
host_open(
    struct host *h, const struct pci_dev_ops *ops, const struct fake_pci_opt *o)
{
	char err[256] = "";

	h->port = 0;
	h->pd = fake_pci_create(ops, o, err, sizeof(err));
	if (h->pd == NULL)
		fail_msg("%s", err);
}

void
host_disk(struct host *h, uint64_t bytes)
{
	static const struct fake_pci_opt opts[] = { { "port.0.path", "d" },
		{ NULL, NULL } };

	*h = (struct host){ .disk = fake_disk("d", bytes, true) };
	host_open(h, &ahci_hd_ops, opts);
	host_start(h);
}

void
host_cd(struct host *h, uint64_t bytes)
{
	static const struct fake_pci_opt opts[] = { { "port.0.path", "c" },
		{ NULL, NULL } };

	*h = (struct host){ .disk = fake_disk("c", bytes, true) };
	host_open(h, &ahci_cd_ops, opts);
	host_start(h);
}

void
host_close(struct host *h)
{
	fake_pci_destroy(h->pd);
	fake_disks_free();
}

uint32_t
host_generic(struct host *h, unsigned int reg)
{
	return fake_pci_read(h->pd, reg, 4);
}

void
host_set_generic(struct host *h, unsigned int reg, uint32_t val)
{
	fake_pci_write(h->pd, reg, 4, val);
}

static unsigned int
host_port_off(const struct host *h, unsigned int reg)
{
	return AHCI_PORT_BASE + h->port * AHCI_PORT_STEP + reg;
}

uint32_t
host_reg(struct host *h, unsigned int reg)
{
	return fake_pci_read(h->pd, host_port_off(h, reg), 4);
}

void
host_set(struct host *h, unsigned int reg, uint32_t val)
{
	fake_pci_write(h->pd, host_port_off(h, reg), 4, val);
}

void
host_start(struct host *h)
{
	host_set(h, PxCLB, HOST_PORT_MEM(h->port) + HOST_CLB);
	host_set(h, PxFB, HOST_PORT_MEM(h->port) + HOST_FB);
	host_set(h, PxSERR, UINT32_MAX);
	host_set(h, PxIS, UINT32_MAX);
	host_set(h, PxIE, UINT32_MAX);
	host_set(h, PxCMD, PxCMD_SUD | PxCMD_FRE);
	host_set(h, PxCMD, PxCMD_SUD | PxCMD_FRE | PxCMD_ST);
	host_set_generic(h, AHCI_GHC, GHC_AE | GHC_IE);
}

void
host_restart(struct host *h)
{
	host_set(h, PxCMD, PxCMD_SUD | PxCMD_FRE);
	host_set(h, PxSERR, UINT32_MAX);
	host_set(h, PxIS, UINT32_MAX);
	host_set_generic(h, AHCI_IS, UINT32_MAX);
	if ((host_reg(h, PxTFD) & 0x88) != 0)
		host_comreset(h);
	host_set(h, PxCMD, PxCMD_SUD | PxCMD_FRE | PxCMD_ST);
}

void
host_comreset(struct host *h)
{
	host_set(h, PxSCTL, SCTL_DET_INIT);
	host_set(h, PxSCTL, 0);
	host_set(h, PxSERR, UINT32_MAX);
}

uint8_t *
host_mem(struct host *h, uint64_t gpa)
{
	assert_true(gpa < FAKE_PCI_MEM);
	return h->pd->mem + gpa;
}

struct ahci_cmd_hdr *
host_hdr(struct host *h, unsigned int slot)
{
	return (struct ahci_cmd_hdr *)(void *)host_mem(
	    h, HOST_PORT_MEM(h->port) + HOST_CLB +
		   slot * sizeof(struct ahci_cmd_hdr));
}

uint8_t *
host_rfis(struct host *h, unsigned int off)
{
	return host_mem(h, HOST_PORT_MEM(h->port) + HOST_FB + off);
}

static uint32_t
host_table(const struct host *h, unsigned int slot)
{
	return HOST_PORT_MEM(h->port) + HOST_TABLES + slot * HOST_TABLE_STEP;
}

void
host_command(struct host *h, unsigned int slot, uint16_t flags,
    const struct fis_reg_h2d *fis)
{
	*host_hdr(h, slot) = (struct ahci_cmd_hdr){
		.flags = flags | FIS_H2D_DWORDS,
		.prdbc = 0xdeadbeef,
		.ctba = host_table(h, slot),
	};
	memset(host_mem(h, host_table(h, slot)), 0, HOST_TABLE_STEP);
	memcpy(host_mem(h, host_table(h, slot)), fis, sizeof(*fis));
}

void
host_packet(struct host *h, unsigned int slot, const uint8_t acmd[16])
{
	memcpy(host_mem(h, host_table(h, slot) + CMD_TABLE_ACMD), acmd, 16);
}

void
host_prd(struct host *h, unsigned int slot, uint64_t gpa, uint32_t len)
{
	struct ahci_cmd_hdr *hdr = host_hdr(h, slot);
	const struct ahci_prd prd = {
		.dba = (uint32_t)gpa,
		.dbau = (uint32_t)(gpa >> 32),
		.dbc = len - 1,
	};

	assert_true(hdr->prdtl < 56);
	memcpy(host_mem(h, host_table(h, slot) + CMD_TABLE_PRDT +
			       hdr->prdtl * sizeof(prd)),
	    &prd, sizeof(prd));
	hdr->prdtl++;
}

void
host_issue(struct host *h, unsigned int slot)
{
	host_set(h, PxCI, BIT(slot));
}

struct fis_reg_h2d
host_fis(uint8_t command, uint64_t lba, uint16_t count)
{
	return (struct fis_reg_h2d){
		.type = FIS_TYPE_REG_H2D,
		.flags = FIS_C,
		.command = command,
		.device = 0x40,
		.lba0 = (uint8_t)lba,
		.lba1 = (uint8_t)(lba >> 8),
		.lba2 = (uint8_t)(lba >> 16),
		.lba3 = (uint8_t)(lba >> 24),
		.lba4 = (uint8_t)(lba >> 32),
		.lba5 = (uint8_t)(lba >> 40),
		.count = (uint8_t)count,
		.count_exp = (uint8_t)(count >> 8),
	};
}

struct fis_reg_h2d
host_fpdma(uint8_t command, unsigned int tag, uint64_t lba, uint16_t count)
{
	struct fis_reg_h2d f = host_fis(command, lba, 0);

	f.features = (uint8_t)count;
	f.features_exp = (uint8_t)(count >> 8);
	f.count = (uint8_t)(tag << 3);
	return f;
}

bool
host_run(struct host *h, const struct fis_reg_h2d *fis, uint16_t flags,
    uint32_t len, uint32_t *tfd)
{
	bool ok;

	host_command(h, 0, flags, fis);
	if (len > 0)
		host_prd(h, 0, HOST_DATA, len);
	host_issue(h, 0);
	fake_disk_run(h->disk);
	ok = (host_reg(h, PxIS) & (PxIS_TFES | PxIS_OFS | PxIS_HBFS)) == 0;
	if (ok)
		assert_int_equal(host_reg(h, PxCI) | host_reg(h, PxSACT), 0);
	if (tfd != NULL)
		*tfd = host_reg(h, PxTFD);
	if (!ok)
		host_restart(h);
	else
		host_set(h, PxIS, UINT32_MAX);
	return ok;
}

static bool
host_atapi_once(
    struct host *h, const uint8_t acmd[16], uint32_t len, uint32_t *tfd)
{
	struct fis_reg_h2d fis = host_fis(0xa0, 0, 0);
	bool ok;

	fis.features = 1; /* DMA */
	host_command(h, 0, CMD_HDR_A, &fis);
	host_packet(h, 0, acmd);
	if (len > 0)
		host_prd(h, 0, HOST_DATA, len);
	host_issue(h, 0);
	fake_disk_run(h->disk);
	ok = (host_reg(h, PxIS) & (PxIS_TFES | PxIS_OFS | PxIS_HBFS)) == 0;
	*tfd = host_reg(h, PxTFD);
	if (!ok)
		host_restart(h);
	else
		host_set(h, PxIS, UINT32_MAX);
	return ok;
}

bool
host_atapi(
    struct host *h, const uint8_t acmd[16], uint32_t len, uint32_t *sense)
{
	static const uint8_t request_sense[16] = { 0x03, 0, 0, 0, 18 };
	uint32_t tfd;
	const uint8_t *b;

	if (host_atapi_once(h, acmd, len, &tfd))
		return true;
	assert_true(host_atapi_once(h, request_sense, 18, &tfd));
	b = host_mem(h, HOST_DATA);
	if (sense != NULL)
		*sense = (uint32_t)b[2] << 16 | (uint32_t)b[12] << 8 | b[13];
	return false;
}
