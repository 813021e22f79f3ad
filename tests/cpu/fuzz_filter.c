/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_filter.c - which instructions are compared, and why the others are not.
 *
 * Only what a user program may do without asking the kernel, what the guest's
 * CPU offers, and what has one defined result on the host.  Each exclusion says
 * its reason.
 */
#include "fuzz_cpu.h"

#include <string.h>

static ZydisDecoder decoder[3]; /* 64-bit, compatibility 32, 16 */

void
filter_init(void)
{
	ZydisDecoderInit(
	    &decoder[0], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisDecoderInit(&decoder[1], ZYDIS_MACHINE_MODE_LONG_COMPAT_32,
	    ZYDIS_STACK_WIDTH_32);
	ZydisDecoderInit(&decoder[2], ZYDIS_MACHINE_MODE_LONG_COMPAT_16,
	    ZYDIS_STACK_WIDTH_16);
	ZydisDecoderEnableMode(
	    &decoder[0], ZYDIS_DECODER_MODE_AMD_BRANCHES, ZYAN_TRUE);
}

/* Instruction sets the guest's CPUID offers (the rest is #UD there on purpose).
 */
static bool
isa_allowed(const ZydisDecodedInstruction *zi)
{
	static const char *const no[] = { "SVM", "VTX", "SGX", "MONITOR",
		"MONITORX", "CLZERO", "RDPRU", "AMD3DNOW", "3DNOW", "XOP",
		"TBM", "FMA4", "LWP", "MPX", "CET", "PKU", "ENQCMD", "TSX",
		"SMX", "UINTR", "AMX", "AVX512", "KEYLOCKER", "SERIALIZE",
		"PTWRITE", "MCOMMIT", "SNP", "INVLPGB", "PADLOCK", "RTM",
		"MOVDIR", "GFNI", "AVX_", "HRESET", "WAITPKG", "RDRAND",
		"RDSEED", "SSE4A", "WBNOINVD", "CLDEMOTE", "RDPID", "XSAVES",
		"RDTSCP", "KNC", "TDX", "RING0", "SMAP", "PCOMMIT", "CLWB",
		"CLFLUSH", "PREFETCH_NOP", "PBNDKB", "VIA" };
	const char *isa = ZydisISASetGetString(zi->meta.isa_set);
	size_t k;

	for (k = 0; k < ARRAY_LEN(no); k++)
		if (isa != NULL && strstr(isa, no[k]) != NULL)
			return false;
	return true;
}

/* Never compared, whatever the mode. */
static bool
mnemonic_excluded(ZydisMnemonic m)
{
	switch (m) {
	/* The guest's answer differs by design. */
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDPMC:
	case ZYDIS_MNEMONIC_XGETBV:
	/* Emulated by Linux because of UMIP, which the guest has not set. */
	case ZYDIS_MNEMONIC_SGDT:
	case ZYDIS_MNEMONIC_SIDT:
	case ZYDIS_MNEMONIC_SLDT:
	case ZYDIS_MNEMONIC_STR:
	case ZYDIS_MNEMONIC_SMSW:
	/* The image has MXCSR_MASK, and the host's larger XCR0 shows. */
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_XSAVE:
	case ZYDIS_MNEMONIC_XSAVE64:
	case ZYDIS_MNEMONIC_XSAVEOPT:
	case ZYDIS_MNEMONIC_XSAVEOPT64:
	case ZYDIS_MNEMONIC_XSAVEC:
	case ZYDIS_MNEMONIC_XSAVEC64:
	case ZYDIS_MNEMONIC_XRSTOR:
	case ZYDIS_MNEMONIC_XRSTOR64:
	/* Leave the sandbox: kernel entries. */
	case ZYDIS_MNEMONIC_INT:
	case ZYDIS_MNEMONIC_INT1:
	case ZYDIS_MNEMONIC_INTO:
		return true;
	default:
		return false;
	}
}

/* Loads a segment register or asks about a selector. */
static bool
is_selector_user(const ZydisDecodedInstruction *zi)
{
	switch (zi->mnemonic) {
	case ZYDIS_MNEMONIC_LAR:
	case ZYDIS_MNEMONIC_LSL:
	case ZYDIS_MNEMONIC_VERR:
	case ZYDIS_MNEMONIC_VERW:
	case ZYDIS_MNEMONIC_LDS:
	case ZYDIS_MNEMONIC_LES:
	case ZYDIS_MNEMONIC_LFS:
	case ZYDIS_MNEMONIC_LGS:
	case ZYDIS_MNEMONIC_LSS:
		return true;
	default:
		return false;
	}
}

static bool
has_rep(const ZydisDecodedInstruction *zi)
{
	unsigned int k;

	for (k = 0; k < zi->raw.prefix_count; k++)
		if (zi->raw.prefixes[k].value == 0xf2 ||
		    zi->raw.prefixes[k].value == 0xf3)
			return true;
	return false;
}

static bool
mnemonic_allowed(const struct test *t, const ZydisDecodedInstruction *zi)
{
	if (mnemonic_excluded(zi->mnemonic))
		return false;
	switch (zi->mnemonic) {
	/* Natively the trap flag is in the image of a single step. */
	case ZYDIS_MNEMONIC_PUSHF:
	case ZYDIS_MNEMONIC_PUSHFD:
	case ZYDIS_MNEMONIC_PUSHFQ:
		return t->run;
	/* AMD lets a REP prefix choose between the two; undocumented. */
	case ZYDIS_MNEMONIC_LOOPE:
	case ZYDIS_MNEMONIC_LOOPNE:
		return !has_rep(zi);
	/* With a flags image that has TF (fuzz_sel.c). */
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ:
		return fuzz.mode != FUZZ_32 && !t->run;
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFD:
	case ZYDIS_MNEMONIC_POPFQ:
		return fuzz.mode == FUZZ_64 && !t->run;
	case ZYDIS_MNEMONIC_INT3:
	case ZYDIS_MNEMONIC_BOUND:
	case ZYDIS_MNEMONIC_ARPL:
		return true;
	default:
		break;
	}
	if (is_selector_user(zi))
		return fuzz.mode != FUZZ_32 &&
		       zi->mnemonic != ZYDIS_MNEMONIC_LFS &&
		       (zi->mnemonic != ZYDIS_MNEMONIC_LSS || t->run);
	switch (zi->meta.category) {
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_RDWRFSGS:
		return false;
	default:
		/* Into another segment: only while each instruction traps. */
		return zi->meta.branch_type != ZYDIS_BRANCH_TYPE_FAR ||
		       (fuzz.mode != FUZZ_32 && !t->run);
	}
}

/* A visible register operand that is no data: CR, DR, segment. */
static bool
register_allowed(const struct test *t, const ZydisDecodedInstruction *zi,
    const ZydisDecodedOperand *op, unsigned int k)
{
	if (k >= zi->operand_count_visible)
		return true;
	switch (ZydisRegisterGetClass(op->reg.value)) {
	case ZYDIS_REGCLASS_CONTROL:
	case ZYDIS_REGCLASS_DEBUG:
		return false;
	case ZYDIS_REGCLASS_SEGMENT:
		/*
		 * FS is the process's.  A load of SS holds off the single-step
		 * trap, so the host would run the next instruction too.
		 */
		return fuzz.mode != FUZZ_32 &&
		       op->reg.value != ZYDIS_REGISTER_FS &&
		       (op->reg.value != ZYDIS_REGISTER_SS || t->run ||
			   !(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE));
	default:
		return true;
	}
}

static bool
operands_allowed(const struct test *t, const ZydisDecodedInstruction *zi,
    const ZydisDecodedOperand *ops)
{
	unsigned int k;

	for (k = 0; k < zi->operand_count; k++) {
		const ZydisDecodedOperand *op = &ops[k];
		bool own = op->mem.segment == ZYDIS_REGISTER_FS ||
			   op->mem.segment == ZYDIS_REGISTER_GS;

		/* In 64-bit mode FS and GS have bases of the process. */
		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY && own &&
		    fuzz.mode == FUZZ_64)
			return false;
		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    !register_allowed(t, zi, op, k))
			return false;
	}
	return true;
}

bool
filter_decode(const struct test *t, const uint8_t *bytes, unsigned int avail,
    struct test_insn *ret)
{
	const ZydisDecoder *d = &decoder[fuzz.mode == FUZZ_64 ? 0
					 : seg_code32(t)      ? 1
							      : 2];

	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(
		   d, bytes, MIN(avail, 15u), &ret->zi, ret->ops)) &&
	       isa_allowed(&ret->zi) && mnemonic_allowed(t, &ret->zi) &&
	       operands_allowed(t, &ret->zi, ret->ops);
}
