/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * irqfd.c - interrupts by eventfd: whoever writes to it, another process or the
 * kernel, raises a message or a line.
 *
 * The machine's controllers may see to it themselves (irqchip_ops.irqfd_set).
 * Where they do not, the event loop reads the eventfd and does what a device
 * would do.  A level is held from the write to the EOI; then the other eventfd
 * is written to, and who still wants the line writes once more: the meaning of
 * KVM_IRQFD_FLAG_RESAMPLE.
 *
 * What is bound is the host's: a reset leaves it, a snapshot has nothing of it.
 * The state's lock is held while a binding comes or goes, and for an EOI; a
 * callback takes its binding's lock alone, so that it can be waited for.
 */
#include "vm_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vmm/event.h>

struct irqfd {
	struct irqfd *next;
	struct vmctx *ctx;
	int key;	    /* the caller's descriptor */
	struct vm_irqfd at; /* with descriptors of our own */
	bool in_chip;
	struct evfd *ev;
	struct lock lock;
	struct irq_line line; /* GUARDED_BY(lock) */
};

/* --- what comes ----------------------------------------------------------- */

/* In the event thread, with b->lock held. */
static void
irqfd_written(unsigned int events, void *arg)
{
	struct irqfd *b = arg;
	uint64_t count;

	if (read(b->at.fd, &count, sizeof(count)) != sizeof(count))
		return;
	if (b->at.msi)
		irq_msi(b->ctx, b->at.addr, b->at.data);
	else if (b->at.resample_fd >= 0)
		irq_line_set(&b->line, true);
	else
		irq_line_pulse(&b->line);
}

uint32_t
irq_eoi_wanted(const struct vmctx *ctx)
{
	return __atomic_load_n(&ctx->irqfd.levels, __ATOMIC_RELAXED);
}

/* The levels on these lines, bit n for gsi n, have been served. */
static void
levels_end(struct vmctx *ctx, uint32_t gsis)
{
	struct irqfd_state *s = &ctx->irqfd;

	lock_acquire(&s->lock);
	for (struct irqfd *b = s->head; b != NULL; b = b->next) {
		if (b->at.resample_fd < 0 || (gsis & BIT(b->at.gsi)) == 0)
			continue;
		lock_acquire(&b->lock);
		irq_line_set(&b->line, false);
		lock_release(&b->lock);
		(void)!eventfd_write(b->at.resample_fd, 1);
	}
	lock_release(&s->lock);
}

void
irq_eoi(struct vmctx *ctx, unsigned int gsi)
{
	levels_end(ctx, BIT(gsi));
}

/*
 * The EOI that was due is not to come.  A chip of the kernel's may have
 * forgotten the level, or hold it until the line's next EOI.
 */
void
irqfd_reset(struct vmctx *ctx)
{
	levels_end(ctx, UINT32_MAX);
}

/* --- bindings ------------------------------------------------------------- */

/* The kernel's controllers take nothing else, so nobody does. */
static bool
is_eventfd(int fd)
{
	static const char want[] = "anon_inode:[eventfd]";
	char path[32], to[sizeof(want)];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, to, sizeof(to));
	/* Without /proc nobody can tell. */
	return n < 0 || ((size_t)n == sizeof(want) - 1 &&
			    memcmp(to, want, sizeof(want) - 1) == 0);
}

/* The caller may close its own before it is told to. */
static int
keep(int fd, int *ret_fd)
{
	*ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (*ret_fd < 0)
		return -errno;
	return is_eventfd(*ret_fd) ? 0 : -EINVAL;
}

static void
irqfd_free(struct irqfd *b)
{
	if (b->at.fd >= 0)
		close(b->at.fd);
	if (b->at.resample_fd >= 0)
		close(b->at.resample_fd);
	lock_fini(&b->lock);
	free(b);
}

static int
irqfd_make(
    struct vmctx *ctx, const struct vm_irqfd *at, struct irqfd **ret_binding)
{
	struct irqfd *b = xcalloc(1, sizeof(*b));
	int err;

	lock_init(&b->lock);
	b->ctx = ctx;
	b->key = at->fd;
	b->at = *at;
	b->at.resample_fd = -1;
	irq_line_init(&b->line, ctx, at->gsi);
	err = keep(at->fd, &b->at.fd);
	if (err == 0 && at->resample_fd != -1)
		err = keep(at->resample_fd, &b->at.resample_fd);
	if (err != 0) {
		irqfd_free(b);
		return err;
	}
	*ret_binding = b;
	return 0;
}

/* The event loop reads it. */
static int
irqfd_watch(struct irqfd *b, const struct irqchip_ops *ops)
{
	/* An 8259 tells nobody of its EOIs. */
	if (b->at.resample_fd >= 0 && (!ops->tells_eoi || b->at.gsi < IRQ_NISA))
		return -ENOTSUP;
	b->ev =
	    evfd_add(b->ctx, b->at.fd, EVFD_READ, &b->lock, irqfd_written, b);
	return b->ev != NULL ? 0 : -errno;
}

static int
irqfd_on(struct irqfd *b)
{
	const struct irq_state *irq = &b->ctx->irq;
	int err = -ENOTSUP;

	if (irq->ops == NULL)
		return -ENXIO;
	if (irq->ops->irqfd_set != NULL)
		err = irq->ops->irqfd_set(irq->chip, &b->at, true);
	b->in_chip = err == 0;
	return err == -ENOTSUP ? irqfd_watch(b, irq->ops) : err;
}

/* A level's end is nothing its sender must hear of any more. */
static void
irqfd_off(struct irqfd *b)
{
	const struct irq_state *irq = &b->ctx->irq;

	/* It cannot fail: it is there. */
	if (b->in_chip)
		(void)!irq->ops->irqfd_set(irq->chip, &b->at, false);
	evfd_del(b->ev); /* waits */
	irq_line_set(&b->line, false);
}

/* Where `fd` is, or would be. */
static struct irqfd **
find_locked(struct irqfd_state *s, int fd)
{
	struct irqfd **p = &s->head;

	while (*p != NULL && (*p)->key != fd)
		p = &(*p)->next;
	return p;
}

static void
note_levels_locked(struct irqfd_state *s)
{
	uint32_t levels = 0;

	for (struct irqfd *b = s->head; b != NULL; b = b->next)
		if (b->at.resample_fd >= 0)
			levels |= BIT(b->at.gsi);
	__atomic_store_n(&s->levels, levels, __ATOMIC_RELAXED);
}

static int
add_locked(struct irqfd_state *s, struct irqfd *b)
{
	struct irqfd **p = find_locked(s, b->key);
	int err;

	if (*p != NULL)
		return -EBUSY;
	*p = b;
	/* Before the first write: its EOI may come at once. */
	note_levels_locked(s);
	err = irqfd_on(b);
	if (err != 0) {
		*p = NULL;
		note_levels_locked(s);
	}
	return err;
}

static bool
is_target(const struct vm_irqfd *at)
{
	if (at->msi)
		return irq_is_msi_addr(at->addr) && at->gsi == 0 &&
		       at->resample_fd == -1;
	return at->gsi < IRQ_NGSI && at->gsi != IRQ_GSI_CASCADE;
}

int
irqfd_add(struct vmctx *ctx, const struct vm_irqfd *at)
{
	struct irqfd *b;
	int err = is_target(at) ? irqfd_make(ctx, at, &b) : -EINVAL;

	if (err != 0)
		return err;
	lock_acquire(&ctx->irqfd.lock);
	err = add_locked(&ctx->irqfd, b);
	lock_release(&ctx->irqfd.lock);
	if (err != 0)
		irqfd_free(b);
	return err;
}

static void
remove_locked(struct irqfd_state *s, struct irqfd **p)
{
	struct irqfd *b = *p;

	irqfd_off(b);
	*p = b->next;
	irqfd_free(b);
	note_levels_locked(s);
}

int
irqfd_remove(struct vmctx *ctx, int fd)
{
	struct irqfd_state *s = &ctx->irqfd;
	struct irqfd **p;
	int err = -ENOENT;

	lock_acquire(&s->lock);
	p = find_locked(s, fd);
	if (*p != NULL) {
		remove_locked(s, p);
		err = 0;
	}
	lock_release(&s->lock);
	return err;
}

void
irqfd_fini(struct vmctx *ctx)
{
	struct irqfd_state *s = &ctx->irqfd;

	lock_acquire(&s->lock);
	while (s->head != NULL)
		remove_locked(s, &s->head);
	lock_release(&s->lock);
}

/* --- vmmapi --------------------------------------------------------------- */

static int
api_add(struct vmctx *ctx, const struct vm_irqfd *at)
{
	int err = vm_platform_ready(ctx);

	if (err == 0)
		err = irqfd_add(ctx, at);
	return vm_api_result(err);
}

int
vm_irqfd_msi(struct vmctx *ctx, int fd, uint64_t addr, uint64_t msg)
{
	const struct vm_irqfd at = {
		.fd = fd,
		.resample_fd = -1,
		.msi = true,
		.addr = addr,
		.data = (uint32_t)msg,
	};

	return api_add(ctx, &at);
}

int
vm_irqfd_pin(struct vmctx *ctx, int fd, int pin, int resample_fd)
{
	int gsi = irq_pin_to_gsi(pin);
	const struct vm_irqfd at = {
		.fd = fd,
		.resample_fd = resample_fd,
		.gsi = (unsigned int)gsi,
	};

	return gsi < 0 ? vm_api_result(-EINVAL) : api_add(ctx, &at);
}

int
vm_irqfd_remove(struct vmctx *ctx, int fd)
{
	return vm_api_result(irqfd_remove(ctx, fd));
}
