/* SPDX-License-Identifier: BSD-2-Clause */
/* prot_lib.c - prot_run()'s 64-bit half: tables and tasks; see prot.h. */
#include "prot.h"

void legacy_call(void (*fn32)(void));
void prot_enter(void);
extern uint8_t prot_stubs[];

struct prot_start prot;
struct prot_seen prot_seen;
uint64_t prot_ldt[32];
struct tss32 tss_a, tss_b;
static struct tss32 tss_fault[16];
uint8_t stack_a[4096], stack_b[4096], stack_start[4096];
static uint8_t stack_fault[4096];

/* In a fault's own task: the error code, if there is one, and the end. */
CODE(32, fault_with_error, "popl %eax; int $0x80");
CODE(32, fault_without_error, "int $0x80");

uint64_t
descriptor(uint32_t base, uint32_t limit, uint32_t access)
{
	return (uint64_t)(limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
	       (uint64_t)(access & 0xff) << 40 |
	       (uint64_t)(limit >> 16 & 0xf) << 48 |
	       (uint64_t)(access >> 8 & 0xf0) << 48 |
	       (uint64_t)(base >> 24) << 56;
}

uint64_t
gate(uint32_t access, uint32_t sel, uint32_t offset)
{
	return (offset & 0xffff) | (uint64_t)sel << 16 |
	       (uint64_t)access << 40 | (uint64_t)(offset >> 16) << 48;
}

void
set_access(unsigned int sel, uint32_t access)
{
	uint64_t *d = (sel & TI ? prot_ldt : prot_gdt) + sel / 8;

	*d = (*d & ~(0xffull << 40)) | (uint64_t)(access & 0xff) << 40;
}

uint32_t
access_of(unsigned int sel)
{
	return (sel & TI ? prot_ldt : prot_gdt)[sel / 8] >> 40 & 0xff;
}

static void
reset_task(struct tss32 *t, const void *code, uint8_t *stack_top)
{
	memset(t, 0, sizeof(*t));
	t->link = 0xffff;
	t->esp0 = t->reg[R_SP] = addr32(stack_top);
	t->ss0 = SEL_KDATA;
	t->eip = addr32(code);
	t->eflags = EFL_ONE;
	for (unsigned int i = 0; i < 6; i++)
		t->seg[i] = i == S_CS ? SEL_KCODE32 : SEL_KDATA;
	t->iomap = offsetof(struct tss32, map);
	memset(t->map, 0xff, sizeof(t->map));
}

/*
 * A task for each exception, for those whose own task has no stack any more;
 * tests put PSEL_TSS_FAULT's into a task gate of prot_idt[].
 */
static void
reset_fault_tasks(void)
{
	for (unsigned int v = 0; v < ARRAY_LEN(tss_fault); v++) {
		bool err = v == 8 || (v >= 10 && v <= 14);

		reset_task(&tss_fault[v],
		    err ? fault_with_error : fault_without_error,
		    stack_fault + sizeof(stack_fault));
		tss_fault[v].reg[R_DI] = v;
		prot_gdt[PSEL_TSS_FAULT / 8 + v] =
		    descriptor(addr32(&tss_fault[v]), 0x67, AR_TSS);
	}
}

void
prot_reset(const void *code)
{
	const uint32_t tss_limit = sizeof(struct tss32) - 1;

	memset(prot_gdt, 0, sizeof(prot_gdt));
	memset(prot_ldt, 0, sizeof(prot_ldt));
	memcpy(prot_gdt, gdt, SEL_SCRATCH);
	prot_gdt[PSEL_UCODE / 8] =
	    descriptor(0, 0xfffff, AR_CODE32 | AR_DPL(3));
	prot_gdt[PSEL_UDATA / 8] =
	    descriptor(0, 0xfffff, AR_DATA32 | AR_DPL(3));
	prot_gdt[PSEL_LDT / 8] =
	    descriptor(addr32(prot_ldt), sizeof(prot_ldt) - 1, AR_LDT);
	prot_gdt[PSEL_TSS_A / 8] =
	    descriptor(addr32(&tss_a), tss_limit, AR_TSS);
	prot_gdt[PSEL_TSS_B / 8] =
	    descriptor(addr32(&tss_b), tss_limit, AR_TSS);
	for (unsigned int v = 0; v < 256; v++)
		prot_idt[v] = gate(AR_INT32 | AR_DPL(v == PROT_END ? 3 : 0),
		    SEL_KCODE32, addr32(prot_stubs + 16 * v));
	reset_task(&tss_a, NULL, stack_a + sizeof(stack_a));
	reset_task(&tss_b, NULL, stack_b + sizeof(stack_b));
	reset_fault_tasks();
	prot = (struct prot_start){
		.kind = PROT_RING0,
		.eip = addr32(code),
		.cs = SEL_KCODE32,
		.eflags = EFL_ONE,
		.esp = TOP(stack_start),
		.ss = SEL_KDATA,
		.es = SEL_KDATA,
		.ds = SEL_KDATA,
		.fs = SEL_KDATA,
		.gs = SEL_KDATA,
		.reg = { 0x10, 0x11, 0x12, 0x13, 0, 0x15, 0x16, 0x17 },
		.tr = PSEL_TSS_A,
	};
}

void
prot_ring3(void)
{
	prot.kind = PROT_RING3;
	prot.cs = PSEL_UCODE | 3;
	prot.ss = prot.ds = prot.es = prot.fs = prot.gs = PSEL_UDATA | 3;
}

void
prot_run(void)
{
	memset(&prot_seen, 0xee, sizeof(prot_seen));
	legacy_call(prot_enter);
	/* TR is a task of 32 bits, if it is anything. */
	gdt[SEL_TSS / 8] &= ~((uint64_t)AR_BUSY << 40);
	__asm__ volatile("ltr %w0" ::"r"(SEL_TSS));
	prot_seen.ds &= 0xffff;
	prot_seen.es &= 0xffff;
	prot_seen.fs &= 0xffff;
	prot_seen.gs &= 0xffff;
	prot_seen.cs &= 0xffff;
	prot_seen.ss &= 0xffff;
}

uint32_t *
prot_page_tables(uint32_t flags)
{
	uint32_t *pd = alloc_pages(1);

	for (uint32_t i = 0; i < 16; i++)
		pd[i] = i << 22 | P32_P | P32_W | P32_PS | flags;
	return pd;
}
