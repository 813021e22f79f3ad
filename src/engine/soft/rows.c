/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rows.c - which handler executes which system instruction (insn.h, "rows").
 *
 * Privilege is checked by the handlers: a block is shared by rings 0 to 2.
 */
#include "insn.h"

#include <Zydis/Mnemonic.h>

#include "segint.h"
#include "sys.h"

#define M(name) ZYDIS_MNEMONIC_##name
#define UD(name)                                                               \
	{                                                                      \
		M(name), ROW_END, 0, sys_ud                                    \
	}
#define HINT(name)                                                             \
	{                                                                      \
		M(name), 0, 0, sys_prefetch                                    \
	}

/* clang-format off */
const struct insn_row sys_rows[] = {
	/* far pointers, IRET */
	{ M(LDS), ROW_END | ROW_NO64, SEG_DS, sys_load_farptr },
	{ M(LES), ROW_END | ROW_NO64, SEG_ES, sys_load_farptr },
	{ M(LFS), ROW_END, SEG_FS, sys_load_farptr },
	{ M(LGS), ROW_END, SEG_GS, sys_load_farptr },
	{ M(LSS), ROW_END, SEG_SS, sys_load_farptr },
	{ M(IRET), ROW_END, 0, sys_iret },
	{ M(IRETD), ROW_END, 0, sys_iret },
	{ M(IRETQ), ROW_END, 0, sys_iret },

	/* flags */
	{ M(PUSHF), 0, 0, sys_pushf },
	{ M(PUSHFD), 0, 0, sys_pushf },
	{ M(PUSHFQ), 0, 0, sys_pushf },
	{ M(POPF), ROW_END, 0, sys_popf },
	{ M(POPFD), ROW_END, 0, sys_popf },
	{ M(POPFQ), ROW_END, 0, sys_popf },
	{ M(CLI), 0, 0, sys_cli },
	{ M(STI), ROW_END, 0, sys_sti },
	{ M(CLAC), 0, 0, sys_clac },
	{ M(STAC), 0, 0, sys_stac },

	/* system calls, bases */
	{ M(SYSCALL), ROW_END, 0, sys_syscall },
	{ M(SYSRET), ROW_END, 0, sys_sysret },
	{ M(SYSENTER), ROW_END, 0, sys_sysenter },
	{ M(SYSEXIT), ROW_END, 0, sys_sysexit },
	{ M(SWAPGS), ROW_ONLY64, 0, sys_swapgs },
	{ M(RDFSBASE), ROW_ONLY64, SEG_FS, sys_rd_base },
	{ M(RDGSBASE), ROW_ONLY64, SEG_GS, sys_rd_base },
	{ M(WRFSBASE), ROW_ONLY64, SEG_FS, sys_wr_base },
	{ M(WRGSBASE), ROW_ONLY64, SEG_GS, sys_wr_base },

	/* control */
	{ M(LMSW), ROW_END, 0, sys_lmsw },
	{ M(SMSW), 0, 0, sys_smsw },
	{ M(CLTS), ROW_END, 0, sys_clts },
	{ M(LGDT), 0, 0, sys_load_dtr },
	{ M(LIDT), 0, 1, sys_load_dtr },
	{ M(SGDT), 0, 0, sys_store_dtr },
	{ M(SIDT), 0, 1, sys_store_dtr },
	{ M(INVLPG), ROW_END, 0, sys_invlpg },
	{ M(INVPCID), ROW_END, 0, sys_invpcid },
	{ M(INVD), 0, 0, sys_cache },
	{ M(WBINVD), 0, 0, sys_cache }, /* WBNOINVD, too: F3 is ignored */
	{ M(HLT), ROW_END, 0, sys_hlt },

	/* descriptors */
	{ M(LLDT), ROW_PE, 0, sys_lldt },
	{ M(LTR), ROW_PE, 0, sys_ltr },
	{ M(SLDT), ROW_PE, SEG_LDTR, sys_store_sel },
	{ M(STR), ROW_PE, SEG_TR, sys_store_sel },
	{ M(LAR), ROW_PE, 0, sys_lar },
	{ M(LSL), ROW_PE, 0, sys_lsl },
	{ M(VERR), ROW_PE, 0, sys_verr },
	{ M(VERW), ROW_PE, 1, sys_verr },
	{ M(ARPL), ROW_PE | ROW_NO64, 0, sys_arpl },

	/* ports */
	{ M(IN), ROW_END, 0, sys_in },
	{ M(OUT), ROW_END, 0, sys_out },
	{ M(INSB), ROW_END, 0, sys_ins },
	{ M(INSW), ROW_END, 0, sys_ins },
	{ M(INSD), ROW_END, 0, sys_ins },
	{ M(OUTSB), ROW_END, 0, sys_outs },
	{ M(OUTSW), ROW_END, 0, sys_outs },
	{ M(OUTSD), ROW_END, 0, sys_outs },

	/* MSRs, time */
	{ M(RDMSR), ROW_END, 0, sys_rdmsr },
	{ M(WRMSR), ROW_END, 0, sys_wrmsr },
	{ M(RDTSC), 0, 0, sys_rdtsc },
	{ M(RDTSCP), 0, 1, sys_rdtsc },
	{ M(RDPMC), ROW_END, 0, sys_rdpmc },
	{ M(RDPID), 0, 0, sys_rdpid },
	{ M(CPUID), 0, 0, sys_cpuid },

	/* interrupts by instruction */
	{ M(INT), ROW_END, 0, sys_int },
	{ M(INT3), ROW_END, 0, sys_int3 },
	{ M(INTO), ROW_END | ROW_NO64, 0, sys_into },
	{ M(INT1), ROW_END, 0, sys_int1 },
	{ M(BOUND), ROW_NO64, 0, sys_bound },

	/* the rest */
	{ M(VMCALL), 0, 0, sys_vmcall },
	{ M(VMMCALL), 0, 0, sys_vmcall },
	{ M(PAUSE), ROW_END, 0, sys_pause },
	{ M(RDRAND), 0, 0, sys_rdrand },
	{ M(RDSEED), 0, 1, sys_rdrand },
	{ M(CLFLUSH), 0, 0, sys_clflush },
	{ M(CLFLUSHOPT), 0, 0, sys_clflush },
	{ M(CLWB), 0, 0, sys_clflush },

	/* hints, and what is a NOP on a CPU without CET */
	HINT(PREFETCH), HINT(PREFETCHW), HINT(PREFETCHWT1), HINT(PREFETCHNTA),
	HINT(PREFETCHT0), HINT(PREFETCHT1), HINT(PREFETCHT2), HINT(CLDEMOTE),
	HINT(RDSSPD), HINT(RDSSPQ), HINT(ENDBR32), HINT(ENDBR64),

	/* known to the decoder, not to this CPU */
	UD(UD0), UD(UD1), UD(UD2), UD(SERIALIZE), UD(RSM), UD(GETSEC),
	UD(MONITOR), UD(MWAIT), UD(MONITORX), UD(MWAITX), UD(UMONITOR),
	UD(UMWAIT), UD(TPAUSE), UD(VMXON), UD(VMXOFF), UD(VMLAUNCH),
	UD(VMRESUME), UD(VMREAD), UD(VMWRITE), UD(VMCLEAR), UD(VMPTRLD),
	UD(VMPTRST), UD(VMFUNC), UD(INVEPT), UD(INVVPID), UD(VMRUN), UD(VMLOAD),
	UD(VMSAVE), UD(STGI), UD(CLGI), UD(SKINIT), UD(INVLPGA), UD(INVLPGB),
	UD(TLBSYNC), UD(PSMASH), UD(RMPADJUST), UD(RMPUPDATE), UD(PVALIDATE),
	UD(RDPRU), UD(MCOMMIT), UD(CLZERO), UD(LLWPCB), UD(SLWPCB), UD(XBEGIN),
	UD(XEND), UD(XABORT), UD(XTEST), UD(PTWRITE), UD(PCONFIG), UD(ENCLS),
	UD(ENCLU), UD(ENCLV), UD(RDPKRU), UD(WRPKRU), UD(INCSSPD), UD(INCSSPQ),
	UD(SAVEPREVSSP), UD(RSTORSSP), UD(WRSSD), UD(WRSSQ), UD(WRUSSD),
	UD(WRUSSQ), UD(SETSSBSY), UD(CLRSSBSY), UD(ENQCMD), UD(ENQCMDS),
	UD(MOVDIR64B), UD(MOVDIRI), UD(XSAVES), UD(XSAVES64), UD(XRSTORS),
	UD(XRSTORS64), UD(HRESET), UD(SENDUIPI), UD(UIRET), UD(CLUI), UD(STUI),
	UD(TESTUI), UD(SEAMCALL), UD(SEAMRET), UD(SEAMOPS), UD(TDCALL),
	UD(XSUSLDTRK), UD(XRESLDTRK),

	{ 0, 0, 0, NULL },
};
/* clang-format on */
