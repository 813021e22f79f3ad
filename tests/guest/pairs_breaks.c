/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pairs_breaks.c - a debugger in the host: it sets what payload/breaks.c asks
 * for, notes the stops, and goes on as gdb does: what stopped is taken away,
 * one instruction stepped, and set again.
 */
#include "host.h"

#include <errno.h>
#include <string.h>

#include <util/util.h>
#include <vmm/debug.h>
#include <vmm/mem.h>

#include "common/breaks.h"

#define EXC_BP	   3
#define INSN_INT3  0xccu
#define STOPS_MAX  64u
#define POINTS_MAX 8

static const enum vm_debug_kind kind_table[] = {
	[CALL_EXEC] = VM_DEBUG_EXEC,
	[CALL_WRITE] = VM_DEBUG_WRITE,
	[CALL_READ] = VM_DEBUG_READ,
	[CALL_ACCESS] = VM_DEBUG_ACCESS,
};

/* One machine at a time. */
static struct {
	struct vm_debug_point point[POINTS_MAX];
	unsigned int npoints;
	uint64_t int3; /* where ours is, or 0; GPA and GLA are the same here */
	uint8_t saved;
	struct {
		enum stop_kind kind;
		uint64_t rip, gla;
	} stop[STOPS_MAX];
	unsigned int nstops;
} dbg;

static void
capability(struct vcpu *vcpu, enum vm_cap_type cap, int val)
{
	if (vm_set_capability(vcpu, cap, val) != 0)
		host_die("capability %d: %s", (int)cap, strerror(errno));
}

static void
put_byte(struct guest *g, uint64_t gpa, uint8_t byte)
{
	if (vm_mem_write(g->ctx, gpa, &byte, 1) != 0)
		host_die("no memory at %#lx", (unsigned long)gpa);
}

static uint64_t
add_point(struct guest *g, uint64_t which, uint64_t gla)
{
	uint64_t len = which >> 8;
	int err;

	if (dbg.npoints == POINTS_MAX)
		host_die("too many points");
	dbg.point[dbg.npoints++] =
	    (struct vm_debug_point){ kind_table[which & 0xff], gla,
		    len != 0 ? len : 1 };
	err = vm_set_debug_points(g->ctx, dbg.point, dbg.npoints);
	if (err == 0)
		return 0;
	dbg.npoints--;
	if (err != -ENOTSUP)
		host_die("point %u: %s", dbg.npoints, strerror(-err));
	return UINT64_MAX;
}

static uint64_t
break_exits(struct guest *g, uint64_t int3)
{
	struct vcpu *vcpu = vm_vcpu_open(g->ctx, 0);

	if (vm_set_capability(vcpu, VM_CAP_BPT_EXIT, 1) != 0) {
		if (errno != ENOTSUP)
			host_die("BPT: %s", strerror(errno));
		return UINT64_MAX;
	}
	dbg.int3 = int3;
	if (int3 == 0)
		return 0;
	if (vm_mem_read(g->ctx, int3, &dbg.saved, 1) != 0)
		host_die("no memory at %#lx", (unsigned long)int3);
	put_byte(g, int3, INSN_INT3);
	return 0;
}

static uint64_t
clear(struct guest *g)
{
	int err = vm_set_debug_points(g->ctx, NULL, 0);

	if (err != 0)
		host_die("no points: %s", strerror(-err));
	capability(vm_vcpu_open(g->ctx, 0), VM_CAP_BPT_EXIT, 0);
	if (dbg.int3 != 0)
		put_byte(g, dbg.int3, dbg.saved);
	memset(&dbg, 0, sizeof(dbg));
	return 0;
}

static uint64_t
breaks_call(struct guest *g, uint64_t which, uint64_t arg)
{
	size_t n = MIN(arg, (uint64_t)(STOPS_MAX - 1));

	switch (which & 0xff) {
	case CALL_EXEC:
	case CALL_WRITE:
	case CALL_READ:
	case CALL_ACCESS:
		return add_point(g, which, arg);
	case CALL_INT3:
	case CALL_OWN_INT3:
		return break_exits(g, arg);
	case CALL_CLEAR:
		return clear(g);
	case CALL_STOPS:
		return dbg.nstops;
	case CALL_RIP:
		return dbg.stop[n].rip;
	case CALL_GLA:
		return dbg.stop[n].gla;
	case CALL_KIND:
		return dbg.stop[n].kind;
	default:
		host_die("breaks: call %lu", (unsigned long)which);
	}
}

/* --- stops ---------------------------------------------------------------- */

static void
note(enum stop_kind kind, struct vcpu *vcpu, uint64_t gla)
{
	uint64_t rip;

	if (vm_get_register(vcpu, VM_REG_GUEST_RIP, &rip) != 0)
		host_die("rip: %s", strerror(errno));
	if (dbg.nstops == STOPS_MAX)
		host_die(
		    "it stops again and again, at %#lx", (unsigned long)rip);
	dbg.stop[dbg.nstops].kind = kind;
	dbg.stop[dbg.nstops].rip = rip;
	dbg.stop[dbg.nstops++].gla = gla;
}

/* Past what stopped it; a watchpoint may be met on the way. */
static void
step_over(struct guest *g, struct vcpu *vcpu)
{
	struct vm_debug_point rest[POINTS_MAX];
	unsigned int n = 0;
	struct vm_exit x;
	int err;

	for (unsigned int i = 0; i < dbg.npoints; i++)
		if (dbg.point[i].kind != VM_DEBUG_EXEC)
			rest[n++] = dbg.point[i];
	err = vm_set_debug_points(g->ctx, rest, n);
	if (dbg.int3 != 0)
		put_byte(g, dbg.int3, dbg.saved);
	capability(vcpu, VM_CAP_MTRAP_EXIT, 1);
	do {
		if (vm_run(vcpu, &x) != 0)
			host_die("vm_run: %s", strerror(errno));
	} while (x.exitcode != VM_EXITCODE_MTRAP);
	capability(vcpu, VM_CAP_MTRAP_EXIT, 0);
	if (dbg.int3 != 0)
		put_byte(g, dbg.int3, INSN_INT3);
	if (err != 0 ||
	    vm_set_debug_points(g->ctx, dbg.point, dbg.npoints) != 0)
		host_die("points cannot be set again");
}

static void
on_db(struct guest *g, struct vcpu *vcpu, const struct vm_exit *x)
{
	note(x->u.db.exec    ? KIND_EXEC
	     : x->u.db.write ? KIND_WRITE
			     : KIND_READ,
	    vcpu, x->u.db.gla);
	if (x->u.db.exec)
		step_over(g, vcpu);
}

static void
on_int3(struct guest *g, struct vcpu *vcpu, const struct vm_exit *x)
{
	note(dbg.int3 == x->rip ? KIND_INT3 : KIND_OWN_INT3, vcpu, 0);
	if (dbg.int3 == x->rip)
		step_over(g, vcpu);
	else if (vm_set_register(vcpu, VM_REG_GUEST_RIP, x->rip + 1) != 0 ||
		 vm_inject_exception(vcpu, EXC_BP, false, 0, false) != 0)
		host_die("#BP: %s", strerror(errno));
}

static void
run_breaks(struct guest *g)
{
	struct vcpu *vcpu = vm_vcpu_open(g->ctx, 0);
	struct vm_exit x;

	memset(&dbg, 0, sizeof(dbg));
	for (;;) {
		if (vm_run(vcpu, &x) != 0)
			host_die("vm_run: %s", strerror(errno));
		if (x.exitcode == VM_EXITCODE_SUSPENDED)
			break;
		if (x.exitcode == VM_EXITCODE_DB)
			on_db(g, vcpu, &x);
		else if (x.exitcode == VM_EXITCODE_BPT)
			on_int3(g, vcpu, &x);
		else if (x.exitcode == VM_EXITCODE_VMX)
			host_die("the engine failed");
	}
	g->how = x.u.suspended.how;
}

static const struct pair breaks_pairs[] = {
	{ .name = "breaks",
	    .payload = "breaks",
	    .call = breaks_call,
	    .run = run_breaks },
};
const struct pair_group breaks_group = {
	.name = "breaks",
	.pairs = breaks_pairs,
	.npairs = ARRAY_LEN(breaks_pairs),
};
