/* SPDX-License-Identifier: BSD-2-Clause */
/* 16550: registers, FIFO, loopback, interrupts, a slow host. */
#include "board.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <backend/char.h>
#include <chip/chips.h>
#include <chip/ns16550.h>

#define COM 0x3f8
#define RBR (COM + 0)
#define IER (COM + 1)
#define IIR (COM + 2)
#define FCR (COM + 2)
#define LCR (COM + 3)
#define MCR (COM + 4)
#define LSR (COM + 5)
#define MSR (COM + 6)
#define SCR (COM + 7)
#define IRQ 4

/* A board with com1 on the slave of a pseudo-terminal. */
struct com {
	struct board b;
	int master;
	int slave;
};

static void
setup(struct com *c)
{
	struct chardev *cd;
	char path[64], err[256];

	board_init(&c->b);
	c->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	assert_true(c->master >= 0);
	assert_int_equal(grantpt(c->master), 0);
	assert_int_equal(unlockpt(c->master), 0);
	assert_int_equal(ptsname_r(c->master, path, sizeof(path)), 0);
	c->slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_int_equal(char_open(path, &cd, err, sizeof(err)), 0);
	assert_int_equal(comport_create(c->b.ctx, "com1", COM, IRQ, cd), 0);
}

static void
teardown(struct com *c)
{
	board_fini(&c->b);
	close(c->master);
	close(c->slave);
}

static void
type(struct com *c, const char *text)
{
	assert_int_equal(write(c->master, text, strlen(text)), strlen(text));
	board_wait_fd(c->slave);
	board_settle(&c->b, 20);
}

static void
assert_output(struct com *c, const char *want)
{
	char buf[64] = "";
	size_t len = strlen(want);

	assert_int_equal(board_read_fd(c->master, buf, len), len);
	assert_string_equal(buf, want);
	assert_int_equal(read(c->master, buf, 1), -1); /* and no more */
}

static void
test_power_on(void **state)
{
	struct com c;

	setup(&c);
	assert_int_equal(in8(&c.b, RBR), 0xff);
	assert_int_equal(in8(&c.b, IER), 0);
	assert_int_equal(in8(&c.b, IIR), 0x01);
	assert_int_equal(in8(&c.b, LCR), 0);
	assert_int_equal(in8(&c.b, MCR), 0);
	assert_int_equal(in8(&c.b, LSR), 0x60);
	assert_int_equal(in8(&c.b, MSR), 0);
	assert_int_equal(in8(&c.b, SCR), 0);
	assert_false(c.b.level[IRQ]);
	teardown(&c);
}

static void
test_masks(void **state)
{
	struct com c;

	setup(&c);
	out8(&c.b, IER, 0xf0);
	assert_int_equal(in8(&c.b, IER), 0);
	out8(&c.b, MCR, 0xef);
	assert_int_equal(in8(&c.b, MCR), 0x0f);
	out8(&c.b, LCR, 0x7f);
	assert_int_equal(in8(&c.b, LCR), 0x7f);
	out8(&c.b, SCR, 0xa5);
	assert_int_equal(in8(&c.b, SCR), 0xa5);
	out8(&c.b, LSR, 0);
	out8(&c.b, MSR, 0xff);
	assert_int_equal(in8(&c.b, LSR), 0x60);
	assert_int_equal(in8(&c.b, MSR), 0);
	teardown(&c);
}

static void
test_divisor(void **state)
{
	struct com c;

	setup(&c);
	out8(&c.b, LCR, 0x83);
	assert_int_equal(in8(&c.b, RBR), 12);
	assert_int_equal(in8(&c.b, IER), 0);
	out8(&c.b, RBR, 0x01);
	out8(&c.b, IER, 0x02);
	assert_int_equal(board_in(&c.b, RBR, 2), 0x0201);
	board_out(&c.b, RBR, 2, 0x0000); /* harmless */
	assert_int_equal(board_in(&c.b, RBR, 2), 0);
	out8(&c.b, LCR, 0x03);
	assert_int_equal(in8(&c.b, IER), 0);
	chips_reset(c.b.ctx);
	out8(&c.b, LCR, 0x80);
	assert_int_equal(board_in(&c.b, RBR, 2), 12);
	teardown(&c);
}

static void
test_widths(void **state)
{
	struct com c;

	setup(&c);
	board_out(&c.b, MCR, 2, 0x0003); /* MCR, LSR */
	assert_int_equal(board_in(&c.b, MCR, 2), 0x6003);
	assert_int_equal(board_in(&c.b, SCR, 2), 0xff00); /* past the end */
	board_out(&c.b, SCR, 2, 0x1234);
	assert_int_equal(in8(&c.b, SCR), 0x34);
	assert_int_equal(board_in(&c.b, SCR - 3, 4), UINT32_MAX);
	board_out(&c.b, RBR, 4, 0x41);
	assert_int_equal(read(c.master, &(char){ 0 }, 1), -1);
	teardown(&c);
}

static void
test_transmit(void **state)
{
	struct com c;

	setup(&c);
	out8(&c.b, RBR, 'h');
	assert_int_equal(in8(&c.b, LSR), 0x60);
	out8(&c.b, RBR, 'i');
	assert_output(&c, "hi");
	teardown(&c);
}

static void
test_thre_interrupt(void **state)
{
	struct com c;

	setup(&c);
	out8(&c.b, IER, 0x02); /* Linux's test: an interrupt at once */
	assert_true(c.b.level[IRQ]);
	assert_int_equal(in8(&c.b, IIR), 0x02);
	assert_false(c.b.level[IRQ]); /* reading it ends it */
	assert_int_equal(in8(&c.b, IIR), 0x01);
	out8(&c.b, IER, 0x02); /* was set already: no new one */
	assert_false(c.b.level[IRQ]);
	out8(&c.b, RBR, 'x');
	assert_true(c.b.level[IRQ]);
	out8(&c.b, RBR, 'y'); /* high to high */
	assert_int_equal(c.b.edges[IRQ], 2);
	out8(&c.b, IER, 0x00); /* masked, not forgotten */
	assert_false(c.b.level[IRQ]);
	out8(&c.b, IER, 0x02);
	assert_true(c.b.level[IRQ]);
	teardown(&c);
}

static void
test_receive(void **state)
{
	struct com c;

	setup(&c);
	type(&c, "ab");
	/* Without FIFO one byte, the other stays with the host. */
	assert_int_equal(in8(&c.b, LSR), 0x61);
	assert_int_equal(in8(&c.b, IIR), 0x01);
	out8(&c.b, IER, 0x01);
	assert_true(c.b.level[IRQ]);
	assert_int_equal(in8(&c.b, IIR), 0x0c);
	assert_int_equal(in8(&c.b, RBR), 'a');
	assert_false(c.b.level[IRQ]);
	assert_int_equal(in8(&c.b, LSR), 0x60);
	board_settle(&c.b, 20);
	assert_true(c.b.level[IRQ]);
	assert_int_equal(in8(&c.b, RBR), 'b');
	board_settle(&c.b, 20);
	assert_int_equal(in8(&c.b, LSR), 0x60); /* never an overrun */
	teardown(&c);
}

static void
test_receive_fifo(void **state)
{
	struct com c;
	char text[41];

	setup(&c);
	out8(&c.b, FCR, 0xc7);
	assert_int_equal(in8(&c.b, IIR), 0xc1);
	for (size_t i = 0; i < 40; i++)
		text[i] = (char)('0' + i);
	text[40] = '\0';
	type(&c, text);
	for (size_t i = 0; i < 40; i++) {
		if (i % 16 == 0)
			board_settle(&c.b, 20);
		assert_int_equal(in8(&c.b, LSR), 0x61);
		assert_int_equal(in8(&c.b, RBR), text[i]);
	}
	assert_int_equal(in8(&c.b, LSR), 0x60);
	assert_int_equal(in8(&c.b, RBR), 0xff);
	teardown(&c);
}

/* Host reads stop while the FIFO is full: the loop is idle. */
static void
test_full_fifo_is_quiet(void **state)
{
	struct com c;

	setup(&c);
	out8(&c.b, FCR, 0x01);
	type(&c, "0123456789abcdefXYZ");
	assert_int_equal(vm_event_poll(c.b.ctx, 0), 0);
	in8(&c.b, RBR);
	assert_int_equal(vm_event_poll(c.b.ctx, 100), 1);
	assert_int_equal(vm_event_poll(c.b.ctx, 0), 0);
	/* Clearing makes room too. */
	out8(&c.b, FCR, 0x03);
	assert_int_equal(in8(&c.b, LSR), 0x60);
	assert_int_equal(vm_event_poll(c.b.ctx, 100), 1);
	assert_int_equal(in8(&c.b, RBR), 'Y');
	teardown(&c);
}

static void
test_fcr(void **state)
{
	struct com c;

	setup(&c);
	type(&c, "a");
	out8(&c.b, FCR, 0x01); /* the flip clears */
	assert_int_equal(in8(&c.b, LSR), 0x60);
	type(&c, "bcd");
	out8(&c.b, FCR, 0x09); /* no flip: keeps */
	assert_int_equal(in8(&c.b, RBR), 'b');
	out8(&c.b, FCR, 0x00);
	assert_int_equal(in8(&c.b, LSR), 0x60);
	assert_int_equal(in8(&c.b, IIR), 0x01);
	teardown(&c);
}

static void
test_loopback(void **state)
{
	struct com c;

	setup(&c);
	out8(&c.b, MCR, 0x10);
	out8(&c.b, IER, 0x05);
	out8(&c.b, RBR, 'q');
	assert_int_equal(read(c.master, &(char){ 0 }, 1), -1);
	assert_int_equal(in8(&c.b, IIR), 0x0c);
	out8(&c.b, RBR, 'r'); /* room for one: overrun */
	assert_int_equal(in8(&c.b, IIR), 0x06);
	assert_int_equal(in8(&c.b, LSR), 0x63);
	assert_int_equal(in8(&c.b, LSR), 0x61); /* cleared by reading */
	assert_int_equal(in8(&c.b, RBR), 'q');
	assert_false(c.b.level[IRQ]);
	/* The host's input is not seen. */
	type(&c, "z");
	assert_int_equal(in8(&c.b, LSR), 0x60);
	out8(&c.b, MCR, 0x00);
	board_settle(&c.b, 20);
	assert_int_equal(in8(&c.b, LSR), 0x60);
	teardown(&c);
}

static void
test_loopback_fifo(void **state)
{
	struct com c;

	setup(&c);
	out8(&c.b, FCR, 0x01);
	out8(&c.b, MCR, 0x10);
	for (uint8_t i = 0; i < 17; i++)
		out8(&c.b, RBR, i);
	assert_int_equal(in8(&c.b, LSR), 0x63);
	for (uint8_t i = 0; i < 16; i++)
		assert_int_equal(in8(&c.b, RBR), i);
	assert_int_equal(in8(&c.b, RBR), 0xff);
	teardown(&c);
}

static void
test_modem(void **state)
{
	struct com c;

	setup(&c);
	out8(&c.b, IER, 0x08);
	out8(&c.b, MCR, 0x0b); /* outside loopback: no inputs */
	assert_int_equal(in8(&c.b, MSR), 0);
	out8(&c.b, MCR, 0x1b); /* RTS DTR OUT2 */
	assert_true(c.b.level[IRQ]);
	assert_int_equal(in8(&c.b, IIR), 0x00);
	assert_int_equal(in8(&c.b, MSR), 0xbb); /* CTS DSR DCD, deltas */
	assert_false(c.b.level[IRQ]);
	assert_int_equal(in8(&c.b, MSR), 0xb0);
	out8(&c.b, MCR, 0x1f); /* RI up: no delta */
	assert_int_equal(in8(&c.b, MSR), 0xf0);
	out8(&c.b, MCR, 0x1b); /* RI down: TERI */
	assert_int_equal(in8(&c.b, MSR), 0xb4);
	out8(&c.b, MCR, 0x00);
	assert_int_equal(in8(&c.b, MSR), 0x0b);
	teardown(&c);
}

static void
test_priority(void **state)
{
	struct com c;

	setup(&c);
	out8(&c.b, IER, 0x0f);
	out8(&c.b, MCR, 0x13);
	out8(&c.b, RBR, 1);
	out8(&c.b, RBR, 2);
	assert_int_equal(in8(&c.b, IIR), 0x06);
	in8(&c.b, LSR);
	assert_int_equal(in8(&c.b, IIR), 0x0c);
	in8(&c.b, RBR);
	assert_int_equal(in8(&c.b, IIR), 0x02);
	assert_true(c.b.level[IRQ]);
	assert_int_equal(in8(&c.b, IIR), 0x00);
	in8(&c.b, MSR);
	assert_int_equal(in8(&c.b, IIR), 0x01);
	assert_false(c.b.level[IRQ]);
	assert_int_equal(c.b.edges[IRQ], 1); /* held through all of them */
	teardown(&c);
}

/* A reader that stopped: THRE goes low, and comes back with an interrupt. */
static void
test_back_pressure(void **state)
{
	static uint8_t drain[1 << 20];
	struct com c;
	size_t sent = 0, got = 0;
	ssize_t n;

	setup(&c);
	out8(&c.b, IER, 0x02);
	in8(&c.b, IIR);
	while ((in8(&c.b, LSR) & 0x20) != 0) {
		out8(&c.b, RBR, (uint8_t)sent++);
		assert_true(sent < 1000000);
	}
	assert_true(sent > 65536);
	assert_int_equal(in8(&c.b, LSR), 0x00);
	assert_int_equal(in8(&c.b, IIR), 0x01);
	assert_false(c.b.level[IRQ]);
	board_settle(&c.b, 0);
	assert_int_equal(in8(&c.b, LSR), 0x00);
	/* Enabling the interrupt anew does not make it true. */
	out8(&c.b, IER, 0x00);
	out8(&c.b, IER, 0x02);
	assert_false(c.b.level[IRQ]);
	for (int idle = 0; got < sent && idle < 100;) {
		n = read(c.master, drain + got, sizeof(drain) - got);
		if (n > 0) {
			got += (size_t)n;
			continue;
		}
		idle++;
		board_settle(&c.b, 20);
	}
	board_settle(&c.b, 20);
	assert_int_equal(got, sent);
	for (size_t i = 0; i < got; i++)
		assert_int_equal(drain[i], (uint8_t)i);
	assert_int_equal(in8(&c.b, LSR), 0x60);
	assert_true(c.b.level[IRQ]);
	assert_int_equal(in8(&c.b, IIR), 0x02);
	/* And the loop is idle again. */
	assert_int_equal(vm_event_poll(c.b.ctx, 0), 0);
	teardown(&c);
}

static void
test_end_of_input(void **state)
{
	struct com c;

	setup(&c);
	close(c.master);
	board_settle(&c.b, 20); /* ends, does not spin */
	assert_int_equal(in8(&c.b, LSR), 0x60);
	out8(&c.b, RBR, 'x');
	assert_int_equal(in8(&c.b, LSR), 0x60);
	c.master = -1;
	teardown(&c);
}

static void
test_no_backend(void **state)
{
	struct board b;

	board_init(&b);
	assert_int_equal(comport_create(b.ctx, "com2", 0x2f8, 3, NULL), 0);
	out8(&b, 0x2f9, 0x02);
	assert_true(b.level[3]);
	in8(&b, 0x2fa);
	out8(&b, 0x2f8, 'x');
	assert_true(b.level[3]);
	assert_int_equal(in8(&b, 0x2fd), 0x60);
	board_fini(&b);
}

static void
note_irq(bool level, void *arg)
{
	*(int *)arg = level;
}

/* As the PCI uart has it: no ports, another's lock and line. */
static void
test_registers_alone(void **state)
{
	struct lock lock = LOCK_INITIALIZER;
	struct board b;
	struct ns16550 *u;
	int level = -1;

	board_init(&b);
	assert_int_equal(ns16550_create(&(struct ns16550_port){ .ctx = b.ctx,
					    .lock = &lock,
					    .set_irq = note_irq,
					    .arg = &level },
			     NULL, &u),
	    0);
	assert_int_equal(in8(&b, 0), 0xff);
	ns16550_write(u, 1, 0x02);
	assert_int_equal(level, 1);
	assert_int_equal(ns16550_read(u, 2), 0x02);
	assert_int_equal(level, 0);
	ns16550_write(u, 7, 0x34);
	assert_int_equal(ns16550_read(u, 7), 0x34);
	assert_int_equal(ns16550_read(u, 8), 0xff);
	ns16550_write(u, 8, 0);
	ns16550_write(u, UINT32_MAX, 0);
	ns16550_write(u, 1, 0x00);
	ns16550_write(u, 0, 'x');
	assert_int_equal(level, 0);
	ns16550_destroy(u);
	ns16550_destroy(NULL);
	board_fini(&b);
}

static void
test_pause(void **state)
{
	struct com c;

	setup(&c);
	chips_pause(c.b.ctx);
	type(&c, "k");
	assert_int_equal(in8(&c.b, LSR), 0x60);
	chips_resume(c.b.ctx);
	board_settle(&c.b, 20);
	assert_int_equal(in8(&c.b, RBR), 'k');
	teardown(&c);
}

static void
test_reset_and_snapshot(void **state)
{
	struct com c, d;

	setup(&c);
	setup(&d);
	out8(&c.b, FCR, 0x81);
	out8(&c.b, IER, 0x03);
	out8(&c.b, LCR, 0x1b);
	out8(&c.b, MCR, 0x0b);
	out8(&c.b, SCR, 0x42);
	type(&c, "saved");
	assert_int_equal(board_load(&d.b, board_save(&c.b)), 0);
	assert_true(d.b.level[IRQ]);
	assert_int_equal(in8(&d.b, IER), 0x03);
	assert_int_equal(in8(&d.b, LCR), 0x1b);
	assert_int_equal(in8(&d.b, MCR), 0x0b);
	assert_int_equal(in8(&d.b, SCR), 0x42);
	for (const char *p = "saved"; *p != '\0'; p++)
		assert_int_equal(in8(&d.b, RBR), *p);
	assert_int_equal(in8(&d.b, IIR), 0xc2); /* THRE was pending */
	chips_reset(c.b.ctx);
	assert_false(c.b.level[IRQ]);
	assert_int_equal(in8(&c.b, LSR), 0x60);
	assert_int_equal(in8(&c.b, IER), 0);
	assert_int_equal(in8(&c.b, IIR), 0x01);
	assert_int_equal(in8(&c.b, SCR), 0);
	teardown(&c);
	teardown(&d);
}

/* A byte that waited in the THR is sent by whoever loads it. */
static void
test_snapshot_full_thr(void **state)
{
	struct com c;
	struct snap *s;

	setup(&c);
	out8(&c.b, IER, 0x02);
	in8(&c.b, IIR);
	s = board_spoil(board_save(&c.b), "ns16550", 10, 1);
	s = board_spoil(s, "ns16550", 11, 'T');
	assert_int_equal(board_load(&c.b, s), 0);
	assert_output(&c, "T");
	assert_int_equal(in8(&c.b, LSR), 0x60);
	assert_true(c.b.level[IRQ]);
	teardown(&c);
}

static void
test_bad_snapshot(void **state)
{
	static const struct {
		size_t off;
		uint8_t val;
	} bad[] = { { 2, 0x10 }, { 3, 0x02 }, { 5, 0x20 }, { 8, 0x80 },
		{ 9, 2 }, { 10, 2 }, { 12, 16 }, { 13, 2 } };
	struct com c;

	setup(&c);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(
		    board_load(&c.b, board_spoil(board_save(&c.b), "ns16550",
					 bad[i].off, bad[i].val)),
		    -EINVAL);
	assert_int_equal(in8(&c.b, LSR), 0x60);
	teardown(&c);
}

/* On failure the backend stays the caller's. */
static void
test_taken(void **state)
{
	struct com c;
	struct chardev *cd;
	char err[64];

	setup(&c);
	assert_int_equal(char_open("null", &cd, err, sizeof(err)), 0);
	assert_int_equal(
	    comport_create(c.b.ctx, "com1", COM, IRQ, cd), -EEXIST);
	char_close(cd);
	out8(&c.b, RBR, 'o');
	assert_output(&c, "o");
	teardown(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_on),
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_divisor),
		cmocka_unit_test(test_widths),
		cmocka_unit_test(test_transmit),
		cmocka_unit_test(test_thre_interrupt),
		cmocka_unit_test(test_receive),
		cmocka_unit_test(test_receive_fifo),
		cmocka_unit_test(test_full_fifo_is_quiet),
		cmocka_unit_test(test_fcr),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_loopback_fifo),
		cmocka_unit_test(test_modem),
		cmocka_unit_test(test_priority),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_end_of_input),
		cmocka_unit_test(test_no_backend),
		cmocka_unit_test(test_registers_alone),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_reset_and_snapshot),
		cmocka_unit_test(test_snapshot_full_thr),
		cmocka_unit_test(test_bad_snapshot),
		cmocka_unit_test(test_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
