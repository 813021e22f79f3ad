/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * irq.h - interrupt lines and messages, from a device's side and from the
 * controllers' side.
 *
 * A device holds a struct irq_line and sets its level, or sends an MSI.  It
 * does not know who listens: the soft engine's machine has chip/lapic,
 * ioapic and i8259, kvm has the kernel's.  Lines are numbered by gsi: 0-15 are
 * the ISA interrupts (they reach the 8259 pair and the I/O APIC), 16-23 only
 * the I/O APIC.  ISA IRQ 0 reaches I/O APIC pin 2 (the MADT override).
 *
 * Several devices may share a gsi; the line is high while any of them holds it.
 * All functions may be called from any thread with a device lock held.
 */
#ifndef VMM_IRQ_H
#define VMM_IRQ_H

#include <stdbool.h>
#include <stdint.h>

#include <util/util.h>
#include <vmmapi.h>

#define IRQ_NGSI	24
#define IRQ_NISA	16u /* these gsis; the others reach the I/O APIC alone */
#define IRQ_GSI_TIMER	0u
#define IRQ_GSI_CASCADE 2u /* the 8259s' own: no line */
#define IRQ_PIN_TIMER	2u

/* SDM 3A 10.11.1: a message's address; the destination is in bits 19:12. */
#define IRQ_MSI_ADDR		0xfee00000ull
#define IRQ_MSI_ADDR_DEST_SHIFT 12

static inline bool
irq_is_msi_addr(uint64_t addr)
{
	return (addr & ~0xfffffull) == IRQ_MSI_ADDR;
}

struct irq_line {
	struct vmctx *ctx;
	unsigned int gsi;
	bool level; /* what this device drives; guarded by the device */
};

/* gsi < IRQ_NGSI. */
void irq_line_init(struct irq_line *, struct vmctx *, unsigned int gsi);
/* Idempotent. */
void irq_line_set(struct irq_line *, bool level);
/* A rising edge: up, then down. */
void irq_line_pulse(struct irq_line *);
void irq_msi(struct vmctx *, uint64_t addr, uint32_t data);

/*
 * An eventfd whose writes raise a message or a line, for senders outside of
 * this program (vm_irqfd_msi() of vmmapi.h).
 */
struct vm_irqfd {
	int fd;
	int resample_fd; /* a line's: a level until the EOI; -1: a pulse */
	bool msi;
	unsigned int gsi; /* of a line */
	uint64_t addr;	  /* of a message */
	uint32_t data;
};
/*
 * 0 or -errno: -EBUSY, `fd` has one; -EINVAL, -EBADF, what is said is none;
 * -ENOTSUP, no levels here; -ENXIO, there are no controllers yet.
 */
int irqfd_add(struct vmctx *, const struct vm_irqfd *) WARN_UNUSED;
/* Nothing comes of `fd` any more.  0, or -ENOENT. */
int irqfd_remove(struct vmctx *, int fd);

/* --- the controllers' side ---------------------------------------------- */

/* Implemented by the machine's interrupt controllers, once per machine. */
struct irqchip_ops {
	/* The wired-OR level of a gsi changed. */
	void (*set_gsi)(void *chip, unsigned int gsi, bool level);
	/* 0, or -EINVAL: the address is not an interrupt message. */
	int (*msi)(void *chip, uint64_t addr, uint32_t data);
	/* vm_lapic_local_irq(), vm_isa_set_irq_trigger(); optional. */
	int (*local_irq)(void *chip, int vcpu, enum vm_lvt);
	int (*set_trigger)(void *chip, unsigned int irq, bool level);
	/*
	 * Optional: an eventfd raises interrupts without our help.  -ENOTSUP:
	 * not such a one, it is read here then.  Off: as it was switched on,
	 * and nothing comes of it after the return.  One call at a time.
	 */
	int (*irqfd_set)(void *chip, const struct vm_irqfd *, bool on);
	bool tells_eoi; /* of lines that reach the I/O APIC alone: irq_eoi() */
};
void irq_set_chip(struct vmctx *, const struct irqchip_ops *, void *chip);

/*
 * Lines, bit n for gsi n, of whose EOIs somebody wants to hear, and that there
 * was one: before the controller looks at the line again, which may fall
 * meanwhile, and with none of its locks held.
 */
uint32_t irq_eoi_wanted(const struct vmctx *);
void irq_eoi(struct vmctx *, unsigned int gsi);

/*
 * Makes the engine's own controllers (its own 8254), wired as above.  -ENOTSUP
 * when it has none and chips must be made; 0, or another -errno.
 */
int irq_engine_chip(struct vmctx *, bool x2apic) WARN_UNUSED;
int irq_engine_pit(struct vmctx *) WARN_UNUSED;

/*
 * What a software CPU asks its local APIC.  Only called from the vCPU's own
 * thread; others make the CPU ask by vcpu_notify_intr().
 */
struct vcpu_intr_ops {
	/* A vector that could be taken now (TPR considered, RFLAGS.IF not), or
	 * -1. */
	int (*pending)(void *apic);
	/* Take it: returns the vector, now in service; -1 if it is gone. */
	int (*accept)(void *apic);
	uint64_t (*get_cr8)(void *apic); /* TPR[7:4] */
	void (*set_cr8)(void *apic, uint64_t cr8);
	/* INIT: registers as after power-on, APIC id and base kept. */
	void (*init)(void *apic);
};
void vcpu_set_intr(struct vcpu *, const struct vcpu_intr_ops *, void *apic);
const struct vcpu_intr_ops *vcpu_intr(struct vcpu *, void **ret_apic);

/* For interrupt controllers; any thread. */
void vcpu_notify_intr(struct vcpu *); /* ask pending() again; wakes a HLT */
void vcpu_nmi(struct vcpu *);
void vcpu_init_signal(struct vcpu *);	       /* INIT IPI */
void vcpu_sipi(struct vcpu *, uint8_t vector); /* start-up IPI */

#endif /* VMM_IRQ_H */
