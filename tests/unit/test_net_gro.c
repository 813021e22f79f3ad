/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Joining TCP segments, and cutting up again what was joined: the same frames
 * must come out.
 */
#include "test.h"

#include "net_priv.h"
#include "net_wire.h"

#define ALL	(NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6)
#define MSS	1000u
#define DATA	3500u /* 3 * MSS and a rest */
#define V4_HEAD 66u   /* 14 + 20 + 20 and a time stamp of 12 */
#define V6_HEAD 86u

static const struct net_hdr plain;

static void
big_frame(uint8_t *f, bool v6)
{
	static const uint8_t v4[20] = { 0x45, 0, 0, 0, 0x11, 0x22, 0x40, 0, 64,
		6, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15 };
	static const uint8_t ip6[40] = { 0x60, 0, 0, 0, 0, 0, 6, 64, 0xfe,
		0xc0, [23] = 2, 0xfe, 0xc0, [39] = 5 };
	static const uint8_t tcp[32] = { 0, 80, 0x82, 0, 0xff, 0xff, 0xfe, 0, 0,
		0, 0, 9, 0x80, 0x18, 0x20, 0, [20] = 1, 1, 8, 10, 1, 2, 3, 4, 5,
		6, 7, 8 };
	size_t ip_len = v6 ? sizeof(ip6) : sizeof(v4), at = 14;

	memset(f, 2, 14);
	put_be16(f + 12, v6 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4);
	memcpy(f + at, v6 ? ip6 : v4, ip_len);
	at += ip_len;
	memcpy(f + at, tcp, sizeof(tcp));
	at += sizeof(tcp);
	for (size_t i = 0; i < DATA; i++)
		f[at + i] = (uint8_t)(i * 31 >> 3);
}

static void
cut(struct net_batch *to, bool v6)
{
	static uint8_t f[V6_HEAD + DATA];
	size_t head = v6 ? V6_HEAD : V4_HEAD;
	const struct net_hdr h = {
		.flags = NET_HDR_NEEDS_CSUM,
		.gso_type = v6 ? NET_GSO_TCPV6 : NET_GSO_TCPV4,
		.hdr_len = (uint16_t)head,
		.gso_size = MSS,
		.csum_start = (uint16_t)(head - 32),
		.csum_offset = 16,
	};

	big_frame(f, v6);
	assert_int_equal(net_batch_init(to, 64 << 10), 0);
	assert_true(net_segment(&h, f, head + DATA, to));
}

/* As a backend does: joined, or put behind. */
static void
take(struct net_batch *b, uint32_t offloads, const uint8_t *f, size_t len)
{
	uint8_t *to;

	if (net_merge(b, offloads, f, len))
		return;
	to = net_batch_reserve(b, len);
	assert_non_null(to);
	memcpy(to, f, len);
	net_batch_commit(b, &plain, len);
}

static unsigned int
count(struct net_batch *b)
{
	struct net_frame f;
	unsigned int n = 0;

	for (; net_batch_peek(b, &f); n++)
		net_batch_skip(b);
	return n;
}

static void
round_trip(bool v6)
{
	struct net_batch segments, joined, again;
	struct net_frame f, g;
	size_t head = v6 ? V6_HEAD : V4_HEAD;

	cut(&segments, v6);
	assert_int_equal(net_batch_init(&joined, 64 << 10), 0);
	assert_int_equal(net_batch_init(&again, 64 << 10), 0);
	while (net_batch_peek(&segments, &f)) {
		take(&joined, ALL, f.data, f.len);
		net_batch_skip(&segments);
	}
	assert_true(net_batch_peek(&joined, &f));
	assert_int_equal(f.len, head + DATA);
	assert_int_equal(f.hdr->gso_type, v6 ? NET_GSO_TCPV6 : NET_GSO_TCPV4);
	assert_int_equal(f.hdr->gso_size, MSS);
	assert_int_equal(f.hdr->hdr_len, head);
	assert_true(net_hdr_ok(f.hdr, f.len, ALL));
	assert_true(net_segment(f.hdr, f.data, f.len, &again));
	net_batch_fini(&segments);
	cut(&segments, v6);
	while (net_batch_peek(&segments, &f)) {
		assert_true(net_batch_peek(&again, &g));
		assert_int_equal(f.len, g.len);
		assert_memory_equal(f.data, g.data, f.len);
		net_batch_skip(&segments);
		net_batch_skip(&again);
	}
	assert_true(net_batch_empty(&again));
	net_batch_fini(&segments);
	net_batch_fini(&joined);
	net_batch_fini(&again);
}

static void
test_round_trip(void **state)
{
	round_trip(false);
	round_trip(true);
}

/* One byte of the second segment is different: is it still joined? */
static bool
joins_with(size_t at, uint8_t val, uint32_t offloads, size_t cut_off)
{
	struct net_batch segments, joined;
	struct net_frame f;
	unsigned int n;

	cut(&segments, false);
	assert_int_equal(net_batch_init(&joined, 64 << 10), 0);
	assert_true(net_batch_peek(&segments, &f));
	take(&joined, offloads, f.data, f.len);
	net_batch_skip(&segments);
	assert_true(net_batch_peek(&segments, &f));
	if (at != 0)
		f.data[at] = val;
	take(&joined, offloads, f.data, f.len - cut_off);
	n = count(&joined);
	net_batch_fini(&segments);
	net_batch_fini(&joined);
	return n == 1;
}

static void
test_not_joined(void **state)
{
	static const struct {
		size_t at;
		uint8_t val;
	} change[] = {
		{ 0, 0 },     /* this one is joined */
		{ 3, 9 },     /* MAC address */
		{ 12, 0x86 }, /* type */
		{ 14, 0x46 }, /* options */
		{ 15, 4 },    /* TOS */
		{ 20, 0x20 }, /* a fragment */
		{ 22, 63 },   /* TTL */
		{ 23, 17 },   /* UDP */
		{ 29, 3 },    /* source */
		{ 33, 16 },   /* destination */
		{ 35, 81 },   /* ports */
		{ 41, 1 },    /* sequence */
		{ 45, 10 },   /* acknowledgement */
		{ 46, 0x70 }, /* header length */
		{ 47, 0x11 }, /* FIN */
		{ 47, 0x30 }, /* URG */
		{ 47, 0x90 }, /* CWR */
		{ 48, 0x21 }, /* window */
		{ 60, 9 },    /* options */
	};

	for (size_t i = 0; i < ARRAY_LEN(change); i++) {
		bool joined = joins_with(change[i].at, change[i].val, ALL, 0);

		if (joined != (i == 0))
			fail_msg("change %zu", i);
	}
	assert_false(joins_with(0, 0, ALL, 1)); /* shorter than IP says */
	assert_false(joins_with(0, 0, NET_OFFLOAD_CSUM, 0));
	assert_false(joins_with(0, 0, NET_OFFLOAD_TSO4, 0));
	assert_false(joins_with(0, 0, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO6, 0));
}

/* PSH and a short segment end a row; so does a frame that was taken. */
static void
test_row_ends(void **state)
{
	struct net_batch segments, joined;
	struct net_frame f;

	cut(&segments, false);
	assert_int_equal(net_batch_init(&joined, 64 << 10), 0);
	assert_true(net_batch_peek(&segments, &f));
	f.data[47] |= 0x08;
	take(&joined, ALL, f.data, f.len);
	net_batch_skip(&segments);
	assert_true(net_batch_peek(&segments, &f));
	take(&joined, ALL, f.data, f.len);
	assert_int_equal(count(&joined), 2);
	net_batch_skip(&segments);
	assert_true(net_batch_peek(&segments, &f));
	assert_false(net_merge(&joined, ALL, f.data, f.len));
	net_batch_fini(&segments);
	net_batch_fini(&joined);
}

/* No more than IP can say, and no more than there is room for. */
static void
test_limits(void **state)
{
	struct net_batch segments, joined, tiny;
	struct net_frame f;
	unsigned int n = 0;

	cut(&segments, false);
	assert_int_equal(net_batch_init(&joined, 256 << 10), 0);
	assert_int_equal(net_batch_init(&tiny, 1200), 0);
	assert_true(net_batch_peek(&segments, &f));
	take(&tiny, ALL, f.data, f.len);
	for (; n < 100; n++) {
		take(&joined, ALL, f.data, f.len);
		put_be32(f.data + 38, get_be32(f.data + 38) + MSS);
	}
	assert_false(net_merge(&tiny, ALL, f.data, f.len));
	for (n = 0; net_batch_peek(&joined, &f); n++) {
		assert_in_range(f.len - 14, 1, 65535);
		assert_int_equal(get_be16(f.data + 16), f.len - 14);
		net_batch_skip(&joined);
	}
	assert_int_equal(n, 2);
	net_batch_fini(&segments);
	net_batch_fini(&joined);
	net_batch_fini(&tiny);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_not_joined),
		cmocka_unit_test(test_row_ends),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
