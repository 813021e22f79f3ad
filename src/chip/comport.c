/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A COM port: a 16550 on eight ISA ports and an interrupt line (docs/bhyve.md
 * 1.4).  One register an access, or two neighbours at once.
 */
#include <chip/chips.h>
#include <chip/ns16550.h>

#include <stdlib.h>

#include <util/lock.h>
#include <vmm/bus.h>
#include <vmm/chip.h>

struct comport {
	struct lock lock;
	struct vmctx *ctx;
	uint16_t port;
	struct irq_line line;
	struct ns16550 *uart;
};

static int
comport_pio(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct comport *c = arg;
	unsigned int off = port - c->port;

	if (bytes > 2)
		return -1;
	if (in) {
		*val = ns16550_read(c->uart, off);
		if (bytes == 2)
			*val |= (uint32_t)ns16550_read(c->uart, off + 1) << 8;
	} else {
		ns16550_write(c->uart, off, (uint8_t)*val);
		if (bytes == 2)
			ns16550_write(c->uart, off + 1, (uint8_t)(*val >> 8));
	}
	return 0;
}

static void
comport_set_irq(bool level, void *arg)
{
	struct comport *c = arg;

	irq_line_set(&c->line, level);
}

static void
comport_reset(void *arg)
{
	struct comport *c = arg;

	ns16550_reset(c->uart);
}

static void
comport_pause(void *arg)
{
	struct comport *c = arg;

	ns16550_pause(c->uart, true);
}

static void
comport_resume(void *arg)
{
	struct comport *c = arg;

	ns16550_pause(c->uart, false);
}

static void
comport_snapshot(void *arg, struct snap *s)
{
	struct comport *c = arg;

	ns16550_snapshot(c->uart, s);
}

static void
comport_free(struct comport *c)
{
	ns16550_destroy(c->uart);
	irq_line_set(&c->line, false);
	lock_fini(&c->lock);
	free(c);
}

static void
comport_fini(void *arg)
{
	struct comport *c = arg;

	bus_pio_unregister(c->ctx, c->port, NS16550_NREGS);
	comport_free(c);
}

static const struct chip_ops comport_ops = {
	.name = "ns16550",
	.reset = comport_reset,
	.pause = comport_pause,
	.resume = comport_resume,
	.snapshot = comport_snapshot,
	.fini = comport_fini,
};

/* The ports first: what fails last is what takes cd. */
static int
comport_init(struct comport *c, const char *name, struct chardev *cd)
{
	const struct pio_range range = {
		.name = name,
		.port = c->port,
		.len = NS16550_NREGS,
		.fn = comport_pio,
		.arg = c,
		.lock = &c->lock,
	};
	const struct ns16550_port port = {
		.ctx = c->ctx,
		.lock = &c->lock,
		.set_irq = comport_set_irq,
		.arg = c,
	};
	int error = bus_pio_register(c->ctx, &range);

	if (error != 0)
		return error;
	error = ns16550_create(&port, cd, &c->uart);
	if (error != 0)
		bus_pio_unregister(c->ctx, c->port, NS16550_NREGS);
	return error;
}

int
comport_create(struct vmctx *ctx, const char *name, uint16_t port,
    unsigned int gsi, struct chardev *cd)
{
	struct comport *c = xcalloc(1, sizeof(*c));
	int error;

	lock_init(&c->lock);
	c->ctx = ctx;
	c->port = port;
	irq_line_init(&c->line, ctx, gsi);
	error = comport_init(c, name, cd);
	if (error != 0) {
		comport_free(c);
		return error;
	}
	chip_add(ctx, &comport_ops, c, &c->lock);
	return 0;
}
