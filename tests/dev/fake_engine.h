/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_engine.h - an engine that runs nothing, so that tests can have a real
 * machine (buses, events, clock) without a CPU.
 */
#ifndef FAKE_ENGINE_H
#define FAKE_ENGINE_H

#include <vmm/engine.h>

#include <vmm/bus.h>

extern const struct vm_engine_ops fake_engine_ops;

/*
 * The doorbells of all machines.  Refused with `err` unless that is 0, which a
 * test sets and clears.
 */
#define FAKE_IOEVENTS 16u
struct fake_ioevents {
	int err;	       /* -ENOTSUP at first */
	unsigned int n, asked; /* armed now; calls to switch one on */
	struct vm_ioevent ev[FAKE_IOEVENTS];
};
extern struct fake_ioevents fake_ioevents;
/* A guest's write; true: it rang a bell, and nobody else hears of it. */
bool
fake_ioevent_write(bool pio, uint64_t addr, unsigned int bytes, uint32_t val);

#endif /* FAKE_ENGINE_H */
