/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net_conf.h - the settings all network cards share, from the configuration
 * tree to struct net_opts: `-s slot,card,BACKEND[,mac=][,mtu=][,...]`.
 */
#ifndef DEV_NET_CONF_H
#define DEV_NET_CONF_H

#include <backend/net.h>
#include <vmm/pci.h>

/* For a card's pci_opt table. */
#define NET_CONF_OPTS                                                          \
	{ "backend", "slirp (default), tapN or unix" },                        \
	    { "mac", "the card's address, xx:xx:xx:xx:xx:xx" },                \
	    { "mtu", "largest packet, 68 to 65521" },                          \
	    { "path", "unix: socket that both machines name" },                \
	    { "hostfwd", "slirp: tcp:[ADDR]:PORT-[GUEST]:PORT;..." },          \
	    { "open", "slirp: the guest may use the host's loopback" },        \
	{                                                                      \
		"restrict", "slirp: only forwarded connections"                \
	}

/*
 * The grammar after `-s slot,card,`: a first word alone is the backend,
 * unix=PATH is backend and path, hostfwd= may be repeated (pci_dev_ops.parse).
 */
int net_conf_parse(struct conf *, const char *node, char *words, char *err,
    size_t err_len) WARN_UNUSED;

/*
 * What net_open() wants; valid as long as the device.  -EINVAL with one line
 * that names the setting.
 */
int net_conf_read(struct pci_dev *, struct net_opts *ret, char *err,
    size_t err_len) WARN_UNUSED;

/* "58:9c:fc:01:02:03": unicast and not zero. */
int net_conf_parse_mac(const char *text, uint8_t ret_mac[6]) WARN_UNUSED;
/* bhyve's rule (docs/bhyve.md 1.3). */
void net_conf_default_mac(unsigned int slot, unsigned int func,
    const char *vm_name, uint8_t ret_mac[6]);

#endif /* DEV_NET_CONF_H */
