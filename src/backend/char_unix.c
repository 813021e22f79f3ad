/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A listening unix stream socket as a character backend: its name in the file
 * system.  Clients are char_sock.c's.
 *
 * A name that is left from a program that died is taken over: when connecting
 * to it is refused nobody listens.  The name is removed at the end, if it is
 * still this socket's.
 */
#include "char_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CHAR_UNIX_BACKLOG 4
#define CHAR_UNIX_MODE	  0600

static int
char_unix_name(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (*path == '\0' || strlen(path) >= sizeof(ret->sun_path))
		return -EINVAL;
	memcpy(ret->sun_path, path, strlen(path));
	return 0;
}

/* Remove a socket that nobody listens on; -EADDRINUSE: it is in use. */
static int
char_unix_take_over(const struct sockaddr_un *name)
{
	struct stat st;
	int fd, error;

	if (lstat(name->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -errno;
	error = connect(fd, (const struct sockaddr *)name, sizeof(*name)) == 0
		    ? 0
		    : errno;
	close(fd);
	if (error != ECONNREFUSED)
		return error == ENOENT ? 0 : -EADDRINUSE;
	return unlink(name->sun_path) == 0 || errno == ENOENT ? 0 : -errno;
}

static int
char_unix_listen(struct chardev *cd, const struct sockaddr_un *name)
{
	struct stat st;
	int error = char_unix_take_over(name);

	if (error != 0)
		return error;
	cd->listen_fd =
	    socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* The mode of the descriptor becomes that of the name. */
	if (cd->listen_fd == -1 || fchmod(cd->listen_fd, CHAR_UNIX_MODE) != 0 ||
	    bind(cd->listen_fd, (const struct sockaddr *)name, sizeof(*name)) !=
		0)
		return -errno;
	if (lstat(name->sun_path, &st) == 0) {
		cd->path = xstrdup(name->sun_path);
		cd->path_dev = st.st_dev;
		cd->path_ino = st.st_ino;
	}
	return listen(cd->listen_fd, CHAR_UNIX_BACKLOG) == 0 ? 0 : -errno;
}

static int
char_unix_open(struct chardev *cd, const char *path, char *err, size_t err_len)
{
	struct sockaddr_un name;
	int error;

	if (char_unix_name(path, &name) != 0) {
		snprintf(err, err_len,
		    "bad socket 'unix=%s': want a path of 1 to %zu characters",
		    path, sizeof(name.sun_path) - 1);
		return -EINVAL;
	}
	error = char_unix_listen(cd, &name);
	if (error == 0)
		error = char_sock_start(cd);
	if (error == -EEXIST)
		snprintf(err, err_len, "%s is there and is no socket", path);
	else if (error == -EADDRINUSE)
		snprintf(err, err_len, "%s: somebody listens there", path);
	else if (error != 0)
		snprintf(
		    err, err_len, "%s: listen: %s", path, strerror(-error));
	return error;
}

static void
char_unix_close(struct chardev *cd)
{
	struct stat st;

	if (cd->path != NULL && lstat(cd->path, &st) == 0 &&
	    st.st_dev == cd->path_dev && st.st_ino == cd->path_ino)
		unlink(cd->path);
	free(cd->path);
	char_sock_close(cd);
}

const struct char_ops char_unix_ops = {
	.prefix = "unix=",
	.open = char_unix_open,
	.close = char_unix_close,
	.read = char_sock_read,
	.write = char_sock_write,
};
