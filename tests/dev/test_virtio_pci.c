/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtio's two transports: every register, in the wrong order too. */
#include "virtio_driver.h"
#include "virtio_probe.h"

#include <errno.h>
#include <vmm/mem.h>

/* legacy */
#define L_HOST		0
#define L_GUEST		4
#define L_PFN		8
#define L_NUM		12
#define L_SEL		14
#define L_NOTIFY	16
#define L_STATUS	18
#define L_ISR		19
#define L_CONFIG_VECTOR 20
#define L_QUEUE_VECTOR	22
/* modern */
#define M_CONFIG_VECTOR 16
#define M_NUM_QUEUES	18
#define M_GENERATION	21
#define M_SEL		22
#define M_SIZE		24
#define M_VECTOR	26
#define M_ENABLE	28
#define M_NOTIFY_OFF	30
#define M_DESC		32
#define M_DRIVER	40
#define M_DEVICE	48

struct rig {
	struct vdrv_machine m;
	struct vdrv d;
	struct virtio_probe *p;
};

static void
add_ops(struct rig *r, const struct pci_dev_ops *ops, const char *settings,
    enum vdrv_transport t)
{
	char err[128] = "";

	if (vdrv_add_ops(&r->m, ops, settings, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	r->p = virtio_probe;
	vdrv_probe(&r->d, &r->m, t);
}

static void
setup_with(struct rig *r, const char *settings, enum vdrv_transport t)
{
	vdrv_machine(&r->m);
	add_ops(r, &virtio_probe_ops, settings, t);
}

static void
setup(struct rig *r, enum vdrv_transport t)
{
	setup_with(r, NULL, t);
}

static void
teardown(struct rig *r)
{
	vdrv_machine_fini(&r->m);
}

static void
serve(struct virtio_probe *p, unsigned int q)
{
	struct iovec iov[8];
	struct vq_chain c;

	while (vq_pop(virtio_vq(&p->dev, q), iov, 8, &c) == 1)
		vq_push(virtio_vq(&p->dev, q), &c, (uint32_t)c.len_in);
	vq_notify(virtio_vq(&p->dev, q));
}

static void
add_and_kick(struct rig *r, unsigned int q)
{
	const struct vdrv_buf b = { vdrv_alloc(&r->d, 16, 1), 16, true };

	vdrv_add(&r->d, q, &b, 1);
	vdrv_kick(&r->d, q);
}

/* --- identity ------------------------------------------------------------- */

static void
expect_identity(struct rig *r, uint32_t id, uint32_t rev_class, uint32_t sub)
{
	assert_int_equal(vdrv_pci_read(&r->d, 0, 4), id);
	assert_int_equal(vdrv_pci_read(&r->d, 8, 4), rev_class);
	assert_int_equal(vdrv_pci_read(&r->d, 0x2c, 4), sub);
}

static uint32_t
bar_size(struct rig *r, unsigned int bar)
{
	unsigned int off = 0x10 + 4 * bar;
	uint32_t was = vdrv_pci_read(&r->d, off, 4), mask;

	vdrv_pci_write(&r->d, off, 4, UINT32_MAX);
	mask = vdrv_pci_read(&r->d, off, 4);
	vdrv_pci_write(&r->d, off, 4, was);
	if (mask == 0)
		return 0;
	return (mask & 1) != 0 ? (uint16_t) - (mask & 0xfffc)
			       : -(mask & 0xfffffff0);
}

static void
test_transports(void **state)
{
	struct rig r;
	char err[256];

	setup(&r, VDRV_LEGACY); /* transitional */
	expect_identity(&r, 0x10011af4, 0xff010200, 0x00021af4);
	assert_int_equal(bar_size(&r, 0), 64); /* 24 + 11 */
	assert_int_equal(bar_size(&r, 1), 4096);
	assert_int_equal(bar_size(&r, 4), 16384);
	assert_int_equal(vdrv_pci_read(&r.d, 0x3d, 1), 1);
	assert_int_not_equal(r.d.msix, 0);
	assert_int_equal(vdrv_pci_read(&r.d, r.d.msix + 2, 2), PROBE_NQUEUES);
	assert_int_not_equal(r.d.pcicfg, 0);
	assert_int_equal(r.d.notify_multiplier, 4);
	assert_int_equal(r.d.device_len, PROBE_CFG_LEN);
	assert_int_equal(board_read(&r.m.b, r.d.mem + 18, 2), PROBE_NQUEUES);
	teardown(&r);

	setup_with(&r, "transport=legacy", VDRV_LEGACY);
	expect_identity(&r, 0x10011af4, 0xff010200, 0x00021af4);
	assert_int_equal(bar_size(&r, 4), 0);
	assert_int_equal(r.d.pcicfg, 0);
	assert_int_equal(r.d.notify_multiplier, 0);
	teardown(&r);

	setup_with(&r, "transport=modern", VDRV_MODERN);
	expect_identity(&r, 0x10421af4, 0xff010201, 0x00421af4);
	assert_int_equal(bar_size(&r, 0), 0);
	assert_int_equal(bar_size(&r, 4), 16384);
	teardown(&r);

	/* No transitional ID: modern without asking. */
	vdrv_machine(&r.m);
	add_ops(&r, &virtio_probe_modern_ops, NULL, VDRV_MODERN);
	expect_identity(&r, 0x10521af4, 0xff010201, 0x00521af4);
	teardown(&r);

	vdrv_machine(&r.m);
	assert_int_equal(vdrv_add_ops(&r.m, &virtio_probe_modern_ops,
			     "transport=legacy", err, sizeof(err)),
	    -EINVAL);
	assert_string_equal(
	    err, "virtio-probe 0:3:0: bad transport 'legacy': want modern");
	assert_int_equal(vdrv_add_ops(&r.m, &virtio_probe_ops, "transport=usb",
			     err, sizeof(err)),
	    -EINVAL);
	assert_string_equal(err,
	    "virtio-probe 0:3:0: bad transport 'usb': want transitional, "
	    "legacy or modern");
	teardown(&r);
}

/* --- legacy registers ----------------------------------------------------- */

static void
test_legacy_features(void **state)
{
	struct rig r;

	setup(&r, VDRV_LEGACY);
	assert_int_equal(vdrv_features(&r.d),
	    (uint32_t)(PROBE_FEATURES | VDRV_F_NOTIFY_ON_EMPTY |
		       VDRV_F_ANY_LAYOUT | VDRV_F_INDIRECT | VDRV_F_EVENT_IDX));
	assert_int_equal(vdrv_reg(&r.d, L_GUEST, 4), 0);
	vdrv_set_reg(&r.d, L_GUEST, 4, UINT32_MAX);
	/* Bits that were not offered are not there. */
	assert_int_equal(vdrv_reg(&r.d, L_GUEST, 4), vdrv_reg(&r.d, L_HOST, 4));
	vdrv_set_reg(&r.d, L_HOST, 4, 0);
	assert_int_not_equal(vdrv_reg(&r.d, L_HOST, 4), 0);
	vdrv_set_reg(&r.d, L_GUEST, 4, BIT(5));
	assert_true(virtio_has(&r.p->dev, 5));
	assert_int_equal(virtio_features(&r.p->dev), BIT(5));
	/* Fixed once the device runs. */
	vdrv_set_status(&r.d, 7);
	vdrv_set_reg(&r.d, L_GUEST, 4, BIT(9));
	assert_int_equal(vdrv_reg(&r.d, L_GUEST, 4), BIT(5));
	teardown(&r);
}

static void
test_legacy_queues(void **state)
{
	struct rig r;

	setup(&r, VDRV_LEGACY);
	for (unsigned int q = 0; q < 6; q++) {
		vdrv_set_reg(&r.d, L_SEL, 2, q);
		assert_int_equal(vdrv_reg(&r.d, L_SEL, 2), q);
		assert_int_equal(vdrv_reg(&r.d, L_NUM, 2),
		    q < PROBE_NQUEUES ? PROBE_QUEUE_SIZE : 0);
		assert_int_equal(vdrv_reg(&r.d, L_PFN, 4), 0);
		vdrv_set_reg(&r.d, L_NUM, 2, 4); /* read-only */
		vdrv_set_reg(&r.d, L_PFN, 4, 0x20 + q);
		assert_int_equal(
		    vdrv_reg(&r.d, L_PFN, 4), q < PROBE_NQUEUES ? 0x20 + q : 0);
	}
	vdrv_set_reg(&r.d, L_SEL, 2, 0xffff);
	vdrv_set_reg(&r.d, L_PFN, 4, 1);
	assert_int_equal(vdrv_reg(&r.d, L_NUM, 2), 0);
	/* Off and on again. */
	vdrv_set_reg(&r.d, L_SEL, 2, 1);
	vdrv_set_reg(&r.d, L_PFN, 4, 0);
	assert_int_equal(vdrv_reg(&r.d, L_PFN, 4), 0);
	vdrv_set_reg(&r.d, L_PFN, 4, 0x30);
	assert_int_equal(vdrv_reg(&r.d, L_PFN, 4), 0x30);
	/* Fixed once the device runs. */
	vdrv_set_status(&r.d, 7);
	vdrv_set_reg(&r.d, L_PFN, 4, 0);
	assert_int_equal(vdrv_reg(&r.d, L_PFN, 4), 0x30);
	/* The highest page frame is no address in RAM. */
	vdrv_reset(&r.d);
	vdrv_set_reg(&r.d, L_SEL, 2, 0);
	vdrv_set_reg(&r.d, L_PFN, 4, UINT32_MAX);
	assert_int_equal(vdrv_reg(&r.d, L_PFN, 4), 0);
	assert_true((vdrv_status(&r.d) & VDRV_NEEDS_RESET) != 0);
	teardown(&r);
}

/* The used ring lies on the page after the available ring (2.7.2). */
static void
test_legacy_layout(void **state)
{
	struct rig r;
	uint32_t len;

	setup(&r, VDRV_LEGACY);
	r.p->on_notify = serve;
	vdrv_open(&r.d, &r.m, VDRV_LEGACY, 0, 1);
	assert_int_equal(r.d.q[0].used_gpa - r.d.q[0].desc_gpa, 4096);
	add_and_kick(&r, 0);
	assert_int_equal(vdrv_used(&r.d, 0, &len), 0);
	assert_int_equal(len, 16);
	teardown(&r);
}

/* Linux up to 3.18 uses its devices before it says DRIVER_OK. */
static void
test_legacy_early_kick(void **state)
{
	struct rig r;
	uint32_t len;

	setup(&r, VDRV_LEGACY);
	r.p->on_notify = serve;
	vdrv_reset(&r.d);
	vdrv_setup_queue(&r.d, 0, 0);
	vdrv_kick(&r.d, 0); /* not even ACKNOWLEDGE */
	assert_int_equal(r.p->starts, 0);
	vdrv_negotiate(&r.d, BIT(5));
	vdrv_kick(&r.d, 1); /* that queue is off */
	assert_int_equal(r.p->starts, 0);
	add_and_kick(&r, 0);
	assert_int_equal(r.p->starts, 1);
	assert_int_equal(vdrv_used(&r.d, 0, &len), 0);
	vdrv_driver_ok(&r.d);
	assert_int_equal(r.p->starts, 1);
	teardown(&r);
}

static void
test_legacy_config(void **state)
{
	struct rig r;

	setup(&r, VDRV_LEGACY);
	assert_int_equal(board_in(&r.m.b, r.d.io + 20, 4), 0xc3c2c1c0);
	/* Across the end: zeros. */
	assert_int_equal(board_in(&r.m.b, r.d.io + 28, 4), 0x00cac9c8);
	assert_int_equal(board_in(&r.m.b, r.d.io + 40, 4), 0);
	/* A register and the configuration in one access. */
	assert_int_equal(board_in(&r.m.b, r.d.io + 19, 4), 0xc2c1c000);
	board_out(&r.m.b, r.d.io + 30, 4, 0x11223344);
	assert_int_equal(r.p->cfg[10], 0x44);
	/* With MSI-X on it moves, and the vectors appear. */
	vdrv_msix_enable(&r.d, PROBE_NQUEUES);
	assert_int_equal(board_in(&r.m.b, r.d.io + 24, 4), 0xc3c2c1c0);
	assert_int_equal(board_in(&r.m.b, r.d.io + 20, 4), 0x00030000);
	assert_int_equal(vdrv_cfg_read(&r.d, 1, 2), 0xc2c1);
	vdrv_cfg_write(&r.d, 1, 1, 0x77);
	assert_int_equal(r.p->cfg[1], 0x77);
	teardown(&r);
}

/* Any width, any offset: cut into the registers it covers. */
static void
test_legacy_widths(void **state)
{
	struct rig r;

	setup(&r, VDRV_LEGACY);
	assert_int_equal(
	    vdrv_reg(&r.d, L_HOST + 3, 1), vdrv_reg(&r.d, L_HOST, 4) >> 24);
	board_out(&r.m.b, r.d.io + L_GUEST, 1, 0x20);
	board_out(&r.m.b, r.d.io + L_GUEST + 1, 2, 0x0002);
	assert_int_equal(vdrv_reg(&r.d, L_GUEST, 4), BIT(5) | BIT(9));
	/* Size and selector as one dword. */
	board_out(&r.m.b, r.d.io + L_NUM, 4, 0x00020000);
	assert_int_equal(
	    vdrv_reg(&r.d, L_NUM, 4), 0x00020000 | PROBE_QUEUE_SIZE);
	/* Notify (queue 1), status and ISR as one. */
	board_out(&r.m.b, r.d.io + L_NOTIFY, 4, 0x00070001);
	assert_int_equal(vdrv_status(&r.d), 7);
	assert_int_equal(vdrv_reg(&r.d, L_NOTIFY, 4), 0x00070000);
	board_out(&r.m.b, r.d.io + L_NOTIFY, 2, 1);
	assert_int_equal(r.p->notified[1], 1);
	for (unsigned int q = PROBE_NQUEUES; q < 0x10000; q += 0x1001)
		board_out(&r.m.b, r.d.io + L_NOTIFY, 2, q);
	teardown(&r);
}

/* --- interrupts ----------------------------------------------------------- */

static bool
any_line(const struct rig *r)
{
	for (unsigned int i = 0; i < IRQ_NGSI; i++)
		if (r->m.b.level[i])
			return true;
	return false;
}

static void
test_intx(void **state)
{
	for (enum vdrv_transport t = VDRV_LEGACY; t <= VDRV_MODERN; t++) {
		struct rig r;

		setup(&r, t);
		r.p->on_notify = serve;
		vdrv_open(&r.d, &r.m, t, 0, PROBE_NQUEUES);
		assert_false(any_line(&r));
		add_and_kick(&r, 1);
		assert_true(any_line(&r));
		virtio_cfg_changed(&r.p->dev);
		assert_int_equal(vdrv_isr(&r.d), 3);
		assert_false(any_line(&r));
		assert_int_equal(vdrv_isr(&r.d), 0);
		/* A reset takes it back. */
		add_and_kick(&r, 1);
		assert_true(any_line(&r));
		vdrv_reset(&r.d);
		assert_false(any_line(&r));
		assert_int_equal(vdrv_isr(&r.d), 0);
		/* Not before DRIVER_OK. */
		virtio_cfg_changed(&r.p->dev);
		assert_int_equal(vdrv_isr(&r.d), 0);
		teardown(&r);
	}
}

static void
test_msix(void **state)
{
	for (enum vdrv_transport t = VDRV_LEGACY; t <= VDRV_MODERN; t++) {
		struct rig r;

		setup(&r, t);
		r.p->on_notify = serve;
		vdrv_open(&r.d, &r.m, t, 0, PROBE_NQUEUES);
		vdrv_msix_enable(&r.d, PROBE_NQUEUES);
		for (unsigned int q = 0; q < PROBE_NQUEUES; q++) {
			add_and_kick(&r, q);
			assert_int_equal(r.m.b.msis, q + 1);
			assert_int_equal(r.m.b.msi_data, q + 1);
		}
		virtio_cfg_changed(&r.p->dev);
		assert_int_equal(r.m.b.msis, PROBE_NQUEUES + 1);
		assert_int_equal(r.m.b.msi_data, 0);
		assert_false(any_line(&r));
		assert_int_equal(vdrv_isr(&r.d), 0);
		teardown(&r);
	}
}

static void
vector_registers(enum vdrv_transport t, unsigned int config, unsigned int queue,
    unsigned int sel)
{
	struct rig r;

	setup(&r, t);
	r.p->on_notify = serve;
	vdrv_open(&r.d, &r.m, t, 0, 1);
	vdrv_pci_write(&r.d, r.d.msix + 2, 2, 0x8000);
	assert_int_equal(vdrv_reg(&r.d, config, 2), VDRV_NO_VECTOR);
	vdrv_set_reg(&r.d, config, 2, PROBE_NQUEUES);
	assert_int_equal(vdrv_reg(&r.d, config, 2), PROBE_NQUEUES);
	vdrv_set_reg(&r.d, config, 2, PROBE_NQUEUES + 1);
	assert_int_equal(vdrv_reg(&r.d, config, 2), VDRV_NO_VECTOR);
	vdrv_set_reg(&r.d, sel, 2, 0);
	assert_int_equal(vdrv_reg(&r.d, queue, 2), VDRV_NO_VECTOR);
	vdrv_set_reg(&r.d, queue, 2, 0x8001);
	assert_int_equal(vdrv_reg(&r.d, queue, 2), VDRV_NO_VECTOR);
	/* Without a vector nothing is sent. */
	add_and_kick(&r, 0);
	virtio_cfg_changed(&r.p->dev);
	assert_int_equal(r.m.b.msis, 0);
	vdrv_set_reg(&r.d, sel, 2, 0);
	vdrv_set_reg(&r.d, queue, 2, 2);
	assert_int_equal(vdrv_reg(&r.d, queue, 2), 2);
	vdrv_set_reg(&r.d, sel, 2, PROBE_NQUEUES);
	vdrv_set_reg(&r.d, queue, 2, 1);
	assert_int_equal(vdrv_reg(&r.d, queue, 2), VDRV_NO_VECTOR);
	vdrv_reset(&r.d);
	vdrv_set_reg(&r.d, sel, 2, 0);
	assert_int_equal(vdrv_reg(&r.d, queue, 2), VDRV_NO_VECTOR);
	teardown(&r);
}

static void
test_vectors(void **state)
{
	vector_registers(VDRV_LEGACY, L_CONFIG_VECTOR, L_QUEUE_VECTOR, L_SEL);
	vector_registers(VDRV_MODERN, M_CONFIG_VECTOR, M_VECTOR, M_SEL);
}

/* -W: one MSI, and the ISR says the rest. */
static void
test_msi(void **state)
{
	struct rig r;
	unsigned int cap;

	vdrv_machine(&r.m);
	conf_set_raw(r.m.conf, "virtio_msix", "false");
	add_ops(&r, &virtio_probe_ops, NULL, VDRV_LEGACY);
	assert_int_equal(r.d.msix, 0);
	assert_int_equal(bar_size(&r, 1), 0);
	r.p->on_notify = serve;
	vdrv_open(&r.d, &r.m, VDRV_LEGACY, 0, 2);
	cap = vdrv_pci_read(&r.d, 0x34, 1);
	assert_int_equal(vdrv_pci_read(&r.d, cap, 1), 5);
	vdrv_pci_write(&r.d, cap + 4, 4, 0xfee00000);
	vdrv_pci_write(&r.d, cap + 12, 2, 0x41);
	/* The structure stays at 20. */
	assert_int_equal(board_in(&r.m.b, r.d.io + 20, 4), 0xc3c2c1c0);
	add_and_kick(&r, 0);
	assert_int_equal(r.m.b.msis, 0);
	assert_true(any_line(&r));
	assert_int_equal(vdrv_isr(&r.d), 1);
	vdrv_pci_write(&r.d, cap + 2, 2, 1);
	add_and_kick(&r, 0);
	add_and_kick(&r, 1);
	assert_int_equal(r.m.b.msis, 2);
	assert_int_equal(r.m.b.msi_data, 0x41);
	assert_false(any_line(&r));
	assert_int_equal(vdrv_isr(&r.d), 1);
	teardown(&r);
}

/* --- modern registers ----------------------------------------------------- */

static void
test_modern_features(void **state)
{
	const uint64_t offered = PROBE_FEATURES | VDRV_F_INDIRECT |
				 VDRV_F_EVENT_IDX | VDRV_F_VERSION_1;
	struct rig r;

	setup(&r, VDRV_MODERN);
	assert_true(vdrv_features(&r.d) == offered);
	vdrv_set_reg(&r.d, 0, 4, 2);
	assert_int_equal(vdrv_reg(&r.d, 0, 4), 2);
	assert_int_equal(vdrv_reg(&r.d, 4, 4), 0);
	vdrv_set_reg(&r.d, 8, 4, 2);
	vdrv_set_reg(&r.d, 12, 4, UINT32_MAX);
	assert_int_equal(vdrv_reg(&r.d, 12, 4), 0);
	/* A bit that was not offered; no VERSION_1; each alone is refused. */
	assert_false(vdrv_negotiate(&r.d, VDRV_F_VERSION_1 | BIT(6)));
	assert_int_equal(virtio_features(&r.p->dev), 0);
	assert_false(vdrv_negotiate(&r.d, BIT(5)));
	assert_false(
	    vdrv_negotiate(&r.d, VDRV_F_VERSION_1 | VDRV_F_NOTIFY_ON_EMPTY));
	assert_false(vdrv_negotiate(&r.d, VDRV_F_VERSION_1 | BIT64(63)));
	assert_true(vdrv_negotiate(&r.d, VDRV_F_VERSION_1 | BIT64(35)));
	assert_true(virtio_has(&r.p->dev, 35));
	assert_false(virtio_has(&r.p->dev, 5));
	/* Accepted ones stay. */
	vdrv_set_features(&r.d, 0);
	vdrv_set_reg(&r.d, 8, 4, 1);
	assert_int_equal(vdrv_reg(&r.d, 12, 4), 9);
	vdrv_reset(&r.d);
	assert_int_equal(virtio_features(&r.p->dev), 0);
	assert_int_equal(vdrv_reg(&r.d, 12, 4), 0);
	teardown(&r);
}

/* 3.1.1 in the wrong order. */
static void
test_modern_status(void **state)
{
	struct rig r;

	setup(&r, VDRV_MODERN);
	vdrv_set_status(&r.d, 0x30); /* no such bits */
	assert_int_equal(vdrv_status(&r.d), 0);
	vdrv_set_status(&r.d, VDRV_NEEDS_RESET);
	assert_int_equal(vdrv_status(&r.d), 0);
	vdrv_set_status(&r.d, 0x83);
	assert_int_equal(vdrv_status(&r.d), 0x83);
	vdrv_set_status(&r.d, 0x01); /* bits do not go one by one */
	assert_int_equal(vdrv_status(&r.d), 0x83);
	vdrv_set_status(&r.d, 0x07);
	assert_int_equal(r.p->starts, 0);
	assert_int_equal(vdrv_status(&r.d), 0xc3);
	vdrv_reset(&r.d);
	assert_true(vdrv_negotiate(&r.d, VDRV_F_VERSION_1));
	assert_int_equal(vdrv_status(&r.d), 0x0b);
	vdrv_driver_ok(&r.d);
	vdrv_driver_ok(&r.d);
	assert_int_equal(r.p->starts, 1);
	assert_int_equal(vdrv_status(&r.d), 0x0f);
	/* All at once is as good, if the features were there. */
	vdrv_reset(&r.d);
	vdrv_set_features(&r.d, VDRV_F_VERSION_1);
	vdrv_set_status(&r.d, 0x0f);
	assert_int_equal(vdrv_status(&r.d), 0x0f);
	assert_int_equal(r.p->starts, 2);
	teardown(&r);
}

static void
test_modern_queues(void **state)
{
	static const uint16_t bad_sizes[] = { 0, 3, 6, 7, 9, 16, 0x8000 };
	struct rig r;

	setup(&r, VDRV_MODERN);
	assert_int_equal(vdrv_reg(&r.d, M_NUM_QUEUES, 2), PROBE_NQUEUES);
	/* Closed before FEATURES_OK. */
	vdrv_set_reg(&r.d, M_SEL, 2, 1);
	vdrv_set_reg(&r.d, M_SIZE, 2, 4);
	vdrv_set_reg(&r.d, M_DESC, 4, 0x1000);
	vdrv_set_reg(&r.d, M_ENABLE, 2, 1);
	assert_int_equal(vdrv_reg(&r.d, M_SIZE, 2), PROBE_QUEUE_SIZE);
	assert_int_equal(vdrv_reg(&r.d, M_DESC, 4), 0);
	assert_int_equal(vdrv_reg(&r.d, M_ENABLE, 2), 0);
	assert_true(vdrv_negotiate(&r.d, VDRV_F_VERSION_1));
	for (unsigned int i = 0; i < ARRAY_LEN(bad_sizes); i++) {
		vdrv_set_reg(&r.d, M_SIZE, 2, bad_sizes[i]);
		assert_int_equal(vdrv_reg(&r.d, M_SIZE, 2), PROBE_QUEUE_SIZE);
	}
	assert_int_equal(vdrv_reg(&r.d, M_NOTIFY_OFF, 2), 1);
	vdrv_setup_queue(&r.d, 1, 2);
	assert_int_equal(vdrv_reg(&r.d, M_SIZE, 2), 2);
	assert_int_equal(vdrv_reg(&r.d, M_ENABLE, 2), 1);
	assert_int_equal(vdrv_reg(&r.d, M_DRIVER, 4), r.d.q[1].avail_gpa);
	/* Enabled: fixed. */
	vdrv_set_reg(&r.d, M_SIZE, 2, 4);
	vdrv_set_reg(&r.d, M_DEVICE, 4, 0);
	vdrv_set_reg(&r.d, M_DESC + 4, 4, 1);
	vdrv_set_reg(&r.d, M_ENABLE, 2, 0);
	assert_int_equal(vdrv_reg(&r.d, M_SIZE, 2), 2);
	assert_int_equal(vdrv_reg(&r.d, M_DEVICE, 4), r.d.q[1].used_gpa);
	assert_int_equal(vdrv_reg(&r.d, M_DESC + 4, 4), 0);
	assert_int_equal(vdrv_reg(&r.d, M_ENABLE, 2), 1);
	/* After DRIVER_OK no other comes. */
	vdrv_driver_ok(&r.d);
	vdrv_set_reg(&r.d, M_SEL, 2, 2);
	vdrv_set_reg(&r.d, M_DESC, 4, 0x1000);
	vdrv_set_reg(&r.d, M_ENABLE, 2, 1);
	assert_int_equal(vdrv_reg(&r.d, M_DESC, 4), 0);
	assert_int_equal(vdrv_reg(&r.d, M_ENABLE, 2), 0);
	/* There is none of that number. */
	for (unsigned int q = PROBE_NQUEUES; q < 0x10000; q += 0x3fff) {
		vdrv_set_reg(&r.d, M_SEL, 2, q);
		assert_int_equal(vdrv_reg(&r.d, M_SEL, 2), q);
		assert_int_equal(vdrv_reg(&r.d, M_SIZE, 2), 0);
		assert_int_equal(vdrv_reg(&r.d, M_ENABLE, 2), 0);
		assert_int_equal(vdrv_reg(&r.d, M_NOTIFY_OFF, 2), 0);
		assert_int_equal(vdrv_reg(&r.d, M_DESC, 4), 0);
		vdrv_set_reg(&r.d, M_SIZE, 2, 4);
		vdrv_set_reg(&r.d, M_DESC, 4, 0x1000);
		vdrv_set_reg(&r.d, M_ENABLE, 2, 1);
	}
	teardown(&r);
}

/* The size the driver chose is the ring's. */
static void
test_modern_small_queue(void **state)
{
	struct rig r;
	uint32_t len;

	setup(&r, VDRV_MODERN);
	r.p->on_notify = serve;
	vdrv_reset(&r.d);
	assert_true(vdrv_negotiate(&r.d, VDRV_F_VERSION_1));
	vdrv_setup_queue(&r.d, 0, 1);
	vdrv_driver_ok(&r.d);
	for (unsigned int i = 0; i < 5; i++) {
		add_and_kick(&r, 0);
		assert_int_equal(vdrv_used(&r.d, 0, &len), 0);
	}
	vdrv_make_available(&r.d, 0, 1); /* beyond it */
	vdrv_kick(&r.d, 0);
	assert_true((vdrv_status(&r.d) & VDRV_NEEDS_RESET) != 0);
	teardown(&r);
}

static void
bad_ring(uint64_t desc, uint64_t driver, uint64_t device)
{
	const uint64_t at[] = { desc, driver, device };
	struct rig r;

	setup(&r, VDRV_MODERN);
	vdrv_reset(&r.d);
	assert_true(vdrv_negotiate(&r.d, VDRV_F_VERSION_1));
	for (unsigned int i = 0; i < 3; i++) {
		vdrv_set_reg(&r.d, M_DESC + 8 * i, 4, (uint32_t)at[i]);
		vdrv_set_reg(
		    &r.d, M_DESC + 8 * i + 4, 4, (uint32_t)(at[i] >> 32));
	}
	vdrv_set_reg(&r.d, M_ENABLE, 2, 1);
	assert_int_equal(vdrv_reg(&r.d, M_ENABLE, 2), 0);
	assert_true((vdrv_status(&r.d) & VDRV_NEEDS_RESET) != 0);
	vdrv_driver_ok(&r.d);
	assert_int_equal(r.p->starts, 0);
	assert_false(virtio_running(&r.p->dev));
	teardown(&r);
}

static void
test_modern_bad_rings(void **state)
{
	const uint64_t end = VDRV_RAM;

	bad_ring(0x20008, 0x21000, 0x22000);
	bad_ring(0x20000, 0x21001, 0x22000);
	bad_ring(0x20000, 0x21000, 0x22002);
	bad_ring(end - 16 * PROBE_QUEUE_SIZE + 16, 0x21000, 0x22000);
	bad_ring(0x20000, end - 6 - 2 * PROBE_QUEUE_SIZE + 2, 0x22000);
	bad_ring(0x20000, 0x21000, end - 8 - 8 * PROBE_QUEUE_SIZE + 4);
	bad_ring(UINT64_MAX - 15, 0x21000, 0x22000);
	bad_ring(0x20000, 0x100021000, 0x22000);
	bad_ring(0x20000, 0x21000, PCI_ECAM_BASE);
}

static void
test_modern_config(void **state)
{
	struct rig r;
	uint8_t generation;

	setup(&r, VDRV_MODERN);
	assert_int_equal(vdrv_cfg_read(&r.d, 0, 4), 0xc3c2c1c0);
	assert_int_equal(vdrv_cfg_read(&r.d, 5, 2), 0xc6c5);
	assert_int_equal(vdrv_cfg_read(&r.d, 8, 4), 0x00cac9c8);
	assert_int_equal(vdrv_cfg_read(&r.d, 0x800, 4), 0);
	vdrv_cfg_write(&r.d, 9, 4, 0x44332211);
	assert_int_equal(vdrv_cfg_read(&r.d, 8, 4), 0x002211c8);
	generation = (uint8_t)vdrv_reg(&r.d, M_GENERATION, 1);
	virtio_cfg_changed(&r.p->dev);
	assert_int_not_equal(vdrv_reg(&r.d, M_GENERATION, 1), generation);
	/* A qword is two halves. */
	assert_true(
	    board_read(&r.m.b, r.d.mem + r.d.device, 8) == 0xc7c6c5c4c3c2c1c0);
	teardown(&r);
}

static void
test_modern_notify(void **state)
{
	struct rig r;

	setup(&r, VDRV_MODERN);
	vdrv_open(&r.d, &r.m, VDRV_MODERN, 0, PROBE_NQUEUES);
	vdrv_kick(&r.d, 2);
	assert_int_equal(r.p->notified[2], 1);
	/* Any width; the value does not matter; the place does. */
	board_write(&r.m.b, r.d.mem + r.d.notify + 4, 4, 0xffffffff);
	board_write(&r.m.b, r.d.mem + r.d.notify + 4, 1, 0);
	assert_int_equal(r.p->notified[1], 2);
	for (unsigned int off = 4 * PROBE_NQUEUES; off < 0x1000; off += 4)
		board_write(&r.m.b, r.d.mem + r.d.notify + off, 2, 0);
	assert_int_equal(
	    r.p->notified[0] + r.p->notified[1] + r.p->notified[2], 3);
	assert_int_equal(board_read(&r.m.b, r.d.mem + r.d.notify, 4), 0);
	teardown(&r);
}

/* --- through configuration space ------------------------------------------ */

static void
point(struct rig *r, uint32_t bar, uint32_t off, uint32_t len)
{
	vdrv_pci_write(&r->d, r->d.pcicfg + 4, 1, bar);
	vdrv_pci_write(&r->d, r->d.pcicfg + 8, 4, off);
	vdrv_pci_write(&r->d, r->d.pcicfg + 12, 4, len);
}

static void
test_pci_cfg_access(void **state)
{
	static const struct {
		uint32_t bar, off, len;
	} bad[] = {
		{ 4, 0, 0 },
		{ 4, 0, 3 },
		{ 4, 0, 8 },
		{ 4, 0, UINT32_MAX },
		{ 4, 2, 4 },
		{ 4, 0x4000, 4 },
		{ 4, UINT32_MAX, 1 },
		{ 1, 0, 4 },
		{ 2, 0, 4 },
		{ 255, 0, 4 },
		{ 0, 64, 4 },
	};
	struct rig r;
	unsigned int data;

	setup(&r, VDRV_MODERN);
	data = r.d.pcicfg + 16;
	assert_int_equal(vdrv_pci_read(&r.d, data, 4), 0);
	point(&r, 4, 18, 2);
	assert_int_equal(vdrv_pci_read(&r.d, data, 2), PROBE_NQUEUES);
	assert_int_equal(vdrv_pci_read(&r.d, data, 4), PROBE_NQUEUES);
	point(&r, 4, 22, 2);
	vdrv_pci_write(&r.d, data, 2, 2);
	assert_int_equal(vdrv_reg(&r.d, M_SEL, 2), 2);
	/* The capability's length rules, not the access's. */
	point(&r, 4, 0x2000, 1);
	vdrv_pci_write(&r.d, data, 4, 0x44332211);
	assert_int_equal(vdrv_cfg_read(&r.d, 0, 4), 0xc3c2c111);
	assert_int_equal(vdrv_pci_read(&r.d, data, 4), 0x11);
	point(&r, 4, 0x2000, 4);
	assert_int_equal(vdrv_pci_read(&r.d, data + 2, 2), 0xc3c2);
	/* Less than the length is no access, nor is the middle. */
	vdrv_pci_write(&r.d, data, 2, 0);
	vdrv_pci_write(&r.d, data + 2, 2, 0);
	assert_int_equal(vdrv_cfg_read(&r.d, 0, 4), 0xc3c2c111);
	/* BAR 0 too. */
	point(&r, 0, 20, 4);
	assert_int_equal(vdrv_pci_read(&r.d, data, 4), 0xc3c2c111);
	vdrv_pci_write(&r.d, data, 4, 0x01020304);
	assert_int_equal(vdrv_cfg_read(&r.d, 0, 4), 0x01020304);
	for (unsigned int i = 0; i < ARRAY_LEN(bad); i++) {
		point(&r, bad[i].bar, bad[i].off, bad[i].len);
		assert_int_equal(vdrv_pci_read(&r.d, data, 4), 0);
		vdrv_pci_write(&r.d, data, 4, UINT32_MAX);
	}
	assert_int_equal(vdrv_cfg_read(&r.d, 0, 4), 0x01020304);
	teardown(&r);
}

/* --- life ----------------------------------------------------------------- */

static void
test_reset(void **state)
{
	struct rig r;
	unsigned int resets;

	setup(&r, VDRV_MODERN);
	vdrv_open(&r.d, &r.m, VDRV_MODERN, BIT(5), PROBE_NQUEUES);
	vdrv_msix_enable(&r.d, PROBE_NQUEUES);
	resets = r.p->resets;
	vdrv_reset(&r.d);
	assert_int_equal(r.p->resets, resets + 1);
	for (unsigned int q = 0; q < PROBE_NQUEUES; q++) {
		vdrv_set_reg(&r.d, M_SEL, 2, q);
		assert_int_equal(vdrv_reg(&r.d, M_ENABLE, 2), 0);
		assert_int_equal(vdrv_reg(&r.d, M_SIZE, 2), PROBE_QUEUE_SIZE);
		assert_int_equal(vdrv_reg(&r.d, M_DESC, 4), 0);
		assert_int_equal(vdrv_reg(&r.d, M_VECTOR, 2), VDRV_NO_VECTOR);
	}
	vdrv_kick(&r.d, 0);
	assert_int_equal(r.p->notified[0], 0);
	vdrv_open(&r.d, &r.m, VDRV_MODERN, BIT(5), 1);
	chips_reset(r.m.b.ctx);
	assert_int_equal(r.p->resets, resets + 3);
	assert_false(virtio_running(&r.p->dev));
	teardown(&r);
}

/* Rings go on where they stopped. */
static void
snapshot(enum vdrv_transport t)
{
	struct rig a, b;
	uint32_t len;

	setup(&a, t);
	a.p->on_notify = serve;
	vdrv_open(&a.d, &a.m, t, BIT(5) | VDRV_F_EVENT_IDX, PROBE_NQUEUES);
	vdrv_msix_enable(&a.d, PROBE_NQUEUES);
	for (unsigned int i = 0; i < 3; i++) {
		add_and_kick(&a, 0);
		assert_int_equal(vdrv_used(&a.d, 0, &len), i);
	}
	a.p->saved = 0x5a;
	setup(&b, t);
	b.p->on_notify = serve;
	b.d = a.d;
	b.d.m = &b.m;
	chips_pause(a.m.b.ctx);
	chips_pause(b.m.b.ctx);
	/* One that nobody has seen yet. */
	a.p->on_notify = NULL;
	add_and_kick(&a, 0);
	a.p->on_notify = serve;
	assert_int_equal(a.p->pauses, 1);
	memcpy(b.m.ram, a.m.ram, VDRV_RAM);
	assert_int_equal(board_load(&b.m.b, board_save(&a.m.b)), 0);
	/* The pointers into memory are the other machine's now. */
	b.d.q[0].used_idx = vdrv_ptr(&b.d, b.d.q[0].used_gpa + 2);
	b.d.q[0].used_ring = vdrv_ptr(&b.d, b.d.q[0].used_gpa + 4);
	assert_int_equal(b.p->saved, 0x5a);
	assert_true(virtio_features(&b.p->dev) == virtio_features(&a.p->dev));
	assert_true(virtio_running(&b.p->dev));
	assert_int_equal(b.p->starts, 0);
	assert_int_equal(vdrv_used(&b.d, 0, &len), -1);
	chips_resume(b.m.b.ctx);
	assert_int_equal(b.p->resumes, 1);
	assert_int_equal(vdrv_used(&b.d, 0, &len), 3);
	assert_int_equal(vdrv_reg(&b.d, t == VDRV_LEGACY ? 20 : 16, 2), 0);
	teardown(&a);
	teardown(&b);
}

static void
test_snapshot(void **state)
{
	snapshot(VDRV_LEGACY);
	snapshot(VDRV_MODERN);
}

static void
test_snapshot_intx(void **state)
{
	struct rig a, b;

	setup(&a, VDRV_MODERN);
	setup(&b, VDRV_MODERN);
	a.p->on_notify = serve;
	vdrv_open(&a.d, &a.m, VDRV_MODERN, 0, 1);
	add_and_kick(&a, 0);
	assert_true(any_line(&a));
	memcpy(b.m.ram, a.m.ram, VDRV_RAM);
	assert_int_equal(board_load(&b.m.b, board_save(&a.m.b)), 0);
	assert_true(any_line(&b));
	assert_int_equal(vdrv_isr(&b.d), 1);
	assert_false(any_line(&b));
	teardown(&a);
	teardown(&b);
}

/* A checkpoint is as hostile as a guest. */
static void
test_snapshot_spoiled(void **state)
{
	static const struct board_flaw spoils[] = {
		{ "r->desc_gpa", 0, 1 },
		{ "r->desc_gpa", 7, 0x80 },
		{ "r->avail_gpa", 4, 1 },
		{ "r->used_gpa", 5, 1 },
		{ "r->used_gpa", 0, 2 },
		{ "r->size", 0, 0 },
		{ "r->size", 0, 3 },
		{ "r->size", 1, 1 },
		{ "r->vector", 0, PROBE_NQUEUES + 1 },
		{ "r->config_vector", 1, 7 },
		{ "r->enabled", 0, 2 },
		{ "r->features", 7, 0x80 },
		{ "r->status", 0, 0x10 },
		{ "r->isr", 0, 4 },
		{ "r->started", 0, 9 },
		{ "r->broken", 0, 255 },
	};

	for (unsigned int i = 0; i < ARRAY_LEN(spoils); i++) {
		struct rig a, b;
		struct snap *s;

		setup(&a, VDRV_MODERN);
		setup(&b, VDRV_MODERN);
		vdrv_open(&a.d, &a.m, VDRV_MODERN, 0, 1);
		vdrv_msix_enable(&a.d, 1);
		s = board_spoil(board_save(&a.m.b), spoils[i].field,
		    spoils[i].off, spoils[i].val);
		assert_int_equal(board_load(&b.m.b, s), -EINVAL);
		assert_false(virtio_running(&b.p->dev));
		assert_int_equal(vdrv_status(&b.d), 0);
		teardown(&a);
		teardown(&b);
	}
}

static void
test_any_access(void **state)
{
	uint32_t seed = 1;
	struct rig r;

	setup(&r, VDRV_MODERN);
	r.p->on_notify = serve;
	for (unsigned int i = 0; i < 100000; i++) {
		unsigned int bytes;
		uint64_t mem;
		uint16_t io;
		uint32_t val;

		seed = seed * 1664525 + 1013904223;
		bytes = 1u << (seed >> 30);
		val = seed ^ seed << 13;
		if ((seed & 0x100) != 0)
			val &= 0x0f;
		mem = r.d.mem + (seed >> 12 & 0x3) * 0x1000 + (seed >> 16 & 63);
		io = (uint16_t)(r.d.io + (seed >> 16 & 63));
		board_write(&r.m.b, mem, bytes, val);
		board_read(&r.m.b, mem, bytes);
		if (bytes < 8) {
			board_out(&r.m.b, io, bytes, val);
			board_in(&r.m.b, io, bytes);
		}
	}
	vdrv_open(&r.d, &r.m, VDRV_MODERN, 0, 1);
	teardown(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transports),
		cmocka_unit_test(test_legacy_features),
		cmocka_unit_test(test_legacy_queues),
		cmocka_unit_test(test_legacy_layout),
		cmocka_unit_test(test_legacy_early_kick),
		cmocka_unit_test(test_legacy_config),
		cmocka_unit_test(test_legacy_widths),
		cmocka_unit_test(test_intx),
		cmocka_unit_test(test_msix),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_msi),
		cmocka_unit_test(test_modern_features),
		cmocka_unit_test(test_modern_status),
		cmocka_unit_test(test_modern_queues),
		cmocka_unit_test(test_modern_small_queue),
		cmocka_unit_test(test_modern_bad_rings),
		cmocka_unit_test(test_modern_config),
		cmocka_unit_test(test_modern_notify),
		cmocka_unit_test(test_pci_cfg_access),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_snapshot),
		cmocka_unit_test(test_snapshot_intx),
		cmocka_unit_test(test_snapshot_spoiled),
		cmocka_unit_test(test_any_access),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
