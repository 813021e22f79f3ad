/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * block.h - the host's end of a disk: a file or a block device.
 *
 * Knows nothing of guests.  Requests are asynchronous; as many as the caller
 * likes may be in flight, in any order.  Completions come from a thread of the
 * backend (io_uring where the host allows it, else a pool of threads), never
 * from within a call.
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
	bool nodelete; /* no discard */
	uint32_t lsec_bytes; /* logical sector; 0: 512, or the device's own */
	uint32_t psec_bytes; /* physical sector; 0: the host's */
	const char *vm_name; /* for the second opener's message */
};

struct block_info {
	uint64_t bytes; /* a multiple of lsec_bytes */
	uint32_t lsec_bytes, psec_bytes;
	uint32_t align; /* buffers not aligned to this are bounced */
	bool ro;
	bool can_discard;
	bool can_zero;	/* write zeroes without writing them */
	char ident[21]; /* serial number made from the path, NUL-terminated */
};

/*
 * Opens and locks (against a second writer).  0; -EINVAL / -ENOENT / -EBUSY ...
 * with one line in err that names the option at fault or the process that has
 * the image.
 */
int block_open(const struct block_opts *, struct blockdev **ret, char *err,
    size_t err_len) WARN_UNUSED;
/* Waits for all requests and their callbacks; then nothing is left. */
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
 * outside the disk, or not whole sectors, is -EINVAL through `done`.
 */
struct block_req {
	enum block_op op;
	bool unmap;   /* BLOCK_WRITE_ZEROES: may punch a hole */
	uint64_t off; /* bytes */
	uint64_t len; /* bytes; for reads and writes the sum of iov */
	const struct iovec *iov;
	unsigned int niov;
	/* 0 or -errno; in a thread of the backend, with none of its locks. */
	void (*done)(struct block_req *, int error);
	struct {
		struct block_req *next;
		uint64_t done_bytes;
		void *bounce;
	} priv; /* the backend's */
};

/* Queue a request; block_kick() lets all that are queued start. */
void block_submit(struct blockdev *, struct block_req *);
void block_kick(struct blockdev *);
/*
 * Waits until no request touches its buffers any more.  Callbacks of requests
 * so finished may still come afterwards, so it may be called with a lock that
 * they take.
 */
void block_drain(struct blockdev *);

#endif /* BACKEND_BLOCK_H */
