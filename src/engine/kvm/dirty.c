/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dirty.c - guest RAM as KVM's memory slots, and which of their pages were
 * stored to (the API, KVM_GET_DIRTY_LOG).
 *
 * Slot 0 is RAM from address 0, slot 1 that from 4 GiB.  KVM's own stores
 * (kvmclock's page) are in the log as the guest's are.
 */
#include "kvm_priv.h"

#include <errno.h>
#include <stdlib.h>

#include <vmm/mem.h>

#define WORD_BITS 64u

struct slot {
	uint64_t gpa, off, len; /* off: in the file that is RAM */
};

static void
slots(const struct vm_ram *ram, struct slot ret[2])
{
	ret[0] = (struct slot){ .len = ram->lowmem };
	ret[1] = (struct slot){
		.gpa = GPA_HIGHMEM_BASE, .off = ram->lowmem, .len = ram->highmem
	};
}

int
kvm_set_slots(struct kvm_machine *vm, uint32_t flags)
{
	const struct vm_ram *ram = vm_ram(vm->ctx);
	struct slot slot[2];
	int err = 0;

	slots(ram, slot);
	for (uint32_t i = 0; i < ARRAY_LEN(slot) && err >= 0; i++) {
		struct kvm_userspace_memory_region r = {
			.slot = i,
			.flags = flags,
			.guest_phys_addr = slot[i].gpa,
			.memory_size = slot[i].len,
			.userspace_addr = (uintptr_t)(ram->base + slot[i].off),
		};

		if (slot[i].len > 0)
			err = kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r);
	}
	return MIN(err, 0);
}

/* The kernel writes whole words for the larger slot. */
static uint64_t *
log_alloc(const struct vm_ram *ram)
{
	uint64_t pages = MAX(ram->lowmem, ram->highmem) >> VM_DIRTY_SHIFT;

	return calloc(pages / WORD_BITS + 1, sizeof(uint64_t));
}

int
kvm_dirty_log(struct vmctx *ctx, bool on)
{
	struct kvm_machine *vm = kvm_machine_of(ctx);

	if (vm->dirty == NULL)
		vm->dirty = log_alloc(vm_ram(ctx));
	if (vm->dirty == NULL)
		return -ENOMEM;
	return kvm_set_slots(vm, on ? KVM_MEM_LOG_DIRTY_PAGES : 0);
}

/* Adds `pages` bits from `src`, the first of which is bit `at` of `dst`. */
static void
add_bits(uint64_t *dst, uint64_t at, const uint64_t *src, uint64_t pages)
{
	unsigned int shift = at % WORD_BITS;

	dst += at / WORD_BITS;
	for (uint64_t i = 0; i * WORD_BITS < pages; i++) {
		dst[i] |= src[i] << shift;
		/* Bits beyond `pages` are 0: there is no word for them. */
		if (shift != 0 && src[i] >> (WORD_BITS - shift) != 0)
			dst[i + 1] |= src[i] >> (WORD_BITS - shift);
	}
}

int
kvm_dirty_fetch(struct vmctx *ctx, uint64_t *bits)
{
	struct kvm_machine *vm = kvm_machine_of(ctx);
	struct slot slot[2];
	int err = 0;

	slots(vm_ram(ctx), slot);
	for (uint32_t i = 0; i < ARRAY_LEN(slot) && err >= 0; i++) {
		struct kvm_dirty_log log = {
			.slot = i,
			.dirty_bitmap = vm->dirty,
		};

		if (slot[i].len == 0)
			continue;
		err = kvm_ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
		if (err >= 0)
			add_bits(bits, slot[i].off >> VM_DIRTY_SHIFT, vm->dirty,
			    slot[i].len >> VM_DIRTY_SHIFT);
	}
	return MIN(err, 0);
}
