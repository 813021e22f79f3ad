/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bootsector.c - a boot sector, as an IBM PC's BIOS starts one: the file's 512
 * bytes end with 55 AA, it goes to 0000:7C00 and is entered in real mode with
 * the drive's number in DL (Phoenix, "BIOS Boot Specification" 1.01).
 * What follows in the file lies behind it, as far as there is memory below the
 * firmware's: a whole 16-bit program, or a sector and its next stage.
 *
 * Missing on purpose: a BIOS.  All interrupt vectors lead to a few instructions
 * that say so on com1 and halt with interrupts off, which ends the machine.
 */
#include "image.h"

#include <errno.h>
#include <inttypes.h>

#include <vmm/mem.h>

#define SECTOR_SIZE   512
#define SIGNATURE_OFF 510
#define HDRS_OFF      514 /* Linux Documentation/arch/x86/boot.rst */
#define FIRST_DISK    0x80
#define VECTORS	      256

/* In the part of memory that BOOT_SECTOR_GPA leaves to us; up to 0x500 are
 * vectors and the BIOS data area. */
#define NO_BIOS_GPA 0x500

extern const uint8_t boot_no_bios[], boot_no_bios_end[];
/* Position independent; CS:IP is 0000:0500. */
__asm__(".pushsection .rodata\n"
	".global boot_no_bios, boot_no_bios_end\n"
	".hidden boot_no_bios, boot_no_bios_end\n"
	"boot_no_bios:\n"
	".code16\n"
	"	cli\n"
	"	cld\n"
	"	call	1f\n"
	"	.asciz	\"\\r\\nbhyve: no BIOS serves this interrupt\\r\\n\"\n"
	"1:	pop	%si\n"
	"2:	lodsb	%cs:(%si), %al\n"
	"	test	%al, %al\n"
	"	jz	4f\n"
	"	mov	%al, %ah\n"
	"	mov	$0x3fd, %dx\n" /* line status: may it send? */
	"3:	in	%dx, %al\n"
	"	test	$0x20, %al\n"
	"	jz	3b\n"
	"	mov	$0x3f8, %dx\n"
	"	mov	%ah, %al\n"
	"	out	%al, %dx\n"
	"	jmp	2b\n"
	"4:	hlt\n"
	"	jmp	4b\n"
	".code64\n"
	"boot_no_bios_end:\n"
	".popsection\n");

/* A bzImage that breaks off in its header is none: its first sector is one. */
static bool
is_linux(const uint8_t *head, size_t len)
{
	return len >= HDRS_OFF + 4 && memcmp(head + HDRS_OFF, "HdrS", 4) == 0;
}

bool
bootsector_probe(const struct boot_blob *b)
{
	uint8_t head[HDRS_OFF + 4];
	size_t len = boot_blob_head(b, head, sizeof(head));

	return len >= SECTOR_SIZE && head[SIGNATURE_OFF] == 0x55 &&
	       head[SIGNATURE_OFF + 1] == 0xaa && !is_linux(head, len);
}

static int
put_vectors(struct boot_load *l)
{
	uint32_t vector[VECTORS];

	for (unsigned int i = 0; i < VECTORS; i++)
		vector[i] = NO_BIOS_GPA; /* segment 0 */
	return boot_put(l, 0, vector, sizeof(vector));
}

int
bootsector_load(struct boot_load *l)
{
	const uint64_t max = BOOT_FIRMWARE_GPA - BOOT_SECTOR_GPA;
	int rc;

	if (l->initrd.size != 0 || l->cmdline[0] != '\0')
		return boot_fail(l, -EINVAL,
		    "a boot sector takes neither an initrd nor a command line");
	if (l->kernel.size > max)
		return boot_fail(l, -EFBIG,
		    "begins like a disk, and a boot sector with what follows"
		    " it may have %" PRIu64 " KiB; a disk is given by -s",
		    max / 1024);
	boot_release_low(l, BOOT_SECTOR_GPA);
	rc = boot_claim(l, BOOT_SECTOR_GPA, l->kernel.size, "the boot sector");
	if (rc == 0)
		rc = put_vectors(l);
	if (rc == 0)
		rc = boot_put(l, NO_BIOS_GPA, boot_no_bios,
		    (size_t)(boot_no_bios_end - boot_no_bios));
	if (rc == 0)
		rc = boot_copy(
		    l, &l->kernel, 0, BOOT_SECTOR_GPA, l->kernel.size);
	return rc != 0 ? rc
		       : boot_enter_16(
			     l, BOOT_SECTOR_GPA, BOOT_SECTOR_GPA, FIRST_DISK);
}
