/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Doorbells of virtio devices: where they are, when they are on, and that no
 * ring is lost, with an engine that has them (fake_engine.h).
 */
#include "fake_engine.h"
#include "virtio_driver.h"
#include "virtio_probe.h"

#include <errno.h>

#define L_NOTIFY 16
#define NBELLS	 PROBE_NQUEUES

struct rig {
	struct vdrv_machine m;
	struct vdrv d;
	struct virtio_probe *p;
};

static void
setup(struct rig *r, const char *settings, enum vdrv_transport t, int err)
{
	char why[128] = "";

	fake_ioevents = (struct fake_ioevents){ .err = err };
	vdrv_machine(&r->m);
	if (vdrv_add_ops(
		&r->m, &virtio_probe_ops, settings, why, sizeof(why)) != 0)
		fail_msg("%s", why);
	r->p = virtio_probe;
	vdrv_open(&r->d, &r->m, t, 0, PROBE_NQUEUES);
}

static void
teardown(struct rig *r)
{
	vdrv_machine_fini(&r->m);
	assert_int_equal(fake_ioevents.n, 0);
	fake_ioevents = (struct fake_ioevents){ .err = -ENOTSUP };
}

static uint64_t
bell_addr(const struct rig *r, unsigned int q)
{
	return r->d.transport == VDRV_LEGACY
		   ? (uint64_t)r->d.io + L_NOTIFY
		   : r->d.mem + r->d.notify + q * r->d.notify_multiplier;
}

/* As the guest rings: the bell, or else the device. */
static bool
ring(struct rig *r, unsigned int q)
{
	if (fake_ioevent_write(
		r->d.transport == VDRV_LEGACY, bell_addr(r, q), 2, q))
		return true;
	vdrv_kick(&r->d, q);
	return false;
}

static void
turn(struct rig *r)
{
	board_settle(&r->m.b, 1);
}

static const struct vm_ioevent *
armed_at(uint64_t addr, uint32_t data)
{
	for (unsigned int i = 0; i < fake_ioevents.n; i++)
		if (fake_ioevents.ev[i].addr == addr &&
		    (!fake_ioevents.ev[i].match ||
			fake_ioevents.ev[i].data == data))
			return &fake_ioevents.ev[i];
	return NULL;
}

static void
places_legacy(void **state)
{
	struct rig r;

	setup(&r, "ioeventfd=on,transport=legacy", VDRV_LEGACY, 0);
	assert_int_equal(fake_ioevents.n, NBELLS);
	for (unsigned int q = 0; q < PROBE_NQUEUES; q++) {
		const struct vm_ioevent *ev = armed_at(bell_addr(&r, q), q);

		assert_non_null(ev);
		assert_true(ev->pio && ev->match);
		assert_int_equal(ev->len, 2);
	}
	teardown(&r);
}

static void
places_modern(void **state)
{
	struct rig r;

	setup(&r, "ioeventfd=on,transport=modern", VDRV_MODERN, 0);
	assert_int_equal(fake_ioevents.n, NBELLS);
	for (unsigned int q = 0; q < PROBE_NQUEUES; q++) {
		const struct vm_ioevent *ev = armed_at(bell_addr(&r, q), q);

		assert_non_null(ev);
		assert_false(ev->pio || ev->match);
		assert_int_equal(ev->len, 0);
	}
	teardown(&r);
}

/* A transitional device has both, whatever the driver uses. */
static void
rings(void **state)
{
	static const enum vdrv_transport both[] = { VDRV_LEGACY, VDRV_MODERN };

	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		struct rig r;

		setup(&r, "ioeventfd=on", both[i], 0);
		assert_int_equal(fake_ioevents.n, 2 * NBELLS);
		assert_true(ring(&r, 1));
		assert_true(ring(&r, 1));
		assert_int_equal(r.p->notified[1], 0);
		turn(&r);
		assert_int_equal(r.p->notified[1], 1); /* one for both */
		assert_int_equal(r.p->notified[0] + r.p->notified[2], 0);
		assert_true(ring(&r, 2));
		turn(&r);
		assert_int_equal(r.p->notified[2], 1);
		teardown(&r);
	}
}

/* Off until DRIVER_OK, so that legacy's first kick can start the device. */
static void
off_until_started(void **state)
{
	struct rig r;

	setup(&r, "ioeventfd=on", VDRV_LEGACY, 0);
	vdrv_reset(&r.d);
	assert_int_equal(fake_ioevents.n, 0);
	vdrv_negotiate(&r.d, 0);
	vdrv_setup_queue(&r.d, 0, 0);
	assert_int_equal(fake_ioevents.n, 0);
	assert_false(ring(&r, 0));
	assert_int_equal(r.p->starts, 2);
	assert_int_equal(fake_ioevents.n, 2 * NBELLS);
	assert_true(ring(&r, 0));
	teardown(&r);
}

static void
reset_forgets(void **state)
{
	struct rig r;

	setup(&r, "ioeventfd=on", VDRV_MODERN, 0);
	assert_true(ring(&r, 0));
	vdrv_reset(&r.d);
	turn(&r);
	assert_int_equal(r.p->notified[0], 0);
	/* It starts again, and hears. */
	assert_true(vdrv_negotiate(&r.d, VDRV_F_VERSION_1));
	vdrv_setup_queue(&r.d, 0, 0);
	vdrv_driver_ok(&r.d);
	assert_true(ring(&r, 0));
	turn(&r);
	assert_int_equal(r.p->notified[0], 1);
	teardown(&r);
}

static void
follows_the_bar(void **state)
{
	struct rig r;
	uint64_t before;

	setup(&r, "ioeventfd=on,transport=modern", VDRV_MODERN, 0);
	before = bell_addr(&r, 0);
	/* What was rung at the old place arrives all the same. */
	assert_true(ring(&r, 0));
	r.d.mem += 0x100000;
	vdrv_pci_write(&r.d, 0x20, 4, (uint32_t)r.d.mem);
	turn(&r);
	assert_int_equal(r.p->notified[0], 1);
	assert_null(armed_at(before, 0));
	assert_true(ring(&r, 0));
	turn(&r);
	assert_int_equal(r.p->notified[0], 2);
	/* Not decoded: nobody is there. */
	vdrv_pci_write(&r.d, 4, 2, 4);
	assert_int_equal(fake_ioevents.n, 0);
	vdrv_pci_write(&r.d, 4, 2, 7);
	assert_int_equal(fake_ioevents.n, NBELLS);
	assert_true(ring(&r, 2));
	turn(&r);
	assert_int_equal(r.p->notified[2], 1);
	teardown(&r);
}

/* The rest of the place is the device's: another width, another value. */
static void
only_the_bell(void **state)
{
	struct rig r;

	setup(&r, "ioeventfd=on", VDRV_LEGACY, 0);
	assert_false(fake_ioevent_write(true, bell_addr(&r, 0), 4, 0));
	assert_false(fake_ioevent_write(true, bell_addr(&r, 0), 1, 0));
	assert_false(fake_ioevent_write(true, bell_addr(&r, 0), 2, 9));
	board_out(&r.m.b, (uint16_t)bell_addr(&r, 0), 2, 1);
	assert_int_equal(r.p->notified[1], 1);
	teardown(&r);
}

static void
paused(void **state)
{
	struct rig r;

	setup(&r, "ioeventfd=on", VDRV_MODERN, 0);
	assert_true(ring(&r, 0));
	chips_pause(r.m.b.ctx);
	turn(&r);
	assert_int_equal(r.p->notified[0], 0);
	chips_resume(r.m.b.ctx);
	assert_int_equal(r.p->notified[0], 1); /* resume asks all */
	assert_true(ring(&r, 0));
	turn(&r);
	assert_int_equal(r.p->notified[0], 2);
	teardown(&r);
}

static void
snapshot(void **state)
{
	struct rig a, b;
	struct snap *s;

	setup(&a, "ioeventfd=on", VDRV_MODERN, 0);
	chips_pause(a.m.b.ctx);
	s = board_save(&a.m.b);
	teardown(&a);
	setup(&b, "ioeventfd=on", VDRV_MODERN, 0);
	vdrv_reset(&b.d);
	assert_int_equal(fake_ioevents.n, 0);
	chips_pause(b.m.b.ctx);
	assert_int_equal(board_load(&b.m.b, s), 0);
	chips_resume(b.m.b.ctx);
	assert_int_equal(fake_ioevents.n, 2 * NBELLS);
	assert_true(ring(&b, 1));
	turn(&b);
	assert_int_equal(b.p->notified[1], 2); /* resume's, and ours */
	teardown(&b);
}

/* The engine cannot: each bell is asked for once, and all is as without. */
static void
engine_cannot(void **state)
{
	struct rig r;

	setup(&r, "ioeventfd=on,transport=modern", VDRV_MODERN, -ENOTSUP);
	assert_int_equal(fake_ioevents.asked, NBELLS);
	assert_false(ring(&r, 0));
	assert_int_equal(r.p->notified[0], 1);
	vdrv_pci_write(&r.d, 4, 2, 4);
	vdrv_pci_write(&r.d, 4, 2, 7);
	assert_int_equal(fake_ioevents.asked, NBELLS);
	teardown(&r);
}

/* The kernel is out of something: the bus goes on, later it is tried again. */
static void
engine_fails(void **state)
{
	struct rig r;

	setup(&r, "ioeventfd=on,transport=modern", VDRV_MODERN, -ENOSPC);
	assert_false(ring(&r, 0));
	assert_int_equal(r.p->notified[0], 1);
	fake_ioevents.err = 0;
	vdrv_pci_write(&r.d, 4, 2, 4);
	vdrv_pci_write(&r.d, 4, 2, 7);
	assert_true(ring(&r, 0));
	turn(&r);
	assert_int_equal(r.p->notified[0], 2);
	teardown(&r);
}

static void
settings(void **state)
{
	char why[128] = "";
	struct rig r;

	setup(&r, NULL, VDRV_MODERN, 0); /* the model wants none */
	assert_int_equal(fake_ioevents.asked, 0);
	teardown(&r);
	setup(&r, "ioeventfd=off", VDRV_MODERN, 0);
	assert_int_equal(fake_ioevents.asked, 0);
	teardown(&r);
	vdrv_machine(&r.m);
	assert_int_equal(vdrv_add_ops(&r.m, &virtio_probe_ops,
			     "ioeventfd=perhaps", why, sizeof(why)),
	    -EINVAL);
	assert_string_equal(
	    why, "virtio-probe 0:3:0: bad ioeventfd 'perhaps': want on or off");
	vdrv_machine_fini(&r.m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_legacy),
		cmocka_unit_test(places_modern),
		cmocka_unit_test(rings),
		cmocka_unit_test(off_until_started),
		cmocka_unit_test(reset_forgets),
		cmocka_unit_test(follows_the_bar),
		cmocka_unit_test(only_the_bell),
		cmocka_unit_test(paused),
		cmocka_unit_test(snapshot),
		cmocka_unit_test(engine_cannot),
		cmocka_unit_test(engine_fails),
		cmocka_unit_test(settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
