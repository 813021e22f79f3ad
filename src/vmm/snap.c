/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snap.c - a stream of named byte fields, written or read by the same calls.
 *
 * Layout, little endian: "BSNP", version (4 bytes); then for each field the
 * length of its name (1), the name, the length of its data (4), the data.
 * Names make a stream of another version fail at the first field that differs
 * instead of loading something else.  The stream is not trusted: every length
 * is checked before it is used.  One thread at a time.
 */
#include <vmm/snap.h>

#include <errno.h>
#include <stdlib.h>

#include <util/util.h>

#define SNAP_MAGIC   0x504e5342u /* "BSNP" */
#define SNAP_VERSION 1u
#define SNAP_HEADER  8u

struct snap {
	uint8_t *data;
	size_t len; /* bytes that mean something */
	size_t cap;
	size_t pos; /* loading: what is read next */
	bool loading;
	int err;
};

static void
snap_append(struct snap *s, const void *p, size_t len)
{
	if (len > s->cap - s->len) {
		size_t cap = MAX(2 * s->cap, s->len + len);
		uint8_t *data = xcalloc(cap, 1);

		memcpy(data, s->data, s->len);
		free(s->data);
		s->data = data;
		s->cap = cap;
	}
	memcpy(s->data + s->len, p, len);
	s->len += len;
}

struct snap *
snap_create_save(void)
{
	struct snap *s = xcalloc(1, sizeof(*s));
	uint8_t header[SNAP_HEADER];

	s->cap = 256;
	s->data = xcalloc(s->cap, 1);
	put_le32(header, SNAP_MAGIC);
	put_le32(header + 4, SNAP_VERSION);
	snap_append(s, header, sizeof(header));
	return s;
}

struct snap *
snap_create_load(const void *data, size_t len)
{
	struct snap *s = xcalloc(1, sizeof(*s));

	s->loading = true;
	s->len = s->cap = len;
	s->data = xcalloc(len, 1);
	if (len > 0)
		memcpy(s->data, data, len);
	if (len < SNAP_HEADER || get_le32(s->data) != SNAP_MAGIC ||
	    get_le32(s->data + 4) != SNAP_VERSION)
		s->err = -EINVAL;
	s->pos = SNAP_HEADER;
	return s;
}

void
snap_destroy(struct snap *s)
{
	if (s == NULL)
		return;
	free(s->data);
	free(s);
}

const void *
snap_data(const struct snap *s, size_t *ret_len)
{
	*ret_len = s->len;
	return s->data;
}

bool
snap_loading(const struct snap *s)
{
	return s->loading;
}

int
snap_error(const struct snap *s)
{
	return s->err;
}

void
snap_fail(struct snap *s)
{
	if (s->err == 0)
		s->err = -EINVAL;
}

static void
snap_save(
    struct snap *s, const char *name, size_t nlen, const void *p, uint32_t len)
{
	uint8_t n = (uint8_t)nlen;
	uint8_t size[4];

	put_le32(size, len);
	snap_append(s, &n, 1);
	snap_append(s, name, nlen);
	snap_append(s, size, sizeof(size));
	snap_append(s, p, len);
}

static int
snap_load(struct snap *s, const char *name, size_t nlen, void *p, uint32_t len)
{
	const uint8_t *field = s->data + s->pos;
	size_t head = 1 + nlen + 4;

	if (!range_ok(s->pos, head + len, s->len) || field[0] != nlen ||
	    memcmp(field + 1, name, nlen) != 0 ||
	    get_le32(field + 1 + nlen) != len)
		return -EINVAL;
	memcpy(p, field + head, len);
	s->pos += head + len;
	return 0;
}

int
snap_bytes(struct snap *s, const char *name, void *p, size_t len)
{
	size_t nlen = strlen(name);

	if (s->err != 0)
		return s->err;
	if (nlen > UINT8_MAX || len > UINT32_MAX)
		s->err = -EINVAL;
	else if (s->loading)
		s->err = snap_load(s, name, nlen, p, (uint32_t)len);
	else
		snap_save(s, name, nlen, p, (uint32_t)len);
	return s->err;
}
