/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_gdb.c - the debugger stub: framing, every packet, and a client on a
 * socket, on a machine whose vCPUs run nothing.
 */
#include "fake_vmm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vmm/mem.h>

#include "gdb_priv.h"

#define RAM (1u << 20)

static struct gdb *g;

static int
setup(void **state)
{
	g = xcalloc(1, sizeof(*g));
	g->ctx = fake_vm_new(2);
	assert_int_equal(vm_setup_memory(g->ctx, RAM, VM_MMAP_ALL), 0);
	g->client_fd = g->listen_fd = g->stop_fd = -1;
	g->stepping = -1;
	g->phys = true; /* the fake engine has no page tables */
	lock_init(&g->lock);
	lock_init(&g->point_lock);
	return 0;
}

static int
teardown(void **state)
{
	vm_release_all(g->ctx);
	fake_vm_free(g->ctx);
	free(g->out.data);
	free(g->reply.data);
	free(g);
	return 0;
}

/* Everything that was said since, NUL-terminated. */
static const char *
said(void)
{
	gdb_buf_add(&g->out, "", 1);
	g->out.len = 0;
	return g->out.data;
}

static void
feed(const char *text)
{
	gdb_input(g, (const uint8_t *)text, strlen(text));
}

/* "$data#sum" */
static void
ask(const char *data)
{
	uint8_t sum = 0;
	char text[GDB_PACKET_MAX + 8];

	for (const char *s = data; *s != '\0'; s++)
		sum = (uint8_t)(sum + *s);
	snprintf(text, sizeof(text), "$%s#%02x", data, sum);
	feed(text);
}

/* The packet in the answer to `data`, its frame checked and taken off. */
static const char *
reply_to(const char *data)
{
	static char body[2 * GDB_PACKET_MAX];
	struct gdb_in in = { 0 };
	const char *s;

	ask(data);
	s = said();
	if (!g->no_ack) {
		assert_int_equal(*s, '+');
		s++;
	}
	for (; *s != '\0'; s++)
		if (gdb_in_byte(&in, (uint8_t)*s) == GDB_PACKET)
			break;
	assert_int_equal(*s++ != '\0', 1);
	assert_int_equal(*s, '\0'); /* one packet, no more */
	memcpy(body, in.data, in.len + 1);
	return body;
}

#define ASK(data, want) assert_string_equal(reply_to(data), want)

static void
test_framing(void **state)
{
	feed("+++ noise ");
	assert_string_equal(said(), "");
	feed("$qC#00"); /* wrong sum */
	assert_string_equal(said(), "-");
	feed("$qC#zz");
	assert_string_equal(said(), "-");
	ask("qC");
	assert_string_equal(said(), "+$QC1#c5");
	feed("-"); /* say it again */
	assert_string_equal(said(), "$QC1#c5");
	ASK("QStartNoAckMode", "OK");
	ask("qC");
	assert_string_equal(said(), "$QC1#c5");
	feed("$qC#00-"); /* nobody listens to those now */
	assert_string_equal(said(), "");
}

static void
test_too_long(void **state)
{
	char *text = xcalloc(1, 2 * GDB_PACKET_MAX);

	memset(text, 'm', 2 * GDB_PACKET_MAX - 1);
	text[0] = '$';
	feed(text);
	feed("#00");
	assert_string_equal(said(), "-");
	ASK("qC", "QC1");
	free(text);
}

static void
test_queries(void **state)
{
	assert_non_null(strstr(reply_to("qSupported:swbreak+"), "PacketSize="));
	ASK("?", "T05thread:1;");
	ASK("qAttached", "1");
	ASK("qfThreadInfo", "m1,2");
	ASK("qsThreadInfo", "l");
	ASK("T2", "OK");
	ASK("T3", "E16");
	ASK("T", "E16");
	ASK("Hg2", "OK");
	ASK("qC", "QC2");
	ASK("Hg-1", "OK");
	ASK("Hc0", "OK");
	ASK("qC", "QC2");
	ASK("Hg9", "E16");
	ASK("H", "E16");
	ASK("qThreadExtraInfo,1", "764350552030");
	ASK("qThreadExtraInfo,7", "E16");
	ASK("vMustReplyEmpty", "");
	ASK("vCont?", "vCont;c;C;s;S");
	ASK("qSymbol::", "OK");
	ASK("!", "");
}

static void
test_features(void **state)
{
	struct gdb_buf xml = { 0 };
	size_t got = 0;
	char text[64];

	gdb_target_xml(&xml);
	for (bool last = false; !last;) {
		const char *r;

		snprintf(text, sizeof(text),
		    "qXfer:features:read:target.xml:%zx,300", got);
		r = reply_to(text);
		assert_true(*r == 'm' || *r == 'l');
		last = *r == 'l';
		assert_memory_equal(r + 1, xml.data + got, strlen(r + 1));
		got += strlen(r + 1);
	}
	assert_int_equal(got, xml.len);
	ASK("qXfer:features:read:other.xml:0,10", "E00");
	ASK("qXfer:features:read:target.xml:0", "E00");
	ASK("qXfer:features:read:target.xml:fffffff,10", "l");
	free(xml.data);
}

static void
test_registers(void **state)
{
	size_t all = strlen(reply_to("g"));

	/* 24 integer, 8 x87, 8 control, 33 SSE ... each at its own width. */
	assert_true(all > 2 * (17 * 8 + 7 * 4 + 80 + 32 + 256 + 4 + 256 + 16));
	ASK("Pzz=00", "E16");
	ASK("P0=0", "E16");
	ASK("Pffff=00", "E16");
	ASK("pffff", "E16");
	ASK("p", "E16");
	ASK("G", "OK"); /* none given, none set */
	ASK("Gzz", "E16");
	/* eflags has 32 bits. */
	assert_int_equal(strlen(reply_to("p11")), 8);
	assert_int_equal(strlen(reply_to("p18")), 20); /* st0 */
	assert_int_equal(strlen(reply_to("p28")), 32); /* xmm0 */
}

static void
test_memory(void **state)
{
	uint8_t bytes[4];

	ASK("M1000,4:deadBEEF", "OK");
	assert_int_equal(vm_mem_read(g->ctx, 0x1000, bytes, 4), 0);
	assert_memory_equal(bytes, "\xde\xad\xbe\xef", 4);
	ASK("m1000,4", "deadbeef");
	ASK("m1002,1", "be");
	ASK("m100000,1", "E0e"); /* beyond RAM */
	ASK("mfffff,2", "E0e");
	ASK("mffffffffffffffff,2", "E0e");
	ASK("m1000", "E16");
	ASK("M1000,4:dead", "E16");
	ASK("M1000,ffffffffffffffff:00", "E16");
	ASK("M100000,1:00", "E0e");
	/* Binary, with the escaped "}#". */
	ASK("X1000,2:}]}\003", "OK");
	assert_int_equal(vm_mem_read(g->ctx, 0x1000, bytes, 2), 0);
	assert_memory_equal(bytes, "}#", 2);
	ASK("X1000,3:ab", "E16");
	/* More than a packet holds comes in part. */
	assert_int_equal(
	    strlen(reply_to("m0,fffff")), 2 * (GDB_PACKET_MAX / 2 - 1));
}

static uint8_t
byte_at(uint64_t gpa)
{
	uint8_t b;

	assert_int_equal(vm_mem_read(g->ctx, gpa, &b, 1), 0);
	return b;
}

static void
test_breakpoints(void **state)
{
	static const uint8_t nop = 0x90;

	assert_int_equal(vm_mem_write(g->ctx, 0x2000, &nop, 1), 0);
	ASK("Z0,2000,1", "OK");
	assert_int_equal(byte_at(0x2000), 0xcc);
	ASK("Z0,2000,1", "OK"); /* twice is once */
	assert_int_equal(g->npoints, 1);
	assert_string_equal(gdb_point_int3(g, 0x2000), "swbreak:");
	assert_null(gdb_point_exec(g, 0x2000));
	/* The client sees what was there, and changes that. */
	ASK("m1ffe,4", "00009000");
	ASK("M1fff,3:112233", "OK");
	ASK("m1fff,3", "112233");
	assert_int_equal(byte_at(0x2000), 0xcc);
	ASK("M2000,1:90", "OK");
	ASK("z0,2000,1", "OK");
	assert_int_equal(byte_at(0x2000), 0x90);
	assert_null(gdb_point_int3(g, 0x2000));
	ASK("z0,2000,1", "OK");
	/* The guest put other code there: it stays. */
	ASK("Z0,2000,1", "OK");
	assert_int_equal(vm_mem_write(g->ctx, 0x2000, "\x55", 1), 0);
	ASK("z0,2000,1", "OK");
	assert_int_equal(byte_at(0x2000), 0x55);
	/* Nor is it hidden. */
	ASK("Z0,2000,1", "OK");
	assert_int_equal(vm_mem_write(g->ctx, 0x2000, "\x66", 1), 0);
	ASK("m2000,1", "66");
	ASK("z0,2000,1", "OK");
	ASK("Z0,100000,1", "E0e");
	ASK("Z5,1000,1", "E16");
	ASK("Z2,1000,0", "E16");
	ASK("Z2,ffffffffffffffff,2", "E16");
	ASK("Z1,1000", "E16");
	gdb_point_clear(g);
	assert_int_equal(g->npoints, 0);
}

/* The engine's registers end: its breakpoints move to memory, the latest first.
 */
static void
test_no_registers(void **state)
{
	char text[32];
	unsigned int i;

	for (i = 0; i < VM_DEBUG_POINTS_MAX; i++) {
		snprintf(text, sizeof(text), "Z%x,%x,4", 1 + i % 4, 64 * i);
		ASK(text, "OK");
	}
	ASK("Z1,5000,1", "OK");
	assert_int_equal(byte_at(0x5000), 0xcc);
	assert_string_equal(gdb_point_int3(g, 0x5000), "hwbreak:");
	assert_string_equal(gdb_point_exec(g, 0), "hwbreak:");
	ASK("m5000,1", "00");
	/* As many watchpoints as there were breakpoints. */
	for (i = 0; i < VM_DEBUG_POINTS_MAX / 4; i++) {
		snprintf(text, sizeof(text), "Z2,%x,4", 0x6000 + 64 * i);
		ASK(text, "OK");
	}
	assert_string_equal(gdb_point_int3(g, 0), "hwbreak:");
	ASK("Z2,7000,4", "E1c");
	ASK("z1,0,1", "OK");
	assert_int_equal(byte_at(0), 0);
	gdb_point_clear(g);
	assert_int_equal(byte_at(0x5000), 0);
	assert_int_equal(g->npoints, 0);
}

/* Nothing is mapped (the fake engine maps nothing): the engine waits for it. */
static void
test_not_mapped(void **state)
{
	g->phys = false;
	ASK("Z0,ffffffff81000000,1", "OK");
	assert_string_equal(gdb_point_exec(g, 0xffffffff81000000), "swbreak:");
	ASK("z0,ffffffff81000000,1", "OK");
	assert_null(gdb_point_exec(g, 0xffffffff81000000));
}

static void
test_going(void **state)
{
	vm_hold_all(g->ctx);
	ASK("vCont;q", "E16");
	ASK("vCont;s:9", "E16");
	ask("vCont;s:2");
	assert_true(g->running);
	assert_int_equal(g->stepping, 1);
	said();
	feed("\003");
	assert_string_equal(said(), "$T02thread:1;#d4");
	assert_false(g->running);
	ask("vCont;c");
	assert_true(g->running);
	assert_false(vm_is_held(g->ctx));
	said();
	ask("g"); /* while it runs there is no answer */
	assert_string_equal(said(), "+");
	feed("\003");
	said();
	ask("s2000");
	assert_int_equal(g->stepping, 0);
	said();
	feed("\003");
	said();
	ask("C05;3000");
	assert_true(g->running);
	said();
	feed("\003");
	said();
	ASK("D", "OK");
	assert_true(g->gone);
}

static void
test_monitor(void **state)
{
	assert_non_null(strstr(reply_to("qRcmd,68656c70"), "67706120"));
	assert_non_null(reply_to("qRcmd,7663707573"));
	assert_non_null(reply_to("qRcmd,7365676d656e7473"));
	assert_non_null(reply_to("qRcmd,6e6f6e65"));
	ASK("qRcmd,zz", "E16");
	assert_non_null(reply_to("qRcmd,"));
	assert_non_null(reply_to("qRcmd,70687973206f6666"));
	assert_false(g->phys);
	assert_non_null(reply_to("qRcmd,70687973206f6e"));
	assert_true(g->phys);
	assert_non_null(reply_to("qRcmd,67706120307831303030"));
	ask("k");
	assert_int_equal(vm_suspended(g->ctx), VM_SUSPEND_POWEROFF);
}

/* --- a client on a socket --------------------------------------------- */

static void
settle(struct vmctx *ctx)
{
	while (vm_event_poll(ctx, 50) > 0)
		continue;
}

static int
client(uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	return fd;
}

static uint16_t
bound_port(int fd)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	return ntohs(sin.sin_port);
}

static void
test_client(void **state)
{
	struct vmctx *ctx = g->ctx;
	struct gdb *stub, *none;
	char err[300], buf[64] = "";
	uint16_t port;
	int a, b;

	assert_int_equal(gdb_create(ctx, "nowhere.invalid", 1, false, &stub,
			     err, sizeof(err)),
	    -EINVAL);
	/* Port 0 takes a free one, for this test only. */
	assert_int_equal(
	    gdb_create(ctx, "127.0.0.1", 0, true, &stub, err, sizeof(err)), 0);
	assert_true(vm_is_held(ctx)); /* waits */
	port = bound_port(stub->listen_fd);
	assert_int_equal(
	    gdb_create(ctx, "127.0.0.1", port, false, &none, err, sizeof(err)),
	    -EADDRINUSE);
	a = client(port);
	settle(ctx);
	assert_true(vm_is_held(ctx));
	assert_int_equal(write(a, "$qC#b4", 6), 6);
	settle(ctx);
	assert_int_equal(read(a, buf, sizeof(buf)), 8);
	assert_string_equal(buf, "+$QC1#c5");
	b = client(port); /* waits for the first to leave */
	settle(ctx);
	close(a);
	settle(ctx);
	assert_true(vm_is_held(ctx)); /* by the second */
	assert_int_equal(write(b, "$D#44", 5), 5);
	settle(ctx);
	assert_false(vm_is_held(ctx));
	close(b);
	a = client(port);
	settle(ctx);
	gdb_destroy(stub, 1);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(read(a, buf, sizeof(buf)), 7);
	assert_string_equal(buf, "$W01#b8");
	close(a);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_framing),
		T(test_too_long),
		T(test_queries),
		T(test_features),
		T(test_registers),
		T(test_memory),
		T(test_breakpoints),
		T(test_no_registers),
		T(test_not_mapped),
		T(test_going),
		T(test_monitor),
		T(test_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
