/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What libslirp 4.7 leaves open although it was told to keep guests from the
 * host's loopback (disable_host_loopback closes the gateway's address only):
 *
 *  - it connects to 127.0.0.1, 0.0.0.0, ::1 and the like when a guest names
 *    them as they are;
 *  - the name server's address leads to every port of the host's resolver,
 *    which on many hosts is 127.0.0.53.
 *
 * Only destinations matter: an answer to a forwarded connection goes to an
 * address that was translated.
 */
#include "net_slirp_filter.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <util/util.h>

#include "net_wire.h"

#define ETH_BYTES 14u
#define IP4_BYTES 20u
#define IP6_BYTES 40u
#define DNS_PORT  53

/* To the name server: questions, and ICMP, which libslirp answers itself. */
static bool
dns_allowed(uint8_t proto, const uint8_t *l4, size_t len)
{
	if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6)
		return true;
	return (proto == IPPROTO_TCP || proto == IPPROTO_UDP) && len >= 4 &&
	       get_be16(l4 + 2) == DNS_PORT;
}

static bool
ip4_allowed(const uint8_t *ip, size_t len)
{
	size_t ihl = (size_t)(ip[0] & 0xf) * 4;
	/* A later fragment could put other ports over the first one's. */
	bool fragment = (get_be16(ip + 6) & 0x3fff) != 0;
	uint32_t dst;

	memcpy(&dst, ip + 16, sizeof(dst));
	dst = ntohl(dst);
	if (dst >> 24 == IN_LOOPBACKNET || dst >> 24 == 0)
		return false;
	if (dst != SLIRP_DNS)
		return true;
	return !fragment && ihl >= IP4_BYTES && ihl <= len &&
	       dns_allowed(ip[9], ip + ihl, len - ihl);
}

static bool
ip6_allowed(const uint8_t *ip, size_t len)
{
	static const uint8_t zero[10];
	struct in6_addr dns;

	/* ::, ::1, ::a.b.c.d, ::ffff:a.b.c.d */
	if (memcmp(ip + 24, zero, sizeof(zero)) == 0)
		return false;
	inet_pton(AF_INET6, SLIRP_DNS6, &dns);
	if (memcmp(ip + 24, &dns, sizeof(dns)) != 0)
		return true;
	/* Behind extension headers libslirp does not look either. */
	return dns_allowed(ip[6], ip + IP6_BYTES, len - IP6_BYTES);
}

bool
net_slirp_allows(const uint8_t *frame, size_t len)
{
	const uint8_t *ip = frame + ETH_BYTES;
	uint16_t type;

	if (len < ETH_BYTES)
		return false;
	type = get_be16(frame + ETH_TYPE_OFF);
	len -= ETH_BYTES;
	if (type == ETH_TYPE_IPV4)
		return len >= IP4_BYTES && ip4_allowed(ip, len);
	if (type == ETH_TYPE_IPV6)
		return len >= IP6_BYTES && ip6_allowed(ip, len);
	return true; /* ARP; others are nothing to libslirp */
}
