/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Terminals in raw mode, and putting them back whatever happens.
 *
 * Which terminals are raw is a fact of the process, not of a machine, and a
 * signal handler must find it without a pointer; so this is the one table of
 * the room that is global.  A slot's contents are complete before its state
 * says so, which is all a handler looks at.
 */
#include "char_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <util/log.h>

enum term_state { TERM_FREE, TERM_FILLING, TERM_RAW };

static struct {
	_Atomic int state;
	int fd; /* our own duplicate: stays open until restored */
	struct termios saved;
} char_terms[8];

/* Signals that end the process when nobody else wants them. */
static const int char_fatal_signals[] = { SIGABRT, SIGBUS, SIGFPE, SIGHUP,
	SIGILL, SIGINT, SIGQUIT, SIGSEGV, SIGTERM };

static void
char_term_put_back(unsigned int slot)
{
	sigset_t ttou, old;

	/* A background process may only do this with SIGTTOU blocked. */
	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &ttou, &old);
	tcsetattr(char_terms[slot].fd, TCSANOW, &char_terms[slot].saved);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void
char_restore_terminals(void)
{
	int saved_errno = errno;

	for (unsigned int i = 0; i < ARRAY_LEN(char_terms); i++)
		if (atomic_load(&char_terms[i].state) == TERM_RAW)
			char_term_put_back(i);
	errno = saved_errno;
}

static void
char_term_on_signal(int signo)
{
	char_restore_terminals();
	/* SA_RESETHAND: the default action follows when we return. */
	raise(signo);
}

/* Only where the default action would have ended us: others know better. */
static void
char_term_install(void)
{
	struct sigaction sa = { .sa_handler = char_term_on_signal,
		.sa_flags = SA_RESETHAND };
	struct sigaction old;

	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < ARRAY_LEN(char_fatal_signals); i++)
		if (sigaction(char_fatal_signals[i], NULL, &old) == 0 &&
		    (old.sa_flags & SA_SIGINFO) == 0 &&
		    old.sa_handler == SIG_DFL)
			sigaction(char_fatal_signals[i], &sa, NULL);
	atexit(char_restore_terminals);
}

static int
char_term_take_slot(void)
{
	for (unsigned int i = 0; i < ARRAY_LEN(char_terms); i++) {
		int expected = TERM_FREE;

		if (atomic_compare_exchange_strong(
			&char_terms[i].state, &expected, TERM_FILLING))
			return (int)i;
	}
	return -EMFILE;
}

static int
char_term_fill(int slot, int fd)
{
	struct termios raw;

	char_terms[slot].fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (char_terms[slot].fd == -1)
		return -errno;
	if (tcgetattr(fd, &char_terms[slot].saved) == -1)
		goto fail;
	raw = char_terms[slot].saved;
	cfmakeraw(&raw);
	/* From here on a signal would put it back. */
	atomic_store(&char_terms[slot].state, TERM_RAW);
	if (tcsetattr(fd, TCSANOW, &raw) == -1)
		goto fail;
	return 0;
fail:
	atomic_store(&char_terms[slot].state, TERM_FILLING);
	close(char_terms[slot].fd);
	return -errno;
}

int
char_term_raw(int fd)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int slot = char_term_take_slot();
	int err;

	if (slot < 0)
		return slot;
	pthread_once(&once, char_term_install);
	err = char_term_fill(slot, fd);
	if (err != 0) {
		atomic_store(&char_terms[slot].state, TERM_FREE);
		return err;
	}
	return slot;
}

void
char_term_restore(int slot)
{
	if (slot < 0)
		return;
	char_term_put_back((unsigned int)slot);
	atomic_store(&char_terms[slot].state, TERM_FILLING);
	close(char_terms[slot].fd);
	atomic_store(&char_terms[slot].state, TERM_FREE);
}
