/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine.h - the contract between the machine and whatever runs guest code.
 *
 * An engine runs one vCPU until something happens that the machine cannot
 * finish in place.  Ports, MMIO and MSRs go through vmm/bus.h, interrupts come
 * through vmm/irq.h, so an engine never sees a device and a device never sees
 * an engine.
 */
#ifndef VMM_ENGINE_H
#define VMM_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <util/util.h>
#include <vmmapi.h>

struct vm_debug_point;
struct vm_ioevent;

/* It works, but only who asks for it by name would want it. */
#define VM_ENGINE_SLOW 1

/*
 * All members are mandatory, but for what says otherwise.  vcpu_* calls other
 * than vcpu_kick come from the vCPU's thread, or from any thread while it does
 * not run.  Return 0 or -errno.
 */
struct vm_engine_ops {
	const char *name;    /* as given to -E */
	const char *summary; /* one line for --help */
	/*
	 * The engine itself keeps a processor that is halted or waits for its
	 * start-up message, like FreeBSD's vmm with its APICs: every vCPU's
	 * thread runs from the beginning, and vm_run() reports no HLT and no
	 * SPINUP_AP.
	 */
	bool keeps_idle;
	/*
	 * Can this host run it?  0, VM_ENGINE_SLOW, or -errno, with the reason
	 * in one line.  `why` is also set on success when it is worth telling.
	 */
	int (*probe)(char *why, size_t why_len);

	int (*vm_create)(struct vmctx *);
	void (*vm_destroy)(struct vmctx *);
	/* Guest RAM was set up (vm_ram() is valid from here on). */
	int (*mem_setup)(struct vmctx *);
	/* Someone other than a vCPU stored to [gpa, gpa+len).  Any thread. */
	void (*mem_written)(struct vmctx *, uint64_t gpa, size_t len);

	/*
	 * The engine's own interrupt controllers and 8254 (vmm/irq.h); NULL:
	 * the machine has chips for them.
	 */
	int (*irqchip_create)(struct vmctx *, bool x2apic);
	int (*pit_create)(struct vmctx *);

	/* The guest knows it by vcpu_apic_id() (vmm/topology.h). */
	int (*vcpu_create)(struct vcpu *);
	void (*vcpu_destroy)(struct vcpu *);
	/* State after power-on (bhyve's vcpu_reset, docs/bhyve.md 2.4). */
	int (*vcpu_reset)(struct vcpu *);
	int (*vcpu_run)(struct vcpu *, struct vm_exit *);
	/* Make vcpu_run notice vcpu_events() soon.  Any thread. */
	void (*vcpu_kick)(struct vcpu *);
	/*
	 * Optional: what the engine counts by itself, by enum vm_stat.  Bit n
	 * of the value: val[n] is set, and stands for the core's own.  Any
	 * thread.
	 */
	uint64_t (*vcpu_stats)(struct vcpu *, uint64_t *val);

	int (*get_reg)(struct vcpu *, enum vm_reg_name, uint64_t *ret_val);
	int (*set_reg)(struct vcpu *, enum vm_reg_name, uint64_t val);
	int (*get_desc)(struct vcpu *, enum vm_reg_name, struct seg_desc *ret);
	int (*set_desc)(
	    struct vcpu *, enum vm_reg_name, const struct seg_desc *);
	/* -ENOTSUP for what the engine cannot do. */
	int (*get_cap)(struct vcpu *, enum vm_cap_type, int *ret_val);
	int (*set_cap)(struct vcpu *, enum vm_cap_type, int val);
	int (*inject)(struct vcpu *, int vector, bool has_errcode,
	    uint32_t errcode, bool restart);
	/* vm_restart_instruction(): undo the advance past the last exit. */
	int (*restart_insn)(struct vcpu *);
	int (*gla2gpa)(struct vcpu *, uint64_t gla, uint64_t *ret_gpa);
	/* vmm/debug.h: a debugger's breakpoints; FPU and vector registers. */
	int (*set_debug)(
	    struct vcpu *, const struct vm_debug_point *, unsigned int n);
	int (*get_xsave)(struct vcpu *, uint8_t *buf);
	int (*set_xsave)(struct vcpu *, const uint8_t *buf);
	/*
	 * vm_set/get_intinfo() of vmmapi.h, checked.  Optional: without them
	 * the calls are ENOTSUP.
	 */
	int (*set_intinfo)(struct vcpu *, uint64_t info);
	int (*get_intinfo)(
	    struct vcpu *, uint64_t *ret_info1, uint64_t *ret_info2);

	/*
	 * Short ways, each NULL where the engine has none.  Any thread, the
	 * machine running or not; the caller sees to it that calls for the
	 * same address do not meet.
	 *
	 * bus_ioevent(); and writes to a range that may be late (vmm/bus.h).
	 */
	int (*ioevent_set)(struct vmctx *, const struct vm_ioevent *, bool on);
	void (*posted_set)(
	    struct vmctx *, bool pio, uint64_t addr, uint64_t len, bool on);
	/*
	 * vm_dirty_start() and its kin: note what the guest stores from here
	 * on; add the pages to `bits` and forget them.
	 */
	int (*dirty_log)(struct vmctx *, bool on);
	int (*dirty_fetch)(struct vmctx *, uint64_t *bits);
};

/* All engines in order of preference; src/engine/table.c. */
extern const struct vm_engine_ops *const vm_engine_table[];
extern const size_t vm_engine_table_len;

#endif /* VMM_ENGINE_H */
