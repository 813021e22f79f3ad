/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user.h - what the user-space test programs share.
 *
 * Each is a static Linux program that checks itself and prints what it saw: its
 * exit status says whether all checks held, and its output must be the same on
 * the host and in a guest, whatever the number of processors.  Nothing that
 * differs between two right machines (addresses, times, process numbers) is
 * printed.
 */
#ifndef TESTS_GUEST_USER_H
#define TESTS_GUEST_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NELEM(a) (sizeof(a) / sizeof((a)[0]))

static unsigned int user_failures;

/* A condition that must hold; what is printed when it does not says where. */
#define CHECK(cond)                                                            \
	do {                                                                   \
		if (!(cond)) {                                                 \
			__atomic_fetch_add(                                    \
			    &user_failures, 1, __ATOMIC_RELAXED);              \
			printf(                                                \
			    "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond); \
		}                                                              \
	} while (0)

/* The last thing of main(). */
static inline int
user_end(const char *name)
{
	printf("%s: %s\n", name, user_failures == 0 ? "ok" : "FAILED");
	fflush(stdout);
	return user_failures == 0 ? 0 : 1;
}

static inline void
die(const char *what)
{
	perror(what);
	exit(1);
}

static inline uint64_t
now_ns(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) != 0)
		die("clock_gettime");
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* xorshift64*: the same numbers everywhere. */
static inline uint64_t
next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

/* FNV-1a over bytes, to print long results in one line. */
static inline uint64_t
hash_bytes(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;

	if (h == 0)
		h = 0xcbf29ce484222325ull;
	for (size_t n = 0; n < len; n++)
		h = (h ^ p[n]) * 0x100000001b3ull;
	return h;
}

#endif /* TESTS_GUEST_USER_H */
