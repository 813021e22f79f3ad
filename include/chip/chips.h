/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chips.h - the constructors of all platform chips, one line a chip.
 *
 * Each registers its ports or MMIO with the bus, calls chip_add(), and returns
 * 0 or -errno (nothing is left behind on failure).  Order matters only where
 * said.  Addresses and numbers: docs/bhyve.md part 1.
 */
#ifndef CHIP_CHIPS_H
#define CHIP_CHIPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <util/util.h>
#include <vmm/irq.h>
#include <vmmapi.h>

struct vmctx;
struct vcpu;
struct chardev;

/*
 * Local APICs, I/O APIC and the 8259 pair belong together: this makes all of
 * them, connects the wires and registers as the machine's irqchip.  Every vCPU
 * of the topology must be open.  `x2apic`: all vCPUs start in x2APIC mode (-x),
 * else those for which vm_set_x2apic_state() said so.  An engine that has its
 * own is asked for those, all in x2APIC mode if one is; *ret_chip is NULL.
 */
struct irqchip;
int irqchip_create(
    struct vmctx *, bool x2apic, struct irqchip **ret_chip) WARN_UNUSED;

/* vm_lapic_local_irq() for one vCPU.  0, or -EINVAL: no such vCPU or entry. */
int irqchip_local_irq(struct irqchip *, int vcpu, enum vm_lvt) WARN_UNUSED;

/* 8254 with port 0x61: gsi 0 from counter 0; or the engine's own. */
int i8254_create(struct vmctx *) WARN_UNUSED;
/* 8 timers, 10 MHz, MMIO 0xFED00000. */
int hpet_create(struct vmctx *) WARN_UNUSED;
#define HPET_CAPABILITIES 0x80860701u
/* Ports 0x70/0x71, gsi 8; RAM sizes go to CMOS 0x34/0x35, 0x5B-0x5D. */
struct mc146818_opts {
	bool utc; /* guest clock in UTC, else host local time */
	uint64_t lowmem, highmem;
	/* Wall clock for tests; NULL: the host's. */
	int64_t (*now_us)(void *arg);
	void *now_arg;
};
int mc146818_create(struct vmctx *, const struct mc146818_opts *) WARN_UNUSED;

/* ACPI PM timer at 0x408. */
int pmtimer_create(struct vmctx *) WARN_UNUSED;
/* PM1a event/control 0x400-0x405, SMI_CMD 0xB2, SCI on gsi 9. */
struct acpi_pm;
int acpi_pm_create(struct vmctx *, struct acpi_pm **ret_pm) WARN_UNUSED;
/* Presses the power button.  False when the guest's ACPI would not notice. */
bool acpi_pm_power_button(struct acpi_pm *);
/* Whether it would. */
bool acpi_pm_button_is_watched(struct acpi_pm *);
#define ACPI_SCI_IRQ 9

/* Reset control 0xCF9, POST 0x84, PC port 0x92, delay 0x80 0xED, notify 0x488.
 */
int pcport_create(struct vmctx *) WARN_UNUSED;
/* MSRs of the guest's processor that do nothing; by vm_cpu_vendor(). */
int xmsr_create(struct vmctx *) WARN_UNUSED;
/* Keyboard controller 0x60/0x64: self test, no devices, 0xFE resets. */
int i8042_create(struct vmctx *) WARN_UNUSED;

/*
 * A COM port: a 16550 at `port` with interrupt `gsi`; cd may be NULL (output
 * dropped).  Takes cd, unless it fails.
 */
int comport_create(struct vmctx *, const char *name, uint16_t port,
    unsigned int gsi, struct chardev *cd) WARN_UNUSED;

/* bvmcons (-b), port 0x220.  Takes cd, unless it fails. */
int bvmcons_create(struct vmctx *, struct chardev *cd) WARN_UNUSED;
/*
 * bvmdbg (-g), port 0x224: listens on addr:tcp_port (NULL: 127.0.0.1), never
 * blocks a vCPU.
 */
int
bvmdbg_create(struct vmctx *, const char *addr, uint16_t tcp_port) WARN_UNUSED;

#endif /* CHIP_CHIPS_H */
