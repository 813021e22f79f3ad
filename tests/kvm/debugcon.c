/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * debugcon.c - instead of guest/common/report.c: a payload's results as text on
 * QEMU's debug console, its end by QEMU's exit device.  plain.py builds with
 * it.
 */
#include "../guest/common/guest.h"

#define PORT_DEBUGCON 0xe9
#define PORT_EXIT     0xf4
#define TSC_KHZ	      1000000u /* QEMU's TCG: a tick a nanosecond */

static unsigned int nresults;

static void
say(const char *s)
{
	for (; *s != '\0'; s++)
		out8(PORT_DEBUGCON, (uint8_t)*s);
}

static void
say_number(unsigned int n)
{
	char digit[] = { (char)('0' + n % 10), '\0' };

	if (n >= 10)
		say_number(n / 10);
	say(digit);
}

void
report_send(struct guest_report *r)
{
	if (r->kind != GUEST_REPORT_RESULT) {
		if (r->kind == GUEST_REPORT_CALL)
			say("Bail out! it wants its host\n");
		out32(PORT_EXIT, 0);
		return;
	}
	say(r->status == GUEST_FAIL ? "not ok " : "ok ");
	say_number(++nresults);
	say(" - ");
	say(r->name);
	if (r->status == GUEST_SKIP)
		say(" # SKIP ");
	else if (r->status == GUEST_FAIL)
		say("\n# ");
	say(r->text);
	say("\n");
}

uint32_t
guest_param(unsigned int n)
{
	return n == GUEST_PARAM_NCPUS	  ? PLAIN_NCPUS
	       : n == GUEST_PARAM_TSC_KHZ ? TSC_KHZ
					  : 0;
}
