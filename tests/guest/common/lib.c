/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lib.c - the payloads' runtime: reports, traps, processors, memory, time and
 * interrupt controllers.  Freestanding; see guest.h.
 */
#include "guest.h"

#include <stdarg.h>

#define CR4_SMEP   0x100000ull
#define CR4_SMAP   0x200000ull
#define TSS_RSP0   4
#define TSS_IST1   36
#define TSS_IOMAP  102
#define HEAP_BEGIN 0x1000000ull /* 16 MiB */
#define HEAP_END   0x4000000ull
#define RFLAGS_ONE 0x2ull

struct idt_gate {
	uint16_t off0, sel;
	uint8_t ist, type;
	uint16_t off1;
	uint32_t off2, zero;
};
_Static_assert(sizeof(struct idt_gate) == 16, "SDM 3A 6.14.1");

extern uint8_t trap_stubs[], guard_landing[], image_end[];
extern uint8_t ap_trampoline[], ap_trampoline_end[];
extern uint64_t ap_stack;
void enter_user(const struct user_start *) __attribute__((noreturn));
bool guarded_call(void (*fn)(void *), void *arg);
void cpu_main(void);
void trap(struct frame *);

uint8_t user_stack[USER_STACK_BYTES] __attribute__((aligned(4096)));

static struct idt_gate idt[256];
static trap_fn trap_table[256];
static struct guest_report report_page __attribute__((aligned(256)));
static struct guest_report call_page __attribute__((aligned(256)));
static volatile uint32_t test_failed;
static char fail_text[sizeof(report_page.text)];
static uint32_t fail_lock;
static uint64_t heap = HEAP_BEGIN;

/* --- the C library gcc expects
 * ------------------------------------------------ */

void *
memset(void *d, int c, size_t n)
{
	void *p = d;

	__asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(c) : "memory");
	return d;
}

void *
memcpy(void *d, const void *s, size_t n)
{
	void *p = d;

	__asm__ volatile("rep movsb" : "+D"(p), "+S"(s), "+c"(n)::"memory");
	return d;
}

int
memcmp(const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;

	for (; n > 0; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

/* --- text: %s %d %u %x %lu %lx %#lx
 * ------------------------------------------------ */

struct out {
	char *p, *end;
};

static void
put_char(struct out *o, char c)
{
	if (o->p < o->end)
		*o->p++ = c;
	*o->p = '\0';
}

static void
put_str(struct out *o, const char *s)
{
	while (*s != '\0')
		put_char(o, *s++);
}

static void
put_num(struct out *o, uint64_t v, unsigned int base)
{
	char buf[24];
	unsigned int n = 0;

	do {
		buf[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v != 0);
	while (n > 0)
		put_char(o, buf[--n]);
}

static void
put_conversion(struct out *o, char c, bool is_long, va_list *ap)
{
	uint64_t v;

	if (c == 's') {
		put_str(o, va_arg(*ap, const char *));
		return;
	}
	v = is_long ? va_arg(*ap, uint64_t) : va_arg(*ap, unsigned int);
	if (c == 'd' && !is_long && (int)v < 0) {
		put_char(o, '-');
		v = (uint64_t)(-(int64_t)(int)v);
	}
	put_num(o, v, c == 'x' ? 16 : 10);
}

static void
format(struct out *o, const char *fmt, va_list *ap)
{
	for (; *fmt != '\0'; fmt++) {
		bool is_long = false;

		if (*fmt != '%') {
			put_char(o, *fmt);
			continue;
		}
		for (fmt++; *fmt == 'l' || *fmt == '#'; fmt++) {
			if (*fmt == '#')
				put_str(o, "0x");
			else
				is_long = true;
		}
		put_conversion(o, *fmt, is_long, ap);
	}
}

static void
copy_text(char *dst, size_t n, const char *src)
{
	struct out o = { dst, dst + n - 1 };

	*dst = '\0';
	put_str(&o, src);
}

/* --- reports
 * ------------------------------------------------------------------------ */

uint64_t
guest_call(uint64_t which, uint64_t arg)
{
	call_page.kind = GUEST_REPORT_CALL;
	call_page.value[0] = which;
	call_page.value[1] = arg;
	report_send(&call_page);
	return *(volatile uint64_t *)&call_page.value[1];
}

void
guest_end(void)
{
	report_page.kind = GUEST_REPORT_END;
	for (;;) {
		report_send(&report_page);
		cpu_pause();
	}
}

static void
note_failure(const char *file, int line, const char *fmt, va_list *ap)
{
	struct out o = { fail_text, fail_text + sizeof(fail_text) - 1 };
	const char *base = file;

	while (__atomic_exchange_n(&fail_lock, 1, __ATOMIC_ACQUIRE) != 0)
		cpu_pause();
	if (test_failed == 0) {
		for (; *file != '\0'; file++)
			if (*file == '/')
				base = file + 1;
		put_str(&o, base);
		put_char(&o, ':');
		put_num(&o, (uint64_t)line, 10);
		put_str(&o, ": ");
		format(&o, fmt, ap);
		test_failed = 1;
	}
	__atomic_store_n(&fail_lock, 0, __ATOMIC_RELEASE);
}

/* Out of the running test on processor 0: the outermost guard's landing. */
static uint64_t test_guard;

static void __attribute__((noreturn)) leave_test(void)
{
	__asm__ volatile("movq %0, %%rsp; jmp guard_landing" ::"r"(test_guard)
			 : "memory");
	__builtin_unreachable();
}

void
guest_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note_failure(file, line, fmt, &ap);
	va_end(ap);
	if (this_cpu()->id == 0 && test_guard != 0)
		leave_test();
}

static const char *skip_reason;

void
guest_skip(const char *why)
{
	skip_reason = why;
	leave_test();
}

static void
run_test(void *arg)
{
	const struct guest_test *t = arg;

	test_guard = this_cpu()->guard_rsp;
	t->fn();
}

static void
clean_up(void)
{
	cli();
	write_dr7(0x400);
	test_guard = 0;
	this_cpu()->guard_rsp = 0;
	write_cr4(read_cr4() & ~(CR4_SMEP | CR4_SMAP));
	for (unsigned int v = 0; v < 256; v++)
		if (v != VEC_WAKE && v != VEC_SPURIOUS)
			trap_set(v, NULL);
	trap_set_ist(2, 0);
	trap_set_dpl(3, 3);
	trap_set_dpl(4, 3);
	trap_set_dpl(VEC_USER_RETURN, 3);
}

static void
run_one(const struct guest_test *t)
{
	int tries = t->retries + 1;
	bool trapped;

	do {
		test_failed = 0;
		skip_reason = NULL;
		trapped = guarded_call(run_test, (void *)(uintptr_t)t);
		if (trapped && test_failed == 0 && skip_reason == NULL) {
			const struct frame *f = &this_cpu()->trap;

			test_guard = 0;
			FAIL("unexpected trap %lu, error %#lx, rip %#lx, "
			     "cr2 %#lx",
			    f->vector, f->err, f->rip, this_cpu()->cr2);
		}
		clean_up();
	} while (test_failed != 0 && --tries > 0);
	report_page.kind = GUEST_REPORT_RESULT;
	report_page.status = test_failed != 0	   ? GUEST_FAIL
			     : skip_reason != NULL ? GUEST_SKIP
						   : GUEST_PASS;
	copy_text(report_page.name, sizeof(report_page.name), t->name);
	copy_text(report_page.text, sizeof(report_page.text),
	    test_failed != 0	  ? fail_text
	    : skip_reason != NULL ? skip_reason
				  : "");
	report_send(&report_page);
}

/* --- traps
 * -------------------------------------------------------------------------- */

void
idt_set_gate(unsigned int v, void *addr, unsigned int dpl)
{
	uint64_t a = (uint64_t)(uintptr_t)addr;

	idt[v].off0 = (uint16_t)a;
	idt[v].off1 = (uint16_t)(a >> 16);
	idt[v].off2 = (uint32_t)(a >> 32);
	idt[v].sel = SEL_KCODE;
	idt[v].type = (uint8_t)(0x8e | dpl << 5);
}

void
trap_set(unsigned int v, trap_fn fn)
{
	trap_table[v] = fn;
}

void
trap_set_ist(unsigned int v, unsigned int ist)
{
	idt[v].ist = (uint8_t)ist;
}

void
trap_set_dpl(unsigned int v, unsigned int dpl)
{
	idt[v].type = (uint8_t)(0x8e | dpl << 5);
}

static void
land(struct frame *f, struct cpu *c)
{
	f->rip = (uint64_t)(uintptr_t)guard_landing;
	f->cs = SEL_KCODE;
	f->ss = SEL_KDATA;
	f->rsp = c->guard_rsp;
	f->rflags = RFLAGS_ONE;
}

/* Called by every stub; f is on this processor's block. */
void
trap(struct frame *f)
{
	struct cpu *c = this_cpu();

	if (trap_table[f->vector] != NULL) {
		trap_table[f->vector](f);
		return;
	}
	c->trap = *f;
	c->cr2 = read_cr2();
	c->dr6 = read_dr6();
	if (c->guard_rsp == 0) {
		FAIL("processor %u: trap %lu, error %#lx, rip %#lx, cr2 %#lx",
		    c->id, f->vector, f->err, f->rip, c->cr2);
		guest_end();
	}
	land(f, c);
}

const struct frame *
guarded(void (*fn)(void *), void *arg)
{
	return guarded_call(fn, arg) ? &this_cpu()->trap : NULL;
}

void
expect_trap(const struct frame *f, unsigned int vector, uint64_t err,
    const char *file, int line)
{
	if (f == NULL)
		guest_fail(file, line, "no trap, not vector %u", vector);
	else if (f->vector != vector)
		guest_fail(file, line,
		    "vector %lu, not %u; rip %#lx, error %#lx", f->vector,
		    vector, f->rip, f->err);
	else if (err != UINT64_MAX && f->err != err)
		guest_fail(
		    file, line, "error code %#lx, not %#lx", f->err, err);
}

static void
start_user(void *arg)
{
	enter_user(arg);
}

const struct frame *
user_run_at(const struct user_start *u)
{
	return guarded(start_user, (void *)(uintptr_t)u);
}

const struct frame *
user_run(const void *rip, uint64_t arg)
{
	struct user_start u = {
		.rdi = arg,
		.rip = USER(rip),
		.cs = SEL_UCODE | 3,
		.rflags = RFLAGS_ONE,
		.rsp = USER(user_stack) + USER_STACK_BYTES,
		.ss = SEL_UDATA | 3,
	};

	return user_run_at(&u);
}

/* --- processors
 * --------------------------------------------------------------------- */

/* As the machine was made; tests may change processor 0's mode for a while. */
static bool in_x2apic;

static void
apic_set(unsigned int reg, uint32_t val)
{
	if (in_x2apic)
		wrmsr(MSR_X2APIC(reg), val);
	else
		apic_write(reg, val);
}

static void
on_wake(struct frame *f)
{
	this_cpu()->wakeups++;
	apic_set(APIC_EOI, 0);
}

static void
on_spurious(struct frame *f)
{
}

static void
put_u64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

static void
init_tss(struct cpu *c)
{
	uint8_t *block = (uint8_t *)c;
	uint64_t base = (uint64_t)(uintptr_t)c->tss;
	uint64_t *d = gdt + (SEL_TSS + 16 * c->id) / 8;
	uint16_t iomap = sizeof(c->tss);

	put_u64(c->tss + TSS_RSP0, (uint64_t)(uintptr_t)(block + CPU_RSP0_TOP));
	put_u64(c->tss + TSS_IST1, (uint64_t)(uintptr_t)(block + CPU_IST1_TOP));
	put_u64(
	    c->tss + TSS_IST1 + 8, (uint64_t)(uintptr_t)(block + CPU_IST2_TOP));
	memcpy(c->tss + TSS_IOMAP, &iomap, 2);
	d[0] = (sizeof(c->tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 |
	       (base >> 24 & 0xff) << 56;
	d[1] = base >> 32;
	__asm__ volatile("ltr %w0" ::"r"(SEL_TSS + 16 * c->id));
}

static void
init_cpu(struct cpu *c)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed))
	idtr = { sizeof(idt) - 1, (uint64_t)(uintptr_t)idt };

	c->id = (uint32_t)(((uint8_t *)c - cpu_blocks) >> CPU_BLOCK_SHIFT);
	__asm__ volatile("lidt %0" ::"m"(idtr));
	init_tss(c);
	if (c == cpu_of(0))
		in_x2apic = (rdmsr(MSR_APIC_BASE) & APIC_BASE_EXTD) != 0;
	apic_set(APIC_SVR, 0x100 | VEC_SPURIOUS);
	apic_set(APIC_TPR, 0);
}

static void __attribute__((noreturn)) ap_loop(struct cpu *c)
{
	c->online = true;
	for (;;) {
		cli();
		if (c->job == NULL) {
			sti_hlt();
			continue;
		}
		sti();
		c->job(c->job_arg);
		__atomic_store_n(&c->job, NULL, __ATOMIC_RELEASE);
	}
}

static void
bsp_main(void)
{
	trap_set(VEC_WAKE, on_wake);
	trap_set(VEC_SPURIOUS, on_spurious);
	for (unsigned int i = 0; i < 32; i++)
		page_pd[(USER_ALIAS >> 21) + i] =
		    ((uint64_t)i << 21) | PTE_P | PTE_W | PTE_U | PTE_PS;
	memcpy((void *)AP_TRAMPOLINE, ap_trampoline,
	    (size_t)(ap_trampoline_end - ap_trampoline));
	pic_mask_all();
	clean_up();
	for (const struct guest_test *t = guest_tests; t->name != NULL; t++)
		run_one(t);
	guest_end();
}

void
cpu_main(void)
{
	struct cpu *c = this_cpu();

	if (c == cpu_of(0)) {
		for (unsigned int v = 0; v < 256; v++)
			idt_set_gate(v, trap_stubs + 16 * v, 0);
		init_cpu(c);
		c->online = true;
		bsp_main();
	}
	init_cpu(c);
	ap_loop(c);
}

unsigned int
smp_count(void)
{
	return guest_param(GUEST_PARAM_NCPUS);
}

static unsigned int
bits_for(unsigned int count)
{
	unsigned int bits = 0;

	while (1u << bits < count)
		bits++;
	return bits;
}

unsigned int
smp_apic_id(unsigned int id)
{
	unsigned int cores = guest_param(GUEST_PARAM_CORES);
	unsigned int threads = guest_param(GUEST_PARAM_THREADS);
	unsigned int core = id / threads;

	return ((core / cores << bits_for(cores)) + core % cores)
		   << bits_for(threads) |
	       id % threads;
}

static void
start_ap(unsigned int id)
{
	unsigned int apic = smp_apic_id(id);

	ap_stack = (uint64_t)(uintptr_t)cpu_of(id) + CPU_STACK_TOP;
	apic_ipi(apic, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
	apic_ipi(apic, ICR_INIT | ICR_LEVEL);
	delay_us(200);
	apic_ipi(apic, ICR_SIPI | AP_TRAMPOLINE >> 12);
	if (!WAIT_FOR(cpu_of(id)->online, 20000ull))
		apic_ipi(apic, ICR_SIPI | AP_TRAMPOLINE >> 12);
	if (!WAIT_FOR(cpu_of(id)->online, 3000000ull))
		FAIL("processor %u does not start", id);
}

void
smp_run(unsigned int id, void (*fn)(void *), void *arg)
{
	struct cpu *c = cpu_of(id);

	if (!c->online)
		start_ap(id);
	c->job_arg = arg;
	__atomic_store_n(&c->job, fn, __ATOMIC_RELEASE);
	apic_ipi(smp_apic_id(id), VEC_WAKE);
}

void
smp_wait(unsigned int id)
{
	if (!WAIT_FOR(cpu_of(id)->job == NULL, 20000000ull))
		FAIL("processor %u does not come to an end", id);
}

void
smp_run_all(void (*fn)(void *), void *arg)
{
	unsigned int n = smp_count();

	for (unsigned int i = 1; i < n; i++)
		smp_run(i, fn, arg);
	fn(arg);
	for (unsigned int i = 1; i < n; i++)
		smp_wait(i);
}

/* --- memory
 * -------------------------------------------------------------------------- */

void *
alloc_pages(unsigned int n)
{
	void *p = (void *)heap;

	if (heap + n * PAGE > HEAP_END)
		FAIL("out of memory");
	heap += n * PAGE;
	memset(p, 0, n * PAGE);
	return p;
}

static uint64_t *
table_below(uint64_t *slot)
{
	if (!(*slot & PTE_P))
		*slot =
		    (uint64_t)(uintptr_t)alloc_pages(1) | PTE_P | PTE_W | PTE_U;
	return (uint64_t *)(*slot & 0xffffffffff000);
}

volatile uint64_t *
pte_of(uint64_t va)
{
	uint64_t *pd = table_below(&page_pdpt[va >> 30 & 511]);

	return table_below(&pd[va >> 21 & 511]) + (va >> 12 & 511);
}

void
map_page(uint64_t va, uint64_t pa, uint64_t flags)
{
	*pte_of(va) = pa | flags;
	invlpg(va);
}

/* --- time
 * -----------------------------------------------------------------------------
 */

uint64_t
tsc_khz(void)
{
	static uint64_t khz;

	if (khz == 0)
		khz = guest_param(GUEST_PARAM_TSC_KHZ);
	return khz;
}

void
delay_us(uint64_t us)
{
	uint64_t end = rdtsc() + us * tsc_khz() / 1000;

	while (rdtsc() < end)
		cpu_pause();
}

/* --- interrupt controllers
 * --------------------------------------------------------------- */

void
apic_ipi(unsigned int dest, uint32_t icr)
{
	if (in_x2apic) {
		wrmsr(MSR_X2APIC(APIC_ICR), (uint64_t)dest << 32 | icr);
		return;
	}
	apic_write(APIC_ICR2, dest << 24);
	apic_write(APIC_ICR, icr);
}

uint32_t
ioapic_read(unsigned int reg)
{
	*(volatile uint32_t *)IOAPIC_BASE = reg;
	return *(volatile uint32_t *)(IOAPIC_BASE + 0x10);
}

void
ioapic_write(unsigned int reg, uint32_t val)
{
	*(volatile uint32_t *)IOAPIC_BASE = reg;
	*(volatile uint32_t *)(IOAPIC_BASE + 0x10) = val;
}

void
ioapic_route(unsigned int pin, uint32_t low)
{
	ioapic_write(0x10 + 2 * pin, IOAPIC_MASKED);
	ioapic_write(0x11 + 2 * pin, 0);
	ioapic_write(0x10 + 2 * pin, low);
}

#define PIC1 0x20
#define PIC2 0xa0

void
pic_init(uint8_t base, uint16_t unmasked)
{
	out8(PIC1, 0x11);
	out8(PIC2, 0x11);
	out8(PIC1 + 1, base);
	out8(PIC2 + 1, (uint8_t)(base + 8));
	out8(PIC1 + 1, 4);
	out8(PIC2 + 1, 2);
	out8(PIC1 + 1, 1);
	out8(PIC2 + 1, 1);
	out8(PIC1 + 1, (uint8_t)~unmasked);
	out8(PIC2 + 1, (uint8_t)(~unmasked >> 8));
}

void
pic_mask_all(void)
{
	out8(PIC1 + 1, 0xff);
	out8(PIC2 + 1, 0xff);
}
