/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * launch.c - starts a monitor and says when its guest's first byte came.
 *
 *	launch COMMAND [ARGUMENT ...]
 *
 * Prints "pid N", "first NANOSECONDS" since just before exec, then what the
 * command prints; its standard input is ours.
 */
#define _GNU_SOURCE
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int
main(int argc, char **argv)
{
	uint64_t *began = mmap(NULL, sizeof(*began), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int out[2], status;
	char buf[4096];
	ssize_t n;
	pid_t pid;

	if (argc < 2 || began == MAP_FAILED || pipe(out) != 0)
		errx(2, "usage: launch COMMAND");
	pid = fork();
	if (pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		close(out[0]);
		close(out[1]);
		*began = now_ns();
		execvp(argv[1], argv + 1);
		err(127, "%s", argv[1]);
	}
	close(out[1]);
	n = read(out[0], buf, sizeof(buf));
	printf("pid %d\nfirst %lu\n", pid, (unsigned long)(now_ns() - *began));
	for (; n > 0; n = read(out[0], buf, sizeof(buf))) {
		fwrite(buf, 1, (size_t)n, stdout);
		fflush(stdout);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
