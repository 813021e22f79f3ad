/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rest of the PC: UART, PCI configuration, the power button; and every way
 * the machine can end, chosen by the parameter.
 */
#include "guest.h"

enum end {
	END_TESTS,
	END_CF9,
	END_KBD,
	END_PORT92,
	END_S5,
	END_TRIPLE,
	END_HALT
};

#define COM1	 0x3f8
#define COM1_GSI 4
#define PM1_STS	 0x400
#define PM1_EN	 0x402
#define PM1_CNT	 0x404
#define PWRBTN	 0x100
#define SCI_GSI	 9
#define ECAM	 0xe0000000ull

enum { PRESS_POWER = 1 };

static volatile unsigned int nints;

static void
on_int(struct frame *f)
{
	nints++;
	apic_eoi();
}

static uint32_t
pci_cf8(unsigned int slot, unsigned int off)
{
	out32(0xcf8, 0x80000000u | slot << 11 | (off & ~3u));
	return in32(0xcfc);
}

static void
test_pci(void)
{
	uint32_t host = pci_cf8(0, 0), lpc = pci_cf8(31, 0);

	CHECK_EQ(host, 0x12751275);
	CHECK_EQ(lpc, 0x70008086);
	CHECK_EQ(pci_cf8(0, 8) >> 8, 0x060000);
	CHECK_EQ(pci_cf8(31, 8) >> 8, 0x060100);
	CHECK_EQ(pci_cf8(5, 0), 0xffffffff);
	/* Bytes and words through the data port. */
	out32(0xcf8, 0x80000000u | 31u << 11);
	CHECK_EQ(in8(0xcfc), 0x86);
	CHECK_EQ(in8(0xcff), 0x70);
	CHECK_EQ(in16(0xcfe), 0x7000);
	CHECK_EQ(in32(0xcf8), 0x80000000u | 31u << 11);
	/* Without the enable bit: no configuration cycle. */
	out32(0xcf8, 31u << 11);
	CHECK_EQ(in32(0xcfc), 0xffffffff);
	/* The same by ECAM, in all widths. */
	CHECK_EQ(*(volatile uint32_t *)ECAM, host);
	CHECK_EQ(*(volatile uint32_t *)(ECAM + (31 << 15)), lpc);
	CHECK_EQ(*(volatile uint16_t *)(ECAM + (31 << 15) + 2), 0x7000);
	CHECK_EQ(*(volatile uint8_t *)(ECAM + (31 << 15) + 1), 0x80);
	CHECK_EQ(*(volatile uint32_t *)(ECAM + (5 << 15)), 0xffffffff);
	/* PIRQ registers of the bridge hold what is written. */
	*(volatile uint8_t *)(ECAM + (31 << 15) + 0x60) = 0x0b;
	CHECK_EQ(pci_cf8(31, 0x60) & 0xff, 0x0b);
	*(volatile uint8_t *)(ECAM + (31 << 15) + 0x60) = 0x80;
	/* Read-only ids stay. */
	*(volatile uint32_t *)ECAM = 0;
	CHECK_EQ(*(volatile uint32_t *)ECAM, host);
}

static void
test_uart_loopback(void)
{
	out8(COM1 + 3, 0x83); /* DLAB, 8N1 */
	out8(COM1, 1);
	out8(COM1 + 1, 0);
	CHECK_EQ(in8(COM1), 1);
	out8(COM1 + 3, 0x03);
	out8(COM1 + 7, 0x5a);
	CHECK_EQ(in8(COM1 + 7), 0x5a);
	out8(COM1 + 2, 0x07); /* FIFOs on and empty */
	out8(COM1 + 4, 0x1e); /* loop, OUT2 OUT1 RTS */
	CHECK_EQ(in8(COM1 + 6) >> 4, 0xd);
	for (unsigned int i = 0; i < 16; i++)
		out8(COM1, (uint8_t)(i * 17));
	for (unsigned int i = 0; i < 16; i++) {
		CHECK(WAIT_FOR((in8(COM1 + 5) & 1) != 0, 1000000ull));
		CHECK_EQ(in8(COM1), i * 17);
	}
	CHECK_EQ(in8(COM1 + 5) & 0x61, 0x60);
	out8(COM1 + 4, 0);
}

static void
test_uart_interrupt(void)
{
	nints = 0;
	trap_set(VEC_TEST, on_int);
	ioapic_route(COM1_GSI, VEC_TEST);
	out8(COM1 + 2, 0x07);
	out8(COM1 + 4, 0x18); /* loop; OUT2 lets interrupts out */
	(void)in8(COM1);
	sti();
	out8(COM1 + 1, 0x02); /* transmitter empty: at once */
	CHECK(WAIT_FOR(nints == 1, 1000000ull));
	CHECK_EQ(in8(COM1 + 2) & 0x0f, 0x02);
	CHECK_EQ(in8(COM1 + 2) & 0x0f, 0x01); /* reading it clears it */
	out8(COM1 + 1, 0x01);
	nints = 0;
	out8(COM1, 'x');
	CHECK(WAIT_FOR(nints >= 1, 1000000ull));
	CHECK_EQ(in8(COM1 + 2) & 0x05, 0x04);
	CHECK_EQ(in8(COM1), 'x');
	CHECK_EQ(in8(COM1 + 2) & 0x01, 0x01);
	cli();
	out8(COM1 + 1, 0);
	out8(COM1 + 4, 0);
	ioapic_route(COM1_GSI, IOAPIC_MASKED);
}

static void
on_sci(struct frame *f)
{
	nints++;
	out16(PM1_STS, PWRBTN); /* write one to clear */
	apic_eoi();
}

static void
test_power_button(void)
{
	nints = 0;
	trap_set(VEC_TEST, on_sci);
	ioapic_route(SCI_GSI, IOAPIC_LEVEL | IOAPIC_LOW | VEC_TEST);
	sti();
	out8(0xb2, 0xa0); /* ACPI on */
	CHECK_EQ(in16(PM1_CNT) & 1, 1);
	out16(PM1_EN, PWRBTN);
	CHECK_EQ(nints, 0);
	(void)guest_call(PRESS_POWER, 0);
	CHECK(WAIT_FOR(nints >= 1, 1000000ull));
	delay_us(500);
	CHECK_EQ(nints, 1);
	CHECK_EQ(in16(PM1_STS) & PWRBTN, 0);
	/* Not enabled: the status alone. */
	out16(PM1_EN, 0);
	(void)guest_call(PRESS_POWER, 0);
	delay_us(500);
	CHECK_EQ(nints, 1);
	CHECK_EQ(in16(PM1_STS) & PWRBTN, PWRBTN);
	out16(PM1_STS, PWRBTN);
	out8(0xb2, 0xa1);
	CHECK_EQ(in16(PM1_CNT) & 1, 0);
	cli();
	ioapic_route(SCI_GSI, IOAPIC_MASKED);
}

static void
test_keyboard(void)
{
	out8(0x64, 0xaa); /* self test */
	CHECK(WAIT_FOR((in8(0x64) & 1) != 0, 1000000ull));
	CHECK_EQ(in8(0x60), 0x55);
	out8(0x64, 0x20);
	CHECK(WAIT_FOR((in8(0x64) & 1) != 0, 1000000ull));
	(void)in8(0x60);
	CHECK_EQ(in8(0x64) & 1, 0);
}

static void
wait_for_the_end(void)
{
	delay_us(3000000);
	FAIL("the machine goes on");
}

static void
test_end(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) no_idt = { 0, 0 };

	switch (guest_param(GUEST_PARAM_OWN)) {
	case END_TESTS:
		return;
	case END_CF9:
		out8(0xcf9, 0x02);
		out8(0xcf9, 0x06);
		break;
	case END_KBD:
		out8(0x64, 0xfe);
		break;
	case END_PORT92:
		out8(0x92, in8(0x92) | 1);
		break;
	case END_S5:
		out16(PM1_CNT, 0x3400);
		break;
	case END_TRIPLE:
		__asm__ volatile("lidt %0; int3" ::"m"(no_idt));
		break;
	case END_HALT:
		for (;;)
			__asm__ volatile("cli; hlt");
	}
	wait_for_the_end();
}

const struct guest_test guest_tests[] = {
	TEST("the end", test_end),
	TEST("PCI configuration", test_pci),
	TEST("UART loopback", test_uart_loopback),
	TEST("UART interrupts", test_uart_interrupt),
	TEST("power button", test_power_button),
	TEST("keyboard controller", test_keyboard),
	TEST_END,
};
