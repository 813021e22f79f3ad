/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A listening stream socket as a character backend: one client at a time.  The
 * next one is told so and sent away, where the kind has words for it, and waits
 * for its turn otherwise.  Without a client output is dropped.  char_tcp.c and
 * char_unix.c make the socket.
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
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <backend/sock.h>

static int
char_sock_watch(struct chardev *cd, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(cd->rfd, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -errno;
}

int
char_sock_start(struct chardev *cd)
{
	cd->rfd = epoll_create1(EPOLL_CLOEXEC);
	return cd->rfd == -1 ? -errno : char_sock_watch(cd, cd->listen_fd);
}

static void
char_sock_close_client(struct chardev *cd)
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
char_sock_hang_up(struct chardev *cd)
{
	if (cd->busy == NULL)
		(void)char_sock_watch(cd, cd->listen_fd);
	if (cd->buf_len == 0) {
		char_sock_close_client(cd);
		return;
	}
	epoll_ctl(cd->rfd, EPOLL_CTL_DEL, cd->in, NULL);
	shutdown(cd->in, SHUT_RDWR);
	cd->client_gone = true;
}

void
char_sock_close(struct chardev *cd)
{
	char_sock_close_client(cd);
	if (cd->rfd != -1)
		close(cd->rfd);
	if (cd->listen_fd >= 0)
		close(cd->listen_fd);
}

static void
char_sock_take_client(struct chardev *cd, int fd)
{
	cd->in = fd;
	cd->wfd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (++cd->client == 0)
		cd->client = 1;
	if (cd->wfd == -1 || char_sock_watch(cd, fd) != 0)
		char_sock_close_client(cd);
	else if (cd->busy == NULL)
		epoll_ctl(cd->rfd, EPOLL_CTL_DEL, cd->listen_fd, NULL);
}

/* One a call: more wait in the kernel's queue and keep rfd readable. */
static void
char_sock_accept(struct chardev *cd)
{
	int fd;

	if (cd->client_gone && cd->buf_len > 0)
		return; /* until the owner let go of the last one */
	if (cd->client_gone)
		char_sock_close_client(cd);
	fd = sock_accept(cd->listen_fd);
	if (fd < 0)
		return;
	if (cd->in == -1) {
		char_sock_take_client(cd, fd);
		return;
	}
	(void)send(fd, cd->busy, strlen(cd->busy), MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static ssize_t
char_sock_recv(struct chardev *cd, void *buf, size_t len)
{
	ssize_t n = recv(cd->in, buf, len, MSG_DONTWAIT);

	if (n > 0)
		return n;
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		char_sock_hang_up(cd);
	return 0; /* another client may come: never the end */
}

ssize_t
char_sock_read(struct chardev *cd, void *buf, size_t len)
{
	struct epoll_event ev[2];
	int n = epoll_wait(cd->rfd, ev, ARRAY_LEN(ev), 0);
	ssize_t got = 0;

	/* The client first: its leaving makes room for the next one. */
	for (int i = 0; i < n; i++)
		if (ev[i].data.fd == cd->in)
			got = char_sock_recv(cd, buf, len);
	for (int i = 0; i < n; i++)
		if (ev[i].data.fd == cd->listen_fd)
			char_sock_accept(cd);
	return got;
}

ssize_t
char_sock_write(struct chardev *cd, const void *buf, size_t len)
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
