/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-blk on a real file, driven through both transports; each test runs
 * with both engines of the backend where they matter.
 */
#include "virtio_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <util/log.h>

#define KIB	     1024u
#define DISK_BYTES   (1024u * KIB)
#define DISK_SECTORS (DISK_BYTES / 512)

#define F_SEG_MAX    BIT64(2)
#define F_RO	     BIT64(5)
#define F_BLK_SIZE   BIT64(6)
#define F_FLUSH	     BIT64(9)
#define F_TOPOLOGY   BIT64(10)
#define F_WCE	     BIT64(11)
#define F_MQ	     BIT64(12)
#define F_DISCARD    BIT64(13)
#define F_ZEROES     BIT64(14)
#define F_OWN	     (BIT64(24) - 1) /* the device's, not the ring's */

enum {
	T_IN,
	T_OUT,
	T_FLUSH = 4,
	T_FLUSH_OUT,
	T_GET_ID = 8,
	T_DISCARD = 11,
	T_ZEROES = 13
};
enum { S_OK, S_IOERR, S_UNSUPP, S_NONE = 0xee };

/* fdatasync() of the backend, counted. */
static _Atomic unsigned int flushes;
int __real_fdatasync(int);
int __wrap_fdatasync(int);

int
__wrap_fdatasync(int fd)
{
	flushes++;
	return __real_fdatasync(fd);
}

static void
log_nowhere(enum log_level level, const char *line)
{
}

/* --- the rig -------------------------------------------------------------- */

struct rig {
	struct vdrv_machine m;
	struct vdrv d;
	char path[64];
	int fd;
};

static void
rig_file(struct rig *r)
{
	uint8_t sector[512];

	log_set_sink(log_nowhere);
	strcpy(r->path, "/var/tmp/bhyve-vblk.XXXXXX");
	r->fd = mkstemp(r->path);
	assert_true(r->fd >= 0);
	for (unsigned int i = 0; i < DISK_SECTORS; i++) {
		memset(sector, (int)(1 + i % 255), sizeof(sector));
		assert_int_equal(write(r->fd, sector, 512), 512);
	}
}

/* A machine with the disk and `settings`; 0 or -errno. */
static int
rig_try(struct rig *r, const char *settings, char *err, size_t err_len)
{
	char all[300];

	vdrv_machine(&r->m);
	snprintf(all, sizeof(all), "path=%s,%s", r->path,
	    settings != NULL ? settings : "");
	return vdrv_add_ops(
	    &r->m, pci_dev_find("virtio-blk"), all, err, err_len);
}

static void
rig_open(struct rig *r, enum vdrv_transport t, const char *settings,
    uint64_t features, unsigned int nqueues)
{
	char err[300] = "";

	rig_file(r);
	if (rig_try(r, settings, err, sizeof(err)) != 0) {
		if (strstr(err, ": io_uring: ") != NULL)
			skip(); /* refused by the host */
		fail_msg("%s", err);
	}
	vdrv_open(&r->d, &r->m, t, features, nqueues);
}

static void
rig_close(struct rig *r)
{
	vdrv_machine_fini(&r->m);
	close(r->fd);
	unlink(r->path);
	log_set_sink(NULL);
}

static void
both_transports(void (*fn)(enum vdrv_transport))
{
	fn(VDRV_LEGACY);
	fn(VDRV_MODERN);
}

/* --- requests ------------------------------------------------------------- */

struct req {
	uint64_t header, data, status; /* gpa */
	uint32_t len;
	bool in;
	struct vdrv_buf buf[40];
	unsigned int n;
};

static uint64_t
header(struct rig *r, uint32_t type, uint64_t sector)
{
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} h = { type, 0, sector };

	return vdrv_copy(&r->d, &h, sizeof(h));
}

/* The usual three descriptors; `data` NULL: a buffer to be filled. */
static struct req
req_make(struct rig *r, uint32_t type, uint64_t sector, const void *data,
    uint32_t len)
{
	uint8_t none = S_NONE;
	struct req q = {
		.header = header(r, type, sector),
		.status = vdrv_copy(&r->d, &none, 1),
		.len = len,
		.in = data == NULL,
	};

	if (len > 0)
		q.data = data != NULL ? vdrv_copy(&r->d, data, len)
				      : vdrv_alloc(&r->d, len, 1);
	q.buf[q.n++] = (struct vdrv_buf){ q.header, 16, false };
	if (len > 0)
		q.buf[q.n++] = (struct vdrv_buf){ q.data, len, q.in };
	q.buf[q.n++] = (struct vdrv_buf){ q.status, 1, true };
	return q;
}

static uint8_t
req_status(struct rig *r, const struct req *q)
{
	return *(uint8_t *)vdrv_ptr(&r->d, q->status);
}

/* Submits, waits, and holds the used length against the specification. */
static uint8_t
req_run(struct rig *r, unsigned int queue, const struct req *q)
{
	uint32_t len = UINT32_MAX, in = 0;
	uint16_t head = vdrv_add(&r->d, queue, q->buf, q->n);

	for (unsigned int i = 0; i < q->n; i++)
		in += q->buf[i].write ? q->buf[i].len : 0;
	vdrv_kick(&r->d, queue);
	assert_int_equal(vdrv_wait_used(&r->d, queue, &len), head);
	assert_true(len <= in);
	return req_status(r, q);
}

static uint8_t
run(struct rig *r, uint32_t type, uint64_t sector, const void *data,
    uint32_t len)
{
	struct req q = req_make(r, type, sector, data, len);

	return req_run(r, 0, &q);
}

static void
expect_file(struct rig *r, uint64_t sector, const void *want, size_t len)
{
	uint8_t *got = malloc(len);

	assert_int_equal(
	    pread(r->fd, got, len, (off_t)sector * 512), (ssize_t)len);
	assert_memory_equal(got, want, len);
	free(got);
}

static void
pattern(uint8_t *buf, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)((seed = seed * 69069 + 1) >> 24);
}

/* --- what it is ----------------------------------------------------------- */

static void
config(enum vdrv_transport t)
{
	struct rig r;
	struct stat st;
	uint32_t exp;

	rig_open(&r, t, "queues=5", F_WCE, 1);
	assert_int_equal(fstat(r.fd, &st), 0);
	exp = (uint32_t)__builtin_ctz((unsigned int)st.st_blksize / 512);
	assert_int_equal(vdrv_features(&r.d) & F_OWN,
	    F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY | F_WCE | F_MQ |
		F_DISCARD | F_ZEROES);
	assert_int_equal(vdrv_cfg_read(&r.d, 0, 4), DISK_SECTORS);
	assert_int_equal(vdrv_cfg_read(&r.d, 4, 4), 0);
	assert_int_equal(vdrv_cfg_read(&r.d, 8, 4), 0);	   /* size_max */
	assert_int_equal(vdrv_cfg_read(&r.d, 12, 4), 254); /* seg_max */
	assert_int_equal(vdrv_cfg_read(&r.d, 16, 4), 0);   /* geometry */
	assert_int_equal(vdrv_cfg_read(&r.d, 20, 4), 512);
	assert_int_equal(vdrv_cfg_read(&r.d, 24, 1), exp);
	assert_int_equal(vdrv_cfg_read(&r.d, 25, 1), 0);
	assert_int_equal(vdrv_cfg_read(&r.d, 26, 2), 1u << exp);
	assert_int_equal(vdrv_cfg_read(&r.d, 28, 4), 0);
	assert_int_equal(vdrv_cfg_read(&r.d, 32, 1), 1); /* writeback */
	assert_int_equal(vdrv_cfg_read(&r.d, 34, 2), 5); /* num_queues */
	assert_int_equal(vdrv_cfg_read(&r.d, 36, 4), 1u << 23);
	assert_int_equal(vdrv_cfg_read(&r.d, 40, 4), 32);
	assert_int_equal(vdrv_cfg_read(&r.d, 44, 4), 1u << exp);
	assert_int_equal(vdrv_cfg_read(&r.d, 48, 4), 1u << 23);
	assert_int_equal(vdrv_cfg_read(&r.d, 52, 4), 32);
	assert_int_equal(vdrv_cfg_read(&r.d, 56, 1), 1);
	/* Only the write cache can be set. */
	for (unsigned int off = 0; off < 60; off += 4)
		vdrv_cfg_write(&r.d, off, 4, 0xfffffffe);
	assert_int_equal(vdrv_cfg_read(&r.d, 0, 4), DISK_SECTORS);
	assert_int_equal(vdrv_cfg_read(&r.d, 32, 4), 5u << 16);
	vdrv_cfg_write(&r.d, 32, 1, 1);
	assert_int_equal(vdrv_cfg_read(&r.d, 32, 1), 1);
	vdrv_cfg_write(&r.d, 32, 1, 0);
	vdrv_reset(&r.d);
	assert_int_equal(vdrv_cfg_read(&r.d, 32, 1), 1);
	rig_close(&r);
}

static void
test_config(void **state)
{
	both_transports(config);
}

static void
test_features_follow_settings(void **state)
{
	struct rig r;

	rig_open(&r, VDRV_MODERN, "ro=true,sectorsize=4096/8192", 0, 1);
	assert_int_equal(vdrv_features(&r.d) & F_OWN,
	    F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY | F_RO);
	assert_int_equal(vdrv_cfg_read(&r.d, 0, 4), DISK_SECTORS);
	assert_int_equal(vdrv_cfg_read(&r.d, 20, 4), 4096);
	assert_int_equal(vdrv_cfg_read(&r.d, 24, 1), 1);
	rig_close(&r);
	rig_open(&r, VDRV_MODERN, "sync=true,nodelete=true", 0, 1);
	assert_int_equal(vdrv_features(&r.d) & F_OWN,
	    F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY | F_ZEROES);
	assert_int_equal(vdrv_cfg_read(&r.d, 32, 1), 0);
	assert_int_equal(vdrv_cfg_read(&r.d, 56, 1), 0);
	rig_close(&r);
}

/* Without a setting each vCPU has its queue. */
static void
test_default_queues(void **state)
{
	struct rig r;
	unsigned int n;

	rig_open(&r, VDRV_MODERN, NULL, 0, 1);
	n = vm_ncpus(r.m.b.ctx);
	assert_int_equal(vdrv_cfg_read(&r.d, 34, 2), n);
	assert_int_equal(vdrv_reg(&r.d, 18, 2), n); /* 4.1.4.3, num_queues */
	assert_int_equal((vdrv_features(&r.d) & F_MQ) != 0, n > 1);
	rig_close(&r);
}

/*
 * What the host has in memory is there when the kick returns, with its
 * interrupt, and no thread of the backend had a part in it.
 */
static void
test_read_ends_in_the_kick(void **state)
{
	uint8_t want[4096];
	struct iovec iov = { want, sizeof(want) };
	struct req q[8];
	struct rig r;

	rig_open(&r, VDRV_MODERN, NULL, 0, 1);
	vdrv_msix_enable(&r.d, 1);
	if (preadv2(r.fd, &iov, 1, 512, RWF_NOWAIT) != (ssize_t)sizeof(want)) {
		rig_close(&r);
		skip(); /* the host's file system cannot say */
	}
	for (unsigned int i = 0; i < ARRAY_LEN(q); i++) {
		q[i] = req_make(&r, T_IN, 1, NULL, sizeof(want));
		vdrv_add(&r.d, 0, q[i].buf, q[i].n);
	}
	vdrv_kick(&r.d, 0);
	for (unsigned int i = 0; i < ARRAY_LEN(q); i++) {
		uint32_t len = 0;

		assert_true(vdrv_used(&r.d, 0, &len) >= 0);
		assert_int_equal(len, sizeof(want) + 1);
		assert_int_equal(req_status(&r, &q[i]), 0);
		assert_memory_equal(
		    vdrv_ptr(&r.d, q[i].data), want, sizeof(want));
	}
	assert_int_equal(r.m.b.msis, 1); /* for all of them */
	rig_close(&r);
}

static void
test_wrong_settings(void **state)
{
	static const struct {
		const char *settings, *want;
		int error;
	} bad[] = {
		{ "queues=0", "queues=0: right is a number from 1 to 16",
		    -EINVAL },
		{ "queues=17", "from 1 to 16", -EINVAL },
		{ "nocache=maybe", "nocache=maybe: right is true or false",
		    -EINVAL },
		{ "sectorsize=1000", "sectorsize=1000: right is LOGICAL",
		    -EINVAL },
		{ "sectorsize=256", "from 512", -EINVAL },
		{ "sectorsize=4096/512", "sectorsize=4096/512", -EINVAL },
		{ "sectorsize=512/", "sectorsize=512/", -EINVAL },
		{ "sectorsize=", "sectorsize=", -EINVAL },
		{ "aio=native", "aio=native: right is io_uring or threads",
		    -EINVAL },
		{ "bootindex=first", "bootindex=first: right is a number",
		    -EINVAL },
	};
	struct rig r;
	char err[300];

	rig_file(&r);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err[0] = '\0';
		assert_int_equal(rig_try(&r, bad[i].settings, err, sizeof(err)),
		    bad[i].error);
		assert_non_null(strstr(err, bad[i].want));
		vdrv_machine_fini(&r.m);
	}
	unlink(r.path);
	assert_int_equal(rig_try(&r, "", err, sizeof(err)), -ENOENT);
	assert_non_null(strstr(err, "create one with truncate -s 10G"));
	vdrv_machine_fini(&r.m);
	vdrv_machine(&r.m);
	assert_int_equal(vdrv_add_ops(&r.m, pci_dev_find("virtio-blk"), NULL,
			     err, sizeof(err)),
	    -EINVAL);
	assert_non_null(strstr(err, "no image; path= names one"));
	rig_close(&r);
}

/* --- reading and writing -------------------------------------------------- */

static void
round_trip(enum vdrv_transport t, const char *engine)
{
	struct rig r;
	struct req q;
	uint8_t data[8192];

	pattern(data, sizeof(data), 1);
	rig_open(&r, t, engine, F_FLUSH, 1);
	assert_int_equal(run(&r, T_OUT, 3, data, sizeof(data)), S_OK);
	expect_file(&r, 3, data, sizeof(data));
	q = req_make(&r, T_IN, 3, NULL, sizeof(data));
	assert_int_equal(req_run(&r, 0, &q), S_OK);
	assert_memory_equal(vdrv_ptr(&r.d, q.data), data, sizeof(data));
	assert_int_equal(run(&r, T_FLUSH, 0, NULL, 0), S_OK);
	assert_int_equal(run(&r, T_FLUSH_OUT, 99999, NULL, 0), S_OK);
	rig_close(&r);
}

static void
test_round_trip(void **state)
{
	for (int t = VDRV_LEGACY; t <= VDRV_MODERN; t++) {
		round_trip((enum vdrv_transport)t, "aio=threads");
		round_trip((enum vdrv_transport)t, "aio=io_uring");
		round_trip((enum vdrv_transport)t, "aio=threads,nocache=true");
	}
}

/* One buffer of [header data] and one of [data status], cut in pieces. */
static void
layout(struct rig *r, uint32_t type, uint32_t out_piece, uint32_t in_piece,
    bool indirect)
{
	struct req q = req_make(r, type, 8, NULL, 0);
	uint32_t out = type == T_OUT ? 16 + 512 : 16;
	uint32_t in = type == T_OUT ? 1 : 512 + 1;
	uint64_t o = vdrv_alloc(&r->d, out, 1), i = vdrv_alloc(&r->d, in, 1);
	uint8_t *data = (uint8_t *)vdrv_ptr(&r->d, type == T_OUT ? o + 16 : i);
	uint32_t used;

	memcpy(vdrv_ptr(&r->d, o), vdrv_ptr(&r->d, q.header), 16);
	if (type == T_OUT)
		pattern(data, 512, out_piece + in_piece);
	q.n = 0;
	for (uint32_t n = 0; n < out; n += out_piece)
		q.buf[q.n++] =
		    (struct vdrv_buf){ o + n, MIN(out_piece, out - n), false };
	for (uint32_t n = 0; n < in; n += in_piece)
		q.buf[q.n++] =
		    (struct vdrv_buf){ i + n, MIN(in_piece, in - n), true };
	q.status = i + in - 1;
	*(uint8_t *)vdrv_ptr(&r->d, q.status) = S_NONE;
	if (indirect)
		vdrv_add_indirect(&r->d, 0, q.buf, q.n);
	else
		vdrv_add(&r->d, 0, q.buf, q.n);
	vdrv_kick(&r->d, 0);
	vdrv_wait_used(&r->d, 0, &used);
	assert_int_equal(req_status(r, &q), S_OK);
	assert_int_equal(used, in);
	expect_file(r, 8, data, 512);
}

static void
layouts(enum vdrv_transport t)
{
	static const uint32_t pieces[] = { 1, 15, 16, 17, 100, 511, 512, 513,
		4096 };
	struct rig r;

	rig_open(&r, t, NULL, F_FLUSH | VDRV_F_INDIRECT, 1);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		uint32_t p = pieces[i];

		layout(&r, T_OUT, MAX(p, 15u), 1, false);
		layout(&r, T_OUT, MAX(p, 15u), 1, true);
		layout(&r, T_IN, p, 4096, false);
		layout(&r, T_IN, p, 257, true);
		layout(&r, T_IN, 16, MAX(p, 15u), true);
	}
	rig_close(&r);
}

static void
test_any_layout(void **state)
{
	both_transports(layouts);
}

static void
bounds(enum vdrv_transport t)
{
	static const struct {
		uint64_t sector;
		uint32_t len;
		uint8_t status;
	} cases[] = {
		{ DISK_SECTORS - 1, 512, S_OK },
		{ DISK_SECTORS - 8, 4096, S_OK },
		{ DISK_SECTORS - 7, 4096, S_IOERR },
		{ DISK_SECTORS, 512, S_IOERR },
		{ UINT64_MAX, 512, S_IOERR },
		{ UINT64_MAX / 512, 512, S_IOERR },
		{ UINT64_MAX / 512 + 1, 512, S_IOERR }, /* times 512: 0 */
		{ BIT64(63), 512, S_IOERR },
		{ 0, 511, S_IOERR },
		{ 0, 513, S_IOERR },
		{ 0, 1, S_IOERR },
		{ DISK_SECTORS, 0, S_OK }, /* nothing, just at the end */
		{ DISK_SECTORS + 1, 0, S_IOERR },
	};
	uint8_t data[4096];
	struct rig r;

	pattern(data, sizeof(data), 2);
	rig_open(&r, t, NULL, F_FLUSH, 1);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(
		    run(&r, T_IN, cases[i].sector, NULL, cases[i].len),
		    cases[i].status);
		assert_int_equal(
		    run(&r, T_OUT, cases[i].sector, data, cases[i].len),
		    cases[i].status);
	}
	rig_close(&r);
}

static void
test_bounds(void **state)
{
	both_transports(bounds);
}

/* The whole request counts, and its sum does not fit 32 bits. */
static void
test_sum_of_buffers(void **state)
{
	enum { PART = 8 << 20, N = 254 };
	static struct vdrv_buf buf[N + 2];
	struct rig r;
	uint32_t len;
	struct req q;

	rig_open(&r, VDRV_MODERN, NULL, F_FLUSH | VDRV_F_INDIRECT, 1);
	q = req_make(&r, T_OUT, 0, NULL, 0);
	buf[0] = q.buf[0];
	for (unsigned int i = 1; i <= N; i++)
		buf[i] = (struct vdrv_buf){ 0, PART, false };
	buf[N + 1] = q.buf[1];
	vdrv_add_indirect(&r.d, 0, buf, N + 2);
	vdrv_kick(&r.d, 0);
	vdrv_wait_used(&r.d, 0, &len);
	assert_int_equal(req_status(&r, &q), S_IOERR);
	/* Two parts, each inside the disk; together not. */
	q = req_make(&r, T_IN, DISK_SECTORS - 2, NULL, 1024);
	q.buf[3] = q.buf[2];
	q.buf[2] = q.buf[1];
	q.n = 4;
	assert_int_equal(req_run(&r, 0, &q), S_IOERR);
	rig_close(&r);
}

static void
test_large_sectors(void **state)
{
	uint8_t data[4096];
	struct rig r;

	pattern(data, sizeof(data), 3);
	rig_open(&r, VDRV_MODERN, "sectorsize=4096", F_FLUSH, 1);
	assert_int_equal(run(&r, T_OUT, 8, data, 4096), S_OK);
	expect_file(&r, 8, data, 4096);
	assert_int_equal(run(&r, T_OUT, 8, data, 512), S_IOERR);
	assert_int_equal(run(&r, T_OUT, 9, data, 4096), S_IOERR);
	rig_close(&r);
}

/* --- the other kinds ------------------------------------------------------ */

static void
test_get_id(void **state)
{
	static const uint32_t lens[] = { 20, 5, 1, 30, 0 };
	struct rig r;

	rig_open(&r, VDRV_MODERN, NULL, 0, 1);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		struct req q = req_make(&r, T_GET_ID, 7, NULL, lens[i]);
		char *id = q.data ? (char *)vdrv_ptr(&r.d, q.data) : NULL;

		assert_int_equal(req_run(&r, 0, &q), S_OK);
		if (lens[i] >= 6)
			assert_memory_equal(id, "BHYVE-", 6);
		if (lens[i] >= 20)
			assert_true(id[10] == '-' && id[15] == '-');
		if (lens[i] == 30)
			for (int n = 20; n < 30; n++)
				assert_int_equal(id[n], 0);
	}
	rig_close(&r);
}

static void
unknown(enum vdrv_transport t)
{
	static const uint32_t types[] = { 2, 3, 6, 7, 9, 10, 12, 14, 15, 26,
		0x100, 0x7fffffff };
	uint8_t data[512] = { 1 };
	struct rig r;

	rig_open(&r, t, NULL, F_FLUSH, 1);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		assert_int_equal(run(&r, types[i], 0, NULL, 512), S_UNSUPP);
		assert_int_equal(run(&r, types[i], 0, data, 512), S_UNSUPP);
	}
	/* Not negotiated. */
	assert_int_equal(run(&r, T_DISCARD, 0, data, 16), S_UNSUPP);
	assert_int_equal(run(&r, T_ZEROES, 0, data, 16), S_UNSUPP);
	/* The barrier flag of old drivers. */
	assert_int_equal(run(&r, T_OUT | 0x80000000, 0, data, 512),
	    t == VDRV_LEGACY ? S_OK : S_UNSUPP);
	rig_close(&r);
}

static void
test_unknown_types(void **state)
{
	both_transports(unknown);
}

static void
test_read_only(void **state)
{
	uint8_t data[512] = { 0 }, first[512];
	struct rig r;

	memset(first, 1, sizeof(first));
	rig_open(&r, VDRV_LEGACY, "ro=true", F_RO | F_FLUSH, 1);
	assert_int_equal(run(&r, T_OUT, 0, data, 512), S_IOERR);
	assert_int_equal(run(&r, T_IN, 0, NULL, 512), S_OK);
	assert_int_equal(run(&r, T_FLUSH, 0, NULL, 0), S_OK);
	assert_int_equal(run(&r, T_ZEROES, 0, data, 16), S_UNSUPP);
	expect_file(&r, 0, first, 512);
	rig_close(&r);
}

struct range {
	uint64_t sector;
	uint32_t n, flags;
};

/* Sectors [sector, sector+n) of the file are zero, the next is not. */
static void
expect_zeroed(struct rig *r, uint64_t sector, uint32_t n)
{
	uint8_t *zero = calloc(n, 512), next;

	expect_file(r, sector, zero, (size_t)n * 512);
	assert_int_equal(pread(r->fd, &next, 1, (off_t)(sector + n) * 512), 1);
	assert_true(next != 0);
	free(zero);
}

static void
ranges(uint32_t type, const char *settings)
{
	const uint8_t odd_flag = type == T_DISCARD ? S_UNSUPP : S_OK;
	struct range many[33];
	struct rig r;

	rig_open(&r, VDRV_MODERN, settings, F_FLUSH | F_DISCARD | F_ZEROES, 1);
	assert_int_equal(
	    run(&r, type, 0, &(struct range){ 8, 16, 0 }, 16), S_OK);
	expect_zeroed(&r, 8, 16);
	assert_int_equal(
	    run(&r, type, 0, &(struct range){ 40, 8, 1 }, 16), odd_flag);
	if (odd_flag == S_OK)
		expect_zeroed(&r, 40, 8);
	for (unsigned int i = 0; i < 33; i++)
		many[i] = (struct range){ 64 + i * 16, 8, 0 };
	assert_int_equal(run(&r, type, 0, many, 32 * 16), S_OK);
	for (unsigned int i = 0; i < 32; i++)
		expect_zeroed(&r, many[i].sector, 8);
	/* What is wrong changes nothing, the right ranges before it included.
	 */
	for (unsigned int i = 0; i < 33; i++)
		many[i].sector += 1024;
	assert_int_equal(run(&r, type, 0, many, 33 * 16), S_IOERR);
	many[31] = (struct range){ DISK_SECTORS - 7, 8, 0 };
	assert_int_equal(run(&r, type, 0, many, 32 * 16), S_IOERR);
	many[31] = (struct range){ UINT64_MAX, 8, 0 };
	assert_int_equal(run(&r, type, 0, many, 32 * 16), S_IOERR);
	many[31] = (struct range){ 0, 8, 2 };
	assert_int_equal(run(&r, type, 0, many, 32 * 16), S_UNSUPP);
	many[31] = (struct range){ 0, UINT32_MAX, 0 };
	assert_int_equal(run(&r, type, 0, many, 32 * 16), S_IOERR);
	assert_int_equal(run(&r, type, 0, many, 15), S_IOERR);
	assert_int_equal(run(&r, type, 0, many, 17), S_IOERR);
	assert_int_equal(run(&r, type, 0, NULL, 0), S_IOERR);
	expect_zeroed(&r, many[0].sector - 1, 0);
	expect_zeroed(&r, many[0].sector, 0);
	rig_close(&r);
}

static void
test_discard(void **state)
{
	ranges(T_DISCARD, "aio=threads");
	ranges(T_DISCARD, "aio=io_uring");
}

static void
test_write_zeroes(void **state)
{
	ranges(T_ZEROES, "aio=threads");
	ranges(T_ZEROES, "aio=io_uring");
}

static void
test_malformed(void **state)
{
	struct rig r;
	uint32_t len;
	struct req q;

	rig_open(&r, VDRV_MODERN, NULL, F_FLUSH, 1);
	for (int i = 0; i < 3; i++) {
		q = req_make(&r, T_FLUSH, 0, NULL, 0);
		if (i == 0)
			q.n = 1; /* no status */
		else if (i == 1)
			q.buf[0].len = 15;
		else
			memmove(q.buf, q.buf + 1, sizeof(q.buf[0])), q.n = 1;
		vdrv_add(&r.d, 0, q.buf, q.n);
		vdrv_kick(&r.d, 0);
		assert_true(vdrv_status(&r.d) & VDRV_NEEDS_RESET);
		assert_int_equal(vdrv_used(&r.d, 0, &len), -1);
		vdrv_open(&r.d, &r.m, VDRV_MODERN, F_FLUSH, 1);
		assert_int_equal(run(&r, T_FLUSH, 0, NULL, 0), S_OK);
	}
	rig_close(&r);
}

/* --- what is on the disk when ----------------------------------------------
 */

static unsigned int
flushes_of_a_write(const char *settings, uint64_t features, int writeback)
{
	struct range range = { 8, 8, 0 };
	uint8_t data[512] = { 1 };
	unsigned int n;
	struct rig r;

	rig_open(&r, VDRV_MODERN, settings, features, 1);
	if (writeback >= 0)
		vdrv_cfg_write(&r.d, 32, 1, (uint32_t)writeback);
	flushes = 0;
	assert_int_equal(run(&r, T_OUT, 0, data, 512), S_OK);
	n = flushes;
	if (features & F_ZEROES) {
		assert_int_equal(run(&r, T_ZEROES, 0, &range, 16), S_OK);
		assert_int_equal(flushes, 2 * n);
	}
	rig_close(&r);
	return n;
}

static void
test_write_through(void **state)
{
	const char *s = "aio=threads";

	assert_int_equal(flushes_of_a_write(s, F_FLUSH | F_ZEROES, -1), 0);
	/* A driver that cannot flush relies on us. */
	assert_int_equal(flushes_of_a_write(s, F_ZEROES, -1), 1);
	assert_int_equal(
	    flushes_of_a_write(s, F_FLUSH | F_WCE | F_ZEROES, -1), 0);
	assert_int_equal(
	    flushes_of_a_write(s, F_FLUSH | F_WCE | F_ZEROES, 0), 1);
	assert_int_equal(flushes_of_a_write(s, F_FLUSH | F_WCE, 1), 0);
	/* Without the feature the field is not there. */
	assert_int_equal(flushes_of_a_write(s, F_FLUSH, 0), 0);
	/* O_DSYNC has done it. */
	assert_int_equal(flushes_of_a_write("aio=threads,sync=true", 0, -1), 0);
}

static void
test_host_error(void **state)
{
	uint8_t data[512] = { 7 };
	struct rig r;

	rig_open(&r, VDRV_MODERN, NULL, F_FLUSH, 1);
	assert_int_equal(ftruncate(r.fd, DISK_BYTES / 2), 0);
	assert_int_equal(run(&r, T_IN, DISK_SECTORS - 1, NULL, 512), S_IOERR);
	assert_int_equal(run(&r, T_OUT, DISK_SECTORS - 1, data, 512), S_IOERR);
	assert_int_equal(run(&r, T_IN, 0, NULL, 512), S_OK);
	assert_int_equal(ftruncate(r.fd, DISK_BYTES), 0);
	assert_int_equal(run(&r, T_OUT, DISK_SECTORS - 1, data, 512), S_OK);
	expect_file(&r, DISK_SECTORS - 1, data, 512);
	rig_close(&r);
}

/* --- many at once --------------------------------------------------------- */

#define MANY 80u /* chains of three in a queue of 256 */

static void
add_many(struct rig *r, unsigned int queue, uint32_t type, struct req q[MANY])
{
	uint8_t data[4096];

	for (unsigned int i = 0; i < MANY; i++) {
		pattern(data, sizeof(data), i);
		q[i] = req_make(r, type, (queue * MANY + i) * 8,
		    type == T_OUT ? data : NULL, sizeof(data));
		vdrv_add(&r->d, queue, q[i].buf, q[i].n);
	}
	vdrv_kick(&r->d, queue);
}

static void
full_queues(const char *settings)
{
	static struct req q[3][MANY];
	uint8_t data[4096];
	unsigned int msis;
	struct rig r;
	uint32_t len;

	rig_open(&r, VDRV_MODERN, settings, F_FLUSH | F_MQ, 3);
	vdrv_msix_enable(&r.d, 3);
	for (unsigned int i = 0; i < 3; i++)
		add_many(&r, i, T_OUT, q[i]);
	for (unsigned int i = 0; i < 3; i++)
		for (unsigned int n = 0; n < MANY; n++) {
			vdrv_wait_used(&r.d, i, &len);
			assert_int_equal(S_OK,
			    n == MANY - 1 ? req_status(&r, &q[i][0]) : S_OK);
		}
	for (unsigned int i = 0; i < 3; i++)
		for (unsigned int n = 0; n < MANY; n++) {
			pattern(data, sizeof(data), n);
			assert_int_equal(req_status(&r, &q[i][n]), S_OK);
			expect_file(&r, (i * MANY + n) * 8, data, 4096);
		}
	(void)vdrv_status(&r.d); /* the last batch has let go of the lock */
	msis = r.m.b.msis;
	assert_true(msis >= 3 && msis <= 3 * MANY);
	/* Each queue has its own interrupt. */
	for (unsigned int i = 0; i < 3; i++) {
		struct req one = req_make(&r, T_IN, 0, NULL, 512);

		assert_int_equal(req_run(&r, i, &one), S_OK);
		(void)vdrv_status(&r.d);
		assert_int_equal(r.m.b.msis, msis + i + 1);
		assert_int_equal(r.m.b.msi_data, i + 1);
	}
	rig_close(&r);
}

static void
test_full_queues(void **state)
{
	full_queues("aio=threads,queues=4");
	full_queues("aio=io_uring,queues=4");
}

/* Afterwards guest memory is the guest's again, and the device works. */
static void
reset_in_flight(enum vdrv_transport t, const char *settings)
{
	static struct req q[MANY];
	struct rig r;

	rig_open(&r, t, settings, F_FLUSH, 1);
	for (unsigned int round = 0; round < 30; round++) {
		r.d.brk = 1 << 20;
		vdrv_open(&r.d, &r.m, t, F_FLUSH, 1);
		add_many(&r, 0, round % 2 ? T_IN : T_OUT, q);
		vdrv_reset(&r.d);
		memset(r.m.ram, 0xa5, VDRV_RAM);
		vm_event_poll(r.m.b.ctx, 1);
		for (unsigned int i = 0; i < VDRV_RAM; i += 61)
			assert_int_equal(r.m.ram[i], 0xa5);
	}
	vdrv_open(&r.d, &r.m, t, F_FLUSH, 1);
	assert_int_equal(run(&r, T_FLUSH, 0, NULL, 0), S_OK);
	add_many(&r, 0, T_OUT, q); /* and the end of the machine in flight */
	rig_close(&r);
}

static void
test_reset_in_flight(void **state)
{
	reset_in_flight(VDRV_LEGACY, "aio=threads");
	reset_in_flight(VDRV_MODERN, "aio=threads");
	reset_in_flight(VDRV_LEGACY, "aio=io_uring");
	reset_in_flight(VDRV_MODERN, "aio=io_uring");
}

static void
pause_in_flight(const char *settings)
{
	static struct req q[MANY];
	struct range range[32];
	struct snap *saved;
	struct req z;
	struct rig r;
	uint32_t len;

	for (unsigned int i = 0; i < 32; i++)
		range[i] = (struct range){ 1024 + i * 8, 8, 0 };
	rig_open(&r, VDRV_MODERN, settings, F_FLUSH | F_WCE | F_ZEROES, 1);
	vdrv_cfg_write(&r.d, 32, 1, 0);
	add_many(&r, 0, T_OUT, q);
	z = req_make(&r, T_ZEROES, 0, range, sizeof(range));
	vdrv_add(&r.d, 0, z.buf, z.n);
	vdrv_kick(&r.d, 0);
	chips_pause(r.m.b.ctx);
	/* All is given back, requests of many steps too. */
	for (unsigned int i = 0; i <= MANY; i++)
		assert_true(vdrv_used(&r.d, 0, &len) >= 0);
	assert_int_equal(req_status(&r, &z), S_OK);
	saved = board_save(&r.m.b);
	assert_int_equal(vdrv_cfg_read(&r.d, 32, 1), 0);
	chips_resume(r.m.b.ctx);
	vdrv_cfg_write(&r.d, 32, 1, 1);
	assert_int_equal(run(&r, T_FLUSH, 0, NULL, 0), S_OK);
	chips_pause(r.m.b.ctx);
	assert_int_equal(board_load(&r.m.b, board_spoil(board_save(&r.m.b),
						"writeback", 0, 2)),
	    -EINVAL);
	assert_int_equal(board_load(&r.m.b, saved), 0);
	chips_resume(r.m.b.ctx);
	assert_int_equal(vdrv_cfg_read(&r.d, 32, 1), 0);
	rig_close(&r);
}

static void
test_pause_in_flight(void **state)
{
	pause_in_flight("aio=threads");
	pause_in_flight("aio=io_uring");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_features_follow_settings),
		cmocka_unit_test(test_default_queues),
		cmocka_unit_test(test_read_ends_in_the_kick),
		cmocka_unit_test(test_wrong_settings),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_any_layout),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_sum_of_buffers),
		cmocka_unit_test(test_large_sectors),
		cmocka_unit_test(test_get_id),
		cmocka_unit_test(test_unknown_types),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_discard),
		cmocka_unit_test(test_write_zeroes),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_write_through),
		cmocka_unit_test(test_host_error),
		cmocka_unit_test(test_full_queues),
		cmocka_unit_test(test_reset_in_flight),
		cmocka_unit_test(test_pause_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
