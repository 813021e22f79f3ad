/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proto.h - how a payload talks to its host program: two ports.
 */
#ifndef TESTS_GUEST_PROTO_H
#define TESTS_GUEST_PROTO_H

#include <stdint.h>

/* OUT 32 bits: the physical address of a struct guest_report. */
#define GUEST_PORT_REPORT 0xf0
/* OUT: number of a parameter; IN: its value.  32 bits. */
#define GUEST_PORT_PARAM 0xf4

enum guest_report_kind {
	GUEST_REPORT_RESULT = 1, /* a test ended: name, status, text */
	GUEST_REPORT_CALL, /* ask the host: value[0] which; may fill value[1] */
	GUEST_REPORT_END,  /* no more tests: the host powers off */
};

enum guest_status { GUEST_PASS, GUEST_FAIL, GUEST_SKIP };

struct guest_report {
	uint32_t kind;
	uint32_t status;
	uint64_t value[2];
	char name[64];
	char text[168];
};
_Static_assert(sizeof(struct guest_report) == 256, "both sides agree");

/* Parameters every host gives; a pair's own begin at GUEST_PARAM_OWN. */
enum guest_param {
	GUEST_PARAM_NCPUS,
	GUEST_PARAM_TSC_KHZ,
	GUEST_PARAM_CORES,   /* of a package */
	GUEST_PARAM_THREADS, /* of a core */
	GUEST_PARAM_OWN,
	GUEST_NPARAMS = 8
};

#endif /* TESTS_GUEST_PROTO_H */
