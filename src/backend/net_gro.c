/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The opposite of cutting up: segments of one TCP connection that follow each
 * other become one frame, for a guest that takes such (GUEST_TSO4 and 6 of
 * virtio 1.2 section 5.1.3).  A guest's network stack costs per frame, the more
 * so on a software CPU.
 *
 * For frames of a sender that is trusted to make sums that are right.  Only
 * frames that have nothing in them but data are joined: no flags but ACK and
 * PSH, the same options, and all but the last of one size, so that they can be
 * cut up again.
 */
#include "net_priv.h"

#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>

#include "net_wire.h"

#define GRO_IP_MAX 65535u /* what an IP header can say */

/* Offsets; a frame with a payload, and with no padding behind it. */
struct gro_frame {
	size_t ip, tcp, payload, len;
	bool v6;
};

static bool
gro_parse_v4(const uint8_t *f, struct gro_frame *g)
{
	const uint8_t *ip = f + g->ip;

	/* No options, not a fragment. */
	if (!range_ok(g->ip, sizeof(struct ip), g->len) || ip[0] != 0x45 ||
	    ip[9] != IPPROTO_TCP || (get_be16(ip + 6) & ~IP_DF) != 0 ||
	    get_be16(ip + 2) != g->len - g->ip)
		return false;
	g->tcp = g->ip + sizeof(struct ip);
	return true;
}

static bool
gro_parse_v6(const uint8_t *f, struct gro_frame *g)
{
	const uint8_t *ip = f + g->ip;

	if (!range_ok(g->ip, sizeof(struct ip6_hdr), g->len) ||
	    ip[0] >> 4 != 6 || ip[6] != IPPROTO_TCP ||
	    get_be16(ip + 4) != g->len - g->ip - sizeof(struct ip6_hdr))
		return false;
	g->v6 = true;
	g->tcp = g->ip + sizeof(struct ip6_hdr);
	return true;
}

static bool
gro_parse(const uint8_t *f, size_t len, struct gro_frame *g)
{
	uint16_t type;
	size_t doff;

	*g = (struct gro_frame){ .ip = NET_FRAME_MIN, .len = len };
	if (len < NET_FRAME_MIN)
		return false;
	type = get_be16(f + ETH_TYPE_OFF);
	if (!(type == ETH_TYPE_IPV4 && gro_parse_v4(f, g)) &&
	    !(type == ETH_TYPE_IPV6 && gro_parse_v6(f, g)))
		return false;
	if (!range_ok(g->tcp, sizeof(struct tcphdr), len))
		return false;
	doff = (size_t)(f[g->tcp + 12] >> 4) * 4;
	g->payload = g->tcp + doff;
	return doff >= sizeof(struct tcphdr) && g->payload < len &&
	       (f[g->tcp + TCP_FLAGS_OFF] & ~TH_PUSH) == TH_ACK;
}

/* Everything before the payload is the same, but what may grow. */
static bool
gro_same_flow(const uint8_t *a, const struct gro_frame *ga, const uint8_t *b,
    const struct gro_frame *gb)
{
	if (ga->v6 != gb->v6 || ga->payload != gb->payload ||
	    memcmp(a, b, NET_FRAME_MIN) != 0)
		return false;
	if (ga->v6) {
		/* Class, flow; next header, hops, addresses. */
		if (memcmp(a + ga->ip, b + ga->ip, 4) != 0 ||
		    memcmp(a + ga->ip + 6, b + ga->ip + 6, 34) != 0)
			return false;
	} else if (memcmp(a + ga->ip, b + ga->ip, 2) != 0 ||
		   memcmp(a + ga->ip + 6, b + ga->ip + 6, 4) != 0 ||
		   memcmp(a + ga->ip + 12, b + ga->ip + 12, 8) != 0) {
		return false;
	}
	/* Ports; acknowledgement; window; options. */
	return memcmp(a + ga->tcp, b + ga->tcp, 4) == 0 &&
	       memcmp(a + ga->tcp + 8, b + ga->tcp + 8, 4) == 0 &&
	       memcmp(a + ga->tcp + 14, b + ga->tcp + 14, 2) == 0 &&
	       memcmp(a + ga->tcp + 20, b + ga->tcp + 20,
		   ga->payload - ga->tcp - 20) == 0;
}

/* The header of what is now one large frame. */
static struct net_hdr
gro_header(const struct gro_frame *g, size_t size)
{
	return (struct net_hdr){
		.flags = NET_HDR_NEEDS_CSUM,
		.gso_type = g->v6 ? NET_GSO_TCPV6 : NET_GSO_TCPV4,
		.hdr_len = (uint16_t)g->payload,
		.gso_size = (uint16_t)size,
		.csum_start = (uint16_t)g->tcp,
		.csum_offset = offsetof(struct tcphdr, th_sum),
	};
}

/*
 * `size` is that of the first segment.  PSH ends the row, and so does a segment
 * that is shorter.
 */
static bool
gro_follows(const uint8_t *a, const struct gro_frame *ga, size_t size,
    const uint8_t *b, const struct gro_frame *gb)
{
	size_t have = ga->len - ga->payload, more = gb->len - gb->payload;

	return have % size == 0 && more <= size &&
	       (a[ga->tcp + TCP_FLAGS_OFF] & TH_PUSH) == 0 &&
	       ga->len - ga->ip + more <= GRO_IP_MAX &&
	       get_be32(a + ga->tcp + 4) + (uint32_t)have ==
		   get_be32(b + gb->tcp + 4) &&
	       gro_same_flow(a, ga, b, gb);
}

bool
net_merge(struct net_batch *batch, uint32_t offloads, const uint8_t *frame,
    size_t len)
{
	struct gro_frame ga, gb;
	struct net_frame last;
	size_t size, more;

	if (!gro_parse(frame, len, &gb) ||
	    !(offloads & (gb.v6 ? NET_OFFLOAD_TSO6 : NET_OFFLOAD_TSO4)) ||
	    !(offloads & NET_OFFLOAD_CSUM) || !net_batch_last(batch, &last) ||
	    !gro_parse(last.data, last.len, &ga))
		return false;
	size = last.hdr->gso_type != NET_GSO_NONE ? last.hdr->gso_size
						  : ga.len - ga.payload;
	more = gb.len - gb.payload;
	if (!gro_follows(last.data, &ga, size, frame, &gb) ||
	    !net_batch_extend(batch, frame + gb.payload, more))
		return false;
	*last.hdr = gro_header(&ga, size);
	last.data[ga.tcp + TCP_FLAGS_OFF] |= frame[gb.tcp + TCP_FLAGS_OFF];
	net_tcp_lengths(last.data, ga.len + more, ga.ip, ga.tcp);
	return true;
}
