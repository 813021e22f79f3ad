/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slirp, seen from a guest whose TCP/IP is made here by hand, and from
 * programs on the host.  Nothing leaves the host.
 */
#include "net_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_slirp_filter.h"

#define IP(a, b, c, d)                                                         \
	((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (d))
#define GUEST_IP IP(10, 0, 2, 15)
#define HOST_IP	 IP(10, 0, 2, 2)

#define ETH	 14
#define L4	 34 /* offset of what follows an IPv4 header */
#define SYN	 0x02
#define RST	 0x04
#define PSH	 0x08
#define ACK	 0x10

static const uint8_t guest_mac[6] = { 0x58, 0x9c, 0xfc, 1, 2, 3 };

struct guest {
	struct net_card card;
	uint8_t gw_mac[6];
};

/* --- making and reading frames -------------------------------------------- */

static void
put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void
put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static uint32_t
get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t
get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

static uint32_t
sum16(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void
eth_head(const struct guest *g, uint8_t *f, uint16_t type)
{
	memcpy(f, g->gw_mac, 6);
	memcpy(f + 6, guest_mac, 6);
	put16(f + 12, type);
}

/* An IPv4 header for a payload of n bytes that stands behind it. */
static size_t
ip_head(const struct guest *g, uint8_t *f, uint8_t proto, uint32_t src,
    uint32_t dst, size_t n)
{
	eth_head(g, f, 0x0800);
	memset(f + ETH, 0, 20);
	f[ETH] = 0x45;
	put16(f + ETH + 2, (uint32_t)(20 + n));
	f[ETH + 8] = 64;
	f[ETH + 9] = proto;
	put32(f + ETH + 12, src);
	put32(f + ETH + 16, dst);
	put16(f + ETH + 10, ~sum16(0, f + ETH, 20));
	return L4 + n;
}

/* Checksum of TCP or UDP: a pseudo header before it. */
static uint32_t
l4_sum(const uint8_t *f, size_t len)
{
	uint32_t sum = f[ETH + 9] + (uint32_t)(len - L4);

	return sum16(sum16(sum, f + ETH + 12, 8), f + L4, len - L4);
}

static bool
is_ip(const struct net_card_frame *f, uint8_t proto)
{
	return f->len >= L4 + 8 && get16(f->data + 12) == 0x0800 &&
	       f->data[ETH + 9] == proto;
}

/* ARP requests for the guest's address are answered on the way. */
static bool
answer_arp(struct guest *g, const struct net_card_frame *f)
{
	uint8_t r[42];

	if (f->len < 42 || get16(f->data + 12) != 0x0806)
		return false;
	if (get16(f->data + 20) != 1 || get32(f->data + 38) != GUEST_IP)
		return false;
	memcpy(r, f->data, sizeof(r));
	memcpy(r, f->data + 6, 6);
	memcpy(r + 6, guest_mac, 6);
	put16(r + 20, 2);
	memcpy(r + 22, guest_mac, 6);
	put32(r + 28, GUEST_IP);
	memcpy(r + 32, f->data + 22, 10);
	net_card_send(&g->card, r, sizeof(r));
	return true;
}

/* The next frame that `match` likes; others are dropped. */
static bool
next_matching(struct guest *g, struct net_card_frame *f, unsigned int ms,
    bool (*match)(const struct net_card_frame *, const void *), const void *arg)
{
	while (net_card_next(&g->card, f, ms)) {
		if (!answer_arp(g, f) && match(f, arg))
			return true;
		net_card_frame_free(f);
	}
	return false;
}

static void
guest_boot(struct guest *g, const struct net_setting *settings)
{
	memset(g, 0, sizeof(*g));
	memset(g->gw_mac, 0xff, 6);
	net_card_open(&g->card, "slirp", settings);
	assert_true(net_link_up(g->card.nd));
}

/* --- ARP, DHCP, ping, IPv6 ------------------------------------------------ */

static bool
is_arp_reply(const struct net_card_frame *f, const void *arg)
{
	return get16(f->data + 12) == 0x0806 && get16(f->data + 20) == 2;
}

static void
learn_gateway(struct guest *g)
{
	uint8_t f[42] = { 0 };
	struct net_card_frame r;

	eth_head(g, f, 0x0806);
	put16(f + 14, 1);
	put16(f + 16, 0x0800);
	f[18] = 6;
	f[19] = 4;
	put16(f + 20, 1);
	memcpy(f + 22, guest_mac, 6);
	put32(f + 28, GUEST_IP);
	put32(f + 38, HOST_IP);
	net_card_send(&g->card, f, sizeof(f));
	assert_true(next_matching(g, &r, NET_WAIT_MS, is_arp_reply, NULL));
	assert_int_equal(get32(r.data + 28), HOST_IP);
	memcpy(g->gw_mac, r.data + 22, 6);
	assert_memory_equal(r.data, guest_mac, 6);
	net_card_frame_free(&r);
}

static void
test_arp(void **state)
{
	struct guest g;

	guest_boot(&g, NULL);
	learn_gateway(&g);
	net_card_close(&g.card);
}

static bool
is_udp_to(const struct net_card_frame *f, const void *port)
{
	return is_ip(f, 17) &&
	       get16(f->data + L4 + 2) == *(const uint16_t *)port;
}

static size_t
udp_frame(const struct guest *g, uint8_t *f, uint32_t src, uint16_t sport,
    uint32_t dst, uint16_t dport, const void *data, size_t n)
{
	put16(f + L4, sport);
	put16(f + L4 + 2, dport);
	put16(f + L4 + 4, (uint32_t)(8 + n));
	put16(f + L4 + 6, 0);
	memcpy(f + L4 + 8, data, n);
	return ip_head(g, f, 17, src, dst, 8 + n);
}

static const uint8_t *
dhcp_option(const struct net_card_frame *f, uint8_t code)
{
	size_t at = L4 + 8 + 240;

	while (at + 1 < f->len && f->data[at] != 0xff) {
		if (f->data[at] == code)
			return f->data + at + 2;
		at += f->data[at] == 0 ? 1 : 2u + f->data[at + 1];
	}
	return NULL;
}

static void
dhcp(struct guest *g, uint8_t type, uint8_t want)
{
	static const uint16_t client = 68;
	uint8_t f[400], d[300] = { 1, 1, 6, 0, 1, 2, 3, 4 };
	struct net_card_frame r;

	memcpy(d + 28, guest_mac, 6);
	put32(d + 236, 0x63825363);
	memcpy(d + 240, (uint8_t[]){ 53, 1, type }, 3);
	if (type == 3) {
		memcpy(d + 243, (uint8_t[]){ 50, 4 }, 2);
		put32(d + 245, GUEST_IP);
		d[249] = 255;
	} else {
		d[243] = 255;
	}
	net_card_send(
	    &g->card, f, udp_frame(g, f, 0, 68, 0xffffffff, 67, d, sizeof(d)));
	assert_true(next_matching(g, &r, NET_WAIT_MS, is_udp_to, &client));
	assert_int_equal(get32(r.data + L4 + 8 + 4), 0x01020304);
	assert_int_equal(get32(r.data + L4 + 8 + 16), GUEST_IP);
	assert_int_equal(dhcp_option(&r, 53)[0], want);
	assert_int_equal(get32(dhcp_option(&r, 1)), 0xffffff00);
	assert_int_equal(get32(dhcp_option(&r, 3)), HOST_IP);
	assert_int_equal(get32(dhcp_option(&r, 6)), IP(10, 0, 2, 3));
	net_card_frame_free(&r);
}

static void
test_dhcp(void **state)
{
	struct guest g;

	guest_boot(&g, NULL);
	dhcp(&g, 1, 2); /* DISCOVER, OFFER */
	dhcp(&g, 3, 5); /* REQUEST, ACK */
	net_card_close(&g.card);
}

static bool
is_icmp(const struct net_card_frame *f, const void *arg)
{
	return is_ip(f, 1);
}

static void
test_ping(void **state)
{
	struct guest g;
	uint8_t f[100] = { 0 };
	struct net_card_frame r;
	size_t len;

	guest_boot(&g, NULL);
	learn_gateway(&g);
	f[L4] = 8;
	put32(f + L4 + 4, 0xabcd0001);
	memset(f + L4 + 8, 0x5a, 40);
	put16(f + L4 + 2, ~sum16(0, f + L4, 48));
	len = ip_head(&g, f, 1, GUEST_IP, HOST_IP, 48);
	net_card_send(&g.card, f, len);
	assert_true(next_matching(&g, &r, NET_WAIT_MS, is_icmp, NULL));
	assert_int_equal(r.len, len);
	assert_int_equal(r.data[L4], 0);
	assert_memory_equal(r.data + L4 + 4, f + L4 + 4, 44);
	net_card_frame_free(&r);
	net_card_close(&g.card);
}

static bool
is_icmp6(const struct net_card_frame *f, const void *type)
{
	return f->len > 54 && get16(f->data + 12) == 0x86dd &&
	       f->data[20] == 58 && f->data[54] == *(const uint8_t *)type;
}

/* A router solicitation is answered with the prefix fec0::/64. */
static void
test_ipv6_router(void **state)
{
	static const uint8_t advert = 134,
			     all_routers[16] = { 0xff, 0x02, [15] = 2 };
	struct guest g;
	uint8_t f[62] = { 0 };
	struct net_card_frame r;
	bool prefix = false;

	guest_boot(&g, NULL);
	eth_head(&g, f, 0x86dd);
	memcpy(f, (uint8_t[]){ 0x33, 0x33, 0, 0, 0, 2 }, 6);
	f[14] = 0x60;
	put16(f + 18, 8);
	f[20] = 58;
	f[21] = 255;
	f[22] = 0xfe;
	f[23] = 0x80;
	f[37] = 9;
	memcpy(f + 38, all_routers, 16);
	f[54] = 133;
	put16(f + 56, ~sum16(sum16(58 + 8, f + 22, 32), f + 54, 8));
	net_card_send(&g.card, f, sizeof(f));
	assert_true(next_matching(&g, &r, NET_WAIT_MS, is_icmp6, &advert));
	for (size_t at = 70; at + 32 <= r.len; at += 8u * r.data[at + 1]) {
		if (r.data[at] == 3)
			prefix = get16(r.data + at + 16) == 0xfec0;
		if (r.data[at + 1] == 0)
			break;
	}
	assert_true(prefix);
	net_card_frame_free(&r);
	net_card_close(&g.card);
}

/* --- TCP ------------------------------------------------------------------ */

struct conn {
	uint32_t peer;
	uint16_t port, peer_port;
	uint32_t seq, ack; /* next to send; next expected */
};

static bool
is_conn(const struct net_card_frame *f, const void *arg)
{
	const struct conn *c = arg;

	return is_ip(f, 6) && get32(f->data + ETH + 16) == GUEST_IP &&
	       get16(f->data + L4 + 2) == c->port &&
	       (c->peer_port == 0 || get16(f->data + L4) == c->peer_port);
}

static size_t
tcp_frame(const struct guest *g, uint8_t *f, const struct conn *c,
    uint8_t flags, const void *data, size_t n)
{
	size_t len;

	memset(f + L4, 0, 20);
	put16(f + L4, c->port);
	put16(f + L4 + 2, c->peer_port);
	put32(f + L4 + 4, c->seq);
	put32(f + L4 + 8, c->ack);
	f[L4 + 12] = 0x50;
	f[L4 + 13] = flags;
	put16(f + L4 + 14, 65535);
	memcpy(f + L4 + 20, data, n);
	len = ip_head(g, f, 6, GUEST_IP, c->peer, 20 + n);
	put16(f + L4 + 16, ~l4_sum(f, len));
	return len;
}

static void
tcp_send(
    struct guest *g, struct conn *c, uint8_t flags, const void *data, size_t n)
{
	uint8_t f[1600];

	net_card_send(&g->card, f, tcp_frame(g, f, c, flags, data, n));
	c->seq += (uint32_t)n + ((flags & SYN) ? 1 : 0);
}

static size_t
tcp_payload(const struct net_card_frame *f, const uint8_t **ret)
{
	size_t head = L4 + (size_t)(f->data[L4 + 12] >> 4) * 4;

	*ret = f->data + head;
	return ETH + get16(f->data + ETH + 2) - head;
}

/* Reads `n` bytes, acknowledging; `stop` frames without payload are skipped. */
static void
tcp_recv(struct guest *g, struct conn *c, uint8_t *buf, size_t n)
{
	struct net_card_frame f;
	const uint8_t *data;
	size_t got = 0, part;

	while (got < n) {
		assert_true(next_matching(g, &f, NET_WAIT_MS, is_conn, c));
		part = tcp_payload(&f, &data);
		if (!(f.hdr.flags & NET_HDR_NEEDS_CSUM))
			assert_int_equal(
			    l4_sum(f.data, ETH + get16(f.data + ETH + 2)),
			    0xffff);
		if (part > 0 && get32(f.data + L4 + 4) == c->ack) {
			assert_true(part <= n - got);
			memcpy(buf + got, data, part);
			got += part;
			c->ack += (uint32_t)part;
			tcp_send(g, c, ACK, NULL, 0);
		}
		net_card_frame_free(&f);
	}
}

/* Flags of the answer to a SYN. */
static uint8_t
tcp_connect(struct guest *g, struct conn *c)
{
	struct net_card_frame f;
	uint8_t flags;

	c->seq = 1000;
	tcp_send(g, c, SYN, NULL, 0);
	assert_true(next_matching(g, &f, NET_WAIT_MS, is_conn, c));
	flags = f.data[L4 + 13];
	c->ack = get32(f.data + L4 + 4) + 1;
	net_card_frame_free(&f);
	if ((flags & (SYN | ACK)) == (SYN | ACK))
		tcp_send(g, c, ACK, NULL, 0);
	return flags;
}

static int
host_listen(int type, uint16_t *ret_port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, type, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	*ret_port = ntohs(sin.sin_port);
	return fd;
}

static void
read_all(int fd, uint8_t *buf, size_t n)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (n > 0) {
		ssize_t got;

		assert_int_equal(poll(&p, 1, NET_WAIT_MS), 1);
		got = read(fd, buf, n);
		assert_true(got > 0);
		buf += got;
		n -= (size_t)got;
	}
}

static const struct net_setting open_setting[] = { { "open", "true" },
	{ NULL, NULL } };

/* A server on the host's loopback, through 10.0.2.2: with `open` only. */
static void
tcp_to_host(uint32_t rx_offloads, uint64_t *ret_frames)
{
	struct net_stats before, after;
	static uint8_t out[100000], in[sizeof(out)];
	struct conn c = { .peer = HOST_IP, .port = 4000 };
	struct guest g;
	int server = host_listen(SOCK_STREAM, &c.peer_port), fd;

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i % 251);
	guest_boot(&g, open_setting);
	net_set_rx_offloads(g.card.nd, rx_offloads);
	learn_gateway(&g);
	assert_int_equal(tcp_connect(&g, &c), SYN | ACK);
	fd = accept(server, NULL, NULL);
	tcp_send(&g, &c, ACK | PSH, "hello", 5);
	read_all(fd, in, 5);
	assert_memory_equal(in, "hello", 5);
	net_get_stats(g.card.nd, &before);
	/* More than the guest's window, in many segments. */
	assert_int_equal(write(fd, out, sizeof(out)), sizeof(out));
	tcp_recv(&g, &c, in, sizeof(in));
	assert_memory_equal(in, out, sizeof(out));
	net_get_stats(g.card.nd, &after);
	*ret_frames = after.rx_frames - before.rx_frames;
	close(fd);
	close(server);
	net_card_close(&g.card);
}

/* A guest that takes large frames gets fewer. */
static void
test_tcp_to_host(void **state)
{
	uint64_t frames;

	tcp_to_host(0, &frames);
	assert_true(frames >= 100000 / 1460);
	tcp_to_host(NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4, &frames);
	assert_true(frames < 100000 / 1460 / 2);
}

/* Without it no way leads there, whatever address the guest thinks of. */
static void
test_loopback_closed(void **state)
{
	static const uint32_t way[] = { HOST_IP, IP(10, 0, 2, 77),
		IP(127, 0, 0, 1), IP(255, 255, 255, 255), 0,
		IP(10, 0, 2, 255) };
	struct conn c = { .port = 4001 };
	uint16_t udp_port;
	struct guest g;
	struct pollfd p[2] = {
		{ .fd = host_listen(SOCK_STREAM, &c.peer_port),
		    .events = POLLIN },
		{ .fd = host_listen(SOCK_DGRAM, &udp_port), .events = POLLIN },
	};
	uint8_t f[100];

	guest_boot(&g, NULL);
	learn_gateway(&g);
	for (size_t i = 0; i < ARRAY_LEN(way); i++) {
		c.peer = way[i];
		c.seq = 1000;
		c.port++;
		tcp_send(&g, &c, SYN, NULL, 0);
		net_card_send(&g.card, f,
		    udp_frame(&g, f, GUEST_IP, 99, way[i], udp_port, "x", 1));
		if (poll(p, 2, 100) != 0)
			fail_msg("way %zu leads to the host (%s)", i,
			    p[0].revents != 0 ? "tcp" : "udp");
	}
	close(p[0].fd);
	close(p[1].fd);
	net_card_close(&g.card);
}

/* Two more ways, which do not end at an address of slirp's own. */
static void
test_loopback_filter(void **state)
{
	static const uint8_t v6[][16] = { { [15] = 1 }, { 0 },
		{ [10] = 0xff, 0xff, 127, 0, 0, 1 }, { [12] = 127, 0, 0, 1 } };
	struct guest g = { .gw_mac = { 0 } };
	struct conn c = { .peer = IP(10, 0, 2, 3), .peer_port = 22 };
	uint8_t f[100] = { 0 };
	size_t len = tcp_frame(&g, f, &c, SYN, NULL, 0);

	assert_false(net_slirp_allows(f, len));
	c.peer_port = 53;
	len = tcp_frame(&g, f, &c, SYN, NULL, 0);
	assert_true(net_slirp_allows(f, len));
	f[ETH + 6] = 0x20; /* more fragments */
	assert_false(net_slirp_allows(f, len));
	f[ETH + 6] = 0;
	f[ETH] = 0x4f; /* the header ends behind the frame */
	assert_false(net_slirp_allows(f, len));
	assert_false(net_slirp_allows(f, ETH + 19));
	len = udp_frame(&g, f, GUEST_IP, 99, IP(10, 0, 2, 3), 54, "x", 1);
	f[ETH] = 0x45;
	assert_false(net_slirp_allows(f, len));
	memset(f, 0, sizeof(f));
	eth_head(&g, f, 0x86dd);
	f[20] = 6;
	for (size_t i = 0; i < ARRAY_LEN(v6); i++) {
		memcpy(f + 38, v6[i], 16);
		assert_false(net_slirp_allows(f, 74));
	}
	memcpy(f + 38, (uint8_t[16]){ 0xfe, 0xc0, [15] = 3 }, 16);
	f[57] = 22;
	assert_false(net_slirp_allows(f, 74));
	f[57] = 53;
	assert_true(net_slirp_allows(f, 74));
	f[20] = 44; /* fragment header */
	assert_false(net_slirp_allows(f, 74));
	f[53] = 4;
	assert_true(net_slirp_allows(f, 74));
}

/* One large segment with an unfinished checksum, as a driver with TSO sends. */
static void
test_tso(void **state)
{
	static uint8_t f[65000], in[60000];
	struct net_hdr h = { .flags = NET_HDR_NEEDS_CSUM,
		.gso_type = NET_GSO_TCPV4,
		.hdr_len = L4 + 20,
		.gso_size = 1460,
		.csum_start = L4,
		.csum_offset = 16 };
	static uint8_t data[30000];
	struct conn c = { .peer = HOST_IP, .port = 4002 };
	struct guest g;
	size_t len;
	int server = host_listen(SOCK_STREAM, &c.peer_port), fd;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i % 241);
	guest_boot(&g, open_setting);
	learn_gateway(&g);
	assert_int_equal(tcp_connect(&g, &c), SYN | ACK);
	fd = accept(server, NULL, NULL);
	for (int i = 0; i < 2; i++) {
		len = tcp_frame(&g, f, &c, ACK | PSH, data, sizeof(data));
		put16(f + L4 + 16, 0x1234); /* whatever */
		net_card_send_hdr(&g.card, &h, f, len);
		c.seq += sizeof(data);
	}
	read_all(fd, in, 2 * sizeof(data));
	assert_memory_equal(in, data, sizeof(data));
	assert_memory_equal(in + sizeof(data), data, sizeof(data));
	close(fd);
	close(server);
	net_card_close(&g.card);
}

/* --- from the host to the guest ------------------------------------------- */

static int
host_connect(int type, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, type, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	return fd;
}

static uint16_t
free_port(int type)
{
	uint16_t port;

	close(host_listen(type, &port));
	return port;
}

/* The guest is the server on its port 22. */
static void
hostfwd_session(struct guest *g, uint16_t port)
{
	struct conn c = { .peer = HOST_IP, .port = 22 };
	struct net_card_frame f;
	uint8_t buf[8];
	int fd = host_connect(SOCK_STREAM, port);

	assert_true(next_matching(g, &f, NET_WAIT_MS, is_conn, &c));
	assert_int_equal(f.data[L4 + 13], SYN);
	c.peer = get32(f.data + ETH + 12);
	c.peer_port = (uint16_t)get16(f.data + L4);
	c.ack = get32(f.data + L4 + 4) + 1;
	c.seq = 77;
	net_card_frame_free(&f);
	tcp_send(g, &c, SYN | ACK, NULL, 0);
	assert_int_equal(write(fd, "knock", 5), 5);
	tcp_recv(g, &c, buf, 5);
	assert_memory_equal(buf, "knock", 5);
	tcp_send(g, &c, ACK | PSH, "who?", 4);
	read_all(fd, buf, 4);
	assert_memory_equal(buf, "who?", 4);
	close(fd);
}

static void
test_hostfwd(void **state)
{
	char rules[128];
	struct net_setting s[] = { { "hostfwd", rules }, { "open", "true" },
		{ NULL, NULL } };
	static const uint16_t guest_port = 53;
	uint16_t tcp = free_port(SOCK_STREAM), udp = free_port(SOCK_DGRAM);
	struct net_card_frame f;
	struct guest g;
	uint8_t r[100], buf[8];
	int fd;

	snprintf(rules, sizeof(rules),
	    "tcp:127.0.0.1:%u-:22;udp:127.0.0.1:%u-10.0.2.15:53", tcp, udp);
	guest_boot(&g, s);
	learn_gateway(&g);
	hostfwd_session(&g, tcp);
	fd = host_connect(SOCK_DGRAM, udp);
	assert_int_equal(send(fd, "ask", 3, 0), 3);
	assert_true(next_matching(&g, &f, NET_WAIT_MS, is_udp_to, &guest_port));
	assert_memory_equal(f.data + L4 + 8, "ask", 3);
	net_card_send(&g.card, r,
	    udp_frame(&g, r, GUEST_IP, 53, get32(f.data + ETH + 12),
		(uint16_t)get16(f.data + L4), "told", 4));
	net_card_frame_free(&f);
	read_all(fd, buf, 4);
	assert_memory_equal(buf, "told", 4);
	close(fd);
	net_card_close(&g.card);
}

/* Only forwarded connections: nothing else gets out. */
static void
test_restrict(void **state)
{
	char rule[64];
	struct net_setting s[] = { { "hostfwd", rule }, { "restrict", "true" },
		{ NULL, NULL } };
	struct conn c = { .peer = IP(127, 0, 0, 1), .port = 4004 };
	int server = host_listen(SOCK_STREAM, &c.peer_port);
	struct pollfd p = { .fd = server, .events = POLLIN };
	uint16_t port = free_port(SOCK_STREAM);
	struct guest g;

	snprintf(rule, sizeof(rule), "tcp:127.0.0.1:%u-:22", port);
	guest_boot(&g, s);
	learn_gateway(&g);
	hostfwd_session(&g, port);
	c.seq = 1000;
	tcp_send(&g, &c, SYN, NULL, 0);
	assert_int_equal(poll(&p, 1, 200), 0);
	close(server);
	net_card_close(&g.card);
}

/* Without a guest address it is the one DHCP gave, also over IPv6 sockets. */
static void
test_hostfwd_v6_opens(void **state)
{
	char rule[64];
	struct net_setting s[] = { { "hostfwd", rule }, { NULL, NULL } };
	struct sockaddr_in6 sin = { .sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct guest g;
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	if (fd == -1 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1) {
		print_message("no IPv6 on this host: nothing tested\n");
		skip();
	}
	close(fd);
	sin.sin6_port = htons(free_port(SOCK_STREAM));
	snprintf(rule, sizeof(rule), "tcp:[::1]:%u-:22", ntohs(sin.sin6_port));
	guest_boot(&g, s);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	close(fd);
	net_card_close(&g.card);
}

static void
test_user_errors(void **state)
{
	char taken[64], err[256];
	uint16_t port;
	int fd = host_listen(SOCK_STREAM, &port);
	struct {
		const char *name, *value, *says;
	} t[] = {
		{ "open", "maybe", "open=maybe: right is true or false" },
		{ "restrict", "1", "restrict=1: right is true or false" },
		{ "hostfwd", "", "right is PROTO:" },
		{ "hostfwd", "tcp:127.0.0.1:22", "no \"-\"" },
		{ "hostfwd", "sctp::22-:22", "protocol \"sctp\"" },
		{ "hostfwd", "tcp::0-:22", "host's port \"0\"" },
		{ "hostfwd", "tcp::x-:22", "host's port \"x\"" },
		{ "hostfwd", "tcp::1-:65536", "guest's port \"65536\"" },
		{ "hostfwd", "tcp:me:1-:2", "host's address \"me\"" },
		{ "hostfwd", "tcp::1-[::1:2", "guest's address \"[::1\"" },
		{ "hostfwd", "tcp::1-22", "guest's part \"22\" has no colon" },
		{ "hostfwd", "tcp:[::1]:1-10.0.2.15:2", "of one kind" },
		{ "hostfwd", "tcp::1-:2;", "right is PROTO:" },
		{ "hostfwd", taken, "Address already in use" },
	};

	snprintf(taken, sizeof(taken), "tcp:127.0.0.1:%u-:22", port);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		const struct net_setting s[] = { { t[i].name, t[i].value },
			{ NULL, NULL } };
		struct net_card c;

		assert_int_equal(
		    net_card_try(&c, "slirp", s, err, sizeof(err)), -EINVAL);
		if (strstr(err, t[i].says) == NULL)
			fail_msg("%s=%s: %s", t[i].name, t[i].value, err);
	}
	assert_non_null(strstr(err, "127.0.0.1:"));
	close(fd);
}

static void
test_udp_port_taken(void **state)
{
	char rule[64], err[256];
	const struct net_setting s[] = { { "hostfwd", rule }, { NULL, NULL } };
	struct net_card c;
	uint16_t port;
	int fd = host_listen(SOCK_DGRAM, &port);
	const struct net_setting r[] = { { "hostfwd", "udp::1053-:53" },
		{ "restrict", "true" }, { NULL, NULL } };

	assert_int_equal(
	    net_card_try(&c, "slirp", r, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "only tcp"));
	snprintf(rule, sizeof(rule), "udp:127.0.0.1:%u-:22", port);
	assert_int_equal(
	    net_card_try(&c, "slirp", s, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "needs the setting open"));
	snprintf(rule, sizeof(rule), "udp::%u-:22", port);
	assert_int_equal(
	    net_card_try(&c, "slirp", s, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "Address already in use"));
	close(fd);
}

/* --- load ----------------------------------------------------------------- */

/* The guest stops reading: data waits in the host's socket; nothing spins. */
static void
test_guest_without_room(void **state)
{
	static uint8_t out[50000], in[sizeof(out)];
	struct conn c = { .peer = HOST_IP, .port = 4003 };
	struct rusage a, b;
	struct guest g;
	int server = host_listen(SOCK_STREAM, &c.peer_port), fd;

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i % 253);
	guest_boot(&g, open_setting);
	learn_gateway(&g);
	assert_int_equal(tcp_connect(&g, &c), SYN | ACK);
	fd = accept(server, NULL, NULL);
	net_card_set_room(&g.card, 0);
	assert_int_equal(write(fd, out, sizeof(out)), sizeof(out));
	usleep(50000);
	getrusage(RUSAGE_SELF, &a);
	usleep(200000);
	getrusage(RUSAGE_SELF, &b);
	assert_true(b.ru_nvcsw - a.ru_nvcsw < 50);
	net_card_set_room(&g.card, 4);
	tcp_recv(&g, &c, in, sizeof(in));
	assert_memory_equal(in, out, sizeof(out));
	close(fd);
	close(server);
	net_card_close(&g.card);
}

/* Frames no stack should make end nothing. */
static void
test_hostile_frames(void **state)
{
	static uint8_t f[NET_FRAME_MAX];
	unsigned int seed = 7;
	struct guest g;

	guest_boot(&g, NULL);
	learn_gateway(&g);
	for (int i = 0; i < 2000; i++) {
		size_t len = 14 + (size_t)rand_r(&seed) % 1500;

		for (size_t k = 0; k < len; k++)
			f[k] = (uint8_t)rand_r(&seed);
		eth_head(&g, f, i % 3 == 0 ? 0x86dd : 0x0800);
		if (i % 2 == 0)
			f[14] = i % 3 == 0 ? 0x60 : 0x45;
		net_card_send(&g.card, f, len);
	}
	memset(f, 0, sizeof(f));
	net_card_send(&g.card, f, 14);
	net_card_send(&g.card, f, sizeof(f));
	learn_gateway(&g);
	net_card_close(&g.card);
}

/* libslirp has variables of its own; two cards in two threads. */
static void
test_two_cards(void **state)
{
	struct guest g[2];

	for (int i = 0; i < 2; i++)
		guest_boot(&g[i], NULL);
	for (int n = 0; n < 200; n++)
		for (int i = 0; i < 2; i++)
			learn_gateway(&g[i]);
	for (int i = 0; i < 2; i++)
		net_card_close(&g[i].card);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arp),
		cmocka_unit_test(test_dhcp),
		cmocka_unit_test(test_ping),
		cmocka_unit_test(test_ipv6_router),
		cmocka_unit_test(test_tcp_to_host),
		cmocka_unit_test(test_loopback_closed),
		cmocka_unit_test(test_loopback_filter),
		cmocka_unit_test(test_tso),
		cmocka_unit_test(test_hostfwd),
		cmocka_unit_test(test_restrict),
		cmocka_unit_test(test_hostfwd_v6_opens),
		cmocka_unit_test(test_user_errors),
		cmocka_unit_test(test_udp_port_taken),
		cmocka_unit_test(test_guest_without_room),
		cmocka_unit_test(test_hostile_frames),
		cmocka_unit_test(test_two_cards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
