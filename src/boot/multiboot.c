/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * multiboot.c - kernels by the Multiboot specification 0.6.96 (version 1):
 * ELF files, or any file whose header carries load addresses (the "a.out
 * kludge").  kvm-unit-tests' .flat files are of this kind.
 *
 * As QEMU and GRUB Legacy do, the command line begins with the kernel's path
 * (kvm-unit-tests take it for argv[0]), and the module's string is the
 * initrd's path.  Missing on purpose: video modes, drives, APM, symbols.
 */
#include "elf_image.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <boot/boot.h>

#define MB_SEARCH	   8192 /* 3.1: "contained completely within" */
#define MB_ALIGN	   4
#define MB_HEADER_MAGIC	   0x1badb002
#define MB_BOOTLOADER_EAX  0x2badb002

#define MB_HDR_PAGE_ALIGN  BIT(0)
#define MB_HDR_MEMORY_INFO BIT(1)
#define MB_HDR_VIDEO_MODE  BIT(2)
#define MB_HDR_ADDRESSES   BIT(16)
/* Bits 0-15 are requirements; a video mode is one we may fail to give. */
#define MB_HDR_UNKNOWN                                                         \
	(0xffffu &                                                             \
	    ~(MB_HDR_PAGE_ALIGN | MB_HDR_MEMORY_INFO | MB_HDR_VIDEO_MODE))

struct mb_header {
	uint32_t magic, flags, checksum;
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr,
	    entry_addr;
};
static_assert(sizeof(struct mb_header) == 32, "3.1.1");
#define MB_HEADER_MIN	    12

#define MB_INFO_MEMORY	    BIT(0)
#define MB_INFO_CMDLINE	    BIT(2)
#define MB_INFO_MODS	    BIT(3)
#define MB_INFO_MMAP	    BIT(6)
#define MB_INFO_LOADER_NAME BIT(9)

struct mb_info {
	uint32_t flags;
	uint32_t mem_lower, mem_upper; /* KiB below 640 K, from 1 MiB up */
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t mods_count, mods_addr;
	uint32_t syms[4];
	uint32_t mmap_length, mmap_addr;
	uint32_t drives_length, drives_addr;
	uint32_t config_table;
	uint32_t boot_loader_name;
	uint32_t apm_table;
	uint32_t vbe[4];
};
static_assert(offsetof(struct mb_info, mmap_length) == 44, "3.3");
static_assert(offsetof(struct mb_info, boot_loader_name) == 64, "3.3");

struct mb_module {
	uint32_t mod_start, mod_end; /* end is exclusive */
	uint32_t string;
	uint32_t reserved;
};

struct mb_mmap {
	uint32_t size; /* of the rest */
	struct e820_entry e;
} __attribute__((packed));
static_assert(sizeof(struct mb_mmap) == 24, "3.3");

#define MODULE_STRING_MAX 256

/* The page at BOOT_INFO_GPA. */
struct mb_page {
	struct mb_info info;
	struct mb_module module;
	struct mb_mmap mmap[E820_MAX];
	char loader_name[16];
	char module_string[MODULE_STRING_MAX];
};
static_assert(sizeof(struct mb_page) <= BOOT_INFO_SIZE, "one page");
#define MB_GPA(member)                                                         \
	(BOOT_INFO_GPA + (uint32_t)offsetof(struct mb_page, member))

/* The header and where in the file it was. */
static bool
find_header(const struct boot_blob *b, struct mb_header *h, uint64_t *ret_off)
{
	uint8_t head[MB_SEARCH];
	const size_t len = boot_blob_head(b, head, sizeof(head));

	for (size_t off = 0; range_ok(off, MB_HEADER_MIN, len);
	     off += MB_ALIGN) {
		*h = (struct mb_header){ 0 };
		memcpy(h, head + off, MIN(sizeof(*h), len - off));
		if (h->magic != MB_HEADER_MAGIC ||
		    h->magic + h->flags + h->checksum != 0)
			continue;
		if ((h->flags & MB_HDR_ADDRESSES) != 0 &&
		    !range_ok(off, sizeof(*h), len))
			continue;
		*ret_off = off;
		return true;
	}
	return false;
}

bool
multiboot_probe(const struct boot_blob *b)
{
	struct mb_header h;
	uint64_t off;

	return find_header(b, &h, &off);
}

/* 3.1.3: the addresses say which part of the file goes where. */
static int
load_by_addresses(struct boot_load *l, const struct mb_header *h,
    uint64_t hdr_off, uint32_t *ret_entry)
{
	const uint64_t before = (uint64_t)h->header_addr - h->load_addr;
	uint64_t off, size, end;
	int rc;

	if (h->header_addr < h->load_addr || before > hdr_off)
		return boot_fail(l, -ENOEXEC,
		    "Multiboot load_addr 0x%x lies before the file's start",
		    h->load_addr);
	off = hdr_off - before;
	size = l->kernel.size - off;
	if (h->load_end_addr != 0) {
		if (h->load_end_addr <= h->load_addr ||
		    h->load_end_addr - h->load_addr > size)
			return boot_fail(l, -ENOEXEC,
			    "Multiboot load_end_addr 0x%x does not fit the"
			    " file",
			    h->load_end_addr);
		size = h->load_end_addr - h->load_addr;
	}
	end = h->load_addr + size;
	if (h->bss_end_addr != 0 && h->bss_end_addr < end)
		return boot_fail(l, -ENOEXEC,
		    "Multiboot bss_end_addr 0x%x is below the loaded part",
		    h->bss_end_addr);
	end = MAX(end, (uint64_t)h->bss_end_addr);
	if (h->entry_addr < h->load_addr || h->entry_addr >= end)
		return boot_fail(l, -ENOEXEC,
		    "Multiboot entry_addr 0x%x lies outside of the kernel",
		    h->entry_addr);
	*ret_entry = h->entry_addr;
	rc = boot_claim(l, h->load_addr, end - h->load_addr, "the kernel");
	if (rc == 0)
		rc = boot_copy(l, &l->kernel, off, h->load_addr, size);
	if (rc == 0)
		rc = boot_zero(
		    l, h->load_addr + size, end - h->load_addr - size);
	return rc;
}

/* An entry given as a virtual address is turned into a physical one. */
static int
load_elf(struct boot_load *l, uint32_t *ret_entry)
{
	struct elf_image img;
	const struct elf_seg *s;
	const char *why;
	uint64_t entry;

	if (!elf_image_parse(&l->kernel, &img, &why))
		return boot_verr(l->err, l->err_len, -ENOEXEC,
		    "%s is a Multiboot kernel but %s", l->kernel.path,
		    why != NULL ? why : "neither ELF nor with load addresses");
	s = elf_image_seg_at(&img, img.entry, true);
	entry = s != NULL ? s->paddr + (img.entry - s->vaddr) : img.entry;
	if (elf_image_seg_at(&img, entry, false) == NULL)
		return boot_fail(l, -ENOEXEC,
		    "the entry 0x%" PRIx64 " lies outside of the kernel",
		    img.entry);
	*ret_entry = (uint32_t)entry;
	return elf_image_load(l, &img);
}

static void
describe_memory(const struct boot_load *l, struct mb_page *pg)
{
	struct e820_entry map[E820_MAX];
	const unsigned int n = boot_e820(l->ctx, map);

	pg->info.flags |= MB_INFO_MEMORY | MB_INFO_MMAP;
	pg->info.mem_lower = BOOT_FIRMWARE_GPA / 1024;
	pg->info.mem_upper = (uint32_t)((l->lowmem - BOOT_HIGH_GPA) / 1024);
	pg->info.mmap_addr = MB_GPA(mmap);
	pg->info.mmap_length = (uint32_t)(n * sizeof(pg->mmap[0]));
	for (unsigned int i = 0; i < n; i++)
		pg->mmap[i] = (struct mb_mmap){
			.size = sizeof(pg->mmap[i].e),
			.e = map[i],
		};
}

static void
describe_module(const struct boot_load *l, struct mb_page *pg, uint64_t initrd)
{
	pg->info.flags |= MB_INFO_MODS;
	pg->info.mods_addr = MB_GPA(module);
	if (l->initrd.size == 0)
		return;
	pg->info.mods_count = 1;
	pg->module.mod_start = (uint32_t)initrd;
	pg->module.mod_end = (uint32_t)(initrd + l->initrd.size);
	pg->module.string = MB_GPA(module_string);
	snprintf(
	    pg->module_string, sizeof(pg->module_string), "%s", l->initrd.path);
}

static int
put_info(struct boot_load *l, uint64_t initrd)
{
	struct mb_page pg = {
		.info = {
			.flags = MB_INFO_CMDLINE | MB_INFO_LOADER_NAME,
			.cmdline = BOOT_CMDLINE_GPA,
			.boot_loader_name = MB_GPA(loader_name),
		},
		.loader_name = "bhyve",
	};

	describe_memory(l, &pg);
	describe_module(l, &pg, initrd);
	return boot_put(l, BOOT_INFO_GPA, &pg, sizeof(pg));
}

static int
put_path_and_cmdline(struct boot_load *l)
{
	char *prefix;
	int rc;

	if (asprintf(&prefix, "%s%s", l->kernel.path,
		l->cmdline[0] != '\0' ? " " : "") < 0)
		return boot_fail(l, -ENOMEM, "out of memory");
	rc = boot_put_cmdline(l, prefix, BOOT_CMDLINE_SIZE - 1);
	free(prefix);
	return rc;
}

int
multiboot_load(struct boot_load *l)
{
	struct mb_header h;
	uint64_t off, initrd = 0;
	uint32_t entry = 0;
	int rc;

	if (!find_header(&l->kernel, &h, &off))
		return boot_fail(l, -EIO, "it changed while it was read");
	if ((h.flags & MB_HDR_UNKNOWN) != 0)
		return boot_fail(l, -ENOEXEC,
		    "asks for Multiboot features we do not have (flags 0x%x)",
		    h.flags);
	if ((h.flags & MB_HDR_ADDRESSES) != 0)
		rc = load_by_addresses(l, &h, off, &entry);
	else
		rc = load_elf(l, &entry);
	if (rc == 0)
		rc = put_path_and_cmdline(l);
	if (rc == 0)
		rc = boot_place_initrd(l, l->lowmem, &initrd);
	if (rc == 0)
		rc = put_info(l, initrd);
	if (rc != 0)
		return rc;
	return boot_enter_32(l, &(struct boot_entry32){
				    .eip = entry,
				    .eax = MB_BOOTLOADER_EAX,
				    .ebx = BOOT_INFO_GPA,
				});
}
