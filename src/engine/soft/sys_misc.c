/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sys_misc.c - INT n and its kin, BOUND, undefined instructions, hypercalls,
 * PAUSE, RDRAND RDSEED, the CLFLUSH family, CPUID.
 *
 * Intel SDM 2; hypercalls as Linux Documentation/virt/kvm/x86/hypercalls.rst.
 * Not offered and therefore #UD: MONITOR MWAIT, VMX, SVM, SMX, SMM (RSM), TSX.
 * Runs on the vCPU's thread with guest FP state live: no libc.
 */
#include "cpu.h"

#include <sys/syscall.h>

#include "mmu.h"
#include "segint.h"
#include "sys.h"

/* --- interrupts by instruction ----------------------------------------- */

static void
soft_int(
    struct soft_cpu *c, const struct insn *i, uint64_t rip, unsigned int vector)
{
	c->tf_skip = true;
	(void)cpu_soft_interrupt(c, vector, rip, next_rip(c, i, rip));
}

void
sys_int(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->rip = rip;
	/* No VME: IOPL alone decides in virtual-8086 mode. */
	if ((c->rflags & FL_VM) && cpu_iopl(c) != 3) {
		cpu_raise_gp(c, 0);
		return;
	}
	soft_int(c, i, rip, (uint8_t)i->imm);
}

void
sys_int3(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!c->cap[VM_CAP_BPT_EXIT]) {
		soft_int(c, i, rip, EXC_BP);
		return;
	}
	/* As FreeBSD: inst_length 0, the debugger decides where to go on. */
	c->rip = rip;
	c->exit.exitcode = VM_EXITCODE_BPT;
	c->exit.rip = rip;
	c->exit.inst_length = 0;
	c->exit.u.bpt.inst_length = i->len;
	c->exit_next_rip = rip;
	c->leave = LEAVE_EXIT;
}

void
sys_into(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (cc_to_flags(c->cc) & FL_OF)
		soft_int(c, i, rip, EXC_OF);
	else
		c->rip = next_rip(c, i, rip);
}

void
sys_int1(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->tf_skip = true;
	(void)cpu_icebp(c, rip, next_rip(c, i, rip));
}

static int64_t
sign_extend(uint64_t v, unsigned int size)
{
	return size == 2 ? (int16_t)v : (int32_t)v;
}

static bool
bound(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	unsigned int w = i->opsize;
	int64_t index = sign_extend(reg_get(c, i->r1, w), w), lower;

	c->rip = rip;
	if (!(i->x & INSN_HASMEM))
		return cpu_raise_ud(c);
	/* Two accesses, each with its own checks. */
	if (!sys_ea(c, i, rip, w, ACC_R) || !mem_read_slow(c, c->ea, w))
		return false;
	lower = sign_extend(c->mem_val, w);
	if (!sys_ea(c, i, rip, 2 * w, ACC_R) ||
	    !mem_read_slow(c, (uint32_t)(c->ea + w), w))
		return false;
	if (index < lower || index > sign_extend(c->mem_val, w))
		return cpu_raise(c, EXC_BR);
	return true;
}

void
sys_bound(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!bound(c, i, rip))
		return;
	NEXT(c, i, rip);
}

void
sys_ud(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->rip = rip;
	cpu_raise_ud(c);
}

/* --- hypercalls -------------------------------------------------------- */

#define KVM_HC_VAPIC_POLL_IRQ 1
#define KVM_ENOSYS	      1000
#define KVM_EPERM	      1

void
sys_vmcall(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	int64_t ret = -KVM_ENOSYS;

	if (c->cpl != 0)
		ret = -KVM_EPERM;
	else if ((uint32_t)c->gpr[R_RAX] == KVM_HC_VAPIC_POLL_IRQ)
		ret = 0;
	reg_set(c, R_RAX * 8, c->mode & MODE_64 ? 8 : 4, (uint64_t)ret);
	NEXT(c, i, rip);
}

/* --- PAUSE ------------------------------------------------------------- */

#define PAUSES_PER_YIELD 32

/* A raw system call: the kernel keeps the vector registers, libc may not. */
static void
host_yield(void)
{
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"((long)SYS_sched_yield)
			 : "rcx", "r11", "memory");
}

/*
 * A spinning vCPU gives its host CPU away now and then: the one it waits for
 * may need it.
 */
void
sys_pause(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (++c->pauses % PAUSES_PER_YIELD == 0)
		host_yield();
	if (!c->cap[VM_CAP_PAUSE_EXIT])
		NEXT(c, i, rip);
	c->rip = rip;
	c->exit.exitcode = VM_EXITCODE_PAUSE;
	c->exit.rip = rip;
	c->exit.inst_length = i->len;
	c->exit_next_rip = next_rip(c, i, rip);
	c->leave = LEAVE_EXIT;
}

/* --- RDRAND, RDSEED: row argument 1 is RDSEED -------------------------- */

static uint8_t
host_random(bool seed, uint64_t *val)
{
	uint8_t ok;

	if (seed)
		__asm__ volatile("rdseed %0\n\tsetc %1"
				 : "=r"(*val), "=qm"(ok)
				 :
				 : "cc");
	else
		__asm__ volatile("rdrand %0\n\tsetc %1"
				 : "=r"(*val), "=qm"(ok)
				 :
				 : "cc");
	return ok;
}

static bool
rdrand(struct soft_cpu *c, const struct insn *i)
{
	bool seed = i->x & 1;
	struct cpuid_regs r;
	uint64_t val;
	uint8_t ok;

	cpuid_query(c, seed ? 7 : 1, 0, &r);
	if (!(seed ? r.ebx & BIT(18) : r.ecx & BIT(30)))
		return cpu_raise_ud(c);
	ok = host_random(seed, &val);
	/* A failure reads 0. */
	reg_set(c, i->r2, i->opsize, ok ? val : 0);
	c->cc = flags_to_cc(ok ? FL_CF : 0);
	return true;
}

void
sys_rdrand(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->rip = rip;
	if (!rdrand(c, i))
		return;
	NEXT(c, i, rip);
}

/* --- cache lines ------------------------------------------------------- */

static bool
clflush(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t gpa;

	/*
	 * A byte load for all checks, which must not reach a device; but the
	 * segment may be execute-only (SDM 2A CLFLUSH).
	 */
	if (!sys_ea(c, i, rip, 1, ACC_X))
		return false;
	return tlb_read_ptr(c, c->ea, 1) != NULL ||
	       mmu_translate(c, c->ea, ACC_R, &gpa);
}

void
sys_clflush(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!clflush(c, i, rip))
		return;
	NEXT(c, i, rip);
}

/* Hints: no address is looked at. */
void
sys_prefetch(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	NEXT(c, i, rip);
}

/* --- CPUID
 * ------------------------------------------------------------------------------
 */

static void
do_cpuid(struct soft_cpu *c)
{
	struct cpuid_regs r;

	cpuid_query(c, (uint32_t)c->gpr[R_RAX], (uint32_t)c->gpr[R_RCX], &r);
	c->gpr[R_RAX] = r.eax;
	c->gpr[R_RBX] = r.ebx;
	c->gpr[R_RCX] = r.ecx;
	c->gpr[R_RDX] = r.edx;
	vcpu_stat_add(c->stats, VMSTAT_VMEXIT_CPUID, 1);
}

void
sys_cpuid(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	do_cpuid(c);
	NEXT(c, i, rip);
}
