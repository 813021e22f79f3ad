/* SPDX-License-Identifier: BSD-2-Clause */
/* The ring walker, through both transports. */
#include "virtio_driver.h"
#include "virtio_probe.h"

#define SIZE PROBE_QUEUE_SIZE

struct rig {
	struct vdrv_machine m;
	struct vdrv d;
	struct virtio_probe *p;
	struct vq *vq;
	struct iovec iov[16];
	struct vq_chain c;
};

static void
setup(struct rig *r, enum vdrv_transport t, uint64_t features)
{
	char err[128] = "";

	vdrv_machine(&r->m);
	if (vdrv_add_ops(&r->m, &virtio_probe_ops, NULL, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	r->p = virtio_probe;
	vdrv_open(&r->d, &r->m, t, features, PROBE_NQUEUES);
	r->vq = virtio_vq(&r->p->dev, 0);
}

static void
teardown(struct rig *r)
{
	vdrv_machine_fini(&r->m);
}

static int
pop(struct rig *r)
{
	return vq_pop(r->vq, r->iov, ARRAY_LEN(r->iov), &r->c);
}

static void
add_one(struct rig *r, uint32_t len, bool write)
{
	struct vdrv_buf b = { vdrv_alloc(&r->d, len, 1), len, write };

	vdrv_add(&r->d, 0, &b, 1);
}

static void
expect_broken(struct rig *r)
{
	assert_int_equal(pop(r), -1);
	assert_true((vdrv_status(&r->d) & VDRV_NEEDS_RESET) != 0);
	assert_false(virtio_running(&r->p->dev));
	assert_int_equal(pop(r), 0); /* off until a reset */
	assert_false(vq_has_work(r->vq));
	/* A reset heals. */
	vdrv_open(&r->d, &r->m, r->d.transport,
	    r->d.transport == VDRV_MODERN ? VDRV_F_INDIRECT : 0, 1);
	assert_true(virtio_running(&r->p->dev));
	add_one(r, 16, true);
	assert_int_equal(pop(r), 1);
	vq_push(r->vq, &r->c, 0);
}

/* --- the way it should be ------------------------------------------------- */

static void
round_trip(enum vdrv_transport t)
{
	struct rig r;
	struct vdrv_buf b[3];
	uint32_t len = 0;
	uint8_t data[32];
	uint16_t head;

	setup(&r, t, 0);
	assert_int_equal(pop(&r), 0);
	assert_false(vq_has_work(r.vq));
	b[0] = (struct vdrv_buf){ vdrv_copy(&r.d, "hello", 5), 5, false };
	b[1] = (struct vdrv_buf){ vdrv_copy(&r.d, " world", 6), 6, false };
	b[2] = (struct vdrv_buf){ vdrv_alloc(&r.d, 20, 1), 20, true };
	head = vdrv_add(&r.d, 0, b, 3);
	vdrv_kick(&r.d, 0);
	assert_int_equal(r.p->notified[0], 1);
	assert_true(vq_has_work(r.vq));
	assert_int_equal(pop(&r), 1);
	assert_int_equal(r.c.head, head);
	assert_int_equal(r.c.niov, 3);
	assert_int_equal(r.c.niov_out, 2);
	assert_int_equal(r.c.len_out, 11);
	assert_int_equal(r.c.len_in, 20);
	/* Copies: across buffers, from the middle, short at the end. */
	assert_int_equal(vq_chain_read(&r.c, 0, data, 32), 11);
	assert_memory_equal(data, "hello world", 11);
	assert_int_equal(vq_chain_read(&r.c, 4, data, 3), 3);
	assert_memory_equal(data, "o w", 3);
	assert_int_equal(vq_chain_read(&r.c, 11, data, 3), 0);
	assert_int_equal(vq_chain_read(&r.c, UINT64_MAX, data, 3), 0);
	assert_int_equal(vq_chain_write(&r.c, 18, "abc", 3), 2);
	assert_int_equal(vq_chain_write(&r.c, 0, "xyz", 3), 3);
	assert_memory_equal(vdrv_ptr(&r.d, b[2].gpa), "xyz", 3);
	assert_memory_equal(vdrv_ptr(&r.d, b[2].gpa + 18), "ab", 2);
	assert_int_equal(vdrv_used(&r.d, 0, &len), -1);
	vq_push(r.vq, &r.c, 20);
	assert_int_equal(vdrv_used(&r.d, 0, &len), head);
	assert_int_equal(len, 20);
	vq_notify(r.vq);
	assert_int_equal(vdrv_isr(&r.d), 1);
	assert_int_equal(vdrv_isr(&r.d), 0);
	vq_notify(r.vq); /* nothing new */
	assert_int_equal(vdrv_isr(&r.d), 0);
	teardown(&r);
}

static void
test_round_trip(void **state)
{
	round_trip(VDRV_LEGACY);
	round_trip(VDRV_MODERN);
}

/* Indices go round 2^16, in any order of completion. */
static void
test_wrap(void **state)
{
	struct rig r;
	struct vq_chain held[4];
	struct iovec iov[4][1];
	uint32_t len;

	setup(&r, VDRV_MODERN, VDRV_F_EVENT_IDX);
	for (unsigned int round = 0; round < 65536 / 4 + 10; round++) {
		r.d.brk = 0x100000;
		for (unsigned int i = 0; i < 4; i++)
			add_one(&r, 8, true);
		for (unsigned int i = 0; i < 4; i++)
			assert_int_equal(vq_pop(r.vq, iov[i], 1, &held[i]), 1);
		for (unsigned int i = 0; i < 4; i++) {
			vq_push(r.vq, &held[i ^ 1], i);
			assert_int_equal(
			    vdrv_used(&r.d, 0, &len), held[i ^ 1].head);
			assert_int_equal(len, i);
		}
		vq_notify(r.vq);
		assert_int_equal(pop(&r), 0);
	}
	assert_int_equal(*r.d.q[0].avail_idx, 40);
	assert_int_equal(*r.d.q[0].used_idx, 40);
	assert_int_equal(*r.d.q[0].avail_event, 40);
	teardown(&r);
}

/* 2.7.7.2 and 2.7.10: only the entry used_event asks for makes a noise. */
static void
test_event_index(void **state)
{
	struct rig r;

	setup(&r, VDRV_MODERN, VDRV_F_EVENT_IDX);
	*r.d.q[0].used_event = 1;
	/* With event index the flags mean nothing. */
	*r.d.q[0].avail_flags = 1;
	for (unsigned int i = 0; i < 4; i++) {
		add_one(&r, 8, true);
		assert_int_equal(pop(&r), 1);
		vq_push(r.vq, &r.c, 0);
		vq_notify(r.vq);
		assert_int_equal(vdrv_isr(&r.d), i == 1);
	}
	/* Several at once, the asked one among them. */
	*r.d.q[0].used_event = 5;
	for (unsigned int i = 0; i < 3; i++) {
		add_one(&r, 8, true);
		assert_int_equal(pop(&r), 1);
		vq_push(r.vq, &r.c, 0);
	}
	vq_notify(r.vq);
	assert_int_equal(vdrv_isr(&r.d), 1);
	/* Found empty: asks to hear of the next one. */
	assert_int_equal(pop(&r), 0);
	assert_int_equal(*r.d.q[0].avail_event, 7);
	/* Not while the model polls. */
	vq_kicks_off(r.vq);
	add_one(&r, 8, true);
	assert_int_equal(pop(&r), 1);
	assert_int_equal(pop(&r), 0);
	assert_int_equal(*r.d.q[0].avail_event, 7);
	assert_int_equal(*r.d.q[0].used_flags, 0);
	add_one(&r, 8, true);
	assert_true(vq_kicks_on(r.vq)); /* came in the meantime */
	assert_int_equal(*r.d.q[0].avail_event, 8);
	assert_int_equal(pop(&r), 1);
	assert_false(vq_kicks_on(r.vq));
	assert_int_equal(*r.d.q[0].avail_event, 9);
	teardown(&r);
}

static void
test_flags(void **state)
{
	struct rig r;

	setup(&r, VDRV_MODERN, 0);
	*r.d.q[0].avail_flags = 1; /* no interrupts */
	add_one(&r, 8, true);
	assert_int_equal(pop(&r), 1);
	vq_push(r.vq, &r.c, 0);
	vq_notify(r.vq);
	assert_int_equal(vdrv_isr(&r.d), 0);
	*r.d.q[0].avail_flags = 0;
	add_one(&r, 8, true);
	assert_int_equal(pop(&r), 1);
	vq_push(r.vq, &r.c, 0);
	vq_notify(r.vq);
	assert_int_equal(vdrv_isr(&r.d), 1);
	vq_kicks_off(r.vq);
	assert_int_equal(*r.d.q[0].used_flags, 1);
	assert_false(vq_kicks_on(r.vq));
	assert_int_equal(*r.d.q[0].used_flags, 0);
	teardown(&r);
}

static void
test_notify_on_empty(void **state)
{
	struct rig r;

	setup(&r, VDRV_LEGACY, VDRV_F_NOTIFY_ON_EMPTY);
	*r.d.q[0].avail_flags = 1;
	add_one(&r, 8, true);
	add_one(&r, 8, true);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(pop(&r), 1);
		vq_push(r.vq, &r.c, 0);
		vq_notify(r.vq);
		assert_int_equal(vdrv_isr(&r.d), i);
	}
	teardown(&r);
}

static void
test_unpop(void **state)
{
	struct rig r;
	uint16_t heads[3];

	setup(&r, VDRV_MODERN, 0);
	for (unsigned int i = 0; i < 3; i++)
		add_one(&r, 8, true);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(pop(&r), 1);
		heads[i] = r.c.head;
	}
	assert_int_equal(pop(&r), 0);
	/* The ring may change under us: what was popped is remembered. */
	memset(r.d.q[0].avail_ring, 0x55, 2 * SIZE);
	vq_unpop(r.vq, 2);
	r.d.q[0].avail_ring[1] = heads[1];
	r.d.q[0].avail_ring[2] = heads[2];
	for (unsigned int i = 1; i < 3; i++) {
		assert_int_equal(pop(&r), 1);
		assert_int_equal(r.c.head, heads[i]);
	}
	assert_int_equal(pop(&r), 0);
	teardown(&r);
}

static void
test_indirect(void **state)
{
	struct rig r;
	struct vdrv_buf b[3];
	uint64_t odd;

	setup(&r, VDRV_MODERN, VDRV_F_INDIRECT);
	b[0] = (struct vdrv_buf){ vdrv_copy(&r.d, "abc", 3), 3, false };
	b[1] = (struct vdrv_buf){ vdrv_alloc(&r.d, 4, 1), 4, true };
	b[2] = (struct vdrv_buf){ vdrv_alloc(&r.d, 5, 1), 5, true };
	vdrv_add_indirect(&r.d, 0, b, 3);
	assert_int_equal(pop(&r), 1);
	assert_int_equal(r.c.niov, 3);
	assert_int_equal(r.c.niov_out, 1);
	assert_int_equal(r.c.len_in, 9);
	vq_push(r.vq, &r.c, 0);
	/* A direct one first; WRITE beside INDIRECT is ignored (2.7.5.3.2). */
	r.d.q[0].next_desc = 0;
	vdrv_set_desc(&r.d, 0, 0, b[0].gpa, 3, VDRV_DESC_NEXT, 5);
	/* At an odd address. */
	odd = vdrv_alloc(&r.d, 33, 16) + 1;
	memcpy(vdrv_ptr(&r.d, odd),
	    &(struct vdrv_desc){ b[1].gpa, 4, VDRV_DESC_WRITE, 0 }, 16);
	vdrv_set_desc(
	    &r.d, 0, 5, odd, 16, VDRV_DESC_INDIRECT | VDRV_DESC_WRITE, 0);
	vdrv_make_available(&r.d, 0, 0);
	assert_int_equal(pop(&r), 1);
	assert_int_equal(r.c.niov, 2);
	assert_int_equal(r.c.len_out, 3);
	assert_int_equal(r.c.len_in, 4);
	teardown(&r);
}

/* Legal by the letter: skipped. */
static void
test_empty_buffers(void **state)
{
	struct rig r;
	struct vdrv_buf b[3] = { { 0, 0, false }, { 0x20000, 4, false },
		{ UINT64_MAX, 0, true } };

	setup(&r, VDRV_MODERN, 0);
	vdrv_add(&r.d, 0, b, 3);
	vdrv_add(&r.d, 0, b, 1);
	assert_int_equal(pop(&r), 1);
	assert_int_equal(r.c.niov, 1);
	assert_int_equal(r.c.niov_out, 1);
	assert_int_equal(pop(&r), 1);
	assert_int_equal(r.c.niov, 0);
	assert_int_equal(r.c.len_out + r.c.len_in, 0);
	teardown(&r);
}

/* Buffers that were there before DRIVER_OK are not forgotten. */
static void
test_early_buffers(void **state)
{
	struct rig r;

	setup(&r, VDRV_MODERN, 0);
	vdrv_reset(&r.d);
	memset(r.p->notified, 0, sizeof(r.p->notified));
	assert_true(vdrv_negotiate(&r.d, VDRV_F_VERSION_1));
	vdrv_setup_queue(&r.d, 0, 0);
	add_one(&r, 8, true);
	vdrv_kick(&r.d, 0);
	assert_int_equal(r.p->notified[0], 0);
	assert_int_equal(pop(&r), 0);
	vdrv_driver_ok(&r.d);
	assert_int_equal(r.p->notified[0], 1);
	assert_int_equal(r.p->notified[1], 0);
	assert_int_equal(pop(&r), 1);
	teardown(&r);
}

/* --- malformed ------------------------------------------------------------ */

struct bad {
	const char *what;
	uint64_t features;
	void (*make)(struct rig *);
};

static void
bad_head(struct rig *r)
{
	vdrv_make_available(&r->d, 0, SIZE);
}

static void
bad_next(struct rig *r)
{
	vdrv_set_desc(&r->d, 0, 0, 0x20000, 4, VDRV_DESC_NEXT, SIZE);
	vdrv_make_available(&r->d, 0, 0);
}

static void
bad_loop(struct rig *r)
{
	vdrv_set_desc(&r->d, 0, 0, 0x20000, 4, VDRV_DESC_NEXT, 1);
	vdrv_set_desc(&r->d, 0, 1, 0x20000, 4, VDRV_DESC_NEXT, 0);
	vdrv_make_available(&r->d, 0, 0);
}

/* Nothing to fill the iovecs, so only counting ends it. */
static void
bad_empty_loop(struct rig *r)
{
	vdrv_set_desc(&r->d, 0, 0, 0, 0, VDRV_DESC_NEXT, 0);
	vdrv_make_available(&r->d, 0, 0);
}

static void
bad_order(struct rig *r)
{
	const struct vdrv_buf b[] = { { 0x20000, 4, true },
		{ 0x20010, 4, false } };

	vdrv_add(&r->d, 0, b, 2);
}

static void
bad_outside(struct rig *r)
{
	const struct vdrv_buf b = { VDRV_RAM, 4, false };

	vdrv_add(&r->d, 0, &b, 1);
}

static void
bad_end_of_ram(struct rig *r)
{
	const struct vdrv_buf b = { VDRV_RAM - 4, 5, true };

	vdrv_add(&r->d, 0, &b, 1);
}

static void
bad_wrap(struct rig *r)
{
	const struct vdrv_buf b = { UINT64_MAX - 3, 8, true };

	vdrv_add(&r->d, 0, &b, 1);
}

static void
bad_too_many(struct rig *r)
{
	struct vdrv_buf b[17];

	for (unsigned int i = 0; i < ARRAY_LEN(b); i++)
		b[i] = (struct vdrv_buf){ 0x20000, 4, false };
	vdrv_add_indirect(&r->d, 0, b, ARRAY_LEN(b));
}

static void
bad_busy(struct rig *r)
{
	add_one(r, 4, true);
	assert_int_equal(pop(r), 1);
	vdrv_make_available(&r->d, 0, r->c.head);
}

static void
bad_avail_idx(struct rig *r)
{
	*r->d.q[0].avail_idx += SIZE + 1;
}

static void
indirect(struct rig *r, uint64_t gpa, uint32_t len, uint16_t flags)
{
	vdrv_set_desc(&r->d, 0, 0, gpa, len, VDRV_DESC_INDIRECT | flags, 1);
	vdrv_make_available(&r->d, 0, 0);
}

static void
bad_indirect_size(struct rig *r)
{
	indirect(r, 0x20000, 24, 0);
}

static void
bad_indirect_empty(struct rig *r)
{
	indirect(r, 0x20000, 0, 0);
}

static void
bad_indirect_next(struct rig *r)
{
	indirect(r, 0x20000, 16, VDRV_DESC_NEXT);
}

static void
bad_indirect_outside(struct rig *r)
{
	indirect(r, VDRV_RAM - 16, 32, 0);
}

static void
bad_indirect_nested(struct rig *r)
{
	const struct vdrv_desc d = { 0x20000, 16, VDRV_DESC_INDIRECT, 0 };

	indirect(r, vdrv_copy(&r->d, &d, 16), 16, 0);
}

static void
bad_indirect_index(struct rig *r)
{
	const struct vdrv_desc d = { 0x20000, 4, VDRV_DESC_NEXT, 1 };

	indirect(r, vdrv_copy(&r->d, &d, 16), 16, 0);
}

/* A loop in a table as long as memory allows. */
static void
bad_indirect_loop(struct rig *r)
{
	const struct vdrv_desc d = { 0, 0, VDRV_DESC_NEXT, 0 };
	uint64_t gpa = vdrv_copy(&r->d, &d, 16);

	indirect(r, gpa, (uint32_t)((VDRV_RAM - gpa) & ~15u), 0);
}

static const struct bad bads[] = {
	{ "head beyond the ring", 0, bad_head },
	{ "next beyond the ring", 0, bad_next },
	{ "loop", 0, bad_loop },
	{ "loop of empty buffers", 0, bad_empty_loop },
	{ "readable after writable", 0, bad_order },
	{ "outside RAM", 0, bad_outside },
	{ "across the end of RAM", 0, bad_end_of_ram },
	{ "across 2^64", 0, bad_wrap },
	{ "more buffers than iovecs", VDRV_F_INDIRECT, bad_too_many },
	{ "a head twice in flight", 0, bad_busy },
	{ "avail->idx too far ahead", 0, bad_avail_idx },
	{ "indirect not negotiated", 0, bad_too_many },
	{ "indirect of odd size", VDRV_F_INDIRECT, bad_indirect_size },
	{ "indirect of no size", VDRV_F_INDIRECT, bad_indirect_empty },
	{ "indirect with next", VDRV_F_INDIRECT, bad_indirect_next },
	{ "indirect outside RAM", VDRV_F_INDIRECT, bad_indirect_outside },
	{ "indirect in indirect", VDRV_F_INDIRECT, bad_indirect_nested },
	{ "next beyond the table", VDRV_F_INDIRECT, bad_indirect_index },
	{ "loop in a table", VDRV_F_INDIRECT, bad_indirect_loop },
};

static void
test_malformed(void **state)
{
	for (unsigned int i = 0; i < 2 * ARRAY_LEN(bads); i++) {
		const struct bad *bad = &bads[i / 2];
		enum vdrv_transport t = i % 2 ? VDRV_MODERN : VDRV_LEGACY;
		struct rig r;

		print_message("%s\n", bad->what);
		setup(&r, t, bad->features);
		bad->make(&r);
		expect_broken(&r);
		teardown(&r);
	}
}

/* --- memory that is not there --------------------------------------------- */

static void
test_bus_master_off(void **state)
{
	struct rig r;
	uint32_t len;

	setup(&r, VDRV_MODERN, 0);
	add_one(&r, 8, true);
	add_one(&r, 8, true);
	assert_int_equal(pop(&r), 1);
	vdrv_pci_write(&r.d, 4, 2, 3);
	assert_int_equal(vq_pop(r.vq, r.iov, 1, &r.c), 0);
	vq_push(r.vq, &r.c, 0);
	vq_notify(r.vq);
	assert_int_equal(vdrv_used(&r.d, 0, &len), -1);
	vdrv_pci_write(&r.d, 4, 2, 7);
	assert_int_equal(pop(&r), 1);
	teardown(&r);
}

/* Enabled while bus mastering is off: looked up when it is used. */
static void
test_bus_master_late(void **state)
{
	struct rig r;

	setup(&r, VDRV_MODERN, 0);
	vdrv_reset(&r.d);
	vdrv_pci_write(&r.d, 4, 2, 3);
	assert_true(vdrv_negotiate(&r.d, VDRV_F_VERSION_1));
	vdrv_setup_queue(&r.d, 0, 0);
	vdrv_driver_ok(&r.d);
	add_one(&r, 8, true);
	assert_int_equal(pop(&r), 0);
	vdrv_pci_write(&r.d, 4, 2, 7);
	assert_int_equal(pop(&r), 1);
	/* The same with a ring that is nowhere. */
	vdrv_reset(&r.d);
	vdrv_pci_write(&r.d, 4, 2, 3);
	assert_true(vdrv_negotiate(&r.d, VDRV_F_VERSION_1));
	vdrv_set_reg(&r.d, 22, 2, 0);
	vdrv_set_reg(&r.d, 32, 4, VDRV_RAM);
	vdrv_set_reg(&r.d, 28, 2, 1);
	vdrv_driver_ok(&r.d);
	assert_true(virtio_running(&r.p->dev));
	vdrv_pci_write(&r.d, 4, 2, 7);
	assert_int_equal(pop(&r), 0);
	assert_true((vdrv_status(&r.d) & VDRV_NEEDS_RESET) != 0);
	teardown(&r);
}

/* --- reset ---------------------------------------------------------------- */

static struct vq_chain stale;

static void
push_in_reset(struct virtio_probe *p)
{
	struct vq *vq = virtio_vq(&p->dev, 0);

	assert_false(virtio_running(&p->dev));
	vq_push(vq, &stale, 8);
	vq_notify(vq);
}

/* What comes late must not reach rings that are the driver's again. */
static void
test_stale_completion(void **state)
{
	struct rig r;
	uint32_t generation, len;

	setup(&r, VDRV_MODERN, 0);
	add_one(&r, 8, true);
	assert_int_equal(pop(&r), 1);
	stale = r.c;
	generation = virtio_generation(&r.p->dev);
	r.p->on_reset = push_in_reset;
	vdrv_reset(&r.d);
	assert_int_equal(vdrv_used(&r.d, 0, &len), -1);
	assert_int_equal(vdrv_isr(&r.d), 0);
	assert_int_not_equal(virtio_generation(&r.p->dev), generation);
	/* Nor those of the next life, where the same head is in flight. */
	r.p->on_reset = NULL;
	vdrv_open(&r.d, &r.m, VDRV_MODERN, 0, 1);
	add_one(&r, 8, true);
	assert_int_equal(pop(&r), 1);
	assert_int_equal(r.c.head, stale.head);
	vq_push(r.vq, &stale, 8);
	vq_notify(r.vq);
	assert_int_equal(vdrv_used(&r.d, 0, &len), -1);
	vq_push(r.vq, &r.c, 3);
	assert_int_equal(vdrv_used(&r.d, 0, &len), r.c.head);
	assert_int_equal(len, 3);
	teardown(&r);
}

static void
test_broken_then_push(void **state)
{
	struct rig r;
	uint32_t len;

	setup(&r, VDRV_MODERN, 0);
	add_one(&r, 8, true);
	assert_int_equal(pop(&r), 1);
	virtio_broken(&r.p->dev, "the test says so");
	assert_int_equal(vdrv_isr(&r.d), 2); /* 2.1.2: and tells */
	virtio_broken(&r.p->dev, "again");
	assert_int_equal(vdrv_isr(&r.d), 0);
	vq_push(r.vq, &r.c, 8);
	vq_notify(r.vq);
	assert_int_equal(vdrv_used(&r.d, 0, &len), -1);
	assert_false(vq_kicks_on(r.vq));
	vdrv_kick(&r.d, 0);
	assert_int_equal(r.p->notified[0], 0);
	teardown(&r);
}

/* Several chains become visible at once. */
static void
test_fill(void **state)
{
	struct vq_chain held[3];
	struct iovec iov[3][1];
	struct rig r;
	uint32_t len;

	setup(&r, VDRV_MODERN, 0);
	for (unsigned int i = 0; i < 3; i++) {
		add_one(&r, 8, true);
		assert_int_equal(vq_pop(r.vq, iov[i], 1, &held[i]), 1);
		vq_fill(r.vq, &held[i], i);
		assert_int_equal(*r.d.q[0].used_idx, 0);
	}
	vq_flush(r.vq);
	assert_int_equal(*r.d.q[0].used_idx, 3);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(vdrv_used(&r.d, 0, &len), held[i].head);
		assert_int_equal(len, i);
	}
	/* Nothing was filled; and a reset forgets what was not shown. */
	vq_flush(r.vq);
	assert_int_equal(*r.d.q[0].used_idx, 3);
	add_one(&r, 8, true);
	assert_int_equal(pop(&r), 1);
	vq_fill(r.vq, &r.c, 8);
	vdrv_open(&r.d, &r.m, VDRV_MODERN, 0, 1);
	vq_flush(r.vq);
	assert_int_equal(*r.d.q[0].used_idx, 0);
	teardown(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fill),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_event_index),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_notify_on_empty),
		cmocka_unit_test(test_unpop),
		cmocka_unit_test(test_indirect),
		cmocka_unit_test(test_empty_buffers),
		cmocka_unit_test(test_early_buffers),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_bus_master_off),
		cmocka_unit_test(test_bus_master_late),
		cmocka_unit_test(test_stale_completion),
		cmocka_unit_test(test_broken_then_push),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
