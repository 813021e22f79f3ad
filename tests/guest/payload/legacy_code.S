/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * legacy_code.S - what is tested below long mode (legacy_call.S): 32-bit
 * protected mode without and with paging, 16-bit protected mode, real mode.
 * Every check stores into results[] or real_results[]; legacy.c looks at them
 * afterwards.
 */
#include "layout.h"
#include "legacy_code.h"

#define NVEC32	 32

	/* --- 32-bit traps ------------------------------------------------------- */

	.code32
	.balign 16
	.globl	stubs32
stubs32:
	.set	vec, 0
	.rept	NVEC32
	.balign 16
	.if	vec != 8 && (vec < 10 || vec > 14) && vec != 17
	pushl	$0
	.endif
	pushl	$vec
	jmp	common32
	.set	vec, vec + 1
	.endr
common32:
	/* vector, error, eip, cs, eflags */
	pushl	%eax
	pushl	%ds
	movl	$SEL_KDATA, %eax
	movl	%eax, %ds
	movl	8(%esp), %eax
	movl	%eax, vector32
	movl	12(%esp), %eax
	movl	%eax, error32
	movl	%cr2, %eax
	movl	%eax, cr2_32
	movl	resume32, %eax
	movl	%eax, 16(%esp)
	popl	%ds
	popl	%eax
	addl	$8, %esp
	iretl

	/* Result: vector << 16 | error code, or 0xffff0000 when nothing came. */
	.macro TRAP32 insn:vararg
	movl	$0xffff, vector32
	movl	$0, error32
	movl	$.Lr\@, resume32
	\insn
.Lr\@:	movl	vector32, %ebx
	shll	$16, %ebx
	orl	error32, %ebx
	RESULT	%ebx
	.endm

	.macro RESULT reg
	movl	nresults, %edi
	movl	\reg, results(,%edi,4)
	incl	nresults
	.endm

	/* --- segments ------------------------------------------------------------ */

	.globl	segments32
segments32:
	lidt	idtr32
	movl	$0, nresults
	movl	$SEL_SMALL, %eax
	movl	%eax, %fs
	movl	$0x11223344, buffer32 + 0xffc
	movl	%fs:0xffc, %eax
	RESULT	%eax
	TRAP32	movl %fs:0xffd, %eax
	TRAP32	movl %fs:0x1000, %eax
	TRAP32	movb %fs:0xffffffff, %al
	/* Expand-down: what is above the limit. */
	movl	$SEL_DOWN, %eax
	movl	%eax, %gs
	movl	%gs:0x1000, %eax
	TRAP32	movl %gs:0xfff, %eax
	TRAP32	movl %gs:0xffffffff, %eax
	/* Rights. */
	movl	$SEL_RO, %eax
	movl	%eax, %fs
	movl	%fs:buffer32, %eax
	TRAP32	movl %eax, %fs:buffer32
	TRAP32	movl %eax, %cs:buffer32
	movl	%cs:buffer32, %eax
	movl	$SEL_XO, %eax
	TRAP32	movl %eax, %fs
	movl	$SEL_ABSENT, %eax
	TRAP32	movl %eax, %fs
	TRAP32	movl %eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	TRAP32	movl %fs:0, %eax
	TRAP32	movl %eax, %ss
	/* A call gate of our own privilege, and back. */
	movl	$0, gate_hits
	lcall	$SEL_GATE, $0
	movl	gate_hits, %eax
	RESULT	%eax
	/* Far call and return; the pushed CS is ours. */
	lcall	$SEL_KCODE32, $far32
	RESULT	%eax
	/* 16-bit code: its registers wrap as 16 bits do. */
	lcall	$SEL_KCODE16, $(pm16 - real_begin)
	RESULT	%eax
	RESULT	%ecx
	ret
	.globl	gate_target
gate_target:
	incl	gate_hits
	lret
far32:	movl	4(%esp), %eax
	lret

	/* --- instructions that 64-bit mode has not ---------------------------------- */

	.macro BCD insn, ax, flags=0x202
	pushl	$\flags
	popfl
	movl	$\ax, %eax
	\insn
	pushfl
	popl	%ecx
	RESULT	%eax
	andl	$0x11, %ecx
	RESULT	%ecx
	.endm

	.globl	old_insns32
old_insns32:
	lidt	idtr32
	movl	$0, nresults
	BCD	daa, 0x79
	BCD	daa, 0x9b
	BCD	daa, 0x23, 0x213
	BCD	das, 0x47, 0x212
	BCD	das, 0x9f
	BCD	aaa, 0x0f
	BCD	aaa, 0x01f5
	BCD	aas, 0x020c
	BCD	aas, 0x0203
	movl	$0x004d, %eax
	aam
	RESULT	%eax
	movl	$0x0205, %eax
	aad
	RESULT	%eax
	movl	$0x12, %eax
	TRAP32	.byte 0xd4, 0
	.byte	0xd4, 0x10 /* AAM 16 splits nibbles */
	RESULT	%eax
	/* PUSHA stores the old ESP; POPA skips it. */
	movl	%esp, %esi
	movl	$0x1111, %ebp
	movl	$0x2222, %ebx
	pushal
	movl	12(%esp), %eax
	subl	%esi, %eax
	movl	%eax, farptr
	movl	$0xdead, 12(%esp)
	popal
	movl	farptr, %eax
	RESULT	%eax
	RESULT	%ebp
	RESULT	%ebx
	movl	%esp, %eax
	subl	%esi, %eax
	RESULT	%eax
	/* LES, LFS load selector and offset. */
	movl	$0x12345678, farptr
	movw	$SEL_KDATA, farptr + 4
	lfs	farptr, %eax
	RESULT	%eax
	movl	%fs, %eax
	RESULT	%eax
	/* BOUND, INTO. */
	movl	$3, farptr
	movl	$7, farptr + 4
	movl	$7, %eax
	TRAP32	bound %eax, farptr
	movl	$8, %eax
	TRAP32	bound %eax, farptr
	movb	$0x7f, %al
	incb	%al
	TRAP32	into
	/* ARPL. */
	movl	$0x10, %eax
	movl	$0x13, %ecx
	arpl	%cx, %ax
	setz	%cl
	RESULT	%eax
	/* SALC, undocumented and everywhere. */
	stc
	.byte	0xd6
	movzbl	%al, %eax
	RESULT	%eax
	/* 40-4f are INC and DEC here. */
	movl	$5, %eax
	.byte	0x40, 0x40, 0x48
	RESULT	%eax
	/* SYSENTER with a null CS. */
	movl	$0x174, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	TRAP32	sysenter
	/* 16-bit addressing. */
	movl	$0xdead0000, %ebx
	movw	$small16, %bx
	xorl	%esi, %esi
	addr16 leal 2(%bx,%si), %eax
	RESULT	%eax
	ret
	.set	small16, 0x1234

	/* --- paging of 32 bits -------------------------------------------------------- */

	.globl	paging32, paging_pae
paging32:
	lidt	idtr32
	movl	$0, nresults
	movl	$0x10, %eax /* PSE */
	movl	%eax, %cr4
	movl	pd32_addr, %eax
	movl	%eax, %cr3
	movl	%cr0, %eax
	orl	$0x80010000, %eax
	movl	%eax, %cr0
	jmp	page_tests
paging_pae:
	lidt	idtr32
	movl	$0, nresults
	movl	$0x20, %eax
	movl	%eax, %cr4
	movl	pdpt_pae_addr, %eax
	movl	%eax, %cr3
	movl	%cr0, %eax
	orl	$0x80010000, %eax
	movl	%eax, %cr0
page_tests:
	/* 0xc0000000: a frame with a magic number, writable. */
	movl	0xc0000000, %eax
	RESULT	%eax
	movl	$0x87654321, 0xc0000004
	/* 0xc0001000: the same, read-only.  0xc0002000: nothing. */
	movl	0xc0001004, %eax
	RESULT	%eax
	TRAP32	movl %eax, 0xc0001000
	TRAP32	movl 0xc0002004, %eax
	movl	cr2_32, %eax
	RESULT	%eax
	/* A large page: 0xd0000000 is 0 once more. */
	movl	0xd0000000 + REAL_BASE, %eax
	subl	REAL_BASE, %eax
	RESULT	%eax
	movl	%cr0, %eax
	andl	$0x7fffffff, %eax
	movl	%eax, %cr0
	ret

	/* --- real mode ------------------------------------------------------------------ */

	.globl	real32
real32:
	movl	%esp, saved_esp
	ljmp	$SEL_KCODE16, $(to_real - real_begin)
from_real:
	movl	$SEL_KDATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	saved_esp, %esp
	lidt	idtr32
	ret

	.code16
	.globl	real_begin, real_end, real_results
	.balign 16
real_begin:
	.set	R, real_begin
pm16:	/* 16-bit protected mode, called from 32-bit code. */
	movl	$0x1ffff, %eax
	addw	$1, %ax		/* 0x10000 */
	movl	$0x30000, %ecx
1:	incl	%eax
	loop	1b		/* CX is 0: 65536 times */
	.byte	0x66
	lret

to_real:
	movw	$SEL_KDATA16, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %fs
	movw	%ax, %gs
	movw	%ax, %ss
	movl	%cr0, %eax
	andl	$~1, %eax
	movl	%eax, %cr0
	ljmpw	$REAL_SEG, $(real_start - R)
real_start:
	movw	$REAL_SEG, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	movw	%ax, %es
	movl	$0xf000, %esp
	lidtl	ivt_ptr - R
	movw	$real_results - R, %di
	movw	%di, result_at - R

	/* Clobbers nothing. */
	.macro RRES reg
	pushw	%di
	movw	result_at - R, %di
	movw	\reg, (%di)
	addw	$2, result_at - R
	popw	%di
	.endm
	.macro RTRAP insn:vararg
	movw	$0xffff, real_vector - R
	movw	$.Lt\@ - R, real_resume - R
	\insn
.Lt\@:	pushw	%ax
	movw	real_vector - R, %ax
	RRES	%ax
	popw	%ax
	.endm

	/* 0, 1: INT through the vector table; flags. */
	movw	$0, int_flags - R
	sti
	int	$0x40
	cli
	RRES	%ax
	movw	int_flags - R, %ax
	andw	$0x300, %ax
	RRES	%ax
	/* 2: #DE, 3: #BR, 4: #UD. */
	RTRAP	.byte 0x31, 0xc9, 0xf7, 0xf1 /* xor %cx, %cx; div %cx */
	movw	$9, %ax
	RTRAP	bound %ax, real_bounds - R
	RTRAP	ud2
	/* 5: a word at 0xffff is beyond the limit: #GP; 6: by SS: #SS. */
	RTRAP	movw 0xffff, %ax
	movw	$0xffff, %bp
	RTRAP	movw (%bp), %ax
	/* 7: a byte there is not. */
	RTRAP	movb 0xffff, %al
	/* 8: an address of 32 bits. */
	movl	$0x10000, %ebx
	RTRAP	movb (%ebx), %al
	/* 9: 16-bit address arithmetic wraps. */
	movw	$0xbeef, wrap_cell - R
	movw	$0xff00, %bx
	movw	$wrap_cell - R + 0x100, %si
	movw	(%bx,%si), %ax
	RRES	%ax
	/* 10: far call, 11: with another segment for the same code. */
	lcallw	$REAL_SEG, $(far_code - R)
	RRES	%ax
	lcallw	$(REAL_SEG + 1), $(far_code - R - 16)
	RRES	%ax
	/* 12: the stack wraps from 0 to 0xfffe. */
	movw	$DATA_SEG, %ax
	movw	%ax, %ss
	xorw	%sp, %sp
	pushw	$0x7b7b
	movw	%sp, %bx
	movw	$DATA_SEG, %ax
	movw	%ax, %es
	movw	%es:0xfffe, %cx
	movw	$REAL_SEG, %ax
	movw	%ax, %ss
	movw	$0xf000, %sp
	RRES	%bx
	RRES	%cx		/* 13 */
	/* 14: DI wraps in a string store. */
	movw	$0xfffe, %di
	movw	$4, %cx
	movb	$0x5c, %al
	cld
	rep stosb
	movw	%di, %bx
	RRES	%bx
	movw	%es:0, %ax	/* 15 */
	RRES	%ax
	/* 16: A20 is on: FFFF:0010 is 1 MiB. */
	movw	$0xffff, %ax
	movw	%ax, %es
	movw	%es:0x10, %ax
	RRES	%ax
	/* 17: unreal mode: FS keeps a limit of 4 GiB. */
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	movw	$SEL_KDATA, %bx
	movw	%bx, %fs
	andb	$0xfe, %al
	movl	%eax, %cr0
	movl	$0x100000, %ebx
	movw	%fs:(%ebx), %ax
	RRES	%ax
	/* 18: reloading FS sets the base and keeps the limit. */
	movw	$0x1000, %cx
	movw	%cx, %fs
	movl	$0xf0000, %ebx
	movw	%fs:(%ebx), %ax
	RRES	%ax
	/* 19: 32-bit operands; 20: PUSHA of 16 bits. */
	movl	$0x12345678, %eax
	addl	$0x11111111, %eax
	shrl	$16, %eax
	RRES	%ax
	movw	%sp, %bx
	pushaw
	movw	%sp, int_flags - R
	popaw
	subw	int_flags - R, %bx
	RRES	%bx
	/* 21, 22: ENTER and LEAVE of 16 bits. */
	movw	%sp, %cx
	enter	$6, $0
	movw	%bp, %dx
	subw	%sp, %dx
	leave
	subw	%sp, %cx
	RRES	%dx
	RRES	%cx
	/* 23: far return with an immediate; 24: IRET by hand. */
	movw	%sp, %bx
	pushw	$0x99
	pushw	%cs
	pushw	$1f - R
	lretw	$2
1:	subw	%sp, %bx
	RRES	%bx
	pushw	$0x0401
	pushw	%cs
	pushw	$1f - R
	iretw
1:	pushfw
	popw	%ax
	cld
	andw	$0x0ed5, %ax
	RRES	%ax
	/* 25: no such instruction in real mode; 26, 27: control registers. */
	RTRAP	lldt %ax
	RTRAP	movl %cr0, %eax
	RTRAP	.byte 0x0f, 0x20, 0xc8 /* mov %cr1, %eax */

	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$SEL_KCODE32, $from_real

int40:
	pushw	%bp
	movw	%sp, %bp
	pushw	%bx
	pushfw
	popw	%bx
	movw	%bx, %cs:int_flags - R
	movw	6(%bp), %ax	/* saved flags */
	andw	$0x300, %ax
	popw	%bx
	popw	%bp
	iretw

far_code:
	movw	%cs, %ax
	lretw

	.globl	real_stubs
	.balign 8
real_stubs:
	.set	vec, 0
	.rept	20
	.balign 8
	pushw	$vec
	jmp	real_common
	.set	vec, vec + 1
	.endr
real_common:
	pushw	%bp
	movw	%sp, %bp
	pushw	%ax
	movw	2(%bp), %ax
	movw	%ax, %cs:real_vector - R
	movw	%cs:real_resume - R, %ax
	movw	%ax, 4(%bp)
	popw	%ax
	popw	%bp
	addw	$2, %sp
	iretw

	.balign 8
ivt_ptr:
	.word	0x3ff
	.long	0
result_at:
	.word	0
real_vector:
	.word	0
real_resume:
	.word	0
int_flags:
	.word	0
real_bounds:
	.word	1, 8
wrap_cell:
	.word	0
	.globl	real_int40
	.balign 4
real_int40:
	.word	int40 - R
real_results:
	.space	128
real_end:

	.data
	.balign 8
	.globl	idtr32, results, nresults, buffer32, pd32_addr, pdpt_pae_addr
idtr32:
	.word	NVEC32 * 8 - 1
	.long	idt32
	.balign 8
saved_esp:
	.long	0
vector32:
	.long	0
error32:
	.long	0
cr2_32:	.long	0
resume32:
	.long	0
nresults:
	.long	0
gate_hits:
	.long	0
pd32_addr:
	.long	0
pdpt_pae_addr:
	.long	0
farptr:	.quad	0
results:
	.space	4 * 128
	.bss
	.globl	idt32
	.balign 4096
buffer32:
	.space	4096
idt32:	.space	NVEC32 * 8

	.section .note.GNU-stack, "", @progbits
