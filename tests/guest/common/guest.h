/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guest.h - what a payload is written with.
 *
 * A payload is a 64-bit program without an operating system at 1 MiB of a PC
 * with 64 MiB.  It defines guest_tests[]; the runtime runs them one after the
 * other on processor 0, interrupts off, and reports each.  All memory below 4
 * GiB is mapped at its own address, supervisor, writable, executable; the first
 * 64 MiB once more at USER_ALIAS for CPL 3.
 */
#ifndef TESTS_GUEST_GUEST_H
#define TESTS_GUEST_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"
#include "proto.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* --- tests -------------------------------------------------------------------
 */

struct guest_test {
	const char *name;
	void (*fn)(void);
	int retries; /* for tests of time: again when it fails */
};
extern const struct guest_test guest_tests[]; /* ends with TEST_END */
#define TEST(n, f)                                                             \
	{                                                                      \
		.name = (n), .fn = (f)                                         \
	}
#define TEST_RETRY(n, f, r)                                                    \
	{                                                                      \
		.name = (n), .fn = (f), .retries = (r)                         \
	}
#define TEST_END                                                               \
	{                                                                      \
		.name = NULL                                                   \
	}

/* End the running test; on another processor than 0, only note it. */
void guest_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void guest_skip(const char *why);
#define FAIL(...) guest_fail(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(cond)                                                            \
	do {                                                                   \
		if (!(cond))                                                   \
			FAIL("not true: %s", #cond);                           \
	} while (0)
#define CHECK_EQ(got, want)                                                    \
	do {                                                                   \
		uint64_t got_ = (uint64_t)(got), want_ = (uint64_t)(want);     \
		if (got_ != want_)                                             \
			FAIL("%s is %#lx, not %#lx", #got, got_, want_);       \
	} while (0)
/* lo <= v <= hi; the value is only told when it is wrong. */
#define CHECK_RANGE(v, lo, hi)                                                 \
	do {                                                                   \
		uint64_t v_ = (uint64_t)(v), lo_ = (uint64_t)(lo),             \
			 hi_ = (uint64_t)(hi);                                 \
		if (v_ < lo_ || v_ > hi_)                                      \
			FAIL("%s is %lu, not %lu to %lu", #v, v_, lo_, hi_);   \
	} while (0)

uint32_t guest_param(unsigned int n);
/* The host's own service `which` with an argument; its answer. */
uint64_t guest_call(uint64_t which, uint64_t arg);
void guest_end(void) __attribute__((noreturn));
/* The way to the host: report.c, or tests/kvm/debugcon.c. */
void report_send(struct guest_report *);

/* --- processors and traps
 * ------------------------------------------------------ */

/* As start.S pushes it. */
struct frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, err;
	uint64_t rip, cs, rflags, rsp, ss;
};

struct cpu {
	uint32_t id;
	uint32_t pad;
	uint64_t guard_rsp; /* CPU_OFF_GUARD */
	struct frame trap;  /* the last one that ended a guarded call */
	uint64_t cr2, dr6;
	void (*volatile job)(void *);
	void *job_arg;
	volatile bool online;
	volatile uint32_t wakeups;
	uint8_t tss[104] __attribute__((aligned(16)));
};
_Static_assert(offsetof(struct cpu, guard_rsp) == CPU_OFF_GUARD, "start.S");
extern uint8_t cpu_blocks[];

static inline struct cpu *
cpu_of(unsigned int id)
{
	return (struct cpu *)(cpu_blocks + ((size_t)id << CPU_BLOCK_SHIFT));
}
static inline struct cpu *
this_cpu(void)
{
	uint64_t rsp;

	__asm__ volatile("movq %%rsp, %0" : "=r"(rsp));
	return (struct cpu *)(rsp & -(uint64_t)CPU_BLOCK);
}

/* NULL: unexpected, ends the guarded call or fails the test. */
typedef void (*trap_fn)(struct frame *);
void trap_set(unsigned int vector, trap_fn fn);
void trap_set_ist(unsigned int vector, unsigned int ist); /* 0 1 2 */
void trap_set_dpl(unsigned int vector, unsigned int dpl);
void idt_set_gate(unsigned int vector, void *addr, unsigned int dpl);

/*
 * fn(arg); NULL when it came back, else the trap that ended it.  RFLAGS and
 * data segments are put right, nothing else is.
 */
const struct frame *guarded(void (*fn)(void *), void *arg);
/* "vector 13, error 0x10 ..." checks in one line: err UINT64_MAX for any. */
void expect_trap(const struct frame *f, unsigned int vector, uint64_t err,
    const char *file, int line);
#define EXPECT_TRAP(f, vector, err)                                            \
	expect_trap(f, vector, err, __FILE__, __LINE__)
#define EXPECT_NONE(f)                                                         \
	do {                                                                   \
		const struct frame *f_ = (f);                                  \
		if (f_ != NULL)                                                \
			FAIL("trap %lu, error %#lx at %#lx", f_->vector,       \
			    f_->err, f_->rip);                                 \
	} while (0)
#define TRAP_NONE 0xffu

/*
 * Code at CPL 3 until something traps (INT VEC_USER_RETURN for a normal end);
 * rdi = arg.  `rip` is a kernel address, the alias is used.
 */
struct user_start {
	uint64_t rdi, rip, cs, rflags, rsp, ss;
};
const struct frame *user_run(const void *rip, uint64_t arg);
const struct frame *user_run_at(const struct user_start *);
#define USER(p) ((uint64_t)(uintptr_t)(p) + USER_ALIAS)
extern uint8_t user_stack[];
#define USER_STACK_BYTES 8192

enum {
	VEC_USER_RETURN = 0x80,
	VEC_WAKE = 0xf0,
	VEC_SPURIOUS = 0xff,
	VEC_TEST = 0x40, /* and up: tests' own */
};

/* fn(arg) on processor `id`, started on first use; returns at once. */
void smp_run(unsigned int id, void (*fn)(void *), void *arg);
void smp_wait(unsigned int id);
void smp_run_all(void (*fn)(void *), void *arg); /* 0 too; waits */
unsigned int smp_count(void);
unsigned int smp_apic_id(unsigned int id);

/* --- memory
 * ------------------------------------------------------------------- */

#define PAGE	0x1000ull
#define PTE_P	0x001ull
#define PTE_W	0x002ull
#define PTE_U	0x004ull
#define PTE_PWT 0x008ull
#define PTE_PCD 0x010ull
#define PTE_A	0x020ull
#define PTE_D	0x040ull
#define PTE_PS	0x080ull
#define PTE_G	0x100ull
#define PTE_NX	(1ull << 63)
#define WINDOW	0x100000000ull /* 4 GiB: tests map what they like, 1 GiB */

void *alloc_pages(unsigned int n); /* zeroed, never freed */
/* The entry of a 4 KiB page in [WINDOW, WINDOW + 1 GiB), tables are made. */
volatile uint64_t *pte_of(uint64_t va);
void map_page(uint64_t va, uint64_t pa, uint64_t flags); /* and INVLPG */
extern uint64_t page_pml4[], page_pdpt[], page_pd[];

extern uint64_t gdt[];
void *memset(void *, int, size_t);
void *memcpy(void *, const void *, size_t);
int memcmp(const void *, const void *, size_t);

/* --- time
 * ------------------------------------------------------------------------ */

uint64_t tsc_khz(void);
void delay_us(uint64_t us);
/* Until cond or the time is over; true when cond came true. */
#define WAIT_FOR(cond, us)                                                     \
	({                                                                     \
		uint64_t end_ = rdtsc() + (us)*tsc_khz() / 1000;               \
		bool ok_;                                                      \
		while (!(ok_ = (cond)) && rdtsc() < end_)                      \
			cpu_pause();                                           \
		ok_;                                                           \
	})

/* --- local APIC
 * -------------------------------------------------------------------- */

#define APIC_BASE	0xfee00000ull
#define MSR_APIC_BASE	0x1bu
#define APIC_BASE_BSP	0x100u
#define APIC_BASE_EXTD	0x400u
#define APIC_BASE_EN	0x800u
#define MSR_X2APIC(reg) (0x800u + (reg) / 16)
#define APIC_ID		0x020
#define APIC_VERSION	0x030
#define APIC_TPR	0x080
#define APIC_PPR	0x0a0
#define APIC_EOI	0x0b0
#define APIC_LDR	0x0d0
#define APIC_DFR	0x0e0
#define APIC_SVR	0x0f0
#define APIC_ISR	0x100
#define APIC_TMR	0x180
#define APIC_IRR	0x200
#define APIC_ESR	0x280
#define APIC_ICR	0x300
#define APIC_ICR2	0x310
#define APIC_LVT_TIMER	0x320
#define APIC_LVT_LINT0	0x350
#define APIC_LVT_LINT1	0x360
#define APIC_LVT_ERROR	0x370
#define APIC_TIMER_INIT 0x380
#define APIC_TIMER_CUR	0x390
#define APIC_TIMER_DIV	0x3e0
#define LVT_MASKED	0x10000u
#define LVT_PERIODIC	0x20000u
#define LVT_DEADLINE	0x40000u
#define LVT_NMI		0x00400u
#define LVT_EXTINT	0x00700u
#define ICR_NMI		0x00400u
#define ICR_INIT	0x00500u
#define ICR_SIPI	0x00600u
#define ICR_ASSERT	0x04000u
#define ICR_LEVEL	0x08000u
#define ICR_LOGICAL	0x00800u
#define ICR_SELF	0x40000u
#define ICR_ALL		0x80000u
#define ICR_OTHERS	0xc0000u

static inline uint32_t
apic_read(unsigned int reg)
{
	return *(volatile uint32_t *)(APIC_BASE + reg);
}
static inline void
apic_write(unsigned int reg, uint32_t val)
{
	*(volatile uint32_t *)(APIC_BASE + reg) = val;
}
static inline void
apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}
void apic_ipi(unsigned int dest, uint32_t icr);
static inline bool
apic_bit(unsigned int reg, unsigned int vector)
{
	return (apic_read(reg + vector / 32 * 16) >> vector % 32) & 1;
}

#define IOAPIC_BASE 0xfec00000ull
uint32_t ioapic_read(unsigned int reg);
void ioapic_write(unsigned int reg, uint32_t val);
/* Redirection entry: low word; to processor 0. */
void ioapic_route(unsigned int pin, uint32_t low);
#define IOAPIC_MASKED 0x10000u
#define IOAPIC_LEVEL  0x08000u
#define IOAPIC_LOW    0x02000u /* active low */
#define IOAPIC_RIRR   0x04000u
void pic_init(uint8_t base, uint16_t unmasked);
void pic_mask_all(void);

/* --- instructions
 * ------------------------------------------------------------------- */

#define PORT_IO(bits, sfx, type)                                               \
	static inline type in##bits(uint16_t port)                             \
	{                                                                      \
		type v;                                                        \
		__asm__ volatile("in" sfx " %w1, %0" : "=a"(v) : "Nd"(port));  \
		return v;                                                      \
	}                                                                      \
	static inline void out##bits(uint16_t port, type v)                    \
	{                                                                      \
		__asm__ volatile("out" sfx " %0, %w1" ::"a"(v), "Nd"(port)     \
				 : "memory");                                  \
	}
PORT_IO(8, "b", uint8_t)
PORT_IO(16, "w", uint16_t)
PORT_IO(32, "l", uint32_t)

static inline uint64_t
rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (uint64_t)hi << 32;
}
static inline void
cpu_pause(void)
{
	__asm__ volatile("pause" ::: "memory");
}
static inline void
cli(void)
{
	__asm__ volatile("cli" ::: "memory");
}
static inline void
sti(void)
{
	__asm__ volatile("sti; nop" ::: "memory");
}
static inline void
sti_hlt(void)
{
	__asm__ volatile("sti; hlt" ::: "memory");
}
static inline uint64_t
rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return lo | (uint64_t)hi << 32;
}
static inline void
wrmsr(uint32_t msr, uint64_t v)
{
	__asm__ volatile(
	    "wrmsr" ::"c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
	    : "memory");
}
struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};
static inline struct cpuid
cpuid(uint32_t leaf, uint32_t sub)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(sub));
	return r;
}
#define REG_RW(name)                                                           \
	static inline uint64_t read_##name(void)                               \
	{                                                                      \
		uint64_t v;                                                    \
		__asm__ volatile("movq %%" #name ", %0" : "=r"(v)::"memory");  \
		return v;                                                      \
	}                                                                      \
	static inline void write_##name(uint64_t v)                            \
	{                                                                      \
		__asm__ volatile("movq %0, %%" #name ::"r"(v) : "memory");     \
	}
REG_RW(cr0)
REG_RW(cr2)
REG_RW(cr3)
REG_RW(cr4)
REG_RW(cr8)
REG_RW(dr0)
REG_RW(dr1)
REG_RW(dr2)
REG_RW(dr3)
REG_RW(dr6)
REG_RW(dr7)
static inline void
invlpg(uint64_t va)
{
	__asm__ volatile("invlpg (%0)" ::"r"(va) : "memory");
}
static inline bool
is_amd(void)
{
	struct cpuid r = cpuid(0, 0);

	return r.ebx == 0x68747541 || r.ebx == 0x6f677948; /* Auth, Hygo */
}

#endif /* TESTS_GUEST_GUEST_H */
