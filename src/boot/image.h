/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * image.h - what the kernel loaders of this room share: the bytes of a file,
 * one load in progress, and the ways into a guest.
 *
 * The low memory a loader uses for itself is fixed.  Below 0x1000 lie the
 * interrupt vectors and the BIOS data area (0x400): bios.c's, which the
 * loaders leave alone.
 *
 *	0x01000  stack, growing down from 0x2000
 *	0x02000  GDT
 *	0x03000  boot_params, hvm_start_info or multiboot_info
 *	0x04000  command line, 16 KiB
 *	0x09000  page tables of the 64-bit entry, 6 pages, up to 0xf000
 *
 * A boot sector has none of these: it begins at 0x7c00, its stack ends there,
 * and the interrupt vectors are set.
 *
 * A loader may refuse a file for any reason, but whatever the file holds it
 * writes guest RAM below lowmem only, outside of these and of the firmware's
 * area (0x9fc00-0x100000), and never over what it wrote before.
 */
#ifndef BOOT_IMAGE_H
#define BOOT_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <util/util.h>

struct vmctx;
struct vcpu;

#define BOOT_BDA_GPA	   0x400
#define BOOT_LOW_GPA	   0x1000
#define BOOT_STACK_TOP	   0x2000
#define BOOT_GDT_GPA	   0x2000
#define BOOT_INFO_GPA	   0x3000
#define BOOT_INFO_SIZE	   0x1000
#define BOOT_CMDLINE_GPA   0x4000
#define BOOT_CMDLINE_SIZE  0x4000 /* with the final NUL */
#define BOOT_PAGETABLE_GPA 0x9000
#define BOOT_LOW_END	   0xf000
#define BOOT_SECTOR_GPA	   0x7c00
#define BOOT_FIRMWARE_GPA  0x9fc00 /* up to 1 MiB */
#define BOOT_VIDEO_GPA	   0xa0000
#define BOOT_BIOS_GPA	   0xfffe0 /* bios.c's code, up to 1 MiB */
#define BOOT_HIGH_GPA	   0x100000

/*
 * A file's bytes: in memory (`data`), or read from `fd` when asked for.  Never
 * mapped, because a file that shrinks would then kill us.
 */
struct boot_blob {
	const char *path;
	uint64_t size;
	const uint8_t *data;
	int fd;	     /* when data is NULL */
	void *owned; /* freed by boot_blob_close */
};
/*
 * 0 or -errno with `err`.  What cannot be seeked in (a pipe) is read now;
 * more than `max` bytes are refused.
 */
int boot_blob_open(struct boot_blob *, const char *path, uint64_t max,
    char *err, size_t err_len) WARN_UNUSED;
void boot_blob_close(struct boot_blob *);
/* All `len` bytes at `off`, or -EINVAL past the end, or -EIO. */
int boot_blob_read(const struct boot_blob *, uint64_t off, void *dst,
    uint64_t len) WARN_UNUSED;
/* As much as there is of the first `len` bytes; the count. */
size_t boot_blob_head(const struct boot_blob *, void *dst, size_t len);

#define BOOT_CLAIMS_MAX 72

struct boot_range {
	uint64_t base, len;
	const char *what; /* for messages */
};

/* One load: the inputs, what is taken of guest memory, where errors go. */
struct boot_load {
	struct vmctx *ctx;
	struct vcpu *bsp;
	struct boot_blob kernel;
	struct boot_blob initrd; /* size 0: none */
	const char *cmdline;
	uint64_t rsdp;
	uint64_t lowmem;
	struct boot_range claims[BOOT_CLAIMS_MAX];
	unsigned int nclaims;
	char *err;
	size_t err_len;
};

/* Sets ctx, bsp, memory limits and the claims every loader has to honour. */
void boot_load_init(struct boot_load *, struct vmctx *, struct vcpu *bsp,
    char *err, size_t err_len);

/* Formats the error line and returns `code`. */
int boot_fail(struct boot_load *, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int boot_verr(char *err, size_t err_len, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/*
 * Take [base, base+len) of low RAM.  Fails when it is not wholly RAM or
 * touches what is taken already.  len > 0.
 */
int boot_claim(struct boot_load *, uint64_t base, uint64_t len,
    const char *what) WARN_UNUSED;
bool boot_is_free(const struct boot_load *, uint64_t base, uint64_t len);
/* The loaders' own memory ends at `end`, below BOOT_LOW_END.  Before claims. */
void boot_release_low(struct boot_load *, uint64_t end);
/* Copy from a file, from memory, or zeroes; the range must be claimed. */
int boot_copy(struct boot_load *, const struct boot_blob *, uint64_t off,
    uint64_t gpa, uint64_t len) WARN_UNUSED;
int boot_put(
    struct boot_load *, uint64_t gpa, const void *src, size_t len) WARN_UNUSED;
int boot_zero(struct boot_load *, uint64_t gpa, uint64_t len) WARN_UNUSED;

/*
 * The initrd as high as it fits below `limit` (exclusive) and above 1 MiB,
 * page aligned.  Without one, *ret_gpa is 0.
 */
int boot_place_initrd(
    struct boot_load *, uint64_t limit, uint64_t *ret_gpa) WARN_UNUSED;
/* Vectors, data area and code of a BIOS that is not there; before the load. */
int boot_put_bios(struct boot_load *) WARN_UNUSED;
/* "prefix" + command line at BOOT_CMDLINE_GPA; max: longest without NUL. */
int boot_put_cmdline(
    struct boot_load *, const char *prefix, uint64_t max) WARN_UNUSED;

/* --- ways in ------------------------------------------------------ */

/* Flat 32-bit protected mode without paging, interrupts off. */
struct boot_entry32 {
	uint32_t eip, eax, ebx, esi;
};
int boot_enter_32(struct boot_load *, const struct boot_entry32 *) WARN_UNUSED;
/* Real mode at 0000:ip with that stack and DL, A20 on, interrupts off. */
int boot_enter_16(
    struct boot_load *, uint16_t ip, uint16_t sp, uint8_t dl) WARN_UNUSED;
/* Long mode, the low 4 GiB mapped one to one, interrupts off. */
int boot_enter_64(struct boot_load *, uint64_t rip, uint64_t rsi) WARN_UNUSED;

/* --- formats ------------------------------------------------------ */

/* probe: is it one of these, going by its magic?  load: all the rest. */
bool bzimage_probe(const struct boot_blob *);
int bzimage_load(struct boot_load *) WARN_UNUSED;
bool elf_pvh_probe(const struct boot_blob *);
int elf_pvh_load(struct boot_load *) WARN_UNUSED;
bool multiboot_probe(const struct boot_blob *);
int multiboot_load(struct boot_load *) WARN_UNUSED;
bool bootsector_probe(const struct boot_blob *);
int bootsector_load(struct boot_load *) WARN_UNUSED;

#endif /* BOOT_IMAGE_H */
