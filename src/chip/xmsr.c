/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xmsr.c - model-specific registers that exist and do nothing: what kernels
 * touch because the processor's vendor and model have it (bhyve's xmsr.c,
 * docs/bhyve.md 1.11; names as in Intel SDM 4 and AMD's PPR 17h).
 *
 * One table a vendor, chosen by whose processor the guest's CPUID names, and
 * one for both.  An engine asks the bus only for what its own processor does
 * not have, so a row here may be a register that some engine models.  Reads
 * give a constant, writes are dropped: nothing here has state, hence no reset
 * and no snapshot.  vCPU threads.
 */
#include <chip/chips.h>

#include <util/util.h>
#include <vmm/bus.h>
#include <vmm/vcpu.h>

enum xmsr_access { RW, RO, WO };

struct xmsr {
	const char *name;
	uint32_t first, last;
	enum xmsr_access access;
	uint64_t value;
};

static const struct xmsr xmsr_common[] = {
	{ "P5_MC_ADDR, P5_MC_TYPE", 0x0, 0x1, RW, 0 },
	{ "PLATFORM_ID", 0x17, 0x17, RO, 0 },
	/* The microcode's revision; AMD's PATCH_LEVEL. */
	{ "BIOS_SIGN_ID", 0x8b, 0x8b, RW, 0 },
	{ "PLATFORM_INFO", 0xce, 0xce, RO, 0 },
};

static const struct xmsr xmsr_intel[] = {
	{ "BIOS_UPDT_TRIG", 0x79, 0x79, WO, 0 },
	/* Units: 1/8 W, 61 uJ (2^-14 J), 977 us. */
	{ "RAPL_POWER_UNIT", 0x606, 0x606, RO, 0xa1003 },
	{ "PKG_ENERGY_STATUS", 0x611, 0x611, RO, 0 },
	{ "DRAM_ENERGY_STATUS", 0x619, 0x619, RO, 0 },
	{ "PP0_ENERGY_STATUS", 0x639, 0x639, RO, 0 },
	{ "PP1_ENERGY_STATUS", 0x641, 0x641, RO, 0 },
	/* Counters of the uncore, which some kernels switch off. */
	{ "UNC_PERF_GLOBAL_CTRL", 0xc24, 0xc24, WO, 0 },
	{ "UNC_CBO_CTRL", 0xd04, 0xd04, WO, 0 },
};

static const struct xmsr xmsr_amd[] = {
	{ "PERF_CTL, PERF_CTR", 0xc0010000, 0xc0010007, RW, 0 },
	{ "SYSCFG", 0xc0010010, 0xc0010010, RW, 0 },
	{ "HWCR", 0xc0010015, 0xc0010015, RW, 0 },
	{ "TOP_MEM2", 0xc001001d, 0xc001001d, RW, 0 },
	{ "NB_CFG1", 0xc001001f, 0xc001001f, RW, 0 },
	{ "PATCH_LOADER", 0xc0010020, 0xc0010020, WO, 0 },
	{ "MMIO_CONF_BASE", 0xc0010058, 0xc0010058, RW, 0 },
	{ "P-states", 0xc0010061, 0xc001006b, RW, 0 },
	{ "OSVW", 0xc0010140, 0xc0010141, RW, 0 },
	{ "LS_CFG", 0xc0011020, 0xc0011020, RW, 0 },
	{ "IC_CFG, DC_CFG, BU_CFG", 0xc0011021, 0xc0011023, RW, 0 },
	{ "DE_CFG", 0xc0011029, 0xc0011029, RW, 1 },
	{ "BU_CFG2", 0xc001102a, 0xc001102f, RW, 0 },
};

static int
xmsr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *val, void *arg)
{
	const struct xmsr *x = arg;

	*val = x->value;
	return 0;
}

static int
xmsr_write(struct vcpu *vcpu, uint32_t msr, uint64_t val, void *arg)
{
	return 0;
}

static int
xmsr_register(struct vmctx *ctx, const struct xmsr *x, size_t n)
{
	int error = 0;

	for (size_t i = 0; i < n && error == 0; i++) {
		const struct msr_range range = {
			.name = x[i].name,
			.first = x[i].first,
			.last = x[i].last,
			.read = x[i].access != WO ? xmsr_read : NULL,
			.write = x[i].access != RO ? xmsr_write : NULL,
			.arg = (void *)(uintptr_t)&x[i],
		};

		error = bus_msr_register(ctx, &range);
	}
	return error;
}

int
xmsr_create(struct vmctx *ctx)
{
	int error = xmsr_register(ctx, xmsr_common, ARRAY_LEN(xmsr_common));

	if (error != 0)
		return error;
	switch (vm_cpu_vendor(ctx)) {
	case VM_CPU_INTEL:
		return xmsr_register(ctx, xmsr_intel, ARRAY_LEN(xmsr_intel));
	case VM_CPU_AMD:
		return xmsr_register(ctx, xmsr_amd, ARRAY_LEN(xmsr_amd));
	case VM_CPU_OTHER:
		break;
	}
	return 0;
}
