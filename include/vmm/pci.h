/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci.h - what a PCI device model must provide, and what it may call.
 *
 * The core (src/dev/pci*.c) owns configuration space, ports 0xCF8/0xCFC and
 * ECAM, where BARs lie, MSI, MSI-X and INTx, and the door to guest memory.  A
 * model owns the registers behind its BARs and nothing else.  One const table
 * per model; src/dev/table.c lists them all.
 *
 * Every call of the core into a model has the device's lock held, except fini.
 * A model with a thread of its own takes it by pci_dev_lock() before it touches
 * its state or calls anything below; it calls nothing below without it.
 */
#ifndef VMM_PCI_H
#define VMM_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <util/util.h>

struct chardev;
struct conf;
struct lock;
struct vmctx;
struct snap;
struct pci_bus;
struct pci_dev; /* the core's half of a device */

/* A user's `pcireg.vendor=...' and so on come before what the model says. */
struct pci_id {
	uint16_t vendor, device, subvendor, subdevice;
	uint8_t revision;
	uint32_t class_code; /* 24 bits: class, subclass, prog-if */
};

/*
 * A device's own settings, `-s slot,name,KEY=VALUE`: name, one line of help.  A
 * '*' in a name stands for a number from 0 to 99: "port.*.path".
 */
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
	/*
	 * For a grammar other than VALUE,KEY=VALUE,KEY...: what follows
	 * `-s slot,name,`, to be cut up in place and set below `node` by
	 * conf_set().  -EINVAL with one line that says what would be right.
	 */
	int (*parse)(struct conf *, const char *node, char *words, char *err,
	    size_t err_len);
	size_t state_size;	/* the core allocates and zeroes this much */
	bool bus0_only, single; /* only on bus 0; only one per machine */

	/* 0 or -errno with one line in err; on failure the core calls fini. */
	int (*init)(struct pci_dev *, char *err, size_t err_len);
	void (*fini)(struct pci_dev *); /* takes half-built state */
	void (*reset)(struct pci_dev *);

	/*
	 * Registers behind BAR `bar`; bytes is 1, 2 or 4 and off + bytes stays
	 * inside it.  The core has split qword accesses, low half first.  MSI-X
	 * table and PBA never get here.
	 */
	uint32_t (*bar_read)(struct pci_dev *, unsigned int bar, uint64_t off,
	    unsigned int bytes);
	void (*bar_write)(struct pci_dev *, unsigned int bar, uint64_t off,
	    unsigned int bytes, uint32_t val);

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
/*
 * The device knows this setting: its own, or one that every device has
 * ("device", "pcireg.vendor").
 */
bool pci_opt_known(const struct pci_dev_ops *, const char *name);

/* --- for the machine ------------------------------------------------------ */

int pci_bus_create(struct vmctx *, struct pci_bus **ret_bus) WARN_UNUSED;
/* `conf`, node: "pci.0.3.0" with the device's keys below it. */
int pci_dev_create(struct pci_bus *, const struct pci_dev_ops *,
    const struct conf *, unsigned int bus, unsigned int slot, unsigned int func,
    char *err, size_t err_len) WARN_UNUSED;
/*
 * fn hears of each character backend that a model opens: the machine has an
 * interest in the one that is its terminal.
 */
void pci_bus_on_char(struct pci_bus *,
    void (*fn)(const char *spec, struct chardev *, void *arg), void *arg);
#define PCI_ECAM_BASE 0xe0000000ull
#define PCI_ECAM_SIZE 0x10000000ull

/*
 * What firmware tables tell of a bus, once all devices are made: the windows
 * its BARs may lie in (inclusive; base > limit: none).  False: no device there.
 */
struct pci_bus_windows {
	uint16_t io_base, io_limit;
	uint64_t mem32_base, mem32_limit;
	uint64_t mem64_base, mem64_limit;
};
bool pci_bus_windows(
    struct pci_bus *, unsigned int busno, struct pci_bus_windows *ret);
/* Calls fn for each INTx pin in use (pin 1..4), once a slot and pin. */
struct pci_intx_info {
	uint8_t bus, slot, pin;
	uint8_t gsi;  /* I/O APIC pin */
	uint8_t pirq; /* 0..7 = PIRQA..PIRQH */
	uint8_t irq;  /* ISA interrupt it is routed to at reset; 255: none */
};
void pci_bus_foreach_intx(struct pci_bus *,
    void (*fn)(const struct pci_intx_info *, void *arg), void *arg);

/* --- for the LPC bridge --------------------------------------------------- */

/*
 * The routing registers of PIRQ pins 0..7 live in the core, which routes the
 * pins in use at reset as a BIOS would; the bridge shows them to the guest.
 * Bit 7 disables, bits 3:0 are the ISA interrupt (docs/bhyve.md 1.8).
 */
void pci_pirq_attach(struct pci_bus *); /* in init: there are registers */
uint8_t pci_pirq_reg(struct pci_bus *, unsigned int pirq);
/* It was written; the core follows with the level. */
void pci_pirq_route(struct pci_bus *, unsigned int pirq, uint8_t reg);

/* --- for models ----------------------------------------------------------- */

void *pci_dev_state(struct pci_dev *); /* state_size bytes */
struct vmctx *pci_dev_vm(struct pci_dev *);
struct pci_bus *pci_dev_bus(struct pci_dev *);
/* This device's setting, or NULL. */
const char *pci_dev_opt(struct pci_dev *, const char *name);
/* A setting of the whole machine ("virtio_msix"), its default included. */
const char *pci_machine_opt(struct pci_dev *, const char *key);
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

/*
 * A PCI Express capability (PCI Express base 2.1, section 7.8) of this
 * device/port type; the device then has 4096 bytes of configuration space.
 */
#define PCIE_TYPE_ENDPOINT    0x0
#define PCIE_TYPE_ROOT_PORT   0x4
#define PCIE_TYPE_RC_ENDPOINT 0x9 /* root complex integrated endpoint */
int pci_express_cap_add(struct pci_dev *, unsigned int type) WARN_UNUSED;

/* The device's mutex, for a model's own threads, timers and descriptors. */
struct lock *pci_dev_mutex(struct pci_dev *);
void pci_dev_lock(struct pci_dev *);
void pci_dev_unlock(struct pci_dev *);
/* In init: char_open(), and the machine hears of it (pci_bus_on_char()). */
int pci_char_open(struct pci_dev *, const char *spec, struct chardev **ret_cd,
    char *err, size_t err_len) WARN_UNUSED;
/* For messages: "virtio-blk 0:2:0". */
const char *pci_dev_name(const struct pci_dev *);
/* Where it sits on its bus. */
void pci_dev_slot_func(
    const struct pci_dev *, unsigned int *ret_slot, unsigned int *ret_func);

/* BARs, in init.  `size` is a power of two: at least 4 (I/O) or 16 (memory). */
#define PCI_NBARS 6
enum pci_bar_kind {
	PCI_BAR_IO,
	PCI_BAR_MEM32,
	PCI_BAR_MEM64,	    /* takes two BARs: bar and bar + 1 */
	PCI_BAR_MEM64_PREF, /* the same, prefetchable */
};
/* 0, or -ENOSPC: the window is full. */
int pci_bar_add(struct pci_dev *, unsigned int bar, enum pci_bar_kind,
    uint64_t size) WARN_UNUSED;

/*
 * A doorbell, in init: a write at `off` of a BAR that says no more than "look".
 * While the device's bells are on, and the engine can, the vCPU that writes
 * goes on at once and fn is called in the event thread, with the device's lock
 * held, at least once after the last of several writes.  Otherwise, and also
 * at any time, such a write goes to bar_write; both must do.
 */
struct pci_bell {
	unsigned int bar;
	uint32_t off;
	uint8_t len; /* bytes of the write; 0: any, memory BARs only */
	bool match;  /* only when `data` is written */
	uint16_t data;
	void (*fn)(struct pci_dev *, unsigned int n);
	unsigned int n;
};
void pci_bell_add(struct pci_dev *, const struct pci_bell *);
/* All of the device's; the device's lock is held. */
void pci_bells_set(struct pci_dev *, bool on);

/*
 * Message-signalled interrupts, in init.  MSI: 1, 2, 4 ... 32 vectors, 64-bit
 * address, per-vector masking.  MSI-X: 1 .. 2048 vectors, table and PBA at
 * these offsets (multiples of 8) of a memory BAR that was added before and has
 * room.
 */
int pci_msi_add(struct pci_dev *, unsigned int nvec) WARN_UNUSED;
int pci_msix_add(struct pci_dev *, unsigned int nvec, unsigned int bar,
    uint32_t table_off, uint32_t pba_off) WARN_UNUSED;
/* Vectors the guest enabled; 0: the capability is off. */
unsigned int pci_msi_enabled(const struct pci_dev *);
unsigned int pci_msix_enabled(const struct pci_dev *);
/*
 * Send vector `vec` of whichever is on; a masked one becomes pending.  A vector
 * beyond what the guest enabled goes to vector 0 (MSI) or nowhere (MSI-X).
 */
void pci_msi_raise(struct pci_dev *, unsigned int vec);
void pci_msix_raise(struct pci_dev *, unsigned int vec);

/*
 * The wired interrupt, in init: gives the function a pin.  pci_intx_set() is
 * idempotent; while MSI or MSI-X is on or the guest disabled INTx the line
 * stays low, and the level comes back when it may.
 */
int pci_intx_add(struct pci_dev *) WARN_UNUSED;
void pci_intx_set(struct pci_dev *, bool level);

/*
 * Guest memory as the device sees it: nothing while bus mastering is off
 * (PCIM_COMMAND bit 2).  Only RAM; there is no peer to peer.
 *
 * pci_dma_map(): the host address of [gpa, gpa+len), len > 0, or NULL.  It
 * stays valid as long as the machine, so a backend may use it after the lock is
 * dropped.  Who stores through it says so by pci_dma_written() afterwards, with
 * the host address: code may lie there.
 */
bool pci_bus_master(const struct pci_dev *);
void *pci_dma_map(struct pci_dev *, uint64_t gpa, size_t len) WARN_UNUSED;
void pci_dma_written(struct pci_dev *, const void *hva, size_t len);
/* Copies; false, and nothing copied, when any byte cannot be reached. */
bool
pci_dma_read(struct pci_dev *, uint64_t gpa, void *dst, size_t len) WARN_UNUSED;
bool pci_dma_write(
    struct pci_dev *, uint64_t gpa, const void *src, size_t len) WARN_UNUSED;

#endif /* VMM_PCI_H */
