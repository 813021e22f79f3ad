/* SPDX-License-Identifier: BSD-2-Clause */
/* stub.h - what stub.S and run_asm.c agree upon. */
#ifndef TESTS_CPU_ASM_STUB_H
#define TESTS_CPU_ASM_STUB_H

#define STUB_GPA	  0x7000
#define STUB_STACK	  0x9000 /* grows down */

#define STUB_KCODE	  0x08
#define STUB_KDATA	  0x10
#define STUB_UBASE	  0x18 /* SYSRET: data 8 above, code 16 above */
#define STUB_UDATA	  0x20
#define STUB_UCODE	  0x28
#define STUB_TSS	  0x30

#define STUB_PORT_SYSCALL 0xf0 /* registers as at the SYSCALL */
#define STUB_PORT_TRAP	  0xf1 /* rax vector, rdi error, rsi rip, rdx cr2 */
#define STUB_PORT_LATE	  0xf2 /* SYSCALL that stayed in ring 3 */
#define STUB_NVECTORS	  32
#define STUB_VECTOR_LEN	  16 /* bytes of code a vector */

#define STUB_TRAPCTL	  0x10000000 /* .trapctl of prog.ld */

#endif /* TESTS_CPU_ASM_STUB_H */
