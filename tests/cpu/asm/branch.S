/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CALL, RET and JMP in all near forms, far ones within the same segment, jump
 * tables, deep recursion, and the block shapes a translator finds hard.
 */
#include "rt.h"

	.data
	.balign 8
target:	.quad	0
table:	.quad	case0, case1, case2
farptr:	.quad	0
	.word	0

	.text
set_one:
	movl	$1, %eax
	ret
ret_16:
	movl	$2, %eax
	ret	$16
fact:
	cmpl	$1, %edi
	jbe	1f
	pushq	%rdi
	decl	%edi
	call	fact
	popq	%rdi
	imulq	%rdi, %rax
	ret
1:	movl	$1, %eax
	ret
depth:
	incl	%eax
	decl	%edi
	jz	1f
	call	depth
1:	ret
case0:	addl	$1, %eax
	jmp	done
case1:	addl	$10, %eax
	jmp	done
case2:	addl	$100, %eax
	jmp	done
done:	ret
	/* Pops its own return address and goes on. */
swallow:
	popq	%rcx
	jmpq	*%rcx
	/* Returns behind the byte after the call. */
skip_one:
	incq	(%rsp)
	ret

MAIN
	call	set_one
	EQ(1, %rax)
	movl	$set_one, %ecx
	call	*%rcx
	EQ(1, %rax)
	movq	$set_one, target
	call	*target
	EQ(1, %rax)
	call	*target(%rip)
	movl	$target - 16, %ecx
	movl	$2, %edx
	call	*(%rcx,%rdx,8)
	EQ(1, %rax)
	/* RET n. */
	movq	%rsp, %rbx
	pushq	%rax
	pushq	%rax
	call	ret_16
	cmpq	%rsp, %rbx
	OK_IF(e)
	/* CALL through the stack pointer uses the old RSP. */
	movq	$set_one, %rcx
	pushq	%rcx
	call	*(%rsp)
	popq	%rcx
	/* A call to the next instruction. */
	call	1f
1:	popq	%rax
	cmpq	$1b, %rax
	OK_IF(e)
	/* PUSH, RET as a jump. */
	pushq	$2f
	ret
	FAIL
2:	call	swallow
	call	skip_one
	.byte	0x06 /* #UD if executed */
	/* An address pushed by a call is the next instruction's. */
	movl	$20, %edi
	call	fact
	movabsq	$2432902008176640000, %rcx
	cmpq	%rcx, %rax
	OK_IF(e)
	xorl	%eax, %eax
	movl	$2000, %edi
	call	depth
	EQ(2000, %rax)

	/* An indirect jump that goes elsewhere each time. */
	xorl	%eax, %eax
	xorl	%ebx, %ebx
	movl	$300, %r8d
1:	call	*table(,%rbx,8)
	incl	%ebx
	cmpl	$3, %ebx
	cmovel	%ecx, %ebx
	jne	2f
	xorl	%ebx, %ebx
2:	decl	%r8d
	jnz	1b
	EQ(11100, %rax)

	/* Jumps into the middle of an instruction. */
	xorl	%eax, %eax
	jmp	1f + 1
1:	.byte	0xb8		/* mov $..., %eax */
	addl	$7, %eax	/* 83 c0 07 */
	nop
	nop
	EQ(7, %rax)
	/* JMP far to the segment we are in, and back by RETF. */
	movl	$1f, farptr
	movw	%cs, farptr + 4
	ljmpl	*farptr
	FAIL
1:	movl	%cs, %eax
	pushq	%rax
	pushq	$2f
	lretq
	FAIL
2:	/* Backwards, short and long; a loop of one block, one of many. */
	movl	$100000, %ecx
	xorl	%eax, %eax
1:	addl	%ecx, %eax
	decl	%ecx
	jnz	1b
	DUMP	%rax
	movl	$10000, %ecx
	xorl	%eax, %eax
1:	testl	$1, %ecx
	jz	2f
	addq	%rcx, %rax
	jmp	3f
2:	xorq	%rcx, %rax
	rolq	$3, %rax
3:	testl	$6, %ecx
	jnz	4f
	call	set_rdx
	xorq	%rdx, %rax
4:	loop	1b
	DUMP	%rax
	/* To where nothing is: the fault is the target's, with its address. */
	xorl	%ecx, %ecx
	movq	%rsp, %rbx
	TRAPS(EXC_PF, jmpq *%rcx)
	EQ(0, trap_cr2)
	movabsq	$0x8000000000000000, %rcx
	TRAPS(EXC_GP, jmpq *%rcx)
	TRAPS(EXC_GP, call *%rcx)
	cmpq	%rsp, %rbx
	OK_IF(e)
	ret

set_rdx:
	leaq	1(%rax), %rdx
	ret

	.section .note.GNU-stack, "", @progbits
