/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tapN, on an interface of our own making whose host side is a packet socket:
 * in a network namespace of the process, so that the host sees nothing of it.
 * Skipped where the host does not let us.
 */
#include "net_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_tun.h>

#define TAP "tap77"

static int
tap_socket(void)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(TAP) };
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&ll, sizeof(ll)), 0);
	return fd;
}

/* The next frame of our own Ethernet type; the host sends others too. */
static ssize_t
tap_recv(int fd, uint8_t *buf, size_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	while (poll(&p, 1, NET_WAIT_MS) == 1) {
		n = recv(fd, buf, len, 0);
		if (n >= 14 && buf[12] == 0x88 && buf[13] == 0xb5)
			return n;
	}
	return -1;
}

static void
test_frame(uint8_t *f, size_t len, uint8_t fill)
{
	memset(f, fill, len);
	memset(f, 0xff, 6);
	memcpy(f + 6, (uint8_t[]){ 0x58, 0x9c, 0xfc, 1, 2, 3, 0x88, 0xb5 }, 8);
}

static void
test_both_ways(void **state)
{
	struct net_card c = { .nd = NULL };
	struct net_card_frame f;
	uint8_t out[1500], in[2000];
	int fd;

	net_card_open(&c, TAP, NULL);
	assert_true(net_link_up(c.nd));
	fd = tap_socket();
	for (uint8_t i = 0; i < 10; i++) {
		test_frame(out, 60 + i * 140u, i);
		net_card_send(&c, out, 60 + i * 140u);
		assert_int_equal(tap_recv(fd, in, sizeof(in)), 60 + i * 140);
		assert_memory_equal(in, out, 60 + i * 140u);
		assert_true(send(fd, out, 60 + i * 140u, 0) > 0);
		do {
			assert_true(net_card_next(&c, &f, NET_WAIT_MS));
			if (f.data[12] == 0x88)
				break;
			net_card_frame_free(&f);
		} while (true);
		assert_int_equal(f.len, 60 + i * 140u);
		assert_memory_equal(f.data, out, f.len);
		net_card_frame_free(&f);
	}
	close(fd);
	net_card_close(&c);
	assert_int_equal(if_nametoindex(TAP), 0); /* ours, so it went */
}

static void
tap_persist(bool on)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR);

	strcpy(ifr.ifr_name, TAP);
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, on ? 1 : 0), 0);
	close(fd);
}

/* The interface is deleted and made again under the running card. */
static void
test_comes_back(void **state)
{
	struct net_card c = { .nd = NULL };
	uint8_t out[100], in[200];
	int fd;

	net_card_open(&c, TAP, NULL);
	assert_int_equal(system("ip link del " TAP), 0);
	net_card_wait_link(&c, false);
	test_frame(out, sizeof(out), 1);
	net_card_send(&c, out, sizeof(out));
	tap_persist(true);
	net_card_wait_link(&c, true);
	assert_int_equal(system("ip link set " TAP " up"), 0);
	fd = tap_socket();
	net_card_send(&c, out, sizeof(out));
	assert_int_equal(tap_recv(fd, in, sizeof(in)), sizeof(out));
	close(fd);
	net_card_close(&c);
	assert_int_not_equal(if_nametoindex(TAP), 0); /* not ours, it stays */
	tap_persist(false);
}

static void
test_in_use(void **state)
{
	struct net_card c = { .nd = NULL }, d = { .nd = NULL };
	char err[256];

	net_card_open(&c, TAP, NULL);
	assert_int_equal(net_card_try(&d, TAP, NULL, err, sizeof(err)), -EBUSY);
	assert_non_null(strstr(err, TAP " is in use"));
	net_card_close(&c);
	assert_int_equal(
	    net_card_try(&d, "tap12345678901234", NULL, err, sizeof(err)),
	    -EINVAL);
	assert_non_null(strstr(err, "at most 15 characters"));
}

/* A user who may not is told what root has to do. */
static void
test_not_permitted(void **state)
{
	struct net_card c;
	char err[256];

	if (seteuid(65534) != 0)
		skip();
	assert_true(net_card_try(&c, "tap78", NULL, err, sizeof(err)) < 0);
	assert_int_equal(seteuid(0), 0);
	assert_non_null(strstr(err, "ip tuntap add dev tap78"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_comes_back),
		cmocka_unit_test(test_in_use),
		cmocka_unit_test(test_not_permitted),
	};
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd;

	if (unshare(CLONE_NEWNET) == -1) {
		printf(
		    "no network namespace of our own: %s\n", strerror(errno));
		return 77;
	}
	fd = open("/dev/net/tun", O_RDWR);
	strcpy(ifr.ifr_name, TAP);
	if (fd == -1 || ioctl(fd, TUNSETIFF, &ifr) == -1 ||
	    system("ip link show " TAP " >/dev/null") != 0) {
		printf("no tap interfaces here: %s\n", strerror(errno));
		return 77;
	}
	close(fd);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
