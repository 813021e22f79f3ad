/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gdb_point.c - breakpoints, watchpoints and guest memory for the stub.
 *
 * A software breakpoint is an INT3 in guest memory, which the guest may read
 * and the client never sees; the others are the engine's and invisible.  Where
 * there is no memory yet a software breakpoint is the engine's, too; when the
 * engine runs out of debug registers its breakpoints become INT3s, the latest
 * first, as older ones may wait for code that is still to be loaded.
 *
 * Memory is seen as the selected vCPU sees it at privilege 0, page by page;
 * registers of devices are not memory here.  RSP: Z and z packets.
 */
#include "gdb_priv.h"

#include <errno.h>

#include <util/log.h>
#include <vmm/mem.h>

#define INSN_INT3  0xcc
#define PAGE_BYTES 4096u

/* --- memory --------------------------------------------------------------- */

bool
gdb_translate(struct gdb *g, uint64_t gla, uint64_t *ret_gpa)
{
	return vm_gla2gpa_nofault(gdb_vcpu(g), gla, ret_gpa) == 0;
}

typedef int (*mem_op)(struct gdb *, uint64_t gpa, uint8_t *buf, size_t len);

/* The INT3 of ours in [gpa, gpa+len), from number *i on; *i is past it. */
static struct gdb_point *
next_int3(struct gdb *g, unsigned int *i, uint64_t gpa, size_t len)
{
	while (*i < g->npoints) {
		struct gdb_point *p = &g->point[(*i)++];

		if (p->in_memory && p->gpa >= gpa && p->gpa - gpa < len)
			return p;
	}
	return NULL;
}

/* What the guest has put over an INT3 since is shown as it is. */
static int
mem_op_read(struct gdb *g, uint64_t gpa, uint8_t *buf, size_t len)
{
	int error = vm_mem_read(g->ctx, gpa, buf, len);
	struct gdb_point *p;
	unsigned int i = 0;

	if (error != 0)
		return error;
	while ((p = next_int3(g, &i, gpa, len)) != NULL)
		if (buf[p->gpa - gpa] == INSN_INT3)
			buf[p->gpa - gpa] = p->saved;
	return 0;
}

/* The INT3s stay, with new bytes beneath them. */
static int
mem_op_write(struct gdb *g, uint64_t gpa, uint8_t *buf, size_t len)
{
	static const uint8_t int3 = INSN_INT3;
	int error = vm_mem_write(g->ctx, gpa, buf, len);
	struct gdb_point *p;
	unsigned int i = 0;

	while (error == 0 && (p = next_int3(g, &i, gpa, len)) != NULL) {
		p->saved = buf[p->gpa - gpa];
		error = vm_mem_write(g->ctx, p->gpa, &int3, 1);
	}
	return error;
}

static bool
mem_each_page(struct gdb *g, uint64_t addr, uint8_t *buf, size_t len, mem_op op)
{
	while (len > 0) {
		size_t n = MIN(len, (size_t)(PAGE_BYTES - addr % PAGE_BYTES));
		uint64_t gpa = addr;

		if ((!g->phys && !gdb_translate(g, addr, &gpa)) ||
		    op(g, gpa, buf, n) != 0)
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
point_install_once(struct gdb *g)
{
	struct vm_debug_point list[VM_DEBUG_POINTS_MAX];
	unsigned int n = 0;

	for (unsigned int i = 0; i < g->npoints; i++) {
		const struct gdb_point *p = &g->point[i];

		if (p->in_memory)
			continue;
		if (n == VM_DEBUG_POINTS_MAX)
			return -ENOSPC;
		list[n++] = (struct vm_debug_point){ p->kind, p->gla, p->len };
	}
	return vm_set_debug_points(g->ctx, list, n);
}

/* -ENOENT: nothing is mapped there now, or it would not stop there. */
static int
point_insert_int3(struct gdb *g, struct gdb_point *p)
{
	static const uint8_t int3 = INSN_INT3;
	uint8_t saved;

	p->gpa = p->gla;
	if (g->no_int3 || (!g->phys && !gdb_translate(g, p->gla, &p->gpa)))
		return -ENOENT;
	if (mem_op_read(g, p->gpa, &saved, 1) != 0 ||
	    vm_mem_write(g->ctx, p->gpa, &int3, 1) != 0)
		return -EFAULT;
	p->saved = saved;
	p->in_memory = true;
	return 0;
}

/* Only if it is still there: the guest may have put other code in its place. */
static void
point_remove_int3(struct gdb *g, const struct gdb_point *p)
{
	uint8_t now;

	if (vm_mem_read(g->ctx, p->gpa, &now, 1) == 0 && now == INSN_INT3)
		(void)!vm_mem_write(g->ctx, p->gpa, &p->saved, 1);
}

/* One of the engine's breakpoints less. */
static bool
point_demote(struct gdb *g)
{
	for (unsigned int i = g->npoints; i-- > 0;) {
		struct gdb_point p = g->point[i];

		if (p.in_memory || p.kind != VM_DEBUG_EXEC ||
		    point_insert_int3(g, &p) != 0)
			continue;
		lock_acquire(&g->point_lock);
		g->point[i] = p;
		lock_release(&g->point_lock);
		if (!p.software)
			log_info("gdb: no debug register for the breakpoint at "
				 "0x%lx: it is an INT3 in guest memory",
			    p.gla);
		return true;
	}
	return false;
}

static int
point_install(struct gdb *g)
{
	int error;

	do {
		error = point_install_once(g);
	} while ((error == -ENOSPC || error == -ENOTSUP) && point_demote(g));
	return error;
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
	if (error != 0 && error != -ENOENT)
		return error;
	lock_acquire(&g->point_lock);
	g->point[g->npoints++] = p;
	lock_release(&g->point_lock);
	if (p.in_memory)
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
	bool in_memory;

	if (!point_make(type, gla, len, &want))
		return -EINVAL;
	p = point_find(g, &want);
	if (p == NULL)
		return 0;
	in_memory = p->in_memory;
	if (in_memory)
		point_remove_int3(g, p);
	point_forget(g, p);
	return in_memory ? 0 : point_install(g);
}

void
gdb_point_clear(struct gdb *g)
{
	while (g->npoints > 0) {
		struct gdb_point *p = &g->point[g->npoints - 1];

		if (p->in_memory)
			point_remove_int3(g, p);
		point_forget(g, p);
	}
	(void)!point_install(g);
}

static const char *
point_reason(struct gdb *g, bool in_memory, uint64_t addr)
{
	const char *reason = NULL;

	lock_acquire(&g->point_lock);
	for (unsigned int i = 0; i < g->npoints && reason == NULL; i++) {
		const struct gdb_point *p = &g->point[i];

		if (p->kind == VM_DEBUG_EXEC && p->in_memory == in_memory &&
		    (in_memory ? p->gpa : p->gla) == addr)
			reason = p->software ? "swbreak:" : "hwbreak:";
	}
	lock_release(&g->point_lock);
	return reason;
}

const char *
gdb_point_int3(struct gdb *g, uint64_t gpa)
{
	return point_reason(g, true, gpa);
}

const char *
gdb_point_exec(struct gdb *g, uint64_t gla)
{
	return point_reason(g, false, gla);
}
