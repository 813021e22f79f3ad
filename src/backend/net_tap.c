/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tapN: an Ethernet interface of the host whose other end is the guest's card
 * (Linux, Documentation/networking/tuntap.rst).  The frames carry the virtio
 * header, so that checksums and large segments stay as they are on the way.
 *
 * The interface is made when it is not there and we may; one of our making goes
 * when we go.  Bridging it and giving it addresses is the host's business, no
 * script is run.
 */
#include "net_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TAP_DEVICE   "/dev/net/tun"
#define TAP_RETRY_MS 1000
#define TAP_BURST    64 /* frames read before others have their turn */

struct net_tap {
	int fd;	  /* -1: the interface is gone */
	int slot; /* in net_poll, or -1 */
	char name[IFNAMSIZ];
	uint32_t rx_offloads;
	uint64_t retry_ns;
};

static int
tap_fail(const struct net_tap *t, int error, char *err, size_t err_len)
{
	if (error == -EPERM || error == -EACCES)
		snprintf(err, err_len,
		    "%s: not permitted; as root: ip tuntap add dev %s mode tap "
		    "user $USER && ip link set %s up",
		    t->name, t->name, t->name);
	else if (error == -EBUSY)
		snprintf(err, err_len,
		    "%s is in use by another program, or no tap interface",
		    t->name);
	else if (error == -ENOENT || error == -ENXIO || error == -ENODEV)
		snprintf(err, err_len,
		    "%s: " TAP_DEVICE " is missing; load the module tun",
		    t->name);
	else
		snprintf(err, err_len, "%s: %s", t->name, strerror(-error));
	return error;
}

/* Which unfinished frames the host may give us. */
static void
tap_set_offloads(struct net_tap *t)
{
	unsigned long flags = 0;

	/* The kernel wants TUN_F_CSUM with any other. */
	if (t->rx_offloads & NET_OFFLOAD_CSUM) {
		flags |= TUN_F_CSUM;
		if (t->rx_offloads & NET_OFFLOAD_TSO4)
			flags |= TUN_F_TSO4;
		if (t->rx_offloads & NET_OFFLOAD_TSO6)
			flags |= TUN_F_TSO6;
		if (t->rx_offloads & NET_OFFLOAD_ECN)
			flags |= TUN_F_TSO_ECN;
	}
	/* Refused: net_rx_commit() finishes what comes. */
	(void)ioctl(t->fd, TUNSETOFFLOAD, flags);
}

static int
tap_attach(struct net_tap *t)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int hdr_len = (int)sizeof(struct net_hdr);
	int error;

	t->fd = open(TAP_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (t->fd == -1)
		return -errno;
	memcpy(ifr.ifr_name, t->name, sizeof(ifr.ifr_name));
	if (ioctl(t->fd, TUNSETIFF, &ifr) == -1 ||
	    ioctl(t->fd, TUNSETVNETHDRSZ, &hdr_len) == -1) {
		error = -errno;
		close(t->fd);
		t->fd = -1;
		return error;
	}
	tap_set_offloads(t);
	return 0;
}

/* Up, and with the card's MTU.  Without the right to it: as it is. */
static void
tap_configure(struct net_tap *t, uint16_t mtu)
{
	struct ifreq ifr = { .ifr_flags = 0 };
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s == -1)
		return;
	memcpy(ifr.ifr_name, t->name, sizeof(ifr.ifr_name));
	if (mtu != 0) {
		ifr.ifr_mtu = mtu;
		(void)ioctl(s, SIOCSIFMTU, &ifr);
	}
	if (ioctl(s, SIOCGIFFLAGS, &ifr) == 0 && !(ifr.ifr_flags & IFF_UP)) {
		ifr.ifr_flags |= IFF_UP;
		(void)ioctl(s, SIOCSIFFLAGS, &ifr);
	}
	close(s);
}

static int
net_tap_open(
    struct netdev *nd, const struct net_opts *o, char *err, size_t err_len)
{
	struct net_tap *t = nd->state;
	int error;

	t->fd = -1;
	if (strlen(o->backend) >= sizeof(t->name)) {
		snprintf(err, err_len,
		    "\"%.64s\": the name of an interface has at most %zu "
		    "characters",
		    o->backend, sizeof(t->name) - 1);
		return -EINVAL;
	}
	snprintf(t->name, sizeof(t->name), "%s", o->backend);
	error = tap_attach(t);
	if (error != 0)
		return tap_fail(t, error, err, err_len);
	tap_configure(t, o->mtu);
	net_set_link(nd, true);
	return 0;
}

static void
net_tap_close(struct netdev *nd)
{
	struct net_tap *t = nd->state;

	if (t->fd != -1)
		close(t->fd);
}

/* Somebody deleted the interface; the same name may come back. */
static void
tap_gone(struct netdev *nd)
{
	struct net_tap *t = nd->state;

	close(t->fd);
	t->fd = -1;
	t->retry_ns = host_now_ns() + TAP_RETRY_MS * 1000000ull;
	net_set_link(nd, false);
}

static void
net_tap_prepare(struct netdev *nd, struct net_poll *p)
{
	struct net_tap *t = nd->state;

	t->slot = -1;
	if (t->fd == -1)
		net_poll_timeout(p, TAP_RETRY_MS);
	else
		t->slot = net_poll_add(p, t->fd,
		    (short)((net_rx_open(nd) ? POLLIN : 0) |
			    (net_tx_stalled(nd) ? POLLOUT : 0)));
}

/* Only an interface that is there already: one who deletes it means it. */
static void
tap_retry(struct netdev *nd)
{
	struct net_tap *t = nd->state;

	if (host_now_ns() < t->retry_ns)
		return;
	t->retry_ns = host_now_ns() + TAP_RETRY_MS * 1000000ull;
	if (if_nametoindex(t->name) != 0 && tap_attach(t) == 0)
		net_set_link(nd, true);
}

/* False: nothing more for now. */
static bool
tap_read(struct netdev *nd)
{
	struct net_tap *t = nd->state;
	uint8_t *to = net_batch_reserve(&nd->rx, NET_FRAME_MAX);
	struct net_hdr hdr;
	struct iovec iov[2] = {
		{ .iov_base = &hdr, .iov_len = sizeof(hdr) },
		{ .iov_base = to, .iov_len = NET_FRAME_MAX },
	};
	ssize_t n;

	if (to == NULL)
		return false;
	n = readv(t->fd, iov, 2);
	if (n == -1 && errno != EAGAIN && errno != EINTR)
		tap_gone(nd);
	if (n < (ssize_t)sizeof(hdr))
		return false;
	net_rx_commit(nd, &hdr, to, (size_t)n - sizeof(hdr));
	return true;
}

static void
net_tap_work(struct netdev *nd, struct net_poll *p)
{
	struct net_tap *t = nd->state;
	short got = t->slot >= 0 ? p->fd[t->slot].revents : 0;

	if (t->fd == -1) {
		tap_retry(nd);
		return;
	}
	if (net_rx_open(nd) && (got & (POLLIN | POLLERR | POLLHUP))) {
		for (int i = 0; i < TAP_BURST && tap_read(nd); i++)
			;
	} else if (got & (POLLERR | POLLHUP)) {
		tap_gone(nd);
	}
}

static bool
net_tap_send(struct netdev *nd, const struct net_frame *f)
{
	struct net_tap *t = nd->state;
	struct net_hdr hdr = *f->hdr;
	struct iovec iov[2] = {
		{ .iov_base = &hdr, .iov_len = sizeof(hdr) },
		{ .iov_base = f->data, .iov_len = f->len },
	};

	if (t->fd == -1)
		return true;
	if (writev(t->fd, iov, 2) >= 0)
		return true;
	if (errno == EAGAIN)
		return false;
	/* EINVAL: a frame the host does not like; EIO: it is down. */
	nd->tx_dropped++;
	if (errno == EBADFD)
		tap_gone(nd);
	return true;
}

static void
net_tap_rx_offloads(struct netdev *nd, uint32_t offloads)
{
	struct net_tap *t = nd->state;

	t->rx_offloads = offloads;
	if (t->fd != -1)
		tap_set_offloads(t);
}

static const char *const tap_settings[] = { NULL };

const struct net_ops net_tap_ops = {
	.info = {
		.name = "tap",
		.summary = "tapN, an interface of the host",
		.settings = tap_settings,
	},
	.numbered = true,
	.state_size = sizeof(struct net_tap),
	.offloads = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 |
		    NET_OFFLOAD_ECN,
	.open = net_tap_open,
	.close = net_tap_close,
	.prepare = net_tap_prepare,
	.work = net_tap_work,
	.send = net_tap_send,
	.rx_offloads = net_tap_rx_offloads,
};
