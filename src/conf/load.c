/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load.c - configuration files: one key=value a line (bhyve_config(5)).
 *
 * '#' at the start of a line makes it a comment; blank lines count for nothing;
 * blanks around key and value are dropped.  There is no quoting and no include.
 */
#include <conf/conf.h>

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "conf_priv.h"

#define CONF_FILE_MAX (1u << 20)

/* Cuts blanks off both ends of [*s, *s + *len). */
static void
load_trim(const char **s, size_t *len)
{
	while (*len > 0 && isspace((unsigned char)**s)) {
		(*s)++;
		(*len)--;
	}
	while (*len > 0 && isspace((unsigned char)(*s)[*len - 1]))
		(*len)--;
}

static char *
load_dup(const char *s, size_t len)
{
	char *copy;

	load_trim(&s, &len);
	copy = xcalloc(1, len + 1);
	if (len > 0)
		memcpy(copy, s, len);
	return copy;
}

static int
load_line(
    struct conf *c, const char *line, size_t len, char *err, size_t err_len)
{
	const char *eq;
	char *key, *value;
	int error;

	load_trim(&line, &len);
	if (len == 0 || line[0] == '#')
		return 0;
	if (memchr(line, '\0', len) != NULL) {
		snprintf(err, err_len, "a NUL byte: this is not a text file");
		return -EINVAL;
	}
	eq = memchr(line, '=', len);
	if (eq == NULL || eq == line) {
		snprintf(
		    err, err_len, "right is KEY=VALUE, or # before a comment");
		return -EINVAL;
	}
	key = load_dup(line, (size_t)(eq - line));
	value = load_dup(eq + 1, len - (size_t)(eq - line) - 1);
	error = conf_set(c, key, value, err, err_len);
	free(key);
	free(value);
	return error;
}

int
conf_load_text(struct conf *c, const char *name, const char *text, size_t len,
    char *err, size_t err_len)
{
	char where[512], why[400];
	unsigned int lineno = 0;
	int error = 0;

	while (len > 0 && error == 0) {
		const char *nl = memchr(text, '\n', len);
		size_t n = nl != NULL ? (size_t)(nl - text) : len;

		snprintf(where, sizeof(where), "%.400s:%u", name, ++lineno);
		conf_set_origin(c, where);
		error = load_line(c, text, n, why, sizeof(why));
		if (error != 0)
			snprintf(err, err_len, "%s: %s", where, why);
		n += nl != NULL;
		text += n;
		len -= n;
	}
	conf_set_origin(c, NULL);
	return error;
}

/* The whole file, at most CONF_FILE_MAX bytes; NULL with errno. */
static char *
load_read(const char *path, size_t *ret_len)
{
	struct stat st;
	FILE *f = fopen(path, "re");
	char *buf;

	if (f == NULL)
		return NULL;
	if (fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode)) {
		fclose(f);
		errno = EISDIR;
		return NULL;
	}
	buf = xcalloc(1, CONF_FILE_MAX + 1);
	*ret_len = fread(buf, 1, CONF_FILE_MAX + 1, f);
	if (ferror(f) || *ret_len > CONF_FILE_MAX) {
		int error = ferror(f) ? errno : EFBIG;

		free(buf);
		fclose(f);
		errno = error;
		return NULL;
	}
	fclose(f);
	return buf;
}

int
conf_load(struct conf *c, const char *path, char *err, size_t err_len)
{
	size_t len;
	char *text = load_read(path, &len);
	int error;

	if (text == NULL) {
		error = -errno;
		snprintf(err, err_len, "%.400s: cannot be read: %s", path,
		    strerror(-error));
		return error;
	}
	error = conf_load_text(c, path, text, len, err, err_len);
	free(text);
	return error;
}
