/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * block.h - the host's end of a disk: a raw file or a block device.
 *
 * Knows nothing of guests.  Requests are asynchronous; as many as the caller
 * likes may be in flight, in any order.  Completions come from threads of the
 * backend (io_uring where the host allows it, else a pool of threads); from
 * within block_kick() only to who asked for it, from within another call only
 * where it says so.
 */
#ifndef BACKEND_BLOCK_H
#define BACKEND_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <util/util.h>

struct blockdev;

struct block_opts {
	const char *path;
	bool ro;       /* otherwise read-write, and if that is refused: ro */
	bool nocache;  /* O_DIRECT */
	bool sync;     /* O_DSYNC: every write is on the disk when it is done */
	bool nodelete; /* no discard, and no holes for zeroes */
	uint32_t lsec_bytes; /* logical sector; 0: 512, or the device's own */
	uint32_t psec_bytes; /* physical sector; 0: the host's */
	/*
	 * block_kick() may call `done` itself for what needs no waiting, such
	 * as a read of what the host has in its page cache: no other thread
	 * has to be woken for it.
	 */
	bool kick_completes;
	/* "io_uring" or "threads"; NULL: the first of them that works here. */
	const char *engine;
	/*
	 * Optional.  Called in the same thread after the last `done` of
	 * requests that ended together: one interrupt is enough for them.
	 */
	void (*batch_done)(void *arg);
	void *arg;
};

struct block_info {
	uint64_t bytes; /* a multiple of lsec_bytes, not zero */
	uint32_t lsec_bytes,
	    psec_bytes; /* powers of two, logical <= physical */
	uint32_t align; /* buffers not aligned to this are bounced */
	bool ro;
	bool can_discard;
	bool can_zero;	/* write zeroes without writing them */
	char ident[21]; /* serial number made from the path, NUL-terminated */
	const char *engine;
};

/*
 * Opens and locks (against a second writer).  0; -EINVAL / -ENOENT / -EBUSY ...
 * with one line in err that begins with the path and names what is wrong, or
 * the process that has the image.
 */
int block_open(const struct block_opts *, struct blockdev **ret, char *err,
    size_t err_len) WARN_UNUSED;
/*
 * Waits for all requests and their callbacks; then nothing is left.  NULL is
 * allowed.  Does not flush.
 */
void block_close(struct blockdev *);
const struct block_info *block_info(const struct blockdev *);

enum block_op {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,	    /* what was done before is on stable storage */
	BLOCK_DISCARD,	    /* contents of the range become undefined */
	BLOCK_WRITE_ZEROES, /* contents become zero */
};

/*
 * The caller's memory, unchanged until `done`.  Range and buffers are checked:
 * outside the disk, or not whole sectors, is -EINVAL through `done`; a change
 * of a read-only disk -EROFS.
 */
struct block_req {
	enum block_op op;
	bool unmap;   /* BLOCK_WRITE_ZEROES: may punch a hole */
	uint64_t off; /* bytes */
	uint64_t len; /* bytes; for reads and writes the sum of iov */
	const struct iovec *iov;
	unsigned int niov;
	/*
	 * 0 or -errno; with none of the backend's locks, in one of its threads
	 * or (kick_completes, block_settle()) in the caller's.
	 */
	void (*done)(struct block_req *, int error);
	struct {
		struct block_req *next;
		uint64_t done_bytes;
		int error;
		bool bounce;
		bool thread;
	} priv; /* the backend's */
};

/*
 * Queue a request; block_kick() lets all that are queued start.  Neither waits
 * for a disk.  A flush covers every write whose `done` was called before the
 * flush was submitted, and no other.
 */
void block_submit(struct blockdev *, struct block_req *);
/*
 * True: `done` was called for some of them, in here, and batch_done will not
 * be for those.  Without kick_completes: never.
 */
bool block_kick(struct blockdev *);
/*
 * Starts what is queued, and waits until no request touches its buffers any
 * more.  Callbacks of requests so finished may still come afterwards, so it may
 * be called with a lock that they take; not from a callback.
 */
void block_drain(struct blockdev *);
/*
 * The same, and every `done` has returned: those not begun yet are called from
 * here.  So `done` may not want a lock the caller has; `batch_done` may, which
 * is not called from here and may come afterwards.
 */
void block_settle(struct blockdev *);

#endif /* BACKEND_BLOCK_H */
