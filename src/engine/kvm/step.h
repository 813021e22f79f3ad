/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * step.h - one instruction by the software CPU, on a kvm vCPU's state.
 */
#ifndef KVM_STEP_H
#define KVM_STEP_H

#include "kvm_priv.h"

/*
 * Executes the instruction at RIP.  0: done (an exception it raised is
 * delivered), or it was HLT; 1: *x is an exit for vm_run(); -errno: it cannot
 * be.
 */
int kvm_step(struct kvm_cpu *, struct vm_exit *x);
void kvm_step_free(struct kvm_cpu *);

#endif /* KVM_STEP_H */
