/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bios.c - the little of an IBM PC's BIOS that kernels look for when no BIOS
 * started them: words of its data area, the entry that starts the machine anew,
 * and services that all fail.  A boot sector, which needs them to work, has
 * vectors of its own.  Missing on purpose: a BIOS.
 */
#include "image.h"

#define BDA_EBDA_SEGMENT 0x0e
#define BDA_MEMORY_KIB	 0x13

/* The services among the interrupts: video to time of day. */
#define SERVICE_FIRST	0x10
#define SERVICE_LAST	0x1a

#define RESET_GPA	0xffff0 /* F000:FFF0 */
#define SERVICE_SEGMENT (BOOT_BIOS_GPA >> 16 << 12)

/*
 * Kernels take the lowest of these words and of their loader's map for the end
 * of conventional memory; Xen goes down from there, and from zero it comes to
 * the APICs' pages.
 */
static int
put_bda(struct boot_load *l)
{
	uint8_t bda[BDA_MEMORY_KIB + 2] = { 0 };
	const uint8_t ebda_kib = (BOOT_VIDEO_GPA - BOOT_FIRMWARE_GPA) / 1024;
	int rc;

	put_le16(bda + BDA_EBDA_SEGMENT, BOOT_FIRMWARE_GPA / 16);
	put_le16(bda + BDA_MEMORY_KIB, BOOT_FIRMWARE_GPA / 1024);
	rc = boot_put(l, BOOT_BDA_GPA, bda, sizeof(bda));
	/* The extended area begins with its length. */
	return rc != 0 ? rc : boot_put(l, BOOT_FIRMWARE_GPA, &ebda_kib, 1);
}

/*
 * Xen goes back to real mode to ask for what its loader said already.  Each
 * service fails as one does that a BIOS has not, with carry and AH 86, so that
 * the loader is believed.
 */
static int
put_services(struct boot_load *l)
{
	static const uint8_t code[] = {
		0x55,			/* push	%bp */
		0x89, 0xe5,		/* mov	%sp, %bp */
		0x80, 0x4e, 0x06, 0x01, /* orb	$1, 6(%bp): FLAGS */
		0x5d,			/* pop	%bp */
		0xb4, 0x86,		/* mov	$0x86, %ah */
		0xcf,			/* iret */
	};
	uint8_t vector[4 * (SERVICE_LAST - SERVICE_FIRST + 1)];
	int rc;

	for (size_t i = 0; i < sizeof(vector); i += 4) {
		put_le16(vector + i, BOOT_BIOS_GPA & 0xffff);
		put_le16(vector + i + 2, SERVICE_SEGMENT);
	}
	rc = boot_put(l, 4 * SERVICE_FIRST, vector, sizeof(vector));
	return rc != 0 ? rc : boot_put(l, BOOT_BIOS_GPA, code, sizeof(code));
}

/* Where real-mode programs jump to, and Linux with reboot=b. */
static int
put_reset(struct boot_load *l)
{
	static const uint8_t code[] = {
		0xb0, 0x06,	  /*	mov $6, %al */
		0xba, 0xf9, 0x0c, /*	mov $0xcf9, %dx */
		0xee,		  /*	out %al, %dx */
		0xf4,		  /* 1:	hlt */
		0xeb, 0xfd,	  /*	jmp 1b */
	};

	return boot_put(l, RESET_GPA, code, sizeof(code));
}

int
boot_put_bios(struct boot_load *l)
{
	int rc = put_bda(l);

	if (rc == 0)
		rc = put_services(l);
	return rc != 0 ? rc : put_reset(l);
}
