/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * console.c - the person at the terminal: signals, escape keys, and a line that
 * tells that a silent guest is alive.
 *
 * SIGINT and SIGTERM press the ACPI power button once and stop the machine the
 * second time (or at once when the guest's ACPI would not notice); SIGHUP and
 * SIGQUIT stop it at once; SIGUSR1 shows the vCPUs.  Stopping is a power-off,
 * so every way ends in run.c, where the terminal is put back.
 *
 * The status line stands behind the cursor, which is put back where the guest
 * left it, and is wiped before the guest's next byte: a prompt stays as it is.
 * Everything runs in the event thread, but for machine_status_erase().
 */
#include "machine_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <backend/char.h>
#include <chip/chips.h>
#include <conf/conf.h>
#include <util/log.h>
#include <vmm/event.h>
#include <vmm/irq.h>

#define STATUS_PERIOD_NS 1000000000ull
#define STATUS_SILENCE_S 5

/* ECMA-48 and DEC private sequences that every terminal emulator has. */
#define TERM_SAVE_CURSOR    "\0337"
#define TERM_RESTORE_CURSOR "\0338"
#define TERM_WRAP_OFF	    "\033[?7l"
#define TERM_WRAP_ON	    "\033[?7h"
#define TERM_ERASE_LINE_END "\033[K"
#define TERM_DIM	    "\033[2m"
#define TERM_PLAIN	    "\033[0m"

/* --- numbers for people ------------------------------------------------ */

static void
console_count(uint64_t n, char *buf, size_t len)
{
	static const struct {
		uint64_t unit;
		const char *name;
	} units[] = { { 1000000000000u, " T" }, { 1000000000u, " G" },
		{ 1000000u, " M" }, { 1000u, " k" } };

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (n < units[i].unit)
			continue;
		snprintf(buf, len, "%" PRIu64 ".%" PRIu64 "%s",
		    n / units[i].unit, n % units[i].unit * 10 / units[i].unit,
		    units[i].name);
		return;
	}
	snprintf(buf, len, "%" PRIu64, n);
}

static void
console_work(uint64_t exits, uint64_t insns, char *buf, size_t len)
{
	char e[40], i[40];

	console_count(exits, e, sizeof(e));
	console_count(insns, i, sizeof(i));
	if (insns != 0)
		snprintf(buf, len, "%s exits, %s instructions", e, i);
	else
		snprintf(buf, len, "%s exits", e);
}

/* --- the status line --------------------------------------------------- */

static void
console_write(const char *s)
{
	ssize_t n = write(STDERR_FILENO, s, strlen(s));

	(void)n; /* a terminal that is gone: nobody reads it */
}

void
machine_status_erase(struct machine *m)
{
	if (!__atomic_load_n(&m->status_shown, __ATOMIC_ACQUIRE))
		return;
	lock_acquire(&m->status_lock);
	if (m->status_shown)
		console_write(TERM_ERASE_LINE_END);
	__atomic_store_n(&m->status_shown, false, __ATOMIC_RELEASE);
	lock_release(&m->status_lock);
}

static void
console_status_draw(struct machine *m, uint64_t silent_s)
{
	char line[320], work[120];
	uint64_t exits = 0, insns = 0;
	struct vcpu_brief b;

	for (unsigned int i = m->topology.ncpus; i-- > 0;) {
		vm_vcpu_brief(m->ctx, i, &b);
		exits += b.exits;
		insns += b.insns;
	}
	console_work(exits, insns, work, sizeof(work));
	/* b is vCPU 0's. */
	snprintf(line, sizeof(line),
	    TERM_SAVE_CURSOR TERM_WRAP_OFF TERM_ERASE_LINE_END TERM_DIM
	    " [guest silent for %" PRIu64 " s: vcpu0 %srip 0x%" PRIx64
	    ", %s]" TERM_PLAIN TERM_WRAP_ON TERM_RESTORE_CURSOR,
	    silent_s, b.halted ? "halted, " : "", b.rip, work);
	lock_acquire(&m->status_lock);
	console_write(line);
	__atomic_store_n(&m->status_shown, true, __ATOMIC_RELEASE);
	lock_release(&m->status_lock);
}

static void
console_status_tick(void *arg)
{
	struct machine *m = arg;
	uint64_t last = m->start_ns, now = host_now_ns(), silent_s;

	if (m->stdio != NULL)
		last = MAX(last, char_last_output_ns(m->stdio));
	silent_s = now > last ? (now - last) / 1000000000u : 0;
	if (silent_s >= STATUS_SILENCE_S)
		console_status_draw(m, silent_s);
	else
		machine_status_erase(m);
	evtimer_arm(m->status_timer, vm_clock_ns(m->ctx) + STATUS_PERIOD_NS);
}

/* Only where a person sees both it and what the guest says. */
static bool
console_status_wanted(const struct machine *m)
{
	const char *term = getenv("TERM");

	return conf_get_bool(m->conf, "status_line") &&
	       isatty(STDERR_FILENO) == 1 &&
	       (m->stdio == NULL || isatty(STDOUT_FILENO) == 1) &&
	       term != NULL && strcmp(term, "dumb") != 0;
}

/* --- what a person can ask for ----------------------------------------- */

static void
console_stop(struct machine *m)
{
	/* EALREADY: it is ending anyway. */
	(void)vm_suspend(m->ctx, VM_SUSPEND_POWEROFF);
}

static void
console_power_button(struct machine *m)
{
	machine_status_erase(m);
	if (m->stop_asked) {
		console_stop(m);
		return;
	}
	m->stop_asked = true;
	if (m->pm != NULL && acpi_pm_button_is_watched(m->pm)) {
		/* First: what the guest says to it comes after this line. */
		log_info("power button pressed; again to stop at once");
		(void)acpi_pm_power_button(m->pm);
		return;
	}
	log_info("the guest does not watch its power button; stopped");
	console_stop(m);
}

static void
console_show_vcpus(struct machine *m)
{
	char work[120];

	machine_status_erase(m);
	for (unsigned int i = 0; i < m->topology.ncpus; i++) {
		struct vcpu_brief b;

		vm_vcpu_brief(m->ctx, i, &b);
		console_work(b.exits, b.insns, work, sizeof(work));
		log_info("vcpu %u: %s, rip 0x%" PRIx64 ", %s", i,
		    !b.active  ? "not started"
		    : b.halted ? "halted"
			       : "running",
		    b.rip, work);
	}
}

static void
console_nmi(struct machine *m)
{
	vcpu_nmi(vm_vcpu_get(m->ctx, 0));
}

static void
console_reset(struct machine *m)
{
	(void)vm_suspend(m->ctx, VM_SUSPEND_RESET);
}

static void console_help(struct machine *);

static const struct {
	char key;
	void (*fn)(struct machine *);
	const char *help;
} console_keys[] = {
	{ 'x', console_stop, "stop the machine at once and leave" },
	{ 'p', console_power_button, "press the power button" },
	{ 'r', console_reset, "reset" },
	{ 'n', console_nmi, "send a non-maskable interrupt" },
	{ 'c', console_show_vcpus, "show the state of the vCPUs" },
	{ 'h', console_help, "show this list" },
};

static void
console_help(struct machine *m)
{
	machine_status_erase(m);
	for (size_t i = 0; i < ARRAY_LEN(console_keys); i++)
		log_info("Ctrl-A %c       %s", console_keys[i].key,
		    console_keys[i].help);
	log_info("Ctrl-A Ctrl-A  send Ctrl-A to the guest");
}

/* Called with the serial port's lock held: nothing here takes it. */
static void
console_escape(int key, void *arg)
{
	struct machine *m = arg;

	for (size_t i = 0; i < ARRAY_LEN(console_keys); i++) {
		if (console_keys[i].key == key) {
			console_keys[i].fn(m);
			return;
		}
	}
	log_info("Ctrl-A h lists the keys");
}

static void
console_signal(int signo, void *arg)
{
	struct machine *m = arg;

	switch (signo) {
	case SIGINT:
	case SIGTERM:
		console_power_button(m);
		break;
	case SIGUSR1:
		console_show_vcpus(m);
		break;
	default: /* SIGHUP, SIGQUIT */
		console_stop(m);
		break;
	}
}

/* --- a crash of our own ------------------------------------------------ */

static void
console_crashed(int signo)
{
	char_restore_terminals();
	/* Now as if we had never been here; an engine may have called us. */
	signal(signo, SIG_DFL);
	raise(signo);
}

void
machine_guard_terminal(void)
{
	static const int signals[] = { SIGABRT, SIGBUS, SIGFPE, SIGILL,
		SIGSEGV };
	struct sigaction sa = {
		.sa_handler = console_crashed,
		.sa_flags = SA_ONSTACK,
	};
	struct sigaction old;

	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		/* A sanitizer or another machine was here before. */
		if (sigaction(signals[i], NULL, &old) == 0 &&
		    (old.sa_flags & SA_SIGINFO) == 0 &&
		    old.sa_handler == SIG_DFL)
			(void)sigaction(signals[i], &sa, NULL);
	}
}

/* --- coming and going -------------------------------------------------- */

/* Called with the serial port's lock held, also from a vCPU's thread. */
static void
console_before_output(void *arg)
{
	machine_status_erase(arg);
}

void
machine_set_stdio(struct machine *m, struct chardev *cd)
{
	m->stdio = cd;
	if (cd == NULL)
		return;
	char_set_escape(cd, console_escape, m);
	char_set_before_output(cd, console_before_output, m);
}

int
machine_console_init(struct machine *m, struct machine_err *e)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT,
		SIGUSR1 };

	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		int error = evsignal_add(m->ctx, signals[i], console_signal, m);

		if (error != 0)
			return machine_fail_host(
			    e, error, "signal %s", strsignal(signals[i]));
	}
	return 0;
}

void
machine_console_start(struct machine *m)
{
	m->start_ns = host_now_ns();
	if (!console_status_wanted(m))
		return;
	m->status_timer =
	    evtimer_create(m->ctx, "status line", NULL, console_status_tick, m);
	evtimer_arm(m->status_timer, vm_clock_ns(m->ctx) + STATUS_PERIOD_NS);
}

void
machine_console_fini(struct machine *m)
{
	evtimer_del(m->status_timer);
	m->status_timer = NULL;
	machine_status_erase(m);
}
