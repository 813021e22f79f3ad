/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One request done by blocking system calls, from wherever it stands to its
 * end: what a system call left over is asked for again, so that errors are
 * exact and nothing is reported done that is not.
 *
 * Runs in a thread of the pool, or in the one that drains.  The only memory it
 * takes is a bounce buffer while it needs one.
 */
#include "block_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/falloc.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_WINDOW 64 /* parts given to one system call */
/* Long enough that a gigabyte of zeroes is no storm of system calls. */
#define BLOCK_ZERO_BYTES 65536u

bool
block_io_needs_bounce(const struct blockdev *dev, const struct block_req *r)
{
	uintptr_t bits = 0;

	if (!dev->direct || (r->op != BLOCK_READ && r->op != BLOCK_WRITE))
		return false;
	for (unsigned int i = 0; i < r->niov; i++)
		bits |= (uintptr_t)r->iov[i].iov_base | r->iov[i].iov_len;
	return (bits & (dev->info.align - 1)) != 0;
}

bool
block_io_shrunk(struct blockdev *dev)
{
	struct stat st;

	return dev->is_file && fstat(dev->fd, &st) == 0 &&
	       (uint64_t)st.st_size < dev->info.bytes;
}

/* --- reads and writes ----------------------------------------------------- */

/* The parts of [done, done+max) of the request's buffers; how many. */
static unsigned int
block_io_window(const struct block_req *r, uint64_t done, uint64_t max,
    struct iovec win[BLOCK_WINDOW])
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < r->niov && n < BLOCK_WINDOW && max > 0;
	     i++) {
		const struct iovec *v = &r->iov[i];

		if (done >= v->iov_len) {
			done -= v->iov_len;
			continue;
		}
		win[n].iov_base = (char *)v->iov_base + done;
		win[n].iov_len = MIN(v->iov_len - done, max);
		max -= win[n++].iov_len;
		done = 0;
	}
	return n;
}

static ssize_t
block_io_vec(struct blockdev *dev, const struct block_req *r,
    const struct iovec *iov, unsigned int niov)
{
	off_t off = (off_t)(r->off + r->priv.done_bytes);
	ssize_t n;

	do {
		n = r->op == BLOCK_READ ? preadv(dev->fd, iov, (int)niov, off)
					: pwritev(dev->fd, iov, (int)niov, off);
	} while (n == -1 && errno == EINTR);
	/* Nothing moved: a read at the end of a file that became shorter. */
	return n == -1 ? -errno : n == 0 ? -EIO : n;
}

static void
block_io_copy(const struct block_req *r, char *buf, size_t len, bool to_buf)
{
	uint64_t done = r->priv.done_bytes;
	struct iovec win[BLOCK_WINDOW];
	unsigned int n;

	while (len > 0) {
		n = block_io_window(r, done, len, win);
		for (unsigned int i = 0; i < n; i++) {
			size_t part = win[i].iov_len;

			if (to_buf)
				memcpy(buf, win[i].iov_base, part);
			else
				memcpy(win[i].iov_base, buf, part);
			buf += part;
			len -= part;
			done += part;
		}
	}
}

/* The next piece through aligned memory. */
static ssize_t
block_io_bounced(struct blockdev *dev, const struct block_req *r, char *buf)
{
	struct iovec one = {
		.iov_base = buf,
		.iov_len = MIN(r->len - r->priv.done_bytes, BLOCK_BOUNCE_BYTES),
	};
	ssize_t n;

	if (r->op == BLOCK_WRITE)
		block_io_copy(r, buf, one.iov_len, true);
	n = block_io_vec(dev, r, &one, 1);
	if (n > 0 && r->op == BLOCK_READ)
		block_io_copy(r, buf, (size_t)n, false);
	return n;
}

static ssize_t
block_io_piece(struct blockdev *dev, struct block_req *r, char **bounce)
{
	struct iovec win[BLOCK_WINDOW];
	ssize_t n;

	if (!r->priv.bounce) {
		n = block_io_vec(dev, r, win,
		    block_io_window(r, r->priv.done_bytes, UINT64_MAX, win));
		/* An alignment that the probe at the open did not show. */
		if (n != -EINVAL || !dev->direct)
			return n;
		r->priv.bounce = true;
	}
	if (*bounce == NULL) {
		void *p = mmap(NULL, BLOCK_BOUNCE_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return -errno;
		*bounce = p;
	}
	return block_io_bounced(dev, r, *bounce);
}

static int
block_io_rw(struct blockdev *dev, struct block_req *r)
{
	char *bounce = NULL;
	ssize_t n = 0;

	if (r->op == BLOCK_WRITE && block_io_shrunk(dev))
		return -EIO;
	while (r->priv.done_bytes < r->len) {
		n = block_io_piece(dev, r, &bounce);
		if (n < 0)
			break;
		r->priv.done_bytes += (uint64_t)n;
	}
	if (bounce != NULL)
		munmap(bounce, BLOCK_BOUNCE_BYTES);
	return n < 0 ? (int)n : 0;
}

/* --- the rest ------------------------------------------------------------- */

static int
block_io_flush(struct blockdev *dev, struct block_req *r)
{
	int error;

	do {
		error = fdatasync(dev->fd) == 0 ? 0 : -errno;
	} while (error == -EINTR);
	return error;
}

static int
block_io_fallocate(struct blockdev *dev, const struct block_req *r, int mode)
{
	int error;

	if (r->len == 0)
		return 0;
	do {
		error = fallocate(dev->fd, mode | FALLOC_FL_KEEP_SIZE,
			    (off_t)r->off, (off_t)r->len) == 0
			    ? 0
			    : -errno;
	} while (error == -EINTR);
	return error;
}

static int
block_io_discard(struct blockdev *dev, struct block_req *r)
{
	uint64_t range[2] = { r->off, r->len };

	if (dev->is_file)
		return block_io_fallocate(dev, r, FALLOC_FL_PUNCH_HOLE);
	if (r->len == 0)
		return 0;
	return ioctl(dev->fd, BLKDISCARD, range) == 0 ? 0 : -errno;
}

/* Where nothing else does it. */
static int
block_io_write_zeroes(struct blockdev *dev, struct block_req *r)
{
	static const char zeroes[BLOCK_ZERO_BYTES]
	    __attribute__((aligned(4096)));
	struct iovec iov[16];
	uint64_t left;
	unsigned int n;
	ssize_t moved;

	while (r->priv.done_bytes < r->len) {
		left = r->len - r->priv.done_bytes;
		for (n = 0; n < ARRAY_LEN(iov) && left > 0; n++) {
			iov[n].iov_base = (char *)(uintptr_t)zeroes;
			iov[n].iov_len = MIN(left, sizeof(zeroes));
			left -= iov[n].iov_len;
		}
		moved = block_io_vec(dev, r, iov, n);
		if (moved < 0)
			return (int)moved;
		r->priv.done_bytes += (uint64_t)moved;
	}
	return 0;
}

static int
block_io_zero(struct blockdev *dev, struct block_req *r)
{
	int error = -EOPNOTSUPP;

	if (block_io_shrunk(dev))
		return -EIO;
	if (r->unmap && !dev->nodelete)
		error = block_io_fallocate(dev, r, FALLOC_FL_PUNCH_HOLE);
	if (error == -EOPNOTSUPP)
		error = block_io_fallocate(dev, r, FALLOC_FL_ZERO_RANGE);
	if (error == -EOPNOTSUPP)
		return block_io_write_zeroes(dev, r);
	/* O_DSYNC does not reach fallocate(). */
	if (error == 0 && dev->sync)
		error = block_io_flush(dev, r);
	return error;
}

int
block_io(struct blockdev *dev, struct block_req *r)
{
	static int (*const ops[BLOCK_NOPS])(
	    struct blockdev *, struct block_req *) = {
		[BLOCK_READ] = block_io_rw,
		[BLOCK_WRITE] = block_io_rw,
		[BLOCK_FLUSH] = block_io_flush,
		[BLOCK_DISCARD] = block_io_discard,
		[BLOCK_WRITE_ZEROES] = block_io_zero,
	};

	return ops[r->op](dev, r);
}
