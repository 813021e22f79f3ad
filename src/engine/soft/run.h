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
/*
 * For tests: run at most `max` blocks in the ordinary way, without looking at
 * events, until an exception is recorded (it stays in c->exc) or something
 * leaves the CPU (c->leave).
 */
void soft_run_until_exception(struct soft_cpu *c, unsigned int max);

#endif /* ENGINE_SOFT_RUN_H */
