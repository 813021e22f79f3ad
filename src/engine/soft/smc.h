/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smc.h - self- and cross-modifying code.
 *
 * Blocks are cached per vCPU, keyed by guest-physical address.  For each page
 * of RAM the machine keeps a generation; a block records the generation it was
 * decoded under and is dead when the page's has moved on.  A page that holds
 * decoded code is never in any TLB's write tags, so that stores to it come to
 * the slow path, which bumps the generation if the store hits a 64-byte granule
 * that was decoded.
 *
 * The race: a page becomes a code page while another vCPU still has a write
 * tag for it.  smc_begin_decode() then asks all vCPUs to drop write tags
 * (VCPU_EV_ENGINE, a machine-wide epoch); until each has done so (or is not in
 * guest code and will on entry) the page is *uncertain*, and blocks of it are
 * compared with memory at each entry instead of being trusted.
 *
 * Ordering: the decoder marks, fences, then reads the bytes; the slow store
 * stores, fences, then looks at the marks.  One of the two sees the other.
 */
#ifndef ENGINE_SOFT_SMC_H
#define ENGINE_SOFT_SMC_H

#include "cpu.h"

struct smc;

/* 0 or -errno. */
int smc_create(struct soft_vm *vm); /* vm->ram is set up; sets vm->smc */
void smc_destroy(struct soft_vm *vm);

/* Pointer to the page's generation; `off` is an offset into RAM's file. */
const uint32_t *smc_gen(const struct soft_vm *vm, uint64_t off);
/*
 * The caller is about to read [off, off+len) (inside one page) and decode it.
 * Returns the generation to record.
 */
uint32_t smc_begin_decode(struct soft_cpu *c, uint64_t off, unsigned int len);
/*
 * No vCPU can hold a write tag to the page any more.  Only bytes read *after* a
 * true answer may be trusted: ask between smc_begin_decode() and reading, or
 * compare once more after the first true answer.
 */
bool smc_certain(struct soft_cpu *c, uint64_t off);
bool smc_is_code(const struct soft_vm *vm, uint64_t off);

/*
 * Bytes [off, off+len) changed.  c: the storing vCPU (its smc_hit is set when
 * decoded code was hit), or NULL for a device.  May cross pages.
 */
void
smc_wrote(struct soft_vm *vm, struct soft_cpu *c, uint64_t off, size_t len);

/*
 * A vCPU enters or leaves guest code (vm_run, HLT, bus calls that may take
 * long need not).  Entering catches up with the epoch.
 */
void smc_enter_guest(struct soft_cpu *c);
void smc_leave_guest(struct soft_cpu *c);
/* VCPU_EV_ENGINE was taken: catch up. */
void smc_catch_up(struct soft_cpu *c);

#endif /* ENGINE_SOFT_SMC_H */
