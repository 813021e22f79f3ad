/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * prot.h - running a few instructions below long mode, in any context: 32-bit
 * ring 0, ring 3, virtual-8086 mode, with descriptor tables of one's own.
 *
 * prot_run() leaves long mode, loads what `prot` says, goes there by IRET and
 * comes back with the first interrupt or exception that arrives at the gates of
 * prot_idt[] (CODE() snippets end with INT PROT_END).  What was found there is
 * in prot_seen.
 */
#ifndef TESTS_GUEST_PROT_H
#define TESTS_GUEST_PROT_H

#define PROT_RING0 0
#define PROT_RING3 1
#define PROT_V86   2

#define PROT_END   0x80
#define PROT_NGDT  64

/* Selectors beyond those of layout.h. */
#define PSEL_UCODE     0x100 /* 32 bits, DPL 3 */
#define PSEL_UDATA     0x108
#define PSEL_LDT       0x110
#define PSEL_TSS_A     0x118 /* the task prot_run() starts in */
#define PSEL_TSS_B     0x120
#define PSEL_TSS16     0x128
#define PSEL_GATE      0x130
#define PSEL_SCRATCH   0x138
#define PSEL_SCRATCH2  0x140
#define PSEL_TSS_FAULT 0x180 /* and up: one a vector, 0 to 15 */

#ifndef __ASSEMBLER__
#include "guest.h"

/* Access bytes and flags as descriptor() takes them: G D 0 0 | P DPL S type. */
#define AR_CODE32    0xc09bu
#define AR_DATA32    0xc093u
#define AR_DPL(n)    ((uint32_t)(n) << 5)
#define AR_LDT	     0x0082u
#define AR_TSS	     0x0089u
#define AR_TSS16     0x0081u
#define AR_BUSY	     0x0002u
#define AR_PRESENT   0x0080u
#define AR_CALL16    0x0084u
#define AR_CALL32    0x008cu
#define AR_TASK_GATE 0x0085u
#define AR_INT32     0x008eu
#define TI	     4u

#define EFL_ONE	     0x00002u
#define EFL_CF	     0x00001u
#define EFL_TF	     0x00100u
#define EFL_IF	     0x00200u
#define EFL_IOPL(n)  ((uint32_t)(n) << 12)
#define EFL_NT	     0x04000u
#define EFL_RF	     0x10000u
#define EFL_VM	     0x20000u

enum { R_AX, R_CX, R_DX, R_BX, R_SP, R_BP, R_SI, R_DI };

/* prot_code.S knows both layouts. */
struct prot_start {
	uint32_t kind, eip, cs, eflags, esp, ss, es, ds, fs, gs;
	uint32_t reg[8];       /* R_SP unused */
	uint32_t tr, ldt, cr3; /* 0: no LDT, no paging (else with PSE) */
};
struct prot_seen {
	uint32_t gs, fs, es, ds;
	uint32_t di, si, bp, sp, bx, dx, cx, ax;
	uint32_t vector, err, eip, cs, eflags;
	uint32_t esp, ss;		 /* from ring 3 and v86 */
	uint32_t v_es, v_ds, v_fs, v_gs; /* from v86 */
	uint32_t tr, ldt, cr0, cr2, cr3, dr6, dr7;
	uint32_t handler_sp, handler_ss;
};
extern struct prot_start prot;
extern struct prot_seen prot_seen;
extern uint64_t prot_gdt[PROT_NGDT], prot_ldt[32], prot_idt[256];

/* SDM 3A figures 8-2 and 8-10. */
struct tss32 {
	uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2;
	uint32_t cr3, eip, eflags;
	uint32_t reg[8], seg[6]; /* ES CS SS DS FS GS */
	uint32_t ldt;
	uint16_t trap, iomap;
	uint8_t map[8192 + 1];
} __attribute__((packed, aligned(16)));
_Static_assert(offsetof(struct tss32, map) == 104, "SDM 3A 8.2.1");
struct tss16 {
	uint16_t link, sp0, ss0, sp1, ss1, sp2, ss2;
	uint16_t ip, flags;
	uint16_t reg[8], seg[4]; /* ES CS SS DS */
	uint16_t ldt;
};
_Static_assert(sizeof(struct tss16) == 44, "SDM 3A 8.6");
enum { S_ES, S_CS, S_SS, S_DS, S_FS, S_GS };
extern struct tss32 tss_a, tss_b;
extern uint8_t stack_a[4096], stack_b[4096], stack_start[4096];
#define TOP(stack) (addr32(stack) + (uint32_t)sizeof(stack))

/* Instructions of that many bits, between name and name_end. */
#define CODE(bits, name, text)                                                 \
	extern uint8_t name[], name##_end[];                                   \
	__asm__(".text\n.globl " #name "\n.code" #bits "\n" #name ":\n" text   \
		"\n" #name "_end:\n.code64\n")

static inline uint32_t
addr32(const volatile void *p)
{
	return (uint32_t)(uintptr_t)p;
}
/* An exception's task: pops the error code into EAX; EDI is the vector. */
extern uint8_t fault_with_error[], fault_with_error_end[];
uint64_t descriptor(uint32_t base, uint32_t limit, uint32_t access);
/* Gates: call, interrupt, task (offset 0). */
uint64_t gate(uint32_t access, uint32_t sel, uint32_t offset);
void set_access(unsigned int sel, uint32_t access);
uint32_t access_of(unsigned int sel);

/* Everything as at first: tables, tasks, `prot` for ring 0 at `code`. */
void prot_reset(const void *code);
void prot_ring3(void); /* after prot_reset() */
void prot_run(void);

#define P32_P  1u
#define P32_W  2u
#define P32_U  4u
#define P32_PS 0x80u
/* Page tables for prot.cr3: 64 MiB at their own addresses, `flags` added. */
uint32_t *prot_page_tables(uint32_t flags);

/* vector, error code; where it happened is checked by the caller. */
#define EXPECT_SEEN(vec, error)                                                \
	do {                                                                   \
		if (prot_seen.vector != (vec) || prot_seen.err != (error))     \
			FAIL("vector %u, error %#x at %#x; not %u, %#x",       \
			    prot_seen.vector, prot_seen.err, prot_seen.eip,    \
			    (uint32_t)(vec), (uint32_t)(error));               \
	} while (0)
#define EXPECT_END() EXPECT_SEEN(PROT_END, 0)
#endif /* !__ASSEMBLER__ */

#endif /* TESTS_GUEST_PROT_H */
