/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpuset.h - a set of vCPU numbers, safe to change from any thread.
 *
 * One 64-bit word is enough because VM_MAXCPU is 64; everything goes through
 * these functions so that a wider set is a change in one place.
 */
#ifndef UTIL_CPUSET_H
#define UTIL_CPUSET_H

#include <stdbool.h>
#include <stdint.h>

struct cpuset {
	uint64_t bits; /* only through __atomic builtins */
};

static inline bool
cpuset_add(struct cpuset *s, unsigned int cpu)
{
	uint64_t bit = 1ull << cpu;

	return (__atomic_fetch_or(&s->bits, bit, __ATOMIC_SEQ_CST) & bit) == 0;
}

/* Returns true when the set is empty afterwards. */
static inline bool
cpuset_del(struct cpuset *s, unsigned int cpu)
{
	uint64_t bit = 1ull << cpu;

	return (__atomic_and_fetch(&s->bits, ~bit, __ATOMIC_SEQ_CST)) == 0;
}

static inline bool
cpuset_has(const struct cpuset *s, unsigned int cpu)
{
	return (__atomic_load_n(&s->bits, __ATOMIC_SEQ_CST) >> cpu) & 1;
}

static inline unsigned int
cpuset_count(const struct cpuset *s)
{
	return (unsigned int)__builtin_popcountll(
	    __atomic_load_n(&s->bits, __ATOMIC_SEQ_CST));
}

#endif /* UTIL_CPUSET_H */
