/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * prot_code.S - prot_run()'s 32-bit half (prot.h): into the context, and the
 * gates' common end, which writes down everything and goes back.
 */
#include "layout.h"
#include "prot.h"

#define START_KIND   0
#define START_EIP    4
#define START_CS     8
#define START_EFLAGS 12
#define START_ESP    16
#define START_SS     20
#define START_ES     24
#define START_DS     28
#define START_FS     32
#define START_GS     36
#define START_REG    40
#define START_TR     72
#define START_LDT    76
#define START_CR3    80

#define FRAME_WORDS  23 /* of struct prot_seen that are on the stack */
#define CR0_PG	     0x80000000
#define CR4_PSE	     0x10
#define LAR_B	     0x400000 /* a stack of 32 bits */

	.text
	.code32
	.globl	prot_enter
prot_enter:
	movl	%esp, saved_sp
	lgdt	prot_gdtr
	lidt	prot_idtr
	ltr	prot + START_TR
	lldt	prot + START_LDT
	movl	prot + START_CR3, %eax
	testl	%eax, %eax
	jz	1f
	movl	%eax, %cr3
	movl	$CR4_PSE, %eax
	movl	%eax, %cr4
	movl	%cr0, %eax
	orl	$CR0_PG, %eax
	movl	%eax, %cr0
1:	cmpl	$PROT_RING0, prot + START_KIND
	jne	2f
	movw	prot + START_SS, %ss
	movl	prot + START_ESP, %esp
	jmp	4f
2:	cmpl	$PROT_V86, prot + START_KIND
	jne	3f
	pushl	prot + START_GS
	pushl	prot + START_FS
	pushl	prot + START_DS
	pushl	prot + START_ES
3:	pushl	prot + START_SS
	pushl	prot + START_ESP
4:	pushl	prot + START_EFLAGS
	pushl	prot + START_CS
	pushl	prot + START_EIP
	movl	prot + START_REG, %eax
	movl	prot + START_REG + 4, %ecx
	movl	prot + START_REG + 8, %edx
	movl	prot + START_REG + 12, %ebx
	movl	prot + START_REG + 20, %ebp
	movl	prot + START_REG + 24, %esi
	movl	prot + START_REG + 28, %edi
	cmpl	$PROT_V86, prot + START_KIND
	je	5f
	movw	prot + START_ES, %es
	movw	prot + START_FS, %fs
	movw	prot + START_GS, %gs
	movw	prot + START_DS, %ds
5:	iretl

	/* --- coming back ------------------------------------------------------ */

	.balign 16
	.globl	prot_stubs
prot_stubs:
	.set	vec, 0
	.rept	256
	.balign 16
	.if	vec != 8 && (vec < 10 || vec > 14) && vec != 17
	pushl	$0
	.endif
	pushl	$vec
	jmp	prot_common
	.set	vec, vec + 1
	.endr

prot_common:
	pushal
	pushl	%ds
	pushl	%es
	pushl	%fs
	pushl	%gs
	movl	$SEL_KDATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	cld
	movl	%ss, %eax
	larl	%eax, %eax
	movl	%esp, %esi
	testl	$LAR_B, %eax
	jnz	1f
	movzwl	%si, %esi
1:	movl	%esi, %ebx
	movl	$prot_seen, %edi
	movl	$FRAME_WORDS, %ecx
	rep movsl %ss:(%esi), %es:(%edi)
	xorl	%eax, %eax
	str	%ax
	stosl
	sldt	%ax
	stosl
	movl	%cr0, %eax
	stosl
	movl	%cr2, %eax
	stosl
	movl	%cr3, %eax
	stosl
	movl	%dr6, %eax
	stosl
	movl	%dr7, %eax
	stosl
	movl	%ebx, %eax
	stosl
	xorl	%eax, %eax
	movw	%ss, %ax
	stosl
	clts
	movl	%cr0, %eax
	andl	$~CR0_PG, %eax
	movl	%eax, %cr0
	movl	$SEL_KDATA, %eax
	movl	%eax, %ss
	movl	saved_sp, %esp
	movl	%eax, %fs
	movl	%eax, %gs
	pushl	$2
	popfl
	xorl	%eax, %eax
	lldt	%ax
	lgdt	gdtr
	ret

	.data
	.globl	prot_gdt, prot_idt
	.balign 16
prot_gdtr:
	.word	PROT_NGDT * 8 - 1
	.long	prot_gdt
	.balign 4
prot_idtr:
	.word	256 * 8 - 1
	.long	prot_idt
	.balign 4
saved_sp:
	.long	0
	.bss
	.balign 16
prot_gdt:
	.space	PROT_NGDT * 8
prot_idt:
	.space	256 * 8

	.section .note.GNU-stack, "", @progbits
