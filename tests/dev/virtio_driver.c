/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver for virtio devices (see virtio_driver.h), written from the
 * specification and not with the device's headers: a second opinion.
 */
#include "virtio_driver.h"

#include <stdio.h>

#include <vmmapi.h>
#include <vmm/mem.h>

#define PCI_COMMAND    0x04
#define PCI_BAR(n)     (0x10u + 4 * (n))
#define PCI_CAP_PTR    0x34
#define CAP_VENDOR     0x09
#define CAP_MSIX       0x11

#define VDRV_IO_BASE   0xc000u
#define VDRV_MSIX_BASE 0xd0000000u
#define VDRV_MEM_BASE  0xd0010000u
#define VDRV_MSI_ADDR  0xfee00000u

/* legacy registers */
#define L_HOST_FEATURES	 0
#define L_GUEST_FEATURES 4
#define L_QUEUE_PFN	 8
#define L_QUEUE_SIZE	 12
#define L_QUEUE_SEL	 14
#define L_QUEUE_NOTIFY	 16
#define L_STATUS	 18
#define L_ISR		 19
#define L_CONFIG_VECTOR	 20
#define L_QUEUE_VECTOR	 22

/* common structure */
#define M_DFSELECT	   0
#define M_DF		   4
#define M_GFSELECT	   8
#define M_GF		   12
#define M_CONFIG_VECTOR	   16
#define M_STATUS	   20
#define M_QUEUE_SELECT	   22
#define M_QUEUE_SIZE	   24
#define M_QUEUE_VECTOR	   26
#define M_QUEUE_ENABLE	   28
#define M_QUEUE_NOTIFY_OFF 30
#define M_QUEUE_DESC	   32
#define M_QUEUE_DRIVER	   40
#define M_QUEUE_DEVICE	   48

/* --- the machine ---------------------------------------------------------- */

void
vdrv_machine(struct vdrv_machine *m)
{
	*m = (struct vdrv_machine){ 0 };
	board_init(&m->b);
	assert_int_equal(vm_setup_memory(m->b.ctx, VDRV_RAM, VM_MMAP_ALL), 0);
	m->ram = vm_map_gpa(m->b.ctx, 0, VDRV_RAM);
	assert_non_null(m->ram);
	assert_int_equal(pci_bus_create(m->b.ctx, &m->bus), 0);
	m->conf = conf_create();
}

void
vdrv_machine_fini(struct vdrv_machine *m)
{
	board_fini(&m->b);
	conf_destroy(m->conf);
}

int
vdrv_add_ops(struct vdrv_machine *m, const struct pci_dev_ops *ops,
    const char *settings, char *err, size_t err_len)
{
	char text[512], key[128], *rest = text, *word;

	snprintf(text, sizeof(text), "%s", settings != NULL ? settings : "");
	while ((word = strsep(&rest, ",")) != NULL) {
		char *value = strchr(word, '=');

		if (*word == '\0')
			continue;
		assert_non_null(value);
		*value++ = '\0';
		snprintf(key, sizeof(key), "pci.0.%u.0.%s", VDRV_SLOT, word);
		conf_set_raw(m->conf, key, value);
	}
	return pci_dev_create(
	    m->bus, ops, m->conf, 0, VDRV_SLOT, 0, err, err_len);
}

void
vdrv_add_device(struct vdrv_machine *m, const char *name, const char *settings)
{
	const struct pci_dev_ops *ops = pci_dev_find(name);
	char err[256] = "";

	assert_non_null(ops);
	if (vdrv_add_ops(m, ops, settings, err, sizeof(err)) != 0)
		fail_msg("%s", err);
}

/* --- PCI ------------------------------------------------------------------ */

static uint64_t
vdrv_ecam(const struct vdrv *d, unsigned int off)
{
	return PCI_ECAM_BASE + (d->slot << 15 | off);
}

uint32_t
vdrv_pci_read(struct vdrv *d, unsigned int off, unsigned int bytes)
{
	return (uint32_t)board_read(&d->m->b, vdrv_ecam(d, off), bytes);
}

void
vdrv_pci_write(
    struct vdrv *d, unsigned int off, unsigned int bytes, uint32_t val)
{
	board_write(&d->m->b, vdrv_ecam(d, off), bytes, val);
}

static void
vdrv_found_vendor_cap(struct vdrv *d, unsigned int cap)
{
	uint32_t off = vdrv_pci_read(d, cap + 8, 4);

	switch (vdrv_pci_read(d, cap + 3, 1)) {
	case 1:
		d->common = off;
		break;
	case 2:
		d->notify = off;
		d->notify_multiplier = vdrv_pci_read(d, cap + 16, 4);
		break;
	case 3:
		d->isr = off;
		break;
	case 4:
		d->device = off;
		d->device_len = vdrv_pci_read(d, cap + 12, 4);
		break;
	case 5:
		d->pcicfg = cap;
		break;
	}
}

void
vdrv_probe(struct vdrv *d, struct vdrv_machine *m, enum vdrv_transport t)
{
	*d = (struct vdrv){
		.m = m,
		.transport = t,
		.slot = VDRV_SLOT,
		.io = VDRV_IO_BASE,
		.mem = VDRV_MEM_BASE,
		.msix_table = VDRV_MSIX_BASE,
		.brk = 0x10000,
	};
	vdrv_pci_write(d, PCI_COMMAND, 2, 0);
	vdrv_pci_write(d, PCI_BAR(0), 4, VDRV_IO_BASE);
	vdrv_pci_write(d, PCI_BAR(1), 4, VDRV_MSIX_BASE);
	vdrv_pci_write(d, PCI_BAR(4), 4, VDRV_MEM_BASE);
	vdrv_pci_write(d, PCI_COMMAND, 2, 7);
	for (unsigned int cap = vdrv_pci_read(d, PCI_CAP_PTR, 1); cap != 0;
	     cap = vdrv_pci_read(d, cap + 1, 1)) {
		uint32_t id = vdrv_pci_read(d, cap, 1);

		if (id == CAP_VENDOR)
			vdrv_found_vendor_cap(d, cap);
		else if (id == CAP_MSIX)
			d->msix = cap;
	}
}

void
vdrv_msix_enable(struct vdrv *d, unsigned int nqueues)
{
	bool legacy = d->transport == VDRV_LEGACY;

	assert_int_not_equal(d->msix, 0);
	for (unsigned int i = 0; i <= nqueues; i++) {
		uint64_t entry = d->msix_table + 16 * i;

		board_write(&d->m->b, entry, 4, VDRV_MSI_ADDR);
		board_write(&d->m->b, entry + 4, 4, 0);
		board_write(&d->m->b, entry + 8, 4, i);
		board_write(&d->m->b, entry + 12, 4, 0);
	}
	vdrv_pci_write(d, d->msix + 2, 2, 0x8000);
	vdrv_set_reg(d, legacy ? L_CONFIG_VECTOR : M_CONFIG_VECTOR, 2, 0);
	for (unsigned int i = 0; i < nqueues; i++) {
		vdrv_set_reg(d, legacy ? L_QUEUE_SEL : M_QUEUE_SELECT, 2, i);
		vdrv_set_reg(
		    d, legacy ? L_QUEUE_VECTOR : M_QUEUE_VECTOR, 2, i + 1);
	}
}

/* --- registers ------------------------------------------------------------ */

uint32_t
vdrv_reg(struct vdrv *d, unsigned int off, unsigned int bytes)
{
	if (d->transport == VDRV_LEGACY)
		return board_in(&d->m->b, (uint16_t)(d->io + off), bytes);
	return (uint32_t)board_read(&d->m->b, d->mem + d->common + off, bytes);
}

void
vdrv_set_reg(struct vdrv *d, unsigned int off, unsigned int bytes, uint32_t val)
{
	if (d->transport == VDRV_LEGACY)
		board_out(&d->m->b, (uint16_t)(d->io + off), bytes, val);
	else
		board_write(&d->m->b, d->mem + d->common + off, bytes, val);
}

/* Where the structure begins in BAR 0 depends on MSI-X (4.1.4.10). */
static uint16_t
vdrv_legacy_cfg(struct vdrv *d)
{
	bool msix =
	    d->msix != 0 && (vdrv_pci_read(d, d->msix + 2, 2) & 0x8000) != 0;

	return d->io + (msix ? 24 : 20);
}

uint32_t
vdrv_cfg_read(struct vdrv *d, unsigned int off, unsigned int bytes)
{
	if (d->transport == VDRV_LEGACY)
		return board_in(
		    &d->m->b, (uint16_t)(vdrv_legacy_cfg(d) + off), bytes);
	return (uint32_t)board_read(&d->m->b, d->mem + d->device + off, bytes);
}

void
vdrv_cfg_write(
    struct vdrv *d, unsigned int off, unsigned int bytes, uint32_t val)
{
	if (d->transport == VDRV_LEGACY)
		board_out(
		    &d->m->b, (uint16_t)(vdrv_legacy_cfg(d) + off), bytes, val);
	else
		board_write(&d->m->b, d->mem + d->device + off, bytes, val);
}

uint8_t
vdrv_isr(struct vdrv *d)
{
	if (d->transport == VDRV_LEGACY)
		return (uint8_t)vdrv_reg(d, L_ISR, 1);
	return (uint8_t)board_read(&d->m->b, d->mem + d->isr, 1);
}

uint8_t
vdrv_status(struct vdrv *d)
{
	return (uint8_t)vdrv_reg(
	    d, d->transport == VDRV_LEGACY ? L_STATUS : M_STATUS, 1);
}

void
vdrv_set_status(struct vdrv *d, uint8_t status)
{
	vdrv_set_reg(
	    d, d->transport == VDRV_LEGACY ? L_STATUS : M_STATUS, 1, status);
}

void
vdrv_reset(struct vdrv *d)
{
	vdrv_set_status(d, 0);
	assert_int_equal(vdrv_status(d), 0);
}

uint64_t
vdrv_features(struct vdrv *d)
{
	uint64_t low;

	if (d->transport == VDRV_LEGACY)
		return vdrv_reg(d, L_HOST_FEATURES, 4);
	vdrv_set_reg(d, M_DFSELECT, 4, 0);
	low = vdrv_reg(d, M_DF, 4);
	vdrv_set_reg(d, M_DFSELECT, 4, 1);
	return low | (uint64_t)vdrv_reg(d, M_DF, 4) << 32;
}

void
vdrv_set_features(struct vdrv *d, uint64_t features)
{
	if (d->transport == VDRV_LEGACY) {
		vdrv_set_reg(d, L_GUEST_FEATURES, 4, (uint32_t)features);
		return;
	}
	vdrv_set_reg(d, M_GFSELECT, 4, 0);
	vdrv_set_reg(d, M_GF, 4, (uint32_t)features);
	vdrv_set_reg(d, M_GFSELECT, 4, 1);
	vdrv_set_reg(d, M_GF, 4, (uint32_t)(features >> 32));
}

bool
vdrv_negotiate(struct vdrv *d, uint64_t features)
{
	vdrv_set_status(d, VDRV_ACKNOWLEDGE);
	vdrv_set_status(d, VDRV_ACKNOWLEDGE | VDRV_DRIVER);
	vdrv_set_features(d, features);
	if (d->transport == VDRV_LEGACY)
		return true;
	vdrv_set_status(d, VDRV_ACKNOWLEDGE | VDRV_DRIVER | VDRV_FEATURES_OK);
	return (vdrv_status(d) & VDRV_FEATURES_OK) != 0;
}

void
vdrv_driver_ok(struct vdrv *d)
{
	vdrv_set_status(d, vdrv_status(d) | VDRV_DRIVER_OK);
}

void
vdrv_open(struct vdrv *d, struct vdrv_machine *m, enum vdrv_transport t,
    uint64_t features, unsigned int nqueues)
{
	vdrv_probe(d, m, t);
	vdrv_reset(d);
	if (t == VDRV_MODERN)
		features |= VDRV_F_VERSION_1;
	assert_true(vdrv_negotiate(d, features));
	for (unsigned int i = 0; i < nqueues; i++)
		vdrv_setup_queue(d, i, 0);
	vdrv_driver_ok(d);
	assert_int_equal(vdrv_status(d) & VDRV_NEEDS_RESET, 0);
}

/* --- memory --------------------------------------------------------------- */

uint64_t
vdrv_alloc(struct vdrv *d, size_t len, size_t align)
{
	uint64_t gpa = ROUND_UP(d->brk, (uint64_t)align);

	assert_true(range_ok(gpa, len, VDRV_RAM));
	d->brk = gpa + len;
	memset(d->m->ram + gpa, 0, len);
	return gpa;
}

void *
vdrv_ptr(struct vdrv *d, uint64_t gpa)
{
	assert_true(gpa < VDRV_RAM);
	return d->m->ram + gpa;
}

uint64_t
vdrv_copy(struct vdrv *d, const void *src, size_t len)
{
	uint64_t gpa = vdrv_alloc(d, len, 16);

	memcpy(vdrv_ptr(d, gpa), src, len);
	return gpa;
}

/* --- rings ---------------------------------------------------------------- */

static void
vdrv_ring_pointers(struct vdrv *d, struct vdrv_queue *q)
{
	uint16_t *avail = vdrv_ptr(d, q->avail_gpa);
	uint16_t *used = vdrv_ptr(d, q->used_gpa);

	q->desc = vdrv_ptr(d, q->desc_gpa);
	q->avail_flags = avail;
	q->avail_idx = avail + 1;
	q->avail_ring = avail + 2;
	q->used_event = avail + 2 + q->size;
	q->used_flags = used;
	q->used_idx = used + 1;
	q->used_ring = (void *)(used + 2);
	q->avail_event = used + 2 + 4 * q->size;
}

static void
vdrv_setup_legacy(struct vdrv *d, unsigned int i)
{
	struct vdrv_queue *q = &d->q[i];
	uint64_t used;

	vdrv_set_reg(d, L_QUEUE_SEL, 2, i);
	q->size = (uint16_t)vdrv_reg(d, L_QUEUE_SIZE, 2);
	assert_int_not_equal(q->size, 0);
	used = ROUND_UP(16ull * q->size + 6 + 2ull * q->size, 4096ull);
	q->desc_gpa = vdrv_alloc(d, used + 6 + 8ull * q->size, 4096);
	q->avail_gpa = q->desc_gpa + 16ull * q->size;
	q->used_gpa = q->desc_gpa + used;
	vdrv_set_reg(d, L_QUEUE_PFN, 4, (uint32_t)(q->desc_gpa >> 12));
}

static void
vdrv_setup_modern(struct vdrv *d, unsigned int i, uint16_t size)
{
	struct vdrv_queue *q = &d->q[i];

	vdrv_set_reg(d, M_QUEUE_SELECT, 2, i);
	if (size != 0)
		vdrv_set_reg(d, M_QUEUE_SIZE, 2, size);
	q->size = (uint16_t)vdrv_reg(d, M_QUEUE_SIZE, 2);
	assert_int_not_equal(q->size, 0);
	q->desc_gpa = vdrv_alloc(d, 16ull * q->size, 16);
	q->avail_gpa = vdrv_alloc(d, 6 + 2ull * q->size, 2);
	q->used_gpa = vdrv_alloc(d, 6 + 8ull * q->size, 4);
	for (unsigned int half = 0; half < 2; half++) {
		unsigned int shift = 32 * half;

		vdrv_set_reg(d, M_QUEUE_DESC + 4 * half, 4,
		    (uint32_t)(q->desc_gpa >> shift));
		vdrv_set_reg(d, M_QUEUE_DRIVER + 4 * half, 4,
		    (uint32_t)(q->avail_gpa >> shift));
		vdrv_set_reg(d, M_QUEUE_DEVICE + 4 * half, 4,
		    (uint32_t)(q->used_gpa >> shift));
	}
	vdrv_set_reg(d, M_QUEUE_ENABLE, 2, 1);
}

void
vdrv_setup_queue(struct vdrv *d, unsigned int i, uint16_t size)
{
	assert_true(i < VDRV_NQUEUES);
	d->q[i] = (struct vdrv_queue){ 0 };
	if (d->transport == VDRV_LEGACY)
		vdrv_setup_legacy(d, i);
	else
		vdrv_setup_modern(d, i, size);
	vdrv_ring_pointers(d, &d->q[i]);
}

void
vdrv_set_desc(struct vdrv *d, unsigned int q, uint16_t i, uint64_t gpa,
    uint32_t len, uint16_t flags, uint16_t next)
{
	d->q[q].desc[i % d->q[q].size] =
	    (struct vdrv_desc){ gpa, len, flags, next };
}

void
vdrv_make_available(struct vdrv *d, unsigned int i, uint16_t head)
{
	struct vdrv_queue *q = &d->q[i];
	uint16_t idx = *q->avail_idx;

	q->avail_ring[idx % q->size] = head;
	__atomic_store_n(q->avail_idx, idx + 1, __ATOMIC_RELEASE);
}

uint16_t
vdrv_add(
    struct vdrv *d, unsigned int i, const struct vdrv_buf *buf, unsigned int n)
{
	struct vdrv_queue *q = &d->q[i];
	uint16_t head = q->next_desc % q->size;

	assert_true(n > 0 && n <= q->size);
	for (unsigned int k = 0; k < n; k++) {
		uint16_t at = (uint16_t)(head + k) % q->size;
		uint16_t flags = buf[k].write ? VDRV_DESC_WRITE : 0;

		if (k + 1 < n)
			flags |= VDRV_DESC_NEXT;
		vdrv_set_desc(d, i, at, buf[k].gpa, buf[k].len, flags,
		    (uint16_t)(at + 1) % q->size);
	}
	q->next_desc = (uint16_t)(head + n);
	vdrv_make_available(d, i, head);
	return head;
}

uint16_t
vdrv_add_indirect(
    struct vdrv *d, unsigned int i, const struct vdrv_buf *buf, unsigned int n)
{
	struct vdrv_queue *q = &d->q[i];
	uint64_t gpa = vdrv_alloc(d, n * sizeof(struct vdrv_desc), 16);
	struct vdrv_desc *table = vdrv_ptr(d, gpa);
	uint16_t head = q->next_desc++ % q->size;

	for (unsigned int k = 0; k < n; k++) {
		uint16_t flags = buf[k].write ? VDRV_DESC_WRITE : 0;

		if (k + 1 < n)
			flags |= VDRV_DESC_NEXT;
		table[k] = (struct vdrv_desc){ buf[k].gpa, buf[k].len, flags,
			(uint16_t)(k + 1) };
	}
	vdrv_set_desc(d, i, head, gpa, n * (uint32_t)sizeof(*table),
	    VDRV_DESC_INDIRECT, 0);
	vdrv_make_available(d, i, head);
	return head;
}

void
vdrv_kick(struct vdrv *d, unsigned int i)
{
	uint32_t off;

	if (d->transport == VDRV_LEGACY) {
		vdrv_set_reg(d, L_QUEUE_NOTIFY, 2, i);
		return;
	}
	vdrv_set_reg(d, M_QUEUE_SELECT, 2, i);
	off = d->notify_multiplier * vdrv_reg(d, M_QUEUE_NOTIFY_OFF, 2);
	board_write(&d->m->b, d->mem + d->notify + off, 2, i);
}

int
vdrv_used(struct vdrv *d, unsigned int i, uint32_t *ret_len)
{
	struct vdrv_queue *q = &d->q[i];
	uint16_t slot = q->last_used % q->size;

	if (__atomic_load_n(q->used_idx, __ATOMIC_ACQUIRE) == q->last_used)
		return -1;
	q->last_used++;
	*ret_len = q->used_ring[slot].len;
	return (int)q->used_ring[slot].id;
}

#define VDRV_WAIT_MS 5000
#define VDRV_POLL_MS 10

uint16_t
vdrv_wait_used(struct vdrv *d, unsigned int i, uint32_t *ret_len)
{
	for (int ms = 0; ms < VDRV_WAIT_MS; ms += VDRV_POLL_MS) {
		int head = vdrv_used(d, i, ret_len);

		if (head >= 0)
			return (uint16_t)head;
		vm_event_poll(d->m->b.ctx, VDRV_POLL_MS);
	}
	fail_msg("queue %u: the device gave nothing back", i);
	return 0;
}
