/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci_bell.c - doorbells: writes into a BAR that need not stop the vCPU
 * (vmm/bus.h, struct vm_ioevent).
 *
 * A bell is armed in the engine while the model wants it and its BAR is on the
 * bus, so it moves with the BAR.  Armed, a write adds to an eventfd, which the
 * event thread reads; not armed, it comes as any other.  Each ring ends in one
 * of the two, and the model is told at least once after the last of them: what
 * is in the eventfd when a bell is switched off is read all the same, and is
 * for nobody then.  An engine that cannot is asked once.
 *
 * `on` and `armed` change under bus->bar_lock, `on` under the device's too.
 */
#include "pci_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vmm/bus.h>
#include <vmm/event.h>

struct pci_bell_state {
	struct pci_bell_state *next;
	struct pci_dev *pd;
	struct pci_bell bell;
	struct vm_ioevent at; /* as armed; fd is -1 until first */
	struct evfd *ev;
	bool on, armed;
	bool useless; /* no way to have it here */
};

/* In the event thread, with the device's lock held. */
static void
bell_rung(unsigned int events, void *arg)
{
	struct pci_bell_state *b = arg;
	uint64_t count;

	if (read(b->at.fd, &count, sizeof(count)) == sizeof(count) && b->on)
		b->bell.fn(b->pd, b->bell.n);
}

static bool
bell_open(struct pci_bell_state *b)
{
	if (b->at.fd < 0)
		b->at.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (b->at.fd >= 0 && b->ev == NULL)
		b->ev = evfd_add(b->pd->bus->ctx, b->at.fd, EVFD_READ,
		    &b->pd->lock, bell_rung, b);
	return b->ev != NULL;
}

static void
bell_close(struct pci_bell_state *b)
{
	evfd_del(b->ev);
	if (b->at.fd >= 0)
		close(b->at.fd);
	b->ev = NULL;
	b->at.fd = -1;
}

/* bus->bar_lock is held. */
static void
bell_arm(struct pci_bell_state *b)
{
	const struct pci_bar *bar = &b->pd->bar[b->bell.bar];
	int error;

	if (!b->on || b->armed || b->useless || !bar->claimed)
		return;
	b->useless = !bell_open(b);
	if (b->useless)
		return;
	b->at.addr = bar->claim + b->bell.off;
	b->at.pio = bar->kind == PCI_BAR_IO;
	b->at.len = b->bell.len;
	b->at.match = b->bell.match;
	b->at.data = b->bell.data;
	error = bus_ioevent(b->pd->bus->ctx, &b->at, true);
	b->armed = error == 0;
	b->useless = error == -ENOTSUP;
}

static void
bell_disarm(struct pci_bell_state *b)
{
	/* It cannot fail: it is there. */
	if (b->armed)
		(void)!bus_ioevent(b->pd->bus->ctx, &b->at, false);
	b->armed = false;
}

void
pci_bells_claimed(struct pci_bar *bar)
{
	for (struct pci_bell_state *b = bar->pd->bells; b != NULL; b = b->next)
		if (b->bell.bar == bar->index)
			bell_arm(b);
}

void
pci_bells_unclaim(struct pci_bar *bar)
{
	for (struct pci_bell_state *b = bar->pd->bells; b != NULL; b = b->next)
		if (b->bell.bar == bar->index)
			bell_disarm(b);
}

void
pci_bell_add(struct pci_dev *pd, const struct pci_bell *bell)
{
	struct pci_bell_state *b = xcalloc(1, sizeof(*b));

	b->pd = pd;
	b->bell = *bell;
	b->at.fd = -1;
	b->next = pd->bells;
	pd->bells = b;
}

void
pci_bells_set(struct pci_dev *pd, bool on)
{
	if (pd->bells == NULL)
		return;
	lock_acquire(&pd->bus->bar_lock);
	for (struct pci_bell_state *b = pd->bells; b != NULL; b = b->next) {
		b->on = on;
		if (on)
			bell_arm(b);
		else
			bell_disarm(b);
	}
	lock_release(&pd->bus->bar_lock);
}

void
pci_bells_free(struct pci_dev *pd)
{
	struct pci_bell_state *b;

	lock_acquire(&pd->lock);
	pci_bells_set(pd, false);
	lock_release(&pd->lock);
	while ((b = pd->bells) != NULL) {
		pd->bells = b->next;
		bell_close(b);
		free(b);
	}
}
