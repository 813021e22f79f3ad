/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmask.c - SIMD instructions whose memory operand is several accesses, each
 * made or not by a mask: gathers, VMASKMOV/VPMASKMOV, MASKMOVDQU/MASKMOVQ. Done
 * element by element on the parked state: only enabled elements may fault.
 *
 * SDM 2 VGATHERDPS (elements before the faulting one are complete and their
 * mask bits clear), VMASKMOV, MASKMOVDQU.  A masked store asks for all its
 * elements before it writes the first.  General registers only; vCPU thread.
 */
#include "fpu_priv.h"

#include "mmu.h"

#define DR6_BS 0x4000u /* single step */

static unsigned int
elem_size(const struct insn *i)
{
	return (i->x & VM_ELEM8) ? 8 : 4;
}

static unsigned int
vector_bytes(const struct insn *i)
{
	return (i->x & VM_256) ? 32 : 16;
}

/* Element n, `size` bytes wide, of a YMM register: where it is in the image. */
static uint8_t *
elem_ptr(
    struct xsave_area *x, unsigned int reg, unsigned int n, unsigned int size)
{
	unsigned int off = n * size;

	if (off < 16)
		return (uint8_t *)x->xmm[reg] + off;
	return (uint8_t *)x->ymmh[reg] + off - 16;
}

static uint64_t
elem_get(
    struct xsave_area *x, unsigned int reg, unsigned int n, unsigned int size)
{
	const uint8_t *p = elem_ptr(x, reg, n, size);

	return size == 8 ? HOST_LD(uint64_t, p) : HOST_LD(uint32_t, p);
}

static void
elem_set(struct xsave_area *x, unsigned int reg, unsigned int n,
    unsigned int size, uint64_t v)
{
	uint8_t *p = elem_ptr(x, reg, n, size);

	if (size == 8)
		HOST_ST(uint64_t, p, v);
	else
		HOST_ST(uint32_t, p, v);
}

/* The mask bit is the element's sign. */
static bool
elem_on(
    struct xsave_area *x, unsigned int reg, unsigned int n, unsigned int size)
{
	return (elem_get(x, reg, n, size) >> (size * 8 - 1)) != 0;
}

/* Zero a YMM register from byte `from` (8-byte steps) up. */
static void
zero_from(struct xsave_area *x, unsigned int reg, unsigned int from)
{
	for (unsigned int n = from / 8; n < 4; n++)
		elem_set(x, reg, n, 8, 0);
}

/* Linear address of operand + delta in c->ea, checked for `size` bytes. */
static bool
elem_ea(struct soft_cpu *c, const struct insn *i, uint64_t delta,
    unsigned int size, unsigned int acc)
{
	uint64_t off = insn_offset(c, i, c->rip) + delta;

	if (i->mem & MEM_A32)
		off = (uint32_t)off;
	else if (i->mem & MEM_A16)
		off = (uint16_t)off;
	c->acc_seg = i->mem & MEM_SEG_MASK;
	return seg_linear(c, c->acc_seg, off, size, acc);
}

/*
 * The piece at `delta` of a whole operand.  In 64-bit mode only the operand's
 * beginning is cut to the address size: its bytes run on past 4 GiB.
 */
static bool
piece_ea(struct soft_cpu *c, const struct insn *i, unsigned int delta,
    unsigned int size, unsigned int acc)
{
	if ((c->mode & MODE_64) == 0)
		return elem_ea(c, i, delta, size, acc);
	if (!elem_ea(c, i, 0, size, acc))
		return false;
	c->ea += delta;
	return true;
}

/* --- gathers -------------------------------------------------------------- */

static uint64_t
gather_delta(struct xsave_area *x, const struct insn *i, unsigned int n)
{
	unsigned int reg = i->x & VM_INDEX;
	uint64_t idx;

	if (i->x & VM_IDX8)
		idx = elem_get(x, reg, n, 8);
	else
		idx = (uint64_t)(int64_t)(int32_t)elem_get(x, reg, n, 4);
	return idx << i->scale;
}

/* As many elements as the wider of index and data leaves room for. */
static unsigned int
gather_count(const struct insn *i)
{
	bool wide = (i->x & (VM_ELEM8 | VM_IDX8)) != 0;

	return vector_bytes(i) / (wide ? 8 : 4);
}

/*
 * While single-stepping, a trap is due once an element was gathered; a later
 * element's fault gives way to it and comes when the instruction is resumed
 * (SDM 2 VGATHERDPS).  Always false.
 */
static bool
gather_fault(struct soft_cpu *c, bool some)
{
	if (some && (c->rflags & FL_TF)) {
		c->exc.pending = false;
		cpu_raise(c, EXC_DB);
		c->exc.dr6 = DR6_BS;
	}
	return false;
}

static bool
gather(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	struct xsave_area *x = fpu_state(c);
	unsigned int size = elem_size(i), count = gather_count(i);
	bool some = false;

	c->rip = rip;
	x->xstate_bv |= XF_SSE | XF_AVX;
	for (unsigned int n = 0; n < count; n++) {
		if (!elem_on(x, i->r2, n, size)) {
			elem_set(x, i->r2, n, size, 0);
			continue;
		}
		if (!elem_ea(c, i, gather_delta(x, i, n), size, ACC_R) ||
		    !mem_read_slow(c, c->ea, size))
			return gather_fault(c, some);
		elem_set(x, i->r1, n, size, c->mem_val);
		elem_set(x, i->r2, n, size, 0);
		some = true;
	}
	zero_from(x, i->r1, count * size);
	zero_from(x, i->r2, 0);
	return true;
}

void
op_gather(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!gather(c, i, rip))
		return;
	NEXT(c, i, rip);
}

/* --- VMASKMOV, VPMASKMOV -------------------------------------------------- */

static bool
maskload(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	struct xsave_area *x = fpu_state(c);
	unsigned int size = elem_size(i), count = vector_bytes(i) / size;
	uint64_t v[8];

	c->rip = rip;
	for (unsigned int n = 0; n < count; n++) {
		v[n] = 0;
		if (!elem_on(x, i->r2, n, size))
			continue;
		if (!piece_ea(c, i, n * size, size, ACC_R) ||
		    !mem_read_slow(c, c->ea, size))
			return false;
		v[n] = c->mem_val;
	}
	x->xstate_bv |= XF_SSE | XF_AVX;
	zero_from(x, i->r1, 0);
	for (unsigned int n = 0; n < count; n++)
		elem_set(x, i->r1, n, size, v[n]);
	return true;
}

void
op_maskload(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!maskload(c, i, rip))
		return;
	NEXT(c, i, rip);
}

static bool
maskstore(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	struct xsave_area *x = fpu_state(c);
	unsigned int size = elem_size(i), count = vector_bytes(i) / size;

	c->rip = rip;
	for (unsigned int n = 0; n < count; n++)
		if (elem_on(x, i->r2, n, size) &&
		    (!piece_ea(c, i, n * size, size, ACC_W) ||
			!mem_probe_write(c, c->ea, size)))
			return false;
	for (unsigned int n = 0; n < count; n++)
		if (elem_on(x, i->r2, n, size) &&
		    (!piece_ea(c, i, n * size, size, ACC_W) ||
			!mem_write_slow(
			    c, c->ea, size, elem_get(x, i->r1, n, size))))
			return false;
	return true;
}

void
op_maskstore(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!maskstore(c, i, rip))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}

/* --- MASKMOVDQU, MASKMOVQ ------------------------------------------------- */

/* What any MMX instruction does: TOP to 0, all registers valid. */
static void
enter_mmx(struct xsave_area *x)
{
	x87_set_top(x, 0);
	x->ftw = 0xff;
	x->xstate_bv |= XF_X87;
}

/* As on AMD, bytes that are not stored must be writable nevertheless. */
static bool
store_bytes(struct soft_cpu *c, const struct insn *i, const void *data,
    const void *mask, unsigned int count)
{
	const uint8_t *d = data, *m = mask;

	/* In halves: what the first meets comes first. */
	if (!piece_ea(c, i, 0, 8, ACC_W) || !mem_probe_write(c, c->ea, 8) ||
	    !piece_ea(c, i, 0, count, ACC_W) ||
	    !mem_probe_write(c, c->ea, count))
		return false;
	for (unsigned int n = 0; n < count; n++)
		if ((m[n] & 0x80) && (!piece_ea(c, i, n, 1, ACC_W) ||
					 !mem_write_slow(c, c->ea, 1, d[n])))
			return false;
	return true;
}

/* MMn is physical register n, which is ST(n) of the image once TOP is 0. */
static bool
maskmovq(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	struct xsave_area *x;

	if (!fpu_wait(c, rip))
		return false;
	x = fpu_state(c);
	enter_mmx(x);
	c->rip = rip;
	return store_bytes(c, i, x->st[i->r1], x->st[i->r2], 8);
}

static bool
maskmovdqu(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	struct xsave_area *x = fpu_state(c);

	c->rip = rip;
	return store_bytes(c, i, x->xmm[i->r1], x->xmm[i->r2], 16);
}

void
op_maskmov(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!((i->x & VM_MMX) ? maskmovq(c, i, rip) : maskmovdqu(c, i, rip)))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}
