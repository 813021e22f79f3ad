/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guestdbg.c - a debugger's breakpoints, watchpoints and single steps by
 * KVM_SET_GUEST_DEBUG: the host's four debug registers (SDM 3B 17.2), and traps
 * of INT3, which is the debugger's if it is at one of its points, else the
 * guest's.
 */
#include "kvm_priv.h"

#include <errno.h>

#define DR_COUNT    4u
#define DR6_BS	    BIT64(14)
#define DR7_LEN(n)  (18u + (n)*4u)
#define DR7_TYPE(n) (16u + (n)*4u)
#define DR7_G(n)    (1u + (n)*2u)
#define DR7_GE	    BIT64(9)
#define EXC_DB	    1u
#define EXC_BP	    3u

/* R/W field: execute, write, read or write; nothing reads alone. */
static const uint8_t type_table[] = {
	[VM_DEBUG_EXEC] = 0,
	[VM_DEBUG_WRITE] = 1,
	[VM_DEBUG_READ] = 3,
	[VM_DEBUG_ACCESS] = 3,
};

static int
len_bits(uint64_t len)
{
	switch (len) {
	case 1:
		return 0;
	case 2:
		return 1;
	case 4:
		return 3;
	case 8:
		return 2;
	default:
		return -1;
	}
}

int
kvm_debug_update(struct kvm_cpu *k)
{
	struct kvm_guest_debug d = { 0 };

	if (k->cap[VM_CAP_MTRAP_EXIT])
		d.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
	if (k->cap[VM_CAP_MASK_HWINTR] && k->vm->has.block_irq)
		d.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_BLOCKIRQ;
	if (k->cap[VM_CAP_BPT_EXIT])
		d.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
	if (k->npoints > 0)
		d.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
	for (unsigned int i = 0; i < k->npoints; i++) {
		const struct vm_debug_point *p = &k->point[i];

		d.arch.debugreg[i] = p->gla;
		d.arch.debugreg[7] |= DR7_GE | BIT64(DR7_G(i)) |
				      (uint64_t)type_table[p->kind]
					  << DR7_TYPE(i) |
				      (uint64_t)len_bits(p->len) << DR7_LEN(i);
	}
	return kvm_ioctl(k->fd, KVM_SET_GUEST_DEBUG, &d);
}

int
kvm_set_debug(
    struct vcpu *vcpu, const struct vm_debug_point *points, unsigned int n)
{
	struct kvm_cpu *k = kvm_cpu_of(vcpu);

	if (n > DR_COUNT)
		return -ENOSPC;
	for (unsigned int i = 0; i < n; i++)
		if (len_bits(points[i].len) < 0 ||
		    (points[i].gla & (points[i].len - 1)) != 0)
			return -ENOTSUP;
	if (n > 0)
		memcpy(k->point, points, n * sizeof(*points));
	k->npoints = n;
	return kvm_debug_update(k);
}

/* Which of ours was met; DR6 bits 3:0. */
static bool
exit_point(struct kvm_cpu *k, uint64_t dr6, struct vm_exit *x)
{
	for (unsigned int i = 0; i < k->npoints; i++) {
		if ((dr6 & BIT64(i)) == 0)
			continue;
		x->exitcode = VM_EXITCODE_DB;
		x->u.db.gla = k->point[i].gla;
		x->u.db.exec = k->point[i].kind == VM_DEBUG_EXEC;
		x->u.db.write = k->point[i].kind == VM_DEBUG_WRITE;
		return true;
	}
	return false;
}

bool
kvm_exit_debug(struct kvm_cpu *k, struct vm_exit *x)
{
	const struct kvm_debug_exit_arch *d = &k->run->debug.arch;

	if (d->exception == EXC_BP) {
		x->exitcode = VM_EXITCODE_BPT;
		x->inst_length = 1;
		x->u.bpt.inst_length = 1;
		return true;
	}
	if (exit_point(k, d->dr6, x))
		return true;
	if (d->exception == EXC_DB && (d->dr6 & DR6_BS) != 0 &&
	    k->cap[VM_CAP_MTRAP_EXIT]) {
		x->exitcode = VM_EXITCODE_MTRAP;
		return true;
	}
	return false;
}
