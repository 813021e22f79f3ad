/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snap.h - one function saves and loads: a device describes its guest-visible
 * registers field by field, and the direction lives in the stream.
 */
#ifndef VMM_SNAP_H
#define VMM_SNAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct snap; /* a growing buffer with a direction and a sticky error */

struct snap *snap_create_save(void);
/* Reads from a copy of [data, data+len). */
struct snap *snap_create_load(const void *data, size_t len);
void snap_destroy(struct snap *);
const void *snap_data(const struct snap *, size_t *ret_len);

bool snap_loading(const struct snap *);
/*
 * Transfer `len` bytes of `p` under a name that must match on load.
 * 0, or -EINVAL for a stream that does not fit (nothing is changed).
 */
int snap_bytes(struct snap *, const char *name, void *p, size_t len);
#define snap_var(s, v) snap_bytes((s), #v, &(v), sizeof(v))
/* 0 or the first error any call on the stream met. */
int snap_error(const struct snap *);
/* Marks a loaded value as impossible. */
void snap_fail(struct snap *);

#endif /* VMM_SNAP_H */
