/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A listening TCP socket as a character backend: one client at a time, the
 * next one is told so and sent away.  Without a client output is dropped.
 *
 * The owner waits on one descriptor for input although clients come and go: it
 * is an epoll set of the listening socket and the client.  For output it waits
 * on a duplicate of the client's socket, which exists as long as there is
 * unsent output: when such a client leaves, its socket is only shut down, so
 * that the owner wakes, flushes (into nothing) and lets go of it.
 */
#include "char_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHAR_TCP_DEFAULT_ADDR "127.0.0.1"

struct char_tcp_name {
	char host[256];
	char port[6];
};

/* "port", "addr:port" or "[v6addr]:port". */
static int
char_tcp_parse(const char *arg, struct char_tcp_name *name)
{
	const char *colon = strrchr(arg, ':');
	const char *host = CHAR_TCP_DEFAULT_ADDR;
	size_t host_len = strlen(host);
	uint64_t port;

	if (parse_u64(colon != NULL ? colon + 1 : arg, 1, 65535, &port) != 0)
		return -EINVAL;
	if (colon != NULL) {
		host = arg;
		host_len = (size_t)(colon - arg);
		if (host_len >= 2 && host[0] == '[' &&
		    host[host_len - 1] == ']') {
			host++;
			host_len -= 2;
		} else if (memchr(host, ':', host_len) != NULL) {
			return -EINVAL; /* v6 needs its brackets */
		}
	}
	if (host_len == 0 || host_len >= sizeof(name->host))
		return -EINVAL;
	memcpy(name->host, host, host_len);
	name->host[host_len] = '\0';
	snprintf(name->port, sizeof(name->port), "%u", (unsigned int)port);
	return 0;
}

static int
char_tcp_listen(const struct addrinfo *ai)
{
	int fd = socket(ai->ai_family,
	    ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, ai->ai_protocol);
	int one = 1;
	int error;

	if (fd == -1)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, 4) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

static int
char_tcp_resolve(const struct char_tcp_name *name, char *err, size_t err_len)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE };
	struct addrinfo *list;
	int error, fd;

	error = getaddrinfo(name->host, name->port, &hints, &list);
	if (error != 0) {
		snprintf(err, err_len, "tcp: address '%s': %s", name->host,
		    gai_strerror(error));
		return -EINVAL;
	}
	fd = char_tcp_listen(list);
	freeaddrinfo(list);
	if (fd < 0)
		snprintf(err, err_len, "tcp: listen on %s port %s: %s",
		    name->host, name->port, strerror(-fd));
	return fd;
}

static int
char_tcp_watch(struct chardev *cd, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(cd->rfd, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -errno;
}

static int
char_tcp_open(struct chardev *cd, const char *arg, char *err, size_t err_len)
{
	struct char_tcp_name name;
	int error;

	if (char_tcp_parse(arg, &name) != 0) {
		snprintf(err, err_len,
		    "bad address 'tcp=%s': want tcp=[ADDR:]PORT, "
		    "PORT 1 to 65535",
		    arg);
		return -EINVAL;
	}
	cd->listen_fd = char_tcp_resolve(&name, err, err_len);
	if (cd->listen_fd < 0)
		return cd->listen_fd;
	cd->rfd = epoll_create1(EPOLL_CLOEXEC);
	error = cd->rfd == -1 ? -errno : char_tcp_watch(cd, cd->listen_fd);
	if (error != 0)
		snprintf(err, err_len, "tcp: epoll: %s", strerror(-error));
	return error;
}

static void
char_tcp_close_client(struct chardev *cd)
{
	if (cd->in != -1)
		close(cd->in);
	if (cd->wfd != -1)
		close(cd->wfd);
	cd->in = cd->wfd = -1;
	cd->client_gone = false;
}

/* The client left.  With output unsent, let the owner notice first. */
static void
char_tcp_hang_up(struct chardev *cd)
{
	if (cd->buf_len == 0) {
		char_tcp_close_client(cd);
		return;
	}
	epoll_ctl(cd->rfd, EPOLL_CTL_DEL, cd->in, NULL);
	shutdown(cd->in, SHUT_RDWR);
	cd->client_gone = true;
}

static void
char_tcp_close(struct chardev *cd)
{
	char_tcp_close_client(cd);
	if (cd->rfd != -1)
		close(cd->rfd);
	if (cd->listen_fd >= 0)
		close(cd->listen_fd);
}

static void
char_tcp_take_client(struct chardev *cd, int fd)
{
	int one = 1;

	cd->in = fd;
	cd->wfd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (cd->wfd == -1 || char_tcp_watch(cd, fd) != 0)
		char_tcp_close_client(cd);
}

/* One a call: more wait in the kernel's queue and keep rfd readable. */
static void
char_tcp_accept(struct chardev *cd)
{
	static const char busy[] = "Socket already connected\r\n";
	int fd;

	if (cd->client_gone && cd->buf_len > 0)
		return; /* until the owner let go of the last one */
	if (cd->client_gone)
		char_tcp_close_client(cd);
	fd = accept4(cd->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd == -1)
		return;
	if (cd->in == -1) {
		char_tcp_take_client(cd, fd);
		return;
	}
	(void)send(fd, busy, sizeof(busy) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static ssize_t
char_tcp_recv(struct chardev *cd, void *buf, size_t len)
{
	ssize_t n = recv(cd->in, buf, len, MSG_DONTWAIT);

	if (n > 0)
		return n;
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		char_tcp_hang_up(cd);
	return 0; /* another client may come: never the end */
}

static ssize_t
char_tcp_read(struct chardev *cd, void *buf, size_t len)
{
	struct epoll_event ev[2];
	int n = epoll_wait(cd->rfd, ev, ARRAY_LEN(ev), 0);
	ssize_t got = 0;

	/* The client first: its leaving makes room for the next one. */
	for (int i = 0; i < n; i++)
		if (ev[i].data.fd == cd->in)
			got = char_tcp_recv(cd, buf, len);
	for (int i = 0; i < n; i++)
		if (ev[i].data.fd == cd->listen_fd)
			char_tcp_accept(cd);
	return got;
}

static ssize_t
char_tcp_write(struct chardev *cd, const void *buf, size_t len)
{
	ssize_t n;

	if (cd->in == -1)
		return -EPIPE;
	if (cd->client_gone)
		return -EPIPE;
	n = send(cd->in, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n >= 0)
		return n;
	/* A dead client is found and closed by the next read. */
	return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
}

const struct char_ops char_tcp_ops = {
	.prefix = "tcp=",
	.open = char_tcp_open,
	.close = char_tcp_close,
	.read = char_tcp_read,
	.write = char_tcp_write,
};
