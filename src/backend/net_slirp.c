/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slirp: a network of the guest's own behind libslirp (4.7), which speaks
 * TCP/IP to the guest and has ordinary sockets of this process on the other
 * side.  No privilege is needed.
 *
 * 10.0.2.0/24 and fec0::/64: .2 is the gateway (and with `open` the host's own
 * loopback), .3 answers DNS, DHCP leases begin at .15.  The names of bhyve's
 * settings are kept; what they mean is in bhyve(8).
 *
 * libslirp may be used by one thread at a time, and instances share variables,
 * so slirp_lock is held around every call into it.  Frames it makes are put
 * into the rx batch and handed on when the lock is dropped.
 *
 * A frame from the guest may be one large TCP segment (TSO): libslirp reads TCP
 * segments of any size that IP allows, so only its checksum is filled in.
 */
#include "net_priv.h"
#include "net_slirp_filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <util/log.h>

#define SLIRP_MTU    1500u
#define SLIRP_TIMERS 8

/* libslirp's own variables, shared by all instances. */
static struct lock slirp_lock = LOCK_INITIALIZER;

struct slirp_timer {
	bool used, armed;
	int64_t when_ms;
	SlirpTimerCb fn;
	void *fn_arg;
};

struct net_slirp {
	Slirp *slirp;
	bool open; /* the host's loopback is the guest's too */
	struct slirp_timer timer[SLIRP_TIMERS];
};

/* --- libslirp calls us; slirp_lock is held -------------------------------- */

static ssize_t
slirp_cb_send(const void *buf, size_t len, void *opaque)
{
	/* libslirp made the checksums itself. */
	static const struct net_hdr hdr = { .flags = NET_HDR_DATA_VALID };
	struct netdev *nd = opaque;
	uint8_t *to;

	if (net_merge(&nd->rx, nd->rx_offloads_told, buf, len))
		return (ssize_t)len;
	to = net_batch_reserve(&nd->rx, len);
	if (to == NULL) {
		nd->rx_dropped++; /* as any network may */
		return (ssize_t)len;
	}
	memcpy(to, buf, len);
	net_rx_commit(nd, &hdr, to, len);
	return (ssize_t)len;
}

static void
slirp_cb_guest_error(const char *msg, void *opaque)
{
	guest_error("slirp", "%s", msg);
}

static int64_t
slirp_cb_clock(void *opaque)
{
	return (int64_t)host_now_ns();
}

static void *
slirp_cb_timer_new(SlirpTimerCb fn, void *fn_arg, void *opaque)
{
	struct netdev *nd = opaque;
	struct net_slirp *s = nd->state;

	for (size_t i = 0; i < SLIRP_TIMERS; i++) {
		struct slirp_timer *t = &s->timer[i];

		if (t->used)
			continue;
		*t = (struct slirp_timer){
			.used = true,
			.fn = fn,
			.fn_arg = fn_arg,
		};
		return t;
	}
	return NULL; /* 4.7 makes one; the caller's calls below take NULL */
}

static void
slirp_cb_timer_free(void *timer, void *opaque)
{
	struct slirp_timer *t = timer;

	if (t != NULL)
		t->used = t->armed = false;
}

static void
slirp_cb_timer_mod(void *timer, int64_t when_ms, void *opaque)
{
	struct slirp_timer *t = timer;

	if (t == NULL)
		return;
	t->armed = true;
	t->when_ms = when_ms;
}

/* All descriptors are asked for anew before each wait. */
static void
slirp_cb_fd(int fd, void *opaque)
{
}

/* We are in the thread that would be woken. */
static void
slirp_cb_notify(void *opaque)
{
}

static const SlirpCb slirp_callbacks = {
	.send_packet = slirp_cb_send,
	.guest_error = slirp_cb_guest_error,
	.clock_get_ns = slirp_cb_clock,
	.timer_new = slirp_cb_timer_new,
	.timer_free = slirp_cb_timer_free,
	.timer_mod = slirp_cb_timer_mod,
	.register_poll_fd = slirp_cb_fd,
	.unregister_poll_fd = slirp_cb_fd,
	.notify = slirp_cb_notify,
};

/* --- waiting -------------------------------------------------------------- */

static const struct {
	int slirp;
	short poll;
} slirp_events[] = {
	{ SLIRP_POLL_IN, POLLIN },
	{ SLIRP_POLL_OUT, POLLOUT },
	{ SLIRP_POLL_PRI, POLLPRI },
	{ SLIRP_POLL_ERR, POLLERR },
	{ SLIRP_POLL_HUP, POLLHUP },
};

static int
slirp_add_poll(int fd, int events, void *opaque)
{
	struct netdev *nd = opaque;
	short want = 0;

	for (size_t i = 0; i < ARRAY_LEN(slirp_events); i++) {
		if (events & slirp_events[i].slirp)
			want |= slirp_events[i].poll;
	}
	return net_poll_add(&nd->poll, fd, want);
}

static int
slirp_get_revents(int idx, void *opaque)
{
	struct netdev *nd = opaque;
	short got = nd->poll.fd[idx].revents;
	int events = 0;

	for (size_t i = 0; i < ARRAY_LEN(slirp_events); i++) {
		if (got & slirp_events[i].poll)
			events |= slirp_events[i].slirp;
	}
	return events;
}

static uint64_t
slirp_now_ms(void)
{
	return host_now_ns() / 1000000;
}

static void
slirp_timers_prepare(struct net_slirp *s, struct net_poll *p)
{
	int64_t now = (int64_t)slirp_now_ms();

	for (size_t i = 0; i < SLIRP_TIMERS; i++) {
		if (s->timer[i].armed)
			net_poll_timeout(
			    p, (uint64_t)MAX(s->timer[i].when_ms - now, 0));
	}
}

static void
slirp_timers_run(struct net_slirp *s)
{
	int64_t now = (int64_t)slirp_now_ms();

	for (size_t i = 0; i < SLIRP_TIMERS; i++) {
		struct slirp_timer *t = &s->timer[i];

		if (!t->armed || t->when_ms > now)
			continue;
		t->armed = false; /* it may arm itself again */
		t->fn(t->fn_arg);
	}
}

static void
net_slirp_prepare(struct netdev *nd, struct net_poll *p)
{
	struct net_slirp *s = nd->state;
	uint32_t timeout = UINT32_MAX;

	/* The guest has no room: let data wait in the sockets. */
	if (net_rx_open(nd)) {
		lock_acquire(&slirp_lock);
		slirp_pollfds_fill(s->slirp, &timeout, slirp_add_poll, nd);
		lock_release(&slirp_lock);
		if (timeout != UINT32_MAX)
			net_poll_timeout(p, timeout);
	}
	slirp_timers_prepare(s, p);
}

static void
net_slirp_work(struct netdev *nd, struct net_poll *p)
{
	struct net_slirp *s = nd->state;

	lock_acquire(&slirp_lock);
	slirp_timers_run(s);
	if (net_rx_open(nd))
		slirp_pollfds_poll(s->slirp, 0, slirp_get_revents, nd);
	lock_release(&slirp_lock);
}

static bool
net_slirp_send(struct netdev *nd, const struct net_frame *f)
{
	struct net_slirp *s = nd->state;

	if ((!s->open && !net_slirp_allows(f->data, f->len)) ||
	    !net_finish(f->hdr, f->data, f->len)) {
		nd->tx_dropped++;
		return true;
	}
	lock_acquire(&slirp_lock);
	slirp_input(s->slirp, f->data, (int)f->len);
	lock_release(&slirp_lock);
	return true;
}

/* --- opening -------------------------------------------------------------- */

static void
slirp_addr_text(const union net_addr *a, char *buf, size_t len)
{
	char host[INET6_ADDRSTRLEN] = "";
	bool v6 = a->sa.sa_family == AF_INET6;

	inet_ntop(a->sa.sa_family,
	    v6 ? (const void *)&a->in6.sin6_addr
	       : (const void *)&a->in.sin_addr,
	    host, sizeof(host));
	snprintf(buf, len, v6 ? "[%s]:%u" : "%s:%u", host,
	    ntohs(v6 ? a->in6.sin6_port : a->in.sin_port));
}

static socklen_t
slirp_addr_len(const union net_addr *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->in6) : sizeof(a->in);
}

/*
 * Can the address be had?  libslirp would share a UDP port with its user, and
 * does not say why it fails.
 */
static int
slirp_probe(const struct net_hostfwd *f)
{
	int type = f->udp ? SOCK_DGRAM : SOCK_STREAM;
	int fd = socket(f->host.sa.sa_family, type | SOCK_CLOEXEC, 0);
	int one = 1;
	int error = 0;

	if (fd == -1)
		return -errno;
	if (!f->udp)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (f->host.sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, &f->host.sa, slirp_addr_len(&f->host)) == -1 ||
	    (!f->udp && listen(fd, 1) == -1))
		error = -errno;
	close(fd);
	return error;
}

static int
slirp_forward(
    struct net_slirp *s, const struct net_hostfwd *f, char *err, size_t err_len)
{
	int flags =
	    (f->udp ? SLIRP_HOSTFWD_UDP : 0) |
	    (f->host.sa.sa_family == AF_INET6 ? SLIRP_HOSTFWD_V6ONLY : 0);
	int error = slirp_probe(f);
	char host[64], guest[64];

	slirp_addr_text(&f->host, host, sizeof(host));
	if (error != 0) {
		snprintf(err, err_len, "hostfwd: %s port %s of the host: %s",
		    f->udp ? "udp" : "tcp", host, strerror(-error));
		return -EINVAL;
	}
	lock_acquire(&slirp_lock);
	error =
	    slirp_add_hostxfwd(s->slirp, &f->host.sa, slirp_addr_len(&f->host),
		&f->guest.sa, slirp_addr_len(&f->guest), flags);
	lock_release(&slirp_lock);
	if (error == 0)
		return 0;
	slirp_addr_text(&f->guest, guest, sizeof(guest));
	snprintf(
	    err, err_len, "hostfwd: libslirp refuses %s to %s", host, guest);
	return -EINVAL;
}

/* What libslirp would listen for in vain. */
static const char *
slirp_forward_useless(const struct net_hostfwd *f, bool open, bool restricted)
{
	static const uint8_t zero[15];
	bool loopback =
	    f->host.sa.sa_family == AF_INET6
		? memcmp(&f->host.in6.sin6_addr, zero, 15) == 0 &&
		      f->host.in6.sin6_addr.s6_addr[15] == 1
		: ntohl(f->host.in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;

	if (!f->udp)
		return NULL;
	/* It drops the guest's answers. */
	if (restricted)
		return "with restrict only tcp can be forwarded";
	if (loopback && !open)
		return "udp from the host's own loopback address needs the "
		       "setting open as well";
	return NULL;
}

static int
slirp_forward_all(struct net_slirp *s, const char *text, bool restricted,
    char *err, size_t err_len)
{
	struct net_hostfwd fwd[NET_HOSTFWD_MAX];
	const char *useless;
	int n, error = 0;

	if (text == NULL)
		return 0;
	n = net_hostfwd_parse(text, fwd, ARRAY_LEN(fwd), err, err_len);
	if (n < 0)
		return n;
	for (int i = 0; i < n && error == 0; i++) {
		useless = slirp_forward_useless(&fwd[i], s->open, restricted);
		if (useless != NULL) {
			snprintf(err, err_len, "hostfwd: %s", useless);
			return -EINVAL;
		}
		error = slirp_forward(s, &fwd[i], err, err_len);
	}
	return error;
}

static int
slirp_bool(const struct net_opts *o, const char *name, bool *ret, char *err,
    size_t err_len)
{
	const char *text = net_opt(o, name);

	*ret = text != NULL && strcmp(text, "true") == 0;
	if (text == NULL || *ret || strcmp(text, "false") == 0)
		return 0;
	snprintf(err, err_len, "%s=%.32s: right is true or false", name, text);
	return -EINVAL;
}

static struct in_addr
slirp_in_addr(uint32_t addr)
{
	return (struct in_addr){ .s_addr = htonl(addr) };
}

static void
slirp_config(
    SlirpConfig *cfg, const struct net_opts *o, bool open, bool restricted)
{
	*cfg = (SlirpConfig){
		.version = 1,
		.restricted = restricted,
		.in_enabled = true,
		.vnetwork = slirp_in_addr(SLIRP_NET),
		.vnetmask = slirp_in_addr(SLIRP_MASK),
		.vhost = slirp_in_addr(SLIRP_HOST),
		.in6_enabled = true,
		.vprefix_len = 64,
		.vdhcp_start = slirp_in_addr(SLIRP_DHCP),
		.vnameserver = slirp_in_addr(SLIRP_DNS),
		.if_mtu = o->mtu != 0 ? o->mtu : SLIRP_MTU,
		.if_mru = o->mtu != 0 ? o->mtu : SLIRP_MTU,
		.disable_host_loopback = !open,
	};
	inet_pton(AF_INET6, SLIRP_NET6, &cfg->vprefix_addr6);
	inet_pton(AF_INET6, SLIRP_HOST6, &cfg->vhost6);
	inet_pton(AF_INET6, SLIRP_DNS6, &cfg->vnameserver6);
}

static int
net_slirp_open(
    struct netdev *nd, const struct net_opts *o, char *err, size_t err_len)
{
	struct net_slirp *s = nd->state;
	SlirpConfig cfg;
	bool restricted;

	if (slirp_bool(o, "open", &s->open, err, err_len) != 0 ||
	    slirp_bool(o, "restrict", &restricted, err, err_len) != 0)
		return -EINVAL;
	if (s->open && restricted) {
		snprintf(err, err_len,
		    "open and restrict contradict each other; one must go");
		return -EINVAL;
	}
	slirp_config(&cfg, o, s->open, restricted);
	lock_acquire(&slirp_lock);
	s->slirp = slirp_new(&cfg, &slirp_callbacks, nd);
	lock_release(&slirp_lock);
	if (s->slirp == NULL) {
		snprintf(err, err_len, "libslirp cannot start");
		return -EIO;
	}
	net_set_link(nd, true);
	return slirp_forward_all(
	    s, net_opt(o, "hostfwd"), restricted, err, err_len);
}

static void
net_slirp_close(struct netdev *nd)
{
	struct net_slirp *s = nd->state;

	if (s->slirp == NULL)
		return;
	lock_acquire(&slirp_lock);
	slirp_cleanup(s->slirp);
	lock_release(&slirp_lock);
}

static const char *const slirp_settings[] = { "open", "restrict", "hostfwd",
	NULL };

const struct net_ops net_slirp_ops = {
	.info = {
		.name = "slirp",
		.summary = "NAT with DHCP and DNS; needs no privilege",
		.settings = slirp_settings,
	},
	.state_size = sizeof(struct net_slirp),
	.offloads = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 |
		    NET_OFFLOAD_ECN,
	.open = net_slirp_open,
	.close = net_slirp_close,
	.prepare = net_slirp_prepare,
	.work = net_slirp_work,
	.send = net_slirp_send,
};
