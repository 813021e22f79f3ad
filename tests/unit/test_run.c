/* SPDX-License-Identifier: BSD-2-Clause */
/* test_run.c - vm_run() and vm_run_all() with guests that are C functions. */
#include "test.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <util/log.h>
#include <vmm/bus.h>
#include <vmm/event.h>
#include <vmm/irq.h>
#include <vmm/mem.h>

#include "fake_engine.h"

static char logged[16384];
static struct lock logged_lock = LOCK_INITIALIZER;

static void
sink(enum log_level level, const char *line)
{
	lock_acquire(&logged_lock);
	strncat(logged, line, sizeof(logged) - strlen(logged) - 2);
	strcat(logged, "\n");
	lock_release(&logged_lock);
}

static int
setup(void **state)
{
	log_set_sink(sink);
	logged[0] = '\0';
	alarm(60); /* a machine that does not end */
	return 0;
}

static enum vm_suspend_how
run(struct vmctx *ctx, const struct vm_run_opts *opts)
{
	const struct vm_run_opts dflt = VM_RUN_OPTS_DEFAULT;
	enum vm_suspend_how how = VM_SUSPEND_LAST;

	assert_int_equal(vm_run_all(ctx, opts != NULL ? opts : &dflt, &how), 0);
	return how;
}

/* --- one guest per exit code: it exits, then powers off ------------------ */

struct script {
	struct vm_exit exit;
};

static int
scripted(struct vcpu *vcpu, struct vm_exit *x)
{
	struct script *s = fake_vm(vcpu_vm(vcpu))->arg;

	if (fake_take_stop(vcpu, x))
		return 0;
	if (fake_vcpu(vcpu)->step++ == 0) {
		*x = s->exit;
		return 0;
	}
	vm_suspend(vcpu_vm(vcpu), VM_SUSPEND_POWEROFF);
	x->exitcode = VM_EXITCODE_BOGUS;
	return 0;
}

/* Runs a guest with that one exit; the caller looks at vCPU 0 and closes. */
static struct vmctx *
run_exit(const struct vm_exit *x, const struct vm_run_opts *opts,
    enum vm_suspend_how expect)
{
	struct vmctx *ctx = fake_vm_new(1, scripted);
	struct script s = { *x };

	assert_int_equal(vm_setup_memory(ctx, 1 << 20, VM_MMAP_ALL), 0);
	assert_int_equal(vm_mem_write(ctx, 0x1000, "\xe6\x80\x90", 3), 0);
	fake_vm(ctx)->arg = &s;
	logged[0] = '\0';
	assert_int_equal(run(ctx, opts), expect);
	return ctx;
}

static void
exit_fatal(void **state)
{
	static const struct {
		struct vm_exit x;
		const char *expect;
	} table[] = {
		{ { .exitcode = VM_EXITCODE_INOUT,
		      .rip = 0x1000,
		      .u.inout = { .bytes = 1, .port = 0x80, .eax = 5 } },
		    "Unhandled outb 0x0080 at rip 0x1000 (vcpu 0)\n" },
		{ { .exitcode = VM_EXITCODE_INOUT,
		      .rip = 0x1000,
		      .u.inout = { .in = true, .bytes = 4, .port = 0xcfc } },
		    "Unhandled inl 0x0cfc at rip 0x1000 (vcpu 0)\n" },
		{ { .exitcode = VM_EXITCODE_INOUT, .rip = 0x1000 },
		    "instruction at 0x1000: e6 80 90 00" },
		{ { .exitcode = VM_EXITCODE_VMX,
		      .rip = 0x1000,
		      .u.vmx = { -5, "no luck" } },
		    "failed at rip 0x1000: no luck (status -5)" },
		{ { .exitcode = VM_EXITCODE_INST_EMUL,
		      .rip = 0x77,
		      .u.inst_emul = { 0xdead0000, true, 4, { 0x0f, 0x0b },
			  2 } },
		    "write at 0xdead0000, 4 bytes, rip 0x77" },
		{ { .exitcode = VM_EXITCODE_INST_EMUL,
		      .u.inst_emul = { 0, true, 4, { 0x0f, 0x0b }, 2 } },
		    "instruction at 0x0: 0f 0b\n" },
		{ { .exitcode = VM_EXITCODE_MWAIT },
		    "unexpected exitcode 0x12" },
		{ { .exitcode = (enum vm_exitcode)1000 },
		    "unexpected exitcode 0x3e8" },
		/* Not even the length field is believed. */
		{ { .exitcode = VM_EXITCODE_INST_EMUL,
		      .u.inst_emul = { .inst_bytes = 255 } },
		    "instruction at 0x0: 00" },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		vm_close(run_exit(&table[i].x, NULL, VM_SUSPEND_NONE));
		assert_non_null(strstr(logged, table[i].expect));
	}
	assert_int_equal(vm_exit_status(VM_SUSPEND_NONE), 4);
}

/* Bytes as far as they can be read: the second page is not mapped. */
static void
exit_fatal_at_the_edge(void **state)
{
	const struct vm_exit x = { .exitcode = VM_EXITCODE_INOUT,
		.rip = (1 << 20) - 2 };
	const struct vm_exit nowhere = { .exitcode = VM_EXITCODE_INOUT,
		.rip = 1ull << 40 };

	vm_close(run_exit(&x, NULL, VM_SUSPEND_NONE));
	assert_non_null(strstr(logged, "instruction at 0xffffe: 00 00\n"));
	vm_close(run_exit(&nowhere, NULL, VM_SUSPEND_NONE));
	assert_null(strstr(logged, "instruction at"));
}

static void
exit_harmless(void **state)
{
	static const struct {
		enum vm_exitcode code;
		enum vm_stat stat;
	} table[] = {
		{ VM_EXITCODE_BOGUS, VMSTAT_VMEXIT_USERSPACE },
		{ VM_EXITCODE_MTRAP, VMSTAT_VMEXIT_MTRAP },
		{ VM_EXITCODE_PAUSE, VMSTAT_VMEXIT_PAUSE },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct vm_exit x = { .exitcode = table[i].code };
		struct vmctx *ctx = run_exit(&x, NULL, VM_SUSPEND_POWEROFF);
		const uint64_t *stats = vcpu_stats(vm_vcpu_get(ctx, 0));

		assert_true(stats[table[i].stat] >= 1);
		assert_true(stats[VMSTAT_VMEXIT_COUNT] >= 1);
		assert_int_equal(fake_vcpu(vm_vcpu_get(ctx, 0))->restarts, 0);
		assert_string_equal(logged, "");
		vm_close(ctx);
	}
}

static void
exit_msr(void **state)
{
	const struct vm_exit rd = { .exitcode = VM_EXITCODE_RDMSR,
		.u.msr = { 0xc0010015, 0 } };
	const struct vm_exit wr = { .exitcode = VM_EXITCODE_WRMSR,
		.u.msr = { 0x1234, 0x5678 } };
	struct vm_run_opts lax = VM_RUN_OPTS_DEFAULT;
	struct fake_vcpu *v;
	struct vmctx *ctx;

	lax.strict_msr = false;
	for (int i = 0; i < 2; i++) {
		ctx = run_exit(i == 0 ? &rd : &wr, NULL, VM_SUSPEND_POWEROFF);
		v = fake_vcpu(vm_vcpu_get(ctx, 0));
		assert_int_equal(v->inject_vector, 13);
		/* Back to the instruction once, not twice. */
		assert_true(v->inject_restart);
		assert_int_equal(v->restarts, 0);
		vm_close(ctx);
	}
	assert_non_null(
	    strstr(logged, "wrmsr to register 0x1234(0x5678) on vcpu 0"));
	ctx = run_exit(&wr, &lax, VM_SUSPEND_POWEROFF);
	v = fake_vcpu(vm_vcpu_get(ctx, 0));
	assert_int_equal(v->inject_vector, 0);
	vm_close(ctx);
	ctx = run_exit(&rd, &lax, VM_SUSPEND_POWEROFF);
	assert_non_null(
	    strstr(logged, "rdmsr to register 0xc0010015 on vcpu 0"));
	v = fake_vcpu(vm_vcpu_get(ctx, 0));
	assert_int_equal(v->inject_vector, 0);
	assert_true(v->reg[VM_REG_GUEST_RAX] == 0);
	vm_close(ctx);
}

static int
rdmsr_flood(struct vcpu *vcpu, struct vm_exit *x)
{
	if (fake_vcpu(vcpu)->step++ < 100)
		x->exitcode = VM_EXITCODE_RDMSR;
	else
		vm_suspend(vcpu_vm(vcpu), VM_SUSPEND_POWEROFF);
	return 0;
}

static unsigned int
lines_of_flood(bool verbose)
{
	struct vmctx *ctx = fake_vm_new(1, rdmsr_flood);
	struct vm_run_opts opts = VM_RUN_OPTS_DEFAULT;
	unsigned int n = 0;

	opts.verbose_msr = verbose;
	logged[0] = '\0';
	assert_int_equal(run(ctx, &opts), VM_SUSPEND_POWEROFF);
	vm_close(ctx);
	for (const char *s = logged; (s = strstr(s, "rdmsr")) != NULL; s++)
		n++;
	return n;
}

/* A guest that touches an unknown MSR all the time does not fill the log. */
static void
msr_flood(void **state)
{
	assert_in_range(lines_of_flood(false), 0, 20);
	assert_int_equal(lines_of_flood(true), 100);
}

static int
rdmsr_with_old_registers(struct vcpu *vcpu, struct vm_exit *x)
{
	struct fake_vcpu *v = fake_vcpu(vcpu);

	if (v->step++ == 0) {
		v->reg[VM_REG_GUEST_RAX] = v->reg[VM_REG_GUEST_RDX] = ~0ull;
		v->reg[VM_REG_GUEST_RCX] = 77;
		x->exitcode = VM_EXITCODE_RDMSR;
		return 0;
	}
	vm_suspend(vcpu_vm(vcpu), VM_SUSPEND_RESET);
	return 0;
}

static void
exit_rdmsr_reads_zero(void **state)
{
	struct vmctx *ctx = fake_vm_new(1, rdmsr_with_old_registers);
	struct vm_run_opts lax = VM_RUN_OPTS_DEFAULT;
	struct fake_vcpu *v = fake_vcpu(vm_vcpu_get(ctx, 0));

	lax.strict_msr = false;
	assert_int_equal(run(ctx, &lax), VM_SUSPEND_RESET);
	assert_true(v->reg[VM_REG_GUEST_RAX] == 0);
	assert_true(v->reg[VM_REG_GUEST_RDX] == 0);
	assert_int_equal(v->reg[VM_REG_GUEST_RCX], 77);
	vm_close(ctx);
}

static void
exit_suspended(void **state)
{
	static const struct {
		enum vm_suspend_how how;
		int status;
	} table[] = {
		{ VM_SUSPEND_RESET, 0 },
		{ VM_SUSPEND_POWEROFF, 1 },
		{ VM_SUSPEND_HALT, 2 },
		{ VM_SUSPEND_TRIPLEFAULT, 3 },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct vm_exit x = { .exitcode = VM_EXITCODE_SUSPENDED,
			.u.suspended.how = table[i].how };

		vm_close(run_exit(&x, NULL, table[i].how));
		assert_int_equal(vm_exit_status(table[i].how), table[i].status);
	}
	assert_int_equal(vm_exit_status(VM_SUSPEND_LAST), 4);
	/* An engine that says so without a reason is broken. */
	const struct vm_exit none = { .exitcode = VM_EXITCODE_SUSPENDED };

	vm_close(run_exit(&none, NULL, VM_SUSPEND_NONE));
}

static void
exit_hlt_without_interrupts(void **state)
{
	const struct vm_exit off = { .exitcode = VM_EXITCODE_HLT };
	struct vm_run_opts opts = VM_RUN_OPTS_DEFAULT;
	struct vmctx *ctx;

	opts.hlt_exit = true;
	ctx = run_exit(&off, &opts, VM_SUSPEND_HALT);
	assert_int_equal(
	    fake_vcpu(vm_vcpu_get(ctx, 0))->cap[VM_CAP_HALT_EXIT], 1);
	assert_int_equal(vcpu_stats(vm_vcpu_get(ctx, 0))[VMSTAT_VMEXIT_HLT], 1);
	vm_close(ctx);
}

static void
wake_it(void *arg)
{
	vcpu_notify_intr(arg);
}

static void
exit_hlt_sleeps_until_an_interrupt(void **state)
{
	struct vmctx *ctx = fake_vm_new(1, scripted);
	struct script s = { { .exitcode = VM_EXITCODE_HLT,
	    .u.hlt.rflags = 0x202 } };
	struct vcpu *v = vm_vcpu_get(ctx, 0);
	struct evtimer *t = evtimer_create(ctx, "t", NULL, wake_it, v);

	fake_vm(ctx)->arg = &s;
	evtimer_arm(t, vm_clock_ns(ctx) + 30000000);
	assert_int_equal(run(ctx, NULL), VM_SUSPEND_POWEROFF);
	assert_true(vcpu_stats(v)[VMSTAT_IDLE_NS] > 1000000);
	evtimer_del(t);
	vm_close(ctx);
}

/* --- stopping ------------------------------------------------------------ */

static int
port_poweroff(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	vm_suspend(vcpu_vm(vcpu), VM_SUSPEND_POWEROFF);
	vm_suspend(vcpu_vm(vcpu), VM_SUSPEND_RESET); /* too late */
	return 0;
}

/* vCPU 0 writes the port, the others sleep. */
static int
one_writes(struct vcpu *vcpu, struct vm_exit *x)
{
	uint32_t v = 0;

	if (vcpu_id(vcpu) != 0)
		return fake_idle(vcpu, x);
	if (fake_take_stop(vcpu, x))
		return 0;
	if (fake_vcpu(vcpu)->step < 3) {
		vcpu_sipi(
		    vm_vcpu_get(vcpu_vm(vcpu), ++fake_vcpu(vcpu)->step), 0x8);
		return 0;
	}
	return bus_pio(vcpu, false, 0xcf9, 1, &v) == BUS_OK ? 0 : -EIO;
}

static void
stop_from_a_callback(void **state)
{
	const struct pio_range r = {
		.name = "reset", .port = 0xcf9, .len = 1, .fn = port_poweroff
	};
	struct vmctx *ctx = fake_vm_new(4, one_writes);

	assert_int_equal(bus_pio_register(ctx, &r), 0);
	assert_int_equal(run(ctx, NULL), VM_SUSPEND_POWEROFF);
	for (unsigned int i = 1; i < 4; i++)
		assert_true(fake_vcpu(vm_vcpu_get(ctx, i))->runs <= 1);
	assert_string_equal(logged, "");
	/* Ended is ended. */
	assert_int_equal(vm_suspend(ctx, VM_SUSPEND_RESET), -1);
	assert_int_equal(errno, EALREADY);
	assert_int_equal(run(ctx, NULL), VM_SUSPEND_POWEROFF);
	vm_close(ctx);
}

static void
suspend_it(void *arg)
{
	vm_suspend(arg, VM_SUSPEND_RESET);
}

static void *
abort_later(void *arg)
{
	usleep(20000);
	vm_abort(arg);
	return NULL;
}

static void
stop_from_elsewhere(void **state)
{
	struct vmctx *ctx = fake_vm_new(1, NULL);
	struct evtimer *t = evtimer_create(ctx, "t", NULL, suspend_it, ctx);
	pthread_t th;

	evtimer_arm(t, vm_clock_ns(ctx) + 20000000);
	assert_int_equal(run(ctx, NULL), VM_SUSPEND_RESET);
	evtimer_del(t);
	/* Once more from power-on, and now an error. */
	assert_int_equal(vm_reinit(ctx), 0);
	assert_int_equal(vm_suspended(ctx), VM_SUSPEND_NONE);
	assert_int_equal(fake_vcpu(vm_vcpu_get(ctx, 0))->resets, 1);
	assert_int_equal(pthread_create(&th, NULL, abort_later, ctx), 0);
	assert_int_equal(run(ctx, NULL), VM_SUSPEND_NONE);
	pthread_join(th, NULL);
	assert_int_equal(vm_suspend(ctx, VM_SUSPEND_NONE), -1);
	assert_int_equal(vm_suspend(ctx, VM_SUSPEND_LAST), -1);
	assert_int_equal(errno, EINVAL);
	vm_close(ctx);
}

/* A guest that computes: it is kicked, and only then looks. */
static int
busy(struct vcpu *vcpu, struct vm_exit *x)
{
	while (fake_vcpu(vcpu)->kicks == 0)
		sched_yield();
	return fake_take_stop(vcpu, x) ? 0 : -EIO;
}

static void
stop_kicks_a_running_vcpu(void **state)
{
	struct vmctx *ctx = fake_vm_new(1, busy);
	pthread_t th;

	assert_int_equal(pthread_create(&th, NULL, abort_later, ctx), 0);
	assert_int_equal(run(ctx, NULL), VM_SUSPEND_NONE);
	pthread_join(th, NULL);
	vm_close(ctx);
}

static int
engine_error(struct vcpu *vcpu, struct vm_exit *x)
{
	return -EIO;
}

static void
engine_fails(void **state)
{
	struct vmctx *ctx = fake_vm_new(1, engine_error);

	assert_int_equal(run(ctx, NULL), VM_SUSPEND_NONE);
	assert_non_null(strstr(logged, "vcpu 0: vm_run: Input/output error"));
	vm_close(ctx);
}

/* --- starting the others ------------------------------------------------- */

struct start {
	atomic_uint started; /* bit per vCPU */
	char name[8][16];
	atomic_uint inits;
};

static int
ap_reports(struct vcpu *vcpu, struct vm_exit *x)
{
	struct start *s = fake_vm(vcpu_vm(vcpu))->arg;
	unsigned int id = (unsigned int)vcpu_id(vcpu);

	if ((atomic_load(&s->started) & BIT(id)) == 0) {
		prctl(PR_GET_NAME, s->name[id]);
		if (atomic_fetch_or(&s->started, BIT(id)) == 0xe - BIT(id))
			vcpu_post(vm_vcpu_get(vcpu_vm(vcpu), 0), VCPU_EV_NMI);
	}
	return fake_idle(vcpu, x);
}

/* INIT, SIPI, SIPI to all others, as a broadcast IPI does; then wait. */
static int
bsp_starts_all(struct vcpu *vcpu, struct vm_exit *x)
{
	struct vmctx *ctx = vcpu_vm(vcpu);

	if (vcpu_id(vcpu) != 0)
		return ap_reports(vcpu, x);
	if (fake_vcpu(vcpu)->step++ == 0) {
		for (unsigned int i = 1; i < vm_ncpus(ctx); i++) {
			vcpu_init_signal(vm_vcpu_get(ctx, i));
			vcpu_sipi(vm_vcpu_get(ctx, i), 0x9a);
			vcpu_sipi(vm_vcpu_get(ctx, i), 0x9a);
		}
	}
	for (;;) {
		if (fake_take_stop(vcpu, x))
			return 0;
		vcpu_sleep_halted(vcpu, true);
		if (vcpu_take(vcpu, VCPU_EV_NMI) != 0)
			vm_suspend(ctx, VM_SUSPEND_POWEROFF);
	}
}

static void
apic_init(void *apic)
{
	atomic_fetch_add(&((struct start *)apic)->inits, 1);
}

static const struct vcpu_intr_ops intr_ops = { .init = apic_init };

static void
start_all(struct vmctx *ctx, struct start *s)
{
	struct vm_run_opts opts = VM_RUN_OPTS_DEFAULT;

	opts.hlt_exit = true;
	opts.title = "a-long-machine-name";
	fake_vm(ctx)->arg = s;
	for (unsigned int i = 0; i < 4; i++)
		vcpu_set_intr(vm_vcpu_get(ctx, i), &intr_ops, s);
	assert_int_equal(run(ctx, &opts), VM_SUSPEND_POWEROFF);
	assert_int_equal(s->started, 0xe);
	for (unsigned int i = 1; i < 4; i++) {
		struct fake_vcpu *v = fake_vcpu(vm_vcpu_get(ctx, i));
		char name[16];

		snprintf(name, sizeof(name), "vcpu %u", i);
		assert_string_equal(s->name[i], name);
		assert_int_equal(v->resets, 1);
		assert_int_equal(v->reg[VM_REG_GUEST_RIP], 0);
		assert_int_equal(v->reg[VM_REG_GUEST_CS], 0x9a00);
		assert_int_equal(v->desc[VM_REG_GUEST_CS].base, 0x9a000);
		assert_int_equal(v->desc[VM_REG_GUEST_CS].limit, 0xffff);
		assert_int_equal(v->desc[VM_REG_GUEST_CS].access, 0x93);
		assert_int_equal(v->cap[VM_CAP_HALT_EXIT], 1);
	}
}

static void
spinup(void **state)
{
	struct vmctx *ctx = fake_vm_new(4, bsp_starts_all);
	struct start s = { 0 };
	char title[17] = "";

	start_all(ctx, &s);
	/* The INIT that nobody was there to take, in each one's own thread. */
	assert_int_equal(s.inits, 3);
	prctl(PR_GET_NAME, title);
	assert_string_equal(title, "a-long-machine-");
	vm_close(ctx);
}

/* The SIPI comes from the event thread. */
static void
sipi_timer(void *arg)
{
	for (unsigned int i = 1; i < 4; i++)
		vcpu_sipi(vm_vcpu_get(arg, i), 0x9a);
}

static int
bsp_waits(struct vcpu *vcpu, struct vm_exit *x)
{
	if (vcpu_id(vcpu) == 0 && fake_vcpu(vcpu)->step == 0)
		fake_vcpu(vcpu)->step = 1; /* sends nothing itself */
	return bsp_starts_all(vcpu, x);
}

static void
spinup_from_event_thread(void **state)
{
	struct vmctx *ctx = fake_vm_new(4, bsp_waits);
	struct evtimer *t = evtimer_create(ctx, "t", NULL, sipi_timer, ctx);
	struct start s = { 0 };

	evtimer_arm(t, 0);
	start_all(ctx, &s);
	assert_int_equal(s.inits, 0);
	evtimer_del(t);
	vm_close(ctx);
}

/* vm_run() itself, without a loop: what a kicked engine's BOGUS stands for. */
static int
kicked_by_itself(struct vcpu *vcpu, struct vm_exit *x)
{
	if (fake_vcpu(vcpu)->step++ == 0)
		vcpu_sipi(vm_vcpu_get(vcpu_vm(vcpu), 1), 0x42);
	else
		vm_suspend(vcpu_vm(vcpu), VM_SUSPEND_RESET);
	assert(vcpu_take(vcpu, VCPU_EV_STOP) != 0);
	x->exitcode = VM_EXITCODE_BOGUS;
	return 0;
}

static void
bogus_becomes_its_reason(void **state)
{
	struct vmctx *ctx = fake_vm_new(2, kicked_by_itself);
	struct vcpu *v = vm_vcpu_get(ctx, 0);
	struct vm_exit x;

	assert_int_equal(vm_run(v, &x), 0);
	assert_int_equal(x.exitcode, VM_EXITCODE_SPINUP_AP);
	assert_int_equal(x.u.spinup_ap.vcpu, 1);
	assert_int_equal(x.u.spinup_ap.rip, 0x42000);
	/* Each exit has an instruction of its own to restart. */
	assert_int_equal(vm_restart_instruction(v), 0);
	assert_int_equal(vm_run(v, &x), 0);
	assert_int_equal(vm_restart_instruction(v), 0);
	assert_int_equal(fake_vcpu(v)->restarts, 2);
	assert_int_equal(x.exitcode, VM_EXITCODE_SUSPENDED);
	assert_int_equal(x.u.suspended.how, VM_SUSPEND_RESET);
	/* From here on without asking the engine. */
	assert_int_equal(vm_run(v, &x), 0);
	assert_int_equal(x.exitcode, VM_EXITCODE_SUSPENDED);
	assert_int_equal(fake_vcpu(v)->runs, 2);
	vm_close(ctx);
}

/* vCPU 1 starts, spins down, is started again; at last vCPU 0 spins down. */
static int
up_and_down(struct vcpu *vcpu, struct vm_exit *x)
{
	struct vmctx *ctx = vcpu_vm(vcpu);
	struct vcpu_brief b = { .active = true };
	struct fake_vcpu *v = fake_vcpu(vcpu);

	if (vcpu_id(vcpu) == 1) {
		vcpu_take(vcpu, ~0u);
		x->exitcode = VM_EXITCODE_SPINDOWN_CPU;
		return 0;
	}
	if (v->step > 0)
		while (b.active) {
			vm_vcpu_brief(ctx, 1, &b);
			if (b.active)
				sched_yield();
		}
	if (fake_take_stop(vcpu, x))
		return 0;
	if (v->step++ < 20)
		vcpu_sipi(vm_vcpu_get(ctx, 1), 1);
	else
		x->exitcode = VM_EXITCODE_SPINDOWN_CPU;
	if (x->exitcode != VM_EXITCODE_SPINDOWN_CPU)
		x->exitcode = VM_EXITCODE_BOGUS;
	return 0;
}

static void
spindown(void **state)
{
	struct vmctx *ctx = fake_vm_new(2, up_and_down);

	assert_int_equal(run(ctx, NULL), VM_SUSPEND_HALT);
	assert_int_equal(fake_vcpu(vm_vcpu_get(ctx, 1))->resets, 20);
	assert_string_equal(logged, "");
	vm_close(ctx);
}

/* --- the rest ------------------------------------------------------------ */

static void *
run_other(void *arg)
{
	run(arg, NULL);
	return NULL;
}

static void
two_machines(void **state)
{
	struct vmctx *a = fake_vm_new(4, bsp_starts_all);
	struct vmctx *b = fake_vm_new(1, NULL);
	struct start s = { 0 };
	pthread_t th;

	assert_int_equal(pthread_create(&th, NULL, run_other, b), 0);
	start_all(a, &s);
	/* The other one was not told to stop. */
	assert_int_equal(vm_suspended(b), VM_SUSPEND_NONE);
	assert_int_equal(vm_suspend(b, VM_SUSPEND_RESET), 0);
	pthread_join(th, NULL);
	vm_close(a);
	vm_close(b);
}

static int
hold(struct vcpu *vcpu, struct vm_exit *x)
{
	uint64_t v;

	/* Its own thread may ask the engine while it runs. */
	if (vm_get_register(vcpu, VM_REG_GUEST_RIP, &v) != 0)
		return -EIO;
	return fake_idle(vcpu, x);
}

static void *
run_one(void *arg)
{
	struct vm_exit x = { 0 };

	return (void *)(uintptr_t)(vm_run(arg, &x) == 0 ? x.exitcode : 99);
}

static void
one_thread_per_vcpu(void **state)
{
	struct vmctx *ctx = fake_vm_new(1, hold);
	struct vcpu *v = vm_vcpu_get(ctx, 0);
	struct vcpu_brief b = { 0 };
	struct vm_exit x;
	pthread_t th;
	uint64_t val;
	void *ret;

	assert_int_equal(pthread_create(&th, NULL, run_one, v), 0);
	while (!b.halted)
		vm_vcpu_brief(ctx, 0, &b);
	assert_true(b.active);
	assert_int_equal(vm_run(v, &x), -1);
	assert_int_equal(errno, EBUSY);
	assert_int_equal(vm_get_register(v, VM_REG_GUEST_RIP, &val), -1);
	assert_int_equal(errno, EBUSY);
	assert_int_equal(vcpu_reset(v), -1);
	assert_int_equal(vm_reinit(ctx), -1);
	assert_int_equal(errno, EBUSY);
	vcpu_post(v, VCPU_EV_STOP);
	pthread_join(th, &ret);
	assert_int_equal((uintptr_t)ret, VM_EXITCODE_BOGUS);
	assert_int_equal(vm_get_register(v, VM_REG_GUEST_RIP, &val), 0);
	vm_close(ctx);
}

static int
where_am_i(struct vcpu *vcpu, struct vm_exit *x)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	fake_vcpu(vcpu)->step =
	    CPU_COUNT(&set) == 1 && CPU_ISSET(0, &set) ? 1 : 2;
	vm_suspend(vcpu_vm(vcpu), VM_SUSPEND_POWEROFF);
	x->exitcode = VM_EXITCODE_BOGUS;
	return 0;
}

static void
pinning(void **state)
{
	struct vm_run_opts opts = VM_RUN_OPTS_DEFAULT;
	struct vmctx *ctx = fake_vm_new(1, where_am_i);
	enum vm_suspend_how how;

	opts.pin_base = 100000; /* no such host CPU */
	assert_int_equal(vm_run_all(ctx, &opts, &how), -EINVAL);
	assert_non_null(strstr(logged, "host cpu 100000"));
	opts.pin[0] = 0; /* wins */
	assert_int_equal(run(ctx, &opts), VM_SUSPEND_POWEROFF);
	assert_int_equal(fake_vcpu(vm_vcpu_get(ctx, 0))->step, 1);
	vm_close(ctx);
}

/* The fake engine has no PAUSE exits: a word, and the machine runs. */
static void
pause_not_counted(void **state)
{
	const struct vm_exit x = { .exitcode = VM_EXITCODE_BOGUS };
	struct vm_run_opts opts = VM_RUN_OPTS_DEFAULT;

	opts.pause_exit = true;
	vm_close(run_exit(&x, &opts, VM_SUSPEND_POWEROFF));
	assert_non_null(
	    strstr(logged, "engine fake does not count PAUSE instructions"));
}

static void
restart_once(void **state)
{
	const struct vm_exit x = { .exitcode = VM_EXITCODE_BOGUS };
	struct vmctx *ctx = run_exit(&x, NULL, VM_SUSPEND_POWEROFF);
	struct vcpu *v = vm_vcpu_get(ctx, 0);

	assert_int_equal(vm_restart_instruction(v), 0);
	assert_int_equal(vm_restart_instruction(v), 0);
	assert_int_equal(fake_vcpu(v)->restarts, 1);
	assert_int_equal(vm_inject_exception(v, 6, false, 0, true), 0);
	assert_false(fake_vcpu(v)->inject_restart);
	assert_int_equal(vm_inject_exception(v, 32, false, 0, false), -1);
	assert_int_equal(errno, EINVAL);
	vm_close(ctx);
}

#define T(fn) cmocka_unit_test_setup(fn, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(exit_fatal), T(exit_fatal_at_the_edge), T(exit_harmless),
		T(exit_msr), T(exit_rdmsr_reads_zero), T(exit_suspended),
		T(exit_hlt_without_interrupts),
		T(exit_hlt_sleeps_until_an_interrupt), T(stop_from_a_callback),
		T(stop_from_elsewhere), T(stop_kicks_a_running_vcpu),
		T(engine_fails), T(spinup), T(spinup_from_event_thread),
		T(bogus_becomes_its_reason), T(spindown), T(two_machines),
		T(one_thread_per_vcpu), T(pinning), T(pause_not_counted),
		T(restart_once), T(msr_flood), /* uses up what others may log */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
