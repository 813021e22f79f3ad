/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio_probe.c - see virtio_probe.h. */
#include "virtio_probe.h"

#include <string.h>

#include <vmm/snap.h>

struct virtio_probe *virtio_probe;

static struct virtio_probe *
probe_of(struct virtio_dev *dev)
{
	return (struct virtio_probe *)dev;
}

static void
probe_reset(struct virtio_dev *dev)
{
	struct virtio_probe *p = probe_of(dev);

	p->resets++;
	if (p->on_reset != NULL)
		p->on_reset(p);
}

static void
probe_start(struct virtio_dev *dev)
{
	probe_of(dev)->starts++;
}

static void
probe_notify(struct virtio_dev *dev, unsigned int q)
{
	struct virtio_probe *p = probe_of(dev);

	p->notified[q]++;
	if (p->on_notify != NULL)
		p->on_notify(p, q);
}

static void
probe_cfg_read(
    struct virtio_dev *dev, unsigned int off, void *buf, unsigned int len)
{
	memcpy(buf, probe_of(dev)->cfg + off, len);
}

static void
probe_cfg_write(
    struct virtio_dev *dev, unsigned int off, const void *buf, unsigned int len)
{
	memcpy(probe_of(dev)->cfg + off, buf, len);
}

static void
probe_pause(struct virtio_dev *dev)
{
	probe_of(dev)->pauses++;
}

static void
probe_resume(struct virtio_dev *dev)
{
	probe_of(dev)->resumes++;
}

static void
probe_snapshot(struct virtio_dev *dev, struct snap *s)
{
	snap_bytes(s, "probe", &probe_of(dev)->saved, 1);
}

#define PROBE_OPS(t)                                                           \
	{                                                                      \
		.type = (t), .class_code = 0xff0102, .cfg_len = PROBE_CFG_LEN, \
		.reset = probe_reset, .start = probe_start,                    \
		.notify = probe_notify, .cfg_read = probe_cfg_read,            \
		.cfg_write = probe_cfg_write, .pause = probe_pause,            \
		.resume = probe_resume, .snapshot = probe_snapshot             \
	}

static const struct virtio_ops probe_ops = PROBE_OPS(2);
static const struct virtio_ops probe_modern_ops = PROBE_OPS(18);

static const struct virtio_spec probe_spec = {
	.features = PROBE_FEATURES,
	.nqueues = PROBE_NQUEUES,
	.queue_size = PROBE_QUEUE_SIZE,
};

static int
probe_init_ops(
    struct pci_dev *pd, const struct virtio_ops *ops, char *err, size_t err_len)
{
	struct virtio_probe *p = pci_dev_state(pd);

	p->pd = pd;
	virtio_probe = p;
	for (unsigned int i = 0; i < PROBE_CFG_LEN; i++)
		p->cfg[i] = (uint8_t)(0xc0 + i);
	return virtio_init(&p->dev, pd, ops, &probe_spec, err, err_len);
}

static int
probe_init(struct pci_dev *pd, char *err, size_t err_len)
{
	return probe_init_ops(pd, &probe_ops, err, err_len);
}

static int
probe_init_modern(struct pci_dev *pd, char *err, size_t err_len)
{
	return probe_init_ops(pd, &probe_modern_ops, err, err_len);
}

static void
probe_fini(struct pci_dev *pd)
{
	struct virtio_probe *p = pci_dev_state(pd);

	virtio_fini(&p->dev);
}

static const struct pci_opt probe_opts[] = {
	VIRTIO_PCI_OPTS,
	{ NULL, NULL },
};

#define PROBE_PCI_OPS(init_fn)                                                 \
	{                                                                      \
		.name = "virtio-probe", .summary = "for tests",                \
		.id = { .vendor = 0x1af4 }, .opts = probe_opts,                \
		.state_size = sizeof(struct virtio_probe), .init = (init_fn),  \
		.fini = probe_fini, VIRTIO_PCI_OPS                             \
	}

const struct pci_dev_ops virtio_probe_ops = PROBE_PCI_OPS(probe_init);
const struct pci_dev_ops virtio_probe_modern_ops =
    PROBE_PCI_OPS(probe_init_modern);
