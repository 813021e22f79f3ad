/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_priv.h - what the files of this room share.
 */
#ifndef CONF_PRIV_H
#define CONF_PRIV_H

#include <conf/conf.h>

#define CONF_VALUE_MAX 65536 /* bytes of a value, also when expanded */

/* The value fits the key's type. */
bool conf_value_ok(const struct conf_key *, const char *value);
/* Components of letters, digits, '_' and '-', with dots between. */
bool conf_key_wellformed(const char *key);
/* '*' stands for one whole component. */
bool conf_pattern_matches(const char *pattern, const char *key);
/* Order of keys: numbers inside them by value, pci.0.3 before pci.0.10. */
int conf_key_compare(const char *a, const char *b);

#endif /* CONF_PRIV_H */
