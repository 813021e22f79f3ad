/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aml.h - writes ACPI Machine Language (ACPI 6.4 chapter 20) into a buffer.
 *
 * AML is prefix code, so that a term is written by writing its opcode and then
 * its arguments in the order of the grammar.  What has a length (scope,
 * method, package, resource template) is opened with a function that returns a
 * mark and closed with aml_end(mark).  A full buffer is remembered, nothing is
 * written past it: check aml_ok() once, at the end.
 */
#ifndef BOOT_AML_H
#define BOOT_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
	uint8_t *buf;
	size_t len, cap;
	bool overflow;
};
bool aml_ok(const struct aml *);

/* Opcodes without a function of their own (20.3); 0x5bxx are extended. */
enum aml_op {
	AML_ZERO = 0x00,
	AML_ONE = 0x01,
	AML_LOCAL0 = 0x60,
	AML_ARG0 = 0x68,
	AML_STORE = 0x70,	      /* source, target */
	AML_DECREMENT = 0x76,	      /* target */
	AML_SHIFT_LEFT = 0x79,	      /* operand, count, target */
	AML_SHIFT_RIGHT = 0x7a,	      /* operand, count, target */
	AML_AND = 0x7b,		      /* operand, operand, target */
	AML_FIND_SET_RIGHT = 0x82,    /* operand, target */
	AML_CREATE_WORD_FIELD = 0x8b, /* buffer, byte index, name */
	AML_LAND = 0x90,
	AML_LNOT = 0x92,
	AML_RETURN = 0xa4,
};
void aml_op(struct aml *, enum aml_op);

/* --- data and names ----------------------------------------------- */

void aml_int(struct aml *, uint64_t); /* the shortest encoding */
void aml_string(struct aml *, const char *);
void aml_eisaid(struct aml *, const char id[7]); /* "PNP0A03" */
/* A NameString: "\\_SB", "^ISA.LNKA", "PICM"; segments are padded with _. */
void aml_path(struct aml *, const char *);
/* Name (path, ...): the value is written next. */
void aml_name(struct aml *, const char *path);
void aml_name_int(struct aml *, const char *path, uint64_t);
void aml_name_eisaid(struct aml *, const char *path, const char id[7]);

/* --- things with a length ----------------------------------------- */

size_t aml_scope(struct aml *, const char *path);
size_t aml_device(struct aml *, const char *name);
size_t
aml_method(struct aml *, const char *name, unsigned int nargs, bool serialized);
size_t aml_if(struct aml *);   /* the predicate is written next */
size_t aml_else(struct aml *); /* directly after the If's end */
size_t aml_package(struct aml *, unsigned int nelements); /* < 256 */
/* Field (region, AnyAcc, NoLock, Preserve) */
size_t aml_field(struct aml *, const char *region);
void aml_end(struct aml *, size_t mark);

/* OperationRegion (name, PCI_Config, 0, len) */
void aml_pci_config_region(struct aml *, const char *name, uint32_t len);
/* In a field: skip, or name, that many bits. */
void aml_field_skip(struct aml *, unsigned int nbits);
void aml_field_unit(struct aml *, const char *name, unsigned int nbits);

/* --- resource templates (6.4) ------------------------------------- */

size_t aml_resources(struct aml *);
void aml_resources_end(struct aml *, size_t mark);
/* In a template: */
void aml_io(struct aml *, uint16_t base, uint8_t align, uint8_t len);
void aml_irq(struct aml *, uint16_t irq_mask); /* edge, high, exclusive */
void aml_irq_shared(struct aml *, uint16_t irq_mask); /* level, low, shared */
void aml_mem32_fixed(struct aml *, bool writable, uint32_t base, uint32_t len);
/* Windows of a bridge; first and last address. */
void aml_bus_window(struct aml *, uint8_t first, uint8_t last);
void aml_io_window(struct aml *, uint16_t first, uint16_t last);
void aml_mem32_window(struct aml *, uint32_t first, uint32_t last);
void aml_mem64_window(struct aml *, uint64_t first, uint64_t last);

#endif /* BOOT_AML_H */
