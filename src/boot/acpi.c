/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * acpi.c - the ACPI tables of this machine (ACPI 6.4; addresses, ids and
 * contents as bhyve's, docs/bhyve.md 1.14).
 *
 * Everything is built in one buffer that is then copied to BOOT_ACPI_GPA:
 *
 *	0x000 RSDP  0x040 RSDT  0x080 XSDT  0x100 MADT  0x200 FADT
 *	0x340 HPET  0x380 MCFG  0x3c0 FACS  0x400 DSDT
 *
 * A MADT for more than 21 processors does not fit before 0x200: what follows
 * then moves up by a multiple of 0x100.  No GPEs, no processor objects, no
 * SRAT.  The guest may ignore or overwrite all of it; nothing is read back.
 */
#include <boot/boot.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include <vmm/mem.h>
#include <vmm/pci.h>
#include <vmmapi.h>

#include "aml.h"
#include "dsdt.h"
#include "image.h"
#include "tables.h"

#define OFF_RSDT	 0x040
#define OFF_XSDT	 0x080
#define OFF_MADT	 0x100
#define OFF_FADT	 0x200 /* this and the following: + struct acpi.shift */
#define OFF_HPET	 0x340
#define OFF_MCFG	 0x380
#define OFF_FACS	 0x3c0
#define OFF_DSDT	 0x400
#define ACPI_ROOM	 (BOOT_BIOS_GPA - BOOT_ACPI_GPA)

#define OEM_ID		 "BHYVE "
#define OEM_REVISION	 1
#define CREATOR_ID	 "BHYV"
#define CREATOR_REVISION 1

#define LAPIC_GPA	 0xfee00000u
#define IOAPIC_GPA	 0xfec00000u
#define HPET_CAPS	 0x80860701u /* low dword of the capability register */
#define SCI_IRQ		 9

#define PM1A_EVT_LEN	 4
#define PM1A_CNT_LEN	 2
#define ACPI_ENABLE	 0xa0
#define ACPI_DISABLE	 0xa1
#define RESET_PORT	 0xcf9
#define RESET_VALUE	 6
#define CMOS_CENTURY	 0x32

/*
 * 5.2.9: WBINVD, PROC_C1, SLP_BUTTON, TMR_VAL_EXT, RESET_REG_SUP, HEADLESS,
 * FORCE_APIC_PHYSICAL_DESTINATION_MODE.
 */
#define FADT_FLAGS     0x00081525
#define IAPC_BOOT_ARCH 0x0014 /* no VGA, no ASPM; bit 1 clear: no 8042 */

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));
static_assert(sizeof(struct acpi_header) == 36, "5.2.6");

struct acpi_rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt_address;
	uint32_t length;
	uint64_t xsdt_address;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} __attribute__((packed));
static_assert(sizeof(struct acpi_rsdp) == 36, "5.2.5.3");

#define NTABLES_MAX 4

struct acpi_rsdt {
	struct acpi_header h;
	uint32_t entry[NTABLES_MAX];
} __attribute__((packed));
struct acpi_xsdt {
	struct acpi_header h;
	uint64_t entry[NTABLES_MAX];
} __attribute__((packed));
static_assert(sizeof(struct acpi_rsdt) <= OFF_XSDT - OFF_RSDT, "RSDT");
static_assert(sizeof(struct acpi_xsdt) <= OFF_MADT - OFF_XSDT, "XSDT");

struct acpi_gas {
	uint8_t space_id; /* 0 memory, 1 I/O */
	uint8_t bit_width;
	uint8_t bit_offset;
	uint8_t access_size; /* 1 byte, 2 word, 3 dword */
	uint64_t address;
} __attribute__((packed));
static_assert(sizeof(struct acpi_gas) == 12, "5.2.3.2");
#define GAS_IO(port, bytes, access)                                            \
	{                                                                      \
		1, (bytes)*8, 0, (access), (port)                              \
	}

struct acpi_fadt {
	struct acpi_header h;
	uint32_t firmware_ctrl;
	uint32_t dsdt;
	uint8_t model;
	uint8_t preferred_pm_profile;
	uint16_t sci_int;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
	uint32_t pm1a_evt_blk, pm1b_evt_blk, pm1a_cnt_blk, pm1b_cnt_blk;
	uint32_t pm2_cnt_blk, pm_tmr_blk, gpe0_blk, gpe1_blk;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len;
	uint8_t gpe0_blk_len, gpe1_blk_len, gpe1_base, cst_cnt;
	uint16_t p_lvl2_lat, p_lvl3_lat, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alrm, mon_alrm, century;
	uint16_t iapc_boot_arch;
	uint8_t reserved;
	uint32_t flags;
	struct acpi_gas reset_reg;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor_version;
	uint64_t x_firmware_ctrl, x_dsdt;
	struct acpi_gas x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_pm1b_cnt;
	struct acpi_gas x_pm2_cnt, x_pm_tmr, x_gpe0, x_gpe1;
	struct acpi_gas sleep_control, sleep_status;
} __attribute__((packed));
static_assert(sizeof(struct acpi_fadt) == 0x10c, "5.2.9");
static_assert(sizeof(struct acpi_fadt) <= OFF_HPET - OFF_FADT, "FADT");

struct acpi_hpet {
	struct acpi_header h;
	uint32_t block_id;
	struct acpi_gas base;
	uint8_t number;
	uint16_t min_tick;
	uint8_t page_protection;
} __attribute__((packed));
static_assert(sizeof(struct acpi_hpet) == 56, "IA-PC HPET 1.0a 3.2.4");
static_assert(sizeof(struct acpi_hpet) <= OFF_MCFG - OFF_HPET, "HPET");
#define HPET_PROTECT_4K 1

struct acpi_mcfg {
	struct acpi_header h;
	uint64_t reserved;
	uint64_t base;
	uint16_t segment;
	uint8_t first_bus, last_bus;
	uint32_t reserved2;
} __attribute__((packed));
static_assert(sizeof(struct acpi_mcfg) == 60, "PCI Firmware 3.0 4.1.2");
static_assert(sizeof(struct acpi_mcfg) <= OFF_FACS - OFF_MCFG, "MCFG");

struct acpi_facs {
	char signature[4];
	uint32_t length;
	uint32_t hardware_signature, waking_vector, global_lock, flags;
	uint64_t x_waking_vector;
	uint8_t version;
	uint8_t reserved[31];
} __attribute__((packed));
static_assert(sizeof(struct acpi_facs) == 64, "5.2.10");

struct acpi_madt {
	struct acpi_header h;
	uint32_t lapic_address;
	uint32_t flags;
} __attribute__((packed));
struct madt_lapic {
	uint8_t type, length, processor_uid, apic_id;
	uint32_t flags;
} __attribute__((packed));
struct madt_ioapic {
	uint8_t type, length, ioapic_id, reserved;
	uint32_t address, gsi_base;
} __attribute__((packed));
struct madt_override {
	uint8_t type, length, bus, source;
	uint32_t gsi;
	uint16_t flags;
} __attribute__((packed));
struct madt_lapic_nmi {
	uint8_t type, length, processor_uid;
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));
static_assert(sizeof(struct madt_lapic) == 8, "5.2.12.2");
static_assert(sizeof(struct madt_ioapic) == 12, "5.2.12.3");
static_assert(sizeof(struct madt_override) == 10, "5.2.12.5");
static_assert(sizeof(struct madt_lapic_nmi) == 6, "5.2.12.7");

#define MADT_PCAT_COMPAT 1
#define MADT_ENABLED	 1
#define INTI_HIGH_EDGE	 0x0005
#define INTI_LOW_LEVEL	 0x000f
#define MADT_ALL_CPUS	 0xff

/* One build. */
struct acpi {
	const struct boot_tables *t;
	uint8_t *buf; /* ACPI_ROOM bytes, zeroed */
	uint32_t shift;
	uint32_t dsdt_len;
};

static uint32_t
gpa_of(uint32_t off)
{
	return BOOT_ACPI_GPA + off;
}

static struct acpi_header
header(const char sig[4], const char table_id[8], uint8_t revision)
{
	struct acpi_header h = {
		.revision = revision,
		.oem_revision = OEM_REVISION,
		.creator_revision = CREATOR_REVISION,
	};

	memcpy(h.signature, sig, sizeof(h.signature));
	memcpy(h.oem_id, OEM_ID, sizeof(h.oem_id));
	memcpy(h.oem_table_id, table_id, sizeof(h.oem_table_id));
	memcpy(h.creator_id, CREATOR_ID, sizeof(h.creator_id));
	return h;
}

/* Store a whole table: its length and checksum are filled in here. */
static void
put_table(struct acpi *a, uint32_t off, const void *table, uint32_t len)
{
	struct acpi_header *h = (void *)(a->buf + off);

	memcpy(h, table, len);
	h->length = len;
	h->checksum = 0;
	h->checksum = table_checksum(h, len);
}

static void
put_rsdp(struct acpi *a)
{
	struct acpi_rsdp r = {
		.revision = 2,
		.rsdt_address = gpa_of(OFF_RSDT),
		.length = sizeof(r),
		.xsdt_address = gpa_of(OFF_XSDT),
	};

	memcpy(r.signature, "RSD PTR ", sizeof(r.signature));
	memcpy(r.oem_id, OEM_ID, sizeof(r.oem_id));
	r.checksum = table_checksum(&r, offsetof(struct acpi_rsdp, length));
	r.extended_checksum = table_checksum(&r, sizeof(r));
	memcpy(a->buf, &r, sizeof(r));
}

static void
put_rsdt_and_xsdt(struct acpi *a)
{
	const uint32_t table[NTABLES_MAX] = {
		gpa_of(OFF_MADT), gpa_of(OFF_FADT + a->shift),
		gpa_of(OFF_MCFG + a->shift),
		gpa_of(OFF_HPET + a->shift), /* last: it may be missing */
	};
	const uint32_t n = a->t->hpet ? NTABLES_MAX : NTABLES_MAX - 1;
	struct acpi_rsdt rsdt = { .h = header("RSDT", "BVRSDT  ", 1) };
	struct acpi_xsdt xsdt = { .h = header("XSDT", "BVXSDT  ", 1) };

	for (uint32_t i = 0; i < n; i++) {
		rsdt.entry[i] = table[i];
		xsdt.entry[i] = table[i];
	}
	put_table(a, OFF_RSDT, &rsdt, sizeof(rsdt.h) + n * 4);
	put_table(a, OFF_XSDT, &xsdt, sizeof(xsdt.h) + n * 8);
}

static uint32_t
madt_len(unsigned int ncpus)
{
	return (uint32_t)(sizeof(struct acpi_madt) +
			  ncpus * sizeof(struct madt_lapic) +
			  sizeof(struct madt_ioapic) +
			  2 * sizeof(struct madt_override) +
			  sizeof(struct madt_lapic_nmi));
}

/* 5.2.12; a processor's uid and APIC id are its number. */
static void
put_madt(struct acpi *a)
{
	static const struct madt_ioapic ioapic = { 1, sizeof(ioapic), 0, 0,
		IOAPIC_GPA, 0 };
	static const struct madt_override over[] = {
		{ 2, sizeof(over[0]), 0, 0, 2, INTI_HIGH_EDGE },
		{ 2, sizeof(over[0]), 0, SCI_IRQ, SCI_IRQ, INTI_LOW_LEVEL },
	};
	static const struct madt_lapic_nmi nmi = { 4, sizeof(nmi),
		MADT_ALL_CPUS, INTI_HIGH_EDGE, 1 };
	const struct acpi_madt m = {
		.h = header("APIC", "BVMADT  ", 1),
		.lapic_address = LAPIC_GPA,
		.flags = MADT_PCAT_COMPAT,
	};
	uint8_t table[sizeof(m) + VM_MAXCPU * sizeof(struct madt_lapic) +
		      sizeof(ioapic) + sizeof(over) + sizeof(nmi)];
	struct madt_lapic lapic = { .length = sizeof(lapic),
		.flags = MADT_ENABLED };
	uint8_t *p = table;

	p = mempcpy(p, &m, sizeof(m));
	for (unsigned int i = 0; i < a->t->ncpus; i++) {
		lapic.processor_uid = (uint8_t)i;
		lapic.apic_id = tables_apic_id(a->t, i);
		p = mempcpy(p, &lapic, sizeof(lapic));
	}
	p = mempcpy(p, &ioapic, sizeof(ioapic));
	p = mempcpy(p, over, sizeof(over));
	p = mempcpy(p, &nmi, sizeof(nmi));
	put_table(a, OFF_MADT, table, (uint32_t)(p - table));
}

static void
put_fadt(struct acpi *a)
{
	const struct acpi_fadt f = {
		.h = header("FACP", "BVFACP  ", 5),
		.firmware_ctrl = gpa_of(OFF_FACS + a->shift),
		.x_firmware_ctrl = gpa_of(OFF_FACS + a->shift),
		.dsdt = gpa_of(OFF_DSDT + a->shift),
		.x_dsdt = gpa_of(OFF_DSDT + a->shift),
		.model = 1,
		.sci_int = SCI_IRQ,
		.smi_cmd = SMI_CMD_PORT,
		.acpi_enable = ACPI_ENABLE,
		.acpi_disable = ACPI_DISABLE,
		.pm1a_evt_blk = PM1A_EVT_PORT,
		.pm1a_cnt_blk = PM1A_CNT_PORT,
		.pm_tmr_blk = PM_TMR_PORT,
		.pm1_evt_len = PM1A_EVT_LEN,
		.pm1_cnt_len = PM1A_CNT_LEN,
		.pm_tmr_len = PM_TMR_LEN,
		.century = CMOS_CENTURY,
		.iapc_boot_arch = IAPC_BOOT_ARCH,
		.flags = FADT_FLAGS,
		.reset_reg = GAS_IO(RESET_PORT, 1, 1),
		.reset_value = RESET_VALUE,
		.x_pm1a_evt = GAS_IO(PM1A_EVT_PORT, PM1A_EVT_LEN, 2),
		.x_pm1a_cnt = GAS_IO(PM1A_CNT_PORT, PM1A_CNT_LEN, 2),
		.x_pm_tmr = GAS_IO(PM_TMR_PORT, PM_TMR_LEN, 3),
	};

	put_table(a, OFF_FADT + a->shift, &f, sizeof(f));
}

static void
put_small_tables(struct acpi *a)
{
	const struct acpi_hpet hpet = {
		.h = header("HPET", "BVHPET  ", 1),
		.block_id = HPET_CAPS,
		.base = { .address = HPET_GPA },
		.page_protection = HPET_PROTECT_4K,
	};
	const struct acpi_mcfg mcfg = {
		.h = header("MCFG", "BVMCFG  ", 1),
		.base = PCI_ECAM_BASE,
		.last_bus = 0xff,
	};
	struct acpi_facs facs = { .length = sizeof(facs), .version = 2 };

	if (a->t->hpet)
		put_table(a, OFF_HPET + a->shift, &hpet, sizeof(hpet));
	put_table(a, OFF_MCFG + a->shift, &mcfg, sizeof(mcfg));
	memcpy(facs.signature, "FACS", sizeof(facs.signature));
	memcpy(a->buf + OFF_FACS + a->shift, &facs, sizeof(facs));
}

/* --- the whole ---------------------------------------------------- */

static int
put_dsdt(struct acpi *a)
{
	const uint32_t off = OFF_DSDT + a->shift;
	struct acpi_header *h = (void *)(a->buf + off);
	struct aml m = {
		.buf = a->buf + off + sizeof(*h),
		.cap = ACPI_ROOM - off - sizeof(*h),
	};

	*h = header("DSDT", "BVDSDT  ", 2);
	dsdt_write(&m, a->t);
	if (!aml_ok(&m))
		return -E2BIG;
	h->length = (uint32_t)(sizeof(*h) + m.len);
	h->checksum = table_checksum(h, h->length);
	a->dsdt_len = h->length;
	return 0;
}

static int
build(struct acpi *a)
{
	const uint32_t madt = madt_len(a->t->ncpus);

	if (madt > OFF_FADT - OFF_MADT)
		a->shift = ROUND_UP(madt - (OFF_FADT - OFF_MADT), 0x100u);
	put_rsdp(a);
	put_rsdt_and_xsdt(a);
	put_madt(a);
	put_fadt(a);
	put_small_tables(a);
	return put_dsdt(a);
}

int
acpi_build(struct vmctx *ctx, const struct boot_tables *t, uint64_t *ret_rsdp,
    char *err, size_t err_len)
{
	struct acpi a = { .t = t };
	int rc;

	if (t->ncpus == 0 || t->ncpus > VM_MAXCPU)
		return boot_verr(err, err_len, -EINVAL,
		    "ACPI: %u processors (1 to %d are possible)", t->ncpus,
		    VM_MAXCPU);
	a.buf = calloc(1, ACPI_ROOM);
	if (a.buf == NULL)
		return boot_verr(err, err_len, -ENOMEM, "ACPI: out of memory");
	rc = build(&a);
	if (rc != 0)
		boot_verr(err, err_len, rc,
		    "ACPI: the tables do not fit below 1 MiB");
	else if ((rc = vm_mem_write(ctx, BOOT_ACPI_GPA, a.buf,
		      OFF_DSDT + a.shift + a.dsdt_len)) != 0)
		boot_verr(err, err_len, rc,
		    "ACPI: the guest has no memory at 0x%x", BOOT_ACPI_GPA);
	else
		*ret_rsdp = BOOT_ACPI_GPA;
	free(a.buf);
	return rc;
}
