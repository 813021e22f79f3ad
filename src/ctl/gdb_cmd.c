/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gdb_cmd.c - the packets of gdb's remote protocol, as a table by their first
 * letters (RSP, "Packets" and "General Query Packets").  What is not there is
 * answered by an empty packet, which says so.
 *
 * A thread is a vCPU; its id is the vCPU's number plus one.  Everything stops
 * and goes together, except single steps.
 */
#include "gdb_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include <vmm/vcpu.h>
#include <vmm/vm.h>

#define MEM_MAX (GDB_PACKET_MAX / 2 - 1) /* bytes as hex in a packet */

static void
cmd_ok(struct gdb *g)
{
	gdb_reply_str(g, "OK");
}

static void
cmd_error(struct gdb *g, unsigned int code)
{
	char text[8];

	snprintf(text, sizeof(text), "E%02x", code & 0xff);
	gdb_reply_str(g, text);
}
#define ERR_INVAL 22
#define ERR_FAULT 14

static void
cmd_result(struct gdb *g, int error)
{
	if (error == 0)
		cmd_ok(g);
	else
		cmd_error(g, (unsigned int)-error);
}

/* --- threads -------------------------------------------------------------- */

/*
 * "-1" all, "0" any, else a number: *ret_cpu is -1 for the first two.  False:
 * there is no such thread.
 */
static bool
parse_thread(struct gdb *g, const char **s, int *ret_cpu)
{
	uint64_t id;

	if (strncmp(*s, "-1", 2) == 0) {
		*s += 2;
		*ret_cpu = -1;
		return true;
	}
	if (!gdb_parse_hex(s, &id) || id > vm_ncpus(g->ctx))
		return false;
	*ret_cpu = (int)id - 1;
	return true;
}

static void
cmd_select(struct gdb *g, char *args, size_t len)
{
	const char *s = args + 1;
	int cpu;

	if (*args == '\0' || !parse_thread(g, &s, &cpu)) {
		cmd_error(g, ERR_INVAL);
		return;
	}
	if (cpu >= 0 && *args == 'g')
		g->cpu = (unsigned int)cpu;
	cmd_ok(g);
}

static void
cmd_alive(struct gdb *g, char *args, size_t len)
{
	const char *s = args;
	int cpu;

	if (parse_thread(g, &s, &cpu) && cpu >= 0)
		cmd_ok(g);
	else
		cmd_error(g, ERR_INVAL);
}

static void
query_threads(struct gdb *g, char *args, size_t len)
{
	struct gdb_buf b = { 0 };

	for (unsigned int i = 0; i < vm_ncpus(g->ctx); i++)
		gdb_printf(&b, "%c%x", i == 0 ? 'm' : ',', i + 1);
	gdb_reply(g, &b);
	free(b.data);
}

static void
query_threads_end(struct gdb *g, char *args, size_t len)
{
	gdb_reply_str(g, "l");
}

static void
query_thread_info(struct gdb *g, char *args, size_t len)
{
	struct gdb_buf b = { 0 };
	struct vcpu_brief brief;
	const char *s = args;
	char text[64];
	int cpu;

	if (!parse_thread(g, &s, &cpu) || cpu < 0) {
		cmd_error(g, ERR_INVAL);
		return;
	}
	vm_vcpu_brief(g->ctx, (unsigned int)cpu, &brief);
	snprintf(text, sizeof(text), "vCPU %d%s", cpu,
	    brief.active ? "" : " (not started)");
	gdb_buf_hex(&b, (const uint8_t *)text, strlen(text));
	gdb_reply(g, &b);
	free(b.data);
}

static void
query_current(struct gdb *g, char *args, size_t len)
{
	char text[16];

	snprintf(text, sizeof(text), "QC%x", g->cpu + 1);
	gdb_reply_str(g, text);
}

/* --- what we can ---------------------------------------------------------- */

static void
query_supported(struct gdb *g, char *args, size_t len)
{
	struct gdb_buf b = { 0 };

	gdb_printf(&b,
	    "PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;"
	    "swbreak+;hwbreak+;vContSupported+",
	    GDB_PACKET_MAX);
	gdb_reply(g, &b);
	free(b.data);
}

static void
query_attached(struct gdb *g, char *args, size_t len)
{
	gdb_reply_str(g, "1"); /* so that quitting detaches */
}

static void
query_symbol(struct gdb *g, char *args, size_t len)
{
	cmd_ok(g);
}

/* "target.xml:OFFSET,LENGTH" */
static void
query_features(struct gdb *g, char *args, size_t len)
{
	static const char annex[] = "target.xml:";
	struct gdb_buf xml = { 0 }, b = { 0 };
	const char *s = args + sizeof(annex) - 1;
	uint64_t off, n;

	if (strncmp(args, annex, sizeof(annex) - 1) != 0 ||
	    !gdb_parse_hex(&s, &off) || *s++ != ',' || !gdb_parse_hex(&s, &n)) {
		cmd_error(g, 0);
		return;
	}
	gdb_target_xml(&xml);
	off = MIN(off, (uint64_t)xml.len);
	/* Half a packet, because escapes double. */
	n = MIN(n, xml.len - off);
	n = MIN(n, (uint64_t)GDB_PACKET_MAX / 2);
	gdb_buf_add(&b, off + n < xml.len ? "m" : "l", 1);
	gdb_buf_add(&b, xml.data + off, n);
	gdb_reply(g, &b);
	free(xml.data);
	free(b.data);
}

static void
set_no_ack(struct gdb *g, char *args, size_t len)
{
	cmd_ok(g);
	g->no_ack = true;
}

static void
query_monitor(struct gdb *g, char *args, size_t len)
{
	struct gdb_buf text = { 0 }, b = { 0 };
	char line[256];
	size_t n = strlen(args) / 2;

	if (n >= sizeof(line) || !gdb_parse_bytes(args, (uint8_t *)line, n)) {
		cmd_error(g, ERR_INVAL);
		return;
	}
	line[n] = '\0';
	gdb_monitor(g, line, &text);
	gdb_buf_hex(
	    &b, (const uint8_t *)text.data, MIN(text.len, (size_t)MEM_MAX));
	if (b.len > 0)
		gdb_reply(g, &b);
	else
		cmd_ok(g);
	free(text.data);
	free(b.data);
}

/* --- registers ------------------------------------------------------------ */

static void
cmd_get_regs(struct gdb *g, char *args, size_t len)
{
	struct gdb_buf b = { 0 };

	for (unsigned int n = 0; n < gdb_reg_count(); n++)
		(void)gdb_reg_read(gdb_vcpu(g), n, &b);
	gdb_reply(g, &b);
	free(b.data);
}

static void
cmd_set_regs(struct gdb *g, char *args, size_t len)
{
	for (unsigned int n = 0; n < gdb_reg_count() && *args != '\0'; n++) {
		size_t used = gdb_reg_write(gdb_vcpu(g), n, args);

		if (used == 0) {
			cmd_error(g, ERR_INVAL);
			return;
		}
		args += used;
	}
	cmd_ok(g);
}

static void
cmd_get_reg(struct gdb *g, char *args, size_t len)
{
	struct gdb_buf b = { 0 };
	const char *s = args;
	uint64_t n;

	if (gdb_parse_hex(&s, &n) && n < gdb_reg_count() &&
	    gdb_reg_read(gdb_vcpu(g), (unsigned int)n, &b))
		gdb_reply(g, &b);
	else
		cmd_error(g, ERR_INVAL);
	free(b.data);
}

static void
cmd_set_reg(struct gdb *g, char *args, size_t len)
{
	const char *s = args;
	uint64_t n;

	if (gdb_parse_hex(&s, &n) && *s++ == '=' && n < gdb_reg_count() &&
	    gdb_reg_write(gdb_vcpu(g), (unsigned int)n, s) != 0)
		cmd_ok(g);
	else
		cmd_error(g, ERR_INVAL);
}

/* --- memory --------------------------------------------------------------- */

/* "ADDR,LENGTH", then `end`. */
static bool
parse_range(const char **s, uint64_t *addr, uint64_t *len, char end)
{
	return gdb_parse_hex(s, addr) && *(*s)++ == ',' &&
	       gdb_parse_hex(s, len) && *(*s)++ == end;
}

static void
cmd_get_mem(struct gdb *g, char *args, size_t len)
{
	struct gdb_buf b = { 0 };
	uint8_t bytes[MEM_MAX];
	const char *s = args;
	uint64_t addr, n;

	if (!parse_range(&s, &addr, &n, '\0')) {
		cmd_error(g, ERR_INVAL);
		return;
	}
	n = MIN(n, (uint64_t)sizeof(bytes));
	if (!gdb_mem_read(g, addr, bytes, n)) {
		cmd_error(g, ERR_FAULT);
		return;
	}
	gdb_buf_hex(&b, bytes, n);
	gdb_reply(g, &b);
	free(b.data);
}

static void
cmd_set_mem(struct gdb *g, char *args, size_t len)
{
	uint8_t bytes[MEM_MAX];
	const char *s = args;
	uint64_t addr, n;

	if (!parse_range(&s, &addr, &n, ':') || n > sizeof(bytes) ||
	    !gdb_parse_bytes(s, bytes, n)) {
		cmd_error(g, ERR_INVAL);
		return;
	}
	cmd_result(g, gdb_mem_write(g, addr, bytes, n) ? 0 : -ERR_FAULT);
}

/* X: the data is binary. */
static void
cmd_set_mem_binary(struct gdb *g, char *args, size_t len)
{
	const char *s = args;
	uint64_t addr, n;

	if (!parse_range(&s, &addr, &n, ':') || n != len - (size_t)(s - args)) {
		cmd_error(g, ERR_INVAL);
		return;
	}
	cmd_result(g, gdb_mem_write(g, addr, s, n) ? 0 : -ERR_FAULT);
}

/* --- breakpoints ---------------------------------------------------------- */

static void
cmd_point(struct gdb *g, char *args,
    int (*fn)(struct gdb *, unsigned int, uint64_t, uint64_t))
{
	const char *s = args;
	uint64_t type, addr, n;

	if (gdb_parse_hex(&s, &type) && type <= 4 && *s++ == ',' &&
	    gdb_parse_hex(&s, &addr) && *s++ == ',' && gdb_parse_hex(&s, &n))
		cmd_result(g, fn(g, (unsigned int)type, addr, n));
	else
		cmd_error(g, ERR_INVAL);
}

static void
cmd_point_add(struct gdb *g, char *args, size_t len)
{
	cmd_point(g, args, gdb_point_add);
}

static void
cmd_point_del(struct gdb *g, char *args, size_t len)
{
	cmd_point(g, args, gdb_point_del);
}

/* --- going on ------------------------------------------------------------- */

static void
cmd_why(struct gdb *g, char *args, size_t len)
{
	gdb_reply_stopped(g, GDB_SIGTRAP);
}

/* "c [ADDR]" and "s [ADDR]". */
static void
cmd_continue_at(struct gdb *g, const char *args, bool step)
{
	uint64_t addr;

	if (*args != '\0' && gdb_parse_hex(&args, &addr))
		(void)vm_set_register(gdb_vcpu(g), VM_REG_GUEST_RIP, addr);
	gdb_go(g, step ? (int)g->cpu : -1, !step);
}

static void
cmd_continue(struct gdb *g, char *args, size_t len)
{
	cmd_continue_at(g, args, false);
}

static void
cmd_step(struct gdb *g, char *args, size_t len)
{
	cmd_continue_at(g, args, true);
}

/* "SIG[;ADDR]": a machine has no signals; what is left is the address. */
static const char *
after_signal(const char *args)
{
	const char *semicolon = strchr(args, ';');

	return semicolon != NULL ? semicolon + 1 : "";
}

static void
cmd_continue_signal(struct gdb *g, char *args, size_t len)
{
	cmd_continue_at(g, after_signal(args), false);
}

static void
cmd_step_signal(struct gdb *g, char *args, size_t len)
{
	cmd_continue_at(g, after_signal(args), true);
}

static void
query_vcont(struct gdb *g, char *args, size_t len)
{
	gdb_reply_str(g, "vCont;c;C;s;S");
}

/*
 * "vCont;ACTION[:THREAD][;...]": the leftmost action that names a thread is
 * its. One thread can be stepped; the others go on if any action lets them.
 */
static void
cmd_vcont(struct gdb *g, char *args, size_t len)
{
	int step = -1;
	bool others = false;

	for (const char *s = args; s != NULL && *s == ';';
	     s = strchr(s + 1, ';')) {
		bool is_step = s[1] == 's' || s[1] == 'S';
		const char *colon = s + 1 + strcspn(s + 1, ":;");
		int cpu = -1;

		if (*colon == ':') {
			colon++;
			if (!parse_thread(g, &colon, &cpu)) {
				cmd_error(g, ERR_INVAL);
				return;
			}
		}
		if (!is_step)
			others |= s[1] == 'c' || s[1] == 'C';
		else if (step < 0)
			step = cpu >= 0 ? cpu : (int)g->cpu;
	}
	if (step < 0 && !others)
		cmd_error(g, ERR_INVAL);
	else
		gdb_go(g, step, others);
}

static void
cmd_detach(struct gdb *g, char *args, size_t len)
{
	cmd_ok(g);
	g->gone = true;
}

/* As pulling the plug, and bhyve's monitor ends with status 1. */
static void
cmd_kill(struct gdb *g, char *args, size_t len)
{
	(void)vm_suspend(g->ctx, VM_SUSPEND_POWEROFF);
	g->gone = true;
}

static void
cmd_vkill(struct gdb *g, char *args, size_t len)
{
	cmd_ok(g);
	cmd_kill(g, args, len);
}

/* --- the table ------------------------------------------------------------ */

/* Longer names before those they begin with. */
static const struct {
	const char *name;
	void (*fn)(struct gdb *, char *args, size_t len);
} commands[] = {
	{ "?", cmd_why },
	{ "g", cmd_get_regs },
	{ "G", cmd_set_regs },
	{ "p", cmd_get_reg },
	{ "P", cmd_set_reg },
	{ "m", cmd_get_mem },
	{ "M", cmd_set_mem },
	{ "X", cmd_set_mem_binary },
	{ "Z", cmd_point_add },
	{ "z", cmd_point_del },
	{ "c", cmd_continue },
	{ "C", cmd_continue_signal },
	{ "s", cmd_step },
	{ "S", cmd_step_signal },
	{ "vCont?", query_vcont },
	{ "vCont", cmd_vcont },
	{ "vKill", cmd_vkill },
	{ "H", cmd_select },
	{ "T", cmd_alive },
	{ "D", cmd_detach },
	{ "k", cmd_kill },
	{ "qAttached", query_attached },
	{ "qC", query_current },
	{ "qfThreadInfo", query_threads },
	{ "qsThreadInfo", query_threads_end },
	{ "qThreadExtraInfo,", query_thread_info },
	{ "qSupported", query_supported },
	{ "qSymbol::", query_symbol },
	{ "qXfer:features:read:", query_features },
	{ "qRcmd,", query_monitor },
	{ "QStartNoAckMode", set_no_ack },
};

void
gdb_command(struct gdb *g, char *packet, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		size_t n = strlen(commands[i].name);

		if (strncmp(packet, commands[i].name, n) != 0)
			continue;
		commands[i].fn(g, packet + n, len - n);
		return;
	}
	gdb_reply_str(g, "");
}
