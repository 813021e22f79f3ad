/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * event.c - the machine's clock and the one place that waits: epoll over file
 * descriptors, one timerfd for all timers, an eventfd to be woken by, a
 * signalfd.
 *
 * Timers sit in a binary heap; the timerfd is only ever programmed to fire
 * earlier (a wake-up that turned out to be too early programs the next one), so
 * that moving a timer back and forth costs no system call.
 *
 * A callback runs without the loop's lock.  `running` names its timer or
 * descriptor; a deleter from another thread waits until that is over.  Between
 * picking a callback and running it, its own lock is taken, and then its
 * generation is compared: whoever disarmed or re-armed it under that lock in
 * between has won.  A callback must not turn the loop itself.
 */
#include "vm_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <vmm/event.h>

#define NSEC_PER_SEC	1000000000ull
#define TIMER_IDLE	SIZE_MAX   /* not in the heap */
#define TIMER_NEVER	UINT64_MAX /* the timerfd is not programmed */
#define POLL_BATCH	64
#define TIMERS_PER_PASS 64
#define SIGNO_END	65

/* What epoll reports: the loop's own descriptors, or a slot and its number. */
#define ID_WAKE		1u
#define ID_TIMER	2u
#define ID_SIGNAL	3u
#define ID_SLOT0	16u
#define ID_SERIAL_SHIFT 32

/* What timers and descriptors have in common. */
struct evsrc {
	struct evloop *loop;
	struct lock *lock;
	uint32_t gen; /* changes whenever a picked callback must not run */
	bool dead;    /* to be freed by the thread that runs it */
};

struct evtimer {
	struct evsrc src;
	const char *name;
	void (*fn)(void *arg);
	void *arg;
	uint64_t when_ns;
	size_t pos; /* in the heap, or TIMER_IDLE */
};

struct evfd {
	struct evsrc src;
	int fd;
	unsigned int events;
	uint32_t slot;
	uint32_t serial; /* tells this owner of the slot from an earlier one */
	void (*fn)(unsigned int events, void *arg);
	void *arg;
};

struct evsignal {
	void (*fn)(int signo, void *arg);
	void *arg;
};

/* All but the descriptors and the clock is GUARDED_BY(lock). */
struct evloop {
	struct lock lock;
	pthread_cond_t idle; /* running became NULL */
	const struct evsrc *running;
	pthread_t runner;
	uint64_t nruns;

	int epfd, timerfd, wakefd, sigfd;

	struct evtimer **heap;
	size_t nheap, heap_cap, ntimers;
	uint64_t programmed_ns; /* when the timerfd fires, or TIMER_NEVER */

	struct evfd **slot;
	uint32_t nslots;
	uint32_t serial;

	sigset_t signals;
	struct evsignal signal[SIGNO_END];

	/* The clock, atomic: readers take no lock. */
	uint64_t base_ns;   /* host time of the machine's 0 */
	uint64_t frozen_ns; /* the machine's time while it stands still */
	bool frozen;
	bool manual, paused; /* why */
};

/* --- the clock ----------------------------------------------------------- */

static uint64_t
loop_now(const struct evloop *loop)
{
	if (__atomic_load_n(&loop->frozen, __ATOMIC_ACQUIRE))
		return __atomic_load_n(&loop->frozen_ns, __ATOMIC_RELAXED);
	return host_now_ns() -
	       __atomic_load_n(&loop->base_ns, __ATOMIC_RELAXED);
}

uint64_t
vm_clock_ns(struct vmctx *ctx)
{
	return loop_now(ctx->events);
}

static void
timerfd_set(struct evloop *loop, uint64_t when_ns)
{
	uint64_t host_ns;
	struct itimerspec its = { 0 };

	if (__builtin_add_overflow(when_ns, loop->base_ns, &host_ns))
		host_ns = UINT64_MAX;
	/* 0 would switch it off; a time long past fires at once. */
	host_ns = MAX(host_ns, (uint64_t)1);
	its.it_value.tv_sec = (time_t)(host_ns / NSEC_PER_SEC);
	its.it_value.tv_nsec = (long)(host_ns % NSEC_PER_SEC);
	timerfd_settime(loop->timerfd, TFD_TIMER_ABSTIME, &its, NULL);
	loop->programmed_ns = when_ns;
}

/* Let the timerfd fire no later than the earliest timer wants. */
static void
loop_program_locked(struct evloop *loop)
{
	if (loop->frozen || loop->nheap == 0)
		return;
	if (loop->heap[0]->when_ns < loop->programmed_ns)
		timerfd_set(loop, loop->heap[0]->when_ns);
}

static void
loop_freeze_locked(struct evloop *loop)
{
	if (loop->frozen)
		return;
	__atomic_store_n(&loop->frozen_ns, loop_now(loop), __ATOMIC_RELAXED);
	__atomic_store_n(&loop->frozen, true, __ATOMIC_RELEASE);
}

void
evloop_pause(struct evloop *loop)
{
	lock_acquire(&loop->lock);
	loop->paused = true;
	loop_freeze_locked(loop);
	lock_release(&loop->lock);
}

void
evloop_resume(struct evloop *loop)
{
	lock_acquire(&loop->lock);
	if (loop->paused && !loop->manual) {
		__atomic_store_n(&loop->base_ns,
		    host_now_ns() - loop->frozen_ns, __ATOMIC_RELAXED);
		__atomic_store_n(&loop->frozen, false, __ATOMIC_RELEASE);
		loop->programmed_ns = TIMER_NEVER;
		loop_program_locked(loop);
	}
	loop->paused = false;
	lock_release(&loop->lock);
}

void
vm_clock_manual(struct vmctx *ctx)
{
	struct evloop *loop = ctx->events;

	lock_acquire(&loop->lock);
	__atomic_store_n(&loop->manual, true, __ATOMIC_RELAXED);
	loop_freeze_locked(loop);
	lock_release(&loop->lock);
}

bool
evloop_is_manual(const struct evloop *loop)
{
	return __atomic_load_n(&loop->manual, __ATOMIC_RELAXED);
}

/* --- the heap ------------------------------------------------------------ */

static void
heap_put(struct evloop *loop, size_t i, struct evtimer *t)
{
	loop->heap[i] = t;
	t->pos = i;
}

static void
heap_up(struct evloop *loop, size_t i, struct evtimer *t)
{
	while (i > 0) {
		struct evtimer *parent = loop->heap[(i - 1) / 2];

		if (parent->when_ns <= t->when_ns)
			break;
		heap_put(loop, i, parent);
		i = (i - 1) / 2;
	}
	heap_put(loop, i, t);
}

static void
heap_down(struct evloop *loop, size_t i, struct evtimer *t)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= loop->nheap)
			break;
		if (child + 1 < loop->nheap &&
		    loop->heap[child + 1]->when_ns < loop->heap[child]->when_ns)
			child++;
		if (loop->heap[child]->when_ns >= t->when_ns)
			break;
		heap_put(loop, i, loop->heap[child]);
		i = child;
	}
	heap_put(loop, i, t);
}

static void
heap_remove(struct evloop *loop, struct evtimer *t)
{
	size_t i = t->pos;
	struct evtimer *last;

	if (i == TIMER_IDLE)
		return;
	t->pos = TIMER_IDLE;
	last = loop->heap[--loop->nheap];
	if (last == t)
		return;
	if (i > 0 && loop->heap[(i - 1) / 2]->when_ns > last->when_ns)
		heap_up(loop, i, last);
	else
		heap_down(loop, i, last);
}

/* --- running a callback, and getting rid of one -------------------------- */

/* Wait for the right to run callbacks.  May drop the loop's lock. */
static void
loop_claim_locked(struct evloop *loop)
{
	while (loop->running != NULL)
		pthread_cond_wait(&loop->idle, &loop->lock.m);
}

/* True: run it now.  The loop's lock is dropped, the callback's own taken. */
static bool
src_enter(struct evsrc *src)
{
	struct evloop *loop = src->loop;
	uint32_t gen = src->gen;
	bool valid;

	loop->running = src;
	loop->runner = pthread_self();
	loop->nruns++;
	lock_release(&loop->lock);
	if (src->lock != NULL)
		lock_acquire(src->lock);
	lock_acquire(&loop->lock);
	valid = src->gen == gen;
	lock_release(&loop->lock);
	return valid;
}

/* The reverse; afterwards the loop's lock is held. */
static void
src_leave(struct evsrc *src)
{
	struct evloop *loop = src->loop;

	if (src->lock != NULL)
		lock_release(src->lock);
	lock_acquire(&loop->lock);
	loop->running = NULL;
	pthread_cond_broadcast(&loop->idle);
	if (src->dead)
		free(src);
}

/* Frees src, which nothing refers to any more but perhaps a running callback.
 */
static void
src_free_locked(struct evsrc *src)
{
	struct evloop *loop = src->loop;
	uint64_t run = loop->nruns;

	src->gen++;
	if (loop->running != src) {
		free(src);
		return;
	}
	src->dead = true; /* src_leave() frees it */
	if (pthread_equal(loop->runner, pthread_self()))
		return;
	while (loop->running != NULL && loop->nruns == run)
		pthread_cond_wait(&loop->idle, &loop->lock.m);
}

/* --- timers -------------------------------------------------------------- */

struct evtimer *
evtimer_create(struct vmctx *ctx, const char *name, struct lock *lock,
    void (*fn)(void *arg), void *arg)
{
	struct evloop *loop = ctx->events;
	struct evtimer *t = xcalloc(1, sizeof(*t));

	t->src.loop = loop;
	t->src.lock = lock;
	t->name = name;
	t->fn = fn;
	t->arg = arg;
	t->pos = TIMER_IDLE;
	lock_acquire(&loop->lock);
	/* Room is made here, so that arming never has to. */
	if (++loop->ntimers > loop->heap_cap) {
		size_t cap = 2 * loop->heap_cap + 8;
		struct evtimer **heap = xcalloc(cap, sizeof(heap[0]));

		if (loop->nheap > 0)
			memcpy(heap, loop->heap, loop->nheap * sizeof(heap[0]));
		free(loop->heap);
		loop->heap = heap;
		loop->heap_cap = cap;
	}
	lock_release(&loop->lock);
	return t;
}

void
evtimer_arm(struct evtimer *t, uint64_t when_ns)
{
	struct evloop *loop = t->src.loop;

	lock_acquire(&loop->lock);
	heap_remove(loop, t);
	t->src.gen++;
	if (!t->src.dead) {
		t->when_ns = when_ns;
		heap_up(loop, loop->nheap++, t);
		loop_program_locked(loop);
	}
	lock_release(&loop->lock);
}

void
evtimer_disarm(struct evtimer *t)
{
	struct evloop *loop = t->src.loop;

	lock_acquire(&loop->lock);
	heap_remove(loop, t);
	t->src.gen++;
	lock_release(&loop->lock);
}

void
evtimer_del(struct evtimer *t)
{
	struct evloop *loop;

	if (t == NULL)
		return;
	loop = t->src.loop;
	lock_acquire(&loop->lock);
	heap_remove(loop, t);
	loop->ntimers--;
	src_free_locked(&t->src);
	lock_release(&loop->lock);
}

/* Runs the earliest timer if it is due; false: none is. */
static bool
loop_fire_locked(struct evloop *loop, uint64_t now_ns)
{
	struct evtimer *t;

	loop_claim_locked(loop);
	if (loop->nheap == 0 || loop->heap[0]->when_ns > now_ns)
		return false;
	t = loop->heap[0];
	heap_remove(loop, t);
	if (src_enter(&t->src))
		t->fn(t->arg);
	src_leave(&t->src);
	return true;
}

static int
loop_run_timers(struct evloop *loop)
{
	int n = 0;

	lock_acquire(&loop->lock);
	/* Bounded: a device may arm for a time that has already passed. */
	while (n < TIMERS_PER_PASS && !loop->paused &&
	       loop_fire_locked(loop, loop_now(loop)))
		n++;
	loop_program_locked(loop);
	lock_release(&loop->lock);
	return n;
}

void
vm_clock_advance(struct vmctx *ctx, uint64_t ns)
{
	struct evloop *loop = ctx->events;
	uint64_t end;

	lock_acquire(&loop->lock);
	if (!loop->manual || loop->paused)
		goto out;
	if (__builtin_add_overflow(loop->frozen_ns, ns, &end))
		end = UINT64_MAX;
	do {
		uint64_t next = loop->nheap > 0 ? loop->heap[0]->when_ns : end;

		next = MIN(next, end);
		__atomic_store_n(&loop->frozen_ns, MAX(next, loop->frozen_ns),
		    __ATOMIC_RELAXED);
	} while (loop_fire_locked(loop, end));
	__atomic_store_n(&loop->frozen_ns, end, __ATOMIC_RELAXED);
out:
	lock_release(&loop->lock);
}

/* --- file descriptors ---------------------------------------------------- */

static int
evfd_ctl(const struct evfd *e, int op, unsigned int events)
{
	struct epoll_event ev = {
		.data.u64 = ID_SLOT0 + e->slot +
			    ((uint64_t)e->serial << ID_SERIAL_SHIFT),
	};

	if ((events & EVFD_READ) != 0)
		ev.events |= EPOLLIN;
	if ((events & EVFD_WRITE) != 0)
		ev.events |= EPOLLOUT;
	return epoll_ctl(e->src.loop->epfd, op, e->fd, &ev);
}

static uint32_t
slot_alloc_locked(struct evloop *loop)
{
	uint32_t i = 0, n = 2 * loop->nslots + 8;
	struct evfd **slot;

	while (i < loop->nslots && loop->slot[i] != NULL)
		i++;
	if (i < loop->nslots)
		return i;
	slot = xcalloc(n, sizeof(slot[0]));
	if (loop->nslots > 0)
		memcpy(slot, loop->slot, loop->nslots * sizeof(slot[0]));
	free(loop->slot);
	loop->slot = slot;
	loop->nslots = n;
	return i;
}

struct evfd *
evfd_add(struct vmctx *ctx, int fd, unsigned int events, struct lock *lock,
    void (*fn)(unsigned int events, void *arg), void *arg)
{
	struct evloop *loop = ctx->events;
	struct evfd *e = xcalloc(1, sizeof(*e));
	int err = 0;

	e->src.loop = loop;
	e->src.lock = lock;
	e->fd = fd;
	e->events = events;
	e->fn = fn;
	e->arg = arg;
	lock_acquire(&loop->lock);
	e->slot = slot_alloc_locked(loop);
	e->serial = ++loop->serial;
	/* Always try: a descriptor epoll refuses is to be refused here. */
	if (evfd_ctl(e, EPOLL_CTL_ADD, events) != 0)
		err = errno;
	else if (events == 0)
		evfd_ctl(e, EPOLL_CTL_DEL, 0);
	if (err == 0)
		loop->slot[e->slot] = e;
	lock_release(&loop->lock);
	if (err == 0)
		return e;
	free(e);
	errno = err;
	return NULL;
}

void
evfd_set(struct evfd *e, unsigned int events)
{
	struct evloop *loop = e->src.loop;
	int op = EPOLL_CTL_MOD;

	lock_acquire(&loop->lock);
	/* epoll reports a hang-up even to those who asked for nothing. */
	if (events == 0)
		op = EPOLL_CTL_DEL;
	else if (e->events == 0)
		op = EPOLL_CTL_ADD;
	if (events != e->events && !e->src.dead) {
		e->src.gen++;
		e->events = events;
		evfd_ctl(e, op, events);
	}
	lock_release(&loop->lock);
}

void
evfd_del(struct evfd *e)
{
	struct evloop *loop;

	if (e == NULL)
		return;
	loop = e->src.loop;
	lock_acquire(&loop->lock);
	if (e->events != 0)
		evfd_ctl(e, EPOLL_CTL_DEL, 0);
	loop->slot[e->slot] = NULL;
	src_free_locked(&e->src);
	lock_release(&loop->lock);
}

static int
loop_run_fd(struct evloop *loop, const struct epoll_event *ev)
{
	uint32_t serial = (uint32_t)(ev->data.u64 >> ID_SERIAL_SHIFT);
	uint32_t slot = (uint32_t)ev->data.u64 - ID_SLOT0;
	unsigned int events = 0;
	struct evfd *e;
	int n = 0;

	if ((ev->events & EPOLLIN) != 0)
		events |= EVFD_READ;
	if ((ev->events & EPOLLOUT) != 0)
		events |= EVFD_WRITE;
	lock_acquire(&loop->lock);
	loop_claim_locked(loop);
	e = slot < loop->nslots ? loop->slot[slot] : NULL;
	if (e == NULL || e->serial != serial || e->events == 0)
		goto out;
	events &= e->events;
	if ((ev->events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0)
		events |= EVFD_HUP;
	if (events == 0)
		goto out;
	if (src_enter(&e->src)) {
		e->fn(events, e->arg);
		n = 1;
	}
	src_leave(&e->src);
out:
	lock_release(&loop->lock);
	return n;
}

/* --- signals ------------------------------------------------------------- */

int
evsignal_add(
    struct vmctx *ctx, int signo, void (*fn)(int signo, void *arg), void *arg)
{
	struct evloop *loop = ctx->events;
	sigset_t one;
	int err = 0;

	sigemptyset(&one);
	if (signo <= 0 || signo >= SIGNO_END || sigaddset(&one, signo) != 0)
		return -EINVAL;
	/* Threads made from here on inherit the mask. */
	err = -pthread_sigmask(SIG_BLOCK, &one, NULL);
	if (err != 0)
		return err;
	lock_acquire(&loop->lock);
	sigaddset(&loop->signals, signo);
	loop->signal[signo] = (struct evsignal){ fn, arg };
	if (signalfd(loop->sigfd, &loop->signals, SFD_CLOEXEC) < 0)
		err = -errno;
	lock_release(&loop->lock);
	return err;
}

static int
loop_run_signal(struct evloop *loop)
{
	struct signalfd_siginfo info;
	struct evsignal sig = { 0 };

	if (read(loop->sigfd, &info, sizeof(info)) != sizeof(info))
		return 0; /* another machine of this process took it */
	lock_acquire(&loop->lock);
	if (info.ssi_signo < SIGNO_END)
		sig = loop->signal[info.ssi_signo];
	lock_release(&loop->lock);
	if (sig.fn == NULL)
		return 0;
	sig.fn((int)info.ssi_signo, sig.arg);
	return 1;
}

/* --- the loop ------------------------------------------------------------ */

static void
loop_drain(int fd)
{
	uint64_t count;
	ssize_t n = read(fd, &count, sizeof(count));

	(void)n; /* EAGAIN: somebody else was woken by it */
}

static int
loop_dispatch(struct evloop *loop, const struct epoll_event *ev)
{
	switch (ev->data.u64) {
	case ID_WAKE:
		loop_drain(loop->wakefd);
		return 0;
	case ID_TIMER:
		loop_drain(loop->timerfd);
		lock_acquire(&loop->lock);
		loop->programmed_ns = TIMER_NEVER;
		lock_release(&loop->lock);
		return 0;
	case ID_SIGNAL:
		return loop_run_signal(loop);
	default:
		return loop_run_fd(loop, ev);
	}
}

int
vm_event_poll(struct vmctx *ctx, int timeout_ms)
{
	struct epoll_event ev[POLL_BATCH];
	struct evloop *loop = ctx->events;
	int ran = 0;
	int n = epoll_wait(loop->epfd, ev, POLL_BATCH, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++)
		ran += loop_dispatch(loop, &ev[i]);
	return ran + loop_run_timers(loop);
}

void
evloop_wake(struct evloop *loop)
{
	uint64_t one = 1;
	ssize_t n = write(loop->wakefd, &one, sizeof(one));

	(void)n; /* EAGAIN: it is awake enough */
}

static int
loop_watch(struct evloop *loop, int fd, uint64_t id)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = id };

	if (fd < 0 || epoll_ctl(loop->epfd, EPOLL_CTL_ADD, fd, &ev) != 0)
		return -errno;
	return 0;
}

int
evloop_create(struct evloop **ret_loop)
{
	struct evloop *loop = xcalloc(1, sizeof(*loop));
	int err;

	lock_init(&loop->lock);
	pthread_cond_init(&loop->idle, NULL);
	sigemptyset(&loop->signals);
	loop->base_ns = host_now_ns();
	loop->programmed_ns = TIMER_NEVER;
	loop->timerfd = loop->wakefd = loop->sigfd = -1;
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	err = loop->epfd < 0 ? -errno : 0;
	if (err == 0) {
		loop->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		err = loop_watch(loop, loop->wakefd, ID_WAKE);
	}
	if (err == 0) {
		loop->timerfd =
		    timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		err = loop_watch(loop, loop->timerfd, ID_TIMER);
	}
	if (err == 0) {
		loop->sigfd =
		    signalfd(-1, &loop->signals, SFD_CLOEXEC | SFD_NONBLOCK);
		err = loop_watch(loop, loop->sigfd, ID_SIGNAL);
	}
	if (err != 0) {
		evloop_destroy(loop);
		return err;
	}
	*ret_loop = loop;
	return 0;
}

static void
close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Whoever owned timers and descriptors deleted them; takes a half-built loop.
 */
void
evloop_destroy(struct evloop *loop)
{
	if (loop == NULL)
		return;
	for (size_t i = 0; i < loop->nheap; i++)
		free(loop->heap[i]);
	for (uint32_t i = 0; i < loop->nslots; i++)
		free(loop->slot[i]);
	free(loop->heap);
	free(loop->slot);
	close_if(loop->sigfd);
	close_if(loop->timerfd);
	close_if(loop->wakefd);
	close_if(loop->epfd);
	pthread_cond_destroy(&loop->idle);
	lock_fini(&loop->lock);
	free(loop);
}
