/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i8259.c - the PC's pair of 8259A interrupt controllers, with the ELCR.
 * Intel 8259A data sheet (1988); ELCR as in the 82371 data sheets.
 *
 * Missing: the MCS-80 mode (vectors are always the 8086's) and buffered
 * mode's pins.  One deviation: a request latched by an edge stays when the
 * line falls before INTA, where the part would answer with its spurious IRQ 7;
 * pulses are how our devices signal edges.  Lines change from any thread;
 * `lock` guards all.
 */
#include "i8259.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include <util/lock.h>
#include <util/log.h>
#include <util/util.h>
#include <vmm/bus.h>
#include <vmm/chip.h>
#include <vmm/snap.h>

#define I8259_MASTER_PORT 0x20
#define I8259_SLAVE_PORT  0xa0
#define ELCR_PORT	  0x4d0

#define I8259_CASCADE	  2
#define I8259_SPURIOUS	  7

/* Command words (data sheet, figures 7 and 8). */
#define ICW1_IC4    BIT(0) /* ICW4 follows */
#define ICW1_SNGL   BIT(1) /* no ICW3 */
#define ICW1_LTIM   BIT(3) /* all level-triggered */
#define ICW1_SELECT BIT(4)
#define ICW2_BASE   0xf8
#define ICW4_AEOI   BIT(1)
#define ICW4_SFNM   BIT(4)
#define OCW2_LEVEL  0x07
#define OCW3_SELECT BIT(3)
#define OCW3_RIS    BIT(0)
#define OCW3_RR	    BIT(1)
#define OCW3_POLL   BIT(2)
#define OCW3_SMM    BIT(5)
#define OCW3_ESMM   BIT(6)
#define POLL_INT    0x80

/* What the next write to the odd port is. */
enum i8259_step { I8259_OCW1, I8259_ICW2, I8259_ICW3, I8259_ICW4 };

struct i8259_regs {
	uint8_t irr, imr, isr;
	uint8_t lines; /* input levels */
	uint8_t elcr;
	uint8_t icw1, icw3, icw4;
	uint8_t base;	/* vector of IR0 */
	uint8_t lowest; /* the level of lowest priority */
	uint8_t step;	/* enum i8259_step */
	uint8_t ready;	/* initialised */
	uint8_t smm;	/* special mask mode */
	uint8_t rotate_aeoi;
	uint8_t poll;	  /* the next read is an INTA */
	uint8_t read_isr; /* the even port shows ISR, not IRR */
};
static_assert(sizeof(struct i8259_regs) == 16, "all bytes: no padding");

struct i8259 {
	struct lock lock;
	struct vmctx *ctx;
	struct i8259_regs chip[2]; /* master, slave */
	bool intr;		   /* INT output, as last told */
	void (*out)(void *arg, bool level);
	void *out_arg;
};

/* ISA's own interrupts are always edges: docs/bhyve.md 1.7. */
static const uint8_t elcr_valid[2] = { 0xf8, 0xde };

/* --- priority --------------------------------------------------------- */

static uint8_t
i8259_level_mask(const struct i8259_regs *r)
{
	return r->icw1 & ICW1_LTIM ? 0xff : r->elcr;
}

/* The request that INT stands for, or -1. */
static int
i8259_resolve(const struct i8259_regs *r, bool master)
{
	uint8_t requests = r->irr & (uint8_t)~r->imr;
	uint8_t serving = r->isr;

	if (!r->ready)
		return -1;
	if (r->smm) /* masked levels in service block nobody */
		serving &= (uint8_t)~r->imr;
	for (unsigned int i = 1; i <= 8; i++) {
		unsigned int irq = (r->lowest + i) & 7;

		/* Special fully nested: a slave may interrupt itself. */
		if ((requests & BIT(irq)) != 0 &&
		    ((serving & BIT(irq)) == 0 ||
			(master && irq == I8259_CASCADE &&
			    (r->icw4 & ICW4_SFNM) != 0)))
			return (int)irq;
		if ((serving & BIT(irq)) != 0)
			return -1;
	}
	return -1;
}

/* The master's IR2 is the slave's INT, a level. */
static int
i8259_pending_locked(struct i8259 *pic)
{
	struct i8259_regs *m = &pic->chip[0];

	if (i8259_resolve(&pic->chip[1], false) >= 0)
		m->irr |= BIT(I8259_CASCADE);
	else
		m->irr &= (uint8_t)~BIT(I8259_CASCADE);
	return i8259_resolve(m, true);
}

static void
i8259_update_locked(struct i8259 *pic)
{
	bool intr = i8259_pending_locked(pic) >= 0;

	if (intr == pic->intr)
		return;
	pic->intr = intr;
	pic->out(pic->out_arg, intr);
}

/* INTA for `irq`: from request to service. */
static void
i8259_ack_locked(struct i8259_regs *r, unsigned int irq)
{
	uint8_t bit = (uint8_t)BIT(irq);

	if ((i8259_level_mask(r) & bit) == 0)
		r->irr &= (uint8_t)~bit;
	if ((r->icw4 & ICW4_AEOI) == 0)
		r->isr |= bit;
	else if (r->rotate_aeoi)
		r->lowest = (uint8_t)irq;
}

/* --- the processor's side --------------------------------------------- */

static uint8_t
i8259_vector(const struct i8259_regs *r, int irq)
{
	return (uint8_t)(r->base | (irq < 0 ? I8259_SPURIOUS : irq));
}

int
i8259_peek(struct i8259 *pic)
{
	int irq, vector = -1;

	lock_acquire(&pic->lock);
	irq = i8259_pending_locked(pic);
	if (irq == I8259_CASCADE)
		vector = i8259_vector(
		    &pic->chip[1], i8259_resolve(&pic->chip[1], false));
	else if (irq >= 0)
		vector = i8259_vector(&pic->chip[0], irq);
	lock_release(&pic->lock);
	return vector;
}

static uint8_t
i8259_inta_locked(struct i8259 *pic)
{
	struct i8259_regs *m = &pic->chip[0], *s = &pic->chip[1];
	int irq = i8259_pending_locked(pic);

	/* Gone since the processor looked: the default IR7, not in service. */
	if (irq < 0)
		return i8259_vector(m, irq);
	i8259_ack_locked(m, (unsigned int)irq);
	if (irq != I8259_CASCADE)
		return i8259_vector(m, irq);
	irq = i8259_resolve(s, false);
	if (irq >= 0)
		i8259_ack_locked(s, (unsigned int)irq);
	return i8259_vector(s, irq);
}

uint8_t
i8259_inta(struct i8259 *pic)
{
	uint8_t vector;

	lock_acquire(&pic->lock);
	vector = i8259_inta_locked(pic);
	/* INT falls with INTA, and rises again when there is more. */
	if (pic->intr) {
		pic->intr = false;
		pic->out(pic->out_arg, false);
	}
	i8259_update_locked(pic);
	lock_release(&pic->lock);
	return vector;
}

void
i8259_set_irq(struct i8259 *pic, unsigned int irq, bool level)
{
	struct i8259_regs *r = &pic->chip[irq / 8];
	uint8_t bit = (uint8_t)BIT(irq % 8);

	if (irq == I8259_CASCADE || irq >= 16)
		return;
	lock_acquire(&pic->lock);
	if (level && (r->lines & bit) == 0) {
		r->lines |= bit;
		r->irr |= bit;
	} else if (!level) {
		r->lines &= (uint8_t)~bit;
		if ((i8259_level_mask(r) & bit) != 0)
			r->irr &= (uint8_t)~bit;
	}
	i8259_update_locked(pic);
	lock_release(&pic->lock);
}

/* --- command words ---------------------------------------------------- */

static void
i8259_icw1(struct i8259_regs *r, uint8_t val)
{
	r->icw1 = val;
	r->icw3 = 0;
	r->icw4 = 0;
	r->imr = 0;
	r->isr = 0;
	/* The edge sense circuit starts over; levels remain. */
	r->irr = r->lines & i8259_level_mask(r);
	r->lowest = 7;
	r->smm = 0;
	r->rotate_aeoi = 0;
	r->poll = 0;
	r->read_isr = 0;
	r->ready = 0;
	r->step = I8259_ICW2;
}

static uint8_t
i8259_step_after(const struct i8259_regs *r)
{
	if (r->step == I8259_ICW2 && (r->icw1 & ICW1_SNGL) == 0)
		return I8259_ICW3;
	if (r->step != I8259_ICW4 && (r->icw1 & ICW1_IC4) != 0)
		return I8259_ICW4;
	return I8259_OCW1;
}

static void
i8259_write_odd(struct i8259_regs *r, uint8_t val)
{
	switch ((enum i8259_step)r->step) {
	case I8259_OCW1:
		r->imr = val;
		return;
	case I8259_ICW2:
		r->base = val & ICW2_BASE;
		break;
	case I8259_ICW3:
		r->icw3 = val;
		break;
	case I8259_ICW4:
		r->icw4 = val;
		break;
	}
	r->step = i8259_step_after(r);
	if (r->step == I8259_OCW1)
		r->ready = 1;
}

/* The level in service of highest priority, as a non-specific EOI sees it. */
static int
i8259_serving(const struct i8259_regs *r)
{
	uint8_t serving = r->isr;

	if (r->smm)
		serving &= (uint8_t)~r->imr;
	for (unsigned int i = 1; i <= 8; i++) {
		unsigned int irq = (r->lowest + i) & 7;

		if ((serving & BIT(irq)) != 0)
			return (int)irq;
	}
	return -1;
}

static void
i8259_end(struct i8259_regs *r, int irq, bool rotate)
{
	if (irq < 0)
		return;
	r->isr &= (uint8_t)~BIT(irq);
	if (rotate)
		r->lowest = (uint8_t)irq;
}

/* Figure 8: the eight combinations of R, SL, EOI. */
static void
i8259_ocw2(struct i8259_regs *r, uint8_t val)
{
	int level = val & OCW2_LEVEL;

	switch (val >> 5) {
	case 0: /* rotate in automatic EOI mode, clear */
		r->rotate_aeoi = 0;
		break;
	case 1: /* non-specific EOI */
		i8259_end(r, i8259_serving(r), false);
		break;
	case 2: /* no operation */
		break;
	case 3: /* specific EOI */
		i8259_end(r, level, false);
		break;
	case 4: /* rotate in automatic EOI mode, set */
		r->rotate_aeoi = 1;
		break;
	case 5: /* rotate on non-specific EOI */
		i8259_end(r, i8259_serving(r), true);
		break;
	case 6: /* set priority */
		r->lowest = (uint8_t)level;
		break;
	case 7: /* rotate on specific EOI */
		i8259_end(r, level, true);
		break;
	}
}

static void
i8259_ocw3(struct i8259_regs *r, uint8_t val)
{
	if ((val & OCW3_ESMM) != 0)
		r->smm = (val & OCW3_SMM) != 0;
	/* Poll takes precedence over a register read command. */
	if ((val & OCW3_POLL) != 0)
		r->poll = 1;
	else if ((val & OCW3_RR) != 0)
		r->read_isr = (val & OCW3_RIS) != 0;
}

static void
i8259_write_even(struct i8259_regs *r, uint8_t val)
{
	if ((val & ICW1_SELECT) != 0)
		i8259_icw1(r, val);
	else if ((val & OCW3_SELECT) != 0)
		i8259_ocw3(r, val);
	else
		i8259_ocw2(r, val);
}

static uint8_t
i8259_poll_locked(struct i8259 *pic, struct i8259_regs *r)
{
	bool master = r == &pic->chip[0];
	int irq;

	r->poll = 0;
	i8259_pending_locked(pic); /* the cascade's request is current */
	irq = i8259_resolve(r, master);
	if (irq < 0)
		return 0;
	i8259_ack_locked(r, (unsigned int)irq);
	return (uint8_t)(POLL_INT | irq);
}

static uint8_t
i8259_read_locked(struct i8259 *pic, struct i8259_regs *r, bool odd)
{
	if (r->poll)
		return i8259_poll_locked(pic, r);
	if (odd)
		return r->imr;
	return r->read_isr ? r->isr : r->irr;
}

/* Both chips' ports; `arg` is the pair. */
static int
i8259_pio(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct i8259 *pic = arg;
	struct i8259_regs *r = &pic->chip[port >= I8259_SLAVE_PORT];
	bool odd = (port & 1) != 0;

	if (bytes != 1)
		return -1;
	if (in)
		*val = i8259_read_locked(pic, r, odd);
	else if (odd)
		i8259_write_odd(r, (uint8_t)*val);
	else
		i8259_write_even(r, (uint8_t)*val);
	i8259_update_locked(pic);
	return 0;
}

static void
i8259_elcr_write(struct i8259_regs *r, uint8_t elcr)
{
	uint8_t now_level = elcr & (uint8_t)~r->elcr;

	r->elcr = elcr;
	/* A level has no memory: its request is what the line is. */
	r->irr = (r->irr & (uint8_t)~now_level) | (r->lines & now_level);
}

static int
i8259_elcr_pio(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct i8259 *pic = arg;
	unsigned int n = port - ELCR_PORT;

	if (bytes != 1)
		return -1;
	if (in) {
		*val = pic->chip[n].elcr;
		return 0;
	}
	i8259_elcr_write(&pic->chip[n], (uint8_t)*val & elcr_valid[n]);
	i8259_update_locked(pic);
	return 0;
}

int
i8259_set_trigger(struct i8259 *pic, unsigned int irq, bool level)
{
	unsigned int n = irq / 8;
	uint8_t bit = (uint8_t)BIT(irq % 8);
	uint8_t elcr;

	if (irq >= 16 || (level && (elcr_valid[n] & bit) == 0))
		return -EINVAL;
	lock_acquire(&pic->lock);
	elcr = pic->chip[n].elcr & (uint8_t)~bit;
	i8259_elcr_write(&pic->chip[n], level ? elcr | bit : elcr);
	i8259_update_locked(pic);
	lock_release(&pic->lock);
	return 0;
}

/* --- life cycle ------------------------------------------------------- */

/* Lines are the devices' and stay as they are. */
static void
i8259_reset(void *arg)
{
	struct i8259 *pic = arg;

	for (unsigned int n = 0; n < 2; n++)
		pic->chip[n] = (struct i8259_regs){
			.lines = pic->chip[n].lines,
			.lowest = 7,
		};
	i8259_update_locked(pic);
}

static bool
i8259_regs_valid(const struct i8259_regs *r, unsigned int n)
{
	return (r->elcr & ~elcr_valid[n]) == 0 && (r->base & ~ICW2_BASE) == 0 &&
	       r->lowest <= 7 && r->step <= I8259_ICW4 && r->ready <= 1 &&
	       r->smm <= 1 && r->rotate_aeoi <= 1 && r->poll <= 1 &&
	       r->read_isr <= 1;
}

static void
i8259_snapshot(void *arg, struct snap *s)
{
	struct i8259 *pic = arg;
	struct i8259_regs master = pic->chip[0], slave = pic->chip[1];

	snap_var(s, master);
	snap_var(s, slave);
	if (!snap_loading(s) || snap_error(s) != 0)
		return;
	if (!i8259_regs_valid(&master, 0) || !i8259_regs_valid(&slave, 1)) {
		snap_fail(s);
		return;
	}
	pic->chip[0] = master;
	pic->chip[1] = slave;
	i8259_update_locked(pic);
}

struct i8259_ports {
	uint16_t port;
	pio_fn fn;
};
static const struct i8259_ports i8259_port_table[] = {
	{ .port = I8259_MASTER_PORT, .fn = i8259_pio },
	{ .port = I8259_SLAVE_PORT, .fn = i8259_pio },
	{ .port = ELCR_PORT, .fn = i8259_elcr_pio },
};

static void
i8259_unregister(struct i8259 *pic, size_t n)
{
	while (n-- > 0)
		bus_pio_unregister(pic->ctx, i8259_port_table[n].port, 2);
}

static int
i8259_register(struct i8259 *pic)
{
	for (size_t n = 0; n < ARRAY_LEN(i8259_port_table); n++) {
		int err = bus_pio_register(
		    pic->ctx, &(struct pio_range){ .name = "i8259",
				  .port = i8259_port_table[n].port,
				  .len = 2,
				  .fn = i8259_port_table[n].fn,
				  .arg = pic,
				  .lock = &pic->lock });

		if (err != 0) {
			i8259_unregister(pic, n);
			return err;
		}
	}
	return 0;
}

static void
i8259_fini(void *arg)
{
	struct i8259 *pic = arg;

	i8259_unregister(pic, ARRAY_LEN(i8259_port_table));
	lock_fini(&pic->lock);
	free(pic);
}

void
i8259_destroy(struct i8259 *pic)
{
	if (pic != NULL)
		i8259_fini(pic);
}

int
i8259_create(struct vmctx *ctx, void (*out)(void *arg, bool level), void *arg,
    struct i8259 **ret_pic)
{
	struct i8259 *pic = xcalloc(1, sizeof(*pic));
	int err;

	pic->ctx = ctx;
	pic->out = out;
	pic->out_arg = arg;
	lock_init(&pic->lock);
	i8259_reset(pic);
	err = i8259_register(pic);
	if (err != 0) {
		lock_fini(&pic->lock);
		free(pic);
		return err;
	}
	*ret_pic = pic;
	return 0;
}

static const struct chip_ops i8259_chip_ops = {
	.name = "i8259",
	.reset = i8259_reset,
	.snapshot = i8259_snapshot,
	.fini = i8259_fini,
};

void
i8259_chip_add(struct i8259 *pic)
{
	chip_add(pic->ctx, &i8259_chip_ops, pic, &pic->lock);
}
