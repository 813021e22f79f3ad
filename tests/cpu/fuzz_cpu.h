/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_cpu.h - what the files of the differential fuzzer share (fuzz_cpu.c says
 * what it does).  One thread; tests are made, run twice and compared one by
 * one.
 */
#ifndef FUZZ_CPU_H
#define FUZZ_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include <Zydis/Zydis.h>

#include "fpu_priv.h"

/* --- the arena: the same addresses in process and guest -------------- */

#define PAGE	  0x1000ull
#define CODE_VA	  0x10000000ull /* 2 pages */
#define DATA_VA	  0x20000000ull /* rw, rw, ro, hole, rw */
#define NDATA	  5u
#define DATA_SIZE (NDATA * PAGE)

enum page_kind { RW, RO, HOLE };
extern const enum page_kind fuzz_data_kind[NDATA];

/* --- a test ---------------------------------------------------------- */

enum fuzz_mode {
	FUZZ_64,
	FUZZ_32, /* compatibility mode, flat segments */
	FUZZ_16, /* compatibility mode, segments from an LDT, mostly 16-bit */
};

#define TEST_INSNS 12u
#define TEST_BYTES 256u

struct state {
	uint64_t gpr[16]; /* encoding order */
	uint64_t rip;
	uint32_t flags;
	uint16_t sel[6]; /* SEG_*; FS is never changed */
	struct xsave_area x;
};

struct outcome {
	struct state s;
	unsigned int vector; /* 1 (#DB): the one instruction completed */
	uint32_t err;
	uint64_t cr2;
};

/* Not compared: a sequence that did not end, an exception the host mistook. */
#define VECTOR_LOST 31u

struct test_insn {
	unsigned int off; /* into bytes */
	uint32_t undef;	  /* flags not defined when it begins */
	ZydisDecodedInstruction zi;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
};

struct test {
	uint8_t bytes[TEST_BYTES];
	unsigned int len;
	unsigned int n; /* instructions, without a sequence's closing INT3 */
	bool run;	/* a sequence: run to INT3 or a fault */
	uint32_t undef; /* flags not defined at the end */
	struct test_insn insn[TEST_INSNS];
	struct state s;
	struct { /* selectors and offsets put into memory before the test */
		uint64_t va, val;
		unsigned int size;
	} poke[6];
	unsigned int npokes;
};

struct fuzz {
	enum fuzz_mode mode;
	unsigned int seq_max; /* instructions of a sequence; 0: single steps */
	uint64_t rng;
	uint64_t seed;
	bool undefined;		 /* compare undefined flags too */
	uint8_t data[DATA_SIZE]; /* what the data pages hold before a test */
};
extern struct fuzz fuzz;

/* The flags that are compared. */
#define FLAGS_CMP (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF | FL_DF)

/* --- random numbers (fuzz_random.c) ---------------------------------- */

uint64_t rnd(void);
unsigned int below(unsigned int n);
/* Values that find carries, signs and edges. */
uint64_t rnd_value(void);
/* Eight bytes of a vector: integers and floating-point corners. */
uint64_t rnd_vector(void);
void rnd_state(struct test *t);
/* The data pages: integers, floating-point values. */
void rnd_data(void);

/* --- segments (fuzz_seg.c) ------------------------------------------- */

/* NULL, or why the host cannot run the mode's segments. */
const char *seg_native_init(void);
/* Hidden part of a selector, as a load would find it; null: unusable. */
struct soft_seg seg_of(uint16_t sel);
/* The test's CS has D set. */
bool seg_code32(const struct test *t);
void rnd_segments(struct test *t);
/* A selector to load: mostly a valid one. */
uint16_t rnd_selector(void);
/* The GDT as the host's user programs see it. */
#define GDT_ENTRIES 32u
const uint64_t *seg_gdt_image(void);
/* The LDT as bytes for the guest. */
unsigned int seg_ldt_image(const uint8_t **ret);

/* --- choosing instructions ------------------------------------------- */

/* fuzz_filter.c: decode one at bytes, false when it cannot be compared. */
bool filter_decode(const struct test *t, const uint8_t *bytes,
    unsigned int avail, struct test_insn *ret);
void filter_init(void);

/* fuzz_forms.c: encodings of every instruction the filter lets through. */
void forms_init(void);
/* Random bytes of a random mnemonic. */
void forms_random(const struct test *t, uint8_t bytes[16]);
unsigned int forms_mnemonics(void);

/* fuzz_make.c */
void make_test(struct test *t);
/* The next instruction of t, at offset off; false: try again. */
bool make_insn(struct test *t, unsigned int off, struct test_insn *ret);
/* Choose registers so that the operands fall where they are interesting. */
/* False: this test cannot be run. */
bool aim(struct test *t, const struct test_insn *in);
void aim_stack(struct test *t);
/* An instruction pointer whose bytes lie in the two code pages. */
void rnd_rip(struct test *t);
/* A place in the arena: mostly inside, sometimes at an edge, rarely outside. */
uint64_t rnd_place(void);
/* Set a register as wide as `as` is. */
void set_gpr(struct test *t, int r, ZydisRegister as, uint64_t v);
struct soft_seg
operand_segment(const struct test *t, const ZydisDecodedOperand *op);
/* Number of a general register of any size above a byte, or -1. */
int gpr_index(ZydisRegister r);
/* Decode given bytes into t; false when something cannot be tested. */
bool parse_test(struct test *t);

/* fuzz_sel.c: what loads selectors or flags, or asks about selectors. */
bool selectors_used(const struct test_insn *in);
/* POPF or IRET. */
bool loads_flags(const struct test_insn *in);
void selectors_aim_registers(struct test *t, const struct test_insn *in);
/* False: this test cannot be run. */
bool selectors_aim_memory(struct test *t, const struct test_insn *in);
void selectors_aim_immediate(struct test *t, struct test_insn *in);

/* fuzz_seq.c */
void make_sequence(struct test *t); /* the code */
void aim_sequence(struct test *t);  /* the state */

/* --- running --------------------------------------------------------- */

void native_init(void);
void native_run(const struct test *t, struct outcome *o);
void native_prepare(const struct test *t);

void engine_init(void);
void engine_run(const struct test *t, struct outcome *o);
void engine_prepare(const struct test *t);
const uint8_t *engine_data(void);

/* --- comparing (fuzz_compare.c) -------------------------------------- */

/* Number of differences. */
int compare(const struct test *t, struct outcome *native,
    struct outcome *engine, bool print);
void print_test(const struct test *t, uint64_t index);

#endif /* FUZZ_CPU_H */
