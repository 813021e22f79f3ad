/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_soft_smc.c - tracking of pages that hold decoded code.
 *
 * The last test is the one that matters: CPUs rewrite bytes through the TLB's
 * fast path and mem_write_slow() while another keeps "decoded" copies exactly
 * as the block cache does; no copy may be used that is older than a store
 * already known to have completed.  It is meant to be run under TSan as well.
 */
#include "fake_soft.h"
#include "mmu.h"
#include "mmu_priv.h"
#include "smc.h"
#include "smc_priv.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define RAM_SIZE 0x1000000ull

struct env {
	struct soft_vm *vm;
	struct soft_cpu *c[3];
};

static int
env_setup(void **state)
{
	struct env *v = calloc(1, sizeof(*v));

	v->vm = fake_vm_create(RAM_SIZE);
	for (unsigned int i = 0; i < 3; i++)
		v->c[i] = fake_cpu_create(v->vm, i);
	*state = v;
	return 0;
}

static int
env_teardown(void **state)
{
	struct env *v = *state;

	fake_vm_destroy(v->vm);
	free(v);
	return 0;
}

/* Decode and be sure; the CPU is alone. */
static uint32_t
decode(struct soft_cpu *c, uint64_t off, unsigned int len)
{
	uint32_t gen = smc_begin_decode(c, off, len);

	assert_true(smc_certain(c, off));
	assert_true(smc_is_code(c->vm, off));
	return gen;
}

static bool
store_hits(struct soft_cpu *c, uint64_t la)
{
	uint32_t gen = *smc_gen(c->vm, la);
	bool hit;

	c->smc_hit = false;
	assert_true(mem_write_slow(c, la, 1, 0));
	hit = c->smc_hit;
	assert_int_equal(hit, *smc_gen(c->vm, la) != gen);
	c->smc_hit = false;
	return hit;
}

static void
test_granules(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c[0];

	for (unsigned int g = 0; g < 64; g++) {
		const uint64_t page = 0x10000 + 0x1000 * g, at = page + 64 * g;
		uint32_t gen = decode(c, at + 10, 20);

		assert_int_equal(*smc_gen(c->vm, page), gen);
		if (g > 0)
			assert_false(store_hits(c, at - 1));
		if (g < 63)
			assert_false(store_hits(c, at + 64));
		assert_null(tlb_write_ptr(c, at, 1));
		assert_true(store_hits(c, at));
		/* Plain data again: the next store is a fast one. */
		assert_false(smc_is_code(c->vm, page));
		assert_false(store_hits(c, at));
		assert_non_null(tlb_write_ptr(c, at, 1));
	}
	/* A range over two granules, and the whole page. */
	decode(c, 0x60000 + 60, 8);
	assert_true(store_hits(c, 0x60000 + 127));
	decode(c, 0x60000, 4096);
	assert_true(store_hits(c, 0x60fff));
	/* Every shape of store sees the marks. */
	decode(c, 0x61000, 1);
	assert_true(mem_write_slow(c, 0x60ffc, 8, 0));
	assert_true(c->smc_hit);
	c->smc_hit = false;
	decode(c, 0x61040, 1);
	assert_true(mem_write_buf(c, 0x61030, c->bounce, 32));
	assert_true(c->smc_hit);
	c->smc_hit = false;
	decode(c, 0x61040, 1);
	assert_true(sys_write(c, 0x61040, 8, 0));
	assert_true(c->smc_hit);
	c->smc_hit = false;
}

static void
test_second_decode_keeps_marks(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c[0];
	const uint64_t page = 0x70000;
	uint32_t gen = decode(c, page, 64);

	assert_int_equal(decode(c, page + 0x800, 64), gen);
	assert_int_equal(decode(c, page, 64), gen);
	assert_true(store_hits(c, page + 0x800));
	assert_int_not_equal(decode(c, page, 64), gen);
	/* The invalidation forgot the other granules with their blocks. */
	assert_false(store_hits(c, page + 0x800));
}

/* Marking drops this CPU's own write tags, at every alias and in every view. */
static void
test_own_tags_drop(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c[0];
	const uint64_t page = 0x80000;
	struct tlb_entry *alias = tlb_entry_of(c, VIEW_USER, 0x7fff12345000);

	assert_true(mem_write_slow(c, page, 1, 0));
	assert_true(mem_write_slow(c, page + 0x1000, 1, 0));
	*alias = *tlb_slot(c, page);
	alias->rtag = alias->wtag = 0x7fff12345000;
	alias->addend -= 0x7fff12345000 - page;
	decode(c, page + 5, 1);
	assert_int_equal(alias->wtag, TLB_NONE);
	assert_int_equal(alias->rtag, 0x7fff12345000);
	assert_null(tlb_write_ptr(c, page, 1));
	assert_non_null(tlb_read_ptr(c, page, 1));
	assert_non_null(tlb_write_ptr(c, page + 0x1000, 1));
	alias->rtag = TLB_NONE;
}

static void
test_hot_page(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c[0];
	const uint64_t page = 0x90000;
	unsigned int n;
	uint64_t epoch;

	for (n = 0; n < 8; n++) {
		decode(c, page, 16);
		assert_true(store_hits(c, page));
		assert_false(smc_is_code(c->vm, page));
	}
	decode(c, page, 16);
	epoch = c->vm->smc->epoch;
	for (n = 0; n < 100; n++) {
		assert_true(store_hits(c, page));
		assert_true(smc_is_code(c->vm, page)); /* stays slow */
		decode(c, page, 16);
	}
	assert_int_equal(c->vm->smc->epoch, epoch); /* and costs no handshake */
	/* Many stores that meet no code make it plain again. */
	assert_true(store_hits(c, page));
	for (n = 0; smc_is_code(c->vm, page); n++)
		assert_false(store_hits(c, page + 0x100));
	assert_in_range(n, 64, 4096);
	assert_false(store_hits(c, page));
	assert_non_null(tlb_write_ptr(c, page, 1));
}

static void
test_device_stores(void **state)
{
	struct soft_cpu *c = ((struct env *)*state)->c[0];
	const uint64_t page = 0xa0000;
	uint32_t g0 = decode(c, page + 0xfc0, 64);
	uint32_t g2 = decode(c, page + 0x2000, 64);

	smc_wrote(c->vm, NULL, page + 0x800, 0x7c0);
	assert_int_equal(*smc_gen(c->vm, page), g0);
	smc_wrote(c->vm, NULL, page + 0xfff, 0x1001);
	assert_int_not_equal(*smc_gen(c->vm, page), g0);
	assert_int_equal(*smc_gen(c->vm, page + 0x2000), g2);
	smc_wrote(c->vm, NULL, page + 0x1fff, 2);
	assert_int_not_equal(*smc_gen(c->vm, page + 0x2000), g2);
	assert_false(c->smc_hit);
}

static void
test_handshake(void **state)
{
	struct env *v = *state;
	struct soft_cpu *c = v->c[0], *o = v->c[1];
	const uint64_t page = 0xb0000, page2 = 0xc0000, page3 = 0xd0000;

	/* The other CPU is outside: certain at once, and it drops on entry. */
	smc_enter_guest(c);
	smc_enter_guest(o);
	assert_true(mem_write_slow(o, page, 1, 0));
	smc_leave_guest(o);
	smc_begin_decode(c, page, 16);
	assert_true(smc_certain(c, page));
	assert_int_equal(*o->events, 0);
	assert_non_null(tlb_write_ptr(o, page, 1));
	smc_enter_guest(o);
	assert_null(tlb_write_ptr(o, page, 1));

	/* It runs: it is asked, and until then nothing is certain. */
	assert_true(mem_write_slow(o, page2, 1, 0));
	smc_begin_decode(c, page2, 16);
	assert_false(smc_certain(c, page2));
	assert_int_equal(*o->events, VCPU_EV_ENGINE);
	assert_non_null(tlb_write_ptr(o, page2, 1));
	smc_begin_decode(c, page2 + 0x100, 16); /* no second request */
	*o->events = 0;
	smc_begin_decode(c, page2 + 0x200, 16);
	assert_int_equal(*o->events, 0);
	smc_catch_up(o);
	assert_null(tlb_write_ptr(o, page2, 1));
	assert_true(smc_certain(c, page2));
	assert_true(smc_certain(o, page2));

	/* Leaving is as good as catching up. */
	assert_true(mem_write_slow(o, page3, 1, 0));
	smc_begin_decode(c, page3, 16);
	assert_false(smc_certain(c, page3));
	smc_leave_guest(o);
	assert_true(smc_certain(c, page3));
	assert_true(mem_write_slow(o, page3 + 0x1000, 1, 0));
	smc_enter_guest(o);
	assert_null(tlb_write_ptr(o, page3, 1));

	/* The storing CPU is told, the other one sees the generation. */
	assert_true(mem_write_slow(o, page3, 1, 0));
	assert_true(o->smc_hit);
	assert_false(c->smc_hit);
	o->smc_hit = false;
	smc_leave_guest(o);
	smc_leave_guest(c);
}

/* --- lost invalidations
 * --------------------------------------------------------------- */

#define RACE_PAGES   24
#define RACE_AT	     0x200000ull
#define RACE_SECONDS 2

struct race {
	struct env *v;
	/* Last value whose store by writer w to page n has completed. */
	uint32_t done[2][RACE_PAGES];
	bool stop;
	unsigned int lost, trusted, compared, fresh;
};

/* A writer's bytes: its own granule. */
static uint64_t
race_off(unsigned int w, unsigned int page)
{
	return RACE_AT + page * 0x1000ull + w * 64ull;
}

/* What a store handler does: the tag, or the slow path. */
static void
guest_store(struct soft_cpu *c, uint64_t la, uint32_t v)
{
	void *p = tlb_write_ptr(c, la, 4);

	if (p != NULL)
		__atomic_store_n((uint32_t *)p, v, __ATOMIC_RELAXED);
	else if (!mem_write_slow(c, la, 4, v))
		abort();
}

static void
guest_poll(struct soft_cpu *c)
{
	if (__atomic_load_n(c->events, __ATOMIC_ACQUIRE) == 0)
		return;
	__atomic_store_n(c->events, 0, __ATOMIC_SEQ_CST);
	smc_catch_up(c);
}

struct race_writer {
	struct race *r;
	unsigned int id; /* 0 or 1; vCPU id + 1 */
};

static void *
race_write(void *arg)
{
	const struct race_writer *w = arg;
	struct race *r = w->r;
	struct soft_cpu *c = r->v->c[w->id + 1];
	unsigned int x = 12345 + w->id, v = 0;

	smc_enter_guest(c);
	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		unsigned int page = (x >> 16) % RACE_PAGES;
		unsigned int burst = (x >> 8) % 4 == 0 ? 400 : 3;

		x = x * 1103515245 + 12345;
		for (unsigned int i = 0; i < burst; i++) {
			guest_store(c, race_off(w->id, page), ++v);
			__atomic_store_n(
			    &r->done[w->id][page], v, __ATOMIC_RELEASE);
			if (i % 8 == 7)
				guest_poll(c);
		}
		if (x % 16 == 3)
			sched_yield(); /* still in guest code, tags and all */
		guest_poll(c);
		if (x % 64 == 0) {
			smc_leave_guest(c);
			sched_yield();
			smc_enter_guest(c);
		}
	}
	smc_leave_guest(c);
	return NULL;
}

/* As block.c keeps one. */
struct race_block {
	bool valid, trusted;
	uint32_t gen, value;
};

static uint32_t
race_bytes(const struct soft_cpu *c, uint64_t off)
{
	return __atomic_load_n(
	    (const uint32_t *)(c->ram->base + off), __ATOMIC_RELAXED);
}

static uint32_t
race_execute(
    struct race *r, struct soft_cpu *c, struct race_block *b, uint64_t off)
{
	if (b->valid &&
	    __atomic_load_n(smc_gen(c->vm, off), __ATOMIC_ACQUIRE) == b->gen) {
		if (b->trusted) {
			r->trusted++;
			return b->value;
		}
		r->compared++;
		b->trusted = smc_certain(c, off);
		if (race_bytes(c, off) == b->value)
			return b->value;
	}
	b->gen = smc_begin_decode(c, off, 4);
	b->trusted = smc_certain(c, off);
	b->value = race_bytes(c, off);
	b->valid = true;
	return b->value;
}

static void
test_no_lost_invalidation(void **state)
{
	struct race *r = calloc(1, sizeof(*r));
	static struct race_block blocks[2][RACE_PAGES];
	static uint32_t seen[2][RACE_PAGES];
	const time_t end = time(NULL) + RACE_SECONDS;
	struct race_writer w[2];
	struct soft_cpu *c;
	pthread_t t[2];

	r->v = *state;
	c = r->v->c[0];
	for (unsigned int i = 0; i < 2; i++) {
		w[i] = (struct race_writer){ .r = r, .id = i };
		assert_int_equal(
		    pthread_create(&t[i], NULL, race_write, &w[i]), 0);
	}
	smc_enter_guest(c);
	for (unsigned int n = 0; n % 256 != 0 || time(NULL) < end; n++) {
		unsigned int page = (n * 7 + n / 100) % RACE_PAGES, id = n & 1;

		for (unsigned int again = 0; again < 3; again++) {
			uint32_t done = __atomic_load_n(
			    &r->done[id][page], __ATOMIC_ACQUIRE);

			uint32_t got = race_execute(
			    r, c, &blocks[id][page], race_off(id, page));

			if (got < done)
				r->lost++;
			r->fresh += got > seen[id][page];
			seen[id][page] = got;
			guest_poll(c);
		}
		if (n % 512 == 0)
			sched_yield();
	}
	__atomic_store_n(&r->stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	smc_leave_guest(c);
	print_message("trusted %u compared %u fresh %u handshakes %lu\n",
	    r->trusted, r->compared, r->fresh, r->v->vm->smc->epoch);
	assert_int_equal(r->lost, 0);
	/* All three ways through race_execute() were taken, and often. */
	assert_true(r->trusted > 1000);
	assert_true(r->compared > 10);
	assert_true(r->fresh > 1000);
	free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_granules),
		cmocka_unit_test(test_second_decode_keeps_marks),
		cmocka_unit_test(test_own_tags_drop),
		cmocka_unit_test(test_hot_page),
		cmocka_unit_test(test_device_stores),
		cmocka_unit_test(test_handshake),
		cmocka_unit_test(test_no_lost_invalidation),
	};

	return cmocka_run_group_tests(tests, env_setup, env_teardown);
}
