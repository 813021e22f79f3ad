/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gdb_point.c - breakpoints, watchpoints and guest memory for the stub.
 *
 * A software breakpoint is an INT3 in guest memory, which the guest may read;
 * the others are the engine's and invisible.  Memory is seen as the selected
 * vCPU sees it at privilege 0, page by page; registers of devices are not
 * memory here.  RSP: Z and z packets.
 */
#include "gdb_priv.h"

#include <errno.h>

#include <vmm/mem.h>

#define INSN_INT3  0xcc
#define PAGE_BYTES 4096u

/* --- memory --------------------------------------------------------------- */

bool
gdb_translate(struct gdb *g, uint64_t gla, uint64_t *ret_gpa)
{
	return vm_gla2gpa_nofault(gdb_vcpu(g), gla, ret_gpa) == 0;
}

typedef int (*mem_op)(struct vmctx *, uint64_t gpa, uint8_t *buf, size_t len);

static int
mem_op_read(struct vmctx *ctx, uint64_t gpa, uint8_t *buf, size_t len)
{
	return vm_mem_read(ctx, gpa, buf, len);
}

static int
mem_op_write(struct vmctx *ctx, uint64_t gpa, uint8_t *buf, size_t len)
{
	return vm_mem_write(ctx, gpa, buf, len);
}

static bool
mem_each_page(struct gdb *g, uint64_t addr, uint8_t *buf, size_t len, mem_op op)
{
	while (len > 0) {
		size_t n = MIN(len, (size_t)(PAGE_BYTES - addr % PAGE_BYTES));
		uint64_t gpa = addr;

		if ((!g->phys && !gdb_translate(g, addr, &gpa)) ||
		    op(g->ctx, gpa, buf, n) != 0)
			return false;
		addr += n;
		buf += n;
		len -= n;
	}
	return true;
}

bool
gdb_mem_read(struct gdb *g, uint64_t addr, void *buf, size_t len)
{
	return mem_each_page(g, addr, buf, len, mem_op_read);
}

bool
gdb_mem_write(struct gdb *g, uint64_t addr, const void *buf, size_t len)
{
	return mem_each_page(
	    g, addr, (uint8_t *)(uintptr_t)buf, len, mem_op_write);
}

/* --- the list ------------------------------------------------------------- */

/* RSP's types 1 to 4; 0 is the software breakpoint. */
static const enum vm_debug_kind point_kinds[] = {
	[1] = VM_DEBUG_EXEC,
	[2] = VM_DEBUG_WRITE,
	[3] = VM_DEBUG_READ,
	[4] = VM_DEBUG_ACCESS,
};

static struct gdb_point *
point_find(struct gdb *g, const struct gdb_point *want)
{
	for (unsigned int i = 0; i < g->npoints; i++) {
		struct gdb_point *p = &g->point[i];

		if (p->software == want->software && p->kind == want->kind &&
		    p->gla == want->gla && p->len == want->len)
			return p;
	}
	return NULL;
}

/* The engine's part of the list to all vCPUs. */
static int
point_install(struct gdb *g)
{
	struct vm_debug_point list[VM_DEBUG_POINTS_MAX];
	unsigned int n = 0;

	for (unsigned int i = 0; i < g->npoints; i++) {
		const struct gdb_point *p = &g->point[i];

		if (p->software)
			continue;
		if (n == VM_DEBUG_POINTS_MAX)
			return -ENOSPC;
		list[n++] = (struct vm_debug_point){ p->kind, p->gla, p->len };
	}
	return vm_set_debug_points(g->ctx, list, n);
}

static int
point_insert_int3(struct gdb *g, struct gdb_point *p)
{
	static const uint8_t int3 = INSN_INT3;

	p->gpa = p->gla;
	if (!g->phys && !gdb_translate(g, p->gla, &p->gpa))
		return -EFAULT;
	if (vm_mem_read(g->ctx, p->gpa, &p->saved, 1) != 0)
		return -EFAULT;
	return vm_mem_write(g->ctx, p->gpa, &int3, 1);
}

/* Only if it is still there: the guest may have put other code in its place. */
static void
point_remove_int3(struct gdb *g, const struct gdb_point *p)
{
	uint8_t now;

	if (vm_mem_read(g->ctx, p->gpa, &now, 1) == 0 && now == INSN_INT3)
		(void)!vm_mem_write(g->ctx, p->gpa, &p->saved, 1);
}

static void
point_forget(struct gdb *g, struct gdb_point *p)
{
	lock_acquire(&g->point_lock);
	*p = g->point[--g->npoints];
	lock_release(&g->point_lock);
}

static bool
point_make(unsigned int type, uint64_t gla, uint64_t len, struct gdb_point *ret)
{
	if (type >= ARRAY_LEN(point_kinds))
		return false;
	*ret = (struct gdb_point){
		.software = type == 0,
		.kind = type == 0 ? VM_DEBUG_EXEC : point_kinds[type],
		.gla = gla,
		.len = type <= 1 ? 1 : len,
	};
	return ret->len > 0 && ret->len <= PAGE_BYTES &&
	       gla + ret->len - 1 >= gla;
}

int
gdb_point_add(struct gdb *g, unsigned int type, uint64_t gla, uint64_t len)
{
	struct gdb_point p;
	int error = 0;

	if (!point_make(type, gla, len, &p))
		return -EINVAL;
	if (point_find(g, &p) != NULL)
		return 0; /* RSP: inserting twice is once */
	if (g->npoints == GDB_POINTS_MAX)
		return -ENOSPC;
	if (p.software)
		error = point_insert_int3(g, &p);
	if (error != 0)
		return error;
	lock_acquire(&g->point_lock);
	g->point[g->npoints++] = p;
	lock_release(&g->point_lock);
	if (p.software)
		return 0;
	error = point_install(g);
	if (error != 0) {
		point_forget(g, &g->point[g->npoints - 1]);
		(void)!point_install(g);
	}
	return error;
}

int
gdb_point_del(struct gdb *g, unsigned int type, uint64_t gla, uint64_t len)
{
	struct gdb_point want, *p;

	if (!point_make(type, gla, len, &want))
		return -EINVAL;
	p = point_find(g, &want);
	if (p == NULL)
		return 0;
	if (p->software)
		point_remove_int3(g, p);
	point_forget(g, p);
	return want.software ? 0 : point_install(g);
}

void
gdb_point_clear(struct gdb *g)
{
	while (g->npoints > 0) {
		struct gdb_point *p = &g->point[g->npoints - 1];

		if (p->software)
			point_remove_int3(g, p);
		point_forget(g, p);
	}
	(void)!point_install(g);
}

bool
gdb_point_is_ours(struct gdb *g, uint64_t gla)
{
	bool found = false;

	lock_acquire(&g->point_lock);
	for (unsigned int i = 0; i < g->npoints; i++)
		found |= g->point[i].software && g->point[i].gla == gla;
	lock_release(&g->point_lock);
	return found;
}
