/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moving values about: partial registers, zero and sign extension, high-byte
 * registers, MOV forms with 64-bit addresses, LEA, XCHG, BSWAP, CBW and family,
 * flag instructions.
 */
#include "rt.h"

	.data
	.balign 8
cell:	.quad	0x8182838485868788
other:	.quad	0

	.macro EXT insn, a, b
	movq	%r8, %rcx
	movabsq	$0x1111222233334444, %rax
	\insn	\b, \a
	DUMP	%rax
	.endm

	.macro CONV insn
	movq	%r8, %rax
	movq	%r9, %rdx
	\insn
	DUMP	%rax
	DUMP	%rdx
	.endm

MAIN
	/* 32-bit results clear the upper half, smaller ones keep it. */
	movq	$-1, %rax
	movl	%eax, %eax
	movl	$0xffffffff, %edx
	cmpq	%rdx, %rax
	OK_IF(e)
	movq	$-1, %rax
	movw	$0, %ax
	EQ(-0x10000, %rax)
	movq	$-1, %rax
	movb	$0, %ah
	EQ(-0xff01, %rax)
	movq	$-1, %rsi
	movb	$0, %sil
	EQ(-0x100, %rsi)
	movq	$-1, %r15
	xorw	%r15w, %r15w
	EQ(-0x10000, %r15)
	movq	$-1, %r15
	incl	%r15d
	EQ(0, %r15)
	/* High bytes among each other. */
	movl	$0x12345678, %eax
	movl	$0x9abcdef0, %ebx
	movb	%bh, %ah
	movb	%al, %bh
	xchgb	%ah, %al
	DUMP	%rax
	DUMP	%rbx
	addb	%ah, %ch
	movb	cell + 3, %dh
	movzbl	%dh, %ecx
	EQL(0x85, %ecx)

	.irp	insn, movzbw, movsbw
	FOR_VALUES EXT, \insn, %ax, %cl
	FOR_VALUES EXT, \insn, %ax, %ch
	.endr
	.irp	insn, movzbl, movsbl
	FOR_VALUES EXT, \insn, %eax, %cl
	FOR_VALUES EXT, \insn, %eax, %ch
	.endr
	FOR_VALUES EXT, movzbq, %rax, %cl
	FOR_VALUES EXT, movsbq, %rax, %cl
	FOR_VALUES EXT, movzwl, %eax, %cx
	FOR_VALUES EXT, movswl, %eax, %cx
	FOR_VALUES EXT, movzwq, %rax, %cx
	FOR_VALUES EXT, movswq, %rax, %cx
	FOR_VALUES EXT, movslq, %rax, %ecx
	FOR_VALUES EXT, movb, %al, %cl
	FOR_VALUES EXT, movw, %ax, %cx
	FOR_VALUES EXT, movl, %eax, %ecx
	movslq	cell + 4, %rax
	DUMP	%rax
	movsbq	cell, %rax
	DUMP	%rax
	movswq	cell, %rax
	DUMP	%rax
	movzwl	cell + 1, %eax
	DUMP	%rax
	.irp	insn, cbtw, cwtl, cltq, cwtd, cltd, cqto
	FOR_PAIRS CONV, \insn
	.endr

	/* BSWAP; of 16 bits it is undefined and left out. */
	movabsq	$0x0102030405060708, %rax
	bswapq	%rax
	EQ64(0x0807060504030201, %rax)
	movq	$-1, %rax
	movl	$0x01020304, %eax
	bswapl	%eax
	EQ(0x04030201, %rax)
	movabsq	$0x0102030405060708, %r9
	bswapl	%r9d
	DUMP	%r9

	/* Addresses of 64 bits in the instruction. */
	movabsb	cell, %al
	cmpb	$0x88, %al
	OK_IF(e)
	movabsq	cell, %rax
	EQ64(0x8182838485868788, %rax)
	movl	$0x5a5a5a5a, %eax
	movabsl	%eax, other
	movabsq	other, %rax
	EQ(0x5a5a5a5a, %rax)

	/* LEA: any size, with 32-bit addresses too. */
	movabsq	$0x123456789, %rbx
	movl	$0x10, %ecx
	leaq	7(%rbx,%rcx,8), %rax
	DUMP	%rax
	leal	-7(%rbx,%rcx,4), %eax
	DUMP	%rax
	leaw	7(%rbx), %ax
	DUMP	%rax
	leal	7(%ebx,%ecx,2), %eax
	DUMP	%rax
	leaq	-1(%ebx), %rax
	DUMP	%rax
	leaq	(,%rcx,4), %rax
	DUMP	%rax
	leaq	cell(%rip), %rax
	cmpq	$cell, %rax
	OK_IF(e)

	/* XCHG. */
	movl	$1, %eax
	movl	$2, %ebx
	xchgq	%rax, %rbx
	EQ(2, %rax)
	xchgl	%eax, %r10d
	xchgw	%ax, %bx
	xchgb	%bl, cell
	xchgq	%rcx, cell
	DUMP	%rax
	DUMP	%rbx
	DUMP	%rcx
	/* 90 with REX.B is an exchange, without it nothing. */
	movq	$-1, %rax
	movq	$-1, %r8
	.byte	0x90
	EQ(-1, %rax)
	xchgl	%eax, %r8d
	shrq	$32, %rax
	EQ(0, %rax)

	/* MOV to memory of each size touches no other byte. */
	movq	$-1, other
	movb	$0, other + 1
	movw	$0x1234, other + 3
	movl	$0x55667788, other + 4
	movq	other, %rax
	DUMP	%rax
	movq	$-2, other
	EQ(-2, other)

	stc
	cmc
	OK_IF(nc)
	cmc
	OK_IF(c)
	std
	FLAGS(FL_DF, FL_DF)
	cld
	FLAGS(FL_DF, 0)

	/* Segment overrides and bases: FS and GS read their own segments. */
	movl	%ds, %eax
	movl	%eax, %es
	movq	%es:cell, %rax
	movq	%ds:cell, %rbx
	cmpq	%rax, %rbx
	OK_IF(e)
	/* Nops of all lengths. */
	nop
	nopw	0(%rax,%rax,1)
	nopl	0x12345678(%rax)
	.byte	0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90
	endbr64
	pause
	ret

	.section .note.GNU-stack, "", @progbits
