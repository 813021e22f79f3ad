/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvm_priv.h - the insides of the kvm engine: one struct a machine, one a vCPU.
 *
 * The kernel has the processors, the local APICs, the I/O APIC, the 8259 pair
 * and the 8254; this room moves state in and out and answers exits (Linux
 * Documentation/virt/kvm/api.rst, "the API" below).
 *
 * Registers are cached: a group is fetched when it is asked for, changed in
 * the cache, and written back before the next entry.  Only the vCPU's thread,
 * or any while it does not run, touches struct kvm_cpu; what is atomic says so.
 */
#ifndef KVM_PRIV_H
#define KVM_PRIV_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <util/lock.h>
#include <util/util.h>
#include <vmm/debug.h>
#include <vmm/engine.h>
#include <vmm/vcpu.h>

/* What this host's KVM can do beyond what we cannot do without. */
struct kvm_features {
	/*
	 * VT-x or AMD-V is there; without, a guest's kernel is emulated, and
	 * the software CPU (step.c) must know what the guest uses.
	 */
	bool hardware;
	bool sync_regs; /* general registers in struct kvm_run */
	bool msr_exits; /* unknown MSRs come to us */
	bool msr_filter;
	bool failure_exits;	/* all that the emulator lacks comes to us */
	uint32_t disable_exits; /* KVM_X86_DISABLE_EXITS_*: HLT, PAUSE */
	bool halt_poll;		/* a halted vCPU can keep its CPU for a while */
	bool vcpu_attr;		/* a vCPU's TSC offset can be told and set */
	bool tsc_deadline;
	bool debugregs;
	bool binary_stats;
	bool sregs2;	/* PDPTEs can be read */
	bool block_irq; /* single steps with interrupts held back */
	/* What stops the guest for a debugger; found when it is wanted. */
	bool debug_known, exec_points, data_points, int3_exits;
	bool ioeventfd;
	bool any_length; /* ioeventfd without a width */
	bool irqfd, irqfd_resample;
	int coalesced; /* page of the ring in the run area; 0: none */
	bool coalesced_pio;
	int max_vcpus;
};

struct kvm_machine {
	struct vmctx *ctx;
	int sys_fd, fd;
	struct kvm_features has;
	size_t run_bytes; /* of the area shared with the kernel, per vCPU */
	uint32_t tsc_khz;
	bool x2apic;
	bool hlt_in_guest; /* HLT does not leave it */
	bool halts_kept;   /* whatever can be done for that was done */
	int broken;	   /* atomic: -errno of what must not have failed */
	struct kvm_cpuid2 *supported; /* KVM_GET_SUPPORTED_CPUID's */
	struct kvm_stats *stats;      /* where the vCPUs' counters are */
	struct kvm_chip *chip;
	struct kvm_watch *watch;
	struct kvm_message *messages; /* irqfd.c; or NULL */
	/* fast.c */
	struct lock late_lock;
	struct kvm_coalesced_mmio_ring *late; /* the kernel's; or NULL */
	struct kvm_cpu *late_of;	      /* whose run area that is in */
	uint32_t late_max;
	uint64_t *dirty; /* GUARDED_BY the callers: one at a time */
};

struct kvm_power_on; /* regs.c: what a reset goes back to */

/* One debug register of the host's: what it watches, for which point. */
struct kvm_dr {
	uint64_t gla;
	uint8_t size;
	unsigned int point;
};

struct kvm_cpu {
	struct kvm_machine *vm;
	struct vcpu *vcpu;
	int fd;
	struct kvm_run *run; /* shared with the kernel */

	/* The last exit's access is finished by the next KVM_RUN. */
	bool unfinished;
	bool finishing; /* in kvm_finish() */
	bool owes_exit; /* run's exit came while finishing: still to be told */
	uint64_t exit_rip; /* of the instruction that vm_run() reported */

	bool regs_valid, regs_dirty;   /* run->s.regs.regs */
	bool regs_asked;	       /* since the last entry */
	bool sregs_valid, sregs_dirty; /* sregs */
	struct kvm_sregs sregs;
	bool debugregs_valid, debugregs_dirty; /* debugregs */
	struct kvm_debugregs debugregs;
	struct kvm_power_on *power_on;

	uint64_t intinfo; /* vm_set_intinfo()'s, until the next entry */
	uint32_t
	    local_irqs; /* atomic: BIT(enum vm_lvt), vm_lapic_local_irq() */

	int cap[VM_CAP_MAX];
	bool own_tf; /* guestdbg.c: the guest's trap flag, under MTRAP_EXIT */
	struct vm_debug_point point[VM_DEBUG_POINTS_MAX];
	struct kvm_dr dr[4];
	unsigned int ndr;
	struct kvm_step
	    *step; /* step.c: the software CPU, when it was needed */

	/* watch.c */
	uint32_t asked, waits; /* atomic */
	uint64_t halted_rip;   /* at the last answer, with HLT in the guest */

	int stats_fd; /* stats.c */
};

static inline struct kvm_cpu *
kvm_cpu_of(struct vcpu *vcpu)
{
	return vcpu_engine_state(vcpu);
}

static inline struct kvm_machine *
kvm_machine_of(struct vmctx *ctx)
{
	return vm_engine_state(ctx);
}

/*
 * The one door to the kernel: the ioctl's value, or -errno.  EINTR comes back
 * only from KVM_RUN.  kvm_ioctl() logs a failure by the request's name, so the
 * caller need not; kvm_try() is for what may well fail.
 */
int kvm_ioctl(int fd, unsigned long request, void *arg);
int kvm_ioctl_val(int fd, unsigned long request, unsigned long arg);
int kvm_try(int fd, unsigned long request, void *arg);
/* KVM_RUN, as kvm_ioctl(), but EINTR and EAGAIN are no failures to log. */
int kvm_enter(int fd);
int kvm_try_val(int fd, unsigned long request, unsigned long arg);
/* A vCPU's struct kvm_run; MAP_FAILED with errno. */
struct kvm_run *kvm_map_run(int fd, size_t bytes);
/* What last failed in this thread. */
const char *kvm_failed_name(void);

/* --- probe.c: opening /dev/kvm ------------------------------------------- */

/* A descriptor, or -errno with a line that says what to do about it. */
int kvm_open(char *why, size_t why_len);
void kvm_find_features(int sys_fd, struct kvm_features *ret);
/*
 * Instructions a second of guest code in ring 0, from about a millisecond of
 * it. 0 or -errno.
 */
int kvm_measure(int sys_fd, uint64_t *ret_rate);
/* Fewer than this is a KVM that emulates. */
#define KVM_HARDWARE_RATE 50000000u
int kvm_probe(char *why, size_t why_len);
/* Do debug registers and INT3 stop a guest?  0, or -errno and said. */
int kvm_find_debug(int sys_fd, struct kvm_features *);

#define XSAVE_HEADER 512u /* SDM 1 13.4.2 */
#define XSAVE_REST   576u /* behind it */

/* --- regs.c --------------------------------------------------------------- */

#define RFLAGS_TF 0x100u

static inline bool
kvm_is_pdpte(unsigned int reg)
{
	return reg >= VM_REG_GUEST_PDPTE0 && reg <= VM_REG_GUEST_PDPTE3;
}

/* The general registers; NULL after a failure, which is logged. */
struct kvm_regs *kvm_regs(struct kvm_cpu *);
struct kvm_sregs *kvm_sregs(struct kvm_cpu *);
struct kvm_debugregs *kvm_debugregs(struct kvm_cpu *);
/* Before KVM_RUN, and before an ioctl that looks at registers.  0 or -errno. */
int kvm_regs_flush(struct kvm_cpu *);
/* After KVM_RUN: what is cached has changed. */
void kvm_regs_forget(struct kvm_cpu *);
uint64_t kvm_rip(struct kvm_cpu *);

int kvm_get_reg(struct vcpu *, enum vm_reg_name, uint64_t *ret_val);
int kvm_set_reg(struct vcpu *, enum vm_reg_name, uint64_t val);
int kvm_get_desc(struct vcpu *, enum vm_reg_name, struct seg_desc *ret);
int kvm_set_desc(struct vcpu *, enum vm_reg_name, const struct seg_desc *);
int kvm_get_xsave(struct vcpu *, uint8_t *buf);
int kvm_set_xsave(struct vcpu *, const uint8_t *buf);
int kvm_gla2gpa(struct vcpu *, uint64_t gla, uint64_t *ret_gpa);

/* --- inject.c ------------------------------------------------------------- */

int kvm_inject(struct vcpu *, int vector, bool has_errcode, uint32_t errcode,
    bool restart);
int kvm_set_intinfo(struct vcpu *, uint64_t info);
int kvm_get_intinfo(struct vcpu *, uint64_t *ret_info1, uint64_t *ret_info2);
/* Before an entry, while k->intinfo != 0: makes it what KVM delivers next. */
int kvm_intinfo_enter(struct kvm_cpu *);
/*
 * Who places a processor somewhere means it to run: one that waits for its
 * start-up message, or is halted, stops waiting.
 */
int kvm_stop_waiting(struct kvm_cpu *);

/* --- reset.c -------------------------------------------------------------- */

/* Zeros, with nmsrs set; NULL: no memory.  free() it. */
struct kvm_msrs *kvm_msrs_alloc(uint32_t n);

/* Notes the state that KVM gives a new vCPU. */
int kvm_power_on_save(struct kvm_cpu *);
void kvm_power_on_free(struct kvm_cpu *);
int kvm_vcpu_reset(struct vcpu *);

/* --- cpuid.c -------------------------------------------------------------- */

int kvm_cpuid_set(struct kvm_cpu *);
/* Whose processors this host has. */
enum vm_cpu_vendor kvm_cpuid_vendor(void);

/* --- irqchip.c ------------------------------------------------------------ */

#define PIC_PINS 8u /* of one 8259 */

/* In the kernel, before any vCPU.  0 or -errno. */
int kvm_irqchip_make(struct kvm_machine *);
void kvm_irqchip_free(struct kvm_machine *);
int kvm_irqchip_create(struct vmctx *, bool x2apic);
/* In the vCPU's thread: vm_lapic_local_irq() posted VCPU_EV_ENGINE.  -errno. */
int kvm_local_irqs(struct kvm_cpu *);
int kvm_pit_create(struct vmctx *);

/* --- irqfd.c: the table of routes ----------------------------------------- */

struct vm_irqfd;
int kvm_set_routes(struct kvm_machine *);
/* irqchip_ops.irqfd_set. */
int kvm_irqfd_set(struct kvm_machine *, const struct vm_irqfd *, bool on);

/* --- run.c ---------------------------------------------------------------- */

int kvm_vcpu_run(struct vcpu *, struct vm_exit *);
void kvm_vcpu_kick(struct vcpu *);
int kvm_kick_init(void);
/*
 * Ends what the last exit began (a port read's register, the step to the next
 * instruction) without running the guest.  0 or -errno.
 */
int kvm_finish(struct kvm_cpu *);

/* --- fast.c: exits that need not be -------------------------------------- */

void kvm_fast_init(struct kvm_machine *);
void kvm_fast_fini(struct kvm_machine *);
/* A vCPU comes, or goes: every run area has the machine's ring in it. */
void kvm_late_map(struct kvm_cpu *);
void kvm_late_unmap(struct kvm_cpu *);
/* Posted writes to their devices, on the vCPU's thread. */
void kvm_late_drain(struct kvm_cpu *);
static inline void
kvm_late(struct kvm_cpu *k)
{
	const struct kvm_coalesced_mmio_ring *r = k->vm->late;

	/* The kernel fills in, then moves `last`; acquire pairs with that. */
	if (r != NULL && __atomic_load_n(&r->last, __ATOMIC_ACQUIRE) !=
			     __atomic_load_n(&r->first, __ATOMIC_RELAXED))
		kvm_late_drain(k);
}
int kvm_ioevent_set(struct vmctx *, const struct vm_ioevent *, bool on);
void
kvm_posted_set(struct vmctx *, bool pio, uint64_t addr, uint64_t len, bool on);
int kvm_set_slots(struct kvm_machine *, uint32_t flags);
int kvm_dirty_log(struct vmctx *, bool on);
int kvm_dirty_fetch(struct vmctx *, uint64_t *bits);

/* --- watch.c: all halted? ------------------------------------------------- */

int kvm_watch_start(struct kvm_machine *);
void kvm_watch_stop(struct kvm_machine *);
/* In the vCPU's thread, out of the guest: is it halted for good? */
void kvm_watch_answer(struct kvm_cpu *);

/* --- stats.c -------------------------------------------------------------- */

/* Without them our own counters are all there is. */
void kvm_stats_open(struct kvm_cpu *);
void kvm_stats_close(struct kvm_cpu *);
uint64_t kvm_vcpu_stats(struct vcpu *, uint64_t *val);

/* --- guestdbg.c ----------------------------------------------------------- */

int kvm_set_debug(struct vcpu *, const struct vm_debug_point *, unsigned int n);
/* Whether INT3 can exit: 0, -ENOTSUP or another. */
int kvm_debug_check_int3(struct kvm_cpu *);
/* Capabilities or points changed. */
int kvm_debug_update(struct kvm_cpu *);
/* VM_CAP_MTRAP_EXIT.  0 or -errno. */
int kvm_debug_set_step(struct kvm_cpu *, bool on);
/* Fills the exit; false: nothing for anybody, go on. */
bool kvm_exit_debug(struct kvm_cpu *, struct vm_exit *);
/* The exit was at an INT3 that the debugger wants to see: *x is filled. */
bool kvm_debug_int3(struct kvm_cpu *, struct vm_exit *x);
/* Code at RIP: how many bytes, fewer where a page ends; 0: none to be had. */
size_t kvm_fetch_code(
    struct kvm_cpu *, uint64_t rip, uint8_t *code, size_t max, bool *ret_long);
/* Before an entry under VM_CAP_MTRAP_EXIT.  True: no entry, *x is filled. */
bool kvm_debug_step(struct kvm_cpu *, struct vm_exit *x);

#endif /* KVM_PRIV_H */
