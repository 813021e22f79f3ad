/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_boot.c - see fuzz_boot.h.
 */
#include "fuzz_boot.h"

#include <stdlib.h>
#include <string.h>

#include "fake_guest.h"
#include "image.h"

#define GUEST_LOW   (8u << 20)
#define GUARD	    0xa5
#define VECTORS_END 0x600

#define must(cond)                                                             \
	do {                                                                   \
		if (!(cond))                                                   \
			abort();                                               \
	} while (0)

/* Where no loader has any business. */
static const struct {
	uint32_t first, end;
} guarded[] = {
	{ 0, BOOT_STACK_TOP },
	{ BOOT_LOW_END, BOOT_LOW_END + 0x1000 },
	{ BOOT_FIRMWARE_GPA, BOOT_HIGH_GPA },
};

static void
set_guard(struct vmctx *ctx, size_t i)
{
	memset(ctx->ram + guarded[i].first, GUARD,
	    guarded[i].end - guarded[i].first);
}

/* All bytes are the guard, if the first is and each equals the next. */
static void
check_guard(const struct vmctx *ctx, uint32_t first, uint32_t end)
{
	const uint8_t *p = ctx->ram + first;

	must(p[0] == GUARD);
	must(memcmp(p, p + 1, end - first - 1) == 0);
}

static void
check_guards(struct vmctx *ctx, const struct boot_load *l)
{
	for (size_t i = 0; i < ARRAY_LEN(guarded); i++) {
		uint32_t first = guarded[i].first;

		/* A kernel may be loaded low, where it asked to be. */
		if (first == BOOT_LOW_END &&
		    !boot_is_free(l, BOOT_LOW_END, 0x1000)) {
			set_guard(ctx, i);
			continue;
		}
		/* A boot sector has vectors and where they lead to. */
		if (first == 0 && boot_is_free(l, BOOT_LOW_END - 1, 1))
			first = VECTORS_END;
		check_guard(ctx, first, guarded[i].end);
		set_guard(ctx, i);
	}
}

static void
check_claims(const struct boot_load *l)
{
	for (unsigned int i = 0; i < l->nclaims; i++) {
		const struct boot_range *a = &l->claims[i];

		must(range_ok(a->base, a->len, l->lowmem));
		for (unsigned int j = 0; j < i; j++)
			must(!ranges_overlap(a->base, a->len, l->claims[j].base,
			    l->claims[j].len));
	}
}

static void
load_once(struct vmctx *ctx, const struct boot_load *proto,
    int (*load)(struct boot_load *))
{
	struct boot_load l = *proto;
	int rc;

	memset(&ctx->bsp.reg, 0xff, sizeof(ctx->bsp.reg));
	l.err[0] = '\0';
	rc = load(&l);
	check_claims(&l);
	check_guards(ctx, &l);
	if (rc != 0) {
		must(rc < 0 && l.err[0] != '\0');
		must(strchr(l.err, '\n') == NULL);
		return;
	}
	must(ctx->bsp.reg[VM_REG_GUEST_RIP] < GUEST_LOW);
	must(!boot_is_free(&l, ctx->bsp.reg[VM_REG_GUEST_RIP], 1));
}

void
fuzz_boot(const uint8_t *data, size_t size,
    bool (*probe)(const struct boot_blob *), int (*load)(struct boot_load *))
{
	static uint8_t initrd[70000];
	static struct vmctx ctx; /* one for all inputs: faster */
	struct boot_load l;
	char err[256] = "";

	if (ctx.ram == NULL) {
		fake_guest_init(&ctx, GUEST_LOW, 0);
		for (size_t i = 0; i < ARRAY_LEN(guarded); i++)
			set_guard(&ctx, i);
	}
	boot_load_init(&l, &ctx, &ctx.bsp, err, sizeof(err));
	l.kernel = (struct boot_blob){
		.path = "kernel", .size = size, .data = data, .fd = -1
	};
	l.cmdline = "console=ttyS0";
	if (size > 0 && probe(&l.kernel)) {
		load_once(&ctx, &l, load);
		l.initrd = (struct boot_blob){ .path = "initrd",
			.size = sizeof(initrd),
			.data = initrd,
			.fd = -1 };
		load_once(&ctx, &l, load);
	}
}
