/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI as an operating system drives it, on the dummy device (src/dev/dummy.c):
 * both ways to configuration space, BARs, messages, wires, bus mastering.
 */
#include "guest.h"

#define ECAM 0xe0000000ull
#define BDF(b, s, f)                                                           \
	((uint32_t)(b) << 16 | (uint32_t)(s) << 11 | (uint32_t)(f) << 8)
#define DUMMY	  BDF(0, 3, 0)
#define DUMMY_F1  BDF(0, 3, 1)
#define DUMMY_B5  BDF(5, 2, 0)
#define LPC	  BDF(0, 31, 0)

#define COMMAND	  0x04
#define STATUS	  0x06
#define BAR(n)	  (0x10 + 4 * (n))
#define INTLINE	  0x3c
#define INTPIN	  0x3d
#define CMD_IO	  0x001
#define CMD_MEM	  0x002
#define CMD_BM	  0x004
#define CMD_ALL	  0x007
#define CMD_NOINT 0x400
#define STS_INT	  0x008
#define CAP_MSI	  0x05
#define CAP_MSIX  0x11

/* src/dev/dummy.c */
#define IO_INTX	  0
#define IO_VECTOR 4
#define DMA_ADDR  0xff0
#define DMA_LEN	  0xff8
#define DMA_CMD	  0xffc
#define MSIX_PBA  0x800

/* --- configuration space -------------------------------------------------- */

static volatile uint8_t *
ecam(uint32_t bdf, unsigned int off)
{
	return (volatile uint8_t *)(ECAM + ((uint64_t)bdf << 4) + off);
}

static uint32_t
cfg_read(uint32_t bdf, unsigned int off)
{
	return *(volatile uint32_t *)ecam(bdf, off);
}

static void
cfg_write(uint32_t bdf, unsigned int off, uint32_t val)
{
	*(volatile uint32_t *)ecam(bdf, off) = val;
}

static uint16_t
cfg_read16(uint32_t bdf, unsigned int off)
{
	return *(volatile uint16_t *)ecam(bdf, off);
}

static void
cfg_write16(uint32_t bdf, unsigned int off, uint16_t val)
{
	*(volatile uint16_t *)ecam(bdf, off) = val;
}

static uint8_t
cfg_read8(uint32_t bdf, unsigned int off)
{
	return *ecam(bdf, off);
}

static uint32_t
cf8_read(uint32_t bdf, unsigned int off)
{
	out32(0xcf8, 0x80000000u | bdf | off);
	return in32(0xcfc);
}

static void
cf8_write(uint32_t bdf, unsigned int off, uint32_t val)
{
	out32(0xcf8, 0x80000000u | bdf | off);
	out32(0xcfc, val);
}

static unsigned int
cap_find(uint32_t bdf, uint8_t id)
{
	unsigned int off = cfg_read8(bdf, 0x34);

	for (unsigned int i = 0; i < 48 && off != 0; i++) {
		if (cfg_read8(bdf, off) == id)
			return off;
		off = cfg_read8(bdf, off + 1);
	}
	FAIL("no capability %u", id);
	return 0;
}

static uint16_t
io_base(uint32_t bdf)
{
	return (uint16_t)(cfg_read(bdf, BAR(0)) & ~3u);
}

static volatile uint32_t *
mem_at(uint32_t addr)
{
	return (volatile uint32_t *)(uintptr_t)addr;
}

/* A dword behind memory BAR n. */
static volatile uint32_t *
mem_bar(uint32_t bdf, unsigned int n, unsigned int off)
{
	return mem_at(cfg_read(bdf, BAR(n)) + off);
}

static void
test_identity(void)
{
	static const uint32_t all[] = { BDF(0, 0, 0), LPC, DUMMY, DUMMY_F1,
		DUMMY_B5 };

	for (unsigned int i = 0; i < ARRAY_LEN(all); i++)
		for (unsigned int off = 0; off < 256; off += 4)
			CHECK_EQ(cf8_read(all[i], off), cfg_read(all[i], off));
	CHECK_EQ(cfg_read(DUMMY, 0), 0x000110dd);
	CHECK_EQ(cfg_read(DUMMY_B5, 0), 0x000110dd);
	CHECK_EQ(cfg_read(LPC, 0), 0x70008086);
	CHECK_EQ(cfg_read8(DUMMY, 0x0e), 0x80);
	CHECK_EQ(cfg_read8(DUMMY_F1, 0x0e), 0x80);
	CHECK_EQ(cfg_read8(DUMMY_B5, 0x0e), 0);
	CHECK_EQ(cfg_read(BDF(0, 4, 0), 0), 0xffffffff);
	CHECK_EQ(cf8_read(BDF(1, 0, 0), 0), 0xffffffff);
	CHECK_EQ(cfg_read16(DUMMY, COMMAND) & CMD_ALL, CMD_ALL);
}

/* --- BARs ----------------------------------------------------------------- */

static void
test_sizing(void)
{
	static const uint32_t masks[] = { 0xfff9, 0xfffff000, 0xfffff000, 0, 0,
		0 };

	for (unsigned int pass = 0; pass < 4; pass++) {
		cfg_write16(DUMMY, COMMAND, pass & 1 ? CMD_ALL : 0);
		for (unsigned int n = 0; n < 6; n++) {
			uint32_t old = cfg_read(DUMMY, BAR(n));

			if (pass & 2)
				cf8_write(DUMMY, BAR(n), 0xffffffff);
			else
				cfg_write(DUMMY, BAR(n), 0xffffffff);
			CHECK_EQ(cfg_read(DUMMY, BAR(n)), masks[n]);
			cfg_write(DUMMY, BAR(n), old);
		}
	}
	cfg_write16(DUMMY, COMMAND, CMD_ALL);
	*mem_bar(DUMMY, 1, 8) = 0x1234;
	CHECK_EQ(*mem_bar(DUMMY, 1, 8), 0x1234);
}

static void
test_io(void)
{
	uint16_t port = io_base(DUMMY);

	out32(port, 0x11223340);
	CHECK_EQ(in32(port), 0x11223340);
	CHECK_EQ(in16(port + 1), 0x2233);
	CHECK_EQ(in8(port + 3), 0x11);
	out8(port + 2, 0xee);
	CHECK_EQ(in32(port), 0x11ee3340);
	out32(port, 0);
}

static void
test_memory(void)
{
	volatile uint64_t *q = (volatile uint64_t *)mem_bar(DUMMY, 1, 16);
	volatile uint8_t *b = (volatile uint8_t *)q;

	*q = 0x1122334455667788;
	CHECK_EQ(*q, 0x1122334455667788);
	CHECK_EQ(b[1], 0x77);
	CHECK_EQ(*(volatile uint16_t *)(b + 3), 0x4455);
	__asm__ volatile("lock; addl $1, %0" : "+m"(*(uint32_t *)q));
	CHECK_EQ(*q, 0x1122334455667789);
	/* Two functions are two devices. */
	*mem_bar(DUMMY_F1, 1, 16) = 5;
	*mem_bar(DUMMY_B5, 1, 16) = 6;
	CHECK_EQ(*q, 0x1122334455667789);
	CHECK_EQ(*mem_bar(DUMMY_F1, 1, 16), 5);
}

static void
test_move(void)
{
	uint32_t home = cfg_read(DUMMY, BAR(1));
	uint16_t port = io_base(DUMMY);

	*mem_bar(DUMMY, 1, 0) = 0xabcd;
	for (uint32_t to = 0xd0000000; to < 0xd0010000; to += 0x1000) {
		uint32_t from = cfg_read(DUMMY, BAR(1));

		cfg_write(DUMMY, BAR(1), to);
		CHECK_EQ(*mem_at(to), 0xabcd);
		CHECK_EQ(*mem_at(from), 0xffffffff);
	}
	cfg_write(DUMMY, BAR(1), home);
	CHECK_EQ(*mem_at(home), 0xabcd);
	out32(port, 0x40);
	cfg_write(DUMMY, BAR(0), 0x7000);
	CHECK_EQ(in32(0x7000), 0x40);
	CHECK_EQ(in32(port), 0xffffffff);
	cf8_write(DUMMY, BAR(0), port);
	CHECK_EQ(in32(port), 0x40);
}

static void
test_decode(void)
{
	cfg_write16(DUMMY, COMMAND, CMD_MEM);
	CHECK_EQ(in32(io_base(DUMMY)), 0xffffffff);
	CHECK_EQ(*mem_bar(DUMMY, 1, 0), 0xabcd);
	cfg_write16(DUMMY, COMMAND, CMD_IO);
	CHECK(in32(io_base(DUMMY)) != 0xffffffff);
	CHECK_EQ(*mem_bar(DUMMY, 1, 0), 0xffffffff);
	cfg_write16(DUMMY, COMMAND, CMD_ALL);
	CHECK_EQ(*mem_bar(DUMMY, 1, 0), 0xabcd);
}

/* On top of RAM and chips: they stay what they are. */
static void
test_onto_others(void)
{
	static const uint32_t places[] = { 0xfee00000, 0xfec00000, 0xe0018000,
		0x00300000, 0xfed00000 };
	uint32_t home = cfg_read(DUMMY, BAR(1));
	uint32_t version = apic_read(APIC_VERSION);
	uint16_t port = io_base(DUMMY);

	for (unsigned int i = 0; i < ARRAY_LEN(places); i++) {
		uint32_t was = *mem_at(places[i]);

		cfg_write(DUMMY, BAR(1), places[i]);
		CHECK_EQ(*mem_at(places[i]), was);
		CHECK_EQ(apic_read(APIC_VERSION), version);
	}
	cfg_write(DUMMY, BAR(1), home);
	CHECK_EQ(*mem_at(home), 0xabcd);
	cf8_write(DUMMY, BAR(0), 0xcf8);
	CHECK_EQ(cf8_read(DUMMY, 0), 0x000110dd);
	cf8_write(DUMMY, BAR(0), port);
	CHECK_EQ(in32(port), 0x40);
	out32(port, 0);
	/* Onto its sister, which then goes: as when an OS lays out anew. */
	cfg_write(DUMMY_F1, BAR(1), home);
	CHECK_EQ(*mem_at(home), 0xabcd);
	*mem_at(home + 16) = 7;
	cfg_write(DUMMY, BAR(1), 0xd0000000);
	CHECK_EQ(*mem_at(home + 16), 5);
	CHECK_EQ(*mem_at(0xd0000010), 7);
}

/* --- interrupts ----------------------------------------------------------- */

static volatile unsigned int nints[4];

#define ON_VECTOR(n)                                                           \
	static void on_vector##n(struct frame *f)                              \
	{                                                                      \
		nints[n]++;                                                    \
		apic_eoi();                                                    \
	}
ON_VECTOR(0)
ON_VECTOR(1)
ON_VECTOR(2)
ON_VECTOR(3)

static void
vectors_start(void)
{
	trap_set(VEC_TEST, on_vector0);
	trap_set(VEC_TEST + 1, on_vector1);
	trap_set(VEC_TEST + 2, on_vector2);
	trap_set(VEC_TEST + 3, on_vector3);
	for (unsigned int i = 0; i < 4; i++)
		nints[i] = 0;
	cfg_write16(DUMMY, COMMAND, CMD_ALL);
	sti();
}

static void
check_counts(unsigned int a, unsigned int b, unsigned int c, unsigned int d)
{
	delay_us(50);
	CHECK_EQ(nints[0], a);
	CHECK_EQ(nints[1], b);
	CHECK_EQ(nints[2], c);
	CHECK_EQ(nints[3], d);
}

static void
send(unsigned int vec)
{
	out32(io_base(DUMMY) + IO_VECTOR, vec);
}

static void
test_msi(void)
{
	unsigned int cap = cap_find(DUMMY, CAP_MSI);

	vectors_start();
	cfg_write(DUMMY, cap + 4, 0xfee00000);
	cfg_write(DUMMY, cap + 8, 0);
	cfg_write16(DUMMY, cap + 12, VEC_TEST);
	send(0);
	check_counts(0, 0, 0, 0);
	cfg_write16(DUMMY, cap + 2, 0x21); /* four */
	for (unsigned int i = 0; i < 4; i++)
		send(i);
	check_counts(1, 1, 1, 1);
	send(9);
	check_counts(2, 1, 1, 1);
	cfg_write(DUMMY, cap + 16, 0xa);
	send(1);
	send(1);
	send(2);
	send(3);
	check_counts(2, 1, 2, 1);
	CHECK_EQ(cfg_read(DUMMY, cap + 20), 0xa);
	cfg_write(DUMMY, cap + 16, 0x8);
	check_counts(2, 2, 2, 1);
	cfg_write16(DUMMY, COMMAND, CMD_IO | CMD_MEM);
	cfg_write(DUMMY, cap + 16, 0);
	check_counts(2, 2, 2, 1);
	cfg_write16(DUMMY, COMMAND, CMD_ALL);
	check_counts(2, 2, 2, 2);
	CHECK_EQ(cfg_read(DUMMY, cap + 20), 0);
	cfg_write16(DUMMY, cap + 2, 0);
	cli();
}

static void
test_msix(void)
{
	unsigned int cap = cap_find(DUMMY, CAP_MSIX);
	volatile uint32_t *table = mem_bar(DUMMY, 2, 0);
	volatile uint64_t *pba =
	    (volatile uint64_t *)mem_bar(DUMMY, 2, MSIX_PBA);

	vectors_start();
	CHECK_EQ(cfg_read16(DUMMY, cap + 2), 7);
	CHECK_EQ(cfg_read(DUMMY, cap + 4), 2);
	CHECK_EQ(cfg_read(DUMMY, cap + 8), MSIX_PBA | 2);
	cfg_write16(DUMMY, cap + 2, 0x8000);
	for (unsigned int i = 0; i < 8; i++) {
		CHECK_EQ(table[4 * i + 3] & 1, 1);
		*(volatile uint64_t *)&table[4 * i] = 0xfee00000;
		table[4 * i + 2] = VEC_TEST + i % 4;
	}
	send(0);
	send(0);
	send(6);
	check_counts(0, 0, 0, 0);
	CHECK_EQ(*pba, 0x41);
	table[3] = 0;
	check_counts(1, 0, 0, 0);
	CHECK_EQ(*pba, 0x40);
	/* All masked, by the function. */
	cfg_write16(DUMMY, cap + 2, 0xc000);
	table[4 * 6 + 3] = 0;
	send(0);
	check_counts(1, 0, 0, 0);
	CHECK_EQ(*pba, 0x41);
	cfg_write16(DUMMY, cap + 2, 0x8000);
	check_counts(2, 0, 1, 0);
	CHECK_EQ(*pba, 0);
	for (unsigned int i = 0; i < 100; i++)
		send(6);
	delay_us(50);
	CHECK(nints[2] > 1);
	cfg_write16(DUMMY, cap + 2, 0);
	cli();
}

static void
lower(uint32_t bdf)
{
	out8(io_base(bdf) + IO_INTX, 0);
}

static void
on_level(struct frame *f)
{
	nints[0]++;
	lower(DUMMY);
	apic_eoi();
}

/* Leaves it up for some time. */
static void
on_level_late(struct frame *f)
{
	if (++nints[0] == 10)
		lower(DUMMY);
	apic_eoi();
}

static void
on_level_b(struct frame *f)
{
	nints[1]++;
	lower(DUMMY_F1);
	apic_eoi();
}

/* include/vmm/pci.h: PIRQ (4 + bus + slot + pin - 1) % 8, pin 16 + that. */
static unsigned int
gsi_of(uint32_t bdf)
{
	return 16 + (4 + (bdf >> 16) + (bdf >> 11 & 31) +
			cfg_read8(bdf, INTPIN) - 1) %
			8;
}

/* PIRQs are levels: a BIOS has said so before any of them came. */
static void
set_elcr(void)
{
	unsigned int elcr = in8(0x4d0) | in8(0x4d1) << 8;

	elcr |= 1u << cfg_read8(DUMMY, INTLINE) |
		1u << cfg_read8(DUMMY_F1, INTLINE) | 1u << 14;
	out8(0x4d0, (uint8_t)elcr);
	out8(0x4d1, (uint8_t)(elcr >> 8));
}

static void
test_intx_ioapic(void)
{
	set_elcr();
	vectors_start();
	trap_set(VEC_TEST, on_level);
	trap_set(VEC_TEST + 1, on_level_b);
	CHECK_EQ(cfg_read8(DUMMY, INTPIN), 1);
	CHECK_EQ(cfg_read8(DUMMY_F1, INTPIN), 2);
	ioapic_route(gsi_of(DUMMY), IOAPIC_LEVEL | IOAPIC_LOW | VEC_TEST);
	ioapic_route(
	    gsi_of(DUMMY_F1), IOAPIC_LEVEL | IOAPIC_LOW | (VEC_TEST + 1));
	out8(io_base(DUMMY) + IO_INTX, 1);
	CHECK(WAIT_FOR(nints[0] == 1, 100000));
	check_counts(1, 0, 0, 0);
	out8(io_base(DUMMY_F1) + IO_INTX, 1);
	CHECK(WAIT_FOR(nints[1] == 1, 100000));
	/* Disabled by the command register: the status bit tells. */
	cfg_write16(DUMMY, COMMAND, CMD_ALL | CMD_NOINT);
	out8(io_base(DUMMY) + IO_INTX, 1);
	check_counts(1, 1, 0, 0);
	CHECK_EQ(cfg_read16(DUMMY, STATUS) & STS_INT, STS_INT);
	cfg_write16(DUMMY, COMMAND, CMD_ALL);
	CHECK(WAIT_FOR(nints[0] == 2, 100000));
	CHECK_EQ(cfg_read16(DUMMY, STATUS) & STS_INT, 0);
	/* Level: it comes until it is taken down. */
	trap_set(VEC_TEST, on_level_late);
	out8(io_base(DUMMY) + IO_INTX, 1);
	CHECK(WAIT_FOR(nints[0] == 10, 1000000));
	check_counts(10, 1, 0, 0);
	cli();
	ioapic_route(gsi_of(DUMMY), IOAPIC_MASKED);
	ioapic_route(gsi_of(DUMMY_F1), IOAPIC_MASKED);
}

#define PIC_BASE 0x60

static void
on_pic(struct frame *f)
{
	nints[0]++;
	lower(DUMMY);
	out8(0xa0, 0x20);
	out8(0x20, 0x20);
}

static unsigned int
pirq_reg(uint32_t bdf)
{
	unsigned int pirq = gsi_of(bdf) - 16;

	return pirq < 4 ? 0x60 + pirq : 0x64 + pirq;
}

/* Firmware routed the PIRQ; the interrupt line register says where. */
static void
test_intx_8259(void)
{
	uint8_t irq = cfg_read8(DUMMY, INTLINE);

	CHECK((0xdef8 >> irq & 1) != 0);
	CHECK_EQ(cfg_read8(LPC, pirq_reg(DUMMY)), irq);
	nints[0] = 0;
	trap_set(PIC_BASE + irq, on_pic);
	trap_set(PIC_BASE + 14, on_pic);
	set_elcr();
	apic_write(APIC_LVT_LINT0, LVT_EXTINT);
	pic_init(PIC_BASE, (uint16_t)(1u << 2 | 1u << irq | 1u << 14));
	sti();
	out8(io_base(DUMMY) + IO_INTX, 1);
	CHECK(WAIT_FOR(nints[0] == 1, 100000));
	/* Routed elsewhere, and nowhere. */
	*ecam(LPC, pirq_reg(DUMMY)) = 14;
	out8(io_base(DUMMY) + IO_INTX, 1);
	CHECK(WAIT_FOR(nints[0] == 2, 100000));
	*ecam(LPC, pirq_reg(DUMMY)) = 0x80;
	out8(io_base(DUMMY) + IO_INTX, 1);
	check_counts(2, nints[1], nints[2], nints[3]);
	lower(DUMMY);
	*ecam(LPC, pirq_reg(DUMMY)) = irq;
	check_counts(2, nints[1], nints[2], nints[3]);
	cli();
	pic_mask_all();
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
}

/* --- bus mastering -------------------------------------------------------- */

static void
test_dma(void)
{
	volatile uint32_t *page = alloc_pages(1);
	volatile uint32_t *cmd = mem_bar(DUMMY, 1, DMA_CMD);

	*(volatile uint64_t *)mem_bar(DUMMY, 1, DMA_ADDR) = (uintptr_t)page;
	*mem_bar(DUMMY, 1, DMA_LEN) = 8;
	*mem_bar(DUMMY, 1, 0) = 0x600dd00d;
	*mem_bar(DUMMY, 1, 4) = 0x12345678;
	cfg_write16(DUMMY, COMMAND, CMD_IO | CMD_MEM);
	*cmd = 1;
	CHECK_EQ(*cmd, 1);
	CHECK_EQ(page[0], 0);
	cfg_write16(DUMMY, COMMAND, CMD_ALL);
	*cmd = 1;
	CHECK_EQ(*cmd, 0);
	CHECK_EQ(page[0], 0x600dd00d);
	CHECK_EQ(page[1], 0x12345678);
	page[1] = 0x55;
	*cmd = 2;
	CHECK_EQ(*cmd, 0);
	CHECK_EQ(*mem_bar(DUMMY, 1, 4), 0x55);
	/* No memory there. */
	*(volatile uint64_t *)mem_bar(DUMMY, 1, DMA_ADDR) = 0xc0000000;
	*cmd = 2;
	CHECK_EQ(*cmd, 1);
	*(volatile uint64_t *)mem_bar(DUMMY, 1, DMA_ADDR) = ~7ull;
	*cmd = 1;
	CHECK_EQ(*cmd, 1);
}

/* What a device writes into code is what runs next. */
static void
test_dma_code(void)
{
	uint8_t *code = alloc_pages(1);
	volatile uint32_t *cmd = mem_bar(DUMMY, 1, DMA_CMD);
	uint32_t (*fn)(void) = (uint32_t(*)(void))(uintptr_t)code;

	*(volatile uint64_t *)mem_bar(DUMMY, 1, DMA_ADDR) = (uintptr_t)code;
	*mem_bar(DUMMY, 1, DMA_LEN) = 8;
	for (uint32_t i = 1; i <= 20; i++) {
		/* mov $i, %eax; ret */
		*mem_bar(DUMMY, 1, 0) = 0xb8 | i << 8;
		*mem_bar(DUMMY, 1, 4) = 0x0000c300;
		*cmd = 1;
		CHECK_EQ(*cmd, 0);
		CHECK_EQ(fn(), i);
	}
}

const struct guest_test guest_tests[] = {
	TEST("identity by both mechanisms", test_identity),
	TEST("BAR sizing", test_sizing),
	TEST("I/O BAR", test_io),
	TEST("memory BAR", test_memory),
	TEST("moving BARs", test_move),
	TEST("decode off", test_decode),
	TEST("BARs onto others", test_onto_others),
	TEST("MSI", test_msi),
	TEST("MSI-X", test_msix),
	TEST("INTx by the I/O APIC", test_intx_ioapic),
	TEST("INTx by the 8259", test_intx_8259),
	TEST("bus mastering", test_dma),
	TEST("bus mastering into code", test_dma_code),
	TEST_END,
};
