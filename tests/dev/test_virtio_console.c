/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-console: control messages, both directions, clients that come and go.
 */
#include "virtio_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define F_SIZE	      BIT64(0)
#define F_MULTIPORT   BIT64(1)
#define F_EMERG_WRITE BIT64(2)

#define CTRL_RX	      2
#define CTRL_TX	      3

enum {
	DEVICE_READY,
	DEVICE_ADD,
	DEVICE_REMOVE,
	PORT_READY,
	CONSOLE_PORT,
	RESIZE,
	PORT_OPEN,
	PORT_NAME,
};

struct ctrl {
	uint32_t id;
	uint16_t event, value;
};

struct rig {
	struct vdrv_machine m;
	struct vdrv d;
	char dir[40];
	unsigned int nqueues;
};

static unsigned int
rxq(unsigned int port)
{
	return port == 0 ? 0 : 2 * port + 2;
}

static unsigned int
txq(unsigned int port)
{
	return port == 0 ? 1 : 2 * port + 3;
}

/* Port 0 is "first", port 1 has no name. */
static void
setup(struct rig *r)
{
	char settings[256];

	strcpy(r->dir, "/tmp/test_console.XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	vdrv_machine(&r->m);
	snprintf(settings, sizeof(settings),
	    "port.0.path=%s/0,port.0.name=first,port.1.path=%s/1", r->dir,
	    r->dir);
	vdrv_add_device(&r->m, "virtio-console", settings);
	r->nqueues = 6;
}

static void
teardown(struct rig *r)
{
	vdrv_machine_fini(&r->m);
	/* Sockets are gone, or this fails. */
	assert_int_equal(rmdir(r->dir), 0);
}

static int
client(struct rig *r, unsigned int port)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%u", r->dir, port);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void
settle(struct rig *r)
{
	board_settle(&r->m.b, 5);
}

/* --- the driver's side of control messages -------------------------------- */

static void
ctrl_fill(struct rig *r, unsigned int n)
{
	while (n-- > 0) {
		const struct vdrv_buf b = { vdrv_alloc(&r->d, 64, 8), 64,
			true };

		vdrv_add(&r->d, CTRL_RX, &b, 1);
	}
	vdrv_kick(&r->d, CTRL_RX);
}

static void
ctrl_send(struct rig *r, uint32_t id, uint16_t event, uint16_t value)
{
	const struct ctrl m = { id, event, value };
	const struct vdrv_buf b = { vdrv_copy(&r->d, &m, sizeof(m)), sizeof(m),
		false };
	uint32_t len;

	vdrv_add(&r->d, CTRL_TX, &b, 1);
	vdrv_kick(&r->d, CTRL_TX);
	assert_true(vdrv_used(&r->d, CTRL_TX, &len) >= 0);
	assert_int_equal(len, 0);
}

static void
ctrl_expect_named(struct rig *r, uint32_t id, uint16_t event, uint16_t value,
    const char *name)
{
	const struct ctrl *m;
	uint32_t len;
	int head = vdrv_used(&r->d, CTRL_RX, &len);

	assert_int_not_equal(head, -1);
	m = vdrv_ptr(&r->d, r->d.q[CTRL_RX].desc[head].addr);
	assert_int_equal(len, sizeof(*m) + strlen(name));
	assert_int_equal(m->id, id);
	assert_int_equal(m->event, event);
	assert_int_equal(m->value, value);
	assert_memory_equal(m + 1, name, strlen(name));
}

static void
ctrl_expect(struct rig *r, uint32_t id, uint16_t event, uint16_t value)
{
	ctrl_expect_named(r, id, event, value, "");
}

static void
ctrl_expect_none(struct rig *r)
{
	uint32_t len;

	assert_int_equal(vdrv_used(&r->d, CTRL_RX, &len), -1);
}

/* Up to both ports ready; messages are taken off. */
static void
start(struct rig *r)
{
	vdrv_open(&r->d, &r->m, VDRV_MODERN, F_MULTIPORT, r->nqueues);
	ctrl_fill(r, 20);
	ctrl_send(r, 0, DEVICE_READY, 1);
	ctrl_expect(r, 0, DEVICE_ADD, 1);
	ctrl_expect(r, 1, DEVICE_ADD, 1);
	ctrl_send(r, 0, PORT_READY, 1);
	ctrl_expect_named(r, 0, PORT_NAME, 1, "first");
	ctrl_send(r, 1, PORT_READY, 1);
}

static uint64_t
rx_fill(struct rig *r, unsigned int port, uint32_t len)
{
	const struct vdrv_buf b = { vdrv_alloc(&r->d, len, 1), len, true };

	vdrv_add(&r->d, rxq(port), &b, 1);
	vdrv_kick(&r->d, rxq(port));
	return b.gpa;
}

/* The next delivered bytes; 0: none. */
static uint32_t
rx_take(struct rig *r, unsigned int port, void *buf)
{
	uint32_t len = 0;
	int head = vdrv_used(&r->d, rxq(port), &len);

	if (head < 0)
		return 0;
	memcpy(buf, vdrv_ptr(&r->d, r->d.q[rxq(port)].desc[head].addr), len);
	return len;
}

static void
tx_send(struct rig *r, unsigned int port, const void *data, uint32_t len)
{
	const struct vdrv_buf b = { vdrv_copy(&r->d, data, len), len, false };

	vdrv_add(&r->d, txq(port), &b, 1);
	vdrv_kick(&r->d, txq(port));
}

/* --- control -------------------------------------------------------------- */

static void
test_hello(void **state)
{
	for (enum vdrv_transport t = VDRV_LEGACY; t <= VDRV_MODERN; t++) {
		struct rig r;

		setup(&r);
		vdrv_open(&r.d, &r.m, t, F_MULTIPORT, r.nqueues);
		assert_int_equal(vdrv_pci_read(&r.d, 0, 4), 0x10031af4);
		assert_int_equal(vdrv_features(&r.d) &
				     (F_SIZE | F_MULTIPORT | F_EMERG_WRITE),
		    F_MULTIPORT | F_EMERG_WRITE);
		assert_int_equal(vdrv_cfg_read(&r.d, 0, 4), 0);
		assert_int_equal(vdrv_cfg_read(&r.d, 4, 4), 2);
		/* Buffers come late and singly: no message is lost. */
		ctrl_send(&r, 0, DEVICE_READY, 1);
		ctrl_fill(&r, 1);
		ctrl_expect(&r, 0, DEVICE_ADD, 1);
		ctrl_expect_none(&r);
		ctrl_fill(&r, 1);
		ctrl_expect(&r, 1, DEVICE_ADD, 1);
		ctrl_send(&r, 0, PORT_READY, 1);
		ctrl_send(&r, 1, PORT_READY, 1);
		ctrl_fill(&r, 4);
		ctrl_expect_named(&r, 0, PORT_NAME, 1, "first");
		ctrl_expect_none(&r);
		teardown(&r);
	}
}

static void
test_open_and_close(void **state)
{
	struct rig r;
	int fd;

	setup(&r);
	fd = client(&r, 1); /* before there is a driver */
	settle(&r);
	start(&r);
	ctrl_expect(&r, 1, PORT_OPEN, 1);
	close(fd);
	settle(&r);
	ctrl_expect(&r, 1, PORT_OPEN, 0);
	vdrv_isr(&r.d);
	settle(&r);
	ctrl_expect_none(&r);
	assert_int_equal(vdrv_isr(&r.d), 0);
	fd = client(&r, 1);
	settle(&r);
	ctrl_expect(&r, 1, PORT_OPEN, 1);
	assert_int_equal(vdrv_isr(&r.d), 1);
	close(fd);
	settle(&r);
	ctrl_expect(&r, 1, PORT_OPEN, 0);
	ctrl_expect_none(&r);
	teardown(&r);
}

/* One that is there already is told when the port is ready. */
static void
test_open_before_ready(void **state)
{
	struct rig r;
	int fd;

	setup(&r);
	fd = client(&r, 0);
	settle(&r);
	vdrv_open(&r.d, &r.m, VDRV_MODERN, F_MULTIPORT, r.nqueues);
	ctrl_fill(&r, 8);
	ctrl_send(&r, 0, DEVICE_READY, 1);
	ctrl_expect(&r, 0, DEVICE_ADD, 1);
	ctrl_expect(&r, 1, DEVICE_ADD, 1);
	ctrl_expect_none(&r);
	ctrl_send(&r, 0, PORT_READY, 1);
	ctrl_expect_named(&r, 0, PORT_NAME, 1, "first");
	ctrl_expect(&r, 0, PORT_OPEN, 1);
	/* Again after a reset. */
	vdrv_open(&r.d, &r.m, VDRV_MODERN, F_MULTIPORT, r.nqueues);
	ctrl_fill(&r, 8);
	ctrl_send(&r, 0, PORT_READY, 1);
	ctrl_expect_named(&r, 0, PORT_NAME, 1, "first");
	ctrl_expect(&r, 0, PORT_OPEN, 1);
	close(fd);
	teardown(&r);
}

/* One client after the other while the driver does not listen: both are told.
 */
static void
test_quick_succession(void **state)
{
	struct rig r;
	char buf[64];
	int fd;

	setup(&r);
	start(&r);
	ctrl_send(&r, 1, PORT_OPEN, 1);
	fd = client(&r, 1);
	settle(&r);
	ctrl_expect(&r, 1, PORT_OPEN, 1);
	/* Use up what control buffers are left. */
	while (*r.d.q[CTRL_RX].avail_idx != *r.d.q[CTRL_RX].used_idx) {
		ctrl_send(&r, 0, PORT_READY, 1);
		ctrl_expect_named(&r, 0, PORT_NAME, 1, "first");
	}
	assert_int_equal(write(fd, "old", 3), 3);
	close(fd);
	fd = client(&r, 1);
	assert_int_equal(write(fd, "new", 3), 3);
	settle(&r);
	rx_fill(&r, 1, 64);
	settle(&r);
	assert_int_equal(rx_take(&r, 1, buf), 3);
	assert_memory_equal(buf, "old", 3);
	rx_fill(&r, 1, 64);
	settle(&r);
	assert_int_equal(rx_take(&r, 1, buf), 0);
	ctrl_fill(&r, 2);
	settle(&r);
	ctrl_expect(&r, 1, PORT_OPEN, 0);
	ctrl_expect(&r, 1, PORT_OPEN, 1);
	assert_int_equal(rx_take(&r, 1, buf), 3);
	assert_memory_equal(buf, "new", 3);
	close(fd);
	teardown(&r);
}

static void
test_bad_control(void **state)
{
	struct rig r;
	struct vdrv_buf b = { 0, 7, false };
	uint32_t len;

	setup(&r);
	start(&r);
	ctrl_send(&r, 2, PORT_READY, 1); /* no such port */
	ctrl_send(&r, UINT32_MAX, PORT_OPEN, 1);
	ctrl_send(&r, 0, RESIZE, 1);
	ctrl_send(&r, 0, PORT_NAME, 1);
	ctrl_send(&r, 0, 0xffff, 1);
	ctrl_send(&r, 0, DEVICE_READY, 0);
	ctrl_send(&r, 0, PORT_READY, 0);
	/* Too short; without a byte to read. */
	b.gpa = vdrv_alloc(&r.d, 8, 1);
	vdrv_add(&r.d, CTRL_TX, &b, 1);
	b.write = true;
	vdrv_add(&r.d, CTRL_TX, &b, 1);
	vdrv_kick(&r.d, CTRL_TX);
	assert_true(vdrv_used(&r.d, CTRL_TX, &len) >= 0);
	assert_true(vdrv_used(&r.d, CTRL_TX, &len) >= 0);
	ctrl_expect_none(&r);
	/* A buffer that is too small takes what fits. */
	while (*r.d.q[CTRL_RX].avail_idx != *r.d.q[CTRL_RX].used_idx) {
		ctrl_send(&r, 0, PORT_READY, 1);
		ctrl_expect_named(&r, 0, PORT_NAME, 1, "first");
	}
	b = (struct vdrv_buf){ vdrv_alloc(&r.d, 10, 1), 10, true };
	vdrv_add(&r.d, CTRL_RX, &b, 1);
	ctrl_send(&r, 0, PORT_READY, 1);
	assert_true(vdrv_used(&r.d, CTRL_RX, &len) >= 0);
	assert_int_equal(len, 10);
	assert_int_equal(vdrv_status(&r.d) & VDRV_NEEDS_RESET, 0);
	teardown(&r);
}

/* --- data ----------------------------------------------------------------- */

static void
test_data(void **state)
{
	struct rig r;
	char buf[64];
	int fd;

	setup(&r);
	start(&r);
	for (unsigned int port = 0; port < 2; port++) {
		fd = client(&r, port);
		settle(&r);
		ctrl_expect(&r, port, PORT_OPEN, 1);
		assert_int_equal(write(fd, "hello guest", 11), 11);
		rx_fill(&r, port, 4);
		settle(&r);
		/* Nobody has the port open in there. */
		assert_int_equal(rx_take(&r, port, buf), 0);
		ctrl_send(&r, port, PORT_OPEN, 1);
		assert_int_equal(rx_take(&r, port, buf), 4);
		assert_memory_equal(buf, "hell", 4);
		rx_fill(&r, port, 64);
		assert_int_equal(rx_take(&r, port, buf), 7);
		assert_memory_equal(buf, "o guest", 7);
		tx_send(&r, port, "hello host", 10);
		assert_int_equal(read(fd, buf, sizeof(buf)), 10);
		assert_memory_equal(buf, "hello host", 10);
		close(fd);
		settle(&r);
		ctrl_expect(&r, port, PORT_OPEN, 0);
		tx_send(&r, port, "nobody", 6); /* is not waited for */
	}
	teardown(&r);
}

/* An old driver: port 0, always open, no messages. */
static void
test_single_port(void **state)
{
	struct rig r;
	uint32_t len;
	char buf[64];
	int fd;

	setup(&r);
	fd = client(&r, 0);
	assert_int_equal(write(fd, "early", 5), 5);
	settle(&r);
	vdrv_open(&r.d, &r.m, VDRV_LEGACY, 0, r.nqueues);
	rx_fill(&r, 0, 64);
	assert_int_equal(rx_take(&r, 0, buf), 5);
	assert_memory_equal(buf, "early", 5);
	tx_send(&r, 0, "out", 3);
	assert_int_equal(read(fd, buf, sizeof(buf)), 3);
	/* Control queues are dead. */
	ctrl_fill(&r, 2);
	tx_send(&r, 0, "x", 1);
	vdrv_kick(&r.d, CTRL_TX);
	assert_int_equal(vdrv_used(&r.d, CTRL_RX, &len), -1);
	close(fd);
	teardown(&r);
}

static uint8_t
pattern(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 8));
}

/* The client is stopped, not the bytes lost. */
static void
test_slow_guest(void **state)
{
	struct rig r;
	uint8_t chunk[1000];
	size_t sent = 0, got = 0;
	int fd;

	setup(&r);
	start(&r);
	ctrl_send(&r, 1, PORT_OPEN, 1);
	fd = client(&r, 1);
	for (;;) {
		ssize_t n;

		for (size_t i = 0; i < sizeof(chunk); i++)
			chunk[i] = pattern(sent + i);
		n = write(fd, chunk, sizeof(chunk));
		if (n <= 0)
			break;
		sent += (size_t)n;
		settle(&r);
	}
	assert_true(sent > 4096);
	/* Nothing wakes the loop while the guest takes nothing. */
	assert_int_equal(vm_event_poll(r.m.b.ctx, 20), 0);
	close(fd);
	while (got < sent) {
		uint32_t n;

		r.d.brk = 0x400000;
		rx_fill(&r, 1, sizeof(chunk));
		settle(&r);
		n = rx_take(&r, 1, chunk);
		assert_true(n > 0);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(chunk[i], pattern(got + i));
		got += n;
	}
	assert_int_equal(got, sent);
	settle(&r);
	ctrl_expect(&r, 1, PORT_OPEN, 1);
	ctrl_expect(&r, 1, PORT_OPEN, 0);
	teardown(&r);
}

#define TX_CHUNK 65536u
#define TX_N	 32u

/* The guest is stopped when the host takes nothing. */
static void
test_slow_host(void **state)
{
	static uint8_t chunk[TX_CHUNK];
	struct rig r;
	size_t got = 0;
	uint32_t len;
	int fd;

	setup(&r);
	start(&r);
	fd = client(&r, 0);
	settle(&r);
	for (unsigned int n = 0; n < TX_N; n++) {
		for (size_t i = 0; i < TX_CHUNK; i++)
			chunk[i] = pattern(n * TX_CHUNK + i);
		tx_send(&r, 0, chunk, TX_CHUNK);
	}
	assert_true(*r.d.q[1].used_idx < TX_N);
	assert_int_equal(vm_event_poll(r.m.b.ctx, 20), 0);
	while (got < TX_N * TX_CHUNK) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n <= 0) {
			assert_true(vm_event_poll(r.m.b.ctx, 2000) > 0);
			continue;
		}
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(chunk[i], pattern(got + (size_t)i));
		got += (size_t)n;
	}
	settle(&r);
	for (unsigned int n = 0; n < TX_N; n++)
		assert_int_equal(vdrv_used(&r.d, 1, &len), n);
	close(fd);
	teardown(&r);
}

/* A reset, and a client that leaves, with output half gone. */
static void
test_reset_in_flight(void **state)
{
	static uint8_t chunk[TX_CHUNK];
	struct rig r;
	uint32_t len;
	char buf[16];
	int fd;

	setup(&r);
	start(&r);
	fd = client(&r, 0);
	settle(&r);
	for (unsigned int n = 0; n < TX_N; n++)
		tx_send(&r, 0, chunk, TX_CHUNK);
	assert_true(*r.d.q[1].used_idx < TX_N);
	vdrv_reset(&r.d);
	close(fd);
	settle(&r);
	assert_int_not_equal(*r.d.q[1].used_idx, TX_N);
	fd = client(&r, 0);
	settle(&r);
	start(&r);
	ctrl_expect(&r, 0, PORT_OPEN, 1);
	ctrl_expect_none(&r);
	tx_send(&r, 0, "fresh", 5);
	settle(&r);
	assert_int_equal(vdrv_used(&r.d, 1, &len), 0);
	assert_int_equal(read(fd, buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "fresh", 5);
	close(fd);
	teardown(&r);
}

/* 5.3.4: no queues at all. */
static void
test_emergency_write(void **state)
{
	struct rig r;
	char buf[16];
	int fd;

	setup(&r);
	fd = client(&r, 0);
	settle(&r);
	vdrv_probe(&r.d, &r.m, VDRV_MODERN);
	for (const char *s = "panic"; *s != '\0'; s++)
		vdrv_cfg_write(&r.d, 8, 4, (uint8_t)*s);
	vdrv_cfg_write(&r.d, 4, 4, 7); /* read-only */
	assert_int_equal(vdrv_cfg_read(&r.d, 4, 4), 2);
	assert_int_equal(vdrv_cfg_read(&r.d, 8, 4), 0);
	assert_int_equal(read(fd, buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "panic", 5);
	close(fd);
	teardown(&r);
}

static void
test_malformed_queue(void **state)
{
	struct rig r;
	int fd;

	setup(&r);
	start(&r);
	ctrl_send(&r, 1, PORT_OPEN, 1);
	fd = client(&r, 1);
	settle(&r);
	vdrv_make_available(&r.d, rxq(1), 0x7777);
	assert_int_equal(write(fd, "x", 1), 1);
	settle(&r);
	assert_true((vdrv_status(&r.d) & VDRV_NEEDS_RESET) != 0);
	close(fd);
	settle(&r);
	start(&r);
	teardown(&r);
}

/* --- pause and snapshot --------------------------------------------------- */

/* What is under way in both directions goes on where it was. */
static void
test_snapshot(void **state)
{
	static uint8_t chunk[TX_CHUNK];
	struct rig a, b;
	size_t got = 0;
	char buf[64];
	int fa, fb;

	setup(&a);
	setup(&b);
	start(&a);
	ctrl_send(&a, 1, PORT_OPEN, 1);
	fa = client(&a, 1);
	assert_int_equal(write(fa, "held", 4), 4);
	settle(&a);
	ctrl_expect(&a, 1, PORT_OPEN, 1);
	for (unsigned int n = 0; n < TX_N; n++) {
		for (size_t i = 0; i < TX_CHUNK; i++)
			chunk[i] = pattern(n * TX_CHUNK + i);
		tx_send(&a, 1, chunk, TX_CHUNK);
	}
	chips_pause(a.m.b.ctx);
	chips_pause(b.m.b.ctx);
	/* A paused port hears nobody, and nobody spins. */
	assert_int_equal(write(fa, "more", 4), 4);
	assert_int_equal(vm_event_poll(a.m.b.ctx, 20), 0);
	memcpy(b.m.ram, a.m.ram, VDRV_RAM);
	assert_int_equal(board_load(&b.m.b, board_save(&a.m.b)), 0);
	b.d = a.d;
	b.d.m = &b.m;
	for (unsigned int q = 0; q < b.nqueues; q++) {
		b.d.q[q].desc = vdrv_ptr(&b.d, a.d.q[q].desc_gpa);
		b.d.q[q].avail_idx = vdrv_ptr(&b.d, a.d.q[q].avail_gpa + 2);
		b.d.q[q].avail_ring = vdrv_ptr(&b.d, a.d.q[q].avail_gpa + 4);
		b.d.q[q].used_idx = vdrv_ptr(&b.d, a.d.q[q].used_gpa + 2);
		b.d.q[q].used_ring = vdrv_ptr(&b.d, a.d.q[q].used_gpa + 4);
	}
	/* The rest of the output comes out of the new process. */
	fb = client(&b, 1);
	chips_resume(b.m.b.ctx);
	rx_fill(&b, 1, 64);
	assert_int_equal(rx_take(&b, 1, buf), 4);
	assert_memory_equal(buf, "held", 4);
	settle(&b);
	ctrl_expect(&b, 1, PORT_OPEN, 0);
	ctrl_expect(&b, 1, PORT_OPEN, 1);
	/* In the old one it goes on as well: it was only paused. */
	chips_resume(a.m.b.ctx);
	rx_fill(&a, 1, 64);
	assert_int_equal(rx_take(&a, 1, buf), 4);
	rx_fill(&a, 1, 64);
	settle(&a);
	assert_int_equal(rx_take(&a, 1, buf), 4);
	assert_memory_equal(buf, "more", 4);
	while (got < TX_N * TX_CHUNK) {
		ssize_t n = read(fa, chunk, sizeof(chunk));

		if (n <= 0) {
			assert_true(vm_event_poll(a.m.b.ctx, 2000) > 0);
			continue;
		}
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(chunk[i], pattern(got + (size_t)i));
		got += (size_t)n;
	}
	close(fa);
	close(fb);
	teardown(&a);
	teardown(&b);
}

static void
test_snapshot_spoiled(void **state)
{
	static const struct board_flaw spoils[] = {
		{ "r->held_len", 1, 0x11 },
		{ "r->held_len", 3, 0x80 },
		{ "r->tell", 0, 0x80 },
		{ "r->ready", 0, 2 },
		{ "r->guest_open", 0, 2 },
		{ "r->told_open", 0, 2 },
	};

	for (unsigned int i = 0; i < ARRAY_LEN(spoils); i++) {
		struct rig a;

		setup(&a);
		start(&a);
		assert_int_equal(
		    board_load(
			&a.m.b, board_spoil(board_save(&a.m.b), spoils[i].field,
				    spoils[i].off, spoils[i].val)),
		    -EINVAL);
		start(&a);
		teardown(&a);
	}
}

/* --- settings ------------------------------------------------------------- */

static int
parse(struct conf *c, const char *text, char *err, size_t err_len)
{
	char words[1024];

	snprintf(words, sizeof(words), "%s", text);
	return pci_dev_find("virtio-console")
	    ->parse(c, "pci.0.3.0", words, err, err_len);
}

static void
test_parse(void **state)
{
	struct conf *c = conf_create();
	char err[256] = "", many[1024] = "";

	assert_int_equal(parse(c,
			     "org.qemu.guest_agent.0=/run/a,port2=stdio,"
			     "transport=modern,port.1.console=false,x=a=b",
			     err, sizeof(err)),
	    0);
	assert_string_equal(
	    conf_get(c, "pci.0.3.0.port.0.name"), "org.qemu.guest_agent.0");
	assert_string_equal(conf_get(c, "pci.0.3.0.port.0.path"), "/run/a");
	assert_string_equal(conf_get(c, "pci.0.3.0.port.1.name"), "port2");
	assert_string_equal(conf_get(c, "pci.0.3.0.port.1.path"), "stdio");
	assert_string_equal(conf_get(c, "pci.0.3.0.port.1.console"), "false");
	assert_string_equal(conf_get(c, "pci.0.3.0.port.2.path"), "a=b");
	assert_string_equal(conf_get(c, "pci.0.3.0.transport"), "modern");
	conf_destroy(c);
	c = conf_create();
	for (unsigned int i = 0; i < 17; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many),
		    "%sp%u=/p", i == 0 ? "" : ",", i);
	assert_int_equal(parse(c, many, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "more than 16 ports");
	assert_int_equal(parse(c, "port1", err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "right is NAME=PATH of a socket");
	assert_int_equal(parse(c, "=/p", err, sizeof(err)), -EINVAL);
	assert_int_equal(parse(c, "p=", err, sizeof(err)), -EINVAL);
	conf_destroy(c);
}

static void
test_settings(void **state)
{
	static const struct {
		const char *settings, *err;
	} bad[] = {
		{ NULL, "virtio-console 0:3:0: no port: want NAME=PATH, up to "
			"16 times" },
		{ "port.0.name=x", "virtio-console 0:3:0: port 0: path is "
				   "missing: a socket to listen on" },
		{ "port.0.path=null,port.0.console=maybe",
		    "virtio-console 0:3:0: port 0: console is true or "
		    "false" },
		{ "port.16.path=null", "no port" },
		{ "port.x.path=null", "unknown option" },
		{ "port.0.path=tcp=x", "virtio-console 0:3:0: port 0: bad "
				       "address" },
		{ "port.0.path=/dev/null", "is not a terminal" },
		{ "port.3.path=/nonexistent/s",
		    "virtio-console 0:3:0: port 3: /nonexistent/s: listen" },
		{ "port.0.path=null,transport=none", "bad transport" },
	};

	for (unsigned int i = 0; i < ARRAY_LEN(bad); i++) {
		struct vdrv_machine m;
		char err[256] = "";

		vdrv_machine(&m);
		assert_int_not_equal(
		    vdrv_add_ops(&m, pci_dev_find("virtio-console"),
			bad[i].settings, err, sizeof(err)),
		    0);
		if (strstr(err, bad[i].err) == NULL)
			fail_msg("%s", err);
		vdrv_machine_fini(&m);
	}
}

/* All sixteen, and numbers that are left out; one is a console. */
static void
test_many_ports(void **state)
{
	struct rig r = { .dir = "" };
	char settings[512] = "port.7.path=null,port.15.path=null,"
			     "port.15.console=true";

	vdrv_machine(&r.m);
	vdrv_add_device(&r.m, "virtio-console", settings);
	vdrv_open(&r.d, &r.m, VDRV_MODERN, F_MULTIPORT, 34);
	assert_int_equal(vdrv_cfg_read(&r.d, 4, 4), 16);
	ctrl_fill(&r, 8);
	ctrl_send(&r, 0, DEVICE_READY, 1);
	ctrl_expect(&r, 7, DEVICE_ADD, 1);
	ctrl_expect(&r, 15, DEVICE_ADD, 1);
	ctrl_send(&r, 0, PORT_READY, 1); /* is not there */
	ctrl_send(&r, 15, PORT_READY, 1);
	ctrl_expect(&r, 15, CONSOLE_PORT, 1);
	ctrl_expect(&r, 15, PORT_OPEN, 1); /* not a socket: always */
	ctrl_expect_none(&r);
	tx_send(&r, 15, "x", 1);
	assert_int_equal(*r.d.q[33].used_idx, 1);
	/* Queues of ports that are not there are never looked at. */
	tx_send(&r, 3, "x", 1);
	assert_int_equal(*r.d.q[9].used_idx, 0);
	/* Nobody left when the machine goes on from a checkpoint. */
	chips_pause(r.m.b.ctx);
	assert_int_equal(board_load(&r.m.b, board_save(&r.m.b)), 0);
	chips_resume(r.m.b.ctx);
	settle(&r);
	ctrl_expect_none(&r);
	vdrv_machine_fini(&r.m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_open_and_close),
		cmocka_unit_test(test_open_before_ready),
		cmocka_unit_test(test_quick_succession),
		cmocka_unit_test(test_bad_control),
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_single_port),
		cmocka_unit_test(test_slow_guest),
		cmocka_unit_test(test_slow_host),
		cmocka_unit_test(test_reset_in_flight),
		cmocka_unit_test(test_emergency_write),
		cmocka_unit_test(test_malformed_queue),
		cmocka_unit_test(test_snapshot),
		cmocka_unit_test(test_snapshot_spoiled),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_many_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
