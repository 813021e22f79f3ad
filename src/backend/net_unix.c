/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unix=PATH: a cable between two machines on one host, given the same PATH.
 * Who comes first listens there, the other one connects; when one ends the
 * other waits for it to come back, listening if need be.
 *
 * On a SOCK_SEQPACKET socket, one frame a message, after its virtio header: an
 * unfinished frame is finished by the receiver, and only if its guest wants
 * that.  Each end first says hello; the link is up when both have, so a third
 * machine on the same PATH finds its link down.
 *
 * Two that start at once may both find nobody and both listen, the later one
 * having removed the earlier one's socket.  A listener without a peer therefore
 * looks from time to time whether PATH still is its own, and else connects.
 */
#include "net_priv.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define UNIX_RETRY_MS 500
#define UNIX_HELLO_MS 1000
#define UNIX_BURST    64 /* frames read before others have their turn */
#define UNIX_BUFFER   (1 << 20)

static const uint8_t unix_hello[12] = { 'B', 'H', 'Y', 'V', 'E', 'N', 'E', 'T',
	1 /* version */ };

struct net_unix {
	struct sockaddr_un addr;
	int listen_fd;	       /* -1: we do not listen */
	int fd;		       /* the peer, or -1 */
	bool greeted;	       /* its hello came */
	ino_t ino;	       /* of our socket's name */
	uint64_t due_ns;       /* when to try again, look again or give up */
	int listen_slot, slot; /* in net_poll, or -1 */
};

static void
unix_due(struct net_unix *u, uint64_t ms)
{
	u->due_ns = host_now_ns() + ms * 1000000;
}

static void
unix_close_fd(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

static bool
unix_name_is_ours(const struct net_unix *u)
{
	struct stat st;

	return u->listen_fd != -1 && stat(u->addr.sun_path, &st) == 0 &&
	       st.st_ino == u->ino;
}

static void
unix_stop_listening(struct net_unix *u)
{
	if (unix_name_is_ours(u))
		unlink(u->addr.sun_path);
	unix_close_fd(&u->listen_fd);
}

/* --- who is at the other end ---------------------------------------------- */

/* A new connection, on either side: say hello, wait for the peer's. */
static void
unix_greet(struct net_unix *u, int fd)
{
	int bytes = UNIX_BUFFER;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	u->fd = fd;
	u->greeted = false;
	unix_due(u, UNIX_HELLO_MS);
	/* The first message always fits; a peer that left is seen later. */
	(void)send(
	    fd, unix_hello, sizeof(unix_hello), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int
unix_socket(void)
{
	int fd =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd != -1 ? fd : -errno;
}

static int
unix_connect(struct net_unix *u)
{
	int fd = unix_socket();
	int error;

	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&u->addr, sizeof(u->addr)) == 0) {
		unix_greet(u, fd);
		return 0;
	}
	error = -errno;
	close(fd);
	return error;
}

static int
unix_listen(struct net_unix *u)
{
	struct stat st;
	int fd, error;

	if (lstat(u->addr.sun_path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return -EEXIST;
		unlink(u->addr.sun_path); /* nobody answers there */
	}
	fd = unix_socket();
	if (fd < 0)
		return fd;
	if (bind(fd, (struct sockaddr *)&u->addr, sizeof(u->addr)) == 0 &&
	    listen(fd, 4) == 0 && stat(u->addr.sun_path, &st) == 0) {
		u->listen_fd = fd;
		u->ino = st.st_ino;
		return 0;
	}
	error = -errno;
	close(fd);
	return error;
}

/* Connect, or else listen; or else it is tried again. */
static int
unix_find_peer(struct net_unix *u)
{
	int error = unix_connect(u);

	if (error == 0)
		return 0;
	unix_due(u, UNIX_RETRY_MS);
	if (error != -ENOENT && error != -ECONNREFUSED)
		return error;
	error = unix_listen(u);
	/* The peer took the name meanwhile: it will answer. */
	return error == -EADDRINUSE ? 0 : error;
}

/*
 * The peer left.  A listener goes on listening; the other one may become one,
 * but not at once if it was not even greeted.
 */
static void
unix_hang_up(struct netdev *nd)
{
	struct net_unix *u = nd->state;
	bool was_up = u->greeted;

	unix_close_fd(&u->fd);
	u->greeted = false;
	net_set_link(nd, false);
	unix_due(u, UNIX_RETRY_MS);
	if (u->listen_fd == -1 && was_up)
		(void)unix_find_peer(u);
}

static void
unix_accept(struct net_unix *u)
{
	int fd =
	    accept4(u->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd == -1)
		return;
	if (u->fd == -1)
		unix_greet(u, fd);
	else
		close(fd); /* a cable has two ends */
}

/* --- frames --------------------------------------------------------------- */

static ssize_t
unix_recv(struct net_unix *u, struct iovec *iov, size_t niov, bool *ret_gone)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = niov };
	ssize_t n = recvmsg(u->fd, &msg, MSG_DONTWAIT);

	*ret_gone = n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR);
	return (msg.msg_flags & MSG_TRUNC) ? 0 : n;
}

/* The first message.  False: nothing more for now. */
static bool
unix_read_hello(struct netdev *nd)
{
	struct net_unix *u = nd->state;
	uint8_t buf[sizeof(unix_hello) + 1];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	bool gone;
	ssize_t n = unix_recv(u, &iov, 1, &gone);

	if (n == -1 && !gone)
		return false;
	if (gone || n != sizeof(unix_hello) ||
	    memcmp(buf, unix_hello, sizeof(unix_hello)) != 0) {
		unix_hang_up(nd);
		return false;
	}
	u->greeted = true;
	net_set_link(nd, true);
	return true;
}

static bool
unix_read_frame(struct netdev *nd)
{
	struct net_unix *u = nd->state;
	uint8_t *to = net_batch_reserve(&nd->rx, NET_FRAME_MAX);
	struct net_hdr hdr;
	struct iovec iov[2] = {
		{ .iov_base = &hdr, .iov_len = sizeof(hdr) },
		{ .iov_base = to, .iov_len = NET_FRAME_MAX },
	};
	bool gone;
	ssize_t n;

	if (to == NULL)
		return false;
	n = unix_recv(u, iov, ARRAY_LEN(iov), &gone);
	if (gone)
		unix_hang_up(nd);
	if (gone || n == -1)
		return false;
	if (n < (ssize_t)sizeof(hdr))
		nd->rx_dropped++;
	else
		net_rx_commit(nd, &hdr, to, (size_t)n - sizeof(hdr));
	return true;
}

static bool
net_unix_send(struct netdev *nd, const struct net_frame *f)
{
	struct net_unix *u = nd->state;
	struct net_hdr hdr = *f->hdr;
	struct iovec iov[2] = {
		{ .iov_base = &hdr, .iov_len = sizeof(hdr) },
		{ .iov_base = f->data, .iov_len = f->len },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = ARRAY_LEN(iov) };

	if (!u->greeted) {
		nd->tx_dropped++;
		return true;
	}
	if (sendmsg(u->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return true;
	if (errno == EAGAIN)
		return false;
	nd->tx_dropped++; /* a peer that left is seen by the next read */
	return true;
}

/* --- the thread's turns --------------------------------------------------- */

static void
net_unix_prepare(struct netdev *nd, struct net_poll *p)
{
	struct net_unix *u = nd->state;
	uint64_t now = host_now_ns();

	u->listen_slot = u->slot = -1;
	if (u->listen_fd != -1)
		u->listen_slot = net_poll_add(p, u->listen_fd, POLLIN);
	if (u->fd != -1)
		u->slot = net_poll_add(p, u->fd,
		    (short)((net_rx_open(nd) ? POLLIN : 0) |
			    (net_tx_stalled(nd) ? POLLOUT : 0)));
	if (!u->greeted)
		net_poll_timeout(
		    p, u->due_ns > now ? (u->due_ns - now) / 1000000 + 1 : 0);
}

static void
unix_timer(struct netdev *nd)
{
	struct net_unix *u = nd->state;

	if (u->greeted || host_now_ns() < u->due_ns)
		return;
	unix_due(u, UNIX_RETRY_MS);
	if (u->fd != -1)
		unix_hang_up(nd); /* no hello */
	else if (u->listen_fd == -1)
		(void)unix_find_peer(u);
	else if (!unix_name_is_ours(u)) {
		unix_stop_listening(u);
		(void)unix_find_peer(u);
	}
}

static void
net_unix_work(struct netdev *nd, struct net_poll *p)
{
	struct net_unix *u = nd->state;
	short got = u->slot >= 0 ? p->fd[u->slot].revents : 0;
	bool more = (got & (POLLIN | POLLERR | POLLHUP)) && net_rx_open(nd);

	for (int i = 0; i < UNIX_BURST && more; i++)
		more = u->greeted ? unix_read_frame(nd) : unix_read_hello(nd);
	if (u->listen_slot >= 0 && (p->fd[u->listen_slot].revents & POLLIN))
		unix_accept(u);
	unix_timer(nd);
}

/* --- opening -------------------------------------------------------------- */

static int
net_unix_open(
    struct netdev *nd, const struct net_opts *o, char *err, size_t err_len)
{
	struct net_unix *u = nd->state;
	const char *path = net_opt(o, "path");
	int error;

	u->listen_fd = u->fd = -1;
	if (path == NULL || *path == '\0') {
		snprintf(err, err_len,
		    "unix without a path; right is unix=PATH, the same for "
		    "both machines");
		return -EINVAL;
	}
	if (strlen(path) >= sizeof(u->addr.sun_path)) {
		snprintf(err, err_len,
		    "unix=%.40s...: the path of a socket has at most %zu "
		    "characters",
		    path, sizeof(u->addr.sun_path) - 1);
		return -EINVAL;
	}
	u->addr.sun_family = AF_UNIX;
	memcpy(u->addr.sun_path, path, strlen(path) + 1);
	error = unix_find_peer(u);
	if (error != 0)
		snprintf(err, err_len, "unix=%s: %s", path,
		    error == -EEXIST ? "there is a file that is no socket"
				     : strerror(-error));
	return error;
}

static void
net_unix_close(struct netdev *nd)
{
	struct net_unix *u = nd->state;

	unix_close_fd(&u->fd);
	unix_stop_listening(u);
}

static const char *const unix_settings[] = { "path", NULL };

const struct net_ops net_unix_ops = {
	.info = {
		.name = "unix",
		.summary = "unix=PATH, a cable to the machine with the same PATH",
		.settings = unix_settings,
	},
	.state_size = sizeof(struct net_unix),
	.offloads = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 |
		    NET_OFFLOAD_ECN,
	.open = net_unix_open,
	.close = net_unix_close,
	.prepare = net_unix_prepare,
	.work = net_unix_work,
	.send = net_unix_send,
};
