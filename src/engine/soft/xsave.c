/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xsave.c - instructions that save and restore FP state as a whole: FXSAVE, the
 * XSAVE family, the x87 environments, XGETBV and XSETBV.  All work on the
 * parked image.
 *
 * SDM 1 8.1.10, 10.5, 13; AMD APM 2 11.5.  Guest XCR0 is a subset of 7, so the
 * compacted format has the standard one's offsets.  As on AMD, FXSAVE and XSAVE
 * store the x87 pointers when an unmasked exception is pending and zeros
 * otherwise, while FNSTENV and FNSAVE always store them.  Missing: EFER.FFXSR,
 * XSAVES (not offered).  General registers only; vCPU thread.
 */
#include "fpu_priv.h"

#include "mmu.h"

#define XSAVE_LEGACY_LEN 512u
#define XSAVE_MIN_LEN	 576u
#define XSAVE_AVX_LEN	 832u
#define XCOMP_COMPACT	 (1ull << 63)

/* --- guest memory in pieces ----------------------------------------------- */

/* A save area being written or read: one host range, or by linear address. */
struct area {
	uint64_t la;
	uint8_t *p;
};

/*
 * The order in which AMD's processors touch an area, which CR2 tells when a
 * page is missing: FXSAVE and FXRSTOR the last byte, the others the first field
 * and then the last byte, XRSTOR the header between.
 */
static bool
area_touch(struct soft_cpu *c, unsigned int off, unsigned int acc)
{
	uint64_t la = c->ea + off, gpa;

	if (!(c->mode & MODE_64))
		la = (uint32_t)la;
	if (acc == ACC_W)
		return mem_probe_write(c, la, 1);
	return mmu_translate(c, la, ACC_R, &gpa);
}

static bool
area_crosses(const struct soft_cpu *c, unsigned int len)
{
	return ((c->ea ^ (c->ea + len - 1)) & PAGE_MASK_) != 0;
}

static bool
area_touch_ends(struct soft_cpu *c, unsigned int len, unsigned int acc)
{
	return !area_crosses(c, len) ||
	       (area_touch(c, 0, acc) && area_touch(c, len - 1, acc));
}

/*
 * Everything that may fault does so here, before the first byte is written.
 * c->rip and c->ea are set.
 */
static bool
area_for_write(struct soft_cpu *c, struct area *a, unsigned int len)
{
	a->la = c->ea;
	a->p = mem_host_ptr(c, a->la, len, ACC_W);
	if (c->exc.pending)
		return false;
	return a->p != NULL || mem_probe_write(c, a->la, len);
}

static bool
area_put(struct soft_cpu *c, const struct area *a, unsigned int off,
    const void *src, unsigned int len)
{
	unsigned int n;

	if (a->p != NULL) {
		gpr_copy(a->p + off, src, len);
		return true;
	}
	for (; len > 0; len -= n, off += n, src = (const char *)src + n) {
		n = len < sizeof(c->bounce) ? len : sizeof(c->bounce);
		if (!mem_write_buf(c, a->la + off, src, n))
			return false;
	}
	return true;
}

/* Copy [c->ea, c->ea + len) to dst: all, or false with the exception. */
static bool
area_get(struct soft_cpu *c, void *dst, unsigned int len)
{
	uint64_t la = c->ea;
	const void *p = mem_host_ptr(c, la, len, ACC_R);
	unsigned int n;

	if (p != NULL) {
		gpr_copy(dst, p, len);
		return true;
	}
	if (c->exc.pending)
		return false;
	for (; len > 0; len -= n, la += n, dst = (char *)dst + n) {
		n = len < sizeof(c->bounce) ? len : sizeof(c->bounce);
		if (!mem_read_buf(c, la, dst, n))
			return false;
	}
	return true;
}

/* As on AMD, FXSAVE and FXRSTOR look at this before alignment, others after. */
static bool
fx_canonical(struct soft_cpu *c)
{
	if (!(c->mode & MODE_64) || cpu_is_canonical(c->ea))
		return true;
	return cpu_raise_err(c, c->acc_seg == SEG_SS ? EXC_SS : EXC_GP, 0);
}

/*
 * Linear address of the area in c->ea.  As on AMD, the segment's limit is
 * checked for the beginning, then alignment, then the limit for the rest.
 */
static bool
area_ea(struct soft_cpu *c, const struct insn *i, uint64_t rip,
    unsigned int len, unsigned int align, unsigned int acc)
{
	c->rip = rip;
	c->acc_seg = i->mem & MEM_SEG_MASK;
	if (!insn_ea_slow(c, i, 4, acc))
		return false;
	if (align == 16 && !fx_canonical(c))
		return false;
	if ((c->ea & (align - 1)) != 0)
		return cpu_raise_gp(c, 0);
	return insn_ea_slow(c, i, len, acc);
}

/* --- x87 pointers --------------------------------------------------------- */

static void
ptrs_store(const struct soft_cpu *c, struct xsave_area *x, bool w64)
{
	if (!(x->fsw & FSW_ES))
		return;
	x->fop = c->fpu_op;
	x->ptr[0] = (uint32_t)c->fpu_ip;
	x->ptr[1] = w64 ? (uint32_t)(c->fpu_ip >> 32) : c->fpu_cs;
	x->ptr[2] = (uint32_t)c->fpu_dp;
	x->ptr[3] = w64 ? (uint32_t)(c->fpu_dp >> 32) : c->fpu_ds;
}

static void
ptrs_load(struct soft_cpu *c, const struct xsave_area *x, bool w64)
{
	c->fpu_op = x->fop & 0x7ffu;
	c->fpu_ip = x->ptr[0];
	c->fpu_dp = x->ptr[2];
	if (w64) {
		c->fpu_ip |= (uint64_t)x->ptr[1] << 32;
		c->fpu_dp |= (uint64_t)x->ptr[3] << 32;
		c->fpu_cs = c->fpu_ds = 0;
	} else {
		c->fpu_cs = (uint16_t)x->ptr[1];
		c->fpu_ds = (uint16_t)x->ptr[3];
	}
}

static void
ptrs_clear(struct soft_cpu *c)
{
	c->fpu_ip = c->fpu_dp = 0;
	c->fpu_cs = c->fpu_ds = c->fpu_op = 0;
}

/* --- components ----------------------------------------------------------- */

/* XMM8-15 and their upper halves exist in 64-bit mode only. */
static unsigned int
vector_len(const struct soft_cpu *c)
{
	return (c->mode & MODE_64) ? 256 : 128;
}

static void
x87_from(struct soft_cpu *c, const struct xsave_area *m, bool w64)
{
	struct xsave_area *x = fpu_state(c);

	x->fcw = m->fcw;
	x->fsw = m->fsw;
	x->ftw = m->ftw;
	x87_normalise(x);
	for (unsigned int r = 0; r < 8; r++) {
		x->st[r][0] = m->st[r][0];
		x->st[r][1] = (uint16_t)m->st[r][1];
	}
	x->xstate_bv |= XF_X87;
	ptrs_load(c, m, w64);
}

/* FNINIT, but for the registers' contents. */
static void
x87_init(struct soft_cpu *c)
{
	struct xsave_area *x = fpu_state(c);

	x87_set_top(x, 0);
	x->fcw = FCW_INIT;
	x->fsw = 0;
	x->ftw = 0;
	ptrs_clear(c);
}

/* --- FXSAVE, FXRSTOR ------------------------------------------------------ */

/*
 * The areas are large locals whose address escapes, so the work is done in
 * functions of their own: a handler with such locals could not tail-call.
 */
static __attribute__((noinline)) bool
fxsave(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	struct xsave_area m;
	struct area a;

	if (!area_ea(c, i, rip, XSAVE_LEGACY_LEN, 16, ACC_W) ||
	    !area_touch(c, XSAVE_LEGACY_LEN - 1, ACC_W) ||
	    !area_for_write(c, &a, XSAVE_LEGACY_LEN))
		return false;
	/* Bytes from the end of the XMM registers on are the system's. */
	gpr_copy(&m, fpu_state(c), 160 + 256);
	m.mxcsr_mask = MXCSR_MASK;
	ptrs_store(c, &m, i->x & 1);
	if (!area_put(c, &a, 0, &m, 160 + vector_len(c)))
		return false;
	if (a.p != NULL)
		mem_wrote(c, a.la, XSAVE_LEGACY_LEN);
	return true;
}

void
op_fxsave(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!fxsave(c, i, rip))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}

static __attribute__((noinline)) bool
fxrstor(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	struct xsave_area m, *x;

	if (!area_ea(c, i, rip, XSAVE_LEGACY_LEN, 16, ACC_R) ||
	    !area_touch(c, XSAVE_LEGACY_LEN - 1, ACC_R) ||
	    !area_get(c, &m, XSAVE_LEGACY_LEN))
		return false;
	c->rip = rip;
	if (m.mxcsr & ~MXCSR_MASK)
		return cpu_raise_gp(c, 0);
	x = fpu_state(c);
	x87_from(c, &m, i->x & 1);
	gpr_copy(x->xmm, m.xmm, vector_len(c));
	x->mxcsr = m.mxcsr;
	x->xstate_bv |= XF_SSE;
	return true;
}

void
op_fxrstor(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!fxrstor(c, i, rip))
		return;
	NEXT(c, i, rip);
}

/* --- XSAVE, XSAVEOPT, XSAVEC ---------------------------------------------- */

enum xsave_kind { KIND_XSAVE, KIND_XSAVEOPT, KIND_XSAVEC };

/* #UD, then #NM (APM 4 XSAVE); both depend on state outside the block's key. */
static bool
xsave_available(struct soft_cpu *c, uint64_t rip)
{
	c->rip = rip;
	if (!(c->cr4 & CR4_OSXSAVE))
		return cpu_raise_ud(c);
	if (c->mode & MODE_TS)
		return cpu_raise(c, EXC_NM);
	return true;
}

static uint64_t
requested(const struct soft_cpu *c)
{
	uint64_t eax = (uint32_t)c->gpr[R_RAX], edx = (uint32_t)c->gpr[R_RDX];

	return c->xcr0 & (edx << 32 | eax);
}

static unsigned int
xsave_len(uint64_t components)
{
	return (components & XF_AVX) ? XSAVE_AVX_LEN : XSAVE_MIN_LEN;
}

/* XINUSE; MXCSR counts as a part of component 1 (SDM 1 13.6). */
static uint64_t
xinuse(const struct xsave_area *x)
{
	return (x->xstate_bv & XF_ALL) | (x->mxcsr != MXCSR_INIT ? XF_SSE : 0);
}

/* The components of `write`; `rfbm` decides MXCSR in the standard format. */
static bool
put_components(struct soft_cpu *c, const struct area *a,
    const struct xsave_area *m, uint64_t write, bool mxcsr)
{
	unsigned int vlen = vector_len(c);

	if ((write & XF_X87) &&
	    (!area_put(c, a, 0, m, 24) || !area_put(c, a, 32, m->st, 128)))
		return false;
	if (mxcsr && !area_put(c, a, 24, &m->mxcsr, 8))
		return false;
	if ((write & XF_SSE) && !area_put(c, a, 160, m->xmm, vlen))
		return false;
	return !(write & XF_AVX) ||
	       area_put(c, a, XSAVE_MIN_LEN, m->ymmh, vlen);
}

/* XSTATE_BV keeps the bits not asked for, unless the format is compacted. */
static bool
put_header(struct soft_cpu *c, const struct area *a, uint64_t rfbm,
    uint64_t inuse, enum xsave_kind kind)
{
	uint64_t hdr[2] = { inuse & rfbm, XCOMP_COMPACT | rfbm };

	if (kind == KIND_XSAVEC)
		return area_put(c, a, XSAVE_LEGACY_LEN, hdr, sizeof(hdr));
	if (a->p != NULL) {
		hdr[1] = HOST_LD(uint64_t, a->p + XSAVE_LEGACY_LEN);
	} else {
		if (!mem_read_slow(c, a->la + XSAVE_LEGACY_LEN, 8))
			return false;
		hdr[1] = c->mem_val;
	}
	hdr[0] |= hdr[1] & ~rfbm;
	return area_put(c, a, XSAVE_LEGACY_LEN, hdr, 8);
}

static bool
xsave_store(struct soft_cpu *c, const struct insn *i, uint64_t rip,
    enum xsave_kind kind)
{
	uint64_t rfbm, inuse, write;
	struct xsave_area m;
	struct area a;

	if (!xsave_available(c, rip))
		return false;
	rfbm = requested(c);
	if (!area_ea(c, i, rip, xsave_len(rfbm), 64, ACC_W) ||
	    !area_touch_ends(c, xsave_len(rfbm), ACC_W) ||
	    !area_for_write(c, &a, xsave_len(rfbm)))
		return false;
	gpr_copy(&m, fpu_state(c), sizeof(m));
	m.mxcsr_mask = MXCSR_MASK;
	ptrs_store(c, &m, i->x & 1);
	inuse = xinuse(&m);
	write = kind == KIND_XSAVE ? rfbm : rfbm & inuse;
	if (!put_components(c, &a, &m, write,
		kind == KIND_XSAVEC ? (write & XF_SSE) != 0
				    : (rfbm & (XF_SSE | XF_AVX)) != 0) ||
	    !put_header(c, &a, rfbm, inuse, kind))
		return false;
	if (a.p != NULL)
		mem_wrote(c, a.la, xsave_len(rfbm));
	return true;
}

void
op_xsave(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!xsave_store(c, i, rip, KIND_XSAVE))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}

void
op_xsaveopt(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!xsave_store(c, i, rip, KIND_XSAVEOPT))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}

void
op_xsavec(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!xsave_store(c, i, rip, KIND_XSAVEC))
		return;
	NEXT_AFTER_STORE(c, i, rip);
}

/* --- XRSTOR --------------------------------------------------------------- */

/* SDM 1 13.8: what the header must not contain. */
static bool
header_ok(const struct soft_cpu *c, const struct xsave_area *m)
{
	uint64_t rsvd = m->rsvd528[0];

	if (m->xstate_bv & ~c->xcr0)
		return false;
	if (!(m->xcomp_bv & XCOMP_COMPACT))
		return m->xcomp_bv == 0 && rsvd == 0;
	for (unsigned int n = 1; n < 6; n++)
		rsvd |= m->rsvd528[n];
	return rsvd == 0 && !(m->xcomp_bv & ~XCOMP_COMPACT & ~c->xcr0) &&
	       !(m->xstate_bv & ~m->xcomp_bv);
}

/* A vector component: from the area, or to its initial state. */
static void
vector_from(
    struct soft_cpu *c, void *dst, const void *src, uint64_t from, uint64_t bit)
{
	struct xsave_area *x = fpu_state(c);
	unsigned int len = vector_len(c);

	if (from & bit) {
		gpr_copy(dst, src, len);
		x->xstate_bv |= bit;
		return;
	}
	gpr_zero(dst, len);
	if (len == 256)
		x->xstate_bv &= ~bit;
}

static void
xrstor_commit(
    struct soft_cpu *c, const struct xsave_area *m, uint64_t rfbm, bool w64)
{
	struct xsave_area *x = fpu_state(c);
	uint64_t from = m->xstate_bv & rfbm;

	if (from & XF_X87) {
		x87_from(c, m, w64);
	} else if (rfbm & XF_X87) {
		x87_init(c);
		gpr_zero(x->st, sizeof(x->st));
		x->xstate_bv &= ~(uint64_t)XF_X87;
	}
	if (rfbm & XF_SSE)
		vector_from(c, x->xmm, m->xmm, from, XF_SSE);
	if (rfbm & XF_AVX)
		vector_from(c, x->ymmh, m->ymmh, from, XF_AVX);
}

/* Does this XRSTOR load MXCSR from the area? */
static bool
loads_mxcsr(const struct xsave_area *m, uint64_t rfbm)
{
	if (m->xcomp_bv & XCOMP_COMPACT)
		return (rfbm & m->xstate_bv & XF_SSE) != 0;
	return (rfbm & (XF_SSE | XF_AVX)) != 0;
}

static bool
xrstor_touch(struct soft_cpu *c, unsigned int len)
{
	return !area_crosses(c, len) ||
	       (area_touch(c, 0, ACC_R) &&
		   area_touch(c, XSAVE_LEGACY_LEN, ACC_R) &&
		   area_touch(c, len - 1, ACC_R));
}

static bool
xrstor_load(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	struct xsave_area m;
	uint64_t rfbm;

	if (!xsave_available(c, rip))
		return false;
	rfbm = requested(c);
	if (!area_ea(c, i, rip, xsave_len(rfbm), 64, ACC_R) ||
	    !xrstor_touch(c, xsave_len(rfbm)) ||
	    !area_get(c, &m, XSAVE_MIN_LEN))
		return false;
	if (!header_ok(c, &m))
		return cpu_raise_gp(c, 0);
	if ((rfbm & m.xstate_bv & XF_AVX)) {
		c->ea += XSAVE_MIN_LEN;
		if (!area_get(c, m.ymmh, vector_len(c)))
			return false;
	}
	if (loads_mxcsr(&m, rfbm)) {
		if (m.mxcsr & ~MXCSR_MASK)
			return cpu_raise_gp(c, 0);
		fpu_state(c)->mxcsr = m.mxcsr;
	} else if (rfbm & XF_SSE) {
		fpu_state(c)->mxcsr = MXCSR_INIT;
	}
	xrstor_commit(c, &m, rfbm, i->x & 1);
	return true;
}

void
op_xrstor(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!xrstor_load(c, i, rip))
		return;
	NEXT(c, i, rip);
}

/* --- XCR0 ----------------------------------------------------------------- */

void
op_xgetbv(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint32_t n = (uint32_t)c->gpr[R_RCX];
	uint64_t v = c->xcr0;

	if (!(c->cr4 & CR4_OSXSAVE))
		RAISE_UD(c, rip);
	if (n > 1 || (n == 1 && !fpu_has_xgetbv1))
		RAISE_GP(c, rip, 0);
	if (n == 1)
		v &= xinuse(fpu_state(c));
	c->gpr[R_RAX] = (uint32_t)v;
	c->gpr[R_RDX] = v >> 32;
	NEXT(c, i, rip);
}

/* Ends its block: the mode may change. */
void
op_xsetbv(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	uint64_t v = c->gpr[R_RDX] << 32 | (uint32_t)c->gpr[R_RAX];

	if (!(c->cr4 & CR4_OSXSAVE))
		RAISE_UD(c, rip);
	if (c->cpl != 0 || (uint32_t)c->gpr[R_RCX] != 0 || !(v & XF_X87) ||
	    (v & ~fpu_xcr0_supported()) || ((v & XF_AVX) && !(v & XF_SSE)))
		RAISE_GP(c, rip, 0);
	c->xcr0 = v;
	cpu_update_mode(c);
	c->rip = rip + i->len;
}

/* --- x87 environment: FNSTENV, FLDENV, FNSAVE, FRSTOR --------------------- */

/*
 * SDM 1 figures 8-9 to 8-12: 32- or 16-bit fields by operand size, selectors in
 * protected mode, 20- or 32-bit linear addresses in real and V86 mode.
 */
static unsigned int
env_len(const struct insn *i)
{
	return i->opsize == 2 ? 14 : 28;
}

static bool
env_is_real(const struct soft_cpu *c)
{
	return !(c->mode & MODE_PE) || (c->mode & MODE_V86);
}

/* Tag word from the abridged one and the registers (SDM 1 8.1.7, 10.5.1.1). */
static uint16_t
full_tags(const struct xsave_area *x)
{
	unsigned int top = (x->fsw >> 11) & 7, tw = 0;

	for (unsigned int r = 0; r < 8; r++) {
		const uint64_t *st = x->st[(r - top) & 7];
		unsigned int exp = st[1] & 0x7fff, tag;

		if (!(x->ftw & BIT(r)))
			tag = 3;
		else if (exp == 0 && st[0] == 0)
			tag = 1;
		else if (exp == 0 || exp == 0x7fff || !(st[0] >> 63))
			tag = 2;
		else
			tag = 0;
		tw |= tag << (2 * r);
	}
	return (uint16_t)tw;
}

static uint8_t
abridged_tags(unsigned int tw)
{
	unsigned int ftw = 0;

	for (unsigned int r = 0; r < 8; r++)
		if (((tw >> (2 * r)) & 3) != 3)
			ftw |= BIT(r);
	return (uint8_t)ftw;
}

/* The seven fields as 32-bit values; the upper halves matter in 28-byte form.
 */
static void
env_fields(struct soft_cpu *c, uint32_t f[7])
{
	const struct xsave_area *x = fpu_state(c);
	uint32_t ones = 0xffff0000u, ip, dp;

	f[0] = ones | x->fcw;
	f[1] = ones | x->fsw;
	f[2] = ones | full_tags(x);
	if (!env_is_real(c)) {
		f[3] = (uint32_t)c->fpu_ip;
		f[4] = (uint32_t)c->fpu_op << 16 | c->fpu_cs;
		f[5] = (uint32_t)c->fpu_dp;
		f[6] = ones | c->fpu_ds;
		return;
	}
	ip = (uint32_t)c->fpu_ip + ((uint32_t)c->fpu_cs << 4);
	dp = (uint32_t)c->fpu_dp + ((uint32_t)c->fpu_ds << 4);
	f[3] = ones | (uint16_t)ip;
	f[4] = (ip >> 16 << 12) | c->fpu_op;
	f[5] = ones | (uint16_t)dp;
	f[6] = dp >> 16 << 12;
}

/* Into c->bounce; returns its length. */
static unsigned int
env_build(struct soft_cpu *c, const struct insn *i)
{
	uint32_t *w = (uint32_t *)(void *)c->bounce;
	uint16_t *h = (uint16_t *)(void *)c->bounce;
	bool wide = i->opsize != 2;
	uint32_t f[7];

	env_fields(c, f);
	for (unsigned int n = 0; n < 7; n++) {
		if (wide)
			w[n] = f[n];
		else
			h[n] = (uint16_t)f[n];
	}
	return env_len(i);
}

static void
env_load_ptrs(struct soft_cpu *c, bool wide, const uint32_t f[7])
{
	if (!env_is_real(c)) {
		c->fpu_ip = f[3];
		c->fpu_cs = (uint16_t)f[4];
		c->fpu_dp = f[5];
		c->fpu_ds = (uint16_t)f[6];
		/* The 16-bit form has none, which reads as 0. */
		c->fpu_op = wide ? (f[4] >> 16) & 0x7ff : 0;
		return;
	}
	c->fpu_ip = (uint16_t)f[3] | (f[4] >> 12 << 16);
	c->fpu_dp = (uint16_t)f[5] | (f[6] >> 12 << 16);
	c->fpu_cs = c->fpu_ds = 0;
	c->fpu_op = f[4] & 0x7ff;
}

/* From c->bounce. */
static void
env_apply(struct soft_cpu *c, const struct insn *i)
{
	const uint32_t *w = (const uint32_t *)(const void *)c->bounce;
	const uint16_t *h = (const uint16_t *)(const void *)c->bounce;
	struct xsave_area *x = fpu_state(c);
	bool wide = i->opsize != 2;
	uint32_t f[7];

	for (unsigned int n = 0; n < 7; n++)
		f[n] = wide ? w[n] : h[n];
	x87_set_top(x, (f[1] >> 11) & 7);
	x->fcw = (uint16_t)f[0];
	x->fsw = (uint16_t)f[1];
	x->ftw = abridged_tags(f[2]);
	x->xstate_bv |= XF_X87;
	x87_normalise(x);
	env_load_ptrs(c, wide, f);
}

/* The ten bytes of each register follow each other, ST(0) first. */
static void
regs_build(struct soft_cpu *c, uint8_t *p)
{
	const struct xsave_area *x = fpu_state(c);

	for (unsigned int r = 0; r < 8; r++)
		gpr_copy(p + 10 * r, x->st[r], 10);
}

static void
regs_apply(struct soft_cpu *c, const uint8_t *p)
{
	struct xsave_area *x = fpu_state(c);

	for (unsigned int r = 0; r < 8; r++) {
		x->st[r][1] = 0;
		gpr_copy(x->st[r], p + 10 * r, 10);
	}
}

static bool
env_ea(struct soft_cpu *c, const struct insn *i, uint64_t rip, unsigned int len,
    unsigned int acc)
{
	unsigned int field = i->opsize == 2 ? 2 : 4;

	/* Outside 64-bit mode the rest meets the segment's limit after that. */
	if (!area_ea(c, i, rip, field, 1, acc) ||
	    (!(c->mode & MODE_64) && !area_touch(c, 0, acc)) ||
	    !area_ea(c, i, rip, len, 1, acc))
		return false;
	/* The first field itself on two pages: these in order. */
	return (c->ea & 0xfff) + field > 0x1000 || area_touch_ends(c, len, acc);
}

static bool
env_store(
    struct soft_cpu *c, const struct insn *i, uint64_t rip, bool with_regs)
{
	unsigned int len = env_len(i) + (with_regs ? 80 : 0);
	uint64_t la;

	if (!env_ea(c, i, rip, len, ACC_W))
		return false;
	la = c->ea;
	if (!mem_probe_write(c, la, len))
		return false;
	env_build(c, i);
	if (with_regs)
		regs_build(c, c->bounce + env_len(i));
	return mem_write_buf(c, la, c->bounce, len);
}

static bool
env_fetch(
    struct soft_cpu *c, const struct insn *i, uint64_t rip, bool with_regs)
{
	unsigned int len = env_len(i) + (with_regs ? 80 : 0);

	if (!fpu_wait(c, rip) || !env_ea(c, i, rip, len, ACC_R) ||
	    !mem_read_buf(c, c->ea, c->bounce, len))
		return false;
	env_apply(c, i);
	if (with_regs)
		regs_apply(c, c->bounce + env_len(i));
	return true;
}

void
op_fnstenv(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	struct xsave_area *x;

	if (!env_store(c, i, rip, false))
		return;
	x = fpu_state(c);
	x->fcw |= 0x3f;
	x87_normalise(x);
	x->xstate_bv |= XF_X87;
	NEXT_AFTER_STORE(c, i, rip);
}

void
op_fnsave(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!env_store(c, i, rip, true))
		return;
	x87_init(c);
	NEXT_AFTER_STORE(c, i, rip);
}

void
op_fldenv(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!env_fetch(c, i, rip, false))
		return;
	NEXT(c, i, rip);
}

void
op_frstor(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
	if (!env_fetch(c, i, rip, true))
		return;
	NEXT(c, i, rip);
}
