/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm.h - making a machine from parts, and running it.
 *
 * For src/machine, src/ctl and tests.  Programs outside use vmmapi.h.
 */
#ifndef VMM_VM_H
#define VMM_VM_H

#include <stdbool.h>
#include <stdio.h>

#include <util/cpuset.h>
#include <vmmapi.h>

struct vm_engine_ops;

/* 0 or -errno.  Nothing global: any number of machines in one process. */
int vm_new(const char *name, const struct vm_engine_ops *engine,
    struct vmctx **ret_ctx);
const struct vm_engine_ops *vm_engine(const struct vmctx *);

/* --- behaviour switches, before the run --------------------------------- */

struct vm_run_opts {
	bool strict_io;	 /* -e: unclaimed port ends the VM */
	bool strict_msr; /* not -w: unknown MSR raises #GP */
	/*
	 * -H, -P: the instruction leaves the engine and is counted.  An engine
	 * that cannot do so sleeps in and counts HLT by itself; PAUSE is then
	 * not counted, and a line says so.
	 */
	bool hlt_exit, pause_exit;
	int pin_base;	    /* -p N: vCPU n on host CPU N + n; -1 none */
	int pin[VM_MAXCPU]; /* -p vcpu:hostcpu; -1 none; wins over pin_base */
	const char *title;  /* process title, NULL: leave */
	bool verbose_msr; /* x86.verbosemsr: say each access to unknown MSRs */
};
#define VM_RUN_OPTS_DEFAULT                                                    \
	{                                                                      \
		.strict_msr = true, .pin_base = -1,                            \
		.pin = { [0 ... VM_MAXCPU - 1] = -1 },                         \
	}

/* --- the run loop --------------------------------------------------------- */

enum vmexit_verdict {
	VMEXIT_CONTINUE, /* next instruction */
	VMEXIT_RESTART,	 /* the same instruction again */
	VMEXIT_ABORT,	 /* end, status 4 */
	VMEXIT_RESET,	 /* end, status 0 */
	VMEXIT_POWEROFF, /* end, status 1 */
};
typedef enum vmexit_verdict (*vmexit_handler)(
    struct vmctx *, struct vcpu *, struct vm_exit *);

/*
 * Run the machine: starts vCPU 0's thread (the others when the guest starts
 * them) and the event loop in the calling thread; returns when the machine
 * was suspended and every vCPU thread ended.  *ret_how says why;
 * VM_SUSPEND_NONE means an error that was logged.  0, or -errno when the run
 * could not even begin (logged).
 */
int vm_run_all(
    struct vmctx *, const struct vm_run_opts *, enum vm_suspend_how *ret_how);
/* End vm_run_all() with an error (status 4) from any thread. */
void vm_abort(struct vmctx *);

/*
 * The guest wrote `val` to port 0x488 (bhyve's host notify).  Called on the
 * vCPU's thread with the port's lock held; the write has no other effect.
 * Before the run; NULL: nobody is told, writes are counted all the same.
 */
typedef void (*vm_host_notify_fn)(
    struct vcpu *, uint32_t val, unsigned int bytes, void *arg);
void vm_set_host_notify(struct vmctx *, vm_host_notify_fn, void *arg);
void vm_host_notify(struct vcpu *, uint32_t val, unsigned int bytes);

/* A snapshot for people: where each vCPU executes, exits so far. */
struct vcpu_brief {
	bool active;
	bool halted;
	uint64_t rip;	/* last known */
	uint64_t exits; /* VMSTAT_VMEXIT_COUNT */
	uint64_t insns;
};
void vm_vcpu_brief(struct vmctx *, unsigned int id, struct vcpu_brief *);
void vm_print_stats(struct vmctx *, FILE *);

/* Exit status of the program for a way of ending (0 reset ... 4 error). */
int vm_exit_status(enum vm_suspend_how);

/* --- for tests: turn the event loop by hand ------------------------------ */

/*
 * One pass over what is ready; waits at most timeout_ms (-1: for ever).
 * Number of callbacks that ran, or -errno.
 */
int vm_event_poll(struct vmctx *, int timeout_ms);
/*
 * From here on vm_clock_ns() only moves by vm_clock_advance(), which also
 * fires the timers that become due, in order.
 */
void vm_clock_manual(struct vmctx *);
void vm_clock_advance(struct vmctx *, uint64_t ns);

#endif /* VMM_VM_H */
