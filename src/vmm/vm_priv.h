/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm_priv.h - the insides of a machine and of a processor, for src/vmm only.
 *
 * Everything a machine owns hangs off struct vmctx: two machines in one process
 * share nothing but code.  Which lock guards what, and in which order locks are
 * taken: docs/locking.md.
 */
#ifndef VM_PRIV_H
#define VM_PRIV_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <util/cpuset.h>
#include <util/lock.h>
#include <util/util.h>
#include <vmm/bus.h>
#include <vmm/chip.h>
#include <vmm/engine.h>
#include <vmm/irq.h>
#include <vmm/mem.h>
#include <vmm/vcpu.h>
#include <vmm/vm.h>
#include <vmmapi.h>

/* vm_suspended() after vm_abort(): ended, and by none of the guest's ways. */
#define VM_SUSPEND_ABORTED VM_SUSPEND_LAST

/* --- buses --------------------------------------------------------------- */

#define PIO_NPORTS	65536u
#define PIO_GROUP_PORTS 256u
#define PIO_NGROUPS	(PIO_NPORTS / PIO_GROUP_PORTS)

struct pio_slot;
struct bus_pio {
	struct lock lock; /* writers only */
	/* PIO_GROUP_PORTS each, all atomic; NULL: unclaimed */
	struct pio_slot **group[PIO_NGROUPS];
	struct pio_slot *free; /* GUARDED_BY(lock) */
	struct pio_slot *all;  /* GUARDED_BY(lock) */
};

struct bus_mmio {
	pthread_rwlock_t lock;
	uint64_t gen;		  /* atomic; never 0; changes with the table */
	struct mmio_range *range; /* sorted by base */
	size_t n, cap;
};

struct bus_msr {
	pthread_rwlock_t lock;
	uint64_t gen;
	struct msr_range *range; /* sorted by first */
	size_t n, cap;
};

/* What a vCPU found last; valid while gen is the table's. */
#define MMIO_HITS 4
struct mmio_hit {
	uint64_t gen;
	struct mmio_range r;
};
struct msr_hit {
	uint64_t gen;
	struct msr_range r;
};

void bus_init(struct vmctx *);
void bus_fini(struct vmctx *);
void bus_pio_init(struct bus_pio *);
void bus_pio_fini(struct bus_pio *);
void bus_mmio_init(struct bus_mmio *);
void bus_mmio_fini(struct bus_mmio *);
void bus_msr_init(struct bus_msr *);
void bus_msr_fini(struct bus_msr *);
/* Tells the engine of a range whose writes may be late, with the bus locked. */
void bus_posted(struct vmctx *, bool pio, uint64_t addr, uint64_t len, bool on);

/* --- interrupts ---------------------------------------------------------- */

struct irq_state {
	struct lock lock;
	unsigned int count[IRQ_NGSI]; /* holders of each line */
	unsigned int api[IRQ_NGSI];   /* of which by vm_ioapic_assert_irq() */
	const struct irqchip_ops *ops;
	void *chip;
};
/* The gsi wired to an I/O APIC pin, or -1: pin 0 is the 8259's output. */
int irq_pin_to_gsi(int pin);

struct irqfd;
struct irqfd_state {
	struct lock lock;
	struct irqfd *head;
	uint32_t levels; /* atomic; GUARDED_BY(lock) to change */
};
void irqfd_reset(struct vmctx *); /* the chips were reset */
void irqfd_fini(struct vmctx *);  /* nothing comes any more */

/* --- processors ---------------------------------------------------------- */

enum vcpu_sleeping {
	VCPU_AWAKE,
	VCPU_ASLEEP,  /* in the futex `events` */
	VCPU_POLLING, /* looks at `events` all the time: nobody wakes it */
};

enum vcpu_wait {
	VCPU_WAIT_NONE,
	VCPU_WAIT_HALTED, /* HLT with RFLAGS.IF clear */
	VCPU_WAIT_SIPI,
};

struct vcpu {
	/* Polled by the engine at every instruction boundary. */
	uint32_t events;   /* atomic, also the futex word */
	uint32_t sleeping; /* atomic: enum vcpu_sleeping */
	int32_t running;   /* atomic: id of the thread in vm_run(), or 0 */
	struct vmctx *ctx;
	int id;
	void *engine_state;
	uint64_t last_rip; /* atomic */

	/* The vCPU's own thread only. */
	struct mmio_hit mmio_hit[MMIO_HITS];
	struct msr_hit msr_hit;
	bool restarted; /* the last exit's instruction will run again */

	const struct vcpu_intr_ops *intr;
	void *intr_apic;
	enum x2apic_state x2apic;

	enum vcpu_wait wait; /* GUARDED_BY(ctx->halt_lock) */

	/* Start-up: a SIPI for a vCPU nobody runs becomes a SPINUP_AP exit. */
	uint32_t sipi_vector;	/* atomic */
	uint32_t spinup;	/* atomic: requested, or already started */
	uint32_t spinup_vector; /* atomic */
	uint32_t init_latched;	/* atomic: INIT came before the thread */

	/* The run loop's. */
	pthread_t thread;
	bool has_thread; /* to be joined; only by who starts or joins it */

	uint64_t stats[VMSTAT_COUNT_];	    /* atomic, relaxed */
	uint64_t stats_told[VMSTAT_COUNT_]; /* the same: vm_get_stats()'s */
};

/* -EBUSY: another thread runs it, so an engine must not be asked. */
int vcpu_check(struct vcpu *) WARN_UNUSED;
/* The vCPU whose vm_run() this thread is in, or NULL. */
struct vcpu *vcpu_current(void);
/* VMSTAT_RUNTIME_NS := what the calling thread, in vm_run(), has used. */
void vcpu_stat_runtime(struct vcpu *);
/* Leave the set of processors that can be expected to do something. */
void vcpu_deactivate(struct vcpu *);
/* Suspends the machine when no active vCPU can ever wake. */
void vm_halt_check(struct vmctx *);
/* Fills a SPINUP_AP exit from the oldest request of `set`; false: none. */
bool vm_spinup_take(struct cpuset *set, struct vmctx *, struct vm_exit *);

/* --- holding (debug.c) --------------------------------------------------- */

struct vm_hold {
	struct lock lock;
	pthread_cond_t changed; /* parked, threads, held */
	struct cpuset held;	/* must not run */
	struct cpuset paused;	/* nor these: vm_suspend_cpu() */
	struct cpuset parked;	/* stand; GUARDED_BY(lock) to change */
	struct cpuset threads;	/* have a thread in vm_run_all() */
	bool all;		/* atomic: vm_hold_all() */
	bool clock_stopped;	/* the holder's */
	bool (*debugger)(struct vcpu *, const struct vm_exit *, void *arg);
	void *debugger_arg;
};
void vm_hold_init(struct vm_hold *);
void vm_hold_fini(struct vm_hold *);
/* The machine ended: nobody is held any more. */
void vm_hold_wake(struct vm_hold *);
/* In the vCPU's thread, before it enters the guest: stands while held. */
void vcpu_park(struct vcpu *);
/* A thread not of vm_run_all() is about to run a vCPU of vm_suspend_cpu(). */
bool vcpu_is_paused(struct vcpu *);
void vm_hold_thread_begins(struct vcpu *);
void vm_hold_thread_ends(struct vcpu *);
enum vmexit_verdict exit_debug(struct vmctx *, struct vcpu *, struct vm_exit *);

/* --- events -------------------------------------------------------------- */

struct evloop;
int evloop_create(struct evloop **ret_loop) WARN_UNUSED;
void evloop_destroy(struct evloop *);
void evloop_wake(struct evloop *);
void evloop_pause(struct evloop *); /* the clock stands still */
void evloop_resume(struct evloop *);
bool evloop_is_manual(const struct evloop *);

/* --- time-stamp counters ------------------------------------------------- */

struct vm_tsc;
/* Freed as a chip.  0 or -errno. */
int tsc_create(struct vmctx *) WARN_UNUSED;

/* --- the machine --------------------------------------------------------- */

struct vm_platform_opts;
struct vm_rtc_ops;
/* Makes the chips of a machine of vm_openf(), once.  0 or -errno. */
int vm_platform_ready(struct vmctx *) WARN_UNUSED;
void vm_platform_stop(struct vmctx *); /* ends the event thread */

struct chip_entry {
	const struct chip_ops *ops;
	void *chip;
	struct lock *lock;
};
void chips_fini(struct vmctx *);
void vm_mem_fini(struct vmctx *);
/* [gpa, gpa + len) of RAM was stored to, while ctx->dirty_on; len > 0. */
void vm_dirty_note(struct vmctx *, uint64_t gpa, size_t len);

struct vmctx {
	char name[VM_MAX_NAMELEN + 1];
	const struct vm_engine_ops *engine;
	void *engine_state;
	bool strict_io;

	struct vm_ram ram;
	bool ram_mappable; /* vm_map_gpa() may hand it out */
	int memflags;
	bool dirty_on;	 /* atomic; stores of ours go into `dirty` */
	uint64_t *dirty; /* words atomic; kept until RAM goes */
	uint32_t lowmem_limit;

	struct bus_pio pio;
	struct bus_mmio mmio;
	struct bus_msr msr;
	struct irq_state irq;
	struct irqfd_state irqfd;
	struct evloop *events;
	struct vm_tsc *tsc;

	struct chip_entry *chip;
	size_t nchips, chips_cap;

	struct lock lock; /* creation of vCPUs, topology */
	struct vm_topology topology;
	bool topology_fixed;
	bool hlt_poll; /* these two are written before there is a vCPU */
	size_t code_cache;
	enum vm_cpu_vendor cpu_vendor;
	vm_host_notify_fn host_notify; /* written before the run */
	void *host_notify_arg;
	struct vcpu *vcpu[VM_MAXCPU]; /* atomic */

	uint32_t suspended; /* atomic: enum vm_suspend_how */
	struct cpuset active;
	struct cpuset ended; /* vm_run() told them of the suspension */
	struct lock halt_lock;
	struct cpuset spinup;	    /* waiting for a vm_run() to report them */
	struct cpuset spinup_async; /* waiting for the event thread */

	/* vm_run_all() */
	struct vm_run_opts opts;
	uint32_t run_active;  /* atomic: the event thread takes spin-ups */
	uint32_t run_threads; /* atomic: vCPU threads not yet ended */
	struct vm_hold hold;

	/* vm_openf() */
	struct vmctx *next_open;
	unsigned int open_count; /* handles */
	bool by_name;		 /* in the list of open machines */
	bool permanent;		 /* vm_create()'s: outlives its handles */

	/* platform.c; `platform` is NULL in a machine of vm_new() */
	int (*platform)(struct vmctx *, const struct vm_platform_opts *,
	    const char **ret_part);
	struct lock platform_lock;
	int platform_state; /* atomic to read, platform_lock to change */
	int platform_err;   /* GUARDED_BY(platform_lock) */
	pthread_t event_thread;
	bool has_event_thread;
	bool event_stop; /* atomic */
	const struct vm_rtc_ops *rtc;
	void *rtc_chip;
	uint32_t hpet_capabilities; /* 0: no HPET */
};

/* A library function's answer for an internal one's: 0, or -1 with errno. */
int vm_api_result(int err);

/* Valid name of a machine? */
bool vm_name_ok(const char *name);
/* The list of machines that were opened by name in this process; locked. */
struct vmctx *vm_registry_get(const char *name);
void vm_registry_add(struct vmctx *);
void vm_registry_remove(struct vmctx *); /* its name is free; or it had none */
/* True: that was the last handle of a machine that goes with it. */
bool vm_registry_put(struct vmctx *);
void vm_registry_lock(void);
void vm_registry_unlock(void);

#endif /* VM_PRIV_H */
