/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * platform.c - the chips that every machine has, in the order of making
 * (vmm/platform.h; docs/bhyve.md 1.9 and 1.10).
 */
#include <vmm/platform.h>

#include <chip/chips.h>

#include <vmmapi.h>

static int
platform_irqchip(struct vmctx *ctx, const struct vm_platform_opts *opts)
{
	struct irqchip *chip;

	return irqchip_create(ctx, opts->x2apic, &chip);
}

static int
platform_timer(struct vmctx *ctx, const struct vm_platform_opts *opts)
{
	return i8254_create(ctx);
}

static int
platform_hpet(struct vmctx *ctx, const struct vm_platform_opts *opts)
{
	return hpet_create(ctx);
}

static int
platform_clock(struct vmctx *ctx, const struct vm_platform_opts *opts)
{
	const struct mc146818_opts rtc = {
		.utc = opts->utc,
		.lowmem = vm_get_lowmem_size(ctx),
		.highmem = vm_get_highmem_size(ctx),
	};

	return mc146818_create(ctx, &rtc);
}

static int
platform_pmtimer(struct vmctx *ctx, const struct vm_platform_opts *opts)
{
	return pmtimer_create(ctx);
}

/* The interrupt controllers come first: the others have lines. */
static const struct {
	const char *name;
	int (*create)(struct vmctx *, const struct vm_platform_opts *);
} platform_parts[] = {
	{ "interrupt controllers", platform_irqchip },
	{ "8254 timer", platform_timer },
	{ "HPET", platform_hpet },
	{ "real-time clock", platform_clock },
	{ "PM timer", platform_pmtimer },
};

int
vm_platform_create(struct vmctx *ctx, const struct vm_platform_opts *opts,
    const char **ret_part)
{
	for (size_t i = 0; i < ARRAY_LEN(platform_parts); i++) {
		int error = platform_parts[i].create(ctx, opts);

		if (error != 0) {
			*ret_part = platform_parts[i].name;
			return error;
		}
	}
	return 0;
}
