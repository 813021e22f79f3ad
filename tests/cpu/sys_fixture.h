/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sys_fixture.h - a machine with one software vCPU, descriptor tables in its
 * RAM, and single instructions executed on it: surroundings for the tests of
 * the CPU's system half.  Everything is identity mapped.
 */
#ifndef TESTS_CPU_SYS_FIXTURE_H
#define TESTS_CPU_SYS_FIXTURE_H

#include "cpu.h"
#include "insn.h"
#include "segint.h"
#include "sys.h"

/* Where things lie. */
#define T_GDT	  0x1000u
#define T_IDT	  0x2000u
#define T_TSS	  0x4000u
#define T_TSS2	  0x8000u
#define T_LDT	  0x9000u
#define T_CODE	  0x10000u
#define T_CODE3	  0x12000u
#define T_HANDLER 0x18000u /* + vector * 16 */
#define T_STACK	  0x20000u /* top of ring 0's present stack */
#define T_STACK0  0x24000u /* in the TSS */
#define T_IST1	  0x28000u
#define T_STACK3  0x2c000u
#define T_DATA	  0x30000u
#define T_PML4	  0x100000u
#define T_RAM	  (32u << 20)
/* Unmapped when paging is on. */
#define T_HOLE 0x200000u

/* Selectors in the GDT. */
#define S_CODE0	   0x08u
#define S_DATA0	   0x10u
#define S_CODE3	   0x1bu
#define S_DATA3	   0x23u
#define S_CODE64   0x28u
#define S_CODE64_3 0x33u
#define S_TSS	   0x38u /* 16 bytes */
#define S_LDT	   0x48u /* 16 bytes */
#define S_CONF0	   0x58u /* conforming */
#define S_GATE	   0x60u /* 16 bytes */
#define S_DATA_NP  0x70u
#define S_XONLY	   0x78u
#define S_RODATA   0x80u
#define S_SMALL	   0x88u /* data, limit 0xfff */
#define S_TASKGATE 0x90u
#define S_TSS2	   0x98u
#define S_CODE16   0xa0u
#define S_DATA1	   0xa9u
#define S_DOWN	   0xb0u /* expand-down above 0xffff */
#define S_CODE_NP  0xb8u
#define S_STACK16  0xc0u
#define S_LAST	   0xc7u

struct fix {
	struct vmctx *ctx;
	struct vcpu *vcpu;
	struct soft_cpu *c;
};

/* cmocka's; *state is a struct fix. */
int fix_setup(void **state);
int fix_teardown(void **state);

/* Fresh tables and registers. */
void fix_real(struct soft_cpu *c);
void fix_pm32(struct soft_cpu *c, unsigned int cpl);
void fix_long(struct soft_cpu *c, unsigned int cpl);
void fix_compat(struct soft_cpu *c, unsigned int cpl);
void fix_v86(struct soft_cpu *c, unsigned int iopl);

/* Guest memory. */
void poke(struct soft_cpu *c, uint64_t gpa, unsigned int size, uint64_t val);
uint64_t peek(struct soft_cpu *c, uint64_t gpa, unsigned int size);
/* hi:lo of a descriptor. */
uint64_t mkdesc(uint32_t base, uint32_t limit, uint32_t ar);
void set_gdt(struct soft_cpu *c, unsigned int sel, uint64_t desc);
/* Gates of the present mode's format; type is SYS_INT and so on. */
void set_idt(struct soft_cpu *c, unsigned int vector, unsigned int sel,
    uint64_t off, unsigned int type, unsigned int dpl, unsigned int ist);
void set_call_gate(struct soft_cpu *c, unsigned int sel, uint64_t off,
    unsigned int type, unsigned int dpl, unsigned int params);

/*
 * Decode the bytes at c->rip in c's mode and execute that instruction.  True
 * when it completed; otherwise c->exc or c->leave says why.
 */
bool exec(struct soft_cpu *c, const void *bytes, unsigned int len);
#define EXEC(c, s) exec((c), (s), sizeof(s) - 1)

/* The recorded exception is this one (and forget it). */
void expect_exc(struct soft_cpu *c, unsigned int vector, int64_t err);
#define NO_ERR (-1)

#endif /* TESTS_CPU_SYS_FIXTURE_H */
