/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net_fixture.h - a card for the tests of network backends: keeps what it is
 * given, has room or has none, and can be waited for.
 */
#ifndef NET_FIXTURE_H
#define NET_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <backend/net.h>

#define NET_CARD_FRAMES 256u
#define NET_WAIT_MS	5000

struct net_card_frame {
	struct net_hdr hdr;
	size_t len;
	uint8_t *data;
};

struct net_card {
	struct netdev *nd;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct net_card_frame frame[NET_CARD_FRAMES];
	unsigned int head, count;
	unsigned int room;	      /* frames it takes before it says no */
	_Atomic unsigned int refused; /* times it said no */
	unsigned int tx_resumes;
	_Atomic unsigned int rx_ends, links;
	bool link;
	/* Instead of keeping them, when set; called without the lock. */
	bool (*rx)(struct net_card *, const struct net_hdr *,
	    const uint8_t *frame, size_t len);
	void *rx_arg;
};

struct net_setting {
	const char *name, *value;
};

/*
 * Opens and starts "backend" with settings, an array that ends with a NULL
 * name; NULL: none.  The _try form returns net_open()'s error instead of
 * failing the test.
 */
void net_card_open(
    struct net_card *, const char *backend, const struct net_setting *settings);
int net_card_try(struct net_card *, const char *backend,
    const struct net_setting *settings, char *err, size_t err_len);
void net_card_close(struct net_card *);

void net_card_set_room(struct net_card *, unsigned int frames);
void net_card_wait_link(struct net_card *, bool up);
/* The next frame, waited for; false after `ms` without one. */
bool
net_card_next(struct net_card *, struct net_card_frame *ret, unsigned int ms);
/* Sends, waiting for room when there is none. */
void net_card_send_hdr(
    struct net_card *, const struct net_hdr *, const void *frame, size_t len);
void net_card_send(struct net_card *, const void *frame, size_t len);
void net_card_frame_free(struct net_card_frame *);

#endif /* NET_FIXTURE_H */
