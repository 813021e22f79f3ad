/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A terminal device named by its path (a serial port, one end of a
 * pseudo-terminal) as a character backend.
 *
 * The description is ours alone, so it is non-blocking.  No escape keys.
 */
#include "char_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int
char_tty_open(struct chardev *cd, const char *path, char *err, size_t err_len)
{
	int error;

	cd->rfd = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (cd->rfd == -1) {
		error = -errno;
		snprintf(err, err_len, "%s: %s", path, strerror(-error));
		return error;
	}
	if (isatty(cd->rfd) != 1) {
		snprintf(err, err_len, "%s is not a terminal", path);
		return -ENOTTY;
	}
	cd->in_terminal = cd->out_terminal = true;
	/* A second descriptor, so that both directions can be waited for. */
	cd->wfd = fcntl(cd->rfd, F_DUPFD_CLOEXEC, 0);
	error = cd->wfd == -1 ? -errno : char_term_raw(cd->rfd);
	if (error < 0) {
		snprintf(
		    err, err_len, "%s: raw mode: %s", path, strerror(-error));
		return error;
	}
	cd->term = error;
	return 0;
}

static void
char_tty_close(struct chardev *cd)
{
	char_term_restore(cd->term);
	if (cd->rfd != -1)
		close(cd->rfd);
	if (cd->wfd != -1)
		close(cd->wfd);
}

static ssize_t
char_tty_read(struct chardev *cd, void *buf, size_t len)
{
	ssize_t n = read(cd->rfd, buf, len);

	if (n > 0)
		return n;
	return n == -1 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
}

static ssize_t
char_tty_write(struct chardev *cd, const void *buf, size_t len)
{
	ssize_t n = write(cd->wfd, buf, len);

	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
}

const struct char_ops char_tty_ops = {
	.prefix = "/",
	.open = char_tty_open,
	.close = char_tty_close,
	.read = char_tty_read,
	.write = char_tty_write,
};
