/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hostfwd=PROTO:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT, several separated by
 * semicolons; IPv6 addresses in brackets.  Without a host address: all of the
 * host's IPv4 addresses; without a guest address: the one the guest was given.
 */
#include "net_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define HOSTFWD_FORM                                                           \
	"right is PROTO:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT, as in "     \
	"tcp:127.0.0.1:2222-:22"

struct hostfwd_ctx {
	const char *rule; /* as typed, for messages */
	char *err;
	size_t err_len;
};

static int
hostfwd_fail(const struct hostfwd_ctx *c, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(c->err, c->err_len, "hostfwd=%.80s: ", c->rule);

	if (n < 0 || (size_t)n >= c->err_len)
		return -EINVAL;
	va_start(ap, fmt);
	vsnprintf(c->err + n, c->err_len - (size_t)n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int
hostfwd_port(const struct hostfwd_ctx *c, const char *whose, const char *text,
    in_port_t *ret)
{
	uint64_t port;

	if (text[strspn(text, "0123456789")] != '\0' ||
	    parse_u64(text, 1, 65535, &port) != 0)
		return hostfwd_fail(c,
		    "the %s's port \"%.32s\" is not a number from 1 to 65535",
		    whose, text);
	*ret = htons((uint16_t)port);
	return 0;
}

/* "1.2.3.4", "[::1]", or "", which leaves `any` as it is. */
static int
hostfwd_host(const struct hostfwd_ctx *c, const char *whose, char *text,
    union net_addr *any)
{
	size_t n = strlen(text);
	bool v6 = n >= 2 && text[0] == '[' && text[n - 1] == ']';

	if (n == 0)
		return 0;
	if (v6) {
		*any = (union net_addr){ .in6 = { .sin6_family = AF_INET6 } };
		text[n - 1] = '\0';
		if (inet_pton(AF_INET6, text + 1, &any->in6.sin6_addr) == 1)
			return 0;
		text[n - 1] = ']';
	} else {
		*any = (union net_addr){ .in = { .sin_family = AF_INET } };
		if (inet_pton(AF_INET, text, &any->in.sin_addr) == 1)
			return 0;
	}
	return hostfwd_fail(c,
	    "the %s's address \"%.64s\" is neither 1.2.3.4 nor [IPv6]", whose,
	    text);
}

/* "ADDR:PORT". */
static int
hostfwd_end(const struct hostfwd_ctx *c, const char *whose, char *text,
    union net_addr *addr)
{
	char *colon = strrchr(text, ':');
	in_port_t port = 0;
	int error;

	if (colon == NULL)
		return hostfwd_fail(c,
		    "the %s's part \"%.64s\" has no colon; " HOSTFWD_FORM,
		    whose, text);
	*colon = '\0';
	error = hostfwd_port(c, whose, colon + 1, &port);
	if (error == 0)
		error = hostfwd_host(c, whose, text, addr);
	if (error != 0)
		return error;
	if (addr->sa.sa_family == AF_INET6)
		addr->in6.sin6_port = port;
	else
		addr->in.sin_port = port;
	return 0;
}

static int
hostfwd_rule(const struct hostfwd_ctx *c, char *rule, struct net_hostfwd *f)
{
	char *host = strchr(rule, ':');
	char *guest;
	int error;

	*f = (struct net_hostfwd){ .host.in.sin_family = AF_INET };
	if (host == NULL)
		return hostfwd_fail(c, HOSTFWD_FORM);
	*host++ = '\0';
	f->udp = strcmp(rule, "udp") == 0;
	if (!f->udp && strcmp(rule, "tcp") != 0)
		return hostfwd_fail(
		    c, "the protocol \"%.16s\" is neither tcp nor udp", rule);
	guest = strchr(host, '-');
	if (guest == NULL)
		return hostfwd_fail(
		    c, "no \"-\" before the guest's part; " HOSTFWD_FORM);
	*guest++ = '\0';
	error = hostfwd_end(c, "host", host, &f->host);
	if (error != 0)
		return error;
	f->guest.sa.sa_family = f->host.sa.sa_family;
	error = hostfwd_end(c, "guest", guest, &f->guest);
	if (error == 0 && f->guest.sa.sa_family != f->host.sa.sa_family)
		return hostfwd_fail(c,
		    "one address is IPv4 and the other IPv6; both must be of "
		    "one kind");
	return error;
}

int
net_hostfwd_parse(const char *text, struct net_hostfwd *fwd, size_t max,
    char *err, size_t err_len)
{
	char *copy = xstrdup(text), *rest = copy, *rule;
	size_t n = 0;
	int error = 0;

	while (error == 0 && (rule = strsep(&rest, ";")) != NULL) {
		char *typed = xstrdup(rule);
		struct hostfwd_ctx c = { typed, err, err_len };

		if (n == max)
			error = hostfwd_fail(
			    &c, "too many; at most %zu are possible", max);
		else
			error = hostfwd_rule(&c, rule, &fwd[n++]);
		free(typed);
	}
	free(copy);
	return error != 0 ? error : (int)n;
}
