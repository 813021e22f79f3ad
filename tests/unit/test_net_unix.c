/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unix=PATH: two cards in this process, and what net.c promises to all kinds,
 * which is easiest seen on a cable with both ends in hand: order, no loss, no
 * lost wake-ups, no spinning.
 */
#include "net_fixture.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct cable {
	char dir[32], path[64];
	struct net_setting settings[2];
	struct net_card a, b;
};

static void
cable_init(struct cable *c)
{
	memset(c, 0, sizeof(*c));
	strcpy(c->dir, "/tmp/test_net.XXXXXX");
	assert_non_null(mkdtemp(c->dir));
	snprintf(c->path, sizeof(c->path), "%s/cable", c->dir);
	c->settings[0] = (struct net_setting){ "path", c->path };
}

static void
cable_fini(struct cable *c)
{
	unlink(c->path);
	assert_int_equal(rmdir(c->dir), 0);
}

static void
cable_open(struct cable *c)
{
	cable_init(c);
	net_card_open(&c->a, "unix", c->settings);
	net_card_open(&c->b, "unix", c->settings);
	net_card_wait_link(&c->a, true);
	net_card_wait_link(&c->b, true);
}

static void
cable_close(struct cable *c)
{
	net_card_close(&c->a);
	net_card_close(&c->b);
	cable_fini(c);
}

static void
make_frame(uint8_t *frame, size_t len, uint32_t n)
{
	memset(frame, (int)n, len);
	memcpy(frame + 14, &n, sizeof(n));
}

static void
expect_frame(struct net_card *c, size_t len, uint32_t n)
{
	uint8_t *want = malloc(len);
	struct net_card_frame f;

	assert_true(net_card_next(c, &f, NET_WAIT_MS));
	make_frame(want, len, n);
	assert_int_equal(f.len, len);
	assert_memory_equal(f.data, want, len);
	net_card_frame_free(&f);
	free(want);
}

static void
send_frame(struct net_card *c, size_t len, uint32_t n)
{
	uint8_t *frame = malloc(len);

	make_frame(frame, len, n);
	net_card_send(c, frame, len);
	free(frame);
}

static void
test_both_ways(void **state)
{
	struct cable c;

	cable_open(&c);
	for (uint32_t n = 0; n < 20; n++) {
		send_frame(&c.a, 60 + n * 700, n);
		send_frame(&c.b, 1514, n + 100);
	}
	for (uint32_t n = 0; n < 20; n++) {
		expect_frame(&c.b, 60 + n * 700, n);
		expect_frame(&c.a, 1514, n + 100);
	}
	cable_close(&c);
}

/* What is no frame never leaves. */
static void
test_bad_frames(void **state)
{
	static uint8_t big[NET_FRAME_MAX + 1];
	const struct net_hdr past = {
		.flags = NET_HDR_NEEDS_CSUM, .csum_start = 50, .csum_offset = 9
	};
	const struct net_hdr no_size = { .flags = NET_HDR_NEEDS_CSUM,
		.gso_type = NET_GSO_TCPV4 };
	const struct net_hdr udp = { .flags = NET_HDR_NEEDS_CSUM,
		.gso_type = NET_GSO_UDP,
		.gso_size = 100 };
	struct net_stats s;
	struct iovec iov = { big, 0 };
	struct cable c;

	cable_open(&c);
	net_card_send(&c.a, big, 13);
	net_card_send(&c.a, big, sizeof(big));
	net_card_send_hdr(&c.a, &past, big, 60);
	net_card_send_hdr(&c.a, &no_size, big, 60);
	net_card_send_hdr(&c.a, &udp, big, 60);
	assert_true(net_send(c.a.nd, &(struct net_hdr){ 0 }, &iov, 1, 60));
	net_get_stats(c.a.nd, &s);
	assert_int_equal(s.tx_dropped, 6);
	send_frame(&c.a, 60, 7);
	expect_frame(&c.b, 60, 7);
	cable_close(&c);
}

static void
test_comes_back(void **state)
{
	struct cable c;

	cable_open(&c);
	for (uint32_t n = 0; n < 4; n++) {
		struct net_card *gone = n % 2 == 0 ? &c.a : &c.b;
		struct net_card *left = n % 2 == 0 ? &c.b : &c.a;

		/* Both the listener and the other one, in turn. */
		net_card_close(gone);
		net_card_wait_link(left, false);
		send_frame(left, 60, 99); /* into nothing */
		memset(gone, 0, sizeof(*gone));
		net_card_open(gone, "unix", c.settings);
		net_card_wait_link(gone, true);
		net_card_wait_link(left, true);
		send_frame(gone, 100, n);
		expect_frame(left, 100, n);
		send_frame(left, 100, n + 10);
		expect_frame(gone, 100, n + 10);
	}
	cable_close(&c);
}

/* A socket left by one that was killed is taken over. */
static void
test_stale_socket(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct cable c;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	cable_init(&c);
	memcpy(sun.sun_path, c.path, strlen(c.path));
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	close(fd);
	net_card_open(&c.a, "unix", c.settings);
	net_card_open(&c.b, "unix", c.settings);
	net_card_wait_link(&c.b, true);
	cable_close(&c);
}

/* Two that both listen, as when started at once, find each other. */
static void
test_both_listen(void **state)
{
	struct cable c;

	cable_init(&c);
	net_card_open(&c.a, "unix", c.settings);
	assert_int_equal(unlink(c.path), 0);
	net_card_open(&c.b, "unix", c.settings);
	net_card_wait_link(&c.a, true);
	net_card_wait_link(&c.b, true);
	cable_close(&c);
}

static void
test_third_waits(void **state)
{
	struct cable c;
	struct net_card third = { .nd = NULL };

	cable_open(&c);
	net_card_open(&third, "unix", c.settings);
	usleep(100000);
	assert_false(net_link_up(third.nd));
	send_frame(&c.a, 60, 1);
	expect_frame(&c.b, 60, 1);
	net_card_close(&c.b);
	net_card_wait_link(&third, true);
	send_frame(&c.a, 60, 2);
	expect_frame(&third, 60, 2);
	net_card_close(&third);
	net_card_close(&c.a);
	cable_fini(&c);
}

/* Somebody else's program on the socket is no peer, and ends nothing. */
static void
test_stranger(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct cable c;
	int fd;

	cable_init(&c);
	net_card_open(&c.a, "unix", c.settings);
	memcpy(sun.sun_path, c.path, strlen(c.path));
	for (int i = 0; i < 2; i++) {
		fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		assert_int_equal(
		    connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
		if (i == 0)
			assert_int_equal(send(fd, "GET / HTTP/1.0", 14, 0), 14);
		close(fd);
	}
	net_card_open(&c.b, "unix", c.settings);
	net_card_wait_link(&c.b, true);
	net_card_wait_link(&c.a, true);
	assert_int_equal(c.a.links, 1); /* up, once */
	cable_close(&c);
}

static void
test_user_errors(void **state)
{
	char err[256], path[200];
	struct net_setting s[] = { { "path", path }, { NULL, NULL } };
	struct net_card c;
	struct cable cable;
	FILE *f;

	cable_init(&cable);
	assert_int_equal(
	    net_card_try(&c, "unix", NULL, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "right is unix=PATH"));
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(
	    net_card_try(&c, "unix", s, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "at most 107"));
	snprintf(path, sizeof(path), "%s/no/cable", cable.dir);
	assert_int_equal(
	    net_card_try(&c, "unix", s, err, sizeof(err)), -ENOENT);
	assert_non_null(strstr(err, "No such file"));
	f = fopen(cable.path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(
	    net_card_try(&c, "unix", cable.settings, err, sizeof(err)),
	    -EEXIST);
	assert_non_null(strstr(err, "no socket"));
	cable_fini(&cable);
}

static void
test_no_such_backend(void **state)
{
	static const struct {
		const char *name, *says;
	} t[] = {
		{ "vmnet0", "does not exist on Linux; use tapN" },
		{ "netgraph", "use unix=PATH" },
		{ "vale0:1", "use unix=PATH" },
		{ "tap", "right is slirp, tapN or unix=PATH" },
		{ "tap0x", "no such network" },
		{ "slirp2", "no such network" },
		{ "", "no such network" },
	};
	struct net_card c;
	char err[256];

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		assert_int_equal(
		    net_card_try(&c, t[i].name, NULL, err, sizeof(err)),
		    -EINVAL);
		if (strstr(err, t[i].says) == NULL)
			fail_msg("%s: %s", t[i].name, err);
	}
}

/* --- flow ----------------------------------------------------------------- */

static uint64_t
cpu_ns(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return ((uint64_t)r.ru_utime.tv_sec + (uint64_t)r.ru_stime.tv_sec) *
		   1000000000 +
	       ((uint64_t)r.ru_utime.tv_usec + (uint64_t)r.ru_stime.tv_usec) *
		   1000;
}

/*
 * The receiver has no room: the sender is told so in the end, nothing spins
 * meanwhile, and nothing is lost.
 */
static void
test_full_waits(void **state)
{
	static uint8_t frame[16384];
	struct iovec iov = { frame, sizeof(frame) };
	const struct net_hdr none = { 0 };
	unsigned int sent = 0;
	struct cable c;
	uint64_t cpu;

	cable_open(&c);
	net_card_set_room(&c.b, 0);
	for (unsigned int idle = 0; idle < 20;) {
		make_frame(frame, sizeof(frame), sent);
		if (net_send(c.a.nd, &none, &iov, 1, sizeof(frame))) {
			sent++;
			idle = 0;
		} else {
			usleep(5000);
			idle++;
		}
		assert_true(sent < 10000); /* bounded */
	}
	cpu = cpu_ns();
	usleep(300000);
	assert_true(cpu_ns() - cpu < 100000000);
	assert_true(c.b.refused >= 1 && c.b.refused < 100);
	net_card_set_room(&c.b, UINT_MAX);
	for (unsigned int n = 0; n < sent; n++)
		expect_frame(&c.b, sizeof(frame), n);
	cable_close(&c);
}

struct flow {
	struct net_card *card;
	uint32_t frames;
	unsigned int pause_every; /* frames */
};

static void *
flow_sender(void *arg)
{
	struct flow *f = arg;

	for (uint32_t n = 0; n < f->frames; n++) {
		send_frame(f->card, 60 + n % 1455, n);
		if (f->pause_every != 0 && n % f->pause_every == 0)
			usleep(100);
	}
	return NULL;
}

/*
 * Senders that stop when told so and a receiver that is slow, in both
 * directions at once: a lost wake-up on any side hangs, a lost frame shows.
 */
static void
test_stress(void **state)
{
	struct cable c;
	struct flow flow[2] = {
		{ &c.a, 20000, 0 },
		{ &c.b, 20000, 37 },
	};
	struct net_card *to[2] = { &c.b, &c.a };
	pthread_t thread[2];
	uint32_t got[2] = { 0, 0 };
	unsigned int seed = 1;

	cable_open(&c);
	net_card_set_room(&c.a, 8);
	net_card_set_room(&c.b, 8);
	for (int i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, flow_sender, &flow[i]);
	while (got[0] < flow[0].frames || got[1] < flow[1].frames) {
		for (int i = 0; i < 2; i++) {
			unsigned int burst = (unsigned int)rand_r(&seed) % 24;

			for (; burst > 0 && got[i] < flow[i].frames; burst--) {
				expect_frame(to[i], 60 + got[i] % 1455, got[i]);
				got[i]++;
			}
		}
	}
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_true(c.a.refused > 0 && c.b.refused > 0);
	cable_close(&c);
}

/* Closing while both sides are busy neither hangs nor crashes. */
static void
test_close_busy(void **state)
{
	for (int i = 0; i < 20; i++) {
		struct cable c;

		cable_open(&c);
		net_card_set_room(&c.b, (unsigned int)i % 3);
		for (uint32_t n = 0; n < 200; n++)
			send_frame(&c.a, 1514, n);
		cable_close(&c);
	}
}

/* --- unfinished frames ---------------------------------------------------- */

/* Ethernet, IPv4, TCP; n bytes of payload. */
static size_t
tcp_frame(uint8_t *f, size_t payload)
{
	static const uint8_t head[54] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2,
		0x08, 0x00, /* IPv4 */
		0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1,
		10, 0, 0, 2, /* TCP */
		0, 80, 0, 90, 0, 0, 1, 0, 0, 0, 2, 0, 0x50, 0x99, 0xff, 0xff, 0,
		0, 0, 0 };

	memcpy(f, head, sizeof(head));
	for (size_t i = 0; i < payload; i++)
		f[sizeof(head) + i] = (uint8_t)(i * 7);
	return sizeof(head) + payload;
}

static uint16_t
sum16(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void
expect_tcp_ok(const struct net_card_frame *f)
{
	size_t tcp_len = f->len - 34;

	assert_int_equal(f->data[16] << 8 | f->data[17], f->len - 14);
	assert_int_equal(sum16(0, f->data + 14, 20), 0xffff);
	assert_int_equal(
	    sum16((uint32_t)sum16(0, f->data + 26, 8) + 6 + (uint32_t)tcp_len,
		f->data + 34, tcp_len),
	    0xffff);
}

#define TSO_SIZE 1000
static const struct net_hdr tso_hdr = {
	.flags = NET_HDR_NEEDS_CSUM,
	.gso_type = NET_GSO_TCPV4 | NET_GSO_ECN,
	.hdr_len = 54,
	.gso_size = TSO_SIZE,
	.csum_start = 34,
	.csum_offset = 16,
};

/* A guest that takes large frames gets them as they were sent. */
static void
test_offload_kept(void **state)
{
	static uint8_t frame[30000];
	size_t len = tcp_frame(frame, 2 * TSO_SIZE + 500);
	struct net_card_frame f;
	struct cable c;

	cable_open(&c);
	net_set_rx_offloads(c.b.nd, net_offloads(c.b.nd));
	usleep(50000);
	net_card_send_hdr(&c.a, &tso_hdr, frame, len);
	assert_true(net_card_next(&c.b, &f, NET_WAIT_MS));
	assert_int_equal(f.len, len);
	assert_memory_equal(&f.hdr, &tso_hdr, sizeof(tso_hdr));
	assert_memory_equal(f.data, frame, len);
	net_card_frame_free(&f);
	cable_close(&c);
}

/* One that does not gets finished segments. */
static void
test_offload_cut(void **state)
{
	static uint8_t frame[30000];
	size_t len = tcp_frame(frame, 2 * TSO_SIZE + 501);
	static const uint8_t flags[3] = { 0x90, 0x10, 0x19 };
	struct net_card_frame f;
	struct cable c;

	cable_open(&c);
	net_card_send_hdr(&c.a, &tso_hdr, frame, len);
	for (uint32_t n = 0; n < 3; n++) {
		size_t part = n < 2 ? TSO_SIZE : 501;

		assert_true(net_card_next(&c.b, &f, NET_WAIT_MS));
		assert_int_equal(f.len, 54 + part);
		assert_int_equal(f.hdr.flags, 0);
		assert_int_equal(f.hdr.gso_type, 0);
		expect_tcp_ok(&f);
		assert_int_equal(f.data[18] << 8 | f.data[19], 0x1234 + n);
		assert_int_equal(
		    f.data[40] << 8 | f.data[41], 0x100 + n * TSO_SIZE);
		assert_int_equal(f.data[47], flags[n]);
		assert_memory_equal(
		    f.data + 54, frame + 54 + n * TSO_SIZE, part);
		net_card_frame_free(&f);
	}
	cable_close(&c);
}

/* A checksum alone. */
static void
test_offload_csum(void **state)
{
	const struct net_hdr h = {
		.flags = NET_HDR_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16
	};
	uint8_t frame[200];
	size_t len = tcp_frame(frame, 101);
	uint16_t partial = sum16(6 + 20 + 101, frame + 26, 8);
	struct net_card_frame f;
	struct cable c;

	cable_open(&c);
	frame[16] = 0;
	frame[17] = (uint8_t)(len - 14);
	frame[50] = (uint8_t)(partial >> 8);
	frame[51] = (uint8_t)partial;
	partial = (uint16_t)~sum16(0, frame + 14, 20);
	frame[24] = (uint8_t)(partial >> 8);
	frame[25] = (uint8_t)partial;
	net_card_send_hdr(&c.a, &h, frame, len);
	assert_true(net_card_next(&c.b, &f, NET_WAIT_MS));
	assert_int_equal(f.hdr.flags, 0);
	expect_tcp_ok(&f);
	net_card_frame_free(&f);
	cable_close(&c);
}

/* Frames whose header lies are dropped, not cut. */
static void
test_offload_lies(void **state)
{
	static uint8_t frame[4000], bad[4000];
	size_t len = tcp_frame(frame, 3000);
	struct net_hdr h6 = tso_hdr;
	struct cable c;
	static const struct {
		size_t at;
		uint8_t val;
	} lie[] = {
		{ 12, 0x86 }, /* not IPv4 */
		{ 14, 0x65 }, /* version */
		{ 14, 0x44 }, /* IP header of 16 bytes */
		{ 23, 17 },   /* not TCP */
		{ 46, 0x40 }, /* TCP header of 16 bytes */
	};

	cable_open(&c);
	for (size_t i = 0; i < ARRAY_LEN(lie); i++) {
		memcpy(bad, frame, len);
		bad[lie[i].at] = lie[i].val;
		net_card_send_hdr(&c.a, &tso_hdr, bad, len);
	}
	h6.gso_type = NET_GSO_TCPV6;
	net_card_send_hdr(&c.a, &h6, frame, len);
	memcpy(bad, frame, len);
	bad[46] = 0xf0; /* the TCP header ends behind the frame */
	net_card_send_hdr(&c.a, &tso_hdr, bad, 90);
	send_frame(&c.a, 60, 5);
	expect_frame(&c.b, 60, 5);
	cable_close(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_bad_frames),
		cmocka_unit_test(test_comes_back),
		cmocka_unit_test(test_stale_socket),
		cmocka_unit_test(test_both_listen),
		cmocka_unit_test(test_third_waits),
		cmocka_unit_test(test_stranger),
		cmocka_unit_test(test_user_errors),
		cmocka_unit_test(test_no_such_backend),
		cmocka_unit_test(test_full_waits),
		cmocka_unit_test(test_stress),
		cmocka_unit_test(test_close_busy),
		cmocka_unit_test(test_offload_kept),
		cmocka_unit_test(test_offload_cut),
		cmocka_unit_test(test_offload_csum),
		cmocka_unit_test(test_offload_lies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
