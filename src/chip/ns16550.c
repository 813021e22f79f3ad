/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PC16550D UART (National Semiconductor data sheet, June 1995) on a character
 * backend, as bhyve has it (docs/bhyve.md 1.4): transmission takes no time
 * while the host keeps up.
 *
 * When the host does not, THRE and TEMT go low until it has taken everything,
 * so a guest waits for a slow reader as for a slow line.  Enabling the THRE
 * interrupt with an empty THR raises it at once (data sheet 8.6.2), which
 * bhyve does not do and Linux's driver tests for; see docs/deviations.md.
 *
 * Missing: the baud rate's effect, break and parity/framing errors, DMA mode,
 * RX time-outs (data at hand is reported as one).  Register accesses come
 * from vCPU threads, input and drained output from the event thread; all
 * under the lock of the port the part sits in (comport.c, the PCI uart).
 */
#include <chip/ns16550.h>

#include <errno.h>
#include <stdlib.h>

#include <backend/char.h>
#include <util/lock.h>
#include <util/log.h>
#include <vmm/snap.h>

#include "chario.h"

/* Register offsets, data sheet table II. */
#define REG_RBR	      0 /* read, DLAB 0; write is THR */
#define REG_IER	      1
#define REG_IIR	      2 /* write is FCR */
#define REG_LCR	      3
#define REG_MCR	      4
#define REG_LSR	      5
#define REG_MSR	      6
#define REG_SCR	      7

#define IER_ERBFI     0x01 /* received data available */
#define IER_ETBEI     0x02 /* THR empty */
#define IER_ELSI      0x04 /* line status */
#define IER_EDSSI     0x08 /* modem status */
#define IER_MASK      0x0f

#define IIR_NONE      0x01
#define IIR_MSR	      0x00
#define IIR_THRE      0x02
#define IIR_RLS	      0x06
#define IIR_TIMEOUT   0x0c
#define IIR_FIFOS     0xc0

#define FCR_ENABLE    0x01
#define FCR_RX_RST    0x02
#define FCR_DMA	      0x08
#define FCR_TRIGGER   0xc0
#define FCR_KEPT      (FCR_ENABLE | FCR_DMA | FCR_TRIGGER)

#define LCR_DLAB      0x80

#define MCR_DTR	      0x01
#define MCR_RTS	      0x02
#define MCR_OUT1      0x04
#define MCR_OUT2      0x08
#define MCR_LOOP      0x10
#define MCR_MASK      0x1f

#define LSR_DR	      0x01
#define LSR_OE	      0x02
#define LSR_THRE      0x20
#define LSR_TEMT      0x40

#define MSR_DCTS      0x01
#define MSR_DDSR      0x02
#define MSR_TERI      0x04
#define MSR_DDCD      0x08
#define MSR_CTS	      0x10
#define MSR_DSR	      0x20
#define MSR_RI	      0x40
#define MSR_DCD	      0x80
#define MSR_DELTA     0x0f

#define RX_FIFO_BYTES 16
#define DIVISOR_RESET (1843200 / 9600 / 16)

struct ns16550_regs {
	uint16_t divisor;
	uint8_t ier, fcr, lcr, mcr, msr, scr;
	uint8_t overrun;      /* LSR_OE or 0 */
	uint8_t thre_pending; /* the THR-empty interrupt is due */
	uint8_t thr_full;     /* the host did not take thr yet */
	uint8_t thr;
	uint8_t rx_head, rx_len;
	uint8_t rx[RX_FIFO_BYTES];
};
static_assert(sizeof(struct ns16550_regs) == 30, "snapshot format");

struct ns16550 {
	struct ns16550_port port;
	bool level; /* of the interrupt output */
	bool paused;
	struct chario io;
	struct ns16550_regs regs;
};

static unsigned int
ns16550_rx_size(const struct ns16550 *u)
{
	return (u->regs.fcr & FCR_ENABLE) != 0 ? RX_FIFO_BYTES : 1;
}

static uint8_t
ns16550_lsr(const struct ns16550 *u)
{
	uint8_t lsr = u->regs.overrun;

	if (u->regs.rx_len > 0)
		lsr |= LSR_DR;
	if (!u->regs.thr_full)
		lsr |= LSR_THRE | LSR_TEMT;
	return lsr;
}

/* The highest pending interrupt, data sheet table III. */
static uint8_t
ns16550_iir(const struct ns16550 *u)
{
	const struct ns16550_regs *r = &u->regs;

	if ((r->ier & IER_ELSI) != 0 && r->overrun != 0)
		return IIR_RLS;
	if ((r->ier & IER_ERBFI) != 0 && r->rx_len > 0)
		return IIR_TIMEOUT;
	if ((r->ier & IER_ETBEI) != 0 && r->thre_pending)
		return IIR_THRE;
	if ((r->ier & IER_EDSSI) != 0 && (r->msr & MSR_DELTA) != 0)
		return IIR_MSR;
	return IIR_NONE;
}

/* After any change: the interrupt line and whether we can take input. */
static void
ns16550_update(struct ns16550 *u)
{
	bool level = ns16550_iir(u) != IIR_NONE;

	if (level != u->level) {
		u->level = level;
		u->port.set_irq(level, u->port.arg);
	}
	chario_want_input(
	    &u->io, !u->paused && u->regs.rx_len < ns16550_rx_size(u));
}

static void
ns16550_rx_put(struct ns16550 *u, uint8_t byte)
{
	struct ns16550_regs *r = &u->regs;

	if (r->rx_len >= ns16550_rx_size(u)) {
		r->overrun = LSR_OE;
		return;
	}
	r->rx[(r->rx_head + r->rx_len++) % RX_FIFO_BYTES] = byte;
}

static uint8_t
ns16550_rx_get(struct ns16550 *u)
{
	struct ns16550_regs *r = &u->regs;
	uint8_t byte;

	if (r->rx_len == 0)
		return 0xff;
	byte = r->rx[r->rx_head];
	r->rx_head = (r->rx_head + 1) % RX_FIFO_BYTES;
	r->rx_len--;
	return byte;
}

static void
ns16550_rx_clear(struct ns16550 *u)
{
	u->regs.rx_head = u->regs.rx_len = 0;
}

/* The host has input. */
static void
ns16550_input(void *arg)
{
	struct ns16550 *u = arg;
	size_t room = ns16550_rx_size(u) - u->regs.rx_len;
	uint8_t buf[RX_FIFO_BYTES];
	size_t n;

	n = chario_read(&u->io, buf, room);
	/* In loopback the pin is disconnected: the line goes on without us. */
	for (size_t i = 0; i < n && (u->regs.mcr & MCR_LOOP) == 0; i++)
		ns16550_rx_put(u, buf[i]);
	ns16550_update(u);
}

/* The host took everything. */
static void
ns16550_drained(void *arg)
{
	struct ns16550 *u = arg;
	struct ns16550_regs *r = &u->regs;

	if (!r->thr_full)
		return;
	if (chario_write(&u->io, &r->thr, 1) == 0)
		return;
	r->thr_full = false;
	r->thre_pending = true;
	ns16550_update(u);
}

static void
ns16550_write_thr(struct ns16550 *u, uint8_t val)
{
	struct ns16550_regs *r = &u->regs;

	r->thre_pending = false;
	if ((r->mcr & MCR_LOOP) != 0) {
		ns16550_rx_put(u, val);
	} else if (r->thr_full || chario_write(&u->io, &val, 1) == 0) {
		/* Writing to a full THR replaces what was in it. */
		r->thr = val;
		r->thr_full = true;
		return;
	}
	r->thre_pending = !r->thr_full;
}

static void
ns16550_write_ier(struct ns16550 *u, uint8_t val)
{
	struct ns16550_regs *r = &u->regs;
	uint8_t raised = val & ~r->ier;

	r->ier = val & IER_MASK;
	if ((raised & IER_ETBEI) != 0 && !r->thr_full)
		r->thre_pending = true;
}

static void
ns16550_write_fcr(struct ns16550 *u, uint8_t val)
{
	struct ns16550_regs *r = &u->regs;

	if (((val ^ r->fcr) & FCR_ENABLE) != 0) {
		ns16550_rx_clear(u);
		r->fcr = 0;
	}
	if ((val & FCR_ENABLE) == 0)
		return;
	if ((val & FCR_RX_RST) != 0)
		ns16550_rx_clear(u);
	r->fcr = val & FCR_KEPT;
}

/* In loopback the modem outputs are the modem inputs. */
static uint8_t
ns16550_modem_inputs(uint8_t mcr)
{
	uint8_t msr = 0;

	if ((mcr & MCR_LOOP) == 0)
		return 0;
	if ((mcr & MCR_RTS) != 0)
		msr |= MSR_CTS;
	if ((mcr & MCR_DTR) != 0)
		msr |= MSR_DSR;
	if ((mcr & MCR_OUT1) != 0)
		msr |= MSR_RI;
	if ((mcr & MCR_OUT2) != 0)
		msr |= MSR_DCD;
	return msr;
}

static void
ns16550_write_mcr(struct ns16550 *u, uint8_t val)
{
	struct ns16550_regs *r = &u->regs;
	uint8_t inputs, changed;

	r->mcr = val & MCR_MASK;
	inputs = ns16550_modem_inputs(r->mcr);
	changed = inputs ^ r->msr;
	r->msr = inputs | (r->msr & MSR_DELTA);
	if ((changed & MSR_CTS) != 0)
		r->msr |= MSR_DCTS;
	if ((changed & MSR_DSR) != 0)
		r->msr |= MSR_DDSR;
	if ((changed & MSR_DCD) != 0)
		r->msr |= MSR_DDCD;
	/* RI counts when it ends. */
	if ((changed & MSR_RI) != 0 && (inputs & MSR_RI) == 0)
		r->msr |= MSR_TERI;
}

static uint8_t
ns16550_read_iir(struct ns16550 *u)
{
	uint8_t iir = ns16550_iir(u);

	if (iir == IIR_THRE)
		u->regs.thre_pending = false;
	if ((u->regs.fcr & FCR_ENABLE) != 0)
		iir |= IIR_FIFOS;
	return iir;
}

static uint8_t
ns16550_get(struct ns16550 *u, unsigned int off)
{
	struct ns16550_regs *r = &u->regs;
	bool dlab = (r->lcr & LCR_DLAB) != 0;
	uint8_t val;

	switch (off) {
	case REG_RBR:
		return dlab ? r->divisor & 0xff : ns16550_rx_get(u);
	case REG_IER:
		return dlab ? r->divisor >> 8 : r->ier;
	case REG_IIR:
		return ns16550_read_iir(u);
	case REG_LCR:
		return r->lcr;
	case REG_MCR:
		return r->mcr;
	case REG_LSR:
		val = ns16550_lsr(u);
		r->overrun = 0;
		return val;
	case REG_MSR:
		val = r->msr;
		r->msr &= ~MSR_DELTA;
		return val;
	case REG_SCR:
		return r->scr;
	default:
		return 0xff;
	}
}

static void
ns16550_write_divisor(struct ns16550 *u, unsigned int off, uint8_t val)
{
	unsigned int shift = off * 8;

	u->regs.divisor = (uint16_t)((u->regs.divisor & ~(0xff << shift)) |
				     (unsigned int)val << shift);
}

static void
ns16550_put(struct ns16550 *u, unsigned int off, uint8_t val)
{
	struct ns16550_regs *r = &u->regs;

	if (off <= REG_IER && (r->lcr & LCR_DLAB) != 0) {
		ns16550_write_divisor(u, off, val);
		return;
	}
	switch (off) {
	case REG_RBR:
		ns16550_write_thr(u, val);
		break;
	case REG_IER:
		ns16550_write_ier(u, val);
		break;
	case REG_IIR:
		ns16550_write_fcr(u, val);
		break;
	case REG_LCR:
		r->lcr = val;
		break;
	case REG_MCR:
		ns16550_write_mcr(u, val);
		break;
	case REG_SCR:
		r->scr = val;
		break;
	default: /* LSR and MSR are read-only */
		break;
	}
}

/* Registers whose reading takes something away, data sheet 8.4 to 8.8. */
static const unsigned int read_effects =
    BIT(REG_RBR) | BIT(REG_IIR) | BIT(REG_LSR) | BIT(REG_MSR);

uint8_t
ns16550_read(struct ns16550 *u, unsigned int off)
{
	uint8_t val = ns16550_get(u, off);

	if ((read_effects & BIT(off)) != 0)
		ns16550_update(u);
	return val;
}

void
ns16550_write(struct ns16550 *u, unsigned int off, uint8_t val)
{
	ns16550_put(u, off, val);
	ns16550_update(u);
}

void
ns16550_reset(struct ns16550 *u)
{
	u->regs = (struct ns16550_regs){ .divisor = DIVISOR_RESET };
	ns16550_update(u);
}

void
ns16550_pause(struct ns16550 *u, bool paused)
{
	u->paused = paused;
	ns16550_update(u);
}

static bool
ns16550_regs_ok(const struct ns16550_regs *r)
{
	unsigned int room = (r->fcr & FCR_ENABLE) != 0 ? RX_FIFO_BYTES : 1;

	return r->rx_head < RX_FIFO_BYTES && r->rx_len <= room &&
	       (r->overrun & ~LSR_OE) == 0 && r->thr_full <= 1 &&
	       r->thre_pending <= 1 && (r->ier & ~IER_MASK) == 0 &&
	       (r->mcr & ~MCR_MASK) == 0 && (r->fcr & ~FCR_KEPT) == 0;
}

void
ns16550_snapshot(struct ns16550 *u, struct snap *s)
{
	struct ns16550_regs r = u->regs;

	if (snap_bytes(s, "ns16550", &r, sizeof(r)) != 0 || !snap_loading(s))
		return;
	if (!ns16550_regs_ok(&r)) {
		snap_fail(s);
		return;
	}
	u->regs = r;
	ns16550_drained(u); /* a byte that waited in the THR */
	ns16550_update(u);
}

void
ns16550_destroy(struct ns16550 *u)
{
	if (u == NULL)
		return;
	chario_fini(&u->io);
	free(u);
}

int
ns16550_create(const struct ns16550_port *port, struct chardev *cd,
    struct ns16550 **ret_uart)
{
	struct ns16550 *u = xcalloc(1, sizeof(*u));
	int error;

	u->port = *port;
	u->regs.divisor = DIVISOR_RESET;
	u->io = (struct chario){
		.ctx = port->ctx,
		.cd = cd,
		.lock = port->lock,
		.input = ns16550_input,
		.drained = ns16550_drained,
		.arg = u,
	};
	error = chario_init(&u->io);
	if (error != 0) {
		u->io.cd = NULL; /* stays the caller's */
		ns16550_destroy(u);
		return error;
	}
	*ret_uart = u;
	return 0;
}
