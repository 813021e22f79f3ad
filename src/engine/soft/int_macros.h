/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * int_macros.h - operand access by size for the generated integer handlers.
 */
#ifndef ENGINE_SOFT_INT_MACROS_H
#define ENGINE_SOFT_INT_MACROS_H

#include "alu.h"
#include "int_ops.h"
#include "mmu.h"

#define MEMSEG(i) ((i)->mem & MEM_SEG_MASK)

/* Register operands by width; 32-bit writes zero-extend. */
#define GET_8(c, off)	  REG8(c, off)
#define GET_16(c, off)	  REG16(c, off)
#define GET_32(c, off)	  REG32(c, off)
#define GET_64(c, off)	  REG64(c, off)
#define PUT_8(c, off, v)  (REG8(c, off) = (uint8_t)(v))
#define PUT_16(c, off, v) (REG16(c, off) = (uint16_t)(v))
#define PUT_32(c, off, v) (REG64(c, off) = (uint32_t)(v))
#define PUT_64(c, off, v) (REG64(c, off) = (v))

#define HANDLER(name)                                                          \
	static void name(struct soft_cpu *c, const struct insn *i, uint64_t rip)

/* log2 of bytes, by bits. */
enum { SIZE_8, SIZE_16, SIZE_32, SIZE_64 };

/* A table row per size, [log2 of bytes]. */
#define TAB(pre)                                                               \
	{                                                                      \
		pre##8, pre##16, pre##32, pre##64                              \
	}
#define TAB3(pre)                                                              \
	{                                                                      \
		NULL, pre##16, pre##32, pre##64                                \
	}

/*
 * A handler with a memory operand, made twice from one body.  The fast copy
 * does what needs no call: addresses that are sums, pages that are in the TLB.
 * So it needs no stack frame.  Anything else jumps to the slow copy (`slow` is
 * NULL there), which starts the instruction anew; the body therefore changes
 * nothing before its last access.
 */
#define MEM_HANDLER_AS(linkage, name, ...)                                     \
	static __attribute__((noinline)) void name##_slow(                     \
	    struct soft_cpu *c, const struct insn *i, uint64_t rip)            \
	{                                                                      \
		const insn_fn slow = NULL;                                     \
		__VA_ARGS__                                                    \
	}                                                                      \
	linkage void name(                                                     \
	    struct soft_cpu *c, const struct insn *i, uint64_t rip)            \
	{                                                                      \
		const insn_fn slow = name##_slow;                              \
		__VA_ARGS__                                                    \
	}
#define MEM_HANDLER(name, ...)	      MEM_HANDLER_AS(static, name, __VA_ARGS__)
#define MEM_HANDLER_EXTERN(name, ...) MEM_HANDLER_AS(, name, __VA_ARGS__)

/* Declares `la`, the operand's linear address, for an access of `size` bytes.
 */
#define MEM_EA(la, size, acc)                                                  \
	uint64_t la = insn_sum(c, i);                                          \
	if (unlikely((i->mem & MEM_SPECIAL) != 0)) {                           \
		if (slow == NULL) {                                            \
			c->rip = rip;                                          \
			if (!insn_ea_slow(c, i, size, acc))                    \
				return;                                        \
			la = c->ea;                                            \
		} else if ((i->mem & (MEM_A16 | MEM_LEGACY)) != 0) {           \
			TAILCALL slow(c, i, rip);                              \
		} else {                                                       \
			if (i->mem & MEM_RIP)                                  \
				la += rip + i->len;                            \
			if (i->mem & MEM_A32)                                  \
				la = (uint32_t)la;                             \
			if (i->mem & MEM_SEGBASE)                              \
				la += c->seg[MEMSEG(i)].base;                  \
		}                                                              \
	}

/* Declares `v` and loads it from `la` of segment `segno`. */
#define MEM_LOAD(T, v, la, segno)                                              \
	T v;                                                                   \
	{                                                                      \
		const struct tlb_entry *e_ = tlb_slot(c, la);                  \
		if (likely(tlb_tag(la, sizeof(T)) == e_->rtag)) {              \
			v = HOST_LD(T, la + e_->addend);                       \
		} else {                                                       \
			if (slow != NULL)                                      \
				TAILCALL slow(c, i, rip);                      \
			c->rip = rip;                                          \
			c->acc_seg = (uint8_t)(segno);                         \
			if (!mem_read_slow(c, la, sizeof(T)))                  \
				return;                                        \
			v = (T)c->mem_val;                                     \
		}                                                              \
	}

/*
 * The last access of a handler.  The fast copy goes on from here: what a TLB
 * hit stores to is no code.
 */
#define MEM_STORE(T, v, la, segno)                                             \
	{                                                                      \
		const struct tlb_entry *e_ = tlb_slot(c, la);                  \
		if (likely(tlb_tag(la, sizeof(T)) == e_->wtag)) {              \
			HOST_ST(T, la + e_->addend, v);                        \
			NEXT(c, i, rip);                                       \
		}                                                              \
		if (slow != NULL)                                              \
			TAILCALL slow(c, i, rip);                              \
		c->rip = rip;                                                  \
		c->acc_seg = (uint8_t)(segno);                                 \
		if (!mem_write_slow(c, la, sizeof(T), (v)))                    \
			return;                                                \
	}

/*
 * Read-modify-write of memory, not locked: `EXPR` computes the new value from
 * `a`.  Flags must not change when the store faults, so the slow path puts the
 * old cc back.  The whole rest of a MEM_HANDLER.
 */
#define RMW(bits, T, EXPR)                                                     \
	MEM_EA(la, bits / 8, ACC_RW)                                           \
	const struct tlb_entry *e = tlb_slot(c, la);                           \
	if (likely(tlb_tag(la, bits / 8) == e->wtag)) {                        \
		T a = HOST_LD(T, la + e->addend);                              \
		HOST_ST(T, la + e->addend, EXPR);                              \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	if (slow != NULL)                                                      \
		TAILCALL slow(c, i, rip);                                      \
	RMW_SLOW(bits, T, EXPR);

#define RMW_SLOW(bits, T, EXPR)                                                \
	c->rip = rip;                                                          \
	c->acc_seg = MEMSEG(i);                                                \
	if (!mem_read_rmw_slow(c, la, bits / 8))                               \
		return;                                                        \
	{                                                                      \
		uint16_t old_cc = c->cc;                                       \
		T a = (T)c->mem_val;                                           \
		T v = EXPR;                                                    \
		if (!mem_write_slow(c, la, bits / 8, v)) {                     \
			c->cc = old_cc;                                        \
			return;                                                \
		}                                                              \
	}                                                                      \
	NEXT_AFTER_STORE(c, i, rip)

/*
 * Locked: HOSTOP works on *p atomically.  A code page still gets the real
 * atomic; what crosses a page or is MMIO is done under the machine's split
 * lock.
 */
#define LOCKED(bits, T, HOSTOP, EXPR)                                          \
	EA(la, c, i, rip, bits / 8, ACC_RW)                                    \
	void *p = tlb_write_ptr(c, la, bits / 8);                              \
	if (likely(p != NULL)) {                                               \
		HOSTOP;                                                        \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	c->rip = rip;                                                          \
	c->acc_seg = MEMSEG(i);                                                \
	p = mem_host_ptr(c, la, bits / 8, ACC_RW);                             \
	if (p != NULL) {                                                       \
		HOSTOP;                                                        \
		mem_wrote(c, la, bits / 8);                                    \
		NEXT_AFTER_STORE(c, i, rip);                                   \
	}                                                                      \
	if (c->exc.pending)                                                    \
		return;                                                        \
	split_lock(c);                                                         \
	if (mem_read_rmw_slow(c, la, bits / 8)) {                              \
		uint16_t old_cc = c->cc;                                       \
		T a = (T)c->mem_val;                                           \
		T v = EXPR;                                                    \
		if (!mem_write_slow(c, la, bits / 8, v))                       \
			c->cc = old_cc;                                        \
	}                                                                      \
	split_unlock(c);                                                       \
	if (c->exc.pending)                                                    \
		return;                                                        \
	NEXT_AFTER_STORE(c, i, rip)

/* 4 bytes onto a flat stack; false: it wraps, or its page is not in the TLB. */
static inline bool
stack32_push(struct soft_cpu *c, uint32_t val)
{
	uint32_t sp = (uint32_t)(c->gpr[R_RSP] - 4);
	void *p = tlb_write_ptr(c, sp, 4);

	if (unlikely(p == NULL))
		return false;
	HOST_ST(uint32_t, p, val);
	c->gpr[R_RSP] = sp;
	return true;
}

#endif /* ENGINE_SOFT_INT_MACROS_H */
