/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-rnd: an entropy source, OASIS virtio 1.2 section 5.4.  One queue,
 * whose buffers are filled by getrandom(2).
 *
 * A guest can ask for more than is healthy: what it gets in one go has a limit,
 * and the rest comes from a timer, at once or, with a rate= setting, when there
 * is leave to.  A buffer may be given back partly filled, but never empty
 * (5.4.6.1).
 *
 * Runs in the vCPU thread that kicks and in the event thread, with the device's
 * lock held.
 */
#include <vmm/virtio.h>

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include <conf/conf.h>
#include <vmm/event.h>
#include <vmm/snap.h>

#define RND_TYPE       4
#define RND_QUEUE_SIZE 64
#define RND_IOV_MAX    64

/* Given at once: without a rate this much, with one the share of a period. */
#define RND_BURST     (256u << 10)
#define RND_PERIOD_NS 100000000ull
#define RND_PERIODS   10u /* in a second */
#define NS_PER_SECOND 1000000000ull

struct rnd {
	struct virtio_dev dev; /* first */
	struct pci_dev *pd;
	struct evtimer *timer;
	uint64_t rate;	/* bytes a second; 0: no limit */
	uint64_t quota; /* bytes in a period */

	uint64_t left;	    /* of the quota */
	uint64_t refill_ns; /* when it is whole again; rate only */
};

static struct rnd *
rnd_of(struct virtio_dev *dev)
{
	return (struct rnd *)dev;
}

/* A part of a buffer; all of it, for less than 256 bytes the kernel promises.
 */
static size_t
rnd_fill(uint8_t *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = getrandom(buf + done, len - done, 0);

		if (n < 0 && errno != EINTR)
			break; /* no host of ours is without it */
		done += n > 0 ? (size_t)n : 0;
	}
	return done;
}

static void
rnd_serve_chain(struct rnd *r, struct vq *vq, const struct vq_chain *c)
{
	uint32_t done = 0;

	for (unsigned int i = c->niov_out; i < c->niov && r->left > 0; i++) {
		size_t n = MIN(c->iov[i].iov_len, (size_t)r->left);

		n = rnd_fill(c->iov[i].iov_base, n);
		r->left -= n;
		done += (uint32_t)n;
	}
	vq_push(vq, c, done);
}

/* Each chain costs a byte at least, so that empty ones come to an end too. */
static void
rnd_serve(struct rnd *r)
{
	struct vq *vq = virtio_vq(&r->dev, 0);
	struct iovec iov[RND_IOV_MAX];
	struct vq_chain c;

	while (r->left > 0 && vq_pop(vq, iov, RND_IOV_MAX, &c) == 1) {
		if (c.len_in == 0)
			r->left--;
		rnd_serve_chain(r, vq, &c);
	}
	vq_notify(vq);
}

/* The quota is whole at the beginning of each period. */
static void
rnd_refill(struct rnd *r)
{
	uint64_t now = vm_clock_ns(pci_dev_vm(r->pd));

	if (r->rate != 0 && now < r->refill_ns)
		return;
	r->left = r->quota;
	r->refill_ns = now + RND_PERIOD_NS;
}

static void
rnd_run(struct rnd *r)
{
	rnd_serve(r);
	if (r->left == 0 && virtio_running(&r->dev))
		evtimer_arm(r->timer, r->rate != 0 ? r->refill_ns : 0);
}

static void
rnd_on_timer(void *arg)
{
	struct rnd *r = arg;

	pci_dev_lock(r->pd);
	rnd_refill(r);
	rnd_run(r);
	pci_dev_unlock(r->pd);
}

static void
rnd_notify(struct virtio_dev *dev, unsigned int q)
{
	struct rnd *r = rnd_of(dev);

	/* Without a rate the timer refills, so that a vCPU gets to run. */
	if (r->rate != 0)
		rnd_refill(r);
	rnd_run(r);
}

static void
rnd_reset(struct virtio_dev *dev)
{
	struct rnd *r = rnd_of(dev);

	evtimer_disarm(r->timer);
	/* A reset is no way around the rate. */
	if (r->rate == 0)
		r->left = r->quota;
}

static void
rnd_pause(struct virtio_dev *dev)
{
	evtimer_disarm(rnd_of(dev)->timer);
}

static void
rnd_resume(struct virtio_dev *dev)
{
	struct rnd *r = rnd_of(dev);

	if (r->rate == 0)
		r->left = r->quota;
}

/* The quota is the host's and begins anew where the guest goes on. */
static void
rnd_snapshot(struct virtio_dev *dev, struct snap *s)
{
}

static const struct virtio_ops rnd_virtio_ops = {
	.type = RND_TYPE,
	.class_code = 0xff0000,
	.reset = rnd_reset,
	.notify = rnd_notify,
	.pause = rnd_pause,
	.resume = rnd_resume,
	.snapshot = rnd_snapshot,
};

static const struct virtio_spec rnd_spec = {
	.nqueues = 1,
	.queue_size = RND_QUEUE_SIZE,
};

/* "64k": bytes a second. */
static int
rnd_parse_rate(struct rnd *r, char *err, size_t err_len)
{
	const char *rate = pci_dev_opt(r->pd, "rate");

	r->quota = RND_BURST;
	if (rate == NULL)
		return 0;
	/* A bare number is bytes here, not megabytes as for memory. */
	if ((parse_u64(rate, 1, UINT64_MAX, &r->rate) != 0 &&
		conf_parse_size(rate, &r->rate) != 0) ||
	    r->rate == 0) {
		snprintf(err, err_len,
		    "%s: bad rate '%s': want bytes a second, 1 or more, as in "
		    "64k",
		    pci_dev_name(r->pd), rate);
		return -EINVAL;
	}
	r->quota = MAX(r->rate / RND_PERIODS, 1u);
	return 0;
}

static int
rnd_init(struct pci_dev *pd, char *err, size_t err_len)
{
	struct rnd *r = pci_dev_state(pd);
	int error;

	r->pd = pd;
	error = rnd_parse_rate(r, err, err_len);
	if (error != 0)
		return error;
	r->left = r->quota;
	r->timer =
	    evtimer_create(pci_dev_vm(pd), "virtio-rnd", NULL, rnd_on_timer, r);
	return virtio_init(
	    &r->dev, pd, &rnd_virtio_ops, &rnd_spec, err, err_len);
}

static void
rnd_fini(struct pci_dev *pd)
{
	struct rnd *r = pci_dev_state(pd);

	evtimer_del(r->timer);
	virtio_fini(&r->dev);
}

static const struct pci_opt rnd_opts[] = {
	{ "rate", "at most so many bytes a second" },
	VIRTIO_PCI_OPTS,
	{ NULL, NULL },
};

extern const struct pci_dev_ops virtio_rnd_ops;

const struct pci_dev_ops virtio_rnd_ops = {
	.name = "virtio-rnd",
	.summary = "virtio source of random numbers",
	.id = { .vendor = 0x1af4, .device = 0x1005, .class_code = 0xff0000 },
	.opts = rnd_opts,
	.state_size = sizeof(struct rnd),
	.init = rnd_init,
	.fini = rnd_fini,
	VIRTIO_PCI_OPS,
};
