/* SPDX-License-Identifier: BSD-2-Clause */
/* bvmcons and bvmdbg: signatures, the byte pipe, nobody at the other end. */
#include "board.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <backend/char.h>
#include <chip/chips.h>

#define CONS 0x220
#define DBG  0x224

static int
cons_setup(struct board *b, int *ret_slave)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	struct chardev *cd;
	char path[64], err[128];

	board_init(b);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	assert_int_equal(ptsname_r(master, path, sizeof(path)), 0);
	*ret_slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_int_equal(char_open(path, &cd, err, sizeof(err)), 0);
	assert_int_equal(bvmcons_create(b->ctx, cd), 0);
	return master;
}

static void
cons_teardown(struct board *b, int master, int slave)
{
	board_fini(b);
	close(master);
	close(slave);
}

static void
test_cons(void **state)
{
	struct board b;
	int slave, master = cons_setup(&b, &slave);
	char buf[8] = "";

	assert_int_equal(board_in(&b, CONS, 2), 0x6276);
	assert_int_equal(board_in(&b, CONS, 1), 0xff);
	assert_int_equal(board_in(&b, CONS, 4), UINT32_MAX);
	board_out(&b, CONS, 4, 0xffffff41);
	board_out(&b, CONS, 1, 'x'); /* no such access */
	board_out(&b, CONS, 2, 'y');
	assert_int_equal(board_read_fd(master, buf, 1), 1);
	assert_int_equal(read(master, buf + 1, 1), -1);
	assert_string_equal(buf, "A");
	assert_int_equal(write(master, "z\xff", 2), 2);
	board_wait_fd(slave);
	board_settle(&b, 20);
	assert_int_equal(board_in(&b, CONS, 4), 'z');
	assert_int_equal(board_in(&b, CONS, 4), 0xff);
	assert_int_equal(board_in(&b, CONS, 4), UINT32_MAX);
	assert_int_equal(board_in(&b, CONS + 1, 1), 0xff); /* one port long */
	cons_teardown(&b, master, slave);
}

/* More input than the ring holds waits with the host. */
static void
test_cons_much_input(void **state)
{
	struct board b;
	int slave, master = cons_setup(&b, &slave);
	uint8_t text[1000];
	size_t got = 0;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 3);
	assert_int_equal(write(master, text, sizeof(text)), sizeof(text));
	board_wait_fd(slave);
	board_settle(&b, 20);
	assert_int_equal(vm_event_poll(b.ctx, 0), 0);
	while (got < sizeof(text)) {
		uint32_t val = board_in(&b, CONS, 4);

		if (val == UINT32_MAX) {
			assert_true(vm_event_poll(b.ctx, 1000) > 0);
			continue;
		}
		assert_int_equal(val, text[got++]);
	}
	cons_teardown(&b, master, slave);
}

/* Nobody reads: output is kept up to a bound, then lost; never a wait. */
static void
test_cons_much_output(void **state)
{
	static uint8_t drain[1 << 20];
	struct board b;
	int slave, master = cons_setup(&b, &slave);
	size_t got = 0, first;
	ssize_t n;

	for (unsigned int i = 0; i < 300000; i++)
		board_out(&b, CONS, 4, i & 0xff);
	for (int idle = 0; idle < 10; idle++) {
		while (
		    (n = read(master, drain + got, sizeof(drain) - got)) > 0) {
			got += (size_t)n;
			idle = 0;
		}
		board_settle(&b, 20);
	}
	assert_true(got >= 65536 && got < 300000);
	for (first = 0; first < got; first++)
		assert_int_equal(drain[first], first & 0xff);
	board_out(&b, CONS, 4, 0x77); /* works again */
	assert_int_equal(board_read_fd(master, drain, 1), 1);
	cons_teardown(&b, master, slave);
}

static void
test_cons_life(void **state)
{
	struct board b, c;
	int slave, master = cons_setup(&b, &slave);
	int slave2, master2 = cons_setup(&c, &slave2);
	struct chardev *cd;
	char err[64];

	assert_int_equal(char_open("null", &cd, err, sizeof(err)), 0);
	assert_int_equal(bvmcons_create(b.ctx, cd), -EEXIST);
	char_close(cd);
	assert_int_equal(write(master, "save", 4), 4);
	board_wait_fd(slave);
	board_settle(&b, 20);
	assert_int_equal(board_load(&c, board_save(&b)), 0);
	assert_int_equal(board_in(&c, CONS, 4), 's');
	chips_pause(b.ctx);
	assert_int_equal(write(master, "x", 1), 1);
	board_wait_fd(slave);
	board_settle(&b, 20);
	chips_resume(b.ctx);
	chips_reset(b.ctx);
	assert_int_equal(board_in(&b, CONS, 4), UINT32_MAX);
	board_settle(&b, 20);
	assert_int_equal(board_in(&b, CONS, 4), 'x');
	assert_int_equal(
	    board_load(&c, board_spoil(board_save(&b), "bvmcons", 1, 1)),
	    -EINVAL); /* head */
	assert_int_equal(
	    board_load(&c, board_spoil(board_save(&b), "bvmcons", 6, 1)),
	    -EINVAL); /* len */
	cons_teardown(&b, master, slave);
	cons_teardown(&c, master2, slave2);
}

/* --- bvmdbg --------------------------------------------------------------- */

static uint16_t
dbg_setup(struct board *b)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	close(fd);
	board_init(b);
	assert_int_equal(bvmdbg_create(b->ctx, NULL, ntohs(sin.sin_port)), 0);
	return ntohs(sin.sin_port);
}

static int
dbg_connect(uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	return fd;
}

static void
test_dbg(void **state)
{
	struct board b;
	uint16_t port = dbg_setup(&b);
	char buf[8] = "";
	int fd;

	assert_int_equal(board_in(&b, DBG, 2), 0x4256);
	assert_int_equal(board_in(&b, DBG, 1), 0xff);
	/* Nobody is connected: no wait. */
	assert_int_equal(board_in(&b, DBG, 4), UINT32_MAX);
	board_out(&b, DBG, 4, '$');
	fd = dbg_connect(port);
	board_settle(&b, 20);
	board_out(&b, DBG, 4, '+');
	board_out(&b, DBG, 2, '!');
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 1);
	assert_string_equal(buf, "+");
	assert_int_equal(send(fd, "g\x80", 2, 0), 2);
	board_settle(&b, 20);
	assert_int_equal(board_in(&b, DBG, 4), 'g');
	assert_int_equal(board_in(&b, DBG, 4), 0x80); /* not sign-extended */
	assert_int_equal(board_in(&b, DBG, 4), UINT32_MAX);
	close(fd);
	board_settle(&b, 20);
	/* The next debugger. */
	fd = dbg_connect(port);
	board_settle(&b, 20);
	assert_int_equal(send(fd, "k", 1, 0), 1);
	board_settle(&b, 20);
	assert_int_equal(board_in(&b, DBG, 4), 'k');
	close(fd);
	board_fini(&b);
}

static void
test_dbg_errors(void **state)
{
	struct board b, c;
	uint16_t port = dbg_setup(&b);

	board_init(&c);
	assert_int_equal(bvmdbg_create(c.ctx, NULL, port), -EADDRINUSE);
	assert_int_equal(bvmdbg_create(c.ctx, NULL, 0), -EINVAL);
	assert_int_equal(bvmdbg_create(c.ctx, "not:an:addr", 99), -EINVAL);
	assert_int_equal(board_in(&c, DBG, 2), 0xffff);
	board_fini(&c);
	board_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cons),
		cmocka_unit_test(test_cons_much_input),
		cmocka_unit_test(test_cons_much_output),
		cmocka_unit_test(test_cons_life),
		cmocka_unit_test(test_dbg),
		cmocka_unit_test(test_dbg_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
