/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_driver.h - a guest's driver for tests of virtio devices: a board with
 * RAM and a PCI bus, and on it both transports, rings, chains, kicks.
 *
 * A test makes the machine, adds the device, and:
 *
 *	struct vdrv d;
 *	vdrv_machine(&m);
 *	vdrv_add_device(&m, "virtio-rnd", NULL);
 *	vdrv_open(&d, &m, VDRV_MODERN, features, nqueues);
 *	buf = vdrv_alloc(&d, 64, 1);
 *	vdrv_add(&d, 0, (struct vdrv_buf[]){ { buf, 64, true } }, 1);
 *	vdrv_kick(&d, 0);
 *	vdrv_wait_used(&d, 0, &len);
 *
 * Every step can also be made by hand, in the wrong order too.
 */
#ifndef VIRTIO_DRIVER_H
#define VIRTIO_DRIVER_H

#include "board.h"

#include <conf/conf.h>
#include <vmm/pci.h>

#define VDRV_RAM	       (16u << 20)
#define VDRV_SLOT	       3u
#define VDRV_NQUEUES	       64u

#define VDRV_ACKNOWLEDGE       0x01
#define VDRV_DRIVER	       0x02
#define VDRV_DRIVER_OK	       0x04
#define VDRV_FEATURES_OK       0x08
#define VDRV_NEEDS_RESET       0x40

#define VDRV_F_NOTIFY_ON_EMPTY BIT64(24)
#define VDRV_F_ANY_LAYOUT      BIT64(27)
#define VDRV_F_INDIRECT	       BIT64(28)
#define VDRV_F_EVENT_IDX       BIT64(29)
#define VDRV_F_VERSION_1       BIT64(32)

#define VDRV_DESC_NEXT	       1
#define VDRV_DESC_WRITE	       2
#define VDRV_DESC_INDIRECT     4

#define VDRV_NO_VECTOR	       0xffff

struct vdrv_machine {
	struct board b;
	struct pci_bus *bus;
	struct conf *conf;
	uint8_t *ram; /* VDRV_RAM bytes at gpa 0 */
};

enum vdrv_transport { VDRV_LEGACY, VDRV_MODERN };

struct vdrv_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

struct vdrv_queue {
	uint16_t size;
	uint64_t desc_gpa, avail_gpa, used_gpa;
	struct vdrv_desc *desc; /* in guest RAM, as are the following */
	uint16_t *avail_flags, *avail_idx, *avail_ring, *used_event;
	uint16_t *used_flags, *used_idx, *avail_event;
	struct {
		uint32_t id, len;
	} * used_ring;
	uint16_t next_desc; /* handed out in turn */
	uint16_t last_used;
};

struct vdrv {
	struct vdrv_machine *m;
	enum vdrv_transport transport;
	unsigned int slot;
	uint16_t io;		  /* BAR 0 */
	uint64_t mem, msix_table; /* BAR 4 and BAR 1 */
	uint32_t common, isr, device, notify, notify_multiplier;
	uint64_t device_len;
	unsigned int pcicfg, msix; /* capabilities, 0: none */
	uint64_t brk;		   /* guest memory not handed out yet */
	struct vdrv_queue q[VDRV_NQUEUES];
};

struct vdrv_buf {
	uint64_t gpa;
	uint32_t len;
	bool write; /* by the device */
};

/* RAM, a PCI bus, a clock by hand. */
void vdrv_machine(struct vdrv_machine *);
void vdrv_machine_fini(struct vdrv_machine *);
/*
 * `-s 3,NAME` with settings "key=value,key=value" or NULL.  0 or -errno and
 * err, which may be NULL when success is expected.
 */
int vdrv_add_ops(struct vdrv_machine *, const struct pci_dev_ops *,
    const char *settings, char *err, size_t err_len);
void
vdrv_add_device(struct vdrv_machine *, const char *name, const char *settings);

/* Configuration space of the device in VDRV_SLOT. */
uint32_t vdrv_pci_read(struct vdrv *, unsigned int off, unsigned int bytes);
void vdrv_pci_write(
    struct vdrv *, unsigned int off, unsigned int bytes, uint32_t val);

/* Place the BARs, find the capabilities; nothing of virtio yet. */
void vdrv_probe(struct vdrv *, struct vdrv_machine *, enum vdrv_transport);
/*
 * All up to DRIVER_OK with these features (VERSION_1 is added for modern),
 * queues 0 .. nqueues - 1, MSI-X off.
 */
void vdrv_open(struct vdrv *, struct vdrv_machine *, enum vdrv_transport,
    uint64_t features, unsigned int nqueues);

/* The steps of vdrv_open(). */
void vdrv_reset(struct vdrv *);
uint8_t vdrv_status(struct vdrv *);
void vdrv_set_status(struct vdrv *, uint8_t);
uint64_t vdrv_features(struct vdrv *);
void vdrv_set_features(struct vdrv *, uint64_t);
/* ACKNOWLEDGE, DRIVER, features, modern: FEATURES_OK; was it accepted? */
bool vdrv_negotiate(struct vdrv *, uint64_t features);
/* size 0: the largest (legacy: there is no choice).  Fresh memory. */
void vdrv_setup_queue(struct vdrv *, unsigned int q, uint16_t size);
void vdrv_driver_ok(struct vdrv *);

/* The device's configuration structure. */
uint32_t vdrv_cfg_read(struct vdrv *, unsigned int off, unsigned int bytes);
void vdrv_cfg_write(
    struct vdrv *, unsigned int off, unsigned int bytes, uint32_t val);
uint8_t vdrv_isr(struct vdrv *);
/* Registers of the transport: BAR 0, or the common structure. */
uint32_t vdrv_reg(struct vdrv *, unsigned int off, unsigned int bytes);
void
vdrv_set_reg(struct vdrv *, unsigned int off, unsigned int bytes, uint32_t val);

/*
 * Enable MSI-X, entry n sends data n; queue q gets vector q + 1, configuration
 * changes get 0.  What was sent last is in board.msi_data, how many in msis.
 */
void vdrv_msix_enable(struct vdrv *, unsigned int nqueues);

/* Guest memory, zeroed, never given back. */
uint64_t vdrv_alloc(struct vdrv *, size_t len, size_t align);
void *vdrv_ptr(struct vdrv *, uint64_t gpa);
/* Fill a buffer: a copy of `src` in guest memory. */
uint64_t vdrv_copy(struct vdrv *, const void *src, size_t len);

/* Make a chain available; its head. */
uint16_t vdrv_add(
    struct vdrv *, unsigned int q, const struct vdrv_buf *, unsigned int n);
uint16_t vdrv_add_indirect(
    struct vdrv *, unsigned int q, const struct vdrv_buf *, unsigned int n);
/* The raw steps: a descriptor, and a head into the available ring. */
void vdrv_set_desc(struct vdrv *, unsigned int q, uint16_t i, uint64_t gpa,
    uint32_t len, uint16_t flags, uint16_t next);
void vdrv_make_available(struct vdrv *, unsigned int q, uint16_t head);
void vdrv_kick(struct vdrv *, unsigned int q);

/* The next used element, if there is one: its head or -1. */
int vdrv_used(struct vdrv *, unsigned int q, uint32_t *ret_len);
/* Turn the event loop until there is one; fails the test after 5 seconds. */
uint16_t vdrv_wait_used(struct vdrv *, unsigned int q, uint32_t *ret_len);

#endif /* VIRTIO_DRIVER_H */
