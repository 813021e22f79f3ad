/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ahci, ahci-hd, ahci-cd: a SATA controller (Intel ICH8's identity) with up to
 * 32 ports, by Serial ATA AHCI 1.3.1; docs/bhyve.md 1.16 gives the values a
 * guest reads after reset.  ahci-hd and ahci-cd are the same with a device at
 * port 0 of that type.
 *
 * Not there on purpose: command completion coalescing, enclosure management,
 * port multipliers, legacy mode (GHC.AE is always 1), handoff to an operating
 * system, hot plugging.
 *
 * Registers are accessed in vCPU threads, requests end in threads of the block
 * backend; both hold the device's lock.
 */
#include "ahci_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include <vmm/snap.h>

#define AHCI_BAR    5u
#define AHCI_NP_MIN 6u /* as bhyve, with fewer ports too */
#define AHCI_CLASS  0x010601

/* docs/bhyve.md 1.16: 0xFF30FF25 with six ports. */
#define AHCI_CAP_VALUE                                                         \
	(CAP_S64A | CAP_SNCQ | CAP_SSNTF | CAP_SMPS | CAP_SSS | CAP_SALP |     \
	    CAP_SAL | CAP_SCLO | CAP_ISS_GEN3 | CAP_PMD | CAP_SSC | CAP_PSC |  \
	    (AHCI_NSLOTS - 1) << CAP_NCS_SHIFT | CAP_SXS)

/* --- interrupts, AHCI 10.6.2 ---------------------------------------------- */

void
ahci_irq(struct ahci *hba, bool again)
{
	uint32_t pending = 0, fresh;
	bool level;

	for (uint32_t left = hba->pi; left != 0; left &= left - 1) {
		unsigned int i = (unsigned int)__builtin_ctz(left);
		const struct ahci_port *p = &hba->port[i];

		if ((ahci_port_is(p) & p->regs.ie) != 0)
			pending |= BIT(i);
	}
	fresh = pending & ~hba->is;
	hba->is |= pending;
	level = (hba->ghc & GHC_IE) != 0 && hba->is != 0;
	if (level && (fresh != 0 || again) && pci_msi_enabled(hba->pd) > 0)
		pci_msi_raise(hba->pd, 0);
	pci_intx_set(hba->pd, level);
}

/* --- generic host control ------------------------------------------------- */

/* GHC.HR: all but the addresses of ports' structures (AHCI 10.4.3). */
static void
ahci_hba_reset(struct ahci *hba, bool hard)
{
	hba->ghc = GHC_AE;
	hba->is = 0;
	for (unsigned int i = 0; i < AHCI_NPORTS; i++)
		ahci_port_reset(&hba->port[i], hard);
}

static void
ahci_write_ghc(struct ahci *hba, uint32_t val)
{
	bool on = (val & ~hba->ghc & GHC_IE) != 0;

	if ((val & GHC_HR) != 0) {
		ahci_hba_reset(hba, false);
		ahci_irq(hba, false);
		return;
	}
	hba->ghc = GHC_AE | (val & GHC_IE);
	ahci_irq(hba, on);
}

static uint32_t
ahci_read_generic(const struct ahci *hba, unsigned int off)
{
	const struct {
		unsigned int off;
		uint32_t val;
	} regs[] = {
		{ AHCI_CAP, hba->cap },
		{ AHCI_GHC, hba->ghc },
		{ AHCI_IS, hba->is },
		{ AHCI_PI, hba->pi },
		{ AHCI_VS, AHCI_VS_1_3 },
		{ AHCI_CAP2, CAP2_APST },
	};

	for (size_t i = 0; i < ARRAY_LEN(regs); i++)
		if (regs[i].off == (off & ~3u))
			return regs[i].val;
	return 0;
}

static void
ahci_write_generic(
    struct ahci *hba, unsigned int off, unsigned int bytes, uint32_t val)
{
	uint32_t mask = bytes >= 4 ? UINT32_MAX : (1u << 8 * bytes) - 1;
	unsigned int shift = 8 * (off % 4);

	val = (val & mask) << shift;
	switch (off & ~3u) {
	case AHCI_GHC:
		ahci_write_ghc(hba, val | (hba->ghc & ~(mask << shift)));
		break;
	case AHCI_IS:
		hba->is &= ~val;
		ahci_irq(hba, true);
		break;
	default:
		break;
	}
}

/* --- BAR 5 ---------------------------------------------------------------- */

static struct ahci_port *
ahci_port_at(struct ahci *hba, uint64_t off, unsigned int *ret_reg)
{
	uint64_t num = (off - AHCI_PORT_BASE) / AHCI_PORT_STEP;

	*ret_reg = (unsigned int)((off - AHCI_PORT_BASE) % AHCI_PORT_STEP);
	return num <= (hba->cap & CAP_NP_MASK) ? &hba->port[num] : NULL;
}

static uint32_t
ahci_bar_read(
    struct pci_dev *pd, unsigned int bar, uint64_t off, unsigned int bytes)
{
	struct ahci *hba = pci_dev_state(pd);
	struct ahci_port *p;
	uint32_t val = 0;
	unsigned int reg;

	if (off % 4 + bytes > 4)
		return 0; /* no register is there */
	if (off < AHCI_PORT_BASE)
		val = ahci_read_generic(hba, (unsigned int)off);
	else if ((p = ahci_port_at(hba, off, &reg)) != NULL)
		val = ahci_port_read(p, reg);
	val >>= 8 * (off % 4);
	return bytes < 4 ? val & ((1u << 8 * bytes) - 1) : val;
}

static void
ahci_bar_write(struct pci_dev *pd, unsigned int bar, uint64_t off,
    unsigned int bytes, uint32_t val)
{
	struct ahci *hba = pci_dev_state(pd);
	struct ahci_port *p;
	unsigned int reg;

	if (off % 4 + bytes > 4)
		return;
	if (off < AHCI_PORT_BASE) {
		ahci_write_generic(hba, (unsigned int)off, bytes, val);
		return;
	}
	p = ahci_port_at(hba, off, &reg);
	if (p == NULL || !p->present)
		return;
	ahci_port_write(p, reg, bytes, val);
	ahci_run(p);
	ahci_irq(hba, false);
}

/* --- life ----------------------------------------------------------------- */

static void
ahci_reset(struct pci_dev *pd)
{
	struct ahci *hba = pci_dev_state(pd);

	ahci_hba_reset(hba, true);
	ahci_irq(hba, false);
}

/*
 * What the backend has not done by now is begun again on resume, here or in
 * another process: the guest was not told its end, and to read or write once
 * more the same changes nothing.
 */
static void
ahci_pause(struct pci_dev *pd)
{
	struct ahci *hba = pci_dev_state(pd);

	hba->paused = true;
	for (unsigned int i = 0; i < AHCI_NPORTS; i++) {
		ahci_cancel(&hba->port[i]);
		hba->port[i].reissue = hba->port[i].regs.issued;
	}
}

static void
ahci_resume(struct pci_dev *pd)
{
	struct ahci *hba = pci_dev_state(pd);

	hba->paused = false;
	for (unsigned int i = 0; i < AHCI_NPORTS; i++)
		ahci_run(&hba->port[i]);
	ahci_irq(hba, false);
}

static void
ahci_snapshot(struct pci_dev *pd, struct snap *s)
{
	struct ahci *hba = pci_dev_state(pd);
	uint32_t generic[3] = { hba->pi, hba->ghc, hba->is };

	if (snap_bytes(s, "ahci", generic, sizeof(generic)) != 0)
		return;
	/* Another set of ports is another controller. */
	if (generic[0] != hba->pi || (generic[1] & ~GHC_IE) != GHC_AE ||
	    (generic[2] & ~hba->pi) != 0) {
		snap_fail(s);
		return;
	}
	for (unsigned int i = 0; i < AHCI_NPORTS; i++)
		if ((hba->pi & BIT(i)) != 0)
			ahci_port_snapshot(&hba->port[i], s);
	if (!snap_loading(s) || snap_error(s) != 0)
		return;
	hba->ghc = generic[1];
	hba->is = generic[2];
	ahci_irq(hba, false);
}

static void
ahci_fini(struct pci_dev *pd)
{
	struct ahci *hba = pci_dev_state(pd);

	pci_dev_lock(pd);
	hba->paused = true;
	for (unsigned int i = 0; i < AHCI_NPORTS; i++)
		ahci_cancel(&hba->port[i]);
	pci_dev_unlock(pd);
	for (unsigned int i = 0; i < AHCI_NPORTS; i++) {
		if (hba->port[i].bdev != NULL)
			block_close(hba->port[i].bdev);
		free(hba->port[i].cmds);
	}
}

static int
ahci_init_ports(struct ahci *hba, const char *type, char *err, size_t err_len)
{
	unsigned int nports = AHCI_NP_MIN;

	for (unsigned int i = 0; i < AHCI_NPORTS; i++) {
		struct ahci_port *p = &hba->port[i];
		int error;

		p->hba = hba;
		p->num = i;
		error = ahci_conf_port(p, type, err, err_len);
		if (error != 0)
			return error;
		if (!p->present)
			continue;
		p->cmds = xcalloc(AHCI_NCMDS, sizeof(*p->cmds));
		p->free_cmds = UINT64_MAX;
		hba->pi |= BIT(i);
		nports = MAX(nports, i + 1);
	}
	hba->cap = AHCI_CAP_VALUE | (nports - 1);
	return ahci_conf_no_more(hba->pd, err, err_len);
}

static uint64_t
ahci_bar_bytes(const struct ahci *hba)
{
	uint64_t need =
	    AHCI_PORT_BASE + ((hba->cap & CAP_NP_MASK) + 1) * AHCI_PORT_STEP;
	uint64_t size = 0x400;

	while (size < need)
		size *= 2;
	return size;
}

static int
ahci_init_type(struct pci_dev *pd, const char *type, char *err, size_t err_len)
{
	struct ahci *hba = pci_dev_state(pd);
	int error;

	hba->pd = pd;
	error = ahci_init_ports(hba, type, err, err_len);
	if (error != 0)
		return error;
	error = pci_bar_add(pd, AHCI_BAR, PCI_BAR_MEM32, ahci_bar_bytes(hba));
	if (error == 0)
		error = pci_msi_add(pd, 1);
	if (error == 0)
		error = pci_intx_add(pd);
	if (error != 0) {
		snprintf(err, err_len, "%s: no room for registers or interrupt",
		    pci_dev_name(pd));
		return error;
	}
	ahci_hba_reset(hba, true);
	return 0;
}

static int
ahci_init(struct pci_dev *pd, char *err, size_t err_len)
{
	return ahci_init_type(pd, NULL, err, err_len);
}

static int
ahci_init_hd(struct pci_dev *pd, char *err, size_t err_len)
{
	return ahci_init_type(pd, "hd", err, err_len);
}

static int
ahci_init_cd(struct pci_dev *pd, char *err, size_t err_len)
{
	return ahci_init_type(pd, "cd", err, err_len);
}

#define AHCI_OPS(n, s, p, i)                                                   \
	{                                                                      \
		.name = (n), .summary = (s),                                   \
		.id = { .vendor = 0x8086,                                      \
			.device = 0x2821,                                      \
			.class_code = AHCI_CLASS },                            \
		.opts = ahci_opts, .parse = (p),                               \
		.state_size = sizeof(struct ahci), .init = (i),                \
		.fini = ahci_fini, .reset = ahci_reset,                        \
		.bar_read = ahci_bar_read, .bar_write = ahci_bar_write,        \
		.pause = ahci_pause, .resume = ahci_resume,                    \
		.snapshot = ahci_snapshot,                                     \
	}

extern const struct pci_dev_ops ahci_ops, ahci_hd_ops, ahci_cd_ops;

const struct pci_dev_ops ahci_ops =
    AHCI_OPS("ahci", "SATA controller", ahci_conf_parse, ahci_init);
const struct pci_dev_ops ahci_hd_ops = AHCI_OPS(
    "ahci-hd", "SATA controller with a disk", ahci_conf_parse_hd, ahci_init_hd);
const struct pci_dev_ops ahci_cd_ops = AHCI_OPS("ahci-cd",
    "SATA controller with a CD-ROM drive", ahci_conf_parse_cd, ahci_init_cd);
