/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Character backends: what all kinds have in common, namely the bounded output
 * buffer, the escape keys and the choice of the kind.
 *
 * No locks: the owner's (a device's) is held around every call.
 */
#include <backend/char.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "char_priv.h"

#define CHAR_ESCAPE	   0x01 /* Ctrl-A */
#define CHAR_CLOSE_WAIT_NS 1000000000ull
#define CHAR_CLOSE_POLL_MS 50

static int
char_null_open(struct chardev *cd, const char *arg, char *err, size_t err_len)
{
	return 0;
}

static void
char_null_close(struct chardev *cd)
{
}

static ssize_t
char_null_read(struct chardev *cd, void *buf, size_t len)
{
	return 0;
}

static ssize_t
char_null_write(struct chardev *cd, const void *buf, size_t len)
{
	return (ssize_t)len;
}

static const struct char_ops char_null_ops = {
	.prefix = "null",
	.whole = true,
	.open = char_null_open,
	.close = char_null_close,
	.read = char_null_read,
	.write = char_null_write,
};

static const struct char_ops *const char_kinds[] = {
	&char_stdio_ops,
	&char_null_ops,
	&char_tcp_ops,
	&char_unix_ops,
	&char_tty_ops,
};

static const struct char_ops *
char_kind(const char *spec, const char **ret_arg)
{
	for (size_t i = 0; i < ARRAY_LEN(char_kinds); i++) {
		const struct char_ops *ops = char_kinds[i];
		size_t n = strlen(ops->prefix);

		if (strncmp(spec, ops->prefix, n) != 0)
			continue;
		if (ops->whole && spec[n] != '\0')
			continue;
		/* A path keeps its slash. */
		*ret_arg = ops->prefix[n - 1] == '/' ? spec : spec + n;
		return ops;
	}
	return NULL;
}

/* A reader that went away is an error to be returned, not our end. */
static void
char_ignore_sigpipe(void)
{
	struct sigaction old;

	if (sigaction(SIGPIPE, NULL, &old) == 0 &&
	    (old.sa_flags & SA_SIGINFO) == 0 && old.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

int
char_open(const char *spec, struct chardev **ret_cd, char *err, size_t err_len)
{
	const struct char_ops *ops;
	struct chardev *cd;
	const char *arg;
	int error;

	ops = char_kind(spec, &arg);
	if (ops == NULL) {
		snprintf(err, err_len,
		    "unknown terminal '%s': want stdio, null, "
		    "tcp=[ADDR:]PORT, unix=PATH or the path of a terminal",
		    spec);
		return -EINVAL;
	}
	char_ignore_sigpipe();
	cd = xcalloc(1, sizeof(*cd));
	cd->ops = ops;
	cd->rfd = cd->wfd = cd->in = cd->out = -1;
	cd->term = cd->listen_fd = -1;
	error = ops->open(cd, arg, err, err_len);
	if (error != 0) {
		ops->close(cd);
		free(cd);
		return error;
	}
	*ret_cd = cd;
	return 0;
}

/* Give a slow reader a little time to take the last words. */
static void
char_drain(struct chardev *cd)
{
	uint64_t deadline = host_now_ns() + CHAR_CLOSE_WAIT_NS;
	struct pollfd pfd = { .fd = cd->wfd, .events = POLLOUT };

	while (!char_flush(cd) && host_now_ns() < deadline)
		poll(&pfd, 1, CHAR_CLOSE_POLL_MS);
}

void
char_close(struct chardev *cd)
{
	if (cd == NULL)
		return;
	char_drain(cd);
	cd->ops->close(cd);
	free(cd);
}

int
char_read_fd(const struct chardev *cd)
{
	return cd->rfd;
}

int
char_write_fd(const struct chardev *cd)
{
	return cd->wfd;
}

/* Takes escape sequences out of buf in place; returns what is left. */
static size_t
char_take_escapes(struct chardev *cd, uint8_t *buf, size_t len)
{
	size_t kept = 0;

	for (size_t i = 0; i < len; i++) {
		if (!cd->escape_seen) {
			if (buf[i] == CHAR_ESCAPE)
				cd->escape_seen = true;
			else
				buf[kept++] = buf[i];
			continue;
		}
		cd->escape_seen = false;
		if (buf[i] == CHAR_ESCAPE)
			buf[kept++] = CHAR_ESCAPE;
		else
			cd->escape_fn(buf[i], cd->escape_arg);
	}
	return kept;
}

ssize_t
char_read(struct chardev *cd, void *buf, size_t len)
{
	ssize_t n;

	if (len == 0)
		return 0;
	n = cd->ops->read(cd, buf, len);
	if (n <= 0 || !cd->escapes || cd->escape_fn == NULL)
		return n;
	return (ssize_t)char_take_escapes(cd, buf, (size_t)n);
}

/* Hand bytes to the host; how many it took.  A host that is gone takes all. */
static size_t
char_write_now(struct chardev *cd, const uint8_t *buf, size_t len)
{
	size_t done = 0;
	ssize_t n;

	if (cd->out_terminal && cd->before_output_fn != NULL && len > 0)
		cd->before_output_fn(cd->before_output_arg);
	while (done < len) {
		n = cd->ops->write(cd, buf + done, len - done);
		if (n < 0)
			return len;
		if (n == 0)
			break;
		done += (size_t)n;
		if (cd->out_terminal)
			__atomic_store_n(&cd->last_output_ns, host_now_ns(),
			    __ATOMIC_RELAXED);
	}
	return done;
}

static size_t
char_buffer(struct chardev *cd, const uint8_t *buf, size_t len)
{
	size_t n = MIN(len, (size_t)(CHAR_OUT_BYTES - cd->buf_len));

	for (size_t i = 0; i < n; i++) {
		uint32_t at = cd->buf_head + cd->buf_len++;

		cd->buf[at % CHAR_OUT_BYTES] = buf[i];
	}
	return n;
}

size_t
char_write(struct chardev *cd, const void *buf, size_t len)
{
	size_t done = 0;

	if (cd->buf_len == 0)
		done = char_write_now(cd, buf, len);
	return done + char_buffer(cd, (const uint8_t *)buf + done, len - done);
}

bool
char_flush(struct chardev *cd)
{
	while (cd->buf_len > 0) {
		size_t chunk = MIN(cd->buf_len, CHAR_OUT_BYTES - cd->buf_head);
		size_t n = char_write_now(cd, cd->buf + cd->buf_head, chunk);

		cd->buf_head = (uint32_t)(cd->buf_head + n) % CHAR_OUT_BYTES;
		cd->buf_len -= (uint32_t)n;
		if (n < chunk)
			return false;
	}
	cd->buf_head = 0;
	return true;
}

void
char_set_escape(struct chardev *cd, void (*fn)(int key, void *arg), void *arg)
{
	cd->escape_fn = fn;
	cd->escape_arg = arg;
	cd->escape_seen = false;
}

void
char_set_before_output(struct chardev *cd, void (*fn)(void *arg), void *arg)
{
	cd->before_output_fn = fn;
	cd->before_output_arg = arg;
}

bool
char_is_terminal(const struct chardev *cd)
{
	return cd->in_terminal;
}

uint32_t
char_client(const struct chardev *cd)
{
	if (cd->listen_fd == -1)
		return 1;
	return cd->in != -1 && !cd->client_gone ? cd->client : 0;
}

bool
char_terminal_size(
    const struct chardev *cd, uint16_t *ret_cols, uint16_t *ret_rows)
{
	struct winsize ws;

	if (!cd->out_terminal || cd->wfd == -1 ||
	    ioctl(cd->wfd, TIOCGWINSZ, &ws) != 0 || ws.ws_col == 0 ||
	    ws.ws_row == 0)
		return false;
	*ret_cols = ws.ws_col;
	*ret_rows = ws.ws_row;
	return true;
}

uint64_t
char_last_output_ns(const struct chardev *cd)
{
	return __atomic_load_n(&cd->last_output_ns, __ATOMIC_RELAXED);
}
