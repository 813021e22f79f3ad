/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * irq.c - interrupt lines as wired-OR, messages, and libvmmapi's view of both.
 *
 * The controllers hear only about changes of a line's level.  They are called
 * with the irq lock held, because two devices that change one line at the same
 * time must be heard in the order in which the line changed; therefore a
 * controller must not set lines from set_gsi() (docs/locking.md).
 */
#include "vm_priv.h"

#include <assert.h>
#include <errno.h>

#include <util/log.h>
#include <vmm/topology.h>

#define IOAPIC_NPINS	24
#define APIC_VECTOR_MIN 16 /* SDM 3A 10.5.2: 0-15 are illegal */

static void
gsi_hold_locked(struct irq_state *irq, unsigned int gsi)
{
	if (irq->count[gsi]++ == 0 && irq->ops != NULL)
		irq->ops->set_gsi(irq->chip, gsi, true);
}

static void
gsi_drop_locked(struct irq_state *irq, unsigned int gsi)
{
	if (--irq->count[gsi] == 0 && irq->ops != NULL)
		irq->ops->set_gsi(irq->chip, gsi, false);
}

void
irq_line_init(struct irq_line *line, struct vmctx *ctx, unsigned int gsi)
{
	assert(gsi < IRQ_NGSI);
	line->ctx = ctx;
	line->gsi = gsi;
	line->level = false;
}

void
irq_line_set(struct irq_line *line, bool level)
{
	struct irq_state *irq = &line->ctx->irq;

	if (line->level == level)
		return;
	line->level = level;
	lock_acquire(&irq->lock);
	if (level)
		gsi_hold_locked(irq, line->gsi);
	else
		gsi_drop_locked(irq, line->gsi);
	lock_release(&irq->lock);
}

void
irq_line_pulse(struct irq_line *line)
{
	irq_line_set(line, true);
	irq_line_set(line, false);
}

static int
msi_send(struct vmctx *ctx, uint64_t addr, uint32_t data)
{
	struct irq_state *irq = &ctx->irq;
	const struct irqchip_ops *ops =
	    __atomic_load_n(&irq->ops, __ATOMIC_ACQUIRE);

	return ops == NULL ? -ENXIO : ops->msi(irq->chip, addr, data);
}

void
irq_msi(struct vmctx *ctx, uint64_t addr, uint32_t data)
{
	if (msi_send(ctx, addr, data) == -EINVAL)
		guest_error("msi", "0x%llx is no message address",
		    (unsigned long long)addr);
}

void
irq_set_chip(struct vmctx *ctx, const struct irqchip_ops *ops, void *chip)
{
	struct irq_state *irq = &ctx->irq;

	lock_acquire(&irq->lock);
	irq->chip = chip;
	/* Pairs with the acquiring load in msi_send(): chip is set first. */
	__atomic_store_n(&irq->ops, ops, __ATOMIC_RELEASE);
	for (unsigned int gsi = 0; gsi < IRQ_NGSI && ops != NULL; gsi++)
		if (irq->count[gsi] > 0)
			ops->set_gsi(chip, gsi, true);
	lock_release(&irq->lock);
}

int
irq_engine_chip(struct vmctx *ctx, bool x2apic)
{
	if (ctx->engine->irqchip_create == NULL)
		return -ENOTSUP;
	return ctx->engine->irqchip_create(ctx, x2apic);
}

int
irq_engine_pit(struct vmctx *ctx)
{
	if (ctx->engine->pit_create == NULL)
		return -ENOTSUP;
	return ctx->engine->pit_create(ctx);
}

/* --- the controllers' side: one processor -------------------------------- */

void
vcpu_set_intr(struct vcpu *vcpu, const struct vcpu_intr_ops *ops, void *apic)
{
	vcpu->intr = ops;
	vcpu->intr_apic = apic;
}

const struct vcpu_intr_ops *
vcpu_intr(struct vcpu *vcpu, void **ret_apic)
{
	*ret_apic = vcpu->intr_apic;
	return vcpu->intr;
}

void
vcpu_notify_intr(struct vcpu *vcpu)
{
	vcpu_post(vcpu, VCPU_EV_INTR);
}

void
vcpu_nmi(struct vcpu *vcpu)
{
	vcpu_post(vcpu, VCPU_EV_NMI);
}

/* --- vmmapi -------------------------------------------------------------- */

int
vm_inject_nmi(struct vcpu *vcpu)
{
	vcpu_nmi(vcpu);
	return 0;
}

int
vm_apicid2vcpu(struct vmctx *ctx, int apicid)
{
	int id = apicid < 0
		     ? -1
		     : vm_topology_vcpu_of(&ctx->topology, (uint32_t)apicid);

	return id < 0 ? vm_api_result(-EINVAL) : id;
}

int
vm_lapic_msi(struct vmctx *ctx, uint64_t addr, uint64_t msg)
{
	int err = vm_platform_ready(ctx);

	if (err == 0)
		err = msi_send(ctx, addr, (uint32_t)msg);
	return vm_api_result(err);
}

/* The controllers, once they are there; NULL with *ret_err. */
static const struct irqchip_ops *
irqchip_ready(struct vmctx *ctx, int *ret_err)
{
	*ret_err = vm_platform_ready(ctx);
	if (*ret_err == 0 && ctx->irq.ops == NULL)
		*ret_err = -ENXIO;
	return *ret_err == 0 ? ctx->irq.ops : NULL;
}

static int
local_irq(struct vmctx *ctx, int vcpu, enum vm_lvt lvt)
{
	int err;
	const struct irqchip_ops *ops = irqchip_ready(ctx, &err);

	if (ops == NULL)
		return err;
	if (ops->local_irq == NULL)
		return -ENOTSUP;
	return ops->local_irq(ctx->irq.chip, vcpu, lvt);
}

int
vm_lapic_local_irq(struct vcpu *vcpu, enum vm_lvt lvt)
{
	return vm_api_result(local_irq(vcpu->ctx, vcpu->id, lvt));
}

int
vm_lapic_local_irq_all(struct vmctx *ctx, enum vm_lvt lvt)
{
	int err = 0;

	for (unsigned int i = 0; i < vm_ncpus(ctx) && err == 0; i++)
		err = local_irq(ctx, (int)i, lvt);
	return vm_api_result(err);
}

int
vm_lapic_irq(struct vcpu *vcpu, int vector)
{
	uint64_t dest = (uint64_t)vcpu_apic_id(vcpu) << IRQ_MSI_ADDR_DEST_SHIFT;

	if (vector < APIC_VECTOR_MIN || vector > 0xff)
		return vm_api_result(-EINVAL);
	/* Delivery mode 0 (fixed) and trigger 0 (edge) leave the vector. */
	return vm_lapic_msi(vcpu->ctx, IRQ_MSI_ADDR | dest, (uint64_t)vector);
}

/* A program's own hold on a line; it cannot drop what a device holds. */
static void
gsi_api_set(struct vmctx *ctx, unsigned int gsi, bool level)
{
	struct irq_state *irq = &ctx->irq;

	lock_acquire(&irq->lock);
	if (level) {
		irq->api[gsi]++;
		gsi_hold_locked(irq, gsi);
	} else if (irq->api[gsi] > 0) {
		irq->api[gsi]--;
		gsi_drop_locked(irq, gsi);
	}
	lock_release(&irq->lock);
}

int
irq_pin_to_gsi(int pin)
{
	if (pin <= 0 || pin >= IOAPIC_NPINS)
		return -1;
	return pin == 2 ? 0 : pin;
}

static int
ioapic_set(struct vmctx *ctx, int pin, bool level)
{
	int gsi = irq_pin_to_gsi(pin);

	if (gsi < 0)
		return vm_api_result(-EINVAL);
	gsi_api_set(ctx, (unsigned int)gsi, level);
	return 0;
}

int
vm_ioapic_assert_irq(struct vmctx *ctx, int pin)
{
	return ioapic_set(ctx, pin, true);
}

int
vm_ioapic_deassert_irq(struct vmctx *ctx, int pin)
{
	return ioapic_set(ctx, pin, false);
}

int
vm_ioapic_pulse_irq(struct vmctx *ctx, int pin)
{
	if (ioapic_set(ctx, pin, true) != 0)
		return -1;
	return ioapic_set(ctx, pin, false);
}

int
vm_ioapic_pincount(struct vmctx *ctx, int *ret_pincount)
{
	*ret_pincount = IOAPIC_NPINS;
	return 0;
}

/*
 * An ISA line reaches both controllers, so naming the same line twice (or not
 * naming a pin) means that one line.
 */
static int
isa_set(struct vmctx *ctx, int atpic_irq, int ioapic_irq, bool level)
{
	int gsi = ioapic_irq == -1 ? atpic_irq : irq_pin_to_gsi(ioapic_irq);

	if (atpic_irq < 0 || atpic_irq >= (int)IRQ_NISA)
		return vm_api_result(-EINVAL);
	/* FreeBSD's callers give ISA IRQ 0 as pin 0 or as pin 2. */
	if (ioapic_irq == atpic_irq)
		gsi = atpic_irq;
	if (gsi < 0)
		return vm_api_result(-EINVAL);
	gsi_api_set(ctx, (unsigned int)atpic_irq, level);
	if (gsi != atpic_irq)
		gsi_api_set(ctx, (unsigned int)gsi, level);
	return 0;
}

int
vm_isa_assert_irq(struct vmctx *ctx, int atpic_irq, int ioapic_irq)
{
	return isa_set(ctx, atpic_irq, ioapic_irq, true);
}

int
vm_isa_deassert_irq(struct vmctx *ctx, int atpic_irq, int ioapic_irq)
{
	return isa_set(ctx, atpic_irq, ioapic_irq, false);
}

int
vm_isa_pulse_irq(struct vmctx *ctx, int atpic_irq, int ioapic_irq)
{
	if (isa_set(ctx, atpic_irq, ioapic_irq, true) != 0)
		return -1;
	return isa_set(ctx, atpic_irq, ioapic_irq, false);
}

int
vm_isa_set_irq_trigger(
    struct vmctx *ctx, int atpic_irq, enum vm_intr_trigger trigger)
{
	int err;
	const struct irqchip_ops *ops = irqchip_ready(ctx, &err);

	if (atpic_irq < 0 || atpic_irq >= (int)IRQ_NISA ||
	    (trigger != EDGE_TRIGGER && trigger != LEVEL_TRIGGER))
		err = -EINVAL;
	if (err == 0)
		err = ops->set_trigger == NULL ? -ENOTSUP
					       : ops->set_trigger(ctx->irq.chip,
						     (unsigned int)atpic_irq,
						     trigger == LEVEL_TRIGGER);
	return vm_api_result(err);
}
