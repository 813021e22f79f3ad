/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI fixed hardware, ACPI 5.0 section 4.8.3: the PM1a event and control
 * registers at port 0x400, the SMI command port 0xB2 that turns ACPI on and
 * off, and the SCI (gsi 9, level).
 *
 * Registers answer to any width: each byte of an access is the byte of the
 * register behind that port.  Missing: general-purpose events, the sleep
 * button, wake-up sources, and every sleeping state but S5; a guest that asks
 * for another is woken at once.  Register accesses come from vCPU threads, the
 * power button from any.
 */
#include <chip/chips.h>

#include <errno.h>
#include <stdlib.h>

#include <util/lock.h>
#include <util/log.h>
#include <vmm/bus.h>
#include <vmm/chip.h>
#include <vmm/snap.h>
#include <vmmapi.h>

#define PM1_PORT 0x400
#define PM1_LEN	 6
#define PM1_STS	 0 /* byte offsets of the three 16-bit registers */
#define PM1_EN	 2
#define PM1_CNT	 4

/* Table 4-16, 4-17. */
#define PM1_BM_STS     0x0010
#define PM1_GBL_STS    0x0020
#define PM1_PWRBTN_STS 0x0100
#define PM1_SLPBTN_STS 0x0200
#define PM1_RTC_STS    0x0400
#define PM1_WAK_STS    0x8000
#define PM1_STS_CLEARED_BY_1                                                   \
	(PM1_BM_STS | PM1_GBL_STS | PM1_PWRBTN_STS | PM1_SLPBTN_STS |          \
	    PM1_RTC_STS | PM1_WAK_STS)

#define PM1_GBL_EN    0x0020
#define PM1_PWRBTN_EN 0x0100
#define PM1_SLPBTN_EN 0x0200
#define PM1_RTC_EN    0x0400
/*
 * bhyve keeps only GBL and PWRBTN; the FADT promises a fixed RTC event, and
 * ACPICA logs an error when its enable bit does not read back.
 */
#define PM1_EN_WRITABLE                                                        \
	(PM1_GBL_EN | PM1_PWRBTN_EN | PM1_SLPBTN_EN | PM1_RTC_EN)

/* Table 4-18. */
#define PM1_SCI_EN	  0x0001
#define PM1_GBL_RLS	  0x0004 /* write-only */
#define PM1_SLP_TYP_SHIFT 10
#define PM1_SLP_TYP_MASK  0x1c00
#define PM1_SLP_EN	  0x2000 /* write-only */
#define PM1_CNT_ZERO	  0xc003
#define PM1_CNT_KEPT	  ((uint16_t) ~(PM1_CNT_ZERO | PM1_SLP_EN | PM1_GBL_RLS))
#define SLP_TYP_S5	  5 /* as the DSDT's _S5 says */

#define SMI_CMD_PORT	  0xb2
#define ACPI_ENABLE	  0xa0 /* as the FADT says */
#define ACPI_DISABLE	  0xa1

struct acpi_pm_regs {
	uint16_t sts, en, cnt;
	uint16_t smi_cmd; /* last byte written */
};
static_assert(sizeof(struct acpi_pm_regs) == 8, "snapshot format");

struct acpi_pm {
	struct vmctx *ctx;
	struct lock lock;
	struct irq_line sci;
	struct acpi_pm_regs regs;
};

static void
acpi_pm_update_sci(struct acpi_pm *pm)
{
	const struct acpi_pm_regs *r = &pm->regs;

	irq_line_set(
	    &pm->sci, (r->cnt & PM1_SCI_EN) != 0 && (r->sts & r->en) != 0);
}

static uint16_t
acpi_pm_read(const struct acpi_pm *pm, unsigned int reg)
{
	switch (reg) {
	case PM1_STS:
		return pm->regs.sts;
	case PM1_EN:
		return pm->regs.en;
	case PM1_CNT:
		return pm->regs.cnt;
	default:
		return 0;
	}
}

static void
acpi_pm_sleep(struct acpi_pm *pm, unsigned int type)
{
	if (type == SLP_TYP_S5) {
		vm_suspend(pm->ctx, VM_SUSPEND_POWEROFF);
		return;
	}
	guest_error("acpi_pm", "no sleep type %u", type);
	pm->regs.sts |= PM1_WAK_STS;
}

/* `mask`: the bytes of the register that are written. */
static void
acpi_pm_write(struct acpi_pm *pm, unsigned int reg, uint16_t val, uint16_t mask)
{
	struct acpi_pm_regs *r = &pm->regs;

	switch (reg) {
	case PM1_STS:
		r->sts &= ~(val & mask & PM1_STS_CLEARED_BY_1);
		break;
	case PM1_EN:
		r->en = ((r->en & ~mask) | (val & mask)) & PM1_EN_WRITABLE;
		break;
	case PM1_CNT:
		/* SCI_EN is the SMI command's alone. */
		r->cnt = (r->cnt & PM1_SCI_EN) |
			 (((r->cnt & ~mask) | (val & mask)) & PM1_CNT_KEPT);
		if ((val & mask & PM1_SLP_EN) != 0)
			acpi_pm_sleep(
			    pm, (val & PM1_SLP_TYP_MASK) >> PM1_SLP_TYP_SHIFT);
		break;
	default:
		break;
	}
	acpi_pm_update_sci(pm);
}

/* At most four bytes: at most three registers, each once. */
static int
acpi_pm_pio(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct acpi_pm *pm = arg;
	unsigned int first = port - PM1_PORT, end = first + bytes;

	if (in)
		*val = 0;
	for (unsigned int reg = first & ~1u; reg < end; reg += 2) {
		int shift = 8 * ((int)reg - (int)first); /* -8 .. 24 */
		uint64_t mask = (1ull << 8 * bytes) - 1;

		if (in) {
			uint64_t v = acpi_pm_read(pm, reg);

			*val |= (uint32_t)(shift < 0 ? v >> 8 : v << shift);
			continue;
		}
		acpi_pm_write(pm, reg,
		    (uint16_t)(shift < 0 ? *val << 8 : *val >> shift),
		    (uint16_t)(shift < 0 ? mask << 8 : mask >> shift));
	}
	return 0;
}

static int
acpi_pm_smi_cmd(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct acpi_pm *pm = arg;

	if (bytes != 1)
		return -1;
	if (in) {
		*val = pm->regs.smi_cmd;
		return 0;
	}
	pm->regs.smi_cmd = *val & 0xff;
	if (pm->regs.smi_cmd == ACPI_ENABLE)
		pm->regs.cnt |= PM1_SCI_EN;
	else if (pm->regs.smi_cmd == ACPI_DISABLE)
		pm->regs.cnt &= ~PM1_SCI_EN;
	acpi_pm_update_sci(pm);
	return 0;
}

static bool
is_watched(const struct acpi_pm *pm)
{
	return (pm->regs.cnt & PM1_SCI_EN) != 0 &&
	       (pm->regs.en & PM1_PWRBTN_EN) != 0;
}

bool
acpi_pm_button_is_watched(struct acpi_pm *pm)
{
	bool watched;

	lock_acquire(&pm->lock);
	watched = is_watched(pm);
	lock_release(&pm->lock);
	return watched;
}

bool
acpi_pm_power_button(struct acpi_pm *pm)
{
	bool watched;

	lock_acquire(&pm->lock);
	pm->regs.sts |= PM1_PWRBTN_STS;
	watched = is_watched(pm);
	acpi_pm_update_sci(pm);
	lock_release(&pm->lock);
	return watched;
}

static void
acpi_pm_reset(void *arg)
{
	struct acpi_pm *pm = arg;

	pm->regs = (struct acpi_pm_regs){ 0 };
	acpi_pm_update_sci(pm);
}

static void
acpi_pm_snapshot(void *arg, struct snap *s)
{
	struct acpi_pm *pm = arg;
	struct acpi_pm_regs r = pm->regs;

	if (snap_bytes(s, "acpi_pm", &r, sizeof(r)) != 0 || !snap_loading(s))
		return;
	if ((r.sts & ~PM1_STS_CLEARED_BY_1) != 0 ||
	    (r.en & ~PM1_EN_WRITABLE) != 0 ||
	    (r.cnt & ~(PM1_CNT_KEPT | PM1_SCI_EN)) != 0 || r.smi_cmd > 0xff) {
		snap_fail(s);
		return;
	}
	pm->regs = r;
	acpi_pm_update_sci(pm);
}

static void
acpi_pm_free(struct acpi_pm *pm)
{
	irq_line_set(&pm->sci, false);
	lock_fini(&pm->lock);
	free(pm);
}

static void
acpi_pm_fini(void *arg)
{
	struct acpi_pm *pm = arg;

	bus_pio_unregister(pm->ctx, SMI_CMD_PORT, 1);
	bus_pio_unregister(pm->ctx, PM1_PORT, PM1_LEN);
	acpi_pm_free(pm);
}

static const struct chip_ops acpi_pm_ops = {
	.name = "acpi_pm",
	.reset = acpi_pm_reset,
	.snapshot = acpi_pm_snapshot,
	.fini = acpi_pm_fini,
};

static int
acpi_pm_register(struct acpi_pm *pm)
{
	struct pio_range range = {
		.name = "acpi_pm",
		.port = PM1_PORT,
		.len = PM1_LEN,
		.fn = acpi_pm_pio,
		.arg = pm,
		.lock = &pm->lock,
	};
	int error = bus_pio_register(pm->ctx, &range);

	if (error != 0)
		return error;
	range.name = "smi_cmd";
	range.port = SMI_CMD_PORT;
	range.len = 1;
	range.fn = acpi_pm_smi_cmd;
	error = bus_pio_register(pm->ctx, &range);
	if (error != 0)
		bus_pio_unregister(pm->ctx, PM1_PORT, PM1_LEN);
	return error;
}

int
acpi_pm_create(struct vmctx *ctx, struct acpi_pm **ret_pm)
{
	struct acpi_pm *pm = xcalloc(1, sizeof(*pm));
	int error;

	pm->ctx = ctx;
	lock_init(&pm->lock);
	irq_line_init(&pm->sci, ctx, ACPI_SCI_IRQ);
	error = acpi_pm_register(pm);
	if (error != 0) {
		acpi_pm_free(pm);
		return error;
	}
	chip_add(ctx, &acpi_pm_ops, pm, &pm->lock);
	if (ret_pm != NULL)
		*ret_pm = pm;
	return 0;
}
