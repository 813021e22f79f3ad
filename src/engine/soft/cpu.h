/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpu.h - the state of one software x86-64 processor.
 *
 * The room's rules:
 *  - Files listed as gpr_src in meson.build are compiled with
 *    -mgeneral-regs-only and call no libc: while they run, the host's x87,
 *    SSE and AVX registers hold the guest's (c->fpu_live).  Whatever may touch
 *    vector registers (libc, Zydis, the bus, logging) is called only after
 *    fpu_park(c); fpu.h says more.
 *  - A guest exception is a value: cpu_raise_*() records it in c->exc, the
 *    handler returns, and the run loop delivers it.  No longjmp.
 *  - c->rip is the address of the current instruction whenever anything that
 *    may fault or leave the CPU is called, and of the next one between
 *    instructions.
 */
#ifndef ENGINE_SOFT_CPU_H
#define ENGINE_SOFT_CPU_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <util/util.h>
#include <vmm/debug.h>
#include <vmm/exception.h>
#include <vmm/mem.h>
#include <vmm/vcpu.h>
#include <vmmapi.h>

struct block;
struct insn;
struct soft_vm;
struct cpuid_model;

/* General registers in encoding order; R_ZERO always reads 0. */
enum {
	R_RAX,
	R_RCX,
	R_RDX,
	R_RBX,
	R_RSP,
	R_RBP,
	R_RSI,
	R_RDI,
	R_R8,
	R_R9,
	R_R10,
	R_R11,
	R_R12,
	R_R13,
	R_R14,
	R_R15,
	R_ZERO,
	R_TMP, /* scratch of one handler: a computed index */
	R_COUNT
};

/* Segment registers in encoding order, then the two system ones. */
enum {
	SEG_ES,
	SEG_CS,
	SEG_SS,
	SEG_DS,
	SEG_FS,
	SEG_GS,
	SEG_LDTR,
	SEG_TR,
	SEG_COUNT
};

/* `access` has the format of vmmapi.h's struct seg_desc. */
struct soft_seg {
	uint64_t base;
	uint32_t limit; /* in bytes, granularity applied */
	uint32_t access;
	uint16_t sel;
};

struct soft_dtr {
	uint64_t base;
	uint16_t limit;
};

/* RFLAGS.  OSZAPC live in c->cc, the rest in c->rflags. */
#define FL_CF	       0x00000001u
#define FL_ONE	       0x00000002u
#define FL_PF	       0x00000004u
#define FL_AF	       0x00000010u
#define FL_ZF	       0x00000040u
#define FL_SF	       0x00000080u
#define FL_TF	       0x00000100u
#define FL_IF	       0x00000200u
#define FL_DF	       0x00000400u
#define FL_OF	       0x00000800u
#define FL_IOPL	       0x00003000u
#define FL_NT	       0x00004000u
#define FL_RF	       0x00010000u
#define FL_VM	       0x00020000u
#define FL_AC	       0x00040000u
#define FL_VIF	       0x00080000u
#define FL_VIP	       0x00100000u
#define FL_ID	       0x00200000u
#define FL_OSZAPC      (FL_OF | FL_SF | FL_ZF | FL_AF | FL_PF | FL_CF)

#define CR0_PE	       0x00000001u
#define CR0_MP	       0x00000002u
#define CR0_EM	       0x00000004u
#define CR0_TS	       0x00000008u
#define CR0_ET	       0x00000010u
#define CR0_NE	       0x00000020u
#define CR0_WP	       0x00010000u
#define CR0_AM	       0x00040000u
#define CR0_NW	       0x20000000u
#define CR0_CD	       0x40000000u
#define CR0_PG	       0x80000000u

#define CR4_VME	       0x00000001u
#define CR4_PVI	       0x00000002u
#define CR4_TSD	       0x00000004u
#define CR4_DE	       0x00000008u
#define CR4_PSE	       0x00000010u
#define CR4_PAE	       0x00000020u
#define CR4_MCE	       0x00000040u
#define CR4_PGE	       0x00000080u
#define CR4_PCE	       0x00000100u
#define CR4_OSFXSR     0x00000200u
#define CR4_OSXMMEXCPT 0x00000400u
#define CR4_UMIP       0x00000800u
#define CR4_FSGSBASE   0x00010000u
#define CR4_PCIDE      0x00020000u
#define CR4_OSXSAVE    0x00040000u
#define CR4_SMEP       0x00100000u
#define CR4_SMAP       0x00200000u

#define EFER_SCE       0x0001u
#define EFER_LME       0x0100u
#define EFER_LMA       0x0400u
#define EFER_NXE       0x0800u
#define EFER_AUTOIBRS  0x200000u

/* Page-fault error code. */
#define PF_P	0x01u
#define PF_W	0x02u
#define PF_U	0x04u
#define PF_RSVD 0x08u
#define PF_I	0x10u

/*
 * c->mode: everything instruction decoding depends on, a part of each
 * block's key.  Recomputed by cpu_update_mode().
 */
#define MODE_64	    0x0001u /* 64-bit code segment */
#define MODE_CS32   0x0002u /* default operand and address size 32 */
#define MODE_SS32   0x0004u /* stack pointer is ESP, not SP (legacy modes) */
#define MODE_LM	    0x0008u /* EFER.LMA: long mode (64-bit or compat) */
#define MODE_PE	    0x0010u /* protected mode */
#define MODE_V86    0x0020u
#define MODE_USER   0x0040u /* CPL 3 */
#define MODE_EM	    0x0080u /* CR0.EM: x87 raises #NM, SSE #UD */
#define MODE_TS	    0x0100u /* CR0.TS: FP and SIMD raise #NM */
#define MODE_OSFXSR 0x0200u /* CR4.OSFXSR: SSE allowed */
#define MODE_AVX    0x0400u /* CR4.OSXSAVE and XCR0.AVX: VEX SIMD allowed */
#define MODE_ONE    0x0800u /* one instruction a block: TF, shadow, MTRAP */
#define MODE_LEGACY_SEGS                                                       \
	0x1000u		     /* segment bases/limits apply (not MODE_64)       \
			      */
#define MODE_CSLIMIT 0x4000u /* legacy, and the CS limit is not 4 GiB */
#define MODE_FLAT    0x2000u /* legacy, but DS ES SS are 0..4G rw expand-up */

static inline bool
seg_may_be_flat(unsigned int seg)
{
	return (BIT(seg) & (BIT(SEG_DS) | BIT(SEG_ES) | BIT(SEG_SS))) != 0;
}

/* What is pushed and popped 4 bytes at a time needs no check but of wrapping.
 */
static inline bool
mode_stack32(uint32_t mode)
{
	return (mode & (MODE_SS32 | MODE_FLAT)) == (MODE_SS32 | MODE_FLAT);
}

/* --- software TLB (mmu.h) --------------------------------------------------
 */

#define TLB_ENTRIES 2048u /* a view; power of two */

/*
 * A tag is the page's linear address, or TLB_NONE.  Fast path: the access
 * hits when (la + size - 1) & ~0xfff equals the tag at the index of la; that
 * proves page and permission and that the access does not cross the page.
 * Host address = la + addend.
 */
struct tlb_entry {
	uint64_t rtag;
	uint64_t wtag;	  /* TLB_NONE while clean, read-only or a code page */
	uintptr_t addend; /* hva - la */
	uint64_t gpa;	  /* page; low bits TLBF_* */
};
#define TLB_NONE      UINT64_MAX /* never equals a page address */
#define TLBF_GLOBAL   0x1u
#define TLBF_WRITABLE 0x2u /* guest page tables allow writes, D is set */
#define TLBF_UNLISTED 0x4u /* not in the view's `listed` (mmu_walk.c) */
#define TLBF_LARGE    0x8u /* piece of a page larger than 4 KiB */

/*
 * One view for each way permissions are judged.  VIEW_MISS never holds
 * anything: accesses that need extra checks (#AC, data breakpoints) use it to
 * come to the slow path each time, which then works with c->real_view.
 */
enum {
	VIEW_KERN,
	VIEW_USER,
	VIEW_KERN_SMAP,
	VIEW_COUNT,
	VIEW_MISS = VIEW_COUNT,
	VIEW_ALL
};
#define TLB_LISTED 512u
struct tlb_view {
	struct tlb_entry e[TLB_ENTRIES];
	/*
	 * Slots a CR3 load must clear: non-global fills, all fills of the user
	 * view.  More than TLB_LISTED: clear everything.
	 */
	uint32_t nlisted;
	uint16_t listed[TLB_LISTED];
	uint64_t large; /* bit (la >> 30) % 64: large pages were filled there */
};

/* Instruction fetch translations, for mmu_translate(ACC_X). */
#define ITLB_ENTRIES 128u
struct itlb_entry {
	uint64_t tag; /* page | ITLB_*; 0 empty */
	uint64_t gpa;
	uint64_t gen; /* of itlb_gen[global] when it was filled */
};
struct itlb {
	uint64_t gen[2]; /* non-global, global */
	uint64_t large;
	struct itlb_entry e[ITLB_ENTRIES];
};

/* --- exceptions ------------------------------------------------------------
 */

struct soft_exc {
	bool pending;
	bool has_err;
	bool soft; /* INT n, INT3, INTO: return address is the next insn */
	uint8_t vector;
	uint32_t err;
	uint64_t cr2; /* for #PF, stored to CR2 at delivery */
	uint64_t dr6; /* for #DB, or-ed into DR6 at delivery */
};

/* MSRs that are only stored and read back (msr.c), and kvmclock's. */
struct soft_msrs {
	uint64_t mtrr_def_type;
	uint64_t mtrr_fixed[11];
	uint64_t mtrr_var[16]; /* base, mask pairs */
	uint64_t misc_enable;
	uint64_t mcg_status;
	uint64_t spec_ctrl;
	uint64_t syscfg, hwcr, de_cfg, nb_cfg, ls_cfg;
	uint64_t kvm_wall_clock, kvm_system_time;
};

/* Why the block runner came back to the run loop besides an exception. */
enum soft_leave {
	LEAVE_NONE,
	LEAVE_HLT,	/* c->rip is after the HLT */
	LEAVE_EXIT,	/* c->exit is filled for vm_run() */
	LEAVE_SHUTDOWN, /* triple fault */
	LEAVE_RESYNC, /* mode or mapping changed: look the next block up anew */
};

/* --- the CPU ---------------------------------------------------------------
 */

#define XSAVE_AREA_MAX                                                         \
	1024 /* legacy 512 + header 64 + YMM_Hi128 256, rounded */

struct soft_cpu {
	/* Hot: one or two cache lines. */
	uint64_t gpr[R_COUNT];
	uint64_t rip;
	uint16_t cc; /* OSZAPC as LAHF;SETO leaves them in AX: AH = SF ZF - AF -
			PF - CF, AL = OF */
	uint8_t cpl;
	bool fpu_live; /* host registers hold the guest's FP state */
	uint32_t mode;
	struct tlb_view *tlb; /* the view data accesses look in */
	uint32_t *events;     /* vcpu_events() */
	struct block *blk;    /* executing */
	struct jc_entry *jc;  /* the jump cache (block.h) */
	/*
	 * What its entries must match: a count of mapping changes above 16 bits
	 * of c->mode.
	 */
	uint64_t jc_key;
	uint64_t insns;	  /* instructions executed, counted a block at a time */
	uint64_t mem_val; /* result of mem_*_slow() up to 8 bytes */
	uint64_t ea;	  /* result of insn_ea_slow() */
	uint8_t acc_seg;  /* segment of the access, to tell #SS from #GP */
	uint8_t real_view; /* VIEW_* permissions are judged by */
	bool smc_hit;	   /* a store just changed code: end the block */
	enum soft_leave leave;

	struct soft_exc exc;

	/* System state. */
	uint32_t rflags;  /* without OSZAPC; bit 1 set */
	bool intr_shadow; /* STI or MOV SS just executed */
	bool ss_shadow;	  /* MOV SS: debug traps (TF, data) are held off too */
	bool nmi_blocked; /* until IRET */
	bool nmi_pending;
	bool intr_check; /* the local APIC may have something deliverable */
	bool wait_sipi;
	bool halted;
	uint64_t cr0, cr2, cr3, cr4, efer, xcr0;
	uint64_t dr[4], dr6, dr7;
	struct soft_seg seg[SEG_COUNT];
	struct soft_dtr gdtr, idtr;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t tsc_aux, pat;
	uint64_t pdpte[4]; /* PAE: loaded with CR3 (SDM 4.4.1) */
	struct soft_msrs msr;
	struct vcpu_tsc_source tsc; /* base NULL until first used */
	uint32_t pauses;
	bool tf_skip; /* INT n, SYSCALL: no single-step trap after it */

	/* Event being delivered, for double-fault rules (SDM 6.15). */
	bool delivering;
	uint8_t delivering_vector;
	uint64_t reinject; /* vm_set_intinfo(); 0: none */
	bool injected;	   /* vm_inject_exception(): c->exc came from outside */

	/*
	 * DR6 bits of data breakpoints the current instruction has hit: when it
	 * completes, a #DB trap; when it faults, clear.
	 */
	uint64_t db_pending;
	/* Pages the last two writable mem_host_ptr() gave out, for mem_wrote().
	 */
	uint64_t hostw_page[2], hostw_off[2];
	uint8_t hostw_next;

	/* FP (fpu.h). */
	uint16_t fpu_op; /* last x87 opcode, 11 bits */
	uint64_t fpu_ip, fpu_dp;
	uint16_t fpu_cs, fpu_ds;
	_Alignas(64) uint8_t xsave[XSAVE_AREA_MAX];
	_Alignas(64) uint8_t
	    bounce[128]; /* memory operands that are not one host range */

	struct soft_vm *vm;
	struct vcpu *vcpu;
	struct vmctx *ctx;
	const struct vm_ram *ram;
	uint64_t *stats;
	unsigned int id;
	struct vm_exit exit;
	uint64_t exit_next_rip; /* where vm_run() goes on after exit */
	bool cap[VM_CAP_MAX];
	/* A debugger's points (debug.c); nexec and ndata of them by kind. */
	struct vm_debug_point dbg[VM_DEBUG_POINTS_MAX];
	unsigned int ndbg, dbg_nexec, dbg_ndata;
	const struct vm_debug_point *dbg_hit; /* met by this instruction */
	struct block_cache *bc;		      /* cache.c */

	struct itlb itlb;
	_Alignas(64) struct tlb_view view[VIEW_ALL];
};

static_assert(offsetof(struct soft_cpu, gpr) == 0, "handlers index from c");

/* Shared by the vCPUs of one machine. */
struct soft_vm {
	struct vmctx *ctx;
	const struct vm_ram *ram;
	struct smc *smc;		 /* smc.h */
	unsigned int phys_bits;		 /* MAXPHYADDR the guest sees */
	const struct cpuid_model *cpuid; /* sys.h, cpuid_create() */
	struct soft_cpu *cpu[VM_MAXCPU];
	uint32_t
	    split_lock; /* spinlock for locked accesses that cross a page */
};

/* --- flags -----------------------------------------------------------------
 */

/* cc (AH:AL after LAHF;SETO) <-> RFLAGS bits. */
static inline uint32_t
cc_to_flags(uint16_t cc)
{
	return ((uint32_t)(cc >> 8) & 0xd5u) | ((uint32_t)(cc & 1) << 11);
}

static inline uint16_t
flags_to_cc(uint32_t fl)
{
	return (uint16_t)(((fl & 0xd5u) << 8) | 0x200u | ((fl >> 11) & 1));
}

static inline uint32_t
cpu_rflags(const struct soft_cpu *c)
{
	return c->rflags | cc_to_flags(c->cc);
}

static inline bool
cc_cf(const struct soft_cpu *c)
{
	return (c->cc & 0x100) != 0;
}

/* --- raising (exc.c) ---------------------------------------------------------
 */

/*
 * Record an exception; the caller returns at once.  When one is pending
 * already the first stays.  Always returns false, so that `return
 * cpu_raise_gp(c, 0);` reads well.
 */
bool cpu_raise(struct soft_cpu *c, unsigned int vector);
bool cpu_raise_err(struct soft_cpu *c, unsigned int vector, uint32_t err);
bool cpu_raise_pf(struct soft_cpu *c, uint64_t la, uint32_t err);
static inline bool
cpu_raise_gp(struct soft_cpu *c, uint32_t err)
{
	return cpu_raise_err(c, EXC_GP, err);
}
static inline bool
cpu_raise_ud(struct soft_cpu *c)
{
	return cpu_raise(c, EXC_UD);
}

/* --- state changes (sys*.c)
 * --------------------------------------------------- */

/*
 * After any change of CS, SS, CPL, CR0, CR4, EFER, XCR0, DR7, RFLAGS.{TF,VM,AC}
 * or the shadow: recompute mode, tlb view pointer; bumps nothing else.  When
 * the new mode differs the current block must end (c->leave = LEAVE_RESYNC, or
 * a handler that ends its block anyway).
 */
void cpu_update_mode(struct soft_cpu *c);
/* Set RFLAGS bits of `mask` from val (arithmetic flags included). */
void cpu_set_rflags(struct soft_cpu *c, uint64_t val, uint64_t mask);
void cpu_reset(struct soft_cpu *c, bool init); /* power-on, or INIT */

/*
 * Deliver c->exc through the IDT, with the double- and triple-fault rules;
 * on return either c->rip is the handler's first instruction or
 * c->leave == LEAVE_SHUTDOWN.  c->rip on entry: see struct soft_exc.soft.
 */
void cpu_deliver_exception(struct soft_cpu *c);
/* Deliver a hardware interrupt or NMI. */
void cpu_deliver_interrupt(struct soft_cpu *c, unsigned int vector, bool nmi);
/* Deliver c->reinject, and c->exc as what its delivery met. */
void cpu_deliver_reinject(struct soft_cpu *c);

#define JC_KEY_MAPPING 0x10000u
static inline void
cpu_mapping_changed(struct soft_cpu *c)
{
	c->jc_key += JC_KEY_MAPPING;
}

static inline bool
cpu_is_canonical(uint64_t a)
{
	return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

#endif /* ENGINE_SOFT_CPU_H */
