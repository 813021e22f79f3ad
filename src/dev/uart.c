/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uart: a serial port on the PCI bus, a 16550 behind eight I/O ports with a
 * wired interrupt (docs/bhyve.md 1.3; the identity is a SIIG CyberSerial's).
 *
 * Registers are accessed by vCPU threads; input and output that had to wait
 * come from the event thread.
 */
#include <vmm/pci.h>

#include <stdio.h>

#include <backend/char.h>
#include <chip/ns16550.h>

struct uart {
	struct ns16550 *part;
};

static void
uart_set_irq(bool level, void *arg)
{
	pci_intx_set(arg, level);
}

static int
uart_init(struct pci_dev *pd, char *err, size_t err_len)
{
	const struct ns16550_port port = {
		.ctx = pci_dev_vm(pd),
		.lock = pci_dev_mutex(pd),
		.set_irq = uart_set_irq,
		.arg = pd,
	};
	struct uart *u = pci_dev_state(pd);
	const char *path = pci_dev_opt(pd, "path");
	struct chardev *cd = NULL;
	int error = pci_bar_add(pd, 0, PCI_BAR_IO, NS16550_NREGS);

	if (error == 0)
		error = pci_intx_add(pd);
	if (error == 0 && path != NULL)
		error = pci_char_open(pd, path, &cd, err, err_len);
	if (error != 0)
		return error;
	error = ns16550_create(&port, cd, &u->part);
	if (error != 0) {
		snprintf(err, err_len, "%s: watching %s: %s", pci_dev_name(pd),
		    path, strerror(-error));
		char_close(cd);
	}
	return error;
}

static void
uart_fini(struct pci_dev *pd)
{
	struct uart *u = pci_dev_state(pd);

	ns16550_destroy(u->part);
}

/* Wider accesses are neighbours at once. */
static uint32_t
uart_bar_read(
    struct pci_dev *pd, unsigned int bar, uint64_t off, unsigned int bytes)
{
	struct uart *u = pci_dev_state(pd);
	uint32_t val = 0;

	for (unsigned int i = 0; i < bytes; i++)
		val |= (uint32_t)ns16550_read(u->part, (unsigned int)off + i)
		       << 8 * i;
	return val;
}

static void
uart_bar_write(struct pci_dev *pd, unsigned int bar, uint64_t off,
    unsigned int bytes, uint32_t val)
{
	struct uart *u = pci_dev_state(pd);

	for (unsigned int i = 0; i < bytes; i++)
		ns16550_write(
		    u->part, (unsigned int)off + i, (uint8_t)(val >> 8 * i));
}

static void
uart_reset(struct pci_dev *pd)
{
	struct uart *u = pci_dev_state(pd);

	ns16550_reset(u->part);
}

static void
uart_pause(struct pci_dev *pd)
{
	struct uart *u = pci_dev_state(pd);

	ns16550_pause(u->part, true);
}

static void
uart_resume(struct pci_dev *pd)
{
	struct uart *u = pci_dev_state(pd);

	ns16550_pause(u->part, false);
}

static void
uart_snapshot(struct pci_dev *pd, struct snap *s)
{
	struct uart *u = pci_dev_state(pd);

	ns16550_snapshot(u->part, s);
}

static const struct pci_opt uart_opts[] = {
	{ "path", "host end: stdio, /dev/TTY, tcp=[ADDR:]PORT or null" },
	{ NULL, NULL },
};

extern const struct pci_dev_ops uart_ops;

const struct pci_dev_ops uart_ops = {
	.name = "uart",
	.summary = "PCI serial port",
	.id = { .vendor = 0x131f, .device = 0x2000, .class_code = 0x070002 },
	.opts = uart_opts,
	.state_size = sizeof(struct uart),
	.init = uart_init,
	.fini = uart_fini,
	.reset = uart_reset,
	.bar_read = uart_bar_read,
	.bar_write = uart_bar_write,
	.pause = uart_pause,
	.resume = uart_resume,
	.snapshot = uart_snapshot,
};
