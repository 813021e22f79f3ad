/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A few threads that do requests by blocking system calls: the whole engine
 * "threads", and for io_uring what the ring does not do in one go.
 *
 * One thread lives as long as the disk, so that there is always one to call
 * callbacks; more come when all are busy and go when they had nothing to do for
 * a while.
 */
#include "block_priv.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#define BLOCK_IDLE_S 5

int
block_thread_create(
    pthread_t *t, const char *name, void *(*fn)(void *), void *arg)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int error;

	/* Signals are the event thread's; a SIGXFSZ is an EFBIG as well. */
	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, BLOCK_STACK_BYTES);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(t, &attr, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (error == 0)
		pthread_setname_np(*t, name);
	return -error;
}

/* A thread without work: false when it waited for long and is not needed. */
static bool
block_pool_wait_locked(struct blockdev *dev)
{
	struct block_pool *pool = &dev->pool;
	struct timespec until;
	int error;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += BLOCK_IDLE_S;
	pool->nidle++;
	if (pool->nthreads == 1)
		error = pthread_cond_wait(&pool->wake, &dev->lock.m);
	else
		error =
		    pthread_cond_timedwait(&pool->wake, &dev->lock.m, &until);
	pool->nidle--;
	return error != ETIMEDOUT || pool->nthreads == 1 ||
	       pool->work.head != NULL || dev->finished.head != NULL;
}

static struct block_req *
block_pool_take_locked(struct block_pool *pool)
{
	struct block_req *r = block_list_take(&pool->work);

	if (r != NULL)
		pool->nwork--;
	return r;
}

static void
block_pool_do_locked(struct blockdev *dev, struct block_req *r)
{
	int error = r->priv.error;

	if (error == 0) {
		lock_release(&dev->lock);
		error = block_io(dev, r);
		lock_acquire(&dev->lock);
	}
	block_finish_locked(dev, r, error);
}

static void
block_pool_run_locked(struct blockdev *dev)
{
	struct block_pool *pool = &dev->pool;
	struct block_req *r;

	for (;;) {
		block_deliver_locked(dev);
		r = block_pool_take_locked(pool);
		if (r != NULL)
			block_pool_do_locked(dev, r);
		else if (dev->finished.head == NULL &&
			 (pool->stopping || !block_pool_wait_locked(dev)))
			return;
	}
}

/* The threads are told apart by their slot, which they find by themselves. */
static void *
block_pool_thread(void *arg)
{
	struct blockdev *dev = arg;
	struct block_pool *pool = &dev->pool;
	unsigned int i = 0;

	lock_acquire(&dev->lock);
	block_pool_run_locked(dev);
	while (pool->slot[i] != BLOCK_SLOT_RUNS ||
	       !pthread_equal(pool->thread[i], pthread_self()))
		i++;
	pool->slot[i] = BLOCK_SLOT_ENDED;
	pool->nthreads--;
	lock_release(&dev->lock);
	return NULL;
}

/* One more thread, if there is a slot; an ended one's is free. */
static int
block_pool_grow_locked(struct blockdev *dev)
{
	struct block_pool *pool = &dev->pool;
	unsigned int i = 0;
	int error;

	while (i < BLOCK_NTHREADS && pool->slot[i] == BLOCK_SLOT_RUNS)
		i++;
	if (i == BLOCK_NTHREADS)
		return -EAGAIN;
	if (pool->slot[i] == BLOCK_SLOT_ENDED)
		pthread_join(pool->thread[i], NULL); /* it is past the lock */
	pool->slot[i] = BLOCK_SLOT_FREE;
	error = block_thread_create(
	    &pool->thread[i], "block", block_pool_thread, dev);
	if (error != 0)
		return error;
	pool->slot[i] = BLOCK_SLOT_RUNS;
	pool->nthreads++;
	return 0;
}

int
block_pool_start(struct blockdev *dev)
{
	int error;

	lock_acquire(&dev->lock);
	error = block_pool_grow_locked(dev);
	lock_release(&dev->lock);
	return error;
}

void
block_pool_stop(struct blockdev *dev)
{
	struct block_pool *pool = &dev->pool;

	bool used[BLOCK_NTHREADS];

	lock_acquire(&dev->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->wake);
	/* Nobody submits: no slot is filled any more. */
	for (unsigned int i = 0; i < BLOCK_NTHREADS; i++)
		used[i] = pool->slot[i] != BLOCK_SLOT_FREE;
	lock_release(&dev->lock);
	for (unsigned int i = 0; i < BLOCK_NTHREADS; i++)
		if (used[i])
			pthread_join(pool->thread[i], NULL);
	memset(pool->slot, 0, sizeof(pool->slot));
	pool->stopping = false;
}

void
block_pool_wake_locked(struct blockdev *dev)
{
	pthread_cond_signal(&dev->pool.wake);
}

void
block_pool_add_locked(struct blockdev *dev, struct block_req *r)
{
	struct block_pool *pool = &dev->pool;

	block_list_add(&pool->work, r);
	pool->nwork++;
	/* Without another thread those that run will come to it. */
	if (pool->nwork > pool->nidle)
		(void)block_pool_grow_locked(dev);
	pthread_cond_signal(&pool->wake);
	pthread_cond_broadcast(&dev->changed); /* a drain may help */
}

bool
block_pool_help_locked(struct blockdev *dev)
{
	struct block_req *r = block_pool_take_locked(&dev->pool);

	if (r == NULL)
		return false;
	block_pool_do_locked(dev, r);
	block_pool_wake_locked(dev);
	return true;
}

/* --- the engine ----------------------------------------------------------- */

static void
block_threads_kick(struct blockdev *dev, struct block_list *list)
{
	struct block_req *r;

	lock_acquire(&dev->lock);
	while ((r = block_list_take(list)) != NULL)
		block_pool_add_locked(dev, r);
	lock_release(&dev->lock);
}

const struct block_engine_ops block_threads_ops = {
	.name = "threads",
	.start = block_pool_start,
	.stop = block_pool_stop,
	.kick = block_threads_kick,
	.help = block_pool_help_locked,
};
