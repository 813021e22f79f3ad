/* SPDX-License-Identifier: BSD-2-Clause */
/* The disk behind a SATA port: every ATA command, NCQ, errors, TRIM. */
#include "ahci_host.h"

#include <errno.h>
#include <string.h>

#define SECTOR	   512u
#define NSECT	   70000u
#define DISK	   ((uint64_t)NSECT * SECTOR)

#define OK	   0x50
#define TFD(error) ((uint32_t)(error) << 8 | 0x51)
#define ABRT	   TFD(0x04)
#define IDNF	   TFD(0x10)
#define UNC	   TFD(0x40)

/* Where LBA n lies in the image. */
static uint8_t *
sector(struct host *h, uint64_t lba)
{
	return h->disk->data + lba * h->disk->info.lsec_bytes;
}

static uint16_t
word(struct host *h, unsigned int n)
{
	return get_le16(host_mem(h, HOST_DATA) + 2ul * n);
}

static void
expect(struct host *h, const struct fis_reg_h2d *f, uint16_t flags,
    uint32_t len, uint32_t want)
{
	uint32_t tfd;

	host_run(h, f, flags, len, &tfd);
	assert_int_equal(tfd, want);
}

static void
expect_cmd(struct host *h, uint8_t command, uint32_t want)
{
	struct fis_reg_h2d f = host_fis(command, 0, 1);

	expect(h, &f, 0, 1024, want);
}

/* --- identity ------------------------------------------------------------- */

static void
string_is(struct host *h, unsigned int first, unsigned int n, const char *want)
{
	char got[64] = "";

	for (unsigned int i = 0; i < n; i++) {
		got[2 * i] = (char)(word(h, first + i) >> 8);
		got[2 * i + 1] = (char)word(h, first + i);
	}
	assert_int_equal(strlen(got), 2 * n);
	assert_memory_equal(got, want, strlen(want));
	for (const char *s = got + strlen(want); *s != '\0'; s++)
		assert_int_equal(*s, ' ');
}

static void
identify(struct host *h, uint8_t command)
{
	struct fis_reg_h2d f = host_fis(command, 0, 0);
	const uint8_t *b = host_mem(h, HOST_DATA);
	uint8_t sum = 0;

	host_command(h, 0, 0, &f);
	host_prd(h, 0, HOST_DATA, SECTOR);
	host_issue(h, 0);
	/* PIO data-in: a PIO setup FIS, and no other. */
	assert_int_equal(host_reg(h, PxIS), PxIS_PSS);
	assert_int_equal(host_reg(h, PxTFD), OK);
	assert_int_equal(host_rfis(h, RFIS_PSFIS)[0], FIS_TYPE_PIO_SETUP);
	assert_int_equal(host_rfis(h, RFIS_PSFIS)[1], FIS_I | FIS_D);
	assert_int_equal(host_rfis(h, RFIS_PSFIS)[2], 0x58);
	assert_int_equal(host_rfis(h, RFIS_PSFIS)[15], OK);
	assert_int_equal(get_le16(host_rfis(h, RFIS_PSFIS) + 16), SECTOR);
	assert_int_equal(host_hdr(h, 0)->prdbc, SECTOR);
	host_set(h, PxIS, UINT32_MAX);
	for (unsigned int i = 0; i < SECTOR; i++)
		sum += b[i];
	assert_int_equal(sum, 0);
	assert_int_equal(word(h, 255) & 0xff, 0xa5);
}

static void
test_identify(void **state)
{
	struct host h;

	host_disk(&h, DISK);
	identify(&h, 0xec);
	assert_int_equal(word(&h, 0) & 0x8000, 0);
	string_is(&h, 10, 10, "BHYVE-0123-4567-89AB");
	string_is(&h, 23, 4, "001");
	string_is(&h, 27, 20, "BHYVE SATA DISK");
	assert_int_equal(word(&h, 1), NSECT / (16 * 63));
	assert_int_equal(word(&h, 3), 16);
	assert_int_equal(word(&h, 6), 63);
	assert_int_equal(word(&h, 47), 0x8080);
	assert_int_equal(word(&h, 49), 0x2f00);
	assert_int_equal(word(&h, 53), 7);
	assert_int_equal(word(&h, 59), 0x0180);
	assert_int_equal(word(&h, 60) | word(&h, 61) << 16, NSECT);
	assert_int_equal(word(&h, 63), 0x0007);
	assert_int_equal(word(&h, 75), 31);
	assert_int_equal(word(&h, 76), 0x010e);
	assert_int_equal(word(&h, 77), 0x0046);
	assert_int_equal(word(&h, 78), 0);
	assert_int_equal(word(&h, 82) & 1, 0); /* no SMART */
	assert_int_equal(word(&h, 82) & 2, 0); /* no security */
	assert_int_equal(word(&h, 83), 0x7400);
	assert_int_equal(word(&h, 85), 0x4068);
	assert_int_equal(word(&h, 88), 0x407f);
	assert_int_equal(word(&h, 100) | word(&h, 101) << 16, NSECT);
	assert_int_equal(word(&h, 102) | word(&h, 103), 0);
	assert_int_equal(word(&h, 105), 8);
	assert_int_equal(word(&h, 106), 0x6003); /* 8 logical a physical */
	assert_int_equal(word(&h, 117), 0);
	assert_int_equal(word(&h, 169), 1);
	assert_int_equal(word(&h, 209), 0x4000);
	assert_int_equal(word(&h, 217), 0);
	assert_int_equal(word(&h, 222), 0x103f);
	host_close(&h);
}

static void
test_identify_options(void **state)
{
	static const struct fake_pci_opt opts[] = { { "port.0.path", "d" },
		{ "port.0.type", "hd" }, { "port.0.nmrr", "7200" },
		{ "port.0.ser", "ABC" }, { "port.0.rev", "12345678" },
		{ "port.0.model", "0123456789012345678901234567890123456789" },
		{ NULL, NULL } };
	struct host h = { .disk = fake_disk("d", 1 << 20, false) };

	h.disk->info.lsec_bytes = h.disk->info.psec_bytes = 4096;
	host_open(&h, &ahci_ops, opts);
	host_start(&h);
	identify(&h, 0xec);
	string_is(&h, 10, 10, "ABC");
	string_is(&h, 23, 4, "12345678");
	string_is(&h, 27, 20, "0123456789012345678901234567890123456789");
	assert_int_equal(word(&h, 60), 256);
	assert_int_equal(word(&h, 77), 0x0006); /* no SEND FPDMA */
	assert_int_equal(word(&h, 105), 0);
	assert_int_equal(word(&h, 106), 0x5000);
	assert_int_equal(word(&h, 117) | word(&h, 118) << 16, 2048);
	assert_int_equal(word(&h, 169), 0);
	assert_int_equal(word(&h, 217), 7200);
	host_close(&h);
}

/* Greater than 28 bits can tell, and small. */
static void
test_identify_sizes(void **state)
{
	struct host h;

	host_disk(&h, SECTOR);
	identify(&h, 0xec);
	assert_int_equal(word(&h, 1), 1);
	assert_int_equal(word(&h, 60), 1);
	h.disk->info.bytes = 1ull << 50;
	identify(&h, 0xec);
	assert_int_equal(word(&h, 1), 16383);
	assert_int_equal(word(&h, 60) | word(&h, 61) << 16, 0x0fffffff);
	assert_int_equal(word(&h, 102), 1u << (41 - 32));
	assert_int_equal(word(&h, 101), 0);
	host_close(&h);
}

/* --- data ----------------------------------------------------------------- */

/* Every command that moves data; its count of 4 and LBA 65600 or 1000. */
static const struct {
	uint8_t command;
	bool write, ext, pio, fua;
} data_commands[] = {
	{ 0x20, .pio = true },
	{ 0x24, .pio = true, .ext = true },
	{ 0x25, .ext = true },
	{ 0x29, .pio = true, .ext = true },
	{ 0xc4, .pio = true },
	{ 0xc8, .ext = false },
	{ 0x30, .pio = true, .write = true },
	{ 0x34, .pio = true, .write = true, .ext = true },
	{ 0x35, .write = true, .ext = true },
	{ 0x39, .pio = true, .write = true, .ext = true },
	{ 0x3d, .write = true, .ext = true, .fua = true },
	{ 0xc5, .pio = true, .write = true },
	{ 0xca, .write = true },
	{ 0xce, .pio = true, .write = true, .ext = true, .fua = true },
};

static void
test_data_commands(void **state)
{
	struct host h;

	host_disk(&h, DISK);
	for (size_t i = 0; i < ARRAY_LEN(data_commands); i++) {
		struct fis_reg_h2d f =
		    host_fis(data_commands[i].command, 65600, 4);
		bool write = data_commands[i].write;
		unsigned int flushes = h.disk->flushes;
		uint8_t *mem = host_mem(&h, HOST_DATA);
		uint32_t is;

		memset(mem, (int)i, 4 * SECTOR);
		host_command(&h, 0, write ? CMD_HDR_W : 0, &f);
		host_prd(&h, 0, HOST_DATA, 4 * SECTOR);
		host_issue(&h, 0);
		assert_int_equal(host_reg(&h, PxTFD), 0xd0); /* busy */
		fake_disk_run(h.disk);
		is = host_reg(&h, PxIS);
		assert_int_equal(host_reg(&h, PxCI), 0);
		assert_int_equal(host_reg(&h, PxTFD), OK);
		assert_memory_equal(mem, sector(&h, 65600), 4 * SECTOR);
		assert_int_equal(mem[0] == i && mem[2000] == i, write);
		assert_int_equal(
		    is, data_commands[i].pio && !write ? PxIS_PSS : PxIS_DHRS);
		assert_int_equal(host_hdr(&h, 0)->prdbc, 4 * SECTOR);
		assert_int_equal(
		    h.disk->flushes - flushes, data_commands[i].fua);
		host_set(&h, PxIS, UINT32_MAX);
		/* The end of the disk is the last that can be moved. */
		f = host_fis(data_commands[i].command, NSECT - 4, 4);
		expect(&h, &f, 0, 4 * SECTOR, OK);
		f = host_fis(data_commands[i].command, NSECT - 3, 4);
		expect(&h, &f, 0, 4 * SECTOR, IDNF);
		f = host_fis(data_commands[i].command, UINT64_MAX, 4);
		expect(&h, &f, 0, 4 * SECTOR, IDNF);
	}
	host_close(&h);
}

/* A count of 0: 256 or 65536 sectors. */
static void
test_count_0(void **state)
{
	struct fis_reg_h2d f = host_fis(0xc8, 5, 0);
	struct host h;

	host_disk(&h, DISK);
	expect(&h, &f, 0, 256 * SECTOR, OK);
	assert_int_equal(host_hdr(&h, 0)->prdbc, 256 * SECTOR);
	assert_memory_equal(
	    host_mem(&h, HOST_DATA), sector(&h, 5), 256 * SECTOR);
	f = host_fis(0xc8, NSECT - 255, 0);
	expect(&h, &f, 0, 256 * SECTOR, IDNF);
	/* 32 MiB into the same 64 KiB again and again. */
	f = host_fis(0x25, 17, 0);
	host_command(&h, 0, 0, &f);
	host_hdr(&h, 0)->ctba = 0xe0000;
	host_hdr(&h, 0)->prdtl = 512;
	memcpy(host_mem(&h, 0xe0000), &f, sizeof(f));
	for (unsigned int i = 0; i < 512; i++) {
		const struct ahci_prd prd = { .dba = HOST_DATA, .dbc = 65535 };

		memcpy(host_mem(&h, 0xe0080 + 16 * i), &prd, sizeof(prd));
	}
	host_issue(&h, 0);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxIS), PxIS_DHRS);
	assert_int_equal(host_hdr(&h, 0)->prdbc, 65536 * SECTOR);
	assert_memory_equal(
	    host_mem(&h, HOST_DATA), sector(&h, 17 + 65536 - 128), 65536);
	host_close(&h);
}

static void
test_chs(void **state)
{
	struct fis_reg_h2d f = host_fis(0xc8, 0, 1);
	struct host h;

	host_disk(&h, DISK);
	/* Cylinder 3, head 2, sector 5. */
	f.device = 0x02;
	f.lba0 = 5;
	f.lba1 = 3;
	expect(&h, &f, 0, SECTOR, OK);
	assert_memory_equal(
	    host_mem(&h, HOST_DATA), sector(&h, (3 * 16 + 2) * 63 + 4), SECTOR);
	f.lba0 = 0;
	expect(&h, &f, 0, SECTOR, IDNF);
	f.lba0 = 64;
	expect(&h, &f, 0, SECTOR, IDNF);
	host_close(&h);
}

/* Memory in pieces of two bytes: more of them than a window has. */
static void
test_scattered(void **state)
{
	struct fis_reg_h2d f = host_fis(0x25, 9, 2);
	struct host h;

	host_disk(&h, DISK);
	for (int write = 0; write <= 1; write++) {
		f.command = write ? 0x35 : 0x25;
		host_command(&h, 0, 0, &f);
		host_hdr(&h, 0)->ctba = 0xe0000;
		host_hdr(&h, 0)->prdtl = 512;
		memcpy(host_mem(&h, 0xe0000), &f, sizeof(f));
		for (unsigned int i = 0; i < 512; i++) {
			const struct ahci_prd prd = { .dba = HOST_DATA + 4 * i,
				.dbc = 1 };

			memcpy(host_mem(&h, 0xe0080 + 16 * i), &prd, 16);
			memset(host_mem(&h, HOST_DATA + 4 * i), 0x77, 2);
		}
		host_issue(&h, 0);
		fake_disk_run(h.disk);
		assert_int_equal(host_reg(&h, PxIS), PxIS_DHRS);
		assert_int_equal(host_hdr(&h, 0)->prdbc, 2 * SECTOR);
		for (unsigned int i = 0; i < 512; i++)
			assert_memory_equal(host_mem(&h, HOST_DATA + 4 * i),
			    sector(&h, 9) + 2 * i, 2);
		assert_int_equal(sector(&h, 9)[0] == 0x77, write);
		host_set(&h, PxIS, UINT32_MAX);
	}
	host_close(&h);
}

/* Pieces that are no sectors: what is left of one is the next one's. */
static void
test_odd_pieces(void **state)
{
	static const uint32_t sizes[] = { 2, 510, 700, 324, 4096, 6, 506 };
	struct fis_reg_h2d f = host_fis(0x25, 9, 12);
	uint32_t at = 0;
	struct host h;

	host_disk(&h, DISK);
	host_command(&h, 0, 0, &f);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		host_prd(&h, 0, HOST_DATA + 0x2000 * i, sizes[i]);
		at += sizes[i];
	}
	assert_int_equal(at, 12 * SECTOR);
	host_issue(&h, 0);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxIS), PxIS_DHRS);
	at = 0;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		assert_memory_equal(host_mem(&h, HOST_DATA + 0x2000 * i),
		    sector(&h, 9) + at, sizes[i]);
		at += sizes[i];
	}
	host_close(&h);
}

static void
test_verify(void **state)
{
	struct fis_reg_h2d f = host_fis(0x42, 0, 1000);
	struct host h;

	host_disk(&h, DISK);
	expect(&h, &f, 0, 0, OK);
	assert_int_equal(host_hdr(&h, 0)->prdbc, 0);
	assert_int_equal(h.disk->submitted, 8); /* it does read */
	f = host_fis(0x40, NSECT, 1);
	expect(&h, &f, 0, 0, IDNF);
	f = host_fis(0x40, 7, 1);
	host_command(&h, 0, 0, &f);
	host_issue(&h, 0);
	fake_disk_end(h.disk, 0, -EIO);
	assert_int_equal(host_reg(&h, PxTFD), UNC);
	host_close(&h);
}

/* --- failures ------------------------------------------------------------- */

static void
test_medium_errors(void **state)
{
	struct fis_reg_h2d f = host_fis(0x25, 1234, 2);
	struct host h;

	host_disk(&h, DISK);
	host_command(&h, 0, 0, &f);
	host_prd(&h, 0, HOST_DATA, 2 * SECTOR);
	host_issue(&h, 0);
	fake_disk_end(h.disk, 0, -EIO);
	assert_int_equal(host_reg(&h, PxTFD), UNC);
	assert_int_equal(host_reg(&h, PxIS), PxIS_TFES | PxIS_DHRS);
	assert_int_equal(host_reg(&h, PxCI), 1);
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[2], 0x51);
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[3], 0x40);
	assert_int_equal(get_le16(host_rfis(&h, RFIS_RFIS) + 4), 1234);
	host_restart(&h);
	f.command = 0x35;
	host_command(&h, 0, CMD_HDR_W, &f);
	host_prd(&h, 0, HOST_DATA, 2 * SECTOR);
	host_issue(&h, 0);
	fake_disk_end(h.disk, 0, -ENOSPC);
	assert_int_equal(host_reg(&h, PxTFD), ABRT);
	host_restart(&h);
	/* The flush of FUA. */
	f.command = 0x3d;
	host_command(&h, 0, CMD_HDR_W, &f);
	host_prd(&h, 0, HOST_DATA, 2 * SECTOR);
	host_issue(&h, 0);
	fake_disk_end(h.disk, 0, 0);
	fake_disk_end(h.disk, 0, -EIO);
	assert_int_equal(host_reg(&h, PxTFD), ABRT);
	host_restart(&h);
	f = host_fis(0xe7, 0, 0);
	host_command(&h, 0, 0, &f);
	host_issue(&h, 0);
	fake_disk_end(h.disk, 0, -EIO);
	assert_int_equal(host_reg(&h, PxTFD), ABRT);
	host_close(&h);
}

static void
test_read_only(void **state)
{
	struct host h;

	host_disk(&h, DISK);
	h.disk->info.ro = true;
	for (size_t i = 0; i < ARRAY_LEN(data_commands); i++)
		expect_cmd(&h, data_commands[i].command,
		    data_commands[i].write ? ABRT : OK);
	expect_cmd(&h, 0xe7, OK);
	expect_cmd(&h, 0x06, ABRT);
	expect_cmd(&h, 0xe0, OK);
	assert_int_equal(h.disk->flushes, 0);
	host_close(&h);
}

/* --- commands without data ------------------------------------------------ */

static void
test_unknown_commands(void **state)
{
	static const uint8_t known[] = { 0x06, 0x20, 0x24, 0x25, 0x29, 0x2f,
		0x30, 0x34, 0x35, 0x39, 0x3d, 0x40, 0x42, 0x47, 0x60, 0x61,
		0x64, 0x90, 0x91, 0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0xce, 0xe0,
		0xe1, 0xe2, 0xe3, 0xe5, 0xe6, 0xe7, 0xea, 0xec, 0xef };
	struct host h;

	host_disk(&h, DISK);
	for (unsigned int c = 0; c < 256; c++)
		if (memchr(known, (int)c, sizeof(known)) == NULL)
			expect_cmd(&h, (uint8_t)c, ABRT);
	assert_int_equal(h.disk->submitted, 0);
	host_close(&h);
}

static void
test_power(void **state)
{
	struct fis_reg_h2d check = host_fis(0xe5, 0, 0);
	static const struct {
		uint8_t command, mode;
		unsigned int flushes;
	} modes[] = { { 0xe5, 0xff, 0 }, { 0xe1, 0x80, 0 }, { 0xe3, 0x80, 0 },
		{ 0xe0, 0x00, 1 }, { 0xe2, 0x00, 2 }, { 0xc8, 0xff, 2 } };
	struct host h;

	host_disk(&h, DISK);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		expect_cmd(&h, modes[i].command, OK);
		expect(&h, &check, 0, 0, OK);
		assert_int_equal(host_rfis(&h, RFIS_RFIS)[12], modes[i].mode);
		assert_int_equal(h.disk->flushes, modes[i].flushes);
	}
	/* Asleep: only a reset is heard. */
	expect_cmd(&h, 0xe6, OK);
	host_command(&h, 0, 0, &check);
	host_issue(&h, 0);
	assert_int_equal(host_reg(&h, PxCI), 1);
	host_restart(&h);
	expect(&h, &check, 0, 0, OK);
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[12], 0xff);
	host_close(&h);
}

static void
set_features(struct host *h, uint8_t feature, uint8_t count, uint32_t want)
{
	struct fis_reg_h2d f = host_fis(0xef, 0, count);

	f.features = feature;
	expect(h, &f, 0, 0, want);
}

static void
test_set_features(void **state)
{
	struct fis_reg_h2d w = host_fis(0xca, 3, 1);
	struct host h;

	host_disk(&h, DISK);
	/* Without the cache each write is flushed. */
	set_features(&h, 0x82, 0, OK);
	assert_int_equal(h.disk->flushes, 1);
	expect(&h, &w, CMD_HDR_W, SECTOR, OK);
	assert_int_equal(h.disk->flushes, 2);
	set_features(&h, 0x55, 0, OK);
	identify(&h, 0xec);
	assert_int_equal(word(&h, 85), 0x4008);
	set_features(&h, 0x02, 0, OK);
	expect(&h, &w, CMD_HDR_W, SECTOR, OK);
	assert_int_equal(h.disk->flushes, 2);
	set_features(&h, 0xaa, 0, OK);
	set_features(&h, 0x66, 0, OK);
	/* Transfer modes. */
	set_features(&h, 0x03, 0x21, OK);
	identify(&h, 0xec);
	assert_int_equal(word(&h, 63), 0x0207);
	assert_int_equal(word(&h, 88), 0x007f);
	set_features(&h, 0x03, 0x0c, OK);
	set_features(&h, 0x03, 0x0d, ABRT);
	set_features(&h, 0x03, 0x23, ABRT);
	set_features(&h, 0x03, 0x47, ABRT);
	set_features(&h, 0x03, 0x80, ABRT);
	/* Not offered. */
	set_features(&h, 0x05, 0x80, ABRT);
	set_features(&h, 0x10, 0x05, ABRT);
	set_features(&h, 0x90, 0x05, ABRT);
	set_features(&h, 0x99, 0, ABRT);
	host_close(&h);
}

static void
test_multiple(void **state)
{
	struct fis_reg_h2d f = host_fis(0xc6, 0, 16);
	struct fis_reg_h2d r = host_fis(0xc4, 0, 1);
	struct host h;

	host_disk(&h, DISK);
	expect(&h, &f, 0, 0, OK);
	identify(&h, 0xec);
	assert_int_equal(word(&h, 59), 0x0110);
	f.count = 3;
	expect(&h, &f, 0, 0, ABRT);
	f.count = 129;
	expect(&h, &f, 0, 0, ABRT);
	f.count = 0;
	expect(&h, &f, 0, 0, OK);
	expect(&h, &r, 0, SECTOR, ABRT);
	identify(&h, 0xec);
	assert_int_equal(word(&h, 59), 0);
	host_comreset(&h);
	expect(&h, &r, 0, SECTOR, OK);
	host_close(&h);
}

static void
test_diagnostic(void **state)
{
	struct host h;

	host_disk(&h, DISK);
	expect_cmd(&h, 0x90, 0x150);
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[4], 1);
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[12], 1);
	expect_cmd(&h, 0x91, OK);
	host_close(&h);
}

/* --- NCQ ------------------------------------------------------------------ */

static void
queue(struct host *h, uint8_t command, unsigned int slot, uint64_t lba)
{
	struct fis_reg_h2d f = host_fpdma(command, slot, lba, 1);

	host_command(h, slot, command == 0x61 ? CMD_HDR_W : 0, &f);
	host_prd(h, slot, HOST_DATA + slot * SECTOR, SECTOR);
	host_set(h, PxSACT, BIT(slot));
	host_issue(h, slot);
}

static void
test_ncq(void **state)
{
	struct host h;

	host_disk(&h, DISK);
	for (unsigned int i = 0; i < 32; i++)
		queue(&h, 0x60, i, 100 + i);
	assert_int_equal(h.disk->nqueue, 32);
	assert_int_equal(host_reg(&h, PxCI), 0);
	assert_int_equal(host_reg(&h, PxSACT), UINT32_MAX);
	assert_int_equal(host_reg(&h, PxTFD), OK);
	assert_int_equal(host_rfis(&h, RFIS_DSFIS)[0], FIS_TYPE_DMA_SETUP);
	assert_int_equal(host_rfis(&h, RFIS_DSFIS)[1], FIS_D);
	assert_int_equal(host_rfis(&h, RFIS_DSFIS)[4], 31);
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[1], 0); /* no interrupt */
	assert_int_equal(host_reg(&h, PxIS), 0);
	/* They end in any order. */
	fake_disk_end(h.disk, 20, 0);
	assert_int_equal(host_reg(&h, PxSACT), ~BIT(20));
	assert_int_equal(host_reg(&h, PxIS), PxIS_SDBS);
	assert_int_equal(host_rfis(&h, RFIS_SDBFIS)[0], FIS_TYPE_SDB);
	assert_int_equal(host_rfis(&h, RFIS_SDBFIS)[1], FIS_I);
	assert_int_equal(host_rfis(&h, RFIS_SDBFIS)[2], OK);
	assert_int_equal(get_le32(host_rfis(&h, RFIS_SDBFIS) + 4), BIT(20));
	/* The tag is free again. */
	queue(&h, 0x61, 20, 7);
	assert_int_equal(host_rfis(&h, RFIS_DSFIS)[1], 0);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxSACT), 0);
	for (unsigned int i = 0; i < 32; i++)
		assert_memory_equal(host_mem(&h, HOST_DATA + i * SECTOR),
		    sector(&h, 100 + i), SECTOR);
	assert_memory_equal(sector(&h, 7), sector(&h, 120), SECTOR);
	host_close(&h);
}

static void
read_log(struct host *h, uint8_t log, uint32_t want)
{
	struct fis_reg_h2d f = host_fis(0x2f, log, 1);

	expect(h, &f, 0, SECTOR, want);
	f.command = 0x47;
}

static void
test_ncq_error(void **state)
{
	const uint8_t *b;
	uint8_t sum = 0;
	struct host h;

	host_disk(&h, DISK);
	for (unsigned int i = 0; i < 4; i++)
		queue(&h, 0x60, i, 5000 + i);
	fake_disk_end(h.disk, 0, 0);
	fake_disk_end(h.disk, 1, -EIO); /* tag 2 */
	/* The others leave the backend first, and are not reported. */
	assert_int_equal(host_reg(&h, PxIS), PxIS_SDBS);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxIS), PxIS_SDBS | PxIS_TFES);
	assert_int_equal(host_reg(&h, PxSACT), 0xe);
	assert_int_equal(host_reg(&h, PxTFD), UNC);
	assert_int_equal(host_rfis(&h, RFIS_SDBFIS)[2], 0x51);
	assert_int_equal(get_le32(host_rfis(&h, RFIS_SDBFIS) + 4), 0);
	host_restart(&h);
	assert_int_equal(host_reg(&h, PxSACT), 0);
	/* Until the log is read nothing else is done. */
	expect_cmd(&h, 0xc8, ABRT);
	read_log(&h, 0x00, ABRT);
	read_log(&h, 0x10, OK);
	b = host_mem(&h, HOST_DATA);
	assert_int_equal(b[0], 2); /* queued, tag */
	assert_int_equal(b[2], 0x51);
	assert_int_equal(b[3], 0x40);
	assert_int_equal(get_le16(b + 4), 5002);
	for (unsigned int i = 0; i < SECTOR; i++)
		sum += b[i];
	assert_int_equal(sum, 0);
	expect_cmd(&h, 0xc8, OK);
	read_log(&h, 0x10, OK);
	assert_int_equal(b[0], 0x80); /* not of the queue */
	host_close(&h);
}

static void
test_ncq_bad(void **state)
{
	struct fis_reg_h2d f = host_fpdma(0x60, 4, 0, 1);
	struct host h;

	host_disk(&h, DISK);
	/* Another command's tag. */
	queue(&h, 0x60, 4, 0);
	host_command(&h, 5, 0, &f);
	host_set(&h, PxSACT, BIT(5));
	host_issue(&h, 5);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxSACT), BIT(4) | BIT(5));
	assert_int_equal(host_reg(&h, PxTFD), ABRT);
	host_restart(&h);
	read_log(&h, 0x10, OK);
	assert_int_equal(*host_mem(&h, HOST_DATA), 5);
	/* Beyond the end. */
	queue(&h, 0x61, 0, NSECT);
	assert_int_equal(host_reg(&h, PxTFD), IDNF);
	host_restart(&h);
	host_comreset(&h); /* forgets the error as well */
	/* A command that is not queued, among some that are. */
	queue(&h, 0x60, 1, 10);
	queue(&h, 0x60, 2, 10);
	f = host_fis(0xc8, 0, 1);
	host_command(&h, 3, 0, &f);
	host_prd(&h, 3, HOST_DATA, SECTOR);
	host_issue(&h, 3);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxIS) & (PxIS_TFES | PxIS_DHRS),
	    PxIS_TFES | PxIS_DHRS);
	assert_int_equal(host_reg(&h, PxTFD), ABRT);
	assert_int_equal(host_reg(&h, PxCI), BIT(3));
	assert_int_equal(host_reg(&h, PxSACT), BIT(1) | BIT(2));
	host_restart(&h);
	expect_cmd(&h, 0xc8, OK);
	/* The other way round the queued one waits. */
	host_command(&h, 3, 0, &f);
	host_prd(&h, 3, HOST_DATA, SECTOR);
	host_issue(&h, 3);
	queue(&h, 0x60, 4, 10);
	assert_int_equal(host_reg(&h, PxCI), BIT(3) | BIT(4));
	assert_int_equal(h.disk->nqueue, 1);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxCI) | host_reg(&h, PxSACT), 0);
	host_close(&h);
}

/* A tag that is in use: the device gives up the whole queue. */
static void
test_ncq_tag_reuse(void **state)
{
	struct host h;

	host_disk(&h, DISK);
	queue(&h, 0x60, 4, 10);
	queue(&h, 0x60, 6, 20);
	queue(&h, 0x60, 4, 30);
	assert_int_equal(h.disk->nqueue, 2);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxTFD), ABRT);
	assert_int_equal(host_reg(&h, PxIS), PxIS_SDBS | PxIS_TFES);
	assert_int_equal(host_reg(&h, PxSACT), BIT(4) | BIT(6));
	host_restart(&h);
	/* What fails until the log is read does not change the log. */
	queue(&h, 0x60, 9, 10);
	assert_int_equal(host_reg(&h, PxTFD), ABRT);
	host_restart(&h);
	read_log(&h, 0x10, OK);
	assert_int_equal(*host_mem(&h, HOST_DATA), 4);
	queue(&h, 0x60, 4, 30);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxSACT), 0);
	host_close(&h);
}

/* The slots' order is the HBA's: on from the last one (AHCI 5.3.2.3). */
static void
test_slot_order(void **state)
{
	struct fis_reg_h2d f;
	struct host h;

	host_disk(&h, DISK);
	for (unsigned int i = 0; i < 32; i += 10) {
		f = host_fis(0xc8, i, 1);
		host_command(&h, i, 0, &f);
		host_prd(&h, i, HOST_DATA, SECTOR);
	}
	host_issue(&h, 20);
	host_set(&h, PxCI, BIT(0) | BIT(10) | BIT(30));
	for (unsigned int i = 2, n = 0; n < 4; n++, i = (i + 1) % 4) {
		assert_int_equal(h.disk->nqueue, 1);
		assert_int_equal(h.disk->queue[0]->off, i * 10 * SECTOR);
		fake_disk_end(h.disk, 0, 0);
	}
	host_close(&h);
}

static void
test_ncq_fua(void **state)
{
	struct fis_reg_h2d f = host_fpdma(0x61, 0, 8, 1);
	struct host h;

	host_disk(&h, DISK);
	f.device |= 0x80;
	expect(&h, &f, CMD_HDR_W, SECTOR, OK);
	assert_int_equal(h.disk->flushes, 1);
	f.device &= 0x7f;
	expect(&h, &f, CMD_HDR_W, SECTOR, OK);
	assert_int_equal(h.disk->flushes, 1);
	host_close(&h);
}

/* --- logs and TRIM -------------------------------------------------------- */

static void
test_logs(void **state)
{
	struct fis_reg_h2d f;
	struct host h;

	host_disk(&h, DISK);
	read_log(&h, 0x00, OK);
	assert_int_equal(word(&h, 0), 1);
	assert_int_equal(word(&h, 0x10), 1);
	assert_int_equal(word(&h, 0x13), 1);
	assert_int_equal(word(&h, 0x30), 0);
	f = host_fis(0x47, 0x13, 1);
	expect(&h, &f, 0, SECTOR, OK);
	assert_int_equal(word(&h, 0), 1);
	assert_int_equal(word(&h, 2), 1);
	read_log(&h, 0x04, ABRT);
	f = host_fis(0x2f, 0x10, 2); /* too many pages */
	expect(&h, &f, 0, 2 * SECTOR, ABRT);
	f.count = 0;
	expect(&h, &f, 0, 2 * SECTOR, ABRT);
	f = host_fis(0x2f, 0x110, 1); /* page 1 */
	expect(&h, &f, 0, SECTOR, ABRT);
	h.disk->info.can_discard = false;
	read_log(&h, 0x13, ABRT);
	read_log(&h, 0x00, OK);
	assert_int_equal(word(&h, 0x13), 0);
	host_close(&h);
}

static void
put_range(struct host *h, unsigned int i, uint64_t lba, uint16_t count)
{
	put_le64(host_mem(h, HOST_DATA + 8 * i), lba | (uint64_t)count << 48);
}

static void
test_trim(void **state)
{
	struct fis_reg_h2d f = host_fis(0x06, 0, 1), q;
	struct host h;

	host_disk(&h, DISK);
	f.features = 1;
	memset(host_mem(&h, HOST_DATA), 0, 8 * SECTOR);
	put_range(&h, 0, 100, 8);
	put_range(&h, 63, NSECT - 1, 1);
	expect(&h, &f, CMD_HDR_W, SECTOR, OK);
	assert_int_equal(h.disk->discards, 2);
	assert_int_equal(sector(&h, 100)[0] | sector(&h, NSECT - 1)[511], 0);
	/* One bad range, and none is touched. */
	put_range(&h, 5, NSECT - 1, 2);
	expect(&h, &f, CMD_HDR_W, SECTOR, IDNF);
	assert_int_equal(h.disk->discards, 2);
	put_range(&h, 5, 0, 0);
	/* Queued, eight blocks. */
	q = host_fpdma(0x64, 0, 0, 8);
	q.auxiliary = 1;
	expect(&h, &q, CMD_HDR_W, 8 * SECTOR, OK);
	assert_int_equal(h.disk->discards, 4);
	assert_int_equal(host_reg(&h, PxSACT), 0);
	q.count_exp = 1; /* another subcommand */
	expect(&h, &q, CMD_HDR_W, 8 * SECTOR, ABRT);
	host_comreset(&h);
	q.count_exp = 0;
	q.auxiliary = 0;
	expect(&h, &q, CMD_HDR_W, 8 * SECTOR, ABRT);
	host_comreset(&h);
	/* Too many, none, not TRIM. */
	f.count = 9;
	expect(&h, &f, CMD_HDR_W, 9 * SECTOR, ABRT);
	f.count = 0;
	expect(&h, &f, CMD_HDR_W, 9 * SECTOR, ABRT);
	f.count = 1;
	f.features = 0;
	expect(&h, &f, CMD_HDR_W, SECTOR, ABRT);
	f.features = 1;
	host_command(&h, 0, CMD_HDR_W, &f);
	host_prd(&h, 0, HOST_DATA, SECTOR);
	host_issue(&h, 0);
	fake_disk_end(h.disk, 0, -EIO);
	assert_int_equal(host_reg(&h, PxTFD), ABRT);
	host_restart(&h);
	h.disk->info.can_discard = false;
	expect(&h, &f, CMD_HDR_W, SECTOR, ABRT);
	host_close(&h);
}

/* Sectors of 4 KiB: scattered memory and TRIM count in them. */
static void
test_4k_sectors(void **state)
{
	static const struct fake_pci_opt opts[] = { { "port.0.path", "d" },
		{ NULL, NULL } };
	struct fis_reg_h2d f = host_fis(0x25, 3, 2);
	struct host h = { .disk = fake_disk("d", 1 << 20, true) };

	h.disk->info.lsec_bytes = h.disk->info.psec_bytes = 4096;
	host_open(&h, &ahci_ops, opts);
	host_start(&h);
	host_command(&h, 0, 0, &f);
	host_prd(&h, 0, HOST_DATA, 5000);
	host_prd(&h, 0, HOST_DATA + 5000, 3192);
	host_issue(&h, 0);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxIS), PxIS_DHRS);
	assert_memory_equal(host_mem(&h, HOST_DATA), sector(&h, 3), 8192);
	f = host_fis(0x06, 0, 1);
	f.features = 1;
	memset(host_mem(&h, HOST_DATA), 0, SECTOR);
	put_range(&h, 0, 255, 1);
	expect(&h, &f, CMD_HDR_W, SECTOR, OK);
	assert_int_equal(h.disk->discarded_off, 255 * 4096);
	assert_int_equal(h.disk->discarded_len, 4096);
	put_range(&h, 0, 256, 1);
	expect(&h, &f, CMD_HDR_W, SECTOR, IDNF);
	host_close(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identify),
		cmocka_unit_test(test_identify_options),
		cmocka_unit_test(test_identify_sizes),
		cmocka_unit_test(test_data_commands),
		cmocka_unit_test(test_count_0),
		cmocka_unit_test(test_chs),
		cmocka_unit_test(test_scattered),
		cmocka_unit_test(test_odd_pieces),
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_medium_errors),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_unknown_commands),
		cmocka_unit_test(test_power),
		cmocka_unit_test(test_set_features),
		cmocka_unit_test(test_multiple),
		cmocka_unit_test(test_diagnostic),
		cmocka_unit_test(test_ncq),
		cmocka_unit_test(test_ncq_error),
		cmocka_unit_test(test_ncq_bad),
		cmocka_unit_test(test_ncq_tag_reuse),
		cmocka_unit_test(test_slot_order),
		cmocka_unit_test(test_ncq_fua),
		cmocka_unit_test(test_logs),
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_4k_sectors),
	};

	host_quiet();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
