/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine.h - the PC: which chips and devices, at which addresses, in which
 * order, made from one configuration tree.
 */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

#include <util/util.h>
#include <vmmapi.h>

struct conf;
struct machine;

/*
 * Everything that can be found wrong in a tree without asking the host: -EINVAL
 * with "ORIGIN: what would be right" in err.  machine_create() begins with it.
 */
int machine_check(const struct conf *, char *err, size_t err_len) WARN_UNUSED;
/* Devices FreeBSD's bhyve has and that are not built in yet. */
bool machine_device_is_later(const char *name);
/* Every device's name, built in or (`later`) not, for lists and near misses. */
void machine_foreach_device(
    void (*fn)(const char *name, const char *summary, bool later, void *arg),
    void *arg);
/* The one of them nearest to a name that is none, or NULL. */
const char *machine_nearest_device(const char *name);

/*
 * Build it.  0 or -errno; `err` then holds one line for the user and
 * *ret_user_error says whose fault it was (exit status 64 or 4).
 */
int machine_create(const struct conf *, struct machine **ret_m,
    bool *ret_user_error, char *err, size_t err_len) WARN_UNUSED;
/* Run to the end; the program's exit status. */
int machine_run(struct machine *);
void machine_destroy(struct machine *);

#endif /* MACHINE_MACHINE_H */
