/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ea.c - effective and linear addresses: segment bases in every mode, and the
 * type and limit checks of the legacy modes (SDM 3A 5.3 and 5.5, APM 2 4.12).
 *
 * Protected mode checks types and limits, real and virtual-8086 mode limits
 * only (CS is writable there).  An operand that runs past offset FFFFFFFF
 * faults as AMD's processors have it (SDM 3A 5.3 leaves it open).  Canonical
 * addresses are the MMU's business.
 */
#include "insn.h"

static bool
ea_raise(struct soft_cpu *c, unsigned int seg)
{
	return cpu_raise_err(c, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
}

#define TYPE_CODE      0x8u
#define TYPE_DOWN      0x4u /* of data: expand-down */
#define TYPE_READ_CODE 0x2u
#define TYPE_WRITE     0x2u /* of data */

static bool
ea_type_ok(const struct soft_seg *s, unsigned int acc)
{
	if (SEG_DESC_UNUSABLE(s->access))
		return false; /* a null selector was loaded */
	if ((s->access & TYPE_CODE) != 0)
		return (acc & ACC_W) == 0 &&
		       ((acc & ACC_R) == 0 ||
			   (s->access & TYPE_READ_CODE) != 0);
	return (acc & ACC_W) == 0 || (s->access & TYPE_WRITE) != 0;
}

static bool
ea_limit_ok(const struct soft_seg *s, uint32_t off, unsigned int size)
{
	uint64_t last = (uint64_t)off + size - 1;

	if ((s->access & (TYPE_CODE | TYPE_DOWN)) == TYPE_DOWN)
		return off > s->limit &&
		       last <=
			   (SEG_DESC_DEF32(s->access) ? UINT32_MAX : 0xffff);
	return last <= s->limit;
}

/* Not 64-bit mode. */
static bool
ea_legacy(struct soft_cpu *c, unsigned int seg, uint32_t off, unsigned int size,
    unsigned int acc)
{
	const struct soft_seg *s = &c->seg[seg];
	const bool flat = (c->mode & MODE_FLAT) != 0 && seg_may_be_flat(seg);

	if (size != 0 && flat) {
		if (unlikely(off > UINT32_MAX - (size - 1)))
			return ea_raise(c, seg);
	} else if (size != 0) {
		if ((c->mode & (MODE_PE | MODE_V86)) == MODE_PE &&
		    unlikely(!ea_type_ok(s, acc)))
			return ea_raise(c, seg);
		if (unlikely(!ea_limit_ok(s, off, size)))
			return ea_raise(c, seg);
	}
	c->ea = (uint32_t)(s->base + off);
	return true;
}

bool
seg_linear(struct soft_cpu *c, unsigned int seg, uint64_t off,
    unsigned int size, unsigned int acc)
{
	if ((c->mode & MODE_64) == 0)
		return ea_legacy(c, seg, (uint32_t)off, size, acc);
	c->ea = off;
	if (seg == SEG_FS || seg == SEG_GS)
		c->ea += c->seg[seg].base;
	return true;
}

bool
insn_ea_slow(struct soft_cpu *c, const struct insn *i, unsigned int size,
    unsigned int acc)
{
	const unsigned int seg = i->mem & MEM_SEG_MASK;
	const uint64_t off = insn_offset(c, i, c->rip);

	if ((c->mode & MODE_64) == 0)
		return ea_legacy(c, seg, (uint32_t)off, size, acc);
	c->ea = off;
	if ((i->mem & MEM_SEGBASE) != 0)
		c->ea += c->seg[seg].base;
	return true;
}
