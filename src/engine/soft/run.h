/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run.h - the loop around the blocks.
 */
#ifndef ENGINE_SOFT_RUN_H
#define ENGINE_SOFT_RUN_H

#include "cpu.h"

/* Runs until c->exit is filled for vm_run(). */
void soft_run(struct soft_cpu *c);

/*
 * For tests: execute one instruction at c->rip, without looking at events;
 * an exception stays recorded in c->exc.  VM_CAP_MTRAP_EXIT must be set.
 */
void soft_step(struct soft_cpu *c);

#endif /* ENGINE_SOFT_RUN_H */
