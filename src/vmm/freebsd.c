/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * freebsd.c - the state in which FreeBSD's loader enters its kernel, for
 * programs that load one (docs/bhyve.md 2.4).
 */
#include "vm_priv.h"

#include <errno.h>

#define CR0_PE	     BIT64(0)
#define CR0_NE	     BIT64(5)
#define CR0_PG	     BIT64(31)
#define CR4_PAE	     BIT64(5)
#define EFER_LME     BIT64(8)
#define EFER_LMA     BIT64(10)
#define RFLAGS_ONE   0x2u

#define SEL_CODE     0x08u
#define SEL_DATA     0x10u
#define SEL_TSS	     0x18u
#define SEG_UNUSABLE 0x10000u
#define SEG_TSS_BUSY 0x8bu
#define TSS_OFFSET   4096u /* i386: the page after the GDT */
#define TSS_LIMIT    103u

struct entry_state {
	uint64_t cr0, cr4, efer;
	uint32_t code_access, data_access, limit;
	uint64_t tss_base;
	uint32_t tss_sel, tss_limit;
	uint64_t gdt[4];
	unsigned int ngdt;
};

static const int data_regs[] = { VM_REG_GUEST_DS, VM_REG_GUEST_ES,
	VM_REG_GUEST_FS, VM_REG_GUEST_GS, VM_REG_GUEST_SS };

/* 0 or -1. */
static int
set_segments(struct vcpu *vcpu, const struct entry_state *s)
{
	int err = 0;

	err |= vm_set_register(vcpu, VM_REG_GUEST_CS, SEL_CODE);
	err |= vm_set_desc(vcpu, VM_REG_GUEST_CS, 0, s->limit, s->code_access);
	for (size_t i = 0; i < ARRAY_LEN(data_regs); i++) {
		err |= vm_set_register(vcpu, data_regs[i], SEL_DATA);
		err |= vm_set_desc(
		    vcpu, data_regs[i], 0, s->limit, s->data_access);
	}
	err |= vm_set_register(vcpu, VM_REG_GUEST_TR, s->tss_sel);
	err |= vm_set_desc(
	    vcpu, VM_REG_GUEST_TR, s->tss_base, s->tss_limit, SEG_TSS_BUSY);
	err |= vm_set_register(vcpu, VM_REG_GUEST_LDTR, 0);
	err |= vm_set_desc(vcpu, VM_REG_GUEST_LDTR, 0, 0xffff, SEG_UNUSABLE);
	return err;
}

static int
enter_state(struct vcpu *vcpu, const struct entry_state *s, uint64_t rip,
    uint64_t cr3, uint64_t gdtbase, uint64_t rsp)
{
	const int regs[] = { VM_REG_GUEST_CR4, VM_REG_GUEST_CR3,
		VM_REG_GUEST_EFER, VM_REG_GUEST_CR0, VM_REG_GUEST_RFLAGS,
		VM_REG_GUEST_RIP, VM_REG_GUEST_RSP };
	const uint64_t vals[] = { s->cr4, cr3, s->efer, s->cr0, RFLAGS_ONE, rip,
		rsp };
	size_t gdt_bytes = s->ngdt * sizeof(s->gdt[0]);
	int err = vm_mem_write(vcpu->ctx, gdtbase, s->gdt, gdt_bytes);

	if (err != 0)
		return vm_api_result(err);
	if (vm_set_register_set(vcpu, ARRAY_LEN(regs), regs, vals) != 0)
		return -1;
	if (set_segments(vcpu, s) != 0)
		return -1;
	return vm_set_desc(
	    vcpu, VM_REG_GUEST_GDTR, gdtbase, (uint32_t)gdt_bytes - 1, 0);
}

int
vm_setup_freebsd_registers(struct vcpu *vcpu, uint64_t rip, uint64_t cr3,
    uint64_t gdtbase, uint64_t rsp)
{
	static const struct entry_state state = {
		.cr0 = CR0_PE | CR0_PG | CR0_NE,
		.cr4 = CR4_PAE,
		.efer = EFER_LME | EFER_LMA,
		.code_access = 0x209b,
		.data_access = 0x0093,
		.limit = 0,
		.gdt = { 0, 0x0020980000000000, 0x0000900000000000 },
		.ngdt = 3,
	};

	return enter_state(vcpu, &state, rip, cr3, gdtbase, rsp);
}

int
vm_setup_freebsd_registers_i386(
    struct vcpu *vcpu, uint32_t eip, uint32_t gdtbase, uint32_t esp)
{
	uint32_t tss = gdtbase + TSS_OFFSET;
	struct entry_state state = {
		.cr0 = CR0_PE | CR0_NE,
		.code_access = 0xc09b,
		.data_access = 0xc093,
		.limit = UINT32_MAX,
		.tss_base = tss,
		.tss_sel = SEL_TSS,
		.tss_limit = TSS_LIMIT,
		/* Flat code and data; then an available TSS. */
		.gdt = { 0, 0x00cf9a000000ffff, 0x00cf92000000ffff,
		    TSS_LIMIT | (uint64_t)(tss & 0xffffff) << 16 |
			0x89ull << 40 | (uint64_t)(tss >> 24) << 56 },
		.ngdt = 4,
	};

	return enter_state(vcpu, &state, eip, 0, gdtbase, esp);
}
