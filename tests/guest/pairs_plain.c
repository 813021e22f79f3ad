/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pairs_plain.c - the pairs whose payload checks everything by itself.
 */
#include <util/util.h>

#include "host.h"

#define GROUP(id, ...)                                                         \
	static const struct pair id##_pairs[] = { __VA_ARGS__ };               \
	const struct pair_group id##_group = {                                 \
		.name = #id,                                                   \
		.pairs = id##_pairs,                                           \
		.npairs = ARRAY_LEN(id##_pairs),                               \
	}

/* A hundred rounds would be minutes. */
static void
litmus_setup(struct guest *g)
{
	g->param[GUEST_PARAM_OWN] = host_emulates();
}

GROUP(cpu, { .name = "cpu", .payload = "cpu" });
GROUP(debug, { .name = "debug", .payload = "debug" });
GROUP(paging, { .name = "paging", .payload = "paging" });
GROUP(ring3, { .name = "ring3", .payload = "ring3" });
GROUP(ldt, { .name = "ldt", .payload = "ldt" });
GROUP(task, { .name = "task", .payload = "task" });
GROUP(v86, { .name = "v86", .payload = "v86" });
GROUP(rtc, { .name = "rtc", .payload = "rtc" });
GROUP(legacy, { .name = "legacy", .payload = "legacy" });
GROUP(clock, { .name = "clock", .payload = "clock" });
GROUP(lapic, { .name = "lapic", .payload = "lapic" });
GROUP(litmus, { .name = "litmus",
		  .payload = "litmus",
		  .ncpus = 4,
		  .setup = litmus_setup });
GROUP(smp, { .name = "smp 2", .payload = "smp", .ncpus = 2 },
    { .name = "smp 4", .payload = "smp", .ncpus = 4 });
GROUP(topology, { .name = "one", .payload = "topology" },
    { .name = "2 packages of 2 cores, 2 threads",
	.payload = "topology",
	.ncpus = 8,
	.cores = 2,
	.threads = 2 },
    { .name = "2 packages of 3 cores",
	.payload = "topology",
	.ncpus = 6,
	.cores = 3 },
    { .name = "3 cores of 2 threads",
	.payload = "topology",
	.ncpus = 6,
	.cores = 3,
	.threads = 2 },
    { .name = "2 cores of 3 threads",
	.payload = "topology",
	.ncpus = 6,
	.cores = 2,
	.threads = 3 },
    { .name = "2 packages of 3 threads",
	.payload = "topology",
	.ncpus = 6,
	.threads = 3 },
    { .name = "5 packages", .payload = "topology", .ncpus = 5 },
    { .name = "7 cores", .payload = "topology", .ncpus = 7, .cores = 7 },
    { .name = "x2APIC", .payload = "x2apic", .ncpus = 3, .x2apic = true },
    { .name = "x2APIC, 2 packages of 3 cores",
	.payload = "x2apic",
	.ncpus = 6,
	.cores = 3,
	.x2apic = true });
/* Machines of one process are strangers to each other. */
GROUP(two, { .name = "two: cpu", .payload = "cpu", .machines = 2 },
    { .name = "two: paging", .payload = "paging", .machines = 2 },
    { .name = "two: smp", .payload = "smp", .ncpus = 2, .machines = 2 });
