/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_seg.c - the segments of 16-bit tests: one LDT, given to the host with
 * modify_ldt(2) and to the guest as bytes in memory.
 *
 * 64-bit and 32-bit tests use the process's own flat selectors.
 */
#include "fuzz_cpu.h"

#include <asm/ldt.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "segint.h"

#define SEL_CODE32 0x23
#define SEL_DATA   0x2b
#define SEL_CODE64 0x33

enum { DATA = 0, DOWN = 1, CODE = 2 };
#define D32   0x01u
#define PAGES 0x02u
#define RONLY 0x04u /* data: not writable; code: not readable */
#define NP    0x08u /* not present */

static const struct ldt_desc {
	uint32_t base;
	uint32_t limit; /* as in the descriptor: 20 bits */
	uint8_t contents;
	uint8_t flags;
} desc[] = {
	/* Code; the base is where the test's bytes are, less its offset. */
	{ CODE_VA, 0x1fff, CODE, 0 },
	{ CODE_VA, 0x1fff, CODE, 0 },
	{ CODE_VA, 0x0fff, CODE, 0 },
	{ CODE_VA, 0x0713, CODE, 0 },
	{ CODE_VA - 0x8000, 0x9fff, CODE, 0 },
	{ CODE_VA, 0x1fff, CODE, RONLY },
	{ CODE_VA, 0x1fff, CODE, D32 },
	{ CODE_VA, 0x07ff, CODE, D32 },
	{ CODE_VA, 1, CODE, D32 | PAGES },
	{ 0x90000000, 0xfffff, CODE, D32 | PAGES }, /* wraps at 4 GiB */
	/* Data. */
	{ DATA_VA, 0xffff, DATA, 0 },
	{ DATA_VA, 0xffff, DATA, D32 },
	{ DATA_VA, 0x1fff, DATA, 0 },
	{ 0, 0xfffff, DATA, D32 | PAGES },
	{ DATA_VA, 1, DATA, PAGES },
	{ DATA_VA + 0x7f0, 0x81f, DATA, 0 },
	{ DATA_VA + PAGE - 5, 0xff, DATA, D32 },
	{ DATA_VA, 0x07ff, DOWN, 0 },
	{ DATA_VA, 0x07ff, DOWN, D32 },
	{ DATA_VA + 2 * PAGE - 0x10000, 0xefff, DOWN, 0 },
	{ 0xf0000000, 0xfffff, DATA, D32 | PAGES }, /* wraps */
	{ (uint32_t)DATA_VA - 0x80000000, 0x7ffff, DOWN, D32 | PAGES },
	{ DATA_VA + 0x100, 0, DATA, 0 },
	/* Nothing is valid in these two. */
	{ DATA_VA, 0xffff, DOWN, 0 },
	{ DATA_VA, 0xfffff, DOWN, D32 | PAGES },
	/* Not for SS. */
	{ DATA_VA, 0x1fff, DATA, RONLY },
	{ DATA_VA, 0x07ff, DOWN, RONLY },
	/* Not present. */
	{ DATA_VA, 0xffff, DATA, NP },
	{ CODE_VA, 0x1fff, CODE, NP },
};
#define NCODE	    10u
#define NFRIENDLY   5u	/* data segments that reach all of the arena, or most */
#define NSTACK	    15u /* data segments SS can be */
#define NDATA_DESCS 17u

static bool
has(const struct ldt_desc *d, unsigned int flag)
{
	return (d->flags & flag) != 0;
}

static uint16_t
sel_of(unsigned int n)
{
	return (uint16_t)(n << 3 | 7);
}

/* The kernel sets the accessed bit; DPL is 3. */
static uint32_t
desc_access(const struct ldt_desc *d)
{
	uint32_t type =
	    1 | (uint32_t)d->contents << 2 | (has(d, RONLY) ? 0 : 2);

	return type | 0x70 | (has(d, NP) ? 0 : 0x80) |
	       (has(d, D32) ? 0x4000 : 0) | (has(d, PAGES) ? 0x8000 : 0);
}

/*
 * What a user program sees of the host's GDT: Linux keeps the number of the CPU
 * in a segment's limit, so the process stays on this one.
 */
static uint64_t gdt[GDT_ENTRIES];

static void
copy_gdt(void)
{
	uint32_t sel, ar, limit;
	unsigned int k;
	cpu_set_t set;
	bool ok;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
	for (k = 1; k < GDT_ENTRIES; k++) {
		sel = k << 3 | 3;
		__asm__ volatile("lar %2, %0"
				 : "=r"(ar), "=@ccz"(ok)
				 : "r"(sel));
		if (!ok)
			continue;
		__asm__ volatile("lsl %1, %0" : "=r"(limit) : "r"(sel));
		if (ar & 0x800000)
			limit >>= 12;
		gdt[k] = (limit & 0xffff) | (uint64_t)(limit & 0xf0000) << 32 |
			 (uint64_t)(ar & 0xf0ff00) << 32;
	}
}

const uint64_t *
seg_gdt_image(void)
{
	copy_gdt();
	return gdt;
}

/* LAR finds a descriptor: false where a table is not what it seems. */
static bool
native_has(uint16_t sel)
{
	uint32_t ar;
	bool ok;

	__asm__ volatile("lar %2, %0"
			 : "=r"(ar), "=@ccz"(ok)
			 : "r"((uint32_t)sel));
	return ok;
}

const char *
seg_native_init(void)
{
	unsigned int k;

	if (fuzz.mode == FUZZ_64)
		return NULL;
	if (!native_has(SEL_CODE32))
		return "no 32-bit programs on this host";
	if (fuzz.mode == FUZZ_32)
		return NULL;

	for (k = 0; k < ARRAY_LEN(desc); k++) {
		const struct ldt_desc *d = &desc[k];
		struct user_desc u = { .entry_number = k,
			.base_addr = d->base,
			.limit = d->limit,
			.seg_32bit = has(d, D32),
			.contents = d->contents,
			.read_exec_only = has(d, RONLY),
			.limit_in_pages = has(d, PAGES),
			.seg_not_present = has(d, NP) };

		if (syscall(SYS_modify_ldt, 0x11, &u, sizeof(u)) != 0)
			return "no modify_ldt(2) on this host";
	}
	/* Kernels that run without their own ring 0 (PVM) only say they do. */
	return native_has(sel_of(0)) ? NULL : "no LDT on this host";
}

unsigned int
seg_ldt_image(const uint8_t **ret)
{
	static uint8_t image[ARRAY_LEN(desc) * 8];
	unsigned int k;

	for (k = 0; k < ARRAY_LEN(desc); k++) {
		const struct ldt_desc *d = &desc[k];
		uint64_t v = d->limit & 0xffff;

		v |= (uint64_t)(d->limit >> 16) << 48;
		v |= (uint64_t)(d->base & 0xffffff) << 16;
		v |= (uint64_t)(d->base >> 24) << 56;
		v |= (uint64_t)desc_access(d) << 40;
		memcpy(image + k * 8, &v, 8);
	}
	*ret = image;
	return sizeof(image);
}

static struct soft_seg
seg_flat(uint16_t sel)
{
	static const struct soft_seg flat[] = {
		{ .limit = UINT32_MAX, .access = 0xc0fb, .sel = SEL_CODE32 },
		{ .limit = UINT32_MAX, .access = 0xc0f3, .sel = SEL_DATA },
		{ .limit = UINT32_MAX, .access = 0xa0fb, .sel = SEL_CODE64 },
	};
	unsigned int k;

	for (k = 0; k < ARRAY_LEN(flat); k++)
		if (flat[k].sel == sel)
			return flat[k];
	return (struct soft_seg){ .access = AR_UNUSABLE, .sel = sel };
}

struct soft_seg
seg_of(uint16_t sel)
{
	const struct ldt_desc *d = &desc[sel >> 3];
	struct soft_seg s = { .sel = sel };

	if (!(sel & 4) || sel >> 3 >= ARRAY_LEN(desc))
		return seg_flat(sel);
	s.base = d->base;
	s.limit = has(d, PAGES) ? d->limit << 12 | 0xfff : d->limit;
	s.access = desc_access(d);
	return s;
}

bool
seg_code32(const struct test *t)
{
	return SEG_DESC_DEF32(seg_of(t->s.sel[SEG_CS]).access) &&
	       fuzz.mode != FUZZ_64;
}

static uint16_t
rnd_data_sel(void)
{
	if (below(3))
		return sel_of(NCODE + below(NFRIENDLY));
	switch (below(16)) {
	case 0:
		return 0; /* with another RPL the host would make it 0 */
	case 1:
		return sel_of(below(5)); /* readable code */
	case 2:
		return SEL_DATA;
	default:
		return sel_of(NCODE + below(NDATA_DESCS));
	}
}

/* The host's GDT, beyond it, and an LDT that is not there. */
static uint16_t
rnd_gdt_sel(void)
{
	switch (below(8)) {
	case 0:
		return (uint16_t)rnd_value();
	case 1:
		return (uint16_t)(below(GDT_ENTRIES) << 3 | below(8));
	case 2:
		return (uint16_t)below(4);
	case 3:
	case 4:
	case 5:
		return SEL_CODE64;
	default:
		return SEL_DATA;
	}
}

uint16_t
rnd_selector(void)
{
	if (fuzz.mode == FUZZ_64)
		return rnd_gdt_sel();
	switch (below(8)) {
	case 0:
		/* in the GDT only what both have */
		return (uint16_t)(rnd_value() | 0x100);
	case 1: /* beyond the table, another RPL */
		return (
		    uint16_t)(below(ARRAY_LEN(desc) + 3) << 3 | 4 | below(4));
	default:
		return below(2) ? rnd_data_sel()
				: sel_of(below(ARRAY_LEN(desc)));
	}
}

void
rnd_segments(struct test *t)
{
	uint16_t *sel = t->s.sel;

	sel[SEG_FS] = sel[SEG_GS] = 0;
	sel[SEG_DS] = sel[SEG_ES] = sel[SEG_SS] = SEL_DATA;
	if (fuzz.mode == FUZZ_64) {
		sel[SEG_CS] = SEL_CODE64;
		return;
	}
	sel[SEG_CS] = SEL_CODE32;
	if (fuzz.mode == FUZZ_32)
		return;
	sel[SEG_CS] = sel_of(below(2) ? below(2) : below(NCODE));
	sel[SEG_SS] = sel_of(NCODE + below(below(3) ? NFRIENDLY : NSTACK));
	sel[SEG_DS] = rnd_data_sel();
	sel[SEG_ES] = rnd_data_sel();
	sel[SEG_GS] = rnd_data_sel();
}
