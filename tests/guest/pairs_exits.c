/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pairs_exits.c - each reason for which vm_run() comes back, seen from the
 * host: through the run loop's counters, and by a loop of our own.
 */
#include "host.h"

#include <errno.h>
#include <string.h>

#include <util/util.h>
#include <vmm/engine.h>
#include <vmm/vcpu.h>

/* As payload/exits.c numbers them. */
enum what {
	EXITS_LENIENT,
	EXITS_STRICT_IO,
	EXITS_HLT,
	EXITS_PAUSE,
	EXITS_RAW,
	EXITS_MTRAP,
};
enum { CALL_MTRAP_ON = 1, CALL_MTRAP_OFF, CALL_NMI };

#define MSR_NOBODY 0xdeadbeefu
#define EXC_GP	   13
#define RFLAGS_IF  0x200u

/* False: the engine does what the capability is for by itself. */
static bool
can(struct guest *g, enum vm_cap_type cap)
{
	int val;

	return vm_get_capability(vm_vcpu_open(g->ctx, 0), cap, &val) == 0;
}

/* Who cannot leave at HLT counts it all the same (vmm/vm.h). */
static void
check_hlt(struct guest *g)
{
	host_result(g, host_stat(g, VMSTAT_VMEXIT_HLT) >= 20,
	    "HLT exits were counted", "%lu",
	    (unsigned long)host_stat(g, VMSTAT_VMEXIT_HLT));
}

static void
check_pause(struct guest *g)
{
	if (!can(g, VM_CAP_PAUSE_EXIT)) {
		host_skip(g, "PAUSE exits were counted", "no PAUSE exits");
		return;
	}
	host_result(g, host_stat(g, VMSTAT_VMEXIT_PAUSE) >= 100,
	    "PAUSE exits were counted", "%lu",
	    (unsigned long)host_stat(g, VMSTAT_VMEXIT_PAUSE));
}

static void
check_no_result(struct guest *g)
{
	host_result(g, !g->ended, "the payload did not go on", "it did");
}

static uint64_t
exits_call(struct guest *g, uint64_t which, uint64_t arg)
{
	struct vcpu *vcpu = vm_vcpu_open(g->ctx, 0);

	switch (which) {
	case CALL_MTRAP_ON:
	case CALL_MTRAP_OFF:
		if (vm_set_capability(
			vcpu, VM_CAP_MTRAP_EXIT, which == CALL_MTRAP_ON) != 0)
			host_die("MTRAP: %s", strerror(errno));
		if (which == CALL_MTRAP_ON)
			g->own[VM_EXITCODE_MTRAP] = arg;
		break;
	case CALL_NMI:
		if (vm_inject_nmi(vcpu) != 0)
			host_die("NMI: %s", strerror(errno));
		break;
	default:
		host_die("exits: call %lu", (unsigned long)which);
	}
	return 0;
}

/* --- a loop of our own
 * ------------------------------------------------------------- */

static void
set(struct vcpu *vcpu, enum vm_reg_name reg, uint64_t val)
{
	if (vm_set_register(vcpu, reg, val) != 0)
		host_die("register: %s", strerror(errno));
}

static void
on_rdmsr(struct guest *g, struct vcpu *vcpu, const struct vm_exit *x)
{
	host_check_eq(g, "RDMSR of", x->u.msr.code, MSR_NOBODY);
	set(vcpu, VM_REG_GUEST_RAX, 0x55667788);
	set(vcpu, VM_REG_GUEST_RDX, 0x11223344);
}

/* The first is ignored, the second answered by an exception. */
static void
on_wrmsr(struct guest *g, struct vcpu *vcpu, const struct vm_exit *x)
{
	host_check_eq(g, "WRMSR of", x->u.msr.code, MSR_NOBODY);
	host_check_eq(g, "WRMSR's value", x->u.msr.wval, 0x1111222233334444);
	if (g->own[VM_EXITCODE_WRMSR]++ != 0 &&
	    vm_inject_exception(vcpu, EXC_GP, true, 0x55, true) != 0)
		host_die("inject: %s", strerror(errno));
}

static void
on_hlt(struct guest *g, struct vcpu *vcpu, const struct vm_exit *x)
{
	if ((x->u.hlt.rflags & RFLAGS_IF) == 0)
		g->own[VM_EXITCODE_HLT]++;
	/* What vm_run_all() does in another thread: the timer is there. */
	if (vm_event_poll(g->ctx, 1000) < 0)
		host_die("event loop");
}

static void
on_spinup(struct guest *g, struct vcpu *vcpu, const struct vm_exit *x)
{
	if (x->u.spinup_ap.vcpu != 1 || x->u.spinup_ap.rip != 0x34000)
		g->own[VM_EXITCODE_SPINUP_AP]++;
}

/* The kernel's share of an engine that keeps idle processors to itself. */
static void
check_idle(struct guest *g, const unsigned int *seen)
{
	bool kept = g->engine->keeps_idle;
	unsigned int hlt = seen[VM_EXITCODE_HLT];

	host_result(g, kept ? hlt == 0 : hlt >= 1,
	    "HLT exits, unless the kernel keeps them", "%u", hlt);
	host_check_eq(g, "HLT exits without IF", g->own[VM_EXITCODE_HLT], 0);
	host_result(g, host_stat(g, VMSTAT_VMEXIT_HLT) >= kept,
	    "kept halts were counted", "none");
	host_check_eq(g, "SPINUP_AP exits, unless the kernel keeps them",
	    seen[VM_EXITCODE_SPINUP_AP], kept ? 0 : 1);
	host_check_eq(g, "SPINUP_AP of others, or elsewhere",
	    g->own[VM_EXITCODE_SPINUP_AP], 0);
}

/* Not every engine has them, and says so. */
static bool
want_pauses(struct vcpu *vcpu)
{
	if (vm_set_capability(vcpu, VM_CAP_PAUSE_EXIT, 1) == 0)
		return true;
	if (errno != ENOTSUP)
		host_die("PAUSE: %s", strerror(errno));
	return false;
}

static void
run_raw(struct guest *g)
{
	struct vcpu *vcpu = vm_vcpu_open(g->ctx, 0);
	unsigned int seen[VM_EXITCODE_MAX] = { 0 };
	bool pauses = want_pauses(vcpu);
	struct vm_exit x;

	if (vm_set_capability(vcpu, VM_CAP_HALT_EXIT, 1) != 0)
		host_die("HLT: %s", strerror(errno));
	for (;;) {
		if (vm_run(vcpu, &x) != 0)
			host_die("vm_run: %s", strerror(errno));
		seen[x.exitcode]++;
		if (x.exitcode == VM_EXITCODE_SUSPENDED)
			break;
		if (x.exitcode == VM_EXITCODE_RDMSR)
			on_rdmsr(g, vcpu, &x);
		else if (x.exitcode == VM_EXITCODE_WRMSR)
			on_wrmsr(g, vcpu, &x);
		else if (x.exitcode == VM_EXITCODE_HLT)
			on_hlt(g, vcpu, &x);
		else if (x.exitcode == VM_EXITCODE_SPINUP_AP)
			on_spinup(g, vcpu, &x);
	}
	g->how = x.u.suspended.how;
	host_check_eq(g, "RDMSR exits", seen[VM_EXITCODE_RDMSR], 1);
	host_check_eq(g, "WRMSR exits", seen[VM_EXITCODE_WRMSR], 2);
	check_idle(g, seen);
	host_result(g, pauses && seen[VM_EXITCODE_PAUSE] >= 1, "PAUSE exits",
	    "%s", pauses ? "none" : "this engine has no such capability");
	host_check_eq(g, "INST_EMUL exits", seen[VM_EXITCODE_INST_EMUL], 0);
	host_check_eq(g, "engine failures", seen[VM_EXITCODE_VMX], 0);
}

/*
 * Offsets at which the stepped code stands after each step, outside of the INT3
 * handler.  A step of REP is an element (SDM 3B 17.3.1.4 for TF) or all of it.
 */
#define MTRAP_REP 15
#define MTRAP_END 17
static const uint8_t mtrap_table[] = { 2, 4, 6, 9, 10, 11, 12, 13, MTRAP_REP,
	MTRAP_END };

struct steps {
	unsigned int all, stuck, here;
	bool wrong;
};

static void
step_seen(struct guest *g, struct steps *s, uint64_t rip, uint64_t prev)
{
	uint64_t off = rip - g->own[VM_EXITCODE_MTRAP];

	s->all++;
	s->stuck += rip == prev && off != MTRAP_REP;
	if (off == 0 || off > MTRAP_END || (off == MTRAP_REP && rip == prev))
		return;
	if (s->here >= ARRAY_LEN(mtrap_table) || mtrap_table[s->here] != off)
		s->wrong = true;
	s->here++;
}

/* Single steps: none is missed, none is seen twice. */
static void
run_mtrap(struct guest *g)
{
	struct vcpu *vcpu = vm_vcpu_open(g->ctx, 0);
	struct steps s = { 0 };
	struct vm_exit x;
	uint64_t rip, prev = 0;

	for (;;) {
		if (vm_run(vcpu, &x) != 0)
			host_die("vm_run: %s", strerror(errno));
		if (x.exitcode == VM_EXITCODE_SUSPENDED)
			break;
		if (x.exitcode != VM_EXITCODE_MTRAP)
			continue;
		if (vm_get_register(vcpu, VM_REG_GUEST_RIP, &rip) != 0)
			host_die("rip: %s", strerror(errno));
		step_seen(g, &s, rip, prev);
		prev = rip;
	}
	g->how = x.u.suspended.how;
	host_result(g, !s.wrong && s.here == ARRAY_LEN(mtrap_table),
	    "every instruction once", "%u of them, other: %d", s.here, s.wrong);
	/* And the way to and from the calls, and through the handler. */
	host_result(
	    g, s.all > s.here && s.all < 600, "MTRAP exits", "%u", s.all);
	host_check_eq(g, "steps without progress", s.stuck, 0);
}

static const struct pair exits_pairs[] = {
	{ .name = "lenient MSRs",
	    .payload = "exits",
	    .param = EXITS_LENIENT,
	    .lenient_msr = true },
	{ .name = "strict I/O",
	    .payload = "exits",
	    .param = EXITS_STRICT_IO,
	    .strict_io = true,
	    .aborts = true,
	    .check = check_no_result },
	{ .name = "HLT exits",
	    .payload = "exits",
	    .param = EXITS_HLT,
	    .hlt_exit = true,
	    .check = check_hlt },
	{ .name = "HLT inside", .payload = "exits", .param = EXITS_HLT },
	{ .name = "PAUSE exits",
	    .payload = "exits",
	    .param = EXITS_PAUSE,
	    .pause_exit = true,
	    .check = check_pause },
	{ .name = "own loop",
	    .payload = "exits",
	    .param = EXITS_RAW,
	    .ncpus = 2,
	    .call = exits_call,
	    .run = run_raw },
	{ .name = "single steps",
	    .payload = "exits",
	    .param = EXITS_MTRAP,
	    .call = exits_call,
	    .run = run_mtrap },
};
const struct pair_group exits_group = {
	.name = "exits",
	.pairs = exits_pairs,
	.npairs = ARRAY_LEN(exits_pairs),
};
