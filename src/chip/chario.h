/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chario.h - a chip's connection to a character backend: the two watches in
 * the event loop, and the bytes the host has not taken yet.
 *
 * All functions but init and fini are called with the chip's lock held; so
 * are the two callbacks (in the event thread).
 */
#ifndef CHIP_CHARIO_H
#define CHIP_CHARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <util/util.h>

struct chardev;
struct evfd;
struct lock;
struct vmctx;

struct chario {
	struct vmctx *ctx;
	struct chardev *cd; /* NULL: output dropped, never input */
	struct lock *lock;
	struct evfd *rx, *tx; /* tx exists while output is left over */
	bool rx_on;
	void (*input)(void *arg);   /* call chario_read(), only from here */
	void (*drained)(void *arg); /* nothing is left over any more */
	void *arg;
};

/* The other members are filled in; 0 or -errno (cd is then still yours). */
int chario_init(struct chario *) WARN_UNUSED;
/* Without the lock; closes the backend.  Takes what init never saw. */
void chario_fini(struct chario *);

/* Whether input() shall be called. */
void chario_want_input(struct chario *, bool want);
size_t chario_read(struct chario *, void *buf, size_t len);
/* Bytes taken; fewer than len only while the backend's buffer is full. */
size_t chario_write(struct chario *, const void *buf, size_t len);

#endif /* CHIP_CHARIO_H */
