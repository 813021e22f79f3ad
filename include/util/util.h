/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * util.h - small things every room uses: array length, ranges, alignment,
 * byte order, strict number parsing.  Knows nothing about virtual machines.
 */
#ifndef UTIL_UTIL_H
#define UTIL_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Rejects pointers: the array's and its first element's address types differ.
 */
#define ARRAY_LEN(a)                                                           \
	(sizeof(a) / sizeof((a)[0]) +                                          \
	    0 * sizeof(char[1 - 2 * __builtin_types_compatible_p(              \
					__typeof__(a), __typeof__(&(a)[0]))]))

#define BIT(n)	 (1u << (n))
#define BIT64(n) (1ull << (n))

#define MIN(a, b)                                                              \
	({                                                                     \
		__typeof__(a) a_ = (a);                                        \
		__typeof__(b) b_ = (b);                                        \
		a_ < b_ ? a_ : b_;                                             \
	})
#define MAX(a, b)                                                              \
	({                                                                     \
		__typeof__(a) a_ = (a);                                        \
		__typeof__(b) b_ = (b);                                        \
		a_ > b_ ? a_ : b_;                                             \
	})

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define WARN_UNUSED __attribute__((warn_unused_result))

#define container_of(ptr, type, member)                                        \
	((type *)((char *)(ptr)-offsetof(type, member)))

/* align must be a power of two. */
#define ROUND_UP(x, align)   (((x) + ((align)-1)) & ~((__typeof__(x))(align)-1))
#define ROUND_DOWN(x, align) ((x) & ~((__typeof__(x))(align)-1))

/* [off, off + n) lies inside [0, len), without overflow. */
static inline bool
range_ok(uint64_t off, uint64_t n, uint64_t len)
{
	return off <= len && n <= len - off;
}

/* [a, a+alen) and [b, b+blen) share a byte; lengths > 0, no wrap. */
static inline bool
ranges_overlap(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
	return a < b ? b - a < alen : a - b < blen;
}

/* Little-endian loads and stores at any alignment. */
#define LE_FUNCS(bits)                                                         \
	static inline uint##bits##_t get_le##bits(const void *p)               \
	{                                                                      \
		uint##bits##_t v;                                              \
		memcpy(&v, p, sizeof(v));                                      \
		return v;                                                      \
	}                                                                      \
	static inline void put_le##bits(void *p, uint##bits##_t v)             \
	{                                                                      \
		memcpy(p, &v, sizeof(v));                                      \
	}
LE_FUNCS(16)
LE_FUNCS(32)
LE_FUNCS(64)
#undef LE_FUNCS

/*
 * Strict decimal or 0x-hexadecimal number: the whole string, no sign, no
 * space, min <= value <= max.  0 or -EINVAL / -ERANGE; *ret_val untouched on
 * failure.
 */
int parse_u64(
    const char *s, uint64_t min, uint64_t max, uint64_t *ret_val) WARN_UNUSED;

/* The name of two that is nearest to `s` in `names` (edit distance), or NULL.
 */
const char *
nearest_name(const char *s, const char *const *names, size_t nnames);

/* Monotonic host clock in nanoseconds (CLOCK_MONOTONIC). */
uint64_t host_now_ns(void);
/* What /proc/PID/smaps calls an anonymous mapping; hosts that cannot, do not.
 */
void host_name_memory(void *p, size_t len, const char *name);

/* strdup/calloc that cannot fail: the process ends with a message, status 4. */
char *xstrdup(const char *s);
void *xcalloc(size_t n, size_t size);

#endif /* UTIL_UTIL_H */
