/* SPDX-License-Identifier: BSD-2-Clause */
/* i8259.h - the pair of 8259As, for irqchip.c. */
#ifndef CHIP_I8259_H
#define CHIP_I8259_H

#include <stdbool.h>
#include <stdint.h>

struct i8259;
struct vmctx;

/*
 * Registers its ports.  0 or -errno.  `out` hears the master's INT output;
 * it is called with the pair's lock held.
 */
int i8259_create(struct vmctx *, void (*out)(void *arg, bool level), void *arg,
    struct i8259 **ret_pic);
void i8259_destroy(struct i8259 *); /* before chip_add only */
void i8259_chip_add(struct i8259 *);

/* Any thread.  irq 0-15; 2 is the cascade and ignored. */
void i8259_set_irq(struct i8259 *, unsigned int irq, bool level);
/* As a write to ELCR.  -EINVAL: this interrupt is always an edge. */
int i8259_set_trigger(struct i8259 *, unsigned int irq, bool level);
/* Vector of the next INTA, or -1 when INT is low. */
int i8259_peek(struct i8259 *);
/*
 * The processor's two INTA cycles.  When INT fell in between the vector is the
 * spurious one, IRQ 7's.
 */
uint8_t i8259_inta(struct i8259 *);

#endif /* CHIP_I8259_H */
