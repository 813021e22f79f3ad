/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * host.h - the host's half of the guest suite.
 *
 * A pair is a payload (payload/NAME.c) and what the host must set up, answer
 * and check for it.  Most need nothing special and are one line of a table; the
 * pairs of one group share a test of `meson test` and, usually, a payload.
 * Output is TAP and has no measured numbers in it, so that it is the same on
 * every engine.
 */
#ifndef TESTS_GUEST_HOST_H
#define TESTS_GUEST_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <util/lock.h>
#include <vmm/vm.h>
#include <vmmapi.h>

#include "common/proto.h"

struct acpi_pm;
struct guest;
struct pci_bus;
struct vm_engine_ops;

struct pair {
	const char *name;
	const char *payload;	     /* without .elf */
	unsigned int ncpus;	     /* 0: 1 */
	unsigned int machines;	     /* at the same time; 0: 1 */
	uint32_t param;		     /* GUEST_PARAM_OWN */
	unsigned int cores, threads; /* 0: 1 */
	bool strict_io, lenient_msr, hlt_exit, pause_exit, hlt_poll, x2apic;
	/* How the machine must end; NONE: powered off by the runtime. */
	enum vm_suspend_how end;
	bool aborts; /* it must end in an error instead */
	/* More ports, MMIO, devices; after the chips, before the payload. */
	void (*setup)(struct guest *);
	/* guest_call(); returns what the guest sees. */
	uint64_t (*call)(struct guest *, uint64_t which, uint64_t arg);
	/* Instead of vm_run_all(). */
	void (*run)(struct guest *);
	/* After the run: more results. */
	void (*check)(struct guest *);
};

struct pair_group {
	const char *name;
	const struct pair *pairs;
	size_t npairs;
};
extern const struct pair_group breaks_group, cpu_group, debug_group, ends_group,
    exits_group, fast_group, io_group, irq_group, lapic_group, ldt_group,
    legacy_group, paging_group, pci_group, platform_group, polls_group,
    ring3_group, rtc_group, smc_group, smp_group, strings_group, topology_group,
    two_group, task_group, v86_group, clock_group, litmus_group, mmio_group,
    virtio_group;

struct guest {
	const struct pair *pair;
	const struct vm_engine_ops *engine;
	struct vmctx *ctx;
	struct acpi_pm *pm;
	struct pci_bus *pci;
	struct lock lock; /* ports below */
	uint32_t param[GUEST_NPARAMS];
	uint32_t param_sel;
	bool ended; /* the runtime said so */
	enum vm_suspend_how how;
	unsigned int seen; /* a pair's own: bits, counts */
	uint64_t own[VM_EXITCODE_MAX];
};

/* One TAP line, "pair: name"; fmt explains a failure. */
void host_result(struct guest *, bool ok, const char *name, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));
void
host_check_eq(struct guest *, const char *name, uint64_t got, uint64_t want);
/* What this engine cannot do, and why. */
void host_skip(struct guest *, const char *name, const char *why);
/* Does this host's KVM emulate a guest's ring 0? */
bool host_emulates(void);
/* Sum of a counter over all vCPUs; enum vm_stat. */
uint64_t host_stat(struct guest *, int stat);
void
host_die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif /* TESTS_GUEST_HOST_H */
