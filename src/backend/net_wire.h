/* SPDX-License-Identifier: BSD-2-Clause */
/* net_wire.h - what frames are made of: big-endian fields, Ethernet types. */
#ifndef NET_WIRE_H
#define NET_WIRE_H

#include <stdint.h>

#define ETH_TYPE_OFF  12
#define ETH_TYPE_IPV4 0x0800
#define ETH_TYPE_IPV6 0x86dd
#define ETH_TYPE_VLAN 0x8100

#define TCP_FLAGS_OFF 13
#define TCP_SUM_OFF   16

static inline uint16_t
get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void
put_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline uint32_t
get_be32(const uint8_t *p)
{
	return (uint32_t)get_be16(p) << 16 | get_be16(p + 2);
}

static inline void
put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, (uint16_t)(v >> 16));
	put_be16(p + 2, (uint16_t)v);
}

#endif /* NET_WIRE_H */
