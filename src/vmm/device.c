/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * device.c - ports and memory of a program that uses libvmmapi; its handlers
 * have the buses' own shape (vmm/bus.h).
 */
#include "vm_priv.h"

#include <errno.h>

int
vm_register_port(struct vmctx *ctx, const char *name, uint16_t port,
    uint32_t nports, vm_port_fn fn, void *arg)
{
	const struct pio_range range = {
		.name = name,
		.port = port,
		.len = nports,
		.fn = fn,
		.arg = arg,
	};

	return vm_api_result(bus_pio_register(ctx, &range));
}

int
vm_unregister_port(struct vmctx *ctx, uint16_t port, uint32_t nports)
{
	return vm_api_result(bus_pio_unregister(ctx, port, nports));
}

int
vm_register_mmio(struct vmctx *ctx, const char *name, vm_paddr_t base,
    uint64_t len, vm_mmio_fn fn, void *arg)
{
	const struct mmio_range range = {
		.name = name,
		.base = base,
		.len = len,
		.fn = fn,
		.arg = arg,
	};

	return vm_api_result(bus_mmio_register(ctx, &range));
}

int
vm_unregister_mmio(struct vmctx *ctx, vm_paddr_t base, uint64_t len)
{
	return vm_api_result(bus_mmio_unregister(ctx, base, len));
}
