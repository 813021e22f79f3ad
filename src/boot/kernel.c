/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel.c - start a kernel without firmware: which format the file has, and
 * the placing of pieces in guest memory that all formats share.
 *
 * Nothing in the files is believed: every piece is claimed before it is
 * written, and a claim that leaves low RAM or touches another one ends the
 * load with one line for the user.  Missing on purpose: kernels and initrds
 * above 4 GiB (every entry here begins in or can be reached from 32-bit
 * code), and compressed ELF files.  Runs before the machine does, in the
 * thread that builds it.
 */
#include <boot/boot.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include <vmm/mem.h>
#include <vmmapi.h>

#include "image.h"

#define PAGE_SIZE 4096

/* Tried in this order: an ELF may carry both a PVH note and Multiboot. */
static const struct {
	bool (*probe)(const struct boot_blob *);
	int (*load)(struct boot_load *);
} format_table[] = {
	{ bzimage_probe, bzimage_load },
	/* Before PVH: Xen offers both, and its PVH entry wants a Xen host. */
	{ multiboot_probe, multiboot_load },
	{ elf_pvh_probe, elf_pvh_load },
	/* Last: a bzImage's first sector has that signature, too. */
	{ bootsector_probe, bootsector_load },
};

/* What people hand over by mistake, by its first bytes. */
static const struct {
	const char *magic;
	size_t len;
	const char *hint;
} mistake_table[] = {
	{ "\177ELF\2", 5,
	    "an ELF kernel without a PVH note (CONFIG_PVH); use the bzImage"
	    " that was built with it (arch/x86/boot/bzImage, /boot/vmlinuz*)" },
	{ "\177ELF", 4,
	    "an ELF file with neither a PVH note nor a Multiboot header" },
	{ "\x1f\x8b", 2, "compressed with gzip; decompress it first" },
	{ "\xfd"
	  "7zXZ",
	    5, "compressed with xz; decompress it first" },
	{ "\x28\xb5\x2f\xfd", 4, "compressed with zstd; decompress it first" },
	{ "070701", 6, "a cpio archive; is it the initrd?" },
	{ "MZ", 2, "an EFI program, and there is no firmware to start it" },
	{ "QFI\xfb", 4, "a qcow2 disk image, not a kernel" },
};

int
boot_verr(char *err, size_t err_len, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, err_len, fmt, ap);
	va_end(ap);
	return code;
}

int
boot_fail(struct boot_load *l, int code, const char *fmt, ...)
{
	va_list ap;
	int n;

	n = snprintf(l->err, l->err_len,
	    "%s: ", l->kernel.path == NULL ? "kernel" : l->kernel.path);
	if (n < 0 || (size_t)n >= l->err_len)
		return code;
	va_start(ap, fmt);
	vsnprintf(l->err + n, l->err_len - (size_t)n, fmt, ap);
	va_end(ap);
	return code;
}

static const struct boot_range *
find_claim(const struct boot_load *l, uint64_t base, uint64_t len)
{
	for (unsigned int i = 0; i < l->nclaims; i++) {
		const struct boot_range *r = &l->claims[i];

		if (ranges_overlap(r->base, r->len, base, len))
			return r;
	}
	return NULL;
}

bool
boot_is_free(const struct boot_load *l, uint64_t base, uint64_t len)
{
	return range_ok(base, len, l->lowmem) &&
	       find_claim(l, base, len) == NULL;
}

void
boot_release_low(struct boot_load *l, uint64_t end)
{
	l->claims[0].len = end;
}

int
boot_claim(struct boot_load *l, uint64_t base, uint64_t len, const char *what)
{
	const struct boot_range *r;

	if (!range_ok(base, len, l->lowmem))
		return boot_fail(l, -ENOMEM,
		    "%s needs %" PRIu64 " KiB at 0x%" PRIx64
		    ", but the guest's low memory ends at 0x%" PRIx64,
		    what, len / 1024 + (len % 1024 != 0), base, l->lowmem);
	r = find_claim(l, base, len);
	if (r != NULL)
		return boot_fail(l, -EINVAL,
		    "%s at 0x%" PRIx64 "+0x%" PRIx64
		    " overlaps %s at 0x%" PRIx64 "+0x%" PRIx64,
		    what, base, len, r->what, r->base, r->len);
	if (l->nclaims == ARRAY_LEN(l->claims))
		return boot_fail(l, -E2BIG, "too many segments");
	l->claims[l->nclaims++] = (struct boot_range){ base, len, what };
	return 0;
}

int
boot_copy(struct boot_load *l, const struct boot_blob *b, uint64_t off,
    uint64_t gpa, uint64_t len)
{
	void *p = vm_map_gpa(l->ctx, gpa, len);
	int rc;

	if (p == NULL)
		return boot_fail(l, -EFAULT, "no RAM at 0x%" PRIx64, gpa);
	rc = boot_blob_read(b, off, p, len);
	if (rc != 0)
		return boot_fail(l, rc, "reading %s failed: %s", b->path,
		    rc == -EIO ? "it became shorter" : strerror(-rc));
	vm_mem_written(l->ctx, gpa, len);
	return 0;
}

int
boot_put(struct boot_load *l, uint64_t gpa, const void *src, size_t len)
{
	int rc = vm_mem_write(l->ctx, gpa, src, len);

	if (rc != 0)
		return boot_fail(l, rc, "no RAM at 0x%" PRIx64, gpa);
	return 0;
}

int
boot_zero(struct boot_load *l, uint64_t gpa, uint64_t len)
{
	void *p;

	if (len == 0)
		return 0;
	p = vm_map_gpa(l->ctx, gpa, len);
	if (p == NULL)
		return boot_fail(l, -EFAULT, "no RAM at 0x%" PRIx64, gpa);
	memset(p, 0, len);
	vm_mem_written(l->ctx, gpa, len);
	return 0;
}

/*
 * Walks down from `limit`: whoever is in the way moves the limit to below
 * itself, so that there are at most as many rounds as claims.
 */
static bool
find_room_high(
    const struct boot_load *l, uint64_t limit, uint64_t size, uint64_t *ret_gpa)
{
	const struct boot_range *r;
	uint64_t base;

	limit = MIN(limit, l->lowmem);
	for (;;) {
		if (limit < BOOT_HIGH_GPA || limit - BOOT_HIGH_GPA < size)
			return false;
		base = ROUND_DOWN(limit - size, (uint64_t)PAGE_SIZE);
		if (base < BOOT_HIGH_GPA)
			return false;
		r = find_claim(l, base, size);
		if (r == NULL)
			break;
		limit = r->base;
	}
	*ret_gpa = base;
	return true;
}

int
boot_place_initrd(struct boot_load *l, uint64_t limit, uint64_t *ret_gpa)
{
	const struct boot_blob *b = &l->initrd;
	int rc;

	*ret_gpa = 0;
	if (b->size == 0)
		return 0;
	if (!find_room_high(l, limit, b->size, ret_gpa))
		return boot_fail(l, -ENOMEM,
		    "no room for the initrd %s (%" PRIu64
		    " MiB) below 0x%" PRIx64 " beside the kernel",
		    b->path, (b->size >> 20) + 1, MIN(limit, l->lowmem));
	rc = boot_claim(l, *ret_gpa, b->size, "the initrd");
	return rc != 0 ? rc : boot_copy(l, b, 0, *ret_gpa, b->size);
}

int
boot_put_cmdline(struct boot_load *l, const char *prefix, uint64_t max)
{
	size_t plen = strlen(prefix), clen = strlen(l->cmdline);
	int rc;

	max = MIN(max, (uint64_t)BOOT_CMDLINE_SIZE - 1);
	if (plen > max || clen > max - plen)
		return boot_fail(l, -E2BIG,
		    "the command line has %zu characters, this kernel takes"
		    " at most %" PRIu64,
		    plen + clen, max);
	rc = boot_put(l, BOOT_CMDLINE_GPA, prefix, plen);
	if (rc != 0)
		return rc;
	return boot_put(l, BOOT_CMDLINE_GPA + plen, l->cmdline, clen + 1);
}

void
boot_load_init(struct boot_load *l, struct vmctx *ctx, struct vcpu *bsp,
    char *err, size_t err_len)
{
	*l = (struct boot_load){
		.ctx = ctx,
		.bsp = bsp,
		.kernel.fd = -1,
		.initrd.fd = -1,
		.cmdline = "",
		.lowmem = vm_get_lowmem_size(ctx),
		.claims = {
			{ 0, BOOT_LOW_END, "the boot loader's data" },
			{ BOOT_FIRMWARE_GPA, BOOT_HIGH_GPA - BOOT_FIRMWARE_GPA,
			    "the firmware's tables" },
		},
		.nclaims = 2,
		.err = err,
		.err_len = err_len,
	};
}

static int
refuse_unknown(struct boot_load *l)
{
	uint8_t head[8] = { 0 };
	size_t len = boot_blob_head(&l->kernel, head, sizeof(head));

	for (size_t i = 0; i < ARRAY_LEN(mistake_table); i++) {
		if (len >= mistake_table[i].len &&
		    memcmp(head, mistake_table[i].magic,
			mistake_table[i].len) == 0)
			return boot_verr(l->err, l->err_len, -ENOEXEC,
			    "%s is %s", l->kernel.path, mistake_table[i].hint);
	}
	return boot_verr(l->err, l->err_len, -ENOEXEC,
	    "%s is neither a bzImage nor an ELF with a PVH note"
	    " nor a Multiboot kernel nor a boot sector",
	    l->kernel.path);
}

static int
load_by_format(struct boot_load *l)
{
	for (size_t i = 0; i < ARRAY_LEN(format_table); i++) {
		if (format_table[i].probe(&l->kernel))
			return format_table[i].load(l);
	}
	return refuse_unknown(l);
}

int
boot_load_kernel(struct vmctx *ctx, struct vcpu *bsp,
    const struct boot_kernel *bk, char *err, size_t err_len)
{
	struct boot_load l;
	int rc;

	boot_load_init(&l, ctx, bsp, err, err_len);
	l.cmdline = bk->cmdline != NULL ? bk->cmdline : "";
	l.rsdp = bk->rsdp;
	if (l.lowmem <= BOOT_HIGH_GPA)
		return boot_verr(err, err_len, -ENOMEM,
		    "%s: a kernel needs more than 1 MiB of guest memory",
		    bk->kernel);
	rc = boot_blob_open(&l.kernel, bk->kernel, l.lowmem, err, err_len);
	if (rc == 0 && bk->initrd != NULL) {
		rc = boot_blob_open(
		    &l.initrd, bk->initrd, l.lowmem, err, err_len);
		if (rc == 0 && l.initrd.size == 0)
			rc = boot_verr(err, err_len, -EINVAL,
			    "%s: the initrd is empty", bk->initrd);
	}
	if (rc == 0)
		rc = boot_put_bios(&l);
	if (rc == 0)
		rc = load_by_format(&l);
	boot_blob_close(&l.initrd);
	boot_blob_close(&l.kernel);
	return rc;
}
