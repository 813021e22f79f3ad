/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * entry.c - the processor's state at a kernel's first instruction.
 *
 * Two states serve every kernel's protocol: flat 32-bit protected mode (32-bit
 * boot protocol, PVH, Multiboot 0.6.96 section 3.2) and long mode with the low
 * 4 GiB mapped one to one (Linux Documentation/arch/x86/boot.rst, "64-bit Boot
 * Protocol"); boot sectors begin in real mode.  The GDT in guest memory is made
 * from the same table as the hidden parts, so that a kernel which reloads a
 * selector gets what it had.
 */
#include "image.h"

#include <assert.h>
#include <errno.h>

#include <vmm/mem.h>
#include <vmmapi.h>

/* __BOOT_CS and __BOOT_DS of the Linux protocol; the others accept any. */
#define SEL_CODE 0x10
#define SEL_DATA 0x18
#define SEL_TSS	 0x20
#define GDT_SIZE 0x30 /* the TSS has 16 bytes in long mode */

/* docs/bhyve.md 2.5.  G always: VMX refuses limits beyond 1 MiB without
 * (SDM 26.3.1.2).
 */
#define DESC_CODE64	  0xa09b /* G, L, P, S, execute/read, accessed */
#define DESC_CODE32	  0xc09b /* G, D, P, S, execute/read, accessed */
#define DESC_DATA	  0xc093 /* G, B, P, S, read/write, accessed */
#define DESC_TSS_BUSY	  0x8b
#define DESC_UNUSABLE	  0x10000
#define DESC_REAL	  0x93 /* P, S, read/write, accessed: even CS's (9.1.4) */
#define DESC_G		  0x8000

#define CR0_PE		  BIT(0)
#define CR0_ET		  BIT(4)
#define CR0_NE		  BIT(5)
#define CR0_PG		  BIT(31)
#define CR4_PAE		  BIT(5)
#define EFER_LME	  BIT(8)
#define EFER_LMA	  BIT(10)

#define RFLAGS_RSVD1	  0x2

#define REAL_VECTORS_SIZE 0x400 /* SDM 3B 21.1.4 */

#define PTE_P		  BIT64(0)
#define PTE_RW		  BIT64(1)
#define PTE_PS		  BIT64(7)
#define PT_ENTRIES	  512
#define PT_SIZE		  4096
#define MAP_GIB		  4

struct seg {
	int reg;
	uint16_t sel;
	uint32_t limit, access;
};

/* CS comes from the mode. */
static const struct seg seg_table[] = {
	{ VM_REG_GUEST_DS, SEL_DATA, 0xffffffff, DESC_DATA },
	{ VM_REG_GUEST_ES, SEL_DATA, 0xffffffff, DESC_DATA },
	{ VM_REG_GUEST_FS, SEL_DATA, 0xffffffff, DESC_DATA },
	{ VM_REG_GUEST_GS, SEL_DATA, 0xffffffff, DESC_DATA },
	{ VM_REG_GUEST_SS, SEL_DATA, 0xffffffff, DESC_DATA },
	{ VM_REG_GUEST_TR, SEL_TSS, 0x67, DESC_TSS_BUSY },
	{ VM_REG_GUEST_LDTR, 0, 0, DESC_UNUSABLE },
};

struct regval {
	int reg;
	uint64_t val;
};

/* SDM 3A, 3.4.5: base 0; the limit counts pages when G is set. */
static uint64_t
gdt_entry(uint32_t limit, uint32_t access)
{
	uint64_t raw = (access & DESC_G) != 0 ? limit >> 12 : limit;

	return (raw & 0xffff) | ((uint64_t)(access & 0xff) << 40) |
	       (((raw >> 16) & 0xf) << 48) |
	       ((uint64_t)((access >> 12) & 0xf) << 52);
}

static int
put_gdt(struct boot_load *l, uint32_t code_access)
{
	uint64_t gdt[GDT_SIZE / 8] = {
		[SEL_CODE / 8] = gdt_entry(0xffffffff, code_access),
		[SEL_DATA / 8] = gdt_entry(0xffffffff, DESC_DATA),
		[SEL_TSS / 8] = gdt_entry(0x67, DESC_TSS_BUSY),
	};

	return boot_put(l, BOOT_GDT_GPA, gdt, sizeof(gdt));
}

static int
set_segments(struct vcpu *vcpu, uint32_t code_access)
{
	const struct seg code = { VM_REG_GUEST_CS, SEL_CODE, 0xffffffff,
		code_access };
	int rc = 0;

	for (size_t i = 0; i <= ARRAY_LEN(seg_table); i++) {
		const struct seg *s =
		    i < ARRAY_LEN(seg_table) ? &seg_table[i] : &code;

		rc |= vm_set_desc(vcpu, s->reg, 0, s->limit, s->access);
		rc |= vm_set_register(vcpu, s->reg, s->sel);
	}
	rc |=
	    vm_set_desc(vcpu, VM_REG_GUEST_GDTR, BOOT_GDT_GPA, GDT_SIZE - 1, 0);
	rc |= vm_set_desc(vcpu, VM_REG_GUEST_IDTR, 0, 0, 0);
	return rc;
}

/* Every general register is given a value: nothing of the reset remains. */
static int
set_registers(struct vcpu *vcpu, const struct regval *rv, size_t n)
{
	int rc = 0;

	for (int reg = VM_REG_GUEST_RAX; reg <= VM_REG_GUEST_R15; reg++)
		rc |= vm_set_register(vcpu, reg, 0);
	rc |= vm_set_register(vcpu, VM_REG_GUEST_RFLAGS, RFLAGS_RSVD1);
	rc |= vm_set_register(vcpu, VM_REG_GUEST_RSP, BOOT_STACK_TOP);
	for (size_t i = 0; i < n; i++)
		rc |= vm_set_register(vcpu, rv[i].reg, rv[i].val);
	return rc;
}

/* The engine fails, not the file. */
static int
fail_registers(struct boot_load *l)
{
	return boot_fail(l, -EIO, "setting the registers: %s", strerror(errno));
}

static int
enter(struct boot_load *l, uint32_t code_access, const struct regval *rv,
    size_t n)
{
	int rc = put_gdt(l, code_access);

	if (rc != 0)
		return rc;
	errno = EIO;
	if (vcpu_reset(l->bsp) != 0 || set_registers(l->bsp, rv, n) != 0 ||
	    set_segments(l->bsp, code_access) != 0)
		return fail_registers(l);
	return 0;
}

int
boot_enter_32(struct boot_load *l, const struct boot_entry32 *e)
{
	const struct regval rv[] = {
		{ VM_REG_GUEST_EFER, 0 },
		{ VM_REG_GUEST_CR4, 0 },
		{ VM_REG_GUEST_CR3, 0 },
		{ VM_REG_GUEST_CR0, CR0_PE | CR0_ET },
		{ VM_REG_GUEST_RIP, e->eip },
		{ VM_REG_GUEST_RAX, e->eax },
		{ VM_REG_GUEST_RBX, e->ebx },
		{ VM_REG_GUEST_RSI, e->esi },
	};

	return enter(l, DESC_CODE32, rv, ARRAY_LEN(rv));
}

/* One PML4 page, one PDPT page, four page directories of 2 MiB pages. */
static int
put_page_tables(struct boot_load *l)
{
	const uint64_t pdpt = BOOT_PAGETABLE_GPA + PT_SIZE;
	const uint64_t pd = pdpt + PT_SIZE;
	uint64_t table[PT_ENTRIES] = { [0] = pdpt | PTE_P | PTE_RW };
	int rc = boot_put(l, BOOT_PAGETABLE_GPA, table, sizeof(table));

	for (unsigned int i = 0; i < MAP_GIB; i++)
		table[i] = (pd + i * PT_SIZE) | PTE_P | PTE_RW;
	if (rc == 0)
		rc = boot_put(l, pdpt, table, sizeof(table));
	for (unsigned int i = 0; i < MAP_GIB && rc == 0; i++) {
		for (uint64_t j = 0; j < PT_ENTRIES; j++)
			table[j] = ((uint64_t)i << 30) | (j << 21) | PTE_P |
				   PTE_RW | PTE_PS;
		rc = boot_put(l, pd + i * PT_SIZE, table, sizeof(table));
	}
	return rc;
}
static_assert(BOOT_PAGETABLE_GPA + (2 + MAP_GIB) * PT_SIZE <= BOOT_LOW_END,
    "page tables outgrow their place");

int
boot_enter_64(struct boot_load *l, uint64_t rip, uint64_t rsi)
{
	const struct regval rv[] = {
		{ VM_REG_GUEST_CR3, BOOT_PAGETABLE_GPA },
		{ VM_REG_GUEST_CR4, CR4_PAE },
		{ VM_REG_GUEST_EFER, EFER_LME | EFER_LMA },
		{ VM_REG_GUEST_CR0, CR0_PE | CR0_ET | CR0_NE | CR0_PG },
		{ VM_REG_GUEST_RIP, rip },
		{ VM_REG_GUEST_RSI, rsi },
	};
	int rc = put_page_tables(l);

	return rc != 0 ? rc : enter(l, DESC_CODE64, rv, ARRAY_LEN(rv));
}

/* TR and LDTR are the reset's (SDM 3A table 9-1). */
int
boot_enter_16(struct boot_load *l, uint16_t ip, uint16_t sp, uint8_t dl)
{
	static const int seg[] = { VM_REG_GUEST_CS, VM_REG_GUEST_DS,
		VM_REG_GUEST_ES, VM_REG_GUEST_FS, VM_REG_GUEST_GS,
		VM_REG_GUEST_SS };
	const struct regval rv[] = {
		{ VM_REG_GUEST_CR0, CR0_ET },
		{ VM_REG_GUEST_RIP, ip },
		{ VM_REG_GUEST_RSP, sp },
		{ VM_REG_GUEST_RDX, dl },
	};
	int rc;

	errno = EIO;
	rc = vcpu_reset(l->bsp);
	rc |= set_registers(l->bsp, rv, ARRAY_LEN(rv));
	for (size_t i = 0; i < ARRAY_LEN(seg); i++) {
		rc |= vm_set_desc(l->bsp, seg[i], 0, 0xffff, DESC_REAL);
		rc |= vm_set_register(l->bsp, seg[i], 0);
	}
	rc |=
	    vm_set_desc(l->bsp, VM_REG_GUEST_IDTR, 0, REAL_VECTORS_SIZE - 1, 0);
	return rc == 0 ? 0 : fail_registers(l);
}
