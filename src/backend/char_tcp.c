/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A listening TCP socket as a character backend: where it listens.  Clients are
 * char_sock.c's.
 */
#include "char_priv.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <backend/sock.h>

#define CHAR_TCP_DEFAULT_ADDR "127.0.0.1"

struct char_tcp_name {
	char host[256];
	uint16_t port;
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
	name->port = (uint16_t)port;
	return 0;
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
	cd->listen_fd = sock_listen(name.host, name.port, err, err_len);
	if (cd->listen_fd < 0)
		return cd->listen_fd;
	cd->busy = "Socket already connected\r\n";
	error = char_sock_start(cd);
	if (error != 0)
		snprintf(err, err_len, "tcp: epoll: %s", strerror(-error));
	return error;
}

const struct char_ops char_tcp_ops = {
	.prefix = "tcp=",
	.open = char_tcp_open,
	.close = char_sock_close,
	.read = char_sock_read,
	.write = char_sock_write,
};
