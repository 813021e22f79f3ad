/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gdb_priv.h - between the stub's files: gdb.c (the session: sockets, stopping
 * and going on), gdb_packet.c (framing), gdb_cmd.c (commands), gdb_point.c
 * (breakpoints), gdb_reg.c (registers), gdb_monitor.c (our own commands).
 *
 * "RSP" below is appendix E of the gdb manual, "Remote Protocol".  All of it
 * runs in the event thread but gdb_on_exit().
 */
#ifndef GDB_PRIV_H
#define GDB_PRIV_H

#include <ctl/gdb.h>

#include <util/lock.h>
#include <vmm/debug.h>

/* --- framing -------------------------------------------------------------- */

#define GDB_PACKET_MAX                                                         \
	0x1000u /* bytes of a packet's data, told by PacketSize */

/* Data to send: escaped and with its checksum by gdb_packet_end(). */
struct gdb_buf {
	char *data;
	size_t len, cap;
};
void gdb_buf_add(struct gdb_buf *, const void *data, size_t len);
void gdb_printf(struct gdb_buf *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void gdb_buf_hex(struct gdb_buf *, const uint8_t *bytes, size_t len);

enum gdb_in_state {
	GDB_IN_IDLE,
	GDB_IN_DATA,
	GDB_IN_ESC,
	GDB_IN_SUM1,
	GDB_IN_SUM2
};
struct gdb_in {
	enum gdb_in_state state;
	char data[GDB_PACKET_MAX + 1]; /* NUL-terminated when complete */
	size_t len;
	bool too_long;
	uint8_t sum, want; /* as computed, as received */
};
enum gdb_event {
	GDB_NOTHING,
	GDB_PACKET,    /* in->data, in->len */
	GDB_BAD,       /* checksum or length: ask again */
	GDB_INTERRUPT, /* ^C */
	GDB_NAK,       /* send the last reply again */
};
enum gdb_event gdb_in_byte(struct gdb_in *, uint8_t byte);
/* Wraps `data` as "$...#xx" and appends it to out. */
void gdb_wrap(struct gdb_buf *out, const struct gdb_buf *data);

/* Hexadecimal number at *s, moved past it; false: none, or over 16 digits. */
bool gdb_parse_hex(const char **s, uint64_t *ret);
/* n bytes from 2n hexadecimal digits; false: others are there. */
bool gdb_parse_bytes(const char *hex, uint8_t *ret, size_t n);

/* --- the session ---------------------------------------------------------- */

/* How a vCPU came to stand, for the stop reply. */
struct gdb_stop {
	bool valid;	 /* atomic: filled by the vCPU's thread */
	uint64_t watch;	 /* address, when it is a watchpoint */
	const char *why; /* "watch", "hwbreak" ... of RSP's T packet, or NULL */
};

struct gdb_point {
	enum vm_debug_kind kind;
	bool software;	/* the client asked for a software breakpoint */
	bool in_memory; /* an INT3 is there; else the engine has it */
	uint8_t saved;	/* the byte under the INT3 */
	uint64_t gla, len;
	uint64_t gpa; /* where the INT3 was put */
};
#define GDB_POINTS_MAX 256

struct evfd;

struct gdb {
	struct vmctx *ctx;
	struct lock lock; /* of the event callbacks */
	int listen_fd, client_fd, stop_fd;
	struct evfd *listen_ev, *client_ev, *stop_ev;

	struct gdb_in in;
	struct gdb_buf out;   /* not yet taken by the host */
	struct gdb_buf reply; /* the last, for a NAK */
	bool no_ack;
	bool no_int3; /* the engine does not exit there */
	bool phys;    /* memory addresses are guest-physical */
	bool gone;    /* the client asked to end: close when out is empty */

	unsigned int cpu; /* selected by Hg, T and the last stop */
	bool running;
	int stepping; /* vCPU with VM_CAP_MTRAP_EXIT, -1: none */
	struct gdb_stop stop[VM_MAXCPU];

	struct lock point_lock; /* leaf: the list is read by vCPU threads */
	struct gdb_point point[GDB_POINTS_MAX];
	unsigned int npoints;
};

struct vcpu *gdb_vcpu(struct gdb *);
/* Sends one reply. */
void gdb_reply(struct gdb *, const struct gdb_buf *data);
void gdb_reply_str(struct gdb *, const char *s);
/* Bytes from the client. */
void gdb_input(struct gdb *, const uint8_t *bytes, size_t len);
void gdb_stop_now(struct gdb *, unsigned int signo);
/* RSP's T packet for the selected vCPU; numbers are gdb's, not the host's. */
#define GDB_SIGINT  2
#define GDB_SIGTRAP 5
void gdb_reply_stopped(struct gdb *, unsigned int signo);
/*
 * Lets the guest run: `step` is the vCPU to step or -1, `others` whether the
 * rest runs too.
 */
void gdb_go(struct gdb *, int step, bool others);
void gdb_detach(struct gdb *);

/* gdb_cmd.c: one packet. */
void gdb_command(struct gdb *, char *packet, size_t len);
/* gdb_monitor.c: "monitor ..." from gdb's user; text for him into out. */
void gdb_monitor(struct gdb *, const char *line, struct gdb_buf *out);

/* gdb_point.c.  Type is RSP's Z number.  0 or -errno. */
int gdb_point_add(struct gdb *, unsigned int type, uint64_t gla, uint64_t len);
int gdb_point_del(struct gdb *, unsigned int type, uint64_t gla, uint64_t len);
void gdb_point_clear(struct gdb *);
/*
 * The stop reason for an INT3 at gpa or for the engine's breakpoint at gla;
 * NULL: there is none of ours.  Any thread.
 */
const char *gdb_point_int3(struct gdb *, uint64_t gpa);
const char *gdb_point_exec(struct gdb *, uint64_t gla);

/* Guest memory of the selected vCPU; false: not all of it is RAM. */
bool gdb_mem_read(struct gdb *, uint64_t addr, void *buf, size_t len);
bool gdb_mem_write(struct gdb *, uint64_t addr, const void *buf, size_t len);
/* Translate as the selected vCPU does now. */
bool gdb_translate(struct gdb *, uint64_t gla, uint64_t *ret_gpa);

/* gdb_reg.c.  Numbers are those of the target description. */
unsigned int gdb_reg_count(void);
/* Appends register n in target byte order as hex; false: no such register. */
bool gdb_reg_read(struct vcpu *, unsigned int n, struct gdb_buf *out);
/* Hex digits consumed, 0: refused. */
size_t gdb_reg_write(struct vcpu *, unsigned int n, const char *hex);
/* The target description, made anew. */
void gdb_target_xml(struct gdb_buf *out);

#endif /* GDB_PRIV_H */
