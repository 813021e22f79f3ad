/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fast.c - what spares an exit to this program: doorbells that end in an
 * eventfd, and writes that the kernel collects (the API, KVM_IOEVENTFD and
 * KVM_REGISTER_COALESCED_MMIO).
 *
 * Collected writes are in one ring a machine.  Every exit of every vCPU looks
 * there before it looks at its own access, so that no processor sees a device
 * that has not heard of what was written before.  late_lock keeps them in
 * order; device locks are taken inside it.
 */
#include "kvm_priv.h"

#include <errno.h>

#include <util/log.h>
#include <vmm/bus.h>

/* --- doorbells ------------------------------------------------------------ */

int
kvm_ioevent_set(struct vmctx *ctx, const struct vm_ioevent *ev, bool on)
{
	struct kvm_machine *vm = kvm_machine_of(ctx);
	struct kvm_ioeventfd arg = {
		.datamatch = ev->data,
		.addr = ev->addr,
		.len = ev->len,
		.fd = ev->fd,
		.flags = (ev->pio ? KVM_IOEVENTFD_FLAG_PIO : 0) |
			 (ev->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0) |
			 (on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	if (!vm->has.ioeventfd || (ev->len == 0 && !vm->has.any_length))
		return -ENOTSUP;
	return MIN(kvm_ioctl(vm->fd, KVM_IOEVENTFD, &arg), 0);
}

/* --- posted writes -------------------------------------------------------- */

void
kvm_fast_init(struct kvm_machine *vm)
{
	lock_init(&vm->late_lock);
}

void
kvm_fast_fini(struct kvm_machine *vm)
{
	lock_fini(&vm->late_lock);
}

void
kvm_late_map(struct kvm_cpu *k)
{
	struct kvm_machine *vm = k->vm;
	size_t page = 4096, off = (size_t)vm->has.coalesced * page;
	struct kvm_coalesced_mmio_ring *r;

	if (vm->late != NULL || off == 0 || off + page > vm->run_bytes)
		return;
	r = (struct kvm_coalesced_mmio_ring *)(void *)((uint8_t *)k->run + off);
	vm->late_max =
	    (uint32_t)((page - sizeof(*r)) / sizeof(r->coalesced_mmio[0]));
	vm->late = r;
	vm->late_of = k;
}

/* vCPUs go when none runs any more. */
void
kvm_late_unmap(struct kvm_cpu *k)
{
	if (k->vm->late_of != k)
		return;
	k->vm->late = NULL;
	k->vm->late_of = NULL;
}

/*
 * Before there is a vCPU the ring cannot be seen: no guest runs yet either, and
 * the first vCPU maps it.  A zone the kernel refuses is one that exits.
 */
void
kvm_posted_set(
    struct vmctx *ctx, bool pio, uint64_t addr, uint64_t len, bool on)
{
	struct kvm_machine *vm = kvm_machine_of(ctx);
	struct kvm_coalesced_mmio_zone zone = {
		.addr = addr,
		.size = (uint32_t)len,
		.pio = pio,
	};
	int err;

	if (vm->has.coalesced == 0 || (pio && !vm->has.coalesced_pio) ||
	    len > UINT32_MAX)
		return;
	err = kvm_ioctl(vm->fd,
	    on ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO,
	    &zone);
	if (err < 0 && on)
		log_debug("kvm: writes to %s 0x%llx exit: %s",
		    pio ? "port" : "memory", (unsigned long long)addr,
		    strerror(-err));
}

static void
late_write(struct kvm_cpu *k, const struct kvm_coalesced_mmio *w)
{
	uint64_t val = 0;

	if (w->len > sizeof(w->data))
		return;
	memcpy(&val, w->data, w->len);
	if (w->pio) {
		uint32_t val32 = (uint32_t)val;

		/* It was claimed when it was written. */
		(void)!bus_pio(
		    k->vcpu, false, (uint16_t)w->phys_addr, w->len, &val32);
	} else {
		bus_mmio(k->vcpu, true, w->phys_addr, w->len, &val);
	}
}

void
kvm_late_drain(struct kvm_cpu *k)
{
	struct kvm_coalesced_mmio_ring *r = k->vm->late;
	uint32_t first;

	lock_acquire(&k->vm->late_lock);
	first = r->first;
	while (first < k->vm->late_max &&
	       first != __atomic_load_n(&r->last, __ATOMIC_ACQUIRE)) {
		struct kvm_coalesced_mmio w = r->coalesced_mmio[first];

		first = (first + 1) % k->vm->late_max;
		/* The kernel may use the place again. */
		__atomic_store_n(&r->first, first, __ATOMIC_RELEASE);
		late_write(k, &w);
	}
	lock_release(&k->vm->late_lock);
}
