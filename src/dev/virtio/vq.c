/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ring walker: split virtqueues, OASIS virtio 1.2 section 2.7, with
 * indirect descriptors and event index, for every virtio device on both
 * transports.  Packed rings are missing on purpose: no guest needs them.
 *
 * The driver is hostile and on another CPU.  A field of a ring is loaded once
 * and the copy is checked; what does not fit breaks the device
 * (virtio_broken()), which then touches the rings no more.  Runs in whichever
 * thread holds the device's lock.
 */
#include "virtio_priv.h"

/* --- set-up --------------------------------------------------------------- */

void
vq_reset(struct vq *q)
{
	q->r = (struct vq_regs){
		.size = q->core->queue_size,
		.vector = VIRTIO_NO_VECTOR,
	};
	q->desc = NULL;
	q->avail = NULL;
	q->used = NULL;
	q->kicks = true;
	q->event_armed = false;
	q->nheads = 0;
	memset(q->inflight, 0, sizeof(q->inflight));
}

void
vq_init(struct vq *q, struct virtio_pci *core, unsigned int index)
{
	q->core = core;
	q->index = index;
	vq_reset(q);
}

bool
vq_map(struct vq *q)
{
	struct pci_dev *pd = q->core->pd;
	const struct vq_regs *r = &q->r;

	if (r->desc_gpa % VRING_DESC_ALIGN != 0 ||
	    r->avail_gpa % VRING_AVAIL_ALIGN != 0 ||
	    r->used_gpa % VRING_USED_ALIGN != 0)
		return false;
	q->avail =
	    pci_dma_map(pd, r->avail_gpa, VRING_AVAIL_BYTES((size_t)r->size));
	q->used =
	    pci_dma_map(pd, r->used_gpa, VRING_USED_BYTES((size_t)r->size));
	q->desc =
	    pci_dma_map(pd, r->desc_gpa, VRING_DESC_BYTES((size_t)r->size));
	if (q->avail == NULL || q->used == NULL)
		q->desc = NULL;
	return q->desc != NULL;
}

/* The rings may be touched.  Without bus mastering there is no memory. */
static bool
vq_ready(struct vq *q)
{
	const struct virtio_pci *v = q->core;

	if (!v->r.started || v->r.broken || !q->r.enabled ||
	    !pci_bus_master(v->pd))
		return false;
	if (q->desc == NULL && !vq_map(q)) {
		virtio_broken(v->dev, "a ring is not in memory");
		return false;
	}
	return true;
}

/* --- the shared fields ---------------------------------------------------- */

static uint16_t
vq_slot(const struct vq *q, uint16_t idx)
{
	return idx & (q->r.size - 1);
}

/* Acquire: pairs with the driver's barrier before it moves avail->idx. */
static uint16_t
vq_avail_count(const struct vq *q)
{
	uint16_t idx = __atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE);

	return (uint16_t)(idx - q->r.last_avail);
}

static void
vq_store16(struct vq *q, uint16_t *p, uint16_t val)
{
	__atomic_store_n(p, val, __ATOMIC_RELAXED);
	pci_dma_written(q->core->pd, p, sizeof(*p));
}

/*
 * Ask for a notification of the next buffer, and look again: the fence pairs
 * with the driver's between moving avail->idx and reading avail_event or
 * used->flags (2.7.13.4.1); one of the two sees the other.
 */
static uint16_t
vq_ask_for_kick(struct vq *q)
{
	if (virtio_negotiated(q->core, VIRTIO_F_EVENT_IDX)) {
		vq_store16(
		    q, (uint16_t *)&q->used->ring[q->r.size], q->r.last_avail);
		q->event_at = q->r.last_avail;
		q->event_armed = true;
	} else {
		vq_store16(q, &q->used->flags, 0);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return vq_avail_count(q);
}

/* Chains to take; 0 also when the queue is off; -1: the device broke. */
static int
vq_pending(struct vq *q)
{
	uint16_t n;

	if (!vq_ready(q))
		return 0;
	n = vq_avail_count(q);
	if (n == 0 && q->kicks &&
	    virtio_negotiated(q->core, VIRTIO_F_EVENT_IDX) &&
	    (!q->event_armed || q->event_at != q->r.last_avail))
		n = vq_ask_for_kick(q);
	if (n > q->r.size) {
		virtio_broken(
		    q->core->dev, "more buffers available than the queue has");
		return -1;
	}
	return n;
}

/* --- a chain -------------------------------------------------------------- */

struct vq_walk {
	struct vq *q;
	struct vq_chain *chain;
	unsigned int iov_max;
	unsigned int ndesc;
	/* The table the chain is in: the queue's own or an indirect one. */
	const uint8_t *table;
	uint32_t table_len; /* descriptors */
	bool indirect;
};

/* One copy, which the compiler may not go behind. */
static struct vring_desc
vq_load_desc(const struct vq_walk *w, uint32_t i)
{
	struct vring_desc d;

	/* An indirect table has no alignment. */
	memcpy(&d, w->table + (size_t)i * sizeof(d), sizeof(d));
	__asm__ volatile("" : : "r"(&d) : "memory");
	return d;
}

/* 2.7.5.3; NULL, or what is wrong. */
static const char *
vq_enter_indirect(struct vq_walk *w, const struct vring_desc *d)
{
	if (!virtio_negotiated(w->q->core, VIRTIO_F_INDIRECT_DESC))
		return "an indirect descriptor, which was not negotiated";
	if (w->indirect)
		return "an indirect table in an indirect table";
	if ((d->flags & VRING_DESC_F_NEXT) != 0)
		return "an indirect descriptor with a next one";
	if (d->len == 0 || d->len % sizeof(*d) != 0)
		return "an indirect table of an odd size";
	w->table = pci_dma_map(w->q->core->pd, d->addr, d->len);
	if (w->table == NULL)
		return "an indirect table outside memory";
	w->table_len = d->len / sizeof(*d);
	w->indirect = true;
	return NULL;
}

/* An empty buffer is legal by the letter, and skipped. */
static const char *
vq_add_buffer(struct vq_walk *w, const struct vring_desc *d)
{
	struct vq_chain *c = w->chain;
	void *hva;

	if (d->len == 0)
		return NULL;
	if (c->niov == w->iov_max)
		return "a chain of too many buffers";
	hva = pci_dma_map(w->q->core->pd, d->addr, d->len);
	if (hva == NULL)
		return "a buffer outside memory";
	c->iov[c->niov++] = (struct iovec){ hva, d->len };
	if ((d->flags & VRING_DESC_F_WRITE) != 0) {
		c->len_in += d->len;
	} else if (c->niov - 1 != c->niov_out) {
		return "a buffer to read after one to write";
	} else {
		c->niov_out++;
		c->len_out += d->len;
	}
	return NULL;
}

/*
 * Each step takes one descriptor, and there are at most VIRTIO_QUEUE_MAX of
 * them in a chain, so a loop ends.
 */
static const char *
vq_walk(struct vq_walk *w, uint32_t i)
{
	for (;;) {
		const char *why;
		struct vring_desc d;

		if (i >= w->table_len)
			return "a descriptor index beyond the table";
		if (w->ndesc++ >= VIRTIO_QUEUE_MAX)
			return "an endless chain";
		d = vq_load_desc(w, i);
		if ((d.flags & VRING_DESC_F_INDIRECT) != 0) {
			why = vq_enter_indirect(w, &d);
			if (why != NULL)
				return why;
			i = 0;
			continue;
		}
		why = vq_add_buffer(w, &d);
		if (why != NULL || (d.flags & VRING_DESC_F_NEXT) == 0)
			return why;
		i = d.next;
	}
}

static bool
vq_head_busy(const struct vq *q, uint16_t head)
{
	return (q->inflight[head / 64] & BIT64(head % 64)) != 0;
}

static const char *
vq_take(struct vq *q, uint16_t head, unsigned int iov_max, struct vq_chain *c)
{
	struct vq_walk w = {
		.q = q,
		.chain = c,
		.iov_max = iov_max,
		.table = (const uint8_t *)q->desc,
		.table_len = q->r.size,
	};

	if (head >= q->r.size)
		return "a chain that begins beyond the table";
	if (vq_head_busy(q, head))
		return "a chain that is in use";
	return vq_walk(&w, head);
}

int
vq_pop(
    struct vq *q, struct iovec *iov, unsigned int iov_max, struct vq_chain *ret)
{
	struct vq_chain c = { .iov = iov, .generation = q->core->generation };
	uint16_t slot = vq_slot(q, q->r.last_avail);
	int pending = vq_pending(q);
	const char *why;

	if (pending <= 0)
		return pending;
	c.head = __atomic_load_n(&q->avail->ring[slot], __ATOMIC_RELAXED);
	why = vq_take(q, c.head, iov_max, &c);
	if (why != NULL) {
		virtio_broken(q->core->dev, why);
		return -1;
	}
	q->inflight[c.head / 64] |= BIT64(c.head % 64);
	q->popped[slot] = c.head;
	q->nheads++;
	q->r.last_avail++;
	*ret = c;
	return 1;
}

static void
vq_head_done(struct vq *q, uint16_t head)
{
	assert(vq_head_busy(q, head));
	q->inflight[head / 64] &= ~BIT64(head % 64);
	q->nheads--;
}

void
vq_unpop(struct vq *q, unsigned int n)
{
	if (!q->core->r.started)
		return; /* reset meanwhile: there is nothing to undo */
	while (n-- > 0) {
		q->r.last_avail--;
		vq_head_done(q, q->popped[vq_slot(q, q->r.last_avail)]);
	}
}

/* --- giving back ---------------------------------------------------------- */

static void
vq_mark_written(struct vq *q, const struct vq_chain *c, uint32_t len)
{
	for (unsigned int i = c->niov_out; i < c->niov && len > 0; i++) {
		uint32_t n = (uint32_t)MIN(c->iov[i].iov_len, (size_t)len);

		pci_dma_written(q->core->pd, c->iov[i].iov_base, n);
		len -= n;
	}
}

void
vq_fill(struct vq *q, const struct vq_chain *c, uint32_t len)
{
	struct vring_used_elem *elem;

	if (c->generation != q->core->generation)
		return;
	vq_mark_written(q, c, len);
	vq_head_done(q, c->head);
	if (!vq_ready(q))
		return;
	elem = &q->used->ring[vq_slot(q, q->r.used_idx++)];
	__atomic_store_n(&elem->id, c->head, __ATOMIC_RELAXED);
	__atomic_store_n(&elem->len, len, __ATOMIC_RELAXED);
	pci_dma_written(q->core->pd, elem, sizeof(*elem));
}

void
vq_flush(struct vq *q)
{
	if (!vq_ready(q))
		return;
	/* Release: pairs with the driver's barrier after it read used->idx. */
	__atomic_store_n(&q->used->idx, q->r.used_idx, __ATOMIC_RELEASE);
	pci_dma_written(q->core->pd, &q->used->idx, sizeof(q->used->idx));
}

void
vq_push(struct vq *q, const struct vq_chain *c, uint32_t len)
{
	vq_fill(q, c, len);
	vq_flush(q);
}

/* 2.7.7 and 2.7.10: does the driver want to hear of used entries up to now? */
static bool
vq_driver_wants(const struct vq *q, uint16_t old)
{
	const struct virtio_pci *v = q->core;
	uint16_t event;

	/* Legacy: an empty ring is told in any case. */
	if (virtio_negotiated(v, VIRTIO_F_NOTIFY_ON_EMPTY) && q->nheads == 0 &&
	    vq_avail_count(q) == 0)
		return true;
	if (!virtio_negotiated(v, VIRTIO_F_EVENT_IDX))
		return (__atomic_load_n(&q->avail->flags, __ATOMIC_RELAXED) &
			   VRING_AVAIL_F_NO_INTERRUPT) == 0;
	event = __atomic_load_n(&q->avail->ring[q->r.size], __ATOMIC_RELAXED);
	return (uint16_t)(q->r.used_idx - event - 1) <
	       (uint16_t)(q->r.used_idx - old);
}

void
vq_notify(struct vq *q)
{
	uint16_t old = q->r.signalled;

	if (old == q->r.used_idx || !vq_ready(q))
		return;
	q->r.signalled = q->r.used_idx;
	/*
	 * used->idx before used_event and flags: pairs with the driver's fence
	 * between writing those and looking at used->idx once more.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (vq_driver_wants(q, old))
		virtio_interrupt_queue(q);
}

bool
vq_has_work(struct vq *q)
{
	return vq_pending(q) > 0;
}

void
vq_kicks_off(struct vq *q)
{
	q->kicks = false;
	/* With event index the old avail_event keeps the driver quiet. */
	if (vq_ready(q) && !virtio_negotiated(q->core, VIRTIO_F_EVENT_IDX))
		vq_store16(q, &q->used->flags, VRING_USED_F_NO_NOTIFY);
}

bool
vq_kicks_on(struct vq *q)
{
	q->kicks = true;
	return vq_ready(q) && vq_ask_for_kick(q) != 0;
}

void
vq_resume(struct vq *q)
{
	q->kicks = true;
	if (vq_ready(q))
		(void)vq_ask_for_kick(q);
}

/* --- copying -------------------------------------------------------------- */

enum vq_copy_dir { VQ_COPY_OUT, VQ_COPY_IN };

static size_t
vq_chain_copy(const struct vq_chain *c, enum vq_copy_dir dir, uint64_t off,
    uint8_t *buf, size_t len)
{
	unsigned int i = dir == VQ_COPY_OUT ? 0 : c->niov_out;
	unsigned int end = dir == VQ_COPY_OUT ? c->niov_out : c->niov;
	size_t done = 0;

	for (; i < end && done < len; i++) {
		const struct iovec *v = &c->iov[i];
		size_t n;

		if (off >= v->iov_len) {
			off -= v->iov_len;
			continue;
		}
		n = MIN(v->iov_len - (size_t)off, len - done);
		if (dir == VQ_COPY_OUT)
			memcpy(buf + done, (uint8_t *)v->iov_base + off, n);
		else
			memcpy((uint8_t *)v->iov_base + off, buf + done, n);
		done += n;
		off = 0;
	}
	return done;
}

size_t
vq_chain_read(const struct vq_chain *c, uint64_t off, void *dst, size_t len)
{
	return vq_chain_copy(c, VQ_COPY_OUT, off, dst, len);
}

size_t
vq_chain_write(
    const struct vq_chain *c, uint64_t off, const void *src, size_t len)
{
	return vq_chain_copy(
	    c, VQ_COPY_IN, off, (uint8_t *)(uintptr_t)src, len);
}
