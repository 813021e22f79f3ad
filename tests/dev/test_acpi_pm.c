/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI fixed hardware and the PM timer. */
#include "board.h"

#include <errno.h>

#include <chip/chips.h>

#define STS 0x400
#define EN  0x402
#define CNT 0x404
#define SMI 0xb2
#define TMR 0x408

static struct acpi_pm *
setup(struct board *b)
{
	struct acpi_pm *pm;

	board_init(b);
	assert_int_equal(acpi_pm_create(b->ctx, &pm), 0);
	assert_int_equal(pmtimer_create(b->ctx), 0);
	return pm;
}

static void
test_enable_by_smi(void **state)
{
	struct board b;

	setup(&b);
	assert_int_equal(board_in(&b, CNT, 2), 0);
	out8(&b, SMI, 0xa0);
	assert_int_equal(board_in(&b, CNT, 2), 1);
	/* The guest cannot switch it by writing. */
	board_out(&b, CNT, 2, 0);
	assert_int_equal(board_in(&b, CNT, 2), 1);
	out8(&b, SMI, 0x55);
	assert_int_equal(board_in(&b, CNT, 2), 1);
	assert_int_equal(in8(&b, SMI), 0x55);
	out8(&b, SMI, 0xa1);
	assert_int_equal(board_in(&b, CNT, 2), 0);
	board_out(&b, CNT, 2, 1);
	assert_int_equal(board_in(&b, CNT, 2), 0);
	assert_int_equal(board_in(&b, SMI, 2), 0xffff);
	board_fini(&b);
}

static void
test_power_button(void **state)
{
	struct board b;
	struct acpi_pm *pm = setup(&b);

	assert_false(acpi_pm_power_button(pm)); /* neither SCI_EN nor EN */
	board_out(&b, STS, 2, 0x100);
	out8(&b, SMI, 0xa0);
	assert_false(acpi_pm_button_is_watched(pm));
	assert_false(acpi_pm_power_button(pm));
	assert_int_equal(board_in(&b, STS, 2), 0x100);
	assert_false(b.level[9]);
	/* Enabling with the status already set raises the SCI. */
	board_out(&b, EN, 2, 0xffff);
	assert_int_equal(board_in(&b, EN, 2), 0x720);
	assert_true(b.level[9]);
	board_out(&b, STS, 2, 0x8000); /* another bit */
	assert_true(b.level[9]);
	board_out(&b, STS, 2, 0x100);
	assert_false(b.level[9]);
	assert_int_equal(board_in(&b, STS, 2), 0);
	assert_true(acpi_pm_button_is_watched(pm));
	assert_true(acpi_pm_power_button(pm));
	assert_true(b.level[9]);
	/* Without SCI_EN events are the firmware's. */
	out8(&b, SMI, 0xa1);
	assert_false(b.level[9]);
	board_fini(&b);
}

static void
test_poweroff(void **state)
{
	struct board b;

	setup(&b);
	out8(&b, SMI, 0xa0);
	board_out(&b, CNT, 2, 5 << 10); /* type without SLP_EN */
	assert_int_equal(vm_suspended(b.ctx), VM_SUSPEND_NONE);
	assert_int_equal(board_in(&b, CNT, 2), 5 << 10 | 1);
	board_out(&b, CNT, 2, 5 << 10 | 0x2000);
	assert_int_equal(vm_suspended(b.ctx), VM_SUSPEND_POWEROFF);
	assert_int_equal(board_in(&b, CNT, 2) & 0x2000, 0);
	board_fini(&b);
}

/* The high byte alone holds type and enable. */
static void
test_poweroff_by_byte(void **state)
{
	struct board b;

	setup(&b);
	out8(&b, CNT + 1, (5 << 10 | 0x2000) >> 8);
	assert_int_equal(vm_suspended(b.ctx), VM_SUSPEND_POWEROFF);
	board_fini(&b);
}

static void
test_other_sleep_wakes(void **state)
{
	struct board b;

	setup(&b);
	board_out(&b, CNT, 2, 1 << 10 | 0x2000);
	assert_int_equal(vm_suspended(b.ctx), VM_SUSPEND_NONE);
	assert_int_equal(board_in(&b, STS, 2), 0x8000);
	board_out(&b, STS, 2, 0x8000);
	assert_int_equal(board_in(&b, STS, 2), 0);
	board_fini(&b);
}

static void
test_control_masks(void **state)
{
	struct board b;

	setup(&b);
	board_out(&b, CNT, 2, 0xdfff); /* all but SLP_EN */
	assert_int_equal(board_in(&b, CNT, 2), 0x1ff8);
	board_fini(&b);
}

static void
test_widths(void **state)
{
	struct board b;
	struct acpi_pm *pm = setup(&b);

	acpi_pm_power_button(pm);
	board_out(&b, EN, 2, 0x0120);
	assert_int_equal(board_in(&b, STS, 4), 0x01200100);
	assert_int_equal(in8(&b, STS + 1), 0x01);
	assert_int_equal(in8(&b, EN), 0x20);
	assert_int_equal(board_in(&b, STS + 1, 2), 0x2001);
	out8(&b, EN, 0x00); /* leaves the other byte */
	assert_int_equal(board_in(&b, EN, 2), 0x0100);
	out8(&b, STS, 0xff); /* the low byte clears nothing of the high */
	assert_int_equal(board_in(&b, STS, 2), 0x0100);
	board_out(&b, STS, 4, 0x01200100);
	assert_int_equal(board_in(&b, STS, 4), 0x01200000);
	board_out(&b, STS + 1, 2, 0x0001);
	assert_int_equal(board_in(&b, EN, 2), 0x0100);
	/* Past the last register. */
	assert_int_equal(board_in(&b, CNT, 4), 0);
	assert_int_equal(board_in(&b, CNT + 1, 4), 0);
	board_fini(&b);
}

static void
test_timer(void **state)
{
	struct board b;

	setup(&b);
	assert_int_equal(board_in(&b, TMR, 4), 0);
	vm_clock_advance(b.ctx, 1000 * MS);
	assert_int_equal(board_in(&b, TMR, 4), 3579545);
	assert_int_equal(board_in(&b, TMR, 2), 3579545 & 0xffff);
	assert_int_equal(in8(&b, TMR + 2), 3579545 >> 16 & 0xff);
	board_out(&b, TMR, 4, 0); /* read-only */
	assert_int_equal(board_in(&b, TMR, 4), 3579545);
	/* Around the 32-bit edge after about 20 minutes. */
	vm_clock_advance(b.ctx, 1199 * 1000 * MS);
	assert_int_equal(board_in(&b, TMR, 4), (uint32_t)(3579545ull * 1200));
	chips_reset(b.ctx);
	assert_int_equal(board_in(&b, TMR, 4), 0);
	board_fini(&b);
}

static void
test_reset_and_snapshot(void **state)
{
	struct board b, c;
	struct acpi_pm *pm = setup(&b);

	setup(&c);
	vm_clock_advance(b.ctx, 700 * MS);
	vm_clock_advance(c.ctx, 3 * MS);
	out8(&b, SMI, 0xa0);
	board_out(&b, EN, 2, 0x120);
	acpi_pm_power_button(pm);
	assert_int_equal(board_load(&c, board_save(&b)), 0);
	assert_true(c.level[9]);
	assert_int_equal(board_in(&c, STS, 4), 0x01200100);
	assert_int_equal(board_in(&c, CNT, 2), 1);
	assert_int_equal(in8(&c, SMI), 0xa0);
	assert_int_equal(board_in(&c, TMR, 4), board_in(&b, TMR, 4));
	/* A bit that no register has. */
	assert_int_equal(
	    board_load(&c, board_spoil(board_save(&b), "acpi_pm", 0, 0x41)),
	    -EINVAL);
	chips_reset(c.ctx);
	assert_false(c.level[9]);
	assert_int_equal(board_in(&c, STS, 4), 0);
	assert_int_equal(board_in(&c, CNT, 2), 0);
	board_fini(&b);
	board_fini(&c);
}

static void
test_taken(void **state)
{
	struct board b;

	setup(&b);
	assert_int_equal(acpi_pm_create(b.ctx, NULL), -EEXIST);
	assert_int_equal(pmtimer_create(b.ctx), -EEXIST);
	board_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_enable_by_smi),
		cmocka_unit_test(test_power_button),
		cmocka_unit_test(test_poweroff),
		cmocka_unit_test(test_poweroff_by_byte),
		cmocka_unit_test(test_other_sleep_wakes),
		cmocka_unit_test(test_control_masks),
		cmocka_unit_test(test_widths),
		cmocka_unit_test(test_timer),
		cmocka_unit_test(test_reset_and_snapshot),
		cmocka_unit_test(test_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
