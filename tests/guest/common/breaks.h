/* SPDX-License-Identifier: BSD-2-Clause */
/* What payload/breaks.c and pairs_breaks.c have in common. */
#ifndef TESTS_GUEST_BREAKS_H
#define TESTS_GUEST_BREAKS_H

enum {
	CALL_EXEC = 1,
	CALL_WRITE, /* + bytes << 8 */
	CALL_READ,
	CALL_ACCESS,
	CALL_INT3,
	CALL_CLEAR,
	CALL_STOPS,
	CALL_RIP,
	CALL_GLA,
	CALL_KIND,
	CALL_OWN_INT3,
};
enum stop_kind { KIND_EXEC, KIND_WRITE, KIND_READ, KIND_INT3, KIND_OWN_INT3 };

#endif /* TESTS_GUEST_BREAKS_H */
