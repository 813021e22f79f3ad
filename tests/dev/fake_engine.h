/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_engine.h - an engine that runs nothing, so that tests can have a real
 * machine (buses, events, clock) without a CPU.
 */
#ifndef FAKE_ENGINE_H
#define FAKE_ENGINE_H

#include <vmm/engine.h>

extern const struct vm_engine_ops fake_engine_ops;

#endif /* FAKE_ENGINE_H */
