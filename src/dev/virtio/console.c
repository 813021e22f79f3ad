/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-console: up to 16 byte streams between guest and host, OASIS
 * virtio 1.2 section 5.3, with the settings of bhyve's (docs/bhyve.md 4.2):
 * each port is a unix socket that we listen on, or any other character backend.
 *
 * With MULTIPORT the driver hears by control messages when a client comes and
 * goes, and says when a program in the guest opens and closes the port; without
 * it there is port 0 alone, and it is always open.
 *
 * Nothing is lost, nothing grows, nobody spins: what a client sent and the
 * guest has no buffer for stays in a few kilobytes here, and then in the
 * client's socket; what the host does not take stays in the guest's buffer; a
 * control message is not queued but follows from what the driver was told last.
 *
 * Missing on purpose: RESIZE messages, whose two fields Linux and the
 * specification have in opposite order; a terminal's size is in the
 * configuration structure.
 *
 * Runs in the vCPU thread that kicks and in the event thread, with the device's
 * lock held.
 */
#include <vmm/virtio.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <backend/char.h>
#include <conf/conf.h>
#include <util/log.h>
#include <vmm/event.h>
#include <vmm/snap.h>

#define CONSOLE_TYPE	   3
#define CONSOLE_NPORTS	   16u
#define CONSOLE_QUEUE_SIZE 64
#define CONSOLE_IOV_MAX	   64
#define CONSOLE_NAME_MAX   64u
#define CONSOLE_HELD_BYTES 4096u
#define CONSOLE_RETRY_NS   10000000ull

/* 5.3.3 and 5.3.4 */
#define CONSOLE_F_SIZE	      0
#define CONSOLE_F_MULTIPORT   1
#define CONSOLE_F_EMERG_WRITE 2
#define CONSOLE_CFG_COLS      0
#define CONSOLE_CFG_ROWS      2
#define CONSOLE_CFG_NPORTS    4
#define CONSOLE_CFG_EMERG     8
#define CONSOLE_CFG_LEN	      12

/* 5.3.2 */
#define QUEUE_CTRL_RX 2u /* to the driver */
#define QUEUE_CTRL_TX 3u

/* 5.3.6.2 */
enum console_event {
	EVENT_DEVICE_READY,
	EVENT_DEVICE_ADD,
	EVENT_DEVICE_REMOVE,
	EVENT_PORT_READY,
	EVENT_CONSOLE_PORT,
	EVENT_RESIZE,
	EVENT_PORT_OPEN,
	EVENT_PORT_NAME,
};

struct console_ctrl {
	uint32_t id;
	uint16_t event;
	uint16_t value;
};
static_assert(sizeof(struct console_ctrl) == 8, "5.3.6.2");

/* What the driver must still be told about a port, in this order. */
#define TELL_ADD     0x01
#define TELL_CONSOLE 0x02
#define TELL_NAME    0x04

/* What the guest sees of a port. */
struct port_regs {
	uint8_t tell;	    /* TELL_x */
	uint8_t ready;	    /* PORT_READY came */
	uint8_t guest_open; /* a program in the guest has it open */
	uint8_t told_open;  /* the driver believes a client is there */
	uint32_t tx_done;   /* of the next chain to the host: bytes gone */
	uint32_t held_len;
	uint8_t held[CONSOLE_HELD_BYTES]; /* from the client */
};

struct port {
	struct console *con;
	unsigned int id;
	struct chardev *cd; /* NULL: there is no such port */
	char *name;	    /* or NULL */
	bool is_console;
	bool no_clients;      /* no socket: its other end is always there */
	struct evfd *rx, *tx; /* tx exists while output is left over */
	bool rx_on;
	uint32_t told_client; /* char_client() the driver was told of */
	struct port_regs r;

	bool tx_held; /* tx_chain was popped, and is not gone whole */
	struct vq_chain tx_chain;
	struct iovec tx_iov[CONSOLE_IOV_MAX];
};

struct console {
	struct virtio_dev dev; /* first */
	struct pci_dev *pd;
	struct evtimer *more; /* goes on where a kick had to stop */
	bool paused;
	unsigned int nports; /* highest number + 1 */
	struct port port[CONSOLE_NPORTS];
};

static struct console *
console_of(struct virtio_dev *dev)
{
	return (struct console *)dev;
}

static bool
console_multiport(const struct console *con)
{
	return virtio_has(&con->dev, CONSOLE_F_MULTIPORT);
}

/* 5.3.2: the control queues lie between those of port 0 and port 1. */
static struct vq *
port_rx_vq(struct port *p)
{
	return virtio_vq(&p->con->dev, p->id == 0 ? 0 : 2 * p->id + 2);
}

static struct vq *
port_tx_vq(struct port *p)
{
	return virtio_vq(&p->con->dev, p->id == 0 ? 1 : 2 * p->id + 3);
}

/* The port a queue belongs to, if there is one. */
static struct port *
console_port_of(struct console *con, unsigned int q)
{
	struct port *p = &con->port[q < 2 ? 0 : (q - 2) / 2];

	return p->cd != NULL ? p : NULL;
}

/* --- control messages to the driver --------------------------------------- */

/* False: there is no buffer; a kick will come. */
static bool
console_tell(struct console *con, const struct port *p,
    enum console_event event, uint16_t value, const char *name)
{
	const struct console_ctrl m = { p->id, (uint16_t)event, value };
	struct vq *vq = virtio_vq(&con->dev, QUEUE_CTRL_RX);
	struct iovec iov[CONSOLE_IOV_MAX];
	struct vq_chain c;
	size_t n;

	if (vq_pop(vq, iov, CONSOLE_IOV_MAX, &c) != 1)
		return false;
	n = vq_chain_write(&c, 0, &m, sizeof(m));
	/* 5.3.6.2: without a NUL; what does not fit is cut. */
	if (name != NULL)
		n += vq_chain_write(&c, sizeof(m), name, strlen(name));
	vq_push(vq, &c, (uint32_t)n);
	return true;
}

/* One message, if one is due; false: none, or no buffer. */
static bool
port_tell_next(struct port *p)
{
	static const struct {
		uint8_t tell;
		enum console_event event;
	} once[] = {
		{ TELL_ADD, EVENT_DEVICE_ADD },
		{ TELL_CONSOLE, EVENT_CONSOLE_PORT },
		{ TELL_NAME, EVENT_PORT_NAME },
	};
	uint32_t client = char_client(p->cd);
	bool open;

	for (size_t i = 0; i < ARRAY_LEN(once); i++) {
		if ((p->r.tell & once[i].tell) == 0)
			continue;
		if (!console_tell(p->con, p, once[i].event, 1,
			once[i].tell == TELL_NAME ? p->name : NULL))
			return false;
		p->r.tell &= (uint8_t)~once[i].tell;
		return true;
	}
	/* A client is told to have left when all it said was delivered. */
	if (!p->r.ready || client == p->told_client ||
	    (p->told_client != 0 && p->r.held_len > 0))
		return false;
	open = p->told_client == 0;
	if (!console_tell(p->con, p, EVENT_PORT_OPEN, open, NULL))
		return false;
	p->told_client = open ? client : 0;
	p->r.told_open = open;
	return true;
}

static void
console_tell_all(struct console *con)
{
	if (!console_multiport(con))
		return;
	for (unsigned int i = 0; i < con->nports; i++)
		while (con->port[i].cd != NULL && port_tell_next(&con->port[i]))
			;
	vq_notify(virtio_vq(&con->dev, QUEUE_CTRL_RX));
}

/* --- from the client to the guest ----------------------------------------- */

/* Whether the guest wants bytes at all. */
static bool
port_wants_input(const struct port *p)
{
	if (!virtio_running(&p->con->dev))
		return false;
	return console_multiport(p->con) ? p->r.guest_open : p->id == 0;
}

/* The client is heard while nothing of it is held, and no news is untold. */
static void
port_watch_input(struct port *p)
{
	bool want = p->r.held_len == 0 && !p->con->paused;

	if (console_multiport(p->con) && p->told_client != 0)
		want = want && char_client(p->cd) == p->told_client;
	if (p->rx == NULL || want == p->rx_on)
		return;
	p->rx_on = want;
	evfd_set(p->rx, want ? EVFD_READ : 0);
}

static void
port_deliver(struct port *p)
{
	struct vq *vq = port_rx_vq(p);
	struct iovec iov[CONSOLE_IOV_MAX];
	uint32_t done = 0;
	struct vq_chain c;

	for (unsigned int i = 0; i < CONSOLE_QUEUE_SIZE; i++) {
		size_t n;

		if (done == p->r.held_len || !port_wants_input(p) ||
		    vq_pop(vq, iov, CONSOLE_IOV_MAX, &c) != 1)
			break;
		n = vq_chain_write(
		    &c, 0, p->r.held + done, p->r.held_len - done);
		done += (uint32_t)n;
		vq_push(vq, &c, (uint32_t)n);
	}
	p->r.held_len -= done;
	memmove(p->r.held, p->r.held + done, p->r.held_len);
	vq_notify(vq);
}

/* After anything changed: deliver, tell, and see whether to listen. */
static void
port_update(struct port *p)
{
	port_deliver(p);
	console_tell_all(p->con);
	port_watch_input(p);
}

static void
port_on_readable(unsigned int events, void *arg)
{
	struct port *p = arg;
	struct console *con = p->con;
	ssize_t n;

	pci_dev_lock(con->pd);
	/* The event may be older than what was wanted last. */
	if (p->rx_on) {
		n = char_read(p->cd, p->r.held, sizeof(p->r.held));
		if (n > 0)
			p->r.held_len = (uint32_t)n;
		if (n < 0) { /* the end of a file: readable for ever */
			evfd_del(p->rx);
			p->rx = NULL;
		}
		port_update(p);
	}
	pci_dev_unlock(con->pd);
}

/* --- from the guest to the client ----------------------------------------- */

static void port_send(struct port *);

/*
 * The watch for output is made when something is left over, and removed only
 * here, by its own callback: evfd_del() from elsewhere would wait for us.
 */
static void
port_on_writable(unsigned int events, void *arg)
{
	struct port *p = arg;
	struct console *con = p->con;

	pci_dev_lock(con->pd);
	if (char_flush(p->cd)) {
		evfd_del(p->tx);
		p->tx = NULL;
		if (!con->paused)
			port_send(p);
	}
	pci_dev_unlock(con->pd);
}

/* True: all of the chain is gone. */
static bool
port_send_chain(struct port *p)
{
	const struct vq_chain *c = &p->tx_chain;
	uint64_t skip = p->r.tx_done;

	for (unsigned int i = 0; i < c->niov_out; i++) {
		const struct iovec *v = &c->iov[i];
		size_t n, len;

		if (skip >= v->iov_len) {
			skip -= v->iov_len;
			continue;
		}
		len = v->iov_len - (size_t)skip;
		n = char_write(
		    p->cd, (uint8_t *)v->iov_base + (size_t)skip, len);
		p->r.tx_done += (uint32_t)n;
		if (n < len)
			return false;
		skip = 0;
	}
	return true;
}

/* True: the host has taken all; false: we shall hear when it has. */
static bool
port_flushed(struct port *p)
{
	struct vmctx *ctx = pci_dev_vm(p->con->pd);

	if (p->tx != NULL)
		return false;
	if (char_flush(p->cd))
		return true;
	p->tx = evfd_add(
	    ctx, char_write_fd(p->cd), EVFD_WRITE, NULL, port_on_writable, p);
	if (p->tx == NULL)
		evtimer_arm(p->con->more, vm_clock_ns(ctx) + CONSOLE_RETRY_NS);
	return false;
}

/*
 * At most a queue full in one go: a guest that fills it while we empty it must
 * not keep the thread for ever.
 */
static void
port_send(struct port *p)
{
	struct vq *vq = port_tx_vq(p);
	unsigned int n = 0;

	while (n < CONSOLE_QUEUE_SIZE && port_flushed(p)) {
		if (!p->tx_held &&
		    vq_pop(vq, p->tx_iov, CONSOLE_IOV_MAX, &p->tx_chain) != 1)
			break;
		p->tx_held = !port_send_chain(p);
		if (p->tx_held)
			continue;
		p->r.tx_done = 0;
		vq_push(vq, &p->tx_chain, 0);
		n++;
	}
	vq_notify(vq);
	if (n == CONSOLE_QUEUE_SIZE)
		evtimer_arm(p->con->more, 0);
}

static void
console_on_more(void *arg)
{
	struct console *con = arg;

	pci_dev_lock(con->pd);
	for (unsigned int i = 0; i < con->nports; i++)
		if (con->port[i].cd != NULL && !con->paused)
			port_send(&con->port[i]);
	pci_dev_unlock(con->pd);
}

/* --- control messages from the driver ------------------------------------- */

static void
console_device_ready(struct console *con, uint16_t value)
{
	if (value != 1)
		return; /* the driver could not begin */
	for (unsigned int i = 0; i < con->nports; i++)
		con->port[i].r.tell |= TELL_ADD;
}

static void
port_ready(struct port *p, uint16_t value)
{
	if (value != 1)
		return;
	p->r.ready = true;
	if (p->is_console)
		p->r.tell |= TELL_CONSOLE;
	if (p->name != NULL)
		p->r.tell |= TELL_NAME;
}

static void
port_open(struct port *p, uint16_t value)
{
	p->r.guest_open = value == 1;
	port_deliver(p);
	port_watch_input(p);
}

static void
console_control(struct console *con, const struct console_ctrl *m)
{
	static void (*const handlers[])(struct port *, uint16_t value) = {
		[EVENT_PORT_READY] = port_ready,
		[EVENT_PORT_OPEN] = port_open,
	};

	if (m->event == EVENT_DEVICE_READY) {
		console_device_ready(con, m->value);
		return;
	}
	if (m->event >= ARRAY_LEN(handlers) || handlers[m->event] == NULL ||
	    m->id >= con->nports || con->port[m->id].cd == NULL) {
		guest_error(pci_dev_name(con->pd),
		    "control message %u for port %u makes no sense", m->event,
		    m->id);
		return;
	}
	handlers[m->event](&con->port[m->id], m->value);
}

static void
console_read_control(struct console *con)
{
	struct vq *vq = virtio_vq(&con->dev, QUEUE_CTRL_TX);
	struct iovec iov[CONSOLE_IOV_MAX];
	struct vq_chain c;

	for (unsigned int i = 0; i < CONSOLE_QUEUE_SIZE; i++) {
		struct console_ctrl m;

		if (vq_pop(vq, iov, CONSOLE_IOV_MAX, &c) != 1)
			break;
		if (vq_chain_read(&c, 0, &m, sizeof(m)) == sizeof(m))
			console_control(con, &m);
		vq_push(vq, &c, 0);
	}
	vq_notify(vq);
	console_tell_all(con);
}

/* --- the device ----------------------------------------------------------- */

static void
console_notify(struct virtio_dev *dev, unsigned int q)
{
	struct console *con = console_of(dev);
	struct port *p = console_port_of(con, q);

	if (q == QUEUE_CTRL_TX) {
		if (console_multiport(con))
			console_read_control(con);
	} else if (q == QUEUE_CTRL_RX) {
		console_tell_all(con);
		for (unsigned int i = 0; i < con->nports; i++)
			if (con->port[i].cd != NULL)
				port_watch_input(&con->port[i]);
	} else if (p != NULL && q % 2 == 0) {
		port_update(p);
	} else if (p != NULL) {
		port_send(p);
	}
}

/* What a client sent is kept for the next driver. */
static void
console_reset(struct virtio_dev *dev)
{
	struct console *con = console_of(dev);

	evtimer_disarm(con->more);
	for (unsigned int i = 0; i < con->nports; i++) {
		struct port *p = &con->port[i];

		p->r.tell = p->r.ready = p->r.guest_open = p->r.told_open = 0;
		p->r.tx_done = 0;
		p->told_client = 0;
		p->tx_held = false;
		port_watch_input(p);
	}
}

static void
console_cfg_read(
    struct virtio_dev *dev, unsigned int off, void *buf, unsigned int len)
{
	struct console *con = console_of(dev);
	uint8_t cfg[CONSOLE_CFG_LEN] = { 0 };
	uint16_t cols = 0, rows = 0;

	if (con->port[0].cd != NULL)
		char_terminal_size(con->port[0].cd, &cols, &rows);
	put_le16(cfg + CONSOLE_CFG_COLS, cols);
	put_le16(cfg + CONSOLE_CFG_ROWS, rows);
	put_le32(cfg + CONSOLE_CFG_NPORTS, con->nports);
	memcpy(buf, cfg + off, len);
}

/* 5.3.4: a character from a driver that has no queues yet. */
static void
console_cfg_write(
    struct virtio_dev *dev, unsigned int off, const void *buf, unsigned int len)
{
	struct port *p = &console_of(dev)->port[0];

	if (off != CONSOLE_CFG_EMERG || p->cd == NULL)
		return;
	char_write(p->cd, buf, 1);
	port_flushed(p);
}

static void
console_pause(struct virtio_dev *dev)
{
	struct console *con = console_of(dev);

	evtimer_disarm(con->more);
	con->paused = true;
	for (unsigned int i = 0; i < con->nports; i++) {
		struct port *p = &con->port[i];

		port_watch_input(p);
		/* It is the last one popped; tx_done remembers how far. */
		if (p->tx_held)
			vq_unpop(port_tx_vq(p), 1);
		p->tx_held = false;
	}
}

/* notify() follows for the queues. */
static void
console_resume(struct virtio_dev *dev)
{
	struct console *con = console_of(dev);

	con->paused = false;
	for (unsigned int i = 0; i < con->nports; i++)
		port_watch_input(&con->port[i]);
}

static void
port_snapshot(struct port *p, struct snap *s)
{
	struct port_regs *r = &p->r;

	snap_var(s, r->tell);
	snap_var(s, r->ready);
	snap_var(s, r->guest_open);
	snap_var(s, r->told_open);
	snap_var(s, r->tx_done);
	snap_var(s, r->held_len);
	snap_var(s, r->held);
	if (!snap_loading(s))
		return;
	if (r->ready > 1 || r->guest_open > 1 || r->told_open > 1 ||
	    (r->tell & ~(TELL_ADD | TELL_CONSOLE | TELL_NAME)) != 0 ||
	    r->held_len > CONSOLE_HELD_BYTES) {
		snap_fail(s);
		r->held_len = 0;
	}
	/* The client of then is not there any more: no number is its. */
	p->told_client = p->no_clients ? 1 : UINT32_MAX;
	if (!r->told_open)
		p->told_client = 0;
}

static void
console_snapshot(struct virtio_dev *dev, struct snap *s)
{
	struct console *con = console_of(dev);

	for (unsigned int i = 0; i < con->nports && snap_error(s) == 0; i++)
		if (con->port[i].cd != NULL)
			port_snapshot(&con->port[i], s);
}

static const struct virtio_ops console_virtio_ops = {
	.type = CONSOLE_TYPE,
	.class_code = 0x078000,
	.cfg_len = CONSOLE_CFG_LEN,
	.reset = console_reset,
	.notify = console_notify,
	.cfg_read = console_cfg_read,
	.cfg_write = console_cfg_write,
	.pause = console_pause,
	.resume = console_resume,
	.snapshot = console_snapshot,
};

/* --- settings ------------------------------------------------------------- */

/* "/run/x.sock" is a socket as in bhyve, "/dev/ttyS0" a terminal. */
static int
port_open_backend(struct port *p, const char *path, char *err, size_t err_len)
{
	static const char *const others[] = { "stdio", "null",
		"tcp=", "unix=", "/dev/" };
	char spec[512];

	snprintf(spec, sizeof(spec), "unix=%s", path);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (strncmp(path, others[i], strlen(others[i])) == 0)
			snprintf(spec, sizeof(spec), "%s", path);
	return char_open(spec, &p->cd, err, err_len);
}

static const char *
port_opt(struct port *p, const char *what)
{
	char key[32];

	snprintf(key, sizeof(key), "port.%u.%s", p->id, what);
	return pci_dev_opt(p->con->pd, key);
}

static int
port_fail(const struct port *p, char *err, size_t err_len, const char *why)
{
	snprintf(err, err_len, "%s: port %u: %s", pci_dev_name(p->con->pd),
	    p->id, why);
	return -EINVAL;
}

/* Consoles are what a person types at, unless the setting says otherwise. */
static int
port_parse_console(struct port *p, const char *path, char *err, size_t err_len)
{
	const char *setting = port_opt(p, "console");

	p->is_console =
	    strcmp(path, "stdio") == 0 || strncmp(path, "/dev/", 5) == 0;
	if (setting == NULL || conf_parse_bool(setting, &p->is_console) == 0)
		return 0;
	return port_fail(p, err, err_len, "console is true or false");
}

/* Guests find a port by its name: a name stands for one. */
static int
port_parse_name(
    const struct port *p, const char *name, char *err, size_t err_len)
{
	if (strlen(name) > CONSOLE_NAME_MAX)
		return port_fail(
		    p, err, err_len, "name is longer than 64 characters");
	for (const struct port *o = p->con->port; o < p; o++)
		if (o->name != NULL && strcmp(o->name, name) == 0)
			return port_fail(p, err, err_len,
			    "an earlier port has that name already");
	return 0;
}

static int
port_init(struct port *p, char *err, size_t err_len)
{
	const char *path = port_opt(p, "path"), *name = port_opt(p, "name");
	char why[300];
	int error;

	if (path == NULL && name == NULL && port_opt(p, "console") == NULL)
		return 0;
	if (path == NULL)
		return port_fail(
		    p, err, err_len, "path is missing: a socket to listen on");
	error = name != NULL ? port_parse_name(p, name, err, err_len) : 0;
	if (error == 0)
		error = port_parse_console(p, path, err, err_len);
	if (error != 0)
		return error;
	error = port_open_backend(p, path, why, sizeof(why));
	if (error != 0) {
		port_fail(p, err, err_len, why);
		return error;
	}
	p->no_clients = char_client(p->cd) != 0;
	p->name = name != NULL ? xstrdup(name) : NULL;
	p->con->nports = p->id + 1;
	return 0;
}

/* The loop may call back from here on. */
static int
port_watch(struct port *p, char *err, size_t err_len)
{
	if (p->cd == NULL || char_read_fd(p->cd) == -1)
		return 0;
	p->rx_on = true;
	p->rx = evfd_add(pci_dev_vm(p->con->pd), char_read_fd(p->cd), EVFD_READ,
	    NULL, port_on_readable, p);
	if (p->rx != NULL)
		return 0;
	port_fail(p, err, err_len, strerror(errno));
	return -errno;
}

static int
console_init_virtio(struct console *con, char *err, size_t err_len)
{
	struct virtio_spec spec = {
		.features =
		    BIT64(CONSOLE_F_MULTIPORT) | BIT64(CONSOLE_F_EMERG_WRITE),
		.nqueues = 2 * con->nports + 2,
		.queue_size = CONSOLE_QUEUE_SIZE,
	};
	uint16_t cols, rows;

	if (con->port[0].cd != NULL &&
	    char_terminal_size(con->port[0].cd, &cols, &rows))
		spec.features |= BIT64(CONSOLE_F_SIZE);
	return virtio_init(
	    &con->dev, con->pd, &console_virtio_ops, &spec, err, err_len);
}

static int
console_init(struct pci_dev *pd, char *err, size_t err_len)
{
	struct console *con = pci_dev_state(pd);
	int error = 0;

	con->pd = pd;
	con->more = evtimer_create(
	    pci_dev_vm(pd), "virtio-console", NULL, console_on_more, con);
	for (unsigned int i = 0; i < CONSOLE_NPORTS && error == 0; i++) {
		con->port[i].con = con;
		con->port[i].id = i;
		error = port_init(&con->port[i], err, err_len);
	}
	if (error == 0 && con->nports == 0) {
		snprintf(err, err_len,
		    "%s: no port: want NAME=PATH, up to %u times",
		    pci_dev_name(pd), CONSOLE_NPORTS);
		error = -EINVAL;
	}
	if (error == 0)
		error = console_init_virtio(con, err, err_len);
	for (unsigned int i = 0; i < con->nports && error == 0; i++)
		error = port_watch(&con->port[i], err, err_len);
	return error;
}

static void
console_fini(struct pci_dev *pd)
{
	struct console *con = pci_dev_state(pd);

	evtimer_del(con->more);
	for (unsigned int i = 0; i < CONSOLE_NPORTS; i++) {
		struct port *p = &con->port[i];

		evfd_del(p->rx);
		evfd_del(p->tx);
		char_close(p->cd);
		free(p->name);
	}
	virtio_fini(&con->dev);
}

/*
 * "transport=X" is a setting, "port.N.KEY=X" too; any other NAME=PATH is the
 * next port, from number 0 on, as in bhyve.
 */
static int
console_parse_word(struct conf *c, const char *node, char *word,
    unsigned int *port, char *err, size_t err_len)
{
	char key[128], *value = strchr(word, '=');
	int error;

	if (value == NULL || value == word || value[1] == '\0') {
		snprintf(err, err_len, "right is NAME=PATH of a socket");
		return -EINVAL;
	}
	*value++ = '\0';
	if (strcmp(word, "transport") == 0 || strncmp(word, "port.", 5) == 0) {
		snprintf(key, sizeof(key), "%s.%.64s", node, word);
		return conf_set(c, key, value, err, err_len);
	}
	if (*port == CONSOLE_NPORTS) {
		snprintf(err, err_len, "more than %u ports", CONSOLE_NPORTS);
		return -EINVAL;
	}
	snprintf(key, sizeof(key), "%s.port.%u.name", node, *port);
	error = conf_set(c, key, word, err, err_len);
	if (error != 0)
		return error;
	snprintf(key, sizeof(key), "%s.port.%u.path", node, *port);
	(*port)++;
	return conf_set(c, key, value, err, err_len);
}

static int
console_parse(
    struct conf *c, const char *node, char *words, char *err, size_t err_len)
{
	unsigned int port = 0;
	int error = 0;
	char *word;

	while (error == 0 && (word = strsep(&words, ",")) != NULL)
		error = console_parse_word(c, node, word, &port, err, err_len);
	return error;
}

static const struct pci_opt console_opts[] = {
	{ "port.*.path", "socket to listen on, stdio, tcp= or a terminal" },
	{ "port.*.name", "what the guest calls it" },
	{ "port.*.console", "true: the guest may log in there" },
	VIRTIO_PCI_OPTS,
	{ NULL, NULL },
};

extern const struct pci_dev_ops virtio_console_ops;

const struct pci_dev_ops virtio_console_ops = {
	.name = "virtio-console",
	.summary = "virtio console, NAME=PATH for each port's socket",
	.id = { .vendor = 0x1af4, .device = 0x1003, .class_code = 0x078000 },
	.opts = console_opts,
	.parse = console_parse,
	.state_size = sizeof(struct console),
	.init = console_init,
	.fini = console_fini,
	VIRTIO_PCI_OPS,
};
