/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci.h - what a PCI device model must provide, and what it may call.
 *
 * The core (src/dev/pci.c) owns configuration space, ports 0xCF8/0xCFC and
 * ECAM.  A model owns the registers behind its BARs and nothing else.  One
 * const table per model; src/dev/table.c lists them all.
 */
#ifndef VMM_PCI_H
#define VMM_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <util/util.h>

struct conf;
struct vmctx;
struct snap;
struct pci_bus;
struct pci_dev; /* the core's half of a device */

struct pci_id {
	uint16_t vendor, device, subvendor, subdevice;
	uint8_t revision;
	uint32_t class_code; /* 24 bits: class, subclass, prog-if */
};

/* A device's own settings, `-s slot,name,KEY=VALUE`: name, one line of help. */
struct pci_opt {
	const char *name;
	const char *summary;
};

/*
 * Only name, summary, id are mandatory.  Callbacks run with the device's lock
 * held, except fini (which may have to wait for a running callback); none may
 * block, and none may fail because of what the guest wrote.
 */
struct pci_dev_ops {
	const char *name;    /* as typed after -s slot, */
	const char *summary; /* one line for -s help */
	struct pci_id id;
	const struct pci_opt *opts; /* ends with name NULL; NULL: takes none */
	size_t state_size;	/* the core allocates and zeroes this much */
	bool bus0_only, single; /* only on bus 0; only one per machine */

	/* 0 or -errno with one line in err; on failure the core calls fini. */
	int (*init)(struct pci_dev *, char *err, size_t err_len);
	void (*fini)(struct pci_dev *); /* takes half-built state */
	void (*reset)(struct pci_dev *);

	/* Configuration bytes the core does not know; false: the default. */
	bool (*cfg_read)(struct pci_dev *, unsigned int off, unsigned int bytes,
	    uint32_t *ret_val);
	bool (*cfg_write)(struct pci_dev *, unsigned int off,
	    unsigned int bytes, uint32_t val);

	void (*pause)(struct pci_dev *);
	void (*resume)(struct pci_dev *);
	void (*snapshot)(struct pci_dev *, struct snap *);
};

extern const struct pci_dev_ops *const pci_dev_table[];
extern const size_t pci_dev_table_len;
const struct pci_dev_ops *pci_dev_find(const char *name); /* or NULL */

/* --- for the machine ------------------------------------------------------ */

int pci_bus_create(struct vmctx *, struct pci_bus **ret_bus) WARN_UNUSED;
/* `conf`, node: "pci.0.3.0" with the device's keys below it. */
int pci_dev_create(struct pci_bus *, const struct pci_dev_ops *,
    const struct conf *, unsigned int bus, unsigned int slot, unsigned int func,
    char *err, size_t err_len) WARN_UNUSED;
#define PCI_ECAM_BASE 0xe0000000ull
#define PCI_ECAM_SIZE 0x10000000ull

/* --- for models ----------------------------------------------------------- */

void *pci_dev_state(struct pci_dev *); /* state_size bytes */
struct vmctx *pci_dev_vm(struct pci_dev *);
struct pci_bus *pci_dev_bus(struct pci_dev *);
/* This device's setting, or NULL. */
const char *pci_dev_opt(struct pci_dev *, const char *name);
uint8_t pci_cfg_get8(struct pci_dev *, unsigned int off);
void pci_cfg_set8(struct pci_dev *, unsigned int off, uint8_t val);
void pci_cfg_set16(struct pci_dev *, unsigned int off, uint16_t val);
void pci_cfg_set32(struct pci_dev *, unsigned int off, uint32_t val);
/* Bits of [off, off+4) the guest may change. */
void pci_cfg_writable(struct pci_dev *, unsigned int off, uint32_t mask);
/*
 * Appends a capability of `len` bytes, all zero but id and link, to the list:
 * its offset, or -ENOSPC.
 */
int pci_cap_add(struct pci_dev *, uint8_t id, unsigned int len) WARN_UNUSED;

#endif /* VMM_PCI_H */
