/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_lapic.c - the local APIC through what a guest has: its page, its MSRs,
 * interrupts taken and ended.  Virtual time.
 */
#include "fake_engine.h"
#include "fake_vmm.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <chip/chips.h>
#include <util/util.h>

#define NCPUS	     4
#define LAPIC	     0xfee00000ull

#define APIC_BASE    0x1b
#define TSC	     0x10
#define TSC_ADJUST   0x3b
#define TSC_DEADLINE 0x6e0
#define X2(reg)	     (0x800u + (reg))

enum {
	R_ID = 0x02,
	R_VER = 0x03,
	R_TPR = 0x08,
	R_APR = 0x09,
	R_PPR = 0x0a,
	R_EOI = 0x0b,
	R_RRD = 0x0c,
	R_LDR = 0x0d,
	R_DFR = 0x0e,
	R_SVR = 0x0f,
	R_ISR = 0x10,
	R_TMR = 0x18,
	R_IRR = 0x20,
	R_ESR = 0x28,
	R_CMCI = 0x2f,
	R_ICR = 0x30,
	R_ICR2 = 0x31,
	R_TIMER = 0x32,
	R_THERMAL = 0x33,
	R_PERF = 0x34,
	R_LINT0 = 0x35,
	R_LINT1 = 0x36,
	R_ERROR = 0x37,
	R_TMICT = 0x38,
	R_TMCCT = 0x39,
	R_TDCR = 0x3e,
	R_SELF = 0x3f,
};

#define MASKED	 0x10000u
#define PERIODIC 0x20000u
#define DEADLINE 0x40000u
#define DIV_1	 0xbu

struct fixture {
	struct vmctx *ctx;
	struct irqchip *chip;
	struct vcpu *cpu[NCPUS];
};

static struct fixture *
fixture_new(bool x2apic)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->ctx = fake_vm_new(NCPUS);
	assert_int_equal(irqchip_create(f->ctx, x2apic, &f->chip), 0);
	for (unsigned int i = 0; i < NCPUS; i++) {
		f->cpu[i] = vm_vcpu_get(f->ctx, i);
		fake_events(f->cpu[i]);
	}
	return f;
}

static int
setup_xapic(void **state)
{
	*state = fixture_new(false);
	return 0;
}

static int
setup_x2apic(void **state)
{
	*state = fixture_new(true);
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
rd(struct vcpu *vcpu, unsigned int reg)
{
	return (uint32_t)fake_mmio_read(vcpu, LAPIC + reg * 16, 4);
}

static void
wr(struct vcpu *vcpu, unsigned int reg, uint32_t val)
{
	fake_mmio_write(vcpu, LAPIC + reg * 16, 4, val);
}

static void
enable(struct vcpu *vcpu)
{
	wr(vcpu, R_SVR, 0x1ff);
}

static void
enable_all(struct fixture *f)
{
	for (unsigned int i = 0; i < NCPUS; i++) {
		enable(f->cpu[i]);
		fake_events(f->cpu[i]);
	}
}

/* A vector reaches the vCPU as a fixed, edge-triggered message. */
static void
raise_vector(struct vcpu *vcpu, uint8_t vector)
{
	irq_msi(vcpu_vm(vcpu), LAPIC | (uint64_t)vcpu_id(vcpu) << 12, vector);
}

static void
ipi(struct vcpu *from, uint8_t dest, uint32_t low)
{
	wr(from, R_ICR2, (uint32_t)dest << 24);
	wr(from, R_ICR, low);
}

/* Bit i: vCPU i has `event`; all events are taken. */
static unsigned int
who_has(struct fixture *f, uint32_t event)
{
	unsigned int who = 0;

	for (unsigned int i = 0; i < NCPUS; i++)
		if (fake_events(f->cpu[i]) & event)
			who |= 1u << i;
	return who;
}

/* Bit i: vCPU i takes and ends `vector`. */
static unsigned int
who_takes(struct fixture *f, int vector)
{
	unsigned int who = 0;

	for (unsigned int i = 0; i < NCPUS; i++) {
		if (fake_pending(f->cpu[i]) < 0)
			continue;
		assert_int_equal(fake_pending(f->cpu[i]), vector);
		assert_int_equal(fake_accept(f->cpu[i]), vector);
		wr(f->cpu[i], R_EOI, 0);
		who |= 1u << i;
	}
	return who;
}

/* --- registers -------------------------------------------------------- */

static void
reset_values(void **state)
{
	struct fixture *f = *state;
	static const struct {
		unsigned int reg;
		uint32_t val;
	} table[] = {
		{ R_VER, 0x60014 },
		{ R_TPR, 0 },
		{ R_APR, 0 },
		{ R_PPR, 0 },
		{ R_EOI, 0 },
		{ R_RRD, 0 },
		{ R_LDR, 0 },
		{ R_DFR, 0xffffffff },
		{ R_SVR, 0xff },
		{ R_ESR, 0 },
		{ R_CMCI, MASKED },
		{ R_ICR, 0 },
		{ R_ICR2, 0 },
		{ R_TIMER, MASKED },
		{ R_THERMAL, MASKED },
		{ R_PERF, MASKED },
		{ R_LINT0, MASKED },
		{ R_LINT1, MASKED },
		{ R_ERROR, MASKED },
		{ R_TMICT, 0 },
		{ R_TMCCT, 0 },
		{ R_TDCR, 0 },
	};

	for (unsigned int i = 0; i < NCPUS; i++) {
		assert_int_equal(rd(f->cpu[i], R_ID), i << 24);
		for (size_t n = 0; n < ARRAY_LEN(table); n++)
			assert_int_equal(
			    rd(f->cpu[i], table[n].reg), table[n].val);
		for (unsigned int r = R_ISR; r < R_ESR; r++)
			assert_int_equal(rd(f->cpu[i], r), 0);
		assert_int_equal(fake_rdmsr(f->cpu[i], APIC_BASE),
		    0xfee00800u | (i == 0 ? 0x100 : 0));
		assert_int_equal(fake_pending(f->cpu[i]), -1);
		assert_int_equal(fake_accept(f->cpu[i]), -1);
	}
}

static void
writable_bits(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[1];
	static const struct {
		unsigned int reg;
		uint32_t mask;
	} table[] = {
		{ R_TPR, 0xff },
		{ R_LDR, 0xff000000 },
		{ R_SVR, 0x3ff },
		{ R_CMCI, 0x107ff },
		{ R_TIMER, 0x700ff },
		{ R_THERMAL, 0x107ff },
		{ R_PERF, 0x107ff },
		{ R_LINT0, 0x1a7ff },
		{ R_LINT1, 0x1a7ff },
		{ R_ERROR, 0x100ff },
		{ R_ICR2, 0xff000000 },
		{ R_TDCR, 0xb },
	};

	enable(cpu);
	for (size_t n = 0; n < ARRAY_LEN(table); n++) {
		uint32_t old = rd(cpu, table[n].reg);

		wr(cpu, table[n].reg, 0xffffffff);
		assert_int_equal(rd(cpu, table[n].reg), table[n].mask);
		wr(cpu, table[n].reg, old);
	}
	wr(cpu, R_DFR, 0);
	assert_int_equal(rd(cpu, R_DFR), 0x0fffffff);
	/* ICR low: delivery status and reserved bits are not stored. */
	wr(cpu, R_ICR, 0xfff33030 | 0x700);
	assert_int_equal(rd(cpu, R_ICR), 0x730);
}

static void
read_only_registers(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[2];
	static const unsigned int table[] = { R_ID, R_VER, R_APR, R_PPR, R_RRD,
		R_TMCCT, R_ISR, R_ISR + 7, R_TMR, R_IRR + 3 };

	enable(cpu);
	for (size_t n = 0; n < ARRAY_LEN(table); n++) {
		uint32_t old = rd(cpu, table[n]);

		wr(cpu, table[n], 0x5a5a5a5a);
		assert_int_equal(rd(cpu, table[n]), old);
	}
	wr(cpu, R_ESR, 0);
	assert_int_equal(rd(cpu, R_ESR), 0); /* no error either */
}

static void
bad_mmio(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[0];

	enable(cpu);
	assert_int_equal(fake_mmio_read(cpu, LAPIC + 0x30, 1), 0);
	assert_int_equal(fake_mmio_read(cpu, LAPIC + 0x30, 2), 0);
	assert_true(fake_mmio_read(cpu, LAPIC + 0x30, 8) == 0);
	assert_int_equal(fake_mmio_read(cpu, LAPIC + 0x34, 4), 0);
	assert_int_equal(fake_mmio_read(cpu, LAPIC + 0xffe, 1), 0);
	fake_mmio_write(cpu, LAPIC + 0x80, 1, 0xff);
	fake_mmio_write(cpu, LAPIC + 0x80, 8, 0xff);
	fake_mmio_write(cpu, LAPIC + 0x84, 4, 0xff);
	assert_int_equal(rd(cpu, R_TPR), 0);
	/* None of this is an illegal register; these are. */
	wr(cpu, R_ESR, 0);
	assert_int_equal(rd(cpu, R_ESR), 0);
	assert_int_equal(rd(cpu, 0x00), 0);
	wr(cpu, R_ESR, 0);
	assert_int_equal(rd(cpu, R_ESR), 0x80);
	wr(cpu, R_SELF, 0x44); /* x2APIC only */
	assert_int_equal(rd(cpu, R_ESR), 0x80);
	wr(cpu, R_ESR, 0);
	assert_int_equal(rd(cpu, R_ESR), 0x80);
	assert_int_equal(fake_pending(cpu), -1);
	assert_int_equal(rd(cpu, 0xff), 0);
	wr(cpu, R_ESR, 0);
	assert_int_equal(rd(cpu, R_ESR), 0x80);
	wr(cpu, R_ESR, 0);
	assert_int_equal(rd(cpu, R_ESR), 0);
}

/* --- vectors and priorities ------------------------------------------- */

static void
irr_isr_eoi(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[1];

	enable(cpu);
	for (int vector = 16; vector < 256; vector++) {
		unsigned int word = (unsigned int)vector / 32;
		uint32_t bit = 1u << (vector % 32);

		fake_events(cpu);
		raise_vector(cpu, (uint8_t)vector);
		assert_int_equal(fake_events(cpu), VCPU_EV_INTR);
		assert_int_equal(rd(cpu, R_IRR + word), bit);
		assert_int_equal(fake_pending(cpu), vector);
		assert_int_equal(rd(cpu, R_IRR + word), bit); /* only asked */
		assert_int_equal(fake_accept(cpu), vector);
		assert_int_equal(rd(cpu, R_IRR + word), 0);
		assert_int_equal(rd(cpu, R_ISR + word), bit);
		assert_int_equal(rd(cpu, R_TMR + word), 0);
		assert_int_equal(rd(cpu, R_PPR), vector & 0xf0);
		assert_int_equal(fake_pending(cpu), -1);
		wr(cpu, R_EOI, 0);
		assert_int_equal(rd(cpu, R_ISR + word), 0);
		assert_int_equal(rd(cpu, R_PPR), 0);
	}
	assert_int_equal(fake_stat(cpu, VMSTAT_VLAPIC_EOI_SPURIOUS), 0);
	wr(cpu, R_EOI, 0);
	assert_int_equal(fake_stat(cpu, VMSTAT_VLAPIC_EOI_SPURIOUS), 1);
}

static void
priority_classes(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[0];

	enable(cpu);
	raise_vector(cpu, 0x41);
	raise_vector(cpu, 0x45);
	raise_vector(cpu, 0x31);
	assert_int_equal(fake_accept(cpu), 0x45);
	assert_int_equal(fake_pending(cpu), -1); /* same class waits */
	raise_vector(cpu, 0x52);
	assert_int_equal(fake_accept(cpu), 0x52); /* nests */
	assert_int_equal(rd(cpu, R_PPR), 0x50);
	fake_events(cpu);
	wr(cpu, R_EOI, 0);
	assert_int_equal(rd(cpu, R_PPR), 0x40);
	assert_int_equal(fake_pending(cpu), -1);
	assert_int_equal(fake_events(cpu), 0); /* nothing came free */
	wr(cpu, R_EOI, 0);
	assert_int_equal(fake_events(cpu), VCPU_EV_INTR);
	assert_int_equal(fake_accept(cpu), 0x41);
	wr(cpu, R_EOI, 0);
	assert_int_equal(fake_accept(cpu), 0x31);
	wr(cpu, R_EOI, 0);
	assert_int_equal(fake_pending(cpu), -1);
	assert_int_equal(rd(cpu, R_PPR), 0);
}

static void
task_priority(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[0];
	const struct vcpu_intr_ops *ops;
	void *apic;

	ops = vcpu_intr(cpu, &apic);
	enable(cpu);
	wr(cpu, R_TPR, 0x45);
	assert_int_equal(rd(cpu, R_PPR), 0x45);
	assert_int_equal(ops->get_cr8(apic), 4);
	raise_vector(cpu, 0x4f);
	assert_int_equal(fake_pending(cpu), -1);
	assert_int_equal(fake_accept(cpu), -1);
	fake_events(cpu);
	ops->set_cr8(apic, 3);
	assert_int_equal(fake_events(cpu), VCPU_EV_INTR);
	assert_int_equal(rd(cpu, R_TPR), 0x30);
	assert_int_equal(fake_accept(cpu), 0x4f);
	/* SDM 10.8.3.1: PPR is ISRV's class, or TPR when that is not lower. */
	assert_int_equal(rd(cpu, R_PPR), 0x40);
	wr(cpu, R_TPR, 0x42);
	assert_int_equal(rd(cpu, R_PPR), 0x42);
	wr(cpu, R_TPR, 0x3f);
	assert_int_equal(rd(cpu, R_PPR), 0x40);
	wr(cpu, R_EOI, 0);
	assert_int_equal(rd(cpu, R_PPR), 0x3f);
	ops->set_cr8(apic, 15);
	raise_vector(cpu, 0xff);
	assert_int_equal(fake_pending(cpu), -1);
	wr(cpu, R_TPR, 0);
	assert_int_equal(fake_accept(cpu), 0xff);
}

static void
coalescing(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[0];

	enable(cpu);
	raise_vector(cpu, 0x60);
	raise_vector(cpu, 0x60);
	assert_int_equal(fake_accept(cpu), 0x60);
	assert_int_equal(fake_pending(cpu), -1);
	/* One more may wait in IRR while the first is in service. */
	raise_vector(cpu, 0x60);
	raise_vector(cpu, 0x60);
	assert_int_equal(fake_pending(cpu), -1);
	wr(cpu, R_EOI, 0);
	assert_int_equal(fake_accept(cpu), 0x60);
	wr(cpu, R_EOI, 0);
	assert_int_equal(fake_pending(cpu), -1);
}

static void
software_disable(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[1];

	raise_vector(cpu, 0x60); /* not enabled yet: dropped */
	assert_int_equal(fake_pending(cpu), -1);
	wr(cpu, R_LINT1, 0x400);
	assert_int_equal(rd(cpu, R_LINT1), 0x400 | MASKED);
	enable(cpu);
	assert_int_equal(fake_pending(cpu), -1);
	assert_int_equal(rd(cpu, R_LINT1), 0x400 | MASKED);
	for (unsigned int reg = R_TIMER; reg <= R_ERROR; reg++)
		wr(cpu, reg, 0x33);
	wr(cpu, R_CMCI, 0x33);
	raise_vector(cpu, 0x61);
	wr(cpu, R_SVR, 0xff);
	for (unsigned int reg = R_TIMER; reg <= R_ERROR; reg++)
		assert_int_equal(rd(cpu, reg), 0x33 | MASKED);
	assert_int_equal(rd(cpu, R_CMCI), 0x33 | MASKED);
	raise_vector(cpu, 0x62);
	/* What it had accepted stays and wants to be handled. */
	assert_int_equal(fake_accept(cpu), 0x61);
	wr(cpu, R_EOI, 0);
	assert_int_equal(fake_pending(cpu), -1);
	/* NMI and INIT pass regardless. */
	fake_events(cpu);
	irq_msi(f->ctx, LAPIC | 1 << 12, 0x400);
	assert_int_equal(fake_events(cpu), VCPU_EV_NMI);
	irq_msi(f->ctx, LAPIC | 1 << 12, 0x500);
	assert_int_equal(fake_events(cpu), VCPU_EV_INIT);
}

/* --- errors ----------------------------------------------------------- */

static void
error_status(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[0], *other = f->cpu[1];

	enable(cpu);
	enable(other);
	wr(cpu, R_ERROR, 0xe1);
	ipi(cpu, 1, 0x4005);		     /* fixed, vector 5 */
	assert_int_equal(rd(cpu, R_ESR), 0); /* needs a write first */
	assert_int_equal(fake_accept(cpu), 0xe1);
	wr(cpu, R_EOI, 0);
	assert_int_equal(fake_pending(other), -1);
	wr(other, R_ESR, 0);
	assert_int_equal(rd(other, R_ESR), 0); /* it was never sent */
	/* A second error before the write: logged, no second interrupt. */
	raise_vector(cpu, 3);
	assert_int_equal(fake_pending(cpu), -1);
	wr(cpu, R_ESR, 0xffffffff);
	assert_int_equal(rd(cpu, R_ESR), 0x20 | 0x40);
	assert_int_equal(rd(cpu, R_ESR), 0x60); /* reading keeps it */
	raise_vector(cpu, 15);
	assert_int_equal(fake_accept(cpu), 0xe1); /* armed again */
	wr(cpu, R_EOI, 0);
	wr(cpu, R_ESR, 0);
	assert_int_equal(rd(cpu, R_ESR), 0x40);
	wr(cpu, R_ESR, 0);
	assert_int_equal(rd(cpu, R_ESR), 0);
	assert_int_equal(fake_stat(cpu, VMSTAT_VLAPIC_ERROR_INTR), 2);
}

/* The error LVT's own vector illegal: one more error, and no recursion. */
static void
error_in_error(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[0];

	enable(cpu);
	wr(cpu, R_ERROR, 0x0f);
	rd(cpu, 0x01);
	assert_int_equal(fake_pending(cpu), -1);
	wr(cpu, R_ESR, 0);
	assert_int_equal(rd(cpu, R_ESR), 0x80 | 0x40);
}

/* --- interprocessor interrupts ---------------------------------------- */

static void
ipi_physical(void **state)
{
	struct fixture *f = *state;

	enable_all(f);
	ipi(f->cpu[0], 2, 0x4080);
	assert_int_equal(who_has(f, VCPU_EV_INTR), 1 << 2);
	assert_int_equal(who_takes(f, 0x80), 1 << 2);
	ipi(f->cpu[0], 0, 0x4081); /* itself */
	assert_int_equal(who_takes(f, 0x81), 1 << 0);
	ipi(f->cpu[0], 0xff, 0x4082);
	assert_int_equal(who_takes(f, 0x82), 0xf);
	for (unsigned int dest = NCPUS; dest < 0xff; dest += 7)
		ipi(f->cpu[0], (uint8_t)dest, 0x4083); /* nobody there */
	assert_int_equal(who_takes(f, 0x83), 0);
	assert_int_equal(rd(f->cpu[0], R_ICR) & 0x1000, 0);
	assert_int_equal(fake_stat(f->cpu[0], VMSTAT_VLAPIC_IPIS_SENT),
	    3 + (0xff - NCPUS + 6) / 7);
}

static void
ipi_logical_flat(void **state)
{
	struct fixture *f = *state;

	enable_all(f);
	for (unsigned int i = 0; i < NCPUS; i++)
		wr(f->cpu[i], R_LDR, 1u << (24 + i));
	ipi(f->cpu[0], 0x0a, 0x4880);
	assert_int_equal(who_takes(f, 0x80), 0xa);
	ipi(f->cpu[0], 0xff, 0x4881);
	assert_int_equal(who_takes(f, 0x81), 0xf);
	ipi(f->cpu[0], 0xf0, 0x4882);
	assert_int_equal(who_takes(f, 0x82), 0);
	wr(f->cpu[1], R_DFR, 0x70000000); /* no such model */
	ipi(f->cpu[0], 0x0a, 0x4883);
	assert_int_equal(who_takes(f, 0x83), 0x8);
}

static void
ipi_logical_cluster(void **state)
{
	static const uint32_t ldr[NCPUS] = { 0x11000000, 0x12000000, 0x21000000,
		0x28000000 };
	struct fixture *f = *state;

	enable_all(f);
	for (unsigned int i = 0; i < NCPUS; i++) {
		wr(f->cpu[i], R_DFR, 0);
		wr(f->cpu[i], R_LDR, ldr[i]);
	}
	ipi(f->cpu[0], 0x13, 0x4880);
	assert_int_equal(who_takes(f, 0x80), 0x3);
	ipi(f->cpu[0], 0x28, 0x4880);
	assert_int_equal(who_takes(f, 0x80), 0x8);
	ipi(f->cpu[0], 0x2f, 0x4880);
	assert_int_equal(who_takes(f, 0x80), 0xc);
	ipi(f->cpu[0], 0x31, 0x4880);
	assert_int_equal(who_takes(f, 0x80), 0);
	ipi(f->cpu[0], 0xff, 0x4880);
	assert_int_equal(who_takes(f, 0x80), 0xf);
}

static void
ipi_shorthands(void **state)
{
	struct fixture *f = *state;

	enable_all(f);
	ipi(f->cpu[1], 3, 0x44090); /* self; the field is ignored */
	assert_int_equal(who_takes(f, 0x90), 1 << 1);
	ipi(f->cpu[1], 3, 0x84091); /* all */
	assert_int_equal(who_takes(f, 0x91), 0xf);
	ipi(f->cpu[1], 3, 0xc4092); /* all but self */
	assert_int_equal(who_takes(f, 0x92), 0xf & ~(1u << 1));
	fake_events(f->cpu[1]);
	ipi(f->cpu[1], 0, 0xc4400);
	assert_int_equal(who_has(f, VCPU_EV_NMI), 0xf & ~(1u << 1));
	ipi(f->cpu[1], 0, 0x84400);
	assert_int_equal(who_has(f, VCPU_EV_NMI), 0xf);
}

static void
ipi_lowest_priority(void **state)
{
	struct fixture *f = *state;
	unsigned int seen = 0;

	enable_all(f);
	for (unsigned int i = 0; i < NCPUS; i++) {
		wr(f->cpu[i], R_LDR, 1u << (24 + i));
		wr(f->cpu[i], R_TPR, 0x40 - 0x10 * i);
	}
	ipi(f->cpu[0], 0xff, 0x4980);
	assert_int_equal(who_takes(f, 0x80), 1 << 3);
	ipi(f->cpu[0], 0x03, 0x4980); /* only among these */
	assert_int_equal(who_takes(f, 0x80), 1 << 1);
	/* What is in service counts too. */
	raise_vector(f->cpu[3], 0x70);
	assert_int_equal(fake_accept(f->cpu[3]), 0x70);
	ipi(f->cpu[0], 0xff, 0x4980);
	assert_int_equal(who_takes(f, 0x80), 1 << 2);
	wr(f->cpu[3], R_EOI, 0);
	/* Equals take turns. */
	for (unsigned int i = 0; i < NCPUS; i++)
		wr(f->cpu[i], R_TPR, 0);
	for (unsigned int i = 0; i < NCPUS; i++) {
		unsigned int who;

		ipi(f->cpu[0], 0xff, 0x4980);
		who = who_takes(f, 0x80);
		assert_int_equal(__builtin_popcount(who), 1);
		seen |= who;
	}
	assert_int_equal(seen, 0xf);
	wr(f->cpu[2], R_SVR, 0xff); /* disabled: not a candidate */
	ipi(f->cpu[0], 0x04, 0x4980);
	assert_int_equal(who_takes(f, 0x80), 0);
}

static void
ipi_nmi_init_sipi(void **state)
{
	struct fixture *f = *state;

	who_has(f, 0);
	ipi(f->cpu[0], 1, 0x4400);
	assert_int_equal(who_has(f, VCPU_EV_NMI), 1 << 1);
	ipi(f->cpu[0], 1, 0x4500); /* INIT, edge */
	assert_int_equal(who_has(f, VCPU_EV_INIT), 1 << 1);
	ipi(f->cpu[0], 1, 0xc500); /* INIT, level, assert */
	assert_int_equal(who_has(f, VCPU_EV_INIT), 1 << 1);
	ipi(f->cpu[0], 1, 0x8500); /* INIT level de-assert */
	assert_int_equal(who_has(f, UINT32_MAX), 0);
	ipi(f->cpu[0], 1, 0x4608);
	assert_int_equal(vcpu_sipi_vector(f->cpu[1]), 8);
	assert_int_equal(who_has(f, VCPU_EV_SIPI), 1 << 1);
	ipi(f->cpu[0], 0, 0xc4500); /* what firmware does */
	assert_int_equal(who_has(f, VCPU_EV_INIT), 0xe);
	ipi(f->cpu[0], 0, 0xc469f);
	for (unsigned int i = 1; i < NCPUS; i++)
		assert_int_equal(vcpu_sipi_vector(f->cpu[i]), 0x9f);
	assert_int_equal(who_has(f, VCPU_EV_SIPI), 0xe);
	/* By shorthand to itself they are invalid, absent ids are nobody. */
	ipi(f->cpu[0], 0, 0x44500);
	ipi(f->cpu[0], 0, 0x84500);
	ipi(f->cpu[0], 0, 0x44608);
	ipi(f->cpu[0], 0, 0x84608);
	ipi(f->cpu[0], 0x40, 0x4500);
	ipi(f->cpu[0], 0x40, 0x4608);
	ipi(f->cpu[0], 1, 0x4200); /* SMI */
	ipi(f->cpu[0], 1, 0x4300); /* reserved */
	ipi(f->cpu[0], 1, 0x4700); /* reserved in an ICR */
	assert_int_equal(who_has(f, UINT32_MAX), 0);
	ipi(f->cpu[0], 0xff, 0x4500); /* broadcast by field: everybody */
	assert_int_equal(who_has(f, VCPU_EV_INIT), 0xf);
}

/* --- LVTs ------------------------------------------------------------- */

static void
lvt_delivery_modes(void **state)
{
	static const struct {
		unsigned int reg;
		enum vm_lvt source;
	} table[] = {
		{ R_LINT0, VM_LVT_LINT0 },
		{ R_LINT1, VM_LVT_LINT1 },
		{ R_PERF, VM_LVT_PMC },
		{ R_THERMAL, VM_LVT_THERMAL },
		{ R_CMCI, VM_LVT_CMCI },
	};
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[1];

	enable(cpu);
	for (size_t n = 0; n < ARRAY_LEN(table); n++) {
		wr(cpu, table[n].reg, 0x51 | MASKED);
		assert_int_equal(
		    irqchip_local_irq(f->chip, 1, table[n].source), 0);
		assert_int_equal(fake_pending(cpu), -1);
		wr(cpu, table[n].reg, 0x51);
		assert_int_equal(
		    irqchip_local_irq(f->chip, 1, table[n].source), 0);
		assert_int_equal(fake_accept(cpu), 0x51);
		wr(cpu, R_EOI, 0);
		wr(cpu, table[n].reg, 0x400);
		fake_events(cpu);
		assert_int_equal(
		    irqchip_local_irq(f->chip, 1, table[n].source), 0);
		assert_int_equal(fake_events(cpu), VCPU_EV_NMI);
		wr(cpu, table[n].reg, 0x500);
		assert_int_equal(
		    irqchip_local_irq(f->chip, 1, table[n].source), 0);
		assert_int_equal(fake_events(cpu), VCPU_EV_INIT);
		wr(cpu, table[n].reg, 0x200);
		assert_int_equal(
		    irqchip_local_irq(f->chip, 1, table[n].source), 0);
		assert_int_equal(fake_events(cpu), 0);
		wr(cpu, table[n].reg, 0x0e);
		wr(cpu, R_ESR, 0);
		assert_int_equal(
		    irqchip_local_irq(f->chip, 1, table[n].source), 0);
		wr(cpu, R_ESR, 0);
		assert_int_equal(rd(cpu, R_ESR), 0x40);
		wr(cpu, table[n].reg, MASKED);
	}
	assert_int_equal(
	    irqchip_local_irq(f->chip, NCPUS, VM_LVT_PMC), -EINVAL);
	assert_int_equal(irqchip_local_irq(f->chip, -1, VM_LVT_PMC), -EINVAL);
	assert_int_equal(
	    irqchip_local_irq(f->chip, 0, (enum vm_lvt)7), -EINVAL);
}

/* The counter's entry masks itself as it fires. */
static void
lvt_perf_masks_itself(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[0];

	enable(cpu);
	wr(cpu, R_PERF, 0x52);
	assert_int_equal(irqchip_local_irq(f->chip, 0, VM_LVT_PMC), 0);
	assert_int_equal(rd(cpu, R_PERF), 0x52 | MASKED);
	assert_int_equal(fake_accept(cpu), 0x52);
}

/* --- timer ------------------------------------------------------------ */

/* A bus tick is 1953125 / 2^18 ns: 2^18 of them are exactly 1953125 ns. */
#define TICKS	 262144u
#define TICKS_NS 1953125u

static void
timer_oneshot(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[1];

	enable(cpu);
	wr(cpu, R_TDCR, DIV_1);
	wr(cpu, R_TIMER, 0x40);
	wr(cpu, R_TMICT, TICKS);
	assert_int_equal(rd(cpu, R_TMICT), TICKS);
	assert_int_equal(rd(cpu, R_TMCCT), TICKS);
	vm_clock_advance(f->ctx, 745); /* 99.99 ticks */
	assert_int_equal(rd(cpu, R_TMCCT), TICKS - 99);
	vm_clock_advance(f->ctx, 1);
	assert_int_equal(rd(cpu, R_TMCCT), TICKS - 100);
	vm_clock_advance(f->ctx, TICKS_NS - 746 - 1);
	assert_int_equal(rd(cpu, R_TMCCT), 1);
	assert_int_equal(fake_pending(cpu), -1);
	fake_events(cpu);
	vm_clock_advance(f->ctx, 1);
	assert_int_equal(fake_events(cpu), VCPU_EV_INTR);
	assert_int_equal(rd(cpu, R_TMCCT), 0);
	assert_int_equal(fake_accept(cpu), 0x40);
	wr(cpu, R_EOI, 0);
	vm_clock_advance(f->ctx, 100 * FAKE_MS);
	assert_int_equal(fake_pending(cpu), -1);
	assert_int_equal(rd(cpu, R_TMCCT), 0);
	assert_int_equal(rd(cpu, R_TMICT), TICKS);
	assert_int_equal(fake_stat(cpu, VMSTAT_VLAPIC_TIMER_INTR), 1);
	/* Writing 0 stops it. */
	wr(cpu, R_TMICT, TICKS);
	wr(cpu, R_TMICT, 0);
	vm_clock_advance(f->ctx, 100 * FAKE_MS);
	assert_int_equal(fake_pending(cpu), -1);
}

static void
timer_divide(void **state)
{
	static const struct {
		uint32_t tdcr, divisor;
	} table[] = { { 0, 2 }, { 1, 4 }, { 2, 8 }, { 3, 16 }, { 8, 32 },
		{ 9, 64 }, { 10, 128 }, { 11, 1 } };
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[0];
	uint64_t total;

	enable(cpu);
	wr(cpu, R_TIMER, 0x40);
	for (size_t n = 0; n < ARRAY_LEN(table); n++) {
		wr(cpu, R_TDCR, table[n].tdcr);
		wr(cpu, R_TMICT, TICKS);
		total = (uint64_t)TICKS_NS * table[n].divisor;
		vm_clock_advance(f->ctx, total / 2);
		assert_in_range(rd(cpu, R_TMCCT), TICKS / 2, TICKS / 2 + 1);
		vm_clock_advance(f->ctx, total - total / 2 - 1);
		assert_int_equal(fake_pending(cpu), -1);
		vm_clock_advance(f->ctx, 1);
		assert_int_equal(fake_accept(cpu), 0x40);
		wr(cpu, R_EOI, 0);
	}
	/* Changed in mid-count: goes on from there at the new rate. */
	wr(cpu, R_TDCR, DIV_1);
	wr(cpu, R_TMICT, 2 * TICKS);
	vm_clock_advance(f->ctx, TICKS_NS);
	wr(cpu, R_TDCR, 10);
	assert_int_equal(rd(cpu, R_TMCCT), TICKS);
	vm_clock_advance(f->ctx, 128ull * TICKS_NS - 1);
	assert_int_equal(fake_pending(cpu), -1);
	vm_clock_advance(f->ctx, 1);
	assert_int_equal(fake_accept(cpu), 0x40);
}

static void
timer_periodic(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[3];
	uint64_t start = vm_clock_ns(f->ctx);
	unsigned int n = 0;

	enable(cpu);
	wr(cpu, R_TDCR, DIV_1);
	wr(cpu, R_TIMER, 0x41 | PERIODIC);
	wr(cpu, R_TMICT, 100003); /* no whole number of ns */
	while (vm_clock_ns(f->ctx) - start < 1000 * FAKE_MS) {
		vm_clock_advance(f->ctx, FAKE_MS / 10);
		if (fake_pending(cpu) >= 0) {
			assert_int_equal(fake_accept(cpu), 0x41);
			wr(cpu, R_EOI, 0);
			n++;
		}
	}
	assert_int_equal(n, 134217728 / 100003); /* no drift */
	assert_int_equal(fake_stat(cpu, VMSTAT_VLAPIC_TIMER_INTR), n);
	assert_int_equal(rd(cpu, R_TMCCT), 100003 - 134217728 % 100003);
	/* One-shot from here: the running count ends, and that is that. */
	wr(cpu, R_TIMER, 0x41);
	vm_clock_advance(f->ctx, 10 * FAKE_MS);
	assert_int_equal(fake_accept(cpu), 0x41);
	wr(cpu, R_EOI, 0);
	vm_clock_advance(f->ctx, 10 * FAKE_MS);
	assert_int_equal(fake_pending(cpu), -1);
}

static void
timer_masked(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[0];

	enable(cpu);
	wr(cpu, R_TDCR, DIV_1);
	wr(cpu, R_TIMER, 0x42 | PERIODIC | MASKED);
	wr(cpu, R_TMICT, TICKS);
	vm_clock_advance(f->ctx, 3 * TICKS_NS + TICKS_NS / 2);
	assert_int_equal(fake_pending(cpu), -1);
	assert_in_range(rd(cpu, R_TMCCT), TICKS / 2, TICKS / 2 + 1);
	wr(cpu, R_TIMER, 0x42 | PERIODIC);
	assert_int_equal(fake_pending(cpu), -1); /* the past stays past */
	vm_clock_advance(f->ctx, TICKS_NS / 2 + 1);
	assert_int_equal(fake_accept(cpu), 0x42);
	wr(cpu, R_EOI, 0);
	/* A one-shot that ends while masked is lost. */
	wr(cpu, R_TIMER, 0x42 | MASKED);
	wr(cpu, R_TMICT, TICKS);
	vm_clock_advance(f->ctx, 2 * TICKS_NS);
	wr(cpu, R_TIMER, 0x42);
	vm_clock_advance(f->ctx, 2 * TICKS_NS);
	assert_int_equal(fake_pending(cpu), -1);
}

/* A count of 1 must not keep the event thread busy. */
static void
timer_storm(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[0];
	unsigned int n = 0;

	enable(cpu);
	wr(cpu, R_TDCR, DIV_1);
	wr(cpu, R_TIMER, 0x42 | PERIODIC);
	wr(cpu, R_TMICT, 1);
	for (unsigned int us = 0; us < 1000; us++) {
		vm_clock_advance(f->ctx, 1000);
		if (fake_accept(cpu) == 0x42) {
			wr(cpu, R_EOI, 0);
			n++;
		}
	}
	assert_in_range(n, 40, 60); /* one in 20 us */
}

static void
timer_deadline(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[1];
	uint64_t hz = vm_tsc_hz(f->ctx), now;

	assert_in_range(hz, 100000000ull, 20000000000ull);
	enable(cpu);
	wr(cpu, R_TIMER, 0x43);
	fake_wrmsr(cpu, TSC_DEADLINE, 1); /* wrong mode: ignored */
	assert_int_equal(fake_rdmsr(cpu, TSC_DEADLINE), 0);
	wr(cpu, R_TIMER, 0x43 | DEADLINE);
	wr(cpu, R_TMICT, 1000); /* and so is this now */
	assert_int_equal(rd(cpu, R_TMICT), 0);
	assert_int_equal(rd(cpu, R_TMCCT), 0);
	now = fake_rdmsr(cpu, TSC);
	assert_true(now == vcpu_rdtsc(cpu));
	fake_wrmsr(cpu, TSC_DEADLINE, now + hz / 100);
	assert_true(fake_rdmsr(cpu, TSC_DEADLINE) == now + hz / 100);
	vm_clock_advance(f->ctx, 10 * FAKE_MS - 2);
	assert_int_equal(fake_pending(cpu), -1);
	vm_clock_advance(f->ctx, 3);
	assert_int_equal(fake_accept(cpu), 0x43);
	wr(cpu, R_EOI, 0);
	assert_int_equal(fake_rdmsr(cpu, TSC_DEADLINE), 0);
	vm_clock_advance(f->ctx, 100 * FAKE_MS);
	assert_int_equal(fake_pending(cpu), -1);
	/* In the past: at once. */
	fake_wrmsr(cpu, TSC_DEADLINE, 1);
	assert_int_equal(fake_accept(cpu), 0x43);
	wr(cpu, R_EOI, 0);
	assert_int_equal(fake_rdmsr(cpu, TSC_DEADLINE), 0);
	/* 0 disarms; so does leaving the mode; never is far away. */
	fake_wrmsr(cpu, TSC_DEADLINE, fake_rdmsr(cpu, TSC) + hz);
	fake_wrmsr(cpu, TSC_DEADLINE, 0);
	vm_clock_advance(f->ctx, 2000 * FAKE_MS);
	assert_int_equal(fake_pending(cpu), -1);
	fake_wrmsr(cpu, TSC_DEADLINE, fake_rdmsr(cpu, TSC) + hz);
	wr(cpu, R_TIMER, 0x43);
	wr(cpu, R_TIMER, 0x43 | DEADLINE);
	vm_clock_advance(f->ctx, 2000 * FAKE_MS);
	assert_int_equal(fake_pending(cpu), -1);
	fake_wrmsr(cpu, TSC_DEADLINE, UINT64_MAX);
	vm_clock_advance(f->ctx, 2000 * FAKE_MS);
	assert_int_equal(fake_pending(cpu), -1);
}

static void
timer_deadline_tsc_moved(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[0];
	uint64_t hz = vm_tsc_hz(f->ctx), now;

	enable(cpu);
	wr(cpu, R_TIMER, 0x43 | DEADLINE);
	now = fake_rdmsr(cpu, TSC);
	fake_wrmsr(cpu, TSC_DEADLINE, now + hz);
	/* Half a second forward: it comes half a second earlier. */
	fake_wrmsr(cpu, TSC, now + hz / 2);
	assert_true(fake_rdmsr(cpu, TSC_ADJUST) == hz / 2);
	assert_true(fake_rdmsr(f->cpu[1], TSC_ADJUST) == 0);
	vm_clock_advance(f->ctx, 499 * FAKE_MS);
	assert_int_equal(fake_pending(cpu), -1);
	vm_clock_advance(f->ctx, 2 * FAKE_MS);
	assert_int_equal(fake_accept(cpu), 0x43);
	wr(cpu, R_EOI, 0);
	/* And back again by the other register. */
	now = fake_rdmsr(cpu, TSC);
	fake_wrmsr(cpu, TSC_DEADLINE, now + hz / 10);
	fake_wrmsr(cpu, TSC_ADJUST, 0);
	assert_true(fake_rdmsr(cpu, TSC) == now - hz / 2);
	assert_true(fake_rdmsr(cpu, TSC) == fake_rdmsr(f->cpu[1], TSC));
	vm_clock_advance(f->ctx, 599 * FAKE_MS);
	assert_int_equal(fake_pending(cpu), -1);
	vm_clock_advance(f->ctx, 2 * FAKE_MS);
	assert_int_equal(fake_accept(cpu), 0x43);
}

/* Without a manual clock: the host's counter, from about 0, that pauses. */
static void
tsc_of_the_host(void **state)
{
	const struct timespec span = { .tv_nsec = 20000000 };
	struct vmctx *ctx;
	struct vcpu *cpu;
	uint64_t hz, t0, t1, ns0, ns1;

	assert_int_equal(vm_new("tsc", &fake_engine_ops, &ctx), 0);
	cpu = vm_vcpu_open(ctx, 0);
	assert_non_null(cpu);
	hz = vm_tsc_hz(ctx);
	assert_true(vcpu_rdtsc(cpu) < 10 * hz);
	ns0 = vm_clock_ns(ctx);
	t0 = vcpu_rdtsc(cpu);
	nanosleep(&span, NULL);
	t1 = vcpu_rdtsc(cpu);
	ns1 = vm_clock_ns(ctx);
	assert_true(t1 - t0 >= hz / 51); /* 20 ms, less 2 % */
	assert_true(
	    (double)(t1 - t0) <= (double)(ns1 - ns0) * (double)hz * 1.02e-9);
	/* One second ahead, up to how long asking takes. */
	ns0 = vm_clock_ns(ctx);
	t0 = vcpu_rdtsc(cpu);
	ns1 = vcpu_tsc_to_clock_ns(cpu, t0 + hz);
	assert_in_range(
	    ns1, ns0 + 999 * FAKE_MS, vm_clock_ns(ctx) + 1001 * FAKE_MS);
	ns1 = vcpu_tsc_to_clock_ns(cpu, t0);
	assert_in_range(ns1, ns0, vm_clock_ns(ctx));
	chips_pause(ctx);
	t0 = vcpu_rdtsc(cpu);
	nanosleep(&span, NULL);
	assert_true(vcpu_rdtsc(cpu) == t0);
	chips_resume(ctx);
	t1 = vcpu_rdtsc(cpu);
	assert_true(t1 >= t0 && t1 - t0 < 10 * hz);
	assert_true(vcpu_rdtsc(cpu) > t1);
	fake_wrmsr(cpu, TSC, 1ull << 60);
	assert_true(vcpu_rdtsc(cpu) >= 1ull << 60);
	vm_close(ctx);
}

/* In real time, through the event loop: never early. */
static void
timer_real_time(void **state)
{
	struct irqchip *chip;
	struct vmctx *ctx;
	struct vcpu *cpu;
	uint64_t due, start;

	assert_int_equal(vm_new("timer", &fake_engine_ops, &ctx), 0);
	cpu = vm_vcpu_open(ctx, 0);
	assert_non_null(cpu);
	assert_int_equal(irqchip_create(ctx, false, &chip), 0);
	enable(cpu);
	wr(cpu, R_TIMER, 0x43 | DEADLINE);
	due = vcpu_rdtsc(cpu) + vm_tsc_hz(ctx) / 200;
	fake_wrmsr(cpu, TSC_DEADLINE, due);
	while (fake_pending(cpu) < 0)
		assert_true(vm_event_poll(ctx, 10000) >= 0);
	assert_true(vcpu_rdtsc(cpu) >= due);
	assert_int_equal(fake_accept(cpu), 0x43);
	wr(cpu, R_EOI, 0);
	wr(cpu, R_TIMER, 0x44);
	wr(cpu, R_TDCR, DIV_1);
	start = vm_clock_ns(ctx);
	wr(cpu, R_TMICT, 2 * TICKS);
	while (fake_pending(cpu) < 0)
		assert_true(vm_event_poll(ctx, 10000) >= 0);
	assert_true(vm_clock_ns(ctx) - start >= 2 * TICKS_NS - 8);
	vm_close(ctx);
}

/* --- IA32_APIC_BASE --------------------------------------------------- */

static void
mode_transitions(void **state)
{
	enum { OFF = 0, EXTD = 0x400, EN = 0x800, X2 = 0xc00 };
	static const struct {
		uint32_t from, to;
		bool ok;
	} table[] = {
		{ EN, EN, true },
		{ EN, X2, true },
		{ EN, OFF, true },
		{ EN, EXTD, false },
		{ X2, X2, true },
		{ X2, EN, false },
		{ X2, OFF, true },
		{ X2, EXTD, false },
		{ OFF, OFF, true },
		{ OFF, EN, true },
		{ OFF, X2, false },
		{ OFF, EXTD, false },
	};
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[1];

	for (size_t n = 0; n < ARRAY_LEN(table); n++) {
		uint32_t stays = table[n].ok ? table[n].to : table[n].from;

		fake_wrmsr(cpu, APIC_BASE, 0xfee00000); /* always allowed */
		if (table[n].from != OFF)
			fake_wrmsr(cpu, APIC_BASE, 0xfee00800);
		if (table[n].from == X2)
			fake_wrmsr(cpu, APIC_BASE, 0xfee00c00);
		assert_int_equal(
		    fake_wrmsr_gp(cpu, APIC_BASE, 0xfee00000 | table[n].to),
		    !table[n].ok);
		assert_int_equal(
		    fake_rdmsr(cpu, APIC_BASE), 0xfee00000 | stays);
	}
	/* Reserved bits; BSP and address do not move. */
	cpu = f->cpu[0];
	assert_true(fake_wrmsr_gp(cpu, APIC_BASE, 0xfee00801));
	assert_true(fake_wrmsr_gp(cpu, APIC_BASE, 0xfee00a00));
	assert_true(fake_wrmsr_gp(cpu, APIC_BASE, 1ull << 52 | 0xfee00800));
	fake_wrmsr(cpu, APIC_BASE, 0xfec00800);
	assert_int_equal(fake_rdmsr(cpu, APIC_BASE), 0xfee00900);
}

static void
hardware_disable(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[1];

	enable(cpu);
	wr(cpu, R_TPR, 0x20);
	wr(cpu, R_TIMER, 0x40 | PERIODIC);
	wr(cpu, R_TMICT, 1000);
	raise_vector(cpu, 0x50);
	fake_wrmsr(cpu, APIC_BASE, 0xfee00000);
	assert_int_equal(fake_pending(cpu), -1);
	assert_int_equal(rd(cpu, R_VER), 0xffffffff);
	wr(cpu, R_TPR, 0);
	raise_vector(cpu, 0x51);
	fake_events(cpu);
	irq_msi(f->ctx, LAPIC | 1 << 12, 0x400);
	assert_int_equal(fake_events(cpu), 0); /* not on the bus at all */
	vm_clock_advance(f->ctx, 100 * FAKE_MS);
	/* LINT1 is the NMI pin now. */
	assert_int_equal(irqchip_local_irq(f->chip, 1, VM_LVT_LINT1), 0);
	assert_int_equal(fake_events(cpu), VCPU_EV_NMI);
	fake_wrmsr(cpu, APIC_BASE, 0xfee00800);
	assert_int_equal(rd(cpu, R_SVR), 0xff);
	assert_int_equal(rd(cpu, R_TPR), 0);
	assert_int_equal(rd(cpu, R_TIMER), MASKED);
	assert_int_equal(rd(cpu, R_TMICT), 0);
	assert_int_equal(fake_pending(cpu), -1);
}

static void
xapic_to_x2apic(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[2];

	enable(cpu);
	wr(cpu, R_LDR, 0x04000000);
	wr(cpu, R_TPR, 0x30);
	raise_vector(cpu, 0x66);
	ipi(cpu, 0x77, 0x4084);
	assert_true(fake_rdmsr_gp(cpu, X2(R_ID)));
	assert_true(fake_wrmsr_gp(cpu, X2(R_TPR), 0));
	fake_wrmsr(cpu, APIC_BASE, 0xfee00c00);
	assert_int_equal(rd(cpu, R_ID), 0xffffffff); /* the page is gone */
	wr(cpu, R_TPR, 0x80);
	assert_int_equal(fake_rdmsr(cpu, X2(R_ID)), 2);
	assert_int_equal(fake_rdmsr(cpu, X2(R_LDR)), 4);
	assert_int_equal(fake_rdmsr(cpu, X2(R_TPR)), 0x30);
	assert_int_equal(fake_rdmsr(cpu, X2(R_SVR)), 0x1ff);
	assert_true(fake_rdmsr(cpu, X2(R_ICR)) == 0x4084);
	assert_int_equal(fake_accept(cpu), 0x66);
	fake_wrmsr(cpu, X2(R_EOI), 0);
	assert_int_equal(fake_pending(cpu), -1);
}

/* INIT: as after power-on, but mode, id and base stay. */
static void
init_signal(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[2];
	const struct vcpu_intr_ops *ops;
	void *apic;

	ops = vcpu_intr(cpu, &apic);
	enable(cpu);
	wr(cpu, R_LDR, 0x04000000);
	wr(cpu, R_TPR, 0x10);
	wr(cpu, R_TIMER, 0x40 | PERIODIC);
	wr(cpu, R_TMICT, 100000);
	raise_vector(cpu, 0x66);
	raise_vector(cpu, 0x77);
	assert_int_equal(fake_accept(cpu), 0x77);
	ops->init(apic);
	vm_clock_advance(f->ctx, 100 * FAKE_MS);
	assert_int_equal(rd(cpu, R_ID), 2u << 24);
	assert_int_equal(rd(cpu, R_LDR), 0);
	assert_int_equal(rd(cpu, R_TPR), 0);
	assert_int_equal(rd(cpu, R_PPR), 0);
	assert_int_equal(rd(cpu, R_SVR), 0xff);
	assert_int_equal(rd(cpu, R_TIMER), MASKED);
	for (unsigned int r = R_ISR; r < R_ESR; r++)
		assert_int_equal(rd(cpu, r), 0);
	assert_int_equal(fake_pending(cpu), -1);
	fake_wrmsr(cpu, APIC_BASE, 0xfee00c00);
	ops->init(apic);
	assert_int_equal(fake_rdmsr(cpu, APIC_BASE), 0xfee00c00);
	assert_int_equal(fake_rdmsr(cpu, X2(R_LDR)), 4);
}

/* --- x2APIC ----------------------------------------------------------- */

/* For every register: readable, writable, and the bits WRMSR may set. */
static void
x2apic_gp(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[1];
	struct {
		bool r, w;
		uint64_t valid;
	} t[0x100] = { 0 };

	t[R_ID].r = t[R_VER].r = t[R_PPR].r = t[R_LDR].r = true;
	t[R_TMCCT].r = true;
	for (unsigned int r = R_ISR; r < R_ESR; r++)
		t[r].r = true;
	t[R_EOI].w = t[R_SELF].w = true;
	t[R_SELF].valid = 0xff;
	t[R_TPR].valid = 0xff;
	t[R_SVR].valid = 0x3ff;
	t[R_CMCI].valid = t[R_THERMAL].valid = t[R_PERF].valid = 0x117ff;
	t[R_TIMER].valid = 0x710ff;
	t[R_LINT0].valid = t[R_LINT1].valid = 0x1f7ff;
	t[R_ERROR].valid = 0x110ff;
	t[R_TMICT].valid = 0xffffffff;
	t[R_TDCR].valid = 0xb;
	t[R_ICR].valid = 0xffffffff000ccfff;
	for (unsigned int r = 0; r < 0x100; r++)
		if (t[r].valid != 0 && r != R_SELF)
			t[r].r = t[r].w = true;
	t[R_ESR].r = t[R_ESR].w = true;
	for (unsigned int r = 0; r < 0x100; r++) {
		assert_int_equal(fake_rdmsr_gp(cpu, X2(r)), !t[r].r);
		assert_int_equal(fake_wrmsr_gp(cpu, X2(r), 0), !t[r].w);
		for (unsigned int bit = 0; t[r].w && bit < 64; bit++)
			if ((t[r].valid >> bit & 1) == 0)
				assert_true(
				    fake_wrmsr_gp(cpu, X2(r), 1ull << bit));
	}
	/* And nothing else faults. */
	for (unsigned int r = 0; r < 0x100; r++)
		if (t[r].w && r != R_ICR)
			assert_false(fake_wrmsr_gp(cpu, X2(r), t[r].valid));
	fake_wrmsr(cpu, X2(R_ICR), 0xffffffff00008500); /* INIT de-assert */
	fake_wrmsr(cpu, X2(R_SVR), 0x3ff);
	fake_wrmsr(cpu, X2(R_LINT1), 0x1f7ff);
	assert_int_equal(fake_rdmsr(cpu, X2(R_LINT1)), 0x1a7ff);
}

static void
x2apic_start(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < NCPUS; i++) {
		assert_int_equal(fake_rdmsr(f->cpu[i], APIC_BASE),
		    0xfee00c00u | (i == 0 ? 0x100 : 0));
		assert_int_equal(fake_rdmsr(f->cpu[i], X2(R_ID)), i);
		assert_int_equal(fake_rdmsr(f->cpu[i], X2(R_LDR)), 1u << i);
		assert_int_equal(fake_rdmsr(f->cpu[i], X2(R_VER)), 0x60014);
	}
	chips_reset(f->ctx);
	assert_int_equal(fake_rdmsr(f->cpu[3], APIC_BASE), 0xfee00c00u);
}

static unsigned int
x2_who_takes(struct fixture *f, int vector)
{
	unsigned int who = 0;

	for (unsigned int i = 0; i < NCPUS; i++)
		if (fake_accept(f->cpu[i]) == vector) {
			fake_wrmsr(f->cpu[i], X2(R_EOI), 0);
			who |= 1u << i;
		}
	return who;
}

static void
x2apic_ipis(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[0];

	for (unsigned int i = 0; i < NCPUS; i++)
		fake_wrmsr(f->cpu[i], X2(R_SVR), 0x1ff);
	fake_wrmsr(cpu, X2(R_ICR), 3ull << 32 | 0x80);
	assert_true(fake_rdmsr(cpu, X2(R_ICR)) == (3ull << 32 | 0x80));
	assert_int_equal(x2_who_takes(f, 0x80), 0x8);
	fake_wrmsr(cpu, X2(R_ICR), 0xffffffffull << 32 | 0x81);
	assert_int_equal(x2_who_takes(f, 0x81), 0xf);
	/* 0xff is an id like any other here. */
	fake_wrmsr(cpu, X2(R_ICR), 0xffull << 32 | 0x82);
	assert_int_equal(x2_who_takes(f, 0x82), 0);
	/* Logical: cluster 0, bits 1 and 3; then a cluster nobody is in. */
	fake_wrmsr(cpu, X2(R_ICR), 0xaull << 32 | 0x800 | 0x83);
	assert_int_equal(x2_who_takes(f, 0x83), 0xa);
	fake_wrmsr(cpu, X2(R_ICR), 0x1000aull << 32 | 0x800 | 0x84);
	assert_int_equal(x2_who_takes(f, 0x84), 0);
	fake_wrmsr(cpu, X2(R_ICR), 0xc0000 | 0x85);
	assert_int_equal(x2_who_takes(f, 0x85), 0xe);
	fake_wrmsr(cpu, X2(R_SELF), 0x86);
	assert_int_equal(x2_who_takes(f, 0x86), 0x1);
	fake_wrmsr(cpu, X2(R_SELF), 0x05);
	fake_wrmsr(cpu, X2(R_ESR), 0);
	assert_int_equal(fake_rdmsr(cpu, X2(R_ESR)), 0x20);
	/* MSI and broadcast by 8-bit id reach x2APICs. */
	irq_msi(f->ctx, LAPIC | 2 << 12, 0x90);
	assert_int_equal(x2_who_takes(f, 0x90), 0x4);
	irq_msi(f->ctx, LAPIC | 0xff << 12, 0x91);
	assert_int_equal(x2_who_takes(f, 0x91), 0xf);
	irq_msi(f->ctx, LAPIC | 0x6 << 12 | 4, 0x92);
	assert_int_equal(x2_who_takes(f, 0x92), 0x6);
}

/* --- snapshot --------------------------------------------------------- */

static void
snapshot_round_trip(void **state)
{
	struct fixture *f = *state, *g = fixture_new(false);
	struct vcpu *cpu = f->cpu[1], *copy = g->cpu[1];
	struct snap *s, *again;

	enable(cpu);
	wr(cpu, R_LDR, 0x02000000);
	wr(cpu, R_TPR, 0x20);
	wr(cpu, R_LINT1, 0x400);
	wr(cpu, R_TDCR, DIV_1);
	wr(cpu, R_TIMER, 0x41 | PERIODIC);
	wr(cpu, R_TMICT, TICKS);
	ipi(cpu, 0x3, 0x4085);
	raise_vector(cpu, 0x70);
	raise_vector(cpu, 0x60);
	assert_int_equal(fake_accept(cpu), 0x70);
	fake_wrmsr(f->cpu[2], APIC_BASE, 0xfee00c00);
	fake_wrmsr(f->cpu[2], X2(R_SVR), 0x1ff);
	fake_wrmsr(f->cpu[2], X2(R_TIMER), 0x42 | DEADLINE);
	fake_wrmsr(
	    f->cpu[2], TSC_DEADLINE, vcpu_rdtsc(cpu) + vm_tsc_hz(f->ctx));
	vm_clock_advance(f->ctx, TICKS_NS / 4);
	s = fake_save(f->ctx);

	vm_clock_advance(g->ctx, 77777 * FAKE_MS); /* another clock */
	assert_int_equal(fake_load(g->ctx, s), 0);
	again = fake_save(g->ctx);
	assert_true(fake_same(s, again));
	snap_destroy(again);
	assert_int_equal(rd(copy, R_LDR), 0x02000000);
	assert_int_equal(rd(copy, R_PPR), 0x70);
	assert_int_equal(rd(copy, R_ICR), 0x4085);
	assert_in_range(rd(copy, R_TMCCT), TICKS / 4 * 3, TICKS / 4 * 3 + 1);
	assert_int_equal(fake_pending(copy), -1);
	wr(copy, R_EOI, 0);
	assert_int_equal(fake_accept(copy), 0x60);
	wr(copy, R_EOI, 0);
	vm_clock_advance(g->ctx, TICKS_NS / 4 * 3 - 16);
	assert_int_equal(fake_pending(copy), -1);
	vm_clock_advance(g->ctx, 32);
	assert_int_equal(fake_accept(copy), 0x41);
	assert_int_equal(fake_pending(g->cpu[2]), -1);
	vm_clock_advance(g->ctx, 1000 * FAKE_MS);
	assert_int_equal(fake_accept(g->cpu[2]), 0x42);
	snap_destroy(s);
	fake_vm_free(g->ctx);
	free(g);
}

/* Any byte of the stream replaced: refused or loaded, never out of bounds. */
static void
snapshot_hostile(void **state)
{
	struct fixture *f = *state;
	struct snap *s;
	size_t len;
	unsigned int refused = 0;

	enable_all(f);
	wr(f->cpu[0], R_TIMER, 0x41 | PERIODIC);
	wr(f->cpu[0], R_TMICT, 1000000);
	s = fake_save(f->ctx);
	snap_data(s, &len);
	for (size_t off = 0; off < len; off++) {
		if (fake_load_patched(f->ctx, s, off, 0xff) != 0)
			refused++;
		vm_clock_advance(f->ctx, 1000);
		for (unsigned int i = 0; i < NCPUS; i++) {
			rd(f->cpu[i], R_TMCCT);
			if (fake_accept(f->cpu[i]) >= 0)
				wr(f->cpu[i], R_EOI, 0);
		}
	}
	assert_true(refused > 100);
	assert_int_equal(fake_load(f->ctx, s), 0);
	snap_destroy(s);
}

static void
pause_resume(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[0];

	enable(cpu);
	wr(cpu, R_TDCR, DIV_1);
	wr(cpu, R_TIMER, 0x41);
	wr(cpu, R_TMICT, TICKS);
	chips_pause(f->ctx);
	vm_clock_advance(f->ctx, 10 * TICKS_NS); /* stands still */
	assert_int_equal(fake_pending(cpu), -1);
	chips_resume(f->ctx);
	vm_clock_advance(f->ctx, TICKS_NS - 1);
	assert_int_equal(fake_pending(cpu), -1);
	vm_clock_advance(f->ctx, 1);
	assert_int_equal(fake_accept(cpu), 0x41);
}

static void
reset_clears(void **state)
{
	struct fixture *f = *state;
	struct vcpu *cpu = f->cpu[1];

	enable(cpu);
	wr(cpu, R_TIMER, 0x41 | PERIODIC);
	wr(cpu, R_TMICT, 1000);
	raise_vector(cpu, 0x90);
	fake_wrmsr(f->cpu[2], APIC_BASE, 0xfee00c00);
	fake_wrmsr(cpu, TSC, 12345);
	chips_reset(f->ctx);
	assert_int_equal(fake_rdmsr(cpu, TSC), 0);
	assert_int_equal(fake_rdmsr(cpu, TSC_ADJUST), 0);
	vm_clock_advance(f->ctx, 100 * FAKE_MS);
	reset_values(state);
}

#define X(fn)	cmocka_unit_test_setup_teardown(fn, setup_xapic, teardown)
#define X2T(fn) cmocka_unit_test_setup_teardown(fn, setup_x2apic, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		X(reset_values),
		X(writable_bits),
		X(read_only_registers),
		X(bad_mmio),
		X(irr_isr_eoi),
		X(priority_classes),
		X(task_priority),
		X(coalescing),
		X(software_disable),
		X(error_status),
		X(error_in_error),
		X(ipi_physical),
		X(ipi_logical_flat),
		X(ipi_logical_cluster),
		X(ipi_shorthands),
		X(ipi_lowest_priority),
		X(ipi_nmi_init_sipi),
		X(lvt_delivery_modes),
		X(lvt_perf_masks_itself),
		X(timer_oneshot),
		X(timer_divide),
		X(timer_periodic),
		X(timer_masked),
		X(timer_storm),
		X(timer_deadline),
		X(timer_deadline_tsc_moved),
		cmocka_unit_test(tsc_of_the_host),
		cmocka_unit_test(timer_real_time),
		X(mode_transitions),
		X(hardware_disable),
		X(xapic_to_x2apic),
		X(init_signal),
		X2T(x2apic_gp),
		X2T(x2apic_start),
		X2T(x2apic_ipis),
		X(snapshot_round_trip),
		X(snapshot_hostile),
		X(pause_resume),
		X(reset_clears),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
