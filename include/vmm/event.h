/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * event.h - one thread that waits for everything: timers, file descriptors,
 * signals (epoll, timerfd, signalfd, eventfd).
 *
 * Callbacks run in the event thread, with `lock` held when one was given.
 * Everything here may be called from any thread, also from a callback.
 * After a _del returned, the callback does not run again (a call from another
 * thread waits for a running callback; therefore never call _del with that
 * callback's lock held, except from the callback itself).
 *
 * Time is the machine's clock: nanoseconds since the machine was made,
 * monotonic, stopped while the machine is paused.  Tests drive it by hand.
 */
#ifndef VMM_EVENT_H
#define VMM_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include <util/lock.h>
#include <util/util.h>

struct vmctx;
struct evtimer;
struct evfd;

uint64_t vm_clock_ns(struct vmctx *);

/* The timer starts disarmed.  Never NULL. */
struct evtimer *evtimer_create(struct vmctx *, const char *name,
    struct lock *lock, void (*fn)(void *arg), void *arg);
/* Fires once at vm_clock_ns() >= when_ns; replaces an earlier arming. */
void evtimer_arm(struct evtimer *, uint64_t when_ns);
void evtimer_disarm(struct evtimer *);
void evtimer_del(struct evtimer *); /* NULL is allowed */

#define EVFD_READ  0x1u
#define EVFD_WRITE 0x2u
#define EVFD_HUP   0x4u /* reported, never asked for */

/* Level-triggered; starts with `events` enabled.  NULL with errno on failure.
 */
struct evfd *evfd_add(struct vmctx *, int fd, unsigned int events,
    struct lock *lock, void (*fn)(unsigned int events, void *arg), void *arg);
void evfd_set(struct evfd *, unsigned int events); /* 0: keep, report nothing */
void evfd_del(struct evfd *); /* does not close fd; NULL is allowed */

/* The signal is blocked in every thread and delivered here. */
int evsignal_add(struct vmctx *, int signo, void (*fn)(int signo, void *arg),
    void *arg) WARN_UNUSED;

#endif /* VMM_EVENT_H */
