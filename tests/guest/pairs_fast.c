/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pairs_fast.c - a device with posted registers and doorbells, and the log of
 * dirty pages (payload/fast.c).
 *
 * A bell that the engine has ends in an eventfd, one that it does not have in
 * the handler: the guest must not be able to tell.
 */
#include "host.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <util/util.h>
#include <vmm/bus.h>
#include <vmm/mem.h>

#include "common/fast.h"

#define PAGE 4096u

static struct fast {
	struct guest *g;
	uint32_t sum; /* of what came to the posted registers */
	uint64_t rings, bus_writes;
	int fd;
	bool armed[2];
	uint64_t *bits;
} fast;

static const struct vm_ioevent bell_table[2] = {
	{ .addr = FAST_BELL_PORT,
	    .data = FAST_BELL_DATA,
	    .len = 2,
	    .pio = true,
	    .match = true },
	{ .addr = FAST_BELL_MMIO },
};

/* --- the device ----------------------------------------------------------- */

static void
posted(uint32_t val)
{
	fast.sum = fast.sum * 31 + val;
}

static int
on_port(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	if (in)
		*val = fast.sum;
	else if (port == FAST_POSTED_PORT)
		posted(*val);
	else if (port == FAST_SEEN_PORT)
		fast.sum = 0;
	else if (*val == FAST_BELL_DATA && bytes == 2)
		fast.rings++;
	else
		fast.bus_writes++;
	return 0;
}

static int
on_mmio(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val, void *arg)
{
	if (!write)
		*val = fast.sum;
	else if (gpa < FAST_SEEN_MMIO)
		posted((uint32_t)*val);
	else if (gpa < FAST_BELL_MMIO)
		fast.sum = 0;
	else if (gpa == FAST_BELL_MMIO)
		fast.rings++;
	else
		fast.bus_writes++;
	return 0;
}

static void
fast_setup(struct guest *g)
{
	const struct pio_range ports[] = {
		{ .name = "posted",
		    .port = FAST_POSTED_PORT,
		    .len = 4,
		    .fn = on_port,
		    .lock = &g->lock,
		    .posted = true },
		{ .name = "seen",
		    .port = FAST_SEEN_PORT,
		    .len = 8,
		    .fn = on_port,
		    .lock = &g->lock },
	};
	const struct mmio_range mem[] = {
		{ .name = "posted",
		    .base = FAST_POSTED_MMIO,
		    .len = PAGE,
		    .fn = on_mmio,
		    .lock = &g->lock,
		    .posted = true },
		{ .name = "seen",
		    .base = FAST_SEEN_MMIO,
		    .len = 2 * PAGE,
		    .fn = on_mmio,
		    .lock = &g->lock },
	};

	fast.g = g;
	fast.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (size_t i = 0; i < ARRAY_LEN(ports); i++)
		if (bus_pio_register(g->ctx, &ports[i]) != 0 ||
		    bus_mmio_register(g->ctx, &mem[i]) != 0)
			host_die("a range is taken");
}

/* --- what the guest asks -------------------------------------------------- */

static void
bells(bool on)
{
	for (size_t i = 0; i < ARRAY_LEN(bell_table); i++) {
		struct vm_ioevent ev = bell_table[i];
		int err = 0;

		ev.fd = fast.fd;
		if (on || fast.armed[i])
			err = bus_ioevent(fast.g->ctx, &ev, on);
		if (err != 0 && err != -ENOTSUP)
			host_die("bus_ioevent: %s", strerror(-err));
		fast.armed[i] = on && err == 0;
	}
}

/* So far, and from the beginning again. */
static uint64_t
rings(void)
{
	uint64_t n = fast.rings, fd_rings = 0;

	fast.rings = 0;
	if (read(fast.fd, &fd_rings, sizeof(fd_rings)) == sizeof(fd_rings))
		n += fd_rings;
	return n;
}

static uint64_t
bus_writes(void)
{
	uint64_t n = fast.bus_writes;

	fast.bus_writes = 0;
	return n;
}

static uint64_t
dirty_start(void)
{
	int err = vm_dirty_start(fast.g->ctx);

	if (err != 0 && err != -ENOTSUP)
		host_die("vm_dirty_start: %s", strerror(-err));
	if (err == 0 && vm_dirty_start(fast.g->ctx) != -EBUSY)
		host_die("vm_dirty_start twice");
	return err == 0 ? 0 : 1;
}

static void
dirty_fetch(void)
{
	free(fast.bits);
	fast.bits = xcalloc(vm_dirty_words(fast.g->ctx), sizeof(uint64_t));
	if (vm_dirty_fetch(fast.g->ctx, fast.bits) != 0)
		host_die("vm_dirty_fetch");
}

static uint64_t
dirty_count(void)
{
	uint64_t n = 0;

	for (size_t i = 0; i < vm_dirty_words(fast.g->ctx); i++)
		n += (uint64_t)__builtin_popcountll(fast.bits[i]);
	return n;
}

static uint64_t
fast_call(struct guest *g, uint64_t which, uint64_t arg)
{
	uint64_t page = arg / PAGE;

	switch (which) {
	case FAST_BELLS_ON:
	case FAST_BELLS_OFF:
		bells(which == FAST_BELLS_ON);
		return 0;
	case FAST_RINGS:
		return rings();
	case FAST_BUS_WRITES:
		return bus_writes();
	case FAST_DIRTY_START:
		return dirty_start();
	case FAST_DIRTY_FETCH:
		dirty_fetch();
		return 0;
	case FAST_DIRTY_PAGE:
		return fast.bits[page / 64] >> page % 64 & 1;
	case FAST_DIRTY_COUNT:
		return dirty_count();
	case FAST_DIRTY_STORE:
		return (uint64_t)vm_mem_write(g->ctx, arg, "x", 1);
	default:
		vm_dirty_stop(g->ctx);
		return 0;
	}
}

static void
fast_check(struct guest *g)
{
	close(fast.fd);
	free(fast.bits);
	fast = (struct fast){ 0 };
}

static const struct pair fast_pairs[] = {
	{ .name = "fast",
	    .payload = "fast",
	    .setup = fast_setup,
	    .call = fast_call,
	    .check = fast_check },
};
const struct pair_group fast_group = {
	.name = "fast",
	.pairs = fast_pairs,
	.npairs = ARRAY_LEN(fast_pairs),
};
