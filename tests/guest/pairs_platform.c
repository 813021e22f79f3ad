/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pairs_platform.c - the PC's small parts, and how a machine ends.
 */
#include "host.h"

#include <chip/chips.h>
#include <util/util.h>

/* As payload/platform.c numbers them. */
enum end {
	END_TESTS,
	END_CF9,
	END_KBD,
	END_PORT92,
	END_S5,
	END_TRIPLE,
	END_HALT
};

static uint64_t
platform_call(struct guest *g, uint64_t which, uint64_t arg)
{
	return acpi_pm_power_button(g->pm);
}

#define ENDS(what, how)                                                        \
	{                                                                      \
		.name = #what, .payload = "platform", .param = what,           \
		.end = VM_SUSPEND_##how,                                       \
	}

static const struct pair platform_pairs[] = {
	{ .name = "platform", .payload = "platform", .call = platform_call },
	ENDS(END_CF9, RESET),
	ENDS(END_KBD, RESET),
	ENDS(END_PORT92, RESET),
	ENDS(END_S5, POWEROFF),
	ENDS(END_TRIPLE, TRIPLEFAULT),
	ENDS(END_HALT, HALT),
};
const struct pair_group platform_group = {
	.name = "platform",
	.pairs = platform_pairs,
	.npairs = ARRAY_LEN(platform_pairs),
};
