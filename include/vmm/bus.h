/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bus.h - the three registries a guest access can land in: I/O ports, MMIO
 * and model-specific registers (bhyve's inout, mem and xmsr).
 *
 * Engines call bus_pio(), bus_mmio() and bus_rdmsr()/bus_wrmsr() from a vCPU
 * thread, in the middle of an instruction, with guest state committed and no
 * engine lock held.  Chips and devices register ranges.  No registry lock is
 * held while a handler runs; the range's own mutex, when it names one, is.
 * Registering and unregistering is allowed at any time, also from a handler.
 */
#ifndef VMM_BUS_H
#define VMM_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <util/lock.h>
#include <util/util.h>

struct vmctx;
struct vcpu;

/* --- ports -------------------------------------------------------------- */

/*
 * One access of `bytes` (1, 2 or 4) at `port`.  For a read the handler sets
 * *val; the core masks it to the width.  0, or -1: the device has no such
 * access (wrong width or direction): reads give all ones, writes are dropped,
 * guest_error() is called.
 */
typedef int (*pio_fn)(struct vcpu *, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg);

struct pio_range {
	const char *name; /* static or outlives the range */
	uint16_t port;
	uint32_t len; /* ports: port + len <= 65536 */
	pio_fn fn;
	void *arg;
	struct lock *lock; /* taken around fn; may be NULL */
	/*
	 * Writes may come late, as long as they come in order and before any
	 * other access of a vCPU to whatever device.  Other threads may find
	 * them missing.
	 */
	bool posted;
};

/* 0, -EEXIST (a port is taken), -EINVAL. */
int bus_pio_register(struct vmctx *, const struct pio_range *) WARN_UNUSED;
int bus_pio_unregister(struct vmctx *, uint16_t port, uint32_t len);

enum bus_result {
	BUS_OK,
	BUS_UNCLAIMED, /* strict I/O only: nobody owns the port */
};
/*
 * Called by engines.  An access that starts inside a range but runs past its
 * end is still that range's.  Unclaimed ports read all ones.
 */
enum bus_result bus_pio(struct vcpu *, bool in, uint16_t port,
    unsigned int bytes, uint32_t *val) WARN_UNUSED;

/* --- memory-mapped I/O -------------------------------------------------- */

/* As pio_fn; bytes is 1, 2, 4 or 8 and gpa + bytes stays inside the range. */
typedef int (*mmio_fn)(struct vcpu *, bool write, uint64_t gpa,
    unsigned int bytes, uint64_t *val, void *arg);

struct mmio_range {
	const char *name;
	uint64_t base;
	uint64_t len;
	mmio_fn fn;
	void *arg;
	struct lock *lock;
	bool posted; /* as of ports */
};

/* 0, -EEXIST (overlaps another range), -EINVAL (wraps, empty). */
int bus_mmio_register(struct vmctx *, const struct mmio_range *) WARN_UNUSED;
int bus_mmio_unregister(struct vmctx *, uint64_t base, uint64_t len);
/*
 * Called by engines for a gpa that is not RAM.  Never fails: what nobody
 * claims reads all ones and drops writes (the fallback range,
 * docs/bhyve.md 1.5). An access that crosses the end of its range is split into
 * bytes.
 */
void bus_mmio(
    struct vcpu *, bool write, uint64_t gpa, unsigned int bytes, uint64_t *val);

/* --- doorbells ------------------------------------------------------------ */

/*
 * A write that says nothing but "look": the engine adds one to an eventfd and
 * the guest goes on, where the engine can.  Every other access, and every write
 * while the bell is off, goes to the range that has the address.
 */
struct vm_ioevent {
	uint64_t addr;
	uint32_t data; /* the value written, when `match` */
	uint8_t len;   /* bytes of the write: 1, 2, 4; 0: any (MMIO only) */
	bool pio, match;
	int fd;
};
/*
 * 0; -ENOTSUP: the engine has no such thing, all is as before; or -errno.
 * Off: as it was switched on; what was written before is in the eventfd then.
 */
int bus_ioevent(struct vmctx *, const struct vm_ioevent *, bool on) WARN_UNUSED;

/* --- model-specific registers ------------------------------------------- */

/* 0, or -1: the access must raise #GP(0). */
typedef int (*msr_read_fn)(
    struct vcpu *, uint32_t msr, uint64_t *val, void *arg);
typedef int (*msr_write_fn)(
    struct vcpu *, uint32_t msr, uint64_t val, void *arg);

struct msr_range {
	const char *name;
	uint32_t first, last; /* inclusive */
	msr_read_fn read;     /* NULL: write-only, reads #GP */
	msr_write_fn write;   /* NULL: read-only, writes #GP */
	void *arg;
	struct lock *lock;
};

int bus_msr_register(struct vmctx *, const struct msr_range *) WARN_UNUSED;

enum msr_result {
	MSR_OK,
	MSR_GP,	     /* raise #GP(0) */
	MSR_UNKNOWN, /* nobody claims it: vm_run returns RDMSR / WRMSR */
};
enum msr_result
bus_rdmsr(struct vcpu *, uint32_t msr, uint64_t *val) WARN_UNUSED;
enum msr_result
bus_wrmsr(struct vcpu *, uint32_t msr, uint64_t val) WARN_UNUSED;

#endif /* VMM_BUS_H */
