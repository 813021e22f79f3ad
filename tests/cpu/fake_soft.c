/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_soft.c - see fake_soft.h.
 */
#include "fake_soft.h"

#include <stdlib.h>
#include <sys/mman.h>

#include <vmm/bus.h>

#include "fpu.h"
#include "mmu.h"
#include "smc.h"
#include "sys.h"

_Thread_local struct fake_bus fake_bus;

void
cpu_update_mode(struct soft_cpu *c)
{
}

bool
cpu_raise(struct soft_cpu *c, unsigned int vector)
{
	if (c->exc.pending)
		return false;
	c->exc =
	    (struct soft_exc){ .pending = true, .vector = (uint8_t)vector };
	return false;
}

bool
cpu_raise_err(struct soft_cpu *c, unsigned int vector, uint32_t err)
{
	if (c->exc.pending)
		return false;
	cpu_raise(c, vector);
	c->exc.has_err = true;
	c->exc.err = err;
	return false;
}

bool
cpu_raise_pf(struct soft_cpu *c, uint64_t la, uint32_t err)
{
	if (c->exc.pending)
		return false;
	cpu_raise_err(c, EXC_PF, err);
	c->exc.cr2 = la;
	return false;
}

void
fpu_park_slow(struct soft_cpu *c)
{
	c->fpu_live = false;
}

void
bus_mmio(
    struct vcpu *v, bool write, uint64_t gpa, unsigned int bytes, uint64_t *val)
{
	if (!write) {
		*val = 0;
		for (unsigned int i = 0; i < bytes; i++)
			*val |= (uint64_t)fake_bus_byte(gpa + i) << (8 * i);
	}
	if (fake_bus.n < FAKE_BUS_LOG) {
		fake_bus.log[fake_bus.n].write = write;
		fake_bus.log[fake_bus.n].gpa = gpa;
		fake_bus.log[fake_bus.n].bytes = bytes;
		fake_bus.log[fake_bus.n].val = *val;
	}
	fake_bus.n++;
}

void
vcpu_post(struct vcpu *v, uint32_t bits)
{
	__atomic_fetch_or(&v->events, bits, __ATOMIC_SEQ_CST);
}

struct soft_vm *
fake_vm_create(uint64_t lowmem)
{
	struct soft_vm *vm = calloc(1, sizeof(*vm));
	struct vm_ram *ram = calloc(1, sizeof(*ram));

	ram->base = mmap(NULL, lowmem, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ram->base == MAP_FAILED)
		abort();
	ram->lowmem = lowmem;
	ram->fd = -1;
	vm->ram = ram;
	vm->phys_bits = 40;
	if (smc_create(vm) != 0)
		abort();
	return vm;
}

void
fake_vm_destroy(struct soft_vm *vm)
{
	for (unsigned int i = 0; i < VM_MAXCPU; i++) {
		if (vm->cpu[i] == NULL)
			continue;
		free(vm->cpu[i]->vcpu);
		free(vm->cpu[i]->stats);
		free(vm->cpu[i]);
	}
	smc_destroy(vm);
	munmap(vm->ram->base, vm->ram->lowmem);
	free((void *)vm->ram);
	free(vm);
}

struct soft_cpu *
fake_cpu_create(struct soft_vm *vm, unsigned int id)
{
	struct soft_cpu *c =
	    aligned_alloc(64, ROUND_UP(sizeof(*c), (size_t)64));

	memset(c, 0, sizeof(*c));
	c->vm = vm;
	c->ram = vm->ram;
	c->id = id;
	c->vcpu = calloc(1, sizeof(*c->vcpu));
	c->events = &c->vcpu->events;
	c->stats = calloc(VMSTAT_COUNT_, sizeof(*c->stats));
	c->rflags = FL_ONE;
	for (unsigned int s = 0; s < SEG_COUNT; s++)
		c->seg[s] =
		    (struct soft_seg){ .limit = 0xffff, .access = 0x93 };
	vm->cpu[id] = c;
	fake_cpu_mode(c);
	tlb_flush_all(c);
	return c;
}

void
fake_cpu_mode(struct soft_cpu *c)
{
	const bool ac = (c->rflags & FL_AC) != 0;

	c->mode = MODE_CS32 | MODE_SS32;
	if ((c->efer & EFER_LMA) != 0)
		c->mode = MODE_64 | MODE_LM;
	if ((c->cr0 & CR0_PE) != 0)
		c->mode |= MODE_PE;
	c->real_view = c->cpl == 3			 ? VIEW_USER
		       : (c->cr4 & CR4_SMAP) != 0 && !ac ? VIEW_KERN_SMAP
							 : VIEW_KERN;
	c->tlb = &c->view[c->real_view];
	if ((c->dr7 & 0xff) != 0 ||
	    (c->cpl == 3 && ac && (c->cr0 & CR0_AM) != 0))
		c->tlb = tlb_view_miss(c);
}
