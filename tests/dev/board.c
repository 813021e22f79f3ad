/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine for device tests (see board.h).
 */
#include "board.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <util/log.h>

#include "fake_engine.h"

static void
board_set_gsi(void *chip, unsigned int gsi, bool level)
{
	struct board *b = chip;

	b->level[gsi] = level;
	b->edges[gsi] += level;
}

static int
board_msi(void *chip, uint64_t addr, uint32_t data)
{
	struct board *b = chip;

	b->msis++;
	b->msi_addr = addr;
	b->msi_data = data;
	return 0;
}

static const struct irqchip_ops board_irqchip = {
	.set_gsi = board_set_gsi,
	.msi = board_msi,
};

/* What guests do wrong here they do on purpose. */
static void
board_log(enum log_level level, const char *line)
{
}

void
board_init_real_clock(struct board *b)
{
	*b = (struct board){ 0 };
	log_set_sink(board_log);
	assert_int_equal(vm_new("board", &fake_engine_ops, &b->ctx), 0);
	b->vcpu = vm_vcpu_open(b->ctx, 0);
	assert_non_null(b->vcpu);
	irq_set_chip(b->ctx, &board_irqchip, b);
}

void
board_init(struct board *b)
{
	board_init_real_clock(b);
	vm_clock_manual(b->ctx);
	b->start_ns = vm_clock_ns(b->ctx);
}

void
board_fini(struct board *b)
{
	vm_close(b->ctx);
	log_set_sink(NULL);
}

uint32_t
board_in(struct board *b, uint16_t port, unsigned int bytes)
{
	uint32_t val = 0xdeadbeef;

	assert_int_equal(bus_pio(b->vcpu, true, port, bytes, &val), BUS_OK);
	return val;
}

void
board_out(struct board *b, uint16_t port, unsigned int bytes, uint32_t val)
{
	assert_int_equal(bus_pio(b->vcpu, false, port, bytes, &val), BUS_OK);
}

uint64_t
board_read(struct board *b, uint64_t gpa, unsigned int bytes)
{
	uint64_t val = 0xdeadbeefdeadbeef;

	bus_mmio(b->vcpu, false, gpa, bytes, &val);
	return val;
}

void
board_write(struct board *b, uint64_t gpa, unsigned int bytes, uint64_t val)
{
	bus_mmio(b->vcpu, true, gpa, bytes, &val);
}

void
board_settle(struct board *b, int ms)
{
	while (vm_event_poll(b->ctx, ms) > 0)
		;
}

struct snap *
board_save(struct board *b)
{
	struct snap *s = snap_create_save();

	assert_int_equal(chips_snapshot(b->ctx, s), 0);
	return s;
}

int
board_load(struct board *b, struct snap *saved)
{
	size_t len;
	const void *data = snap_data(saved, &len);
	struct snap *s = snap_create_load(data, len);
	int error = chips_snapshot(b->ctx, s);

	snap_destroy(s);
	snap_destroy(saved);
	return error;
}

/* Fields are: length of the name, name, 32-bit length of the data, data. */
struct snap *
board_spoil(struct snap *saved, const char *name, size_t off, uint8_t val)
{
	size_t len, nlen = strlen(name);
	uint8_t *at = (uint8_t *)(uintptr_t)snap_data(saved, &len);
	uint8_t *end = at + len;

	while ((at = memmem(at, (size_t)(end - at), name, nlen)) != NULL) {
		if (at[-1] == nlen && get_le32(at + nlen) > off) {
			at[nlen + 4 + off] = val;
			return saved;
		}
		at += nlen;
	}
	fail_msg("no field %s in the stream", name);
	return NULL;
}

#define BOARD_WAIT_MS 2000

void
board_wait_fd(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&pfd, 1, BOARD_WAIT_MS), 1);
}

size_t
board_read_fd(int fd, void *buf, size_t n)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	size_t got = 0;

	while (got < n && poll(&pfd, 1, BOARD_WAIT_MS) == 1) {
		ssize_t r = read(fd, (char *)buf + got, n - got);

		if (r <= 0)
			break;
		got += (size_t)r;
	}
	return got;
}
