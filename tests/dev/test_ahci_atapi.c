/* SPDX-License-Identifier: BSD-2-Clause */
/* The CD-ROM drive behind a SATA port: packet commands, sense, the tray. */
#include "ahci_host.h"

#include <errno.h>
#include <string.h>

#define BLOCK		      2048u
#define NBLOCKS		      400u

#define SENSE(key, asc, ascq) ((uint32_t)(key) << 16 | (asc) << 8 | (ascq))
#define INVALID_OPCODE	      SENSE(5, 0x20, 0)
#define OUT_OF_RANGE	      SENSE(5, 0x21, 0)
#define INVALID_FIELD	      SENSE(5, 0x24, 0)
#define POWER_ON	      SENSE(6, 0x29, 0)

#define P(...)		      ((const uint8_t[16]){ __VA_ARGS__ })

static const uint8_t *
data(struct host *h)
{
	return host_mem(h, HOST_DATA);
}

/* Answers: success and so many bytes. */
static void
ok(struct host *h, const uint8_t *acmd, uint32_t bytes)
{
	uint32_t sense = 0;

	memset(host_mem(h, HOST_DATA), 0xee, 0x1001);
	if (!host_atapi(h, acmd, 0x1000, &sense))
		fail_msg("0x%02x: sense %06x", acmd[0], sense);
	assert_int_equal(host_hdr(h, 0)->prdbc, bytes);
	assert_int_equal(data(h)[bytes], 0xee);
}

static void
fails(struct host *h, const uint8_t *acmd, uint32_t want)
{
	uint32_t sense = 0;

	assert_false(host_atapi(h, acmd, 0x1000, &sense));
	assert_int_equal(sense, want);
}

/* A drive whose unit attention is over. */
static void
drive(struct host *h, uint64_t bytes)
{
	host_cd(h, bytes);
	fails(h, P(0), POWER_ON);
	ok(h, P(0), 0);
}

/* --- ATA commands --------------------------------------------------------- */

static void
test_ata_commands(void **state)
{
	static const uint8_t known[] = { 0x08, 0x90, 0xa0, 0xa1, 0xe0, 0xe1,
		0xe5, 0xe6, 0xe7, 0xef };
	struct host h;
	struct fis_reg_h2d f;
	uint32_t tfd;

	host_cd(&h, NBLOCKS * BLOCK);
	for (unsigned int c = 0; c < 256; c++) {
		if (memchr(known, (int)c, sizeof(known)) != NULL)
			continue;
		f = host_fis((uint8_t)c, 0, 0);
		assert_false(host_run(&h, &f, 0, 512, &tfd));
		assert_int_equal(tfd, 0x451);
	}
	/* "I am not a disk." */
	f = host_fis(0xec, 0, 0);
	assert_false(host_run(&h, &f, 0, 512, NULL));
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[5], 0x14);
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[6], 0xeb);
	f = host_fis(0x08, 0, 0);
	assert_true(host_run(&h, &f, 0, 0, &tfd));
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[6], 0xeb);
	/* Asynchronous notification, and no write cache. */
	f = host_fis(0xef, 0, 5);
	f.features = 0x10;
	assert_true(host_run(&h, &f, 0, 0, NULL));
	f = host_fis(0xa1, 0, 0);
	assert_true(host_run(&h, &f, 0, 512, NULL));
	assert_int_equal(get_le16(data(&h)), 0x8580);
	assert_int_equal(get_le16(data(&h) + 2 * 79), 0x20);
	assert_memory_equal(data(&h) + 2 * 27, "HBVY EASATD DVR MO", 18);
	f = host_fis(0xef, 0, 5);
	f.features = 0x90;
	assert_true(host_run(&h, &f, 0, 0, NULL));
	f.features = 0x82;
	assert_false(host_run(&h, &f, 0, 0, NULL));
	f.features = 0x02;
	assert_false(host_run(&h, &f, 0, 0, NULL));
	/* PACKET, and the header has none. */
	f = host_fis(0xa0, 0, 0);
	assert_false(host_run(&h, &f, 0, 512, &tfd));
	assert_int_equal(tfd, 0x451);
	host_close(&h);
}

/* --- sense ---------------------------------------------------------------- */

static void
test_unit_attention(void **state)
{
	struct host h;
	uint32_t sense;

	host_cd(&h, NBLOCKS * BLOCK);
	/* These are answered, and leave it. */
	ok(&h, P(0x12, 0, 0, 0, 36), 36);
	ok(&h, P(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
	ok(&h, P(0x46, 0, 0, 0, 0, 0, 0, 0, 8), 8);
	fails(&h, P(0x25), POWER_ON);
	ok(&h, P(0x25), 8);
	/* Nothing is left to tell. */
	ok(&h, P(0x03, 0, 0, 0, 18), 18);
	assert_int_equal(data(&h)[0], 0x70);
	assert_int_equal(data(&h)[2], 0);
	/* A reset brings it back, and REQUEST SENSE takes it. */
	host_comreset(&h);
	ok(&h, P(0x03, 0, 0, 0, 14), 14);
	assert_int_equal(data(&h)[2], 6);
	assert_int_equal(data(&h)[12], 0x29);
	assert_true(host_atapi(&h, P(0), 0, &sense));
	host_close(&h);
}

static void
test_check_condition(void **state)
{
	struct fis_reg_h2d f = host_fis(0xa0, 0, 0);
	struct host h;

	drive(&h, NBLOCKS * BLOCK);
	host_command(&h, 0, CMD_HDR_A, &f);
	host_packet(&h, 0, P(0xff));
	host_issue(&h, 0);
	assert_int_equal(host_reg(&h, PxTFD), 0x5451); /* key 5, ABRT */
	assert_int_equal(host_reg(&h, PxIS), PxIS_TFES | PxIS_DHRS);
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[12], 3); /* CoD, IO */
	assert_int_equal(host_reg(&h, PxCI), 1);
	host_close(&h);
}

static void
test_unknown_packets(void **state)
{
	static const uint8_t known[] = { 0x00, 0x03, 0x12, 0x1a, 0x1b, 0x1e,
		0x25, 0x28, 0x2b, 0x35, 0x43, 0x46, 0x4a, 0x51, 0x52, 0x5a,
		0xa0, 0xa8, 0xbb, 0xbd, 0xbe };
	struct host h;

	drive(&h, NBLOCKS * BLOCK);
	for (unsigned int c = 0; c < 256; c++)
		if (memchr(known, (int)c, sizeof(known)) == NULL)
			fails(&h, P((uint8_t)c), INVALID_OPCODE);
	ok(&h, P(0x35), 0);
	ok(&h, P(0xbb), 0);
	host_close(&h);
}

/* --- reading -------------------------------------------------------------- */

static void
test_read(void **state)
{
	struct host h;

	drive(&h, NBLOCKS * BLOCK);
	ok(&h, P(0x25), 8);
	assert_memory_equal(data(&h), P(0, 0, 1, 0x8f, 0, 0, 8, 0), 8);
	ok(&h, P(0x28, 0, 0, 0, 1, 0x8e, 0, 0, 2), 2 * BLOCK);
	assert_memory_equal(data(&h), h.disk->data + 398 * BLOCK, 2 * BLOCK);
	ok(&h, P(0xa8, 0, 0, 0, 0, 3, 0, 0, 0, 1), BLOCK);
	assert_memory_equal(data(&h), h.disk->data + 3 * BLOCK, BLOCK);
	ok(&h, P(0x28), 0); /* no blocks are no error */
	fails(&h, P(0x28, 0, 0, 0, 1, 0x8f, 0, 0, 2), OUT_OF_RANGE);
	fails(&h, P(0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
	    OUT_OF_RANGE);
	ok(&h, P(0x2b, 0, 0, 0, 1, 0x8f), 0);
	fails(&h, P(0x2b, 0, 0, 0, 1, 0x90), OUT_OF_RANGE);
	/* READ CD: user data only. */
	ok(&h, P(0xbe, 0, 0, 0, 0, 5, 0, 0, 1, 0x10), BLOCK);
	assert_memory_equal(data(&h), h.disk->data + 5 * BLOCK, BLOCK);
	ok(&h, P(0xbe, 0x08, 0, 0, 0, 5, 0, 0, 1, 0x10), BLOCK);
	ok(&h, P(0xbe, 0, 0, 0, 0, 5, 0, 0, 1, 0), 0);
	fails(&h, P(0xbe, 0, 0, 0, 0, 5, 0, 0, 1, 0xf8), INVALID_FIELD);
	fails(&h, P(0xbe, 0, 0, 0, 0, 5, 0, 0, 1, 0x10, 1), INVALID_FIELD);
	fails(&h, P(0xbe, 0x04, 0, 0, 0, 5, 0, 0, 1, 0x10), SENSE(5, 0x64, 0));
	host_close(&h);
}

static void
test_read_error(void **state)
{
	struct fis_reg_h2d f = host_fis(0xa0, 0, 0);
	struct host h;

	drive(&h, NBLOCKS * BLOCK);
	f.features = 1;
	host_command(&h, 0, CMD_HDR_A, &f);
	host_packet(&h, 0, P(0x28, 0, 0, 0, 0, 0, 0, 0, 1));
	host_prd(&h, 0, HOST_DATA, BLOCK);
	host_issue(&h, 0);
	fake_disk_end(h.disk, 0, -EIO);
	assert_int_equal(host_reg(&h, PxTFD), 0x3051);
	host_restart(&h);
	ok(&h, P(0x03, 0, 0, 0, 18), 18);
	assert_int_equal(data(&h)[2], 3);
	assert_int_equal(data(&h)[12], 0x11);
	host_close(&h);
}

/* An image of 2.25 blocks: three, the last filled up. */
static void
test_odd_image(void **state)
{
	struct host h;

	drive(&h, 2 * BLOCK + 512);
	ok(&h, P(0x25), 8);
	assert_int_equal(data(&h)[3], 2);
	ok(&h, P(0x28, 0, 0, 0, 0, 1, 0, 0, 2), 2 * BLOCK);
	assert_memory_equal(data(&h), h.disk->data + BLOCK, BLOCK + 512);
	for (unsigned int i = BLOCK + 512; i < 2 * BLOCK; i++)
		assert_int_equal(data(&h)[i], 0);
	host_close(&h);
}

/* By PIO the device tells of the data first. */
static void
test_pio(void **state)
{
	struct fis_reg_h2d f = host_fis(0xa0, 0, 0);
	struct host h;

	drive(&h, NBLOCKS * BLOCK);
	f.lba2 = 0xff; /* byte count limit */
	host_command(&h, 0, CMD_HDR_A, &f);
	host_packet(&h, 0, P(0x12, 0, 0, 0, 36));
	host_prd(&h, 0, HOST_DATA, 64);
	host_issue(&h, 0);
	assert_int_equal(host_reg(&h, PxIS), PxIS_PSS | PxIS_DHRS);
	assert_int_equal(host_rfis(&h, RFIS_PSFIS)[5], 36);
	assert_int_equal(host_rfis(&h, RFIS_PSFIS)[12], 2);
	assert_int_equal(host_rfis(&h, RFIS_RFIS)[12], 3);
	assert_int_equal(host_hdr(&h, 0)->prdbc, 36);
	host_set(&h, PxIS, UINT32_MAX);
	host_command(&h, 0, CMD_HDR_A, &f);
	host_packet(&h, 0, P(0x28, 0, 0, 0, 0, 7, 0, 0, 1));
	host_prd(&h, 0, HOST_DATA, BLOCK);
	host_issue(&h, 0);
	fake_disk_run(h.disk);
	assert_int_equal(host_reg(&h, PxIS), PxIS_PSS | PxIS_DHRS);
	assert_memory_equal(data(&h), h.disk->data + 7 * BLOCK, BLOCK);
	host_close(&h);
}

/* --- the tray ------------------------------------------------------------- */

static uint8_t
media_event(struct host *h)
{
	ok(h, P(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
	assert_int_equal(data(h)[1], 6);
	assert_int_equal(data(h)[2], 4);
	return data(h)[4];
}

static void
test_tray(void **state)
{
	static const uint8_t need_medium[] = { 0x00, 0x25, 0x28, 0x2b, 0x35,
		0x43, 0x51, 0x52, 0xa8, 0xbe };
	const uint8_t *eject = P(0x1b, 0, 0, 0, 2),
		      *close = P(0x1b, 0, 0, 0, 3);
	struct host h;

	drive(&h, NBLOCKS * BLOCK);
	assert_int_equal(media_event(&h), 0);
	assert_int_equal(data(&h)[5], 2);
	ok(&h, P(0x1e, 0, 0, 0, 1), 0);
	fails(&h, eject, SENSE(5, 0x53, 2));
	ok(&h, P(0x1e), 0);
	ok(&h, P(0x1b, 0, 0, 0, 0), 0);	   /* spin down */
	ok(&h, P(0x1b, 0, 0, 0, 0x32), 0); /* a power condition */
	ok(&h, eject, 0);
	for (size_t i = 0; i < sizeof(need_medium); i++)
		fails(&h, P(need_medium[i]), SENSE(2, 0x3a, 2));
	assert_int_equal(media_event(&h), 3);
	assert_int_equal(data(&h)[5], 1);
	assert_int_equal(media_event(&h), 0);
	ok(&h, P(0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8), 8);
	assert_int_equal(data(&h)[1], 0x10);
	ok(&h, P(0x46, 0, 0, 0, 0, 0, 0, 0, 8), 8);
	assert_int_equal(data(&h)[7], 0); /* no profile */
	ok(&h, P(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 64), 30);
	assert_int_equal(data(&h)[2], 0x71);
	ok(&h, close, 0);
	fails(&h, P(0), SENSE(6, 0x28, 0));
	ok(&h, P(0), 0);
	assert_int_equal(media_event(&h), 2);
	ok(&h, close, 0); /* closed it is */
	ok(&h, P(0), 0);
	/* A reset unlocks. */
	ok(&h, P(0x1e, 0, 0, 0, 1), 0);
	host_comreset(&h);
	fails(&h, P(0), POWER_ON);
	ok(&h, eject, 0);
	host_close(&h);
}

/* --- what the drive tells ------------------------------------------------- */

static void
test_inquiry(void **state)
{
	struct host h;

	drive(&h, NBLOCKS * BLOCK);
	ok(&h, P(0x12, 0, 0, 0, 96), 36);
	assert_memory_equal(data(&h) + 8, "BHYVE   BHYVE DVD-ROM   001 ", 28);
	assert_int_equal(data(&h)[0], 5);
	assert_int_equal(data(&h)[1], 0x80);
	assert_int_equal(data(&h)[4], 31);
	ok(&h, P(0x12, 0, 0, 0, 5), 5);
	ok(&h, P(0x12, 0, 0, 0, 0), 0);
	ok(&h, P(0x12, 0, 0, 1, 0), 36);
	ok(&h, P(0x12, 1, 0, 0, 96), 6);
	assert_memory_equal(data(&h), P(5, 0, 0, 2, 0, 0x80), 6);
	ok(&h, P(0x12, 1, 0x80, 0, 96), 24);
	assert_memory_equal(data(&h) + 4, "BHYVE-0123-4567-89AB", 20);
	fails(&h, P(0x12, 1, 0x83, 0, 96), INVALID_FIELD);
	fails(&h, P(0x12, 0, 0x80, 0, 96), INVALID_FIELD);
	host_close(&h);
}

static void
test_mode_sense(void **state)
{
	struct host h;

	drive(&h, NBLOCKS * BLOCK);
	ok(&h, P(0x5a, 0, 0x01, 0, 0, 0, 0, 0, 255), 20);
	assert_memory_equal(data(&h), P(0, 18, 1, 0, 0, 0, 0, 0, 1, 10), 10);
	ok(&h, P(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 255), 30);
	assert_int_equal(data(&h)[8], 0x2a);
	assert_int_equal(data(&h)[8 + 6], 0x29);
	ok(&h, P(0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255), 8 + 12 + 12 + 22);
	ok(&h, P(0x5a, 0, 0x3f, 0xff, 0, 0, 0, 0, 4), 4);
	ok(&h, P(0x5a, 0, 0x3f), 0);
	ok(&h, P(0x1a, 0, 0x2a, 0, 255), 26);
	assert_int_equal(data(&h)[0], 25);
	assert_int_equal(data(&h)[4], 0x2a);
	ok(&h, P(0x1e, 0, 0, 0, 1), 0);
	ok(&h, P(0x1a, 0, 0x2a, 0, 255), 26);
	assert_int_equal(data(&h)[4 + 6], 0x2b); /* locked */
	fails(&h, P(0x5a, 0, 0xea, 0, 0, 0, 0, 0, 255), SENSE(5, 0x39, 0));
	fails(&h, P(0x5a, 0, 0x0e, 0, 0, 0, 0, 0, 255), INVALID_FIELD);
	fails(&h, P(0x5a, 0, 0x2a, 1, 0, 0, 0, 0, 255), INVALID_FIELD);
	host_close(&h);
}

static void
test_toc(void **state)
{
	struct host h;

	drive(&h, NBLOCKS * BLOCK);
	ok(&h, P(0x43, 0, 0, 0, 0, 0, 0, 0, 255), 20);
	assert_memory_equal(data(&h),
	    ((const uint8_t[]){ 0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14,
		0xaa, 0, 0, 0, 1, 0x90 }),
	    20);
	/* 400 + 150 frames: 7 seconds and 25 frames. */
	ok(&h, P(0x43, 2, 0, 0, 0, 0, 0xaa, 0, 255), 12);
	assert_memory_equal(data(&h) + 6, P(0xaa, 0, 0, 0, 7, 25), 6);
	ok(&h, P(0x43, 0, 0, 0, 0, 0, 0, 0, 4), 4);
	assert_int_equal(data(&h)[1], 18);
	fails(&h, P(0x43, 0, 0, 0, 0, 0, 2, 0, 255), INVALID_FIELD);
	ok(&h, P(0x43, 0, 1, 0, 0, 0, 0, 0, 255), 12);
	ok(&h, P(0x43, 0, 0, 0, 0, 0, 0, 0, 255, 0x40), 12); /* the old way */
	ok(&h, P(0x43, 2, 2, 0, 0, 0, 0, 0, 255), 48);
	assert_int_equal(data(&h)[4 + 2 * 11 + 3], 0xa2);
	assert_int_equal(data(&h)[4 + 2 * 11 + 9], 7);
	fails(&h, P(0x43, 0, 4, 0, 0, 0, 0, 0, 255), INVALID_FIELD);
	host_close(&h);
}

static void
test_configuration(void **state)
{
	const uint8_t *b;
	struct host h;
	unsigned int len, n = 0;

	drive(&h, NBLOCKS * BLOCK);
	b = data(&h);
	assert_true(host_atapi(&h, P(0x46, 0, 0, 0, 0, 0, 0, 2, 0), 512, NULL));
	len = (unsigned int)(b[2] << 8 | b[3]) + 4;
	assert_int_equal(host_hdr(&h, 0)->prdbc, len);
	assert_int_equal(b[7], 8); /* CD-ROM */
	for (unsigned int at = 8; at < len; at += 4u + b[at + 3])
		n++;
	assert_int_equal(n, 8);
	/* Just one; the current ones; a wrong request. */
	ok(&h, P(0x46, 2, 0, 0, 0, 0, 0, 2, 0), 20);
	assert_memory_equal(
	    b + 8, P(0, 0, 3, 8, 0, 0x10, 0, 0, 0, 8, 1, 0), 12);
	ok(&h, P(0x46, 2, 0x01, 0x05, 0, 0, 0, 2, 0), 8);
	ok(&h, P(0x46, 1, 0x01, 0x00, 0, 0, 0, 2, 0), 12);
	fails(&h, P(0x46, 3), INVALID_FIELD);
	host_close(&h);
	/* Greater than a CD. */
	drive(&h, 1 << 20);
	h.disk->info.bytes = 4ull << 30;
	ok(&h, P(0x46, 2, 0, 0, 0, 0, 0, 2, 0), 20);
	assert_int_equal(b == NULL ? 0 : data(&h)[7], 0x10);
	host_close(&h);
}

static void
test_disc_information(void **state)
{
	struct host h;

	drive(&h, NBLOCKS * BLOCK);
	ok(&h, P(0x51, 0, 0, 0, 0, 0, 0, 0, 255), 34);
	assert_memory_equal(data(&h), P(0, 32, 0x0e, 1, 1, 1, 1), 7);
	fails(&h, P(0x51, 1, 0, 0, 0, 0, 0, 0, 255), INVALID_FIELD);
	ok(&h, P(0x52, 1, 0, 0, 0, 1, 0, 0, 255), 36);
	assert_memory_equal(data(&h) + 24, P(0, 0, 1, 0x90), 4);
	ok(&h, P(0x52, 0, 0, 0, 1, 0x8f, 0, 0, 255), 36);
	fails(&h, P(0x52, 0, 0, 0, 1, 0x90, 0, 0, 255), INVALID_FIELD);
	fails(&h, P(0x52, 1, 0, 0, 0, 2, 0, 0, 255), INVALID_FIELD);
	fails(&h, P(0x52, 3, 0, 0, 0, 1, 0, 0, 255), INVALID_FIELD);
	ok(&h, P(0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0), 16);
	assert_int_equal(data(&h)[3], 8);
	ok(&h, P(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 9), 9);
	fails(&h, P(0xa0, 0, 3, 0, 0, 0, 0, 0, 0, 9), INVALID_FIELD);
	/* Events: only by polling, and no class but the medium's. */
	fails(&h, P(0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8), INVALID_FIELD);
	ok(&h, P(0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8), 4);
	assert_memory_equal(data(&h), P(0, 2, 0x80, 0x10), 4);
	host_close(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ata_commands),
		cmocka_unit_test(test_unit_attention),
		cmocka_unit_test(test_check_condition),
		cmocka_unit_test(test_unknown_packets),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_read_error),
		cmocka_unit_test(test_odd_image),
		cmocka_unit_test(test_pio),
		cmocka_unit_test(test_tray),
		cmocka_unit_test(test_inquiry),
		cmocka_unit_test(test_mode_sense),
		cmocka_unit_test(test_toc),
		cmocka_unit_test(test_configuration),
		cmocka_unit_test(test_disc_information),
	};

	host_quiet();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
