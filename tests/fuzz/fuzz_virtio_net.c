/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_virtio_net.c - the input is what a driver and the network do to a
 * virtio-net card; src/dev/virtio/net*.c on a queue and a backend that are
 * made here.  The ring walker has a target of its own.
 *
 * First eight bytes: the features that were negotiated.  Then records: what,
 * how it is cut up, a length of two bytes, and as many bytes.
 */
#include "fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <dev/net_conf.h>

#include "net_priv.h"

#define FUZZ_QUEUES  (2 * VNET_PAIRS_MAX + 1)
#define FUZZ_BUFFERS 256

/* --- queues --------------------------------------------------------------- */

struct fuzz_buf {
	uint8_t *out, *in; /* each of just its size */
	uint32_t out_len, in_len;
	unsigned int part; /* bytes in an iovec */
};

struct vq {
	struct fuzz_buf buf[FUZZ_BUFFERS];
	unsigned int n, next, popped;
};

static struct fuzz_card {
	struct vnet *v;
	const struct virtio_ops *ops;
	const struct virtio_spec *spec;
	const struct net_client *client;
	uint64_t features;
	struct vq vq[FUZZ_QUEUES];
	unsigned int refuse; /* net_send() says false so often */
} fuzz;

static unsigned int
fuzz_cut(struct iovec *iov, unsigned int max, uint8_t *p, uint32_t len,
    unsigned int part)
{
	unsigned int n = 0;

	for (uint32_t off = 0; off < len && n < max; n++) {
		uint32_t k = n + 1 == max ? len - off : MIN(part, len - off);

		iov[n] = (struct iovec){ p + off, k };
		off += k;
	}
	return n;
}

int
vq_pop(
    struct vq *q, struct iovec *iov, unsigned int iov_max, struct vq_chain *c)
{
	struct fuzz_buf *b = &q->buf[q->next];

	if (q->next == q->n)
		return 0;
	*c = (struct vq_chain){
		.head = (uint16_t)q->next,
		.iov = iov,
		.len_out = b->out_len,
		.len_in = b->in_len,
	};
	c->niov_out = fuzz_cut(iov, iov_max / 2, b->out, b->out_len, b->part);
	c->niov = c->niov_out + fuzz_cut(iov + c->niov_out, iov_max / 2, b->in,
				    b->in_len, b->part);
	q->next++;
	q->popped++;
	return 1;
}

void
vq_unpop(struct vq *q, unsigned int n)
{
	assert(n <= q->popped);
	q->next -= n;
	q->popped -= n;
}

void
vq_fill(struct vq *q, const struct vq_chain *c, uint32_t len)
{
	assert(q->popped > 0 && len <= c->len_in);
	q->popped--;
}

void
vq_flush(struct vq *q)
{
}

void
vq_push(struct vq *q, const struct vq_chain *c, uint32_t len)
{
	vq_fill(q, c, len);
}

void
vq_notify(struct vq *q)
{
}

void
vq_kicks_off(struct vq *q)
{
}

bool
vq_kicks_on(struct vq *q)
{
	return q->next < q->n;
}

/* A copy between a part of some iovecs and memory. */
static size_t
fuzz_copy(const struct iovec *iov, unsigned int n, uint64_t off, uint8_t *mem,
    size_t len, bool to_mem)
{
	size_t done = 0;

	for (unsigned int i = 0; i < n && done < len; i++) {
		size_t k;

		if (off >= iov[i].iov_len) {
			off -= iov[i].iov_len;
			continue;
		}
		k = MIN(iov[i].iov_len - off, len - done);
		if (to_mem)
			memcpy(mem + done, (uint8_t *)iov[i].iov_base + off, k);
		else
			memcpy((uint8_t *)iov[i].iov_base + off, mem + done, k);
		done += k;
		off = 0;
	}
	return done;
}

size_t
vq_chain_read(const struct vq_chain *c, uint64_t off, void *dst, size_t len)
{
	return fuzz_copy(c->iov, c->niov_out, off, dst, len, true);
}

size_t
vq_chain_write(
    const struct vq_chain *c, uint64_t off, const void *src, size_t len)
{
	return fuzz_copy(c->iov + c->niov_out, c->niov - c->niov_out, off,
	    (uint8_t *)(uintptr_t)src, len, false);
}

/* --- the core ------------------------------------------------------------- */

int
virtio_init(struct virtio_dev *dev, struct pci_dev *pd,
    const struct virtio_ops *ops, const struct virtio_spec *spec, char *err,
    size_t err_len)
{
	fuzz.ops = ops;
	fuzz.features &= spec->features | BIT64(VIRTIO_F_VERSION_1);
	assert(spec->nqueues <= FUZZ_QUEUES);
	return 0;
}

void
virtio_fini(struct virtio_dev *dev)
{
}

uint64_t
virtio_features(const struct virtio_dev *dev)
{
	return fuzz.features;
}

bool
virtio_has(const struct virtio_dev *dev, unsigned int bit)
{
	return (fuzz.features & BIT64(bit)) != 0;
}

bool
virtio_running(const struct virtio_dev *dev)
{
	return true;
}

struct vq *
virtio_vq(struct virtio_dev *dev, unsigned int q)
{
	assert(q < 2 * fuzz.v->max_pairs + 1);
	return &fuzz.vq[q];
}

#define FUZZ_STUB(decl)                                                        \
	decl                                                                   \
	{                                                                      \
	}
FUZZ_STUB(void virtio_cfg_changed(struct virtio_dev *dev))
FUZZ_STUB(void pci_dev_lock(struct pci_dev *pd))
FUZZ_STUB(void pci_dev_unlock(struct pci_dev *pd))
FUZZ_STUB(void virtio_pci_reset(struct pci_dev *pd))
FUZZ_STUB(void virtio_pci_bar_write(struct pci_dev *pd, unsigned int bar,
    uint64_t off, unsigned int bytes, uint32_t val))
FUZZ_STUB(void virtio_pci_pause(struct pci_dev *pd))
FUZZ_STUB(void virtio_pci_resume(struct pci_dev *pd))
FUZZ_STUB(void virtio_pci_snapshot(struct pci_dev *pd, struct snap *s))

bool
virtio_pci_cfg_read(
    struct pci_dev *pd, unsigned int off, unsigned int bytes, uint32_t *ret)
{
	return false;
}

bool
virtio_pci_cfg_write(
    struct pci_dev *pd, unsigned int off, unsigned int bytes, uint32_t val)
{
	return false;
}

uint32_t
virtio_pci_bar_read(
    struct pci_dev *pd, unsigned int bar, uint64_t off, unsigned int bytes)
{
	return 0;
}

void *
pci_dev_state(struct pci_dev *pd)
{
	return fuzz.v;
}

const char *
pci_dev_opt(struct pci_dev *pd, const char *name)
{
	return strcmp(name, "queues") == 0 ? "4" : NULL;
}

const char *
pci_dev_name(const struct pci_dev *pd)
{
	return "virtio-net";
}

int
net_conf_read(struct pci_dev *pd, struct net_opts *o, char *err, size_t err_len)
{
	*o = (struct net_opts){ .mac = { 2, 0, 0, 0, 0, 1 }, .mtu = 1500 };
	return 0;
}

int
net_conf_parse(
    struct conf *c, const char *node, char *words, char *err, size_t err_len)
{
	return 0;
}

/* --- the backend ---------------------------------------------------------- */

int
net_open(const struct net_opts *o, const struct net_client *client, void *arg,
    struct netdev **ret, char *err, size_t err_len)
{
	fuzz.client = client;
	*ret = (struct netdev *)&fuzz;
	return 0;
}

int
net_start(struct netdev *nd)
{
	return 0;
}

bool
net_link_up(struct netdev *nd)
{
	return true;
}

uint32_t
net_offloads(const struct netdev *nd)
{
	return 0xf;
}

FUZZ_STUB(void net_close(struct netdev *nd))
FUZZ_STUB(void net_rx_resume(struct netdev *nd))
FUZZ_STUB(void net_tx_want(struct netdev *nd))
FUZZ_STUB(void net_set_rx_offloads(struct netdev *nd, uint32_t offloads))

bool
net_send(struct netdev *nd, const struct net_hdr *h, const struct iovec *iov,
    unsigned int niov, size_t len)
{
	uint8_t *copy;
	size_t n;

	if (fuzz.refuse > 0) {
		fuzz.refuse--;
		return false;
	}
	assert(net_hdr_ok(h, len, 0xf));
	copy = malloc(len);
	assert(copy != NULL);
	n = fuzz_copy(iov, niov, 0, copy, len, true);
	assert(n == len);
	free(copy);
	return true;
}

/* --- the input ------------------------------------------------------------ */

static void
fuzz_add(unsigned int q, unsigned int part, const uint8_t *data, size_t len,
    uint32_t in_len)
{
	struct vq *vq = &fuzz.vq[q];
	struct fuzz_buf *b;

	if (vq->n == FUZZ_BUFFERS)
		return;
	b = &vq->buf[vq->n++];
	*b = (struct fuzz_buf){
		.out = malloc(len),
		.in = malloc(in_len),
		.out_len = (uint32_t)len,
		.in_len = in_len,
		.part = part,
	};
	if (len > 0)
		memcpy(b->out, data, len);
}

static void
fuzz_receive(const uint8_t *data, size_t len)
{
	static const struct net_hdr plain;

	if (len < NET_FRAME_MIN)
		return;
	(void)fuzz.client->rx(fuzz.v, &plain, data, len);
	fuzz.client->rx_end(fuzz.v);
}

static void
fuzz_record(uint8_t what, uint8_t cut, const uint8_t *data, size_t len)
{
	struct virtio_dev *dev = &fuzz.v->dev;
	unsigned int part = cut % 64u + 1, pair = cut >> 6;
	unsigned int ctrl =
	    virtio_has(dev, VIRTIO_NET_F_MQ) ? 2 * VNET_PAIRS_MAX : 2;

	switch (what % 7) {
	case 0:
		fuzz_add(VNET_TXQ(pair), part, data, len, 0);
		fuzz.ops->notify(dev, VNET_TXQ(pair));
		break;
	case 1:
		fuzz_add(ctrl, part, data, len, cut % 3);
		fuzz.ops->notify(dev, ctrl);
		break;
	case 2:
		fuzz_add(VNET_RXQ(pair), part, NULL, 0, (uint32_t)len);
		fuzz.ops->notify(dev, VNET_RXQ(pair));
		break;
	case 3:
		fuzz_receive(data, len);
		break;
	case 4:
		fuzz.refuse = cut;
		fuzz.client->tx_resume(fuzz.v);
		break;
	case 5:
		if (range_ok(cut, len, fuzz.ops->cfg_len) && len > 0)
			fuzz.ops->cfg_write(dev, cut, data, (unsigned int)len);
		break;
	default:
		fuzz.ops->reset(dev);
		fuzz.ops->start(dev);
		break;
	}
}

static void
fuzz_free(void)
{
	for (unsigned int q = 0; q < FUZZ_QUEUES; q++) {
		for (unsigned int i = 0; i < fuzz.vq[q].n; i++) {
			free(fuzz.vq[q].buf[i].out);
			free(fuzz.vq[q].buf[i].in);
		}
		fuzz.vq[q].n = fuzz.vq[q].next = fuzz.vq[q].popped = 0;
	}
}

extern const struct pci_dev_ops virtio_net_ops;

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[100];
	int error;

	if (size < 8)
		return 0;
	fuzz.v = calloc(1, sizeof(*fuzz.v));
	fuzz.features = get_le64(data);
	fuzz.refuse = 0;
	error = virtio_net_ops.init(NULL, err, sizeof(err));
	assert(error == 0);
	fuzz.ops->start(&fuzz.v->dev);
	data += 8;
	size -= 8;
	while (size >= 4) {
		size_t len = MIN((size_t)get_le16(data + 2), size - 4);

		fuzz_record(data[0], data[1], data + 4, len);
		data += 4 + len;
		size -= 4 + len;
	}
	virtio_net_ops.fini(NULL);
	fuzz_free();
	free(fuzz.v);
	return 0;
}
