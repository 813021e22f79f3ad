/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmmapi.h - libvmmapi: a virtual machine as a library; vmmapi(3) is its
 * manual, examples/hello.c a program.
 *
 * The names, numbers and meanings are those of FreeBSD's libvmmapi (with
 * vCPU handles, as it has today), so that a program written for it needs
 * little change.  Functions return 0, or -1 with errno set, unless noted.
 *
 * A machine comes with what FreeBSD's has in its kernel: local APICs, I/O APIC,
 * 8259s, 8254, HPET, real-time clock, PM timer.  They are made by the first
 * call that needs them, vm_run() at the latest; processors, their x2APIC mode
 * and memory are settled by then.
 *
 * A handle may be used from any thread; vm_run() from one thread per vCPU.
 * Registers and the like of a vCPU are its own thread's, or anybody's while it
 * does not run: EBUSY otherwise.
 */
#ifndef VMMAPI_H
#define VMMAPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif
/* The library exports what this header declares, and nothing else. */
#pragma GCC visibility push(default)

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
	VM_SUSPEND_DESTROY, /* vm_destroy() by another holder of a handle */
	VM_SUSPEND_LAST
};

/* Why vm_run() came back; numbers as in FreeBSD. */
enum vm_exitcode {
	VM_EXITCODE_INOUT = 0, /* port nobody claims, under strict I/O */
	VM_EXITCODE_VMX = 1,   /* the engine failed (Intel's name) */
	VM_EXITCODE_BOGUS = 2, /* kicked: run again */
	VM_EXITCODE_RDMSR = 3, /* MSR nobody claims */
	VM_EXITCODE_WRMSR = 4,
	/* Only with VM_CAP_HALT_EXIT, and not where the kernel keeps a halted
	 * processor (FreeBSD's vmm, engine kvm): there it is only counted. */
	VM_EXITCODE_HLT = 5,
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
			uint32_t eax; /* what OUT sends; IN's goes to RAX */
			bool string;  /* INS, OUTS: abandoned */
			bool rep;
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
#define VMMAPI_OPEN_REINIT 0x02 /* vm_reinit() if it exists */
/* Given or not: what vm_openf() created goes with its last handle. */
#define VMMAPI_OPEN_DESTROY_ON_CLOSE 0x04

/*
 * A handle for this process's machine `name`, or NULL with errno.  `engine` is
 * "kvm", "soft" or NULL for the best that works here.  A failing open changes
 * nothing.  A name has 1 to VM_MAX_NAMELEN bytes, no slash, and is not "." or
 * "..".  EEXIST: the machine is there with another engine.
 */
struct vmctx *vm_openf(const char *name, int flags, const char *engine);
/* Frees the handle and, with the last one, what vm_openf() created. */
void vm_close(struct vmctx *);
/*
 * A machine that stays, with or without handles, until vm_destroy().  EEXIST:
 * there is one.
 */
int vm_create(const char *name);
struct vmctx *vm_open(const char *name); /* vm_openf(name, 0, NULL) */
/*
 * Frees the handle and ends the machine: its name is free at once.  Others that
 * have a handle see VM_SUSPEND_DESTROY, and vm_close() theirs.
 */
void vm_destroy(struct vmctx *);
const char *vm_get_name(const struct vmctx *);
const char *vm_get_engine(const struct vmctx *);

/*
 * How the guest sees its processors: sockets * cores * threads of them.  Before
 * the first vm_vcpu_open(), EBUSY after it; without it, as many sockets as
 * processors are opened.  `maxcpus` is 0, as in FreeBSD.
 */
int vm_set_topology(struct vmctx *, uint16_t sockets, uint16_t cores,
    uint16_t threads, uint16_t maxcpus);
int vm_get_topology(struct vmctx *, uint16_t *sockets, uint16_t *cores,
    uint16_t *threads, uint16_t *maxcpus);

/* Ends the machine's run: every vm_run() returns VM_EXITCODE_SUSPENDED. */
int vm_suspend(struct vmctx *, enum vm_suspend_how how);
/* Back to power-on: clears a suspension, RAM kept, chips and vCPUs reset. */
int vm_reinit(struct vmctx *);

/* --- memory ------------------------------------------------------------- */

/*
 * Memory size from text: a bare number below 1 MiB counts mebibytes,
 * otherwise bytes; or a number with suffix b k m g t p e.  -1/EINVAL.
 */
int vm_parse_memsize(const char *text, size_t *ret_bytes);

#define VM_MEM_F_INCORE 0x01 /* core dumps have the guest's memory */
#define VM_MEM_F_WIRED	0x02 /* never swapped out: mlock(2) */
/*
 * At once when there is memory, else when it is set up.  On failure those of
 * before stand.
 */
int vm_set_memflags(struct vmctx *, int flags);
int vm_get_memflags(struct vmctx *); /* the flags themselves */

enum vm_mmap_style { VM_MMAP_NONE, VM_MMAP_ALL, VM_MMAP_SPARSE };
/* RAM of `len` bytes: [0, min(len, lowmem limit)) and the rest at 4 GiB. */
int vm_setup_memory(struct vmctx *, size_t len, enum vm_mmap_style);
/* Host address of [gpa, gpa+len), or NULL unless wholly inside one RAM part. */
void *vm_map_gpa(struct vmctx *, vm_paddr_t gpa, size_t len);
uint32_t vm_get_lowmem_limit(struct vmctx *);
void vm_set_lowmem_limit(struct vmctx *, uint32_t limit);
size_t vm_get_lowmem_size(struct vmctx *);
size_t vm_get_highmem_size(struct vmctx *);

/* Size of the RAM part that contains gpa, and whether it is wired. */
int vm_get_memory_seg(
    struct vmctx *, vm_paddr_t gpa, size_t *ret_len, int *ret_wired);
/*
 * After storing through vm_map_gpa() where guest code may have run: an engine
 * may keep decoded instructions.
 */
void vm_mem_written(struct vmctx *, vm_paddr_t gpa, size_t len);

#define VM_PMAP_LEVELS 4
/*
 * How gpa is mapped, as entries of extended page tables from the root down
 * (SDM 3C 29.3.2), *ret_num of them.  No engine shares its own tables, so they
 * are made up from the machine's memory: a level under which there is no RAM is
 * 0 and the last; those above the last level have rights and no address; a
 * page's has bit 8, accessed, while the host has it in memory, and its address
 * is the offset in the file that backs the RAM.
 */
int vm_get_gpa_pmap(struct vmctx *, vm_paddr_t gpa,
    uint64_t ret_pte[VM_PMAP_LEVELS], int *ret_num);

/* --- processors --------------------------------------------------------- */

/* Handle of vCPU `id` (0 .. VM_MAXCPU-1), created on first use, or NULL. */
struct vcpu *vm_vcpu_open(struct vmctx *, int id);
int vcpu_id(const struct vcpu *);
struct vmctx *vcpu_vm(const struct vcpu *);

/* Run until something the machine cannot finish by itself happens. */
int vm_run(struct vcpu *, struct vm_exit *);
int vcpu_reset(struct vcpu *); /* the state after power-on or INIT */
/* It will run soon; vm_run() says so too.  EBUSY: it is active. */
int vm_activate_cpu(struct vcpu *);
/*
 * Held still by a debugger: vm_run() returns VM_EXITCODE_DEBUG and executes
 * nothing.  Does not wait.  EINVAL: it is not active; it is not held.
 */
int vm_suspend_cpu(struct vcpu *);
int vm_resume_cpu(struct vcpu *);
int vm_suspend_all_cpus(struct vmctx *); /* those that are active */
int vm_resume_all_cpus(struct vmctx *);
/* Sets of vCPUs, bit n for number n. */
int vm_active_cpus(struct vmctx *, uint64_t *ret_cpus);
int vm_suspended_cpus(struct vmctx *, uint64_t *ret_cpus); /* saw the end */
int vm_debug_cpus(struct vmctx *, uint64_t *ret_cpus);	   /* held still */

int vm_set_register(struct vcpu *, int reg, uint64_t val);
int vm_get_register(struct vcpu *, int reg, uint64_t *ret_val);
/* In order; the first that fails ends it. */
int vm_set_register_set(
    struct vcpu *, unsigned int count, const int *regs, const uint64_t *vals);
int vm_get_register_set(
    struct vcpu *, unsigned int count, const int *regs, uint64_t *ret_vals);
int vm_set_desc(
    struct vcpu *, int reg, uint64_t base, uint32_t limit, uint32_t access);
int vm_get_desc(
    struct vcpu *, int reg, uint64_t *base, uint32_t *limit, uint32_t *access);
int vm_get_seg_desc(struct vcpu *, int reg, struct seg_desc *ret_desc);
int vm_set_capability(struct vcpu *, enum vm_cap_type, int val);
int vm_get_capability(struct vcpu *, enum vm_cap_type, int *ret_val);
int vm_capability_name2type(const char *name); /* -1 unknown */
const char *vm_capability_type2name(int type); /* NULL unknown */
/* EBUSY once the local APICs are there. */
int vm_set_x2apic_state(struct vcpu *, enum x2apic_state);
int vm_get_x2apic_state(struct vcpu *, enum x2apic_state *ret_state);

/*
 * What FreeBSD's kernel wants from its loader: long mode with a GDT of three
 * entries, which is written to guest memory at `gdtbase`, and paging by `cr3`.
 */
int vm_setup_freebsd_registers(
    struct vcpu *, uint64_t rip, uint64_t cr3, uint64_t gdtbase, uint64_t rsp);
/* Flat 32-bit protected mode; the task state follows the GDT's page. */
int vm_setup_freebsd_registers_i386(
    struct vcpu *, uint32_t eip, uint32_t gdtbase, uint32_t esp);

/* --- events for a processor --------------------------------------------- */

/* Queue an exception for the next entry; EBUSY when one is pending. */
int vm_inject_exception(struct vcpu *, int vector, bool has_errcode,
    uint32_t errcode, bool restart_instruction);
/* As above with an error code, the instruction not restarted. */
int vm_inject_exception2(struct vcpu *, int vector, uint32_t errcode);
/* A fault: the instruction of the last exit runs again afterwards. */
int
vm_inject_fault(struct vcpu *, int vector, bool has_errcode, uint32_t errcode);
int vm_inject_ud(struct vcpu *);
int vm_inject_gp(struct vcpu *); /* error code 0 */
int vm_inject_ss(struct vcpu *, uint32_t errcode);
int vm_inject_ac(struct vcpu *, uint32_t errcode);
int vm_inject_pf(struct vcpu *, uint32_t errcode, uint64_t cr2);
int vm_inject_nmi(struct vcpu *);
/* The next vm_run() starts at the exit's instruction again, not after it. */
int vm_restart_instruction(struct vcpu *);

/*
 * Events as 64-bit words in VMX format (SDM 3C 25.9.3): bits 7:0 vector, 10:8
 * type, 11 error code valid, 31 valid, 63:32 error code.
 */
#define VM_INTINFO_VECTOR(info) ((int)((info)&0xff))
#define VM_INTINFO_DEL_ERRCODE	0x800
#define VM_INTINFO_VALID	0x80000000
#define VM_INTINFO_TYPE		0x700
#define VM_INTINFO_HWINTR	(0 << 8)
#define VM_INTINFO_NMI		(2 << 8)
#define VM_INTINFO_HWEXCEPTION	(3 << 8)
#define VM_INTINFO_SWINTR	(4 << 8)
/*
 * The event whose delivery was interrupted, to be delivered first at the next
 * entry; 0: none.
 */
int vm_set_intinfo(struct vcpu *, uint64_t info);
/* It, and what is queued behind it (0: nothing). */
int vm_get_intinfo(struct vcpu *, uint64_t *ret_info1, uint64_t *ret_info2);

/* --- guest-linear addresses --------------------------------------------- */

enum vm_cpu_mode {
	CPU_MODE_REAL,
	CPU_MODE_PROTECTED,
	CPU_MODE_COMPATIBILITY, /* long mode, 32-bit code segment */
	CPU_MODE_64BIT,
};
enum vm_paging_mode {
	PAGING_MODE_FLAT,
	PAGING_MODE_32,
	PAGING_MODE_PAE,
	PAGING_MODE_64,
};
struct vm_guest_paging {
	uint64_t cr3;
	int cpl;
	enum vm_cpu_mode cpu_mode;
	enum vm_paging_mode paging_mode;
};
/* The vCPU's present state. */
int vm_get_guest_paging(struct vcpu *, struct vm_guest_paging *ret);
/*
 * Translate as an access by the guest: accessed and dirty bits are set, and an
 * access that is not allowed queues a #PF and sets *ret_fault to 1, returning 0
 * all the same.  `prot` is of PROT_READ, PROT_WRITE and PROT_EXEC (mman.h).
 * Rights are U/S, R/W with CR0.WP, and NX; not SMEP, SMAP, protection keys.
 */
int vm_gla2gpa(struct vcpu *, const struct vm_guest_paging *, uint64_t gla,
    int prot, uint64_t *ret_gpa, int *ret_fault);
/* As the vCPU would read it at CPL 0, leaving no trace.  EFAULT: it cannot. */
int vm_gla2gpa_nofault(struct vcpu *, uint64_t gla, uint64_t *ret_gpa);

/*
 * [gla, gla+len) as pieces of host memory in iov[], whose unused entries are
 * empty.  *ret_fault as above; EFAULT: some of it is no RAM, or iov[] is too
 * short.
 */
int vm_copy_setup(struct vcpu *, const struct vm_guest_paging *, uint64_t gla,
    size_t len, int prot, struct iovec *iov, int iovcnt, int *ret_fault);
/* At most what was set up is copied. */
void vm_copyin(
    struct vcpu *, const struct iovec *guest_iov, void *host_dst, size_t len);
void vm_copyout(struct vcpu *, const void *host_src,
    const struct iovec *guest_iov, size_t len);
void vm_copy_teardown(struct vcpu *, struct iovec *iov, int iovcnt);

/* --- interrupts --------------------------------------------------------- */

/*
 * The vCPU whose local APIC has this id: the same number, unless the topology
 * has counts that are no power of two.  -1, EINVAL: none.
 */
int vm_apicid2vcpu(struct vmctx *, int apicid);
int vm_lapic_irq(struct vcpu *, int vector);
/* Entries of a local APIC's vector table. */
enum vm_lvt {
	VM_LVT_LINT0,
	VM_LVT_LINT1,
	VM_LVT_TIMER,
	VM_LVT_ERROR,
	VM_LVT_PMC,
	VM_LVT_THERMAL,
	VM_LVT_CMCI,
};
int vm_lapic_local_irq(struct vcpu *, enum vm_lvt);
int vm_lapic_local_irq_all(struct vmctx *, enum vm_lvt); /* bhyve's vCPU -1 */
int vm_lapic_msi(struct vmctx *, uint64_t addr, uint64_t msg);
int vm_ioapic_assert_irq(struct vmctx *, int pin);
int vm_ioapic_deassert_irq(struct vmctx *, int pin);
int vm_ioapic_pulse_irq(struct vmctx *, int pin);
int vm_ioapic_pincount(struct vmctx *, int *ret_pincount);
/* ioapic_irq -1: only the 8259. */
int vm_isa_assert_irq(struct vmctx *, int atpic_irq, int ioapic_irq);
int vm_isa_deassert_irq(struct vmctx *, int atpic_irq, int ioapic_irq);
int vm_isa_pulse_irq(struct vmctx *, int atpic_irq, int ioapic_irq);

enum vm_intr_trigger { EDGE_TRIGGER, LEVEL_TRIGGER };
/* EINVAL: IRQ 0, 1, 2, 8 and 13 are edges on every PC. */
int vm_isa_set_irq_trigger(struct vmctx *, int atpic_irq, enum vm_intr_trigger);

/*
 * Interrupts by eventfd(2) (not in FreeBSD).  A write to `fd`, whoever makes it
 * - another process, or the kernel for vhost and VFIO -, raises the interrupt;
 * several writes may raise one.  On engine kvm the kernel does it all, where it
 * can; else the library's event thread reads `fd`.  Nobody else may read it,
 * and what is in it already counts.  `fd` stays the caller's, and open until it
 * is removed.  Bindings outlive vm_reinit() and end with the machine.
 *
 * EBADF; EINVAL: no eventfd, no such address or pin; EBUSY: `fd` is bound;
 * ENOSPC: engine kvm has 512 messages a machine.  On failure nothing is bound.
 */
int vm_irqfd_msi(struct vmctx *, int fd, uint64_t addr, uint64_t msg);
/*
 * `resample_fd` -1: an edge, as vm_ioapic_pulse_irq(), on a line that nothing
 * else holds: on engine kvm it would be let go.  Otherwise a level, held until
 * the guest's EOI, of which a write to that eventfd tells: who still wants
 * service then writes to `fd` again.  vm_reinit() is such an end, too. ENOTSUP:
 * levels are not to be had; those of pins below 16 are where the kernel has the
 * interrupt controllers alone.
 */
int vm_irqfd_pin(struct vmctx *, int fd, int pin, int resample_fd);
/* After it nothing comes of `fd`.  ENOENT: it is not bound. */
int vm_irqfd_remove(struct vmctx *, int fd);

/* --- clocks -------------------------------------------------------------- */

/* CMOS memory: what the guest would read; time and control are not written. */
int vm_rtc_write(struct vmctx *, int offset, uint8_t val);
int vm_rtc_read(struct vmctx *, int offset, uint8_t *ret_val);
/* The guest's civil time as seconds since 1970; UTC when the machine is made.
 */
int vm_rtc_settime(struct vmctx *, time_t secs);
int vm_rtc_gettime(struct vmctx *, time_t *ret_secs);
int vm_get_hpet_capabilities(struct vmctx *, uint32_t *ret_capabilities);

/* --- devices of the program (not in FreeBSD) ----------------------------- */

/*
 * vm_run() reports ports nobody has as VM_EXITCODE_INOUT; memory nobody has
 * reads all ones.  A handler is called in the vCPU's thread, in the middle of
 * the instruction, string instructions and unaligned accesses included, from
 * several threads at once.  It sets *val on a read; -1: no such access (wrong
 * width), which reads all ones.  Names are not copied.  EEXIST: taken; EINVAL.
 */
typedef int (*vm_port_fn)(struct vcpu *, bool in, uint16_t port,
    unsigned int bytes, uint32_t *val, void *arg);
int vm_register_port(struct vmctx *, const char *name, uint16_t port,
    uint32_t nports, vm_port_fn, void *arg);
int vm_unregister_port(struct vmctx *, uint16_t port, uint32_t nports);
typedef int (*vm_mmio_fn)(struct vcpu *, bool write, uint64_t gpa,
    unsigned int bytes, uint64_t *val, void *arg);
int vm_register_mmio(struct vmctx *, const char *name, vm_paddr_t base,
    uint64_t len, vm_mmio_fn, void *arg);
int vm_unregister_mmio(struct vmctx *, vm_paddr_t base, uint64_t len);

/* --- statistics --------------------------------------------------------- */

/*
 * A vCPU's counters; the array is the library's, *ret_n its length.  *ret_tv,
 * unless NULL, is the time of day.
 */
const uint64_t *vm_get_stats(struct vcpu *, struct timeval *ret_tv, int *ret_n);
const char *vm_get_stat_desc(struct vmctx *, int index); /* NULL past the end */

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* VMMAPI_H */
