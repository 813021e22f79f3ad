/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_irqchip.c - the controllers together: which gsi reaches what, virtual
 * wire, messages, creation and its failures; and threads that raise lines,
 * messages and IPIs at two vCPUs while those take and end them.
 */
#include "fake_engine.h"
#include "fake_vmm.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include <chip/chips.h>
#include <util/util.h>

#define NCPUS  2
#define LAPIC  0xfee00000ull
#define IOAPIC 0xfec00000ull

#define LEVEL  0x8000u

struct fixture {
	struct vmctx *ctx;
	struct irqchip *chip;
	struct vcpu *cpu[NCPUS];
	struct irq_line line[IRQ_NGSI];
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->ctx = fake_vm_new(NCPUS);
	assert_int_equal(irqchip_create(f->ctx, false, &f->chip), 0);
	for (unsigned int i = 0; i < NCPUS; i++) {
		f->cpu[i] = vm_vcpu_get(f->ctx, i);
		fake_events(f->cpu[i]);
	}
	for (unsigned int gsi = 0; gsi < IRQ_NGSI; gsi++)
		irq_line_init(&f->line[gsi], f->ctx, gsi);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	fake_vm_free(f->ctx);
	free(f);
	return 0;
}

static uint32_t
lapic_read(struct vcpu *vcpu, unsigned int reg)
{
	return (uint32_t)fake_mmio_read(vcpu, LAPIC + reg * 16, 4);
}

static void
lapic_write(struct vcpu *vcpu, unsigned int reg, uint32_t val)
{
	fake_mmio_write(vcpu, LAPIC + reg * 16, 4, val);
}

static void
lapic_enable(struct fixture *f)
{
	for (unsigned int i = 0; i < NCPUS; i++)
		lapic_write(f->cpu[i], 0x0f, 0x1ff);
}

static void
eoi(struct vcpu *vcpu)
{
	lapic_write(vcpu, 0x0b, 0);
}

static void
rte(struct fixture *f, unsigned int pin, uint8_t dest, uint32_t low)
{
	fake_mmio_write(f->cpu[0], IOAPIC, 4, 0x11 + 2 * pin);
	fake_mmio_write(f->cpu[0], IOAPIC + 0x10, 4, (uint32_t)dest << 24);
	fake_mmio_write(f->cpu[0], IOAPIC, 4, 0x10 + 2 * pin);
	fake_mmio_write(f->cpu[0], IOAPIC + 0x10, 4, low);
}

static void
pic_init(struct vcpu *vcpu)
{
	fake_out8(vcpu, 0x20, 0x11);
	fake_out8(vcpu, 0xa0, 0x11);
	fake_out8(vcpu, 0x21, 0x20);
	fake_out8(vcpu, 0xa1, 0x28);
	fake_out8(vcpu, 0x21, 0x04);
	fake_out8(vcpu, 0xa1, 0x02);
	fake_out8(vcpu, 0x21, 0x01);
	fake_out8(vcpu, 0xa1, 0x01);
}

static void
pic_eoi(struct vcpu *vcpu)
{
	fake_out8(vcpu, 0xa0, 0x20);
	fake_out8(vcpu, 0x20, 0x20);
}

/* --- wires ------------------------------------------------------------ */

static void
gsi_routes(void **state)
{
	struct fixture *f = *state;
	struct vcpu *bsp = f->cpu[0], *ap = f->cpu[1];

	lapic_enable(f);
	lapic_write(bsp, 0x35, 0x700); /* LINT0: ExtINT */
	pic_init(bsp);
	for (unsigned int pin = 1; pin < IRQ_NGSI; pin++)
		rte(f, pin, 1, 0x40 + pin);
	for (unsigned int gsi = 0; gsi < IRQ_NGSI; gsi++) {
		int vector = 0x40 + (int)(gsi == 0 ? 2 : gsi);

		irq_line_pulse(&f->line[gsi]);
		if (gsi == 2) { /* nobody's */
			assert_int_equal(fake_pending(bsp), -1);
			assert_int_equal(fake_pending(ap), -1);
			continue;
		}
		assert_int_equal(fake_accept(ap), vector);
		eoi(ap);
		if (gsi < 16) {
			assert_int_equal(fake_accept(bsp), 0x20 + gsi);
			pic_eoi(bsp);
		}
		assert_int_equal(fake_accept(ap), -1);
		assert_int_equal(fake_accept(bsp), -1);
	}
	assert_int_equal(fake_stat(bsp, VMSTAT_EXTINTS_DELIVERED), 15);
}

/* Through LINT0 as programmed, by the APIC's state. */
static void
virtual_wire(void **state)
{
	struct fixture *f = *state;
	struct vcpu *bsp = f->cpu[0], *ap = f->cpu[1];

	/* Out of reset, as firmware leaves it: the boot processor only. */
	pic_init(bsp);
	fake_events(bsp);
	irq_line_pulse(&f->line[4]);
	assert_int_equal(fake_events(bsp), VCPU_EV_INTR);
	assert_int_equal(fake_events(ap), 0);
	assert_int_equal(fake_pending(ap), -1);
	assert_int_equal(fake_pending(bsp), 0x24);
	assert_int_equal(fake_pending(bsp), 0x24);
	assert_int_equal(fake_accept(bsp), 0x24);
	assert_int_equal(fake_accept(bsp), -1);
	for (unsigned int r = 0x10; r < 0x18; r++)
		assert_int_equal(lapic_read(bsp, r), 0); /* not in ISR */
	pic_eoi(bsp);
	/* Enabled with LINT0 masked: no. */
	lapic_write(bsp, 0x0f, 0x1ff);
	irq_line_pulse(&f->line[4]);
	assert_int_equal(fake_pending(bsp), -1);
	/* Opened: what waits comes through. */
	fake_events(bsp);
	lapic_write(bsp, 0x35, 0x700);
	assert_int_equal(fake_events(bsp), VCPU_EV_INTR);
	assert_int_equal(fake_accept(bsp), 0x24);
	pic_eoi(bsp);
	/* Neither TPR nor ISR hold an ExtINT back. */
	lapic_write(bsp, 0x08, 0xf0);
	irq_line_pulse(&f->line[4]);
	assert_int_equal(fake_accept(bsp), 0x24);
	pic_eoi(bsp);
	lapic_write(bsp, 0x08, 0);
	/* Hardware-disabled: LINT0 is the INTR pin. */
	lapic_write(bsp, 0x35, 0x10700);
	fake_wrmsr(bsp, 0x1b, 0xfee00000);
	irq_line_pulse(&f->line[4]);
	assert_int_equal(fake_accept(bsp), 0x24);
	pic_eoi(bsp);
	fake_wrmsr(ap, 0x1b, 0xfee00000);
	irq_line_pulse(&f->line[4]);
	assert_int_equal(fake_pending(ap), -1);
	assert_int_equal(fake_accept(bsp), 0x24);
}

/* Both sources at once: the 8259 first, then the APIC's. */
static void
extint_and_apic(void **state)
{
	struct fixture *f = *state;
	struct vcpu *bsp = f->cpu[0];

	lapic_enable(f);
	lapic_write(bsp, 0x35, 0x700);
	pic_init(bsp);
	irq_msi(f->ctx, LAPIC, 0x91);
	irq_line_pulse(&f->line[1]);
	fake_events(bsp);
	assert_int_equal(fake_accept(bsp), 0x21);
	assert_int_equal(fake_events(bsp), VCPU_EV_INTR); /* there is more */
	assert_int_equal(fake_accept(bsp), 0x91);
	assert_int_equal(fake_accept(bsp), -1);
}

/* LINT0 as an ordinary or an NMI entry: the 8259's INT is just a pin then. */
static void
lint0_other_modes(void **state)
{
	struct fixture *f = *state;
	struct vcpu *ap = f->cpu[1];

	lapic_enable(f);
	pic_init(ap);
	lapic_write(ap, 0x35, 0x400);
	fake_events(ap);
	irq_line_pulse(&f->line[3]); /* Linux's nmi_watchdog=1 */
	assert_int_equal(fake_events(ap), VCPU_EV_NMI);
	fake_out8(ap, 0x20, 0x0c); /* INTA by poll */
	assert_int_equal(fake_in8(ap, 0x20), 0x83);
	pic_eoi(ap);
	lapic_write(ap, 0x35, 0x55);
	irq_line_pulse(&f->line[3]);
	assert_int_equal(fake_accept(ap), 0x55);
	eoi(ap);
	assert_int_equal(fake_pending(ap), -1);
	fake_out8(ap, 0x20, 0x0c);
	assert_int_equal(fake_in8(ap, 0x20), 0x83);
	pic_eoi(ap);
	/* Level-triggered: remote IRR, and again while INT stays high. */
	lapic_write(ap, 0x35, 0x56 | LEVEL);
	irq_line_pulse(&f->line[3]);
	assert_int_equal(lapic_read(ap, 0x35), 0x56 | LEVEL | 0x4000);
	assert_int_equal(fake_accept(ap), 0x56);
	eoi(ap);
	assert_int_equal(fake_accept(ap), 0x56);
	fake_out8(ap, 0x20, 0x0c);
	assert_int_equal(fake_in8(ap, 0x20), 0x83);
	eoi(ap);
	assert_int_equal(fake_pending(ap), -1);
	assert_int_equal(lapic_read(ap, 0x35), 0x56 | LEVEL);
}

/* I/O APIC pin 0 is the 8259's INT: the MP table's ExtINT entry. */
static void
extint_by_ioapic(void **state)
{
	struct fixture *f = *state;
	struct vcpu *ap = f->cpu[1];

	lapic_enable(f);
	pic_init(ap);
	rte(f, 0, 1, 0x700);
	irq_line_pulse(&f->line[6]);
	irq_line_pulse(&f->line[7]);
	assert_int_equal(fake_pending(f->cpu[0]), -1);
	assert_int_equal(fake_accept(ap), 0x26);
	assert_int_equal(fake_pending(ap), -1);
	pic_eoi(ap);
	assert_int_equal(fake_accept(ap), 0x27); /* INT rose again */
	pic_eoi(ap);
	assert_int_equal(fake_accept(ap), -1);
	/* Withdrawn before it is taken: the message is void. */
	irq_line_pulse(&f->line[5]);
	fake_out8(ap, 0x21, 0xff);
	assert_int_equal(fake_accept(ap), -1);
	rte(f, 0, 1, 0x10700);
	fake_out8(ap, 0x21, 0);
	assert_int_equal(fake_pending(ap), -1);
}

/* --- messages --------------------------------------------------------- */

static void
msi_formats(void **state)
{
	struct fixture *f = *state;
	struct vcpu *ap = f->cpu[1];

	lapic_enable(f);
	for (unsigned int i = 0; i < NCPUS; i++)
		lapic_write(f->cpu[i], 0x0d, 0x40000000u << i);
	assert_int_equal(vm_lapic_msi(f->ctx, LAPIC | 1 << 12, 0x80), 0);
	assert_int_equal(fake_accept(ap), 0x80);
	eoi(ap);
	assert_int_equal(vm_lapic_irq(ap, 0x81), 0);
	assert_int_equal(fake_accept(ap), 0x81);
	eoi(ap);
	/* Logical, with and without redirection hint. */
	irq_msi(f->ctx, LAPIC | 0x80 << 12 | 0x4, 0x82);
	assert_int_equal(fake_accept(ap), 0x82);
	eoi(ap);
	lapic_write(f->cpu[0], 0x08, 0x10);
	irq_msi(f->ctx, LAPIC | 0xc0 << 12 | 0xc, 0x83);
	assert_int_equal(fake_pending(f->cpu[0]), -1);
	assert_int_equal(fake_accept(ap), 0x83);
	eoi(ap);
	irq_msi(f->ctx, LAPIC | 0xc0 << 12 | 0x4, 0x84); /* both */
	assert_int_equal(fake_accept(f->cpu[0]), 0x84);
	assert_int_equal(fake_accept(ap), 0x84);
	eoi(f->cpu[0]);
	eoi(ap);
	irq_msi(f->ctx, LAPIC | 0xc0 << 12 | 0x4, 0x185); /* lowest */
	assert_int_equal(fake_pending(f->cpu[0]), -1);
	assert_int_equal(fake_accept(ap), 0x85);
	eoi(ap);
	irq_msi(f->ctx, LAPIC | 1 << 12 | 0x8, 0x86); /* hint, physical */
	assert_int_equal(fake_accept(ap), 0x86);
	eoi(ap);
	/* Level: TMR is set, the end of the level is no interrupt. */
	irq_msi(f->ctx, LAPIC | 1 << 12, 0xc087);
	assert_int_equal(fake_accept(ap), 0x87);
	assert_int_equal(lapic_read(ap, 0x18 + 0x87 / 32), 1 << 0x87 % 32);
	eoi(ap);
	irq_msi(f->ctx, LAPIC | 1 << 12, 0x8087);
	assert_int_equal(fake_pending(ap), -1);
	irq_msi(f->ctx, LAPIC | 1 << 12, 0x87);
	assert_int_equal(lapic_read(ap, 0x18 + 0x87 / 32), 0);
	assert_int_equal(fake_accept(ap), 0x87);
	eoi(ap);
}

static void
msi_invalid(void **state)
{
	struct fixture *f = *state;
	static const uint64_t bad[] = { 0, 0xfed00000, 0xfef00000, 0xfec00000,
		0x1fee00000, 0xfffffffffee00000 };

	lapic_enable(f);
	for (size_t n = 0; n < ARRAY_LEN(bad); n++) {
		errno = 0;
		assert_int_equal(vm_lapic_msi(f->ctx, bad[n], 0x80), -1);
		assert_int_equal(errno, EINVAL);
	}
	for (unsigned int i = 0; i < NCPUS; i++)
		fake_events(f->cpu[i]);
	assert_int_equal(vm_lapic_msi(f->ctx, LAPIC, 0x380), 0);
	assert_int_equal(vm_lapic_msi(f->ctx, LAPIC, 0x680), 0);
	assert_int_equal(vm_lapic_msi(f->ctx, LAPIC, 0x280), 0);
	assert_int_equal(vm_lapic_msi(f->ctx, LAPIC | 0x55 << 12, 0x80), 0);
	assert_int_equal(vm_lapic_msi(f->ctx, LAPIC, 0x05), 0);
	for (unsigned int i = 0; i < NCPUS; i++)
		assert_int_equal(fake_events(f->cpu[i]), 0);
}

/* --- creation --------------------------------------------------------- */

static int
claim_pio(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	return 0;
}

static int
claim_mmio(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val, void *arg)
{
	return 0;
}

/* Whatever is taken already, the failure leaves nothing behind. */
static void
create_fails_cleanly(void **state)
{
	static const uint16_t ports[] = { 0x20, 0xa1, 0x4d0 };
	static const uint64_t gpas[] = { LAPIC, IOAPIC };
	struct irqchip *chip = NULL;
	struct vmctx *ctx = fake_vm_new(1);

	for (size_t n = 0; n < ARRAY_LEN(ports); n++) {
		struct pio_range r = {
			.name = "x", .port = ports[n], .len = 1, .fn = claim_pio
		};

		assert_int_equal(bus_pio_register(ctx, &r), 0);
		assert_int_equal(irqchip_create(ctx, false, &chip), -EEXIST);
		assert_null(chip);
		assert_int_equal(bus_pio_unregister(ctx, ports[n], 1), 0);
	}
	for (size_t n = 0; n < ARRAY_LEN(gpas); n++) {
		struct mmio_range r = { .name = "x",
			.base = gpas[n] + 0x800,
			.len = 4,
			.fn = claim_mmio };

		assert_int_equal(bus_mmio_register(ctx, &r), 0);
		assert_int_equal(irqchip_create(ctx, false, &chip), -EEXIST);
		assert_int_equal(bus_mmio_unregister(ctx, r.base, 4), 0);
	}
	assert_int_equal(irqchip_create(ctx, false, &chip), 0);
	assert_non_null(chip);
	fake_vm_free(ctx);
}

static void
create_needs_vcpus(void **state)
{
	struct vm_topology t = { 2, 2, 1, 1 };
	struct irqchip *chip = NULL;
	struct vmctx *ctx;

	assert_int_equal(vm_new("fake", &fake_engine_ops, &ctx), 0);
	assert_int_equal(vm_topology_set(ctx, &t), 0);
	assert_non_null(vm_vcpu_open(ctx, 0));
	assert_int_equal(irqchip_create(ctx, false, &chip), -EINVAL);
	assert_non_null(vm_vcpu_open(ctx, 1));
	assert_int_equal(irqchip_create(ctx, false, &chip), 0);
	vm_close(ctx);
}

/* A line that was high before the controllers came. */
static void
line_high_at_creation(void **state)
{
	struct vmctx *ctx = fake_vm_new(1);
	struct vcpu *cpu = vm_vcpu_get(ctx, 0);
	struct irqchip *chip;
	struct irq_line line;

	irq_line_init(&line, ctx, 10);
	irq_line_set(&line, true);
	assert_int_equal(irqchip_create(ctx, false, &chip), 0);
	lapic_write(cpu, 0x0f, 0x1ff);
	fake_mmio_write(cpu, IOAPIC, 4, 0x24);
	fake_mmio_write(cpu, IOAPIC + 0x10, 4, 0x60 | LEVEL);
	/* The reset entry's destination is APIC 0. */
	assert_int_equal(fake_accept(cpu), 0x60);
	fake_vm_free(ctx);
}

/* --- threads ---------------------------------------------------------- */

/*
 * Every sender has a vector of its own and a ticket: it sends, and sends again
 * only when its vCPU has taken it.  So each edge must be taken exactly once;
 * a lost one stops the test, a doubled one breaks the count.
 */
#define NSENDERS 6
#define NEDGES	 2000u

struct sender {
	struct fixture *f;
	uint32_t sent, taken; /* atomic */
	unsigned int n;	      /* vector 0x40 + 16 * n */
};

struct taker {
	struct fixture *f;
	struct sender *senders;
	struct vcpu *vcpu;
	uint32_t *stop;
};

static void
sender_send(struct sender *s)
{
	unsigned int dest = s->n & 1;

	switch (s->n / 2) {
	case 0: /* edges of a line */
		irq_line_pulse(&s->f->line[20 + s->n]);
		break;
	case 1: /* levels; the taker lowers it before its EOI */
		irq_line_set(&s->f->line[20 + s->n], true);
		break;
	default:
		irq_msi(s->f->ctx, LAPIC | dest << 12, 0x40 + 16 * s->n);
		break;
	}
}

static void *
sender_main(void *arg)
{
	struct sender *s = arg;

	for (uint32_t i = 1; i <= NEDGES; i++) {
		__atomic_store_n(&s->sent, i, __ATOMIC_SEQ_CST);
		sender_send(s);
		while (__atomic_load_n(&s->taken, __ATOMIC_SEQ_CST) != i)
			sched_yield();
	}
	return NULL;
}

static void
taker_take(struct taker *t, int vector)
{
	unsigned int n = ((unsigned int)vector - 0x40) / 16;
	struct sender *s;
	uint32_t taken;

	if (vector == 0x3f) { /* the other vCPU's IPI */
		eoi(t->vcpu);
		return;
	}
	assert_in_range(n, 0, NSENDERS - 1);
	s = &t->senders[n];
	assert_int_equal(n & 1, vcpu_id(t->vcpu));
	taken = __atomic_load_n(&s->taken, __ATOMIC_SEQ_CST) + 1;
	assert_int_equal(taken, __atomic_load_n(&s->sent, __ATOMIC_SEQ_CST));
	if (n / 2 == 1)
		irq_line_set(&t->f->line[20 + n], false);
	eoi(t->vcpu);
	__atomic_store_n(&s->taken, taken, __ATOMIC_SEQ_CST);
}

/* What an engine does: looks only when it is told to. */
static void *
taker_main(void *arg)
{
	struct taker *t = arg;
	uint32_t dest = (uint32_t)!vcpu_id(t->vcpu) << 24;
	unsigned int n = 0;

	while (__atomic_load_n(t->stop, __ATOMIC_SEQ_CST) == 0) {
		int vector;

		if ((vcpu_take(t->vcpu, VCPU_EV_INTR) & VCPU_EV_INTR) == 0) {
			sched_yield();
			continue;
		}
		while ((vector = fake_pending(t->vcpu)) >= 0)
			if ((vector = fake_accept(t->vcpu)) >= 0)
				taker_take(t, vector);
		if (n++ % 4 == 0) {
			lapic_write(t->vcpu, 0x31, dest);
			lapic_write(t->vcpu, 0x30, 0x403f);
		}
	}
	return NULL;
}

static void
threads(void **state)
{
	struct fixture *f = *state;
	struct sender senders[NSENDERS] = { 0 };
	pthread_t sender[NSENDERS], taker[NCPUS];
	struct taker takers[NCPUS];
	uint32_t stop = 0;

	lapic_enable(f);
	for (unsigned int n = 0; n < NSENDERS; n++) {
		senders[n].f = f;
		senders[n].n = n;
		if (n / 2 < 2)
			rte(f, 20 + n, n & 1,
			    (0x40 + 16 * n) | (n / 2 == 1 ? LEVEL : 0));
	}
	for (unsigned int i = 0; i < NCPUS; i++) {
		takers[i] = (struct taker){ f, senders, f->cpu[i], &stop };
		assert_int_equal(
		    pthread_create(&taker[i], NULL, taker_main, &takers[i]), 0);
	}
	for (unsigned int n = 0; n < NSENDERS; n++)
		assert_int_equal(
		    pthread_create(&sender[n], NULL, sender_main, &senders[n]),
		    0);
	for (unsigned int n = 0; n < NSENDERS; n++)
		pthread_join(sender[n], NULL);
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < NCPUS; i++)
		pthread_join(taker[i], NULL);
	for (unsigned int n = 0; n < NSENDERS; n++)
		assert_int_equal(senders[n].taken, NEDGES);
	for (unsigned int i = 0; i < NCPUS; i++) {
		int vector = fake_accept(f->cpu[i]);

		assert_true(vector == -1 || vector == 0x3f);
	}
}

/* The boot processor takes ExtINTs while threads raise ISA lines. */
static void *
isa_main(void *arg)
{
	struct sender *s = arg;

	for (uint32_t i = 1; i <= NEDGES; i++) {
		__atomic_store_n(&s->sent, i, __ATOMIC_SEQ_CST);
		irq_line_pulse(&s->f->line[s->n]);
		while (__atomic_load_n(&s->taken, __ATOMIC_SEQ_CST) != i)
			sched_yield();
	}
	return NULL;
}

static void
threads_extint(void **state)
{
	static const unsigned int irqs[] = { 3, 7, 9, 14 };
	struct fixture *f = *state;
	struct sender senders[16] = { 0 };
	pthread_t thread[ARRAY_LEN(irqs)];
	unsigned int total = 0;

	pic_init(f->cpu[0]);
	for (size_t i = 0; i < ARRAY_LEN(irqs); i++) {
		senders[irqs[i]].f = f;
		senders[irqs[i]].n = irqs[i];
		assert_int_equal(pthread_create(&thread[i], NULL, isa_main,
				     &senders[irqs[i]]),
		    0);
	}
	while (total < ARRAY_LEN(irqs) * NEDGES) {
		struct sender *s;
		int vector;

		if (vcpu_take(f->cpu[0], VCPU_EV_INTR) == 0) {
			sched_yield();
			continue;
		}
		while (fake_pending(f->cpu[0]) >= 0) {
			vector = fake_accept(f->cpu[0]);
			assert_in_range(vector, 0x20, 0x2f);
			s = &senders[vector - 0x20];
			assert_non_null(s->f);
			if (vector >= 0x28)
				fake_out8(f->cpu[0], 0xa0, 0x20);
			fake_out8(f->cpu[0], 0x20, 0x20);
			total++;
			__atomic_store_n(&s->taken,
			    __atomic_load_n(&s->taken, __ATOMIC_SEQ_CST) + 1,
			    __ATOMIC_SEQ_CST);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(irqs); i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(senders[irqs[i]].taken, NEDGES);
	}
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(gsi_routes),
		T(virtual_wire),
		T(extint_and_apic),
		T(lint0_other_modes),
		T(extint_by_ioapic),
		T(msi_formats),
		T(msi_invalid),
		cmocka_unit_test(create_fails_cleanly),
		cmocka_unit_test(create_needs_vcpus),
		cmocka_unit_test(line_high_at_creation),
		T(threads),
		T(threads_extint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
