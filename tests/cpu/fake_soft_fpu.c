/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_soft_fpu.c - see fake_soft_fpu.h.  Compiled with -mgeneral-regs-only.
 */
#include "fake_soft_fpu.h"

#include <fpu.h>
#include <mmu.h>

struct fake_mem fake_mem;

bool
cpu_raise_err(struct soft_cpu *c, unsigned int vector, uint32_t err)
{
	if (!c->exc.pending) {
		c->exc.pending = true;
		c->exc.vector = (uint8_t)vector;
		c->exc.has_err = true;
		c->exc.err = err;
	}
	return false;
}

bool
cpu_raise(struct soft_cpu *c, unsigned int vector)
{
	if (!c->exc.pending) {
		cpu_raise_err(c, vector, 0);
		c->exc.has_err = false;
	}
	return false;
}

void
cpu_update_mode(struct soft_cpu *c)
{
	c->mode &= ~MODE_AVX;
	if ((c->cr4 & CR4_OSXSAVE) && (c->xcr0 & 4))
		c->mode |= MODE_AVX;
}

bool
seg_linear(struct soft_cpu *c, unsigned int seg, uint64_t off,
    unsigned int size, unsigned int acc)
{
	c->ea = off;
	if (!(c->mode & MODE_64))
		c->ea = (uint32_t)(c->seg[seg].base + off);
	else if (seg >= SEG_FS)
		c->ea += c->seg[seg].base;
	return true;
}

bool
insn_ea_slow(struct soft_cpu *c, const struct insn *i, unsigned int size,
    unsigned int acc)
{
	return seg_linear(
	    c, i->mem & MEM_SEG_MASK, insn_offset(c, i, c->rip), size, acc);
}

static bool
there(struct soft_cpu *c, uint64_t la, unsigned int len, bool write)
{
	uint64_t off = la - fake_mem.base;

	if (off < fake_mem.len && len <= fake_mem.len - off &&
	    !(write && fake_mem.read_only))
		return true;
	cpu_raise_err(c, EXC_PF, write ? PF_W : 0);
	/* First missing byte; only the end is ever missing. */
	c->exc.cr2 = la < fake_mem.base + fake_mem.len
			 ? fake_mem.base + fake_mem.len
			 : la;
	return false;
}

static uint8_t *
host(uint64_t la)
{
	return fake_mem.host + (la - fake_mem.base);
}

void *
mem_host_ptr(
    struct soft_cpu *c, uint64_t la, unsigned int len, unsigned int acc)
{
	if (!there(c, la, len, acc & ACC_W))
		return NULL;
	if (fake_mem.path == FAKE_BOUNCE || (la & 0xfff) + len > 0x1000)
		return NULL;
	return host(la);
}

void
mem_wrote(struct soft_cpu *c, uint64_t la, unsigned int len)
{
	fake_mem.wrote++;
}

bool
mem_probe_write(struct soft_cpu *c, uint64_t la, unsigned int len)
{
	return there(c, la, len, true);
}

/* As for MMIO, these park. */
bool
mem_read_buf(struct soft_cpu *c, uint64_t la, void *dst, unsigned int len)
{
	if (!there(c, la, len, false))
		return false;
	fpu_park(c);
	for (unsigned int n = 0; n < len; n++)
		((volatile uint8_t *)dst)[n] = host(la)[n];
	return true;
}

bool
mem_write_buf(
    struct soft_cpu *c, uint64_t la, const void *src, unsigned int len)
{
	if (!there(c, la, len, true))
		return false;
	fpu_park(c);
	for (unsigned int n = 0; n < len; n++)
		((volatile uint8_t *)host(la))[n] = ((const uint8_t *)src)[n];
	return true;
}

bool
mem_read_slow(struct soft_cpu *c, uint64_t la, unsigned int size)
{
	c->mem_val = 0;
	return mem_read_buf(c, la, &c->mem_val, size);
}

bool
mem_write_slow(struct soft_cpu *c, uint64_t la, unsigned int size, uint64_t val)
{
	return mem_write_buf(c, la, &val, size);
}

/* Code is in the first page of RAM, wherever it seems to run. */
bool
mmu_translate(struct soft_cpu *c, uint64_t la, unsigned int acc, uint64_t *ret)
{
	*ret = la & 0xfff;
	return acc == ACC_X || there(c, la, 1, false);
}

void
fake_tlb(struct soft_cpu *c)
{
	c->tlb = &c->view[0];
	for (unsigned int n = 0; n < TLB_ENTRIES; n++)
		c->tlb->e[n].rtag = c->tlb->e[n].wtag = TLB_NONE;
	if (fake_mem.path != FAKE_TLB)
		return;
	for (uint64_t la = fake_mem.base; la < fake_mem.base + fake_mem.len;
	     la += 0x1000) {
		struct tlb_entry *e = tlb_slot(c, la);

		e->rtag = la;
		e->wtag = fake_mem.read_only ? TLB_NONE : la;
		e->addend = (uintptr_t)fake_mem.host - fake_mem.base;
	}
}

void
fake_end(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->rip = rip;
}
