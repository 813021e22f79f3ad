/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * util.c - strict numbers, near misses of names, the host clock, allocation.
 *
 * Nothing here keeps state; every function may be called from any thread.
 */
#include <util/util.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include <util/log.h>

#define EXIT_STATUS_ERROR 4
#define NAME_MAX_LEN	  63 /* longer names never are a near miss */

static int
digit_value(char c, unsigned int base)
{
	unsigned int v;

	if (c >= '0' && c <= '9')
		v = (unsigned int)(c - '0');
	else if (c >= 'a' && c <= 'f')
		v = (unsigned int)(c - 'a') + 10;
	else if (c >= 'A' && c <= 'F')
		v = (unsigned int)(c - 'A') + 10;
	else
		return -1;
	return v < base ? (int)v : -1;
}

int
parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret_val)
{
	unsigned int base = 10;
	uint64_t v = 0;
	bool overflow = false;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
	}
	if (*s == '\0')
		return -EINVAL;
	for (; *s != '\0'; s++) {
		int d = digit_value(*s, base);

		if (d < 0)
			return -EINVAL;
		overflow |= __builtin_mul_overflow(v, base, &v);
		overflow |= __builtin_add_overflow(v, (unsigned int)d, &v);
	}
	if (overflow || v < min || v > max)
		return -ERANGE;
	*ret_val = v;
	return 0;
}

/* Levenshtein's distance with one row of the table; alen, blen are bounded. */
static size_t
edit_distance(const char *a, size_t alen, const char *b, size_t blen)
{
	size_t row[NAME_MAX_LEN + 1];

	for (size_t j = 0; j <= blen; j++)
		row[j] = j;
	for (size_t i = 1; i <= alen; i++) {
		size_t diag = row[0];

		row[0] = i;
		for (size_t j = 1; j <= blen; j++) {
			size_t change = diag + (a[i - 1] != b[j - 1]);
			size_t best = MIN(row[j], row[j - 1]) + 1;

			diag = row[j];
			row[j] = MIN(best, change);
		}
	}
	return row[blen];
}

const char *
nearest_name(const char *s, const char *const *names, size_t nnames)
{
	size_t slen = strlen(s);
	size_t best = slen / 3 + 2; /* anything this far off is no near miss */
	const char *found = NULL;

	if (slen == 0 || slen > NAME_MAX_LEN)
		return NULL;
	for (size_t i = 0; i < nnames; i++) {
		size_t nlen = strlen(names[i]);
		size_t d;

		if (nlen > NAME_MAX_LEN)
			continue;
		d = edit_distance(s, slen, names[i], nlen);
		if (d < best && d < MAX(slen, nlen)) {
			best = d;
			found = names[i];
		}
	}
	return found;
}

uint64_t
host_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void
host_name_memory(void *p, size_t len, const char *name)
{
	(void)prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, (uintptr_t)p, len, name);
}

static void *
checked(void *p)
{
	if (p == NULL) {
		log_error("out of memory");
		exit(EXIT_STATUS_ERROR);
	}
	return p;
}

char *
xstrdup(const char *s)
{
	return checked(strdup(s));
}

void *
xcalloc(size_t n, size_t size)
{
	/* calloc(0) may return NULL without having failed. */
	return checked(calloc(n == 0 ? 1 : n, size == 0 ? 1 : size));
}
