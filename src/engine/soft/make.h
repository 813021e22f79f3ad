/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * make.h - a software CPU and what its machine shares, made for the engine
 * (engine.c) and for another engine's service (step.c).  Ordinary C.
 */
#ifndef ENGINE_SOFT_MAKE_H
#define ENGINE_SOFT_MAKE_H

#include "cpu.h"

/* All but smc_create(), which needs RAM.  *vm is zeros.  0 or -errno. */
int soft_vm_init(struct soft_vm *vm, struct vmctx *ctx) WARN_UNUSED;
void soft_vm_fini(struct soft_vm *vm);

/* In its state after power-on, and in vm->cpu[].  0 or -errno. */
int soft_cpu_create(struct soft_vm *vm, struct vcpu *vcpu, uint32_t *events,
    uint64_t *stats, struct soft_cpu **ret_cpu) WARN_UNUSED;
void soft_cpu_destroy(struct soft_cpu *c); /* NULL is allowed */

#endif /* ENGINE_SOFT_MAKE_H */
