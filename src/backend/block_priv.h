/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * block_priv.h - what the parts of the block backend share.
 *
 * block.c       the life of a request: checks, counts, completions, drain
 * block_open.c  opening: geometry, what the file can do, the options
 * block_lock.c  the lock on an image and who has it
 * block_io.c    one request done by blocking system calls
 * block_now.c   one request done without waiting, or not at all
 * block_pool.c  threads that do so: the engine "threads", and the slow paths of
 * block_uring.c the engine "io_uring"
 *
 * One mutex a disk, dev->lock, guards all that is not constant after the open;
 * it is a leaf of docs/locking.md and is held across no disk access and no
 * callback.  Only the lock of the submission ring comes before it.
 */
#ifndef BLOCK_PRIV_H
#define BLOCK_PRIV_H

#include <backend/block.h>

#include <pthread.h>

#include <util/lock.h>

#define BLOCK_NTHREADS 8 /* of a pool, at most */
/* Only touched pages count; callbacks run on it. */
#define BLOCK_STACK_BYTES  (256u * 1024)
#define BLOCK_BOUNCE_BYTES (128u * 1024)
#define BLOCK_NOPS	   (BLOCK_WRITE_ZEROES + 1)

/* Requests in order; empty: head NULL. */
struct block_list {
	struct block_req *head, *tail;
};

static inline void
block_list_add(struct block_list *l, struct block_req *r)
{
	r->priv.next = NULL;
	if (l->head == NULL)
		l->head = r;
	else
		l->tail->priv.next = r;
	l->tail = r;
}

static inline struct block_req *
block_list_take(struct block_list *l)
{
	struct block_req *r = l->head;

	if (r != NULL)
		l->head = r->priv.next;
	return r;
}

/* How requests reach the host. */
struct block_engine_ops {
	const char *name;
	/* 0 or -errno: not on this host. */
	int (*start)(struct blockdev *);
	/* Nothing is in flight; takes half-started. */
	void (*stop)(struct blockdev *);
	/* Start all requests of the list. */
	void (*kick)(struct blockdev *, struct block_list *);
	/*
	 * For a drain whose caller may hold up our threads in their callbacks:
	 * do a part of their work, waiting for the host if need be.  Called and
	 * returns locked; false: nothing to do here now.
	 */
	bool (*help)(struct blockdev *);
};
extern const struct block_engine_ops block_uring_ops;
extern const struct block_engine_ops block_threads_ops;

struct block_pool {
	enum {
		BLOCK_SLOT_FREE,
		BLOCK_SLOT_RUNS,
		BLOCK_SLOT_ENDED
	} slot[BLOCK_NTHREADS];
	pthread_t thread[BLOCK_NTHREADS];
	unsigned int nthreads, nidle;
	bool stopping;
	struct block_list work;
	unsigned int nwork; /* its length */
	pthread_cond_t wake;
};

struct block_uring; /* block_uring.c */

/* The last complaint about an operation, so that it is not made again. */
struct block_complaint {
	int error;
	uint64_t said_ns;
};

struct blockdev {
	/* Constant after the open. */
	struct block_info info;
	char *path;
	int fd;
	bool is_file; /* else a block device */
	bool direct;  /* O_DIRECT */
	bool sync;    /* O_DSYNC */
	bool nodelete;
	bool kick_completes;
	void (*batch_done)(void *arg);
	void *batch_arg;
	const struct block_engine_ops *engine;

	/* By operation: the host cannot say whether it would have to wait. */
	bool now_refused[BLOCK_NOPS]; /* atomic */
	/* Of long requests (block_now.c), atomic: all; how many in a row the
	 * guest waited for; if a thread has the last one, who kicked it (or
	 * 0), and that one's voluntary context switches by then. */
	unsigned int now_long, now_waits;
	uintptr_t now_kicker;
	long now_switches;

	struct lock lock;
	struct block_list queued; /* submitted, not kicked */
	unsigned int nqueued;
	struct block_list finished; /* their `done` is to be called */
	unsigned int inflight;	    /* submitted and not finished */
	unsigned int undelivered;   /* submitted, and `done` did not return */
	unsigned int batches;	    /* in which batch_done did not return */
	pthread_cond_t changed; /* for drain, close, and the ring's thread */
	struct block_complaint complaint[BLOCK_NOPS];
	struct block_pool pool;
	struct block_uring *uring;
};

/* --- block.c */
/* The request's I/O is over; somebody must call block_deliver_locked(). */
void block_finish_locked(struct blockdev *, struct block_req *, int error);
/* Call what callbacks there are; the lock is dropped meanwhile. */
void block_deliver_locked(struct blockdev *);

/* --- block_open.c */
int block_file_open(struct blockdev *, const struct block_opts *, char *err,
    size_t err_len) WARN_UNUSED;

/* --- block_lock.c */
/* 0, or -EBUSY with a line in err. */
int block_lock_image(int fd, bool exclusive, const char *path, char *err,
    size_t err_len) WARN_UNUSED;

/* --- block_io.c */
/* The rest of a request, by blocking system calls; 0 or -errno. */
int block_io(struct blockdev *, struct block_req *);
/* A file was cut off below the size it had: its end may not be written. */
bool block_io_shrunk(struct blockdev *);
/* O_DIRECT cannot use these buffers. */
bool block_io_needs_bounce(const struct blockdev *, const struct block_req *);

/* --- block_now.c */
/*
 * Done, without an error; false: nothing is, and an engine must do it all.
 * `others`: more requests are in flight, which the guest does not wait for.
 * Sets priv.thread of those that are best left to a thread.
 */
bool block_now(struct blockdev *, struct block_req *, bool others);

/* --- block_pool.c */
int block_pool_start(struct blockdev *) WARN_UNUSED;
void block_pool_stop(struct blockdev *);
void block_pool_add_locked(struct blockdev *, struct block_req *);
/* Wakes a thread that delivers. */
void block_pool_wake_locked(struct blockdev *);
bool block_pool_help_locked(struct blockdev *);
/* A thread of ours: small stack, no signals. */
int block_thread_create(
    pthread_t *, const char *name, void *(*fn)(void *), void *arg) WARN_UNUSED;

#endif /* BLOCK_PRIV_H */
