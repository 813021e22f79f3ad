/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_irqfd.c - interrupts by eventfd: read by the event loop, or left to a
 * chip that can; levels and their EOIs; what removing promises.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vmm/irq.h>

#include "fake_engine.h"

#define ADDR 0xfee01000ull
#define DATA 0x4031u

struct chip {
	int level[IRQ_NGSI];
	unsigned int changes[IRQ_NGSI];
	atomic_uint messages;
	uint64_t addr;
	uint32_t data;
	atomic_bool stuck, entered; /* msi: does not return; was called */
	/* irqfd_set */
	int err;
	unsigned int on, off;
	struct vm_irqfd last;
};

static void
set_gsi(void *arg, unsigned int gsi, bool level)
{
	struct chip *c = arg;

	c->level[gsi] = level;
	c->changes[gsi]++;
}

static int
msi(void *arg, uint64_t addr, uint32_t data)
{
	struct chip *c = arg;

	c->addr = addr;
	c->data = data;
	c->entered = true;
	while (c->stuck)
		usleep(100);
	c->messages++;
	return 0;
}

static int
irqfd_set(void *arg, const struct vm_irqfd *at, bool on)
{
	struct chip *c = arg;

	if (on && c->err != 0)
		return c->err;
	if (!on)
		assert_memory_equal(at, &c->last, sizeof(*at));
	c->last = *at;
	*(on ? &c->on : &c->off) += 1;
	return 0;
}

static const struct irqchip_ops plain_ops = { .set_gsi = set_gsi, .msi = msi };
static const struct irqchip_ops eoi_ops = {
	.set_gsi = set_gsi, .msi = msi, .tells_eoi = true
};
static const struct irqchip_ops able_ops = {
	.set_gsi = set_gsi, .msi = msi, .irqfd_set = irqfd_set
};
static struct chip chip;
static int fd, resample;

/* The lowest descriptor that is free: the same as long as none leaks. */
static int
next_fd(void)
{
	int n = fcntl(0, F_DUPFD_CLOEXEC, 0);

	close(n);
	return n;
}

static int
setup(void **state)
{
	chip = (struct chip){ 0 };
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	resample = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	*state = fake_vm_new(1, NULL);
	irq_set_chip(*state, &eoi_ops, &chip);
	return fd < 0 || resample < 0;
}

static int
teardown(void **state)
{
	vm_close(*state);
	close(fd);
	close(resample);
	return 0;
}

/* What was written since it was last asked. */
static eventfd_t
taken(int efd)
{
	eventfd_t n = 0;

	return eventfd_read(efd, &n) == 0 ? n : 0;
}

static void
ring(int efd)
{
	assert_int_equal(eventfd_write(efd, 1), 0);
}

/* --- the event loop reads ------------------------------------------------- */

static void
messages_and_pulses(void **state)
{
	assert_int_equal(vm_irqfd_msi(*state, fd, ADDR, DATA), 0);
	assert_int_equal(vm_irqfd_pin(*state, resample, 23, -1), 0);
	assert_int_equal(vm_event_poll(*state, 0), 0);
	ring(fd);
	ring(fd); /* these two are one */
	assert_int_equal(vm_event_poll(*state, 1000), 1);
	assert_int_equal(vm_event_poll(*state, 0), 0);
	assert_int_equal(chip.messages, 1);
	assert_true(chip.addr == ADDR && chip.data == DATA);
	ring(resample);
	assert_int_equal(vm_event_poll(*state, 1000), 1);
	assert_int_equal(chip.changes[23], 2);
	assert_int_equal(chip.level[23], 0);
	/* Pin 2 is gsi 0's. */
	assert_int_equal(vm_irqfd_remove(*state, resample), 0);
	assert_int_equal(vm_irqfd_pin(*state, resample, 2, -1), 0);
	ring(resample);
	assert_int_equal(vm_event_poll(*state, 1000), 1);
	assert_int_equal(chip.changes[0], 2);
	/* A reset is the guest's. */
	assert_int_equal(vm_reinit(*state), 0);
	ring(fd);
	assert_int_equal(vm_event_poll(*state, 1000), 1);
	assert_int_equal(chip.messages, 2);
}

static void
removed(void **state)
{
	int n = next_fd();

	ring(fd); /* counts */
	assert_int_equal(vm_irqfd_msi(*state, fd, ADDR, DATA), 0);
	assert_int_equal(vm_event_poll(*state, 1000), 1);
	assert_int_equal(chip.messages, 1);
	assert_int_equal(vm_irqfd_remove(*state, fd), 0);
	assert_int_equal(next_fd(), n);
	ring(fd);
	assert_int_equal(vm_event_poll(*state, 20), 0);
	assert_int_equal(chip.messages, 1);
	assert_int_equal(taken(fd), 1);
	assert_int_equal(vm_irqfd_remove(*state, fd), -1);
	assert_int_equal(errno, ENOENT);
}

static void
refuse(int ret, int err)
{
	assert_int_equal(ret, -1);
	assert_int_equal(errno, err);
}

static void
bad_ones(void **state)
{
	struct vmctx *bare = fake_vm_new(1, NULL);
	int n, p[2];

	refuse(vm_irqfd_msi(bare, fd, ADDR, DATA), ENXIO);
	vm_close(bare);
	n = next_fd();
	refuse(vm_irqfd_msi(*state, -1, ADDR, DATA), EBADF);
	refuse(vm_irqfd_msi(*state, 1000, ADDR, DATA), EBADF);
	refuse(vm_irqfd_msi(*state, fd, 0xfed00000, DATA), EINVAL);
	refuse(vm_irqfd_msi(*state, fd, 0x1fee00000, DATA), EINVAL);
	for (int pin = -1; pin <= 24; pin += pin == 0 ? 24 : 1)
		refuse(vm_irqfd_pin(*state, fd, pin, -1), EINVAL);
	refuse(vm_irqfd_pin(*state, fd, 20, 1000), EBADF);
	refuse(vm_irqfd_pin(*state, fd, 20, -2), EBADF);
	assert_int_equal(pipe(p), 0);
	refuse(vm_irqfd_msi(*state, p[0], ADDR, DATA), EINVAL);
	refuse(vm_irqfd_pin(*state, fd, 20, p[1]), EINVAL);
	close(p[0]);
	close(p[1]);
	assert_int_equal(next_fd(), n);
	/* Nothing of all that is bound; once is enough. */
	ring(fd);
	assert_int_equal(vm_event_poll(*state, 20), 0);
	assert_int_equal(vm_irqfd_msi(*state, fd, ADDR, DATA), 0);
	refuse(vm_irqfd_msi(*state, fd, ADDR, DATA), EBUSY);
	refuse(vm_irqfd_pin(*state, fd, 20, -1), EBUSY);
	assert_int_equal(vm_event_poll(*state, 1000), 1);
}

/* --- levels --------------------------------------------------------------- */

static void
levels(void **state)
{
	struct irq_line dev;

	irq_line_init(&dev, *state, 20);
	assert_int_equal(irq_eoi_wanted(*state), 0);
	assert_int_equal(vm_irqfd_pin(*state, fd, 20, resample), 0);
	assert_int_equal(irq_eoi_wanted(*state), BIT(20));
	ring(fd);
	assert_int_equal(vm_event_poll(*state, 1000), 1);
	assert_int_equal(chip.level[20], 1);
	irq_eoi(*state, 21); /* another's */
	assert_int_equal(taken(resample), 0);
	irq_eoi(*state, 20);
	assert_int_equal(chip.level[20], 0);
	assert_int_equal(chip.changes[20], 2);
	assert_int_equal(taken(resample), 1);
	/* Again; and what a device holds stays. */
	irq_line_set(&dev, true);
	ring(fd);
	assert_int_equal(vm_event_poll(*state, 1000), 1);
	irq_eoi(*state, 20);
	assert_int_equal(chip.level[20], 1);
	assert_int_equal(taken(resample), 1);
	irq_line_set(&dev, false);
	assert_int_equal(chip.level[20], 0);
	/* A reset: no EOI will come. */
	ring(fd);
	assert_int_equal(vm_event_poll(*state, 1000), 1);
	assert_int_equal(chip.level[20], 1);
	assert_int_equal(vm_reinit(*state), 0);
	assert_int_equal(chip.level[20], 0);
	assert_int_equal(taken(resample), 1);
	/* Removed, it holds nothing. */
	ring(fd);
	assert_int_equal(vm_event_poll(*state, 1000), 1);
	assert_int_equal(chip.level[20], 1);
	assert_int_equal(vm_irqfd_remove(*state, fd), 0);
	assert_int_equal(chip.level[20], 0);
	assert_int_equal(irq_eoi_wanted(*state), 0);
	assert_int_equal(taken(resample), 0);
}

static void
levels_not_to_be_had(void **state)
{
	int n = next_fd();

	refuse(vm_irqfd_pin(*state, fd, 9, resample), ENOTSUP);
	irq_set_chip(*state, &plain_ops, &chip);
	refuse(vm_irqfd_pin(*state, fd, 20, resample), ENOTSUP);
	assert_int_equal(irq_eoi_wanted(*state), 0);
	assert_int_equal(next_fd(), n);
	assert_int_equal(vm_irqfd_pin(*state, fd, 20, -1), 0);
}

/* --- a chip that does it itself ------------------------------------------- */

static void
left_to_the_chip(void **state)
{
	int n = next_fd();

	irq_set_chip(*state, &able_ops, &chip);
	assert_int_equal(vm_irqfd_pin(*state, fd, 9, resample), 0);
	assert_int_equal(chip.on, 1);
	assert_true(!chip.last.msi && chip.last.gsi == 9);
	assert_true(chip.last.fd >= n && chip.last.resample_fd >= n);
	ring(fd);
	assert_int_equal(vm_event_poll(*state, 20), 0);
	assert_int_equal(vm_irqfd_remove(*state, fd), 0);
	assert_int_equal(chip.off, 1);
	/* It fails: that is the answer. */
	chip.err = -ENOMEM;
	refuse(vm_irqfd_msi(*state, fd, ADDR, DATA), ENOMEM);
	assert_int_equal(next_fd(), n);
	/* It cannot. */
	chip.err = -ENOTSUP;
	assert_int_equal(vm_irqfd_msi(*state, fd, ADDR, DATA), 0);
	assert_int_equal(vm_event_poll(*state, 1000), 1);
	assert_int_equal(chip.messages, 1);
	assert_int_equal(vm_irqfd_remove(*state, fd), 0);
	assert_int_equal(chip.on + chip.off, 2);
}

/* --- ends ----------------------------------------------------------------- */

static void
machine_ends(void **state)
{
	int n = next_fd();
	struct vmctx *ctx = fake_vm_new(1, NULL);

	irq_set_chip(ctx, &able_ops, &chip);
	assert_int_equal(vm_irqfd_msi(ctx, fd, ADDR, DATA), 0);
	chip.err = -ENOTSUP;
	assert_int_equal(vm_irqfd_msi(ctx, resample, ADDR, DATA), 0);
	vm_close(ctx);
	assert_int_equal(chip.off, 1);
	assert_int_equal(next_fd(), n);
	ring(fd);
	assert_int_equal(taken(fd), 1);
}

/* A caller's mistake that harms nobody. */
static void
closed_too_early(void **state)
{
	int other = dup(fd), n;

	assert_true(other > fd);
	assert_int_equal(vm_irqfd_msi(*state, other, ADDR, DATA), 0);
	close(other);
	ring(fd);
	assert_int_equal(vm_event_poll(*state, 1000), 1);
	assert_int_equal(chip.messages, 1);
	n = next_fd();
	assert_int_equal(n, other);
	assert_int_equal(vm_irqfd_remove(*state, other), 0);
	ring(fd);
	assert_int_equal(vm_event_poll(*state, 20), 0);
}

struct remover {
	struct vmctx *ctx;
	atomic_bool done;
};

static void *
poll_thread(void *arg)
{
	vm_event_poll(arg, 1000);
	return NULL;
}

static void *
remove_thread(void *arg)
{
	struct remover *r = arg;

	assert_int_equal(vm_irqfd_remove(r->ctx, fd), 0);
	r->done = true;
	return NULL;
}

static void
removing_waits(void **state)
{
	struct remover r = { .ctx = *state };
	pthread_t poller, remover;

	assert_int_equal(vm_irqfd_msi(*state, fd, ADDR, DATA), 0);
	chip.stuck = true;
	ring(fd);
	assert_int_equal(pthread_create(&poller, NULL, poll_thread, *state), 0);
	while (!chip.entered)
		usleep(100);
	assert_int_equal(pthread_create(&remover, NULL, remove_thread, &r), 0);
	usleep(50000);
	assert_false(r.done);
	assert_int_equal(chip.messages, 0);
	chip.stuck = false;
	pthread_join(remover, NULL);
	assert_int_equal(chip.messages, 1);
	pthread_join(poller, NULL);
}

/* Writes, EOIs and bindings that come and go, all at once. */
struct hammer {
	struct vmctx *ctx;
	atomic_bool stop;
};

static void *
event_thread(void *arg)
{
	struct hammer *h = arg;

	while (!h->stop)
		vm_event_poll(h->ctx, 1);
	return NULL;
}

static void *
eoi_thread(void *arg)
{
	struct hammer *h = arg;

	while (!h->stop) {
		ring(fd);
		irq_eoi(h->ctx, 20);
	}
	return NULL;
}

static void
all_at_once(void **state)
{
	struct hammer h = { .ctx = *state };
	pthread_t t[2];

	assert_int_equal(pthread_create(&t[0], NULL, event_thread, &h), 0);
	assert_int_equal(pthread_create(&t[1], NULL, eoi_thread, &h), 0);
	for (int i = 0; i < 2000; i++) {
		assert_int_equal(vm_irqfd_pin(*state, fd, 20, resample), 0);
		assert_int_equal(vm_irqfd_remove(*state, fd), 0);
	}
	h.stop = true;
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	assert_int_equal(chip.level[20], 0);
	assert_int_equal(chip.changes[20] % 2, 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(messages_and_pulses),
		T(removed),
		T(bad_ones),
		T(levels),
		T(levels_not_to_be_had),
		T(left_to_the_chip),
		T(machine_ends),
		T(closed_too_early),
		T(removing_waits),
		T(all_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
