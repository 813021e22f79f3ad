/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net on both transports: a driver of the tests' own on one side, a
 * cable (unix=) to a card of the test's on the other.
 */
#include "net_fixture.h"
#include "virtio_driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <dev/net_conf.h>
#include <vmm/chip.h>

#define F_CSUM		 BIT64(0)
#define F_GUEST_CSUM	 BIT64(1)
#define F_GUEST_OFFLOADS BIT64(2)
#define F_MTU		 BIT64(3)
#define F_MAC		 BIT64(5)
#define F_GUEST_TSO4	 BIT64(7)
#define F_HOST_TSO4	 BIT64(11)
#define F_MRG		 BIT64(15)
#define F_STATUS	 BIT64(16)
#define F_CTRL		 (BIT64(17) | BIT64(18) | BIT64(20) | BIT64(23))
#define F_VLAN		 BIT64(19)
#define F_MQ		 BIT64(22)

#define RXQ		 0
#define TXQ		 1
#define CTRLQ		 2

static const uint8_t own_mac[6] = { 0x58, 0x9c, 0xfc, 0xaa, 0xbb, 0xcc };

struct rig {
	struct vdrv_machine m;
	struct vdrv d;
	struct net_card peer;
	struct net_setting peer_setting[2];
	char dir[32], path[64];
	size_t hdr_len;
};

/* --- both ends ------------------------------------------------------------ */

static void
setup(struct rig *r, const char *settings)
{
	char text[256];

	memset(&r->peer, 0, sizeof(r->peer));
	strcpy(r->dir, "/tmp/test_vnet.XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/cable", r->dir);
	r->peer_setting[0] = (struct net_setting){ "path", r->path };
	r->peer_setting[1] = (struct net_setting){ NULL, NULL };
	vdrv_machine(&r->m);
	snprintf(text, sizeof(text),
	    "backend=unix,path=%s,mac=58:9c:fc:aa:bb:cc%s%s", r->path,
	    settings != NULL ? "," : "", settings != NULL ? settings : "");
	vdrv_add_device(&r->m, "virtio-net", text);
}

static void
plug_peer(struct rig *r)
{
	memset(&r->peer, 0, sizeof(r->peer));
	net_card_open(&r->peer, "unix", r->peer_setting);
	net_set_rx_offloads(r->peer.nd, net_offloads(r->peer.nd));
	net_card_wait_link(&r->peer, true);
}

static void
start(struct rig *r, enum vdrv_transport t, uint64_t features,
    unsigned int nqueues)
{
	vdrv_open(&r->d, &r->m, t, features, nqueues);
	r->hdr_len = t == VDRV_MODERN || (features & F_MRG) ? 12 : 10;
}

static void
teardown(struct rig *r)
{
	if (r->peer.nd != NULL)
		net_card_close(&r->peer);
	vdrv_machine_fini(&r->m);
	unlink(r->path);
	assert_int_equal(rmdir(r->dir), 0);
}

static void
rig_up(struct rig *r, enum vdrv_transport t, uint64_t features,
    unsigned int nqueues)
{
	setup(r, NULL);
	plug_peer(r);
	start(r, t, features, nqueues);
}

/* To the card's own address unless changed. */
static void
make_frame(uint8_t *f, size_t len, uint32_t n)
{
	memset(f, (int)n, len);
	memcpy(f, own_mac, 6);
	f[6] = 2;
	f[12] = 0x88;
	f[13] = 0xb5;
	if (len >= 18)
		memcpy(f + 14, &n, sizeof(n));
}

static void
expect_peer(struct rig *r, size_t len, uint32_t n)
{
	uint8_t *want = malloc(len);
	struct net_card_frame f;

	make_frame(want, len, n);
	assert_true(net_card_next(&r->peer, &f, NET_WAIT_MS));
	assert_int_equal(f.len, len);
	assert_memory_equal(f.data, want, len);
	net_card_frame_free(&f);
	free(want);
}

static void
peer_send(struct rig *r, size_t len, uint32_t n)
{
	uint8_t *f = malloc(len);

	make_frame(f, len, n);
	net_card_send(&r->peer, f, len);
	free(f);
}

/* A header and a frame in one buffer. */
static void
guest_send_hdr(struct rig *r, unsigned int q, const struct net_hdr *h,
    const void *frame, size_t len)
{
	uint64_t gpa = vdrv_alloc(&r->d, r->hdr_len + len, 1);
	struct vdrv_buf b = { gpa, (uint32_t)(r->hdr_len + len), false };

	memcpy(vdrv_ptr(&r->d, gpa), h, sizeof(*h));
	memcpy((uint8_t *)vdrv_ptr(&r->d, gpa) + r->hdr_len, frame, len);
	vdrv_add(&r->d, q, &b, 1);
}

static void
guest_send(struct rig *r, size_t len, uint32_t n)
{
	uint8_t *f = malloc(len);

	make_frame(f, len, n);
	guest_send_hdr(r, TXQ, &(struct net_hdr){ 0 }, f, len);
	free(f);
}

static uint64_t
add_rx(struct rig *r, unsigned int q, uint32_t len)
{
	uint64_t gpa = vdrv_alloc(&r->d, len, 1);
	struct vdrv_buf b = { gpa, len, true };

	memset(vdrv_ptr(&r->d, gpa), 0xee, len);
	vdrv_add(&r->d, q, &b, 1);
	return gpa;
}

static void
expect_guest(struct rig *r, uint64_t gpa, size_t len, uint32_t n)
{
	uint8_t *want = malloc(len), *got = vdrv_ptr(&r->d, gpa);
	uint32_t used;

	make_frame(want, len, n);
	vdrv_wait_used(&r->d, RXQ, &used);
	assert_int_equal(used, r->hdr_len + MAX(len, 60u));
	assert_memory_equal(got + r->hdr_len, want, len);
	for (size_t i = len; i < 60; i++)
		assert_int_equal(got[r->hdr_len + i], 0);
	if (r->hdr_len == 12)
		assert_int_equal(got[10] | got[11] << 8, 1);
	free(want);
}

static void
expect_no_rx(struct rig *r)
{
	uint32_t used;

	for (int i = 0; i < 10; i++)
		vm_event_poll(r->m.b.ctx, 5);
	assert_int_equal(vdrv_used(&r->d, RXQ, &used), -1);
}

#define BOTH(fn)                                                               \
	static void fn##_legacy(void **state)                                  \
	{                                                                      \
		fn(VDRV_LEGACY);                                               \
	}                                                                      \
	static void fn##_modern(void **state)                                  \
	{                                                                      \
		fn(VDRV_MODERN);                                               \
	}
#define BOTH_TESTS(fn)                                                         \
	cmocka_unit_test(fn##_legacy), cmocka_unit_test(fn##_modern)

/* --- configuration -------------------------------------------------------- */

static void
config(enum vdrv_transport t)
{
	struct rig r;

	setup(&r, "mtu=9000,queues=3");
	vdrv_probe(&r.d, &r.m, t);
	vdrv_reset(&r.d);
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(vdrv_cfg_read(&r.d, i, 1), own_mac[i]);
	assert_int_equal(vdrv_cfg_read(&r.d, 6, 2), 0); /* nobody plugged in */
	assert_int_equal(vdrv_cfg_read(&r.d, 8, 2), 3);
	assert_int_equal(vdrv_cfg_read(&r.d, 10, 2), 9000);
	assert_int_equal(vdrv_cfg_read(&r.d, 12, 4), 10000);
	assert_int_equal(vdrv_cfg_read(&r.d, 16, 1), 1);
	assert_true((vdrv_features(&r.d) &
			(F_CSUM | F_GUEST_CSUM | F_GUEST_OFFLOADS | F_MTU |
			    F_MAC | F_GUEST_TSO4 | F_HOST_TSO4 | F_MRG |
			    F_STATUS | F_CTRL | F_VLAN | F_MQ)) ==
		    (F_CSUM | F_GUEST_CSUM | F_GUEST_OFFLOADS | F_MTU | F_MAC |
			F_GUEST_TSO4 | F_HOST_TSO4 | F_MRG | F_STATUS | F_CTRL |
			F_VLAN | F_MQ));
	teardown(&r);
	setup(&r, NULL);
	vdrv_probe(&r.d, &r.m, t);
	assert_true((vdrv_features(&r.d) & (F_MTU | F_MQ)) == 0);
	assert_int_equal(vdrv_pci_read(&r.d, 0x08, 4) >> 8, 0x020000);
	teardown(&r);
}
BOTH(config)

static void
test_settings(void **state)
{
	static const struct {
		const char *settings, *says;
	} t[] = {
		{ "mac=01:00:00:00:00:01", "right are six hexadecimal" },
		{ "mac=00:00:00:00:00:00", "right are six hexadecimal" },
		{ "mac=2:0:0:0:0:1", "right are six hexadecimal" },
		{ "mac=02:00:00:00:00:01:", "right are six hexadecimal" },
		{ "mac=02:00:00:00:00:0g", "right are six hexadecimal" },
		{ "mtu=67", "mtu=67: right is 68 to 65521" },
		{ "mtu=1e3", "mtu=1e3: right is" },
		{ "queues=5", "queues=5: right is 1 to 4" },
		{ "queues=0", "queues=0: right is 1 to 4" },
		{ "backend=vmnet0", "use tapN" },
		{ "backend=tap0,hostfwd=tcp::1-:2",
		    "hostfwd is a setting of slirp, not of tap0" },
		{ "path=/tmp/x", "path is a setting of unix, not of slirp" },
		{ "hostfwd=tcp:1-:2", "virtio-net 0:3:0: hostfwd=tcp:1-:2:" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct vdrv_machine m;
		char err[400] = "";

		vdrv_machine(&m);
		assert_int_equal(vdrv_add_ops(&m, pci_dev_find("virtio-net"),
				     t[i].settings, err, sizeof(err)),
		    -EINVAL);
		if (strstr(err, t[i].says) == NULL)
			fail_msg("%s: %s", t[i].settings, err);
		vdrv_machine_fini(&m);
	}
}

/* docs/bhyve.md 1.3: printf 3-0-vm0 | md5sum. */
static void
test_default_mac(void **state)
{
	uint8_t mac[6], other[6];

	net_conf_default_mac(3, 0, "vm0", mac);
	assert_memory_equal(
	    mac, ((uint8_t[]){ 0x58, 0x9c, 0xfc, 0xeb, 0x76, 0x05 }), 6);
	net_conf_default_mac(4, 0, "vm0", other);
	assert_memory_not_equal(mac, other, 6);
}

static void
test_parse_words(void **state)
{
	struct conf *c = conf_create();
	char err[200] = "";
	char words[] = "unix=/tmp/a.sock,mtu=9000,open";
	char fwd[] = "slirp,hostfwd=tcp::1-:2,hostfwd=tcp::3-:4";
	char twice[] = "tap0,mtu=1500,mtu=1500";
	char empty[] = "tap0,";

	assert_int_equal(
	    net_conf_parse(c, "pci.0.1.0", words, err, sizeof(err)), 0);
	assert_string_equal(conf_get(c, "pci.0.1.0.backend"), "unix");
	assert_string_equal(conf_get(c, "pci.0.1.0.path"), "/tmp/a.sock");
	assert_string_equal(conf_get(c, "pci.0.1.0.open"), "true");
	assert_int_equal(
	    net_conf_parse(c, "pci.0.2.0", fwd, err, sizeof(err)), 0);
	assert_string_equal(
	    conf_get(c, "pci.0.2.0.hostfwd"), "tcp::1-:2;tcp::3-:4");
	assert_int_equal(
	    net_conf_parse(c, "pci.0.3.0", twice, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "mtu is there twice");
	assert_int_equal(
	    net_conf_parse(c, "pci.0.4.0", empty, err, sizeof(err)), -EINVAL);
	conf_destroy(c);
}

static void
link_changes(enum vdrv_transport t)
{
	struct rig r;

	setup(&r, NULL);
	start(&r, t, F_STATUS, 2);
	vdrv_isr(&r.d);
	plug_peer(&r);
	for (int i = 0; i < 500 && vdrv_cfg_read(&r.d, 6, 2) == 0; i++)
		usleep(5000);
	assert_int_equal(vdrv_cfg_read(&r.d, 6, 2), 1);
	assert_int_equal(vdrv_isr(&r.d) & 2, 2);
	net_card_close(&r.peer);
	r.peer.nd = NULL;
	for (int i = 0; i < 500 && vdrv_cfg_read(&r.d, 6, 2) == 1; i++)
		usleep(5000);
	assert_int_equal(vdrv_cfg_read(&r.d, 6, 2), 0);
	assert_int_equal(vdrv_isr(&r.d) & 2, 2);
	teardown(&r);
}
BOTH(link_changes)

/* --- sending -------------------------------------------------------------- */

static void
send_frames(enum vdrv_transport t)
{
	struct rig r;
	uint32_t used;

	rig_up(&r, t, 0, 2);
	for (uint32_t n = 0; n < 50; n++)
		guest_send(&r, 14 + n * 30, n);
	vdrv_kick(&r.d, TXQ);
	for (uint32_t n = 0; n < 50; n++) {
		vdrv_wait_used(&r.d, TXQ, &used);
		assert_int_equal(used, 0);
		expect_peer(&r, 14 + n * 30, n);
	}
	teardown(&r);
}
BOTH(send_frames)

/* 2.7.4: how a driver cuts header and frame up is its own business. */
static void
send_cut(enum vdrv_transport t)
{
	static const uint32_t cuts[][4] = { { 12, 88 }, { 3, 9, 1, 87 },
		{ 1, 99 }, { 20, 40, 40 } };
	struct rig r;
	uint32_t used;

	rig_up(&r, t, 0, 2);
	for (uint32_t n = 0; n < ARRAY_LEN(cuts); n++) {
		struct vdrv_buf b[4];
		uint8_t *p;
		uint32_t left = (uint32_t)r.hdr_len + 88;
		uint64_t at = vdrv_alloc(&r.d, left, 1);
		unsigned int nb = 0;

		p = vdrv_ptr(&r.d, at);
		make_frame(p + r.hdr_len, 88, n);
		for (; left > 0; nb++) {
			uint32_t len = nb == 3 ? left : MIN(cuts[n][nb], left);

			if (len == 0)
				len = left;
			b[nb] = (struct vdrv_buf){ at, len, false };
			at += len;
			left -= len;
		}
		vdrv_add(&r.d, TXQ, b, nb);
		vdrv_kick(&r.d, TXQ);
		vdrv_wait_used(&r.d, TXQ, &used);
		expect_peer(&r, 88, n);
	}
	teardown(&r);
}
BOTH(send_cut)

static void
send_bad(enum vdrv_transport t)
{
	static uint8_t f[70000];
	static const struct {
		struct net_hdr h;
		size_t len;
	} bad[] = {
		{ { 0 }, 13 },
		{ { 0 }, NET_FRAME_MAX + 1 },
		{ { .flags = 1, .csum_start = 99, .csum_offset = 0 }, 100 },
		{ { .flags = 1, .csum_start = 65535, .csum_offset = 65535 },
		    100 },
		{ { .flags = 1,
		      .gso_type = 1,
		      .hdr_len = 54,
		      .csum_start = 34,
		      .csum_offset = 16 },
		    100 }, /* gso_size 0 */
		{ { .flags = 1,
		      .gso_type = 1,
		      .hdr_len = 200,
		      .gso_size = 9,
		      .csum_start = 34,
		      .csum_offset = 16 },
		    100 },
		{ { .gso_type = 1, .hdr_len = 54, .gso_size = 9 }, 100 },
		{ { .flags = 1,
		      .gso_type = 4,
		      .hdr_len = 54,
		      .gso_size = 9,
		      .csum_start = 34,
		      .csum_offset = 16 },
		    100 }, /* no TSO6 */
		{ { .gso_type = 0x7f, .gso_size = 9 }, 100 },
	};
	struct vdrv_buf head;
	struct rig r;
	uint32_t used;

	rig_up(&r, t, F_CSUM | F_HOST_TSO4, 2);
	head = (struct vdrv_buf){ vdrv_alloc(&r.d, 12, 1), 9, false };
	vdrv_add(&r.d, TXQ, &head, 1); /* not even a header */
	head.write = true;
	vdrv_add(&r.d, TXQ, &head, 1); /* nothing to read */
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		guest_send_hdr(&r, TXQ, &bad[i].h, f, bad[i].len);
	guest_send(&r, 60, 3);
	vdrv_kick(&r.d, TXQ);
	for (size_t i = 0; i < ARRAY_LEN(bad) + 3; i++)
		vdrv_wait_used(&r.d, TXQ, &used);
	expect_peer(&r, 60, 3);
	assert_int_equal(vdrv_status(&r.d) & VDRV_NEEDS_RESET, 0);
	teardown(&r);
}
BOTH(send_bad)

/* The driver's offload goes to the other machine as it is. */
static void
send_unfinished(enum vdrv_transport t)
{
	static uint8_t f[3000];
	const struct net_hdr h = { .flags = 1,
		.gso_type = 1,
		.hdr_len = 54,
		.gso_size = 1000,
		.csum_start = 34,
		.csum_offset = 16 };
	struct net_card_frame got;
	struct rig r;

	rig_up(&r, t, F_CSUM | F_HOST_TSO4, 2);
	make_frame(f, sizeof(f), 1);
	guest_send_hdr(&r, TXQ, &h, f, sizeof(f));
	vdrv_kick(&r.d, TXQ);
	assert_true(net_card_next(&r.peer, &got, NET_WAIT_MS));
	assert_memory_equal(&got.hdr, &h, sizeof(h));
	assert_int_equal(got.len, sizeof(f));
	net_card_frame_free(&got);
	teardown(&r);
}
BOTH(send_unfinished)

/* --- receiving ------------------------------------------------------------ */

static void
receive(enum vdrv_transport t)
{
	static const size_t len[] = { 14, 42, 59, 60, 61, 600, 1514 };
	uint64_t gpa[ARRAY_LEN(len)];
	struct rig r;

	rig_up(&r, t, 0, 2);
	for (size_t i = 0; i < ARRAY_LEN(len); i++)
		gpa[i] = add_rx(&r, RXQ, 1526);
	vdrv_kick(&r.d, RXQ);
	for (uint32_t i = 0; i < ARRAY_LEN(len); i++)
		peer_send(&r, len[i], i);
	for (uint32_t i = 0; i < ARRAY_LEN(len); i++)
		expect_guest(&r, gpa[i], len[i], i);
	teardown(&r);
}
BOTH(receive)

/* A frame larger than the buffers is dropped; the buffer is for the next. */
static void
receive_too_big(enum vdrv_transport t)
{
	struct rig r;
	uint64_t gpa;

	rig_up(&r, t, 0, 2);
	gpa = add_rx(&r, RXQ, 500);
	vdrv_kick(&r.d, RXQ);
	peer_send(&r, 501, 1);
	peer_send(&r, 400, 2);
	expect_guest(&r, gpa, 400, 2);
	teardown(&r);
}
BOTH(receive_too_big)

static void
receive_merged(enum vdrv_transport t)
{
	static uint8_t want[5000];
	static const uint32_t lens[] = { 1000, 1000, 1000, 1000, 1012 };
	uint64_t gpa[5];
	struct rig r;
	size_t off = 0;
	uint32_t used;

	rig_up(&r, t, F_MRG, 2);
	for (unsigned int i = 0; i < 5; i++)
		gpa[i] = add_rx(&r, RXQ, lens[i]);
	vdrv_kick(&r.d, RXQ);
	make_frame(want, sizeof(want), 9);
	peer_send(&r, sizeof(want), 9);
	for (unsigned int i = 0; i < 5; i++) {
		uint8_t *p;
		size_t skip = i == 0 ? 12 : 0;

		vdrv_wait_used(&r.d, RXQ, &used);
		p = vdrv_ptr(&r.d, gpa[i]);
		assert_int_equal(used, i < 4 ? 1000 : 1012);
		if (i == 0)
			assert_int_equal(p[10] | p[11] << 8, 5);
		assert_memory_equal(p + skip, want + off, used - skip);
		off += used - skip;
	}
	assert_int_equal(off, sizeof(want));
	teardown(&r);
}
BOTH(receive_merged)

/* 5.1.6.3.1: the driver that sees the first buffer finds the others, too. */
static void
receive_merged_at_once(enum vdrv_transport t)
{
	struct rig r;
	uint32_t used;

	rig_up(&r, t, F_MRG, 2);
	for (unsigned int round = 0; round < 200; round++) {
		uint16_t *idx, before, now;

		r.d.brk = 0x100000;
		for (unsigned int i = 0; i < 5; i++)
			(void)add_rx(&r, RXQ, 4096);
		vdrv_kick(&r.d, RXQ);
		idx = r.d.q[RXQ].used_idx;
		before = now = __atomic_load_n(idx, __ATOMIC_ACQUIRE);
		peer_send(&r, 5 * 4096 - 100, round);
		for (unsigned int n = 0; now == before && n < 100000000; n++)
			now = __atomic_load_n(idx, __ATOMIC_ACQUIRE);
		assert_int_equal((uint16_t)(now - before), 5);
		for (unsigned int i = 0; i < 5; i++)
			vdrv_wait_used(&r.d, RXQ, &used);
	}
	teardown(&r);
}
BOTH(receive_merged_at_once)

/*
 * Without buffers, and with too few, the frame waits; what the driver adds
 * wakes it, with both ways of asking for kicks.
 */
/* The device has looked, and wants a kick with the next buffer. */
static bool
waits_for_kick(struct rig *r)
{
	const struct vdrv_queue *q = &r->d.q[RXQ];

	for (int ms = 0; ms < 5000; ms++) {
		if (__atomic_load_n(q->avail_event, __ATOMIC_SEQ_CST) ==
		    *q->avail_idx)
			return true;
		usleep(1000);
	}
	return false;
}

static void
receive_waits(enum vdrv_transport t, uint64_t event_idx)
{
	struct rig r;
	uint32_t used;

	rig_up(&r, t, F_MRG | event_idx, 2);
	for (uint32_t n = 0; n < 5; n++) {
		uint64_t gpa;

		peer_send(&r, 1514, n);
		expect_no_rx(&r);
		gpa = add_rx(&r, RXQ, 1600);
		vdrv_kick(&r.d, RXQ);
		expect_guest(&r, gpa, 1514, n);
		/* Three buffers, one at a time. */
		peer_send(&r, 2500, n);
		for (unsigned int i = 0; i < 3; i++) {
			expect_no_rx(&r);
			assert_true(event_idx == 0 || waits_for_kick(&r));
			add_rx(&r, RXQ, 1000);
			vdrv_kick(&r.d, RXQ);
		}
		for (unsigned int i = 0; i < 3; i++)
			vdrv_wait_used(&r.d, RXQ, &used);
	}
	teardown(&r);
}

static void
receive_waits_flags(enum vdrv_transport t)
{
	receive_waits(t, 0);
}
BOTH(receive_waits_flags)

static void
receive_waits_event(enum vdrv_transport t)
{
	receive_waits(t, VDRV_F_EVENT_IDX);
}
BOTH(receive_waits_event)

/* One interrupt for many frames that came in one go. */
static void
receive_coalesced(enum vdrv_transport t)
{
	struct rig r;
	uint32_t used;
	unsigned int before;

	rig_up(&r, t, 0, 2);
	vdrv_msix_enable(&r.d, 2);
	for (uint32_t n = 0; n < 40; n++)
		peer_send(&r, 100, n);
	usleep(100000); /* they wait */
	for (uint32_t n = 0; n < 64; n++)
		add_rx(&r, RXQ, 200);
	before = r.m.b.msis;
	vdrv_kick(&r.d, RXQ);
	for (uint32_t n = 0; n < 40; n++)
		vdrv_wait_used(&r.d, RXQ, &used);
	usleep(20000);
	chips_pause(r.m.b.ctx); /* its thread has done with the counter */
	assert_in_range(r.m.b.msis - before, 1, 10);
	teardown(&r);
}
BOTH(receive_coalesced)

/* --- the control queue ---------------------------------------------------- */

static uint8_t
ctrl(struct rig *r, unsigned int q, uint8_t class, uint8_t cmd,
    const void *data, size_t len)
{
	uint8_t head[2] = { class, cmd };
	uint64_t ack = vdrv_alloc(&r->d, 1, 1);
	struct vdrv_buf b[3] = {
		{ vdrv_copy(&r->d, head, 2), 2, false },
		{ len > 0 ? vdrv_copy(&r->d, data, len) : 0, (uint32_t)len,
		    false },
		{ ack, 1, true },
	};
	uint32_t used;

	if (len == 0)
		b[1] = b[2];
	*(uint8_t *)vdrv_ptr(&r->d, ack) = 0xcc;
	vdrv_add(&r->d, q, b, len > 0 ? 3 : 2);
	vdrv_kick(&r->d, q);
	vdrv_wait_used(&r->d, q, &used);
	assert_int_equal(used, 1);
	return *(uint8_t *)vdrv_ptr(&r->d, ack);
}

static void
ctrl_ok(struct rig *r, uint8_t class, uint8_t cmd, const void *data, size_t len)
{
	assert_int_equal(ctrl(r, CTRLQ, class, cmd, data, len), 0);
}

static void
rx_mode(struct rig *r, uint8_t cmd, bool on)
{
	uint8_t val = on;

	ctrl_ok(r, 0, cmd, &val, 1);
}

/* Does a frame to this address arrive?  A marker behind it tells "no". */
static bool
hears(struct rig *r, const uint8_t *dst, int vlan)
{
	static const uint32_t marker = 0x4d41524b;
	uint8_t f[100];
	uint64_t gpa = add_rx(r, RXQ, 200);
	uint8_t *p = vdrv_ptr(&r->d, gpa);
	bool heard;
	uint32_t used;

	vdrv_kick(&r->d, RXQ);
	make_frame(f, sizeof(f), 1);
	memcpy(f, dst, 6);
	if (vlan >= 0) {
		f[12] = 0x81;
		f[13] = 0;
		f[14] = (uint8_t)(0xe0 | vlan >> 8); /* priority bits too */
		f[15] = (uint8_t)vlan;
	}
	net_card_send(&r->peer, f, sizeof(f));
	make_frame(f, sizeof(f), marker);
	net_card_send(&r->peer, f, sizeof(f));
	vdrv_wait_used(&r->d, RXQ, &used);
	heard = memcmp(p + r->hdr_len + 14, &marker, 4) != 0;
	if (heard) {
		add_rx(r, RXQ, 200);
		vdrv_kick(&r->d, RXQ);
		vdrv_wait_used(&r->d, RXQ, &used);
	}
	return heard;
}

static void
filter(enum vdrv_transport t)
{
	static const uint8_t bcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	static const uint8_t uni[6] = { 2, 0, 0, 0, 0, 7 };
	static const uint8_t uni2[6] = { 2, 0, 0, 0, 0, 8 };
	static const uint8_t multi[6] = { 1, 0, 0x5e, 0, 0, 1 };
	static const uint8_t multi2[6] = { 1, 0, 0x5e, 0, 0, 2 };
	uint8_t table[4 + 6 + 4 + 6] = { 1, 0, 0, 0 };
	struct rig r;

	rig_up(&r, t, F_CTRL | BIT64(17), 3);
	assert_true(hears(&r, uni, -1)); /* promiscuous at first */
	rx_mode(&r, 0, false);
	assert_true(hears(&r, bcast, -1));
	assert_false(hears(&r, uni, -1));
	assert_false(hears(&r, multi, -1));
	memcpy(table + 4, uni, 6);
	table[10] = 1;
	memcpy(table + 14, multi, 6);
	ctrl_ok(&r, 1, 0, table, sizeof(table));
	assert_true(hears(&r, uni, -1));
	assert_false(hears(&r, uni2, -1));
	assert_true(hears(&r, multi, -1));
	assert_false(hears(&r, multi2, -1));
	rx_mode(&r, 1, true); /* ALLMULTI */
	assert_true(hears(&r, multi2, -1));
	rx_mode(&r, 3, true); /* NOMULTI */
	assert_false(hears(&r, multi, -1));
	assert_true(hears(&r, bcast, -1));
	rx_mode(&r, 5, true); /* NOBCAST */
	assert_false(hears(&r, bcast, -1));
	rx_mode(&r, 2, true); /* ALLUNI */
	assert_true(hears(&r, uni2, -1));
	rx_mode(&r, 0, true); /* PROMISC goes before all */
	assert_true(hears(&r, bcast, -1));
	rx_mode(&r, 0, false);
	ctrl_ok(&r, 1, 1, uni2, 6); /* MAC_ADDR_SET */
	assert_int_equal(vdrv_cfg_read(&r.d, 5, 1), 8);
	teardown(&r);
}
BOTH(filter)

static void
vlans(enum vdrv_transport t)
{
	struct rig r;
	uint16_t id = 5, none = 4096;

	rig_up(&r, t, F_CTRL | F_VLAN, 3);
	rx_mode(&r, 0, false);
	assert_true(hears(&r, own_mac, -1));
	assert_false(hears(&r, own_mac, 5));
	ctrl_ok(&r, 2, 0, &id, 2);
	assert_true(hears(&r, own_mac, 5));
	assert_false(hears(&r, own_mac, 6));
	ctrl_ok(&r, 2, 1, &id, 2);
	assert_false(hears(&r, own_mac, 5));
	assert_int_equal(ctrl(&r, CTRLQ, 2, 0, &none, 2), 1);
	teardown(&r);
}
BOTH(vlans)

static void
ctrl_errors(enum vdrv_transport t)
{
	static uint8_t big[4 + 300 * 6 + 4];
	uint8_t table[20] = { 3, 0, 0, 0 };
	uint8_t group[6] = { 1, 2, 3, 4, 5, 6 };
	uint16_t pairs = 1;
	uint64_t offloads = F_GUEST_TSO4;
	struct rig r;

	rig_up(&r, t, F_CTRL, 3);
	assert_int_equal(ctrl(&r, CTRLQ, 0, 0, NULL, 0), 1); /* no value */
	assert_int_equal(ctrl(&r, CTRLQ, 0, 9, group, 1), 1);
	assert_int_equal(ctrl(&r, CTRLQ, 77, 0, group, 1), 1);
	assert_int_equal(ctrl(&r, CTRLQ, 1, 1, group, 6), 1); /* multicast */
	assert_int_equal(ctrl(&r, CTRLQ, 1, 1, group, 5), 1);
	assert_int_equal(ctrl(&r, CTRLQ, 1, 0, table, 20), 1); /* too short */
	memset(table, 0xff, 4);
	assert_int_equal(ctrl(&r, CTRLQ, 1, 0, table, 20), 1);
	/* Not negotiated. */
	assert_int_equal(ctrl(&r, CTRLQ, 2, 0, &pairs, 2), 1);
	assert_int_equal(ctrl(&r, CTRLQ, 4, 0, &pairs, 2), 1);
	assert_int_equal(ctrl(&r, CTRLQ, 5, 0, &offloads, 8), 1);
	/* More than we keep: then all of that kind pass. */
	put_le32(big, 300);
	rx_mode(&r, 0, false);
	ctrl_ok(&r, 1, 0, big, sizeof(big));
	assert_true(hears(&r, (uint8_t[6]){ 2, 9, 9, 9, 9, 9 }, -1));
	assert_false(hears(&r, group, -1));
	teardown(&r);
}
BOTH(ctrl_errors)

/* Legacy drivers write the address into the configuration structure. */
static void
test_legacy_mac_write(void **state)
{
	struct rig r;

	rig_up(&r, VDRV_LEGACY, F_CTRL, 3);
	rx_mode(&r, 0, false);
	vdrv_cfg_write(&r.d, 5, 1, 0x11);
	assert_int_equal(vdrv_cfg_read(&r.d, 5, 1), 0x11);
	vdrv_reset(&r.d);
	assert_int_equal(vdrv_cfg_read(&r.d, 5, 1), 0xcc);
	teardown(&r);
	rig_up(&r, VDRV_MODERN, F_CTRL, 3);
	vdrv_cfg_write(&r.d, 5, 1, 0x11);
	assert_int_equal(vdrv_cfg_read(&r.d, 5, 1), 0xcc);
	teardown(&r);
}

/* Received frames are finished for a driver that says so on the way. */
static void
guest_offloads(enum vdrv_transport t)
{
	const struct net_hdr h = {
		.flags = 1, .csum_start = 34, .csum_offset = 16
	};
	uint64_t gpa, none = 0, all = F_GUEST_CSUM, more = F_GUEST_TSO4;
	uint8_t f[100];
	struct rig r;
	uint32_t used;

	rig_up(&r, t, F_GUEST_CSUM | F_GUEST_OFFLOADS | F_CTRL, 3);
	make_frame(f, sizeof(f), 1);
	for (int i = 0; i < 3; i++) {
		if (i == 1)
			ctrl_ok(&r, 5, 0, &none, 8);
		if (i == 2)
			ctrl_ok(&r, 5, 0, &all, 8);
		usleep(20000);
		gpa = add_rx(&r, RXQ, 200);
		vdrv_kick(&r.d, RXQ);
		net_card_send_hdr(&r.peer, &h, f, sizeof(f));
		vdrv_wait_used(&r.d, RXQ, &used);
		assert_int_equal(
		    *(uint8_t *)vdrv_ptr(&r.d, gpa), i == 1 ? 0 : 1);
	}
	assert_int_equal(ctrl(&r, CTRLQ, 5, 0, &more, 8), 1);
	teardown(&r);
}
BOTH(guest_offloads)

/* --- more than one pair --------------------------------------------------- */

static void
pairs(enum vdrv_transport t)
{
	struct rig r;
	uint16_t n = 2, zero = 0, many = 4;
	uint32_t used;
	uint8_t f[80];
	uint64_t gpa;

	setup(&r, "queues=3");
	plug_peer(&r);
	start(&r, t, F_MQ | F_CTRL, 7);
	assert_int_equal(ctrl(&r, 6, 4, 0, &zero, 2), 1);
	assert_int_equal(ctrl(&r, 6, 4, 0, &many, 2), 1);
	assert_int_equal(ctrl(&r, 6, 4, 0, &n, 2), 0);
	/* What goes out by the second pair comes back by it. */
	make_frame(f, sizeof(f), 5);
	f[12] = 8;
	f[13] = 0;
	f[14] = 0x45;
	guest_send_hdr(&r, 3, &(struct net_hdr){ 0 }, f, sizeof(f));
	vdrv_kick(&r.d, 3);
	vdrv_wait_used(&r.d, 3, &used);
	gpa = add_rx(&r, 2, 200);
	vdrv_kick(&r.d, 2);
	net_card_send(&r.peer, f, sizeof(f));
	vdrv_wait_used(&r.d, 2, &used);
	assert_memory_equal(
	    (uint8_t *)vdrv_ptr(&r.d, gpa) + r.hdr_len, f, sizeof(f));
	/* Back to one pair: everything comes by the first. */
	n = 1;
	assert_int_equal(ctrl(&r, 6, 4, 0, &n, 2), 0);
	add_rx(&r, 0, 200);
	vdrv_kick(&r.d, 0);
	net_card_send(&r.peer, f, sizeof(f));
	vdrv_wait_used(&r.d, 0, &used);
	teardown(&r);
	/* Without MQ the control queue is the third one. */
	setup(&r, "queues=3");
	plug_peer(&r);
	start(&r, t, F_CTRL, 3);
	rx_mode(&r, 0, false);
	teardown(&r);
}
BOTH(pairs)

/* --- reset, pause, snapshot ----------------------------------------------- */

/* The guest resets the device while frames wait and others are under way. */
static void
reset_in_flight(enum vdrv_transport t)
{
	struct rig r;
	uint64_t old;
	uint32_t used;

	rig_up(&r, t, F_CTRL, 3);
	for (int round = 0; round < 20; round++) {
		old = add_rx(&r, RXQ, 64); /* too small: stays untouched */
		vdrv_kick(&r.d, RXQ);
		for (uint32_t n = 0; n < 30; n++) {
			peer_send(&r, 300, n);
			guest_send(&r, 300, n);
		}
		vdrv_kick(&r.d, TXQ);
		vdrv_reset(&r.d);
		usleep(1000);
		assert_int_equal(*(uint8_t *)vdrv_ptr(&r.d, old), 0xee);
		r.d.brk = 0x100000;
		start(&r, t, F_CTRL, 3);
	}
	usleep(50000);
	for (struct net_card_frame f; net_card_next(&r.peer, &f, 50);)
		net_card_frame_free(&f);
	/* Some of the last round may still have been on their way. */
	peer_send(&r, 400, 77);
	do {
		add_rx(&r, RXQ, 500);
		vdrv_kick(&r.d, RXQ);
		vdrv_wait_used(&r.d, RXQ, &used);
	} while (used == r.hdr_len + 300);
	assert_int_equal(used, r.hdr_len + 400);
	guest_send(&r, 60, 78);
	vdrv_kick(&r.d, TXQ);
	expect_peer(&r, 60, 78);
	teardown(&r);
}
BOTH(reset_in_flight)

static void
pause_holds(enum vdrv_transport t)
{
	struct rig r;
	uint64_t gpa;

	rig_up(&r, t, 0, 2);
	gpa = add_rx(&r, RXQ, 500);
	vdrv_kick(&r.d, RXQ);
	chips_pause(r.m.b.ctx);
	peer_send(&r, 100, 4);
	guest_send(&r, 60, 5);
	expect_no_rx(&r);
	chips_resume(r.m.b.ctx);
	expect_guest(&r, gpa, 100, 4);
	expect_peer(&r, 60, 5);
	teardown(&r);
}
BOTH(pause_holds)

static void
snapshot(enum vdrv_transport t)
{
	static const uint8_t uni[6] = { 2, 0, 0, 0, 0, 8 };
	uint16_t id = 100;
	uint8_t table[4 + 6 + 4] = { 1 };
	struct rig a, b;

	rig_up(&a, t, F_CTRL | F_VLAN, 3);
	rx_mode(&a, 0, false);
	ctrl_ok(&a, 1, 1, uni, 6);
	memcpy(table + 4, own_mac, 6); /* which hears() uses */
	ctrl_ok(&a, 1, 0, table, sizeof(table));
	ctrl_ok(&a, 2, 0, &id, 2);
	chips_pause(a.m.b.ctx);
	rig_up(&b, t, F_CTRL | F_VLAN, 3);
	chips_pause(b.m.b.ctx);
	memcpy(b.m.ram, a.m.ram, VDRV_RAM);
	assert_int_equal(board_load(&b.m.b, board_save(&a.m.b)), 0);
	/* The driver's own memory went along. */
	for (unsigned int q = 0; q < 3; q++) {
		b.d.q[q].next_desc = a.d.q[q].next_desc;
		b.d.q[q].last_used = a.d.q[q].last_used;
	}
	b.d.brk = a.d.brk;
	chips_resume(b.m.b.ctx);
	assert_int_equal(vdrv_cfg_read(&b.d, 5, 1), 8);
	assert_true(hears(&b, uni, 100));
	assert_false(hears(&b, (const uint8_t[6]){ 2, 0, 0, 0, 0, 9 }, -1));
	teardown(&a);
	teardown(&b);
}

static void
test_snapshot_spoiled(void **state)
{
	static const struct board_flaw spoil[] = {
		{ "r->uni", 0, 65 },
		{ "r->multi", 0, 255 },
		{ "r->pairs", 0, 0 },
		{ "r->pairs", 0, 2 },
		{ "r->guest_offloads", 0, 0x80 },
	};

	for (size_t i = 0; i < ARRAY_LEN(spoil); i++) {
		struct rig r;

		rig_up(&r, VDRV_MODERN, F_CTRL, 3);
		chips_pause(r.m.b.ctx);
		assert_int_equal(
		    board_load(
			&r.m.b, board_spoil(board_save(&r.m.b), spoil[i].field,
				    spoil[i].off, spoil[i].val)),
		    -EINVAL);
		teardown(&r);
	}
}

/* --- stress --------------------------------------------------------------- */

#define STRESS_FRAMES 20000u
#define STRESS_BUF    2048u
#define STRESS_SLOTS  64u

static void *
stress_peer(void *arg)
{
	struct rig *r = arg;

	for (uint32_t n = 0; n < STRESS_FRAMES; n++)
		peer_send(r, 60 + n % 1400, n);
	return NULL;
}

/*
 * A flood meets a driver that gives buffers in fits and starts, kicking only
 * when the device asks: a lost wake-up ends in a time-out, a lost frame shows.
 */
static void
stress_rx(enum vdrv_transport t)
{
	struct rig r;
	pthread_t thread;
	uint64_t buf[STRESS_SLOTS];
	unsigned int given = 0, taken = 0, seed = 3;
	uint32_t used, n;

	rig_up(&r, t, VDRV_F_EVENT_IDX, 2);
	for (unsigned int i = 0; i < STRESS_SLOTS; i++)
		buf[i] = vdrv_alloc(&r.d, STRESS_BUF, 1);
	pthread_create(&thread, NULL, stress_peer, &r);
	while (taken < STRESS_FRAMES) {
		unsigned int more = (unsigned int)rand_r(&seed) %
				    (STRESS_SLOTS + 1 - (given - taken));
		uint16_t old = *r.d.q[RXQ].avail_idx, event;

		for (unsigned int i = 0; i < more; i++, given++) {
			struct vdrv_buf b = { buf[given % STRESS_SLOTS],
				STRESS_BUF, true };
			vdrv_add(&r.d, RXQ, &b, 1);
		}
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		event =
		    __atomic_load_n(r.d.q[RXQ].avail_event, __ATOMIC_RELAXED);
		if ((uint16_t)(old + more - event - 1) < more)
			vdrv_kick(&r.d, RXQ);
		more = given > taken
			   ? (unsigned int)rand_r(&seed) % (given - taken + 1)
			   : 0;
		for (; more > 0 && taken < STRESS_FRAMES; more--, taken++) {
			vdrv_wait_used(&r.d, RXQ, &used);
			assert_int_equal(used, r.hdr_len + 60 + taken % 1400);
			memcpy(&n,
			    (uint8_t *)vdrv_ptr(
				&r.d, buf[taken % STRESS_SLOTS]) +
				r.hdr_len + 14,
			    4);
			assert_int_equal(n, taken);
		}
	}
	pthread_join(thread, NULL);
	teardown(&r);
}
BOTH(stress_rx)

/* A driver that floods a peer which is slow: all frames, in order. */
static void
stress_tx(enum vdrv_transport t)
{
	struct rig r;
	uint32_t sent = 0, got = 0, done = 0, used;
	uint64_t buf[STRESS_SLOTS];
	struct net_card_frame f;
	uint32_t n;

	rig_up(&r, t, 0, 2);
	net_card_set_room(&r.peer, 4);
	for (unsigned int i = 0; i < STRESS_SLOTS; i++)
		buf[i] = vdrv_alloc(&r.d, 32768, 1);
	while (got < 2000) {
		while (sent < 2000 && sent - done < STRESS_SLOTS) {
			uint64_t gpa = buf[sent % STRESS_SLOTS];
			uint8_t *p = vdrv_ptr(&r.d, gpa);
			struct vdrv_buf b = { gpa, 30000, false };

			memset(p, 0, r.hdr_len);
			make_frame(p + r.hdr_len, 30000 - r.hdr_len, sent++);
			vdrv_add(&r.d, TXQ, &b, 1);
			vdrv_kick(&r.d, TXQ);
		}
		while (vdrv_used(&r.d, TXQ, &used) >= 0)
			done++;
		assert_true(net_card_next(&r.peer, &f, NET_WAIT_MS));
		memcpy(&n, f.data + 14, 4);
		assert_int_equal(n, got++);
		net_card_frame_free(&f);
	}
	teardown(&r);
}
BOTH(stress_tx)
BOTH(snapshot)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_TESTS(config),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_default_mac),
		cmocka_unit_test(test_parse_words),
		BOTH_TESTS(link_changes),
		BOTH_TESTS(send_frames),
		BOTH_TESTS(send_cut),
		BOTH_TESTS(send_bad),
		BOTH_TESTS(send_unfinished),
		BOTH_TESTS(receive),
		BOTH_TESTS(receive_too_big),
		BOTH_TESTS(receive_merged),
		BOTH_TESTS(receive_merged_at_once),
		BOTH_TESTS(receive_waits_flags),
		BOTH_TESTS(receive_waits_event),
		BOTH_TESTS(receive_coalesced),
		BOTH_TESTS(filter),
		BOTH_TESTS(vlans),
		BOTH_TESTS(ctrl_errors),
		cmocka_unit_test(test_legacy_mac_write),
		BOTH_TESTS(guest_offloads),
		BOTH_TESTS(pairs),
		BOTH_TESTS(reset_in_flight),
		BOTH_TESTS(pause_holds),
		BOTH_TESTS(snapshot),
		cmocka_unit_test(test_snapshot_spoiled),
		BOTH_TESTS(stress_rx),
		BOTH_TESTS(stress_tx),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
