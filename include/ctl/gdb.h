/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gdb.h - the debugger stub (-G): gdb's remote serial protocol over TCP.
 */
#ifndef CTL_GDB_H
#define CTL_GDB_H

#include <stdbool.h>
#include <stdint.h>

#include <util/util.h>

struct vmctx;
struct gdb;

/*
 * Listens on addr:port, one client at a time, served by the machine's event
 * thread.  With `wait` the vCPUs stand before the first instruction until a
 * client lets them go.  All vCPUs exist.  0, -EINVAL (bad address) or the
 * host's -errno, with one line in err.
 */
int gdb_create(struct vmctx *, const char *addr, uint16_t port, bool wait,
    struct gdb **ret, char *err, size_t err_len) WARN_UNUSED;
/*
 * After the machine ended: tells a client the exit status and closes.  NULL is
 * allowed.
 */
void gdb_destroy(struct gdb *, int status);

#endif /* CTL_GDB_H */
