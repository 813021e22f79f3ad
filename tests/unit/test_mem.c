/* SPDX-License-Identifier: BSD-2-Clause */
/* test_mem.c - guest RAM: set-up, bounds, copies, sizes as text. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <vmm/mem.h>

#include "fake_engine.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static int
setup(void **state)
{
	struct vmctx *ctx;

	if (vm_new("mem", &fake_engine, &ctx) != 0)
		return -1;
	*state = ctx;
	return 0;
}

static int
teardown(void **state)
{
	vm_close(*state);
	return 0;
}

static void
sizes(void **state)
{
	struct vmctx *ctx = *state;

	assert_null(vm_map_gpa(ctx, 0, 1)); /* before set-up */
	assert_int_equal(vm_setup_memory(ctx, 0, VM_MMAP_ALL), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_setup_memory(ctx, MIB - 1, VM_MMAP_ALL), -1);
	assert_int_equal(vm_setup_memory(ctx, SIZE_MAX, VM_MMAP_ALL), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(vm_setup_memory(ctx, MIB, VM_MMAP_SPARSE), -1);
	assert_null(vm_ram(ctx)->base);
	/* Rounded up to a page. */
	assert_int_equal(vm_setup_memory(ctx, MIB + 1, VM_MMAP_ALL), 0);
	assert_int_equal(vm_get_lowmem_size(ctx), MIB + 4096);
	assert_int_equal(vm_get_highmem_size(ctx), 0);
	assert_int_equal(vm_setup_memory(ctx, MIB, VM_MMAP_ALL), -1);
	assert_int_equal(errno, EBUSY);
}

static void
bounds_low(void **state)
{
	struct vmctx *ctx = *state;
	uint8_t *base;

	assert_int_equal(vm_setup_memory(ctx, 2 * MIB, VM_MMAP_ALL), 0);
	base = vm_ram(ctx)->base;
	assert_ptr_equal(vm_map_gpa(ctx, 0, 2 * MIB), base);
	assert_ptr_equal(vm_map_gpa(ctx, 2 * MIB - 1, 1), base + 2 * MIB - 1);
	assert_null(vm_map_gpa(ctx, 0, 2 * MIB + 1));
	assert_null(vm_map_gpa(ctx, 1, 2 * MIB));
	assert_null(vm_map_gpa(ctx, 2 * MIB - 1, 2));
	assert_null(vm_map_gpa(ctx, 2 * MIB, 1));
	assert_null(vm_map_gpa(ctx, 0, 0));
	assert_null(vm_map_gpa(ctx, 2 * MIB, 0));
	/* Sums that wrap. */
	assert_null(vm_map_gpa(ctx, UINT64_MAX, 1));
	assert_null(vm_map_gpa(ctx, UINT64_MAX, 2));
	assert_null(vm_map_gpa(ctx, 1, SIZE_MAX));
	assert_null(vm_map_gpa(ctx, UINT64_MAX - 4095, 8192));
	assert_null(vm_map_gpa(ctx, 4 * GIB, 1)); /* there is no high RAM */
}

static void
bounds_high(void **state)
{
	struct vmctx *ctx = *state;
	const uint64_t high = 4 * GIB;
	uint8_t *base;
	uint8_t x = 0x5a, y;

	assert_int_equal(vm_setup_memory(ctx, 4 * GIB, VM_MMAP_ALL), 0);
	assert_int_equal(vm_get_lowmem_size(ctx), 3 * GIB);
	assert_int_equal(vm_get_highmem_size(ctx), GIB);
	base = vm_ram(ctx)->base;
	assert_null(vm_map_gpa(ctx, 3 * GIB, 1)); /* the hole */
	assert_null(vm_map_gpa(ctx, 3 * GIB - 1, 2));
	assert_null(vm_map_gpa(ctx, high - 1, 1));
	assert_null(vm_map_gpa(ctx, high - 1, 2));
	/* Not even all of memory at once: it is in two parts. */
	assert_null(vm_map_gpa(ctx, 0, 4 * GIB));
	assert_ptr_equal(vm_map_gpa(ctx, high, GIB), base + 3 * GIB);
	assert_null(vm_map_gpa(ctx, high, GIB + 1));
	assert_null(vm_map_gpa(ctx, high + GIB, 1));
	assert_true(vm_ram_offset(vm_ram(ctx), high) == 3 * GIB);
	assert_true(vm_ram_offset(vm_ram(ctx), 3 * GIB) == UINT64_MAX);
	assert_true(vm_ram_offset(vm_ram(ctx), high + GIB) == UINT64_MAX);
	/* The file and the mapping are one. */
	assert_int_equal(vm_mem_write(ctx, high + 5, &x, 1), 0);
	assert_int_equal(
	    pread(vm_ram(ctx)->fd, &y, 1, (off_t)(3 * GIB + 5)), 1);
	assert_int_equal(y, x);
	assert_int_equal(
	    fcntl(vm_ram(ctx)->fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

static void
copies(void **state)
{
	struct vmctx *ctx = *state;
	struct fake_vm *f = fake_vm(ctx);
	char buf[8] = "unmoved";

	assert_int_equal(vm_mem_read(ctx, 0, buf, 1), -EFAULT);
	assert_int_equal(vm_setup_memory(ctx, MIB, VM_MMAP_ALL), 0);
	assert_int_equal(vm_mem_write(ctx, MIB - 4, "abcd", 4), 0);
	assert_true(f->written_gpa == MIB - 4 && f->written_len == 4);
	f->written_len = 0;
	assert_int_equal(vm_mem_write(ctx, MIB - 3, "wxyz", 4), -EFAULT);
	assert_int_equal(f->written_len, 0);
	assert_int_equal(vm_mem_read(ctx, MIB - 3, buf, 4), -EFAULT);
	assert_string_equal(buf, "unmoved");
	assert_int_equal(vm_mem_read(ctx, MIB - 4, buf, 4), 0);
	assert_memory_equal(buf, "abcdved", 8); /* nothing of "wxyz" */
	assert_int_equal(vm_mem_read(ctx, UINT64_MAX - 1, buf, 4), -EFAULT);
	assert_int_equal(vm_mem_read(ctx, MIB, buf, 0), 0);
	vm_mem_written(ctx, 16, 32);
	assert_true(f->written_gpa == 16 && f->written_len == 32);
	vm_mem_written(ctx, MIB, 1); /* no RAM: the engine need not know */
	assert_int_equal(f->written_gpa, 16);
}

static void
styles_and_limits(void **state)
{
	struct vmctx *ctx = *state;

	assert_true(vm_get_lowmem_limit(ctx) == GPA_LOWMEM_LIMIT);
	vm_set_lowmem_limit(ctx, 0);
	assert_int_equal(vm_setup_memory(ctx, 4 * MIB, VM_MMAP_NONE), -1);
	vm_set_lowmem_limit(ctx, MIB);
	assert_int_equal(vm_setup_memory(ctx, 4 * MIB, VM_MMAP_NONE), 0);
	assert_int_equal(vm_get_lowmem_size(ctx), MIB);
	assert_int_equal(vm_get_highmem_size(ctx), 3 * MIB);
	assert_null(vm_map_gpa(ctx, 0, 1)); /* NONE: not for the program */
	assert_int_equal(vm_mem_write(ctx, 0, "x", 1), 0);
}

static void
engine_refuses(void **state)
{
	struct vmctx *ctx = *state;

	fake_vm(ctx)->mem_setup_err = -ENOSPC;
	assert_int_equal(vm_setup_memory(ctx, MIB, VM_MMAP_ALL), -1);
	assert_int_equal(errno, ENOSPC);
	assert_null(vm_ram(ctx)->base);
	assert_int_equal(vm_get_lowmem_size(ctx), 0);
	fake_vm(ctx)->mem_setup_err = 0;
	assert_int_equal(vm_setup_memory(ctx, MIB, VM_MMAP_ALL), 0);
}

static void
memsize_text(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes; /* 0: refused */
	} table[] = {
		{ "256", 256 * MIB },
		{ "0x100", 256 * MIB },
		{ "1048575", 1048575 * MIB },
		{ "1048576", MIB },
		{ "268435456", 256 * MIB },
		{ "256m", 256 * MIB },
		{ "256M", 256 * MIB },
		{ "512k", 512 * 1024 },
		{ "4g", 4 * GIB },
		{ "2T", 2048 * GIB },
		{ "1p", 1048576 * GIB },
		{ "15e", 15ull << 60 },
		{ "4096b", 4096 },
		{ "16e", 0 },
		{ "0", 0 },
		{ "0m", 0 },
		{ "", 0 },
		{ "m", 0 },
		{ "1mm", 0 },
		{ "1 m", 0 },
		{ "-1m", 0 },
		{ "1.5g", 0 },
		{ "1x", 0 },
		{ "99999999999999999999", 0 },
		{ "1111111111111111111111111111111111111111m", 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		size_t bytes = 7;
		int err = vm_parse_memsize(table[i].text, &bytes);

		assert_int_equal(err, table[i].bytes == 0 ? -1 : 0);
		assert_true(bytes == (err == 0 ? table[i].bytes : 7));
	}
}

#define LIMIT (2 * MIB)

/* Our stores and the guest's, by file offset, beyond the gap too. */
static void
dirty(void **state)
{
	struct vmctx *ctx = *state;
	struct fake_vm *f = fake_vm(ctx);
	uint64_t bits[16]; /* 1024 pages: 4 MiB */

	assert_int_equal(vm_dirty_start(ctx), -EINVAL); /* no RAM yet */
	vm_set_lowmem_limit(ctx, LIMIT);
	assert_int_equal(vm_setup_memory(ctx, 4 * MIB, VM_MMAP_ALL), 0);
	assert_int_equal(vm_dirty_words(ctx), ARRAY_LEN(bits));
	assert_int_equal(vm_dirty_fetch(ctx, bits), -EINVAL);
	f->dirty_err = -ENOMEM;
	assert_int_equal(vm_dirty_start(ctx), -ENOMEM);
	f->dirty_err = 0;
	assert_int_equal(vm_mem_write(ctx, 0, "x", 1), 0); /* before */
	assert_int_equal(vm_dirty_start(ctx), 0);
	assert_true(f->dirty_on);
	assert_int_equal(vm_dirty_start(ctx), -EBUSY);

	/* Two bytes on two pages, a page written in place, above 4 GiB. */
	assert_int_equal(vm_mem_write(ctx, 4 * 4096 - 1, "xy", 2), 0);
	vm_mem_written(ctx, 70 * 4096, 4096);
	assert_int_equal(vm_mem_write(ctx, GPA_HIGHMEM_BASE + 4096, "x", 1), 0);
	/* Not RAM: nobody's page. */
	vm_mem_written(ctx, LIMIT, 4096);
	assert_int_equal(vm_mem_write(ctx, LIMIT - 1, "xy", 2), -EFAULT);
	f->dirty_word = 1ull << 63;
	memset(bits, 0xff, sizeof(bits));
	assert_int_equal(vm_dirty_fetch(ctx, bits), 0);
	for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
		uint64_t want = i == 0	 ? 0x18 | 1ull << 63
				: i == 1 ? 1ull << (70 - 64)
				: i == 8 ? 1ull << 1
					 : 0;

		assert_true(bits[i] == want);
	}
	assert_int_equal(vm_dirty_fetch(ctx, bits), 0);
	for (size_t i = 0; i < ARRAY_LEN(bits); i++)
		assert_true(bits[i] == 0);

	/* What came before a stop is not there after the next start. */
	assert_int_equal(vm_mem_write(ctx, 0, "x", 1), 0);
	vm_dirty_stop(ctx);
	vm_dirty_stop(ctx);
	assert_false(f->dirty_on);
	assert_int_equal(vm_dirty_start(ctx), 0);
	assert_int_equal(vm_dirty_fetch(ctx, bits), 0);
	assert_true(bits[0] == 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(sizes),
		T(bounds_low),
		T(bounds_high),
		T(copies),
		T(styles_and_limits),
		T(engine_refuses),
		T(dirty),
		cmocka_unit_test(memsize_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
