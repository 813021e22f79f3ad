/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * debug.h - holding vCPUs still, and what a debugger plugs into a machine.
 *
 * A held vCPU's thread stands between two instructions, where anyone may use
 * its registers.  One thread at a time plays debugger; it is no vCPU's.
 */
#ifndef VMM_DEBUG_H
#define VMM_DEBUG_H

#include <stdbool.h>
#include <stdint.h>

#include <util/util.h>
#include <vmmapi.h>

/*
 * Holds every vCPU and waits until none executes guest code; those that start
 * later stand before their first instruction.  Then the machine's clock stops.
 * Does nothing when all are held.  A machine that ends lets them go.
 */
void vm_hold_all(struct vmctx *);
/* The clock goes on, then all vCPUs. */
void vm_release_all(struct vmctx *);
/* This one alone goes on, with the clock still stopped: for single steps. */
void vm_release_one(struct vcpu *);
bool vm_is_held(struct vmctx *); /* by vm_hold_all() */

/* A place to stop at: guest-linear, whatever address space is current. */
enum vm_debug_kind {
	VM_DEBUG_EXEC,	/* before the instruction */
	VM_DEBUG_WRITE, /* after it */
	VM_DEBUG_READ,
	VM_DEBUG_ACCESS,
};
struct vm_debug_point {
	enum vm_debug_kind kind;
	uint64_t gla;
	uint64_t len; /* bytes; of VM_DEBUG_EXEC: 1 */
};
#define VM_DEBUG_POINTS_MAX 16

/*
 * All vCPUs stop there with VM_EXITCODE_DB from now on; n = 0: nowhere.
 * All held, or not running.  0, -ENOSPC or -ENOTSUP.
 */
int vm_set_debug_points(
    struct vmctx *, const struct vm_debug_point *, unsigned int n) WARN_UNUSED;

/*
 * Told of MTRAP, BPT and DB exits, in the vCPU's thread with no lock held.
 * True: the vCPU is now held, alone; false: not the debugger's, go on.  A BPT
 * that is not the debugger's becomes the guest's #BP.
 */
typedef bool (*vm_debug_exit_fn)(
    struct vcpu *, const struct vm_exit *, void *arg);
/* While nobody runs guest code; NULL: no debugger. */
void vm_set_debugger(struct vmctx *, vm_debug_exit_fn, void *arg);

/*
 * The FPU, SSE and AVX registers as an XSAVE area in standard format (SDM 1,
 * 13.4): legacy region, header, YMM at 576.  Components the guest's processor
 * does not have are left out of XSTATE_BV.
 */
#define VM_XSAVE_BYTES 832u
int vm_get_xsave(struct vcpu *, uint8_t buf[VM_XSAVE_BYTES]) WARN_UNUSED;
int vm_set_xsave(struct vcpu *, const uint8_t buf[VM_XSAVE_BYTES]) WARN_UNUSED;

#endif /* VMM_DEBUG_H */
