/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Character backends on pipes, pseudo-terminals and sockets.  What concerns
 * the process's own stdio or its death runs in a child.
 */
#include "board.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <backend/char.h>
#include <util/util.h>

/* --- helpers -------------------------------------------------------------- */

static struct chardev *
open_ok(const char *spec)
{
	struct chardev *cd = NULL;
	char err[256] = "";

	if (char_open(spec, &cd, err, sizeof(err)) != 0)
		fail_msg("%s: %s", spec, err);
	return cd;
}

static bool
fd_ready(int fd, short events, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	return poll(&pfd, 1, ms) == 1;
}

struct pty {
	int master, slave; /* the slave stays open, so no hang-up */
	char path[64];
};

static void
pty_open(struct pty *p)
{
	p->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(p->master >= 0);
	assert_int_equal(grantpt(p->master), 0);
	assert_int_equal(unlockpt(p->master), 0);
	assert_int_equal(ptsname_r(p->master, p->path, sizeof(p->path)), 0);
	p->slave = open(p->path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(p->slave >= 0);
}

static void
pty_close(struct pty *p)
{
	close(p->master);
	close(p->slave);
}

static bool
is_raw(int fd)
{
	struct termios t;

	assert_int_equal(tcgetattr(fd, &t), 0);
	return (t.c_lflag & (ICANON | ECHO | ISIG)) == 0 &&
	       (t.c_oflag & OPOST) == 0 && (t.c_iflag & ICRNL) == 0;
}

static bool
is_cooked(int fd)
{
	struct termios t;

	assert_int_equal(tcgetattr(fd, &t), 0);
	return (t.c_lflag & (ICANON | ECHO | ISIG)) == (ICANON | ECHO | ISIG);
}

/* Run fn in a child whose stdin and stdout are `in` and `out`: its status. */
static int
in_child(int in, int out, int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (in >= 0)
			dup2(in, STDIN_FILENO);
		else
			close(STDIN_FILENO);
		if (out >= 0)
			dup2(out, STDOUT_FILENO);
		else
			close(STDOUT_FILENO);
		alarm(20);
		exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* In a child: cmocka is the parent's. */
#define CHECK(cond)                                                            \
	do {                                                                   \
		if (!(cond)) {                                                 \
			fprintf(                                               \
			    stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			return 1;                                              \
		}                                                              \
	} while (0)

static void
assert_child_ok(int in, int out, int (*fn)(void))
{
	assert_int_equal(in_child(in, out, fn), 0);
}

/* --- specs ---------------------------------------------------------------- */

static void
test_bad_specs(void **state)
{
	static const struct {
		const char *spec;
		int error;
		const char *says;
	} bad[] = {
		{ "", -EINVAL, "want stdio" },
		{ "stdi", -EINVAL, "want stdio" },
		{ "stdiox", -EINVAL, "stdiox" },
		{ "nullx", -EINVAL, "nullx" },
		{ "pty", -EINVAL, "tcp=[ADDR:]PORT" },
		{ "unix=", -EINVAL, "path of 1 to 107" },
		{ "unix=/dev/null", -EEXIST, "no socket" },
		{ "unix=/nonexistent/s", -ENOENT, "/nonexistent/s: listen" },
		{ "tcp", -EINVAL, "want stdio" },
		{ "tcp=", -EINVAL, "PORT" },
		{ "tcp=0", -EINVAL, "PORT" },
		{ "tcp=65536", -EINVAL, "PORT" },
		{ "tcp=12a", -EINVAL, "PORT" },
		{ "tcp=:80", -EINVAL, "PORT" },
		{ "tcp=::1:80", -EINVAL, "PORT" },
		{ "tcp=999.1.1.1:80", -EINVAL, "999.1.1.1" },
		{ "/nonexistent/tty", -ENOENT, "/nonexistent/tty" },
		{ "/dev/null", -ENOTTY, "not a terminal" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct chardev *cd = NULL;
		char err[256] = "";

		assert_int_equal(char_open(bad[i].spec, &cd, err, sizeof(err)),
		    bad[i].error);
		assert_null(cd);
		if (strstr(err, bad[i].says) == NULL)
			fail_msg("'%s' gave: %s", bad[i].spec, err);
	}
}

static void
test_null(void **state)
{
	struct chardev *cd = open_ok("null");
	char buf[4];

	assert_int_equal(char_read_fd(cd), -1);
	assert_int_equal(char_read(cd, buf, sizeof(buf)), 0);
	assert_int_equal(char_write(cd, "abc", 3), 3);
	assert_true(char_flush(cd));
	assert_false(char_is_terminal(cd));
	assert_int_equal(char_last_output_ns(cd), 0);
	char_close(cd);
	char_close(NULL);
}

/* --- a terminal by its path ----------------------------------------------- */

static void
test_tty(void **state)
{
	struct chardev *cd;
	struct pty p;
	char buf[16];

	pty_open(&p);
	assert_true(is_cooked(p.slave));
	cd = open_ok(p.path);
	assert_true(is_raw(p.slave));
	assert_true(char_is_terminal(cd));
	assert_int_not_equal(char_read_fd(cd), char_write_fd(cd));
	assert_int_equal(char_read(cd, buf, sizeof(buf)), 0);
	/* Ctrl-A and Ctrl-C are bytes like others. */
	assert_int_equal(write(p.master, "a\x01x\x03\r", 5), 5);
	assert_true(fd_ready(char_read_fd(cd), POLLIN, 1000));
	assert_int_equal(char_read(cd, buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "a\x01x\x03\r", 5);
	assert_int_equal(char_last_output_ns(cd), 0);
	assert_int_equal(char_write(cd, "hi\n", 3), 3);
	assert_true(char_flush(cd));
	assert_true(char_last_output_ns(cd) > 0);
	assert_true(char_last_output_ns(cd) <= host_now_ns());
	assert_int_equal(board_read_fd(p.master, buf, 3), 3);
	assert_memory_equal(buf, "hi\n", 3); /* no CR put in */
	char_close(cd);
	assert_true(is_cooked(p.slave));
	pty_close(&p);
}

static void
test_tty_hang_up(void **state)
{
	struct chardev *cd;
	struct pty p;
	char buf[16];

	pty_open(&p);
	cd = open_ok(p.path);
	close(p.master);
	assert_int_equal(char_read(cd, buf, sizeof(buf)), -EPIPE);
	/* Output has nowhere to go, and does not stay. */
	assert_int_equal(char_write(cd, "abc", 3), 3);
	assert_true(char_flush(cd));
	char_close(cd);
	close(p.slave);
}

static void
test_restore_terminals(void **state)
{
	struct chardev *cd1, *cd2;
	struct pty p1, p2;

	pty_open(&p1);
	pty_open(&p2);
	cd1 = open_ok(p1.path);
	cd2 = open_ok(p2.path);
	char_restore_terminals();
	assert_true(is_cooked(p1.slave));
	assert_true(is_cooked(p2.slave));
	char_close(cd1);
	char_close(cd2);
	/* Closed ones are forgotten. */
	cd1 = open_ok(p1.path);
	char_close(cd1);
	char_restore_terminals();
	pty_close(&p1);
	pty_close(&p2);
}

/* --- the output buffer ---------------------------------------------------- */

/* A terminal nobody reads: bounded, never blocking, in order. */
static void
test_back_pressure(void **state)
{
	static uint8_t out[512 * 1024], in[512 * 1024];
	struct chardev *cd;
	struct pty p;
	size_t taken = 0, got = 0, n;

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + i / 251);
	pty_open(&p);
	cd = open_ok(p.path);
	do {
		n = char_write(
		    cd, out + taken, MIN(sizeof(out) - taken, 5000ul));
		taken += n;
	} while (n == 5000);
	assert_true(taken >= 65536);
	assert_true(taken < sizeof(out)); /* it said no */
	assert_int_equal(char_write(cd, "x", 1), 0);
	assert_false(char_flush(cd));
	while (got < taken) {
		ssize_t r = read(p.master, in + got, sizeof(in) - got);

		assert_true(r > 0);
		got += (size_t)r;
		char_flush(cd);
	}
	assert_true(char_flush(cd));
	assert_int_equal(got, taken);
	assert_memory_equal(in, out, taken);
	/* Around the end of the ring, and empty again. */
	assert_int_equal(char_write(cd, "tail", 4), 4);
	assert_int_equal(board_read_fd(p.master, in, 4), 4);
	char_close(cd);
	pty_close(&p);
}

/* --- stdio ---------------------------------------------------------------- */

static int
child_stdio_pipe(void)
{
	struct chardev *cd, *second = NULL;
	char err[128], buf[64];

	CHECK(char_open("stdio", &cd, err, sizeof(err)) == 0);
	CHECK(char_open("stdio", &second, err, sizeof(err)) == -EBUSY);
	CHECK(strstr(err, "stdio") != NULL);
	CHECK(char_open("stdio", &second, err, sizeof(err)) == -EBUSY);
	CHECK(!char_is_terminal(cd));
	CHECK(fd_ready(char_read_fd(cd), POLLIN, 2000));
	/* No escapes without a terminal. */
	CHECK(char_read(cd, buf, sizeof(buf)) == 4);
	CHECK(memcmp(buf, "a\x01xb", 4) == 0);
	CHECK(char_read(cd, buf, sizeof(buf)) == -EPIPE); /* end of file */
	CHECK((fcntl(STDIN_FILENO, F_GETFL) & O_NONBLOCK) == 0);
	CHECK((fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK) == 0);
	CHECK(char_write(cd, "out", 3) == 3);
	CHECK(char_last_output_ns(cd) == 0); /* no terminal */
	char_close(cd);
	/* Free again. */
	CHECK(char_open("stdio", &cd, err, sizeof(err)) == 0);
	char_close(cd);
	return 0;
}

static void
test_stdio_pipe(void **state)
{
	int in[2], out[2];
	char buf[16];

	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	assert_int_equal(write(in[1], "a\x01xb", 4), 4);
	close(in[1]); /* the child is to see the end */
	assert_child_ok(in[0], out[1], child_stdio_pipe);
	assert_int_equal(read(out[0], buf, sizeof(buf)), 3);
	assert_memory_equal(buf, "out", 3);
	close(in[0]);
	close(out[0]);
	close(out[1]);
}

static int
child_full_pipe(void)
{
	static uint8_t junk[8192];
	uint64_t start = host_now_ns();
	struct chardev *cd;
	char err[128];
	size_t n, total = 0;

	CHECK(char_open("stdio", &cd, err, sizeof(err)) == 0);
	do {
		n = char_write(cd, junk, sizeof(junk));
		total += n;
	} while (n == sizeof(junk));
	CHECK(total >= 65536 && total <= 65536 + 1024 * 1024);
	CHECK(!char_flush(cd));
	CHECK(host_now_ns() - start < 2000000000ull);
	CHECK((fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK) == 0);
	char_close(cd); /* gives up after a while */
	CHECK(host_now_ns() - start < 5000000000ull);
	return 0;
}

/* A reader that has stopped does not stop us. */
static void
test_stdio_full_pipe(void **state)
{
	int out[2];

	assert_int_equal(pipe(out), 0);
	assert_child_ok(-1, out[1], child_full_pipe);
	close(out[0]);
	close(out[1]);
}

static int
child_reader_gone(void)
{
	struct chardev *cd;
	char err[128];

	CHECK(char_open("stdio", &cd, err, sizeof(err)) == 0);
	for (int i = 0; i < 3; i++) {
		CHECK(char_write(cd, "abc", 3) == 3);
		CHECK(char_flush(cd));
	}
	char_close(cd);
	return 0;
}

/* EPIPE drops output; SIGPIPE does not kill. */
static void
test_stdio_reader_gone(void **state)
{
	int out[2];

	assert_int_equal(pipe(out), 0);
	close(out[0]);
	assert_child_ok(-1, out[1], child_reader_gone);
	close(out[1]);
}

static int
child_no_fds(void)
{
	struct chardev *cd;
	char err[128];

	CHECK(char_open("stdio", &cd, err, sizeof(err)) == 0);
	CHECK(char_read_fd(cd) == -1);
	CHECK(char_write(cd, "abc", 3) == 3);
	char_close(cd);
	return 0;
}

static void
test_stdio_closed(void **state)
{
	assert_child_ok(-1, -1, child_no_fds);
}

static int
child_files(void)
{
	struct chardev *cd;
	char err[128], buf[64];

	CHECK(char_open("stdio", &cd, err, sizeof(err)) == 0);
	/* epoll refuses files; what we offer instead is readable. */
	CHECK(fd_ready(char_read_fd(cd), POLLIN, 0));
	CHECK(char_read(cd, buf, sizeof(buf)) == 5);
	CHECK(memcmp(buf, "input", 5) == 0);
	CHECK(char_read(cd, buf, sizeof(buf)) == -EPIPE);
	CHECK(char_write(cd, "more", 4) == 4);
	char_close(cd);
	return 0;
}

/* Redirected files: read from their offset, written after what is there. */
static void
test_stdio_files(void **state)
{
	char in_path[] = "/tmp/test_char_in.XXXXXX";
	char out_path[] = "/tmp/test_char_out.XXXXXX";
	int in = mkstemp(in_path), out = mkstemp(out_path);
	char buf[64];

	assert_true(in >= 0 && out >= 0);
	unlink(in_path);
	unlink(out_path);
	assert_int_equal(write(in, "xinput", 6), 6);
	assert_int_equal(lseek(in, 1, SEEK_SET), 1);
	assert_int_equal(write(out, "old ", 4), 4);
	assert_child_ok(in, out, child_files);
	assert_int_equal(pread(out, buf, sizeof(buf), 0), 8);
	assert_memory_equal(buf, "old more", 8);
	close(in);
	close(out);
}

static int
child_dev_null(void)
{
	struct chardev *cd;
	char err[128], buf[4];

	CHECK(char_open("stdio", &cd, err, sizeof(err)) == 0);
	CHECK(fd_ready(char_read_fd(cd), POLLIN, 0));
	CHECK(char_read(cd, buf, sizeof(buf)) == -EPIPE);
	CHECK(char_write(cd, "abc", 3) == 3);
	CHECK(char_flush(cd));
	char_close(cd);
	return 0;
}

static void
test_stdio_dev_null(void **state)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_child_ok(fd, fd, child_dev_null);
	close(fd);
}

static int
child_socket(void)
{
	static uint8_t junk[65536];
	struct chardev *cd;
	char err[128];
	size_t n;

	CHECK(char_open("stdio", &cd, err, sizeof(err)) == 0);
	do
		n = char_write(cd, junk, sizeof(junk));
	while (n == sizeof(junk));
	CHECK(!char_flush(cd));
	CHECK((fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK) == 0);
	char_close(cd);
	return 0;
}

static void
test_stdio_socket(void **state)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_child_ok(sv[0], sv[0], child_socket);
	close(sv[0]);
	close(sv[1]);
}

/* --- stdio on a terminal -------------------------------------------------- */

static char escapes[16];

static void
on_escape(int key, void *arg)
{
	size_t n = strlen(escapes);

	if (n < sizeof(escapes) - 1)
		escapes[n] = (char)key;
	if (arg != escapes)
		abort();
}

/* At most as many bytes as `what` has; fewer when some are escapes. */
static ssize_t
read_all(struct chardev *cd, char *buf, size_t len, const char *what)
{
	size_t got = 0, wanted = strlen(what);

	for (int i = 0; i < 50 && got < wanted; i++) {
		ssize_t n;

		if (!fd_ready(char_read_fd(cd), POLLIN, 20))
			break;
		n = char_read(cd, buf + got, len - got);
		if (n < 0)
			return n;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static int pty_master_for_child;

static int
child_terminal(void)
{
	static const char keys[] = "ab\x01xc\x01\x01"
				   "d\x03\x01";
	int m = pty_master_for_child;
	struct chardev *cd;
	char err[128], buf[64];

	CHECK(is_cooked(STDIN_FILENO));
	CHECK(char_open("stdio", &cd, err, sizeof(err)) == 0);
	CHECK(is_raw(STDIN_FILENO));
	CHECK(char_is_terminal(cd));
	char_set_escape(cd, on_escape, escapes);
	CHECK(write(m, keys, sizeof(keys) - 1) == sizeof(keys) - 1);
	CHECK(read_all(cd, buf, sizeof(buf), keys) == 6);
	CHECK(memcmp(buf,
		  "abc\x01"
		  "d\x03",
		  6) == 0);
	CHECK(strcmp(escapes, "x") == 0);
	/* The key comes in the next read. */
	CHECK(write(m, "hz", 2) == 2);
	CHECK(read_all(cd, buf, sizeof(buf), "hz") == 1);
	CHECK(buf[0] == 'z');
	CHECK(strcmp(escapes, "xh") == 0);
	/* Nothing but an escape is nothing. */
	CHECK(write(m, "\x01q", 2) == 2);
	CHECK(fd_ready(char_read_fd(cd), POLLIN, 1000));
	CHECK(char_read(cd, buf, sizeof(buf)) == 0);
	CHECK(strcmp(escapes, "xhq") == 0);
	CHECK(char_read(cd, buf, sizeof(buf)) == 0); /* would block */
	CHECK(char_write(cd, "out\n", 4) == 4);
	CHECK(char_last_output_ns(cd) > 0);
	CHECK(board_read_fd(m, buf, 4) == 4);
	CHECK((fcntl(STDIN_FILENO, F_GETFL) & O_NONBLOCK) == 0);
	CHECK((fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK) == 0);
	/* Without a function Ctrl-A is a key like others. */
	char_set_escape(cd, NULL, NULL);
	CHECK(write(m, "\x01x", 2) == 2);
	CHECK(read_all(cd, buf, sizeof(buf), "..") == 2);
	char_close(cd);
	CHECK(is_cooked(STDIN_FILENO));
	return 0;
}

static void
test_stdio_terminal(void **state)
{
	struct pty p;

	pty_open(&p);
	pty_master_for_child = p.master;
	assert_child_ok(p.slave, p.slave, child_terminal);
	assert_true(is_cooked(p.slave));
	pty_close(&p);
}

static int
child_terminal_full(void)
{
	static uint8_t junk[4096];
	uint64_t start = host_now_ns();
	struct chardev *cd;
	char err[128];
	size_t n;

	CHECK(char_open("stdio", &cd, err, sizeof(err)) == 0);
	do
		n = char_write(cd, junk, sizeof(junk));
	while (n == sizeof(junk));
	CHECK(!char_flush(cd));
	CHECK(host_now_ns() - start < 3000000000ull);
	_exit(0); /* not waiting for a reader that will not come */
}

static void
test_stdio_terminal_full(void **state)
{
	struct pty p;

	pty_open(&p);
	assert_child_ok(p.slave, p.slave, child_terminal_full);
	pty_close(&p);
}

static int
child_exit(void)
{
	static struct chardev *cd; /* reachable: not a leak */
	char err[128];

	CHECK(char_open("stdio", &cd, err, sizeof(err)) == 0);
	CHECK(is_raw(STDIN_FILENO));
	return 0; /* exit() without closing */
}

static int
child_abort(void)
{
	CHECK(child_exit() == 0);
	abort();
}

static int
child_sigterm(void)
{
	CHECK(child_exit() == 0);
	raise(SIGTERM);
	return 1;
}

static int
child_segv(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	/* A sanitizer may have its own. */
	sigaction(SIGSEGV, &dfl, NULL);
	CHECK(child_exit() == 0);
	raise(SIGSEGV);
	return 1;
}

/* However the process ends, its terminal is as it was, and so is its status. */
static void
test_terminal_restored(void **state)
{
	static const struct {
		int (*fn)(void);
		int signo;
	} ends[] = {
		{ child_exit, 0 },
		{ child_abort, SIGABRT },
		{ child_sigterm, SIGTERM },
		{ child_segv, SIGSEGV },
	};

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		struct pty p;
		int status;

		pty_open(&p);
		status = in_child(p.slave, p.slave, ends[i].fn);
		assert_true(is_cooked(p.slave));
		if (ends[i].signo == 0)
			assert_int_equal(status, 0);
		else
			assert_int_equal(WTERMSIG(status), ends[i].signo);
		pty_close(&p);
	}
}

/* --- tcp ------------------------------------------------------------------ */

static uint16_t
free_port(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	close(fd);
	return ntohs(sin.sin_port);
}

static int
tcp_connect(uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	return fd;
}

static struct chardev *
tcp_open(uint16_t *ret_port)
{
	char spec[64];

	*ret_port = free_port();
	snprintf(spec, sizeof(spec), "tcp=127.0.0.1:%u", *ret_port);
	return open_ok(spec);
}

/* What an owner does when the descriptor is readable. */
static ssize_t
tcp_serve(struct chardev *cd, void *buf, size_t len)
{
	assert_true(fd_ready(char_read_fd(cd), POLLIN, 2000));
	return char_read(cd, buf, len);
}

static void
test_tcp(void **state)
{
	struct chardev *cd;
	uint16_t port;
	char buf[64];
	int fd;

	cd = tcp_open(&port);
	/* Without a client output is dropped. */
	assert_int_equal(char_write(cd, "lost", 4), 4);
	assert_true(char_flush(cd));
	assert_int_equal(char_write_fd(cd), -1);
	fd = tcp_connect(port);
	assert_int_equal(tcp_serve(cd, buf, sizeof(buf)), 0);
	assert_int_equal(char_write(cd, "hello", 5), 5);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(send(fd, "\x01xyz", 4, 0), 4);
	assert_int_equal(tcp_serve(cd, buf, sizeof(buf)), 4);
	assert_memory_equal(buf, "\x01xyz", 4);
	assert_false(fd_ready(char_read_fd(cd), POLLIN, 0));
	close(fd);
	/* Gone, but not the end: another may come. */
	assert_int_equal(tcp_serve(cd, buf, sizeof(buf)), 0);
	assert_false(fd_ready(char_read_fd(cd), POLLIN, 0));
	fd = tcp_connect(port);
	assert_int_equal(tcp_serve(cd, buf, sizeof(buf)), 0);
	assert_int_equal(char_write(cd, "again", 5), 5);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 5);
	close(fd);
	char_close(cd);
}

static void
test_tcp_second_client(void **state)
{
	struct chardev *cd;
	uint16_t port;
	char buf[64] = "";
	int fd, fd2;

	cd = tcp_open(&port);
	fd = tcp_connect(port);
	assert_int_equal(tcp_serve(cd, buf, sizeof(buf)), 0);
	fd2 = tcp_connect(port);
	assert_int_equal(tcp_serve(cd, buf, sizeof(buf)), 0);
	assert_true(recv(fd2, buf, sizeof(buf) - 1, 0) > 0);
	assert_non_null(strstr(buf, "already connected"));
	assert_int_equal(recv(fd2, buf, sizeof(buf), 0), 0);
	close(fd2);
	/* The first goes on. */
	assert_int_equal(send(fd, "k", 1, 0), 1);
	assert_int_equal(tcp_serve(cd, buf, sizeof(buf)), 1);
	/* It leaves and another comes before we look. */
	close(fd);
	fd2 = tcp_connect(port);
	assert_int_equal(tcp_serve(cd, buf, sizeof(buf)), 0);
	while (fd_ready(char_read_fd(cd), POLLIN, 50))
		assert_int_equal(char_read(cd, buf, sizeof(buf)), 0);
	assert_int_equal(char_write(cd, "w", 1), 1);
	assert_int_equal(recv(fd2, buf, sizeof(buf), 0), 1);
	close(fd2);
	char_close(cd);
}

/* Unsent output when the client leaves: the owner is woken and lets go. */
static void
test_tcp_leaves_with_backlog(void **state)
{
	static uint8_t junk[65536];
	struct chardev *cd;
	uint16_t port;
	char buf[64];
	int fd;

	cd = tcp_open(&port);
	fd = tcp_connect(port);
	assert_int_equal(tcp_serve(cd, buf, sizeof(buf)), 0);
	/* The kernel makes room for more a while after it had none, and takes
	 * less than poll() waits for. */
	do {
		while (char_write(cd, junk, sizeof(junk)) == sizeof(junk))
			;
		assert_true(char_write_fd(cd) >= 0);
		(void)fd_ready(char_write_fd(cd), POLLOUT, 50);
	} while (char_flush(cd));
	assert_false(fd_ready(char_write_fd(cd), POLLOUT, 0));
	close(fd);
	assert_int_equal(tcp_serve(cd, buf, sizeof(buf)), 0);
	assert_true(fd_ready(char_write_fd(cd), POLLOUT, 1000));
	assert_true(char_flush(cd));
	assert_int_equal(char_write(cd, "x", 1), 1);
	fd = tcp_connect(port);
	assert_int_equal(tcp_serve(cd, buf, sizeof(buf)), 0);
	assert_int_equal(char_write(cd, "new", 3), 3);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 3);
	assert_memory_equal(buf, "new", 3);
	close(fd);
	char_close(cd);
}

static void
test_tcp_port_taken(void **state)
{
	struct chardev *cd, *cd2 = NULL;
	char spec[64], err[256] = "";
	uint16_t port;

	cd = tcp_open(&port);
	snprintf(spec, sizeof(spec), "tcp=%u", port); /* loopback */
	assert_int_equal(char_open(spec, &cd2, err, sizeof(err)), -EADDRINUSE);
	assert_non_null(strstr(err, "listen on 127.0.0.1"));
	char_close(cd);
}

/* --- unix sockets --------------------------------------------------------- */

struct sock {
	char dir[32], path[64], spec[80];
};

static void
sock_name(struct sock *s)
{
	strcpy(s->dir, "/tmp/test_char.XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/s", s->dir);
	snprintf(s->spec, sizeof(s->spec), "unix=%s", s->path);
}

static int
sock_connect(const struct sock *s)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sun.sun_path, s->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

static void
test_unix(void **state)
{
	struct chardev *cd;
	struct sock s;
	struct stat st;
	uint32_t first;
	char buf[16];
	int fd, fd2;

	sock_name(&s);
	cd = open_ok(s.spec);
	assert_int_equal(lstat(s.path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	assert_int_equal(char_client(cd), 0);
	assert_int_equal(char_write(cd, "lost", 4), 4);
	fd = sock_connect(&s);
	assert_int_equal(tcp_serve(cd, buf, sizeof(buf)), 0);
	first = char_client(cd);
	assert_int_not_equal(first, 0);
	assert_int_equal(write(fd, "ping", 4), 4);
	assert_int_equal(tcp_serve(cd, buf, sizeof(buf)), 4);
	assert_memory_equal(buf, "ping", 4);
	assert_int_equal(char_write(cd, "pong", 4), 4);
	assert_int_equal(read(fd, buf, sizeof(buf)), 4);
	assert_memory_equal(buf, "pong", 4);
	/* A second one waits until the first is gone. */
	fd2 = sock_connect(&s);
	assert_int_equal(write(fd2, "two", 3), 3);
	assert_false(fd_ready(char_read_fd(cd), POLLIN, 20));
	assert_int_equal(write(fd, "one", 3), 3);
	close(fd);
	assert_int_equal(tcp_serve(cd, buf, sizeof(buf)), 3);
	assert_int_equal(char_client(cd), first);
	assert_int_equal(tcp_serve(cd, buf, sizeof(buf)), 0);
	while (char_client(cd) == 0)
		assert_int_equal(tcp_serve(cd, buf, sizeof(buf)), 0);
	assert_int_not_equal(char_client(cd), first);
	assert_int_equal(tcp_serve(cd, buf, sizeof(buf)), 3);
	assert_memory_equal(buf, "two", 3);
	close(fd2);
	assert_int_equal(tcp_serve(cd, buf, sizeof(buf)), 0);
	assert_int_equal(char_client(cd), 0);
	assert_false(fd_ready(char_read_fd(cd), POLLIN, 20));
	char_close(cd);
	assert_int_equal(lstat(s.path, &st), -1);
	assert_int_equal(rmdir(s.dir), 0);
}

static void
test_unix_taken(void **state)
{
	struct chardev *cd, *again;
	struct sock s;
	char err[256];

	sock_name(&s);
	cd = open_ok(s.spec);
	assert_int_equal(
	    char_open(s.spec, &again, err, sizeof(err)), -EADDRINUSE);
	assert_non_null(strstr(err, "somebody listens"));
	assert_int_equal(access(s.path, F_OK), 0);
	char_close(cd);
	assert_int_equal(rmdir(s.dir), 0);
}

/* Left by a process that died; and a name that is not ours any more. */
static void
test_unix_stale(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct chardev *cd;
	struct sock s;

	sock_name(&s);
	strcpy(sun.sun_path, s.path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	close(fd);
	cd = open_ok(s.spec);
	assert_int_equal(unlink(s.path), 0);
	fd = open(s.path, O_CREAT | O_WRONLY, 0600);
	assert_int_not_equal(fd, -1);
	close(fd);
	char_close(cd);
	assert_int_equal(unlink(s.path), 0);
	assert_int_equal(rmdir(s.dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: handlers are installed once a process. */
		cmocka_unit_test(test_terminal_restored),
		cmocka_unit_test(test_bad_specs),
		cmocka_unit_test(test_null),
		cmocka_unit_test(test_tty),
		cmocka_unit_test(test_tty_hang_up),
		cmocka_unit_test(test_restore_terminals),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_stdio_pipe),
		cmocka_unit_test(test_stdio_full_pipe),
		cmocka_unit_test(test_stdio_reader_gone),
		cmocka_unit_test(test_stdio_closed),
		cmocka_unit_test(test_stdio_files),
		cmocka_unit_test(test_stdio_dev_null),
		cmocka_unit_test(test_stdio_socket),
		cmocka_unit_test(test_stdio_terminal),
		cmocka_unit_test(test_stdio_terminal_full),
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_tcp_second_client),
		cmocka_unit_test(test_tcp_leaves_with_backlog),
		cmocka_unit_test(test_tcp_port_taken),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_unix_taken),
		cmocka_unit_test(test_unix_stale),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
