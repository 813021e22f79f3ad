/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioapic.c - the I/O APIC: 82093AA data sheet (1996), version 0x11, 24 pins.
 *
 * Pins carry logical levels, so the polarity bit is stored and has no effect.
 * An edge on a masked pin is lost, as on the part.  There is no EOI register
 * (version 0x20 brought it); a guest clears a stuck remote IRR by writing the
 * entry as edge-triggered.  Pins change from any thread; `lock` guards all.
 */
#include "ioapic.h"

#include <stdlib.h>

#include <util/lock.h>
#include <util/log.h>
#include <util/util.h>
#include <vmm/bus.h>
#include <vmm/chip.h>
#include <vmm/snap.h>

#include "irqchip.h"

#define IOAPIC_MMIO_BASE 0xfec00000ull
#define IOAPIC_MMIO_SIZE 0x1000ull

/* Window (data sheet 3.1). */
#define IOREGSEL 0x00
#define IOWIN	 0x10

/* Indexed registers (3.2). */
#define IOAPICID       0x00
#define IOAPICVER      0x01
#define IOAPICARB      0x02
#define IOREDTBL       0x10
#define IOREDTBL_END   (IOREDTBL + 2 * IOAPIC_NPINS)

#define IOAPICID_BITS  0x0f000000u
#define IOAPIC_VERSION (0x11u | (IOAPIC_NPINS - 1) << 16)

/* Redirection entries (3.2.4). */
#define RTE_LOGICAL    BIT64(11)
#define RTE_REMOTE_IRR BIT64(14)
#define RTE_LEVEL      BIT64(15)
#define RTE_MASKED     BIT64(16)
#define RTE_DEST(rte)  ((uint32_t)((rte) >> 56))
#define RTE_WRITABLE   0xff0000000001afffull
#define RTE_RESET      (RTE_MASKED | BIT64(48))

struct ioapic_regs {
	uint32_t index;
	uint32_t id;
	uint32_t lines; /* pin levels */
	uint64_t rte[IOAPIC_NPINS];
};

struct ioapic {
	struct lock lock;
	struct vmctx *ctx;
	struct irqchip *chip;
	struct ioapic_regs regs;
	/*
	 * Pins whose level message nobody took; the part repeats it.  Written
	 * with the lock, looked at without.
	 */
	uint32_t refused;
};

static bool
ioapic_is_level(uint64_t rte)
{
	enum apic_dlm mode = APIC_DLM(rte);

	/* Only these may be level-triggered (3.2.4, DELMOD). */
	return (rte & RTE_LEVEL) != 0 && mode <= APIC_DLM_LOWEST;
}

static bool
ioapic_send(struct ioapic *io, uint64_t rte)
{
	struct apic_msg m = {
		.dest = RTE_DEST(rte),
		.mode = APIC_DLM(rte),
		.vector = rte & 0xff,
		.logical = (rte & RTE_LOGICAL) != 0,
		.broadcast = RTE_DEST(rte) == XAPIC_BROADCAST,
		.level = ioapic_is_level(rte),
	};

	return irqchip_send(io->chip, &m) != 0;
}

static void
ioapic_set_refused_locked(struct ioapic *io, unsigned int pin, bool refused)
{
	if (refused)
		__atomic_fetch_or(&io->refused, BIT(pin), __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&io->refused, ~BIT(pin), __ATOMIC_SEQ_CST);
}

/*
 * Send what a high, open, idle level pin has to send.  The pin counts as
 * refused before it is sent: a local APIC that is enabled in between either
 * takes the message or, in ioapic_retry(), sees the bit.
 */
static void
ioapic_service_level_locked(struct ioapic *io, unsigned int pin)
{
	uint64_t *rte = &io->regs.rte[pin];

	if (!ioapic_is_level(*rte) || (io->regs.lines & BIT(pin)) == 0 ||
	    (*rte & (RTE_MASKED | RTE_REMOTE_IRR)) != 0) {
		if ((io->refused & BIT(pin)) != 0)
			ioapic_set_refused_locked(io, pin, false);
		return;
	}
	ioapic_set_refused_locked(io, pin, true);
	if (ioapic_send(io, *rte)) {
		/* An EOI that is already on its way waits for the lock. */
		*rte |= RTE_REMOTE_IRR;
		ioapic_set_refused_locked(io, pin, false);
	}
}

void
ioapic_set_pin(struct ioapic *io, unsigned int pin, bool level)
{
	uint32_t bit = BIT(pin);
	uint64_t rte;
	bool rose;

	lock_acquire(&io->lock);
	rose = level && (io->regs.lines & bit) == 0;
	if (level)
		io->regs.lines |= bit;
	else
		io->regs.lines &= ~bit;
	rte = io->regs.rte[pin];
	if (ioapic_is_level(rte))
		ioapic_service_level_locked(io, pin);
	else if (rose && (rte & RTE_MASKED) == 0)
		ioapic_send(io, rte);
	lock_release(&io->lock);
}

static bool
ioapic_serves(uint64_t rte, uint8_t vector)
{
	return (rte & RTE_REMOTE_IRR) != 0 && (rte & 0xff) == vector;
}

uint32_t
ioapic_in_service(struct ioapic *io, uint8_t vector)
{
	uint32_t pins = 0;

	lock_acquire(&io->lock);
	for (unsigned int pin = 0; pin < IOAPIC_NPINS; pin++)
		if (ioapic_serves(io->regs.rte[pin], vector))
			pins |= BIT(pin);
	lock_release(&io->lock);
	return pins;
}

void
ioapic_eoi(struct ioapic *io, uint8_t vector)
{
	lock_acquire(&io->lock);
	for (unsigned int pin = 0; pin < IOAPIC_NPINS; pin++) {
		uint64_t *rte = &io->regs.rte[pin];

		if (!ioapic_serves(*rte, vector))
			continue;
		*rte &= ~RTE_REMOTE_IRR;
		ioapic_service_level_locked(io, pin);
	}
	lock_release(&io->lock);
}

void
ioapic_retry(struct ioapic *io)
{
	/* A read-modify-write: the caller's stores must come first. */
	if (__atomic_fetch_or(&io->refused, 0, __ATOMIC_SEQ_CST) == 0)
		return;
	lock_acquire(&io->lock);
	for (unsigned int pin = 0; pin < IOAPIC_NPINS; pin++)
		if ((io->refused & BIT(pin)) != 0)
			ioapic_service_level_locked(io, pin);
	lock_release(&io->lock);
}

/* --- registers -------------------------------------------------------- */

static uint32_t
ioapic_read_locked(const struct ioapic *io)
{
	uint32_t index = io->regs.index;

	if (index >= IOREDTBL && index < IOREDTBL_END) {
		uint64_t rte = io->regs.rte[(index - IOREDTBL) / 2];

		return (uint32_t)(index & 1 ? rte >> 32 : rte);
	}
	switch (index) {
	case IOAPICID:
	case IOAPICARB: /* loaded from the id register (3.2.3) */
		return io->regs.id;
	case IOAPICVER:
		return IOAPIC_VERSION;
	default:
		return 0;
	}
}

static void
ioapic_write_rte_locked(
    struct ioapic *io, unsigned int pin, bool high, uint32_t val)
{
	uint64_t *rte = &io->regs.rte[pin];
	uint64_t new;

	if (high)
		new = (uint32_t)*rte | ((uint64_t)val << 32 & RTE_WRITABLE);
	else
		new = (*rte & (~0xffffffffull | RTE_REMOTE_IRR)) |
		      (val & RTE_WRITABLE);
	/* How guests of a part without EOI register end a level interrupt. */
	if (!ioapic_is_level(new))
		new &= ~RTE_REMOTE_IRR;
	*rte = new;
	ioapic_service_level_locked(io, pin);
}

static void
ioapic_write_locked(struct ioapic *io, uint32_t val)
{
	uint32_t index = io->regs.index;

	if (index >= IOREDTBL && index < IOREDTBL_END)
		ioapic_write_rte_locked(
		    io, (index - IOREDTBL) / 2, (index & 1) != 0, val);
	else if (index == IOAPICID)
		io->regs.id = val & IOAPICID_BITS;
}

static int
ioapic_mmio(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val, void *arg)
{
	struct ioapic *io = arg;
	uint64_t off = gpa - IOAPIC_MMIO_BASE;

	if (!write)
		*val = 0;
	if (bytes != 4 || (off != IOREGSEL && off != IOWIN)) {
		guest_error("ioapic", "%u-byte access at offset %#x", bytes,
		    (unsigned int)off);
		return 0;
	}
	if (off == IOREGSEL && write)
		io->regs.index = *val & 0xff;
	else if (off == IOREGSEL)
		*val = io->regs.index;
	else if (write)
		ioapic_write_locked(io, (uint32_t)*val);
	else
		*val = ioapic_read_locked(io);
	return 0;
}

/* --- life cycle ------------------------------------------------------- */

/* Lines are the devices' and stay as they are. */
static void
ioapic_reset(void *arg)
{
	struct ioapic *io = arg;

	io->regs.index = 0;
	io->regs.id = 0;
	for (unsigned int pin = 0; pin < IOAPIC_NPINS; pin++)
		io->regs.rte[pin] = RTE_RESET;
	__atomic_store_n(&io->refused, 0, __ATOMIC_SEQ_CST);
}

static bool
ioapic_regs_valid(const struct ioapic_regs *r)
{
	if (r->index > 0xff || (r->id & ~IOAPICID_BITS) != 0 ||
	    r->lines >> IOAPIC_NPINS != 0)
		return false;
	for (unsigned int pin = 0; pin < IOAPIC_NPINS; pin++)
		if ((r->rte[pin] &
			~(RTE_WRITABLE | RTE_REMOTE_IRR | BIT64(48))) != 0 ||
		    ((r->rte[pin] & RTE_REMOTE_IRR) != 0 &&
			!ioapic_is_level(r->rte[pin])))
			return false;
	return true;
}

static void
ioapic_snapshot(void *arg, struct snap *s)
{
	struct ioapic *io = arg;
	struct ioapic_regs r = io->regs;

	snap_var(s, r.index);
	snap_var(s, r.id);
	snap_var(s, r.lines);
	snap_var(s, r.rte);
	if (!snap_loading(s) || snap_error(s) != 0)
		return;
	if (!ioapic_regs_valid(&r)) {
		snap_fail(s);
		return;
	}
	io->regs = r;
	for (unsigned int pin = 0; pin < IOAPIC_NPINS; pin++)
		ioapic_service_level_locked(io, pin);
}

static void
ioapic_fini(void *arg)
{
	struct ioapic *io = arg;

	bus_mmio_unregister(io->ctx, IOAPIC_MMIO_BASE, IOAPIC_MMIO_SIZE);
	lock_fini(&io->lock);
	free(io);
}

void
ioapic_destroy(struct ioapic *io)
{
	if (io != NULL)
		ioapic_fini(io);
}

int
ioapic_create(struct vmctx *ctx, struct irqchip *chip, struct ioapic **ret_io)
{
	struct ioapic *io = xcalloc(1, sizeof(*io));
	int err;

	io->ctx = ctx;
	io->chip = chip;
	lock_init(&io->lock);
	ioapic_reset(io);
	err = bus_mmio_register(ctx, &(struct mmio_range){ .name = "ioapic",
					 .base = IOAPIC_MMIO_BASE,
					 .len = IOAPIC_MMIO_SIZE,
					 .fn = ioapic_mmio,
					 .arg = io,
					 .lock = &io->lock });
	if (err != 0) {
		lock_fini(&io->lock);
		free(io);
		return err;
	}
	*ret_io = io;
	return 0;
}

static const struct chip_ops ioapic_chip_ops = {
	.name = "ioapic",
	.reset = ioapic_reset,
	.snapshot = ioapic_snapshot,
	.fini = ioapic_fini,
};

void
ioapic_chip_add(struct ioapic *io)
{
	chip_add(io->ctx, &ioapic_chip_ops, io, &io->lock);
}
