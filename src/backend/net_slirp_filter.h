/* SPDX-License-Identifier: BSD-2-Clause */
/* net_slirp_filter.h - the addresses behind slirp, and which a guest may use.
 */
#ifndef NET_SLIRP_FILTER_H
#define NET_SLIRP_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLIRP_NET   0x0a000200u /* 10.0.2.0 */
#define SLIRP_MASK  0xffffff00u
#define SLIRP_HOST  (SLIRP_NET | 2)
#define SLIRP_DNS   (SLIRP_NET | 3)
#define SLIRP_DHCP  (SLIRP_NET | 15)

#define SLIRP_NET6  "fec0::"
#define SLIRP_HOST6 "fec0::2"
#define SLIRP_DNS6  "fec0::3"

/*
 * A frame from the guest does not lead to the host's own loopback addresses, by
 * ways on which libslirp would not stop it.
 */
bool net_slirp_allows(const uint8_t *frame, size_t len);

#endif /* NET_SLIRP_FILTER_H */
