/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smc_alloc.c - memory of the code-page records: 24 bytes for each page of RAM
 * in one sparse mapping, of which only what covers code and DMA is touched.
 * Ordinary C; runs before and after the vCPUs.
 */
#include "smc.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "smc_priv.h"

int
smc_create(struct soft_vm *vm)
{
	struct smc *s = aligned_alloc(64, sizeof(*s));
	void *p;

	if (s == NULL)
		return -ENOMEM;
	memset(s, 0, sizeof(*s));
	s->npages = (vm->ram->lowmem + vm->ram->highmem + 0xfff) >> 12;
	s->map_len = s->npages * sizeof(struct smc_page);
	p = mmap(NULL, s->map_len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED) {
		int err = errno;

		free(s);
		return -err;
	}
	s->page = p;
	vm->smc = s;
	return 0;
}

void
smc_destroy(struct soft_vm *vm)
{
	struct smc *s = vm->smc;

	if (s == NULL)
		return;
	munmap(s->page, s->map_len);
	free(s);
	vm->smc = NULL;
}
