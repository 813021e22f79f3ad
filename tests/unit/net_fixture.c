/* SPDX-License-Identifier: BSD-2-Clause */
#include "net_fixture.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool
card_rx(void *arg, const struct net_hdr *hdr, const uint8_t *data, size_t len)
{
	struct net_card *c = arg;
	struct net_card_frame *f;
	bool taken = false;

	if (c->rx != NULL)
		return c->rx(c, hdr, data, len);
	pthread_mutex_lock(&c->lock);
	if (c->count < MIN(c->room, NET_CARD_FRAMES)) {
		f = &c->frame[(c->head + c->count++) % NET_CARD_FRAMES];
		*f = (struct net_card_frame){ *hdr, len, malloc(len) };
		memcpy(f->data, data, len);
		taken = true;
	} else {
		c->refused++;
	}
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	return taken;
}

static void
card_rx_end(void *arg)
{
	struct net_card *c = arg;

	pthread_mutex_lock(&c->lock);
	c->rx_ends++;
	pthread_mutex_unlock(&c->lock);
}

static void
card_link(void *arg, bool up)
{
	struct net_card *c = arg;

	pthread_mutex_lock(&c->lock);
	c->link = up;
	c->links++;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

static void
card_tx_resume(void *arg)
{
	struct net_card *c = arg;

	pthread_mutex_lock(&c->lock);
	c->tx_resumes++;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

static const struct net_client card_client = {
	.rx = card_rx,
	.rx_end = card_rx_end,
	.link = card_link,
	.tx_resume = card_tx_resume,
};

static const char *
card_get(void *arg, const char *name)
{
	for (const struct net_setting *s = arg; s != NULL && s->name != NULL;
	     s++) {
		if (strcmp(s->name, name) == 0)
			return s->value;
	}
	return NULL;
}

int
net_card_try(struct net_card *c, const char *backend,
    const struct net_setting *settings, char *err, size_t err_len)
{
	struct net_opts o = {
		.backend = backend,
		.get = card_get,
		.get_arg = (void *)(uintptr_t)settings,
		.mac = { 0x58, 0x9c, 0xfc, 1, 2, 3 },
	};
	pthread_condattr_t attr;
	int error;

	c->nd = NULL;
	error = net_open(&o, &card_client, c, &c->nd, err, err_len);
	if (error != 0)
		return error;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->changed, &attr);
	c->room = UINT_MAX;
	c->link = net_link_up(c->nd);
	return net_start(c->nd);
}

void
net_card_open(
    struct net_card *c, const char *backend, const struct net_setting *settings)
{
	char err[256] = "";

	if (net_card_try(c, backend, settings, err, sizeof(err)) != 0)
		fail_msg("%s: %s", backend, err);
}

void
net_card_close(struct net_card *c)
{
	net_close(c->nd);
	while (c->count > 0) {
		free(c->frame[c->head++ % NET_CARD_FRAMES].data);
		c->count--;
	}
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->changed);
}

void
net_card_frame_free(struct net_card_frame *f)
{
	free(f->data);
	f->data = NULL;
}

static struct timespec
card_deadline(unsigned int ms)
{
	struct timespec ts;
	uint64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ns = (uint64_t)ts.tv_nsec + ms * 1000000ull;
	ts.tv_sec += (time_t)(ns / 1000000000);
	ts.tv_nsec = (long)(ns % 1000000000);
	return ts;
}

void
net_card_set_room(struct net_card *c, unsigned int frames)
{
	pthread_mutex_lock(&c->lock);
	c->room = frames;
	pthread_mutex_unlock(&c->lock);
	net_rx_resume(c->nd);
}

void
net_card_wait_link(struct net_card *c, bool up)
{
	struct timespec until = card_deadline(NET_WAIT_MS);
	bool is;

	pthread_mutex_lock(&c->lock);
	while (c->link != up &&
	       pthread_cond_timedwait(&c->changed, &c->lock, &until) == 0)
		;
	is = c->link;
	pthread_mutex_unlock(&c->lock);
	assert_true(is == up);
}

bool
net_card_next(struct net_card *c, struct net_card_frame *ret, unsigned int ms)
{
	struct timespec until = card_deadline(ms);
	bool got, refused;

	pthread_mutex_lock(&c->lock);
	while (c->count == 0 &&
	       pthread_cond_timedwait(&c->changed, &c->lock, &until) == 0)
		;
	got = c->count > 0;
	if (got) {
		*ret = c->frame[c->head];
		c->head = (c->head + 1) % NET_CARD_FRAMES;
		c->count--;
	}
	refused = c->refused > 0;
	pthread_mutex_unlock(&c->lock);
	if (got && refused)
		net_rx_resume(c->nd);
	return got;
}

void
net_card_send_hdr(struct net_card *c, const struct net_hdr *hdr,
    const void *frame, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)frame, len };
	struct timespec until = card_deadline(NET_WAIT_MS);
	unsigned int seen;
	int error = 0;

	for (;;) {
		pthread_mutex_lock(&c->lock);
		seen = c->tx_resumes;
		pthread_mutex_unlock(&c->lock);
		if (net_send(c->nd, hdr, &iov, 1, len))
			return;
		pthread_mutex_lock(&c->lock);
		while (c->tx_resumes == seen && error == 0)
			error = pthread_cond_timedwait(
			    &c->changed, &c->lock, &until);
		pthread_mutex_unlock(&c->lock);
		assert_int_equal(error, 0); /* the wake-up was lost */
	}
}

void
net_card_send(struct net_card *c, const void *frame, size_t len)
{
	net_card_send_hdr(c, &(struct net_hdr){ 0 }, frame, len);
}
