/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gdb.c - the debugger stub's session: the sockets, and how the machine stops
 * and goes on for it.
 *
 * A client that connects stops the machine; one that leaves takes its
 * breakpoints with it and lets the machine run.  The event thread does all the
 * work.  A vCPU that meets a breakpoint only writes down why, holds itself and
 * wakes the event thread, which then holds the others and tells the client.
 */
#include "gdb_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <backend/sock.h>
#include <util/log.h>
#include <vmm/event.h>
#include <vmm/vcpu.h>

#define OUT_MAX (1u << 20) /* a client that does not read is dropped */

struct vcpu *
gdb_vcpu(struct gdb *g)
{
	return vm_vcpu_get(g->ctx, g->cpu);
}

/* --- out ------------------------------------------------------------------ */

static void
gdb_flush(struct gdb *g)
{
	size_t done = 0;

	while (done < g->out.len) {
		ssize_t n = send(g->client_fd, g->out.data + done,
		    g->out.len - done, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break; /* a dead client is found by the next read */
		done += (size_t)n;
	}
	memmove(g->out.data, g->out.data + done, g->out.len - done);
	g->out.len -= done;
	if (g->client_ev != NULL)
		evfd_set(g->client_ev,
		    EVFD_READ | (g->out.len > 0 ? EVFD_WRITE : 0));
}

static void
gdb_send(struct gdb *g, const void *data, size_t len)
{
	gdb_buf_add(&g->out, data, len);
	if (g->out.len > OUT_MAX)
		g->gone = true;
}

void
gdb_reply(struct gdb *g, const struct gdb_buf *data)
{
	g->reply.len = 0;
	gdb_wrap(&g->reply, data);
	gdb_send(g, g->reply.data, g->reply.len);
}

void
gdb_reply_str(struct gdb *g, const char *s)
{
	const struct gdb_buf b = { (char *)(uintptr_t)s, strlen(s), 0 };

	gdb_reply(g, &b);
}

/* --- stopping ------------------------------------------------------------- */

/* By its place in memory: the same page may be mapped elsewhere, too. */
static const char *
gdb_int3_at(struct gdb *g, struct vcpu *vcpu, uint64_t rip)
{
	uint64_t base = 0, gpa;
	uint32_t limit, access = 0;

	if (vm_get_desc(vcpu, VM_REG_GUEST_CS, &base, &limit, &access) != 0 ||
	    SEG_DESC_L(access))
		base = 0;
	if (vm_gla2gpa_nofault(vcpu, rip + base, &gpa) != 0)
		return NULL;
	return gdb_point_int3(g, gpa);
}

/* The vCPU's thread; it is held already. */
static bool
gdb_on_exit(struct vcpu *vcpu, const struct vm_exit *x, void *arg)
{
	struct gdb *g = arg;
	struct gdb_stop *stop = &g->stop[vcpu_id(vcpu)];
	const uint64_t one = 1;

	*stop = (struct gdb_stop){ 0 };
	switch (x->exitcode) {
	case VM_EXITCODE_BPT:
		stop->why = gdb_int3_at(g, vcpu, x->rip);
		if (stop->why == NULL)
			return false;
		break;
	case VM_EXITCODE_DB:
		stop->watch = x->u.db.gla;
		stop->why = x->u.db.exec    ? gdb_point_exec(g, x->u.db.gla)
			    : x->u.db.write ? "watch:"
					    : "awatch:";
		break;
	default:
		break;
	}
	__atomic_store_n(&stop->valid, true, __ATOMIC_RELEASE);
	if (write(g->stop_fd, &one, sizeof(one)) != sizeof(one))
		log_debug("gdb: eventfd: %s", strerror(errno));
	return true;
}

/* All vCPUs stand and none is stepping. */
static void
gdb_hold(struct gdb *g)
{
	vm_hold_all(g->ctx);
	g->running = false;
	if (g->stepping < 0)
		return;
	(void)vm_set_capability(vm_vcpu_get(g->ctx, (unsigned int)g->stepping),
	    VM_CAP_MTRAP_EXIT, 0);
	(void)vm_set_capability(vm_vcpu_get(g->ctx, (unsigned int)g->stepping),
	    VM_CAP_MASK_HWINTR, 0);
	g->stepping = -1;
}

void
gdb_reply_stopped(struct gdb *g, unsigned int signo)
{
	char text[32];

	snprintf(text, sizeof(text), "T%02xthread:%x;", signo, g->cpu + 1);
	gdb_reply_str(g, text);
}

void
gdb_stop_now(struct gdb *g, unsigned int signo)
{
	if (!g->running)
		return;
	gdb_hold(g);
	gdb_reply_stopped(g, signo);
}

/*
 * The lowest vCPU that came to stand speaks.  Another that met a breakpoint at
 * the same time meets it again when it goes on; a watchpoint it tells then.
 */
static bool
gdb_report(struct gdb *g)
{
	struct gdb_buf b = { 0 };

	for (unsigned int i = 0; i < VM_MAXCPU; i++) {
		struct gdb_stop *stop = &g->stop[i];

		if (!__atomic_load_n(&stop->valid, __ATOMIC_ACQUIRE))
			continue;
		stop->valid = false;
		g->cpu = i;
		gdb_printf(&b, "T%02xthread:%x;", GDB_SIGTRAP, g->cpu + 1);
		if (stop->why != NULL && strstr(stop->why, "watch") != NULL)
			gdb_printf(&b, "%s%lx;", stop->why, stop->watch);
		else if (stop->why != NULL)
			gdb_printf(&b, "%s;", stop->why);
		gdb_reply(g, &b);
		free(b.data);
		return true;
	}
	return false;
}

static void
gdb_forget_breaks(struct gdb *g)
{
	for (unsigned int i = 0; i < VM_MAXCPU; i++) {
		struct gdb_stop *stop = &g->stop[i];

		if (stop->why == NULL || strstr(stop->why, "watch") == NULL)
			stop->valid = false;
	}
}

static void
gdb_stop_event(unsigned int events, void *arg)
{
	struct gdb *g = arg;
	uint64_t n;

	if (read(g->stop_fd, &n, sizeof(n)) != sizeof(n) ||
	    g->client_fd == -1 || !g->running)
		return;
	gdb_hold(g);
	if (gdb_report(g))
		gdb_forget_breaks(g);
	gdb_flush(g);
}

/* --- going on ------------------------------------------------------------- */

void
gdb_go(struct gdb *g, int step, bool others)
{
	struct vcpu *vcpu;

	if (gdb_report(g))
		return; /* a watchpoint that was met at the last stop */
	g->running = true;
	g->stepping = step;
	if (step >= 0) {
		vcpu = vm_vcpu_get(g->ctx, (unsigned int)step);
		(void)vm_set_capability(vcpu, VM_CAP_MTRAP_EXIT, 1);
		(void)vm_set_capability(vcpu, VM_CAP_MASK_HWINTR, 1);
		if (!others) {
			vm_release_one(vcpu);
			return;
		}
	}
	vm_release_all(g->ctx);
}

/* INT3 of all vCPUs is ours to look at while there is a client. */
static void
gdb_break_exits(struct gdb *g, int on)
{
	for (unsigned int i = 0; i < vm_ncpus(g->ctx) && !g->no_int3; i++)
		(void)vm_set_capability(
		    vm_vcpu_get(g->ctx, i), VM_CAP_BPT_EXIT, on);
}

/* Once, as the engine may have to try it: a client would not wait so long. */
static void
gdb_try_int3(struct gdb *g)
{
	struct vcpu *vcpu = vm_vcpu_get(g->ctx, 0);

	g->no_int3 = vm_set_capability(vcpu, VM_CAP_BPT_EXIT, 1) != 0;
	if (g->no_int3)
		log_warn("gdb: engine %s does not stop at INT3 here: "
			 "software breakpoints take debug registers",
		    vm_get_engine(g->ctx));
	else
		(void)vm_set_capability(vcpu, VM_CAP_BPT_EXIT, 0);
}

void
gdb_detach(struct gdb *g)
{
	if (vm_suspended(g->ctx) == VM_SUSPEND_NONE)
		gdb_hold(g);
	gdb_point_clear(g);
	gdb_break_exits(g, 0);
	vm_set_debugger(g->ctx, NULL, NULL);
	memset(g->stop, 0, sizeof(g->stop));
	g->phys = g->no_ack = g->gone = g->running = false;
	evfd_del(g->client_ev);
	g->client_ev = NULL;
	close(g->client_fd);
	g->client_fd = -1;
	g->out.len = g->reply.len = 0;
	evfd_set(g->listen_ev, EVFD_READ);
	vm_release_all(g->ctx);
}

/* --- in ------------------------------------------------------------------- */

static void
gdb_packet(struct gdb *g)
{
	if (!g->no_ack)
		gdb_send(g, "+", 1);
	/* While the guest runs only ^C means something. */
	if (!g->running)
		gdb_command(g, g->in.data, g->in.len);
}

void
gdb_input(struct gdb *g, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len && !g->gone; i++) {
		switch (gdb_in_byte(&g->in, bytes[i])) {
		case GDB_NOTHING:
			break;
		case GDB_PACKET:
			gdb_packet(g);
			break;
		case GDB_BAD:
			if (!g->no_ack)
				gdb_send(g, "-", 1);
			break;
		case GDB_NAK:
			if (!g->no_ack)
				gdb_send(g, g->reply.data, g->reply.len);
			break;
		case GDB_INTERRUPT:
			gdb_stop_now(g, GDB_SIGINT);
			break;
		}
	}
}

static void
gdb_client_event(unsigned int events, void *arg)
{
	struct gdb *g = arg;
	uint8_t buf[4096];
	ssize_t n = recv(g->client_fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n > 0)
		gdb_input(g, buf, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		g->gone = true;
	gdb_flush(g);
	if (g->gone)
		gdb_detach(g);
}

static void
gdb_listen_event(unsigned int events, void *arg)
{
	struct gdb *g = arg;
	int fd = sock_accept(g->listen_fd);

	if (fd < 0)
		return;
	g->client_fd = fd;
	g->client_ev =
	    evfd_add(g->ctx, fd, EVFD_READ, &g->lock, gdb_client_event, g);
	if (g->client_ev == NULL) {
		log_warn("gdb: %s", strerror(errno));
		close(fd);
		g->client_fd = -1;
		return;
	}
	/* The next one waits in the kernel's queue until this one leaves. */
	evfd_set(g->listen_ev, 0);
	g->in.state = GDB_IN_IDLE;
	g->cpu = 0;
	g->stepping = -1;
	gdb_hold(g);
	vm_set_debugger(g->ctx, gdb_on_exit, g);
	gdb_break_exits(g, 1);
	log_info("gdb: a debugger is attached, the guest stands");
}

/* --- coming and going ----------------------------------------------------- */

static int
gdb_watch(struct gdb *g)
{
	g->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (g->stop_fd == -1)
		return -errno;
	g->stop_ev = evfd_add(
	    g->ctx, g->stop_fd, EVFD_READ, &g->lock, gdb_stop_event, g);
	g->listen_ev = evfd_add(
	    g->ctx, g->listen_fd, EVFD_READ, &g->lock, gdb_listen_event, g);
	return g->stop_ev == NULL || g->listen_ev == NULL ? -errno : 0;
}

int
gdb_create(struct vmctx *ctx, const char *addr, uint16_t port, bool wait,
    struct gdb **ret, char *err, size_t err_len)
{
	struct gdb *g = xcalloc(1, sizeof(*g));
	int error = 0;

	g->ctx = ctx;
	g->client_fd = g->stop_fd = -1;
	g->stepping = -1;
	lock_init(&g->lock);
	lock_init(&g->point_lock);
	g->listen_fd = sock_listen(addr, port, err, err_len);
	if (g->listen_fd < 0)
		error = g->listen_fd;
	if (error == 0) {
		error = gdb_watch(g);
		if (error != 0)
			snprintf(err, err_len, "%s", strerror(-error));
	}
	if (error != 0) {
		gdb_destroy(g, 0);
		return error;
	}
	gdb_try_int3(g);
	if (wait)
		vm_hold_all(ctx);
	*ret = g;
	return 0;
}

/* RSP's W packet: the process, here the machine, has exited. */
static void
gdb_say_exit(struct gdb *g, int status)
{
	char text[8];

	snprintf(text, sizeof(text), "W%02x", (unsigned int)status & 0xff);
	gdb_reply_str(g, text);
	gdb_flush(g);
}

void
gdb_destroy(struct gdb *g, int status)
{
	if (g == NULL)
		return;
	if (g->client_fd != -1) {
		gdb_say_exit(g, status);
		gdb_detach(g);
	}
	evfd_del(g->listen_ev);
	evfd_del(g->stop_ev);
	if (g->listen_fd >= 0)
		close(g->listen_fd);
	if (g->stop_fd != -1)
		close(g->stop_fd);
	free(g->out.data);
	free(g->reply.data);
	lock_fini(&g->point_lock);
	lock_fini(&g->lock);
	free(g);
}
