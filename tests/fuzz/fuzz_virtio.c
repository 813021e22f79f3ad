/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_virtio.c - plays a guest that does what the input says, in steps of one
 * byte for the kind and what that kind takes.  Where nothing is left of the
 * input, zeros are.  Every input gets a machine of its own.
 */
#include "fuzz_virtio.h"

#include <assert.h>

#define STEPS_MAX 512u
/* Rings and what is in them; the steps can change all of it. */
#define AREA_BASE 0x10000u
#define AREA_SIZE 0x10000u

struct script {
	struct vdrv_machine m;
	struct vdrv d;
	unsigned int nqueues;
	const uint8_t *at, *end;
};

static uint8_t
take8(struct script *s)
{
	return s->at < s->end ? *s->at++ : 0;
}

static uint16_t
take16(struct script *s)
{
	uint16_t low = take8(s);

	return (uint16_t)(low | take8(s) << 8);
}

static uint32_t
take32(struct script *s)
{
	uint32_t low = take16(s);

	return low | (uint32_t)take16(s) << 16;
}

static unsigned int
take_width(struct script *s)
{
	return 1u << take8(s) % 3;
}

/* An offset into the BAR: its 64 bytes, or one of four pages' first 64. */
static uint64_t
take_mem(struct script *s)
{
	uint8_t b = take8(s);

	return s->d.mem + (b >> 6) * 0x1000u + (b & 63);
}

static void
step_reg_write(struct script *s)
{
	unsigned int width = take_width(s);
	uint64_t at = take_mem(s);

	board_write(&s->m.b, at, width, take32(s));
}

static void
step_reg_read(struct script *s)
{
	unsigned int width = take_width(s);

	board_read(&s->m.b, take_mem(s), width);
}

static void
step_port_write(struct script *s)
{
	unsigned int width = take_width(s);
	uint16_t port = (uint16_t)(s->d.io + take8(s) % 64);

	board_out(&s->m.b, port, width, take32(s));
}

static void
step_port_read(struct script *s)
{
	unsigned int width = take_width(s);

	board_in(&s->m.b, (uint16_t)(s->d.io + take8(s) % 64), width);
}

static void
step_cfg_write(struct script *s)
{
	unsigned int width = take_width(s);
	/* Not the BARs: the device stays where it is. */
	unsigned int off = 0x40 + take8(s) % 0xc0;

	vdrv_pci_write(&s->d, off, width, take32(s));
}

static void
step_cfg_read(struct script *s)
{
	unsigned int width = take_width(s);

	vdrv_pci_read(&s->d, take8(s), width);
}

static void
step_poke(struct script *s)
{
	uint32_t off = take16(s), len = take8(s);

	for (uint32_t i = 0; i < len && off + i < AREA_SIZE; i++)
		s->m.ram[AREA_BASE + off + i] = take8(s);
}

/* Into the descriptor table of a queue. */
static void
step_desc(struct script *s)
{
	unsigned int q = take8(s) % s->nqueues;
	uint16_t i = take8(s);
	uint64_t gpa = AREA_BASE + take16(s);
	uint32_t len = take16(s);
	uint16_t flags = take8(s) & 7, next = take8(s);

	if (s->d.q[q].size != 0)
		vdrv_set_desc(&s->d, q, i, gpa, len, flags, next);
}

static void
step_available(struct script *s)
{
	unsigned int q = take8(s) % s->nqueues;
	uint16_t head = take8(s);

	if (s->d.q[q].size != 0)
		vdrv_make_available(&s->d, q, head);
}

static void
step_kick(struct script *s)
{
	vdrv_kick(&s->d, take8(s));
}

/* A whole chain with bytes to read, made available. */
static void
step_send(struct script *s)
{
	unsigned int q = take8(s) % s->nqueues;
	uint32_t len = take8(s);
	struct vdrv_buf b = { AREA_BASE + 0x8000, len, false };

	if (s->d.q[q].size == 0)
		return;
	for (uint32_t i = 0; i < len; i++)
		s->m.ram[b.gpa + i] = take8(s);
	vdrv_add(&s->d, q, &b, 1);
	vdrv_kick(&s->d, q);
}

static void
step_receive(struct script *s)
{
	unsigned int q = take8(s) % s->nqueues;
	struct vdrv_buf b = { AREA_BASE + 0x9000, take8(s), true };

	if (s->d.q[q].size == 0)
		return;
	vdrv_add(&s->d, q, &b, 1);
	vdrv_kick(&s->d, q);
}

static void
step_clock(struct script *s)
{
	vm_clock_advance(s->m.b.ctx, (uint64_t)take8(s) * MS);
	vm_event_poll(s->m.b.ctx, 0);
}

static void
step_reset(struct script *s)
{
	vdrv_set_status(&s->d, 0);
}

/* What is saved can be loaded. */
static void
step_snapshot(struct script *s)
{
	struct snap *saved;

	chips_pause(s->m.b.ctx);
	saved = board_save(&s->m.b);
	assert_int_equal(board_load(&s->m.b, saved), 0);
	chips_resume(s->m.b.ctx);
}

static void (*const steps[])(struct script *) = {
	step_reg_write,
	step_reg_read,
	step_port_write,
	step_port_read,
	step_cfg_write,
	step_cfg_read,
	step_poke,
	step_desc,
	step_available,
	step_kick,
	step_send,
	step_receive,
	step_clock,
	step_reset,
	step_snapshot,
};

void
fuzz_virtio(const struct fuzz_virtio *f, const uint8_t *data, size_t size)
{
	struct script s = { .at = data, .end = data + size };
	uint8_t how = take8(&s);
	enum vdrv_transport t = (how & 1) != 0 ? VDRV_MODERN : VDRV_LEGACY;
	char err[256];

	s.nqueues = f->nqueues;
	vdrv_machine(&s.m);
	assert_int_equal(
	    vdrv_add_ops(&s.m, f->ops, f->settings, err, sizeof(err)), 0);
	if (f->ready != NULL)
		f->ready();
	vdrv_probe(&s.d, &s.m, t);
	if ((how & 2) != 0)
		vdrv_open(&s.d, &s.m, t,
		    vdrv_features(&s.d) & (UINT32_MAX >> (how >> 6)),
		    f->nqueues);
	for (unsigned int n = 0; n < STEPS_MAX && s.at < s.end; n++)
		steps[take8(&s) % ARRAY_LEN(steps)](&s);
	vdrv_machine_fini(&s.m);
}
