/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SATA controller with everything real: PCI core, guest memory, image files
 * and the threads of the block backend.  And its settings.
 */
#include "pci_board.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <conf/conf.h>
#include <vmmapi.h>

#include "ahci_regs.h"

#define RAM	(16u << 20)
#define ABAR	0xd0000000u
#define SLOT	3u
#define DEV	BDF(0, SLOT, 0)
#define NDISKS	4u
#define DISK	(2u << 20)
#define SECTOR	512u

#define MEM(p)	(0x100000u * (p))
#define CLB	0x1000u
#define FB	0x2000u
#define TABLES	0x4000u
#define DATA(p) (0x800000u + DISK * (p))
#define CHUNK	(DISK / 32)

#define CAP_MSI 0x05

struct rig {
	struct pci_board p;
	struct conf *conf;
	uint8_t *ram;
	char dir[32];
};

/* --- the machine ---------------------------------------------------------- */

static void
image_path(const struct rig *r, unsigned int n, char *path, size_t len)
{
	snprintf(path, len, "%s/%u", r->dir, n);
}

static void
image_make(struct rig *r, unsigned int n, size_t bytes)
{
	char path[64];
	FILE *f;

	image_path(r, n, path, sizeof(path));
	f = fopen(path, "wb");
	assert_non_null(f);
	for (size_t i = 0; i < bytes; i += 4) {
		uint32_t v = (uint32_t)(i * 2654435761u + n);

		assert_int_equal(fwrite(&v, 4, 1, f), 1);
	}
	fclose(f);
}

static void
image_read(struct rig *r, unsigned int n, void *buf, size_t bytes)
{
	char path[64];
	int fd;

	image_path(r, n, path, sizeof(path));
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, buf, bytes, 0), (ssize_t)bytes);
	close(fd);
}

static void
rig_init(struct rig *r)
{
	*r = (struct rig){ .dir = "/tmp/ahci.XXXXXX" };
	assert_non_null(mkdtemp(r->dir));
	board_init(&r->p.b);
	assert_int_equal(vm_setup_memory(r->p.b.ctx, RAM, VM_MMAP_ALL), 0);
	r->ram = vm_map_gpa(r->p.b.ctx, 0, RAM);
	assert_non_null(r->ram);
	assert_int_equal(pci_bus_create(r->p.b.ctx, &r->p.bus), 0);
	r->conf = conf_create();
}

static void
rig_fini(struct rig *r)
{
	char path[64];

	board_fini(&r->p.b);
	conf_destroy(r->conf);
	for (unsigned int i = 0; i < NDISKS; i++) {
		image_path(r, i, path, sizeof(path));
		unlink(path);
	}
	rmdir(r->dir);
}

static void
rig_set(struct rig *r, unsigned int slot, const char *name, const char *value)
{
	char key[128];

	snprintf(key, sizeof(key), "pci.0.%u.0.%s", slot, name);
	conf_set_raw(r->conf, key, value);
}

static int
rig_create(struct rig *r, unsigned int slot, const char *model, char *err,
    size_t err_len)
{
	return pci_dev_create(
	    r->p.bus, pci_dev_find(model), r->conf, 0, slot, 0, err, err_len);
}

static void
rig_map(struct rig *r)
{
	unsigned int msi = cfg_cap(&r->p, DEV, CAP_MSI);

	cfg_write(&r->p, DEV, R_BAR(5), 4, ABAR);
	cfg_write(&r->p, DEV, R_COMMAND, 2, CMD_MEM | CMD_BM);
	assert_true(msi != 0);
	cfg_write(&r->p, DEV, msi + 4, 4, 0xfee00000);
	cfg_write(&r->p, DEV, msi + 12, 2, 0x41);
	cfg_write(&r->p, DEV, msi + 2, 2, 1);
}

static void
rig_open(struct rig *r, const char *model)
{
	char err[256] = "";

	if (rig_create(r, SLOT, model, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	rig_map(r);
}

static void
rig_disks(struct rig *r)
{
	char name[32], path[64];

	rig_init(r);
	for (unsigned int i = 0; i < NDISKS; i++) {
		image_make(r, i, DISK);
		image_path(r, i, path, sizeof(path));
		snprintf(name, sizeof(name), "port.%u.path", i);
		rig_set(r, SLOT, name, path);
	}
	rig_open(r, "ahci");
}

/* --- the driver ----------------------------------------------------------- */

static uint32_t
reg(struct rig *r, unsigned int port, unsigned int off)
{
	return (uint32_t)board_read(
	    &r->p.b, ABAR + AHCI_PORT_BASE + port * AHCI_PORT_STEP + off, 4);
}

static void
set(struct rig *r, unsigned int port, unsigned int off, uint32_t val)
{
	board_write(&r->p.b,
	    ABAR + AHCI_PORT_BASE + port * AHCI_PORT_STEP + off, 4, val);
}

static void
start(struct rig *r, unsigned int port)
{
	set(r, port, PxCLB, MEM(port) + CLB);
	set(r, port, PxFB, MEM(port) + FB);
	set(r, port, PxIE, UINT32_MAX);
	set(r, port, PxCMD, PxCMD_SUD | PxCMD_FRE);
	set(r, port, PxCMD, PxCMD_SUD | PxCMD_FRE | PxCMD_ST);
	board_write(&r->p.b, ABAR + AHCI_GHC, 4, GHC_AE | GHC_IE);
}

/* Sectors of the disk's n-th 32nd, from and to the same place of DATA. */
static void
queue(struct rig *r, unsigned int port, uint8_t command, unsigned int slot)
{
	uint32_t table = MEM(port) + TABLES + slot * 0x100;
	uint32_t lba = slot * CHUNK / SECTOR;
	struct ahci_cmd_hdr hdr = {
		.flags = FIS_H2D_DWORDS, .prdtl = 2, .ctba = table
	};
	struct fis_reg_h2d fis = {
		.type = FIS_TYPE_REG_H2D,
		.flags = FIS_C,
		.command = command,
		.device = 0x40,
		.lba0 = (uint8_t)lba,
		.lba1 = (uint8_t)(lba >> 8),
		.features = CHUNK / SECTOR,
		.count = (uint8_t)(slot << 3),
	};
	struct ahci_prd prd[2] = {
		{ .dba = DATA(port) + slot * CHUNK, .dbc = 1001 },
		{ .dba = DATA(port) + slot * CHUNK + 1002,
		    .dbc = CHUNK - 1003 },
	};

	memcpy(
	    r->ram + MEM(port) + CLB + slot * sizeof(hdr), &hdr, sizeof(hdr));
	memcpy(r->ram + table, &fis, sizeof(fis));
	memcpy(r->ram + table + CMD_TABLE_PRDT, prd, sizeof(prd));
	set(r, port, PxSACT, BIT(slot));
	set(r, port, PxCI, BIT(slot));
}

static void
queue_all(struct rig *r, unsigned int port, uint8_t command)
{
	for (unsigned int i = 0; i < 32; i++)
		queue(r, port, command, i);
}

/* At most ten seconds. */
static void
wait_clear(struct rig *r, unsigned int port, unsigned int off)
{
	for (unsigned int i = 0; i < 10000; i++) {
		if (reg(r, port, off) == 0)
			return;
		usleep(1000);
	}
	fail_msg(
	    "port %u: register 0x%x stays 0x%x", port, off, reg(r, port, off));
}

/* --- tests ---------------------------------------------------------------- */

static void
test_identity(void **state)
{
	struct rig r;

	rig_disks(&r);
	assert_int_equal(cfg_read(&r.p, DEV, 0, 4), 0x28218086);
	assert_int_equal(cfg_read(&r.p, DEV, 8, 4), 0x01060100);
	assert_int_equal(cfg_read(&r.p, DEV, R_INTPIN, 1), 1);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(cfg_read(&r.p, DEV, R_BAR(i), 4), 0);
	cfg_write(&r.p, DEV, R_BAR(5), 4, UINT32_MAX);
	assert_int_equal(cfg_read(&r.p, DEV, R_BAR(5), 4), 0xfffffc00);
	rig_fini(&r);
}

/* All ports and all slots at once. */
static void
test_read_write(void **state)
{
	static uint8_t image[DISK];
	struct rig r;

	rig_disks(&r);
	for (unsigned int p = 0; p < NDISKS; p++)
		start(&r, p);
	for (unsigned int p = 0; p < NDISKS; p++)
		queue_all(&r, p, 0x60);
	for (unsigned int p = 0; p < NDISKS; p++) {
		wait_clear(&r, p, PxSACT);
		image_read(&r, p, image, DISK);
		assert_memory_equal(r.ram + DATA(p), image, DISK);
		assert_int_equal(reg(&r, p, PxTFD), 0x50);
	}
	assert_true(r.p.b.msis > 0);
	for (unsigned int p = 0; p < NDISKS; p++)
		for (unsigned int i = 0; i < DISK; i++)
			r.ram[DATA(p) + i] ^= (uint8_t)(i >> 9) + 1;
	for (unsigned int p = 0; p < NDISKS; p++)
		queue_all(&r, p, 0x61);
	for (unsigned int p = 0; p < NDISKS; p++) {
		wait_clear(&r, p, PxSACT);
		image_read(&r, p, image, DISK);
		assert_memory_equal(r.ram + DATA(p), image, DISK);
	}
	rig_fini(&r);
}

/* After a reset the guest's memory is its own, whatever was under way. */
static void
test_reset_in_flight(void **state)
{
	struct rig r;

	rig_disks(&r);
	start(&r, 0);
	for (unsigned int round = 0; round < 40; round++) {
		queue_all(&r, 0, 0x60);
		if (round % 2 == 0) {
			set(&r, 0, PxCMD, PxCMD_SUD | PxCMD_FRE);
		} else {
			set(&r, 0, PxSCTL, SCTL_DET_INIT);
			set(&r, 0, PxCMD, PxCMD_SUD | PxCMD_FRE);
		}
		memset(r.ram + DATA(0), 0x77, DISK);
		if (round % 4 == 0)
			usleep(2000);
		for (unsigned int i = 0; i < DISK; i++)
			if (r.ram[DATA(0) + i] != 0x77)
				fail_msg("round %u: byte %u", round, i);
		set(&r, 0, PxSCTL, SCTL_DET_INIT);
		set(&r, 0, PxSCTL, 0);
		start(&r, 0);
	}
	queue_all(&r, 0, 0x60);
	wait_clear(&r, 0, PxSACT);
	rig_fini(&r);
}

/* Ended with requests in flight; under a sanitizer that says enough. */
static void
test_end_in_flight(void **state)
{
	struct rig r;

	rig_disks(&r);
	for (unsigned int p = 0; p < NDISKS; p++) {
		start(&r, p);
		queue_all(&r, p, 0x60);
	}
	rig_fini(&r);
}

static void
test_pause_in_flight(void **state)
{
	static uint8_t image[DISK];
	struct rig r;

	rig_disks(&r);
	start(&r, 1);
	queue_all(&r, 1, 0x60);
	chips_pause(r.p.b.ctx);
	memset(r.ram + DATA(1), 0, DISK);
	usleep(1000);
	for (unsigned int i = 0; i < DISK; i++)
		assert_int_equal(r.ram[DATA(1) + i], 0);
	assert_int_equal(board_load(&r.p.b, board_save(&r.p.b)), 0);
	chips_resume(r.p.b.ctx);
	wait_clear(&r, 1, PxSACT);
	image_read(&r, 1, image, DISK);
	for (unsigned int i = 0; i < 32; i++) {
		/* Those that had ended before are not read again. */
		const uint8_t *got = r.ram + DATA(1) + i * CHUNK;

		if (got[8] != 0)
			assert_memory_equal(got, image + i * CHUNK, CHUNK);
	}
	rig_fini(&r);
}

/* --- settings ------------------------------------------------------------- */

static void
test_bad_settings(void **state)
{
	static const struct {
		const char *model, *name, *value, *says;
	} bad[] = {
		{ "ahci-hd", NULL, NULL, "path" },
		{ "ahci-cd", "port.0.path", "/nowhere", "/nowhere" },
		{ "ahci", "port.0.type", "cd", "port.0.path is not" },
		{ "ahci", "port.7.ser", "x", "port.7.path is not" },
		{ "ahci", "port.32.ro", "true", "0 to 31" },
		{ "ahci", "port.00.ro", "true", "port.00.ro" },
		{ "ahci", "port.100.ro", "true", "port.100.ro" },
		{ "ahci", "port.0.type", "tape", "hd or cd" },
		{ "ahci", "port.0.nmrr", "65535", "0 to 65534" },
		{ "ahci", "port.0.ser", "123456789012345678901", "20" },
		{ "ahci", "port.0.rev", "123456789", "8 printable" },
		{ "ahci", "port.0.model", "\t", "40 printable" },
		{ "ahci", "port.0.sectorsize", "100", "sectorsize" },
		{ "ahci-cd", "port.0.sectorsize", "4096", "2048" },
		{ "ahci", "port.0.ro", "maybe", "true or false" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char err[256] = "", path[64];
		struct rig r;

		rig_init(&r);
		image_make(&r, 0, DISK);
		image_path(&r, 0, path, sizeof(path));
		if (bad[i].name != NULL &&
		    strstr(bad[i].says, "is not") == NULL)
			rig_set(&r, SLOT, "port.0.path", path);
		if (bad[i].name != NULL)
			rig_set(&r, SLOT, bad[i].name, bad[i].value);
		assert_true(
		    rig_create(&r, SLOT, bad[i].model, err, sizeof(err)) < 0);
		if (strstr(err, bad[i].says) == NULL)
			fail_msg("%zu: \"%s\"", i, err);
		rig_fini(&r);
	}
}

static void
test_shared_image(void **state)
{
	char err[256] = "", path[64];
	struct rig r;

	rig_disks(&r);
	image_path(&r, 2, path, sizeof(path));
	rig_set(&r, SLOT + 1, "port.0.path", path);
	assert_true(rig_create(&r, SLOT + 1, "ahci-hd", err, sizeof(err)) < 0);
	assert_non_null(strstr(err, path));
	rig_fini(&r);
}

static int
parse(struct conf *c, const char *model, const char *words, char *err,
    size_t err_len)
{
	char copy[256];

	snprintf(copy, sizeof(copy), "%s", words);
	err[0] = '\0';
	return pci_dev_find(model)->parse(c, "pci.0.4.0", copy, err, err_len);
}

static void
conf_is(struct conf *c, const char *name, const char *want)
{
	char key[128];
	const char *got;

	snprintf(key, sizeof(key), "pci.0.4.0.port.%s", name);
	got = conf_get(c, key);
	if (want == NULL)
		assert_null(got);
	else if (got == NULL)
		fail_msg("%s is not set", key);
	else
		assert_string_equal(got, want);
}

static void
test_words(void **state)
{
	struct conf *c = conf_create();
	char err[256];

	assert_int_equal(
	    parse(c, "ahci", "hd:/a,nmrr=5400,ro,cd:/b,hd:/c:d=e,ser=X=Y", err,
		sizeof(err)),
	    0);
	conf_is(c, "0.type", "hd");
	conf_is(c, "0.path", "/a");
	conf_is(c, "0.nmrr", "5400");
	conf_is(c, "0.ro", "true");
	conf_is(c, "1.type", "cd");
	conf_is(c, "1.path", "/b");
	conf_is(c, "1.ro", NULL);
	conf_is(c, "2.path", "/c:d=e");
	conf_is(c, "2.ser", "X=Y");
	conf_is(c, "3.type", NULL);
	conf_destroy(c);
	c = conf_create();
	assert_int_equal(parse(c, "ahci", "/plain,ro", err, sizeof(err)), 0);
	conf_is(c, "0.type", "hd");
	conf_is(c, "0.path", "/plain");
	conf_destroy(c);
	c = conf_create();
	assert_int_equal(
	    parse(c, "ahci-cd", "hd:x,nocache", err, sizeof(err)), 0);
	conf_is(c, "0.type", "cd");
	conf_is(c, "0.path", "hd:x");
	conf_is(c, "0.nocache", "true");
	conf_destroy(c);
}

static void
test_bad_words(void **state)
{
	static const struct {
		const char *model, *words, *says;
	} bad[] = {
		{ "ahci", "hd:", "hd:PATH" },
		{ "ahci", "hd:/a,cd:", "cd:PATH" },
		{ "ahci", "hd:/a,,ro", "between two commas" },
		{ "ahci", "hd:/a,ro,ro", "twice" },
		{ "ahci-hd", "", "PATH" },
	};
	char err[256], many[256] = "";
	struct conf *c;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		c = conf_create();
		assert_int_equal(
		    parse(c, bad[i].model, bad[i].words, err, sizeof(err)),
		    -EINVAL);
		if (strstr(err, bad[i].says) == NULL)
			fail_msg("%zu: \"%s\"", i, err);
		conf_destroy(c);
	}
	for (unsigned int i = 0; i < 33; i++)
		strcat(many, i == 0 ? "hd:a" : ",hd:a");
	c = conf_create();
	assert_int_equal(parse(c, "ahci", many, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "more than 32"));
	conf_destroy(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_read_write),
		cmocka_unit_test(test_reset_in_flight),
		cmocka_unit_test(test_end_in_flight),
		cmocka_unit_test(test_pause_in_flight),
		cmocka_unit_test(test_bad_settings),
		cmocka_unit_test(test_shared_image),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_bad_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
