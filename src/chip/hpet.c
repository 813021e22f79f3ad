/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IA-PC HPET (specification 1.0a): a 32-bit main counter of 10 MHz and eight
 * timers, each one-shot or periodic, edge, level or message (FSB) interrupts,
 * lines 20-23 (docs/bhyve.md 1.9).
 *
 * Time is the machine's clock; a timer is an event at the moment the counter
 * will equal its comparator.  A moment that was missed (the host was busy)
 * gives one interrupt, not one for each missed period; a period of 0 matches
 * once a wrap of the counter, as adding 0 to the accumulator does.
 * Missing: legacy replacement (its capability bit is 0), 64-bit timers.
 * Accesses come from vCPU threads, expiry from the event thread, all under the
 * chip's lock.
 */
#include <chip/chips.h>

#include <stdlib.h>

#include <util/lock.h>
#include <util/log.h>
#include <vmm/bus.h>
#include <vmm/chip.h>
#include <vmm/event.h>
#include <vmm/platform.h>
#include <vmm/snap.h>

#define HPET_BASE	0xfed00000ull
#define HPET_LEN	0x400
#define HPET_NTIMERS	8u
#define HPET_TICK_NS	100u
#define HPET_PERIOD_FS	100000000ull
#define HPET_WRAP_TICKS 0x100000000ull
/* A periodic timer fires at most this often, whatever the guest asks. */
#define HPET_MIN_GAP_NS 20000u

/* Section 2.3, register offsets. */
#define REG_GCAP_ID    0x000
#define REG_GEN_CONF   0x010
#define REG_GINTR_STA  0x020
#define REG_MAIN_CNT   0x0f0
#define REG_TIMERS     0x100
#define TIMER_STRIDE   0x20
#define TIMER_CONF     0x00
#define TIMER_COMP     0x08
#define TIMER_FSB      0x10

#define GEN_ENABLE_CNF 0x1ull

/* Section 2.3.8, Tn_... */
#define T_INT_TYPE_CNF	  0x0002u /* level */
#define T_INT_ENB_CNF	  0x0004u
#define T_TYPE_CNF	  0x0008u /* periodic */
#define T_PER_INT_CAP	  0x0010u
#define T_VAL_SET_CNF	  0x0040u
#define T_INT_ROUTE_SHIFT 9
#define T_INT_ROUTE_CNF	  0x3e00u
#define T_FSB_EN_CNF	  0x4000u
#define T_FSB_INT_DEL_CAP 0x8000u
#define T_CAPS		  (T_PER_INT_CAP | T_FSB_INT_DEL_CAP)
#define T_WRITABLE                                                             \
	(T_INT_TYPE_CNF | T_INT_ENB_CNF | T_TYPE_CNF | T_VAL_SET_CNF |         \
	    T_INT_ROUTE_CNF | T_FSB_EN_CNF)
#define T_ROUTE_CAP 0x00f00000u /* pins 20 to 23 */

struct hpet_timer_regs {
	uint32_t conf; /* writable bits only */
	uint32_t comp;
	uint32_t period; /* last value written in periodic mode */
	uint32_t loaded; /* what VAL_SET put into comp */
	uint32_t fsb_val, fsb_addr;
	uint8_t val_set; /* comp was loaded, the period not written since */
	uint8_t matched; /* since it was loaded */
	uint8_t pad[2];
};
static_assert(sizeof(struct hpet_timer_regs) == 28, "snapshot format");

struct hpet_regs {
	uint32_t enabled;
	uint32_t int_sta;
	uint32_t count; /* while halted; else the value at base_ns */
	uint32_t pad;
	struct hpet_timer_regs timer[HPET_NTIMERS];
};
static_assert(sizeof(struct hpet_regs) == 240, "snapshot format");

struct hpet_timer {
	struct hpet *hpet;
	unsigned int num;
	struct evtimer *event;
	uint64_t match_ns; /* when it matches next; UINT64_MAX: never */
	struct irq_line line;
	bool routed; /* line is initialised */
};

struct hpet {
	struct vmctx *ctx;
	struct lock lock;
	uint64_t base_ns; /* when the counter had the value regs.count */
	bool paused;
	struct hpet_regs regs;
	struct hpet_timer timer[HPET_NTIMERS];
};

static uint32_t
hpet_count_at(const struct hpet *h, uint64_t now)
{
	if (!h->regs.enabled)
		return h->regs.count;
	return h->regs.count + (uint32_t)((now - h->base_ns) / HPET_TICK_NS);
}

static uint32_t
hpet_count(const struct hpet *h)
{
	return hpet_count_at(h, vm_clock_ns(h->ctx));
}

static struct hpet_timer_regs *
hpet_timer_regs(struct hpet_timer *t)
{
	return &t->hpet->regs.timer[t->num];
}

/* --- interrupts ----------------------------------------------------------- */

/* The level of a level-triggered timer's line; others rest low. */
static void
hpet_timer_update_line(struct hpet_timer *t)
{
	const struct hpet_timer_regs *r = hpet_timer_regs(t);
	bool active = (t->hpet->regs.int_sta & BIT(t->num)) != 0;

	if (!t->routed)
		return;
	irq_line_set(&t->line, active && t->hpet->regs.enabled &&
				   (r->conf & T_INT_ENB_CNF) != 0 &&
				   (r->conf & T_FSB_EN_CNF) == 0);
}

static void
hpet_timer_route(struct hpet_timer *t)
{
	const struct hpet_timer_regs *r = hpet_timer_regs(t);
	unsigned int gsi = (r->conf & T_INT_ROUTE_CNF) >> T_INT_ROUTE_SHIFT;

	if (t->routed && t->line.gsi == gsi)
		return;
	if (t->routed)
		irq_line_set(&t->line, false);
	t->routed = gsi != 0;
	if (t->routed)
		irq_line_init(&t->line, t->hpet->ctx, gsi);
}

static void
hpet_timer_interrupt(struct hpet_timer *t)
{
	const struct hpet_timer_regs *r = hpet_timer_regs(t);

	/* The status bit follows the match even with INT_ENB clear. */
	if ((r->conf & T_INT_TYPE_CNF) != 0) {
		t->hpet->regs.int_sta |= BIT(t->num);
		hpet_timer_update_line(t);
	}
	if ((r->conf & T_INT_ENB_CNF) == 0)
		return;
	if ((r->conf & T_FSB_EN_CNF) != 0)
		irq_msi(t->hpet->ctx, r->fsb_addr, r->fsb_val);
	else if ((r->conf & T_INT_TYPE_CNF) == 0 && t->routed)
		irq_line_pulse(&t->line);
}

/* --- matching ------------------------------------------------------------- */

/* Would anyone notice a match?  A timer at rest costs nothing. */
static bool
hpet_timer_observable(const struct hpet_timer_regs *r)
{
	return (r->conf & (T_INT_ENB_CNF | T_INT_TYPE_CNF | T_TYPE_CNF)) != 0;
}

static void
hpet_timer_arm(struct hpet_timer *t)
{
	if (t->match_ns == UINT64_MAX || t->hpet->paused)
		evtimer_disarm(t->event);
	else
		evtimer_arm(t->event, t->match_ns);
}

/* Find the next match from the comparator, `skip_now`: not this very tick. */
static void
hpet_timer_restart(struct hpet_timer *t, bool skip_now)
{
	const struct hpet *h = t->hpet;
	const struct hpet_timer_regs *r = hpet_timer_regs(t);
	uint64_t now = vm_clock_ns(h->ctx);
	uint64_t delta, ticks;

	t->match_ns = UINT64_MAX;
	if (h->regs.enabled && hpet_timer_observable(r)) {
		delta = (uint32_t)(r->comp - hpet_count_at(h, now));
		if (delta == 0 && skip_now)
			delta = HPET_WRAP_TICKS;
		ticks = (now - h->base_ns) / HPET_TICK_NS + delta;
		t->match_ns = h->base_ns + ticks * HPET_TICK_NS;
	}
	hpet_timer_arm(t);
}

/* Periodic: the first of comp + n * period, n > 0, that is after `now`. */
static void
hpet_timer_advance(struct hpet_timer *t, uint64_t now)
{
	struct hpet_timer_regs *r = hpet_timer_regs(t);
	uint64_t step = r->period != 0 ? r->period : HPET_WRAP_TICKS;
	uint64_t late = (now - t->match_ns) / HPET_TICK_NS;
	uint64_t steps = late / step + 1;

	r->comp += (uint32_t)(steps * step);
	t->match_ns += steps * step * HPET_TICK_NS;
}

static void
hpet_timer_match(struct hpet_timer *t, uint64_t now)
{
	struct hpet_timer_regs *r = hpet_timer_regs(t);

	r->matched = true;
	if ((r->conf & T_TYPE_CNF) != 0) {
		hpet_timer_advance(t, now);
	} else {
		uint64_t wrap_ns = HPET_WRAP_TICKS * HPET_TICK_NS;

		t->match_ns += ((now - t->match_ns) / wrap_ns + 1) * wrap_ns;
	}
	hpet_timer_interrupt(t);
}

static void
hpet_timer_expired(void *arg)
{
	struct hpet_timer *t = arg;
	uint64_t now = vm_clock_ns(t->hpet->ctx);

	if (now >= t->match_ns)
		hpet_timer_match(t, now);
	if (t->match_ns < now + HPET_MIN_GAP_NS && !t->hpet->paused)
		evtimer_arm(t->event, now + HPET_MIN_GAP_NS);
	else
		hpet_timer_arm(t);
}

/* The event thread may be late; the guest must not see that it is. */
static void
hpet_sync(struct hpet *h)
{
	uint64_t now = vm_clock_ns(h->ctx);

	for (unsigned int i = 0; i < HPET_NTIMERS; i++)
		if (now >= h->timer[i].match_ns)
			hpet_timer_expired(&h->timer[i]);
}

/* --- registers ------------------------------------------------------------ */

static void
hpet_enable(struct hpet *h, bool enable)
{
	if (enable == (h->regs.enabled != 0))
		return;
	if (!enable)
		h->regs.count = hpet_count(h);
	h->base_ns = vm_clock_ns(h->ctx);
	h->regs.enabled = enable;
	for (unsigned int i = 0; i < HPET_NTIMERS; i++) {
		hpet_timer_restart(&h->timer[i], false);
		hpet_timer_update_line(&h->timer[i]);
	}
}

static void
hpet_write_conf(struct hpet_timer *t, uint32_t val)
{
	struct hpet_timer_regs *r = hpet_timer_regs(t);
	unsigned int route = (val & T_INT_ROUTE_CNF) >> T_INT_ROUTE_SHIFT;
	uint32_t old = r->conf;

	r->conf = val & T_WRITABLE;
	/* What is not possible does not read back (2.3.8). */
	if ((T_ROUTE_CAP & BIT(route)) == 0)
		r->conf &= ~T_INT_ROUTE_CNF;
	if ((r->conf & T_TYPE_CNF) == 0)
		r->conf &= ~T_VAL_SET_CNF;
	/* An edge timer has no status: dropping to edge ends a request. */
	if ((old & ~r->conf & T_INT_TYPE_CNF) != 0)
		t->hpet->regs.int_sta &= ~BIT(t->num);
	hpet_timer_route(t);
	hpet_timer_update_line(t);
	if (((old ^ r->conf) & ~T_VAL_SET_CNF) != 0)
		hpet_timer_restart(t, true);
}

/*
 * Drivers load the accumulator by VAL_SET and write the period after that.
 * When the host is slow the match can come in between and add the wrong
 * period (Linux would then wait minutes for its tick): count the new one
 * from the value that was loaded.
 */
static void
hpet_redo_first_period(struct hpet_timer *t)
{
	struct hpet_timer_regs *r = hpet_timer_regs(t);
	uint32_t since = hpet_count(t->hpet) - r->loaded;

	if (r->val_set && r->matched && r->period != 0)
		r->comp = r->loaded + (since / r->period + 1) * r->period;
	r->val_set = false;
}

static void
hpet_write_comp(struct hpet_timer *t, uint32_t val)
{
	struct hpet_timer_regs *r = hpet_timer_regs(t);

	if ((r->conf & T_TYPE_CNF) == 0) {
		r->comp = val;
		r->period = 0;
	} else if ((r->conf & T_VAL_SET_CNF) != 0) {
		/* Sets the period as well: a single write may be all. */
		r->comp = r->loaded = r->period = val;
		r->val_set = true;
		r->matched = false;
		r->conf &= ~T_VAL_SET_CNF;
	} else {
		r->period = val;
		hpet_redo_first_period(t);
	}
	hpet_timer_restart(t, false);
}

/* GINTR_STA: writing 1 ends a level-triggered request. */
static void
hpet_write_status(struct hpet *h, uint32_t val)
{
	h->regs.int_sta &= ~val;
	for (unsigned int i = 0; i < HPET_NTIMERS; i++)
		hpet_timer_update_line(&h->timer[i]);
}

static void
hpet_write_counter(struct hpet *h, uint32_t val)
{
	if (h->regs.enabled) {
		guest_error("hpet", "counter written while it runs");
		return;
	}
	h->regs.count = val;
}

static uint64_t
hpet_timer_read(const struct hpet_timer_regs *r, unsigned int reg)
{
	switch (reg) {
	case TIMER_CONF:
		return (uint64_t)T_ROUTE_CAP << 32 | r->conf | T_CAPS;
	case TIMER_COMP:
		return r->comp;
	case TIMER_FSB:
		return (uint64_t)r->fsb_addr << 32 | r->fsb_val;
	default:
		return 0;
	}
}

/* The 64-bit register at `reg`, a multiple of 8. */
static uint64_t
hpet_read(struct hpet *h, unsigned int reg)
{
	switch (reg) {
	case REG_GCAP_ID:
		return HPET_PERIOD_FS << 32 | HPET_CAPABILITIES;
	case REG_GEN_CONF:
		return h->regs.enabled ? GEN_ENABLE_CNF : 0;
	case REG_GINTR_STA:
		return h->regs.int_sta;
	case REG_MAIN_CNT:
		return hpet_count(h);
	default:
		break;
	}
	if (reg < REG_TIMERS || reg >= REG_TIMERS + HPET_NTIMERS * TIMER_STRIDE)
		return 0; /* reserved, section 2.3.1 */
	reg -= REG_TIMERS;
	return hpet_timer_read(
	    &h->regs.timer[reg / TIMER_STRIDE], reg % TIMER_STRIDE);
}

static void
hpet_timer_write(
    struct hpet_timer *t, unsigned int reg, uint64_t val, bool low, bool high)
{
	struct hpet_timer_regs *r = hpet_timer_regs(t);

	if (reg == TIMER_CONF && low)
		hpet_write_conf(t, (uint32_t)val);
	if (reg == TIMER_COMP && low)
		hpet_write_comp(t, (uint32_t)val);
	if (reg == TIMER_FSB && low)
		r->fsb_val = (uint32_t)val;
	if (reg == TIMER_FSB && high)
		r->fsb_addr = (uint32_t)(val >> 32);
}

/* low, high: the halves of the 64-bit register that are written. */
static void
hpet_write(struct hpet *h, unsigned int reg, uint64_t val, bool low, bool high)
{
	unsigned int off = reg - REG_TIMERS;

	if (reg >= REG_TIMERS) {
		if (off / TIMER_STRIDE < HPET_NTIMERS)
			hpet_timer_write(&h->timer[off / TIMER_STRIDE],
			    off % TIMER_STRIDE, val, low, high);
		return;
	}
	if (!low)
		return; /* the upper halves are read-only or reserved */
	if (reg == REG_GEN_CONF)
		hpet_enable(h, (val & GEN_ENABLE_CNF) != 0);
	else if (reg == REG_GINTR_STA)
		hpet_write_status(h, (uint32_t)val);
	else if (reg == REG_MAIN_CNT)
		hpet_write_counter(h, (uint32_t)val);
}

/* Section 2.3.1: aligned 32-bit or 64-bit accesses only. */
static int
hpet_mmio(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val, void *arg)
{
	struct hpet *h = arg;
	unsigned int off = (unsigned int)(gpa - HPET_BASE);
	bool upper = (off & 4) != 0;

	if ((bytes != 4 && bytes != 8) || off % bytes != 0)
		return -1;
	hpet_sync(h);
	if (write && bytes == 8)
		hpet_write(h, off, *val, true, true);
	else if (write)
		hpet_write(
		    h, off & ~7u, upper ? *val << 32 : *val, !upper, upper);
	else
		*val = hpet_read(h, off & ~7u) >> (upper ? 32 : 0);
	return 0;
}

/* --- life ----------------------------------------------------------------- */

static void
hpet_restart_all(struct hpet *h, bool skip_now)
{
	for (unsigned int i = 0; i < HPET_NTIMERS; i++) {
		hpet_timer_route(&h->timer[i]);
		hpet_timer_update_line(&h->timer[i]);
		hpet_timer_restart(&h->timer[i], skip_now);
	}
}

static void
hpet_reset(void *arg)
{
	struct hpet *h = arg;

	h->regs = (struct hpet_regs){ 0 };
	for (unsigned int i = 0; i < HPET_NTIMERS; i++)
		h->regs.timer[i].comp = UINT32_MAX;
	hpet_restart_all(h, false);
}

/*
 * What is due fires now: a saved machine finds its next match by looking for
 * the comparator ahead of the counter.
 */
static void
hpet_pause(void *arg)
{
	struct hpet *h = arg;
	uint64_t now = vm_clock_ns(h->ctx);

	h->paused = true;
	for (unsigned int i = 0; i < HPET_NTIMERS; i++) {
		if (now >= h->timer[i].match_ns)
			hpet_timer_match(&h->timer[i], now);
		hpet_timer_arm(&h->timer[i]);
	}
}

static void
hpet_resume(void *arg)
{
	struct hpet *h = arg;

	h->paused = false;
	for (unsigned int i = 0; i < HPET_NTIMERS; i++)
		hpet_timer_arm(&h->timer[i]);
}

static bool
hpet_regs_ok(const struct hpet_regs *r)
{
	if (r->enabled > 1 || r->int_sta >= BIT(HPET_NTIMERS))
		return false;
	for (unsigned int i = 0; i < HPET_NTIMERS; i++) {
		const struct hpet_timer_regs *t = &r->timer[i];
		unsigned int route =
		    (t->conf & T_INT_ROUTE_CNF) >> T_INT_ROUTE_SHIFT;

		if ((t->conf & ~T_WRITABLE) != 0 || t->val_set > 1 ||
		    t->matched > 1 ||
		    (route != 0 && (T_ROUTE_CAP & BIT(route)) == 0))
			return false;
	}
	return true;
}

static void
hpet_snapshot(void *arg, struct snap *s)
{
	struct hpet *h = arg;
	struct hpet_regs r = h->regs;

	r.count = hpet_count(h);
	if (snap_bytes(s, "hpet", &r, sizeof(r)) != 0 || !snap_loading(s))
		return;
	if (!hpet_regs_ok(&r)) {
		snap_fail(s);
		return;
	}
	h->regs = r;
	h->base_ns = vm_clock_ns(h->ctx);
	hpet_restart_all(h, true);
}

static void
hpet_free(struct hpet *h)
{
	for (unsigned int i = 0; i < HPET_NTIMERS; i++) {
		evtimer_del(h->timer[i].event);
		if (h->timer[i].routed)
			irq_line_set(&h->timer[i].line, false);
	}
	lock_fini(&h->lock);
	free(h);
}

static void
hpet_fini(void *arg)
{
	struct hpet *h = arg;

	bus_mmio_unregister(h->ctx, HPET_BASE, HPET_LEN);
	hpet_free(h);
}

static const struct chip_ops hpet_ops = {
	.name = "hpet",
	.reset = hpet_reset,
	.pause = hpet_pause,
	.resume = hpet_resume,
	.snapshot = hpet_snapshot,
	.fini = hpet_fini,
};

int
hpet_create(struct vmctx *ctx)
{
	struct hpet *h = xcalloc(1, sizeof(*h));
	const struct mmio_range range = {
		.name = "hpet",
		.base = HPET_BASE,
		.len = HPET_LEN,
		.fn = hpet_mmio,
		.arg = h,
		.lock = &h->lock,
	};
	int error;

	h->ctx = ctx;
	lock_init(&h->lock);
	for (unsigned int i = 0; i < HPET_NTIMERS; i++) {
		h->timer[i].hpet = h;
		h->timer[i].num = i;
		h->timer[i].event = evtimer_create(
		    ctx, "hpet", &h->lock, hpet_timer_expired, &h->timer[i]);
	}
	hpet_reset(h);
	error = bus_mmio_register(ctx, &range);
	if (error != 0) {
		hpet_free(h);
		return error;
	}
	chip_add(ctx, &hpet_ops, h, &h->lock);
	vm_set_hpet_capabilities(ctx, HPET_CAPABILITIES);
	return 0;
}
