/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sys_io.c - IN OUT INS OUTS: permission (IOPL, the TSS's bitmap), I/O
 * breakpoints, and the access itself in place on the bus.
 *
 * Intel SDM 1 chapter 19 (18 in older editions), SDM 2 INS/OUTS.  A port that
 * nobody claims under strict I/O leaves vm_run() with VM_EXITCODE_INOUT.
 * Runs on the vCPU's thread; the bus is called after fpu_park().
 */
#include "cpu.h"

#include <vmm/bus.h>

#include "fpu.h"
#include "mmu.h"
#include "segint.h"
#include "sys.h"

#define TSS_IOMAP_BASE 0x66
#define DR7_TYPE_IO    2

/* --- permission -------------------------------------------------------------
 */

/* The 32- or 64-bit TSS's bitmap; two bytes are read always (SDM 1 19.5.2). */
static bool
bitmap_allows(struct soft_cpu *c, unsigned int port, unsigned int size)
{
	const struct soft_seg *tr = &c->seg[SEG_TR];
	unsigned int off, mask = (1u << size) - 1;

	if (!(tr->access & 8) || tr->limit < TSS_IOMAP_BASE + 1)
		return cpu_raise_gp(c, 0);
	if (!sys_read(c, sys_la(c, tr->base + TSS_IOMAP_BASE), 2))
		return false;
	off = (unsigned int)c->mem_val + port / 8;
	if (off + 1 > tr->limit)
		return cpu_raise_gp(c, 0);
	if (!sys_read(c, sys_la(c, tr->base + off), 2))
		return false;
	if (c->mem_val >> (port & 7) & mask)
		return cpu_raise_gp(c, 0);
	return true;
}

static bool
io_allowed(struct soft_cpu *c, unsigned int port, unsigned int size)
{
	if (!(c->cr0 & CR0_PE))
		return true;
	if (!(c->rflags & FL_VM) && c->cpl <= cpu_iopl(c))
		return true;
	return bitmap_allows(c, port, size);
}

/* I/O breakpoints trap after the instruction, or after one iteration. */
static void
check_io_breakpoints(struct soft_cpu *c, unsigned int port, unsigned int size)
{
	static const uint8_t len[4] = { 1, 2, 8, 4 };

	if (likely(!(c->dr7 & 0xff)) || !(c->cr4 & CR4_DE))
		return;
	for (unsigned int n = 0; n < 4; n++) {
		unsigned int ctl = c->dr7 >> (16 + n * 4) & 15;
		uint64_t start = c->dr[n] & ~(uint64_t)(len[ctl >> 2] - 1);

		if ((c->dr7 >> (n * 2) & 3) && (ctl & 3) == DR7_TYPE_IO &&
		    ranges_overlap(start, len[ctl >> 2], port, size))
			c->db_pending |= BIT64(n);
	}
}

/* --- one access -------------------------------------------------------- */

static void
exit_unclaimed(struct soft_cpu *c, const struct insn *i, bool in, uint16_t port,
    unsigned int size, uint32_t val)
{
	c->exit.exitcode = VM_EXITCODE_INOUT;
	c->exit.inst_length = i->len;
	c->exit.rip = c->rip;
	c->exit.u.inout.in = in;
	c->exit.u.inout.bytes = (uint8_t)size;
	c->exit.u.inout.port = port;
	c->exit.u.inout.eax = val;
	c->exit.u.inout.string = c->exit.u.inout.rep = false;
	c->exit_next_rip = next_rip(c, i, c->rip);
	c->leave = LEAVE_EXIT;
}

/*
 * c->rip is the instruction's.  Input comes back in c->mem_val.  False: the CPU
 * leaves to vm_run()'s caller.
 */
static bool
port_access(struct soft_cpu *c, const struct insn *i, bool in, uint16_t port,
    unsigned int size, uint32_t val)
{
	fpu_park(c);
	if (bus_pio(c->vcpu, in, port, size, &val) == BUS_UNCLAIMED) {
		exit_unclaimed(c, i, in, port, size, val);
		return false;
	}
	check_io_breakpoints(c, port, size);
	c->mem_val = val;
	return true;
}

static uint16_t
port_of(const struct soft_cpu *c, const struct insn *i)
{
	return i->x & INSN_IMM_PORT ? (uint8_t)i->imm : REG16(c, R_RDX * 8);
}

static unsigned int
io_size(const struct insn *i)
{
	return i->opsize > 4 ? 4 : i->opsize;
}

void
sys_in(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int size = io_size(i);
	uint16_t port = port_of(c, i);

	c->rip = rip;
	if (!io_allowed(c, port, size) ||
	    !port_access(c, i, true, port, size, 0))
		return;
	reg_set(c, R_RAX * 8, size, c->mem_val);
	c->rip = next_rip(c, i, rip);
}

void
sys_out(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int size = io_size(i);
	uint16_t port = port_of(c, i);
	uint32_t val = (uint32_t)reg_get(c, R_RAX * 8, size);

	c->rip = rip;
	if (!io_allowed(c, port, size) ||
	    !port_access(c, i, false, port, size, val))
		return;
	c->rip = next_rip(c, i, rip);
}

/* --- strings ----------------------------------------------------------- */

static unsigned int
addr_size(const struct insn *i)
{
	if (i->x & INSN_A16)
		return 2;
	return i->x & INSN_A32 ? 4 : 8;
}

static void
advance(
    struct soft_cpu *c, unsigned int reg, unsigned int asize, unsigned int size)
{
	uint64_t v = c->gpr[reg];

	v = c->rflags & FL_DF ? v - size : v + size;
	reg_set(c, reg * 8, asize, v);
}

/* The destination is proven writable before the port is read. */
static bool
ins_one(struct soft_cpu *c, const struct insn *i, uint16_t port,
    unsigned int size, unsigned int asize)
{
	uint64_t ea;

	if (!seg_linear(c, SEG_ES, reg_get(c, R_RDI * 8, asize), size, ACC_W))
		return false;
	ea = c->ea;
	c->acc_seg = SEG_ES;
	if (!mem_probe_write(c, ea, size) ||
	    !port_access(c, i, true, port, size, 0) ||
	    !mem_write_slow(c, ea, size, c->mem_val))
		return false;
	advance(c, R_RDI, asize, size);
	return true;
}

static bool
outs_one(struct soft_cpu *c, const struct insn *i, uint16_t port,
    unsigned int size, unsigned int asize)
{
	unsigned int seg = i->mem & MEM_SEG_MASK;

	if (!seg_linear(c, seg, reg_get(c, R_RSI * 8, asize), size, ACC_R))
		return false;
	c->acc_seg = (uint8_t)seg;
	if (!mem_read_slow(c, c->ea, size) ||
	    !port_access(c, i, false, port, size, (uint32_t)c->mem_val))
		return false;
	advance(c, R_RSI, asize, size);
	return true;
}

typedef bool (*io_one_fn)(struct soft_cpu *c, const struct insn *i,
    uint16_t port, unsigned int size, unsigned int asize);

/* Somebody wants the CPU between two iterations. */
static bool
interrupted(const struct soft_cpu *c)
{
	return (c->mode & MODE_ONE) || c->smc_hit || c->leave != LEAVE_NONE ||
	       __atomic_load_n(c->events, __ATOMIC_RELAXED) != 0;
}

static void
io_string(struct soft_cpu *c, const struct insn *i, uint64_t rip, io_one_fn one)
{
	bool rep = i->x & (INSN_REP | INSN_REPNE);
	unsigned int asize = addr_size(i), size = io_size(i);
	uint16_t port = REG16(c, R_RDX * 8);
	uint64_t count = rep ? reg_get(c, R_RCX * 8, asize) : 1;

	c->rip = rip;
	if (count != 0 && !io_allowed(c, port, size))
		return;
	while (count != 0) {
		if (!one(c, i, port, size, asize)) {
			c->exit.u.inout.string = c->leave == LEAVE_EXIT;
			c->exit.u.inout.rep = c->leave == LEAVE_EXIT && rep;
			return;
		}
		count--;
		if (rep)
			reg_set(c, R_RCX * 8, asize, count);
		if (count != 0 && interrupted(c)) {
			cpu_rep_interrupted(c);
			return;
		}
	}
	c->rip = next_rip(c, i, rip);
}

void
sys_ins(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	io_string(c, i, rip, ins_one);
}

void
sys_outs(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	io_string(c, i, rip, outs_one);
}
