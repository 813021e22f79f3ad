/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * debug.c - a debugger's breakpoints and watchpoints, which the guest does not
 * see (vmm/debug.h).
 *
 * While there are any, blocks are one instruction long (MODE_ONE), and while
 * any watches data every access takes the slow path (VIEW_MISS), as for the
 * guest's own debug registers.  General registers only.
 */
#include "sys.h"

#include <errno.h>

#include "block.h"

static void
debug_exit(struct soft_cpu *c, const struct vm_debug_point *p)
{
	c->exit.exitcode = VM_EXITCODE_DB;
	c->exit.inst_length = 0;
	c->exit.rip = c->exit_next_rip = c->rip;
	c->exit.u.db.gla = p->gla;
	c->exit.u.db.exec = p->kind == VM_DEBUG_EXEC;
	c->exit.u.db.write = p->kind == VM_DEBUG_WRITE;
	c->leave = LEAVE_EXIT;
}

bool
cpu_debug_exec(struct soft_cpu *c)
{
	uint64_t la = code_linear(c, c->rip);

	for (unsigned int n = 0; n < c->ndbg; n++) {
		if (c->dbg[n].kind != VM_DEBUG_EXEC || c->dbg[n].gla != la)
			continue;
		debug_exit(c, &c->dbg[n]);
		return true;
	}
	return false;
}

bool
cpu_debug_watches(const struct soft_cpu *c, uint64_t la, unsigned int len)
{
	for (unsigned int n = 0; n < c->ndbg; n++)
		if (c->dbg[n].kind != VM_DEBUG_EXEC &&
		    ranges_overlap(c->dbg[n].gla, c->dbg[n].len, la, len))
			return true;
	return false;
}

void
cpu_debug_access(
    struct soft_cpu *c, uint64_t la, unsigned int len, unsigned int acc)
{
	static const uint8_t meets[] = {
		[VM_DEBUG_WRITE] = ACC_W,
		[VM_DEBUG_READ] = ACC_R,
		[VM_DEBUG_ACCESS] = ACC_RW,
	};

	for (unsigned int n = 0; n < c->ndbg && c->dbg_hit == NULL; n++) {
		const struct vm_debug_point *p = &c->dbg[n];

		if (p->kind != VM_DEBUG_EXEC && (meets[p->kind] & acc) != 0 &&
		    ranges_overlap(p->gla, p->len, la, len))
			c->dbg_hit = p;
	}
}

bool
cpu_debug_done(struct soft_cpu *c)
{
	const struct vm_debug_point *p = c->dbg_hit;

	c->dbg_hit = NULL;
	/* What faulted will run again. */
	if (c->exc.pending || c->leave == LEAVE_EXIT ||
	    c->leave == LEAVE_SHUTDOWN)
		return false;
	debug_exit(c, p);
	return true;
}

int
cpu_set_debug(
    struct soft_cpu *c, const struct vm_debug_point *points, unsigned int n)
{
	if (n > VM_DEBUG_POINTS_MAX)
		return -ENOSPC;
	c->ndbg = n;
	c->dbg_nexec = c->dbg_ndata = 0;
	c->dbg_hit = NULL;
	for (unsigned int i = 0; i < n; i++) {
		c->dbg[i] = points[i];
		if (points[i].kind == VM_DEBUG_EXEC)
			c->dbg_nexec++;
		else
			c->dbg_ndata++;
	}
	cpu_update_mode(c);
	return 0;
}
