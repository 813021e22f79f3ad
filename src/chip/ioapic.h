/* SPDX-License-Identifier: BSD-2-Clause */
/* ioapic.h - the I/O APIC, for irqchip.c. */
#ifndef CHIP_IOAPIC_H
#define CHIP_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

struct ioapic;
struct irqchip;
struct vmctx;

#define IOAPIC_NPINS 24

/* Registers its MMIO window.  0 or -errno. */
int ioapic_create(struct vmctx *, struct irqchip *, struct ioapic **ret_io);
void ioapic_destroy(struct ioapic *); /* before chip_add only */
void ioapic_chip_add(struct ioapic *);

/* Any thread. */
void ioapic_set_pin(struct ioapic *, unsigned int pin, bool level);
/* Pins, bit n for pin n, whose level interrupt an EOI of `vector` would end. */
uint32_t ioapic_in_service(struct ioapic *, uint8_t vector);
void ioapic_eoi(struct ioapic *, uint8_t vector);
void ioapic_retry(struct ioapic *);

#endif /* CHIP_IOAPIC_H */
