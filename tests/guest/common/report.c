/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report.c - a payload's way to guest_run: the two ports of proto.h.
 */
#include "guest.h"

void
report_send(struct guest_report *r)
{
	out32(GUEST_PORT_REPORT, (uint32_t)(uintptr_t)r);
}

uint32_t
guest_param(unsigned int n)
{
	out32(GUEST_PORT_PARAM, n);
	return in32(GUEST_PORT_PARAM);
}
