/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bzimage.c - Linux by its own boot protocol (Linux
 * Documentation/arch/x86/boot.rst), 2.06 up.
 *
 * Kernels that offer it (XLF_KERNEL_64, 2.12) are entered in long mode at
 * load address + 0x200, older and 32-bit ones in protected mode at
 * code32_start.  The real-mode part of the file is only read: its header is
 * what becomes boot_params.  memtest86+ is started this way too.
 *
 * Missing on purpose: zImage (loaded low), EFI handover, setup_data, loading
 * above 4 GiB.
 */
#include "image.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include <boot/boot.h>

#define PROTO_2_06	    0x0206 /* cmdline_size */
#define PROTO_2_10	    0x020a /* pref_address, init_size, min_alignment */
#define PROTO_2_12	    0x020c /* xloadflags */

#define SECTOR_SIZE	    512
#define SETUP_SECTS_DEFAULT 4 /* what 0 means */
#define BOOT_FLAG	    0xaa55
#define HDRS_MAGIC	    0x53726448 /* "HdrS" */

#define LOADED_HIGH	    BIT(0)
#define XLF_KERNEL_64	    BIT(0)
#define STARTUP_64	    0x200
#define KERNEL_GPA	    0x100000u /* where code32_start is counted from */
#define LOADER_UNDEFINED    0xff
#define VID_MODE_NORMAL	    0xffff
#define ALIGN_MAX	    (1u << 30)
#define OLD_SPACE_FACTOR    3 /* without init_size: room to decompress */
#define PARAGRAPH	    16
#define RAMDISK_LIMIT_MAX   0x100000000ull

/* "The Real-Mode Kernel Header", at 0x1f1 of the file and of boot_params. */
struct setup_header {
	uint8_t setup_sects;
	uint16_t root_flags;
	uint32_t syssize;
	uint16_t ram_size;
	uint16_t vid_mode;
	uint16_t root_dev;
	uint16_t boot_flag;
	uint16_t jump;
	uint32_t header;
	uint16_t version;
	uint32_t realmode_swtch;
	uint16_t start_sys_seg;
	uint16_t kernel_version;
	uint8_t type_of_loader;
	uint8_t loadflags;
	uint16_t setup_move_size;
	uint32_t code32_start;
	uint32_t ramdisk_image;
	uint32_t ramdisk_size;
	uint32_t bootsect_kludge;
	uint16_t heap_end_ptr;
	uint8_t ext_loader_ver;
	uint8_t ext_loader_type;
	uint32_t cmd_line_ptr;
	uint32_t initrd_addr_max;
	uint32_t kernel_alignment;
	uint8_t relocatable_kernel;
	uint8_t min_alignment;
	uint16_t xloadflags;
	uint32_t cmdline_size;
	uint32_t hardware_subarch;
	uint64_t hardware_subarch_data;
	uint32_t payload_offset;
	uint32_t payload_length;
	uint64_t setup_data;
	uint64_t pref_address;
	uint32_t init_size;
	uint32_t handover_offset;
	uint32_t kernel_info_offset;
} __attribute__((packed));

#define HDR_OFF	      0x1f1
#define HDR_JUMP_BASE 0x202 /* the header ends at this + the jump's byte */
#define HDR_END_MAX   0x290 /* edd_mbr_sig_buffer follows in boot_params */
#define HDR_FIELD(f)  (HDR_OFF + offsetof(struct setup_header, f))
/* Where a header that has field f must end at the earliest. */
#define HDR_HAS(f) (HDR_FIELD(f) + sizeof(((struct setup_header *)NULL)->f))

static_assert(HDR_FIELD(boot_flag) == 0x1fe, "boot.rst");
static_assert(HDR_FIELD(header) == 0x202, "boot.rst");
static_assert(HDR_FIELD(code32_start) == 0x214, "boot.rst");
static_assert(HDR_FIELD(initrd_addr_max) == 0x22c, "boot.rst");
static_assert(HDR_FIELD(xloadflags) == 0x236, "boot.rst");
static_assert(HDR_FIELD(pref_address) == 0x258, "boot.rst");
static_assert(HDR_FIELD(kernel_info_offset) == 0x268, "boot.rst");

/* Documentation/arch/x86/zero-page.rst; only what we fill. */
struct boot_params {
	uint8_t screen_info[0x70];
	uint64_t acpi_rsdp_addr;
	uint8_t pad1[0x1e8 - 0x78];
	uint8_t e820_entries;
	uint8_t pad2[HDR_OFF - 0x1e9];
	struct setup_header hdr;
	uint8_t pad3[0x2d0 - HDR_OFF - sizeof(struct setup_header)];
	struct e820_entry e820_table[128];
	uint8_t pad4[0x1000 - 0x2d0 - 128 * sizeof(struct e820_entry)];
} __attribute__((packed));
static_assert(sizeof(struct boot_params) == BOOT_INFO_SIZE, "zero-page.rst");
static_assert(offsetof(struct boot_params, acpi_rsdp_addr) == 0x70, "");
static_assert(offsetof(struct boot_params, e820_table) == 0x2d0, "");

/* Where things go, in guest-physical addresses. */
struct bz {
	struct setup_header hdr;
	uint64_t file_off; /* of the protected-mode kernel */
	uint64_t size;
	uint64_t load;
	uint64_t entry_off; /* of code32_start from the load address */
};

static bool
read_header(const struct boot_blob *b, struct setup_header *h)
{
	*h = (struct setup_header){ 0 };
	return boot_blob_read(b, HDR_OFF, h, sizeof(*h)) == 0;
}

bool
bzimage_probe(const struct boot_blob *b)
{
	struct setup_header h;

	return read_header(b, &h) && h.boot_flag == BOOT_FLAG &&
	       h.header == HDRS_MAGIC;
}

/*
 * Where the header says it ends; fields past that are garbage (usually code)
 * and are cleared in our copy.
 */
static int
check_header(struct boot_load *l, struct setup_header *h)
{
	const size_t end = HDR_JUMP_BASE + (h->jump >> 8);
	const size_t need = h->version >= PROTO_2_12   ? HDR_HAS(init_size)
			    : h->version >= PROTO_2_10 ? HDR_HAS(init_size)
						       : HDR_HAS(cmdline_size);

	if (h->version < PROTO_2_06)
		return boot_fail(l, -ENOEXEC,
		    "boot protocol %u.%02u is too old (2.06 is needed)",
		    h->version >> 8, h->version & 0xff);
	if ((h->loadflags & LOADED_HIGH) == 0)
		return boot_fail(
		    l, -ENOEXEC, "a zImage; only bzImages can be started");
	if (end < need || end > HDR_END_MAX)
		return boot_fail(l, -ENOEXEC,
		    "the setup header ends at 0x%zx, which does not go with"
		    " boot protocol %u.%02u",
		    end, h->version >> 8, h->version & 0xff);
	if (end < HDR_OFF + sizeof(*h))
		memset((uint8_t *)h + (end - HDR_OFF), 0,
		    HDR_OFF + sizeof(*h) - end);
	return 0;
}

/* Sizes: the setup part, then syssize paragraphs; a signature may follow. */
static int
find_payload(struct boot_load *l, struct bz *bz)
{
	const struct setup_header *h = &bz->hdr;
	const uint64_t file = l->kernel.size;
	const uint64_t claimed = (uint64_t)h->syssize * PARAGRAPH;
	const unsigned int sects =
	    h->setup_sects != 0 ? h->setup_sects : SETUP_SECTS_DEFAULT;

	bz->file_off = (uint64_t)(sects + 1) * SECTOR_SIZE;
	if (bz->file_off >= file)
		return boot_fail(l, -ENOEXEC,
		    "cut short: the setup part alone has %" PRIu64
		    " bytes, the file %" PRIu64,
		    bz->file_off, file);
	bz->size = file - bz->file_off;
	/* Not every linker pads the last paragraph. */
	if (claimed >= bz->size + PARAGRAPH)
		return boot_fail(l, -ENOEXEC,
		    "cut short: the kernel should have %" PRIu64
		    " bytes, the file holds %" PRIu64,
		    claimed, bz->size);
	if (claimed == 0)
		return boot_fail(l, -ENOEXEC, "the header's syssize is 0");
	bz->size = MIN(bz->size, claimed);
	bz->entry_off = (uint64_t)h->code32_start - KERNEL_GPA;
	/* As iPXE's, whose setup part does it all. */
	if (h->code32_start == 0)
		return boot_fail(l, -ENOEXEC,
		    "code32_start is 0: it begins in real mode and asks a BIOS,"
		    " and there is none");
	if (h->code32_start < KERNEL_GPA || bz->entry_off >= bz->size)
		return boot_fail(l, -ENOEXEC,
		    "code32_start 0x%x lies outside of the kernel",
		    h->code32_start);
	return 0;
}

/*
 * Relocatable: at pref_address when that is free, else at the lowest aligned
 * address from 1 MiB up.  Not relocatable: at 1 MiB, from where it moves
 * itself to pref_address, which therefore has to be free as well.
 */
static int
place_relocatable(struct boot_load *l, struct bz *bz, uint64_t space)
{
	const struct setup_header *h = &bz->hdr;
	const uint64_t align = h->kernel_alignment;

	if (align == 0 || (align & (align - 1)) != 0 || align > ALIGN_MAX)
		return boot_fail(l, -ENOEXEC,
		    "kernel_alignment 0x%x is not a power of two",
		    h->kernel_alignment);
	/*
	 * A kernel loaded below pref_address moves itself up to it (boot.rst,
	 * "relocatable_kernel"), so that is where it needs its room.
	 */
	bz->load = h->version >= PROTO_2_10 ? h->pref_address : KERNEL_GPA;
	bz->load = MAX(bz->load, (uint64_t)KERNEL_GPA);
	if (bz->load >= l->lowmem || space > l->lowmem - bz->load)
		return boot_fail(l, -ENOMEM,
		    "runs at 0x%" PRIx64 " with 0x%" PRIx64
		    " bytes, but the guest's low memory ends at 0x%" PRIx64,
		    bz->load, space, l->lowmem);
	bz->load = ROUND_UP(bz->load, align);
	return boot_claim(l, bz->load, space, "the kernel");
}

static int
place_fixed(struct boot_load *l, struct bz *bz, uint64_t space)
{
	const struct setup_header *h = &bz->hdr;
	const uint64_t run =
	    h->version >= PROTO_2_10 ? h->pref_address : KERNEL_GPA;
	uint64_t end;

	bz->load = KERNEL_GPA;
	if (__builtin_add_overflow(run, space, &end) || end > l->lowmem)
		return boot_fail(l, -ENOMEM,
		    "runs at 0x%" PRIx64 " with 0x%" PRIx64
		    " bytes, but the guest's low memory ends at 0x%" PRIx64,
		    run, space, l->lowmem);
	/* Where it is loaded may be a part of where it runs. */
	if (run < KERNEL_GPA)
		return boot_fail(l, -EINVAL,
		    "pref_address 0x%" PRIx64 " is below 1 MiB", run);
	return boot_claim(
	    l, KERNEL_GPA, MAX(end - KERNEL_GPA, bz->size), "the kernel");
}

static int
place_kernel(struct boot_load *l, struct bz *bz)
{
	const struct setup_header *h = &bz->hdr;
	const uint64_t space = h->version >= PROTO_2_10
				   ? MAX((uint64_t)h->init_size, bz->size)
				   : bz->size * OLD_SPACE_FACTOR;
	int rc;

	rc = h->relocatable_kernel != 0 ? place_relocatable(l, bz, space)
					: place_fixed(l, bz, space);
	if (rc != 0)
		return rc;
	return boot_copy(l, &l->kernel, bz->file_off, bz->load, bz->size);
}

static int
put_boot_params(struct boot_load *l, const struct bz *bz, uint64_t initrd)
{
	struct boot_params bp = {
		.acpi_rsdp_addr = l->rsdp,
		.hdr = bz->hdr,
	};
	struct e820_entry map[E820_MAX];
	unsigned int n = boot_e820(l->ctx, map);

	static_assert(ARRAY_LEN(bp.e820_table) >= E820_MAX, "zero-page.rst");
	memcpy(bp.e820_table, map, n * sizeof(map[0]));
	bp.e820_entries = (uint8_t)n;
	bp.hdr.type_of_loader = LOADER_UNDEFINED;
	bp.hdr.vid_mode = VID_MODE_NORMAL;
	bp.hdr.code32_start = (uint32_t)(bz->load + bz->entry_off);
	bp.hdr.ramdisk_image = (uint32_t)initrd;
	bp.hdr.ramdisk_size = (uint32_t)l->initrd.size;
	bp.hdr.cmd_line_ptr = BOOT_CMDLINE_GPA;
	bp.hdr.setup_data = 0;
	return boot_put(l, BOOT_INFO_GPA, &bp, sizeof(bp));
}

int
bzimage_load(struct boot_load *l)
{
	struct bz bz = { 0 };
	uint64_t initrd, initrd_limit;
	int rc;

	if (!read_header(&l->kernel, &bz.hdr))
		return boot_fail(l, -EIO, "the header cannot be read");
	rc = check_header(l, &bz.hdr);
	if (rc == 0)
		rc = find_payload(l, &bz);
	if (rc == 0)
		rc = boot_put_cmdline(l, "", bz.hdr.cmdline_size);
	if (rc == 0)
		rc = place_kernel(l, &bz);
	if (rc != 0)
		return rc;
	initrd_limit = (uint64_t)bz.hdr.initrd_addr_max + 1;
	rc =
	    boot_place_initrd(l, MIN(initrd_limit, RAMDISK_LIMIT_MAX), &initrd);
	if (rc == 0)
		rc = put_boot_params(l, &bz, initrd);
	if (rc != 0)
		return rc;
	if (bz.hdr.version >= PROTO_2_12 &&
	    (bz.hdr.xloadflags & XLF_KERNEL_64) != 0 && bz.size > STARTUP_64)
		return boot_enter_64(l, bz.load + STARTUP_64, BOOT_INFO_GPA);
	return boot_enter_32(l, &(struct boot_entry32){
				    .eip = (uint32_t)(bz.load + bz.entry_off),
				    .esi = BOOT_INFO_GPA,
				});
}
