/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * irqchip.h - what the interrupt controllers say to each other.
 *
 * The "APIC bus" is irqchip_send(): I/O APIC pins, MSIs and IPIs become a
 * struct apic_msg, every local APIC it names gets it.  Sending takes no lock
 * and may be done from any thread, with any controller's lock held.
 */
#ifndef CHIP_IRQCHIP_H
#define CHIP_IRQCHIP_H

#include <stdbool.h>
#include <stdint.h>

#include <vmmapi.h>

struct irqchip;
struct lapic;

/* Delivery modes: ICR, LVT, RTE and MSI data bits 10:8 (SDM 3A 10.6.1). */
enum apic_dlm {
	APIC_DLM_FIXED = 0,
	APIC_DLM_LOWEST = 1,
	APIC_DLM_SMI = 2,
	APIC_DLM_RESERVED = 3,
	APIC_DLM_NMI = 4,
	APIC_DLM_INIT = 5,
	APIC_DLM_SIPI = 6,
	APIC_DLM_EXTINT = 7,
};
#define APIC_DLM(x) ((enum apic_dlm)(((x) >> 8) & 7))

/* Vectors 0-15 belong to the processor; an APIC calls them illegal. */
#define APIC_FIRST_VECTOR 16

/* Physical id that names every xAPIC (SDM 3A 10.6.2.1). */
#define XAPIC_BROADCAST	 0xffu
#define X2APIC_BROADCAST 0xffffffffu

struct apic_msg {
	uint32_t dest;
	enum apic_dlm mode;
	uint8_t vector;
	bool logical;
	bool broadcast; /* dest is all ones in the sender's format */
	bool level;	/* trigger mode: its EOI goes to the I/O APIC */
};

/* Returns how many local APICs took it. */
unsigned int irqchip_send(struct irqchip *, const struct apic_msg *);
/* To everybody (shorthand 2), or everybody but `except` (shorthand 3). */
void irqchip_send_all(
    struct irqchip *, const struct apic_msg *, const struct lapic *except);

/* A local APIC finished a level-triggered vector. */
void irqchip_eoi(struct irqchip *, uint8_t vector);
/* A local APIC's enable or address changed: refused messages may fit now. */
void irqchip_retry(struct irqchip *);

/* The 8259 pair's INT output.  A relaxed load; no lock. */
bool irqchip_extint(const struct irqchip *);
/* The vector an INTA cycle would fetch, or -1 when INT is low. */
int irqchip_extint_peek(struct irqchip *);
/* Run the INTA cycle. */
uint8_t irqchip_extint_ack(struct irqchip *);

/*
 * Registers other threads look at without a lock: values only, never used to
 * order other memory, hence relaxed.
 */
static inline uint32_t
reg_get(const uint32_t *r)
{
	return __atomic_load_n(r, __ATOMIC_RELAXED);
}

static inline void
reg_set(uint32_t *r, uint32_t val)
{
	__atomic_store_n(r, val, __ATOMIC_RELAXED);
}

#endif /* CHIP_IRQCHIP_H */
