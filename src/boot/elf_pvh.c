/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf_pvh.c - ELF kernels by the PVH boot ABI (Xen docs/misc/pvh.pandoc,
 * public/arch-x86/hvm/start_info.h): the note XEN_ELFNOTE_PHYS32_ENTRY names
 * a 32-bit entry, EBX points to hvm_start_info version 1.
 *
 * Linux with CONFIG_PVH (its uncompressed vmlinux), FreeBSD, and several
 * unikernels carry the note.
 */
#include "elf_image.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include <boot/boot.h>

#define XEN_ELFNOTE_PHYS32_ENTRY  18
#define NOTES_MAX		  (64u << 10) /* bytes in one PT_NOTE */

#define XEN_HVM_START_MAGIC_VALUE 0x336ec578
#define XEN_HVM_START_VERSION	  1

struct hvm_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist_paddr;
	uint64_t cmdline_paddr;
	uint64_t rsdp_paddr;
	uint64_t memmap_paddr;
	uint32_t memmap_entries;
	uint32_t reserved;
};
static_assert(sizeof(struct hvm_start_info) == 56, "start_info.h");

struct hvm_modlist_entry {
	uint64_t paddr;
	uint64_t size;
	uint64_t cmdline_paddr;
	uint64_t reserved;
};
static_assert(sizeof(struct hvm_modlist_entry) == 32, "start_info.h");

/* Types are those of e820. */
struct hvm_memmap_table_entry {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};
static_assert(sizeof(struct hvm_memmap_table_entry) == 24, "start_info.h");

/* The page at BOOT_INFO_GPA. */
struct pvh_info {
	struct hvm_start_info start;
	struct hvm_modlist_entry module;
	struct hvm_memmap_table_entry memmap[E820_MAX];
};
static_assert(sizeof(struct pvh_info) <= BOOT_INFO_SIZE, "one page");

/* The descriptor of one note: an address of 4 or 8 bytes. */
static bool
note_entry(const uint8_t *desc, uint32_t len, uint64_t *ret_entry)
{
	if (len == 4)
		*ret_entry = get_le32(desc);
	else if (len == 8)
		*ret_entry = get_le64(desc);
	else
		return false;
	return true;
}

/*
 * Notes: {namesz, descsz, type}, name, desc, each part padded.  Every round
 * moves on by at least the 12 bytes of the header.
 */
static bool
scan_notes(const uint8_t *p, uint64_t len, uint64_t align, uint64_t *ret_entry)
{
	const uint64_t hdr = sizeof(Elf32_Nhdr);
	uint64_t off = 0, desc, next;

	while (range_ok(off, hdr, len)) {
		const uint32_t namesz = get_le32(p + off);
		const uint32_t descsz = get_le32(p + off + 4);
		const uint32_t type = get_le32(p + off + 8);

		desc = ROUND_UP(off + hdr + namesz, align);
		next = ROUND_UP(desc + descsz, align);
		if (!range_ok(desc, descsz, len))
			return false;
		if (type == XEN_ELFNOTE_PHYS32_ENTRY && namesz == 4 &&
		    memcmp(p + off + hdr, "Xen", 4) == 0 &&
		    note_entry(p + desc, descsz, ret_entry))
			return true;
		off = next;
	}
	return false;
}

static bool
find_entry(
    const struct boot_blob *b, const struct elf_image *img, uint64_t *ret_entry)
{
	bool found = false;

	for (unsigned int i = 0; i < img->nsegs && !found; i++) {
		const struct elf_seg *s = &img->seg[i];
		const uint64_t len = MIN(s->filesz, (uint64_t)NOTES_MAX);
		uint8_t *p;

		if (s->type != PT_NOTE || len == 0)
			continue;
		p = malloc(len);
		if (p != NULL && boot_blob_read(b, s->off, p, len) == 0)
			found = scan_notes(
			    p, len, s->align == 8 ? 8 : 4, ret_entry);
		free(p);
	}
	return found;
}

bool
elf_pvh_probe(const struct boot_blob *b)
{
	struct elf_image img;
	const char *why;
	uint64_t entry;

	return elf_image_parse(b, &img, &why) && find_entry(b, &img, &entry);
}

static int
put_start_info(struct boot_load *l, uint64_t initrd)
{
	const uint64_t base = BOOT_INFO_GPA;
	struct e820_entry map[E820_MAX];
	const unsigned int n = boot_e820(l->ctx, map);
	struct pvh_info info = {
		.start = {
			.magic = XEN_HVM_START_MAGIC_VALUE,
			.version = XEN_HVM_START_VERSION,
			.cmdline_paddr = BOOT_CMDLINE_GPA,
			.rsdp_paddr = l->rsdp,
			.memmap_paddr = base + offsetof(struct pvh_info, memmap),
			.memmap_entries = n,
		},
	};

	if (l->initrd.size != 0) {
		info.start.nr_modules = 1;
		info.start.modlist_paddr =
		    base + offsetof(struct pvh_info, module);
		info.module.paddr = initrd;
		info.module.size = l->initrd.size;
	}
	for (unsigned int i = 0; i < n; i++)
		info.memmap[i] = (struct hvm_memmap_table_entry){
			.addr = map[i].base,
			.size = map[i].len,
			.type = map[i].type,
		};
	return boot_put(l, base, &info, sizeof(info));
}

int
elf_pvh_load(struct boot_load *l)
{
	struct elf_image img;
	const char *why;
	uint64_t entry = 0, initrd;
	int rc;

	if (!elf_image_parse(&l->kernel, &img, &why) ||
	    !find_entry(&l->kernel, &img, &entry))
		return boot_fail(l, -EIO, "it changed while it was read");
	if (elf_image_seg_at(&img, entry, false) == NULL)
		return boot_fail(l, -ENOEXEC,
		    "the PVH entry 0x%" PRIx64 " lies outside of the kernel",
		    entry);
	rc = elf_image_load(l, &img);
	if (rc == 0)
		rc = boot_put_cmdline(l, "", BOOT_CMDLINE_SIZE - 1);
	if (rc == 0)
		rc = boot_place_initrd(l, l->lowmem, &initrd);
	if (rc == 0)
		rc = put_start_info(l, initrd);
	if (rc != 0)
		return rc;
	return boot_enter_32(l, &(struct boot_entry32){
				    .eip = (uint32_t)entry,
				    .ebx = BOOT_INFO_GPA,
				});
}
