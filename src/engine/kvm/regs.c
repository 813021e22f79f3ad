/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * regs.c - registers by libvmmapi's names, address translation.
 *
 * General registers go through struct kvm_run where the kernel has
 * KVM_CAP_SYNC_REGS, the rest by ioctl.  Segment registers have bhyve's access
 * word here (VMX's format, SDM 3C 24.4.1) and one field a bit in the API.
 */
#include "kvm_priv.h"

#include <errno.h>
#include <stdlib.h>

#include <util/log.h>

#define ACCESS_AVL	0x1000u
#define ACCESS_S	0x10u
#define ACCESS_UNUSABLE 0x10000u

/* --- the caches ----------------------------------------------------------- */

/* NULL after a failure. */
static void *
fetch(struct kvm_cpu *k, bool *valid, unsigned long request, void *group)
{
	if (!*valid)
		*valid = kvm_ioctl(k->fd, request, group) >= 0;
	return *valid ? group : NULL;
}

struct kvm_regs *
kvm_regs(struct kvm_cpu *k)
{
	k->regs_asked = true;
	return fetch(k, &k->regs_valid, KVM_GET_REGS, &k->run->s.regs.regs);
}

struct kvm_sregs *
kvm_sregs(struct kvm_cpu *k)
{
	return fetch(k, &k->sregs_valid, KVM_GET_SREGS, &k->sregs);
}

struct kvm_debugregs *
kvm_debugregs(struct kvm_cpu *k)
{
	struct kvm_debugregs *d =
	    fetch(k, &k->debugregs_valid, KVM_GET_DEBUGREGS, &k->debugregs);

	if (d != NULL)
		d->flags = 0;
	return d;
}

static int
flush(struct kvm_cpu *k, bool *dirty, unsigned long request, void *group)
{
	int err = *dirty ? kvm_ioctl(k->fd, request, group) : 0;

	if (err >= 0)
		*dirty = false;
	return MIN(err, 0);
}

int
kvm_regs_flush(struct kvm_cpu *k)
{
	int err = flush(k, &k->sregs_dirty, KVM_SET_SREGS, &k->sregs);

	if (err == 0)
		err = flush(
		    k, &k->debugregs_dirty, KVM_SET_DEBUGREGS, &k->debugregs);
	if (err == 0)
		err = flush(
		    k, &k->regs_dirty, KVM_SET_REGS, &k->run->s.regs.regs);
	return err;
}

void
kvm_regs_forget(struct kvm_cpu *k)
{
	k->regs_valid = k->run->kvm_valid_regs != 0;
	k->sregs_valid = k->debugregs_valid = false;
}

uint64_t
kvm_rip(struct kvm_cpu *k)
{
	const struct kvm_regs *regs = kvm_regs(k);

	return regs != NULL ? regs->rip : 0;
}

/* --- names ---------------------------------------------------------------- */

/* Whole registers of a cached group, selectors, and the odd ones. */
enum group { ODD, GPRS, SREGS, DEBUGREGS, SELECTOR };

#define AT(name, group, type, field)                                           \
	[VM_REG_GUEST_##name] = { group, offsetof(struct type, field) }
#define GPR(name, field)  AT(name, GPRS, kvm_regs, field)
#define SREG(name, field) AT(name, SREGS, kvm_sregs, field)
#define SEGR(name, field) AT(name, SELECTOR, kvm_sregs, field)
#define DREG(name, field) AT(name, DEBUGREGS, kvm_debugregs, field)

/* What is not here is odd: IDTR and GDTR have no selector. */
static const struct {
	enum group group;
	uint16_t off;
} where_table[VM_REG_LAST] = {
	GPR(RAX, rax),
	GPR(RBX, rbx),
	GPR(RCX, rcx),
	GPR(RDX, rdx),
	GPR(RSI, rsi),
	GPR(RDI, rdi),
	GPR(RBP, rbp),
	GPR(R8, r8),
	GPR(R9, r9),
	GPR(R10, r10),
	GPR(R11, r11),
	GPR(R12, r12),
	GPR(R13, r13),
	GPR(R14, r14),
	GPR(R15, r15),
	GPR(RSP, rsp),
	GPR(RIP, rip),
	GPR(RFLAGS, rflags),
	SREG(CR0, cr0),
	SREG(CR2, cr2),
	SREG(CR3, cr3),
	SREG(CR4, cr4),
	SREG(CR8, cr8),
	SREG(EFER, efer),
	SEGR(ES, es),
	SEGR(CS, cs),
	SEGR(SS, ss),
	SEGR(DS, ds),
	SEGR(FS, fs),
	SEGR(GS, gs),
	SEGR(LDTR, ldt),
	SEGR(TR, tr),
	DREG(DR0, db[0]),
	DREG(DR1, db[1]),
	DREG(DR2, db[2]),
	DREG(DR3, db[3]),
	DREG(DR6, dr6),
	DREG(DR7, dr7),
};

/*
 * Where a register is, fetched if need be, and what to set when it changes.
 * NULL after a failure, which is logged; not for odd ones.
 */
static void *
place(struct kvm_cpu *k, enum vm_reg_name reg, bool **ret_dirty)
{
	void *group;

	switch (where_table[reg].group) {
	case GPRS:
		group = kvm_regs(k);
		*ret_dirty = &k->regs_dirty;
		break;
	case DEBUGREGS:
		group = kvm_debugregs(k);
		*ret_dirty = &k->debugregs_dirty;
		break;
	default:
		group = kvm_sregs(k);
		*ret_dirty = &k->sregs_dirty;
		break;
	}
	return group != NULL ? (char *)group + where_table[reg].off : NULL;
}

/* --- the odd ones --------------------------------------------------------- */

static int
get_pdpte(struct kvm_cpu *k, enum vm_reg_name reg, uint64_t *ret_val)
{
	struct kvm_sregs2 s;
	int err;

	if (!k->vm->has.sregs2)
		return -ENOTSUP;
	err = kvm_regs_flush(k);
	if (err == 0)
		err = kvm_ioctl(k->fd, KVM_GET_SREGS2, &s);
	if (err < 0)
		return err;
	*ret_val = (s.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID) != 0
		       ? s.pdptrs[reg - VM_REG_GUEST_PDPTE0]
		       : 0;
	return 0;
}

static int
get_shadow(struct kvm_cpu *k, uint64_t *ret_val)
{
	struct kvm_vcpu_events ev;
	int err = kvm_ioctl(k->fd, KVM_GET_VCPU_EVENTS, &ev);

	if (err < 0)
		return err;
	*ret_val = ev.interrupt.shadow != 0;
	return 0;
}

static int
set_shadow(struct kvm_cpu *k, uint64_t val)
{
	struct kvm_vcpu_events ev;
	int err = kvm_ioctl(k->fd, KVM_GET_VCPU_EVENTS, &ev);

	if (err < 0)
		return err;
	ev.interrupt.shadow = val != 0 ? KVM_X86_SHADOW_INT_STI : 0;
	ev.flags = KVM_VCPUEVENT_VALID_SHADOW;
	return kvm_ioctl(k->fd, KVM_SET_VCPU_EVENTS, &ev);
}

/* --- vmm/engine.h --------------------------------------------------------- */

int
kvm_get_reg(struct vcpu *vcpu, enum vm_reg_name reg, uint64_t *ret_val)
{
	struct kvm_cpu *k = kvm_cpu_of(vcpu);
	const void *p;
	bool *dirty;

	if (reg == VM_REG_GUEST_INTR_SHADOW)
		return get_shadow(k, ret_val);
	if (kvm_is_pdpte(reg))
		return get_pdpte(k, reg, ret_val);
	if (where_table[reg].group == ODD)
		return -EINVAL;
	p = place(k, reg, &dirty);
	if (p == NULL)
		return -EIO;
	if (where_table[reg].group == SELECTOR)
		*ret_val = ((const struct kvm_segment *)p)->selector;
	else
		*ret_val = *(const uint64_t *)p;
	if (reg == VM_REG_GUEST_RFLAGS && k->own_tf)
		*ret_val |= RFLAGS_TF;
	return 0;
}

int
kvm_set_reg(struct vcpu *vcpu, enum vm_reg_name reg, uint64_t val)
{
	struct kvm_cpu *k = kvm_cpu_of(vcpu);
	bool *dirty;
	void *p;

	if (reg == VM_REG_GUEST_INTR_SHADOW)
		return set_shadow(k, val);
	if (kvm_is_pdpte(reg))
		return -ENOTSUP;
	if (where_table[reg].group == ODD)
		return -EINVAL;
	p = place(k, reg, &dirty);
	if (p == NULL)
		return -EIO;
	if (where_table[reg].group == SELECTOR)
		((struct kvm_segment *)p)->selector = (uint16_t)val;
	else
		*(uint64_t *)p = val;
	*dirty = true;
	if (reg == VM_REG_GUEST_RFLAGS && k->cap[VM_CAP_MTRAP_EXIT])
		k->own_tf = (val & RFLAGS_TF) != 0;
	return reg == VM_REG_GUEST_RIP ? kvm_stop_waiting(k) : 0;
}

static uint32_t
access_of(const struct kvm_segment *g)
{
	if (g->unusable != 0)
		return ACCESS_UNUSABLE;
	return (uint32_t)(g->type | g->s << 4 | g->dpl << 5 | g->present << 7 |
			  g->avl << 12 | g->l << 13 | g->db << 14 | g->g << 15);
}

static void
set_access(struct kvm_segment *g, uint32_t a)
{
	g->type = a & 0xf;
	g->s = (a & ACCESS_S) != 0;
	g->dpl = SEG_DESC_DPL(a);
	g->present = SEG_DESC_PRESENT(a);
	g->avl = (a & ACCESS_AVL) != 0;
	g->l = SEG_DESC_L(a);
	g->db = SEG_DESC_DEF32(a);
	g->g = SEG_DESC_GRAN(a);
	g->unusable = SEG_DESC_UNUSABLE(a);
}

static struct kvm_dtable *
table_of(struct kvm_sregs *s, enum vm_reg_name reg)
{
	if (reg == VM_REG_GUEST_GDTR)
		return &s->gdt;
	return reg == VM_REG_GUEST_IDTR ? &s->idt : NULL;
}

int
kvm_get_desc(struct vcpu *vcpu, enum vm_reg_name reg, struct seg_desc *ret)
{
	struct kvm_cpu *k = kvm_cpu_of(vcpu);
	struct kvm_sregs *s = kvm_sregs(k);
	const struct kvm_dtable *t;
	const struct kvm_segment *g;
	bool *dirty;

	if (s == NULL)
		return -EIO;
	t = table_of(s, reg);
	if (t != NULL) {
		*ret = (struct seg_desc){ t->base, t->limit, 0 };
		return 0;
	}
	if (where_table[reg].group != SELECTOR)
		return -EINVAL;
	g = place(k, reg, &dirty);
	*ret = (struct seg_desc){ g->base, g->limit, access_of(g) };
	return 0;
}

int
kvm_set_desc(struct vcpu *vcpu, enum vm_reg_name reg, const struct seg_desc *d)
{
	struct kvm_cpu *k = kvm_cpu_of(vcpu);
	struct kvm_sregs *s = kvm_sregs(k);
	struct kvm_segment *g;
	struct kvm_dtable *t;
	bool *dirty = &k->sregs_dirty;

	if (s == NULL)
		return -EIO;
	t = table_of(s, reg);
	if (t != NULL) {
		t->base = d->base;
		t->limit = (uint16_t)d->limit;
		*dirty = true;
		return 0;
	}
	if (where_table[reg].group != SELECTOR)
		return -EINVAL;
	g = place(k, reg, &dirty);
	g->base = d->base;
	g->limit = d->limit;
	set_access(g, d->access);
	*dirty = true;
	return 0;
}

/* --- FPU and vectors ------------------------------------------------------ */

int
kvm_get_xsave(struct vcpu *vcpu, uint8_t *buf)
{
	struct kvm_xsave x;
	int err = kvm_ioctl(kvm_cpu_of(vcpu)->fd, KVM_GET_XSAVE, &x);

	if (err < 0)
		return err;
	memcpy(buf, x.region, VM_XSAVE_BYTES);
	return 0;
}

#define XSAVE_MXCSR 24u
#define XCR0_SSE    3u /* x87, SSE */
#define XCR0_AVX    7u /* and AVX */

/*
 * Everything but the header, in which nothing is taken away.  SSE is there
 * while XCR0 has x87 alone, as at reset (SDM 1 13.3); unless the header has its
 * bit it would be initial (13.4.2).
 */
int
kvm_set_xsave(struct vcpu *vcpu, const uint8_t *buf)
{
	struct kvm_cpu *k = kvm_cpu_of(vcpu);
	struct kvm_xcrs xcrs;
	struct kvm_xsave x;
	uint8_t *p = (uint8_t *)x.region;
	uint32_t mask;
	int err = kvm_ioctl(k->fd, KVM_GET_XSAVE, &x);

	if (err >= 0)
		err = kvm_ioctl(k->fd, KVM_GET_XCRS, &xcrs);
	if (err < 0)
		return err;
	mask = get_le32(p + XSAVE_MXCSR + 4);
	memcpy(p, buf, XSAVE_HEADER);
	put_le32(p + XSAVE_MXCSR, get_le32(buf + XSAVE_MXCSR) & mask);
	put_le32(p + XSAVE_MXCSR + 4, mask);
	memcpy(p + XSAVE_REST, buf + XSAVE_REST, VM_XSAVE_BYTES - XSAVE_REST);
	put_le64(p + XSAVE_HEADER, get_le64(p + XSAVE_HEADER) | XCR0_SSE |
				       (xcrs.xcrs[0].value & XCR0_AVX));
	return kvm_ioctl(k->fd, KVM_SET_XSAVE, &x);
}

/* --- translation -----------------------------------------------------------
 */

int
kvm_gla2gpa(struct vcpu *vcpu, uint64_t gla, uint64_t *ret_gpa)
{
	struct kvm_cpu *k = kvm_cpu_of(vcpu);
	struct kvm_translation t = { .linear_address = gla };
	int err = kvm_regs_flush(k);

	if (err == 0)
		err = kvm_ioctl(k->fd, KVM_TRANSLATE, &t);
	if (err < 0)
		return err;
	if (t.valid == 0)
		return -EFAULT;
	*ret_gpa = t.physical_address;
	return 0;
}
