/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gdb_packet.c - framing of gdb's remote protocol: "$data#checksum" with '}'
 * escapes, acknowledgements and ^C (RSP, "Overview").
 */
#include "gdb_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ESCAPE_XOR 0x20

/* --- growing text --------------------------------------------------------- */

void
gdb_buf_add(struct gdb_buf *b, const void *data, size_t len)
{
	if (b->cap - b->len < len) {
		size_t cap = MAX(b->cap * 2, b->len + len);
		char *p = xcalloc(1, cap);

		if (b->len > 0)
			memcpy(p, b->data, b->len);
		free(b->data);
		b->data = p;
		b->cap = cap;
	}
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
}

void
gdb_printf(struct gdb_buf *b, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n > 0)
		gdb_buf_add(b, text, MIN((size_t)n, sizeof(text) - 1));
}

void
gdb_buf_hex(struct gdb_buf *b, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		char two[2] = { digits[bytes[i] >> 4], digits[bytes[i] & 15] };

		gdb_buf_add(b, two, sizeof(two));
	}
}

/* --- numbers -------------------------------------------------------------- */

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
gdb_parse_hex(const char **s, uint64_t *ret)
{
	const char *p = *s;
	uint64_t v = 0;

	while (hex_digit(*p) >= 0 && p - *s < 16)
		v = v << 4 | (uint64_t)hex_digit(*p++);
	if (p == *s || hex_digit(*p) >= 0)
		return false;
	*s = p;
	*ret = v;
	return true;
}

bool
gdb_parse_bytes(const char *hex, uint8_t *ret, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int hi = hex_digit(hex[2 * i]), lo;

		if (hi < 0)
			return false;
		lo = hex_digit(hex[2 * i + 1]);
		if (lo < 0)
			return false;
		ret[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

/* --- in ------------------------------------------------------------------- */

static enum gdb_event
in_idle(struct gdb_in *in, uint8_t byte)
{
	switch (byte) {
	case '$':
		in->state = GDB_IN_DATA;
		in->len = 0;
		in->sum = 0;
		in->too_long = false;
		return GDB_NOTHING;
	case 3:
		return GDB_INTERRUPT;
	case '-':
		return GDB_NAK;
	default:
		return GDB_NOTHING; /* '+', and noise */
	}
}

static void
in_store(struct gdb_in *in, uint8_t byte)
{
	if (in->len < GDB_PACKET_MAX)
		in->data[in->len++] = (char)byte;
	else
		in->too_long = true;
}

static enum gdb_event
in_data(struct gdb_in *in, uint8_t byte)
{
	if (byte == '#') {
		in->state = GDB_IN_SUM1;
		return GDB_NOTHING;
	}
	in->sum = (uint8_t)(in->sum + byte);
	if (byte == '}')
		in->state = GDB_IN_ESC;
	else
		in_store(in, byte);
	return GDB_NOTHING;
}

static enum gdb_event
in_sum(struct gdb_in *in, uint8_t byte)
{
	int digit = hex_digit((char)byte);

	if (digit >= 0 && in->state == GDB_IN_SUM1) {
		in->want = (uint8_t)(digit << 4);
		in->state = GDB_IN_SUM2;
		return GDB_NOTHING;
	}
	in->state = GDB_IN_IDLE;
	in->data[in->len] = '\0';
	if (digit < 0 || (in->want | digit) != in->sum || in->too_long)
		return GDB_BAD;
	return GDB_PACKET;
}

enum gdb_event
gdb_in_byte(struct gdb_in *in, uint8_t byte)
{
	switch (in->state) {
	case GDB_IN_IDLE:
		return in_idle(in, byte);
	case GDB_IN_DATA:
		return in_data(in, byte);
	case GDB_IN_ESC:
		in->sum = (uint8_t)(in->sum + byte);
		in_store(in, byte ^ ESCAPE_XOR);
		in->state = GDB_IN_DATA;
		return GDB_NOTHING;
	default:
		return in_sum(in, byte);
	}
}

/* --- out ------------------------------------------------------------------ */

void
gdb_wrap(struct gdb_buf *out, const struct gdb_buf *data)
{
	uint8_t sum = 0;

	gdb_buf_add(out, "$", 1);
	for (size_t i = 0; i < data->len; i++) {
		char c = data->data[i];
		char two[2] = { '}', (char)(c ^ ESCAPE_XOR) };

		if (c == '#' || c == '$' || c == '}' || c == '*') {
			gdb_buf_add(out, two, 2);
			sum = (uint8_t)(sum + two[0] + two[1]);
		} else {
			gdb_buf_add(out, &c, 1);
			sum = (uint8_t)(sum + c);
		}
	}
	gdb_printf(out, "#%02x", sum);
}
