/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * regs.c - registers by their vmmapi names, for loaders, debuggers and
 * snapshots.
 *
 * Setting is raw, in any order: nothing is checked, what depends on several
 * registers (EFER.LMA, CPL, mode, PAE pointers, TLB) is derived anew each time.
 * Ordinary C, while the vCPU does not run.
 */
#include "sys.h"

#include <errno.h>

#include <vmm/irq.h>

#include "fpu.h"
#include "mmu.h"
#include "segint.h"

/* --- where things are -------------------------------------------------- */

/* Offsets and numbers plus one: 0 is none. */
#define GPR(vm, r)   FIELD(vm, gpr[r])
#define FIELD(vm, f) [VM_REG_GUEST_##vm] = offsetof(struct soft_cpu, f) + 1
#define SEG(vm)	     [VM_REG_GUEST_##vm] = SEG_##vm + 1

/* clang-format off */
/* 64-bit members that are read as they are. */
static const uint16_t reg_offset[VM_REG_LAST] = {
	GPR(RAX, R_RAX), GPR(RBX, R_RBX), GPR(RCX, R_RCX), GPR(RDX, R_RDX),
	GPR(RSI, R_RSI), GPR(RDI, R_RDI), GPR(RBP, R_RBP), GPR(RSP, R_RSP),
	GPR(R8, R_R8), GPR(R9, R_R9), GPR(R10, R_R10), GPR(R11, R_R11),
	GPR(R12, R_R12), GPR(R13, R_R13), GPR(R14, R_R14), GPR(R15, R_R15),
	FIELD(RIP, rip), FIELD(CR0, cr0), FIELD(CR2, cr2), FIELD(CR3, cr3),
	FIELD(CR4, cr4), FIELD(EFER, efer),
	FIELD(DR0, dr[0]), FIELD(DR1, dr[1]), FIELD(DR2, dr[2]),
	FIELD(DR3, dr[3]), FIELD(DR6, dr6), FIELD(DR7, dr7),
	FIELD(PDPTE0, pdpte[0]), FIELD(PDPTE1, pdpte[1]),
	FIELD(PDPTE2, pdpte[2]), FIELD(PDPTE3, pdpte[3]),
};

static const uint8_t seg_of_reg[VM_REG_LAST] = {
	SEG(ES), SEG(CS), SEG(SS), SEG(DS), SEG(FS), SEG(GS), SEG(LDTR),
	SEG(TR),
};
/* clang-format on */

static uint64_t *
reg_field(struct soft_cpu *c, unsigned int reg)
{
	if (reg >= VM_REG_LAST || reg_offset[reg] == 0)
		return NULL;
	return (uint64_t *)((char *)c + reg_offset[reg] - 1);
}

static struct soft_seg *
reg_seg(struct soft_cpu *c, unsigned int reg)
{
	if (reg >= VM_REG_LAST || seg_of_reg[reg] == 0)
		return NULL;
	return &c->seg[seg_of_reg[reg] - 1];
}

/* --- what follows from a change ---------------------------------------- */

static unsigned int
derive_cpl(const struct soft_cpu *c)
{
	if (!(c->cr0 & CR0_PE))
		return 0;
	return c->rflags & FL_VM ? 3 : AR_DPL(c->seg[SEG_SS].access);
}

/* The pointers as a load of CR3 would find them; leaves no exception behind. */
static void
derive_pdptes(struct soft_cpu *c)
{
	bool pending = c->exc.pending;

	if (!(c->cr0 & CR0_PG) || !(c->cr4 & CR4_PAE) || (c->efer & EFER_LMA))
		return;
	(void)mmu_load_pdptes(c, c->cr3);
	c->exc.pending = pending;
}

static void
derive(struct soft_cpu *c, bool paging)
{
	fpu_park(c);
	c->cpl = (uint8_t)derive_cpl(c);
	if (paging) {
		if ((c->efer & EFER_LME) && (c->cr0 & CR0_PG))
			c->efer |= EFER_LMA;
		else
			c->efer &= ~(uint64_t)EFER_LMA;
		derive_pdptes(c);
		tlb_flush_all(c);
	}
	cpu_update_mode(c);
}

static bool
reg_is_paging(unsigned int reg)
{
	return reg == VM_REG_GUEST_CR0 || reg == VM_REG_GUEST_CR3 ||
	       reg == VM_REG_GUEST_CR4 || reg == VM_REG_GUEST_EFER;
}

/* --- single registers -------------------------------------------------- */

static uint64_t
get_cr8(struct soft_cpu *c)
{
	void *apic;
	const struct vcpu_intr_ops *ops = vcpu_intr(c->vcpu, &apic);

	return ops != NULL ? ops->get_cr8(apic) : 0;
}

static void
set_cr8(struct soft_cpu *c, uint64_t val)
{
	void *apic;
	const struct vcpu_intr_ops *ops = vcpu_intr(c->vcpu, &apic);

	if (ops != NULL)
		ops->set_cr8(apic, val & 15);
}

int
soft_get_reg(struct soft_cpu *c, enum vm_reg_name reg, uint64_t *ret_val)
{
	const uint64_t *p = reg_field(c, reg);
	const struct soft_seg *s = reg_seg(c, reg);

	if (p != NULL)
		*ret_val = *p;
	else if (s != NULL)
		*ret_val = s->sel;
	else if (reg == VM_REG_GUEST_RFLAGS)
		*ret_val = cpu_rflags(c);
	else if (reg == VM_REG_GUEST_INTR_SHADOW)
		*ret_val = c->intr_shadow;
	else if (reg == VM_REG_GUEST_CR8)
		*ret_val = get_cr8(c);
	else
		return -EINVAL;
	return 0;
}

static void
set_rflags(struct soft_cpu *c, uint64_t val)
{
	c->rflags = (uint32_t)val & 0x003f7fd5u & ~FL_OSZAPC;
	c->rflags |= FL_ONE;
	c->cc = flags_to_cc((uint32_t)val);
}

int
soft_set_reg(struct soft_cpu *c, enum vm_reg_name reg, uint64_t val)
{
	uint64_t *p = reg_field(c, reg);
	struct soft_seg *s = reg_seg(c, reg);

	if (p != NULL)
		*p = val;
	else if (s != NULL)
		s->sel = (uint16_t)val;
	else if (reg == VM_REG_GUEST_RFLAGS)
		set_rflags(c, val);
	else if (reg == VM_REG_GUEST_INTR_SHADOW)
		c->intr_shadow = val & 1;
	else if (reg == VM_REG_GUEST_CR8)
		set_cr8(c, val);
	else
		return -EINVAL;
	derive(c, reg_is_paging(reg));
	return 0;
}

void
soft_set_all(
    struct soft_cpu *c, const uint64_t *reg, const struct seg_desc *desc)
{
	for (unsigned int r = 0; r < VM_REG_LAST; r++) {
		uint64_t *p = reg_field(c, r);
		struct soft_seg *s = reg_seg(c, r);

		if (p != NULL)
			*p = reg[r];
		else if (s != NULL)
			*s = (struct soft_seg){ desc[r].base, desc[r].limit,
				desc[r].access, (uint16_t)reg[r] };
	}
	set_rflags(c, reg[VM_REG_GUEST_RFLAGS]);
	c->intr_shadow = reg[VM_REG_GUEST_INTR_SHADOW] & 1;
	c->gdtr = (struct soft_dtr){ desc[VM_REG_GUEST_GDTR].base,
		(uint16_t)desc[VM_REG_GUEST_GDTR].limit };
	c->idtr = (struct soft_dtr){ desc[VM_REG_GUEST_IDTR].base,
		(uint16_t)desc[VM_REG_GUEST_IDTR].limit };
	derive(c, true);
}

/* --- descriptors ------------------------------------------------------- */

static struct soft_dtr *
reg_dtr(struct soft_cpu *c, enum vm_reg_name reg)
{
	if (reg == VM_REG_GUEST_GDTR)
		return &c->gdtr;
	return reg == VM_REG_GUEST_IDTR ? &c->idtr : NULL;
}

int
soft_get_desc(struct soft_cpu *c, enum vm_reg_name reg, struct seg_desc *ret)
{
	const struct soft_seg *s = reg_seg(c, reg);
	const struct soft_dtr *t = reg_dtr(c, reg);

	if (s != NULL)
		*ret = (struct seg_desc){ s->base, s->limit, s->access };
	else if (t != NULL)
		*ret = (struct seg_desc){ t->base, t->limit, 0 };
	else
		return -EINVAL;
	return 0;
}

int
soft_set_desc(
    struct soft_cpu *c, enum vm_reg_name reg, const struct seg_desc *d)
{
	struct soft_seg *s = reg_seg(c, reg);
	struct soft_dtr *t = reg_dtr(c, reg);

	if (s != NULL) {
		s->base = d->base;
		s->limit = d->limit;
		s->access = d->access;
	} else if (t != NULL) {
		t->base = d->base;
		t->limit = (uint16_t)d->limit;
	} else {
		return -EINVAL;
	}
	derive(c, false);
	return 0;
}
