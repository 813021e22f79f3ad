/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Motorola MC146818A real-time clock with 128 bytes of CMOS RAM, ports 0x70
 * and 0x71, gsi 8 (data sheet ADI-856R2; PC usage as in the IBM AT).
 *
 * The clock is the host's plus an offset; setting it changes the offset.  The
 * offset also carries the phase of the divider chain, so that releasing it
 * from reset starts a second half over, as the data sheet says.  Flags are
 * found when they are looked at; a timer runs only while an interrupt that
 * needs one is enabled and its flag is clear.
 *
 * The century is register 0x32 in BCD whatever the data mode (ACPI 5.0 table
 * 5-34 leaves it open; PC firmware does so).  Missing: daylight saving (DSE is
 * stored), the square wave, time bases other than 32.768 kHz (the divider
 * then stands still), the NMI mask in bit 7 of the index.  Accesses come from
 * vCPU threads, expiry from the event thread.
 */
#include <chip/chips.h>

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <util/lock.h>
#include <util/log.h>
#include <vmm/bus.h>
#include <vmm/chip.h>
#include <vmm/event.h>
#include <vmm/platform.h>
#include <vmm/snap.h>

#define RTC_PORT 0x70
#define RTC_IRQ	 8

/* Figure 7, address map. */
#define RTC_SEC	      0x00
#define RTC_SEC_ALRM  0x01
#define RTC_MIN	      0x02
#define RTC_MIN_ALRM  0x03
#define RTC_HOUR      0x04
#define RTC_HOUR_ALRM 0x05
#define RTC_WDAY      0x06 /* 1 is Sunday */
#define RTC_DAY	      0x07
#define RTC_MONTH     0x08
#define RTC_YEAR      0x09
#define RTC_REG_A     0x0a
#define RTC_REG_B     0x0b
#define RTC_REG_C     0x0c
#define RTC_REG_D     0x0d
#define RTC_CENTURY   0x32
#define RTC_NREGS     128

/* PC conventions for sizes of RAM. */
#define RTC_LOWMEM_64K	0x34 /* 2 bytes: above 16 MiB, in 64 KiB */
#define RTC_HIGHMEM_64K 0x5b /* 3 bytes: above 4 GiB, in 64 KiB */

#define A_UIP		0x80
#define A_DV_MASK	0x70
#define A_DV_32KHZ	0x20
#define A_DV_RESET	0x60 /* and 0x70 */
#define A_RS_MASK	0x0f
#define A_AFTER_POST	0x26 /* 32.768 kHz, 1024 Hz: what PC firmware sets */

#define B_SET		0x80
#define B_PIE		0x40
#define B_AIE		0x20
#define B_UIE		0x10
#define B_DM		0x04
#define B_24H		0x02
#define B_AFTER_POST	B_24H

#define C_IRQF		0x80
#define C_PF		0x40 /* the enables in B have the same places */
#define C_AF		0x20
#define C_UF		0x10

#define D_VRT		0x80

#define HOUR_PM		0x80
#define ALRM_DONT_CARE	0xc0

#define US_PER_SEC	1000000
#define UPDATE_US	(244 + 1984) /* UIP goes up before, falls at the end */
#define HALF_SEC_US	500000
#define XTAL_HZ		32768u
#define NS_PER_SEC	1000000000u
#define SEC_PER_DAY	86400
/* The host's clock may be set meanwhile: look again after at most this. */
#define MAX_WAIT_NS 60000000000ull

struct rtc_regs {
	int64_t offset_us; /* guest's civil time minus the host's clock */
	uint64_t period_phase_ns; /* into the current period, when saved */
	uint8_t reg[RTC_NREGS];	  /* time bytes only while frozen */
	uint8_t index;
	uint8_t frozen;	   /* SET, or the divider does not run */
	uint8_t wday_skew; /* days the guest's weekday is ahead, 0-6 */
	uint8_t pad[5];
};
static_assert(sizeof(struct rtc_regs) == 152, "snapshot format");

struct rtc {
	struct vmctx *ctx;
	struct lock lock;
	struct irq_line line;
	struct evtimer *event;
	int64_t (*now_us)(void *arg);
	void *now_arg;
	bool paused;
	int64_t seen_us;     /* flags are right up to this guest time */
	uint64_t period_ns;  /* machine's time when the periodic chain began */
	uint64_t seen_ticks; /* periods since then that are accounted for */
	struct rtc_regs regs;
};

/* Time as the registers show it. */
struct rtc_time {
	int sec, min, hour, wday /* 0-6 */, day, month, year;
};

/* --- arithmetic of time --------------------------------------------------- */

static int64_t
rtc_floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int64_t
rtc_floor_mod(int64_t a, int64_t b)
{
	return a - rtc_floor_div(a, b) * b;
}

static int64_t
rtc_host_us(void *arg)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * US_PER_SEC + ts.tv_nsec / 1000;
}

static int64_t
rtc_guest_us(const struct rtc *rtc)
{
	return rtc->now_us(rtc->now_arg) + rtc->regs.offset_us;
}

static void
rtc_split(const struct rtc *rtc, int64_t sec, struct rtc_time *t)
{
	time_t when = (time_t)sec;
	struct tm tm;

	gmtime_r(&when, &tm);
	*t = (struct rtc_time){
		.sec = tm.tm_sec,
		.min = tm.tm_min,
		.hour = tm.tm_hour,
		.wday = (tm.tm_wday + rtc->regs.wday_skew) % 7,
		.day = tm.tm_mday,
		.month = tm.tm_mon + 1,
		.year = (int)rtc_floor_mod(tm.tm_year + 1900, 10000),
	};
}

/* Any values: what is beyond its range carries over. */
static int64_t
rtc_join(const struct rtc_time *t, int *ret_wday)
{
	struct tm tm = {
		.tm_sec = t->sec,
		.tm_min = t->min,
		.tm_hour = t->hour,
		.tm_mday = t->day,
		.tm_mon = t->month - 1,
		.tm_year = t->year - 1900,
	};
	time_t sec = timegm(&tm);

	*ret_wday = tm.tm_wday;
	return sec;
}

/* --- register formats ----------------------------------------------------- */

static uint8_t
rtc_to_bcd(int val)
{
	return (uint8_t)(val / 10 % 10 << 4 | val % 10);
}

static int
rtc_from_bcd(uint8_t val)
{
	return (val >> 4) * 10 + (val & 0xf);
}

static uint8_t
rtc_encode(const struct rtc *rtc, int val)
{
	bool binary = (rtc->regs.reg[RTC_REG_B] & B_DM) != 0;

	return binary ? (uint8_t)val : rtc_to_bcd(val);
}

static int
rtc_decode(const struct rtc *rtc, uint8_t val)
{
	bool binary = (rtc->regs.reg[RTC_REG_B] & B_DM) != 0;

	return binary ? val : rtc_from_bcd(val);
}

/* 12-hour mode counts 12, 1 .. 11; bit 7 says p.m. */
static uint8_t
rtc_encode_hour(const struct rtc *rtc, int hour)
{
	uint8_t pm = hour >= 12 ? HOUR_PM : 0;

	if ((rtc->regs.reg[RTC_REG_B] & B_24H) != 0)
		return rtc_encode(rtc, hour);
	return rtc_encode(rtc, hour % 12 == 0 ? 12 : hour % 12) | pm;
}

static int
rtc_decode_hour(const struct rtc *rtc, uint8_t val)
{
	int hour;

	if ((rtc->regs.reg[RTC_REG_B] & B_24H) != 0)
		return rtc_decode(rtc, val);
	hour = rtc_decode(rtc, val & ~HOUR_PM) % 12;
	return (val & HOUR_PM) != 0 ? hour + 12 : hour;
}

static bool
rtc_is_time_reg(unsigned int reg)
{
	return reg == RTC_CENTURY ||
	       (reg <= RTC_YEAR && reg != RTC_SEC_ALRM && reg != RTC_MIN_ALRM &&
		   reg != RTC_HOUR_ALRM);
}

static void
rtc_time_to_regs(struct rtc *rtc, const struct rtc_time *t)
{
	uint8_t *reg = rtc->regs.reg;

	reg[RTC_SEC] = rtc_encode(rtc, t->sec);
	reg[RTC_MIN] = rtc_encode(rtc, t->min);
	reg[RTC_HOUR] = rtc_encode_hour(rtc, t->hour);
	reg[RTC_WDAY] = rtc_encode(rtc, t->wday + 1);
	reg[RTC_DAY] = rtc_encode(rtc, t->day);
	reg[RTC_MONTH] = rtc_encode(rtc, t->month);
	reg[RTC_YEAR] = rtc_encode(rtc, t->year % 100);
	reg[RTC_CENTURY] = rtc_to_bcd(t->year / 100);
}

static void
rtc_regs_to_time(const struct rtc *rtc, struct rtc_time *t)
{
	const uint8_t *reg = rtc->regs.reg;

	*t = (struct rtc_time){
		.sec = rtc_decode(rtc, reg[RTC_SEC]),
		.min = rtc_decode(rtc, reg[RTC_MIN]),
		.hour = rtc_decode_hour(rtc, reg[RTC_HOUR]),
		.wday = rtc_decode(rtc, reg[RTC_WDAY]) - 1,
		.day = rtc_decode(rtc, reg[RTC_DAY]),
		.month = rtc_decode(rtc, reg[RTC_MONTH]),
		.year = rtc_from_bcd(reg[RTC_CENTURY]) * 100 +
			rtc_decode(rtc, reg[RTC_YEAR]),
	};
}

/* --- the clock ------------------------------------------------------------ */

static bool
rtc_divider_runs(const struct rtc *rtc)
{
	return (rtc->regs.reg[RTC_REG_A] & A_DV_MASK) == A_DV_32KHZ;
}

/* Show the present time in the registers. */
static void
rtc_latch(struct rtc *rtc)
{
	struct rtc_time t;

	rtc_split(rtc, rtc_floor_div(rtc_guest_us(rtc), US_PER_SEC), &t);
	rtc_time_to_regs(rtc, &t);
}

/* The registers are the present time; the divider's phase stays. */
static void
rtc_set_from_regs(struct rtc *rtc)
{
	int64_t guest = rtc_guest_us(rtc);
	struct rtc_time t;
	int64_t sec;
	int wday;

	rtc_regs_to_time(rtc, &t);
	sec = rtc_join(&t, &wday);
	rtc->regs.wday_skew = (uint8_t)rtc_floor_mod(t.wday - wday, 7);
	rtc->regs.offset_us +=
	    (sec - rtc_floor_div(guest, US_PER_SEC)) * US_PER_SEC;
	rtc->seen_us = rtc_guest_us(rtc);
}

/* Registers A or B changed: does time go on? */
static void
rtc_update_frozen(struct rtc *rtc)
{
	bool frozen =
	    (rtc->regs.reg[RTC_REG_B] & B_SET) != 0 || !rtc_divider_runs(rtc);

	if (frozen == (rtc->regs.frozen != 0))
		return;
	if (frozen)
		rtc_latch(rtc);
	else
		rtc_set_from_regs(rtc);
	rtc->regs.frozen = frozen;
}

static bool
rtc_update_in_progress(const struct rtc *rtc)
{
	int64_t phase = rtc_floor_mod(rtc_guest_us(rtc), US_PER_SEC);

	return !rtc->regs.frozen && phase >= US_PER_SEC - UPDATE_US;
}

/* --- alarm ---------------------------------------------------------------- */

/* Which of the values 0 .. n-1 the alarm byte matches, one bit each. */
static uint64_t
rtc_alarm_set(const struct rtc *rtc, unsigned int reg, int n,
    uint8_t (*encode)(const struct rtc *, int))
{
	uint8_t byte = rtc->regs.reg[reg];
	uint64_t set = 0;

	for (int i = 0; i < n; i++)
		if ((byte & ALRM_DONT_CARE) == ALRM_DONT_CARE ||
		    encode(rtc, i) == byte)
			set |= BIT64(i);
	return set;
}

/*
 * The first second after `sec` at which the alarm goes off, or INT64_MAX.  At
 * most one step for each hour, minute and second of two days' start.
 */
static int64_t
rtc_next_alarm(const struct rtc *rtc, int64_t sec)
{
	uint64_t secs = rtc_alarm_set(rtc, RTC_SEC_ALRM, 60, rtc_encode);
	uint64_t mins = rtc_alarm_set(rtc, RTC_MIN_ALRM, 60, rtc_encode);
	uint64_t hours = rtc_alarm_set(rtc, RTC_HOUR_ALRM, 24, rtc_encode_hour);
	int64_t end = sec + SEC_PER_DAY;

	if (secs == 0 || mins == 0 || hours == 0)
		return INT64_MAX;
	for (sec++; sec <= end;) {
		int64_t tod = rtc_floor_mod(sec, SEC_PER_DAY);

		if ((hours & BIT64(tod / 3600)) == 0)
			sec += 3600 - tod % 3600;
		else if ((mins & BIT64(tod / 60 % 60)) == 0)
			sec += 60 - tod % 60;
		else if ((secs & BIT64(tod % 60)) == 0)
			sec++;
		else
			return sec;
	}
	return INT64_MAX;
}

/* --- flags and interrupts ------------------------------------------------- */

/* Crystal cycles a period, table 5; 0: none. */
static unsigned int
rtc_period_cycles(const struct rtc *rtc)
{
	unsigned int rs = rtc->regs.reg[RTC_REG_A] & A_RS_MASK;

	if (rs == 0 || !rtc_divider_runs(rtc))
		return 0;
	/* The two fastest taps do not exist: 1 and 2 are 8 and 9. */
	return rs <= 2 ? 1u << (rs + 6) : 1u << (rs - 1);
}

static uint64_t
rtc_ticks(const struct rtc *rtc, unsigned int cycles)
{
	unsigned __int128 elapsed = vm_clock_ns(rtc->ctx) - rtc->period_ns;

	return (uint64_t)(elapsed * XTAL_HZ / NS_PER_SEC / cycles);
}

static void
rtc_restart_period(struct rtc *rtc)
{
	rtc->period_ns = vm_clock_ns(rtc->ctx);
	rtc->seen_ticks = 0;
}

/* Set the flags of whatever happened since the last look. */
static void
rtc_sync(struct rtc *rtc)
{
	unsigned int cycles = rtc_period_cycles(rtc);
	int64_t guest = rtc_guest_us(rtc);
	int64_t sec = rtc_floor_div(guest, US_PER_SEC);
	int64_t seen = rtc_floor_div(rtc->seen_us, US_PER_SEC);
	uint8_t *c = &rtc->regs.reg[RTC_REG_C];

	if (cycles != 0) {
		uint64_t ticks = rtc_ticks(rtc, cycles);

		if (ticks > rtc->seen_ticks)
			*c |= C_PF;
		rtc->seen_ticks = ticks;
	}
	if (!rtc->regs.frozen && sec > seen) {
		*c |= C_UF;
		if (rtc_next_alarm(rtc, seen) <= sec)
			*c |= C_AF;
	}
	rtc->seen_us = guest; /* also when the host's clock went back */
}

/* Nanoseconds until the guest's clock reaches `sec`, at least 1. */
static uint64_t
rtc_wait_ns(const struct rtc *rtc, int64_t sec)
{
	int64_t us;

	if (sec == INT64_MAX)
		return UINT64_MAX;
	us = sec * US_PER_SEC - rtc_guest_us(rtc);
	return us > 0 ? (uint64_t)us * 1000 : 1;
}

static uint64_t
rtc_wait_period_ns(const struct rtc *rtc, unsigned int cycles)
{
	unsigned __int128 ns = rtc->seen_ticks + 1;
	uint64_t now = vm_clock_ns(rtc->ctx);
	uint64_t when;

	/* Rounded up, so that the period is over when the timer fires. */
	ns = (ns * cycles * NS_PER_SEC + XTAL_HZ - 1) / XTAL_HZ;
	when = rtc->period_ns + (uint64_t)ns;
	return when > now ? when - now : 1;
}

/* Time to the first event that would interrupt; UINT64_MAX: none would. */
static uint64_t
rtc_next_event_ns(const struct rtc *rtc)
{
	uint8_t wanted = rtc->regs.reg[RTC_REG_B] & ~rtc->regs.reg[RTC_REG_C];
	unsigned int cycles = rtc_period_cycles(rtc);
	int64_t sec = rtc_floor_div(rtc_guest_us(rtc), US_PER_SEC);
	uint64_t wait = UINT64_MAX;

	if ((wanted & B_PIE) != 0 && cycles != 0)
		wait = rtc_wait_period_ns(rtc, cycles);
	if (rtc->regs.frozen)
		return wait;
	if ((wanted & B_UIE) != 0)
		wait = MIN(wait, rtc_wait_ns(rtc, sec + 1));
	if ((wanted & B_AIE) != 0)
		wait = MIN(wait, rtc_wait_ns(rtc, rtc_next_alarm(rtc, sec)));
	return wait;
}

/* After any change: IRQF, the line, the timer. */
static void
rtc_update(struct rtc *rtc)
{
	uint8_t *c = &rtc->regs.reg[RTC_REG_C];
	uint64_t wait;

	*c &= ~C_IRQF;
	if ((*c & rtc->regs.reg[RTC_REG_B] & (C_PF | C_AF | C_UF)) != 0)
		*c |= C_IRQF;
	irq_line_set(&rtc->line, (*c & C_IRQF) != 0);
	wait = rtc->paused ? UINT64_MAX : rtc_next_event_ns(rtc);
	if (wait == UINT64_MAX)
		evtimer_disarm(rtc->event);
	else
		evtimer_arm(
		    rtc->event, vm_clock_ns(rtc->ctx) + MIN(wait, MAX_WAIT_NS));
}

static void
rtc_expired(void *arg)
{
	struct rtc *rtc = arg;

	rtc_sync(rtc);
	rtc_update(rtc);
}

/* --- registers ------------------------------------------------------------ */

static uint8_t
rtc_read(struct rtc *rtc)
{
	unsigned int index = rtc->regs.index;
	uint8_t *reg = rtc->regs.reg;
	uint8_t val;

	if (rtc_is_time_reg(index) && !rtc->regs.frozen)
		rtc_latch(rtc);
	switch (index) {
	case RTC_REG_A:
		return reg[RTC_REG_A] |
		       (rtc_update_in_progress(rtc) ? A_UIP : 0);
	case RTC_REG_C:
		rtc_sync(rtc);
		rtc_update(rtc);
		val = reg[RTC_REG_C];
		reg[RTC_REG_C] = 0;
		rtc_update(rtc);
		return val;
	case RTC_REG_D:
		return D_VRT;
	default:
		return reg[index];
	}
}

static void
rtc_write_a(struct rtc *rtc, uint8_t val)
{
	uint8_t *a = &rtc->regs.reg[RTC_REG_A];
	uint8_t old = *a;
	bool was_reset = (old & A_DV_RESET) == A_DV_RESET;

	*a = val & ~A_UIP;
	if (was_reset && rtc_divider_runs(rtc)) {
		/* The first update comes half a second later. */
		int64_t phase = rtc_floor_mod(rtc_guest_us(rtc), US_PER_SEC);

		rtc->regs.offset_us += HALF_SEC_US - phase;
		rtc->seen_us = rtc_guest_us(rtc);
	}
	if (((old ^ *a) & (A_DV_MASK | A_RS_MASK)) != 0)
		rtc_restart_period(rtc);
	rtc_update_frozen(rtc);
}

static void
rtc_write_b(struct rtc *rtc, uint8_t val)
{
	if ((val & B_SET) != 0)
		val &= ~B_UIE;
	/* Latch in the old format: SET stops the bytes, not their meaning. */
	if ((val & B_SET) != 0 && !rtc->regs.frozen) {
		rtc_latch(rtc);
		rtc->regs.frozen = true;
	}
	rtc->regs.reg[RTC_REG_B] = val;
	rtc_update_frozen(rtc);
}

static void
rtc_write_time(struct rtc *rtc, uint8_t val)
{
	if (!rtc->regs.frozen)
		rtc_latch(rtc);
	rtc->regs.reg[rtc->regs.index] = val;
	if (!rtc->regs.frozen)
		rtc_set_from_regs(rtc);
}

static void
rtc_write(struct rtc *rtc, uint8_t val)
{
	unsigned int index = rtc->regs.index;

	rtc_sync(rtc);
	if (rtc_is_time_reg(index))
		rtc_write_time(rtc, val);
	else if (index == RTC_REG_A)
		rtc_write_a(rtc, val);
	else if (index == RTC_REG_B)
		rtc_write_b(rtc, val);
	else if (index != RTC_REG_C && index != RTC_REG_D)
		rtc->regs.reg[index] = val;
	rtc_update(rtc);
}

static int
rtc_pio(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct rtc *rtc = arg;

	if (bytes != 1)
		return -1;
	if (port == RTC_PORT && in)
		*val = 0xff;
	else if (port == RTC_PORT)
		rtc->regs.index = *val % RTC_NREGS; /* bit 7 masks NMI */
	else if (in)
		*val = rtc_read(rtc);
	else
		rtc_write(rtc, (uint8_t)*val);
	return 0;
}

/* --- libvmmapi ------------------------------------------------------------ */

#define RTC_NVRAM    0x0e	  /* what comes before it is time and control */
#define RTC_MAX_SECS 253402300799 /* the last of the year 9999 */

static int
rtc_api_read(void *arg, int offset, uint8_t *ret_val)
{
	struct rtc *rtc = arg;

	if (offset < 0 || offset >= RTC_NREGS)
		return -EINVAL;
	lock_acquire(&rtc->lock);
	rtc_sync(rtc);
	if (rtc_is_time_reg((unsigned int)offset) && !rtc->regs.frozen)
		rtc_latch(rtc);
	*ret_val = rtc->regs.reg[offset];
	if (offset == RTC_REG_A && rtc_update_in_progress(rtc))
		*ret_val |= A_UIP;
	if (offset == RTC_REG_D)
		*ret_val = D_VRT;
	lock_release(&rtc->lock);
	return 0;
}

static int
rtc_api_write(void *arg, int offset, uint8_t val)
{
	struct rtc *rtc = arg;

	if (offset < RTC_NVRAM || offset == RTC_CENTURY || offset >= RTC_NREGS)
		return -EINVAL;
	lock_acquire(&rtc->lock);
	rtc->regs.reg[offset] = val;
	lock_release(&rtc->lock);
	return 0;
}

static int64_t
rtc_api_get_time(void *arg)
{
	struct rtc *rtc = arg;
	int64_t us;

	lock_acquire(&rtc->lock);
	us = rtc_guest_us(rtc);
	lock_release(&rtc->lock);
	return rtc_floor_div(us, US_PER_SEC);
}

/* A second begins now; one that a stopped clock shows is this one, too. */
static int
rtc_api_set_time(void *arg, int64_t secs)
{
	struct rtc *rtc = arg;

	if (secs < 0 || secs > RTC_MAX_SECS)
		return -EINVAL;
	lock_acquire(&rtc->lock);
	rtc_sync(rtc);
	rtc->regs.offset_us = secs * US_PER_SEC - rtc->now_us(rtc->now_arg);
	rtc->regs.wday_skew = 0;
	rtc->seen_us = rtc_guest_us(rtc);
	rtc_latch(rtc);
	rtc_update(rtc);
	lock_release(&rtc->lock);
	return 0;
}

static const struct vm_rtc_ops rtc_api_ops = {
	.read = rtc_api_read,
	.write = rtc_api_write,
	.get_time = rtc_api_get_time,
	.set_time = rtc_api_set_time,
};

/* --- life ----------------------------------------------------------------- */

/*
 * The RESET pin clears enables and flags; the time and the RAM have a battery.
 * There may be no firmware, so A and B also get what it would write.
 */
static void
rtc_reset(void *arg)
{
	struct rtc *rtc = arg;
	uint8_t *reg = rtc->regs.reg;

	reg[RTC_REG_A] = A_AFTER_POST;
	/* A clock that was left stopped goes on, read in its own format. */
	reg[RTC_REG_B] &= B_DM | B_24H;
	rtc_update_frozen(rtc);
	reg[RTC_REG_C] = 0;
	rtc->regs.index = 0;
	reg[RTC_REG_B] = B_AFTER_POST;
	rtc_restart_period(rtc);
	rtc->seen_us = rtc_guest_us(rtc);
	rtc_update(rtc);
}

static void
rtc_pause(void *arg)
{
	struct rtc *rtc = arg;

	rtc_sync(rtc);
	rtc->paused = true;
	rtc_update(rtc);
}

/* The world's time went on: no updates are made up for, no alarm is missed. */
static void
rtc_resume(void *arg)
{
	struct rtc *rtc = arg;

	rtc->paused = false;
	rtc_expired(rtc);
}

static bool
rtc_regs_ok(const struct rtc_regs *r)
{
	const int64_t limit = (int64_t)1 << 60; /* beyond any calendar */

	return r->index < RTC_NREGS && r->frozen <= 1 && r->wday_skew < 7 &&
	       r->offset_us > -limit && r->offset_us < limit &&
	       r->period_phase_ns <= 2ull * NS_PER_SEC &&
	       (r->reg[RTC_REG_A] & A_UIP) == 0;
}

/* Where in the current period the chain is, in nanoseconds. */
static uint64_t
rtc_phase_ns(const struct rtc *rtc)
{
	unsigned int cycles = rtc_period_cycles(rtc);
	uint64_t elapsed = vm_clock_ns(rtc->ctx) - rtc->period_ns;

	if (cycles == 0)
		return 0;
	return elapsed % ((uint64_t)cycles * NS_PER_SEC / XTAL_HZ);
}

static void
rtc_snapshot(void *arg, struct snap *s)
{
	struct rtc *rtc = arg;
	struct rtc_regs r = rtc->regs;

	r.period_phase_ns = rtc_phase_ns(rtc);
	if (snap_bytes(s, "mc146818", &r, sizeof(r)) != 0 || !snap_loading(s))
		return;
	if (!rtc_regs_ok(&r)) {
		snap_fail(s);
		return;
	}
	r.reg[RTC_REG_C] &= C_PF | C_AF | C_UF;
	rtc->regs = r;
	rtc_restart_period(rtc);
	/* Before the machine's time 0 if need be: only differences count. */
	rtc->period_ns -= r.period_phase_ns;
	rtc->seen_us = rtc_guest_us(rtc);
	rtc_update(rtc);
}

static void
rtc_free(struct rtc *rtc)
{
	evtimer_del(rtc->event);
	irq_line_set(&rtc->line, false);
	lock_fini(&rtc->lock);
	free(rtc);
}

static void
rtc_fini(void *arg)
{
	struct rtc *rtc = arg;

	bus_pio_unregister(rtc->ctx, RTC_PORT, 2);
	rtc_free(rtc);
}

static const struct chip_ops rtc_ops = {
	.name = "mc146818",
	.reset = rtc_reset,
	.pause = rtc_pause,
	.resume = rtc_resume,
	.snapshot = rtc_snapshot,
	.fini = rtc_fini,
};

/* Little-endian, in 64 KiB; what does not fit shows as the most there is. */
static void
rtc_put_size(
    struct rtc *rtc, unsigned int reg, unsigned int nbytes, uint64_t size)
{
	uint64_t units = MIN(size >> 16, (1ull << 8 * nbytes) - 1);

	for (unsigned int i = 0; i < nbytes; i++)
		rtc->regs.reg[reg + i] = (uint8_t)(units >> 8 * i);
}

/* The zone is looked up once: a clock chip knows no summer time. */
static int64_t
rtc_zone_us(const struct rtc *rtc)
{
	time_t now =
	    (time_t)rtc_floor_div(rtc->now_us(rtc->now_arg), US_PER_SEC);
	struct tm tm;

	tzset();
	if (localtime_r(&now, &tm) == NULL)
		return 0;
	return (int64_t)tm.tm_gmtoff * US_PER_SEC;
}

static void
rtc_init(struct rtc *rtc, const struct mc146818_opts *opts)
{
	const uint64_t base = 16ull << 20;

	rtc->now_us = opts->now_us != NULL ? opts->now_us : rtc_host_us;
	rtc->now_arg = opts->now_arg;
	if (!opts->utc)
		rtc->regs.offset_us = rtc_zone_us(rtc);
	rtc_put_size(rtc, RTC_LOWMEM_64K, 2,
	    opts->lowmem > base ? opts->lowmem - base : 0);
	rtc_put_size(rtc, RTC_HIGHMEM_64K, 3, opts->highmem);
	rtc_reset(rtc);
}

int
mc146818_create(struct vmctx *ctx, const struct mc146818_opts *opts)
{
	struct rtc *rtc = xcalloc(1, sizeof(*rtc));
	const struct pio_range range = {
		.name = "mc146818",
		.port = RTC_PORT,
		.len = 2,
		.fn = rtc_pio,
		.arg = rtc,
		.lock = &rtc->lock,
	};
	int error;

	rtc->ctx = ctx;
	lock_init(&rtc->lock);
	irq_line_init(&rtc->line, ctx, RTC_IRQ);
	rtc->event =
	    evtimer_create(ctx, "mc146818", &rtc->lock, rtc_expired, rtc);
	rtc_init(rtc, opts);
	error = bus_pio_register(ctx, &range);
	if (error != 0) {
		rtc_free(rtc);
		return error;
	}
	chip_add(ctx, &rtc_ops, rtc, &rtc->lock);
	vm_set_rtc(ctx, &rtc_api_ops, rtc);
	return 0;
}
