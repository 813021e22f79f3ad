/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aml.c - an AML byte writer: ACPI 6.4 chapter 20 (grammar), 6.4 (resource
 * descriptors), 6.1.5 (EISA ids).
 *
 * Only what acpi.c says about this machine can be written.  A length is not
 * known before the thing ends, and its encoding grows with it, so that closing
 * moves the body up by the bytes of the length; tables are a few KiB.
 */
#include "aml.h"

#include <string.h>

#include <util/util.h>

#define NAMESEG_LEN 4

/* 20.2 opcodes that have a writer below. */
enum {
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_QWORD = 0x0e,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_METHOD = 0x14,
	OP_DUAL_NAME = 0x2e,
	OP_MULTI_NAME = 0x2f,
	OP_EXT = 0x5b,
	OP_EXT_REGION = 0x80,
	OP_EXT_FIELD = 0x81,
	OP_EXT_DEVICE = 0x82,
	OP_IF = 0xa0,
	OP_ELSE = 0xa1,
};

#define METHOD_SERIALIZED  BIT(3)
#define REGION_PCI_CONFIG  2
#define FIELD_ANY_PRESERVE 0 /* AnyAcc, NoLock, Preserve */

/* 6.4.2 small and 6.4.3 large resource items. */
#define RES_IRQ_NOFLAGS	     0x22
#define RES_IRQ		     0x23
#define RES_IO		     0x47
#define RES_END		     0x79
#define RES_MEM32_FIXED	     0x86
#define RES_DWORD	     0x87
#define RES_WORD	     0x88
#define RES_QWORD	     0x8a

#define IRQ_LEVEL_LOW_SHARED 0x18
#define IO_DECODE16	     1

#define WINDOW_MEM	     0
#define WINDOW_IO	     1
#define WINDOW_BUS	     2
/* 6.4.3.5 general flags: min and max fixed, positive decode, producer. */
#define WINDOW_FIXED 0x0c
#define IO_ENTIRE    0x03 /* type-specific: ISA and non-ISA ports */
#define MEM_RW	     0x01 /* type-specific: read-write, not cacheable */

bool
aml_ok(const struct aml *a)
{
	return !a->overflow;
}

static void
put(struct aml *a, const void *src, size_t n)
{
	if (a->overflow || n > a->cap - a->len) {
		a->overflow = true;
		return;
	}
	memcpy(a->buf + a->len, src, n);
	a->len += n;
}

static void
put8(struct aml *a, uint8_t v)
{
	put(a, &v, 1);
}

/* Little-endian, the low n bytes. */
static void
put_le(struct aml *a, uint64_t v, size_t n)
{
	put(a, &v, n);
}

void
aml_op(struct aml *a, enum aml_op op)
{
	put8(a, (uint8_t)op);
}

/* --- data and names ----------------------------------------------- */

void
aml_int(struct aml *a, uint64_t v)
{
	static const struct {
		uint64_t max;
		uint8_t op, bytes;
	} forms[] = {
		{ UINT8_MAX, OP_BYTE, 1 },
		{ UINT16_MAX, OP_WORD, 2 },
		{ UINT32_MAX, OP_DWORD, 4 },
		{ UINT64_MAX, OP_QWORD, 8 },
	};
	size_t i = 0;

	if (v <= 1) {
		put8(a, (uint8_t)v); /* ZeroOp, OneOp */
		return;
	}
	while (v > forms[i].max)
		i++;
	put8(a, forms[i].op);
	put_le(a, v, forms[i].bytes);
}

void
aml_string(struct aml *a, const char *s)
{
	put8(a, OP_STRING);
	put(a, s, strlen(s) + 1);
}

/* 6.1.5: three letters of 5 bits, four hexadecimal digits, bytes swapped. */
void
aml_eisaid(struct aml *a, const char id[7])
{
	uint32_t v = 0;

	for (int i = 0; i < 3; i++)
		v = v << 5 | ((uint32_t)(id[i] - 'A' + 1) & 0x1f);
	for (int i = 3; i < 7; i++)
		v = v << 4 |
		    (uint32_t)(id[i] <= '9' ? id[i] - '0' : id[i] - 'A' + 10);
	put8(a, OP_DWORD);
	put_le(a, __builtin_bswap32(v), 4);
}

/* One NameSeg of s, padded; returns what follows it (past a dot). */
static const char *
put_nameseg(struct aml *a, const char *s)
{
	char seg[NAMESEG_LEN] = { '_', '_', '_', '_' };

	for (size_t i = 0; i < NAMESEG_LEN && *s != '\0' && *s != '.'; i++)
		seg[i] = *s++;
	put(a, seg, sizeof(seg));
	return *s == '.' ? s + 1 : s;
}

void
aml_path(struct aml *a, const char *path)
{
	unsigned int nsegs = 1;

	while (*path == '\\' || *path == '^')
		put8(a, (uint8_t)*path++);
	for (const char *p = path; *p != '\0'; p++)
		nsegs += *p == '.';
	if (*path == '\0') {
		put8(a, 0); /* NullName */
		return;
	}
	if (nsegs == 2) {
		put8(a, OP_DUAL_NAME);
	} else if (nsegs > 2) {
		put8(a, OP_MULTI_NAME);
		put8(a, (uint8_t)nsegs);
	}
	while (*path != '\0')
		path = put_nameseg(a, path);
}

void
aml_name(struct aml *a, const char *path)
{
	put8(a, OP_NAME);
	aml_path(a, path);
}

void
aml_name_int(struct aml *a, const char *path, uint64_t v)
{
	aml_name(a, path);
	aml_int(a, v);
}

void
aml_name_eisaid(struct aml *a, const char *path, const char id[7])
{
	aml_name(a, path);
	aml_eisaid(a, id);
}

/* --- things with a length ----------------------------------------- */

void
aml_end(struct aml *a, size_t mark)
{
	const size_t body = a->len - mark;
	uint8_t enc[4];
	size_t n = 1, total;

	/* 20.2.4: one byte holds 6 bits; else a nibble and 1 to 3 bytes more.
	 */
	if (body + 1 > 0x3f)
		n = body + 2 <= 0xfff ? 2 : body + 3 <= 0xfffff ? 3 : 4;
	total = body + n;
	if (n == 1) {
		enc[0] = (uint8_t)total;
	} else {
		enc[0] = (uint8_t)((n - 1) << 6 | (total & 0xf));
		for (size_t i = 1; i < n; i++)
			enc[i] = (uint8_t)(total >> (4 + 8 * (i - 1)));
	}
	if (a->overflow || n > a->cap - a->len) {
		a->overflow = true;
		return;
	}
	memmove(a->buf + mark + n, a->buf + mark, body);
	memcpy(a->buf + mark, enc, n);
	a->len += n;
}

size_t
aml_scope(struct aml *a, const char *path)
{
	size_t mark;

	put8(a, OP_SCOPE);
	mark = a->len;
	aml_path(a, path);
	return mark;
}

size_t
aml_device(struct aml *a, const char *name)
{
	size_t mark;

	put8(a, OP_EXT);
	put8(a, OP_EXT_DEVICE);
	mark = a->len;
	aml_path(a, name);
	return mark;
}

size_t
aml_method(struct aml *a, const char *name, unsigned int nargs, bool serialized)
{
	size_t mark;

	put8(a, OP_METHOD);
	mark = a->len;
	aml_path(a, name);
	put8(a, (uint8_t)(nargs | (serialized ? METHOD_SERIALIZED : 0)));
	return mark;
}

size_t
aml_if(struct aml *a)
{
	put8(a, OP_IF);
	return a->len;
}

size_t
aml_else(struct aml *a)
{
	put8(a, OP_ELSE);
	return a->len;
}

size_t
aml_package(struct aml *a, unsigned int nelements)
{
	size_t mark;

	put8(a, OP_PACKAGE);
	mark = a->len;
	put8(a, (uint8_t)nelements);
	return mark;
}

void
aml_pci_config_region(struct aml *a, const char *name, uint32_t len)
{
	put8(a, OP_EXT);
	put8(a, OP_EXT_REGION);
	aml_path(a, name);
	put8(a, REGION_PCI_CONFIG);
	aml_int(a, 0);
	aml_int(a, len);
}

size_t
aml_field(struct aml *a, const char *region)
{
	size_t mark;

	put8(a, OP_EXT);
	put8(a, OP_EXT_FIELD);
	mark = a->len;
	aml_path(a, region);
	put8(a, FIELD_ANY_PRESERVE);
	return mark;
}

/* A field's width in bits is written as a package length is: itself plain. */
static void
put_field_width(struct aml *a, unsigned int nbits)
{
	if (nbits <= 0x3f) {
		put8(a, (uint8_t)nbits);
		return;
	}
	put8(a, (uint8_t)(2 << 6 | (nbits & 0xf)));
	put8(a, (uint8_t)(nbits >> 4));
	put8(a, (uint8_t)(nbits >> 12));
}

void
aml_field_skip(struct aml *a, unsigned int nbits)
{
	put8(a, 0); /* ReservedField */
	put_field_width(a, nbits);
}

void
aml_field_unit(struct aml *a, const char *name, unsigned int nbits)
{
	aml_path(a, name);
	put_field_width(a, nbits);
}

/* --- resource templates ------------------------------------------- */

/*
 * Buffer (size) { ... }: the size is always a word, so that its place is
 * known before its value is.
 */
size_t
aml_resources(struct aml *a)
{
	size_t mark;

	put8(a, OP_BUFFER);
	mark = a->len;
	put8(a, OP_WORD);
	put_le(a, 0, 2);
	return mark;
}

void
aml_resources_end(struct aml *a, size_t mark)
{
	put8(a, RES_END);
	put8(a, 0); /* "checksum not used" */
	if (!a->overflow)
		put_le16(a->buf + mark + 1, (uint16_t)(a->len - mark - 3));
	aml_end(a, mark);
}

void
aml_io(struct aml *a, uint16_t base, uint8_t align, uint8_t len)
{
	put8(a, RES_IO);
	put8(a, IO_DECODE16);
	put_le(a, base, 2);
	put_le(a, base, 2);
	put8(a, align);
	put8(a, len);
}

void
aml_irq(struct aml *a, uint16_t irq_mask)
{
	put8(a, RES_IRQ_NOFLAGS);
	put_le(a, irq_mask, 2);
}

void
aml_irq_shared(struct aml *a, uint16_t irq_mask)
{
	put8(a, RES_IRQ);
	put_le(a, irq_mask, 2);
	put8(a, IRQ_LEVEL_LOW_SHARED);
}

void
aml_mem32_fixed(struct aml *a, bool writable, uint32_t base, uint32_t len)
{
	put8(a, RES_MEM32_FIXED);
	put_le(a, 9, 2);
	put8(a, writable);
	put_le(a, base, 4);
	put_le(a, len, 4);
}

/* 6.4.3.5: granularity, first, last, translation and length, `bytes` each. */
static void
put_window(struct aml *a, uint8_t item, size_t bytes, uint8_t type,
    uint8_t type_flags, uint64_t first, uint64_t last)
{
	put8(a, item);
	put_le(a, 3 + 5 * bytes, 2);
	put8(a, type);
	put8(a, WINDOW_FIXED);
	put8(a, type_flags);
	put_le(a, 0, bytes);
	put_le(a, first, bytes);
	put_le(a, last, bytes);
	put_le(a, 0, bytes);
	put_le(a, last - first + 1, bytes);
}

void
aml_bus_window(struct aml *a, uint8_t first, uint8_t last)
{
	put_window(a, RES_WORD, 2, WINDOW_BUS, 0, first, last);
}

void
aml_io_window(struct aml *a, uint16_t first, uint16_t last)
{
	put_window(a, RES_WORD, 2, WINDOW_IO, IO_ENTIRE, first, last);
}

void
aml_mem32_window(struct aml *a, uint32_t first, uint32_t last)
{
	put_window(a, RES_DWORD, 4, WINDOW_MEM, MEM_RW, first, last);
}

void
aml_mem64_window(struct aml *a, uint64_t first, uint64_t last)
{
	put_window(a, RES_QWORD, 8, WINDOW_MEM, MEM_RW, first, last);
}
