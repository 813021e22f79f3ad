/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run.c - running the PC to its end, and what the program's status says of it
 * (docs/bhyve.md 1.2 and 4.1: 0 reset, 1 powered off, 2 halted, 3 triple fault,
 * 4 error).
 *
 * A reset ends the program, because scripts around bhyve loop on status 0;
 * restart_on_reset=true starts the guest again in place.
 */
#include "machine_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <conf/conf.h>
#include <ctl/gdb.h>
#include <util/log.h>
#include <vmm/event.h>

/* As power-on leaves it, with tables and kernel in place.  False: logged. */
static bool
run_restart(struct machine *m)
{
	char why[600] = "";
	struct machine_err e = {
		.conf = m->conf,
		.buf = why,
		.len = sizeof(why),
	};

	if (vm_reinit(m->ctx) != 0) {
		log_error("restart: %s", strerror(errno));
		return false;
	}
	if (machine_load(m, &e) != 0) {
		log_error("restart: %s", why);
		return false;
	}
	m->stop_asked = false;
	return true;
}

static int
run_until_end(struct machine *m)
{
	bool restart = conf_get_bool(m->conf, "restart_on_reset");
	enum vm_suspend_how how;

	for (;;) {
		if (vm_run_all(m->ctx, &m->opts, &how) != 0)
			return MACHINE_STATUS_ERROR;
		if (how != VM_SUSPEND_RESET || !restart)
			return vm_exit_status(how);
		if (!run_restart(m))
			return MACHINE_STATUS_ERROR;
	}
}

/* On a vCPU's thread: the guest marks a moment, of its boot for instance. */
static void
run_host_notify(struct vcpu *vcpu, uint32_t val, unsigned int bytes, void *arg)
{
	struct machine *m = arg;
	uint64_t us = vm_clock_ns(m->ctx) / 1000;

	machine_status_erase(m);
	log_info("%" PRIu64 ".%06" PRIu64 " s: vcpu %d notifies 0x%0*x",
	    us / 1000000, us % 1000000, vcpu_id(vcpu), (int)bytes * 2, val);
}

int
machine_run(struct machine *m)
{
	int status;

	if (conf_get_bool(m->conf, "host_notify"))
		vm_set_host_notify(m->ctx, run_host_notify, m);
	machine_console_start(m);
	status = run_until_end(m);
	gdb_destroy(m->gdb, status);
	m->gdb = NULL;
	machine_console_fini(m);
	if (conf_get_bool(m->conf, "stats"))
		vm_print_stats(m->ctx, stderr);
	return status;
}
