/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * make.c - see make.h.
 */
#include "make.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include "cache.h"
#include "decode.h"
#include "fpu.h"
#include "mmu.h"
#include "smc.h"
#include "sys.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_err;

static void
global_init(void)
{
	decode_global_init();
	once_err = fpu_global_init();
}

int
soft_vm_init(struct soft_vm *vm, struct vmctx *ctx)
{
	pthread_once(&once, global_init);
	if (once_err != 0)
		return once_err;
	vm->ctx = ctx;
	vm->ram = vm_ram(ctx);
	return cpuid_create(vm);
}

void
soft_vm_fini(struct soft_vm *vm)
{
	smc_destroy(vm);
	cpuid_destroy(vm);
}

int
soft_cpu_create(struct soft_vm *vm, struct vcpu *vcpu, uint32_t *events,
    uint64_t *stats, struct soft_cpu **ret_cpu)
{
	struct soft_cpu *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err;

	if (c == MAP_FAILED)
		return -ENOMEM;
	c->vm = vm;
	c->vcpu = vcpu;
	c->ctx = vm->ctx;
	c->ram = vm->ram;
	c->id = (unsigned int)vcpu_id(vcpu);
	c->events = events;
	c->stats = stats;
	c->tlb = &c->view[VIEW_KERN];
	err = cache_create(c);
	if (err != 0) {
		munmap(c, sizeof(*c));
		return err;
	}
	tlb_flush_all(c);
	cpu_reset(c, false);
	vm->cpu[c->id] = c;
	*ret_cpu = c;
	return 0;
}

void
soft_cpu_destroy(struct soft_cpu *c)
{
	if (c == NULL)
		return;
	c->vm->cpu[c->id] = NULL;
	cache_destroy(c);
	munmap(c, sizeof(*c));
}
