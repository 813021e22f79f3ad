/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smc_priv.h - the code-page records, shared by smc.c, smc_alloc.c and the
 * MMU's store paths, which ask "is this a code page" inline.
 */
#ifndef ENGINE_SOFT_SMC_PRIV_H
#define ENGINE_SOFT_SMC_PRIV_H

#include "smc.h"

/*
 * One per page of RAM.  Written under smc.lock, except `idle`; read without it.
 */
struct smc_page {
	uint64_t granules; /* bit n: bytes [64 n, 64 n + 64) were decoded */
	uint64_t epoch;	   /* of the handshake that made it a code page */
	uint32_t gen;
	uint8_t flags;	/* SMCP_* */
	uint8_t ninval; /* saturates */
	uint16_t idle;	/* bytes/8 stored while no granule is marked */
};
static_assert(sizeof(struct smc_page) == 24, "24 bytes for 4096");

#define SMCP_CODE    0x1u /* never in a write tag */
#define SMCP_CERTAIN 0x2u /* its handshake has ended */

struct smc {
	uint32_t lock;
	_Alignas(64) uint64_t epoch;	/* of the newest handshake */
	_Alignas(64) uint64_t in_guest; /* bit n: vCPU n runs guest code */
	struct smc_page *page;
	uint64_t npages;
	size_t map_len;
	struct {
		_Alignas(64) uint64_t acked; /* epoch it has caught up with */
	} cpu[VM_MAXCPU];
};
static_assert(VM_MAXCPU <= 64, "in_guest is one word");

static inline struct smc_page *
smc_page(const struct soft_vm *vm, uint64_t off)
{
	return &vm->smc->page[off >> 12];
}

static inline bool
smcp_is_code(const struct smc_page *p)
{
	return (__atomic_load_n(&p->flags, __ATOMIC_ACQUIRE) & SMCP_CODE) != 0;
}

#endif /* ENGINE_SOFT_SMC_PRIV_H */
