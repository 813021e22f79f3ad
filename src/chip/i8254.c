/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i8254.c - the PC's interval timer and port 0x61.  Intel 8254 data sheet
 * (1993), all six modes; port 0x61 as in the 82371 data sheets.
 *
 * Nothing counts: counting elements and OUT pins are functions of the machine's
 * clock.  Only counter 0 has an event timer, for the rising edges of its OUT on
 * gsi 0.  Mode 2's low clock (838 ns) and the rise after it are one event. Late
 * edges are made up for at four times the rate, at most BACKLOG_MAX of them,
 * and never faster than EDGE_MIN_NS, so that no count floods the event thread.
 * Missing: sound.  `lock` guards all.
 */
#include <chip/chips.h>

#include <errno.h>
#include <stdlib.h>

#include <util/lock.h>
#include <util/util.h>
#include <vmm/bus.h>
#include <vmm/chip.h>
#include <vmm/event.h>
#include <vmm/irq.h>
#include <vmm/snap.h>

#define I8254_PORT   0x40
#define I8254_NPORTS 4
#define NMISC_PORT   0x61
#define I8254_HZ     1193182u
#define I8254_GSI    0

#define NCOUNTERS    3
#define BACKLOG_MAX  16
#define EDGE_MIN_NS  50000u

/* Control word (data sheet, figure 7). */
#define CW_SC(cw)    ((cw) >> 6)
#define CW_RW(cw)    (((cw) >> 4) & 3)
#define CW_MODE(cw)  (((cw) >> 1) & 7)
#define CW_BCD	     BIT(0)
#define SC_READ_BACK 3
#define RW_LATCH     0
#define RW_LSB	     1
#define RW_MSB	     2
#define RW_BOTH	     3
#define RB_NO_COUNT  BIT(5)
#define RB_NO_STATUS BIT(4)
#define STATUS_OUT   BIT(7)
#define STATUS_NULL  BIT(6)

/* Port 0x61. */
#define NMISC_GATE2    BIT(0)
#define NMISC_WRITABLE 0x0fu
#define NMISC_REFRESH  BIT(4)
#define NMISC_OUT2     BIT(5)
#define REFRESH_NS     15085u

struct counter_regs {
	uint32_t count;	     /* in effect; 1..65536 once loaded */
	uint32_t next_count; /* waits for a trigger or a cycle's end; or 0 */
	uint64_t elapsed;    /* clocks since the load, as of `since` */
	uint64_t since;	     /* clock tick; while in the future: not loaded */
	uint64_t reload_at;  /* `elapsed` at which next_count takes over */
	int64_t fired;	     /* rising edges of OUT since the load, told */
	uint16_t latch;
	uint8_t status;
	uint8_t mode, rw, bcd, gate;
	uint8_t loaded;	  /* since the control word */
	uint8_t counting; /* not stopped by GATE or half a count */
	uint8_t has_latch, has_status;
	uint8_t read_msb, write_msb; /* the second byte is next */
	uint8_t lsb;		     /* first byte of a write */
};

struct i8254_regs {
	struct counter_regs counter[NCOUNTERS];
	uint8_t nmisc;
};

struct i8254 {
	struct lock lock;
	struct vmctx *ctx;
	struct i8254_regs regs;
	struct irq_line line;
	struct evtimer *timer;
	bool paused;
};

/* --- time ------------------------------------------------------------- */

static uint64_t
tick_at(uint64_t ns)
{
	return (uint64_t)((unsigned __int128)ns * I8254_HZ / 1000000000);
}

/* The first nanosecond of a tick. */
static uint64_t
tick_to_ns(uint64_t tick)
{
	return (
	    uint64_t)(((unsigned __int128)tick * 1000000000 + I8254_HZ - 1) /
		      I8254_HZ);
}

static uint64_t
i8254_now(const struct i8254 *pit)
{
	return tick_at(vm_clock_ns(pit->ctx));
}

/* --- one counter as a function of time -------------------------------- */

static bool
counter_is_periodic(const struct counter_regs *c)
{
	return c->mode == 2 || c->mode == 3;
}

/* Modes 1 and 5 start at a rising GATE only. */
static bool
counter_is_triggered(const struct counter_regs *c)
{
	return c->mode == 1 || c->mode == 5;
}

static uint64_t
counter_elapsed(const struct counter_regs *c, uint64_t now)
{
	if (!c->counting || now <= c->since)
		return c->elapsed;
	return c->elapsed + (now - c->since);
}

/* Clocks for which mode 3's OUT is high. */
static uint32_t
counter_half(const struct counter_regs *c)
{
	return (c->count + 1) / 2;
}

/* The count that waited takes over at the end of a cycle, or half (mode 3). */
static void
counter_reload(struct counter_regs *c, uint64_t elapsed, uint64_t now)
{
	uint64_t cycles = c->reload_at / c->count;
	bool halfway = c->reload_at % c->count != 0;

	c->fired -= (int64_t)cycles;
	c->count = c->next_count;
	c->next_count = 0;
	c->elapsed = elapsed - c->reload_at;
	if (halfway)
		c->elapsed += counter_half(c);
	c->since = now;
}

static void
counter_sync(struct counter_regs *c, uint64_t now)
{
	uint64_t elapsed;

	if (c->next_count == 0 || !c->counting || !counter_is_periodic(c))
		return;
	elapsed = counter_elapsed(c, now);
	if (elapsed >= c->reload_at)
		counter_reload(c, elapsed, now);
}

static bool
counter_out(const struct counter_regs *c, uint64_t now)
{
	uint64_t elapsed = counter_elapsed(c, now);

	if (!c->loaded)
		return c->mode != 0;
	switch (c->mode) {
	case 0:
	case 1:
		return elapsed >= c->count;
	case 2:
		return !c->gate || elapsed % c->count != c->count - 1;
	case 3:
		return !c->gate || elapsed % c->count < counter_half(c);
	default: /* 4 and 5: low for one clock when the count is 0 */
		return elapsed != c->count;
	}
}

/* Rising edges of OUT since the load. */
static uint64_t
counter_edges(const struct counter_regs *c, uint64_t elapsed)
{
	if (!c->loaded)
		return 0;
	switch (c->mode) {
	case 2:
	case 3: /* a count of 1 is illegal and makes none */
		return c->count < 2 ? 0 : elapsed / c->count;
	case 4:
	case 5:
		return elapsed > c->count;
	default:
		return elapsed >= c->count;
	}
}

/* `elapsed` at the next change worth an event, or UINT64_MAX. */
static uint64_t
counter_next_change(const struct counter_regs *c, uint64_t elapsed)
{
	uint64_t start;

	if (!c->loaded || !c->counting)
		return UINT64_MAX;
	if (!counter_is_periodic(c)) {
		uint64_t at = (uint64_t)c->count + (c->mode >= 4);

		return elapsed < at ? at : UINT64_MAX;
	}
	if (c->count < 2)
		return UINT64_MAX;
	start = elapsed - elapsed % c->count;
	if (c->mode == 3 && elapsed - start < counter_half(c))
		return start + counter_half(c);
	return start + c->count;
}

static uint32_t
bcd_of(uint32_t n)
{
	return n % 10 | (n / 10 % 10) << 4 | (n / 100 % 10) << 8 |
	       (n / 1000 % 10) << 12;
}

/* Digits above 9 count what their bits say; the sum is bounded. */
static uint32_t
of_bcd(uint32_t n)
{
	return (n & 0xf) + (n >> 4 & 0xf) * 10 + (n >> 8 & 0xf) * 100 +
	       (n >> 12) * 1000;
}

/* The counting element. */
static uint16_t
counter_value(const struct counter_regs *c, uint64_t now)
{
	uint32_t modulus = c->bcd ? 10000 : 65536;
	uint64_t elapsed = counter_elapsed(c, now);
	uint32_t phase, value;

	if (!c->loaded)
		return 0;
	if (c->mode == 2) {
		value = c->count - (uint32_t)(elapsed % c->count);
	} else if (c->mode == 3) { /* twice as fast, twice a cycle */
		phase = (uint32_t)(elapsed % c->count);
		if (phase >= counter_half(c))
			phase -= counter_half(c);
		value = (c->count & ~1u) - 2 * phase;
	} else { /* goes on below 0 */
		value = c->count % modulus + modulus -
			(uint32_t)(elapsed % modulus);
	}
	value %= modulus;
	return (uint16_t)(c->bcd ? bcd_of(value) : value);
}

/* --- one counter's registers ------------------------------------------ */

/* The next clock pulse puts `count` into the counting element. */
static void
counter_load(struct counter_regs *c, uint32_t count, uint64_t now)
{
	c->count = count;
	c->next_count = 0;
	c->elapsed = 0;
	c->since = now + 1;
	c->fired = 0;
	c->loaded = 1;
	c->counting = c->gate || counter_is_triggered(c);
}

static void
counter_set_count(struct counter_regs *c, uint16_t raw, uint64_t now)
{
	uint32_t count = c->bcd ? of_bcd(raw) : raw;
	uint64_t elapsed;

	if (count == 0)
		count = c->bcd ? 10000 : 65536;
	counter_sync(c, now);
	if (counter_is_triggered(c) || (counter_is_periodic(c) && !c->gate)) {
		c->next_count = count; /* until GATE rises */
	} else if (counter_is_periodic(c) && c->loaded) {
		elapsed = counter_elapsed(c, now);
		c->reload_at = elapsed - elapsed % c->count;
		if (c->mode == 3 && elapsed - c->reload_at < counter_half(c))
			c->reload_at += counter_half(c);
		else
			c->reload_at += c->count;
		c->next_count = count;
	} else {
		counter_load(c, count, now);
	}
}

/* Stop where it is. */
static void
counter_stop(struct counter_regs *c, uint64_t now)
{
	counter_sync(c, now);
	c->elapsed = counter_elapsed(c, now);
	c->counting = 0;
}

static void
counter_write(struct counter_regs *c, uint8_t val, uint64_t now)
{
	switch (c->rw) {
	case RW_LSB:
		counter_set_count(c, val, now);
		return;
	case RW_MSB:
		counter_set_count(c, (uint16_t)(val << 8), now);
		return;
	default:
		break;
	}
	c->write_msb ^= 1;
	if (!c->write_msb) {
		counter_set_count(c, (uint16_t)(val << 8 | c->lsb), now);
		return;
	}
	c->lsb = val;
	/* Mode 0: the first byte stops the count and takes OUT low. */
	if (c->mode == 0) {
		counter_stop(c, now);
		c->loaded = 0;
	}
}

static uint8_t
counter_read(struct counter_regs *c, uint64_t now)
{
	uint16_t value;
	bool msb = c->rw == RW_MSB || (c->rw == RW_BOTH && c->read_msb);

	if (c->has_status) {
		c->has_status = 0;
		return c->status;
	}
	counter_sync(c, now);
	value = c->has_latch ? c->latch : counter_value(c, now);
	if (c->rw == RW_BOTH)
		c->read_msb ^= 1;
	if (c->rw != RW_BOTH || !c->read_msb)
		c->has_latch = 0;
	return (uint8_t)(msb ? value >> 8 : value);
}

static void
counter_latch(struct counter_regs *c, uint64_t now)
{
	if (c->has_latch)
		return; /* the first one stands until it is read */
	counter_sync(c, now);
	c->latch = counter_value(c, now);
	c->has_latch = 1;
}

static void
counter_latch_status(struct counter_regs *c, uint64_t now)
{
	bool null;

	if (c->has_status)
		return;
	counter_sync(c, now);
	null = !c->loaded || c->next_count != 0 || now < c->since;
	c->status = (uint8_t)((counter_out(c, now) ? STATUS_OUT : 0) |
			      (null ? STATUS_NULL : 0) | c->rw << 4 |
			      c->mode << 1 | c->bcd);
	c->has_status = 1;
}

static void
counter_control(struct counter_regs *c, uint8_t cw)
{
	uint8_t gate = c->gate, mode = CW_MODE(cw);

	*c = (struct counter_regs){
		.mode = mode > 5 ? mode - 4 : mode, /* 6 is 2, 7 is 3 */
		.rw = CW_RW(cw),
		.bcd = cw & CW_BCD,
		.gate = gate,
	};
}

static void
counter_gate(struct counter_regs *c, bool gate, uint64_t now)
{
	if (c->gate == gate)
		return;
	counter_sync(c, now);
	if (!gate && !counter_is_triggered(c))
		counter_stop(c, now);
	c->gate = gate;
	if (!gate)
		return;
	if (counter_is_periodic(c) || counter_is_triggered(c)) {
		if (c->next_count != 0 || c->loaded)
			counter_load(c,
			    c->next_count != 0 ? c->next_count : c->count, now);
	} else if (c->loaded) { /* modes 0 and 4 go on */
		c->since = MAX(c->since, now);
		c->counting = 1;
	}
}

/* --- counter 0's interrupt -------------------------------------------- */

/* One edge at most; returns how many are still owed. */
static uint64_t
i8254_edge_locked(struct i8254 *pit, uint64_t elapsed)
{
	struct counter_regs *c = &pit->regs.counter[0];
	int64_t owed = (int64_t)counter_edges(c, elapsed) - c->fired;

	if (owed > BACKLOG_MAX) {
		c->fired += owed - BACKLOG_MAX;
		owed = BACKLOG_MAX;
	}
	if (owed <= 0)
		return 0;
	irq_line_set(&pit->line, false);
	irq_line_set(&pit->line, true);
	c->fired++;
	return (uint64_t)owed - 1;
}

static void
i8254_update_locked(struct i8254 *pit)
{
	struct counter_regs *c = &pit->regs.counter[0];
	uint64_t now_ns = vm_clock_ns(pit->ctx), now = tick_at(now_ns);
	uint64_t elapsed, owed, next, when;
	int64_t fired;

	counter_sync(c, now);
	fired = c->fired;
	elapsed = counter_elapsed(c, now);
	owed = i8254_edge_locked(pit, elapsed);
	if (owed == 0)
		irq_line_set(&pit->line, counter_out(c, now));
	next = counter_next_change(c, elapsed);
	if (pit->paused || (owed == 0 && next == UINT64_MAX)) {
		evtimer_disarm(pit->timer);
		return;
	}
	if (owed > 0)
		when = now_ns + tick_to_ns(c->count) / 4;
	else
		when = tick_to_ns(MAX(now, c->since) + (next - elapsed));
	if (c->fired != fired)
		when = MAX(when, now_ns + EDGE_MIN_NS);
	evtimer_arm(pit->timer, when);
}

static void
i8254_event(void *arg)
{
	i8254_update_locked(arg);
}

/* --- ports ------------------------------------------------------------ */

static void
i8254_read_back(struct i8254 *pit, uint8_t cw, uint64_t now)
{
	for (unsigned int n = 0; n < NCOUNTERS; n++) {
		struct counter_regs *c = &pit->regs.counter[n];

		if ((cw & BIT(n + 1)) == 0)
			continue;
		if ((cw & RB_NO_COUNT) == 0)
			counter_latch(c, now);
		if ((cw & RB_NO_STATUS) == 0)
			counter_latch_status(c, now);
	}
}

static void
i8254_control(struct i8254 *pit, uint8_t cw, uint64_t now)
{
	if (CW_SC(cw) == SC_READ_BACK)
		i8254_read_back(pit, cw, now);
	else if (CW_RW(cw) == RW_LATCH)
		counter_latch(&pit->regs.counter[CW_SC(cw)], now);
	else
		counter_control(&pit->regs.counter[CW_SC(cw)], cw);
}

static int
i8254_pio(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct i8254 *pit = arg;
	unsigned int n = port - I8254_PORT;
	uint64_t now = i8254_now(pit);

	if (bytes != 1 || (in && n == NCOUNTERS))
		return -1; /* the control word cannot be read */
	if (in) {
		*val = counter_read(&pit->regs.counter[n], now);
		return 0;
	}
	if (n == NCOUNTERS)
		i8254_control(pit, (uint8_t)*val, now);
	else
		counter_write(&pit->regs.counter[n], (uint8_t)*val, now);
	i8254_update_locked(pit);
	return 0;
}

static int
i8254_nmisc_pio(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct i8254 *pit = arg;
	struct counter_regs *c = &pit->regs.counter[2];
	uint64_t now = i8254_now(pit);

	if (bytes != 1)
		return -1;
	if (!in) {
		pit->regs.nmisc = *val & NMISC_WRITABLE;
		counter_gate(c, (*val & NMISC_GATE2) != 0, now);
		return 0;
	}
	counter_sync(c, now);
	*val = pit->regs.nmisc;
	if (counter_out(c, now))
		*val |= NMISC_OUT2;
	if ((vm_clock_ns(pit->ctx) / REFRESH_NS) & 1)
		*val |= NMISC_REFRESH;
	return 0;
}

/* --- life cycle ------------------------------------------------------- */

/* The part's power-on state is undefined; OUT is low until it is programmed. */
static void
i8254_reset(void *arg)
{
	struct i8254 *pit = arg;

	pit->regs = (struct i8254_regs){ 0 };
	for (unsigned int n = 0; n < NCOUNTERS; n++) {
		pit->regs.counter[n].rw = RW_BOTH;
		pit->regs.counter[n].gate = n != 2;
	}
	i8254_update_locked(pit);
}

static void
i8254_pause(void *arg)
{
	struct i8254 *pit = arg;

	pit->paused = true;
	evtimer_disarm(pit->timer);
}

static void
i8254_resume(void *arg)
{
	struct i8254 *pit = arg;

	pit->paused = false;
	i8254_update_locked(pit);
}

static bool
counter_valid(const struct counter_regs *c)
{
	const int64_t limit = INT64_C(1) << 62;

	return c->mode <= 5 && c->rw >= RW_LSB && c->rw <= RW_BOTH &&
	       c->bcd <= 1 && c->gate <= 1 && c->loaded <= 1 &&
	       c->counting <= 1 && c->has_latch <= 1 && c->has_status <= 1 &&
	       c->read_msb <= 1 && c->write_msb <= 1 && c->count <= 65536 &&
	       c->next_count <= 65536 && c->elapsed < (uint64_t)limit &&
	       c->reload_at < (uint64_t)limit && c->fired > -limit &&
	       c->fired < limit && (c->count > 0 || !c->loaded) &&
	       (c->loaded || !c->counting);
}

/* `since` is of this clock only: what is kept is the count as of now. */
static void
counter_snapshot(struct counter_regs *c, uint64_t now, struct snap *s)
{
	counter_sync(c, now);
	c->elapsed = counter_elapsed(c, now);
	c->since = now;
	snap_var(s, c->count);
	snap_var(s, c->next_count);
	snap_var(s, c->elapsed);
	snap_var(s, c->reload_at);
	snap_var(s, c->fired);
	snap_var(s, c->latch);
	snap_var(s, c->status);
	snap_var(s, c->mode);
	snap_var(s, c->rw);
	snap_var(s, c->bcd);
	snap_var(s, c->gate);
	snap_var(s, c->loaded);
	snap_var(s, c->counting);
	snap_var(s, c->has_latch);
	snap_var(s, c->has_status);
	snap_var(s, c->read_msb);
	snap_var(s, c->write_msb);
	snap_var(s, c->lsb);
	if (!counter_valid(c))
		snap_fail(s);
}

static void
i8254_snapshot(void *arg, struct snap *s)
{
	struct i8254 *pit = arg;
	struct i8254_regs r = pit->regs;
	uint64_t now = i8254_now(pit);

	for (unsigned int n = 0; n < NCOUNTERS; n++)
		counter_snapshot(&r.counter[n], now, s);
	snap_var(s, r.nmisc);
	if ((r.nmisc & ~NMISC_WRITABLE) != 0 || !r.counter[0].gate ||
	    !r.counter[1].gate || r.counter[2].gate != (r.nmisc & NMISC_GATE2))
		snap_fail(s);
	if (!snap_loading(s) || snap_error(s) != 0)
		return;
	pit->regs = r;
	i8254_update_locked(pit);
}

static void
i8254_fini(void *arg)
{
	struct i8254 *pit = arg;

	bus_pio_unregister(pit->ctx, I8254_PORT, I8254_NPORTS);
	bus_pio_unregister(pit->ctx, NMISC_PORT, 1);
	evtimer_del(pit->timer);
	lock_fini(&pit->lock);
	free(pit);
}

static const struct chip_ops i8254_chip_ops = {
	.name = "i8254",
	.reset = i8254_reset,
	.pause = i8254_pause,
	.resume = i8254_resume,
	.snapshot = i8254_snapshot,
	.fini = i8254_fini,
};

static int
i8254_register(struct i8254 *pit)
{
	int err =
	    bus_pio_register(pit->ctx, &(struct pio_range){ .name = "i8254",
					   .port = I8254_PORT,
					   .len = I8254_NPORTS,
					   .fn = i8254_pio,
					   .arg = pit,
					   .lock = &pit->lock });

	if (err != 0)
		return err;
	err = bus_pio_register(pit->ctx, &(struct pio_range){ .name = "nmisc",
					     .port = NMISC_PORT,
					     .len = 1,
					     .fn = i8254_nmisc_pio,
					     .arg = pit,
					     .lock = &pit->lock });
	if (err != 0)
		bus_pio_unregister(pit->ctx, I8254_PORT, I8254_NPORTS);
	return err;
}

int
i8254_create(struct vmctx *ctx)
{
	struct i8254 *pit;
	int err = irq_engine_pit(ctx);

	if (err != -ENOTSUP)
		return err;
	pit = xcalloc(1, sizeof(*pit));
	pit->ctx = ctx;
	lock_init(&pit->lock);
	err = i8254_register(pit);
	if (err != 0) {
		lock_fini(&pit->lock);
		free(pit);
		return err;
	}
	irq_line_init(&pit->line, ctx, I8254_GSI);
	pit->timer = evtimer_create(ctx, "i8254", &pit->lock, i8254_event, pit);
	lock_acquire(&pit->lock);
	i8254_reset(pit);
	lock_release(&pit->lock);
	chip_add(ctx, &i8254_chip_ops, pit, &pit->lock);
	return 0;
}
