/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI power-management timer, ACPI 5.0 section 4.8.3.3: a free-running 32-bit
 * counter of 3.579545 MHz at port 0x408.
 *
 * The FADT says TMR_VAL_EXT, so there is no overflow interrupt to model.
 * Reads come from vCPU threads.
 */
#include <chip/chips.h>

#include <stdlib.h>

#include <util/lock.h>
#include <util/log.h>
#include <vmm/bus.h>
#include <vmm/chip.h>
#include <vmm/event.h>
#include <vmm/snap.h>

#define PM_TMR_PORT 0x408
#define PM_TMR_LEN  4
#define PM_TMR_HZ   3579545u
#define NS_PER_SEC  1000000000u

struct pmtimer_regs {
	uint32_t base; /* counter value when the machine's clock was 0 */
};

struct pmtimer {
	struct vmctx *ctx;
	struct lock lock;
	struct pmtimer_regs regs;
};

static uint32_t
pmtimer_elapsed(const struct pmtimer *t)
{
	unsigned __int128 ticks = vm_clock_ns(t->ctx);

	return (uint32_t)(ticks * PM_TMR_HZ / NS_PER_SEC);
}

static int
pmtimer_pio(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct pmtimer *t = arg;

	if (!in)
		return -1;
	/* Parts of the register, which bhyve refuses, are its bytes. */
	*val = (t->regs.base + pmtimer_elapsed(t)) >> 8 * (port - PM_TMR_PORT);
	return 0;
}

static void
pmtimer_reset(void *arg)
{
	struct pmtimer *t = arg;

	t->regs.base = -pmtimer_elapsed(t);
}

static void
pmtimer_snapshot(void *arg, struct snap *s)
{
	struct pmtimer *t = arg;
	uint32_t count = t->regs.base + pmtimer_elapsed(t);

	if (snap_bytes(s, "pmtimer", &count, sizeof(count)) == 0 &&
	    snap_loading(s))
		t->regs.base = count - pmtimer_elapsed(t);
}

static void
pmtimer_fini(void *arg)
{
	struct pmtimer *t = arg;

	bus_pio_unregister(t->ctx, PM_TMR_PORT, PM_TMR_LEN);
	lock_fini(&t->lock);
	free(t);
}

static const struct chip_ops pmtimer_ops = {
	.name = "pmtimer",
	.reset = pmtimer_reset,
	.snapshot = pmtimer_snapshot,
	.fini = pmtimer_fini,
};

int
pmtimer_create(struct vmctx *ctx)
{
	struct pmtimer *t = xcalloc(1, sizeof(*t));
	const struct pio_range range = {
		.name = "pmtimer",
		.port = PM_TMR_PORT,
		.len = PM_TMR_LEN,
		.fn = pmtimer_pio,
		.arg = t,
		.lock = &t->lock,
	};
	int error;

	t->ctx = ctx;
	lock_init(&t->lock);
	error = bus_pio_register(ctx, &range);
	if (error != 0) {
		lock_fini(&t->lock);
		free(t);
		return error;
	}
	pmtimer_reset(t);
	chip_add(ctx, &pmtimer_ops, t, &t->lock);
	return 0;
}
