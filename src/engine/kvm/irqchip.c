/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * irqchip.c - the kernel's interrupt controllers and 8254 as the machine's.
 *
 * Messages go by KVM_SIGNAL_MSI.  For a sender inside of this program, as all
 * our devices are, an irqfd would be no gain: a write to one takes the kernel a
 * tenth more instructions than the ioctl (1244 and 1142, Linux 6.1), and a
 * route for each message besides.  For others there is irqfd.c.  Level lines
 * fall when the device says so, and every device here is told by an access that
 * exits anyway.  Lines change with the core's irq lock held, from any thread.
 */
#include "kvm_priv.h"

#include <errno.h>
#include <stdlib.h>

#include <util/log.h>
#include <vmm/chip.h>
#include <vmm/irq.h>
#include <vmm/mem.h>
#include <vmm/snap.h>
#include <vmm/topology.h>
#include <vmm/vm.h>

/* An entry of a local vector table, SDM 3A figure 10-8. */
#define LVT_VECTOR     0xffu
#define LVT_VECTOR_MIN 16u
#define LVT_MODE       0x700u
#define LVT_FIXED      0x000u
#define LVT_NMI	       0x400u
#define LVT_INIT       0x500u
#define LVT_MASKED     0x10000u
#define APIC_ENABLED   0x800u /* IA32_APIC_BASE */
/* Above RAM, below the local APIC: three pages and one that Intel's
 * processors need for real mode. */
#define TSS_ADDR      0xfffbd000ul
#define IDENTITY_ADDR 0xfffbc000ull

/* What a reset goes back to, and what a snapshot holds. */
struct chip_state {
	struct kvm_irqchip chip[3]; /* 8259 master, slave, I/O APIC */
	struct kvm_pit_state2 pit;
};

struct kvm_chip {
	struct kvm_machine *vm;
	struct lock lock;
	bool has_pit;
	struct chip_state power_on;
	struct kvm_clock_data clock;
	uint64_t paused_tsc; /* the host's */
};

int
kvm_irqchip_make(struct kvm_machine *vm)
{
	uint64_t identity = IDENTITY_ADDR;
	int err = kvm_ioctl_val(vm->fd, KVM_SET_TSS_ADDR, TSS_ADDR);

	/* Only Intel's need it, and not all kernels have it. */
	(void)kvm_try(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	if (err >= 0)
		err = kvm_ioctl(vm->fd, KVM_CREATE_IRQCHIP, NULL);
	if (err >= 0)
		err = kvm_set_routes(vm);
	return MIN(err, 0);
}

/* An interrupt or a clock is lost, which no guest survives: status 4.  During
 * a reset the next vm_run() says so. */
static void
must(struct kvm_chip *c, int err)
{
	if (err >= 0)
		return;
	__atomic_store_n(&c->vm->broken, err, __ATOMIC_RELAXED);
	vm_abort(c->vm->ctx);
}

static void
chip_set_gsi(void *arg, unsigned int gsi, bool level)
{
	struct kvm_chip *c = arg;
	struct kvm_irq_level irq = { .irq = gsi, .level = level };

	must(c, kvm_ioctl(c->vm->fd, KVM_IRQ_LINE, &irq));
}

static int
chip_msi(void *arg, uint64_t addr, uint32_t data)
{
	struct kvm_chip *c = arg;
	struct kvm_msi msi = {
		.address_lo = (uint32_t)addr,
		.address_hi = (uint32_t)(addr >> 32),
		.data = data,
	};
	int err;

	if (!irq_is_msi_addr(addr))
		return -EINVAL;
	/* Positive: delivered; 0: the guest masks it; EPERM (the kernel's bare
	 * -1): it names no processor; EINVAL: nor any that could be. */
	err = kvm_try(c->vm->fd, KVM_SIGNAL_MSI, &msi);
	if (err >= 0 || err == -EPERM || err == -EINVAL)
		return 0;
	log_error("kvm: KVM_SIGNAL_MSI: %s", strerror(-err));
	must(c, err);
	return 0;
}

/* A bit of the ELCR, as the guest would write it; the kernel has the port. */
static int
chip_set_trigger(void *arg, unsigned int irq, bool level)
{
	struct kvm_chip *c = arg;
	struct kvm_irqchip chip = {
		.chip_id = irq < PIC_PINS ? KVM_IRQCHIP_PIC_MASTER
					  : KVM_IRQCHIP_PIC_SLAVE,
	};
	struct kvm_pic_state *pic = &chip.chip.pic;
	uint8_t bit = (uint8_t)BIT(irq % PIC_PINS);
	int err;

	lock_acquire(&c->lock);
	err = kvm_ioctl(c->vm->fd, KVM_GET_IRQCHIP, &chip);
	if (err >= 0 && level && (pic->elcr_mask & bit) == 0)
		err = -EINVAL;
	pic->elcr = level ? pic->elcr | bit : pic->elcr & (uint8_t)~bit;
	if (err >= 0)
		err = kvm_ioctl(c->vm->fd, KVM_SET_IRQCHIP, &chip);
	lock_release(&c->lock);
	return MIN(err, 0);
}

static int
chip_irqfd_set(void *arg, const struct vm_irqfd *at, bool on)
{
	struct kvm_chip *c = arg;

	return kvm_irqfd_set(c->vm, at, on);
}

/* --- a processor's local interrupts ----------------------------------------
 */

/* By enum vm_lvt: where the entry is in the local APIC's page (SDM 3A 10.4). */
static const uint16_t lvt_table[] = {
	[VM_LVT_LINT0] = 0x350,
	[VM_LVT_LINT1] = 0x360,
	[VM_LVT_TIMER] = 0x320,
	[VM_LVT_ERROR] = 0x370,
	[VM_LVT_PMC] = 0x340,
	[VM_LVT_THERMAL] = 0x330,
	[VM_LVT_CMCI] = 0x2f0,
};

/* The kernel shows a local APIC to its own vCPU's thread only. */
static int
chip_local_irq(void *arg, int vcpu_id, enum vm_lvt source)
{
	struct kvm_chip *c = arg;
	struct vcpu *vcpu;

	if ((unsigned int)source >= ARRAY_LEN(lvt_table) || vcpu_id < 0 ||
	    (unsigned int)vcpu_id >= vm_ncpus(c->vm->ctx))
		return -EINVAL;
	vcpu = vm_vcpu_get(c->vm->ctx, (unsigned int)vcpu_id);
	__atomic_fetch_or(
	    &kvm_cpu_of(vcpu)->local_irqs, BIT(source), __ATOMIC_SEQ_CST);
	vcpu_post(vcpu, VCPU_EV_ENGINE);
	return 0;
}

/*
 * What an unmasked entry says, sent to the processor as a message: vector and
 * delivery mode have the same places in both (SDM 3A 10.5.1, 10.11.2).  A level
 * is taken for an edge, and the counters' entry stays unmasked: the kernel lets
 * nobody change a local APIC's page without taking back what came meanwhile.
 * ExtINT asks the 8259s, which have wires for that.
 */
static void
fire(struct kvm_cpu *k, uint32_t lvt)
{
	uint64_t dest = (uint64_t)vcpu_apic_id(k->vcpu)
			<< IRQ_MSI_ADDR_DEST_SHIFT;
	uint32_t mode = lvt & LVT_MODE;
	bool known = mode == LVT_FIXED ? (lvt & LVT_VECTOR) >= LVT_VECTOR_MIN
				       : mode == LVT_NMI || mode == LVT_INIT;

	if ((lvt & LVT_MASKED) == 0 && known)
		(void)chip_msi(k->vm->chip, IRQ_MSI_ADDR | dest,
		    lvt & (LVT_MODE | LVT_VECTOR));
}

int
kvm_local_irqs(struct kvm_cpu *k)
{
	uint32_t irqs =
	    __atomic_exchange_n(&k->local_irqs, 0, __ATOMIC_SEQ_CST);
	const struct kvm_sregs *s = irqs != 0 ? kvm_sregs(k) : NULL;
	struct kvm_lapic_state lapic;
	int err;

	if (irqs == 0)
		return 0;
	if (s == NULL)
		return -EIO;
	/* Off, it leaves its pins to the processor (SDM 3A 10.4.3). */
	if ((s->apic_base & APIC_ENABLED) == 0)
		return (irqs & BIT(VM_LVT_LINT1)) != 0
			   ? kvm_ioctl(k->fd, KVM_NMI, NULL)
			   : 0;
	err = kvm_ioctl(k->fd, KVM_GET_LAPIC, &lapic);
	for (unsigned int i = 0; i < ARRAY_LEN(lvt_table) && err >= 0; i++) {
		if ((irqs & BIT(i)) != 0)
			fire(k, get_le32((uint8_t *)lapic.regs + lvt_table[i]));
	}
	return MIN(err, 0);
}

static const struct irqchip_ops kvm_irqchip_ops = {
	.set_gsi = chip_set_gsi,
	.msi = chip_msi,
	.local_irq = chip_local_irq,
	.set_trigger = chip_set_trigger,
	.irqfd_set = chip_irqfd_set,
};

/* --- as a chip ------------------------------------------------------------ */

static int
state_get(struct kvm_chip *c, struct chip_state *s)
{
	int err = 0;

	for (uint32_t i = 0; i < ARRAY_LEN(s->chip) && err >= 0; i++) {
		s->chip[i].chip_id = i;
		err = kvm_ioctl(c->vm->fd, KVM_GET_IRQCHIP, &s->chip[i]);
	}
	if (err >= 0 && c->has_pit)
		err = kvm_ioctl(c->vm->fd, KVM_GET_PIT2, &s->pit);
	return MIN(err, 0);
}

static int
state_set(struct kvm_chip *c, struct chip_state *s)
{
	int err = 0;

	for (uint32_t i = 0; i < ARRAY_LEN(s->chip) && err >= 0; i++)
		err = kvm_ioctl(c->vm->fd, KVM_SET_IRQCHIP, &s->chip[i]);
	if (err >= 0 && c->has_pit)
		err = kvm_ioctl(c->vm->fd, KVM_SET_PIT2, &s->pit);
	return MIN(err, 0);
}

static void
chip_reset(void *arg)
{
	struct kvm_chip *c = arg;

	must(c, state_set(c, &c->power_on));
}

/*
 * Sets a vCPU's time-stamp counter back; nothing, where the kernel does not let
 * us (before Linux 5.16) or fails: then the guest sees that time passed.
 */
static void
tsc_back(struct kvm_cpu *k, uint64_t ticks)
{
	uint64_t offset;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};

	if (kvm_ioctl(k->fd, KVM_GET_DEVICE_ATTR, &attr) < 0)
		return;
	offset -= ticks;
	(void)kvm_ioctl(k->fd, KVM_SET_DEVICE_ATTR, &attr);
}

/*
 * kvmclock and the time-stamp counters stand while the machine does.  A local
 * APIC's timer does not: one that is due meanwhile comes early.
 */
static void
chip_pause(void *arg)
{
	struct kvm_chip *c = arg;

	c->paused_tsc = __builtin_ia32_rdtsc();
	must(c, kvm_ioctl(c->vm->fd, KVM_GET_CLOCK, &c->clock));
}

static void
chip_resume(void *arg)
{
	struct kvm_chip *c = arg;
	uint64_t ticks = __builtin_ia32_rdtsc() - c->paused_tsc;

	for (unsigned int i = 0;
	     i < vm_ncpus(c->vm->ctx) && c->vm->has.vcpu_attr; i++) {
		struct vcpu *vcpu = vm_vcpu_get(c->vm->ctx, i);

		if (vcpu != NULL)
			tsc_back(kvm_cpu_of(vcpu), ticks);
	}
	c->clock.flags = 0;
	must(c, kvm_ioctl(c->vm->fd, KVM_SET_CLOCK, &c->clock));
}

static void
chip_snapshot(void *arg, struct snap *s)
{
	struct kvm_chip *c = arg;
	struct chip_state state = { 0 };

	if (state_get(c, &state) != 0)
		snap_fail(s);
	snap_var(s, state);
	if (snap_loading(s) && snap_error(s) == 0 && state_set(c, &state) != 0)
		snap_fail(s);
}

static void
chip_fini(void *arg)
{
	struct kvm_chip *c = arg;

	c->vm->chip = NULL;
	lock_fini(&c->lock);
	free(c);
}

static const struct chip_ops kvm_chip_ops = {
	.name = "kvm-irqchip",
	.reset = chip_reset,
	.pause = chip_pause,
	.resume = chip_resume,
	.snapshot = chip_snapshot,
	.fini = chip_fini,
};

int
kvm_irqchip_create(struct vmctx *ctx, bool x2apic)
{
	struct kvm_machine *vm = kvm_machine_of(ctx);
	struct kvm_chip *c = xcalloc(1, sizeof(*c));
	int err;

	c->vm = vm;
	lock_init(&c->lock);
	err = state_get(c, &c->power_on);
	if (err == 0)
		err = kvm_watch_start(vm);
	if (err != 0) {
		lock_fini(&c->lock);
		free(c);
		return err;
	}
	vm->chip = c;
	vm->x2apic = x2apic;
	irq_set_chip(ctx, &kvm_irqchip_ops, c);
	chip_add(ctx, &kvm_chip_ops, c, &c->lock);
	for (unsigned int i = 0; i < vm_ncpus(ctx) && x2apic && err == 0; i++)
		err = kvm_vcpu_reset(vm_vcpu_get(ctx, i));
	return err;
}

int
kvm_pit_create(struct vmctx *ctx)
{
	struct kvm_machine *vm = kvm_machine_of(ctx);
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	int err = kvm_ioctl(vm->fd, KVM_CREATE_PIT2, &pit);

	if (err < 0)
		return err;
	vm->chip->has_pit = true;
	return MIN(kvm_ioctl(vm->fd, KVM_GET_PIT2, &vm->chip->power_on.pit), 0);
}
