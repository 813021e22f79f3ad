/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exc.c - raising and delivering exceptions, interrupts and INT n.
 *
 * Intel SDM 3A chapter 6 and the INT n pseudo-code of volume 2; AMD APM 2
 * chapter 8.  Delivery computes everything first and commits at the end, so a
 * fault on the way (a second event, SDM 6.15) finds the state untouched; only a
 * task gate commits in the middle, as task.c says.
 *
 * Missing on purpose: VME's interrupt redirection, CET, FRED.
 * Runs on the vCPU's thread with guest FP state live: no libc.
 */
#include "cpu.h"

#include <vmm/exception.h>

#include "mmu.h"
#include "segint.h"
#include "sys.h"

enum event_kind {
	EV_EXC,	 /* exception */
	EV_INTR, /* hardware interrupt, NMI */
	EV_SOFT, /* INT n, INT3, INTO: gate DPL is checked, EXT clear */
	EV_ICEBP,
};

struct event {
	uint8_t vector;
	uint8_t kind;
	bool has_err;
	uint32_t err;
	uint64_t cr2, dr6;
};

/* Serial faults can repeat for ever (#AC in #AC); hardware locks up, we stop.
 */
#define NESTED_MAX 16

#define DR6_BD	   0x2000u
#define DR7_GD	   0x2000u

/* --- raising ---------------------------------------------------------------
 */

static bool
record(struct soft_cpu *c, unsigned int vector, bool has_err, uint32_t err,
    uint64_t cr2)
{
	struct soft_exc *e = &c->exc;

	if (e->pending)
		return false;
	e->pending = true;
	e->has_err = has_err;
	e->soft = false;
	e->vector = (uint8_t)vector;
	e->err = err;
	e->cr2 = cr2;
	e->dr6 = 0;
	return false;
}

bool
cpu_raise(struct soft_cpu *c, unsigned int vector)
{
	return record(c, vector, false, 0, 0);
}

bool
cpu_raise_err(struct soft_cpu *c, unsigned int vector, uint32_t err)
{
	return record(c, vector, true, err, 0);
}

bool
cpu_raise_pf(struct soft_cpu *c, uint64_t la, uint32_t err)
{
	return record(c, EXC_PF, true, err, la);
}

/* --- helpers -----------------------------------------------------------------
 */

static uint32_t
event_ext(const struct event *ev)
{
	return ev->kind == EV_SOFT ? 0 : ERR_EXT;
}

/* Exceptions reported as faults: their frame has RF set (SDM 17.3.1.1). */
#define FAULT_VECTORS                                                          \
	(BIT(EXC_DE) | BIT(EXC_BR) | BIT(EXC_UD) | BIT(EXC_NM) | BIT(EXC_TS) | \
	    BIT(EXC_NP) | BIT(EXC_SS) | BIT(EXC_GP) | BIT(EXC_PF) |            \
	    BIT(EXC_MF) | BIT(EXC_AC) | BIT(EXC_XM))

static uint32_t
pushed_flags(const struct soft_cpu *c, const struct event *ev)
{
	uint32_t fl = cpu_rflags(c);

	if (ev->kind != EV_EXC || ev->vector > 31)
		return fl;
	if (FAULT_VECTORS & BIT(ev->vector))
		return fl | FL_RF;
	/* #DB for general detect is a fault, too. */
	if (ev->vector == EXC_DB && (ev->dr6 & DR6_BD))
		return fl | FL_RF;
	return fl;
}

/* The last step of every delivery but the task gate's. */
static void
enter_handler(struct soft_cpu *c, const struct soft_seg *cs, unsigned int cpl,
    uint64_t rip, bool clear_if)
{
	uint32_t clear = FL_TF | FL_NT | FL_RF | FL_VM;

	if (clear_if)
		clear |= FL_IF;
	c->rflags &= ~clear;
	c->seg[SEG_CS] = *cs;
	c->seg[SEG_CS].sel = (uint16_t)((cs->sel & ~3u) | cpl);
	c->cpl = (uint8_t)cpl;
	c->rip = rip;
	c->intr_shadow = false;
	c->ss_shadow = false;
	cpu_update_mode(c);
}

/* --- real mode --------------------------------------------------------- */

static bool
deliver_real(struct soft_cpu *c, const struct event *ev)
{
	uint64_t vals[3];
	struct stack st;
	uint32_t entry;

	if (ev->vector * 4u + 3 > c->idtr.limit)
		return cpu_raise_gp(c, 0);
	if (!sys_read(c, sys_la(c, c->idtr.base + ev->vector * 4u), 4))
		return false;
	entry = (uint32_t)c->mem_val;
	vals[0] = cpu_rflags(c);
	vals[1] = c->seg[SEG_CS].sel;
	vals[2] = c->rip;
	stack_current(c, &st);
	if (!stack_push_frame(c, &st, vals, 3, 2))
		return false;
	stack_commit(c, &st, st.sp);
	seg_load_real(c, SEG_CS, entry >> 16);
	c->rflags &= ~(FL_IF | FL_TF | FL_AC | FL_RF);
	c->rip = entry & 0xffff;
	c->intr_shadow = false;
	c->ss_shadow = false;
	cpu_update_mode(c);
	return true;
}

/* --- gates common to protected and long mode --------------------------- */

/* Privilege of software interrupts, then presence. */
static bool
check_gate(struct soft_cpu *c, const struct event *ev, uint32_t hi)
{
	uint32_t err = ev->vector * 8u | ERR_IDT;

	if (ev->kind == EV_SOFT && AR_DPL(hi >> 8) < c->cpl)
		return cpu_raise_gp(c, err);
	if (!(hi & (AR_P << 8)))
		return cpu_raise_err(c, EXC_NP, err | event_ext(ev));
	return true;
}

/* The handler's code segment. */
static bool
fetch_handler_cs(struct soft_cpu *c, const struct event *ev, unsigned int sel,
    struct desc *d)
{
	uint32_t ext = event_ext(ev);
	uint32_t err = SEL_ERR(sel) | ext;

	if (sel_null(sel))
		return cpu_raise_gp(c, ext);
	if (!desc_read(c, sel, EXC_GP, ext, d))
		return false;
	if (!ar_is_code(d->ar) || AR_DPL(d->ar) > c->cpl)
		return cpu_raise_gp(c, err);
	if (!(d->ar & AR_P))
		return cpu_raise_err(c, EXC_NP, err);
	if (cpu_long_mode(c) && (d->ar & (AR_L | AR_DB)) != AR_L)
		return cpu_raise_gp(c, err);
	return true;
}

static unsigned int
handler_cpl(const struct soft_cpu *c, const struct desc *d)
{
	return d->ar & AR_C ? c->cpl : AR_DPL(d->ar);
}

/* --- long mode --------------------------------------------------------- */

/* The stack a 64-bit gate delivers to (SDM 6.14.2, 6.14.5). */
static bool
long_stack(struct soft_cpu *c, const struct event *ev, unsigned int ist,
    unsigned int cpl, struct stack *st)
{
	uint32_t ext = event_ext(ev);
	uint64_t sp = c->gpr[R_RSP];

	if (ist != 0) {
		if (!tss_long_stack(c, 28 + ist * 8, ext))
			return false;
		sp = c->mem_val;
	} else if (cpl < c->cpl) {
		if (!tss_long_stack(c, 4 + cpl * 8, ext))
			return false;
		sp = c->mem_val;
	}
	stack_flat64(sp & ~0xfull, cpl, ext, st);
	return true;
}

static bool
deliver_long(struct soft_cpu *c, const struct event *ev)
{
	uint32_t err = ev->vector * 8u | ERR_IDT | event_ext(ev);
	uint64_t la = c->idtr.base + ev->vector * 16u;
	uint64_t gate, rip, vals[6];
	unsigned int type, cpl, n = 5;
	struct soft_seg cs;
	struct stack st;
	struct desc d;

	if (ev->vector * 16u + 15 > c->idtr.limit)
		return cpu_raise_gp(c, err);
	if (!sys_read(c, la, 8))
		return false;
	gate = c->mem_val;
	if (!sys_read(c, la + 8, 8))
		return false;
	rip = c->mem_val << 32 | (gate >> 32 & 0xffff0000u) | (gate & 0xffff);
	type = gate >> 40 & AR_TYPE;
	if (type != SYS_INT && type != SYS_TRAP)
		return cpu_raise_gp(c, err);
	if (!check_gate(c, ev, (uint32_t)(gate >> 32)) ||
	    !fetch_handler_cs(c, ev, gate >> 16 & 0xffff, &d))
		return false;
	cpl = handler_cpl(c, &d);
	if (!long_stack(c, ev, gate >> 32 & 7, cpl, &st))
		return false;
	if (!cpu_is_canonical(rip))
		return cpu_raise_gp(c, event_ext(ev));
	if (!desc_set_accessed(c, &d))
		return false;
	vals[0] = c->seg[SEG_SS].sel;
	vals[1] = c->gpr[R_RSP];
	vals[2] = pushed_flags(c, ev);
	vals[3] = c->seg[SEG_CS].sel;
	vals[4] = c->rip;
	if (ev->has_err)
		vals[n++] = ev->err;
	if (!stack_push_frame(c, &st, vals, n, 8))
		return false;
	c->gpr[R_RSP] = st.sp;
	if (cpl < c->cpl)
		seg_set_null(&c->seg[SEG_SS], cpl, cpl);
	desc_to_seg(&d, gate >> 16 & 0xffff, &cs);
	enter_handler(c, &cs, cpl, rip, type == SYS_INT);
	return true;
}

/* --- protected mode ---------------------------------------------------- */

static bool
deliver_task_gate(struct soft_cpu *c, const struct event *ev, unsigned int sel)
{
	struct desc d;

	if (!task_fetch_tss(c, sel, EXC_GP, event_ext(ev), false, &d))
		return false;
	return task_switch(c, sel, &d, TASK_EVENT, c->rip,
	    ev->has_err ? (int64_t)ev->err : -1, event_ext(ev));
}

/* Everything but the stack switch's own part; returns the count of values. */
static unsigned int
legacy_frame(
    struct soft_cpu *c, const struct event *ev, bool inner, uint64_t *vals)
{
	unsigned int n = 0;

	if (c->rflags & FL_VM) {
		vals[n++] = c->seg[SEG_GS].sel;
		vals[n++] = c->seg[SEG_FS].sel;
		vals[n++] = c->seg[SEG_DS].sel;
		vals[n++] = c->seg[SEG_ES].sel;
	}
	if (inner) {
		vals[n++] = c->seg[SEG_SS].sel;
		vals[n++] = (uint32_t)c->gpr[R_RSP];
	}
	vals[n++] = pushed_flags(c, ev);
	vals[n++] = c->seg[SEG_CS].sel;
	vals[n++] = (uint32_t)c->rip;
	if (ev->has_err)
		vals[n++] = ev->err;
	return n;
}

static void
commit_legacy_stack(struct soft_cpu *c, bool inner, const struct soft_seg *ss,
    const struct stack *st)
{
	if (inner)
		c->seg[SEG_SS] = *ss;
	stack_commit(c, st, st->sp);
	if (c->rflags & FL_VM) {
		seg_set_null(&c->seg[SEG_GS], 0, 0);
		seg_set_null(&c->seg[SEG_FS], 0, 0);
		seg_set_null(&c->seg[SEG_DS], 0, 0);
		seg_set_null(&c->seg[SEG_ES], 0, 0);
	}
}

/* An interrupt or trap gate; lo and hi are its two words. */
static bool
deliver_int_gate(
    struct soft_cpu *c, const struct event *ev, uint32_t lo, uint32_t hi)
{
	uint32_t ext = event_ext(ev);
	unsigned int sel = lo >> 16, type = hi >> 8 & AR_TYPE;
	bool gate32 = type & 8;
	uint64_t rip =
	    gate32 ? (hi & 0xffff0000u) | (lo & 0xffff) : lo & 0xffff;
	uint64_t vals[10];
	struct soft_seg cs, ss = { .sel = 0 };
	struct stack st;
	struct desc d;
	unsigned int cpl, n;
	bool inner;

	if (!fetch_handler_cs(c, ev, sel, &d))
		return false;
	cpl = handler_cpl(c, &d);
	/* Virtual-8086 mode is left for ring 0 only. */
	if ((c->rflags & FL_VM) && cpl != 0)
		return cpu_raise_gp(c, SEL_ERR(sel) | ext);
	inner = cpl < c->cpl;
	if (inner) {
		if (!tss_legacy_stack(c, cpl, ext, &ss, &st))
			return false;
	} else {
		stack_current(c, &st);
		st.err = ext;
	}
	desc_to_seg(&d, sel, &cs);
	n = legacy_frame(c, ev, inner, vals);
	if (rip > cs.limit)
		return cpu_raise_gp(c, ext);
	if (!desc_set_accessed(c, &d) ||
	    !stack_push_frame(c, &st, vals, n, gate32 ? 4 : 2))
		return false;
	cs.access |= AR_A;
	commit_legacy_stack(c, inner, &ss, &st);
	enter_handler(c, &cs, cpl, rip, !(type & 1));
	return true;
}

static bool
deliver_protected(struct soft_cpu *c, const struct event *ev)
{
	uint32_t err = ev->vector * 8u | ERR_IDT | event_ext(ev);
	uint32_t lo, hi;

	if (ev->vector * 8u + 7 > c->idtr.limit)
		return cpu_raise_gp(c, err);
	if (!sys_read(c, sys_la(c, c->idtr.base + ev->vector * 8u), 8))
		return false;
	lo = (uint32_t)c->mem_val;
	hi = (uint32_t)(c->mem_val >> 32);
	switch (hi >> 8 & AR_TYPE) {
	case SYS_TASK_GATE:
		return check_gate(c, ev, hi) &&
		       deliver_task_gate(c, ev, lo >> 16);
	case SYS_INT16:
	case SYS_TRAP16:
	case SYS_INT:
	case SYS_TRAP:
		return check_gate(c, ev, hi) && deliver_int_gate(c, ev, lo, hi);
	default:
		return cpu_raise_gp(c, err);
	}
}

/* --- one event, and what may go wrong with it -------------------------- */

static bool
deliver(struct soft_cpu *c, const struct event *ev)
{
	bool ok;

	c->exc.pending = false;
	c->delivering = true;
	c->delivering_vector = ev->vector;
	if (ev->kind == EV_EXC && ev->vector == EXC_PF)
		c->cr2 = ev->cr2;
	if (ev->vector == EXC_DB && ev->kind == EV_EXC) {
		c->dr6 |= ev->dr6;
		c->dr7 &= ~(uint64_t)DR7_GD;
	}
	if (!(c->cr0 & CR0_PE))
		ok = deliver_real(c, ev);
	else if (cpu_long_mode(c))
		ok = deliver_long(c, ev);
	else
		ok = deliver_protected(c, ev);
	c->delivering = false;
	return ok;
}

static enum vm_exc_class
event_class(const struct event *ev)
{
	return ev->kind == EV_EXC ? vm_exc_class_of(ev->vector) : VM_EXC_BENIGN;
}

static void
take_exc(struct soft_cpu *c, struct event *ev)
{
	ev->vector = c->exc.vector;
	ev->kind = c->exc.soft ? EV_SOFT : EV_EXC;
	ev->has_err = c->exc.has_err;
	ev->err = c->exc.err;
	ev->cr2 = c->exc.cr2;
	ev->dr6 = c->exc.dr6;
	c->exc.pending = false;
	c->injected = false;
}

/* ev could not be delivered because of c->exc.  False: shutdown. */
static bool
combine(struct soft_cpu *c, struct event *ev)
{
	enum vm_exc_class first = event_class(ev);
	enum vm_exc_both both;

	take_exc(c, ev);
	both = vm_exc_combine(first, event_class(ev));
	if (both == VM_EXC_DOUBLE) {
		if (ev->vector == EXC_PF)
			c->cr2 = ev->cr2;
		*ev = (struct event){ .vector = EXC_DF, .has_err = true };
	}
	return both != VM_EXC_SHUTDOWN;
}

static void
deliver_all(struct soft_cpu *c, struct event *ev)
{
	for (unsigned int n = 0; n < NESTED_MAX; n++) {
		if (deliver(c, ev))
			return;
		if (!combine(c, ev))
			break;
	}
	c->exc.pending = false;
	c->leave = LEAVE_SHUTDOWN;
}

void
cpu_deliver_exception(struct soft_cpu *c)
{
	struct event ev;

	take_exc(c, &ev);
	deliver_all(c, &ev);
}

void
cpu_deliver_interrupt(struct soft_cpu *c, unsigned int vector, bool nmi)
{
	struct event ev = { .vector = (uint8_t)vector, .kind = EV_INTR };

	if (nmi) {
		ev.vector = EXC_NMI;
		c->nmi_blocked = true;
	}
	deliver_all(c, &ev);
}

/* --- events from vm_set_intinfo() ----------------------------------------- */

static void
event_of_intinfo(uint64_t info, struct event *ev)
{
	*ev = (struct event){
		.vector = (uint8_t)VM_INTINFO_VECTOR(info),
		.has_err = (info & VM_INTINFO_DEL_ERRCODE) != 0,
		.err = (uint32_t)(info >> 32),
		.kind = EV_INTR,
	};
	if ((info & VM_INTINFO_TYPE) == VM_INTINFO_HWEXCEPTION)
		ev->kind = EV_EXC;
	if ((info & VM_INTINFO_TYPE) == VM_INTINFO_SWINTR)
		ev->kind = EV_SOFT;
}

void
cpu_deliver_reinject(struct soft_cpu *c)
{
	struct event ev;

	event_of_intinfo(c->reinject, &ev);
	ev.cr2 = c->cr2;
	if ((c->reinject & VM_INTINFO_TYPE) == VM_INTINFO_NMI)
		c->nmi_blocked = true;
	c->reinject = 0;
	c->halted = false;
	if (!c->exc.pending || combine(c, &ev)) {
		deliver_all(c, &ev);
		return;
	}
	c->exc.pending = false;
	c->leave = LEAVE_SHUTDOWN;
}

/* --- interrupts by instruction ----------------------------------------- */

static bool
deliver_insn(struct soft_cpu *c, struct event *ev, uint64_t rip, uint64_t next)
{
	c->rip = next;
	if (deliver(c, ev))
		return true;
	/* A task switch that faulted late has moved on to the new task. */
	if (c->rip == next)
		c->rip = rip;
	return false;
}

bool
cpu_soft_interrupt(
    struct soft_cpu *c, unsigned int vector, uint64_t rip, uint64_t next)
{
	struct event ev = { .vector = (uint8_t)vector, .kind = EV_SOFT };

	return deliver_insn(c, &ev, rip, next);
}

bool
cpu_icebp(struct soft_cpu *c, uint64_t rip, uint64_t next)
{
	struct event ev = { .vector = EXC_DB, .kind = EV_ICEBP };

	return deliver_insn(c, &ev, rip, next);
}
