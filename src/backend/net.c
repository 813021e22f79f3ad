/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network backends: what all kinds have in common, namely the choice of the
 * kind, the thread, the row of frames to be sent and that of frames received.
 *
 * A sender copies its frame into tx_fill and goes on; the thread takes the
 * whole row at once by exchanging it with tx_drain, so a burst costs one
 * wake-up and no system call of the sender's but that.  A guest's CPU thread is
 * such a sender.
 */
#include "net_priv.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NET_TX_BYTES (512u << 10) /* of each of the two */
#define NET_RX_BYTES (2u << 20)

static const struct net_ops *const net_kinds[] = {
	&net_slirp_ops,
	&net_tap_ops,
	&net_unix_ops,
};

/* What bhyve has on FreeBSD and Linux has not, and what to use instead. */
static const struct {
	const char *prefix, *instead;
} net_elsewhere[] = {
	{ "vmnet", "tapN or unix=PATH" },
	{ "netgraph", "unix=PATH between machines, or tapN" },
	{ "netmap", "tapN" },
	{ "vale", "unix=PATH between two machines, or tapN on a bridge" },
};

const struct net_backend_info *
net_backend_info(size_t i)
{
	return i < ARRAY_LEN(net_kinds) ? &net_kinds[i]->info : NULL;
}

static const struct net_ops *
net_kind(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(net_kinds); i++) {
		const struct net_ops *ops = net_kinds[i];
		size_t n = strlen(ops->info.name);
		size_t digits =
		    strspn(name + MIN(n, strlen(name)), "0123456789");

		if (strncmp(name, ops->info.name, n) != 0)
			continue;
		if (ops->numbered && digits > 0 && name[n + digits] == '\0')
			return ops;
		if (!ops->numbered && name[n] == '\0')
			return ops;
	}
	return NULL;
}

static int
net_no_kind(const char *name, char *err, size_t err_len)
{
	for (size_t i = 0; i < ARRAY_LEN(net_elsewhere); i++) {
		const char *prefix = net_elsewhere[i].prefix;

		if (strncmp(name, prefix, strlen(prefix)) != 0)
			continue;
		snprintf(err, err_len,
		    "the network \"%.64s\" does not exist on Linux; use %s",
		    name, net_elsewhere[i].instead);
		return -EINVAL;
	}
	snprintf(err, err_len,
	    "no such network \"%.64s\"; right is slirp, tapN or unix=PATH",
	    name);
	return -EINVAL;
}

/* --- waking the thread ---------------------------------------------------- */

/*
 * The thread says that it is about to sleep, then looks once more at all that
 * is left for it; who leaves something looks afterwards whether it sleeps.
 * Both are sequentially consistent, so at least one sees the other.
 */
static void
net_wake(struct netdev *nd)
{
	uint64_t one = 1;
	ssize_t n;

	if (!atomic_exchange(&nd->sleeping, false))
		return;
	n = write(nd->wake_fd, &one, sizeof(one));
	assert(n == sizeof(one));
	(void)n;
}

static bool
net_tx_waiting(struct netdev *nd)
{
	bool waiting;

	if (nd->tx_stalled)
		return false;
	lock_acquire(&nd->lock);
	waiting = nd->tx_full || !net_batch_empty(&nd->tx_fill);
	lock_release(&nd->lock);
	return waiting;
}

static bool
net_has_work(struct netdev *nd)
{
	return atomic_load(&nd->stop) || atomic_load(&nd->rx_resume) ||
	       atomic_load(&nd->rx_offloads) != nd->rx_offloads_told ||
	       net_tx_waiting(nd);
}

int
net_poll_add(struct net_poll *p, int fd, short events)
{
	if (p->n == p->cap) {
		unsigned int cap = p->cap == 0 ? 16 : p->cap * 2;
		struct pollfd *fds = xcalloc(cap, sizeof(*fds));

		if (p->n > 0)
			memcpy(fds, p->fd, p->n * sizeof(*fds));
		free(p->fd);
		p->fd = fds;
		p->cap = cap;
	}
	p->fd[p->n] = (struct pollfd){ .fd = fd, .events = events };
	return (int)p->n++;
}

void
net_poll_timeout(struct net_poll *p, uint64_t ms)
{
	int t = (int)MIN(ms, (uint64_t)INT32_MAX);

	if (p->timeout_ms < 0 || t < p->timeout_ms)
		p->timeout_ms = t;
}

static void
net_sleep(struct netdev *nd)
{
	struct net_poll *p = &nd->poll;
	uint64_t count;

	p->n = 0;
	p->timeout_ms = -1;
	net_poll_add(p, nd->wake_fd, POLLIN);
	nd->ops->prepare(nd, p);
	atomic_store(&nd->sleeping, true);
	if (net_has_work(nd))
		p->timeout_ms = 0;
	if (poll(p->fd, p->n, p->timeout_ms) <= 0) {
		for (unsigned int i = 0; i < p->n; i++)
			p->fd[i].revents = 0;
	}
	atomic_store(&nd->sleeping, false);
	/* The count says nothing that the flags do not. */
	if ((p->fd[0].revents & POLLIN) &&
	    read(nd->wake_fd, &count, sizeof(count)) == -1)
		assert(errno == EAGAIN);
}

/* --- sending -------------------------------------------------------------- */

static size_t
net_gather(uint8_t *dst, const struct iovec *iov, unsigned int niov, size_t len)
{
	size_t done = 0;

	for (unsigned int i = 0; i < niov && done < len; i++) {
		size_t n = MIN(iov[i].iov_len, len - done);

		memcpy(dst + done, iov[i].iov_base, n);
		done += n;
	}
	return done;
}

bool
net_send(struct netdev *nd, const struct net_hdr *hdr, const struct iovec *iov,
    unsigned int niov, size_t len)
{
	bool taken = true;
	uint8_t *to;

	if (!net_hdr_ok(hdr, len, nd->ops->offloads)) {
		nd->tx_dropped++;
		return true;
	}
	lock_acquire(&nd->lock);
	to = net_batch_reserve(&nd->tx_fill, len);
	if (to == NULL) {
		nd->tx_full = true;
		taken = false;
	} else if (net_gather(to, iov, niov, len) == len) {
		net_batch_commit(&nd->tx_fill, hdr, len);
	} else {
		nd->tx_dropped++;
	}
	lock_release(&nd->lock);
	if (taken)
		net_wake(nd);
	return taken;
}

void
net_tx_want(struct netdev *nd)
{
	lock_acquire(&nd->lock);
	nd->tx_full = true;
	lock_release(&nd->lock);
	net_wake(nd);
}

/* Take the row; true: there is room again and somebody waits for it. */
static bool
net_tx_take(struct netdev *nd)
{
	struct net_batch row;
	bool was_full;

	lock_acquire(&nd->lock);
	row = nd->tx_fill;
	nd->tx_fill = nd->tx_drain;
	nd->tx_drain = row;
	was_full = nd->tx_full;
	nd->tx_full = false;
	lock_release(&nd->lock);
	return was_full;
}

static void
net_transmit(struct netdev *nd)
{
	struct net_frame f;
	uint64_t sent = 0;

	if (net_batch_empty(&nd->tx_drain) && net_tx_take(nd))
		nd->client->tx_resume(nd->arg);
	nd->tx_stalled = false;
	while (net_batch_peek(&nd->tx_drain, &f)) {
		if (!nd->ops->send(nd, &f)) {
			nd->tx_stalled = true;
			break;
		}
		net_batch_skip(&nd->tx_drain);
		sent++;
	}
	nd->tx_frames += sent;
	if (sent > 0 && nd->ops->send_end != NULL)
		nd->ops->send_end(nd);
}

/* --- receiving ------------------------------------------------------------ */

void
net_rx_commit(
    struct netdev *nd, const struct net_hdr *hdr, uint8_t *frame, size_t len)
{
	uint32_t missing = net_hdr_needs(hdr) & ~nd->rx_offloads_told;
	struct net_hdr h = *hdr;
	uint8_t *copy;
	bool ok;

	if (!net_hdr_ok(&h, len, ~0u)) {
		nd->rx_dropped++;
		return;
	}
	if (!(nd->rx_offloads_told & NET_OFFLOAD_CSUM))
		h.flags &= (uint8_t)~NET_HDR_DATA_VALID;
	if (missing == 0) {
		net_batch_commit(&nd->rx, &h, len);
	} else if (h.gso_type == NET_GSO_NONE) {
		ok = net_finish(&h, frame, len);
		assert(ok); /* net_hdr_ok() was asked */
		net_batch_commit(&nd->rx, &(struct net_hdr){ 0 }, len);
	} else {
		/* The segments go where the frame lies now. */
		copy = malloc(len);
		if (copy != NULL)
			memcpy(copy, frame, len);
		if (copy == NULL || !net_segment(&h, copy, len, &nd->rx))
			nd->rx_dropped++;
		free(copy);
	}
}

/* A frame that lay here while the client changed what it takes. */
static bool
net_rx_stale(const struct netdev *nd, const struct net_frame *f)
{
	return (net_hdr_needs(f->hdr) & ~nd->rx_offloads_told) != 0;
}

static void
net_deliver(struct netdev *nd)
{
	struct net_frame f;
	bool any = false;

	if (atomic_exchange(&nd->rx_resume, false))
		nd->rx_stalled = false;
	while (!nd->rx_stalled && net_batch_peek(&nd->rx, &f)) {
		if (net_rx_stale(nd, &f)) {
			nd->rx_dropped++;
		} else if (nd->client->rx(nd->arg, f.hdr, f.data, f.len)) {
			nd->rx_frames++;
			any = true;
		} else {
			/* rx_resume, set from now on, is looked at again. */
			nd->rx_stalled = true;
			break;
		}
		net_batch_skip(&nd->rx);
	}
	if (any && nd->client->rx_end != NULL)
		nd->client->rx_end(nd->arg);
}

void
net_rx_resume(struct netdev *nd)
{
	atomic_store(&nd->rx_resume, true);
	net_wake(nd);
}

void
net_set_rx_offloads(struct netdev *nd, uint32_t offloads)
{
	atomic_store(&nd->rx_offloads, offloads & nd->ops->offloads);
	net_wake(nd);
}

static void
net_tell_offloads(struct netdev *nd)
{
	uint32_t offloads = atomic_load(&nd->rx_offloads);

	if (offloads == nd->rx_offloads_told)
		return;
	nd->rx_offloads_told = offloads;
	if (nd->ops->rx_offloads != NULL)
		nd->ops->rx_offloads(nd, offloads);
}

uint32_t
net_offloads(const struct netdev *nd)
{
	return nd->ops->offloads;
}

/* --- the link ------------------------------------------------------------- */

void
net_set_link(struct netdev *nd, bool up)
{
	if (atomic_exchange(&nd->link_up, up) == up || !nd->running)
		return;
	nd->client->link(nd->arg, up);
}

bool
net_link_up(struct netdev *nd)
{
	return atomic_load(&nd->link_up);
}

void
net_get_stats(struct netdev *nd, struct net_stats *ret)
{
	*ret = (struct net_stats){
		.tx_frames = nd->tx_frames,
		.tx_dropped = nd->tx_dropped,
		.rx_frames = nd->rx_frames,
		.rx_dropped = nd->rx_dropped,
	};
}

/* --- life ----------------------------------------------------------------- */

static void *
net_thread(void *arg)
{
	struct netdev *nd = arg;

	while (!atomic_load(&nd->stop)) {
		net_sleep(nd);
		net_tell_offloads(nd);
		nd->ops->work(nd, &nd->poll);
		net_transmit(nd);
		net_deliver(nd);
	}
	return NULL;
}

static void
net_free(struct netdev *nd)
{
	nd->ops->close(nd);
	if (nd->wake_fd != -1)
		close(nd->wake_fd);
	net_batch_fini(&nd->tx_fill);
	net_batch_fini(&nd->tx_drain);
	net_batch_fini(&nd->rx);
	lock_fini(&nd->lock);
	free(nd->poll.fd);
	free(nd->state);
	free(nd);
}

static int
net_init(struct netdev *nd, char *err, size_t err_len)
{
	int error;

	nd->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = nd->wake_fd == -1 ? -errno : 0;
	if (error == 0)
		error = net_batch_init(&nd->tx_fill, NET_TX_BYTES);
	if (error == 0)
		error = net_batch_init(&nd->tx_drain, NET_TX_BYTES);
	if (error == 0)
		error = net_batch_init(&nd->rx, NET_RX_BYTES);
	if (error != 0)
		snprintf(err, err_len, "network %s: %s", nd->ops->info.name,
		    strerror(-error));
	return error;
}

static int
net_check_opts(const struct net_opts *o, char *err, size_t err_len)
{
	if (o->mtu == 0 || (o->mtu >= NET_MTU_MIN && o->mtu <= NET_MTU_MAX))
		return 0;
	snprintf(err, err_len, "mtu=%u: right is %u to %u", o->mtu, NET_MTU_MIN,
	    NET_MTU_MAX);
	return -EINVAL;
}

int
net_open(const struct net_opts *opts, const struct net_client *client,
    void *arg, struct netdev **ret, char *err, size_t err_len)
{
	const struct net_ops *ops = net_kind(opts->backend);
	struct netdev *nd;
	int error;

	if (ops == NULL)
		return net_no_kind(opts->backend, err, err_len);
	error = net_check_opts(opts, err, err_len);
	if (error != 0)
		return error;
	nd = xcalloc(1, sizeof(*nd));
	nd->ops = ops;
	nd->state = xcalloc(1, ops->state_size);
	nd->client = client;
	nd->arg = arg;
	nd->wake_fd = -1;
	lock_init(&nd->lock);
	error = net_init(nd, err, err_len);
	if (error == 0)
		error = ops->open(nd, opts, err, err_len);
	if (error != 0) {
		net_free(nd);
		return error;
	}
	*ret = nd;
	return 0;
}

/* Signals are for the event thread. */
int
net_start(struct netdev *nd)
{
	char name[16];
	sigset_t all, old;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	nd->running = true;
	error = pthread_create(&nd->thread, NULL, net_thread, nd);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error != 0) {
		nd->running = false;
		return -error;
	}
	snprintf(name, sizeof(name), "net %s", nd->ops->info.name);
	pthread_setname_np(nd->thread, name);
	return 0;
}

void
net_close(struct netdev *nd)
{
	if (nd == NULL)
		return;
	if (nd->running) {
		atomic_store(&nd->stop, true);
		net_wake(nd);
		pthread_join(nd->thread, NULL);
	}
	net_free(nd);
}
