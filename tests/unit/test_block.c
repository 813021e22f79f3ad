/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block backend on real files, once with each engine.  The linker puts our
 * __wrap_ functions between the backend and the C library: that is where hosts
 * that refuse, fail or do half of what they were asked come from.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/loop.h>
#include <liburing.h>

#include <backend/block.h>
#include <util/log.h>
#include <util/util.h>

#define KIB 1024u
#define MIB (1024u * KIB)

/* --- the host between ------------------------------------------------------
 */

static struct {
	_Atomic size_t most;	    /* bytes a call moves; 0: all */
	_Atomic int interrupts;	    /* EINTR so many times */
	_Atomic int rw_error;	    /* of reads and writes */
	_Atomic int flush_error;    /* of fdatasync */
	_Atomic int falloc_refused; /* EOPNOTSUPP for modes in this mask */
	_Atomic unsigned int flushes, calls;
	_Atomic bool zero_stuck; /* fallocate takes long */
	_Atomic bool no_uring;
	/* What cannot wait: asked, refused with this, only so many bytes. */
	_Atomic unsigned int now_calls;
	_Atomic int now_error;
	_Atomic size_t now_most;
	long waits; /* by the thread that kicks; 0: what it really did */
} host;

ssize_t __real_preadv64(int, const struct iovec *, int, off_t);
ssize_t __real_pwritev64(int, const struct iovec *, int, off_t);
int __real_fdatasync(int);
int __real_getrusage(__rusage_who_t, struct rusage *);
int __real_fallocate64(int, int, off_t, off_t);
int __real_io_uring_queue_init(unsigned int, struct io_uring *, unsigned int);
ssize_t __wrap_preadv64(int, const struct iovec *, int, off_t);
ssize_t __wrap_pwritev64(int, const struct iovec *, int, off_t);
ssize_t __wrap_preadv64v2(int, const struct iovec *, int, off_t, int);
ssize_t __wrap_pwritev64v2(int, const struct iovec *, int, off_t, int);
int __wrap_fdatasync(int);
int __wrap_getrusage(__rusage_who_t, struct rusage *);
int __wrap_fallocate64(int, int, off_t, off_t);
int __wrap_io_uring_queue_init(unsigned int, struct io_uring *, unsigned int);

/* True when the call fails; else *one is what to move, when it is less. */
static bool
host_interferes(const struct iovec *iov, struct iovec *one)
{
	host.calls++;
	if (host.interrupts > 0) {
		host.interrupts--;
		errno = EINTR;
		return true;
	}
	if (host.rw_error != 0) {
		errno = host.rw_error;
		return true;
	}
	*one = iov[0];
	if (host.most != 0 && one->iov_len > host.most)
		one->iov_len = host.most;
	return false;
}

ssize_t
__wrap_preadv64(int fd, const struct iovec *iov, int n, off_t off)
{
	struct iovec one;

	if (host_interferes(iov, &one))
		return -1;
	if (host.most != 0)
		return __real_preadv64(fd, &one, 1, off);
	return __real_preadv64(fd, iov, n, off);
}

ssize_t
__wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t off)
{
	struct iovec one;

	if (host_interferes(iov, &one))
		return -1;
	if (host.most != 0)
		return __real_pwritev64(fd, &one, 1, off);
	return __real_pwritev64(fd, iov, n, off);
}

/*
 * Not every file system has RWF_NOWAIT, and none promises to have the data: a
 * host that always has them, unless the test says otherwise.
 */
static bool
host_now_interferes(const struct iovec *iov, struct iovec *one, int flags)
{
	assert_int_equal(flags, RWF_NOWAIT);
	host.now_calls++;
	*one = iov[0];
	if (host.now_most != 0 && one->iov_len > host.now_most)
		one->iov_len = host.now_most;
	errno = host.now_error;
	return host.now_error != 0;
}

ssize_t
__wrap_preadv64v2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	struct iovec one;

	if (host_now_interferes(iov, &one, flags))
		return -1;
	if (host.now_most != 0)
		return __real_preadv64(fd, &one, 1, off);
	return __real_preadv64(fd, iov, n, off);
}

ssize_t
__wrap_pwritev64v2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	struct iovec one;

	if (host_now_interferes(iov, &one, flags))
		return -1;
	if (host.now_most != 0)
		return __real_pwritev64(fd, &one, 1, off);
	return __real_pwritev64(fd, iov, n, off);
}

int
__wrap_fdatasync(int fd)
{
	host.flushes++;
	if (host.flush_error == 0)
		return __real_fdatasync(fd);
	errno = host.flush_error;
	return -1;
}

int
__wrap_getrusage(__rusage_who_t who, struct rusage *ru)
{
	int err = __real_getrusage(who, ru);

	if (err == 0 && host.waits != 0)
		ru->ru_nvcsw = host.waits;
	return err;
}

int
__wrap_fallocate64(int fd, int mode, off_t off, off_t len)
{
	while (host.zero_stuck)
		usleep(1000);
	if (!(mode & host.falloc_refused))
		return __real_fallocate64(fd, mode, off, len);
	errno = EOPNOTSUPP;
	return -1;
}

int
__wrap_io_uring_queue_init(
    unsigned int depth, struct io_uring *ring, unsigned int flags)
{
	if (host.no_uring)
		return -EPERM;
	return __real_io_uring_queue_init(depth, ring, flags);
}

/* --- one disk ------------------------------------------------------------- */

struct disk {
	const char *engine;
	char path[64];
	struct block_opts opts;
	struct blockdev *dev;
	int fd; /* our own look at the file */
	pthread_mutex_t m;
	pthread_cond_t c;
	unsigned int batches;
};

static _Atomic unsigned int log_lines;
static char log_last[512];

static void
log_sink(enum log_level level, const char *line)
{
	if (level == LOG_DEBUG)
		return;
	log_lines++;
	snprintf(log_last, sizeof(log_last), "%s", line);
}

static void
disk_batch(void *arg)
{
	struct disk *d = arg;

	pthread_mutex_lock(&d->m);
	d->batches++;
	pthread_mutex_unlock(&d->m);
}

static struct disk *
disk_create(const char *engine, uint64_t bytes)
{
	struct disk *d = xcalloc(1, sizeof(*d));

	memset(&host, 0, sizeof(host));
	log_lines = 0;
	log_set_sink(log_sink);
	d->engine = engine;
	strcpy(d->path, "/var/tmp/bhyve-block.XXXXXX");
	d->fd = mkstemp(d->path);
	assert_true(d->fd >= 0);
	assert_int_equal(ftruncate(d->fd, (off_t)bytes), 0);
	pthread_mutex_init(&d->m, NULL);
	pthread_cond_init(&d->c, NULL);
	d->opts = (struct block_opts){
		.path = d->path,
		.engine = engine,
		.batch_done = disk_batch,
		.arg = d,
	};
	return d;
}

static void
disk_open(struct disk *d)
{
	char err[300] = "";

	if (block_open(&d->opts, &d->dev, err, sizeof(err)) != 0) {
		/* A container may refuse io_uring: then it is not tested. */
		if (strcmp(d->engine, "io_uring") == 0 &&
		    strstr(err, ": io_uring: ") != NULL)
			skip();
		fail_msg("%s", err);
	}
	assert_string_equal(block_info(d->dev)->engine, d->engine);
}

static void
disk_destroy(struct disk *d)
{
	block_close(d->dev);
	close(d->fd);
	unlink(d->path);
	pthread_mutex_destroy(&d->m);
	pthread_cond_destroy(&d->c);
	free(d);
	log_set_sink(NULL);
}

static struct disk *
disk_new(void **state, uint64_t bytes)
{
	struct disk *d = disk_create(*state, bytes);

	disk_open(d);
	return d;
}

/* Expect the opening to fail; the message. */
static const char *
disk_refused(struct disk *d, int error)
{
	static char err[400];

	err[0] = '\0';
	d->dev = NULL;
	assert_int_equal(
	    block_open(&d->opts, &d->dev, err, sizeof(err)), error);
	assert_null(d->dev);
	assert_memory_equal(err, d->opts.path, strlen(d->opts.path));
	return err;
}

/* --- one request ---------------------------------------------------------- */

struct io {
	struct block_req req;
	struct disk *disk;
	bool done;
	int error;
};

static void
io_done(struct block_req *req, int error)
{
	struct io *io = container_of(req, struct io, req);
	struct disk *d = io->disk;

	pthread_mutex_lock(&d->m);
	assert_false(io->done);
	io->done = true;
	io->error = error;
	pthread_cond_broadcast(&d->c);
	pthread_mutex_unlock(&d->m);
}

static void
io_submit(struct disk *d, struct io *io)
{
	io->disk = d;
	io->done = false;
	io->req.done = io_done;
	block_submit(d->dev, &io->req);
}

static int
io_wait(struct disk *d, struct io *io)
{
	pthread_mutex_lock(&d->m);
	while (!io->done)
		pthread_cond_wait(&d->c, &d->m);
	pthread_mutex_unlock(&d->m);
	return io->error;
}

static int
io_vec(struct disk *d, enum block_op op, uint64_t off, const struct iovec *iov,
    unsigned int niov)
{
	struct io io = { .req = {
			     .op = op, .off = off, .iov = iov, .niov = niov } };

	for (unsigned int i = 0; i < niov; i++)
		io.req.len += iov[i].iov_len;
	io_submit(d, &io);
	block_kick(d->dev);
	return io_wait(d, &io);
}

static int
io_buf(struct disk *d, enum block_op op, uint64_t off, void *buf, size_t len)
{
	struct iovec iov = { buf, len };

	return io_vec(d, op, off, &iov, 1);
}

/* Flush, discard, zeroes. */
static int
io_range(
    struct disk *d, enum block_op op, uint64_t off, uint64_t len, bool unmap)
{
	struct io io = {
		.req = { .op = op, .off = off, .len = len, .unmap = unmap }
	};

	io_submit(d, &io);
	block_kick(d->dev);
	return io_wait(d, &io);
}

static void
fill(uint8_t *buf, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		buf[i] = (uint8_t)(seed >> 24 | 1); /* never 0 */
	}
}

static bool
all_zero(const uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (buf[i] != 0)
			return false;
	return true;
}

/* --- tests: reading and writing ------------------------------------------- */

static void
test_roundtrip(void **state)
{
	struct disk *d = disk_new(state, MIB);
	uint8_t *out = malloc(8192), *in = malloc(8192), file[8192];
	/* Parts of any size, as guests make them. */
	struct iovec parts[] = { { in, 1 }, { in + 1, 510 }, { in + 511, 1 },
		{ in + 512, 3 }, { in + 515, 0 }, { in + 515, 7677 } };

	fill(out, 8192, 1);
	assert_int_equal(io_buf(d, BLOCK_WRITE, 512, out, 8192), 0);
	assert_int_equal(pread(d->fd, file, sizeof(file), 512), sizeof(file));
	assert_memory_equal(file, out, sizeof(file));
	assert_int_equal(io_vec(d, BLOCK_READ, 512, parts, 6), 0);
	assert_memory_equal(in, out, 8192);
	/* The last sector; nothing at all. */
	assert_int_equal(io_buf(d, BLOCK_WRITE, MIB - 512, out, 512), 0);
	assert_int_equal(io_buf(d, BLOCK_READ, MIB - 512, in, 512), 0);
	assert_memory_equal(in, out, 512);
	assert_int_equal(io_buf(d, BLOCK_READ, MIB, in, 0), 0);
	assert_int_equal(log_lines, 0);
	free(out);
	free(in);
	disk_destroy(d);
}

static void
test_many_parts(void **state)
{
	enum { N = 3000, PART = 512 };
	struct disk *d = disk_new(state, 4 * MIB);
	struct iovec *iov = calloc(N, sizeof(*iov));
	uint8_t *out = malloc(N * PART), *in = malloc(N * PART);

	fill(out, N * PART, 2);
	for (unsigned int i = 0; i < N; i++)
		iov[i] = (struct iovec){ out + i * PART, PART };
	assert_int_equal(io_vec(d, BLOCK_WRITE, 0, iov, N), 0);
	assert_int_equal(io_buf(d, BLOCK_READ, 0, in, N * PART), 0);
	assert_memory_equal(in, out, N * PART);
	memset(in, 0, N * PART);
	for (unsigned int i = 0; i < N; i++)
		iov[i].iov_base = in + i * PART;
	assert_int_equal(io_vec(d, BLOCK_READ, 0, iov, N), 0);
	assert_memory_equal(in, out, N * PART);
	free(out);
	free(in);
	free(iov);
	disk_destroy(d);
}

static void
test_wrong_requests(void **state)
{
	static const struct {
		uint64_t off, len;
	} bad[] = {
		{ MIB, 512 },
		{ MIB - 512, 1024 },
		{ UINT64_MAX - 511, 512 },
		{ UINT64_MAX - 511, UINT64_MAX - 511 },
		{ 0, UINT64_MAX - 511 },
		{ 1, 512 },
		{ 0, 511 },
	};
	struct disk *d = disk_new(state, MIB);
	uint8_t buf[1024] = { 0 };
	struct iovec iov = { buf, sizeof(buf) };
	struct io io = { .req = { .op = BLOCK_READ, .iov = &iov, .niov = 1 } };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		for (int op = BLOCK_READ; op <= BLOCK_WRITE_ZEROES; op++) {
			io.req.op = (enum block_op)op;
			io.req.off = bad[i].off;
			io.req.len = bad[i].len;
			if (op == BLOCK_FLUSH)
				continue;
			iov.iov_len = bad[i].len; /* never touched */
			io_submit(d, &io);
			block_kick(d->dev);
			assert_int_equal(io_wait(d, &io), -EINVAL);
		}
	/* Buffers that are not the length. */
	io.req = (struct block_req){
		.op = BLOCK_READ, .len = 512, .iov = &iov, .niov = 1
	};
	for (iov.iov_len = 0; iov.iov_len <= 1024; iov.iov_len += 511) {
		io_submit(d, &io);
		block_kick(d->dev);
		assert_int_equal(io_wait(d, &io), -EINVAL);
	}
	assert_int_equal(log_lines, 0); /* the guest's business */
	disk_destroy(d);
}

static void
test_flush(void **state)
{
	struct disk *d = disk_new(state, MIB);
	bool threads = strcmp(d->engine, "threads") == 0;

	assert_int_equal(io_range(d, BLOCK_FLUSH, 0, 0, false), 0);
	assert_int_equal(host.flushes, threads ? 1 : 0);
	if (threads) {
		host.flush_error = EIO;
		assert_int_equal(io_range(d, BLOCK_FLUSH, 0, 0, false), -EIO);
		/* The kernel tells it once; asking again would hide it. */
		assert_int_equal(host.flushes, 2);
		assert_int_equal(log_lines, 1);
	}
	disk_destroy(d);
}

static void
test_sync_zeroes_are_flushed(void **state)
{
	struct disk *d = disk_create(*state, MIB);

	d->opts.sync = true;
	disk_open(d);
	assert_int_equal(io_range(d, BLOCK_WRITE_ZEROES, 0, 4096, true), 0);
	assert_int_equal(host.flushes, 1);
	disk_destroy(d);
}

/* Whatever piecemeal and interrupted calls the host offers: all is done. */
static void
test_short_calls(void **state)
{
	struct disk *d = disk_create(*state, MIB);
	uint8_t *out = malloc(64 * KIB + 1), *in = malloc(64 * KIB + 1);

	/* Unaligned buffers take the way of system calls in both engines. */
	d->opts.nocache = true;
	disk_open(d);
	fill(out, 64 * KIB + 1, 3);
	host.most = 4096;
	host.interrupts = 3;
	assert_int_equal(io_buf(d, BLOCK_WRITE, 4096, out + 1, 64 * KIB), 0);
	assert_int_equal(host.interrupts, 0);
	assert_true(host.calls >= 16 + 3);
	host.interrupts = 3;
	assert_int_equal(io_buf(d, BLOCK_READ, 4096, in + 1, 64 * KIB), 0);
	assert_memory_equal(in + 1, out + 1, 64 * KIB);
	host.rw_error = EIO;
	assert_int_equal(io_buf(d, BLOCK_READ, 4096, in + 1, 64 * KIB), -EIO);
	host.rw_error = ENOSPC;
	for (int i = 0; i < 3; i++)
		assert_int_equal(
		    io_buf(d, BLOCK_WRITE, 4096, in + 1, 64 * KIB), -ENOSPC);
	host.rw_error = 0;
	assert_int_equal(log_lines, 2); /* once a kind */
	assert_non_null(strstr(log_last, "No space left"));
	assert_non_null(strstr(log_last, d->path));
	assert_int_equal(io_buf(d, BLOCK_READ, 0, in, 512), 0);
	free(out);
	free(in);
	disk_destroy(d);
}

static void
test_nocache(void **state)
{
	struct disk *d = disk_create(*state, MIB);
	size_t len = 300 * KIB; /* more than a bounce buffer */
	uint8_t *out = NULL, *in = malloc(len + 3);

	assert_int_equal(posix_memalign((void **)&out, 4096, len), 0);
	d->opts.nocache = true;
	disk_open(d);
	assert_true(block_info(d->dev)->align >= 512);
	fill(out, len, 4);
	assert_int_equal(io_buf(d, BLOCK_WRITE, 8192, out, len), 0);
	assert_int_equal(host.calls, strcmp(d->engine, "threads") == 0 ? 1 : 0);
	for (unsigned int shift = 1; shift <= 3; shift++) {
		struct iovec iov[] = { { in + shift, 1 },
			{ in + shift + 1, 1000 },
			{ in + shift + 1001, len - 1001 } };

		memset(in, 0, len);
		assert_int_equal(io_vec(d, BLOCK_READ, 8192, iov, 3), 0);
		assert_memory_equal(in + shift, out, len);
		assert_int_equal(io_vec(d, BLOCK_WRITE, 512 * KIB, iov, 3), 0);
		assert_int_equal(
		    pread(d->fd, in, len, 512 * KIB), (ssize_t)len);
		assert_memory_equal(in, out, len);
	}
	free(out);
	free(in);
	disk_destroy(d);
}

/* --- tests: holes --------------------------------------------------------- */

static blkcnt_t
blocks_of(struct disk *d)
{
	struct stat st;

	fsync(d->fd);
	assert_int_equal(fstat(d->fd, &st), 0);
	assert_int_equal(st.st_size, MIB);
	return st.st_blocks;
}

static void
fill_disk(struct disk *d, uint8_t *buf)
{
	fill(buf, MIB, 5);
	assert_int_equal(io_buf(d, BLOCK_WRITE, 0, buf, MIB), 0);
}

/* Exactly [off, off+len) is zero and the rest is as `buf` says. */
static void
check_zeroed(struct disk *d, const uint8_t *buf, size_t off, size_t len)
{
	uint8_t *in = malloc(MIB);

	assert_int_equal(io_buf(d, BLOCK_READ, 0, in, MIB), 0);
	assert_memory_equal(in, buf, off);
	assert_true(all_zero(in + off, len));
	assert_memory_equal(in + off + len, buf + off + len, MIB - off - len);
	free(in);
}

static void
test_discard(void **state)
{
	struct disk *d = disk_new(state, MIB);
	uint8_t *buf = malloc(MIB);
	blkcnt_t before;

	if (!block_info(d->dev)->can_discard)
		skip();
	fill_disk(d, buf);
	before = blocks_of(d);
	assert_int_equal(
	    io_range(d, BLOCK_DISCARD, 64 * KIB, 512 * KIB, false), 0);
	assert_true(blocks_of(d) <= before - 2 * 448);
	check_zeroed(d, buf, 64 * KIB, 512 * KIB);
	assert_int_equal(io_range(d, BLOCK_DISCARD, 0, 0, false), 0);
	assert_int_equal(io_range(d, BLOCK_DISCARD, 0, MIB, false), 0);
	check_zeroed(d, buf, 0, MIB);
	free(buf);
	disk_destroy(d);
}

static void
test_nodelete(void **state)
{
	struct disk *d = disk_create(*state, MIB);
	uint8_t *buf = malloc(MIB);
	blkcnt_t before;

	d->opts.nodelete = true;
	disk_open(d);
	assert_false(block_info(d->dev)->can_discard);
	fill_disk(d, buf);
	before = blocks_of(d);
	assert_int_equal(
	    io_range(d, BLOCK_DISCARD, 0, 4096, false), -EOPNOTSUPP);
	check_zeroed(d, buf, 0, 0);
	assert_int_equal(
	    io_range(d, BLOCK_WRITE_ZEROES, 0, 512 * KIB, true), 0);
	assert_true(blocks_of(d) >= before);
	check_zeroed(d, buf, 0, 512 * KIB);
	free(buf);
	disk_destroy(d);
}

static void
test_zeroes(void **state)
{
	static const int refused[] = { 0, FALLOC_FL_PUNCH_HOLE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE };

	/* Whatever the file system has, zeroes are zeroes. */
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		for (int unmap = 0; unmap <= 1; unmap++) {
			struct disk *d = disk_create(*state, MIB);
			uint8_t *buf = malloc(MIB);

			host.falloc_refused = refused[i];
			disk_open(d);
			assert_int_equal(block_info(d->dev)->can_zero,
			    !(refused[i] & FALLOC_FL_PUNCH_HOLE));
			fill_disk(d, buf);
			host.most = 7777;
			assert_int_equal(io_range(d, BLOCK_WRITE_ZEROES, 512,
					     900 * KIB + 512, unmap),
			    0);
			host.most = 0;
			check_zeroed(d, buf, 512, 900 * KIB + 512);
			free(buf);
			disk_destroy(d);
		}
}

/* --- tests: what goes wrong at run time ----------------------------------- */

static void
test_shrunk_file(void **state)
{
	struct disk *d = disk_new(state, MIB);
	uint8_t buf[4096];
	struct stat st;

	fill(buf, sizeof(buf), 6);
	assert_int_equal(ftruncate(d->fd, 256 * KIB), 0);
	assert_int_equal(
	    io_buf(d, BLOCK_READ, 512 * KIB, buf, sizeof(buf)), -EIO);
	assert_int_equal(
	    io_buf(d, BLOCK_READ, 256 * KIB - 512, buf, 1024), -EIO);
	assert_int_equal(io_buf(d, BLOCK_READ, 128 * KIB, buf, sizeof(buf)), 0);
	assert_int_equal(
	    io_buf(d, BLOCK_WRITE, 512 * KIB, buf, sizeof(buf)), -EIO);
	assert_int_equal(
	    io_range(d, BLOCK_WRITE_ZEROES, 512 * KIB, 4096, false), -EIO);
	assert_int_equal(io_range(d, BLOCK_FLUSH, 0, 0, false), 0);
	assert_int_equal(fstat(d->fd, &st), 0);
	assert_int_equal(st.st_size, 256 * KIB);
	assert_int_equal(log_lines, 3); /* read, write, zeroes: once each */
	disk_destroy(d);
}

/* A file limit stands in for a full disk, which needs root. */
static void
test_file_too_large(void **state)
{
	struct rlimit old, small = { .rlim_cur = 512 * KIB };
	struct disk *d = disk_new(state, MIB);
	uint8_t *buf = malloc(64 * KIB);
	int error[2], at_end;

	fill(buf, 64 * KIB, 7);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (int i = 0; i < 2; i++)
		error[i] = io_buf(d, BLOCK_WRITE, 768 * KIB, buf, 64 * KIB);
	/* Half of it fits: that is not success. */
	at_end = io_buf(d, BLOCK_WRITE, 496 * KIB, buf, 64 * KIB);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(error[0], -EFBIG);
	assert_int_equal(error[1], -EFBIG);
	assert_int_equal(at_end, -EFBIG);
	assert_int_equal(log_lines, 1);
	assert_int_equal(io_buf(d, BLOCK_WRITE, 768 * KIB, buf, 64 * KIB), 0);
	free(buf);
	disk_destroy(d);
}

/* --- tests: many at once -------------------------------------------------- */

/* --- tests: what the kick itself brings to an end ------------------------- */

static struct disk *
disk_now(void **state, struct block_opts how)
{
	struct disk *d = disk_create(*state, MIB);

	d->opts.kick_completes = true;
	d->opts.nocache = how.nocache;
	d->opts.sync = how.sync;
	disk_open(d);
	return d;
}

/* Whether the kick did it; it is done right in any case. */
static bool
now_rw(struct disk *d, enum block_op op)
{
	uint8_t buf[3 * 4096] __attribute__((aligned(4096)));
	uint8_t file[sizeof(buf)], was[sizeof(buf)];
	struct iovec iov[2] = { { buf, 4096 }, { buf + 4096, 8192 } };
	struct io io = {
		.req = { .op = op,
		    .off = 8192,
		    .len = sizeof(buf),
		    .iov = iov,
		    .niov = 2 },
	};
	static uint32_t seed;
	bool now;

	fill(buf, sizeof(buf), ++seed);
	fill(was, sizeof(was), ++seed);
	assert_int_equal(
	    pwrite(d->fd, was, sizeof(was), 8192), (ssize_t)sizeof(was));
	io_submit(d, &io);
	now = block_kick(d->dev);
	if (now)
		assert_true(io.done);
	assert_int_equal(io_wait(d, &io), 0);
	assert_int_equal(
	    pread(d->fd, file, sizeof(file), 8192), (ssize_t)sizeof(file));
	assert_memory_equal(file, buf, sizeof(buf));
	assert_true(op == BLOCK_READ ? !memcmp(file, was, sizeof(was))
				     : memcmp(file, was, sizeof(was)) != 0);
	return now;
}

static void
test_now(void **state)
{
	struct disk *d = disk_now(state, (struct block_opts){ 0 });

	for (int i = 0; i < 20; i++) {
		assert_true(now_rw(d, BLOCK_READ));
		assert_true(now_rw(d, BLOCK_WRITE));
	}
	assert_int_equal(host.now_calls, 40);
	assert_int_equal(host.calls, 0);
	block_drain(d->dev);
	block_close(d->dev);
	d->dev = NULL;
	assert_int_equal(d->batches, 0);
	disk_destroy(d);
}

/* A part was there: nothing is reported, and the rest is fetched. */
static void
test_now_a_part(void **state)
{
	struct disk *d = disk_now(state, (struct block_opts){ 0 });

	host.now_most = 512;
	assert_false(now_rw(d, BLOCK_READ));
	assert_false(now_rw(d, BLOCK_WRITE));
	disk_destroy(d);
}

static void
test_now_would_wait(void **state)
{
	struct disk *d = disk_now(state, (struct block_opts){ 0 });

	host.now_error = EAGAIN;
	for (unsigned int i = 1; i < 10; i++) {
		assert_false(now_rw(d, BLOCK_READ));
		assert_int_equal(host.now_calls, i); /* asked each time */
	}
	host.now_error = EIO; /* an engine has the last word on errors */
	assert_false(now_rw(d, BLOCK_WRITE));
	host.now_error = 0;
	assert_true(now_rw(d, BLOCK_READ));
	disk_destroy(d);
}

static void
test_now_refused(void **state)
{
	struct disk *d = disk_now(state, (struct block_opts){ 0 });

	host.now_error = EOPNOTSUPP;
	assert_false(now_rw(d, BLOCK_WRITE));
	host.now_error = 0;
	assert_false(now_rw(d, BLOCK_WRITE));
	assert_int_equal(host.now_calls, 1);
	assert_int_equal(host.calls, 2); /* by a thread of ours, not the ring */
	assert_true(now_rw(d, BLOCK_READ)); /* which is another question */
	disk_destroy(d);
}

/* Where "without waiting" would wait all the same. */
static void
test_now_is_not_for(void **state)
{
	struct disk *d = disk_now(state, (struct block_opts){ .sync = true });

	assert_false(now_rw(d, BLOCK_WRITE));
	assert_true(now_rw(d, BLOCK_READ));
	disk_destroy(d);
	d = disk_now(state, (struct block_opts){ .nocache = true });
	assert_false(now_rw(d, BLOCK_WRITE));
	assert_false(now_rw(d, BLOCK_READ));
	assert_int_equal(io_range(d, BLOCK_FLUSH, 0, 0, false), 0);
	assert_int_equal(host.now_calls, 0);
	disk_destroy(d);
}

/* A file that was cut off gets no new end from here either. */
static void
test_now_shrunk(void **state)
{
	struct disk *d = disk_now(state, (struct block_opts){ 0 });
	uint8_t buf[512] = { 0 };

	assert_int_equal(ftruncate(d->fd, MIB / 2), 0);
	assert_int_equal(io_buf(d, BLOCK_WRITE, MIB - 512, buf, 512), -EIO);
	assert_int_equal(io_buf(d, BLOCK_READ, MIB - 512, buf, 512), -EIO);
	assert_int_equal(lseek(d->fd, 0, SEEK_END), MIB / 2);
	disk_destroy(d);
}

static bool
now_long(struct disk *d, struct io *io, void *buf, struct iovec *iov)
{
	*iov = (struct iovec){ buf, 128 * KIB };
	io->req = (struct block_req){
		.op = BLOCK_READ, .len = iov->iov_len, .iov = iov, .niov = 1
	};
	io_submit(d, io);
	return block_kick(d->dev);
}

/* Long ones end in the kick for who waits for each, but for one in sixteen. */
static void
test_now_long_alone(void **state)
{
	struct disk *d = disk_now(state, (struct block_opts){ 0 });
	void *buf = malloc(128 * KIB);
	struct iovec iov;
	struct io io;

	for (unsigned int i = 1; i <= 50; i++) {
		assert_int_equal(
		    now_long(d, &io, buf, &iov), i > 4 && i % 16 != 0);
		usleep(1000); /* io_wait() need not wait */
		assert_int_equal(io_wait(d, &io), 0);
		block_drain(d->dev);
	}
	free(buf);
	disk_destroy(d);
}

/*
 * Nor for who is busy until the next, though each is done by then; it is found
 * out about who waited before.
 */
static void
test_now_long_busy(void **state)
{
	enum { N = 200 };
	struct disk *d = disk_now(state, (struct block_opts){ 0 });
	void *buf = malloc(128 * KIB);
	unsigned int now = 0;
	struct iovec iov;
	struct io io;

	host.waits = 1; /* a busy host makes any thread wait */
	for (unsigned int i = 0; i < N; i++) {
		now += now_long(d, &io, buf, &iov) && i >= N / 2;
		host.waits += i < N / 4;
		assert_int_equal(io_wait(d, &io), 0);
	}
	assert_int_equal(now, 0);
	block_drain(d->dev);
	free(buf);
	disk_destroy(d);
}

/* Not while others are under way, and the short are not held up. */
static void
test_now_long_together(void **state)
{
	enum { N = 40 };
	struct disk *d = disk_now(state, (struct block_opts){ 0 });
	char *buf = malloc(N * 128 * KIB);
	struct iovec *iov = calloc(N, sizeof(*iov));
	struct io *io = calloc(N, sizeof(*io));

	for (unsigned int i = 0; i < 10; i++) {
		(void)now_long(d, &io[0], buf, &iov[0]);
		assert_int_equal(io_wait(d, &io[0]), 0);
		block_drain(d->dev);
	}
	host.zero_stuck = true;
	io[0].req = (struct block_req){
		.op = BLOCK_WRITE_ZEROES, .off = MIB - 512, .len = 512
	};
	io_submit(d, &io[0]);
	assert_false(block_kick(d->dev));
	for (unsigned int i = 1; i < N; i++)
		assert_false(now_long(d, &io[i], buf + i * 128 * KIB, &iov[i]));
	assert_true(now_rw(d, BLOCK_READ));
	host.zero_stuck = false;
	for (unsigned int i = 0; i < N; i++)
		assert_int_equal(io_wait(d, &io[i]), 0);
	free(buf);
	free(iov);
	free(io);
	disk_destroy(d);
}

/* Wrong ones, and a mix of what ends now and what does not. */
static void
test_now_mixed(void **state)
{
	enum { N = 64 };
	struct disk *d = disk_now(state, (struct block_opts){ 0 });
	struct io *io = calloc(N, sizeof(*io));
	uint8_t buf[512] = { 0 };
	struct iovec iov = { buf, sizeof(buf) };
	bool now;

	for (unsigned int i = 0; i < N; i++) {
		io[i].req = (struct block_req){
			.op = i % 4 == 0 ? BLOCK_FLUSH : BLOCK_WRITE,
			.off = i % 4 == 1 ? MIB : i * 512,
			.len = 512,
			.iov = &iov,
			.niov = 1,
		};
		io_submit(d, &io[i]);
	}
	now = block_kick(d->dev);
	assert_true(now);
	for (unsigned int i = 0; i < N; i++)
		assert_int_equal(io_wait(d, &io[i]), i % 4 == 1 ? -EINVAL : 0);
	assert_int_equal(host.now_calls, N / 2);
	free(io);
	disk_destroy(d);
}

static void
test_more_than_depth(void **state)
{
	enum { N = 1000 };
	struct disk *d = disk_new(state, MIB);
	struct io *io = calloc(N, sizeof(*io));
	uint8_t *buf = malloc(N * 512), *want = calloc(1, MIB);
	struct iovec *iov = calloc(N, sizeof(*iov));

	fill(buf, N * 512, 8);
	for (unsigned int i = 0; i < N; i++) {
		iov[i] = (struct iovec){ buf + i * 512, 512 };
		io[i].req = (struct block_req){ .op = BLOCK_WRITE,
			.off = i * 512,
			.len = 512,
			.iov = &iov[i],
			.niov = 1 };
		io_submit(d, &io[i]);
	}
	block_kick(d->dev);
	for (unsigned int i = 0; i < N; i++)
		assert_int_equal(io_wait(d, &io[i]), 0);
	memcpy(want, buf, N * 512);
	check_zeroed(d, want, MIB, 0);
	block_close(d->dev);
	d->dev = NULL;
	assert_true(d->batches > 0 && d->batches <= N + 1);
	free(want);
	free(buf);
	free(iov);
	free(io);
	disk_destroy(d);
}

/*
 * Callbacks want a lock that the drain's caller has: all threads of the backend
 * get stuck in them, and the drain must come to its end all the same.
 */
static void
test_drain_with_callbacks_stuck(void **state)
{
	enum { N = 300, EACH = 4096 };
	struct disk *d = disk_new(state, 2 * MIB);
	struct io *io = calloc(N, sizeof(*io));
	uint8_t *buf = malloc(N * EACH), *file = malloc(N * EACH);
	struct iovec *iov = calloc(N, sizeof(*iov));

	for (unsigned int round = 0; round < 20; round++) {
		fill(buf, N * EACH, round);
		pthread_mutex_lock(&d->m);
		for (unsigned int i = 0; i < N; i++) {
			iov[i] = (struct iovec){ buf + i * EACH, EACH };
			io[i].req = (struct block_req){
				.op = i % 16 ? BLOCK_WRITE : BLOCK_FLUSH,
				.off = i * EACH,
				.len = i % 16 ? EACH : 0,
				.iov = &iov[i],
				.niov = i % 16 ? 1 : 0,
			};
			io_submit(d, &io[i]);
			if (i % 7 == 0)
				block_kick(d->dev);
		}
		block_drain(d->dev); /* kicks the rest */
		assert_int_equal(pread(d->fd, file, N * EACH, 0), N * EACH);
		for (unsigned int i = 0; i < N; i++)
			if (i % 16)
				assert_memory_equal(
				    file + i * EACH, buf + i * EACH, EACH);
		pthread_mutex_unlock(&d->m);
		for (unsigned int i = 0; i < N; i++)
			assert_int_equal(io_wait(d, &io[i]), 0);
	}
	free(buf);
	free(file);
	free(iov);
	free(io);
	disk_destroy(d);
}

static void
test_close_waits(void **state)
{
	enum { N = 64 };
	struct disk *d = disk_new(state, MIB);
	struct io io[N];
	uint8_t buf[512] = { 1 };
	struct iovec iov = { buf, sizeof(buf) };

	for (unsigned int i = 0; i < N; i++) {
		io[i].req = (struct block_req){ .op = BLOCK_WRITE,
			.off = i * 512,
			.len = 512,
			.iov = &iov,
			.niov = 1 };
		io_submit(d, &io[i]); /* without a kick */
	}
	block_close(d->dev);
	d->dev = NULL;
	for (unsigned int i = 0; i < N; i++) {
		assert_true(io[i].done);
		assert_int_equal(io[i].error, 0);
	}
	disk_destroy(d);
}

/* Two guests' threads, each with its half of the disk and a model of it. */
#define STRESS_SECTORS 1024u /* a half */
#define STRESS_SLOTS   24u
#define STRESS_STEPS   3000u

struct stress {
	struct disk *d;
	uint64_t first; /* sector */
	uint32_t seed;
	uint8_t model[STRESS_SECTORS * 512];
	bool busy[STRESS_SECTORS]; /* in flight */
	struct stress_slot {
		struct io io;
		bool used;
		uint32_t sector, n;
		struct iovec iov[3];
		uint8_t buf[16 * 512 + 64];
		uint8_t want[16 * 512];
	} slot[STRESS_SLOTS];
};

static uint32_t
stress_random(struct stress *s, uint32_t n)
{
	s->seed = s->seed * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)s->seed * n >> 32);
}

static void
stress_reap(struct stress *s, struct stress_slot *sl)
{
	const uint8_t *buf = sl->iov[0].iov_base;

	assert_int_equal(io_wait(s->d, &sl->io), 0);
	if (sl->io.req.op == BLOCK_READ)
		assert_memory_equal(buf, sl->want, sl->n * 512);
	memset(s->busy + sl->sector, 0, sl->n);
	sl->used = false;
}

/* False: the range has something in flight. */
static bool
stress_pick_range(struct stress *s, struct stress_slot *sl)
{
	sl->n = 1 + stress_random(s, 16);
	sl->sector = stress_random(s, STRESS_SECTORS - 16);
	for (uint32_t i = 0; i < sl->n; i++)
		if (s->busy[sl->sector + i])
			return false;
	memset(s->busy + sl->sector, 1, sl->n);
	return true;
}

static void
stress_start(struct stress *s, struct stress_slot *sl)
{
	static const enum block_op ops[] = { BLOCK_READ, BLOCK_READ,
		BLOCK_WRITE, BLOCK_WRITE, BLOCK_WRITE_ZEROES, BLOCK_DISCARD };
	struct block_req *r = &sl->io.req;
	uint8_t *model = s->model + sl->sector * 512;
	uint8_t *buf = sl->buf + stress_random(s, 2) * stress_random(s, 64);
	uint32_t len = sl->n * 512, cut[2];

	*r = (struct block_req){
		.op = ops[stress_random(s, ARRAY_LEN(ops))],
		.unmap = stress_random(s, 2),
		.off = (s->first + sl->sector) * 512,
		.len = len,
		.iov = sl->iov,
		.niov = 3,
	};
	cut[0] = stress_random(s, len);
	cut[1] = cut[0] + stress_random(s, len - cut[0]);
	sl->iov[0] = (struct iovec){ buf, cut[0] };
	sl->iov[1] = (struct iovec){ buf + cut[0], cut[1] - cut[0] };
	sl->iov[2] = (struct iovec){ buf + cut[1], len - cut[1] };
	if (r->op == BLOCK_WRITE) {
		fill(buf, len, stress_random(s, UINT32_MAX));
		memcpy(model, buf, len);
	} else if (r->op != BLOCK_READ) {
		r->niov = 0;
		memset(model, 0, len); /* on files a discard is zeroes */
	}
	memcpy(sl->want, model, len);
	sl->used = true;
	io_submit(s->d, &sl->io);
}

static void *
stress_thread(void *arg)
{
	struct stress *s = arg;

	for (uint32_t i = 0; i < STRESS_STEPS; i++) {
		struct stress_slot *sl =
		    &s->slot[stress_random(s, STRESS_SLOTS)];

		if (sl->used) {
			block_kick(s->d->dev);
			stress_reap(s, sl);
		}
		if (stress_pick_range(s, sl))
			stress_start(s, sl);
		if (stress_random(s, 4) == 0)
			block_kick(s->d->dev);
		if (stress_random(s, 200) == 0)
			block_drain(s->d->dev);
	}
	block_kick(s->d->dev);
	for (uint32_t i = 0; i < STRESS_SLOTS; i++)
		if (s->slot[i].used)
			stress_reap(s, &s->slot[i]);
	return NULL;
}

static void
stress(void **state, bool nocache, size_t most, bool now)
{
	struct disk *d = disk_create(*state, 2 * STRESS_SECTORS * 512);
	struct stress *s[2];
	pthread_t t[2];
	uint8_t *in = malloc(STRESS_SECTORS * 512);

	d->opts.nocache = nocache;
	d->opts.kick_completes = now;
	disk_open(d);
	host.most = most;
	host.now_most = most;
	for (int i = 0; i < 2; i++) {
		s[i] = calloc(1, sizeof(**s));
		s[i]->d = d;
		s[i]->first = (uint64_t)i * STRESS_SECTORS;
		s[i]->seed = 42 + (uint32_t)i;
		assert_int_equal(
		    pthread_create(&t[i], NULL, stress_thread, s[i]), 0);
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(io_buf(d, BLOCK_READ, s[i]->first * 512, in,
				     STRESS_SECTORS * 512),
		    0);
		assert_memory_equal(in, s[i]->model, STRESS_SECTORS * 512);
		free(s[i]);
	}
	assert_int_equal(log_lines, 0);
	free(in);
	disk_destroy(d);
}

static void
test_stress(void **state)
{
	stress(state, false, 0, false);
}

static void
test_stress_nocache(void **state)
{
	stress(state, true, 0, false);
}

static void
test_stress_short_calls(void **state)
{
	stress(state, false, 1000, false);
}

/* Some end in the kick, those that are longer do not. */
static void
test_stress_now(void **state)
{
	stress(state, false, 2000, true);
}

/* --- tests: opening ------------------------------------------------------- */

static void
test_read_only(void **state)
{
	struct disk *d = disk_create(*state, MIB);
	uint8_t buf[512];

	d->opts.ro = true;
	disk_open(d);
	assert_true(block_info(d->dev)->ro);
	assert_int_equal(log_lines, 0);
	assert_false(block_info(d->dev)->can_discard);
	assert_int_equal(io_buf(d, BLOCK_READ, 0, buf, 512), 0);
	assert_int_equal(io_buf(d, BLOCK_WRITE, 0, buf, 512), -EROFS);
	assert_int_equal(io_range(d, BLOCK_DISCARD, 0, 512, false), -EROFS);
	assert_int_equal(
	    io_range(d, BLOCK_WRITE_ZEROES, 0, 512, false), -EROFS);
	assert_int_equal(io_range(d, BLOCK_FLUSH, 0, 0, false), 0);
	disk_destroy(d);
}

static void
test_read_only_fallback(void **state)
{
	struct disk *d = disk_create(*state, MIB);
	bool root = geteuid() == 0;

	assert_int_equal(fchmod(d->fd, 0444), 0);
	if (root)
		assert_int_equal(seteuid(65534), 0);
	disk_open(d);
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_true(block_info(d->dev)->ro);
	assert_int_equal(log_lines, 1);
	assert_non_null(strstr(log_last, d->path));
	assert_non_null(strstr(log_last, "Permission denied"));
	disk_destroy(d);
}

static void
test_info(void **state)
{
	struct disk *d = disk_new(state, MIB);
	const struct block_info *info = block_info(d->dev);
	struct stat st;

	assert_int_equal(fstat(d->fd, &st), 0);
	assert_int_equal(info->bytes, MIB);
	assert_int_equal(info->lsec_bytes, 512);
	assert_int_equal(info->psec_bytes, st.st_blksize);
	assert_int_equal(info->align, 1);
	assert_false(info->ro);
	assert_int_equal(strlen(info->ident), 20);
	assert_memory_equal(info->ident, "BHYVE-", 6);
	assert_int_equal(info->ident[10], '-');
	assert_int_equal(info->ident[15], '-');
	block_close(d->dev);
	d->opts.lsec_bytes = 4096;
	disk_open(d);
	assert_int_equal(block_info(d->dev)->lsec_bytes, 4096);
	assert_int_equal(block_info(d->dev)->psec_bytes, 4096);
	block_close(d->dev);
	d->opts.lsec_bytes = 1024;
	d->opts.psec_bytes = 8192;
	disk_open(d);
	assert_int_equal(block_info(d->dev)->psec_bytes, 8192);
	disk_destroy(d);
}

static void
test_refused(void **state)
{
	struct disk *d = disk_create(*state, 1000);
	const char *path = d->path;

	assert_non_null(strstr(disk_refused(d, -EINVAL),
	    "1000 bytes are no whole number of 512-byte sectors; truncate -s "
	    "1024 makes them one"));
	assert_int_equal(ftruncate(d->fd, 0), 0);
	assert_non_null(strstr(disk_refused(d, -EINVAL), "it is empty"));
	assert_int_equal(ftruncate(d->fd, MIB), 0);
	d->opts.path = "/var/tmp/bhyve-block-that-is-not-there";
	assert_non_null(strstr(disk_refused(d, -ENOENT),
	    "No such file or directory; create one with truncate -s 10G"));
	d->opts.path = "/dev/null";
	assert_non_null(strstr(
	    disk_refused(d, -EINVAL), "neither a file nor a block device"));
	d->opts.path = "/";
	disk_refused(d, -EINVAL);
	d->opts.path = "/dev/null/x";
	disk_refused(d, -ENOTDIR);
	d->opts.path = path;
	d->opts.lsec_bytes = 1000;
	assert_non_null(strstr(disk_refused(d, -EINVAL), "no sectors of 1000"));
	d->opts.lsec_bytes = 4096;
	d->opts.psec_bytes = 512;
	disk_refused(d, -EINVAL);
	d->opts.lsec_bytes = d->opts.psec_bytes = 0;
	d->opts.engine = "thread";
	assert_non_null(
	    strstr(disk_refused(d, -EINVAL), "no engine \"thread\""));
	d->opts.engine = "io_uring";
	host.no_uring = true;
	assert_non_null(strstr(
	    disk_refused(d, -EPERM), "io_uring: Operation not permitted"));
	d->opts.engine = NULL;
	d->engine = "threads";
	disk_open(d); /* where io_uring is refused */
	disk_destroy(d);
}

/* --- tests: the lock ------------------------------------------------------ */

static void
test_lock_in_one_machine(void **state)
{
	struct disk *d = disk_new(state, MIB);
	struct block_opts ro = d->opts;
	struct blockdev *first = d->dev, *second = NULL;
	char err[300];

	assert_non_null(strstr(disk_refused(d, -EBUSY),
	    ": in use by another disk of this machine"));
	ro.ro = true;
	assert_int_equal(block_open(&ro, &second, err, sizeof(err)), -EBUSY);
	assert_non_null(strstr(err, ": in use for writing by another disk"));
	block_close(first);
	/* Any number of readers; no writer then. */
	assert_int_equal(block_open(&ro, &first, err, sizeof(err)), 0);
	assert_int_equal(block_open(&ro, &second, err, sizeof(err)), 0);
	assert_non_null(strstr(disk_refused(d, -EBUSY), "in use"));
	block_close(first);
	disk_refused(d, -EBUSY);
	block_close(second);
	disk_open(d);
	disk_destroy(d);
}

/* Has the image until it is killed; says so by a byte. */
static void
lock_holder(struct disk *d, int ready)
{
	char err[300];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (block_open(&d->opts, &d->dev, err, sizeof(err)) != 0 ||
	    write(ready, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void
test_lock_names_the_holder(void **state)
{
	struct disk *d = disk_create(*state, MIB);
	char want[64], byte;
	const char *err;
	int ready[2];
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0)
		lock_holder(d, ready[1]);
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		skip(); /* no io_uring here */
	err = disk_refused(d, -EBUSY);
	snprintf(want, sizeof(want), "by process %d (", (int)pid);
	assert_non_null(strstr(err, want));
	assert_non_null(strstr(err, "test_block"));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
	disk_open(d); /* the lock went with its process */
	disk_destroy(d);
}

/* --- tests: block devices ------------------------------------------------- */

/* A loop device over the disk's file, where we may make one: else skip. */
static int
loop_make(struct disk *d, char path[32])
{
	int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC), loop, n;

	if (ctl == -1)
		return -1;
	n = ioctl(ctl, LOOP_CTL_GET_FREE);
	close(ctl);
	snprintf(path, 32, "/dev/loop%d", n);
	loop = n < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC);
	if (loop != -1 && ioctl(loop, LOOP_SET_FD, d->fd) != 0) {
		close(loop);
		return -1;
	}
	return loop;
}

static void
test_device(void **state)
{
	struct disk *d = disk_create(*state, MIB);
	uint8_t *buf = malloc(MIB);
	char path[32];
	int loop = loop_make(d, path);
	const struct block_info *info;
	struct blockdev *first;

	if (loop == -1) {
		free(buf);
		disk_destroy(d);
		skip();
	}
	d->opts.path = path;
	disk_open(d);
	info = block_info(d->dev);
	assert_int_equal(info->bytes, MIB);
	assert_int_equal(info->lsec_bytes, 512);
	assert_true(info->can_discard);
	fill_disk(d, buf);
	check_zeroed(d, buf, 0, 0);
	for (int unmap = 0; unmap <= 1; unmap++) {
		assert_int_equal(
		    io_range(d, BLOCK_WRITE_ZEROES, 4096, 256 * KIB, unmap), 0);
		check_zeroed(d, buf, 4096, 256 * KIB);
		fill_disk(d, buf);
	}
	assert_int_equal(
	    io_range(d, BLOCK_DISCARD, 64 * KIB, 512 * KIB, false), 0);
	check_zeroed(d, buf, 64 * KIB, 512 * KIB); /* as a loop device does */
	assert_int_equal(io_range(d, BLOCK_FLUSH, 0, 0, false), 0);
	/* Exclusive: neither another disk nor a mount. */
	assert_int_equal(open(path, O_RDWR | O_EXCL | O_CLOEXEC), -1);
	assert_int_equal(errno, EBUSY);
	first = d->dev;
	assert_non_null(
	    strstr(disk_refused(d, -EBUSY), "by another disk of this machine"));
	d->dev = first;
	block_close(d->dev);
	d->dev = NULL;
	assert_int_equal(ioctl(loop, LOOP_CLR_FD, 0), 0);
	close(loop);
	free(buf);
	disk_destroy(d);
}

/* --- main ----------------------------------------------------------------- */

static int
run(const char *engine)
{
#define T(name)                                                                \
	{                                                                      \
#name, test_##name, NULL, NULL, (void *)(uintptr_t)engine      \
	}
	const struct CMUnitTest tests[] = {
		T(roundtrip),
		T(many_parts),
		T(wrong_requests),
		T(flush),
		T(sync_zeroes_are_flushed),
		T(short_calls),
		T(nocache),
		T(discard),
		T(nodelete),
		T(zeroes),
		T(shrunk_file),
		T(file_too_large),
		T(now),
		T(now_a_part),
		T(now_would_wait),
		T(now_refused),
		T(now_is_not_for),
		T(now_shrunk),
		T(now_long_alone),
		T(now_long_busy),
		T(now_long_together),
		T(now_mixed),
		T(more_than_depth),
		T(drain_with_callbacks_stuck),
		T(close_waits),
		T(stress),
		T(stress_nocache),
		T(stress_short_calls),
		T(stress_now),
		T(read_only),
		T(read_only_fallback),
		T(info),
		T(refused),
		T(lock_in_one_machine),
		T(lock_names_the_holder),
		T(device),
	};

	return cmocka_run_group_tests_name(engine, tests, NULL, NULL);
}

int
main(void)
{
	int failed = run("threads");

	return failed + run("io_uring");
}
