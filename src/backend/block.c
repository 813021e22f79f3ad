/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a request: submitted -> queued -> an engine has it -> finished
 * (its buffers are free) -> `done` called.  What a request asks for is checked
 * here once; a wrong one travels the same way with its error.
 *
 * Not here on purpose: formats other than raw.  A raw image is never probed for
 * one, so a guest cannot make it another by what it writes.
 */
#include "block_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <util/log.h>

#define BLOCK_COMPLAIN_AGAIN_NS 60000000000ull

/* In the order in which they are tried. */
static const struct block_engine_ops *const block_engines[] = {
	&block_uring_ops,
	&block_threads_ops,
};

static void block_start_queued(struct blockdev *);

/* --- opening and closing -------------------------------------------------- */

static int
block_start_engine(
    struct blockdev *dev, const char *want, char *err, size_t err_len)
{
	int error = -EINVAL;

	for (size_t i = 0; i < ARRAY_LEN(block_engines); i++) {
		dev->engine = block_engines[i];
		if (want != NULL && strcmp(want, dev->engine->name) != 0)
			continue;
		error = dev->engine->start(dev);
		if (error == 0) {
			dev->info.engine = dev->engine->name;
			return 0;
		}
		dev->engine->stop(dev);
		snprintf(err, err_len, "%s: %s: %s", dev->path,
		    dev->engine->name, strerror(-error));
		log_debug("%s", err);
	}
	dev->engine = NULL;
	if (error == -EINVAL)
		snprintf(err, err_len,
		    "%s: no engine \"%s\"; right is io_uring or threads",
		    dev->path, want);
	return error;
}

static void
block_conds_init(struct blockdev *dev)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&dev->changed, NULL);
	pthread_cond_init(&dev->pool.wake, &attr);
	pthread_condattr_destroy(&attr);
}

int
block_open(const struct block_opts *opts, struct blockdev **ret, char *err,
    size_t err_len)
{
	struct blockdev *dev = xcalloc(1, sizeof(*dev));
	int error;

	dev->fd = -1;
	dev->path = xstrdup(opts->path);
	dev->kick_completes = opts->kick_completes;
	dev->batch_done = opts->batch_done;
	dev->batch_arg = opts->arg;
	lock_init(&dev->lock);
	block_conds_init(dev);
	error = block_file_open(dev, opts, err, err_len);
	if (error == 0)
		error = block_start_engine(dev, opts->engine, err, err_len);
	if (error != 0) {
		block_close(dev);
		return error;
	}
	log_debug("%s: %s%s, %llu bytes, sectors %u/%u, buffers %u", dev->path,
	    dev->engine->name, dev->info.ro ? ", read-only" : "",
	    (unsigned long long)dev->info.bytes, dev->info.lsec_bytes,
	    dev->info.psec_bytes, dev->info.align);
	*ret = dev;
	return 0;
}

void
block_close(struct blockdev *dev)
{
	if (dev == NULL)
		return;
	if (dev->engine != NULL) {
		block_start_queued(dev);
		lock_acquire(&dev->lock);
		while (dev->undelivered > 0 || dev->batches > 0)
			pthread_cond_wait(&dev->changed, &dev->lock.m);
		lock_release(&dev->lock);
		dev->engine->stop(dev);
	}
	if (dev->fd != -1)
		close(dev->fd); /* and with it the lock */
	pthread_cond_destroy(&dev->pool.wake);
	pthread_cond_destroy(&dev->changed);
	lock_fini(&dev->lock);
	free(dev->path);
	free(dev);
}

const struct block_info *
block_info(const struct blockdev *dev)
{
	return &dev->info;
}

/* --- submitting ----------------------------------------------------------- */

static bool
block_iov_is_len(const struct block_req *r)
{
	uint64_t left = r->len;

	for (unsigned int i = 0; i < r->niov; i++) {
		if (r->iov[i].iov_len > left)
			return false;
		left -= r->iov[i].iov_len;
	}
	return left == 0;
}

/* 0, or why the request cannot be done. */
static int
block_check(const struct blockdev *dev, const struct block_req *r)
{
	const struct block_info *info = &dev->info;

	if (r->op == BLOCK_FLUSH)
		return 0;
	if (!range_ok(r->off, r->len, info->bytes) ||
	    (r->off | r->len) & (info->lsec_bytes - 1))
		return -EINVAL;
	if (r->op == BLOCK_READ || r->op == BLOCK_WRITE)
		if (!block_iov_is_len(r))
			return -EINVAL;
	if (r->op != BLOCK_READ && info->ro)
		return -EROFS;
	if (r->op == BLOCK_DISCARD && !info->can_discard)
		return -EOPNOTSUPP;
	return 0;
}

void
block_submit(struct blockdev *dev, struct block_req *r)
{
	r->priv.done_bytes = 0;
	r->priv.error = block_check(dev, r);
	r->priv.bounce = block_io_needs_bounce(dev, r);
	r->priv.thread = false;
	lock_acquire(&dev->lock);
	dev->inflight++;
	dev->undelivered++;
	dev->nqueued++;
	block_list_add(&dev->queued, r);
	lock_release(&dev->lock);
}

/* Takes out of the list what can be done at once, and does it. */
static struct block_list
block_do_now(struct blockdev *dev, struct block_list *list, bool others)
{
	struct block_list done = { NULL, NULL }, rest = { NULL, NULL };
	struct block_req *r;

	others = others || (list->head != NULL && list->head != list->tail);
	while ((r = block_list_take(list)) != NULL)
		block_list_add(block_now(dev, r, others) ? &done : &rest, r);
	*list = rest;
	return done;
}

/* The callbacks, as in a thread of ours but without a batch_done. */
static void
block_end_now(struct blockdev *dev, struct block_list *list)
{
	struct block_req *r;
	unsigned int n = 0;

	while ((r = block_list_take(list)) != NULL) {
		r->done(r, 0);
		n++;
	}
	lock_acquire(&dev->lock);
	dev->inflight -= n;
	dev->undelivered -= n;
	if (dev->inflight == 0 || dev->undelivered == 0)
		pthread_cond_broadcast(&dev->changed);
	lock_release(&dev->lock);
}

/* others: some that were kicked before are in flight. */
static struct block_list
block_take_queued(struct blockdev *dev, bool *ret_others)
{
	struct block_list list;

	lock_acquire(&dev->lock);
	list = dev->queued;
	dev->queued.head = NULL;
	*ret_others = dev->inflight > dev->nqueued;
	dev->nqueued = 0;
	lock_release(&dev->lock);
	return list;
}

bool
block_kick(struct blockdev *dev)
{
	bool others;
	struct block_list list = block_take_queued(dev, &others);
	struct block_list done = { NULL, NULL };

	if (dev->kick_completes)
		done = block_do_now(dev, &list, others);
	if (list.head != NULL)
		dev->engine->kick(dev, &list);
	if (done.head == NULL)
		return false;
	block_end_now(dev, &done);
	return true;
}

/* All of it to the engine: callbacks come from threads. */
static void
block_start_queued(struct blockdev *dev)
{
	bool others;
	struct block_list list = block_take_queued(dev, &others);

	if (list.head != NULL)
		dev->engine->kick(dev, &list);
}

/* --- completions ---------------------------------------------------------- */

/* Once for each new kind of failure: a full disk fails a thousand times. */
static void
block_complain_locked(
    struct blockdev *dev, const struct block_req *r, int error)
{
	static const char *const names[BLOCK_NOPS] = { "read", "write", "flush",
		"discard", "write zeroes" };
	struct block_complaint *c = &dev->complaint[r->op];
	uint64_t now;

	if (r->priv.error != 0) /* asked for nonsense: the caller's business */
		return;
	now = host_now_ns();
	if (c->error == error && now - c->said_ns < BLOCK_COMPLAIN_AGAIN_NS)
		return;
	*c = (struct block_complaint){ .error = error, .said_ns = now };
	log_error("%s: %s of %llu bytes at %llu: %s", dev->path, names[r->op],
	    (unsigned long long)r->len, (unsigned long long)r->off,
	    strerror(-error));
}

void
block_finish_locked(struct blockdev *dev, struct block_req *r, int error)
{
	if (error != 0)
		block_complain_locked(dev, r, error);
	r->priv.error = error;
	block_list_add(&dev->finished, r);
	assert(dev->inflight > 0);
	if (--dev->inflight == 0)
		pthread_cond_broadcast(&dev->changed);
}

/* False: there was none. */
static bool
block_call_done_locked(struct blockdev *dev)
{
	struct block_list list = dev->finished;
	struct block_req *r;
	unsigned int n = 0;

	if (list.head == NULL)
		return false;
	dev->finished.head = NULL;
	lock_release(&dev->lock);
	while ((r = block_list_take(&list)) != NULL) {
		r->done(r, r->priv.error);
		n++;
	}
	lock_acquire(&dev->lock);
	dev->undelivered -= n;
	if (dev->undelivered == 0)
		pthread_cond_broadcast(&dev->changed);
	return true;
}

void
block_deliver_locked(struct blockdev *dev)
{
	if (dev->finished.head == NULL)
		return;
	dev->batches++;
	if (block_call_done_locked(dev) && dev->batch_done != NULL) {
		lock_release(&dev->lock);
		dev->batch_done(dev->batch_arg);
		lock_acquire(&dev->lock);
	}
	if (--dev->batches == 0)
		pthread_cond_broadcast(&dev->changed);
}

void
block_drain(struct blockdev *dev)
{
	block_start_queued(dev);
	lock_acquire(&dev->lock);
	while (dev->inflight > 0)
		if (!dev->engine->help(dev))
			pthread_cond_wait(&dev->changed, &dev->lock.m);
	lock_release(&dev->lock);
}

void
block_settle(struct blockdev *dev)
{
	block_drain(dev);
	lock_acquire(&dev->lock);
	while (dev->undelivered > 0)
		if (!block_call_done_locked(dev))
			pthread_cond_wait(&dev->changed, &dev->lock.m);
	lock_release(&dev->lock);
}
