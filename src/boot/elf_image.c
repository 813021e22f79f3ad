/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf_image.c - program headers of ELF kernels (System V gABI chapter 5),
 * 32-bit and 64-bit, for the PVH and Multiboot loaders.
 *
 * Sections, symbols and relocations are not looked at.  Sizes and offsets are
 * whatever the file says: elf_image_load() checks each before it is used.
 */
#include "elf_image.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>

union ehdr {
	unsigned char ident[EI_NIDENT];
	Elf32_Ehdr e32;
	Elf64_Ehdr e64;
};
union phdr {
	Elf32_Phdr p32;
	Elf64_Phdr p64;
};

/* What both classes have, widened. */
struct geometry {
	uint16_t type, machine, phentsize, phnum;
	uint64_t phoff, entry;
};

#define GEOMETRY(e)                                                            \
	(struct geometry)                                                      \
	{                                                                      \
		.type = (e).e_type, .machine = (e).e_machine,                  \
		.phentsize = (e).e_phentsize, .phnum = (e).e_phnum,            \
		.phoff = (e).e_phoff, .entry = (e).e_entry                     \
	}
#define SEGMENT(p)                                                             \
	(struct elf_seg)                                                       \
	{                                                                      \
		.type = (p).p_type, .off = (p).p_offset, .vaddr = (p).p_vaddr, \
		.paddr = (p).p_paddr, .filesz = (p).p_filesz,                  \
		.memsz = (p).p_memsz, .align = (p).p_align                     \
	}

static const char *
check_geometry(const struct geometry *g, size_t phsize)
{
	if (g->type != ET_EXEC && g->type != ET_DYN)
		return "an ELF file that is not a program";
	if (g->machine != EM_386 && g->machine != EM_X86_64)
		return "an ELF program for another processor";
	if (g->phentsize != phsize)
		return "an ELF file with program headers of an unknown size";
	if (g->phnum == 0 || g->phnum > ELF_IMAGE_PHDRS_MAX)
		return "an ELF file with no or too many program headers";
	return NULL;
}

static bool
read_segment(
    const struct boot_blob *b, bool is64, uint64_t off, struct elf_seg *seg)
{
	union phdr p;

	if (boot_blob_read(b, off, &p, is64 ? sizeof(p.p64) : sizeof(p.p32)) !=
	    0)
		return false;
	*seg = is64 ? SEGMENT(p.p64) : SEGMENT(p.p32);
	return true;
}

bool
elf_image_parse(
    const struct boot_blob *b, struct elf_image *img, const char **ret_why)
{
	union ehdr e = { .ident = { 0 } };
	struct geometry g;
	uint64_t off;

	*ret_why = NULL;
	if (boot_blob_head(b, &e, sizeof(e)) < sizeof(e.e32) ||
	    memcmp(e.ident, ELFMAG, SELFMAG) != 0)
		return false;
	img->is64 = e.ident[EI_CLASS] == ELFCLASS64;
	g = img->is64 ? GEOMETRY(e.e64) : GEOMETRY(e.e32);
	*ret_why = e.ident[EI_DATA] != ELFDATA2LSB
		       ? "a big-endian ELF file"
		       : check_geometry(&g, img->is64 ? sizeof(Elf64_Phdr)
						      : sizeof(Elf32_Phdr));
	if (*ret_why != NULL)
		return false;
	img->entry = g.entry;
	img->nsegs = g.phnum;
	for (unsigned int i = 0; i < img->nsegs; i++) {
		if (__builtin_add_overflow(
			g.phoff, (uint64_t)i * g.phentsize, &off) ||
		    !read_segment(b, img->is64, off, &img->seg[i])) {
			*ret_why = "an ELF file whose program headers lie"
				   " outside of it";
			return false;
		}
	}
	return true;
}

const struct elf_seg *
elf_image_seg_at(const struct elf_image *img, uint64_t addr, bool virtual_addr)
{
	for (unsigned int i = 0; i < img->nsegs; i++) {
		const struct elf_seg *s = &img->seg[i];
		const uint64_t base = virtual_addr ? s->vaddr : s->paddr;

		if (s->type == PT_LOAD && addr >= base &&
		    addr - base < s->memsz)
			return s;
	}
	return NULL;
}

static int
load_segment(struct boot_load *l, const struct elf_seg *s)
{
	int rc;

	if (s->filesz > s->memsz)
		return boot_fail(l, -ENOEXEC,
		    "the segment at 0x%" PRIx64
		    " has more bytes in the file than in memory",
		    s->paddr);
	if (!range_ok(s->off, s->filesz, l->kernel.size))
		return boot_fail(l, -ENOEXEC,
		    "cut short: the segment at 0x%" PRIx64
		    " reaches past the end of the file",
		    s->paddr);
	rc = boot_claim(l, s->paddr, s->memsz, "the kernel");
	if (rc == 0 && s->filesz != 0)
		rc = boot_copy(l, &l->kernel, s->off, s->paddr, s->filesz);
	if (rc == 0)
		rc = boot_zero(l, s->paddr + s->filesz, s->memsz - s->filesz);
	return rc;
}

int
elf_image_load(struct boot_load *l, const struct elf_image *img)
{
	unsigned int loaded = 0;
	int rc = 0;

	for (unsigned int i = 0; i < img->nsegs && rc == 0; i++) {
		if (img->seg[i].type != PT_LOAD || img->seg[i].memsz == 0)
			continue;
		rc = load_segment(l, &img->seg[i]);
		loaded++;
	}
	if (rc == 0 && loaded == 0)
		return boot_fail(
		    l, -ENOEXEC, "an ELF file with nothing to load");
	return rc;
}
