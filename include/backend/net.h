/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net.h - the host's end of a network card: frames in and out.
 *
 * Knows nothing of guests.  A backend has one thread, which does all that talks
 * to the host; received frames and link changes are reported from it, with none
 * of the backend's locks held.  Sending is possible from any thread, with the
 * caller's locks held, and never blocks.
 */
#ifndef BACKEND_NET_H
#define BACKEND_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <util/util.h>

struct netdev;

/*
 * What a frame's sender left for others to do: struct virtio_net_hdr of virtio
 * 1.2 section 5.1.6, which is also Linux's tap header.  All zero: nothing.
 */
struct net_hdr {
	uint8_t flags; /* NET_HDR_x */
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
};
#define NET_HDR_NEEDS_CSUM 1
#define NET_HDR_DATA_VALID 2
#define NET_GSO_NONE	   0
#define NET_GSO_TCPV4	   1
#define NET_GSO_UDP	   3
#define NET_GSO_TCPV6	   4
#define NET_GSO_ECN	   0x80

/* Kinds of unfinished frames. */
#define NET_OFFLOAD_CSUM 0x1u /* checksum missing, or known to be right */
#define NET_OFFLOAD_TSO4 0x2u
#define NET_OFFLOAD_TSO6 0x4u
#define NET_OFFLOAD_ECN	 0x8u

#define NET_FRAME_MIN	 14u		/* an Ethernet header */
#define NET_FRAME_MAX	 (65536u + 64u) /* bytes, with offloads */
#define NET_MTU_MIN	 68u
#define NET_MTU_MAX	 65521u

/*
 * The header describes the frame of `len` bytes it came with: known kinds only,
 * every offset inside the frame, and nothing that `offloads` does not allow.
 */
bool
net_hdr_ok(const struct net_hdr *, size_t len, uint32_t offloads) WARN_UNUSED;

struct net_client {
	/*
	 * A frame came in.  False: there is no room for it now; the backend
	 * keeps it and calls again after net_rx_resume().
	 */
	bool (*rx)(void *arg, const struct net_hdr *, const uint8_t *frame,
	    size_t len);
	/* After one or more rx: for now these were all. */
	void (*rx_end)(void *arg);
	void (*link)(void *arg, bool up);
	/* After net_send() said false: there is room again. */
	void (*tx_resume)(void *arg);
};

struct net_opts {
	const char *backend; /* "slirp", "tap0", "unix" ... */
	/* Further settings, by name: hostfwd, open, path ... or NULL. */
	const char *(*get)(void *get_arg, const char *name);
	void *get_arg;
	uint16_t mtu;	/* 0: 1500 */
	uint8_t mac[6]; /* the card's */
};

/*
 * Opens; nothing is reported before net_start().  -EINVAL with one line in err
 * that names the setting and what would be right, or the host's -errno, also
 * with one line.
 */
int net_open(const struct net_opts *, const struct net_client *, void *arg,
    struct netdev **ret, char *err, size_t err_len) WARN_UNUSED;
int net_start(struct netdev *) WARN_UNUSED;
/*
 * Waits for a running callback; afterwards none comes.  NULL is allowed.  What
 * was sent shortly before may be lost.
 */
void net_close(struct netdev *);

/* Changes are reported by net_client.link. */
bool net_link_up(struct netdev *);
/* NET_OFFLOAD_x that net_send() takes, and rx could be given. */
uint32_t net_offloads(const struct netdev *);
/*
 * What rx may be given from now on; a subset of net_offloads(), at first none.
 * The backend finishes and cuts up other frames itself.
 */
void net_set_rx_offloads(struct netdev *, uint32_t offloads);
/*
 * Send one frame.  The parts may change meanwhile: they are copied first.
 * True: it was taken or dropped (as a cable drops; always so when net_hdr_ok()
 * or the length says no); false: the backend is full, try again after
 * tx_resume.
 */
bool net_send(struct netdev *, const struct net_hdr *, const struct iovec *,
    unsigned int niov, size_t len);
/* Ask for a tx_resume although net_send() did not say false. */
void net_tx_want(struct netdev *);
/* There is room for frames again. */
void net_rx_resume(struct netdev *);

/* Counters; any thread. */
struct net_stats {
	uint64_t tx_frames, tx_dropped, rx_frames, rx_dropped;
};
void net_get_stats(struct netdev *, struct net_stats *ret);

/* Settings a backend knows, for `-s help` and the check of names; one line. */
struct net_backend_info {
	const char *name, *summary;
	const char *const *settings; /* ends with NULL */
};
/* The i-th kind of backend, or NULL. */
const struct net_backend_info *net_backend_info(size_t i);

#endif /* BACKEND_NET_H */
