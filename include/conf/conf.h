/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf.h - one tree of dotted keys holds all settings of a machine.
 *
 * Every command-line option is a short spelling of keys; -o key=value and
 * -k file reach all of them.  Keys and meanings: bhyve_config(5).  The
 * known keys are one const table (conf_schema), which also makes --help-keys
 * and the check of unknown names; a test holds the manual page against it.
 * Filled before the machine starts, by one thread; read-only from then on.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <util/util.h>

struct conf; /* a tree; the handle is also its root node */

struct conf *conf_create(void);
void conf_destroy(struct conf *);

/*
 * What the user typed, "-m 4G" or "guest.conf:12": remembered with every value
 * set from here on, so that a mistake found later can still name its cause.
 */
void conf_set_origin(struct conf *, const char *origin);
/* Where a set key comes from; the key itself when nobody said. */
const char *conf_origin(const struct conf *, const char *key);

/*
 * Set a value.  On failure (-EINVAL) `err` holds one line that names the key
 * and says what would be right: unknown key (with the nearest known one), a
 * value outside the key's type.  `%(name)` expands other keys on reading.
 */
int conf_set(struct conf *, const char *key, const char *value, char *err,
    size_t err_len) WARN_UNUSED;
/* Device settings: no schema check (the device's own table checks). */
void conf_set_raw(struct conf *, const char *key, const char *value);
/* "key=value", as of -o. */
int conf_set_pair(
    struct conf *, const char *pair, char *err, size_t err_len) WARN_UNUSED;
/* A file of such lines; '#' comments, blank lines; err names file and line. */
int conf_load(
    struct conf *, const char *path, char *err, size_t err_len) WARN_UNUSED;

/* The same from memory; `name` stands in messages and origins. */
int conf_load_text(struct conf *, const char *name, const char *text,
    size_t len, char *err, size_t err_len) WARN_UNUSED;
/*
 * When all is set: every %(name) can be expanded and the result still fits the
 * key's type.  conf_get() and friends rely on it.
 */
int conf_check(const struct conf *, char *err, size_t err_len) WARN_UNUSED;

/* NULL when unset and without default.  Valid until the next change. */
const char *conf_get(const struct conf *, const char *key);
bool conf_is_set(const struct conf *, const char *key);
bool conf_get_bool(const struct conf *, const char *key); /* unset: false */
/* The value is known to parse: conf_set() checked it. */
uint64_t conf_get_u64(const struct conf *, const char *key, uint64_t dflt);
/* Calls fn for each set key that begins with prefix, in order. */
void conf_foreach(const struct conf *, const char *prefix,
    void (*fn)(const char *key, const char *value, void *arg), void *arg);
/* All set keys, "key=value" a line (config.dump=1). */
void conf_dump(const struct conf *, FILE *);

#define CONF_MAX_CPUS 64 /* VM_MAXCPU, which this room does not know */

enum conf_type {
	CONF_STRING,
	CONF_BOOL, /* true on yes 1, false off no 0 */
	CONF_U64,
	CONF_SIZE, /* vm_parse_memsize's grammar */
	CONF_UUID,
};
struct conf_key {
	const char *name; /* '*' stands for one component: "vcpu.*.cpuset" */
	enum conf_type type;
	const char *dflt;    /* NULL: none */
	const char *summary; /* one line */
	uint64_t min, max;   /* CONF_U64 */
	bool later; /* known, but what it asks for is not built in yet */
};
extern const struct conf_key conf_schema[];
extern const size_t conf_schema_len;
/* The entry a key falls under, or NULL. */
const struct conf_key *conf_key_find(const char *key);
/* "true or false", "a number from 1 to 64": what a key's value may be. */
void conf_key_expects(const struct conf_key *, char *buf, size_t len);

/* vm_parse_memsize's grammar; 0 or -EINVAL / -ERANGE. */
int conf_parse_size(const char *text, uint64_t *ret_bytes) WARN_UNUSED;
/* "01234567-89ab-...": the 16 bytes in the order they are written. */
int conf_parse_uuid(const char *text, uint8_t ret_uuid[16]) WARN_UNUSED;
int conf_parse_bool(const char *text, bool *ret_val) WARN_UNUSED;

/* "pci.BUS.SLOT.FUNC.REST" taken apart; REST is inside key. */
struct conf_pci_key {
	unsigned int bus, slot, func;
	const char *rest;
};
bool conf_parse_pci_key(const char *key, struct conf_pci_key *ret) WARN_UNUSED;

#endif /* CONF_CONF_H */
