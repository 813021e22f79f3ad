/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * soft_fpu_harness.h - one soft_cpu on flat memory, random machine states, and
 * comparison with what the host did (soft_fpu_native.h).
 */
#ifndef TESTS_CPU_SOFT_FPU_HARNESS_H
#define TESTS_CPU_SOFT_FPU_HARNESS_H

#include <Zydis/Zydis.h>

#include <cpu.h>
#include <decode.h>
#include <fpu.h>
#include <fpu_priv.h>

#include "fake_soft_fpu.h"
#include "soft_fpu_native.h"

extern struct soft_cpu *cpu;
extern uint8_t *emu_data; /* nat_data's counterpart */
extern ZydisDecoder dec64, dec32, dec16;

#define MODE_TEST64 (MODE_64 | MODE_PE | MODE_LM | MODE_OSFXSR | MODE_AVX)
#define MODE_TEST32 (MODE_CS32 | MODE_SS32 | MODE_PE | MODE_OSFXSR | MODE_AVX)
#define MODE_TEST16 (MODE_PE | MODE_OSFXSR | MODE_AVX)

/* In main(), before cmocka: 0, or nonzero when this host cannot run the tests.
 */
int machine_init(void);
/*
 * First thing in a test: cmocka puts its own signal handlers around each; the
 * engine's, which chain to the oracle's, go back for the test's time.
 */
void take_signals(void **state);
bool host_is_amd(void);

/* Deterministic; SOFT_FPU_SEED=n starts elsewhere. */
uint64_t rnd(void);
uint64_t rnd64(void);
bool one_in(unsigned int n);
void rnd_state(struct nat_state *s);
void rnd_memory(void);

static inline struct xsave_area *
nat_image(struct nat_state *s)
{
	return (struct xsave_area *)(void *)s->xsave;
}

static inline struct xsave_area *
cpu_image(void)
{
	return (struct xsave_area *)(void *)cpu->xsave;
}

/* The engine's processor takes over s; parked. */
void cpu_load(const struct nat_state *s);
/* Runs i[0] as a block of one: -1, or the exception's vector.  Parked after. */
int cpu_run(struct insn i[2], uint64_t rip);
/* fpu_decode() and cpu_run() of raw bytes; -2 when not accepted. */
int cpu_exec(const ZydisDecoder *d, const uint8_t *b);

/* fpu_set_eager() where the build leaves a choice. */
void choose_eager(bool on);

bool decode(const ZydisDecoder *d, const uint8_t *b,
    ZydisDecodedInstruction *zi, ZydisDecodedOperand *ops);
const char *
text(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops);

struct diff {
	char what[64];
	uint64_t native, emulated;
};
bool differ(struct diff *d, const char *what, unsigned int n, uint64_t native,
    uint64_t emulated);
bool diff_vectors(
    struct diff *d, const struct xsave_area *n, const struct xsave_area *e);
bool diff_x87(
    struct diff *d, const struct xsave_area *n, const struct xsave_area *e);
/* General registers, flags, vectors, x87. */
bool diff_registers(struct diff *d, struct nat_state *n);
bool diff_memory(struct diff *d);

#endif /* TESTS_CPU_SOFT_FPU_HARNESS_H */
