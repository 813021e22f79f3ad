/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net_priv.h - what the parts of virtio-net share: the card (net.c), its
 * receiving side (net_rx.c) and its control queue (net_ctrl.c).  Section
 * numbers are of OASIS virtio 1.2.
 */
#ifndef VIRTIO_NET_PRIV_H
#define VIRTIO_NET_PRIV_H

#include <assert.h>

#include <backend/net.h>
#include <vmm/virtio.h>

/* Section 5.1.3. */
#define VIRTIO_NET_F_CSUM		 0
#define VIRTIO_NET_F_GUEST_CSUM		 1
#define VIRTIO_NET_F_CTRL_GUEST_OFFLOADS 2
#define VIRTIO_NET_F_MTU		 3
#define VIRTIO_NET_F_MAC		 5
#define VIRTIO_NET_F_GUEST_TSO4		 7
#define VIRTIO_NET_F_GUEST_TSO6		 8
#define VIRTIO_NET_F_GUEST_ECN		 9
#define VIRTIO_NET_F_HOST_TSO4		 11
#define VIRTIO_NET_F_HOST_TSO6		 12
#define VIRTIO_NET_F_HOST_ECN		 13
#define VIRTIO_NET_F_MRG_RXBUF		 15
#define VIRTIO_NET_F_STATUS		 16
#define VIRTIO_NET_F_CTRL_VQ		 17
#define VIRTIO_NET_F_CTRL_RX		 18
#define VIRTIO_NET_F_CTRL_VLAN		 19
#define VIRTIO_NET_F_CTRL_RX_EXTRA	 20
#define VIRTIO_NET_F_MQ			 22
#define VIRTIO_NET_F_CTRL_MAC_ADDR	 23
#define VIRTIO_NET_F_SPEED_DUPLEX	 63

/* Section 5.1.4; little-endian as the host. */
struct virtio_net_config {
	uint8_t mac[6];
	uint16_t status;
	uint16_t max_virtqueue_pairs;
	uint16_t mtu;
	uint32_t speed; /* Mbit/s */
	uint8_t duplex;
} __attribute__((packed));
static_assert(sizeof(struct virtio_net_config) == 17, "5.1.4");
#define VIRTIO_NET_S_LINK_UP 1

/* Section 5.1.6: struct net_hdr, and with MRG_RXBUF or 1.0 a count. */
struct virtio_net_hdr {
	struct net_hdr h;
	uint16_t num_buffers;
};
static_assert(sizeof(struct virtio_net_hdr) == 12, "5.1.6");
#define VNET_HDR_LEGACY 10u

#define VNET_PAIRS_MAX	4u
#define VNET_QUEUE_SIZE 1024
#define VNET_FRAME_MIN	60u /* without the checksum */
#define VNET_TABLE_MAX	64u /* addresses of a kind */
#define VNET_VLANS	4096u
#define VNET_RX_CHAINS	64u /* buffers a frame is spread over */
#define VNET_FLOWS	256u
#define VNET_RXQ(pair)	(2 * (pair))
#define VNET_TXQ(pair)	(2 * (pair) + 1)
#define VNET_IS_RXQ(q)	((q) % 2 == 0)

/* Section 5.1.6.5.1; a snapshot holds it. */
struct vnet_table {
	uint8_t n;
	uint8_t overflow; /* the driver had more: all pass */
	uint8_t addr[VNET_TABLE_MAX][6];
};
struct vnet_regs {
	uint8_t mac[6];
	uint8_t promisc, allmulti, alluni, nomulti, nouni, nobcast;
	struct vnet_table uni, multi;
	uint8_t vlan[VNET_VLANS / 8];
	uint16_t pairs;		 /* in use */
	uint64_t guest_offloads; /* VIRTIO_NET_F_GUEST_x in force */
};

struct vnet {
	struct virtio_dev dev; /* first */
	struct pci_dev *pd;
	struct netdev *nd;
	unsigned int max_pairs;
	uint16_t mtu;	     /* 0: not told */
	uint8_t host_mac[6]; /* as configured */
	bool link;
	bool paused;

	struct vnet_regs r;
	uint32_t tx_offloads; /* NET_OFFLOAD_x the driver negotiated */

	struct {
		bool tx_waits;	/* for the backend */
		bool rx_waits;	/* for buffers; kicks are on */
		bool rx_pushed; /* to be told to the driver */
	} pair[VNET_PAIRS_MAX];
	uint8_t flow_pair[VNET_FLOWS]; /* where a flow was sent last */
	uint64_t rx_filtered, rx_dropped, tx_bad;

	struct iovec iov[2 * VIRTIO_QUEUE_MAX];
	struct vq_chain chain[VNET_RX_CHAINS];
};

static inline struct vnet *
vnet_of(struct virtio_dev *dev)
{
	return (struct vnet *)dev;
}

/* 5.1.6.1: without either feature the header ends before num_buffers. */
static inline size_t
vnet_hdr_len(const struct vnet *v)
{
	return virtio_has(&v->dev, VIRTIO_NET_F_MRG_RXBUF) ||
		       virtio_has(&v->dev, VIRTIO_F_VERSION_1)
		   ? sizeof(struct virtio_net_hdr)
		   : VNET_HDR_LEGACY;
}

/* Which of many flows a frame belongs to; the same in both directions. */
unsigned int vnet_flow(const uint8_t *frame, size_t len);

/* net_rx.c: net_client.rx and rx_end, which take the device's lock. */
bool
vnet_rx(void *arg, const struct net_hdr *, const uint8_t *frame, size_t len);
void vnet_rx_end(void *arg);
/* The driver gave buffers, or the device starts or stops. */
void vnet_rx_kick(struct vnet *, unsigned int pair);

/* net_ctrl.c */
void vnet_ctrl_reset(struct vnet *);
void vnet_ctrl_notify(struct vnet *, struct vq *);
/* Section 5.1.6.5.1: may the guest see the frame? */
bool vnet_accepts(const struct vnet *, const uint8_t *frame, size_t len);
/* After guest_offloads changed. */
void vnet_set_guest_offloads(struct vnet *, uint64_t offloads);
/* The VIRTIO_NET_F_GUEST_x that were negotiated. */
uint64_t vnet_guest_offloads(const struct vnet *);

#endif /* VIRTIO_NET_PRIV_H */
