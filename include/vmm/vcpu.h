/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vcpu.h - what the core and an engine share about one processor: the event
 * word, sleeping, counters, and the engine's own state pointer.
 */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include <stdbool.h>
#include <stdint.h>

#include <vmmapi.h>

/*
 * Bits of the event word.  Set by any thread (atomically, sequentially
 * consistent, followed by a kick), taken by the vCPU's own thread at
 * instruction boundaries.
 */
#define VCPU_EV_INTR 0x01u /* ask the local APIC again */
#define VCPU_EV_NMI  0x02u
#define VCPU_EV_INIT 0x04u
#define VCPU_EV_SIPI 0x08u /* vector in vcpu_sipi_vector() */
#define VCPU_EV_STOP                                                           \
	0x10u		     /* leave vm_run(): SUSPENDED if the machine is    \
				suspended, else BOGUS */
#define VCPU_EV_ENGINE 0x20u /* the engine's own use */

/* The thread that is in vm_run(), or 0; gettid(2).  Any thread. */
int32_t vcpu_tid(struct vcpu *);
/* Processor time of that thread so far, in nanoseconds; 0: there is none. */
uint64_t vcpu_cpu_ns(struct vcpu *);

/* The event word; an engine may cache the pointer. */
uint32_t *vcpu_events(struct vcpu *);
/* Set bits from any thread, kick a running vCPU, wake a sleeping one. */
void vcpu_post(struct vcpu *, uint32_t bits);
/* Clear `bits`; returns those of them that were set. */
uint32_t vcpu_take(struct vcpu *, uint32_t bits);
uint8_t vcpu_sipi_vector(struct vcpu *);

/*
 * For vm_vcpu_brief(): where the vCPU is.  An engine calls it now and then
 * from the vCPU's thread (exits, polls of the event word); it is one store.
 */
void vcpu_publish_rip(struct vcpu *, uint64_t rip);

/*
 * Sleep until the event word is non-zero; with vm_hlt_poll() watch it instead,
 * and keep the host's CPU.  `intr_enabled` is RFLAGS.IF at the HLT: when every
 * active vCPU sleeps with interrupts disabled nothing but NMI or INIT could
 * wake the machine, and the core suspends it with VM_SUSPEND_HALT (status 2).
 * Counts idle time.
 */
void vcpu_sleep_halted(struct vcpu *, bool intr_enabled);
/*
 * As above for a vCPU that waits for INIT/SIPI.  It never counts as halted; it
 * does not keep the others, all halted, from ending the machine either.
 */
void vcpu_sleep_wait_sipi(struct vcpu *);

/*
 * How the machine was suspended, VM_SUSPEND_NONE while it runs, VM_SUSPEND_LAST
 * after vm_abort().
 */
enum vm_suspend_how vm_suspended(struct vmctx *);

/* Per-engine state. */
void vcpu_set_engine_state(struct vcpu *, void *);
void *vcpu_engine_state(struct vcpu *);
void vm_set_engine_state(struct vmctx *, void *);
void *vm_engine_state(struct vmctx *);

/* vCPUs that exist; NULL for a number never opened. */
struct vcpu *vm_vcpu_get(struct vmctx *, unsigned int id);
unsigned int vm_ncpus(struct vmctx *); /* as configured, vm_topology_set() */

/*
 * Processors and how the guest sees them arranged: sockets * cores * threads
 * must equal ncpus.  Before the first vm_vcpu_open().
 */
struct vm_topology {
	uint16_t ncpus, sockets, cores, threads;
};
int vm_topology_set(struct vmctx *, const struct vm_topology *);
const struct vm_topology *vm_topology_get(struct vmctx *);

/* Whose processors the guest's CPUID names; the engine's vm_create says it. */
enum vm_cpu_vendor { VM_CPU_OTHER, VM_CPU_INTEL, VM_CPU_AMD };
void vm_set_cpu_vendor(struct vmctx *, enum vm_cpu_vendor);
enum vm_cpu_vendor vm_cpu_vendor(const struct vmctx *);

/*
 * x86.vmexit_on_hlt=false: a halted vCPU keeps its host CPU, so that an
 * interrupt finds it awake.  An engine with a HLT of its own (kvm) leaves the
 * guest in it; the end by HLT with interrupts disabled stays.  Set before the
 * first vm_vcpu_open(), else -EBUSY.
 */
int vm_set_hlt_poll(struct vmctx *, bool on);
bool vm_hlt_poll(const struct vmctx *);

/*
 * soft.code_cache: how much decoded code the software CPU keeps for a vCPU, in
 * bytes; 0 is its own choice.  Before the first vm_vcpu_open(), else -EBUSY.
 */
int vm_set_code_cache(struct vmctx *, size_t bytes);
size_t vm_code_cache(const struct vmctx *);
#define VM_CODE_CACHE_MIN (64u << 10)
#define VM_CODE_CACHE_MAX (1u << 30)

/*
 * The guest's time-stamp counter: any thread reads it.  It starts near 0 when
 * the machine is made, stands while that is paused, and follows a manual clock
 * exactly.  IA32_TSC and IA32_TSC_ADJUST are the core's MSRs.
 */
uint64_t vcpu_rdtsc(struct vcpu *);
uint64_t vm_tsc_hz(struct vmctx *);
/* When vcpu_rdtsc() gets to `tsc`: now if it has, UINT64_MAX if never. */
uint64_t vcpu_tsc_to_clock_ns(struct vcpu *, uint64_t tsc);
/*
 * For an engine that cannot afford the call: vcpu_rdtsc() is the host's RDTSC
 * - *base + *offset while the vCPU runs.  False under a manual clock.
 */
struct vcpu_tsc_source {
	const uint64_t *base, *offset;
};
bool vcpu_tsc_source(struct vcpu *, struct vcpu_tsc_source *ret_src);
/* `fn` is told, on the vCPU's thread, when the guest moved its counter. */
void vcpu_tsc_on_change(struct vcpu *, void (*fn)(void *arg), void *arg);

/*
 * Counters (docs/bhyve.md 2.6).  Only the vCPU's own thread adds.  The core
 * counts what it sees: INOUT, MMIO, RDMSR, WRMSR (accesses that reached the
 * bus), what vm_run() returns (USERSPACE, and HLT, PAUSE, MTRAP among it), each
 * also as VMEXIT_COUNT, RUNTIME_NS and IDLE_NS.  An engine counts the rest, an
 * HLT that it sleeps through included.
 */
enum vm_stat {
	VMSTAT_VMEXIT_COUNT,
	VMSTAT_VMEXIT_EXTINT,
	VMSTAT_VMEXIT_HLT,
	VMSTAT_VMEXIT_CR_ACCESS,
	VMSTAT_VMEXIT_RDMSR,
	VMSTAT_VMEXIT_WRMSR,
	VMSTAT_VMEXIT_MTRAP,
	VMSTAT_VMEXIT_PAUSE,
	VMSTAT_VMEXIT_INTR_WINDOW,
	VMSTAT_VMEXIT_NMI_WINDOW,
	VMSTAT_VMEXIT_INOUT,
	VMSTAT_VMEXIT_CPUID,
	VMSTAT_VMEXIT_NESTED_FAULT,
	VMSTAT_VMEXIT_MMIO,
	VMSTAT_VMEXIT_UNKNOWN,
	VMSTAT_VMEXIT_USERSPACE,
	VMSTAT_VMEXIT_EXCEPTION,
	VMSTAT_VLAPIC_EOI_SPURIOUS,
	VMSTAT_VLAPIC_ERROR_INTR,
	VMSTAT_VLAPIC_TIMER_INTR,
	VMSTAT_VLAPIC_IPIS_SENT,
	VMSTAT_RUNTIME_NS, /* of the host's CPU, as of the last exit or sleep */
	VMSTAT_IDLE_NS,
	VMSTAT_NMIS_DELIVERED,
	VMSTAT_EXTINTS_DELIVERED,
	/* ours */
	VMSTAT_IRQS_DELIVERED, /* engine kvm */
	VMSTAT_INSNS,	       /* guest instructions, engine soft */
	VMSTAT_BLOCKS_BUILT,   /* decoded blocks made */
	VMSTAT_BLOCKS_KEPT,    /* ... saved from the old half of the cache */
	VMSTAT_CODE_TURNS,     /* ... whose halves changed roles */
	VMSTAT_TLB_FILLS,
	VMSTAT_CODE_INVAL,    /* self-modifying code seen */
	VMSTAT_HOST_NOTIFY,   /* writes to port 0x488 */
	VMSTAT_INSNS_STEPPED, /* done by the software CPU for another engine */
	VMSTAT_COUNT_
};
/* The core's own, VMSTAT_COUNT_ of them; to be added to. */
uint64_t *vcpu_stats(struct vcpu *);
/* With what the engine counts by itself.  Any thread. */
void vcpu_stats_read(struct vcpu *, uint64_t ret[VMSTAT_COUNT_]);
static inline void
vcpu_stat_add(uint64_t *stats, enum vm_stat s, uint64_t n)
{
	__atomic_store_n(&stats[s],
	    __atomic_load_n(&stats[s], __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

#endif /* VMM_VCPU_H */
