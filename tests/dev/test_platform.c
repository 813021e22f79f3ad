/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_platform.c - the chips every machine has, made together, and what
 * libvmmapi asks them: the clock, CMOS memory, triggers, local interrupts.
 */
#include "fake_vmm.h"

#include <errno.h>

#include <chip/chips.h>
#include <vmm/platform.h>

#define APIC_BASE_EXTD 0x400u
#define ELCR	       0x4d0

struct fixture {
	struct vmctx *ctx;
	struct vcpu *cpu[2];
};

static int
setup(void **state)
{
	static struct fixture f;
	const struct vm_platform_opts opts = { .utc = true };
	const char *part;

	f.ctx = fake_vm_new(2);
	for (unsigned int i = 0; i < 2; i++)
		f.cpu[i] = vm_vcpu_get(f.ctx, i);
	assert_int_equal(vm_platform_create(f.ctx, &opts, &part), 0);
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	fake_vm_free(f->ctx);
	return 0;
}

static void
all_parts(void **state)
{
	struct fixture *f = *state;
	uint32_t caps = 0;

	assert_int_equal(vm_get_hpet_capabilities(f->ctx, &caps), 0);
	assert_int_equal(caps, 0x80860701);
	assert_int_equal(fake_mmio_read(f->cpu[0], 0xfed00000, 4), caps);
	/* Local APIC and I/O APIC have their versions, the others answer. */
	assert_int_equal(fake_mmio_read(f->cpu[0], 0xfee00030, 4) & 0xff, 0x14);
	fake_mmio_write(f->cpu[0], 0xfec00000, 4, 1);
	assert_int_equal(fake_mmio_read(f->cpu[0], 0xfec00010, 4), 0x170011);
	assert_int_not_equal(fake_in8(f->cpu[0], 0x61), 0xff);
	assert_true(fake_in(f->cpu[0], 0x408, 4) != 0xffffffff);
}

static void
x2apic_by_vcpu(void **state)
{
	const struct vm_platform_opts opts = { .utc = true };
	const struct vm_platform_opts all = { .utc = true, .x2apic = true };
	struct vmctx *ctx = fake_vm_new(2);
	enum x2apic_state st;
	const char *part;

	assert_int_equal(
	    vm_set_x2apic_state(vm_vcpu_get(ctx, 1), X2APIC_ENABLED), 0);
	assert_int_equal(vm_platform_create(ctx, &opts, &part), 0);
	assert_int_equal(
	    fake_rdmsr(vm_vcpu_get(ctx, 0), 0x1b) & APIC_BASE_EXTD, 0);
	assert_int_not_equal(
	    fake_rdmsr(vm_vcpu_get(ctx, 1), 0x1b) & APIC_BASE_EXTD, 0);
	fake_vm_free(ctx);
	ctx = fake_vm_new(1);
	assert_int_equal(vm_platform_create(ctx, &all, &part), 0);
	assert_int_equal(vm_get_x2apic_state(vm_vcpu_get(ctx, 0), &st), 0);
	assert_int_equal(st, X2APIC_ENABLED);
	assert_int_equal(
	    vm_set_x2apic_state(vm_vcpu_get(ctx, 0), X2APIC_DISABLED), -1);
	assert_int_equal(errno, EBUSY);
	fake_vm_free(ctx);
}

static int
nothing(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	return -1;
}

/* Which part fails is told; the machine can still be closed. */
static void
failing_part(void **state)
{
	static const struct {
		uint16_t port;
		const char *part;
	} table[] = {
		{ 0x21, "interrupt controllers" },
		{ 0x42, "8254 timer" },
		{ 0x71, "real-time clock" },
		{ 0x408, "PM timer" },
	};
	const struct vm_platform_opts opts = { .utc = true };

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct vmctx *ctx = fake_vm_new(1);
		const char *part = NULL;

		assert_int_equal(vm_register_port(ctx, "mine", table[i].port, 1,
				     nothing, NULL),
		    0);
		assert_int_equal(
		    vm_platform_create(ctx, &opts, &part), -EEXIST);
		assert_string_equal(part, table[i].part);
		fake_vm_free(ctx);
	}
}

/* --- the real-time clock ---------------------------------------------------
 */

static uint8_t
cmos(struct fixture *f, uint8_t index)
{
	fake_out8(f->cpu[0], 0x70, index);
	return fake_in8(f->cpu[0], 0x71);
}

static void
rtc_time(void **state)
{
	struct fixture *f = *state;
	time_t now = time(NULL), t = 0;

	assert_int_equal(vm_rtc_gettime(f->ctx, &t), 0);
	assert_true(t >= now && t <= now + 60); /* the host's, UTC */
	/* 2001-09-09 01:46:40, a Sunday */
	assert_int_equal(vm_rtc_settime(f->ctx, 1000000000), 0);
	assert_int_equal(vm_rtc_gettime(f->ctx, &t), 0);
	assert_true(t >= 1000000000 && t <= 1000000000 + 60);
	assert_int_equal(cmos(f, 0x09), 0x01);
	assert_int_equal(cmos(f, 0x32), 0x20);
	assert_int_equal(cmos(f, 0x08), 0x09);
	assert_int_equal(cmos(f, 0x07), 0x09);
	assert_int_equal(cmos(f, 0x06), 1);
	assert_int_equal(cmos(f, 0x04), 0x01);
	assert_int_equal(vm_rtc_settime(f->ctx, -1), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_rtc_settime(f->ctx, (time_t)1 << 40), -1);
	assert_int_equal(errno, EINVAL);
	/* The last second of the calendar. */
	assert_int_equal(vm_rtc_settime(f->ctx, 253402300799), 0);
	assert_int_equal(cmos(f, 0x32), 0x99);
}

/* A guest has stopped it to set it: it shows the new time, and goes on. */
static void
rtc_time_while_stopped(void **state)
{
	struct fixture *f = *state;

	fake_out8(f->cpu[0], 0x70, 0x0b);
	fake_out8(f->cpu[0], 0x71, 0x82);
	assert_int_equal(vm_rtc_settime(f->ctx, 1000000000), 0);
	assert_int_equal(cmos(f, 0x09), 0x01);
	fake_out8(f->cpu[0], 0x70, 0x0b);
	fake_out8(f->cpu[0], 0x71, 0x02);
	assert_int_equal(cmos(f, 0x09), 0x01);
}

static void
rtc_memory(void **state)
{
	struct fixture *f = *state;
	uint8_t val = 0;

	assert_int_equal(vm_rtc_write(f->ctx, 0x5b, 0xa5), 0);
	assert_int_equal(cmos(f, 0x5b), 0xa5);
	assert_int_equal(vm_rtc_read(f->ctx, 0x5b, &val), 0);
	assert_int_equal(val, 0xa5);
	assert_int_equal(vm_rtc_write(f->ctx, 0x0e, 1), 0);
	assert_int_equal(vm_rtc_write(f->ctx, 0x7f, 1), 0);
	/* Time, control, century and what is not there. */
	assert_int_equal(vm_rtc_write(f->ctx, 0x0d, 1), -1);
	assert_int_equal(vm_rtc_write(f->ctx, 0x32, 1), -1);
	assert_int_equal(vm_rtc_write(f->ctx, 0x80, 1), -1);
	assert_int_equal(vm_rtc_write(f->ctx, -1, 1), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_rtc_read(f->ctx, 0x80, &val), -1);
	assert_int_equal(vm_rtc_read(f->ctx, -1, &val), -1);
	assert_int_equal(errno, EINVAL);
	/* Reading from outside has no effects. */
	assert_int_equal(vm_rtc_read(f->ctx, 0x0d, &val), 0);
	assert_int_equal(val, 0x80);
	assert_int_equal(vm_rtc_settime(f->ctx, 1000000000), 0);
	assert_int_equal(vm_rtc_read(f->ctx, 0x09, &val), 0);
	assert_int_equal(val, 0x01);
	assert_int_equal(vm_rtc_read(f->ctx, 0x0a, &val), 0);
	assert_int_equal(val & 0x7f, 0x26);
}

/* --- interrupts ------------------------------------------------------------
 */

static void
isa_triggers(void **state)
{
	static const int edges[] = { 0, 1, 2, 8, 13 };
	struct fixture *f = *state;

	assert_int_equal(fake_in8(f->cpu[0], ELCR), 0);
	assert_int_equal(vm_isa_set_irq_trigger(f->ctx, 5, LEVEL_TRIGGER), 0);
	assert_int_equal(vm_isa_set_irq_trigger(f->ctx, 11, LEVEL_TRIGGER), 0);
	assert_int_equal(fake_in8(f->cpu[0], ELCR), 0x20);
	assert_int_equal(fake_in8(f->cpu[0], ELCR + 1), 0x08);
	assert_int_equal(vm_isa_set_irq_trigger(f->ctx, 5, EDGE_TRIGGER), 0);
	assert_int_equal(fake_in8(f->cpu[0], ELCR), 0);
	for (size_t i = 0; i < ARRAY_LEN(edges); i++) {
		assert_int_equal(
		    vm_isa_set_irq_trigger(f->ctx, edges[i], LEVEL_TRIGGER),
		    -1);
		assert_int_equal(errno, EINVAL);
		assert_int_equal(
		    vm_isa_set_irq_trigger(f->ctx, edges[i], EDGE_TRIGGER), 0);
	}
	assert_int_equal(vm_isa_set_irq_trigger(f->ctx, -1, EDGE_TRIGGER), -1);
	assert_int_equal(vm_isa_set_irq_trigger(f->ctx, 16, EDGE_TRIGGER), -1);
	assert_int_equal(errno, EINVAL);
}

static void
local_interrupts(void **state)
{
	static const struct {
		enum vm_lvt lvt;
		uint32_t reg;
	} table[] = {
		{ VM_LVT_LINT0, 0x350 },
		{ VM_LVT_LINT1, 0x360 },
		{ VM_LVT_TIMER, 0x320 },
		{ VM_LVT_ERROR, 0x370 },
		{ VM_LVT_PMC, 0x340 },
		{ VM_LVT_THERMAL, 0x330 },
		{ VM_LVT_CMCI, 0x2f0 },
	};
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 2; i++)
		fake_mmio_write(f->cpu[i], 0xfee000f0, 4, 0x1ff);
	for (size_t n = 0; n < ARRAY_LEN(table); n++) {
		for (unsigned int i = 0; i < 2; i++)
			fake_mmio_write(
			    f->cpu[i], 0xfee00000 + table[n].reg, 4, 0x40 + n);
		assert_int_equal(
		    vm_lapic_local_irq(f->cpu[1], table[n].lvt), 0);
		assert_int_equal(fake_pending(f->cpu[0]), -1);
		assert_int_equal(fake_accept(f->cpu[1]), 0x40 + n);
		fake_mmio_write(f->cpu[1], 0xfee000b0, 4, 0);
		for (unsigned int i = 0; i < 2; i++)
			fake_mmio_write(
			    f->cpu[i], 0xfee00000 + table[n].reg, 4, 0x60 + n);
		assert_int_equal(
		    vm_lapic_local_irq_all(f->ctx, table[n].lvt), 0);
		for (unsigned int i = 0; i < 2; i++) {
			assert_int_equal(fake_accept(f->cpu[i]), 0x60 + n);
			fake_mmio_write(f->cpu[i], 0xfee000b0, 4, 0);
			fake_mmio_write(
			    f->cpu[i], 0xfee00000 + table[n].reg, 4, 0x10000);
		}
	}
	assert_int_equal(vm_lapic_local_irq(f->cpu[0], (enum vm_lvt)7), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_lapic_local_irq_all(f->ctx, (enum vm_lvt) - 1), -1);
	assert_int_equal(errno, EINVAL);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(all_parts),
		cmocka_unit_test(x2apic_by_vcpu),
		cmocka_unit_test(failing_part),
		T(rtc_time),
		T(rtc_time_while_stopped),
		T(rtc_memory),
		T(isa_triggers),
		T(local_interrupts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
