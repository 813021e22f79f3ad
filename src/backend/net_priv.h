/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net_priv.h - what net.c and the kinds of network backend share.
 *
 * A kind is a const struct net_ops, all of whose functions but open and close
 * run in the backend's one thread.  It never sees the card: frames to send are
 * handed to it, frames that came in go into the rx batch, and net.c does the
 * waking, the waiting and the retrying.
 */
#ifndef NET_PRIV_H
#define NET_PRIV_H

#include <backend/net.h>

#include <poll.h>
#include <pthread.h>
#include <netinet/in.h>
#include <stdatomic.h>

#include <util/lock.h>

/* --- net_batch.c: a bounded row of frames in one piece of memory ---------- */

struct net_batch {
	uint8_t *buf;
	size_t cap, len; /* bytes */
	size_t next;	 /* the first frame not taken yet */
	size_t last;	 /* the newest frame, if there is any */
};

struct net_frame {
	struct net_hdr *hdr; /* these may be changed in place */
	uint8_t *data;
	size_t len;
};

/* -ENOMEM */
int net_batch_init(struct net_batch *, size_t cap) WARN_UNUSED;
void net_batch_fini(struct net_batch *);
void net_batch_clear(struct net_batch *);
/* Not one frame is waiting. */
bool net_batch_empty(const struct net_batch *);
/*
 * Where `len` bytes of a frame may be written, or NULL: no room.  It counts
 * only with net_batch_commit(), for which `len` may have shrunk.
 */
uint8_t *net_batch_reserve(struct net_batch *, size_t len);
void net_batch_commit(struct net_batch *, const struct net_hdr *, size_t len);
/* The next frame, not yet taken; false: none. */
bool net_batch_peek(const struct net_batch *, struct net_frame *ret);
void net_batch_skip(struct net_batch *);
/* The newest frame; false: none, or it was taken. */
bool net_batch_last(const struct net_batch *, struct net_frame *ret);
/* More bytes at its end; false: no room. */
bool net_batch_extend(
    struct net_batch *, const uint8_t *more, size_t len) WARN_UNUSED;

/* --- net_offload.c: what cards leave undone ------------------------------- */

/* NET_OFFLOAD_x somebody must know about to take such a frame. */
uint32_t net_hdr_needs(const struct net_hdr *);
/*
 * Fill in the checksum, and the lengths of one frame that is to be cut up, so
 * that it is one (large) packet.  False: it is not what the header says.
 */
bool net_finish(const struct net_hdr *, uint8_t *frame, size_t len) WARN_UNUSED;
/*
 * Cut a TCP frame into finished segments of gso_size, appended to `to`.  False:
 * it is not what the header says, or `to` is full (some may have gone in).
 */
bool net_segment(const struct net_hdr *, const uint8_t *frame, size_t len,
    struct net_batch *to) WARN_UNUSED;

/*
 * Lengths in the headers of TCP over IP, IP's checksum, and the sum of the
 * pseudo header where TCP's checksum will be.
 */
void net_tcp_lengths(uint8_t *frame, size_t len, size_t ip_off, size_t tcp_off);

/* --- net_gro.c ------------------------------------------------------------ */

/*
 * A frame with right checksums continues the newest one of the row: it was
 * added there, so far as `offloads`, the client's, allow.
 */
bool net_merge(struct net_batch *, uint32_t offloads, const uint8_t *frame,
    size_t len) WARN_UNUSED;

/* --- net_hostfwd.c: hostfwd=tcp:127.0.0.1:2222-:22;... -------------------- */

union net_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct net_hostfwd {
	bool udp;
	union net_addr host, guest; /* of one family; guest may be "any" */
};
#define NET_HOSTFWD_MAX 64

/*
 * `text` may have several, separated by ';'.  How many, at most `max`, or
 * -EINVAL with one line that says which part of which is wrong.
 */
int net_hostfwd_parse(const char *text, struct net_hostfwd *, size_t max,
    char *err, size_t err_len) WARN_UNUSED;

/* --- kinds ---------------------------------------------------------------- */

/* What the thread waits for. */
struct net_poll {
	struct pollfd *fd;
	unsigned int n, cap;
	int timeout_ms; /* -1: for ever */
};
/* Its index; for what came, net_poll.fd[index].revents. */
int net_poll_add(struct net_poll *, int fd, short events);
/* Wake up in at most that many. */
void net_poll_timeout(struct net_poll *, uint64_t ms);

struct net_ops {
	struct net_backend_info info;
	bool numbered; /* info.name is followed by a number: tap0 */
	size_t state_size;
	uint32_t offloads; /* send takes them */

	/* Both in the opener's thread; close takes half-opened state. */
	int (*open)(struct netdev *, const struct net_opts *, char *err,
	    size_t err_len);
	void (*close)(struct netdev *);

	/*
	 * What to wait for.  Unless net_rx_open(), nothing that would bring
	 * frames; with net_tx_stalled(), what ends it.
	 */
	void (*prepare)(struct netdev *, struct net_poll *);
	/* After the wait: sees to its descriptors and timers. */
	void (*work)(struct netdev *, struct net_poll *);
	/*
	 * Send; the frame may be changed.  False: not now, the same frame comes
	 * again after the next work().
	 */
	bool (*send)(struct netdev *, const struct net_frame *);
	/* All that waited has been sent; NULL: nothing to do. */
	void (*send_end)(struct netdev *);
	/* The client takes other kinds of frames; NULL: nothing to do. */
	void (*rx_offloads)(struct netdev *, uint32_t offloads);
};

extern const struct net_ops net_slirp_ops;
extern const struct net_ops net_tap_ops;
extern const struct net_ops net_unix_ops;

struct netdev {
	const struct net_ops *ops;
	void *state; /* ops->state_size bytes */
	const struct net_client *client;
	void *arg;

	pthread_t thread;
	bool running; /* there is a thread */
	int wake_fd;
	/* See net_wake(). */
	atomic_bool sleeping;
	atomic_bool stop, rx_resume;
	atomic_bool link_up;
	_Atomic uint32_t rx_offloads;
	_Atomic uint64_t tx_frames, tx_dropped, rx_frames, rx_dropped;

	struct lock lock; /* for the next two: what is to be sent */
	struct net_batch tx_fill;
	bool tx_full; /* a sender waits for tx_resume */

	/* The thread's own. */
	struct net_batch tx_drain;
	bool tx_stalled;
	struct net_batch rx;
	bool rx_stalled; /* the client has no room */
	uint32_t rx_offloads_told;
	struct net_poll poll;
};

/* The client has taken all there was. */
static inline bool
net_rx_open(const struct netdev *nd)
{
	return net_batch_empty(&nd->rx);
}

static inline bool
net_tx_stalled(const struct netdev *nd)
{
	return nd->tx_stalled;
}

/* The link is (and if it was not, the client is told). */
void net_set_link(struct netdev *, bool up);
/*
 * What was reserved in nd->rx is a frame from outside: checked, finished or cut
 * up as the client needs it, or dropped.
 */
void net_rx_commit(
    struct netdev *, const struct net_hdr *, uint8_t *frame, size_t len);
/* The setting, or NULL. */
static inline const char *
net_opt(const struct net_opts *o, const char *name)
{
	return o->get != NULL ? o->get(o->get_arg, name) : NULL;
}

#endif /* NET_PRIV_H */
