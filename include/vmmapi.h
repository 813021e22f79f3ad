/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmmapi.h - libvmmapi: a virtual machine as a library.
 *
 * The names, numbers and meanings are those of FreeBSD's libvmmapi (with
 * vCPU handles, as it has today), so that a program written for it needs
 * little change.  Functions return 0, or -1 with errno set, unless noted.
 * A handle may be used from any thread; vm_run() from one thread per vCPU.
 */
#ifndef VMMAPI_H
#define VMMAPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vmctx; /* a virtual machine */
struct vcpu;  /* one of its processors */

#define VM_MAXCPU      64
#define VM_MAX_NAMELEN 32

typedef uint64_t vm_paddr_t; /* guest-physical address */

/* Register names, in FreeBSD's order. */
enum vm_reg_name {
	VM_REG_GUEST_RAX,
	VM_REG_GUEST_RBX,
	VM_REG_GUEST_RCX,
	VM_REG_GUEST_RDX,
	VM_REG_GUEST_RSI,
	VM_REG_GUEST_RDI,
	VM_REG_GUEST_RBP,
	VM_REG_GUEST_R8,
	VM_REG_GUEST_R9,
	VM_REG_GUEST_R10,
	VM_REG_GUEST_R11,
	VM_REG_GUEST_R12,
	VM_REG_GUEST_R13,
	VM_REG_GUEST_R14,
	VM_REG_GUEST_R15,
	VM_REG_GUEST_CR0,
	VM_REG_GUEST_CR3,
	VM_REG_GUEST_CR4,
	VM_REG_GUEST_DR7,
	VM_REG_GUEST_RSP,
	VM_REG_GUEST_RIP,
	VM_REG_GUEST_RFLAGS,
	VM_REG_GUEST_ES,
	VM_REG_GUEST_CS,
	VM_REG_GUEST_SS,
	VM_REG_GUEST_DS,
	VM_REG_GUEST_FS,
	VM_REG_GUEST_GS,
	VM_REG_GUEST_LDTR,
	VM_REG_GUEST_TR,
	VM_REG_GUEST_IDTR,
	VM_REG_GUEST_GDTR,
	VM_REG_GUEST_EFER,
	VM_REG_GUEST_CR2,
	VM_REG_GUEST_PDPTE0,
	VM_REG_GUEST_PDPTE1,
	VM_REG_GUEST_PDPTE2,
	VM_REG_GUEST_PDPTE3,
	VM_REG_GUEST_INTR_SHADOW,
	VM_REG_GUEST_DR0,
	VM_REG_GUEST_DR1,
	VM_REG_GUEST_DR2,
	VM_REG_GUEST_DR3,
	VM_REG_GUEST_DR6,
	VM_REG_GUEST_CR8,
	VM_REG_LAST
};

/* Hidden part of a segment register; `access` as in bhyve (VMX format). */
struct seg_desc {
	uint64_t base;
	uint32_t limit;
	uint32_t access;
};
#define SEG_DESC_TYPE(a)     ((a)&0x1f) /* type 3:0 with S in bit 4 */
#define SEG_DESC_DPL(a)	     (((a) >> 5) & 3)
#define SEG_DESC_PRESENT(a)  (((a)&0x0080) != 0)
#define SEG_DESC_L(a)	     (((a)&0x2000) != 0)
#define SEG_DESC_DEF32(a)    (((a)&0x4000) != 0)
#define SEG_DESC_GRAN(a)     (((a)&0x8000) != 0)
#define SEG_DESC_UNUSABLE(a) (((a)&0x10000) != 0)

enum vm_cap_type {
	VM_CAP_HALT_EXIT,
	VM_CAP_MTRAP_EXIT,
	VM_CAP_PAUSE_EXIT,
	VM_CAP_UNRESTRICTED_GUEST,
	VM_CAP_ENABLE_INVPCID,
	VM_CAP_BPT_EXIT,
	VM_CAP_MASK_HWINTR, /* interrupts and NMIs wait: single steps */
	VM_CAP_MAX
};

enum x2apic_state { X2APIC_DISABLED, X2APIC_ENABLED, X2APIC_STATE_LAST };

enum vm_suspend_how {
	VM_SUSPEND_NONE,
	VM_SUSPEND_RESET,
	VM_SUSPEND_POWEROFF,
	VM_SUSPEND_HALT,
	VM_SUSPEND_TRIPLEFAULT,
	VM_SUSPEND_LAST
};

/* Why vm_run() came back; numbers as in FreeBSD. */
enum vm_exitcode {
	VM_EXITCODE_INOUT = 0, /* port nobody claims, under strict I/O */
	VM_EXITCODE_VMX = 1,   /* the engine failed (Intel's name) */
	VM_EXITCODE_BOGUS = 2, /* kicked: run again */
	VM_EXITCODE_RDMSR = 3, /* MSR nobody claims */
	VM_EXITCODE_WRMSR = 4,
	VM_EXITCODE_HLT = 5,	   /* only with VM_CAP_HALT_EXIT */
	VM_EXITCODE_MTRAP = 6,	   /* one instruction done, VM_CAP_MTRAP_EXIT */
	VM_EXITCODE_PAUSE = 7,	   /* only with VM_CAP_PAUSE_EXIT */
	VM_EXITCODE_PAGING = 8,	   /* never returned: engines resolve it */
	VM_EXITCODE_INST_EMUL = 9, /* memory access that cannot be resolved */
	VM_EXITCODE_SPINUP_AP =
	    10, /* first SIPI for a vCPU: start its thread */
	VM_EXITCODE_SPINDOWN_CPU = 11,
	VM_EXITCODE_RENDEZVOUS = 12, /* never returned */
	VM_EXITCODE_IOAPIC_EOI = 13, /* never returned */
	VM_EXITCODE_SUSPENDED = 14,  /* vm_suspend() was called */
	VM_EXITCODE_INOUT_STR = 15,  /* never returned: done in place */
	VM_EXITCODE_TASK_SWITCH = 16,
	VM_EXITCODE_MONITOR = 17,
	VM_EXITCODE_MWAIT = 18,
	VM_EXITCODE_SVM = 19,
	VM_EXITCODE_REQIDLE = 20,
	VM_EXITCODE_DEBUG = 21, /* a debugger asked this vCPU to stop */
	VM_EXITCODE_VMINSN = 22,
	VM_EXITCODE_BPT = 23,
	VM_EXITCODE_IPI = 24,
	VM_EXITCODE_DB = 25,
	VM_EXITCODE_MAX
};

struct vm_exit {
	enum vm_exitcode exitcode;
	int inst_length; /* bytes; 0 when unknown */
	uint64_t rip;	 /* of the instruction that caused the exit */
	union {
		struct {
			bool in;
			uint8_t bytes;
			uint16_t port;
			uint32_t eax;
		} inout;
		struct {
			uint64_t gpa;
			bool write;
			uint8_t bytes;
			uint8_t inst[15]; /* instruction bytes, zero padded */
			uint8_t inst_bytes;
		} inst_emul;
		struct {
			uint32_t code;
			uint64_t wval;
		} msr;
		struct {
			int vcpu;
			uint64_t rip; /* vector << 12 */
		} spinup_ap;
		struct {
			uint64_t rflags;
		} hlt;
		struct {
			enum vm_suspend_how how;
		} suspended;
		struct {
			int status;	  /* errno or engine's own number */
			const char *what; /* one line for the log; static */
		} vmx;
		struct {
			int inst_length;
		} bpt;
		struct {
			uint64_t gla; /* where a debugger's point was met */
			bool exec, write;
		} db;
	} u;
};

/* --- machine ------------------------------------------------------------ */

#define VMMAPI_OPEN_CREATE 0x01 /* create if it does not exist */

/*
 * A handle for the machine `name`, or NULL with errno.  `engine` is "kvm",
 * "soft" or NULL for the best that works here.  A failing open changes
 * nothing.
 */
struct vmctx *vm_openf(const char *name, int flags, const char *engine);
/* Frees the handle and, when this process created it, the machine. */
void vm_close(struct vmctx *);
const char *vm_get_name(const struct vmctx *);
const char *vm_get_engine(const struct vmctx *);

/*
 * Memory size from text: a bare number below 1 MiB counts mebibytes,
 * otherwise bytes; or a number with suffix b k m g t p e.  -1/EINVAL.
 */
int vm_parse_memsize(const char *text, size_t *ret_bytes);

enum vm_mmap_style { VM_MMAP_NONE, VM_MMAP_ALL, VM_MMAP_SPARSE };
/* RAM of `len` bytes: [0, min(len, lowmem limit)) and the rest at 4 GiB. */
int vm_setup_memory(struct vmctx *, size_t len, enum vm_mmap_style);
/* Host address of [gpa, gpa+len), or NULL unless wholly inside one RAM part. */
void *vm_map_gpa(struct vmctx *, vm_paddr_t gpa, size_t len);
uint32_t vm_get_lowmem_limit(struct vmctx *);
void vm_set_lowmem_limit(struct vmctx *, uint32_t limit);
size_t vm_get_lowmem_size(struct vmctx *);
size_t vm_get_highmem_size(struct vmctx *);

/* Ends the machine's run: every vm_run() returns VM_EXITCODE_SUSPENDED. */
int vm_suspend(struct vmctx *, enum vm_suspend_how how);
/* Back to power-on: clears a suspension, RAM kept, chips and vCPUs reset. */
int vm_reinit(struct vmctx *);

/* --- processors --------------------------------------------------------- */

/* Handle of vCPU `id` (0 .. VM_MAXCPU-1), created on first use, or NULL. */
struct vcpu *vm_vcpu_open(struct vmctx *, int id);
int vcpu_id(const struct vcpu *);
struct vmctx *vcpu_vm(const struct vcpu *);

/* Run until something the machine cannot finish by itself happens. */
int vm_run(struct vcpu *, struct vm_exit *);
int vcpu_reset(struct vcpu *); /* the state after power-on or INIT */
int vm_activate_cpu(struct vcpu *);

int vm_set_register(struct vcpu *, int reg, uint64_t val);
int vm_get_register(struct vcpu *, int reg, uint64_t *ret_val);
int vm_set_desc(
    struct vcpu *, int reg, uint64_t base, uint32_t limit, uint32_t access);
int vm_get_desc(
    struct vcpu *, int reg, uint64_t *base, uint32_t *limit, uint32_t *access);
int vm_set_capability(struct vcpu *, enum vm_cap_type, int val);
int vm_get_capability(struct vcpu *, enum vm_cap_type, int *ret_val);
int vm_capability_name2type(const char *name); /* -1 unknown */
const char *vm_capability_type2name(int type); /* NULL unknown */
int vm_set_x2apic_state(struct vcpu *, enum x2apic_state);
int vm_get_x2apic_state(struct vcpu *, enum x2apic_state *ret_state);

/* Queue an exception for the next entry; EBUSY when one is pending. */
int vm_inject_exception(struct vcpu *, int vector, bool has_errcode,
    uint32_t errcode, bool restart_instruction);
int vm_inject_nmi(struct vcpu *);
/* The next vm_run() starts at the exit's instruction again, not after it. */
int vm_restart_instruction(struct vcpu *);

/* Translate a guest-linear address as the vCPU would read it at CPL 0. */
int vm_gla2gpa_nofault(struct vcpu *, uint64_t gla, uint64_t *ret_gpa);

/* --- interrupts --------------------------------------------------------- */

int vm_lapic_irq(struct vcpu *, int vector);
int vm_lapic_msi(struct vmctx *, uint64_t addr, uint64_t msg);
int vm_ioapic_assert_irq(struct vmctx *, int pin);
int vm_ioapic_deassert_irq(struct vmctx *, int pin);
int vm_ioapic_pulse_irq(struct vmctx *, int pin);
int vm_ioapic_pincount(struct vmctx *, int *ret_pincount);
/* ioapic_irq -1: only the 8259. */
int vm_isa_assert_irq(struct vmctx *, int atpic_irq, int ioapic_irq);
int vm_isa_deassert_irq(struct vmctx *, int atpic_irq, int ioapic_irq);
int vm_isa_pulse_irq(struct vmctx *, int atpic_irq, int ioapic_irq);

/* --- statistics --------------------------------------------------------- */

/* A vCPU's counters; the array is the library's, *ret_n its length. */
const uint64_t *vm_get_stats(struct vcpu *, int *ret_n);
const char *vm_get_stat_desc(struct vmctx *, int index); /* NULL past the end */

#ifdef __cplusplus
}
#endif

#endif /* VMMAPI_H */
