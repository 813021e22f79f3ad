/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pairs_irq.c - the host moves interrupt lines when the payload asks.
 */
#include "host.h"

#include <util/util.h>
#include <vmm/irq.h>

enum { LINE_UP = 1, LINE_DOWN, LINE_PULSE, SEND_MSI };

static struct irq_line lines[IRQ_NGSI];

static void
irq_setup(struct guest *g)
{
	for (unsigned int i = 0; i < IRQ_NGSI; i++)
		irq_line_init(&lines[i], g->ctx, i);
}

static uint64_t
irq_call(struct guest *g, uint64_t which, uint64_t arg)
{
	switch (which) {
	case LINE_UP:
	case LINE_DOWN:
		irq_line_set(&lines[arg % IRQ_NGSI], which == LINE_UP);
		break;
	case LINE_PULSE:
		irq_line_pulse(&lines[arg % IRQ_NGSI]);
		break;
	case SEND_MSI:
		irq_msi(g->ctx, 0xfee00000, (uint32_t)arg);
		break;
	default:
		host_die("irq: call %lu", (unsigned long)which);
	}
	return 0;
}

static const struct pair irq_pairs[] = {
	{ .name = "irq",
	    .payload = "irq",
	    .setup = irq_setup,
	    .call = irq_call },
};
const struct pair_group irq_group = {
	.name = "irq",
	.pairs = irq_pairs,
	.npairs = ARRAY_LEN(irq_pairs),
};
