/* SPDX-License-Identifier: BSD-2-Clause */
/* Keyboard controller: commands, what a probe sees, the reset line. */
#include "board.h"

#include <errno.h>

#include <chip/chips.h>

#define DATA 0x60
#define CMD  0x64

static void
setup(struct board *b)
{
	board_init(b);
	assert_int_equal(i8042_create(b->ctx), 0);
}

static uint8_t
ask(struct board *b, uint8_t cmd)
{
	out8(b, CMD, cmd);
	assert_int_equal(in8(b, CMD) & 0x03, 0x01); /* OBF, not IBF */
	return in8(b, DATA);
}

static void
test_power_on(void **state)
{
	struct board b;

	setup(&b);
	assert_int_equal(in8(&b, CMD), 0x10);
	assert_int_equal(in8(&b, DATA), 0x00);
	assert_int_equal(ask(&b, 0x20), 0x30);
	assert_int_equal(board_in(&b, CMD, 2), 0xffff);
	board_fini(&b);
}

static void
test_self_tests(void **state)
{
	struct board b;

	setup(&b);
	assert_int_equal(ask(&b, 0xaa), 0x55);
	assert_int_equal(in8(&b, CMD), 0x10 | 0x08 | 0x04);
	assert_int_equal(ask(&b, 0xab), 0x00);
	assert_int_not_equal(ask(&b, 0xa9), 0x00);
	assert_int_equal(ask(&b, 0xc0), 0x80);
	assert_int_equal(ask(&b, 0xe0), 0x00);
	board_fini(&b);
}

static void
test_command_byte(void **state)
{
	struct board b;

	setup(&b);
	out8(&b, CMD, 0x60);
	assert_true(in8(&b, CMD) & 0x08);
	out8(&b, DATA, 0x47);
	assert_false(in8(&b, CMD) & 0x08);
	assert_int_equal(ask(&b, 0x20), 0x47);
	out8(&b, CMD, 0xad);
	assert_int_equal(ask(&b, 0x20), 0x57);
	out8(&b, CMD, 0xa7);
	assert_int_equal(ask(&b, 0x20), 0x77);
	out8(&b, CMD, 0xae);
	out8(&b, CMD, 0xa8);
	assert_int_equal(ask(&b, 0x20), 0x47);
	board_fini(&b);
}

static void
test_ram(void **state)
{
	struct board b;

	setup(&b);
	for (uint8_t i = 1; i < 32; i++) {
		out8(&b, CMD, 0x60 + i);
		out8(&b, DATA, 0xc0 + i);
	}
	for (uint8_t i = 1; i < 32; i++)
		assert_int_equal(ask(&b, 0x20 + i), 0xc0 + i);
	board_fini(&b);
}

/* What Linux's i8042_check_aux() does: no AUX flag, so no such port. */
static void
test_no_aux(void **state)
{
	struct board b;

	setup(&b);
	out8(&b, CMD, 0xd3);
	out8(&b, DATA, 0x5a);
	assert_int_equal(in8(&b, CMD) & 0x21, 0x01);
	assert_int_equal(in8(&b, DATA), 0x5a);
	out8(&b, CMD, 0xd4);
	out8(&b, DATA, 0xf4);
	assert_int_equal(in8(&b, CMD) & 0x61, 0x61); /* time-out, at once */
	assert_int_equal(in8(&b, DATA), 0xfe);
	assert_int_equal(in8(&b, CMD) & 0x61, 0x00);
	board_fini(&b);
}

static void
test_no_keyboard(void **state)
{
	struct board b;

	setup(&b);
	out8(&b, DATA, 0xf2);
	assert_int_equal(in8(&b, CMD) & 0x61, 0x41);
	assert_int_equal(in8(&b, DATA), 0xfe);
	assert_int_equal(ask(&b, 0x20) & 0x10, 0); /* enabled by it */
	board_fini(&b);
}

static void
test_interrupt(void **state)
{
	struct board b;

	setup(&b);
	out8(&b, DATA, 0xf2);
	assert_int_equal(b.edges[1], 0); /* not enabled */
	out8(&b, CMD, 0x60);
	out8(&b, DATA, 0x01);
	assert_true(b.level[1]); /* the byte is still there */
	in8(&b, DATA);
	assert_false(b.level[1]);
	out8(&b, CMD, 0xd2);
	out8(&b, DATA, 0x1c);
	out8(&b, CMD, 0xd2);
	out8(&b, DATA, 0x9c);
	assert_int_equal(b.edges[1], 3); /* each byte is an edge */
	assert_int_equal(in8(&b, DATA), 0x9c);
	/* Nothing of the auxiliary port on IRQ 1. */
	out8(&b, CMD, 0xd4);
	out8(&b, DATA, 0xff);
	assert_false(b.level[1]);
	board_fini(&b);
}

static void
test_a20_and_output_port(void **state)
{
	struct board b;

	setup(&b);
	assert_int_equal(ask(&b, 0xd0) & 0x03, 0x03);
	out8(&b, CMD, 0xdd);
	assert_int_equal(ask(&b, 0xd0) & 0x03, 0x01);
	out8(&b, CMD, 0xdf);
	assert_int_equal(ask(&b, 0xd0) & 0x03, 0x03);
	out8(&b, CMD, 0xd1);
	out8(&b, DATA, 0xdd);
	assert_int_equal(ask(&b, 0xd0), 0xdd);
	out8(&b, CMD, 0xff); /* pulses nothing */
	out8(&b, CMD, 0xfd); /* A20 only */
	assert_int_equal(vm_suspended(b.ctx), VM_SUSPEND_NONE);
	out8(&b, CMD, 0xd1);
	out8(&b, DATA, 0xde);
	assert_int_equal(vm_suspended(b.ctx), VM_SUSPEND_RESET);
	board_fini(&b);
}

static void
test_pulse_resets(void **state)
{
	struct board b;

	setup(&b);
	out8(&b, CMD, 0xfe);
	assert_int_equal(vm_suspended(b.ctx), VM_SUSPEND_RESET);
	board_fini(&b);
}

/* A command ends what another waited for; unknown ones do nothing. */
static void
test_odd_commands(void **state)
{
	struct board b;

	setup(&b);
	out8(&b, CMD, 0x60);
	out8(&b, CMD, 0x00);
	out8(&b, CMD, 0xb5);
	assert_int_equal(in8(&b, CMD) & 0x01, 0);
	out8(&b, DATA, 0x01); /* for the keyboard now */
	assert_int_equal(in8(&b, DATA), 0xfe);
	assert_int_equal(ask(&b, 0x20) & 0x01, 0);
	board_fini(&b);
}

static void
test_reset_and_snapshot(void **state)
{
	struct board b, c;

	setup(&b);
	setup(&c);
	out8(&b, CMD, 0x60);
	out8(&b, DATA, 0x01);
	out8(&b, CMD, 0xd2);
	out8(&b, DATA, 0x77);
	out8(&b, CMD, 0x65); /* waits for RAM byte 5 */
	assert_int_equal(board_load(&c, board_save(&b)), 0);
	assert_true(c.level[1]);
	out8(&c, DATA, 0x99);
	assert_int_equal(in8(&c, DATA), 0x77);
	assert_int_equal(ask(&c, 0x25), 0x99);
	chips_reset(b.ctx);
	assert_false(b.level[1]);
	assert_int_equal(in8(&b, CMD), 0x10);
	/* data_for and ram_index out of range. */
	assert_int_equal(
	    board_load(&c, board_spoil(board_save(&b), "i8042", 35, 9)),
	    -EINVAL);
	assert_int_equal(
	    board_load(&c, board_spoil(board_save(&b), "i8042", 36, 32)),
	    -EINVAL);
	board_fini(&b);
	board_fini(&c);
}

static void
test_taken(void **state)
{
	struct board b;

	setup(&b);
	assert_int_equal(i8042_create(b.ctx), -EEXIST);
	assert_int_equal(in8(&b, CMD), 0x10);
	board_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_on),
		cmocka_unit_test(test_self_tests),
		cmocka_unit_test(test_command_byte),
		cmocka_unit_test(test_ram),
		cmocka_unit_test(test_no_aux),
		cmocka_unit_test(test_no_keyboard),
		cmocka_unit_test(test_interrupt),
		cmocka_unit_test(test_a20_and_output_port),
		cmocka_unit_test(test_pulse_resets),
		cmocka_unit_test(test_odd_commands),
		cmocka_unit_test(test_reset_and_snapshot),
		cmocka_unit_test(test_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
