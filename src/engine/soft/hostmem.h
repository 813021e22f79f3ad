/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hostmem.h - accesses to guest memory at host addresses, one instruction each.
 *
 * A guest's load, store or locked operation is the host's own of the same size:
 * x86's memory order and single-copy atomicity then come from the processor.
 * Assembly, in every build, for three reasons:
 *  - the compiler may not split, merge, repeat or drop an access;
 *  - guests misalign as they like, which is no error of ours (UBSan);
 *  - guests race as they like, which TSan must not report; and what they do
 *    with memory says nothing about *our* state.  Atomics would teach TSan that
 *    one guest's spin lock orders two of our threads, and it would then miss
 *    our missing locks.  So guest memory does not exist for TSan, and
 *    everything else the engine shares does.
 *
 * No "memory" clobber on plain loads and stores: they are ordered among
 * themselves (volatile) and, where it matters, by smc.c's fences.
 */
#ifndef ENGINE_SOFT_HOSTMEM_H
#define ENGINE_SOFT_HOSTMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOSTMEM_INLINE static inline __attribute__((always_inline))

/* Operand of `n` bytes that need not be aligned. */
#define HOSTMEM(p, n) (*(uint8_t(*)[n])(uintptr_t)(p))

/* `size` is 1, 2, 4 or 8; the result is zero-extended. */
HOSTMEM_INLINE uint64_t
host_ld(const void *p, unsigned int size)
{
	uint64_t v;

	switch (size) {
	case 1:
		__asm__ volatile("movzbl %1, %k0"
				 : "=r"(v)
				 : "m"(HOSTMEM(p, 1)));
		break;
	case 2:
		__asm__ volatile("movzwl %1, %k0"
				 : "=r"(v)
				 : "m"(HOSTMEM(p, 2)));
		break;
	case 4:
		__asm__ volatile("movl %1, %k0" : "=r"(v) : "m"(HOSTMEM(p, 4)));
		break;
	default:
		__asm__ volatile("movq %1, %0" : "=r"(v) : "m"(HOSTMEM(p, 8)));
	}
	return v;
}

HOSTMEM_INLINE void
host_st(void *p, unsigned int size, uint64_t v)
{
	switch (size) {
	case 1:
		__asm__ volatile("movb %b1, %0" : "=m"(HOSTMEM(p, 1)) : "r"(v));
		break;
	case 2:
		__asm__ volatile("movw %w1, %0" : "=m"(HOSTMEM(p, 2)) : "r"(v));
		break;
	case 4:
		__asm__ volatile("movl %k1, %0" : "=m"(HOSTMEM(p, 4)) : "r"(v));
		break;
	default:
		__asm__ volatile("movq %1, %0" : "=m"(HOSTMEM(p, 8)) : "r"(v));
	}
}

/* p: a pointer, or an address as an integer. */
#define HOST_LD(type, p)                                                       \
	((type)host_ld((const void *)(uintptr_t)(p), sizeof(type)))
#define HOST_ST(type, p, v)                                                    \
	host_st((void *)(uintptr_t)(p), sizeof(type), (type)(v))

/* Locked; the old value, zero-extended. */
HOSTMEM_INLINE uint64_t
host_xchg(void *p, unsigned int size, uint64_t v)
{
	switch (size) {
	case 1:
		__asm__ volatile("xchgb %b1, %0\n\tmovzbl %b1, %k1"
				 : "+m"(HOSTMEM(p, 1)), "+r"(v)::"memory");
		break;
	case 2:
		__asm__ volatile("xchgw %w1, %0\n\tmovzwl %w1, %k1"
				 : "+m"(HOSTMEM(p, 2)), "+r"(v)::"memory");
		break;
	case 4:
		__asm__ volatile("xchgl %k1, %0"
				 : "+m"(HOSTMEM(p, 4)), "+r"(v)::"memory");
		break;
	default:
		__asm__ volatile("xchgq %1, %0"
				 : "+m"(HOSTMEM(p, 8)), "+r"(v)::"memory");
	}
	return v;
}

HOSTMEM_INLINE uint64_t
host_xadd(void *p, unsigned int size, uint64_t v)
{
	switch (size) {
	case 1:
		__asm__ volatile(
		    "lock xaddb %b1, %0\n\tmovzbl %b1, %k1"
		    : "+m"(HOSTMEM(p, 1)), "+r"(v)::"memory", "cc");
		break;
	case 2:
		__asm__ volatile(
		    "lock xaddw %w1, %0\n\tmovzwl %w1, %k1"
		    : "+m"(HOSTMEM(p, 2)), "+r"(v)::"memory", "cc");
		break;
	case 4:
		__asm__ volatile(
		    "lock xaddl %k1, %0"
		    : "+m"(HOSTMEM(p, 4)), "+r"(v)::"memory", "cc");
		break;
	default:
		__asm__ volatile(
		    "lock xaddq %1, %0"
		    : "+m"(HOSTMEM(p, 8)), "+r"(v)::"memory", "cc");
	}
	return v;
}

/* Compare-exchange: stored when the result equals `expect` (of that size). */
HOSTMEM_INLINE uint64_t
host_cas(void *p, unsigned int size, uint64_t expect, uint64_t v)
{
	switch (size) {
	case 1:
		__asm__ volatile("lock cmpxchgb %b2, %0\n\tmovzbl %b1, %k1"
				 : "+m"(HOSTMEM(p, 1)), "+a"(expect)
				 : "r"(v)
				 : "memory", "cc");
		break;
	case 2:
		__asm__ volatile("lock cmpxchgw %w2, %0\n\tmovzwl %w1, %k1"
				 : "+m"(HOSTMEM(p, 2)), "+a"(expect)
				 : "r"(v)
				 : "memory", "cc");
		break;
	case 4:
		/* Equal, it leaves EAX alone, upper half included. */
		__asm__ volatile("lock cmpxchgl %k2, %0\n\tmovl %k1, %k1"
				 : "+m"(HOSTMEM(p, 4)), "+a"(expect)
				 : "r"(v)
				 : "memory", "cc");
		break;
	default:
		__asm__ volatile("lock cmpxchgq %2, %0"
				 : "+m"(HOSTMEM(p, 8)), "+a"(expect)
				 : "r"(v)
				 : "memory", "cc");
	}
	return expect;
}

/* Aligned, or it faults.  *lo, *hi: expected, then found. */
HOSTMEM_INLINE bool
host_cas16(
    void *p, uint64_t *lo, uint64_t *hi, uint64_t new_lo, uint64_t new_hi)
{
	bool same;

	__asm__ volatile(
	    "lock cmpxchg16b %[m]\n\tsete %[z]"
	    : [m] "+m"(HOSTMEM(p, 16)), "+a"(*lo), "+d"(*hi), [z] "=q"(same)
	    : "b"(new_lo), "c"(new_hi)
	    : "cc", "memory");
	return same;
}

/* Bytes in any order; either side may be guest memory. */
HOSTMEM_INLINE void
host_copy(void *dst, const void *src, size_t n)
{
	__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n)::"memory");
}

#endif /* ENGINE_SOFT_HOSTMEM_H */
