/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * int_str.c - MOVS CMPS STOS LODS SCAS with their repeat prefixes.
 *
 * Registers are updated after each element (or chunk), so an instruction that
 * faults or is interrupted in the middle restarts where it stopped (SDM 2B
 * REP). REP MOVS and REP STOS forward in plain RAM go in chunks up to the page
 * ends by the host's own instruction on host addresses: those alias exactly as
 * the guest-physical ones do, so overlapping operands come out as on hardware.
 */
#include "int_ops.h"

#include <Zydis/Mnemonic.h>

#include "int_macros.h"
#include "sys.h"

enum { STR_MOVS, STR_CMPS, STR_STOS, STR_LODS, STR_SCAS };

static inline unsigned int
addr_size(const struct insn *i)
{
	return i->x & INSN_A32 ? 4 : i->x & INSN_A16 ? 2 : 8;
}

static inline uint64_t
size_mask(unsigned int size)
{
	return UINT64_MAX >> (64 - size * 8);
}

/* Linear address of [seg:reg] in c->ea. */
static inline bool
str_linear(struct soft_cpu *c, const struct insn *i, unsigned int seg,
    unsigned int reg, unsigned int acc)
{
	uint64_t off = c->gpr[reg] & size_mask(addr_size(i));

	c->acc_seg = (uint8_t)seg;
	if (likely(c->mode & MODE_64) && seg != SEG_FS && seg != SEG_GS) {
		c->ea = off;
		return true;
	}
	return seg_linear(c, seg, off, i->opsize, acc);
}

static inline void
str_advance(
    struct soft_cpu *c, const struct insn *i, unsigned int reg, uint64_t n)
{
	uint64_t d = n * i->opsize;
	unsigned int asz = addr_size(i);

	if (c->rflags & FL_DF)
		d = 0 - d;
	reg_set(c, reg * 8, asz, (c->gpr[reg] + d) & size_mask(asz));
}

/* --- one element
 * -------------------------------------------------------------------- */

static bool
one_movs(struct soft_cpu *c, const struct insn *i)
{
	uint64_t v;

	if (!str_linear(c, i, MEMSEG(i), R_RSI, ACC_R) ||
	    !mem_read_slow(c, c->ea, i->opsize))
		return false;
	v = c->mem_val;
	if (!str_linear(c, i, SEG_ES, R_RDI, ACC_W) ||
	    !mem_write_slow(c, c->ea, i->opsize, v))
		return false;
	str_advance(c, i, R_RSI, 1);
	str_advance(c, i, R_RDI, 1);
	return true;
}

static bool
one_stos(struct soft_cpu *c, const struct insn *i)
{
	if (!str_linear(c, i, SEG_ES, R_RDI, ACC_W) ||
	    !mem_write_slow(c, c->ea, i->opsize, c->gpr[R_RAX]))
		return false;
	str_advance(c, i, R_RDI, 1);
	return true;
}

static bool
one_lods(struct soft_cpu *c, const struct insn *i)
{
	if (!str_linear(c, i, MEMSEG(i), R_RSI, ACC_R) ||
	    !mem_read_slow(c, c->ea, i->opsize))
		return false;
	reg_set(c, R_RAX * 8, i->opsize, c->mem_val);
	str_advance(c, i, R_RSI, 1);
	return true;
}

static void
compare(struct soft_cpu *c, unsigned int size, uint64_t a, uint64_t b)
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

/* Load of one element through the TLB or the slow path, into c->mem_val. */
static inline bool
str_load(struct soft_cpu *c, uint64_t la, unsigned int size)
{
	const void *p = tlb_read_ptr(c, la, size);

	if (unlikely(p == NULL))
		return mem_read_slow(c, la, size);
	switch (size) {
	case 1:
		c->mem_val = HOST_LD(uint8_t, p);
		break;
	case 2:
		c->mem_val = HOST_LD(uint16_t, p);
		break;
	case 4:
		c->mem_val = HOST_LD(uint32_t, p);
		break;
	default:
		c->mem_val = HOST_LD(uint64_t, p);
	}
	return true;
}

static bool
one_cmps(struct soft_cpu *c, const struct insn *i)
{
	uint64_t b;

	/* ES:rDI first: which of two faults is taken is the processor's (AMD).
	 */
	if (!str_linear(c, i, SEG_ES, R_RDI, ACC_R) ||
	    !str_load(c, c->ea, i->opsize))
		return false;
	b = c->mem_val;
	if (!str_linear(c, i, MEMSEG(i), R_RSI, ACC_R) ||
	    !str_load(c, c->ea, i->opsize))
		return false;
	compare(c, i->opsize, c->mem_val, b);
	str_advance(c, i, R_RSI, 1);
	str_advance(c, i, R_RDI, 1);
	return true;
}

static bool
one_scas(struct soft_cpu *c, const struct insn *i)
{
	if (!str_linear(c, i, SEG_ES, R_RDI, ACC_R) ||
	    !str_load(c, c->ea, i->opsize))
		return false;
	compare(c, i->opsize, c->gpr[R_RAX], c->mem_val);
	str_advance(c, i, R_RDI, 1);
	return true;
}

typedef bool (*str_fn)(struct soft_cpu *, const struct insn *);
static const str_fn str_one[] = {
	[STR_MOVS] = one_movs,
	[STR_CMPS] = one_cmps,
	[STR_STOS] = one_stos,
	[STR_LODS] = one_lods,
	[STR_SCAS] = one_scas,
};

/* --- bulk
 * -----------------------------------------------------------------------------
 */

static inline void
host_movs(void *dst, const void *src, uint64_t n, unsigned int size)
{
	switch (size) {
	case 1:
		__asm__ volatile("rep movsb"
				 : "+D"(dst), "+S"(src), "+c"(n)::"memory");
		break;
	case 2:
		__asm__ volatile("rep movsw"
				 : "+D"(dst), "+S"(src), "+c"(n)::"memory");
		break;
	case 4:
		__asm__ volatile("rep movsl"
				 : "+D"(dst), "+S"(src), "+c"(n)::"memory");
		break;
	default:
		__asm__ volatile("rep movsq"
				 : "+D"(dst), "+S"(src), "+c"(n)::"memory");
	}
}

static inline void
host_stos(void *dst, uint64_t v, uint64_t n, unsigned int size)
{
	switch (size) {
	case 1:
		__asm__ volatile("rep stosb"
				 : "+D"(dst), "+c"(n)
				 : "a"(v)
				 : "memory");
		break;
	case 2:
		__asm__ volatile("rep stosw"
				 : "+D"(dst), "+c"(n)
				 : "a"(v)
				 : "memory");
		break;
	case 4:
		__asm__ volatile("rep stosl"
				 : "+D"(dst), "+c"(n)
				 : "a"(v)
				 : "memory");
		break;
	default:
		__asm__ volatile("rep stosq"
				 : "+D"(dst), "+c"(n)
				 : "a"(v)
				 : "memory");
	}
}

/*
 * How many elements from [seg:reg] on stay in this page, this address size's
 * range and the segment's limit (the first element was checked).
 */
static uint64_t
run_length(const struct soft_cpu *c, const struct insn *i, unsigned int seg,
    unsigned int reg, uint64_t la)
{
	uint64_t off = c->gpr[reg] & size_mask(addr_size(i));
	uint64_t bytes = 0x1000 - (la & 0xfff);
	uint64_t to_wrap = size_mask(addr_size(i)) - off;

	if (to_wrap < bytes - 1)
		bytes = to_wrap + 1;
	if (!(c->mode & MODE_64)) {
		const struct soft_seg *s = &c->seg[seg];

		/* Expand-down: element by element. */
		if ((c->mode & MODE_PE) && !(c->mode & MODE_V86) &&
		    (s->access & 0x1c) == 0x14)
			return 1;
		if (s->limit - off < bytes - 1)
			bytes = s->limit - off + 1;
	}
	return bytes / i->opsize;
}

/*
 * Where a chunk begins, NULL when it must be done element by element (or
 * faults: c->exc).  What is not in the TLB is entered, because an element alone
 * would not do so for good: source and destination may want the same slot, and
 * then each element would throw out the other's page.
 */
static inline void *
bulk_ptr(struct soft_cpu *c, uint64_t la, unsigned int size, unsigned int acc)
{
	void *p = acc == ACC_W ? tlb_write_ptr(c, la, size)
			       : tlb_read_ptr(c, la, size);

	if (likely(p != NULL) || c->tlb == &c->view[VIEW_MISS] ||
	    mem_host_ptr(c, la, size, acc) == NULL)
		return p;
	/* Still a miss where a store must be looked at: pages with code. */
	return acc == ACC_W ? tlb_write_ptr(c, la, size)
			    : tlb_read_ptr(c, la, size);
}

/*
 * One chunk of REP MOVS / REP STOS: the number of elements done, 0 when it must
 * be done element by element (or faults: c->exc).
 */
static uint64_t
bulk_stos(struct soft_cpu *c, const struct insn *i, uint64_t n)
{
	uint64_t run;
	void *dst;

	if (!str_linear(c, i, SEG_ES, R_RDI, ACC_W))
		return 0;
	dst = bulk_ptr(c, c->ea, i->opsize, ACC_W);
	if (dst == NULL)
		return 0;
	run = run_length(c, i, SEG_ES, R_RDI, c->ea);
	run = MIN(run, n);
	host_stos(dst, c->gpr[R_RAX], run, i->opsize);
	str_advance(c, i, R_RDI, run);
	return run;
}

static uint64_t
bulk_movs(struct soft_cpu *c, const struct insn *i, uint64_t n)
{
	uint64_t run, run_dst, la;
	const void *src; /* good for longer than its slot */
	void *dst;

	if (!str_linear(c, i, MEMSEG(i), R_RSI, ACC_R))
		return 0;
	la = c->ea;
	src = bulk_ptr(c, la, i->opsize, ACC_R);
	if (src == NULL || !str_linear(c, i, SEG_ES, R_RDI, ACC_W))
		return 0;
	dst = bulk_ptr(c, c->ea, i->opsize, ACC_W);
	if (dst == NULL)
		return 0;
	run = run_length(c, i, MEMSEG(i), R_RSI, la);
	run_dst = run_length(c, i, SEG_ES, R_RDI, c->ea);
	run = MIN(run, run_dst);
	run = MIN(run, n);
	host_movs(dst, src, run, i->opsize);
	str_advance(c, i, R_RSI, run);
	str_advance(c, i, R_RDI, run);
	return run;
}

/* --- the instruction
 * -------------------------------------------------------------------- */

/* One element or chunk; 0: faulted. */
static inline uint64_t
str_step(
    struct soft_cpu *c, const struct insn *i, unsigned int kind, uint64_t n)
{
	uint64_t done = 0;

	if (kind == STR_MOVS || kind == STR_STOS) {
		if (!(c->rflags & FL_DF) && !(c->mode & MODE_ONE))
			done = kind == STR_MOVS ? bulk_movs(c, i, n)
						: bulk_stos(c, i, n);
		if (done > 0 || c->exc.pending)
			return done;
	}
	return str_one[kind](c, i) ? 1 : 0;
}

/* CMPS and SCAS stop when ZF is not what the prefix repeats while. */
static inline bool
str_stops(const struct soft_cpu *c, const struct insn *i, unsigned int kind)
{
	if (kind != STR_CMPS && kind != STR_SCAS)
		return false;
	return cc_zf(c->cc) != ((i->x & INSN_REP) != 0);
}

HANDLER(op_string)
{
	unsigned int kind = i->x & 0xff, asz = addr_size(i);
	uint64_t n, done;

	c->rip = rip;
	if (!(i->x & (INSN_REP | INSN_REPNE))) {
		if (!str_one[kind](c, i))
			return;
		NEXT_AFTER_STORE(c, i, rip);
	}
	n = c->gpr[R_RCX] & size_mask(asz);
	while (n > 0) {
		done = str_step(c, i, kind, n);
		if (done == 0)
			return;
		n -= done;
		reg_set(c, R_RCX * 8, asz, n);
		if (str_stops(c, i, kind))
			break;
		if (unlikely(n > 0) &&
		    unlikely(
			__atomic_load_n(c->events, __ATOMIC_RELAXED) != 0 ||
			c->smc_hit || (c->mode & MODE_ONE))) {
			cpu_rep_interrupted(c);
			return; /* restart here */
		}
	}
	NEXT_AFTER_STORE(c, i, rip);
}

const struct insn_row str_rows[] = {
	{ ZYDIS_MNEMONIC_MOVSB, 0, STR_MOVS, op_string },
	{ ZYDIS_MNEMONIC_MOVSW, 0, STR_MOVS, op_string },
	{ ZYDIS_MNEMONIC_MOVSD, 0, STR_MOVS, op_string },
	{ ZYDIS_MNEMONIC_MOVSQ, 0, STR_MOVS, op_string },
	{ ZYDIS_MNEMONIC_CMPSB, 0, STR_CMPS, op_string },
	{ ZYDIS_MNEMONIC_CMPSW, 0, STR_CMPS, op_string },
	{ ZYDIS_MNEMONIC_CMPSD, 0, STR_CMPS, op_string },
	{ ZYDIS_MNEMONIC_CMPSQ, 0, STR_CMPS, op_string },
	{ ZYDIS_MNEMONIC_STOSB, 0, STR_STOS, op_string },
	{ ZYDIS_MNEMONIC_STOSW, 0, STR_STOS, op_string },
	{ ZYDIS_MNEMONIC_STOSD, 0, STR_STOS, op_string },
	{ ZYDIS_MNEMONIC_STOSQ, 0, STR_STOS, op_string },
	{ ZYDIS_MNEMONIC_LODSB, 0, STR_LODS, op_string },
	{ ZYDIS_MNEMONIC_LODSW, 0, STR_LODS, op_string },
	{ ZYDIS_MNEMONIC_LODSD, 0, STR_LODS, op_string },
	{ ZYDIS_MNEMONIC_LODSQ, 0, STR_LODS, op_string },
	{ ZYDIS_MNEMONIC_SCASB, 0, STR_SCAS, op_string },
	{ ZYDIS_MNEMONIC_SCASW, 0, STR_SCAS, op_string },
	{ ZYDIS_MNEMONIC_SCASD, 0, STR_SCAS, op_string },
	{ ZYDIS_MNEMONIC_SCASQ, 0, STR_SCAS, op_string },
	{ 0, 0, 0, NULL },
};
