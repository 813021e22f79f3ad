/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.h - messages for people.
 *
 * One line a message, on stderr, prefixed with the program's name.  When the
 * terminal is in raw mode the line ends in CR LF (log_set_raw).  Rooms below
 * src/cmd and src/machine log at debug only, except guest_error(), which any
 * device may call and which is rate-limited, and backends whose host fails
 * while the guest runs, once a kind of failure, or gives less than was asked.
 */
#ifndef UTIL_LOG_H
#define UTIL_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Program name used as prefix; the string must outlive all logging. */
void log_set_name(const char *name);
void log_set_level(enum log_level level);
/* While true, lines end in "\r\n" because the terminal does no post-processing.
 */
void log_set_raw(bool raw);
/*
 * Divert every finished line (no newline) to `sink` instead of stderr; NULL
 * restores stderr.  For tests.
 */
void log_set_sink(void (*sink)(enum log_level, const char *line));

void log_msg(enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#define log_error(...) log_msg(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_msg(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_msg(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_DEBUG, __VA_ARGS__)

/* One per call site: at most 10 lines in 5 seconds, then a count of the rest.
 */
struct log_ratelimit {
	_Atomic uint64_t window_start_ns;
	_Atomic uint32_t count;
	_Atomic uint32_t suppressed;
};
bool log_ratelimit_ok(struct log_ratelimit *rl);

/*
 * The guest did something no driver should: say so once in a while, carry on.
 * `who` is the device or room ("uart com1").
 */
#define guest_error(who, ...)                                                  \
	do {                                                                   \
		static struct log_ratelimit rl_;                               \
		if (log_ratelimit_ok(&rl_))                                    \
			log_guest_error((who), __VA_ARGS__);                   \
	} while (0)
void log_guest_error(const char *who, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif /* UTIL_LOG_H */
