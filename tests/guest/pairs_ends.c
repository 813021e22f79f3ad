/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pairs_ends.c - every way a guest ends its machine: which reason it comes to,
 * which status of the program that is, and that all processors stop, whoever
 * asked and whatever the others were doing.
 */
#include "host.h"

#include <util/util.h>

/* As payload/ends.c has them. */
enum how { END_RESET, END_RESET_KBD, END_POWEROFF, END_TRIPLE, END_HALT };
enum others { OTHERS_ABSENT, OTHERS_SPIN, OTHERS_SLEEP, OTHERS_IO };

#define PARAM(how, who, others)                                                \
	((uint32_t)(how) | (uint32_t)(who) << 8 | (uint32_t)(others) << 16)

/* docs/bhyve.md 4.1; in the order of `enum how`. */
static const int status_table[] = { 0, 0, 1, 3, 2 };

static void
check_status(struct guest *g)
{
	host_check_eq(g, "status of the program",
	    (uint64_t)vm_exit_status(g->how),
	    (uint64_t)status_table[g->pair->param & 0xff]);
	host_result(g, !g->ended, "nothing ran after the end", "it did");
}

#define PAIR(text, n, how_, who, others, reason)                               \
	{                                                                      \
		.name = text, .payload = "ends", .ncpus = n,                   \
		.param = PARAM(how_, who, others), .end = reason,              \
		.check = check_status                                          \
	}
#define POLLING(text, n, who)                                                  \
	{                                                                      \
		.name = text, .payload = "ends", .ncpus = n, .hlt_poll = true, \
		.param = PARAM(END_HALT, who, OTHERS_ABSENT),                  \
		.end = VM_SUSPEND_HALT, .check = check_status                  \
	}

static const struct pair ends_pairs[] = {
	PAIR("reset", 1, END_RESET, 0, OTHERS_ABSENT, VM_SUSPEND_RESET),
	PAIR("reset by the keyboard controller", 1, END_RESET_KBD, 0,
	    OTHERS_ABSENT, VM_SUSPEND_RESET),
	PAIR("power off", 1, END_POWEROFF, 0, OTHERS_ABSENT,
	    VM_SUSPEND_POWEROFF),
	PAIR("triple fault", 1, END_TRIPLE, 0, OTHERS_ABSENT,
	    VM_SUSPEND_TRIPLEFAULT),
	PAIR("halt", 1, END_HALT, 0, OTHERS_ABSENT, VM_SUSPEND_HALT),
	PAIR("halt, others never started", 4, END_HALT, 0, OTHERS_ABSENT,
	    VM_SUSPEND_HALT),
	PAIR("halt of all", 4, END_HALT, 1, OTHERS_ABSENT, VM_SUSPEND_HALT),
	PAIR("reset by another, all spin", 3, END_RESET, 1, OTHERS_SPIN,
	    VM_SUSPEND_RESET),
	PAIR("reset by another, all at ports", 3, END_RESET, 2, OTHERS_IO,
	    VM_SUSPEND_RESET),
	PAIR("power off by another, the others asleep", 3, END_POWEROFF, 2,
	    OTHERS_SLEEP, VM_SUSPEND_POWEROFF),
	PAIR("triple fault of another, the others spin", 3, END_TRIPLE, 1,
	    OTHERS_SPIN, VM_SUSPEND_TRIPLEFAULT),
	PAIR("triple fault of another, the others asleep", 3, END_TRIPLE, 2,
	    OTHERS_SLEEP, VM_SUSPEND_TRIPLEFAULT),
	PAIR("power off, the others at ports", 4, END_POWEROFF, 0, OTHERS_IO,
	    VM_SUSPEND_POWEROFF),
};
/* Apart: a processor that halts in the guest is one that not every host's
 * interrupts get out of. */
static const struct pair polls_pairs[] = {
	POLLING("halt, polling", 1, 0),
	POLLING("halt of all, polling", 4, 1),
};
const struct pair_group polls_group = {
	.name = "polls",
	.pairs = polls_pairs,
	.npairs = ARRAY_LEN(polls_pairs),
};
const struct pair_group ends_group = {
	.name = "ends",
	.pairs = ends_pairs,
	.npairs = ARRAY_LEN(ends_pairs),
};
