/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Appends numbered records to a file, each followed by fsync, and says each
 * number once fsync has returned.  Runs in a guest whose monitor is killed
 * meanwhile.
 *
 * usage: records FILE [check]
 *
 * First the file's records are checked: "records N" means that 0 to N-1 are
 * whole. What follows them may be anything that a power failure can leave, and
 * is cut off. Lengths differ from record to record, so that they straddle
 * sectors and blocks.
 */
#include <err.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECORDS = 20000, LONGEST = 9000 };

struct record {
	uint32_t number;
	uint32_t length; /* of data */
	uint64_t sum;
	uint8_t data[LONGEST];
};

enum { HEAD = offsetof(struct record, data) };

/* xorshift64: the record's content follows from its number. */
static uint64_t
next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void
make(struct record *r, uint32_t number)
{
	uint64_t x = (number + 1) * 0x9e3779b97f4a7c15;

	r->number = number;
	r->length = next(&x) % (number % 16 == 0 ? LONGEST : 600);
	r->sum = x;
	for (uint32_t i = 0; i < r->length; i++)
		r->data[i] = next(&x) >> 56;
}

/* The number of whole records; the file's position is behind them. */
static uint32_t
check(int fd)
{
	static struct record want, got;
	off_t at = 0;
	uint32_t n;

	for (n = 0;; n++) {
		make(&want, n);
		size_t len = HEAD + want.length;
		if (pread(fd, &got, len, at) != (ssize_t)len)
			break;
		if (memcmp(&want, &got, len) != 0)
			break;
		at += len;
	}
	if (ftruncate(fd, at) != 0 || lseek(fd, at, SEEK_SET) != at)
		err(1, "truncate");
	return n;
}

static void
append(int fd, uint32_t number)
{
	static struct record r;

	make(&r, number);
	size_t len = HEAD + r.length;
	if (write(fd, &r, len) != (ssize_t)len)
		err(1, "write");
	if (fsync(fd) != 0)
		err(1, "fsync");
	printf("ack %u\n", number);
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	if (argc < 2)
		errx(64, "usage: records FILE [check]");
	int fd = open(argv[1], O_RDWR | O_CREAT, 0644);
	if (fd < 0)
		err(1, "%s", argv[1]);
	uint32_t n = check(fd);
	printf("records %u\n", n);
	fflush(stdout);
	for (; argc == 2 && n < RECORDS; n++)
		append(fd, n);
	close(fd);
	return 0;
}
