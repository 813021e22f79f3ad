/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine_priv.h - what the files that build and run the PC share.
 */
#ifndef MACHINE_PRIV_H
#define MACHINE_PRIV_H

#include <machine/machine.h>

#include <stdint.h>

#include <util/lock.h>
#include <vmm/vcpu.h>
#include <vmm/vm.h>

struct acpi_pm;
struct chardev;
struct conf;
struct evtimer;
struct gdb;
struct pci_bus;
struct vm_engine_ops;

/* Where a function of this room leaves its one line for the user. */
struct machine_err {
	const struct conf *conf;
	char *buf;
	size_t len;
	bool user; /* whose fault: exit status 64, or 4 */
};
/*
 * "-c 0: ..."; `key` is the setting to blame, which knows what the user typed;
 * NULL: none.  -EINVAL.
 */
int machine_fail_user(struct machine_err *, const char *key, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));
/* "what: errno's text"; returns `error` (-errno). */
int machine_fail_host(struct machine_err *, int error, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define MACHINE_STATUS_ERROR 4 /* docs/bhyve.md 4.1 */

/* --- check.c ----------------------------------------------------------- */

int machine_topology(struct machine_err *, struct vm_topology *ret);
/* Whole pages; checked. */
uint64_t machine_memory_size(const struct conf *);
#define MACHINE_NCOM 4
const char *machine_com_key(unsigned int unit); /* "lpc.com1.path" for 0 */

/* A device as the tree has it. */
struct machine_pci_slot {
	unsigned int bus, slot, func;
	const char *device;
};
/* Calls fn for each; stops at the first answer that is not 0. */
int machine_foreach_slot(const struct conf *,
    int (*fn)(const struct machine_pci_slot *, void *arg), void *arg);

/* --- the machine ------------------------------------------------------- */

struct machine {
	const struct conf *conf; /* the caller's; outlives the machine */
	const struct vm_engine_ops *engine;
	struct vmctx *ctx;
	struct vm_topology topology;
	struct vm_run_opts opts;
	char title[64];

	struct acpi_pm *pm;
	struct pci_bus *pci;
	bool has_lpc;
	uint8_t lpc_slot, lpc_func;
	bool com[MACHINE_NCOM];
	struct gdb *gdb; /* NULL: no debugger stub */

	/* The terminal, console.c; the event thread's. */
	struct chardev *stdio; /* belongs to its UART; NULL: none */
	bool stop_asked;       /* the next signal ends it at once */
	struct evtimer *status_timer;
	uint64_t start_ns; /* host clock */
	bool status_on;	   /* allowed at all */
	struct lock status_lock;
	bool status_shown; /* GUARDED_BY(status_lock) */
};

/* boot.c: tables and kernel into guest memory, vCPU 0 at the entry. */
int machine_load(struct machine *, struct machine_err *);
/* The files are there, before anything is made. */
int machine_check_files(struct machine_err *);

/* console.c: signals, escape keys, the status line. */
/*
 * A crash of the program puts the terminal back.  Before the engine is made,
 * which takes some of the same signals and hands on what is not its own.
 */
void machine_guard_terminal(void);
int machine_console_init(struct machine *, struct machine_err *);
/* The guest starts now. */
void machine_console_start(struct machine *);
void machine_console_fini(struct machine *);
void machine_set_stdio(struct machine *, struct chardev *);
/* Takes the status line off the screen.  Any thread. */
void machine_status_erase(struct machine *);

#endif /* MACHINE_PRIV_H */
