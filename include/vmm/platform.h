/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * platform.h - the chips every machine has: those FreeBSD keeps in its vmm
 * kernel module.  Local APICs, I/O APIC, 8259 pair, 8254, HPET, real-time
 * clock and PM timer.
 *
 * src/machine makes them on its way to a whole PC; a machine of vm_openf() gets
 * them when the first call needs one (src/vmm/platform.c), with a thread for
 * their timers.  What libvmmapi asks of them they register below.
 */
#ifndef VMM_PLATFORM_H
#define VMM_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>

#include <util/util.h>

struct vmctx;

struct vm_platform_opts {
	bool x2apic; /* every vCPU; else as vm_set_x2apic_state() said */
	bool utc;    /* the real-time clock's zone; else the host's */
};
/*
 * src/chip/platform.c.  Every vCPU of the topology is open, memory set up.
 * 0, or -errno with the name of the part that failed; what was made before it
 * goes with the machine.
 */
int vm_platform_create(struct vmctx *, const struct vm_platform_opts *,
    const char **ret_part) WARN_UNUSED;

/* --- what libvmmapi asks ------------------------------------------------- */

/* vm_rtc_x() of vmmapi.h; any thread.  0 or -EINVAL. */
struct vm_rtc_ops {
	int (*read)(void *chip, int offset, uint8_t *ret_val);
	int (*write)(void *chip, int offset, uint8_t val);
	int64_t (*get_time)(void *chip);
	int (*set_time)(void *chip, int64_t secs);
};
void vm_set_rtc(struct vmctx *, const struct vm_rtc_ops *, void *chip);
void vm_set_hpet_capabilities(struct vmctx *, uint32_t);

#endif /* VMM_PLATFORM_H */
