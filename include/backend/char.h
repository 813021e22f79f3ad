/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * char.h - the host's end of a serial port or console: a byte stream.
 *
 * Knows nothing of machines; whoever owns it puts the descriptors into an
 * event loop.  Writing never blocks: what the host does not take at once is
 * kept in a bounded buffer, and when that is full the caller is told so (a UART
 * then shows a busy transmitter, as hardware would).
 */
#ifndef BACKEND_CHAR_H
#define BACKEND_CHAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <util/util.h>

struct chardev;

/*
 * spec: "stdio", "/dev/tty-path", "null", "tcp=[addr:]port" or "unix=path".
 * The last two listen, for one client at a time; a unix socket is made with
 * mode 0600, takes the place of one that nobody listens on any more, and is
 * removed by char_close().  -EINVAL with `err` naming what would be right,
 * -EBUSY when stdio is taken, or the host's -errno.
 */
int char_open(const char *spec, struct chardev **ret_cd, char *err,
    size_t err_len) WARN_UNUSED;
/* Flushes what it can and puts a terminal back as it was. */
void char_close(struct chardev *);

int char_read_fd(const struct chardev *); /* -1: never readable */
/*
 * To wait for EVFD_WRITE on while something is left over, that is from a
 * char_flush() that said false to the one that says true: a tcp backend has
 * another descriptor with every client, and -1 without one.
 */
int char_write_fd(const struct chardev *);

/*
 * Bytes read (> 0), 0 when nothing is there, -EPIPE at end of file.  For stdio
 * on a terminal the escape keys (Ctrl-A ...) are taken out here and handed to
 * the function set by char_set_escape().
 */
ssize_t char_read(struct chardev *, void *buf, size_t len);
/* Bytes taken, 0 .. len. */
size_t char_write(struct chardev *, const void *buf, size_t len);
/* Push buffered output; true when nothing is left. */
bool char_flush(struct chardev *);

/* fn(key, arg) is called for Ctrl-A key, except Ctrl-A Ctrl-A. */
void
char_set_escape(struct chardev *, void (*fn)(int key, void *arg), void *arg);
bool char_is_terminal(const struct chardev *);
/*
 * Who is at the other end: 0: nobody, else another number for each client of a
 * socket.  Clients come and go in char_read().  Always 1 for other kinds.
 */
uint32_t char_client(const struct chardev *);
/* Of the terminal output goes to; false: it is none, or does not know. */
bool char_terminal_size(
    const struct chardev *, uint16_t *ret_cols, uint16_t *ret_rows);
/*
 * fn(arg) runs just before bytes go out to a terminal: who wrote something of
 * his own on it can take that away.
 */
void char_set_before_output(struct chardev *, void (*fn)(void *arg), void *arg);

/*
 * Put every terminal that a chardev made raw back, from a signal handler or
 * atexit: async-signal-safe.
 */
void char_restore_terminals(void);
/*
 * CLOCK_MONOTONIC ns of the last byte written to a terminal; 0: never.  Needs
 * no lock.
 */
uint64_t char_last_output_ns(const struct chardev *);

#endif /* BACKEND_CHAR_H */
