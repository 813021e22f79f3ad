/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ns16550.h - the registers of a 16550 UART, to be put into a port: ISA's COM
 * ports (src/chip/comport.c) and the PCI uart.
 *
 * All functions but create and destroy are called with the port's lock held,
 * and set_irq is too: from them, and from the event thread when the host has
 * input or took output.
 */
#ifndef CHIP_NS16550_H
#define CHIP_NS16550_H

#include <stdbool.h>
#include <stdint.h>

#include <util/util.h>

struct chardev;
struct lock;
struct ns16550;
struct snap;
struct vmctx;

#define NS16550_NREGS 8

struct ns16550_port {
	struct vmctx *ctx;
	struct lock *lock; /* lives longer than the part */
	void (*set_irq)(bool level, void *arg);
	void *arg;
};

/* Takes cd (NULL: output is dropped), unless it fails. */
int ns16550_create(const struct ns16550_port *, struct chardev *cd,
    struct ns16550 **ret_uart) WARN_UNUSED;
/* Without the lock; may wait for a callback.  NULL is nothing. */
void ns16550_destroy(struct ns16550 *);

/* Beyond NS16550_NREGS reads all ones. */
uint8_t ns16550_read(struct ns16550 *, unsigned int off);
void ns16550_write(struct ns16550 *, unsigned int off, uint8_t val);
void ns16550_reset(struct ns16550 *);
/* A paused one takes no input. */
void ns16550_pause(struct ns16550 *, bool paused);
void ns16550_snapshot(struct ns16550 *, struct snap *);

#endif /* CHIP_NS16550_H */
