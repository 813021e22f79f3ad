/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net, receiving: OASIS virtio 1.2 section 5.1.6.3 and .4.
 *
 * Runs in the backend's thread.  While there are buffers the driver need not
 * kick; when there are none, kicks go on, the queue is looked at once more, and
 * the backend is told to wait, until the kick.
 */
#include "net_priv.h"

/* What a frame needs to get into the guest. */
struct vnet_rx_frame {
	struct virtio_net_hdr hdr;
	size_t hdr_len;
	const uint8_t *data;
	size_t len, pad; /* zeros that make it long enough */
};

enum vnet_rx_result { VNET_RX_DONE, VNET_RX_NO_BUFFERS, VNET_RX_TOO_BIG };

/* A part of header, data and padding, from offset `off` of all three. */
static size_t
vnet_rx_copy(const struct vnet_rx_frame *f, size_t off, uint8_t *dst, size_t n)
{
	const struct {
		const void *p;
		size_t len;
	} part[] = {
		{ &f->hdr, f->hdr_len },
		{ f->data, f->len },
		{ NULL, f->pad },
	};
	size_t done = 0;

	for (size_t i = 0; i < ARRAY_LEN(part); i++) {
		size_t k;

		if (off >= part[i].len) {
			off -= part[i].len;
			continue;
		}
		k = MIN(part[i].len - off, n - done);
		if (part[i].p != NULL)
			memcpy(dst + done, (const uint8_t *)part[i].p + off, k);
		else
			memset(dst + done, 0, k);
		done += k;
		off = 0;
	}
	return done;
}

/* Fills one chain; how much went in. */
static size_t
vnet_rx_fill(
    const struct vnet_rx_frame *f, size_t off, const struct vq_chain *c)
{
	size_t done = 0;

	for (unsigned int i = c->niov_out; i < c->niov; i++) {
		size_t n = vnet_rx_copy(
		    f, off + done, c->iov[i].iov_base, c->iov[i].iov_len);

		done += n;
		if (n < c->iov[i].iov_len)
			break;
	}
	return done;
}

/*
 * The next chain.  False: there is none, and the driver will kick when there is
 * one more than now.  Kicks go on before earlier chains are given back by
 * vq_unpop(), for with the event index they are asked for by position.
 */
static bool
vnet_rx_pop(struct vq *vq, struct iovec *iov, struct vq_chain *c)
{
	if (vq_pop(vq, iov, VIRTIO_QUEUE_MAX, c) == 1)
		return true;
	if (!vq_kicks_on(vq))
		return false;
	vq_kicks_off(vq);
	return vq_pop(vq, iov, VIRTIO_QUEUE_MAX, c) == 1;
}

/*
 * Takes as many chains as the frame needs.  Their iovecs lie one behind the
 * other in v->iov; each chain must find room for the longest there is, or it
 * would be ours to blame that it does not fit.
 */
static enum vnet_rx_result
vnet_rx_gather(
    struct vnet *v, struct vq *vq, size_t need, unsigned int *ret_chains)
{
	bool merge = virtio_has(&v->dev, VIRTIO_NET_F_MRG_RXBUF);
	unsigned int n = 0, niov = 0;
	enum vnet_rx_result r = VNET_RX_DONE;

	for (uint64_t have = 0; have < need; n++) {
		struct vq_chain *c = &v->chain[n];

		if (n == (merge ? VNET_RX_CHAINS : 1) ||
		    ARRAY_LEN(v->iov) - niov < VIRTIO_QUEUE_MAX) {
			r = VNET_RX_TOO_BIG;
			break;
		}
		if (!vnet_rx_pop(vq, v->iov + niov, c)) {
			r = VNET_RX_NO_BUFFERS;
			break;
		}
		niov += c->niov;
		have += c->len_in;
	}
	if (r != VNET_RX_DONE)
		vq_unpop(vq, n);
	*ret_chains = n;
	return r;
}

/*
 * The header counts the chains: a driver that polls must not see the first one
 * without the others (Linux then drops the frame).
 */
static enum vnet_rx_result
vnet_rx_put(struct vnet *v, struct vq *vq, struct vnet_rx_frame *f)
{
	size_t need = f->hdr_len + f->len + f->pad, off = 0;
	unsigned int n;
	enum vnet_rx_result r = vnet_rx_gather(v, vq, need, &n);

	if (r != VNET_RX_DONE)
		return r;
	/* 5.1.6.3.1: 1 also without MRG_RXBUF. */
	f->hdr.num_buffers = (uint16_t)n;
	for (unsigned int i = 0; i < n; i++) {
		size_t k = vnet_rx_fill(f, off, &v->chain[i]);

		vq_fill(vq, &v->chain[i], (uint32_t)k);
		off += k;
	}
	vq_flush(vq);
	return r;
}

/* Steered as the guest sent last, among the pairs it uses. */
static unsigned int
vnet_rx_pair(const struct vnet *v, const uint8_t *frame, size_t len)
{
	unsigned int pair;

	if (v->r.pairs <= 1)
		return 0;
	pair = v->flow_pair[vnet_flow(frame, len)];
	return pair < v->r.pairs ? pair : 0;
}

/* False: no buffers, and a kick comes when there are. */
static bool
vnet_rx_locked(
    struct vnet *v, const struct net_hdr *hdr, const uint8_t *frame, size_t len)
{
	unsigned int pair = vnet_rx_pair(v, frame, len);
	struct vq *vq = virtio_vq(&v->dev, VNET_RXQ(pair));
	struct vnet_rx_frame f = {
		.hdr.h = *hdr,
		.hdr_len = vnet_hdr_len(v),
		.data = frame,
		.len = len,
		.pad = len < VNET_FRAME_MIN ? VNET_FRAME_MIN - len : 0,
	};

	if (v->pair[pair].rx_waits)
		return false;
	switch (vnet_rx_put(v, vq, &f)) {
	case VNET_RX_DONE:
		v->pair[pair].rx_pushed = true;
		return true;
	case VNET_RX_TOO_BIG:
		v->rx_dropped++;
		return true;
	case VNET_RX_NO_BUFFERS:
		break;
	}
	/* Broken: nothing will ever come. */
	v->pair[pair].rx_waits = virtio_running(&v->dev);
	return !v->pair[pair].rx_waits;
}

bool
vnet_rx(void *arg, const struct net_hdr *hdr, const uint8_t *frame, size_t len)
{
	struct vnet *v = arg;
	bool taken = true;

	pci_dev_lock(v->pd);
	if (v->paused)
		taken = false;
	else if (!virtio_running(&v->dev))
		v->rx_dropped++;
	else if (!vnet_accepts(v, frame, len))
		v->rx_filtered++;
	else
		taken = vnet_rx_locked(v, hdr, frame, len);
	pci_dev_unlock(v->pd);
	return taken;
}

void
vnet_rx_end(void *arg)
{
	struct vnet *v = arg;

	pci_dev_lock(v->pd);
	for (unsigned int i = 0; i < v->max_pairs; i++) {
		if (!v->pair[i].rx_pushed)
			continue;
		v->pair[i].rx_pushed = false;
		vq_notify(virtio_vq(&v->dev, VNET_RXQ(i)));
	}
	pci_dev_unlock(v->pd);
}

void
vnet_rx_kick(struct vnet *v, unsigned int pair)
{
	/* Also after a resume, which has switched kicks on. */
	vq_kicks_off(virtio_vq(&v->dev, VNET_RXQ(pair)));
	if (!v->pair[pair].rx_waits)
		return;
	v->pair[pair].rx_waits = false;
	net_rx_resume(v->nd);
}
