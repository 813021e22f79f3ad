/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine "io_uring": reads, writes and flushes through one ring a disk,
 * a batch for one system call; one thread waits for what completes.
 *
 * The ring does what succeeds at the first try.  Whatever else there is - short
 * transfers, buffers O_DIRECT cannot take, what is best left to a thread
 * (block_now.c), discard and zeroes (which the kernel would give to a thread as
 * well) - the pool's threads bring to an end.
 *
 * The right to wait for completions and take them out is the token.  The
 * ring's thread has it except while it calls callbacks; then a drain may take
 * it, which may be what the callback waits for.
 *
 * Submission is by the caller, a vCPU thread as a rule.  Should that thread
 * end, the kernel cancels what it began; the pool does it again.
 */
#include "block_priv.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <time.h>

#define BLOCK_URING_DEPTH   256u
#define BLOCK_URING_IOV_MAX 1024u /* UIO_MAXIOV */

struct block_uring {
	struct io_uring ring;
	bool have_ring, have_thread;
	pthread_t thread;
	struct lock sq_lock; /* the submission half; before dev->lock */
	/* dev->lock: */
	bool token_taken;
	bool stopping;
	unsigned int nring;	   /* of the waiting, how many the ring has */
	struct block_list waiting; /* the ring is full */
};

/* --- submission ----------------------------------------------------------- */

static void
block_uring_prepare(
    struct blockdev *dev, struct io_uring_sqe *sqe, struct block_req *r)
{
	switch (r->op) {
	case BLOCK_READ:
		io_uring_prep_readv(sqe, dev->fd, r->iov, r->niov, r->off);
		break;
	case BLOCK_WRITE:
		io_uring_prep_writev(sqe, dev->fd, r->iov, r->niov, r->off);
		break;
	default:
		io_uring_prep_fsync(sqe, dev->fd, IORING_FSYNC_DATASYNC);
		break;
	}
	io_uring_sqe_set_data(sqe, r);
}

/* All that is in the submission ring; the host may want us to come again. */
static void
block_uring_enter(struct block_uring *u)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int n;

	while (io_uring_sq_ready(&u->ring) > 0) {
		n = io_uring_submit(&u->ring);
		if (n < 0 && n != -EINTR) /* no memory at the moment */
			nanosleep(&pause, NULL);
	}
}

/*
 * Fills the ring from what waits.  Called unlocked.  dev->lock is let go before
 * the system call, which may copy a lot from the page cache.
 */
static void
block_uring_push(struct blockdev *dev)
{
	struct block_uring *u = dev->uring;
	struct block_req *r;

	lock_acquire(&u->sq_lock);
	lock_acquire(&dev->lock);
	while (u->nring < BLOCK_URING_DEPTH &&
	       (r = block_list_take(&u->waiting)) != NULL) {
		u->nring++;
		block_uring_prepare(dev, io_uring_get_sqe(&u->ring), r);
	}
	lock_release(&dev->lock);
	block_uring_enter(u);
	lock_release(&u->sq_lock);
}

static bool
block_uring_can(const struct block_req *r)
{
	if (r->priv.error != 0 || r->priv.bounce || r->priv.thread)
		return false;
	if (r->op == BLOCK_READ || r->op == BLOCK_WRITE)
		return r->len > 0 && r->niov <= BLOCK_URING_IOV_MAX;
	return r->op == BLOCK_FLUSH;
}

/* A file that was cut off must not grow a new, empty end by a write. */
static bool
block_uring_must_not_write(struct blockdev *dev, const struct block_list *list)
{
	for (const struct block_req *r = list->head; r != NULL;
	     r = r->priv.next)
		if (r->op == BLOCK_WRITE)
			return block_io_shrunk(dev);
	return false;
}

static void
block_uring_kick(struct blockdev *dev, struct block_list *list)
{
	bool shrunk = block_uring_must_not_write(dev, list);
	struct block_req *r;

	lock_acquire(&dev->lock);
	while ((r = block_list_take(list)) != NULL) {
		if (block_uring_can(r) && !(shrunk && r->op == BLOCK_WRITE))
			block_list_add(&dev->uring->waiting, r);
		else
			block_pool_add_locked(dev, r);
	}
	lock_release(&dev->lock);
	block_uring_push(dev);
}

/* --- completion ----------------------------------------------------------- */

static void
block_uring_done_locked(struct blockdev *dev, struct block_req *r, int res)
{
	bool again = res == -EINTR || res == -EAGAIN || res == -ECANCELED ||
		     (res == -EINVAL && dev->direct);

	if (r->op == BLOCK_FLUSH) {
		/* An error of a flush is told once: never ask again for it. */
		if (again)
			block_pool_add_locked(dev, r);
		else
			block_finish_locked(dev, r, res);
	} else if (res >= 0 && (uint64_t)res == r->len) {
		block_finish_locked(dev, r, 0);
	} else if (res >= 0 || again) {
		r->priv.done_bytes = res > 0 ? (uint64_t)res : 0;
		block_pool_add_locked(dev, r);
	} else {
		block_finish_locked(dev, r, res);
	}
}

/* Takes out what is there, waiting for the first.  With the token, unlocked. */
static void
block_uring_reap(struct blockdev *dev)
{
	struct block_uring *u = dev->uring;
	struct io_uring_cqe *cqe;
	unsigned int head, n = 0;
	bool more;

	while (io_uring_wait_cqe(&u->ring, &cqe) != 0)
		; /* a signal, in a drain */
	lock_acquire(&dev->lock);
	io_uring_for_each_cqe(&u->ring, head, cqe)
	{
		struct block_req *r = io_uring_cqe_get_data(cqe);

		n++;
		if (r == NULL)
			continue; /* block_uring_stop() */
		u->nring--;
		block_uring_done_locked(dev, r, cqe->res);
	}
	io_uring_cq_advance(&u->ring, n);
	more = u->waiting.head != NULL;
	lock_release(&dev->lock);
	if (more)
		block_uring_push(dev);
}

static void
block_uring_reap_locked(struct blockdev *dev)
{
	struct block_uring *u = dev->uring;

	u->token_taken = true;
	lock_release(&dev->lock);
	block_uring_reap(dev);
	lock_acquire(&dev->lock);
	u->token_taken = false;
	pthread_cond_broadcast(&dev->changed);
}

static void *
block_uring_thread(void *arg)
{
	struct blockdev *dev = arg;
	struct block_uring *u = dev->uring;

	lock_acquire(&dev->lock);
	while (!u->stopping) {
		if (u->token_taken)
			pthread_cond_wait(&dev->changed, &dev->lock.m);
		else
			block_uring_reap_locked(dev);
		block_deliver_locked(dev);
	}
	lock_release(&dev->lock);
	return NULL;
}

static bool
block_uring_help(struct blockdev *dev)
{
	struct block_uring *u = dev->uring;

	if (block_pool_help_locked(dev))
		return true;
	if (u->token_taken || u->nring == 0)
		return false;
	block_uring_reap_locked(dev);
	block_pool_wake_locked(dev); /* to deliver */
	return true;
}

/* --- start and stop ------------------------------------------------------- */

/* Kernels before 5.6 cannot tell and are not used. */
static int
block_uring_probe(struct io_uring *ring)
{
	static const int ops[] = { IORING_OP_READV, IORING_OP_WRITEV,
		IORING_OP_FSYNC };
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	int error = probe != NULL ? 0 : -EOPNOTSUPP;

	for (size_t i = 0; error == 0 && i < ARRAY_LEN(ops); i++)
		if (!io_uring_opcode_supported(probe, ops[i]))
			error = -EOPNOTSUPP;
	io_uring_free_probe(probe);
	return error;
}

static int
block_uring_start(struct blockdev *dev)
{
	struct block_uring *u = xcalloc(1, sizeof(*u));
	int error;

	dev->uring = u;
	lock_init(&u->sq_lock);
	error = io_uring_queue_init(BLOCK_URING_DEPTH, &u->ring, 0);
	if (error != 0)
		return error;
	u->have_ring = true;
	error = block_uring_probe(&u->ring);
	if (error == 0)
		error = block_pool_start(dev);
	if (error == 0)
		error = block_thread_create(
		    &u->thread, "block ring", block_uring_thread, dev);
	u->have_thread = error == 0;
	return error;
}

/* The thread waits for completions: give it one. */
static void
block_uring_end_thread(struct blockdev *dev)
{
	struct block_uring *u = dev->uring;
	struct io_uring_sqe *sqe;

	lock_acquire(&dev->lock);
	u->stopping = true;
	pthread_cond_broadcast(&dev->changed);
	lock_release(&dev->lock);
	lock_acquire(&u->sq_lock);
	sqe = io_uring_get_sqe(&u->ring);
	io_uring_prep_nop(sqe);
	io_uring_sqe_set_data(sqe, NULL);
	block_uring_enter(u);
	lock_release(&u->sq_lock);
	pthread_join(u->thread, NULL);
}

static void
block_uring_stop(struct blockdev *dev)
{
	struct block_uring *u = dev->uring;

	if (u->have_thread)
		block_uring_end_thread(dev);
	block_pool_stop(dev);
	if (u->have_ring)
		io_uring_queue_exit(&u->ring);
	lock_fini(&u->sq_lock);
	free(u);
	dev->uring = NULL;
}

const struct block_engine_ops block_uring_ops = {
	.name = "io_uring",
	.start = block_uring_start,
	.stop = block_uring_stop,
	.kick = block_uring_kick,
	.help = block_uring_help,
};
