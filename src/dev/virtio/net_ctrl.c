/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net, the control queue and what it sets: the receive filter, VLANs,
 * the address, the number of pairs, offloads.  OASIS virtio 1.2 section
 * 5.1.6.5.
 *
 * Runs in the vCPU thread that kicks; commands are obeyed at once.
 */
#include "net_priv.h"

#include <util/log.h>

#define VIRTIO_NET_OK  0
#define VIRTIO_NET_ERR 1

/* Commands obeyed in one kick; there are few. */
#define CTRL_BURST    VNET_QUEUE_SIZE
#define CTRL_IOV_MAX  64

#define ETH_MULTICAST 0x01
#define ETH_TYPE_VLAN 0x8100
#define VLAN_ID_MASK  0x0fff

/* What a command has to say, behind its class and number. */
struct ctrl_cmd {
	struct vnet *v;
	const struct vq_chain *c;
	uint64_t off, len;
};

static bool
ctrl_take(struct ctrl_cmd *cmd, void *dst, size_t len)
{
	if (cmd->len < len || vq_chain_read(cmd->c, cmd->off, dst, len) != len)
		return false;
	cmd->off += len;
	cmd->len -= len;
	return true;
}

/* --- 5.1.6.5.1 and .2: who may be heard ----------------------------------- */

static bool
ctrl_flag(struct ctrl_cmd *cmd, uint8_t *flag)
{
	uint8_t on;

	if (!ctrl_take(cmd, &on, sizeof(on)))
		return false;
	*flag = on != 0;
	return true;
}

static bool
ctrl_promisc(struct ctrl_cmd *cmd)
{
	return ctrl_flag(cmd, &cmd->v->r.promisc);
}

static bool
ctrl_allmulti(struct ctrl_cmd *cmd)
{
	return ctrl_flag(cmd, &cmd->v->r.allmulti);
}

static bool
ctrl_alluni(struct ctrl_cmd *cmd)
{
	return ctrl_flag(cmd, &cmd->v->r.alluni);
}

static bool
ctrl_nomulti(struct ctrl_cmd *cmd)
{
	return ctrl_flag(cmd, &cmd->v->r.nomulti);
}

static bool
ctrl_nouni(struct ctrl_cmd *cmd)
{
	return ctrl_flag(cmd, &cmd->v->r.nouni);
}

static bool
ctrl_nobcast(struct ctrl_cmd *cmd)
{
	return ctrl_flag(cmd, &cmd->v->r.nobcast);
}

/* More addresses than we keep: all of the kind pass. */
static bool
ctrl_table(struct ctrl_cmd *cmd, struct vnet_table *t)
{
	uint32_t entries;
	size_t keep;

	*t = (struct vnet_table){ 0 };
	if (!ctrl_take(cmd, &entries, sizeof(entries)) ||
	    entries > cmd->len / sizeof(t->addr[0]))
		return false;
	keep = MIN(entries, VNET_TABLE_MAX);
	if (!ctrl_take(cmd, t->addr, keep * sizeof(t->addr[0])))
		return false;
	cmd->off += (entries - keep) * sizeof(t->addr[0]);
	cmd->len -= (entries - keep) * sizeof(t->addr[0]);
	t->n = (uint8_t)keep;
	t->overflow = entries > keep;
	return true;
}

static bool
ctrl_mac_table(struct ctrl_cmd *cmd)
{
	struct vnet_table uni, multi;

	if (!ctrl_table(cmd, &uni) || !ctrl_table(cmd, &multi))
		return false;
	cmd->v->r.uni = uni;
	cmd->v->r.multi = multi;
	return true;
}

static bool
ctrl_mac_addr(struct ctrl_cmd *cmd)
{
	uint8_t mac[6];

	if (!ctrl_take(cmd, mac, sizeof(mac)) || (mac[0] & ETH_MULTICAST))
		return false;
	memcpy(cmd->v->r.mac, mac, sizeof(mac));
	return true;
}

static bool
ctrl_vlan(struct ctrl_cmd *cmd, bool on)
{
	uint8_t *vlan = cmd->v->r.vlan;
	uint16_t id;

	if (!ctrl_take(cmd, &id, sizeof(id)) || id >= VNET_VLANS)
		return false;
	if (on)
		vlan[id / 8] |= (uint8_t)BIT(id % 8);
	else
		vlan[id / 8] &= (uint8_t)~BIT(id % 8);
	return true;
}

static bool
ctrl_vlan_add(struct ctrl_cmd *cmd)
{
	return ctrl_vlan(cmd, true);
}

static bool
ctrl_vlan_del(struct ctrl_cmd *cmd)
{
	return ctrl_vlan(cmd, false);
}

static bool
vnet_table_has(const struct vnet_table *t, const uint8_t *addr)
{
	for (unsigned int i = 0; i < t->n; i++) {
		if (memcmp(t->addr[i], addr, sizeof(t->addr[i])) == 0)
			return true;
	}
	return t->overflow;
}

static bool
vnet_accepts_vlan(const struct vnet *v, const uint8_t *frame, size_t len)
{
	unsigned int id;

	if (!virtio_has(&v->dev, VIRTIO_NET_F_CTRL_VLAN) || len < 16 ||
	    (frame[12] << 8 | frame[13]) != ETH_TYPE_VLAN)
		return true;
	id = (unsigned int)(frame[14] << 8 | frame[15]) & VLAN_ID_MASK;
	return (v->r.vlan[id / 8] & BIT(id % 8)) != 0;
}

bool
vnet_accepts(const struct vnet *v, const uint8_t *frame, size_t len)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff };
	const struct vnet_regs *r = &v->r;

	if (r->promisc)
		return true;
	if (!vnet_accepts_vlan(v, frame, len))
		return false;
	if (memcmp(frame, broadcast, sizeof(broadcast)) == 0)
		return !r->nobcast;
	if (frame[0] & ETH_MULTICAST)
		return !r->nomulti &&
		       (r->allmulti || vnet_table_has(&r->multi, frame));
	return !r->nouni &&
	       (r->alluni || memcmp(frame, r->mac, sizeof(r->mac)) == 0 ||
		   vnet_table_has(&r->uni, frame));
}

/* --- 5.1.6.5.5: pairs of queues ------------------------------------------- */

static bool
ctrl_pairs(struct ctrl_cmd *cmd)
{
	uint16_t pairs;

	if (!ctrl_take(cmd, &pairs, sizeof(pairs)) || pairs == 0 ||
	    pairs > cmd->v->max_pairs)
		return false;
	cmd->v->r.pairs = pairs;
	return true;
}

/* --- 5.1.6.5.8: offloads -------------------------------------------------- */

static const struct {
	unsigned int feature;
	uint32_t offload;
} guest_bits[] = {
	{ VIRTIO_NET_F_GUEST_CSUM, NET_OFFLOAD_CSUM },
	{ VIRTIO_NET_F_GUEST_TSO4, NET_OFFLOAD_TSO4 },
	{ VIRTIO_NET_F_GUEST_TSO6, NET_OFFLOAD_TSO6 },
	{ VIRTIO_NET_F_GUEST_ECN, NET_OFFLOAD_ECN },
};

uint64_t
vnet_guest_offloads(const struct vnet *v)
{
	uint64_t all = 0;

	for (size_t i = 0; i < ARRAY_LEN(guest_bits); i++)
		all |= BIT64(guest_bits[i].feature);
	return virtio_features(&v->dev) & all;
}

void
vnet_set_guest_offloads(struct vnet *v, uint64_t offloads)
{
	uint32_t rx = 0;

	v->r.guest_offloads = offloads;
	for (size_t i = 0; i < ARRAY_LEN(guest_bits); i++) {
		if (offloads & BIT64(guest_bits[i].feature))
			rx |= guest_bits[i].offload;
	}
	if (v->nd != NULL)
		net_set_rx_offloads(v->nd, rx);
}

static bool
ctrl_offloads(struct ctrl_cmd *cmd)
{
	uint64_t offloads;

	if (!ctrl_take(cmd, &offloads, sizeof(offloads)) ||
	    (offloads & ~vnet_guest_offloads(cmd->v)) != 0)
		return false;
	vnet_set_guest_offloads(cmd->v, offloads);
	return true;
}

/* --- commands ------------------------------------------------------------- */

static const struct {
	uint8_t class, command;
	uint8_t feature; /* that must have been negotiated */
	bool (*obey)(struct ctrl_cmd *);
} ctrl_table_of_commands[] = {
	{ 0, 0, VIRTIO_NET_F_CTRL_RX, ctrl_promisc },
	{ 0, 1, VIRTIO_NET_F_CTRL_RX, ctrl_allmulti },
	{ 0, 2, VIRTIO_NET_F_CTRL_RX_EXTRA, ctrl_alluni },
	{ 0, 3, VIRTIO_NET_F_CTRL_RX_EXTRA, ctrl_nomulti },
	{ 0, 4, VIRTIO_NET_F_CTRL_RX_EXTRA, ctrl_nouni },
	{ 0, 5, VIRTIO_NET_F_CTRL_RX_EXTRA, ctrl_nobcast },
	{ 1, 0, VIRTIO_NET_F_CTRL_RX, ctrl_mac_table },
	{ 1, 1, VIRTIO_NET_F_CTRL_MAC_ADDR, ctrl_mac_addr },
	{ 2, 0, VIRTIO_NET_F_CTRL_VLAN, ctrl_vlan_add },
	{ 2, 1, VIRTIO_NET_F_CTRL_VLAN, ctrl_vlan_del },
	{ 4, 0, VIRTIO_NET_F_MQ, ctrl_pairs },
	{ 5, 0, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, ctrl_offloads },
};

static bool
ctrl_obey(struct vnet *v, const struct vq_chain *c)
{
	struct ctrl_cmd cmd = { .v = v, .c = c, .len = c->len_out };
	uint8_t head[2];

	if (!ctrl_take(&cmd, head, sizeof(head)))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(ctrl_table_of_commands); i++) {
		if (ctrl_table_of_commands[i].class == head[0] &&
		    ctrl_table_of_commands[i].command == head[1] &&
		    virtio_has(&v->dev, ctrl_table_of_commands[i].feature))
			return ctrl_table_of_commands[i].obey(&cmd);
	}
	return false;
}

void
vnet_ctrl_notify(struct vnet *v, struct vq *vq)
{
	struct iovec iov[CTRL_IOV_MAX];
	struct vq_chain c;

	if (v->paused)
		return;
	for (unsigned int i = 0; i < CTRL_BURST; i++) {
		uint8_t ack;

		if (vq_pop(vq, iov, ARRAY_LEN(iov), &c) != 1)
			break;
		ack = ctrl_obey(v, &c) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
		if (ack != VIRTIO_NET_OK)
			guest_error(pci_dev_name(v->pd),
			    "a control command that is unknown or wrong");
		vq_push(
		    vq, &c, (uint32_t)vq_chain_write(&c, 0, &ack, sizeof(ack)));
	}
	vq_notify(vq);
}

/*
 * Drivers that cannot say what they want to hear get everything; the others say
 * so first of all.
 */
void
vnet_ctrl_reset(struct vnet *v)
{
	struct vnet_regs *r = &v->r;

	r->promisc = true;
	r->allmulti = r->alluni = r->nomulti = r->nouni = r->nobcast = false;
	r->uni = r->multi = (struct vnet_table){ 0 };
	memset(r->vlan, 0, sizeof(r->vlan));
	r->pairs = 1;
	vnet_set_guest_offloads(v, 0);
}
