/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio.h - what a virtio device model must provide, and what it may call.
 *
 * OASIS virtio 1.2, split rings.  The core (src/dev/virtio/) has one ring
 * walker (vq.c) for every device, and one PCI function that speaks both
 * transports (virtio_pci.c): legacy as bhyve had it (BAR 0, I/O) and modern.  A
 * model owns its configuration structure and the meaning of its queues.
 *
 * A model's state begins with struct virtio_dev.  Its pci_dev_ops use
 * VIRTIO_PCI_OPS for what the transport does, and its own init and fini.
 *
 * Everything here is called with the device's lock held (vmm/pci.h).
 */
#ifndef VMM_VIRTIO_H
#define VMM_VIRTIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <util/util.h>
#include <vmm/pci.h>

struct snap;
struct virtio_dev;
struct vq;

/* Feature bits of every device, virtio 1.2 section 6; the core offers them. */
#define VIRTIO_F_NOTIFY_ON_EMPTY 24 /* legacy only */
#define VIRTIO_F_ANY_LAYOUT	 27 /* legacy only */
#define VIRTIO_F_INDIRECT_DESC	 28
#define VIRTIO_F_EVENT_IDX	 29
#define VIRTIO_F_VERSION_1	 32

#define VIRTIO_QUEUE_MAX	 1024 /* largest size of a queue, in descriptors */
#define VIRTIO_NQUEUES_MAX	 64

/*
 * Only type and class_code are mandatory.
 */
struct virtio_ops {
	uint16_t type;	     /* device ID, section 5: 1 net, 2 block ... */
	uint32_t class_code; /* PCI, 24 bits */
	uint32_t cfg_len;    /* bytes of the configuration structure */

	/*
	 * The guest reset the device, or the machine did.  Afterwards no
	 * request may touch guest memory: a model waits for what a backend
	 * still does (block_drain()), and forgets its chains.  The queues are
	 * off already: a vq_push() from in here does nothing.
	 */
	void (*reset)(struct virtio_dev *);
	/*
	 * DRIVER_OK (legacy: or the first notification, which old drivers send
	 * before it): virtio_features() is final, the queues are fixed.
	 * notify() follows for every queue that has buffers already.
	 */
	void (*start)(struct virtio_dev *);
	/*
	 * The guest made buffers available in queue q; after start only.  Also
	 * called without new buffers: drivers do that, and so does resume.  In
	 * the vCPU's thread, or the event thread (virtio_spec.bells).
	 */
	void (*notify)(struct virtio_dev *, unsigned int q);
	/* Bytes of the configuration structure, little-endian; inside it. */
	void (*cfg_read)(
	    struct virtio_dev *, unsigned int off, void *buf, unsigned int len);
	void (*cfg_write)(struct virtio_dev *, unsigned int off,
	    const void *buf, unsigned int len);
	/*
	 * A paused model holds no chain: it has pushed or unpopped all.  When
	 * it is resumed, perhaps in another process, kicks are on and notify()
	 * follows for every queue.
	 */
	void (*pause)(struct virtio_dev *);
	void (*resume)(struct virtio_dev *);
	/* The model's own registers; the core has saved rings and features. */
	void (*snapshot)(struct virtio_dev *, struct snap *);
};

struct virtio_spec {
	uint64_t features;    /* the device's own bits, to offer */
	unsigned int nqueues; /* 1 .. VIRTIO_NQUEUES_MAX */
	uint16_t queue_size;  /* of every queue: a power of two */
	/*
	 * One bit a queue: its notify() had better come late, in the event
	 * thread, than keep the vCPU (pci_bell_add()).  Good for work that
	 * takes longer than waking a thread and that the guest does not wait
	 * for; the setting "ioeventfd" overrides it.
	 */
	uint64_t bells;
};

/* --- making one ------------------------------------------------------------
 */

/* The core's half.  Its members are the core's. */
struct virtio_dev {
	struct virtio_pci *core;
};

/*
 * From the model's pci_dev_ops.init, after it read its settings: identity,
 * BARs, capabilities, interrupts.  Takes the setting "transport"
 * (VIRTIO_PCI_OPTS): transitional (default), legacy or modern.
 */
int
virtio_init(struct virtio_dev *, struct pci_dev *, const struct virtio_ops *,
    const struct virtio_spec *, char *err, size_t err_len) WARN_UNUSED;
/* From the model's fini, when its threads are gone; takes half-built state. */
void virtio_fini(struct virtio_dev *);

/* What the transport does for a model's pci_dev_ops (id is set by init). */
#define VIRTIO_PCI_OPS                                                         \
	.reset = virtio_pci_reset, .cfg_read = virtio_pci_cfg_read,            \
	.cfg_write = virtio_pci_cfg_write, .bar_read = virtio_pci_bar_read,    \
	.bar_write = virtio_pci_bar_write, .pause = virtio_pci_pause,          \
	.resume = virtio_pci_resume, .snapshot = virtio_pci_snapshot
/* The transport's settings, for the model's pci_opt table. */
#define VIRTIO_PCI_OPTS                                                        \
	{ "transport", "transitional (default), legacy or modern" },           \
	{                                                                      \
		"ioeventfd", "on, off: queues are served by the event thread"  \
	}

void virtio_pci_reset(struct pci_dev *);
bool virtio_pci_cfg_read(
    struct pci_dev *, unsigned int off, unsigned int bytes, uint32_t *ret_val);
bool virtio_pci_cfg_write(
    struct pci_dev *, unsigned int off, unsigned int bytes, uint32_t val);
uint32_t virtio_pci_bar_read(
    struct pci_dev *, unsigned int bar, uint64_t off, unsigned int bytes);
void virtio_pci_bar_write(struct pci_dev *, unsigned int bar, uint64_t off,
    unsigned int bytes, uint32_t val);
void virtio_pci_pause(struct pci_dev *);
void virtio_pci_resume(struct pci_dev *);
void virtio_pci_snapshot(struct pci_dev *, struct snap *);

/* --- for models ------------------------------------------------------------
 */

struct pci_dev *virtio_pci_dev(const struct virtio_dev *);
/* Negotiated; 0 before FEATURES_OK (legacy: before the first write). */
uint64_t virtio_features(const struct virtio_dev *);
bool virtio_has(const struct virtio_dev *, unsigned int feature_bit);
/* Started, and nothing is broken. */
bool virtio_running(const struct virtio_dev *);
/* Another number after every reset: tells an old request from a new one. */
uint32_t virtio_generation(const struct virtio_dev *);
/* Tell the driver that the configuration structure changed. */
void virtio_cfg_changed(struct virtio_dev *);
/*
 * The driver broke the protocol (or the model cannot go on):
 * DEVICE_NEEDS_RESET, no queue works until a reset.  `why` for guest_error().
 */
void virtio_broken(struct virtio_dev *, const char *why);
struct vq *virtio_vq(struct virtio_dev *, unsigned int q);

/*
 * One chain of buffers, taken from a queue.  The walker has checked it: all
 * iovecs are guest RAM, none is empty, readable ones come first.  What is in
 * the buffers may change at any time.
 */
struct vq_chain {
	uint16_t head;
	unsigned int niov_out; /* iov[0 .. niov_out): the driver's to read */
	unsigned int niov; /* iov[niov_out .. niov): the device's to write */
	uint64_t len_out, len_in;
	struct iovec *iov; /* the caller's */
	uint32_t generation;
};

/*
 * Takes the next chain; `iov` has room for `iov_max` parts.  1: *ret is set; 0:
 * the queue is empty (or off); -1: the chain was malformed or too long and the
 * device is broken now.
 */
int vq_pop(struct vq *, struct iovec *iov, unsigned int iov_max,
    struct vq_chain *ret) WARN_UNUSED;
/* Undo the last n vq_pop()s, none of whose chains was pushed. */
void vq_unpop(struct vq *, unsigned int n);
/*
 * Gives a chain back with `len` bytes written from its first writable byte on.
 * In any order; the driver is told by vq_notify().  A chain from before a
 * reset is dropped.
 */
void vq_push(struct vq *, const struct vq_chain *, uint32_t len);
/* The same for several that the driver must see at once: fill, fill, flush. */
void vq_fill(struct vq *, const struct vq_chain *, uint32_t len);
void vq_flush(struct vq *);
/* Interrupt the driver if it wants to hear of what was pushed since. */
void vq_notify(struct vq *);
/* A chain could be popped. */
bool vq_has_work(struct vq *);
/*
 * Notifications off while the model polls.  Switching on says whether work
 * came in the meantime, which then would go unnoticed.
 */
void vq_kicks_off(struct vq *);
bool vq_kicks_on(struct vq *) WARN_UNUSED;

/*
 * Copy between a part of a chain and memory: [off, off+len) of the driver's
 * readable (out) or the device's writable (in) bytes; short at the end: how
 * many were copied.
 */
size_t
vq_chain_read(const struct vq_chain *, uint64_t off, void *dst, size_t len);
size_t vq_chain_write(
    const struct vq_chain *, uint64_t off, const void *src, size_t len);

#endif /* VMM_VIRTIO_H */
