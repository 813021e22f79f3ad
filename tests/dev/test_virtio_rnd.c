/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-rnd: filling, the limit of one go, the rate. */
#include "virtio_driver.h"

#include <errno.h>

#define RND_QUEUES 1
#define BURST	   (256u << 10)

struct rig {
	struct vdrv_machine m;
	struct vdrv d;
};

static void
setup(struct rig *r, const char *settings, enum vdrv_transport t)
{
	vdrv_machine(&r->m);
	vdrv_add_device(&r->m, "virtio-rnd", settings);
	vdrv_open(&r->d, &r->m, t, VDRV_F_INDIRECT, RND_QUEUES);
}

static void
teardown(struct rig *r)
{
	vdrv_machine_fini(&r->m);
}

static uint64_t
ask(struct rig *r, uint32_t len)
{
	const struct vdrv_buf b = { vdrv_alloc(&r->d, len, 1), len, true };

	vdrv_add(&r->d, 0, &b, 1);
	return b.gpa;
}

/* Not all zero: wrong once in 2^256. */
static void
expect_filled(struct rig *r, uint64_t gpa, size_t len)
{
	static const uint8_t zeros[32];

	for (size_t off = 0; off + 32 <= len; off += 32)
		assert_memory_not_equal(
		    (uint8_t *)vdrv_ptr(&r->d, gpa) + off, zeros, 32);
}

static void
test_fill(void **state)
{
	for (enum vdrv_transport t = VDRV_LEGACY; t <= VDRV_MODERN; t++) {
		struct rig r;
		uint64_t gpa;
		uint32_t len;

		setup(&r, NULL, t);
		gpa = ask(&r, 4096);
		vdrv_kick(&r.d, 0);
		assert_int_equal(vdrv_used(&r.d, 0, &len), 0);
		assert_int_equal(len, 4096);
		expect_filled(&r, gpa, 4096);
		assert_int_equal(vdrv_isr(&r.d), 1);
		assert_int_equal(vdrv_pci_read(&r.d, 0, 4), 0x10051af4);
		assert_int_equal(vdrv_cfg_read(&r.d, 0, 4), 0);
		teardown(&r);
	}
}

/* Parts to read are left alone, all parts to write are filled. */
static void
test_parts(void **state)
{
	struct rig r;
	struct vdrv_buf b[3];
	uint32_t len;

	setup(&r, NULL, VDRV_MODERN);
	b[0] = (struct vdrv_buf){ vdrv_alloc(&r.d, 64, 1), 64, false };
	b[1] = (struct vdrv_buf){ vdrv_alloc(&r.d, 64, 1), 64, true };
	b[2] = (struct vdrv_buf){ vdrv_alloc(&r.d, 96, 1), 96, true };
	vdrv_add_indirect(&r.d, 0, b, 3);
	vdrv_add(&r.d, 0, b, 1); /* nothing to write */
	vdrv_kick(&r.d, 0);
	assert_int_equal(vdrv_used(&r.d, 0, &len), 0);
	assert_int_equal(len, 160);
	expect_filled(&r, b[1].gpa, 64);
	expect_filled(&r, b[2].gpa, 96);
	for (unsigned int i = 0; i < 64; i++)
		assert_int_equal(*((uint8_t *)vdrv_ptr(&r.d, b[0].gpa) + i), 0);
	assert_int_equal(vdrv_used(&r.d, 0, &len), 1);
	assert_int_equal(len, 0);
	teardown(&r);
}

/* A huge buffer is filled in part, and the vCPU goes on. */
static void
test_bound(void **state)
{
	struct rig r;
	uint32_t len;

	setup(&r, NULL, VDRV_MODERN);
	ask(&r, 1u << 20);
	ask(&r, 64);
	vdrv_kick(&r.d, 0);
	assert_int_equal(vdrv_used(&r.d, 0, &len), 0);
	assert_int_equal(len, BURST);
	assert_int_equal(vdrv_used(&r.d, 0, &len), -1);
	assert_int_equal(vdrv_wait_used(&r.d, 0, &len), 1);
	assert_int_equal(len, 64);
	teardown(&r);
}

static void
test_rate(void **state)
{
	struct rig r;
	uint32_t len;

	setup(&r, "rate=1000", VDRV_MODERN);
	for (unsigned int i = 0; i < 4; i++)
		ask(&r, 70);
	vdrv_kick(&r.d, 0);
	/* 100 bytes in a tenth of a second. */
	assert_int_equal(vdrv_used(&r.d, 0, &len), 0);
	assert_int_equal(len, 70);
	assert_int_equal(vdrv_used(&r.d, 0, &len), 1);
	assert_int_equal(len, 30);
	vdrv_kick(&r.d, 0); /* asking again does not help */
	assert_int_equal(vdrv_used(&r.d, 0, &len), -1);
	vm_clock_advance(r.m.b.ctx, 99 * MS);
	assert_int_equal(vdrv_used(&r.d, 0, &len), -1);
	vm_clock_advance(r.m.b.ctx, 1 * MS);
	assert_int_equal(vdrv_used(&r.d, 0, &len), 2);
	assert_int_equal(len, 70);
	assert_int_equal(vdrv_used(&r.d, 0, &len), 3);
	assert_int_equal(len, 30);
	/* Nor does a reset. */
	vdrv_open(&r.d, &r.m, VDRV_MODERN, 0, RND_QUEUES);
	ask(&r, 1);
	vdrv_kick(&r.d, 0);
	assert_int_equal(vdrv_used(&r.d, 0, &len), -1);
	/* A long silence saves up no more than one period. */
	vm_clock_advance(r.m.b.ctx, 5000 * MS);
	assert_int_equal(vdrv_used(&r.d, 0, &len), 0);
	ask(&r, 1000);
	vdrv_kick(&r.d, 0);
	assert_int_equal(vdrv_used(&r.d, 0, &len), 1);
	assert_int_equal(len, 100);
	teardown(&r);
}

/* With nothing to write a chain costs its byte. */
static void
test_rate_of_nothing(void **state)
{
	const struct vdrv_buf b = { 0x1000, 4, false };
	struct rig r;
	uint32_t len;

	setup(&r, "rate=20", VDRV_MODERN);
	for (unsigned int i = 0; i < 3; i++)
		vdrv_add(&r.d, 0, &b, 1);
	vdrv_kick(&r.d, 0);
	assert_int_equal(vdrv_used(&r.d, 0, &len), 0);
	assert_int_equal(vdrv_used(&r.d, 0, &len), 1);
	assert_int_equal(vdrv_used(&r.d, 0, &len), -1);
	vm_clock_advance(r.m.b.ctx, 100 * MS);
	assert_int_equal(vdrv_used(&r.d, 0, &len), 2);
	teardown(&r);
}

static void
test_malformed(void **state)
{
	struct rig r;
	uint32_t len;

	setup(&r, NULL, VDRV_MODERN);
	vdrv_make_available(&r.d, 0, 0xffff);
	vdrv_kick(&r.d, 0);
	assert_true((vdrv_status(&r.d) & VDRV_NEEDS_RESET) != 0);
	vdrv_open(&r.d, &r.m, VDRV_MODERN, 0, RND_QUEUES);
	ask(&r, 8);
	vdrv_kick(&r.d, 0);
	assert_int_equal(vdrv_used(&r.d, 0, &len), 0);
	teardown(&r);
}

static void
test_settings(void **state)
{
	static const struct {
		const char *rate;
		uint32_t got; /* in the first period; 0: refused */
	} rates[] = {
		{ "rate=640", 64 },
		{ "rate=1k", 102 },
		{ "rate=0x100", 25 },
		{ "rate=1", 1 },
		{ "rate=0", 0 },
		{ "rate=0k", 0 },
		{ "rate=-1", 0 },
		{ "rate=fast", 0 },
		{ "rate=99999999999999999999", 0 },
	};

	for (unsigned int i = 0; i < ARRAY_LEN(rates); i++) {
		struct rig r;
		char err[256] = "";
		uint32_t len;

		if (rates[i].got == 0) {
			vdrv_machine(&r.m);
			assert_int_equal(
			    vdrv_add_ops(&r.m, pci_dev_find("virtio-rnd"),
				rates[i].rate, err, sizeof(err)),
			    -EINVAL);
			assert_non_null(strstr(err, "virtio-rnd 0:3:0: bad "
						    "rate '"));
			teardown(&r);
			continue;
		}
		setup(&r, rates[i].rate, VDRV_LEGACY);
		ask(&r, 4096);
		vdrv_kick(&r.d, 0);
		assert_int_equal(vdrv_used(&r.d, 0, &len), 0);
		assert_int_equal(len, rates[i].got);
		teardown(&r);
	}
}

/* What waits for the rate is served where the guest goes on. */
static void
test_snapshot(void **state)
{
	struct rig a, b;
	uint32_t len;

	setup(&a, "rate=100", VDRV_MODERN);
	setup(&b, "rate=100", VDRV_MODERN);
	ask(&a, 10);
	ask(&a, 10);
	vdrv_kick(&a.d, 0);
	assert_int_equal(vdrv_used(&a.d, 0, &len), 0);
	assert_int_equal(vdrv_used(&a.d, 0, &len), -1);
	chips_pause(a.m.b.ctx);
	chips_pause(b.m.b.ctx);
	memcpy(b.m.ram, a.m.ram, VDRV_RAM);
	assert_int_equal(board_load(&b.m.b, board_save(&a.m.b)), 0);
	chips_resume(b.m.b.ctx);
	b.d.q[0].last_used = 1;
	vm_clock_advance(b.m.b.ctx, 100 * MS);
	assert_int_equal(vdrv_used(&b.d, 0, &len), 1);
	assert_int_equal(len, 10);
	teardown(&a);
	teardown(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fill),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_rate_of_nothing),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
