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
 *
 * To copy a long request takes as long as the guest works to make one, and is
 * better done on another processor - if the guest has something else to do, and
 * a guest that waits for its one request is served best here.  Which of them it
 * is shows after a request that a thread has: the vCPU waits, or kicks again
 * without having given up its processor.  While requests end in the kick it
 * cannot be seen, so that now and then one goes to a thread to find out.
 *
 * What the host would give to a thread of its own after a try - buffered writes
 * on most file systems - is given to one of ours: a hand-over less each way.
 */
#include "block_priv.h"

#include <errno.h>
#include <limits.h>
#include <sys/resource.h>

#define BLOCK_LONG_BYTES 65536u
#define BLOCK_LONG_WAITS 4u  /* so many in a row: the guest waits for each */
#define BLOCK_LONG_PROBE 16u /* one in so many finds out */

static bool
block_now_refused(struct blockdev *dev, const struct block_req *r)
{
	return __atomic_load_n(&dev->now_refused[r->op], __ATOMIC_RELAXED);
}

static bool
block_now_may(const struct blockdev *dev, const struct block_req *r)
{
	if (r->priv.error != 0 || dev->direct || r->len == 0 ||
	    r->niov > IOV_MAX)
		return false;
	return r->op == BLOCK_READ || (r->op == BLOCK_WRITE && !dev->sync);
}

/* How often this thread gave up its processor to wait. */
static long
block_now_switches(void)
{
	struct rusage ru = { .ru_nvcsw = 0 };

	(void)getrusage(RUSAGE_THREAD, &ru);
	return ru.ru_nvcsw;
}

/* How many in a row the guest waited for; vCPUs may spoil each other's notes,
 * and a request goes the longer way then. */
static unsigned int
block_now_waited(
    struct blockdev *dev, bool others, uintptr_t self, long switches)
{
	unsigned int waits = __atomic_load_n(&dev->now_waits, __ATOMIC_RELAXED);

	if (others)
		return 0;
	if (__atomic_load_n(&dev->now_kicker, __ATOMIC_RELAXED) != self)
		return waits;
	if (__atomic_load_n(&dev->now_switches, __ATOMIC_RELAXED) == switches)
		return 0;
	return MIN(waits + 1, BLOCK_LONG_WAITS);
}

/* A long one that the guest does not wait for, or that is to find out. */
static bool
block_now_rather_not(
    struct blockdev *dev, const struct block_req *r, bool others)
{
	uintptr_t self = (uintptr_t)pthread_self();
	unsigned int n, waits;
	long switches;
	bool away;

	if (r->len < BLOCK_LONG_BYTES)
		return false;
	switches = block_now_switches();
	waits = block_now_waited(dev, others, self, switches);
	n = __atomic_add_fetch(&dev->now_long, 1, __ATOMIC_RELAXED);
	away = waits < BLOCK_LONG_WAITS || n % BLOCK_LONG_PROBE == 0;
	__atomic_store_n(&dev->now_waits, waits, __ATOMIC_RELAXED);
	__atomic_store_n(&dev->now_switches, switches, __ATOMIC_RELAXED);
	__atomic_store_n(
	    &dev->now_kicker, away ? self : (uintptr_t)0, __ATOMIC_RELAXED);
	return away;
}

static bool
block_now_move(struct blockdev *dev, struct block_req *r)
{
	off_t off = (off_t)r->off;
	ssize_t n;

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

bool
block_now(struct blockdev *dev, struct block_req *r, bool others)
{
	if (!block_now_may(dev, r))
		return false;
	if (block_now_rather_not(dev, r, others) || block_now_refused(dev, r))
		r->priv.thread = true;
	else if (block_now_move(dev, r))
		return true;
	else
		r->priv.thread = block_now_refused(dev, r);
	return false;
}
