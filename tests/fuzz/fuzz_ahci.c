/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_ahci.c - the input is what a guest does to a SATA controller with a disk
 * and a CD: a script of register accesses, bytes put into memory, commands, and
 * the order in which requests end; src/dev/ahci.
 *
 * A step is an opcode and its arguments, see steps[].  Input that ends within a
 * step reads as zeroes.
 */
#include "fuzz.h"

#include <assert.h>
#include <errno.h>

#include <util/log.h>
#include <vmm/snap.h>

#include "ahci_regs.h"
#include "fake_block.h"
#include "fake_pci.h"

#define STEPS_MAX    512u
#define DISK_BYTES   (64u * 1024)
#define CD_BYTES     (20u * 2048 + 512)

#define PORT_MEM(p)  (0x10000u * (p))
#define CLB	     0x1000u
#define FB	     0x2000u
#define TABLES	     0x4000u
#define TABLE_STEP   0x400u
#define COMMAND_PRDS 4u

extern const struct pci_dev_ops ahci_ops;

struct fuzz {
	const uint8_t *data;
	size_t size;
	struct pci_dev *pd;
	struct fake_disk *disk[2];
};

static uint8_t
take8(struct fuzz *f)
{
	if (f->size == 0)
		return 0;
	f->size--;
	return *f->data++;
}

static uint32_t
take32(struct fuzz *f)
{
	uint32_t v = 0;

	for (unsigned int i = 0; i < 4; i++)
		v |= (uint32_t)take8(f) << 8 * i;
	return v;
}

static uint64_t
port_off(unsigned int port, unsigned int reg)
{
	return AHCI_PORT_BASE + port * AHCI_PORT_STEP + reg;
}

/* --- steps ---------------------------------------------------------------- */

static void
step_port_write(struct fuzz *f)
{
	unsigned int port = take8(f) % 3;
	unsigned int reg = take8(f) % AHCI_PORT_STEP & ~3u;

	fake_pci_write(f->pd, port_off(port, reg), 4, take32(f));
}

static void
step_any_write(struct fuzz *f)
{
	uint64_t off = take32(f) % f->pd->bar_bytes;
	unsigned int bytes = 1u << take8(f) % 3;

	if (off + bytes <= f->pd->bar_bytes)
		fake_pci_write(f->pd, off, bytes, take32(f));
}

static void
step_any_read(struct fuzz *f)
{
	uint64_t off = take32(f) % f->pd->bar_bytes;
	unsigned int bytes = 1u << take8(f) % 3;

	if (off + bytes <= f->pd->bar_bytes)
		(void)fake_pci_read(f->pd, off, bytes);
}

static void
step_memory(struct fuzz *f)
{
	uint32_t gpa = take32(f) % FAKE_PCI_MEM;
	uint8_t len = take8(f);

	for (unsigned int i = 0; i < len && gpa + i < FAKE_PCI_MEM; i++)
		f->pd->mem[gpa + i] = take8(f);
}

static void
step_end(struct fuzz *f)
{
	struct fake_disk *d = f->disk[take8(f) % 2];
	uint8_t which = take8(f);
	bool fail = take8(f) % 4 == 3;

	if (d->nqueue > 0)
		fake_disk_end(d, which % d->nqueue, fail ? -EIO : 0);
}

/* Where the controller looks for things, and the engine on. */
static void
step_start(struct fuzz *f)
{
	unsigned int port = take8(f) % 2;

	fake_pci_write(f->pd, port_off(port, PxCMD), 4, PxCMD_SUD);
	fake_pci_write(f->pd, port_off(port, PxCLB), 4, PORT_MEM(port) + CLB);
	fake_pci_write(f->pd, port_off(port, PxCLBU), 4, 0);
	fake_pci_write(f->pd, port_off(port, PxFB), 4, PORT_MEM(port) + FB);
	fake_pci_write(f->pd, port_off(port, PxFBU), 4, 0);
	fake_pci_write(f->pd, port_off(port, PxIE), 4, UINT32_MAX);
	fake_pci_write(f->pd, port_off(port, PxSCTL), 4, take8(f) % 2);
	fake_pci_write(f->pd, port_off(port, PxSCTL), 4, 0);
	fake_pci_write(
	    f->pd, port_off(port, PxCMD), 4, PxCMD_SUD | PxCMD_FRE | PxCMD_ST);
}

static void
put_prd(struct fuzz *f, uint8_t *dst)
{
	uint32_t gpa = take32(f), len = take32(f);
	struct ahci_prd prd = { .dba = gpa % (FAKE_PCI_MEM + 0x1000),
		.dbc = len };

	memcpy(dst, &prd, sizeof(prd));
}

/* A command that is well formed but for its contents. */
static void
step_command(struct fuzz *f)
{
	unsigned int port = take8(f) % 2, slot = take8(f) % AHCI_NSLOTS;
	uint32_t gpa = PORT_MEM(port) + TABLES + slot * TABLE_STEP;
	uint8_t *table = f->pd->mem + gpa;
	unsigned int nprds = take8(f) % (COMMAND_PRDS + 1);
	uint8_t queued = take8(f);
	struct ahci_cmd_hdr hdr = { .prdtl = (uint16_t)nprds, .ctba = gpa };

	hdr.flags = (uint16_t)((take8(f) & 0xe0) | FIS_H2D_DWORDS);
	table[0] = FIS_TYPE_REG_H2D;
	for (unsigned int i = 1; i < sizeof(struct fis_reg_h2d); i++)
		table[i] = take8(f);
	for (unsigned int i = 0; i < ACMD_BYTES; i++)
		table[CMD_TABLE_ACMD + i] = port == 1 ? take8(f) : 0;
	for (unsigned int i = 0; i < nprds; i++)
		put_prd(f, table + CMD_TABLE_PRDT + 16ul * i);
	if (queued % 2 != 0) {
		table[12] = (uint8_t)(slot << 3);
		fake_pci_write(f->pd, port_off(port, PxSACT), 4, BIT(slot));
	}
	memcpy(f->pd->mem + PORT_MEM(port) + CLB + slot * sizeof(hdr), &hdr,
	    sizeof(hdr));
	fake_pci_write(f->pd, port_off(port, PxCI), 4, BIT(slot));
}

static void
step_bus(struct fuzz *f)
{
	uint8_t how = take8(f);

	f->pd->master = (how & 1) == 0;
	f->pd->msi_enabled = how >> 1 & 1;
}

/* What was saved can be loaded. */
static void
step_life(struct fuzz *f)
{
	struct snap *s, *l;
	const void *data;
	size_t len;

	if (take8(f) % 4 == 0) {
		fake_pci_call(f->pd, f->pd->ops->reset);
		return;
	}
	fake_pci_call(f->pd, f->pd->ops->pause);
	s = snap_create_save();
	fake_pci_snapshot(f->pd, s);
	data = snap_data(s, &len);
	l = snap_create_load(data, len);
	fake_pci_snapshot(f->pd, l);
	assert(snap_error(l) == 0);
	snap_destroy(l);
	snap_destroy(s);
	fake_pci_call(f->pd, f->pd->ops->resume);
}

static void (*const steps[])(struct fuzz *) = {
	step_port_write,
	step_any_write,
	step_any_read,
	step_memory,
	step_end,
	step_start,
	step_command,
	step_bus,
	step_life,
};

static void
quiet(enum log_level level, const char *line)
{
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fake_pci_opt opts[] = { { "port.0.path", "d" },
		{ "port.1.path", "c" }, { "port.1.type", "cd" },
		{ NULL, NULL } };
	struct fuzz f = { .data = data, .size = size };
	char err[256];

	log_set_sink(quiet);
	f.disk[0] = fake_disk("d", DISK_BYTES, true);
	f.disk[1] = fake_disk("c", CD_BYTES, false);
	f.pd = fake_pci_create(&ahci_ops, opts, err, sizeof(err));
	assert(f.pd != NULL);
	for (unsigned int i = 0; i < STEPS_MAX && f.size > 0; i++)
		steps[take8(&f) % ARRAY_LEN(steps)](&f);
	fake_pci_destroy(f.pd);
	fake_disks_free();
	return 0;
}
