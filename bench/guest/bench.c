/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench.c - a fixed amount of many kinds of work, timed row by row.
 *
 * One static program that bench/guest.sh runs natively, under QEMU and under
 * bhyve.  Each line of output is
 *
 *	NAME SECONDS CHECKSUM COUNT
 *
 * The checksum depends on the work's results alone, so it is equal wherever the
 * program runs; COUNT is how many operations the row is made of, for "ns each".
 * Arguments: rows to run as NAME or NAME=COUNT, @1 and @2 for all rows made for
 * one and for two processors; -l lists them.
 */
#include <emmintrin.h>
#include <errno.h>
#include <linux/futex.h>
#include <math.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define NOINLINE     __attribute__((noinline))
#define BARRIER()    __asm__ volatile("" ::: "memory")
#define PAGE	     4096u
#define MIB	     (1u << 20)

#define ARENA	     (40u * MIB)
static uint8_t *arena; /* ARENA bytes, all touched before the first row */

static void
die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static inline uint64_t
xorshift(uint64_t x)
{
	x ^= x << 13;
	x ^= x >> 7;
	return x ^ (x << 17);
}

static uint64_t
mix(uint64_t sum, uint64_t v)
{
	return (sum ^ v) * 0x9e3779b97f4a7c15ull + (sum >> 29);
}

static uint64_t
double_bits(double d)
{
	uint64_t v;

	memcpy(&v, &d, sizeof(v));
	return v;
}

/* --- integer ---------------------------------------------------------------
 */

static NOINLINE uint64_t
run_xorshift(uint64_t n)
{
	uint64_t x = 88172645463325252ull;

	while (n-- > 0)
		x = xorshift(x);
	return x;
}

static NOINLINE uint64_t
run_sieve(uint64_t n)
{
	uint64_t i, k, primes = 0;

	memset(arena, 1, n);
	for (i = 2; i * i < n; i++)
		if (arena[i])
			for (k = i * i; k < n; k += i)
				arena[k] = 0;
	for (i = 2; i < n; i++)
		primes += arena[i];
	return primes;
}

static int
compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void
prepare_random(uint64_t n)
{
	uint32_t *v = (uint32_t *)(void *)arena;
	uint64_t x = 1;

	while (n-- > 0) {
		x = xorshift(x);
		v[n] = (uint32_t)(x >> 16);
	}
}

static NOINLINE uint64_t
run_qsort(uint64_t n)
{
	const uint32_t *v = (const uint32_t *)(const void *)arena;
	uint64_t sum = 0;

	qsort(arena, n, sizeof(uint32_t), compare_u32);
	for (uint64_t k = 0; k < n; k += n / 64)
		sum = mix(sum, v[k]);
	return sum;
}

static NOINLINE uint64_t
fib(uint64_t n)
{
	uint64_t a;

	if (n < 2)
		return n;
	a = fib(n - 1);
	BARRIER(); /* else gcc unrolls the recursion */
	return a + fib(n - 2);
}

static uint64_t
run_fib(uint64_t n)
{
	uint64_t sum = 0;

	for (; n > 0; n -= 1000000)
		sum += fib(29);
	return sum;
}

/* One cycle through all of `size` bytes, a cache line a step. */
static void
chase_build(size_t size)
{
	size_t nodes = size / 64, k, j;
	uint32_t *order = (uint32_t *)(void *)(arena + ARENA - 8 * MIB);
	uint64_t x = 42;

	for (k = 0; k < nodes; k++)
		order[k] = (uint32_t)k;
	for (k = nodes - 1; k > 0; k--) {
		uint32_t t = order[k];

		x = xorshift(x);
		j = (x >> 20) % k;
		order[k] = order[j];
		order[j] = t;
	}
	for (k = 0; k < nodes; k++)
		*(uint64_t *)(void *)(arena + (size_t)order[k] * 64) =
		    (uint64_t)order[(k + 1) % nodes] * 64;
}

static void
prepare_chase_far(uint64_t n)
{
	(void)n;
	chase_build(16 * MIB);
}

static void
prepare_chase_near(uint64_t n)
{
	(void)n;
	chase_build(64 * 1024);
}

static NOINLINE uint64_t
run_chase(uint64_t n)
{
	uint64_t at = 0;

	while (n-- > 0)
		at = *(const uint64_t *)(const void *)(arena + at);
	return at;
}

static uint32_t crc_table[256];

static void
prepare_crc(uint64_t n)
{
	for (uint32_t k = 0; k < 256; k++) {
		uint32_t c = k;

		for (int bit = 0; bit < 8; bit++)
			c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
		crc_table[k] = c;
	}
	prepare_random(n / 4);
}

static NOINLINE uint64_t
run_crc(uint64_t n)
{
	uint32_t c = UINT32_MAX;

	for (uint64_t k = 0; k < n; k++)
		c = crc_table[(c ^ arena[k]) & 0xff] ^ (c >> 8);
	return ~c;
}

static NOINLINE uint64_t
run_memcpy(uint64_t n)
{
	uint64_t sum = 0;

	for (; n > 0; n--) {
		memcpy(arena + 16 * MIB, arena, 16 * MIB);
		BARRIER();
		sum = mix(sum, arena[16 * MIB + n * 4099]);
	}
	return sum;
}

static void
prepare_4m(uint64_t n)
{
	(void)n;
	prepare_random(16 * MIB / 4);
}

static NOINLINE uint64_t
run_xadd(uint64_t n)
{
	static uint64_t word;
	uint64_t sum = 0;

	word = 0;
	for (; n > 0; n--)
		sum += __atomic_fetch_add(&word, 3, __ATOMIC_SEQ_CST);
	return sum;
}

static NOINLINE uint64_t
run_movsb(uint64_t n)
{
	for (; n > 0; n--) {
		void *d = arena + PAGE, *s = arena + 2 * PAGE;
		size_t c = PAGE;

		__asm__ volatile("rep movsb"
				 : "+D"(d), "+S"(s), "+c"(c)
				 :
				 : "memory");
		arena[2 * PAGE]++;
	}
	return mix(arena[PAGE], 5u + arena[2 * PAGE - 1]);
}

static NOINLINE uint64_t
run_stosb(uint64_t n)
{
	for (; n > 0; n--) {
		void *d = arena + PAGE;
		size_t c = PAGE;

		__asm__ volatile("rep stosb"
				 : "+D"(d), "+c"(c)
				 : "a"((uint8_t)n)
				 : "memory");
	}
	return mix(arena[PAGE], 5u + arena[2 * PAGE - 1]);
}

/* --- floating point ----------------------------------------------------------
 */

struct body {
	double p[3], v[3], m;
};

static void
nbody_step(struct body *b, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		for (unsigned int j = i + 1; j < n; j++) {
			double d[3], r2 = 0.01, f;

			for (int k = 0; k < 3; k++) {
				d[k] = b[i].p[k] - b[j].p[k];
				r2 += d[k] * d[k];
			}
			f = 0.001 / (r2 * sqrt(r2));
			for (int k = 0; k < 3; k++) {
				b[i].v[k] -= d[k] * b[j].m * f;
				b[j].v[k] += d[k] * b[i].m * f;
			}
		}
	for (unsigned int i = 0; i < n; i++)
		for (int k = 0; k < 3; k++)
			b[i].p[k] += 0.001 * b[i].v[k];
}

static NOINLINE uint64_t
run_nbody(uint64_t n)
{
	struct body b[5];
	uint64_t sum = 0;

	for (unsigned int i = 0; i < ARRAY_LEN(b); i++) {
		b[i].m = 1.0 / (1 + i);
		for (unsigned int k = 0; k < 3; k++) {
			b[i].p[k] = (double)((i * 7 + k * 3) % 11) - 5;
			b[i].v[k] = (double)((i * 5 + k) % 7) / 8;
		}
	}
	while (n-- > 0)
		nbody_step(b, ARRAY_LEN(b));
	for (unsigned int i = 0; i < ARRAY_LEN(b); i++)
		sum = mix(sum, double_bits(b[i].p[0]));
	return sum;
}

#define SAXPY_LEN 4096u

static NOINLINE uint64_t
run_saxpy(uint64_t n)
{
	static float x[SAXPY_LEN] __attribute__((aligned(16)));
	static float y[SAXPY_LEN] __attribute__((aligned(16)));
	const __m128 a = _mm_set1_ps(0.25f);
	double sum = 0;

	for (unsigned int k = 0; k < SAXPY_LEN; k++) {
		x[k] = (float)(k % 97) - 48;
		y[k] = 1;
	}
	for (; n > 0; n--)
		for (unsigned int k = 0; k < SAXPY_LEN; k += 4)
			_mm_store_ps(
			    y + k, _mm_add_ps(_mm_mul_ps(a, _mm_load_ps(x + k)),
				       _mm_mul_ps(a, _mm_load_ps(y + k))));
	for (unsigned int k = 0; k < SAXPY_LEN; k++)
		sum += (double)y[k];
	return double_bits(sum);
}

static NOINLINE uint64_t
run_x87(uint64_t n)
{
	volatile long double seed = 1.0L;
	long double x = seed, sum = 0;

	for (; n > 0; n--) {
		x = x * 1.25L + 0.5L / (x + 3.0L);
		if (x > 1000.0L)
			x = x * 0.001L - 0.75L;
		sum += x;
	}
	return double_bits((double)sum);
}

#define MAT 192u

static NOINLINE uint64_t
run_matmul(uint64_t n)
{
	static double a[MAT][MAT], b[MAT][MAT], r[MAT][MAT];
	uint64_t sum = 0;

	for (unsigned int i = 0; i < MAT; i++)
		for (unsigned int j = 0; j < MAT; j++) {
			a[i][j] = (double)((i * 3 + j) % 17) / 4;
			b[i][j] = (double)((i + j * 5) % 13) / 8;
		}
	for (; n > 0; n--) {
		memset(r, 0, sizeof(r));
		for (unsigned int i = 0; i < MAT; i++)
			for (unsigned int k = 0; k < MAT; k++)
				for (unsigned int j = 0; j < MAT; j++)
					r[i][j] += a[i][k] * b[k][j];
		a[n % MAT][n % MAT] += 1;
		sum = mix(sum, double_bits(r[n % MAT][3]));
	}
	return sum;
}

/* --- the kernel
 * ---------------------------------------------------------------- */

static uint64_t
run_getppid(uint64_t n)
{
	long parent = syscall(SYS_getppid);
	uint64_t same = 0;

	for (; n > 0; n--)
		same += syscall(SYS_getppid) == parent;
	return same;
}

static uint64_t
run_clock(uint64_t n)
{
	struct timespec t, last = { 0, 0 };
	uint64_t back = 0;

	for (; n > 0; n--) {
		clock_gettime(CLOCK_MONOTONIC, &t);
		back += t.tv_sec < last.tv_sec ||
			(t.tv_sec == last.tv_sec && t.tv_nsec < last.tv_nsec);
		last = t;
	}
	return back; /* 0: time never went back */
}

static uint64_t
run_fork(uint64_t n)
{
	uint64_t sum = 0;
	int status;

	for (; n > 0; n--) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid == 0)
			_exit((int)(n & 0x7f));
		if (waitpid(pid, &status, 0) != pid)
			die("waitpid");
		sum = mix(sum, (uint64_t)WEXITSTATUS(status));
	}
	return sum;
}

static uint64_t
run_touch(uint64_t n)
{
	size_t size = 64 * MIB;
	uint64_t sum = 0;

	for (n = n * PAGE / size; n > 0; n--) {
		uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			die("mmap");
		madvise(p, size, MADV_NOHUGEPAGE);
		for (size_t k = 0; k < size; k += PAGE) {
			sum += p[k + 8]; /* zero */
			p[k]++;
			sum += p[k];
		}
		munmap(p, size);
	}
	return sum;
}

static uint64_t
run_mmap(uint64_t n)
{
	uint64_t sum = 0;

	for (; n > 0; n--) {
		uint8_t *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			die("mmap");
		p[n % PAGE] = (uint8_t)n;
		sum += p[n % PAGE];
		munmap(p, PAGE);
	}
	return sum;
}

/* The child answers each number with the next one's hash. */
static void
pipe_child(int in, int out)
{
	uint64_t v;

	while (read(in, &v, sizeof(v)) == (ssize_t)sizeof(v)) {
		v = xorshift(v);
		if (write(out, &v, sizeof(v)) != (ssize_t)sizeof(v))
			break;
	}
	_exit(0);
}

static uint64_t
run_pipe(uint64_t n)
{
	uint64_t v = 1;
	int there[2], back[2];
	pid_t pid;

	if (pipe(there) != 0 || pipe(back) != 0)
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		close(there[1]);
		close(back[0]);
		pipe_child(there[0], back[1]);
	}
	close(there[0]);
	close(back[1]);
	for (; n > 0; n--)
		if (write(there[1], &v, sizeof(v)) != (ssize_t)sizeof(v) ||
		    read(back[0], &v, sizeof(v)) != (ssize_t)sizeof(v))
			die("ping-pong");
	close(there[1]);
	close(back[0]);
	waitpid(pid, NULL, 0);
	return v;
}

/* --- threads
 * ------------------------------------------------------------------- */

static void *
xorshift_thread(void *arg)
{
	uint64_t *v = arg;

	*v = run_xorshift(*v);
	return NULL;
}

static uint64_t
run_threads(uint64_t n)
{
	uint64_t v[2] = { n / 2, n / 2 };
	pthread_t t;

	if (pthread_create(&t, NULL, xorshift_thread, &v[1]) != 0)
		die("pthread_create");
	xorshift_thread(&v[0]);
	pthread_join(t, NULL);
	return mix(v[0], v[1]);
}

static uint32_t turn; /* futex: 0 main's, 1 the thread's, 2 the end */

static long
futex(int op, uint32_t val)
{
	return syscall(SYS_futex, &turn, op, val, NULL, NULL, 0);
}

/* Sleep until it is no longer `other`'s turn. */
static uint32_t
turn_wait(uint32_t other)
{
	uint32_t now;

	while ((now = __atomic_load_n(&turn, __ATOMIC_ACQUIRE)) == other)
		futex(FUTEX_WAIT_PRIVATE, other);
	return now;
}

static void
turn_give(uint32_t to)
{
	__atomic_store_n(&turn, to, __ATOMIC_RELEASE);
	futex(FUTEX_WAKE_PRIVATE, 1);
}

static void *
futex_thread(void *arg)
{
	uint64_t *count = arg;

	while (turn_wait(0) != 2) {
		++*count;
		turn_give(0);
	}
	return NULL;
}

static uint64_t
run_futex(uint64_t n)
{
	uint64_t count = 0;
	pthread_t t;

	turn = 0;
	if (pthread_create(&t, NULL, futex_thread, &count) != 0)
		die("pthread_create");
	for (; n > 0; n--) {
		turn_give(1);
		turn_wait(1);
	}
	turn_give(2);
	pthread_join(t, NULL);
	return count;
}

/* --- rows
 * ------------------------------------------------------------------------ */

struct row {
	const char *name;
	unsigned int cpus; /* the set it is in: bit 0 one CPU, bit 1 two */
	uint64_t count;
	uint64_t (*run)(uint64_t count);
	void (*prepare)(uint64_t count);
};

static const struct row rows[] = {
	{ "xorshift", 1, 60000000, run_xorshift, NULL },
	{ "sieve-8M", 1, 8000000, run_sieve, NULL },
	{ "qsort", 1, 500000, run_qsort, prepare_random },
	{ "fib", 1, 10000000, run_fib, NULL },
	{ "chase-16M", 1, 4000000, run_chase, prepare_chase_far },
	{ "chase-64K", 1, 40000000, run_chase, prepare_chase_near },
	{ "crc-table", 1, 16000000, run_crc, prepare_crc },
	{ "memcpy-16M", 1, 20, run_memcpy, prepare_4m },
	{ "lock-xadd", 1, 10000000, run_xadd, NULL },
	{ "rep-movsb-4K", 1, 50000, run_movsb, prepare_4m },
	{ "rep-stosb-4K", 1, 50000, run_stosb, NULL },
	{ "nbody-double", 1, 60000, run_nbody, NULL },
	{ "saxpy-sse", 1, 1500, run_saxpy, NULL },
	{ "x87", 1, 2000000, run_x87, NULL },
	{ "matmul", 1, 2, run_matmul, NULL },
	{ "getppid", 1, 400000, run_getppid, NULL },
	{ "clock_gettime", 1, 2000000, run_clock, NULL },
	{ "fork-exit-wait", 3, 200, run_fork, NULL },
	{ "touch-page", 1, 16384, run_touch, NULL },
	{ "mmap-munmap", 1, 10000, run_mmap, NULL },
	{ "pipe-pingpong", 3, 10000, run_pipe, NULL },
	{ "2-threads", 2, 120000000, run_threads, NULL },
	{ "futex-pingpong", 2, 10000, run_futex, NULL },
};

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
run_row(const struct row *r, uint64_t count)
{
	uint64_t sum;
	double t;

	if (r->prepare != NULL)
		r->prepare(count);
	t = now();
	sum = r->run(count);
	t = now() - t;
	printf("%s %.6f %016llx %llu\n", r->name, t, (unsigned long long)sum,
	    (unsigned long long)count);
	fflush(stdout);
}

/* Run what one argument names: a set, a row, or NAME=COUNT. */
static void
run_rows(const char *arg)
{
	const char *eq = strchr(arg, '=');
	size_t len = eq != NULL ? (size_t)(eq - arg) : strlen(arg);

	for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
		const struct row *r = &rows[k];

		if (arg[0] == '@' ? (r->cpus & (unsigned int)atoi(arg + 1)) != 0
				  : strlen(r->name) == len &&
					memcmp(r->name, arg, len) == 0)
			run_row(r,
			    eq != NULL ? strtoull(eq + 1, NULL, 10) : r->count);
	}
}

static void
list(void)
{
	for (size_t k = 0; k < ARRAY_LEN(rows); k++)
		printf("%s %u\n", rows[k].name, rows[k].cpus);
	exit(0);
}

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "-l") == 0)
		list();
	arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (arena == MAP_FAILED)
		die("mmap");
	/* fork() is to be measured, not the copying of this. */
	madvise(arena, ARENA, MADV_DONTFORK);
	for (int a = 1; a < argc; a++)
		run_rows(argv[a]);
	return 0;
}
