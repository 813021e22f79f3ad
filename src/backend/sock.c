/* SPDX-License-Identifier: BSD-2-Clause */
/* sock.c - listening TCP sockets; see backend/sock.h. */
#include <backend/sock.h>

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int
sock_listen_on(const struct addrinfo *ai)
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

int
sock_listen(const char *host, uint16_t port, char *err, size_t err_len)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE };
	struct addrinfo *list;
	char service[6];
	int error, fd;

	snprintf(service, sizeof(service), "%u", port);
	error = getaddrinfo(host, service, &hints, &list);
	if (error != 0) {
		snprintf(err, err_len, "tcp: address '%s': %s", host,
		    gai_strerror(error));
		return -EINVAL;
	}
	fd = sock_listen_on(list);
	freeaddrinfo(list);
	if (fd < 0)
		snprintf(err, err_len, "tcp: listen on %s port %s: %s", host,
		    service, strerror(-fd));
	return fd;
}

int
sock_accept(int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int one = 1;

	if (fd == -1)
		return -errno;
	/* A unix socket has no such option. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}
