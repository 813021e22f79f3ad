/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guestdbg.c - a debugger's breakpoints, watchpoints and single steps by
 * KVM_SET_GUEST_DEBUG: the processor's four debug registers (SDM 3B 17.2), its
 * trap flag, and exits at INT3, of which the debugger knows which are its own.
 *
 * While points are set the guest's own debug registers hold their values but do
 * not work.  A #DB that is the guest's is given back to it.  The trap flag
 * shows in what the guest pushes, and some instructions change it under a step;
 * those are done by the software CPU (step.h) where that can.
 *
 * All in the vCPU's thread, or while it does not run.
 */
#include "kvm_priv.h"

#include <errno.h>

#include <util/log.h>
#include <vmm/exception.h>
#include <vmm/mem.h>

#include "step.h"

#define DR_COUNT    4u
#define DR6_HITS    0xfull
#define DR6_BD	    BIT64(13)
#define DR6_BS	    BIT64(14)
#define DR6_BT	    BIT64(15)
#define DR6_CAUSES  (DR6_HITS | DR6_BD | DR6_BS | DR6_BT)
#define DR7_LEN(n)  (18u + (n)*4u)
#define DR7_TYPE(n) (16u + (n)*4u)
#define DR7_G(n)    (1u + (n)*2u)
#define DR7_GE	    BIT64(9)
#define DR7_GD	    BIT64(13)
#define DR7_MAX	    8u /* bytes that one register watches */
#define INSN_INT3   0xccu
#define RFLAGS_RF   0x10000u
#define PAGE_BYTES  4096u

/* R/W field: execute, write, read or write; nothing reads alone. */
static const uint8_t type_table[] = {
	[VM_DEBUG_EXEC] = 0,
	[VM_DEBUG_WRITE] = 1,
	[VM_DEBUG_READ] = 3,
	[VM_DEBUG_ACCESS] = 3,
};
static const uint8_t len_table[] = { [1] = 0, [2] = 1, [4] = 3, [8] = 2 };

/* --- points into debug registers ------------------------------------------ */

/* Registers watch aligned powers of two: one point may take several. */
static int
place(const struct vm_debug_point *points, unsigned int n, struct kvm_dr *dr)
{
	int used = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint64_t gla = points[i].gla, left = points[i].len, size;

		for (; left > 0; gla += size, left -= size) {
			for (size = DR7_MAX; size > left || gla % size != 0;)
				size /= 2;
			if (used == DR_COUNT)
				return -ENOSPC;
			dr[used++] = (struct kvm_dr){ gla, (uint8_t)size, i };
		}
	}
	return used;
}

static void
fill_registers(const struct kvm_cpu *k, struct kvm_guest_debug *d)
{
	uint64_t dr7 = DR7_GE;

	for (unsigned int i = 0; i < k->ndr; i++) {
		const struct kvm_dr *r = &k->dr[i];

		d->arch.debugreg[i] = r->gla;
		dr7 |= BIT64(DR7_G(i)) |
		       (uint64_t)type_table[k->point[r->point].kind]
			   << DR7_TYPE(i) |
		       (uint64_t)len_table[r->size] << DR7_LEN(i);
	}
	d->arch.debugreg[7] = dr7;
}

int
kvm_debug_update(struct kvm_cpu *k)
{
	struct kvm_guest_debug d = { 0 };

	if (k->cap[VM_CAP_MTRAP_EXIT])
		d.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
	else
		k->owes_exit = false;
	if (k->cap[VM_CAP_MASK_HWINTR] && k->vm->has.block_irq)
		d.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_BLOCKIRQ;
	if (k->cap[VM_CAP_BPT_EXIT])
		d.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
	if (k->ndr > 0) {
		d.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
		fill_registers(k, &d);
	}
	return kvm_ioctl(k->fd, KVM_SET_GUEST_DEBUG, &d);
}

/*
 * The kernel's single steps take the trap flag for themselves: it neither shows
 * nor comes back.  So the guest's own is kept here (kvm_get_reg() adds it).
 */
int
kvm_debug_set_step(struct kvm_cpu *k, bool on)
{
	struct kvm_regs *regs = kvm_regs(k);
	int err;

	if (regs == NULL)
		return -EIO;
	if (on && !k->cap[VM_CAP_MTRAP_EXIT])
		k->own_tf = (regs->rflags & RFLAGS_TF) != 0;
	k->cap[VM_CAP_MTRAP_EXIT] = on;
	err = kvm_debug_update(k);
	if (err < 0 || on || !k->own_tf)
		return err;
	k->own_tf = false;
	regs->rflags |= RFLAGS_TF;
	k->regs_dirty = true;
	return 0;
}

/*
 * Not every KVM has what it says: the processor that QEMU makes has SVM, but no
 * debug registers and no intercept of INT3 in it; a KVM that emulates ring 0
 * sees no data accesses.
 */
static int
know(struct kvm_machine *vm)
{
	return vm->has.debug_known ? 0 : kvm_find_debug(vm->sys_fd, &vm->has);
}

int
kvm_debug_check_int3(struct kvm_cpu *k)
{
	int err = know(k->vm);

	return err != 0 || k->vm->has.int3_exits ? err : -ENOTSUP;
}

static int
check_registers_work(
    struct kvm_machine *vm, const struct vm_debug_point *points, unsigned int n)
{
	int err = n > 0 ? know(vm) : 0;

	if (err < 0)
		return err;
	for (unsigned int i = 0; i < n; i++)
		if (!(points[i].kind == VM_DEBUG_EXEC ? vm->has.exec_points
						      : vm->has.data_points))
			return -ENOTSUP;
	return 0;
}

int
kvm_set_debug(
    struct vcpu *vcpu, const struct vm_debug_point *points, unsigned int n)
{
	struct kvm_cpu *k = kvm_cpu_of(vcpu);
	struct kvm_dr dr[DR_COUNT];
	int used = place(points, n, dr), err;

	if (used < 0)
		return used;
	err = check_registers_work(k->vm, points, n);
	if (err < 0)
		return err;
	for (unsigned int i = 0; i < n; i++)
		k->point[i] = points[i];
	memcpy(k->dr, dr, sizeof(k->dr));
	k->ndr = (unsigned int)used;
	return kvm_debug_update(k);
}

/* --- exits ---------------------------------------------------------------- */

/* Which of ours was met, by DR6 bits 3:0. */
static bool
exit_point(struct kvm_cpu *k, uint64_t dr6, bool exec, struct vm_exit *x)
{
	for (unsigned int i = 0; i < k->ndr; i++) {
		const struct vm_debug_point *p = &k->point[k->dr[i].point];

		if ((dr6 & BIT64(i)) == 0 || (p->kind == VM_DEBUG_EXEC) != exec)
			continue;
		x->exitcode = VM_EXITCODE_DB;
		x->u.db.gla = p->gla;
		x->u.db.exec = exec;
		x->u.db.write = p->kind == VM_DEBUG_WRITE;
		return true;
	}
	return false;
}

/* A breakpoint on an instruction is a fault: it must not be met again at once
 * (SDM 3B 17.3.1.1). */
static bool
is_fault(const struct kvm_debugregs *d, uint64_t hits)
{
	for (unsigned int i = 0; i < DR_COUNT; i++)
		if ((hits & BIT64(i)) != 0 &&
		    (d->dr7 >> DR7_TYPE(i) & 3) == type_table[VM_DEBUG_EXEC])
			return true;
	return false;
}

/* The guest's #DB, which came to us because a debugger is there. */
static void
give_back(struct kvm_cpu *k, uint64_t causes)
{
	struct kvm_debugregs *d = kvm_debugregs(k);
	struct kvm_regs *regs = kvm_regs(k);
	int err;

	if (d == NULL || regs == NULL)
		return;
	if (is_fault(d, causes & DR6_HITS)) {
		regs->rflags |= RFLAGS_RF;
		k->regs_dirty = true;
	}
	d->dr6 = (d->dr6 & ~DR6_HITS) | causes;
	d->dr7 &= ~DR7_GD;
	k->debugregs_dirty = true;
	err = kvm_inject(k->vcpu, EXC_DB, false, 0, false);
	if (err < 0)
		guest_error("kvm", "vCPU %d loses a #DB: %s", vcpu_id(k->vcpu),
		    strerror(-err));
}

/* INT3, while somebody asked for its exits. */
static void
exit_int3(struct vm_exit *x)
{
	x->exitcode = VM_EXITCODE_BPT;
	x->inst_length = 1;
	x->u.bpt.inst_length = 1;
}

/*
 * One exit may tell of an instruction's traps and of the next one's breakpoint.
 * The traps go first (SDM 3A 6.9): they do not come again, and the breakpoint
 * does, when the guest is there again.
 */
bool
kvm_exit_debug(struct kvm_cpu *k, struct vm_exit *x)
{
	const struct kvm_debug_exit_arch *d = &k->run->debug.arch;
	uint64_t causes = d->dr6 & DR6_CAUSES, ours = 0, theirs;
	bool said;

	if (d->exception == EXC_BP) {
		exit_int3(x);
		return true;
	}
	if (k->ndr > 0)
		ours |= DR6_HITS;
	if (k->cap[VM_CAP_MTRAP_EXIT])
		ours |= DR6_BS;
	theirs = causes & ~ours;
	said = exit_point(k, causes, false, x) ||
	       (theirs == 0 && exit_point(k, causes, true, x));
	if (!said && (causes & ours & DR6_BS) != 0) {
		x->exitcode = VM_EXITCODE_MTRAP;
		said = true;
	}
	if (theirs != 0 || !said)
		give_back(k, theirs);
	return said;
}

size_t
kvm_fetch_code(
    struct kvm_cpu *k, uint64_t rip, uint8_t *code, size_t max, bool *ret_long)
{
	const struct kvm_sregs *s = kvm_sregs(k);
	uint64_t gla, gpa;
	size_t len;

	if (s == NULL)
		return 0;
	*ret_long = s->cs.l != 0;
	gla = *ret_long ? rip : (uint32_t)(rip + s->cs.base);
	if (kvm_gla2gpa(k->vcpu, gla, &gpa) != 0)
		return 0;
	len = MIN(max, (size_t)(PAGE_BYTES - gpa % PAGE_BYTES));
	return vm_mem_read(k->vm->ctx, gpa, code, len) == 0 ? len : 0;
}

/* A KVM that emulates fails there, with the same meaning. */
bool
kvm_debug_int3(struct kvm_cpu *k, struct vm_exit *x)
{
	uint8_t code;
	bool long_mode;

	if (!k->cap[VM_CAP_BPT_EXIT] ||
	    kvm_fetch_code(k, kvm_rip(k), &code, 1, &long_mode) != 1 ||
	    code != INSN_INT3)
		return false;
	exit_int3(x);
	return true;
}

/* --- single steps --------------------------------------------------------- */

/*
 * Instructions that clear TF (SYSCALL by its mask, so that the step would end
 * somewhere behind the system call), load it or push it.
 */
static bool
meets_tf(const uint8_t *code, size_t len, bool long_mode)
{
	static const uint8_t one[] = { 0x9c, 0x9d, 0xcc, 0xcd, 0xce, 0xcf,
		0xf1 }; /* PUSHF POPF INT3 INT INTO IRET INT1 */
	static const uint8_t two[] = { 0x05, 0x07, 0x34,
		0x35 }; /* SYSCALL SYSRET SYSENTER SYSEXIT */
	static const uint8_t prefixes[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
		0x66, 0x67, 0xf0, 0xf2, 0xf3 };

	while (len > 0 && (memchr(prefixes, *code, sizeof(prefixes)) != NULL ||
			      (long_mode && (*code & 0xf0) == 0x40))) {
		code++;
		len--;
	}
	if (len > 1 && *code == 0x0f)
		return memchr(two, code[1], sizeof(two)) != NULL;
	return len > 0 && memchr(one, *code, sizeof(one)) != NULL;
}

/* The instruction is what comes next: no halt, no exception before it. */
static bool
is_runnable(struct kvm_cpu *k)
{
	struct kvm_mp_state mp;
	struct kvm_vcpu_events ev;

	return kvm_ioctl(k->fd, KVM_GET_MP_STATE, &mp) >= 0 &&
	       mp.mp_state == KVM_MP_STATE_RUNNABLE &&
	       kvm_ioctl(k->fd, KVM_GET_VCPU_EVENTS, &ev) >= 0 &&
	       ev.exception.injected == 0 && ev.exception.pending == 0;
}

bool
kvm_debug_step(struct kvm_cpu *k, struct vm_exit *x)
{
	uint8_t code[16];
	bool long_mode = false;
	size_t len;
	int err;

	if (!k->unfinished) {
		len = kvm_fetch_code(
		    k, kvm_rip(k), code, sizeof(code), &long_mode);
		if ((k->own_tf || meets_tf(code, len, long_mode)) &&
		    is_runnable(k)) {
			err = kvm_step(k, x);
			if (err == 0)
				x->exitcode = VM_EXITCODE_MTRAP;
			if (err >= 0)
				return true;
		}
	}
	/*
	 * The kernel notes RIP with the request and sets TF only there, so it
	 * must come after the registers.
	 */
	if (kvm_regs_flush(k) == 0)
		(void)!kvm_debug_update(k);
	return false;
}
