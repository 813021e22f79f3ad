/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smbios.c - System Management BIOS tables, version 2.6 (DMTF DSP0134), as
 * bhyve's (docs/bhyve.md 1.15): who made this machine, what it has, its UUID.
 *
 * Types 0 1 3 4 16 17 19 32 127.  The extended sizes in types 16 and 17 are
 * from version 2.7; old readers skip them by the structure's length.  Handles
 * are the structures' numbers, so that one refers to another by what
 * smb_begin() returned.
 */
#include <boot/boot.h>

#include <assert.h>
#include <errno.h>
#include <md5.h>
#include <stdio.h>
#include <unistd.h>

#include <vmm/mem.h>
#include <vmmapi.h>

#include "image.h"
#include "tables.h"

#define SMB_LIMIT	  0x1400 /* up to the ACPI tables */
#define SMB_VERSION_MAJOR 2
#define SMB_VERSION_MINOR 6
#define SMB_BCD		  0x26
#define SMB_STRING_MAX	  64 /* 6.1.3: longer ones are cut */
#define SMB_END		  127

struct smb_entry_point {
	char anchor[4];
	uint8_t checksum;
	uint8_t length;
	uint8_t major, minor;
	uint16_t max_structure;
	uint8_t revision;
	uint8_t formatted[5];
	char dmi_anchor[5];
	uint8_t dmi_checksum; /* from dmi_anchor on */
	uint16_t table_length;
	uint32_t table_gpa;
	uint16_t nstructures;
	uint8_t bcd_revision;
} __attribute__((packed));
static_assert(sizeof(struct smb_entry_point) == 0x1f, "5.2.1");
#define DMI_OFF offsetof(struct smb_entry_point, dmi_anchor)

struct smb_header {
	uint8_t type, length;
	uint16_t handle;
} __attribute__((packed));

struct smb_bios { /* 7.1 */
	struct smb_header h;
	uint8_t vendor, version;
	uint16_t segment;
	uint8_t date, rom_size;
	uint64_t characteristics;
	uint8_t ext_characteristics[2];
	uint8_t major, minor, ec_major, ec_minor;
} __attribute__((packed));
static_assert(sizeof(struct smb_bios) == 0x18, "7.1");
#define BIOS_SEGMENT 0xf000
/* ISA, PCI, shadowing, boot from CD, EDD; ACPI; BBS, virtual machine. */
#define BIOS_CHARS     (BIT64(4) | BIT64(7) | BIT64(12) | BIT64(15) | BIT64(19))
#define BIOS_EXT1_ACPI BIT(0)
#define BIOS_EXT2_BBS  BIT(0)
#define BIOS_EXT2_VM   BIT(4)
#define EC_NONE	       0xff

struct smb_system { /* 7.2 */
	struct smb_header h;
	uint8_t manufacturer, product, version, serial;
	uint8_t uuid[16];
	uint8_t wakeup, sku, family;
} __attribute__((packed));
static_assert(sizeof(struct smb_system) == 0x1b, "7.2");
#define WAKEUP_SWITCH 6

struct smb_chassis { /* 7.4 */
	struct smb_header h;
	uint8_t manufacturer, type, version, serial, asset;
	uint8_t boot_state, psu_state, thermal_state, security;
	uint32_t oem;
	uint8_t height, power_cords, nelements, element_length;
} __attribute__((packed));
static_assert(sizeof(struct smb_chassis) == 0x15, "7.4");
#define CHASSIS_UNKNOWN 2
#define STATE_SAFE	3
#define SECURITY_NONE	3

struct smb_processor { /* 7.5 */
	struct smb_header h;
	uint8_t socket, type, family, manufacturer;
	uint64_t id;
	uint8_t version, voltage;
	uint16_t clock_mhz, max_mhz, cur_mhz;
	uint8_t status, upgrade;
	uint16_t l1_handle, l2_handle, l3_handle;
	uint8_t serial, asset, part;
	uint8_t cores, cores_enabled, threads;
	uint16_t characteristics, family2;
} __attribute__((packed));
static_assert(sizeof(struct smb_processor) == 0x2a, "7.5");
#define PROC_CENTRAL	    3
#define PROC_FAMILY_UNKNOWN 2
#define PROC_ENABLED	    0x41 /* socket populated, CPU enabled */
#define PROC_UPGRADE_NONE   6
#define CACHE_UNKNOWN	    0xffff
#define PROC_64BIT	    0x04

struct smb_memory_array { /* 7.17 */
	struct smb_header h;
	uint8_t location, use, ecc;
	uint32_t capacity_kib;
	uint16_t error_handle, ndevices;
	uint64_t capacity_bytes;
} __attribute__((packed));
static_assert(sizeof(struct smb_memory_array) == 0x17, "7.17");
#define MEMARRAY_BOARD	  3
#define MEMARRAY_SYSTEM	  3
#define ECC_NONE	  3
#define CAPACITY_EXTENDED 0x80000000u
#define NO_ERROR_INFO	  0xfffe

struct smb_memory_device { /* 7.18 */
	struct smb_header h;
	uint16_t array_handle, error_handle, total_width, data_width, size_mib;
	uint8_t form, set, locator, bank, type;
	uint16_t type_detail, speed;
	uint8_t manufacturer, serial, asset, part, attributes;
	uint32_t extended_mib;
	uint16_t configured_speed;
} __attribute__((packed));
static_assert(sizeof(struct smb_memory_device) == 0x22, "7.18");
#define WIDTH_64	64
#define SIZE_EXTENDED	0x7fff
#define FORM_UNKNOWN	2
#define MEMTYPE_UNKNOWN 2
#define DETAIL_UNKNOWN	0x0004

struct smb_memory_range { /* 7.20 */
	struct smb_header h;
	uint32_t first_kib, last_kib; /* both inclusive */
	uint16_t array_handle;
	uint8_t width;
} __attribute__((packed));
static_assert(sizeof(struct smb_memory_range) == 0x0f, "7.20");

struct smb_boot_info { /* 7.33 */
	struct smb_header h;
	uint8_t reserved[6];
	uint8_t status;
} __attribute__((packed));
static_assert(sizeof(struct smb_boot_info) == 0x0b, "7.33");

/* The structure table as it grows. */
struct smb {
	const struct boot_tables *t;
	uint64_t lowmem, highmem;
	uint8_t buf[SMB_LIMIT - sizeof(struct smb_entry_point)];
	size_t len;
	size_t begin; /* of the structure being written */
	size_t largest;
	uint16_t count;
	uint8_t nstrings;
	uint16_t array_handle; /* of type 16 */
	bool overflow;
};

static void
put(struct smb *s, const void *src, size_t len)
{
	if (len > sizeof(s->buf) - s->len) {
		s->overflow = true;
		return;
	}
	memcpy(s->buf + s->len, src, len);
	s->len += len;
}

/*
 * A structure is: its formatted part, its strings in the order of their
 * numbers, and a final NUL (two when there is no string; 6.1.3).
 */
static uint16_t
smb_begin(struct smb *s, void *formatted, uint8_t type, uint8_t len)
{
	struct smb_header *h = formatted;

	*h = (struct smb_header){ type, len, s->count };
	s->begin = s->len;
	s->nstrings = 0;
	put(s, formatted, len);
	return s->count++;
}

static void
smb_string(struct smb *s, const char *text)
{
	put(s, text, strnlen(text, SMB_STRING_MAX));
	put(s, "", 1);
	s->nstrings++;
}

static void
smb_end(struct smb *s)
{
	put(s, "\0", s->nstrings == 0 ? 2 : 1);
	s->largest = MAX(s->largest, s->len - s->begin);
}

#define SMB_BEGIN(s, type, v) smb_begin((s), &(v), (type), sizeof(v))

/* An empty string would end the list of strings early. */
static const char *
text_or(const char *text, const char *dflt)
{
	return text != NULL && text[0] != '\0' ? text : dflt;
}

/*
 * RFC 4122 version 3 in its byte order: the guest keeps its UUID as long as
 * its name and the host's stay (docs/bhyve.md 1.15).
 */
static void
make_uuid(const char *vm_name, uint8_t uuid[16])
{
	char host[256] = "";
	MD5_CTX md5;

	if (gethostname(host, sizeof(host) - 1) != 0)
		host[0] = '\0';
	MD5Init(&md5);
	MD5Update(&md5, (const uint8_t *)vm_name, strlen(vm_name));
	MD5Update(&md5, (const uint8_t *)host, strlen(host));
	MD5Final(uuid, &md5);
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x30);
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

/* 7.2.1: the first three fields are little-endian. */
static void
put_uuid(const struct boot_tables *t, uint8_t out[16])
{
	static const uint8_t none[16];
	static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11,
		12, 13, 14, 15 };
	uint8_t uuid[16];

	memcpy(uuid, t->uuid, sizeof(uuid));
	if (memcmp(uuid, none, sizeof(uuid)) == 0)
		make_uuid(t->vm_name != NULL ? t->vm_name : "", uuid);
	for (size_t i = 0; i < sizeof(order); i++)
		out[i] = uuid[order[i]];
}

static void
add_bios(struct smb *s)
{
	struct smb_bios b = {
		.vendor = 1,
		.version = 2,
		.date = 3,
		.segment = BIOS_SEGMENT,
		.characteristics = BIOS_CHARS,
		.ext_characteristics = { BIOS_EXT1_ACPI,
		    BIOS_EXT2_BBS | BIOS_EXT2_VM },
		.ec_major = EC_NONE,
		.ec_minor = EC_NONE,
	};

	SMB_BEGIN(s, 0, b);
	smb_string(s, text_or(s->t->bios_vendor, "BHYVE"));
	smb_string(s, text_or(s->t->bios_version, "14.0"));
	smb_string(s, text_or(s->t->bios_date, "10/17/2021"));
	smb_end(s);
}

static void
add_system(struct smb *s)
{
	const struct boot_tables *t = s->t;
	struct smb_system sys = {
		.manufacturer = 1,
		.product = 2,
		.version = 3,
		.serial = 4,
		.sku = 5,
		.family = 6,
		.wakeup = WAKEUP_SWITCH,
	};

	put_uuid(t, sys.uuid);
	SMB_BEGIN(s, 1, sys);
	smb_string(s, text_or(t->sys_manufacturer, "FreeBSD"));
	smb_string(s, text_or(t->sys_product, "BHYVE"));
	smb_string(s, text_or(t->sys_version, "1.0"));
	smb_string(s, text_or(t->sys_serial, "None"));
	smb_string(s, text_or(t->sys_sku, "None"));
	smb_string(s, text_or(t->sys_family, "Virtual Machine"));
	smb_end(s);
}

static void
add_chassis(struct smb *s)
{
	struct smb_chassis c = {
		.manufacturer = 1,
		.type = CHASSIS_UNKNOWN,
		.boot_state = STATE_SAFE,
		.psu_state = STATE_SAFE,
		.thermal_state = STATE_SAFE,
		.security = SECURITY_NONE,
	};

	SMB_BEGIN(s, 3, c);
	smb_string(s, text_or(s->t->sys_manufacturer, "FreeBSD"));
	smb_end(s);
}

static void
add_processors(struct smb *s)
{
	struct smb_processor p = {
		.socket = 1,
		.type = PROC_CENTRAL,
		.family = PROC_FAMILY_UNKNOWN,
		.status = PROC_ENABLED,
		.upgrade = PROC_UPGRADE_NONE,
		.l1_handle = CACHE_UNKNOWN,
		.l2_handle = CACHE_UNKNOWN,
		.l3_handle = CACHE_UNKNOWN,
		.cores = 1,
		.cores_enabled = 1,
		.threads = 1,
		.characteristics = PROC_64BIT,
		.family2 = PROC_FAMILY_UNKNOWN,
	};
	char socket[16];

	for (unsigned int i = 0; i < s->t->ncpus; i++) {
		snprintf(socket, sizeof(socket), "CPU #%u", i);
		SMB_BEGIN(s, 4, p);
		smb_string(s, socket);
		smb_end(s);
	}
}

static void
add_memory(struct smb *s)
{
	const uint64_t size = s->lowmem + s->highmem;
	const uint64_t mib = size >> 20;
	struct smb_memory_array array = {
		.location = MEMARRAY_BOARD,
		.use = MEMARRAY_SYSTEM,
		.ecc = ECC_NONE,
		.capacity_kib = CAPACITY_EXTENDED,
		.capacity_bytes = size,
		.error_handle = NO_ERROR_INFO,
		.ndevices = 1,
	};
	struct smb_memory_device dev = {
		.error_handle = NO_ERROR_INFO,
		.total_width = WIDTH_64,
		.data_width = WIDTH_64,
		.size_mib = (uint16_t)MIN(mib, (uint64_t)SIZE_EXTENDED),
		.extended_mib = mib >= SIZE_EXTENDED ? (uint32_t)mib : 0,
		.form = FORM_UNKNOWN,
		.locator = 1,
		.type = MEMTYPE_UNKNOWN,
		.type_detail = DETAIL_UNKNOWN,
	};

	s->array_handle = SMB_BEGIN(s, 16, array);
	smb_end(s);
	dev.array_handle = s->array_handle;
	SMB_BEGIN(s, 17, dev);
	smb_string(s, "DIMM 0");
	smb_end(s);
}

static void
add_memory_range(struct smb *s, uint64_t gpa, uint64_t len)
{
	struct smb_memory_range r = {
		.first_kib = (uint32_t)(gpa / 1024),
		.last_kib = (uint32_t)((gpa + len) / 1024 - 1),
		.array_handle = s->array_handle,
		.width = 1,
	};

	if (len == 0)
		return;
	SMB_BEGIN(s, 19, r);
	smb_end(s);
}

static void
add_all(struct smb *s)
{
	struct smb_boot_info boot = { .status = 0 };
	struct smb_header end;

	add_bios(s);
	add_system(s);
	add_chassis(s);
	add_processors(s);
	add_memory(s);
	add_memory_range(s, 0, s->lowmem);
	add_memory_range(s, GPA_HIGHMEM_BASE, s->highmem);
	SMB_BEGIN(s, 32, boot);
	smb_end(s);
	SMB_BEGIN(s, SMB_END, end);
	smb_end(s);
}

static struct smb_entry_point
entry_point(const struct smb *s)
{
	struct smb_entry_point e = {
		.anchor = { '_', 'S', 'M', '_' },
		.length = sizeof(e),
		.major = SMB_VERSION_MAJOR,
		.minor = SMB_VERSION_MINOR,
		.max_structure = (uint16_t)s->largest,
		.dmi_anchor = { '_', 'D', 'M', 'I', '_' },
		.table_length = (uint16_t)s->len,
		.table_gpa = BOOT_SMBIOS_GPA + sizeof(e),
		.nstructures = s->count,
		.bcd_revision = SMB_BCD,
	};

	e.dmi_checksum =
	    table_checksum((uint8_t *)&e + DMI_OFF, sizeof(e) - DMI_OFF);
	e.checksum = table_checksum(&e, sizeof(e));
	return e;
}

int
smbios_build(
    struct vmctx *ctx, const struct boot_tables *t, char *err, size_t err_len)
{
	struct smb s = {
		.t = t,
		.lowmem = vm_get_lowmem_size(ctx),
		.highmem = vm_get_highmem_size(ctx),
	};
	struct smb_entry_point e;
	int rc;

	add_all(&s);
	if (s.overflow)
		return boot_verr(err, err_len, -E2BIG,
		    "SMBIOS: %u processors do not fit in %d bytes", t->ncpus,
		    SMB_LIMIT);
	e = entry_point(&s);
	rc = vm_mem_write(ctx, BOOT_SMBIOS_GPA, &e, sizeof(e));
	if (rc == 0)
		rc = vm_mem_write(
		    ctx, BOOT_SMBIOS_GPA + sizeof(e), s.buf, s.len);
	if (rc != 0)
		return boot_verr(err, err_len, rc,
		    "SMBIOS: the guest has no memory at 0x%x", BOOT_SMBIOS_GPA);
	return 0;
}
static_assert(BOOT_SMBIOS_GPA + SMB_LIMIT <= BOOT_ACPI_GPA, "tables overlap");
