/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run.c - vm_run(), and the loop around it (docs/bhyve.md 1.2, 1.12).
 *
 * One thread a vCPU: run until an exit, look its handler up in a const table,
 * act on the verdict.  The calling thread of vm_run_all() turns the event loop
 * until every vCPU thread is gone; only then does it join them, so that a
 * handler which waits for an event callback is never left waiting.  Exits of a
 * debugger (DEBUG, BPT, DB) have no handler here yet.
 */
#include "vm_priv.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <util/log.h>
#include <vmm/exception.h>

#define RFLAGS_IF	0x200u
#define INST_MAX	15
#define PAGE_LEFT(addr) (0x1000u - ((addr)&0xfffu))
#define SEG_ACCESS_DATA16                                                      \
	0x93u /* present, writable, accessed: docs/bhyve.md 2.4 */

static __thread struct vcpu *current_vcpu;

struct vcpu *
vcpu_current(void)
{
	return current_vcpu;
}

/* --- one entry ----------------------------------------------------------- */

/* What is known before or instead of running: true when *x says it. */
static bool
run_pending(struct vcpu *vcpu, struct vm_exit *x)
{
	struct vmctx *ctx = vcpu->ctx;
	enum vm_suspend_how how = vm_suspended(ctx);

	if (how != VM_SUSPEND_NONE) {
		x->exitcode = VM_EXITCODE_SUSPENDED;
		x->u.suspended.how = how;
		cpuset_add(&ctx->ended, (unsigned int)vcpu->id);
		return true;
	}
	if (unlikely(vcpu_is_paused(vcpu))) {
		x->exitcode = VM_EXITCODE_DEBUG;
		return true;
	}
	return vm_spinup_take(&ctx->spinup, ctx, x);
}

/* An INIT that came while nobody ran this vCPU, now in its thread. */
static void
run_latched_init(struct vcpu *vcpu)
{
	if (__atomic_load_n(&vcpu->init_latched, __ATOMIC_SEQ_CST) == 0)
		return;
	__atomic_store_n(&vcpu->init_latched, 0, __ATOMIC_SEQ_CST);
	if (vcpu->intr != NULL)
		vcpu->intr->init(vcpu->intr_apic);
}

static int
run_once(struct vcpu *vcpu, struct vm_exit *x)
{
	int err;

	*x = (struct vm_exit){
		.exitcode = VM_EXITCODE_BOGUS,
		.rip = vcpu->last_rip,
	};
	if (run_pending(vcpu, x))
		return 0;
	vcpu->restarted = false;
	run_latched_init(vcpu);
	err = vcpu->ctx->engine->vcpu_run(vcpu, x);
	if (err != 0)
		return err;
	vcpu_publish_rip(vcpu, x->rip);
	vcpu_stat_runtime(vcpu);
	vcpu_stat_add(vcpu->stats, VMSTAT_VMEXIT_USERSPACE, 1);
	switch (x->exitcode) {
	case VM_EXITCODE_INOUT:
	case VM_EXITCODE_RDMSR:
	case VM_EXITCODE_WRMSR:
		break; /* the bus has counted them */
	default:
		vcpu_stat_add(vcpu->stats, VMSTAT_VMEXIT_COUNT, 1);
		break;
	}
	if (x->exitcode == VM_EXITCODE_BOGUS)
		run_pending(vcpu, x);
	if (x->exitcode == VM_EXITCODE_SUSPENDED)
		cpuset_add(&vcpu->ctx->ended, (unsigned int)vcpu->id);
	return 0;
}

static int32_t
thread_id(void)
{
	static __thread int32_t id;

	if (unlikely(id == 0))
		id = (int32_t)gettid();
	return id;
}

int
vm_run(struct vcpu *vcpu, struct vm_exit *x)
{
	struct vcpu *outer = current_vcpu;
	int32_t nobody = 0;
	int err;

	err = vm_platform_ready(vcpu->ctx);
	if (err != 0)
		return vm_api_result(err);
	/* Pairs with vcpu_post(), which sets events before it looks here. */
	if (!__atomic_compare_exchange_n(&vcpu->running, &nobody, thread_id(),
		false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return vm_api_result(-EBUSY);
	current_vcpu = vcpu;
	cpuset_add(&vcpu->ctx->active, (unsigned int)vcpu->id);
	err = run_once(vcpu, x);
	current_vcpu = outer;
	__atomic_store_n(&vcpu->running, 0, __ATOMIC_SEQ_CST);
	return vm_api_result(err);
}

/* --- telling what happened ----------------------------------------------- */

static void
inst_log(const struct vcpu *vcpu, uint64_t rip, const uint8_t *inst, size_t n)
{
	char text[3 * INST_MAX + 1] = "";

	for (size_t i = 0; i < n && i < INST_MAX; i++)
		snprintf(text + 3 * i, 4, " %02x", inst[i]);
	if (n > 0)
		log_error(
		    "vcpu %d: instruction at 0x%lx:%s", vcpu->id, rip, text);
}

/* Bytes at rip as the vCPU would fetch them; as many as can be read. */
static void
inst_log_fetch(struct vcpu *vcpu, uint64_t rip)
{
	uint8_t inst[INST_MAX];
	uint64_t base, gpa;
	uint32_t limit, access;
	size_t n = 0;

	if (vm_get_desc(vcpu, VM_REG_GUEST_CS, &base, &limit, &access) != 0)
		return;
	while (n < sizeof(inst)) {
		uint64_t gla = base + rip + n;
		size_t part = MIN(sizeof(inst) - n, (size_t)PAGE_LEFT(gla));

		if (vm_gla2gpa_nofault(vcpu, gla, &gpa) != 0 ||
		    vm_mem_read(vcpu->ctx, gpa, inst + n, part) != 0)
			break;
		n += part;
	}
	inst_log(vcpu, rip, inst, n);
}

/* --- handlers ------------------------------------------------------------ */

static enum vmexit_verdict
exit_inout(struct vmctx *ctx, struct vcpu *vcpu, struct vm_exit *x)
{
	static const char width_table[] = { [1] = 'b', [2] = 'w', [4] = 'l' };
	unsigned int bytes = x->u.inout.bytes;
	char width = bytes < sizeof(width_table) ? width_table[bytes] : '\0';

	log_error("Unhandled %s%c 0x%04x at rip 0x%lx (vcpu %d)",
	    x->u.inout.in ? "in" : "out", width != '\0' ? width : '?',
	    x->u.inout.port, x->rip, vcpu->id);
	inst_log_fetch(vcpu, x->rip);
	return VMEXIT_ABORT;
}

static enum vmexit_verdict
exit_vmx(struct vmctx *ctx, struct vcpu *vcpu, struct vm_exit *x)
{
	log_error("vcpu %d: engine %s failed at rip 0x%lx: %s (status %d)",
	    vcpu->id, ctx->engine->name, x->rip,
	    x->u.vmx.what != NULL ? x->u.vmx.what : "no reason given",
	    x->u.vmx.status);
	inst_log_fetch(vcpu, x->rip);
	return VMEXIT_ABORT;
}

static enum vmexit_verdict
exit_bogus(struct vmctx *ctx, struct vcpu *vcpu, struct vm_exit *x)
{
	return VMEXIT_CONTINUE; /* counted as USERSPACE; nothing happened */
}

static enum vmexit_verdict
msr_gp(struct vcpu *vcpu)
{
	if (vm_inject_exception(vcpu, EXC_GP, true, 0, true) == 0)
		return VMEXIT_RESTART;
	log_error("vcpu %d: cannot inject #GP: %s", vcpu->id, strerror(errno));
	return VMEXIT_ABORT;
}

/* Each access, where the user wants that; otherwise now and then. */
static void
msr_log(struct vcpu *vcpu, const char *what)
{
	if (vcpu->ctx->opts.verbose_msr)
		log_guest_error("msr", "%s on vcpu %d", what, vcpu->id);
	else
		guest_error("msr", "%s on vcpu %d", what, vcpu->id);
}

static enum vmexit_verdict
exit_rdmsr(struct vmctx *ctx, struct vcpu *vcpu, struct vm_exit *x)
{
	char what[64];

	snprintf(what, sizeof(what), "rdmsr to register %#x", x->u.msr.code);
	msr_log(vcpu, what);
	if (ctx->opts.strict_msr)
		return msr_gp(vcpu);
	if (vm_set_register(vcpu, VM_REG_GUEST_RAX, 0) != 0 ||
	    vm_set_register(vcpu, VM_REG_GUEST_RDX, 0) != 0) {
		log_error("vcpu %d: cannot answer rdmsr: %s", vcpu->id,
		    strerror(errno));
		return VMEXIT_ABORT;
	}
	return VMEXIT_CONTINUE;
}

static enum vmexit_verdict
exit_wrmsr(struct vmctx *ctx, struct vcpu *vcpu, struct vm_exit *x)
{
	char what[64];

	snprintf(what, sizeof(what), "wrmsr to register %#x(%#lx)",
	    x->u.msr.code, x->u.msr.wval);
	msr_log(vcpu, what);
	return ctx->opts.strict_msr ? msr_gp(vcpu) : VMEXIT_CONTINUE;
}

static enum vmexit_verdict
exit_hlt(struct vmctx *ctx, struct vcpu *vcpu, struct vm_exit *x)
{
	vcpu_stat_add(vcpu->stats, VMSTAT_VMEXIT_HLT, 1);
	vcpu_sleep_halted(vcpu, (x->u.hlt.rflags & RFLAGS_IF) != 0);
	return VMEXIT_CONTINUE;
}

static enum vmexit_verdict
exit_pause(struct vmctx *ctx, struct vcpu *vcpu, struct vm_exit *x)
{
	vcpu_stat_add(vcpu->stats, VMSTAT_VMEXIT_PAUSE, 1);
	sched_yield();
	return VMEXIT_CONTINUE;
}

static enum vmexit_verdict
exit_inst_emul(struct vmctx *ctx, struct vcpu *vcpu, struct vm_exit *x)
{
	log_error("vcpu %d: Unhandled memory %s at 0x%lx, %u bytes, rip 0x%lx",
	    vcpu->id, x->u.inst_emul.write ? "write" : "read",
	    x->u.inst_emul.gpa, x->u.inst_emul.bytes, x->rip);
	inst_log(vcpu, x->rip, x->u.inst_emul.inst, x->u.inst_emul.inst_bytes);
	return VMEXIT_ABORT;
}

static enum vmexit_verdict
exit_spindown(struct vmctx *ctx, struct vcpu *vcpu, struct vm_exit *x)
{
	vcpu_deactivate(vcpu);
	return VMEXIT_CONTINUE; /* the thread sees that it is not active */
}

static enum vmexit_verdict
exit_suspended(struct vmctx *ctx, struct vcpu *vcpu, struct vm_exit *x)
{
	/* An engine may be the first to know: a triple fault. */
	if (vm_suspended(ctx) == VM_SUSPEND_NONE &&
	    vm_suspend(ctx, x->u.suspended.how) != 0)
		return VMEXIT_ABORT;
	return VMEXIT_CONTINUE;
}

static enum vmexit_verdict
run_start_ap(struct vmctx *ctx, struct vcpu *vcpu, struct vm_exit *x);

static const vmexit_handler vmexit_table[VM_EXITCODE_MAX] = {
	[VM_EXITCODE_INOUT] = exit_inout,
	[VM_EXITCODE_VMX] = exit_vmx,
	[VM_EXITCODE_BOGUS] = exit_bogus,
	[VM_EXITCODE_RDMSR] = exit_rdmsr,
	[VM_EXITCODE_WRMSR] = exit_wrmsr,
	[VM_EXITCODE_HLT] = exit_hlt,
	[VM_EXITCODE_MTRAP] = exit_debug,
	[VM_EXITCODE_PAUSE] = exit_pause,
	[VM_EXITCODE_INST_EMUL] = exit_inst_emul,
	[VM_EXITCODE_SPINUP_AP] = run_start_ap,
	[VM_EXITCODE_SPINDOWN_CPU] = exit_spindown,
	[VM_EXITCODE_SUSPENDED] = exit_suspended,
	[VM_EXITCODE_DEBUG] = exit_debug,
	[VM_EXITCODE_BPT] = exit_debug,
	[VM_EXITCODE_DB] = exit_debug,
};

static enum vmexit_verdict
vmexit_handle(struct vmctx *ctx, struct vcpu *vcpu, struct vm_exit *x)
{
	unsigned int code = (unsigned int)x->exitcode;

	if (code < ARRAY_LEN(vmexit_table) && vmexit_table[code] != NULL)
		return vmexit_table[code](ctx, vcpu, x);
	log_error("vcpu %d: unexpected exitcode 0x%x at rip 0x%lx", vcpu->id,
	    code, x->rip);
	inst_log_fetch(vcpu, x->rip);
	return VMEXIT_ABORT;
}

/* --- threads ------------------------------------------------------------- */

/* False: this vCPU's thread has nothing left to do. */
static bool
vcpu_step(struct vmctx *ctx, struct vcpu *vcpu)
{
	struct vm_exit x;

	vcpu_park(vcpu);
	if (vm_run(vcpu, &x) != 0) {
		log_error("vcpu %d: vm_run: %s", vcpu->id, strerror(errno));
		vm_abort(ctx);
		return false;
	}
	switch (vmexit_handle(ctx, vcpu, &x)) {
	case VMEXIT_CONTINUE:
		break;
	case VMEXIT_RESTART:
		if (vm_restart_instruction(vcpu) != 0)
			vm_abort(ctx);
		break;
	case VMEXIT_ABORT:
		vm_abort(ctx);
		break;
	case VMEXIT_RESET:
		(void)vm_suspend(ctx, VM_SUSPEND_RESET);
		break;
	case VMEXIT_POWEROFF:
		(void)vm_suspend(ctx, VM_SUSPEND_POWEROFF);
		break;
	}
	return vm_suspended(ctx) == VM_SUSPEND_NONE &&
	       cpuset_has(&ctx->active, (unsigned int)vcpu->id);
}

static void *
vcpu_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	struct vmctx *ctx = vcpu->ctx;
	char name[16];

	snprintf(name, sizeof(name), "vcpu %d", vcpu->id);
	pthread_setname_np(pthread_self(), name);
	while (vcpu_step(ctx, vcpu))
		continue;
	vm_hold_thread_ends(vcpu);
	__atomic_fetch_sub(&ctx->run_threads, 1, __ATOMIC_SEQ_CST);
	evloop_wake(ctx->events);
	return NULL;
}

/* The host CPU that vCPU `id` is bound to, or -1. */
static int
pin_of(const struct vm_run_opts *opts, int id)
{
	if (opts->pin[id] >= 0)
		return opts->pin[id];
	return opts->pin_base >= 0 ? opts->pin_base + id : -1;
}

static int
thread_attr(pthread_attr_t *attr, int host_cpu)
{
	cpu_set_t set;

	if (host_cpu < 0)
		return 0;
	if (host_cpu >= CPU_SETSIZE)
		return EINVAL;
	CPU_ZERO(&set);
	CPU_SET(host_cpu, &set);
	return pthread_attr_setaffinity_np(attr, sizeof(set), &set);
}

static int
thread_create(struct vcpu *vcpu, int host_cpu)
{
	pthread_attr_t attr;
	int err;

	err = pthread_attr_init(&attr);
	if (err != 0)
		return err;
	err = thread_attr(&attr, host_cpu);
	if (err == 0)
		err = pthread_create(&vcpu->thread, &attr, vcpu_thread, vcpu);
	pthread_attr_destroy(&attr);
	vcpu->has_thread = err == 0;
	return err;
}

static int
vcpu_start(struct vcpu *vcpu)
{
	struct vmctx *ctx = vcpu->ctx;
	int host_cpu = pin_of(&ctx->opts, vcpu->id);
	int err;

	lock_acquire(&ctx->lock);
	if (vcpu->has_thread) { /* it spun down, and ends by itself */
		pthread_join(vcpu->thread, NULL);
		vcpu->has_thread = false;
	}
	(void)vm_activate_cpu(vcpu); /* EBUSY: whoever made us did */
	__atomic_fetch_add(&ctx->run_threads, 1, __ATOMIC_SEQ_CST);
	vm_hold_thread_begins(vcpu);
	err = thread_create(vcpu, host_cpu);
	if (err != 0) {
		vm_hold_thread_ends(vcpu);
		__atomic_fetch_sub(&ctx->run_threads, 1, __ATOMIC_SEQ_CST);
	}
	lock_release(&ctx->lock);
	if (err != 0 && host_cpu >= 0)
		log_error("vcpu %d: cannot start on host cpu %d: %s", vcpu->id,
		    host_cpu, strerror(err));
	else if (err != 0)
		log_error("vcpu %d: cannot start its thread: %s", vcpu->id,
		    strerror(err));
	return -err;
}

/* The options that are capabilities of the engine. */
static int
vcpu_apply_opts(struct vcpu *vcpu, const struct vm_run_opts *opts)
{
	const struct {
		bool wanted;
		enum vm_cap_type cap;
		const char *missing; /* NULL: the engine counts by itself */
	} table[] = {
		{ opts->hlt_exit, VM_CAP_HALT_EXIT, NULL },
		{ opts->pause_exit, VM_CAP_PAUSE_EXIT, "PAUSE" },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (!table[i].wanted ||
		    vm_set_capability(vcpu, table[i].cap, 1) == 0)
			continue;
		if (errno != ENOTSUP) {
			int err = -errno;

			log_error("vcpu %d: %s: %s", vcpu->id,
			    vm_capability_type2name(table[i].cap),
			    strerror(-err));
			return err;
		}
		if (table[i].missing != NULL && vcpu->id == 0)
			log_warn("engine %s does not count %s instructions",
			    vcpu->ctx->engine->name, table[i].missing);
	}
	return 0;
}

/* SDM 3A 9.4.4.1: real mode at vector << 12. */
static int
ap_set_registers(struct vcpu *ap, uint64_t start)
{
	if (vcpu_reset(ap) != 0 ||
	    vm_set_register(ap, VM_REG_GUEST_CS, start >> 4) != 0 ||
	    vm_set_desc(
		ap, VM_REG_GUEST_CS, start, 0xffff, SEG_ACCESS_DATA16) != 0)
		return -1;
	return vm_set_register(ap, VM_REG_GUEST_RIP, 0);
}

static enum vmexit_verdict
run_start_ap(struct vmctx *ctx, struct vcpu *vcpu, struct vm_exit *x)
{
	int id = x->u.spinup_ap.vcpu;
	struct vcpu *ap = id > 0 ? vm_vcpu_get(ctx, (unsigned int)id) : NULL;

	if (ap == NULL || vcpu_apply_opts(ap, &ctx->opts) != 0 ||
	    ap_set_registers(ap, x->u.spinup_ap.rip) != 0) {
		log_error("vcpu %d: cannot be set up to start at 0x%lx", id,
		    x->u.spinup_ap.rip);
		return VMEXIT_ABORT;
	}
	return vcpu_start(ap) == 0 ? VMEXIT_CONTINUE : VMEXIT_ABORT;
}

/* --- the whole machine --------------------------------------------------- */

static int
run_begin(struct vmctx *ctx)
{
	int err = 0;

	for (unsigned int i = 0; i < vm_ncpus(ctx) && err == 0; i++) {
		struct vcpu *vcpu = vm_vcpu_open(ctx, (int)i);

		if (vcpu == NULL) {
			err = -errno;
			log_error("vcpu %u: %s", i, strerror(errno));
		} else if (i == 0 || ctx->engine->keeps_idle) {
			err = vcpu_apply_opts(vcpu, &ctx->opts);
		}
	}
	if (err != 0)
		return err;
	/* /proc/PID/comm: 15 characters, and needs nobody's argv. */
	if (ctx->opts.title != NULL)
		prctl(PR_SET_NAME, ctx->opts.title, 0, 0, 0);
	__atomic_store_n(&ctx->run_active, 1, __ATOMIC_SEQ_CST);
	err = vcpu_start(vm_vcpu_get(ctx, 0));
	if (err != 0) {
		__atomic_store_n(&ctx->run_active, 0, __ATOMIC_SEQ_CST);
		return err;
	}
	/* From here on who fails ends a run that has begun. */
	for (unsigned int i = 1; i < vm_ncpus(ctx) && ctx->engine->keeps_idle;
	     i++)
		if (vcpu_start(vm_vcpu_get(ctx, i)) != 0)
			vm_abort(ctx);
	return 0;
}

/* Until the last vCPU thread ended. */
static void
run_events(struct vmctx *ctx)
{
	while (__atomic_load_n(&ctx->run_threads, __ATOMIC_SEQ_CST) != 0) {
		struct vm_exit x = { 0 };
		int n = vm_event_poll(ctx, -1);

		if (n < 0) {
			log_error("event loop: %s", strerror(-n));
			vm_abort(ctx);
			return; /* the joins below wait for the vCPUs */
		}
		while (vm_suspended(ctx) == VM_SUSPEND_NONE &&
		       vm_spinup_take(&ctx->spinup_async, ctx, &x))
			if (run_start_ap(ctx, NULL, &x) == VMEXIT_ABORT)
				vm_abort(ctx);
	}
}

static void
run_end(struct vmctx *ctx)
{
	__atomic_store_n(&ctx->run_active, 0, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < VM_MAXCPU; i++) {
		struct vcpu *vcpu = vm_vcpu_get(ctx, i);

		if (vcpu != NULL && vcpu->has_thread) {
			pthread_join(vcpu->thread, NULL);
			vcpu->has_thread = false;
		}
	}
}

int
vm_run_all(struct vmctx *ctx, const struct vm_run_opts *opts,
    enum vm_suspend_how *ret_how)
{
	enum vm_suspend_how how;
	int err;

	ctx->opts = *opts;
	ctx->strict_io = opts->strict_io;
	*ret_how = VM_SUSPEND_NONE;
	err = run_begin(ctx);
	if (err != 0)
		return err;
	run_events(ctx);
	run_end(ctx);
	how = vm_suspended(ctx);
	if (how != VM_SUSPEND_ABORTED)
		*ret_how = how;
	return 0;
}

void
vm_vcpu_brief(struct vmctx *ctx, unsigned int id, struct vcpu_brief *ret)
{
	struct vcpu *vcpu = vm_vcpu_get(ctx, id);
	uint64_t stats[VMSTAT_COUNT_];

	*ret = (struct vcpu_brief){ 0 };
	if (vcpu == NULL)
		return;
	/* In this order, so that none is seen halted and not active. */
	ret->halted = __atomic_load_n(&vcpu->sleeping, __ATOMIC_SEQ_CST) != 0;
	ret->active = cpuset_has(&ctx->active, id);
	ret->rip = __atomic_load_n(&vcpu->last_rip, __ATOMIC_RELAXED);
	vcpu_stats_read(vcpu, stats);
	ret->exits = stats[VMSTAT_VMEXIT_COUNT];
	ret->insns = stats[VMSTAT_INSNS];
}
