/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loading kernels: where the pieces go, what the registers hold at entry, and
 * which files are refused and why.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <elf.h>
#include <errno.h>

#include <boot/boot.h>

#include "fake_guest.h"

#define MIB	(1ull << 20)
#define GIB	(1ull << 30)
#define RSDP	0xf2400
#define PARAMS	0x3000
#define CMDLINE 0x4000

/* --- a guest, and files for it ------------------------------------- */

struct fixture {
	struct vmctx ctx;
	char kernel[32], initrd[32];
	const char *cmdline;
	bool has_initrd;
	char err[256];
};

static void
put_file(char path[32], const void *data, size_t len)
{
	int fd;

	strcpy(path, "/tmp/test_boot.XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static struct fixture *
fixture_new(size_t low, size_t high)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	fake_guest_init(&f->ctx, low, high);
	return f;
}

static void
fixture_free(struct fixture *f)
{
	if (f->has_initrd)
		unlink(f->initrd);
	fake_guest_fini(&f->ctx);
	test_free(f);
}

static void
give_initrd(struct fixture *f, size_t len)
{
	uint8_t *buf = test_malloc(len);

	memset(buf, 0x5a, len);
	put_file(f->initrd, buf, len);
	f->has_initrd = true;
	test_free(buf);
}

static int
load(struct fixture *f, const void *image, size_t len)
{
	struct boot_kernel bk = {
		.kernel = f->kernel,
		.initrd = f->has_initrd ? f->initrd : NULL,
		.cmdline = f->cmdline,
		.rsdp = RSDP,
	};
	int rc;

	put_file(f->kernel, image, len);
	f->err[0] = '\0';
	rc =
	    boot_load_kernel(&f->ctx, &f->ctx.bsp, &bk, f->err, sizeof(f->err));
	unlink(f->kernel);
	return rc;
}

#define assert_refused(f, image, len, what)                                    \
	do {                                                                   \
		assert_true(load((f), (image), (len)) < 0);                    \
		if (strstr((f)->err, (what)) == NULL)                          \
			fail_msg("'%s' does not say '%s'", (f)->err, (what));  \
		assert_null(strchr((f)->err, '\n'));                           \
		assert_false((f)->ctx.bsp.reg_set[VM_REG_GUEST_RIP]);          \
	} while (0)

static uint64_t
reg(struct fixture *f, int r)
{
	return f->ctx.bsp.reg[r];
}

static void
assert_segment(
    struct fixture *f, int r, uint16_t sel, uint32_t limit, uint32_t access)
{
	assert_int_equal(reg(f, r), sel);
	assert_int_equal(f->ctx.bsp.desc[r].base, 0);
	assert_int_equal(f->ctx.bsp.desc[r].limit, limit);
	assert_int_equal(f->ctx.bsp.desc[r].access, access);
}

/* What every entry has: flat segments, a GDT that agrees, interrupts off. */
static void
assert_entry(struct fixture *f, uint32_t code_access)
{
	static const int data[] = { VM_REG_GUEST_DS, VM_REG_GUEST_ES,
		VM_REG_GUEST_FS, VM_REG_GUEST_GS, VM_REG_GUEST_SS };
	const struct seg_desc *gdtr = &f->ctx.bsp.desc[VM_REG_GUEST_GDTR];
	const uint8_t *gdt = f->ctx.ram + gdtr->base;

	assert_segment(f, VM_REG_GUEST_CS, 0x10, 0xffffffff, code_access);
	for (size_t i = 0; i < ARRAY_LEN(data); i++)
		assert_segment(f, data[i], 0x18, 0xffffffff, 0xc093);
	assert_segment(f, VM_REG_GUEST_TR, 0x20, 0x67, 0x8b);
	assert_int_equal(f->ctx.bsp.desc[VM_REG_GUEST_LDTR].access, 0x10000);
	assert_int_equal(reg(f, VM_REG_GUEST_RFLAGS), 2);
	assert_true(gdtr->limit >= 0x2f);
	assert_int_equal(get_le64(gdt), 0);
	/* The CPU's own format: access byte at 5, flags in the high nibble. */
	assert_int_equal(gdt[0x10 + 5], code_access & 0xff);
	assert_int_equal(gdt[0x10 + 6], (code_access >> 8 & 0xf0) | 0xf);
	assert_int_equal(get_le64(gdt + 0x18), 0x00cf93000000ffff);
	assert_int_equal(f->ctx.bsp.resets, 1);
}

static void
assert_entry32(struct fixture *f)
{
	assert_entry(f, 0xc09b);
	assert_int_equal(reg(f, VM_REG_GUEST_CR0) & 0x80000001, 1);
	assert_int_equal(reg(f, VM_REG_GUEST_CR4), 0);
	assert_int_equal(reg(f, VM_REG_GUEST_EFER), 0);
}

/* Walks the tables as the CPU does: 2 MiB pages, writable. */
static uint64_t
translate(struct fixture *f, uint64_t gva)
{
	uint64_t e = reg(f, VM_REG_GUEST_CR3);

	for (int shift = 39; shift >= 21; shift -= 9) {
		e = get_le64(f->ctx.ram + (e & 0xffffffffff000) +
			     (gva >> shift & 511) * 8);
		if ((e & 3) != 3)
			return UINT64_MAX;
	}
	assert_true((e & 0x80) != 0);
	return (e & 0xfffffffe00000) | (gva & 0x1fffff);
}

/* --- bzImage ------------------------------------------------------- */

#define BZ_SETUP (2 * 512)
#define BZ_CODE	 (64 * 16)

struct bz {
	uint8_t b[BZ_SETUP + BZ_CODE];
};

/* As Linux 6.1 has it: relocatable, prefers 16 MiB, 64-bit entry. */
static struct bz
bzimage(uint16_t version)
{
	struct bz z = { 0 };

	z.b[0x1f1] = 1;
	put_le32(z.b + 0x1f4, BZ_CODE / 16);
	put_le16(z.b + 0x1fe, 0xaa55);
	z.b[0x200] = 0xeb;
	z.b[0x201] = 0x6a;
	memcpy(z.b + 0x202, "HdrS", 4);
	put_le16(z.b + 0x206, version);
	z.b[0x211] = 1;
	put_le32(z.b + 0x214, 0x100000);
	put_le32(z.b + 0x22c, 0x7fffffff);
	put_le32(z.b + 0x230, 0x200000);
	z.b[0x234] = 1;
	z.b[0x235] = 21;
	put_le16(z.b + 0x236, 1);
	put_le32(z.b + 0x238, 2047);
	put_le64(z.b + 0x250, 0x1122334455667788); /* setup_data: not ours */
	put_le64(z.b + 0x258, 16 * MIB);
	put_le32(z.b + 0x260, 40 * MIB);
	memset(z.b + BZ_SETUP, 0xc3, BZ_CODE);
	return z;
}

static void
test_bz_64(void **state)
{
	struct fixture *f = fixture_new(256 * MIB, 0);
	struct bz z = bzimage(0x20f);
	const uint8_t *bp = f->ctx.ram + PARAMS;
	uint64_t initrd;

	f->cmdline = "console=ttyS0";
	give_initrd(f, 5 * MIB + 3);
	assert_int_equal(load(f, &z, sizeof(z)), 0);
	assert_entry(f, 0xa09b);
	assert_int_equal(reg(f, VM_REG_GUEST_RIP), 16 * MIB + 0x200);
	assert_int_equal(reg(f, VM_REG_GUEST_RSI), PARAMS);
	assert_int_equal(reg(f, VM_REG_GUEST_EFER), 0x500);
	assert_int_equal(reg(f, VM_REG_GUEST_CR4), 0x20);
	assert_int_equal(reg(f, VM_REG_GUEST_CR0) & 0x80000001, 0x80000001);
	for (uint64_t gva = 0x1234; gva < 4 * GIB; gva += 511 * MIB + 4096)
		assert_int_equal(translate(f, gva), gva);
	assert_int_equal(translate(f, 4 * GIB), UINT64_MAX);
	assert_memory_equal(f->ctx.ram + 16 * MIB, z.b + BZ_SETUP, BZ_CODE);

	/* boot_params */
	assert_int_equal(get_le64(bp + 0x70), RSDP);
	assert_memory_equal(bp + 0x202, "HdrS", 4);
	assert_int_equal(bp[0x210], 0xff);
	assert_int_equal(get_le32(bp + 0x214), 16 * MIB);
	assert_int_equal(get_le32(bp + 0x228), CMDLINE);
	assert_int_equal(get_le64(bp + 0x250), 0);
	assert_string_equal((char *)f->ctx.ram + CMDLINE, "console=ttyS0");
	assert_int_equal(bp[0x1e8], 5);
	assert_int_equal(get_le64(bp + 0x2d0), 0);
	assert_int_equal(get_le64(bp + 0x2d8), 0x9fc00);
	assert_int_equal(get_le32(bp + 0x2e0), E820_RAM);

	/* The initrd: as high as it fits, whole, page aligned. */
	initrd = get_le32(bp + 0x218);
	assert_int_equal(get_le32(bp + 0x21c), 5 * MIB + 3);
	assert_int_equal(initrd % 4096, 0);
	assert_in_range(256 * MIB - initrd, 5 * MIB + 3, 5 * MIB + 4098);
	assert_int_equal(f->ctx.ram[initrd], 0x5a);
	assert_int_equal(f->ctx.ram[initrd + 5 * MIB + 2], 0x5a);
	assert_int_equal(f->ctx.ram[initrd - 1], 0);
	fixture_free(f);
}

/* Every general register is set, whatever the CPU's reset left. */
static void
test_bz_all_registers(void **state)
{
	struct fixture *f = fixture_new(128 * MIB, 0);
	struct bz z = bzimage(0x20f);

	assert_int_equal(load(f, &z, sizeof(z)), 0);
	for (int r = VM_REG_GUEST_RAX; r <= VM_REG_GUEST_R15; r++) {
		assert_true(f->ctx.bsp.reg_set[r]);
		if (r != VM_REG_GUEST_RSI)
			assert_int_equal(reg(f, r), 0);
	}
	fixture_free(f);
}

static void
test_bz_no_xlf_enters_32(void **state)
{
	struct fixture *f = fixture_new(256 * MIB, 0);
	struct bz z = bzimage(0x20f);

	put_le16(z.b + 0x236, 0);
	assert_int_equal(load(f, &z, sizeof(z)), 0);
	assert_entry32(f);
	assert_int_equal(reg(f, VM_REG_GUEST_RIP), 16 * MIB);
	assert_int_equal(reg(f, VM_REG_GUEST_RSI), PARAMS);
	fixture_free(f);
}

/* 2.06: shorter header, no pref_address; at 1 MiB, code32_start honoured. */
static void
test_bz_old_protocol(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	struct bz z = bzimage(0x206);

	z.b[0x201] = 0x3a;
	z.b[0x234] = 0;
	put_le32(z.b + 0x214, 0x100040);
	give_initrd(f, 4096);
	put_le32(z.b + 0x22c, 0x1ffffff);
	assert_int_equal(load(f, &z, sizeof(z)), 0);
	assert_entry32(f);
	assert_int_equal(reg(f, VM_REG_GUEST_RIP), 0x100040);
	assert_int_equal(get_le32(f->ctx.ram + PARAMS + 0x218),
	    32 * MIB - 4096); /* initrd_addr_max, not the end of RAM */
	/* The part of our copy past the header's end is not the file's. */
	assert_int_equal(get_le64(f->ctx.ram + PARAMS + 0x258), 0);
	fixture_free(f);
}

static void
test_bz_small_guest(void **state)
{
	struct fixture *f = fixture_new(48 * MIB, 0);
	struct bz z = bzimage(0x20f);

	/* It would fit below pref_address, but moves itself up to it. */
	assert_refused(f, &z, sizeof(z), "low memory ends at 0x3000000");
	fixture_free(f);
}

static void
test_bz_too_small_guest(void **state)
{
	struct fixture *f = fixture_new(32 * MIB, 0);
	struct bz z = bzimage(0x20f);

	assert_refused(f, &z, sizeof(z), "low memory ends at 0x2000000");
	z.b[0x234] = 0;
	assert_refused(f, &z, sizeof(z), "low memory ends at 0x2000000");
	fixture_free(f);
}

static void
test_bz_initrd_does_not_fit(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	struct bz z = bzimage(0x20f);

	/* The kernel takes 16-56 MiB: 15 MiB are free below, 8 above. */
	give_initrd(f, 15 * MIB);
	assert_int_equal(load(f, &z, sizeof(z)), 0);
	assert_int_equal(get_le32(f->ctx.ram + PARAMS + 0x218), 1 * MIB);
	fixture_free(f);

	f = fixture_new(64 * MIB, 0);
	give_initrd(f, 15 * MIB + 1);
	assert_refused(f, &z, sizeof(z), "no room for the initrd");
	fixture_free(f);
}

static void
test_bz_cmdline_length(void **state)
{
	struct fixture *f = fixture_new(128 * MIB, 0);
	struct bz z = bzimage(0x20f);

	put_le32(z.b + 0x238, 3);
	f->cmdline = "abcd";
	assert_refused(f, &z, sizeof(z), "at most 3");
	f->cmdline = "abc";
	assert_int_equal(load(f, &z, sizeof(z)), 0);
	fixture_free(f);
}

static void
test_bz_cmdline_beyond_our_page(void **state)
{
	struct fixture *f = fixture_new(128 * MIB, 0);
	struct bz z = bzimage(0x20f);
	char *line = test_malloc(0x4001);

	memset(line, 'x', 0x4000);
	line[0x4000] = '\0';
	put_le32(z.b + 0x238, UINT32_MAX);
	f->cmdline = line;
	assert_refused(f, &z, sizeof(z), "at most 16383");
	line[0x3fff] = '\0';
	assert_int_equal(load(f, &z, sizeof(z)), 0);
	assert_int_equal(f->ctx.ram[CMDLINE + 0x3ffe], 'x');
	assert_int_equal(f->ctx.ram[CMDLINE + 0x3fff], 0);
	test_free(line);
	fixture_free(f);
}

/* One field made hostile at a time; `bytes` of it are stored. */
static const struct {
	unsigned int off, bytes;
	uint64_t val;
	const char *says;
} bz_hostile[] = {
	{ 0x206, 2, 0x0205, "too old" },
	{ 0x211, 1, 0, "zImage" },
	{ 0x201, 1, 0x10, "setup header ends at 0x212" },
	{ 0x201, 1, 0xff, "setup header ends at 0x301" },
	{ 0x1f1, 1, 255, "cut short" },
	{ 0x1f1, 1, 0, "cut short" }, /* means 4 */
	{ 0x1f4, 4, UINT32_MAX, "cut short" },
	{ 0x1f4, 4, BZ_CODE / 16 + 1, "cut short" },
	{ 0x1f4, 4, 0, "syssize" },
	{ 0x214, 4, 0, "begins in real mode" },
	{ 0x214, 4, 0xfffff, "code32_start" },
	{ 0x214, 4, 0x100000 + BZ_CODE, "code32_start" },
	{ 0x214, 4, UINT32_MAX, "code32_start" },
	{ 0x230, 4, 0, "kernel_alignment" },
	{ 0x230, 4, 0x300000, "kernel_alignment" },
	{ 0x230, 4, 0x80000000, "kernel_alignment" },
	{ 0x260, 4, UINT32_MAX, "low memory ends" },
	{ 0x22c, 4, 0, "no room for the initrd" },
	{ 0x22c, 4, 0x100000, "no room for the initrd" },
};

static void
test_bz_hostile(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(bz_hostile); i++) {
		struct fixture *f = fixture_new(128 * MIB, 0);
		struct bz z = bzimage(0x20f);

		give_initrd(f, 4096);
		memcpy(z.b + bz_hostile[i].off, &bz_hostile[i].val,
		    bz_hostile[i].bytes);
		assert_refused(f, &z, sizeof(z), bz_hostile[i].says);
		fixture_free(f);
	}
}

/* pref_address is only a wish of a relocatable kernel ... */
static void
test_bz_bad_pref_address(void **state)
{
	static const uint64_t pref[] = { 0, 0x1000, 16 * MIB + 1, 3 * GIB,
		UINT64_MAX, UINT64_MAX - 40 * MIB + 1, 0x9fc00 };

	for (size_t i = 0; i < ARRAY_LEN(pref); i++) {
		struct fixture *f = fixture_new(128 * MIB, 0);
		struct bz z = bzimage(0x20f);

		put_le64(z.b + 0x258, pref[i]);
		if (pref[i] > 128 * MIB) {
			assert_refused(f, &z, sizeof(z), "low memory ends");
		} else {
			uint64_t at = pref[i] > MIB ? 18 * MIB : 2 * MIB;

			assert_int_equal(load(f, &z, sizeof(z)), 0);
			assert_int_equal(reg(f, VM_REG_GUEST_RIP), at + 0x200);
		}
		/* ... but one that moves itself there needs the room. */
		z.b[0x234] = 0;
		f->ctx.bsp.reg_set[VM_REG_GUEST_RIP] = false;
		if (pref[i] == 16 * MIB + 1)
			assert_int_equal(load(f, &z, sizeof(z)), 0);
		else
			assert_refused(f, &z, sizeof(z), "0x");
		fixture_free(f);
	}
}

static void
test_bz_truncations(void **state)
{
	struct bz z = bzimage(0x20f);

	for (size_t len = 0; len < sizeof(z) - 16; len += 7) {
		struct fixture *f = fixture_new(128 * MIB, 0);

		assert_refused(f, &z, len, "");
		fixture_free(f);
	}
}

/* A signature behind the kernel is not loaded; a missing pad is tolerated. */
static void
test_bz_file_length_slack(void **state)
{
	struct fixture *f = fixture_new(128 * MIB, 0);
	struct bz z = bzimage(0x20f);
	uint8_t *longer = test_calloc(1, sizeof(z) + 1000);

	assert_int_equal(load(f, &z, sizeof(z) - 15), 0);
	memcpy(longer, &z, sizeof(z));
	memset(longer + sizeof(z), 0xee, 1000);
	assert_int_equal(load(f, longer, sizeof(z) + 1000), 0);
	assert_int_equal(f->ctx.ram[16 * MIB + BZ_CODE - 1], 0xc3);
	assert_int_equal(f->ctx.ram[16 * MIB + BZ_CODE], 0);
	test_free(longer);
	fixture_free(f);
}

/* --- ELF with a PVH note ------------------------------------------- */

struct elf {
	Elf64_Ehdr e;
	Elf64_Phdr p[3];
	uint32_t note[8];
	uint8_t code[256];
};

static struct elf
elf_pvh(void)
{
	struct elf k = {
		.e = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64,
			    ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_version = EV_CURRENT,
			.e_entry = 0xffffffff81000000,
			.e_phoff = offsetof(struct elf, p),
			.e_ehsize = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 3,
		},
		.p = {
			{ .p_type = PT_LOAD, .p_offset = offsetof(struct elf, code),
			    .p_vaddr = 0xffffffff81000000, .p_paddr = 16 * MIB,
			    .p_filesz = 256, .p_memsz = 8192 },
			{ .p_type = PT_LOAD, .p_vaddr = 0xffffffff81800000,
			    .p_paddr = 24 * MIB, .p_memsz = 4096 },
			{ .p_type = PT_NOTE, .p_offset = offsetof(struct elf, note),
			    .p_filesz = 32, .p_memsz = 32, .p_align = 4 },
		},
		/* A foreign note of type 18 first?  No: same name, other type. */
		.note = { 4, 8, 18, 0x6e6558 /* "Xen" */, 16 * MIB + 0x10, 0 },
	};

	memset(k.code, 0x90, sizeof(k.code));
	return k;
}

static void
test_pvh(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, GIB);
	const uint8_t *ram = f->ctx.ram;
	struct elf k = elf_pvh();
	const uint8_t *si, *mod, *map;

	memset(f->ctx.ram + 16 * MIB, 0xaa, 8192);
	f->cmdline = "quiet";
	give_initrd(f, 777);
	assert_int_equal(load(f, &k, sizeof(k)), 0);
	assert_entry32(f);
	assert_int_equal(reg(f, VM_REG_GUEST_RIP), 16 * MIB + 0x10);
	assert_memory_equal(ram + 16 * MIB, k.code, 256);
	assert_int_equal(ram[16 * MIB + 256], 0); /* bss is cleared */
	assert_int_equal(ram[16 * MIB + 8191], 0);

	si = ram + reg(f, VM_REG_GUEST_RBX);
	assert_int_equal(get_le32(si), 0x336ec578);
	assert_int_equal(get_le32(si + 4), 1);
	assert_int_equal(get_le32(si + 12), 1);
	mod = ram + get_le64(si + 16);
	assert_string_equal((const char *)ram + get_le64(si + 24), "quiet");
	assert_int_equal(get_le64(si + 32), RSDP);
	map = ram + get_le64(si + 40);
	assert_int_equal(get_le32(si + 48), 6);
	assert_int_equal(get_le64(map + 5 * 24), 4 * GIB);
	assert_int_equal(get_le64(map + 5 * 24 + 8), GIB);
	assert_int_equal(get_le32(map + 5 * 24 + 16), E820_RAM);
	assert_int_equal(get_le64(mod + 8), 777);
	assert_int_equal(ram[get_le64(mod)], 0x5a);
	assert_int_equal(ram[get_le64(mod) + 776], 0x5a);
	fixture_free(f);
}

static void
test_pvh_no_initrd(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	struct elf k = elf_pvh();
	const uint8_t *si;

	assert_int_equal(load(f, &k, sizeof(k)), 0);
	si = f->ctx.ram + reg(f, VM_REG_GUEST_RBX);
	assert_int_equal(get_le32(si + 12), 0);
	assert_int_equal(get_le64(si + 16), 0);
	fixture_free(f);
}

#define ELF_FIELD(field, v, text)                                              \
	{                                                                      \
		offsetof(struct elf, field), sizeof(((struct elf *)0)->field), \
		    (uint64_t)(v), (text)                                      \
	}

static const struct {
	size_t off, bytes;
	uint64_t val;
	const char *says;
} elf_hostile[] = {
	ELF_FIELD(e.e_phnum, 0, "without a PVH note"),
	ELF_FIELD(e.e_phnum, 0xffff, "without a PVH note"),
	ELF_FIELD(e.e_phentsize, 1, "without a PVH note"),
	ELF_FIELD(e.e_phoff, UINT64_MAX - 8, "without a PVH note"),
	ELF_FIELD(e.e_phoff, 0x10000, "without a PVH note"),
	ELF_FIELD(e.e_machine, EM_AARCH64, "without a PVH note"),
	ELF_FIELD(p[2].p_offset, UINT64_MAX, "without a PVH note"),
	ELF_FIELD(note[0], UINT32_MAX, "without a PVH note"),
	ELF_FIELD(note[1], UINT32_MAX, "without a PVH note"),
	ELF_FIELD(note[1], 3, "without a PVH note"),
	ELF_FIELD(note[4], 0, "PVH entry 0x0 lies outside"),
	ELF_FIELD(note[5], 1, "PVH entry 0x101000010 lies outside"),
	ELF_FIELD(p[0].p_offset, UINT64_MAX - 100, "past the end of the file"),
	ELF_FIELD(p[0].p_filesz, 8193, "more bytes in the file"),
	ELF_FIELD(p[0].p_filesz, 8192, "past the end of the file"),
	ELF_FIELD(p[0].p_memsz, UINT64_MAX - 16 * MIB, "low memory ends"),
	ELF_FIELD(p[1].p_paddr, UINT64_MAX - 4095, "low memory ends"),
	ELF_FIELD(p[1].p_paddr, 64 * MIB - 4095, "low memory ends"),
	ELF_FIELD(p[1].p_paddr, 16 * MIB + 8191, "overlaps the kernel"),
	ELF_FIELD(p[1].p_paddr, 0x3000, "overlaps the boot loader's data"),
	ELF_FIELD(p[1].p_paddr, 0xf0000, "overlaps the firmware's tables"),
};

static void
test_pvh_hostile(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(elf_hostile); i++) {
		struct fixture *f = fixture_new(64 * MIB, 0);
		struct elf k = elf_pvh();

		memcpy((uint8_t *)&k + elf_hostile[i].off, &elf_hostile[i].val,
		    elf_hostile[i].bytes);
		assert_refused(f, &k, sizeof(k), elf_hostile[i].says);
		fixture_free(f);
	}
}

static void
test_pvh_note_behind_others(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	struct elf k = elf_pvh();
	const uint32_t notes[8] = { 4, 0, 6, 0x6e6558, 4, 4, 18, 0x6e6558 };

	/* A Xen note of another type; then ours, its entry in the code. */
	memcpy(k.note, notes, sizeof(notes));
	k.p[2].p_filesz = 36;
	put_le32(k.code, 16 * MIB + 0x20);
	assert_int_equal(load(f, &k, sizeof(k)), 0);
	assert_int_equal(reg(f, VM_REG_GUEST_RIP), 16 * MIB + 0x20);
	fixture_free(f);
}

/* --- Multiboot ----------------------------------------------------- */

struct mb32 {
	Elf32_Ehdr e;
	Elf32_Phdr p;
	uint32_t pad[1000];
	uint32_t header[8];
	uint8_t code[64];
};

/* As kvm-unit-tests' .flat: ELF32, header in the text, flags 0. */
static struct mb32
multiboot_elf(void)
{
	struct mb32 k = {
		.e = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32,
			    ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC,
			.e_machine = EM_386,
			.e_entry = 0x400000 + offsetof(struct mb32, code),
			.e_phoff = offsetof(struct mb32, p),
			.e_phentsize = sizeof(Elf32_Phdr),
			.e_phnum = 1,
		},
		.p = { .p_type = PT_LOAD, .p_vaddr = 0x400000,
		    .p_paddr = 0x400000, .p_filesz = sizeof(struct mb32),
		    .p_memsz = 0x10000 },
		.header = { 0x1badb002, 0, -0x1badb002u },
	};

	return k;
}

static void
test_multiboot_elf(void **state)
{
	struct fixture *f = fixture_new(32 * MIB, 0);
	const uint8_t *ram = f->ctx.ram;
	struct mb32 k = multiboot_elf();
	const uint8_t *mbi, *mod, *map;
	char expect[64];

	f->cmdline = "1 2";
	give_initrd(f, 100);
	assert_int_equal(load(f, &k, sizeof(k)), 0);
	assert_entry32(f);
	assert_int_equal(reg(f, VM_REG_GUEST_RAX), 0x2badb002);
	assert_int_equal(reg(f, VM_REG_GUEST_RIP), k.e.e_entry);
	assert_memory_equal(ram + 0x400000, &k, sizeof(k));

	mbi = ram + reg(f, VM_REG_GUEST_RBX);
	assert_int_equal(get_le32(mbi) & 0x4d, 0x4d);
	assert_int_equal(get_le32(mbi + 4), 639);
	assert_int_equal(get_le32(mbi + 8), 31 * 1024);
	snprintf(expect, sizeof(expect), "%s 1 2", f->kernel);
	assert_string_equal((const char *)ram + get_le32(mbi + 16), expect);
	assert_int_equal(get_le32(mbi + 20), 1);
	mod = ram + get_le32(mbi + 24);
	assert_int_equal(get_le32(mod + 4) - get_le32(mod), 100);
	assert_int_equal(get_le32(mod) % 4096, 0);
	assert_int_equal(ram[get_le32(mod)], 0x5a);
	assert_string_equal((const char *)ram + get_le32(mod + 8), f->initrd);
	assert_int_equal(get_le32(mbi + 44), 5 * 24);
	map = ram + get_le32(mbi + 48) + 3 * 24;
	assert_int_equal(get_le32(map), 20);
	assert_int_equal(get_le64(map + 4), MIB);
	assert_int_equal(get_le64(map + 12), 31 * MIB);
	assert_int_equal(get_le32(map + 20), 1);
	fixture_free(f);
}

/* Where Xen looks for the end of conventional memory, as kernels do that were
 * written for a BIOS. */
static void
test_bios_data_area(void **state)
{
	struct fixture *f = fixture_new(32 * MIB, 0);
	const uint8_t *ram = f->ctx.ram;
	struct mb32 k = multiboot_elf();

	assert_int_equal(load(f, &k, sizeof(k)), 0);
	assert_int_equal(get_le16(ram + 0x40e), 0x9fc0);
	assert_int_equal(get_le16(ram + 0x413), 639);
	assert_int_equal(ram[0x9fc00], 1); /* KiB up to the video memory */
	fixture_free(f);
}

/* The BIOS's services lead to code in the firmware's area, others nowhere. */
static void
test_bios_services(void **state)
{
	struct fixture *f = fixture_new(32 * MIB, 0);
	const uint8_t *ram = f->ctx.ram;
	struct mb32 k = multiboot_elf();

	assert_int_equal(load(f, &k, sizeof(k)), 0);
	for (unsigned int i = 0x10; i <= 0x1a; i++)
		assert_int_equal(get_le32(ram + 4 * i), 0xf000ffe0);
	assert_int_equal(get_le32(ram + 4 * 0xf), 0);
	assert_int_equal(get_le32(ram + 4 * 0x1b), 0);
	assert_int_equal(ram[0xfffe0], 0x55); /* push %bp ... */
	assert_int_equal(ram[0xfffea], 0xcf); /* iret */
	fixture_free(f);
}

/* The a.out kludge: load address, file part, bss, entry from the header. */
struct mbraw {
	uint8_t lead[64];
	uint32_t header[8];
	uint8_t code[160];
};

static struct mbraw
multiboot_raw(void)
{
	const uint32_t flags = 0x10003;
	struct mbraw k = {
		.header = { 0x1badb002, flags, -(0x1badb002u + flags), 0x200020,
		    0x200000, 0x200000 + 200, 0x201000, 0x200060 },
	};

	memset(k.code, 0x90, sizeof(k.code));
	return k;
}

static void
test_multiboot_addresses(void **state)
{
	struct fixture *f = fixture_new(16 * MIB, 0);
	struct mbraw k = multiboot_raw();

	memset(f->ctx.ram + 0x200000, 0xaa, 0x2000);
	assert_int_equal(load(f, &k, sizeof(k)), 0);
	assert_entry32(f);
	assert_int_equal(reg(f, VM_REG_GUEST_RIP), 0x200060);
	/* The header is at file offset 64, load_addr 0x20 before it. */
	assert_memory_equal(f->ctx.ram + 0x200000, (uint8_t *)&k + 32, 200);
	assert_int_equal(f->ctx.ram[0x200000 + 200], 0);
	assert_int_equal(f->ctx.ram[0x200fff], 0);
	assert_int_equal(f->ctx.ram[0x201000], 0xaa);
	fixture_free(f);
}

static const struct {
	unsigned int field;
	uint32_t val;
	const char *says;
} mb_hostile[] = {
	{ 3, 0x100000, "load_addr" }, /* header before load */
	{ 3, 0x200041, "load_addr" }, /* load before the file */
	{ 4, 0x3000, "load_addr" },
	{ 5, 0x200000, "load_end_addr" },
	{ 5, 0x100000, "load_end_addr" },
	{ 5, UINT32_MAX, "load_end_addr" },
	{ 6, 0x200000 + 199, "bss_end_addr" },
	{ 6, UINT32_MAX, "low memory ends" },
	{ 7, 0, "entry_addr" },
	{ 7, 0x201000, "entry_addr" },
};

static void
test_multiboot_hostile(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(mb_hostile); i++) {
		struct fixture *f = fixture_new(16 * MIB, 0);
		struct mbraw k = multiboot_raw();

		k.header[mb_hostile[i].field] = mb_hostile[i].val;
		assert_refused(f, &k, sizeof(k), mb_hostile[i].says);
		fixture_free(f);
	}
}

static void
test_multiboot_over_low_structures(void **state)
{
	struct fixture *f = fixture_new(16 * MIB, 0);
	struct mbraw k = multiboot_raw();

	for (unsigned int i = 3; i < 8; i++)
		k.header[i] -= 0x1fd000;
	assert_refused(f, &k, sizeof(k), "overlaps the boot loader's data");
	fixture_free(f);
}

static void
test_multiboot_unknown_requirement(void **state)
{
	struct fixture *f = fixture_new(16 * MIB, 0);
	struct mbraw k = multiboot_raw();

	k.header[1] |= 8;
	k.header[2] -= 8;
	assert_refused(f, &k, sizeof(k), "features we do not have");
	fixture_free(f);
}

static void
test_multiboot_header_too_far(void **state)
{
	struct fixture *f = fixture_new(16 * MIB, 0);
	const struct mbraw k = multiboot_raw();
	uint8_t *buf = test_calloc(1, 8192 + 512);

	memcpy(buf + 8192 - 64, &k, sizeof(k));
	assert_refused(f, buf, 8192 + 512, "neither a bzImage nor an ELF");
	/* All 32 bytes inside the first 8 KiB: accepted. */
	memset(buf, 0, 8192 + 512);
	memcpy(buf + 8192 - 96, &k, sizeof(k));
	assert_int_equal(load(f, buf, 8192 + 512), 0);
	test_free(buf);
	fixture_free(f);
}

/* --- boot sectors -------------------------------------------------- */

#define SECTOR	   0x7c00
#define SECTOR_MAX (0x9fc00 - SECTOR)

static uint8_t *
sector(size_t len)
{
	uint8_t *s = test_malloc(len);

	memset(s, 0x90, len);
	s[510] = 0x55;
	s[511] = 0xaa;
	return s;
}

static void
assert_entry16(struct fixture *f)
{
	static const int seg[] = { VM_REG_GUEST_CS, VM_REG_GUEST_DS,
		VM_REG_GUEST_ES, VM_REG_GUEST_FS, VM_REG_GUEST_GS,
		VM_REG_GUEST_SS };

	assert_true(f->ctx.bsp.resets > 0);
	for (size_t i = 0; i < ARRAY_LEN(seg); i++)
		assert_segment(f, seg[i], 0, 0xffff, 0x93);
	assert_int_equal(f->ctx.bsp.desc[VM_REG_GUEST_IDTR].base, 0);
	assert_int_equal(f->ctx.bsp.desc[VM_REG_GUEST_IDTR].limit, 0x3ff);
	assert_int_equal(reg(f, VM_REG_GUEST_CR0) & 0x80000001, 0);
	assert_int_equal(reg(f, VM_REG_GUEST_RIP), SECTOR);
	assert_int_equal(reg(f, VM_REG_GUEST_RSP), SECTOR);
	assert_int_equal(reg(f, VM_REG_GUEST_RDX), 0x80);
	assert_int_equal(reg(f, VM_REG_GUEST_RFLAGS), 2);
}

/* One sector, one and a part of the next, and as much as there may be. */
static void
test_sector(void **state)
{
	static const size_t size[] = { 512, 700, 70000, SECTOR_MAX };

	for (size_t i = 0; i < ARRAY_LEN(size); i++) {
		struct fixture *f = fixture_new(2 * MIB, 0);
		const uint8_t *ram = f->ctx.ram;
		uint8_t *s = sector(size[i]);

		assert_int_equal(load(f, s, size[i]), 0);
		assert_entry16(f);
		assert_memory_equal(ram + SECTOR, s, size[i]);
		/* Behind the longest the extended BIOS data area begins. */
		assert_int_equal(
		    ram[SECTOR + size[i]], size[i] == SECTOR_MAX ? 1 : 0);
		test_free(s);
		fixture_free(f);
	}
}

/* Each vector leads to code, below the stack. */
static void
test_sector_vectors(void **state)
{
	struct fixture *f = fixture_new(2 * MIB, 0);
	const uint8_t *ram = f->ctx.ram;
	uint8_t *s = sector(512);

	assert_int_equal(load(f, s, 512), 0);
	for (unsigned int i = 0; i < 256; i++)
		assert_int_equal(get_le32(ram + 4 * i), 0x500);
	assert_int_equal(ram[0x500], 0xfa); /* cli */
	assert_int_equal(ram[0x600], 0);    /* nothing more */
	test_free(s);
	fixture_free(f);
}

static void
test_sector_refused(void **state)
{
	struct fixture *f = fixture_new(2 * MIB, 0);
	uint8_t *s = sector(SECTOR_MAX + 1);

	assert_refused(f, s, SECTOR_MAX + 1, "a disk is given by -s");
	assert_refused(f, s, 511, "nor a boot sector");
	f->cmdline = "quiet";
	assert_refused(f, s, 512, "neither an initrd nor a command line");
	f->cmdline = NULL;
	give_initrd(f, 100);
	assert_refused(f, s, 512, "neither an initrd nor a command line");
	s[511] = 0;
	assert_refused(f, s, 512, "nor a boot sector");
	test_free(s);
	fixture_free(f);
}

/* --- what it is not ------------------------------------------------ */

static const struct {
	const char *bytes;
	size_t len;
	const char *says;
} strangers[] = {
	{ "", 0, "is neither a bzImage nor an ELF with a PVH note" },
	{ "hello", 5, "is neither a bzImage nor an ELF with a PVH note" },
	{ "\x1f\x8b\x08\x00", 4, "gzip" },
	{ "\177ELF\2\1\1\0\0\0\0", 11, "use the bzImage" },
	{ "070701000000", 12, "initrd" },
	{ "MZ\x90\x00", 4, "EFI" },
};

static void
test_strangers(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(strangers); i++) {
		struct fixture *f = fixture_new(16 * MIB, 0);

		assert_refused(
		    f, strangers[i].bytes, strangers[i].len, strangers[i].says);
		fixture_free(f);
	}
}

static void
test_missing_files(void **state)
{
	struct fixture *f = fixture_new(16 * MIB, 0);
	struct boot_kernel bk = { .kernel = "/nonexistent/kernel" };

	assert_int_equal(
	    boot_load_kernel(&f->ctx, &f->ctx.bsp, &bk, f->err, sizeof(f->err)),
	    -ENOENT);
	assert_non_null(strstr(f->err, "/nonexistent/kernel"));
	bk.kernel = "/tmp";
	assert_int_equal(
	    boot_load_kernel(&f->ctx, &f->ctx.bsp, &bk, f->err, sizeof(f->err)),
	    -EISDIR);
	bk.kernel = "/dev/zero"; /* endless */
	assert_int_equal(
	    boot_load_kernel(&f->ctx, &f->ctx.bsp, &bk, f->err, sizeof(f->err)),
	    -EFBIG);
	fixture_free(f);
}

static void
test_kernel_from_a_pipe(void **state)
{
	struct fixture *f = fixture_new(128 * MIB, 0);
	struct bz z = bzimage(0x20f);
	struct boot_kernel bk = { .kernel = f->kernel };
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], &z, sizeof(z)), sizeof(z));
	close(fds[1]);
	snprintf(f->kernel, sizeof(f->kernel), "/dev/fd/%d", fds[0]);
	assert_int_equal(
	    boot_load_kernel(&f->ctx, &f->ctx.bsp, &bk, f->err, sizeof(f->err)),
	    0);
	assert_int_equal(reg(f, VM_REG_GUEST_RIP), 16 * MIB + 0x200);
	close(fds[0]);
	fixture_free(f);
}

static void
test_empty_initrd_and_tiny_guest(void **state)
{
	struct fixture *f = fixture_new(128 * MIB, 0);
	struct bz z = bzimage(0x20f);

	put_file(f->initrd, "", 0);
	f->has_initrd = true;
	assert_refused(f, &z, sizeof(z), "initrd is empty");
	fixture_free(f);
	f = fixture_new(MIB, 0);
	assert_refused(f, &z, sizeof(z), "more than 1 MiB");
	fixture_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bz_64),
		cmocka_unit_test(test_bz_all_registers),
		cmocka_unit_test(test_bz_no_xlf_enters_32),
		cmocka_unit_test(test_bz_old_protocol),
		cmocka_unit_test(test_bz_small_guest),
		cmocka_unit_test(test_bz_too_small_guest),
		cmocka_unit_test(test_bz_initrd_does_not_fit),
		cmocka_unit_test(test_bz_cmdline_length),
		cmocka_unit_test(test_bz_cmdline_beyond_our_page),
		cmocka_unit_test(test_bz_hostile),
		cmocka_unit_test(test_bz_bad_pref_address),
		cmocka_unit_test(test_bz_truncations),
		cmocka_unit_test(test_bz_file_length_slack),
		cmocka_unit_test(test_pvh),
		cmocka_unit_test(test_pvh_no_initrd),
		cmocka_unit_test(test_pvh_hostile),
		cmocka_unit_test(test_pvh_note_behind_others),
		cmocka_unit_test(test_multiboot_elf),
		cmocka_unit_test(test_bios_data_area),
		cmocka_unit_test(test_bios_services),
		cmocka_unit_test(test_multiboot_addresses),
		cmocka_unit_test(test_multiboot_hostile),
		cmocka_unit_test(test_multiboot_over_low_structures),
		cmocka_unit_test(test_multiboot_unknown_requirement),
		cmocka_unit_test(test_multiboot_header_too_far),
		cmocka_unit_test(test_sector),
		cmocka_unit_test(test_sector_vectors),
		cmocka_unit_test(test_sector_refused),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_missing_files),
		cmocka_unit_test(test_kernel_from_a_pipe),
		cmocka_unit_test(test_empty_initrd_and_tiny_guest),
	};

	return cmocka_run_group_tests_name("boot_kernel", tests, NULL, NULL);
}
