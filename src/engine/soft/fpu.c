/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fpu.c - runs thunks (fpu_priv.h): computes their memory operand, parks and
 * unparks the guest's x87, SSE and AVX state, turns host faults inside thunks
 * into guest exceptions.
 *
 * SDM 1 chapters 8 to 14, SDM 3A 2.5 and 6.15; AMD APM volume 2 chapter 11
 * where they differ.  With CR0.NE = 0 a pending x87 exception is #MF too, not
 * IRQ 13 by way of FERR#: no system since 1990 relies on it.  Compiled with
 * general registers only; runs on the vCPU's thread.
 */
#include "fpu_priv.h"

#include "mmu.h"

/* Handlers here have a thunk's prototype, which musttail refuses to mix. */
#undef TAILCALL
#define TAILCALL return

/*
 * Between unpark and park nothing instrumented may run, in eager mode either.
 * Clang's no_sanitize("thread") keeps the function entry hooks.
 */
#ifdef __clang__
#define UNINSTRUMENTED __attribute__((disable_sanitizer_instrumentation))
#else
#define UNINSTRUMENTED                                                         \
	__attribute__((no_sanitize("address", "thread", "undefined")))
#endif
#define NO_SANITIZE UNINSTRUMENTED __attribute__((noinline))
#define NO_SANITIZE_INLINE                                                     \
	static inline UNINSTRUMENTED __attribute__((always_inline))

uint64_t fpu_host_mask;
bool fpu_has_xgetbv1;
bool fpu_eager;
thunk_fn fpu_wait_thunk;

uint64_t
fpu_xcr0_supported(void)
{
	return XF_X87 | XF_SSE | (fpu_host_mask & XF_AVX);
}

/* --- park and unpark ------------------------------------------------------ */

NO_SANITIZE_INLINE void
host_save(struct xsave_area *x)
{
	if (likely(fpu_host_mask != 0))
		__asm__ volatile("xsave64 %0"
				 : "+m"(*x)
				 : "a"((uint32_t)fpu_host_mask), "d"(0)
				 : "memory");
	else
		__asm__ volatile("fxsave64 %0" : "+m"(*x) : : "memory");
}

NO_SANITIZE_INLINE void
host_load(const struct xsave_area *x)
{
	if (likely(fpu_host_mask != 0))
		__asm__ volatile("xrstor64 %0"
				 :
				 : "m"(*x), "a"((uint32_t)fpu_host_mask), "d"(0)
				 : "memory");
	else
		__asm__ volatile("fxrstor64 %0" : : "m"(*x) : "memory");
}

/*
 * What the C library expects: no x87 register in use, control words and MXCSR
 * at their defaults, upper halves clear.  A tenth of what an XRSTOR of an
 * initial state costs.  EMMS and FLDCW would report a pending exception.
 */
NO_SANITIZE_INLINE void
host_default(const struct xsave_area *x)
{
	static const uint16_t fcw = FCW_INIT;
	static const uint32_t mxcsr = MXCSR_INIT;

	if (unlikely(x->fsw & FSW_ES))
		__asm__ volatile("fninit");
	else
		__asm__ volatile("emms; fldcw %0" : : "m"(fcw));
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
	if (likely(fpu_host_mask & XF_AVX))
		__asm__ volatile("vzeroupper");
}

NO_SANITIZE void
fpu_park_slow(struct soft_cpu *c)
{
	struct xsave_area *x = (struct xsave_area *)(void *)c->xsave;

	host_save(x);
	host_default(x);
	x->fop = 0;
	x->ptr[0] = x->ptr[1] = x->ptr[2] = x->ptr[3] = 0;
	c->fpu_live = false;
}

/*
 * The image may come from a checkpoint: what would make XRSTOR fault on the
 * host is removed here.
 */
NO_SANITIZE void
fpu_unpark(struct soft_cpu *c)
{
	struct xsave_area *x = (struct xsave_area *)(void *)c->xsave;

	if (c->fpu_live)
		return;
	x->mxcsr &= MXCSR_MASK;
	x->xstate_bv &= fpu_host_mask;
	x->xcomp_bv = 0;
	x->rsvd528[0] = 0;
	host_load(x);
	c->fpu_live = true;
}

/*
 * Power-on and RESET: SDM 3A table 9-1.  INIT leaves x87, SSE, AVX and XCR0 as
 * they are.
 */
void
fpu_reset(struct soft_cpu *c, bool init)
{
	struct xsave_area *x;

	if (init)
		return;
	x = fpu_state(c);
	gpr_zero(x, XSAVE_AREA_MAX);
	x->fcw = 0x40;
	x->ftw = 0xff; /* FTW 5555: eight zeros, none empty */
	x->mxcsr = MXCSR_INIT;
	x->mxcsr_mask = MXCSR_MASK;
	x->xstate_bv = XF_X87;
	c->fpu_ip = c->fpu_dp = 0;
	c->fpu_cs = c->fpu_ds = c->fpu_op = 0;
	c->xcr0 = XF_X87;
}

/* --- faults --------------------------------------------------------------- */

/*
 * Eager: back to code that may be instrumented only after parking, and what
 * these call is.
 */
static NO_SANITIZE void
fault_begin(struct soft_cpu *c, uint64_t rip)
{
	c->rip = rip;
	if (fpu_eager)
		fpu_park_slow(c);
}

NO_SANITIZE void
fpu_thunk_xm(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	fault_begin(c, rip);
	cpu_raise(c, (c->cr4 & CR4_OSXMMEXCPT) ? EXC_XM : EXC_UD);
}

NO_SANITIZE void
fpu_thunk_mf(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	fault_begin(c, rip);
	cpu_raise(c, EXC_MF);
}

/* An encoding the decoder accepts and the processor does not. */
NO_SANITIZE void
fpu_thunk_ud(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	fault_begin(c, rip);
	cpu_raise_ud(c);
}

NO_SANITIZE void
fpu_thunk_gp(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	fault_begin(c, rip);
	cpu_raise_gp(c, 0);
}

/* --- calling thunks ------------------------------------------------------- */

static NO_SANITIZE void
op_return(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
}

/* Passed as `i` when the handler has work to do after the thunk. */
static const struct insn ret_insn[2] = {
	{ .fn = op_return },
	{ .fn = op_return },
};

void
fpu_thunk_cold(struct soft_cpu *c, const struct insn *i, uint64_t rip,
    void *mem, uint64_t dp, uint32_t ds_op)
{
	fpu_unpark(c);
	return ((thunk_fn)i->p)(c, i, rip, mem, dp, ds_op);
}

/* Runs a thunk and comes back; false: it faulted. */
static NO_SANITIZE bool
thunk_call(struct soft_cpu *c, thunk_fn fn, uint64_t rip, void *mem,
    uint64_t dp, uint32_t ds_op, bool eager)
{
	fpu_unpark(c);
	fn(c, ret_insn, rip, mem, dp, ds_op);
	if (eager && c->fpu_live)
		fpu_park_slow(c);
	return !c->exc.pending;
}

bool
fpu_wait(struct soft_cpu *c, uint64_t rip)
{
	return thunk_call(c, fpu_wait_thunk, rip, NULL, 0, 0, !c->fpu_live);
}

/* Last act of a handler whose operand is ready. */
#define RUN_NEXT(c, i, rip, mem, dp, ds_op, eager)                             \
	do {                                                                   \
		if (eager) {                                                   \
			if (!thunk_call((c), (thunk_fn)(i)->p, (rip), (mem),   \
				(dp), (ds_op), true))                          \
				return;                                        \
			NEXT(c, i, rip);                                       \
		}                                                              \
		return ((thunk_fn)(i)->p)(                                     \
		    (c), (i), (rip), (mem), (dp), (ds_op));                    \
	} while (0)

#define INLINE	 static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))

/*
 * The fast half of each handler is a leaf: 64-bit mode or flat, page in the
 * TLB. Everything else is a tail call of its slow half, which begins again.
 */

/* Linear address, EA() for the common cases; true when it is another. */
INLINE bool
ea_is_slow(
    const struct soft_cpu *c, const struct insn *i, uint64_t rip, uint64_t *la)
{
	*la = c->gpr[i->base] + (c->gpr[i->index] << i->scale) +
	      (uint64_t)(int64_t)i->disp;
	if (likely((i->mem & MEM_SPECIAL) == 0))
		return false;
	if ((i->mem & MEM_SPECIAL) == MEM_A32) { /* flat */
		*la = (uint32_t)*la;
		return false;
	}
	*la += rip + i->len; /* constants of SSE code */
	return (i->mem & MEM_SPECIAL) != MEM_RIP;
}

/*
 * Linear address of the operand in c->ea, checked.  As on AMD, alignment comes
 * before the segment's limit.
 */
static bool
operand_ea(
    struct soft_cpu *c, const struct insn *i, unsigned int acc, bool aligned)
{
	unsigned int size = i->opsize;

	if (aligned) {
		(void)insn_ea_slow(c, i, 0, acc); /* no checks */
		if ((c->ea & (size - 1)) != 0)
			return cpu_raise_gp(c, 0);
	}
	return insn_ea_slow(c, i, size, acc);
}

/* --- loads ---------------------------------------------------------------- */

/*
 * Host address of the operand: in RAM, or copied to the bounce buffer; NULL
 * with the exception recorded.
 */
NOINLINE void *
load_ptr(struct soft_cpu *c, const struct insn *i, uint64_t rip, bool aligned)
{
	unsigned int size = i->opsize;
	uint64_t la;
	void *p;

	if ((i->x & FPU_X_WAIT) && !fpu_wait(c, rip))
		return NULL;
	c->rip = rip;
	c->acc_seg = i->mem & MEM_SEG_MASK;
	if (!operand_ea(c, i, ACC_R, aligned))
		return NULL;
	la = c->ea;
	p = mem_host_ptr(c, la, size, ACC_R);
	if (p != NULL || c->exc.pending)
		return p;
	return mem_read_buf(c, la, c->bounce, size) ? c->bounce : NULL;
}

INLINE void
load_slow_body(struct soft_cpu *c, const struct insn *i, uint64_t rip,
    bool aligned, bool eager)
{
	void *p = load_ptr(c, i, rip, aligned);

	if (p == NULL)
		return;
	RUN_NEXT(c, i, rip, p, 0, 0, eager);
}

#define SLOW_HANDLER(name, body, ...)                                          \
	NOINLINE void name(                                                    \
	    struct soft_cpu *c, const struct insn *i, uint64_t rip)            \
	{                                                                      \
		body(c, i, rip, ##__VA_ARGS__);                                \
	}

SLOW_HANDLER(load_slow, load_slow_body, false, false)
SLOW_HANDLER(load_slow_eager, load_slow_body, false, true)
SLOW_HANDLER(load_slow_a, load_slow_body, true, false)
SLOW_HANDLER(load_slow_a_eager, load_slow_body, true, true)

/* size is insn.opsize, a constant where that helps. */
INLINE void
load_body(struct soft_cpu *c, const struct insn *i, uint64_t rip, insn_fn slow,
    unsigned int size, bool aligned, bool eager)
{
	const struct tlb_entry *e;
	uint64_t la;

	if (unlikely(ea_is_slow(c, i, rip, &la)))
		return slow(c, i, rip);
	if (aligned && unlikely(la & (size - 1)))
		return slow(c, i, rip);
	e = tlb_slot(c, la);
	if (unlikely(((la + size - 1) & PAGE_MASK_) != e->rtag))
		return slow(c, i, rip);
	RUN_NEXT(c, i, rip, (void *)(la + e->addend), 0, 0, eager);
}

/* --- stores --------------------------------------------------------------- */

/*
 * Not one writable RAM page in the TLB.  The instruction runs before the bytes
 * are written, so that everything that may fault is asked first.
 */
NOINLINE bool
store_slow_run(struct soft_cpu *c, const struct insn *i, uint64_t rip,
    bool aligned, bool eager)
{
	unsigned int size = i->opsize;
	uint64_t la;
	void *p;

	if ((i->x & FPU_X_WAIT) && !fpu_wait(c, rip))
		return false;
	c->rip = rip;
	c->acc_seg = i->mem & MEM_SEG_MASK;
	if (!operand_ea(c, i, ACC_W, aligned))
		return false;
	la = c->ea;
	p = mem_host_ptr(c, la, size, ACC_W);
	if (c->exc.pending)
		return false;
	if (p != NULL) {
		if (!thunk_call(c, (thunk_fn)i->p, rip, p, 0, 0, eager))
			return false;
		mem_wrote(c, la, size);
		return true;
	}
	return mem_probe_write(c, la, size) &&
	       thunk_call(c, (thunk_fn)i->p, rip, c->bounce, 0, 0, eager) &&
	       mem_write_buf(c, la, c->bounce, size);
}

INLINE void
store_slow_body(struct soft_cpu *c, const struct insn *i, uint64_t rip,
    bool aligned, bool eager)
{
	if (!store_slow_run(c, i, rip, aligned, eager))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}

SLOW_HANDLER(store_slow, store_slow_body, false, false)
SLOW_HANDLER(store_slow_eager, store_slow_body, false, true)
SLOW_HANDLER(store_slow_a, store_slow_body, true, false)
SLOW_HANDLER(store_slow_a_eager, store_slow_body, true, true)

INLINE void
store_body(struct soft_cpu *c, const struct insn *i, uint64_t rip, insn_fn slow,
    unsigned int size, bool aligned, bool eager)
{
	const struct tlb_entry *e;
	uint64_t la;

	if (unlikely(ea_is_slow(c, i, rip, &la)))
		return slow(c, i, rip);
	if (aligned && unlikely(la & (size - 1)))
		return slow(c, i, rip);
	e = tlb_slot(c, la);
	if (unlikely(((la + size - 1) & PAGE_MASK_) != e->wtag))
		return slow(c, i, rip);
	RUN_NEXT(c, i, rip, (void *)(la + e->addend), 0, 0, eager);
}

/* --- x87 with a memory operand -------------------------------------------- */

/* FOP is in insn.x (SDM 1 8.1.9). */
INLINE uint32_t
x87_ds_op(const struct soft_cpu *c, const struct insn *i)
{
	return (i->x & FPU_X_FOP) << 16 | c->seg[i->mem & MEM_SEG_MASK].sel;
}

INLINE void
x87_load_slow_body(
    struct soft_cpu *c, const struct insn *i, uint64_t rip, bool eager)
{
	void *p = load_ptr(c, i, rip, false);

	if (p == NULL)
		return;
	RUN_NEXT(c, i, rip, p, insn_offset(c, i, rip), x87_ds_op(c, i), eager);
}

SLOW_HANDLER(x87_load_slow, x87_load_slow_body, false)
SLOW_HANDLER(x87_load_slow_eager, x87_load_slow_body, true)

INLINE void
x87_load_body(struct soft_cpu *c, const struct insn *i, uint64_t rip,
    insn_fn slow, bool eager)
{
	const struct tlb_entry *e;
	uint64_t la;

	if (unlikely(ea_is_slow(c, i, rip, &la)))
		return slow(c, i, rip);
	e = tlb_slot(c, la);
	if (unlikely(((la + i->opsize - 1) & PAGE_MASK_) != e->rtag))
		return slow(c, i, rip);
	/* Without segment base: the address is the offset. */
	RUN_NEXT(
	    c, i, rip, (void *)(la + e->addend), la, x87_ds_op(c, i), eager);
}

NO_SANITIZE static uint16_t
x87_status(const struct soft_cpu *c)
{
	uint16_t fsw;

	if (!c->fpu_live)
		return ((const struct xsave_area *)(const void *)c->xsave)->fsw;
	__asm__ volatile("fnstsw %0" : "=a"(fsw));
	return fsw;
}

#define BOUNCE_MARK 0xa5a55a5ac3c33c3cull

/*
 * The instruction stored nothing when it met an unmasked exception: then an
 * exception is pending and the buffer is as it was.
 */
static bool
x87_stored(const struct soft_cpu *c)
{
	const uint64_t *b = (const uint64_t *)(const void *)c->bounce;

	return !(x87_status(c) & FSW_ES) || b[0] != BOUNCE_MARK ||
	       b[1] != BOUNCE_MARK;
}

NOINLINE bool
x87_store_slow_run(
    struct soft_cpu *c, const struct insn *i, uint64_t rip, bool eager)
{
	uint64_t *b = (uint64_t *)(void *)c->bounce, la;
	unsigned int size = i->opsize;
	void *p;

	c->acc_seg = i->mem & MEM_SEG_MASK;
	if (!fpu_wait(c, rip))
		return false;
	c->rip = rip;
	if (!insn_ea_slow(c, i, size, ACC_W))
		return false;
	la = c->ea;
	p = mem_host_ptr(c, la, size, ACC_W);
	if (c->exc.pending || (p == NULL && !mem_probe_write(c, la, size)))
		return false;
	b[0] = b[1] = BOUNCE_MARK;
	if (!thunk_call(c, (thunk_fn)i->p, rip, p != NULL ? p : c->bounce,
		insn_offset(c, i, rip), x87_ds_op(c, i), eager))
		return false;
	if (p != NULL) {
		mem_wrote(c, la, size);
		return true;
	}
	return !x87_stored(c) || mem_write_buf(c, la, c->bounce, size);
}

INLINE void
x87_store_slow_body(
    struct soft_cpu *c, const struct insn *i, uint64_t rip, bool eager)
{
	if (!x87_store_slow_run(c, i, rip, eager))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}

SLOW_HANDLER(x87_store_slow, x87_store_slow_body, false)
SLOW_HANDLER(x87_store_slow_eager, x87_store_slow_body, true)

INLINE void
x87_store_body(struct soft_cpu *c, const struct insn *i, uint64_t rip,
    insn_fn slow, bool eager)
{
	const struct tlb_entry *e;
	uint64_t la;

	if (unlikely(ea_is_slow(c, i, rip, &la)))
		return slow(c, i, rip);
	e = tlb_slot(c, la);
	if (unlikely(((la + i->opsize - 1) & PAGE_MASK_) != e->wtag))
		return slow(c, i, rip);
	RUN_NEXT(
	    c, i, rip, (void *)(la + e->addend), la, x87_ds_op(c, i), eager);
}

/* --- the odd ones --------------------------------------------------------- */

INLINE void
ldmxcsr_body(struct soft_cpu *c, const struct insn *i, uint64_t rip, bool eager)
{
	uint32_t *b = (uint32_t *)(void *)c->bounce;

	EA(la, c, i, rip, 4, ACC_R);
	LOAD(uint32_t, v, c, i, rip, la, i->mem & MEM_SEG_MASK);
	if (v & ~MXCSR_MASK)
		RAISE_GP(c, rip, 0);
	*b = v; /* the checked copy is what the host loads */
	RUN_NEXT(c, i, rip, c->bounce, 0, 0, eager);
}

INLINE void
fninit_body(struct soft_cpu *c, const struct insn *i, uint64_t rip, bool eager)
{
	c->fpu_ip = c->fpu_dp = 0;
	c->fpu_cs = c->fpu_ds = c->fpu_op = 0;
	RUN_NEXT(c, i, rip, NULL, 0, 0, eager);
}

/* CR0.TS is set (the mode says so); CR0.MP is not part of the mode. */
INLINE void
wait_ts_body(struct soft_cpu *c, const struct insn *i, uint64_t rip, bool eager)
{
	if (c->cr0 & CR0_MP) {
		c->rip = rip;
		cpu_raise(c, EXC_NM);
		return;
	}
	RUN_NEXT(c, i, rip, NULL, 0, 0, eager);
}

void
op_fpu_nm(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	c->rip = rip;
	cpu_raise(c, EXC_NM);
}

void
op_fpu_nop(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	NEXT(c, i, rip);
}

/*
 * The thunk area was full when this was decoded: make the thunk each time.
 * The scratch copy's next slot returns here with c->rip after it.
 */
void
op_fpu_uncached(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	const struct insn *s;

	c->rip = rip;
	fpu_park(c);
	s = fpu_scratch_insn(c, i, rip);
	if (s != NULL)
		s->fn(c, s, rip);
}

/* --- the table ------------------------------------------------------------ */

/* Two handlers, lazy and eager, from one body. */
#define HANDLER(name, body)                                                    \
	static void name(                                                      \
	    struct soft_cpu *c, const struct insn *i, uint64_t rip)            \
	{                                                                      \
		body(c, i, rip, false);                                        \
	}                                                                      \
	static void name##_eager(                                              \
	    struct soft_cpu *c, const struct insn *i, uint64_t rip)            \
	{                                                                      \
		body(c, i, rip, true);                                         \
	}

/* The same with a slow half. */
#define FAST_HANDLER(name, body, slow, ...)                                    \
	static void name(                                                      \
	    struct soft_cpu *c, const struct insn *i, uint64_t rip)            \
	{                                                                      \
		body(c, i, rip, slow, ##__VA_ARGS__, false);                   \
	}                                                                      \
	static void name##_eager(                                              \
	    struct soft_cpu *c, const struct insn *i, uint64_t rip)            \
	{                                                                      \
		body(c, i, rip, slow##_eager, ##__VA_ARGS__, true);            \
	}

FAST_HANDLER(op_ld4, load_body, load_slow, 4, false)
FAST_HANDLER(op_ld8, load_body, load_slow, 8, false)
FAST_HANDLER(op_ld16, load_body, load_slow, 16, false)
FAST_HANDLER(op_ld32, load_body, load_slow, 32, false)
FAST_HANDLER(op_ld, load_body, load_slow, i->opsize, false)
FAST_HANDLER(op_lda16, load_body, load_slow_a, 16, true)
FAST_HANDLER(op_lda32, load_body, load_slow_a, 32, true)
FAST_HANDLER(op_st4, store_body, store_slow, 4, false)
FAST_HANDLER(op_st8, store_body, store_slow, 8, false)
FAST_HANDLER(op_st16, store_body, store_slow, 16, false)
FAST_HANDLER(op_st32, store_body, store_slow, 32, false)
FAST_HANDLER(op_st, store_body, store_slow, i->opsize, false)
FAST_HANDLER(op_sta16, store_body, store_slow_a, 16, true)
FAST_HANDLER(op_sta32, store_body, store_slow_a, 32, true)
FAST_HANDLER(op_x87_ld, x87_load_body, x87_load_slow)
FAST_HANDLER(op_x87_st, x87_store_body, x87_store_slow)
HANDLER(op_wait_ts, wait_ts_body)
HANDLER(op_fninit, fninit_body)
HANDLER(op_ldmxcsr, ldmxcsr_body)

static void
op_reg(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	RUN_NEXT(c, i, rip, NULL, 0, 0, false);
}

static void
op_reg_eager(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	RUN_NEXT(c, i, rip, NULL, 0, 0, true);
}

/* clang-format off */
#define FORMS(sfx) {				\
	[FORM_REG] = op_reg##sfx,		\
	[FORM_LD4] = op_ld4##sfx,		\
	[FORM_LD8] = op_ld8##sfx,		\
	[FORM_LD16] = op_ld16##sfx,		\
	[FORM_LD32] = op_ld32##sfx,		\
	[FORM_LD] = op_ld##sfx,			\
	[FORM_LDA16] = op_lda16##sfx,		\
	[FORM_LDA32] = op_lda32##sfx,		\
	[FORM_ST4] = op_st4##sfx,		\
	[FORM_ST8] = op_st8##sfx,		\
	[FORM_ST16] = op_st16##sfx,		\
	[FORM_ST32] = op_st32##sfx,		\
	[FORM_ST] = op_st##sfx,			\
	[FORM_STA16] = op_sta16##sfx,		\
	[FORM_STA32] = op_sta32##sfx,		\
	[FORM_X87_LD] = op_x87_ld##sfx,		\
	[FORM_X87_ST] = op_x87_st##sfx,		\
	[FORM_WAIT_TS] = op_wait_ts##sfx,	\
	[FORM_FNINIT] = op_fninit##sfx,		\
	[FORM_LDMXCSR] = op_ldmxcsr##sfx,	\
}
/* clang-format on */

const insn_fn fpu_forms[2][FORM_COUNT] = { FORMS(), FORMS(_eager) };
