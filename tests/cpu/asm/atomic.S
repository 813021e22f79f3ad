/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * XCHG XADD CMPXCHG CMPXCHG8B CMPXCHG16B and every instruction that takes LOCK:
 * aligned, across a cache line and across a page; where LOCK is #UD.
 */
#include "rt.h"

	.bss
	.balign 4096
	.space	4096
page:	.space	4096

	.macro RMW insn, b
	.irp	off, 0, 61, -1, -3, -7
	movq	%r8, page + \off
	movq	%r9, %rdx
	stc
	lock \insn \b, page + \off
	DUMPF	FL_OSZPC
	movq	page + \off, %rax
	DUMP	%rax
	.endr
	.endm

	.macro ONE insn
	.irp	off, 0, -3
	movq	%r8, page + \off
	stc
	lock \insn page + \off
	DUMPF
	movq	page + \off, %rax
	DUMP	%rax
	.endr
	.endm

	.macro XADD pfx, insn, a, b
	movq	%r8, page
	movq	%r8, %rax
	movq	%r9, %rdx
	\pfx \insn \b, \a
	DUMPF
	DUMP	%rax
	DUMP	%rdx
	movq	page, %rax
	DUMP	%rax
	.endm

	/* r8: destination, r9: accumulator. */
	.macro CMPX pfx, insn, a, b
	movq	%r8, page
	movq	%r8, %rdx
	movq	%r9, %rax
	movabsq	$0x7766554433221100, %rcx
	\pfx \insn \b, \a
	DUMPF
	DUMP	%rax
	DUMP	%rdx
	movq	page, %rax
	DUMP	%rax
	.endm

	.macro EACH op
	FOR_PAIRS RMW, \op\()b, %dl
	FOR_PAIRS RMW, \op\()w, %dx
	FOR_PAIRS RMW, \op\()l, %edx
	FOR_PAIRS RMW, \op\()q, %rdx
	.endm

	/* LOCK here must be #UD. */
#define NOLOCK(...) TRAPS(EXC_UD, .byte 0xf0; __VA_ARGS__)

MAIN
	/* CMPXCHG writes the old value back when it fails: a write all the same. */
	movl	$1, %eax
	movl	$2, %ecx
	movq	$1, page
	lock cmpxchgq %rcx, page
	OK_IF(e)
	EQ(2, page)
	lock cmpxchgq %rcx, page
	OK_IF(ne)
	EQ(2, %rax)
	movl	$99, %eax
	cmpb	$0, ro_begin /* make it present */
	TRAPS(EXC_PF, lock cmpxchgb %cl, ro_begin)
	EQ(7, trap_err)
	EQ(99, %rax)
	/* A 32-bit failure: EAX is loaded, upper half cleared. */
	movq	$-1, %rax
	movl	$5, page
	lock cmpxchgl %ecx, page
	EQ(5, %rax)

	EACH	add
	EACH	or
	EACH	adc
	EACH	sbb
	EACH	and
	EACH	sub
	EACH	xor
	.irp	op, incb, incw, incl, incq, decb, decl, decq, negw, negq
	FOR_VALUES ONE, \op
	.endr
	FOR_PAIRS XADD, "", xaddb, %al, %dl
	FOR_PAIRS XADD, "", xaddb, %ah, %al
	FOR_PAIRS XADD, "", xaddw, %ax, %dx
	FOR_PAIRS XADD, "", xaddl, %eax, %edx
	FOR_PAIRS XADD, "", xaddq, %rax, %rdx
	FOR_PAIRS XADD, lock, xaddb, page, %dl
	FOR_PAIRS XADD, lock, xaddw, page, %dx
	FOR_PAIRS XADD, lock, xaddl, page, %edx
	FOR_PAIRS XADD, lock, xaddq, page, %rdx
	FOR_PAIRS CMPX, "", cmpxchgb, %dl, %cl
	FOR_PAIRS CMPX, "", cmpxchgw, %dx, %cx
	FOR_PAIRS CMPX, "", cmpxchgl, %edx, %ecx
	FOR_PAIRS CMPX, "", cmpxchgq, %rdx, %rcx
	FOR_PAIRS CMPX, lock, cmpxchgb, page, %cl
	FOR_PAIRS CMPX, lock, cmpxchgw, page, %cx
	FOR_PAIRS CMPX, lock, cmpxchgl, page, %ecx
	FOR_PAIRS CMPX, lock, cmpxchgq, page, %rcx
	movl	$7, %edx
	xaddq	%rdx, %rdx
	EQ(14, %rdx)

	/* CMPXCHG8B: only ZF changes. */
	.irp	off, 0, -4, 61
	movq	$0x11111111, page + \off
	movl	$0x11111111, %eax
	xorl	%edx, %edx
	movl	$0x22222222, %ebx
	movl	$0x33333333, %ecx
	stc
	lock cmpxchg8b page + \off
	FLAGS(FL_ZF | FL_CF, FL_ZF | FL_CF)
	movq	page + \off, %rsi
	EQ64(0x3333333322222222, %rsi)
	movq	$-1, %rax
	movq	$-1, %rdx
	lock cmpxchg8b page + \off
	OK_IF(ne)
	EQ(0x22222222, %rax)
	EQ(0x33333333, %rdx)
	.endr
	/* CMPXCHG16B: 16-byte alignment or #GP. */
	movq	$1, page
	movq	$2, page + 8
	movl	$1, %eax
	movl	$2, %edx
	movq	$-3, %rbx
	movq	$-4, %rcx
	lock cmpxchg16b page
	OK_IF(e)
	EQ(-3, page)
	EQ(-4, page + 8)
	lock cmpxchg16b page
	OK_IF(ne)
	EQ(-3, %rax)
	EQ(-4, %rdx)
	cmpxchg16b page
	OK_IF(e)
	TRAPS(EXC_GP, lock cmpxchg16b page + 8)
	EQ(0, trap_err)

	/* XCHG with memory is locked without saying so. */
	movq	$-1, page - 3
	movl	$0x1234, %eax
	xchgl	%eax, page - 3
	EQL(-1, %eax)
	xchgw	%ax, page - 1
	DUMP	%rax
	movq	page - 3, %rax
	DUMP	%rax

	NOLOCK(addl %eax, %ebx)
	NOLOCK(movl %eax, page)
	NOLOCK(addl page, %eax)
	NOLOCK(cmpl %eax, page)
	NOLOCK(testl %eax, page)
	NOLOCK(btl $1, page)
	NOLOCK(shll $1, page)
	NOLOCK(xchgl %eax, %ebx)
	NOLOCK(nop)
	NOLOCK(incl %eax)
	NOLOCK(pushq page)
	NOLOCK(cmpxchgl %eax, %ebx)
	NOLOCK(movdqa %xmm0, %xmm1)
	mfence
	lfence
	sfence
	ret

	.section .note.GNU-stack, "", @progbits
