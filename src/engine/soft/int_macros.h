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
 * Read-modify-write of memory, not locked: `EXPR` computes the new value from
 * `a`.  Flags must not change when the store faults, so the slow path puts the
 * old cc back.
 */
#define RMW(bits, T, EXPR)                                                     \
	EA(la, c, i, rip, bits / 8, ACC_RW)                                    \
	void *p = tlb_write_ptr(c, la, bits / 8);                              \
	if (likely(p != NULL)) {                                               \
		T a = HOST_LD(T, p);                                           \
		HOST_ST(T, p, EXPR);                                           \
		NEXT(c, i, rip);                                               \
	}                                                                      \
	RMW_SLOW(bits, T, EXPR)

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

#endif /* ENGINE_SOFT_INT_MACROS_H */
