/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock.h - a mutex that clang's thread-safety analysis understands.
 *
 * pthread mutexes only fail on programming errors, so the wrappers assert.
 * GUARDED_BY is documentation: clang's attribute does not compile on C struct
 * members that name a sibling.
 */
#ifndef UTIL_LOCK_H
#define UTIL_LOCK_H

#include <assert.h>
#include <pthread.h>

#if defined(__clang__)
#define TSA(x) __attribute__((x))
#else
#define TSA(x)
#endif
#define GUARDED_BY(m)
#define REQUIRES(m) TSA(requires_capability(m))
#define EXCLUDES(m) TSA(locks_excluded(m))

struct TSA(capability("mutex")) lock {
	pthread_mutex_t m;
};

#define LOCK_INITIALIZER                                                       \
	{                                                                      \
		.m = PTHREAD_MUTEX_INITIALIZER,                                \
	}

static inline void
lock_init(struct lock *l)
{
	int err = pthread_mutex_init(&l->m, NULL);

	assert(err == 0);
	(void)err;
}

static inline void
lock_fini(struct lock *l)
{
	pthread_mutex_destroy(&l->m);
}

static inline void lock_acquire(struct lock *l) TSA(acquire_capability(*l))
    TSA(no_thread_safety_analysis);
static inline void
lock_acquire(struct lock *l)
{
	int err = pthread_mutex_lock(&l->m);

	assert(err == 0);
	(void)err;
}

static inline void lock_release(struct lock *l) TSA(release_capability(*l))
    TSA(no_thread_safety_analysis);
static inline void
lock_release(struct lock *l)
{
	int err = pthread_mutex_unlock(&l->m);

	assert(err == 0);
	(void)err;
}

#endif /* UTIL_LOCK_H */
