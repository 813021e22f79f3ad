/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-blk: a disk, OASIS virtio 1.2 section 5.2, on a file or a block device
 * of the host.  Reads, writes, flush, identity, discard, write zeroes; 1 to 16
 * queues.  Serial number and class code are bhyve's (docs/bhyve.md 1.5, 1.16).
 *
 * Not here on purpose: zones, secure erase and lifetime, which need a host disk
 * that has them; a geometry, which no guest uses.
 *
 * Requests are popped and started in the vCPU thread that kicks.  There they
 * end as well if the host had their data in memory, else in threads of the
 * backend; both put them on a list of their own, and whoever has the device's
 * lock gives the whole list back to the driver, with one interrupt. A request
 * that takes several steps - a discard of many ranges, a write that must be
 * flushed - starts its next one there.
 */
#include <vmm/virtio.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <dev/block_conf.h>
#include <util/lock.h>
#include <vmm/snap.h>
#include <vmm/vcpu.h>

#define BLK_TYPE       2
#define BLK_CLASS      0x010000 /* mass storage, SCSI: bhyve's */
#define BLK_QUEUE_SIZE 256
#define BLK_NQUEUES    16
/* A megabyte of scattered pages, and the longest chain without an indirect. */
#define BLK_SEG_MAX (BLK_QUEUE_SIZE - 2)
/* Header and status cut up by the byte at worst. */
#define BLK_IOV_MAX   (BLK_SEG_MAX + 17)
#define BLK_IOV_SMALL 8u
#define BLK_SECTOR    512u /* of the protocol */
#define BLK_LEN_MAX   (1u << 30)
#define BLK_ID_BYTES  20u

/* Section 5.2.3. */
#define VIRTIO_BLK_F_SEG_MAX	  2
#define VIRTIO_BLK_F_RO		  5
#define VIRTIO_BLK_F_BLK_SIZE	  6
#define VIRTIO_BLK_F_FLUSH	  9
#define VIRTIO_BLK_F_TOPOLOGY	  10
#define VIRTIO_BLK_F_CONFIG_WCE	  11
#define VIRTIO_BLK_F_MQ		  12
#define VIRTIO_BLK_F_DISCARD	  13
#define VIRTIO_BLK_F_WRITE_ZEROES 14

/* Section 5.2.4, up to what the features above cover; little-endian. */
struct blk_config {
	uint64_t capacity; /* in sectors of 512 */
	uint32_t size_max;
	uint32_t seg_max;
	struct {
		uint16_t cylinders;
		uint8_t heads, sectors;
	} geometry;
	uint32_t blk_size;
	struct {
		uint8_t physical_block_exp, alignment_offset;
		uint16_t min_io_size; /* in logical blocks */
		uint32_t opt_io_size;
	} topology;
	uint8_t writeback;
	uint8_t unused0;
	uint16_t num_queues;
	uint32_t max_discard_sectors;
	uint32_t max_discard_seg;
	uint32_t discard_sector_alignment;
	uint32_t max_write_zeroes_sectors;
	uint32_t max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap;
	uint8_t unused1[3];
} __attribute__((packed));
static_assert(offsetof(struct blk_config, blk_size) == 20, "5.2.4");
static_assert(offsetof(struct blk_config, writeback) == 32, "5.2.4");
static_assert(
    offsetof(struct blk_config, max_write_zeroes_sectors) == 48, "5.2.4");
static_assert(sizeof(struct blk_config) == 60, "5.2.4");

/* Section 5.2.6. */
#define VIRTIO_BLK_T_IN		  0
#define VIRTIO_BLK_T_OUT	  1
#define VIRTIO_BLK_T_FLUSH	  4
#define VIRTIO_BLK_T_FLUSH_OUT	  5 /* legacy */
#define VIRTIO_BLK_T_GET_ID	  8
#define VIRTIO_BLK_T_DISCARD	  11
#define VIRTIO_BLK_T_WRITE_ZEROES 13
#define BLK_T_BARRIER		  0x80000000u /* legacy */

struct blk_header {
	uint32_t type, reserved;
	uint64_t sector;
};
static_assert(sizeof(struct blk_header) == 16, "5.2.6");

struct blk_range { /* of discard and write zeroes */
	uint64_t sector;
	uint32_t num_sectors;
	uint32_t flags;
};
static_assert(sizeof(struct blk_range) == 16, "5.2.6");
#define BLK_RANGE_UNMAP 1u
#define BLK_RANGES_MAX	32u
/* 4 GiB at once; 64 MiB where zeroes must be written one by one. */
#define BLK_RANGE_SECTORS      (1u << 23)
#define BLK_RANGE_SECTORS_SLOW (1u << 17)

enum blk_status {
	VIRTIO_BLK_S_OK = 0,
	VIRTIO_BLK_S_IOERR = 1,
	VIRTIO_BLK_S_UNSUPP = 2,
	BLK_PENDING = 3, /* not told: the backend has it */
};

struct blk_req {
	struct block_req io;
	struct blk *blk;
	struct blk_req *next;
	struct vq_chain chain;
	unsigned int queue;
	uint8_t *status; /* in guest memory */
	enum blk_status answer;
	uint32_t len_in; /* bytes of data the driver gets */
	bool flushing;	 /* the write is done, its flush is not */
	struct blk_range *ranges;
	unsigned int range, nranges;
	struct iovec small[BLK_IOV_SMALL]; /* chain.iov, or that is malloc'ed */
};

struct blk_list {
	struct blk_req *head, *tail;
};

struct blk {
	struct virtio_dev dev; /* first */
	struct pci_dev *pd;
	struct blockdev *disk;
	const struct block_info *info;
	struct blk_config cfg;
	bool sync; /* the backend's writes are stable when they are done */
	bool resetting;
	unsigned int nbusy;   /* requests between pop and push */
	struct blk_req *free; /* as many as were ever busy together */
	struct iovec scratch[BLK_IOV_MAX];

	struct lock done_lock; /* leaf; guards: */
	struct blk_list done;
};

static struct blk *
blk_of(struct virtio_dev *dev)
{
	return (struct blk *)dev;
}

/* --- requests ------------------------------------------------------------- */

static void
blk_list_add(struct blk_list *l, struct blk_req *r)
{
	r->next = NULL;
	if (l->head == NULL)
		l->head = r;
	else
		l->tail->next = r;
	l->tail = r;
}

/*
 * A request for a chain in the scratch array; NULL: no memory.  There are never
 * more than the queues have descriptors, and long arrays live as long as their
 * request.
 */
static struct blk_req *
blk_req_get(struct blk *b, unsigned int queue, const struct vq_chain *c)
{
	struct blk_req *r = b->free;
	struct iovec *iov;

	if (r == NULL)
		r = malloc(sizeof(*r));
	else
		b->free = r->next;
	if (r == NULL)
		return NULL;
	*r = (struct blk_req){ .blk = b, .queue = queue, .chain = *c };
	iov = c->niov <= BLK_IOV_SMALL ? r->small
				       : malloc(c->niov * sizeof(*iov));
	if (iov == NULL) {
		r->next = b->free;
		b->free = r;
		return NULL;
	}
	memcpy(iov, c->iov, c->niov * sizeof(*iov));
	r->chain.iov = iov;
	b->nbusy++;
	return r;
}

static void
blk_req_put(struct blk_req *r)
{
	struct blk *b = r->blk;

	if (r->chain.iov != r->small)
		free(r->chain.iov);
	free(r->ranges);
	assert(b->nbusy > 0);
	b->nbusy--;
	r->next = b->free;
	b->free = r;
}

static void
blk_answer(struct blk_req *r, enum blk_status answer)
{
	struct blk *b = r->blk;

	r->answer = answer;
	lock_acquire(&b->done_lock);
	blk_list_add(&b->done, r);
	lock_release(&b->done_lock);
}

/*
 * In a thread of the backend; or in block_settle() or block_kick(), with the
 * device's lock.
 */
static void
blk_done(struct block_req *io, int error)
{
	blk_answer(container_of(io, struct blk_req, io),
	    error == 0		   ? VIRTIO_BLK_S_OK
	    : error == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP
				   : VIRTIO_BLK_S_IOERR);
}

static enum blk_status
blk_start(struct blk_req *r, enum block_op op)
{
	r->io.op = op;
	r->io.done = blk_done;
	block_submit(r->blk->disk, &r->io);
	return BLK_PENDING;
}

/* --- kinds of requests ---------------------------------------------------- */

/*
 * Sectors are 512 bytes whatever blk_size is; the backend checks the rest.  The
 * multiplication may not overflow.
 */
static bool
blk_range_ok(const struct blk *b, uint64_t sector, uint64_t len)
{
	return sector <= b->cfg.capacity && len % BLK_SECTOR == 0 &&
	       len / BLK_SECTOR <= b->cfg.capacity - sector;
}

/* Cuts n bytes off the beginning of the parts the device reads. */
static void
blk_trim_header(struct vq_chain *c, size_t n)
{
	for (unsigned int i = 0; i < c->niov_out && n > 0; i++) {
		size_t part = MIN(n, c->iov[i].iov_len);

		c->iov[i].iov_base = (char *)c->iov[i].iov_base + part;
		c->iov[i].iov_len -= part;
		n -= part;
	}
}

static enum blk_status
blk_transfer(struct blk_req *r, enum block_op op, uint64_t sector, uint64_t len)
{
	/* A chain may be longer than any disk, and than the used length. */
	if (len > BLK_LEN_MAX || !blk_range_ok(r->blk, sector, len))
		return VIRTIO_BLK_S_IOERR;
	r->io.off = sector * BLK_SECTOR;
	r->io.len = len;
	r->len_in = op == BLOCK_READ ? (uint32_t)len : 0;
	return blk_start(r, op);
}

static enum blk_status
blk_in(struct blk_req *r, const struct blk_header *h)
{
	const struct vq_chain *c = &r->chain;

	r->io.iov = c->iov + c->niov_out;
	r->io.niov = c->niov - c->niov_out;
	return blk_transfer(r, BLOCK_READ, h->sector, c->len_in - 1);
}

static enum blk_status
blk_out(struct blk_req *r, const struct blk_header *h)
{
	struct vq_chain *c = &r->chain;

	blk_trim_header(c, sizeof(*h));
	r->io.iov = c->iov;
	r->io.niov = c->niov_out;
	return blk_transfer(r, BLOCK_WRITE, h->sector, c->len_out - sizeof(*h));
}

static enum blk_status
blk_flush(struct blk_req *r, const struct blk_header *h)
{
	return blk_start(r, BLOCK_FLUSH);
}

/* As much of it as there is room for. */
static enum blk_status
blk_get_id(struct blk_req *r, const struct blk_header *h)
{
	char id[BLK_ID_BYTES] = { 0 };
	const char *ident = r->blk->info->ident;

	memcpy(id, ident, strnlen(ident, sizeof(id)));
	r->len_in = (uint32_t)vq_chain_write(&r->chain, 0, id, sizeof(id));
	return VIRTIO_BLK_S_OK;
}

/* --- ranges: discard and write zeroes ------------------------------------- */

static enum blk_status
blk_start_range(struct blk_req *r, enum block_op op)
{
	const struct blk_range *range = &r->ranges[r->range++];

	r->io.off = range->sector * BLK_SECTOR;
	r->io.len = (uint64_t)range->num_sectors * BLK_SECTOR;
	r->io.unmap = (range->flags & BLK_RANGE_UNMAP) != 0;
	return blk_start(r, op);
}

/* 5.2.6.2: unknown flags are not supported; a range has a largest size. */
static enum blk_status
blk_check_range(const struct blk *b, const struct blk_range *range,
    uint32_t flags, uint32_t max)
{
	if ((range->flags & ~flags) != 0)
		return VIRTIO_BLK_S_UNSUPP;
	if (range->num_sectors > max ||
	    !blk_range_ok(
		b, range->sector, (uint64_t)range->num_sectors * BLK_SECTOR))
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

/* All ranges are right, or nothing is done. */
static enum blk_status
blk_ranges(struct blk_req *r, enum block_op op, uint32_t flags, uint32_t max)
{
	uint64_t len = r->chain.len_out - sizeof(struct blk_header);
	enum blk_status status = VIRTIO_BLK_S_OK;

	if (r->blk->info->ro || len == 0 || len % sizeof(*r->ranges) != 0 ||
	    len > BLK_RANGES_MAX * sizeof(*r->ranges))
		return VIRTIO_BLK_S_IOERR;
	r->ranges = malloc((size_t)len);
	if (r->ranges == NULL)
		return VIRTIO_BLK_S_IOERR;
	r->nranges = (unsigned int)(len / sizeof(*r->ranges));
	vq_chain_read(
	    &r->chain, sizeof(struct blk_header), r->ranges, (size_t)len);
	for (unsigned int i = 0; i < r->nranges && status == VIRTIO_BLK_S_OK;
	     i++)
		status = blk_check_range(r->blk, &r->ranges[i], flags, max);
	return status == VIRTIO_BLK_S_OK ? blk_start_range(r, op) : status;
}

static enum blk_status
blk_discard(struct blk_req *r, const struct blk_header *h)
{
	if (!virtio_has(&r->blk->dev, VIRTIO_BLK_F_DISCARD))
		return VIRTIO_BLK_S_UNSUPP;
	return blk_ranges(r, BLOCK_DISCARD, 0, r->blk->cfg.max_discard_sectors);
}

static enum blk_status
blk_write_zeroes(struct blk_req *r, const struct blk_header *h)
{
	if (!virtio_has(&r->blk->dev, VIRTIO_BLK_F_WRITE_ZEROES))
		return VIRTIO_BLK_S_UNSUPP;
	return blk_ranges(r, BLOCK_WRITE_ZEROES, BLK_RANGE_UNMAP,
	    r->blk->cfg.max_write_zeroes_sectors);
}

static const struct blk_kind {
	uint32_t type;
	enum blk_status (*begin)(struct blk_req *, const struct blk_header *);
} blk_kinds[] = {
	{ VIRTIO_BLK_T_IN, blk_in },
	{ VIRTIO_BLK_T_OUT, blk_out },
	{ VIRTIO_BLK_T_FLUSH, blk_flush },
	{ VIRTIO_BLK_T_FLUSH_OUT, blk_flush },
	{ VIRTIO_BLK_T_GET_ID, blk_get_id },
	{ VIRTIO_BLK_T_DISCARD, blk_discard },
	{ VIRTIO_BLK_T_WRITE_ZEROES, blk_write_zeroes },
};

static enum blk_status
blk_begin(struct blk_req *r)
{
	struct blk_header h;

	vq_chain_read(&r->chain, 0, &h, sizeof(h));
	if (!virtio_has(&r->blk->dev, VIRTIO_F_VERSION_1))
		h.type &= ~BLK_T_BARRIER;
	for (size_t i = 0; i < ARRAY_LEN(blk_kinds); i++)
		if (blk_kinds[i].type == h.type)
			return blk_kinds[i].begin(r, &h);
	return VIRTIO_BLK_S_UNSUPP;
}

/* --- giving back ---------------------------------------------------------- */

/*
 * 5.2.6.2: a driver without FLUSH, or one that switched the write cache off,
 * relies on a write that is done to be on the disk.
 */
static bool
blk_must_flush(const struct blk_req *r)
{
	const struct blk *b = r->blk;

	if (b->sync || r->flushing ||
	    (r->io.op != BLOCK_WRITE && r->io.op != BLOCK_WRITE_ZEROES))
		return false;
	return !virtio_has(&b->dev, VIRTIO_BLK_F_FLUSH) ||
	       (virtio_has(&b->dev, VIRTIO_BLK_F_CONFIG_WCE) &&
		   b->cfg.writeback == 0);
}

/* True: the request goes on with another step. */
static bool
blk_next_step(struct blk_req *r)
{
	if (r->answer != VIRTIO_BLK_S_OK || r->blk->resetting)
		return false;
	if (r->range < r->nranges) {
		blk_start_range(r, r->io.op);
		return true;
	}
	if (!blk_must_flush(r))
		return false;
	r->flushing = true;
	blk_start(r, BLOCK_FLUSH);
	return true;
}

static void
blk_mark_written(struct blk *b, const struct vq_chain *c)
{
	for (unsigned int i = c->niov_out; i < c->niov; i++)
		if (c->iov[i].iov_len > 0)
			pci_dma_written(
			    b->pd, c->iov[i].iov_base, c->iov[i].iov_len);
}

/*
 * The used length promises that so many bytes were written from the first one
 * on, and the status is the last.
 */
static void
blk_push(struct blk_req *r)
{
	const struct vq_chain *c = &r->chain;
	struct blk *b = r->blk;
	uint32_t len = r->answer == VIRTIO_BLK_S_OK ? r->len_in : 0;

	*(volatile uint8_t *)r->status = (uint8_t)r->answer;
	pci_dma_written(b->pd, r->status, 1);
	/* The host may have written a part before it failed. */
	if (r->answer != VIRTIO_BLK_S_OK)
		blk_mark_written(b, c);
	if (len == c->len_in - 1)
		len++;
	vq_push(virtio_vq(&b->dev, r->queue), c, len);
	blk_req_put(r);
}

/* One list of what is done; the queues that got something. */
static uint32_t
blk_push_done(struct blk *b)
{
	struct blk_req *r, *next;
	uint32_t queues = 0;

	lock_acquire(&b->done_lock);
	next = b->done.head;
	b->done.head = NULL;
	lock_release(&b->done_lock);
	while ((r = next) != NULL) {
		next = r->next;
		if (blk_next_step(r))
			continue;
		queues |= BIT(r->queue);
		if (b->resetting)
			blk_req_put(r);
		else
			blk_push(r);
	}
	return queues;
}

/*
 * Starts what was taken, and gives all that is done back to the driver: one
 * interrupt a queue.  What ends in the kick and goes on with another step
 * comes round once more; steps are few.  While the device is being reset
 * guest memory is not ours any more.
 */
static void
blk_give_back(struct blk *b)
{
	uint32_t queues = 0;

	do {
		queues |= blk_push_done(b);
	} while (block_kick(b->disk));
	for (unsigned int q = 0; queues >> q != 0; q++)
		if (queues & BIT(q))
			vq_notify(virtio_vq(&b->dev, q));
}

/* After the last of several requests that ended together. */
static void
blk_batch_done(void *arg)
{
	struct blk *b = arg;

	pci_dev_lock(b->pd);
	blk_give_back(b);
	pci_dev_unlock(b->pd);
}

/* --- taking --------------------------------------------------------------- */

/* The last byte the device may write is the status; the rest is data. */
static void
blk_cut_status(struct blk_req *r)
{
	struct iovec *last = &r->chain.iov[r->chain.niov - 1];

	last->iov_len--;
	r->status = (uint8_t *)last->iov_base + last->iov_len;
}

/* False: nothing more can be taken from this queue. */
static bool
blk_take(struct blk *b, unsigned int q, const struct vq_chain *c)
{
	enum blk_status status;
	struct blk_req *r;

	if (c->len_out < sizeof(struct blk_header) || c->len_in == 0) {
		virtio_broken(&b->dev, c->len_in == 0
					   ? "a request without a status byte"
					   : "a request with half a header");
		return false;
	}
	r = blk_req_get(b, q, c);
	if (r == NULL) {
		virtio_broken(&b->dev, "the host has no memory for a request");
		return false;
	}
	blk_cut_status(r);
	status = blk_begin(r);
	if (status != BLK_PENDING)
		blk_answer(r, status);
	return true;
}

/*
 * Ends: what is answered at once is given back after the last is taken, so
 * there are no more of them than the queue has descriptors.
 */
static void
blk_notify(struct virtio_dev *dev, unsigned int q)
{
	struct blk *b = blk_of(dev);
	struct vq *vq = virtio_vq(dev, q);
	struct vq_chain c;

	while (vq_pop(vq, b->scratch, BLK_IOV_MAX, &c) == 1)
		if (!blk_take(b, q, &c))
			break;
	blk_give_back(b);
}

/* --- the device ----------------------------------------------------------- */

/* Until nothing is under way; a request of several steps does them all. */
static void
blk_quiesce(struct blk *b)
{
	while (b->nbusy > 0) {
		block_settle(b->disk);
		blk_give_back(b);
	}
}

static void
blk_reset(struct virtio_dev *dev)
{
	struct blk *b = blk_of(dev);

	b->resetting = true;
	blk_quiesce(b);
	b->resetting = false;
	b->cfg.writeback = !b->sync;
}

static void
blk_pause(struct virtio_dev *dev)
{
	blk_quiesce(blk_of(dev));
}

static void
blk_cfg_read(
    struct virtio_dev *dev, unsigned int off, void *buf, unsigned int len)
{
	memcpy(buf, (const char *)&blk_of(dev)->cfg + off, len);
}

/* Only the cache can be set, and only by who knows of it. */
static void
blk_cfg_write(
    struct virtio_dev *dev, unsigned int off, const void *buf, unsigned int len)
{
	const unsigned int at = offsetof(struct blk_config, writeback);

	if (virtio_has(dev, VIRTIO_BLK_F_CONFIG_WCE) &&
	    ranges_overlap(off, len, at, 1))
		blk_of(dev)->cfg.writeback =
		    ((const uint8_t *)buf)[at - off] & 1;
}

static void
blk_snapshot(struct virtio_dev *dev, struct snap *s)
{
	struct blk *b = blk_of(dev);
	uint8_t writeback = b->cfg.writeback;

	snap_var(s, writeback);
	if (!snap_loading(s) || snap_error(s) != 0)
		return;
	if (writeback > 1)
		snap_fail(s);
	else
		b->cfg.writeback = writeback;
}

static const struct virtio_ops blk_virtio_ops = {
	.type = BLK_TYPE,
	.class_code = BLK_CLASS,
	.cfg_len = sizeof(struct blk_config),
	.reset = blk_reset,
	.notify = blk_notify,
	.cfg_read = blk_cfg_read,
	.cfg_write = blk_cfg_write,
	.pause = blk_pause,
	.snapshot = blk_snapshot,
};

/* --- making one ----------------------------------------------------------- */

static uint8_t
blk_log2(uint32_t v)
{
	return (uint8_t)__builtin_ctz(v);
}

static void
blk_fill_config(struct blk *b, unsigned int nqueues)
{
	const struct block_info *info = b->info;
	struct blk_config *c = &b->cfg;
	uint32_t phys = info->psec_bytes / info->lsec_bytes;

	c->capacity = info->bytes / BLK_SECTOR;
	c->seg_max = BLK_SEG_MAX;
	c->blk_size = info->lsec_bytes;
	c->topology.physical_block_exp = blk_log2(phys);
	c->topology.min_io_size = (uint16_t)MIN(phys, 65535u);
	c->writeback = !b->sync;
	c->num_queues = (uint16_t)nqueues;
	if (info->can_discard) {
		c->max_discard_sectors = BLK_RANGE_SECTORS;
		c->max_discard_seg = BLK_RANGES_MAX;
		c->discard_sector_alignment = info->psec_bytes / BLK_SECTOR;
	}
	if (!info->ro) {
		c->max_write_zeroes_sectors =
		    info->can_zero ? BLK_RANGE_SECTORS : BLK_RANGE_SECTORS_SLOW;
		c->max_write_zeroes_seg = BLK_RANGES_MAX;
		c->write_zeroes_may_unmap = info->can_discard;
	}
}

static uint64_t
blk_features(const struct blk *b)
{
	uint64_t f = BIT64(VIRTIO_BLK_F_SEG_MAX) |
		     BIT64(VIRTIO_BLK_F_BLK_SIZE) | BIT64(VIRTIO_BLK_F_FLUSH) |
		     BIT64(VIRTIO_BLK_F_TOPOLOGY);

	if (b->info->ro)
		f |= BIT64(VIRTIO_BLK_F_RO);
	else
		f |= BIT64(VIRTIO_BLK_F_WRITE_ZEROES);
	if (b->info->can_discard)
		f |= BIT64(VIRTIO_BLK_F_DISCARD);
	/* A cache that cannot be switched on is none to be switched. */
	if (!b->sync && !b->info->ro)
		f |= BIT64(VIRTIO_BLK_F_CONFIG_WCE);
	if (b->cfg.num_queues > 1)
		f |= BIT64(VIRTIO_BLK_F_MQ);
	return f;
}

/*
 * A queue for each vCPU, so that a request ends on the one that made it: no
 * other vCPU is woken for it, and none has to pass it on.
 */
static int
blk_parse_queues(struct pci_dev *pd, uint64_t *ret_n, char *err, size_t err_len)
{
	const char *s = pci_dev_opt(pd, "queues");

	*ret_n = MIN(vm_ncpus(pci_dev_vm(pd)), (unsigned int)BLK_NQUEUES);
	if (s == NULL || parse_u64(s, 1, BLK_NQUEUES, ret_n) == 0)
		return 0;
	snprintf(err, err_len, "queues=%.32s: right is a number from 1 to %d",
	    s, BLK_NQUEUES);
	return -EINVAL;
}

static int
blk_init(struct pci_dev *pd, char *err, size_t err_len)
{
	struct blk *b = pci_dev_state(pd);
	struct block_opts opts = {
		.batch_done = blk_batch_done,
		.arg = b,
		.kick_completes = true,
	};
	struct virtio_spec spec = { .queue_size = BLK_QUEUE_SIZE };
	uint64_t nqueues;
	int error;

	b->pd = pd;
	lock_init(&b->done_lock);
	error = blk_parse_queues(pd, &nqueues, err, err_len);
	if (error == 0)
		error = block_conf_open(pd, "", &opts, &b->disk, err, err_len);
	if (error != 0)
		return error;
	b->info = block_info(b->disk);
	b->sync = opts.sync;
	blk_fill_config(b, (unsigned int)nqueues);
	spec.nqueues = (unsigned int)nqueues;
	spec.features = blk_features(b);
	return virtio_init(&b->dev, pd, &blk_virtio_ops, &spec, err, err_len);
}

/* What is under way comes to its end on the disk, and goes nowhere. */
static void
blk_fini(struct pci_dev *pd)
{
	struct blk *b = pci_dev_state(pd);
	struct blk_req *r;

	pci_dev_lock(pd);
	b->resetting = true;
	pci_dev_unlock(pd);
	block_close(b->disk);
	assert(b->nbusy == 0);
	virtio_fini(&b->dev);
	while ((r = b->free) != NULL) {
		b->free = r->next;
		free(r);
	}
	lock_fini(&b->done_lock);
}

static const struct pci_opt blk_opts[] = {
	BLOCK_CONF_OPTS(""),
	{ "queues", "number of queues, 1 to 16 (default: one a vCPU)" },
	VIRTIO_PCI_OPTS,
	{ NULL, NULL },
};

extern const struct pci_dev_ops virtio_blk_ops;

const struct pci_dev_ops virtio_blk_ops = {
	.name = "virtio-blk",
	.summary = "virtio disk",
	.id = { .vendor = 0x1af4, .device = 0x1001, .class_code = BLK_CLASS },
	.opts = blk_opts,
	.state_size = sizeof(struct blk),
	.init = blk_init,
	.fini = blk_fini,
	VIRTIO_PCI_OPS,
};
