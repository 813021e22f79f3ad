/* SPDX-License-Identifier: BSD-2-Clause */
/* layout.h - selectors and addresses that start.S and the payloads' C share. */
#ifndef TESTS_GUEST_LAYOUT_H
#define TESTS_GUEST_LAYOUT_H

/* In SYSCALL's and SYSRET's order. */
#define SEL_KCODE    0x08
#define SEL_KDATA    0x10
#define SEL_UCODE32  0x18
#define SEL_UDATA    0x20
#define SEL_UCODE    0x28
#define SEL_KCODE32  0x30
#define SEL_KCODE16  0x38
#define SEL_KDATA16  0x40
#define SEL_SCRATCH  0x48 /* six for tests, up to 0x70 */
#define SEL_TSS	     0x80 /* one of 16 bytes a processor */

#define GUEST_MAXCPU 8
/* A processor's block: struct cpu below, stacks above; this_cpu() masks RSP. */
#define CPU_BLOCK_SHIFT 16
#define CPU_BLOCK	(1 << CPU_BLOCK_SHIFT)
#define CPU_IST1_TOP	0x3000
#define CPU_IST2_TOP	0x5000
#define CPU_RSP0_TOP	0x9000
#define CPU_STACK_TOP	0x10000

#define AP_TRAMPOLINE	0x10000 /* SIPI vector 0x10 */

/* The first 64 MiB once more, for CPL 3. */
#define USER_ALIAS    0x80000000

#define CPU_OFF_GUARD 8 /* struct cpu.guard_rsp */

#endif /* TESTS_GUEST_LAYOUT_H */
