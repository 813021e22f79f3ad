/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * segint.h - descriptors, segment loads and stacks: what the system files of
 * this room share.  Private to exc.c, seg*.c, task.c, sys_*.c, reset.c, regs.c.
 *
 * Functions that return bool return false with an exception recorded and no
 * architectural state changed, unless said otherwise.
 */
#ifndef ENGINE_SOFT_SEGINT_H
#define ENGINE_SOFT_SEGINT_H

#include "cpu.h"
#include "insn.h"

/* Access rights, the format of vmmapi.h's struct seg_desc. */
#define AR_A	     0x0001u /* accessed */
#define AR_W	     0x0002u /* data: writable; code: readable */
#define AR_R	     0x0002u
#define AR_C	     0x0004u /* code: conforming */
#define AR_E	     0x0004u /* data: expand down */
#define AR_CODE	     0x0008u
#define AR_S	     0x0010u /* code or data, not system */
#define AR_TYPE	     0x001fu /* with S */
#define AR_P	     0x0080u
#define AR_AVL	     0x1000u
#define AR_L	     0x2000u
#define AR_DB	     0x4000u
#define AR_G	     0x8000u
#define AR_UNUSABLE  0x10000u
#define AR_DPL(a)    (((a) >> 5) & 3u)
#define AR_DPL_SHIFT 5

/* System descriptor types (SDM 3A table 3-2). */
enum {
	SYS_TSS16 = 1,
	SYS_LDT = 2,
	SYS_TSS16_BUSY = 3,
	SYS_CALL16 = 4,
	SYS_TASK_GATE = 5,
	SYS_INT16 = 6,
	SYS_TRAP16 = 7,
	SYS_TSS = 9,
	SYS_TSS_BUSY = 11,
	SYS_CALL = 12,
	SYS_INT = 14,
	SYS_TRAP = 15,
};

#define ERR_EXT	   1u /* error code: event external to the program */
#define ERR_IDT	   2u

#define SEL_RPL(s) ((s)&3u)
#define SEL_ERR(s) ((uint32_t)((s)&0xfffcu))

/* A descriptor as fetched. */
struct desc {
	uint64_t la; /* where it lies */
	uint32_t lo, hi;
	uint32_t ar; /* AR_* of hi */
};

static inline bool
sel_null(unsigned int sel)
{
	return (sel & 0xfffc) == 0;
}

static inline bool
ar_is_code(uint32_t ar)
{
	return (ar & (AR_S | AR_CODE)) == (AR_S | AR_CODE);
}

static inline bool
ar_is_writable_data(uint32_t ar)
{
	return (ar & (AR_S | AR_CODE | AR_W)) == (AR_S | AR_W);
}

/* Limit in bytes, granularity applied. */
uint32_t desc_limit(const struct desc *d);
uint32_t desc_base(const struct desc *d);

/*
 * Fetch the descriptor of sel from GDT or LDT.  Outside the table: `vector`
 * with the selector, or-ed with ext, as error code.
 */
bool desc_read(struct soft_cpu *c, unsigned int sel, unsigned int vector,
    uint32_t ext, struct desc *ret);
/*
 * The same without faulting on limits: returns false, *ret_fault says whether
 * an exception (page fault) was recorded.
 */
bool desc_probe(
    struct soft_cpu *c, unsigned int sel, struct desc *ret, bool *ret_fault);
/* Upper 8 bytes of a 16-byte long-mode descriptor in c->mem_val. */
bool desc_read_high(struct soft_cpu *c, unsigned int sel, unsigned int vector,
    const struct desc *d);
/* Set the accessed bit in memory and in d. */
bool desc_set_accessed(struct soft_cpu *c, struct desc *d);
void desc_to_seg(const struct desc *d, unsigned int sel, struct soft_seg *ret);

/*
 * A linear address as the CPU forms it for its own tables: 32 bits wide outside
 * long mode.
 */
static inline uint64_t
sys_la(const struct soft_cpu *c, uint64_t a)
{
	return c->efer & EFER_LMA ? a : (uint32_t)a;
}

static inline bool
cpu_long_mode(const struct soft_cpu *c)
{
	return (c->efer & EFER_LMA) != 0;
}

static inline bool
cpu_protected(const struct soft_cpu *c)
{
	return (c->cr0 & CR0_PE) && !(c->rflags & FL_VM);
}

static inline unsigned int
cpu_iopl(const struct soft_cpu *c)
{
	return (c->rflags & FL_IOPL) >> 12;
}

/* Loops that zero memory would become calls of memset(). */
static inline void
zero_u64(uint64_t *p, uint64_t n)
{
	__asm__ volatile("rep stosq" : "+D"(p), "+c"(n) : "a"(0) : "memory");
}

/* Address of the instruction after i. */
static inline uint64_t
next_rip(const struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	rip += i->len;
	return c->mode & MODE_64 ? rip : (uint32_t)rip;
}

/* --- loading segment registers ----------------------------------------- */

/*
 * Load seg (not CS, LDTR, TR) the way MOV does in the present mode.  In
 * protected mode checks come first.  Does not update the mode.
 */
bool seg_load(struct soft_cpu *c, unsigned int seg, unsigned int sel);
/* Real and virtual-8086 mode: any of the six. */
void seg_load_real(struct soft_cpu *c, unsigned int seg, unsigned int sel);
/* The six at a switch to virtual-8086 mode. */
void seg_set_v86(struct soft_seg *s, unsigned int sel);
void seg_set_null(struct soft_seg *s, unsigned int sel, unsigned int dpl);
/*
 * Check sel as SS for privilege cpl (also the RPL demanded), exceptions
 * `vector` (not present: #SS) with ext; then fetch it and mark it accessed.
 */
bool seg_fetch_ss(struct soft_cpu *c, unsigned int sel, unsigned int cpl,
    unsigned int vector, uint32_t ext, struct soft_seg *ret);
/* After a return to an outer level: null data segments too privileged for cpl.
 */
void seg_drop_privileged(struct soft_cpu *c);
/* rip as target in code segment cs: limit or canonical form; #GP(ext). */
bool cs_check_rip(
    struct soft_cpu *c, const struct soft_seg *cs, uint64_t rip, uint32_t ext);

/* CS taken from the stack by RET or IRET. */
bool
seg_fetch_return_cs(struct soft_cpu *c, unsigned int sel, struct desc *ret);
/* SS taken from the stack for level cpl; cs_ar: the code returned to. */
bool seg_fetch_return_ss(struct soft_cpu *c, unsigned int sel, unsigned int cpl,
    uint32_t cs_ar, struct soft_seg *ret);
/* RSP = sp, as wide as the returned-to code and stack have it. */
void seg_return_rsp(
    struct soft_cpu *c, const struct soft_seg *ss, uint32_t cs_ar, uint64_t sp);

/* --- stacks ------------------------------------------------------------ */

/* A stack, the current one or the one being switched to. */
struct stack {
	uint64_t sp;
	uint64_t mask; /* width of the stack pointer */
	uint64_t base;
	uint32_t limit;
	uint32_t ar;
	uint8_t cpl;  /* privilege of the accesses */
	bool flat;    /* 64-bit: canonical checks only */
	uint32_t err; /* error code of a limit fault */
};

void stack_current(const struct soft_cpu *c, struct stack *ret);
void stack_of_seg(const struct soft_seg *ss, uint64_t sp, unsigned int cpl,
    uint32_t err, struct stack *ret);
void
stack_flat64(uint64_t sp, unsigned int cpl, uint32_t err, struct stack *ret);
/*
 * Push n values of w bytes, vals[0] first.  All is checked before memory
 * changes; st->sp moves on success.
 */
bool stack_push_frame(struct soft_cpu *c, struct stack *st,
    const uint64_t *vals, unsigned int n, unsigned int w);
/* The w bytes at sp + off, in c->mem_val. */
bool stack_read(struct soft_cpu *c, const struct stack *st, unsigned int off,
    unsigned int w);
/* RSP = sp as wide as the stack is. */
void stack_commit(struct soft_cpu *c, const struct stack *st, uint64_t sp);

/* --- privilege and views ----------------------------------------------- */

/* Data accesses are judged as by CPL `cpl` from here on; mode is not touched.
 */
void cpu_set_view(struct soft_cpu *c, unsigned int cpl);

/*
 * SS:ESP for ring `cpl` from the TSS (legacy modes): #TS with ext.  The segment
 * is checked (seg_fetch_ss) and st describes the stack.
 */
bool tss_legacy_stack(struct soft_cpu *c, unsigned int cpl, uint32_t ext,
    struct soft_seg *ret_ss, struct stack *ret_st);
/* 64-bit TSS: the stack pointer at byte `off`; c->mem_val.  #TS, #SS. */
bool tss_long_stack(struct soft_cpu *c, unsigned int off, uint32_t ext);

/* --- events (exc.c) ---------------------------------------------------- */

/*
 * INT n, INT3, INTO executed at rip; delivered at once.  A fault on the way is
 * recorded and is the instruction's own.
 */
bool cpu_soft_interrupt(
    struct soft_cpu *c, unsigned int vector, uint64_t rip, uint64_t next);
/* INT1: #DB without the DPL check. */
bool cpu_icebp(struct soft_cpu *c, uint64_t rip, uint64_t next);

/* --- task switch (task.c) ---------------------------------------------- */

enum task_source { TASK_JMP, TASK_CALL, TASK_IRET, TASK_EVENT };
/*
 * Switch to the TSS `sel` (descriptor d, already checked for type by the
 * caller).  resume: EIP saved for the old task.  err: error code to push on
 * the new stack, or -1.  Faults before the switch leave everything as it was;
 * later ones are the new task's (c->rip is its EIP).
 */
bool task_switch(struct soft_cpu *c, unsigned int sel, struct desc *d,
    enum task_source src, uint64_t resume, int64_t err, uint32_t ext);
/* Check that sel names an available TSS; #GP (or #TS for gates) / #NP. */
bool task_fetch_tss(struct soft_cpu *c, unsigned int sel, unsigned int vector,
    uint32_t ext, bool busy, struct desc *ret);

/* --- operands of handlers ---------------------------------------------- */

/* r/m operand of `size` bytes (register r2 or memory) into c->mem_val. */
bool sys_get_rm(
    struct soft_cpu *c, const struct insn *i, uint64_t rip, unsigned int size);
bool sys_put_rm(struct soft_cpu *c, const struct insn *i, uint64_t rip,
    unsigned int size, uint64_t val);
/* c->ea of the memory operand; sets c->rip and c->acc_seg. */
bool sys_ea(struct soft_cpu *c, const struct insn *i, uint64_t rip,
    unsigned int size, unsigned int acc);

/* RFLAGS bits that IRET of `size` bytes changes in the present state. */
uint32_t flags_change_mask(const struct soft_cpu *c, unsigned int size);

/* --- handlers listed in sys_rows[] (rows.c) ---------------------------- */

#define SYS_HANDLER(name)                                                      \
	void name(struct soft_cpu *c, const struct insn *i, uint64_t rip)

/* seg_far.c, seg_iret.c */
SYS_HANDLER(sys_load_farptr);
SYS_HANDLER(sys_iret);
/* sys_flags.c */
SYS_HANDLER(sys_pushf);
SYS_HANDLER(sys_popf);
SYS_HANDLER(sys_cli);
SYS_HANDLER(sys_sti);
SYS_HANDLER(sys_clac);
SYS_HANDLER(sys_stac);
/* sys_call.c */
SYS_HANDLER(sys_syscall);
SYS_HANDLER(sys_sysret);
SYS_HANDLER(sys_sysenter);
SYS_HANDLER(sys_sysexit);
SYS_HANDLER(sys_swapgs);
SYS_HANDLER(sys_rd_base);
SYS_HANDLER(sys_wr_base);
/* sys_ctl.c */
SYS_HANDLER(sys_lmsw);
SYS_HANDLER(sys_smsw);
SYS_HANDLER(sys_clts);
SYS_HANDLER(sys_load_dtr);
SYS_HANDLER(sys_store_dtr);
SYS_HANDLER(sys_invlpg);
SYS_HANDLER(sys_invpcid);
SYS_HANDLER(sys_cache);
SYS_HANDLER(sys_hlt);
/* sys_desc.c */
SYS_HANDLER(sys_lldt);
SYS_HANDLER(sys_ltr);
SYS_HANDLER(sys_store_sel);
SYS_HANDLER(sys_lar);
SYS_HANDLER(sys_lsl);
SYS_HANDLER(sys_verr);
SYS_HANDLER(sys_arpl);
/* sys_io.c */
SYS_HANDLER(sys_in);
SYS_HANDLER(sys_out);
SYS_HANDLER(sys_ins);
SYS_HANDLER(sys_outs);
/* msr.c */
SYS_HANDLER(sys_rdmsr);
SYS_HANDLER(sys_wrmsr);
SYS_HANDLER(sys_rdtsc);
SYS_HANDLER(sys_rdpmc);
SYS_HANDLER(sys_rdpid);
/* sys_misc.c */
SYS_HANDLER(sys_int);
SYS_HANDLER(sys_int3);
SYS_HANDLER(sys_into);
SYS_HANDLER(sys_int1);
SYS_HANDLER(sys_bound);
SYS_HANDLER(sys_ud);
SYS_HANDLER(sys_vmcall);
SYS_HANDLER(sys_pause);
SYS_HANDLER(sys_rdrand);
SYS_HANDLER(sys_clflush);
SYS_HANDLER(sys_prefetch);
SYS_HANDLER(sys_cpuid);

#endif /* ENGINE_SOFT_SEGINT_H */
