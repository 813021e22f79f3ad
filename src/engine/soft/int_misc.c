/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * int_misc.c - integer instructions that need no specialised forms: MUL DIV and
 * their signed kin, double shifts, bit tests and scans, CMPXCHG XADD BSWAP,
 * sign extensions, flag instructions, XLAT, decimal adjust, NOP and fences.
 *
 * Handlers take the general filling of insn.h: r1 = ModRM.reg, r2 = ModRM.rm
 * (or the memory operand when INSN_HASMEM), opsize.
 */
#include "int_ops.h"

#include <Zydis/Mnemonic.h>

#include "int_macros.h"

/* Value of the r/m operand in `v`; returns from the handler on a fault. */
#define LOAD_RM(v, c, i, rip)                                                  \
	uint64_t v;                                                            \
	if ((i)->x & INSN_HASMEM) {                                            \
		EA(la_, c, i, rip, (i)->opsize, ACC_R)                         \
		(c)->rip = (rip);                                              \
		(c)->acc_seg = MEMSEG(i);                                      \
		if (!mem_read_slow((c), la_, (i)->opsize))                     \
			return;                                                \
		v = (c)->mem_val;                                              \
	} else {                                                               \
		v = reg_get((c), (i)->r2, (i)->opsize);                        \
	}

void
op_nop(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	NEXT(c, i, rip);
}

void
op_ud(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	(void)i;
	RAISE_UD(c, rip);
}

void
op_gp0(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	(void)i;
	RAISE_GP(c, rip, 0);
}

void
op_nm(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	(void)i;
	c->rip = rip;
	cpu_raise(c, EXC_NM);
}

/*
 * Fences keep their meaning by being the host's own, between host accesses.
 * LFENCE must be a real one: guests order RDTSC by it.
 */
HANDLER(op_mfence)
{
	__asm__ volatile("mfence" ::: "memory");
	NEXT(c, i, rip);
}

HANDLER(op_lfence)
{
	__asm__ volatile("lfence" ::: "memory");
	NEXT(c, i, rip);
}

HANDLER(op_sfence)
{
	__asm__ volatile("sfence" ::: "memory");
	NEXT(c, i, rip);
}

/* --- MUL, IMUL with one operand
 * ------------------------------------------------------ */

#define CC_CF_OF 0x0101u

/* MUL defines CF and OF; the other flags stay, as on AMD. */
static inline uint16_t
mul_flags(uint16_t old, uint16_t new)
{
	return (uint16_t)((old & ~CC_CF_OF) | (new &CC_CF_OF));
}

/* rDX:rAX, or AX, = rAX * src; flags are the host's. */
#define DEF_MUL(name, op)                                                      \
	static void name##8(struct soft_cpu * c, uint64_t src)                 \
	{                                                                      \
		uint32_t a = (uint8_t)c->gpr[R_RAX], t;                        \
		__asm__(op "b %b[s]\n\tmovl %%eax, %[t]" CC_SAVE               \
			: "+&a"(a), [t] "=&r"(t)                               \
			: [s] "q"((uint8_t)src)                                \
			: "cc");                                               \
		c->cc = (uint16_t)a;                                           \
		REG16(c, R_RAX * 8) = (uint16_t)t;                             \
	}                                                                      \
	static void name##16(struct soft_cpu * c, uint64_t src)                \
	{                                                                      \
		uint32_t a = (uint16_t)c->gpr[R_RAX], t, d;                    \
		__asm__(op "w %w[s]\n\tmovl %%eax, %[t]" CC_SAVE               \
			: "+&a"(a), [t] "=&r"(t), "=&d"(d)                     \
			: [s] "r"((uint16_t)src)                               \
			: "cc");                                               \
		c->cc = (uint16_t)a;                                           \
		REG16(c, R_RAX * 8) = (uint16_t)t;                             \
		REG16(c, R_RDX * 8) = (uint16_t)d;                             \
	}                                                                      \
	static void name##32(struct soft_cpu * c, uint64_t src)                \
	{                                                                      \
		uint32_t a = (uint32_t)c->gpr[R_RAX], t, d;                    \
		__asm__(op "l %k[s]\n\tmovl %%eax, %[t]" CC_SAVE               \
			: "+&a"(a), [t] "=&r"(t), "=&d"(d)                     \
			: [s] "r"((uint32_t)src)                               \
			: "cc");                                               \
		c->cc = (uint16_t)a;                                           \
		c->gpr[R_RAX] = t;                                             \
		c->gpr[R_RDX] = d;                                             \
	}                                                                      \
	static void name##64(struct soft_cpu * c, uint64_t src)                \
	{                                                                      \
		uint64_t a = c->gpr[R_RAX], t, d;                              \
		__asm__(op "q %q[s]\n\tmovq %%rax, %[t]" CC_SAVE               \
			: "+&a"(a), [t] "=&r"(t), "=&d"(d)                     \
			: [s] "r"(src)                                         \
			: "cc");                                               \
		c->cc = (uint16_t)a;                                           \
		c->gpr[R_RAX] = t;                                             \
		c->gpr[R_RDX] = d;                                             \
	}                                                                      \
	HANDLER(op_##name)                                                     \
	{                                                                      \
		uint16_t old = c->cc;                                          \
		LOAD_RM(src, c, i, rip)                                        \
		switch (i->opsize) {                                           \
		case 1:                                                        \
			name##8(c, src);                                       \
			break;                                                 \
		case 2:                                                        \
			name##16(c, src);                                      \
			break;                                                 \
		case 4:                                                        \
			name##32(c, src);                                      \
			break;                                                 \
		default:                                                       \
			name##64(c, src);                                      \
		}                                                              \
		c->cc = mul_flags(old, c->cc);                                 \
		NEXT(c, i, rip);                                               \
	}
DEF_MUL(mul, "mul")
DEF_MUL(imul, "imul")

/* --- DIV, IDIV
 * ------------------------------------------------------------------------ */

/* 128 / 64 -> 64 unsigned; the caller made sure that it fits. */
static inline uint64_t
divq(uint64_t hi, uint64_t lo, uint64_t d, uint64_t *ret_rem)
{
	__asm__("divq %[d]" : "+a"(lo), "+d"(hi) : [d] "r"(d) : "cc");
	*ret_rem = hi;
	return lo;
}

/* False: #DE. */
static bool
div_unsigned(struct soft_cpu *c, unsigned int size, uint64_t d)
{
	uint64_t max = UINT64_MAX >> (64 - size * 8), n, rem;

	if (d == 0)
		return false;
	if (size == 8) {
		if (c->gpr[R_RDX] >= d)
			return false;
		c->gpr[R_RAX] = divq(c->gpr[R_RDX], c->gpr[R_RAX], d, &rem);
		c->gpr[R_RDX] = rem;
		return true;
	}
	if (size == 1)
		n = (uint16_t)c->gpr[R_RAX];
	else
		n = (c->gpr[R_RAX] & max) | (c->gpr[R_RDX] & max) << size * 8;
	if (n / d > max)
		return false;
	rem = n % d;
	n /= d;
	if (size == 1) {
		REG16(c, R_RAX * 8) = (uint16_t)(n | rem << 8);
	} else {
		reg_set(c, R_RAX * 8, size, n);
		reg_set(c, R_RDX * 8, size, rem);
	}
	return true;
}

static bool
div_signed64(struct soft_cpu *c, int64_t d)
{
	uint64_t hi = c->gpr[R_RDX], lo = c->gpr[R_RAX], q, rem;
	uint64_t ud = d < 0 ? 0 - (uint64_t)d : (uint64_t)d;
	bool nneg = (int64_t)hi < 0, qneg = nneg != (d < 0);

	if (nneg) {
		lo = 0 - lo;
		hi = ~hi + (lo == 0);
	}
	if (hi >= ud) /* includes ud == 0 */
		return false;
	q = divq(hi, lo, ud, &rem);
	if (q > (uint64_t)INT64_MAX + qneg)
		return false;
	c->gpr[R_RAX] = qneg ? 0 - q : q;
	c->gpr[R_RDX] = nneg ? 0 - rem : rem;
	return true;
}

static bool
div_signed(struct soft_cpu *c, unsigned int size, uint64_t src)
{
	int64_t d, n, q, rem;

	switch (size) {
	case 1:
		d = (int8_t)src;
		n = (int16_t)c->gpr[R_RAX];
		break;
	case 2:
		d = (int16_t)src;
		n = (int32_t)((uint32_t)(uint16_t)c->gpr[R_RAX] |
			      (uint32_t)c->gpr[R_RDX] << 16);
		break;
	case 4:
		d = (int32_t)src;
		n = (int64_t)((uint64_t)(uint32_t)c->gpr[R_RAX] | c->gpr[R_RDX]
								      << 32);
		break;
	default:
		return div_signed64(c, (int64_t)src);
	}
	if (d == 0 || (d == -1 && n == INT64_MIN))
		return false;
	q = n / d;
	rem = n % d;
	if (q != (int64_t)((uint64_t)q << (64 - size * 8)) >> (64 - size * 8))
		return false;
	if (size == 1) {
		REG16(c, R_RAX * 8) =
		    (uint16_t)((uint8_t)q | (uint16_t)((uint8_t)rem << 8));
	} else {
		reg_set(c, R_RAX * 8, size, (uint64_t)q);
		reg_set(c, R_RDX * 8, size, (uint64_t)rem);
	}
	return true;
}

/* DIV defines no flag; on AMD it leaves CF and OF, sets AF and clears the
 * others. */
static inline void
div_flags(struct soft_cpu *c)
{
	c->cc = (uint16_t)((c->cc & CC_CF_OF) | 0x1200);
}

HANDLER(op_div)
{
	LOAD_RM(d, c, i, rip)
	if (!div_unsigned(c, i->opsize, d)) {
		c->rip = rip;
		cpu_raise(c, EXC_DE);
		return;
	}
	div_flags(c);
	NEXT(c, i, rip);
}

HANDLER(op_idiv)
{
	LOAD_RM(d, c, i, rip)
	if (!div_signed(c, i->opsize, d)) {
		c->rip = rip;
		cpu_raise(c, EXC_DE);
		return;
	}
	div_flags(c);
	NEXT(c, i, rip);
}

/* --- SHLD, SHRD: count in imm, or in CL when x's low byte is 1 or 3
 * ------------------------- */

enum { SHD_LEFT = 0, SHD_RIGHT = 2 };

static uint64_t
shift_double(
    struct soft_cpu *c, const struct insn *i, uint64_t a, uint64_t b, uint8_t n)
{
	bool right = (i->x & SHD_RIGHT) != 0;

	switch (i->opsize) {
	case 2:
		return right ? alu_shrd16(c, (uint16_t)a, (uint16_t)b, n)
			     : alu_shld16(c, (uint16_t)a, (uint16_t)b, n);
	case 4:
		return right ? alu_shrd32(c, (uint32_t)a, (uint32_t)b, n)
			     : alu_shld32(c, (uint32_t)a, (uint32_t)b, n);
	default:
		return right ? alu_shrd64(c, a, b, n) : alu_shld64(c, a, b, n);
	}
}

/*
 * A read-modify-write of any size through the slow functions, for the rare
 * instructions: FN(a) gives the new value.
 */
#define RMW_ANY(c, i, rip, FN)                                                 \
	do {                                                                   \
		uint16_t old_cc = (c)->cc;                                     \
		uint64_t a, v;                                                 \
		EA(la, c, i, rip, (i)->opsize, ACC_RW)                         \
		(c)->rip = (rip);                                              \
		(c)->acc_seg = MEMSEG(i);                                      \
		if (!mem_read_rmw_slow((c), la, (i)->opsize))                  \
			return;                                                \
		a = (c)->mem_val;                                              \
		v = FN;                                                        \
		if (!mem_write_slow((c), la, (i)->opsize, v)) {                \
			(c)->cc = old_cc;                                      \
			return;                                                \
		}                                                              \
	} while (0)

HANDLER(op_shd)
{
	uint64_t b = reg_get(c, i->r1, i->opsize);
	uint8_t n =
	    i->x & INSN_REGCOUNT ? (uint8_t)c->gpr[R_RCX] : (uint8_t)i->imm;

	if (i->x & INSN_HASMEM) {
		RMW_ANY(c, i, rip, shift_double(c, i, a, b, n));
		NEXT_AFTER_STORE(c, i, rip);
	}
	reg_set(c, i->r2, i->opsize,
	    shift_double(c, i, reg_get(c, i->r2, i->opsize), b, n));
	NEXT(c, i, rip);
}

/* --- BT BTS BTR BTC
 * ---------------------------------------------------------------------- */

enum { BT_TEST, BT_SET, BT_RESET, BT_COMPLEMENT };

static uint64_t
bit_op(struct soft_cpu *c, unsigned int kind, unsigned int size, uint64_t a,
    unsigned int n)
{
	typedef uint64_t (*fn64)(struct soft_cpu *, uint64_t, uint64_t);
	static const fn64 ops[4] = { alu_bt64, alu_bts64, alu_btr64,
		alu_btc64 };

	return ops[kind](c, a, n & (size * 8 - 1));
}

/* With LOCK: the host's locked instruction on the word. */
static void
bit_op_locked(struct soft_cpu *c, unsigned int kind, void *p, unsigned int size,
    unsigned int n)
{
	uint64_t bit = 1ull << (n & (size * 8 - 1)), old, seen, val;

	for (seen = host_ld(p, size), old = ~seen; seen != old;) {
		old = seen;
		val = kind == BT_SET	 ? old | bit
		      : kind == BT_RESET ? old & ~bit
					 : old ^ bit;
		seen = host_cas(p, size, old, val);
	}
	bit_op(c, kind, size, old, n); /* for the flags */
}

/* Memory form; n already reduced to the word, la its address. */
static bool
bit_mem(struct soft_cpu *c, const struct insn *i, uint64_t la, unsigned int n)
{
	unsigned int size = i->opsize, kind = i->x & 3;
	uint16_t old_cc = c->cc;
	uint64_t v;
	void *p;
	bool ok;

	if (kind == BT_TEST) {
		if (!mem_read_slow(c, la, size))
			return false;
		bit_op(c, kind, size, c->mem_val, n);
		return true;
	}
	if (!(i->x & INSN_LOCK)) {
		if (!mem_read_rmw_slow(c, la, size))
			return false;
		v = bit_op(c, kind, size, c->mem_val, n);
		if (mem_write_slow(c, la, size, v))
			return true;
		c->cc = old_cc;
		return false;
	}
	p = mem_host_ptr(c, la, size, ACC_RW);
	if (p != NULL) {
		bit_op_locked(c, kind, p, size, n);
		mem_wrote(c, la, size);
		return true;
	}
	if (c->exc.pending)
		return false;
	split_lock(c);
	ok = mem_read_rmw_slow(c, la, size);
	if (ok) {
		v = bit_op(c, kind, size, c->mem_val, n);
		ok = mem_write_slow(c, la, size, v);
		if (!ok)
			c->cc = old_cc;
	}
	split_unlock(c);
	return ok;
}

/*
 * With a register bit offset memory is addressed as a bit string: the word is
 * at EA + size * (offset >> log2(bits)), offset signed (SDM 2A BT).  Linear
 * address in c->ea.
 */
static __attribute__((noinline)) bool
bit_string_ea(struct soft_cpu *c, const struct insn *i, uint64_t n)
{
	unsigned int size = i->opsize;
	struct insn at = { .len = i->len,
		.mem = i->mem,
		.base = i->base,
		.index = R_TMP,
		.disp = i->disp };
	int64_t off = size == 2	  ? (int16_t)n
		      : size == 4 ? (int32_t)n
				  : (int64_t)n;
	int64_t word = 0;

	if (i->x & INSN_REGCOUNT)
		word = (off >> (size == 2      ? 4
				   : size == 4 ? 5
					       : 6)) *
		       (int64_t)size;
	/* The displacement may exceed 32 bits: it goes in through R_TMP. */
	c->gpr[R_TMP] = (c->gpr[i->index] << i->scale) + (uint64_t)word;
	return insn_ea_slow(
	    c, &at, size, (i->x & 3) == BT_TEST ? ACC_R : ACC_RW);
}

HANDLER(op_bt)
{
	uint64_t n = i->x & INSN_REGCOUNT ? reg_get(c, i->r1, i->opsize)
					  : (uint64_t)i->imm;
	unsigned int size = i->opsize;

	if (!(i->x & INSN_HASMEM)) {
		uint64_t v = bit_op(c, i->x & 3, size, reg_get(c, i->r2, size),
		    (unsigned int)n);

		if ((i->x & 3) != BT_TEST)
			reg_set(c, i->r2, size, v);
		NEXT(c, i, rip);
	}
	c->rip = rip;
	if (!bit_string_ea(c, i, n))
		return;
	c->acc_seg = MEMSEG(i);
	if (!bit_mem(c, i, c->ea, (unsigned int)n))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}

/* --- BSF, BSR: on a zero source the destination stays (AMD; Intel in practice)
 * --------------- */

HANDLER(op_bsf)
{
	LOAD_RM(v, c, i, rip)
	uint64_t d = reg_get(c, i->r1, i->opsize);

	d = i->opsize == 2   ? alu_bsf16(c, (uint16_t)d, (uint16_t)v)
	    : i->opsize == 4 ? alu_bsf32(c, (uint32_t)d, (uint32_t)v)
			     : alu_bsf64(c, d, v);
	if (v != 0)
		reg_set(c, i->r1, i->opsize, d);
	NEXT(c, i, rip);
}

HANDLER(op_bsr)
{
	LOAD_RM(v, c, i, rip)
	uint64_t d = reg_get(c, i->r1, i->opsize);

	d = i->opsize == 2   ? alu_bsr16(c, (uint16_t)d, (uint16_t)v)
	    : i->opsize == 4 ? alu_bsr32(c, (uint32_t)d, (uint32_t)v)
			     : alu_bsr64(c, d, v);
	if (v != 0)
		reg_set(c, i->r1, i->opsize, d);
	NEXT(c, i, rip);
}

/* --- CMPXCHG, XADD
 * ---------------------------------------------------------------------------
 */

static void
cmp_any(struct soft_cpu *c, unsigned int size, uint64_t a, uint64_t b)
{
	switch (size) {
	case 1:
		alu_cmp8(c, (uint8_t)a, (uint8_t)b);
		break;
	case 2:
		alu_cmp16(c, (uint16_t)a, (uint16_t)b);
		break;
	case 4:
		alu_cmp32(c, (uint32_t)a, (uint32_t)b);
		break;
	default:
		alu_cmp64(c, a, b);
	}
}

static uint64_t
add_any(struct soft_cpu *c, unsigned int size, uint64_t a, uint64_t b)
{
	switch (size) {
	case 1:
		return alu_add8(c, (uint8_t)a, (uint8_t)b);
	case 2:
		return alu_add16(c, (uint16_t)a, (uint16_t)b);
	case 4:
		return alu_add32(c, (uint32_t)a, (uint32_t)b);
	default:
		return alu_add64(c, a, b);
	}
}

/*
 * The old value at la in c->mem_val after `la` was compared with expect and
 * perhaps set to val.  Hardware writes in either case, so it faults as a write.
 */
static bool
cas_mem(struct soft_cpu *c, uint64_t la, unsigned int size, uint64_t expect,
    uint64_t val)
{
	void *p = mem_host_ptr(c, la, size, ACC_RW);
	uint64_t old;
	bool ok;

	if (p != NULL) {
		c->mem_val = host_cas(p, size, expect, val);
		mem_wrote(c, la, size);
		return true;
	}
	if (c->exc.pending)
		return false;
	split_lock(c);
	ok = mem_read_rmw_slow(c, la, size);
	if (ok) {
		old = c->mem_val;
		ok = mem_write_slow(c, la, size, old == expect ? val : old);
		c->mem_val = old;
	}
	split_unlock(c);
	return ok;
}

HANDLER(op_cmpxchg)
{
	unsigned int size = i->opsize;
	uint64_t acc = reg_get(c, R_RAX * 8, size);
	uint64_t src = reg_get(c, i->r1, size), old;

	if (i->x & INSN_HASMEM) {
		EA(la, c, i, rip, size, ACC_RW)
		void *p = tlb_write_ptr(c, la, size);

		if (likely(p != NULL)) {
			old = host_cas(p, size, acc, src);
		} else {
			c->rip = rip;
			c->acc_seg = MEMSEG(i);
			if (!cas_mem(c, la, size, acc, src))
				return;
			old = c->mem_val;
		}
		cmp_any(c, size, acc, old);
		if (old != acc)
			reg_set(c, R_RAX * 8, size, old);
		NEXT_AFTER_STORE(c, i, rip);
	}
	old = reg_get(c, i->r2, size);
	cmp_any(c, size, acc, old);
	if (old == acc)
		reg_set(c, i->r2, size, src);
	else
		reg_set(c, R_RAX * 8, size, old);
	NEXT(c, i, rip);
}

HANDLER(op_xadd)
{
	unsigned int size = i->opsize;
	uint64_t src = reg_get(c, i->r1, size), old, v;

	if (i->x & INSN_HASMEM) {
		EA(la, c, i, rip, size, ACC_RW)
		void *p = tlb_write_ptr(c, la, size);

		c->rip = rip;
		c->acc_seg = MEMSEG(i);
		if (p == NULL)
			p = mem_host_ptr(c, la, size, ACC_RW);
		if (p != NULL) {
			old = host_xadd(p, size, src);
			mem_wrote(c, la, size);
		} else {
			bool ok;

			if (c->exc.pending)
				return;
			split_lock(c);
			ok = mem_read_rmw_slow(c, la, size);
			old = c->mem_val;
			ok = ok && mem_write_slow(c, la, size, old + src);
			split_unlock(c);
			if (!ok)
				return;
		}
		add_any(c, size, old, src);
		reg_set(c, i->r1, size, old);
		NEXT_AFTER_STORE(c, i, rip);
	}
	old = reg_get(c, i->r2, size);
	v = add_any(c, size, old, src);
	reg_set(c, i->r1, size, old);
	reg_set(c, i->r2, size, v); /* XADD r,r same register: the sum stays */
	NEXT(c, i, rip);
}

static void
set_zf(struct soft_cpu *c, bool zf)
{
	c->cc = (uint16_t)((c->cc & ~0x4000) | (zf ? 0x4000 : 0));
}

HANDLER(op_cmpxchg8b)
{
	uint64_t acc = (uint32_t)c->gpr[R_RAX] | c->gpr[R_RDX] << 32;
	uint64_t src = (uint32_t)c->gpr[R_RBX] | c->gpr[R_RCX] << 32;
	EA(la, c, i, rip, 8, ACC_RW)
	c->rip = rip;
	c->acc_seg = MEMSEG(i);
	if (!cas_mem(c, la, 8, acc, src))
		return;
	set_zf(c, c->mem_val == acc);
	if (c->mem_val != acc) {
		c->gpr[R_RAX] = (uint32_t)c->mem_val;
		c->gpr[R_RDX] = c->mem_val >> 32;
	}
	NEXT_AFTER_STORE(c, i, rip);
}

/* On MMIO: two accesses of eight bytes each way. */
static bool
cas16_mmio(struct soft_cpu *c, uint64_t la, uint64_t *lo, uint64_t *hi)
{
	uint64_t old[2], acc[2] = { *lo, *hi };
	bool ok, same;

	split_lock(c);
	ok = mem_read_rmw_slow(c, la, 8);
	old[0] = c->mem_val;
	ok = ok && mem_read_rmw_slow(c, la + 8, 8);
	old[1] = c->mem_val;
	same = old[0] == acc[0] && old[1] == acc[1];
	/* Memory is written either way (SDM 2A). */
	ok = ok && mem_write_slow(c, la, 8, same ? c->gpr[R_RBX] : old[0]) &&
	     mem_write_slow(c, la + 8, 8, same ? c->gpr[R_RCX] : old[1]);
	split_unlock(c);
	*lo = old[0];
	*hi = old[1];
	return ok;
}

HANDLER(op_cmpxchg16b)
{
	uint64_t lo = c->gpr[R_RAX], hi = c->gpr[R_RDX];
	bool zf;
	void *p;
	EA(la, c, i, rip, 16, ACC_RW)

	if (la & 15)
		RAISE_GP(c, rip, 0);
	c->rip = rip;
	c->acc_seg = MEMSEG(i);
	/* Aligned, so it never crosses a page; only MMIO has no pointer. */
	p = mem_host_ptr(c, la, 16, ACC_RW);
	if (p == NULL) {
		if (c->exc.pending || !cas16_mmio(c, la, &lo, &hi))
			return;
		zf = lo == c->gpr[R_RAX] && hi == c->gpr[R_RDX];
	} else {
		zf = host_cas16(p, &lo, &hi, c->gpr[R_RBX], c->gpr[R_RCX]);
		mem_wrote(c, la, 16);
	}
	set_zf(c, zf);
	c->gpr[R_RAX] = lo;
	c->gpr[R_RDX] = hi;
	NEXT_AFTER_STORE(c, i, rip);
}

/* --- registers alone
 * ----------------------------------------------------------------------------
 */

HANDLER(op_bswap)
{
	if (i->opsize == 8)
		REG64(c, i->r1) = __builtin_bswap64(REG64(c, i->r1));
	else if (i->opsize == 4)
		REG64(c, i->r1) = __builtin_bswap32(REG32(c, i->r1));
	else
		REG16(c, i->r1) = 0; /* undefined; what processors do */
	NEXT(c, i, rip);
}

HANDLER(op_cbw)
{
	REG16(c, R_RAX * 8) = (uint16_t)(int8_t)c->gpr[R_RAX];
	NEXT(c, i, rip);
}

HANDLER(op_cwde)
{
	c->gpr[R_RAX] = (uint32_t)(int16_t)c->gpr[R_RAX];
	NEXT(c, i, rip);
}

HANDLER(op_cdqe)
{
	c->gpr[R_RAX] = (uint64_t)(int32_t)c->gpr[R_RAX];
	NEXT(c, i, rip);
}

HANDLER(op_cwd)
{
	REG16(c, R_RDX * 8) = (int16_t)c->gpr[R_RAX] < 0 ? 0xffff : 0;
	NEXT(c, i, rip);
}

HANDLER(op_cdq)
{
	c->gpr[R_RDX] = (int32_t)c->gpr[R_RAX] < 0 ? 0xffffffffu : 0;
	NEXT(c, i, rip);
}

HANDLER(op_cqo)
{
	c->gpr[R_RDX] = (int64_t)c->gpr[R_RAX] < 0 ? UINT64_MAX : 0;
	NEXT(c, i, rip);
}

HANDLER(op_lahf)
{
	REG8(c, R_RAX * 8 + 1) = (uint8_t)(cc_to_flags(c->cc) & 0xd5) | FL_ONE;
	NEXT(c, i, rip);
}

HANDLER(op_sahf)
{
	c->cc = (uint16_t)((c->cc & 1) |
			   (((uint16_t)REG8(c, R_RAX * 8 + 1) & 0xd5) << 8) |
			   0x200);
	NEXT(c, i, rip);
}

HANDLER(op_clc)
{
	c->cc &= (uint16_t)~0x100;
	NEXT(c, i, rip);
}

HANDLER(op_stc)
{
	c->cc |= 0x100;
	NEXT(c, i, rip);
}

HANDLER(op_cmc)
{
	c->cc ^= 0x100;
	NEXT(c, i, rip);
}

HANDLER(op_cld)
{
	c->rflags &= ~FL_DF;
	NEXT(c, i, rip);
}

HANDLER(op_std)
{
	c->rflags |= FL_DF;
	NEXT(c, i, rip);
}

/* XLAT: [segment:rBX + AL]; the decoder put rBX and the segment into base, mem.
 */
HANDLER(op_xlat)
{
	uint64_t off = c->gpr[R_RBX] + (uint8_t)c->gpr[R_RAX], la;

	if (i->x & INSN_A32)
		off = (uint32_t)off;
	else if (i->x & INSN_A16)
		off = (uint16_t)off;
	c->rip = rip;
	if (!seg_linear(c, MEMSEG(i), off, 1, ACC_R))
		return;
	la = c->ea;
	c->acc_seg = MEMSEG(i);
	if (!mem_read_slow(c, la, 1))
		return;
	REG8(c, R_RAX * 8) = (uint8_t)c->mem_val;
	NEXT(c, i, rip);
}

/* SALC (D6, undocumented): AL = CF ? 0xff : 0. */
HANDLER(op_salc)
{
	REG8(c, R_RAX * 8) = cc_cf(c) ? 0xff : 0;
	NEXT(c, i, rip);
}

/* --- decimal adjust (SDM 2A AAA, AAD, AAM, AAS, DAA, DAS); not in 64-bit mode
 * ------------------------ */

static void
set_cf_af(struct soft_cpu *c, bool cf, bool af)
{
	c->cc = (uint16_t)((c->cc & ~(0x100 | 0x1000)) | (cf ? 0x100 : 0) |
			   (af ? 0x1000 : 0));
}

/* The undefined OF is the one of a single addition or subtraction (AMD). */
HANDLER(op_daa_das)
{
	bool sub = (i->x & 1) != 0;
	uint8_t al = (uint8_t)c->gpr[R_RAX], by = 0;
	bool cf = cc_cf(c), af = (c->cc & 0x1000) != 0, ncf = false;

	if ((al & 15) > 9 || af) {
		ncf = cf || (sub ? al < 6 : al > 0xf9);
		by = 6;
		af = true;
	}
	if (al > 0x99 || cf) {
		by += 0x60;
		ncf = true;
	}
	REG8(c, R_RAX * 8) = sub ? alu_sub8(c, al, by) : alu_add8(c, al, by);
	set_cf_af(c, ncf, af);
	NEXT(c, i, rip);
}

/* The undefined flags are those of the 16-bit operation before masking (AMD).
 */
HANDLER(op_aaa_aas)
{
	bool sub = (i->x & 1) != 0;
	uint16_t ax = (uint16_t)c->gpr[R_RAX], by;
	bool adj = (ax & 15) > 9 || (c->cc & 0x1000) != 0;

	by = adj ? 0x106 : 0;
	ax = sub ? alu_sub16(c, ax, by) : alu_add16(c, ax, by);
	REG16(c, R_RAX * 8) = ax & 0xff0f;
	set_cf_af(c, adj, adj);
	NEXT(c, i, rip);
}

HANDLER(op_aam)
{
	uint8_t al = (uint8_t)c->gpr[R_RAX], base = (uint8_t)i->imm;

	if (base == 0) {
		c->rip = rip;
		cpu_raise(c, EXC_DE);
		return;
	}
	REG16(c, R_RAX * 8) = (uint16_t)((al / base) << 8 | al % base);
	alu_test8(c, al % base, al % base);
	set_cf_af(c, false, false);
	NEXT(c, i, rip);
}

/* The undefined flags are those of the addition (AMD). */
HANDLER(op_aad)
{
	uint16_t ax = (uint16_t)c->gpr[R_RAX];
	uint8_t tens = (uint8_t)((ax >> 8) * (uint8_t)i->imm);

	REG16(c, R_RAX * 8) = alu_add8(c, (uint8_t)ax, tens);
	NEXT(c, i, rip);
}

const struct insn_row misc_rows[] = {
	{ ZYDIS_MNEMONIC_NOP, 0, 0, op_nop },
	{ ZYDIS_MNEMONIC_ENDBR32, 0, 0, op_nop },
	{ ZYDIS_MNEMONIC_ENDBR64, 0, 0, op_nop },
	{ ZYDIS_MNEMONIC_MFENCE, 0, 0, op_mfence },
	{ ZYDIS_MNEMONIC_LFENCE, 0, 0, op_lfence },
	{ ZYDIS_MNEMONIC_SFENCE, 0, 0, op_sfence },
	{ ZYDIS_MNEMONIC_MUL, 0, 0, op_mul },
	{ ZYDIS_MNEMONIC_DIV, 0, 0, op_div },
	{ ZYDIS_MNEMONIC_IDIV, 0, 0, op_idiv },
	{ ZYDIS_MNEMONIC_SHLD, 0, SHD_LEFT, op_shd },
	{ ZYDIS_MNEMONIC_SHRD, 0, SHD_RIGHT, op_shd },
	{ ZYDIS_MNEMONIC_BT, 0, BT_TEST, op_bt },
	{ ZYDIS_MNEMONIC_BTS, ROW_LOCKOK, BT_SET, op_bt },
	{ ZYDIS_MNEMONIC_BTR, ROW_LOCKOK, BT_RESET, op_bt },
	{ ZYDIS_MNEMONIC_BTC, ROW_LOCKOK, BT_COMPLEMENT, op_bt },
	{ ZYDIS_MNEMONIC_BSF, 0, 0, op_bsf },
	{ ZYDIS_MNEMONIC_BSR, 0, 0, op_bsr },
	{ ZYDIS_MNEMONIC_CMPXCHG, ROW_LOCKOK, 0, op_cmpxchg },
	{ ZYDIS_MNEMONIC_CMPXCHG8B, ROW_LOCKOK, 0, op_cmpxchg8b },
	{ ZYDIS_MNEMONIC_CMPXCHG16B, ROW_LOCKOK | ROW_ONLY64, 0,
	    op_cmpxchg16b },
	{ ZYDIS_MNEMONIC_XADD, ROW_LOCKOK, 0, op_xadd },
	{ ZYDIS_MNEMONIC_BSWAP, 0, 0, op_bswap },
	{ ZYDIS_MNEMONIC_CBW, 0, 0, op_cbw },
	{ ZYDIS_MNEMONIC_CWDE, 0, 0, op_cwde },
	{ ZYDIS_MNEMONIC_CDQE, ROW_ONLY64, 0, op_cdqe },
	{ ZYDIS_MNEMONIC_CWD, 0, 0, op_cwd },
	{ ZYDIS_MNEMONIC_CDQ, 0, 0, op_cdq },
	{ ZYDIS_MNEMONIC_CQO, ROW_ONLY64, 0, op_cqo },
	{ ZYDIS_MNEMONIC_LAHF, 0, 0, op_lahf },
	{ ZYDIS_MNEMONIC_SAHF, 0, 0, op_sahf },
	{ ZYDIS_MNEMONIC_CLC, 0, 0, op_clc },
	{ ZYDIS_MNEMONIC_STC, 0, 0, op_stc },
	{ ZYDIS_MNEMONIC_CMC, 0, 0, op_cmc },
	{ ZYDIS_MNEMONIC_CLD, 0, 0, op_cld },
	{ ZYDIS_MNEMONIC_STD, 0, 0, op_std },
	{ ZYDIS_MNEMONIC_XLAT, 0, 0, op_xlat },
	{ ZYDIS_MNEMONIC_SALC, ROW_NO64, 0, op_salc },
	{ ZYDIS_MNEMONIC_DAA, ROW_NO64, 0, op_daa_das },
	{ ZYDIS_MNEMONIC_DAS, ROW_NO64, 1, op_daa_das },
	{ ZYDIS_MNEMONIC_AAA, ROW_NO64, 0, op_aaa_aas },
	{ ZYDIS_MNEMONIC_AAS, ROW_NO64, 1, op_aaa_aas },
	{ ZYDIS_MNEMONIC_AAM, ROW_NO64, 0, op_aam },
	{ ZYDIS_MNEMONIC_AAD, ROW_NO64, 0, op_aad },
	{ 0, 0, 0, NULL },
};

insn_fn
op_imul1_for(void)
{
	return op_imul;
}
