/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exception.h - exceptions' vectors, and what becomes of one that was met while
 * an event was delivered: SDM 3A section 6.15, interrupt 8, tables 6-4 and 6-5.
 */
#ifndef VMM_EXCEPTION_H
#define VMM_EXCEPTION_H

#include <util/util.h>

/* Exception vectors (SDM 3A table 6-1). */
enum {
	EXC_DE = 0,
	EXC_DB = 1,
	EXC_NMI = 2,
	EXC_BP = 3,
	EXC_OF = 4,
	EXC_BR = 5,
	EXC_UD = 6,
	EXC_NM = 7,
	EXC_DF = 8,
	EXC_TS = 10,
	EXC_NP = 11,
	EXC_SS = 12,
	EXC_GP = 13,
	EXC_PF = 14,
	EXC_MF = 16,
	EXC_AC = 17,
	EXC_MC = 18,
	EXC_XM = 19,
};

enum vm_exc_class {
	VM_EXC_BENIGN, /* interrupts, too */
	VM_EXC_CONTRIBUTORY,
	VM_EXC_PAGE_FAULT,
	VM_EXC_DOUBLE_FAULT,
};

enum vm_exc_both {
	VM_EXC_SECOND, /* it alone is delivered */
	VM_EXC_DOUBLE, /* #DF instead */
	VM_EXC_SHUTDOWN,
};

/* By its vector. */
static inline enum vm_exc_class
vm_exc_class_of(unsigned int vector)
{
	const uint32_t contributory =
	    BIT(EXC_DE) | BIT(EXC_TS) | BIT(EXC_NP) | BIT(EXC_SS) | BIT(EXC_GP);

	if (vector == EXC_PF)
		return VM_EXC_PAGE_FAULT;
	if (vector == EXC_DF)
		return VM_EXC_DOUBLE_FAULT;
	return vector < 32 && (contributory & BIT(vector)) != 0
		   ? VM_EXC_CONTRIBUTORY
		   : VM_EXC_BENIGN;
}

static inline enum vm_exc_both
vm_exc_combine(enum vm_exc_class first, enum vm_exc_class second)
{
	if (second != VM_EXC_CONTRIBUTORY && second != VM_EXC_PAGE_FAULT)
		return VM_EXC_SECOND;
	if (first == VM_EXC_DOUBLE_FAULT)
		return VM_EXC_SHUTDOWN;
	return first == VM_EXC_PAGE_FAULT || (first == VM_EXC_CONTRIBUTORY &&
						 second == VM_EXC_CONTRIBUTORY)
		   ? VM_EXC_DOUBLE
		   : VM_EXC_SECOND;
}

#endif /* VMM_EXCEPTION_H */
