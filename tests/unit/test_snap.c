/* SPDX-License-Identifier: BSD-2-Clause */
/* test_snap.c - snapshot streams, whole and damaged; the list of chips. */
#include "test.h"

#include <errno.h>
#include <stdlib.h>

#include <vmm/chip.h>
#include <vmm/snap.h>

#include "fake_engine.h"

struct regs {
	uint8_t a;
	uint32_t b;
	uint64_t c[40];
};

static int
transfer(struct snap *s, struct regs *r)
{
	snap_var(s, r->a);
	snap_var(s, r->b);
	snap_var(s, r->c);
	return snap_error(s);
}

static struct snap *
saved(struct regs *r)
{
	struct snap *s = snap_create_save();

	assert_false(snap_loading(s));
	assert_int_equal(transfer(s, r), 0);
	return s;
}

static void
round_trip(void **state)
{
	struct regs r = { 1, 0xdeadbeef, { 3, 4, 5 } }, out = { 0 };
	struct snap *s = saved(&r), *l;
	size_t len;
	const void *data = snap_data(s, &len);

	assert_true(len > sizeof(r.c));
	l = snap_create_load(data, len);
	snap_destroy(s); /* the load has its own copy */
	assert_true(snap_loading(l));
	assert_int_equal(transfer(l, &out), 0);
	assert_true(out.a == r.a && out.b == r.b);
	assert_memory_equal(out.c, r.c, sizeof(r.c));
	/* There is no more. */
	assert_int_equal(snap_var(l, out.a), -EINVAL);
	assert_int_equal(snap_error(l), -EINVAL);
	snap_destroy(l);
	snap_destroy(NULL);
}

static void
wrong_fields(void **state)
{
	struct regs r = { 1, 2, { 3 } };
	struct snap *s = saved(&r), *l;
	size_t len;
	const void *data = snap_data(s, &len);
	uint8_t a = 9;
	uint16_t wide = 9;

	l = snap_create_load(data, len);
	assert_int_equal(snap_bytes(l, "other", &a, 1), -EINVAL);
	assert_int_equal(a, 9);
	/* Sticky: nothing more is read, not even what would fit. */
	assert_int_equal(snap_bytes(l, "r->a", &a, 1), -EINVAL);
	assert_int_equal(a, 9);
	snap_destroy(l);
	l = snap_create_load(data, len);
	assert_int_equal(snap_bytes(l, "r->a", &wide, 2), -EINVAL);
	assert_int_equal(wide, 9);
	snap_destroy(l);
	l = snap_create_load(data, len);
	assert_int_equal(snap_bytes(l, "r->a", &a, 1), 0);
	assert_int_equal(a, 1);
	snap_fail(l); /* the device does not believe it */
	assert_int_equal(snap_error(l), -EINVAL);
	assert_int_equal(snap_bytes(l, "r->b", &r.b, 4), -EINVAL);
	snap_destroy(l);
	snap_destroy(s);
}

/* Every truncation fails, and none reads past the end (run under ASan). */
static void
truncated(void **state)
{
	struct regs r = { 1, 2, { 3 } }, out;
	struct snap *s = saved(&r);
	size_t len;
	const uint8_t *data = snap_data(s, &len);

	for (size_t n = 0; n < len; n++) {
		struct snap *l = snap_create_load(data, n);

		out = (struct regs){ .c = { 77 } };
		assert_int_equal(transfer(l, &out), -EINVAL);
		assert_int_equal(out.c[0], 77);
		snap_destroy(l);
	}
	snap_destroy(s);
}

/* One byte changed: refused, unless the byte is a register's value. */
static void
damaged(void **state)
{
	struct regs r = { 1, 2, { 3 } }, out;
	struct snap *s = saved(&r);
	size_t len, refused = 0;
	const uint8_t *data = snap_data(s, &len);
	uint8_t *copy = malloc(len);

	for (size_t i = 0; i < len; i++) {
		struct snap *l;

		memcpy(copy, data, len);
		copy[i] ^= 0xff;
		l = snap_create_load(copy, len);
		out = r;
		refused += transfer(l, &out) != 0;
		snap_destroy(l);
	}
	assert_int_equal(
	    refused, len - sizeof(r.a) - sizeof(r.b) - sizeof(r.c));
	free(copy);
	snap_destroy(s);
}

static void
names_too_long(void **state)
{
	struct snap *s = snap_create_save();
	char name[300];
	uint8_t v = 1;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(snap_bytes(s, name, &v, 1), -EINVAL);
	snap_destroy(s);
}

/* --- chips --------------------------------------------------------------- */

static char order[128];

struct fakechip {
	char id;
	uint32_t reg;
	struct lock lock;
};

static void
mark(struct fakechip *c, char what)
{
	size_t n = strlen(order);

	/* Capitals: the lock was held. */
	if (pthread_mutex_trylock(&c->lock.m) == 0)
		pthread_mutex_unlock(&c->lock.m);
	else
		what = (char)(what - 0x20);
	order[n] = what;
	order[n + 1] = c->id;
	order[n + 2] = '\0';
}

static void
chip_reset(void *arg)
{
	mark(arg, 'r');
	((struct fakechip *)arg)->reg = 0;
}

static void
chip_pause(void *arg)
{
	mark(arg, 'p');
}

static void
chip_snapshot(void *arg, struct snap *s)
{
	struct fakechip *c = arg;

	mark(c, 's');
	snap_var(s, c->reg);
	if (snap_loading(s) && c->reg > 100)
		snap_fail(s);
}

static void
chip_fini(void *arg)
{
	mark(arg, 'f');
	free(arg);
}

static const struct chip_ops chip_a_ops = {
	.name = "a",
	.reset = chip_reset,
	.pause = chip_pause,
	.snapshot = chip_snapshot,
	.fini = chip_fini,
};
static const struct chip_ops chip_b_ops = {
	.name = "b",
	.reset = chip_reset,
	.snapshot = chip_snapshot,
	.fini = chip_fini,
};

static struct fakechip *
chip_new(struct vmctx *ctx, const struct chip_ops *ops, bool locked)
{
	struct fakechip *c = calloc(1, sizeof(*c));

	c->id = ops->name[0];
	lock_init(&c->lock);
	chip_add(ctx, ops, c, locked ? &c->lock : NULL);
	return c;
}

static void
chips_in_order(void **state)
{
	struct vmctx *ctx = fake_vm_new(1, NULL);

	order[0] = '\0';
	chip_new(ctx, &chip_a_ops, true);
	chip_new(ctx, &chip_b_ops, false);
	for (int i = 0; i < 10; i++) /* the list grows */
		chip_new(ctx, &chip_b_ops, false);
	assert_int_equal(vm_reinit(ctx), 0);
	assert_string_equal(order, "Rarbrbrbrbrbrbrbrbrbrbrb");
	order[0] = '\0';
	chips_pause(ctx); /* b has no pause, nobody has resume */
	chips_resume(ctx);
	assert_string_equal(order, "Pa");
	order[0] = '\0';
	vm_close(ctx);
	assert_string_equal(order, "fbfbfbfbfbfbfbfbfbfbfbfa");
}

static void
chips_save_and_load(void **state)
{
	struct vmctx *ctx = fake_vm_new(1, NULL), *other;
	struct fakechip *a = chip_new(ctx, &chip_a_ops, true);
	struct fakechip *b = chip_new(ctx, &chip_b_ops, true);
	struct snap *s = snap_create_save(), *l;
	const void *data;
	size_t len;

	order[0] = '\0';
	a->reg = 11;
	b->reg = 12;
	assert_int_equal(chips_snapshot(ctx, s), 0);
	assert_string_equal(order, "SaSb");
	data = snap_data(s, &len);
	chips_reset(ctx);
	assert_int_equal(a->reg + b->reg, 0);
	l = snap_create_load(data, len);
	assert_int_equal(chips_snapshot(ctx, l), 0);
	assert_true(a->reg == 11 && b->reg == 12);
	snap_destroy(l);
	/* A machine that is put together differently. */
	other = fake_vm_new(1, NULL);
	b = chip_new(other, &chip_b_ops, true);
	a = chip_new(other, &chip_a_ops, true);
	l = snap_create_load(data, len);
	assert_int_equal(chips_snapshot(other, l), -EINVAL);
	assert_int_equal(a->reg + b->reg, 0);
	snap_destroy(l);
	chip_new(other, &chip_a_ops, true);
	l = snap_create_load(data, len);
	assert_int_equal(chips_snapshot(other, l), -EINVAL);
	snap_destroy(l);
	snap_destroy(s);
	vm_close(other);
	vm_close(ctx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(wrong_fields),
		cmocka_unit_test(truncated),
		cmocka_unit_test(damaged),
		cmocka_unit_test(names_too_long),
		cmocka_unit_test(chips_in_order),
		cmocka_unit_test(chips_save_and_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
