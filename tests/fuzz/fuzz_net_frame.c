/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_net_frame.c - the input is a virtio header and a frame, as a guest or
 * the machine at the other end of a cable sends them; src/backend/net_offload.c
 * and net_slirp_filter.c.
 */
#include "fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net_priv.h"
#include "net_slirp_filter.h"

static void
fuzz_segment(const struct net_hdr *h, const uint8_t *frame, size_t len)
{
	struct net_batch b;
	struct net_frame f;

	if (net_batch_init(&b, 256u << 10) != 0)
		return;
	if (net_segment(h, frame, len, &b))
		assert(!net_batch_empty(&b));
	while (net_batch_peek(&b, &f)) {
		assert(net_hdr_ok(f.hdr, f.len, 0));
		assert(f.len <= len);
		net_batch_skip(&b);
	}
	net_batch_fini(&b);
}

/* The two halves of the input are frames that came one after the other. */
static void
fuzz_merge(const uint8_t *frame, size_t len)
{
	static const struct net_hdr plain;
	struct net_batch b;
	struct net_frame f;
	size_t half = len / 2;
	uint8_t *to;

	if (net_batch_init(&b, len + 64) != 0)
		return;
	to = net_batch_reserve(&b, half);
	assert(to != NULL);
	memcpy(to, frame, half);
	net_batch_commit(&b, &plain, half);
	if (net_merge(&b, ~0u, frame + half, len - half)) {
		assert(net_batch_peek(&b, &f) && f.len < len);
		assert(net_hdr_ok(f.hdr, f.len, ~0u));
		fuzz_segment(f.hdr, f.data, f.len);
	}
	net_batch_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_hdr h;
	uint8_t *frame;
	size_t len;

	if (size <= sizeof(h))
		return 0;
	memcpy(&h, data, sizeof(h));
	len = size - sizeof(h);
	/* In memory of just that size, so that one byte more is noticed. */
	frame = malloc(len);
	assert(frame != NULL);
	memcpy(frame, data + sizeof(h), len);
	(void)net_slirp_allows(frame, len);
	fuzz_merge(frame, len);
	if (net_hdr_ok(&h, len, ~0u)) {
		if (h.gso_type != NET_GSO_NONE)
			fuzz_segment(&h, frame, len);
		if (!net_finish(&h, frame, len))
			assert(h.gso_type != NET_GSO_NONE);
	}
	free(frame);
	return 0;
}
