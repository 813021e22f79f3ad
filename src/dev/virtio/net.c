/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net: a network card, OASIS virtio 1.2 section 5.1.
 *
 * Missing on purpose: UFO and USO, RSS and hash reports, announcements, queue
 * resets, notification coalescing.
 *
 * Sending runs in the vCPU thread that kicks, which only copies frames into the
 * backend's row; when that is full, the backend's thread goes on.  Receiving
 * runs in the backend's thread.  All of it holds the device's lock.
 */
#include "net_priv.h"

#include <errno.h>
#include <stdio.h>

#include <dev/net_conf.h>
#include <util/log.h>
#include <vmm/snap.h>

#define VNET_TYPE   1
#define VNET_SPEED  10000 /* Mbit/s; nothing depends on it */
#define VNET_DUPLEX 1	  /* full */
/* Frames sent in one go: a vCPU must get on even if others refill the ring. */
#define VNET_TX_BURST (2 * VNET_QUEUE_SIZE)
/* Ethernet, IPv6 and ports: as much as tells flows apart. */
#define VNET_PEEK 64u

/* --- flows ---------------------------------------------------------------- */

static unsigned int
vnet_fold(const uint8_t *p, size_t len)
{
	unsigned int h = 0;

	for (size_t i = 0; i < len; i++)
		h ^= p[i];
	return h;
}

/*
 * Exclusive or: source and destination may change places.  Frames that are not
 * TCP or UDP over IP have a flow too, it does not matter which.
 */
unsigned int
vnet_flow(const uint8_t *frame, size_t len)
{
	bool v6 = len > 13 && frame[12] == 0x86 && frame[13] == 0xdd;
	size_t addr = v6 ? 22 : 26, addr_len = v6 ? 32 : 8;
	size_t ports =
	    v6 ? 54 : 14 + (size_t)(len > 14 ? frame[14] & 0xf : 0) * 4;
	unsigned int h = 0;

	if (range_ok(addr, addr_len, len))
		h = vnet_fold(frame + addr, addr_len);
	if (range_ok(ports, 4, len))
		h ^= vnet_fold(frame + ports, 4);
	return h % VNET_FLOWS;
}

/* 5.1.6.5.6: what the guest sends by a pair comes back by it. */
static void
vnet_learn_flow(
    struct vnet *v, unsigned int pair, const struct vq_chain *c, size_t hdr_len)
{
	uint8_t head[VNET_PEEK];
	size_t n;

	if (v->r.pairs <= 1)
		return;
	n = vq_chain_read(c, hdr_len, head, sizeof(head));
	v->flow_pair[vnet_flow(head, n)] = (uint8_t)pair;
}

/* --- sending -------------------------------------------------------------- */

/* The chain without its first `skip` bytes; how many parts are left. */
static unsigned int
vnet_skip(struct iovec **iov, unsigned int niov, size_t skip)
{
	while (niov > 0 && skip >= (*iov)->iov_len) {
		skip -= (*iov)->iov_len;
		(*iov)++;
		niov--;
	}
	if (niov > 0) {
		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + skip;
		(*iov)->iov_len -= skip;
	}
	return niov;
}

/* False: the backend is full.  What is no frame is dropped. */
static bool
vnet_tx_chain(struct vnet *v, unsigned int pair, const struct vq_chain *c)
{
	size_t hdr_len = vnet_hdr_len(v);
	struct iovec *iov = c->iov;
	struct net_hdr h;
	unsigned int niov;

	if (vq_chain_read(c, 0, &h, sizeof(h)) != sizeof(h) ||
	    c->len_out < hdr_len) {
		v->tx_bad++;
		guest_error(pci_dev_name(v->pd), "a frame without its header");
		return true;
	}
	/* 5.1.6.2: other flags are not the driver's to set, and ignored. */
	h.flags &= NET_HDR_NEEDS_CSUM;
	if (!net_hdr_ok(&h, c->len_out - hdr_len, v->tx_offloads)) {
		v->tx_bad++;
		guest_error(pci_dev_name(v->pd),
		    "a frame of %llu bytes that is not what its header says",
		    (unsigned long long)(c->len_out - hdr_len));
		return true;
	}
	vnet_learn_flow(v, pair, c, hdr_len);
	niov = vnet_skip(&iov, c->niov_out, hdr_len);
	return net_send(v->nd, &h, iov, niov, c->len_out - hdr_len);
}

/* True: the row is empty; false: the rest is for later. */
static bool
vnet_tx_drain(
    struct vnet *v, unsigned int pair, struct vq *vq, unsigned int *budget)
{
	while ((*budget)-- > 0) {
		struct vq_chain c;

		if (vq_pop(vq, v->iov, VIRTIO_QUEUE_MAX, &c) != 1)
			return true;
		if (!vnet_tx_chain(v, pair, &c)) {
			vq_unpop(vq, 1);
			return false;
		}
		vq_push(vq, &c, 0);
	}
	*budget = 0;
	net_tx_want(v->nd);
	return false;
}

static void
vnet_tx(struct vnet *v, unsigned int pair)
{
	struct vq *vq = virtio_vq(&v->dev, VNET_TXQ(pair));
	unsigned int budget = VNET_TX_BURST;
	bool done;

	if (v->paused || v->pair[pair].tx_waits)
		return;
	vq_kicks_off(vq);
	do {
		done = vnet_tx_drain(v, pair, vq, &budget);
	} while (done && vq_kicks_on(vq));
	/* Not done: kicks stay off, the backend calls. */
	v->pair[pair].tx_waits = !done;
	vq_notify(vq);
}

static void
vnet_tx_resume(void *arg)
{
	struct vnet *v = arg;

	pci_dev_lock(v->pd);
	for (unsigned int i = 0; i < v->max_pairs; i++) {
		if (!v->pair[i].tx_waits)
			continue;
		v->pair[i].tx_waits = false;
		if (virtio_running(&v->dev))
			vnet_tx(v, i);
	}
	pci_dev_unlock(v->pd);
}

/* --- the link ------------------------------------------------------------- */

static void
vnet_link(void *arg, bool up)
{
	struct vnet *v = arg;

	pci_dev_lock(v->pd);
	if (v->link != up) {
		v->link = up;
		if (virtio_has(&v->dev, VIRTIO_NET_F_STATUS))
			virtio_cfg_changed(&v->dev);
	}
	pci_dev_unlock(v->pd);
}

static const struct net_client vnet_client = {
	.rx = vnet_rx,
	.rx_end = vnet_rx_end,
	.link = vnet_link,
	.tx_resume = vnet_tx_resume,
};

/* --- configuration -------------------------------------------------------- */

static void
vnet_cfg_read(
    struct virtio_dev *dev, unsigned int off, void *buf, unsigned int len)
{
	const struct vnet *v = vnet_of(dev);
	struct virtio_net_config c = {
		.status = v->link ? VIRTIO_NET_S_LINK_UP : 0,
		.max_virtqueue_pairs = (uint16_t)v->max_pairs,
		.mtu = v->mtu,
		.speed = VNET_SPEED,
		.duplex = VNET_DUPLEX,
	};

	memcpy(c.mac, v->r.mac, sizeof(c.mac));
	memcpy(buf, (uint8_t *)&c + off, len);
}

/* Only the address, and only in the legacy interface (5.1.4.2). */
static void
vnet_cfg_write(
    struct virtio_dev *dev, unsigned int off, const void *buf, unsigned int len)
{
	struct vnet *v = vnet_of(dev);

	if (virtio_has(dev, VIRTIO_F_VERSION_1) || off >= sizeof(v->r.mac))
		return;
	memcpy(v->r.mac + off, buf, MIN((size_t)len, sizeof(v->r.mac) - off));
}

/* --- life ----------------------------------------------------------------- */

static const struct {
	unsigned int feature;
	uint32_t offload;
} vnet_tx_bits[] = {
	{ VIRTIO_NET_F_CSUM, NET_OFFLOAD_CSUM },
	{ VIRTIO_NET_F_HOST_TSO4, NET_OFFLOAD_TSO4 },
	{ VIRTIO_NET_F_HOST_TSO6, NET_OFFLOAD_TSO6 },
	{ VIRTIO_NET_F_HOST_ECN, NET_OFFLOAD_ECN },
};

static void
vnet_reset(struct virtio_dev *dev)
{
	struct vnet *v = vnet_of(dev);

	memset(v->pair, 0, sizeof(v->pair));
	memset(v->flow_pair, 0, sizeof(v->flow_pair));
	v->tx_offloads = 0;
	memcpy(v->r.mac, v->host_mac, sizeof(v->r.mac));
	vnet_ctrl_reset(v);
	/* What it keeps for the guest is dropped. */
	if (v->nd != NULL)
		net_rx_resume(v->nd);
}

static void
vnet_derive_offloads(struct vnet *v)
{
	v->tx_offloads = 0;
	for (size_t i = 0; i < ARRAY_LEN(vnet_tx_bits); i++) {
		if (virtio_has(&v->dev, vnet_tx_bits[i].feature))
			v->tx_offloads |= vnet_tx_bits[i].offload;
	}
	vnet_set_guest_offloads(v, v->r.guest_offloads);
}

static void
vnet_start(struct virtio_dev *dev)
{
	struct vnet *v = vnet_of(dev);

	v->r.guest_offloads = vnet_guest_offloads(v);
	vnet_derive_offloads(v);
	/* The backend asks for kicks when it needs them. */
	for (unsigned int i = 0; i < v->max_pairs; i++)
		vq_kicks_off(virtio_vq(dev, VNET_RXQ(i)));
}

static unsigned int
vnet_ctrl_queue(const struct vnet *v)
{
	/* 5.1.2: N is 1 if MQ was not negotiated. */
	return virtio_has(&v->dev, VIRTIO_NET_F_MQ) ? 2 * v->max_pairs : 2;
}

static void
vnet_notify(struct virtio_dev *dev, unsigned int q)
{
	struct vnet *v = vnet_of(dev);

	if (q == vnet_ctrl_queue(v))
		vnet_ctrl_notify(v, virtio_vq(dev, q));
	else if (q >= 2 * v->max_pairs)
		return; /* where there would be a control queue */
	else if (VNET_IS_RXQ(q))
		vnet_rx_kick(v, q / 2);
	else
		vnet_tx(v, q / 2);
}

static void
vnet_pause(struct virtio_dev *dev)
{
	vnet_of(dev)->paused = true;
}

/* The core has switched kicks on, and notifies every queue afterwards. */
static void
vnet_resume(struct virtio_dev *dev)
{
	struct vnet *v = vnet_of(dev);

	v->paused = false;
	memset(v->pair, 0, sizeof(v->pair));
	if (virtio_running(dev))
		vnet_derive_offloads(v);
	net_rx_resume(v->nd);
}

static bool
vnet_regs_valid(const struct vnet *v)
{
	return v->r.uni.n <= VNET_TABLE_MAX && v->r.multi.n <= VNET_TABLE_MAX &&
	       v->r.pairs >= 1 && v->r.pairs <= v->max_pairs &&
	       (v->r.guest_offloads & ~vnet_guest_offloads(v)) == 0;
}

static void
vnet_snapshot(struct virtio_dev *dev, struct snap *s)
{
	struct vnet *v = vnet_of(dev);
	struct vnet_regs *r = &v->r;

	snap_var(s, r->mac);
	snap_var(s, r->promisc);
	snap_var(s, r->allmulti);
	snap_var(s, r->alluni);
	snap_var(s, r->nomulti);
	snap_var(s, r->nouni);
	snap_var(s, r->nobcast);
	snap_var(s, r->uni);
	snap_var(s, r->multi);
	snap_var(s, r->vlan);
	snap_var(s, r->pairs);
	snap_var(s, r->guest_offloads);
	if (snap_error(s) == 0 && !vnet_regs_valid(v))
		snap_fail(s);
}

static const struct virtio_ops vnet_virtio_ops = {
	.type = VNET_TYPE,
	.class_code = 0x020000,
	.cfg_len = sizeof(struct virtio_net_config),
	.reset = vnet_reset,
	.start = vnet_start,
	.notify = vnet_notify,
	.cfg_read = vnet_cfg_read,
	.cfg_write = vnet_cfg_write,
	.pause = vnet_pause,
	.resume = vnet_resume,
	.snapshot = vnet_snapshot,
};

/* --- making one ----------------------------------------------------------- */

#define VNET_FEATURES                                                          \
	(BIT64(VIRTIO_NET_F_MAC) | BIT64(VIRTIO_NET_F_MRG_RXBUF) |             \
	    BIT64(VIRTIO_NET_F_STATUS) | BIT64(VIRTIO_NET_F_CTRL_VQ) |         \
	    BIT64(VIRTIO_NET_F_CTRL_RX) | BIT64(VIRTIO_NET_F_CTRL_RX_EXTRA) |  \
	    BIT64(VIRTIO_NET_F_CTRL_VLAN) |                                    \
	    BIT64(VIRTIO_NET_F_CTRL_MAC_ADDR) |                                \
	    BIT64(VIRTIO_NET_F_SPEED_DUPLEX))

/* What is offered when the backend can. */
static const struct {
	uint32_t offload;
	uint64_t features;
} vnet_offload_features[] = {
	{ NET_OFFLOAD_CSUM, BIT64(VIRTIO_NET_F_CSUM) |
				BIT64(VIRTIO_NET_F_GUEST_CSUM) |
				BIT64(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) },
	{ NET_OFFLOAD_TSO4,
	    BIT64(VIRTIO_NET_F_HOST_TSO4) | BIT64(VIRTIO_NET_F_GUEST_TSO4) },
	{ NET_OFFLOAD_TSO6,
	    BIT64(VIRTIO_NET_F_HOST_TSO6) | BIT64(VIRTIO_NET_F_GUEST_TSO6) },
	{ NET_OFFLOAD_ECN,
	    BIT64(VIRTIO_NET_F_HOST_ECN) | BIT64(VIRTIO_NET_F_GUEST_ECN) },
};

static uint64_t
vnet_offered(const struct vnet *v)
{
	uint32_t offloads = net_offloads(v->nd);
	uint64_t features = VNET_FEATURES;

	for (size_t i = 0; i < ARRAY_LEN(vnet_offload_features); i++) {
		if (offloads & vnet_offload_features[i].offload)
			features |= vnet_offload_features[i].features;
	}
	if (v->mtu != 0)
		features |= BIT64(VIRTIO_NET_F_MTU);
	if (v->max_pairs > 1)
		features |= BIT64(VIRTIO_NET_F_MQ);
	return features;
}

static int
vnet_parse_queues(struct vnet *v, char *err, size_t err_len)
{
	const char *text = pci_dev_opt(v->pd, "queues");
	uint64_t n = 1;

	if (text != NULL && parse_u64(text, 1, VNET_PAIRS_MAX, &n) != 0) {
		snprintf(err, err_len, "%s: queues=%.32s: right is 1 to %u",
		    pci_dev_name(v->pd), text, VNET_PAIRS_MAX);
		return -EINVAL;
	}
	v->max_pairs = (unsigned int)n;
	return 0;
}

static int
vnet_open(struct vnet *v, char *err, size_t err_len)
{
	struct net_opts opts;
	char why[300] = "";
	int error = net_conf_read(v->pd, &opts, err, err_len);

	if (error != 0)
		return error;
	error = net_open(&opts, &vnet_client, v, &v->nd, why, sizeof(why));
	if (error != 0) {
		snprintf(err, err_len, "%s: %s", pci_dev_name(v->pd), why);
		return error;
	}
	v->mtu = opts.mtu;
	v->link = net_link_up(v->nd);
	memcpy(v->host_mac, opts.mac, sizeof(v->host_mac));
	return 0;
}

static int
vnet_init(struct pci_dev *pd, char *err, size_t err_len)
{
	struct vnet *v = pci_dev_state(pd);
	struct virtio_spec spec = { .queue_size = VNET_QUEUE_SIZE };
	int error;

	v->pd = pd;
	error = vnet_parse_queues(v, err, err_len);
	if (error == 0)
		error = vnet_open(v, err, err_len);
	if (error != 0)
		return error;
	spec.features = vnet_offered(v);
	spec.nqueues = 2 * v->max_pairs + 1;
	/* Frames, not the control queue, which the driver waits for. */
	spec.bells = BIT64(2 * v->max_pairs) - 1;
	error = virtio_init(&v->dev, pd, &vnet_virtio_ops, &spec, err, err_len);
	if (error != 0)
		return error;
	vnet_reset(&v->dev);
	error = net_start(v->nd);
	if (error != 0)
		snprintf(err, err_len, "%s: no thread: %s", pci_dev_name(pd),
		    strerror(-error));
	return error;
}

static void
vnet_fini(struct pci_dev *pd)
{
	struct vnet *v = pci_dev_state(pd);

	net_close(v->nd);
	virtio_fini(&v->dev);
}

static const struct pci_opt vnet_opts[] = {
	NET_CONF_OPTS,
	{ "queues", "pairs of queues, 1 to 4" },
	VIRTIO_PCI_OPTS,
	{ NULL, NULL },
};

extern const struct pci_dev_ops virtio_net_ops;

const struct pci_dev_ops virtio_net_ops = {
	.name = "virtio-net",
	.summary = "virtio network card",
	.id = { .vendor = 0x1af4, .device = 0x1000, .class_code = 0x020000 },
	.opts = vnet_opts,
	.parse = net_conf_parse,
	.state_size = sizeof(struct vnet),
	.init = vnet_init,
	.fini = vnet_fini,
	VIRTIO_PCI_OPS,
};
