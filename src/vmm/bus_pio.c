/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bus_pio.c - I/O ports (docs/bhyve.md 1.7, 1.17): who owns which, and the
 * call.
 *
 * Any vCPU looks a port up without a lock while others register and
 * unregister.  The table has two levels: few of the 256 groups of ports are
 * ever used, and a group that was made stays.  A port's entry points to a slot;
 * slots are recycled but not freed before the machine is, and each carries a
 * sequence number that is odd while the slot changes, so a reader copies the
 * range out and then knows whether the copy is whole.  The number of slots is
 * that of ranges which ever existed at the same time, whatever the guest does
 * with its BARs.
 */
#include "vm_priv.h"

#include <errno.h>
#include <stdlib.h>

#include <util/log.h>

struct pio_slot {
	uint32_t seq;	    /* atomic; odd: being changed */
	struct pio_range r; /* members atomic; seq says whether they belong */
	struct pio_slot *next_free;
	struct pio_slot *next_all;
};

void
bus_pio_init(struct bus_pio *pio)
{
	lock_init(&pio->lock);
}

void
bus_pio_fini(struct bus_pio *pio)
{
	while (pio->all != NULL) {
		struct pio_slot *slot = pio->all;

		pio->all = slot->next_all;
		free(slot);
	}
	for (size_t i = 0; i < PIO_NGROUPS; i++)
		free(pio->group[i]);
	lock_fini(&pio->lock);
}

/*
 * Writer's half of the sequence lock.  Each store releases the odd number
 * before it; pairs with the acquiring loads of slot_read().
 */
static void
slot_write(struct pio_slot *slot, const struct pio_range *r)
{
	uint32_t seq = slot->seq;

	__atomic_store_n(&slot->seq, seq + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->r.name, r->name, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->r.port, r->port, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->r.len, r->len, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->r.fn, r->fn, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->r.arg, r->arg, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->r.lock, r->lock, __ATOMIC_RELEASE);
	slot->r.posted = r->posted; /* the writers' own */
	__atomic_store_n(&slot->seq, seq + 2, __ATOMIC_RELEASE);
}

/* False: the slot changed meanwhile. */
static bool
slot_read(const struct pio_slot *slot, struct pio_range *r)
{
	uint32_t seq = __atomic_load_n(&slot->seq, __ATOMIC_ACQUIRE);

	r->name = __atomic_load_n(&slot->r.name, __ATOMIC_ACQUIRE);
	r->port = __atomic_load_n(&slot->r.port, __ATOMIC_ACQUIRE);
	r->len = __atomic_load_n(&slot->r.len, __ATOMIC_ACQUIRE);
	r->fn = __atomic_load_n(&slot->r.fn, __ATOMIC_ACQUIRE);
	r->arg = __atomic_load_n(&slot->r.arg, __ATOMIC_ACQUIRE);
	r->lock = __atomic_load_n(&slot->r.lock, __ATOMIC_ACQUIRE);
	return (seq & 1) == 0 &&
	       __atomic_load_n(&slot->seq, __ATOMIC_RELAXED) == seq;
}

static struct pio_slot *
slot_get_locked(struct bus_pio *pio)
{
	struct pio_slot *slot = pio->free;

	if (slot != NULL) {
		pio->free = slot->next_free;
		return slot;
	}
	slot = xcalloc(1, sizeof(*slot));
	slot->next_all = pio->all;
	pio->all = slot;
	return slot;
}

/* The port's entry, or NULL: nobody ever had one near it. */
static struct pio_slot **
pio_entry(const struct bus_pio *pio, uint32_t port)
{
	struct pio_slot **group = __atomic_load_n(
	    &pio->group[port / PIO_GROUP_PORTS], __ATOMIC_ACQUIRE);

	return group != NULL ? &group[port % PIO_GROUP_PORTS] : NULL;
}

static void
pio_set_locked(struct bus_pio *pio, uint32_t port, struct pio_slot *slot)
{
	struct pio_slot ***at = &pio->group[port / PIO_GROUP_PORTS];

	/* Zeros first, for those who look up: pairs with pio_entry(). */
	if (*at == NULL)
		__atomic_store_n(at, xcalloc(PIO_GROUP_PORTS, sizeof(**at)),
		    __ATOMIC_RELEASE);
	__atomic_store_n(
	    &(*at)[port % PIO_GROUP_PORTS], slot, __ATOMIC_RELEASE);
}

static struct pio_slot *
pio_slot(const struct bus_pio *pio, uint32_t port)
{
	struct pio_slot **entry = pio_entry(pio, port);

	return entry != NULL ? __atomic_load_n(entry, __ATOMIC_ACQUIRE) : NULL;
}

static int
pio_insert_locked(struct bus_pio *pio, const struct pio_range *r)
{
	struct pio_slot *slot;

	for (uint32_t i = 0; i < r->len; i++)
		if (pio_slot(pio, r->port + i) != NULL)
			return -EEXIST;
	slot = slot_get_locked(pio);
	slot_write(slot, r);
	for (uint32_t i = 0; i < r->len; i++)
		pio_set_locked(pio, r->port + i, slot);
	return 0;
}

int
bus_pio_register(struct vmctx *ctx, const struct pio_range *r)
{
	struct bus_pio *pio = &ctx->pio;
	int err;

	if (r->len == 0 || !range_ok(r->port, r->len, PIO_NPORTS) ||
	    r->fn == NULL)
		return -EINVAL;
	lock_acquire(&pio->lock);
	err = pio_insert_locked(pio, r);
	if (err == 0 && r->posted)
		bus_posted(ctx, true, r->port, r->len, true);
	lock_release(&pio->lock);
	return err;
}

static int
pio_remove_locked(struct vmctx *ctx, uint16_t port, uint32_t len)
{
	struct bus_pio *pio = &ctx->pio;
	struct pio_slot *slot = pio_slot(pio, port);

	if (slot == NULL || slot->r.port != port || slot->r.len != len)
		return -ENOENT;
	if (slot->r.posted)
		bus_posted(ctx, true, port, len, false);
	for (uint32_t i = 0; i < len; i++)
		pio_set_locked(pio, port + i, NULL);
	slot->next_free = pio->free;
	pio->free = slot;
	return 0;
}

int
bus_pio_unregister(struct vmctx *ctx, uint16_t port, uint32_t len)
{
	struct bus_pio *pio = &ctx->pio;
	int err;

	lock_acquire(&pio->lock);
	err = pio_remove_locked(ctx, port, len);
	lock_release(&pio->lock);
	return err;
}

static bool
pio_find(const struct bus_pio *pio, uint16_t port, struct pio_range *r)
{
	for (;;) {
		const struct pio_slot *slot = pio_slot(pio, port);

		if (slot == NULL)
			return false;
		/*
		 * A slot that was recycled for another range since the table
		 * was read answers whole, but not for this port.
		 */
		if (slot_read(slot, r) && port >= r->port &&
		    (uint32_t)(port - r->port) < r->len)
			return true;
	}
}

enum bus_result
bus_pio(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val)
{
	uint32_t mask = bytes >= 4 ? UINT32_MAX : (1u << (8 * bytes)) - 1;
	struct vmctx *ctx = vcpu->ctx;
	uint32_t v = in ? mask : *val & mask;
	struct pio_range r;
	int err;

	vcpu_stat_add(vcpu->stats, VMSTAT_VMEXIT_COUNT, 1);
	vcpu_stat_add(vcpu->stats, VMSTAT_VMEXIT_INOUT, 1);
	if (!pio_find(&ctx->pio, port, &r)) {
		if (in)
			*val = mask;
		return ctx->strict_io ? BUS_UNCLAIMED : BUS_OK;
	}
	if (r.lock != NULL)
		lock_acquire(r.lock);
	err = r.fn(vcpu, in, port, bytes, &v, r.arg);
	if (r.lock != NULL)
		lock_release(r.lock);
	if (err != 0) {
		guest_error(r.name, "no %u-byte %s port 0x%04x", bytes,
		    in ? "read of" : "write to", port);
		v = mask;
	}
	if (in)
		*val = v & mask;
	return BUS_OK;
}
