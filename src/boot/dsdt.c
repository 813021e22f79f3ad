/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dsdt.c - the Differentiated System Description Table: what ACPI calls the
 * devices of this machine (docs/bhyve.md 1.14; ACPI 6.4 chapters 5.3, 6, 20).
 *
 * \_SB.PCnn for each PCI bus with its windows and interrupt routing; below
 * PC00 the ISA bridge with the PIRQ links and the ISA devices of isa_table,
 * and the HPET.  The host bridges have no _ADR, which bhyve gives them beside
 * _HID and the specification (6.1) forbids; they have a _UID.
 */
#include "dsdt.h"

#include <stdio.h>

#include <boot/boot.h>
#include <vmm/pci.h>

#include "aml.h"

#define HPET_LEN   0x400u

#define S5_SLP_TYP 5

/* --- ISA devices -------------------------------------------------- */

/* A resource: a port range, or memory, or an IRQ; ends with len 0. */
struct isa_res {
	enum { RES_PORT, RES_MEMORY, RES_INTR } kind;
	uint32_t base, len; /* RES_INTR: base is the IRQ, len 1 */
};
struct isa_dev {
	const char *name;
	char hid[8];
	int uid; /* -1: none */
	int com; /* only if this COM port exists; -1: always */
	struct isa_res res[12];
};

#define COM_DEV(n, port, irq)                                                  \
	{                                                                      \
		"COM" #n, "PNP0501", n, n - 1,                                 \
		{                                                              \
			{ RES_PORT, port, 8 },                                 \
			{                                                      \
				RES_INTR, irq, 1                               \
			}                                                      \
		}                                                              \
	}

/* docs/bhyve.md 1.7 and 1.14.  SIO claims the ports of chips without a PNP id.
 */
static const struct isa_dev isa_table[] = {
	{ "SIO", "PNP0C02", -1, -1,
	    {
		{ RES_PORT, 0x61, 1 },
		{ RES_PORT, 0x72, 6 },
		{ RES_PORT, 0x84, 1 },
		{ RES_PORT, SMI_CMD_PORT, 1 },
		{ RES_PORT, 0x220, 4 },
		{ RES_PORT, 0x224, 4 },
		{ RES_PORT, PM1A_EVT_PORT, 8 },
		{ RES_PORT, PM_TMR_PORT, PM_TMR_LEN },
		{ RES_PORT, 0x4d0, 2 },
		{ RES_MEMORY, PCI_ECAM_BASE, PCI_ECAM_SIZE },
	    } },
	COM_DEV(1, 0x3f8, 4),
	COM_DEV(2, 0x2f8, 3),
	COM_DEV(3, 0x3e8, 4),
	COM_DEV(4, 0x2e8, 3),
	{ "RTC", "PNP0B00", -1, -1,
	    { { RES_PORT, 0x70, 2 }, { RES_INTR, 8, 1 } } },
	{ "PIC", "PNP0000", -1, -1,
	    {
		{ RES_PORT, 0x20, 2 },
		{ RES_PORT, 0xa0, 2 },
		{ RES_INTR, 2, 1 },
	    } },
	{ "TIMR", "PNP0100", -1, -1,
	    { { RES_PORT, 0x40, 4 }, { RES_INTR, 0, 1 } } },
};

static void
dsdt_isa_resource(struct aml *m, const struct isa_res *r)
{
	switch (r->kind) {
	case RES_PORT:
		aml_io(m, (uint16_t)r->base, 1, (uint8_t)r->len);
		break;
	case RES_MEMORY:
		aml_mem32_fixed(m, true, r->base, r->len);
		break;
	case RES_INTR:
		aml_irq(m, (uint16_t)BIT(r->base));
		break;
	}
}

static void
dsdt_isa_device(struct aml *m, const struct isa_dev *d)
{
	const size_t dev = aml_device(m, d->name);
	size_t crs;

	aml_name_eisaid(m, "_HID", d->hid);
	if (d->uid >= 0)
		aml_name_int(m, "_UID", (uint64_t)d->uid);
	aml_name(m, "_CRS");
	crs = aml_resources(m);
	for (const struct isa_res *r = d->res; r->len != 0; r++)
		dsdt_isa_resource(m, r);
	aml_resources_end(m, crs);
	aml_end(m, dev);
}

/* --- interrupt links ---------------------------------------------- */

#define NLINKS 8
#define PIRQ_IRQS                                                              \
	0xdef8 /* 3-7, 9-12, 14, 15 can be routed to; docs/bhyve.md 1.8 */
#define PIRQ_DISABLED	0x80
#define PIRQ_IRQ_MASK	0x0f
#define STA_ENABLED	0x0b
#define STA_DISABLED	0x09
#define IRQ_MASK_OFFSET 1 /* in an IRQ resource item */

/* PIRA..PIRH: the routing registers in the bridge's configuration space. */
static void
dsdt_pirq_registers(struct aml *m)
{
	char name[] = "PIRA";
	size_t field;

	aml_pci_config_region(m, "LPCR", 0x100);
	field = aml_field(m, "LPCR");
	aml_field_skip(m, 0x60 * 8);
	for (; name[3] <= 'D'; name[3]++)
		aml_field_unit(m, name, 8);
	aml_field_skip(m, (0x68 - 0x64) * 8);
	for (; name[3] <= 'H'; name[3]++)
		aml_field_unit(m, name, 8);
	aml_end(m, field);
}

/*
 * Method (PIRV, 1): is this register's value a route?
 *	If (Arg0 & 0x80) { Return (Zero) }
 *	Return ((PIRQ_IRQS >> (Arg0 & 0x0F)) & One)
 */
static void
dsdt_pirq_valid(struct aml *m)
{
	const size_t method = aml_method(m, "PIRV", 1, false);
	const size_t cond = aml_if(m);

	aml_op(m, AML_AND);
	aml_op(m, AML_ARG0);
	aml_int(m, PIRQ_DISABLED);
	aml_op(m, AML_ZERO);
	aml_op(m, AML_RETURN);
	aml_op(m, AML_ZERO);
	aml_end(m, cond);
	aml_op(m, AML_RETURN);
	aml_op(m, AML_AND);
	aml_op(m, AML_SHIFT_RIGHT);
	aml_int(m, PIRQ_IRQS);
	aml_op(m, AML_AND);
	aml_op(m, AML_ARG0);
	aml_int(m, PIRQ_IRQ_MASK);
	aml_op(m, AML_ZERO);
	aml_op(m, AML_ZERO);
	aml_op(m, AML_ONE);
	aml_op(m, AML_ZERO);
	aml_end(m, method);
}

/* If (PIRV (PIRx)): the body is written next and ended by the caller. */
static size_t
dsdt_if_routed(struct aml *m, const char *reg)
{
	const size_t cond = aml_if(m);

	aml_path(m, "PIRV");
	aml_path(m, reg);
	return cond;
}

/* _STA: 0x0B while routed, else 0x09. */
static void
dsdt_link_sta(struct aml *m, const char *reg)
{
	const size_t method = aml_method(m, "_STA", 0, false);
	const size_t cond = dsdt_if_routed(m, reg);

	aml_op(m, AML_RETURN);
	aml_int(m, STA_ENABLED);
	aml_end(m, cond);
	aml_op(m, AML_RETURN);
	aml_int(m, STA_DISABLED);
	aml_end(m, method);
}

/* _CRS: the device's buffer CRSB with the routed IRQ's bit in its mask. */
static void
dsdt_link_crs(struct aml *m, const char *reg)
{
	size_t method, res, cond;

	aml_name(m, "CRSB");
	res = aml_resources(m);
	aml_irq_shared(m, 0);
	aml_resources_end(m, res);
	aml_op(m, AML_CREATE_WORD_FIELD);
	aml_path(m, "CRSB");
	aml_int(m, IRQ_MASK_OFFSET);
	aml_path(m, "CRSI");

	method = aml_method(m, "_CRS", 0, false);
	cond = dsdt_if_routed(m, reg);
	aml_op(m, AML_SHIFT_LEFT); /* CRSI = One << (PIRx & 0x0F) */
	aml_op(m, AML_ONE);
	aml_op(m, AML_AND);
	aml_path(m, reg);
	aml_int(m, PIRQ_IRQ_MASK);
	aml_op(m, AML_ZERO);
	aml_path(m, "CRSI");
	aml_end(m, cond);
	cond = aml_else(m);
	aml_op(m, AML_STORE);
	aml_op(m, AML_ZERO);
	aml_path(m, "CRSI");
	aml_end(m, cond);
	aml_op(m, AML_RETURN);
	aml_path(m, "CRSB");
	aml_end(m, method);
}

/* _SRS: route to the lowest IRQ of the mask it is given. */
static void
dsdt_link_srs(struct aml *m, const char *reg)
{
	const size_t method = aml_method(m, "_SRS", 1, true);
	size_t cond;

	aml_op(m, AML_CREATE_WORD_FIELD);
	aml_op(m, AML_ARG0);
	aml_int(m, IRQ_MASK_OFFSET);
	aml_path(m, "SRSI");
	aml_op(m, AML_FIND_SET_RIGHT); /* counts from 1; 0 is none */
	aml_path(m, "SRSI");
	aml_op(m, AML_LOCAL0);
	cond = aml_if(m);
	aml_op(m, AML_LOCAL0);
	aml_op(m, AML_DECREMENT);
	aml_op(m, AML_LOCAL0);
	aml_op(m, AML_STORE);
	aml_op(m, AML_LOCAL0);
	aml_path(m, reg);
	aml_end(m, cond);
	aml_end(m, method);
}

static void
dsdt_link(struct aml *m, unsigned int n, uint16_t irqs)
{
	const char name[] = { 'L', 'N', 'K', (char)('A' + n), '\0' };
	const char reg[] = { 'P', 'I', 'R', (char)('A' + n), '\0' };
	const size_t dev = aml_device(m, name);
	size_t x;

	aml_name_eisaid(m, "_HID", "PNP0C0F");
	aml_name_int(m, "_UID", n + 1);
	dsdt_link_sta(m, reg);
	aml_name(m, "_PRS");
	x = aml_resources(m);
	aml_irq_shared(m, irqs);
	aml_resources_end(m, x);
	dsdt_link_crs(m, reg);
	x = aml_method(m, "_DIS", 0, false);
	aml_op(m, AML_STORE);
	aml_int(m, PIRQ_DISABLED);
	aml_path(m, reg);
	aml_end(m, x);
	dsdt_link_srs(m, reg);
	aml_end(m, dev);
}

static bool
isa_dev_present(const struct boot_tables *t, const struct isa_dev *d)
{
	return d->com < 0 || t->com[d->com];
}

/* A COM port's interrupt is edge triggered and cannot be shared with PCI. */
static uint16_t
linkable_irqs(const struct boot_tables *t)
{
	uint32_t irqs = PIRQ_IRQS;

	for (size_t i = 0; i < ARRAY_LEN(isa_table); i++) {
		const struct isa_dev *d = &isa_table[i];

		if (!isa_dev_present(t, d))
			continue;
		for (const struct isa_res *r = d->res; r->len != 0; r++)
			if (r->kind == RES_INTR)
				irqs &= ~BIT(r->base);
	}
	return (uint16_t)irqs;
}

static void
dsdt_isa_bridge(struct aml *m, const struct boot_tables *t)
{
	const size_t dev = aml_device(m, "ISA");

	aml_name_int(m, "_ADR", (uint32_t)t->lpc_slot << 16 | t->lpc_func);
	dsdt_pirq_registers(m);
	dsdt_pirq_valid(m);
	for (unsigned int i = 0; i < NLINKS; i++)
		dsdt_link(m, i, linkable_irqs(t));
	for (size_t i = 0; i < ARRAY_LEN(isa_table); i++)
		if (isa_dev_present(t, &isa_table[i]))
			dsdt_isa_device(m, &isa_table[i]);
	aml_end(m, dev);
}

/* --- PCI buses ---------------------------------------------------- */

#define PRT_ANY_FUNC	0xffff
#define PRT_ENTRIES_MAX (32 * 4) /* slots, pins */

static bool
prt_has(const struct boot_tables *t, const struct boot_intx *x, uint8_t bus,
    bool links)
{
	return x->bus == bus && x->pin >= 1 && x->pin <= 4 &&
	       (!links || (t->has_lpc && x->pirq < NLINKS));
}

static unsigned int
prt_count(const struct boot_tables *t, uint8_t bus, bool links)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < t->nintx && n < PRT_ENTRIES_MAX; i++)
		n += prt_has(t, &t->intx[i], bus, links);
	return n;
}

/* Name (APRT or PPRT, Package () { {slot, pin, link, gsi}, ... }) */
static void
dsdt_prt(struct aml *m, const struct boot_tables *t, uint8_t bus, bool links)
{
	char link[] = "\\_SB.PC00.ISA.LNKA";
	unsigned int n = prt_count(t, bus, links);
	size_t table, entry;

	aml_name(m, links ? "PPRT" : "APRT");
	table = aml_package(m, n);
	for (unsigned int i = 0; i < t->nintx && n > 0; i++) {
		const struct boot_intx *x = &t->intx[i];

		if (!prt_has(t, x, bus, links))
			continue;
		n--;
		entry = aml_package(m, 4);
		aml_int(m, (uint32_t)x->slot << 16 | PRT_ANY_FUNC);
		aml_int(m, x->pin - 1u);
		if (links) {
			link[sizeof(link) - 2] = (char)('A' + x->pirq);
			aml_path(m, link);
		} else {
			aml_int(m, 0);
		}
		aml_int(m, links ? 0 : x->gsi);
		aml_end(m, entry);
	}
	aml_end(m, table);
}

/* _PRT: the links while the OS uses the 8259, if any; else the GSIs. */
static void
dsdt_bus_prt(struct aml *m, const struct boot_tables *t, uint8_t bus)
{
	const bool has_links = prt_count(t, bus, true) > 0;
	size_t method, cond;

	if (prt_count(t, bus, false) == 0)
		return;
	dsdt_prt(m, t, bus, false);
	if (has_links)
		dsdt_prt(m, t, bus, true);
	method = aml_method(m, "_PRT", 0, false);
	if (has_links) {
		cond = aml_if(m);
		aml_op(m, AML_LNOT);
		aml_path(m, "PICM");
		aml_op(m, AML_RETURN);
		aml_path(m, "PPRT");
		aml_end(m, cond);
	}
	aml_op(m, AML_RETURN);
	aml_path(m, "APRT");
	aml_end(m, method);
}

static void
dsdt_bus_crs(struct aml *m, const struct boot_pci_bus *b)
{
	size_t crs;

	aml_name(m, "_CRS");
	crs = aml_resources(m);
	aml_bus_window(m, b->bus, b->bus);
	if (b->bus == 0) {
		aml_io(m, 0xcf8, 1, 8);
		aml_io_window(m, 0, 0xcf7);
		aml_io_window(m, 0xd00, 0x1fff);
	}
	if (b->io_base <= b->io_limit)
		aml_io_window(m, b->io_base, b->io_limit);
	if (b->mem32_base <= b->mem32_limit && b->mem32_limit <= UINT32_MAX)
		aml_mem32_window(
		    m, (uint32_t)b->mem32_base, (uint32_t)b->mem32_limit);
	if (b->mem64_base <= b->mem64_limit)
		aml_mem64_window(m, b->mem64_base, b->mem64_limit);
	aml_resources_end(m, crs);
}

static void
dsdt_hpet(struct aml *m)
{
	const size_t dev = aml_device(m, "HPET");
	size_t crs;

	aml_name_eisaid(m, "_HID", "PNP0103");
	aml_name_int(m, "_UID", 0);
	aml_name(m, "_CRS");
	crs = aml_resources(m);
	aml_mem32_fixed(m, true, HPET_GPA, HPET_LEN);
	aml_resources_end(m, crs);
	aml_end(m, dev);
}

static void
dsdt_bus(
    struct aml *m, const struct boot_tables *t, const struct boot_pci_bus *b)
{
	char name[5];
	size_t dev;

	snprintf(name, sizeof(name), "PC%02X", b->bus);
	dev = aml_device(m, name);
	aml_name_eisaid(m, "_HID", "PNP0A03");
	aml_name_int(m, "_UID", b->bus);
	aml_name_int(m, "_BBN", b->bus);
	dsdt_bus_crs(m, b);
	dsdt_bus_prt(m, t, b->bus);
	if (b->bus == 0 && t->has_lpc)
		dsdt_isa_bridge(m, t);
	if (b->bus == 0 && t->hpet)
		dsdt_hpet(m);
	aml_end(m, dev);
}

/* --- the whole ---------------------------------------------------- */

/* _S5: SLP_TYP for PM1a, PM1b; PICM: 1 once the OS uses the I/O APIC. */
static void
dsdt_root(struct aml *m)
{
	size_t x;

	aml_name(m, "\\_S5");
	x = aml_package(m, 2);
	aml_int(m, S5_SLP_TYP);
	aml_int(m, 0);
	aml_end(m, x);
	aml_name_int(m, "\\PICM", 0);
	x = aml_method(m, "\\_PIC", 1, false);
	aml_op(m, AML_STORE);
	aml_op(m, AML_ARG0);
	aml_path(m, "PICM");
	aml_end(m, x);
}

void
dsdt_write(struct aml *m, const struct boot_tables *t)
{
	size_t sb;

	dsdt_root(m);
	sb = aml_scope(m, "\\_SB");
	for (unsigned int i = 0; i < t->nbuses; i++)
		dsdt_bus(m, t, &t->buses[i]);
	aml_end(m, sb);
}
