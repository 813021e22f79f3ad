/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci_priv.h - the insides of a PCI function and of the buses, for the core
 * (src/dev/pci*.c) only.
 *
 * What a function does follows from its configuration bytes: after any of them
 * changed (a guest's write, reset, load) the core compares what is with what
 * should be - decoded ranges, messages due, the level of the wire - and makes
 * up the difference (pci_dev_changed_locked).
 *
 * Locks, in this order: a device's (configuration, MSI-X table, level), then
 * one of bar_lock (who has which range) and pirq_lock (PIRQ registers and
 * levels); bus->lock (address latch, table) is never held with a device's.
 */
#ifndef PCI_PRIV_H
#define PCI_PRIV_H

#include <vmm/pci.h>

#include <util/lock.h>
#include <vmm/irq.h>

#define PCI_NBUSES	   256u
#define PCI_NSLOTS	   32u
#define PCI_NFUNCS	   8u
#define PCI_NPIRQS	   8u
#define PCI_CFG_BYTES	   256u
#define PCI_CFG_BYTES_PCIE 4096u

/* PCI 3.0 section 6.1, type 0 header. */
#define PCIR_VENDOR	      0x00
#define PCIR_DEVICE	      0x02
#define PCIR_COMMAND	      0x04
#define PCIR_STATUS	      0x06
#define PCIR_REVISION	      0x08
#define PCIR_PROGIF	      0x09
#define PCIR_CLASS	      0x0a
#define PCIR_CACHELINE	      0x0c
#define PCIR_HDRTYPE	      0x0e
#define PCIR_BAR(n)	      (0x10 + 4 * (n))
#define PCIR_SUBVENDOR	      0x2c
#define PCIR_SUBDEVICE	      0x2e
#define PCIR_CAP_PTR	      0x34
#define PCIR_INTLINE	      0x3c
#define PCIR_INTPIN	      0x3d
#define PCIR_DEVICE_DEPENDENT 0x40

#define PCIM_HDRTYPE_MULTI    0x80
#define PCIM_STATUS_INTX      0x0008
#define PCIM_STATUS_CAP_LIST  0x0010
#define PCIM_COMMAND_IO	      0x0001
#define PCIM_COMMAND_MEM      0x0002
#define PCIM_COMMAND_BM	      0x0004
#define PCIM_COMMAND_INTX_OFF 0x0400
#define PCIM_COMMAND_WRITABLE 0x077f /* docs/bhyve.md 1.6 */

#define PCIY_MSI	      0x05
#define PCIY_EXPRESS	      0x10
#define PCIY_MSIX	      0x11

struct pci_bar {
	struct pci_dev *pd;
	struct pci_bar *pair; /* second half: the first; else NULL */
	uint64_t size;	      /* 0: no such BAR */
	uint64_t boot;	      /* address at reset */
	enum pci_bar_kind kind;
	uint8_t index;

	/* As configuration space has it; the device's lock. */
	bool decoded;
	uint64_t base;

	/* Whether the range is on the bus; bus->bar_lock. */
	bool claimed;
	bool waiting; /* another one has the range: try when that moves */
	uint64_t claim;
	struct pci_bar *next_waiting;
};

#define PCI_MSI_MAX    32u
#define PCI_MSIX_MAX   2048u
#define PCI_MSIX_ENTRY 16u

struct pci_msi {
	unsigned int cap;  /* offset; 0: none */
	unsigned int nvec; /* 1, 2 ... 32 */
	uint32_t pending;
};

struct pci_msix {
	unsigned int cap;
	unsigned int nvec;
	unsigned int bar;
	uint32_t table_off, pba_off;
	uint8_t *table;	   /* PCI_MSIX_ENTRY bytes a vector */
	uint64_t *pending; /* the PBA */
	uint32_t words;	   /* of pending */
};

struct pci_dev {
	const struct pci_dev_ops *ops;
	struct pci_bus *bus;
	const struct conf *conf;
	struct lock lock;
	unsigned int busno, slot, func;
	char node[sizeof("pci.255.31.7")];
	char title[48];
	void *state;

	uint8_t cfg[PCI_CFG_BYTES];
	uint8_t writable[PCI_CFG_BYTES];
	uint8_t cfg_reset[PCI_CFG_BYTES]; /* what init left */
	unsigned int last_cap;		  /* the list's end, 0: empty */
	unsigned int cap_end;		  /* where the next one goes */
	bool is_express;

	struct pci_bar bar[PCI_NBARS];
	struct pci_bell_state *bells; /* constant after init */
	struct pci_msi msi;
	struct pci_msix msix;

	uint8_t pin;	 /* 1 to 4 = INTA to INTD; 0: none */
	uint8_t pirq;	 /* 0 to 7 */
	bool intx_level; /* what the model drives */
	bool intx_out;	 /* what leaves the function */
	struct irq_line line;
};

struct pci_pirq {
	uint8_t reg;	    /* as the guest reads it */
	uint8_t boot;	    /* reg at reset */
	unsigned int count; /* functions that drive it */
	bool routed;	    /* line is one */
	struct irq_line line;
};

struct pci_bus {
	struct vmctx *ctx;
	struct lock lock;
	uint32_t addr; /* latch of port 0xCF8 */
	/* [bus] is NULL while the bus has no device; then [slot][func]. */
	struct pci_dev **dev[PCI_NBUSES];

	struct lock bar_lock;
	struct pci_bar *waiting;

	struct lock pirq_lock;
	bool has_router; /* an LPC bridge */
	struct pci_pirq pirq[PCI_NPIRQS];

	void (*on_char)(const char *spec, struct chardev *, void *arg);
	void *on_char_arg;

	/* Written while devices are made; by bus number. */
	struct pci_bus_windows windows[PCI_NBUSES];
};

/* --- pci.c ---------------------------------------------------------------- */

/* The function there, or NULL.  *ret_multi: the slot has one other than 0. */
struct pci_dev *pci_bus_find(struct pci_bus *, unsigned int busno,
    unsigned int slot, unsigned int func, bool *ret_multi);
/* Calls fn for each, in order of bus, slot and function, without a lock. */
void pci_bus_foreach(
    struct pci_bus *, void (*fn)(struct pci_dev *, void *arg), void *arg);

/* --- pci_cfg.c ------------------------------------------------------------ */

int pci_cfg_register(struct pci_bus *) WARN_UNUSED;
void pci_cfg_unregister(struct pci_bus *);
uint16_t pci_cfg_get16(const struct pci_dev *, unsigned int off);
uint32_t pci_cfg_get32(const struct pci_dev *, unsigned int off);
/* Header and what else every function has. */
void pci_cfg_init(struct pci_dev *);
/* Configuration bytes changed; see the top. */
void pci_dev_changed_locked(struct pci_dev *);

/* Bits 30:24 of the latch read as zero. */
#define PCI_CFG_ADDR_KEPT 0x80ffffffu

/* --- pci_opt.c ------------------------------------------------------------ */

/* 0, or -EINVAL: a key below pd->node that the model does not know. */
int
pci_check_opts(const struct pci_dev *, char *err, size_t err_len) WARN_UNUSED;

/* The identity, as model and user want it. */
struct pci_id pci_opt_id(const struct pci_dev *);

/* --- pci_bar.c ------------------------------------------------------------ */

/* Follow configuration space. */
void pci_bar_update_locked(struct pci_dev *);
/* Give the ranges back, whatever configuration space says. */
void pci_bar_release_locked(struct pci_dev *);
/* Writes an address into the registers; the caller updates. */
void pci_bar_put(struct pci_bar *, uint8_t *cfg, uint64_t addr);

/* --- pci_boot.c ----------------------------------------------------------- */

/*
 * What firmware would do: addresses for all BARs, IRQs for all pins.  Called
 * after each device that was made, before the machine runs.  -ENOSPC: *ret_full
 * is the BAR that found no room.
 */
int
pci_boot_assign(struct pci_bus *, const struct pci_bar **ret_full) WARN_UNUSED;

/* --- pci_msi.c ------------------------------------------------------------ */

/* Send what became due; forget what cannot become due any more. */
void pci_msi_update_locked(struct pci_dev *);
void pci_msi_reset_locked(struct pci_dev *);
void pci_msi_snapshot_locked(struct pci_dev *, struct snap *);
void pci_msi_fini(struct pci_dev *);
/* Pending bits in configuration space, if [off] is one of their bytes. */
bool
pci_msi_cfg_byte(const struct pci_dev *, unsigned int off, uint8_t *ret_val);
/* The access is to the MSI-X table or PBA. */
bool pci_msix_owns(const struct pci_dev *, const struct pci_bar *, uint64_t off,
    unsigned int bytes);
uint32_t pci_msix_mem_read(struct pci_dev *, uint64_t off, unsigned int bytes);
void pci_msix_mem_write(
    struct pci_dev *, uint64_t off, unsigned int bytes, uint32_t val);

/* --- pci_intx.c ----------------------------------------------------------- */

void pci_intx_update_locked(struct pci_dev *);
/* Interrupt pending inside the function (status bit 3). */
bool pci_intx_pending_locked(const struct pci_dev *);
void pci_pirq_init(struct pci_bus *);
void pci_pirq_fini(struct pci_bus *);
void pci_pirq_reset(struct pci_bus *);
void pci_pirq_snapshot(struct pci_bus *, struct snap *);
#define PCI_PIRQ_OFF 0x80
/* The register at reset; also what it is from now on. */
void pci_pirq_boot(struct pci_bus *, unsigned int pirq, uint8_t reg);

/* --- pci_bell.c -------------------------------------------------------------
 */

/* The BAR came to the bus, or is about to leave; bus->bar_lock is held. */
void pci_bells_claimed(struct pci_bar *);
void pci_bells_unclaim(struct pci_bar *);
/* Before the model's fini: from here on no bell calls it. */
void pci_bells_free(struct pci_dev *);

#endif /* PCI_PRIV_H */
