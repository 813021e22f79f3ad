/* SPDX-License-Identifier: BSD-2-Clause */
/* test_log.c - lines, levels, the sink, rate limits. */
#include "test.h"

#include <unistd.h>

#include <util/log.h>
#include <util/util.h>

static char last[2048];
static enum log_level last_level;
static unsigned int nlines;

static void
sink(enum log_level level, const char *line)
{
	snprintf(last, sizeof(last), "%s", line);
	last_level = level;
	nlines++;
}

static int
setup(void **state)
{
	log_set_sink(sink);
	log_set_name("prog");
	log_set_level(LOG_INFO);
	nlines = 0;
	last[0] = '\0';
	return 0;
}

static void
line_and_level(void **state)
{
	log_error("a %d", 1);
	assert_string_equal(last, "prog: a 1");
	assert_int_equal(last_level, LOG_ERROR);
	log_debug("hidden");
	assert_int_equal(nlines, 1);
	log_set_level(LOG_DEBUG);
	log_debug("seen");
	assert_string_equal(last, "prog: seen");
	log_set_name(NULL);
	log_guest_error("uart com1", "odd %#x", 16);
	assert_string_equal(last, "uart com1: odd 0x10");
	assert_int_equal(last_level, LOG_WARN);
}

static void
guest_text_cannot_steer_the_terminal(void **state)
{
	log_warn("x\033[2Jy\nz\177");
	assert_string_equal(last, "prog: x?[2Jy?z?");
}

static void
long_lines_are_cut(void **state)
{
	char text[4000];

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_warn("%s", text);
	assert_in_range(strlen(last), 1000, 1024);
	log_guest_error(text, "%s", text);
	assert_in_range(strlen(last), 1000, 1024);
}

static void
one_noisy_guest(int i)
{
	guest_error("dev", "bad %d", i);
}

static void
rate_limit(void **state)
{
	for (int i = 0; i < 1000; i++)
		one_noisy_guest(i);
	assert_int_equal(nlines, 10);
	assert_string_equal(last, "prog: dev: bad 9");
	/* Another call site has its own window. */
	guest_error("dev", "other");
	assert_int_equal(nlines, 11);
}

static void
rate_limit_window(void **state)
{
	struct log_ratelimit rl = { 0 };
	unsigned int ok = 0;

	for (int i = 0; i < 25; i++)
		ok += log_ratelimit_ok(&rl);
	assert_int_equal(ok, 10);
	assert_int_equal(rl.suppressed, 15);
	assert_int_equal(nlines, 0);
	/* As if the window had begun six seconds ago. */
	rl.window_start_ns = host_now_ns() - 6000000000ull;
	assert_true(log_ratelimit_ok(&rl));
	assert_int_equal(nlines, 1);
	assert_non_null(strstr(last, "15 messages"));
	assert_int_equal(rl.suppressed, 0);
}

/* What really reaches stderr: one line, with CR only in raw mode. */
static void
raw_lines(void **state)
{
	int fd[2], saved = dup(STDERR_FILENO);
	char buf[64] = "";

	assert_int_equal(pipe(fd), 0);
	log_set_sink(NULL);
	dup2(fd[1], STDERR_FILENO);
	log_warn("one");
	log_set_raw(true);
	log_warn("two");
	log_set_raw(false);
	dup2(saved, STDERR_FILENO);
	assert_int_equal(read(fd[0], buf, sizeof(buf) - 1), 21);
	assert_string_equal(buf, "prog: one\nprog: two\r\n");
	close(fd[0]);
	close(fd[1]);
	close(saved);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(line_and_level, setup),
		cmocka_unit_test_setup(
		    guest_text_cannot_steer_the_terminal, setup),
		cmocka_unit_test_setup(long_lines_are_cut, setup),
		cmocka_unit_test_setup(rate_limit, setup),
		cmocka_unit_test_setup(rate_limit_window, setup),
		cmocka_unit_test_setup(raw_lines, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
