/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_engine.c - runs a test in the software CPU: a guest of one vCPU in long
 * mode at CPL 3, whose page tables map the arena where the process has it.
 */
#include "fuzz_cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmm/engine.h>
#include <vmm/mem.h>
#include <vmm/vm.h>
#include <vmmapi.h>

#include "mmu.h"
#include "run.h"
#include "segint.h"

#define CODE_GPA	0x100000ull
#define DATA_GPA	0x200000ull
#define TABLE_GPA	0x10000ull
#define DESC_VA		0xffff800000000000ull /* supervisor: GDT, then LDT */
#define DESC_GPA	0x20000ull
#define LDT_OFF		0x800ull
#define RAM_BYTES	(16ull << 20)

#define SEQUENCE_BLOCKS 4096u /* a sequence that runs longer is lost */

static struct soft_cpu *cpu;
static uint8_t *guest_data, *guest_code;

/* --- making the guest ------------------------------------------------ */

static void
put_entry(struct vmctx *ctx, uint64_t gpa, uint64_t val)
{
	if (vm_mem_write(ctx, gpa, &val, sizeof(val)) != 0)
		abort();
}

#define PTE_P	 1u
#define PTE_W	 2u
#define PTE_USER (1u | 4u) /* P, U */

/* Four levels for three windows of at most 2 MiB. */
static void
make_tables(struct vmctx *ctx)
{
	uint64_t pml4 = TABLE_GPA, pdpt = TABLE_GPA + PAGE;
	uint64_t pd = TABLE_GPA + 2 * PAGE, pt_code = TABLE_GPA + 3 * PAGE;
	uint64_t pt_data = TABLE_GPA + 4 * PAGE, pt_desc = TABLE_GPA + 5 * PAGE;
	uint64_t pdpt_desc = TABLE_GPA + 6 * PAGE,
		 pd_desc = TABLE_GPA + 7 * PAGE;
	unsigned int k;

	put_entry(ctx, pml4, pdpt | PTE_USER | PTE_W);
	put_entry(ctx, pdpt, pd | PTE_USER | PTE_W);
	put_entry(ctx, pd + (CODE_VA >> 21) * 8, pt_code | PTE_USER | PTE_W);
	put_entry(ctx, pd + (DATA_VA >> 21) * 8, pt_data | PTE_USER | PTE_W);
	put_entry(ctx, pml4 + 256 * 8, pdpt_desc | PTE_P | PTE_W);
	put_entry(ctx, pdpt_desc, pd_desc | PTE_P | PTE_W);
	put_entry(ctx, pd_desc, pt_desc | PTE_P | PTE_W);
	put_entry(ctx, pt_desc, DESC_GPA | PTE_P | PTE_W);
	for (k = 0; k < 2; k++)
		put_entry(ctx, pt_code + k * 8,
		    (CODE_GPA + k * PAGE) | PTE_USER | PTE_W);
	for (k = 0; k < NDATA; k++)
		if (fuzz_data_kind[k] != HOLE)
			put_entry(ctx, pt_data + k * 8,
			    (DATA_GPA + k * PAGE) | PTE_USER |
				(fuzz_data_kind[k] == RW ? PTE_W : 0));
}

/* What there is to see of Linux's GDT, and the tests' LDT. */
static void
make_descriptors(struct vmctx *ctx, struct soft_cpu *c)
{
	const uint64_t *gdt = seg_gdt_image();
	const uint8_t *ldt;
	unsigned int len = seg_ldt_image(&ldt), k;

	for (k = 0; k < GDT_ENTRIES; k++)
		put_entry(ctx, DESC_GPA + k * 8, gdt[k]);
	if (vm_mem_write(ctx, DESC_GPA + LDT_OFF, ldt, len) != 0)
		abort();
	c->gdtr =
	    (struct soft_dtr){ .base = DESC_VA, .limit = GDT_ENTRIES * 8 - 1 };
	c->seg[SEG_LDTR] = (struct soft_seg){ .base = DESC_VA + LDT_OFF,
		.limit = len - 1,
		.access = 0x82,
		.sel = 0x50 };
	if (fuzz.mode == FUZZ_64) /* as the host process */
		c->seg[SEG_LDTR] = (struct soft_seg){ .access = AR_UNUSABLE };
}

static const struct vm_engine_ops *
soft_engine(void)
{
	size_t k;

	for (k = 0; k < vm_engine_table_len; k++)
		if (strcmp(vm_engine_table[k]->name, "soft") == 0)
			return vm_engine_table[k];
	fprintf(stderr, "fuzz_cpu: no soft engine\n");
	exit(2);
}

static void
set_system_state(struct soft_cpu *c)
{
	c->ram = c->vm->ram;
	c->cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_MP | CR0_WP | CR0_AM;
	c->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	c->cr3 = TABLE_GPA;
	c->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
	c->xcr0 = fpu_xcr0_supported();
	c->cpl = 3;
	tlb_flush_all(c);
}

void
engine_init(void)
{
	struct vmctx *ctx;
	struct vcpu *vcpu;

	if (vm_new("fuzz", soft_engine(), &ctx) != 0 ||
	    vm_setup_memory(ctx, RAM_BYTES, VM_MMAP_ALL) != 0 ||
	    (vcpu = vm_vcpu_open(ctx, 0)) == NULL) {
		fprintf(stderr, "fuzz_cpu: cannot make the guest\n");
		exit(2);
	}
	make_tables(ctx);
	guest_code = vm_map_gpa(ctx, CODE_GPA, 2 * PAGE);
	guest_data = vm_map_gpa(ctx, DATA_GPA, DATA_SIZE);
	cpu = vcpu_engine_state(vcpu);
	make_descriptors(ctx, cpu);
	set_system_state(cpu);
}

const uint8_t *
engine_data(void)
{
	return guest_data;
}

/* --- one test -------------------------------------------------------- */

void
engine_prepare(const struct test *t)
{
	uint64_t off = t->s.rip + seg_of(t->s.sel[SEG_CS]).base;
	unsigned int k;

	off = (uint32_t)off - CODE_VA;
	memcpy(guest_data, fuzz.data, DATA_SIZE);
	for (k = 0; k < t->npokes; k++)
		memcpy(guest_data + (t->poke[k].va - DATA_VA), &t->poke[k].val,
		    t->poke[k].size);
	if (memcmp(guest_code + off, t->bytes, t->len) != 0) {
		memcpy(guest_code + off, t->bytes, t->len);
		vm_mem_written(cpu->ctx, CODE_GPA + off, t->len);
	}
}

static void
load_segments(struct soft_cpu *c, const struct test *t)
{
	unsigned int k;

	for (k = 0; k < SEG_LDTR; k++)
		c->seg[k] = seg_of(t->s.sel[k]);
	if (fuzz.mode == FUZZ_64) /* bases are 0; selectors do not matter */
		c->seg[SEG_FS].access = c->seg[SEG_GS].access = 0xc0f3;
}

static void
load_test(struct soft_cpu *c, const struct test *t)
{
	memcpy(c->gpr, t->s.gpr, sizeof(t->s.gpr));
	c->rip = t->s.rip;
	c->rflags = (t->s.flags & FL_DF) | FL_IF | FL_ONE;
	c->cc = flags_to_cc(t->s.flags);
	memcpy(c->xsave, &t->s.x, sizeof(t->s.x));
	c->fpu_ip = c->fpu_dp = 0;
	c->fpu_cs = c->fpu_ds = c->fpu_op = 0;
	c->exc = (struct soft_exc){ 0 };
	c->intr_shadow = c->ss_shadow = false;
	c->cap[VM_CAP_MTRAP_EXIT] = !t->run;
	c->cap[VM_CAP_BPT_EXIT] = true;
	load_segments(c, t);
}

void
engine_run(const struct test *t, struct outcome *o)
{
	struct soft_cpu *c = cpu;
	unsigned int k;

	load_test(c, t);
	if (t->run)
		soft_run_until_exception(c, SEQUENCE_BLOCKS);
	else
		soft_step(c);
	memset(o, 0, sizeof(*o));
	memcpy(o->s.gpr, c->gpr, sizeof(o->s.gpr));
	for (k = 0; k < SEG_LDTR; k++)
		o->s.sel[k] = c->seg[k].sel;
	o->s.rip = c->rip;
	o->s.flags = cpu_rflags(c);
	memcpy(&o->s.x, c->xsave, sizeof(o->s.x));
	o->vector = c->exc.pending ? c->exc.vector : EXC_DB;
	if (c->leave == LEAVE_EXIT && c->exit.exitcode == VM_EXITCODE_BPT) {
		o->vector = EXC_BP; /* a trap: behind the INT3 */
		o->s.rip += c->exit.u.bpt.inst_length;
	}
	o->err = c->exc.pending && c->exc.has_err ? c->exc.err : 0;
	o->cr2 = c->exc.cr2;
}
