/* SPDX-License-Identifier: BSD-2-Clause */
/* legacy_code.h - what legacy_code.S and legacy.c share. */
#ifndef TESTS_GUEST_LEGACY_CODE_H
#define TESTS_GUEST_LEGACY_CODE_H

#define REAL_SEG  0x2000 /* the real-mode code is copied to 0x20000 */
#define REAL_BASE 0x20000
#define DATA_SEG  0x4000 /* 64 KiB of nothing, for wrapping addresses */
#define DATA_BASE 0x40000

/* Scratch selectors. */
#define SEL_SMALL  0x48 /* data, limit 0xfff, base buffer32 */
#define SEL_DOWN   0x50 /* expand-down, limit 0xfff, base buffer32 */
#define SEL_RO	   0x58 /* read-only */
#define SEL_XO	   0x60 /* execute-only */
#define SEL_GATE   0x68 /* call gate to gate_target */
#define SEL_ABSENT 0x70 /* not present */

#endif /* TESTS_GUEST_LEGACY_CODE_H */
