/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * step.h - one instruction by the software CPU, for an engine that met one it
 * cannot execute.
 *
 * The whole state goes in and comes out; nothing is kept between two steps,
 * since the other engine changed memory and page tables meanwhile.  Exceptions
 * of the instruction are delivered, too, through the guest's IDT.  Ports, MMIO
 * and unknown MSRs go to the bus of the vCPU's machine.
 *
 * Only on the vCPU's thread.
 */
#ifndef VMM_STEP_H
#define VMM_STEP_H

#include <stdint.h>

#include <util/util.h>
#include <vmm/debug.h>
#include <vmmapi.h>

/* MSRs that instructions use by themselves. */
#define STEP_NMSRS 9
extern const uint32_t step_msr_table[STEP_NMSRS];

struct step_state {
	uint64_t reg[VM_REG_LAST];	   /* as vm_get_register() */
	struct seg_desc desc[VM_REG_LAST]; /* of those that have one */
	uint64_t msr[STEP_NMSRS];	   /* step_msr_table's */
	uint64_t xcr0;
	bool nmi_masked;
	uint8_t xsave[VM_XSAVE_BYTES];
};

enum step_result {
	STEP_DONE,
	STEP_HALT,     /* it was HLT */
	STEP_SHUTDOWN, /* its exceptions ended in a triple fault */
	STEP_EXIT,     /* *ret_exit is for vm_run() */
	STEP_REFUSED,  /* the software CPU has not the guest's mode */
};

struct step_cpu;
/* 0 or -errno.  After vm_setup_memory(). */
int step_create(struct vcpu *, struct step_cpu **ret_cpu) WARN_UNUSED;
void step_destroy(struct step_cpu *); /* NULL is allowed */
/* What has been asked of a debugger's exits: VM_CAP_BPT_EXIT. */
enum step_result step_run(struct step_cpu *, struct step_state *, bool bpt_exit,
    struct vm_exit *ret_exit) WARN_UNUSED;

#endif /* VMM_STEP_H */
