/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * INS and OUTS of every size in 64-bit mode: both directions, addresses of 64
 * and of 32 bits, segment overrides, elements that cross pages, and faults at
 * any element (Intel SDM 2A INS, 2B OUTS, REP).  What faults does not reach the
 * port.  The port records every access (pairs_io.c) and reads as bytes 0x80,
 * 0x81 ...
 */
#include "guest.h"

#define PORT	    0x500u
#define MSR_FS_BASE 0xc0000100u
#define CR0_WP	    0x10000ull
#define FL_DF	    0x400u
#define COUNT	    4u /* elements of a test */

/* guest_call(): the log. */
enum { LOG_CLEAR = 1, LOG_COUNT, LOG_GET };

static uint64_t
entry(bool write, unsigned int bytes, uint64_t val)
{
	return (uint64_t)write << 63 | (uint64_t)bytes << 56 |
	       (val & 0xffffffff);
}

/* --- the instructions ------------------------------------------------- */

struct regs {
	uint64_t di, si, cx;
};

#define STRING(name, text)                                                     \
	static void name(void *arg)                                            \
	{                                                                      \
		struct regs *r = arg;                                          \
		__asm__ volatile(text "\n\tcld"                                \
				 : "+D"(r->di), "+S"(r->si), "+c"(r->cx)       \
				 : "d"(PORT)                                   \
				 : "memory", "cc");                            \
	}
STRING(insb_up, "cld; rep insb")
STRING(insw_up, "cld; rep insw")
STRING(insl_up, "cld; rep insl")
STRING(insb_down, "std; rep insb")
STRING(insw_down, "std; rep insw")
STRING(insl_down, "std; rep insl")
STRING(outsb_up, "cld; rep outsb")
STRING(outsw_up, "cld; rep outsw")
STRING(outsl_up, "cld; rep outsl")
STRING(outsb_down, "std; rep outsb")
STRING(outsw_down, "std; rep outsw")
STRING(outsl_down, "std; rep outsl")
STRING(insb_32, "cld; rep insb (%%dx), %%es:(%%edi)")
STRING(insw_32, "cld; rep insw (%%dx), %%es:(%%edi)")
STRING(insl_32, "cld; rep insl (%%dx), %%es:(%%edi)")
STRING(outsb_32, "cld; rep outsb %%ds:(%%esi), (%%dx)")
STRING(outsw_32, "cld; rep outsw %%ds:(%%esi), (%%dx)")
STRING(outsl_32, "cld; rep outsl %%ds:(%%esi), (%%dx)")
STRING(insb_once, "cld; insb")
STRING(insw_once, "std; insw")
STRING(insl_once, "cld; insl")
STRING(outsb_once, "std; outsb")
STRING(outsw_once, "cld; outsw")
STRING(outsl_once, "std; outsl")
STRING(outsl_fs, "cld; rep outsl %%fs:(%%rsi), (%%dx)")
/* A segment override says nothing to INS: its segment is ES. */
STRING(insl_fs, "cld; .byte 0x64; rep insl")

static const struct form {
	void (*ins)(void *), (*outs)(void *), (*ins_down)(void *),
	    (*outs_down)(void *), (*ins_32)(void *), (*outs_32)(void *);
	unsigned int size;
} forms[] = {
	{ insb_up, outsb_up, insb_down, outsb_down, insb_32, outsb_32, 1 },
	{ insw_up, outsw_up, insw_down, outsw_down, insw_32, outsw_32, 2 },
	{ insl_up, outsl_up, insl_down, outsl_down, insl_32, outsl_32, 4 },
};
#define FOR_FORMS                                                              \
	for (const struct form *fm = forms; fm < forms + ARRAY_LEN(forms); fm++)

/* --- memory ----------------------------------------------------------- */

static uint8_t *frames; /* two pages, of WINDOW + PAGE and + 2 * PAGE */

/* Absent, two pages apart from each other in memory, absent. */
static volatile uint8_t *
window(void)
{
	volatile uint8_t *w = (volatile uint8_t *)WINDOW;

	if (frames == NULL)
		frames = alloc_pages(2);
	map_page(WINDOW, 0, 0);
	map_page(
	    WINDOW + PAGE, (uint64_t)(uintptr_t)frames + PAGE, PTE_P | PTE_W);
	map_page(WINDOW + 2 * PAGE, (uint64_t)(uintptr_t)frames, PTE_P | PTE_W);
	map_page(WINDOW + 3 * PAGE, 0, 0);
	for (unsigned int i = 0; i < 2 * PAGE; i++)
		w[PAGE + i] = (uint8_t)(i * 7);
	return w;
}

static uint64_t
memory_at(uint64_t va, unsigned int size)
{
	uint64_t v = 0;

	memcpy(&v, (const void *)va, size);
	return v;
}

/* Bytes as the port reads. */
static uint64_t
pattern(unsigned int size)
{
	return 0x83828180ull & ((1ull << 8 * size) - 1);
}

static void
check_regs(uint64_t got, uint64_t start, int64_t step, uint64_t done,
    uint64_t cx, uint64_t want_cx)
{
	CHECK_EQ(got, start + (uint64_t)step * done);
	CHECK_EQ(cx, want_cx);
}

/* n elements of the log are these writes, from memory as it is now. */
static void
check_log_out(uint64_t va, int64_t step, unsigned int size, unsigned int n)
{
	CHECK_EQ(guest_call(LOG_COUNT, 0), n);
	for (unsigned int i = 0; i < n; i++, va += (uint64_t)step)
		CHECK_EQ(guest_call(LOG_GET, i),
		    entry(true, size, memory_at(va, size)));
}

/* ... these reads, and they are in memory. */
static void
check_log_in(uint64_t va, int64_t step, unsigned int size, unsigned int n)
{
	CHECK_EQ(guest_call(LOG_COUNT, 0), n);
	for (unsigned int i = 0; i < n; i++, va += (uint64_t)step) {
		CHECK_EQ(
		    guest_call(LOG_GET, i), entry(false, size, pattern(size)));
		CHECK_EQ(memory_at(va, size), pattern(size));
	}
}

/* --- tests ------------------------------------------------------------ */

/* The second element crosses from page to page when its size allows it. */
static void
test_crossing(void)
{
	FOR_FORMS
	{
		for (int down = 0; down < 2; down++) {
			int64_t step = down ? -(int64_t)fm->size : fm->size;
			uint64_t va =
			    WINDOW + 2 * PAGE - fm->size / 2 - (uint64_t)step;
			struct regs r = { .di = va, .cx = COUNT };

			(void)window();
			(void)guest_call(LOG_CLEAR, 0);
			(down ? fm->ins_down : fm->ins)(&r);
			check_regs(r.di, va, step, COUNT, r.cx, 0);
			check_log_in(va, step, fm->size, COUNT);
			(void)window();
			(void)guest_call(LOG_CLEAR, 0);
			r = (struct regs){ .si = va, .cx = COUNT };
			(down ? fm->outs_down : fm->outs)(&r);
			check_regs(r.si, va, step, COUNT, r.cx, 0);
			check_log_out(va, step, fm->size, COUNT);
		}
	}
}

/* RDI, RSI and RCX are EDI, ESI and ECX; written, they are zero-extended. */
static void
test_addr32(void)
{
	static uint8_t buf[4 * COUNT];
	uint64_t va = (uint64_t)(uintptr_t)buf, high = 0xdead00000000ull;

	FOR_FORMS
	{
		struct regs r = { .di = va | high, .cx = COUNT | high };

		memset(buf, 0, sizeof(buf));
		(void)guest_call(LOG_CLEAR, 0);
		fm->ins_32(&r);
		check_regs(r.di, va, fm->size, COUNT, r.cx, 0);
		check_log_in(va, fm->size, fm->size, COUNT);
		for (unsigned int i = 0; i < sizeof(buf); i++)
			buf[i] = (uint8_t)(i + 1);
		(void)guest_call(LOG_CLEAR, 0);
		r = (struct regs){ .si = va | high, .cx = COUNT | high };
		fm->outs_32(&r);
		check_regs(r.si, va, fm->size, COUNT, r.cx, 0);
		check_log_out(va, fm->size, fm->size, COUNT);
	}
}

/* Without REP: one element, RCX is left alone. */
static void
test_once(void)
{
	static const struct {
		void (*fn)(void *);
		int size; /* below 0: downwards */
		bool out;
	} table[] = {
		{ insb_once, 1, false },
		{ insw_once, -2, false },
		{ insl_once, 4, false },
		{ outsb_once, -1, true },
		{ outsw_once, 2, true },
		{ outsl_once, -4, true },
	};

	for (unsigned int i = 0; i < ARRAY_LEN(table); i++) {
		int size = table[i].size;
		unsigned int bytes = (unsigned int)(size < 0 ? -size : size);
		uint64_t va = WINDOW + 2 * PAGE - 1;
		struct regs r = { .di = va, .si = va, .cx = 0x1122334455 };

		(void)window();
		(void)guest_call(LOG_CLEAR, 0);
		table[i].fn(&r);
		CHECK_EQ(r.cx, 0x1122334455);
		CHECK_EQ(table[i].out ? r.si : r.di, va + (uint64_t)size);
		CHECK_EQ(table[i].out ? r.di : r.si, va);
		if (table[i].out)
			check_log_out(va, size, bytes, 1);
		else
			check_log_in(va, size, bytes, 1);
	}
}

static void
test_segments(void)
{
	struct regs r = { .si = 16, .cx = 2 };

	(void)window();
	(void)guest_call(LOG_CLEAR, 0);
	wrmsr(MSR_FS_BASE, WINDOW + PAGE);
	outsl_fs(&r);
	check_regs(r.si, 16, 4, 2, r.cx, 0);
	check_log_out(WINDOW + PAGE + 16, 4, 4, 2);
	(void)guest_call(LOG_CLEAR, 0);
	wrmsr(MSR_FS_BASE, 0x1000);
	r = (struct regs){ .di = WINDOW + PAGE + 32, .cx = 1 };
	insl_fs(&r);
	wrmsr(MSR_FS_BASE, 0);
	check_log_in(WINDOW + PAGE + 32, 4, 4, 1);
}

/*
 * `k` elements fit before the absent page, of the next one all bytes or `over`
 * of them do not.  The address that CR2 must have is the first byte that is not
 * there.
 */
static void
fault_at(const struct form *fm, bool out, bool down, unsigned int k,
    unsigned int over)
{
	int64_t step = down ? -(int64_t)fm->size : fm->size;
	uint64_t bad =
	    down ? WINDOW + PAGE - over : WINDOW + 3 * PAGE - (fm->size - over);
	uint64_t va = bad - (uint64_t)step * k;
	struct regs r = { .di = va, .si = va, .cx = k + COUNT };
	const struct frame *f;

	(void)window();
	(void)guest_call(LOG_CLEAR, 0);
	if (out)
		f = guarded(down ? fm->outs_down : fm->outs, &r);
	else
		f = guarded(down ? fm->ins_down : fm->ins, &r);
	EXPECT_TRAP(f, 14, out ? 0 : 2);
	CHECK_EQ(this_cpu()->cr2, down ? bad : WINDOW + 3 * PAGE);
	check_regs(out ? f->rsi : f->rdi, va, step, k, f->rcx, COUNT);
	CHECK_EQ(f->rflags & FL_DF, down ? FL_DF : 0);
	if (out)
		check_log_out(va, step, fm->size, k);
	else
		check_log_in(va, step, fm->size, k);
}

static void
test_faults(void)
{
	FOR_FORMS
	{
		for (unsigned int over = 1; over <= fm->size; over++)
			for (unsigned int k = 0; k < 3; k++)
				for (unsigned int m = 0; m < 4; m++)
					fault_at(fm, m & 1, m & 2, k, over);
	}
}

/* INS needs to write, OUTS only to read. */
static void
test_read_only(void)
{
	uint64_t cr0 = read_cr0(), va = WINDOW + 2 * PAGE - 4;
	struct regs r = { .di = va, .si = va, .cx = 2 };
	const struct frame *f;

	(void)window();
	map_page(WINDOW + 2 * PAGE, (uint64_t)(uintptr_t)frames, PTE_P);
	write_cr0(cr0 | CR0_WP);
	(void)guest_call(LOG_CLEAR, 0);
	f = guarded(insl_up, &r);
	EXPECT_TRAP(f, 14, 3);
	CHECK_EQ(f->rcx, 1);
	check_log_in(va, 4, 4, 1);
	(void)guest_call(LOG_CLEAR, 0);
	r = (struct regs){ .si = va, .cx = 2 };
	EXPECT_NONE(guarded(outsl_up, &r));
	check_log_out(va, 4, 4, 2);
	write_cr0(cr0);
}

/* An address that is none: #GP, and nothing was read or written. */
static void
test_not_canonical(void)
{
	struct regs r = { .di = 0x800000000000, .si = 0x800000000000, .cx = 1 };

	FOR_FORMS
	{
		(void)guest_call(LOG_CLEAR, 0);
		EXPECT_TRAP(guarded(fm->ins, &r), 13, 0);
		EXPECT_TRAP(guarded(fm->outs, &r), 13, 0);
		CHECK_EQ(guest_call(LOG_COUNT, 0), 0);
	}
}

/* Count 0: nothing happens, not even the fault that an address would make. */
static void
test_zero(void)
{
	FOR_FORMS
	{
		struct regs r = { .di = WINDOW, .si = WINDOW };

		(void)window();
		(void)guest_call(LOG_CLEAR, 0);
		EXPECT_NONE(guarded(fm->ins, &r));
		EXPECT_NONE(guarded(fm->outs_down, &r));
		CHECK_EQ(guest_call(LOG_COUNT, 0), 0);
		CHECK_EQ(r.di, WINDOW);
		CHECK_EQ(r.si, WINDOW);
	}
}

const struct guest_test guest_tests[] = {
	TEST("across pages", test_crossing),
	TEST("32-bit addresses", test_addr32),
	TEST("without REP", test_once),
	TEST("segment overrides", test_segments),
	TEST("faults at any element", test_faults),
	TEST("read-only memory", test_read_only),
	TEST("addresses that are none", test_not_canonical),
	TEST("count 0", test_zero),
	TEST_END,
};
