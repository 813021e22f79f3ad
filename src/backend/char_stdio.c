/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process's own standard input and output as a character backend.
 *
 * Their open file descriptions are shared with whoever started us, so
 * O_NONBLOCK is never set on them: a shell that finds its terminal
 * non-blocking misbehaves.  Reads ask poll() first.  Writes go to a private
 * description of the same terminal or pipe (opened anew through /proc, where
 * O_NONBLOCK is ours alone) or, where that is refused, ask poll() and write
 * only as much as cannot block.  End of file on input is no error: nobody
 * types any more, that is all.
 */
#include "char_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <util/log.h>

/* A process has one standard input, whatever the number of machines. */
static atomic_flag char_stdio_taken = ATOMIC_FLAG_INIT;

static bool
char_fd_ready(int fd, short events)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	return poll(&pfd, 1, 0) == 1;
}

/* Regular files and /dev/null are always ready, and epoll refuses them. */
static bool
char_fd_pollable(int fd)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC);
	bool ok;

	if (ep == -1)
		return false;
	ok = epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == 0;
	close(ep);
	return ok;
}

static int
char_stdio_open_input(struct chardev *cd)
{
	cd->in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (cd->in == -1)
		return errno == EBADF ? 0 : -errno; /* closed: no input */
	cd->in_terminal = isatty(cd->in) == 1;
	if (char_fd_pollable(cd->in))
		cd->rfd = cd->in;
	else
		cd->rfd = eventfd(1, EFD_CLOEXEC); /* for ever readable */
	return cd->rfd == -1 ? -errno : 0;
}

/* A description of our own for the same terminal or pipe, or -1. */
static int
char_stdio_reopen(void)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", STDOUT_FILENO);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static int
char_stdio_open_output(struct chardev *cd)
{
	struct stat st;

	if (fstat(STDOUT_FILENO, &st) == -1) {
		cd->out_gone = true;
		return 0;
	}
	cd->out_terminal = isatty(STDOUT_FILENO) == 1;
	cd->out_socket = S_ISSOCK(st.st_mode);
	if (cd->out_terminal || S_ISFIFO(st.st_mode)) {
		cd->out = char_stdio_reopen();
		cd->poll_before_write = cd->out == -1;
	}
	if (cd->out == -1)
		cd->out =
		    fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	cd->wfd = cd->out;
	return cd->out == -1 ? -errno : 0;
}

static int
char_stdio_fail(char *err, size_t err_len, const char *what, int error)
{
	snprintf(err, err_len, "stdio: %s: %s", what, strerror(-error));
	return error;
}

static int
char_stdio_open(struct chardev *cd, const char *arg, char *err, size_t err_len)
{
	int error;

	if (atomic_flag_test_and_set(&char_stdio_taken)) {
		snprintf(err, err_len, "stdio is already in use");
		return -EBUSY;
	}
	cd->owns_stdio = true;
	error = char_stdio_open_input(cd);
	if (error != 0)
		return char_stdio_fail(err, err_len, "input", error);
	error = char_stdio_open_output(cd);
	if (error != 0)
		return char_stdio_fail(err, err_len, "output", error);
	if (!cd->in_terminal)
		return 0;
	cd->escapes = true;
	cd->term = char_term_raw(cd->in);
	if (cd->term < 0)
		return char_stdio_fail(err, err_len, "raw mode", cd->term);
	log_set_raw(true);
	return 0;
}

static void
char_stdio_close(struct chardev *cd)
{
	if (cd->term >= 0) {
		char_term_restore(cd->term);
		log_set_raw(false);
	}
	if (cd->rfd != -1 && cd->rfd != cd->in)
		close(cd->rfd);
	if (cd->in != -1)
		close(cd->in);
	if (cd->out != -1)
		close(cd->out);
	if (cd->owns_stdio)
		atomic_flag_clear(&char_stdio_taken);
}

static ssize_t
char_stdio_read(struct chardev *cd, void *buf, size_t len)
{
	ssize_t n;

	if (cd->in == -1)
		return -EPIPE;
	if (!char_fd_ready(cd->in, POLLIN))
		return 0;
	n = read(cd->in, buf, len);
	if (n > 0)
		return n;
	/* A terminal that was hung up says EIO. */
	return n == -1 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
}

static ssize_t
char_stdio_write_fd(struct chardev *cd, const void *buf, size_t len)
{
	if (cd->out_socket)
		return send(cd->out, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (cd->poll_before_write) {
		if (!char_fd_ready(cd->out, POLLOUT)) {
			errno = EAGAIN;
			return -1;
		}
		/*
		 * A writable pipe has room for PIPE_BUF bytes, a terminal
		 * promises only one.
		 */
		len = cd->out_terminal ? 1 : MIN(len, (size_t)PIPE_BUF);
	}
	return write(cd->out, buf, len);
}

static ssize_t
char_stdio_write(struct chardev *cd, const void *buf, size_t len)
{
	ssize_t n;

	if (cd->out_gone)
		return -EPIPE;
	n = char_stdio_write_fd(cd, buf, len);
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	/* A full disk may be emptied; a reader that left does not return. */
	cd->out_gone = errno == EPIPE || errno == EIO || errno == EBADF;
	return -EPIPE;
}

const struct char_ops char_stdio_ops = {
	.prefix = "stdio",
	.whole = true,
	.open = char_stdio_open,
	.close = char_stdio_close,
	.read = char_stdio_read,
	.write = char_stdio_write,
};
