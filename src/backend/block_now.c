/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One request done at once, in the thread that kicks, if the host need not wait
 * for anything: reads of what is in its page cache, and writes to it where the
 * file system can tell (ext4 cannot).  No other thread is woken, and the guest
 * has its answer before it went to sleep for it.
 *
 * RWF_NOWAIT moves a part when the rest is not there.  Such a request goes to
 * an engine as a whole: to read or write the same bytes once more is harmless.
 *
 * Not for O_DIRECT, where it would wait for the disk, nor for O_DSYNC.
 */
#include "block_priv.h"

#include <errno.h>
#include <limits.h>

static bool
block_now_may(const struct blockdev *dev, const struct block_req *r)
{
	if (r->priv.error != 0 || dev->direct || r->len == 0 ||
	    r->niov > IOV_MAX ||
	    __atomic_load_n(&dev->now_refused[r->op], __ATOMIC_RELAXED))
		return false;
	return r->op == BLOCK_READ || (r->op == BLOCK_WRITE && !dev->sync);
}

bool
block_now(struct blockdev *dev, struct block_req *r)
{
	off_t off = (off_t)r->off;
	ssize_t n;

	if (!block_now_may(dev, r))
		return false;
	if (r->op == BLOCK_READ)
		n = preadv2(dev->fd, r->iov, (int)r->niov, off, RWF_NOWAIT);
	else if (!block_io_shrunk(dev))
		n = pwritev2(dev->fd, r->iov, (int)r->niov, off, RWF_NOWAIT);
	else
		return false;
	if (n == -1 && (errno == EOPNOTSUPP || errno == ENOSYS))
		__atomic_store_n(
		    &dev->now_refused[r->op], true, __ATOMIC_RELAXED);
	return n >= 0 && (uint64_t)n == r->len;
}
