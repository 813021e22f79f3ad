/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mptable.c - the MultiProcessor Specification 1.4 table, for guests that do
 * not read ACPI.  Contents as bhyve's (docs/bhyve.md 1.13).
 *
 * The floating pointer lies at BOOT_MPTABLE_GPA with the configuration table
 * directly behind it; both end before the SMBIOS entry.  One PCI bus only:
 * there is no way to tell of host bridges.  No OEM table, no extended entries.
 */
#include <boot/boot.h>

#include <assert.h>
#include <errno.h>

#include <vmm/mem.h>
#include <vmmapi.h>

#include "image.h"
#include "tables.h"

#define MP_ROOM	     (BOOT_SMBIOS_GPA - BOOT_MPTABLE_GPA)
#define MP_SPEC_REV  4 /* 1.4 */
#define LAPIC_GPA    0xfee00000u
#define LAPIC_VER    0x14 /* the chip's: Linux compares them */
#define IOAPIC_GPA   0xfec00000u
#define IOAPIC_ID    0
#define IOAPIC_VER   0x11
#define CPU_SIG	     0x6a5 /* family 6, model 26, stepping 5 */
#define CPU_FEATURES 0xbfebfbff
#define SCI_IRQ	     9
#define NISA_IRQS    16

struct mp_floating {
	char signature[4];
	uint32_t config_gpa;
	uint8_t length; /* in paragraphs */
	uint8_t spec_rev;
	uint8_t checksum;
	uint8_t feature[5];
} __attribute__((packed));
static_assert(sizeof(struct mp_floating) == 16, "4.1");

struct mp_config {
	char signature[4];
	uint16_t base_length;
	uint8_t spec_rev;
	uint8_t checksum;
	char oem_id[8];
	char product_id[12];
	uint32_t oem_table;
	uint16_t oem_table_size;
	uint16_t entry_count;
	uint32_t lapic_gpa;
	uint16_t extended_length;
	uint8_t extended_checksum;
	uint8_t reserved;
} __attribute__((packed));
static_assert(sizeof(struct mp_config) == 44, "4.2");

enum { MP_PROCESSOR, MP_BUS, MP_IOAPIC, MP_IOINT, MP_LOCALINT };

struct mp_processor {
	uint8_t type, apic_id, apic_version, flags;
	uint32_t signature, features;
	uint32_t reserved[2];
} __attribute__((packed));
static_assert(sizeof(struct mp_processor) == 20, "4.3.1");
#define PROC_EN BIT(0)
#define PROC_BP BIT(1)

struct mp_bus {
	uint8_t type, id;
	char name[6];
} __attribute__((packed));
static_assert(sizeof(struct mp_bus) == 8, "4.3.2");
enum { BUS_PCI, BUS_ISA };

struct mp_ioapic {
	uint8_t type, id, version, flags;
	uint32_t gpa;
} __attribute__((packed));
static_assert(sizeof(struct mp_ioapic) == 8, "4.3.3");
#define IOAPIC_EN BIT(0)

struct mp_int {
	uint8_t type, int_type;
	uint16_t flags;
	uint8_t src_bus, src_irq, dst_apic, dst_pin;
} __attribute__((packed));
static_assert(sizeof(struct mp_int) == 8, "4.3.4, 4.3.5");
enum { INT_VECTORED, INT_NMI, INT_SMI, INT_EXTINT };
#define INT_CONFORMS 0
#define INT_LOW	     0x3
#define INT_LEVEL    0xc
#define ALL_LAPICS   0xff

/* The table as it grows. */
struct mp {
	uint8_t buf[MP_ROOM];
	size_t len;
	unsigned int entries;
	bool overflow;
};

static void
add(struct mp *mp, const void *entry, size_t len)
{
	if (len > sizeof(mp->buf) - mp->len) {
		mp->overflow = true;
		return;
	}
	memcpy(mp->buf + mp->len, entry, len);
	mp->len += len;
	mp->entries++;
}

static void
add_int(struct mp *mp, const struct mp_int *entry)
{
	add(mp, entry, sizeof(*entry));
}

static void
add_processors(struct mp *mp, const struct boot_tables *t)
{
	for (unsigned int i = 0; i < t->ncpus; i++)
		add(mp,
		    &(struct mp_processor){
			.type = MP_PROCESSOR,
			.apic_id = tables_apic_id(t, i),
			.apic_version = LAPIC_VER,
			.flags = (uint8_t)(PROC_EN | (i == 0 ? PROC_BP : 0)),
			.signature = CPU_SIG,
			.features = CPU_FEATURES,
		    },
		    sizeof(struct mp_processor));
}

static void
add_buses_and_ioapic(struct mp *mp)
{
	static const struct mp_bus buses[] = {
		{ MP_BUS, BUS_PCI, { 'P', 'C', 'I', ' ', ' ', ' ' } },
		{ MP_BUS, BUS_ISA, { 'I', 'S', 'A', ' ', ' ', ' ' } },
	};
	static const struct mp_ioapic ioapic = { MP_IOAPIC, IOAPIC_ID,
		IOAPIC_VER, IOAPIC_EN, IOAPIC_GPA };

	for (size_t i = 0; i < ARRAY_LEN(buses); i++)
		add(mp, &buses[i], sizeof(buses[i]));
	add(mp, &ioapic, sizeof(ioapic));
}

/*
 * By I/O APIC pin: the 8259 comes in at pin 0, the timer (IRQ 0) at pin 2
 * where IRQ 2, the cascade, would be.
 */
static void
add_isa_ints(struct mp *mp)
{
	for (uint8_t pin = 0; pin < NISA_IRQS; pin++)
		add_int(
		    mp, &(struct mp_int){
			    .type = MP_IOINT,
			    .int_type = pin == 0 ? INT_EXTINT : INT_VECTORED,
			    .flags = pin == SCI_IRQ ? INT_LOW | INT_LEVEL
						    : INT_CONFORMS,
			    .src_bus = BUS_ISA,
			    .src_irq = pin == 2 ? 0 : pin,
			    .dst_apic = IOAPIC_ID,
			    .dst_pin = pin,
			});
}

/* 4.3.4 with D.3: a PCI source is slot and pin in one byte. */
static void
add_pci_ints(struct mp *mp, const struct boot_tables *t)
{
	for (unsigned int i = 0; i < t->nintx; i++)
		add_int(
		    mp, &(struct mp_int){
			    .type = MP_IOINT,
			    .int_type = INT_VECTORED,
			    .flags = INT_CONFORMS,
			    .src_bus = BUS_PCI,
			    .src_irq = (uint8_t)(t->intx[i].slot << 2 |
						 ((t->intx[i].pin - 1) & 3)),
			    .dst_apic = IOAPIC_ID,
			    .dst_pin = t->intx[i].gsi,
			});
}

static void
add_local_ints(struct mp *mp)
{
	static const uint8_t by_lint[] = { INT_EXTINT, INT_NMI };

	for (uint8_t lint = 0; lint < ARRAY_LEN(by_lint); lint++)
		add_int(mp, &(struct mp_int){
				.type = MP_LOCALINT,
				.int_type = by_lint[lint],
				.flags = INT_CONFORMS,
				.src_bus = BUS_ISA,
				.dst_apic = ALL_LAPICS,
				.dst_pin = lint,
			    });
}

/* Both headers, now that the entries behind them are known. */
static void
put_headers(struct mp *mp)
{
	const size_t base = sizeof(struct mp_floating);
	struct mp_floating f = {
		.signature = { '_', 'M', 'P', '_' },
		.config_gpa = BOOT_MPTABLE_GPA + sizeof(f),
		.length = sizeof(f) / 16,
		.spec_rev = MP_SPEC_REV,
	};
	struct mp_config c = {
		.signature = { 'P', 'C', 'M', 'P' },
		.base_length = (uint16_t)(mp->len - base),
		.spec_rev = MP_SPEC_REV,
		.entry_count = (uint16_t)mp->entries,
		.lapic_gpa = LAPIC_GPA,
	};

	memcpy(c.oem_id, "BHyVe   ", sizeof(c.oem_id));
	memcpy(c.product_id, "Hypervisor  ", sizeof(c.product_id));
	f.checksum = table_checksum(&f, sizeof(f));
	memcpy(mp->buf, &f, sizeof(f));
	memcpy(mp->buf + base, &c, sizeof(c));
	c.checksum = table_checksum(mp->buf + base, mp->len - base);
	memcpy(mp->buf + base, &c, sizeof(c));
}

static bool
has_other_bus(const struct boot_tables *t)
{
	for (unsigned int i = 0; i < t->nbuses; i++)
		if (t->buses[i].bus != 0)
			return true;
	for (unsigned int i = 0; i < t->nintx; i++)
		if (t->intx[i].bus != 0)
			return true;
	return false;
}

int
mptable_build(
    struct vmctx *ctx, const struct boot_tables *t, char *err, size_t err_len)
{
	struct mp mp = {
		.len = sizeof(struct mp_floating) + sizeof(struct mp_config),
	};
	int rc;

	if (has_other_bus(t))
		return boot_verr(err, err_len, -EINVAL,
		    "the MP table cannot describe PCI buses other than 0"
		    " (use -Y to leave it out)");
	add_processors(&mp, t);
	add_buses_and_ioapic(&mp);
	add_isa_ints(&mp);
	add_pci_ints(&mp, t);
	add_local_ints(&mp);
	if (mp.overflow)
		return boot_verr(err, err_len, -E2BIG,
		    "the MP table has no room for %u processors and %u"
		    " interrupts",
		    t->ncpus, t->nintx);
	put_headers(&mp);
	rc = vm_mem_write(ctx, BOOT_MPTABLE_GPA, mp.buf, mp.len);
	if (rc != 0)
		return boot_verr(err, err_len, rc,
		    "MP table: the guest has no memory at 0x%x",
		    BOOT_MPTABLE_GPA);
	return 0;
}
