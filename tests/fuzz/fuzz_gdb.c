/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_gdb.c - what a debugger's client may send, on a machine that stands. */
#include "fuzz.h"

#include <assert.h>
#include <stdlib.h>

#include "../dev/fake_vmm.h"
#include "gdb_priv.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gdb *g = xcalloc(1, sizeof(*g));
	bool phys = size > 0 && (data[0] & 1) != 0;

	g->ctx = fake_vm_new(2);
	if (vm_setup_memory(g->ctx, 1u << 20, VM_MMAP_ALL) != 0)
		abort();
	g->client_fd = g->listen_fd = g->stop_fd = -1;
	g->stepping = -1;
	g->phys = phys;
	lock_init(&g->lock);
	lock_init(&g->point_lock);
	vm_hold_all(g->ctx);
	gdb_input(g, data, size);
	assert(g->npoints <= GDB_POINTS_MAX);
	gdb_point_clear(g);
	vm_release_all(g->ctx);
	fake_vm_free(g->ctx);
	free(g->out.data);
	free(g->reply.data);
	free(g);
	return 0;
}
