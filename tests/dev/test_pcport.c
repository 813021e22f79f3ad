/* SPDX-License-Identifier: BSD-2-Clause */
/* The PC's single ports: reset, POST, port 92, notify, delays. */
#include "board.h"

#include <errno.h>

#include <chip/chips.h>

static int
dummy_pio(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	return 0;
}

static void
setup(struct board *b)
{
	board_init(b);
	assert_int_equal(pcport_create(b->ctx), 0);
}

static void
test_reset_control(void **state)
{
	struct board b;

	setup(&b);
	assert_int_equal(in8(&b, 0xcf9), 0);
	out8(&b, 0xcf9, 0x02);
	assert_int_equal(in8(&b, 0xcf9), 0x02);
	assert_int_equal(vm_suspended(b.ctx), VM_SUSPEND_NONE);
	assert_int_equal(board_in(&b, 0xcf9, 2), 0xffff);
	board_out(&b, 0xcf9, 2, 0x0606);
	assert_int_equal(vm_suspended(b.ctx), VM_SUSPEND_NONE);
	out8(&b, 0xcf9, 0x06);
	assert_int_equal(vm_suspended(b.ctx), VM_SUSPEND_RESET);
	chips_reset(b.ctx);
	assert_int_equal(in8(&b, 0xcf9), 0);
	board_fini(&b);
}

static void
test_soft_reset(void **state)
{
	struct board b;

	setup(&b);
	out8(&b, 0xcf9, 0x04);
	assert_int_equal(vm_suspended(b.ctx), VM_SUSPEND_RESET);
	board_fini(&b);
}

static void
test_port92(void **state)
{
	struct board b;

	setup(&b);
	assert_int_equal(in8(&b, 0x92), 0x02);
	out8(&b, 0x92, 0x00);
	assert_int_equal(in8(&b, 0x92), 0x00);
	out8(&b, 0x92, 0x02);
	assert_int_equal(in8(&b, 0x92), 0x02);
	assert_int_equal(vm_suspended(b.ctx), VM_SUSPEND_NONE);
	assert_int_equal(board_in(&b, 0x92, 4), UINT32_MAX);
	out8(&b, 0x92, 0x03);
	assert_int_equal(vm_suspended(b.ctx), VM_SUSPEND_RESET);
	board_fini(&b);
}

static void
test_silent_ports(void **state)
{
	static const uint16_t ports[] = { 0x80, 0x84, 0xed };
	struct board b;

	setup(&b);
	for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
		out8(&b, ports[i], 0x55);
		assert_int_equal(in8(&b, ports[i]), 0xff);
	}
	board_fini(&b);
}

struct heard {
	unsigned int n, bytes;
	uint32_t val;
	struct vcpu *vcpu;
};

static void
hear(struct vcpu *vcpu, uint32_t val, unsigned int bytes, void *arg)
{
	struct heard *h = arg;

	*h = (struct heard){ h->n + 1, bytes, val, vcpu };
}

static void
test_host_notify(void **state)
{
	struct heard h = { 0 };
	struct board b;

	setup(&b);
	board_out(&b, 0x488, 4, 1); /* nobody listens */
	vm_set_host_notify(b.ctx, hear, &h);
	board_out(&b, 0x488, 4, 0x12345678);
	assert_true(h.val == 0x12345678 && h.bytes == 4 && h.vcpu == b.vcpu);
	board_out(&b, 0x488, 1, 0xab);
	assert_true(h.val == 0xab && h.bytes == 1);
	board_out(&b, 0x488, 2, 0xcdef);
	assert_true(h.val == 0xcdef && h.bytes == 2);
	assert_int_equal(board_in(&b, 0x488, 4), UINT32_MAX);
	assert_int_equal(h.n, 3);
	assert_int_equal(vcpu_stats(b.vcpu)[VMSTAT_HOST_NOTIFY], 4);
	board_fini(&b);
}

static void
test_snapshot(void **state)
{
	struct board b, c;

	setup(&b);
	setup(&c);
	out8(&b, 0xcf9, 0x0a);
	out8(&b, 0x92, 0x00);
	assert_int_equal(board_load(&c, board_save(&b)), 0);
	assert_int_equal(in8(&c, 0xcf9), 0x0a);
	assert_int_equal(in8(&c, 0x92), 0x00);
	board_fini(&b);
	board_fini(&c);
}

/* A taken port: what was registered before it is given back. */
static void
test_taken_port(void **state)
{
	struct pio_range range = { .name = "x", .port = 0xcf9, .len = 1 };
	struct board b;

	setup(&b);
	assert_int_equal(pcport_create(b.ctx), -EEXIST);
	assert_int_equal(in8(&b, 0x92), 0x02);
	board_fini(&b);

	board_init(&b);
	range.fn = dummy_pio;
	assert_int_equal(bus_pio_register(b.ctx, &range), 0);
	assert_int_equal(pcport_create(b.ctx), -EEXIST);
	assert_int_equal(bus_pio_unregister(b.ctx, 0xcf9, 1), 0);
	assert_int_equal(pcport_create(b.ctx), 0);
	board_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reset_control),
		cmocka_unit_test(test_soft_reset),
		cmocka_unit_test(test_port92),
		cmocka_unit_test(test_silent_ports),
		cmocka_unit_test(test_host_notify),
		cmocka_unit_test(test_snapshot),
		cmocka_unit_test(test_taken_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
