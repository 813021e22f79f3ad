/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sys.h - the system half of the software CPU: handlers the decoder cannot
 * find by mnemonic alone, breakpoints, the CPU model, and the registers as
 * vmmapi.h names them.
 *
 * Instructions with a mnemonic of their own are in sys_rows[] (insn.h).
 */
#ifndef ENGINE_SOFT_SYS_H
#define ENGINE_SOFT_SYS_H

#include "cpu.h"
#include "insn.h"

/* --- handlers of ambiguous mnemonics ---------------------------------------
 */

/*
 * MOV, PUSH, POP with a segment, control or debug register.  r1 is the *number*
 * of that register (ModRM.reg with REX.R; the segment for PUSH/POP); the other
 * operand is general: r2 a byte offset as usual, or memory (INSN_HASMEM).
 * opsize: operand size; a memory operand of MOV Sreg is always 2 bytes.
 * All but push_sreg, mov_from_sreg, mov_from_cr and mov_from_dr end the block.
 */
void sys_mov_to_sreg(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void sys_mov_from_sreg(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void sys_push_sreg(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void sys_pop_sreg(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void sys_mov_to_cr(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void sys_mov_from_cr(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void sys_mov_to_dr(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void sys_mov_from_dr(struct soft_cpu *c, const struct insn *i, uint64_t rip);

/*
 * Far transfers; all end the block.  opsize: operand size (2, 4 or 8).
 * _imm forms: imm = offset | selector << 32.  _mem: m16:16/32.
 * sys_ret_far: imm = bytes to release.
 */
void sys_jmp_far_imm(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void sys_jmp_far_mem(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void sys_call_far_imm(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void sys_call_far_mem(struct soft_cpu *c, const struct insn *i, uint64_t rip);
void sys_ret_far(struct soft_cpu *c, const struct insn *i, uint64_t rip);

/*
 * Rows whose operands are not obvious from insn.h's general filling:
 *   IN, OUT      r1/r2 unused; accumulator is implied; opsize 1 2 4; the port
 *is (uint8_t)imm when INSN_IMM_PORT is in x, DX otherwise INSx, OUTSx  opsize 1
 *2 4; mem's low bits: OUTS's segment; INSN_A32/A16/REP INT	  imm: vector
 *   LDS ... LSS  r1: register, memory operand; opsize: the offset's
 *   LGDT ...	  opsize 2 in legacy modes: 24-bit base
 *   IRET*, PUSHF*, POPF*, SYSRET, SYSEXIT  opsize 2, 4 or 8
 */
#define INSN_IMM_PORT 0x00000100u

/* --- debugging -------------------------------------------------------------
 */

/*
 * Call before an instruction when cpu_has_exec_breakpoints(): true when one at
 * c->rip hit (#DB recorded).  Consumes RFLAGS.RF.
 */
bool cpu_exec_breakpoint(struct soft_cpu *c);

/*
 * A debugger's points (debug.c).  cpu_debug_exec(): one is at c->rip, whose
 * exit is filled.  cpu_debug_access() notes the first that an access meets, for
 * cpu_debug_done() after the instruction; cpu_debug_watches() only looks.
 */
bool cpu_debug_exec(struct soft_cpu *c);
void cpu_debug_access(
    struct soft_cpu *c, uint64_t la, unsigned int len, unsigned int acc);
bool cpu_debug_watches(const struct soft_cpu *c, uint64_t la, unsigned int len);
bool cpu_debug_done(struct soft_cpu *c);
int cpu_set_debug(
    struct soft_cpu *c, const struct vm_debug_point *points, unsigned int n);
/* An enabled breakpoint n whose R/Wn field is 0 (SDM 3B 17.2.4). */
static inline bool
cpu_has_exec_breakpoints(const struct soft_cpu *c)
{
	uint64_t d = c->dr7;

	return ((d & 0x03) && !(d & 0x00030000)) ||
	       ((d & 0x0c) && !(d & 0x00300000)) ||
	       ((d & 0x30) && !(d & 0x03000000)) ||
	       ((d & 0xc0) && !(d & 0x30000000));
}
/* A data or I/O breakpoint enabled: accesses must take the slow path. */
bool cpu_has_data_breakpoints(const struct soft_cpu *c);
/* A REP instruction stops in the middle for an event: RF keeps its breakpoint.
 */
void cpu_rep_interrupted(struct soft_cpu *c);

/* --- CPU model ---------------------------------------------------------------
 */

/* Reads the host's CPUID once; sets vm->cpuid and vm->phys_bits.  0 or -errno.
 */
int cpuid_create(struct soft_vm *vm) WARN_UNUSED;
void cpuid_destroy(struct soft_vm *vm);

struct cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};
/* What CPUID gives in c's present state (APIC id, OSXSAVE). */
void cpuid_query(const struct soft_cpu *c, uint32_t leaf, uint32_t sub,
    struct cpuid_regs *ret);

/* CR4 and EFER bits the model has; others are reserved. */
uint64_t cpuid_cr4_mask(const struct soft_cpu *c);
uint64_t cpuid_efer_mask(const struct soft_cpu *c);

/* --- registers by vmmapi name (engine ops get_reg and so on) ----------- */

/*
 * 0, -EINVAL.  Setting is raw: no checks, any order; mode, CPL and LMA are
 * recomputed each time and the TLB is flushed where needed.
 */
int soft_get_reg(struct soft_cpu *c, enum vm_reg_name reg, uint64_t *ret_val);
int soft_set_reg(struct soft_cpu *c, enum vm_reg_name reg, uint64_t val);
int
soft_get_desc(struct soft_cpu *c, enum vm_reg_name reg, struct seg_desc *ret);
int soft_set_desc(
    struct soft_cpu *c, enum vm_reg_name reg, const struct seg_desc *d);
/* All at once, but CR8, which is the local APIC's. */
void soft_set_all(
    struct soft_cpu *c, const uint64_t *reg, const struct seg_desc *desc);

#endif /* ENGINE_SOFT_SYS_H */
