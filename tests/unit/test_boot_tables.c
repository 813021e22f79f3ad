/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tables a guest finds in memory: e820, ACPI, MP, SMBIOS.  Read here by
 * offsets from the specifications, not by the writers' structures.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>

#include <boot/boot.h>

#include "fake_guest.h"
#include "tables.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static struct vmctx *
guest(size_t low, size_t high)
{
	struct vmctx *ctx = test_calloc(1, sizeof(*ctx));

	fake_guest_init(ctx, low, high);
	return ctx;
}

static void
guest_free(struct vmctx *ctx)
{
	fake_guest_fini(ctx);
	test_free(ctx);
}

static void
assert_sums_to_zero(const uint8_t *p, size_t len)
{
	unsigned int sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += p[i];
	assert_int_equal(sum & 0xff, 0);
}

/* --- e820 ---------------------------------------------------------- */

static void
check_e820(size_t low, size_t high, unsigned int count)
{
	struct vmctx *ctx = guest(low, high);
	struct e820_entry e[E820_MAX];
	const unsigned int n = boot_e820(ctx, e);
	uint64_t ram = 0;
	bool tables = false, ecam = false;

	assert_int_equal(n, count);
	for (unsigned int i = 0; i < n; i++) {
		assert_true(e[i].len > 0);
		if (i > 0) /* in order, without overlaps */
			assert_true(e[i - 1].base + e[i - 1].len <= e[i].base);
		if (e[i].type == E820_RAM)
			ram += e[i].len;
		else
			assert_int_equal(e[i].type, E820_RESERVED);
		tables |= e[i].type == E820_RESERVED && e[i].base == 0xf0000 &&
			  e[i].len == 0x10000;
		ecam |= e[i].type == E820_RESERVED && e[i].base == 0xe0000000 &&
			e[i].len == 0x10000000;
	}
	assert_int_equal(ram, 0x9fc00 + (low - MIB) + high);
	assert_true(tables);
	assert_true(ecam);
	guest_free(ctx);
}

static void
test_e820(void **state)
{
	check_e820(2 * MIB, 0, 5);
	check_e820(256 * MIB, 0, 5);
	check_e820(3 * GIB, 0, 5);
	check_e820(3 * GIB, 4096, 6);
	check_e820(3 * GIB, 61 * GIB, 6);
}

static void
test_e820_high_ram_at_4g(void **state)
{
	struct vmctx *ctx = guest(3 * GIB, 5 * GIB);
	struct e820_entry e[E820_MAX];
	const unsigned int n = boot_e820(ctx, e);

	assert_int_equal(e[n - 1].base, 4 * GIB);
	assert_int_equal(e[n - 1].len, 5 * GIB);
	assert_int_equal(e[n - 3].base + e[n - 3].len, 3 * GIB);
	guest_free(ctx);
}

/* --- ACPI ---------------------------------------------------------- */

static const struct boot_pci_bus bus0 = { 0, 0x2000, 0x20ff, 0xc0000000,
	0xc0ffffff, 1, 0 };

static struct boot_tables
tables(unsigned int ncpus)
{
	return (struct boot_tables){
		.ncpus = ncpus,
		.vm_name = "test",
		.has_lpc = true,
		.lpc_slot = 31,
		.com = { true },
		.hpet = true,
		.buses = &bus0,
		.nbuses = 1,
	};
}

static void
build_acpi(struct vmctx *ctx, const struct boot_tables *t)
{
	uint64_t rsdp = 0;
	char err[128];

	assert_int_equal(acpi_build(ctx, t, &rsdp, err, sizeof(err)), 0);
	assert_int_equal(rsdp, 0xf2400);
}

/* As an OS does: by the XSDT, checksums verified, and the RSDT agrees. */
static const uint8_t *
find_table(struct vmctx *ctx, const char *sig)
{
	const uint8_t *rsdp = ctx->ram + 0xf2400;
	const uint8_t *xsdt, *rsdt, *t, *found = NULL;

	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_sums_to_zero(rsdp, 20);
	assert_sums_to_zero(rsdp, 36);
	assert_int_equal(rsdp[15], 2);
	xsdt = ctx->ram + get_le64(rsdp + 24);
	rsdt = ctx->ram + get_le32(rsdp + 16);
	assert_memory_equal(xsdt, "XSDT", 4);
	assert_memory_equal(rsdt, "RSDT", 4);
	assert_sums_to_zero(xsdt, get_le32(xsdt + 4));
	assert_sums_to_zero(rsdt, get_le32(rsdt + 4));
	assert_int_equal(
	    (get_le32(xsdt + 4) - 36) / 8, (get_le32(rsdt + 4) - 36) / 4);
	for (unsigned int i = 0; i < (get_le32(xsdt + 4) - 36) / 8; i++) {
		t = ctx->ram + get_le64(xsdt + 36 + 8 * i);
		assert_int_equal(t - ctx->ram, get_le32(rsdt + 36 + 4 * i));
		assert_sums_to_zero(t, get_le32(t + 4));
		assert_memory_equal(t + 10, "BHYVE ", 6);
		if (memcmp(t, sig, 4) == 0)
			found = t;
	}
	return found;
}

static void
test_acpi_offsets(void **state)
{
	static const struct {
		const char *sig, *table_id;
		uint32_t off;
	} expect[] = {
		{ "APIC", "BVMADT  ", 0x100 },
		{ "FACP", "BVFACP  ", 0x200 },
		{ "HPET", "BVHPET  ", 0x340 },
		{ "MCFG", "BVMCFG  ", 0x380 },
	};
	struct vmctx *ctx = guest(16 * MIB, 0);
	const struct boot_tables t = tables(2);
	const uint8_t *p;

	build_acpi(ctx, &t);
	for (size_t i = 0; i < ARRAY_LEN(expect); i++) {
		p = find_table(ctx, expect[i].sig);
		assert_ptr_equal(p, ctx->ram + 0xf2400 + expect[i].off);
		assert_memory_equal(p + 16, expect[i].table_id, 8);
	}
	guest_free(ctx);
}

static void
test_acpi_no_hpet(void **state)
{
	struct vmctx *ctx = guest(16 * MIB, 0);
	struct boot_tables t = tables(1);

	t.hpet = false;
	build_acpi(ctx, &t);
	assert_null(find_table(ctx, "HPET"));
	assert_non_null(find_table(ctx, "MCFG"));
	guest_free(ctx);
}

/* Walks the MADT's entries; returns the number of local APICs. */
static unsigned int
count_lapics(const struct boot_tables *t, const uint8_t *madt)
{
	const uint32_t len = get_le32(madt + 4);
	unsigned int seen[5] = { 0 };
	uint32_t off = 44;

	assert_int_equal(get_le32(madt + 36), 0xfee00000);
	assert_int_equal(get_le32(madt + 40), 1);
	while (off < len) {
		const uint8_t *e = madt + off;

		assert_in_range(e[0], 0, 4);
		assert_in_range(e[1], 6, 12);
		if (e[0] == 0) {
			assert_int_equal(e[2], seen[0]);
			assert_int_equal(e[3], tables_apic_id(t, seen[0]));
			assert_int_equal(get_le32(e + 4), 1);
		} else if (e[0] == 1) {
			assert_int_equal(get_le32(e + 4), 0xfec00000);
		} else if (e[0] == 2) {
			/* IRQ 0 to 2, edge high; 9 to 9, level low. */
			assert_int_equal(get_le32(e + 4), e[3] == 0 ? 2 : 9);
			assert_int_equal(get_le16(e + 8), e[3] == 0 ? 5 : 15);
		}
		seen[e[0]]++;
		off += e[1];
	}
	assert_int_equal(off, len);
	assert_int_equal(seen[1], 1);
	assert_int_equal(seen[2], 2);
	assert_int_equal(seen[4], 1);
	return seen[0];
}

static void
test_madt_every_count(void **state)
{
	for (unsigned int n = 1; n <= VM_MAXCPU; n++) {
		struct vmctx *ctx = guest(16 * MIB, 0);
		const struct boot_tables t = tables(n);
		const uint8_t *madt, *fadt, *dsdt;

		build_acpi(ctx, &t);
		madt = find_table(ctx, "APIC");
		fadt = find_table(ctx, "FACP");
		assert_int_equal(count_lapics(&t, madt), n);
		/* What follows moved out of the way, but not before it must. */
		assert_true(madt + get_le32(madt + 4) <= fadt);
		if (n <= 21)
			assert_int_equal(fadt - ctx->ram, 0xf2600);
		dsdt = ctx->ram + get_le32(fadt + 40);
		assert_memory_equal(dsdt, "DSDT", 4);
		assert_int_equal(get_le64(fadt + 140), get_le32(fadt + 40));
		assert_sums_to_zero(dsdt, get_le32(dsdt + 4));
		assert_true(dsdt + get_le32(dsdt + 4) <= ctx->ram + MIB);
		assert_int_equal(get_le32(fadt + 36) % 64, 0);
		assert_memory_equal(ctx->ram + get_le32(fadt + 36), "FACS", 4);
		guest_free(ctx);
	}
}

static void
test_fadt(void **state)
{
	struct vmctx *ctx = guest(16 * MIB, 0);
	const struct boot_tables t = tables(1);
	const uint8_t *f;

	build_acpi(ctx, &t);
	f = find_table(ctx, "FACP");
	assert_int_equal(get_le32(f + 4), 0x10c);
	assert_int_equal(f[8], 5);
	assert_int_equal(get_le16(f + 46), 9);
	assert_int_equal(get_le32(f + 48), 0xb2);
	assert_int_equal(f[52], 0xa0);
	assert_int_equal(f[53], 0xa1);
	assert_int_equal(get_le32(f + 56), 0x400);
	assert_int_equal(get_le32(f + 64), 0x404);
	assert_int_equal(get_le32(f + 76), 0x408);
	assert_int_equal(f[88], 4);
	assert_int_equal(f[89], 2);
	assert_int_equal(f[91], 4);
	assert_int_equal(f[108], 0x32);
	assert_int_equal(get_le16(f + 109), 0x14);
	assert_int_equal(get_le32(f + 112), 0x81525);
	assert_int_equal(get_le64(f + 120), 0xcf9);
	assert_int_equal(f[128], 6);
	assert_int_equal(get_le64(f + 152), 0x400);
	assert_int_equal(get_le64(f + 212), 0x408);
	guest_free(ctx);
}

static void
test_hpet_and_mcfg(void **state)
{
	struct vmctx *ctx = guest(16 * MIB, 0);
	const struct boot_tables t = tables(1);
	const uint8_t *p;

	build_acpi(ctx, &t);
	p = find_table(ctx, "HPET");
	assert_int_equal(get_le32(p + 36), 0x80860701);
	assert_int_equal(get_le64(p + 44), 0xfed00000);
	p = find_table(ctx, "MCFG");
	assert_int_equal(get_le64(p + 44), 0xe0000000);
	assert_int_equal(p[54], 0);
	assert_int_equal(p[55], 255);
	guest_free(ctx);
}

static bool
dsdt_has(struct vmctx *ctx, const void *what, size_t len)
{
	const uint8_t *fadt = find_table(ctx, "FACP");
	const uint8_t *dsdt = ctx->ram + get_le32(fadt + 40);

	return memmem(dsdt, get_le32(dsdt + 4), what, len) != NULL;
}

static void
test_dsdt_com_ports(void **state)
{
	struct vmctx *ctx = guest(16 * MIB, 0);
	struct boot_tables t = tables(1);

	build_acpi(ctx, &t);
	assert_true(dsdt_has(ctx, "COM1", 4));
	assert_false(dsdt_has(ctx, "COM2", 4));
	t.com[0] = false;
	t.com[3] = true;
	build_acpi(ctx, &t);
	assert_false(dsdt_has(ctx, "COM1", 4));
	assert_true(dsdt_has(ctx, "COM4", 4));
	t.has_lpc = false;
	build_acpi(ctx, &t);
	assert_false(dsdt_has(ctx, "COM4", 4));
	assert_false(dsdt_has(ctx, "LNKA", 4));
	guest_free(ctx);
}

/* An interrupt of an existing COM port is not offered to PCI links. */
static void
test_dsdt_link_irqs(void **state)
{
	static const uint8_t with_com1[] = { 0x23, 0xe8, 0xde, 0x18 };
	static const uint8_t with_both[] = { 0x23, 0xe0, 0xde, 0x18 };
	struct vmctx *ctx = guest(16 * MIB, 0);
	struct boot_tables t = tables(1);

	build_acpi(ctx, &t);
	assert_true(dsdt_has(ctx, with_com1, sizeof(with_com1)));
	t.com[1] = true;
	build_acpi(ctx, &t);
	assert_true(dsdt_has(ctx, with_both, sizeof(with_both)));
	guest_free(ctx);
}

static void
test_acpi_refusals(void **state)
{
	struct vmctx *ctx = guest(16 * MIB, 0);
	struct boot_pci_bus *many;
	struct boot_tables t = tables(VM_MAXCPU + 1);
	uint64_t rsdp = 0;
	char err[128];

	assert_int_equal(acpi_build(ctx, &t, &rsdp, err, sizeof(err)), -EINVAL);
	t.ncpus = 1;
	/* 256 buses with all pins wired do not fit below 1 MiB. */
	struct boot_intx *intx = test_calloc(256 * 128, sizeof(*intx));

	many = test_calloc(256, sizeof(*many));
	for (unsigned int i = 0; i < 256 * 128; i++)
		intx[i] = (struct boot_intx){ (uint8_t)(i / 128),
			(uint8_t)(i / 4 % 32), (uint8_t)(1 + i % 4), 16, 0 };
	for (unsigned int i = 0; i < 256; i++) {
		many[i] = bus0;
		many[i].bus = (uint8_t)i;
	}
	t.buses = many;
	t.nbuses = 256;
	t.intx = intx;
	t.nintx = 256 * 128;
	assert_int_equal(acpi_build(ctx, &t, &rsdp, err, sizeof(err)), -E2BIG);
	assert_int_equal(rsdp, 0);
	assert_int_equal(ctx->ram[0xf2400], 0); /* nothing was written */
	test_free(many);
	test_free(intx);
	guest_free(ctx);

	ctx = guest(512 * 1024, 0);
	t = tables(1);
	assert_int_equal(acpi_build(ctx, &t, &rsdp, err, sizeof(err)), -EFAULT);
	guest_free(ctx);
}

/* --- MP table ------------------------------------------------------ */

static void
test_mptable(void **state)
{
	static const uint8_t sizes[] = { 20, 8, 8, 8, 8 };
	static const struct boot_intx intx[] = { { 0, 3, 1, 16, 0 },
		{ 0, 31, 4, 19, 1 } };

	for (unsigned int n = 1; n <= VM_MAXCPU; n += 9) {
		struct vmctx *ctx = guest(16 * MIB, 0);
		struct boot_tables t = tables(n);
		const uint8_t *mp = ctx->ram + 0xf0000;
		const uint8_t *cfg, *e;
		unsigned int seen[5] = { 0 }, isa[16] = { 0 };
		char err[128];

		t.intx = intx;
		t.nintx = 2;
		assert_int_equal(mptable_build(ctx, &t, err, sizeof(err)), 0);
		assert_memory_equal(mp, "_MP_", 4);
		assert_sums_to_zero(mp, 16);
		assert_int_equal(mp[9], 4);
		cfg = ctx->ram + get_le32(mp + 4);
		assert_memory_equal(cfg, "PCMP", 4);
		assert_sums_to_zero(cfg, get_le16(cfg + 4));
		assert_memory_equal(cfg + 8, "BHyVe   Hypervisor  ", 20);
		e = cfg + 44;
		for (unsigned int i = 0; i < get_le16(cfg + 34); i++) {
			assert_in_range(e[0], 0, 4);
			if (e[0] == 0) {
				assert_int_equal(e[2], 0x14); /* the chip's */
				assert_int_equal(e[3], i == 0 ? 3 : 1);
			}
			if (e[0] == 3 && e[4] == 1) {
				isa[e[7]]++;
				assert_int_equal(e[1], e[7] == 0 ? 3 : 0);
				assert_int_equal(e[5], e[7] == 2 ? 0 : e[7]);
				assert_int_equal(
				    get_le16(e + 2), e[7] == 9 ? 0xf : 0);
			}
			if (e[0] == 3 && e[4] == 0 && e[7] == 19)
				assert_int_equal(e[5], 31 << 2 | 3);
			seen[e[0]]++;
			e += sizes[e[0]];
		}
		assert_int_equal(e - cfg, get_le16(cfg + 4));
		assert_int_equal(seen[0], n);
		assert_int_equal(seen[1], 2);
		assert_int_equal(seen[2], 1);
		assert_int_equal(seen[3], 16 + 2);
		assert_int_equal(seen[4], 2);
		for (unsigned int i = 0; i < 16; i++)
			assert_int_equal(isa[i], 1);
		assert_true(e <= ctx->ram + 0xf1000);
		guest_free(ctx);
	}
}

/* 2 packages of 3 cores: APIC ids are not the numbers. */
static void
test_apic_ids(void **state)
{
	static const struct vm_topology topology = { 6, 2, 3, 1 };
	static const uint8_t want[] = { 0, 1, 2, 4, 5, 6 };
	struct vmctx *ctx = guest(16 * MIB, 0);
	struct boot_tables t = tables(6);
	const uint8_t *e;
	char err[128];

	t.topology = &topology;
	build_acpi(ctx, &t);
	assert_int_equal(count_lapics(&t, find_table(ctx, "APIC")), 6);
	assert_int_equal(mptable_build(ctx, &t, err, sizeof(err)), 0);
	e = ctx->ram + get_le32(ctx->ram + 0xf0000 + 4) + 44;
	for (unsigned int i = 0; i < 6; i++, e += 20) {
		assert_int_equal(e[0], 0);
		assert_int_equal(e[1], want[i]);
		assert_int_equal(tables_apic_id(&t, i), want[i]);
	}
	guest_free(ctx);
}

static void
test_mptable_other_bus(void **state)
{
	struct vmctx *ctx = guest(16 * MIB, 0);
	struct boot_pci_bus buses[2] = { bus0, bus0 };
	struct boot_tables t = tables(1);
	char err[128];

	buses[1].bus = 5;
	t.buses = buses;
	t.nbuses = 2;
	assert_int_equal(mptable_build(ctx, &t, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "-Y"));
	assert_int_equal(ctx->ram[0xf0000], 0);
	guest_free(ctx);
}

static void
test_mptable_too_many_interrupts(void **state)
{
	struct boot_intx *intx = test_calloc(1000, sizeof(*intx));
	struct vmctx *ctx = guest(16 * MIB, 0);
	struct boot_tables t = tables(1);
	char err[128];

	t.intx = intx;
	t.nintx = 1000;
	assert_int_equal(mptable_build(ctx, &t, err, sizeof(err)), -E2BIG);
	test_free(intx);
	guest_free(ctx);
}

/* --- SMBIOS -------------------------------------------------------- */

struct smbios {
	struct vmctx *ctx;
	unsigned int seen[128];
	const uint8_t *first[128]; /* of each type */
};

/* The n-th string of a structure, from 1. */
static const char *
smb_text(const uint8_t *s, unsigned int n)
{
	const char *p = (const char *)s + s[1];

	assert_true(n > 0);
	while (--n > 0)
		p += strlen(p) + 1;
	return p;
}

static void
read_smbios(struct smbios *s)
{
	const uint8_t *e = s->ctx->ram + 0xf1000;
	const uint8_t *p, *end;
	unsigned int n = 0;
	size_t largest = 0;

	assert_memory_equal(e, "_SM_", 4);
	assert_int_equal(e[5], 0x1f);
	assert_sums_to_zero(e, 0x1f);
	assert_memory_equal(e + 16, "_DMI_", 5);
	assert_sums_to_zero(e + 16, 15);
	assert_int_equal(e[6], 2);
	assert_int_equal(e[7], 6);
	assert_int_equal(e[0x1e], 0x26);
	p = s->ctx->ram + get_le32(e + 0x18);
	end = p + get_le16(e + 0x16);
	assert_true(end <= s->ctx->ram + 0xf2400);
	while (p < end) {
		const uint8_t *start = p;

		assert_true(p[0] < 128);
		assert_int_equal(get_le16(p + 2), n); /* handles are unique */
		if (s->seen[p[0]]++ == 0)
			s->first[p[0]] = p;
		n++;
		p += p[1];
		while (p[0] != 0 || p[1] != 0)
			p++;
		p += 2;
		largest = MAX(largest, (size_t)(p - start));
	}
	assert_ptr_equal(p, end);
	assert_int_equal(n, get_le16(e + 0x1c));
	assert_int_equal(largest, get_le16(e + 8));
	assert_int_equal(s->seen[127], 1);
}

static void
build_smbios(struct smbios *s, const struct boot_tables *t)
{
	char err[128];

	assert_int_equal(smbios_build(s->ctx, t, err, sizeof(err)), 0);
	read_smbios(s);
}

static void
test_smbios(void **state)
{
	struct smbios s = { .ctx = guest(3 * GIB, 5 * GIB) };
	const struct boot_tables t = tables(64);
	const uint8_t *p;

	build_smbios(&s, &t);
	assert_int_equal(s.seen[4], 64);
	assert_string_equal(smb_text(s.first[4], s.first[4][4]), "CPU #0");
	assert_string_equal(smb_text(s.first[0], s.first[0][4]), "BHYVE");
	assert_string_equal(smb_text(s.first[1], s.first[1][4]), "FreeBSD");
	assert_string_equal(smb_text(s.first[1], s.first[1][5]), "BHYVE");
	assert_string_equal(smb_text(s.first[1], s.first[1][7]), "None");

	/* 17 and 19 name the array by the handle it really has. */
	assert_int_equal(get_le16(s.first[17] + 4), get_le16(s.first[16] + 2));
	assert_int_equal(get_le16(s.first[17] + 12), 8 * 1024);
	assert_int_equal(get_le64(s.first[16] + 15), 8 * GIB);
	assert_int_equal(s.seen[19], 2);
	p = s.first[19];
	assert_int_equal(get_le16(p + 12), get_le16(s.first[16] + 2));
	assert_int_equal(get_le32(p + 4), 0);
	assert_int_equal(get_le32(p + 8), 3 * GIB / 1024 - 1);
	p += p[1] + 2;
	assert_int_equal(p[0], 19);
	assert_int_equal(get_le32(p + 4), 4 * GIB / 1024);
	assert_int_equal(get_le32(p + 8), 9 * GIB / 1024 - 1);
	guest_free(s.ctx);
}

static void
test_smbios_much_memory(void **state)
{
	struct smbios s = { .ctx = guest(3 * GIB, 61 * GIB) };
	const struct boot_tables t = tables(1);

	build_smbios(&s, &t);
	assert_int_equal(get_le16(s.first[17] + 12), 0x7fff);
	assert_int_equal(get_le32(s.first[17] + 28), 64 * 1024);
	guest_free(s.ctx);
}

static void
test_smbios_strings(void **state)
{
	struct smbios s = { .ctx = guest(16 * MIB, 0) };
	struct boot_tables t = tables(1);
	char longer[200];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	t.sys_manufacturer = ""; /* would end the list of strings */
	t.sys_product = longer;
	t.sys_serial = "S-1";
	t.bios_vendor = "Someone";
	build_smbios(&s, &t);
	assert_string_equal(smb_text(s.first[1], 1), "FreeBSD");
	assert_int_equal(strlen(smb_text(s.first[1], 2)), 64);
	assert_string_equal(smb_text(s.first[1], s.first[1][7]), "S-1");
	assert_string_equal(smb_text(s.first[0], s.first[0][4]), "Someone");
	guest_free(s.ctx);
}

static void
test_smbios_uuid(void **state)
{
	static const uint8_t given[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55,
		0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
	static const uint8_t stored[16] = { 0x33, 0x22, 0x11, 0x00, 0x55, 0x44,
		0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
	struct boot_tables t = tables(1);
	uint8_t made[3][16];

	for (unsigned int i = 0; i < 4; i++) {
		struct smbios s = { .ctx = guest(16 * MIB, 0) };

		t.vm_name = i == 2 ? "other" : "test";
		if (i == 3)
			memcpy(t.uuid, given, sizeof(given));
		build_smbios(&s, &t);
		if (i == 3)
			assert_memory_equal(s.first[1] + 8, stored, 16);
		else
			memcpy(made[i], s.first[1] + 8, 16);
		guest_free(s.ctx);
	}
	/* The same name, the same UUID; version 3, RFC 4122 variant. */
	assert_memory_equal(made[0], made[1], 16);
	assert_memory_not_equal(made[0], made[2], 16);
	assert_int_equal(made[0][7] >> 4, 3);
	assert_int_equal(made[0][8] >> 6, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_e820),
		cmocka_unit_test(test_e820_high_ram_at_4g),
		cmocka_unit_test(test_acpi_offsets),
		cmocka_unit_test(test_acpi_no_hpet),
		cmocka_unit_test(test_madt_every_count),
		cmocka_unit_test(test_fadt),
		cmocka_unit_test(test_hpet_and_mcfg),
		cmocka_unit_test(test_dsdt_com_ports),
		cmocka_unit_test(test_dsdt_link_irqs),
		cmocka_unit_test(test_acpi_refusals),
		cmocka_unit_test(test_mptable),
		cmocka_unit_test(test_apic_ids),
		cmocka_unit_test(test_mptable_other_bus),
		cmocka_unit_test(test_mptable_too_many_interrupts),
		cmocka_unit_test(test_smbios),
		cmocka_unit_test(test_smbios_much_memory),
		cmocka_unit_test(test_smbios_strings),
		cmocka_unit_test(test_smbios_uuid),
	};

	return cmocka_run_group_tests_name("boot_tables", tests, NULL, NULL);
}
