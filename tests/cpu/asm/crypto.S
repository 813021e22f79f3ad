/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AES, PCLMULQDQ and SHA by published answers: FIPS 197 appendix C.1, the
 * carry-less products of Intel's white paper 323640, and SHA-256 of "abc"
 * (FIPS 180-4).
 */
#include "rt.h"

#define ECX_AES_PCLMUL 0x2000002
#define EBX_SHA	       0x20000000

	.section .rodata
	.balign 16
key:	.byte	0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07
	.byte	0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f
plain:	.byte	0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77
	.byte	0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff
cipher:	.byte	0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30
	.byte	0xd8, 0xcd, 0xb7, 0x80, 0x70, 0xb4, 0xc5, 0x5a
clm_a:	.quad	0x63746f725d53475d, 0x7b5b546573745665
clm_b:	.quad	0x5b477565726f6e5d, 0x4869285368617929
clm_00:	.quad	0x929633d5d36f0451, 0x1d4d84c85c3440c0
clm_01:	.quad	0xbabf262df4b7d5c9, 0x1a2bf6db3a30862f
clm_10:	.quad	0x7fa540ac2a281315, 0x1bd17c8d556ab5a1
clm_11:	.quad	0xd66ee03e410fd4ed, 0x1d1e1f2c592e7c45
sha_k:	.long	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1
	.long	0x923f82a4, 0xab1c5ed5
	.long	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe
	.long	0x9bdc06a7, 0xc19bf174
	.long	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa
	.long	0x5cb0a9dc, 0x76f988da
	.long	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147
	.long	0x06ca6351, 0x14292967
	.long	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb
	.long	0x81c2c92e, 0x92722c85
	.long	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624
	.long	0xf40e3585, 0x106aa070
	.long	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a
	.long	0x5b9cca4f, 0x682e6ff3
	.long	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb
	.long	0xbef9a3f7, 0xc67178f2
/* ABEF and CDGH, low word first. */
sha_abef: .long	0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667
sha_cdgh: .long	0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372
sha_msg: .long	0x61626380, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 24
want_abef: .long 0x96177a9c, 0xb00361a3, 0x8f01cfea, 0xba7816bf
want_cdgh: .long 0xf20015ad, 0xb410ff61, 0x5dae2223, 0x414140de

	.macro SAME a, b
	pcmpeqb	\a, \b
	pmovmskb \b, %eax
	cmpl	$0xffff, %eax
	.endm

	/* The next AES-128 round key from xmm1 into xmm1 and (rdi). */
	.macro EXPAND rcon
	aeskeygenassist $\rcon, %xmm1, %xmm2
	pshufd	$0xff, %xmm2, %xmm2
	movdqa	%xmm1, %xmm3
	.rept	3
	pslldq	$4, %xmm3
	pxor	%xmm3, %xmm1
	.endr
	pxor	%xmm2, %xmm1
	movdqa	%xmm1, (%rdi)
	addq	$16, %rdi
	.endm

	.bss
	.balign 16
rk:	.space	16 * 11
w:	.space	64

MAIN
	NEEDS(1, %ecx, ECX_AES_PCLMUL)
	movdqa	key, %xmm1
	movdqa	%xmm1, rk
	movl	$rk + 16, %edi
	.irp	rcon, 1, 2, 4, 8, 16, 32, 64, 128, 0x1b, 0x36
	EXPAND	\rcon
	.endr
	movdqa	plain, %xmm0
	pxor	rk, %xmm0
	.irp	r, 1, 2, 3, 4, 5, 6, 7, 8, 9
	aesenc	rk + 16 * \r, %xmm0
	.endr
	aesenclast rk + 160, %xmm0
	movdqa	%xmm0, %xmm5
	SAME	cipher, %xmm5
	OK_IF(e)
	pxor	rk + 160, %xmm0
	.irp	r, 9, 8, 7, 6, 5, 4, 3, 2, 1
	aesimc	rk + 16 * \r, %xmm1
	aesdec	%xmm1, %xmm0
	.endr
	aesdeclast rk, %xmm0
	SAME	plain, %xmm0
	OK_IF(e)

	movdqa	clm_a, %xmm0
	pclmulqdq $0x00, clm_b, %xmm0
	SAME	clm_00, %xmm0
	OK_IF(e)
	movdqa	clm_a, %xmm0
	pclmulqdq $0x01, clm_b, %xmm0
	SAME	clm_01, %xmm0
	OK_IF(e)
	movdqa	clm_a, %xmm0
	pclmulqdq $0x10, clm_b, %xmm0
	SAME	clm_10, %xmm0
	OK_IF(e)
	movdqa	clm_a, %xmm0
	movdqa	clm_b, %xmm1
	pclmulqdq $0x11, %xmm1, %xmm0
	SAME	clm_11, %xmm0
	OK_IF(e)

	/* Not every host has SHA; both worlds then stop here. */
	movl	$7, %eax
	xorl	%ecx, %ecx
	cpuid
	testl	$EBX_SHA, %ebx
	jnz	1f
	ret
	/* Message schedule in w, four rounds at a time. */
1:	movdqa	sha_abef, %xmm1
	movdqa	sha_cdgh, %xmm2
	movdqa	sha_msg, %xmm4
	movdqa	sha_msg + 16, %xmm5
	movdqa	sha_msg + 32, %xmm6
	movdqa	sha_msg + 48, %xmm7
	xorl	%ecx, %ecx
2:	movdqa	%xmm4, %xmm0
	paddd	sha_k(%rcx), %xmm0
	sha256rnds2 %xmm0, %xmm1, %xmm2
	pshufd	$0x0e, %xmm0, %xmm0
	sha256rnds2 %xmm0, %xmm2, %xmm1
	/* w[t+16..t+19] from the four groups. */
	movdqa	%xmm4, %xmm3
	sha256msg1 %xmm5, %xmm3
	movdqa	%xmm7, %xmm8
	palignr	$4, %xmm6, %xmm8
	paddd	%xmm8, %xmm3
	sha256msg2 %xmm7, %xmm3
	movdqa	%xmm5, %xmm4
	movdqa	%xmm6, %xmm5
	movdqa	%xmm7, %xmm6
	movdqa	%xmm3, %xmm7
	addl	$16, %ecx
	cmpl	$256, %ecx
	jne	2b
	paddd	sha_abef, %xmm1
	paddd	sha_cdgh, %xmm2
	DUMPX	%xmm1
	DUMPX	%xmm2
	SAME	want_abef, %xmm1
	OK_IF(e)
	SAME	want_cdgh, %xmm2
	OK_IF(e)
	/* SHA-1's, for the second CPU to judge. */
	movdqa	key, %xmm1
	movdqa	plain, %xmm2
	sha1nexte %xmm2, %xmm1
	DUMPX	%xmm1
	sha1msg1 %xmm2, %xmm1
	sha1msg2 %xmm2, %xmm1
	DUMPX	%xmm1
	.irp	imm, 0, 1, 2, 3
	sha1rnds4 $\imm, %xmm2, %xmm1
	DUMPX	%xmm1
	.endr
	ret

	.section .note.GNU-stack, "", @progbits
