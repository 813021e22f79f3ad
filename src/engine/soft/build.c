/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * build.c - making a block: fetch bytes, decode until something ends it.
 *
 * Ordinary C; the caller has parked the FP state.  The order of marking and
 * reading that keeps self-modifying code visible is smc.h's.
 */
#include "block.h"

#include <string.h>

#include <vmm/bus.h>

#include "cache.h"
#include "decode.h"
#include "int_ops.h"
#include "mmu.h"
#include "smc.h"

#define INSN_MAX_BYTES 15u
#define FETCH_MAX      128u /* a block's bytes */

struct builder {
	struct insn insns[BLOCK_MAX + 1];
	uint8_t raw[FETCH_MAX + INSN_MAX_BYTES];
	unsigned int n, bytes;
	bool ended;
};

/*
 * Decode from bytes[0..avail) into bd.  Stops at the end of a block, or where
 * the next instruction needs more bytes than there are.
 */
static void
decode_run(struct soft_cpu *c, struct builder *bd, const uint8_t *bytes,
    unsigned int avail, unsigned int max)
{
	unsigned int len;

	while (bd->n < max && bd->bytes < avail && !bd->ended &&
	       bd->bytes <= UINT8_MAX - INSN_MAX_BYTES) {
		struct insn *i = &bd->insns[bd->n];

		len = decode_insn(
		    c, bytes + bd->bytes, avail - bd->bytes, i, &bd->ended);
		if (len == 0)
			return;
		bd->n++;
		bd->bytes += len;
	}
}

static struct block *
finish(struct soft_cpu *c, struct builder *bd, uint64_t gpa, uint32_t mode,
    unsigned int flags)
{
	struct block *b;
	unsigned int n = bd->n;

	if (n >= 2)
		decode_fuse(&bd->insns[n - 2], &bd->insns[n - 1]);
	/* Always closed: some that end a block go on when nothing changed. */
	bd->insns[n++] = (struct insn){ .fn = op_block_end };
	b = cache_alloc(c, block_size(bd->n, flags, bd->bytes));
	b->n = (uint8_t)bd->n;
	b->bytes = (uint8_t)bd->bytes;
	b->flags = (uint8_t)flags;
	b->gpa = gpa;
	b->mode = mode;
	b->link[0] = b->link[1] = NULL;
	b->hash_next = NULL;
	b->gen = b->gen2 = 0;
	b->gen_p = &b->gen;
	b->gpa2 = 0;
	memcpy(b->insns, bd->insns, n * sizeof(struct insn));
	if (flags & BLOCK_UNCERTAIN)
		memcpy(block_raw(b), bd->raw, bd->bytes);
	return b;
}

/* Bytes from c->rip to the end of the code segment. */
static unsigned int
fetch_room(const struct soft_cpu *c, uint32_t mode)
{
	uint64_t room;

	if (!(mode & MODE_CSLIMIT))
		return UINT32_MAX;
	room = c->seg[SEG_CS].limit - c->rip + 1;
	return (unsigned int)MIN(room, UINT32_MAX);
}

/* The instruction at c->rip needs more bytes than the segment has. */
static struct block *
beyond_limit(struct soft_cpu *c)
{
	cpu_raise_gp(c, 0);
	return NULL;
}

/* One instruction fetched outside RAM (a ROM window, a device): not cached. */
static struct block *
build_once(struct soft_cpu *c, uint64_t la, uint64_t gpa, uint32_t mode)
{
	struct builder bd = { .n = 0 };
	unsigned int got = 0, room = fetch_room(c, mode);
	uint64_t next = gpa, val;

	while (bd.n == 0 && got < INSN_MAX_BYTES + 1) {
		if (got == room)
			return beyond_limit(c);
		if (got > 0 && ((la + got) & 0xfff) == 0 &&
		    !mmu_translate(c, la + got, ACC_X, &next))
			return NULL;
		if (vm_ram_offset(c->ram, next) != UINT64_MAX)
			val = host_ld(
			    c->ram->base + vm_ram_offset(c->ram, next), 1);
		else
			bus_mmio(c->vcpu, false, next, 1, &val);
		bd.raw[got++] = (uint8_t)val;
		next++;
		decode_run(c, &bd, bd.raw, got, 1);
	}
	return finish(c, &bd, gpa, mode, BLOCK_ONCE);
}

/* The instruction at the end of a page runs into the next one. */
static struct block *
build_cross(struct soft_cpu *c, uint64_t la, uint64_t gpa, uint32_t mode)
{
	struct builder bd = { .n = 0 };
	uint64_t off = vm_ram_offset(c->ram, gpa), off2, gpa2;
	unsigned int in1 = (unsigned int)(0x1000 - (gpa & 0xfff));
	unsigned int avail = MIN(in1 + INSN_MAX_BYTES, fetch_room(c, mode));
	uint32_t gen1, gen2;
	struct block *b;

	if (avail <= in1)
		return beyond_limit(c);
	if (!mmu_translate(c, (la & PAGE_MASK_) + 0x1000, ACC_X, &gpa2))
		return NULL;
	off2 = vm_ram_offset(c->ram, gpa2);
	if (off2 == UINT64_MAX)
		return build_once(c, la, gpa, mode);
	gen1 = smc_begin_decode(c, off, in1);
	gen2 = smc_begin_decode(c, off2, INSN_MAX_BYTES);
	host_copy(bd.raw, c->ram->base + off, in1);
	host_copy(bd.raw + in1, c->ram->base + off2, INSN_MAX_BYTES);
	decode_run(c, &bd, bd.raw, avail, 1);
	if (bd.n == 0)
		return beyond_limit(c);
	b = finish(c, &bd, gpa, mode, BLOCK_CROSS | BLOCK_UNCERTAIN);
	b->gpa2 = gpa2;
	b->gen = gen1;
	b->gen_p = smc_gen(c->vm, off);
	b->gen2 = gen2;
	cache_insert(c->bc, b);
	return b;
}

struct block *
block_build(struct soft_cpu *c, uint64_t la, uint64_t gpa, uint32_t mode)
{
	struct builder bd = { .n = 0 };
	uint64_t off = vm_ram_offset(c->ram, gpa);
	unsigned int avail = (unsigned int)(0x1000 - (gpa & 0xfff));
	unsigned int max = mode & MODE_ONE ? 1 : BLOCK_MAX;
	uint32_t gen;
	bool certain;
	struct block *b;

	if (off == UINT64_MAX)
		return build_once(c, la, gpa, mode);
	avail = MIN(avail, FETCH_MAX);
	avail = MIN(avail, fetch_room(c, mode));
	/*
	 * Mark, ask whether every writer knows, then read once into bd.raw:
	 * another vCPU may be writing, and decoding must see one version of
	 * each byte.
	 */
	gen = smc_begin_decode(c, off, avail);
	certain = smc_certain(c, off);
	host_copy(bd.raw, c->ram->base + off, avail);
	decode_run(c, &bd, bd.raw, avail, max);
	if (bd.n == 0)
		return build_cross(c, la, gpa, mode);
	b = finish(c, &bd, gpa, mode, certain ? 0 : BLOCK_UNCERTAIN);
	b->gen = gen;
	b->gen_p = smc_gen(c->vm, off);
	cache_insert(c->bc, b);
	return b;
}
