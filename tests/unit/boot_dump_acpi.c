/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot_dump_acpi.c - builds the ACPI tables of a few machines and writes each
 * table to DIR/MACHINE-SIGNATURE.dat, found as an OS finds them (from the RSDP
 * by the XSDT and the FADT).  For acpi_iasl.sh.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <boot/boot.h>

#include "fake_guest.h"

static const struct boot_pci_bus buses[] = {
	{ 0, 0x2000, 0x20ff, 0xc0000000, 0xc07fffff, 0xd000000000,
	    0xd0000fffff },
	{ 7, 0x2100, 0x21ff, 0xc0800000, 0xc0ffffff, 1, 0 },
};
static const struct boot_intx intx[] = {
	{ 0, 3, 1, 16, 0 },
	{ 0, 4, 1, 17, 1 },
	{ 0, 4, 4, 18, 7 },
	{ 0, 31, 2, 19, 0xff },
	{ 7, 1, 1, 20, 4 },
};

static const struct {
	const char *name;
	struct boot_tables t;
} machines[] = {
	{ "bare", { .ncpus = 1, .buses = buses, .nbuses = 1 } },
	{ "usual", { .ncpus = 2,
		       .has_lpc = true,
		       .lpc_slot = 31,
		       .com = { true },
		       .hpet = true,
		       .buses = buses,
		       .nbuses = 1,
		       .intx = intx,
		       .nintx = 4 } },
	{ "full", { .ncpus = 64,
		      .has_lpc = true,
		      .lpc_slot = 1,
		      .lpc_func = 2,
		      .com = { true, true, true, true },
		      .hpet = true,
		      .buses = buses,
		      .nbuses = 2,
		      .intx = intx,
		      .nintx = 5 } },
};

/* All but FACS have their length in the same place; so has FACS. */
static int
dump(struct vmctx *ctx, const char *dir, const char *machine, uint64_t gpa)
{
	const uint8_t *p = ctx->ram + gpa;
	const uint32_t len = get_le32(p + 4);
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s-%.4s.dat", dir, machine,
	    (const char *)p);
	f = fopen(path, "wb");
	if (f == NULL || fwrite(p, 1, len, f) != len || fclose(f) != 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	return 0;
}

static int
dump_machine(const char *dir, const char *name, const struct boot_tables *t)
{
	struct vmctx ctx;
	uint64_t rsdp, xsdt, gpa;
	char err[256];
	int rc = 0;

	fake_guest_init(&ctx, 16u << 20, 0);
	if (acpi_build(&ctx, t, &rsdp, err, sizeof(err)) != 0) {
		fprintf(stderr, "%s: %s\n", name, err);
		return 1;
	}
	xsdt = get_le64(ctx.ram + rsdp + 24);
	rc |= dump(&ctx, dir, name, xsdt);
	rc |= dump(&ctx, dir, name, get_le32(ctx.ram + rsdp + 16));
	for (uint32_t off = 36; off < get_le32(ctx.ram + xsdt + 4); off += 8) {
		gpa = get_le64(ctx.ram + xsdt + off);
		rc |= dump(&ctx, dir, name, gpa);
		if (memcmp(ctx.ram + gpa, "FACP", 4) == 0) {
			rc |=
			    dump(&ctx, dir, name, get_le32(ctx.ram + gpa + 36));
			rc |=
			    dump(&ctx, dir, name, get_le32(ctx.ram + gpa + 40));
		}
	}
	fake_guest_fini(&ctx);
	return rc;
}

int
main(int argc, char **argv)
{
	int rc = 0;

	if (argc != 2) {
		fprintf(stderr, "usage: %s directory\n", argv[0]);
		return 64;
	}
	for (size_t i = 0; i < ARRAY_LEN(machines); i++)
		rc |= dump_machine(argv[1], machines[i].name, &machines[i].t);
	return rc;
}
