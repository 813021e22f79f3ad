/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_guest.c - see fake_guest.h.
 */
#include "fake_guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <util/util.h>
#include <vmm/mem.h>

void
fake_guest_init(struct vmctx *ctx, size_t low, size_t high)
{
	*ctx = (struct vmctx){ .low = low, .high = high };
	ctx->bsp.ctx = ctx;
	ctx->ram = mmap(NULL, low, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ctx->ram == MAP_FAILED)
		abort();
}

void
fake_guest_fini(struct vmctx *ctx)
{
	munmap(ctx->ram, ctx->low);
}

void *
vm_map_gpa(struct vmctx *ctx, vm_paddr_t gpa, size_t len)
{
	return range_ok(gpa, len, ctx->low) ? ctx->ram + gpa : NULL;
}

size_t
vm_get_lowmem_size(struct vmctx *ctx)
{
	return ctx->low;
}

size_t
vm_get_highmem_size(struct vmctx *ctx)
{
	return ctx->high;
}

int
vm_mem_write(struct vmctx *ctx, uint64_t gpa, const void *src, size_t len)
{
	if (!range_ok(gpa, len, ctx->low))
		return -EFAULT;
	memcpy(ctx->ram + gpa, src, len);
	return 0;
}

void
vm_mem_written(struct vmctx *ctx, uint64_t gpa, size_t len)
{
	if (!range_ok(gpa, len, ctx->low))
		abort();
}

int
vcpu_reset(struct vcpu *vcpu)
{
	vcpu->resets++;
	return 0;
}

int
vm_set_register(struct vcpu *vcpu, int reg, uint64_t val)
{
	vcpu->reg[reg] = val;
	vcpu->reg_set[reg] = true;
	return 0;
}

int
vm_set_desc(
    struct vcpu *vcpu, int reg, uint64_t base, uint32_t limit, uint32_t access)
{
	vcpu->desc[reg] = (struct seg_desc){ base, limit, access };
	return 0;
}
