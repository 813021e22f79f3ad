/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot.h - getting a guest started without firmware: kernels, tables.
 *
 * Everything here writes guest memory and one vCPU's registers through
 * vmmapi.h.  Files and tables given by the user are not trusted: errors are
 * -errno with one line in `err`.
 */
#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <util/util.h>

struct vmctx;
struct vcpu;

struct boot_kernel {
	const char *kernel;  /* bzImage, ELF/PVH, Multiboot, boot sector */
	const char *initrd;  /* NULL: none */
	const char *cmdline; /* NULL: empty */
	uint64_t rsdp;	     /* gpa of the ACPI RSDP, 0: none */
};
/*
 * Loads by what the file is (bzImage: Linux's 64-bit or 32-bit boot protocol;
 * Multiboot 1; ELF: PVH; else a boot sector) and resets `bsp` and sets its
 * registers for the entry.  The files are read again on every call; the tables
 * may be written before or after.
 */
int boot_load_kernel(struct vmctx *, struct vcpu *bsp,
    const struct boot_kernel *, char *err, size_t err_len) WARN_UNUSED;

struct e820_entry {
	uint64_t base, len;
	uint32_t type; /* E820_RAM ... */
} __attribute__((packed));
#define E820_RAM      1
#define E820_RESERVED 2
#define E820_ACPI     3
#define E820_MAX      32
/* The machine's memory map (docs/bhyve.md 1.5); returns the number of entries.
 */
unsigned int boot_e820(struct vmctx *, struct e820_entry e[E820_MAX]);

/* An INTx pin as the tables describe it. */
struct boot_intx {
	uint8_t bus, slot, pin; /* pin 1..4 = INTA..INTD */
	uint8_t gsi;		/* I/O APIC pin */
	uint8_t pirq;		/* 0..7 = PIRQA..H; 0xff none */
};
struct boot_pci_bus {
	uint8_t bus;
	uint16_t io_base, io_limit; /* inclusive; base > limit: none */
	uint64_t mem32_base, mem32_limit;
	uint64_t mem64_base, mem64_limit;
};

/* What ACPI, MP and SMBIOS tables tell of the machine. */
struct boot_tables {
	unsigned int ncpus;
	/* APIC ids follow from it; NULL: they are the processors' numbers. */
	const struct vm_topology *topology;
	const char *vm_name;
	bool has_lpc; /* ISA bridge: links, COM ports, RTC ... in the DSDT */
	uint8_t lpc_slot, lpc_func;
	bool com[4];
	bool hpet;
	const struct boot_pci_bus *buses; /* at least bus 0 */
	unsigned int nbuses;
	const struct boot_intx *intx;
	unsigned int nintx;
	/* SMBIOS strings; NULL: bhyve's defaults (docs/bhyve.md 4.4). */
	const char *bios_vendor, *bios_version, *bios_date;
	const char *sys_manufacturer, *sys_product, *sys_version, *sys_serial,
	    *sys_sku, *sys_family;
	/* In RFC 4122 byte order; all zero: made from vm_name
	 * (docs/bhyve.md 1.15). */
	uint8_t uuid[16];
};

#define BOOT_MPTABLE_GPA 0xf0000
#define BOOT_SMBIOS_GPA	 0xf1000
#define BOOT_ACPI_GPA	 0xf2400

/* Writes at BOOT_ACPI_GPA; *ret_rsdp is the RSDP's gpa. */
int acpi_build(struct vmctx *, const struct boot_tables *, uint64_t *ret_rsdp,
    char *err, size_t err_len) WARN_UNUSED;
/* -EINVAL with a reason when a PCI bus other than 0 exists. */
int mptable_build(struct vmctx *, const struct boot_tables *, char *err,
    size_t err_len) WARN_UNUSED;
int smbios_build(struct vmctx *, const struct boot_tables *, char *err,
    size_t err_len) WARN_UNUSED;

#endif /* BOOT_BOOT_H */
