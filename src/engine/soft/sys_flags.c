/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sys_flags.c - PUSHF POPF CLI STI CLAC STAC, and which RFLAGS bits a program
 * may change where.
 *
 * Intel SDM 2 (POPF table 4-16, CLI, STI).  Missing on purpose: VME and PVI, so
 * virtual-8086 mode with IOPL < 3 and CLI/STI above IOPL always raise #GP.
 * Runs on the vCPU's thread with guest FP state live: no libc.
 */
#include "cpu.h"

#include "mmu.h"
#include "segint.h"
#include "sys.h"

uint32_t
flags_change_mask(const struct soft_cpu *c, unsigned int size)
{
	uint32_t mask = FL_OSZAPC | FL_TF | FL_DF | FL_NT;

	if (size > 2)
		mask |= FL_RF | FL_AC | FL_ID;
	if (c->rflags & FL_VM)
		return mask | FL_IF; /* IOPL is 3, or it would not come here */
	if (c->cpl <= cpu_iopl(c))
		mask |= FL_IF;
	if (c->cpl == 0) {
		mask |= FL_IOPL;
		if (size > 2 && cpu_protected(c))
			mask |= FL_VIF | FL_VIP;
	}
	return mask;
}

/* Virtual-8086 mode: PUSHF, POPF, IRET, INT n need IOPL 3. */
static bool
v86_denied(const struct soft_cpu *c)
{
	return (c->rflags & FL_VM) && cpu_iopl(c) != 3;
}

static bool
pushf(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t val = cpu_rflags(c) & ~(FL_RF | FL_VM);
	struct stack st;

	c->rip = rip;
	if (v86_denied(c))
		return cpu_raise_gp(c, 0);
	stack_current(c, &st);
	if (!stack_push_frame(c, &st, &val, 1, i->opsize))
		return false;
	stack_commit(c, &st, st.sp);
	return true;
}

void
sys_pushf(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!pushf(c, i, rip))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}

void
sys_popf(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint32_t mask = flags_change_mask(c, i->opsize);
	struct stack st;

	c->rip = rip;
	if (v86_denied(c)) {
		cpu_raise_gp(c, 0);
		return;
	}
	stack_current(c, &st);
	if (!stack_read(c, &st, 0, i->opsize))
		return;
	stack_commit(c, &st, st.sp + i->opsize);
	cpu_set_rflags(c, c->mem_val, mask & ~(FL_RF | FL_VIF | FL_VIP));
	c->rflags &= ~FL_RF;
	c->rip = next_rip(c, i, rip);
	cpu_update_mode(c);
}

/* In real mode CPL is 0, in virtual-8086 mode 3: one rule for all. */
static bool
may_change_if(const struct soft_cpu *c)
{
	return c->cpl <= cpu_iopl(c);
}

void
sys_cli(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!may_change_if(c))
		RAISE_GP(c, rip, 0);
	c->rflags &= ~FL_IF;
	NEXT(c, i, rip);
}

void
sys_sti(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!may_change_if(c))
		RAISE_GP(c, rip, 0);
	c->rip = next_rip(c, i, rip);
	if (c->rflags & FL_IF)
		return;
	c->rflags |= FL_IF;
	c->intr_shadow = true;
	cpu_update_mode(c);
}

/* AC changes only the view data accesses use; decoding does not depend on it.
 */
void
sys_clac(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (c->cpl != 0)
		RAISE_UD(c, rip);
	c->rflags &= ~FL_AC;
	cpu_set_view(c, 0);
	NEXT(c, i, rip);
}

void
sys_stac(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (c->cpl != 0)
		RAISE_UD(c, rip);
	c->rflags |= FL_AC;
	cpu_set_view(c, 0);
	NEXT(c, i, rip);
}
