/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guest_run - runs the pairs of one group: a PC with all chips and the host's
 *real clock, the payload as its kernel.
 *
 *	guest_run [-E engine] [-t] [-p pair] group payload-directory
 *
 * -t: tiny; the software CPU keeps as little decoded code as it can, and must
 *have thrown some away.
 *
 * Reports come by a port, from vCPU threads.  Status 0 when every line says ok,
 * 1 when not, 77 when the engine cannot run here.
 */
#include "host.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <boot/boot.h>
#include <chip/chips.h>
#include <conf/conf.h>
#include <util/log.h>
#include <vmm/bus.h>
#include <vmm/engine.h>
#include <vmm/mem.h>
#include <vmm/pci.h>
#include <vmm/platform.h>
#include <vmm/vcpu.h>

#define RAM_BYTES    (64ull << 20)
#define STATUS_SKIP  77
#define MACHINES_MAX 2
#define PAIR_SECONDS 60 /* one pair that hangs ends the program */
#define SLOW_FACTOR  4	/* where the processor is emulated */

static const struct pair_group *const group_table[] = {
	&breaks_group,
	&clock_group,
	&cpu_group,
	&debug_group,
	&ends_group,
	&exits_group,
	&fast_group,
	&io_group,
	&irq_group,
	&lapic_group,
	&ldt_group,
	&legacy_group,
	&litmus_group,
	&mmio_group,
	&paging_group,
	&pci_group,
	&platform_group,
	&polls_group,
	&ring3_group,
	&rtc_group,
	&smc_group,
	&smp_group,
	&strings_group,
	&task_group,
	&topology_group,
	&two_group,
	&v86_group,
	&virtio_group,
};

static struct lock results_lock = LOCK_INITIALIZER; /* and standard output */
static unsigned int nresults, nfailed;
static bool slow;	/* the engine, which says so itself */
static uint64_t nturns; /* of the code cache, with -t */

void
host_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("Bail out! ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	exit(1);
}

/* --- results
 * --------------------------------------------------------------------- */

static void
tap(struct guest *g, enum guest_status st, const char *name, const char *why)
{
	lock_acquire(&results_lock);
	nresults++;
	nfailed += st == GUEST_FAIL;
	printf("%sok %u - %s: %s%s%s\n", st == GUEST_FAIL ? "not " : "",
	    nresults, g->pair->name, name, st == GUEST_SKIP ? " # SKIP " : "",
	    st == GUEST_SKIP ? why : "");
	if (st == GUEST_FAIL)
		printf("# %s\n", why);
	fflush(stdout);
	lock_release(&results_lock);
}

void
host_result(struct guest *g, bool ok, const char *name, const char *fmt, ...)
{
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	tap(g, ok ? GUEST_PASS : GUEST_FAIL, name, why);
}

void
host_check_eq(struct guest *g, const char *name, uint64_t got, uint64_t want)
{
	host_result(g, got == want, name, "%#lx, not %#lx", (unsigned long)got,
	    (unsigned long)want);
}

void
host_skip(struct guest *g, const char *name, const char *why)
{
	tap(g, GUEST_SKIP, name, why);
}

bool
host_emulates(void)
{
	return slow;
}

uint64_t
host_stat(struct guest *g, int stat)
{
	uint64_t sum = 0;
	int n;

	for (unsigned int i = 0; i < g->param[GUEST_PARAM_NCPUS]; i++)
		sum +=
		    vm_get_stats(vm_vcpu_open(g->ctx, (int)i), NULL, &n)[stat];
	return sum;
}

static void
on_call(struct guest *g, uint64_t gpa, struct guest_report *r)
{
	if (g->pair->call == NULL)
		host_die("%s: nobody answers guest_call()", g->pair->name);
	r->value[1] = g->pair->call(g, r->value[0], r->value[1]);
	if (vm_mem_write(g->ctx, gpa, r, sizeof(*r)) != 0)
		host_die("report outside of memory");
}

static int
on_report(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct guest *g = arg;
	struct guest_report r;

	if (in || bytes != 4)
		return -1;
	if (vm_mem_read(g->ctx, *val, &r, sizeof(r)) != 0)
		host_die("report outside of memory");
	r.name[sizeof(r.name) - 1] = r.text[sizeof(r.text) - 1] = '\0';
	switch (r.kind) {
	case GUEST_REPORT_RESULT:
		tap(g, (enum guest_status)r.status, r.name, r.text);
		break;
	case GUEST_REPORT_CALL:
		on_call(g, *val, &r);
		break;
	case GUEST_REPORT_END:
		g->ended = true;
		vm_suspend(g->ctx, VM_SUSPEND_POWEROFF);
		break;
	default:
		host_die("report of kind %u", r.kind);
	}
	return 0;
}

static int
on_param(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct guest *g = arg;

	if (!in)
		g->param_sel = *val % GUEST_NPARAMS;
	else
		*val = g->param[g->param_sel];
	return 0;
}

/* --- the machine
 * ------------------------------------------------------------------- */

static const struct vm_engine_ops *
find_engine(const char *name)
{
	char why[256] = "no such engine";

	for (size_t k = 0; k < vm_engine_table_len; k++) {
		int err;

		if (strcmp(vm_engine_table[k]->name, name) != 0)
			continue;
		err = vm_engine_table[k]->probe(why, sizeof(why));
		slow = err == VM_ENGINE_SLOW;
		if (err >= 0)
			return vm_engine_table[k];
	}
	printf("1..0 # SKIP engine %s: %s\n", name, why);
	exit(STATUS_SKIP);
}

static int
make_chips(struct guest *g)
{
	const struct vm_platform_opts opts = {
		.utc = true,
		.x2apic = g->pair->x2apic,
	};
	const char *part;
	int err;

	if ((err = vm_platform_create(g->ctx, &opts, &part)) != 0 ||
	    (err = acpi_pm_create(g->ctx, &g->pm)) != 0 ||
	    (err = pcport_create(g->ctx)) != 0 ||
	    (err = i8042_create(g->ctx)) != 0 ||
	    (err = xmsr_create(g->ctx)) != 0)
		return err;
	return comport_create(g->ctx, "com1", 0x3f8, 4, NULL);
}

static int
make_pci(struct guest *g, struct conf *conf)
{
	char why[256];
	int err = pci_bus_create(g->ctx, &g->pci);

	if (err == 0)
		err = pci_dev_create(g->pci, pci_dev_find("hostbridge"), conf,
		    0, 0, 0, why, sizeof(why));
	if (err == 0)
		err = pci_dev_create(g->pci, pci_dev_find("lpc"), conf, 0, 31,
		    0, why, sizeof(why));
	return err;
}

static void
make_ports(struct guest *g)
{
	const struct pio_range ports[] = {
		{ .name = "report",
		    .port = GUEST_PORT_REPORT,
		    .len = 4,
		    .fn = on_report,
		    .arg = g,
		    .lock = &g->lock },
		{ .name = "param",
		    .port = GUEST_PORT_PARAM,
		    .len = 4,
		    .fn = on_param,
		    .arg = g,
		    .lock = &g->lock },
	};

	if (bus_pio_register(g->ctx, &ports[0]) != 0 ||
	    bus_pio_register(g->ctx, &ports[1]) != 0)
		host_die("the report ports are taken");
}

static unsigned int
or_one(unsigned int n)
{
	return n != 0 ? n : 1;
}

static void
make_machine(struct guest *g, const struct vm_engine_ops *engine, bool tiny,
    struct conf *conf, const char *dir)
{
	unsigned int n = or_one(g->pair->ncpus);
	unsigned int cores = or_one(g->pair->cores);
	unsigned int threads = or_one(g->pair->threads);
	const struct vm_topology topo = { (uint16_t)n,
		(uint16_t)(n / cores / threads), (uint16_t)cores,
		(uint16_t)threads };
	char path[512], why[256] = "";
	const struct boot_kernel k = { .kernel = path };

	g->engine = engine;
	if (vm_new("guest", engine, &g->ctx) != 0 ||
	    vm_topology_set(g->ctx, &topo) != 0 ||
	    vm_set_hlt_poll(g->ctx, g->pair->hlt_poll) != 0 ||
	    vm_set_code_cache(g->ctx, tiny ? VM_CODE_CACHE_MIN : 0) != 0)
		host_die("cannot make the machine");
	for (unsigned int i = 0; i < n; i++)
		if (vm_vcpu_open(g->ctx, (int)i) == NULL)
			host_die("vCPU %u: %s", i, strerror(errno));
	if (vm_setup_memory(g->ctx, RAM_BYTES, VM_MMAP_ALL) != 0 ||
	    make_chips(g) != 0 || make_pci(g, conf) != 0)
		host_die("cannot make the PC");
	make_ports(g);
	g->param[GUEST_PARAM_NCPUS] = n;
	g->param[GUEST_PARAM_CORES] = cores;
	g->param[GUEST_PARAM_THREADS] = threads;
	g->param[GUEST_PARAM_TSC_KHZ] = (uint32_t)(vm_tsc_hz(g->ctx) / 1000);
	g->param[GUEST_PARAM_OWN] = g->pair->param;
	if (g->pair->setup != NULL)
		g->pair->setup(g);
	snprintf(path, sizeof(path), "%s/%s.elf", dir, g->pair->payload);
	if (boot_load_kernel(
		g->ctx, vm_vcpu_open(g->ctx, 0), &k, why, sizeof(why)) != 0)
		host_die("%s", why);
}

/* --- running
 * ------------------------------------------------------------------------ */

static void
check_end(struct guest *g)
{
	const struct pair *p = g->pair;
	enum vm_suspend_how want = p->aborts ? VM_SUSPEND_NONE
				   : p->end != VM_SUSPEND_NONE
				       ? p->end
				       : VM_SUSPEND_POWEROFF;

	if (p->end == VM_SUSPEND_NONE && !p->aborts && p->run == NULL)
		host_result(g, g->ended, "came to its end",
		    "the machine ended by %d", g->how);
	else
		host_check_eq(g, "how it ended", g->how, want);
}

/* One machine of a pair that has more than one at a time. */
struct runner {
	pthread_t thread;
	struct guest guest;
	struct conf *conf;
	const struct vm_run_opts *opts;
};

static void *
run_guest(void *arg)
{
	struct runner *r = arg;

	if (r->guest.pair->run != NULL)
		r->guest.pair->run(&r->guest);
	else if (vm_run_all(r->guest.ctx, r->opts, &r->guest.how) != 0)
		host_die("cannot run");
	return NULL;
}

/* The first in this thread, so that one machine alone is like any program. */
static void
run_guests(struct runner *r, unsigned int n)
{
	for (unsigned int i = 1; i < n; i++)
		if (pthread_create(&r[i].thread, NULL, run_guest, &r[i]) != 0)
			host_die("cannot make a thread");
	(void)run_guest(&r[0]);
	for (unsigned int i = 1; i < n; i++)
		pthread_join(r[i].thread, NULL);
}

static void
finish_guest(struct runner *r, bool tiny)
{
	check_end(&r->guest);
	if (tiny)
		nturns += host_stat(&r->guest, VMSTAT_CODE_TURNS);
	if (r->guest.pair->check != NULL)
		r->guest.pair->check(&r->guest);
	vm_close(r->guest.ctx);
	conf_destroy(r->conf);
	lock_fini(&r->guest.lock);
}

static unsigned int
pair_seconds(void)
{
	return slow || getenv("BHYVE_KVMHOST") != NULL
		   ? PAIR_SECONDS * SLOW_FACTOR
		   : PAIR_SECONDS;
}

static void
run_pair(const struct pair *p, const struct vm_engine_ops *engine, bool tiny,
    const char *dir)
{
	struct vm_run_opts opts = VM_RUN_OPTS_DEFAULT;
	unsigned int n = p->machines != 0 ? p->machines : 1;
	struct runner r[MACHINES_MAX] = { 0 };

	opts.strict_io = p->strict_io;
	opts.strict_msr = !p->lenient_msr;
	opts.hlt_exit = p->hlt_exit;
	opts.pause_exit = p->pause_exit;
	for (unsigned int i = 0; i < n; i++) {
		r[i].guest.pair = p;
		r[i].conf = conf_create();
		r[i].opts = &opts;
		lock_init(&r[i].guest.lock);
		make_machine(&r[i].guest, engine, tiny, r[i].conf, dir);
	}
	alarm(pair_seconds());
	run_guests(r, n);
	alarm(0);
	for (unsigned int i = 0; i < n; i++)
		finish_guest(&r[i], tiny);
}

static void
on_alarm(int sig)
{
	static const char text[] =
	    "Bail out! a pair does not come to its end\n";

	(void)!write(STDOUT_FILENO, text, sizeof(text) - 1);
	_exit(1);
}

static const struct pair_group *
find_group(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(group_table); i++)
		if (strcmp(group_table[i]->name, name) == 0)
			return group_table[i];
	host_die("no group %s", name);
}

int
main(int argc, char **argv)
{
	const char *engine = "soft", *only = NULL;
	const struct vm_engine_ops *ops;
	const struct pair_group *group;
	bool tiny = false;
	int opt;

	while ((opt = getopt(argc, argv, "E:p:t")) != -1) {
		if (opt == 'E')
			engine = optarg;
		else if (opt == 'p')
			only = optarg;
		else if (opt == 't')
			tiny = true;
		else
			return 64;
	}
	if (optind + 2 != argc)
		host_die(
		    "usage: guest_run [-E engine] [-t] [-p pair] group dir");
	log_set_name("guest_run");
	log_set_level(LOG_WARN);
	ops = find_engine(engine);
	group = find_group(argv[optind]);
	signal(SIGALRM, on_alarm);
	for (size_t i = 0; i < group->npairs; i++)
		if (only == NULL || strcmp(only, group->pairs[i].name) == 0)
			run_pair(&group->pairs[i], ops, tiny, argv[optind + 1]);
	if (tiny && nturns == 0)
		host_die("the code cache never turned");
	printf("1..%u\n", nresults);
	return nfailed != 0;
}
