/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine whose local APICs start in x2APIC mode (-x): every processor finds
 * it so, interrupts go by MSR, and the page of registers is not there
 * (Intel SDM 3A 10.12).
 */
#include "guest.h"

#define X2_SELF_IPI 0x83fu

static volatile unsigned int hits[GUEST_MAXCPU];

static struct seen {
	uint64_t base, id, ldr, version;
	uint32_t mmio;
} seen[GUEST_MAXCPU];

static void
look(void *arg)
{
	struct seen *s = &seen[this_cpu()->id];

	s->base = rdmsr(MSR_APIC_BASE);
	s->id = rdmsr(MSR_X2APIC(APIC_ID));
	s->ldr = rdmsr(MSR_X2APIC(APIC_LDR));
	s->version = rdmsr(MSR_X2APIC(APIC_VERSION));
	s->mmio = apic_read(APIC_VERSION);
}

static void
test_mode(void)
{
	uint64_t on = APIC_BASE | APIC_BASE_EN | APIC_BASE_EXTD;

	CHECK(cpuid(1, 0).ecx >> 21 & 1);
	smp_run_all(look, NULL);
	for (unsigned int i = 0; i < smp_count(); i++) {
		uint64_t id = smp_apic_id(i);

		CHECK_EQ(seen[i].base, i == 0 ? on | APIC_BASE_BSP : on);
		CHECK_EQ(seen[i].id, id);
		CHECK_EQ(seen[i].ldr, (id >> 4) << 16 | 1u << (id & 15));
		CHECK((seen[i].version & 0xff) >= 0x14);
		CHECK_EQ(seen[i].mmio, 0xffffffff);
	}
}

static void
on_int(struct frame *f)
{
	__atomic_fetch_add(&hits[this_cpu()->id], 1, __ATOMIC_SEQ_CST);
	wrmsr(MSR_X2APIC(APIC_EOI), 0);
}

/* Until the interrupt is there; false: it never came. */
static bool
hit(unsigned int id, unsigned int n)
{
	return WAIT_FOR(hits[id] == n, 1000000ull);
}

static void
test_ipis(void)
{
	trap_set(VEC_TEST, on_int);
	sti();
	for (unsigned int i = 0; i < smp_count(); i++) {
		hits[i] = 0;
		apic_ipi(smp_apic_id(i), VEC_TEST);
		CHECK(hit(i, 1));
		/* By logical id: the cluster's number and a bit in it. */
		wrmsr(MSR_X2APIC(APIC_ICR),
		    seen[i].ldr << 32 | ICR_LOGICAL | VEC_TEST);
		CHECK(hit(i, 2));
	}
	wrmsr(X2_SELF_IPI, VEC_TEST);
	CHECK(hit(0, 3));
	wrmsr(MSR_X2APIC(APIC_ICR), 0xffffffffull << 32 | VEC_TEST);
	for (unsigned int i = 0; i < smp_count(); i++)
		CHECK(hit(i, i == 0 ? 4 : 3));
	cli();
}

static void
write_base(void *arg)
{
	wrmsr(MSR_APIC_BASE, (uint64_t)(uintptr_t)arg);
}

/* Straight back to xAPIC mode is no transition (SDM 3A 10.12.5). */
static void
test_transitions(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	EXPECT_TRAP(guarded(write_base,
			(void *)(uintptr_t)(base & ~(uint64_t)APIC_BASE_EXTD)),
	    13, 0);
	CHECK_EQ(rdmsr(MSR_APIC_BASE), base);
}

const struct guest_test guest_tests[] = {
	TEST("mode of all processors", test_mode),
	TEST("interrupts by MSR", test_ipis),
	TEST("transitions", test_transitions),
	TEST_END,
};
