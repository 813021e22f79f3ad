/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A row of frames in one piece of memory: filled at the end, taken from the
 * front, and begun anew when it is empty, so that no frame is ever in two
 * pieces and a short row stays in the cache.
 *
 * No locks: the owner's.
 */
#include "net_priv.h"

#include <errno.h>
#include <stdlib.h>

struct net_record {
	uint32_t len;
	struct net_hdr hdr;
};

#define NET_RECORD_BYTES(len) ROUND_UP(sizeof(struct net_record) + (len), 16)

int
net_batch_init(struct net_batch *b, size_t cap)
{
	*b = (struct net_batch){ .buf = malloc(cap), .cap = cap };
	return b->buf != NULL ? 0 : -ENOMEM;
}

void
net_batch_fini(struct net_batch *b)
{
	free(b->buf);
	b->buf = NULL;
}

void
net_batch_clear(struct net_batch *b)
{
	b->len = b->next = b->last = 0;
}

bool
net_batch_empty(const struct net_batch *b)
{
	return b->next == b->len;
}

uint8_t *
net_batch_reserve(struct net_batch *b, size_t len)
{
	if (len > b->cap || NET_RECORD_BYTES(len) > b->cap - b->len)
		return NULL;
	return b->buf + b->len + sizeof(struct net_record);
}

void
net_batch_commit(struct net_batch *b, const struct net_hdr *hdr, size_t len)
{
	struct net_record r = { .len = (uint32_t)len, .hdr = *hdr };

	b->last = b->len;
	memcpy(b->buf + b->len, &r, sizeof(r));
	b->len += NET_RECORD_BYTES(len);
}

static bool
net_batch_at(const struct net_batch *b, size_t at, struct net_frame *ret)
{
	struct net_record *r;

	if (net_batch_empty(b))
		return false;
	r = (struct net_record *)(void *)(b->buf + at);
	*ret = (struct net_frame){
		.hdr = &r->hdr,
		.data = (uint8_t *)(r + 1),
		.len = r->len,
	};
	return true;
}

bool
net_batch_peek(const struct net_batch *b, struct net_frame *ret)
{
	return net_batch_at(b, b->next, ret);
}

bool
net_batch_last(const struct net_batch *b, struct net_frame *ret)
{
	return net_batch_at(b, b->last, ret);
}

bool
net_batch_extend(struct net_batch *b, const uint8_t *more, size_t len)
{
	struct net_record *r = (struct net_record *)(void *)(b->buf + b->last);
	size_t all = r->len + len;

	if (NET_RECORD_BYTES(all) > b->cap - b->last)
		return false;
	memcpy((uint8_t *)(r + 1) + r->len, more, len);
	r->len = (uint32_t)all;
	b->len = b->last + NET_RECORD_BYTES(all);
	return true;
}

void
net_batch_skip(struct net_batch *b)
{
	struct net_frame f;

	if (net_batch_peek(b, &f))
		b->next += NET_RECORD_BYTES(f.len);
	if (net_batch_empty(b))
		net_batch_clear(b);
}
