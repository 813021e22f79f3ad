/* SPDX-License-Identifier: BSD-2-Clause */
/* test_event.c - the clock, timers, descriptors, signals, what _del promises.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include <vmm/chip.h>
#include <vmm/event.h>

#include "fake_engine.h"

#define MS 1000000ull

static int
setup(void **state)
{
	*state = fake_vm_new(1, NULL);
	return 0;
}

static int
teardown(void **state)
{
	vm_close(*state);
	return 0;
}

/* --- timers -------------------------------------------------------------- */

static char order[64];

static void
note(void *arg)
{
	strcat(order, arg);
}

static void
timers_fire_in_order(void **state)
{
	struct vmctx *ctx = *state;
	struct evtimer *t[4];
	static char names[][2] = { "a", "b", "c", "d" };
	static const uint64_t when[] = { 30, 10, 40, 20 };

	order[0] = '\0';
	vm_clock_manual(ctx);
	uint64_t now = vm_clock_ns(ctx);

	for (int i = 0; i < 4; i++) {
		t[i] = evtimer_create(ctx, names[i], NULL, note, names[i]);
		evtimer_arm(t[i], now + when[i]);
	}
	vm_clock_advance(ctx, 9);
	assert_string_equal(order, "");
	vm_clock_advance(ctx, 1);
	assert_string_equal(order, "b");
	assert_true(vm_clock_ns(ctx) == now + 10);
	vm_clock_advance(ctx, 100);
	assert_string_equal(order, "bdac");
	assert_true(vm_clock_ns(ctx) == now + 110);
	vm_clock_advance(ctx, 1000); /* once each */
	assert_string_equal(order, "bdac");
	/* Re-arming replaces; disarming forgets. */
	evtimer_arm(t[0], now + 2000);
	evtimer_arm(t[0], now + 3000);
	evtimer_arm(t[1], now + 2000);
	evtimer_disarm(t[1]);
	evtimer_disarm(t[1]);
	vm_clock_advance(ctx, 1000);
	assert_string_equal(order, "bdac");
	vm_clock_advance(ctx, 5000);
	assert_string_equal(order, "bdaca");
	for (int i = 0; i < 4; i++)
		evtimer_del(t[i]);
	evtimer_del(NULL);
}

struct periodic {
	struct vmctx *ctx;
	struct evtimer *t;
	unsigned int n, period;
	uint64_t last, wrong;
};

static void
periodic_fn(void *arg)
{
	struct periodic *p = arg;
	uint64_t now = vm_clock_ns(p->ctx);

	p->wrong += now != p->last + p->period;
	p->last = now;
	p->n++;
	evtimer_arm(p->t, now + p->period);
}

/* Each callback sees the moment it asked for, not the end of the step. */
static void
periodic_timer(void **state)
{
	struct periodic p = { .ctx = *state, .period = 7 };

	vm_clock_manual(p.ctx);
	p.last = vm_clock_ns(p.ctx);
	p.t = evtimer_create(p.ctx, "p", NULL, periodic_fn, &p);
	evtimer_arm(p.t, p.last + 7);
	vm_clock_advance(p.ctx, 7000);
	assert_int_equal(p.n, 1000);
	assert_int_equal(p.wrong, 0);
	evtimer_del(p.t);
}

/* A heap of many, armed, moved and dropped at random, against sorted order. */
struct entry {
	struct evtimer *t;
	struct vmctx *ctx;
	uint64_t when; /* 0: not armed */
	unsigned int *fired;
	uint64_t *last;
};

static void
entry_fn(void *arg)
{
	struct entry *e = arg;

	if (e->when == 0 || e->when < *e->last ||
	    vm_clock_ns(e->ctx) != e->when)
		*e->fired += 1000000; /* shows as a wrong count */
	*e->last = e->when;
	e->when = 0;
	(*e->fired)++;
}

static void
timers_many(void **state)
{
	struct vmctx *ctx = *state;
	static struct entry e[300];
	unsigned int fired = 0, armed = 0;
	uint64_t last = 0, now;

	vm_clock_manual(ctx);
	now = vm_clock_ns(ctx);
	srand(1);
	for (size_t i = 0; i < ARRAY_LEN(e); i++)
		e[i] = (struct entry){ evtimer_create(
					   ctx, "e", NULL, entry_fn, &e[i]),
			ctx, 0, &fired, &last };
	for (int i = 0; i < 5000; i++) {
		struct entry *x = &e[(size_t)rand() % ARRAY_LEN(e)];

		x->when =
		    rand() % 4 == 0 ? 0 : now + 1 + (uint64_t)rand() % 100000;
		if (x->when == 0)
			evtimer_disarm(x->t);
		else
			evtimer_arm(x->t, x->when);
	}
	for (size_t i = 0; i < ARRAY_LEN(e); i++)
		armed += e[i].when != 0;
	vm_clock_advance(ctx, 200000);
	assert_int_equal(fired, armed);
	for (size_t i = 0; i < ARRAY_LEN(e); i++)
		evtimer_del(e[i].t);
}

static void
count(void *arg)
{
	atomic_fetch_add((atomic_uint *)arg, 1);
}

static void
poll_for(struct vmctx *ctx, uint64_t ns)
{
	uint64_t end = host_now_ns() + ns;

	while (host_now_ns() < end)
		assert_true(vm_event_poll(ctx, 5) >= 0);
}

static void
real_clock(void **state)
{
	struct vmctx *ctx = *state;
	atomic_uint n = 0, m = 0;
	struct evtimer *t = evtimer_create(ctx, "t", NULL, count, &n);
	struct evtimer *u = evtimer_create(ctx, "u", NULL, count, &m);
	uint64_t start = vm_clock_ns(ctx);

	/* Armed later and later: the early wake-up must not fire it. */
	evtimer_arm(t, start + 5 * MS);
	evtimer_arm(t, start + 40 * MS);
	evtimer_arm(u, UINT64_MAX);
	while (n == 0)
		assert_true(vm_event_poll(ctx, 1000) >= 0);
	assert_true(vm_clock_ns(ctx) >= start + 40 * MS);
	evtimer_arm(u, 0); /* long ago: at once */
	assert_int_equal(vm_event_poll(ctx, 1000), 1);
	assert_int_equal(m, 1);
	assert_int_equal(vm_event_poll(ctx, 0), 0);
	evtimer_del(t);
	evtimer_del(u);
}

static void
paused_clock_stands_still(void **state)
{
	struct vmctx *ctx = *state;
	atomic_uint n = 0;
	struct evtimer *t = evtimer_create(ctx, "t", NULL, count, &n);
	uint64_t now;

	evtimer_arm(t, vm_clock_ns(ctx) + 10 * MS);
	chips_pause(ctx);
	now = vm_clock_ns(ctx);
	poll_for(ctx, 30 * MS);
	assert_true(vm_clock_ns(ctx) == now);
	assert_int_equal(n, 0);
	chips_resume(ctx);
	assert_in_range(vm_clock_ns(ctx) - now, 0, 10 * MS);
	poll_for(ctx, 30 * MS);
	assert_int_equal(n, 1);
	evtimer_del(t);
}

/* Arming from another thread wakes a loop that already sleeps. */
static void *
arm_later(void *arg)
{
	usleep(20000);
	evtimer_arm(arg, 0);
	return NULL;
}

static void
arm_from_thread(void **state)
{
	atomic_uint n = 0;
	struct evtimer *t = evtimer_create(*state, "t", NULL, count, &n);
	pthread_t th;

	assert_int_equal(pthread_create(&th, NULL, arm_later, t), 0);
	while (n == 0)
		assert_true(vm_event_poll(*state, 10000) >= 0);
	pthread_join(th, NULL);
	evtimer_del(t);
}

/* --- deletion ------------------------------------------------------------ */

struct self {
	struct evtimer *t, *other;
	unsigned int n;
};

static void
delete_both(void *arg)
{
	struct self *s = arg;

	s->n++;
	evtimer_del(s->t);
	evtimer_del(s->other);
}

static void
del_in_callback(void **state)
{
	struct lock lock = LOCK_INITIALIZER;
	struct self s = { 0 };

	vm_clock_manual(*state);
	s.t = evtimer_create(*state, "t", &lock, delete_both, &s);
	s.other = evtimer_create(*state, "o", &lock, delete_both, &s);
	evtimer_arm(s.t, 0);
	evtimer_arm(s.other, 0); /* due in the same pass */
	vm_clock_advance(*state, 1);
	assert_int_equal(s.n, 1);
}

struct slow {
	struct vmctx *ctx;
	struct lock lock;
	struct evtimer *t;
	atomic_bool entered, done, stop;
	atomic_uint n;
};

static void
slow_fn(void *arg)
{
	struct slow *s = arg;

	atomic_store(&s->entered, true);
	usleep(50000);
	atomic_fetch_add(&s->n, 1);
	atomic_store(&s->done, true);
}

static void *
turn_loop(void *arg)
{
	struct slow *s = arg;

	while (!atomic_load(&s->stop))
		vm_event_poll(s->ctx, 5);
	return NULL;
}

static void
del_waits_for_callback(void **state)
{
	struct slow s = { .ctx = *state };
	pthread_t th;

	lock_init(&s.lock);
	s.t = evtimer_create(s.ctx, "t", &s.lock, slow_fn, &s);
	assert_int_equal(pthread_create(&th, NULL, turn_loop, &s), 0);
	evtimer_arm(s.t, 0);
	while (!atomic_load(&s.entered))
		usleep(100);
	assert_false(atomic_load(&s.done));
	evtimer_del(s.t);
	assert_true(atomic_load(&s.done));
	atomic_store(&s.stop, true);
	pthread_join(th, NULL);
	assert_int_equal(s.n, 1);
}

/*
 * A timer that was picked but waits for its lock: whoever disarms it under that
 * lock has won.
 */
static void
disarm_under_lock_is_exact(void **state)
{
	struct slow s = { .ctx = *state };
	pthread_t th;

	lock_init(&s.lock);
	s.t = evtimer_create(s.ctx, "t", &s.lock, slow_fn, &s);
	lock_acquire(&s.lock);
	assert_int_equal(pthread_create(&th, NULL, turn_loop, &s), 0);
	evtimer_arm(s.t, 0);
	usleep(50000); /* by now the loop waits for the lock */
	evtimer_disarm(s.t);
	lock_release(&s.lock);
	usleep(50000);
	assert_int_equal(s.n, 0);
	/* And a later arming still works. */
	evtimer_arm(s.t, 0);
	while (!atomic_load(&s.done))
		usleep(100);
	evtimer_del(s.t);
	atomic_store(&s.stop, true);
	pthread_join(th, NULL);
	assert_int_equal(s.n, 1);
}

/* Create, arm, delete in one thread while another turns the loop. */
static void
del_stress(void **state)
{
	struct slow s = { .ctx = *state };
	pthread_t th;

	assert_int_equal(pthread_create(&th, NULL, turn_loop, &s), 0);
	for (int i = 0; i < 3000; i++) {
		atomic_uint *n = calloc(1, sizeof(*n));
		struct evtimer *t = evtimer_create(s.ctx, "t", NULL, count, n);

		evtimer_arm(t, 0);
		if (i % 3 == 0)
			usleep(1);
		evtimer_del(t);
		free(n); /* the callback would be a use after free */
	}
	atomic_store(&s.stop, true);
	pthread_join(th, NULL);
}

/* --- descriptors --------------------------------------------------------- */

struct fdseen {
	struct evfd *e;
	int fd;
	struct vmctx *ctx;
	int unready_fd;
	unsigned int n, events;
	bool del, drain, replace;
	struct fdseen *del_other;
};

static void
fd_fn(unsigned int events, void *arg)
{
	struct fdseen *s = arg;
	char c;

	s->n++;
	s->events = events;
	if (s->drain)
		assert_int_equal(read(s->fd, &c, 1), 1);
	if (s->del_other != NULL) {
		evfd_del(s->del_other->e);
		s->del_other->e =
		    s->replace ? evfd_add(s->ctx, s->unready_fd, EVFD_WRITE,
				     NULL, fd_fn, s->del_other)
			       : NULL;
		s->del_other = NULL;
	}
	if (s->del) {
		evfd_del(s->e);
		s->e = NULL;
	}
}

static void
fds(void **state)
{
	struct fdseen s = { .drain = true };
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	s.fd = p[0];
	s.e = evfd_add(*state, p[0], EVFD_READ, NULL, fd_fn, &s);
	assert_non_null(s.e);
	assert_null(evfd_add(*state, p[0], EVFD_READ, NULL, fd_fn, &s));
	assert_int_equal(errno, EEXIST);
	assert_null(evfd_add(*state, -1, EVFD_READ, NULL, fd_fn, &s));
	assert_int_equal(errno, EBADF);
	assert_int_equal(vm_event_poll(*state, 0), 0);
	assert_int_equal(write(p[1], "xy", 2), 2);
	/* Level-triggered: as long as there is something. */
	assert_int_equal(vm_event_poll(*state, 1000), 1);
	assert_int_equal(s.events, EVFD_READ);
	evfd_set(s.e, 0);
	assert_int_equal(vm_event_poll(*state, 20), 0);
	evfd_set(s.e, EVFD_READ);
	assert_int_equal(vm_event_poll(*state, 1000), 1);
	assert_int_equal(vm_event_poll(*state, 0), 0);
	assert_int_equal(s.n, 2);
	/* A hang-up is told to those who listen, and to nobody else. */
	s.drain = false;
	close(p[1]);
	evfd_set(s.e, 0);
	assert_int_equal(vm_event_poll(*state, 20), 0);
	evfd_set(s.e, EVFD_READ);
	assert_int_equal(vm_event_poll(*state, 1000), 1);
	assert_true((s.events & EVFD_HUP) != 0);
	s.del = true;
	assert_int_equal(vm_event_poll(*state, 1000), 1);
	assert_int_equal(vm_event_poll(*state, 20), 0);
	assert_int_equal(fcntl(p[0], F_GETFD), FD_CLOEXEC); /* still open */
	close(p[0]);
	evfd_del(NULL);
}

static void
fd_write_and_many(void **state)
{
	struct fdseen s[40] = { 0 };
	int p[40][2];

	for (int i = 0; i < 40; i++) {
		assert_int_equal(pipe(p[i]), 0);
		s[i].fd = p[i][1];
		s[i].e =
		    evfd_add(*state, p[i][1], EVFD_WRITE, NULL, fd_fn, &s[i]);
		assert_non_null(s[i].e);
	}
	assert_int_equal(vm_event_poll(*state, 1000), 40);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(s[i].n, 1);
		assert_int_equal(s[i].events, EVFD_WRITE);
		evfd_del(s[i].e);
		close(p[i][0]);
		close(p[i][1]);
	}
}

/*
 * Both are ready in one batch, and the first to run deletes the second; what
 * takes the second one's place must not inherit its readiness.
 */
static void
fd_del_of_a_ready_one(void **state, bool replace)
{
	struct fdseen s[2] = { 0 };
	int p[2][2];

	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe(p[i]), 0);
		s[i].e =
		    evfd_add(*state, p[i][1], EVFD_WRITE, NULL, fd_fn, &s[i]);
		s[i].del_other = &s[1 - i];
		s[i].ctx = *state;
		s[i].replace = replace;
		s[i].unready_fd = p[0][0]; /* never writable */
	}
	assert_int_equal(vm_event_poll(*state, 1000), 1);
	assert_int_equal(s[0].n + s[1].n, 1);
	for (int i = 0; i < 2; i++) {
		evfd_del(s[i].e);
		close(p[i][0]);
		close(p[i][1]);
	}
}

static void
fd_deleted(void **state)
{
	fd_del_of_a_ready_one(state, false);
}

static void
fd_replaced(void **state)
{
	fd_del_of_a_ready_one(state, true);
}

/* --- signals ------------------------------------------------------------- */

static void
sig_fn(int signo, void *arg)
{
	*(int *)arg += signo;
}

static void
signals(void **state)
{
	int seen = 0;

	assert_int_equal(evsignal_add(*state, 0, sig_fn, &seen), -EINVAL);
	assert_int_equal(evsignal_add(*state, 1000, sig_fn, &seen), -EINVAL);
	assert_int_equal(evsignal_add(*state, SIGUSR1, sig_fn, &seen), 0);
	assert_int_equal(evsignal_add(*state, SIGUSR2, sig_fn, &seen), 0);
	kill(getpid(), SIGUSR1);
	assert_int_equal(vm_event_poll(*state, 1000), 1);
	assert_int_equal(seen, SIGUSR1);
	kill(getpid(), SIGUSR2);
	assert_int_equal(vm_event_poll(*state, 1000), 1);
	assert_int_equal(seen, SIGUSR1 + SIGUSR2);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(timers_fire_in_order),
		T(periodic_timer),
		T(timers_many),
		T(real_clock),
		T(paused_clock_stands_still),
		T(arm_from_thread),
		T(del_in_callback),
		T(del_waits_for_callback),
		T(disarm_under_lock_is_exact),
		T(del_stress),
		T(fds),
		T(fd_write_and_many),
		T(fd_deleted),
		T(fd_replaced),
		T(signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
