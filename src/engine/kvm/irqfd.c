/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * irqfd.c - the kernel's table of interrupt routes, and eventfds that raise
 * what is in it (the API, KVM_SET_GSI_ROUTING and KVM_IRQFD).
 *
 * The wires are those of chip/irqchip.c: gsi 0 is the 8259's IRQ 0 and I/O APIC
 * pin 2, 1 and 3 to 15 reach both, 16 to 23 the I/O APIC.  A message that an
 * eventfd raises has a gsi of its own above them.  The table is written as a
 * whole, when a message comes; one that went stays in the kernel until then,
 * where nothing raises it.
 */
#include "kvm_priv.h"

#include <errno.h>
#include <stdlib.h>

#include <vmm/irq.h>

#define WIRES_MAX (2u * IRQ_NGSI)
/* With the wires fewer than any kernel's KVM_MAX_IRQ_ROUTES, once 1024. */
#define MESSAGES 512u

/* Number n has gsi IRQ_NGSI + n.  The core calls one at a time. */
struct kvm_message {
	bool used;
	int fd;
	uint64_t addr;
	uint32_t data;
};

/* --- routes --------------------------------------------------------------- */

static struct kvm_irq_routing_entry
wire(uint32_t gsi, uint32_t chip, uint32_t pin)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

static unsigned int
wires(struct kvm_irq_routing_entry *e)
{
	unsigned int n = 0;

	for (uint32_t gsi = 0; gsi < IRQ_NGSI; gsi++) {
		if (gsi == IRQ_GSI_CASCADE)
			continue;
		if (gsi < IRQ_NISA)
			e[n++] = wire(gsi,
			    gsi < PIC_PINS ? KVM_IRQCHIP_PIC_MASTER
					   : KVM_IRQCHIP_PIC_SLAVE,
			    gsi % PIC_PINS);
		e[n++] = wire(gsi, KVM_IRQCHIP_IOAPIC,
		    gsi == IRQ_GSI_TIMER ? IRQ_PIN_TIMER : gsi);
	}
	return n;
}

static unsigned int
messages(const struct kvm_message *m, struct kvm_irq_routing_entry *e)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < MESSAGES && m != NULL; i++) {
		if (!m[i].used)
			continue;
		e[n++] = (struct kvm_irq_routing_entry){
			.gsi = IRQ_NGSI + i,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = {
				.address_lo = (uint32_t)m[i].addr,
				.address_hi = (uint32_t)(m[i].addr >> 32),
				.data = m[i].data,
			},
		};
	}
	return n;
}

int
kvm_set_routes(struct kvm_machine *vm)
{
	size_t max = WIRES_MAX + (vm->messages != NULL ? MESSAGES : 0);
	struct kvm_irq_routing *r =
	    calloc(1, sizeof(*r) + max * sizeof(struct kvm_irq_routing_entry));
	int err;

	if (r == NULL)
		return -ENOMEM;
	r->nr = wires(r->entries);
	r->nr += messages(vm->messages, r->entries + r->nr);
	err = kvm_ioctl(vm->fd, KVM_SET_GSI_ROUTING, r);
	free(r);
	return MIN(err, 0);
}

/* --- eventfds ------------------------------------------------------------- */

static int
raise_by(
    struct kvm_machine *vm, const struct vm_irqfd *at, uint32_t gsi, bool on)
{
	bool level = at->resample_fd >= 0;
	struct kvm_irqfd arg = {
		.fd = (uint32_t)at->fd,
		.gsi = gsi,
		.flags = (level ? KVM_IRQFD_FLAG_RESAMPLE : 0) |
			 (on ? 0 : KVM_IRQFD_FLAG_DEASSIGN),
		.resamplefd = level ? (uint32_t)at->resample_fd : 0,
	};

	return MIN(kvm_ioctl(vm->fd, KVM_IRQFD, &arg), 0);
}

static int
message_on(struct kvm_machine *vm, const struct vm_irqfd *at)
{
	uint32_t i = 0;
	int err;

	if (vm->messages == NULL)
		vm->messages = calloc(MESSAGES, sizeof(vm->messages[0]));
	if (vm->messages == NULL)
		return -ENOMEM;
	while (i < MESSAGES && vm->messages[i].used)
		i++;
	if (i == MESSAGES)
		return -ENOSPC;
	vm->messages[i] = (struct kvm_message){
		.used = true,
		.fd = at->fd,
		.addr = at->addr,
		.data = at->data,
	};
	err = kvm_set_routes(vm);
	if (err == 0)
		err = raise_by(vm, at, IRQ_NGSI + i, true);
	vm->messages[i].used = err == 0;
	return err;
}

static int
message_off(struct kvm_machine *vm, const struct vm_irqfd *at)
{
	for (uint32_t i = 0; i < MESSAGES; i++) {
		struct kvm_message *m = &vm->messages[i];

		if (!m->used || m->fd != at->fd)
			continue;
		m->used = false;
		return raise_by(vm, at, IRQ_NGSI + i, false);
	}
	return -ENOENT;
}

int
kvm_irqfd_set(struct kvm_machine *vm, const struct vm_irqfd *at, bool on)
{
	if (!vm->has.irqfd || (at->resample_fd >= 0 && !vm->has.irqfd_resample))
		return -ENOTSUP;
	if (!at->msi)
		return raise_by(vm, at, at->gsi, on);
	return on ? message_on(vm, at) : message_off(vm, at);
}
