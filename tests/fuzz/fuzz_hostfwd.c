/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_hostfwd.c - the input is a hostfwd= setting; src/backend/net_hostfwd.c.
 */
#include "fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net_priv.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_hostfwd fwd[8];
	char err[256] = "";
	char *text = malloc(size + 1);
	int n;

	assert(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	n = net_hostfwd_parse(text, fwd, ARRAY_LEN(fwd), err, sizeof(err));
	assert(n > 0 || err[0] != '\0');
	for (int i = 0; i < n; i++) {
		assert(fwd[i].host.sa.sa_family == fwd[i].guest.sa.sa_family);
		/* At the same place in both kinds of address. */
		assert(fwd[i].host.in.sin_port != 0);
		assert(fwd[i].guest.in.sin_port != 0);
	}
	free(text);
	return 0;
}
