/* SPDX-License-Identifier: BSD-2-Clause */
/* The small PCI models: uart on a pseudo-terminal, dummy. */
#include "pci_board.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <backend/char.h>
#include <conf/conf.h>

#define D1  BDF(0, 3, 0)
#define IO  0x2000 /* BAR 0 */
#define GSI 23	   /* slot 3, INTA */

/* --- uart ----------------------------------------------------------------- */

struct uart_board {
	struct pci_board p;
	struct conf *conf;
	int master;
	unsigned int heard; /* character backends */
};

static void
on_char(const char *spec, struct chardev *cd, void *arg)
{
	struct uart_board *u = arg;

	assert_non_null(cd);
	assert_string_equal(spec, ptsname(u->master));
	u->heard++;
}

static void
uart_setup(struct uart_board *u)
{
	struct termios t;
	char err[256] = "";

	*u = (struct uart_board){ .conf = conf_create() };
	u->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	assert_int_equal(grantpt(u->master) | unlockpt(u->master), 0);
	assert_int_equal(tcgetattr(u->master, &t), 0);
	cfmakeraw(&t);
	assert_int_equal(tcsetattr(u->master, TCSANOW, &t), 0);
	conf_set_raw(u->conf, "pci.0.3.0.device", "uart");
	conf_set_raw(u->conf, "pci.0.3.0.path", ptsname(u->master));
	pci_board_init(&u->p);
	pci_bus_on_char(u->p.bus, on_char, u);
	if (pci_dev_create(u->p.bus, pci_dev_find("uart"), u->conf, 0, 3, 0,
		err, sizeof(err)) != 0)
		fail_msg("%s", err);
	assert_int_equal(u->heard, 1);
}

static void
uart_teardown(struct uart_board *u)
{
	pci_board_fini(&u->p);
	conf_destroy(u->conf);
	close(u->master);
}

static void
test_uart_identity(void **state)
{
	struct pci_board p;

	pci_board_init(&p);
	pci_board_add(&p, "uart", 0, 3, 0);
	assert_int_equal(cfg_read(&p, D1, 0, 4), 0x2000131f);
	assert_int_equal(cfg_read(&p, D1, 8, 4), 0x07000200);
	assert_int_equal(cfg_read(&p, D1, R_BAR(0), 4), IO | 1);
	assert_int_equal(cfg_read(&p, D1, R_INTPIN, 1), 1);
	/* Without a backend output is dropped. */
	out8(&p.b, IO, 'x');
	assert_int_equal(in8(&p.b, IO + 5), 0x60);
	pci_board_fini(&p);
}

static void
test_uart_io(void **state)
{
	struct uart_board u;
	char got[2];

	uart_setup(&u);
	out8(&u.p.b, IO, 'h');
	out8(&u.p.b, IO, 'i');
	assert_int_equal(board_read_fd(u.master, got, 2), 2);
	assert_memory_equal(got, "hi", 2);
	/* Registers at every width. */
	out8(&u.p.b, IO + 7, 0x5a);
	board_out(&u.p.b, IO + 3, 2, 0x0b03);
	assert_int_equal(board_in(&u.p.b, IO + 4, 4), 0x5a00600b);
	board_out(&u.p.b, IO + 4, 1, 0);
	/* Input raises the wire; reading it ends that. */
	out8(&u.p.b, IO + 1, 0x01);
	assert_int_equal(write(u.master, "k", 1), 1);
	for (unsigned int i = 0; i < 100 && !u.p.b.level[GSI]; i++)
		board_settle(&u.p.b, 20);
	assert_true(u.p.b.level[GSI]);
	assert_int_equal(cfg_read(&u.p, D1, R_STATUS, 2) & 8, 8);
	assert_int_equal(in8(&u.p.b, IO), 'k');
	assert_false(u.p.b.level[GSI]);
	/* Moved while in use. */
	cfg_write(&u.p, D1, R_BAR(0), 4, 0x6000);
	assert_int_equal(in8(&u.p.b, 0x6007), 0x5a);
	uart_teardown(&u);
}

static void
test_uart_reset_and_snapshot(void **state)
{
	struct pci_board p, q;

	pci_board_init(&p);
	pci_board_init(&q);
	pci_board_add(&p, "uart", 0, 3, 0);
	pci_board_add(&q, "uart", 0, 3, 0);
	out8(&p.b, IO + 7, 0x5a);
	out8(&p.b, IO + 1, 0x02);
	assert_true(p.b.level[GSI]);
	assert_int_equal(board_load(&q.b, board_save(&p.b)), 0);
	assert_true(q.b.level[GSI]);
	assert_int_equal(in8(&q.b, IO + 7), 0x5a);
	assert_int_equal(in8(&q.b, IO + 2), 0x02);
	assert_false(q.b.level[GSI]);
	chips_pause(p.b.ctx);
	chips_resume(p.b.ctx);
	chips_reset(p.b.ctx);
	assert_false(p.b.level[GSI]);
	assert_int_equal(in8(&p.b, IO + 7), 0);
	out8(&p.b, IO + 1, 0x02);
	assert_true(p.b.level[GSI]);
	pci_board_fini(&p);
	pci_board_fini(&q);
}

static void
test_uart_bad_path(void **state)
{
	struct conf *conf = conf_create();
	struct pci_board p;
	char err[256] = "";

	conf_set_raw(conf, "pci.0.3.0.path", "warpdrive");
	pci_board_init(&p);
	assert_int_equal(pci_dev_create(p.bus, pci_dev_find("uart"), conf, 0, 3,
			     0, err, sizeof(err)),
	    -EINVAL);
	assert_non_null(strstr(err, "warpdrive"));
	assert_int_equal(cfg_read(&p, D1, 0, 4), UINT32_MAX);
	pci_board_fini(&p);
	conf_destroy(conf);
}

/* --- dummy ---------------------------------------------------------------- */

static void
test_dummy(void **state)
{
	struct pci_board p, q;
	uint32_t bar1;
	unsigned int msi, msix;

	pci_board_init(&p);
	pci_board_init(&q);
	pci_board_add(&p, "dummy", 0, 3, 0);
	pci_board_add(&q, "dummy", 0, 3, 0);
	assert_int_equal(cfg_read(&p, D1, 0, 4), 0x000110dd);
	assert_int_equal(cfg_read(&p, D1, R_BAR(0), 4), IO | 1);
	bar1 = cfg_read(&p, D1, R_BAR(1), 4);
	msi = cfg_cap(&p, D1, CAP_MSI);
	msix = cfg_cap(&p, D1, CAP_MSIX);
	assert_int_equal(cfg_read(&p, D1, msi + 2, 2), 0x184);
	assert_int_equal(cfg_read(&p, D1, msix + 2, 2), 7);
	board_out(&p.b, IO, 4, 1);
	assert_true(p.b.level[GSI]);
	board_write(&p.b, bar1 + 0x20, 8, 0x1122334455667788);
	/* A length beyond the BAR's memory is refused. */
	board_write(&p.b, bar1 + 0xff8, 4, 0xff1);
	board_write(&p.b, bar1 + 0xffc, 4, 2);
	assert_int_equal(board_read(&p.b, bar1 + 0xffc, 4), 1);
	assert_int_equal(board_load(&q.b, board_save(&p.b)), 0);
	assert_true(q.b.level[GSI]);
	assert_int_equal(board_in(&q.b, IO, 4), 1);
	assert_true(board_read(&q.b, bar1 + 0x20, 8) == 0x1122334455667788);
	chips_reset(p.b.ctx);
	assert_false(p.b.level[GSI]);
	assert_int_equal(board_in(&p.b, IO, 4), 0);
	assert_true(board_read(&p.b, bar1 + 0x20, 8) == 0);
	/* The vector register: MSI, or MSI-X. */
	cfg_write(&p, D1, msi + 4, 4, 0xfee00000);
	cfg_write(&p, D1, msi + 12, 2, 0x40);
	cfg_write(&p, D1, msi + 2, 2, 0x21);
	board_out(&p.b, IO + 4, 4, 3);
	assert_int_equal(p.b.msi_data, 0x43);
	cfg_write(&p, D1, msi + 2, 2, 0);
	cfg_write(&p, D1, msix + 2, 2, 0x8000);
	board_out(&p.b, IO + 4, 4, 3);
	assert_int_equal(p.b.msis, 1);
	assert_int_equal(
	    board_read(&p.b, cfg_read(&p, D1, R_BAR(2), 4) + 0x800, 8), 8);
	pci_board_fini(&p);
	pci_board_fini(&q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uart_identity),
		cmocka_unit_test(test_uart_io),
		cmocka_unit_test(test_uart_reset_and_snapshot),
		cmocka_unit_test(test_uart_bad_path),
		cmocka_unit_test(test_dummy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
