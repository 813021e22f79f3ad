/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a card's driver may leave to the card: checksums (RFC 1071) and cutting
 * large TCP segments up (virtio 1.2 section 5.1.6.2), for backends and guests
 * that want finished frames.
 *
 * Nothing in a frame is believed: whatever does not look like the TCP over IP
 * that its header promises is refused.  The frame is ours, nobody changes it
 * meanwhile.
 */
#include "net_priv.h"

#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>

#include "net_wire.h"

#define ETH_VLAN_BYTES 4
#define TCP_CWR	       0x80
#define TCP_PSH_FIN    (TH_PUSH | TH_FIN)

/* --- headers -------------------------------------------------------------- */

static uint32_t
net_gso_offload(uint8_t gso_type)
{
	switch (gso_type & ~NET_GSO_ECN) {
	case NET_GSO_TCPV4:
		return NET_OFFLOAD_TSO4;
	case NET_GSO_TCPV6:
		return NET_OFFLOAD_TSO6;
	default:
		return 0;
	}
}

uint32_t
net_hdr_needs(const struct net_hdr *h)
{
	uint32_t needs = net_gso_offload(h->gso_type);

	if (h->flags & NET_HDR_NEEDS_CSUM)
		needs |= NET_OFFLOAD_CSUM;
	if (h->gso_type & NET_GSO_ECN)
		needs |= NET_OFFLOAD_ECN;
	return needs;
}

bool
net_hdr_ok(const struct net_hdr *h, size_t len, uint32_t offloads)
{
	if (len < NET_FRAME_MIN || len > NET_FRAME_MAX ||
	    (net_hdr_needs(h) & ~offloads) != 0)
		return false;
	if ((h->flags & NET_HDR_NEEDS_CSUM) &&
	    !range_ok((uint64_t)h->csum_start + h->csum_offset, 2, len))
		return false;
	if (h->gso_type == NET_GSO_NONE)
		return true;
	return net_gso_offload(h->gso_type) != 0 && h->gso_size != 0 &&
	       h->hdr_len <= len && (h->flags & NET_HDR_NEEDS_CSUM);
}

/* --- checksums ------------------------------------------------------------ */

/*
 * One's complement sum of 16-bit words in memory order; the caller folds.  An
 * odd last byte is the first of its word.
 */
static uint64_t
csum_add(uint64_t sum, const uint8_t *p, size_t len)
{
	uint32_t w;
	uint16_t h = 0;

	for (; len >= sizeof(w); p += sizeof(w), len -= sizeof(w)) {
		memcpy(&w, p, sizeof(w));
		sum += w;
	}
	if (len >= sizeof(h)) {
		memcpy(&h, p, sizeof(h));
		sum += h;
		p += sizeof(h);
		len -= sizeof(h);
	}
	return len > 0 ? sum + *p : sum;
}

static uint16_t
csum_fold(uint64_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void
csum_store(uint8_t *at, uint64_t sum)
{
	uint16_t v = csum_fold(sum);

	memcpy(at, &v, sizeof(v));
}

/* The sender has left the pseudo header's sum in the field. */
static void
csum_partial_finish(const struct net_hdr *h, uint8_t *frame, size_t len)
{
	uint8_t *at = frame + h->csum_start + h->csum_offset;
	uint64_t sum = csum_add(0, frame + h->csum_start, len - h->csum_start);
	uint16_t v = csum_fold(sum);

	/* UDP: zero means "none" (RFC 768); 0xffff is as good for all. */
	if (v == 0)
		v = 0xffff;
	memcpy(at, &v, sizeof(v));
}

/* --- TCP over IP ---------------------------------------------------------- */

struct tcp_frame {
	bool v6;
	size_t ip, tcp, payload; /* offsets */
};

static bool
tcp_frame_v4(const uint8_t *frame, size_t len, struct tcp_frame *t)
{
	const uint8_t *ip = frame + t->ip;
	size_t ihl;

	if (!range_ok(t->ip, sizeof(struct ip), len) || ip[0] >> 4 != 4)
		return false;
	ihl = (size_t)(ip[0] & 0xf) * 4;
	t->tcp = t->ip + ihl;
	return ihl >= sizeof(struct ip) && ip[9] == IPPROTO_TCP;
}

/* Extension headers before TCP: where it begins is csum_start. */
static bool
tcp_frame_v6(const uint8_t *frame, size_t len, const struct net_hdr *h,
    struct tcp_frame *t)
{
	if (!range_ok(t->ip, sizeof(struct ip6_hdr), len) ||
	    frame[t->ip] >> 4 != 6)
		return false;
	t->v6 = true;
	t->tcp = h->csum_start;
	return t->tcp >= t->ip + sizeof(struct ip6_hdr);
}

static bool
tcp_frame_parse(const struct net_hdr *h, const uint8_t *frame, size_t len,
    struct tcp_frame *t)
{
	size_t type = ETH_TYPE_OFF;
	uint16_t proto;
	size_t doff;
	bool ok;

	if (range_ok(type, 6, len) && get_be16(frame + type) == ETH_TYPE_VLAN)
		type += ETH_VLAN_BYTES;
	if (!range_ok(type, 2, len))
		return false;
	proto = get_be16(frame + type);
	*t = (struct tcp_frame){ .ip = type + 2 };
	switch (h->gso_type & ~NET_GSO_ECN) {
	case NET_GSO_TCPV4:
		ok = proto == ETH_TYPE_IPV4 && tcp_frame_v4(frame, len, t);
		break;
	case NET_GSO_TCPV6:
		ok = proto == ETH_TYPE_IPV6 && tcp_frame_v6(frame, len, h, t);
		break;
	default:
		return false;
	}
	if (!ok || !range_ok(t->tcp, sizeof(struct tcphdr), len))
		return false;
	doff = (size_t)(frame[t->tcp + 12] >> 4) * 4;
	t->payload = t->tcp + doff;
	return doff >= sizeof(struct tcphdr) && t->payload <= len &&
	       len - t->ip <= 65535;
}

void
net_tcp_lengths(uint8_t *frame, size_t len, size_t ip_off, size_t tcp_off)
{
	uint8_t *ip = frame + ip_off, *tcp = frame + tcp_off;
	bool v6 = ip[0] >> 4 == 6;
	uint8_t pseudo[8] = { 0 };
	uint64_t sum;
	uint16_t v;

	put_be32(pseudo, (uint32_t)(len - tcp_off));
	put_be32(pseudo + 4, IPPROTO_TCP);
	sum = csum_add(0, pseudo, sizeof(pseudo));
	if (v6) {
		put_be16(
		    ip + 4, (uint16_t)(len - ip_off - sizeof(struct ip6_hdr)));
		sum = csum_add(sum, ip + 8, 32);
	} else {
		put_be16(ip + 2, (uint16_t)(len - ip_off));
		put_be16(ip + 10, 0);
		csum_store(ip + 10, csum_add(0, ip, tcp_off - ip_off));
		sum = csum_add(sum, ip + 12, 8);
	}
	v = (uint16_t)~csum_fold(sum);
	memcpy(tcp + TCP_SUM_OFF, &v, sizeof(v));
}

/* Lengths and checksums of a whole TCP frame, whatever stood there. */
static void
tcp_frame_finish(const struct tcp_frame *t, uint8_t *frame, size_t len)
{
	uint8_t *tcp = frame + t->tcp;

	net_tcp_lengths(frame, len, t->ip, t->tcp);
	csum_store(tcp + TCP_SUM_OFF, csum_add(0, tcp, len - t->tcp));
}

bool
net_finish(const struct net_hdr *h, uint8_t *frame, size_t len)
{
	struct tcp_frame t;

	if (h->gso_type == NET_GSO_NONE) {
		if (h->flags & NET_HDR_NEEDS_CSUM)
			csum_partial_finish(h, frame, len);
		return true;
	}
	/*
	 * Drivers differ in whether the sum in the field covers a length, so
	 * it is made anew.
	 */
	if (!tcp_frame_parse(h, frame, len, &t))
		return false;
	tcp_frame_finish(&t, frame, len);
	return true;
}

/* The n-th of several: sequence number, identification, flags. */
static void
tcp_segment_header(const struct tcp_frame *t, uint8_t *seg, size_t off,
    unsigned int n, bool last)
{
	uint8_t *ip = seg + t->ip, *tcp = seg + t->tcp;

	if (!t->v6)
		put_be16(ip + 4, (uint16_t)(get_be16(ip + 4) + n));
	put_be32(tcp + 4, get_be32(tcp + 4) + (uint32_t)off);
	if (!last)
		tcp[TCP_FLAGS_OFF] &= (uint8_t)~TCP_PSH_FIN;
	if (n > 0) /* RFC 3168: CWR on the first only */
		tcp[TCP_FLAGS_OFF] &= (uint8_t)~TCP_CWR;
}

bool
net_segment(const struct net_hdr *h, const uint8_t *frame, size_t len,
    struct net_batch *to)
{
	static const struct net_hdr plain;
	struct tcp_frame t;
	unsigned int n = 0;

	if (!tcp_frame_parse(h, frame, len, &t))
		return false;
	for (size_t off = 0; n == 0 || off < len - t.payload; n++) {
		size_t part = MIN(len - t.payload - off, (size_t)h->gso_size);
		uint8_t *seg = net_batch_reserve(to, t.payload + part);

		if (seg == NULL)
			return false;
		memcpy(seg, frame, t.payload);
		memcpy(seg + t.payload, frame + t.payload + off, part);
		tcp_segment_header(
		    &t, seg, off, n, off + part == len - t.payload);
		tcp_frame_finish(&t, seg, t.payload + part);
		net_batch_commit(to, &plain, t.payload + part);
		off += part;
	}
	return true;
}
