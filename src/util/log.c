/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.c - one line a message on stderr, or in a test's sink.
 *
 * A line is built in a buffer and written with one write(2), so lines of
 * several threads never mix.  Control characters become '?': text that a guest
 * chose must not steer the user's terminal.  The settings are the only state,
 * and atomic; they belong to the process, not to a machine.
 */
#include <util/log.h>

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include <util/util.h>

#define LOG_LINE_MAX	 1024
#define LOG_WINDOW_NS	 5000000000ull
#define LOG_WINDOW_LINES 10

typedef void (*log_sink_fn)(enum log_level, const char *line);

static _Atomic(const char *) log_name;
static _Atomic(enum log_level) log_level_max = LOG_INFO;
static atomic_bool log_raw;
static _Atomic(log_sink_fn) log_sink;

void
log_set_name(const char *name)
{
	atomic_store(&log_name, name);
}

void
log_set_level(enum log_level level)
{
	atomic_store(&log_level_max, level);
}

void
log_set_raw(bool raw)
{
	atomic_store(&log_raw, raw);
}

void
log_set_sink(void (*sink)(enum log_level, const char *line))
{
	atomic_store(&log_sink, sink);
}

static void
log_write(const char *line, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDERR_FILENO, line, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nowhere left to complain */
		line += n;
		len -= (size_t)n;
	}
}

/* snprintf's answer, cut down to what is in the buffer. */
static size_t
log_clip(int n, size_t room)
{
	if (n < 0)
		return 0;
	return (size_t)n < room ? (size_t)n : room - 1;
}

static void log_line(enum log_level level, const char *who, const char *fmt,
    va_list ap) __attribute__((format(printf, 3, 0)));

static void
log_line(enum log_level level, const char *who, const char *fmt, va_list ap)
{
	char buf[LOG_LINE_MAX + sizeof("\r\n")];
	const char *name = atomic_load(&log_name);
	log_sink_fn sink = atomic_load(&log_sink);
	size_t len = 0;

	if (level > atomic_load(&log_level_max))
		return;
	if (name != NULL)
		len = log_clip(
		    snprintf(buf, LOG_LINE_MAX, "%s: ", name), LOG_LINE_MAX);
	if (who != NULL)
		len += log_clip(
		    snprintf(buf + len, LOG_LINE_MAX - len, "%s: ", who),
		    LOG_LINE_MAX - len);
	len += log_clip(vsnprintf(buf + len, LOG_LINE_MAX - len, fmt, ap),
	    LOG_LINE_MAX - len);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)buf[i] < 0x20 || buf[i] == 0x7f)
			buf[i] = '?';
	buf[len] = '\0';
	if (sink != NULL) {
		sink(level, buf);
		return;
	}
	if (atomic_load(&log_raw))
		buf[len++] = '\r';
	buf[len++] = '\n';
	log_write(buf, len);
}

void
log_msg(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(level, NULL, fmt, ap);
	va_end(ap);
}

void
log_guest_error(const char *who, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(LOG_WARN, who, fmt, ap);
	va_end(ap);
}

bool
log_ratelimit_ok(struct log_ratelimit *rl)
{
	uint64_t now = host_now_ns();
	uint64_t start = atomic_load(&rl->window_start_ns);

	if (start == 0 || now >= start + LOG_WINDOW_NS) {
		/* Of several threads one opens the window and reports. */
		if (atomic_compare_exchange_strong(
			&rl->window_start_ns, &start, now)) {
			uint32_t lost = atomic_exchange(&rl->suppressed, 0);

			atomic_store(&rl->count, 0);
			if (lost > 0)
				log_warn("%u messages like the next were "
					 "suppressed",
				    lost);
		}
	}
	if (atomic_load(&rl->count) < LOG_WINDOW_LINES &&
	    atomic_fetch_add(&rl->count, 1) < LOG_WINDOW_LINES)
		return true;
	atomic_fetch_add(&rl->suppressed, 1);
	return false;
}
