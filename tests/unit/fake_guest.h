/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_guest.h - a machine that is only RAM and one vCPU's registers: enough
 * of vmmapi.h and vmm/mem.h for src/boot, with what was stored left to see.
 */
#ifndef TESTS_FAKE_GUEST_H
#define TESTS_FAKE_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmmapi.h>

struct vcpu {
	struct vmctx *ctx;
	uint64_t reg[VM_REG_LAST];
	struct seg_desc desc[VM_REG_LAST];
	bool reg_set[VM_REG_LAST];
	unsigned int resets;
};

struct vmctx {
	uint8_t *ram; /* low memory only: high memory has a size, no bytes */
	size_t low, high;
	struct vcpu bsp;
};

/* RAM is reserved, not allocated: 3 GiB cost nothing until touched. */
void fake_guest_init(struct vmctx *, size_t low, size_t high);
void fake_guest_fini(struct vmctx *);

#endif /* TESTS_FAKE_GUEST_H */
