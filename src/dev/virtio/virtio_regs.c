/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables of registers: cuts an access of any width at any offset into the
 * registers it covers.  And the registers that both transports have.
 */
#include "virtio_priv.h"

static const struct virtio_reg *
reg_at(const struct virtio_reg *regs, size_t nregs, uint64_t off)
{
	for (size_t i = 0; i < nregs; i++)
		if (off - regs[i].off < regs[i].len)
			return &regs[i];
	return NULL;
}

static uint32_t
reg_read(struct virtio_pci *v, const struct virtio_reg *r)
{
	return r->read != NULL ? r->read(v) : 0;
}

void
virtio_regs_read(struct virtio_pci *v, const struct virtio_reg *regs,
    size_t nregs, uint64_t off, uint8_t *buf, unsigned int len)
{
	const struct virtio_reg *r = NULL;
	uint32_t val = 0;

	for (unsigned int i = 0; i < len; i++, off++) {
		/* Each register once: the ISR clears when it is read. */
		if (r == NULL || off - r->off >= r->len) {
			r = reg_at(regs, nregs, off);
			val = r != NULL ? reg_read(v, r) : 0;
		}
		buf[i] = r != NULL ? (uint8_t)(val >> 8 * (off - r->off)) : 0;
	}
}

/* Write the bytes of `buf` that lie in `r`, which holds `off`; how many. */
static unsigned int
reg_write(struct virtio_pci *v, const struct virtio_reg *r, uint64_t off,
    const uint8_t *buf, unsigned int len)
{
	unsigned int first = (unsigned int)(off - r->off);
	unsigned int n = MIN(len, r->len - first);
	uint32_t val = 0;

	if (r->write == NULL)
		return n;
	if (n < r->len)
		val = reg_read(v, r);
	for (unsigned int i = 0; i < n; i++) {
		unsigned int shift = 8 * (first + i);

		val = (val & ~(0xffu << shift)) | (uint32_t)buf[i] << shift;
	}
	r->write(v, val);
	return n;
}

void
virtio_regs_write(struct virtio_pci *v, const struct virtio_reg *regs,
    size_t nregs, uint64_t off, const uint8_t *buf, unsigned int len)
{
	for (unsigned int i = 0; i < len;) {
		const struct virtio_reg *r = reg_at(regs, nregs, off + i);

		i += r != NULL ? reg_write(v, r, off + i, buf + i, len - i) : 1;
	}
}

uint32_t
virtio_read_queue_select(struct virtio_pci *v)
{
	return v->r.queue_select;
}

void
virtio_write_queue_select(struct virtio_pci *v, uint32_t val)
{
	v->r.queue_select = (uint16_t)val;
}

uint32_t
virtio_read_config_vector(struct virtio_pci *v)
{
	return v->r.config_vector;
}

void
virtio_write_config_vector(struct virtio_pci *v, uint32_t val)
{
	v->r.config_vector = virtio_vector(v, val);
}

uint32_t
virtio_read_queue_vector(struct virtio_pci *v)
{
	const struct vq *q = virtio_selected(v);

	return q != NULL ? q->r.vector : VIRTIO_NO_VECTOR;
}

void
virtio_write_queue_vector(struct virtio_pci *v, uint32_t val)
{
	struct vq *q = virtio_selected(v);

	if (q != NULL)
		q->r.vector = virtio_vector(v, val);
}

uint32_t
virtio_read_status(struct virtio_pci *v)
{
	return v->r.status;
}
