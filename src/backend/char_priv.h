/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * char_priv.h - what char.c and the kinds of character backend share.
 *
 * A kind moves bytes and knows its descriptors; buffering and the escape keys
 * are char.c's.
 */
#ifndef CHAR_PRIV_H
#define CHAR_PRIV_H

#include <backend/char.h>

#include <stdint.h>

#define CHAR_OUT_BYTES 65536u /* a power of two */

struct chardev;

struct char_ops {
	const char *prefix; /* what is left is the argument; "/" stays in it */
	bool whole;	    /* prefix must be the whole spec */
	int (*open)(
	    struct chardev *, const char *arg, char *err, size_t err_len);
	void (*close)(struct chardev *); /* takes half-opened */
	/* As char_read(), escapes still inside. */
	ssize_t (*read)(struct chardev *, void *buf, size_t len);
	/* Bytes the host took; 0: it would block; -EPIPE: nobody listens. */
	ssize_t (*write)(struct chardev *, const void *buf, size_t len);
};

extern const struct char_ops char_stdio_ops;
extern const struct char_ops char_tty_ops;
extern const struct char_ops char_tcp_ops;
extern const struct char_ops char_unix_ops;

struct chardev {
	const struct char_ops *ops;
	int rfd, wfd; /* what the owner waits on; -1: none */
	int in, out;  /* what read() and write() use, stdio only */
	int term;     /* slot of char_term.c, -1: not raw */
	bool in_terminal;
	bool out_terminal;
	bool out_gone;
	bool poll_before_write; /* `out` blocks: ask first, write little */
	bool out_socket;
	int listen_fd; /* tcp and unix */
	bool client_gone;
	uint32_t client;  /* counts them, never 0 once there was one */
	const char *busy; /* said to a second client; NULL: it waits */
	char *path;	  /* unix: the socket's name, if it is there */
	uint64_t path_dev, path_ino; /* ... and is still ours */
	bool escapes;		     /* the kind honours them */
	bool owns_stdio;

	bool escape_seen; /* Ctrl-A came, its key has not */
	void (*escape_fn)(int key, void *arg);
	void *escape_arg;
	void (*before_output_fn)(void *arg);
	void *before_output_arg;
	uint64_t last_output_ns; /* atomic */

	uint32_t buf_head, buf_len;
	uint8_t buf[CHAR_OUT_BYTES];
};

/* char_sock.c: cd->listen_fd is listening; 0 or -errno. */
int char_sock_start(struct chardev *) WARN_UNUSED;
void char_sock_close(struct chardev *);
ssize_t char_sock_read(struct chardev *, void *buf, size_t len);
ssize_t char_sock_write(struct chardev *, const void *buf, size_t len);

/* char_term.c: make a terminal raw; a slot, or -errno. */
int char_term_raw(int fd);
/* -1 is allowed. */
void char_term_restore(int slot);

#endif /* CHAR_PRIV_H */
