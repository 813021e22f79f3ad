/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A chip's connection to a character backend (see chario.h).
 *
 * The watch for output exists only while something is left over, and is
 * removed only by its own callback: evfd_del() from elsewhere would wait for
 * that callback, which waits for the lock we hold.
 */
#include "chario.h"

#include <errno.h>
#include <sys/types.h>

#include <backend/char.h>
#include <util/log.h>
#include <vmm/event.h>

static void
chario_on_rx(unsigned int events, void *arg)
{
	struct chario *io = arg;

	io->input(io->arg);
}

int
chario_init(struct chario *io)
{
	if (io->cd == NULL || char_read_fd(io->cd) == -1)
		return 0;
	io->rx_on = true;
	io->rx = evfd_add(io->ctx, char_read_fd(io->cd), EVFD_READ, io->lock,
	    chario_on_rx, io);
	return io->rx == NULL ? -errno : 0;
}

void
chario_fini(struct chario *io)
{
	evfd_del(io->rx);
	evfd_del(io->tx);
	io->rx = io->tx = NULL;
	char_close(io->cd);
	io->cd = NULL;
}

void
chario_want_input(struct chario *io, bool want)
{
	if (io->rx == NULL || io->rx_on == want)
		return;
	io->rx_on = want;
	evfd_set(io->rx, want ? EVFD_READ : 0);
}

size_t
chario_read(struct chario *io, void *buf, size_t len)
{
	ssize_t n = char_read(io->cd, buf, len);

	if (n >= 0)
		return (size_t)n;
	/* End of input: the descriptor would be readable for ever. */
	evfd_del(io->rx);
	io->rx = NULL;
	return 0;
}

static void
chario_on_tx(unsigned int events, void *arg)
{
	struct chario *io = arg;

	if (!char_flush(io->cd))
		return;
	evfd_del(io->tx);
	io->tx = NULL;
	io->drained(io->arg);
}

size_t
chario_write(struct chario *io, const void *buf, size_t len)
{
	size_t taken;

	if (io->cd == NULL)
		return len;
	taken = char_write(io->cd, buf, len);
	if (io->tx != NULL || char_flush(io->cd))
		return taken;
	io->tx = evfd_add(io->ctx, char_write_fd(io->cd), EVFD_WRITE, io->lock,
	    chario_on_tx, io);
	if (io->tx == NULL) {
		/* Nothing would ever tell us to go on. */
		log_debug("console: waiting for output: %s", strerror(errno));
		return len;
	}
	return taken;
}
