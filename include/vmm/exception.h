/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exception.h - what becomes of an exception that was met while an event was
 * delivered: SDM 3A section 6.15, interrupt 8, tables 6-4 and 6-5.
 */
#ifndef VMM_EXCEPTION_H
#define VMM_EXCEPTION_H

#include <util/util.h>

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

/* By its vector: #DE, #TS, #NP, #SS and #GP contribute. */
static inline enum vm_exc_class
vm_exc_class_of(unsigned int vector)
{
	const uint32_t contributory =
	    BIT(0) | BIT(10) | BIT(11) | BIT(12) | BIT(13);

	if (vector == 14)
		return VM_EXC_PAGE_FAULT;
	if (vector == 8)
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
