/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * value.c - what a value may look like, and which key it is for.
 *
 * Pure functions over text; strict on purpose: bhyve's atoi() took "abc" for 0
 * (docs/bhyve.md part 6, rows 7 and 25).
 */
#include <conf/conf.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <strings.h>

#include "conf_priv.h"

int
conf_parse_bool(const char *text, bool *ret_val)
{
	static const struct {
		const char *text;
		bool val;
	} words[] = { { "true", true }, { "on", true }, { "yes", true },
		{ "1", true }, { "false", false }, { "off", false },
		{ "no", false }, { "0", false } };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcasecmp(text, words[i].text) != 0)
			continue;
		*ret_val = words[i].val;
		return 0;
	}
	return -EINVAL;
}

/* A number with the suffix letter at `end` cut off. */
static int
value_parse_scaled(
    const char *text, size_t len, unsigned int shift, uint64_t *ret_bytes)
{
	char digits[32];
	uint64_t n;
	int error;

	if (len == 0 || len >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, len);
	digits[len] = '\0';
	error = parse_u64(digits, 0, UINT64_MAX, &n);
	if (error != 0)
		return error;
	if (shift != 0 && n >> (64 - shift) != 0)
		return -ERANGE;
	*ret_bytes = n << shift;
	return 0;
}

int
conf_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char suffixes[] = "bkmgtpe";
	size_t len = strlen(text);
	const char *suffix;
	uint64_t n;
	int error;
	bool hex = len > 2 && text[0] == '0' && tolower(text[1]) == 'x';

	if (len == 0)
		return -EINVAL;
	suffix = strchr(suffixes, tolower((unsigned char)text[len - 1]));
	/* In hexadecimal "b" and "e" are digits. */
	if (suffix != NULL && !(hex && isxdigit((unsigned char)text[len - 1])))
		return value_parse_scaled(text, len - 1,
		    10 * (unsigned int)(suffix - suffixes), ret_bytes);
	error = value_parse_scaled(text, len, 0, &n);
	if (error != 0)
		return error;
	*ret_bytes = n < (1u << 20) ? n << 20 : n;
	return 0;
}

static int
value_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int
conf_parse_uuid(const char *text, uint8_t ret_uuid[16])
{
	uint8_t uuid[16];
	size_t pos = 0;

	if (strlen(text) != 36)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(uuid); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10) {
			if (text[pos++] != '-')
				return -EINVAL;
		}
		int hi = value_hex_digit(text[pos++]);
		int lo = value_hex_digit(text[pos++]);

		if (hi < 0 || lo < 0)
			return -EINVAL;
		uuid[i] = (uint8_t)(hi << 4 | lo);
	}
	memcpy(ret_uuid, uuid, sizeof(uuid));
	return 0;
}

bool
conf_value_ok(const struct conf_key *key, const char *value)
{
	uint64_t n;
	uint8_t uuid[16];
	bool b;

	switch (key->type) {
	case CONF_STRING:
		return true;
	case CONF_BOOL:
		return conf_parse_bool(value, &b) == 0;
	case CONF_U64:
		return parse_u64(value, key->min, key->max, &n) == 0;
	case CONF_SIZE:
		return conf_parse_size(value, &n) == 0 && n != 0;
	case CONF_UUID:
		return conf_parse_uuid(value, uuid) == 0;
	}
	return false;
}

void
conf_key_expects(const struct conf_key *key, char *buf, size_t len)
{
	switch (key->type) {
	case CONF_STRING:
		snprintf(buf, len, "text");
		break;
	case CONF_BOOL:
		snprintf(buf, len, "true or false");
		break;
	case CONF_U64:
		snprintf(buf, len, "a number from %" PRIu64 " to %" PRIu64,
		    key->min, key->max);
		break;
	case CONF_SIZE:
		snprintf(buf, len,
		    "a size such as 512M or 4G (a bare number is megabytes)");
		break;
	case CONF_UUID:
		snprintf(buf, len,
		    "a UUID such as 01234567-89ab-cdef-0123-456789abcdef");
		break;
	}
}

/* Length of the component at `s`: letters, digits, '_' and '-'. */
static size_t
value_component_len(const char *s)
{
	size_t n = 0;

	while (isalnum((unsigned char)s[n]) || s[n] == '_' || s[n] == '-')
		n++;
	return n;
}

bool
conf_key_wellformed(const char *key)
{
	for (;;) {
		size_t n = value_component_len(key);

		if (n == 0)
			return false;
		if (key[n] == '\0')
			return true;
		if (key[n] != '.')
			return false;
		key += n + 1;
	}
}

bool
conf_pattern_matches(const char *pattern, const char *key)
{
	while (*pattern != '\0') {
		size_t n = value_component_len(key);

		if (*pattern == '*' && n > 0) {
			pattern++;
		} else {
			if (n == 0 || strncmp(pattern, key, n) != 0)
				return false;
			pattern += n;
		}
		key += n;
		if (*pattern != *key)
			return false;
		if (*pattern == '\0')
			return true;
		pattern++;
		key++;
	}
	return *key == '\0';
}

/* One decimal component, no leading zero, at most max; moves *s past its '.'.
 */
static bool
value_pci_number(const char **s, unsigned int max, unsigned int *ret)
{
	unsigned int n = 0;
	const char *p = *s;

	if (!isdigit((unsigned char)*p) ||
	    (*p == '0' && isdigit((unsigned char)p[1])))
		return false;
	for (; isdigit((unsigned char)*p); p++) {
		n = n * 10 + (unsigned int)(*p - '0');
		if (n > max)
			return false;
	}
	if (*p != '.')
		return false;
	*s = p + 1;
	*ret = n;
	return true;
}

bool
conf_parse_pci_key(const char *key, struct conf_pci_key *ret)
{
	struct conf_pci_key k;

	if (strncmp(key, "pci.", 4) != 0)
		return false;
	key += 4;
	if (!value_pci_number(&key, 255, &k.bus) ||
	    !value_pci_number(&key, 31, &k.slot) ||
	    !value_pci_number(&key, 7, &k.func))
		return false;
	k.rest = key;
	if (!conf_key_wellformed(k.rest))
		return false;
	*ret = k;
	return true;
}

const struct conf_key *
conf_key_find(const char *key)
{
	for (size_t i = 0; i < conf_schema_len; i++) {
		if (conf_pattern_matches(conf_schema[i].name, key))
			return &conf_schema[i];
	}
	return NULL;
}
