/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf.c - the tree of settings: a sorted array of dotted keys.
 *
 * A machine has some dozens of them, so an array with binary search is all the
 * tree there is; a node is the run of keys that share a prefix.  Values are
 * kept as written and expanded when read (%(name), %%).  Expansion is bounded
 * in length, depth and number of steps, since a file may try to blow it up.
 */
#include <conf/conf.h>

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "conf_priv.h"

#define CONF_EXPAND_DEPTH 8
#define CONF_EXPAND_STEPS 1000

struct conf_entry {
	char *key;
	char *value;	/* as written */
	char *expanded; /* what conf_get() gave out; NULL: not yet */
	char *origin;	/* NULL: unknown */
};

struct conf {
	struct conf_entry *entries; /* sorted by key */
	size_t n, cap;
	char *origin;
};

struct conf *
conf_create(void)
{
	return xcalloc(1, sizeof(struct conf));
}

static void
conf_entry_fini(struct conf_entry *e)
{
	free(e->key);
	free(e->value);
	free(e->expanded);
	free(e->origin);
}

void
conf_destroy(struct conf *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->n; i++)
		conf_entry_fini(&c->entries[i]);
	free(c->entries);
	free(c->origin);
	free(c);
}

static int __attribute__((format(printf, 3, 4)))
conf_fail(char *err, size_t err_len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, err_len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* --- the array --------------------------------------------------------- */

static size_t
conf_digits(const char *s)
{
	return strspn(s, "0123456789");
}

int
conf_key_compare(const char *a, const char *b)
{
	const char *a0 = a, *b0 = b;

	while (*a != '\0' && *b != '\0') {
		size_t na = conf_digits(a), nb = conf_digits(b);

		if (na > 0 && nb > 0) {
			int d =
			    na != nb ? (na < nb ? -1 : 1) : strncmp(a, b, na);

			if (d != 0)
				return d;
			a += na;
			b += nb;
			continue;
		}
		if (*a != *b)
			break;
		a++;
		b++;
	}
	if (*a != *b)
		return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
	return strcmp(a0, b0);
}

/* Index of the key, or of the place to put it. */
static size_t
conf_index(const struct conf *c, const char *key, bool *ret_found)
{
	size_t lo = 0, hi = c->n;

	*ret_found = false;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int d = conf_key_compare(c->entries[mid].key, key);

		if (d == 0) {
			*ret_found = true;
			return mid;
		}
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct conf_entry *
conf_lookup(const struct conf *c, const char *key)
{
	bool found;
	size_t i = conf_index(c, key, &found);

	return found ? &c->entries[i] : NULL;
}

static struct conf_entry *
conf_insert(struct conf *c, size_t at, const char *key)
{
	if (c->n == c->cap) {
		size_t cap = c->cap == 0 ? 32 : 2 * c->cap;
		struct conf_entry *e = xcalloc(cap, sizeof(*e));

		if (c->n != 0)
			memcpy(e, c->entries, c->n * sizeof(*e));
		free(c->entries);
		c->entries = e;
		c->cap = cap;
	}
	memmove(&c->entries[at + 1], &c->entries[at],
	    (c->n - at) * sizeof(c->entries[0]));
	c->n++;
	c->entries[at] = (struct conf_entry){ .key = xstrdup(key) };
	return &c->entries[at];
}

void
conf_set_raw(struct conf *c, const char *key, const char *value)
{
	bool found;
	size_t i = conf_index(c, key, &found);
	struct conf_entry *e = found ? &c->entries[i] : conf_insert(c, i, key);
	char *copy = xstrdup(value); /* value may be the old one */

	free(e->value);
	free(e->expanded);
	free(e->origin);
	e->value = copy;
	e->expanded = NULL;
	e->origin = c->origin != NULL ? xstrdup(c->origin) : NULL;
}

void
conf_set_origin(struct conf *c, const char *origin)
{
	char *copy = origin != NULL ? xstrdup(origin) : NULL;

	free(c->origin);
	c->origin = copy;
}

const char *
conf_origin(const struct conf *c, const char *key)
{
	const struct conf_entry *e = conf_lookup(c, key);

	return e != NULL && e->origin != NULL ? e->origin : key;
}

/* --- setting ----------------------------------------------------------- */

/* A pattern with the key's own components in place of each '*'. */
static void
conf_fill_pattern(const char *pattern, const char *key, char *buf, size_t len)
{
	size_t out = 0;

	for (; *pattern != '\0' && out + 1 < len; pattern++) {
		if (*pattern != '*') {
			buf[out++] = *pattern;
			if (*pattern == '.') {
				key += strcspn(key, ".");
				key += *key == '.';
			}
			continue;
		}
		size_t n = strcspn(key, ".");

		if (n == 0 || n >= len - out)
			break;
		memcpy(buf + out, key, n);
		out += n;
	}
	buf[out] = '\0';
}

static int
conf_unknown_key(const char *key, char *err, size_t err_len)
{
	char(*filled)[128] = xcalloc(conf_schema_len, sizeof(*filled));
	const char **names = xcalloc(conf_schema_len, sizeof(*names));
	const char *near = NULL;

	for (size_t i = 0; i < conf_schema_len; i++) {
		conf_fill_pattern(
		    conf_schema[i].name, key, filled[i], sizeof(filled[i]));
		names[i] = filled[i];
	}
	if (strlen(key) < sizeof(filled[0]))
		near = nearest_name(key, names, conf_schema_len);
	if (near != NULL)
		conf_fail(err, err_len,
		    "no such key \"%.100s\"; the nearest is %s", key, near);
	else
		conf_fail(err, err_len,
		    "no such key \"%.100s\"; --help-keys lists them", key);
	free(names);
	free(filled);
	return -EINVAL;
}

/* No control characters: a dumped value must stay on its line. */
static bool
conf_text_ok(const char *s)
{
	for (; *s != '\0'; s++) {
		if (iscntrl((unsigned char)*s) && *s != '\t')
			return false;
	}
	return true;
}

static int
conf_type_error(const struct conf_key *k, const char *key, const char *value,
    char *err, size_t err_len)
{
	char expects[128];

	conf_key_expects(k, expects, sizeof(expects));
	return conf_fail(
	    err, err_len, "%s must be %s, not \"%.100s\"", key, expects, value);
}

static int
conf_set_trimmed(struct conf *c, const char *key, const char *value, char *err,
    size_t err_len)
{
	const struct conf_key *k;
	struct conf_pci_key pci;

	if (!conf_key_wellformed(key) || strlen(key) > 255)
		return conf_unknown_key(key, err, err_len);
	if (strlen(value) >= CONF_VALUE_MAX)
		return conf_fail(err, err_len, "%s: value longer than %d bytes",
		    key, CONF_VALUE_MAX - 1);
	if (!conf_text_ok(value))
		return conf_fail(err, err_len,
		    "%s: no line breaks or control characters in a value", key);
	k = conf_key_find(key);
	if (strncmp(key, "pci.", 4) == 0 && !conf_parse_pci_key(key, &pci))
		return conf_fail(err, err_len,
		    "no such key \"%.100s\"; right is pci.BUS.SLOT.FUNC.NAME "
		    "with BUS 0-255, SLOT 0-31, FUNC 0-7",
		    key);
	if (k == NULL && strncmp(key, "pci.", 4) != 0)
		return conf_unknown_key(key, err, err_len);
	if (k != NULL && k->later)
		return conf_fail(err, err_len, "%s is not built in yet", key);
	/* What %() stands for is known at the end: conf_check(). */
	if (k != NULL && strchr(value, '%') == NULL && !conf_value_ok(k, value))
		return conf_type_error(k, key, value, err, err_len);
	conf_set_raw(c, key, value);
	return 0;
}

/* Blanks around a value do not count: a file could not say them either. */
int
conf_set(struct conf *c, const char *key, const char *value, char *err,
    size_t err_len)
{
	size_t len;
	char *copy;
	int error;

	value += strspn(value, " \t");
	copy = xstrdup(value);
	len = strlen(copy);
	while (len > 0 && (copy[len - 1] == ' ' || copy[len - 1] == '\t'))
		copy[--len] = '\0';
	error = conf_set_trimmed(c, key, copy, err, err_len);
	free(copy);
	return error;
}

int
conf_set_pair(struct conf *c, const char *pair, char *err, size_t err_len)
{
	const char *eq = strchr(pair, '=');
	char key[256];

	if (eq == NULL || eq == pair)
		return conf_fail(
		    err, err_len, "right is KEY=VALUE, as in cpus=2");
	if ((size_t)(eq - pair) >= sizeof(key))
		return conf_fail(
		    err, err_len, "no such key \"%.100s...\"", pair);
	memcpy(key, pair, (size_t)(eq - pair));
	key[eq - pair] = '\0';
	return conf_set(c, key, eq + 1, err, err_len);
}

/* --- reading ----------------------------------------------------------- */

struct conf_expansion {
	const struct conf *conf;
	char *buf; /* CONF_VALUE_MAX */
	size_t len;
	unsigned int steps;
	char *err;
	size_t err_len;
};

static int
conf_append(struct conf_expansion *x, const char *s, size_t n)
{
	if (n >= CONF_VALUE_MAX - x->len)
		return conf_fail(x->err, x->err_len,
		    "expands to more than %d bytes", CONF_VALUE_MAX - 1);
	memcpy(x->buf + x->len, s, n);
	x->len += n;
	x->buf[x->len] = '\0';
	return 0;
}

/* The value as written, or the default. */
static const char *
conf_written(const struct conf *c, const char *key)
{
	const struct conf_entry *e = conf_lookup(c, key);
	const struct conf_key *k;

	if (e != NULL)
		return e->value;
	k = conf_key_find(key);
	return k != NULL ? k->dflt : NULL;
}

static int conf_expand(struct conf_expansion *, const char *, unsigned int);

/* `s` is behind "%("; *ret_end is behind the ")". */
static int
conf_expand_name(struct conf_expansion *x, const char *s, unsigned int depth,
    const char **ret_end)
{
	char name[256];
	size_t n = strcspn(s, ")");
	const char *value;

	if (s[n] == '\0')
		return conf_fail(x->err, x->err_len,
		    "\"%%(\" without \")\"; write %%%% for a percent sign");
	if (n >= sizeof(name))
		return conf_fail(x->err, x->err_len, "no key \"%.100s...\"", s);
	memcpy(name, s, n);
	name[n] = '\0';
	value = conf_written(x->conf, name);
	if (value == NULL)
		return conf_fail(
		    x->err, x->err_len, "%%(%s): that key is not set", name);
	if (depth == CONF_EXPAND_DEPTH || ++x->steps > CONF_EXPAND_STEPS)
		return conf_fail(
		    x->err, x->err_len, "%%(%s) goes round in circles", name);
	*ret_end = s + n + 1;
	return conf_expand(x, value, depth + 1);
}

static int
conf_expand(struct conf_expansion *x, const char *s, unsigned int depth)
{
	int error = 0;

	while (*s != '\0' && error == 0) {
		size_t plain = strcspn(s, "%");

		if (plain > 0) {
			error = conf_append(x, s, plain);
			s += plain;
		} else if (s[1] == '(') {
			error = conf_expand_name(x, s + 2, depth, &s);
		} else {
			/* "%%", or a percent sign that means nothing else */
			error = conf_append(x, "%", 1);
			s += s[1] == '%' ? 2 : 1;
		}
	}
	return error;
}

/* Heap string, or NULL with err. */
static char *
conf_expanded(
    const struct conf *c, const char *value, char *err, size_t err_len)
{
	struct conf_expansion x = {
		.conf = c,
		.buf = xcalloc(1, CONF_VALUE_MAX),
		.err = err,
		.err_len = err_len,
	};
	char *res = NULL;

	if (conf_expand(&x, value, 0) == 0)
		res = xstrdup(x.buf);
	free(x.buf);
	return res;
}

const char *
conf_get(const struct conf *c, const char *key)
{
	struct conf_entry *e = conf_lookup(c, key);
	char err[128];
	char *now;

	if (e == NULL)
		return conf_written(c, key);
	if (strchr(e->value, '%') == NULL)
		return e->value;
	now = conf_expanded(c, e->value, err, sizeof(err));
	if (now == NULL)
		return e->value; /* conf_check() has the message */
	/* Keep the string given out before while it is still right. */
	if (e->expanded != NULL && strcmp(e->expanded, now) == 0) {
		free(now);
	} else {
		free(e->expanded);
		e->expanded = now;
	}
	return e->expanded;
}

bool
conf_is_set(const struct conf *c, const char *key)
{
	return conf_lookup(c, key) != NULL;
}

bool
conf_get_bool(const struct conf *c, const char *key)
{
	const char *s = conf_get(c, key);
	bool val = false;

	if (s != NULL && conf_parse_bool(s, &val) != 0)
		return false;
	return val;
}

uint64_t
conf_get_u64(const struct conf *c, const char *key, uint64_t dflt)
{
	const struct conf_key *k = conf_key_find(key);
	const char *s = conf_get(c, key);
	uint64_t val;

	if (s == NULL)
		return dflt;
	if (k != NULL && k->type == CONF_SIZE)
		return conf_parse_size(s, &val) == 0 ? val : dflt;
	return parse_u64(s, 0, UINT64_MAX, &val) == 0 ? val : dflt;
}

int
conf_check(const struct conf *c, char *err, size_t err_len)
{
	char why[300];

	for (size_t i = 0; i < c->n; i++) {
		const struct conf_entry *e = &c->entries[i];
		const struct conf_key *k = conf_key_find(e->key);
		char *value;
		int error = 0;

		if (strchr(e->value, '%') == NULL)
			continue; /* checked when it was set */
		value = conf_expanded(c, e->value, why, sizeof(why));
		if (value == NULL)
			error = -EINVAL;
		else if (k != NULL && !conf_value_ok(k, value))
			error =
			    conf_type_error(k, e->key, value, why, sizeof(why));
		free(value);
		if (error != 0)
			return conf_fail(err, err_len, "%s: %s",
			    conf_origin(c, e->key), why);
		/* Fills the entry's cache: from now on readers only read. */
		(void)conf_get(c, e->key);
	}
	return 0;
}

void
conf_foreach(const struct conf *c, const char *prefix,
    void (*fn)(const char *key, const char *value, void *arg), void *arg)
{
	size_t len = strlen(prefix);

	for (size_t i = 0; i < c->n; i++) {
		const char *key = c->entries[i].key;

		if (strncmp(key, prefix, len) == 0)
			fn(key, conf_get(c, key), arg);
	}
}

void
conf_dump(const struct conf *c, FILE *f)
{
	for (size_t i = 0; i < c->n; i++)
		fprintf(f, "%s=%s\n", c->entries[i].key, c->entries[i].value);
}
