/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * board.h - a machine to plug one chip into: the real core with the fake
 * engine, a clock turned by hand, and interrupt controllers that write down
 * what they are told.
 */
#ifndef BOARD_H
#define BOARD_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdint.h>

#include <util/util.h>
#include <vmm/bus.h>
#include <vmm/chip.h>
#include <vmm/event.h>
#include <vmm/irq.h>
#include <vmm/snap.h>
#include <vmm/vcpu.h>
#include <vmm/vm.h>

#define MS 1000000ull /* ns */
#define US 1000ull

struct board {
	struct vmctx *ctx;
	struct vcpu *vcpu;
	uint64_t start_ns; /* of the machine's clock when it was stopped */
	bool level[IRQ_NGSI];
	unsigned int edges[IRQ_NGSI]; /* rising */
	unsigned int msis;
	uint64_t msi_addr;
	uint32_t msi_data;
};

void board_init(struct board *);
/* With the host's clock. */
void board_init_real_clock(struct board *);
void board_fini(struct board *);

uint32_t board_in(struct board *, uint16_t port, unsigned int bytes);
void board_out(struct board *, uint16_t port, unsigned int bytes, uint32_t val);
uint64_t board_read(struct board *, uint64_t gpa, unsigned int bytes);
void
board_write(struct board *, uint64_t gpa, unsigned int bytes, uint64_t val);
static inline uint8_t
in8(struct board *b, uint16_t port)
{
	return (uint8_t)board_in(b, port, 1);
}
static inline void
out8(struct board *b, uint16_t port, uint8_t val)
{
	board_out(b, port, 1, val);
}

/* Run what is ready until nothing is for `ms` milliseconds. */
void board_settle(struct board *, int ms);

/* All chips to a stream; the stream into a board with the same chips. */
struct snap *board_save(struct board *);
/* 0 or -errno; destroys the stream. */
int board_load(struct board *, struct snap *saved);
/* What a test changes in a stream: a byte of a field. */
struct board_flaw {
	const char *field;
	size_t off;
	uint8_t val;
};
/*
 * The stream with byte `off` of the field `name` changed; destroys `saved`.
 */
struct snap *
board_spoil(struct snap *saved, const char *name, size_t off, uint8_t val);

/*
 * Read exactly n bytes, waiting up to two seconds: a pseudo-terminal delivers
 * from a kernel thread.  How many came.
 */
size_t board_read_fd(int fd, void *buf, size_t n);
/* Wait as long until the descriptor has something to read. */
void board_wait_fd(int fd);

#endif /* BOARD_H */
